/* The hart that executes this: a register on hardware, a variable of the test on the host. */
#ifndef ARCH_THIS_HART_H
#define ARCH_THIS_HART_H

struct hart;

#ifdef __riscv
/* In the kernel tp always holds it (arch/riscv/trap.S, start.S). */
register struct hart *hart_register __asm__("tp");

static inline struct hart *this_hart(void)
{
    return hart_register;
}
#else
struct hart *this_hart(void);
#endif

#endif
