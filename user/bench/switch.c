/*
 * From one program to another and back: pipes between two processes, a futex between two of them or
 * between two threads, yielding. One sample is a round trip as the first of the two sees it.
 */
#include <signal.h>

#include "user/bench/lib/bench.h"

#define REPEAT      256
#define WARM        8
#define STACK_WORDS 1024
#define TICK_SEEN   100      /* instructions between two readings: something came between */
#define PERIOD_MOST 20000000 /* instructions, of the longest timer period */

#define FUTEX_WAIT         0
#define FUTEX_WAKE         1
#define FUTEX_PRIVATE_FLAG 128

static long call(long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    return bench_ecall(number, a, b, c, d, 0, 0).result;
}

static long fork_raw(void)
{
    return call(SYS_clone, SIGCHLD, 0, 0, 0);
}

static _Noreturn void end(int status)
{
    for (;;)
        call(SYS_exit_group, (uint64_t)status, 0, 0, 0);
}

static void kill_and_wait(const char *op, long pid)
{
    call(SYS_kill, (uint64_t)pid, SIGKILL, 0, 0);
    if (call(SYS_wait4, (uint64_t)pid, 0, 0, 0) != pid)
        bench_fail(op, pid);
}

/*
 * Who is woken runs at once if it has more of its turn left, and each timer period takes from a
 * turn. So a period that ends within a row makes two kinds of samples, and where it ends depends on
 * everything before. Begin the row, and its partner, behind the end of one; where the counter is a
 * clock it is too coarse to see that.
 */
static void period_await(void)
{
    const bool exact = bench_on_pagoda();
    uint64_t begun = bench_now(), before = begun, now = begun;

    while (exact && now - before < TICK_SEEN && now - begun < PERIOD_MOST) {
        before = now;
        now = bench_now();
    }
    call(SYS_sched_yield, 0, 0, 0, 0); /* a new turn */
}

/* The row from REPEAT samples of trip(); the first few are not counted. */
static void row(const char *op, long (*trip)(void))
{
    struct bench_row row;
    long result = 0;

    bench_open(&row, op, BENCH_BY_OTHER, 1, REPEAT);
    for (int i = 0; i < REPEAT + WARM && result >= 0; i++) {
        bench_events_begin();
        uint64_t begun = bench_now();
        result = trip();
        uint64_t cost = bench_now() - begun;
        if (i < WARM)
            continue;
        bench_events_end(&row);
        bench_add(&row, cost);
    }
    if (result < 0)
        bench_fail(op, result);
    bench_close(&row);
}

/* ---- pipes ---- */

static int there[2], back[2];

static long pipe_trip(void)
{
    char byte = 1;
    long result = call(SYS_write, (uint64_t)there[1], (uint64_t)&byte, 1, 0);

    return result == 1 ? call(SYS_read, (uint64_t)back[0], (uint64_t)&byte, 1, 0) : -1;
}

static void pipe_row(void)
{
    static const char op[] = "pipe_pingpong_2_processes_roundtrip";
    char byte;

    if (call(SYS_pipe2, (uint64_t)there, 0, 0, 0) || call(SYS_pipe2, (uint64_t)back, 0, 0, 0)) {
        bench_skip(op, "there are no pipes");
        return;
    }
    long pid = fork_raw();
    if (pid == 0) {
        call(SYS_close, (uint64_t)there[1], 0, 0, 0);
        while (call(SYS_read, (uint64_t)there[0], (uint64_t)&byte, 1, 0) == 1)
            call(SYS_write, (uint64_t)back[1], (uint64_t)&byte, 1, 0);
        end(0);
    }
    row(op, pipe_trip);
    call(SYS_close, (uint64_t)there[1], 0, 0, 0);
    if (call(SYS_wait4, (uint64_t)pid, 0, 0, 0) != pid)
        bench_fail(op, pid);
}

/* ---- a futex: of two threads, or in memory that two processes share ---- */

static volatile int own_turn;
static volatile int *turn = &own_turn;
static uint64_t futex_flags = FUTEX_PRIVATE_FLAG;
static uint64_t stack[STACK_WORDS] __attribute__((aligned(16)));

static void turn_await(int mine)
{
    while (*turn != mine)
        call(SYS_futex, (uint64_t)turn, FUTEX_WAIT | futex_flags, (uint64_t)!mine, 0);
}

static void turn_give(int to)
{
    *turn = to;
    call(SYS_futex, (uint64_t)turn, FUTEX_WAKE | futex_flags, 1, 0);
}

static void partner(void)
{
    for (;;) {
        turn_await(1);
        turn_give(0);
    }
}

static long futex_trip(void)
{
    turn_give(1);
    turn_await(0);
    return 0;
}

static void futex_of_threads_row(void)
{
    static const char op[] = "futex_pingpong_2_threads_roundtrip";
    long tid = bench_thread(partner, stack + STACK_WORDS);

    if (tid < 0)
        bench_skip(op, "there are no threads");
    else
        row(op, futex_trip);
}

static void futex_of_processes_row(void)
{
    static const char op[] = "futex_pingpong_2_processes_roundtrip";
    long at = bench_call(NULL, SYS_mmap, 0, BENCH_PAGE, BENCH_RW, MAP_SHARED | MAP_ANONYMOUS,
                         (uint64_t)-1, 0);

    if (at < 0)
        bench_fail(op, at);
    turn = (volatile int *)at;
    futex_flags = 0;
    long pid = fork_raw();
    if (pid == 0)
        partner();
    row(op, futex_trip);
    kill_and_wait(op, pid);
    turn = &own_turn;
    futex_flags = FUTEX_PRIVATE_FLAG;
}

/* ---- yielding ---- */

static long yield_trip(void)
{
    return call(SYS_sched_yield, 0, 0, 0, 0);
}

static void yield_row(void)
{
    static const char op[] = "sched_yield_fifo_2_processes_there_and_back";
    long pid = fork_raw();

    if (pid == 0) {
        for (;;)
            yield_trip();
    }
    row(op, yield_trip);
    kill_and_wait(op, pid);
}

int main(void)
{
    bench_start();
    period_await();
    pipe_row();
    period_await();
    yield_row();
    period_await();
    futex_of_processes_row();
    period_await();
    futex_of_threads_row();
    return 0;
}
