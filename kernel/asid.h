/*
 * Address space identifiers: numbers with generations, under the kernel lock.
 *
 * A number belongs to one space for a whole generation, also after the space is gone: so what a
 * hart still remembers under it is never taken for another space's. When the numbers are used up a
 * new generation begins: spaces that are active on a hart or pinned keep their numbers, all others
 * ask for a new one when they are activated next, and each hart forgets everything before that
 * (hart->asid_flush_wanted).
 */
#ifndef KERNEL_ASID_H
#define KERNEL_ASID_H

#include "kernel/space.h"

static inline uint64_t asid_number(const struct space *s)
{
    return __atomic_load_n(&s->asid, __ATOMIC_RELAXED) & ASID_NUMBER_MASK;
}

/* The space, which runs nowhere, gets a number of this generation if it has none: 0 if all are
 * taken. With a new number no hart holds translations of it. */
void asid_refresh(struct space *s);
/* Would activating the space leave its number as it is? */
bool asid_is_current(const struct space *s);
/* A pinned space keeps its number through all generations. */
void asid_pin(struct space *s);
void asid_unpin(struct space *s);

#endif
