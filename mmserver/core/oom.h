/* What is logged when an allocation finds nothing. */
#ifndef MMSERVER_CORE_OOM_H
#define MMSERVER_CORE_OOM_H

#include "mmserver/core/zone.h"

/* Say what was asked for, what each zone has, and what used pages are used for. Only the 1st, 2nd,
 * 4th, 8th... failure is said. Takes no lock. */
void oom_report(struct worker *w, const struct request *r);

/* Pages by state over all described memory; free pages that are not described count as free. Looks
 * without locks: exact only when nothing else runs. */
void phys_count_states(uint64_t pages[PAGE_STATES]);

#endif
