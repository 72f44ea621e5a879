/* The calls about time: clocks, and sleeping. Every clock runs with the time base. */
#include "user/linux/calls.h"

#include "user/linux/process.h"
#include "user/linux/request.h"
#include "user/linux/space.h"
#include "user/linux/time.h"

#define TIMES_HZ 100 /* of times(2): AT_CLKTCK */

/* Time now on a clock; false if there is no such clock. */
static bool clock_now(const struct thread *t, int32_t clock, struct linux_timespec *now)
{
    uint64_t ticks = time_now_ticks();
    struct cpu_clock cpu;

    switch (clock) {
    case LINUX_CLOCK_REALTIME:
    case LINUX_CLOCK_REALTIME_COARSE:
        *now = time_real();
        return true;
    case LINUX_CLOCK_MONOTONIC:
    case LINUX_CLOCK_MONOTONIC_RAW:
    case LINUX_CLOCK_MONOTONIC_COARSE:
    case LINUX_CLOCK_BOOTTIME:
        *now = time_from_ticks(ticks);
        return true;
    default:
        if (!cpu_clock_is(clock) || !cpu_clock_find(t, clock, &cpu) || !cpu_clock_now(&cpu, &ticks))
            return false;
        *now = time_from_ticks(ticks);
        return true;
    }
}

long linux_clock_gettime(struct thread *t, const uint64_t *a)
{
    struct linux_timespec now;

    if (!clock_now(t, (int32_t)a[0], &now))
        return -LINUX_EINVAL;
    return copy_out(t->process->space, a[1], &now, sizeof(now));
}

long linux_clock_getres(struct thread *t, const uint64_t *a)
{
    struct linux_timespec now, resolution = time_from_ticks(1);

    if (!clock_now(t, (int32_t)a[0], &now))
        return -LINUX_EINVAL;
    if (resolution.nsec == 0)
        resolution.nsec = 1;
    return a[1] ? copy_out(t->process->space, a[1], &resolution, sizeof(resolution)) : 0;
}

long linux_gettimeofday(struct thread *t, const uint64_t *a)
{
    struct linux_timespec now;
    const uint64_t no_zone = 0; /* two ints */

    clock_now(t, LINUX_CLOCK_REALTIME, &now);
    struct linux_timeval value = {now.sec, now.nsec / 1000};
    if (a[0] && copy_out(t->process->space, a[0], &value, sizeof(value)))
        return -LINUX_EFAULT;
    return a[1] ? copy_out(t->process->space, a[1], &no_zone, sizeof(no_zone)) : 0;
}

/* Sleep until t->until; what is left of it goes to `left` if a signal comes (0: nowhere). */
static long sleep_until(struct thread *t, uint64_t left)
{
    if (deadline_passed(t))
        return 0;
    long result = request_wait(t, NULL);
    if (result == REQUEST_WAITS)
        return result;
    uint64_t now = time_now_ticks();
    if (now >= t->until)
        return 0;
    if (left) {
        struct linux_timespec rest = time_from_ticks(t->until - now);
        if (copy_out(t->process->space, left, &rest, sizeof(rest)))
            return -LINUX_EFAULT;
    }
    return REQUEST_INTERRUPTED;
}

static long read_want(struct thread *t, uint64_t address, struct linux_timespec *want)
{
    if (copy_in(t->process->space, want, address, sizeof(*want)))
        return -LINUX_EFAULT;
    return time_valid(want) ? 0 : -LINUX_EINVAL;
}

long linux_nanosleep(struct thread *t, const uint64_t *a)
{
    struct linux_timespec want;

    if (!t->again) {
        long error = read_want(t, a[0], &want);
        if (error)
            return error;
        t->until = time_after(time_to_ticks(&want));
    }
    return sleep_until(t, a[1]);
}

/* Until a CPU clock, not of the sleeper, shows a time; who is gone meanwhile holds nobody up. */
static long cpu_sleep(struct thread *t, const struct cpu_clock *clock, bool absolute, uint64_t from,
                      uint64_t left)
{
    struct linux_timespec want;
    uint64_t now;

    if (cpu_clock_is_own(clock, t))
        return -LINUX_EINVAL;
    if (!cpu_clock_now(clock, &now))
        return 0;
    if (!t->again) {
        long error = read_want(t, from, &want);
        if (error)
            return error;
        if (__builtin_add_overflow(absolute ? 0 : now, time_to_ticks(&want), &t->until))
            t->until = TIME_NEVER;
    }
    if (now >= t->until)
        return 0;
    long result = request_wait(t, NULL);
    if (result == REQUEST_WAITS) {
        deadline_set(t, cpu_clock_look(clock, now, t->until));
        return result;
    }
    const struct linux_timespec rest = time_from_ticks(t->until - now);
    if (!absolute && left && copy_out(t->process->space, left, &rest, sizeof(rest)))
        return -LINUX_EFAULT;
    return REQUEST_INTERRUPTED;
}

long linux_clock_nanosleep(struct thread *t, const uint64_t *a)
{
    bool absolute = ((uint32_t)a[1] & LINUX_TIMER_ABSTIME) != 0;
    int32_t number = (int32_t)a[0];
    struct linux_timespec want;
    struct cpu_clock clock;
    long error =
        number == LINUX_CLOCK_THREAD_CPUTIME ? -LINUX_EOPNOTSUPP : alarm_clock(t, number, &clock);

    if (error) /* nobody's clock any more: it was there at the first run */
        return t->again ? 0 : error;
    if (cpu_clock_is(number))
        return cpu_sleep(t, &clock, absolute, a[2], a[3]);
    if (!t->again) {
        error = read_want(t, a[2], &want);
        if (error)
            return error;
        if (absolute && number == LINUX_CLOCK_REALTIME)
            want.sec = want.sec > time_epoch_sec() ? want.sec - time_epoch_sec() : 0;
        t->until = absolute ? time_to_ticks(&want) : time_after(time_to_ticks(&want));
    }
    return sleep_until(t, absolute ? 0 : a[3]);
}

struct tms {
    int64_t user, system, children_user, children_system;
};

long linux_times(struct thread *t, const uint64_t *a)
{
    uint64_t ticks = time_now_ticks();
    uint64_t unit = time_hz() / TIMES_HZ ? time_hz() / TIMES_HZ : 1;
    const struct cpu_time own = cpu_time_of_process(t->process),
                          *children = &t->process->cpu_children;
    struct tms tms = {(int64_t)(own.user / unit), (int64_t)(own.system / unit),
                      (int64_t)(children->user / unit), (int64_t)(children->system / unit)};

    if (a[0] && copy_out(t->process->space, a[0], &tms, sizeof(tms)))
        return -LINUX_EFAULT;
    return (long)(ticks / unit);
}
