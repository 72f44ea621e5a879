/*
 * Signals that are queued, waited for, and that interrupt calls. After LTP's rt_sigqueueinfo,
 * sigtimedwait, sigaltstack and SA_RESTART tests.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"

#define NR_SIGSUSPEND     133
#define NR_SIGPENDING     136
#define NR_SIGTIMEDWAIT   137
#define NR_SIGQUEUEINFO   138
#define NR_SIGALTSTACK    132
#define NR_TGSIGQUEUEINFO 240
#define REAL_TIME         40 /* the libraries leave it alone */
#define CODE_QUEUE        (-1)
#define AUTODISARM        0x80000000
#define BIT(n)            (1UL << ((n)-1))

static void block(uint64_t signals)
{
    sigset_t set = signals;

    sigprocmask(SIG_SETMASK, &set, NULL);
}

static long queue(long pid, int signal, long value)
{
    siginfo_t info = {.si_code = CODE_QUEUE};

    info.si_pid = getpid();
    info.si_space[1] = value;
    return pg_syscall(NR_SIGQUEUEINFO, pid, signal, (uintptr_t)&info);
}

static long take(uint64_t signals, siginfo_t *info, long nsec)
{
    struct timespec time = {.tv_nsec = nsec};

    return pg_syscall(NR_SIGTIMEDWAIT, (uintptr_t)&signals, (uintptr_t)info, (uintptr_t)&time, 8);
}

KTAP_CASE(real_time_signals_queue_in_order)
{
    siginfo_t info;

    block(BIT(REAL_TIME) | BIT(REAL_TIME + 1) | BIT(SIGUSR1));
    for (long i = 0; i < 5; i++)
        EXPECT_EQ(queue(getpid(), REAL_TIME, 100 + i), 0);
    EXPECT_EQ(queue(getpid(), REAL_TIME + 1, 200), 0);
    EXPECT_EQ(queue(getpid(), SIGUSR1, 300), 0);
    EXPECT_EQ(queue(getpid(), SIGUSR1, 301), 0); /* once */
    uint64_t wanted = BIT(REAL_TIME) | BIT(REAL_TIME + 1) | BIT(SIGUSR1);
    EXPECT_EQ(take(wanted, &info, 0), SIGUSR1);
    EXPECT_EQ(info.si_space[1], 300);
    for (long i = 0; i < 5; i++) {
        EXPECT_EQ(take(wanted, &info, 0), REAL_TIME);
        EXPECT_EQ(info.si_space[1], 100 + i);
        EXPECT_EQ(info.si_code, CODE_QUEUE);
        EXPECT_EQ(info.si_pid, getpid());
    }
    EXPECT_EQ(take(wanted, &info, 0), REAL_TIME + 1);
    EXPECT_ERROR(take(wanted, &info, 0), EAGAIN);
    block(0);
}

static int seen[16];
static long seen_value[16];
static int seen_count;

static void see(int signal, siginfo_t *info, void *context)
{
    (void)context;
    if (seen_count < 16) {
        seen_value[seen_count] = info->si_space[1];
        seen[seen_count++] = signal;
    }
}

static void sees(int signal, unsigned long flags)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO | flags};

    action.sa_sigaction = see;
    sigaction(signal, &action, NULL);
    seen_count = 0;
}

KTAP_CASE(handler_gets_each_with_its_value)
{
    sees(REAL_TIME, 0);
    block(BIT(REAL_TIME));
    for (long i = 0; i < 4; i++)
        queue(getpid(), REAL_TIME, i);
    EXPECT_EQ(seen_count, 0);
    block(0);
    REQUIRE(seen_count == 4);
    long sum = 0;
    for (int i = 0; i < 4; i++)
        sum = sum * 10 + seen_value[i];
    /* The handler blocks its signal, so the first is taken first. */
    EXPECT_EQ(sum, 123);
    signal(REAL_TIME, SIG_DFL);
}

KTAP_CASE(queueing_says_what_is_wrong)
{
    siginfo_t info = {.si_code = 0};

    EXPECT_ERROR(queue(999999, REAL_TIME, 0), ESRCH);
    EXPECT_ERROR(queue(getpid(), 65, 0), EINVAL);
    EXPECT_ERROR(pg_syscall(NR_SIGQUEUEINFO, getpid(), REAL_TIME, 8), EFAULT);
    EXPECT_EQ(queue(getpid(), 0, 0), 0);
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) { /* to others nobody may pretend to be the kernel */
        long result = pg_syscall(NR_SIGQUEUEINFO, 1, REAL_TIME, (uintptr_t)&info);
        _exit(result == -1 ? 0 : 1);
    }
    int status;
    waitpid(pid, &status, 0);
    EXPECT_EQ(status, 0);
}

KTAP_CASE(queue_to_a_thread)
{
    siginfo_t info = {.si_code = CODE_QUEUE}, got;

    block(BIT(REAL_TIME));
    info.si_space[1] = 77;
    long tid = pg_syscall(SYS_gettid);
    EXPECT_EQ(pg_syscall(NR_TGSIGQUEUEINFO, getpid(), tid, REAL_TIME, (uintptr_t)&info), 0);
    EXPECT_EQ(take(BIT(REAL_TIME), &got, 0), REAL_TIME);
    EXPECT_EQ(got.si_space[1], 77);
    EXPECT_ERROR(pg_syscall(NR_TGSIGQUEUEINFO, getpid(), 999999, REAL_TIME, (uintptr_t)&info),
                 ESRCH);
    block(0);
}

/* However many are sent, the queue is bounded, and says so. */
KTAP_CASE(full_queue_is_eagain)
{
    siginfo_t info;
    long sent = 0, result = 0, taken = 0;

    SKIP_EMULATED("has a queue of its own");
    block(BIT(REAL_TIME));
    while (sent < 100000 && (result = queue(getpid(), REAL_TIME, sent)) == 0)
        sent++;
    EXPECT_ERROR(result, EAGAIN);
    EXPECT(sent >= 32);
    EXPECT_EQ(pg_syscall(SYS_kill, getpid(), SIGCHLD), 0); /* others still come */
    while (take(BIT(REAL_TIME), &info, 0) == REAL_TIME)
        EXPECT_EQ(info.si_space[1], taken++);
    EXPECT_EQ(taken, sent);
    block(0);
}

KTAP_CASE(sigtimedwait_waits)
{
    struct timespec begin, end;
    siginfo_t info;

    block(BIT(SIGUSR1));
    clock_gettime(CLOCK_MONOTONIC, &begin);
    EXPECT_ERROR(take(BIT(SIGUSR1), &info, 20000000), EAGAIN);
    clock_gettime(CLOCK_MONOTONIC, &end);
    long nsec = (end.tv_sec - begin.tv_sec) * 1000000000 + end.tv_nsec - begin.tv_nsec;
    EXPECT(nsec >= 20000000);
    pid_t parent = getpid(), pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        usleep(10000);
        kill(parent, SIGUSR1);
        _exit(0);
    }
    EXPECT_EQ(take(BIT(SIGUSR1), &info, 900000000), SIGUSR1);
    EXPECT(info.si_pid == pid && info.si_code == 0);
    waitpid(pid, NULL, 0);
    block(0);
}

/* Even a signal whose default is to do nothing, or to kill, is only taken when it is waited for. */
KTAP_CASE(sigtimedwait_takes_what_would_be_ignored)
{
    siginfo_t info;

    block(BIT(SIGCHLD) | BIT(SIGTERM));
    pid_t parent = getpid(), pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        usleep(10000);
        pg_syscall(SYS_kill, parent, SIGTERM);
        usleep(10000);
        _exit(9);
    }
    EXPECT_EQ(take(BIT(SIGCHLD) | BIT(SIGTERM), &info, 900000000), SIGTERM);
    EXPECT_EQ(take(BIT(SIGCHLD) | BIT(SIGTERM), &info, 900000000), SIGCHLD);
    EXPECT(info.si_pid == pid && info.si_code == 1 && info.si_status == 9);
    waitpid(pid, NULL, 0);
    block(0);
    EXPECT_ERROR(pg_syscall(NR_SIGTIMEDWAIT, 8, 0, 0, 8), EFAULT);
    EXPECT_ERROR(pg_syscall(NR_SIGTIMEDWAIT, 8, 0, 0, 4), EINVAL);
}

KTAP_CASE(sigtimedwait_is_interrupted_by_another_handler)
{
    siginfo_t info;

    sees(SIGUSR2, SA_RESTART);
    block(BIT(SIGUSR1));
    pid_t parent = getpid(), pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        usleep(10000);
        kill(parent, SIGUSR2);
        _exit(0);
    }
    EXPECT_ERROR(take(BIT(SIGUSR1), &info, 900000000), EINTR);
    EXPECT_EQ(seen_count, 1);
    waitpid(pid, NULL, 0);
    signal(SIGUSR2, SIG_DFL);
    block(0);
}

/* ---- interrupted calls ---- */

/* A child sends `signal` to its parent, and afterwards a byte down the pipe. */
static pid_t disturbs(int signal, const int fds[2])
{
    pid_t parent = getpid(), pid = fork();

    if (pid == 0) {
        usleep(15000);
        kill(parent, signal);
        usleep(15000);
        if (write(fds[1], "x", 1) != 1)
            _exit(1);
        _exit(0);
    }
    return pid;
}

KTAP_CASE(read_is_restarted_or_interrupted)
{
    int fds[2];
    char byte = 0;

    REQUIRE(pipe(fds) == 0);
    sees(SIGUSR1, SA_RESTART);
    pid_t pid = disturbs(SIGUSR1, fds);
    EXPECT_EQ(pg_syscall(SYS_read, fds[0], (uintptr_t)&byte, 1), 1);
    EXPECT_EQ(seen_count, 1);
    waitpid(pid, NULL, 0);
    sees(SIGUSR1, 0);
    pid = disturbs(SIGUSR1, fds);
    EXPECT_ERROR(pg_syscall(SYS_read, fds[0], (uintptr_t)&byte, 1), EINTR);
    EXPECT_EQ(seen_count, 1);
    waitpid(pid, NULL, 0);
    /* One that is ignored does not show at all. */
    EXPECT_EQ(pg_syscall(SYS_read, fds[0], (uintptr_t)&byte, 1), 1);
    signal(SIGUSR1, SIG_IGN);
    pid = disturbs(SIGUSR1, fds);
    EXPECT_EQ(pg_syscall(SYS_read, fds[0], (uintptr_t)&byte, 1), 1);
    waitpid(pid, NULL, 0);
    signal(SIGUSR1, SIG_DFL);
    close(fds[0]);
    close(fds[1]);
}

KTAP_CASE(interrupted_sleep_tells_what_is_left)
{
    struct timespec time = {.tv_nsec = 300000000}, left = {.tv_sec = 99};
    int fds[2];

    REQUIRE(pipe(fds) == 0);
    sees(SIGUSR1, SA_RESTART); /* a sleep is never made again */
    pid_t pid = disturbs(SIGUSR1, fds);
    EXPECT_ERROR(pg_syscall(SYS_nanosleep, (uintptr_t)&time, (uintptr_t)&left), EINTR);
    EXPECT(left.tv_sec == 0 && left.tv_nsec > 0 && left.tv_nsec < 300000000);
    waitpid(pid, NULL, 0);
    signal(SIGUSR1, SIG_DFL);
    close(fds[0]);
    close(fds[1]);
}

KTAP_CASE(ignored_signals_stop_pending)
{
    uint64_t pending = 0;

    block(BIT(SIGUSR1));
    pg_syscall(SYS_kill, getpid(), SIGUSR1);
    pg_syscall(NR_SIGPENDING, (uintptr_t)&pending, 8);
    EXPECT_EQ(pending, BIT(SIGUSR1));
    signal(SIGUSR1, SIG_IGN);
    pg_syscall(NR_SIGPENDING, (uintptr_t)&pending, 8);
    EXPECT_EQ(pending, 0);
    signal(SIGUSR1, SIG_DFL);
    block(0);
}

KTAP_CASE(sigsuspend_takes_what_it_lets_in)
{
    uint64_t mask = 0;

    sees(SIGUSR1, 0);
    block(BIT(SIGUSR1));
    pg_syscall(SYS_kill, getpid(), SIGUSR1);
    EXPECT_EQ(seen_count, 0);
    EXPECT_ERROR(pg_syscall(NR_SIGSUSPEND, (uintptr_t)&mask, 8), EINTR);
    EXPECT_EQ(seen_count, 1);
    pg_syscall(SYS_kill, getpid(), SIGUSR1);
    EXPECT_EQ(seen_count, 1); /* blocked again */
    signal(SIGUSR1, SIG_IGN);
    block(0);
    signal(SIGUSR1, SIG_DFL);
}

/* ---- the alternate stack that is put away while a handler runs ---- */

struct stack {
    void *sp;
    int flags;
    size_t bytes;
};

static struct stack stack_inside;

static void ask_stack(int signal)
{
    (void)signal;
    pg_syscall(NR_SIGALTSTACK, 0, (uintptr_t)&stack_inside);
}

KTAP_CASE(autodisarm_puts_the_stack_away)
{
    static char room[16384] __attribute__((aligned(16)));
    struct stack stack = {room, (int)AUTODISARM, sizeof(room)}, none = {.flags = 2}, after;
    struct sigaction action = {.sa_flags = SA_ONSTACK};

    SKIP_EMULATED("does not know SS_AUTODISARM");
    EXPECT_EQ(pg_syscall(NR_SIGALTSTACK, (uintptr_t)&stack, 0), 0);
    action.sa_handler = ask_stack;
    sigaction(SIGUSR1, &action, NULL);
    pg_syscall(SYS_kill, getpid(), SIGUSR1);
    EXPECT_EQ(stack_inside.flags, 2);
    EXPECT_EQ(pg_syscall(NR_SIGALTSTACK, 0, (uintptr_t)&after), 0);
    EXPECT(after.sp == room && after.flags == (int)AUTODISARM && after.bytes == sizeof(room));
    EXPECT_EQ(pg_syscall(NR_SIGALTSTACK, (uintptr_t)&none, 0), 0);
    signal(SIGUSR1, SIG_DFL);
}
