/* The limits that a new address space has, and setting one. See limit.h. */
#include "mmserver/core/limit.h"

bool limit_overcommit;
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
