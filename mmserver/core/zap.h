/*
 * Taking pages out of an address space. All with the mm locked and settled.
 *
 * A removal gathers old entries and operations; only when the batch was sent, and no hart can reach
 * the pages any more, are they accounted and given back (zap_flush). What is gathered lies in the
 * worker, so one removal at a time.
 */
#ifndef MMSERVER_CORE_ZAP_H
#define MMSERVER_CORE_ZAP_H

#include "mmserver/core/pt.h"

struct zap {
    struct worker *w;
    struct mm *mm;
    uint64_t count; /* entries in w->gather */
    uint32_t huge_count;
    uint64_t huge[BATCH_OPS_MAX]; /* entries of 2 MiB */
};

void zap_begin(struct zap *z, struct worker *w, struct mm *mm);
/* Send what was gathered, then account for the pages and free those that nobody maps any more. */
void zap_flush(struct zap *z);

/* An entry is gone that is not an anonymous page's: account for it. */
void zap_other(struct worker *w, struct mm *mm, uint64_t entry);

/* Is there room for that many more entries and operations? Else flush first. */
static inline bool zap_has_room(const struct zap *z, uint64_t entries, uint64_t ops)
{
    return z->count + entries <= ZAP_GATHER_MAX && z->w->ops_count + ops <= BATCH_OPS_MAX;
}
/* `entry` will be gone; there is room for it. */
static inline void zap_entry(struct zap *z, uint64_t entry)
{
    z->w->gather[z->count++] = entry;
}

/* Empty every leaf entry of [start, end) and free what was behind. Tables stay. No huge leaf
 * has one of the ends inside it (huge_split_edges). */
void zap_range(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end);

/* The same as the last thing that a call does to pages, before ops_unlock(): where only a few pages
 * go that nobody else maps, the operations are not sent, and the pages are left for then. */
void zap_range_last(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end);
/* Free the pages that were left. What is not sent of operations that take them out is sent now,
 * unless all of the pages stay in the hart's own list: the worker does not run again before its
 * answer is performed, and nobody else takes a page from there. */
void zap_left_free(struct worker *w);

/* The same for the whole address space, which has entries only where it has VMAs. */
void zap_all(struct worker *w, struct mm *mm);

#endif
