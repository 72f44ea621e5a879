/* Processes: start, arguments, end, wait, kill. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"

/* Starts a KTAP_CHILD and does not wait. */
static pid_t start(const char *name, const char *arg)
{
    char *argv[] = {(char *)ktap_self(), "--child", (char *)name, (char *)arg, NULL};

    fflush(stdout);
    return pg_spawn(ktap_self(), argv, environ, NULL);
}

KTAP_CHILD(exit_with)
{
    return atoi(arg);
}

KTAP_CASE(exit_codes)
{
    static const int codes[] = {0, 1, 2, 42, 127, 128, 255};

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        char text[8];
        snprintf(text, sizeof(text), "%d", codes[i]);
        EXPECT_CHILD_EXIT("exit_with", text, codes[i]);
    }
}

KTAP_CASE(exit_code_is_cut_to_8_bits)
{
    EXPECT_CHILD_EXIT("exit_with", "259", 3);
    EXPECT_CHILD_EXIT("exit_with", "-1", 255);
}

KTAP_CASE(wait_status_encoding)
{
    EXPECT_EQ(ktap_child("exit_with", "7"), 7 << 8);
}

KTAP_CHILD(report_parent)
{
    return getppid() == atoi(arg) && getpid() != getppid() ? 0 : 1;
}

KTAP_CASE(child_knows_its_parent)
{
    char text[16];

    snprintf(text, sizeof(text), "%d", getpid());
    EXPECT_CHILD_EXIT("report_parent", text, 0);
}

KTAP_CASE(pids_are_positive_and_differ)
{
    pid_t a = start("exit_with", "1"), b = start("exit_with", "2");
    int status = 0;

    REQUIRE(a > 0 && b > 0);
    EXPECT(a != b && a != getpid() && b != getpid());
    EXPECT_EQ(waitpid(b, &status, 0), b);
    EXPECT_EQ(WEXITSTATUS(status), 2);
    EXPECT_EQ(waitpid(a, &status, 0), a);
    EXPECT_EQ(WEXITSTATUS(status), 1);
}

KTAP_CASE(wait_for_any)
{
    pid_t pids[4];
    int seen = 0;

    for (int i = 0; i < 4; i++) {
        char text[4] = {(char)('0' + i)};
        pids[i] = start("exit_with", text);
        REQUIRE(pids[i] > 0);
    }
    for (int i = 0; i < 4; i++) {
        int status = -1;
        pid_t pid = waitpid(-1, &status, 0);
        for (int j = 0; j < 4; j++) {
            if (pids[j] == pid && WIFEXITED(status) && WEXITSTATUS(status) == j)
                seen |= 1 << j;
        }
    }
    EXPECT_EQ(seen, 15);
}

KTAP_CASE(wait_without_children_is_echild)
{
    EXPECT_ERROR(SYSCALL(SYS_wait4, -1l, 0l, 0l, 0l), ECHILD);
    EXPECT_ERROR(SYSCALL(SYS_wait4, 999999l, 0l, 0l, 0l), ECHILD);
}

KTAP_CASE(child_is_waited_for_once)
{
    pid_t pid = start("exit_with", "0");

    REQUIRE(pid > 0);
    EXPECT_EQ(waitpid(pid, NULL, 0), pid);
    EXPECT_ERROR(SYSCALL(SYS_wait4, (long)pid, 0l, 0l, 0l), ECHILD);
}

KTAP_CHILD(sleep_long)
{
    sleep(100);
    return 0;
}

KTAP_CASE(wnohang_on_a_running_child_gives_0)
{
    pid_t pid = start("sleep_long", "");
    int status = -1;

    REQUIRE(pid > 0);
    EXPECT_EQ(waitpid(pid, &status, WNOHANG), 0);
    EXPECT_EQ(kill(pid, SIGKILL), 0);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

KTAP_CASE(sigterm_ends_a_sleeper)
{
    pid_t pid = start("sleep_long", "");
    int status = -1;

    REQUIRE(pid > 0);
    EXPECT_EQ(kill(pid, SIGTERM), 0);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

KTAP_CHILD(spin)
{
    for (;;)
        continue;
    return 0;
}

KTAP_CASE(sigkill_ends_a_busy_process)
{
    pid_t pid = start("spin", "");
    int status = -1;

    REQUIRE(pid > 0);
    for (int i = 0; i < 10; i++)
        pg_syscall(SYS_sched_yield);
    EXPECT_EQ(kill(pid, SIGKILL), 0);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

KTAP_CHILD(kill_self)
{
    raise(atoi(arg));
    return 0;
}

KTAP_CASE(raise_ends_the_process)
{
    EXPECT_CHILD_SIGNAL("kill_self", "15", SIGTERM);
    EXPECT_CHILD_SIGNAL("kill_self", "10", SIGUSR1);
}

KTAP_CASE(signal_0_asks_for_existence)
{
    EXPECT_EQ(SYSCALL(SYS_kill, (long)getpid(), 0l), 0);
    EXPECT_ERROR(SYSCALL(SYS_kill, 999999l, 0l), ESRCH);
}

KTAP_CASE(kill_with_a_bad_signal_is_einval)
{
    EXPECT_ERROR(SYSCALL(SYS_kill, (long)getpid(), 100l), EINVAL);
}

/* A sum over all arguments, so that order and contents count. */
static unsigned sum_of(int argc, char **argv)
{
    unsigned sum = (unsigned)argc;

    for (int i = 0; i < argc; i++) {
        for (const char *c = argv[i]; *c != '\0'; c++)
            sum = sum * 31 + (unsigned char)*c;
        sum = sum * 31 + 1;
    }
    return sum % 251;
}

KTAP_CHILD(sum_arguments)
{
    return (int)sum_of(ktap_argc() - 1, ktap_argv() + 1);
}

static int child_with(char **argv)
{
    int status = -1;
    pid_t pid;

    fflush(stdout);
    pid = pg_spawn(ktap_self(), argv, environ, NULL);
    if (pid > 0)
        waitpid(pid, &status, 0);
    return status;
}

KTAP_CASE(many_arguments)
{
    static char text[200][8];
    char *argv[204] = {(char *)ktap_self(), "--child", "sum_arguments"};

    for (int i = 0; i < 200; i++) {
        snprintf(text[i], sizeof(text[i]), "a%d", i);
        argv[3 + i] = text[i];
    }
    int status = child_with(argv);
    EXPECT(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), sum_of(202, argv + 1));
}

KTAP_CASE(long_argument)
{
    static char text[20000];
    char *argv[] = {(char *)ktap_self(), "--child", "sum_arguments", text, "", "end", NULL};

    for (size_t i = 0; i < sizeof(text) - 1; i++)
        text[i] = (char)('A' + i % 50);
    int status = child_with(argv);
    EXPECT(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), sum_of(5, argv + 1));
}

KTAP_CASE(own_environment_for_the_child)
{
    char *argv[] = {(char *)ktap_self(), "--child", "report_environment", NULL};
    char *envp[] = {"ONLY=this", NULL};
    int status = -1;

    pid_t pid = pg_spawn(ktap_self(), argv, envp, NULL);
    REQUIRE(pid > 0);
    waitpid(pid, &status, 0);
    EXPECT_EQ(status, 0);
}

KTAP_CHILD(report_environment)
{
    return environ[0] != NULL && strcmp(environ[0], "ONLY=this") == 0 && environ[1] == NULL ? 0 : 1;
}

KTAP_CASE(missing_program_is_enoent)
{
    char *argv[] = {"/no/such/program", NULL};

    SKIP_EMULATED("starts an emulator, which always exists");
    errno = 0;
    EXPECT_EQ(pg_spawn(argv[0], argv, environ, NULL), -1);
    EXPECT_EQ(errno, ENOENT);
}

KTAP_CASE(directory_is_no_program)
{
    char *argv[] = {"/", NULL};

    SKIP_EMULATED("starts an emulator, which always exists");
    errno = 0;
    EXPECT_EQ(pg_spawn(argv[0], argv, environ, NULL), -1);
    EXPECT_EQ(errno, EACCES);
}

KTAP_CASE(execve_with_bad_pointers_is_efault)
{
    char *argv[] = {"x", NULL};

    EXPECT_ERROR(SYSCALL(SYS_execve, 16l, argv, environ), EFAULT);
    EXPECT_ERROR(SYSCALL(SYS_execve, ktap_self(), 16l, environ), EFAULT);
}

KTAP_CASE(pagoda_file_that_is_no_elf_is_enoexec)
{
    char *argv[] = {"/proc/cmdline", NULL};

    errno = 0;
    EXPECT_EQ(pg_spawn(argv[0], argv, environ, NULL), -1);
    EXPECT(errno == ENOEXEC || errno == EACCES);
}

static volatile int vfork_shared;

static int vfork_child(void *arg)
{
    *(volatile int *)arg = 77;
    pg_syscall(SYS_exit_group, 5l);
    return 0;
}

/* CLONE_VM | CLONE_VFORK: the child works in our memory while we wait. */
KTAP_CASE(vfork_shares_memory_and_suspends)
{
    static char stack[4096] __attribute__((aligned(16)));
    int status = -1;

    SKIP_EMULATED("makes a copy instead");
    long pid = pg_clone(0x100 | 0x4000 | SIGCHLD, stack + sizeof(stack), NULL, NULL, NULL,
                        vfork_child, (void *)&vfork_shared);
    REQUIRE(pid > 0);
    EXPECT_EQ(vfork_shared, 77);
    EXPECT_EQ(waitpid((pid_t)pid, &status, 0), pid);
    EXPECT_EQ(status, 5 << 8);
}

KTAP_CHILD(count_descriptors)
{
    int count = 0;

    for (int fd = 0; fd < 32; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

KTAP_CASE(descriptors_are_inherited_but_for_cloexec)
{
    int status = ktap_child("count_descriptors", "");
    int kept = open(ktap_self(), O_RDONLY), closed = open(ktap_self(), O_RDONLY | O_CLOEXEC);

    REQUIRE(kept >= 0 && closed >= 0);
    EXPECT_CHILD_EXIT("count_descriptors", "", WEXITSTATUS(status) + 1);
    close(kept);
    close(closed);
}

KTAP_CHILD(print_word)
{
    return write(1, "word", 4) == 4 ? 0 : 1;
}

KTAP_CASE(output_into_a_pipe)
{
    char *argv[] = {(char *)ktap_self(), "--child", "print_word", NULL};
    char got[8] = "";
    int ends[2], status = -1;

    if (pipe2(ends, O_CLOEXEC) < 0 && errno == ENOSYS)
        SKIP("no pipes");
    const int fds[3] = {0, ends[1], 2};
    pid_t pid = pg_spawn(ktap_self(), argv, environ, fds);
    REQUIRE(pid > 0);
    close(ends[1]);
    EXPECT_EQ(read(ends[0], got, sizeof(got)), 4);
    EXPECT_EQ(read(ends[0], got + 4, 1), 0);
    EXPECT(strcmp(got, "word") == 0);
    close(ends[0]);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
}

KTAP_CASE(spawns_100_in_a_row)
{
    for (int i = 0; i < 100; i++) {
        char text[8];
        snprintf(text, sizeof(text), "%d", i);
        EXPECT_CHILD_EXIT("exit_with", text, i);
    }
}

KTAP_CHILD(dirty_memory)
{
    char *p = ktap_map(2 << 20, 3);

    memset(p, 1, 2 << 20);
    return 0;
}

/*
 * What a process used comes back when it is gone. The first ones on a hart may leave caches behind
 * that stay (a stack page of a worker, a slab); what counts is that nothing is lost per process:
 * less than half a page for each.
 */
static bool memory_is_back(long before_kib, long processes)
{
    return ktap_proc_number("/proc/meminfo", "MemFree") >= before_kib - 2 * processes;
}

KTAP_CASE(pagoda_spawns_leave_no_memory_behind)
{
    EXPECT_CHILD_EXIT("dirty_memory", "", 0);
    EXPECT_CHILD_EXIT("dirty_memory", "", 0);
    long before = ktap_proc_number("/proc/meminfo", "MemFree");
    EXPECT(before > 0);
    for (int i = 0; i < 100; i++)
        EXPECT_CHILD_EXIT("dirty_memory", "", 0);
    EXPECT(memory_is_back(before, 100));
}

KTAP_CASE(pagoda_crashed_processes_leave_no_memory_behind)
{
    EXPECT_CHILD_SIGNAL("kill_self", "11", SIGSEGV);
    long before = ktap_proc_number("/proc/meminfo", "MemFree");
    for (int i = 0; i < 20; i++)
        EXPECT_CHILD_SIGNAL("kill_self", "11", SIGSEGV);
    EXPECT(memory_is_back(before, 20));
}
