/*
 * fork: who sees which bytes afterwards, what a child inherits, and that nothing is left behind.
 * After kselftest's cow.c and LTP's fork, vfork, madvise and wait4 tests.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"
#include <pagoda/mm.h>

#define RW    (PROT_READ | PROT_WRITE)
#define ANON  (MAP_PRIVATE | MAP_ANONYMOUS)
#define PAGES 64UL

#define SYS_CLONE3      435
#define SYS_WAITID      95
#define WAIT_EXITED     4
#define MM_ID_OF_SERVER 1
#define WAIT_LOOK       0x1000000 /* WNOWAIT */

#define MADV_WIPE 18 /* WIPEONFORK */
#define MADV_KEEP 19 /* KEEPONFORK */

static unsigned char *map(size_t pages)
{
    void *at = mmap(NULL, pages * PAGE, RW, ANON, -1, 0);

    return at == MAP_FAILED ? NULL : at;
}

/* The child ends with `status` of its own; what waitpid says of it. */
static int status_of(pid_t pid)
{
    int status = -1;

    return waitpid(pid, &status, 0) == pid ? status : -1;
}

#define EXPECT_CHILD_GOOD(pid) EXPECT_EQ(status_of(pid), 0)

/* In a child: end with a status that says where it went wrong. */
#define CHILD_NEEDS(expr)              \
    do {                               \
        if (!(expr))                   \
            _exit(__LINE__ % 255 + 1); \
    } while (0)

/* An emulator of user mode takes any advice, and does not see to the words of a clone. */
static bool is_emulated(void *page)
{
    return madvise(page, PAGE, 7777) == 0;
}

KTAP_CASE(fork_returns_twice)
{
    pid_t parent = getpid();
    pid_t pid = fork();

    REQUIRE(pid >= 0);
    if (pid == 0) {
        CHILD_NEEDS(getpid() != parent && getppid() == parent);
        _exit(42);
    }
    int status = status_of(pid);
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 42);
}

KTAP_CASE(fork_cow_child_writes)
{
    unsigned char *at = map(PAGES);

    REQUIRE(at);
    for (size_t i = 0; i < PAGES; i++)
        at[i * PAGE] = (unsigned char)(i + 1);
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        for (size_t i = 0; i < PAGES; i++) {
            CHILD_NEEDS(at[i * PAGE] == (unsigned char)(i + 1));
            at[i * PAGE] = 200;
            CHILD_NEEDS(at[i * PAGE] == 200 && at[i * PAGE + 1] == 0);
        }
        _exit(0);
    }
    EXPECT_CHILD_GOOD(pid);
    for (size_t i = 0; i < PAGES; i++)
        EXPECT_EQ(at[i * PAGE], i + 1);
    munmap(at, PAGES * PAGE);
}

/* The parent writes first; the child still sees what there was. */
KTAP_CASE(fork_cow_parent_writes)
{
    unsigned char *at = map(PAGES);
    int go[2];
    char byte = 0;

    REQUIRE(at && pipe(go) == 0);
    memset(at, 7, PAGES * PAGE);
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        CHILD_NEEDS(read(go[0], &byte, 1) == 1);
        for (size_t i = 0; i < PAGES * PAGE; i += 64)
            CHILD_NEEDS(at[i] == 7);
        _exit(0);
    }
    memset(at, 9, PAGES * PAGE);
    EXPECT_EQ(write(go[1], &byte, 1), 1);
    EXPECT_CHILD_GOOD(pid);
    EXPECT_EQ(at[PAGES * PAGE - 1], 9);
    close(go[0]);
    close(go[1]);
    munmap(at, PAGES * PAGE);
}

/* Written by fork's survivor: the page is its own again, and stays what it was. */
KTAP_CASE(fork_cow_reuse_by_the_last_owner)
{
    unsigned char *at = map(PAGES);

    REQUIRE(at);
    memset(at, 3, PAGES * PAGE);
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0)
        _exit(0);
    EXPECT_CHILD_GOOD(pid);
    for (size_t i = 0; i < PAGES; i++) {
        at[i * PAGE] = 4;
        EXPECT(at[i * PAGE + 1] == 3);
    }
    munmap(at, PAGES * PAGE);
}

/* All words of a page: `word` in the first one, else `fill`. */
static bool page_is(const unsigned char *page, uint64_t word, uint64_t fill)
{
    const uint64_t *at = (const uint64_t *)page;

    for (size_t i = 1; i < PAGE / sizeof *at; i++)
        if (at[i] != fill)
            return false;
    return at[0] == word;
}

/*
 * Parent and child write to the same shared pages at once, on harts of their own if there are any.
 * One of them gets a copy, the other one keeps the page: and fills it while the copy is made.
 */
KTAP_CASE(fork_copies_are_whole)
{
    enum { ROUNDS = 60 };
    volatile int *go = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    unsigned char *at = map(PAGES);

    EXPECT(go != MAP_FAILED && at != NULL);
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < PAGES; i++)
            memset(at + i * PAGE, 0x11, PAGE);
        *go = 0;
        pid_t pid = fork();
        EXPECT(pid >= 0);
        if (pid == 0)
            *go = 1;
        while (*go != (pid ? 1 : 2))
            sched_yield();
        *go = 2;
        for (size_t i = 0; i < PAGES; i++) {
            volatile uint64_t *word = (volatile uint64_t *)(at + i * PAGE);

            /* The child from the end on, so that it meets who copies from the start. */
            for (size_t k = pid ? 1 : PAGE / sizeof *word; k-- > 0;)
                word[k] = pid ? 0x2222222222222222 : 0x3333333333333333;
        }
        for (size_t i = 0; pid == 0 && i < PAGES; i++)
            CHILD_NEEDS(page_is(at + i * PAGE, 0x3333333333333333, 0x3333333333333333));
        if (pid == 0)
            _exit(0);
        EXPECT_CHILD_GOOD(pid);
        for (size_t i = 0; i < PAGES; i++)
            EXPECT(page_is(at + i * PAGE, 0x2222222222222222, 0x1111111111111111));
    }
    munmap(at, PAGES * PAGE);
    munmap((void *)go, PAGE);
}

KTAP_CASE(fork_zero_pages_and_holes)
{
    unsigned char *at = map(PAGES);
    unsigned sum = 0;

    REQUIRE(at);
    at[5 * PAGE] = 5;
    for (size_t i = 0; i < PAGES / 2; i++)
        sum += at[i * PAGE];
    EXPECT_EQ(sum, 5);
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        for (size_t i = 0; i < PAGES; i++) {
            CHILD_NEEDS(at[i * PAGE] == (i == 5 ? 5 : 0));
            at[i * PAGE] = 1;
        }
        _exit(0);
    }
    EXPECT_CHILD_GOOD(pid);
    for (size_t i = 0; i < PAGES; i++)
        EXPECT_EQ(at[i * PAGE], i == 5 ? 5 : 0);
    munmap(at, PAGES * PAGE);
}

#define DEPTH 20

/* Each generation changes a page of its own and sees all of its ancestors'. */
KTAP_CASE(fork_depth_20)
{
    unsigned char *at = map(DEPTH + 1);
    int depth = 0;
    pid_t pid = 0;

    REQUIRE(at);
    memset(at, 0, (DEPTH + 1) * PAGE);
    for (; depth < DEPTH; depth++) {
        pid = fork();
        if (pid != 0)
            break;
        for (int i = 0; i < depth; i++)
            CHILD_NEEDS(at[(size_t)i * PAGE] == i + 1);
        at[(size_t)depth * PAGE] = (unsigned char)(depth + 1);
    }
    if (depth == DEPTH)
        _exit(0);
    int status = pid > 0 ? status_of(pid) : -1;
    for (int i = 0; i < DEPTH; i++)
        status |= at[(size_t)i * PAGE] != (i < depth ? i + 1 : 0) ? 255 << 8 : 0;
    if (depth)
        _exit(status ? 255 : 0);
    EXPECT_EQ(status, 0);
    munmap(at, (DEPTH + 1) * PAGE);
}

/* Inaccessible at the time of the fork, accessible later in both. */
KTAP_CASE(fork_of_inaccessible_pages)
{
    unsigned char *at = map(4);

    REQUIRE(at);
    memset(at, 6, 4 * PAGE);
    EXPECT_EQ(mprotect(at, 4 * PAGE, PROT_NONE), 0);
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        CHILD_NEEDS(mprotect(at, 4 * PAGE, RW) == 0);
        CHILD_NEEDS(at[0] == 6 && at[3 * PAGE] == 6);
        memset(at, 8, 4 * PAGE);
        CHILD_NEEDS(at[PAGE] == 8);
        _exit(0);
    }
    EXPECT_CHILD_GOOD(pid);
    EXPECT_EQ(mprotect(at, 4 * PAGE, RW), 0);
    EXPECT(at[0] == 6 && at[2 * PAGE + 5] == 6);
    at[0] = 1;
    munmap(at, 4 * PAGE);
}

/* Rights taken and given back while both have the pages: no write may reach the other. */
KTAP_CASE(fork_then_mprotect)
{
    unsigned char *at = map(8);
    int go[2];
    char byte = 0;

    REQUIRE(at && pipe(go) == 0);
    memset(at, 2, 8 * PAGE);
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        CHILD_NEEDS(read(go[0], &byte, 1) == 1);
        for (size_t i = 0; i < 8; i++)
            CHILD_NEEDS(at[i * PAGE] == 2);
        _exit(0);
    }
    EXPECT_EQ(mprotect(at, 8 * PAGE, PROT_READ), 0);
    EXPECT_EQ(mprotect(at, 8 * PAGE, RW), 0);
    memset(at, 5, 8 * PAGE);
    EXPECT_EQ(write(go[1], &byte, 1), 1);
    EXPECT_CHILD_GOOD(pid);
    close(go[0]);
    close(go[1]);
    munmap(at, 8 * PAGE);
}

KTAP_CASE(fork_then_mremap)
{
    unsigned char *at = map(8);

    REQUIRE(at);
    memset(at, 11, 8 * PAGE);
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        unsigned char *to = mremap(at, 8 * PAGE, 16 * PAGE, MREMAP_MAYMOVE);
        CHILD_NEEDS(to != MAP_FAILED);
        CHILD_NEEDS(to[0] == 11 && to[7 * PAGE] == 11 && to[8 * PAGE] == 0);
        memset(to, 12, 16 * PAGE);
        pid_t below = fork();
        if (below == 0) {
            CHILD_NEEDS(to[15 * PAGE] == 12);
            to[0] = 13;
            _exit(0);
        }
        CHILD_NEEDS(below > 0 && status_of(below) == 0 && to[0] == 12);
        _exit(0);
    }
    EXPECT_CHILD_GOOD(pid);
    EXPECT(at[0] == 11 && at[7 * PAGE] == 11);
    munmap(at, 8 * PAGE);
}

KTAP_CASE(fork_dontfork)
{
    unsigned char *at = map(3);

    REQUIRE(at);
    memset(at, 1, 3 * PAGE);
    if (is_emulated(at))
        SKIP("advice is ignored here");
    EXPECT_EQ(madvise(at + PAGE, PAGE, MADV_DONTFORK), 0);
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        CHILD_NEEDS(at[0] == 1 && at[2 * PAGE] == 1);
        CHILD_NEEDS(mmap(at + PAGE, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0) == at + PAGE);
        CHILD_NEEDS(at[PAGE] == 0);
        _exit(0);
    }
    EXPECT_CHILD_GOOD(pid);
    EXPECT_EQ(at[PAGE], 1);
    EXPECT_EQ(madvise(at + PAGE, PAGE, MADV_DOFORK), 0);
    pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0)
        _exit(at[PAGE] != 1);
    EXPECT_CHILD_GOOD(pid);
    munmap(at, 3 * PAGE);
}

KTAP_CASE(fork_wipeonfork)
{
    unsigned char *at = map(3);

    REQUIRE(at);
    memset(at, 1, 3 * PAGE);
    if (is_emulated(at))
        SKIP("advice is ignored here");
    EXPECT_EQ(madvise(at + PAGE, PAGE, MADV_WIPE), 0);
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        CHILD_NEEDS(at[0] == 1 && at[PAGE] == 0 && at[2 * PAGE] == 1);
        at[PAGE] = 9;
        pid_t below = fork(); /* the advice is inherited */
        if (below == 0)
            _exit(at[PAGE] != 0);
        CHILD_NEEDS(below > 0 && status_of(below) == 0);
        _exit(0);
    }
    EXPECT_CHILD_GOOD(pid);
    EXPECT_EQ(at[PAGE], 1);
    EXPECT_EQ(madvise(at + PAGE, PAGE, MADV_KEEP), 0);
    pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0)
        _exit(at[PAGE] != 1);
    EXPECT_CHILD_GOOD(pid);
    munmap(at, 3 * PAGE);
}

static void *write_all(void *arg)
{
    unsigned char *at = arg;

    for (int round = 0; round < 40; round++)
        for (size_t i = 0; i < PAGES; i++)
            at[i * PAGE] = (unsigned char)round;
    return NULL;
}

/* Threads write while another one forks: a child sees a page as it was at some moment, and it does
 * not change any more. */
KTAP_CASE(fork_in_threads)
{
    unsigned char *at = map(PAGES);
    struct pg_thread *writer[2];

    REQUIRE(at);
    for (int i = 0; i < 2; i++) {
        writer[i] = pg_thread_create(write_all, at, 0);
        REQUIRE(writer[i]);
    }
    for (int i = 0; i < 10; i++) {
        pid_t pid = fork();
        REQUIRE(pid >= 0);
        if (pid == 0) {
            unsigned char seen[PAGES];

            for (size_t k = 0; k < PAGES; k++)
                seen[k] = at[k * PAGE];
            for (int k = 0; k < 20; k++)
                pg_syscall(SYS_sched_yield);
            for (size_t k = 0; k < PAGES; k++)
                CHILD_NEEDS(at[k * PAGE] == seen[k]);
            _exit(0);
        }
        EXPECT_CHILD_GOOD(pid);
    }
    for (int i = 0; i < 2; i++)
        pg_thread_join(writer[i]);
    for (size_t i = 0; i < PAGES; i++)
        EXPECT_EQ(at[i * PAGE], 39);
    munmap(at, PAGES * PAGE);
}

static double number = 1.5;

/* Floating-point registers are a child's too. */
KTAP_CASE(fork_floating_point)
{
    register double kept __asm__("fs3") = number;

    __asm__ volatile("" : "+f"(kept));
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    __asm__ volatile("" : "+f"(kept));
    if (pid == 0)
        _exit(kept != 1.5);
    EXPECT(kept == 1.5);
    EXPECT_CHILD_GOOD(pid);
}

static int handled;

static void handler(int signal)
{
    (void)signal;
    handled++;
}

/* Handlers and the mask are inherited, pending signals are not. */
KTAP_CASE(fork_signals)
{
    struct sigaction action = {.sa_handler = handler}, old;
    sigset_t set = 1UL << (SIGUSR1 - 1), before;

    handled = 0;
    EXPECT_EQ(sigaction(SIGUSR1, &action, &old), 0);
    EXPECT_EQ(sigprocmask(SIG_BLOCK, &set, &before), 0);
    kill(getpid(), SIGUSR1);
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        CHILD_NEEDS(sigprocmask(SIG_SETMASK, &before, NULL) == 0 && handled == 0);
        CHILD_NEEDS(kill(getpid(), SIGUSR1) == 0 && handled == 1);
        _exit(0);
    }
    EXPECT_CHILD_GOOD(pid);
    EXPECT_EQ(sigprocmask(SIG_SETMASK, &before, NULL), 0);
    EXPECT_EQ(handled, 1);
    sigaction(SIGUSR1, &old, NULL);
}

/* A child that is killed while it copies pages leaves the parent's as they were. */
KTAP_CASE(fork_child_killed_anywhere)
{
    unsigned char *at = map(PAGES);

    REQUIRE(at);
    memset(at, 77, PAGES * PAGE);
    for (int i = 0; i < 20; i++) {
        pid_t pid = fork();

        REQUIRE(pid >= 0);
        if (pid == 0) {
            for (unsigned char value = 0;; value++)
                for (size_t k = 0; k < PAGES; k++)
                    at[k * PAGE] = value;
        }
        for (int k = 0; k < i; k++)
            pg_syscall(SYS_sched_yield);
        EXPECT_EQ(kill(pid, SIGKILL), 0);
        int status = status_of(pid);
        EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    }
    for (size_t i = 0; i < PAGES * PAGE; i += 64)
        EXPECT_EQ(at[i], 77);
    munmap(at, PAGES * PAGE);
}

/* The offset in a file is shared, the table of descriptors is not. */
KTAP_CASE(fork_descriptors)
{
    int ends[2];
    char byte = 'x';

    REQUIRE(pipe(ends) == 0);
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        close(ends[0]);
        _exit(write(ends[1], &byte, 1) != 1);
    }
    close(ends[1]);
    EXPECT_EQ(read(ends[0], &byte, 1), 1);
    EXPECT_EQ(byte, 'x');
    EXPECT_EQ(read(ends[0], &byte, 1), 0); /* nobody else holds the other end */
    EXPECT_CHILD_GOOD(pid);
    close(ends[0]);
}

#define FAMILY 24

KTAP_CASE(fork_many_at_once)
{
    unsigned char *at = map(4);
    pid_t pids[FAMILY];

    REQUIRE(at);
    memset(at, 1, 4 * PAGE);
    for (int i = 0; i < FAMILY; i++) {
        pids[i] = fork();
        REQUIRE(pids[i] >= 0);
        if (pids[i] == 0) {
            at[0] = (unsigned char)i;
            pg_syscall(SYS_sched_yield);
            CHILD_NEEDS(at[0] == i && at[PAGE] == 1);
            _exit(i);
        }
    }
    for (int i = 0; i < FAMILY; i++) {
        int status = status_of(pids[i]);
        EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == i);
    }
    EXPECT_EQ(at[0], 1);
    munmap(at, 4 * PAGE);
}

/* clone's bits for the words that tell tids. */
KTAP_CASE(fork_clone_tids)
{
    static volatile int parent_word, child_word;
    int before = getpid();

    parent_word = child_word = 0;
    long pid = pg_syscall(SYS_clone, SIGCHLD | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID, 0,
                          (uintptr_t)&parent_word, 0, (uintptr_t)&child_word);
    REQUIRE(pid >= 0);
    if (pid == 0) {
        CHILD_NEEDS(child_word == getpid() && getpid() != before);
        _exit(0);
    }
    EXPECT_CHILD_GOOD((pid_t)pid);
    if (!is_emulated((void *)((uintptr_t)&number & ~(PAGE - 1))))
        EXPECT_EQ(parent_word, pid);
    EXPECT_EQ(child_word, 0);
}

KTAP_CASE(fork_wait_errors)
{
    int status;

    EXPECT_EQ(waitpid(-1, &status, 0), -1);
    EXPECT_EQ(errno, ECHILD);
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0)
        for (;;)
            pg_syscall(SYS_sched_yield);
    EXPECT_EQ(waitpid(pid, &status, WNOHANG), 0);
    kill(pid, SIGTERM);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

struct clone3_args {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_bytes, tls;
};

KTAP_CASE(fork_clone3_and_waitid)
{
    static volatile int child_word;
    struct clone3_args args = {
        .flags = CLONE_CHILD_SETTID, .child_tid = (uintptr_t)&child_word, .exit_signal = SIGCHLD};
    int info[32];

    if (is_emulated((void *)((uintptr_t)&number & ~(PAGE - 1))))
        SKIP("clone3 is not emulated");
    EXPECT_ERROR(pg_syscall(SYS_CLONE3, (uintptr_t)&args, 8), EINVAL);
    args.flags |= 1; /* a signal does not belong there */
    EXPECT_ERROR(pg_syscall(SYS_CLONE3, (uintptr_t)&args, sizeof args), EINVAL);
    args.flags &= ~1UL;
    long pid = pg_syscall(SYS_CLONE3, (uintptr_t)&args, sizeof args);
    REQUIRE(pid >= 0);
    if (pid == 0)
        _exit(child_word == getpid() ? 7 : 1);
    EXPECT_ERROR(pg_syscall(SYS_WAITID, 1, (uintptr_t)pid, (uintptr_t)info, 0, 0), EINVAL);
    EXPECT_EQ(
        pg_syscall(SYS_WAITID, 1, (uintptr_t)pid, (uintptr_t)info, WAIT_EXITED | WAIT_LOOK, 0), 0);
    EXPECT(info[0] == SIGCHLD && info[2] == 1 && info[4] == pid && info[6] == 7);
    EXPECT_EQ(pg_syscall(SYS_WAITID, 0, 0, (uintptr_t)info, WAIT_EXITED, 0), 0);
    EXPECT(info[4] == pid && info[6] == 7);
    EXPECT_ERROR(pg_syscall(SYS_WAITID, 0, 0, (uintptr_t)info, WAIT_EXITED, 0), ECHILD);
}

/* Lines of the memory server's list of its capabilities. */
static long capabilities(void)
{
    static char text[2048];
    long lines = 0, at = 0, got;

    while ((got = pg_syscall(MM_REPORT, MM_REPORT_CAPS, MM_ID_OF_SERVER, (uintptr_t)text,
                             sizeof text, at)) > 0) {
        for (long i = 0; i < got; i++)
            lines += text[i] == '\n';
        at += got;
    }
    return lines;
}

static void kill_families(unsigned char *at, int rounds)
{
    for (int i = 0; i < rounds; i++) {
        pid_t pid = fork();

        if (pid == 0) {
            for (unsigned char value = 0;; value++) {
                for (size_t k = 0; k < PAGES; k++)
                    at[k * PAGE] = value;
                pid_t below = fork();
                if (below == 0)
                    _exit(at[0] != value);
                status_of(below);
            }
        }
        for (int k = 0; k < i; k++)
            pg_syscall(SYS_sched_yield);
        kill(pid, SIGKILL);
        status_of(pid);
    }
}

/* Processes that are killed at any moment of forks and faults: nothing of them is left. */
KTAP_CASE(pagoda_fork_leaves_nothing)
{
    unsigned char *at = map(PAGES);

    REQUIRE(at);
    memset(at, 1, PAGES * PAGE);
    kill_families(at, 4);
    usleep(20000); /* orphans end too */
    long before = capabilities();
    EXPECT(before > 0);
    kill_families(at, 20);
    for (int k = 0; k < 100 && capabilities() != before; k++)
        usleep(10000);
    EXPECT_EQ(capabilities(), before);
    EXPECT_EQ(pg_syscall(MM_CHECK), 0);
    EXPECT_EQ(at[PAGE], 1);
    munmap(at, PAGES * PAGE);
}
