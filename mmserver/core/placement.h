/*
 * Where mappings go: the rules of Linux for addresses that a program leaves to the system, and
 * their randomisation.
 */
#ifndef MMSERVER_CORE_PLACEMENT_H
#define MMSERVER_CORE_PLACEMENT_H

#include "mmserver/core/mm.h"

enum placement_random {
    PLACEMENT_FIXED,  /* nothing is random */
    PLACEMENT_RANDOM, /* stack, mmap area, position-independent programs */
    PLACEMENT_ALL,    /* and brk */
};

/* For programs that do not ask for less (ADDR_NO_RANDOMIZE); set at start-up. */
extern uint64_t placement_level;
/* No mapping of a program lies below. */
extern uint64_t placement_lowest;

/* Set the mm's stack top and the base of its mmap area, for a program about to be loaded. */
void placement_plan(struct mm *mm, enum placement_random level);
/* Where a position-independent program goes; `interpreter`: or the one that loads it. */
vaddr_t placement_program(const struct mm *mm, enum placement_random level);
/* Where the heap begins if the program ends at `end`. */
vaddr_t placement_heap(vaddr_t end, enum placement_random level);
/* A stack pointer not above `sp`, aligned to 16. */
vaddr_t placement_stack_pointer(vaddr_t sp, enum placement_random level);

/*
 * Room for `bytes` (whole pages), at the hint if that is free and clear of a stack's guard, else
 * top-down below the mmap area's base, else bottom-up. 0: there is none. `align`: 0, or a power of
 * two above a page. *above: the first VMA that ends above it.
 */
vaddr_t placement_find(struct mm *mm, vaddr_t hint, uint64_t bytes, uint64_t align,
                       struct vma **above);

#endif
