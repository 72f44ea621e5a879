/*
 * Fuzzing the page allocator: the input is a sequence of allocations and frees of all sizes, types
 * and flags by two harts on two nodes, of blocks isolated and released, of lists drained and of
 * allocations that fail. After each input everything is freed; recounts must find nothing, and no
 * page may be lost.
 */
#include "core_world.h"
#include "failing.h"
#include "tests/fuzz/input.h"

#include "mmserver/core/zone.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HELD_MAX 256

static struct held {
    pfn_t pfn;
    uint64_t count;
    enum { SINGLE, CHUNK, EXACT } how;
    unsigned order;
    bool tables;
} held[HELD_MAX];
static pfn_t isolated;
static enum migrate_type isolated_type;

static uint64_t *word(pfn_t pfn)
{
    return page_pointer(pfn);
}

/* Each page says whose it is: nobody else may have written there. */
static void mark(const struct held *h)
{
    for (uint64_t i = 0; i < h->count && !h->tables; i++)
        *word(h->pfn + i) = (uint64_t)(h - held) << 32 | i;
}

static void look(const struct held *h)
{
    for (uint64_t i = 0; i < h->count && !h->tables; i++) {
        if (*word(h->pfn + i) != ((uint64_t)(h - held) << 32 | i))
            ktap_fail(__FILE__, __LINE__, "page %lx was given out twice", h->pfn + i);
    }
}

static void give(struct worker *w, struct held *h)
{
    look(h);
    if (h->how == EXACT)
        pages_free_exact(w, h->pfn, h->count);
    else if (h->how == CHUNK || h->tables)
        pages_free(w, h->pfn, h->order);
    else
        page_free(w, h->pfn);
    h->pfn = 0;
}

static void get(struct worker *w, struct input *in, struct held *h)
{
    gfp_t gfp = (gfp_t)take(in, 2) | GFP_NOWARN;

    if (gfp & GFP_TABLES)
        gfp &= ~(gfp_t)(GFP_ZERO | GFP_MOVABLE | GFP_RECLAIMABLE);
    *h = (struct held){.how = take(in, 1) % 3, .count = 1, .tables = gfp & GFP_TABLES};
    uint64_t size = take(in, 2);
    if (h->how == EXACT)
        h->pfn = pages_alloc_exact(w, h->count = 1 + size % CHUNK_PAGES_MAX, gfp);
    else if (h->how == CHUNK)
        h->pfn = pages_alloc(w, h->order = (unsigned)(size % ORDERS), gfp);
    else
        h->pfn = page_alloc_gfp(w, gfp);
    if (!h->pfn)
        return;
    if (h->how == CHUNK)
        h->count = 1UL << h->order;
    pages_set_state(h->pfn, h->how == EXACT ? h->count : 1, PAGE_SERVER);
    mark(h);
}

static void bulk(struct worker *w, struct input *in)
{
    static pfn_t page[1024];
    uint64_t got = page_alloc_bulk(w, take(in, 2) % 1024, page,
                                   ((gfp_t)take(in, 2) & ~(gfp_t)GFP_TABLES) | GFP_NOWARN);

    for (uint64_t i = 0; i < got; i++)
        *word(page[i]) = ~0UL;
    page_free_bulk(w, got, page);
}

static void isolate(struct input *in)
{
    if (isolated) {
        block_release(isolated, isolated_type);
        isolated = 0;
        return;
    }
    pfn_t block = phys.first + (take(in, 1) << BLOCK_ORDER);
    isolated_type = block < phys.end ? block_isolate(block) : MIGRATE_TYPES;
    if (isolated_type != MIGRATE_TYPES)
        isolated = block;
}

static void step(struct input *in)
{
    struct worker *w = sim_worker((uint32_t)take(in, 1) % 2);
    uint64_t what = take(in, 1);
    struct held *h = &held[take(in, 1) % HELD_MAX];

    switch (what % 16) {
    case 0:
        pages_drain_all(w);
        break;
    case 1:
        sim_idle(w->hart);
        break;
    case 2:
        isolate(in);
        break;
    case 3:
        sim_fail_alloc(take(in, 1) % 8);
        break;
    case 4:
        bulk(w, in);
        break;
    default:
        if (h->pfn)
            give(w, h);
        else
            get(w, in, h);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const struct boot_range range[] = {
        {SIM_FIRST_PAGE + 5, 8 * CHUNK_PAGES_MAX + 77, BOOT_FREE, 0, 0},
        {SIM_FIRST_PAGE + 16 * CHUNK_PAGES_MAX, 8 * CHUNK_PAGES_MAX - 3, BOOT_FREE, 1, 0}};
    static uint64_t free_pages;
    struct input in = {data, data + bytes};

    if (!free_pages) {
        core_world_boot(&(struct world){.memory_pages = 25 * CHUNK_PAGES_MAX,
                                        .harts = 2,
                                        .args = "norandmaps movablecore=16M",
                                        .range = range,
                                        .ranges = 2});
        free_pages = core_world_free_pages();
    }
    while (in.at < in.end)
        step(&in);
    sim_fail_alloc(0);
    if (isolated)
        isolate(&in);
    core_world_check();
    for (unsigned i = 0; i < HELD_MAX; i++) {
        if (held[i].pfn)
            give(sim_worker(0), &held[i]);
    }
    if (core_world_free_pages() != free_pages)
        ktap_fail(__FILE__, __LINE__, "pages were lost");
    core_world_check();
    return 0;
}
