/*
 * How a fault's cost is distributed: a long run of faults of several kinds in random order, and a
 * line DIST {json} for each kind with every cost that occurred and how often. Costs are rounded
 * down to a multiple of BUCKET instructions.
 *
 * So that the tail can be told from the body, each kind is divided by where the fault is: in the
 * 2 MiB block of the last one (what the memory server remembers of it may serve again), in another
 * block, or in a block that nothing was touched in since it was mapped (its table of entries may be
 * missing).
 */
#include "user/bench/lib/bench.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define AREA_PAGES  8192U
#define FILE_PAGES  2048U
#define ROUNDS      24000U
#define BUCKET      16U
#define COSTS_MAX   512U
#define BLOCK_BYTES (2UL << 20)
#define FILE_AT     (BENCH_AREA + (1UL << 30))

enum kind { WRITE_FRESH, READ_FRESH, WRITE_SHARED, READ_FILE, KINDS };

static const char *const kind_name[KINDS] = {
    [WRITE_FRESH] = "first write",
    [READ_FRESH] = "first read",
    [WRITE_SHARED] = "write to a page read before",
    [READ_FILE] = "file page, with those around it",
};

enum place { SAME_BLOCK, OTHER_BLOCK, NEW_BLOCK, PLACES };

static const char *const place_name[PLACES] = {
    [SAME_BLOCK] = "in the 2 MiB of the last fault",
    [OTHER_BLOCK] = "in other 2 MiB",
    [NEW_BLOCK] = "first in its 2 MiB",
};

static struct histogram {
    unsigned count;
    uint64_t cost[COSTS_MAX];
    unsigned times[COSTS_MAX];
} seen[KINDS][PLACES];

static enum { EMPTY, ZERO, OWN } state[AREA_PAGES];
static char *area, *file; /* at multiples of BLOCK_BYTES */
static bool touched[AREA_PAGES * BENCH_PAGE / BLOCK_BYTES];
static bool file_touched[FILE_PAGES * BENCH_PAGE / BLOCK_BYTES];
static uint64_t random_state = 1;

static enum place place_of(const char *at)
{
    static const char *last;
    bool *known = at >= area && at < area + AREA_PAGES * BENCH_PAGE
                      ? &touched[(size_t)(at - area) / BLOCK_BYTES]
                      : &file_touched[(size_t)(at - file) / BLOCK_BYTES];
    enum place place = !*known                                                        ? NEW_BLOCK
                       : (uintptr_t)at / BLOCK_BYTES == (uintptr_t)last / BLOCK_BYTES ? SAME_BLOCK
                                                                                      : OTHER_BLOCK;

    *known = true;
    last = at;
    return place;
}

static void note(enum kind kind, const char *at, uint64_t cost)
{
    struct histogram *h = &seen[kind][place_of(at)];
    uint64_t rounded = cost / BUCKET * BUCKET;
    unsigned i = 0;

    while (i < h->count && h->cost[i] != rounded)
        i++;
    if (i == COSTS_MAX)
        bench_fail("too many different costs", (long)cost);
    if (i == h->count)
        h->cost[h->count++] = rounded;
    h->times[i]++;
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
    note(kind, at, write ? bench_store(at) : bench_load(at));
    state[page] = write ? OWN : ZERO;
}

static void touch_file(void)
{
    unsigned page = (unsigned)bench_random(&random_state) % FILE_PAGES;
    char *at = file + page * BENCH_PAGE;
    uint64_t cost = bench_load(at);

    if (cost > 1)
        note(READ_FILE, at, cost);
    else
        BENCH_CALL3(NULL, SYS_madvise, file, FILE_PAGES * BENCH_PAGE, MADV_DONTNEED);
}

static void print(enum kind kind, enum place place)
{
    const struct histogram *h = &seen[kind][place];

    printf("DIST {\"kind\": \"%s\", \"place\": \"%s\", \"bucket\": %u, \"costs\": [",
           kind_name[kind], place_name[place], BUCKET);
    for (unsigned i = 0; i < h->count; i++)
        printf("%s[%lu, %u]", i ? ", " : "", (unsigned long)h->cost[i], h->times[i]);
    printf("]}\n");
}

int main(void)
{
    bench_start();
    area = bench_map(BENCH_AREA, AREA_PAGES);
    long fd = BENCH_CALL2(NULL, SYS_memfd_create, "mixed", 0);
    if (fd < 0 || BENCH_CALL2(NULL, SYS_ftruncate, fd, FILE_PAGES * BENCH_PAGE))
        bench_fail("memfd_create", fd);
    file = (char *)bench_call(NULL, SYS_mmap, FILE_AT, FILE_PAGES * BENCH_PAGE, BENCH_RW,
                              MAP_SHARED | MAP_FIXED, (uint64_t)fd, 0);
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
        for (enum place place = 0; place < PLACES; place++)
            print(kind, place);
    return 0;
}
