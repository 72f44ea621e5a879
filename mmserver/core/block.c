/*
 * Pageblocks change type here, and only here.
 *
 *   ordinary -> tables   a block that is free; after the kernel agreed, page 0 is its directory and
 *                        the other 511 pages go to the tables lists
 *   tables -> ordinary   all 511 pages are free again
 *   any other change     only a matter of which lists its free chunks are in
 *
 * A block's type stands in each of its descriptors (page->home), so that whoever frees a page has
 * it at hand; a change writes them all. Lock: the zone's. The kernel may refuse; then nothing has
 * changed.
 */
#include "mmserver/core/isolate.h"

static long block_class_set(const struct page *block, uint64_t class)
{
    pfn_t pfn = page_number(block);

    for (uint32_t i = 0; i < phys.ranges; i++) {
        const struct phys_range *r = &phys.range[i];

        if (pfn - r->first < r->end - r->first)
            return place_block_class(r->slot, pfn - r->first, class);
    }
    return -ERR_RANGE;
}

/* The zone's part of the block gets the type; none of it is in a list. */
static void home_write(struct zone *z, pfn_t block, enum migrate_type type)
{
    struct page *page = page_of(block);

    z->block[page_type(page)]--;
    z->block[type]++;
#pragma GCC unroll 8
    for (struct page *end = page + PAGES_PER_BLOCK; page != end; page++)
        page->home = (uint8_t)HOME(type, page->home & HOME_ZONE_MASK);
}

/* The first page of whatever comes next in the block. */
static inline uint64_t step(const struct page *page)
{
    return page->state == PAGE_NONE || page->state == PAGE_TAIL ? 1 : 1UL << page->order;
}

/* Is the block the upper half of a free chunk? Then halve it, so that the block has its own. */
static void block_separate(struct zone *z, pfn_t block)
{
    pfn_t lower = block & ~(CHUNK_PAGES_MAX - 1);

    if (page_is_ready(lower) && page_of(lower)->state == PAGE_FREE &&
        page_of(lower)->order == ORDER_MAX)
        chunk_halve_locked(z, page_of(lower));
}

uint64_t block_set_type_locked(struct zone *z, pfn_t block, enum migrate_type type)
{
    struct page *first = page_of(block);
    struct page *end = first + PAGES_PER_BLOCK;
    uint64_t moved = 0;

    block_separate(z, block);
    for (struct page *page = first; page < end; page += step(page)) {
        if (page->state == PAGE_FREE)
            chunk_unlink(z, page);
    }
    home_write(z, block, type);
    for (struct page *page = first; page < end; page += step(page)) {
        if (page->state != PAGE_FREE)
            continue;
        moved += 1UL << page->order;
        chunk_link(z, page, page->order);
    }
    return moved;
}

static struct page *free_block_find(struct worker *w, struct zone *z)
{
    static const enum migrate_type from[] = {MIGRATE_UNMOVABLE, MIGRATE_RECLAIMABLE,
                                             MIGRATE_MOVABLE};

    for (unsigned order = BLOCK_ORDER; order <= ORDER_MAX; order++) {
        for (unsigned i = 0; i < ARRAY_COUNT(from); i++) {
            struct page *page = LIST_FIRST(&z->area[order][from[i]].list);

            if (page)
                return page;
        }
    }
    return zone_grow_locked(w, z) ? free_block_find(w, z) : NULL;
}

bool block_make_tables_locked(struct worker *w, struct zone *z)
{
    if (z->kind == ZONE_MOVABLE ||
        zone_spare(z, z->mark[MARK_MIN] / 2, ZONE_NORMAL) < PAGES_PER_BLOCK)
        return false;
    struct page *block = free_block_find(w, z);
    if (!block)
        return false;
    if (block->order == ORDER_MAX)
        chunk_halve_locked(z, block);
    if (block_class_set(block, BLOCK_TABLES))
        return false;
    chunk_unlink(z, block);
    home_write(z, page_number(block), MIGRATE_TABLES);
    block->state = PAGE_RESERVED;
    block->order = 0;
    for (unsigned order = 0; order < BLOCK_ORDER; order++)
        chunk_link(z, block + (1UL << order), order);
    mm_count(w, block_to_tables);
    return true;
}

/* Are pages 1..511 free? Then they lie in the chunks 1, 2, 4, ... 256. */
static bool block_is_free(const struct page *block)
{
    for (unsigned order = 0; order < BLOCK_ORDER; order++) {
        const struct page *page = block + (1UL << order);

        if (page->state != PAGE_FREE || page->order != order)
            return false;
    }
    return true;
}

bool block_make_data_locked(struct worker *w, struct zone *z)
{
    struct page *chunk;

    LIST_FOREACH(chunk, &z->area[BLOCK_ORDER - 1][MIGRATE_TABLES].list, link)
    {
        struct page *block = page_of(ROUND_DOWN(page_number(chunk), PAGES_PER_BLOCK));

        if (!block_is_free(block) || block_class_set(block, BLOCK_DATA))
            continue;
        for (unsigned order = 0; order < BLOCK_ORDER; order++) {
            chunk_unlink(z, block + (1UL << order));
            (block + (1UL << order))->state = PAGE_TAIL;
        }
        home_write(z, page_number(block), MIGRATE_MOVABLE);
        buddy_free_locked(z, block, BLOCK_ORDER);
        mm_count(w, block_to_data);
        return true;
    }
    return false;
}

enum migrate_type block_isolate(pfn_t block)
{
    if (!page_is_ready(block))
        return MIGRATE_TYPES;
    struct zone *z = zone_of(page_of(block));

    lock_take(&z->lock);
    enum migrate_type type = page_type(page_of(block));
    if (type >= MIGRATE_ISOLATE) {
        type = MIGRATE_TYPES;
    } else {
        block_set_type_locked(z, block, MIGRATE_ISOLATE);
        *phys_block(block) |= (uint8_t)(type << BLOCK_TYPE_SHIFT);
    }
    lock_drop(&z->lock);
    return type;
}

enum migrate_type block_type_before(pfn_t block)
{
    return (enum migrate_type)(*phys_block(block) >> BLOCK_TYPE_SHIFT);
}

void block_release(pfn_t block, enum migrate_type type)
{
    struct zone *z = zone_of(page_of(block));

    lock_take(&z->lock);
    mm_assert(page_type(page_of(block)) == MIGRATE_ISOLATE && type < MIGRATE_ISOLATE);
    *phys_block(block) &= (1U << BLOCK_TYPE_SHIFT) - 1;
    block_set_type_locked(z, block, type);
    /* A chunk that is the whole block merges with the next one now, as if it was freed again. */
    struct page *page = page_of(block);
    if (page->state == PAGE_FREE && page->order == BLOCK_ORDER) {
        chunk_unlink(z, page);
        buddy_free_locked(z, page, BLOCK_ORDER);
    }
    lock_drop(&z->lock);
}

uint64_t block_take_free(pfn_t first, pfn_t end, struct page_list *list)
{
    uint64_t pages = 0;

    for (pfn_t block = ROUND_DOWN(first, PAGES_PER_BLOCK); block < end; block += PAGES_PER_BLOCK) {
        pfn_t stop = min_u64(end, block + PAGES_PER_BLOCK);

        if (!page_is_ready(block))
            continue;
        struct zone *z = zone_of(page_of(block));
        lock_take(&z->lock);
        block_separate(z, block);
        for (pfn_t pfn = max_u64(first, block); pfn < stop; pfn += step(page_of(pfn))) {
            struct page *page = page_of(pfn);

            if (page->state != PAGE_FREE || pfn + (1UL << page->order) > stop)
                continue;
            chunk_unlink(z, page);
            page->state = PAGE_USED;
            page->maps = 0;
            LIST_INSERT_HEAD(list, page, link);
            pages += 1UL << page->order;
        }
        lock_drop(&z->lock);
    }
    return pages;
}

unsigned block_piece_order(pfn_t pfn, pfn_t end)
{
    unsigned order = 0;

    while (order < BLOCK_ORDER && !(pfn & ((2UL << order) - 1)) && pfn + (2UL << order) <= end)
        order++;
    return order;
}

static bool range_is_free(pfn_t block, pfn_t first, pfn_t end)
{
    for (pfn_t pfn = block; pfn < end; pfn += step(page_of(pfn))) {
        const struct page *page = page_of(pfn);

        if (page->state != PAGE_FREE && pfn + step(page) > first)
            return false;
    }
    return true;
}

/* Free chunks leave the lists; what sticks out of the range goes back. */
static void range_unlink(struct zone *z, pfn_t block, pfn_t first, pfn_t end)
{
    for (pfn_t pfn = block, next; pfn < end; pfn = next) {
        struct page *page = page_of(pfn);

        next = pfn + step(page);
        if (next <= first)
            continue;
        chunk_unlink(z, page);
        page->state = PAGE_TAIL;
        zone_add_free_locked(z, pfn, max_u64(pfn, first));
        zone_add_free_locked(z, min_u64(end, next), next);
    }
}

bool block_take_range(pfn_t first, pfn_t end)
{
    pfn_t block = ROUND_DOWN(first, PAGES_PER_BLOCK);
    struct zone *z = zone_of(page_of(first));

    mm_assert(first < end && end <= block + PAGES_PER_BLOCK);
    lock_take(&z->lock);
    block_separate(z, block);
    bool good = range_is_free(block, first, end);
    if (good)
        range_unlink(z, block, first, end);
    for (pfn_t pfn = first, pages; good && pfn < end; pfn += pages) {
        struct page *page = page_of(pfn);

        page->maps = 0;
        page->order = (uint8_t)block_piece_order(pfn, end);
        page->state = PAGE_USED;
        pages = 1UL << page->order;
    }
    lock_drop(&z->lock);
    return good;
}

static bool is_movable(const struct page *page)
{
    return page_is_of_movable_kind(page);
}

bool block_next_movable(pfn_t *at, pfn_t end, struct page **page)
{
    while (*at < end) {
        if (!page_is_ready(*at)) {
            *at = ROUND_DOWN(*at, PAGES_PER_BLOCK) + PAGES_PER_BLOCK;
            continue;
        }
        *page = page_of(*at);
        *at += step(*page);
        if (is_movable(*page))
            return true;
    }
    return false;
}

struct block_account block_account(pfn_t block)
{
    const struct page *first = page_of(block);
    struct block_account a = {0, 0, 0};

    for (const struct page *page = first; page < first + PAGES_PER_BLOCK; page += step(page)) {
        if (page->state == PAGE_FREE || page->state == PAGE_HOT || page->state == PAGE_ZEROED)
            a.free += 1UL << page->order;
        else if (is_movable(page))
            a.movable += 1UL << page->order;
        else
            a.other += step(page);
    }
    return a;
}
