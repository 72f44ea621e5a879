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

/*
 * What each call's arguments are, so that most of them mean something: s slot, t table, e entry,
 * a address, p page of the memory, b first page of a block, r rights, y type, n small number,
 * v anything, S mostly a space, m slot with flags of a fault reply.
 */
static const char *const shapes[] = {
    [-CALL_FAULT_REPLY] = "eme",
    [-CALL_REPLY_PARK] = "n",
    [-CALL_CALL] = "s",
    [-CALL_PARK] = "n",
    [-CALL_FORWARD_PARK] = "vv",
    [-CALL_REPLY_PUSH] = "Sannv",
    [-CALL_REPLY_POP] = "Sa",
    [-CALL_REPLY_LAST] = "n",
    [-CALL_BATCH] = "Sn",
    [-CALL_REPLY_KEEP] = "s",
    [-CALL_REPLY_SEND] = "snn",
    [-CALL_CAP_COPY] = "stsrpn",
    [-CALL_CAP_DELETE] = "ts",
    [-CALL_CAP_REVOKE] = "ts",
    [-CALL_CAP_READ] = "ts",
    [-CALL_OBJECT_CREATE] = "spyns",
    [-CALL_BLOCK_CLASS] = "sbn",
    [-CALL_SPACE_COPY] = "saavn",
    [-CALL_THREAD_SET] = "snsv",
    [-CALL_THREAD_REGS] = "san",
    [-CALL_THREAD_START] = "s",
    [-CALL_THREAD_STOP] = "s",
    [-CALL_WORKER_BIND] = "ssaaan",
    [-CALL_WORKER_PAGE] = "ssp",
    [-CALL_SIGNAL] = "sv",
    [-CALL_WAIT] = "s",
    [-CALL_NOTIFICATION_BIND] = "ss",
    [-CALL_TIMER_SET] = "svv",
    [-CALL_INTERRUPT_BIND] = "ssv",
    [-CALL_INTERRUPT_ACK] = "s",
    [-CALL_LOG_WRITE] = "sav",
    [-CALL_POWER_OFF] = "sn",
    [-CALL_COUNTERS_READ] = "savn",
    [-CALL_YIELD] = "",
    [-CALL_SPACE_DROP] = "ss",
    [-CALL_INSTRUCTION_FENCE] = "s",
    [-CALL_NULL] = "",
    [-CALL_SPACE_INFO] = "s",
    [-CALL_REPLY_BATCH] = "Snv",
    [-CALL_THREAD_TIME] = "s",
    [-CALL_THREAD_SWITCHES] = "s",
    [-CALL_LAST + 1] = "vvvvvv",
};

static uint64_t slot(uint8_t b)
{
    static const uint8_t fixed[] = {SLOT_MEMORY,       SLOT_SPACE,        SLOT_MEMORY,
                                    SLOT_TABLE,        SLOT_THREAD,       SLOT_ENDPOINT,
                                    WORLD_SLOT_DEVICE, SLOT_INTERRUPT + 1};
    return b & 16 ? fixed[b & 7] : S + (b & 15);
}

static uint64_t entry(uint8_t b)
{
    uint64_t bits = ENTRY_ALWAYS | (b & 1 ? ENTRY_W | ENTRY_D : 0) | (b & 2 ? ENTRY_X : 0);
    return entry_make(world.first + 512 + (b >> 2 & 15) * 64, bits);
}

static uint64_t argument(char kind)
{
    uint8_t b = byte();
    if (b >= 0xf0)
        return value();
    switch (kind) {
    case 's':
        return slot(b);
    case 'S':
        return b & 1 ? SLOT_SPACE : b & 6 ? S + 8 : slot(b >> 3);
    case 'm':
        return slot(b & 15) | (b & 0x40 ? REPLY_REPLACE : b & 0x20 ? REPLY_RIGHTS : 0);
    case 't':
        return b & 3 ? SELF_TABLE : slot(b >> 2);
    case 'e':
        return entry(b);
    case 'a':
        return (uint64_t)(b & 31) << PAGE_SHIFT | (b & 32 ? 8 : 0);
    case 'p':
        return b & 31;
    case 'b':
        return (uint64_t)(b & 3) * PAGES_PER_BLOCK;
    case 'r':
        return b & 1 ? 0xff : b;
    case 'y':
        return b % CAP_TYPES;
    case 'n':
        return b & 7;
    default:
        return value();
    }
}

static void batch_op_fill(struct batch_op *o)
{
    *o = (struct batch_op){
        .code = byte() % (BATCH_CODES + 1),
        .level = byte(),
        .flags = byte() & BATCH_KEEP,
        .memory = byte() & 3 ? SLOT_MEMORY : (uint32_t)argument('s'),
        .address = argument('a'),
    };
    bool table = o->code == BATCH_TABLE || o->code == BATCH_TABLE_REMOVE ||
                 o->code == BATCH_TABLE_DROP || o->code == BATCH_SPLIT;
    o->level = o->level >= 0xf0 ? o->level : table ? 1 + (o->level & 1) : (o->level & 15) == 0;
    o->count = o->level == 0 ? 1u + byte() % 40u : (uint32_t)argument('n');
    o->entry = table                           ? entry_make(world.first + (byte() & 31), 0)
               : o->code == BATCH_SOFTWARE     ? (uint64_t)byte() << 8
               : o->level == 1 && (byte() & 7) ? entry_make(world.first + 512, ENTRY_ALWAYS)
                                               : argument('e');
    o->extra = argument(o->code == BATCH_COPY_TABLE ? 'S'
                        : o->code == BATCH_MAP_LIST ? 'v'
                        : o->code == BATCH_MOVE     ? 'a'
                                                    : 'e');
}

/* Entries for lists: from one byte, so that not all of the input goes there. */
static void results_fill(struct batch_page *page)
{
    uint8_t b = byte(), step = byte();
    for (unsigned i = 0; i < BATCH_RESULTS_MAX; i++, b += step)
        page->result[i] = entry(b);
    if (step == 0)
        page->result[b % 64] = value();
}

static void batch_fill(struct thread *t)
{
    struct batch_page *page = t->operation_page;
    bool list = false;
    for (unsigned i = 0; page && i < 3; i++) {
        batch_op_fill(&page->op[i]);
        list |= page->op[i].code == BATCH_MAP_LIST;
    }
    if (list)
        results_fill(page);
}

/* Batches and answers more often than others. */
static long call_number(void)
{
    uint8_t b = byte();
    return b < 40   ? CALL_BATCH
           : b < 48 ? CALL_REPLY_BATCH
           : b < 64 ? CALL_FAULT_REPLY
                    : -1 - b % (-CALL_LAST + 1);
}

/* A native call as the trap code makes it: three of them try the straight path first. */
static void call_native(struct thread *t)
{
    long number = call_number();
    uint64_t a[6] = {0};
    const char *shape = shapes[-number];
    for (unsigned i = 0; shape[i]; i++)
        a[i] = argument(shape[i]);
    if (number == CALL_CAP_DELETE && (a[1] == SLOT_MEMORY || a[1] == SLOT_TABLE))
        a[1] = S; /* else nothing could be taken back at the end */
    if (number == CALL_BATCH || number == CALL_REPLY_BATCH)
        batch_fill(t);
    t->x[0] += 4;
    if (number == CALL_POWER_OFF && (a[1] & 3)) /* mostly the run goes on */
        number = CALL_NULL;
    if (number == CALL_FAULT_REPLY && fault_reply(a[0], a[1], a[2], 0, 0, 0, t))
        return;
    if (number == CALL_REPLY_PARK && reply_park(a[0], 0, 0, 0, 0, 0, t))
        return;
    if (number == CALL_CALL && message_call(a[0], 0, 0, 0, 0, 0, t))
        return;
    long result;
    if (number == CALL_BATCH && (t->x[0] & 4)) { /* its own way in, or by number */
        struct batch_answer answer = batch_native(a[0], a[1], 0, 0, 0, 0, t);
        t->x[11] = (uint64_t)answer.stopped;
        result = answer.performed;
    } else if (number == CALL_REPLY_BATCH) {
        if (reply_batch(a[0], a[1], a[2], 0, 0, 0, t))
            return;
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
    if (machine_note()->way == MACHINE_NOWHERE)
        t->x[10] = (uint64_t)result;
}

static void fault(struct thread *t, uint64_t cause, uint64_t address)
{
    fault_deliver(0, address, cause, t->x[0], 0, 0, t);
}

/* A load, store or fetch of user mode; a fault goes where it belongs. */
static void access(struct thread *t, uint8_t kind)
{
    unsigned hart = (unsigned)t->hart->id;
    uint64_t address = argument('a') & ~7UL;
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

/* The tables for the first 2 MiB of a space. */
static void tables_make(uint64_t space, uint64_t first)
{
    struct batch_page *page = world.thread->operation_page;
    for (unsigned i = 0; i < 2; i++)
        page->op[i] = (struct batch_op){.code = BATCH_TABLE,
                                        .level = 2 - i,
                                        .memory = SLOT_MEMORY,
                                        .entry = entry_make(world.first + first + i, 0)};
    WORLD_CALL(call_batch, space, 2);
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
    for (unsigned i = 0; i < 2; i++)
        tables_make(i ? S + 8 : SLOT_SPACE, 20 + 2 * i);
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

/* The world's thread may have changed its table meanwhile. */
static long drop_mappings(void)
{
    struct thread who = {.table_caps = world.table->caps, .table_size = world.table->size};
    return WORLD_CALL_AS(&who, call_space_drop, SLOT_SPACE, SLOT_MEMORY);
}

static long drop_space(void)
{
    kernel_lock();
    long result = cap_revoke(world_cap(SLOT_SPACE), 32);
    if (result == 0)
        result = cap_remove(world_cap(SLOT_SPACE));
    kernel_unlock();
    return result;
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

static bool own_space_there(void)
{
    const struct cap *c = world_cap(SLOT_SPACE);
    return c->type == CAP_SPACE && c->primary;
}

/* Of the space that the boot made; its destruction may have begun. */
static void own_mappings_gone(void)
{
    if (own_space_there())
        kassert(repeat(world_cap(SLOT_SPACE)->rights ? drop_mappings : drop_space) == 0);
}

/* A Memory capability stays while one of its pages is a table of the boot's space: that goes when
 * its threads are gone, which are made of memory. */
static long drop_all_and_space(void)
{
    long memory = drop_all();
    long space = own_space_there() ? drop_space() : 0;
    return memory ? memory : space;
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
    world_thread_unlink();
    kassert(repeat(drop_all_and_space) == 0);
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
