/*
 * Batches: 64 pages mapped and unmapped in one call each, and by 64 single operations (two calls of
 * 32); and one page by a call of its own.
 *
 * Only the calls are counted, not the writing of the operation page. The scattered pages lie in two
 * 2 MiB blocks, as many as one capability covers here, in no order and the next one always in the
 * other block: no two neighbours can be counted together. The space has a worker bound on this
 * hart, so it counts as running there and what is unmapped is fenced.
 */
#include "user/bench/native/common.h"

#define PAGES  64U
#define REPEAT 64U
#define AREA   0x60000000UL
#define FIRST \
    128U /* data page; nobody touches what is mapped here, so it may be in use elsewhere */

struct part {
    struct batch_op op[BATCH_OPS_MAX];
    unsigned count;
};

static struct bench_row map_row, unmap_row;
static struct part map_part[2], unmap_part[2];
static unsigned parts; /* calls that the 64 pages take */

/* On the driver, which cannot print: 0 or the error. */
static long measure(struct bench_row *row, const struct part *part)
{
    uint64_t instructions = 0;

    for (unsigned i = 0; i < parts; i++) {
        long error = native_operations_set(part[i].op, part[i].count);
        if (error)
            return error;
        bench_events_begin();
        struct bench_timed timed = bench_ecall(CALL_BATCH, SLOT_TARGET, part[i].count, 0, 0, 0, 0);
        bench_events_end(row);
        if (timed.result != (long)part[i].count)
            return timed.result < 0 ? timed.result : -ERR_STATE;
        instructions += timed.instructions;
    }
    bench_add(row, instructions);
    return 0;
}

static long drive(void *arg)
{
    long error = 0;

    (void)arg;
    for (unsigned i = 0; i < REPEAT && !error; i++) {
        error = measure(&map_row, map_part);
        if (!error)
            error = measure(&unmap_row, unmap_part);
    }
    return error;
}

static void both(const char *map, const char *unmap, unsigned pages)
{
    bench_open(&map_row, map, BENCH_BY_OTHER, pages, REPEAT);
    bench_open(&unmap_row, unmap, BENCH_BY_OTHER, pages, REPEAT);
    native_must("drive", native_drive(drive, NULL));
    bench_close(&map_row);
    bench_close(&unmap_row);
}

/* Scattered data page number i. */
static uint64_t scattered(unsigned i)
{
    return FIRST + i * 37 % 256 + i % 2 * PAGES_PER_BLOCK;
}

static void parts_clear(void)
{
    for (unsigned i = 0; i < 2; i++)
        map_part[i].count = unmap_part[i].count = 0;
}

static void add(unsigned at, unsigned count, uint64_t page)
{
    struct part *map = &map_part[at / BATCH_OPS_MAX], *unmap = &unmap_part[at / BATCH_OPS_MAX];

    map->op[map->count++] = (struct batch_op){.code = BATCH_MAP,
                                              .count = count,
                                              .memory = NATIVE_SLOT_DATA,
                                              .address = AREA + at * BENCH_PAGE,
                                              .entry = native_data_entry(page, ENTRY_W | ENTRY_D)};
    unmap->op[unmap->count++] =
        (struct batch_op){.code = BATCH_UNMAP, .count = count, .address = AREA + at * BENCH_PAGE};
    parts = at / BATCH_OPS_MAX + 1;
}

/* One operation each way: the entries are a list. */
static void add_list(void)
{
    uint64_t entry[PAGES];

    for (unsigned i = 0; i < PAGES; i++)
        entry[i] = native_data_entry(scattered(i), ENTRY_W | ENTRY_D);
    native_must("results_set", native_results_set(entry, 0, PAGES));
    add(0, PAGES, 0);
    map_part[0].op[0].code = BATCH_MAP_LIST;
}

/* A worker of the space, so that the space runs here. */
static void keep_running(void)
{
    struct native_client client = {.slot = SLOT_TARGET_THREAD, .space = SLOT_TARGET};

    native_must("endpoint", native_object(CAP_ENDPOINT, 0, SLOT_TARGET_END));
    native_must("thread", native_client(&client));
    native_must("worker_bind", native_call(CALL_WORKER_BIND, SLOT_TARGET_THREAD, SLOT_TARGET_END,
                                           AREA, AREA, 0, 0));
}

void rows_batch(void)
{
    native_must("space", native_space(SLOT_TARGET));
    native_must("tables", native_space_tables(SLOT_TARGET, AREA));
    keep_running();
    add_list();
    both("map_batch_64_per_page", "unmap_batch_64_per_page", PAGES);
    parts_clear();
    add(0, PAGES, FIRST);
    both("map_batch_64_contiguous_per_page", "unmap_batch_64_contiguous_per_page", PAGES);
    parts_clear();
    for (unsigned i = 0; i < PAGES; i++)
        add(i, 1, scattered(i));
    both("map_64_single_ops_per_page", "unmap_64_single_ops_per_page", PAGES);
    parts_clear();
    add(0, 1, FIRST);
    both("map_1p", "unmap_1p", 1);
}
