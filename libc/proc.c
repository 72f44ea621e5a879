/* Processes: identity, end, exec, wait, spawn, and what is asked about the system. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pg.h"

#define SPAWN_STACK_SIZE 4096
#define SPAWN_ARGS_MAX   256 /* only with PG_EMULATOR, where argv is built anew */
#define EXIT_NO_EXEC     127

void _exit(int status)
{
    for (;;)
        pg_syscall(SYS_exit_group, (long)status);
}

pid_t getpid(void)
{
    return (pid_t)pg_syscall(SYS_getpid);
}

pid_t getppid(void)
{
    return (pid_t)pg_syscall(SYS_getppid);
}

pid_t gettid(void)
{
    return (pid_t)pg_syscall(SYS_gettid);
}

pid_t setsid(void)
{
    return (pid_t)pg_ret(pg_syscall(SYS_setsid));
}

int setpgid(pid_t pid, pid_t group)
{
    return (int)pg_ret(pg_syscall(SYS_setpgid, (long)pid, (long)group));
}

pid_t getpgid(pid_t pid)
{
    return (pid_t)pg_ret(pg_syscall(SYS_getpgid, (long)pid));
}

/* A copying fork: the child goes on here with a copy of the memory. */
pid_t fork(void)
{
    return (pid_t)pg_ret(pg_syscall(SYS_clone, (long)SIGCHLD, 0l, 0l, 0l, 0l));
}

int execve(const char *path, char *const argv[], char *const envp[])
{
    return (int)pg_ret(pg_syscall(SYS_execve, path, argv, envp));
}

pid_t wait4(pid_t pid, int *status, int options, struct rusage *usage)
{
    return (pid_t)pg_ret(pg_syscall(SYS_wait4, (long)pid, status, (long)options, usage));
}

pid_t waitpid(pid_t pid, int *status, int options)
{
    return wait4(pid, status, options, NULL);
}

pid_t wait(int *status)
{
    return wait4(-1, status, 0, NULL);
}

int uname(struct utsname *name)
{
    return (int)pg_ret(pg_syscall(SYS_uname, name));
}

int getrusage(int who, struct rusage *usage)
{
    return (int)pg_ret(pg_syscall(SYS_getrusage, (long)who, usage));
}

int getrlimit(int resource, struct rlimit *limit)
{
    return (int)pg_ret(pg_syscall(SYS_prlimit64, 0l, (long)resource, 0l, limit));
}

int getentropy(void *buf, size_t size)
{
    long got = pg_ret(pg_syscall(SYS_getrandom, buf, size, 0l));

    return got == (long)size ? 0 : -1;
}

int reboot(unsigned int cmd, const char *arg)
{
    return (int)pg_ret(pg_syscall(SYS_reboot, (long)LINUX_REBOOT_MAGIC1, (long)LINUX_REBOOT_MAGIC2,
                                  (unsigned long)cmd, arg));
}

/* What the parent, stopped in the clone, shares with the child until the child's exec. */
struct spawn {
    const char *path;
    char *const *argv;
    char *const *envp;
    const int *fds;
    volatile int linux_errno; /* why the child could not exec; 0 when it did */
};

/* Runs in the child on the parent's memory: system calls only, and no errno (it is the parent's).
 */
static int spawn_child(void *arg)
{
    struct spawn *spawn = arg;
    long result = 0;

    for (int i = 0; spawn->fds != NULL && i < 3 && result >= 0; i++) {
        if (spawn->fds[i] != i)
            result = pg_syscall(SYS_dup3, (long)spawn->fds[i], (long)i, 0l);
    }
    if (result >= 0)
        result = pg_syscall(SYS_execve, spawn->path, spawn->argv, spawn->envp);
    spawn->linux_errno = (int)-result;
    pg_syscall(SYS_exit_group, (long)EXIT_NO_EXEC);
    __builtin_unreachable();
}

/* Puts the emulator before the program. The host's emulators read argv[0] as the program. */
static const char *spawn_emulated(const char *emulator, const char *path, char *const argv[],
                                  char *emulated[SPAWN_ARGS_MAX])
{
    size_t count = 0;

    emulated[count++] = (char *)emulator;
    emulated[count++] = (char *)path;
    for (size_t i = 1; argv[0] != NULL && argv[i] != NULL; i++) {
        if (count == SPAWN_ARGS_MAX - 1)
            return NULL;
        emulated[count++] = argv[i];
    }
    emulated[count] = NULL;
    return emulator;
}

pid_t pg_spawn(const char *path, char *const argv[], char *const envp[], const int fds[3])
{
    char stack[SPAWN_STACK_SIZE] __attribute__((aligned(16)));
    char *emulated[SPAWN_ARGS_MAX];
    struct spawn spawn = {.path = path, .argv = argv, .envp = envp, .fds = fds};
    const char *emulator = getenv("PG_EMULATOR");

    for (int i = 0; fds != NULL && i < 3; i++) {
        if (fds[i] != i && fds[i] < 3) {
            errno = EINVAL;
            return -1;
        }
    }
    if (emulator != NULL) {
        spawn.path = spawn_emulated(emulator, path, argv, emulated);
        spawn.argv = emulated;
        if (spawn.path == NULL) {
            errno = E2BIG;
            return -1;
        }
    }
    long pid = pg_clone(CLONE_VM | CLONE_VFORK | SIGCHLD, stack + sizeof(stack), NULL, NULL, NULL,
                        spawn_child, &spawn);
    if (pid < 0)
        return (pid_t)pg_ret(pid);
    if (spawn.linux_errno != 0) {
        waitpid((pid_t)pid, NULL, 0);
        return (pid_t)pg_ret(-spawn.linux_errno);
    }
    return (pid_t)pid;
}
