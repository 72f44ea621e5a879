/* Signal a waiter of higher priority, which runs at once, and wait for its signal. */
#include "user/bench/native/common.h"

#define REPEAT 512U

static uint8_t stack[4096] __attribute__((aligned(16)));

void rows_notify(void)
{
    struct bench_row row;

    native_must("notification", native_object(CAP_NOTIFICATION, 0, SLOT_PING));
    native_must("notification", native_object(CAP_NOTIFICATION, 0, SLOT_PONG));
    stack[sizeof(stack) - 1] = 0; /* present */
    native_must("thread", native_thread(SLOT_PONG_THREAD, bench_pong, NULL, stack + sizeof(stack),
                                        MM_PRIORITY_CLIENT + 1));
    native_must("start", native_call(CALL_THREAD_START, SLOT_PONG_THREAD, 0, 0, 0, 0, 0));
    bench_notify_raw(); /* the waiter waits */
    bench_open(&row, "notify_roundtrip", BENCH_BY_OTHER, 1, REPEAT);
    for (unsigned i = 0; i < REPEAT; i++) {
        bench_events_begin();
        long instructions = (long)bench_notify_raw();
        bench_events_end(&row);
        if (instructions < 0)
            bench_fail(row.op, instructions);
        bench_add(&row, (uint64_t)instructions - bench_overhead - BENCH_RAW_MORE);
    }
    native_must("thread_stop", native_stop(SLOT_PONG_THREAD));
    bench_close(&row);
}
