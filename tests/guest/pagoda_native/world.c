/* The space, the workers and the slots that the cases share. */
#include "tests/guest/pagoda_native/native_test.h"

#include <unistd.h>

#include "pg.h"

static uint8_t stack_a[STACK_BYTES] __attribute__((aligned(16)));
static uint8_t stack_b[STACK_BYTES] __attribute__((aligned(16)));
uint8_t client_stack[STACK_BYTES] __attribute__((aligned(16)));

struct native_worker worker_a = {
    .handler = answer_forward, .stack = stack_a, .stack_bytes = STACK_BYTES};
struct native_worker worker_b = {
    .handler = answer_other, .stack = stack_b, .stack_bytes = STACK_BYTES};
uint64_t slots_used = SLOT_CASE;
uint64_t spare_first; /* page number */

struct met met;
struct told told;

void expect_error(const char *file, int line, const char *what, long got, long want)
{
    if (got != want)
        ktap_fail(file, line, "%s: %ld (%s), not %ld (%s)", what, got, native_error_name(got), want,
                  native_error_name(want));
}

long switching(long number, uint64_t a0, uint64_t a1)
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

bool world(void)
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

uint64_t fresh(void)
{
    return slots_used++;
}

void clean(void)
{
    while (slots_used > SLOT_CASE) {
        long error = native_again(CALL_CAP_DELETE, SELF_TABLE, --slots_used);
        if (error && error != -ERR_EMPTY)
            ktap_fail(__FILE__, __LINE__, "cleaning slot %lu: %ld (%s)", (unsigned long)slots_used,
                      error, native_error_name(error));
    }
    EXPECT_EQ(native_kernel_value, 0); /* in no register of a worker, at any of its entries */
}

uint64_t ticks_now(void)
{
    uint64_t now;

    __asm__ volatile("rdtime %0" : "=r"(now));
    return now;
}

void pause_ms(unsigned ms)
{
    usleep(ms * 1000);
}

void client_done(uint64_t own_slot)
{
    native_call(CALL_SIGNAL, SLOT_DONE, DONE_FINISHED, 0, 0, 0, 0);
    switching(CALL_THREAD_STOP, own_slot, 0);
}

uint64_t next_bits(void)
{
    uint64_t bits = 0;

    EXPECT_OK(CALL(CALL_TIMER_SET, SLOT_DONE, ticks_now() + TIMEOUT_TICKS, DONE_TIMEOUT));
    EXPECT_OK(native_wait(SLOT_DONE, &bits));
    EXPECT_OK(CALL(CALL_TIMER_SET, SLOT_DONE, 0, 0));
    return bits;
}

bool finished(void)
{
    uint64_t bits = next_bits();

    EXPECT_EQ(bits, DONE_FINISHED);
    return bits == DONE_FINISHED;
}

struct native_client client_make(uint64_t badge)
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

void client_start(const struct native_client *client, void (*fn)(void *arg))
{
    EXPECT_OK(native_client_start(client, fn, (void *)client->slot, client_stack + STACK_BYTES));
}

long area_map(unsigned at, uint64_t page, size_t count, uint64_t bits)
{
    return native_space_map(SLOT_SPACE, AREA + at * PAGE, page, count, bits);
}

void area_clear(void)
{
    struct batch_op op = {.code = BATCH_UNMAP, .count = AREA_PAGES, .address = AREA};

    EXPECT_OK(native_operation(SLOT_SPACE, &op));
}

struct batch_op map_op(uint64_t memory, uint64_t address, uint64_t entry, uint32_t count)
{
    return (struct batch_op){.code = BATCH_MAP,
                             .count = count,
                             .memory = (uint32_t)memory,
                             .address = address,
                             .entry = entry};
}

struct batch_op other_op(enum batch_code code, unsigned level, uint64_t address, uint64_t entry)
{
    return (struct batch_op){.code = (uint8_t)code,
                             .level = (uint8_t)level,
                             .count = 1,
                             .memory = NATIVE_SLOT_TABLES,
                             .address = address,
                             .entry = entry,
                             .extra = NATIVE_SPACE};
}

long operate(struct batch_op op)
{
    return native_operation(SLOT_SPACE, &op);
}
