/* Timers of programs: setitimer, timer_create. After LTP's setitimer and timer tests. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"

#define NR_GETITIMER        102
#define NR_SETITIMER        103
#define NR_TIMER_CREATE     107
#define NR_TIMER_GETTIME    108
#define NR_TIMER_GETOVERRUN 109
#define NR_TIMER_SETTIME    110
#define NR_TIMER_DELETE     111
#define MSEC                1000000L

struct itimer {
    struct timeval interval, value;
};

struct timer_spec {
    struct timespec interval, value;
};

struct event {
    uint64_t value;
    int signal, notify, tid, pad[11];
};

static volatile int rings;
static volatile long ring_value, ring_code, ring_overrun;

static void ring(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    rings++;
    ring_code = info->si_code;
    ring_overrun = info->si_uid;
    ring_value = info->si_space[1];
}

static void rings_on(int signal)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO};

    action.sa_sigaction = ring;
    sigaction(signal, &action, NULL);
    rings = 0;
}

static long now_msec(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / MSEC;
}

/* Up to a second. */
static bool rang(int times)
{
    for (long begin = now_msec(); rings < times && now_msec() < begin + 1000;)
        usleep(1000);
    return rings >= times;
}

KTAP_CASE(itimer_rings_once)
{
    struct itimer timer = {.value = {.tv_usec = 20000}}, old;

    rings_on(SIGALRM);
    long begin = now_msec();
    EXPECT_EQ(pg_syscall(NR_SETITIMER, 0, (uintptr_t)&timer, 0), 0);
    EXPECT_EQ(pg_syscall(NR_GETITIMER, 0, (uintptr_t)&old), 0);
    EXPECT(old.value.tv_usec > 0 && old.value.tv_usec <= 20001 && old.interval.tv_usec == 0);
    EXPECT(rang(1));
    EXPECT(now_msec() - begin >= 19);
    usleep(50000);
    EXPECT_EQ(rings, 1);
    EXPECT_EQ(pg_syscall(NR_GETITIMER, 0, (uintptr_t)&old), 0);
    EXPECT(old.value.tv_sec == 0 && old.value.tv_usec == 0);
}

KTAP_CASE(itimer_rings_again_and_again)
{
    struct itimer timer = {{.tv_usec = 5000}, {.tv_usec = 5000}}, off = {0}, old;

    rings_on(SIGALRM);
    EXPECT_EQ(pg_syscall(NR_SETITIMER, 0, (uintptr_t)&timer, 0), 0);
    EXPECT(rang(5));
    EXPECT_EQ(pg_syscall(NR_SETITIMER, 0, (uintptr_t)&off, (uintptr_t)&old), 0);
    EXPECT_EQ(old.interval.tv_usec, 5000);
    int before = rings;
    usleep(20000);
    EXPECT_EQ(rings, before);
}

KTAP_CASE(itimer_of_a_parent_is_not_the_childs)
{
    struct itimer timer = {.value = {.tv_sec = 100}}, off = {0}, old;
    int status;

    EXPECT_EQ(pg_syscall(NR_SETITIMER, 0, (uintptr_t)&timer, 0), 0);
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        pg_syscall(NR_GETITIMER, 0, (uintptr_t)&old);
        _exit(old.value.tv_sec ? 1 : 0);
    }
    waitpid(pid, &status, 0);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(pg_syscall(NR_SETITIMER, 0, (uintptr_t)&off, (uintptr_t)&old), 0);
    EXPECT(old.value.tv_sec >= 98);
}

/* Unhandled, it ends the process, asleep or not. */
KTAP_CASE(itimer_kills)
{
    struct itimer timer = {.value = {.tv_usec = 10000}};
    int status;
    pid_t pid = fork();

    REQUIRE(pid >= 0);
    if (pid == 0) {
        signal(SIGALRM, SIG_DFL);
        pg_syscall(NR_SETITIMER, 0, (uintptr_t)&timer, 0);
        for (;;)
            usleep(1000000);
    }
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, SIGALRM);
}

KTAP_CASE(itimer_says_what_is_wrong)
{
    struct itimer timer = {.value = {.tv_usec = 1000000}};

    EXPECT_ERROR(pg_syscall(NR_SETITIMER, 0, 8, 0), EFAULT);
    EXPECT_ERROR(pg_syscall(NR_SETITIMER, 3, (uintptr_t)&timer, 0), EINVAL);
    EXPECT_ERROR(pg_syscall(NR_SETITIMER, 0, (uintptr_t)&timer, 0), EINVAL);
    EXPECT_ERROR(pg_syscall(NR_GETITIMER, 0, 8), EFAULT);
}

static long create(const struct event *event, int *id)
{
    return pg_syscall(NR_TIMER_CREATE, CLOCK_MONOTONIC, (uintptr_t)event, (uintptr_t)id);
}

static long set(int id, long first_msec, long interval_msec)
{
    struct timer_spec spec = {{.tv_nsec = interval_msec * MSEC}, {.tv_nsec = first_msec * MSEC}};

    return pg_syscall(NR_TIMER_SETTIME, id, 0, (uintptr_t)&spec, 0);
}

KTAP_CASE(timer_sends_its_signal_and_value)
{
    struct event event = {.value = 4711, .signal = SIGUSR1};
    struct timer_spec spec;
    int id = -1;

    rings_on(SIGUSR1);
    EXPECT_EQ(create(&event, &id), 0);
    EXPECT_EQ(set(id, 500, 0), 0);
    EXPECT_EQ(pg_syscall(NR_TIMER_GETTIME, id, (uintptr_t)&spec), 0);
    EXPECT(spec.value.tv_nsec > 300 * MSEC && spec.value.tv_nsec <= 501 * MSEC);
    EXPECT_EQ(set(id, 10, 0), 0);
    EXPECT(rang(1));
    EXPECT_EQ(ring_value, 4711);
    EXPECT_EQ(ring_code, -2);
    EXPECT_EQ(pg_syscall(NR_TIMER_GETTIME, id, (uintptr_t)&spec), 0);
    EXPECT(spec.value.tv_sec == 0 && spec.value.tv_nsec == 0);
    EXPECT_EQ(pg_syscall(NR_TIMER_DELETE, id), 0);
    EXPECT_ERROR(pg_syscall(NR_TIMER_DELETE, id), EINVAL);
    signal(SIGUSR1, SIG_DFL);
}

/* While its signal is blocked it pends once, and counts. */
KTAP_CASE(timer_counts_what_was_missed)
{
    struct event event = {.value = 1, .signal = SIGUSR1};
    sigset_t set_usr1 = 1UL << (SIGUSR1 - 1), none = 0;
    int id;

    rings_on(SIGUSR1);
    sigprocmask(SIG_SETMASK, &set_usr1, NULL);
    EXPECT_EQ(create(&event, &id), 0);
    EXPECT_EQ(set(id, 2, 2), 0);
    usleep(60000);
    sigprocmask(SIG_SETMASK, &none, NULL);
    EXPECT(rings >= 1);
    EXPECT(rang(3)); /* it runs on */
    sigprocmask(SIG_SETMASK, &set_usr1, NULL);
    usleep(60000);
    rings = 0;
    sigprocmask(SIG_SETMASK, &none, NULL);
    EXPECT(rings >= 1);
    EXPECT_EQ(pg_syscall(NR_TIMER_DELETE, id), 0);
    signal(SIGUSR1, SIG_DFL);
}

KTAP_CASE(timer_tells_its_overrun)
{
    struct event event = {.signal = SIGUSR2};
    uint64_t wanted = 1UL << (SIGUSR2 - 1);
    sigset_t blocked = wanted, none = 0;
    siginfo_t info;
    int id;

    SKIP_EMULATED("tells no overrun");
    sigprocmask(SIG_SETMASK, &blocked, NULL);
    EXPECT_EQ(create(&event, &id), 0);
    EXPECT_EQ(set(id, 2, 2), 0);
    usleep(60000);
    EXPECT_EQ(pg_syscall(137, (uintptr_t)&wanted, (uintptr_t)&info, 0, 8), SIGUSR2);
    EXPECT(info.si_uid >= 1);
    EXPECT_EQ(pg_syscall(NR_TIMER_GETOVERRUN, id), info.si_uid);
    EXPECT_EQ(pg_syscall(NR_TIMER_DELETE, id), 0);
    signal(SIGUSR2, SIG_IGN);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGUSR2, SIG_DFL);
}

KTAP_CASE(timer_of_a_past_time_rings_at_once)
{
    struct event event = {.signal = SIGUSR1};
    struct timer_spec spec = {.value = {.tv_nsec = 1}};
    int id;

    rings_on(SIGUSR1);
    EXPECT_EQ(create(&event, &id), 0);
    EXPECT_EQ(pg_syscall(NR_TIMER_SETTIME, id, 1, (uintptr_t)&spec, 0), 0);
    EXPECT(rang(1));
    EXPECT_EQ(pg_syscall(NR_TIMER_DELETE, id), 0);
    signal(SIGUSR1, SIG_DFL);
}

KTAP_CASE(timer_to_a_thread)
{
    struct event event = {.signal = SIGUSR1, .notify = 4, .tid = (int)pg_syscall(SYS_gettid)};
    int id;

    rings_on(SIGUSR1);
    EXPECT_EQ(create(&event, &id), 0);
    EXPECT_EQ(set(id, 5, 0), 0);
    EXPECT(rang(1));
    EXPECT_EQ(pg_syscall(NR_TIMER_DELETE, id), 0);
    event.tid = 1;
    EXPECT_ERROR(create(&event, &id), EINVAL);
    signal(SIGUSR1, SIG_DFL);
}

KTAP_CASE(timer_says_what_is_wrong)
{
    struct event event = {.signal = 65};
    int id;

    EXPECT_ERROR(create(&event, &id), EINVAL);
    event.signal = SIGUSR1;
    EXPECT_ERROR(create((void *)8, &id), EFAULT);
    EXPECT_ERROR(create(&event, (void *)8), EFAULT);
    EXPECT_ERROR(pg_syscall(NR_TIMER_CREATE, 77, 0, (uintptr_t)&id), EINVAL);
    EXPECT_ERROR(pg_syscall(NR_TIMER_SETTIME, 12345678, 0, (uintptr_t) & (struct timer_spec){0}, 0),
                 EINVAL);
    EXPECT_ERROR(pg_syscall(NR_TIMER_GETTIME, 12345678, (uintptr_t) & (struct timer_spec){0}),
                 EINVAL);
}

/* Timers go with execve and with the process, pending or not. */
KTAP_CASE(timers_end_with_their_process)
{
    for (int i = 0; i < 300; i++) {
        pid_t pid = fork();

        REQUIRE(pid >= 0);
        if (pid == 0) {
            struct event event = {.signal = SIGCHLD};
            sigset_t all = ~0UL;
            int id;

            sigprocmask(SIG_SETMASK, &all, NULL);
            if (create(&event, &id) || create(&event, &id) || set(id, 0, 1))
                _exit(1);
            struct timer_spec spec = {{.tv_nsec = 1000}, {.tv_nsec = 1}};
            pg_syscall(NR_TIMER_SETTIME, id, 1, (uintptr_t)&spec, 0);
            _exit(0);
        }
        int status;
        waitpid(pid, &status, 0);
        EXPECT_EQ(status, 0);
        if (status)
            return;
    }
}
