/*
 * mlock and its family: pages of a locked range are there, and stay. Nothing is ever taken from a
 * program without its doing yet, so staying needs only the flag, which reclaim respects.
 */
#include "mmserver/core/fault.h"
#include "mmserver/core/limit.h"
#include "mmserver/core/linux_abi.h"
#include "mmserver/core/map.h"

/* Lock flags of a whole range; what comes before a hole is done. */
static long lock_range(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end, uint64_t lock)
{
    for (vaddr_t a = start; a < end;) {
        struct vma *v = vma_at(mm, a);

        if (!v)
            return -LINUX_ENOMEM;
        vaddr_t stop = min_u64(end, v->end);
        if (!(v->flags & VM_DEVICE) &&
            !vma_modify(w, mm, v, a, stop, (v->flags & ~VM_LOCK_FLAGS) | lock))
            return -LINUX_ENOMEM;
        a = stop;
    }
    return 0;
}

/* Pages of the range that are locked already. */
static uint64_t locked_in(struct mm *mm, vaddr_t start, vaddr_t end)
{
    uint64_t bytes = 0;

    for (const struct vma *v = vma_find(mm, start); v && v->start < end; v = v->next)
        if (v->flags & VM_LOCKED)
            bytes += min_u64(v->end, end) - max_u64(v->start, start);
    return bytes >> PAGE_SHIFT;
}

static bool lock_allowed(struct mm *mm, vaddr_t start, vaddr_t end)
{
    uint64_t pages = (end - start) >> PAGE_SHIFT;

    return limit_lock(mm, pages) || limit_lock(mm, pages - locked_in(mm, start, end));
}

/* Every page of [start, end), which has no holes, as a fault of its owner would bring it. */
static long fill(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end)
{
    for (vaddr_t a = start; a < end; a += PAGE_BYTES) {
        mm_lock(mm);
        mm_settle_locked(w, mm);
        struct vma *v = vma_at(mm, a);
        bool write = v && (v->flags & (VM_WRITE | VM_SHARED)) == VM_WRITE;
        enum fault_outcome outcome = FAULT_SPURIOUS;
        if (!v || !(v->flags & (VM_LOCKONFAULT | VM_DEVICE)))
            outcome = fault_page_locked(w, mm, a, write);
        mm_unlock(mm);
        if (fault_is_bad(outcome))
            return outcome == FAULT_OOM ? -LINUX_EAGAIN : -LINUX_ENOMEM;
    }
    return 0;
}

/* lock: VM_LOCK_FLAGS, or 0 to unlock. */
long map_mlock(struct worker *w, struct mm *mm, vaddr_t address, uint64_t bytes, uint64_t lock)
{
    vaddr_t start = PAGE_DOWN(address), end = start + PAGE_UP(bytes + (address & PAGE_MASK));
    long error = -LINUX_ENOMEM;

    if (lock && !limit_may_lock(mm))
        return -LINUX_EPERM;
    if (end < start)
        return -LINUX_EINVAL;
    if (end == start)
        return 0;
    mm_lock(mm);
    if (!lock || lock_allowed(mm, start, end))
        error = lock_range(w, mm, start, end, lock);
    mm_unlock(mm);
    return error || !lock ? error : fill(w, mm, start, end);
}

static void lock_all(struct worker *w, struct mm *mm, uint64_t lock)
{
    struct vma *next;

    for (struct vma *v = vma_first(mm); v; v = next) {
        if (!(v->flags & VM_DEVICE))
            v = vma_modify(w, mm, v, v->start, v->end, (v->flags & ~VM_LOCK_FLAGS) | lock);
        next = v->next;
    }
}

/* Nothing is reported: a page that cannot be there is not. */
static void fill_all(struct worker *w, struct mm *mm)
{
    vaddr_t at = 0;

    for (;;) {
        mm_lock(mm);
        struct vma *v = vma_find(mm, at);
        vaddr_t start = v ? v->start : 0, end = v ? v->end : 0;
        mm_unlock(mm);
        if (!v)
            return;
        map_populate(w, mm, max_u64(start, at), end);
        at = end;
    }
}

long map_mlockall(struct worker *w, struct mm *mm, uint64_t flags)
{
    uint64_t lock = VM_LOCKED | (flags & MCL_ONFAULT ? VM_LOCKONFAULT : 0);

    if (!flags || (flags & ~(uint64_t)(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)) ||
        flags == MCL_ONFAULT)
        return -LINUX_EINVAL;
    if (!limit_may_lock(mm))
        return -LINUX_EPERM;
    mm_lock(mm);
    bool allowed = !(flags & MCL_CURRENT) || limit_lock(mm, mm->total_pages - mm->locked_pages);
    if (allowed) {
        mm->future_flags &= ~VM_LOCK_FLAGS;
        mm->future_flags |= flags & MCL_FUTURE ? lock : 0;
        if (flags & MCL_CURRENT)
            lock_all(w, mm, lock);
    }
    mm_unlock(mm);
    if (!allowed)
        return -LINUX_ENOMEM;
    if ((flags & MCL_CURRENT) && !(flags & MCL_ONFAULT))
        fill_all(w, mm);
    return 0;
}

long map_munlockall(struct worker *w, struct mm *mm)
{
    mm_lock(mm);
    mm->future_flags &= ~VM_LOCK_FLAGS;
    lock_all(w, mm, 0);
    mm_unlock(mm);
    return 0;
}
