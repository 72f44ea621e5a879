/*
 * Linking VMAs to anon_vmas: at the first page, at a fork, and whenever a VMA is cut, joined or
 * moved. See rmap.h. Looking a page up is in rmap_walk.c.
 */
#include "mmserver/core/rmap_first.h"
#include "mmserver/core/mm.h"

struct lock rmap_families[RMAP_FAMILIES];

void rmap_init(void)
{
    for (unsigned i = 0; i < RMAP_FAMILIES; i++)
        rmap_families[i] = LOCK_INIT(LOCK_ANON);
}

static uint64_t vma_last_index(const struct vma *v)
{
    return v->offset + vma_pages(v) - 1;
}

/* Family locked. */
static void chain_link(struct anon_chain *c, struct vma *v, struct anon_vma *a)
{
    c->vma = v;
    c->anon = a;
    interval_insert(&a->tree, &c->interval, v->offset, vma_last_index(v));
}

static struct anon_chain *chain_more(struct worker *w, struct vma *v)
{
    struct anon_chain *c = slab_zalloc(w, anon_chain_cache);

    if (c) {
        c->next = v->chain.next;
        v->chain.next = c;
    }
    return c;
}

/* The chain for one more anon_vma: the VMA's own if it is free. NULL without memory. */
static struct anon_chain *chain_make(struct worker *w, struct vma *v)
{
    return v->chain.anon ? chain_more(w, v) : &v->chain;
}

static struct anon_vma *anon_make(struct worker *w, struct anon_vma *parent)
{
    struct anon_vma *a = slab_alloc(w, anon_vma_cache);

    if (!a)
        return NULL;
    RB_INIT(&a->tree);
    a->children = a->active_vmas = 0;
    anon_vma_root(a);
    if (parent) {
        a->parent = parent;
        a->family = parent->family;
    }
    return a;
}

/* Of two neighbours that touch, may the other one use the anon_vma of n, so that the two can merge
 * some day? Rights may differ: mprotect makes such pairs and joins them again. */
static struct anon_vma *anon_of_neighbour(const struct vma *low, const struct vma *high,
                                          const struct vma *n)
{
    struct anon_vma *a = __atomic_load_n(&n->anon, __ATOMIC_ACQUIRE);

    if (!a || n->chain.next || low->object != high->object ||
        ((low->flags ^ high->flags) & ~VM_ACCESS) || vma_last_index(low) + 1 != high->offset)
        return NULL;
    return a;
}

/*
 * Several faults may come here for one VMA; who exchanges v->anon under the lock of the anon_vma
 * that he brings links it. A walk that finds a page of it waits for that lock.
 */
long rmap_prepare_slow(struct worker *w, struct vma *v)
{
    const struct vma *above = vma_next(v), *below = vma_prev(v);
    struct anon_vma *a = NULL, *made = NULL, *none = NULL;

    /* Linux's order: it decides which of two neighbours v can be joined to later. */
    if (above && above->start == v->end)
        a = anon_of_neighbour(v, above, above);
    if (!a && below && below->end == v->start)
        a = anon_of_neighbour(below, v, below);
    if (!a)
        a = made = anon_make(w, NULL);
    if (!a)
        return -LINUX_ENOMEM;
    struct lock *lock = rmap_lock_of(a);
    lock_take(lock);
    bool first =
        __atomic_compare_exchange_n(&v->anon, &none, a, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
    if (first) {
        chain_link(&v->chain, v, a);
        a->active_vmas++;
        a->children += a == made; /* a root is its own parent */
    }
    lock_drop(lock);
    if (!first && made)
        slab_free(w, anon_vma_cache, made);
    return 0;
}

/* Family locked: is it one that a child may take over, as nobody's new pages go there? A root never
 * is: it counts itself and has a child. */
static bool anon_reusable(const struct anon_vma *a)
{
    return !a->active_vmas && a->children < 2;
}

static long chains_copy(struct worker *w, struct vma *to, const struct vma *from, bool fork)
{
    for (const struct anon_chain *c = &from->chain; c && c->anon; c = c->next) {
        struct anon_chain *copy = chain_make(w, to);

        if (!copy) {
            rmap_unlink(w, to);
            return -LINUX_ENOMEM;
        }
        struct lock *lock = rmap_lock_of(c->anon);
        lock_take(lock);
        chain_link(copy, to, c->anon);
        if (fork ? !to->anon && anon_reusable(c->anon) : c->anon == from->anon) {
            to->anon = c->anon;
            to->anon->active_vmas++;
        }
        lock_drop(lock);
    }
    return 0;
}

long rmap_clone(struct worker *w, struct vma *to, const struct vma *from)
{
    mm_assert(!to->anon && !to->chain.anon);
    to->mm = from->mm;
    return chains_copy(w, to, from, false);
}

long rmap_fork(struct worker *w, struct vma *child, const struct vma *parent)
{
    mm_assert(!child->anon && !child->chain.anon && child->mm != parent->mm);
    if (!parent->anon)
        return 0;
    if (chains_copy(w, child, parent, true))
        return -LINUX_ENOMEM;
    if (child->anon)
        return 0;
    struct anon_vma *a = anon_make(w, parent->anon);
    struct anon_chain *c = a ? chain_make(w, child) : NULL;
    if (!c) {
        if (a)
            slab_free(w, anon_vma_cache, a);
        rmap_unlink(w, child);
        return -LINUX_ENOMEM;
    }
    struct lock *lock = rmap_lock_of(a);
    lock_take(lock);
    child->anon = a;
    a->active_vmas = 1;
    a->parent->children++;
    chain_link(c, child, a);
    lock_drop(lock);
    return 0;
}

/* Family locked: the last chain leaves it. */
static inline void anon_emptied(struct anon_vma *a)
{
    a->parent->children--;
    RB_INIT(&a->tree);
}

/* Family locked: take the chain out of its tree. That of an anon_vma that is empty now keeps it,
 * another one forgets its own. */
static inline void chain_unlink(struct anon_chain *c)
{
    struct anon_vma *a = c->anon;

    if (interval_is_only(&a->tree, &c->interval)) {
        anon_emptied(a);
    } else {
        interval_remove(&a->tree, &c->interval);
        c->anon = NULL;
    }
}

/* v, which has more than one chain, is not linked any more: none of them is left. */
static __attribute__((noinline)) void chains_free(struct worker *w, struct vma *v)
{
    struct anon_chain *next;

    for (struct anon_chain *c = v->chain.next; c; c = next) {
        next = c->next;
        if (c->anon) {
            mm_assert(!c->anon->children && !c->anon->active_vmas);
            slab_free(w, anon_vma_cache, c->anon);
        }
        slab_free(w, anon_chain_cache, c);
    }
    v->chain.next = NULL;
}

/* Family locked, and not any more afterwards. */
static __attribute__((noinline)) void chains_unlink(struct worker *w, struct vma *v)
{
    struct anon_vma *a = v->chain.anon;
    struct lock *lock = rmap_lock_of(a);

    if (v->anon)
        v->anon->active_vmas--;
    v->anon = NULL;
    for (struct anon_chain *c = &v->chain; c; c = c->next)
        chain_unlink(c);
    lock_drop(lock);
    if (unlikely(v->chain.next))
        chains_free(w, v);
    if (v->chain.anon) {
        mm_assert(!a->children && !a->active_vmas);
        slab_free(w, anon_vma_cache, a);
    }
    v->chain.anon = NULL;
}

static __attribute__((noinline)) void chains_wait_unlink(struct worker *w, struct vma *v)
{
    lock_take(rmap_lock_of(v->chain.anon));
    chains_unlink(w, v);
}

/* The same of a VMA that shares its only anon_vma. */
static __attribute__((noinline)) void shared_unlink(struct vma *v, struct anon_vma *a,
                                                    struct lock *lock)
{
    a->active_vmas -= v->anon != NULL;
    v->anon = NULL;
    v->chain.anon = NULL;
    interval_remove(&a->tree, &v->chain.interval);
    lock_drop(lock);
}

/* Most VMAs are alone with their only anon_vma, and nobody has its lock: that calls nothing. */
void rmap_unlink(struct worker *w, struct vma *v)
{
    struct anon_vma *a = v->chain.anon;

    if (!a)
        return;
    struct lock *lock = rmap_lock_of(a);
    if (unlikely(!lock_try(lock))) {
        chains_wait_unlink(w, v);
        return;
    }
    if (unlikely(v->chain.next)) {
        chains_unlink(w, v);
        return;
    }
    if (!interval_is_only(&a->tree, &v->chain.interval)) {
        shared_unlink(v, a, lock);
        return;
    }
    a->active_vmas -= v->anon != NULL;
    v->anon = NULL;
    anon_emptied(a);
    lock_drop(lock);
    v->chain.anon = NULL;
    mm_assert(!a->children && !a->active_vmas);
    slab_free(w, anon_vma_cache, a);
}

/* Chains for as many anon_vmas as v is linked to, none of them linked yet. */
static bool chains_reserve(struct worker *w, struct vma *part, const struct vma *v)
{
    for (const struct anon_chain *c = v->chain.next; c; c = c->next) {
        if (!chain_more(w, part))
            return false;
    }
    return true;
}

/* Family locked. */
static inline void chains_link(struct vma *part, const struct vma *v)
{
    struct anon_chain *to = &part->chain;

    part->mm = v->mm;
    for (const struct anon_chain *c = &v->chain; c; c = c->next, to = to->next)
        chain_link(to, part, c->anon);
    part->anon = v->anon;
    if (part->anon)
        part->anon->active_vmas++;
}

/* Only what has inherited pages takes memory. */
static __attribute__((noinline)) bool cut_reserve(struct worker *w, const struct vma *v,
                                                  struct vma *middle, struct vma *upper)
{
    if ((!middle || chains_reserve(w, middle, v)) && (!upper || chains_reserve(w, upper, v)))
        return true;
    if (middle)
        chains_free(w, middle);
    if (upper)
        chains_free(w, upper);
    return false;
}

long rmap_cut(struct worker *w, struct vma *v, uint64_t end, struct vma *middle, struct vma *upper)
{
    if (!v->chain.anon)
        return 0;
    if (unlikely(v->chain.next) && !cut_reserve(w, v, middle, upper))
        return -LINUX_ENOMEM;
    struct lock *lock = rmap_lock_of(v->chain.anon);
    lock_take(lock);
    for (struct anon_chain *c = &v->chain; c; c = c->next)
        interval_change(&c->anon->tree, &c->interval, v->offset, end - 1);
    if (middle)
        chains_link(middle, v);
    if (upper)
        chains_link(upper, v);
    lock_drop(lock);
    return 0;
}

void rmap_resized(struct vma *v)
{
    if (!v->chain.anon)
        return;
    struct lock *lock = rmap_lock_of(v->chain.anon);
    lock_take(lock);
    for (struct anon_chain *c = &v->chain; c; c = c->next)
        interval_change(&c->anon->tree, &c->interval, v->offset, vma_last_index(v));
    lock_drop(lock);
}

bool rmap_can_extend(const struct vma *v)
{
    return !v->chain.next;
}

bool rmap_can_merge(const struct vma *a, const struct vma *b)
{
    if (a->anon && b->anon)
        return a->anon == b->anon;
    return !a->chain.next && !b->chain.next;
}

void rmap_merge(struct vma *keep, const struct vma *gone)
{
    mm_assert(rmap_can_merge(keep, gone));
    if (keep->anon || !gone->anon)
        return;
    struct lock *lock = rmap_lock_of(gone->anon);
    lock_take(lock);
    keep->anon = gone->anon;
    keep->anon->active_vmas++;
    chain_link(&keep->chain, keep, keep->anon);
    lock_drop(lock);
}

void rmap_lock_vma(const struct vma *v)
{
    if (v->anon)
        lock_take(rmap_lock_of(v->anon));
}

void rmap_unlock_vma(const struct vma *v)
{
    if (v->anon)
        lock_drop(rmap_lock_of(v->anon));
}

bool rmap_is_linked(const struct vma *v, const void *owner)
{
    for (const struct anon_chain *c = &v->chain; c; c = c->next)
        if (c->anon == owner)
            return owner != NULL;
    return false;
}

uint64_t rmap_chains(const struct vma *v)
{
    uint64_t count = 0;

    for (const struct anon_chain *c = &v->chain; c && c->anon; c = c->next)
        count++;
    return count;
}
