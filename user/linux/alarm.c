/*
 * Timers of programs (see alarm.h).
 *
 * A timer of timer_create() that has expired does not run on until its signal is taken: then it is
 * known how often it would have expired meanwhile, and it is set for the next time. So a program
 * that blocks its signal costs nothing, and the signal pends once.
 */
#include "user/linux/alarm.h"

#include <stddef.h>
#include <string.h>

#include "user/linux/calls.h"
#include "user/linux/lock.h"
#include "user/linux/process.h"
#include "user/linux/signal.h"
#include "user/linux/space.h"
#include "user/linux/time.h"

#define TIMERS_MAX  256 /* of timer_create(), of all processes */
#define OVERRUN_MAX 0x7fffffff
#define INTERVALS_PER_SECOND                                             \
    10000 /* at most: what is less would leave no time for anything else \
           */

/* ---- the interval timer ---- */

/* The first of `first`, `first + interval`, ... that is later than now. */
static uint64_t next_time(uint64_t first, uint64_t interval, uint64_t now, uint64_t *passed)
{
    *passed = first <= now ? (now - first) / interval + 1 : 0;
    return first + *passed * interval;
}

static void alarm_expired(struct timer *timer)
{
    struct process *p = (void *)((char *)timer - offsetof(struct process, alarm.timer));
    const struct signal_info info = {.code = LINUX_SI_KERNEL};
    uint64_t shortest = time_hz() / INTERVALS_PER_SECOND + 1;
    uint64_t interval = p->alarm.interval > shortest ? p->alarm.interval : shortest;

    if (p->alarm.interval && time_after(interval) != TIME_NEVER)
        timer_set(timer, time_after(interval));
    signal_send_process(p, LINUX_SIGALRM, &info);
}

struct itimerval {
    struct linux_timeval interval, value;
};

static bool ticks_of(const struct linux_timeval *value, uint64_t *ticks)
{
    const struct linux_timespec time = {value->sec, value->usec * 1000};

    if (value->sec < 0 || value->usec < 0 || value->usec >= 1000000)
        return false;
    *ticks = time_to_ticks(&time);
    return true;
}

static uint64_t time_left(const struct timer *timer)
{
    uint64_t now = time_now_ticks();

    return timer->ticks > now ? timer->ticks - now : timer->ticks ? 1 : 0;
}

/* Which alarm on CPU time an interval timer is, other than ITIMER_REAL. */
static enum cpu_alarm_kind cpu_alarm_of(uint32_t which)
{
    return which == LINUX_ITIMER_PROF ? CPU_ALARM_PROF : CPU_ALARM_VIRTUAL;
}

static long alarm_tell(struct thread *t, uint32_t which, uint64_t to)
{
    const struct alarm *alarm = &t->process->alarm;
    const struct cpu_alarm *cpu = &t->process->cpu_alarm[cpu_alarm_of(which)];
    bool real = which == LINUX_ITIMER_REAL;
    const struct itimerval value = {
        time_value_from_ticks(real ? alarm->interval : cpu->interval),
        time_value_from_ticks(real ? time_left(&alarm->timer) : cpu_timer_left(&cpu->timer))};

    return copy_out(t->process->space, to, &value, sizeof(value));
}

static void alarm_set(struct process *p, uint64_t ticks, uint64_t interval)
{
    struct alarm *alarm = &p->alarm;

    alarm->timer.expire = alarm_expired;
    alarm->interval = interval;
    timer_clear(&alarm->timer);
    if (ticks && time_after(ticks) != TIME_NEVER)
        timer_set(&alarm->timer, time_after(ticks));
}

long linux_getitimer(struct thread *t, const uint64_t *a)
{
    uint32_t which = (uint32_t)a[0];

    return which <= LINUX_ITIMER_PROF ? alarm_tell(t, which, a[1]) : -LINUX_EINVAL;
}

long linux_setitimer(struct thread *t, const uint64_t *a)
{
    uint32_t which = (uint32_t)a[0];
    struct itimerval value = {0};
    uint64_t ticks, interval;

    if (which > LINUX_ITIMER_PROF)
        return -LINUX_EINVAL;
    if (a[1] && copy_in(t->process->space, &value, a[1], sizeof(value)))
        return -LINUX_EFAULT;
    if (!ticks_of(&value.value, &ticks) || !ticks_of(&value.interval, &interval))
        return -LINUX_EINVAL;
    if (a[2] && alarm_tell(t, which, a[2]))
        return -LINUX_EFAULT;
    if (which == LINUX_ITIMER_REAL)
        alarm_set(t->process, ticks, interval);
    else
        cpu_alarm_set(t->process, cpu_alarm_of(which), ticks, interval);
    return 0;
}

/* ---- timer_create ---- */

struct posix_timer {
    struct process *process; /* NULL: free */
    LIST_ENTRY(posix_timer) link;
    struct timer timer;
    struct cpu_timer cpu;      /* instead of it, if the clock is one of CPU time */
    struct signal_entry entry; /* in `set`, from its expiry until its signal is taken */
    struct signal_set *set;
    int32_t clock;
    int notify, signal, tid;
    uint64_t value;    /* sigev_value */
    uint64_t interval; /* ticks; 0: once */
    uint64_t expired;  /* when it did last, while its signal pends */
    int32_t overrun;   /* of the signal that was taken last */
};

static struct posix_timer posix_timers[TIMERS_MAX];

static bool is_pending(const struct posix_timer *timer)
{
    return timer->entry.signal != 0;
}

static bool is_of_cpu(const struct posix_timer *timer)
{
    return cpu_clock_is(timer->clock);
}

/* Now, by its clock; nothing happens any more by one that is gone. */
static uint64_t posix_now(const struct posix_timer *timer)
{
    uint64_t now = 0;

    if (!is_of_cpu(timer))
        return time_now_ticks();
    cpu_clock_now(&timer->cpu.clock, &now);
    return now;
}

static void posix_start(struct posix_timer *timer, uint64_t at)
{
    if (is_of_cpu(timer))
        cpu_timer_set(&timer->cpu, at ? at : 1);
    else
        timer_set(&timer->timer, at);
}

static void posix_stop(struct posix_timer *timer)
{
    timer_clear(&timer->timer);
    cpu_timer_clear(&timer->cpu);
}

/* Run on after an expiry; how many more have been missed. */
static int32_t run_on(struct posix_timer *timer)
{
    uint64_t missed = 0;

    if (!timer->interval)
        return 0;
    uint64_t first = timer->expired + timer->interval;
    posix_start(timer, next_time(first, timer->interval, posix_now(timer), &missed));
    return missed < OVERRUN_MAX ? (int32_t)missed : OVERRUN_MAX;
}

/* Its signal was taken, or went without (info is NULL). */
static void signal_taken(struct signal_entry *entry, struct signal_info *info)
{
    struct posix_timer *timer = (void *)((char *)entry - offsetof(struct posix_timer, entry));
    int32_t missed = timer->process ? run_on(timer) : 0;

    if (!info)
        return;
    timer->overrun = missed;
    info->uid = (uint32_t)missed;
}

static void posix_expired(struct posix_timer *timer)
{
    const struct signal_info info = {
        .code = LINUX_SI_TIMER, .pid = (int32_t)(timer - posix_timers), .value = timer->value};
    struct process *p = timer->process;
    struct thread *t = NULL;

    timer->expired = posix_now(timer);
    if (timer->notify == LINUX_SIGEV_THREAD_ID) {
        t = thread_by_tid(timer->tid);
        if (!t || t->process != p || t->state == THREAD_DYING) {
            run_on(timer); /* nobody is left to tell */
            return;
        }
    }
    timer->set = t ? &t->pending : &p->pending;
    timer->entry.taken = signal_taken;
    if (timer->notify == LINUX_SIGEV_NONE ||
        signal_send_entry(p, t, timer->signal, &info, &timer->entry) != SIGNAL_PENDS)
        run_on(timer);
}

static void expired(struct timer *timer)
{
    posix_expired((void *)((char *)timer - offsetof(struct posix_timer, timer)));
}

static void cpu_expired(struct cpu_timer *timer)
{
    posix_expired((void *)((char *)timer - offsetof(struct posix_timer, cpu)));
}

static void posix_delete(struct posix_timer *timer)
{
    timer->process = NULL;
    posix_stop(timer);
    if (is_pending(timer))
        signal_entry_remove(timer->set, &timer->entry);
    LIST_REMOVE(timer, link);
}

void alarms_exec(struct process *p)
{
    struct posix_timer *timer;

    while ((timer = LIST_FIRST(&p->posix_timers)))
        posix_delete(timer);
}

void alarms_end(struct process *p)
{
    alarms_exec(p);
    timer_clear(&p->alarm.timer);
    cpu_alarms_end(p);
}

/* What sigevent asks for: 0 or -errno. */
static long event_read(struct thread *t, uint64_t from, struct posix_timer *timer)
{
    struct linux_sigevent event;

    if (!from) {
        timer->notify = LINUX_SIGEV_SIGNAL;
        timer->signal = LINUX_SIGALRM;
        timer->value = (uint64_t)(timer - posix_timers);
        return 0;
    }
    if (copy_in(t->process->space, &event, from, sizeof(event)))
        return -LINUX_EFAULT;
    timer->notify = event.notify;
    timer->signal = event.signal;
    timer->value = event.value;
    timer->tid = event.tid;
    if (event.notify == LINUX_SIGEV_NONE)
        return 0;
    if (event.notify == LINUX_SIGEV_THREAD_ID) {
        const struct thread *target = thread_by_tid(event.tid);
        if (!target || target->process != t->process)
            return -LINUX_EINVAL;
    } else if (event.notify != LINUX_SIGEV_SIGNAL && event.notify != LINUX_SIGEV_THREAD) {
        return -LINUX_EINVAL;
    }
    return event.signal >= 1 && event.signal <= LINUX_NSIG ? 0 : -LINUX_EINVAL;
}

#define CLOCK_OF_DEVICE      3 /* the low bits of a clock that a descriptor stands for */
#define CLOCK_OF_DEVICE_MASK 7

long alarm_clock(const struct thread *t, int32_t number, struct cpu_clock *cpu)
{
    if (number < 0 && (number & CLOCK_OF_DEVICE_MASK) == CLOCK_OF_DEVICE)
        return -LINUX_EOPNOTSUPP;
    if (cpu_clock_is(number))
        return cpu_clock_find(t, number, cpu) ? 0 : -LINUX_EINVAL;
    switch (number) {
    case LINUX_CLOCK_REALTIME:
    case LINUX_CLOCK_MONOTONIC:
    case LINUX_CLOCK_BOOTTIME:
        return 0;
    case LINUX_CLOCK_MONOTONIC_RAW:
    case LINUX_CLOCK_REALTIME_COARSE:
    case LINUX_CLOCK_MONOTONIC_COARSE:
        return -LINUX_EOPNOTSUPP;
    default:
        return -LINUX_EINVAL;
    }
}

long linux_timer_create(struct thread *t, const uint64_t *a)
{
    struct posix_timer *timer = posix_timers;
    int32_t clock = (int32_t)a[0];
    struct cpu_clock cpu = {0};
    long error = alarm_clock(t, clock, &cpu);

    if (error)
        return error;
    while (timer < posix_timers + TIMERS_MAX && timer->process)
        timer++;
    if (timer == posix_timers + TIMERS_MAX)
        return -LINUX_EAGAIN;
    memset(timer, 0, sizeof(*timer));
    int32_t id = (int32_t)(timer - posix_timers);
    error = event_read(t, a[1], timer);
    if (!error)
        error = copy_out(t->process->space, a[2], &id, sizeof(id));
    if (error)
        return error;
    timer->timer.expire = expired;
    timer->cpu.expire = cpu_expired;
    timer->cpu.clock = cpu;
    timer->clock = clock;
    timer->process = t->process;
    LIST_INSERT_HEAD(&t->process->posix_timers, timer, link);
    return 0;
}

static struct posix_timer *timer_find(const struct thread *t, uint64_t id)
{
    struct posix_timer *timer = (uint32_t)id < TIMERS_MAX ? &posix_timers[(uint32_t)id] : NULL;

    return timer && timer->process == t->process ? timer : NULL;
}

static long posix_tell(struct thread *t, const struct posix_timer *timer, uint64_t to)
{
    uint64_t now = posix_now(timer), missed;
    uint64_t left = is_of_cpu(timer) ? cpu_timer_left(&timer->cpu) : time_left(&timer->timer);

    if (is_pending(timer) && timer->interval)
        left = next_time(timer->expired, timer->interval, now, &missed) - now;
    const struct linux_itimerspec value = {time_from_ticks(timer->interval), time_from_ticks(left)};
    return copy_out(t->process->space, to, &value, sizeof(value));
}

long linux_timer_gettime(struct thread *t, const uint64_t *a)
{
    const struct posix_timer *timer = timer_find(t, a[0]);

    return timer ? posix_tell(t, timer, a[1]) : -LINUX_EINVAL;
}

long linux_timer_getoverrun(struct thread *t, const uint64_t *a)
{
    const struct posix_timer *timer = timer_find(t, a[0]);

    return timer ? timer->overrun : -LINUX_EINVAL;
}

long linux_timer_delete(struct thread *t, const uint64_t *a)
{
    struct posix_timer *timer = timer_find(t, a[0]);

    if (!timer)
        return -LINUX_EINVAL;
    posix_delete(timer);
    return 0;
}

/* When a timer set to `value` expires, in ticks; a time that has passed is now. */
static uint64_t expiry(const struct posix_timer *timer, struct linux_timespec value, bool absolute)
{
    uint64_t now = posix_now(timer), at;

    if (!absolute)
        return __builtin_add_overflow(now, time_to_ticks(&value), &at) ? TIME_NEVER : at;
    if (timer->clock == LINUX_CLOCK_REALTIME)
        value.sec = value.sec > time_epoch_sec() ? value.sec - time_epoch_sec() : 0;
    uint64_t ticks = time_to_ticks(&value);
    return ticks > now ? ticks : now;
}

long linux_timer_settime(struct thread *t, const uint64_t *a)
{
    struct posix_timer *timer = timer_find(t, a[0]);
    struct linux_itimerspec value;

    if (!a[2])
        return -LINUX_EINVAL;
    if (copy_in(t->process->space, &value, a[2], sizeof(value)))
        return -LINUX_EFAULT;
    if (!timer || !time_valid(&value.value) || !time_valid(&value.interval))
        return -LINUX_EINVAL;
    if (a[3] && posix_tell(t, timer, a[3]))
        return -LINUX_EFAULT;
    timer->interval = 0;
    if (is_pending(timer))
        signal_entry_remove(timer->set, &timer->entry);
    posix_stop(timer);
    timer->overrun = 0;
    timer->interval = time_to_ticks(&value.interval);
    if (value.value.sec || value.value.nsec) {
        uint64_t at = expiry(timer, value.value, ((uint32_t)a[1] & LINUX_TIMER_ABSTIME) != 0);
        if (at != TIME_NEVER)
            posix_start(timer, at);
    }
    return 0;
}
