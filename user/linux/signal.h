/*
 * Signals: sending, what they do, and their delivery to handlers. Big lock held in all functions.
 */
#ifndef LINUX_SIGNAL_H
#define LINUX_SIGNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "user/linux/kcall.h"
#include "user/linux/thread.h"

/* Default action: the process stops. */
#define SIGNALS_STOP                                                                        \
    (1UL << (LINUX_SIGSTOP - 1) | 1UL << (LINUX_SIGTSTP - 1) | 1UL << (LINUX_SIGTTIN - 1) | \
     1UL << (LINUX_SIGTTOU - 1))
#define SIGNALS_UNBLOCKABLE (1UL << (LINUX_SIGKILL - 1) | 1UL << (LINUX_SIGSTOP - 1))

/* rt_sigreturn takes no arguments, but from the trampoline: a5 is this, a0 the frame (which is at
 * sp too), a1 its mask, a2..a4 its alternate stack. A program that says so itself means itself. */
#define SIGRETURN_LOADED 0x50414753
#define NR_RT_SIGRETURN  139

enum signal_sent {
    SIGNAL_DONE,  /* it did all that it does, or nothing */
    SIGNAL_PENDS, /* it will be taken */
    SIGNAL_LOST   /* a real-time one that has no room in the queue */
};

/* To the process, or to one thread of it. A signal that is ignored does nothing; a fatal one ends
 * the process at once. `signal` must be 1..LINUX_NSIG. */
enum signal_sent signal_send_process(struct process *p, int signal, const struct signal_info *info);
enum signal_sent signal_send_thread(struct thread *t, int signal, const struct signal_info *info);
/* To t, or the process if that is NULL, by an entry of the caller's. */
enum signal_sent signal_send_entry(struct process *p, struct thread *t, int signal,
                                   const struct signal_info *info, struct signal_entry *entry);
/* To every process of a group; how many there were. */
unsigned signal_send_group(int pgid, int signal, const struct signal_info *info);
/* Take a signal of `wanted` that pends for t or its process: its number, 0 if there is none. */
int signal_take(struct thread *t, uint64_t wanted, struct signal_info *info);
/* As programs see it. */
void signal_siginfo(struct linux_siginfo *to, int signal, const struct signal_info *info);
/* Whether t has a signal that is not blocked, or has to stop. */
bool signal_pending(const struct thread *t);

/* Another mask while t's request waits; its own comes back with the answer, or after the handler.
 */
void signal_mask_for_wait(struct thread *t, uint64_t mask);

/* An exception of t: to its handler, or the process ends and a line says why. cause and pc as the
 * machine gave them. */
void signal_fault(struct thread *t, int signal, int code, uint64_t address, uint64_t cause,
                  uint64_t pc);

/*
 * The straight way into a handler and out of it, for the plain case: nothing else is pending, and
 * t's event is on the kernel's straight path. True: t's mask (and alternate stack) are as they will
 * be, and the caller lets go of the lock and ends by worker_push() or worker_pop(). sp is t's own.
 * What these may refuse is taken back by signal_straight_refused().
 */
bool signal_push_straight(struct thread *t, int signal, int code, uint64_t address, uint64_t cause,
                          uint64_t pc, uint64_t sp, struct signal_push *push);
bool signal_pop_straight(struct thread *t, uint64_t mask, const struct linux_sigaltstack *stack,
                         uint64_t sp);
void signal_straight_refused(struct thread *t);
/* Make `regs` call the handler. False if there is no room for its frame. */
bool signal_push_frame(struct thread *t, struct user_regs *regs, int signal,
                       const struct signal_info *info);
bool signal_on_altstack(const struct thread *t, uint64_t sp);
/* The alternate stack that a frame at sp brings back; a bad one changes nothing. */
void signal_stack_restore(struct thread *t, const struct linux_sigaltstack *stack, uint64_t sp);

enum signal_delivery {
    SIGNAL_GOES_ON,   /* with *value for a0, unless the process is stopped now */
    SIGNAL_RUN_AGAIN, /* the call was interrupted by nothing that a program sees */
    SIGNAL_ENDS       /* the process */
};

/* t is about to go on in user mode; `result` is what its request gave (0 for a fault). Takes
 * pending signals. */
enum signal_delivery signal_deliver(struct thread *t, long result, long *value);
/* The same for a thread that was stopped in user mode. False if its process ends. */
bool signal_deliver_stopped(struct thread *t);

/* execve and CLONE_CLEAR_SIGHAND: handlers go, what is ignored stays. */
void signal_reset(struct process *p);
/* The system's name, such as "SIGSEGV"; "signal" for one without. */
const char *signal_name(int signal);
/* Where the signal trampoline is in that space; it is mapped when first asked for, at the
 * latest for the first signal. 0: it cannot be.
 */
uint64_t trampoline_address(struct space *space);
/* Where in it a handler returns to. */
uint64_t signal_return_offset(void);
/* Whether that signal does nothing at p. */
bool signal_is_ignored(const struct process *p, int signal);
/* Whether p is told when a child stops or goes on. */
bool signal_wants_stops(const struct process *p);
/* Whether the parent of p does not want to be asked for its children's status. */
bool signal_ignores_children(const struct process *p);

#endif
