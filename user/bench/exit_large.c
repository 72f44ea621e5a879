/*
 * How long others wait while a process of 512 MiB ends: the parent asks for it all the time, and
 * the longest time from one answer to the next is the sample.
 */
#include <signal.h>

#include "user/bench/lib/bench.h"

#define PAGES   (512UL * 256)
#define NO_HANG 1

static int ready[2], go[2]; /* pipes: the child has its pages; it may end */

static void child(void)
{
    char byte = 0, *at = bench_map(0, PAGES);

    if (bench_ecall(SYS_madvise, (uint64_t)at, PAGES * BENCH_PAGE, MADV_NOHUGEPAGE, 0, 0, 0).result)
        bench_fail("madvise", 0);
    for (size_t i = 0; i < PAGES; i++)
        at[i * BENCH_PAGE] = 1;
    bench_ecall(SYS_write, (uint64_t)ready[1], (uint64_t)&byte, 1, 0, 0, 0);
    bench_ecall(SYS_read, (uint64_t)go[0], (uint64_t)&byte, 1, 0, 0, 0);
    bench_ecall(SYS_exit_group, 0, 0, 0, 0, 0, 0);
}

/* The child is there, and waits to be told to end. */
static void wait_until_ready(void)
{
    char byte;

    bench_ecall(SYS_read, (uint64_t)ready[0], (uint64_t)&byte, 1, 0, 0, 0);
    for (int i = 0; i < 10; i++)
        bench_ecall(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
}

int main(void)
{
    struct bench_row row;
    uint64_t last, most = 0;
    long got;

    bench_start();
    if (bench_ecall(SYS_pipe2, (uint64_t)ready, 0, 0, 0, 0, 0).result ||
        bench_ecall(SYS_pipe2, (uint64_t)go, 0, 0, 0, 0, 0).result)
        bench_fail("pipe2", 0);
    long pid = bench_ecall(SYS_clone, SIGCHLD, 0, 0, 0, 0, 0).result;
    if (pid == 0)
        child();
    wait_until_ready();
    bench_open(&row, "exit_512MiB_others_wait_at_most", BENCH_BY_OTHER, 1, 1);
    bench_ecall(SYS_write, (uint64_t)go[1], (uint64_t) "", 1, 0, 0, 0);
    last = bench_now();
    do {
        got = bench_ecall(SYS_wait4, (uint64_t)pid, 0, NO_HANG, 0, 0, 0).result;
        uint64_t now = bench_now();
        most = now - last > most ? now - last : most;
        last = now;
    } while (got == 0);
    if (got != pid)
        bench_fail("wait4", got);
    bench_add(&row, most);
    bench_close(&row);
    return 0;
}
