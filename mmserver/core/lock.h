/*
 * Spin locks. A worker that holds one is always running (it is above every client in priority, and
 * no other worker shares its hart), so a wait is bounded. Never held across a call that can wait
 * for another worker.
 *
 * Lock order, outermost first:
 *
 *   LOCK_IDS      the tables of mms, clients and capability slots
 *   LOCK_MM       one address space: its VMAs, its page tables, its accounting
 *   LOCK_OBJECT     the list of files and their cached pages
 *   LOCK_ANON     a family of anon_vmas: their trees (rmap.h)
 *   LOCK_LEAF     a leaf table's entries
 *   LOCK_SLAB     the object caches
 *   LOCK_PHYS     the page allocator
 *
 * No two of the same rank are held together. Host builds check the order at run time.
 */
#ifndef MMSERVER_CORE_LOCK_H
#define MMSERVER_CORE_LOCK_H

#include "mmserver/core/assert.h"
#include "mmserver/core/place.h"

enum lock_rank { LOCK_IDS, LOCK_MM, LOCK_OBJECT, LOCK_ANON, LOCK_LEAF, LOCK_SLAB, LOCK_PHYS };

struct lock {
    uint64_t held; /* bool, of the size that the machine's registers have */
    uint64_t rank; /* enum lock_rank */
};

#define LOCK_INIT(r) ((struct lock){0, (r)})

#ifdef PAGODA_HOST
/* Bits of the ranks that the running (simulated) worker holds. */
extern uint32_t lock_ranks_held;
static inline void lock_check_take(const struct lock *l)
{
    mm_assert(lock_ranks_held >> l->rank == 0);
    lock_ranks_held |= 1u << l->rank;
}
static inline void lock_check_drop(const struct lock *l)
{
    mm_assert(lock_ranks_held & 1u << l->rank);
    lock_ranks_held &= ~(1u << l->rank);
}
#else
static inline void lock_check_take(const struct lock *l)
{
    (void)l;
}
static inline void lock_check_drop(const struct lock *l)
{
    (void)l;
}
#endif

static inline void lock_take(struct lock *l)
{
    lock_check_take(l);
    while (unlikely(__atomic_exchange_n(&l->held, 1, __ATOMIC_ACQUIRE)))
        place_relax();
}

/* Only if it is free. */
static inline bool lock_try(struct lock *l)
{
    if (unlikely(__atomic_exchange_n(&l->held, 1, __ATOMIC_ACQUIRE)))
        return false;
    lock_check_take(l);
    return true;
}

static inline void lock_drop(struct lock *l)
{
    lock_check_drop(l);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    *(volatile uint64_t *)&l->held = 0; /* a plain store is all that is needed behind the fence */
}

static inline bool lock_is_held(const struct lock *l)
{
    return __atomic_load_n(&l->held, __ATOMIC_RELAXED) != 0;
}

#endif
