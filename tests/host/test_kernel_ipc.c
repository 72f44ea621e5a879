/* Events and messages: how they reach a worker, straight and slowly, and how it answers. */
#include "ipc_world.h"
#include "ktap.h"

#include "arch/host/tlb.h"

#include <signal.h>
#include <string.h>

#define PAGE_ENTRY(n) entry_make(world.first + IPC_MEMORY + (n), ENTRY_ALWAYS | ENTRY_W | ENTRY_D)

static uint64_t slow_traps(unsigned hart)
{
    return harts[hart]->counter[COUNT_trap_slow];
}

static struct thread *running(unsigned hart)
{
    return ipc_hart[hart].running;
}

KTAP_CASE(a_fault_goes_straight_to_the_pager_and_back)
{
    ipc_usual(2, 2, 2);
    uint64_t slot = ipc_running_client(1);
    struct thread *c = ipc_t(slot), *w = ipc_t(ipc.pager_worker[1]);
    EXPECT(running(1) == c);
    for (unsigned i = 0; i < 3; i++) {
        uint64_t slow = slow_traps(1);
        ipc_fill(c);
        c->x[0] = 0x4000 + i;
        ipc_fault(1, IPC_ADDRESS + i * PAGE_BYTES, CAUSE_STORE_PAGE);
        const struct machine_note *note = &machine.hart[1].note;
        EXPECT_EQ(note->way, MACHINE_ENTER_FAULT);
        EXPECT(note->thread == w && note->client == c);
        EXPECT_EQ(note->value[0], 0x100 + slot);
        EXPECT_EQ(note->value[1], IPC_ADDRESS + i * PAGE_BYTES);
        EXPECT_EQ(note->value[2], CAUSE_STORE_PAGE);
        EXPECT_EQ(note->value[3], 0x4000 + i);
        EXPECT_EQ(note->value[4], i + 1);
        EXPECT_EQ(c->state, THREAD_FAULT);
        EXPECT_EQ(slow_traps(1), slow);
        ipc_check();
        EXPECT_EQ(IPC_NATIVE(1, CALL_FAULT_REPLY, PAGE_ENTRY(i), SLOT_MEMORY), 0);
        EXPECT(running(1) == c && ipc_filled(c, 0) && c->x[0] == 0x4000 + i);
        EXPECT_EQ(slow_traps(1), slow); /* also the first one, which has to find the table */
        EXPECT(sim_store(1, IPC_ADDRESS + i * PAGE_BYTES, 1));
        EXPECT_EQ(sim_page(), world.first + IPC_MEMORY + i);
        ipc_check();
    }
}

KTAP_CASE(page_faults_go_to_the_pager_other_exceptions_to_the_personality)
{
    for (uint64_t cause = 0; cause < 16; cause++) {
        if (cause >= 8 && cause <= 11)
            continue; /* calls */
        bool page = cause == 12 || cause == 13 || cause == 15;
        ipc_usual(2, 2, 2);
        uint64_t slot = ipc_running_client(1);
        struct thread *c = ipc_t(slot), *p = ipc_t(ipc.personality_worker[1]);
        ipc_fill(c);
        c->x[0] = 0x5000;
        ipc_fault(1, 0x1230, cause);
        if (page) {
            EXPECT(running(1) == ipc_t(ipc.pager_worker[1]));
        } else if (cause == 14) { /* reserved: does not occur, and harms nobody */
            EXPECT(running(1) == ipc_t(ipc.pager_worker[1]) || running(1) == p);
        } else {
            EXPECT(running(1) == p && ipc_entered(p, ENTER_FAULT));
            EXPECT_EQ(p->x[2], IPC_SP + ipc.personality_worker[1]);
            EXPECT_EQ(p->x[10], 0x200 + slot);
            EXPECT_EQ(p->x[11], 0x1230);
            EXPECT_EQ(p->x[12], cause);
            EXPECT_EQ(p->x[13], 0x5000);
            EXPECT(p->x[15] == 0 && p->x[16] == 0);
            EXPECT_EQ(c->state, THREAD_SERVED);
        }
        ipc_check();
        EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PARK, 0), 0);
        EXPECT(running(1) == c && ipc_filled(c, 0) && c->x[0] == 0x5000);
        ipc_check();
    }
}

KTAP_CASE(foreign_calls_go_where_the_mask_says)
{
    static const struct {
        uint64_t number;
        bool pager;
    } calls[] = {{0, false},   {63, false}, {64, false},  {222, true}, {214, false},
                 {511, false}, {512, true}, {1024, true}, {~0UL, true}};
    ipc_usual(2, 2, 2);
    uint64_t slot = ipc_usual_client(1);
    ipc_stop(slot);
    EXPECT_EQ(IPC_BOSS(CALL_THREAD_SET, slot, THREAD_CALL_MASK, 3, 1UL << (222 - 192)), 0);
    EXPECT_EQ(IPC_BOSS(CALL_THREAD_START, slot), 0);
    ipc_run(1);
    struct thread *c = ipc_t(slot);
    for (unsigned i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
        uint64_t slow = slow_traps(1);
        ipc_fill(c);
        c->x[0] = 0x4000;
        ipc_foreign(1, calls[i].number);
        const struct machine_note *note = &machine.hart[1].note;
        EXPECT_EQ(note->way, MACHINE_ENTER_CALL);
        EXPECT(note->thread ==
               ipc_t(calls[i].pager ? ipc.pager_worker[1] : ipc.personality_worker[1]));
        for (unsigned k = 0; k < 6; k++)
            EXPECT_EQ(note->value[k], c->x[10 + k]);
        EXPECT_EQ(note->value[6], (calls[i].pager ? 0x100 : 0x200) + slot);
        EXPECT_EQ(note->value[7], calls[i].number);
        ipc_check();
        EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PARK, 0x77), 0);
        EXPECT(running(1) == c);
        EXPECT_EQ(c->x[10], 0x77);
        EXPECT(ipc_filled(c, 1 << 10 | 1 << 17));
        EXPECT_EQ(c->x[0], 0x4004);
        EXPECT_EQ(slow_traps(1), slow);
    }
    ipc_check();
}

static void message_set(unsigned hart, uint64_t base)
{
    for (unsigned i = 0; i < MESSAGE_WORDS; i++)
        ipc_hart[hart].message[i] = base + i;
}

static bool message_is(unsigned hart, uint64_t base)
{
    for (unsigned i = 0; i < MESSAGE_WORDS; i++)
        if (ipc_hart[hart].message[i] != base + i)
            return false;
    return true;
}

/* A capability to call the endpoint with that badge. */
static uint64_t caller_cap(uint64_t endpoint, uint64_t badge)
{
    static uint64_t at;
    uint64_t slot = IPC_SLOT + 200 + at++ % 20;
    EXPECT_EQ(IPC_BOSS(CALL_CAP_COPY, endpoint, SELF_TABLE, slot, RIGHT_CALL, badge, 0), 0);
    return slot;
}

KTAP_CASE(a_message_goes_straight_and_its_answer_comes_back)
{
    ipc_usual(2, 2, 2);
    struct thread *c = ipc_t(ipc_running_client(1)), *w = ipc_t(ipc.personality_worker[1]);
    uint64_t cap = caller_cap(ipc.personality, 0xbad9e), slow = slow_traps(1);
    c->x[0] = 0x9000;
    c->x[2] = 0x1234;
    message_set(1, 100);
    IPC_NATIVE(1, CALL_CALL, cap);
    EXPECT_EQ(machine.hart[1].note.way, MACHINE_ENTER_MESSAGE);
    EXPECT(running(1) == w && message_is(1, 100));
    EXPECT_EQ(machine.hart[1].note.value[0], 0xbad9e);
    EXPECT_EQ(c->state, THREAD_MESSAGE);
    ipc_check();
    message_set(1, 200);
    IPC_NATIVE(1, CALL_REPLY_PARK, 0x55);
    EXPECT_EQ(machine.hart[1].note.way, MACHINE_RESUME_MESSAGE);
    EXPECT(running(1) == c && message_is(1, 200) && c->x[0] == 0x9004);
    EXPECT_EQ(machine.hart[1].note.value[0], 0x55);
    EXPECT_EQ(slow_traps(1), slow);
    ipc_check();
}

KTAP_CASE(a_message_that_is_refused_says_why)
{
    ipc_usual(2, 2, 2);
    ipc_running_client(1);
    uint64_t cap = caller_cap(ipc.personality, 1), serve = IPC_SLOT + 230;
    EXPECT_EQ(IPC_BOSS(CALL_CAP_COPY, ipc.personality, SELF_TABLE, serve, RIGHT_SERVE, 0, 0), 0);
    EXPECT_EQ(IPC_NATIVE(1, CALL_CALL, world.table->size), -ERR_SLOT);
    EXPECT_EQ(IPC_NATIVE(1, CALL_CALL, ~0UL), -ERR_SLOT);
    EXPECT_EQ(IPC_NATIVE(1, CALL_CALL, IPC_SLOT + 231), -ERR_EMPTY);
    EXPECT_EQ(IPC_NATIVE(1, CALL_CALL, SLOT_MEMORY), -ERR_TYPE);
    EXPECT_EQ(IPC_NATIVE(1, CALL_CALL, serve), -ERR_RIGHTS);
    ipc_check();
    /* A worker may not wait, not even for one that is parked. */
    ipc_foreign(1, 3);
    EXPECT(running(1) == ipc_t(ipc.personality_worker[1]));
    EXPECT_EQ(IPC_NATIVE(1, CALL_CALL, cap), -ERR_WORKER);
    EXPECT_EQ(IPC_NATIVE(1, CALL_CALL, ipc.pager), -ERR_WORKER);
    ipc_check();
}

KTAP_CASE(a_message_without_a_worker_here_is_queued_and_served_elsewhere)
{
    ipc_usual(3, 6, 2);
    struct thread *c = ipc_t(ipc_running_client(2)), *w = ipc_t(ipc.personality_worker[1]);
    uint64_t cap = caller_cap(ipc.personality, 0x99);
    message_set(2, 300);
    c->x[0] = 0x9000;
    IPC_NATIVE(2, CALL_CALL, cap);
    EXPECT(running(2) == NULL && c->state == THREAD_QUEUED);
    EXPECT_EQ(machine.hart[1].interrupts_sent > 0, 1);
    ipc_check();
    ipc_run(1);
    EXPECT(running(1) == w && ipc_entered(w, ENTER_MESSAGE));
    EXPECT_EQ(w->x[10], 0x99);
    EXPECT(message_is(1, 300) && c->state == THREAD_SERVED && w->served == c);
    ipc_check();
    message_set(1, 400);
    IPC_NATIVE(1, CALL_REPLY_PARK, 7);
    EXPECT(running(1) == NULL && c->state == THREAD_READY);
    ipc_check();
    ipc_run(2);
    EXPECT(running(2) == c && message_is(2, 400));
    EXPECT(c->x[10] == 7 && c->x[0] == 0x9004);
    ipc_check();
}

KTAP_CASE(faults_and_calls_without_a_worker_here_are_served_elsewhere)
{
    ipc_usual(3, 2, 2);
    uint64_t slot = ipc_running_client(2);
    struct thread *c = ipc_t(slot), *w = ipc_t(ipc.pager_worker[1]),
                  *p = ipc_t(ipc.personality_worker[1]);
    ipc_fill(c);
    c->x[0] = 0x4000;
    ipc_fault(2, IPC_ADDRESS, CAUSE_LOAD_PAGE);
    EXPECT(running(2) == NULL && c->state == THREAD_QUEUED);
    ipc_check();
    ipc_run(1);
    EXPECT(running(1) == w && ipc_entered(w, ENTER_FAULT));
    EXPECT(w->x[10] == 0x100 + slot && w->x[11] == IPC_ADDRESS && w->x[13] == 0x4000);
    ipc_check();
    EXPECT_EQ(IPC_NATIVE(1, CALL_FAULT_REPLY, PAGE_ENTRY(0), SLOT_MEMORY), 0);
    ipc_check();
    ipc_run(2);
    EXPECT(running(2) == c && ipc_filled(c, 0) && sim_store(2, IPC_ADDRESS, 1));
    ipc_foreign(2, 5);
    ipc_run(1);
    EXPECT(running(1) == p && ipc_entered(p, ENTER_CALL));
    for (unsigned i = 10; i <= 15; i++)
        EXPECT_EQ(p->x[i], c->x[i]);
    EXPECT(p->x[16] == 0x200 + slot && p->x[17] == 5);
    ipc_check();
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PARK, 9), 0);
    ipc_run(2);
    EXPECT(running(2) == c && c->x[10] == 9 && c->x[0] == 0x4004);
    ipc_check();
}

KTAP_CASE(what_waits_is_taken_when_a_worker_is_bound)
{
    ipc_usual(2, 0, 2);
    struct thread *c = ipc_t(ipc_running_client(1)), *d = ipc_t(ipc_usual_client(1));
    ipc_fault(1, IPC_ADDRESS, CAUSE_LOAD_PAGE);
    EXPECT(running(1) == d && c->state == THREAD_QUEUED);
    ipc_fault(1, IPC_ADDRESS + 8, CAUSE_LOAD_PAGE);
    EXPECT(running(1) == NULL && d->state == THREAD_QUEUED);
    ipc_check();
    uint64_t w = ipc_thread(SLOT_SPACE, 1, 31);
    EXPECT_EQ(IPC_BOSS(CALL_WORKER_BIND, w, ipc.pager, IPC_ENTRY, IPC_SP, IPC_TP, 0), 0);
    ipc_check();
    ipc_run(1);
    EXPECT(running(1) == ipc_t(w) && c->state == THREAD_SERVED && d->state == THREAD_QUEUED);
    ipc_check();
    EXPECT_EQ(IPC_NATIVE(1, CALL_FAULT_REPLY, PAGE_ENTRY(0), SLOT_MEMORY), 0);
    EXPECT(running(1) == ipc_t(w) && d->state == THREAD_SERVED && c->state == THREAD_READY);
    EXPECT_EQ(ipc_t(w)->x[11], IPC_ADDRESS + 8);
    EXPECT_EQ(IPC_NATIVE(1, CALL_FAULT_REPLY, PAGE_ENTRY(1), SLOT_MEMORY), -ERR_MAPPED);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PARK, 0), 0);
    EXPECT(running(1) == c);
    ipc_check();
}

KTAP_CASE(a_busy_worker_takes_the_next_event_when_it_answers)
{
    ipc_usual(2, 2, 2);
    struct thread *c = ipc_t(ipc_running_client(1)), *w = ipc_t(ipc.personality_worker[1]);
    ipc_foreign(1, 1);
    EXPECT(running(1) == w);
    uint64_t better = ipc_client(ipc.space, 1, 28, ipc.pager, ipc.personality);
    struct thread *d = ipc_t(better);
    ipc_interrupt(1);
    EXPECT(running(1) == d && w->state == THREAD_READY && w->client == c);
    ipc_check();
    ipc_foreign(1, 2);
    EXPECT(running(1) == w && d->state == THREAD_QUEUED && w->attention);
    ipc_check();
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PARK, 11), 0);
    EXPECT(running(1) == w && d->state == THREAD_SERVED && c->state == THREAD_READY);
    EXPECT(w->x[17] == 2 && c->x[10] == 11);
    ipc_check();
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PARK, 22), 0);
    EXPECT(running(1) == d && d->x[10] == 22);
    ipc_check();
}

KTAP_CASE(queues_are_served_in_order_over_several_harts)
{
    enum { CLIENTS = 6 };
    struct thread *c[CLIENTS];
    ipc_usual(4, 2, 2);
    for (unsigned i = 0; i < CLIENTS; i++) {
        c[i] = ipc_t(ipc_usual_client(2 + i % 2));
        if (running(2 + i % 2) == NULL)
            ipc_run(2 + i % 2);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        EXPECT(running(2 + i % 2) == c[i]);
        ipc_foreign(2 + i % 2, 100 + i);
        ipc_check();
    }
    ipc_run(1);
    for (unsigned i = 0; i < CLIENTS; i++) {
        EXPECT(running(1) != NULL);
        EXPECT_EQ(running(1)->x[17], 100 + i);
        IPC_NATIVE(1, CALL_REPLY_PARK, i);
        EXPECT(c[i]->state == THREAD_READY && c[i]->x[10] == i);
        ipc_check();
    }
    EXPECT(running(1) == NULL);
}

KTAP_CASE(a_server_that_faults_is_served_within_its_service)
{
    ipc_usual(2, 2, 2);
    struct thread *c = ipc_t(ipc_running_client(1)), *p = ipc_t(ipc.personality_worker[1]),
                  *w = ipc_t(ipc.pager_worker[1]);
    EXPECT_EQ(IPC_BOSS(CALL_THREAD_SET, ipc.personality_worker[1], THREAD_PAGER, ipc.pager, 5),
              -ERR_STATE);
    ipc_stop(ipc.personality_worker[1]);
    uint64_t slot = ipc.personality_worker[1];
    EXPECT_EQ(IPC_BOSS(CALL_THREAD_SET, slot, THREAD_PAGER, ipc.pager, 5), 0);
    EXPECT_EQ(IPC_BOSS(CALL_WORKER_BIND, slot, ipc.personality, IPC_ENTRY, IPC_SP, IPC_TP, 0), 0);
    ipc_fill(c);
    ipc_foreign(1, 77);
    EXPECT(running(1) == p);
    ipc_fill(p);
    ipc_fault(1, 0x12345, CAUSE_LOAD_PAGE);
    EXPECT(running(1) == w && w->client == p && p->client == c);
    EXPECT_EQ(p->state, THREAD_FAULT);
    ipc_check();
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PARK, 0), 0);
    EXPECT(running(1) == p && ipc_filled(p, 0));
    ipc_foreign(1, 1024);
    EXPECT(running(1) == w && p->state == THREAD_CALL);
    ipc_check();
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PARK, 3), 0);
    EXPECT(running(1) == p && p->x[10] == 3);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PARK, 4), 0);
    EXPECT(running(1) == c && c->x[10] == 4 && ipc_filled(c, 1 << 10 | 1 << 17));
    ipc_check();
}

KTAP_CASE(every_refusal_of_a_fault_reply)
{
    ipc_usual(2, 2, 2);
    struct thread *c = ipc_t(ipc_running_client(1)), *w = ipc_t(ipc.pager_worker[1]);
    uint64_t part = IPC_SLOT + 210, entry = PAGE_ENTRY(3);
    EXPECT_EQ(IPC_BOSS(CALL_CAP_COPY, SLOT_MEMORY, SELF_TABLE, part, 0, IPC_MEMORY, 4), 0);
    EXPECT_EQ(IPC_NATIVE(1, CALL_FAULT_REPLY, entry, SLOT_MEMORY), -ERR_WORKER);
    ipc_fault(1, IPC_ADDRESS, CAUSE_LOAD_PAGE);
    for (unsigned round = 0; round < 2; round++) { /* straight, then taken on the slow path */
        EXPECT_EQ(IPC_NATIVE(1, CALL_FAULT_REPLY, entry, world.table->size), -ERR_SLOT);
        EXPECT_EQ(IPC_NATIVE(1, CALL_FAULT_REPLY, entry, ~0UL), -ERR_SLOT);
        EXPECT_EQ(IPC_NATIVE(1, CALL_FAULT_REPLY, entry, IPC_SLOT + 211), -ERR_EMPTY);
        EXPECT_EQ(IPC_NATIVE(1, CALL_FAULT_REPLY, entry, SLOT_SPACE), -ERR_TYPE);
        EXPECT_EQ(IPC_NATIVE(1, CALL_FAULT_REPLY, entry, part), -ERR_ENTRY); /* not writable */
        for (unsigned bit = 54; bit < 64; bit++)
            EXPECT_EQ(IPC_NATIVE(1, CALL_FAULT_REPLY, entry | 1UL << bit, SLOT_MEMORY), -ERR_ENTRY);
        EXPECT_EQ(IPC_NATIVE(1, CALL_FAULT_REPLY, entry | ENTRY_G, SLOT_MEMORY), -ERR_ENTRY);
        EXPECT_EQ(IPC_NATIVE(1, CALL_FAULT_REPLY, PAGE_ENTRY(world.pages), SLOT_MEMORY),
                  -ERR_RANGE);
        EXPECT_EQ(
            IPC_NATIVE(1, CALL_FAULT_REPLY, entry_make(world.first + IPC_MEMORY + 4, 0), part),
            -ERR_RANGE);
        EXPECT_EQ(IPC_NATIVE(1, CALL_FAULT_REPLY, entry_make(world.first + 100, 0), SLOT_MEMORY),
                  -ERR_CLASS); /* tables */
        EXPECT(running(1) == w);
        ipc_check();
    }
    EXPECT_EQ(block_count[(world.first + IPC_MEMORY) >> TABLE_SHIFT], 0);
    EXPECT_EQ(IPC_NATIVE(1, CALL_FAULT_REPLY, entry, SLOT_MEMORY), 0);
    EXPECT(running(1) == c);
    ipc_fault(1, IPC_ADDRESS, CAUSE_STORE_PAGE);
    EXPECT_EQ(IPC_NATIVE(1, CALL_FAULT_REPLY, entry, SLOT_MEMORY), -ERR_MAPPED);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PARK, 0), 0);
    ipc_fault(1, 1UL << 30, CAUSE_STORE_PAGE);
    EXPECT_EQ(IPC_NATIVE(1, CALL_FAULT_REPLY, entry, SLOT_MEMORY), -ERR_NOTABLE);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PARK, 0), 0);
    static const uint64_t far[] = {1UL << 38, 1UL << 39, 1UL << 63, ~0UL,
                                   (1UL << 38) + IPC_ADDRESS};
    for (unsigned i = 0; i < sizeof(far) / sizeof(*far); i++) {
        ipc_fault(1, far[i], CAUSE_STORE_PAGE);
        EXPECT_EQ(IPC_NATIVE(1, CALL_FAULT_REPLY, entry, SLOT_MEMORY), -ERR_RANGE);
        EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PARK, 0), 0);
    }
    ipc_foreign(1, 1024);
    EXPECT_EQ(IPC_NATIVE(1, CALL_FAULT_REPLY, entry, SLOT_MEMORY), -ERR_CLIENT);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PARK, 0), 0);
    EXPECT_EQ(block_count[(world.first + IPC_MEMORY) >> TABLE_SHIFT], 1);
    ipc_check();
}

KTAP_CASE(a_full_counter_stops_no_worse_than_the_mapping)
{
    ipc_usual(2, 2, 2);
    ipc_running_client(1);
    ipc_fault(1, IPC_ADDRESS, CAUSE_LOAD_PAGE);
    int32_t *count = &block_count[(world.first + IPC_MEMORY) >> TABLE_SHIFT];
    *count = BLOCK_PINNED;
    EXPECT_EQ(IPC_NATIVE(1, CALL_FAULT_REPLY, PAGE_ENTRY(0), SLOT_MEMORY), -ERR_CLASS);
    EXPECT_EQ(*count, BLOCK_PINNED);
    *count = 0;
    EXPECT_EQ(IPC_NATIVE(1, CALL_FAULT_REPLY, PAGE_ENTRY(0), SLOT_MEMORY), 0);
    ipc_check();
}

KTAP_CASE(only_the_pager_maps)
{
    ipc_usual(2, 2, 2);
    struct thread *c = ipc_t(ipc_running_client(1));
    ipc_fault(1, IPC_ADDRESS, CAUSE_ILLEGAL);
    EXPECT(running(1) == ipc_t(ipc.personality_worker[1]));
    EXPECT_EQ(IPC_NATIVE(1, CALL_FAULT_REPLY, PAGE_ENTRY(0), SLOT_MEMORY), -ERR_CLIENT);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PARK, 1), -ERR_ARGUMENT);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PARK, 0), 0);
    EXPECT(running(1) == c);
    ipc_check();
}

KTAP_CASE(answers_without_a_client_are_refused)
{
    ipc_usual(2, 2, 2);
    ipc_running_client(1);
    static const long calls[] = {CALL_FAULT_REPLY, CALL_REPLY_PARK, CALL_FORWARD_PARK, CALL_PARK};
    for (unsigned i = 0; i < 4; i++)
        EXPECT_EQ(IPC_NATIVE(1, calls[i]), -ERR_WORKER);
    ipc_foreign(1, 1);
    struct thread *w = running(1);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_KEEP, IPC_SLOT + 220), 0);
    for (unsigned i = 0; i < 3; i++)
        EXPECT_EQ(IPC_NATIVE(1, calls[i]), -ERR_CLIENT);
    ipc_check();
    EXPECT_EQ(IPC_NATIVE(1, CALL_PARK), 0);
    EXPECT(running(1) == NULL && worker_parked(w));
    ipc_check();
}

KTAP_CASE(a_client_that_is_held_must_be_answered_before_parking)
{
    ipc_usual(2, 2, 2);
    struct thread *c = ipc_t(ipc_running_client(1));
    ipc_foreign(1, 1);
    EXPECT_EQ(IPC_NATIVE(1, CALL_PARK), -ERR_CLIENT);
    EXPECT_EQ(c->state, THREAD_SERVED);
    ipc_check();
    EXPECT_EQ(IPC_NATIVE(1, CALL_PARK), -ERR_CLIENT);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PARK, 5), 0);
    EXPECT(running(1) == c && c->x[10] == 5);
    ipc_check();
}

KTAP_CASE(a_straight_message_that_is_answered_slowly_arrives)
{
    ipc_usual(2, 2, 2);
    struct thread *c = ipc_t(ipc_running_client(1));
    uint64_t cap = caller_cap(ipc.personality, 1);
    c->x[2] = 0x222, c->x[3] = 0x333, c->x[4] = 0x444;
    IPC_NATIVE(1, CALL_CALL, cap);
    EXPECT_EQ(IPC_NATIVE(1, CALL_PARK), -ERR_CLIENT); /* makes it slow */
    message_set(1, 900);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PARK, 6), 0);
    EXPECT(running(1) == c && message_is(1, 900) && c->x[10] == 6);
    EXPECT(c->x[2] == 0x222 && c->x[3] == 0x333 && c->x[4] == 0x444);
    ipc_check();
}

KTAP_CASE(a_better_thread_does_not_wait_for_a_straight_answer)
{
    ipc_usual(2, 2, 2);
    struct thread *c = ipc_t(ipc_running_client(1)), *w = ipc_t(ipc.personality_worker[1]);
    ipc_foreign(1, 1);
    struct thread *d = ipc_t(ipc_client(ipc.space, 1, 12, ipc.pager, ipc.personality));
    ipc_check(); /* an interrupt is on its way */
    ipc_interrupt(1);
    EXPECT(running(1) == w && w->attention);
    ipc_check();
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PARK, 5), 0);
    EXPECT(running(1) == d && c->state == THREAD_READY && c->x[10] == 5);
    ipc_check();
}

KTAP_CASE(a_better_thread_made_ready_by_the_server_runs_next)
{
    ipc_usual(2, 2, 2);
    struct thread *c = ipc_t(ipc_running_client(1));
    uint64_t better = ipc_client(ipc.space, 1, 12, ipc.pager, ipc.personality);
    ipc_stop(better);
    ipc_interrupt(1);
    EXPECT(running(1) == c);
    ipc_foreign(1, 1);
    EXPECT_EQ(IPC_NATIVE(1, CALL_THREAD_START, better), 0);
    EXPECT(running(1) == ipc_t(ipc.personality_worker[1]));
    ipc_check();
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PARK, 5), 0);
    EXPECT(running(1) == ipc_t(better) && c->state == THREAD_READY);
    ipc_check();
}

KTAP_CASE(a_client_pays_for_its_server_with_its_slice)
{
    ipc_usual(2, 2, 2);
    struct thread *c = ipc_t(ipc_running_client(1)), *d = ipc_t(ipc_usual_client(1));
    ipc_interrupt(1);
    EXPECT(running(1) == c);
    ipc_foreign(1, 1);
    for (unsigned i = 0; i < 3; i++) {
        machine.hart[1].timer_deadline = machine.time;
        ipc_interrupt(1);
        EXPECT(running(1) == ipc_t(ipc.personality_worker[1]));
    }
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PARK, 5), 0);
    EXPECT(running(1) == d && c->state == THREAD_READY);
    machine.hart[1].timer_deadline = ~0UL;
    ipc_check();
}

KTAP_CASE(an_event_without_a_route_stops_its_thread)
{
    ipc_usual(2, 2, 2);
    uint64_t slot = ipc_thread(ipc.space, 1, 8);
    struct thread *c = ipc_t(slot);
    c->x[0] = 0x4000;
    for (unsigned i = 0; i < 3; i++) {
        EXPECT_EQ(IPC_BOSS(CALL_THREAD_START, slot), 0);
        ipc_run(1);
        EXPECT(running(1) == c);
        machine_console_clear();
        if (i == 0)
            ipc_fault(1, IPC_ADDRESS, CAUSE_LOAD_PAGE);
        else if (i == 1)
            ipc_fault(1, 0, CAUSE_BREAKPOINT);
        else
            ipc_foreign(1, 3);
        EXPECT(running(1) == NULL && c->state == THREAD_STOPPED && c->x[0] == 0x4000);
        EXPECT(machine_console()[0] != 0);
        ipc_check();
    }
}

static sigjmp_buf crash_jump;

/* The simulated machine ends a crash with abort(). */
static void crashed(int signal_number)
{
    (void)signal_number;
    siglongjmp(crash_jump, 1);
}

KTAP_CASE(a_server_without_a_route_that_faults_lets_its_client_go)
{
    ipc_usual(2, 2, 2);
    struct thread *c = ipc_t(ipc_running_client(1)), *w = ipc_t(ipc.personality_worker[1]);
    ipc_foreign(1, 1);
    ipc_fault(1, 0x123, CAUSE_LOAD_PAGE);
    EXPECT(running(1) == c && c->x[0] == 0);
    EXPECT(w->state == THREAD_STOPPED && !w->serves);
    ipc_check();
}

KTAP_CASE(a_fault_of_the_memory_server_is_the_end)
{
    ipc_usual(2, 2, 2);
    space_server = world.space;
    uint64_t slot = ipc_thread(SLOT_SPACE, 1, 8);
    EXPECT_EQ(IPC_BOSS(CALL_THREAD_START, slot), 0);
    ipc_run(1);
    signal(SIGABRT, crashed);
    if (!sigsetjmp(crash_jump, 1)) {
        ipc_fault(1, 0x123, CAUSE_LOAD_PAGE);
        EXPECT(!"a fault of the memory server was survived");
    }
    EXPECT(strstr(machine_console(), "reason: the memory server faulted"));
    EXPECT(strstr(machine_console(), "address 0x123"));
}

KTAP_CASE(an_endpoint_that_goes_lets_its_callers_go)
{
    enum { CALLERS = 70 };
    struct thread *c[CALLERS];
    ipc_usual(2, 2, 2);
    uint64_t e = ipc_make(CAP_ENDPOINT);
    for (unsigned i = 0; i < CALLERS; i++) {
        c[i] = ipc_t(ipc_running_client(1));
        IPC_NATIVE(1, CALL_CALL, e);
        EXPECT_EQ(c[i]->state, THREAD_QUEUED);
    }
    ipc_check();
    EXPECT_EQ(IPC_BOSS(CALL_CAP_DELETE, SELF_TABLE, e), -ERR_AGAIN); /* so many at a time */
    ipc_check();
    EXPECT_EQ(IPC_BOSS(CALL_CAP_DELETE, SELF_TABLE, e), 0);
    for (unsigned i = 0; i < CALLERS; i++)
        EXPECT(c[i]->state == THREAD_READY && c[i]->x[10] == (uint64_t)-ERR_GONE);
    ipc_check();
}

KTAP_CASE(an_endpoint_in_use_stays)
{
    ipc_usual(2, 2, 2);
    EXPECT_EQ(IPC_BOSS(CALL_CAP_DELETE, SELF_TABLE, ipc.pager), -ERR_BUSY);
    uint64_t e = ipc_make(CAP_ENDPOINT), slot = ipc_usual_client(1);
    ipc_run(1);
    ipc_stop(slot);
    EXPECT_EQ(IPC_BOSS(CALL_THREAD_SET, slot, THREAD_PAGER, e, 1), 0);
    EXPECT_EQ(IPC_BOSS(CALL_CAP_DELETE, SELF_TABLE, e), -ERR_BUSY);
    EXPECT_EQ(IPC_BOSS(CALL_THREAD_SET, slot, THREAD_PAGER, ipc.pager, 1), 0);
    EXPECT_EQ(IPC_BOSS(CALL_CAP_DELETE, SELF_TABLE, e), 0);
    ipc_check();
}

KTAP_CASE(an_event_queued_by_a_former_route_happens_again)
{
    for (unsigned i = 0; i < 2; i++) {
        ipc_usual(2, 2, 2);
        uint64_t e = ipc_make(CAP_ENDPOINT);
        uint64_t slot = ipc_client(ipc.space, 1, 8, e, e);
        struct thread *c = ipc_t(slot);
        ipc_run(1);
        c->x[0] = 0x4000;
        if (i)
            ipc_foreign(1, 3);
        else
            ipc_fault(1, IPC_ADDRESS, CAUSE_LOAD_PAGE);
        EXPECT_EQ(c->state, THREAD_QUEUED);
        EXPECT_EQ(IPC_BOSS(CALL_THREAD_SET, slot, THREAD_PAGER, ipc.pager, 1), 0);
        EXPECT_EQ(IPC_BOSS(CALL_THREAD_SET, slot, THREAD_PERSONALITY, ipc.personality, 1), 0);
        ipc_check();
        EXPECT_EQ(IPC_BOSS(CALL_CAP_DELETE, SELF_TABLE, e), 0);
        EXPECT(c->state == THREAD_READY && c->x[0] == 0x4000);
        ipc_check();
        ipc_run(1);
        EXPECT(running(1) == c);
    }
}
