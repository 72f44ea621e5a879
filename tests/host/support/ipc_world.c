/* See ipc_world.h. The check begins with the objects that the directories of tables blocks name. */
#include "ipc_world.h"
#include "ktap.h"

#include "arch/host/tlb.h"
#include "kernel/assert.h"
#include "kernel/call.h"
#include "kernel/pager.h"
#include "kernel/sched.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct ipc_hart ipc_hart[HARTS_MAX];

static uint64_t next_slot, next_page;

#define OBJECTS_MAX 512

static struct objects {
    struct thread *thread[OBJECTS_MAX];
    struct endpoint *endpoint[OBJECTS_MAX];
    struct notification *notification[OBJECTS_MAX];
    struct table *table[OBJECTS_MAX];
    struct space *space[OBJECTS_MAX];
    unsigned threads, endpoints, notifications, tables, spaces;
} objects;

/* Making. */

static void objects_find(void);

/* The kernel's own lists must not name what was in the last world. */
static void world_leave(void)
{
    objects_find();
    for (unsigned i = 0; i < objects.threads; i++) {
        struct thread *t = objects.thread[i];
        machine_hart_select((unsigned)t->hart->id);
        kernel_lock();
        this_hart()->current = NULL;
        if (t->serves)
            EXPECT_EQ(thread_stop(t), 0);
        kernel_unlock();
    }
    machine_hart_select(0);
    kernel_lock();
    while (timers_next() != ~0UL)
        timers_run_locked(~0UL);
    kernel_unlock();
    TAILQ_INIT(&kept_faults);
}

void ipc_start(unsigned harts_wanted)
{
    if (world.thread)
        world_leave();
    world_start(
        &(struct machine_options){.harts = harts_wanted, .asid_bits = 16, .features = BOOT_HAS_FP});
    for (unsigned i = 0; i < HARTS_MAX; i++)
        ipc_hart[i] = (struct ipc_hart){0};
    ipc_hart[0].running = world.thread;
    world.thread->priority = PRIORITY_MAX; /* it may give any, and is not disturbed */
    next_slot = IPC_SLOT;
    next_page = 1;
    EXPECT_EQ(WORLD_CALL(call_block_class, SLOT_MEMORY, 0, BLOCK_TABLES), 0);
    kernel_lock(); /* put on hart 0 by hand: what the scheduler does when it runs it */
    world.thread->satp = space_activate(world.space, harts[0]);
    kernel_unlock();
}

uint64_t ipc_make(enum cap_type type)
{
    uint64_t slot = next_slot++;

    machine_hart_select(0);
    EXPECT_EQ(WORLD_CALL(call_object_create, SLOT_MEMORY, next_page, type, type == CAP_TABLE, slot),
              0);
    next_page += type == CAP_SPACE || type == CAP_TABLE ? 2 : 1;
    return slot;
}

uint64_t ipc_space(void)
{
    struct batch_page *page = world.thread->operation_page;
    uint64_t slot = ipc_make(CAP_SPACE);

    for (unsigned i = 0; i < 2; i++)
        page->op[i] = (struct batch_op){.code = BATCH_TABLE,
                                        .level = (uint8_t)(2 - i),
                                        .memory = SLOT_MEMORY,
                                        .entry = entry_make(world.first + next_page++, 0)};
    EXPECT_EQ(WORLD_CALL(call_batch, slot, 2), 2);
    return slot;
}

void *ipc_object(uint64_t slot)
{
    EXPECT(world_cap(slot)->type > CAP_MEMORY);
    return world_cap(slot)->object;
}

uint64_t ipc_thread(uint64_t space, unsigned hart, unsigned priority)
{
    uint64_t slot = ipc_make(CAP_THREAD);

    EXPECT_EQ(WORLD_CALL(call_thread_set, slot, THREAD_SPACE, space), 0);
    EXPECT_EQ(WORLD_CALL(call_thread_set, slot, THREAD_TABLE, SLOT_TABLE), 0);
    EXPECT_EQ(WORLD_CALL(call_thread_set, slot, THREAD_PRIORITY, priority), 0);
    EXPECT_EQ(WORLD_CALL(call_thread_set, slot, THREAD_HART, hart), 0);
    return slot;
}

uint64_t ipc_client(uint64_t space, unsigned hart, unsigned priority, uint64_t pager,
                    uint64_t personality)
{
    uint64_t slot = ipc_thread(space, hart, priority);

    EXPECT_EQ(WORLD_CALL(call_thread_set, slot, THREAD_PAGER, pager, 0x100 + slot), 0);
    EXPECT_EQ(WORLD_CALL(call_thread_set, slot, THREAD_PERSONALITY, personality, 0x200 + slot), 0);
    EXPECT_EQ(WORLD_CALL(call_thread_start, slot), 0);
    return slot;
}

uint64_t ipc_worker(uint64_t space, unsigned hart, unsigned priority, uint64_t endpoint,
                    uint64_t flags)
{
    uint64_t slot = ipc_thread(space, hart, priority);

    EXPECT_EQ(WORLD_CALL(call_worker_bind, slot, endpoint, IPC_ENTRY, IPC_SP + slot, IPC_TP, flags),
              0);
    machine.hart[hart].software_pending = false; /* nothing waits, and tests count from here */
    return slot;
}

struct ipc_usual ipc;

void ipc_usual(unsigned harts_wanted, unsigned pager_mask, unsigned personality_mask)
{
    ipc_start(harts_wanted);
    ipc = (struct ipc_usual){
        .pager = ipc_make(CAP_ENDPOINT),
        .personality = ipc_make(CAP_ENDPOINT),
        .space = ipc_space(),
    };
    for (unsigned i = 0; i < harts_wanted; i++) {
        if (pager_mask >> i & 1)
            ipc.pager_worker[i] = ipc_worker(SLOT_SPACE, i, 31, ipc.pager, 0);
        if (personality_mask >> i & 1)
            ipc.personality_worker[i] = ipc_worker(SLOT_SPACE, i, 24, ipc.personality, 0);
    }
}

uint64_t ipc_usual_client(unsigned hart)
{
    return ipc_client(ipc.space, hart, 8, ipc.pager, ipc.personality);
}

uint64_t ipc_running_client(unsigned hart)
{
    uint64_t slot = ipc_usual_client(hart);

    if (ipc_hart[hart].running)
        ipc_interrupt(hart);
    else
        ipc_run(hart);
    return slot;
}

void ipc_fill(struct thread *t)
{
    for (unsigned i = 1; i < 32; i++)
        t->x[i] = (uint64_t)t * 64 + i;
    for (unsigned i = 0; i < MESSAGE_WORDS; i++)
        ipc_hart[t->hart->id].message[i] = t->x[18 + i];
}

bool ipc_filled(const struct thread *t, uint64_t except)
{
    for (unsigned i = 1; i < 32; i++)
        if (t->x[i] != (uint64_t)t * 64 + i && !(except >> i & 1))
            return false;
    return true;
}

/* Visits. */

static struct visit {
    long number;
    uint64_t a[6];
} visit;

static void message_save(struct thread *t, unsigned hart)
{
    for (unsigned i = 0; i < MESSAGE_WORDS; i++)
        t->x[18 + i] = ipc_hart[hart].message[i];
}

static void visit_do(unsigned hart, struct thread *t, void (*act)(struct thread *t))
{
    struct ipc_hart *me = &ipc_hart[hart];

    machine_hart_select(hart);
    machine_note_clear();
    me->returned = false;
    machine_idle_caught = true;
    if (setjmp(machine_idle_jump)) {
        ipc_hart[hart].running = NULL;
        machine_hart_select(0);
        return;
    }
    act(t);
    const struct machine_note *note = machine_note();
    EXPECT(!kernel_lock_held());
    EXPECT(note->way != MACHINE_NOWHERE || me->returned);
    if (note->way != MACHINE_NOWHERE) {
        me->returned = false;
        me->running = note->thread;
        if (note->way == MACHINE_RESUME_FULL || note->way == MACHINE_RESUME_SAME)
            for (unsigned i = 0; i < MESSAGE_WORDS; i++)
                me->message[i] = me->running->x[18 + i];
    }
    machine_hart_select(0);
}

static struct thread *runs(unsigned hart)
{
    EXPECT(ipc_hart[hart].running != NULL);
    return ipc_hart[hart].running;
}

static void act_run(struct thread *t)
{
    struct hart *h = this_hart();

    (void)t;
    kernel_lock();
    sched_interrupts(h);
    sched_run(h);
}

void ipc_run(unsigned hart)
{
    EXPECT(ipc_hart[hart].running == NULL);
    visit_do(hart, NULL, act_run);
}

static void act_interrupt(struct thread *t)
{
    interrupt_enter(t);
}

void ipc_interrupt(unsigned hart)
{
    message_save(runs(hart), hart);
    visit_do(hart, runs(hart), act_interrupt);
}

static void act_fault(struct thread *t)
{
    fault_deliver(0, visit.a[0], visit.a[1], t->x[0], 0, 0, t);
}

void ipc_fault(unsigned hart, uint64_t address, uint64_t cause)
{
    visit.a[0] = address;
    visit.a[1] = cause;
    message_save(runs(hart), hart);
    visit_do(hart, runs(hart), act_fault);
}

static void act_foreign(struct thread *t)
{
    t->x[0] += 4;
    call_deliver(t->x[10], t->x[11], t->x[12], t->x[13], t->x[14], t->x[15], t, t->x[17]);
}

void ipc_foreign(unsigned hart, uint64_t number)
{
    runs(hart)->x[17] = number;
    message_save(runs(hart), hart);
    visit_do(hart, runs(hart), act_foreign);
}

/* As trap.S: three numbers try the straight path first, with little saved. */
static void act_native(struct thread *t)
{
    unsigned hart = (unsigned)this_hart()->id;
    const uint64_t *a = visit.a;
    long number = visit.number;
    bool straight = number == CALL_FAULT_REPLY || number == CALL_REPLY_PARK || number == CALL_CALL;

    if (number == CALL_CALL)
        t->x[0] += 4;
    if ((number == CALL_FAULT_REPLY && fault_reply(a[0], a[1], a[2], 0, 0, 0, t)) ||
        (number == CALL_REPLY_PARK && reply_park(a[0], 0, 0, 0, 0, 0, t)) ||
        (number == CALL_CALL && message_call(a[0], 0, 0, 0, 0, 0, t)))
        return;
    EXPECT(!straight || (this_hart()->current == t && t->x[10] == a[0]));
    if (number != CALL_CALL)
        t->x[0] += 4;
    message_save(t, hart);
    long result;
    if (number == CALL_REPLY_BATCH) {
        if (reply_batch(a[0], a[1], a[2], 0, 0, 0, t))
            return;
        EXPECT(this_hart()->current == t && t->x[10] == a[0] && t->x[11] == a[1]);
        struct batch_answer answer =
            reply_batch_full(a[0], a[1], t->x[12], t->x[13], t->x[14], 0, t);
        t->x[11] = (uint64_t)answer.stopped;
        result = answer.performed;
    } else if (number == CALL_REPLY_PUSH || number == CALL_REPLY_POP) {
        if (number == CALL_REPLY_PUSH ? reply_push(a[0], a[1], a[2], a[3], a[4], 0, t)
                                      : reply_pop(a[0], a[1], 0, 0, 0, 0, t))
            return;
        result = (long)t->x[10];
    } else if (number == CALL_FORWARD_PARK && forward_park(a[0], a[1], 0, 0, 0, 0, t)) {
        return;
    } else {
        result = native_call(a[0], a[1], a[2], a[3], a[4], a[5], t, number);
    }
    if (machine_note()->way != MACHINE_NOWHERE)
        return;
    EXPECT(this_hart()->current == t);
    ipc_hart[hart].result = result;
    ipc_hart[hart].returned = true;
    hart_idle(this_hart());
}

long ipc_native(unsigned hart, long number, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3,
                uint64_t a4, uint64_t a5)
{
    visit = (struct visit){.number = number, .a = {a0, a1, a2, a3, a4, a5}};
    visit_do(hart, runs(hart), act_native);
    return ipc_hart[hart].returned ? ipc_hart[hart].result : 0;
}

void ipc_stop(uint64_t slot)
{
    struct thread *t = ipc_t(slot);
    unsigned hart = (unsigned)t->hart->id;
    long error = IPC_BOSS(CALL_THREAD_STOP, slot);

    if (error == -ERR_AGAIN) {
        if (ipc_hart[hart].running)
            ipc_interrupt(hart);
        else
            ipc_run(hart);
        error = IPC_BOSS(CALL_THREAD_STOP, slot);
    }
    EXPECT_EQ(error, 0);
    EXPECT_EQ(t->state, THREAD_STOPPED);
}

/* Checking. */

static const struct thread *check_thread; /* shown with a failure */

#define CHECK(x)                        \
    do {                                \
        if (!(x))                       \
            check_failed(__LINE__, #x); \
    } while (0)

_Noreturn static void check_failed(int line, const char *what)
{
    const struct thread *t = check_thread;

    fprintf(stderr, "# ipc_check, line %d: %s does not hold\n", line, what);
    if (t)
        fprintf(stderr,
                "# thread %p: state %u event %u hart %" PRIu64 " priority %u client %p served %p "
                "server %p attention %" PRIu64 " serves %p\n",
                (const void *)t, t->state, t->event, t->hart->id, t->priority, (void *)t->client,
                (void *)t->served, (void *)t->server, t->attention, (void *)t->serves);
    abort();
}

static void objects_add(void *object, unsigned type)
{
    struct objects *o = &objects;

    CHECK(o->threads < OBJECTS_MAX && o->endpoints < OBJECTS_MAX);
    if (type == CAP_THREAD)
        o->thread[o->threads++] = object;
    else if (type == CAP_ENDPOINT)
        o->endpoint[o->endpoints++] = object;
    else if (type == CAP_NOTIFICATION)
        o->notification[o->notifications++] = object;
    else if (type == CAP_TABLE)
        o->table[o->tables++] = object;
    else
        o->space[o->spaces++] = object;
}

static void objects_find(void)
{
    objects = (struct objects){0};
    objects_add(world.thread, CAP_THREAD);
    objects_add(world.endpoint, CAP_ENDPOINT);
    objects_add(world.table, CAP_TABLE);
    objects_add(world.space, CAP_SPACE);
    for (pfn_t page = world.first; page < world.first + PAGES_PER_BLOCK; page++) {
        const uint64_t *word = page_directory(page);
        if (word && page_word_use(*word) == PAGE_OBJECT)
            objects_add(page_to_virt(page), page_word_detail(*word));
    }
}

static bool is_thread(const struct thread *t)
{
    for (unsigned i = 0; i < objects.threads; i++)
        if (objects.thread[i] == t)
            return true;
    return false;
}

static bool is_endpoint(const struct endpoint *e)
{
    for (unsigned i = 0; i < objects.endpoints; i++)
        if (objects.endpoint[i] == e)
            return true;
    return false;
}

static bool is_notification(const struct notification *n)
{
    for (unsigned i = 0; i < objects.notifications; i++)
        if (objects.notification[i] == n)
            return true;
    return false;
}

/* How often t is in the list that goes by this link. */
#define TIMES_IN(t, head, link)        \
    ({                                 \
        const struct thread *in_;      \
        unsigned n_ = 0;               \
        TAILQ_FOREACH(in_, head, link) \
        {                              \
            CHECK(is_thread(in_));     \
            n_ += in_ == (t);          \
        }                              \
        n_;                            \
    })

/* Who has some of its slice left is before those whose turn is over; of these `over` is the first.
 */
static bool in_order(const struct hart *h, unsigned p)
{
    const struct thread *t, *over = NULL;

    TAILQ_FOREACH(t, &h->run[p], run)
    {
        if (!over && !t->slice_left)
            over = t;
        if (over && t->slice_left)
            return false;
    }
    return h->over[p] == over;
}

static unsigned run_queues_with(const struct thread *t)
{
    unsigned n = 0;

    for (unsigned h = 0; h < harts_online; h++)
        for (unsigned p = 0; p <= PRIORITY_MAX; p++) {
            unsigned in = TIMES_IN(t, &harts[h]->run[p], run);
            CHECK(!in || (t->hart == harts[h] && t->priority == p));
            CHECK(in_order(harts[h], p));
            CHECK(TAILQ_EMPTY(&harts[h]->run[p]) == !(harts[h]->run_bits & PRIORITY_BIT(p)));
            n += in;
        }
    return n;
}

static unsigned endpoint_queues_with(const struct thread *t)
{
    unsigned n = 0;

    for (unsigned i = 0; i < objects.endpoints; i++) {
        unsigned in = TIMES_IN(t, &objects.endpoint[i]->queue, run);
        CHECK(!in || t->event_endpoint == objects.endpoint[i]);
        n += in;
    }
    return n;
}

static unsigned waiters_with(const struct thread *t)
{
    unsigned n = 0;

    for (unsigned i = 0; i < objects.notifications; i++) {
        unsigned in = TIMES_IN(t, &objects.notification[i]->waiters, run);
        CHECK(!in || t->waits_for == objects.notification[i]);
        n += in;
    }
    return n;
}

static void check_lists(const struct thread *t)
{
    unsigned stops = 0, benches = 0;

    CHECK(run_queues_with(t) == (t->state == THREAD_READY));
    CHECK(endpoint_queues_with(t) == (t->state == THREAD_QUEUED));
    CHECK(waiters_with(t) == (t->state == THREAD_WAIT));
    for (unsigned h = 0; h < harts_online; h++) {
        unsigned stop = TIMES_IN(t, &harts[h]->stops, stop);
        unsigned bench = TIMES_IN(t, &harts[h]->workers, bench);
        CHECK((!stop && !bench) || t->hart == harts[h]);
        stops += stop;
        benches += bench;
    }
    CHECK(stops == t->stop_wanted && benches == (t->serves != NULL));
    CHECK(TIMES_IN(t, &kept_faults, kept) == t->watched);
    bool slow = t->state == THREAD_QUEUED || t->state == THREAD_SERVED || t->state == THREAD_KEPT;
    CHECK(slow == (t->event != EVENT_NONE));
    CHECK(t->watched == (slow && t->event == EVENT_FAULT));
    CHECK(slow || !t->regs_written);
}

/* Workers that have t, on the straight path and as taken on the slow one. */
static void check_servers(const struct thread *t)
{
    unsigned straight = 0, served = 0;

    for (unsigned i = 0; i < objects.threads; i++) {
        const struct thread *w = objects.thread[i];
        if (worker_has_client(w) && w->client == t) {
            CHECK(w->hart == t->hart && w->serves);
            straight++;
        }
        if (w->served == t) {
            CHECK(t->server == w && w->serves && !worker_parked(w) && !worker_has_client(w));
            served++;
        }
    }
    bool runs_here = ipc_hart[t->hart->id].running == t;
    bool waits = t->state == THREAD_FAULT || t->state == THREAD_CALL ||
                 t->state == THREAD_MESSAGE || t->state == THREAD_FORWARDED;
    CHECK(straight == (waits && !runs_here && !worker_parked(t)));
    CHECK(served == (t->state == THREAD_SERVED));
    CHECK((t->server != NULL) == (t->state == THREAD_SERVED));
    CHECK((t->reply != NULL) == (t->state == THREAD_KEPT));
    CHECK(!t->reply || (t->reply->type == CAP_REPLY && t->reply->object == t));
    CHECK((t->event_endpoint != NULL) == (t->state == THREAD_QUEUED));
    CHECK((t->waits_for != NULL) == (t->state == THREAD_WAIT));
}

static void check_worker(const struct thread *t)
{
    bool runs_here = ipc_hart[t->hart->id].running == t;

    if (!t->serves) {
        CHECK(t->client == &thread_nobody && !t->served && !t->bound && !t->attention);
        CHECK(t->state != THREAD_RUNNING || runs_here);
        CHECK(t->hart->idle_worker != t);
        return;
    }
    CHECK(is_endpoint(t->serves) && t->serves->slot[t->hart->id] == t);
    CHECK(t->state != THREAD_STOPPED && t->state != THREAD_WAIT);
    CHECK(!t->bound || (is_notification(t->bound) && t->bound->worker == t));
    CHECK(!worker_has_client(t) || (is_thread(t->client) && !t->served));
    if (worker_parked(t)) {
        CHECK((t->client == NULL) == (t->space != NULL));
        CHECK(thread_hart_owned(t) && !runs_here && !t->served);
        CHECK(!t->attention || machine.hart[t->hart->id].software_pending);
    } else {
        CHECK(t->state != THREAD_RUNNING || runs_here);
    }
    CHECK(!t->bound || !t->bound->bits || t->attention);
}

static void check_thread_slots(const struct thread *t)
{
    const struct route *r[] = {&t->pager, &t->personality};
    struct thread **slot[] = {t->pager_slot, t->personality_slot};

    for (unsigned i = 0; i < 2; i++) {
        CHECK(!r[i]->endpoint || is_endpoint(r[i]->endpoint));
        CHECK(slot[i] ==
              (r[i]->endpoint ? &r[i]->endpoint->straight[t->hart->id] : &thread_no_slot));
    }
    CHECK(t->hart == harts[t->hart->id] && t->kernel_stack == t->hart->kernel_stack);
}

/* What a thread remembers of its space's tables is how they are. */
static void check_leaf_cache(const struct thread *t, const struct leaf_cache *leaf)
{
    vaddr_t block = leaf->tag << BLOCK_SHIFT;

    if (leaf->tag == ~0UL)
        return;
    CHECK(t->space && block < space_user_end);
    CHECK(leaf_cached_slot(leaf, block) == space_table(t->space, block, 0));
}

static void check_endpoint(const struct endpoint *e)
{
    const struct thread *t;
    uint64_t workers = 0, references = 0;
    bool told = false;

    for (unsigned h = 0; h < HARTS_MAX; h++) {
        const struct thread *w = e->slot[h];
        CHECK(e->straight[h] == (messages_plain ? &thread_nobody : w));
        if (w == &thread_nobody)
            continue;
        CHECK(h < harts_online && is_thread(w) && w->serves == e && w->hart == harts[h]);
        told |= w->attention != 0;
        workers++;
    }
    for (unsigned i = 0; i < objects.threads; i++)
        references += (uint64_t)(objects.thread[i]->pager.endpoint == e) +
                      (uint64_t)(objects.thread[i]->personality.endpoint == e);
    CHECK(e->workers == workers && e->references == references);
    CHECK(TAILQ_EMPTY(&e->queue) || !workers || told);
    TAILQ_FOREACH(t, &e->queue, run)
    CHECK(e->slot[t->hart->id] == &thread_nobody || e->slot[t->hart->id]->attention || told);
}

static void check_notification(const struct notification *n)
{
    uint64_t references = 0;

    for (unsigned i = 0; i < INTERRUPTS_MAX; i++)
        references += interrupts[i].notification == n;
    CHECK(n->references == references);
    CHECK(!n->worker || (is_thread(n->worker) && n->worker->bound == n));
    CHECK(TAILQ_EMPTY(&n->waiters) || !n->bits);
}

static void check_counts(void)
{
    for (unsigned i = 0; i < objects.tables; i++) {
        uint64_t users = 0;
        for (unsigned k = 0; k < objects.threads; k++)
            users += objects.thread[k]->table == objects.table[i];
        CHECK(users == objects.table[i]->users);
    }
    for (unsigned i = 0; i < objects.spaces; i++)
        for (unsigned h = 0; h < harts_online; h++) {
            const struct space *s = objects.space[i];
            unsigned pins = 0;
            for (unsigned k = 0; k < objects.threads; k++)
                pins += objects.thread[k]->space == s && objects.thread[k]->serves &&
                        objects.thread[k]->hart == harts[h];
            CHECK(s->pins[h] == pins && (s->pinned >> h & 1) == (pins > 0));
        }
}

/* A better thread that is ready will be noticed: before a straight client, or by an interrupt. */
static void check_preemption(unsigned hart)
{
    const struct hart *h = harts[hart];
    const struct thread *t = ipc_hart[hart].running;
    int best = h->run_bits ? 31 - __builtin_ctz(h->run_bits) : -1;

    if (machine.hart[hart].software_pending || best < 0)
        return;
    CHECK(t != NULL && best <= (int)t->priority);
    for (check_thread = t; worker_has_client(check_thread); check_thread = check_thread->client)
        CHECK(best <= (int)check_thread->client->priority || check_thread->attention);
}

static void check_hart(unsigned hart)
{
    const struct hart *h = harts[hart];
    const struct thread *t = ipc_hart[hart].running;

    CHECK(!h->busy);
    CHECK(!t || !h->look_again || machine.hart[hart].software_pending);
    CHECK(!h->current || is_thread(h->current));
    CHECK(!h->payer || is_thread(h->payer));
    CHECK(!h->idle_worker || is_thread(h->idle_worker));
    CHECK(!h->fp_owner || (is_thread(h->fp_owner) && h->fp_owner->hart == h));
    check_preemption(hart);
    check_thread = t;
    if (t == NULL) {
        CHECK(h->current == NULL && h->space_active == NULL && tlb_satp(hart) == 0);
        return;
    }
    CHECK(is_thread(t) && t->hart == h && thread_hart_owned(t) && !worker_parked(t));
    CHECK(t->space->running >> hart & 1);
    CHECK(satp_root(tlb_satp(hart)) == t->space->root_pfn);
    if (t != world.thread) {
        while (worker_has_client(t)) {
            t = t->client;
            CHECK(t->space->running >> hart & 1 || check_thread->attention);
        }
        CHECK(t->serves || h->fp_owner == t);
    }
}

static void check_interrupts(void)
{
    for (unsigned i = 0; i < INTERRUPTS_MAX; i++) {
        CHECK(!interrupts[i].notification || is_notification(interrupts[i].notification));
        CHECK(machine_source_in_service(i) == (interrupts[i].in_service != 0));
    }
}

void ipc_check(void)
{
    objects_find();
    check_thread = NULL;
    for (unsigned i = 0; i < objects.threads; i++) {
        check_thread = objects.thread[i];
        check_lists(check_thread);
        check_servers(check_thread);
        check_worker(check_thread);
        check_thread_slots(check_thread);
        check_leaf_cache(check_thread, &check_thread->leaf);
        check_leaf_cache(check_thread, &check_thread->aside);
    }
    check_thread = NULL;
    for (unsigned i = 0; i < objects.endpoints; i++)
        check_endpoint(objects.endpoint[i]);
    for (unsigned i = 0; i < objects.notifications; i++)
        check_notification(objects.notification[i]);
    check_counts();
    check_interrupts();
    for (unsigned h = 0; h < harts_online; h++) {
        check_thread = NULL;
        check_hart(h);
    }
    world_check();
}
