/*
 * Spin locks. A worker that holds one is always running (it is above every client in priority, and
 * no other worker shares its hart), so a wait is bounded. Never held across a call that can wait
 * for another worker.
 *
 * Lock order, outermost first:
 *
 *   LOCK_IDS      the tables of mms, clients and capability slots
 *   LOCK_MM       one address space: its VMAs, its page tables, its accounting; readers too (mm.h)
 *   LOCK_OWN      the server's own address space (own.h)
 *   LOCK_OBJECT   objects, page caches, the trees of their mappings
 *   LOCK_ANON     a family of anon_vmas: their trees (rmap.h)
 *   LOCK_LEAF     the entries that are not empty of one leaf table (pt.h, leaf_lock)
 *   LOCK_HUGE     the pool of huge pages (hugetlb.h)
 *   LOCK_SLABS    the list of object caches
 *   LOCK_SLAB     the slabs of one cache
 *   LOCK_PHYS     the page allocator
 *
 * No two of the same rank are held together, but for one that nobody else can know yet (nested).
 * The order is checked at run time in host builds, and in the guest with LOCK_CHECK.
 */
#ifndef MMSERVER_CORE_LOCK_H
#define MMSERVER_CORE_LOCK_H

#include "mmserver/core/assert.h"
#include "mmserver/core/place.h"

enum lock_rank {
    LOCK_IDS,
    LOCK_MM,
    LOCK_OWN,
    LOCK_OBJECT,
    LOCK_ANON,
    LOCK_LEAF,
    LOCK_HUGE,
    LOCK_SLABS,
    LOCK_SLAB,
    LOCK_PHYS
};

struct lock {
    uint64_t held; /* bool, of the size that the machine's registers have */
    uint64_t rank; /* enum lock_rank */
};

#define LOCK_INIT(r) ((struct lock){0, (r)})

#if (defined(PAGODA_HOST) && !defined(PAGODA_BENCH)) || defined(LOCK_CHECK)
/* Of the running worker: bits of the ranks that it holds. */
uint32_t *lock_ranks(void);
static inline void lock_check_take(uint64_t rank)
{
    mm_assert(*lock_ranks() >> rank == 0);
    *lock_ranks() |= 1u << rank;
}
static inline void lock_check_drop(uint64_t rank)
{
    mm_assert(*lock_ranks() & 1u << rank);
    *lock_ranks() &= ~(1u << rank);
}
/* Is one of that rank held? */
static inline void lock_check_held(uint64_t rank)
{
    mm_assert(*lock_ranks() & 1u << rank);
}
#else
static inline void lock_check_take(uint64_t rank)
{
    (void)rank;
}
static inline void lock_check_drop(uint64_t rank)
{
    (void)rank;
}
static inline void lock_check_held(uint64_t rank)
{
    (void)rank;
}
#endif

static inline void lock_take(struct lock *l)
{
    lock_check_take(l->rank);
    while (unlikely(__atomic_exchange_n(&l->held, 1, __ATOMIC_ACQUIRE)))
        place_relax();
}

/* Only if it is free. */
static inline bool lock_try(struct lock *l)
{
    if (unlikely(__atomic_exchange_n(&l->held, 1, __ATOMIC_ACQUIRE)))
        return false;
    lock_check_take(l->rank);
    return true;
}

static inline void lock_drop(struct lock *l)
{
    lock_check_drop(l->rank);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    *(volatile uint64_t *)&l->held = 0; /* a plain store is all that is needed behind the fence */
}

/* The same out of order, by one who will not wait for any of them: it gives up instead. */
static inline bool lock_seize(struct lock *l)
{
    return !__atomic_exchange_n(&l->held, 1, __ATOMIC_ACQUIRE);
}
static inline void lock_let_go(struct lock *l)
{
    __atomic_store_n(&l->held, 0, __ATOMIC_RELEASE);
}

/* A second lock of a rank that is held already: it is new, and nobody can wait for another one
 * while holding it. Who tries the locks of all there are may have it for a moment. */
static inline void lock_take_nested(struct lock *l)
{
    lock_check_held(l->rank);
    while (unlikely(__atomic_exchange_n(&l->held, 1, __ATOMIC_ACQUIRE)))
        place_relax();
}
static inline void lock_drop_nested(struct lock *l)
{
    lock_check_held(l->rank);
    __atomic_store_n(&l->held, 0, __ATOMIC_RELEASE);
}

static inline bool lock_is_held(const struct lock *l)
{
    return __atomic_load_n(&l->held, __ATOMIC_RELAXED) != 0;
}

#endif
