/*
 * What a process says that it is: users and groups, capabilities, prctl's values, scheduling
 * policies, limits. After LTP's setresuid, capget, prctl and sched_setscheduler tests.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"

#define NR_CAPGET       90
#define NR_CAPSET       91
#define NR_SETPARAM     118
#define NR_SETSCHEDULER 119
#define NR_GETSCHEDULER 120
#define NR_GETPARAM     121
#define NR_PRIORITY_MAX 125
#define NR_PRIORITY_MIN 126
#define NR_RR_INTERVAL  127
#define NR_SETPRIORITY  140
#define NR_GETPRIORITY  141
#define NR_SETUID       146
#define NR_SETRESUID    147
#define NR_GETRESUID    148
#define NR_SETREUID     145
#define NR_GETGROUPS    158
#define NR_SETGROUPS    159
#define NR_SETRLIMIT    164
#define NR_PRCTL        167
#define NR_HWPROBE      258
#define NR_SETATTR      274
#define NR_GETATTR      275
#define KEEP            0xffffffffL
#define NPROC           6

#define CHILD_NEEDS(expr)              \
    do {                               \
        if (!(expr))                   \
            _exit(__LINE__ % 255 + 1); \
    } while (0)

static int status_of(pid_t pid)
{
    int status = -1;

    waitpid(pid, &status, 0);
    return status;
}

/* Tests that need root; an emulator's host may have other users. */
static bool is_root(void)
{
    return pg_syscall(SYS_geteuid) == 0;
}

static bool has_ids(unsigned real, unsigned effective, unsigned saved)
{
    unsigned id[3];

    return pg_syscall(NR_GETRESUID, (uintptr_t)&id[0], (uintptr_t)&id[1], (uintptr_t)&id[2]) == 0 &&
           id[0] == real && id[1] == effective && id[2] == saved;
}

KTAP_CASE(root_becomes_somebody_else)
{
    SKIP_EMULATED("users are the host's");
    REQUIRE(is_root());
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        CHILD_NEEDS(has_ids(0, 0, 0));
        CHILD_NEEDS(pg_syscall(NR_SETRESUID, 10, 20, 30) == 0);
        CHILD_NEEDS(has_ids(10, 20, 30));
        CHILD_NEEDS(pg_syscall(NR_SETRESUID, KEEP, 10, KEEP) == 0);
        CHILD_NEEDS(pg_syscall(NR_SETRESUID, KEEP, 40, KEEP) == -1);
        CHILD_NEEDS(has_ids(10, 10, 30));
        CHILD_NEEDS(pg_syscall(SYS_getuid) == 10 && pg_syscall(SYS_geteuid) == 10);
        CHILD_NEEDS(pg_syscall(NR_SETUID, 0) == -1);
        CHILD_NEEDS(pg_syscall(SYS_kill, 1, 0) == -1); /* not root's process */
        pid_t below = fork();
        if (below == 0)
            _exit(has_ids(10, 10, 30) ? 0 : 1);
        CHILD_NEEDS(pg_syscall(SYS_kill, below, 0) == 0);
        _exit(status_of(below));
    }
    EXPECT_EQ(status_of(pid), 0);
    EXPECT(has_ids(0, 0, 0));
}

KTAP_CASE(way_back_to_root)
{
    SKIP_EMULATED("users are the host's");
    REQUIRE(is_root());
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        CHILD_NEEDS(pg_syscall(NR_SETRESUID, KEEP, 5, KEEP) == 0);
        CHILD_NEEDS(has_ids(0, 5, 0));
        CHILD_NEEDS(pg_syscall(NR_SETUID, 0) == 0); /* the saved one */
        CHILD_NEEDS(has_ids(0, 0, 0));
        CHILD_NEEDS(pg_syscall(NR_SETREUID, 7, 8) == 0);
        CHILD_NEEDS(has_ids(7, 8, 8));
        CHILD_NEEDS(pg_syscall(NR_SETREUID, 8, 7) == 0);
        CHILD_NEEDS(pg_syscall(NR_SETREUID, 9, KEEP) == -1);
        _exit(0);
    }
    EXPECT_EQ(status_of(pid), 0);
    EXPECT_ERROR(pg_syscall(NR_SETUID, KEEP), EINVAL);
    EXPECT_ERROR(pg_syscall(NR_GETRESUID, 8, 8, 8), EFAULT);
}

KTAP_CASE(groups_are_kept)
{
    unsigned groups[4] = {1, 2, 3}, got[4] = {0};

    SKIP_EMULATED("groups are the host's");
    REQUIRE(is_root());
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        CHILD_NEEDS(pg_syscall(NR_SETGROUPS, 3, (uintptr_t)groups) == 0);
        CHILD_NEEDS(pg_syscall(NR_GETGROUPS, 0, 0) == 3);
        CHILD_NEEDS(pg_syscall(NR_GETGROUPS, 2, (uintptr_t)got) == -22);
        CHILD_NEEDS(pg_syscall(NR_GETGROUPS, 4, (uintptr_t)got) == 3 && got[2] == 3);
        CHILD_NEEDS(pg_syscall(NR_SETGROUPS, 3, 8) == -14);
        CHILD_NEEDS(pg_syscall(NR_SETGROUPS, 0, 0) == 0);
        CHILD_NEEDS(pg_syscall(NR_GETGROUPS, 4, (uintptr_t)got) == 0);
        _exit(0);
    }
    EXPECT_EQ(status_of(pid), 0);
}

struct cap_header {
    unsigned version;
    int pid;
};

struct cap_data {
    unsigned effective, permitted, inheritable;
};

KTAP_CASE(capabilities_go_with_root)
{
    struct cap_header header = {0x20080522, 0};
    struct cap_data data[2];

    SKIP_EMULATED("capabilities are the host's");
    REQUIRE(is_root());
    EXPECT_EQ(pg_syscall(NR_CAPGET, (uintptr_t)&header, (uintptr_t)data), 0);
    EXPECT(data[0].effective & 1U << 21); /* CAP_SYS_ADMIN */
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        data[0].effective &= ~(1U << 21);
        data[0].permitted &= ~(1U << 21);
        CHILD_NEEDS(pg_syscall(NR_CAPSET, (uintptr_t)&header, (uintptr_t)data) == 0);
        data[0].permitted |= 1U << 21; /* what is given away does not come back */
        CHILD_NEEDS(pg_syscall(NR_CAPSET, (uintptr_t)&header, (uintptr_t)data) == -1);
        CHILD_NEEDS(pg_syscall(NR_SETUID, 5) == 0);
        CHILD_NEEDS(pg_syscall(NR_CAPGET, (uintptr_t)&header, (uintptr_t)data) == 0);
        CHILD_NEEDS(data[0].effective == 0 && data[0].permitted == 0);
        _exit(0);
    }
    EXPECT_EQ(status_of(pid), 0);
    header.version = 7;
    EXPECT_EQ(pg_syscall(NR_CAPGET, (uintptr_t)&header, 0), 0);
    EXPECT_EQ(header.version, 0x20080522);
    EXPECT_ERROR(pg_syscall(NR_CAPGET, 8, 0), EFAULT);
}

KTAP_CASE(limit_of_processes_binds_users)
{
    unsigned long limit[2] = {1, 1};

    SKIP_EMULATED("users are the host's");
    REQUIRE(is_root());
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        CHILD_NEEDS(pg_syscall(NR_SETRLIMIT, NPROC, (uintptr_t)limit) == 0);
        pid_t below = fork(); /* root may */
        if (below == 0)
            _exit(0);
        CHILD_NEEDS(below > 0 && status_of(below) == 0);
        CHILD_NEEDS(pg_syscall(NR_SETUID, 54321) == 0);
        long result = pg_syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
        if (result == 0)
            _exit(0);
        _exit(result == -11 ? 0 : 1);
    }
    EXPECT_EQ(status_of(pid), 0);
}

static long prctl_(long option, long value)
{
    return pg_syscall(NR_PRCTL, option, value, 0, 0, 0);
}

static void *names_itself(void *arg)
{
    char name[16] = "";

    (void)arg;
    prctl_(15, (long)(uintptr_t) "worker");
    prctl_(16, (long)(uintptr_t)name);
    return (void *)(intptr_t)strcmp(name, "worker");
}

KTAP_CASE(names_of_threads)
{
    char name[16] = "";

    EXPECT_EQ(prctl_(15, (long)(uintptr_t) "a name that is too long"), 0);
    struct pg_thread *thread = pg_thread_create(names_itself, NULL, 0);
    REQUIRE(thread);
    EXPECT_EQ((long)pg_thread_join(thread), 0);
    EXPECT_EQ(prctl_(16, (long)(uintptr_t)name), 0);
    EXPECT(strcmp(name, "a name that is ") == 0);
    EXPECT_ERROR(prctl_(15, 8), EFAULT);
    EXPECT_ERROR(prctl_(16, 8), EFAULT);
    EXPECT_ERROR(prctl_(99999, 8), EINVAL);
}

KTAP_CASE(child_hears_of_its_parents_end)
{
    int fds[2];
    char byte = 0;

    REQUIRE(pipe(fds) == 0);
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        int ready[2];
        CHILD_NEEDS(pipe(ready) == 0);
        if (fork() == 0) {
            sigset_t set = 1UL << (SIGUSR1 - 1);
            sigprocmask(SIG_BLOCK, &set, NULL);
            prctl_(1, SIGUSR1);
            CHILD_NEEDS(write(ready[1], "r", 1) == 1);
            struct timespec limit = {.tv_sec = 5};
            long got = pg_syscall(137, (uintptr_t)&set, 0, (uintptr_t)&limit, 8);
            _exit(write(fds[1], got == SIGUSR1 ? "y" : "n", 1) == 1 ? 0 : 1);
        }
        CHILD_NEEDS(read(ready[0], &byte, 1) == 1);
        _exit(0);
    }
    EXPECT_EQ(status_of(pid), 0);
    EXPECT_EQ(read(fds[0], &byte, 1), 1);
    EXPECT_EQ(byte, 'y');
    close(fds[0]);
    close(fds[1]);
}

KTAP_CASE(orphans_go_to_the_reaper)
{
    SKIP_EMULATED("orphans go to the host's first process");
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        CHILD_NEEDS(prctl_(36, 1) == 0);
        pid_t below = fork();
        if (below == 0) {
            if (fork() == 0) {
                usleep(20000);
                _exit(42);
            }
            _exit(0);
        }
        CHILD_NEEDS(status_of(below) == 0);
        int status = -1;
        CHILD_NEEDS(waitpid(-1, &status, 0) > 0);
        _exit(status == 42 << 8 ? 0 : 1);
    }
    EXPECT_EQ(status_of(pid), 0);
}

KTAP_CASE(values_of_prctl)
{
    int value = -1;

    EXPECT_EQ(prctl_(3, 0), 1); /* dumpable */
    EXPECT_EQ(prctl_(4, 0), 0);
    EXPECT_EQ(prctl_(3, 0), 0);
    EXPECT_EQ(prctl_(4, 1), 0);
    EXPECT_ERROR(prctl_(4, 3), EINVAL);
    EXPECT_EQ(prctl_(1, SIGTERM), 0);
    EXPECT_EQ(prctl_(2, (long)(uintptr_t)&value), 0);
    EXPECT_EQ(value, SIGTERM);
    EXPECT_EQ(prctl_(1, 0), 0);
    EXPECT_ERROR(prctl_(1, 65), EINVAL);
    EXPECT_EQ(prctl_(39, 0), 0);     /* no_new_privs, of another process: it does not come back */
    EXPECT_EQ(prctl_(30, 0), 50000); /* timer slack */
}

KTAP_CASE(policies_are_told)
{
    int priority = 5;

    SKIP_EMULATED("policies are the host's");
    REQUIRE(is_root());
    EXPECT_EQ(pg_syscall(NR_GETSCHEDULER, 0), 0);
    EXPECT_EQ(pg_syscall(NR_PRIORITY_MAX, 1), 99);
    EXPECT_EQ(pg_syscall(NR_PRIORITY_MIN, 1), 1);
    EXPECT_EQ(pg_syscall(NR_PRIORITY_MAX, 0), 0);
    EXPECT_ERROR(pg_syscall(NR_PRIORITY_MAX, 77), EINVAL);
    EXPECT_ERROR(pg_syscall(NR_SETSCHEDULER, 0, 0, (uintptr_t)&priority), EINVAL);
    EXPECT_ERROR(pg_syscall(NR_SETSCHEDULER, 0, 77, (uintptr_t)&priority), EINVAL);
    EXPECT_ERROR(pg_syscall(NR_SETSCHEDULER, 0, 1, 8), EFAULT);
    EXPECT_ERROR(pg_syscall(NR_GETSCHEDULER, 999999), ESRCH);
    priority = 0;
    EXPECT_EQ(pg_syscall(NR_SETSCHEDULER, 0, 3, (uintptr_t)&priority), 0);
    EXPECT_EQ(pg_syscall(NR_GETSCHEDULER, 0), 3);
    EXPECT_EQ(pg_syscall(NR_SETSCHEDULER, 0, 0, (uintptr_t)&priority), 0);
    EXPECT_EQ(pg_syscall(NR_GETPARAM, 0, (uintptr_t)&priority), 0);
    EXPECT_EQ(priority, 0);
    unsigned attr[16] = {0};
    EXPECT_EQ(pg_syscall(NR_GETATTR, 0, (uintptr_t)attr, 48, 0), 0);
    EXPECT(attr[0] == 48 || attr[0] == 56);
    EXPECT_ERROR(pg_syscall(NR_GETATTR, 0, (uintptr_t)attr, 40, 0), EINVAL);
}

KTAP_CASE(nice_values)
{
    pid_t pid = fork();

    REQUIRE(pid >= 0);
    if (pid == 0) {
        /* The system whose processes an emulator shows may have begun at another value. */
        long began = pg_syscall(NR_GETPRIORITY, 0, 0);
        CHILD_NEEDS(ktap_emulated() ? began > 5 : began == 20);
        CHILD_NEEDS(pg_syscall(NR_SETPRIORITY, 0, 0, 25 - began) == 0);
        CHILD_NEEDS(pg_syscall(NR_GETPRIORITY, 0, 0) == began - 5);
        pid_t below = fork();
        if (below == 0)
            _exit(pg_syscall(NR_GETPRIORITY, 0, 0) == began - 5 ? 0 : 1);
        CHILD_NEEDS(status_of(below) == 0);
        CHILD_NEEDS(pg_syscall(NR_SETPRIORITY, 0, 0, 1000) == 0);
        CHILD_NEEDS(pg_syscall(NR_GETPRIORITY, 0, 0) == 1);
        _exit(0);
    }
    EXPECT_EQ(status_of(pid), 0);
    EXPECT_ERROR(pg_syscall(NR_GETPRIORITY, 7, 0), EINVAL);
    EXPECT_ERROR(pg_syscall(NR_GETPRIORITY, 0, 999999), ESRCH);
}

struct pair {
    long key;
    unsigned long value;
};

KTAP_CASE(hwprobe_tells_of_the_harts)
{
    struct pair pair[3] = {{3, 0}, {4, 0}, {777777, 5}};

    SKIP_EMULATED("may not have it");
    EXPECT_EQ(pg_syscall(NR_HWPROBE, (uintptr_t)pair, 3, 0, 0, 0), 0);
    EXPECT(pair[0].key == 3 && pair[0].value & 1);
    EXPECT(pair[1].key == 4 && (pair[1].value & 3) == 3);
    EXPECT(pair[2].key == -1 && pair[2].value == 0);
    EXPECT_ERROR(pg_syscall(NR_HWPROBE, 8, 1, 0, 0, 0), EFAULT);
    EXPECT_ERROR(pg_syscall(NR_HWPROBE, (uintptr_t)pair, 3, 0, 0, 99), EINVAL);
}
