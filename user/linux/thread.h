/*
 * Threads of clients.
 *
 *   FREE ─▶ RUNS ◀─▶ WAITS      RUNS: in user mode, or its request is being processed now
 *             └──▶ DYING ◀─┘    WAITS: its answer was kept, in the slot that belongs to it
 *                    └─▶ FREE   DYING: to be destroyed as soon as its hart lets go of it
 *
 * A thread is named by its tid to programs, by its badge (index and generation) to the kernel, and
 * by the number that it gave to the memory server. Big lock held in all functions.
 */
#ifndef LINUX_THREAD_H
#define LINUX_THREAD_H

#include <stdbool.h>
#include <stdint.h>
#include <pagoda/call.h>

#include "user/linux/abi.h"
#include "user/linux/cputime.h"
#include "user/linux/futex.h"
#include "user/linux/sigqueue.h"
#include "user/linux/sleep.h"
#include "user/linux/timer.h"

#define THREADS_MAX 512
#define COMM_BYTES  16

struct file;
struct process;
struct space;
struct watch_set;

enum thread_state { THREAD_FREE, THREAD_RUNS, THREAD_WAITS, THREAD_DYING };

/* How a thread of a stopped process goes on: job.h. */
enum thread_frozen {
    FROZEN_NOT,
    FROZEN_ANSWER,  /* its request is answered */
    FROZEN_AGAIN,   /* its request is run again */
    FROZEN_STOPPED, /* it was stopped in user mode */
};

struct thread {
    enum thread_state state;
    uint32_t generation; /* of this place in the array: a badge of an earlier thread differs */
    int tid;
    struct process *process;
    TAILQ_ENTRY(thread) mates; /* threads of the process */
    uint64_t number;           /* the memory server's */
    unsigned hart;
    uint64_t affinity; /* bit per hart */
    bool move;         /* its hart is not in `affinity` any more */

    /* The request being processed or waiting. */
    bool is_fault; /* else a call */
    bool kept;     /* its right to answer is in the thread's slot */
    bool yields;   /* its answer puts it behind all others that are ready on its hart */
    bool again;    /* this is not the first run */
    bool raw;      /* its result is a register's value, whatever it looks like */
    bool timed_out;
    bool woken; /* in the list of requests to run again */
    uint64_t call;
    uint64_t args[6];
    uint64_t progress; /* bytes done, what a handler remembers */
    uint64_t until;    /* deadline that a handler computed at its first run */
    struct {
        uint64_t done; /* of sendmmsg and recvmmsg, which set both at their first run */
        uint64_t end;  /* recvmmsg: when it takes no further one */
    } messages;

    /* The exception whose signal the kernel was asked to push, for the case that it refuses. */
    struct {
        bool pushed; /* else a return from a handler was asked for */
        int signal, code;
        uint64_t address, cause, pc;
        uint64_t mask; /* from before */
    } straight;

    struct wait_queue *queue; /* that it stands in, or NULL */
    TAILQ_ENTRY(thread) wait;
    struct timer deadline;       /* sleep.c */
    struct watch_set *watch_set; /* what ppoll waits for, or NULL: watch.c */
    const void *lock_owner;      /* whose record lock it waits for: filelock.c */
    struct file *held;           /* what its request waits for, in use until it ends; or NULL */
    TAILQ_ENTRY(thread) again_link;
    TAILQ_ENTRY(thread) late_link; /* to be destroyed or interrupted: thread.c */
    bool late;
    bool was_stopped; /* once: a worker may have a request of it in hand that was undone by that */
    bool stopping;    /* its hart was asked to stop it, and will */

    /* futex.c */
    struct futex_key futex_key;
    uint32_t futex_bits;
    uint64_t robust_list; /* its head's address, or 0: robust.c */

    uint64_t clear_tid;       /* address, or 0 */
    struct space *exec_space; /* loaded by an execve that waits for the other threads' end */
    uint64_t exec_pc, exec_sp;

    char comm[COMM_BYTES];
    int policy, priority, nice; /* priority.c */
    uint64_t timer_slack;       /* nanoseconds; 0: the default; prctl.c */
    struct cpu_time cpu_told;

    uint64_t mask;
    uint64_t saved_mask; /* of rt_sigsuspend and ppoll, put back after the handler */
    bool mask_saved;
    uint64_t wait_set; /* signals that rt_sigtimedwait waits for */
    struct linux_sigaltstack altstack;
    struct signal_set pending; /* directed at this thread */

    enum thread_frozen frozen;
    long frozen_value;
};

#define TIMER_SLACK_DEFAULT 50000 /* nanoseconds */
/* By how many nanoseconds a time limit may be passed. */
static inline uint64_t thread_timer_slack(const struct thread *t)
{
    return t->timer_slack ? t->timer_slack : TIMER_SLACK_DEFAULT;
}
/* The thread that a badge names; NULL if it is no more, or dying. */
struct thread *thread_from_badge(uint64_t badge);
struct thread *thread_by_tid(int tid);
/* The one that a call of t names; 0: t itself. NULL: there is none. */
struct thread *thread_named(struct thread *t, int tid);
unsigned thread_slot(const struct thread *t);

/*
 * A new thread in the process: made at the memory server, not started. regs are its first
 * registers; its floating-point registers are those of `like`, which waits, or NULL. NULL with
 * *error = -errno.
 */
struct thread *thread_create(struct process *process, int tid, const struct user_regs *regs,
                             uint64_t affinity, const struct thread *like, long *error);
/* Let it run for the first time. */
void thread_start(struct thread *t);
/* It ends: it stops waiting and is destroyed now, or as soon as its hart lets go of it; at last
 * process_thread_gone() is called. */
void thread_kill(struct thread *t);
/* Its CLONE_CHILD_CLEARTID word is cleared, and who waits for that is woken; clone.c. */
void thread_clear_tid(struct thread *t);
/* A signal is pending for it: end its wait, or bring it out of user mode to take the signal. */
void thread_interrupt(struct thread *t);

/* It was stopped in user mode: it takes its signals and runs on, unless they end or stop it. */
void thread_go_on(struct thread *t);

/* Registers of a thread that is stopped, or waits, or whose request is being processed (its answer
 * is kept then). 0 or -errno. */
long thread_regs_read(struct thread *t, struct user_regs *regs);
long thread_regs_write(struct thread *t, const struct user_regs *regs);
/* Keep the right to answer it, if not yet kept. */
void thread_keep(struct thread *t);
/* What it has used of the processors. */
struct cpu_used thread_cpu_used(const struct thread *t);
/* How often it gave up a hart to wait for something, and how often one was taken from it. */
void thread_switches(const struct thread *t, uint64_t *waited, uint64_t *preempted);
/* Where it may run from now on; it moves when its present or next request is answered. */
void thread_set_affinity(struct thread *t, uint64_t affinity);
/* Move it if it should; its request is about to be answered, or it waits. */
void thread_move_if_due(struct thread *t);

/* Work that could not be done at once is tried again: true if some is left. */
bool threads_late(void);
bool threads_late_wanted(void);

void threads_init(unsigned harts);
unsigned threads_harts(void);
uint64_t threads_all_harts(void);
/* Threads that exist, of all processes; those that run or could; how many were ever made. */
unsigned threads_count(void);
unsigned threads_running(void);
uint64_t threads_made(void);

#endif
