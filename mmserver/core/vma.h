/*
 * VMAs: the ranges of an address space and what may be done there, in a red-black tree ordered by
 * address and in a list of neighbours. Each node knows the largest gap before a VMA in its subtree,
 * so that the search for room takes O(log n). Changed under the address space's lock only.
 */
#ifndef MMSERVER_CORE_VMA_H
#define MMSERVER_CORE_VMA_H

#include "mmserver/core/rmap.h"
#include <sys/tree.h>

/* Low four bits as PROT_* and in the order that maps shows them. */
#define VM_READ   0x1UL
#define VM_WRITE  0x2UL
#define VM_EXEC   0x4UL
#define VM_ACCESS (VM_READ | VM_WRITE | VM_EXEC)
#define VM_SHARED 0x8UL
/* The same, four bits up: what mprotect may give. */
#define VM_MAY_SHIFT   4
#define VM_MAYREAD     0x10UL
#define VM_MAYWRITE    0x20UL
#define VM_MAYEXEC     0x40UL
#define VM_MAYALL      (VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC)
#define VM_MAYSHARE    0x80UL
#define VM_GROWSDOWN   0x100UL
#define VM_NORESERVE   0x200UL
#define VM_LOCKED      0x400UL
#define VM_LOCKONFAULT 0x800UL  /* with VM_LOCKED: pages stay once they are there */
#define VM_ACCOUNT     0x1000UL /* its pages count as promised memory */
#define VM_DEVICE      0x2000UL /* device memory: entries put there at once, no descriptors */
#define VM_WIPED       0x4000UL /* bytes of a file with a private page zero-filled behind its end */
#define VM_DONTFORK    0x8000UL /* not in a child */
#define VM_WIPEONFORK  0x10000UL /* empty in a child */
#define VM_DONTEXPAND  0x20000UL
#define VM_DONTDUMP    0x40000UL
#define VM_HUGEPAGE    0x80000UL
#define VM_NOHUGEPAGE  0x100000UL
#define VM_MERGEABLE   0x200000UL /* pages with the same bytes may become one */
#define VM_RAND_READ   0x400000UL
#define VM_SEQ_READ    0x800000UL
#define VM_HUGETLB     0x1000000UL /* of pages of the pool only (hugetlb.h) */
#define VM_RUNS        0x2000000UL /* private memory in runs of 64 KiB where it can be (runs.h) */
#define VM_LOCK_FLAGS  (VM_LOCKED | VM_LOCKONFAULT)

struct mm;
struct object;
struct vma_ops;

struct vma {
    RB_ENTRY(vma) node;
    vaddr_t start, end;
    struct vma *prev, *next; /* neighbours by address */
    uint64_t gap;            /* bytes free before it, its guard excluded */
    uint64_t gap_max;        /* largest gap in its subtree */
    uint64_t flags;
    struct object *object; /* NULL: anonymous. One reference each */
    uint64_t offset;       /* page of the file at `start`; anonymous: page number at its creation */
    const struct vma_ops *ops; /* NULL: private anonymous, or put there at once */
    struct interval i_map;     /* of an object: in its tree of mappers, by page */
    uint64_t i_linked;         /* of an object: see object_fault.c */
    struct mm *mm;             /* once it is linked */
    struct anon_vma *anon; /* owner of new anonymous pages; NULL: there never was one (rmap.h) */
    struct anon_chain chain;
};

RB_HEAD(vma_tree, vma);

/* What a range is to be: the properties that decide whether neighbours are one VMA. */
struct vma_kind {
    uint64_t flags;
    struct object *object;
    uint64_t offset;        /* at its start */
    const struct vma *like; /* whose anonymous pages it holds; NULL: it has none */
    struct {
        vaddr_t start, end;
    } apart; /* what lies here it is not joined with */
};

static inline uint64_t vma_pages(const struct vma *v)
{
    return (v->end - v->start) >> PAGE_SHIFT;
}
/* Page of the object (or number in the anonymous range) at `address`. */
static inline uint64_t vma_offset_at(const struct vma *v, vaddr_t address)
{
    return v->offset + ((int64_t)(address - v->start) >> PAGE_SHIFT);
}
static inline bool vma_is_private_anon(const struct vma *v)
{
    return !v->ops && !(v->flags & VM_DEVICE);
}
static inline struct vma *vma_next(const struct vma *v)
{
    return v->next;
}
static inline struct vma *vma_prev(const struct vma *v)
{
    return v->prev;
}

/* The first VMA that ends above `address`, or NULL. */
struct vma *vma_find(struct mm *mm, vaddr_t address);
/* The VMA that contains `address`, or NULL. */
struct vma *vma_at(struct mm *mm, vaddr_t address);
struct vma *vma_first(struct mm *mm);
struct vma *vma_last(struct mm *mm);

/* Lowest address that the VMA keeps others from: its guard below a growing stack. */
vaddr_t vma_start_guarded(const struct vma *v);

/*
 * Changes. Counts and accounting are kept; the memory behind a VMA is not touched. Those that need
 * memory answer NULL without it, or when there would be more than map_count_max; then nothing has
 * changed.
 */

/* [start, end) becomes mapped; no VMA overlaps it, `above` is the first one that ends above it. It
 * continues a neighbour or both where it can. The VMA that it is now part of. */
struct vma *vma_add(struct worker *w, struct mm *mm, struct vma *above, vaddr_t start, vaddr_t end,
                    const struct vma_kind *kind);
/* The same of private anonymous memory that touches no neighbour, where map_count allows it, and
 * nothing is in the way of a straight way. NULL: ask vma_add(). */
struct vma *vma_add_apart(struct worker *w, struct mm *mm, struct vma *above, vaddr_t start,
                          vaddr_t end, uint64_t flags);
/* [start, end), a part of v, gets other flags, and becomes one with a neighbour or both where it
 * can. The VMA that it is now part of; v may be gone. */
struct vma *vma_modify(struct worker *w, struct mm *mm, struct vma *v, vaddr_t start, vaddr_t end,
                       uint64_t flags);
/* The child's copy of its parent's v, with those flags, becomes the last of mm; `pages`: it may map
 * what v maps (rmap_fork). False without memory. */
bool vma_fork(struct worker *w, struct mm *mm, const struct vma *v, uint64_t flags, bool pages);
/* [start, end) of v was emptied by a move and stays: it is locked no more, for which it must be a
 * VMA of its own, and is not joined with what is like it then, as on Linux; and if it is one, it is
 * like one that never had anonymous pages. */
void vma_emptied(struct worker *w, struct mm *mm, struct vma *v, vaddr_t start, vaddr_t end);
/* Cut v in two at `address`, strictly inside; the upper part. */
struct vma *vma_split(struct worker *w, struct mm *mm, struct vma *v, vaddr_t address);
/* [start, end), strictly inside v, is mapped no more: v ends at `start`. The part above it. */
struct vma *vma_cut_out(struct worker *w, struct mm *mm, struct vma *v, vaddr_t start, vaddr_t end);
/* v is cut, if need be, so that [start, end), a part of it, is a VMA of its own: that one. */
struct vma *vma_isolate(struct worker *w, struct mm *mm, struct vma *v, vaddr_t start, vaddr_t end);
/* v grows up to `end`, where nothing is, and joins what follows there. */
void vma_grow_up(struct worker *w, struct mm *mm, struct vma *v, vaddr_t end);
/* It begins or ends elsewhere, still in the same place of the order; what it goes on to cover keeps
 * its offset. */
void vma_set_start(struct mm *mm, struct vma *v, vaddr_t start);
void vma_set_end(struct mm *mm, struct vma *v, vaddr_t end);
/* v, of private anonymous memory, is mapped at `to` from now on, where nothing is that it does not
 * overlap itself; its pages keep their numbers. False, and nothing was done, where it is another
 * kind, or may have to be joined with what is next to it there. */
bool vma_move(struct mm *mm, struct vma *v, vaddr_t to);
/* Out of the address space, and freed. */
void vma_remove(struct worker *w, struct mm *mm, struct vma *v);

/* The highest address below `high` (and not below `low`) with `bytes` free; 0 if there is none.
 * *above: the first VMA that ends above it. */
vaddr_t vma_gap_below(struct mm *mm, vaddr_t low, vaddr_t high, uint64_t bytes, struct vma **above);
/* The same, the lowest such address. */
vaddr_t vma_gap_above(struct mm *mm, vaddr_t low, vaddr_t high, uint64_t bytes, struct vma **above);

#endif
