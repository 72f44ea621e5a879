/*
 * Where an in-kernel memory server is called. With pager=user these are not used; a kernel linked
 * without the server has no definition of them, and pager=kernel is refused at boot.
 *
 * A pager worker in the kernel is an ordinary Thread object that is never entered in user mode:
 * where its entry would be, pager_enter() is called on the hart's stack, interrupts off, kernel
 * lock not held. The function ends as a worker does: it makes exactly one answering call
 * (kernel_call with CALL_FAULT_REPLY, CALL_REPLY_PARK, CALL_FORWARD_PARK or CALL_PARK) and returns.
 */
#ifndef KERNEL_PAGER_HOOK_H
#define KERNEL_PAGER_HOOK_H

#include "kernel/types.h"

struct boot_info;

/* Start: `info` as a user-mode server gets it, but linear_base is the kernel's. Runs once, on the
 * boot hart, before any worker is entered; ends by returning. */
void pager_start(const struct boot_info *info) __attribute__((weak));
/* kind, and the eight registers a0..a7 as enum enter_kind describes. */
void pager_enter(unsigned kind, const uint64_t a[8]) __attribute__((weak));

/* For the pager: make a kernel call as worker thread of this hart. a1/a2 results through out. */
long kernel_call(long number, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                 uint64_t a5, uint64_t out[2]);

#endif
