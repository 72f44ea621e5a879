/*
 * Threads of one process write-touch disjoint regions of 16 MiB, side by side in one VMA or each in
 * a VMA of its own: instructions of all harts together, for each fault, from the moment that the
 * threads are let go until the last is done. What harts wait for each other is in it, so a lock
 * that faults hold in turn would be seen. Under -icount the counter of any hart counts what all of
 * them execute, so it needs no adding up.
 *
 * The threads themselves wait asleep.
 */
#include "user/bench/lib/bench.h"

#include <stdio.h>

#define REGION_PAGES       4096U
#define STACK_WORDS        1024
#define FUTEX_WAIT_PRIVATE 128
#define FUTEX_WAKE_PRIVATE 129

static uint64_t stack[BENCH_HARTS_MAX][STACK_WORDS] __attribute__((aligned(16)));
static size_t stride_pages; /* from region to region */
static volatile int go, running;
static volatile unsigned next;

static void wait_while(volatile int *word, int value)
{
    bench_ecall(SYS_futex, (uint64_t)word, FUTEX_WAIT_PRIVATE, (uint64_t)value, 0, 0, 0);
}

static void wake_all(volatile int *word)
{
    bench_ecall(SYS_futex, (uint64_t)word, FUTEX_WAKE_PRIVATE, 1000, 0, 0, 0);
}

static void touch(unsigned region)
{
    char *at = (char *)BENCH_AREA + region * stride_pages * BENCH_PAGE;

    for (unsigned i = 0; i < REGION_PAGES; i++)
        at[i * BENCH_PAGE] = 1;
}

/* Pinned, so that threads do not share a hart while another is idle. */
static void pin(unsigned hart)
{
    uint64_t mask = 1UL << hart;

    bench_ecall(SYS_sched_setaffinity, 0, sizeof mask, (uint64_t)&mask, 0, 0, 0);
}

static void toucher(void)
{
    unsigned region = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED);

    pin(region);
    while (!go)
        wait_while(&go, 0);
    touch(region);
    if (__atomic_sub_fetch(&running, 1, __ATOMIC_ACQ_REL) == 0)
        wake_all(&running);
    bench_thread_end();
}

static void start(const char *op, unsigned threads)
{
    next = 0;
    go = 0;
    running = (int)threads;
    for (unsigned i = 0; i < threads; i++) {
        long tid = bench_thread(toucher, stack[i] + STACK_WORDS);
        if (tid < 0)
            bench_fail(op, tid);
    }
}

/* With a gap of a page between regions they are no one VMA. */
static void row(const char *what, unsigned threads, size_t gap_pages)
{
    struct bench_row row;
    char op[80];

    snprintf(op, sizeof op, "threads_%u_%swrite_fault_total_all_harts_per_fault", threads, what);
    stride_pages = REGION_PAGES + gap_pages;
    for (unsigned i = 0; i < threads; i++)
        bench_map(BENCH_AREA + i * stride_pages * BENCH_PAGE, REGION_PAGES);
    start(op, threads);
    bench_open(&row, op, BENCH_BY_PAGER, threads * REGION_PAGES, 1);
    bench_events_begin();
    uint64_t begun = bench_now();
    go = 1;
    wake_all(&go);
    for (int left; (left = running) != 0;)
        wait_while(&running, left);
    uint64_t ended = bench_now();
    bench_events_end(&row);
    bench_add(&row, ended - begun);
    bench_close(&row);
    bench_unmap((char *)BENCH_AREA, threads * stride_pages);
}

static void alone(void)
{
    struct bench_row row;
    char *area = bench_map(BENCH_AREA, REGION_PAGES);

    bench_open(&row, "threads_1_write_fault_disjoint", BENCH_BY_PAGER, 1, REGION_PAGES);
    for (unsigned i = 0; i < REGION_PAGES; i++)
        bench_write(&row, area + i * BENCH_PAGE);
    bench_close(&row);
    bench_unmap(area, REGION_PAGES);
}

int main(void)
{
    bench_start();
    alone();
    for (unsigned threads = 1; threads <= BENCH_HARTS_MAX; threads *= 2)
        row("", threads, 0);
    for (unsigned threads = 1; threads <= BENCH_HARTS_MAX; threads *= 2)
        row("own_vma_", threads, 1);
    return 0;
}
