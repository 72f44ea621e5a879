/*
 * Faults on files in memory whose pages are cached: a memfd (tmpfs_*) and a file of /tmp (ramfs_*).
 * The leaf table is there, and no page is zeroed ahead: see anon.c.
 *
 * Without fault-around: mappings of one page each, so that a fault has no neighbour to map.
 */
#include "user/bench/lib/bench.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PAGES         512U /* of the file: one block */
#define AROUND        16U
#define ROUNDS        4U
#define EXHAUST_PAGES 3072U

static struct bench_row row;
static const char *kind;

static void exhaust(void)
{
    char *start = bench_map(0, EXHAUST_PAGES);

    bench_write_pages(NULL, start, EXHAUST_PAGES);
    bench_unmap(start, EXHAUST_PAGES);
}

static const char *op(const char *what)
{
    static char name[80];

    snprintf(name, sizeof(name), "%s_%s", kind, what);
    return name;
}

static char *map_file(int fd, uintptr_t at, unsigned pages, unsigned first, int flags)
{
    void *start = mmap((void *)at, pages * BENCH_PAGE, flags & MAP_SHARED ? BENCH_RW : PROT_READ,
                       flags | (at ? MAP_FIXED : 0), fd, (off_t)(first * BENCH_PAGE));

    if (start == MAP_FAILED)
        bench_fail("mmap of a file", -1);
    return start;
}

/* A leaf table for the block at BENCH_AREA, by a page next to the file's. */
static void table_begin(void)
{
    bench_store(bench_map(BENCH_AREA + (PAGES - 1) * BENCH_PAGE, 1));
}

static void table_end(void)
{
    bench_unmap((void *)(BENCH_AREA + (PAGES - 1) * BENCH_PAGE), 1);
}

static void read_around(int fd, const char *what, unsigned per, int advice)
{
    bench_open(&row, op(what), BENCH_BY_PAGER, per, ROUNDS * (PAGES / AROUND - 1));
    for (unsigned round = 0; round < ROUNDS; round++) {
        table_begin();
        char *start = map_file(fd, BENCH_AREA, PAGES - AROUND, 0, MAP_PRIVATE);
        madvise(start, (PAGES - AROUND) * BENCH_PAGE, advice);
        for (unsigned i = 0; i < PAGES - AROUND; i += AROUND)
            bench_read(&row, start + (i + round) * BENCH_PAGE);
        bench_unmap(start, PAGES - AROUND);
        table_end();
    }
    bench_close(&row);
}

static void read_alone(int fd)
{
    bench_open(&row, op("read_fault_no_faultaround"), BENCH_BY_PAGER, 1, PAGES / 2);
    table_begin();
    for (unsigned i = 0; i + 2 < PAGES; i += 2)
        map_file(fd, BENCH_AREA + i * BENCH_PAGE, 1, i, MAP_PRIVATE);
    for (unsigned i = 0; i + 2 < PAGES; i += 2)
        bench_read(&row, (char *)BENCH_AREA + i * BENCH_PAGE);
    bench_unmap((void *)BENCH_AREA, PAGES - 1);
    table_end();
    bench_close(&row);
}

static void write_private(int fd)
{
    bench_open(&row, op("private_cow_write_fault"), BENCH_BY_PAGER, 1, ROUNDS * PAGES);
    for (unsigned round = 0; round < ROUNDS; round++) {
        table_begin();
        char *start = map_file(fd, BENCH_AREA, PAGES - 1, 0, MAP_PRIVATE);
        mprotect(start, (PAGES - 1) * BENCH_PAGE, BENCH_RW);
        for (unsigned i = 0; i < PAGES - 1; i++)
            bench_write(&row, start + i * BENCH_PAGE);
        bench_unmap(start, PAGES - 1);
        table_end();
    }
    bench_close(&row);
}

static void write_shared(int fd)
{
    bench_open(&row, op("shared_write_fault"), BENCH_BY_PAGER, 1, ROUNDS * PAGES);
    for (unsigned round = 0; round < ROUNDS; round++) {
        table_begin();
        char *start = map_file(fd, BENCH_AREA, PAGES - 1, 0, MAP_SHARED);
        for (unsigned i = 0; i < PAGES - 1; i++)
            bench_write(&row, start + i * BENCH_PAGE);
        bench_unmap(start, PAGES - 1);
        table_end();
    }
    bench_close(&row);
}

static void all(int fd, const char *name)
{
    char page[BENCH_PAGE];

    kind = name;
    memset(page, 1, sizeof(page));
    for (unsigned i = 0; i < PAGES; i++) {
        if (write(fd, page, sizeof(page)) != (ssize_t)sizeof(page))
            bench_fail("write", -1);
    }
    read_around(fd, "read_fault_faultaround", 1, MADV_NORMAL);
    read_around(fd, "read_fault_faultaround_per_page", AROUND, MADV_NORMAL);
    read_around(fd, "read_fault_faultaround_madv_random", 1, MADV_RANDOM);
    read_around(fd, "read_fault_faultaround_madv_random_per_page", AROUND, MADV_RANDOM);
    read_alone(fd);
    exhaust();
    write_private(fd);
    write_shared(fd);
    close(fd);
}

int main(void)
{
    bench_start();
    all(memfd_create("bench", 0), "tmpfs");
    all(open("/tmp/bench", O_RDWR | O_CREAT, 0600), "ramfs");
    unlink("/tmp/bench");
    return 0;
}
