/*
 * Thread: registers, and everything that delivering its events needs, in one page.
 *
 * A worker is parked exactly while its `client` is NULL (thread_in_kernel for the in-kernel
 * pager's). Otherwise `client` is the thread whose event it has on the straight path, or
 * thread_nobody.
 *
 * Who may change what. A thread belongs to a hart (t->hart). The states RUNNING, FAULT, CALL,
 * MESSAGE and FORWARDED change without a lock on the straight paths and therefore only on the
 * thread's own hart ("hart-owned"); a straight answer does not even write the state, so a thread in
 * user mode has any of them until it enters the slow part of the kernel, which makes it RUNNING,
 * and a worker that parks straight keeps any of them. All other states change under the kernel
 * lock, on any hart; a hart-owned thread is brought out of its state by its own hart, asked by
 * `stop_wanted` and an interrupt.
 *
 * Saved registers: FAULT, CALL and FORWARDED have all of them in x[] (x[0] is the pc). MESSAGE,
 * while its server runs on the same hart, has only pc, sp, gp and tp there; the message and the
 * rest are in the hart's registers. Every other waiting state has all that is kept in x[].
 */
#ifndef KERNEL_THREAD_H
#define KERNEL_THREAD_H

#include "kernel/types.h"
#include <sys/queue.h>

enum thread_state {
    THREAD_STOPPED,   /* 0: made, or stopped; only thread_start goes on */
    THREAD_READY,     /* in its hart's run queue */
    THREAD_RUNNING,   /* hart-owned: runs on its hart, or is a parked worker */
    THREAD_FAULT,     /* hart-owned: a worker of its hart has the exception */
    THREAD_CALL,      /* hart-owned: a worker of its hart has the foreign call */
    THREAD_MESSAGE,   /* hart-owned: a worker of its hart has the message */
    THREAD_FORWARDED, /* hart-owned: its exception was handed on, a worker of its hart has it */
    THREAD_QUEUED,    /* waits in an endpoint's queue for a worker */
    THREAD_SERVED,    /* worker `server` has its event, taken on the slow path (its `served`) */
    THREAD_KEPT,      /* its answer was kept: a Reply capability names it */
    THREAD_WAIT,      /* waits for a notification */
    THREAD_STATES
};

/* What a thread in a waiting state of the slow path waits for an answer to. */
enum event_kind {
    EVENT_NONE,
    EVENT_FAULT = THREAD_FAULT,
    EVENT_CALL = THREAD_CALL,
    EVENT_MESSAGE = THREAD_MESSAGE
};

struct route {
    struct endpoint *endpoint; /* counted reference or NULL */
    uint64_t badge;
};

/* A leaf table that a thread remembers: the entry of an address is at bias + (address >> 12) * 8.
 */
struct leaf_cache {
    uint64_t tag; /* address >> 21, ~0 for none */
    uint64_t bias;
};

struct thread {
    uint64_t x[32]; /* integer registers; x[0] is the pc */

    /* Line by line what the straight paths touch; offsets reach the assembly by asm-offsets. */
    struct hart *hart;
    void *kernel_stack;         /* top of the hart's stack */
    uint64_t satp;              /* space and ASID as the hart must load it */
    uint32_t state;             /* enum thread_state */
    uint32_t event;             /* enum event_kind */
    struct thread **pager_slot; /* pager.endpoint's straight slot of this hart; never NULL */
    uint64_t fault_address;
    uint64_t fault_cause;
    struct thread **personality_slot; /* likewise */

    struct leaf_cache leaf; /* of its last fault */
    struct cap *table_caps; /* the capability table's entries, NULL: no kernel calls */
    uint64_t table_size;
    struct thread *client; /* of a worker: see above; of any other thread thread_nobody */
    struct thread *server; /* of a SERVED thread: the worker that has its event */
    uint64_t attention;    /* of a worker: look at queue and signals before parking */
    struct space *space;

    /* A worker's fixed context. */
    uint64_t enter_pc;
    uint64_t enter_sp;
    uint64_t enter_tp;
    struct endpoint *serves;    /* the endpoint that it is a worker of, or NULL: changes only on
                                   its own hart, or while it is STOPPED */
    struct notification *bound; /* its signals enter this worker */
    void *operation_page;       /* struct batch_page, kernel address; or NULL */
    struct thread *served;      /* of a worker: client of an event taken on the slow path */
    uint32_t enter_flags;       /* WORKER_* */
    uint32_t enter_kind;        /* how the slow path last made it enter */

    struct route pager;
    struct route personality;
    uint64_t call_mask[8];
    uint64_t info[2];        /* given by forward_park */
    struct leaf_cache aside; /* of where its registers were put aside last (context.c) */

    /* Slow path only. */
    struct table *table; /* counted reference */
    uint32_t priority;
    uint32_t stop_wanted;      /* bool: linked by `stop` at its hart */
    TAILQ_ENTRY(thread) run;   /* run queue, endpoint queue or notification queue */
    TAILQ_ENTRY(thread) mates; /* threads of the same space */
    TAILQ_ENTRY(thread) kept;  /* in kept_faults, while `watched` */
    TAILQ_ENTRY(thread) stop;  /* asked to stop, at its hart */
    TAILQ_ENTRY(thread) bench; /* a worker's place in its hart's list */
    struct cap *reply;         /* the Reply capability that names this thread, or NULL */
    struct notification *waits_for;
    uint64_t waiting_since;          /* ticks, for the watchdog */
    uint64_t event_badge;            /* badge of the route or capability that the event came by */
    struct endpoint *event_endpoint; /* where it is queued */
    uint64_t operation_pfn;          /* of operation_page, which counts as a mapping of its block */
    uint64_t slice_left;             /* timer periods */
    uint32_t watched;                /* bool: its event is a fault and it is in kept_faults */
    uint32_t watchdog_said;          /* bool: the watchdog has reported that fault */
    uint32_t regs_written;           /* bool: thread_regs replaced its registers since its event */
    uint32_t fp_valid;               /* f[] and fcsr hold its state */
    uint64_t f[32];
    uint64_t fcsr;
    /* What it has to pay for (sched.c): ticks up to the last switch, and how often the timer found
     * it in user mode, and found a worker that served it; how often it gave up a hart to wait, and
     * how often a hart was taken from it. */
    uint64_t paid_ticks;
    uint64_t seen_user, seen_served;
    uint64_t switches_waiting, switches_ready;
};

_Static_assert(sizeof(struct thread) <= PAGE_BYTES, "a thread is one page");

TAILQ_HEAD(thread_list, thread);

/* Never runs, never parks: stands where no worker or no client is. */
extern struct thread thread_nobody;
/* A slot in which no worker ever stands: where threads without a route point. */
extern struct thread *thread_no_slot;
/* The client of an in-kernel pager's worker that is parked. */
extern struct thread thread_in_kernel;

static inline bool worker_parked(const struct thread *w)
{
    return !w->client || w->client == &thread_in_kernel;
}

/* Does worker w have the event of a client on the straight path? */
static inline bool worker_has_client(const struct thread *w)
{
    return !worker_parked(w) && w->client != &thread_nobody;
}

/* A fresh, zeroed page becomes a stopped thread of that hart. */
void thread_init(struct thread *t, struct hart *hart);

static inline bool thread_hart_owned(const struct thread *t)
{
    return t->state == THREAD_RUNNING || t->state == THREAD_FAULT || t->state == THREAD_CALL ||
           t->state == THREAD_MESSAGE || t->state == THREAD_FORWARDED;
}

static inline bool leaf_cached(const struct leaf_cache *leaf, vaddr_t address)
{
    return likely(address >> BLOCK_SHIFT == leaf->tag);
}

static inline uint64_t *leaf_cached_slot(const struct leaf_cache *leaf, vaddr_t address)
{
    return (uint64_t *)(leaf->bias + (address >> PAGE_SHIFT) * sizeof(uint64_t));
}

static inline void leaf_cache_set(struct leaf_cache *leaf, vaddr_t address, const uint64_t *table)
{
    leaf->bias = (uint64_t)table - (address >> BLOCK_SHIFT << TABLE_SHIFT) * sizeof(uint64_t);
    leaf->tag = address >> BLOCK_SHIFT;
}

/* The slot of `address`, which lies where the leaf table of the last fault is. */
static inline uint64_t *thread_leaf_slot(const struct thread *t, vaddr_t address)
{
    return leaf_cached_slot(&t->leaf, address);
}

/* Kernel lock held. Forget the cached leaf tables; the caller then calls harts_quiesce(). */
static inline void thread_leaf_forget(struct thread *t)
{
    __atomic_store_n(&t->leaf.tag, ~0UL, __ATOMIC_RELAXED);
    __atomic_store_n(&t->aside.tag, ~0UL, __ATOMIC_RELAXED);
}

/* Kernel lock held. -ERR_AGAIN while another hart owns its state, or has it as a worker (that hart
 * is then asked to let go); -ERR_BUSY if it is the one that makes this call. A worker that is
 * stopped is no longer one. */
long thread_stop(struct thread *t);
/* Kernel lock held. The same for a thread whose state is ours to change: by the lock, or because
 * this is its hart; also the one that made this trap. */
void thread_stop_now(struct thread *t);
/* Kernel lock held. Stop those of this hart that other harts asked to be stopped. */
void thread_stop_wanted(struct hart *h);
/* Kernel lock held. Undo everything that links it; it must be STOPPED. */
void thread_unlink(struct thread *t);
/* Kernel lock held. Point its slots at its routes' endpoints on its hart. */
void thread_route_refresh(struct thread *t);
/* Kernel lock held. Save its floating-point registers if this hart holds newer ones. */
void thread_fp_leave(struct thread *t);

#endif
