/* The limits that a new address space has, and setting one. See limit.h. */
#include "mmserver/core/limit.h"
#include "mmserver/core/huge.h"
#include "mmserver/core/hugetlb.h"

uint64_t limit_overcommit;
uint64_t limit_overcommit_ratio = 50;
uint64_t map_count_max = MM_MAP_COUNT_MAX;

void limit_init(struct mm *mm)
{
    for (unsigned i = 0; i < MM_LIMITS; i++)
        mm->limit[i] = LIMIT_NONE;
    mm->limit[MM_LIMIT_STACK] = STACK_LIMIT_BYTES;
    mm->limit[MM_LIMIT_OOM_ADJUST] = 0;
}

long limit_set(struct mm *mm, uint64_t which, uint64_t value)
{
    if (which >= MM_LIMITS)
        return -LINUX_EINVAL;
    mm_lock(mm);
    mm->limit[which] = value;
    mm_unlock(mm);
    return 0;
}

uint64_t limit_promises(void)
{
    uint64_t pool = hugetlb_state().total * HUGE_PAGES;

    return (phys.total_pages - pool) * limit_overcommit_ratio / 100;
}

bool limit_commit_strict(uint64_t pages)
{
    return limit_overcommit != OVERCOMMIT_NEVER ||
           __atomic_load_n(&mm_promised_pages, __ATOMIC_RELAXED) + pages <= limit_promises();
}
