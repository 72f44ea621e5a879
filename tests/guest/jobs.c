/*
 * Job control: processes that stop and go on, and what wait tells of it. After LTP's kill, waitid
 * and wait4 tests.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"

#define NR_WAITID    95
#define NR_SETPGID   154
#define NR_SETSID    157
#define UNTRACED     2
#define STOPPED      2
#define EXITED       4
#define CONTINUED    8
#define CODE_KILLED  2
#define CODE_STOPPED 5
#define CODE_GOES_ON 6
#define WORD_GOES_ON 0xffff

static volatile int *counter;

static bool counter_make(void)
{
    void *at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    counter = at;
    return at != MAP_FAILED;
}

static void nap(long msec)
{
    usleep((useconds_t)(msec * 1000));
}

/* A child that counts, without a call or with one each time. */
static pid_t counts(bool calls)
{
    pid_t pid = fork();

    if (pid)
        return pid;
    for (;;) {
        (*counter)++;
        if (calls)
            pg_syscall(SYS_sched_yield);
    }
}

static bool moves(void)
{
    int before = *counter;

    for (int i = 0; i < 200; i++) {
        nap(5);
        if (*counter != before)
            return true;
    }
    return false;
}

static bool rests(void)
{
    int before = *counter;

    nap(30);
    return *counter == before;
}

static void stops_and_goes_on(bool calls)
{
    int status;

    REQUIRE(counter_make());
    pid_t pid = counts(calls);
    REQUIRE(pid > 0);
    for (int round = 0; round < 3; round++) {
        EXPECT(moves());
        EXPECT_EQ(kill(pid, SIGSTOP), 0);
        EXPECT_EQ(waitpid(pid, &status, UNTRACED), pid);
        EXPECT_EQ(status, SIGSTOP << 8 | 0x7f);
        EXPECT_EQ(waitpid(pid, &status, UNTRACED | WNOHANG), 0); /* told once */
        EXPECT(rests());
        EXPECT_EQ(kill(pid, SIGCONT), 0);
        EXPECT_EQ(waitpid(pid, &status, CONTINUED), pid);
        EXPECT_EQ(status, WORD_GOES_ON);
        EXPECT_EQ(waitpid(pid, &status, CONTINUED | WNOHANG), 0);
    }
    EXPECT(moves());
    kill(pid, SIGSTOP);
    EXPECT_EQ(waitpid(pid, &status, UNTRACED), pid);
    kill(pid, SIGKILL); /* needs no SIGCONT */
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, SIGKILL);
}

KTAP_CASE(process_that_computes_stops_and_goes_on)
{
    stops_and_goes_on(false);
}

KTAP_CASE(process_that_calls_stops_and_goes_on)
{
    stops_and_goes_on(true);
}

KTAP_CASE(fatal_signal_waits_for_the_end_of_the_stop)
{
    int status;

    REQUIRE(counter_make());
    pid_t pid = counts(true);
    REQUIRE(pid > 0);
    kill(pid, SIGSTOP);
    EXPECT_EQ(waitpid(pid, &status, UNTRACED), pid);
    kill(pid, SIGTERM);
    nap(20);
    EXPECT_EQ(waitpid(pid, &status, WNOHANG), 0);
    kill(pid, SIGCONT);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, SIGTERM);
}

/* A sleep is not cut short by a stop, and not made longer. */
KTAP_CASE(sleep_outlasts_a_stop)
{
    struct timespec begin, end;
    int status;

    clock_gettime(CLOCK_MONOTONIC, &begin);
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        struct timespec time = {.tv_nsec = 200000000};
        _exit(pg_syscall(SYS_nanosleep, (uintptr_t)&time, 0) == 0 ? 0 : 1);
    }
    nap(20);
    kill(pid, SIGSTOP);
    EXPECT_EQ(waitpid(pid, &status, UNTRACED), pid);
    nap(30);
    kill(pid, SIGCONT);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
    clock_gettime(CLOCK_MONOTONIC, &end);
    long msec = (end.tv_sec - begin.tv_sec) * 1000 + (end.tv_nsec - begin.tv_nsec) / 1000000;
    EXPECT(msec >= 199);
}

static int reads_a_pipe(const int fds[2])
{
    char byte = 0;

    return read(fds[0], &byte, 1) == 1 && byte == 'x' ? 0 : 1;
}

KTAP_CASE(read_goes_on_after_a_stop)
{
    int fds[2], status;

    REQUIRE(pipe(fds) == 0);
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0)
        _exit(reads_a_pipe(fds));
    nap(10);
    kill(pid, SIGSTOP);
    EXPECT_EQ(waitpid(pid, &status, UNTRACED), pid);
    EXPECT_EQ(write(fds[1], "x", 1), 1);
    nap(10);
    EXPECT_EQ(waitpid(pid, &status, WNOHANG), 0);
    kill(pid, SIGCONT);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
    close(fds[0]);
    close(fds[1]);
}

static volatile int handled;

static void handle(int signal)
{
    handled = signal;
}

/* The handler of SIGCONT runs when the process goes on; the stop comes before it. */
KTAP_CASE(handler_of_sigcont_runs)
{
    int status;
    pid_t pid = fork();

    REQUIRE(pid >= 0);
    if (pid == 0) {
        signal(SIGCONT, handle);
        pg_syscall(SYS_kill, getpid(), SIGSTOP);
        for (int i = 0; i < 1000 && !handled; i++)
            pg_syscall(SYS_sched_yield);
        _exit(handled == SIGCONT ? 0 : 1);
    }
    EXPECT_EQ(waitpid(pid, &status, UNTRACED), pid);
    EXPECT_EQ(status, SIGSTOP << 8 | 0x7f);
    kill(pid, SIGCONT);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
}

/* Those of the terminal can be handled, ignored, and do nothing in an orphaned group. */
KTAP_CASE(stop_signals_of_the_terminal)
{
    int status;
    pid_t pid = fork();

    REQUIRE(pid >= 0);
    if (pid == 0) {
        pg_syscall(NR_SETPGID, 0, 0); /* its parent is in another group of the session */
        signal(SIGTSTP, SIG_IGN);
        pg_syscall(SYS_kill, getpid(), SIGTSTP);
        signal(SIGTSTP, handle);
        pg_syscall(SYS_kill, getpid(), SIGTSTP);
        if (handled != SIGTSTP)
            _exit(1);
        signal(SIGTSTP, SIG_DFL);
        pg_syscall(SYS_kill, getpid(), SIGTSTP);
        _exit(0);
    }
    EXPECT_EQ(waitpid(pid, &status, UNTRACED), pid);
    EXPECT_EQ(status, SIGTSTP << 8 | 0x7f);
    kill(pid, SIGCONT);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
}

KTAP_CASE(orphaned_group_does_not_stop_for_the_terminal)
{
    int status;
    pid_t pid = fork();

    REQUIRE(pid >= 0);
    if (pid == 0) {
        pg_syscall(NR_SETSID);
        pg_syscall(SYS_kill, getpid(), SIGTSTP);
        pg_syscall(SYS_kill, getpid(), SIGTTIN);
        _exit(7);
    }
    EXPECT_EQ(waitpid(pid, &status, UNTRACED), pid);
    EXPECT_EQ(status, 7 << 8);
}

KTAP_CASE(waitid_tells_of_stops)
{
    int info[32];

    REQUIRE(counter_make());
    pid_t pid = counts(true);
    REQUIRE(pid > 0);
    kill(pid, SIGSTOP);
    memset(info, 0, sizeof(info));
    EXPECT_EQ(pg_syscall(NR_WAITID, 1, pid, (uintptr_t)info, STOPPED, 0), 0);
    EXPECT(info[0] == SIGCHLD && info[2] == CODE_STOPPED && info[4] == pid && info[6] == SIGSTOP);
    kill(pid, SIGCONT);
    EXPECT_EQ(pg_syscall(NR_WAITID, 1, pid, (uintptr_t)info, CONTINUED, 0), 0);
    EXPECT(info[2] == CODE_GOES_ON && info[6] == SIGCONT);
    info[0] = 5;
    EXPECT_EQ(pg_syscall(NR_WAITID, 1, pid, (uintptr_t)info, STOPPED | EXITED | WNOHANG, 0), 0);
    EXPECT_EQ(info[0], 0);
    kill(pid, SIGKILL);
    EXPECT_EQ(pg_syscall(NR_WAITID, 1, pid, (uintptr_t)info, EXITED, 0), 0);
    EXPECT(info[2] == CODE_KILLED && info[6] == SIGKILL);
}

static int sigchld_codes[8], sigchld_count;

static void note_child(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    if (sigchld_count < 8)
        sigchld_codes[sigchld_count++] = info->si_code << 8 | info->si_status;
}

static void notes_children(unsigned long flags)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_RESTART | flags};
    int status;

    action.sa_sigaction = note_child;
    sigaction(SIGCHLD, &action, NULL);
    sigchld_count = 0;
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        pg_syscall(SYS_kill, getpid(), SIGSTOP);
        _exit(3);
    }
    EXPECT_EQ(waitpid(pid, &status, UNTRACED), pid);
    kill(pid, SIGCONT);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    signal(SIGCHLD, SIG_DFL);
}

KTAP_CASE(sigchld_tells_of_stops)
{
    SKIP_EMULATED("signal information of children is not exact");
    notes_children(0);
    EXPECT(sigchld_count >= 2);
    EXPECT_EQ(sigchld_codes[0], CODE_STOPPED << 8 | SIGSTOP);
    /* Its end, unless that was told while the signal of its going on was pending. */
    int last = sigchld_codes[sigchld_count - 1];
    EXPECT(last == (1 << 8 | 3) || last == (CODE_GOES_ON << 8 | SIGCONT));
    notes_children(SA_NOCLDSTOP);
    EXPECT_EQ(sigchld_count, 1);
    EXPECT_EQ(sigchld_codes[0], 1 << 8 | 3);
}

/* All threads stop, whatever they do, and all go on. */
static void *thread_counts(void *arg)
{
    (void)arg;
    for (;;)
        (*counter)++;
    return NULL;
}

static void *thread_sleeps(void *arg)
{
    (void)arg;
    for (;;) {
        nap(1);
        counter[1]++;
    }
    return NULL;
}

KTAP_CASE(all_threads_stop)
{
    int status;

    SKIP_EMULATED("threads of a child are not stopped one by one");
    REQUIRE(counter_make());
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        pg_thread_create(thread_counts, NULL, 0);
        pg_thread_create(thread_sleeps, NULL, 0);
        for (;;)
            nap(1000);
    }
    for (int round = 0; round < 5; round++) {
        EXPECT(moves());
        kill(pid, SIGSTOP);
        EXPECT_EQ(waitpid(pid, &status, UNTRACED), pid);
        int steps = counter[1];
        EXPECT(rests());
        EXPECT_EQ(counter[1], steps);
        kill(pid, SIGCONT);
    }
    EXPECT(moves());
    kill(pid, SIGKILL);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, SIGKILL);
}

KTAP_CASE(wait_for_children_with_other_signals)
{
    int status;
    long pid = pg_syscall(SYS_clone, 0, 0, 0, 0, 0); /* its end sends nothing */

    SKIP_EMULATED("children without an exit signal are like others");
    REQUIRE(pid >= 0);
    if (pid == 0)
        _exit(4);
    EXPECT_ERROR(pg_syscall(SYS_wait4, pid, (uintptr_t)&status, 0, 0), ECHILD);
    EXPECT_EQ(pg_syscall(SYS_wait4, pid, (uintptr_t)&status, 0x80000000, 0), pid);
    EXPECT_EQ(status, 4 << 8);
    EXPECT_ERROR(pg_syscall(SYS_wait4, 0x80000000L, 0, 0, 0), ESRCH);
    EXPECT_ERROR(pg_syscall(SYS_wait4, -1, 0, 0x10, 0), EINVAL);
}
