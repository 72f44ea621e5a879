/* Faults, exceptions and foreign calls of clients. */
#include "tests/guest/pagoda_native/native_test.h"

#include <string.h>

#include "pg.h"

uint64_t other_client;

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

long answer_forward(struct native_worker *worker, struct native_event *event)
{
    (void)worker;
    event->a[0] = 0x11;
    event->a[1] = 0x22;
    return CALL_FORWARD_PARK;
}

/* Worker B: what the pager hands on, exceptions, foreign calls. The client goes on behind it. */
long answer_other(struct native_worker *worker, struct native_event *event)
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
    fault.error = native_call(CALL_THREAD_REGS, other_client, (uint64_t)&regs, 0, 0, 0, 0);
    regs.x[0] += 4;
    fault.error |= native_call(CALL_THREAD_REGS, other_client, (uint64_t)&regs, 1, 0, 0, 0);
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
    other_client = client.slot;
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
    other_client = client.slot;
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
