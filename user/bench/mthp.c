/*
 * Private anonymous memory in runs of 64 KiB: the fault that maps one, and unmapping 16 MiB of
 * them. Nothing to measure where a write brings one page (bench_has_runs).
 */
#include "user/bench/lib/bench.h"

#define RUN_PAGES 16U
#define RUN_BYTES (RUN_PAGES * BENCH_PAGE)
#define AREA      4096U /* pages: 16 MiB */
#define ROUNDS    4U

int main(void)
{
    struct bench_row whole, per_page, unmap;

    bench_start();
    if (!bench_has_runs())
        return 0;
    bench_open(&whole, "mthp_64kB_write_fault", BENCH_BY_PAGER, 1, ROUNDS * AREA / RUN_PAGES);
    bench_open(&per_page, "mthp_64kB_write_fault_per_page", BENCH_BY_PAGER, AREA, ROUNDS);
    bench_open(&unmap, "mthp_64kB_munmap_16MiB_per_page", BENCH_BY_PAGER, AREA, ROUNDS);
    for (unsigned round = 0; round < ROUNDS; round++) {
        char *start = bench_map(BENCH_AREA, AREA);

        for (size_t at = 0; at < AREA * BENCH_PAGE; at += RUN_BYTES)
            bench_write(&whole, start + at);
        bench_munmap(&unmap, (uintptr_t)start, AREA);
        start = bench_map(BENCH_AREA, AREA);
        bench_write_pages(&per_page, start, AREA);
        bench_unmap(start, AREA);
    }
    bench_close(&whole);
    bench_close(&per_page);
    bench_close(&unmap);
    return 0;
}
