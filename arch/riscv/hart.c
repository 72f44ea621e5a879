/*
 * One hart: what it sets up for itself, its interrupts, its timer, waiting.
 *
 * In the kernel tp is the hart's structure and interrupts are off (sstatus.SIE = 0 always): those
 * enabled in sie are taken in user mode, or end a wait and are then looked at.
 */
#include "arch/arch.h"
#include "arch/boot.h"
#include "arch/riscv/csr.h"
#include "arch/riscv/machine.h"
#include "arch/riscv/sbi.h"
#include "arch/riscv/trap.h"

#define COUNTERS_ALL    7u /* cycle, time, instret may be read in user mode */
#define INTERRUPTS      (INTERRUPT_SOFTWARE | INTERRUPT_TIMER | INTERRUPT_EXTERNAL)
#define SPINS_PER_NAP   256u
#define NAPS_PER_SECOND 200000u

static uint64_t deadline[HARTS_MAX]; /* each hart's timer, as last set; its own hart only */
static uint32_t spins[HARTS_MAX];

void arch_hart_init(void)
{
    csr_write(CSR_STVEC, trap_entry);
    csr_write(CSR_SSCRATCH, 0);
    csr_clear(CSR_SSTATUS,
              SSTATUS_SIE | SSTATUS_SPP | SSTATUS_SUM | SSTATUS_MXR | SSTATUS_FS | SSTATUS_VS);
    csr_set(CSR_SSTATUS, SSTATUS_SPIE); /* user mode runs with interrupts on */
    if (arch_features & BOOT_HAS_FP)
        csr_set(CSR_SSTATUS, SSTATUS_FS_INITIAL);
    csr_write(CSR_SCOUNTEREN, COUNTERS_ALL);
    if (arch_features & BOOT_HAS_ZICBOZ)
        csr_set(CSR_SENVCFG, SENVCFG_CBZE);
    arch_timer_set(~0UL);
    csr_clear(CSR_SIP, INTERRUPT_SOFTWARE);
    csr_write(CSR_SIE, INTERRUPTS);
    arch_fence_all();
    arch_fence_code();
}

bool arch_hart_start(struct hart *h)
{
    paddr_t entry = (paddr_t)start_secondary - IMAGE_OFFSET;
    return sbi_hart_start(h->machine_id, entry, (uint64_t)h->kernel_stack);
}

void arch_interrupt_hart(unsigned hart_id)
{
    if (hart_id == this_hart()->id)
        csr_set(CSR_SIP, INTERRUPT_SOFTWARE);
    else
        sbi_interrupt(1, harts[hart_id]->machine_id);
}

unsigned arch_interrupt_pending(void)
{
    uint64_t pending = csr_read(CSR_SIP);
    if (pending & INTERRUPT_SOFTWARE) {
        csr_clear(CSR_SIP, INTERRUPT_SOFTWARE);
        return ARCH_IRQ_SOFTWARE;
    }
    if (pending & INTERRUPT_TIMER)
        return ARCH_IRQ_TIMER;
    return pending & INTERRUPT_EXTERNAL ? ARCH_IRQ_EXTERNAL : ARCH_IRQ_NONE;
}

/* ---- time ---- */

uint64_t arch_time(void)
{
    return csr_read(CSR_TIME);
}

uint64_t arch_instructions(void)
{
    return csr_read(CSR_INSTRET);
}

static void timer_write(uint64_t ticks)
{
    if (arch_features & BOOT_HAS_SSTC)
        csr_write(CSR_STIMECMP, ticks);
    else
        sbi_timer_set(ticks);
}

void arch_timer_set(uint64_t ticks)
{
    deadline[this_hart()->id] = ticks;
    timer_write(ticks);
}

/* ---- waiting ---- */

void arch_wait(void)
{
    __asm__ volatile("wfi" : : : "memory");
}

/*
 * Sleep for a moment, whatever else is pending: only the timer ends it. Interrupts stay off, and
 * both the timer and the mask are as before afterwards.
 */
static void nap(uint64_t id)
{
    csr_write(CSR_SIE, INTERRUPT_TIMER);
    timer_write(arch_time() + arch_timebase_hz / NAPS_PER_SECOND + 1);
    arch_wait();
    timer_write(deadline[id]);
    csr_write(CSR_SIE, INTERRUPTS);
}

/*
 * A hart that spins for long may keep the one that it waits for from running: under an emulator
 * that runs harts in turn, or has fewer processors than harts. So it sleeps now and then.
 */
void arch_relax(void)
{
    if (harts_online == 0)
        return;
    uint64_t id = this_hart()->id;
    if (++spins[id] % SPINS_PER_NAP == 0)
        nap(id);
    else
        __asm__ volatile(".word 0x0100000f" : : : "memory"); /* pause */
}
