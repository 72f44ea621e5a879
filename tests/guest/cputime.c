/* CPU time: who used how much, clocks and timers that run by it, and its limit. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"

#define NR_WAITID       95l
#define NR_GETITIMER    102l
#define NR_SETITIMER    103l
#define NR_TIMER_CREATE 107l
#define NR_TIMER_SET    110l
#define NR_TIMER_DELETE 111l
#define NR_CLOCK_GETRES 114l
#define NR_CLOCK_SLEEP  115l
#define NR_PRLIMIT      261l

#define MSEC           1000000L /* nanoseconds */
#define USED_CHILDREN  (-1)
#define USED_THREAD    1
#define LIMIT_CPU      0
#define WAIT_AND_LEAVE 0x1000004l /* WEXITED | WNOWAIT */
#define BY_ALARM       128        /* SI_KERNEL */

/* Clocks of others, as clock_getcpuclockid() makes them; the kinds are user + system, user, sum. */
#define CLOCK_OF(pid, kind)        ((long)(int)(~(unsigned)(pid) << 3 | (kind)))
#define CLOCK_OF_THREAD(tid, kind) CLOCK_OF(tid, (kind) | 4)

struct spec {
    struct timespec interval, value;
};

struct itimer {
    struct timeval interval, value;
};

static long clock_ns(long clock)
{
    struct timespec now = {0};
    long error = SYSCALL(SYS_clock_gettime, clock, &now);

    return error ? error : now.tv_sec * 1000000000L + now.tv_nsec;
}

static long process_ns(void)
{
    return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

static long thread_ns(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

static void burn(long ns)
{
    for (long begin = thread_ns(); thread_ns() < begin + ns;)
        for (volatile int i = 0; i < 20000; i++)
            continue;
}

static long of_timeval(const struct timeval *value)
{
    return value->tv_sec * 1000000000L + value->tv_usec * 1000L;
}

static long used_ns(int who)
{
    struct rusage usage;

    getrusage(who, &usage);
    return of_timeval(&usage.ru_utime) + of_timeval(&usage.ru_stime);
}

static volatile int rings;
static volatile long ring_code;

static void ring(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    rings++;
    ring_code = info->si_code;
}

static void rings_on(int signal)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO};

    action.sa_sigaction = ring;
    sigaction(signal, &action, NULL);
    rings = 0;
}

/* ---- what was used ---- */

KTAP_CASE(work_counts_and_sleep_does_not)
{
    long process = process_ns(), thread = thread_ns();

    burn(20 * MSEC);
    long after = process_ns();
    EXPECT(thread_ns() - thread >= 20 * MSEC);
    EXPECT(after - process >= 20 * MSEC);
    /* A hart that its host takes off the processor cannot tell that from work: try again then. */
    for (int tries = 0; tries < 10; tries++) {
        after = process_ns();
        usleep(40000);
        if (process_ns() - after < 20 * MSEC)
            return;
    }
    EXPECT(false);
}

KTAP_CASE(getrusage_tells_what_the_clock_shows)
{
    long before = process_ns(), used = used_ns(RUSAGE_SELF), after = process_ns();

    EXPECT(used >= before - 2000 && used <= after); /* two values in microseconds */
    before = thread_ns(), used = used_ns(USED_THREAD), after = thread_ns();
    EXPECT(used >= before - 2000 && used <= after);
}

static struct rusage used(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return usage;
}

/* Which is which is sampled: after some time of either it shows. */
KTAP_CASE(work_is_user_time_and_calls_are_system_time)
{
    static char bytes[1 << 16];
    int zero = open("/dev/zero", O_RDONLY);
    struct rusage before = used(), work = before, calls;

    for (int i = 0; i < 50 && of_timeval(&work.ru_utime) <= of_timeval(&before.ru_utime); i++) {
        burn(20 * MSEC);
        work = used();
    }
    EXPECT(of_timeval(&work.ru_utime) > of_timeval(&before.ru_utime));
    EXPECT(of_timeval(&work.ru_stime) >= of_timeval(&before.ru_stime));
    calls = work;
    for (int i = 0; i < 4000 && of_timeval(&calls.ru_stime) <= of_timeval(&work.ru_stime); i++) {
        for (int k = 0; k < 50; k++)
            REQUIRE(read(zero, bytes, sizeof(bytes)) == sizeof(bytes));
        calls = used();
    }
    EXPECT(of_timeval(&calls.ru_stime) > of_timeval(&work.ru_stime));
    EXPECT(of_timeval(&calls.ru_utime) >= of_timeval(&work.ru_utime));
    close(zero);
}

KTAP_CASE(getrusage_of_nobody_is_einval)
{
    struct rusage usage;

    EXPECT_ERROR(SYSCALL(SYS_getrusage, 2l, &usage), EINVAL);
    EXPECT_ERROR(SYSCALL(SYS_getrusage, -2l, &usage), EINVAL);
    EXPECT_ERROR(SYSCALL(SYS_getrusage, 0l, 8l), EFAULT);
}

static pid_t child_that_burns(long ns)
{
    pid_t pid = fork();

    if (pid == 0) {
        burn(ns);
        _exit(0);
    }
    return pid;
}

KTAP_CASE(childrens_time_comes_with_wait)
{
    long before = used_ns(USED_CHILDREN), info[16];
    struct rusage usage;
    int status;
    pid_t pid = child_that_burns(20 * MSEC);

    REQUIRE(pid > 0);
    /* Ended, but not waited for. */
    EXPECT_EQ(SYSCALL(NR_WAITID, 1l, (long)pid, info, WAIT_AND_LEAVE, &usage), 0);
    EXPECT(of_timeval(&usage.ru_utime) + of_timeval(&usage.ru_stime) >= 20 * MSEC);
    EXPECT_EQ(used_ns(USED_CHILDREN), before);
    memset(&usage, 0, sizeof(usage));
    EXPECT_EQ(wait4(pid, &status, 0, &usage), pid);
    long of_child = of_timeval(&usage.ru_utime) + of_timeval(&usage.ru_stime);
    EXPECT(of_child >= 20 * MSEC);
    long gained = used_ns(USED_CHILDREN) - before;
    EXPECT(gained >= of_child - 2000 && gained <= of_child + 2000);
}

KTAP_CASE(grandchildren_count_if_they_were_waited_for)
{
    struct rusage usage;
    int status;

    burn(50 * MSEC);
    long parents = thread_ns();
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        if (thread_ns() > parents)
            _exit(2); /* a child begins at zero */
        pid = child_that_burns(30 * MSEC);
        _exit(waitpid(pid, &status, 0) == pid ? 0 : 1);
    }
    EXPECT_EQ(wait4(pid, &status, 0, &usage), pid);
    EXPECT_EQ(status, 0);
    EXPECT(of_timeval(&usage.ru_utime) + of_timeval(&usage.ru_stime) >= 30 * MSEC);
}

static void *burn_thread(void *arg)
{
    long before = thread_ns();

    (void)arg;
    burn(20 * MSEC);
    return (void *)(used_ns(USED_THREAD) >= 20 * MSEC && before < process_ns() ? 1l : 0l);
}

KTAP_CASE(a_process_is_the_sum_of_its_threads)
{
    long process = process_ns(), thread = thread_ns();
    struct pg_thread *other = pg_thread_create(burn_thread, NULL, 0);

    REQUIRE(other != NULL);
    EXPECT_EQ((long)pg_thread_join(other), 1);
    EXPECT(process_ns() - process >= 20 * MSEC);
    EXPECT(thread_ns() - thread < process_ns() - process);
}

KTAP_CASE(times_counts_in_hundredths)
{
    struct tms before, after;
    long used = process_ns();

    EXPECT(times(&before) != (clock_t)-1);
    burn(50 * MSEC);
    times(&after);
    long ticks = (long)(after.tms_utime + after.tms_stime - before.tms_utime - before.tms_stime);
    EXPECT(ticks >= 3);
    EXPECT(ticks <= (process_ns() - used) / (10 * MSEC) + 2);
    EXPECT(after.tms_cutime >= 2 || after.tms_cstime >= 2); /* the children above */
}

/* The four fields of a stat file that begin with utime. */
static bool stat_times(pid_t pid, long times[4])
{
    char path[32], text[512];

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY);
    long bytes = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (bytes <= 0)
        return false;
    text[bytes] = 0;
    char *at = strrchr(text, ')');
    for (int field = 2; at && field < 14; field++)
        at = strchr(at + 1, ' ');
    for (int i = 0; at && i < 4; i++)
        times[i] = strtol(at, &at, 10);
    return at != NULL;
}

KTAP_CASE(stat_file_tells_it_in_hundredths)
{
    long times[4] = {0};
    pid_t pid = child_that_burns(40 * MSEC);
    long info[16];

    REQUIRE(pid > 0);
    EXPECT_EQ(SYSCALL(NR_WAITID, 1l, (long)pid, info, WAIT_AND_LEAVE, 0l), 0);
    EXPECT(stat_times(pid, times)); /* of a zombie */
    EXPECT(times[0] + times[1] >= 3 && times[0] + times[1] < 100);
    EXPECT(times[2] == 0 && times[3] == 0);
    waitpid(pid, NULL, 0);
    EXPECT(stat_times(getpid(), times));
    SKIP_EMULATED("/proc/self/stat is zeros");
    EXPECT(times[0] + times[1] >= 3 && times[2] + times[3] >= 3);
}

/* ---- clocks ---- */

KTAP_CASE(clocks_are_named_by_process_and_thread)
{
    struct timespec resolution = {-1, -1};
    long tid = SYSCALL(SYS_gettid), before = process_ns();

    EXPECT(clock_ns(CLOCK_OF(getpid(), 2)) >= before);
    EXPECT(clock_ns(CLOCK_OF(0, 2)) >= before);
    EXPECT(clock_ns(CLOCK_OF(0, 0)) >= 0);
    EXPECT(clock_ns(CLOCK_OF(0, 1)) >= 0);
    before = thread_ns();
    EXPECT(clock_ns(CLOCK_OF_THREAD(tid, 2)) >= before);
    EXPECT(clock_ns(CLOCK_OF_THREAD(0, 2)) <= thread_ns());
    EXPECT_EQ(SYSCALL(NR_CLOCK_GETRES, CLOCK_OF(0, 2), &resolution), 0);
    EXPECT(resolution.tv_sec == 0 && resolution.tv_nsec >= 1);
    EXPECT_ERROR(clock_ns(CLOCK_OF(0, 3)), EINVAL);
    EXPECT_ERROR(clock_ns(CLOCK_OF(32767, 2)), EINVAL);
    EXPECT_ERROR(clock_ns(CLOCK_OF_THREAD(1, 2)), EINVAL); /* not of this process */
}

KTAP_CASE(a_childs_clock_is_there_until_it_was_waited_for)
{
    long info[16];
    pid_t pid = child_that_burns(10 * MSEC);

    REQUIRE(pid > 0);
    EXPECT(clock_ns(CLOCK_OF(pid, 2)) >= 0);
    EXPECT_EQ(SYSCALL(NR_WAITID, 1l, (long)pid, info, WAIT_AND_LEAVE, 0l), 0);
    EXPECT_EQ(waitpid(pid, NULL, 0), pid);
    EXPECT_ERROR(clock_ns(CLOCK_OF(pid, 2)), EINVAL);
}

static void *burn_until_told(void *stop)
{
    while (!*(volatile int *)stop)
        burn(MSEC);
    return NULL;
}

KTAP_CASE(sleep_by_the_process_clock)
{
    struct timespec want = {.tv_nsec = 20 * MSEC};
    int stop = 0;

    EXPECT_ERROR(SYSCALL(NR_CLOCK_SLEEP, (long)CLOCK_THREAD_CPUTIME_ID, 0l, &want, 0l), EOPNOTSUPP);
    EXPECT_ERROR(SYSCALL(NR_CLOCK_SLEEP, CLOCK_OF_THREAD(0, 2), 0l, &want, 0l), EINVAL);
    struct pg_thread *other = pg_thread_create(burn_until_told, &stop, 0);
    REQUIRE(other != NULL);
    long before = process_ns();
    EXPECT_EQ(SYSCALL(NR_CLOCK_SLEEP, (long)CLOCK_PROCESS_CPUTIME_ID, 0l, &want, 0l), 0);
    EXPECT(process_ns() - before >= 20 * MSEC);
    stop = 1;
    pg_thread_join(other);
    want = (struct timespec){0}; /* long ago */
    EXPECT_EQ(SYSCALL(NR_CLOCK_SLEEP, (long)CLOCK_PROCESS_CPUTIME_ID, 1l, &want, 0l), 0);
}

/* ---- timers ---- */

/* Rings that come while this process works, for 300 ms of CPU time at most. */
static void burn_until_rings(int count)
{
    for (long begin = process_ns(); rings < count && process_ns() < begin + 300 * MSEC;)
        burn(MSEC);
}

/* Linux counts these in whole ticks, most of which may have been another's. */
static void interval_timer(long which, int signal)
{
    struct itimer timer = {{.tv_usec = 10000}, {.tv_usec = 20000}}, off = {0}, old;

    rings_on(signal);
    long begin = process_ns();
    EXPECT_EQ(SYSCALL(NR_SETITIMER, which, &timer, 0l), 0);
    usleep(50000);
    EXPECT(rings == 0 || process_ns() - begin >= 5 * MSEC); /* it does not run by this time */
    EXPECT_EQ(SYSCALL(NR_GETITIMER, which, &old), 0);
    EXPECT(old.value.tv_usec > 0 && old.value.tv_usec <= 25000 && old.interval.tv_usec == 10000);
    burn_until_rings(1);
    EXPECT(rings >= 1 && ring_code == BY_ALARM && process_ns() - begin >= 5 * MSEC);
    burn_until_rings(3);
    EXPECT(rings >= 3);
    EXPECT_EQ(SYSCALL(NR_SETITIMER, which, &off, &old), 0);
    EXPECT_EQ(old.interval.tv_usec, 10000);
    int before = rings;
    burn(30 * MSEC);
    EXPECT_EQ(rings, before);
    EXPECT_EQ(SYSCALL(NR_GETITIMER, which, &old), 0);
    EXPECT(old.value.tv_sec == 0 && old.value.tv_usec == 0);
}

KTAP_CASE(itimer_prof)
{
    interval_timer(2, SIGPROF);
}

KTAP_CASE(itimer_virtual)
{
    interval_timer(1, SIGVTALRM);
}

KTAP_CASE(itimer_of_no_kind_is_einval)
{
    struct itimer timer = {0};

    EXPECT_ERROR(SYSCALL(NR_SETITIMER, 3l, &timer, 0l), EINVAL);
    EXPECT_ERROR(SYSCALL(NR_GETITIMER, 3l, &timer), EINVAL);
}

KTAP_CHILD(prof_alarm)
{
    struct itimer timer = {.value = {.tv_usec = 5000}};

    pg_syscall(NR_SETITIMER, 2l, &timer, 0l);
    burn(500 * MSEC);
    return 1;
}

KTAP_CASE(sigprof_ends_a_process)
{
    EXPECT_CHILD_SIGNAL("prof_alarm", "", SIGPROF);
}

static void posix_timer(long clock)
{
    struct {
        uint64_t value;
        int signal, notify, pad[12];
    } event = {.signal = SIGUSR1};
    struct spec when = {{0}, {.tv_nsec = 15 * MSEC}}, old;
    int timer = -1;

    rings_on(SIGUSR1);
    long begin = clock_ns(clock);
    EXPECT_EQ(SYSCALL(NR_TIMER_CREATE, clock, &event, &timer), 0);
    EXPECT_EQ(SYSCALL(NR_TIMER_SET, (long)timer, 0l, &when, 0l), 0);
    usleep(40000);
    EXPECT(rings == 0 || clock_ns(clock) - begin >= 15 * MSEC);
    burn_until_rings(1);
    EXPECT(rings == 1 && ring_code == -2 /* SI_TIMER */);
    EXPECT(clock_ns(clock) - begin >= 15 * MSEC);
    when.value.tv_nsec = 1; /* a time that has passed */
    EXPECT_EQ(SYSCALL(NR_TIMER_SET, (long)timer, 1l, &when, 0l), 0);
    burn_until_rings(2);
    EXPECT_EQ(rings, 2);
    when = (struct spec){{.tv_nsec = 5 * MSEC}, {.tv_sec = 50}};
    EXPECT_EQ(SYSCALL(NR_TIMER_SET, (long)timer, 0l, &when, 0l), 0);
    EXPECT_EQ(SYSCALL(NR_TIMER_SET, (long)timer, 0l, &when, &old), 0);
    EXPECT(old.value.tv_sec >= 49 && old.interval.tv_nsec == 5 * MSEC);
    EXPECT_EQ(SYSCALL(NR_TIMER_DELETE, (long)timer), 0);
}

KTAP_CASE(posix_timers_by_cpu_time)
{
    int timer;

    posix_timer(CLOCK_PROCESS_CPUTIME_ID);
    posix_timer(CLOCK_THREAD_CPUTIME_ID);
    posix_timer(CLOCK_OF(getpid(), 2));
    EXPECT_ERROR(SYSCALL(NR_TIMER_CREATE, CLOCK_OF(0, 3), 0l, &timer), EOPNOTSUPP);
    EXPECT_ERROR(SYSCALL(NR_TIMER_CREATE, CLOCK_OF_THREAD(1, 2), 0l, &timer), EINVAL);
}

/* ---- the limit ---- */

static long limit_cpu(rlim_t soft, rlim_t hard)
{
    const struct rlimit limit = {soft, hard};

    return SYSCALL(NR_PRLIMIT, 0l, (long)LIMIT_CPU, &limit, 0l);
}

KTAP_CHILD(over_soft_limit)
{
    if (limit_cpu(0, RLIM_INFINITY))
        return 2;
    burn(500 * MSEC);
    return 1;
}

KTAP_CHILD(over_hard_limit)
{
    signal(SIGXCPU, SIG_IGN);
    if (limit_cpu(0, 0))
        return 2;
    burn(500 * MSEC);
    return 1;
}

KTAP_CHILD(soft_limit_moves)
{
    struct rlimit limit = {0};

    rings_on(SIGXCPU);
    if (limit_cpu(0, 100))
        return 2;
    burn_until_rings(1);
    SYSCALL(NR_PRLIMIT, 0l, (long)LIMIT_CPU, 0l, &limit);
    return rings == 1 && limit.rlim_cur == 1 && limit.rlim_max == 100 ? 0 : 1;
}

KTAP_CHILD(limit_and_no_child)
{
    const int clone_pidfd = 0x1000;

    if (limit_cpu(1000, 1000))
        return 2;
    /* A child that has the limit, and then cannot be; another takes its place. */
    if (SYSCALL(SYS_clone, (long)(clone_pidfd | SIGCHLD), 0l, 8l, 0l, 0l) != -EFAULT)
        return 3;
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    waitpid(pid, NULL, 0);
    usleep(2000);
    return 0;
}

KTAP_CASE(limit_of_a_child_that_was_not_made)
{
    SKIP_EMULATED("clone refuses CLONE_PIDFD");
    EXPECT_CHILD_EXIT("limit_and_no_child", "", 0);
}

KTAP_CASE(limit_on_cpu_time_binds)
{
    EXPECT_CHILD_SIGNAL("over_soft_limit", "", SIGXCPU);
    EXPECT_CHILD_SIGNAL("over_hard_limit", "", SIGKILL);
    EXPECT_CHILD_EXIT("soft_limit_moves", "", 0);
}
