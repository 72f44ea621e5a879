/* A copy of an address space, its private pages shared until one side writes. */
#ifndef MMSERVER_CORE_FORK_H
#define MMSERVER_CORE_FORK_H

#include "mmserver/core/mm.h"

/* Unlocked: a new mm that is as Linux's fork leaves it. 0 and *child, or -LINUX_ENOMEM with nothing
 * made. */
long mm_fork(struct worker *w, struct mm *parent, struct mm **child);

#endif
