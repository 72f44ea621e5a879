/*
 * Fixed priorities, round robin within one, a run queue per hart; all under the kernel lock.
 *
 * Functions that return bool end a visit to the kernel: on hardware they do not return.
 */
#ifndef KERNEL_SCHED_H
#define KERNEL_SCHED_H

#include "kernel/hart.h"

#define SLICE_PERIODS 2 /* timer periods in a time slice */

/* Kernel lock held. Make it READY on its hart, and have that hart look again if it matters. */
void sched_ready(struct thread *t);
/* Kernel lock held. Take a READY thread out of its queue; it is STOPPED then. */
void sched_remove(struct thread *t);
/* Kernel lock held; releases it. Run the best thread of this hart, or idle until there is one. */
bool sched_run(struct hart *h);
/* Kernel lock held; releases it. Go back to user mode in `t`, or in a better one. */
bool sched_return(struct hart *h, struct thread *t);
/* Kernel lock held. Take all pending interrupts of this hart. */
void sched_interrupts(struct hart *h);
/* Arm this hart's timer for its next period or the earliest timer, whichever comes first. */
void sched_timer_start(struct hart *h);
/* Kernel lock held. Have this hart's timer fire by `deadline` at the latest. */
void sched_timer_before(struct hart *h, uint64_t deadline);
/* Kernel lock held. t is going away: nobody pays for what is left of it. */
void sched_payer_ends(const struct thread *t);
/* Kernel lock held. What t has paid for until now, in ticks. */
uint64_t sched_paid_ticks(const struct thread *t);
/* From the trap code: an interrupt came while t ran; all its registers are saved. */
bool interrupt_enter(struct thread *t);

/* How much this hart has done for user mode: changes whenever something happened. */
static inline uint64_t hart_events(const struct hart *h)
{
    return h->counter[COUNT_fault_fast] + h->counter[COUNT_call_fast] + h->counter[COUNT_trap_slow];
}

#endif
