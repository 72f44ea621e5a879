/*
 * How a fault's cost is distributed: a long run of faults of several kinds in random order, and a
 * line DIST {json} for each kind with every cost that occurred and how often. Costs are rounded
 * down to a multiple of BUCKET instructions.
 */
#include "user/bench/lib/bench.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define AREA_PAGES 8192U
#define FILE_PAGES 2048U
#define ROUNDS     24000U
#define BUCKET     16U
#define COSTS_MAX  512U

enum kind { WRITE_FRESH, READ_FRESH, WRITE_SHARED, READ_FILE, KINDS };

static const char *const kind_name[KINDS] = {
    [WRITE_FRESH] = "first write",
    [READ_FRESH] = "first read",
    [WRITE_SHARED] = "write to a page read before",
    [READ_FILE] = "file page, with those around it",
};

static struct {
    unsigned count;
    uint64_t cost[COSTS_MAX];
    unsigned times[COSTS_MAX];
} seen[KINDS];

static enum { EMPTY, ZERO, OWN } state[AREA_PAGES];
static char *area, *file;
static uint64_t random_state = 1;

static void note(enum kind kind, uint64_t cost)
{
    uint64_t rounded = cost / BUCKET * BUCKET;
    unsigned i = 0;

    while (i < seen[kind].count && seen[kind].cost[i] != rounded)
        i++;
    if (i == COSTS_MAX)
        bench_fail("too many different costs", (long)cost);
    if (i == seen[kind].count)
        seen[kind].cost[seen[kind].count++] = rounded;
    seen[kind].times[i]++;
}

static void touch_area(void)
{
    uint64_t dice = bench_random(&random_state);
    unsigned page = (unsigned)(dice >> 8) % AREA_PAGES;
    char *at = area + page * BENCH_PAGE;
    bool write = dice & 1;

    if (state[page] == OWN || (state[page] == ZERO && !write)) {
        /* Nothing to fault on: the page goes, and will be touched again. */
        BENCH_CALL3(NULL, SYS_madvise, at, BENCH_PAGE, MADV_DONTNEED);
        state[page] = EMPTY;
    }
    enum kind kind = !write ? READ_FRESH : state[page] == ZERO ? WRITE_SHARED : WRITE_FRESH;
    note(kind, write ? bench_store(at) : bench_load(at));
    state[page] = write ? OWN : ZERO;
}

static void touch_file(void)
{
    unsigned page = (unsigned)bench_random(&random_state) % FILE_PAGES;
    char *at = file + page * BENCH_PAGE;
    uint64_t cost = bench_load(at);

    if (cost > 1)
        note(READ_FILE, cost);
    else
        BENCH_CALL3(NULL, SYS_madvise, file, FILE_PAGES * BENCH_PAGE, MADV_DONTNEED);
}

static void print(enum kind kind)
{
    printf("DIST {\"kind\": \"%s\", \"bucket\": %u, \"costs\": [", kind_name[kind], BUCKET);
    for (unsigned i = 0; i < seen[kind].count; i++)
        printf("%s[%lu, %u]", i ? ", " : "", (unsigned long)seen[kind].cost[i],
               seen[kind].times[i]);
    printf("]}\n");
}

int main(void)
{
    bench_start();
    area = bench_map(BENCH_AREA, AREA_PAGES);
    long fd = BENCH_CALL2(NULL, SYS_memfd_create, "mixed", 0);
    if (fd < 0 || BENCH_CALL2(NULL, SYS_ftruncate, fd, FILE_PAGES * BENCH_PAGE))
        bench_fail("memfd_create", fd);
    file = (char *)bench_call(NULL, SYS_mmap, 0, FILE_PAGES * BENCH_PAGE, BENCH_RW, MAP_SHARED,
                              (uint64_t)fd, 0);
    if ((long)file < 0)
        bench_fail("mmap", (long)file);
    memset(file, 1, FILE_PAGES * BENCH_PAGE); /* all of it is in the cache */
    for (unsigned i = 0; i < ROUNDS; i++) {
        if (bench_random(&random_state) % 4)
            touch_area();
        else
            touch_file();
    }
    for (enum kind kind = 0; kind < KINDS; kind++)
        print(kind);
    return 0;
}
