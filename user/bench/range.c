/*
 * Calls on ranges of touched pages: madvise, mincore, mremap. A call that the system does not have
 * has no row.
 */
#include "user/bench/lib/bench.h"

#define REPEAT              256U
#define MANY                256U
#define MANY_REPEAT         32U
#define BLOCK_PAGES         512U
#define MADV_POPULATE_WRITE 23

/* One row of madvise over `pages` pages, touched before each call if `touched`. */
static void advise(const char *op, unsigned pages, int advice, bool touched, unsigned per,
                   unsigned repeat)
{
    struct bench_row row;
    char *start = bench_map(BENCH_AREA, pages);

    bench_open(&row, op, BENCH_BY_PAGER, per, repeat);
    for (unsigned i = 0; i < repeat; i++) {
        if (touched)
            bench_write_pages(NULL, start, pages);
        long result = BENCH_CALL3(&row, SYS_madvise, start, pages * BENCH_PAGE, advice);
        if (result != 0) {
            row.count = 0;
            break;
        }
        if (!touched)
            BENCH_CALL3(NULL, SYS_madvise, start, pages * BENCH_PAGE, MADV_DONTNEED);
    }
    bench_unmap(start, pages);
    bench_close(&row);
}

static void incore(void)
{
    static unsigned char present[MANY];
    struct bench_row row;
    char *start = bench_map(BENCH_AREA, MANY);

    bench_open(&row, "mincore_256p_present_per_page", BENCH_BY_PAGER, MANY, MANY_REPEAT);
    bench_write_pages(NULL, start, MANY);
    for (unsigned i = 0; i < MANY; i++)
        present[i] = 2;
    for (unsigned i = 0; i < MANY_REPEAT; i++) {
        if (BENCH_CALL3(&row, SYS_mincore, start, MANY * BENCH_PAGE, present) != 0) {
            row.count = 0;
            break;
        }
    }
    bench_unmap(start, MANY);
    bench_close(&row);
}

/* There and back between two places, MREMAP_FIXED. */
static void move(const char *op, unsigned pages, unsigned repeat)
{
    struct bench_row row;
    uintptr_t at = BENCH_AREA, to = BENCH_AREA + 2 * MANY * BENCH_PAGE;
    char *start = bench_map(at, pages);

    bench_open(&row, op, BENCH_BY_PAGER, pages, repeat);
    bench_write_pages(NULL, start, pages);
    for (unsigned i = 0; i < repeat; i++) {
        long result = bench_call(&row, SYS_mremap, at, pages * BENCH_PAGE, pages * BENCH_PAGE,
                                 MREMAP_MAYMOVE | MREMAP_FIXED, to, 0);
        if ((uintptr_t)result != to) {
            row.count = 0;
            break;
        }
        to = at;
        at = (uintptr_t)result;
    }
    bench_unmap((void *)at, pages);
    bench_close(&row);
}

/* Two megabytes, aligned: whole leaf tables there and back. */
static void move_block(void)
{
    struct bench_row row;
    uintptr_t at = BENCH_AREA, to = BENCH_AREA + 4 * BLOCK_PAGES * BENCH_PAGE;
    char *start = bench_map(at, BLOCK_PAGES);

    bench_open(&row, "mremap_move_2MiB_aligned_whole_call", BENCH_BY_PAGER, 1, MANY_REPEAT);
    bench_write_pages(NULL, start, BLOCK_PAGES);
    for (unsigned i = 0; i < MANY_REPEAT; i++) {
        long result = bench_call(&row, SYS_mremap, at, BLOCK_PAGES * BENCH_PAGE,
                                 BLOCK_PAGES * BENCH_PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to, 0);
        if ((uintptr_t)result != to) {
            row.count = 0;
            break;
        }
        to = at;
        at = (uintptr_t)result;
    }
    bench_unmap((void *)at, BLOCK_PAGES);
    bench_close(&row);
}

int main(void)
{
    bench_start();
    advise("madv_dontneed_256p_touched_per_page", MANY, MADV_DONTNEED, true, MANY, MANY_REPEAT);
    advise("madv_dontneed_256p_empty_whole_call", MANY, MADV_DONTNEED, false, 1, MANY_REPEAT);
    advise("madv_dontneed_1p_touched", 1, MADV_DONTNEED, true, 1, REPEAT);
    advise("madv_free_256p_per_page", MANY, MADV_FREE, true, MANY, MANY_REPEAT);
    advise("madvise_POPULATE_WRITE_256p_per_page", MANY, MADV_POPULATE_WRITE, false, MANY,
           MANY_REPEAT);
    incore();
    move("mremap_move_1p", 1, REPEAT);
    move("mremap_move_256p_per_page", MANY, MANY_REPEAT);
    move_block();
    return 0;
}
