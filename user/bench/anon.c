/*
 * First touches of private anonymous memory.
 *
 * Pages zeroed ahead are used up before the rows that have the zeroing in them, by touching many
 * pages in a row: the hart is never idle meanwhile. anon_write_touch_prezeroed does the
 * contrary: it sleeps, so that the idle hart has time to zero some, and touches few of them.
 */
#include "user/bench/lib/bench.h"

#include <time.h>

#define BLOCK         512U /* pages that one leaf table covers */
#define BLOCKS        4U
#define SPARSE_BLOCKS 256U
#define EXHAUST_PAGES 3072U
#define ROUNDS        16U
#define ROUND_PAGES   32U
#define SLEEP_NS      50000000L
#define ROW_NEEDS     (BLOCKS * BLOCK)

static struct bench_row row;

static void touch(char *start, unsigned first, unsigned last, bool write)
{
    for (unsigned i = first; i < last; i++) {
        if (write)
            bench_write(&row, start + i * BENCH_PAGE);
        else
            bench_read(&row, start + i * BENCH_PAGE);
    }
}

static void exhaust(void)
{
    char *start = bench_map(0, EXHAUST_PAGES);

    bench_write_pages(NULL, start, EXHAUST_PAGES);
    bench_unmap(start, EXHAUST_PAGES);
}

/* The first page of each block is touched by an uncounted access, which brings the leaf table. */
static void touch_all(const char *op, bool write)
{
    char *start = bench_map(BENCH_AREA, BLOCKS * BLOCK);

    bench_open(&row, op, BENCH_BY_PAGER, 1, ROW_NEEDS);
    for (unsigned block = 0; block < BLOCKS; block++) {
        bench_store(start + block * BLOCK * BENCH_PAGE);
        touch(start, block * BLOCK + 1, (block + 1) * BLOCK, write);
    }
    bench_unmap(start, BLOCKS * BLOCK);
    bench_close(&row);
}

static void touch_sparse(const char *op, bool write)
{
    char *start = bench_map(BENCH_AREA, SPARSE_BLOCKS * BLOCK);

    bench_open(&row, op, BENCH_BY_PAGER, 1, SPARSE_BLOCKS);
    for (unsigned block = 0; block < SPARSE_BLOCKS; block++)
        touch(start, block * BLOCK, block * BLOCK + 1, write);
    bench_unmap(start, SPARSE_BLOCKS * BLOCK);
    bench_close(&row);
}

static void write_after_read(void)
{
    char *start = bench_map(BENCH_AREA, BLOCKS * BLOCK);

    bench_open(&row, "anon_write_touch_after_zeropage_read", BENCH_BY_PAGER, 1, ROW_NEEDS);
    for (unsigned i = 0; i < BLOCKS * BLOCK; i++)
        bench_load(start + i * BENCH_PAGE);
    touch(start, 0, BLOCKS * BLOCK, true);
    bench_unmap(start, BLOCKS * BLOCK);
    bench_close(&row);
}

static void write_again(void)
{
    char *start = bench_map(BENCH_AREA, BLOCKS * BLOCK);

    bench_open(&row, "anon_write_touch_pt_present", BENCH_BY_PAGER, 1, ROW_NEEDS);
    bench_write_pages(NULL, start, BLOCKS * BLOCK);
    if (BENCH_CALL3(NULL, SYS_madvise, start, BLOCKS * BLOCK * BENCH_PAGE, MADV_DONTNEED) == 0)
        touch(start, 0, BLOCKS * BLOCK, true);
    bench_unmap(start, BLOCKS * BLOCK);
    bench_close(&row);
}

static void write_prezeroed(void)
{
    const struct timespec pause = {.tv_nsec = SLEEP_NS};
    char *start = bench_map(BENCH_AREA, (ROUNDS + 1) * ROUND_PAGES);

    bench_open(&row, "anon_write_touch_prezeroed", BENCH_BY_PAGER, 1, ROUNDS * ROUND_PAGES);
    bench_write_pages(NULL, start, ROUND_PAGES);
    for (unsigned round = 1; round <= ROUNDS; round++) {
        nanosleep(&pause, NULL);
        touch(start, round * ROUND_PAGES, (round + 1) * ROUND_PAGES, true);
    }
    bench_unmap(start, (ROUNDS + 1) * ROUND_PAGES);
    bench_close(&row);
}

int main(void)
{
    bench_start();
    exhaust();
    touch_all("anon_write_touch", true);
    exhaust();
    touch_sparse("anon_write_touch_needs_new_pt", true);
    exhaust();
    write_after_read();
    exhaust();
    write_again();
    touch_all("anon_read_touch_zeropage", false);
    touch_sparse("anon_read_touch_zeropage_needs_new_pt", false);
    write_prezeroed();
    return 0;
}
