/*
 * What the portable kernel needs of a machine. arch/riscv implements it on hardware; arch/host
 * simulates it, with a shadow TLB per hart, for tests.
 */
#ifndef ARCH_ARCH_H
#define ARCH_ARCH_H

#include "kernel/types.h"
#include "kernel/hart.h"

/* The kernel's linear map: virtual = physical + linear_base, over all memory and devices. */
extern uint64_t arch_linear_base;
static inline void *phys_to_virt(paddr_t p)
{
    return (void *)(p + arch_linear_base);
}
static inline paddr_t virt_to_phys(const void *v)
{
    return (paddr_t)v - arch_linear_base;
}
static inline void *page_to_virt(pfn_t page)
{
    return phys_to_virt(page << PAGE_SHIFT);
}
static inline pfn_t virt_to_page(const void *v)
{
    return virt_to_phys(v) >> PAGE_SHIFT;
}

/* Features found at boot: BOOT_HAS_*; number of implemented ASID bits. */
extern uint32_t arch_features;
extern unsigned arch_asid_bits;
extern uint64_t arch_timebase_hz;

/*
 * A part of the kernel's half that nothing uses until the in-kernel memory server arranges it: all
 * its tables above the leaf tables are there, so no top-level entry changes. Entries are reached at
 * level 1 (tables, 2 MiB leaves) or, where a leaf table stands, 0. Riscv only.
 */
extern const vaddr_t arch_window_start, arch_window_end;
uint64_t *arch_window_entry(vaddr_t address, unsigned level);

/* Copy the kernel's half into a new root table. */
void arch_root_init(uint64_t *root);
/* The value that selects a root table with an ASID. */
uint64_t arch_satp(pfn_t root, uint64_t asid);
void arch_satp_write(uint64_t satp);
/* The kernel's own root table, for a hart that runs nothing. */
uint64_t arch_satp_kernel(void);

/* Fences on this hart. Range is bytes; an implementation may do more than asked. */
void arch_fence_range(uint64_t asid, vaddr_t start, vaddr_t end);
void arch_fence_asid(uint64_t asid);
#ifdef __riscv
/* The same for one page, where each instruction counts. With no ASIDs, or no number of its own, it
 * is for all. */
static inline void arch_fence_page(uint64_t asid, vaddr_t address)
{
    if (__builtin_expect(asid != 0, 1))
        __asm__ volatile("sfence.vma %0, %1" : : "r"(address), "r"(asid) : "memory");
    else
        __asm__ volatile("sfence.vma %0, zero" : : "r"(address) : "memory");
}
#else
void arch_fence_page(uint64_t asid, vaddr_t address);
#endif
void arch_fence_all(void);
void arch_fence_code(void);
/* Fences on other harts (mask of hart ids); returns when they are done. */
void arch_fence_range_remote(uint64_t mask, uint64_t asid, vaddr_t start, vaddr_t end);
void arch_fence_asid_remote(uint64_t mask, uint64_t asid);
void arch_fence_all_remote(uint64_t mask);
void arch_fence_code_remote(uint64_t mask);

/* Interrupt another hart (software interrupt); of this hart: taken on return to user mode. */
void arch_interrupt_hart(unsigned hart_id);

uint64_t arch_time(void);               /* time base ticks */
void arch_timer_set(uint64_t deadline); /* this hart's; also clears a pending one */
uint64_t arch_instructions(void);

/* Wait until an interrupt may be pending (interrupts stay off). */
void arch_wait(void);
/* Called in spin loops. */
void arch_relax(void);

/* Pending interrupts of this hart, taken one by one: 0 none, else ARCH_IRQ_*. Software ones are
 * cleared by taking them; the timer by arch_timer_set. */
enum { ARCH_IRQ_NONE, ARCH_IRQ_SOFTWARE, ARCH_IRQ_TIMER, ARCH_IRQ_EXTERNAL };
unsigned arch_interrupt_pending(void);

/* Interrupt controller. */
uint32_t arch_source_claim(void); /* 0: none */
void arch_source_complete(uint32_t source);
void arch_source_enable(uint32_t source, bool on);
bool arch_source_exists(uint32_t source);

/* Floating point: the hart's registers from/to t->f, t->fcsr. */
bool arch_fp_dirty(void);
void arch_fp_save(struct thread *t);
void arch_fp_load(struct thread *t); /* state becomes clean */
void arch_fp_zero(void);             /* registers zero, state clean */

/*
 * Going to user mode. On hardware none of these returns; the simulated machine notes what was
 * chosen and returns true, so callers do nothing after them. They clear the hart's busy flag.
 */
/* a0..a4 as enum enter_kind says. */
bool enter_fault(uint64_t badge, uint64_t address, uint64_t cause, uint64_t pc, uint64_t sequence,
                 struct thread *worker);
/* a0..a7 as enum enter_kind says; the worker is this_hart()->entering. */
bool enter_call(uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
                uint64_t badge, uint64_t number);
/* The same for a call that another worker has handed on: nothing of that one's is left. */
bool enter_call_forwarded(uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                          uint64_t a5, uint64_t badge, uint64_t number);
/* a0..a7 as enum enter_kind says; the worker is this_hart()->entering. */
bool enter_forwarded(uint64_t badge, uint64_t address, uint64_t cause, uint64_t pc,
                     uint64_t sequence, uint64_t info0, uint64_t info1, uint64_t sp);
/* s2..s7 stay as they are. */
bool enter_message(struct thread *worker, uint64_t badge);
/* All registers from t->x; the space is t->satp. */
bool resume_full(struct thread *t);
/* The same where t's space is already the hart's (an in-kernel pager answered). */
bool resume_same(struct thread *t);
/* pc, sp, gp, tp from t->x; s0..s11 stay as they are. */
bool resume_message(struct thread *t, uint64_t a0);

/* Console and power. */
void arch_console_write(const char *text, size_t bytes);
_Noreturn void arch_power_off(int status); /* 0: success; 1..255 */
/* Print what the machine knows about a crash (registers, backtrace); called by kernel_panic. */
void arch_crash_details(void);

#endif
