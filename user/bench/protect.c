/* mprotect: one touched page, a part of a mapping, 256 touched pages. */
#include "user/bench/lib/bench.h"

#define REPEAT      256U
#define MANY        256U
#define MANY_REPEAT 32U

static long protect(struct bench_row *row, char *at, size_t pages, int prot)
{
    return BENCH_CALL3(row, SYS_mprotect, at, pages * BENCH_PAGE, prot);
}

static void check(const char *what, long result)
{
    if (result != 0)
        bench_fail(what, result);
}

static void one_page(void)
{
    struct bench_row to_r, to_rw, touch, same;
    char *page = bench_map(BENCH_AREA, 1);

    bench_open(&to_r, "mprotect_1p_RW_to_R", BENCH_BY_PAGER, 1, REPEAT);
    bench_open(&to_rw, "mprotect_1p_R_to_RW", BENCH_BY_PAGER, 1, REPEAT);
    bench_open(&touch, "write_touch_after_mprotect_R_to_RW", BENCH_BY_PAGER, 1, REPEAT);
    bench_open(&same, "mprotect_1p_no_change", BENCH_BY_PAGER, 1, REPEAT);
    bench_store(page);
    for (unsigned i = 0; i < REPEAT; i++) {
        check(to_r.op, protect(&to_r, page, 1, PROT_READ));
        check(to_rw.op, protect(&to_rw, page, 1, BENCH_RW));
        bench_write(&touch, page);
        check(same.op, protect(&same, page, 1, BENCH_RW));
    }
    bench_unmap(page, 1);
    bench_close(&to_r);
    bench_close(&to_rw);
    bench_close(&touch);
    bench_close(&same);
}

static void middle(void)
{
    struct bench_row split, merge;
    char *start = bench_map(BENCH_AREA, 3);

    bench_open(&split, "mprotect_middle_split_1_to_3_vmas", BENCH_BY_PAGER, 1, REPEAT);
    bench_open(&merge, "mprotect_middle_merge_3_to_1_vmas", BENCH_BY_PAGER, 1, REPEAT);
    bench_write_pages(NULL, start, 3);
    for (unsigned i = 0; i < REPEAT; i++) {
        check(split.op, protect(&split, start + BENCH_PAGE, 1, PROT_READ));
        check(merge.op, protect(&merge, start + BENCH_PAGE, 1, BENCH_RW));
    }
    bench_unmap(start, 3);
    bench_close(&split);
    bench_close(&merge);
}

static void many_pages(void)
{
    struct bench_row to_r, to_rw;
    char *start = bench_map(BENCH_AREA, MANY);

    bench_open(&to_r, "mprotect_256p_RW_to_R_per_page", BENCH_BY_PAGER, MANY, MANY_REPEAT);
    bench_open(&to_rw, "mprotect_256p_R_to_RW_per_page", BENCH_BY_PAGER, MANY, MANY_REPEAT);
    bench_write_pages(NULL, start, MANY);
    for (unsigned i = 0; i < MANY_REPEAT; i++) {
        check(to_r.op, protect(&to_r, start, MANY, PROT_READ));
        check(to_rw.op, protect(&to_rw, start, MANY, BENCH_RW));
    }
    bench_unmap(start, MANY);
    bench_close(&to_r);
    bench_close(&to_rw);
}

int main(void)
{
    bench_start();
    one_page();
    middle();
    many_pages();
    return 0;
}
