/*
 * Timers of programs: the interval timer that sends SIGALRM, and those of timer_create(). Big lock
 * held in all functions.
 */
#ifndef LINUX_ALARM_H
#define LINUX_ALARM_H

#include <stdint.h>
#include <sys/queue.h>

#include "user/linux/cputime.h"
#include "user/linux/timer.h"

struct process;
struct thread;
struct posix_timer;
LIST_HEAD(posix_timer_list, posix_timer);

/* ITIMER_REAL of a process. */
struct alarm {
    struct timer timer;
    uint64_t interval; /* ticks; 0: once */
};

/* The clock of a timer or a sleep: 0, with *cpu if it is one of CPU time; -EINVAL: there is none,
 * -EOPNOTSUPP: it only tells the time. */
long alarm_clock(const struct thread *t, int32_t number, struct cpu_clock *cpu);
/* execve: those of timer_create() go, the interval timer stays. */
void alarms_exec(struct process *p);
/* p ends: all go. */
void alarms_end(struct process *p);

#endif
