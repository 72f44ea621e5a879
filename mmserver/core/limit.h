/*
 * Limits of an address space (RLIMIT_*), kept with what they limit and set by the personality. All
 * checks are made before anything changes, with the mm locked.
 */
#ifndef MMSERVER_CORE_LIMIT_H
#define MMSERVER_CORE_LIMIT_H

#include "mmserver/core/mm.h"
#include <pagoda/mm.h>

#define LIMIT_NONE (~0UL)

void limit_init(struct mm *mm);
/* Set one of enum mm_limit. 0 or -LINUX_EINVAL. */
long limit_set(struct mm *mm, uint64_t which, uint64_t value);

static inline bool limit_exceeded(const struct mm *mm, enum mm_limit which, uint64_t pages)
{
    return unlikely(pages > mm->limit[which] >> PAGE_SHIFT);
}
/* May `pages` more be mapped with those flags (RLIMIT_AS, RLIMIT_DATA)? */
static inline bool limit_expand(struct mm *mm, uint64_t flags, uint64_t pages)
{
    if (limit_exceeded(mm, MM_LIMIT_AS, mm->total_pages + pages))
        return false;
    return mm_account_class(mm, flags) != &mm->data_pages ||
           !limit_exceeded(mm, MM_LIMIT_DATA, mm->data_pages + pages);
}
/* May `pages` more be locked (RLIMIT_MEMLOCK, which who has CAP_IPC_LOCK need not respect)? */
static inline bool limit_lock(const struct mm *mm, uint64_t pages)
{
    return mm->limit[MM_LIMIT_LOCK_FREE] ||
           !limit_exceeded(mm, MM_LIMIT_MEMLOCK, mm->locked_pages + pages);
}
/* May anything be locked at all? */
static inline bool limit_may_lock(const struct mm *mm)
{
    return mm->limit[MM_LIMIT_LOCK_FREE] || mm->limit[MM_LIMIT_MEMLOCK];
}
/* Does Linux count pages of a mapping with those flags as promised memory? */
static inline bool limit_is_promised(uint64_t flags)
{
    return (flags & (VM_WRITE | VM_SHARED | VM_NORESERVE | VM_HUGETLB)) == VM_WRITE;
}
/* vm.overcommit_memory: what is promised beyond what there is. */
enum overcommit { OVERCOMMIT_GUESS, OVERCOMMIT_ALWAYS, OVERCOMMIT_NEVER };
extern uint64_t limit_overcommit;
extern uint64_t limit_overcommit_ratio; /* percent of memory that may be promised: for the last */
/* CommitLimit, in pages. */
uint64_t limit_promises(void);
bool limit_commit_strict(uint64_t pages);
/* May so many pages more be promised? By guess only what could never be met is refused. */
static inline bool limit_commit(uint64_t pages)
{
    if (unlikely(limit_overcommit))
        return limit_commit_strict(pages);
    return pages <= phys.total_pages;
}

#endif
