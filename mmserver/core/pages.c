/*
 * The interface of the page allocator: single pages through per-hart lists, chunks straight from
 * the zones.
 *
 *   hot      movable pages of the hart's node: what clients get, and give back
 *   zeroed   the same, cleared while the hart was idle
 *   stock    unmovable and reclaimable ones, for the server itself
 *   tables   pages of tables blocks, for page tables
 *
 * A list belongs to its hart's worker and needs no lock; what passes between lists and zones goes
 * in batches. How much a list may hold depends on the size of memory and the number of harts. Who
 * is short of memory asks the other harts to drain their lists (drain_wanted); each does it itself.
 *
 * Every page that comes back is looked at: a page that is not in use, or not of the order named, is
 * a bug of the server, and the last thing it does is to say what is known of the page.
 */
#include "mmserver/core/clear.h"
#include "mmserver/core/client.h"
#include "mmserver/core/numa.h"
#include "mmserver/core/text.h"
#include "mmserver/core/zone.h"

#define HOT_SHARE        64  /* all hot lists together hold at most 1/64 of memory, */
#define STOCK_SHARE      256 /* a stock 1/256 */
#define HOT_MIN          16UL
#define DRAIN_WAIT_TICKS 20000 /* some 2 ms: a worker in the middle of something may not come */
#define STOCK_MIN        8UL

/* Not inline: clang takes these 2 and 4 KiB for a few instructions, and branches over them too
 * short. */
__attribute__((noinline)) void page_clear(void *page)
{
    page_clear_here(page, phys.clear_blocks);
}

void page_copy(void *to, const void *from)
{
    page_copy_here(to, from);
}

uint64_t pages_zeroed_max = ZEROED_PAGES_MAX;

void pages_worker_init(struct worker *w)
{
    uint64_t harts = worker_count ? worker_count : 1;

    w->linear_base = place_linear_base;
    w->pages_bias = phys.pages_bias;
    w->clear_blocks = phys.clear_blocks;
    w->hot_high = max_u64(HOT_MIN, min_u64(HOT_PAGES_MAX, phys.total_pages / (HOT_SHARE * harts)));
    w->hot_batch = w->hot_high * HOT_BATCH / HOT_PAGES_MAX;
    w->zeroed_high =
        min_u64(pages_zeroed_max, max_u64(HOT_MIN, phys.total_pages / (HOT_SHARE * harts)));
    w->stock_high =
        max_u64(STOCK_MIN, min_u64(STOCK_PAGES_MAX, phys.total_pages / (STOCK_SHARE * harts)));
    w->node = min_u64(numa_node_of_hart(w->hart), NODES_MAX - 1);
    w->hot_home = HOME(MIGRATE_MOVABLE, w->node << HOME_NODE_SHIFT);
}

/* ---- bad pages ---- */

static _Noreturn __attribute__((noinline)) void page_bad(const struct page *page, unsigned order,
                                                         uintptr_t caller)
{
    text_log("page %lx freed by %lx with order %lu is %s, order %lu, %lu times mapped, owner %lx, "
             "index %lx; last freed by (or private) %lx",
             page_number(page), caller, (uint64_t)order,
             page->state < PAGE_STATES ? page_state_text[page->state] : "garbage",
             (uint64_t)page->order, (uint64_t)page->maps, (uint64_t)(uintptr_t)page->owner,
             page->index, page->private);
    place_panic(__FILE__, __LINE__, "a page is freed that is not in use so");
}

#define CALLER ((uintptr_t)__builtin_return_address(0))

/* In use, of that order, and mapped nowhere? */
static inline void page_check(const struct page *page, unsigned order, uintptr_t caller)
{
    const uint64_t whole = 0xffffffffUL | 0xffUL << (32 + KIND_ORDER_SHIFT);

    if (unlikely(page->state < PAGE_USED || (page->tag & whole) != (uint64_t)order
                                                                       << (32 + KIND_ORDER_SHIFT)))
        page_bad(page, order, caller);
}

/* ---- between lists and zones ---- */

/* How many pages from pages[0] on follow each other upwards (+1) or downwards (-1) in one block. */
static uint64_t run_length(const pfn_t *pages, uint64_t count, pfn_t step)
{
    const uint32_t same = ~0xffffU;
    pfn_t pfn = pages[0];
    uint32_t kind = page_of(pfn)->kind & same;
    uint64_t n = 1;

    for (; n < count; n++) {
        pfn += step;
        if (pages[n] != pfn || (pfn ^ pages[0]) >> BLOCK_ORDER ||
            (page_of(pfn)->kind & same) != kind)
            break;
    }
    return n;
}

/* Single pages [first, end) of one block and zone, as the chunks that they make up. */
static void run_free_locked(struct zone *z, pfn_t first, pfn_t end)
{
    while (first < end) {
        unsigned order = 0;

        while (!(first & ((2UL << order) - 1)) && first + (2UL << order) <= end)
            order++;
        for (pfn_t tail = first + 1; tail < first + (1UL << order); tail++)
            page_of(tail)->state = PAGE_TAIL;
        buddy_free_locked(z, page_of(first), order);
        first += 1UL << order;
    }
}

/* Free single pages that are in no list any more. They were often got in a row. */
static void pages_to_zones(const pfn_t *pages, uint64_t count)
{
    struct zone *held = NULL;

    for (uint64_t i = 0, n; i < count; i += n) {
        bool up = i + 1 < count && pages[i + 1] > pages[i];
        struct zone *z = zone_of(page_of(pages[i]));

        n = run_length(pages + i, count - i, up ? 1UL : ~0UL);
        if (z != held) {
            if (held)
                lock_drop(&held->lock);
            lock_take(&z->lock);
            held = z;
        }
        pfn_t first = up ? pages[i] : pages[i + n - 1];
        run_free_locked(z, first, first + n);
    }
    if (held)
        lock_drop(&held->lock);
}

static void list_drain(pfn_t *list, uint64_t *count, uint64_t keep)
{
    uint64_t had = *count;

    if (had <= keep)
        return;
    *count = keep;
    pages_to_zones(list + keep, had - keep);
}

static uint64_t list_fill(struct worker *w, pfn_t *list, uint64_t count, gfp_t gfp)
{
    const struct request r = {.gfp = gfp, .state = PAGE_HOT, .count = count, .pages = list};

    mm_count(w, page_refill);
    return zones_request(w, &r);
}

static bool hot_fill(struct worker *w, gfp_t gfp)
{
    w->hot_count = list_fill(w, w->hot, w->hot_batch, gfp);
    return w->hot_count != 0;
}

void pages_drain(struct worker *w)
{
    list_drain(w->hot, &w->hot_count, 0);
    list_drain(w->zeroed, &w->zeroed_count, 0);
    list_drain(w->tables, &w->tables_count, 0);
    for (unsigned i = 0; i < ARRAY_COUNT(w->stock); i++)
        list_drain(w->stock[i].page, &w->stock[i].count, 0);
    __atomic_store_n(&w->drain_wanted, 0, __ATOMIC_RELEASE);
    mm_count(w, page_drain);
}

static uint64_t pages_in_list(const struct worker *w)
{
    return w->hot_count + w->zeroed_count + w->tables_count + w->stock[0].count + w->stock[1].count;
}

uint64_t pages_in_lists(void)
{
    uint64_t total = 0;

    for (uint32_t i = 0; i < worker_count; i++)
        total += pages_in_list(&workers[i]);
    return total;
}

/* A hart's lists are its worker's alone: it is told to drain them, by a signal that interrupts the
 * client it runs. */
static void drain_ask(struct worker *other)
{
    __atomic_store_n(&other->drain_wanted, 1, __ATOMIC_RELEASE);
    mm_assert(!place_signal(other->signal_slot));
}

static bool drains_pending(const struct worker *w)
{
    for (uint32_t i = 0; i < worker_count; i++) {
        if (&workers[i] != w && __atomic_load_n(&workers[i].drain_wanted, __ATOMIC_ACQUIRE))
            return true;
    }
    return false;
}

/*
 * The wait is for a moment only: a worker that is in the middle of something may be waiting for a
 * lock that this one holds. What it drains later, a later allocation finds.
 */
uint64_t pages_drain_all(struct worker *w)
{
    uint64_t before = pages_in_lists(), until;

    pages_drain(w);
    for (uint32_t i = 0; i < worker_count; i++) {
        if (&workers[i] != w && pages_in_list(&workers[i]))
            drain_ask(&workers[i]);
    }
    until = place_ticks() + DRAIN_WAIT_TICKS;
    while (drains_pending(w) && place_ticks() < until)
        place_relax();
    uint64_t now = pages_in_lists();
    return before > now ? before - now : 0;
}

uint64_t pages_free_total(void)
{
    return zones_free() + pages_in_lists();
}

/* ---- single pages ---- */

static pfn_t zeroed_take(struct worker *w)
{
    pfn_t pfn = w->zeroed[--w->zeroed_count];

    page_of(pfn)->state = PAGE_USED;
    mm_count(w, page_alloc);
    return pfn;
}

static inline pfn_t page_give(struct worker *w, pfn_t pfn)
{
    page_of(pfn)->state = PAGE_USED;
    mm_count(w, page_alloc);
    return pfn;
}

/*
 * All processes stand still when the process personality has no memory, and fall when it is killed:
 * it may have the last page, unless that is for a client. One at a time, so that what is left does
 * not end in a list for everybody.
 */
static uint64_t last_page(struct worker *w, pfn_t *list, gfp_t gfp)
{
    const struct client *c = w->serving;

    return c && c->personality && !w->for_clients ? list_fill(w, list, 1, gfp | GFP_MEMALLOC) : 0;
}

/* The list is empty. Pages zeroed ahead are pages too, before anything is reclaimed. */
static __attribute__((noinline)) pfn_t hot_slow(struct worker *w, gfp_t gfp)
{
    if (w->drain_wanted)
        pages_drain(w);
    if (!hot_fill(w, (gfp & ~(gfp_t)GFP_DIRECT_RECLAIM) | GFP_NOWARN)) {
        if (w->zeroed_count)
            return zeroed_take(w);
        if (!hot_fill(w, gfp) && !(w->hot_count = last_page(w, w->hot, gfp))) {
            mm_count(w, page_alloc_failed);
            return 0;
        }
    }
    return page_give(w, w->hot[--w->hot_count]);
}

static __attribute__((noinline)) pfn_t stock_slow(struct worker *w, struct page_stock *s, gfp_t gfp)
{
    if (w->drain_wanted)
        pages_drain(w);
    s->count =
        list_fill(w, s->page, w->stock_high / 2, (gfp & ~(gfp_t)GFP_DIRECT_RECLAIM) | GFP_NOWARN);
    if (!s->count) {
        if (w->zeroed_count)
            return zeroed_take(w);
        s->count = list_fill(w, s->page, 1, gfp);
        if (!s->count && !(s->count = last_page(w, s->page, gfp))) {
            mm_count(w, page_alloc_failed);
            return 0;
        }
    }
    return page_give(w, s->page[--s->count]);
}

static inline struct page_stock *stock_of(struct worker *w, enum migrate_type type)
{
    return &w->stock[type != MIGRATE_UNMOVABLE];
}

static inline pfn_t hot_take(struct worker *w, gfp_t gfp)
{
    if (unlikely(!w->hot_count))
        return hot_slow(w, gfp);
    return page_give(w, w->hot[--w->hot_count]);
}

static inline pfn_t hot_take_zeroed(struct worker *w, gfp_t gfp)
{
    if (likely(w->zeroed_count))
        return zeroed_take(w);
    pfn_t pfn = hot_take(w, gfp);
    if (pfn)
        page_clear(page_pointer(pfn));
    return pfn;
}

pfn_t page_alloc_user(struct worker *w)
{
    return place_alloc_fails() ? 0 : hot_take(w, GFP_USER);
}

pfn_t page_alloc_user_zeroed(struct worker *w)
{
    return place_alloc_fails() ? 0 : hot_take_zeroed(w, GFP_USER);
}

static pfn_t stock_alloc(struct worker *w, enum migrate_type type, gfp_t gfp)
{
    struct page_stock *s = stock_of(w, type);

    if (place_alloc_fails())
        return 0;
    if (unlikely(!s->count))
        return stock_slow(w, s, gfp);
    return page_give(w, s->page[--s->count]);
}

pfn_t page_alloc(struct worker *w)
{
    return stock_alloc(w, MIGRATE_UNMOVABLE, GFP_KERNEL);
}

pfn_t page_alloc_zeroed(struct worker *w)
{
    pfn_t pfn = page_alloc(w);

    if (pfn)
        page_clear(page_pointer(pfn));
    return pfn;
}

/* Lists are for what may come from anywhere near. */
static bool gfp_is_special(gfp_t gfp)
{
    return (gfp & (GFP_TABLES | GFP_DMA32 | GFP_THISNODE | GFP_MEMALLOC | GFP_HIGH)) != 0;
}

static inline void account(struct worker *w, gfp_t gfp, uint64_t pages)
{
    if (unlikely(gfp & GFP_ACCOUNT))
        w->count[MMCOUNT_page_alloc_account] += pages;
}

static pfn_t single_alloc(struct worker *w, gfp_t gfp)
{
    enum migrate_type type = gfp_type(gfp);

    if (type == MIGRATE_MOVABLE) {
        if (place_alloc_fails())
            return 0;
        return gfp & GFP_ZERO ? hot_take_zeroed(w, gfp) : hot_take(w, gfp);
    }
    pfn_t pfn = stock_alloc(w, type, gfp);
    if (pfn && (gfp & GFP_ZERO))
        page_clear(page_pointer(pfn));
    return pfn;
}

pfn_t page_alloc_gfp(struct worker *w, gfp_t gfp)
{
    if (gfp_is_special(gfp))
        return pages_alloc(w, 0, gfp);
    pfn_t pfn = single_alloc(w, gfp);
    account(w, gfp, pfn != 0);
    return pfn;
}

static __attribute__((noinline)) void page_free_slow(struct worker *w, struct page *page, pfn_t pfn)
{
    enum migrate_type type = page_type(page);
    bool near = zone_of(page)->node == w->node;

    mm_assert(type != MIGRATE_TABLES);
    mm_count(w, page_free);
    page->state = PAGE_HOT;
    if (near && type == MIGRATE_MOVABLE) {
        list_drain(w->hot, &w->hot_count, w->hot_high - w->hot_batch);
        mm_count(w, page_drain);
        w->hot[w->hot_count++] = pfn;
    } else if (near && (type == MIGRATE_UNMOVABLE || type == MIGRATE_RECLAIMABLE)) {
        struct page_stock *s = stock_of(w, type);

        if (s->count >= w->stock_high)
            list_drain(s->page, &s->count, w->stock_high / 2);
        s->page[s->count++] = pfn;
    } else {
        pages_to_zones(&pfn, 1);
    }
}

/* In use, alone, and mapped nowhere? As page_check() with order 0. */
static inline void page_check_single(const struct page *page, uintptr_t caller)
{
    if (unlikely(page->state < PAGE_USED || (page->maps | page->order)))
        page_bad(page, 0, caller);
}

void page_free(struct worker *w, pfn_t pfn)
{
    struct page *page = (struct page *)(w->pages_bias + pfn * sizeof(struct page));
    /* Where it differs from the movable pages of this node: not at all, or in the type only. */
    uint64_t away = page->home ^ w->hot_home;
    const uint64_t unmovable = MIGRATE_MOVABLE << HOME_TYPE_SHIFT; /* ^ MIGRATE_UNMOVABLE */

    page_check_single(page, CALLER);
    if (likely(away <= HOME_KIND_MASK) && likely(w->hot_count < w->hot_high)) {
        page_free_hot(w, page, pfn, CALLER);
        return;
    }
    page->private = CALLER;
    if (away - unmovable <= HOME_KIND_MASK && w->stock[0].count < w->stock_high) {
        page->state = PAGE_HOT;
        w->stock[0].page[w->stock[0].count++] = pfn;
    } else {
        page_free_slow(w, page, pfn);
        return;
    }
    mm_count(w, page_free);
}

void page_free_list(struct worker *w, struct page_list *list)
{
    struct page *page = LIST_FIRST(list);

    while (page) {
        struct page *next = LIST_NEXT(page, link);

        page_free(w, page_number(page));
        page = next;
    }
    LIST_INIT(list);
}

/* ---- many single pages ---- */

/* The last `count` pages of the list, the last first; the list has them. */
static void list_take(pfn_t *list, uint64_t *have, uint64_t count, pfn_t *pages)
{
    uintptr_t bias = phys.pages_bias;
    const pfn_t *from = list + *have, *end = from - count;

    *have -= count;
#pragma GCC unroll 8
    while (from != end) {
        pfn_t pfn = *--from;

        ((struct page *)(bias + pfn * sizeof(struct page)))->state = PAGE_USED;
        *pages++ = pfn;
    }
}

/* What is at hand, then straight from the zones. */
static uint64_t bulk_from(struct worker *w, pfn_t *list, uint64_t *have, uint64_t count,
                          pfn_t *pages, gfp_t gfp)
{
    uint64_t got = min_u64(count, *have);

    list_take(list, have, got, pages);
    if (got < count) {
        const struct request r = {
            .gfp = gfp, .state = PAGE_USED, .count = count - got, .pages = pages + got};

        got += zones_request(w, &r);
    }
    return got;
}

uint64_t page_alloc_bulk(struct worker *w, uint64_t count, pfn_t *pages, gfp_t gfp)
{
    enum migrate_type type = gfp_type(gfp);
    uint64_t zeroed = 0, got;

    if (!count || place_alloc_fails())
        return 0;
    if ((gfp & GFP_ZERO) && type == MIGRATE_MOVABLE && !gfp_is_special(gfp)) {
        zeroed = min_u64(count, w->zeroed_count);
        list_take(w->zeroed, &w->zeroed_count, zeroed, pages);
    }
    if (zeroed == count) {
        got = count;
    } else if (gfp_is_special(gfp)) {
        uint64_t none = 0;
        got = bulk_from(w, pages, &none, count, pages, gfp);
    } else if (type == MIGRATE_MOVABLE) {
        got = zeroed + bulk_from(w, w->hot, &w->hot_count, count - zeroed, pages + zeroed, gfp);
    } else {
        struct page_stock *s = stock_of(w, type);
        got = bulk_from(w, s->page, &s->count, count, pages, gfp);
    }
    if (gfp & GFP_ZERO) {
        for (uint64_t i = zeroed; i < got; i++)
            page_clear(page_pointer(pages[i]));
    }
    w->count[MMCOUNT_page_alloc] += got;
    account(w, gfp, got);
    if (!got)
        mm_count(w, page_alloc_failed);
    return got;
}

#define BULK_STEP 8

/* Into the hot list, if its descriptor is just like `tag`. */
static inline bool page_to_hot(pfn_t *to, pfn_t pfn, uint64_t tag, uintptr_t bias, uintptr_t caller)
{
    struct page *page = (struct page *)(bias + pfn * sizeof(struct page));

    if (unlikely(page->tag != tag))
        return false;
    page->private = caller;
    page->state = PAGE_HOT;
    *to = pfn;
    return true;
}

/* As many as are alike; how many. In steps of BULK_STEP, in which a page costs 8 instructions. */
static inline uint64_t pages_to_hot(pfn_t *to, const pfn_t *pages, uint64_t count, uint64_t tag,
                                    uintptr_t caller)
{
    uintptr_t bias = phys.pages_bias;
    uint64_t done = 0;

    for (; count - done >= BULK_STEP; done += BULK_STEP) {
#pragma GCC unroll 8
        for (unsigned i = 0; i < BULK_STEP; i++) {
            if (!page_to_hot(&to[done + i], pages[done + i], tag, bias, caller))
                return done + i;
        }
    }
    while (done < count && page_to_hot(&to[done], pages[done], tag, bias, caller))
        done++;
    return done;
}

/*
 * The list is full: what follows each other in a block goes straight back as the chunks it makes
 * up, if its descriptors are all alike. How many; 0 if there are fewer than BULK_STEP.
 */
static uint64_t run_to_zone(struct worker *w, const pfn_t *pages, uint64_t count, uintptr_t caller)
{
    struct page *first = page_of(pages[0]), *page = first;
    uint64_t tag = first->tag, n = 1;
    long step = count > 1 && pages[1] < pages[0] ? -1 : 1;
    pfn_t pfn = pages[0], left = PAGES_PER_BLOCK - 1 - (pfn & (PAGES_PER_BLOCK - 1));

    if (count < BULK_STEP)
        return 0;
    page_check_single(first, caller);
    mm_assert(page_type(first) != MIGRATE_TABLES);
    count = min_u64(count, 1 + (step < 0 ? PAGES_PER_BLOCK - 1 - left : left));
    for (; n < count; n++) {
        pfn += (pfn_t)step;
        page += step;
        if (pages[n] != pfn || page->tag != tag)
            break;
        page->state = PAGE_TAIL;
    }
    first->state = PAGE_TAIL;
    struct zone *z = zone_of(first);
    pfn = min_u64(pages[0], pages[n - 1]);
    lock_take(&z->lock);
    zone_add_free_locked(z, pfn, pfn + n);
    lock_drop(&z->lock);
    w->count[MMCOUNT_page_free] += n;
    return n;
}

void page_free_bulk(struct worker *w, uint64_t count, const pfn_t *pages)
{
    const pfn_t *end = pages + count;

    while (pages != end) {
        if (w->hot_count == w->hot_high) {
            uint64_t gone = run_to_zone(w, pages, (uint64_t)(end - pages), CALLER);

            pages += gone;
            if (gone)
                continue;
        }
        uint64_t had = w->hot_count, tag = page_of(*pages)->tag;

        /* The first is looked at in full; those that are just like it need no second look. */
        page_free(w, *pages++);
        if (w->hot_count != had + 1)
            continue;
        uint64_t room = min_u64((uint64_t)(end - pages), w->hot_high - w->hot_count);
        uint64_t done = pages_to_hot(w->hot + w->hot_count, pages, room, tag, CALLER);

        pages += done;
        w->hot_count += done;
        w->count[MMCOUNT_page_free] += done;
    }
}

bool pages_stay_here(const struct worker *w, uint64_t count, const pfn_t *pages)
{
    bool near = w->hot_count + count <= w->hot_high;

    for (uint64_t i = 0; i < count && near; i++)
        near = (page_of(pages[i])->home ^ w->hot_home) <= HOME_KIND_MASK;
    return near;
}

/* ---- chunks ---- */

pfn_t pages_alloc(struct worker *w, unsigned order, gfp_t gfp)
{
    pfn_t pfn = 0;
    const struct request r = {
        .gfp = gfp, .order = order, .state = PAGE_USED, .count = 1, .pages = &pfn};

    mm_assert(order <= ORDER_MAX);
    if (place_alloc_fails())
        return 0;
    if (!zones_request(w, &r)) {
        mm_count(w, page_alloc_failed);
        return 0;
    }
    account(w, gfp, 1UL << order);
    if (gfp & GFP_ZERO) {
        for (pfn_t i = 0; i < 1UL << order; i++)
            page_clear(page_pointer(pfn + i));
    }
    return pfn;
}

void pages_free(struct worker *w, pfn_t pfn, unsigned order)
{
    struct page *page = page_of(pfn);
    struct zone *z = zone_of(page);

    (void)w;
    page_check(page, order, CALLER);
    page->private = CALLER;
    lock_take(&z->lock);
    buddy_free_locked(z, page, order);
    lock_drop(&z->lock);
}

static unsigned order_for(uint64_t count)
{
    unsigned order = 0;

    while (1UL << order < count)
        order++;
    return order;
}

/* `count` pages from a chunk's start are pieces of falling order, one for each bit of `count`. */
#define pieces_for_each(pfn, count, piece, o)                                                 \
    for (pfn_t piece = (pfn), pieces_left_ = (count); pieces_left_;)                          \
        for (unsigned o = 63 - (unsigned)__builtin_clzl(pieces_left_); pieces_left_ >> o & 1; \
             piece += 1UL << o, pieces_left_ ^= 1UL << o)

pfn_t pages_alloc_exact(struct worker *w, uint64_t count, gfp_t gfp)
{
    unsigned order = order_for(count);

    mm_assert(count > 0 && count <= CHUNK_PAGES_MAX);
    pfn_t pfn = pages_alloc(w, order, gfp);
    if (!pfn || count == 1UL << order)
        return pfn;
    struct page *first = page_of(pfn);
    struct zone *z = zone_of(first);
    pieces_for_each(pfn, count, piece, o)
    {
        page_of(piece)->maps = 0;
        page_of(piece)->state = PAGE_USED;
        page_of(piece)->order = (uint8_t)o;
    }
    /* The rest, from its end, in pieces that grow towards it. */
    lock_take(&z->lock);
    for (pfn_t at = pfn + count, end = pfn + (1UL << order); at < end;) {
        unsigned o = (unsigned)__builtin_ctzl(at);

        buddy_free_locked(z, page_of(at), o);
        at += 1UL << o;
    }
    lock_drop(&z->lock);
    return pfn;
}

void pages_free_exact(struct worker *w, pfn_t pfn, uint64_t count)
{
    pieces_for_each(pfn, count, piece, o) pages_free(w, piece, o);
}

void pages_set_state(pfn_t pfn, uint64_t count, enum page_state state)
{
    pieces_for_each(pfn, count, piece, o) page_of(piece)->state = (uint8_t)state;
}

/* ---- pages of tables blocks ---- */

pfn_t page_alloc_table(struct worker *w)
{
    if (place_alloc_fails())
        return 0;
    if (!w->tables_count)
        w->tables_count = list_fill(w, w->tables, TABLE_PAGES_KEPT / 2, GFP_TABLE);
    if (!w->tables_count) {
        mm_count(w, page_alloc_failed);
        return 0;
    }
    pfn_t pfn = w->tables[--w->tables_count];
    page_of(pfn)->state = PAGE_TABLE;
    return pfn;
}

void page_free_table(struct worker *w, pfn_t pfn)
{
    struct page *page = page_of(pfn);

    mm_assert(page->state == PAGE_TABLE && page_type(page) == MIGRATE_TABLES);
    if (w->tables_count == TABLE_PAGES_KEPT)
        list_drain(w->tables, &w->tables_count, TABLE_PAGES_KEPT / 2);
    page->private = CALLER;
    page->state = PAGE_HOT;
    w->tables[w->tables_count++] = pfn;
}

/* ---- ahead of time ---- */

unsigned pages_zero_ahead(struct worker *w, unsigned limit)
{
    unsigned done = 0;

    while (done < limit && w->zeroed_count < w->zeroed_high) {
        /* Not at the cost of the last pages: this is a convenience. */
        if (!w->hot_count &&
            (!zones_plenty(w, w->hot_batch) || !hot_fill(w, GFP_MOVABLE | GFP_NOWARN)))
            break;
        pfn_t pfn = w->hot[--w->hot_count];
        struct page *page = page_of(pfn);

        page_clear(page_pointer(pfn));
        page->state = PAGE_ZEROED;
        w->zeroed[w->zeroed_count++] = pfn;
        mm_count(w, page_zeroed_ahead);
        done++;
    }
    return done;
}
