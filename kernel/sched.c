/*
 * The scheduler: fixed priorities, round robin among equals, one run queue per hart. Everything
 * here is under the kernel lock; the straight paths never come here.
 *
 * A turn is a time slice, and need not be used in one piece: who waits for something and is woken
 * goes on with what is left of it, before all of its priority whose turn has yet to come, and at
 * once if it has more left than who runs. A thread gets a new slice only from behind the others, so
 * each timer period that passes brings the turn of the last one nearer.
 *
 * A hart leaves the kernel in go(), or waits in idle(). The timer runs all the time, so that a hart
 * that spins or sleeps always comes back.
 */
#include "kernel/sched.h"
#include "arch/arch.h"
#include "kernel/assert.h"
#include "kernel/ipc.h"
#include "kernel/pager.h"
#include "kernel/space.h"
#include "kernel/watchdog.h"

#define TIMER_HZ 100

#define OVERDUE_HZ 10000 /* how soon to look again at timers that one tick left over */

/* Before those whose turn is over if it has some of its slice left, else behind all. */
static void enqueue(struct hart *h, struct thread *t)
{
    struct thread_list *queue = &h->run[t->priority];
    struct thread **over = &h->over[t->priority];

    h->run_bits |= PRIORITY_BIT(t->priority);
    if (t->slice_left && *over) {
        TAILQ_INSERT_BEFORE(*over, t, run);
        return;
    }
    TAILQ_INSERT_TAIL(queue, t, run);
    if (!t->slice_left && !*over)
        *over = t;
}

static void dequeue(struct hart *h, struct thread *t)
{
    struct thread_list *queue = &h->run[t->priority];
    struct thread **over = &h->over[t->priority];

    kassert(t->state == THREAD_READY);
    if (*over == t)
        *over = TAILQ_NEXT(t, run);
    TAILQ_REMOVE(queue, t, run);
    if (TAILQ_EMPTY(queue))
        h->run_bits &= ~PRIORITY_BIT(t->priority);
}

/* The lowest bit that is set, by a multiplication: without Zbb the compiler's way is a loop. */
static int best_priority(const struct hart *h)
{
    static const uint8_t of_product[32] = {31, 30, 3,  29, 2,  17, 7,  28, 1,  9,  11,
                                           16, 6,  14, 27, 23, 0,  4,  18, 8,  10, 12,
                                           15, 24, 5,  19, 13, 25, 20, 26, 21, 22};
    uint32_t bits = h->run_bits;

    return bits ? of_product[(bits & -bits) * 0x077cb531u >> 27] : -1;
}

/* Has t to wait for the first of the ready threads, which are of priority p and less? */
static bool gives_way(const struct hart *h, const struct thread *t, int p)
{
    if (p != (int)t->priority)
        return p > (int)t->priority;
    return !t->slice_left || TAILQ_FIRST(&h->run[p])->slice_left > t->slice_left;
}

/*
 * A straight answer gives the hart to the client without asking the scheduler. So workers whose
 * client should wait for threads of priority p have to answer on the slow path.
 */
static void straight_review(const struct hart *h, struct thread *t, int p)
{
    for (; worker_has_client(t); t = t->client) {
        if (gives_way(h, t->client, p))
            t->attention = 1;
    }
}

void sched_ready(struct thread *t)
{
    struct hart *h = t->hart;

    kassert(!thread_hart_owned(t) && t->state != THREAD_READY);
    t->state = THREAD_READY;
    enqueue(h, t);
    if (h != this_hart()) {
        arch_interrupt_hart(h->id);
    } else if (h->current) {
        if (gives_way(h, h->current, (int)t->priority))
            h->look_again = 1;
        straight_review(h, h->current, (int)t->priority);
    }
}

void sched_remove(struct thread *t)
{
    dequeue(t->hart, t);
    t->state = THREAD_STOPPED;
}

/* Whom t serves on the straight path, at the root of it; itself if that is nobody. */
static inline struct thread *straight_root(struct thread *t)
{
    if (t->serves)
        while (worker_has_client(t))
            t = t->client;
    return t;
}

/*
 * Workers have no floating-point state: while one serves on the straight path, the registers are
 * those of the thread at the root of it, and stay so until a thread of another root comes.
 */
static void fp_enter(struct hart *h, struct thread *t)
{
    if (h->fp_owner == t || !(arch_features & BOOT_HAS_FP))
        return;
    if (h->fp_owner)
        thread_fp_leave(h->fp_owner);
    if (t->fp_valid)
        arch_fp_load(t);
    else
        arch_fp_zero();
    h->fp_owner = t;
}

/*
 * Time is paid for by the thread at the root of all: whom a worker serves, straight or not. Who
 * that is changes only here, so only here time is read; on the straight paths it is the same before
 * and after.
 */
static struct thread *payer_of(struct thread *root)
{
    while (root->served)
        root = straight_root(root->served);
    return root;
}

/* Nobody (NULL): what is idle time so far can be seen at each timer period. */
static inline void pay(struct hart *h, struct thread *next)
{
    if (next && h->payer == next)
        return;
    uint64_t now = arch_time();
    struct thread *last = h->payer;
    if (last) {
        last->paid_ticks += now - h->paid_until;
        *(last->state == THREAD_READY ? &last->switches_ready : &last->switches_waiting) += 1;
    } else {
        h->counter[COUNT_idle_ticks] += now - h->paid_until;
    }
    h->payer = next;
    h->paid_until = now;
}

void sched_payer_ends(const struct thread *t)
{
    for (unsigned i = 0; i < harts_online; i++)
        if (harts[i]->payer == t)
            harts[i]->payer = NULL;
}

uint64_t sched_paid_ticks(const struct thread *t)
{
    uint64_t ticks = t->paid_ticks, now = arch_time();

    for (unsigned i = 0; i < harts_online; i++)
        if (harts[i]->payer == t && harts[i]->paid_until < now)
            ticks += now - harts[i]->paid_until;
    return ticks;
}

/* Run t, which is in no queue. Releases the lock. */
static bool go(struct hart *h, struct thread *t)
{
    struct thread *root = straight_root(t);

    t->state = THREAD_RUNNING;
    if (!t->slice_left)
        t->slice_left = SLICE_PERIODS;
    h->current = t;
    h->look_again = 0;
    count(h, COUNT_switch_thread);
    count(h, COUNT_satp_slow);
    fp_enter(h, root);
    pay(h, payer_of(root));
    if (!t->serves) /* a worker's space is pinned: its value never changes */
        t->satp = space_activate(t->space, h);
    arch_satp_write(t->satp); /* under the lock: after it, what was loaded may be destroyed */
    count(h, COUNT_satp_slow);
    kernel_unlock();
    return resume_full(t);
}

static void tick(struct hart *h)
{
    uint64_t now = arch_time();
    struct thread *t = h->current;

    count(h, COUNT_interrupt_timer);
    timers_run_locked(now);
    watchdog_tick_locked(h, now);
    if (t) {
        struct thread *payer = payer_of(straight_root(t));
        *(payer == t ? &payer->seen_user : &payer->seen_served) += 1;
        count(h, payer == t && !t->serves ? COUNT_tick_user : COUNT_tick_served);
    }
    /* Whoever is served on the straight path pays for it. */
    for (; t; t = worker_has_client(t) ? t->client : NULL)
        if (t->slice_left)
            t->slice_left--;
    sched_timer_start(h);
}

void sched_timer_start(struct hart *h)
{
    uint64_t now = arch_time(), next = timers_next();

    h->timer_next = now + arch_timebase_hz / TIMER_HZ;
    if (next <= now)
        next = now + arch_timebase_hz / OVERDUE_HZ;
    if (next < h->timer_next)
        h->timer_next = next;
    arch_timer_set(h->timer_next);
}

void sched_timer_before(struct hart *h, uint64_t deadline)
{
    if (deadline >= h->timer_next)
        return;
    h->timer_next = deadline;
    arch_timer_set(deadline);
}

void sched_interrupts(struct hart *h)
{
    unsigned kind;
    uint32_t source;

    while ((kind = arch_interrupt_pending()) != ARCH_IRQ_NONE) {
        if (kind == ARCH_IRQ_TIMER) {
            tick(h);
        } else if (kind == ARCH_IRQ_SOFTWARE) {
            count(h, COUNT_interrupt_software);
            thread_stop_wanted(h);
        } else {
            count(h, COUNT_interrupt_external);
            while ((source = arch_source_claim()) != 0)
                interrupt_deliver_locked(source);
        }
    }
    workers_attend_locked(h);
}

/*
 * Nothing to run: offer the time to the memory server, else wait. Lock held before and after.
 * Interrupts are taken in either case: the in-kernel server's idle steps do not leave the kernel.
 */
static void idle(struct hart *h)
{
    struct thread *w = h->idle_worker;

    pay(h, NULL);
    if (h->current || h->space_active) {
        h->current = NULL;
        arch_satp_write(arch_satp_kernel());
        count(h, COUNT_satp_slow);
        space_leave(h);
    }
    if (w && worker_parked(w) && h->idle_mark != hart_events(h) + 1) {
        count(h, COUNT_idle_enter);
        worker_enter_locked(w, ENTER_IDLE, 0);
    } else {
        kernel_unlock();
        arch_wait();
        kernel_lock();
    }
    sched_interrupts(h);
}

bool sched_run(struct hart *h)
{
    for (;;) {
        int p = best_priority(h);
        if (p < 0) {
            idle(h);
            continue;
        }
        struct thread *t = TAILQ_FIRST(&h->run[p]);
        dequeue(h, t);
        if (t->space)
            return go(h, t);
        t->state = THREAD_RUNNING;
        arch_satp_write(arch_satp_kernel()); /* what is loaded may be destroyed meanwhile */
        count(h, COUNT_satp_slow);
        pay(h, payer_of(straight_root(t)));
        kernel_unlock();
        pager_run(t);
        kernel_lock();
    }
}

bool sched_return(struct hart *h, struct thread *t)
{
    int p = best_priority(h);

    kassert(t->state == THREAD_RUNNING && h->current == t);
    h->look_again = 0;
    if (gives_way(h, t, p)) {
        thread_fp_leave(t);
        t->state = THREAD_STOPPED;
        sched_ready(t);
        return sched_run(h);
    }
    if (!t->slice_left)
        t->slice_left = SLICE_PERIODS;
    straight_review(h, t, p);
    kernel_unlock();
    return resume_full(t);
}

/* An interrupt while t ran in user mode; all its registers are saved. */
bool interrupt_enter(struct thread *t)
{
    struct hart *h = this_hart();

    kernel_lock();
    h->current = t;
    t->state = THREAD_RUNNING; /* whatever a straight path left there */
    count(h, COUNT_trap_slow);
    sched_interrupts(h);
    return t->state == THREAD_RUNNING ? sched_return(h, t) : sched_run(h);
}
