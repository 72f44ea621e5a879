/*
 * A huge page gets out of the way of who needs the memory it lies in: it moves as a whole where
 * there is a free piece of its size, or becomes small pages where it is, which can be moved.
 *
 * As it is mapped by one leaf only, its reverse map is a walk that ends at one mm, which is seized
 * (rmap_walk.h) and stays so until the page has moved; the family's lock is not needed then. So
 * what is allocated meanwhile may move other pages, only none of that mm.
 *
 * Pages of the pool (hugetlb.h) stay where they are: they are allocated as unmovable ones, so none
 * lies in a CMA area or in zone MOVABLE.
 */
#ifndef MMSERVER_CORE_HUGE_MOVE_H
#define MMSERVER_CORE_HUGE_MOVE_H

#include "mmserver/core/mm.h"

/* For movable_ops.move_block: the huge page at `from` is elsewhere, its memory free; or it is small
 * pages. 0; -LINUX_EAGAIN: it was busy, or has gone; -LINUX_ENOMEM: neither is possible. */
long huge_move(struct worker *w, pfn_t from);

#endif
