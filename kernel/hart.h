/*
 * Per-hart state. Only the hart itself writes it, except: `busy` is read by others, `run` queues
 * change under the kernel lock, and `stale` bits of spaces live in the spaces.
 *
 * busy: nonzero while the hart, outside the kernel lock, holds pointers that it got from capability
 * tables or page tables. Who takes such a thing away makes it unreachable, then calls
 * harts_quiesce(), then reuses the memory. A hart clears busy before it waits for the kernel lock.
 */
#ifndef KERNEL_HART_H
#define KERNEL_HART_H

#include "kernel/types.h"
#include "kernel/thread.h"
#include "arch/this_hart.h"
#include <pagoda/boot.h>

#define TRACE_EVENTS 32

#define PRIORITY_BIT(priority) (1u << (PRIORITY_MAX - (priority))) /* the best one's is lowest */

struct trace_event {
    uint64_t ticks;
    uint64_t what; /* a kernel-wide code: cause or call number */
    uint64_t pc;
    uint64_t value;
};

struct hart {
    uint64_t busy;
    struct thread *current; /* set on the slow ways in: whose trap is being handled */
    uint64_t counter[COUNT_KERNEL];
    uint64_t id;                   /* 0 .. harts - 1 */
    uint64_t machine_id;           /* mhartid, as SBI names it */
    void *kernel_stack;            /* top */
    struct thread *idle_worker;    /* entered when idle, or NULL */
    uint64_t idle_mark;            /* hart_events() + 1 when it last had nothing to do */
    uint64_t look_again;           /* bool: a better thread than `current` became ready */
    struct thread *pager_thread;   /* in-kernel pager: on whose behalf kernel_call() calls, */
    struct thread *pager_answered; /* and whom it answered on the straight path */
    int32_t *blocks;               /* block_count, near at hand */
    struct thread *entering;       /* the worker that enter_call() is about: an argument too many */
    struct space *space_active;    /* client space that counts as running here, or NULL */
    struct thread *fp_owner;       /* whose state the FP registers hold, or NULL */
    uint64_t online;
    uint32_t run_bits; /* PRIORITY_BIT(p): priority p has ready threads */
    struct thread_list run[PRIORITY_MAX + 1];
    struct thread *over[PRIORITY_MAX + 1]; /* the first there whose turn is over, or NULL */
    struct thread_list stops;              /* threads that others want stopped */
    struct thread_list workers;            /* bound here */
    uint64_t stuck_sequence; /* watchdog: the event being served at the last timer period, */
    uint64_t stuck_periods;  /* and for how many periods */
    uint64_t trace_next;
    struct trace_event trace[TRACE_EVENTS];
    uint64_t timer_next;        /* ticks */
    uint64_t asid_flush_wanted; /* generation changed: flush all before the next space */
    uint64_t gathering;         /* bool, read by others: see gather.h */
    struct thread *payer;       /* who pays for the hart's time since `paid_until`, or NULL: idle */
    uint64_t paid_until;        /* ticks; both under the kernel lock */
};

extern struct hart *harts[HARTS_MAX];
extern uint32_t harts_online;

/* A zeroed structure becomes hart `id`, with nothing to run. Boot only. */
void hart_setup(struct hart *h, unsigned id, uint64_t machine_id);

/* The one lock of all slow paths. Never held while a remote fence is awaited. */
void kernel_lock(void);
void kernel_unlock(void);
bool kernel_lock_held(void);

/* Kernel lock held. Wait until every other hart was seen outside its straight paths. */
void harts_quiesce(void);

static inline void hart_busy(struct hart *h)
{
    *(volatile uint64_t *)&h->busy = (uint64_t)h; /* a plain store; the fence orders it */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static inline void hart_idle(struct hart *h)
{
    __atomic_thread_fence(__ATOMIC_RELEASE);
    *(volatile uint64_t *)&h->busy = 0;
}

static inline void count(struct hart *h, enum kernel_counter c)
{
    h->counter[c]++;
}

/* Remember a slow event for the crash record. */
void hart_trace(struct hart *h, uint64_t what, uint64_t pc, uint64_t value);

#endif
