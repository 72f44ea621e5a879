/*
 * Reverse maps of anonymous pages: from a page to every (address space, VMA, address) that may map
 * it, in time proportional to their number.
 *
 *   page->owner ──▶ struct anon_vma ── tree by page offset ──▶ anon_chain ──▶ vma ──▶ mm
 *   page->index      (index)
 *
 * An anon_vma stands for "the pages that this VMA first touched"; `vma->anon` is where new pages of
 * the VMA go. After a fork a page of the parent may be mapped by the child too, so the child's VMA
 * is linked to all anon_vmas of the parent's, and to one of its own for what it touches itself. A
 * page is looked for only where its anon_vma is linked: siblings' private copies never meet. The
 * scheme, the sharing of an anon_vma by mergeable neighbours and its reuse by a child are Linux's
 * (Rik van Riel, 2010; Daniel Forrest and Konstantin Khlebnikov, 2014).
 *
 * A page's index is its offset in the VMA's numbering (vma->offset + pages from its start), which
 * moves with the VMA; it never changes while the page is mapped.
 *
 * The first chain of a VMA is part of it (vma->chain), so a process that never forked has one
 * anon_vma for each run of VMAs that it touched, and nothing else.
 *
 * Locks. All anon_vmas that one VMA is linked to descend from one root and share its lock
 * (LOCK_ANON), which guards their trees and counts. The locks are a fixed array: a page's anon_vma
 * may be gone when somebody looks for its lock, and then it is merely the wrong lock, which is
 * found out behind it (rmap_lock_page). The chains of a VMA change under its mm's lock, held
 * exclusively; rmap_prepare() alone also works for faults that share it. A VMA leaves the trees
 * before its tables are freed and before its mm is.
 */
#ifndef MMSERVER_CORE_RMAP_H
#define MMSERVER_CORE_RMAP_H

#include "mmserver/core/interval.h"
#include "mmserver/core/lock.h"

struct page;
struct vma;

struct anon_vma {
    struct interval_tree tree; /* chains, by page offset */
    struct anon_vma *parent;   /* itself for a root */
    uint64_t family;           /* which lock: the root's choice */
    uint64_t children;         /* anon_vmas whose parent it is; a root counts itself */
    uint64_t active_vmas;      /* VMAs whose new pages go here */
};

struct anon_chain {
    struct interval interval; /* in anon->tree */
    struct vma *vma;
    struct anon_vma *anon;   /* NULL: not linked */
    struct anon_chain *next; /* of the same VMA */
};

void rmap_init(void);
#define RMAP_FAMILIES 64
extern struct lock rmap_families[RMAP_FAMILIES];
/* The family's lock. Of any memory that was an anon_vma: there is always a lock. */
static inline struct lock *rmap_lock_of(const struct anon_vma *a)
{
    return &rmap_families[__atomic_load_n(&a->family, __ATOMIC_RELAXED) % RMAP_FAMILIES];
}

/*
 * rmap_prepare(w, v) -> 0 or -LINUX_ENOMEM. Afterwards v->anon may own pages. For a VMA that is
 * linked into its mm; mm locked, or shared by a fault. Takes LOCK_ANON, LOCK_SLAB, LOCK_PHYS.
 */
long rmap_prepare_slow(struct worker *w, struct vma *v);
#define rmap_prepare(w, v) (likely((v)->anon != NULL) ? 0L : rmap_prepare_slow((w), (v)))

/*
 * mm locked: `to`, a fresh copy of `from` with its bounds set, is linked wherever `from` is, and
 * shares its anon_vma: the new place of mremap. 0, or -LINUX_ENOMEM with everything as before.
 */
long rmap_clone(struct worker *w, struct vma *to, const struct vma *from);
/* Both mms locked: the same for a child's copy, which gets an anon_vma of its own, or one that
 * nobody uses for new pages any more. */
long rmap_fork(struct worker *w, struct vma *child, const struct vma *parent);
/* mm locked: v maps no page any more and is going to be freed, or its copying is undone. */
void rmap_unlink(struct worker *w, struct vma *v);
/* mm locked: v is going to end before the page that its numbering calls `end`; `middle` and
 * `upper`, each of them NULL or a fresh VMA with bounds and nothing else, are parts of what it
 * loses: they are linked wherever v is. 0, or -LINUX_ENOMEM with everything as before. */
long rmap_cut(struct worker *w, struct vma *v, uint64_t end, struct vma *middle, struct vma *upper);
/* mm locked: v->start, v->end or v->offset have changed. */
void rmap_resized(struct vma *v);

/* May v become longer by room without pages? Not one that has inherited pages: its neighbours'
 * pages would be looked for in all the family. */
bool rmap_can_extend(const struct vma *v);
/* May the two, whose pages are numbered without a seam, become one? */
bool rmap_can_merge(const struct vma *a, const struct vma *b);
/* mm locked: `keep` is going to cover what `gone`, with which it can merge, covers: it becomes
 * linked where `gone` is. Cannot fail. */
void rmap_merge(struct vma *keep, const struct vma *gone);

/* Page of the owner (anon_vma or object) at `address` of v, and back. */
static inline uint64_t rmap_index(uint64_t offset, vaddr_t start, vaddr_t address)
{
    return offset + ((address - start) >> PAGE_SHIFT);
}

/* v->anon's family lock: held by who moves pages between VMAs of one mm (mremap), so that a walk
 * does not miss them. NULL-safe: a VMA without pages has none. */
void rmap_lock_vma(const struct vma *v);
void rmap_unlock_vma(const struct vma *v);

/* For the recount: is `v` linked to this owner? And the number of chains it has. */
bool rmap_is_linked(const struct vma *v, const void *owner);
uint64_t rmap_chains(const struct vma *v);

#endif
