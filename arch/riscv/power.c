/*
 * Console and power-off. The test finisher ends QEMU with an exit status; the firmware's power-off
 * always gives 0, so it is used only where there is no finisher.
 */
#include "arch/arch.h"
#include "arch/riscv/machine.h"
#include "arch/riscv/sbi.h"

#define FINISHER_PASS 0x5555u
#define FINISHER_FAIL 0x3333u

static paddr_t finisher; /* 0: none */

BOOT_ONLY void power_init(const struct fdt *f)
{
    static const char *const names[] = {"sifive,test1", "sifive,test0"};
    for (size_t i = 0; i < sizeof names / sizeof *names && !finisher; i++) {
        int32_t n = fdt_next_compatible(f, FDT_NONE, names[i]);
        uint64_t start, bytes;
        if (n != FDT_NONE && fdt_reg(f, n, 0, &start, &bytes) && bytes >= 4)
            finisher = start;
    }
}

paddr_t power_device(void)
{
    return finisher;
}

void arch_console_write(const char *text, size_t bytes)
{
    sbi_console_write(text, bytes);
}

_Noreturn void arch_power_off(int status)
{
    uint32_t code = status ? (uint32_t)(status & 0xff) << 16 | FINISHER_FAIL : FINISHER_PASS;
    if (finisher)
        *(volatile uint32_t *)phys_to_virt(finisher) = code;
    sbi_power_off(status != 0);
    for (;;)
        arch_wait();
}
