/* Threads: started, stopped in every state from either side, configured, moved, bound, destroyed.
 */
#include "ipc_world.h"
#include "ktap.h"

#include "kernel/sched.h"
#include <string.h>

#define REPLY (IPC_SLOT + 200)
#define PC    0x4000UL

static struct thread *running(unsigned hart)
{
    return ipc_hart[hart].running;
}

/*
 * A victim on hart 1 in each state that a thread can be in when somebody stops it. Who stops is
 * hart 0, or, where something else runs on hart 1, that.
 */
enum victim {
    V_STOPPED,
    V_READY,
    V_PREEMPTED, /* READY with all its registers */
    V_RUNNING,
    V_AFTER_FAULT, /* in user mode after a straight answer */
    V_FAULT,
    V_CALL,
    V_MESSAGE,
    V_QUEUED_FAULT,
    V_QUEUED_CALL,
    V_QUEUED_MESSAGE,
    V_SERVED_FAULT,
    V_SERVED_CALL,
    V_SERVED_MESSAGE,
    V_KEPT,
    V_WAIT,
    VICTIMS
};

static uint64_t victim_slot, lone; /* an endpoint without workers */

static void victim_event(unsigned kind)
{
    if (kind == 0)
        ipc_fault(1, IPC_ADDRESS, CAUSE_LOAD_PAGE);
    else if (kind == 1)
        ipc_foreign(1, 1024);
    else
        IPC_NATIVE(1, CALL_CALL, ipc.pager);
}

static void victim_queue(unsigned kind)
{
    if (kind < 2) {
        ipc_stop(victim_slot);
        EXPECT_EQ(IPC_BOSS(CALL_THREAD_SET, victim_slot, THREAD_PAGER, lone, 1), 0);
        EXPECT_EQ(IPC_BOSS(CALL_THREAD_START, victim_slot), 0);
        ipc_run(1);
        victim_event(kind);
    } else {
        IPC_NATIVE(1, CALL_CALL, lone);
    }
}

static void better_thread(void)
{
    ipc_client(ipc.space, 1, 12, ipc.pager, ipc.personality);
    ipc_interrupt(1);
}

static void victim_make(enum victim v)
{
    ipc_usual(2, 2, 2);
    lone = ipc_make(CAP_ENDPOINT);
    victim_slot = ipc_usual_client(1);
    struct thread *c = ipc_t(victim_slot);
    if (v == V_READY)
        return;
    ipc_run(1);
    EXPECT(running(1) == c);
    ipc_fill(c);
    c->x[0] = PC;
    if (v == V_STOPPED)
        ipc_stop(victim_slot);
    else if (v == V_PREEMPTED)
        better_thread();
    else if (v == V_AFTER_FAULT) {
        victim_event(0);
        IPC_NATIVE(1, CALL_REPLY_PARK, 0);
    } else if (v >= V_FAULT && v <= V_MESSAGE)
        victim_event(v - V_FAULT);
    else if (v >= V_QUEUED_FAULT && v <= V_QUEUED_MESSAGE)
        victim_queue(v - V_QUEUED_FAULT);
    else if (v >= V_SERVED_FAULT && v <= V_SERVED_MESSAGE) {
        victim_event(v - V_SERVED_FAULT);
        EXPECT_EQ(IPC_NATIVE(1, CALL_PARK), -ERR_CLIENT);
    } else if (v == V_KEPT) {
        victim_event(1);
        EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_KEEP, REPLY), 0);
    } else if (v == V_WAIT) {
        uint64_t n = ipc_make(CAP_NOTIFICATION);
        IPC_NATIVE(1, CALL_WAIT, n);
        EXPECT_EQ(c->state, THREAD_WAIT);
    }
}

/* What a victim that was stopped finds when it is started again. */
static void victim_as_left(enum victim v)
{
    const struct thread *c = ipc_t(victim_slot);
    bool message = v == V_MESSAGE || v == V_QUEUED_MESSAGE || v == V_SERVED_MESSAGE || v == V_WAIT;

    EXPECT(c->state == THREAD_STOPPED && c->event == EVENT_NONE);
    if (v == V_READY)
        return;
    EXPECT_EQ(c->x[0], message ? PC + 4 : PC);
    if (message)
        EXPECT_EQ(c->x[10], -ERR_GONE);
    else
        EXPECT(ipc_filled(c, 1 << 17));
}

static bool hart_owned(enum victim v)
{
    return v >= V_RUNNING && v <= V_MESSAGE;
}

KTAP_CASE(stopped_from_another_hart_in_every_state)
{
    for (enum victim v = 0; v < VICTIMS; v++) {
        victim_make(v);
        ipc_check();
        long error = IPC_BOSS(CALL_THREAD_STOP, victim_slot);
        EXPECT_EQ(error, hart_owned(v) ? -ERR_AGAIN : 0);
        ipc_check();
        if (error) {
            EXPECT_EQ(IPC_BOSS(CALL_THREAD_STOP, victim_slot), -ERR_AGAIN);
            ipc_check();
            ipc_interrupt(1);
            EXPECT_EQ(ipc_t(victim_slot)->state, THREAD_STOPPED);
            ipc_check();
            EXPECT_EQ(IPC_BOSS(CALL_THREAD_STOP, victim_slot), 0);
        }
        victim_as_left(v);
        ipc_check();
        EXPECT_EQ(IPC_BOSS(CALL_THREAD_START, victim_slot), 0);
        ipc_check();
    }
}

KTAP_CASE(stopped_from_its_own_hart_in_every_state)
{
    for (enum victim v = 0; v < VICTIMS; v++) {
        if (v == V_RUNNING || v == V_AFTER_FAULT)
            continue; /* only it itself */
        victim_make(v);
        if (running(1) == NULL || v == V_READY) {
            uint64_t other = ipc_client(ipc.space, 1, 13, ipc.pager, ipc.personality);
            ipc_run(1);
            EXPECT(running(1) == ipc_t(other));
        }
        struct thread *by = running(1);
        EXPECT_EQ(IPC_NATIVE(1, CALL_THREAD_STOP, victim_slot), 0);
        EXPECT(running(1) == by);
        victim_as_left(v);
        ipc_check();
        EXPECT_EQ(IPC_NATIVE(1, CALL_THREAD_STOP, victim_slot), 0); /* again is nothing */
        EXPECT_EQ(IPC_NATIVE(1, CALL_THREAD_START, victim_slot), 0);
        ipc_check();
    }
}

KTAP_CASE(destroyed_in_every_state)
{
    for (unsigned here = 0; here < 2; here++)
        for (enum victim v = 0; v < VICTIMS; v++) {
            victim_make(v);
            bool busy = here && running(1) == ipc_t(victim_slot);
            if (here && running(1) == NULL) {
                ipc_client(ipc.space, 1, 13, ipc.pager, ipc.personality);
                ipc_run(1);
            }
            long error = IPC_NATIVE(here, CALL_CAP_DELETE, SELF_TABLE, victim_slot);
            EXPECT_EQ(error, busy ? -ERR_BUSY : !here && hart_owned(v) ? -ERR_AGAIN : 0);
            ipc_check();
            if (error == -ERR_AGAIN) {
                ipc_interrupt(1);
                ipc_check();
                EXPECT_EQ(IPC_BOSS(CALL_CAP_DELETE, SELF_TABLE, victim_slot), 0);
            }
            EXPECT(busy || world_cap(victim_slot)->type == CAP_NONE);
            ipc_check();
        }
}

KTAP_CASE(a_thread_stops_itself)
{
    victim_make(V_RUNNING);
    struct thread *c = running(1);
    IPC_NATIVE(1, CALL_THREAD_STOP, victim_slot);
    EXPECT(running(1) == NULL && c->state == THREAD_STOPPED);
    EXPECT(c->x[10] == 0 && c->x[0] == PC + 4);
    ipc_check();
    EXPECT_EQ(IPC_BOSS(CALL_THREAD_START, victim_slot), 0);
    ipc_run(1);
    EXPECT(running(1) == c);
}

KTAP_CASE(a_stop_that_was_done_otherwise_does_not_come_late)
{
    victim_make(V_RUNNING);
    struct thread *c = running(1), *other = ipc_t(ipc_usual_client(1));
    ipc_interrupt(1);
    EXPECT_EQ(IPC_BOSS(CALL_THREAD_STOP, victim_slot), -ERR_AGAIN);
    /* Before hart 1 takes the interrupt the thread waits by itself. */
    IPC_NATIVE(1, CALL_CALL, lone);
    EXPECT(running(1) == other && c->state == THREAD_QUEUED && c->stop_wanted);
    EXPECT_EQ(IPC_BOSS(CALL_THREAD_STOP, victim_slot), 0);
    EXPECT_EQ(IPC_BOSS(CALL_THREAD_START, victim_slot), 0);
    ipc_check();
    ipc_interrupt(1);
    EXPECT(c->state == THREAD_READY);
    ipc_check();
}

KTAP_CASE(a_stop_meets_a_thread_that_moved)
{
    ipc_usual(3, 6, 6);
    uint64_t slot = ipc_running_client(1);
    struct thread *c = running(1);
    uint64_t n = ipc_make(CAP_NOTIFICATION);
    ipc_usual_client(1);
    ipc_interrupt(1);
    EXPECT_EQ(IPC_BOSS(CALL_THREAD_STOP, slot), -ERR_AGAIN);
    IPC_NATIVE(1, CALL_WAIT, n);
    EXPECT(c->stop_wanted);
    EXPECT_EQ(IPC_BOSS(CALL_THREAD_SET, slot, THREAD_HART, 2), 0);
    ipc_check();
    ipc_interrupt(1);
    EXPECT_EQ(c->state, THREAD_WAIT);
    EXPECT_EQ(IPC_BOSS(CALL_THREAD_STOP, slot), 0);
    ipc_check();
}

KTAP_CASE(starting_is_refused_where_it_makes_no_sense)
{
    for (enum victim v = 0; v < VICTIMS; v++) {
        victim_make(v);
        EXPECT_EQ(IPC_BOSS(CALL_THREAD_START, victim_slot), v == V_STOPPED ? 0 : -ERR_STATE);
    }
    ipc_usual(2, 2, 2);
    uint64_t slot = ipc_make(CAP_THREAD);
    EXPECT_EQ(IPC_BOSS(CALL_THREAD_START, slot), -ERR_STATE); /* no space */
    EXPECT_EQ(IPC_BOSS(CALL_THREAD_START, ipc.pager_worker[1]), -ERR_STATE);
    EXPECT_EQ(IPC_BOSS(CALL_THREAD_START, ipc.pager), -ERR_TYPE);
    EXPECT_EQ(IPC_BOSS(CALL_THREAD_START, IPC_SLOT + 99), -ERR_EMPTY);
    EXPECT_EQ(IPC_BOSS(CALL_CAP_COPY, slot, SELF_TABLE, IPC_SLOT + 99, 0, 0, 0), 0);
    EXPECT_EQ(IPC_BOSS(CALL_THREAD_START, IPC_SLOT + 99), -ERR_RIGHTS);
    EXPECT_EQ(IPC_BOSS(CALL_THREAD_STOP, IPC_SLOT + 99), -ERR_RIGHTS);
    EXPECT_EQ(IPC_BOSS(CALL_THREAD_STOP, ipc.pager), -ERR_TYPE);
    EXPECT_EQ(IPC_BOSS(CALL_THREAD_SET, IPC_SLOT + 99, THREAD_PRIORITY, 1), -ERR_RIGHTS);
    EXPECT_EQ(IPC_BOSS(CALL_THREAD_REGS, IPC_SLOT + 99, 0, 0), -ERR_RIGHTS);
    ipc_check();
}

/* May the state be changed from hart 0, from a thread of hart 1? */
static bool can_be_set(enum victim v, unsigned by)
{
    if (v == V_READY || v == V_PREEMPTED || v == V_RUNNING || v == V_AFTER_FAULT || v == V_MESSAGE)
        return false;
    return by == 1 || (v != V_FAULT && v != V_CALL);
}

KTAP_CASE(configured_in_every_state_in_which_it_waits)
{
    static const struct {
        enum thread_field field;
        uint64_t value, value2;
    } sets[] = {{THREAD_SPACE, SLOT_SPACE, 0}, {THREAD_TABLE, SLOT_TABLE, 0},
                {THREAD_CALL_MASK, 7, 5},      {THREAD_PRIORITY, 3, 0},
                {THREAD_HART, 0, 0},           {THREAD_HART, 1, 0},
                {THREAD_PAGER, 0, 4},          {THREAD_PERSONALITY, 0, 5}};
    for (unsigned by = 0; by < 2; by++)
        for (enum victim v = 0; v < VICTIMS; v++) {
            victim_make(v);
            if (by == 1 && (running(1) == NULL || running(1) == ipc_t(victim_slot))) {
                ipc_client(ipc.space, 1, 13, ipc.pager, ipc.personality);
                if (running(1))
                    ipc_interrupt(1);
                else
                    ipc_run(1);
            }
            for (unsigned i = 0; i < sizeof(sets) / sizeof(*sets); i++) {
                uint64_t value =
                    sets[i].field >= THREAD_PAGER && sets[i].field <= THREAD_PERSONALITY
                        ? lone
                        : sets[i].value;
                EXPECT_EQ(IPC_NATIVE(by, CALL_THREAD_SET, victim_slot, sets[i].field, value,
                                     sets[i].value2),
                          can_be_set(v, by) ? 0 : -ERR_STATE);
                ipc_check();
            }
            const struct thread *c = ipc_t(victim_slot);
            EXPECT(!can_be_set(v, by) ||
                   (c->priority == 3 && c->call_mask[7] == 5 && c->space == world.space &&
                    c->pager.badge == 4 && c->personality.badge == 5));
        }
}

KTAP_CASE(a_served_thread_that_was_configured_goes_on_with_that)
{
    ipc_usual(3, 6, 6);
    uint64_t slot = ipc_running_client(1), space = ipc_space();
    struct thread *c = running(1);
    ipc_foreign(1, 1); /* execve: the personality changes the space of its client, straight */
    EXPECT_EQ(IPC_NATIVE(1, CALL_THREAD_SET, slot, THREAD_SPACE, space), 0);
    EXPECT_EQ(c->state, THREAD_SERVED);
    ipc_check();
    EXPECT_EQ(IPC_NATIVE(1, CALL_THREAD_SET, slot, THREAD_HART, 2), 0);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PARK, 1), 0);
    EXPECT(running(1) == NULL);
    ipc_check();
    ipc_run(2);
    EXPECT(running(2) == c && c->space == ipc_object(space));
    ipc_check();
    EXPECT_EQ(IPC_BOSS(CALL_CAP_DELETE, SELF_TABLE, ipc.space), 0); /* nobody is in the old one */
    ipc_check();
}

KTAP_CASE(configuring_is_refused_where_it_makes_no_sense)
{
    victim_make(V_STOPPED);
    uint64_t s = victim_slot, empty = IPC_SLOT + 150, weak = IPC_SLOT + 151;
#define SET(...) IPC_BOSS(CALL_THREAD_SET, s, __VA_ARGS__)
    EXPECT_EQ(SET(THREAD_FIELDS, 0, 0), -ERR_ARGUMENT);
    EXPECT_EQ(SET(~0UL, 0, 0), -ERR_ARGUMENT);
    EXPECT_EQ(SET(THREAD_SPACE, empty), -ERR_EMPTY);
    EXPECT_EQ(SET(THREAD_SPACE, SLOT_TABLE), -ERR_TYPE);
    EXPECT_EQ(SET(THREAD_TABLE, SLOT_SPACE), -ERR_TYPE);
    EXPECT_EQ(SET(THREAD_TABLE, world.table->size), -ERR_SLOT);
    EXPECT_EQ(SET(THREAD_PAGER, SLOT_SPACE, 0), -ERR_TYPE);
    EXPECT_EQ(IPC_BOSS(CALL_CAP_COPY, ipc.pager, SELF_TABLE, weak, RIGHT_CALL, 0, 0), 0);
    EXPECT_EQ(SET(THREAD_PAGER, weak, 0), -ERR_RIGHTS);
    EXPECT_EQ(SET(THREAD_PERSONALITY, weak, 0), -ERR_RIGHTS);
    EXPECT_EQ(IPC_BOSS(CALL_CAP_DELETE, SELF_TABLE, weak), 0);
    EXPECT_EQ(IPC_BOSS(CALL_CAP_COPY, ipc.space, SELF_TABLE, weak, RIGHT_COPY, 0, 0), 0);
    EXPECT_EQ(SET(THREAD_SPACE, weak), -ERR_RIGHTS);
    EXPECT_EQ(SET(THREAD_CALL_MASK, 8, 1), -ERR_ARGUMENT);
    EXPECT_EQ(SET(THREAD_PRIORITY, PRIORITY_MAX + 1), -ERR_ARGUMENT);
    world.thread->priority = 9;
    EXPECT_EQ(SET(THREAD_PRIORITY, 10), -ERR_RIGHTS);
    EXPECT_EQ(SET(THREAD_PRIORITY, 9), 0);
    world.thread->priority = PRIORITY_MAX;
    EXPECT_EQ(SET(THREAD_HART, 2), -ERR_HART);
    EXPECT_EQ(SET(THREAD_HART, ~0UL), -ERR_HART);
    ipc_check();
    s = ipc.pager_worker[1];
    for (unsigned field = 0; field < THREAD_FIELDS; field++)
        EXPECT_EQ(SET(field, 0, 0), -ERR_STATE);
    s = SLOT_THREAD;
    EXPECT_EQ(SET(THREAD_PRIORITY, 1), -ERR_STATE); /* itself */
    ipc_check();
}

KTAP_CASE(a_parked_worker_with_an_old_state_is_left_alone_and_can_be_stopped)
{
    for (unsigned by = 0; by < 2; by++) {
        ipc_usual(2, 2, 2);
        uint64_t slot = ipc.personality_worker[1], c = ipc_running_client(1);
        ipc_stop(slot);
        EXPECT_EQ(IPC_BOSS(CALL_THREAD_SET, slot, THREAD_PAGER, ipc.pager, 5), 0);
        EXPECT_EQ(IPC_BOSS(CALL_WORKER_BIND, slot, ipc.personality, IPC_ENTRY, IPC_SP, IPC_TP, 0),
                  0);
        ipc_foreign(1, 1);
        ipc_fault(1, 0x1000, CAUSE_LOAD_PAGE); /* of the personality, answered straight */
        IPC_NATIVE(1, CALL_REPLY_PARK, 0);
        IPC_NATIVE(1, CALL_REPLY_PARK, 0);
        EXPECT(running(1) == ipc_t(c) && worker_parked(ipc_t(slot)));
        ipc_check();
        EXPECT_EQ(IPC_NATIVE(by, CALL_THREAD_SET, slot, THREAD_PRIORITY, 3), -ERR_STATE);
        ipc_check();
        if (by == 0) {
            ipc_stop(slot);
        } else {
            EXPECT_EQ(IPC_NATIVE(1, CALL_THREAD_STOP, slot), 0);
        }
        EXPECT(ipc_t(slot)->state == THREAD_STOPPED && !ipc_t(slot)->serves);
        ipc_check();
    }
}

/* Registers. */

static struct thread kernel_boss; /* its addresses are the kernel's */

static long regs(uint64_t slot, struct user_regs *r, bool write)
{
    kernel_boss = (struct thread){.table_caps = world.table->caps, .table_size = world.table->size};
    return WORLD_CALL_AS(&kernel_boss, call_thread_regs, slot, r, write);
}

KTAP_CASE(registers_are_read_and_written_while_it_waits)
{
    for (enum victim v = 0; v < VICTIMS; v++) {
        struct user_regs r = {0};
        victim_make(v);
        struct thread *c = ipc_t(victim_slot);
        EXPECT_EQ(regs(victim_slot, &r, false), can_be_set(v, 0) ? 0 : -ERR_STATE);
        if (!can_be_set(v, 0))
            continue;
        EXPECT(memcmp(r.x, c->x, sizeof(r.x)) == 0);
        for (unsigned i = 0; i < 32; i++)
            r.x[i] = i * 1000;
        EXPECT_EQ(regs(victim_slot, &r, true), 0);
        EXPECT(memcmp(r.x, c->x, sizeof(r.x)) == 0);
        ipc_check();
    }
    EXPECT_EQ(IPC_BOSS(CALL_THREAD_REGS, victim_slot, 0x100000, 1), -ERR_ADDRESS);
    EXPECT_EQ(IPC_BOSS(CALL_THREAD_REGS, victim_slot, 0x100000, 0), -ERR_ADDRESS);
}

KTAP_CASE(registers_of_a_straight_client_are_reached_by_its_server)
{
    ipc_usual(2, 2, 2);
    uint64_t slot = ipc_running_client(1);
    struct thread *c = running(1);
    uint64_t data = world.first + IPC_MEMORY; /* the server's buffer */
    struct batch_page *page = world.thread->operation_page;
    for (unsigned i = 0; i < 2; i++)
        page->op[i] = (struct batch_op){.code = BATCH_TABLE,
                                        .level = (uint8_t)(2 - i),
                                        .memory = SLOT_MEMORY,
                                        .entry = entry_make(world.first + 400 + i, 0)};
    page->op[2] = (struct batch_op){.code = BATCH_MAP,
                                    .count = 1,
                                    .memory = SLOT_MEMORY,
                                    .address = 0x3000,
                                    .entry = entry_make(data, ENTRY_ALWAYS | ENTRY_W | ENTRY_D)};
    EXPECT_EQ(WORLD_CALL(call_batch, SLOT_SPACE, 3), 3);
    struct user_regs *r = page_to_virt(data);
    ipc_fill(c);
    c->x[0] = PC;
    ipc_foreign(1, 1);
    EXPECT_EQ(IPC_NATIVE(1, CALL_THREAD_REGS, slot, 0x3000, 0), 0);
    EXPECT(memcmp(r, c->x, sizeof(*r)) == 0 && r->x[0] == PC + 4);
    r->x[0] = 0x9000;
    r->x[5] = 55;
    EXPECT_EQ(IPC_NATIVE(1, CALL_THREAD_REGS, slot, 0x3000, 1), 0);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PARK, 3), 0);
    EXPECT(running(1) == c && c->x[0] == 0x9000 && c->x[5] == 55 && c->x[10] == 3);
    ipc_check();
}

/* Workers. */

KTAP_CASE(binding_is_refused_where_it_makes_no_sense)
{
    ipc_usual(2, 2, 2);
    uint64_t e = ipc_make(CAP_ENDPOINT), w = ipc_thread(SLOT_SPACE, 1, 20), weak = IPC_SLOT + 150;
#define BIND(thread, endpoint, flags) \
    IPC_BOSS(CALL_WORKER_BIND, thread, endpoint, IPC_ENTRY, IPC_SP, IPC_TP, flags)
    EXPECT_EQ(BIND(e, e, 0), -ERR_TYPE);
    EXPECT_EQ(BIND(w, w, 0), -ERR_TYPE);
    EXPECT_EQ(BIND(w, IPC_SLOT + 151, 0), -ERR_EMPTY);
    EXPECT_EQ(IPC_BOSS(CALL_CAP_COPY, e, SELF_TABLE, weak, RIGHT_CALL, 0, 0), 0);
    EXPECT_EQ(BIND(w, weak, 0), -ERR_RIGHTS);
    EXPECT_EQ(BIND(w, ipc.pager, 0), -ERR_OCCUPIED);
    EXPECT_EQ(BIND(w, e, 2), -ERR_ARGUMENT);
    EXPECT_EQ(BIND(w, e, 1UL << 40), -ERR_ARGUMENT);
    uint64_t idle = ipc_worker(SLOT_SPACE, 1, 31, ipc_make(CAP_ENDPOINT), WORKER_IDLE);
    EXPECT_EQ(BIND(w, e, WORKER_IDLE), -ERR_OCCUPIED); /* one for each hart */
    EXPECT(harts[1]->idle_worker == ipc_t(idle));
    EXPECT_EQ(BIND(ipc_make(CAP_THREAD), e, 0), -ERR_STATE); /* without a space */
    EXPECT_EQ(BIND(SLOT_THREAD, e, 0), -ERR_STATE);
    ipc_check();
    EXPECT_EQ(BIND(w, e, 0), 0);
    EXPECT_EQ(BIND(w, e, 0), -ERR_STATE);
    EXPECT_EQ(BIND(w, world_cap(e) ? e : 0, 0), -ERR_STATE);
    ipc_check();
    EXPECT_EQ(IPC_BOSS(CALL_CAP_DELETE, SELF_TABLE, weak), 0);
    EXPECT_EQ(IPC_BOSS(CALL_CAP_DELETE, SELF_TABLE, e), -ERR_BUSY);
    ipc_run(1); /* idle again */
    ipc_stop(w);
    EXPECT_EQ(IPC_BOSS(CALL_CAP_DELETE, SELF_TABLE, e), 0);
    ipc_check();
}

KTAP_CASE(a_stopped_worker_is_an_ordinary_thread_again)
{
    ipc_usual(3, 6, 2);
    uint64_t slot = ipc.personality_worker[1];
    struct thread *w = ipc_t(slot);
    ipc_stop(slot);
    ipc_check();
    EXPECT_EQ(IPC_BOSS(CALL_THREAD_SET, slot, THREAD_HART, 2), 0);
    EXPECT_EQ(IPC_BOSS(CALL_WORKER_BIND, slot, ipc.personality, IPC_ENTRY, IPC_SP, IPC_TP, 0), 0);
    EXPECT(((struct endpoint *)ipc_object(ipc.personality))->slot[2] == w);
    ipc_check();
    ipc_stop(slot);
    w->x[0] = PC;
    EXPECT_EQ(IPC_BOSS(CALL_THREAD_START, slot), 0);
    ipc_run(2);
    EXPECT(running(2) == w && w->x[0] == PC);
    EXPECT_EQ(IPC_NATIVE(2, CALL_REPLY_PARK, 0), -ERR_WORKER);
    ipc_check();
}

KTAP_CASE(what_a_stopped_worker_left_in_the_queue_others_take)
{
    ipc_usual(3, 6, 6);
    struct thread *c = ipc_t(ipc_running_client(1));
    ipc_foreign(1, 1);
    struct thread *d = ipc_t(ipc_client(ipc.space, 1, 28, ipc.pager, ipc.personality));
    ipc_interrupt(1);
    EXPECT(running(1) == d);
    ipc_foreign(1, 2); /* queued: the worker here is busy */
    EXPECT_EQ(d->state, THREAD_QUEUED);
    ipc_check();
    ipc_stop(ipc.personality_worker[1]);
    EXPECT(running(1) == c && d->state == THREAD_QUEUED);
    ipc_check(); /* the worker of hart 2 was told */
    ipc_run(2);
    EXPECT(running(2) == ipc_t(ipc.personality_worker[2]) && d->state == THREAD_SERVED);
    ipc_check();
}

/* A worker that is stopped in each state it can be in, from its own hart and from another. */
KTAP_CASE(workers_are_stopped_in_every_state)
{
    enum { PARKED, RUNNING, PREEMPTED, IN_FAULT, QUEUED, KEPT, WAYS };
    for (unsigned by = 0; by < 2; by++)
        for (unsigned how = 0; how < WAYS; how++) {
            ipc_usual(2, 2, 2);
            uint64_t slot = ipc.personality_worker[1], lonely = ipc_make(CAP_ENDPOINT);
            uint64_t route = how == QUEUED ? lonely : ipc.pager;
            struct thread *w = ipc_t(slot), *c = ipc_t(ipc_running_client(1));
            ipc_stop(slot);
            EXPECT_EQ(IPC_BOSS(CALL_THREAD_SET, slot, THREAD_PAGER, route, 5), 0);
            EXPECT_EQ(
                IPC_BOSS(CALL_WORKER_BIND, slot, ipc.personality, IPC_ENTRY, IPC_SP, IPC_TP, 0), 0);
            if (how != PARKED)
                ipc_foreign(1, 1);
            if (how == PREEMPTED || (by == 1 && (how == RUNNING || how == QUEUED))) {
                ipc_client(ipc.space, 1, 28, ipc.pager, ipc.personality);
                if (how != RUNNING)
                    ipc_interrupt(1);
            }
            if (how == IN_FAULT || how == QUEUED || how == KEPT) {
                if (running(1) != w)
                    continue;
                ipc_fault(1, 0x1000, CAUSE_LOAD_PAGE);
            }
            if (how == KEPT)
                EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_KEEP, REPLY), 0);
            ipc_check();
            if (by == 1 && running(1) && running(1) != w && how != PARKED)
                EXPECT_EQ(IPC_NATIVE(1, CALL_THREAD_STOP, slot), 0);
            else
                ipc_stop(slot);
            EXPECT(w->state == THREAD_STOPPED && !w->serves && world_cap(REPLY)->type == CAP_NONE);
            EXPECT(c->state == THREAD_READY || running(1) == c);
            ipc_check();
        }
}

KTAP_CASE(threads_of_a_space_go_on_when_its_worker_is_gone)
{
    for (unsigned served = 0; served < 2; served++) {
        ipc_usual(2, 2, 2);
        uint64_t e = ipc_make(CAP_ENDPOINT), w = ipc_worker(ipc.space, 1, 20, e, 0);
        uint64_t slot = ipc_running_client(1);
        struct thread *c = running(1);
        EXPECT(((struct space *)ipc_object(ipc.space))->pinned == 2);
        if (served) {
            ipc_foreign(1, 1);
            EXPECT_EQ(IPC_NATIVE(1, CALL_THREAD_STOP, w), 0);
            ipc_check();
            EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PARK, 0), 0);
        } else {
            EXPECT_EQ(IPC_NATIVE(1, CALL_THREAD_STOP, w), 0);
        }
        EXPECT(running(1) == c && slot);
        ipc_check();
    }
}

KTAP_CASE(a_worker_that_stops_itself_lets_its_client_go)
{
    ipc_usual(2, 2, 2);
    struct thread *c = ipc_t(ipc_running_client(1));
    ipc_foreign(1, 1);
    IPC_NATIVE(1, CALL_THREAD_STOP, ipc.personality_worker[1]);
    EXPECT(running(1) == c && c->x[0] == 0);
    ipc_check();
    ipc_foreign(1, 1);
    EXPECT(running(1) == NULL && c->state == THREAD_QUEUED);
    ipc_check();
}

KTAP_CASE(the_operation_page_counts_as_mapped)
{
    ipc_usual(2, 2, 2);
    uint64_t t = ipc_thread(SLOT_SPACE, 1, 5), weak = IPC_SLOT + 150;
    int32_t *count = &block_count[(world.first + IPC_MEMORY) >> TABLE_SHIFT];
    EXPECT_EQ(IPC_BOSS(CALL_WORKER_PAGE, t, SLOT_MEMORY, IPC_MEMORY + 1), 0);
    EXPECT_EQ(*count, 1);
    EXPECT(ipc_t(t)->operation_page == page_to_virt(world.first + IPC_MEMORY + 1));
    ipc_check();
    EXPECT_EQ(IPC_BOSS(CALL_WORKER_PAGE, t, SLOT_MEMORY, IPC_MEMORY + 2), 0);
    EXPECT_EQ(*count, 1);
    EXPECT_EQ(IPC_BOSS(CALL_WORKER_PAGE, t, SLOT_MEMORY, 3), -ERR_CLASS);
    EXPECT_EQ(IPC_BOSS(CALL_WORKER_PAGE, t, SLOT_MEMORY, world.pages), -ERR_RANGE);
    EXPECT_EQ(IPC_BOSS(CALL_WORKER_PAGE, t, WORLD_SLOT_DEVICE, 0), -ERR_RIGHTS);
    EXPECT_EQ(IPC_BOSS(CALL_CAP_COPY, SLOT_MEMORY, SELF_TABLE, weak, 0, 0, 0), 0);
    EXPECT_EQ(IPC_BOSS(CALL_WORKER_PAGE, t, weak, IPC_MEMORY), -ERR_RIGHTS);
    EXPECT_EQ(IPC_BOSS(CALL_WORKER_PAGE, t, SLOT_TABLE, 0), -ERR_TYPE);
    EXPECT_EQ(IPC_BOSS(CALL_WORKER_PAGE, ipc.pager_worker[1], SLOT_MEMORY, IPC_MEMORY), -ERR_STATE);
    EXPECT_EQ(*count, 1);
    EXPECT_EQ(IPC_BOSS(CALL_CAP_DELETE, SELF_TABLE, t), 0);
    EXPECT_EQ(*count, 0);
    ipc_check();
}

KTAP_CASE(a_destroyed_worker_leaves_its_place_and_its_signals)
{
    ipc_usual(2, 2, 2);
    uint64_t n = ipc_make(CAP_NOTIFICATION), slot = ipc.pager_worker[1];
    EXPECT_EQ(IPC_BOSS(CALL_NOTIFICATION_BIND, n, slot), 0);
    EXPECT_EQ(IPC_BOSS(CALL_CAP_DELETE, SELF_TABLE, slot), -ERR_AGAIN);
    ipc_run(1);
    ipc_check();
    EXPECT_EQ(IPC_BOSS(CALL_CAP_DELETE, SELF_TABLE, slot), 0);
    EXPECT(((struct notification *)ipc_object(n))->worker == NULL);
    EXPECT_EQ(IPC_BOSS(CALL_SIGNAL, n, 1), 0);
    ipc_check();
    uint64_t other = ipc_worker(SLOT_SPACE, 1, 31, ipc.pager, 0);
    EXPECT_EQ(IPC_BOSS(CALL_NOTIFICATION_BIND, n, other), 0);
    ipc_check();
    ipc_run(1);
    EXPECT(running(1) == ipc_t(other) && ipc_entered(ipc_t(other), ENTER_SIGNAL));
    ipc_check();
}
