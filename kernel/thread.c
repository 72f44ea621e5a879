/*
 * Threads: making, stopping, configuring, binding as workers.
 *
 * Stopping is the delicate part, because a hart-owned thread changes state without a lock. Only its
 * own hart may take it out of such a state: thread_stop() of another hart's thread puts it on that
 * hart's list, interrupts it and answers ERR_AGAIN; the interrupt does it (thread_stop_wanted).
 * The same goes for every worker, whatever its state: its client's state and registers may be its
 * hart's, and that hart's straight paths look at it without a lock. A stopped worker is unbound.
 */
#include "kernel/thread.h"
#include "arch/arch.h"
#include "kernel/assert.h"
#include "kernel/block.h"
#include "kernel/call.h"
#include "kernel/cap.h"
#include "kernel/ipc.h"
#include "kernel/sched.h"
#include "kernel/space.h"
#include <pagoda/batch.h>
#include <string.h>

struct thread thread_nobody = {.client = &thread_nobody, .personality_slot = &thread_no_slot};
struct thread thread_in_kernel = {.client = &thread_nobody};
struct thread *thread_no_slot = &thread_nobody;

void thread_init(struct thread *t, struct hart *hart)
{
    t->hart = hart;
    t->kernel_stack = hart->kernel_stack;
    t->state = THREAD_STOPPED;
    t->pager_slot = &thread_no_slot;
    t->personality_slot = &thread_no_slot;
    t->client = &thread_nobody;
    thread_leaf_forget(t);
}

void thread_route_refresh(struct thread *t)
{
    uint64_t id = t->hart->id;

    t->pager_slot = t->pager.endpoint ? &t->pager.endpoint->straight[id] : &thread_no_slot;
    t->personality_slot =
        t->personality.endpoint ? &t->personality.endpoint->straight[id] : &thread_no_slot;
}

void thread_fp_leave(struct thread *t)
{
    struct hart *h = t->hart;

    if (h != this_hart() || h->fp_owner != t || !arch_fp_dirty())
        return;
    arch_fp_save(t);
    t->fp_valid = 1;
}

/* No hart's registers count as t's any more. */
static void fp_forget(struct thread *t)
{
    for (unsigned i = 0; i < harts_online; i++)
        if (harts[i]->fp_owner == t)
            harts[i]->fp_owner = NULL;
}

/* A stopped worker had somebody's event: it happens again. */
static void client_release(struct thread *w)
{
    struct thread *c = client_of_locked(w);

    w->client = &thread_nobody;
    w->served = NULL;
    if (!c)
        return;
    event_undo_locked(c);
    c->state = THREAD_STOPPED;
    sched_ready(c);
}

/*
 * A thread that this hart owns: if a worker has its event on the straight path, it becomes SERVED;
 * if not, its state is what a straight answer left there (a parked worker's, too), and means
 * RUNNING.
 */
static void settle(struct thread *t)
{
    struct thread *w;

    if (t->state == THREAD_RUNNING)
        return;
    TAILQ_FOREACH(w, &t->hart->workers, bench)
    {
        if (w->client == t) {
            client_of_locked(w);
            return;
        }
    }
    t->state = THREAD_RUNNING;
}

/*
 * w's place is free; on its own hart. Threads of its space that go on here, or that are served on
 * the straight path here, did so by its pin: the space becomes this hart's active one, or they have
 * to pass through the scheduler.
 */
static void worker_unbind(struct thread *w)
{
    struct hart *h = w->hart;
    struct endpoint *e = w->serves;
    struct thread *other;

    kassert(h == this_hart() && e->slot[h->id] == w);
    e->slot[h->id] = e->straight[h->id] = &thread_nobody;
    e->workers--;
    w->serves = NULL;
    w->attention = 0;
    TAILQ_REMOVE(&h->workers, w, bench);
    if (h->idle_worker == w)
        h->idle_worker = NULL;
    if (w->bound)
        w->bound->worker = NULL;
    w->bound = NULL;
    if (w->space) {
        space_unpin(w->space, h);
        if (h->current && h->current->space == w->space)
            space_activate(w->space, h);
        TAILQ_FOREACH(other, &h->workers, bench)
        {
            if (worker_has_client(other))
                other->attention = 1;
        }
    }
    endpoint_rouse_locked(e);
}

void thread_stop_now(struct thread *t)
{
    if (t->stop_wanted)
        TAILQ_REMOVE(&t->hart->stops, t, stop);
    t->stop_wanted = 0;
    if (thread_hart_owned(t))
        settle(t);
    switch ((enum thread_state)t->state) {
    case THREAD_READY:
        sched_remove(t);
        break;
    case THREAD_SERVED:
        t->server->served = NULL;
        event_undo_locked(t);
        break;
    case THREAD_QUEUED:
        TAILQ_REMOVE(&t->event_endpoint->queue, t, run);
        t->event_endpoint = NULL;
        event_undo_locked(t);
        break;
    case THREAD_KEPT:
        reply_forget_locked(t);
        event_undo_locked(t);
        break;
    case THREAD_WAIT:
        TAILQ_REMOVE(&t->waits_for->waiters, t, run);
        t->waits_for = NULL;
        t->x[10] = (uint64_t)-ERR_GONE;
        break;
    case THREAD_RUNNING:
        thread_fp_leave(t);
        break;
    default: /* stopped already */
        break;
    }
    if (t->serves) {
        client_release(t);
        worker_unbind(t);
    }
    t->state = THREAD_STOPPED;
}

long thread_stop(struct thread *t)
{
    struct hart *h = this_hart();

    if ((thread_hart_owned(t) || t->serves) && t->hart != h) {
        if (!t->stop_wanted) {
            t->stop_wanted = 1;
            TAILQ_INSERT_TAIL(&t->hart->stops, t, stop);
        }
        arch_interrupt_hart(t->hart->id);
        return -ERR_AGAIN;
    }
    if (t == h->current && t->state == THREAD_RUNNING)
        return -ERR_BUSY; /* it is making this call; see call_thread_stop */
    if (t == h->pager_thread && !worker_parked(t))
        return -ERR_BUSY;
    thread_stop_now(t);
    return 0;
}

void thread_stop_wanted(struct hart *h)
{
    struct thread *t;

    while ((t = TAILQ_FIRST(&h->stops)) != NULL)
        thread_stop_now(t);
}

static void route_set(struct route *r, struct endpoint *e, uint64_t badge)
{
    if (e)
        e->references++;
    if (r->endpoint)
        r->endpoint->references--;
    r->endpoint = e;
    r->badge = badge;
}

static void space_set(struct thread *t, struct space *s)
{
    if (t->space) {
        TAILQ_REMOVE(&t->space->threads, t, mates);
        t->space->thread_count--;
    }
    t->space = s;
    thread_leaf_forget(t);
    if (s) {
        TAILQ_INSERT_TAIL(&s->threads, t, mates);
        s->thread_count++;
    }
}

static void table_set(struct thread *t, struct table *table)
{
    if (t->table)
        t->table->users--;
    t->table = table;
    t->table_caps = table ? table->caps : NULL;
    t->table_size = table ? table->size : 0;
    if (table)
        table->users++;
}

void thread_unlink(struct thread *t)
{
    kassert(t->state == THREAD_STOPPED && !t->stop_wanted && !t->serves && !t->bound);
    if (t->operation_page)
        block_put_n(t->operation_pfn, 1);
    route_set(&t->pager, NULL, 0);
    route_set(&t->personality, NULL, 0);
    space_set(t, NULL);
    table_set(t, NULL);
    fp_forget(t);
    /* Another hart can have it there only while it is in its scheduler, and waits for the lock. */
    for (unsigned i = 0; i < harts_online; i++)
        if (harts[i]->current == t)
            harts[i]->current = NULL;
    sched_payer_ends(t);
}

/*
 * Make a waiting thread's state the kernel lock's, so that its place can change: an event on the
 * straight path becomes one that was taken on the slow path. -ERR_STATE where that cannot be.
 */
static long thread_hold(struct thread *t)
{
    if (!thread_hart_owned(t))
        return t->state == THREAD_READY ? -ERR_STATE : 0;
    if (t->hart != this_hart() || t->state == THREAD_MESSAGE)
        return -ERR_STATE;
    settle(t);
    return t->state == THREAD_RUNNING ? -ERR_STATE : 0;
}

static long set_route(struct thread *caller, struct route *r, uint64_t slot, uint64_t badge)
{
    long error = 0;
    struct cap *cap = cap_lookup(caller, slot, CAP_ENDPOINT, RIGHT_SERVE, &error);

    if (!cap)
        return -error;
    route_set(r, cap->object, badge);
    return 0;
}

static long set_space(struct thread *caller, struct thread *t, uint64_t slot)
{
    long error = 0;
    struct cap *cap = cap_lookup(caller, slot, CAP_SPACE, RIGHT_MAP, &error);

    if (!cap)
        return -error;
    struct space *s = cap->object;
    if (t->serves)
        return -ERR_STATE;
    if (s->dying)
        return -ERR_GONE;
    /* Whoever lives in the new space gets no registers of the old one. */
    if (t->space && t->space != s) {
        fp_forget(t);
        t->fp_valid = 0;
    }
    space_set(t, s);
    return 0;
}

static long set_table(struct thread *caller, struct thread *t, uint64_t slot)
{
    long error = 0;
    struct cap *cap = cap_lookup(caller, slot, CAP_TABLE, RIGHT_CONTROL, &error);

    if (!cap)
        return -error;
    if (t->serves)
        return -ERR_STATE;
    table_set(t, cap->object);
    return 0;
}

static long set_hart(struct thread *t, uint64_t id)
{
    if (id >= harts_online)
        return -ERR_HART;
    if (t->serves)
        return -ERR_STATE;
    if (t->hart->id == id)
        return 0;
    fp_forget(t);
    if (t->stop_wanted) {
        TAILQ_REMOVE(&t->hart->stops, t, stop);
        t->stop_wanted = 0;
    }
    t->hart = harts[id];
    t->kernel_stack = t->hart->kernel_stack;
    return 0;
}

/* Another thread's floating-point registers, for a copy of that thread. */
static long set_fp(struct thread *caller, struct thread *t, uint64_t slot)
{
    long error = 0;

    if (!slot) {
        fp_forget(t);
        t->fp_valid = 0;
        return 0;
    }
    struct cap *cap = cap_lookup(caller, slot, CAP_THREAD, RIGHT_CONTROL, &error);
    if (!cap)
        return -error;
    struct thread *from = cap->object;
    if (from == t)
        return -ERR_ARGUMENT;
    if ((error = thread_hold(from)) != 0)
        return error;
    if (from->hart->fp_owner == from && from->hart != this_hart())
        return -ERR_STATE; /* they may be in that hart's registers only */
    thread_fp_leave(from);
    fp_forget(t);
    t->fp_valid = from->fp_valid;
    memcpy(t->f, from->f, sizeof(t->f));
    t->fcsr = from->fcsr;
    return 0;
}

static long set_field(struct thread *caller, struct thread *t, struct call_args *c)
{
    switch (c->a[1]) {
    case THREAD_SPACE:
        return set_space(caller, t, c->a[2]);
    case THREAD_TABLE:
        return set_table(caller, t, c->a[2]);
    case THREAD_PAGER:
        return set_route(caller, &t->pager, c->a[2], c->a[3]);
    case THREAD_PERSONALITY:
        return set_route(caller, &t->personality, c->a[2], c->a[3]);
    case THREAD_CALL_MASK:
        if (c->a[2] >= 8)
            return -ERR_ARGUMENT;
        t->call_mask[c->a[2]] = c->a[3];
        return 0;
    case THREAD_PRIORITY:
        if (c->a[2] > PRIORITY_MAX)
            return -ERR_ARGUMENT;
        if (c->a[2] > caller->priority)
            return -ERR_RIGHTS; /* nobody gives more than it has */
        t->priority = c->a[2];
        return 0;
    case THREAD_HART:
        return set_hart(t, c->a[2]);
    case THREAD_FP:
        return set_fp(caller, t, c->a[2]);
    default:
        return -ERR_ARGUMENT;
    }
}

static struct thread *thread_with(struct thread *caller, uint64_t slot, uint8_t rights, long *error)
{
    struct cap *cap = cap_lookup(caller, slot, CAP_THREAD, rights, error);

    *error = -*error;
    return cap ? cap->object : NULL;
}

static struct thread *control(struct thread *caller, uint64_t slot, long *error)
{
    return thread_with(caller, slot, RIGHT_CONTROL, error);
}

long call_thread_set(struct thread *caller, struct call_args *c)
{
    bool place = c->a[1] == THREAD_PRIORITY || c->a[1] == THREAD_HART || c->a[1] == THREAD_FP;
    long error = 0;

    kernel_lock();
    struct thread *t = thread_with(caller, c->a[0], place ? RIGHT_CONTROL : RIGHT_ROUTE, &error);
    if (t)
        error = thread_hold(t);
    if (!error)
        error = set_field(caller, t, c);
    if (!error)
        thread_route_refresh(t);
    kernel_unlock();
    return error;
}

long call_thread_regs(struct thread *caller, struct call_args *c)
{
    long error = 0;
    struct user_regs regs;

    if (c->a[2] && (error = caller_copy_in(caller, &regs, c->a[1], sizeof(regs))) != 0)
        return error;
    kernel_lock();
    struct thread *t = control(caller, c->a[0], &error);
    if (t)
        error = thread_hold(t);
    if (!error && c->a[2]) {
        memcpy(t->x, regs.x, sizeof(regs.x));
        t->regs_written = t->event != EVENT_NONE; /* what it waits for shall not happen again */
    } else if (!error)
        memcpy(regs.x, t->x, sizeof(regs.x));
    kernel_unlock();
    if (!error && !c->a[2])
        error = caller_copy_out(caller, c->a[1], &regs, sizeof(regs));
    return error;
}

long call_thread_start(struct thread *caller, struct call_args *c)
{
    long error = 0;

    kernel_lock();
    struct thread *t = control(caller, c->a[0], &error);
    if (t && (t->state != THREAD_STOPPED || !t->space || t->serves || t->space->dying))
        error = -ERR_STATE;
    if (!error)
        sched_ready(t);
    kernel_unlock();
    return error;
}

long call_thread_stop(struct thread *caller, struct call_args *c)
{
    long error = 0;

    kernel_lock();
    struct thread *t = control(caller, c->a[0], &error);
    if (t == caller && t->space) {
        t->x[10] = 0;
        thread_stop_now(t);
        sched_run(this_hart());
        return 0;
    }
    if (t)
        error = thread_stop(t);
    kernel_unlock();
    return error;
}

long call_thread_time(struct thread *caller, struct call_args *c)
{
    long result = 0;

    kernel_lock();
    const struct thread *t = control(caller, c->a[0], &result);
    if (t) {
        result = (long)sched_paid_ticks(t);
        c->out[0] = t->seen_user;
        c->out[1] = t->seen_served;
    }
    kernel_unlock();
    return result;
}

long call_thread_switches(struct thread *caller, struct call_args *c)
{
    long result = 0;

    kernel_lock();
    const struct thread *t = control(caller, c->a[0], &result);
    if (t) {
        result = (long)t->switches_waiting;
        c->out[0] = t->switches_ready;
    }
    kernel_unlock();
    return result;
}

long call_worker_bind(struct thread *caller, struct call_args *c)
{
    long error = 0;

    kernel_lock();
    struct thread *w = control(caller, c->a[0], &error);
    struct cap *cap = w ? cap_lookup(caller, c->a[1], CAP_ENDPOINT, RIGHT_SERVE, &error) : NULL;
    struct endpoint *e = cap ? cap->object : NULL;
    if (w && !cap)
        error = -error;
    else if (w && (w->state != THREAD_STOPPED || w->serves || (w->space && w->space->dying)))
        error = -ERR_STATE;
    else if (w && !w->space && caller->space)
        error = -ERR_STATE; /* only the in-kernel pager has workers without a space */
    else if (w && e->slot[w->hart->id] != &thread_nobody)
        error = -ERR_OCCUPIED;
    else if (w && (c->a[5] & ~(uint64_t)WORKER_IDLE))
        error = -ERR_ARGUMENT;
    else if (w && (c->a[5] & WORKER_IDLE) && w->hart->idle_worker)
        error = -ERR_OCCUPIED; /* a hart's idle time is one worker's */
    if (!error) {
        w->enter_pc = c->a[2];
        w->enter_sp = c->a[3];
        w->enter_tp = c->a[4];
        w->enter_flags = c->a[5];
        w->serves = e;
        w->attention = !TAILQ_EMPTY(&e->queue);
        if (w->space)
            w->satp = space_pin(w->space, w->hart);
        e->workers++;
        TAILQ_INSERT_TAIL(&w->hart->workers, w, bench);
        if (w->enter_flags & WORKER_IDLE)
            w->hart->idle_worker = w;
        w->state = THREAD_RUNNING;
        w->client = w->space ? NULL : &thread_in_kernel;
        __atomic_store_n(&e->slot[w->hart->id], w, __ATOMIC_RELEASE);
        if (!messages_plain)
            __atomic_store_n(&e->straight[w->hart->id], w, __ATOMIC_RELEASE);
        arch_interrupt_hart(w->hart->id); /* it may have work, or be idle */
    }
    kernel_unlock();
    return error;
}

/* The page counts as mapped, so that its block stays data while the kernel reads it. */
long call_worker_page(struct thread *caller, struct call_args *c)
{
    long error = 0;

    kernel_lock();
    struct thread *w = control(caller, c->a[0], &error);
    struct cap *cap = w ? cap_lookup(caller, c->a[1], CAP_MEMORY, 0, &error) : NULL;
    if (w && !cap)
        error = -error;
    else if (w && c->a[2] >= cap->pages)
        error = -ERR_RANGE;
    else if (w && (cap->rights & RIGHT_IO || !(cap->rights & RIGHT_WRITE)))
        error = -ERR_RIGHTS;
    else if (w && thread_hart_owned(w) && w != caller)
        error = -ERR_STATE;
    else if (w && !block_get_n(cap->first + c->a[2], 1))
        error = -ERR_CLASS;
    if (!error) {
        if (w->operation_page)
            block_put_n(w->operation_pfn, 1);
        w->operation_pfn = cap->first + c->a[2];
        w->operation_page = page_to_virt(w->operation_pfn);
    }
    kernel_unlock();
    return error;
}
