/*
 * Huge pages: private anonymous memory mapped by 2 MiB leaves.
 *
 * A huge page is one allocation of order 9: only its first descriptor is used, as for any
 * multi-page allocation; `maps` counts its one leaf. It is never shared: fork splits it first. A
 * huge leaf lies in one VMA: who cuts a VMA, or changes a part of a leaf, splits it first
 * (huge_split_edges); then it is 512 small pages in a leaf table.
 *
 * The huge zero page is one for all; its leaves are not counted.
 *
 * pt_entry(mm, a, 0) is NULL and pt_next_table() goes on where there is a huge leaf.
 */
#ifndef MMSERVER_CORE_HUGE_H
#define MMSERVER_CORE_HUGE_H

#include "mmserver/core/fault.h"
#include "mmserver/core/pt.h"

#define HUGE_ORDER TABLE_SHIFT
#define HUGE_PAGES TABLE_ENTRIES

/* Which VMAs get huge pages: Linux's names. Boot argument thp=. */
enum huge_mode { HUGE_ALWAYS, HUGE_MADVISE, HUGE_NEVER };
extern uint64_t huge_mode; /* enum huge_mode */
/* How hard a fault tries to have one: transparent_hugepage/defrag, Linux's names. */
enum huge_defrag {
    HUGE_DEFRAG_ALWAYS,
    HUGE_DEFRAG_DEFER,
    HUGE_DEFRAG_DEFER_MADVISE,
    HUGE_DEFRAG_MADVISE,
    HUGE_DEFRAG_NEVER,
};
extern uint64_t huge_defrag;
extern uint64_t huge_use_zero; /* bool: reads of what is empty get the huge zero page */
void huge_init(enum huge_mode mode);

/* The level-1 entry of `address`, 0 without a table there. */
static inline uint64_t huge_entry(const struct mm *mm, vaddr_t address)
{
    const uint64_t *entry = pt_entry(mm, address, 1);

    return entry ? __atomic_load_n(entry, __ATOMIC_RELAXED) : 0;
}

/* May the 2 MiB around `address` be one page of v? */
static inline bool huge_fits(const struct vma *v, vaddr_t address)
{
    vaddr_t block = ROUND_DOWN(address, BLOCK_BYTES);

    return huge_mode != HUGE_NEVER && block >= v->start && block + BLOCK_BYTES <= v->end &&
           vma_is_private_anon(v) && (v->flags & VM_ACCESS) && !(v->flags & VM_NOHUGEPAGE) &&
           (huge_mode == HUGE_ALWAYS || (v->flags & VM_HUGEPAGE));
}

/* vma_ops->huge_fault of private anonymous memory. */
enum fault_outcome huge_fault(struct fault *f);

/* Parts of those, for hugetlb.c too. Tables down to the one of level 1, and the leaf, in one reply
 * or one batch: `outcome`, or FAULT_OOM, FAULT_RACED. */
enum fault_outcome huge_map(struct fault *f, uint64_t entry, enum fault_outcome outcome);
/* Another leaf in the place of `old`: 0 or -ERR_x. */
long huge_replace(struct fault *f, uint64_t old, uint64_t entry);
/* Does the leaf allow the access? Then the hart is made to forget what it knew of it before. */
bool huge_allows(struct fault *f, uint64_t entry);
void huge_clear(pfn_t pfn);
void huge_copy(pfn_t to, pfn_t from);

/* The writer's, from here on. All but huge_split_page settle themselves. */

long huge_split_slow(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end, bool edges_only);
/* Make sure that no huge leaf and no run has `start` or `end` inside it. 0, -LINUX_ENOMEM, or
 * -LINUX_EINVAL where a VMA may not be cut (hugetlb.h). */
static inline long huge_split_edges(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end)
{
    return likely(!mm->huge_used) ? 0 : huge_split_slow(w, mm, start, end, true);
}
/* Make sure that there is no huge leaf and no run in [start, end) but the pool's. Errors as above.
 */
static inline long huge_split_all(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end)
{
    return likely(!mm->huge_used) ? 0 : huge_split_slow(w, mm, start, end, false);
}
/* The leaf of 2 MiB at `block`, not the pool's, becomes a table. Settled. 0 or -LINUX_ENOMEM. */
long huge_split(struct worker *w, struct mm *mm, vaddr_t block, uint64_t entry);
/* Give all huge leaves of [start, end), whose edges are split, the rights of a VMA's flags. Without
 * any they stay where they are, as no program's (U clear): only the pool's are met so, since others
 * are split before. Fork and mremap carry them as they are. */
void huge_protect(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end, uint64_t flags);
/* The first address >= `address` below `end` that is the start of a huge leaf, which goes to
 * *entry; `end` if there is none. */
vaddr_t huge_next(const struct mm *mm, vaddr_t address, vaddr_t end, uint64_t *entry);
/* The page of an entry that is gone is not mapped any more. */
void huge_put(struct worker *w, struct mm *mm, uint64_t entry);

/*
 * Make the small pages of a block one huge page. Empty entries become zeros if `holes`. 0;
 * -LINUX_EINVAL where that cannot be, -LINUX_ENOMEM, -LINUX_EAGAIN if a page is somebody else's
 * too.
 */
long huge_collapse(struct worker *w, struct mm *mm, struct vma *v, vaddr_t block, bool holes);
/* The same for every whole block of [start, end) in v; huge ones stay. The first error. */
long huge_collapse_range(struct worker *w, struct mm *mm, struct vma *v, vaddr_t start,
                         vaddr_t end);
/* A bounded step of background work on that mm, mm locked and settled: look at one block that may
 * be collapsed. Did it find one? */
bool huge_step(struct worker *w, struct mm *mm);

#endif
