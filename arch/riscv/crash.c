/*
 * What a RISC-V hart knows about a crash: control registers, the registers at a kernel trap, and a
 * backtrace. The kernel is compiled without frame pointers, so the backtrace is every word on the
 * stack that looks like a return address: too many rather than too few.
 */
#include "arch/riscv/crash.h"
#include "arch/arch.h"
#include "arch/riscv/csr.h"
#include "arch/riscv/machine.h"
#include "kernel/assert.h"
#include "kernel/log.h"

#include <stdio.h>

#define BACKTRACE_MAX 24u

static const struct kernel_trap_frame *trap_frame; /* NULL: the kernel noticed by itself */

static const char *cause_name(uint64_t scause)
{
    static const char *const name[] = {
        [CAUSE_FETCH_MISALIGNED] = "misaligned fetch", [CAUSE_FETCH_ACCESS] = "fetch access fault",
        [CAUSE_ILLEGAL] = "illegal instruction",       [CAUSE_BREAKPOINT] = "breakpoint",
        [CAUSE_LOAD_MISALIGNED] = "misaligned load",   [CAUSE_LOAD_ACCESS] = "load access fault",
        [CAUSE_STORE_MISALIGNED] = "misaligned store", [CAUSE_STORE_ACCESS] = "store access fault",
        [CAUSE_FETCH_PAGE] = "fetch page fault",       [CAUSE_LOAD_PAGE] = "load page fault",
        [CAUSE_STORE_PAGE] = "store page fault",
    };
    const char *found = scause < sizeof name / sizeof *name ? name[scause] : NULL;
    return found ? found : "unexpected trap";
}

_Noreturn void kernel_trap(struct kernel_trap_frame *frame)
{
    static char reason[96];
    trap_frame = frame;
    snprintf(reason, sizeof reason, "%s in the kernel at %#lx, address %#lx",
             cause_name(frame->scause), (unsigned long)frame->x[0], (unsigned long)frame->stval);
    kernel_panic("trap", (int)frame->scause, reason);
}

static void print_registers(const struct kernel_trap_frame *f)
{
    static const char name[32][4] = {
        "pc", "ra", "sp", "gp", "tp",  "t0",  "t1", "t2", "s0", "s1", "a0",
        "a1", "a2", "a3", "a4", "a5",  "a6",  "a7", "s2", "s3", "s4", "s5",
        "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6",
    };
    for (unsigned i = 0; i < 32; i++)
        kprintf("%s%-3s %016lx%s", i % 4 ? "  " : "  ", name[i], (unsigned long)f->x[i],
                i % 4 == 3 ? "\n" : "");
    kprintf("  scause %#lx stval %#lx sstatus %#lx\n", (unsigned long)f->scause,
            (unsigned long)f->stval, (unsigned long)f->sstatus);
}

static bool is_text(uint64_t address)
{
    return address > (uint64_t)image_start && address < (uint64_t)image_text_end;
}

static void print_backtrace(uint64_t sp)
{
    uint64_t top = harts_online ? (uint64_t)this_hart()->kernel_stack : (uint64_t)boot_stack_top;
    uint64_t bottom = top - STACK_BYTES + 16;
    unsigned shown = 0;
    kprintf("backtrace (stack scan):\n");
    if (trap_frame) {
        kprintf("  %#lx\n", (unsigned long)trap_frame->x[0]);
        kprintf("  %#lx\n", (unsigned long)trap_frame->x[1]);
    }
    if (sp > top || sp + PAGE_BYTES < bottom) {
        kprintf("  stack pointer %#lx is not on this hart's stack\n", (unsigned long)sp);
        return;
    }
    sp = sp < bottom ? bottom : sp; /* overflow: it ran into the guard page */
    for (const uint64_t *at = (const uint64_t *)(sp & ~7UL);
         (uint64_t)at < top && shown < BACKTRACE_MAX; at++) {
        if (is_text(*at)) {
            kprintf("  %#lx\n", (unsigned long)*at);
            shown++;
        }
    }
}

void arch_crash_details(void)
{
    uint64_t sp;
    __asm__ volatile("mv %0, sp" : "=r"(sp));
    kprintf("scause %#lx sepc %#lx stval %#lx sstatus %#lx satp %#lx sie %#lx sip %#lx\n",
            csr_read(CSR_SCAUSE), csr_read(CSR_SEPC), csr_read(CSR_STVAL), csr_read(CSR_SSTATUS),
            csr_read(CSR_SATP), csr_read(CSR_SIE), csr_read(CSR_SIP));
    if (trap_frame)
        print_registers(trap_frame);
    print_backtrace(trap_frame ? trap_frame->x[2] : sp);
}

/* Before a hart has its own vector. */
_Noreturn void riscv_early_trap(uint64_t scause, uint64_t sepc, uint64_t stval)
{
    static char reason[96];
    snprintf(reason, sizeof reason, "%s during start at %#lx, address %#lx", cause_name(scause),
             (unsigned long)sepc, (unsigned long)stval);
    kernel_panic("start", (int)scause, reason);
}
