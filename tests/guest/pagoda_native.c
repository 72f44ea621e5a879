/*
 * Kernel calls used as they are meant, and what each of them says to wrong arguments.
 *
 * Clients run in an address space that holds a copy of this program (native.h); two workers of this
 * process, A and B, answer for them with the handler that the case has chosen. A case takes back
 * what it made, the last first.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ktap.h"
#include "native.h"
#include "pg.h"

enum slot {
    SLOT_SPACE = NATIVE_SLOT_USER, /* where clients run */
    SLOT_DONE,                     /* notification */
    SLOT_A,                        /* endpoints */
    SLOT_B,
    SLOT_WORKER_A,
    SLOT_WORKER_B,
    SLOT_SPARE, /* a block of memory of which nothing is mapped between the cases */
    SLOT_CASE   /* from here on a case's own */
};

#define DONE_FINISHED  1UL
#define DONE_TIMEOUT   2UL
#define SECOND_TICKS   10000000UL /* at least one, on the machines there are */
#define TIMEOUT_TICKS  (20 * SECOND_TICKS)
#define AREA           0x70000000UL /* of SLOT_SPACE: leaf table present, nothing mapped */
#define AREA_PAGES     64UL
#define RW             (ENTRY_W | ENTRY_D)
#define NO_SLOT        100000UL
#define STACK_BYTES    16384
#define KERNEL_ADDRESS 0xffffffc000000000UL

static uint8_t stack_a[STACK_BYTES] __attribute__((aligned(16)));
static uint8_t stack_b[STACK_BYTES] __attribute__((aligned(16)));
static uint8_t client_stack[STACK_BYTES] __attribute__((aligned(16)));
static native_handler answer_forward, answer_other;
static struct native_worker worker_a = {
    .handler = answer_forward, .stack = stack_a, .stack_bytes = STACK_BYTES};
static struct native_worker worker_b = {
    .handler = answer_other, .stack = stack_b, .stack_bytes = STACK_BYTES};
static uint64_t slots_used = SLOT_CASE;
static uint64_t spare_first; /* page number */

/* The error as a name when it is not the one wanted. */
static void expect_error(const char *file, int line, const char *what, long got, long want)
{
    if (got != want)
        ktap_fail(file, line, "%s: %ld (%s), not %ld (%s)", what, got, native_error_name(got), want,
                  native_error_name(want));
}

#define EXPECT_CALL(call_, want_) expect_error(__FILE__, __LINE__, #call_, (long)(call_), want_)
#define EXPECT_OK(call_)          EXPECT_CALL(call_, 0)
#define CALL(...)                 CALL_PADDED(__VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define CALL_PADDED(n, a, b, c, d, e, f, ...)                                                 \
    native_call(n, (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), (uint64_t)(d), (uint64_t)(e), \
                (uint64_t)(f))

static long switching(long number, uint64_t a0, uint64_t a1)
{
    struct native_message message = {{0}, 0};

    return native_switch(number, a0, a1, &message);
}

static long open_world(void)
{
    long error = native_open();

    if (!error)
        error = native_space(SLOT_SPACE);
    if (!error)
        error = native_space_tables(SLOT_SPACE, AREA);
    if (!error)
        error = native_object(CAP_NOTIFICATION, 0, SLOT_DONE);
    if (!error)
        error = native_object(CAP_ENDPOINT, 0, SLOT_A);
    if (!error)
        error = native_object(CAP_ENDPOINT, 0, SLOT_B);
    if (!error)
        error = native_worker_start(SLOT_WORKER_A, SLOT_A, &worker_a);
    if (!error)
        error = native_worker_start(SLOT_WORKER_B, SLOT_B, &worker_b);
    if (!error)
        error = pg_syscall(MM_NATIVE_CREATE, (long)CAP_MEMORY, (long)SLOT_SPARE, 1L);
    spare_first = native_call3(CALL_CAP_READ, SELF_TABLE, SLOT_SPARE, 0, 0, 0, 0).a1;
    return error ? error : native_space_image(SLOT_SPACE);
}

static bool world(void)
{
    static bool tried;
    static long error;

    if (!tried)
        error = open_world();
    tried = true;
    if (error)
        ktap_fail(__FILE__, __LINE__, "no world for kernel calls: %ld (%s)", error,
                  native_error_name(error));
    return error == 0;
}

/* An empty slot; what is made there goes at the end of the case. */
static uint64_t fresh(void)
{
    return slots_used++;
}

static void clean(void)
{
    while (slots_used > SLOT_CASE) {
        long error = native_again(CALL_CAP_DELETE, SELF_TABLE, --slots_used);
        if (error && error != -ERR_EMPTY)
            ktap_fail(__FILE__, __LINE__, "cleaning slot %lu: %ld (%s)", (unsigned long)slots_used,
                      error, native_error_name(error));
    }
}

#define NATIVE_CASE(name_)          \
    static void body_##name_(void); \
    KTAP_CASE(pagoda_##name_)       \
    {                               \
        REQUIRE(world());           \
        body_##name_();             \
        clean();                    \
    }                               \
    static void body_##name_(void)

static uint64_t ticks_now(void)
{
    uint64_t now;

    __asm__ volatile("rdtime %0" : "=r"(now));
    return now;
}

/* ---- clients ---- */

/* The last thing that a client does. */
static void client_done(uint64_t own_slot)
{
    native_call(CALL_SIGNAL, SLOT_DONE, DONE_FINISHED, 0, 0, 0, 0);
    switching(CALL_THREAD_STOP, own_slot, 0);
}

/* The next bits of SLOT_DONE; waits for them, but not for ever. */
static uint64_t next_bits(void)
{
    uint64_t bits = 0;

    EXPECT_OK(CALL(CALL_TIMER_SET, SLOT_DONE, ticks_now() + TIMEOUT_TICKS, DONE_TIMEOUT));
    EXPECT_OK(native_wait(SLOT_DONE, &bits));
    EXPECT_OK(CALL(CALL_TIMER_SET, SLOT_DONE, 0, 0));
    return bits;
}

/* Waits until a client is done. */
static bool finished(void)
{
    uint64_t bits = next_bits();

    EXPECT_EQ(bits, DONE_FINISHED);
    return bits == DONE_FINISHED;
}

/* A client with this program's table and, for faults and foreign calls, workers A and B. */
static struct native_client client_make(uint64_t badge)
{
    struct native_client client = {.slot = fresh(),
                                   .space = SLOT_SPACE,
                                   .table = NATIVE_TABLE,
                                   .pager = SLOT_A,
                                   .personality = SLOT_B,
                                   .badge = badge,
                                   .priority = MM_PRIORITY_CLIENT};

    EXPECT_OK(native_client(&client));
    EXPECT_OK(native_space_image_refresh(SLOT_SPACE));
    return client;
}

static void client_start(const struct native_client *client, void (*fn)(void *arg))
{
    EXPECT_OK(native_client_start(client, fn, (void *)client->slot, client_stack + STACK_BYTES));
}

#define FETCH(variable_) \
    EXPECT_OK(native_space_fetch(SLOT_SPACE, (void *)&(variable_), sizeof(variable_)))

/* Map data pages in the area, and take away what stands there. */
static long area_map(unsigned at, uint64_t page, size_t count, uint64_t bits)
{
    return native_space_map(SLOT_SPACE, AREA + at * PAGE, page, count, bits);
}

static void area_clear(void)
{
    struct batch_op op = {.code = BATCH_UNMAP, .count = AREA_PAGES, .address = AREA};

    EXPECT_OK(native_operation(SLOT_SPACE, &op));
}

static struct batch_op map_op(uint64_t memory, uint64_t address, uint64_t entry, uint32_t count)
{
    return (struct batch_op){.code = BATCH_MAP,
                             .count = count,
                             .memory = (uint32_t)memory,
                             .address = address,
                             .entry = entry};
}

static struct batch_op other_op(enum batch_code code, unsigned level, uint64_t address,
                                uint64_t entry)
{
    return (struct batch_op){.code = (uint8_t)code,
                             .level = (uint8_t)level,
                             .count = 1,
                             .memory = NATIVE_SLOT_TABLES,
                             .address = address,
                             .entry = entry,
                             .extra = NATIVE_SPACE};
}

static long operate(struct batch_op op)
{
    return native_operation(SLOT_SPACE, &op);
}

/* ---- capabilities ---- */

NATIVE_CASE(no_such_call)
{
    EXPECT_CALL(CALL(CALL_LAST - 1, 0), -ERR_CALL);
    EXPECT_CALL(CALL(-1000, 0), -ERR_CALL);
    EXPECT_CALL(CALL((long)(1UL << 63), 0), -ERR_CALL);
    EXPECT_OK(CALL(CALL_NULL, 0));
}

NATIVE_CASE(cap_read)
{
    struct native_result data =
        native_call3(CALL_CAP_READ, SELF_TABLE, NATIVE_SLOT_DATA, 0, 0, 0, 0);

    EXPECT_EQ(data.a0 & 0xff, CAP_MEMORY);
    EXPECT_EQ(data.a1, native_data_number(0));
    EXPECT_EQ(data.a2, NATIVE_DATA_PAGES);
    EXPECT_EQ(CALL(CALL_CAP_READ, SELF_TABLE, NATIVE_TABLE) & 0xff, CAP_TABLE);
    EXPECT_EQ(CALL(CALL_CAP_READ, SELF_TABLE, NATIVE_THREAD), CAP_THREAD);
    EXPECT_EQ(CALL(CALL_CAP_READ, SELF_TABLE, NATIVE_SLOT_KERNEL) & 0xff, CAP_KERNEL);
    EXPECT_EQ(CALL(CALL_CAP_READ, SELF_TABLE, NATIVE_SPACE) >> 8 & RIGHT_MAP, 0);
    EXPECT_EQ(CALL(CALL_CAP_READ, NATIVE_TABLE, NATIVE_SLOT_DATA), data.a0);
    EXPECT_CALL(CALL(CALL_CAP_READ, SELF_TABLE, slots_used), -ERR_EMPTY);
    EXPECT_CALL(CALL(CALL_CAP_READ, SELF_TABLE, NO_SLOT), -ERR_SLOT);
    EXPECT_CALL(CALL(CALL_CAP_READ, NATIVE_SLOT_DATA, 1), -ERR_TYPE);
    EXPECT_CALL(CALL(CALL_CAP_READ, NO_SLOT, 1), -ERR_SLOT);
}

NATIVE_CASE(cap_copy_with_fewer_rights)
{
    uint64_t narrow = fresh(), narrower = fresh();

    EXPECT_OK(CALL(CALL_CAP_COPY, SLOT_A, SELF_TABLE, narrow, RIGHT_CALL | RIGHT_COPY_ON, 7));
    struct native_result read = native_call3(CALL_CAP_READ, SELF_TABLE, narrow, 0, 0, 0, 0);
    EXPECT_EQ(read.a0, CAP_ENDPOINT | (RIGHT_CALL | RIGHT_COPY_ON) << 8);
    EXPECT_EQ(read.a1, 7);
    /* It has a badge now, and another one cannot be had from it. */
    EXPECT_CALL(CALL(CALL_CAP_COPY, narrow, SELF_TABLE, narrower, RIGHT_ALL, 8), -ERR_ARGUMENT);
    EXPECT_CALL(CALL(CALL_CAP_COPY, narrow, SELF_TABLE, narrow, RIGHT_ALL), -ERR_OCCUPIED);
    EXPECT_OK(CALL(CALL_CAP_COPY, narrow, SELF_TABLE, narrower, RIGHT_ALL));
    read = native_call3(CALL_CAP_READ, SELF_TABLE, narrower, 0, 0, 0, 0);
    EXPECT_EQ(read.a0, CAP_ENDPOINT | RIGHT_CALL << 8);
    EXPECT_EQ(read.a1, 7);
    EXPECT_CALL(CALL(CALL_CAP_COPY, narrower, SELF_TABLE, slots_used, RIGHT_ALL), -ERR_RIGHTS);
    EXPECT_CALL(CALL(CALL_CAP_DELETE, SELF_TABLE, narrow), -ERR_CHILDREN);
}

NATIVE_CASE(cap_copy_memory_part)
{
    uint64_t part = fresh(), small = fresh();

    EXPECT_OK(CALL(CALL_CAP_COPY, SLOT_SPARE, SELF_TABLE, part, RIGHT_COPY_ON, 5, 10));
    struct native_result read = native_call3(CALL_CAP_READ, SELF_TABLE, part, 0, 0, 0, 0);
    EXPECT_EQ(read.a1, spare_first + 5);
    EXPECT_EQ(read.a2, 10);
    EXPECT_CALL(CALL(CALL_CAP_COPY, part, SELF_TABLE, small, 0, 10, 1), -ERR_RANGE);
    EXPECT_CALL(CALL(CALL_CAP_COPY, part, SELF_TABLE, small, 0, 9, 2), -ERR_RANGE);
    EXPECT_CALL(CALL(CALL_CAP_COPY, part, SELF_TABLE, small, 0, ~0UL, 2), -ERR_RANGE);
    EXPECT_CALL(CALL(CALL_CAP_COPY, part, SELF_TABLE, small, 0, 1, ~0UL), -ERR_RANGE);
    EXPECT_CALL(CALL(CALL_CAP_COPY, part, SELF_TABLE, small, 256, 0, 1), -ERR_ARGUMENT);
    EXPECT_OK(CALL(CALL_CAP_COPY, part, SELF_TABLE, small, RIGHT_WRITE, 9, 1));
    read = native_call3(CALL_CAP_READ, SELF_TABLE, small, 0, 0, 0, 0);
    EXPECT_EQ(read.a0, CAP_MEMORY); /* what the source had not, the copy has not */
    EXPECT_EQ(read.a1, spare_first + 14);
    /* While a page of the block is mapped, whichever it is, it cannot go. */
    EXPECT_OK(operate(map_op(SLOT_SPARE, AREA, entry_make(spare_first, 0), 1)));
    EXPECT_CALL(CALL(CALL_CAP_DELETE, SELF_TABLE, small), -ERR_BUSY);
    EXPECT_CALL(CALL(CALL_CAP_REVOKE, SELF_TABLE, part), -ERR_BUSY);
    area_clear();
    EXPECT_OK(CALL(CALL_CAP_REVOKE, SELF_TABLE, part));
}

NATIVE_CASE(revoke_takes_all_that_was_derived)
{
    uint64_t first = fresh(), table = fresh(), copies[8];

    EXPECT_OK(CALL(CALL_CAP_COPY, SLOT_DONE, SELF_TABLE, first, RIGHT_ALL | RIGHT_COPY_ON));
    EXPECT_OK(native_object(CAP_TABLE, 1, table));
    for (unsigned i = 0; i < 8; i++) {
        copies[i] = fresh();
        EXPECT_OK(CALL(CALL_CAP_COPY, i ? copies[i - 1] : first, SELF_TABLE, copies[i],
                       RIGHT_ALL | RIGHT_COPY_ON));
        EXPECT_OK(CALL(CALL_CAP_COPY, copies[i], table, i + 1, RIGHT_SIGNAL));
    }
    EXPECT_OK(native_again(CALL_CAP_REVOKE, SELF_TABLE, first));
    for (unsigned i = 0; i < 8; i++) {
        EXPECT_CALL(CALL(CALL_CAP_READ, SELF_TABLE, copies[i]), -ERR_EMPTY);
        EXPECT_CALL(CALL(CALL_CAP_READ, table, i + 1), -ERR_EMPTY);
    }
    EXPECT_OK(CALL(CALL_SIGNAL, first, 0));
    EXPECT_OK(CALL(CALL_CAP_DELETE, SELF_TABLE, first));
    EXPECT_CALL(CALL(CALL_SIGNAL, first, 0), -ERR_EMPTY);
}

NATIVE_CASE(a_full_table_goes_with_all_in_it)
{
    uint64_t table = fresh();

    EXPECT_OK(native_object(CAP_TABLE, 2, table));
    for (uint64_t i = 0; i < 128; i++)
        EXPECT_OK(CALL(CALL_CAP_COPY, SLOT_DONE, table, i, RIGHT_SIGNAL));
    EXPECT_CALL(CALL(CALL_CAP_COPY, SLOT_DONE, table, 128, RIGHT_SIGNAL), -ERR_SLOT);
    EXPECT_OK(native_again(CALL_CAP_DELETE, SELF_TABLE, table));
    EXPECT_CALL(CALL(CALL_CAP_READ, table, 0), -ERR_EMPTY);
    EXPECT_OK(CALL(CALL_SIGNAL, SLOT_DONE, 0));
}

NATIVE_CASE(object_create_refusals)
{
    uint64_t to = fresh(), keepless = fresh();
    long page = native_tables(2);

    REQUIRE(page > 0);
    EXPECT_CALL(CALL(CALL_OBJECT_CREATE, NO_SLOT, page, CAP_SPACE, 0, to), -ERR_SLOT);
    EXPECT_CALL(CALL(CALL_OBJECT_CREATE, SLOT_DONE, page, CAP_SPACE, 0, to), -ERR_TYPE);
    EXPECT_CALL(CALL(CALL_OBJECT_CREATE, NATIVE_SLOT_TABLES, page, CAP_MEMORY, 0, to), -ERR_TYPE);
    EXPECT_CALL(CALL(CALL_OBJECT_CREATE, NATIVE_SLOT_TABLES, page, 99, 0, to), -ERR_TYPE);
    EXPECT_CALL(CALL(CALL_OBJECT_CREATE, NATIVE_SLOT_TABLES, page, CAP_ENDPOINT, 1, to),
                -ERR_ARGUMENT);
    EXPECT_CALL(CALL(CALL_OBJECT_CREATE, NATIVE_SLOT_TABLES, page, CAP_TABLE, 0, to),
                -ERR_ARGUMENT);
    EXPECT_CALL(CALL(CALL_OBJECT_CREATE, NATIVE_SLOT_TABLES, page, CAP_TABLE, ~0UL, to),
                -ERR_ARGUMENT);
    EXPECT_CALL(CALL(CALL_OBJECT_CREATE, NATIVE_SLOT_TABLES, page, CAP_SPACE, 0, SLOT_DONE),
                -ERR_OCCUPIED);
    EXPECT_CALL(CALL(CALL_OBJECT_CREATE, NATIVE_SLOT_TABLES, page, CAP_SPACE, 0, NO_SLOT),
                -ERR_SLOT);
    EXPECT_CALL(CALL(CALL_OBJECT_CREATE, NATIVE_SLOT_TABLES, 511, CAP_SPACE, 0, to), -ERR_RANGE);
    EXPECT_CALL(CALL(CALL_OBJECT_CREATE, NATIVE_SLOT_TABLES, ~0UL, CAP_SPACE, 0, to), -ERR_RANGE);
    EXPECT_CALL(CALL(CALL_OBJECT_CREATE, NATIVE_SLOT_TABLES, 0, CAP_ENDPOINT, 0, to), -ERR_BUSY);
    EXPECT_CALL(CALL(CALL_OBJECT_CREATE, NATIVE_SLOT_DATA, 1, CAP_ENDPOINT, 0, to), -ERR_CLASS);
    EXPECT_OK(CALL(CALL_CAP_COPY, SLOT_SPARE, SELF_TABLE, keepless, RIGHT_WRITE, 0, 1));
    EXPECT_CALL(CALL(CALL_OBJECT_CREATE, keepless, 0, CAP_ENDPOINT, 0, to), -ERR_RIGHTS);
    EXPECT_OK(CALL(CALL_OBJECT_CREATE, NATIVE_SLOT_TABLES, page, CAP_ENDPOINT, 0, to));
}

NATIVE_CASE(block_class_refusals)
{
    EXPECT_CALL(CALL(CALL_BLOCK_CLASS, NATIVE_SLOT_DATA, 0, 2), -ERR_ARGUMENT);
    EXPECT_CALL(CALL(CALL_BLOCK_CLASS, NATIVE_SLOT_DATA, 1, BLOCK_TABLES), -ERR_ALIGN);
    EXPECT_CALL(CALL(CALL_BLOCK_CLASS, NATIVE_SLOT_DATA, NATIVE_DATA_PAGES, BLOCK_TABLES),
                -ERR_RANGE);
    EXPECT_CALL(CALL(CALL_BLOCK_CLASS, NATIVE_SLOT_DATA, ~0UL << 9, BLOCK_TABLES), -ERR_RANGE);
    EXPECT_CALL(CALL(CALL_BLOCK_CLASS, NATIVE_SLOT_DATA, 0, BLOCK_TABLES), -ERR_BUSY);
    EXPECT_CALL(CALL(CALL_BLOCK_CLASS, NATIVE_SLOT_TABLES, 0, BLOCK_DATA), -ERR_BUSY);
    EXPECT_CALL(CALL(CALL_BLOCK_CLASS, NATIVE_SLOT_TABLES, 0, BLOCK_TABLES), -ERR_CLASS);
    EXPECT_CALL(CALL(CALL_BLOCK_CLASS, SLOT_DONE, 0, BLOCK_TABLES), -ERR_TYPE);
}

/* ---- mapping ---- */

NATIVE_CASE(map_protect_unmap)
{
    char text[] = "through the space", back[sizeof(text)] = "";
    long page = native_data(1);
    struct batch_op op = {.code = BATCH_PROTECT, .count = 1, .address = AREA};

    REQUIRE(page >= 0);
    EXPECT_OK(area_map(0, (uint64_t)page, 1, RW));
    EXPECT_EQ(CALL(CALL_SPACE_COPY, SLOT_SPACE, AREA + 100, text, sizeof(text), COPY_TO_SPACE),
              sizeof(text));
    EXPECT_OK(native_peek((uint64_t)page, 100, back, sizeof(back)));
    EXPECT(memcmp(text, back, sizeof(text)) == 0);
    EXPECT_CALL(area_map(0, (uint64_t)page, 1, RW), -ERR_MAPPED);

    EXPECT_OK(native_operation(SLOT_SPACE, &op)); /* to read-only */
    EXPECT_EQ(op.done, 1);
    EXPECT_EQ(CALL(CALL_SPACE_COPY, SLOT_SPACE, AREA, text, 1, COPY_TO_SPACE), 0);
    EXPECT_EQ(CALL(CALL_SPACE_COPY, SLOT_SPACE, AREA + 100, back, 1, COPY_FROM_SPACE), 1);
    op.memory = NATIVE_SLOT_DATA;
    op.entry = ENTRY_W | ENTRY_D;
    EXPECT_OK(native_operation(SLOT_SPACE, &op)); /* and back */
    EXPECT_EQ(CALL(CALL_SPACE_COPY, SLOT_SPACE, AREA, text, 1, COPY_TO_SPACE), 1);

    area_clear();
    EXPECT_EQ(CALL(CALL_SPACE_COPY, SLOT_SPACE, AREA, back, 1, COPY_FROM_SPACE), 0);
}

NATIVE_CASE(copy_stops_short_at_a_hole)
{
    static char buffer[2 * PAGE];
    long page = native_data(1);

    REQUIRE(page >= 0);
    memset(buffer, 1, sizeof(buffer));
    EXPECT_OK(area_map(0, (uint64_t)page, 1, RW));
    EXPECT_EQ(CALL(CALL_SPACE_COPY, SLOT_SPACE, AREA + 96, buffer, 2 * PAGE, COPY_TO_SPACE),
              PAGE - 96);
    EXPECT_EQ(CALL(CALL_SPACE_COPY, SLOT_SPACE, KERNEL_ADDRESS, buffer, 8, COPY_FROM_SPACE), 0);
    EXPECT_EQ(CALL(CALL_SPACE_COPY, SLOT_SPACE, ~0UL - 3, buffer, 8, COPY_FROM_SPACE), 0);
    EXPECT_EQ(CALL(CALL_SPACE_COPY, SLOT_SPACE, AREA, KERNEL_ADDRESS, 8, COPY_FROM_SPACE), 0);
    EXPECT_CALL(CALL(CALL_SPACE_COPY, SLOT_SPACE, AREA, buffer, 8, 2), -ERR_ARGUMENT);
    area_clear();
}

NATIVE_CASE(unmap_keeps_the_old_entries)
{
    static uint64_t results[BATCH_RESULTS_MAX];
    struct batch_op op = {
        .code = BATCH_UNMAP, .flags = BATCH_KEEP, .count = AREA_PAGES, .address = AREA};
    long first = native_data(3), error;

    REQUIRE(first >= 0);
    EXPECT_OK(area_map(1, (uint64_t)first, 2, RW));
    EXPECT_OK(area_map(9, (uint64_t)first + 2, 1, ENTRY_X));
    EXPECT_EQ(native_batch(SLOT_SPACE, &op, 1, &error, results), 1);
    EXPECT_OK(error);
    EXPECT_EQ(op.done, 3);
    EXPECT_EQ(results[0], native_data_entry((uint64_t)first, RW));
    EXPECT_EQ(results[1], native_data_entry((uint64_t)first + 1, RW));
    EXPECT_EQ(results[2], native_data_entry((uint64_t)first + 2, ENTRY_X));
}

NATIVE_CASE(replace_and_software_entries)
{
    long first = native_data(2);
    uint64_t one = native_data_entry((uint64_t)first, RW);
    uint64_t two = native_data_entry((uint64_t)first + 1, RW);
    struct batch_op replace = {.code = BATCH_REPLACE,
                               .count = 1,
                               .memory = NATIVE_SLOT_DATA,
                               .address = AREA,
                               .entry = two,
                               .extra = one};
    struct batch_op software = {
        .code = BATCH_SOFTWARE, .count = 1, .address = AREA, .entry = 0x1230};

    REQUIRE(first >= 0);
    EXPECT_CALL(native_operation(SLOT_SPACE, &replace), -ERR_UNMAPPED);
    EXPECT_OK(native_operation(SLOT_SPACE, &software));
    software.entry = 0x4560;
    EXPECT_OK(native_operation(SLOT_SPACE, &software));
    software.entry = 0;
    EXPECT_CALL(native_operation(SLOT_SPACE, &software), -ERR_ENTRY);
    software.entry = ENTRY_W;
    EXPECT_CALL(native_operation(SLOT_SPACE, &software), -ERR_ENTRY);
    EXPECT_OK(area_map(0, (uint64_t)first, 1, RW)); /* a software entry is in nobody's way */
    software.entry = 0x1230;
    EXPECT_CALL(native_operation(SLOT_SPACE, &software), -ERR_MAPPED);
    EXPECT_OK(native_operation(SLOT_SPACE, &replace));
    EXPECT_CALL(native_operation(SLOT_SPACE, &replace), -ERR_MAPPED);
    replace.extra = 0;
    EXPECT_CALL(native_operation(SLOT_SPACE, &replace), -ERR_ENTRY);
    area_clear();
}

NATIVE_CASE(map_refusals)
{
    uint64_t read_only = fresh(), page = native_data_number(1), data = NATIVE_SLOT_DATA;
    uint64_t good = entry_make(page, ENTRY_ALWAYS | RW);
    uint64_t spare = entry_make(spare_first, 0);

    EXPECT_OK(CALL(CALL_CAP_COPY, SLOT_SPARE, SELF_TABLE, read_only, 0, 0, 8));
    EXPECT_CALL(operate(map_op(data, AREA, good, 0)), -ERR_ARGUMENT);
    EXPECT_CALL(operate(map_op(data, AREA, good, 513)), -ERR_ARGUMENT);
    EXPECT_CALL(operate(map_op(data, AREA, good, ~0U)), -ERR_ARGUMENT);
    EXPECT_CALL(operate(map_op(data, AREA + 1, good, 1)), -ERR_ALIGN);
    EXPECT_CALL(operate(map_op(data, AREA + PAGE, good, 512)), -ERR_RANGE);
    EXPECT_CALL(operate(map_op(data, KERNEL_ADDRESS, good, 1)), -ERR_RANGE);
    EXPECT_CALL(operate(map_op(data, 1UL << 62, good, 1)), -ERR_RANGE);
    EXPECT_CALL(operate(map_op(data, AREA + (1UL << 30), good, 1)), -ERR_NOTABLE);
    EXPECT_CALL(operate(map_op(NO_SLOT, AREA, good, 1)), -ERR_SLOT);
    EXPECT_CALL(operate(map_op(slots_used, AREA, good, 1)), -ERR_EMPTY);
    EXPECT_CALL(operate(map_op(SLOT_DONE, AREA, good, 1)), -ERR_TYPE);
    EXPECT_CALL(operate(map_op(read_only, AREA, spare | RW, 1)), -ERR_ENTRY);
    EXPECT_CALL(operate(map_op(read_only, AREA, spare | ENTRY_X, 1)), -ERR_ENTRY);
    EXPECT_CALL(operate(map_op(read_only, AREA, spare, 9)), -ERR_RANGE);
    EXPECT_CALL(operate(map_op(data, AREA, good | ENTRY_G, 1)), -ERR_ENTRY);
    EXPECT_CALL(operate(map_op(data, AREA, good | 1UL << 54, 1)), -ERR_ENTRY);
    EXPECT_CALL(operate(map_op(data, AREA, good | ENTRY_PBMT_IO, 1)), -ERR_ENTRY);
    EXPECT_CALL(operate(map_op(data, AREA, entry_make(native_data_number(0) - 1, 0), 1)),
                -ERR_RANGE);
    EXPECT_CALL(operate(map_op(data, AREA, entry_make(0, 0), 1)), -ERR_RANGE);
    EXPECT_CALL(operate(map_op(data, AREA, entry_make((1UL << 44) - 1, 0), 2)), -ERR_RANGE);
    EXPECT_CALL(
        operate(map_op(NATIVE_SLOT_TABLES, AREA, entry_make(native_tables_number(1), 0), 1)),
        -ERR_CLASS);
    EXPECT_CALL(operate(other_op(BATCH_MAP, 3, AREA, good)), -ERR_LEVEL);
    EXPECT_CALL(operate(other_op(BATCH_MAP, 1, AREA + PAGE, good)), -ERR_ALIGN);
    EXPECT_CALL(operate(other_op(BATCH_MAP, 1, AREA, good)), -ERR_LEVEL);
}

NATIVE_CASE(other_operation_refusals)
{
    uint64_t page = native_data_number(1), next = AREA + BLOCK_BYTES;
    struct batch_op flags = {.code = BATCH_NOP, .flags = 2};
    struct batch_op data_table = other_op(BATCH_TABLE, 1, next, entry_make(page, ENTRY_V));

    data_table.memory = NATIVE_SLOT_DATA;
    EXPECT_CALL(operate(flags), -ERR_ARGUMENT);
    EXPECT_CALL(operate(other_op(BATCH_CODES, 0, AREA, 0)), -ERR_ARGUMENT);
    EXPECT_CALL(operate(other_op(BATCH_PROTECT, 0, AREA, ENTRY_U)), -ERR_ENTRY);
    EXPECT_CALL(operate(other_op(BATCH_CLEAR_BITS, 0, AREA, ENTRY_W)), -ERR_ENTRY);
    EXPECT_CALL(operate(other_op(BATCH_TABLE, 0, AREA, 0)), -ERR_LEVEL);
    EXPECT_CALL(operate(other_op(BATCH_TABLE, 5, AREA, 0)), -ERR_LEVEL);
    EXPECT_CALL(
        operate(other_op(BATCH_TABLE, 1, AREA, entry_make(native_tables_number(500), ENTRY_V))),
        -ERR_MAPPED);
    EXPECT_CALL(
        operate(other_op(BATCH_TABLE, 1, next, entry_make(native_tables_number(0), ENTRY_V))),
        -ERR_BUSY);
    EXPECT_CALL(operate(data_table), -ERR_CLASS);
    EXPECT_CALL(operate(other_op(BATCH_TABLE_REMOVE, 2, AREA, 0)), -ERR_BUSY);
    EXPECT_CALL(operate(other_op(BATCH_TABLE_REMOVE, 1, next, 0)), -ERR_UNMAPPED);
    EXPECT_CALL(operate(other_op(BATCH_COPY_TABLE, 0, AREA, 0)), -ERR_RIGHTS);
    EXPECT_CALL(CALL(CALL_BATCH, NATIVE_SPACE, 0), -ERR_RIGHTS);
    EXPECT_CALL(CALL(CALL_BATCH, SLOT_DONE, 0), -ERR_TYPE);
    EXPECT_CALL(CALL(CALL_BATCH, SLOT_SPACE, BATCH_OPS_MAX + 1), -ERR_LIMIT);
    /* This thread has no operation page. */
    EXPECT_EQ((long)native_call3(CALL_BATCH, SLOT_SPACE, 1, 0, 0, 0, 0).a1, -ERR_STATE);
}

NATIVE_CASE(a_batch_stops_at_the_first_refusal)
{
    struct batch_op op[3] = {{.code = BATCH_MAP,
                              .count = 1,
                              .memory = NATIVE_SLOT_DATA,
                              .address = AREA,
                              .entry = native_data_entry(1, 0)}};
    long error;

    op[1] = op[0];
    op[2] = op[0];
    op[2].address = AREA + PAGE;
    EXPECT_EQ(native_batch(SLOT_SPACE, op, 3, &error, NULL), 1);
    EXPECT_CALL(error, -ERR_MAPPED);
    EXPECT_EQ(op[0].done, 1);
    EXPECT_EQ(op[1].done, 0);
    area_clear();
}

NATIVE_CASE(copy_table_shares_read_only)
{
    uint64_t other = fresh();
    static uint64_t results[BATCH_RESULTS_MAX];
    long first = native_data(2), error;
    struct batch_op copy = {
        .code = BATCH_COPY_TABLE, .count = 1, .address = AREA, .extra = SLOT_SPACE};
    struct batch_op unmap = {
        .code = BATCH_UNMAP, .flags = BATCH_KEEP, .count = AREA_PAGES, .address = AREA};

    REQUIRE(first >= 0);
    EXPECT_OK(area_map(0, (uint64_t)first, 2, RW));
    EXPECT_OK(native_space(other));
    EXPECT_OK(native_space_tables(other, AREA));
    EXPECT_OK(native_operation(other, &copy));
    EXPECT_EQ(copy.done, 2);
    EXPECT_EQ(native_batch(other, &unmap, 1, &error, results), 1);
    EXPECT_EQ(results[0], native_data_entry((uint64_t)first, ENTRY_D));
    EXPECT_EQ(native_batch(SLOT_SPACE, &unmap, 1, &error, results), 1);
    EXPECT_EQ(results[1], native_data_entry((uint64_t)first + 1, ENTRY_D));
}

NATIVE_CASE(space_drop_removes_one_extent)
{
    uint64_t part = fresh();
    long found;

    EXPECT_OK(CALL(CALL_CAP_COPY, SLOT_SPARE, SELF_TABLE, part, 0, 7, 1));
    EXPECT_OK(operate(map_op(SLOT_SPARE, AREA, entry_make(spare_first + 7, RW), 2)));
    EXPECT_OK(native_again(CALL_SPACE_DROP, SLOT_SPACE, part));
    found = CALL(CALL_SPACE_COPY, SLOT_SPACE, AREA, &found, 1, COPY_FROM_SPACE);
    EXPECT_EQ(found, 0);
    found = CALL(CALL_SPACE_COPY, SLOT_SPACE, AREA + PAGE, &found, 1, COPY_FROM_SPACE);
    EXPECT_EQ(found, 1);
    EXPECT_CALL(CALL(CALL_SPACE_DROP, SLOT_SPACE, SLOT_DONE), -ERR_TYPE);
    EXPECT_CALL(CALL(CALL_SPACE_DROP, NATIVE_SPACE, part), -ERR_RIGHTS);
    area_clear();
}

/* ---- messages ---- */

static struct {
    uint64_t badge;
    unsigned count;
} met; /* by a handler, last */

static long answer_sums(struct native_worker *worker, struct native_event *event)
{
    (void)worker;
    met.badge = event->a[0];
    met.count++;
    if (event->kind != ENTER_MESSAGE)
        return CALL_PARK;
    for (unsigned i = 0; i < 6; i++)
        event->word[i] += i + 1;
    event->a[0] = 42;
    return CALL_REPLY_PARK;
}

NATIVE_CASE(messages_carry_six_words)
{
    struct native_message message = {{10, 20, 30, 40, 50, ~0UL}, 0};
    uint64_t badged = fresh();

    worker_a.handler = answer_sums;
    EXPECT_OK(CALL(CALL_CAP_COPY, SLOT_A, SELF_TABLE, badged, RIGHT_CALL, 0x1234));
    EXPECT_CALL(native_send(badged, &message), 42);
    EXPECT_EQ(met.badge, 0x1234);
    for (unsigned i = 0; i < 5; i++)
        EXPECT_EQ(message.word[i], 10 * (i + 1) + i + 1);
    EXPECT_EQ(message.word[5], 5);
    for (unsigned i = 0; i < 1000; i++) {
        message.word[0] = i;
        native_send(SLOT_A, &message);
        EXPECT_EQ(message.word[0], i + 1);
    }
    EXPECT_EQ(met.badge, 0);
}

/* Blocking calls in a worker, and answers nobody waits for. */
static long answer_with_tries(struct native_worker *worker, struct native_event *event)
{
    (void)worker;
    if (event->kind == ENTER_MESSAGE) {
        event->word[0] = (uint64_t)switching(CALL_WAIT, SLOT_DONE, 0);
        event->word[1] = (uint64_t)switching(CALL_CALL, SLOT_B, 0);
        event->word[2] = (uint64_t)switching(CALL_PARK, 0, 0);
        event->word[3] = (uint64_t)switching(CALL_FAULT_REPLY, 0, 0);
        event->word[4] = (uint64_t)switching(CALL_FORWARD_PARK, 0, 0);
        event->word[5] = (uint64_t)native_call(CALL_REPLY_KEEP, SLOT_DONE, 0, 0, 0, 0, 0);
    }
    event->a[0] = 0;
    return CALL_REPLY_PARK;
}

NATIVE_CASE(a_worker_may_not_block)
{
    struct native_message message = {{0}, 0};

    worker_a.handler = answer_with_tries;
    EXPECT_OK(native_send(SLOT_A, &message));
    EXPECT_CALL(message.word[0], -ERR_WORKER);
    EXPECT_CALL(message.word[1], -ERR_WORKER);
    EXPECT_CALL(message.word[2], -ERR_CLIENT);
    EXPECT_CALL(message.word[3], -ERR_CLIENT);
    EXPECT_CALL(message.word[4], -ERR_CLIENT);
    EXPECT_CALL(message.word[5], -ERR_OCCUPIED);
    /* And only a worker may park. */
    EXPECT_CALL(switching(CALL_PARK, 0, 0), -ERR_WORKER);
    EXPECT_CALL(switching(CALL_REPLY_PARK, 0, 0), -ERR_WORKER);
    EXPECT_CALL(switching(CALL_FAULT_REPLY, native_data_entry(1, 0), NATIVE_SLOT_DATA),
                -ERR_WORKER);
    EXPECT_CALL(switching(CALL_FORWARD_PARK, 0, 0), -ERR_WORKER);
    EXPECT_CALL(CALL(CALL_REPLY_KEEP, fresh()), -ERR_CLIENT);
}

static uint64_t kept_slot;

static long answer_keep(struct native_worker *worker, struct native_event *event)
{
    (void)worker;
    event->a[0] = 0;
    met.count++;
    if (event->kind == NATIVE_REFUSED)
        return CALL_REPLY_PARK;
    met.badge = (uint64_t)native_call(CALL_REPLY_KEEP, kept_slot, 0, 0, 0, 0, 0);
    native_call(CALL_SIGNAL, SLOT_DONE, 4, 0, 0, 0, 0);
    return CALL_PARK;
}

static struct {
    long status;
    uint64_t word[6];
} told; /* to a client, in its copy */

static void client_sends(void *slot)
{
    struct native_message message = {{1, 2, 3, 4, 5, 6}, 0};

    told.status = native_send(SLOT_A, &message);
    memcpy(told.word, message.word, sizeof(told.word));
    client_done((uint64_t)slot);
}

/* The worker has kept the answer to a client's message. */
static struct native_client keep_one(void)
{
    kept_slot = fresh();
    worker_a.handler = answer_keep;
    struct native_client client = client_make(0);
    client_start(&client, client_sends);
    EXPECT_EQ(next_bits(), 4);
    EXPECT_OK((long)met.badge);
    EXPECT_EQ(CALL(CALL_CAP_READ, SELF_TABLE, kept_slot) & 0xff, CAP_REPLY);
    return client;
}

NATIVE_CASE(a_kept_reply_is_answered_later)
{
    struct native_message none = {{0}, 0};
    struct native_client client = keep_one();

    EXPECT_CALL(CALL(CALL_CAP_COPY, kept_slot, SELF_TABLE, fresh(), 0), -ERR_TYPE);
    none.word[0] = 77;
    EXPECT_OK(native_switch(CALL_REPLY_SEND, kept_slot, 5, &none));
    EXPECT_CALL(CALL(CALL_REPLY_SEND, kept_slot, 5), -ERR_EMPTY);
    REQUIRE(finished());
    FETCH(told);
    EXPECT_EQ(told.status, 5);
    EXPECT_EQ(told.word[0], 77);
    EXPECT_OK(native_stop(client.slot));
}

NATIVE_CASE(a_lost_reply_tells_its_client)
{
    struct native_client client = keep_one();

    EXPECT_OK(CALL(CALL_CAP_DELETE, SELF_TABLE, kept_slot));
    REQUIRE(finished());
    FETCH(told);
    EXPECT_CALL(told.status, -ERR_GONE);
    EXPECT_OK(native_stop(client.slot));
}

NATIVE_CASE(a_stopped_client_takes_its_reply_with_it)
{
    struct native_client client = keep_one();

    EXPECT_OK(native_stop(client.slot));
    EXPECT_CALL(CALL(CALL_REPLY_SEND, kept_slot, 0), -ERR_EMPTY);
}

/* ---- faults and foreign calls ---- */

static struct {
    uint64_t badge, address, cause, pc, info0, info1;
    long error;     /* of a refused answer */
    uint64_t first; /* data page that stands for the area's first */
    unsigned count;
} fault;

static long answer_pages(struct native_worker *worker, struct native_event *event)
{
    (void)worker;
    if (event->kind == NATIVE_REFUSED) {
        fault.error = (long)event->a[0];
        event->a[0] = 0;
        return CALL_REPLY_PARK;
    }
    if (event->kind != ENTER_FAULT)
        return CALL_PARK;
    fault.badge = event->a[0];
    fault.address = event->a[1];
    fault.cause = event->a[2];
    fault.pc = event->a[3];
    fault.count++;
    uint64_t page = fault.first + (fault.address - AREA) / PAGE;
    event->a[0] = native_data_entry(page, RW);
    event->a[1] = NATIVE_SLOT_DATA;
    return CALL_FAULT_REPLY;
}

static void client_writes_area(void *slot)
{
    for (unsigned i = 0; i < AREA_PAGES; i++)
        *(volatile uint64_t *)(AREA + i * PAGE + 8) = i ^ 0x55;
    for (unsigned i = 0; i < AREA_PAGES; i++)
        told.status += *(volatile uint64_t *)(AREA + i * PAGE + 8) != (i ^ 0x55);
    client_done((uint64_t)slot);
}

NATIVE_CASE(a_pager_of_ones_own)
{
    long first = native_data(AREA_PAGES);

    REQUIRE(first >= 0);
    memset(&fault, 0, sizeof(fault));
    memset(&told, 0, sizeof(told));
    fault.first = (uint64_t)first;
    worker_a.handler = answer_pages;
    struct native_client client = client_make(0xbad9e);
    client_start(&client, client_writes_area);
    REQUIRE(finished());
    FETCH(told);
    EXPECT_EQ(told.status, 0);
    EXPECT_EQ(fault.count, AREA_PAGES);
    EXPECT_EQ(fault.badge, 0xbad9e);
    EXPECT_EQ(fault.cause, CAUSE_STORE_PAGE);
    EXPECT_EQ(fault.address, AREA + (AREA_PAGES - 1) * PAGE + 8);
    EXPECT_EQ(fault.error, 0);
    for (uint64_t i = 0; i < AREA_PAGES; i++) {
        uint64_t value = 0;
        EXPECT_OK(native_peek((uint64_t)first + i, 8, &value, sizeof(value)));
        EXPECT_EQ(value, i ^ 0x55);
    }
    EXPECT_OK(native_stop(client.slot));
    area_clear();
}

static unsigned wrong_at;
static long wrong_got[8];

/* Tries every wrong answer to a fault before the right one. */
static long answer_wrongly(struct native_worker *worker, struct native_event *event)
{
    uint64_t page = native_data_number(fault.first);
    const uint64_t answers[][2] = {
        {entry_make(page, RW), NO_SLOT},
        {entry_make(page, RW), SLOT_DONE},
        {entry_make(page, RW | ENTRY_G), NATIVE_SLOT_DATA},
        {entry_make(0, RW), NATIVE_SLOT_DATA},
        {entry_make(native_tables_number(1), 0), NATIVE_SLOT_TABLES},
        {entry_make(page, RW), NATIVE_SLOT_DATA},
    };

    (void)worker;
    if (event->kind == NATIVE_REFUSED && wrong_at < 8)
        wrong_got[wrong_at++] = (long)event->a[0];
    event->a[0] = answers[wrong_at][0];
    event->a[1] = answers[wrong_at][1];
    return CALL_FAULT_REPLY;
}

static void client_writes_once(void *slot)
{
    *(volatile char *)AREA = 1;
    client_done((uint64_t)slot);
}

NATIVE_CASE(fault_reply_refusals)
{
    static const long want[] = {-ERR_SLOT, -ERR_TYPE, -ERR_ENTRY, -ERR_RANGE, -ERR_CLASS};
    long first = native_data(1);

    REQUIRE(first >= 0);
    fault.first = (uint64_t)first;
    wrong_at = 0;
    worker_a.handler = answer_wrongly;
    struct native_client client = client_make(1);
    client_start(&client, client_writes_once);
    REQUIRE(finished());
    EXPECT_EQ(wrong_at, 5);
    for (unsigned i = 0; i < 5; i++)
        EXPECT_CALL(wrong_got[i], want[i]);
    EXPECT_OK(native_stop(client.slot));
    area_clear();
}

static long answer_forward(struct native_worker *worker, struct native_event *event)
{
    (void)worker;
    event->a[0] = 0x11;
    event->a[1] = 0x22;
    return CALL_FORWARD_PARK;
}

/* Worker B: what the pager hands on, exceptions, foreign calls. The client goes on behind it. */
static long answer_other(struct native_worker *worker, struct native_event *event)
{
    struct user_regs regs;

    (void)worker;
    if (event->kind == ENTER_CALL) {
        met.badge = event->a[6];
        event->a[0] = event->a[0] + event->a[5] + event->a[7];
        return CALL_REPLY_PARK;
    }
    fault.badge = event->a[0];
    fault.address = event->a[1];
    fault.cause = event->a[2];
    fault.pc = event->a[3];
    fault.info0 = event->a[5];
    fault.info1 = event->a[6];
    fault.count++;
    /* The faulting instructions of the clients here are four bytes long. */
    fault.error = native_call(CALL_THREAD_REGS, fault.first, (uint64_t)&regs, 0, 0, 0, 0);
    regs.x[0] += 4;
    fault.error |= native_call(CALL_THREAD_REGS, fault.first, (uint64_t)&regs, 1, 0, 0, 0);
    event->a[0] = 0;
    return CALL_REPLY_PARK;
}

static void client_excepts(void *slot)
{
    __asm__ volatile(".option push\n.option norvc\n"
                     "sb zero, 0(%0)\n"
                     ".option pop" ::"r"(AREA)
                     : "memory");
    __asm__ volatile(".4byte 0" ::: "memory"); /* an illegal instruction */
    client_done((uint64_t)slot);
}

NATIVE_CASE(events_reach_the_personality)
{
    memset(&fault, 0, sizeof(fault));
    worker_a.handler = answer_forward;
    worker_b.handler = answer_other;
    struct native_client client = client_make(0x77);
    fault.first = client.slot;
    client_start(&client, client_excepts);
    REQUIRE(finished());
    EXPECT_EQ(fault.count, 2);
    EXPECT_EQ(fault.badge, 0x77);
    EXPECT_EQ(fault.cause, CAUSE_ILLEGAL);
    EXPECT_EQ(fault.info0, 0);
    EXPECT_EQ(fault.error, 0);
    EXPECT_OK(native_stop(client.slot));
}

static void client_forwarded(void *slot)
{
    __asm__ volatile(".option push\n.option norvc\n"
                     "lb a0, 0(%0)\n"
                     ".option pop" ::"r"(AREA)
                     : "memory", "a0");
    client_done((uint64_t)slot);
}

NATIVE_CASE(a_pager_hands_a_fault_on)
{
    memset(&fault, 0, sizeof(fault));
    worker_a.handler = answer_forward;
    worker_b.handler = answer_other;
    struct native_client client = client_make(0x78);
    fault.first = client.slot;
    client_start(&client, client_forwarded);
    REQUIRE(finished());
    EXPECT_EQ(fault.count, 1);
    EXPECT_EQ(fault.address, AREA);
    EXPECT_EQ(fault.cause, CAUSE_LOAD_PAGE);
    EXPECT_EQ(fault.info0, 0x11);
    EXPECT_EQ(fault.info1, 0x22);
    EXPECT_OK(native_stop(client.slot));
}

static void client_calls(void *slot)
{
    told.status = pg_syscall(400L, 1L, 2L, 3L, 4L, 5L, 6L);
    client_done((uint64_t)slot);
}

NATIVE_CASE(a_foreign_call_is_forwarded)
{
    worker_b.handler = answer_other;
    struct native_client client = client_make(0x79);
    client_start(&client, client_calls);
    REQUIRE(finished());
    FETCH(told);
    EXPECT_EQ(told.status, 1 + 6 + 400);
    EXPECT_EQ(met.badge, 0x79);
    EXPECT_OK(native_stop(client.slot));
}

/* ---- notifications and timers ---- */

NATIVE_CASE(signals_gather)
{
    uint64_t only = fresh(), mute = fresh(), bits = 0;

    EXPECT_OK(CALL(CALL_SIGNAL, SLOT_DONE, 0x10));
    EXPECT_OK(CALL(CALL_SIGNAL, SLOT_DONE, 0x20));
    EXPECT_OK(native_wait(SLOT_DONE, &bits));
    EXPECT_EQ(bits, 0x30);
    EXPECT_OK(CALL(CALL_CAP_COPY, SLOT_DONE, SELF_TABLE, only, RIGHT_SIGNAL, 0x6));
    EXPECT_CALL(CALL(CALL_SIGNAL, only, 0x1), -ERR_ARGUMENT);
    EXPECT_OK(CALL(CALL_SIGNAL, only, 0x2));
    EXPECT_CALL(switching(CALL_WAIT, only, 0), -ERR_RIGHTS);
    EXPECT_CALL(CALL(CALL_TIMER_SET, only, 1, 0x1), -ERR_ARGUMENT);
    EXPECT_OK(CALL(CALL_CAP_COPY, SLOT_DONE, SELF_TABLE, mute, RIGHT_WAIT));
    EXPECT_CALL(CALL(CALL_SIGNAL, mute, 1), -ERR_RIGHTS);
    EXPECT_OK(native_wait(mute, &bits));
    EXPECT_EQ(bits, 0x2);
}

NATIVE_CASE(timers_signal)
{
    uint64_t start = ticks_now(), bits = 0;

    EXPECT_OK(CALL(CALL_TIMER_SET, SLOT_DONE, start + SECOND_TICKS / 50, 0x100));
    EXPECT_OK(native_wait(SLOT_DONE, &bits));
    EXPECT_EQ(bits, 0x100);
    EXPECT(ticks_now() >= start + SECOND_TICKS / 50);
    /* In the past: at once. */
    EXPECT_OK(CALL(CALL_TIMER_SET, SLOT_DONE, 1, 0x200));
    EXPECT_OK(native_wait(SLOT_DONE, &bits));
    EXPECT_EQ(bits, 0x200);
    /* Cancelled: the later one comes. */
    EXPECT_OK(CALL(CALL_TIMER_SET, SLOT_DONE, ticks_now() + SECOND_TICKS / 100, 0x400));
    EXPECT_OK(CALL(CALL_TIMER_SET, SLOT_DONE, ticks_now() + SECOND_TICKS / 20, 0x800));
    EXPECT_OK(native_wait(SLOT_DONE, &bits));
    EXPECT_EQ(bits, 0x800);
}

/* ---- threads ---- */

static volatile uint64_t counted;

static void client_counts(void *slot)
{
    (void)slot;
    for (;;)
        counted++;
}

static void pause_ms(unsigned ms)
{
    usleep(ms * 1000);
}

NATIVE_CASE(stop_and_start)
{
    struct native_client client = client_make(0);
    struct user_regs regs;

    client_start(&client, client_counts);
    EXPECT_CALL(CALL(CALL_THREAD_START, client.slot), -ERR_STATE);
    pause_ms(40);
    EXPECT_OK(native_stop(client.slot));
    FETCH(counted);
    uint64_t before = counted;
    EXPECT(before > 0);
    pause_ms(40);
    FETCH(counted);
    EXPECT_EQ(counted, before);
    EXPECT_OK(CALL(CALL_THREAD_REGS, client.slot, &regs, 0));
    EXPECT(regs.x[0] >= (uint64_t)client_counts && regs.x[0] < (uint64_t)client_counts + 64);
    EXPECT_OK(CALL(CALL_THREAD_START, client.slot));
    pause_ms(40);
    EXPECT_OK(native_stop(client.slot));
    FETCH(counted);
    EXPECT(counted > before);
    EXPECT_OK(native_stop(client.slot)); /* stopped already */
}

NATIVE_CASE(a_thread_moves_to_another_hart)
{
    struct native_client client = client_make(0);
    uint64_t last = 0;

    for (uint64_t hart = 0; hart < 4; hart++) {
        long error = CALL(CALL_THREAD_SET, client.slot, THREAD_HART, hart);
        if (error == -ERR_HART)
            break;
        EXPECT_OK(error);
        client_start(&client, client_counts);
        pause_ms(40);
        EXPECT_OK(native_stop(client.slot));
        FETCH(counted);
        EXPECT(counted > last);
        last = counted;
    }
    EXPECT_CALL(CALL(CALL_THREAD_SET, client.slot, THREAD_HART, 64), -ERR_HART);
    EXPECT_CALL(CALL(CALL_THREAD_SET, client.slot, THREAD_HART, ~0UL), -ERR_HART);
}

NATIVE_CASE(thread_refusals)
{
    uint64_t bare = fresh();
    struct user_regs regs = {{0}};

    EXPECT_OK(native_object(CAP_THREAD, 0, bare));
    EXPECT_CALL(CALL(CALL_THREAD_START, bare), -ERR_STATE);
    EXPECT_CALL(CALL(CALL_THREAD_SET, NATIVE_THREAD, THREAD_PRIORITY, 1), -ERR_RIGHTS);
    EXPECT_CALL(CALL(CALL_THREAD_SET, bare, THREAD_FIELDS, 1), -ERR_ARGUMENT);
    EXPECT_CALL(CALL(CALL_THREAD_SET, bare, THREAD_PRIORITY, PRIORITY_MAX + 1), -ERR_ARGUMENT);
    EXPECT_CALL(CALL(CALL_THREAD_SET, bare, THREAD_PRIORITY, 1UL << 32), -ERR_ARGUMENT);
    EXPECT_CALL(CALL(CALL_THREAD_SET, bare, THREAD_CALL_MASK, 8, 1), -ERR_ARGUMENT);
    EXPECT_CALL(CALL(CALL_THREAD_SET, bare, THREAD_SPACE, NATIVE_SPACE), -ERR_RIGHTS);
    EXPECT_CALL(CALL(CALL_THREAD_SET, bare, THREAD_TABLE, SLOT_DONE), -ERR_TYPE);
    EXPECT_CALL(CALL(CALL_THREAD_SET, bare, THREAD_PAGER, SLOT_DONE), -ERR_TYPE);
    EXPECT_CALL(CALL(CALL_THREAD_REGS, bare, KERNEL_ADDRESS, 0), -ERR_ADDRESS);
    EXPECT_CALL(CALL(CALL_THREAD_REGS, bare, 8, 1), -ERR_ADDRESS);
    EXPECT_CALL(CALL(CALL_THREAD_REGS, NATIVE_THREAD, &regs, 0), -ERR_RIGHTS);
    EXPECT_CALL(CALL(CALL_WORKER_BIND, bare, SLOT_A, 0, 0, 0, 0), -ERR_STATE);
    EXPECT_OK(CALL(CALL_THREAD_SET, bare, THREAD_SPACE, SLOT_SPACE));
    EXPECT_CALL(CALL(CALL_WORKER_BIND, bare, SLOT_DONE, 0, 0, 0, 0), -ERR_TYPE);
    EXPECT_CALL(CALL(CALL_WORKER_PAGE, bare, NATIVE_SLOT_DATA, NATIVE_DATA_PAGES), -ERR_RANGE);
    EXPECT_CALL(CALL(CALL_WORKER_PAGE, bare, NATIVE_SLOT_TABLES, 1), -ERR_CLASS);
    EXPECT_CALL(switching(CALL_THREAD_STOP, NATIVE_THREAD, 0), -ERR_RIGHTS);
    EXPECT_CALL(CALL(CALL_CAP_DELETE, SELF_TABLE, SLOT_SPACE), -ERR_BUSY);
}

/* ---- the rest ---- */

NATIVE_CASE(kernel_capability_is_for_counters)
{
    static uint64_t counters[COUNT_KERNEL + 2];
    uint64_t first;

    EXPECT_CALL(CALL(CALL_LOG_WRITE, NATIVE_SLOT_KERNEL, "x", 1), -ERR_RIGHTS);
    EXPECT_CALL(CALL(CALL_POWER_OFF, NATIVE_SLOT_KERNEL, 0), -ERR_RIGHTS);
    counters[COUNT_KERNEL] = 99;
    EXPECT_EQ(CALL(CALL_COUNTERS_READ, NATIVE_SLOT_KERNEL, counters, sizeof(counters), ~0UL),
              COUNT_KERNEL * 8);
    EXPECT_EQ(counters[COUNT_KERNEL], 99);
    first = counters[COUNT_trap_slow];
    EXPECT_EQ(CALL(CALL_COUNTERS_READ, NATIVE_SLOT_KERNEL, counters, 12, 0), 8);
    CALL(CALL_COUNTERS_READ, NATIVE_SLOT_KERNEL, counters, sizeof(counters), ~0UL);
    EXPECT(counters[COUNT_trap_slow] > first);
    EXPECT_CALL(CALL(CALL_COUNTERS_READ, NATIVE_SLOT_KERNEL, counters, 8, 64), -ERR_HART);
    EXPECT_CALL(CALL(CALL_COUNTERS_READ, NATIVE_SLOT_KERNEL, KERNEL_ADDRESS, 8, 0), -ERR_ADDRESS);
    EXPECT_CALL(CALL(CALL_COUNTERS_READ, NATIVE_SLOT_KERNEL, 16, 8, 0), -ERR_ADDRESS);
    /* The program's own code is not writable. */
    EXPECT_CALL(CALL(CALL_COUNTERS_READ, NATIVE_SLOT_KERNEL, (uint64_t)native_switch & ~7UL, 8, 0),
                -ERR_ADDRESS);
}

NATIVE_CASE(interrupts_need_their_capability)
{
    EXPECT_CALL(CALL(CALL_INTERRUPT_BIND, SLOT_DONE, SLOT_DONE, 1), -ERR_TYPE);
    EXPECT_CALL(CALL(CALL_INTERRUPT_BIND, NO_SLOT, SLOT_DONE, 1), -ERR_SLOT);
    EXPECT_CALL(CALL(CALL_INTERRUPT_ACK, SLOT_DONE), -ERR_TYPE);
    EXPECT_CALL(CALL(CALL_INSTRUCTION_FENCE, NATIVE_SPACE), -ERR_RIGHTS);
    EXPECT_OK(CALL(CALL_INSTRUCTION_FENCE, SLOT_SPACE));
    EXPECT_CALL(CALL(CALL_SPACE_INFO, SLOT_DONE), -ERR_TYPE);
}

NATIVE_CASE(privileged_server_calls_are_refused)
{
    static const long privileged[] = {MM_CREATE,        MM_EXEC,         MM_RELEASE,
                                      MM_THREAD_CREATE, MM_THREAD_START, MM_THREAD_DESTROY,
                                      MM_THREAD_REGS,   MM_THREAD_MOVE,  MM_THREAD_HART,
                                      MM_FAULT_IN,      MM_MAP_FILE,     MM_THREAD_STOP};

    for (size_t i = 0; i < sizeof(privileged) / sizeof(privileged[0]); i++)
        for (long arg = 0; arg < 4; arg++)
            EXPECT_EQ(SYSCALL(privileged[i], arg, arg, arg), -EPERM);
}

/* The server's books are right after all this. */
NATIVE_CASE(the_servers_recount_finds_nothing)
{
    EXPECT_EQ(pg_syscall(MM_CHECK), 0);
}
