/*
 * Memory that lies in a row, more of it than the buddy allocator keeps together, or a particular
 * range: what is in the way is moved out of it.
 *
 *   isolate   the range's blocks, so that what becomes free in them stays there
 *   move      what can be moved, to where there is room
 *   take      the range out of the lists, all of it or nothing
 *   release   the blocks: what is free in them beside the range is anybody's again
 *
 * If any of that fails, what was done is undone; pages that moved stay where they are now, whole.
 * Two ranges that share a block keep each other out while they last (-LINUX_EBUSY), so the caller
 * needs no lock; it holds none, as isolate.h says.
 *
 * What was got is PAGE_USED, in naturally aligned pieces that do not cross a block.
 */
#ifndef MMSERVER_CORE_CONTIG_H
#define MMSERVER_CORE_CONTIG_H

#include "mmserver/core/zone.h"

#define CONTIG_ANY_NODE (~0U)

/* Pages [first, first + count), all of one zone. 0; -LINUX_EBUSY: something there cannot be moved,
 * or not now; -LINUX_ENOMEM: nowhere to move it to; -LINUX_EINVAL: not memory of one zone. */
long contig_alloc(struct worker *w, pfn_t first, uint64_t count);
/* `count` pages at a multiple of `align` (a power of two), of a node or any; 0: none found. */
pfn_t contig_alloc_pages(struct worker *w, uint64_t count, uint64_t align, uint32_t node);
/* Back, all of it or any part. */
void contig_free(struct worker *w, pfn_t first, uint64_t count);
void contig_set_state(pfn_t first, uint64_t count, enum page_state state);

#endif
