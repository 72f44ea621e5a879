/* See kernel_steps.h. */
#include "kernel_steps.h"
#include "kernel_world.h"

#include <pagoda/call.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/host/tlb.h"
#include "kernel/assert.h"
#include "kernel/pager.h"
#include "kernel/sched.h"

#define STEPS_MAX 200
#define S         SLOT_FREE
#define HARTS     2

static struct {
    const uint8_t *at, *end;
} input;

static struct thread *running[HARTS]; /* NULL: the hart is idle */

static uint8_t byte(void)
{
    return input.at < input.end ? *input.at++ : 0;
}

static uint64_t special(uint8_t b)
{
    const uint64_t values[] = {~0UL,
                               SELF_TABLE,
                               1UL << 63,
                               (1UL << 63) - 1,
                               space_user_end,
                               world.pages,
                               world.first,
                               world.ram,
                               512,
                               511,
                               513,
                               1024,
                               65536,
                               0x1fffff,
                               ~0UL - 511,
                               world.pages - 1,
                               world.pages + 1,
                               0xff,
                               0x100,
                               4096,
                               world.first + 512,
                               1UL << 44,
                               space_user_end - PAGE_BYTES,
                               64,
                               65,
                               0x200000,
                               0x40000000,
                               0xfffUL << 52,
                               3,
                               2,
                               1,
                               0};
    return values[b % (sizeof(values) / sizeof(*values))];
}

static uint64_t value(void)
{
    uint8_t b = byte();
    switch (b >> 5) {
    case 0:
    case 1:
        return b;
    case 2:
    case 3:
        return S + b % 16;
    case 4:
        return (uint64_t)(b & 31) << PAGE_SHIFT;
    case 5:
        return 1UL << (b & 31);
    case 6:
        return entry_make(world.first + 512 * (b & 1) + (b >> 1 & 15), b & 1 ? 0xdf : 0);
    default:
        return special(b & 31);
    }
}

static void batch_fill(struct thread *t)
{
    struct batch_page *page = t->operation_page;
    if (page == NULL)
        return;
    for (unsigned i = 0; i < 3; i++) {
        page->op[i] = (struct batch_op){
            .code = byte() % (BATCH_CODES + 1),
            .level = byte() & 3,
            .flags = byte() & 3,
            .memory = (uint32_t)value(),
            .address = value(),
            .entry = value(),
            .extra = value(),
        };
        page->op[i].count = page->op[i].level ? byte() & 3 : (uint32_t)value();
    }
}

/* A native call as the trap code makes it: three of them try the straight path first. */
static void call_native(struct thread *t)
{
    long number = -1 - byte() % (-CALL_LAST + 1);
    uint64_t a[6];
    for (unsigned i = 0; i < 6; i++)
        a[i] = value();
    if (number == CALL_CAP_DELETE && (a[1] == SLOT_MEMORY || a[1] == SLOT_TABLE))
        a[1] = S; /* else nothing could be taken back at the end */
    if (number == CALL_BATCH) {
        batch_fill(t);
        a[1] %= 5;
    }
    t->x[0] += 4;
    if (number == CALL_POWER_OFF && (a[1] & 3)) /* mostly the run goes on */
        number = CALL_NULL;
    if (number == CALL_FAULT_REPLY && fault_reply(a[0], a[1], 0, 0, 0, 0, t))
        return;
    if (number == CALL_REPLY_PARK && reply_park(a[0], 0, 0, 0, 0, 0, t))
        return;
    if (number == CALL_CALL && message_call(a[0], 0, 0, 0, 0, 0, t))
        return;
    long result = native_call(a[0], a[1], a[2], a[3], a[4], a[5], t, number);
    if (machine_note()->way == MACHINE_NOWHERE)
        t->x[10] = (uint64_t)result;
}

static void fault(struct thread *t, uint64_t cause, uint64_t address)
{
    fault_deliver(t, address, cause, t->x[0]);
}

/* A load, store or fetch of user mode; a fault goes where it belongs. */
static void access(struct thread *t, uint8_t kind)
{
    unsigned hart = (unsigned)t->hart->id;
    uint64_t address = value() & ~7UL;
    bool done = kind == 0   ? sim_load(hart, address, NULL)
                : kind == 1 ? sim_store(hart, address, address)
                            : sim_fetch(hart, address);
    if (!done)
        fault(t,
              kind == 0   ? CAUSE_LOAD_PAGE
              : kind == 1 ? CAUSE_STORE_PAGE
                          : CAUSE_FETCH_PAGE,
              address);
}

static void foreign(struct thread *t)
{
    uint64_t number = value() & ~(1UL << 63);
    t->x[0] += 4;
    call_deliver(t->x[10], t->x[11], t->x[12], t->x[13], t->x[14], t->x[15], t, number);
}

static void act(struct thread *t, uint8_t what)
{
    switch (what % 8) {
    case 0:
    case 1:
    case 2:
    case 3:
        if (t->table_caps) {
            call_native(t);
            return;
        }
        /* fall through */
    case 4:
        access(t, byte() % 3);
        return;
    case 5:
        foreign(t);
        return;
    case 6:
        fault(t, byte() & 15, value());
        return;
    default:
        machine_source_raise(1 + byte() % 3);
        machine.time += 100000;
        interrupt_enter(t);
    }
}

/* One visit to the kernel on that hart. */
static void step(unsigned hart, uint8_t what)
{
    machine_hart_select(hart);
    machine_note_clear();
    machine_idle_caught = true;
    if (setjmp(machine_idle_jump)) {
        running[hart] = NULL;
        return;
    }
    if (running[hart]) {
        act(running[hart], what);
    } else {
        kernel_lock();
        sched_run(harts[hart]);
    }
    if (machine_note()->way != MACHINE_NOWHERE)
        running[hart] = machine_note()->thread;
}

/* Something to begin with: two clients, their pager's worker, a table, a notification. */
static void prelude(void)
{
    static const uint8_t types[] = {CAP_THREAD, CAP_THREAD,       CAP_ENDPOINT, CAP_THREAD,
                                    CAP_TABLE,  CAP_NOTIFICATION, CAP_ENDPOINT, CAP_THREAD};
    WORLD_CALL(call_block_class, SLOT_MEMORY, 0, BLOCK_TABLES);
    for (unsigned i = 0; i < sizeof(types); i++)
        WORLD_CALL(call_object_create, SLOT_MEMORY, 1 + i + (i > 4), types[i],
                   types[i] == CAP_TABLE, S + i);
    WORLD_CALL(call_object_create, SLOT_MEMORY, 16, CAP_SPACE, 0, S + 8);
    static const uint64_t workers[][2] = {{S + 3, S + 2}, {S + 7, S + 6}};
    for (unsigned i = 0; i < 2; i++) {
        WORLD_CALL(call_thread_set, workers[i][0], THREAD_SPACE, SLOT_SPACE);
        WORLD_CALL(call_thread_set, workers[i][0], THREAD_TABLE, SLOT_TABLE);
        WORLD_CALL(call_thread_set, workers[i][0], THREAD_PRIORITY, 30);
        WORLD_CALL(call_worker_page, workers[i][0], SLOT_MEMORY, 1024 + i);
        WORLD_CALL(call_worker_bind, workers[i][0], workers[i][1], 0x1000, 0x2000, 0, i);
    }
    for (unsigned i = 0; i < 2; i++) {
        WORLD_CALL(call_thread_set, S + i, THREAD_SPACE, S + 8);
        WORLD_CALL(call_thread_set, S + i, THREAD_HART, i);
        WORLD_CALL(call_thread_set, S + i, THREAD_PAGER, S + 2, 7);
        WORLD_CALL(call_thread_set, S + i, THREAD_PERSONALITY, S + 6, 8);
        WORLD_CALL(call_thread_start, S + i);
    }
    struct batch_page *page = world.thread->operation_page;
    for (unsigned i = 0; i < 2; i++)
        page->op[i] = (struct batch_op){.code = BATCH_TABLE,
                                        .level = 2 - i,
                                        .memory = SLOT_MEMORY,
                                        .entry = entry_make(world.first + 20 + i, 0)};
    WORLD_CALL(call_batch, S + 8, 2);
}

/* Taking everything back. */

static void thread_halt(struct thread *t)
{
    machine_hart_select((unsigned)t->hart->id);
    kernel_lock();
    this_hart()->current = NULL;
    kassert(thread_stop(t) == 0);
    kernel_unlock();
}

static void threads_halt(void)
{
    for (unsigned i = 0; i < HARTS; i++)
        if (running[i])
            running[i]->state = THREAD_RUNNING; /* as every way into the kernel says first */
    for (pfn_t page = world.first; page < world.first + world.pages; page++) {
        const uint64_t *word = page_directory(page);
        if (word && *word == page_word(PAGE_OBJECT, CAP_THREAD, 0))
            thread_halt(page_to_virt(page));
    }
    thread_halt(world.thread);
    machine_hart_select(0);
}

static long repeat(long (*what)(void))
{
    long result = -ERR_AGAIN;
    for (unsigned i = 0; i < 2000 && (result == -ERR_AGAIN || result == -ERR_BUSY); i++)
        result = what();
    return result;
}

static long drop_mappings(void)
{
    return WORLD_CALL(call_space_drop, SLOT_SPACE, SLOT_MEMORY);
}

static long drop_all(void)
{
    kernel_lock();
    long result = cap_revoke(world_cap(SLOT_MEMORY), 32);
    kernel_unlock();
    return result;
}

static void world_thread_unlink(void)
{
    struct thread *t = world.thread;
    if (t->operation_pfn == 0)
        t->operation_page = NULL;
    kernel_lock();
    thread_unlink(t);
    kernel_unlock();
}

static void own_mappings_gone(void)
{
    if (world_cap(SLOT_SPACE)->type == CAP_SPACE)
        kassert(repeat(drop_mappings) == 0);
}

static void take_back(void)
{
    if (kernel_lock_held())
        kernel_unlock();
    threads_halt();
    for (unsigned i = 0; i < INTERRUPTS_MAX; i++) {
        kernel_lock();
        interrupt_unbind_locked(&interrupts[i]);
        kernel_unlock();
    }
    own_mappings_gone();
    kassert(TAILQ_EMPTY(&kept_faults));
    kassert(repeat(drop_all) == 0);
    world_thread_unlink();
    kassert(timers_next() == ~0UL);
}

static void steps(void)
{
    for (unsigned i = 0; i < STEPS_MAX && input.at < input.end; i++) {
        uint8_t what = byte();
        step(what >> 7, what & 127);
        machine_hart_select(0);
        world_check();
        if (tlb_check_all()) {
            fprintf(stderr, "%s\n", tlb_first_report());
            abort();
        }
    }
}

void kernel_steps(const uint8_t *data, size_t size)
{
    input.at = data;
    input.end = data + size;
    world_start(&(struct machine_options){
        .harts = HARTS, .asid_bits = byte() & 1 ? 16 : 4, .features = byte()});
    kernel_lock();
    world.thread->satp = space_activate(world.space, harts[0]);
    kernel_unlock();
    running[0] = world.thread;
    running[1] = NULL;
    if (byte() & 7)
        prelude();
    machine_power_caught = true;
    if (!setjmp(machine_power_jump))
        steps();
    take_back();
}
