/*
 * Signals: sending, what they do, and their delivery to handlers. Big lock held in all functions.
 */
#ifndef LINUX_SIGNAL_H
#define LINUX_SIGNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "user/linux/thread.h"

static inline uint64_t signal_bit(int signal)
{
    return 1UL << (signal - 1);
}

#define SIGNALS_UNBLOCKABLE (1UL << (LINUX_SIGKILL - 1) | 1UL << (LINUX_SIGSTOP - 1))

/* To the process, or to one thread of it. A signal that is ignored does nothing; a fatal one ends
 * the process at once. `signal` must be 1..LINUX_NSIG. */
void signal_send_process(struct process *p, int signal, const struct signal_info *info);
void signal_send_thread(struct thread *t, int signal, const struct signal_info *info);
/* To every process of a group; how many there were. */
unsigned signal_send_group(int pgid, int signal, const struct signal_info *info);
/* Whether t has a signal that is not blocked. */
bool signal_pending(const struct thread *t);

/* Another mask while t's request waits; its own comes back with the answer, or after the handler.
 */
void signal_mask_for_wait(struct thread *t, uint64_t mask);

/* An exception of t: to its handler, or the process ends and a line says why. cause and pc as the
 * machine gave them. */
void signal_fault(struct thread *t, int signal, int code, uint64_t address, uint64_t cause,
                  uint64_t pc);

/*
 * t is about to go on in user mode; `result` is what its request gave (0 for a fault). Takes
 * pending signals: true if t goes on, with *value for a0; false if its process ends.
 */
bool signal_deliver(struct thread *t, long result, long *value);
/* The same for a thread that was stopped in user mode. False if its process ends. */
bool signal_deliver_stopped(struct thread *t);

/* execve: handlers go, what is ignored stays. */
void signal_exec(struct process *p);
/* The system's name, such as "SIGSEGV"; "signal" for one without. */
const char *signal_name(int signal);
/* Where the signal trampoline is in that space; it is mapped when first asked for. 0: it cannot be.
 */
uint64_t trampoline_address(struct space *space);
/* Whether the parent of p does not want to be asked for its children's status. */
bool signal_ignores_children(const struct process *p);

#endif
