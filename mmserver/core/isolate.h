/*
 * Moving pages out of the way: what compaction and contiguous allocation share.
 *
 * Whether a page can be moved, and how, depends on who owns it, so on its state: each state may
 * have operations. Anonymous pages go through the reverse map (rmap_walk.h); owners of other states
 * register theirs, before anything of that state is allocated.
 *
 * Who moves pages holds no lock from LOCK_OBJECT on, and has gathered nothing in the worker's
 * operation page. It may hold an mm, whose own pages are then busy.
 */
#ifndef MMSERVER_CORE_ISOLATE_H
#define MMSERVER_CORE_ISOLATE_H

#include "mmserver/core/zone.h"

struct movable_ops {
    /* Could it be moved? A guess without a lock; a page that is pinned for long says no. */
    bool (*possible)(const struct page *page);
    /* The content and all that refers to it go to `to`, which is the caller's (PAGE_USED); then
     * `from` is. 0; -LINUX_EAGAIN: it was busy, or has gone; -LINUX_ENOMEM. Nothing has changed
     * then. */
    long (*move)(struct worker *w, pfn_t from, pfn_t to);
    /* One allocation of a whole block leaves it, or becomes single pages, which can be moved then.
     * Errors as above. NULL: it stays. */
    long (*move_block)(struct worker *w, pfn_t from);
};

/* NULL: pages of that state stay where they are. */
extern const struct movable_ops *movable[PAGE_STATES];

/* Operations for a state that has none. `ops` stays the caller's and must stay there. */
void movable_register(enum page_state state, const struct movable_ops *ops);

/* Is it a page of a kind that moves, whether this one can or not? */
static inline bool page_is_of_movable_kind(const struct page *page)
{
    return movable[page->state] != NULL;
}
static inline bool page_can_move(const struct page *page)
{
    const struct movable_ops *ops = movable[page->state];

    return ops && !page->order && ops->possible(page);
}
/* Move it: see movable_ops.move. */
long page_move(struct worker *w, pfn_t from, pfn_t to);
/* The same for what takes a whole block: see movable_ops.move_block. */
long page_move_block(struct worker *w, pfn_t from);

/*
 * One page at or behind *at and before `end`, of zone `z`, that can be moved; *at goes on behind
 * it. False: none. Looks at `budget` descriptors at most, and takes off what it used; with 0 left
 * it may have stopped early.
 */
bool isolate_next(const struct zone *z, pfn_t *at, pfn_t end, uint64_t *budget, pfn_t *found);

/* Up to `count` single free pages of block [block, block + PAGES_PER_BLOCK) of the zone, PAGE_USED,
 * from its end downwards. Unlocked. How many. */
uint64_t isolate_free(struct zone *z, pfn_t block, pfn_t *pages, uint64_t count);
/* Single pages (PAGE_USED, of this zone) go straight to the zone, where they merge. */
void isolate_give_back(struct zone *z, const pfn_t *pages, uint64_t count);

#endif
