/*
 * Nodes and zones: machines with holes and up to 1 TiB, of which only what is touched exists;
 * watermarks and reserves; who falls back where; every zone as it was when all is freed.
 */
#include "core_world.h"

#include "mmserver/core/memblock.h"
#include "mmserver/core/numa.h"
#include "mmserver/core/zone.h"
#include <stdlib.h>
#include <string.h>

#define GIB_PAGES  (1UL << (30 - PAGE_SHIFT))
#define DMA32_END  (4 * GIB_PAGES)
#define HELD_MAX   512
#define STEPS      20000
#define HOLDS_MANY 4096

static struct worker *const w = &workers[0];

/* ---- a zone's free chunks by order, deferred memory being chunks of the largest ---- */

struct picture {
    uint64_t chunks[ZONES_MAX][ORDERS];
};

/* Everything that can go back does: lists of harts, caches, tables blocks that hold nothing. */
static void all_back(void)
{
    core_world_free_pages();
    zone_for_each(z)
    {
        lock_take(&z->lock);
        while (block_make_data_locked(w, z))
            ;
        lock_drop(&z->lock);
    }
}

static struct picture picture_take(void)
{
    struct picture p = {{{0}}};

    all_back();
    zone_for_each(z)
    {
        for (unsigned order = 0; order < ORDERS; order++) {
            for (unsigned type = 0; type < MIGRATE_TYPES; type++)
                p.chunks[z->home][order] += z->area[order][type].chunks;
        }
        p.chunks[z->home][ORDER_MAX] += z->deferred_pages >> ORDER_MAX;
    }
    return p;
}

static void picture_compare(const struct picture *before)
{
    const struct picture now = picture_take();

    for (unsigned z = 0; z < ZONES_MAX; z++) {
        for (unsigned order = 0; order < ORDERS; order++)
            EXPECT_EQ(now.chunks[z][order], before->chunks[z][order]);
    }
    core_world_check();
}

/* ---- a random workload; what is held is marked in its first and last page ---- */

struct held {
    pfn_t pfn;
    uint64_t count; /* pages */
    unsigned order;
    enum { HELD_CHUNK, HELD_EXACT, HELD_SINGLE } how;
    gfp_t gfp;
    uint64_t mark;
};

static struct held held[HELD_MAX];

static uint64_t *word(pfn_t pfn)
{
    return (uint64_t *)page_pointer(pfn) + pfn % 512;
}

static gfp_t random_gfp(void)
{
    static const gfp_t base[] = {GFP_KERNEL, GFP_USER,   GFP_KERNEL | GFP_RECLAIMABLE,
                                 GFP_ATOMIC, GFP_NOWAIT, GFP_USER,
                                 GFP_TABLE};
    gfp_t gfp = base[ktap_random_below(ARRAY_COUNT(base))] | GFP_NOWARN;

    if (ktap_random_below(6) == 0)
        gfp |= GFP_DMA32;
    if (ktap_random_below(6) == 0)
        gfp |= GFP_THISNODE;
    if (ktap_random_below(6) == 0)
        gfp |= GFP_ZERO;
    if (gfp & GFP_TABLES)
        gfp &= ~(gfp_t)GFP_ZERO; /* read-only to us */
    return gfp;
}

static bool is_ours_alone(const struct held *h)
{
    for (unsigned i = 0; i < HELD_MAX; i++) {
        const struct held *o = &held[i];

        if (o != h && o->pfn && h->pfn < o->pfn + o->count && o->pfn < h->pfn + h->count)
            return false;
    }
    return true;
}

static void look_at(const struct held *h, uint32_t node)
{
    struct zone *z = zone_of(page_of(h->pfn));

    EXPECT(is_ours_alone(h));
    EXPECT(h->how == HELD_EXACT || !(h->pfn & ((1UL << h->order) - 1)));
    EXPECT(h->pfn >= z->start && h->pfn + h->count <= z->end);
    EXPECT(z->kind <= gfp_zone(h->gfp));
    EXPECT(!(h->gfp & GFP_THISNODE) || z->node == node);
    EXPECT(!(h->gfp & GFP_DMA32) || h->pfn + h->count <= DMA32_END);
    EXPECT_EQ(page_of(h->pfn)->state, PAGE_USED);
    EXPECT_EQ((h->gfp & GFP_TABLES) != 0, page_type(page_of(h->pfn)) == MIGRATE_TABLES);
    for (pfn_t p = h->pfn; (h->gfp & GFP_ZERO) && p < h->pfn + h->count; p++)
        EXPECT_EQ(*word(p), 0);
}

static void take(struct held *h, struct worker *by)
{
    *h = (struct held){.gfp = random_gfp(), .how = ktap_random_below(3), .count = 1};
    if (h->how == HELD_CHUNK)
        h->order = (unsigned)ktap_random_below(h->gfp & GFP_TABLES ? 8 : ORDERS);
    if (h->how == HELD_EXACT)
        h->count = 1 + ktap_random_below(h->gfp & GFP_TABLES ? 100 : CHUNK_PAGES_MAX);
    else
        h->count = 1UL << h->order;
    h->pfn = h->how == HELD_CHUNK   ? pages_alloc(by, h->order, h->gfp)
             : h->how == HELD_EXACT ? pages_alloc_exact(by, h->count, h->gfp)
                                    : page_alloc_gfp(by, h->gfp);
    if (!h->pfn)
        return;
    look_at(h, (uint32_t)by->node);
    pages_set_state(h->pfn, h->how == HELD_EXACT ? h->count : 1, PAGE_SERVER);
    h->mark = ktap_random();
    if (!(h->gfp & GFP_TABLES))
        *word(h->pfn) = *word(h->pfn + h->count - 1) = h->mark;
}

static void give(struct held *h, struct worker *by)
{
    if (!(h->gfp & GFP_TABLES))
        EXPECT(*word(h->pfn) == h->mark && *word(h->pfn + h->count - 1) == h->mark);
    if (h->how == HELD_EXACT)
        pages_free_exact(by, h->pfn, h->count);
    else if (h->how == HELD_CHUNK || (h->gfp & GFP_TABLES))
        pages_free(by, h->pfn, h->order);
    else
        page_free(by, h->pfn);
    h->pfn = 0;
}

static void workload(unsigned steps)
{
    memset(held, 0, sizeof held);
    for (unsigned i = 0; i < steps; i++) {
        struct held *h = &held[ktap_random_below(HELD_MAX)];
        struct worker *by = sim_worker((uint32_t)ktap_random_below(worker_count));

        if (h->pfn)
            give(h, by);
        else
            take(h, by);
        if (i % (steps / 8) == 0)
            core_world_check();
        if (i % 64 == 0)
            sim_idle((uint32_t)ktap_random_below(worker_count));
    }
    for (unsigned i = 0; i < HELD_MAX; i++) {
        if (held[i].pfn)
            give(&held[i], w);
    }
}

/* The device tree says such things; here the tests do. */
static void hart_on_node(uint32_t hart, uint32_t node)
{
    pages_drain(sim_worker(hart));
    numa.hart_node[hart] = (uint8_t)node;
    pages_worker_init(sim_worker(hart));
}

KTAP_CASE(core_zone_small_machine_ends_as_it_began)
{
    core_world_boot(&(struct world){.harts = 3});
    const struct picture before = picture_take();

    workload(STEPS);
    picture_compare(&before);
}

KTAP_CASE(core_zone_movable_is_for_movable_pages)
{
    core_world_boot(
        &(struct world){.memory_pages = 65536, .harts = 2, .args = "norandmaps movablecore=50%"});
    struct zone *movable = &zones[ZONE_MOVABLE];
    const struct picture before = picture_take();

    EXPECT(movable->managed > 65536 / 2 - 2 * CHUNK_PAGES_MAX);
    EXPECT(movable->managed < 65536 / 2 + 2 * CHUNK_PAGES_MAX);
    workload(STEPS);
    picture_compare(&before);
    /* The server's own allocations end where MOVABLE begins. */
    uint64_t free = zone_free(movable);
    static pfn_t all[65536];
    uint64_t got = page_alloc_bulk(w, 65536, all, GFP_KERNEL | GFP_NOWARN);
    EXPECT(got > 0);
    for (uint64_t i = 0; i < got; i++)
        EXPECT(zone_of(page_of(all[i])) != movable);
    EXPECT_EQ(zone_free(movable), free);
    page_free_bulk(w, got, all);
    picture_compare(&before);
}

/* ---- 1 TiB and eight nodes, more hole than memory ---- */

#define NODE_SPAN (128 * GIB_PAGES)

static struct boot_range big[24];

/* Each node: an odd piece, a hole, much memory, a hole, a piece that ends in the middle of a block.
 */
static uint64_t big_ranges(void)
{
    uint64_t pages = 0;

    for (unsigned n = 0; n < 8; n++) {
        pfn_t at = SIM_FIRST_PAGE + n * NODE_SPAN;
        struct boot_range *r = &big[3 * n];

        r[0] = (struct boot_range){at + 17, 5 * PAGES_PER_BLOCK + 100, BOOT_FREE, (uint16_t)n, 0};
        r[1] = (struct boot_range){at + 3 * GIB_PAGES + 8192 * n, 16 * GIB_PAGES + 1000 * n,
                                   BOOT_FREE, (uint16_t)n, 0};
        r[2] = (struct boot_range){at + 100 * GIB_PAGES, 2 * GIB_PAGES + 77, BOOT_FREE, (uint16_t)n,
                                   0};
        pages += r[0].pages + r[1].pages + r[2].pages;
    }
    return pages;
}

KTAP_CASE(core_zone_1_tib_with_holes_and_8_nodes)
{
    uint64_t pages = big_ranges();

    core_world_boot(&(struct world){
        .memory_pages = 8 * NODE_SPAN, .harts = 8, .range = big, .ranges = ARRAY_COUNT(big)});
    EXPECT_EQ(phys.lost_pages, 0);
    EXPECT_EQ(phys.total_pages + phys.descriptor_pages, pages);
    /* A block's descriptors are 4 pages; holes cost a byte for each 2 MiB. */
    EXPECT(phys.descriptor_pages <= pages / 128 + 4 * 2 * ARRAY_COUNT(big) +
                                        8 * NODE_SPAN / PAGES_PER_BLOCK / PAGE_BYTES + 1);
    uint64_t present = 0, deferred = 0;
    zone_for_each(z)
    {
        present += z->present;
        deferred += z->deferred_pages;
    }
    EXPECT_EQ(present, pages);
    EXPECT(deferred > pages - pages / 100);
    for (uint32_t n = 0; n < 8; n++) {
        EXPECT_EQ(nodes[n].list[0]->node, n);
        hart_on_node(n, n);
    }
    const struct picture before = picture_take();
    workload(STEPS);
    picture_compare(&before);
    /* Few of the descriptors were needed. */
    deferred = 0;
    zone_for_each(z)
    {
        deferred += z->deferred_pages;
    }
    EXPECT(deferred > pages - pages / 20);
}

KTAP_CASE(core_zone_what_cannot_be_described_is_left_out)
{
    /* Two pieces so far apart that no place suits the descriptors of both. */
    static const struct boot_range far[] = {
        {SIM_FIRST_PAGE, 32 * CHUNK_PAGES_MAX, BOOT_FREE, 0, 0},
        {SIM_FIRST_PAGE + 512 * GIB_PAGES, 16 * CHUNK_PAGES_MAX, BOOT_FREE, 0, 0}};

    core_world_boot(
        &(struct world){.memory_pages = 513 * GIB_PAGES, .range = far, .ranges = ARRAY_COUNT(far)});
    EXPECT_EQ(phys.lost_pages, 16 * CHUNK_PAGES_MAX);
    EXPECT_EQ(phys.total_pages + phys.descriptor_pages, 32 * CHUNK_PAGES_MAX);
    core_world_check();
}

KTAP_CASE(core_zone_nodes_by_distance)
{
    big_ranges();
    core_world_boot(&(struct world){
        .memory_pages = 8 * NODE_SPAN, .harts = 1, .range = big, .ranges = ARRAY_COUNT(big)});
    /* A ring: the distance is the number of steps. */
    for (uint32_t a = 0; a < 8; a++) {
        for (uint32_t b = 0; b < 8; b++) {
            uint32_t steps = (a - b) & 7;
            numa.distance[a][b] = (uint8_t)(10 + 5 * (steps < 8 - steps ? steps : 8 - steps));
        }
    }
    zones_order();
    for (uint32_t n = 0; n < 8; n++) {
        for (uint32_t i = 1; i < nodes[n].count; i++) {
            const struct zone *a = nodes[n].list[i - 1], *b = nodes[n].list[i];

            EXPECT(numa_distance(n, a->node) <= numa_distance(n, b->node));
            EXPECT(a->node != b->node || a->kind > b->kind);
        }
        EXPECT_EQ(nodes[n].list[0]->node, n);
    }
    /* Memory of the own node first, then of a neighbour; nothing else with GFP_THISNODE. */
    hart_on_node(0, 3);
    pfn_t pfn = pages_alloc(w, ORDER_MAX, GFP_USER);
    EXPECT_EQ(zone_of(page_of(pfn))->node, 3);
    struct zone *own = zone_of(page_of(pfn));
    uint64_t kept = own->mark[MARK_LOW];
    own->mark[MARK_LOW] = own->managed; /* as if it was full */
    pfn_t other = pages_alloc(w, 0, GFP_USER);
    EXPECT(zone_of(page_of(other))->node == 2 || zone_of(page_of(other))->node == 4);
    own->mark[MARK_LOW] = kept;
    pages_free(w, other, 0);
    pages_free(w, pfn, ORDER_MAX);
}

/* ---- marks ---- */

KTAP_CASE(core_zone_marks_as_linux_computes_them)
{
    core_world_boot(&(struct world){.memory_pages = 65536});
    struct zone *z = &zones[ZONE_DMA32];
    uint64_t kib = zones_min_free_kbytes(), want = z->managed * 4 * 16;

    EXPECT(kib * kib <= want && (kib + 1) * (kib + 1) > want);
    EXPECT_EQ(z->mark[MARK_MIN], kib / 4);
    uint64_t step =
        z->mark[MARK_MIN] / 4 > z->managed / 1000 ? z->mark[MARK_MIN] / 4 : z->managed * 10 / 10000;
    EXPECT_EQ(z->mark[MARK_LOW], z->mark[MARK_MIN] + step);
    EXPECT_EQ(z->mark[MARK_HIGH], z->mark[MARK_MIN] + 2 * step);
}

KTAP_CASE(core_zone_min_free_kbytes_is_an_argument)
{
    core_world_boot(&(struct world){.args = "norandmaps min_free_kbytes=2048"});
    EXPECT_EQ(zones_min_free_kbytes(), 2048);
    EXPECT_EQ(zones[ZONE_DMA32].mark[MARK_MIN], 512);
}

/* Take pages one by one until there are none; how many are still free. */
static uint64_t free_when_refused(gfp_t gfp)
{
    while (pages_alloc(w, 0, gfp | GFP_NOWARN))
        ;
    return zone_free_data(&zones[ZONE_DMA32]);
}

KTAP_CASE(core_zone_who_may_go_how_low)
{
    core_world_boot(&(struct world){0});
    struct zone *z = &zones[ZONE_DMA32];

    EXPECT_EQ(free_when_refused(GFP_KERNEL), z->mark[MARK_MIN]);
    EXPECT_EQ(free_when_refused(GFP_ATOMIC), z->mark[MARK_MIN] / 2);
    EXPECT_EQ(free_when_refused(GFP_KERNEL | GFP_MEMALLOC), 0);
}

KTAP_CASE(core_zone_low_memory_is_kept_for_those_who_need_it)
{
    static const struct boot_range range[] = {
        {DMA32_END - 64 * CHUNK_PAGES_MAX, 64 * CHUNK_PAGES_MAX, BOOT_FREE, 0, 0},
        {DMA32_END, 256 * CHUNK_PAGES_MAX, BOOT_FREE, 0, 0}};

    core_world_boot(
        &(struct world){.memory_pages = DMA32_END + 257 * CHUNK_PAGES_MAX - SIM_FIRST_PAGE,
                        .range = range,
                        .ranges = ARRAY_COUNT(range)});
    struct zone *low = &zones[ZONE_DMA32], *normal = &zones[ZONE_NORMAL];
    EXPECT_EQ(low->reserve[ZONE_NORMAL], normal->managed / 256);
    EXPECT_EQ(low->reserve[ZONE_DMA32], 0);
    EXPECT_EQ(free_when_refused(GFP_KERNEL), low->mark[MARK_MIN] + low->reserve[ZONE_NORMAL]);
    EXPECT_EQ(zone_free_data(normal), normal->mark[MARK_MIN]);
    EXPECT_EQ(free_when_refused(GFP_KERNEL | GFP_DMA32), low->mark[MARK_MIN]);
}

/* ---- migrate types ---- */

KTAP_CASE(core_zone_unmovable_pages_stay_together)
{
    core_world_boot(&(struct world){.memory_pages = 65536});
    uint64_t unmovable = 0, had = zones[ZONE_DMA32].block[MIGRATE_UNMOVABLE];

    /* Eight movable for each unmovable one, as a busy machine would. */
    for (unsigned i = 0; i < HOLDS_MANY; i++) {
        pfn_t pfn = i % 8 ? pages_alloc(w, 0, GFP_USER) : pages_alloc(w, 0, GFP_KERNEL);

        EXPECT(pfn != 0);
        page_of(pfn)->state = i % 8 ? PAGE_ANON : PAGE_SERVER;
        unmovable += i % 8 == 0;
        EXPECT_EQ(page_type(page_of(pfn)), i % 8 ? MIGRATE_MOVABLE : MIGRATE_UNMOVABLE);
    }
    EXPECT(zones[ZONE_DMA32].block[MIGRATE_UNMOVABLE] <= had + unmovable / PAGES_PER_BLOCK + 1);
}

KTAP_CASE(core_zone_movable_pages_take_whole_blocks_only)
{
    core_world_boot(&(struct world){0});
    struct zone *z = &zones[ZONE_DMA32];
    uint64_t movable = z->block[MIGRATE_MOVABLE] + z->deferred_pages / PAGES_PER_BLOCK;

    /* One unmovable page makes a block unmovable; movable pages leave it alone while there are
     * others. */
    pfn_t first = pages_alloc(w, 0, GFP_KERNEL);
    EXPECT_EQ(page_type(page_of(first)), MIGRATE_UNMOVABLE);
    EXPECT(z->block[MIGRATE_MOVABLE] + z->deferred_pages / PAGES_PER_BLOCK >= movable - 1);
    for (;;) {
        pfn_t pfn = pages_alloc(w, 0, GFP_USER | GFP_NOWARN);

        if (!pfn)
            break;
        page_of(pfn)->state = PAGE_ANON;
        if (page_type(page_of(pfn)) != MIGRATE_MOVABLE) {
            EXPECT_EQ(z->area[ORDER_MAX][MIGRATE_MOVABLE].chunks, 0);
            EXPECT_EQ(z->area[0][MIGRATE_MOVABLE].chunks, 0);
        }
    }
    pages_free(w, first, 0);
}

KTAP_CASE(core_zone_isolated_blocks_give_nothing)
{
    core_world_boot(&(struct world){0});
    const struct picture before = picture_take();
    pfn_t mine[8];
    struct page_list list = LIST_HEAD_INITIALIZER(list);

    for (unsigned i = 0; i < 8; i++) {
        mine[i] = pages_alloc(w, 0, GFP_USER);
        page_of(mine[i])->state = PAGE_ANON;
    }
    pfn_t block = ROUND_DOWN(mine[0], PAGES_PER_BLOCK);
    EXPECT_EQ(block_isolate(block), MIGRATE_MOVABLE);
    EXPECT_EQ(block_isolate(block), MIGRATE_TYPES);
    for (unsigned i = 0; i < HELD_MAX; i++) {
        held[i].pfn = page_alloc_user(w);
        EXPECT(ROUND_DOWN(held[i].pfn, PAGES_PER_BLOCK) != block);
    }
    /* The movable pages of the block are found, each once. */
    unsigned found = 0;
    struct page *page;
    for (pfn_t at = block; block_next_movable(&at, block + PAGES_PER_BLOCK, &page);)
        found++;
    struct block_account a = block_account(block);
    EXPECT_EQ(found, a.movable);
    EXPECT_EQ(a.free + a.movable + a.other, PAGES_PER_BLOCK);
    for (unsigned i = 0; i < 8; i++)
        page_free(w, mine[i]);
    uint64_t taken = block_take_free(block, block + PAGES_PER_BLOCK, &list);
    EXPECT_EQ(block_account(block).free, 0);
    uint64_t listed = 0;
    while (!LIST_EMPTY(&list)) {
        page = LIST_FIRST(&list);
        LIST_REMOVE(page, link);
        listed += 1UL << page->order;
        pages_free(w, page_number(page), page->order);
    }
    EXPECT_EQ(taken, listed);
    block_release(block, MIGRATE_MOVABLE);
    for (unsigned i = 0; i < HELD_MAX; i++) {
        if (held[i].pfn)
            page_free(w, held[i].pfn);
    }
    picture_compare(&before);
}

KTAP_CASE(core_zone_fragmentation_is_measured)
{
    core_world_boot(&(struct world){0});
    struct zone *z = &zones[ZONE_DMA32];
    static pfn_t page[32768];
    uint64_t got = 0;

    EXPECT_EQ(zone_fragmentation_index(z, BLOCK_ORDER), -1000);
    EXPECT_EQ(zone_unusable_index(z, 0), 0);
    while (got < ARRAY_COUNT(page) &&
           (page[got] = pages_alloc(w, 0, GFP_USER | GFP_MEMALLOC | GFP_NOWARN)))
        page_of(page[got++])->state = PAGE_ANON;
    EXPECT_EQ(zone_fragmentation_index(z, BLOCK_ORDER), 0); /* nothing free: not scattered */
    for (uint64_t i = 0; i < got; i++) {
        if (page[i] % 2)
            pages_free(w, page[i], 0);
    }
    EXPECT(zone_fragmentation_index(z, BLOCK_ORDER) > 900);
    EXPECT_EQ(zone_unusable_index(z, 1), 1000);
    EXPECT_EQ(zone_unusable_index(z, 0), 0);
}
