/*
 * Fixed priorities, round robin within one, a run queue per hart; all under the kernel lock.
 */
#ifndef KERNEL_SCHED_H
#define KERNEL_SCHED_H

#include "kernel/hart.h"

#define SLICE_PERIODS 2 /* timer periods in a time slice */

/* Kernel lock held. Make it READY on its hart, and have that hart look again if it matters. */
void sched_ready(struct thread *t);
/* Kernel lock held. Take a READY thread out of its queue. */
void sched_remove(struct thread *t);
/* Kernel lock held; releases it. Run the best thread of this hart, or idle until there is one. */
void sched_run(struct hart *h);
/* Kernel lock held; releases it. Go back to user mode in `t`, or in a better one. */
void sched_return(struct hart *h, struct thread *t);

#endif
