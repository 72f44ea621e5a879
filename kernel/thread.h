/*
 * Thread: registers, and everything that delivering its events needs, in one page.
 *
 * Who may change what. A thread belongs to a hart (t->hart). The states RUNNING, FAULT, CALL, MESSAGE
 * and PARKED change without a lock on the straight paths and therefore only on the thread's own
 * hart ("hart-owned"). All other states change under the kernel lock, on any hart; a hart-owned
 * thread is brought out of its state by its own hart, asked by `stop_wanted` and an interrupt.
 *
 * Saved registers: FAULT and CALL have all of them in x[] (x[0] is the pc). MESSAGE, while its
 * server runs on the same hart, has only pc, sp, gp and tp there; the message and the rest are in
 * the hart's registers. Every other waiting state has all that is kept in x[].
 */
#ifndef KERNEL_THREAD_H
#define KERNEL_THREAD_H

#include "kernel/types.h"
#include <sys/queue.h>

enum thread_state {
    THREAD_STOPPED, /* 0: made, or stopped; only thread_start goes on */
    THREAD_READY,   /* in its hart's run queue */
    THREAD_RUNNING, /* hart-owned: the hart's current, or a preempted worker's place is READY */
    THREAD_FAULT,   /* hart-owned: its worker `server` has the exception */
    THREAD_CALL,    /* hart-owned: its worker `server` has the foreign call */
    THREAD_MESSAGE, /* hart-owned: its worker `server` has the message */
    THREAD_PARKED,  /* hart-owned: a worker waiting to be entered */
    THREAD_QUEUED,  /* waits in an endpoint's queue for a worker; event_kind says with what */
    THREAD_KEPT,    /* its answer was kept: a Reply capability names it */
    THREAD_WAIT,    /* waits for a notification */
    THREAD_STATES
};

/* What a waiting thread waits for an answer to. */
enum event_kind { EVENT_NONE, EVENT_FAULT, EVENT_CALL, EVENT_MESSAGE };

struct route {
    struct endpoint *endpoint; /* counted reference or NULL */
    uint64_t badge;
};

struct thread {
    uint64_t x[32]; /* integer registers; x[0] is the pc */

    /* Line by line what the straight paths touch; offsets reach the assembly by asm-offsets. */
    struct hart *hart;
    void *kernel_stack; /* top of the hart's stack */
    uint64_t satp;      /* space and ASID as the hart must load it */
    uint32_t state;     /* enum thread_state */
    uint32_t event;     /* enum event_kind */
    struct thread *pager_worker; /* pager.endpoint's worker on this hart, or NULL */
    uint64_t fault_address;
    uint64_t fault_cause;
    uint64_t sequence; /* counts events of this thread */

    uint64_t leaf_tag;  /* address >> 21 of the cached leaf table, ~0 for none */
    uint64_t leaf_bias; /* entry address = leaf_bias + (address >> 12) * 8 */
    struct cap *table_caps; /* the capability table's entries, NULL: no kernel calls */
    uint64_t table_size;
    struct thread *client; /* of a worker: who waits for its answer */
    struct thread *server; /* of a client: the worker that has its event */
    uint64_t attention;    /* of a worker: look at queue and signals before parking */
    struct space *space;

    /* A worker's fixed context. */
    uint64_t enter_pc;
    uint64_t enter_sp;
    uint64_t enter_tp;
    struct endpoint *serves;      /* the endpoint that it is a worker of, or NULL */
    struct notification *bound;   /* its signals enter this worker */
    void *operation_page;         /* struct batch_page, kernel address; or NULL */
    uint64_t is_pager;            /* unused by the kernel's choices; for display */
    uint32_t enter_flags;         /* WORKER_* */
    uint32_t info_pad;

    struct route pager;
    struct route personality;
    uint64_t call_mask[8];
    uint64_t info[2]; /* given by forward_park */

    /* Slow path only. */
    struct table *table; /* counted reference */
    uint32_t priority;
    uint32_t stop_wanted;
    uint32_t in_queue;   /* bool: linked by `run` */
    uint32_t move_to;    /* hart wanted + 1, or 0 */
    TAILQ_ENTRY(thread) run;   /* run queue, endpoint queue or notification queue */
    TAILQ_ENTRY(thread) mates; /* threads of the same space */
    TAILQ_ENTRY(thread) kept;  /* threads whose answer was kept, oldest first (watchdog) */
    struct cap *reply;   /* the Reply capability that names this thread, or NULL */
    struct notification *waits_for;
    uint64_t waiting_since; /* ticks, for the watchdog */
    uint64_t badge_queued;  /* endpoint queue: badge of the message or route */
    struct endpoint *queued_at;
    uint64_t operation_pfn; /* of operation_page, which counts as a mapping of its block */
    uint64_t slice_left;    /* timer periods */
    uint32_t watchdog_said;
    uint32_t fp_valid;      /* f[] and fcsr hold its state */
    uint64_t f[32];
    uint64_t fcsr;
    uint64_t user_ticks;    /* time base ticks at which it was seen running, sampled by the timer */
};

_Static_assert(sizeof(struct thread) <= PAGE_BYTES, "a thread is one page");

TAILQ_HEAD(thread_list, thread);

/* No-client value is NULL; a thread of no hart does not exist: it is made on the creator's hart. */
void thread_init(struct thread *t, struct hart *hart);
/* Kernel lock held. Forget the cached leaf table. Only with all harts past their straight paths. */
static inline void thread_leaf_forget(struct thread *t)
{
    __atomic_store_n(&t->leaf_tag, ~0UL, __ATOMIC_RELAXED);
}

/* Kernel lock held. -ERR_AGAIN while another hart owns its state (which is then asked to let go). */
long thread_stop(struct thread *t);
/* Kernel lock held. Undo everything that links it; it must be STOPPED. */
void thread_unlink(struct thread *t);
/* Kernel lock held. Recompute pager_worker after a change of hart, route or worker. */
void thread_route_refresh(struct thread *t);

#endif
