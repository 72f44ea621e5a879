/* The time base and its conversions (see time.h). No division of more than 64 bits, no rounding
 * loss. */
#include "user/linux/time.h"

#define EPOCH_UNKNOWN_SEC 1735689600L /* 2025-01-01T00:00:00Z */

static uint64_t hz = 1;
static int64_t epoch_sec = EPOCH_UNKNOWN_SEC;

#define NSEC_PER_SEC 1000000000UL

void time_init(uint64_t timebase_hz, uint64_t real_ns)
{
    hz = timebase_hz ? timebase_hz : 1;
    if (real_ns)
        epoch_sec = (int64_t)(real_ns / NSEC_PER_SEC - time_now_ticks() / hz);
}

int64_t time_epoch_sec(void)
{
    return epoch_sec;
}

uint64_t time_hz(void)
{
    return hz;
}

#ifndef PAGODA_HOST
uint64_t time_now_ticks(void)
{
    uint64_t ticks;

    __asm__ volatile("rdtime %0" : "=r"(ticks));
    return ticks;
}
#endif

struct linux_timespec time_from_ticks(uint64_t ticks)
{
    return (struct linux_timespec){
        .sec = (int64_t)(ticks / hz),
        .nsec = (int64_t)(ticks % hz * NSEC_PER_SEC / hz),
    };
}

struct linux_timeval time_value_from_ticks(uint64_t ticks)
{
    const struct linux_timespec time = time_from_ticks(ticks);

    return (struct linux_timeval){time.sec, time.nsec / 1000};
}

int time_valid(const struct linux_timespec *value)
{
    return value->sec >= 0 && value->nsec >= 0 && value->nsec < (int64_t)NSEC_PER_SEC;
}

uint64_t time_to_ticks(const struct linux_timespec *value)
{
    uint64_t part = ((uint64_t)value->nsec * hz + NSEC_PER_SEC - 1) / NSEC_PER_SEC;
    uint64_t ticks;

    if (__builtin_mul_overflow((uint64_t)value->sec, hz, &ticks) ||
        __builtin_add_overflow(ticks, part, &ticks))
        return TIME_NEVER;
    return ticks;
}

uint64_t time_after(uint64_t ticks)
{
    uint64_t deadline;

    return __builtin_add_overflow(time_now_ticks(), ticks, &deadline) ? TIME_NEVER : deadline;
}

struct linux_timespec time_real(void)
{
    struct linux_timespec now = time_from_ticks(time_now_ticks());

    now.sec += epoch_sec;
    return now;
}
