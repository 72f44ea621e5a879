/*
 * The simulated kernel: memory, power on, and the clients that tests play. Its calls are in
 * sim_calls.c, batches in sim_batch.c, the state in sim_kernel.h.
 */
#include "mmserver/place/host/own_space.h"
#include "mmserver/core/fault.h"
#include "mmserver/core/linux_abi.h"
#include "mmserver/core/phys.h"
#include "mmserver/core/text.h"
#include "mmserver/place/place_server.h"
#include "mmserver/server/server.h"
#include <pagoda/counter.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIM_FIRST_PAGE  0x80000UL
#define TABLE_CAPS      4096U
#define DIRTY_PAGES_MAX (1UL << 17) /* more memory than that starts as zeros */
#define RANGES          3U
#define CALL_PC         0x1234UL
#define ECALL_BYTES     4U

struct sim sim;
uint64_t place_linear_base;

static uint32_t lock_ranks_held; /* workers are simulated one at a time */

uint32_t *lock_ranks(void)
{
    return &lock_ranks_held;
}

/* ---- memory and walks ---- */

bool sim_page_is_there(pfn_t page)
{
    return page >= sim.first && page < sim.end;
}

int32_t *sim_block(pfn_t page)
{
    return &sim.block[(page - sim.first) / PAGES_PER_BLOCK];
}

bool sim_is_tables(pfn_t page)
{
    return *sim_block(page) < 0;
}

uint64_t *sim_entry(struct sim_object *space, vaddr_t address, unsigned level)
{
    uint64_t *table = page_pointer(space->root);

    for (unsigned l = sim.levels - 1; l > level; l--) {
        uint64_t e = table[address >> (PAGE_SHIFT + TABLE_SHIFT * l) & (TABLE_ENTRIES - 1)];

        if (!entry_is_table(e))
            return NULL;
        table = page_pointer(entry_page(e));
    }
    return &table[address >> (PAGE_SHIFT + TABLE_SHIFT * level) & (TABLE_ENTRIES - 1)];
}

/* As hardware does at an access. */
static void leaf_used(struct sim_object *space, vaddr_t address, bool write)
{
    uint64_t *slot = sim_entry(space, address, 0);

    if (!slot)
        slot = sim_entry(space, address, 1);
    *slot |= ENTRY_A | (write ? ENTRY_D : 0);
}

uint64_t sim_leaf(struct sim_object *space, vaddr_t address)
{
    for (unsigned level = 0; level < 2; level++) {
        uint64_t *slot = sim_entry(space, address, level);
        uint64_t below = address >> PAGE_SHIFT & (level ? TABLE_ENTRIES - 1 : 0);

        if (slot && *slot & ENTRY_N) /* one of a run, which its low page bits say the size of */
            return (*slot & ~(15UL << ENTRY_PAGE_SHIFT)) | (address >> PAGE_SHIFT & 15)
                                                               << ENTRY_PAGE_SHIFT;
        if (slot)
            return entry_is_leaf(*slot) ? *slot + (below << ENTRY_PAGE_SHIFT) : 0;
    }
    return 0;
}

uint64_t place_ticks(void)
{
    return ++sim.ticks;
}

uint64_t place_instructions(void)
{
    return ++sim.ticks;
}

static long reply_fault_at(const struct worker *w, struct answer answer, struct sim_object *space,
                           vaddr_t address);

/* The operations that go with the answer to a call, of which none can fail. */
static void batch_of_call(struct worker *w, struct answer answer)
{
    uint64_t stopped;
    long done = sim_batch(answer_second(answer), w->batch_ops, false, &stopped);

    mm_assert(done == (long)w->batch_ops && !stopped);
    w->ops->op[0].finished = 1;
}

/* The reply that is held arrives: a batch lies in its own worker's page. */
static void held_lands(void)
{
    uint32_t hart = sim.hart;
    uint64_t stopped = 0;

    if (answer_kind(sim.held) == ANSWER_FAULT) {
        mm_assert(!reply_fault_at(sim.held_worker, sim.held, sim.held_space, sim.held_address));
        return;
    }
    sim.hart = sim.held_worker->hart;
    if (answer_kind(sim.held) == ANSWER_CALL) {
        batch_of_call(sim.held_worker, sim.held);
    } else {
        long done = sim_batch(answer_value(sim.held), answer_second(sim.held), false, &stopped);
        mm_assert(done == (long)answer_second(sim.held));
    }
    sim.hart = hart;
}

/* One worker waits: the other hart makes progress. */
void place_relax(void)
{
    if (sim.on_relax)
        sim.on_relax();
    if (sim.hold == HOLD_LANDS) {
        held_lands();
        sim.hold = HOLD_NONE;
        if (sim.held_again) /* as mm_read_try() begins */
            sim.held_worker->visit.at = VISIT_READS;
    } else if (sim.hold == HOLD_FAILS && answer_kind(sim.held) == ANSWER_CALL) {
        uint32_t hart = sim.hart;

        sim.hold = HOLD_NONE;
        sim_held_goes_on();
        sim.hart = hart;
    } else if (sim.hold == HOLD_FAILS) {
        /* the first thing that fault_reply_failed() does */
        sim.held_worker->visit.failed = VISIT_REFUSED;
        sim.hold = HOLD_NONE;
    }
}

bool place_data(unsigned i, const void **from, uint64_t *bytes)
{
    extern char __data_start[], _end[];

    *from = __data_start;
    *bytes = (uint64_t)(_end - __data_start);
    return i == 0;
}

void place_log(const char *text, size_t bytes)
{
    printf("# %.*s", (int)bytes, text);
}

_Noreturn void place_panic(const char *file, int line, const char *what)
{
    printf("# panic: %s:%d: %s\n", file, line, what);
    fflush(stdout);
    abort();
}

_Noreturn void place_power_off(uint64_t status)
{
    printf("# power off with status %lu\n", (unsigned long)status);
    fflush(stdout);
    abort();
}

bool place_apart(bool plain, bool single)
{
    return !plain && !single;
}

bool place_worker_prepare(struct worker *boot, struct worker *w)
{
    (void)boot, (void)w;
    return true;
}

long place_worker_bind(struct worker *w)
{
    (void)w;
    return 0;
}

bool place_alloc_fails(void)
{
    sim.allocs++;
    if (!sim.fail_alloc || --sim.fail_alloc)
        return false;
    sim.failed = true;
    return true;
}

/* ---- power on ---- */

/* Ranges with ragged ends, two of them meeting under different capabilities. */
static void range_give(const struct boot_range *r)
{
    struct sim_cap *c = &sim_own_table()->cap[SLOT_MEMORY + sim.info.ranges];

    sim.info.range[sim.info.ranges++] = *r;
    c->type = CAP_MEMORY;
    c->rights = RIGHT_WRITE | RIGHT_EXEC | RIGHT_KEEP | RIGHT_COPY_ON;
    c->first = r->first_page;
    c->pages = r->pages;
}

static void ranges_make(const struct sim_config *config)
{
    uint64_t pages = config->memory_pages;
    const uint64_t cut[RANGES + 1] = {SIM_FIRST_PAGE + 37, SIM_FIRST_PAGE + pages / 4 + 201,
                                      SIM_FIRST_PAGE + pages / 2 + 3, SIM_FIRST_PAGE + pages - 11};

    for (unsigned i = 0; i < config->ranges; i++)
        range_give(&config->range[i]);
    for (unsigned i = 0; i < RANGES && !config->ranges; i++) {
        uint64_t first = cut[i] + (i == 2 ? 129 : 0); /* a hole before the last */

        range_give(&(struct boot_range){first, cut[i + 1] - first, BOOT_FREE, 0, 0});
    }
    struct sim_cap *device = &sim_own_table()->cap[SLOT_MEMORY + sim.info.ranges];

    sim.info.range[sim.info.ranges] =
        (struct boot_range){SIM_DEVICE_PAGE, SIM_DEVICE_PAGES, BOOT_DEVICE, 0, 0};
    *device = (struct sim_cap){.type = CAP_MEMORY,
                               .rights = RIGHT_IO | RIGHT_WRITE | RIGHT_COPY_ON,
                               .first = SIM_DEVICE_PAGE,
                               .pages = SIM_DEVICE_PAGES};
    sim.info.ranges++;
}

static void own_object(uint32_t slot, enum cap_type type)
{
    struct sim_cap *c = &sim_own_table()->cap[slot];

    c->type = (uint8_t)type;
    c->rights = 0xff;
    c->object = sim_object_make(type, 0, 0, 0);
}

static void info_make(const struct sim_config *config)
{
    sim.info.magic = BOOT_MAGIC;
    sim.info.size_bytes = sizeof sim.info;
    sim.info.levels = config->levels;
    sim.info.linear_base = place_linear_base;
    sim.info.user_end = sim.user_end;
    sim.info.timebase_hz = 10000000;
    sim.info.harts = config->harts;
    sim.info.initrd_start = (uintptr_t)config->archive - place_linear_base;
    sim.info.initrd_bytes = config->archive_bytes;
    sim.info.table_entries = TABLE_CAPS;
    sim.info.rng_seed = 1;
    if (config->runs)
        sim.info.features = BOOT_HAS_SVNAPOT | BOOT_HAS_SVADU;
    strncpy(sim.info.args, config->args ? config->args : "", sizeof sim.info.args - 1);
}

void sim_boot(const struct sim_config *config)
{
    uint64_t blocks = config->memory_pages / PAGES_PER_BLOCK + 1;

    memset(&sim, 0, sizeof sim);
    memset(workers, 0, sizeof workers);
    sim.memory = own_memory_make(blocks * BLOCK_BYTES);
    if (config->memory_pages <= DIRTY_PAGES_MAX)
        memset(sim.memory, 0xa5, config->memory_pages << PAGE_SHIFT);
    sim.first = SIM_FIRST_PAGE;
    sim.end = SIM_FIRST_PAGE + config->memory_pages;
    sim.block = calloc(blocks, sizeof *sim.block);
    sim.use = calloc(blocks * PAGES_PER_BLOCK, 1);
    place_linear_base = (uintptr_t)sim.memory - (SIM_FIRST_PAGE << PAGE_SHIFT);
    sim.levels = config->levels;
    sim.user_end = 1UL << (PAGE_SHIFT + TABLE_SHIFT * config->levels - 1);
    mm_assert(sim_table_make(TABLE_CAPS, 0) == sim_own_table());
    own_object(SLOT_TABLE, CAP_TABLE);
    own_object(SLOT_THREAD, CAP_THREAD);
    own_object(SLOT_SPACE, CAP_SPACE);
    sim_object(SLOT_SPACE, CAP_SPACE)->root = sim.end; /* behind all that is given away */
    memset(page_pointer(sim.end), 0, PAGE_BYTES);
    own_object(SLOT_ENDPOINT, CAP_ENDPOINT);
    sim_own_table()->cap[SLOT_KERNEL] =
        (struct sim_cap){.type = CAP_KERNEL, .rights = 0xff, .table = sim_own_table()};
    ranges_make(config);
    info_make(config);
    mmserver_start(&sim.info);
}

const struct boot_info *sim_boot_info(void)
{
    return &sim.info;
}

struct worker *sim_worker(uint32_t hart)
{
    return &workers[hart];
}

/* ---- clients ---- */

static struct sim_object *thread_of(const struct client *c)
{
    struct sim_object *t = sim_object(c->slot, CAP_THREAD);

    mm_assert(t && t->pager);
    return t;
}

static long reply_fault_at(const struct worker *w, struct answer answer, struct sim_object *space,
                           vaddr_t address)
{
    if (sim.race && sim_entry(space, address,
                              0)) { /* the other hart's page is this one, mapped a moment earlier */
        sim.race = false;
        return -ERR_MAPPED;
    }
    return sim_map_one(space, address, answer_value(answer), answer_second(answer),
                       w->visit.displaced);
}

static void reply_hold(struct worker *w, struct answer answer)
{
    sim.hold = sim.hold_fails ? HOLD_FAILS : HOLD_LANDS;
    sim.held = answer;
    sim.held_worker = w;
    sim.held_space = &sim.object[sim.thread->space];
    sim.held_address = sim.fault_address;
}

/* Carry the server's answer out, as the entry code and the kernel do. How it ended. */
static struct answer answer_carry_out(struct worker *w, struct answer answer)
{
    for (;;) {
        w->serving = NULL;
        mm_assert(!lock_ranks_held);
        bool reply = answer_kind(answer) == ANSWER_BATCH || answer_kind(answer) == ANSWER_FAULT;

        if (reply && sim.hold == HOLD_NEXT) {
            reply_hold(w, answer);
            return answer;
        }
        if (answer_kind(answer) == ANSWER_BATCH) {
            uint64_t stopped;
            long done = sim_batch(answer_value(answer), answer_second(answer), true, &stopped);

            if (done == (long)answer_second(answer) && !stopped)
                return answer;
            answer = batch_reply_failed(w, done, (long)stopped);
            continue;
        }
        if (answer_kind(answer) != ANSWER_FAULT)
            return answer;
        long error = reply_fault_at(w, answer, &sim.object[sim.thread->space], sim.fault_address);
        if (!error)
            return answer;
        answer = fault_reply_failed(w, error);
    }
}

static bool access_allowed(uint64_t entry, enum sim_access access)
{
    uint64_t need = access == SIM_WRITE ? ENTRY_W : access == SIM_FETCH ? ENTRY_X : ENTRY_R;

    return entry_is_leaf(entry) && (entry & ENTRY_U) && (entry & need);
}

struct sim_outcome sim_access(struct client *c, vaddr_t address, enum sim_access access,
                              uint8_t *value)
{
    static const uint64_t cause[] = {CAUSE_LOAD_PAGE, CAUSE_STORE_PAGE, CAUSE_FETCH_PAGE};
    struct sim_outcome outcome = {0};
    struct worker *w = &workers[c->hart];

    sim.hart = c->hart;
    sim.thread = thread_of(c);
    for (; outcome.faults < 8; outcome.faults++) {
        struct sim_object *space = &sim.object[sim.thread->space];
        uint64_t leaf = address < sim.user_end ? sim_leaf(space, address) : 0;

        if (access_allowed(leaf, access)) {
            leaf_used(space, address, access == SIM_WRITE);
            char *at = (char *)page_pointer(entry_page(leaf)) + (address & PAGE_MASK);

            if (value && access == SIM_WRITE)
                *at = (char)*value;
            else if (value)
                *value = (uint8_t)*at;
            outcome.done = true;
            return outcome;
        }
        sim.fault_address = address;
        struct answer answer =
            answer_carry_out(w, fault_enter(c->tag, address, cause[access], 0x1234, 0, 0, 0, w));
        bool reply = answer_kind(answer) == ANSWER_BATCH || answer_kind(answer) == ANSWER_FAULT;
        if (reply && sim_reply_is_held() && sim.held_worker == w)
            return outcome;
        if (answer_kind(answer) == ANSWER_FORWARD) {
            outcome.signal = (uint32_t)answer_value(answer);
            outcome.code = answer_second(answer);
            return outcome;
        }
    }
    mm_assert(!"a fault does not come to an end");
    return outcome;
}

long sim_call(struct client *c, long number, const uint64_t a[6], bool *forwarded)
{
    struct worker *w = &workers[c->hart];
    struct answer answer;
    uint64_t *x;

    sim.hart = c->hart;
    sim.thread = thread_of(c);
    x = sim.thread->regs.x;
    memcpy(&x[10], a, 6 * sizeof *a);
    x[17] = (uint64_t)number;
    do { /* the server may have it made again */
        x[0] = CALL_PC + ECALL_BYTES;
        answer = server_call(x[10], x[11], x[12], x[13], x[14], x[15], c->tag, number, w);
        w->serving = NULL;
        mm_assert(!lock_ranks_held);
        if (answer_kind(answer) == ANSWER_CALL && sim.hold == HOLD_NEXT)
            reply_hold(w, answer);
        else if (answer_kind(answer) == ANSWER_CALL)
            batch_of_call(w, answer);
        if (answer_kind(answer) != ANSWER_FORWARD)
            x[10] = answer_value(answer);
    } while (x[0] == CALL_PC);
    if (forwarded)
        *forwarded = answer_kind(answer) == ANSWER_FORWARD;
    return (long)answer_value(answer);
}

void sim_idle(uint32_t hart)
{
    sim.hart = hart;
    server_idle(&workers[hart]);
    mm_assert(!lock_ranks_held);
}

void sim_fail_call(uint64_t n)
{
    sim.fail_call = n;
    sim.calls = 0;
    sim.failed = false;
}

uint64_t sim_calls_counted(void)
{
    return sim.calls;
}

void sim_fail_alloc(uint64_t n)
{
    sim.fail_alloc = n;
    sim.allocs = 0;
    sim.failed = false;
}

uint64_t sim_allocs_counted(void)
{
    return sim.allocs;
}

bool sim_failed(void)
{
    return sim.failed;
}

void sim_hold_next_reply(bool fails)
{
    sim.hold = HOLD_NEXT;
    sim.hold_fails = fails;
    sim.held_again = false;
}

void sim_on_relax(void (*waits)(void))
{
    sim.on_relax = waits;
}

void sim_held_begins_again(void)
{
    sim.held_again = true;
}

bool sim_reply_is_held(void)
{
    return sim.hold == HOLD_LANDS || sim.hold == HOLD_FAILS;
}

struct answer sim_held_goes_on(void)
{
    sim.hart = sim.held_worker->hart;
    if (answer_kind(sim.held) == ANSWER_CALL)
        return server_batch_refused(sim.held_worker, -ERR_CLIENT, 0);
    if (answer_kind(sim.held) == ANSWER_BATCH)
        return batch_reply_failed(sim.held_worker, -ERR_CLIENT, 0);
    return fault_reply_failed(sim.held_worker, -ERR_CLIENT);
}

void sim_race_next_reply(void)
{
    sim.race = true;
}

/* ---- recount ---- */

static void count_table(const uint64_t *table, unsigned level, int32_t *count, uint64_t end)
{
    for (unsigned i = 0; i < end; i++) {
        uint64_t entry = table[i];

        if (level && entry_is_table(entry))
            count_table(page_pointer(entry_page(entry)), level - 1, count, TABLE_ENTRIES);
        else if (level < 2 && (entry & ENTRY_V) && sim_page_is_there(entry_page(entry)))
            count[(entry_page(entry) - sim.first) / PAGES_PER_BLOCK]++;
    }
}

bool sim_consistent(void)
{
    uint64_t blocks = (sim.end - sim.first) / PAGES_PER_BLOCK + 1;
    int32_t *count = calloc(blocks, sizeof *count);
    bool good = true;

    for (unsigned i = 1; i < SIM_OBJECTS_MAX; i++) {
        if (sim.object[i].alive && sim.object[i].type == CAP_SPACE)
            count_table(page_pointer(sim.object[i].root), sim.levels - 1, count, TABLE_ENTRIES / 2);
    }
    for (uint64_t b = 0; b < blocks; b++)
        good &= sim.block[b] == count[b] || (sim.block[b] < 0 && !count[b]);
    free(count);
    return good;
}
