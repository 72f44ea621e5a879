/*
 * CPU time: what the kernel makes threads pay for (CALL_THREAD_TIME), added up by process.
 *
 * The sum is exact to the tick of the time base. How it splits into user and system is told by whom
 * the timer found running, as on Linux; what is told never goes back. Clocks show either, and a
 * cpu_timer expires at a time of such a clock: the machine has no timer for that, so the clock is
 * looked at, first when it could be time at the earliest, and then again, but not more often than
 * Linux's tick. Big lock held in all functions.
 */
#ifndef LINUX_CPUTIME_H
#define LINUX_CPUTIME_H

#include <stdbool.h>
#include <stdint.h>

#include "user/linux/abi.h"
#include "user/linux/timer.h"

struct process;
struct thread;

struct cpu_used {
    uint64_t ticks;                  /* of the time base */
    uint64_t seen_user, seen_served; /* how often the timer found it so */
};

void cpu_used_add(struct cpu_used *sum, const struct cpu_used *more);

struct cpu_time {
    uint64_t user, system; /* ticks */
};

struct cpu_time cpu_time_of_thread(struct thread *t);
struct cpu_time cpu_time_of_process(struct process *p);
/* The process and those of its children that were waited for. */
struct cpu_time cpu_time_of_family(struct process *p);
/* The child was waited for. */
void cpu_child_gone(struct process *parent, struct process *child);

/* Of all that has passed on a hart; and what nobody used of it. */
struct cpu_time cpu_time_of_hart(unsigned hart, uint64_t *idle);

enum cpu_clock_kind { CPU_CLOCK_BOTH, CPU_CLOCK_USER, CPU_CLOCK_SUM }; /* as in a clock's number */

struct cpu_clock {
    enum cpu_clock_kind kind;
    bool of_thread;
    int id;          /* pid or tid */
    uint64_t serial; /* of that one: its number may be used again */
};

/* Whether a clock's number is one of these. */
bool cpu_clock_is(int32_t number);
/* The clock of that number for t, which may ask for every process and the threads of its own. */
bool cpu_clock_find(const struct thread *t, int32_t number, struct cpu_clock *clock);
/* One of a process. */
struct cpu_clock cpu_clock_of(const struct process *p, enum cpu_clock_kind kind);
/* False: whose it was is gone. */
bool cpu_clock_now(const struct cpu_clock *clock, uint64_t *ticks);
/* Whether it is t's own. */
bool cpu_clock_is_own(const struct cpu_clock *clock, const struct thread *t);
/* Time of the machine at which a clock that shows `now` could show `due`. */
uint64_t cpu_clock_look(const struct cpu_clock *clock, uint64_t now, uint64_t due);

struct cpu_timer {
    struct timer look;
    struct cpu_clock clock;
    uint64_t due;                            /* time of the clock; 0: not set */
    void (*expire)(struct cpu_timer *timer); /* it is not set any more, and may be set again */
};

/* `due` is not 0. */
void cpu_timer_set(struct cpu_timer *timer, uint64_t due);
void cpu_timer_clear(struct cpu_timer *timer);
uint64_t cpu_timer_left(const struct cpu_timer *timer);

#endif
