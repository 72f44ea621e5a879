/*
 * Time: the machine's time base, and the conversions that the ABI needs. Ticks count from the start
 * of the machine; real time is that of the clock of day when it started.
 */
#ifndef LINUX_TIME_H
#define LINUX_TIME_H

#include <stdint.h>

#include "user/linux/abi.h"

#define TIME_NEVER (~0UL)

/* `real_ns`: nanoseconds since 1970 now; 0: unknown, then real time began at a fixed date. */
void time_init(uint64_t timebase_hz, uint64_t real_ns);
/* Real time when the machine started. */
int64_t time_epoch_sec(void);
/* Real time now. */
struct linux_timespec time_real(void);
static inline int time_is_later(const struct linux_timespec *a, const struct linux_timespec *b)
{
    return a->sec > b->sec || (a->sec == b->sec && a->nsec > b->nsec);
}
uint64_t time_hz(void);
uint64_t time_now_ticks(void); /* tests on the host give their own */
/* Rounded down. */
struct linux_timespec time_from_ticks(uint64_t ticks);
/* Rounded up, TIME_NEVER if it does not fit. The value must be valid. */
uint64_t time_to_ticks(const struct linux_timespec *value);
struct linux_timeval time_value_from_ticks(uint64_t ticks);
int time_valid(const struct linux_timespec *value);
/* now + ticks, TIME_NEVER on overflow. */
uint64_t time_after(uint64_t ticks);

#endif
