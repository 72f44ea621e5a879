/*
 * How long others wait while a process of 512 MiB ends, or unmaps its memory: the parent asks for
 * its end all the time, or sleeps again and again with a priority above it, and the longest time
 * from one answer to the next is the sample.
 */
#include <signal.h>

#include "user/bench/lib/bench.h"

#define PAGES                   (512UL * 256)
#define NO_HANG                 1
#define SYS_sched_setscheduler_ 119
#define SCHED_FIFO_             1
#define NAP_NS                  100000 /* instructions too */

enum how { EXITS, UNMAPS };

static int ready[2], go[2]; /* pipes: the child has its pages; it may go on */

static void child(enum how how)
{
    char byte = 0, *at = bench_map(0, PAGES);

    if (bench_ecall(SYS_madvise, (uint64_t)at, PAGES * BENCH_PAGE, MADV_NOHUGEPAGE, 0, 0, 0).result)
        bench_fail("madvise", 0);
    for (size_t i = 0; i < PAGES; i++)
        at[i * BENCH_PAGE] = 1;
    bench_ecall(SYS_write, (uint64_t)ready[1], (uint64_t)&byte, 1, 0, 0, 0);
    bench_ecall(SYS_read, (uint64_t)go[0], (uint64_t)&byte, 1, 0, 0, 0);
    if (how == UNMAPS)
        bench_unmap(at, PAGES);
    bench_ecall(SYS_exit_group, 0, 0, 0, 0, 0, 0);
}

/* The child is there, and waits to be told. */
static void wait_until_ready(void)
{
    char byte;

    bench_ecall(SYS_read, (uint64_t)ready[0], (uint64_t)&byte, 1, 0, 0, 0);
    for (int i = 0; i < 10; i++)
        bench_ecall(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
}

static long child_made(enum how how)
{
    long pid = bench_ecall(SYS_clone, SIGCHLD, 0, 0, 0, 0, 0).result;

    if (pid == 0)
        child(how);
    wait_until_ready();
    return pid;
}

/* Between two answers the parent sleeps for `sleep_ns`, which is not waiting, or not at all. */
static void others_wait(const char *name, long pid, long sleep_ns)
{
    const long nap[2] = {0, sleep_ns};
    struct bench_row row;
    uint64_t last, most = 0;
    long got;

    bench_open(&row, name, BENCH_BY_OTHER, 1, 1);
    bench_ecall(SYS_write, (uint64_t)go[1], (uint64_t) "", 1, 0, 0, 0);
    last = bench_now();
    do {
        if (sleep_ns)
            bench_ecall(SYS_nanosleep, (uint64_t)nap, 0, 0, 0, 0, 0);
        got = bench_ecall(SYS_wait4, (uint64_t)pid, 0, NO_HANG, 0, 0, 0).result;
        /* Where nothing runs while it sleeps, no instructions pass either. */
        uint64_t now = bench_now(), since = now - last, nap_ns = (uint64_t)sleep_ns;
        uint64_t waited = since > nap_ns ? since - nap_ns : 0;
        most = waited > most ? waited : most;
        last = now;
    } while (got == 0);
    if (got != pid)
        bench_fail("wait4", got);
    bench_add(&row, most);
    bench_close(&row);
}

int main(void)
{
    const int priority = 10;

    bench_start();
    if (bench_ecall(SYS_pipe2, (uint64_t)ready, 0, 0, 0, 0, 0).result ||
        bench_ecall(SYS_pipe2, (uint64_t)go, 0, 0, 0, 0, 0).result)
        bench_fail("pipe2", 0);
    others_wait("exit_512MiB_others_wait_at_most", child_made(EXITS), 0);
    long pid = child_made(UNMAPS);
    if (bench_ecall(SYS_sched_setscheduler_, 0, SCHED_FIFO_, (uint64_t)&priority, 0, 0, 0).result)
        bench_fail("sched_setscheduler", 0);
    others_wait("munmap_512MiB_others_wait_at_most", pid, NAP_NS);
    return 0;
}
