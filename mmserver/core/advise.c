/*
 * The calls that say or ask something about mapped memory: madvise, mincore, msync, mlock and their
 * family. What is only a hint is checked and accepted.
 */
#include "mmserver/core/fault.h"
#include "mmserver/core/object.h"
#include "mmserver/core/linux_abi.h"
#include "mmserver/core/map.h"
#include "mmserver/core/pt.h"
#include "mmserver/core/zap.h"

static bool advice_is_known(uint64_t advice)
{
    switch (advice) {
    case MADV_NORMAL:
    case MADV_RANDOM:
    case MADV_SEQUENTIAL:
    case MADV_WILLNEED:
    case MADV_DONTNEED:
    case MADV_DONTFORK:
    case MADV_DOFORK:
    case MADV_HUGEPAGE:
    case MADV_NOHUGEPAGE:
    case MADV_DONTDUMP:
    case MADV_DODUMP:
    case MADV_WIPEONFORK:
    case MADV_KEEPONFORK:
    case MADV_POPULATE_READ:
    case MADV_POPULATE_WRITE:
    case MADV_DONTNEED_LOCKED:
        return true;
    default:
        return false;
    }
}

/* Advice that the VMA keeps. */
static long change_flags(struct worker *w, struct mm *mm, struct vma *v, vaddr_t start, vaddr_t end,
                         uint64_t flags)
{
    mm_settle_locked(w, mm);
    return vma_modify(w, mm, v, start, end, flags) ? 0 : -LINUX_ENOMEM;
}

static long advise_vma(struct worker *w, struct mm *mm, struct vma *v, vaddr_t start, vaddr_t end,
                       uint64_t advice)
{
    switch (advice) {
    case MADV_DONTNEED:
    case MADV_DONTNEED_LOCKED:
        if ((v->flags & VM_DEVICE) || ((v->flags & VM_LOCKED) && advice == MADV_DONTNEED))
            return -LINUX_EINVAL;
        mm_settle_locked(w, mm);
        zap_range(w, mm, start, end);
        return 0;
    case MADV_DONTFORK:
        return change_flags(w, mm, v, start, end, v->flags | VM_DONTFORK);
    case MADV_DOFORK:
        return v->flags & VM_DEVICE ? -LINUX_EINVAL
                                    : change_flags(w, mm, v, start, end, v->flags & ~VM_DONTFORK);
    case MADV_WIPEONFORK:
        return vma_is_private_anon(v) ? change_flags(w, mm, v, start, end, v->flags | VM_WIPEONFORK)
                                      : -LINUX_EINVAL;
    case MADV_KEEPONFORK:
        return change_flags(w, mm, v, start, end, v->flags & ~VM_WIPEONFORK);
    default:
        return 0;
    }
}

static long populate(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end, bool write)
{
    for (vaddr_t a = start; a < end; a += PAGE_BYTES) {
        long error = 0;

        mm_lock(mm);
        mm_settle_locked(w, mm);
        struct vma *v = vma_at(mm, a);
        if (!v)
            error = -LINUX_ENOMEM;
        else if ((v->flags & VM_DEVICE) || !(v->flags & (write ? VM_WRITE : VM_READ)))
            error = -LINUX_EINVAL;
        enum fault_outcome outcome = error ? FAULT_NONE : fault_page_locked(w, mm, a, write);
        mm_unlock(mm);
        if (error)
            return error;
        if (fault_is_bad(outcome))
            return outcome == FAULT_OOM ? -LINUX_ENOMEM : -LINUX_EFAULT;
    }
    return 0;
}

long map_madvise(struct worker *w, struct mm *mm, vaddr_t address, uint64_t bytes, uint64_t advice)
{
    uint64_t length = PAGE_UP(bytes);
    vaddr_t end = address + length;
    long result = 0;

    if (!advice_is_known(advice) || (address & PAGE_MASK) || (bytes && !length) || end < address)
        return -LINUX_EINVAL;
    if (end == address)
        return 0;
    if (advice == MADV_POPULATE_READ || advice == MADV_POPULATE_WRITE)
        return populate(w, mm, address, end, advice == MADV_POPULATE_WRITE);
    mm_lock(mm);
    for (vaddr_t a = address; a < end;) {
        struct vma *v = vma_find(mm, a);

        if (!v || v->start >= end) {
            result = -LINUX_ENOMEM;
            break;
        }
        if (v->start > a) { /* a hole: go on, but say so at the end */
            result = -LINUX_ENOMEM;
            a = v->start;
        }
        vaddr_t stop = min_u64(end, v->end);
        long error = advise_vma(w, mm, v, a, stop, advice);
        if (error) {
            result = error;
            break;
        }
        a = stop;
    }
    mm_unlock(mm);
    return result;
}

static uint8_t page_is_in_core(struct mm *mm, const struct vma *v, vaddr_t a)
{
    if (pt_leaf(mm, a))
        return 1;
    uint64_t index = v->offset + ((a - v->start) >> PAGE_SHIFT);
    return v->object && index < object_pages(v->object) && object_page_cached(v->object, index);
}

long map_mincore(struct worker *w, struct mm *mm, vaddr_t address, uint64_t bytes, vaddr_t vector)
{
    uint8_t part[256];
    uint64_t pages = PAGE_UP(bytes) >> PAGE_SHIFT;

    if (address & PAGE_MASK)
        return -LINUX_EINVAL;
    if (address > mm_user_end || bytes > mm_user_end - address)
        return -LINUX_ENOMEM;
    if (vector > mm_user_end || pages > mm_user_end - vector)
        return -LINUX_EFAULT;
    while (pages) {
        uint64_t count = min_u64(pages, sizeof part);
        bool hole = false;

        mm_lock(mm);
        for (uint64_t i = 0; i < count && !hole; i++) {
            struct vma *v = vma_at(mm, address + (i << PAGE_SHIFT));

            if (v)
                part[i] = page_is_in_core(mm, v, address + (i << PAGE_SHIFT));
            else
                hole = true;
        }
        mm_unlock(mm);
        if (hole)
            return -LINUX_ENOMEM;
        if (mm_copy_out(w, mm, vector, part, count))
            return -LINUX_EFAULT;
        pages -= count;
        vector += count;
        address += count << PAGE_SHIFT;
    }
    return 0;
}

long map_msync(struct mm *mm, vaddr_t address, uint64_t bytes, uint64_t flags)
{
    vaddr_t end = address + PAGE_UP(bytes);
    long result = 0;

    if ((flags & ~(uint64_t)(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) || (address & PAGE_MASK) ||
        (flags & (MS_ASYNC | MS_SYNC)) == (MS_ASYNC | MS_SYNC))
        return -LINUX_EINVAL;
    if (end < address)
        return -LINUX_ENOMEM;
    mm_lock(mm);
    for (vaddr_t a = address; a < end;) {
        struct vma *v = vma_find(mm, a);

        if (!v) {
            result = -LINUX_ENOMEM;
            break;
        }
        if (v->start > a) {
            result = -LINUX_ENOMEM;
            if (v->start >= end)
                break;
        }
        if ((flags & MS_INVALIDATE) && (v->flags & VM_LOCKED)) {
            result = -LINUX_EBUSY;
            break;
        }
        a = v->end;
    }
    mm_unlock(mm);
    return result;
}

/* Set or clear VM_LOCKED in a range. What comes before a hole is done. */
static long lock_range(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end, bool lock)
{
    for (vaddr_t a = start; a < end;) {
        struct vma *v = vma_at(mm, a);

        if (!v)
            return -LINUX_ENOMEM;
        vaddr_t stop = min_u64(end, v->end);
        uint64_t flags = (v->flags & ~VM_LOCKED) | (lock ? VM_LOCKED : 0);
        if (!(v->flags & VM_DEVICE) && !vma_modify(w, mm, v, a, stop, flags))
            return -LINUX_ENOMEM;
        a = stop;
    }
    return 0;
}

long map_mlock(struct worker *w, struct mm *mm, vaddr_t address, uint64_t bytes, bool lock)
{
    uint64_t length = PAGE_UP(bytes + (address & PAGE_MASK));
    vaddr_t start = PAGE_DOWN(address);
    vaddr_t end = start + length;

    if (end < start)
        return -LINUX_EINVAL;
    if (end == start)
        return 0;
    mm_lock(mm);
    long error = lock_range(w, mm, start, end, lock);
    mm_unlock(mm);
    if (error || !lock)
        return error;
    error = 0;
    for (vaddr_t a = start; a < end && !error; a += PAGE_BYTES) {
        mm_lock(mm);
        mm_settle_locked(w, mm);
        struct vma *v = vma_at(mm, a);
        bool write = v && (v->flags & (VM_WRITE | VM_SHARED)) == VM_WRITE;
        enum fault_outcome outcome = fault_page_locked(w, mm, a, write);
        mm_unlock(mm);
        if (fault_is_bad(outcome))
            error = outcome == FAULT_OOM ? -LINUX_EAGAIN : -LINUX_ENOMEM;
    }
    return error;
}

static void lock_all(struct worker *w, struct mm *mm, bool lock)
{
    for (struct vma *v = vma_first(mm); v; v = vma_next(v)) {
        if (v->flags & VM_DEVICE)
            continue;
        v = vma_modify(w, mm, v, v->start, v->end,
                       (v->flags & ~VM_LOCKED) | (lock ? VM_LOCKED : 0));
    }
}

long map_mlockall(struct worker *w, struct mm *mm, uint64_t flags)
{
    if (!flags || (flags & ~(uint64_t)(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)) ||
        flags == MCL_ONFAULT)
        return -LINUX_EINVAL;
    mm_lock(mm);
    mm->lock_future = (flags & MCL_FUTURE) != 0;
    if (flags & MCL_CURRENT)
        lock_all(w, mm, true);
    mm_unlock(mm);
    if (!(flags & MCL_CURRENT) || (flags & MCL_ONFAULT))
        return 0;
    for (vaddr_t at = 0;;) {
        mm_lock(mm);
        struct vma *v = vma_find(mm, at);
        vaddr_t start = v ? v->start : 0, end = v ? v->end : 0;
        mm_unlock(mm);
        if (!v)
            return 0;
        map_populate(w, mm, start, end);
        at = end;
    }
}

long map_munlockall(struct worker *w, struct mm *mm)
{
    mm_lock(mm);
    mm->lock_future = 0;
    lock_all(w, mm, false);
    mm_unlock(mm);
    return 0;
}
