/*
 * The map of physical memory, for MM_REPORT_MEMMAP: one line of a fixed length for each 2 MiB block
 * that has descriptors, so that parts of the text which are read at different moments fit together,
 * and any part is made without those before it.
 */
#ifndef MMSERVER_CORE_MEMMAP_H
#define MMSERVER_CORE_MEMMAP_H

#include "mmserver/core/text.h"
#include "mmserver/core/zone.h"

/* Pages of a block, which add up to PAGES_PER_BLOCK. */
struct memmap_block {
    struct zone *zone; /* NULL: no memory of ours */
    enum migrate_type type;
    uint64_t free, listed, movable, other, none;
    int order; /* of the largest free chunk; -1: none */
};
struct memmap_block memmap_look(pfn_t block);

void memmap_report(struct text *t);
/* That block's line, then its pages, a letter each. Nothing if there is no such block. */
void memmap_report_block(struct text *t, uint64_t number);

#endif
