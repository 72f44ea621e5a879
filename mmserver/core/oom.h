/* What is logged when an allocation finds nothing, and whose end makes room. */
#ifndef MMSERVER_CORE_OOM_H
#define MMSERVER_CORE_OOM_H

#include "mmserver/core/zone.h"

/* Say what was asked for, what each zone has, and what used pages are used for. Only the 1st, 2nd,
 * 4th, 8th... failure is said. Takes no lock. */
void oom_report(struct worker *w, const struct request *r);

/* Pages by state, of a zone or (NULL) of all; memory that is not described yet counts as free.
 * Looks without locks: exact only when nothing else runs. */
void phys_count_states(const struct zone *z, uint64_t pages[PAGE_STATES]);

#define OOM_ADJUST_MAX   1000    /* MM_LIMIT_OOM_ADJUST is between -this and this: */
#define OOM_ADJUST_NEVER (-1000) /* it is not to be ended */

struct mm;
/* oom_score of /proc/PID. */
uint64_t oom_score(const struct mm *mm);
/* No lock held: the id of the mm whose processes' end gives most, or 0. */
uint64_t oom_choose(struct worker *w);

#endif
