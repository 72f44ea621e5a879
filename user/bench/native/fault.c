/*
 * Faults that a pager of one's own answers: with a page at hand, and with nothing.
 *
 * The client's first fault in a leaf table is not measured: the tables are present, and the kernel
 * has seen them.
 */
#include "user/bench/native/common.h"

#define PAGES      448U
#define EMPTIES    512U
#define AREA       0x50000000UL
#define AREA_EMPTY (AREA + BLOCK_BYTES)

static struct bench_row row;
static struct page_giver giver;
static uint64_t entered[EMPTIES + 2];

static void touch_pages(void *arg)
{
    (void)arg;
    bench_store((void *)AREA);
    for (unsigned i = 1; i <= PAGES; i++)
        bench_write(&row, (void *)(AREA + i * BENCH_PAGE));
    client_done();
}

static void touch_empty(void *arg)
{
    (void)arg;
    bench_events_begin();
    bench_store((void *)AREA_EMPTY);
    bench_events_end(&row);
    client_done();
}

static void give_from(unsigned pages)
{
    long first = native_data(pages);

    native_must("pages", first);
    giver = (struct page_giver){.entry = native_data_entry((uint64_t)first, ENTRY_W | ENTRY_D),
                                .memory = NATIVE_SLOT_DATA,
                                .step = 1UL << ENTRY_PAGE_SHIFT,
                                .next = entered,
                                .last = entered + EMPTIES + 1};
}

static void with_page(void)
{
    native_must("endpoint", native_object(CAP_ENDPOINT, 0, SLOT_MAP));
    native_raw_worker(SLOT_MAP_WORKER, SLOT_MAP, bench_map_entry, &giver, 0);
    client_tables(AREA);
    give_from(PAGES + 1);
    bench_open(&row, "fault_map_pretouched", BENCH_BY_OTHER, 1, PAGES);
    client_run(touch_pages, NULL, SLOT_MAP);
    client_fetch(&row);
    bench_close(&row);
}

/* Seen from the worker: from one entry to the next, without what takes the readings down. */
static void with_nothing(void)
{
    native_must("endpoint", native_object(CAP_ENDPOINT, 0, SLOT_EMPTY));
    native_raw_worker(SLOT_EMPTY_WORKER, SLOT_EMPTY, bench_empty_entry, &giver, 0);
    client_tables(AREA_EMPTY);
    give_from(1);
    entered[EMPTIES + 1] = 0;
    bench_open(&row, "fault_empty", BENCH_BY_OTHER, 1, EMPTIES);
    client_run(touch_empty, NULL, SLOT_EMPTY);
    client_fetch(&row);
    for (unsigned i = 0; i < EMPTIES; i++)
        bench_add(&row, entered[i + 1] - entered[i] - BENCH_EMPTY_MORE);
    bench_close(&row);
}

void rows_fault(void)
{
    with_page();
    with_nothing();
}
