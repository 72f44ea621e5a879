/*
 * Where an in-kernel memory server is called. With pager=user these are not used; a kernel linked
 * without the server has no definition of them, and pager=kernel is refused at boot.
 *
 * A pager worker in the kernel is an ordinary Thread object that is never entered in user mode:
 * where its entry would be, pager_enter() is called on the hart's stack, interrupts off, kernel
 * lock not held. The function ends as a worker does: it makes exactly one answering call (one that
 * goes straight, or kernel_call with CALL_FAULT_REPLY, CALL_REPLY_PARK, CALL_REPLY_BATCH,
 * CALL_FORWARD_PARK or CALL_PARK) and returns.
 */
#ifndef KERNEL_PAGER_HOOK_H
#define KERNEL_PAGER_HOOK_H

#include "kernel/call.h"
#include "kernel/hart.h"

struct boot_info;

/* Start: `info` as a user-mode server gets it, but linear_base is the kernel's. Runs once, on the
 * boot hart, before any worker is entered; ends by returning. */
void pager_start(const struct boot_info *info) __attribute__((weak));
/* kind, and the eight registers a0..a7 as enum enter_kind describes. */
bool pager_enter(unsigned kind, const uint64_t a[8]) __attribute__((weak));
/* ENTER_FAULT from the straight path, its arguments in registers; `context` is the tp that the
 * worker was bound with. */
bool pager_fault_enter(uint64_t badge, uint64_t address, uint64_t cause, uint64_t pc,
                       uint64_t sequence, uint64_t info0, uint64_t info1, void *context)
    __attribute__((weak));
/* Both answer true if one of the straight answers below did, at once. Else pager_enter() false, and
 * pager_fault_enter() ends with pager_go_on(). */
bool pager_go_on(void);

/* The worker that was entered last on this hart; for its context. */
static inline struct thread *pager_worker(void)
{
    return this_hart()->pager_thread;
}

/*
 * For the pager: answers that go straight. The hart is the client's again, or its personality's, so
 * on hardware these come back only if the answer is not plain (false, and nothing has changed):
 * then kernel_call() answers. A fault's mapping; a value; the event handed on; the worker's batch,
 * which may also have stopped in the middle: the CALL_REPLY_BATCH that must follow says where.
 */
bool pager_fault_reply(uint64_t entry, uint64_t memory, uint64_t old);
bool pager_reply_park(uint64_t value);
bool pager_forward_park(uint64_t info0, uint64_t info1);
bool pager_reply_batch(uint64_t space, uint64_t count, uint64_t value);

/* CALL_BATCH as worker thread of this hart. */
struct batch_answer kernel_batch(uint64_t space, uint64_t count);

/* For the pager: make a kernel call as worker thread of this hart. a1/a2 results through out. */
long kernel_call(long number, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                 uint64_t a5, uint64_t out[2]);

#endif
