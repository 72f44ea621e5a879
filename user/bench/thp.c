/*
 * Huge pages of private anonymous memory, asked for by madvise: 2 MiB faults, the huge zero page,
 * unmapping. A row per operation, and one of the same samples divided by the pages of 4 KiB.
 */
#include "user/bench/lib/bench.h"

#define HUGE_BYTES 0x200000UL
#define HUGE_PAGES 512U
#define ROUNDS     16U

#ifndef MADV_HUGEPAGE
#define MADV_HUGEPAGE 14
#endif

#ifndef MAP_HUGETLB
#define MAP_HUGETLB 0x40000
#endif

static struct bench_row whole, per_page, unmap, zero, pooled;

/* A page of the pool, which is one page large. */
static void pool_fault(void)
{
    static const char knob[] = "/proc/sys/vm/nr_hugepages";
    int fd = (int)bench_call(NULL, SYS_openat, (uint64_t)-100, (uint64_t)knob, 1, 0, 0, 0);

    if (fd < 0 || BENCH_CALL3(NULL, SYS_write, fd, "1\n", 2) != 2)
        return;
    bench_open(&pooled, "hugetlb_write_fault_2MiB", BENCH_BY_PAGER, 1, ROUNDS);
    for (unsigned round = 0; round < ROUNDS; round++) {
        long at =
            bench_call(NULL, SYS_mmap, BENCH_AREA, HUGE_BYTES, 3, 0x32 | MAP_HUGETLB, ~0UL, 0);

        if (at < 0)
            break;
        bench_write(&pooled, (char *)at);
        bench_unmap((char *)at, HUGE_PAGES);
    }
    bench_close(&pooled);
}

/* A block that may be one page, alone in its part of the space. */
static char *block(unsigned round)
{
    char *start = bench_map(BENCH_AREA + round * 4 * HUGE_BYTES, HUGE_PAGES);

    if (BENCH_CALL3(NULL, SYS_madvise, start, HUGE_BYTES, MADV_HUGEPAGE) != 0)
        return NULL;
    return start;
}

int main(void)
{
    bench_start();
    bench_open(&whole, "thp_write_fault_2MiB", BENCH_BY_PAGER, 1, ROUNDS);
    bench_open(&unmap, "thp_munmap_2MiB", BENCH_BY_PAGER, 1, ROUNDS);
    for (unsigned round = 0; round < ROUNDS; round++) {
        char *start = block(round);

        if (!start)
            break;
        bench_write(&whole, start);
        bench_munmap(&unmap, (uintptr_t)start, HUGE_PAGES);
    }
    bench_close(&whole);
    bench_close(&unmap);
    bench_open(&per_page, "thp_write_fault_2MiB_per_4K_page", BENCH_BY_PAGER, HUGE_PAGES, ROUNDS);
    for (unsigned round = 0; round < ROUNDS; round++) {
        char *start = block(round);

        if (!start)
            break;
        bench_write(&per_page, start);
        bench_unmap(start, HUGE_PAGES);
    }
    bench_close(&per_page);
    bench_open(&zero, "thp_read_fault_hugezero", BENCH_BY_PAGER, 1, ROUNDS);
    char *first = block(0);
    if (first)
        bench_load(first); /* the zero page is made at its first use */
    for (unsigned round = 1; first && round <= ROUNDS; round++) {
        char *start = block(round);

        if (!start)
            break;
        bench_read(&zero, start);
        bench_unmap(start, HUGE_PAGES);
    }
    bench_close(&zero);
    pool_fault();
    return 0;
}
