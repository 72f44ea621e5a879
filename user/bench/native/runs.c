/*
 * Batches on whole leaf tables: one operation on 512 pages, contiguous or scattered over two 2 MiB
 * blocks (see batch.c), in a space that runs on this hart. What a row needs before and after it is
 * done by calls that are not counted.
 */
#include "user/bench/native/common.h"

#define PAGES  TABLE_ENTRIES
#define REPEAT 16U
#define AREA   0x70000000UL
#define OTHER  (AREA + BLOCK_BYTES)
#define RW     (ENTRY_W | ENTRY_D)

struct step {
    const char *name; /* NULL: not a row */
    uint64_t space;
    struct batch_op op;
    const uint64_t *list;
    struct bench_row row;
};

static uint64_t scattered[2][PAGES / 2];

/* On the driver, which cannot print: 0 or the error. */
static long perform(struct step *s)
{
    long error = native_operations_set(&s->op, 1);

    if (!error && s->list)
        error = native_results_set(s->list, 0, PAGES / 2);
    if (error)
        return error;
    bench_events_begin();
    struct bench_timed timed = bench_ecall(CALL_BATCH, s->space, 1, 0, 0, 0, 0);
    if (s->name) {
        bench_events_end(&s->row);
        bench_add(&s->row, timed.instructions);
    }
    return timed.result == 1 ? 0 : timed.result < 0 ? timed.result : -ERR_STATE;
}

static long drive(void *arg)
{
    long error = 0;

    for (unsigned i = 0; i < REPEAT && !error; i++)
        for (struct step *s = arg; s->space && !error; s++)
            error = perform(s);
    return error;
}

static void rows(struct step *step)
{
    for (struct step *s = step; s->space; s++)
        if (s->name)
            bench_open(&s->row, s->name, BENCH_BY_OTHER, PAGES, REPEAT);
    native_must("drive", native_drive(drive, step));
    for (struct step *s = step; s->space; s++)
        if (s->name)
            bench_close(&s->row);
}

#define OP(c, a, ...)                                                                        \
    {                                                                                        \
        .code = (c), .count = PAGES, .memory = NATIVE_SLOT_DATA, .address = (a), __VA_ARGS__ \
    }

static void contiguous(void)
{
    uint64_t first = native_data_entry(PAGES_PER_BLOCK, RW);
    struct step step[] = {
        {"map_512_per_page", SLOT_TARGET, OP(BATCH_MAP, AREA, .entry = first), NULL, {0}},
        {"protect_512_rw_to_r_per_page",
         SLOT_TARGET,
         OP(BATCH_PROTECT, AREA, .flags = BATCH_DIRTY_STAYS),
         NULL,
         {0}},
        {"protect_512_r_to_rw_per_page",
         SLOT_TARGET,
         OP(BATCH_PROTECT, AREA, .entry = RW),
         NULL,
         {0}},
        {"clear_bits_512_per_page",
         SLOT_TARGET,
         OP(BATCH_CLEAR_BITS, AREA, .entry = ENTRY_A),
         NULL,
         {0}},
        {"move_512_per_page", SLOT_TARGET, OP(BATCH_MOVE, AREA, .extra = OTHER), NULL, {0}},
        {NULL, SLOT_TARGET, OP(BATCH_MOVE, OTHER, .extra = AREA), NULL, {0}},
        {"copy_512_per_page",
         SLOT_TARGET2,
         OP(BATCH_COPY_TABLE, AREA, .extra = SLOT_TARGET),
         NULL,
         {0}},
        {NULL, SLOT_TARGET2, OP(BATCH_UNMAP, AREA, .entry = 0), NULL, {0}},
        {"copy_512_again_per_page",
         SLOT_TARGET2,
         OP(BATCH_COPY_TABLE, AREA, .extra = SLOT_TARGET),
         NULL,
         {0}},
        {NULL, SLOT_TARGET2, OP(BATCH_UNMAP, AREA, .entry = 0), NULL, {0}},
        {"unmap_512_per_page", SLOT_TARGET, OP(BATCH_UNMAP, AREA, .entry = 0), NULL, {0}},
        {.space = 0}};

    rows(step);
}

static void scattered_pages(void)
{
    for (unsigned i = 0; i < PAGES; i++)
        scattered[i / 256][i % 256] =
            native_data_entry(i * 37 % PAGES_PER_BLOCK + i % 2 * PAGES_PER_BLOCK, RW);
    struct step step[] = {
        {NULL, SLOT_TARGET, OP(BATCH_MAP_LIST, AREA, .entry = 0), scattered[0], {0}},
        {NULL,
         SLOT_TARGET,
         OP(BATCH_MAP_LIST, AREA + BLOCK_BYTES / 2, .entry = 0),
         scattered[1],
         {0}},
        {"copy_512_scattered_per_page",
         SLOT_TARGET2,
         OP(BATCH_COPY_TABLE, AREA, .extra = SLOT_TARGET),
         NULL,
         {0}},
        {NULL, SLOT_TARGET2, OP(BATCH_UNMAP, AREA, .entry = 0), NULL, {0}},
        {"unmap_512_scattered_per_page", SLOT_TARGET, OP(BATCH_UNMAP, AREA, .entry = 0), NULL, {0}},
        {.space = 0}};

    step[0].op.count = step[1].op.count = PAGES / 2;
    rows(step);
}

void rows_runs(void)
{
    native_must("space", native_space(SLOT_TARGET2));
    native_must("tables", native_space_tables(SLOT_TARGET2, AREA));
    native_must("tables", native_space_tables(SLOT_TARGET, AREA));
    native_must("tables", native_space_tables(SLOT_TARGET, OTHER));
    contiguous();
    scattered_pages();
}
