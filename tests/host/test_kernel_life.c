/*
 * Random lives: threads on several harts fault, call, send, wait, serve, keep, forward, stop,
 * start, move and destroy each other; after each step everything is checked (ipc_check). The same
 * seed gives the same steps. At the end of each run everything is taken back, and nothing may be
 * left.
 */
#include "ipc_world.h"
#include "ktap.h"

#include "arch/host/tlb.h"
#include "kernel/pager_hook.h"
#include "kernel/sched.h"
#include <string.h>

#define HARTS         4
#define THREADS       12
#define ENDPOINTS     4
#define NOTIFICATIONS 4
#define SPACES        3
#define REPLIES       6
#define STEPS         600
#define RUNS          40

/* Slots and pages of what lives; a slot may be empty. */
#define THREAD(i)       (IPC_SLOT + (i))
#define ENDPOINT(i)     (IPC_SLOT + 32 + (i))
#define NOTIFICATION(i) (IPC_SLOT + 48 + (i))
#define SPACE(i)        (IPC_SLOT + 64 + (i))
#define REPLY(i)        (IPC_SLOT + 80 + (i))
#define PAGE(slot)      ((slot)-IPC_SLOT + 1)

static uint64_t below(uint64_t n)
{
    return ktap_random_below(n);
}

static bool one_in(uint64_t n)
{
    return below(n) == 0;
}

static uint64_t any_thread(void)
{
    return THREAD(below(THREADS));
}

static uint64_t any_endpoint(void)
{
    return ENDPOINT(below(ENDPOINTS));
}

static uint64_t any_notification(void)
{
    return NOTIFICATION(below(NOTIFICATIONS));
}

static uint64_t any_reply(void)
{
    return REPLY(below(REPLIES));
}

static uint64_t any_space(void)
{
    return one_in(4) ? SLOT_SPACE : SPACE(below(SPACES));
}

static uint64_t any_address(void)
{
    static const uint64_t odd[] = {0, 1UL << 38, ~0UL, 1UL << 30, BLOCK_BYTES};
    return one_in(8) ? odd[below(5)] : below(TABLE_ENTRIES) * PAGE_BYTES + below(PAGE_BYTES);
}

static uint64_t any_entry(void)
{
    return entry_make(world.first + (one_in(10) ? below(world.pages) : IPC_MEMORY + below(64)),
                      one_in(2) ? ENTRY_W | ENTRY_D : 0);
}

/* The second argument of a fault reply, */
static uint64_t any_reply_memory(void)
{
    return SLOT_MEMORY | (one_in(4) ? REPLY_REPLACE : one_in(4) ? REPLY_RIGHTS : 0);
}

/* and the third: what may stand there. */
static uint64_t any_old(void)
{
    return any_entry() | ENTRY_ALWAYS;
}

/* Making, always by the world's thread. */

static void make(uint64_t slot, enum cap_type type)
{
    uint64_t page = type == CAP_SPACE ? 200 + 2 * (slot - SPACE(0)) : PAGE(slot);

    machine_hart_select(0);
    if (world_cap(slot)->type == CAP_NONE)
        EXPECT_EQ(WORLD_CALL(call_object_create, SLOT_MEMORY, page, type, 0, slot), 0);
}

/* Leaf tables for the first 2 MiB; the pages of a space's tables are its own. */
static void tables(unsigned i)
{
    struct batch_page *page = world.thread->operation_page;

    for (unsigned k = 0; k < 2; k++)
        page->op[k] = (struct batch_op){.code = BATCH_TABLE,
                                        .level = (uint8_t)(2 - k),
                                        .memory = SLOT_MEMORY,
                                        .entry = entry_make(world.first + 300 + 2 * i + k, 0)};
    WORLD_CALL(call_batch, SPACE(i), 2);
}

static void make_anew(void)
{
    for (unsigned i = 0; i < THREADS; i++)
        if (world_cap(THREAD(i))->type == CAP_NONE) {
            make(THREAD(i), CAP_THREAD);
            EXPECT_EQ(WORLD_CALL(call_thread_set, THREAD(i), THREAD_TABLE, SLOT_TABLE), 0);
            WORLD_CALL(call_thread_set, THREAD(i), THREAD_SPACE, any_space());
        }
    for (unsigned i = 0; i < ENDPOINTS; i++)
        make(ENDPOINT(i), CAP_ENDPOINT);
    for (unsigned i = 0; i < NOTIFICATIONS; i++)
        make(NOTIFICATION(i), CAP_NOTIFICATION);
    for (unsigned i = 0; i < SPACES; i++)
        if (world_cap(SPACE(i))->type == CAP_NONE) {
            make(SPACE(i), CAP_SPACE);
            tables(i);
        }
}

/* The pager in the kernel, bound in some of the runs. */

static void pager_try(void)
{
    static const long plain[] = {CALL_SIGNAL, CALL_REPLY_SEND, CALL_THREAD_STOP, CALL_THREAD_START,
                                 CALL_CAP_DELETE};
    long number = plain[below(5)];
    uint64_t a0 = number == CALL_SIGNAL       ? any_notification()
                  : number == CALL_REPLY_SEND ? any_reply()
                  : number == CALL_CAP_DELETE ? SELF_TABLE
                                              : any_thread();
    uint64_t a1 = number == CALL_SIGNAL       ? 1 + below(7)
                  : number == CALL_CAP_DELETE ? (one_in(2) ? any_thread() : any_reply())
                                              : 0;
    kernel_call(number, a0, a1, 0, 0, 0, 0, NULL);
}

bool pager_enter(unsigned kind, const uint64_t a[8])
{
    uint64_t out[2];

    EXPECT(kind < ENTER_KINDS && a != NULL);
    if (one_in(3))
        pager_try();
    if (one_in(4))
        kernel_call(CALL_REPLY_KEEP, any_reply(), 0, 0, 0, 0, 0, out);
    if (kind == ENTER_FAULT && one_in(3) &&
        pager_fault_reply(any_entry(), any_reply_memory(), any_old()))
        return true;
    if (kind == ENTER_FAULT && one_in(2) &&
        kernel_call(CALL_FAULT_REPLY, any_entry(), any_reply_memory(), any_old(), 0, 0, 0, out) ==
            0)
        return false;
    if (one_in(4) && pager_reply_batch(any_thread(), 1, 7))
        return true;
    if (one_in(4) && kernel_call(CALL_FORWARD_PARK, below(9), 1, 0, 0, 0, 0, out) == 0)
        return false;
    if (one_in(3) && pager_reply_park(0))
        return true;
    if (kernel_call(CALL_REPLY_PARK, one_in(2), 0, 0, 0, 0, 0, out) == 0 ||
        kernel_call(CALL_REPLY_PARK, 0, 0, 0, 0, 0, 0, out) == 0)
        return false;
    EXPECT_EQ(kernel_call(CALL_PARK, one_in(3), 0, 0, 0, 0, 0, out), 0);
    return false;
}

bool pager_fault_enter(uint64_t badge, uint64_t address, uint64_t cause, uint64_t pc,
                       uint64_t sequence, uint64_t info0, uint64_t info1, void *context)
{
    const uint64_t a[8] = {badge, address, cause, pc, sequence, info0, info1};

    EXPECT(context == NULL);
    return pager_enter(ENTER_FAULT, a) || pager_go_on();
}

static bool with_kernel_workers;

static void bind_in_kernel(void)
{
    struct thread boss = {.table_caps = world.table->caps, .table_size = world.table->size};
    uint64_t slot = any_thread();
    struct thread *t = world_cap(slot)->object;

    if (!with_kernel_workers || world_cap(slot)->type != CAP_THREAD || t->space)
        return;
    machine_hart_select(0);
    WORLD_CALL_AS(&boss, call_worker_bind, slot, any_endpoint(), IPC_ENTRY, 0, 0, one_in(3));
}

/* Some threads never get a space: those can become workers in the kernel. */
static void make_spaceless(void)
{
    uint64_t slot = any_thread();

    if (!with_kernel_workers || world_cap(slot)->type != CAP_NONE)
        return;
    make(slot, CAP_THREAD);
    WORLD_CALL(call_thread_set, slot, THREAD_TABLE, SLOT_TABLE);
    WORLD_CALL(call_thread_set, slot, THREAD_HART, below(HARTS));
    WORLD_CALL(call_thread_set, slot, THREAD_PRIORITY, 31);
}

/* Steps. */

static void configure(unsigned h)
{
    uint64_t t = any_thread();

    switch (below(6)) {
    case 0:
        IPC_NATIVE(h, CALL_THREAD_SET, t, THREAD_SPACE, any_space());
        return;
    case 1:
        IPC_NATIVE(h, CALL_THREAD_SET, t, THREAD_PAGER, any_endpoint(), below(100));
        return;
    case 2:
        IPC_NATIVE(h, CALL_THREAD_SET, t, THREAD_PERSONALITY, any_endpoint(), below(100));
        return;
    case 3:
        IPC_NATIVE(h, CALL_THREAD_SET, t, THREAD_PRIORITY, below(PRIORITY_MAX + 1));
        return;
    case 4:
        IPC_NATIVE(h, CALL_THREAD_SET, t, THREAD_HART, below(HARTS));
        return;
    default:
        IPC_NATIVE(h, CALL_WORKER_BIND, t, any_endpoint(), IPC_ENTRY, IPC_SP, IPC_TP, one_in(4));
    }
}

static void registers(void)
{
    struct thread boss = {.table_caps = world.table->caps, .table_size = world.table->size};
    struct user_regs r = {{0x5000}};

    machine_hart_select(0);
    WORLD_CALL_AS(&boss, call_thread_regs, any_thread(), &r, one_in(2));
}

static void signals(unsigned h)
{
    uint64_t n = any_notification();

    switch (below(6)) {
    case 0:
    case 1:
        IPC_NATIVE(h, CALL_SIGNAL, n, 1 + below(15));
        return;
    case 2:
        IPC_NATIVE(h, CALL_NOTIFICATION_BIND, n, any_thread());
        return;
    case 3:
        IPC_NATIVE(h, CALL_TIMER_SET, n, one_in(3) ? 0 : machine.time + below(1000000), 1);
        return;
    case 4:
        IPC_NATIVE(h, CALL_INTERRUPT_BIND, SLOT_INTERRUPT + 1 + below(3), n, 1 + below(3));
        return;
    default:
        IPC_NATIVE(h, CALL_INTERRUPT_ACK, SLOT_INTERRUPT + 1 + below(3));
    }
}

static void destroy(unsigned h)
{
    static const uint64_t kinds[] = {THREAD(0), ENDPOINT(0), NOTIFICATION(0), SPACE(0), REPLY(0)};
    static const uint64_t counts[] = {THREADS, ENDPOINTS, NOTIFICATIONS, SPACES, REPLIES};
    unsigned kind = (unsigned)below(5);

    IPC_NATIVE(h, CALL_CAP_DELETE, SELF_TABLE, kinds[kind] + below(counts[kind]));
    if (one_in(3))
        make_spaceless();
    if (one_in(2))
        make_anew();
}

static void control(unsigned h)
{
    switch (below(10)) {
    case 0:
    case 1:
    case 2:
        configure(h);
        return;
    case 3:
    case 4:
        IPC_NATIVE(h, CALL_THREAD_START, any_thread());
        return;
    case 5:
        IPC_NATIVE(h, CALL_THREAD_STOP, any_thread());
        return;
    case 6:
        signals(h);
        return;
    case 7:
        IPC_NATIVE(h, CALL_REPLY_SEND, any_reply(), one_in(2) ? 0 : below(99), one_in(4));
        return;
    case 8:
        destroy(h);
        return;
    default:
        registers();
        bind_in_kernel();
    }
}

/* What ordinary threads do, and workers as well. */
static void live(unsigned h)
{
    static const uint64_t causes[] = {CAUSE_FETCH_PAGE, CAUSE_LOAD_PAGE,  CAUSE_STORE_PAGE,
                                      CAUSE_ILLEGAL,    CAUSE_BREAKPOINT, CAUSE_LOAD_MISALIGNED};
    struct machine_hart *m = &machine.hart[h];

    switch (below(8)) {
    case 0:
    case 1:
        ipc_fault(h, any_address(), causes[one_in(4) ? below(6) : below(3)]);
        return;
    case 2:
        ipc_foreign(h, one_in(2) ? 1024 : below(512));
        return;
    case 3:
        IPC_NATIVE(h, CALL_CALL, any_endpoint());
        return;
    case 4:
        IPC_NATIVE(h, CALL_YIELD);
        return;
    case 5:
        IPC_NATIVE(h, CALL_WAIT, any_notification());
        return;
    case 6:
        if (one_in(3))
            machine_source_raise(1 + (uint32_t)below(3));
        if (one_in(2)) {
            machine.time += below(100000);
            m->timer_deadline = machine.time;
        }
        ipc_interrupt(h);
        return;
    default:
        m->f[below(32)] = ktap_random();
        m->fp_dirty |= ipc_hart[h].running->serves == NULL;
    }
}

static void serve(unsigned h)
{
    switch (below(8)) {
    case 0:
    case 1:
        IPC_NATIVE(h, CALL_FAULT_REPLY, any_entry(), any_reply_memory(), any_old());
        return;
    case 2:
    case 3:
        IPC_NATIVE(h, one_in(4) ? CALL_REPLY_LAST : CALL_REPLY_PARK, one_in(2) ? 0 : below(99));
        return;
    case 4:
        IPC_NATIVE(h, CALL_FORWARD_PARK, below(9), below(9));
        return;
    case 5:
        IPC_NATIVE(h, CALL_REPLY_KEEP, any_reply());
        return;
    default:
        IPC_NATIVE(h, CALL_PARK, one_in(4));
    }
}

static void step(void)
{
    unsigned h = (unsigned)below(HARTS);
    struct thread *t = ipc_hart[h].running;

    if (t == NULL)
        ipc_run(h);
    else if (t == world.thread || one_in(4))
        control(h);
    else if (t->serves && !one_in(4))
        serve(h);
    else
        live(h);
    for (unsigned i = 0; i < HARTS; i++)
        machine.hart[i].timer_deadline = ~0UL; /* they come when a step says so */
    ipc_check();
}

/* The end. */

static void settle(void)
{
    for (unsigned h = 1; h < HARTS; h++)
        if (machine.hart[h].software_pending) {
            if (ipc_hart[h].running)
                ipc_interrupt(h);
            else
                ipc_run(h);
        }
}

/* Hart 0 is the world's thread's again: it becomes the best, and gets an interrupt. */
static void take_hart_0(void)
{
    for (unsigned i = 0; ipc_hart[0].running != world.thread; i++) {
        EXPECT(i < 1000);
        IPC_NATIVE(0, CALL_THREAD_STOP, THREAD(i % THREADS));
        if (ipc_hart[0].running == NULL)
            ipc_run(0);
        else if (ipc_hart[0].running != world.thread)
            ipc_interrupt(0);
    }
}

static void delete_all(uint64_t first, uint64_t count)
{
    for (uint64_t slot = first; slot < first + count; slot++)
        for (unsigned i = 0; world_cap(slot)->type != CAP_NONE; i++) {
            long error = IPC_BOSS(CALL_CAP_DELETE, SELF_TABLE, slot);
            EXPECT(error == 0 || error == -ERR_AGAIN);
            EXPECT(i < 200);
            settle();
            ipc_check();
        }
}

static void end(void)
{
    take_hart_0();
    delete_all(THREAD(0), THREADS);
    for (unsigned i = 0; i < REPLIES; i++)
        EXPECT_EQ(world_cap(REPLY(i))->type, CAP_NONE);
    delete_all(ENDPOINT(0), ENDPOINTS);
    for (unsigned i = 1; i <= 3; i++) {
        kernel_lock();
        interrupt_unbind_locked(&interrupts[i]);
        kernel_unlock();
    }
    delete_all(NOTIFICATION(0), NOTIFICATIONS);
    delete_all(SPACE(0), SPACES);
    EXPECT(TAILQ_EMPTY(&kept_faults));
    EXPECT_EQ(timers_next(), ~0UL);
    EXPECT_EQ(block_count[world.first >> TABLE_SHIFT], BLOCK_TABLE_BASE + 1);
    for (unsigned h = 0; h < HARTS; h++)
        EXPECT(TAILQ_EMPTY(&harts[h]->workers) && TAILQ_EMPTY(&harts[h]->stops));
    EXPECT_EQ(tlb_check_all(), 0);
}

static void begin(void)
{
    ipc_start(HARTS);
    make_anew();
    for (unsigned i = 0; i < THREADS; i++) {
        uint64_t t = THREAD(i);
        WORLD_CALL(call_thread_set, t, THREAD_HART, i % HARTS);
        WORLD_CALL(call_thread_set, t, THREAD_PRIORITY, i < 6 ? 31 - i : below(16));
        WORLD_CALL(call_thread_set, t, THREAD_PAGER, ENDPOINT(0), t);
        WORLD_CALL(call_thread_set, t, THREAD_PERSONALITY, ENDPOINT(1), t);
        if (i < 6)
            IPC_BOSS(CALL_WORKER_BIND, t, ENDPOINT(i / 3), IPC_ENTRY, IPC_SP, IPC_TP, 0);
        else
            IPC_BOSS(CALL_THREAD_START, t);
    }
    ipc_check();
}

static void lives(void)
{
    for (unsigned run = 0; run < RUNS; run++) {
        begin();
        for (unsigned i = 0; i < STEPS; i++)
            step();
        end();
    }
}

KTAP_CASE(random_lives)
{
    with_kernel_workers = false;
    lives();
}

KTAP_CASE(random_lives_with_a_pager_in_the_kernel)
{
    with_kernel_workers = true;
    lives();
}
