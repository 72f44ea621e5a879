/*
 * Signals through the kernel. The C library's raise, signal and abort keep a table of their own
 * and deliver nothing to other processes; these replace them.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pg.h"

#define SIGSET_BYTES 8l
#define EXIT_ABORT   134

int kill(pid_t pid, int sig)
{
    return (int)pg_ret(pg_syscall(SYS_kill, (long)pid, (long)sig));
}

int raise(int sig)
{
    return (int)pg_ret(pg_syscall(SYS_tgkill, (long)getpid(), (long)gettid(), (long)sig));
}

int sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
    return (int)pg_ret(pg_syscall(SYS_rt_sigaction, (long)sig, act, old, SIGSET_BYTES));
}

int sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
    return (int)pg_ret(pg_syscall(SYS_rt_sigprocmask, (long)how, set, old, SIGSET_BYTES));
}

void (*signal(int sig, void (*handler)(int)))(int)
{
    struct sigaction act = {.sa_handler = handler, .sa_flags = SA_RESTART};
    struct sigaction old;

    return sigaction(sig, &act, &old) < 0 ? SIG_ERR : old.sa_handler;
}

void abort(void)
{
    raise(SIGABRT);
    /* Ignored, blocked or unknown to the kernel: the program ends all the same. */
    _exit(EXIT_ABORT);
}

char *strsignal(int sig)
{
    static const char *const names[] = {
        [SIGHUP] = "Hangup",
        [SIGINT] = "Interrupt",
        [SIGQUIT] = "Quit",
        [SIGILL] = "Illegal instruction",
        [SIGTRAP] = "Trace/breakpoint trap",
        [SIGABRT] = "Aborted",
        [SIGBUS] = "Bus error",
        [SIGFPE] = "Floating point exception",
        [SIGKILL] = "Killed",
        [SIGUSR1] = "User signal 1",
        [SIGSEGV] = "Segmentation fault",
        [SIGUSR2] = "User signal 2",
        [SIGPIPE] = "Broken pipe",
        [SIGALRM] = "Alarm clock",
        [SIGTERM] = "Terminated",
        [SIGCHLD] = "Child exited",
        [SIGSYS] = "Bad system call",
    };
    static char other[24];

    if (sig > 0 && sig < (int)(sizeof(names) / sizeof(names[0])) && names[sig] != NULL)
        return (char *)names[sig];
    snprintf(other, sizeof(other), "Signal %d", sig);
    return other;
}
