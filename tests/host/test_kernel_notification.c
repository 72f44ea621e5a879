/* Notifications: signals to waiters and workers, timers, interrupts. */
#include "ipc_world.h"
#include "ktap.h"

#include "kernel/sched.h"

static struct thread *running(unsigned hart)
{
    return ipc_hart[hart].running;
}

static struct notification *object(uint64_t slot)
{
    return ipc_object(slot);
}

static uint64_t derived(uint64_t slot, uint64_t rights, uint64_t bits)
{
    static uint64_t next;
    uint64_t to = IPC_SLOT + 180 + next++ % 40;
    if (world_cap(to)->type != CAP_NONE)
        EXPECT_EQ(IPC_BOSS(CALL_CAP_DELETE, SELF_TABLE, to), 0);
    EXPECT_EQ(IPC_BOSS(CALL_CAP_COPY, slot, SELF_TABLE, to, rights, bits, 0), 0);
    return to;
}

KTAP_CASE(bits_gather_until_somebody_takes_them)
{
    ipc_usual(2, 2, 2);
    uint64_t n = ipc_make(CAP_NOTIFICATION);
    struct thread *c = ipc_t(ipc_running_client(1));
    EXPECT_EQ(IPC_BOSS(CALL_SIGNAL, n, 1), 0);
    EXPECT_EQ(IPC_BOSS(CALL_SIGNAL, n, 8), 0);
    EXPECT_EQ(IPC_BOSS(CALL_SIGNAL, n, 0), 0);
    ipc_check();
    EXPECT_EQ(IPC_NATIVE(1, CALL_WAIT, n), 0);
    EXPECT(running(1) == c && c->x[11] == 9 && object(n)->bits == 0);
    IPC_NATIVE(1, CALL_WAIT, n);
    EXPECT(running(1) == NULL && c->state == THREAD_WAIT);
    ipc_check();
    EXPECT_EQ(IPC_BOSS(CALL_SIGNAL, n, 0), 0);
    EXPECT_EQ(c->state, THREAD_WAIT);
    EXPECT_EQ(IPC_BOSS(CALL_SIGNAL, n, 1UL << 63), 0);
    EXPECT(c->state == THREAD_READY && object(n)->bits == 0);
    ipc_check();
    ipc_run(1);
    EXPECT(running(1) == c && c->x[10] == 0 && c->x[11] == 1UL << 63);
}

KTAP_CASE(one_signal_wakes_one_waiter_in_order)
{
    enum { WAITERS = 3 };
    struct thread *t[WAITERS];
    ipc_usual(2, 2, 2);
    uint64_t n = ipc_make(CAP_NOTIFICATION);
    for (unsigned i = 0; i < WAITERS; i++) {
        t[i] = ipc_t(ipc_running_client(1));
        IPC_NATIVE(1, CALL_WAIT, n);
    }
    ipc_check();
    for (unsigned i = 0; i < WAITERS; i++) {
        EXPECT_EQ(IPC_BOSS(CALL_SIGNAL, n, i + 1), 0);
        for (unsigned k = 0; k < WAITERS; k++)
            EXPECT_EQ(t[k]->state, k <= i ? THREAD_READY : THREAD_WAIT);
        EXPECT_EQ(t[i]->x[11], i + 1);
        ipc_check();
    }
}

KTAP_CASE(signals_enter_a_parked_worker)
{
    ipc_usual(3, 6, 2);
    uint64_t n = ipc_make(CAP_NOTIFICATION);
    struct thread *w = ipc_t(ipc.personality_worker[1]);
    EXPECT_EQ(IPC_BOSS(CALL_NOTIFICATION_BIND, n, ipc.personality_worker[1]), 0);
    /* From another hart: by an interrupt. */
    EXPECT_EQ(IPC_BOSS(CALL_SIGNAL, n, 6), 0);
    EXPECT(w->attention && machine.hart[1].software_pending);
    ipc_check();
    EXPECT_EQ(IPC_BOSS(CALL_SIGNAL, n, 1), 0);
    ipc_run(1);
    EXPECT(running(1) == w && ipc_entered(w, ENTER_SIGNAL) && w->x[10] == 7);
    EXPECT(object(n)->bits == 0 && !w->attention);
    ipc_check();
    EXPECT_EQ(IPC_NATIVE(1, CALL_PARK), 0);
    EXPECT(running(1) == NULL);
    /* From its own hart: it is better than who signals. */
    struct thread *c = ipc_t(ipc_running_client(1));
    EXPECT_EQ(IPC_NATIVE(1, CALL_SIGNAL, n, 8), 0);
    EXPECT(running(1) == c && w->state == THREAD_READY && !worker_parked(w));
    ipc_check();
    ipc_interrupt(1);
    EXPECT(running(1) == w && w->x[10] == 8);
    EXPECT_EQ(IPC_NATIVE(1, CALL_PARK), 0);
    EXPECT(running(1) == c);
    ipc_check();
}

KTAP_CASE(signals_reach_a_busy_worker_when_it_parks)
{
    for (unsigned how = 0; how < 3; how++) {
        ipc_usual(2, 2, 2);
        uint64_t n = ipc_make(CAP_NOTIFICATION);
        struct thread *w = ipc_t(ipc.pager_worker[1]);
        EXPECT_EQ(IPC_BOSS(CALL_NOTIFICATION_BIND, n, ipc.pager_worker[1]), 0);
        struct thread *c = ipc_t(ipc_running_client(1));
        ipc_fault(1, IPC_ADDRESS, CAUSE_LOAD_PAGE);
        if (how == 0)
            EXPECT_EQ(IPC_NATIVE(1, CALL_SIGNAL, n, 3), 0); /* itself */
        else
            EXPECT_EQ(IPC_BOSS(CALL_SIGNAL, n, 3), 0);
        if (how == 2)
            ipc_interrupt(1); /* nothing to be done yet */
        EXPECT(running(1) == w && w->attention && object(n)->bits == 3);
        ipc_check();
        EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PARK, 0), 0);
        EXPECT(running(1) == w && ipc_entered(w, ENTER_SIGNAL) && w->x[10] == 3);
        EXPECT_EQ(c->state, THREAD_READY);
        ipc_check();
        EXPECT_EQ(IPC_NATIVE(1, CALL_PARK), 0);
        EXPECT(running(1) == c);
        ipc_check();
    }
}

/* The interrupt comes when the worker has parked straight, between attention and its arrival. */
KTAP_CASE(a_signal_that_crosses_a_straight_answer_is_not_lost)
{
    ipc_usual(2, 2, 2);
    uint64_t n = ipc_make(CAP_NOTIFICATION);
    struct thread *w = ipc_t(ipc.pager_worker[1]), *c = ipc_t(ipc_running_client(1));
    EXPECT_EQ(IPC_BOSS(CALL_NOTIFICATION_BIND, n, ipc.pager_worker[1]), 0);
    ipc_fault(1, IPC_ADDRESS, CAUSE_LOAD_PAGE);
    EXPECT_EQ(IPC_BOSS(CALL_SIGNAL, n, 3), 0);
    w->attention = 0; /* as the answer read it a moment before the signal */
    IPC_NATIVE(1, CALL_REPLY_PARK, 0);
    w->attention = 1;
    EXPECT(running(1) == c && worker_parked(w));
    ipc_check();
    ipc_interrupt(1);
    EXPECT(running(1) == w && w->x[10] == 3);
    ipc_check();
}

KTAP_CASE(signals_come_before_what_is_queued)
{
    ipc_usual(3, 6, 2);
    uint64_t n = ipc_make(CAP_NOTIFICATION);
    struct thread *w = ipc_t(ipc.personality_worker[1]);
    EXPECT_EQ(IPC_BOSS(CALL_NOTIFICATION_BIND, n, ipc.personality_worker[1]), 0);
    struct thread *c = ipc_t(ipc_running_client(2));
    ipc_foreign(2, 5);
    EXPECT_EQ(IPC_BOSS(CALL_SIGNAL, n, 3), 0);
    ipc_check();
    ipc_run(1);
    EXPECT(running(1) == w && ipc_entered(w, ENTER_SIGNAL) && w->attention);
    ipc_check();
    EXPECT_EQ(IPC_NATIVE(1, CALL_PARK), 0);
    EXPECT(running(1) == w && ipc_entered(w, ENTER_CALL) && w->served == c);
    ipc_check();
}

KTAP_CASE(waiters_come_before_the_worker)
{
    ipc_usual(2, 2, 2);
    uint64_t n = ipc_make(CAP_NOTIFICATION);
    struct thread *c = ipc_t(ipc_running_client(1));
    EXPECT_EQ(IPC_BOSS(CALL_NOTIFICATION_BIND, n, ipc.personality_worker[1]), 0);
    IPC_NATIVE(1, CALL_WAIT, n);
    EXPECT_EQ(IPC_BOSS(CALL_SIGNAL, n, 3), 0);
    EXPECT_EQ(c->state, THREAD_READY);
    ipc_check();
}

KTAP_CASE(every_refusal_of_signal_wait_and_bind)
{
    ipc_usual(2, 2, 2);
    uint64_t n = ipc_make(CAP_NOTIFICATION), w = ipc.personality_worker[1];
    uint64_t one = derived(n, RIGHT_SIGNAL, 6), none = derived(n, 0, 0), empty = IPC_SLOT + 170;
    ipc_running_client(1);
    EXPECT_EQ(IPC_NATIVE(1, CALL_SIGNAL, one, 1), -ERR_ARGUMENT);
    EXPECT_EQ(IPC_NATIVE(1, CALL_SIGNAL, one, 7), -ERR_ARGUMENT);
    EXPECT_EQ(IPC_NATIVE(1, CALL_SIGNAL, one, 4), 0);
    EXPECT_EQ(IPC_NATIVE(1, CALL_SIGNAL, none, 1), -ERR_RIGHTS);
    EXPECT_EQ(IPC_NATIVE(1, CALL_SIGNAL, empty, 1), -ERR_EMPTY);
    EXPECT_EQ(IPC_NATIVE(1, CALL_SIGNAL, ipc.pager, 1), -ERR_TYPE);
    EXPECT_EQ(IPC_NATIVE(1, CALL_WAIT, one), -ERR_RIGHTS);
    EXPECT_EQ(IPC_NATIVE(1, CALL_WAIT, empty), -ERR_EMPTY);
    EXPECT_EQ(IPC_NATIVE(1, CALL_WAIT, ~0UL), -ERR_SLOT);
    EXPECT_EQ(IPC_NATIVE(1, CALL_WAIT, ipc.pager), -ERR_TYPE);
    EXPECT_EQ(IPC_NATIVE(1, CALL_NOTIFICATION_BIND, one, w), -ERR_RIGHTS);
    EXPECT_EQ(IPC_NATIVE(1, CALL_NOTIFICATION_BIND, n, SLOT_THREAD), -ERR_WORKER);
    EXPECT_EQ(IPC_NATIVE(1, CALL_NOTIFICATION_BIND, n, n), -ERR_TYPE);
    EXPECT_EQ(IPC_NATIVE(1, CALL_NOTIFICATION_BIND, w, w), -ERR_TYPE);
    EXPECT_EQ(IPC_NATIVE(1, CALL_NOTIFICATION_BIND, n, derived(w, 0, 0)), -ERR_RIGHTS);
    EXPECT_EQ(IPC_NATIVE(1, CALL_NOTIFICATION_BIND, n, w), 0);
    ipc_check();
    EXPECT_EQ(IPC_NATIVE(1, CALL_NOTIFICATION_BIND, n, ipc.pager_worker[1]), -ERR_BUSY);
    EXPECT_EQ(IPC_NATIVE(1, CALL_NOTIFICATION_BIND, ipc_make(CAP_NOTIFICATION), w), -ERR_BUSY);
    ipc_interrupt(1); /* the bits that were there enter the worker */
    EXPECT(running(1) == ipc_t(w) && running(1)->x[10] == 4);
    EXPECT_EQ(IPC_NATIVE(1, CALL_WAIT, n), -ERR_WORKER);
    ipc_check();
}

KTAP_CASE(a_notification_that_goes_wakes_its_waiters)
{
    enum { WAITERS = 70 };
    struct thread *t[WAITERS];
    ipc_usual(2, 2, 2);
    uint64_t n = ipc_make(CAP_NOTIFICATION);
    EXPECT_EQ(IPC_BOSS(CALL_NOTIFICATION_BIND, n, ipc.personality_worker[1]), 0);
    EXPECT_EQ(IPC_BOSS(CALL_TIMER_SET, n, 1UL << 40, 1), 0);
    machine.hart[0].timer_deadline = ~0UL;
    for (unsigned i = 0; i < WAITERS; i++) {
        t[i] = ipc_t(ipc_running_client(1));
        IPC_NATIVE(1, CALL_WAIT, n);
    }
    EXPECT_EQ(IPC_BOSS(CALL_CAP_DELETE, SELF_TABLE, n), -ERR_AGAIN);
    ipc_check();
    EXPECT_EQ(IPC_BOSS(CALL_CAP_DELETE, SELF_TABLE, n), 0);
    for (unsigned i = 0; i < WAITERS; i++)
        EXPECT(t[i]->state == THREAD_READY && t[i]->x[10] == (uint64_t)-ERR_GONE);
    EXPECT(ipc_t(ipc.personality_worker[1])->bound == NULL);
    EXPECT_EQ(timers_next(), ~0UL);
    ipc_check();
}

/* Timers. */

static void tick(unsigned hart)
{
    machine.hart[hart].timer_deadline = machine.time;
    if (running(hart))
        ipc_interrupt(hart);
    else
        ipc_run(hart);
    machine.hart[hart].timer_deadline = ~0UL;
}

KTAP_CASE(timers_fire_in_order_once_on_whichever_hart)
{
    enum { TIMERS = 20 };
    uint64_t n[TIMERS];
    ipc_usual(2, 2, 2);
    for (unsigned i = 0; i < TIMERS; i++)
        n[i] = ipc_make(CAP_NOTIFICATION);
    ipc_running_client(1); /* an idle hart would wait for them all */
    uint64_t base = machine.time + 1000000;
    for (unsigned i = 0; i < TIMERS; i++) /* some share a deadline */
        EXPECT_EQ(
            IPC_BOSS(CALL_TIMER_SET, n[i * 7 % TIMERS], base + i * 7 % TIMERS / 2 * 1000, 1UL << i),
            0);
    EXPECT_EQ(timers_next(), base);
    for (unsigned k = 0; k < TIMERS / 2; k++) {
        machine.time = base + k * 1000;
        tick(k % 2);
        for (unsigned i = 0; i < TIMERS; i++)
            EXPECT_EQ(object(n[i])->bits != 0, i / 2 <= k);
        ipc_check();
    }
    EXPECT_EQ(timers_next(), ~0UL);
}

KTAP_CASE(a_timer_is_set_anew_and_cancelled)
{
    ipc_usual(2, 2, 2);
    uint64_t n = ipc_make(CAP_NOTIFICATION), one = derived(n, RIGHT_SIGNAL, 2);
    uint64_t later = machine.time + 1000000;
    EXPECT_EQ(IPC_BOSS(CALL_TIMER_SET, one, later, 1), -ERR_ARGUMENT);
    EXPECT_EQ(IPC_BOSS(CALL_TIMER_SET, derived(n, RIGHT_WAIT, 0), later, 1), -ERR_RIGHTS);
    EXPECT_EQ(IPC_BOSS(CALL_TIMER_SET, ipc.pager, later, 1), -ERR_TYPE);
    EXPECT_EQ(timers_next(), ~0UL);
    EXPECT_EQ(IPC_BOSS(CALL_TIMER_SET, one, later, 2), 0);
    EXPECT_EQ(IPC_BOSS(CALL_TIMER_SET, n, later + 5, 4), 0);
    EXPECT_EQ(timers_next(), later + 5);
    machine.time = later;
    tick(0);
    EXPECT_EQ(object(n)->bits, 0);
    EXPECT_EQ(IPC_BOSS(CALL_TIMER_SET, n, 0, 0), 0);
    EXPECT_EQ(timers_next(), ~0UL);
    machine.time = later + 10;
    tick(0);
    EXPECT_EQ(object(n)->bits, 0);
    EXPECT_EQ(IPC_BOSS(CALL_TIMER_SET, n, 1, 8), 0); /* long past: at once */
    EXPECT(machine.hart[0].timer_deadline <= machine.time);
    ipc_interrupt(0);
    EXPECT_EQ(object(n)->bits, 8);
    machine.hart[0].timer_deadline = ~0UL;
    ipc_check();
}

KTAP_CASE(many_timers_at_once_are_taken_in_parts)
{
    enum { TIMERS = 150 };
    ipc_usual(2, 2, 2);
    uint64_t first = ipc_make(CAP_NOTIFICATION);
    for (unsigned i = 1; i < TIMERS; i++)
        ipc_make(CAP_NOTIFICATION);
    uint64_t base = machine.time + 1000000;
    for (unsigned i = 0; i < TIMERS; i++)
        EXPECT_EQ(IPC_BOSS(CALL_TIMER_SET, first + i, base, 1), 0);
    machine.time = base;
    unsigned ticks = 0;
    while (timers_next() != ~0UL) {
        EXPECT(++ticks < 10);
        machine.hart[0].timer_deadline = machine.time;
        ipc_interrupt(0);
        if (timers_next() != ~0UL) /* very soon again */
            EXPECT(machine.hart[0].timer_deadline < machine.time + arch_timebase_hz / 1000);
    }
    EXPECT(ticks > 1);
    for (unsigned i = 0; i < TIMERS; i++)
        EXPECT_EQ(object(first + i)->bits, 1);
    machine.hart[0].timer_deadline = ~0UL;
}

KTAP_CASE(a_timer_wakes_a_waiter_and_enters_a_worker)
{
    ipc_usual(2, 2, 2);
    uint64_t n = ipc_make(CAP_NOTIFICATION), m = ipc_make(CAP_NOTIFICATION);
    EXPECT_EQ(IPC_BOSS(CALL_NOTIFICATION_BIND, m, ipc.personality_worker[1]), 0);
    struct thread *c = ipc_t(ipc_running_client(1));
    uint64_t later = machine.time + 1000;
    EXPECT_EQ(IPC_NATIVE(1, CALL_TIMER_SET, n, later, 1), 0);
    EXPECT_EQ(IPC_NATIVE(1, CALL_TIMER_SET, m, later, 2), 0);
    machine.hart[1].timer_deadline = ~0UL;
    IPC_NATIVE(1, CALL_WAIT, n);
    EXPECT(running(1) == NULL);
    machine.time = later;
    tick(1);
    EXPECT(running(1) == ipc_t(ipc.personality_worker[1]) && running(1)->x[10] == 2);
    EXPECT(c->state == THREAD_READY && c->x[11] == 1);
    ipc_check();
}

/* Interrupts. */

#define SOURCE(i) (SLOT_INTERRUPT + (i))

KTAP_CASE(an_interrupt_is_delivered_once_until_it_is_acknowledged)
{
    ipc_usual(2, 2, 2);
    uint64_t n = ipc_make(CAP_NOTIFICATION);
    EXPECT_EQ(IPC_BOSS(CALL_INTERRUPT_ACK, SOURCE(1)), -ERR_STATE);
    EXPECT_EQ(IPC_BOSS(CALL_INTERRUPT_BIND, SOURCE(1), n, 5), 0);
    EXPECT(machine_source_enabled(1));
    ipc_check();
    for (unsigned i = 0; i < 2; i++) {
        machine_source_raise(1);
        ipc_interrupt(0);
        EXPECT_EQ(object(n)->bits, 5);
        EXPECT(machine_source_in_service(1));
        ipc_check();
        object(n)->bits = 0;
        machine_source_raise(1); /* while in service */
        ipc_interrupt(0);
        EXPECT_EQ(object(n)->bits, 0);
        EXPECT_EQ(IPC_BOSS(CALL_INTERRUPT_ACK, SOURCE(1)), 0);
        EXPECT_EQ(IPC_BOSS(CALL_INTERRUPT_ACK, SOURCE(1)), -ERR_STATE);
        ipc_interrupt(0);
        EXPECT_EQ(object(n)->bits, 5);
        object(n)->bits = 0;
        EXPECT_EQ(IPC_BOSS(CALL_INTERRUPT_ACK, SOURCE(1)), 0);
        ipc_check();
    }
}

KTAP_CASE(an_interrupt_enters_the_drivers_worker)
{
    ipc_usual(2, 2, 2);
    uint64_t n = ipc_make(CAP_NOTIFICATION);
    struct thread *w = ipc_t(ipc.personality_worker[1]);
    EXPECT_EQ(IPC_BOSS(CALL_NOTIFICATION_BIND, n, ipc.personality_worker[1]), 0);
    EXPECT_EQ(IPC_BOSS(CALL_INTERRUPT_BIND, SOURCE(2), n, 1), 0);
    machine_source_raise(2);
    ipc_run(1); /* on its own hart, idle */
    EXPECT(running(1) == w && w->x[10] == 1);
    EXPECT_EQ(IPC_NATIVE(1, CALL_INTERRUPT_ACK, SOURCE(2)), 0);
    EXPECT_EQ(IPC_NATIVE(1, CALL_PARK), 0);
    machine_source_raise(2);
    ipc_interrupt(0); /* on another */
    EXPECT(w->attention);
    ipc_check();
    ipc_run(1);
    EXPECT(running(1) == w && w->x[10] == 1);
    ipc_check();
}

KTAP_CASE(an_interrupt_that_nobody_wants_is_silenced)
{
    ipc_usual(2, 2, 2);
    arch_source_enable(7, true);
    machine_source_raise(7);
    ipc_interrupt(0);
    EXPECT(!machine_source_enabled(7) && !machine_source_in_service(7));
    ipc_check();
}

KTAP_CASE(binding_an_interrupt_anew_and_taking_it_back)
{
    ipc_usual(2, 2, 2);
    uint64_t n = ipc_make(CAP_NOTIFICATION), m = ipc_make(CAP_NOTIFICATION);
    uint64_t one = derived(n, RIGHT_SIGNAL, 2), none = derived(n, RIGHT_WAIT, 0);
    EXPECT_EQ(IPC_BOSS(CALL_INTERRUPT_BIND, SOURCE(3), none, 1), -ERR_RIGHTS);
    EXPECT_EQ(IPC_BOSS(CALL_INTERRUPT_BIND, SOURCE(3), ipc.pager, 1), -ERR_TYPE);
    EXPECT_EQ(IPC_BOSS(CALL_INTERRUPT_BIND, n, n, 1), -ERR_TYPE);
    EXPECT_EQ(IPC_BOSS(CALL_INTERRUPT_BIND, derived(SOURCE(3), 0, 0), n, 1), -ERR_RIGHTS);
    EXPECT_EQ(IPC_BOSS(CALL_INTERRUPT_ACK, derived(SOURCE(3), 0, 0)), -ERR_RIGHTS);
    EXPECT_EQ(IPC_BOSS(CALL_INTERRUPT_BIND, SOURCE(3), one, 3), -ERR_ARGUMENT);
    EXPECT(!machine_source_enabled(3));
    EXPECT_EQ(IPC_BOSS(CALL_INTERRUPT_BIND, SOURCE(3), one, 2), 0);
    machine_source_raise(3);
    ipc_interrupt(0);
    EXPECT_EQ(object(n)->bits, 2);
    EXPECT_EQ(IPC_BOSS(CALL_CAP_DELETE, SELF_TABLE, one), 0);
    EXPECT_EQ(IPC_BOSS(CALL_CAP_REVOKE, SELF_TABLE, n), 0);
    EXPECT_EQ(IPC_BOSS(CALL_CAP_DELETE, SELF_TABLE, n), -ERR_BUSY);
    EXPECT_EQ(IPC_BOSS(CALL_INTERRUPT_BIND, SOURCE(3), m, 1), 0); /* while in service */
    EXPECT(!machine_source_in_service(3) && machine_source_enabled(3));
    EXPECT_EQ(IPC_BOSS(CALL_CAP_DELETE, SELF_TABLE, n), 0);
    ipc_check();
    uint64_t copy = derived(SOURCE(3), 0xff, 0);
    machine_source_raise(3);
    ipc_interrupt(0);
    EXPECT_EQ(IPC_BOSS(CALL_CAP_DELETE, SELF_TABLE, copy), 0); /* ends its service */
    EXPECT(!machine_source_enabled(3) && !machine_source_in_service(3));
    EXPECT_EQ(object(m)->references, 0);
    ipc_check();
}
