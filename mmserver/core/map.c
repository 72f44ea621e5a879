/*
 * mmap, munmap, brk: making and removing mappings. See map.h.
 *
 * Every change follows one order: check the arguments, lock and settle, get all memory that could
 * be lacking (so that from here on nothing fails), change VMAs and entries, unlock.
 */
#include "mmserver/core/map.h"
#include "mmserver/core/fault.h"
#include "mmserver/core/object.h"
#include "mmserver/core/linux_abi.h"
#include "mmserver/core/zap.h"

static uint64_t prot_flags(uint64_t prot)
{
    return (prot & PROT_READ ? VM_READ : 0) | (prot & PROT_WRITE ? VM_WRITE : 0) |
           (prot & PROT_EXEC ? VM_EXEC : 0);
}

static uint64_t map_vm_flags(const struct mm *mm, const struct map_request *r)
{
    uint64_t flags = prot_flags(r->prot);

    if ((r->flags & MAP_TYPE) != MAP_PRIVATE)
        flags |= VM_SHARED | (r->nowrite ? VM_NOWRITE : 0);
    if (r->flags & MAP_GROWSDOWN)
        flags |= VM_GROWSDOWN;
    if (r->flags & MAP_NORESERVE)
        flags |= VM_NORESERVE;
    if ((r->flags & MAP_LOCKED) || mm->lock_future)
        flags |= VM_LOCKED;
    return flags;
}

/*
 * Room as Linux finds it: at the hint if that is free and clear of a stack's guard, else top-down.
 * *above: the first VMA that ends above it.
 */
static vaddr_t place_find(struct mm *mm, vaddr_t hint, uint64_t bytes, struct vma **above)
{
    hint = PAGE_UP(hint);
    if (hint) {
        hint = max_u64(hint, MMAP_MIN_ADDRESS);
        if (bytes <= mm_user_end && hint <= mm_user_end - bytes) {
            struct vma *v = vma_find(mm, hint);

            *above = v;
            if (!v || (v->start >= hint + bytes && vma_start_guarded(v) >= hint + bytes))
                return hint;
        }
    }
    vaddr_t found = vma_gap_below(mm, MMAP_MIN_ADDRESS, mm->mmap_base, bytes, above);
    return found ? found : vma_gap_below(mm, MMAP_MIN_ADDRESS, mm_user_end, bytes, above);
}

/* Only a request that could never be met is refused for its size (Linux's heuristic overcommit). */
static bool commit_refused(uint64_t flags, uint64_t pages)
{
    return (flags & (VM_WRITE | VM_SHARED | VM_NORESERVE)) == VM_WRITE && pages > phys.total_pages;
}

/* [start, end) out of the middle of v: what is above it becomes a VMA of its own. */
static long unmap_hole(struct worker *w, struct mm *mm, struct vma *v, vaddr_t start, vaddr_t end)
{
    if (!vma_split(w, mm, v, end))
        return -LINUX_ENOMEM;
    zap_range(w, mm, start, end);
    vma_resize(mm, v, v->start, start);
    pt_free_tables(w, mm, start, end, start, end);
    return 0;
}

long map_unmap_locked(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end)
{
    struct vma *v = vma_find(mm, start), *next;

    if (end > mm_user_end)
        return -LINUX_EINVAL;
    if (!v || v->start >= end)
        return 0;
    if (v->start < start && v->end > end)
        return unmap_hole(w, mm, v, start, end);
    mm_fast_drop_locked(mm);
    zap_range(w, mm, start, end);
    struct vma *below = v->start < start ? v : v->prev;
    for (; v && v->start < end; v = next) {
        next = v->next;
        if (v->start < start)
            vma_resize(mm, v, v->start, start);
        else if (v->end > end)
            vma_resize(mm, v, end, v->end);
        else
            vma_remove(w, mm, v);
    }
    struct vma *above = below ? below->next : vma_first(mm);
    pt_free_tables(w, mm, start, end, below ? below->end : 0, above ? above->start : mm_user_end);
    return 0;
}

/* map_place_locked() with the first VMA that ends above it known. */
static long place_below(struct worker *w, struct mm *mm, struct vma *above, vaddr_t start,
                        vaddr_t end, const struct vma_kind *kind)
{
    return vma_add(w, mm, above, start, end, kind) ? 0 : -LINUX_ENOMEM;
}

long map_place_locked(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end, uint64_t flags,
                      struct object *object, uint64_t offset)
{
    const struct vma_kind kind = {flags, object, object ? offset : start >> PAGE_SHIFT, NULL};

    return place_below(w, mm, vma_find(mm, start), start, end, &kind);
}

void map_populate(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end)
{
    for (vaddr_t a = start; a < end; a += PAGE_BYTES) {
        mm_lock(mm);
        struct vma *v = vma_at(mm, a);
        bool write = v && (v->flags & (VM_WRITE | VM_SHARED)) == VM_WRITE;
        enum fault_outcome outcome = FAULT_MAPERR;
        if (v) {
            mm_settle_locked(w, mm);
            outcome = fault_page_locked(w, mm, a, write);
        }
        mm_unlock(mm);
        if (fault_is_bad(outcome))
            return;
    }
}

static long mmap_locked(struct worker *w, struct mm *mm, const struct map_request *r,
                        uint64_t bytes, uint64_t flags)
{
    bool fixed = r->flags & (MAP_FIXED | MAP_FIXED_NOREPLACE);
    struct vma *above;
    vaddr_t at = r->address;

    if (fixed)
        above = vma_find(mm, at);
    else if (!(at = place_find(mm, at, bytes, &above)))
        return -LINUX_ENOMEM;
    bool taken = fixed && above && above->start < at + bytes;
    if (taken && (r->flags & MAP_FIXED_NOREPLACE))
        return -LINUX_EEXIST;
    if (commit_refused(flags, bytes >> PAGE_SHIFT))
        return -LINUX_ENOMEM;
    if (taken) {
        mm_settle_locked(w, mm);
        if (map_unmap_locked(w, mm, at, at + bytes))
            return -LINUX_ENOMEM;
        above = vma_find(mm, at);
    }
    const struct vma_kind kind = {flags, r->object, r->object ? r->offset : at >> PAGE_SHIFT, NULL};
    long error = place_below(w, mm, above, at, at + bytes, &kind);
    return error ? error : (long)at;
}

static long mmap_check(const struct mm *mm, const struct map_request *r)
{
    uint64_t type = r->flags & MAP_TYPE;

    if (type != MAP_PRIVATE && type != MAP_SHARED &&
        !(type == MAP_SHARED_VALIDATE && !(r->flags & MAP_ANONYMOUS)))
        return -LINUX_EINVAL;
    if (!r->bytes)
        return -LINUX_EINVAL;
    if (r->flags & MAP_HUGETLB)
        return -LINUX_ENOMEM; /* none are kept */
    if ((r->flags & MAP_GROWSDOWN) && type != MAP_PRIVATE)
        return -LINUX_EINVAL;
    if (!PAGE_UP(r->bytes) || PAGE_UP(r->bytes) > mm_user_end)
        return -LINUX_ENOMEM;
    if (r->object && r->offset + (PAGE_UP(r->bytes) >> PAGE_SHIFT) < r->offset)
        return -LINUX_EOVERFLOW;
    if (mm->map_count > MAP_COUNT_MAX)
        return -LINUX_ENOMEM;
    if (r->flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
        if (r->address > mm_user_end - PAGE_UP(r->bytes))
            return -LINUX_ENOMEM;
        if (r->address & PAGE_MASK)
            return -LINUX_EINVAL;
        if (r->address < MMAP_MIN_ADDRESS)
            return -LINUX_EPERM;
    }
    return 0;
}

/* What was checked. A shared mapping has an object, and its writers are those who may be. */
static long map_object(struct worker *w, struct mm *mm, const struct map_request *r)
{
    uint64_t bytes = PAGE_UP(r->bytes);

    mm_lock(mm);
    uint64_t flags = map_vm_flags(mm, r);
    long at = mmap_locked(w, mm, r, bytes, flags);
    mm_unlock(mm);
    if (at > 0 &&
        ((flags & VM_LOCKED) || (r->flags & (MAP_POPULATE | MAP_NONBLOCK)) == MAP_POPULATE))
        map_populate(w, mm, (vaddr_t)at, (vaddr_t)at + bytes);
    return at;
}

/* Memory that nothing but its mappings refers to; inherited by fork. */
static long map_shared_anonymous(struct worker *w, struct mm *mm, const struct map_request *r)
{
    struct map_request with = *r;

    with.object = object_memory(w, PAGE_UP(r->bytes), 0, "/dev/zero (deleted)");
    if (!with.object)
        return -LINUX_ENOMEM;
    long at = map_object(w, mm, &with);
    object_put(w, with.object);
    return at;
}

long map_mmap(struct worker *w, struct mm *mm, const struct map_request *r)
{
    struct map_request with = *r;
    long error = mmap_check(mm, r);

    if (error)
        return error;
    if ((r->flags & MAP_TYPE) == MAP_PRIVATE)
        return map_object(w, mm, r);
    if (!r->object)
        return map_shared_anonymous(w, mm, r);
    error = object_share(r->object, r->prot & PROT_WRITE, &with.nowrite);
    if (error)
        return error;
    long at = map_object(w, mm, &with);
    object_unshare(r->object, with.nowrite);
    return at;
}

long map_munmap(struct worker *w, struct mm *mm, vaddr_t address, uint64_t bytes)
{
    if ((address & PAGE_MASK) || address > mm_user_end || bytes > mm_user_end - address)
        return -LINUX_EINVAL;
    if (!PAGE_UP(bytes))
        return -LINUX_EINVAL;
    mm_lock(mm);
    mm_settle_locked(w, mm);
    long error = map_unmap_locked(w, mm, address, address + PAGE_UP(bytes));
    mm_unlock(mm);
    return error;
}

static long brk_locked(struct worker *w, struct mm *mm, vaddr_t end)
{
    vaddr_t old = PAGE_UP(mm->brk_end);
    vaddr_t new = PAGE_UP(end);

    if (end < mm->brk_start || new < end || new > mm_user_end)
        return (long)mm->brk_end;
    if (new < old) {
        mm_settle_locked(w, mm);
        if (map_unmap_locked(w, mm, new, old))
            return (long)mm->brk_end;
    } else if (new > old) {
        struct vma *next = vma_find(mm, old);
        uint64_t flags = VM_READ | VM_WRITE | VM_HEAP | (mm->lock_future ? VM_LOCKED : 0);

        if (next && vma_start_guarded(next) < new + PAGE_BYTES)
            return (long)mm->brk_end;
        if (commit_refused(flags, (new - old) >> PAGE_SHIFT) ||
            map_place_locked(w, mm, old, new, flags, NULL, 0))
            return (long)mm->brk_end;
    }
    mm->brk_end = end;
    return (long)end;
}

long map_brk(struct worker *w, struct mm *mm, vaddr_t end)
{
    mm_lock(mm);
    vaddr_t old = PAGE_UP(mm->brk_end);
    long at = brk_locked(w, mm, end);
    bool populate = mm->lock_future && (vaddr_t)at > old;
    mm_unlock(mm);
    if (populate)
        map_populate(w, mm, old, PAGE_UP((vaddr_t)at));
    return at;
}
