/*
 * clone between processes: what is shared by its flags and what is copied, whose child it is, and
 * what exec takes out of the sharing. After LTP's clone and unshare tests.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"

#define STACK_BYTES 65536
#define WAIT_ALL    0x40000000

#define FLAG_FS            0x200
#define FLAG_FILES         0x400
#define FLAG_SIGHAND       0x800
#define FLAG_PARENT        0x8000
#define SYS_UMASK          166
#define FLAG_CLEAR_SIGHAND 0x100000000UL
#define SYS_UNSHARE        97
#define SYS_CLONE3_        435
#define SYS_EXECVE_        221

/* Children run on this beside the waiting parent; raw calls only, for errno is the parent's. */
static char stack[STACK_BYTES] __attribute__((aligned(16)));

static long start(unsigned long flags, int (*fn)(void *), void *arg)
{
    return pg_clone(flags | SIGCHLD, stack + sizeof(stack), NULL, NULL, NULL, fn, arg);
}

/* The exit status of a child made so; -1 when there was none, or it was killed. */
static int run(unsigned long flags, int (*fn)(void *), void *arg)
{
    int status = -1;
    long pid = start(flags, fn, arg);

    if (pid < 0 || pg_syscall(SYS_wait4, pid, (uintptr_t)&status, WAIT_ALL, 0) != pid)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool is_open(long fd)
{
    return pg_syscall(SYS_fcntl, fd, F_GETFD, 0) >= 0;
}

static int opens_one(void *arg)
{
    *(long *)arg = pg_syscall(SYS_openat, AT_FDCWD, (uintptr_t) "/dev/null", O_RDONLY, 0);
    return 0;
}

KTAP_CASE(files_are_shared_or_copied)
{
    long fd = -1;

    SKIP_EMULATED("clone with CLONE_FILES between processes is a fork");
    EXPECT_EQ(run(CLONE_VM | FLAG_FILES, opens_one, &fd), 0);
    EXPECT(fd > 2 && is_open(fd));
    pg_syscall(SYS_close, fd);
    fd = -1;
    EXPECT_EQ(run(CLONE_VM, opens_one, &fd), 0);
    EXPECT(fd > 2 && !is_open(fd));
}

static int moves_to_dev(void *arg)
{
    (void)arg;
    pg_syscall(SYS_UMASK, 0123);
    return (int)-pg_syscall(SYS_chdir, (uintptr_t) "/dev");
}

KTAP_CASE(directory_and_umask_are_shared_or_copied)
{
    char path[64];

    SKIP_EMULATED("clone with CLONE_FS between processes is a fork");
    REQUIRE(pg_syscall(SYS_chdir, (uintptr_t) "/") == 0);
    pg_syscall(SYS_UMASK, 022);
    EXPECT_EQ(run(CLONE_VM, moves_to_dev, NULL), 0);
    EXPECT(getcwd(path, sizeof(path)) && strcmp(path, "/") == 0);
    EXPECT_EQ(run(CLONE_VM | FLAG_FS, moves_to_dev, NULL), 0);
    EXPECT(getcwd(path, sizeof(path)) && strcmp(path, "/dev") == 0);
    EXPECT_EQ(pg_syscall(SYS_UMASK, 022), 0123);
    EXPECT_EQ(chdir("/"), 0);
}

struct action {
    uint64_t handler, flags, mask;
};

static uint64_t handler_of(int signal)
{
    struct action action = {.handler = 99};

    pg_syscall(SYS_rt_sigaction, signal, 0, (uintptr_t)&action, 8);
    return action.handler;
}

static void handler_set(int signal, uint64_t handler)
{
    const struct action action = {.handler = handler};

    pg_syscall(SYS_rt_sigaction, signal, (uintptr_t)&action, 0, 8);
}

static int ignores_usr1(void *arg)
{
    (void)arg;
    handler_set(SIGUSR1, (uint64_t)SIG_IGN);
    return 0;
}

KTAP_CASE(signal_actions_are_shared_or_copied)
{
    SKIP_EMULATED("clone with CLONE_SIGHAND between processes is a fork");
    handler_set(SIGUSR1, 0);
    EXPECT_EQ(run(CLONE_VM, ignores_usr1, NULL), 0);
    EXPECT_EQ(handler_of(SIGUSR1), 0);
    EXPECT_EQ(run(CLONE_VM | FLAG_SIGHAND, ignores_usr1, NULL), 0);
    EXPECT_EQ(handler_of(SIGUSR1), (uint64_t)SIG_IGN);
    handler_set(SIGUSR1, 0);
}

/* execve ends the sharing: the parent keeps what close-on-exec and the reset of handlers take from
 * the child. */
static int execs_a_missing_then_a_real_program(void *arg)
{
    const char *const *argv = arg;

    if (pg_syscall(SYS_EXECVE_, (uintptr_t) "/no/such", (uintptr_t)argv, 0) != -2)
        return 1;
    handler_set(SIGUSR1, (uint64_t)SIG_IGN); /* still shared */
    pg_syscall(SYS_EXECVE_, (uintptr_t)argv[0], (uintptr_t)argv, 0);
    return 2;
}

static void handle(int signal)
{
    (void)signal;
}

KTAP_CASE(exec_ends_the_sharing)
{
    const char *argv[] = {ktap_self(), "no_case_of_this_name", NULL};

    SKIP_EMULATED("programs of this kind cannot be started by a bare execve");
    long fd = pg_syscall(SYS_openat, AT_FDCWD, (uintptr_t) "/dev/null", O_RDONLY | O_CLOEXEC, 0);
    REQUIRE(fd >= 0);
    handler_set(SIGUSR2, (uint64_t)handle);
    handler_set(SIGUSR1, 0);
    int quiet = dup(1), null = open("/dev/null", O_WRONLY);
    dup2(null, 1); /* the program says that it knows no such case */
    run(CLONE_VM | FLAG_FILES | FLAG_SIGHAND, execs_a_missing_then_a_real_program, argv);
    dup2(quiet, 1);
    close(quiet);
    close(null);
    EXPECT(is_open(fd));
    EXPECT_EQ(handler_of(SIGUSR2), (uint64_t)handle);
    EXPECT_EQ(handler_of(SIGUSR1), (uint64_t)SIG_IGN);
    handler_set(SIGUSR1, 0);
    handler_set(SIGUSR2, 0);
    pg_syscall(SYS_close, fd);
}

/* Who shares a table may end in any order; the last one closes. */
static int ends_at_once(void *arg)
{
    (void)arg;
    return 7;
}

KTAP_CASE(sharers_end_in_any_order)
{
    SKIP_EMULATED("clone with CLONE_FILES between processes is a fork");
    for (int i = 0; i < 20; i++)
        EXPECT_EQ(run(CLONE_VM | FLAG_FILES | FLAG_FS | FLAG_SIGHAND, ends_at_once, NULL), 7);
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) { /* the child's child lives longer */
        int (*fn)(void *) = opens_one;
        static long fd;
        start(CLONE_VM | FLAG_FILES | FLAG_FS | FLAG_SIGHAND, fn, &fd);
        _exit(0);
    }
    EXPECT_EQ(waitpid(pid, NULL, 0), pid);
}

static int tells_parent(void *arg)
{
    *(long *)arg = pg_syscall(SYS_getppid);
    return 0;
}

KTAP_CASE(clone_parent_makes_a_sibling)
{
    long parent = -1;
    int status;

    SKIP_EMULATED("CLONE_PARENT is refused");
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        long sibling = start(FLAG_PARENT, tells_parent, &parent);
        /* Not ours to wait for. */
        _exit(sibling > 0 && pg_syscall(SYS_wait4, sibling, 0, WAIT_ALL, 0) == -10 ? 0 : 1);
    }
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
    pid_t sibling = waitpid(-1, &status, 0);
    EXPECT(sibling > 0 && sibling != pid);
    EXPECT_EQ(status, 0);
}

KTAP_CASE(impossible_flags_are_einval)
{
    SKIP_EMULATED("impossible flags are passed over");
    EXPECT_ERROR(pg_syscall(SYS_clone, SIGCHLD | FLAG_SIGHAND, 0, 0, 0, 0), EINVAL);
    EXPECT_ERROR(pg_syscall(SYS_clone, CLONE_THREAD, 0, 0, 0, 0), EINVAL);
    EXPECT_ERROR(pg_syscall(SYS_clone, CLONE_THREAD | FLAG_SIGHAND, 0, 0, 0, 0), EINVAL);
}

struct clone3_arguments {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_bytes, tls;
};

KTAP_CASE(clear_sighand_resets_handlers_of_the_child)
{
    struct clone3_arguments args = {.flags = FLAG_CLEAR_SIGHAND, .exit_signal = SIGCHLD};
    int status;

    SKIP_EMULATED("clone3 is not there");
    handler_set(SIGUSR1, (uint64_t)handle);
    handler_set(SIGUSR2, (uint64_t)SIG_IGN);
    long pid = pg_syscall(SYS_CLONE3_, (uintptr_t)&args, sizeof(args));
    REQUIRE(pid >= 0);
    if (pid == 0)
        _exit(handler_of(SIGUSR1) == 0 && handler_of(SIGUSR2) == (uint64_t)SIG_IGN ? 0 : 1);
    EXPECT_EQ(waitpid((pid_t)pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(handler_of(SIGUSR1), (uint64_t)handle);
    handler_set(SIGUSR1, 0);
    handler_set(SIGUSR2, 0);
    args.flags |= FLAG_SIGHAND | CLONE_VM;
    EXPECT_ERROR(pg_syscall(SYS_CLONE3_, (uintptr_t)&args, sizeof(args)), EINVAL);
    EXPECT_ERROR(pg_syscall(SYS_CLONE3_, 8, sizeof(args)), EFAULT);
    EXPECT_ERROR(pg_syscall(SYS_CLONE3_, (uintptr_t)&args, 8192), E2BIG);
}

/* ---- clone3 ---- */

struct clone3_all {
    struct clone3_arguments first;
    uint64_t set_tid, set_tid_count, cgroup, beyond;
};

#define CLONE3_ALL (sizeof(struct clone3_all) - 8)

static long clone3_error(struct clone3_all args, size_t bytes)
{
    long pid = SYSCALL(SYS_CLONE3_, &args, bytes);

    if (pid == 0)
        _exit(0);
    if (pid > 0)
        waitpid((pid_t)pid, NULL, 0);
    return pid;
}

KTAP_CASE(clone3_arguments_are_checked)
{
    const struct clone3_all good = {.first = {.exit_signal = SIGCHLD}};
    const int numbers[33] = {1};
    struct clone3_all args;

    SKIP_EMULATED("clone3 is not there");
    EXPECT(clone3_error(good, sizeof(good)) > 0);
    EXPECT_ERROR(clone3_error(good, 56), EINVAL);
#define BAD(field_, value_, error_)                           \
    do {                                                      \
        args = good;                                          \
        args.field_ = (uint64_t)(value_);                     \
        EXPECT_ERROR(clone3_error(args, CLONE3_ALL), error_); \
    } while (0)
    BAD(first.exit_signal, 65, EINVAL);
    BAD(first.exit_signal, 1UL << 32 | SIGCHLD, EINVAL);
    BAD(first.flags, SIGCHLD, EINVAL);  /* a signal among the flags */
    BAD(first.flags, 0x400000, EINVAL); /* CLONE_DETACHED */
    BAD(first.flags, 1UL << 40, EINVAL);
    BAD(first.flags, FLAG_PARENT, EINVAL); /* with an exit signal */
    BAD(first.stack, stack, EINVAL);       /* without its size */
    BAD(first.stack_bytes, 4096, EINVAL);
    BAD(set_tid, numbers, EINVAL); /* without their count */
    BAD(set_tid_count, 1, EINVAL);
    args = good;
    args.first.stack = 1UL << 63;
    args.first.stack_bytes = 4096;
    EXPECT_ERROR(clone3_error(args, CLONE3_ALL), EINVAL);
    args = good;
    args.set_tid = (uintptr_t)numbers, args.set_tid_count = 33;
    EXPECT_ERROR(clone3_error(args, CLONE3_ALL), EINVAL);
    args.set_tid_count = 2; /* there is one namespace */
    EXPECT_ERROR(clone3_error(args, CLONE3_ALL), EINVAL);
    args.set_tid_count = 1;
    EXPECT_ERROR(clone3_error(args, CLONE3_ALL), EEXIST);
    args.set_tid = 8;
    EXPECT_ERROR(clone3_error(args, CLONE3_ALL), EFAULT);
    args = good;
    args.beyond = 1;
    EXPECT_ERROR(clone3_error(args, sizeof(args)), E2BIG);
}

KTAP_CASE(clone3_into_no_cgroup)
{
    struct clone3_all args = {.first = {.flags = 0x200000000, .exit_signal = SIGCHLD}};

    SKIP_EMULATED("clone3 is not there");
    args.cgroup = 1000; /* not open */
    EXPECT_ERROR(clone3_error(args, CLONE3_ALL), EBADF);
    args.cgroup = 1; /* no cgroup */
    EXPECT_ERROR(clone3_error(args, CLONE3_ALL), EBADF);
    args.cgroup = 1UL << 31;
    EXPECT_ERROR(clone3_error(args, CLONE3_ALL), EINVAL);
    EXPECT_ERROR(clone3_error(args, CLONE3_ALL - 8), EINVAL);
}

KTAP_CASE(clone3_chooses_the_pid)
{
    int wanted = 0, bad = -1;
    struct clone3_all args = {.first = {.exit_signal = SIGCHLD}};

    SKIP_EMULATED("clone3 is not there");
    args.set_tid = (uintptr_t)&wanted, args.set_tid_count = 1;
    EXPECT_ERROR(clone3_error(args, CLONE3_ALL), EINVAL);
    for (wanted = 30000; kill(wanted, 0) == 0; wanted++)
        continue;
    long pid = SYSCALL(SYS_CLONE3_, &args, CLONE3_ALL);
    if (pid == 0)
        _exit(getpid() == wanted ? 0 : 1);
    EXPECT_EQ(pid, wanted);
    EXPECT_ERROR(clone3_error(args, CLONE3_ALL), EEXIST); /* a zombie at least */
    EXPECT_EQ(waitpid(wanted, &bad, 0), wanted);
    EXPECT_EQ(bad, 0);
    pid = fork(); /* the next one goes on where it was */
    if (pid == 0)
        _exit(0);
    EXPECT(pid > 0 && pid < 30000);
    waitpid((pid_t)pid, NULL, 0);
    wanted = 1 << 30;
    EXPECT_ERROR(clone3_error(args, CLONE3_ALL), EINVAL);
}

KTAP_CASE(clone3_gives_the_child_its_stack)
{
    struct clone3_all args = {.first = {.flags = CLONE_VM | CLONE_VFORK, .exit_signal = SIGCHLD}};
    int status = -1;

    SKIP_EMULATED("clone3 is not there");
    args.first.stack = (uintptr_t)stack;
    args.first.stack_bytes = sizeof(stack);
    register long a0 __asm__("a0") = (long)(uintptr_t)&args;
    register long a1 __asm__("a1") = CLONE3_ALL;
    register long a7 __asm__("a7") = SYS_CLONE3_;
    __asm__ volatile("ecall\n"
                     "bnez a0, 1f\n"
                     "sub a0, sp, %3\n" /* the child tells where its stack begins */
                     "li a7, 93\n"
                     "ecall\n"
                     "1:"
                     : "+r"(a0), "+r"(a7)
                     : "r"(a1), "r"(stack + sizeof(stack) - 7)
                     : "memory");
    REQUIRE(a0 > 0);
    EXPECT_EQ(waitpid((pid_t)a0, &status, 0), a0);
    EXPECT_EQ(status, 7 << 8);
}

static int unshares_files_and_opens(void *arg)
{
    if (pg_syscall(SYS_UNSHARE, FLAG_FILES | FLAG_FS))
        return 1;
    moves_to_dev(NULL);
    return opens_one(arg);
}

KTAP_CASE(unshare_ends_the_sharing)
{
    char path[64];
    long fd = -1;

    SKIP_EMULATED("clone with CLONE_FILES between processes is a fork");
    EXPECT_EQ(run(CLONE_VM | FLAG_FILES | FLAG_FS, unshares_files_and_opens, &fd), 0);
    EXPECT(fd > 2 && !is_open(fd));
    EXPECT(getcwd(path, sizeof(path)) && strcmp(path, "/dev") != 0);
    EXPECT_EQ(pg_syscall(SYS_UNSHARE, 0), 0);
    EXPECT_ERROR(pg_syscall(SYS_UNSHARE, 1), EINVAL);
}

/* With CLONE_VFORK the parent sleeps until the child has ended, whatever comes. */
static volatile int vfork_step;

static int sleeps_then_steps(void *arg)
{
    struct timespec time = {.tv_nsec = 20000000};

    pg_syscall(SYS_kill, *(long *)arg, SIGUSR1);
    pg_syscall(SYS_nanosleep, (uintptr_t)&time, 0);
    vfork_step++;
    return 0;
}

KTAP_CASE(vfork_outlasts_a_signal)
{
    long parent = getpid();

    SKIP_EMULATED("CLONE_VFORK does not wait");
    vfork_step = 0;
    handler_set(SIGUSR1, (uint64_t)handle);
    long pid = start(CLONE_VM | CLONE_VFORK, sleeps_then_steps, &parent);
    EXPECT_EQ(vfork_step, 1);
    EXPECT(pid > 0);
    EXPECT_EQ(waitpid((pid_t)pid, NULL, 0), pid);
    handler_set(SIGUSR1, 0);
}
