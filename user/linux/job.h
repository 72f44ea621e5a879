/*
 * Job control: processes that are stopped and go on.
 *
 * A process stops when a thread of it takes a signal that does so. Each of its threads is *frozen*
 * as soon as it would go on in user mode: what its request gave, or that the request must be run
 * again, is remembered; a thread that runs is brought out of user mode for that (thread.c). SIGCONT
 * lets them go on where they are, when it is sent; SIGKILL ends them. Big lock held in all
 * functions.
 */
#ifndef LINUX_JOB_H
#define LINUX_JOB_H

#include <stdbool.h>

#include "user/linux/thread.h"

/* A signal is being sent to p: those that stop and SIGCONT cancel each other, and SIGCONT lets a
 * stopped process go on. */
void job_signal_sent(struct process *p, int signal);
/* p takes a signal that stops it; the terminal's do nothing in an orphaned group. */
void job_stop(struct process *p, int signal);
/* Whether nobody in the group has a parent in another group of the session, who could let it go on.
 */
bool job_is_orphaned(int pgid);
/* A thread of p does not run any more: the stop is complete when none does, and its parent is told.
 */
void job_check(struct process *p);
/* t's process is stopped, and t shall go on in that way. The right to answer it is kept, but for
 * one that was stopped in user mode. */
void job_freeze(struct thread *t, enum thread_frozen how, long value);

#endif
