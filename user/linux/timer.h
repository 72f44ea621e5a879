/*
 * Timers: something to be done at a time. One list of all that are set, in order of time; the
 * machine's timer interrupt runs those whose time has come. A thread's deadline (sleep.h) is one.
 * Big lock held in all functions.
 */
#ifndef LINUX_TIMER_H
#define LINUX_TIMER_H

#include <stdint.h>
#include <sys/queue.h>

struct timer {
    uint64_t ticks; /* when; 0: not set */
    TAILQ_ENTRY(timer) link;
    void (*expire)(struct timer *timer); /* it is not set any more, and may be set again */
};

/* At that time (not 0), instead of an earlier or later one. `expire` must be there. */
void timer_set(struct timer *timer, uint64_t ticks);
void timer_clear(struct timer *timer);
/* Those whose time has come. */
void timers_run(uint64_t now_ticks);
/* The earliest of all; ~0 if there is none. */
uint64_t timers_next(void);

#endif
