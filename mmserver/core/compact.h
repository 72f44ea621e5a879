/*
 * Compaction: free memory that is scattered becomes free chunks, by moving the pages in between.
 *
 * Two scanners walk a zone by 2 MiB blocks. The one from the bottom looks for pages to move away,
 * the one from the top for free pages to move them to; where they meet, a pass is over. So free
 * memory gathers at the bottom and used memory at the top (the scheme of Linux's mm/compaction.c).
 *
 *     start                migrate_at              free_at                   end
 *       | free | free | free | used.. -> ... -> ..free | full | full | full |
 *
 * Blocks of types movable and CMA take part; blocks that gave nothing are marked and passed over
 * until a pass that looks again. Blocks that are wholly free are no place to move to.
 *
 * The work is done in steps of at most COMPACT_BATCH pages, and what there is to know between two
 * steps is in the zone: so the only worker of a hart stays at hand. Who makes a step has the zone
 * for that time (`busy`); others pass it by. A step needs what isolate.h says of locks.
 *
 *   direct      somebody waits for a chunk: steps until there is one, or the pass is over. After a
 *               pass in vain the zone is left alone for that order the next 1, 2, 4 .. 64 times
 *   background  an idle hart works on a zone where a chunk was missed, or where more than
 *               110 - compact_proactiveness percent of the free memory is in parts of blocks
 *   whole       all zones from end to end, because somebody asked
 */
#ifndef MMSERVER_CORE_COMPACT_H
#define MMSERVER_CORE_COMPACT_H

#include "mmserver/core/zone.h"

#define COMPACT_BATCH 32

enum compact_result {
    COMPACT_GO_ON,   /* a step was made */
    COMPACT_THERE,   /* there is a free chunk as wanted */
    COMPACT_OVER,    /* the scanners met, and there is none */
    COMPACT_OCCUPIED /* another worker is at it */
};

/* What is wanted: a chunk of that order for that type; or, if whole, as much as can be. */
struct compact_goal {
    unsigned order;
    enum migrate_type type;
    bool whole;
};

/* In percent, as Linux's vm.compaction_proactiveness; 0: nothing without a request. */
extern uint64_t compact_proactiveness;

enum compact_result compact_step(struct worker *w, struct zone *z, const struct compact_goal *goal);
/* For an allocation that may use these zones and found no chunk: true if now there is one. */
bool compact_direct(struct worker *w, const struct request *r);
/* Somebody did not get a chunk of that order: idle harts see to it. */
void compact_want(struct zone *z, unsigned order);
/* One step of background work; true: more is welcome. */
bool compact_idle(struct worker *w);
/* One step of the compaction of all zones, from their ends if `begin`; false: it is over. */
bool compact_all(struct worker *w, bool begin);

#endif
