/* Shared anonymous memory, and System V segments. No page is zeroed ahead: see anon.c. */
#include "user/bench/lib/bench.h"

#include <sys/syscall.h>

#define BLOCK         512U
#define BLOCKS        4U
#define REPEAT        64U
#define EXHAUST_PAGES 3072U

static struct bench_row row;

static void exhaust(void)
{
    char *start = bench_map(0, EXHAUST_PAGES);

    bench_write_pages(NULL, start, EXHAUST_PAGES);
    bench_unmap(start, EXHAUST_PAGES);
}

static void shared_anonymous(void)
{
    char *start = mmap((void *)BENCH_AREA, BLOCKS * BLOCK * BENCH_PAGE, BENCH_RW,
                       MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

    if (start == MAP_FAILED)
        bench_fail("mmap of shared memory", -1);
    bench_open(&row, "shared_anon_write_touch_alloc", BENCH_BY_PAGER, 1, BLOCKS * BLOCK);
    for (unsigned block = 0; block < BLOCKS; block++) {
        bench_store(start + block * BLOCK * BENCH_PAGE); /* brings the leaf table */
        for (unsigned i = 1; i < BLOCK; i++)
            bench_write(&row, start + (block * BLOCK + i) * BENCH_PAGE);
    }
    bench_unmap(start, BLOCKS * BLOCK);
    bench_close(&row);
}

/* One attachment after the other of a segment of one page, which stays. */
static void segments(void)
{
    struct bench_row attach, touch, detach;
    struct bench_row *const rows[] = {&attach, &touch, &detach};
    struct bench_timed id = bench_ecall(SYS_shmget, 0, BENCH_PAGE, 0600, 0, 0, 0);

    if (id.result < 0)
        bench_fail("shmget", id.result);
    bench_open(&attach, "shmat", BENCH_BY_OTHER, 1, REPEAT);
    bench_open(&touch, "shm_touch", BENCH_BY_PAGER, 1, REPEAT);
    bench_open(&detach, "shmdt", BENCH_BY_OTHER, 1, REPEAT);
    for (unsigned i = 0; i < REPEAT; i++) {
        long at = BENCH_CALL3(&attach, SYS_shmat, id.result, 0, 0);
        if (at < 0)
            bench_fail("shmat", at);
        bench_write(&touch, (void *)at);
        BENCH_CALL1(&detach, SYS_shmdt, at);
    }
    bench_print_sum("shmat_touch1_shmdt", 1, rows, 3);
    bench_close(&attach);
    bench_close(&touch);
    bench_close(&detach);
    bench_ecall(SYS_shmctl, (uint64_t)id.result, 0, 0, 0, 0, 0);
}

int main(void)
{
    bench_start();
    exhaust();
    shared_anonymous();
    segments();
    return 0;
}
