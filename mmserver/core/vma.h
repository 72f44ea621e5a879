/*
 * VMAs: the ranges of an address space and what may be done there, in a red-black tree ordered by
 * address. Each node knows the largest gap before a VMA in its subtree, so that the search for room
 * takes O(log n). All under the address space's lock.
 */
#ifndef MMSERVER_CORE_VMA_H
#define MMSERVER_CORE_VMA_H

#include "mmserver/core/rmap.h"
#include <sys/tree.h>

/* Low four bits as PROT_* and in the order that maps shows them. */
#define VM_READ      0x1UL
#define VM_WRITE     0x2UL
#define VM_EXEC      0x4UL
#define VM_ACCESS    (VM_READ | VM_WRITE | VM_EXEC)
#define VM_SHARED    0x8UL
#define VM_GROWSDOWN 0x100UL
#define VM_NORESERVE 0x200UL
#define VM_LOCKED    0x400UL
#define VM_STACK     0x800UL  /* the first thread's stack */
#define VM_HEAP      0x1000UL /* brk */
#define VM_DEVICE    0x2000UL /* device memory: entries put there at once, no descriptors */
#define VM_WIPED     0x4000UL /* bytes of a file with a private page zero-filled behind its end */

struct mm;
struct object;

struct vma {
    RB_ENTRY(vma) node;
    vaddr_t start, end;
    uint64_t gap;     /* bytes free before it, its guard excluded */
    uint64_t gap_max; /* largest gap in its subtree */
    uint64_t flags;
    struct object *object; /* NULL: anonymous. One reference each */
    uint64_t offset;       /* page of the file at `start`; anonymous: page number at its creation */
    uint64_t file_end;     /* reads at or behind this page of the file are bus errors */
    struct mm *mm;         /* from vma_link() on */
    struct anon_vma *anon; /* owner of new anonymous pages; NULL: there never was one (rmap.h) */
    struct anon_chain chain;
};

RB_HEAD(vma_tree, vma);

static inline uint64_t vma_pages(const struct vma *v)
{
    return (v->end - v->start) >> PAGE_SHIFT;
}
static inline bool vma_is_private_anon(const struct vma *v)
{
    return !v->object && !(v->flags & (VM_DEVICE | VM_SHARED));
}

/* The first VMA that ends above `address`, or NULL. */
struct vma *vma_find(struct mm *mm, vaddr_t address);
/* The VMA that contains `address`, or NULL. */
struct vma *vma_at(struct mm *mm, vaddr_t address);
struct vma *vma_first(struct mm *mm);
struct vma *vma_last(struct mm *mm);
struct vma *vma_next(struct vma *v);
struct vma *vma_prev(struct vma *v);

/* Lowest address that the VMA keeps others from: its guard below a growing stack. */
vaddr_t vma_start_guarded(const struct vma *v);

/* Link in / take out; counts and accounting are kept, memory of the VMA is not touched. */
void vma_link(struct mm *mm, struct vma *v);
void vma_unlink(struct mm *mm, struct vma *v);
/* New bounds, still in the same place of the order. */
void vma_resize(struct mm *mm, struct vma *v, vaddr_t start, vaddr_t end);
/* Other flags, accounting kept. */
void vma_set_flags(struct mm *mm, struct vma *v, uint64_t flags);

/* A VMA not linked yet, with its own reference to the file; NULL without memory. */
struct vma *vma_make(struct worker *w, vaddr_t start, vaddr_t end, uint64_t flags,
                     struct object *file, uint64_t offset);
void vma_free(struct worker *w, struct vma *v);
/* Cut v in two at `address`, strictly inside; the upper part, or NULL without memory. */
struct vma *vma_split(struct worker *w, struct mm *mm, struct vma *v, vaddr_t address);
/* Join v with its neighbours where they continue each other; what it became. */
struct vma *vma_merge(struct worker *w, struct mm *mm, struct vma *v);
/* Would a new range continue this one (`v` below it or above it)? Then v grows; else NULL. */
struct vma *vma_extend(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end, uint64_t flags,
                       struct object *file, uint64_t offset);

/* The highest address below `high` (and not below `low`) with `bytes` free; 0 if there is none. */
vaddr_t vma_gap_below(struct mm *mm, vaddr_t low, vaddr_t high, uint64_t bytes);

#endif
