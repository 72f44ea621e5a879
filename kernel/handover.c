/*
 * From the boot to the scheduler. The text and data that only the boot needed is memory like any
 * other from here on: the memory server has been given it, and the kernel maps none of it as its
 * image. So nothing in this file, and nothing that runs later, calls or reads what is marked
 * BOOT_ONLY or lies in a boot-only file (arch/riscv/kernel.lds); harness/bootrefs.py checks that.
 */
#include "arch/arch.h"
#include "arch/boot.h"
#include "kernel/assert.h"
#include "kernel/hart.h"
#include "kernel/pager_hook.h"
#include "kernel/sched.h"

/* A hart's way into the scheduler, where it waits for its first thread. */
static _Noreturn void hart_run(struct hart *h)
{
    kernel_lock();
    sched_timer_start(h);
    sched_run(h);
    kernel_panic(__FILE__, __LINE__, "the scheduler returned");
}

_Noreturn void kernel_hart_main(struct hart *h)
{
    arch_hart_init();
    __atomic_store_n(&h->online, 1, __ATOMIC_RELEASE);
    /* The boot hart counts this one in, when its number is final. */
    while (__atomic_load_n(&harts_online, __ATOMIC_ACQUIRE) <= h->id)
        arch_relax();
    hart_run(h);
}

/* The memory server in the kernel starts on behalf of its thread. */
static void start_pager(struct hart *h, const struct boot_info *info)
{
    struct thread *t = h->pager_thread;
    pager_start(info);
    kernel_lock();
    t->state = THREAD_STOPPED;
    kernel_unlock();
}

_Noreturn void kernel_hand_over(const struct boot_info *info, bool pager_kernel)
{
    struct hart *h = this_hart();
    arch_boot_only_release(!pager_kernel);
    if (pager_kernel)
        start_pager(h, info);
    hart_run(h);
}
