/*
 * The same operations in a process with 1, 100, 1,000, 10,000 and 60,000 mappings.
 *
 * Mappings are VMA_PAGES pages with as many free pages behind each, so that none merges with
 * another. Places are chosen at random from a fixed seed. One mapping is as large as any: so it was
 * where the figures of Linux come from, which took 6,026 to unmap it and 499 for a touched page.
 */
#include "user/bench/lib/bench.h"

#include <stdio.h>

#define VMA_PAGES    4U
#define STRIDE_PAGES 8U
#define REPEAT       256U
#define VMAS_MAX     60000U

static unsigned vmas;
static uint16_t order[VMAS_MAX]; /* the mappings, shuffled */
static char name[8][64];

static char *vma(unsigned i)
{
    return (char *)BENCH_AREA + (size_t)i * STRIDE_PAGES * BENCH_PAGE;
}

static const char *op_name(unsigned i, const char *what)
{
    snprintf(name[i], sizeof(name[i]), "vmas_%u_%s", vmas, what);
    return name[i];
}

static void shuffle(void)
{
    uint64_t seed = vmas;

    for (unsigned i = 0; i < vmas; i++)
        order[i] = (uint16_t)i;
    for (unsigned i = vmas - 1; i > 0; i--) {
        unsigned k = (unsigned)(bench_random(&seed) % (i + 1));
        uint16_t other = order[k];
        order[k] = order[i];
        order[i] = other;
    }
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* The first touch of a mapping, then others of the same. */
static void faults(void)
{
    struct bench_row first, more;
    unsigned chosen = least(vmas, REPEAT);
    unsigned each = VMA_PAGES - 1;

    bench_open(&first, op_name(0, "random_write_fault_first_in_vma"), BENCH_BY_PAGER, 1, chosen);
    bench_open(&more, op_name(1, "random_write_fault"), BENCH_BY_PAGER, 1, chosen * each);
    for (unsigned i = 0; i < chosen; i++)
        bench_write(&first, vma(order[i]));
    for (unsigned page = 1; page <= each; page++)
        for (unsigned i = 0; i < chosen; i++)
            bench_write(&more, vma(order[i]) + page * BENCH_PAGE);
    bench_close(&first);
    bench_close(&more);
}

/* One page behind a mapping, with a free page on both sides. */
static void map_unmap(void)
{
    struct bench_row map, unmap;

    bench_open(&map, op_name(2, "mmap_1p_fixed"), BENCH_BY_PAGER, 1, REPEAT);
    bench_open(&unmap, op_name(3, "munmap_1p"), BENCH_BY_PAGER, 1, REPEAT);
    for (unsigned i = 0; i < REPEAT; i++) {
        char *at = vma(order[i % vmas]) + (VMA_PAGES + 1) * BENCH_PAGE;
        if (bench_mmap(&map, (uintptr_t)at, 1, 0) != (long)at ||
            bench_munmap(&unmap, (uintptr_t)at, 1) != 0)
            bench_fail(map.op, i);
    }
    bench_close(&map);
    bench_close(&unmap);
}

static void protect(void)
{
    struct bench_row row;
    unsigned chosen = least(vmas, REPEAT);

    if (vmas == 1)
        return;
    bench_open(&row, op_name(4, "mprotect_random_vma_to_RX"), BENCH_BY_PAGER, 1, chosen);
    for (unsigned i = 0; i < chosen; i++)
        if (BENCH_CALL3(&row, SYS_mprotect, vma(order[i]), VMA_PAGES * BENCH_PAGE,
                        PROT_READ | PROT_EXEC) != 0)
            bench_fail(row.op, i);
    bench_close(&row);
}

static void unmap_all(void)
{
    struct bench_row row;

    bench_open(&row, op_name(5, "munmap_all_per_vma"), BENCH_BY_PAGER, vmas, 1);
    long result = bench_munmap(&row, (uintptr_t)vma(0), (size_t)vmas * STRIDE_PAGES);
    if (result != 0)
        bench_fail(row.op, result);
    bench_close(&row);
}

static void with(unsigned count)
{
    vmas = count;
    shuffle();
    for (unsigned i = 0; i < vmas; i++) {
        long result = bench_mmap(NULL, (uintptr_t)vma(i), VMA_PAGES, 0);
        if (result != (long)vma(i))
            bench_fail("mmap", result);
    }
    faults();
    map_unmap();
    protect();
    unmap_all();
}

int main(void)
{
    bench_start();
    with(1);
    with(100);
    with(1000);
    with(10000);
    with(VMAS_MAX);
    return 0;
}
