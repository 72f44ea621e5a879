/* Counters, timers and signals that are files: eventfd, timerfd, signalfd. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"

#define BAD_PTR       16l
#define NS_PER_MS     1000000l
#define EFD_SEMAPHORE 1l
#define ABSOLUTE      1l /* the kernel's TIMER_ABSTIME; the C library's is another */

struct spec {
    struct timespec interval, value;
};

static int events_of(long fd)
{
    struct pollfd poll = {.fd = (int)fd, .events = POLLIN | POLLOUT};
    struct timespec now = {0};

    EXPECT(SYSCALL(SYS_ppoll, &poll, 1l, &now, 0l, 8l) >= 0);
    return poll.revents;
}

static long read_number(long fd, uint64_t *value)
{
    *value = 0;
    return SYSCALL(SYS_read, fd, value, 8l);
}

static long write_number(long fd, uint64_t value)
{
    return SYSCALL(SYS_write, fd, &value, 8l);
}

KTAP_CASE(a_counter)
{
    long fd = SYSCALL(SYS_eventfd2, 3l, (long)O_NONBLOCK);
    uint64_t value;

    REQUIRE(fd >= 0);
    EXPECT_EQ(events_of(fd), POLLIN | POLLOUT);
    EXPECT_EQ(write_number(fd, 4), 8);
    EXPECT_EQ(read_number(fd, &value), 8);
    EXPECT_EQ(value, 7);
    EXPECT_ERROR(read_number(fd, &value), EAGAIN);
    EXPECT_EQ(events_of(fd), POLLOUT);
    EXPECT_EQ(write_number(fd, ~0ul - 1), 8);
    EXPECT_EQ(events_of(fd), POLLIN);
    EXPECT_EQ(write_number(fd, 0), 8);
    EXPECT_ERROR(write_number(fd, 1), EAGAIN);
    EXPECT_ERROR(write_number(fd, ~0ul), EINVAL);
    EXPECT_ERROR(SYSCALL(SYS_read, fd, &value, 7l), EINVAL);
    EXPECT_ERROR(SYSCALL(SYS_write, fd, BAD_PTR, 8l), EFAULT);
    EXPECT_EQ(read_number(fd, &value), 8);
    EXPECT_EQ(value, ~0ul - 1);
    EXPECT_ERROR(SYSCALL(SYS_eventfd2, 0l, 2l), EINVAL);
    close((int)fd);
}

KTAP_CASE(a_counter_that_cannot_be_told_is_lost)
{
    SKIP_EMULATED("the emulator looks at the pointer first");
    long fd = SYSCALL(SYS_eventfd2, 3l, (long)O_NONBLOCK);
    uint64_t numbers[2] = {1, 1};

    EXPECT_ERROR(SYSCALL(SYS_write, fd, numbers, 16l), EINVAL); /* one number, and no more */
    EXPECT_ERROR(SYSCALL(SYS_read, fd, BAD_PTR, 8l), EFAULT);
    EXPECT_ERROR(read_number(fd, numbers), EAGAIN);
    close((int)fd);
}

KTAP_CASE(a_semaphore)
{
    long fd = SYSCALL(SYS_eventfd2, 2l, (long)O_NONBLOCK | EFD_SEMAPHORE);
    uint64_t value;

    for (int i = 0; i < 2; i++) {
        EXPECT_EQ(read_number(fd, &value), 8);
        EXPECT_EQ(value, 1);
    }
    EXPECT_ERROR(read_number(fd, &value), EAGAIN);
    close((int)fd);
}

KTAP_CASE(a_counter_between_processes)
{
    long one = SYSCALL(SYS_eventfd2, 0l, 0l), two = SYSCALL(SYS_eventfd2, 0l, 0l);
    uint64_t value, sum = 0;

    int pid = fork();
    if (pid == 0) {
        for (uint64_t i = 1; i <= 20; i++) {
            write_number(one, i);
            read_number(two, &value);
        }
        _exit(0);
    }
    for (int i = 0; i < 20; i++) {
        EXPECT_EQ(read_number(one, &value), 8);
        sum += value;
        EXPECT_EQ(write_number(two, 1), 8);
    }
    EXPECT_EQ(sum, 210);
    EXPECT_EQ(waitpid(pid, NULL, 0), pid);
    close((int)one);
    close((int)two);
}

KTAP_CASE(a_counter_wakes_an_epoll)
{
    long fd = SYSCALL(SYS_eventfd2, 0l, 0l), epoll = SYSCALL(SYS_epoll_create1, 0l);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};

    EXPECT_EQ(SYSCALL(SYS_epoll_ctl, epoll, 1l, fd, &event), 0);
    int pid = fork();
    if (pid == 0) {
        struct timespec pause = {.tv_nsec = 20 * NS_PER_MS};
        nanosleep(&pause, NULL);
        write_number(fd, 1);
        _exit(0);
    }
    EXPECT_EQ(SYSCALL(SYS_epoll_pwait, epoll, &event, 1l, -1l, 0l, 8l), 1);
    EXPECT_EQ(SYSCALL(SYS_epoll_pwait, epoll, &event, 1l, 0l, 0l, 8l), 0);
    EXPECT_EQ(write_number(fd, 1), 8);
    EXPECT_EQ(SYSCALL(SYS_epoll_pwait, epoll, &event, 1l, 0l, 0l, 8l), 1);
    EXPECT_EQ(waitpid(pid, NULL, 0), pid);
    close((int)fd);
    close((int)epoll);
}

KTAP_CASE(a_timer_once)
{
    long fd = SYSCALL(SYS_timerfd_create, (long)CLOCK_MONOTONIC, 0l);
    struct spec spec = {.value = {.tv_nsec = 20 * NS_PER_MS}}, now = {0};
    uint64_t value;

    REQUIRE(fd >= 0);
    EXPECT_EQ(events_of(fd), 0);
    EXPECT_EQ(SYSCALL(SYS_timerfd_settime, fd, 0l, &spec, &now), 0);
    EXPECT_EQ(now.value.tv_nsec, 0);
    EXPECT_EQ(SYSCALL(SYS_timerfd_gettime, fd, &now), 0);
    EXPECT(now.value.tv_sec == 0 && now.value.tv_nsec > 0 && now.value.tv_nsec <= 20 * NS_PER_MS);
    EXPECT_EQ(read_number(fd, &value), 8);
    EXPECT_EQ(value, 1);
    EXPECT_EQ(fcntl((int)fd, F_SETFL, O_NONBLOCK), 0);
    EXPECT_ERROR(read_number(fd, &value), EAGAIN);
    EXPECT_EQ(SYSCALL(SYS_timerfd_gettime, fd, &now), 0);
    EXPECT(now.value.tv_sec == 0 && now.value.tv_nsec == 0);
    close((int)fd);
}

KTAP_CASE(a_timer_again_and_again)
{
    long fd = SYSCALL(SYS_timerfd_create, (long)CLOCK_REALTIME, 0l);
    struct spec spec = {.interval = {.tv_nsec = 5 * NS_PER_MS}, .value = {.tv_nsec = 1}};
    struct timespec pause = {.tv_nsec = 30 * NS_PER_MS};
    uint64_t value;

    EXPECT_EQ(SYSCALL(SYS_timerfd_settime, fd, 0l, &spec, 0l), 0);
    nanosleep(&pause, NULL);
    EXPECT_EQ(read_number(fd, &value), 8);
    EXPECT(value >= 6);
    EXPECT_EQ(read_number(fd, &value), 8);
    EXPECT(value >= 1);
    /* However short the interval, there is time for others. */
    spec.interval.tv_nsec = 1;
    EXPECT_EQ(SYSCALL(SYS_timerfd_settime, fd, 0l, &spec, 0l), 0);
    nanosleep(&pause, NULL);
    EXPECT_EQ(read_number(fd, &value), 8);
    EXPECT(value > 1000);
    spec = (struct spec){0};
    EXPECT_EQ(SYSCALL(SYS_timerfd_settime, fd, 0l, &spec, 0l), 0);
    EXPECT_EQ(events_of(fd), 0);
    close((int)fd);
}

KTAP_CASE(a_timer_at_a_time)
{
    const long clocks[] = {(long)CLOCK_MONOTONIC, (long)CLOCK_REALTIME};
    struct spec spec = {0};
    uint64_t value;

    for (int i = 0; i < 2; i++) {
        long fd = SYSCALL(SYS_timerfd_create, clocks[i], 0l);
        EXPECT_EQ(SYSCALL(SYS_clock_gettime, clocks[i], &spec.value), 0);
        spec.value.tv_nsec += 10 * NS_PER_MS;
        spec.value.tv_sec += spec.value.tv_nsec / 1000000000;
        spec.value.tv_nsec %= 1000000000;
        EXPECT_EQ(SYSCALL(SYS_timerfd_settime, fd, ABSOLUTE, &spec, 0l), 0);
        EXPECT_EQ(read_number(fd, &value), 8);
        spec.value.tv_sec = 1; /* long ago */
        EXPECT_EQ(SYSCALL(SYS_timerfd_settime, fd, ABSOLUTE, &spec, 0l), 0);
        EXPECT_EQ(read_number(fd, &value), 8);
        EXPECT_EQ(value, 1);
        close((int)fd);
    }
}

KTAP_CASE(bad_timers)
{
    long fd = SYSCALL(SYS_timerfd_create, (long)CLOCK_MONOTONIC, 0l);
    struct spec spec = {.value = {.tv_nsec = 1000000000}};

    EXPECT_ERROR(SYSCALL(SYS_timerfd_create, 99l, 0l), EINVAL);
    EXPECT_ERROR(SYSCALL(SYS_timerfd_create, 1l, 1l), EINVAL);
    EXPECT_ERROR(SYSCALL(SYS_timerfd_settime, fd, 0l, &spec, 0l), EINVAL);
    EXPECT_ERROR(SYSCALL(SYS_timerfd_settime, fd, 0l, BAD_PTR, 0l), EFAULT);
    spec.value.tv_nsec = 1;
    EXPECT_ERROR(SYSCALL(SYS_timerfd_settime, 99l, 0l, &spec, 0l), EBADF);
    EXPECT_ERROR(SYSCALL(SYS_timerfd_settime, 0l, 0l, &spec, 0l), EINVAL);
    EXPECT_ERROR(SYSCALL(SYS_timerfd_gettime, fd, BAD_PTR), EFAULT);
    EXPECT_ERROR(SYSCALL(SYS_write, fd, &spec, 8l), EINVAL);
    close((int)fd);
}

struct siginfo_record {
    uint32_t signo;
    int32_t error, code;
    uint32_t pid, uid;
    uint32_t rest[27];
};

static long make_signalfd(long fd, uint64_t mask, long flags)
{
    return SYSCALL(SYS_signalfd4, fd, &mask, 8l, flags);
}

KTAP_CASE(signals_are_read)
{
    uint64_t mask = 1ul << (SIGUSR1 - 1) | 1ul << (SIGUSR2 - 1);
    struct siginfo_record got[3];

    EXPECT_EQ(SYSCALL(SYS_rt_sigprocmask, (long)SIG_BLOCK, &mask, 0l, 8l), 0);
    long fd = make_signalfd(-1, mask, O_NONBLOCK);
    REQUIRE(fd >= 0);
    EXPECT_EQ(events_of(fd), 0);
    EXPECT_ERROR(SYSCALL(SYS_read, fd, got, (long)sizeof(got)), EAGAIN);
    kill(getpid(), SIGUSR2);
    kill(getpid(), SIGUSR1);
    kill(getpid(), SIGUSR1);
    EXPECT_EQ(events_of(fd), POLLIN);
    EXPECT_EQ(SYSCALL(SYS_read, fd, got, (long)sizeof(got)), 256);
    EXPECT_EQ(got[0].signo, SIGUSR1);
    EXPECT_EQ(got[1].signo, SIGUSR2);
    EXPECT_EQ(got[0].pid, getpid());
    EXPECT_EQ(got[0].code, 0);
    EXPECT_EQ(events_of(fd), 0);
    EXPECT_EQ(make_signalfd(fd, 1ul << (SIGUSR2 - 1), 0), fd);
    kill(getpid(), SIGUSR1);
    EXPECT_EQ(events_of(fd), 0);
    EXPECT_EQ(make_signalfd(fd, mask, 0), fd);
    EXPECT_EQ(events_of(fd), POLLIN);
    EXPECT_ERROR(SYSCALL(SYS_read, fd, got, 127l), EINVAL);
    EXPECT_EQ(SYSCALL(SYS_read, fd, got, 128l), 128);
    EXPECT_ERROR(make_signalfd(0, mask, 0), EINVAL);
    EXPECT_ERROR(make_signalfd(99, mask, 0), EBADF);
    EXPECT_ERROR(make_signalfd(-1, mask, 1), EINVAL);
    EXPECT_ERROR(SYSCALL(SYS_signalfd4, -1l, BAD_PTR, 8l, 0l), EFAULT);
    EXPECT_EQ(SYSCALL(SYS_rt_sigprocmask, (long)SIG_UNBLOCK, &mask, 0l, 8l), 0);
    close((int)fd);
}

KTAP_CASE(a_signal_wakes_who_reads)
{
    uint64_t mask = 1ul << (SIGCHLD - 1);
    struct siginfo_record got;
    struct pollfd poll = {.events = POLLIN};

    EXPECT_EQ(SYSCALL(SYS_rt_sigprocmask, (long)SIG_BLOCK, &mask, 0l, 8l), 0);
    long fd = make_signalfd(-1, mask, 0);
    poll.fd = (int)fd;
    for (int i = 0; i < 2; i++) {
        int pid = fork();
        if (pid == 0) {
            struct timespec pause = {.tv_nsec = 10 * NS_PER_MS};
            nanosleep(&pause, NULL);
            _exit(0);
        }
        if (i)
            EXPECT_EQ(SYSCALL(SYS_ppoll, &poll, 1l, 0l, 0l, 8l), 1);
        EXPECT_EQ(SYSCALL(SYS_read, fd, &got, 128l), 128);
        EXPECT_EQ(got.signo, SIGCHLD);
        EXPECT_EQ(got.pid, pid);
        EXPECT_EQ(waitpid(pid, NULL, 0), pid);
    }
    EXPECT_EQ(SYSCALL(SYS_rt_sigprocmask, (long)SIG_UNBLOCK, &mask, 0l, 8l), 0);
    close((int)fd);
}
