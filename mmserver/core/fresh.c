/* See fresh.h. Each zone's list of what is put aside is under its lock; each cache's under its own.
 */
#include "mmserver/core/fresh.h"
#include "mmserver/core/slab_internal.h"
#include "mmserver/core/zone.h"

/* Where a run begins: a fixed place, whatever the size of what lies below. */
#define RUN_ALIGN_PAGES (0x8000000UL >> PAGE_SHIFT)

static struct page_list aside[ZONES_MAX];

/* ---- caches ---- */

/* Free objects that are put aside are linked as in a slab's list, by plain addresses. */
static void objects_give_back(struct worker *w, struct slab_cache *c)
{
    lock_take(&c->lock);
    void *object = c->aside;
    c->aside = NULL;
    c->aside_count = 0;
    lock_drop(&c->lock);
    while (object) {
        void *next = (void *)(uintptr_t)*slab_link(c, object);

        slab_free(w, c, object);
        object = next;
    }
}

/* All that partial slabs have; the magazine is empty. */
static void objects_put_aside(struct slab_cache *c)
{
    struct slab *s;

    lock_take(&c->lock);
    while ((s = slab_partial_locked(c))) {
        void *object = slab_take_locked(c, s);

        if (!object)
            continue;
        *slab_link(c, object) = (uintptr_t)c->aside;
        c->aside = object;
        c->aside_count++;
    }
    lock_drop(&c->lock);
}

static void caches_fresh(struct worker *w)
{
    struct slab_cache *c;

    lock_take(&slab_caches_lock);
    LIST_FOREACH(c, &slab_caches, link)
    objects_give_back(w, c);
    lock_drop(&slab_caches_lock);
    slab_shrink(w);
    lock_take(&slab_caches_lock);
    LIST_FOREACH(c, &slab_caches, link)
    {
        if (!(c->flags & SLAB_DEBUG))
            objects_put_aside(c);
    }
    lock_drop(&slab_caches_lock);
}

/* ---- pages; the zone's lock is held ---- */

static void chunks_give_back(struct zone *z)
{
    struct page *page;

    while ((page = LIST_FIRST(&aside[z - zones]))) {
        LIST_REMOVE(page, link);
        buddy_free_locked(z, page, page->order);
    }
}

/* Never two blocks as one chunk, so that each may change its type. */
static void chunk_put_aside(struct zone *z, struct page *page)
{
    if (page->order == ORDER_MAX)
        chunk_halve_locked(z, page);
    chunk_unlink(z, page);
    page->state = PAGE_ASIDE;
    page->maps = 0;
    LIST_INSERT_HEAD(&aside[z - zones], page, link);
}

static bool is_whole(const struct zone *z, pfn_t chunk)
{
    if (!page_is_ready(chunk))
        return false;
    const struct page *page = page_of(chunk);
    return page->state == PAGE_FREE && page->order == ORDER_MAX && zone_of(page) == z &&
           page_type(page) < MIGRATE_CMA;
}

struct run {
    pfn_t first, end;
};

/* Of the capability that has most of the zone. */
static struct run run_find(const struct zone *z)
{
    struct run best = {0, 0};

    for (uint32_t i = 0; i < phys.ranges; i++) {
        const struct phys_range *r = &phys.range[i];
        struct run run = {ROUND_UP(max_u64(r->first, z->start), RUN_ALIGN_PAGES),
                          ROUND_DOWN(min_u64(r->end, z->end), CHUNK_PAGES_MAX)};

        if (run.first < run.end && run.end - run.first > best.end - best.first)
            best = run;
    }
    return best;
}

static uint64_t whole_pages(const struct zone *z, struct run run)
{
    uint64_t pages = 0;

    for (pfn_t at = run.first; at < run.end; at += CHUNK_PAGES_MAX)
        pages += is_whole(z, at) ? CHUNK_PAGES_MAX : 0;
    return pages;
}

static void chunk_make_movable(struct zone *z, pfn_t chunk)
{
    struct page *low = page_of(chunk), *high = low + PAGES_PER_BLOCK;

    if (page_type(low) == MIGRATE_MOVABLE && page_type(high) == MIGRATE_MOVABLE)
        return;
    chunk_halve_locked(z, low);
    block_set_type_locked(z, chunk, MIGRATE_MOVABLE);
    block_set_type_locked(z, chunk + PAGES_PER_BLOCK, MIGRATE_MOVABLE);
    chunk_unlink(z, high);
    high->state = PAGE_TAIL;
    chunk_unlink(z, low);
    chunk_link(z, low, ORDER_MAX);
}

/* The run's whole chunks leave the lists, and come back as the only ones: the lowest last, so it is
 * the first to be taken. */
static void run_alone(struct zone *z, struct run run)
{
    static const enum migrate_type types[] = {MIGRATE_UNMOVABLE, MIGRATE_MOVABLE,
                                              MIGRATE_RECLAIMABLE, MIGRATE_TABLES};
    struct page_list whole = LIST_HEAD_INITIALIZER(whole);
    struct page *page;

    for (pfn_t at = run.first; at < run.end; at += CHUNK_PAGES_MAX) {
        if (!is_whole(z, at))
            continue;
        chunk_make_movable(z, at);
        chunk_unlink(z, page_of(at));
        LIST_INSERT_HEAD(&whole, page_of(at), link);
    }
    for (unsigned i = 0; i < ARRAY_COUNT(types); i++) {
        for (unsigned order = ORDERS; order--;) {
            while ((page = LIST_FIRST(&z->area[order][types[i]].list)))
                chunk_put_aside(z, page);
        }
    }
    while ((page = LIST_FIRST(&whole))) {
        LIST_REMOVE(page, link);
        chunk_link(z, page, ORDER_MAX);
    }
}

static void zone_fresh(struct worker *w, struct zone *z)
{
    lock_take(&z->lock);
    chunks_give_back(z);
    while (block_make_data_locked(w, z))
        continue;
    while (zone_grow_locked(w, z))
        continue;
    struct run run = run_find(z);
    if (whole_pages(z, run) > zone_free(z) / 2)
        run_alone(z, run);
    lock_drop(&z->lock);
}

uint64_t fresh_memory(struct worker *w)
{
    caches_fresh(w);
    pages_drain_all(w);
    zone_for_each(z)
    {
        zone_fresh(w, z);
    }
    return zones_free();
}
