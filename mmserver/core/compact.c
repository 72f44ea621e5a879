/* See compact.h. */
#include "mmserver/core/compact.h"
#include "mmserver/core/isolate.h"

#define BLOCKS_ONCE     256                   /* passed over in a step */
#define SCAN_ONCE       (2 * PAGES_PER_BLOCK) /* descriptors looked at in a step */
#define STEPS_DIRECT    128                   /* for one who waits: 16 MiB moved at most */
#define DEFER_SHIFT_MAX 6
#define INDEX_MIN       500 /* below it a chunk is missing because memory is, not for its state */
#define COSTLY_ORDER    3   /* up to here it is tried whatever the index says */
#define SPARE_BLOCKS    4   /* free memory below that is not worth gathering ahead */
#define MARGIN_PERCENT  10  /* between the marks where background work begins and ends */

uint64_t compact_proactiveness = 20;

/* ---- which blocks take part ---- */

static bool block_takes_part(const struct zone *z, pfn_t block, uint8_t hint)
{
    if (!page_is_ready(block) || (*phys_block(block) & hint))
        return false;
    const struct page *page = page_of(block);
    enum migrate_type type = page_type(page);
    return zone_of(page) == z && (type == MIGRATE_MOVABLE || type == MIGRATE_CMA);
}

static void block_mark(struct zone *z, pfn_t block, uint8_t hint)
{
    if (!page_is_ready(block))
        return;
    lock_take(&z->lock);
    *phys_block(block) |= hint;
    lock_drop(&z->lock);
}

/* A page that stays where it is makes emptying the rest useless for those who want a whole block.
 */
static bool block_is_source(const struct zone *z, pfn_t block, const struct compact_goal *goal)
{
    if (!block_takes_part(z, block, BLOCK_NOT_FROM))
        return false;
    struct block_account a = block_account(block);
    return a.movable && (goal->whole || goal->order < BLOCK_ORDER || !a.other);
}

/* Is it, or its half of a larger chunk, free as a whole? */
static bool block_is_free(pfn_t block)
{
    const struct page *page = page_of(block);
    pfn_t lower = block & ~(CHUNK_PAGES_MAX - 1);

    if (page->state == PAGE_FREE && page->order >= BLOCK_ORDER)
        return true;
    return page_is_ready(lower) && page_of(lower)->state == PAGE_FREE &&
           page_of(lower)->order == ORDER_MAX;
}

static bool block_is_target(const struct zone *z, pfn_t block)
{
    return block_takes_part(z, block, BLOCK_NOT_TO) && !block_is_free(block);
}

/* ---- a pass ---- */

static void hints_forget(struct zone *z)
{
    lock_take(&z->lock);
    for (pfn_t block = ROUND_DOWN(z->start, PAGES_PER_BLOCK); block < z->end;
         block += PAGES_PER_BLOCK) {
        if (page_is_ready(block))
            *phys_block(block) &= (uint8_t) ~(BLOCK_NOT_FROM | BLOCK_NOT_TO);
    }
    lock_drop(&z->lock);
}

static void pass_begin(struct zone *z)
{
    struct compaction *c = &z->compact;

    c->migrate_at = ROUND_DOWN(z->start, PAGES_PER_BLOCK);
    c->free_at = ROUND_UP(z->end, PAGES_PER_BLOCK);
    c->moved = 0;
    if (c->flush)
        hints_forget(z);
    c->flush = false;
}

static bool pass_is_over(const struct compaction *c)
{
    return ROUND_DOWN(c->migrate_at, PAGES_PER_BLOCK) + PAGES_PER_BLOCK >= c->free_at;
}

static bool has_chunk(const struct zone *z, const struct compact_goal *goal)
{
    for (unsigned order = goal->order; order < ORDERS; order++) {
        for (unsigned type = 0; type < MIGRATE_CMA; type++) {
            if (z->area[order][type].chunks)
                return true;
        }
        if (goal->type == MIGRATE_MOVABLE && z->area[order][MIGRATE_CMA].chunks)
            return true;
    }
    return z->deferred_pages != 0;
}

/* On to the next block; one that gave nothing is not looked at again soon. */
static void source_done(struct zone *z, pfn_t block)
{
    if (!z->compact.moved)
        block_mark(z, block, BLOCK_NOT_FROM);
    z->compact.migrate_at = block + PAGES_PER_BLOCK;
    z->compact.moved = 0;
}

/* Pages to move, all of one block: up to COMPACT_BATCH. */
static uint64_t sources_find(struct zone *z, const struct compact_goal *goal, pfn_t *from)
{
    struct compaction *c = &z->compact;
    uint64_t budget = SCAN_ONCE, count = 0;

    for (unsigned looked = 0; looked < BLOCKS_ONCE && budget && !pass_is_over(c); looked++) {
        pfn_t block = ROUND_DOWN(c->migrate_at, PAGES_PER_BLOCK);

        if (c->migrate_at == block && !block_is_source(z, block, goal)) {
            c->migrate_at += PAGES_PER_BLOCK;
            continue;
        }
        while (count < COMPACT_BATCH &&
               isolate_next(z, &c->migrate_at, block + PAGES_PER_BLOCK, &budget, &from[count]))
            count++;
        if (count)
            break;
        if (c->migrate_at >= block + PAGES_PER_BLOCK)
            source_done(z, block);
    }
    return count;
}

/* Free pages to move to: up to `count`. */
static uint64_t targets_find(struct zone *z, pfn_t *to, uint64_t count)
{
    struct compaction *c = &z->compact;
    uint64_t got = 0;

    for (unsigned looked = 0; looked < BLOCKS_ONCE && got < count && !pass_is_over(c); looked++) {
        pfn_t block = c->free_at - PAGES_PER_BLOCK;

        if (block_is_target(z, block)) {
            got += isolate_free(z, block, to + got, count - got);
            if (got == count)
                break;
            block_mark(z, block, BLOCK_NOT_TO);
        }
        c->free_at = block;
    }
    return got;
}

/* Of pages from[0 .. count) of one block, as many as there are targets for. What is left over goes
 * back, and so do the places that became free. */
static void pages_move(struct worker *w, struct zone *z, const pfn_t *from, uint64_t count,
                       const pfn_t *to, uint64_t room)
{
    pfn_t done[COMPACT_BATCH];
    uint64_t moved = 0;

    for (uint64_t i = 0; i < count && moved < room; i++) {
        if (page_move(w, from[i], to[moved]))
            mm_count(w, compact_busy);
        else
            done[moved++] = from[i];
    }
    isolate_give_back(z, done, moved);
    isolate_give_back(z, to + moved, room - moved);
    z->compact.moved += moved;
    mm_count_add(w, compact_moved, moved);
}

static enum compact_result step(struct worker *w, struct zone *z, const struct compact_goal *goal)
{
    struct compaction *c = &z->compact;
    pfn_t from[COMPACT_BATCH], to[COMPACT_BATCH];

    mm_count(w, compact_step);
    if (!c->migrate_at)
        pass_begin(z);
    uint64_t count = sources_find(z, goal, from);
    if (count) {
        pfn_t block = ROUND_DOWN(from[0], PAGES_PER_BLOCK);

        pages_move(w, z, from, count, to, targets_find(z, to, count));
        if (c->migrate_at >= block + PAGES_PER_BLOCK)
            source_done(z, block);
    }
    if (!goal->whole && has_chunk(z, goal))
        return COMPACT_THERE;
    if (!pass_is_over(c))
        return COMPACT_GO_ON;
    c->migrate_at = 0;
    mm_count(w, compact_pass);
    return COMPACT_OVER;
}

enum compact_result compact_step(struct worker *w, struct zone *z, const struct compact_goal *goal)
{
    if (w->ops_count || __atomic_exchange_n(&z->compact.busy, 1, __ATOMIC_ACQUIRE))
        return COMPACT_OCCUPIED;
    enum compact_result result = step(w, z, goal);
    __atomic_store_n(&z->compact.busy, 0, __ATOMIC_RELEASE);
    return result;
}

/* ---- deferral ---- */

static bool is_deferred(struct compaction *c, unsigned order)
{
    if (order < c->order_failed)
        return false;
    if (++c->considered < 1UL << c->defer_shift)
        return true;
    c->considered = 1UL << c->defer_shift;
    return false;
}

/* At the longest deferral, blocks that gave nothing get another chance. */
static void defer(struct compaction *c, unsigned order)
{
    c->considered = 0;
    c->flush = c->defer_shift == DEFER_SHIFT_MAX;
    c->defer_shift = min_u64(c->defer_shift + 1, DEFER_SHIFT_MAX);
    c->order_failed = min_u64(c->order_failed, order);
}

static void defer_reset(struct compaction *c, unsigned order)
{
    c->considered = c->defer_shift = 0;
    c->order_failed = max_u64(c->order_failed, order + 1UL);
}

static void outcome_note(struct compaction *c, enum compact_result result, unsigned order)
{
    if (result == COMPACT_THERE)
        defer_reset(c, order);
    else if (result == COMPACT_OVER)
        defer(c, order);
}

/* ---- for one who waits ---- */

/* Is what is missing order, not memory? */
static bool is_suitable(const struct zone *z, const struct compact_goal *goal, enum zone_kind kind)
{
    long index = zone_fragmentation_index(z, goal->order);

    return !has_chunk(z, goal) &&
           zone_spare(z, z->mark[MARK_MIN], kind) >= (1UL << goal->order) + COMPACT_BATCH &&
           (goal->order <= COSTLY_ORDER || index > INDEX_MIN || index < 0);
}

static bool zone_compact(struct worker *w, struct zone *z, const struct compact_goal *goal)
{
    enum compact_result result = COMPACT_GO_ON;

    mm_count(w, compact_direct);
    for (unsigned steps = 0; steps < STEPS_DIRECT && result == COMPACT_GO_ON; steps++)
        result = compact_step(w, z, goal);
    outcome_note(&z->compact, result, goal->order);
    if (result == COMPACT_THERE)
        mm_count(w, compact_success);
    return result == COMPACT_THERE;
}

bool compact_direct(struct worker *w, const struct request *r)
{
    const struct node *node = &nodes[w->node];
    bool tables = r->gfp & GFP_TABLES; /* a free block is what those need */
    const struct compact_goal goal = {.order = tables ? BLOCK_ORDER : r->order,
                                      .type = gfp_type(r->gfp)};

    for (uint32_t i = 0; i < node->count && !w->ops_count; i++) {
        struct zone *z = node->list[i];

        if ((r->gfp & GFP_THISNODE) && z->node != w->node)
            break;
        if (z->kind > gfp_zone(r->gfp) || !is_suitable(z, &goal, gfp_zone(r->gfp)))
            continue;
        if (is_deferred(&z->compact, goal.order))
            mm_count(w, compact_deferred);
        else if (zone_compact(w, z, &goal))
            return true;
    }
    return false;
}

/* ---- in the background ---- */

void compact_want(struct zone *z, unsigned order)
{
    const struct compact_goal goal = {.order = order, .type = MIGRATE_UNMOVABLE};
    struct compaction *c = &z->compact;

    if (!is_suitable(z, &goal, ZONE_NORMAL) ||
        (order >= c->order_failed && c->considered + 1 < 1UL << c->defer_shift))
        return;
    c->wanted = max_u64(c->wanted, order + 1UL);
}

/* Thousandths of the free memory that whole blocks do not hold. */
static bool is_scattered(const struct zone *z, uint64_t percent)
{
    return compact_proactiveness && zone_free_data(z) >= SPARE_BLOCKS * PAGES_PER_BLOCK &&
           zone_unusable_index(z, BLOCK_ORDER) > (long)percent * 10;
}

static bool is_wanted(struct zone *z)
{
    struct compaction *c = &z->compact;
    uint64_t low = 100 - min_u64(compact_proactiveness, 100);

    if (c->wanted)
        return true;
    if (c->proactive)
        c->proactive = is_scattered(z, low);
    else if (is_scattered(z, min_u64(low + MARGIN_PERCENT, 99)))
        c->proactive = true;
    if (c->proactive && c->rest) {
        c->rest--;
        return false;
    }
    return c->proactive;
}

/* A pass that changed little is followed by ever longer rests. */
static void background_over(struct compaction *c, bool reached)
{
    c->wanted = 0;
    c->proactive = false;
    c->rest_shift = reached ? 0 : min_u64(c->rest_shift + 1, DEFER_SHIFT_MAX);
    c->rest = reached ? 0 : 1UL << c->rest_shift;
    c->flush = true;
}

static bool zone_idle_step(struct worker *w, struct zone *z)
{
    struct compaction *c = &z->compact;
    const struct compact_goal goal = {.order = c->wanted ? (unsigned)c->wanted - 1 : BLOCK_ORDER,
                                      .type = MIGRATE_UNMOVABLE,
                                      .whole = !c->wanted};
    enum compact_result result = compact_step(w, z, &goal);

    if (!goal.whole)
        outcome_note(c, result, goal.order);
    if (result == COMPACT_THERE || result == COMPACT_OVER)
        background_over(c, result == COMPACT_THERE);
    return result == COMPACT_GO_ON;
}

bool compact_idle(struct worker *w)
{
    zone_for_each(z)
    {
        if (z->managed && is_wanted(z) && zone_idle_step(w, z))
            return true;
    }
    return false;
}

/* ---- because somebody asked ---- */

static void all_begin(void)
{
    zone_for_each(z)
    {
        z->compact.migrate_at = 0;
        z->compact.flush = true;
        z->compact.whole = z->managed != 0;
    }
}

bool compact_all(struct worker *w, bool begin)
{
    static const struct compact_goal goal = {.type = MIGRATE_MOVABLE, .whole = true};

    if (begin) {
        pages_drain_all(w);
        all_begin();
    }
    zone_for_each(z)
    {
        if (!z->compact.whole)
            continue;
        enum compact_result result = compact_step(w, z, &goal);
        if (result == COMPACT_OVER) {
            z->compact.whole = false;
            z->compact.flush = true;
        }
        return true;
    }
    return false;
}
