/*
 * The buddy allocator of a zone: free chunks of 2^order pages, naturally aligned, in one list per
 * migrate type and order. A chunk's type is that of the block of its first page.
 *
 *   free     the chunk merges with its buddy as long as that is free, of the same order and under
 *            the same capability; below BLOCK_ORDER both are in one block, so of one type
 *   take     the smallest chunk that is large enough is split, the upper halves go back
 *   fall back  no chunk of the type: take the largest of another type, and with it the block, if
 *            most of that can be used (Linux's rules, mm/page_alloc.c); a type that cannot be moved
 *            so spoils as few blocks as possible
 *
 * Costs are one step per order, whatever the chunk's size and the zone's. Lock: zone->lock.
 */
#include "mmserver/core/zone.h"
#include <string.h>

#define BULK_ORDER_MAX 7 /* single pages are taken from chunks of at most this order */
#define STEAL_ORDER    (BLOCK_ORDER / 2) /* movable allocations claim blocks for chunks from here */

/* May chunks of these types be one? Borrowed and isolated blocks stay apart. */
static bool types_merge(enum migrate_type a, enum migrate_type b)
{
    return a == b || (a < MIGRATE_CMA && b < MIGRATE_CMA);
}

/* The free buddy in another block, or NULL. */
static struct page *buddy_of_block(const struct page *page, pfn_t pfn, uint32_t kind)
{
    pfn_t other = pfn ^ PAGES_PER_BLOCK;
    const uint32_t same = (1U << (KIND_HOME_SHIFT + HOME_TYPE_SHIFT)) - 1;

    if (!page_is_ready(other))
        return NULL;
    struct page *buddy = page_of(other);
    if (((buddy->kind ^ kind) & same) || !types_merge(page_type(page), page_type(buddy)))
        return NULL;
    return buddy;
}

void buddy_free_locked(struct zone *z, struct page *page, unsigned order)
{
    pfn_t pfn = page_number(page);
    uint32_t kind = (page->kind & ~0xffffU) | PAGE_FREE;

    for (; order < ORDER_MAX; order++) {
        struct page *buddy = page_of(pfn ^ 1UL << order);
        uint32_t wanted = kind | order << KIND_ORDER_SHIFT;

        if (order >= BLOCK_ORDER) {
            buddy = buddy_of_block(page, pfn, wanted);
            if (!buddy)
                break;
        } else if (buddy->kind != wanted) {
            break;
        }
        chunk_unlink(z, buddy);
        if (buddy < page) {
            page->state = PAGE_TAIL;
            page = buddy;
            pfn ^= 1UL << order;
        } else {
            buddy->state = PAGE_TAIL;
        }
    }
    chunk_link(z, page, order);
}

/* The largest order at which a chunk can start at `pfn` and end by `end`. */
static unsigned chunk_order(pfn_t pfn, pfn_t end)
{
    unsigned order = 0;

    while (order < ORDER_MAX && !(pfn & ((2UL << order) - 1)) && pfn + (2UL << order) <= end)
        order++;
    return order;
}

void zone_add_free_locked(struct zone *z, pfn_t first, pfn_t end)
{
    while (first < end) {
        unsigned order = chunk_order(first, end);

        buddy_free_locked(z, page_of(first), order);
        first += 1UL << order;
    }
}

bool zone_grow_locked(struct worker *w, struct zone *z)
{
    for (uint32_t i = 0; i < z->deferred_count; i++) {
        struct deferred *d = &z->deferred[i];

        if (d->next == d->end)
            continue;
        phys_describe(d->next, d->next + CHUNK_PAGES_MAX, (uint8_t)d->slot,
                      HOME(MIGRATE_MOVABLE, z->home));
        z->deferred_pages -= CHUNK_PAGES_MAX;
        z->free[MIGRATE_MOVABLE] -= CHUNK_PAGES_MAX;
        chunk_link(z, page_of(d->next), ORDER_MAX);
        d->next += CHUNK_PAGES_MAX;
        mm_count(w, zone_grown);
        return true;
    }
    return false;
}

void chunk_halve_locked(struct zone *z, struct page *page)
{
    chunk_unlink(z, page);
    chunk_link(z, page + (1UL << (ORDER_MAX - 1)), ORDER_MAX - 1);
    chunk_link(z, page, ORDER_MAX - 1);
}

/* Make an allocation of `order` of a listed chunk; what is too much goes back. */
static struct page *chunk_split(struct zone *z, struct page *page, unsigned order,
                                enum page_state state)
{
    unsigned have = page->order;

    chunk_unlink(z, page);
    while (have > order) {
        have--;
        chunk_link(z, page + (1UL << have), have);
    }
    page->maps = 0;
    page->state = (uint8_t)state;
    page->order = (uint8_t)order;
    return page;
}

struct page *buddy_take_locked(struct zone *z, unsigned order, enum migrate_type type,
                               enum page_state state)
{
    for (unsigned have = order; have < ORDERS; have++) {
        struct page *page = LIST_FIRST(&z->area[have][type].list);

        if (page)
            return chunk_split(z, page, order, state);
    }
    return NULL;
}

/* Where else to look, best first. */
static const enum migrate_type fallback[MIGRATE_CMA][2] = {
    [MIGRATE_UNMOVABLE] = {MIGRATE_RECLAIMABLE, MIGRATE_MOVABLE},
    [MIGRATE_MOVABLE] = {MIGRATE_RECLAIMABLE, MIGRATE_UNMOVABLE},
    [MIGRATE_RECLAIMABLE] = {MIGRATE_UNMOVABLE, MIGRATE_MOVABLE},
};

static struct page *fallback_first(struct zone *z, enum migrate_type type, unsigned order)
{
    struct page *page = LIST_FIRST(&z->area[order][fallback[type][0]].list);

    return page ? page : LIST_FIRST(&z->area[order][fallback[type][1]].list);
}

/* Is it right to claim the block of a chunk of `have` for `type`? Movable pages in a block of
 * another type do no lasting harm; the other way round each one may spoil a block. */
static bool may_claim(unsigned have, enum migrate_type type)
{
    return have >= STEAL_ORDER || type != MIGRATE_MOVABLE;
}

/* Claim the block of a free chunk, if more than half of it is free or used as `type` would. */
static bool block_claim(struct worker *w, struct zone *z, struct page *page, enum migrate_type type)
{
    pfn_t block = ROUND_DOWN(page_number(page), PAGES_PER_BLOCK);

    if (page->order > BLOCK_ORDER)
        chunk_halve_locked(z, page);
    if (page->order < BLOCK_ORDER) {
        const struct block_account a = block_account(block);
        uint64_t alike = type == MIGRATE_MOVABLE              ? a.movable
                         : page_type(page) == MIGRATE_MOVABLE ? a.other
                                                              : 0;

        if (a.free + alike < PAGES_PER_BLOCK / 2)
            return false;
    }
    block_set_type_locked(z, block, type);
    mm_count(w, block_claimed);
    return true;
}

static struct page *fallback_take(struct worker *w, struct zone *z, unsigned order,
                                  enum migrate_type type, enum page_state state)
{
    struct page *page = NULL;
    unsigned have = ORDERS;

    while (!page && have-- > order)
        page = fallback_first(z, type, have);
    if (!page)
        return NULL;
    if (order > BLOCK_ORDER) { /* all of both blocks */
        page = chunk_split(z, page, order, state);
        block_set_type_locked(z, page_number(page), type);
        block_set_type_locked(z, page_number(page) + PAGES_PER_BLOCK, type);
        return page;
    }
    if (!may_claim(have, type)) {
        for (have = order, page = NULL; !page; have++)
            page = fallback_first(z, type, have);
    } else if (block_claim(w, z, page, type)) {
        return buddy_take_locked(z, order, type, state);
    }
    return chunk_split(z, page, order, state);
}

static bool has_whole_block(const struct zone *z)
{
    for (unsigned order = BLOCK_ORDER; order < ORDERS; order++) {
        for (unsigned type = 0; type < MIGRATE_CMA; type++) {
            if (z->area[order][type].chunks)
                return true;
        }
    }
    return false;
}

static struct page *data_take(struct worker *w, struct zone *z, unsigned order,
                              enum migrate_type type, enum page_state state)
{
    struct page *page = buddy_take_locked(z, order, type, state);

    if (page)
        return page;
    if (z->deferred_pages && !has_whole_block(z) && zone_grow_locked(w, z))
        page = buddy_take_locked(z, order, type, state);
    if (!page && type == MIGRATE_MOVABLE)
        page = buddy_take_locked(z, order, MIGRATE_CMA, state);
    if (!page)
        page = fallback_take(w, z, order, type, state);
    if (!page && zone_grow_locked(w, z)) /* there were blocks, but none large enough */
        page = data_take(w, z, order, type, state);
    return page;
}

struct page *zone_take_locked(struct worker *w, struct zone *z, unsigned order,
                              enum migrate_type type, enum page_state state)
{
    struct page *page;

    if (type == MIGRATE_TABLES) {
        page = buddy_take_locked(z, order, type, state);
        if (!page && order < BLOCK_ORDER && block_make_tables_locked(w, z))
            page = buddy_take_locked(z, order, type, state);
        return page;
    }
    page = data_take(w, z, order, type, state);
    if (!page && block_make_data_locked(w, z))
        page = data_take(w, z, order, type, state);
    return page;
}

/* A chunk of `order` whose pages are to be single ones, in this order or, for lists, backwards. */
static void chunk_scatter(struct page *page, unsigned order, pfn_t *pages, long step)
{
    pfn_t pfn = page_number(page);
    uint64_t tag = page->tag & ~(0xffUL << (32 + KIND_ORDER_SHIFT));

#pragma GCC unroll 8
    for (pfn_t end = pfn + (1UL << order); pfn != end; pfn++, page++, pages += step) {
        page->tag = tag;
        *pages = pfn;
    }
}

/* The order in which the next of `left` pages are asked for. */
static unsigned bulk_order(uint64_t left)
{
    unsigned order = 0;

    while (2UL << order <= left && order < BULK_ORDER_MAX)
        order++;
    return order;
}

uint64_t zone_take_pages_locked(struct worker *w, struct zone *z, enum migrate_type type,
                                uint64_t count, pfn_t *pages, enum page_state state)
{
    long step = state == PAGE_HOT ? -1 : 1;
    pfn_t *to = state == PAGE_HOT ? pages + count - 1 : pages;
    unsigned order = bulk_order(count);
    uint64_t got = 0;

    while (got < count) {
        struct page *page = buddy_take_locked(z, order, type, state);

        if (!page && order > 0) {
            order--;
            continue;
        }
        if (!page) { /* the type has nothing left: one page, which may bring a block with it */
            page = zone_take_locked(w, z, 0, type, state);
            if (!page)
                break;
        }
        chunk_scatter(page, page->order, to, step);
        got += 1UL << order;
        to += step * (1L << order);
        if (order == 0 || 1UL << order > count - got)
            order = bulk_order(count - got);
    }
    if (step < 0 && got < count)
        memmove(pages, pages + (count - got), got * sizeof *pages);
    return got;
}
