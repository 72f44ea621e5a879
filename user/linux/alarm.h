/*
 * Timers of programs: the interval timer that sends SIGALRM, and those of timer_create(). Big lock
 * held in all functions.
 */
#ifndef LINUX_ALARM_H
#define LINUX_ALARM_H

#include <stdint.h>
#include <sys/queue.h>

#include "user/linux/timer.h"

struct process;
struct posix_timer;
LIST_HEAD(posix_timer_list, posix_timer);

/* ITIMER_REAL of a process. */
struct alarm {
    struct timer timer;
    uint64_t interval; /* ticks; 0: once */
};

/* execve: those of timer_create() go, the interval timer stays. */
void alarms_exec(struct process *p);
/* p ends: all go. */
void alarms_end(struct process *p);

#endif
