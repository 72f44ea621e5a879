/* Notifications, timers, threads. */
#include "tests/guest/pagoda_native/native_test.h"

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

static volatile uint64_t counted;

static void client_counts(void *slot)
{
    (void)slot;
    for (;;)
        counted++;
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
