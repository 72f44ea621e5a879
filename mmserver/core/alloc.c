/*
 * How an allocation goes through the zones, and what it does when they are low.
 *
 *   fast   a zone of the list that stays above its low mark
 *   slow   ask for background work; down to the min mark, GFP_HIGH to half of it, GFP_MEMALLOC to
 *          nothing
 *          with GFP_DIRECT_RECLAIM, while it helps: harts' lists drained, shrinkers asked, for
 *          chunks compaction; GFP_NORETRY once
 *   fail   who holds what (oom.c), unless GFP_NOWARN
 */
#include "mmserver/core/oom.h"
#include "mmserver/core/compact.h"
#include "mmserver/core/object.h"
#include "mmserver/core/slab.h"
#include "mmserver/core/zone.h"

#define SHRINKERS_MAX 16
#define SHRINK_PAGES  64 /* asked of a shrinker at a time */
#define ROUNDS_MAX    16
#define GROWN_AHEAD   8 /* free chunks of CHUNK_PAGES_MAX pages that idle steps keep described */

static const struct shrinker *shrinkers[SHRINKERS_MAX];
static unsigned shrinker_count;
static uint64_t work_wanted; /* bool: some zone is below its low mark */

bool shrinker_register(const struct shrinker *s)
{
    for (unsigned i = 0; i < shrinker_count; i++) {
        if (shrinkers[i] == s)
            return true;
    }
    if (shrinker_count == SHRINKERS_MAX)
        return false;
    shrinkers[shrinker_count++] = s;
    return true;
}

enum depth { DEPTH_LOW, DEPTH_MIN, DEPTH_NOTHING };

/* Pages that the zone may give to this request. */
static uint64_t zone_offer(const struct zone *z, const struct request *r, enum depth depth)
{
    uint64_t mark = z->mark[depth == DEPTH_LOW ? MARK_LOW : MARK_MIN];

    if (r->gfp & GFP_TABLES) /* pages of tables blocks are of no use to others */
        return ~0UL;
    if (depth == DEPTH_NOTHING)
        return zone_free_data(z);
    if (depth == DEPTH_MIN && (r->gfp & GFP_HIGH))
        mark /= 2;
    return zone_spare(z, mark, gfp_zone(r->gfp));
}

static uint64_t zone_try(struct worker *w, struct zone *z, const struct request *r, uint64_t got,
                         enum depth depth)
{
    enum migrate_type type = gfp_type(r->gfp);
    uint64_t offer, more = 0;

    lock_take(&z->lock);
    offer = zone_offer(z, r, depth);
    if (r->order == 0) {
        more = zone_take_pages_locked(w, z, type, min_u64(offer, r->count - got), r->pages + got,
                                      r->state);
    } else if (offer >= 1UL << r->order) {
        struct page *page = zone_take_locked(w, z, r->order, type, r->state);

        if (page) {
            *r->pages = page_number(page);
            more = 1;
        }
    }
    lock_drop(&z->lock);
    return more;
}

static uint64_t zones_try(struct worker *w, const struct request *r, enum depth depth)
{
    const struct node *node = &nodes[w->node];
    uint64_t got = 0;

    for (uint32_t i = 0; i < node->count && got < r->count; i++) {
        struct zone *z = node->list[i];

        if ((r->gfp & GFP_THISNODE) && z->node != w->node)
            break;
        if (z->kind <= gfp_zone(r->gfp))
            got += zone_try(w, z, r, got, depth);
    }
    return got;
}

/* One round over all that can be given up. */
static uint64_t shrink(struct worker *w)
{
    uint64_t freed = object_shrink(w) + slab_shrink(w);

    for (unsigned i = 0; i < shrinker_count; i++)
        freed += shrinkers[i]->scan(w, SHRINK_PAGES);
    return freed;
}

/* Is it a chunk that is wanted? Tables come out of a free block. */
static bool wants_chunk(const struct request *r)
{
    return r->order || (r->gfp & GFP_TABLES);
}

/* Idle harts shall see to it that the next one finds one. */
static void background_want(const struct worker *w, const struct request *r)
{
    const struct node *node = &nodes[w->node];

    work_wanted = true;
    if (!wants_chunk(r) || !node->count)
        return;
    for (uint32_t i = 0; i < node->count; i++) {
        if (node->list[i]->kind <= gfp_zone(r->gfp)) {
            compact_want(node->list[i], r->order ? r->order : BLOCK_ORDER);
            return;
        }
    }
}

static uint64_t zones_slow(struct worker *w, const struct request *r)
{
    enum depth depth = r->gfp & GFP_MEMALLOC ? DEPTH_NOTHING : DEPTH_MIN;
    uint64_t got;

    mm_count(w, alloc_slow);
    if (r->gfp & GFP_BACKGROUND_RECLAIM)
        background_want(w, r);
    got = zones_try(w, r, depth);
    if (got || !(r->gfp & GFP_DIRECT_RECLAIM))
        return got;
    mm_count(w, alloc_stall);
    uint64_t freed = pages_drain_all(w);
    for (unsigned round = 0; !got && round < ROUNDS_MAX; round++) {
        bool compacted = wants_chunk(r) && compact_direct(w, r);
        if (!compacted)
            freed += shrink(w);
        pages_drain(w);
        if (!freed && !compacted)
            break;
        got = zones_try(w, r, depth);
        freed = 0;
        if (r->gfp & GFP_NORETRY)
            break;
    }
    return got;
}

uint64_t zones_request(struct worker *w, const struct request *r)
{
    uint64_t got = zones_try(w, r, DEPTH_LOW);

    if (likely(got))
        return got;
    got = zones_slow(w, r);
    if (!got && !(r->gfp & GFP_NOWARN))
        oom_report(w, r);
    return got;
}

/* Is there a zone below its mark that had pages to give? */
static bool zones_below(enum zone_mark mark)
{
    zone_for_each(z)
    {
        if (z->managed && zone_free_data(z) < z->mark[mark])
            return true;
    }
    return false;
}

bool zones_plenty(const struct worker *w, uint64_t pages)
{
    const struct node *node = &nodes[w->node];

    for (uint32_t i = 0; i < node->count; i++) {
        const struct zone *z = node->list[i];

        if (zone_spare(z, z->mark[MARK_HIGH], ZONE_MOVABLE) > pages)
            return true;
    }
    return false;
}

/* Keep some memory described ahead of those who ask. */
static bool grow_ahead(struct worker *w)
{
    zone_for_each(z)
    {
        uint64_t ready = z->area[ORDER_MAX][MIGRATE_MOVABLE].chunks;

        if (!z->deferred_pages || ready >= GROWN_AHEAD || !lock_try(&z->lock))
            continue;
        bool grown = zone_grow_locked(w, z);
        lock_drop(&z->lock);
        if (grown)
            return true;
    }
    return false;
}

bool zones_idle(struct worker *w)
{
    if (w->drain_wanted) {
        pages_drain(w);
        return true;
    }
    if (work_wanted) {
        work_wanted = zones_below(MARK_HIGH) && shrink(w) != 0;
        return true;
    }
    return grow_ahead(w);
}
