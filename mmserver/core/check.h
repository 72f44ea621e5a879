/* The recount of everything: what the data structures say against what is there. */
#ifndef MMSERVER_CORE_CHECK_H
#define MMSERVER_CORE_CHECK_H

#include "mmserver/core/mm.h"

/*
 * How many things are wrong, each logged. Other harts may be at work: what looks wrong only at the
 * first looks was in motion, and does not count.
 */
uint64_t check_all(struct worker *w);

#endif
