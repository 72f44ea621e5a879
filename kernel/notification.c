/*
 * Notifications: a word of signal bits, its waiters, the worker that its signals enter, and its
 * timer. All under the kernel lock. Timers stand in one tree by deadline.
 */
#include "kernel/ipc.h"
#include "arch/arch.h"
#include "kernel/assert.h"
#include "kernel/call.h"
#include "kernel/cap.h"
#include "kernel/sched.h"

#define WOKEN_PER_CALL  64 /* waiters, when their notification goes */
#define TIMERS_PER_TICK 64 /* those left over are due at once in the next */

static int timer_compare(struct notification *a, struct notification *b)
{
    if (a->timer_deadline != b->timer_deadline)
        return a->timer_deadline < b->timer_deadline ? -1 : 1;
    return (a > b) - (a < b);
}

RB_HEAD(timer_tree, notification);
RB_GENERATE_STATIC(timer_tree, notification, timer, timer_compare)

static struct timer_tree timers = RB_INITIALIZER(&timers);

void notification_init(struct notification *n)
{
    TAILQ_INIT(&n->waiters);
}

static void timer_cancel(struct notification *n)
{
    if (n->timer_deadline)
        RB_REMOVE(timer_tree, &timers, n);
    n->timer_deadline = 0;
}

/* The first waiter gets all bits. */
static void wake_one(struct notification *n)
{
    struct thread *t = TAILQ_FIRST(&n->waiters);

    TAILQ_REMOVE(&n->waiters, t, run);
    t->waits_for = NULL;
    t->x[10] = 0;
    t->x[11] = n->bits;
    n->bits = 0;
    t->state = THREAD_STOPPED;
    sched_ready(t);
}

void notification_signal_locked(struct notification *n, uint64_t bits)
{
    struct thread *w = n->worker;

    n->bits |= bits;
    if (!n->bits)
        return;
    if (!TAILQ_EMPTY(&n->waiters)) {
        wake_one(n);
    } else if (w) {
        __atomic_store_n(&w->attention, 1, __ATOMIC_SEQ_CST);
        if (w->hart != this_hart())
            arch_interrupt_hart(w->hart->id);
        else if (worker_parked(w))
            worker_attend_locked(w);
    }
}

long notification_destroy(struct notification *n)
{
    struct thread *t;
    unsigned woken = 0;

    if (n->references)
        return -ERR_BUSY;
    timer_cancel(n);
    while ((t = TAILQ_FIRST(&n->waiters)) != NULL) {
        if (woken++ == WOKEN_PER_CALL)
            return -ERR_AGAIN;
        wake_one(n);
        t->x[10] = (uint64_t)-ERR_GONE;
    }
    if (n->worker)
        n->worker->bound = NULL;
    return 0;
}

uint64_t timers_next(void)
{
    struct notification *n = RB_MIN(timer_tree, &timers);

    return n ? n->timer_deadline : ~0UL;
}

void timers_run_locked(uint64_t now)
{
    struct notification *n;

    for (unsigned i = 0; i < TIMERS_PER_TICK; i++) {
        n = RB_MIN(timer_tree, &timers);
        if (n == NULL || n->timer_deadline > now)
            break;
        timer_cancel(n);
        notification_signal_locked(n, n->timer_bits);
    }
}

uint64_t notification_allowed(const struct cap *cap)
{
    return cap->badge ? cap->badge : ~0UL;
}

long call_signal(struct thread *t, struct call_args *c)
{
    long error = 0;

    kernel_lock();
    struct cap *cap = cap_lookup(t, c->a[0], CAP_NOTIFICATION, RIGHT_SIGNAL, &error);
    if (!cap)
        error = -error;
    else if (c->a[1] & ~notification_allowed(cap))
        error = -ERR_ARGUMENT;
    else
        notification_signal_locked(cap->object, c->a[1]);
    kernel_unlock();
    return error;
}

/* Kernel lock held. 0: t waits, or has its bits in x[11] and still runs (*done). */
long notification_wait_locked(struct thread *t, uint64_t slot, bool *done)
{
    long error = 0;
    struct cap *cap = cap_lookup(t, slot, CAP_NOTIFICATION, RIGHT_WAIT, &error);

    if (!cap)
        return -error;
    if (t->serves || !t->space)
        return -ERR_WORKER;
    struct notification *n = cap->object;
    *done = n->bits != 0;
    if (n->bits) {
        t->x[11] = n->bits;
        n->bits = 0;
        return 0;
    }
    thread_fp_leave(t);
    t->state = THREAD_WAIT;
    t->waits_for = n;
    TAILQ_INSERT_TAIL(&n->waiters, t, run);
    return 0;
}

long call_notification_bind(struct thread *t, struct call_args *c)
{
    long error = 0;

    kernel_lock();
    struct cap *cap = cap_lookup(t, c->a[0], CAP_NOTIFICATION, RIGHT_WAIT, &error);
    struct cap *worker = cap ? cap_lookup(t, c->a[1], CAP_THREAD, RIGHT_CONTROL, &error) : NULL;
    struct notification *n = cap ? cap->object : NULL;
    struct thread *w = worker ? worker->object : NULL;
    if (!worker)
        error = -error;
    else if (!w->serves)
        error = -ERR_WORKER;
    else if (n->worker || w->bound)
        error = -ERR_BUSY;
    else {
        n->worker = w;
        w->bound = n;
        notification_signal_locked(n, 0); /* bits that were there already */
    }
    kernel_unlock();
    return error;
}

long call_timer_set(struct thread *t, struct call_args *c)
{
    long error = 0;

    kernel_lock();
    struct cap *cap = cap_lookup(t, c->a[0], CAP_NOTIFICATION, RIGHT_SIGNAL, &error);
    if (!cap)
        error = -error;
    else if (c->a[2] & ~notification_allowed(cap))
        error = -ERR_ARGUMENT;
    else {
        struct notification *n = cap->object;
        timer_cancel(n);
        n->timer_bits = c->a[2];
        n->timer_deadline = c->a[1];
        if (n->timer_deadline) {
            RB_INSERT(timer_tree, &timers, n);
            sched_timer_before(this_hart(), n->timer_deadline);
        }
    }
    kernel_unlock();
    return error;
}
