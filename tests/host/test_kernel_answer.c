/* Answers that come later, elsewhere or never: kept, sent, abandoned, forwarded, watched. */
#include "ipc_world.h"
#include "ktap.h"

#include <string.h>

#define REPLY (IPC_SLOT + 200) /* where replies are kept */
#define PC    0x4000UL

enum kind { FAULT, CALL, MESSAGE, KINDS };

static struct thread *running(unsigned hart)
{
    return ipc_hart[hart].running;
}

/* The client that runs on hart 1 makes an event for the pager (fault, foreign call) or a message.
 */
static struct thread *begin(enum kind kind)
{
    struct thread *c = running(1);

    ipc_fill(c);
    c->x[0] = PC;
    if (kind == FAULT)
        ipc_fault(1, IPC_ADDRESS, CAUSE_LOAD_PAGE);
    else if (kind == CALL)
        ipc_foreign(1, 1024);
    else
        IPC_NATIVE(1, CALL_CALL, ipc.pager);
    return c;
}

/* Is c as after an answer with that value? */
static void answered(const struct thread *c, enum kind kind, uint64_t value)
{
    EXPECT_EQ(c->x[0], kind == FAULT ? PC : PC + 4);
    if (kind == FAULT)
        EXPECT(ipc_filled(c, 0));
    else
        EXPECT_EQ(c->x[10], value);
    if (kind == CALL)
        EXPECT(ipc_filled(c, 1 << 10 | 1 << 17));
}

/* Is c as after its event was undone? A message fails, all else happens again. */
static void undone(const struct thread *c, enum kind kind)
{
    EXPECT_EQ(c->x[0], kind == MESSAGE ? PC + 4 : PC);
    if (kind == MESSAGE)
        EXPECT_EQ(c->x[10], -ERR_GONE);
    else
        EXPECT(ipc_filled(c, kind == CALL ? 1 << 17 : 0));
    EXPECT_EQ(c->event, EVENT_NONE);
}

KTAP_CASE(an_answer_can_be_kept_and_sent)
{
    for (enum kind kind = FAULT; kind < KINDS; kind++) {
        ipc_usual(2, 2, 2);
        ipc_running_client(1);
        struct thread *c = begin(kind), *w = running(1);
        EXPECT(w == ipc_t(ipc.pager_worker[1]));
        EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_KEEP, REPLY), 0);
        EXPECT(c->state == THREAD_KEPT && c->reply == world_cap(REPLY) && running(1) == w);
        ipc_check();
        EXPECT_EQ(IPC_NATIVE(1, CALL_PARK), 0);
        EXPECT(running(1) == NULL);
        ipc_check();
        /* From another hart, by a thread that is no worker. */
        if (kind == FAULT)
            EXPECT_EQ(IPC_BOSS(CALL_REPLY_SEND, REPLY, 1), -ERR_ARGUMENT);
        for (unsigned i = 0; i < MESSAGE_WORDS; i++)
            ipc_hart[0].message[i] = 500 + i;
        EXPECT_EQ(IPC_BOSS(CALL_REPLY_SEND, REPLY, kind == FAULT ? 0 : 0x66), 0);
        EXPECT(world_cap(REPLY)->type == CAP_NONE && c->state == THREAD_READY);
        ipc_check();
        EXPECT_EQ(IPC_BOSS(CALL_REPLY_SEND, REPLY, 0), -ERR_EMPTY);
        ipc_run(1);
        EXPECT(running(1) == c);
        answered(c, kind, 0x66);
        for (unsigned i = 0; kind == MESSAGE && i < MESSAGE_WORDS; i++)
            EXPECT_EQ(ipc_hart[1].message[i], 500 + i);
        ipc_check();
    }
}

KTAP_CASE(a_worker_may_send_what_it_kept_while_it_serves_another)
{
    ipc_usual(2, 2, 2);
    ipc_running_client(1);
    ipc_usual_client(1);
    struct thread *c = begin(CALL);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_KEEP, REPLY), 0);
    EXPECT_EQ(IPC_NATIVE(1, CALL_PARK), 0);
    struct thread *d = begin(CALL);
    EXPECT(d != c);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_SEND, REPLY, 1), 0);
    EXPECT(c->state == THREAD_READY && running(1)->client == d);
    ipc_check();
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PARK, 2), 0);
    EXPECT(running(1) == d && d->x[10] == 2 && c->x[10] == 1);
    ipc_check();
}

KTAP_CASE(keeping_is_refused_where_it_makes_no_sense)
{
    ipc_usual(2, 2, 2);
    ipc_running_client(1);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_KEEP, REPLY), -ERR_CLIENT);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_KEEP, world.table->size), -ERR_SLOT);
    struct thread *c = begin(CALL);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_KEEP, SLOT_SPACE), -ERR_OCCUPIED);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_KEEP, world.table->size), -ERR_SLOT);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_KEEP, SELF_TABLE), -ERR_SLOT);
    ipc_check();
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_KEEP, REPLY), 0);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_KEEP, REPLY), -ERR_OCCUPIED);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_KEEP, REPLY + 1), -ERR_CLIENT);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PARK, 0), -ERR_CLIENT);
    EXPECT_EQ(IPC_NATIVE(1, CALL_FORWARD_PARK, 0, 0), -ERR_CLIENT);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_SEND, SLOT_SPACE, 0), -ERR_TYPE);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_SEND, world.table->size, 0), -ERR_SLOT);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_SEND, REPLY + 1, 0), -ERR_EMPTY);
    EXPECT_EQ(IPC_NATIVE(1, CALL_CAP_COPY, REPLY, SELF_TABLE, REPLY + 1, 0xff), -ERR_TYPE);
    EXPECT_EQ(c->state, THREAD_KEPT);
    ipc_check();
}

KTAP_CASE(an_abandoned_reply_lets_its_event_happen_again)
{
    for (enum kind kind = FAULT; kind < KINDS; kind++) {
        ipc_usual(2, 2, 2);
        ipc_running_client(1);
        struct thread *c = begin(kind);
        EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_KEEP, REPLY), 0);
        EXPECT_EQ(IPC_NATIVE(1, CALL_CAP_DELETE, SELF_TABLE, REPLY), 0);
        EXPECT_EQ(c->state, THREAD_READY);
        undone(c, kind);
        ipc_check();
        EXPECT_EQ(IPC_NATIVE(1, CALL_PARK), 0);
        EXPECT(running(1) == c);
        ipc_check();
    }
}

KTAP_CASE(a_table_that_goes_abandons_the_replies_in_it)
{
    ipc_usual(2, 2, 2);
    uint64_t table = ipc_make(CAP_TABLE), slot = ipc.pager_worker[1];
    ipc_stop(slot);
    EXPECT_EQ(IPC_BOSS(CALL_THREAD_SET, slot, THREAD_TABLE, table), 0);
    EXPECT_EQ(IPC_BOSS(CALL_WORKER_BIND, slot, ipc.pager, IPC_ENTRY, IPC_SP, IPC_TP, 0), 0);
    ipc_running_client(1);
    struct thread *c = begin(FAULT);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_KEEP, 5), 0);
    EXPECT_EQ(c->state, THREAD_KEPT);
    ipc_stop(slot);
    EXPECT_EQ(c->state, THREAD_KEPT); /* the right to answer outlives the worker */
    EXPECT_EQ(IPC_BOSS(CALL_THREAD_SET, slot, THREAD_TABLE, SLOT_TABLE), 0);
    EXPECT_EQ(IPC_BOSS(CALL_CAP_DELETE, SELF_TABLE, table), 0);
    undone(c, FAULT);
    EXPECT_EQ(c->state, THREAD_READY);
    ipc_check();
}

KTAP_CASE(a_client_that_is_stopped_takes_its_reply_along)
{
    for (enum kind kind = FAULT; kind < KINDS; kind++) {
        ipc_usual(2, 2, 2);
        uint64_t slot = ipc_running_client(1);
        struct thread *c = begin(kind);
        EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_KEEP, REPLY), 0);
        ipc_stop(slot);
        undone(c, kind);
        EXPECT_EQ(world_cap(REPLY)->type, CAP_NONE);
        ipc_check();
        EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_SEND, REPLY, 0), -ERR_EMPTY);
        EXPECT_EQ(IPC_BOSS(CALL_THREAD_START, slot), 0);
        EXPECT_EQ(IPC_NATIVE(1, CALL_PARK), 0);
        EXPECT(running(1) == c);
        ipc_check();
    }
}

KTAP_CASE(a_client_that_is_destroyed_takes_its_reply_along)
{
    ipc_usual(2, 2, 2);
    uint64_t slot = ipc_running_client(1);
    begin(CALL);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_KEEP, REPLY), 0);
    EXPECT_EQ(IPC_NATIVE(1, CALL_CAP_DELETE, SELF_TABLE, slot), 0);
    EXPECT(world_cap(slot)->type == CAP_NONE && world_cap(REPLY)->type == CAP_NONE);
    ipc_check();
}

KTAP_CASE(a_client_that_is_stopped_is_no_longer_answered)
{
    for (enum kind kind = FAULT; kind < KINDS; kind++) {
        ipc_usual(2, 2, 2);
        uint64_t slot = ipc_running_client(1);
        struct thread *c = begin(kind);
        EXPECT_EQ(IPC_NATIVE(1, CALL_THREAD_STOP, slot), 0); /* by its server */
        undone(c, kind);
        EXPECT_EQ(c->state, THREAD_STOPPED);
        ipc_check();
        EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PARK, 0), -ERR_CLIENT);
        EXPECT_EQ(IPC_NATIVE(1, CALL_PARK), 0);
        EXPECT(running(1) == NULL);
        ipc_check();
    }
}

KTAP_CASE(a_kept_client_can_be_moved_and_goes_on_there)
{
    ipc_usual(3, 6, 6);
    uint64_t slot = ipc_running_client(1);
    struct thread *c = begin(CALL);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_KEEP, REPLY), 0);
    EXPECT_EQ(IPC_NATIVE(1, CALL_THREAD_SET, slot, THREAD_HART, 2), 0);
    ipc_check();
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_SEND, REPLY, 3), 0);
    ipc_check();
    EXPECT_EQ(IPC_NATIVE(1, CALL_PARK), 0);
    EXPECT(running(1) == NULL);
    ipc_run(2);
    EXPECT(running(2) == c);
    answered(c, CALL, 3);
    ipc_foreign(2, 1024);
    EXPECT(running(2) == ipc_t(ipc.pager_worker[2]));
    ipc_check();
}

KTAP_CASE(registers_replaced_while_waiting_are_not_touched_by_an_undone_event)
{
    for (enum kind kind = CALL; kind < KINDS; kind++) {
        ipc_usual(2, 2, 2);
        uint64_t slot = ipc_running_client(1);
        struct thread *c = begin(kind);
        EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_KEEP, REPLY), 0);
        struct thread boss = {.table_caps = world.table->caps, .table_size = world.table->size};
        struct user_regs regs = {{0x8000, 1, 2, 3}};
        EXPECT_EQ(WORLD_CALL_AS(&boss, call_thread_regs, slot, &regs, 1), 0);
        ipc_check();
        ipc_stop(slot);
        EXPECT(c->x[0] == 0x8000 && c->x[1] == 1 && c->x[10] == 0);
        ipc_check();
        EXPECT_EQ(IPC_BOSS(CALL_THREAD_START, slot), 0);
        EXPECT_EQ(IPC_NATIVE(1, CALL_PARK), 0);
        EXPECT(running(1) == c);
        ipc_foreign(1, 1024); /* and the next event is an ordinary one */
        EXPECT_EQ(IPC_NATIVE(1, CALL_THREAD_STOP, slot), 0);
        EXPECT_EQ(c->x[0], 0x8000);
        ipc_check();
    }
}

/* How that hart last went to user mode. */
static const struct machine_note *entered(unsigned hart)
{
    machine_hart_select(hart);
    const struct machine_note *note = machine_note();
    machine_hart_select(0);
    return note;
}

KTAP_CASE(an_event_can_be_handed_to_the_personality)
{
    for (enum kind kind = FAULT; kind <= CALL; kind++) {
        ipc_usual(2, 2, 2);
        uint64_t slot = ipc_running_client(1);
        struct thread *c = begin(kind), *p = ipc_t(ipc.personality_worker[1]);
        IPC_NATIVE(1, CALL_FORWARD_PARK, 0x11, 0x22);
        EXPECT(running(1) == p && worker_parked(ipc_t(ipc.pager_worker[1])));
        const struct machine_note *note = entered(1);
        EXPECT_EQ(note->way, kind == FAULT ? MACHINE_ENTER_FAULT : MACHINE_ENTER_CALL);
        if (kind == FAULT) {
            const uint64_t is[] = {0x200 + slot, IPC_ADDRESS, CAUSE_LOAD_PAGE, PC};
            EXPECT(memcmp(note->value, is, sizeof(is)) == 0);
            EXPECT(note->value[5] == 0x11 && note->value[6] == 0x22 && note->value[7] == c->x[2]);
        } else {
            EXPECT(note->value[6] == 0x200 + slot && note->value[7] == 1024);
            EXPECT_EQ(note->value[1], c->x[11]);
        }
        ipc_check();
        EXPECT_EQ(IPC_NATIVE(1, CALL_FORWARD_PARK, 0, 0), -ERR_GONE); /* only once */
        if (kind == FAULT)
            EXPECT_EQ(IPC_NATIVE(1, CALL_FAULT_REPLY, entry_make(world.first + IPC_MEMORY, 0),
                                 SLOT_MEMORY),
                      -ERR_CLIENT);
        EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PARK, kind == FAULT ? 0 : 9), 0);
        EXPECT(running(1) == c);
        answered(c, kind, 9);
        ipc_check();
        /* Nothing of it is left for the next fault. */
        ipc_fault(1, 0, CAUSE_BREAKPOINT);
        EXPECT(running(1) == p && p->x[15] == 0 && p->x[16] == 0);
    }
}

KTAP_CASE(an_event_is_handed_to_another_hart)
{
    ipc_usual(3, 6, 4);
    struct thread *p = ipc_t(ipc.personality_worker[2]);
    ipc_running_client(1);
    struct thread *c = begin(FAULT);
    IPC_NATIVE(1, CALL_FORWARD_PARK, 1, 2);
    EXPECT(running(1) == NULL && c->state == THREAD_QUEUED);
    ipc_check();
    ipc_run(2);
    EXPECT(running(2) == p && p->x[15] == 1 && p->x[16] == 2);
    EXPECT_EQ(IPC_NATIVE(2, CALL_REPLY_KEEP, REPLY), 0);
    EXPECT_EQ(IPC_NATIVE(2, CALL_PARK), 0);
    ipc_check();
    EXPECT_EQ(IPC_BOSS(CALL_REPLY_SEND, REPLY, 0), 0);
    ipc_run(1);
    EXPECT(running(1) == c);
    answered(c, FAULT, 0);
}

KTAP_CASE(a_handed_on_event_that_is_undone_begins_with_the_pager_again)
{
    ipc_usual(2, 2, 2);
    ipc_running_client(1);
    struct thread *c = begin(CALL);
    IPC_NATIVE(1, CALL_FORWARD_PARK, 0, 0);
    ipc_stop(ipc.personality_worker[1]);
    EXPECT(c->state == THREAD_READY || running(1) == c);
    undone(c, CALL);
    EXPECT(running(1) == c);
    ipc_foreign(1, 1024);
    EXPECT(running(1) == ipc_t(ipc.pager_worker[1]));
    ipc_check();
}

KTAP_CASE(handing_on_is_refused_where_nobody_is)
{
    ipc_usual(2, 2, 2);
    ipc_running_client(1);
    struct thread *c = begin(MESSAGE);
    EXPECT_EQ(IPC_NATIVE(1, CALL_FORWARD_PARK, 0, 0), -ERR_CLIENT);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PARK, 0), 0);
    EXPECT(running(1) == c);
    ipc_check();
    uint64_t slot = ipc_thread(ipc.space, 1, 12);
    EXPECT_EQ(IPC_BOSS(CALL_THREAD_SET, slot, THREAD_PAGER, ipc.pager, 1), 0);
    EXPECT_EQ(IPC_BOSS(CALL_THREAD_START, slot), 0);
    ipc_interrupt(1);
    EXPECT(running(1) == ipc_t(slot));
    begin(FAULT);
    EXPECT_EQ(IPC_NATIVE(1, CALL_FORWARD_PARK, 0, 0), -ERR_GONE);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PARK, 0), 0);
    EXPECT(running(1) == ipc_t(slot));
    ipc_check();
}

KTAP_CASE(what_a_stopped_worker_had_happens_again)
{
    for (enum kind kind = FAULT; kind < KINDS; kind++)
        for (unsigned slowly = 0; slowly < 2; slowly++) {
            ipc_usual(2, 2, 2);
            ipc_running_client(1);
            struct thread *c = begin(kind), *w = running(1);
            if (slowly)
                EXPECT_EQ(IPC_NATIVE(1, CALL_PARK), -ERR_CLIENT);
            EXPECT_EQ(IPC_BOSS(CALL_THREAD_STOP, ipc.pager_worker[1]), -ERR_AGAIN);
            ipc_check();
            ipc_interrupt(1);
            EXPECT(running(1) == c && w->state == THREAD_STOPPED && !w->serves);
            undone(c, kind);
            EXPECT_EQ(IPC_BOSS(CALL_THREAD_STOP, ipc.pager_worker[1]), 0);
            ipc_check();
        }
}

/* The watchdog. */

static void tick(unsigned hart)
{
    machine.hart[hart].timer_deadline = machine.time;
    if (running(hart))
        ipc_interrupt(hart);
    else
        ipc_run(hart);
    machine.hart[hart].timer_deadline = ~0UL;
}

static unsigned said(const char *how)
{
    unsigned n = 0;
    for (const char *at = machine_console(); (at = strstr(at, how)) != NULL; at++)
        n++;
    return n;
}

KTAP_CASE(the_watchdog_says_once_that_a_fault_waits)
{
    ipc_usual(2, 2, 2);
    ipc_running_client(1);
    ipc_usual_client(1);
    begin(FAULT);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_KEEP, REPLY), 0);
    EXPECT_EQ(IPC_NATIVE(1, CALL_PARK), 0);
    for (unsigned i = 0; i < 9; i++) {
        machine.time += arch_timebase_hz;
        tick(0);
    }
    EXPECT_EQ(said("watchdog"), 0);
    begin(FAULT); /* a later one */
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_KEEP, REPLY + 1), 0);
    machine.time += arch_timebase_hz + 1000;
    for (unsigned i = 0; i < 10; i++)
        tick(0);
    EXPECT_EQ(said("(kept)"), 1);
    machine.time += 9 * arch_timebase_hz;
    for (unsigned i = 0; i < 10; i++)
        tick(0);
    EXPECT_EQ(said("(kept)"), 2);
    EXPECT_EQ(said("watchdog"), 2);
    ipc_check();
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_SEND, REPLY, 0), 0);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_SEND, REPLY + 1, 0), 0);
    ipc_check();
}

KTAP_CASE(the_watchdog_sees_a_fault_that_no_worker_takes)
{
    ipc_usual(2, 0, 2);
    ipc_running_client(1);
    begin(FAULT);
    machine.time += 11 * arch_timebase_hz;
    for (unsigned i = 0; i < 4; i++)
        tick(0);
    EXPECT_EQ(said("no worker takes it"), 1);
    ipc_check();
}

KTAP_CASE(the_watchdog_sees_a_worker_that_does_not_answer)
{
    for (unsigned slowly = 0; slowly < 2; slowly++) {
        ipc_usual(2, 2, 2);
        ipc_running_client(1);
        begin(FAULT);
        if (slowly)
            EXPECT_EQ(IPC_NATIVE(1, CALL_PARK), -ERR_CLIENT);
        for (unsigned i = 0; i < 1100; i++) {
            machine.time += arch_timebase_hz / 100;
            tick(1);
        }
        EXPECT_EQ(said("being served"), 1);
        EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PARK, 0), 0);
        ipc_check();
    }
}

KTAP_CASE(the_watchdog_is_silent_about_calls_and_messages)
{
    for (enum kind kind = CALL; kind < KINDS; kind++) {
        ipc_usual(2, 2, 2);
        ipc_running_client(1);
        begin(kind);
        EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_KEEP, REPLY), 0);
        machine.time += 100 * arch_timebase_hz;
        for (unsigned i = 0; i < 4; i++)
            tick(0);
        EXPECT_EQ(said("watchdog"), 0);
    }
}
