/*
 * Large calls in parts. A worker stands above all programs of its hart, so the longest of its turns
 * is how long they all may have to wait. A call that takes much away does a part of it and has its
 * client make the same call again: between the parts others run, at the client's priority, and the
 * server keeps nothing of it, nor does a register of the client change.
 *
 * Pages go first, from the bottom up, and what they were mapped by stays until all that is left is
 * one part, which is then the whole call as ever: so nobody else can have got the place meanwhile.
 * What can fail is done before the first page goes. Other threads of the program may see memory
 * that is just being taken away as empty.
 *
 * A signal that comes between two parts finds the program at its ecall.
 */
#ifndef MMSERVER_CORE_PART_H
#define MMSERVER_CORE_PART_H

#include "mmserver/core/mm.h"

/* What one part takes away, at most: leaf tables with all that is in them, or huge pages. */
#define PART_TABLES 40
#define PART_PAGES  (PART_TABLES * TABLE_ENTRIES)
#define PART_HUGE   320
/* Whoever brings pages back as fast as they go is not waited for for ever. */
#define PARTS_MAX 1024

/* May [start, end) be too much for one part? */
static inline bool part_is_less(const struct mm *mm, vaddr_t start, vaddr_t end)
{
    return unlikely(end - start > PART_TABLES * BLOCK_BYTES) && mm_resident(mm) > PART_PAGES;
}
bool part_zap_slow(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end);
/*
 * mm locked and settled, and no huge page has an end of the range inside it. Is it too much for one
 * part? Then a part of its pages has gone, and the client that is served, whose mm it is, is going
 * to make its call again, which is to be answered with its first argument. Calls on behalf of
 * another client have no parts.
 */
static inline bool part_zap(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end)
{
    return part_is_less(mm, start, end) && part_zap_slow(w, mm, start, end);
}

#endif
