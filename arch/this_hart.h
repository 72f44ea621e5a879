/* The hart that executes this: a register on hardware, a variable of the test on the host. */
#ifndef ARCH_THIS_HART_H
#define ARCH_THIS_HART_H

struct hart;

#ifdef __riscv
/* In the kernel tp always holds it (arch/riscv/trap.S, start.S). */
static inline struct hart *this_hart(void)
{
    struct hart *h;

    __asm__("mv %0, tp" : "=r"(h));
    return h;
}
#else
struct hart *this_hart(void);
#endif

#endif
