/* The honest part: memory with a known pattern, messages, faults of its own, counters. */
#include "hostile.h"

#include <string.h>
#include <sys/mman.h>

#include "pg.h"

#define CANARY_PAGES  16
#define STACK_BYTES   8192
#define TIMEOUT_TICKS 100000000UL /* 10 s at 10 MHz */

static uint64_t canary[CANARY_PAGES * PAGE_BYTES / 8]; /* in this process */
static long canary_page;                               /* and in data pages that guests know */
static long fault_page;
static uint8_t worker_stack[STACK_BYTES] __attribute__((aligned(16)));
static uint8_t client_stack[STACK_BYTES] __attribute__((aligned(16)));
static unsigned client_wrong; /* pages that the client did not find as it left them */

static uint64_t pattern(size_t i)
{
    return i * 0x9e3779b97f4a7c15UL ^ 0x5a5a;
}

static long handle(struct native_worker *worker, struct native_event *event)
{
    (void)worker;
    switch (event->kind) {
    case ENTER_MESSAGE:
        for (unsigned i = 0; i < 6; i++)
            event->word[i] = ~event->word[i];
        event->a[0] = 0;
        return CALL_REPLY_PARK;
    case ENTER_FAULT:
        event->a[0] = native_data_entry(
            (uint64_t)fault_page + (event->a[1] - HONEST_AREA) / PAGE_BYTES % HONEST_PAGES, RW);
        event->a[1] = NATIVE_SLOT_DATA;
        return CALL_FAULT_REPLY;
    case NATIVE_REFUSED:
        event->a[0] = 0;
        return CALL_REPLY_PARK;
    default:
        return CALL_PARK;
    }
}

static struct native_worker worker = {
    .handler = handle, .stack = worker_stack, .stack_bytes = STACK_BYTES};
static const struct native_client client = {.slot = SLOT_HONEST_CLIENT,
                                            .space = SLOT_HONEST_SPACE,
                                            .table = NATIVE_TABLE,
                                            .pager = SLOT_HONEST,
                                            .priority = MM_PRIORITY_CLIENT};

bool honest_open(void)
{
    canary_page = native_data(CANARY_PAGES);
    fault_page = native_data(HONEST_PAGES);
    for (size_t i = 0; i < sizeof(canary) / 8; i++)
        canary[i] = pattern(i);
    return canary_page >= 0 && fault_page >= 0 &&
           GOOD(native_poke((uint64_t)canary_page, 0, canary, sizeof(canary))) &&
           GOOD(native_object(CAP_ENDPOINT, 0, SLOT_HONEST)) &&
           GOOD(native_worker_start(SLOT_HONEST_WORKER, SLOT_HONEST, &worker)) &&
           GOOD(native_space(SLOT_HONEST_SPACE)) &&
           GOOD(native_space_tables(SLOT_HONEST_SPACE, HONEST_AREA)) &&
           GOOD(native_space_image(SLOT_HONEST_SPACE)) && GOOD(native_client(&client));
}

void honest_finish(void)
{
    struct native_message message = {{0}, 0};

    native_call(CALL_SIGNAL, SLOT_DONE, DONE_CLIENT, 0, 0, 0, 0);
    native_switch(CALL_THREAD_STOP, SLOT_HONEST_CLIENT, 0, &message);
}

bool honest_run(void (*fn)(void *arg), void *arg)
{
    uint64_t bits = 0;

    if (!GOOD(native_space_image_refresh(SLOT_HONEST_SPACE)) ||
        !GOOD(native_client_start(&client, fn, arg, client_stack + STACK_BYTES)))
        return false;
    native_call(CALL_TIMER_SET, SLOT_DONE, ticks_now() + TIMEOUT_TICKS, DONE_LATE, 0, 0, 0);
    while (!(bits & (DONE_CLIENT | DONE_LATE)) && GOOD(native_wait(SLOT_DONE, &bits)))
        continue;
    native_call(CALL_TIMER_SET, SLOT_DONE, 0, 0, 0, 0, 0);
    GOOD(native_stop(SLOT_HONEST_CLIENT));
    EXPECT(bits & DONE_CLIENT);
    return bits & DONE_CLIENT;
}

static void client_touches(void *arg)
{
    (void)arg;
    for (uint64_t i = 0; i < HONEST_PAGES; i++)
        *(volatile uint64_t *)(HONEST_AREA + i * PAGE_BYTES) = pattern(i);
    for (uint64_t i = 0; i < HONEST_PAGES; i++)
        client_wrong += *(volatile uint64_t *)(HONEST_AREA + i * PAGE_BYTES) != pattern(i);
    honest_finish();
}

static void check_canaries(void)
{
    static uint64_t copy[CANARY_PAGES * PAGE_BYTES / 8];

    for (size_t i = 0; i < sizeof(canary) / 8; i++) {
        if (canary[i] != pattern(i)) {
            ktap_fail(__FILE__, __LINE__, "this process's memory changed at word %zu", i);
            return;
        }
    }
    GOOD(native_peek((uint64_t)canary_page, 0, copy, sizeof(copy)));
    if (memcmp(copy, canary, sizeof(copy)) != 0)
        ktap_fail(__FILE__, __LINE__, "the honest data pages changed");
}

static void check_messages(void)
{
    for (uint64_t i = 0; i < 16; i++) {
        struct native_message message = {{i, 1, 2, 3, 4, 5 * i}, 0};
        GOOD(native_send(SLOT_HONEST, &message));
        EXPECT(message.word[0] == ~i && message.word[5] == ~(5 * i));
    }
}

static void check_faults(void)
{
    struct batch_op op = {.code = BATCH_UNMAP, .count = HONEST_PAGES, .address = HONEST_AREA};

    client_wrong = 0;
    if (honest_run(client_touches, NULL)) {
        GOOD(native_space_fetch(SLOT_HONEST_SPACE, &client_wrong, sizeof(client_wrong)));
        EXPECT_EQ(client_wrong, 0);
    }
    GOOD(native_operation(SLOT_HONEST_SPACE, &op));
    EXPECT_EQ(op.done, HONEST_PAGES);
    uint8_t *own = ktap_map(4 * PAGE, PROT_READ | PROT_WRITE);
    REQUIRE(own != NULL);
    EXPECT(ktap_all_bytes(own, 4 * PAGE, 0));
    memset(own, 0xa5, 4 * PAGE);
    EXPECT(ktap_all_bytes(own, 4 * PAGE, 0xa5));
    munmap(own, 4 * PAGE);
}

static void check_counters(void)
{
    static uint64_t last[COUNT_KERNEL], now[COUNT_KERNEL];

    EXPECT_EQ(native_call(CALL_LAST - 1, 0, 0, 0, 0, 0, 0), -ERR_CALL);
    EXPECT_EQ(
        native_call(CALL_COUNTERS_READ, NATIVE_SLOT_KERNEL, (uint64_t)now, sizeof(now), ~0UL, 0, 0),
        sizeof(now));
    EXPECT(now[COUNT_trap_slow] > last[COUNT_trap_slow]);
    EXPECT(now[COUNT_call_error] > last[COUNT_call_error]);
    memcpy(last, now, sizeof(last));
}

void honest_check(void)
{
    check_canaries();
    check_messages();
    check_faults();
    check_counters();
}
