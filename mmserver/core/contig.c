/* See contig.h. */
#include "mmserver/core/contig.h"
#include "mmserver/core/isolate.h"
#include "mmserver/core/linux_abi.h"
#include "mmserver/core/memmap.h"

#define PASSES     5  /* over a range in which pages were busy */
#define RANGES_MAX 32 /* that are tried for one request */

/* The parts of [first, end) by blocks. */
#define parts_for_each(part, stop, first, end)                                                     \
    for (pfn_t part = (first), stop;                                                               \
         stop = min_u64((end), ROUND_DOWN(part, PAGES_PER_BLOCK) + PAGES_PER_BLOCK), part < (end); \
         part = stop)

/* ---- a given range ---- */

/* All memory of one zone, with descriptors. */
static bool range_is_good(pfn_t first, pfn_t end)
{
    if (first >= end || !page_is_ready(first))
        return false;
    for (pfn_t block = ROUND_DOWN(first, PAGES_PER_BLOCK); block < end; block += PAGES_PER_BLOCK) {
        if (!page_is_ready(block) || zone_of(page_of(block)) != zone_of(page_of(first)))
            return false;
    }
    return true;
}

static void range_release(pfn_t first, pfn_t end)
{
    for (pfn_t block = ROUND_DOWN(first, PAGES_PER_BLOCK); block < end; block += PAGES_PER_BLOCK)
        block_release(block, block_type_before(block));
}

static long range_isolate(pfn_t first, pfn_t end)
{
    for (pfn_t block = ROUND_DOWN(first, PAGES_PER_BLOCK); block < end; block += PAGES_PER_BLOCK) {
        if (block_isolate(block) == MIGRATE_TYPES) {
            range_release(first, block);
            return -LINUX_EBUSY;
        }
    }
    return 0;
}

/* One page goes elsewhere; what it leaves stays in its isolated block. */
static long page_evict(struct worker *w, pfn_t from)
{
    pfn_t to = page_alloc_gfp(w, GFP_USER | GFP_NOWARN);

    if (!to)
        return -LINUX_ENOMEM;
    long error = page_move(w, from, to);
    page_free(w, error ? to : from);
    if (!error)
        mm_count(w, contig_moved);
    return error == -LINUX_ENOMEM ? -LINUX_EAGAIN : error;
}

/* One pass: pages that are busy are left to the next, and so are those that a huge page became. */
static long range_evict(struct worker *w, pfn_t first, pfn_t end)
{
    struct page *page;

    for (pfn_t at = ROUND_DOWN(first, PAGES_PER_BLOCK); block_next_movable(&at, end, &page);) {
        pfn_t from = page_number(page);

        if (page->order == BLOCK_ORDER)
            (void)page_move_block(w, from);
        else if (from >= first && page_can_move(page) && page_evict(w, from) == -LINUX_ENOMEM)
            return -LINUX_ENOMEM;
    }
    return 0;
}

static bool range_take(struct worker *w, pfn_t first, pfn_t end)
{
    parts_for_each(part, stop, first, end)
    {
        if (block_take_range(part, stop))
            continue;
        contig_free(w, first, part - first);
        return false;
    }
    return true;
}

static long range_empty(struct worker *w, pfn_t first, pfn_t end)
{
    for (unsigned pass = 0; pass < PASSES; pass++) {
        long error = range_evict(w, first, end);

        if (error)
            return error;
        pages_drain_all(w); /* free pages of these blocks may be in a hart's lists */
        if (range_take(w, first, end))
            return 0;
    }
    return -LINUX_EBUSY;
}

long contig_alloc(struct worker *w, pfn_t first, uint64_t count)
{
    pfn_t end = first + count;

    if (!range_is_good(first, end))
        return -LINUX_EINVAL;
    if (w->ops_count) /* nothing could be moved */
        return -LINUX_EBUSY;
    long error = range_isolate(first, end);
    if (!error) {
        pages_drain_all(w); /* so that none of them is given out from a list */
        error = range_empty(w, first, end);
        range_release(first, end);
    }
    if (error)
        mm_count(w, contig_failed);
    else
        mm_count(w, contig_alloc);
    return error;
}

void contig_free(struct worker *w, pfn_t first, uint64_t count)
{
    for (pfn_t pfn = first, pages; pfn < first + count; pfn += pages) {
        pages = 1UL << page_of(pfn)->order;
        pages_free(w, pfn, page_of(pfn)->order);
    }
}

void contig_set_state(pfn_t first, uint64_t count, enum page_state state)
{
    for (pfn_t pfn = first; pfn < first + count; pfn += 1UL << page_of(pfn)->order)
        page_of(pfn)->state = (uint8_t)state;
}

/* ---- any range ---- */

/* Could the range be had, by the look of it? If not, *next is where to look on. */
static bool range_looks_good(pfn_t first, pfn_t end, bool free_only, pfn_t *next)
{
    for (pfn_t block = ROUND_DOWN(first, PAGES_PER_BLOCK); block < end; block += PAGES_PER_BLOCK) {
        *next = block + PAGES_PER_BLOCK;
        if (!page_is_ready(block))
            return false;
        enum migrate_type type = page_type(page_of(block));
        if (type == MIGRATE_ISOLATE || type == MIGRATE_TABLES || type == MIGRATE_CMA)
            return false;
        struct memmap_block m = memmap_look(block);
        if (m.other || m.none || (free_only && m.movable))
            return false;
    }
    *next = first + 1;
    return range_is_good(first, end);
}

static pfn_t zone_search(struct worker *w, const struct zone *z, uint64_t count, uint64_t align,
                         bool free_only)
{
    unsigned tried = 0;
    pfn_t next;

    for (pfn_t at = ROUND_UP(z->start, align); at + count <= z->end && tried < RANGES_MAX;
         at = ROUND_UP(next, align)) {
        if (!range_looks_good(at, at + count, free_only, &next) || zone_of(page_of(at)) != z)
            continue;
        tried++;
        long error = contig_alloc(w, at, count);
        if (!error)
            return at;
        if (error == -LINUX_ENOMEM)
            break;
        next = ROUND_DOWN(at, PAGES_PER_BLOCK) + PAGES_PER_BLOCK;
    }
    return 0;
}

/* Memory that is not described yet is free, and in a row for the most part. */
static void zone_grow_for(struct worker *w, struct zone *z, uint64_t count)
{
    uint64_t ready = z->area[ORDER_MAX][MIGRATE_MOVABLE].chunks << ORDER_MAX;

    for (; ready < count + CHUNK_PAGES_MAX; ready += CHUNK_PAGES_MAX) {
        lock_take(&z->lock);
        bool grown = zone_grow_locked(w, z);
        lock_drop(&z->lock);
        if (!grown)
            return;
    }
}

pfn_t contig_alloc_pages(struct worker *w, uint64_t count, uint64_t align, uint32_t node)
{
    const struct node *near = &nodes[node == CONTIG_ANY_NODE ? w->node : node];

    mm_assert(count && align && !(align & (align - 1)));
    if (place_alloc_fails())
        return 0;
    for (unsigned pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < near->count; i++) {
            struct zone *z = near->list[i];

            if (z->kind == ZONE_MOVABLE || (node != CONTIG_ANY_NODE && z->node != node))
                continue;
            zone_grow_for(w, z, count + align);
            pfn_t first = zone_search(w, z, count, align, pass == 0);
            if (first)
                return first;
        }
    }
    return 0;
}
