/* Leaf tables that go with all that stands in them. */
#ifndef MMSERVER_CORE_DROP_H
#define MMSERVER_CORE_DROP_H

#include "mmserver/core/pt.h"

/*
 * The mm is locked and settled. Its first leaf tables from `start` on that are rather full than
 * empty go, `most` of them; where the next one may be, mm_user_end or more if there is none. VMAs,
 * huge leaves and all other tables stay. Does nothing where there is device memory.
 */
vaddr_t drop_tables(struct worker *w, struct mm *mm, vaddr_t start, unsigned most);

#endif
