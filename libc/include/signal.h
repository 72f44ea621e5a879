/* Signals, with Linux riscv64's numbers and structures. */
#ifndef PG_SIGNAL_H
#define PG_SIGNAL_H

#include <sys/types.h>
#include <sys/_sigset.h>
#include <sys/timespec.h>

#if !defined(_SIGSET_T_DECLARED)
#define _SIGSET_T_DECLARED
typedef __sigset_t sigset_t;
#endif

#define SIGHUP    1
#define SIGINT    2
#define SIGQUIT   3
#define SIGILL    4
#define SIGTRAP   5
#define SIGABRT   6
#define SIGBUS    7
#define SIGFPE    8
#define SIGKILL   9
#define SIGUSR1   10
#define SIGSEGV   11
#define SIGUSR2   12
#define SIGPIPE   13
#define SIGALRM   14
#define SIGTERM   15
#define SIGSTKFLT 16
#define SIGCHLD   17
#define SIGCONT   18
#define SIGSTOP   19
#define SIGTSTP   20
#define SIGTTIN   21
#define SIGTTOU   22
#define SIGURG    23
#define SIGXCPU   24
#define SIGXFSZ   25
#define SIGVTALRM 26
#define SIGPROF   27
#define SIGWINCH  28
#define SIGIO     29
#define SIGPWR    30
#define SIGSYS    31
#define NSIG      65

#define SIG_DFL ((void (*)(int))0)
#define SIG_IGN ((void (*)(int))1)
#define SIG_ERR ((void (*)(int)) - 1)

#define SA_NOCLDSTOP 1
#define SA_NOCLDWAIT 2
#define SA_SIGINFO   4
#define SA_ONSTACK   0x08000000
#define SA_RESTART   0x10000000
#define SA_NODEFER   0x40000000
#define SA_RESETHAND 0x80000000

#define SIG_BLOCK   0
#define SIG_UNBLOCK 1
#define SIG_SETMASK 2

#define SEGV_MAPERR 1
#define SEGV_ACCERR 2

typedef int sig_atomic_t;

typedef struct {
    int si_signo;
    int si_errno;
    int si_code;
    int si_reserved;
    union {
        void *si_addr;
        struct {
            int si_pid;
            int si_uid;
            int si_status;
        };
        long si_space[14];
    };
} siginfo_t;

_Static_assert(sizeof(siginfo_t) == 128, "the kernel's siginfo");

/*
 * The kernel's own layout: riscv64 has no restorer, the vDSO returns from handlers. The kernel
 * takes and gives 24 bytes; emulators are known to write the word behind them too.
 */
struct sigaction {
    union {
        void (*sa_handler)(int);
        void (*sa_sigaction)(int, siginfo_t *, void *);
    };
    unsigned long sa_flags;
    sigset_t sa_mask;
    unsigned long sa_reserved;
};

int kill(pid_t pid, int sig);
int raise(int sig);
void (*signal(int sig, void (*handler)(int)))(int);
int sigaction(int sig, const struct sigaction *act, struct sigaction *old);
int sigprocmask(int how, const sigset_t *set, sigset_t *old);
char *strsignal(int sig);

#define sigemptyset(set)      (*(set) = 0, 0)
#define sigfillset(set)       (*(set) = ~0ul, 0)
#define sigaddset(set, sig)   (*(set) |= 1ul << ((sig)-1), 0)
#define sigdelset(set, sig)   (*(set) &= ~(1ul << ((sig)-1)), 0)
#define sigismember(set, sig) ((int)((*(set) >> ((sig)-1)) & 1))

#endif
