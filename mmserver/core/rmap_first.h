/*
 * rmap_prepare() without a call, for the first page of a VMA that nothing touches: the anon_vma is
 * a root with one VMA. It is whole but for its tree before anybody can see it. The tree gets its
 * chain, which is a part of the VMA, behind the exchange that says who of several faults brings the
 * anon_vma; the family's lock is held from before that, as in rmap_prepare_slow().
 */
#ifndef MMSERVER_CORE_RMAP_FIRST_H
#define MMSERVER_CORE_RMAP_FIRST_H

#include "mmserver/core/caches.h"
#include "mmserver/core/slab.h"
#include "mmserver/core/vma.h"

/* A root that is nobody's yet. */
static inline void anon_vma_root(struct anon_vma *a)
{
    a->parent = a;
    a->family = (uintptr_t)a / 64 % RMAP_FAMILIES;
}

/* False: it takes more, or waiting; v is as it was. */
static inline bool rmap_first(struct worker *w, struct vma *v)
{
    const struct vma *above = v->next, *below = v->prev;
    struct anon_vma *a, *none = NULL;

    if ((above && above->start == v->end) || (below && below->end == v->start) ||
        unlikely(!(a = slab_pop(w, anon_vma_cache))))
        return false;
    anon_vma_root(a);
    a->children = a->active_vmas = 1; /* itself; v */
    struct lock *lock = rmap_lock_of(a);
    bool locked = lock_try(lock);
    if (likely(locked && __atomic_compare_exchange_n(&v->anon, &none, a, false, __ATOMIC_ACQ_REL,
                                                     __ATOMIC_RELAXED))) {
        v->chain.vma = v;
        v->chain.anon = a;
        interval_insert_only(&a->tree, &v->chain.interval, v->offset, v->offset + vma_pages(v) - 1);
        lock_drop(lock);
        return true;
    }
    if (locked)
        lock_drop(lock);
    slab_push(w, anon_vma_cache, a); /* where it was taken from a moment ago */
    return locked;                   /* another fault was first */
}

#endif
