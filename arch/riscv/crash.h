/* A trap of the kernel itself: a bug. trap.S saves the frame and calls kernel_trap(). */
#ifndef ARCH_RISCV_CRASH_H
#define ARCH_RISCV_CRASH_H

#include <stdint.h>

struct kernel_trap_frame {
    uint64_t x[32]; /* x[0] is sepc */
    uint64_t scause;
    uint64_t stval;
    uint64_t sstatus;
};

/* Called on a stack of its own; writes the crash record. */
_Noreturn void kernel_trap(struct kernel_trap_frame *frame);

#endif
