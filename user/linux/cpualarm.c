/* Alarms on the CPU time of a process (see cpualarm.h). */
#include "user/linux/cpualarm.h"

#include "user/linux/process.h"
#include "user/linux/signal.h"
#include "user/linux/time.h"

/* Whose alarm that is, and which. */
static struct process *process_of(struct cpu_timer *timer, enum cpu_alarm_kind *kind)
{
    struct process *p = process_by_pid(timer->clock.id);

    *kind = (enum cpu_alarm_kind)((struct cpu_alarm *)timer - p->cpu_alarm);
    return p;
}

static void interval_expired(struct cpu_timer *timer)
{
    const struct signal_info info = {.code = LINUX_SI_KERNEL};
    enum cpu_alarm_kind kind;
    struct process *p = process_of(timer, &kind);
    struct cpu_alarm *alarm = &p->cpu_alarm[kind];

    /* The next time may have passed too: each is one signal, as on Linux. */
    alarm->due += alarm->interval;
    if (alarm->interval)
        cpu_timer_set(timer, alarm->due);
    signal_send_process(p, kind == CPU_ALARM_PROF ? LINUX_SIGPROF : LINUX_SIGVTALRM, &info);
}

void cpu_alarm_set(struct process *p, enum cpu_alarm_kind kind, uint64_t left, uint64_t interval)
{
    struct cpu_alarm *alarm = &p->cpu_alarm[kind];
    uint64_t now;

    cpu_timer_clear(&alarm->timer);
    alarm->interval = interval;
    alarm->timer.expire = interval_expired;
    alarm->timer.clock =
        cpu_clock_of(p, kind == CPU_ALARM_VIRTUAL ? CPU_CLOCK_USER : CPU_CLOCK_BOTH);
    if (!left || !cpu_clock_now(&alarm->timer.clock, &now) ||
        __builtin_add_overflow(now, left, &alarm->due))
        return;
    cpu_timer_set(&alarm->timer, alarm->due);
}

/* A limit in seconds as ticks, at least one. */
static uint64_t limit_ticks(uint64_t seconds)
{
    const struct linux_timespec time = {.sec = (int64_t)seconds};
    uint64_t ticks = seconds > INT64_MAX ? TIME_NEVER : time_to_ticks(&time);

    return ticks ? ticks : 1;
}

/* The soft limit sends a signal each second until the hard one ends the process. */
static void limit_expired(struct cpu_timer *timer)
{
    const struct signal_info info = {.code = LINUX_SI_KERNEL};
    enum cpu_alarm_kind kind;
    struct process *p = process_of(timer, &kind);
    struct linux_rlimit *limit = &p->limit[LINUX_RLIMIT_CPU];
    uint64_t now = 0;

    if (cpu_clock_now(&timer->clock, &now) && now >= limit_ticks(limit->hard)) {
        signal_send_process(p, LINUX_SIGKILL, &info);
        return;
    }
    limit->soft++;
    cpu_limit_apply(p);
    signal_send_process(p, LINUX_SIGXCPU, &info);
}

void cpu_limit_apply(struct process *p)
{
    const struct linux_rlimit *limit = &p->limit[LINUX_RLIMIT_CPU];
    struct cpu_timer *timer = &p->cpu_alarm[CPU_ALARM_LIMIT].timer;
    uint64_t due = limit_ticks(limit->soft < limit->hard ? limit->soft : limit->hard);

    cpu_timer_clear(timer);
    timer->expire = limit_expired;
    timer->clock = cpu_clock_of(p, CPU_CLOCK_SUM);
    if (due != TIME_NEVER)
        cpu_timer_set(timer, due);
}

void cpu_alarms_end(struct process *p)
{
    for (unsigned kind = 0; kind < CPU_ALARMS; kind++)
        cpu_timer_clear(&p->cpu_alarm[kind].timer);
}
