/*
 * The in-kernel pager's side of the straight paths, and the slow continuation of calls that were
 * entered by number in the trap code.
 */
#ifndef KERNEL_PAGER_H
#define KERNEL_PAGER_H

#include "kernel/thread.h"

/* Call the in-kernel pager for the event of t that worker w has, then go on as it answered. */
bool pager_foreign(struct thread *t, struct thread *w);
/* A kernel worker was chosen by the scheduler: call the pager with what is in its registers. */
void pager_run(struct thread *w);

/* fast.c: the straight answers, without the return to user mode. */
bool fault_reply_in_kernel(struct thread *w, uint64_t entry, uint64_t memory, uint64_t old);
bool reply_park_in_kernel(struct thread *w, uint64_t value);

/*
 * call.c: any native call of t; the callee-saved registers are in t->x. Returns the value for a0
 * (a1 and a2 in t->x[11], t->x[12]); if the call gave the hart to another thread it does not return
 * on hardware.
 */
long native_call(uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
                 struct thread *t, long number);

#endif
