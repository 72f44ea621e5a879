/* The pager in the kernel: a worker that is a function. What it does is chosen by each test. */
#include "ipc_world.h"
#include "ktap.h"

#include "arch/host/tlb.h"
#include "kernel/pager_hook.h"
#include <string.h>

#define REPLY         (IPC_SLOT + 200)
#define PC            0x4000UL
#define PAGE_ENTRY(n) entry_make(world.first + IPC_MEMORY + (n), ENTRY_ALWAYS | ENTRY_W | ENTRY_D)

/* Answers, in order; the last one is used again and again. Noted: how it was called. */
enum answer {
    A_MAP,
    A_VALUE,
    A_KEEP,
    A_FORWARD,
    A_PARK,
    A_STOP,
    A_DESTROY,
    A_START,
    A_SIGNAL,
    A_MEANWHILE
};

static struct {
    enum answer answer[8];
    unsigned next;
    uint64_t value, object;
    unsigned times, kind;
    uint64_t a[8];
    uint64_t satp; /* while it ran */
} pager;

/* Straight, where the test wants it so and it can be; then the client has gone on. */
static bool straight, gone;

static long answering(long number, uint64_t a0, uint64_t a1)
{
    uint64_t out[2];

    gone = straight && ((number == CALL_FAULT_REPLY && pager_fault_reply(a0, a1, 0)) ||
                        (number == CALL_REPLY_PARK && pager_reply_park(a0)) ||
                        (number == CALL_FORWARD_PARK && pager_forward_park(a0, a1)));
    if (gone)
        return 0;
    return kernel_call(number, a0, a1, 0, 0, 0, 0, out);
}

static void answer(enum answer how)
{
    switch (how) {
    case A_MAP:
        EXPECT_EQ(answering(CALL_FAULT_REPLY, PAGE_ENTRY(pager.value++), SLOT_MEMORY), 0);
        return;
    case A_VALUE:
        EXPECT_EQ(answering(CALL_REPLY_PARK, pager.value, 0), 0);
        return;
    case A_FORWARD:
        EXPECT_EQ(answering(CALL_FORWARD_PARK, 1, 2), 0);
        return;
    case A_KEEP:
        EXPECT_EQ(answering(CALL_REPLY_KEEP, REPLY, 0), 0);
        break;
    case A_STOP:
        EXPECT_EQ(answering(CALL_THREAD_STOP, pager.object, 0), 0);
        break;
    case A_DESTROY:
        EXPECT_EQ(answering(CALL_CAP_DELETE, SELF_TABLE, pager.object), 0);
        break;
    case A_START:
        EXPECT_EQ(answering(CALL_THREAD_START, pager.object, 0), 0);
        EXPECT_EQ(answering(CALL_REPLY_PARK, 0, 0), 0);
        return;
    case A_MEANWHILE: /* hart 0 destroys the client, and the space it was in */
        machine_hart_select(0);
        EXPECT_EQ(WORLD_CALL(call_cap_delete, SELF_TABLE, pager.object), 0);
        EXPECT_EQ(WORLD_CALL(call_cap_delete, SELF_TABLE, ipc.space), 0);
        machine_hart_select(1);
        EXPECT_EQ(harts[1]->current, NULL);
        EXPECT_EQ(answering(CALL_REPLY_PARK, 0, 0), -ERR_CLIENT);
        break;
    case A_SIGNAL:
        EXPECT_EQ(answering(CALL_SIGNAL, pager.object, 8), 0);
        EXPECT_EQ(answering(CALL_REPLY_PARK, 0, 0), 0);
        return;
    default:
        break;
    }
    EXPECT_EQ(answering(CALL_PARK, pager.value, 0), 0);
}

bool pager_enter(unsigned kind, const uint64_t a[8])
{
    unsigned next = pager.next;

    EXPECT(!kernel_lock_held());
    machine.time += 10;
    pager.times++;
    pager.kind = kind;
    pager.satp = tlb_satp((unsigned)this_hart()->id);
    memcpy(pager.a, a, sizeof(pager.a));
    pager.next += pager.next < 7;
    gone = false;
    answer(pager.answer[next]);
    return gone;
}

bool pager_fault_enter(uint64_t badge, uint64_t address, uint64_t cause, uint64_t pc,
                       uint64_t sequence, uint64_t info0, uint64_t info1, void *context)
{
    const uint64_t a[8] = {badge, address, cause, pc, sequence, info0, info1};

    EXPECT(context == NULL);
    return pager_enter(ENTER_FAULT, a) || pager_go_on();
}

static struct thread *running(unsigned hart)
{
    return ipc_hart[hart].running;
}

static uint64_t bound_slot; /* of the last one */

static struct thread *bind(uint64_t endpoint, unsigned hart, uint64_t flags)
{
    struct thread boss = {.table_caps = world.table->caps, .table_size = world.table->size};
    uint64_t slot = ipc_make(CAP_THREAD);

    EXPECT_EQ(IPC_BOSS(CALL_THREAD_SET, slot, THREAD_TABLE, SLOT_TABLE), 0);
    EXPECT_EQ(IPC_BOSS(CALL_THREAD_SET, slot, THREAD_PRIORITY, 31), 0);
    EXPECT_EQ(IPC_BOSS(CALL_THREAD_SET, slot, THREAD_HART, hart), 0);
    machine_hart_select(0);
    EXPECT_EQ(WORLD_CALL_AS(&boss, call_worker_bind, slot, endpoint, 0, 0, 0, flags), 0);
    machine.hart[hart].software_pending = false;
    bound_slot = slot;
    return ipc_t(slot);
}

static struct thread *kernel_worker;
static uint64_t kernel_worker_slot;

/* Personality workers in user mode on harts 1 and up, the pager's in the kernel on hart 1. */
static void start(unsigned harts_wanted)
{
    memset(&pager, 0, sizeof(pager));
    straight = ktap_random_below(2);
    ipc_usual(harts_wanted, 0, 0xe & ((1u << harts_wanted) - 1));
    kernel_worker = bind(ipc.pager, 1, 0);
    kernel_worker_slot = bound_slot;
    ipc_check();
}

static void answers(enum answer first, enum answer then)
{
    for (unsigned i = 0; i < 8; i++)
        pager.answer[i] = i ? then : first;
    pager.next = 0;
}

KTAP_CASE(a_fault_is_answered_without_leaving_the_client)
{
    start(2);
    uint64_t slot = ipc_running_client(1);
    struct thread *c = running(1);
    answers(A_MAP, A_MAP);
    for (unsigned i = 0; i < 3; i++) {
        ipc_fill(c);
        c->x[0] = PC;
        ipc_fault(1, IPC_ADDRESS + i * PAGE_BYTES, CAUSE_STORE_PAGE);
        EXPECT(running(1) == c && ipc_filled(c, 0) && c->x[0] == PC);
        EXPECT_EQ(machine.hart[1].note.way, MACHINE_RESUME_SAME);
        EXPECT(pager.kind == ENTER_FAULT && pager.a[0] == 0x100 + slot);
        EXPECT(pager.a[1] == IPC_ADDRESS + i * PAGE_BYTES && pager.a[2] == CAUSE_STORE_PAGE);
        EXPECT_EQ(pager.a[3], PC);
        EXPECT(sim_store(1, IPC_ADDRESS + i * PAGE_BYTES, i));
        ipc_check();
    }
    EXPECT_EQ(pager.times, 3);
}

KTAP_CASE(a_call_is_answered_without_leaving_the_client)
{
    start(2);
    uint64_t slot = ipc_running_client(1);
    struct thread *c = running(1);
    answers(A_VALUE, A_VALUE);
    pager.value = 99;
    ipc_fill(c);
    ipc_foreign(1, 1024);
    EXPECT(running(1) == c && c->x[10] == 99 && pager.kind == ENTER_CALL);
    EXPECT_EQ(machine.hart[1].note.way, MACHINE_RESUME_SAME);
    for (unsigned i = 1; i < 6; i++)
        EXPECT_EQ(pager.a[i], c->x[10 + i]);
    EXPECT(pager.a[6] == 0x100 + slot && pager.a[7] == 1024);
    ipc_check();
    /* As its own personality it is told so by the badge. */
    ipc_stop(slot);
    EXPECT_EQ(IPC_BOSS(CALL_THREAD_SET, slot, THREAD_PERSONALITY, ipc.pager, 0x777), 0);
    EXPECT_EQ(IPC_BOSS(CALL_THREAD_START, slot), 0);
    ipc_run(1);
    ipc_foreign(1, 64);
    EXPECT(pager.a[6] == 0x777 && pager.a[7] == 64);
    ipc_check();
}

KTAP_CASE(what_it_keeps_is_answered_later)
{
    start(2);
    ipc_running_client(1);
    struct thread *c = running(1);
    answers(A_KEEP, A_VALUE);
    ipc_fault(1, IPC_ADDRESS, CAUSE_LOAD_PAGE);
    EXPECT(running(1) == NULL && c->state == THREAD_KEPT && worker_parked(kernel_worker));
    ipc_check();
    EXPECT_EQ(IPC_BOSS(CALL_REPLY_SEND, REPLY, 0), 0);
    ipc_run(1);
    EXPECT(running(1) == c);
    ipc_check();
}

KTAP_CASE(what_it_hands_on_enters_the_personality)
{
    for (unsigned way = 0; way < 2; way++) {
        start(2);
        straight = way;
        ipc_running_client(1);
        struct thread *c = running(1), *p = ipc_t(ipc.personality_worker[1]);
        const struct machine_note *note = &machine.hart[1].note;
        answers(A_FORWARD, A_FORWARD);
        ipc_fill(c);
        c->x[0] = PC;
        ipc_fault(1, IPC_ADDRESS, CAUSE_LOAD_PAGE);
        EXPECT(running(1) == p && worker_parked(kernel_worker) && gone == way);
        if (way)
            EXPECT(note->way == MACHINE_ENTER_FAULT && note->value[5] == 1 && note->value[6] == 2 &&
                   p->client == c && c->state == THREAD_FORWARDED);
        else
            EXPECT(p->x[15] == 1 && p->x[16] == 2);
        ipc_check();
        EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PARK, 0), 0);
        EXPECT(running(1) == c && c->x[0] == PC && ipc_filled(c, 0));
        ipc_check();
    }
}

KTAP_CASE(it_hands_on_in_full_where_nobody_is_parked)
{
    start(2);
    straight = true;
    ipc_running_client(1);
    struct thread *c = running(1);
    answers(A_FORWARD, A_FORWARD);
    ipc_stop(ipc.personality_worker[1]);
    ipc_fault(1, IPC_ADDRESS, CAUSE_LOAD_PAGE);
    EXPECT(!gone && c->state == THREAD_QUEUED && worker_parked(kernel_worker));
    ipc_check();
}

KTAP_CASE(it_serves_a_server_that_faults)
{
    start(2);
    uint64_t slot = ipc.personality_worker[1];
    struct thread *c = ipc_t(ipc_running_client(1)), *p = ipc_t(slot);
    ipc_stop(slot);
    EXPECT_EQ(IPC_BOSS(CALL_THREAD_SET, slot, THREAD_PAGER, ipc.pager, 5), 0);
    EXPECT_EQ(IPC_BOSS(CALL_WORKER_BIND, slot, ipc.personality, IPC_ENTRY, IPC_SP, IPC_TP, 0), 0);
    answers(A_VALUE, A_VALUE);
    ipc_foreign(1, 1);
    EXPECT(running(1) == p && p->client == c);
    ipc_fault(1, 0x9000, CAUSE_LOAD_PAGE);
    EXPECT(running(1) == p && pager.a[0] == 5 && p->client == c);
    ipc_check();
    EXPECT_EQ(IPC_NATIVE(1, CALL_REPLY_PARK, 0), 0);
    EXPECT(running(1) == c);
    ipc_check();
}

KTAP_CASE(harts_without_its_worker_wait_for_one)
{
    start(3);
    struct thread *c = ipc_t(ipc_running_client(2));
    answers(A_MAP, A_MAP);
    ipc_fault(2, IPC_ADDRESS, CAUSE_LOAD_PAGE);
    EXPECT(running(2) == NULL && c->state == THREAD_QUEUED);
    ipc_check();
    ipc_run(1); /* runs the worker, then has nothing to do */
    EXPECT(running(1) == NULL && pager.times == 1 && c->state == THREAD_READY);
    ipc_check();
    ipc_run(2);
    EXPECT(running(2) == c && sim_load(2, IPC_ADDRESS, NULL));
    ipc_check();
}

KTAP_CASE(messages_reach_it_and_are_answered)
{
    start(2);
    ipc_running_client(1);
    struct thread *c = running(1);
    answers(A_VALUE, A_VALUE);
    pager.value = 5;
    IPC_NATIVE(1, CALL_CALL, ipc.pager);
    EXPECT(running(1) == c && c->x[10] == 5 && pager.kind == ENTER_MESSAGE);
    ipc_check();
}

KTAP_CASE(signals_and_idle_steps_reach_it)
{
    start(2);
    uint64_t n = ipc_make(CAP_NOTIFICATION), slot = kernel_worker_slot;
    EXPECT_EQ(IPC_BOSS(CALL_NOTIFICATION_BIND, n, slot), 0);
    answers(A_PARK, A_PARK);
    EXPECT_EQ(IPC_BOSS(CALL_SIGNAL, n, 6), 0);
    ipc_run(1);
    EXPECT(pager.times == 1 && pager.kind == ENTER_SIGNAL && pager.a[0] == 6);
    ipc_check();
    struct thread *w = bind(ipc_make(CAP_ENDPOINT), 1, WORKER_IDLE);
    harts[1]->idle_mark = 0;
    ipc_run(1);
    EXPECT(pager.times == 2 && pager.kind == ENTER_IDLE && worker_parked(w));
    ipc_run(1);
    EXPECT_EQ(pager.times, 2); /* nothing happened since */
    ipc_check();
}

KTAP_CASE(endless_idle_steps_do_not_keep_interrupts_out)
{
    start(2);
    uint64_t n = ipc_make(CAP_NOTIFICATION);
    bind(ipc_make(CAP_ENDPOINT), 1, WORKER_IDLE);
    harts[1]->idle_mark = 0;
    struct thread *c = ipc_t(ipc_running_client(1));
    IPC_NATIVE(1, CALL_TIMER_SET, n, machine.time + 500, 1);
    answers(A_PARK, A_PARK);
    pager.value = 1; /* more, always */
    IPC_NATIVE(1, CALL_WAIT, n);
    EXPECT(running(1) == c && c->x[11] == 1 && pager.times > 1);
    machine.hart[1].timer_deadline = ~0UL;
    ipc_check();
}

KTAP_CASE(it_stops_and_destroys_the_client_whose_event_it_has)
{
    for (unsigned destroy = 0; destroy < 2; destroy++)
        for (unsigned other = 0; other < 2; other++) {
            start(2);
            uint64_t slot = ipc_running_client(1);
            struct thread *next = other ? ipc_t(ipc_usual_client(1)) : NULL;
            ipc_interrupt(1);
            pager.object = slot;
            answers(destroy ? A_DESTROY : A_STOP, A_VALUE);
            ipc_fault(1, IPC_ADDRESS, CAUSE_LOAD_PAGE);
            EXPECT(running(1) == next && worker_parked(kernel_worker));
            EXPECT(destroy ? world_cap(slot)->type == CAP_NONE
                           : ipc_t(slot)->state == THREAD_STOPPED);
            ipc_check();
        }
}

KTAP_CASE(who_it_makes_ready_preempts_if_better)
{
    start(2);
    uint64_t better = ipc_client(ipc.space, 1, 12, ipc.pager, ipc.personality);
    ipc_stop(better);
    struct thread *c = ipc_t(ipc_running_client(1));
    pager.object = better;
    answers(A_START, A_VALUE);
    ipc_fault(1, IPC_ADDRESS, CAUSE_LOAD_PAGE);
    EXPECT(running(1) == ipc_t(better) && c->state == THREAD_READY);
    ipc_check();
}

KTAP_CASE(a_signal_to_itself_comes_after_its_answer)
{
    start(2);
    uint64_t n = ipc_make(CAP_NOTIFICATION);
    EXPECT_EQ(IPC_BOSS(CALL_NOTIFICATION_BIND, n, kernel_worker_slot), 0);
    struct thread *c = ipc_t(ipc_running_client(1));
    pager.object = n;
    answers(A_SIGNAL, A_PARK);
    ipc_fault(1, IPC_ADDRESS, CAUSE_LOAD_PAGE);
    EXPECT(running(1) == c && pager.times == 2 && pager.kind == ENTER_SIGNAL && pager.a[0] == 8);
    ipc_check();
}

/* A message is taken on the slow path: meanwhile its sender can be destroyed, with its space. */
KTAP_CASE(off_the_straight_path_no_client_s_tables_are_loaded)
{
    start(2);
    ipc_running_client(1);
    answers(A_VALUE, A_VALUE);
    ipc_foreign(1, 1024);
    EXPECT_EQ(satp_root(pager.satp), running(1)->space->root_pfn);
    IPC_NATIVE(1, CALL_CALL, ipc.pager);
    EXPECT_EQ(pager.satp, arch_satp_kernel());
    EXPECT_EQ(satp_root(tlb_satp(1)), running(1)->space->root_pfn);
    ipc_check();
}

KTAP_CASE(a_client_and_its_space_go_while_it_serves_them)
{
    start(2);
    uint64_t slot = ipc_running_client(1);
    pager.object = slot;
    answers(A_MEANWHILE, A_PARK);
    IPC_NATIVE(1, CALL_CALL, ipc.pager);
    EXPECT(running(1) == NULL && world_cap(slot)->type == CAP_NONE && pager.times == 1);
    EXPECT_EQ(tlb_check_all(), 0);
    ipc_check();
}

KTAP_CASE(its_refused_calls_say_why)
{
    start(2);
    harts[1]->pager_thread = kernel_worker;
    kernel_worker->client = &thread_nobody; /* as if it was entered */
    machine_hart_select(1);
    uint64_t out[2];
    EXPECT_EQ(kernel_call(CALL_WAIT, SLOT_TABLE, 0, 0, 0, 0, 0, out), -ERR_CALL);
    EXPECT_EQ(kernel_call(CALL_CALL, SLOT_TABLE, 0, 0, 0, 0, 0, out), -ERR_CALL);
    EXPECT_EQ(kernel_call(CALL_YIELD, 0, 0, 0, 0, 0, 0, out), -ERR_CALL);
    EXPECT_EQ(kernel_call(CALL_LAST - 1, 0, 0, 0, 0, 0, 0, NULL), -ERR_CALL);
    EXPECT_EQ(kernel_call(CALL_REPLY_PARK, 0, 0, 0, 0, 0, 0, NULL), -ERR_CLIENT);
    EXPECT_EQ(kernel_call(CALL_FAULT_REPLY, 0, 0, 0, 0, 0, 0, NULL), -ERR_CLIENT);
    EXPECT_EQ(kernel_call(CALL_THREAD_STOP, kernel_worker_slot, 0, 0, 0, 0, 0, NULL), -ERR_BUSY);
    EXPECT_EQ(kernel_call(CALL_CAP_DELETE, SELF_TABLE, kernel_worker_slot, 0, 0, 0, 0, NULL),
              -ERR_BUSY);
    EXPECT_EQ(kernel_call(CALL_NULL, 0, 0, 0, 0, 0, 0, NULL), 0);
    kernel_worker->client = &thread_in_kernel;
    machine_hart_select(0);
    ipc_check();
}
