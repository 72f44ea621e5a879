/*
 * Events off the straight path: no worker is parked here, the answer is kept, the event is handed
 * on, a worker has more than one thing to do. All under the kernel lock.
 *
 * The life of an event:
 *   1. its thread has everything saved in x[]; event and info say what happened
 *   2. QUEUED at an endpoint; workers that could take it get `attention`
 *   3. SERVED: a worker took it; the worker's registers hold the message and it is READY
 *   4. answered: the thread is READY; or KEPT: a Reply capability names it, and 4. comes later
 * Whoever stops or loses the worker or the Reply in between has the event undone, so that it
 * happens again: nobody is ever given a page because a pager died.
 *
 * No wake-up is lost: attention is set before a worker is looked at; a worker of this hart that is
 * not parked looks at its own attention when it parks; one of another hart gets an interrupt, which
 * is taken either before it parks (it then sees attention) or after (the interrupt attends to it).
 */
#include "kernel/ipc.h"
#include "arch/arch.h"
#include "kernel/block.h"
#include "kernel/call.h"
#include "kernel/cap.h"
#include "kernel/assert.h"
#include "kernel/crash.h"
#include "kernel/log.h"
#include "kernel/sched.h"
#include "kernel/space.h"

struct thread_list kept_faults = TAILQ_HEAD_INITIALIZER(kept_faults);

#define UNROUTED_SAID_MAX 64

/* Nobody is there to take t's event. For the memory server that is the end of the machine. */
static void unrouted(struct thread *t)
{
    static unsigned said;

    if (space_server && t->space == space_server)
        crash_server(t);
    if (said++ < UNROUTED_SAID_MAX)
        kprintf("pagoda: thread %p stopped: event %u (cause %lu, address 0x%lx, pc 0x%lx) has no "
                "route\n",
                (void *)t, (unsigned)t->event, (ulong)t->fault_cause, (ulong)t->fault_address,
                (ulong)t->x[0]);
    event_undo_locked(t);
    t->state = THREAD_RUNNING;
    thread_stop_now(t);
}

static void message_pass(struct thread *to, const struct thread *from)
{
    for (unsigned i = 18; i <= 23; i++) /* s2..s7 */
        to->x[i] = from->x[i];
}

void worker_enter_locked(struct thread *w, enum enter_kind kind, uint64_t a0)
{
    kassert(worker_parked(w) && w->hart == this_hart());
    for (unsigned i = 0; i < 32; i++)
        w->x[i] = 0;
    w->x[0] = w->enter_pc + 16 * kind;
    w->x[2] = w->enter_sp;
    w->x[4] = w->enter_tp;
    w->x[10] = a0;
    w->enter_kind = kind;
    w->client = &thread_nobody;
    w->served = NULL;
    w->state = THREAD_STOPPED;
    sched_ready(w);
}

static void worker_take(struct thread *w, struct thread *t)
{
    TAILQ_REMOVE(&t->event_endpoint->queue, t, run);
    t->event_endpoint = NULL;
    switch (t->event) {
    case EVENT_FAULT:
        worker_enter_locked(w, ENTER_FAULT, t->event_badge);
        w->x[11] = t->fault_address;
        w->x[12] = t->fault_cause;
        w->x[13] = t->x[0];
        w->x[14] = this_hart()->counter[COUNT_fault_fast] + this_hart()->counter[COUNT_trap_slow];
        w->x[15] = t->info[0];
        w->x[16] = t->info[1];
        w->x[17] = t->x[2];
        break;
    case EVENT_CALL:
        worker_enter_locked(w, ENTER_CALL, t->x[10]);
        for (unsigned i = 11; i <= 15; i++)
            w->x[i] = t->x[i];
        w->x[16] = t->event_badge;
        w->x[17] = t->x[17];
        break;
    default:
        worker_enter_locked(w, ENTER_MESSAGE, t->event_badge);
        message_pass(w, t);
    }
    t->state = THREAD_SERVED;
    t->server = w;
    w->served = t;
}

void worker_attend_locked(struct thread *w)
{
    struct notification *n = w->bound;
    struct thread *t = TAILQ_FIRST(&w->serves->queue);

    kassert(worker_parked(w));
    if (n && n->bits) {
        uint64_t bits = n->bits;
        n->bits = 0;
        worker_enter_locked(w, ENTER_SIGNAL, bits);
    } else if (t) {
        worker_take(w, t);
    }
    w->attention = (n && n->bits) || !TAILQ_EMPTY(&w->serves->queue);
}

void workers_attend_locked(struct hart *h)
{
    struct thread *w;

    TAILQ_FOREACH(w, &h->workers, bench)
    if (w->attention && worker_parked(w))
        worker_attend_locked(w);
}

void worker_park_locked(struct thread *w)
{
    w->served = NULL;
    w->state = THREAD_RUNNING;
    w->client = w->space ? NULL : &thread_in_kernel;
    if (w->attention)
        worker_attend_locked(w);
}

void endpoint_rouse_locked(struct endpoint *e)
{
    if (TAILQ_EMPTY(&e->queue))
        return;
    for (unsigned i = 0; i < harts_online; i++) {
        if (e->slot[i] == &thread_nobody)
            continue;
        __atomic_store_n(&e->slot[i]->attention, 1, __ATOMIC_SEQ_CST);
        arch_interrupt_hart(i);
    }
}

/* t's event is off the straight path from now on: the watchdog looks at it. */
static void watch(struct thread *t)
{
    t->waiting_since = arch_time();
    t->watchdog_said = 0;
    if (t->event == EVENT_FAULT && !t->watched) {
        t->watched = 1;
        TAILQ_INSERT_TAIL(&kept_faults, t, kept);
    }
}

void event_deliver_locked(struct thread *t, struct endpoint *e, uint64_t badge)
{
    struct hart *h = this_hart();
    struct thread *w = e->slot[h->id];

    t->event_badge = badge;
    t->event_endpoint = e;
    t->server = NULL;
    t->state = THREAD_QUEUED;
    watch(t);
    TAILQ_INSERT_TAIL(&e->queue, t, run);
    if (w != &thread_nobody) {
        w->attention = 1;
        if (worker_parked(w))
            worker_attend_locked(w);
        return;
    }
    endpoint_rouse_locked(e);
}

/* t's event was answered or undone. */
static void event_end(struct thread *t)
{
    if (t->watched)
        TAILQ_REMOVE(&kept_faults, t, kept);
    t->watched = 0;
    t->regs_written = 0;
    t->event = EVENT_NONE;
    t->server = NULL;
}

void event_undo_locked(struct thread *t)
{
    if (t->event == EVENT_CALL && !t->regs_written)
        t->x[0] -= 4; /* the ecall happens again */
    else if (t->event == EVENT_MESSAGE && !t->regs_written)
        t->x[10] = (uint64_t)-ERR_GONE;
    event_end(t);
}

void reply_abandon_locked(struct thread *t)
{
    kassert(t->state == THREAD_KEPT);
    t->reply = NULL;
    event_undo_locked(t);
    t->state = THREAD_STOPPED;
    sched_ready(t);
}

bool fault_deliver_slow(struct thread *t)
{
    struct hart *h = this_hart();
    bool page = t->fault_cause == CAUSE_FETCH_PAGE || t->fault_cause == CAUSE_LOAD_PAGE ||
                t->fault_cause == CAUSE_STORE_PAGE;
    struct route *r = page ? &t->pager : &t->personality;

    kernel_lock();
    h->current = t;
    count(h, COUNT_trap_slow);
    hart_trace(h, t->fault_cause, t->x[0], t->fault_address);
    thread_fp_leave(t);
    t->event = EVENT_FAULT;
    t->info[0] = t->info[1] = 0;
    if (r->endpoint)
        event_deliver_locked(t, r->endpoint, r->badge);
    else
        unrouted(t);
    return sched_run(h);
}

bool call_deliver_slow(struct thread *t, bool pager)
{
    struct hart *h = this_hart();
    struct route *r = pager ? &t->pager : &t->personality;

    kernel_lock();
    h->current = t;
    count(h, COUNT_trap_slow);
    thread_fp_leave(t);
    t->event = EVENT_CALL;
    if (r->endpoint)
        event_deliver_locked(t, r->endpoint, r->badge);
    else
        unrouted(t);
    return sched_run(h);
}

struct thread *client_of_locked(struct thread *w)
{
    struct thread *c = w->client;

    if (!worker_has_client(w))
        return w->served;
    kassert(c->hart == this_hart() && thread_hart_owned(c));
    thread_fp_leave(c);
    c->event = c->state == THREAD_FORWARDED ? EVENT_FAULT : c->state;
    c->info[0] = c->info[1] = 0;
    c->server = w;
    c->state = THREAD_SERVED;
    watch(c);
    w->client = &thread_nobody;
    w->served = c;
    return c;
}

static void client_go(struct thread *c)
{
    event_end(c);
    c->state = THREAD_STOPPED;
    sched_ready(c);
}

/*
 * Decode and perform the mapping of a fault reply; nothing has changed unless it answers 0. The
 * space is not locked, as on the straight path: tables come and go under the kernel lock too, and
 * c keeps its space in being.
 */
static long map_for(struct thread *w, struct thread *c, uint64_t entry, uint64_t memory)
{
    bool rights = memory & REPLY_RIGHTS;
    long error = 0;
    struct cap *cap =
        cap_lookup(w, memory & ~(REPLY_RIGHTS | REPLY_REPLACE), CAP_MEMORY, 0, &error);

    if (!cap)
        return -error;
    if (memory & REPLY_REPLACE) /* goes straight, or by a batch */
        return -ERR_AGAIN;
    entry |= ENTRY_ALWAYS;
    if ((entry & (cap->forbid | ENTRY_N)) || entry_pbmt_reserved(entry)) /* runs: by a batch */
        return -ERR_ENTRY;
    if (entry_page(entry) - cap->first >= cap->pages)
        return -ERR_RANGE;
    if (!c->space)
        return -ERR_STATE;
    vaddr_t address = c->fault_address;
    if (address >= space_user_end || space_in_linear(c->space, address, 1))
        return -ERR_RANGE;
    if (!space_leaf_find(c, address))
        return -ERR_NOTABLE;
    uint64_t *slot = thread_leaf_slot(c, address);
    if (rights)
        return reply_rights_add(c, slot, entry) ? 0 : *slot ? -ERR_MAPPED : -ERR_UNMAPPED;
    if (*slot)
        error = -ERR_MAPPED;
    else if (!block_get(entry_page(entry)))
        error = -ERR_CLASS;
    else {
        uint64_t empty = 0;
        if (!__atomic_compare_exchange_n(slot, &empty, entry, false, __ATOMIC_RELEASE,
                                         __ATOMIC_RELAXED)) {
            block_put_n(entry_page(entry), 1);
            error = -ERR_MAPPED;
        }
    }
    return error;
}

long fault_reply_locked(struct thread *w, uint64_t entry, uint64_t memory)
{
    struct thread *c = client_of_locked(w);

    /* Only its pager may map: the personality gets faults too, but decides no mapping. */
    if (!c || c->event != EVENT_FAULT || w->serves != c->pager.endpoint)
        return -ERR_CLIENT;
    long error = map_for(w, c, entry, memory);
    if (error)
        return error;
    client_go(c);
    worker_park_locked(w);
    return 0;
}

static long reply(struct thread *w, uint64_t value, bool last)
{
    struct thread *c = client_of_locked(w);

    if (!c)
        return -ERR_CLIENT;
    if (c->event == EVENT_FAULT && value)
        return -ERR_ARGUMENT;
    if (c->event != EVENT_FAULT)
        c->x[10] = value;
    if (c->event == EVENT_MESSAGE)
        message_pass(c, w);
    if (last)
        c->slice_left = 0;
    client_go(c);
    worker_park_locked(w);
    return 0;
}

long reply_park_locked(struct thread *w, uint64_t value)
{
    return reply(w, value, false);
}

long reply_last_locked(struct thread *w, uint64_t value)
{
    return reply(w, value, true);
}

long forward_park_locked(struct thread *w, uint64_t info0, uint64_t info1)
{
    struct thread *c = client_of_locked(w);

    if (!c || c->event == EVENT_MESSAGE)
        return -ERR_CLIENT;
    if (!c->personality.endpoint || c->personality.endpoint == w->serves)
        return -ERR_GONE;
    c->info[0] = info0;
    c->info[1] = info1;
    worker_park_locked(w);
    event_deliver_locked(c, c->personality.endpoint, c->personality.badge);
    return 0;
}

long park_locked(struct thread *w, uint64_t more)
{
    struct hart *h = this_hart();

    if (!w->serves)
        return -ERR_WORKER;
    if (client_of_locked(w))
        return -ERR_CLIENT;
    if (h->idle_worker == w && w->enter_kind == ENTER_IDLE)
        h->idle_mark = more ? 0 : hart_events(h) + 1;
    worker_park_locked(w);
    return 0;
}

long message_call_locked(struct thread *t, uint64_t slot)
{
    long error = 0;
    struct cap *cap = cap_lookup(t, slot, CAP_ENDPOINT, RIGHT_CALL, &error);

    if (!cap)
        return -error;
    if (t->serves)
        return -ERR_WORKER;
    thread_fp_leave(t);
    t->event = EVENT_MESSAGE;
    event_deliver_locked(t, cap->object, cap->badge);
    return 0;
}

long call_reply_keep(struct thread *w, struct call_args *a)
{
    long error = 0;

    kernel_lock();
    struct cap *cap = cap_entry(w, SELF_TABLE, a->a[0], &error);
    struct thread *c = client_of_locked(w);
    if (!cap)
        error = -error;
    else if (cap->type != CAP_NONE)
        error = -ERR_OCCUPIED;
    else if (!c)
        error = -ERR_CLIENT;
    if (!error) {
        w->served = NULL;
        c->server = NULL;
        c->state = THREAD_KEPT;
        watch(c);
        c->reply = cap;
        cap_fill_object(cap, NULL, CAP_REPLY, c, 0, 0, false);
        count(this_hart(), COUNT_deferred);
    }
    kernel_unlock();
    return error;
}

long call_reply_send(struct thread *t, struct call_args *a)
{
    long error = 0;

    kernel_lock();
    struct cap *cap = cap_lookup(t, a->a[0], CAP_REPLY, 0, &error);
    struct thread *c = cap ? cap->object : NULL;
    if (!cap)
        error = -error;
    else if (c->event == EVENT_FAULT && a->a[1])
        error = -ERR_ARGUMENT;
    if (!error) {
        kassert(c->state == THREAD_KEPT && c->reply == cap);
        c->reply = NULL;
        cap_clear(cap);
        if (c->event != EVENT_FAULT)
            c->x[10] = a->a[1];
        if (c->event == EVENT_MESSAGE)
            message_pass(c, t);
        if (a->a[2])
            c->slice_left = 0;
        client_go(c);
    }
    kernel_unlock();
    return error;
}

/* thread.c: t, KEPT, is being stopped. */
void reply_forget_locked(struct thread *t)
{
    cap_clear(t->reply);
    t->reply = NULL;
}
