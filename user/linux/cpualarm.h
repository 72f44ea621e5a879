/*
 * What a process set itself on its CPU time: ITIMER_VIRTUAL, ITIMER_PROF, and RLIMIT_CPU. Big lock
 * held in all functions.
 */
#ifndef LINUX_CPUALARM_H
#define LINUX_CPUALARM_H

#include "user/linux/cputime.h"

enum cpu_alarm_kind { CPU_ALARM_VIRTUAL, CPU_ALARM_PROF, CPU_ALARM_LIMIT, CPU_ALARMS };

struct cpu_alarm {
    struct cpu_timer timer;
    uint64_t due;      /* when it expires, or did last */
    uint64_t interval; /* ticks; 0: once */
};

/* In `left` ticks, 0: not, and then at every interval. */
void cpu_alarm_set(struct process *p, enum cpu_alarm_kind kind, uint64_t left, uint64_t interval);
/* RLIMIT_CPU of p is new. */
void cpu_limit_apply(struct process *p);
/* p ends. */
void cpu_alarms_end(struct process *p);

#endif
