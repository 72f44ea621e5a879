/*
 * CMA areas: memory that the device tree keeps for devices which need it in a row (reserved-memory
 * with `reusable`). While no device has it, it is lent to movable pages: its blocks are of type
 * MIGRATE_CMA. An allocation takes a part of the area back by moving out what is in it.
 *
 * A bitmap per area says which pages are allocated. Its lock (LOCK_PHYS) is held for the bitmap
 * alone, never while pages are moved: the bits of a range are set first and taken back if it could
 * not be emptied.
 */
#ifndef MMSERVER_CORE_CMA_H
#define MMSERVER_CORE_CMA_H

#include "mmserver/core/contig.h"
#include "mmserver/core/text.h"

#define CMA_AREAS_MAX 8
#define CMA_DEFAULT   (~0UL) /* the area of whoever names none */

struct cma_area {
    struct lock lock;
    pfn_t first;
    uint64_t count; /* pages */
    uint64_t used;
    uint64_t *bitmap;
    uint64_t shared;     /* bool: the tree says that anybody may allocate from it */
    uint64_t is_default; /* bool: linux,cma-default */
    uint64_t allocated, failed, released; /* calls */
};

extern struct cma_area cma_areas[CMA_AREAS_MAX];
extern uint32_t cma_count;

/* At the start, with object caches there: an area for each reusable region of memblock. One for
 * whose bitmap there is no memory stays lent for good. */
void cma_init(struct worker *w);
/* `count` pages of area number `area` or CMA_DEFAULT at a multiple of 2^align_order, PAGE_USED in
 * pieces (contig.h); 0: not to be had. No lock held. */
pfn_t cma_alloc(struct worker *w, uint64_t area, uint64_t count, unsigned align_order);
/* Back: all of what one cma_alloc() gave. False: that is not allocated, and nothing was done. */
bool cma_release(struct worker *w, pfn_t first, uint64_t count);
/* Pages of all areas, */
uint64_t cma_pages(void);
/* a line for each, and their sums as /proc/vmstat has them. */
void cma_report(struct text *t);
void cma_report_vmstat(struct text *t);
/* Bits against counts: how many areas are wrong, logged if `say`. */
uint64_t cma_check(bool say);

#endif
