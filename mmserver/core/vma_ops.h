/*
 * What a kind of memory does for the VMAs that map it. A VMA without a table is private anonymous
 * memory (anon_vma_ops), or memory that was put there at once. A new kind is one file with one of
 * these tables (docs/how-to-add-a-policy.md).
 *
 * Any operation but `name` may be NULL: then what stands behind it is done.
 */
#ifndef MMSERVER_CORE_VMA_OPS_H
#define MMSERVER_CORE_VMA_OPS_H

#include "mmserver/core/fault.h"

struct vma_ops {
    /* As maps shows it; "" for nothing. */
    const char *(*name)(const struct vma *v);
    /* mm locked: v is part of its address space now (mmap, the upper part of a split, a copy made
     * by mremap or fork); it is no more; its bounds have changed. | nothing */
    void (*open)(struct vma *v);
    void (*close)(struct worker *w, struct vma *v);
    void (*resized)(struct vma *v);
    /*
     * A fault as fault_resolve() found it: the access is allowed by the VMA and there is a leaf
     * table. Either the entry is empty, or (f->entry) a page of this kind stands there and a write
     * to a shared mapping is not allowed by the entry. As a reader or the writer (mm.h). | SIGBUS
     */
    enum fault_outcome (*fault)(struct fault *f);
    /*
     * A fault that the VMA allows where there is no leaf table: f->entry, at f->leaf, is a leaf of
     * 2 MiB, or leads to nothing. As a reader or the writer. FAULT_NONE: small pages have to do.
     * | FAULT_NONE
     */
    enum fault_outcome (*huge_fault)(struct fault *f);
    /*
     * Map what is at hand of [start, end) into entries that are empty, f->address among them, all
     * of one leaf table. What it mapped counts; how many pages. Never waits, never fails. | 0
     */
    unsigned (*map_pages)(struct fault *f, vaddr_t start, vaddr_t end);
    /*
     * mm locked: move bytes within one page between `buffer` and memory that has no page of ours,
     * for who looks at it from outside (access.h). How many. | 0
     */
    uint64_t (*access)(struct worker *w, struct vma *v, vaddr_t address, char *buffer,
                       uint64_t bytes, bool write);
};

/* Private anonymous memory (fault.c), pages of the pool (hugetlb.c). */
extern const struct vma_ops anon_vma_ops, hugetlb_vma_ops;

#endif
