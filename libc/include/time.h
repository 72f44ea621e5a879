/* The C library's <time.h> with Linux's clock numbers and clock calls. */
#ifndef PG_TIME_H
#define PG_TIME_H

#include_next <time.h>

#undef CLOCK_REALTIME
#undef CLOCK_MONOTONIC
#undef CLOCK_PROCESS_CPUTIME_ID
#undef CLOCK_THREAD_CPUTIME_ID
#define CLOCK_REALTIME           ((clockid_t)0)
#define CLOCK_MONOTONIC          ((clockid_t)1)
#define CLOCK_PROCESS_CPUTIME_ID ((clockid_t)2)
#define CLOCK_THREAD_CPUTIME_ID  ((clockid_t)3)

int clock_gettime(clockid_t clock, struct timespec *now);
int nanosleep(const struct timespec *want, struct timespec *left);

#endif
