/* brk: the end of the heap. It never fails: the answer is where the break is now. See map.h. */
#include "mmserver/core/limit.h"
#include "mmserver/core/map.h"
#include "mmserver/core/pt.h"

/* RLIMIT_DATA covers the heap and the program's data segment. */
static bool data_exceeded(const struct mm *mm, vaddr_t end)
{
    uint64_t limit = mm->limit[MM_LIMIT_DATA];

    return limit != LIMIT_NONE && end - mm->brk_start + mm->data_end - mm->data_start > limit;
}

static bool grow(struct worker *w, struct mm *mm, vaddr_t old, vaddr_t new)
{
    struct vma *above = vma_find(mm, old);
    uint64_t flags = VM_READ | VM_WRITE | VM_MAYALL | VM_ACCOUNT | mm->future_flags;
    uint64_t pages = (new - old) >> PAGE_SHIFT;

    if (above && vma_start_guarded(above) < new + PAGE_BYTES)
        return false;
    if (!limit_expand(mm, flags, pages) || !limit_commit(pages) ||
        ((flags & VM_LOCKED) && !limit_lock(mm, pages)))
        return false;
    const struct vma_kind kind = {.flags = flags, .offset = old >> PAGE_SHIFT};
    return vma_add(w, mm, above, old, new, &kind) != NULL;
}

static vaddr_t brk_locked(struct worker *w, struct mm *mm, vaddr_t end)
{
    vaddr_t old = PAGE_UP(mm->brk_end), new = PAGE_UP(end);

    if (end < mm->brk_start || new < end || new > mm_user_end || data_exceeded(mm, end))
        return mm->brk_end;
    if (new < old) {
        mm_settle_locked(w, mm);
        long error = map_unmap_part_locked(w, mm, new, old);
        if (error)
            return error > 0 ? end : mm->brk_end;
    } else if (new > old && !grow(w, mm, old, new)) {
        return mm->brk_end;
    }
    mm->brk_end = end;
    return end;
}

long map_brk(struct worker *w, struct mm *mm, vaddr_t end)
{
    mm_lock(mm);
    vaddr_t old = mm->brk_end;
    vaddr_t at = brk_locked(w, mm, end);
    bool populate = at > old && (mm->future_flags & VM_LOCK_FLAGS) == VM_LOCKED;
    ops_unlock(w, mm); /* who grows has none */
    if (populate)
        map_populate(w, mm, PAGE_UP(old), PAGE_UP(at));
    return (long)at;
}
