/*
 * mmap and munmap: one page, many pages, and the work on neighbouring mappings that a call causes.
 *
 * Pages are untouched unless the name says so. The merging, trimming and splitting rows use
 * mappings that were never touched.
 */
#include "user/bench/lib/bench.h"

#define REPEAT      256U
#define MANY        256U /* pages of the rows with 256p in their names */
#define MANY_REPEAT 32U

static struct bench_row map_row, touch_row, unmap_row;

static void open_all(const char *map, const char *unmap, unsigned per, unsigned max)
{
    bench_open(&map_row, map, BENCH_BY_PAGER, per, max);
    bench_open(&touch_row, "touch", BENCH_BY_PAGER, per, max);
    bench_open(&unmap_row, unmap, BENCH_BY_PAGER, per, max);
}

static void sum_all(const char *op, unsigned per)
{
    bench_print_sum(op, per, (struct bench_row *const[]){&map_row, &touch_row, &unmap_row}, 3);
}

static uintptr_t map_checked(struct bench_row *row, uintptr_t at, size_t pages, int more_flags)
{
    long result = bench_mmap(row, at, pages, more_flags);

    if (result < 0 && result >= -4095)
        bench_fail("mmap", result);
    return (uintptr_t)result;
}

static void unmap_checked(struct bench_row *row, uintptr_t at, size_t pages)
{
    long result = bench_munmap(row, at, pages);

    if (result != 0)
        bench_fail("munmap", result);
}

/* at: 0, or where to map; `gap` pages further each time. */
static void pairs(uintptr_t at, unsigned gap, bool touch)
{
    for (unsigned i = 0; i < REPEAT; i++) {
        uintptr_t there = at ? at + i * gap * BENCH_PAGE : 0;
        there = map_checked(&map_row, there, 1, 0);
        if (touch)
            bench_write(&touch_row, (void *)there);
        unmap_checked(&unmap_row, there, 1);
    }
}

static void one_page(void)
{
    open_all("mmap_1p_kernel_chosen_addr", "munmap_1p_untouched", 1, REPEAT);
    pairs(0, 0, false);
    sum_all("mmap_munmap_1p_untouched", 1);
    bench_close(&map_row);
    bench_drop(&touch_row);
    bench_close(&unmap_row);

    open_all("mmap_1p_fixed_isolated", "munmap_1p_fixed_isolated_untouched", 1, REPEAT);
    pairs(BENCH_AREA, 2, false);
    sum_all("mmap_munmap_1p_fixed_isolated_untouched", 1);
    bench_close(&map_row);
    bench_drop(&touch_row);
    bench_close(&unmap_row);

    open_all("mmap", "munmap_1p_touched", 1, REPEAT);
    pairs(0, 0, true);
    sum_all("mmap_touch_munmap_1p", 1);
    bench_drop(&map_row);
    bench_drop(&touch_row);
    bench_close(&unmap_row);
}

static void many_pages(void)
{
    open_all("mmap", "munmap_256p_touched_per_page", MANY, MANY_REPEAT);
    for (unsigned i = 0; i < MANY_REPEAT; i++) {
        uintptr_t there = map_checked(&map_row, 0, MANY, 0);
        bench_write_pages(&touch_row, (char *)there, MANY);
        unmap_checked(&unmap_row, there, MANY);
    }
    sum_all("mmap_touch_munmap_256p_per_page", MANY);
    bench_drop(&map_row);
    bench_drop(&touch_row);
    bench_close(&unmap_row);

    bench_open(&map_row, "mmap_MAP_POPULATE_256p_per_page", BENCH_BY_PAGER, MANY, MANY_REPEAT);
    for (unsigned i = 0; i < MANY_REPEAT; i++)
        unmap_checked(NULL, map_checked(&map_row, 0, MANY, MAP_POPULATE), MANY);
    bench_close(&map_row);
}

static void grow_and_trim(void)
{
    bench_open(&map_row, "mmap_1p_fixed_merge_with_neighbour", BENCH_BY_PAGER, 1, REPEAT);
    bench_open(&unmap_row, "munmap_1p_trim_vma_tail", BENCH_BY_PAGER, 1, REPEAT);
    map_checked(NULL, BENCH_AREA, 1, 0);
    for (unsigned i = 1; i <= REPEAT; i++)
        map_checked(&map_row, BENCH_AREA + i * BENCH_PAGE, 1, 0);
    for (unsigned i = REPEAT; i > 0; i--)
        unmap_checked(&unmap_row, BENCH_AREA + i * BENCH_PAGE, 1);
    unmap_checked(NULL, BENCH_AREA, 1);
    bench_close(&map_row);
    bench_close(&unmap_row);
}

static void split_and_fill(void)
{
    bench_open(&unmap_row, "munmap_1p_hole_split", BENCH_BY_PAGER, 1, REPEAT);
    bench_open(&map_row, "mmap_1p_fill_hole_merge_both", BENCH_BY_PAGER, 1, REPEAT);
    map_checked(NULL, BENCH_AREA, 2 * REPEAT + 1, 0);
    for (unsigned i = 0; i < REPEAT; i++)
        unmap_checked(&unmap_row, BENCH_AREA + (2 * i + 1) * BENCH_PAGE, 1);
    for (unsigned i = 0; i < REPEAT; i++)
        map_checked(&map_row, BENCH_AREA + (2 * i + 1) * BENCH_PAGE, 1, 0);
    unmap_checked(NULL, BENCH_AREA, 2 * REPEAT + 1);
    bench_close(&unmap_row);
    bench_close(&map_row);
}

int main(void)
{
    bench_start();
    one_page();
    many_pages();
    grow_and_trim();
    split_and_fill();
    return 0;
}
