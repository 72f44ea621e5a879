/*
 * Floating-point state. sstatus.FS is the user's: it says whether the registers were written since
 * the state was last loaded or saved. On a machine without floating point it is Off, never dirty.
 */
#include "arch/arch.h"
#include "arch/riscv/csr.h"

_Static_assert(offsetof(struct thread, fcsr) == offsetof(struct thread, f) + 256,
               "fp.S expects fcsr behind the registers");

void fp_save_registers(uint64_t *f);
void fp_load_registers(const uint64_t *f);
void fp_zero_registers(void);

static void state_clean(void)
{
    csr_clear(CSR_SSTATUS, SSTATUS_FS);
    csr_set(CSR_SSTATUS, SSTATUS_FS_CLEAN);
}

bool arch_fp_dirty(void)
{
    return (csr_read(CSR_SSTATUS) & SSTATUS_FS) == SSTATUS_FS;
}

void arch_fp_save(struct thread *t)
{
    if (!(arch_features & BOOT_HAS_FP))
        return;
    fp_save_registers(t->f);
    state_clean();
}

void arch_fp_load(struct thread *t)
{
    if (!(arch_features & BOOT_HAS_FP))
        return;
    fp_load_registers(t->f);
    state_clean();
}

void arch_fp_zero(void)
{
    if (!(arch_features & BOOT_HAS_FP))
        return;
    fp_zero_registers();
    state_clean();
}
