/*
 * Nodes and zones. A node is memory that is equally near; a zone is a part of a node's memory that
 * some allocations must or must not use:
 *
 *   DMA32    below 4 GiB        devices with 32-bit addresses; on a small machine all there is
 *   NORMAL   the rest
 *   MOVABLE  the upper part of each node that kernelcore= or movablecore= sets apart: movable pages
 *            only, so that it can always be emptied
 *
 * An allocation walks the zone list of its hart's node: nodes by distance, in each node the highest
 * kind that it may use first. A zone is passed over when its free pages would fall below the mark
 * plus what it keeps for allocations that can go nowhere else (`reserve`). Marks and reserves are
 * computed as Linux does (min_free_kbytes, watermark_scale_factor 10, lowmem_reserve_ratio).
 *
 * Lock: zone->lock (LOCK_PHYS) guards lists, counts and the descriptors of free pages; no two zones
 * are locked together. Functions named _locked want it.
 */
#ifndef MMSERVER_CORE_ZONE_H
#define MMSERVER_CORE_ZONE_H

#include "mmserver/core/phys.h"

enum zone_mark { MARK_MIN, MARK_LOW, MARK_HIGH, MARKS };

/* Free memory whose descriptors were not written yet: whole chunks of CHUNK_PAGES_MAX pages. */
struct deferred {
    pfn_t next, end;
    uint32_t slot;
};

/* Free chunks of one order and type. */
struct free_area {
    struct page_list list;
    uint64_t chunks;
};

/* Where the compaction of a zone stands (compact.h). */
struct compaction {
    uint64_t busy;    /* bool: a worker makes a step */
    pfn_t migrate_at; /* what is below has been emptied as far as it goes; 0: a pass begins */
    pfn_t free_at;    /* what is from here on has been filled */
    uint64_t moved;   /* in the block that is being emptied */
    uint64_t flush;   /* bool: the next pass looks at all blocks again */
    uint64_t considered, defer_shift, order_failed; /* deferral, as Linux */
    uint64_t wanted;           /* 1 + order that somebody did not get; 0: none */
    uint64_t whole;            /* bool: the pass goes on to its end whatever is free */
    uint64_t proactive;        /* bool: the free memory is being gathered without a request */
    uint64_t rest, rest_shift; /* idle steps to let pass after a pass that gained nothing */
};

#define MIGRATE_ROOM 8  /* a power of two, for the sake of indexing */
#define DEFERRED_MAX 64 /* runs in one zone */

struct zone {
    struct lock lock;
    uint8_t home; /* its bits of page->home */
    uint8_t node;
    uint8_t kind;     /* enum zone_kind */
    pfn_t start, end; /* spanned */
    uint64_t present; /* pages of memory */
    uint64_t managed; /* pages that were given to the allocator */
    uint64_t mark[MARKS];
    uint64_t reserve[ZONE_KINDS];  /* kept from allocations that could use zones up to that kind */
    uint64_t free[MIGRATE_TYPES];  /* pages, by the type of their chunk; with deferred ones */
    uint64_t block[MIGRATE_TYPES]; /* 2 MiB blocks whose descriptors are written, by type */
    uint64_t deferred_pages;
    uint32_t deferred_count;
    struct deferred deferred[DEFERRED_MAX];
    struct compaction compact;
    struct free_area area[ORDERS][MIGRATE_ROOM];
};

struct node {
    struct zone *list[ZONES_MAX]; /* zones with memory, best first */
    uint32_t count;
    uint32_t present; /* bool: has memory */
};

extern struct zone zones[ZONES_MAX]; /* by page->home & HOME_ZONE_MASK; most are empty */
extern struct node nodes[NODES_MAX];
extern const char *const zone_text[ZONE_KINDS];

#define zone_for_each(z)                                     \
    for (struct zone *z = zones; z < zones + ZONES_MAX; z++) \
        if (z->present)

static inline struct zone *zone_of(const struct page *page)
{
    return &zones[page->home & HOME_ZONE_MASK];
}
/* Free pages that ordinary allocations could get. */
static inline uint64_t zone_free_data(const struct zone *z)
{
    return z->free[MIGRATE_UNMOVABLE] + z->free[MIGRATE_MOVABLE] + z->free[MIGRATE_RECLAIMABLE] +
           z->free[MIGRATE_CMA];
}
static inline uint64_t zone_free(const struct zone *z)
{
    return zone_free_data(z) + z->free[MIGRATE_ISOLATE] + z->free[MIGRATE_TABLES];
}
static inline enum zone_kind gfp_zone(gfp_t gfp)
{
    return gfp & GFP_DMA32 ? ZONE_DMA32 : gfp & GFP_MOVABLE ? ZONE_MOVABLE : ZONE_NORMAL;
}
static inline enum migrate_type gfp_type(gfp_t gfp)
{
    return gfp & GFP_TABLES        ? MIGRATE_TABLES
           : gfp & GFP_MOVABLE     ? MIGRATE_MOVABLE
           : gfp & GFP_RECLAIMABLE ? MIGRATE_RECLAIMABLE
                                   : MIGRATE_UNMOVABLE;
}

/* zone.c: which memory is whose, before anything is free; then the zone lists and marks. The
 * arguments of the command line are kernelcore=, movablecore= and min_free_kbytes=. */
void zones_init(const char *args);
/* Note memory of a node, free or not, before zones_cut(). */
void zones_add_memory(pfn_t first, pfn_t end, uint32_t node);
/* All memory is known: decide where MOVABLE begins in each node. */
void zones_cut(void);
/* The zone that a page of a node lies in, and the end of that zone's part of [first, end). */
struct zone *zone_at(pfn_t first, pfn_t *end, uint32_t node);
/* Memory is in the zones' lists: compute lists, marks and reserves. */
void zones_finish(void);
/* The zone lists alone, by the distances between nodes. */
void zones_order(void);
uint64_t zones_min_free_kbytes(void);
/* 0: as computed. False: that is too much. */
bool zones_min_free_set(uint64_t kib);
/* Free pages above `mark` that an allocation which may use zones up to `kind` can get. */
uint64_t zone_spare(const struct zone *z, uint64_t mark, enum zone_kind kind);
/* Over all zones: free pages, those of a type, described blocks of a type. */
uint64_t zones_free(void);
uint64_t zones_free_type(enum migrate_type type);
uint64_t zones_blocks(enum migrate_type type);
/* Linux's estimate of what can be had without hurting anybody, given what is free and cached. */
uint64_t zones_available(uint64_t free, uint64_t cached);
/* Pages free in chunks of at least `order`, deferred ones too. */
uint64_t zone_free_above(const struct zone *z, unsigned order);
/* As Linux: how much of the free memory an allocation of that order cannot use, in thousandths; and
 * whether its failure is for want of memory (0) or because it is scattered (1000). -1000: it would
 * not fail. */
long zone_unusable_index(const struct zone *z, unsigned order);
long zone_fragmentation_index(const struct zone *z, unsigned order);

/* buddy.c. A chunk of that order and type with the state given, or NULL: only what the type's own
 * lists have, */
struct page *buddy_take_locked(struct zone *z, unsigned order, enum migrate_type type,
                               enum page_state state);
/* or from whatever the zone has (block stealing, deferred memory, tables blocks). */
struct page *zone_take_locked(struct worker *w, struct zone *z, unsigned order,
                              enum migrate_type type, enum page_state state);
/* Single pages that are PAGE_`state` each: how many were got. Those that are to be PAGE_HOT are the
 * contents of a list, which is taken from at its end: so they are in falling order. */
uint64_t zone_take_pages_locked(struct worker *w, struct zone *z, enum migrate_type type,
                                uint64_t count, pfn_t *pages, enum page_state state);
void buddy_free_locked(struct zone *z, struct page *page, unsigned order);
/* Lists, and nothing else: for the buddy allocator, and block.c, which changes types. */
static inline void chunk_link(struct zone *z, struct page *page, unsigned order)
{
    enum migrate_type type = page_type(page);
    struct free_area *area = &z->area[order][type];

    LIST_INSERT_HEAD(&area->list, page, link);
    area->chunks++;
    z->free[type] += 1UL << order;
    page->state = PAGE_FREE;
    page->order = (uint8_t)order;
}
static inline void chunk_unlink(struct zone *z, struct page *page)
{
    enum migrate_type type = page_type(page);

    LIST_REMOVE(page, link);
    z->area[page->order][type].chunks--;
    z->free[type] -= 1UL << page->order;
}
/* A free chunk of ORDER_MAX becomes two. */
void chunk_halve_locked(struct zone *z, struct page *page);
/* Write the descriptors of one more chunk of deferred memory; false: there is none left. */
bool zone_grow_locked(struct worker *w, struct zone *z);
/* Free pages [first, end), described and in one zone. */
void zone_add_free_locked(struct zone *z, pfn_t first, pfn_t end);

/*
 * alloc.c: what all allocations come to. Single pages of `state` (order 0, up to `count` of them to
 * `pages`), or one chunk. Fast way: a zone above its low mark. Slow way: ask for background work,
 * go down to the min mark, and if the caller may: drain, reclaim, compact, and try again while that
 * helps; at last say who holds what. How many were got.
 */
struct request {
    gfp_t gfp;
    unsigned order;
    enum page_state state;
    uint64_t count;
    pfn_t *pages;
};
uint64_t zones_request(struct worker *w, const struct request *r);
/* What may be given up under pressure: registered once, at the start. */
struct shrinker {
    const char *name;
    uint64_t (*scan)(struct worker *w, uint64_t pages); /* give up to so many; how many it gave */
};
bool shrinker_register(const struct shrinker *s);
/* Has a zone near this hart more than `pages` above its high mark? */
bool zones_plenty(const struct worker *w, uint64_t pages);
/* One bounded step of background work for the allocator; true: more is welcome. */
bool zones_idle(struct worker *w);

/* block.c: 2 MiB blocks change type here. Turn a free block into a tables block, or a tables block
 * whose pages are all free into an ordinary one. */
bool block_make_tables_locked(struct worker *w, struct zone *z);
bool block_make_data_locked(struct worker *w, struct zone *z);
/* The block gets another type, and what is free in it moves to that type's lists: pages moved. */
uint64_t block_set_type_locked(struct zone *z, pfn_t block, enum migrate_type type);

/*
 * For whoever empties blocks (compaction, contiguous allocation). A block is isolated so that what
 * becomes free in it stays there; then its free pages are taken, its movable pages moved.
 */
/* Unlocked. The type it had, or MIGRATE_TYPES if it is a tables block, isolated, or not ready. */
enum migrate_type block_isolate(pfn_t block);
void block_release(pfn_t block, enum migrate_type type);
/* The type that an isolated block had. */
enum migrate_type block_type_before(pfn_t block);
/* All of [first, end) of one isolated block, if all of it is free: pages in pieces, as
 * contig_free() takes them. Unlocked. */
bool block_take_range(pfn_t first, pfn_t end);
/* The naturally aligned piece that begins at `pfn` and ends by `end`, within a block. */
unsigned block_piece_order(pfn_t pfn, pfn_t end);
/* Unlocked: take the free chunks in [first, end) out of the lists, whatever their type; each
 * becomes PAGE_USED with its order. How many pages. */
uint64_t block_take_free(pfn_t first, pfn_t end, struct page_list *list);
/* The next page at or behind *at and before `end` whose state is one of those that move and that is
 * in a block that is ready; false: none. *at goes on behind it. Looks without a lock: ask its
 * owner. */
bool block_next_movable(pfn_t *at, pfn_t end, struct page **page);
/* Pages of the block that are free (or in harts' lists), movable, and neither. */
struct block_account {
    uint64_t free, movable, other;
};
struct block_account block_account(pfn_t block);

#endif
