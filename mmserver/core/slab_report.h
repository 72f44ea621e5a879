/* What is seen of object caches. */
#ifndef MMSERVER_CORE_SLAB_REPORT_H
#define MMSERVER_CORE_SLAB_REPORT_H

#include "mmserver/core/text.h"

/* /proc/slabinfo. objsize is the distance from object to object, debugging included. */
void slab_report_info(struct text *t);
/* Every object is in exactly one place, every count is exact: how many things are wrong, each
 * logged if `say`. Other harts may be in motion: see check_all(). */
uint64_t slab_check(bool say);

#endif
