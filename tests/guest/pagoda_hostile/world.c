/* Generations of guests: building, running, taking back. */
#include "hostile.h"

#include <string.h>

#include "pg.h"

#define TICK          10000UL /* between looks at the guests; 1 ms at 10 MHz */
#define LOOKS_MAX     100000
#define LOOKS_IDLE    100 /* without a call made: the guests have ruined themselves */
#define PASSES_MAX    16
#define STACK_BYTES   8192
#define PROBE_ADDRESS 0x70000000UL

extern char _end[];

static uint64_t sandbox_first, image_first, tables_mark;
static uint8_t guest_stack[GUESTS][STACK_BYTES] __attribute__((aligned(16)));
static uint8_t jail_stack[STACK_BYTES] __attribute__((aligned(16)));

uint64_t ticks_now(void)
{
    uint64_t now;

    __asm__ volatile("rdtime %0" : "=r"(now));
    return now;
}

bool good(const char *file, int line, const char *what, long error)
{
    if (error)
        ktap_fail(file, line, "%s: %ld (%s)", what, error, native_error_name(error));
    return error == 0;
}

static bool copy_to(uint64_t from, uint64_t index, uint64_t rights, uint64_t first, uint64_t pages)
{
    return GOOD(native_call(CALL_CAP_COPY, from, SLOT_GUEST_TABLE, index, rights, first, pages));
}

/* ---- the jail ---- */

/* Whatever a guest does there, the jail answers or stops it. */
static long jail(struct native_worker *worker, struct native_event *event)
{
    uint64_t who = event->a[0], lazy = (event->a[1] - GUEST_LAZY) / PAGE_BYTES;

    (void)worker;
    if (event->kind == ENTER_MESSAGE)
        native_call(CALL_SIGNAL, SLOT_DONE, DONE_MESSAGE, 0, 0, 0, 0);
    if (event->kind == ENTER_CALL || event->kind == ENTER_MESSAGE) {
        event->a[0] = (uint64_t)-38;
        return CALL_REPLY_PARK;
    }
    if (event->kind == ENTER_FAULT && lazy < GUEST_LAZY_PAGES && event->a[2] >= CAUSE_FETCH_PAGE) {
        event->a[0] = entry_make(sandbox_first + BLOCK_OF_DATA * PAGES_PER_BLOCK + 64 + lazy, RW);
        event->a[1] = SLOT_SANDBOX;
        return CALL_FAULT_REPLY;
    }
    /* A crash, or a page that could not be mapped: the client is found by trying. */
    if (event->kind == ENTER_FAULT && who < GUESTS) {
        native_call(CALL_SIGNAL, SLOT_DONE, 1UL << (DONE_CRASHED + who), 0, 0, 0, 0);
        native_stop(SLOT_GUEST_THREAD + who);
    } else if (event->kind == NATIVE_REFUSED) {
        for (unsigned i = 0; i < GUESTS; i++)
            native_stop(SLOT_GUEST_THREAD + i);
    }
    event->a[0] = 0;
    return CALL_PARK;
}

static struct native_worker jail_worker = {
    .handler = jail, .stack = jail_stack, .stack_bytes = STACK_BYTES};

/* ---- the world ---- */

static bool sandbox_open(void)
{
    long result = pg_syscall(MM_NATIVE_CREATE, CAP_MEMORY, SLOT_SANDBOX, SANDBOX_BLOCKS);
    struct native_result read = native_call3(CALL_CAP_READ, SELF_TABLE, SLOT_SANDBOX, 0, 0, 0, 0);

    sandbox_first = read.a1;
    return GOOD(result) && GOOD(read.a2 != SANDBOX_PAGES);
}

static bool world_open(void)
{
    if (!GOOD(native_open()) || !sandbox_open() ||
        !GOOD(native_object(CAP_NOTIFICATION, 0, SLOT_DONE)) ||
        !GOOD(native_object(CAP_ENDPOINT, 0, SLOT_JAIL)) ||
        !GOOD(native_worker_start(SLOT_JAIL_WORKER, SLOT_JAIL, &jail_worker)) ||
        !GOOD(native_space(SLOT_PROBE)) || !GOOD(native_space_tables(SLOT_PROBE, PROBE_ADDRESS)) ||
        !honest_open())
        return false;
    long first = native_image_make();
    image_first = (uint64_t)first;
    tables_mark = (uint64_t)native_tables(0);
    return GOOD(first < 0 ? first : 0) && GOOD((uint64_t)_end > GUEST_OPS);
}

bool hostile_world(void)
{
    static bool tried, opened;

    if (!tried)
        opened = world_open();
    tried = true;
    if (!opened)
        ktap_fail(__FILE__, __LINE__, "there is no world to be hostile in");
    return opened;
}

/* ---- building ---- */

static struct native_client guest_client(unsigned i)
{
    return (struct native_client){.slot = SLOT_GUEST_THREAD + i,
                                  .space = SLOT_GUEST_SPACE,
                                  .table = SLOT_GUEST_TABLE,
                                  .pager = SLOT_JAIL,
                                  .personality = SLOT_JAIL,
                                  .badge = i,
                                  .priority = MM_PRIORITY_CLIENT - 1};
}

static bool memory_part(uint64_t slot, uint64_t first, uint64_t pages, uint64_t rights)
{
    return GOOD(native_call(CALL_CAP_COPY, SLOT_SANDBOX, SELF_TABLE, slot, rights, first, pages));
}

static bool build_objects(void)
{
    const uint64_t all = RIGHT_ALL | RIGHT_COPY_ON;

    return GOOD(native_call(CALL_BLOCK_CLASS, SLOT_SANDBOX, BLOCK_OF_TABLES * PAGES_PER_BLOCK,
                            BLOCK_TABLES, 0, 0, 0)) &&
           GOOD(native_space(SLOT_GUEST_SPACE)) &&
           GOOD(native_object(CAP_TABLE, GUEST_TABLE_PAGES, SLOT_GUEST_TABLE)) &&
           GOOD(native_object(CAP_ENDPOINT, 0, SLOT_GUEST_ENDPOINT)) &&
           GOOD(native_object(CAP_NOTIFICATION, 0, SLOT_GUEST_NOTE)) &&
           memory_part(SLOT_GUEST_TABLES, BLOCK_OF_TABLES * PAGES_PER_BLOCK, PAGES_PER_BLOCK,
                       all & ~RIGHT_IO) &&
           memory_part(SLOT_GUEST_DATA, BLOCK_OF_DATA * PAGES_PER_BLOCK, PAGES_PER_BLOCK,
                       all & ~RIGHT_IO) &&
           memory_part(SLOT_GUEST_READ, SANDBOX_PAGES - READ_PAGES, READ_PAGES, RIGHT_COPY_ON);
}

static bool build_table(void)
{
    const uint64_t all = RIGHT_ALL | RIGHT_COPY_ON;
    bool done = copy_to(SLOT_GUEST_TABLE, GUEST_TABLE, all, 0, 0) &&
                copy_to(SLOT_GUEST_SPACE, GUEST_SPACE, all, 0, 0) &&
                copy_to(SLOT_GUEST_ENDPOINT, GUEST_ENDPOINT, all, 0, 0) &&
                copy_to(SLOT_JAIL, GUEST_JAIL, RIGHT_CALL | RIGHT_COPY_ON, 0, 0) &&
                copy_to(SLOT_GUEST_NOTE, GUEST_NOTE, all, 0, 0) &&
                copy_to(SLOT_GUEST_NOTE, GUEST_SIGNAL, RIGHT_SIGNAL, 0xff00, 0) &&
                copy_to(NATIVE_SLOT_KERNEL, GUEST_KERNEL, all, 0, 0) &&
                copy_to(SLOT_GUEST_TABLES, GUEST_TABLES, all, 0, 0) &&
                copy_to(SLOT_GUEST_DATA, GUEST_DATA, all, 0, 0) &&
                copy_to(SLOT_GUEST_READ, GUEST_READ, all, 0, 0) &&
                copy_to(NATIVE_SPACE, GUEST_STRANGER, 0, 0, 0);

    for (unsigned i = 0; done && i < GUESTS; i++)
        done = copy_to(SLOT_GUEST_THREAD + i, GUEST_THREAD + i, all, 0, 0);
    return done;
}

bool generation_build(uint64_t seed, uint64_t quota)
{
    for (unsigned i = 0; i < GUESTS; i++)
        guests[i] = (struct guest){.index = i,
                                   .state = seed * GUESTS + i,
                                   .quota = quota,
                                   .sandbox_first = sandbox_first,
                                   .data_first = native_data_number(0),
                                   .tables_first = native_tables_number(0)};
    if (!GOOD(native_image_write(image_first)) || !build_objects() ||
        !GOOD(native_image_map(SLOT_GUEST_SPACE, image_first)))
        return false;
    for (unsigned i = 0; i < GUESTS; i++) {
        struct native_client client = guest_client(i);
        if (!GOOD(native_client(&client)))
            return false;
    }
    return build_table();
}

/* ---- running ---- */

/* Guest i's operation page: page i of the data blocks, at GUEST_OPS + i pages. Whatever stood there
 * before goes. */
static bool map_operation_page(unsigned i)
{
    uint64_t page = BLOCK_OF_DATA * PAGES_PER_BLOCK + i;
    struct batch_op op = {.code = BATCH_UNMAP, .count = 1, .address = GUEST_OPS + i * PAGE_BYTES};

    native_operation(SLOT_GUEST_SPACE, &op);
    op.code = BATCH_MAP;
    op.memory = SLOT_SANDBOX;
    op.entry = entry_make(sandbox_first + page, RW);
    return native_operation(SLOT_GUEST_SPACE, &op) == 0 &&
           native_call(CALL_WORKER_PAGE, SLOT_GUEST_THREAD + i, SLOT_SANDBOX, page, 0, 0, 0) == 0;
}

/* At the beginning of its loop, everything but its memory as it was; false: it cannot be had back.
 */
static bool restart(unsigned i)
{
    struct native_client client = guest_client(i);

    return native_stop(client.slot) == 0 && native_client_configure(&client) == 0 &&
           map_operation_page(i) &&
           native_client_start(&client, guest_main, &guests[i], guest_stack[i] + STACK_BYTES) == 0;
}

/* Calls made by guest i: what its own copy says, and it may lie. */
static uint64_t calls_made(unsigned i)
{
    uint64_t at = (uint64_t)&guests[i] - NATIVE_IMAGE;
    struct guest copy;

    GOOD(native_peek(image_first + at / PAGE_BYTES, at % PAGE_BYTES, &copy, sizeof(copy)));
    return copy.done < guests[i].quota ? copy.done : guests[i].quota;
}

/* Look at the guests that are not done: those that do not get on begin anew. Bits of those that are
 * done or lost. */
static uint64_t look(uint64_t bits, uint64_t made[GUESTS])
{
    uint64_t over = 0;

    for (unsigned i = 0; i < GUESTS; i++) {
        uint64_t now = calls_made(i);
        bool crashed = bits >> (DONE_CRASHED + i) & 1;
        bool stuck = crashed || ((bits & DONE_TIMEOUT) && now == made[i]);
        made[i] = now;
        if (now >= guests[i].quota || (stuck && !restart(i)))
            over |= 1UL << i;
    }
    return over;
}

uint64_t generation_run(void)
{
    uint64_t made[GUESTS] = {0}, over = 0, bits = 0, last = 0;
    unsigned idle = 0;

    for (unsigned i = 0; i < GUESTS; i++)
        over |= restart(i) ? 0 : 1UL << i;
    for (int looks = 0; over != ALL_GUESTS && looks < LOOKS_MAX && idle < LOOKS_IDLE; looks++) {
        native_call(CALL_TIMER_SET, SLOT_DONE, ticks_now() + TICK, DONE_TIMEOUT, 0, 0, 0);
        if (!GOOD(native_wait(SLOT_DONE, &bits)))
            break;
        over = look(bits, made);
        idle = made[0] + made[1] + made[2] == last ? idle + 1 : 0;
        last = made[0] + made[1] + made[2];
    }
    native_call(CALL_TIMER_SET, SLOT_DONE, 0, 0, 0, 0, 0);
    return calls_made(0) + calls_made(1) + calls_made(2);
}

/* ---- taking back ---- */

static bool is_ours(uint64_t page)
{
    return page - sandbox_first < SANDBOX_PAGES ||
           page - native_data_number(image_first) < native_image_pages();
}

/* May the page be mapped at all, or is it one of a tables block? */
static void probe(uint64_t page)
{
    struct batch_op op = {.code = BATCH_MAP,
                          .count = 1,
                          .memory = SLOT_SANDBOX,
                          .address = PROBE_ADDRESS,
                          .entry = entry_make(page, 0)};

    if (page - sandbox_first >= SANDBOX_PAGES)
        return;
    GOOD(native_operation(SLOT_PROBE, &op));
    op.code = BATCH_UNMAP;
    GOOD(native_operation(SLOT_PROBE, &op));
}

static void scan_results(uint64_t address, const struct batch_op *op,
                         const uint64_t results[BATCH_RESULTS_MAX])
{
    for (unsigned i = 0; i < op->done && i < BATCH_RESULTS_MAX; i++) {
        if (!results[i])
            break; /* the rest were software entries */
        if (!is_ours(entry_page(results[i])))
            ktap_fail(__FILE__, __LINE__, "near 0x%lx the guests had mapped page 0x%lx",
                      (unsigned long)address, (unsigned long)entry_page(results[i]));
        else if (i < 4)
            probe(entry_page(results[i]));
    }
}

/* Everything that is mapped in the 2 MiB at `address`, in two halves as the results need. */
static void scan_block(uint64_t address)
{
    static uint64_t results[BATCH_RESULTS_MAX];
    long error;

    for (unsigned half = 0; half < 2; half++) {
        struct batch_op op = {.code = BATCH_UNMAP,
                              .flags = BATCH_KEEP,
                              .count = BATCH_RESULTS_MAX,
                              .address = address + half * BATCH_RESULTS_MAX * PAGE_BYTES};
        memset(results, 0, sizeof(results));
        native_poke(0, offsetof(struct batch_page, result), results, sizeof(results));
        native_batch(SLOT_GUEST_SPACE, &op, 1, &error, results);
        if (error == -ERR_LEVEL) {
            op.level = 1;
            op.count = 1;
            op.address = address;
            native_batch(SLOT_GUEST_SPACE, &op, 1, &error, results);
        }
        scan_results(address, &op, results);
    }
}

static void scan(void)
{
    static const uint64_t blocks[] = {
        0, 1UL << 21, 1UL << 30, 0x1000000000UL, (1UL << 38) - BLOCK_BYTES, 1UL << 38};

    for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++)
        scan_block(blocks[i]);
}

/* Delete what is left of that type in the guests' table; the number of entries that stay. */
static unsigned sweep(enum cap_type type)
{
    unsigned left = 0;

    for (uint64_t i = 0; i < GUEST_TABLE_SIZE; i++) {
        long read = native_call(CALL_CAP_READ, SLOT_GUEST_TABLE, i, 0, 0, 0, 0);
        if (read < 0 || (read & 0xff) != (long)type)
            continue;
        native_again(CALL_CAP_REVOKE, SLOT_GUEST_TABLE, i);
        left += native_again(CALL_CAP_DELETE, SLOT_GUEST_TABLE, i) != 0;
    }
    return left;
}

/* One round of deleting whatever can be deleted; how much stays. What stays in one round may go in
 * the next: a page table that the guests gave goes with the space that it is in. */
static unsigned sweep_all(void)
{
    static const enum cap_type order[] = {CAP_REPLY,        CAP_THREAD,   CAP_SPACE,  CAP_TABLE,
                                          CAP_NOTIFICATION, CAP_ENDPOINT, CAP_MEMORY, CAP_KERNEL};
    unsigned left = 0;

    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
        left += sweep(order[i]);
    for (uint64_t slot = SLOT_GUEST_LAST; slot >= SLOT_GUEST_SPACE; slot--) {
        if (native_call(CALL_CAP_READ, SELF_TABLE, slot, 0, 0, 0, 0) == -ERR_EMPTY)
            continue;
        native_again(CALL_CAP_REVOKE, SELF_TABLE, slot);
        left += native_again(CALL_CAP_DELETE, SELF_TABLE, slot) != 0;
    }
    return left;
}

/* Each block is data without any mapping again: only then may it become tables. */
static void check_blocks(void)
{
    for (uint64_t block = 0; block < SANDBOX_BLOCKS; block++) {
        uint64_t page = block * PAGES_PER_BLOCK;
        long error = native_call(CALL_BLOCK_CLASS, SLOT_SANDBOX, page, BLOCK_DATA, 0, 0, 0);
        if (error && error != -ERR_CLASS)
            ktap_fail(__FILE__, __LINE__, "block %lu is still in use for tables: %s",
                      (unsigned long)block, native_error_name(error));
        if (GOOD(native_call(CALL_BLOCK_CLASS, SLOT_SANDBOX, page, BLOCK_TABLES, 0, 0, 0)))
            GOOD(native_call(CALL_BLOCK_CLASS, SLOT_SANDBOX, page, BLOCK_DATA, 0, 0, 0));
    }
}

void generation_end(void)
{
    unsigned left = 1;

    for (unsigned i = 0; i < GUESTS; i++)
        GOOD(native_stop(SLOT_GUEST_THREAD + i));
    sweep(CAP_THREAD);
    scan();
    for (unsigned pass = 0; pass < PASSES_MAX && left; pass++)
        left = sweep_all();
    if (left)
        ktap_fail(__FILE__, __LINE__, "%u capabilities of the guests cannot be removed", left);
    GOOD(native_again(CALL_CAP_REVOKE, SELF_TABLE, SLOT_SANDBOX));
    check_blocks();
    native_tables_reset(tables_mark);
}
