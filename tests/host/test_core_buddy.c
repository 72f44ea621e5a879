/* The page allocator against a flat model: one byte for each page says to whom it belongs. */
#include "core_world.h"

#include "mmserver/core/zone.h"

#include <string.h>

#define CHUNKS 400
#define STEPS  20000

struct chunk {
    pfn_t pfn;
    unsigned order;
};

static struct chunk chunk[CHUNKS];
static uint8_t *owned; /* per page of the span: taken by one of the chunks */

static void take(unsigned i, gfp_t gfp)
{
    unsigned order = (unsigned)ktap_random_below(gfp & GFP_TABLES ? 9 : ORDERS);
    pfn_t pfn = pages_alloc(sim_worker(0), order, gfp | GFP_NOWARN);

    if (!pfn)
        return;
    EXPECT(!(pfn & ((1UL << order) - 1)));
    EXPECT_EQ(page_type(page_of(pfn)) == MIGRATE_TABLES, (gfp & GFP_TABLES) != 0);
    uint8_t slot = page_of(pfn)->slot;
    for (pfn_t p = pfn; p < pfn + (1UL << order); p++) {
        EXPECT(page_is_ours(p));
        EXPECT_EQ(page_of(p)->slot, slot); /* never across two capabilities */
        EXPECT_EQ(page_of(p)->state, p == pfn ? PAGE_USED : PAGE_TAIL);
        EXPECT_EQ(owned[p - phys.first], 0);
        EXPECT(!(gfp & GFP_TABLES) || p % PAGES_PER_BLOCK);
        owned[p - phys.first] = 1;
    }
    page_of(pfn)->state = PAGE_SERVER;
    chunk[i] = (struct chunk){pfn, order};
}

static void give_back(unsigned i)
{
    pages_free(sim_worker(0), chunk[i].pfn, chunk[i].order);
    memset(owned + (chunk[i].pfn - phys.first), 0, 1UL << chunk[i].order);
    chunk[i].pfn = 0;
}

KTAP_CASE(core_buddy_against_a_flat_model)
{
    core_world_boot(&(struct world){0});
    static uint8_t map[1 << 16];
    owned = map;
    EXPECT(phys.end - phys.first <= sizeof map);
    uint64_t before = core_world_free_pages();

    for (unsigned step = 0; step < STEPS; step++) {
        unsigned i = (unsigned)ktap_random_below(CHUNKS);

        if (chunk[i].pfn)
            give_back(i);
        else
            take(i, ktap_random_below(5) ? GFP_KERNEL : GFP_TABLE);
        if (step % 4000 == 0)
            core_world_check();
    }
    for (unsigned i = 0; i < CHUNKS; i++) {
        if (chunk[i].pfn)
            give_back(i);
    }
    EXPECT_EQ(core_world_free_pages(), before);
    core_world_check();
}

KTAP_CASE(core_buddy_until_nothing_is_left)
{
    core_world_boot(&(struct world){0});
    uint64_t before = core_world_free_pages(), count = 0;
    pfn_t first = 0, pfn;

    while ((pfn = page_alloc(sim_worker(0)))) {
        *(pfn_t *)page_pointer(pfn) = first;
        first = pfn;
        count++;
    }
    EXPECT(count + zones_min_free_kbytes() / 4 + 2 * PAGES_PER_BLOCK > before);
    EXPECT(pages_alloc(sim_worker(0), 0, GFP_MEMALLOC) != 0);
    while (first) {
        pfn = first;
        first = *(pfn_t *)page_pointer(pfn);
        page_free(sim_worker(0), pfn);
    }
    EXPECT_EQ(core_world_free_pages(), before - 1); /* the page from the reserve is kept */
}

KTAP_CASE(core_buddy_blocks_change_class_and_back)
{
    core_world_boot(&(struct world){0});
    uint64_t blocks = zones_blocks(MIGRATE_TABLES);
    pfn_t page[600];

    for (unsigned i = 0; i < 600; i++) {
        page[i] = page_alloc_table(sim_worker(0));
        EXPECT(page[i] != 0);
    }
    EXPECT(zones_blocks(MIGRATE_TABLES) > blocks);
    for (unsigned i = 0; i < 600; i++)
        page_free_table(sim_worker(0), page[i]);
    core_world_free_pages();
    /* Data memory that has run out takes a tables block back that holds nothing. */
    unsigned taken = 0;
    while (pages_alloc(sim_worker(0), BLOCK_ORDER, GFP_MEMALLOC | GFP_NOWARN))
        taken++;
    EXPECT(taken > 0);
    EXPECT_EQ(zones_blocks(MIGRATE_TABLES), blocks);
}

KTAP_CASE(core_pages_zeroed_ahead_are_zero)
{
    core_world_boot(&(struct world){0});
    for (unsigned i = 0; i < 100; i++)
        sim_idle(0);
    EXPECT(sim_worker(0)->zeroed_count > 0);
    for (unsigned i = 0; i < 300; i++) {
        pfn_t pfn = page_alloc_zeroed(sim_worker(0));
        const uint64_t *word = page_pointer(pfn);

        for (unsigned k = 0; k < PAGE_BYTES / 8; k++)
            EXPECT_EQ(word[k], 0);
    }
}
