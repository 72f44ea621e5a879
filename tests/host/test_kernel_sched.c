/* Who runs: priorities, round robin, preemption, idle steps, the timer, floating-point state. */
#include "ipc_world.h"
#include "ktap.h"

#include "arch/host/tlb.h"
#include "kernel/sched.h"

static struct thread *running(unsigned hart)
{
    return ipc_hart[hart].running;
}

static void tick(unsigned hart)
{
    machine.hart[hart].timer_deadline = machine.time;
    if (running(hart))
        ipc_interrupt(hart);
    else
        ipc_run(hart);
    machine.hart[hart].timer_deadline = ~0UL;
}

static uint64_t client(unsigned hart, unsigned priority)
{
    return ipc_client(ipc.space, hart, priority, ipc.pager, ipc.personality);
}

KTAP_CASE(the_best_priority_runs_first)
{
    ipc_usual(2, 2, 2);
    struct thread *t[PRIORITY_MAX + 1];
    for (unsigned i = 0; i <= PRIORITY_MAX; i++)
        t[i * 7 % (PRIORITY_MAX + 1)] = ipc_t(client(1, i * 7 % (PRIORITY_MAX + 1)));
    ipc_check();
    ipc_run(1);
    for (unsigned i = PRIORITY_MAX + 1; i > 0; i--) {
        EXPECT(running(1) == t[i - 1]);
        IPC_NATIVE(1, CALL_WAIT, ipc_make(CAP_NOTIFICATION));
        ipc_check();
    }
    EXPECT(running(1) == NULL);
}

KTAP_CASE(a_better_thread_preempts_at_once)
{
    ipc_usual(2, 2, 2);
    struct thread *low = ipc_t(client(1, 5));
    ipc_run(1);
    EXPECT(running(1) == low);
    ipc_fill(low);
    struct thread *high = ipc_t(client(1, 6));
    EXPECT(machine.hart[1].software_pending);
    ipc_interrupt(1);
    EXPECT(running(1) == high && low->state == THREAD_READY && ipc_filled(low, 0));
    ipc_check();
    struct thread *same = ipc_t(client(1, 6));
    ipc_interrupt(1);
    EXPECT(running(1) == high && same->state == THREAD_READY);
    ipc_check();
    /* By a call of its own: woken on the way back to user mode. */
    uint64_t n = ipc_make(CAP_NOTIFICATION);
    IPC_NATIVE(1, CALL_WAIT, n);
    EXPECT(running(1) == same);
    ipc_check();
    IPC_NATIVE(1, CALL_THREAD_STOP, SLOT_ENDPOINT); /* something refused changes nothing */
    EXPECT(running(1) == same);
}

KTAP_CASE(a_thread_that_wakes_a_better_one_is_preempted)
{
    ipc_usual(2, 2, 2);
    uint64_t n = ipc_make(CAP_NOTIFICATION);
    struct thread *high = ipc_t(client(1, 9));
    ipc_run(1);
    IPC_NATIVE(1, CALL_WAIT, n);
    struct thread *low = ipc_t(client(1, 5));
    ipc_run(1);
    EXPECT(running(1) == low);
    EXPECT_EQ(IPC_NATIVE(1, CALL_SIGNAL, n, 4), 0);
    EXPECT(running(1) == low && high->state == THREAD_READY);
    EXPECT(machine.hart[1].software_pending); /* taken as soon as it is back in user mode */
    ipc_check();
    ipc_interrupt(1);
    EXPECT(running(1) == high && high->x[10] == 0 && high->x[11] == 4);
    ipc_check();
}

KTAP_CASE(equals_take_turns)
{
    enum { EQUALS = 3, ROUNDS = 12 };
    struct thread *t[EQUALS];
    ipc_usual(2, 2, 2);
    for (unsigned i = 0; i < EQUALS; i++)
        t[i] = ipc_t(client(1, 8));
    client(1, 3); /* never gets the hart */
    ipc_run(1);
    for (unsigned i = 0; i < ROUNDS; i++) {
        EXPECT(running(1) == t[i % EQUALS]);
        for (unsigned k = 0; k < SLICE_PERIODS; k++) {
            EXPECT(running(1) == t[i % EQUALS]);
            tick(1);
            ipc_check();
        }
    }
}

KTAP_CASE(one_alone_keeps_the_hart)
{
    ipc_usual(2, 2, 2);
    struct thread *t = ipc_t(client(1, 8));
    client(1, 7);
    ipc_run(1);
    for (unsigned i = 0; i < 10; i++) {
        tick(1);
        EXPECT(running(1) == t && t->seen_user == i + 1);
    }
    ipc_check();
}

KTAP_CASE(yield_lets_equals_run_and_nobody_worse)
{
    ipc_usual(2, 2, 2);
    struct thread *a = ipc_t(client(1, 8)), *b = ipc_t(client(1, 8));
    client(1, 7);
    ipc_run(1);
    EXPECT(running(1) == a);
    a->x[0] = 0x4000;
    IPC_NATIVE(1, CALL_YIELD);
    EXPECT(running(1) == b && a->x[0] == 0x4004 && a->x[10] == 0);
    ipc_check();
    IPC_NATIVE(1, CALL_YIELD);
    EXPECT(running(1) == a);
    ipc_stop(ipc_make(CAP_THREAD)); /* one that never ran */
    IPC_NATIVE(1, CALL_WAIT, ipc_make(CAP_NOTIFICATION));
    EXPECT(running(1) == b);
    IPC_NATIVE(1, CALL_YIELD);
    EXPECT(running(1) == b);
    ipc_check();
}

/* Hart 1: b runs, c's turn is over, and a waits for the notification with its slice unused. */
struct woken {
    uint64_t n;
    struct thread *a, *b, *c;
};

static struct woken woken_setup(void)
{
    struct woken s;

    ipc_usual(2, 2, 2);
    s.n = ipc_make(CAP_NOTIFICATION);
    s.a = ipc_t(client(1, 8));
    s.c = ipc_t(client(1, 8));
    ipc_run(1);
    IPC_NATIVE(1, CALL_WAIT, s.n);
    EXPECT(running(1) == s.c);
    s.b = ipc_t(client(1, 8));
    for (unsigned i = 0; i < SLICE_PERIODS; i++)
        tick(1);
    EXPECT(running(1) == s.b && s.c->state == THREAD_READY && s.a->state == THREAD_WAIT);
    return s;
}

KTAP_CASE(a_woken_thread_goes_before_those_whose_turn_is_over)
{
    for (unsigned by_other = 0; by_other < 2; by_other++) {
        struct woken s = woken_setup();
        if (by_other)
            EXPECT_EQ(IPC_BOSS(CALL_SIGNAL, s.n, 1), 0);
        else
            EXPECT_EQ(IPC_NATIVE(1, CALL_SIGNAL, s.n, 1), 0);
        ipc_interrupt(1);
        EXPECT(running(1) == s.b && s.a->state == THREAD_READY); /* who has as much left goes on */
        ipc_check();
        IPC_NATIVE(1, CALL_WAIT, ipc_make(CAP_NOTIFICATION));
        EXPECT(running(1) == s.a && s.c->state == THREAD_READY);
        ipc_check();
    }
}

KTAP_CASE(who_has_run_for_a_period_makes_way_for_a_woken_thread)
{
    for (unsigned by_other = 0; by_other < 2; by_other++) {
        struct woken s = woken_setup();
        tick(1);
        EXPECT(running(1) == s.b);
        if (by_other)
            EXPECT_EQ(IPC_BOSS(CALL_SIGNAL, s.n, 1), 0);
        else
            EXPECT_EQ(IPC_NATIVE(1, CALL_SIGNAL, s.n, 1), 0);
        EXPECT(machine.hart[1].software_pending);
        ipc_interrupt(1);
        EXPECT(running(1) == s.a && s.b->state == THREAD_READY);
        ipc_check();
        /* It was interrupted, its turn is not over: it goes on before c. */
        IPC_NATIVE(1, CALL_WAIT, s.n);
        EXPECT(running(1) == s.b && s.b->slice_left == SLICE_PERIODS - 1);
        ipc_check();
        tick(1);
        EXPECT(running(1) == s.c);
        ipc_check();
    }
}

KTAP_CASE(a_client_in_its_server_makes_way_for_a_woken_thread)
{
    struct woken s = woken_setup();
    tick(1);
    ipc_foreign(1, 1);
    EXPECT_EQ(IPC_BOSS(CALL_SIGNAL, s.n, 1), 0);
    ipc_interrupt(1);
    EXPECT(running(1) == ipc_t(ipc.personality_worker[1]));
    ipc_check();
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PARK, 7), 0);
    EXPECT(running(1) == s.a && s.b->state == THREAD_READY && s.b->x[10] == 7);
    ipc_check();
}

/* However often two wake each other, the third has its turn when their slices are used. */
KTAP_CASE(threads_that_wake_each_other_starve_nobody)
{
    ipc_usual(2, 2, 2);
    uint64_t n[2] = {ipc_make(CAP_NOTIFICATION), ipc_make(CAP_NOTIFICATION)};
    struct thread *pair[2] = {ipc_t(client(1, 8)), ipc_t(client(1, 8))};
    struct thread *third = ipc_t(client(1, 8));
    unsigned turns = 0;

    ipc_run(1);
    IPC_NATIVE(1, CALL_WAIT, n[0]);
    EXPECT(running(1) == pair[1]);
    for (unsigned i = 0; i < 60; i++) {
        unsigned who = running(1) == pair[1];
        if (running(1) == third) {
            turns++;
        } else {
            IPC_NATIVE(1, CALL_SIGNAL, n[!who], 1);
            IPC_NATIVE(1, CALL_WAIT, n[who]);
        }
        ipc_check();
        tick(1);
        ipc_check();
    }
    EXPECT(turns >= 60 / 3 - SLICE_PERIODS);
}

KTAP_CASE(an_answer_may_end_its_clients_turn)
{
    for (unsigned how = 0; how < 4; how++) {
        bool last = how & 1, kept = how & 2;
        ipc_usual(2, 2, 2);
        uint64_t reply = IPC_SLOT + 200;
        struct thread *a = ipc_t(ipc_running_client(1)), *b = ipc_t(ipc_usual_client(1));
        ipc_foreign(1, 1);
        if (kept) {
            EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_KEEP, reply), 0);
            EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_SEND, reply, 5, last), 0);
            IPC_NATIVE(1, CALL_PARK);
        } else {
            IPC_NATIVE(1, last ? CALL_REPLY_LAST : CALL_REPLY_PARK, 5);
        }
        EXPECT(running(1) == (last ? b : a) && a->x[10] == 5);
        ipc_check();
    }
}

KTAP_CASE(a_worker_may_yield_with_a_client)
{
    ipc_usual(2, 2, 2);
    struct thread *c = ipc_t(ipc_running_client(1)), *w = ipc_t(ipc.personality_worker[1]);
    ipc_foreign(1, 1);
    struct thread *d = ipc_t(client(1, 24));
    IPC_NATIVE(1, CALL_YIELD);
    EXPECT(running(1) == d && w->client == c && w->state == THREAD_READY);
    ipc_check();
    IPC_NATIVE(1, CALL_YIELD);
    EXPECT(running(1) == w);
    ipc_check();
    IPC_NATIVE(1, CALL_REPLY_PARK, 7);
    EXPECT(running(1) == d && c->x[10] == 7);
    ipc_check();
}

KTAP_CASE(threads_wake_on_their_own_hart)
{
    ipc_usual(4, 0xe, 0xe);
    uint64_t n = ipc_make(CAP_NOTIFICATION);
    for (unsigned h = 1; h < 4; h++) {
        client(h, 8);
        ipc_run(h);
        IPC_NATIVE(h, CALL_WAIT, n);
        EXPECT(running(h) == NULL);
    }
    for (unsigned h = 1; h < 4; h++) {
        uint64_t sent = machine.hart[h].interrupts_sent;
        EXPECT_EQ(IPC_BOSS(CALL_SIGNAL, n, h), 0);
        EXPECT_EQ(machine.hart[h].interrupts_sent, sent + 1);
        ipc_check();
        ipc_run(h);
        EXPECT(running(h) && running(h)->x[11] == h);
        ipc_check();
    }
}

/* Idle steps. */

static uint64_t idle_worker(unsigned hart)
{
    uint64_t e = ipc_make(CAP_ENDPOINT);
    uint64_t w = ipc_worker(SLOT_SPACE, hart, 31, e, WORKER_IDLE);

    harts[hart]->idle_mark = 0;
    return w;
}

KTAP_CASE(an_idle_hart_offers_its_time_until_there_is_no_more_to_do)
{
    ipc_usual(2, 2, 2);
    struct thread *w = ipc_t(idle_worker(1));
    ipc_run(1);
    for (unsigned i = 0; i < 5; i++) {
        EXPECT(running(1) == w && ipc_entered(w, ENTER_IDLE));
        ipc_check();
        EXPECT_EQ(harts[1]->counter[COUNT_idle_enter], i + 1);
        EXPECT_EQ(IPC_NATIVE(1, CALL_PARK, 1), 0);
    }
    EXPECT_EQ(IPC_NATIVE(1, CALL_PARK, 0), 0);
    EXPECT(running(1) == NULL);
    ipc_check();
    tick(1); /* nothing happened meanwhile */
    EXPECT(running(1) == NULL);
    ipc_running_client(1);
    ipc_foreign(1, 1);
    IPC_NATIVE(1, CALL_REPLY_PARK, 0);
    IPC_NATIVE(1, CALL_WAIT, ipc_make(CAP_NOTIFICATION));
    EXPECT(running(1) == w && ipc_entered(w, ENTER_IDLE));
    ipc_check();
}

KTAP_CASE(an_idle_step_ends_early_when_there_is_work)
{
    ipc_usual(2, 2, 2);
    uint64_t slot = idle_worker(1);
    struct thread *w = ipc_t(slot);
    ipc_run(1);
    EXPECT(running(1) == w);
    struct thread *c = ipc_t(client(1, 8));
    ipc_interrupt(1);
    EXPECT(running(1) == w); /* it is better; its steps are short */
    EXPECT_EQ(IPC_NATIVE(1, CALL_PARK, 1), 0);
    EXPECT(running(1) == c);
    ipc_check();
    ipc_stop(slot);
    EXPECT(harts[1]->idle_worker == NULL && running(1) == c);
    IPC_NATIVE(1, CALL_WAIT, ipc_make(CAP_NOTIFICATION));
    EXPECT(running(1) == NULL);
    ipc_check();
}

KTAP_CASE(idle_steps_do_not_keep_interrupts_out)
{
    ipc_usual(2, 2, 2);
    idle_worker(1);
    struct thread *c = ipc_t(client(1, 8));
    uint64_t n = ipc_make(CAP_NOTIFICATION);
    ipc_run(1);
    EXPECT(running(1) == c);
    IPC_NATIVE(1, CALL_WAIT, n);
    EXPECT(running(1) != NULL);
    machine.hart[1].software_pending = true;
    EXPECT_EQ(IPC_NATIVE(1, CALL_PARK, 1), 0); /* next step */
    EXPECT(running(1) && !machine.hart[1].software_pending);
}

/* The timer. */

KTAP_CASE(the_timer_is_armed_for_the_period_or_the_earliest)
{
    uint64_t period = arch_timebase_hz / 100;
    ipc_usual(2, 2, 2);
    uint64_t n = ipc_make(CAP_NOTIFICATION);
    machine.time = 1000000;
    machine.time_step = 0;
    machine_hart_select(0);
    kernel_lock();
    sched_timer_start(harts[0]);
    kernel_unlock();
    EXPECT_EQ(machine.hart[0].timer_deadline, 1000000 + period);
    EXPECT_EQ(IPC_BOSS(CALL_TIMER_SET, n, 1000000 + 2 * period, 1), 0);
    EXPECT_EQ(machine.hart[0].timer_deadline, 1000000 + period);
    EXPECT_EQ(IPC_BOSS(CALL_TIMER_SET, n, 1000000 + period / 2, 1), 0);
    EXPECT_EQ(machine.hart[0].timer_deadline, 1000000 + period / 2);
    machine.time += period / 2;
    ipc_interrupt(0);
    EXPECT_EQ(((struct notification *)ipc_object(n))->bits, 1);
    EXPECT_EQ(machine.hart[0].timer_deadline, machine.time + period);
    EXPECT_EQ(IPC_BOSS(CALL_TIMER_SET, n, 0, 0), 0);
    machine.time_step = 1;
    machine.hart[0].timer_deadline = ~0UL;
    ipc_check();
}

/* A deadline in the past fires at once, and none can put the timer off. */
KTAP_CASE(a_program_cannot_keep_the_timer_from_firing)
{
    ipc_usual(2, 2, 2);
    uint64_t n = ipc_make(CAP_NOTIFICATION);
    machine.time = 1000000;
    struct thread *c = ipc_t(client(1, 8)), *d = ipc_t(client(1, 8));
    ipc_run(1);
    machine_hart_select(1);
    kernel_lock();
    sched_timer_start(harts[1]);
    kernel_unlock();
    uint64_t armed = machine.hart[1].timer_deadline;
    unsigned calls = 0;
    while (running(1) == c && calls++ < 100) {
        EXPECT_EQ(IPC_NATIVE(1, CALL_TIMER_SET, n, 1 + calls % 2, 1), 0);
        EXPECT(machine.hart[1].timer_deadline <= armed);
        if (machine.time >= machine.hart[1].timer_deadline)
            ipc_interrupt(1);
        armed = machine.hart[1].timer_deadline;
    }
    EXPECT(running(1) == d && calls < 10);
    machine.hart[1].timer_deadline = ~0UL;
    ipc_check();
}

KTAP_CASE(time_is_counted_for_who_runs)
{
    ipc_usual(2, 2, 2);
    struct thread *c = ipc_t(ipc_running_client(1)), *w = ipc_t(ipc.personality_worker[1]);
    tick(1);
    tick(1);
    ipc_foreign(1, 1);
    tick(1);
    EXPECT(c->seen_user == 2 && c->seen_served == 1 && w->seen_user == 0);
    EXPECT_EQ(harts[1]->counter[COUNT_interrupt_timer], 3);
}

KTAP_CASE(who_is_served_pays)
{
    ipc_usual(2, 2, 2);
    uint64_t slot = client(1, 8), other_slot = client(1, 8);
    struct thread *c = ipc_t(slot), *other = ipc_t(other_slot);
    struct thread *w = ipc_t(ipc.personality_worker[1]);

    machine.time_step = 0;
    ipc_run(1);
    EXPECT(running(1) == c && harts[1]->payer == c);
    machine.time += 100;
    ipc_foreign(1, 1); /* served straight: nothing is counted, and nobody else pays */
    machine.time += 50;
    EXPECT(running(1) == w && harts[1]->payer == c);
    EXPECT_EQ(c->paid_ticks, 0);
    EXPECT_EQ(IPC_NATIVE(0, CALL_THREAD_TIME, slot), 150);
    EXPECT_EQ(IPC_NATIVE(0, CALL_THREAD_TIME, other_slot), 0);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PARK, 0), 0);
    EXPECT(running(1) == c);
    machine.time += 7;
    IPC_NATIVE(1, CALL_YIELD);
    EXPECT(running(1) == other && c->paid_ticks == 157);
    machine.time += 11;
    EXPECT_EQ(IPC_NATIVE(0, CALL_THREAD_TIME, slot), 157);
    EXPECT_EQ(IPC_NATIVE(0, CALL_THREAD_TIME, other_slot), 11);
    EXPECT_EQ(IPC_NATIVE(0, CALL_THREAD_TIME, SLOT_ENDPOINT), -ERR_TYPE);
}

KTAP_CASE(switches_to_wait_and_with_more_to_do_are_told_apart)
{
    ipc_usual(2, 2, 2);
    uint64_t slot = client(1, 8), other_slot = client(1, 8);
    struct thread *c = ipc_t(slot);

    ipc_run(1);
    EXPECT(running(1) == c);
    IPC_NATIVE(1, CALL_YIELD);
    EXPECT(c->switches_ready == 1 && c->switches_waiting == 0);
    EXPECT_EQ(IPC_NATIVE(0, CALL_THREAD_SWITCHES, other_slot), 0);
    IPC_NATIVE(1, CALL_YIELD);
    EXPECT(running(1) == c);
    ipc_foreign(1, 1);
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_KEEP, IPC_SLOT + 220), 0);
    IPC_NATIVE(1, CALL_PARK, 0);
    EXPECT(running(1) == ipc_t(other_slot));
    EXPECT(c->switches_ready == 1 && c->switches_waiting == 1);
    EXPECT_EQ(IPC_NATIVE(0, CALL_THREAD_SWITCHES, slot), 1);
    EXPECT_EQ(IPC_NATIVE(0, CALL_THREAD_SWITCHES, SLOT_ENDPOINT), -ERR_TYPE);
}

KTAP_CASE(time_of_nobody_is_idle_time)
{
    ipc_usual(2, 2, 2);
    uint64_t slot = client(1, 8);

    machine.time_step = 0;
    harts[1]->paid_until = machine.time;
    machine.time += 30;
    ipc_run(1);
    EXPECT(running(1) == ipc_t(slot));
    EXPECT_EQ(harts[1]->counter[COUNT_idle_ticks], 30);
    machine.time += 50;
    tick(1);
    EXPECT_EQ(harts[1]->counter[COUNT_idle_ticks], 30);
    EXPECT_EQ(harts[1]->counter[COUNT_tick_user], 1);
    ipc_foreign(1, 1);
    tick(1);
    EXPECT(harts[1]->counter[COUNT_tick_user] == 1 && harts[1]->counter[COUNT_tick_served] == 1);
}

/* Spaces. */

KTAP_CASE(each_thread_runs_in_its_space)
{
    ipc_usual(2, 2, 2);
    struct thread *t[4];
    uint64_t other = ipc_space();
    for (unsigned i = 0; i < 4; i++)
        t[i] = ipc_t(ipc_client(i & 1 ? other : ipc.space, 1, 8, ipc.pager, ipc.personality));
    ipc_run(1);
    for (unsigned i = 0; i < 12; i++) {
        EXPECT(running(1) == t[i % 4]);
        EXPECT_EQ(satp_root(tlb_satp(1)), t[i % 4]->space->root_pfn);
        ipc_check();
        if (i % 3 == 0) { /* a served fault in between */
            ipc_fault(1, 0x123, CAUSE_LOAD_PAGE);
            IPC_NATIVE(1, CALL_REPLY_PARK, 0);
        }
        IPC_NATIVE(1, CALL_YIELD);
    }
    EXPECT_EQ(tlb_check_all(), 0);
}

KTAP_CASE(a_client_in_a_space_that_was_left_is_answered_on_the_slow_path)
{
    ipc_usual(2, 2, 2);
    struct thread *c = ipc_t(ipc_running_client(1)), *w = ipc_t(ipc.personality_worker[1]);
    ipc_foreign(1, 1);
    struct thread *d = ipc_t(ipc_client(ipc_space(), 1, 28, ipc.pager, ipc.personality));
    ipc_interrupt(1);
    EXPECT(running(1) == d && w->attention);
    IPC_NATIVE(1, CALL_WAIT, ipc_make(CAP_NOTIFICATION));
    EXPECT(running(1) == w);
    ipc_check();
    IPC_NATIVE(1, CALL_REPLY_PARK, 0);
    EXPECT(running(1) == c);
    EXPECT_EQ(satp_root(tlb_satp(1)), c->space->root_pfn);
    ipc_check();
    EXPECT_EQ(tlb_check_all(), 0);
}

/* Floating point: what each thread last put into the registers, it finds there. */

static void fp_use(unsigned hart, uint64_t value)
{
    struct machine_hart *m = &machine.hart[hart];
    for (unsigned i = 0; i < 32; i++)
        m->f[i] = value + i;
    m->fcsr = value & 0xff;
    m->fp_dirty = true;
}

static bool fp_is(unsigned hart, uint64_t value)
{
    const struct machine_hart *m = &machine.hart[hart];
    for (unsigned i = 0; i < 32; i++)
        if (m->f[i] != (value ? value + i : 0))
            return false;
    return m->fcsr == (value & 0xff);
}

KTAP_CASE(floating_point_registers_are_each_threads_own)
{
    ipc_usual(2, 2, 2);
    for (unsigned i = 0; i < 3; i++)
        client(1, 8);
    ipc_run(1);
    for (uint64_t i = 0; i < 12; i++) {
        EXPECT(fp_is(1, i < 3 ? 0 : 1000 * (i - 2)));
        fp_use(1, 1000 * (i + 1));
        IPC_NATIVE(1, CALL_YIELD);
        ipc_check();
    }
}

KTAP_CASE(floating_point_registers_survive_service_and_preemption)
{
    for (unsigned how = 0; how < 6; how++) {
        ipc_usual(2, 2, 2);
        uint64_t n = ipc_make(CAP_NOTIFICATION), reply = IPC_SLOT + 200;
        struct thread *c = ipc_t(ipc_running_client(1));
        fp_use(1, 4000);
        if (how == 0) { /* straight fault */
            ipc_fault(1, 0x123, CAUSE_LOAD_PAGE);
            IPC_NATIVE(1, CALL_REPLY_PARK, 0);
        } else if (how == 1) { /* a slow event and answer */
            ipc_fault(1, 0x123, CAUSE_BREAKPOINT);
            IPC_NATIVE(1, CALL_REPLY_PARK, 0);
        } else if (how == 2 || how == 3) { /* its server is preempted by one that uses them */
            ipc_foreign(1, 1);
            struct thread *d = ipc_t(client(1, 28));
            ipc_interrupt(1);
            EXPECT(running(1) == d && fp_is(1, 0));
            fp_use(1, 9000);
            if (how == 2)
                IPC_NATIVE(1, CALL_WAIT, n);
            else
                ipc_foreign(1, 2);
            EXPECT(running(1) == ipc_t(ipc.personality_worker[1]));
            ipc_check();
            IPC_NATIVE(1, CALL_REPLY_PARK, 0);
            if (how == 3) {
                EXPECT(running(1) != c);
                IPC_NATIVE(1, CALL_REPLY_PARK, 0);
                EXPECT(running(1) == d && fp_is(1, 9000));
                IPC_NATIVE(1, CALL_WAIT, n);
            }
        } else if (how == 4) { /* its answer is kept; others run */
            ipc_foreign(1, 1);
            EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_KEEP, reply), 0);
            client(1, 8);
            IPC_NATIVE(1, CALL_PARK);
            EXPECT(fp_is(1, 0));
            fp_use(1, 8000);
            EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_SEND, reply, 0), 0);
            IPC_NATIVE(1, CALL_WAIT, n);
        } else { /* preempted in user mode */
            client(1, 9);
            ipc_interrupt(1);
            EXPECT(fp_is(1, 0));
            fp_use(1, 7000);
            IPC_NATIVE(1, CALL_WAIT, n);
        }
        EXPECT(running(1) == c && fp_is(1, 4000));
        ipc_check();
    }
}

KTAP_CASE(floating_point_registers_move_with_their_thread)
{
    ipc_usual(3, 6, 6);
    uint64_t slot = ipc_running_client(1), reply = IPC_SLOT + 200;
    struct thread *c = running(1);
    fp_use(1, 4000);
    for (unsigned i = 0; i < 4; i++) {
        unsigned from = 1 + i % 2, to = 2 - i % 2;
        ipc_foreign(from, 1);
        EXPECT_EQ(IPC_NATIVE(from, CALL_REPLY_KEEP, reply), 0);
        IPC_NATIVE(from, CALL_PARK);
        EXPECT_EQ(IPC_BOSS(CALL_THREAD_SET, slot, THREAD_HART, to), 0);
        EXPECT_EQ(IPC_BOSS(CALL_REPLY_SEND, reply, 0), 0);
        ipc_run(to);
        EXPECT(running(to) == c && fp_is(to, 4000 + i));
        fp_use(to, 4000 + i + 1);
        ipc_check();
    }
}

KTAP_CASE(a_new_thread_never_sees_an_old_ones_registers)
{
    ipc_usual(2, 2, 2);
    uint64_t slot = ipc_running_client(1);
    struct thread *c = running(1);
    fp_use(1, 4000);
    ipc_stop(slot);
    EXPECT_EQ(IPC_BOSS(CALL_CAP_DELETE, SELF_TABLE, slot), 0);
    pfn_t page = virt_to_page(c) - world.first;
    EXPECT_EQ(IPC_BOSS(CALL_OBJECT_CREATE, SLOT_MEMORY, page, CAP_THREAD, 0, slot), 0);
    EXPECT(ipc_t(slot) == c);
    EXPECT_EQ(IPC_BOSS(CALL_THREAD_SET, slot, THREAD_SPACE, ipc.space), 0);
    EXPECT_EQ(IPC_BOSS(CALL_THREAD_SET, slot, THREAD_HART, 1), 0);
    EXPECT_EQ(IPC_BOSS(CALL_THREAD_START, slot), 0);
    ipc_run(1);
    EXPECT(running(1) == c && fp_is(1, 0));
    ipc_check();
}

KTAP_CASE(a_machine_without_floating_point_does_without)
{
    ipc_usual(2, 2, 2);
    arch_features = 0;
    client(1, 8);
    client(1, 8);
    ipc_run(1);
    IPC_NATIVE(1, CALL_YIELD);
    EXPECT(running(1) && harts[1]->fp_owner == NULL);
}

KTAP_CASE(a_call_of_an_unknown_number_is_refused)
{
    ipc_usual(2, 2, 2);
    ipc_running_client(1);
    static const long numbers[] = {CALL_LAST - 1, -1000, (long)(1UL << 63)};
    for (unsigned i = 0; i < 3; i++) {
        uint64_t errors = harts[1]->counter[COUNT_call_error];
        EXPECT_EQ(IPC_NATIVE(1, numbers[i]), -ERR_CALL);
        EXPECT_EQ(harts[1]->counter[COUNT_call_error], errors + 1);
    }
    EXPECT_EQ(IPC_NATIVE(1, CALL_NULL), 0);
    EXPECT(running(1)->x[11] == 0 && running(1)->x[12] == 0);
    ipc_check();
}
