/* Message round trips: the caller in the worker's own space, and in another. */
#include "user/bench/native/common.h"

#define REPEAT 512U

static struct bench_row row;

static void once(uint64_t word[6])
{
    bench_events_begin();
    long instructions = (long)bench_ipc_raw(SLOT_ECHO, word);
    bench_events_end(&row);
    if (instructions < 0)
        bench_fail(row.op, instructions);
    bench_add(&row, (uint64_t)instructions - bench_overhead - BENCH_RAW_MORE);
}

static void round_trips(void)
{
    uint64_t word[6] = {0};

    for (unsigned i = 0; i < REPEAT; i++) {
        for (unsigned k = 0; k < 4; k++)
            word[k] = i * 4 + k;
        once(word);
        for (unsigned k = 0; k < 4; k++)
            if (word[k] != i * 4 + k)
                bench_fail("a word of the message changed", (long)k);
    }
}

static void client_round_trips(void *arg)
{
    (void)arg;
    round_trips();
    client_done();
}

void rows_ipc(void)
{
    native_must("endpoint", native_object(CAP_ENDPOINT, 0, SLOT_ECHO));
    native_raw_worker(SLOT_ECHO_WORKER, SLOT_ECHO, bench_echo_entry, NULL, 0);
    bench_open(&row, "ipc_roundtrip", BENCH_BY_OTHER, 1, REPEAT);
    round_trips();
    bench_close(&row);
    /* The words travel in registers whether they mean something or not. */
    bench_open(&row, "ipc_roundtrip_4_words", BENCH_BY_OTHER, 1, REPEAT);
    round_trips();
    bench_close(&row);
    bench_open(&row, "ipc_roundtrip_two_spaces", BENCH_BY_OTHER, 1, REPEAT);
    client_run(client_round_trips, NULL, 0);
    client_fetch(&row);
    bench_close(&row);
}
