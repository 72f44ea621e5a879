/* Clocks and sleeping. */
#include <errno.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/times.h>
#include <time.h>
#include <unistd.h>

#include "pg.h"

int clock_gettime(clockid_t clock, struct timespec *now)
{
    return (int)pg_ret(pg_syscall(SYS_clock_gettime, (long)clock, now));
}

int nanosleep(const struct timespec *want, struct timespec *left)
{
    return (int)pg_ret(pg_syscall(SYS_nanosleep, want, left));
}

unsigned sleep(unsigned seconds)
{
    struct timespec want = {.tv_sec = seconds};

    return nanosleep(&want, &want) == 0 ? 0 : (unsigned)want.tv_sec;
}

int usleep(useconds_t microseconds)
{
    struct timespec want = {.tv_sec = microseconds / 1000000,
                            .tv_nsec = microseconds % 1000000 * 1000};

    return nanosleep(&want, NULL);
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec precise;

    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &precise) < 0)
        return -1;
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

clock_t times(struct tms *out)
{
    return (clock_t)pg_ret(pg_syscall(SYS_times, out));
}
