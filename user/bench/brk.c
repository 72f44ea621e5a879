/* The program break. Nothing here allocates between the calls: malloc would move it too. */
#include "user/bench/lib/bench.h"

#define REPEAT      256U
#define MANY        256U
#define MANY_REPEAT 32U

static void set(struct bench_row *row, uintptr_t to)
{
    long result = BENCH_CALL1(row, SYS_brk, to);

    if ((uintptr_t)result != to)
        bench_fail("brk", result);
}

static void cycle(const char *grow_op, const char *shrink_op, const char *sum_op, unsigned pages,
                  unsigned repeat)
{
    struct bench_row grow, touch, shrink;
    struct bench_row *const rows[] = {&grow, &touch, &shrink};
    uintptr_t end = (uintptr_t)BENCH_CALL1(NULL, SYS_brk, 0);
    uintptr_t low = (end + 2 * BENCH_PAGE - 1) & -BENCH_PAGE;

    bench_open(&grow, grow_op, BENCH_BY_PAGER, pages, repeat);
    bench_open(&touch, "touch", BENCH_BY_PAGER, pages, repeat);
    bench_open(&shrink, shrink_op, BENCH_BY_PAGER, pages, repeat);
    set(NULL, low);
    for (unsigned i = 0; i < repeat; i++) {
        set(&grow, low + pages * BENCH_PAGE);
        bench_write_pages(&touch, (char *)low, pages);
        set(&shrink, low);
    }
    set(NULL, end);
    bench_print_sum(sum_op, pages, rows, 3);
    if (pages == 1) {
        bench_close(&grow);
        bench_close(&shrink);
    } else {
        bench_drop(&grow);
        bench_drop(&shrink);
    }
    bench_drop(&touch);
}

int main(void)
{
    bench_start();
    cycle("brk_grow_1p", "brk_shrink_1p_touched", "brk_grow_touch_shrink_1p", 1, REPEAT);
    cycle("grow", "shrink", "brk_grow_touch_shrink_256p_per_page", MANY, MANY_REPEAT);
    return 0;
}
