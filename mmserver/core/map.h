/*
 * The memory calls: what Linux's mmap family does, with its errors. All unlocked on entry; answers
 * are 0, an address, or -LINUX_x.
 */
#ifndef MMSERVER_CORE_MAP_H
#define MMSERVER_CORE_MAP_H

#include "mmserver/core/mm.h"

/* What a mapping is to be made of. */
struct map_request {
    vaddr_t address;
    uint64_t bytes;
    uint64_t prot;  /* PROT_* */
    uint64_t flags; /* MAP_* */
    struct object *object;
    uint64_t offset;  /* pages in the object */
    uint64_t nowrite; /* bool: a shared mapping may never be writable */
    uint64_t also;    /* VM_* beyond those that prot and flags ask for */
};

long map_mmap(struct worker *w, struct mm *mm, const struct map_request *r);
long map_munmap(struct worker *w, struct mm *mm, vaddr_t address, uint64_t bytes);
long map_mprotect(struct worker *w, struct mm *mm, vaddr_t address, uint64_t bytes, uint64_t prot);
long map_brk(struct worker *w, struct mm *mm, vaddr_t end);
long map_mremap(struct worker *w, struct mm *mm, vaddr_t address, uint64_t old_bytes,
                uint64_t new_bytes, uint64_t flags, vaddr_t new_address);
long map_madvise(struct worker *w, struct mm *mm, vaddr_t address, uint64_t bytes, uint64_t advice);
/* One byte a page to `vector` in the client. */
long map_mincore(struct worker *w, struct mm *mm, vaddr_t address, uint64_t bytes, vaddr_t vector);
/* shmdt: the handle of the segment whose mapping began at `address`, or -LINUX_EINVAL. */
long map_detach(struct worker *w, struct mm *mm, vaddr_t address);
long map_msync(struct mm *mm, vaddr_t address, uint64_t bytes, uint64_t flags);
/* lock: VM_LOCK_FLAGS to set, 0 to unlock. */
long map_mlock(struct worker *w, struct mm *mm, vaddr_t address, uint64_t bytes, uint64_t lock);
long map_mlockall(struct worker *w, struct mm *mm, uint64_t flags);
long map_munlockall(struct worker *w, struct mm *mm);

/*
 * A mapping at exactly this place that nothing overlaps, for program images; mm locked. `flags` are
 * VM_*. 0 or -LINUX_ENOMEM.
 */
long map_place_locked(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end, uint64_t flags,
                      struct object *file, uint64_t offset);
/* mm locked and settled: unmap whatever is in [start, end). 0, -LINUX_ENOMEM, or -LINUX_EINVAL if
 * that is not all in user space. */
long map_unmap_locked(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end);
/* The same as the last thing that a call does, before ops_unlock(). */
long map_unmap_last_locked(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end);
/* The same, in parts (part.h): 1 if only a part of the pages has gone, and the call is to be
 * answered with its first argument. */
long map_unmap_part_locked(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end);
/* The same where all pages were moved away by operations that may be gathered and not sent; it does
 * not end inside a VMA that began before it. */
void map_unmap_moved_locked(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end);
/* The same where the VMA moved too. */
void map_unmapped_locked(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end);
/* Touch every page of a range that can be touched; errors are ignored. */
void map_populate(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end);

#endif
