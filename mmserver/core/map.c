/*
 * mmap, munmap: making and removing mappings. See map.h.
 *
 * Every change follows one order: check the arguments, lock and settle, get all memory that could
 * be lacking (so that from here on nothing fails), change VMAs and entries, unlock.
 */
#include "mmserver/core/map.h"
#include "mmserver/core/fault.h"
#include "mmserver/core/object.h"
#include "mmserver/core/limit.h"
#include "mmserver/core/linux_abi.h"
#include "mmserver/core/placement.h"
#include "mmserver/core/hugetlb.h"
#include "mmserver/core/part.h"
#include "mmserver/core/populate.h"
#include "mmserver/core/zap.h"

/* The VM_* of a new mapping. */
static uint64_t map_vm_flags(struct mm *mm, const struct map_request *r)
{
    uint64_t flags = (r->prot & VM_ACCESS) | VM_MAYALL | mm->future_flags;

    if ((r->flags & MAP_TYPE) != MAP_PRIVATE)
        flags |= VM_SHARED | VM_MAYSHARE;
    if (unlikely(r->nowrite))
        flags &= ~VM_MAYWRITE;
    if (unlikely(r->flags & MAP_HUGETLB))
        flags |= VM_HUGETLB;
    if (unlikely(r->also)) {
        flags |= r->also;
        if (r->also & VM_DEVICE) { /* registers hold no code, and are always there */
            flags &= ~(VM_MAYEXEC | VM_LOCK_FLAGS);
            mm->devices = true;
        }
    }
    if (r->flags & (MAP_GROWSDOWN | MAP_LOCKED | MAP_NORESERVE)) {
        flags |= r->flags & MAP_GROWSDOWN ? VM_GROWSDOWN : 0;
        flags |= r->flags & MAP_LOCKED ? VM_LOCKED : 0;
        if ((r->flags & MAP_NORESERVE) && limit_overcommit != OVERCOMMIT_NEVER)
            flags |= VM_NORESERVE;
    }
    return flags | (limit_is_promised(flags) ? VM_ACCOUNT : 0);
}

#define UNMAP_FEW_PAGES 8

/* What is below a range that is going to be unmapped? */
enum below { NOTHING, EMPTY_TABLE, PAGES };

/* Most calls unmap a few pages, often untouched: then a look saves all gathering. */
static enum below look_below(const struct mm *mm, vaddr_t start, vaddr_t end)
{
    uint64_t any = 0;

    if ((start ^ (end - 1)) >> BLOCK_SHIFT || mm->huge_used)
        return PAGES;
    const uint64_t *entry = pt_entry(mm, start, 0);
    if (!entry)
        return NOTHING;
    if (end - start > UNMAP_FEW_PAGES << PAGE_SHIFT)
        return PAGES;
    for (; start < end; start += PAGE_BYTES)
        any |= *entry++;
    return any ? PAGES : EMPTY_TABLE;
}

static void unmap_pages(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end, bool last)
{
    if (last)
        zap_range_last(w, mm, start, end);
    else
        zap_range(w, mm, start, end);
}

/* [start, end) out of the middle of v: what is above it becomes a VMA of its own. */
static long unmap_hole(struct worker *w, struct mm *mm, struct vma *v, vaddr_t start, vaddr_t end,
                       bool last)
{
    if (!vma_cut_out(w, mm, v, start, end))
        return -LINUX_ENOMEM;
    if (look_below(mm, start, end) == PAGES)
        unmap_pages(w, mm, start, end, last);
    pt_free_tables(w, mm, start, end, start, end);
    return 0;
}

/* The VMAs of [start, end), whose pages are gone, from v on. */
static void unmap_vmas(struct worker *w, struct mm *mm, struct vma *v, vaddr_t start, vaddr_t end,
                       enum below there)
{
    struct vma *below = v->start < start ? v : v->prev, *next;

    for (; v && v->start < end; v = next) {
        next = v->next;
        if (v->start < start)
            vma_set_end(mm, v, start);
        else if (v->end > end)
            vma_set_start(mm, v, end);
        else
            vma_remove(w, mm, v);
    }
    if (there == NOTHING)
        return;
    struct vma *above = below ? below->next : vma_first(mm);
    pt_free_tables(w, mm, start, end, below ? below->end : 0, above ? above->start : mm_user_end);
}

void map_unmapped_locked(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end)
{
    const struct vma *above = vma_find(mm, start), *below = above ? above->prev : vma_last(mm);

    pt_free_tables(w, mm, start, end, below ? below->end : 0, above ? above->start : mm_user_end);
}

void map_unmap_moved_locked(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end)
{
    mm_fast_drop_locked(mm);
    unmap_vmas(w, mm, vma_find(mm, start), start, end, EMPTY_TABLE);
}

/* `last`: as map_unmap_last_locked(). */
static long unmap(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end, bool last)
{
    struct vma *v = vma_find(mm, start);

    if (end > mm_user_end)
        return -LINUX_EINVAL;
    if (!v || v->start >= end || start == end)
        return 0;
    long error = huge_split_edges(w, mm, start, end);
    if (error)
        return error;
    uint64_t promised = likely(!mm->huge_promises) ? 0 : hugetlb_promised(mm, start, end);
    if (v->start < start && v->end > end) {
        if (likely(!promised))
            return unmap_hole(w, mm, v, start, end, last);
        if (!vma_split(w, mm, v, end)) /* the VMA is asked about its pages when they go */
            return -LINUX_ENOMEM;
    }
    mm_fast_drop_locked(mm);
    enum below there = look_below(mm, start, end);
    if (there == PAGES)
        unmap_pages(w, mm, start, end, last);
    unmap_vmas(w, mm, v, start, end, there);
    if (unlikely(promised))
        hugetlb_unreserve(mm, promised);
    return 0;
}

long map_unmap_locked(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end)
{
    return unmap(w, mm, start, end, false);
}

long map_unmap_last_locked(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end)
{
    return unmap(w, mm, start, end, true);
}

/* Nothing that may fail is left when the first pages go. */
static long unmap_edges(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end)
{
    struct vma *v = vma_find(mm, start);
    long error = huge_split_edges(w, mm, start, end);

    if (error || !v || v->start >= start || v->end <= end)
        return error;
    return vma_split(w, mm, v, end) ? 0 : -LINUX_ENOMEM;
}

long map_unmap_part_locked(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end)
{
    if (part_is_less(mm, start, end) && end <= mm_user_end) {
        long error = unmap_edges(w, mm, start, end);

        if (error)
            return error;
        if (part_zap(w, mm, start, end))
            return 1;
    }
    return map_unmap_last_locked(w, mm, start, end);
}

long map_place_locked(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end, uint64_t flags,
                      struct object *object, uint64_t offset)
{
    struct vma_kind kind = {flags, object, object ? offset : start >> PAGE_SHIFT, NULL, {0, 0}};

    if (flags & VM_DEVICE)
        mm->devices = true;
    else
        kind.flags |= VM_MAYALL | (limit_is_promised(flags) ? VM_ACCOUNT : 0);
    return vma_add(w, mm, vma_find(mm, start), start, end, &kind) ? 0 : -LINUX_ENOMEM;
}

void map_populate(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end)
{
    (void)populate_range(w, mm, start, end, POPULATE_BY_VMA);
}

/* Pages of [start, end) that are mapped; `above`: the first VMA that ends above `start`. */
static uint64_t pages_mapped(const struct vma *above, vaddr_t start, vaddr_t end)
{
    uint64_t bytes = 0;

    for (; above && above->start < end; above = above->next)
        bytes += min_u64(above->end, end) - max_u64(above->start, start);
    return bytes >> PAGE_SHIFT;
}

/* The limits, in the order in which Linux looks at them. `replaced`: pages that go. */
static long mmap_limits(struct mm *mm, const struct map_request *r, uint64_t flags, uint64_t pages,
                        uint64_t replaced)
{
    if (unlikely(flags & VM_LOCKED)) {
        if ((r->flags & MAP_LOCKED) && !limit_may_lock(mm))
            return -LINUX_EPERM;
        if (!limit_lock(mm, pages))
            return -LINUX_EAGAIN;
    }
    if (!limit_expand(mm, flags, pages - replaced) ||
        ((flags & VM_ACCOUNT) && !limit_commit(pages)))
        return -LINUX_ENOMEM;
    return 0;
}

/* Where Linux puts huge pages, a mapping of whole ones begins at one. */
static uint64_t map_align(const struct map_request *r, uint64_t bytes)
{
    if (r->flags & MAP_HUGETLB)
        return BLOCK_BYTES;
    return unlikely(!(bytes & (BLOCK_BYTES - 1))) && !r->object ? BLOCK_BYTES : 0;
}

/* *part: a part of what has to go before was done, and the call is made again. */
static long mmap_locked(struct worker *w, struct mm *mm, const struct map_request *r,
                        uint64_t bytes, uint64_t flags, bool *part)
{
    bool fixed = r->flags & (MAP_FIXED | MAP_FIXED_NOREPLACE);
    uint64_t replaced = 0;
    struct vma *above;
    vaddr_t at = r->address;

    if (fixed)
        above = vma_find(mm, at);
    else if (!(at = placement_find(mm, at, bytes, map_align(r, bytes), &above)))
        return -LINUX_ENOMEM;
    bool taken = fixed && above && above->start < at + bytes;
    if (taken) {
        if (r->flags & MAP_FIXED_NOREPLACE)
            return -LINUX_EEXIST;
        replaced = pages_mapped(above, at, at + bytes);
    }
    long error = mmap_limits(mm, r, flags, bytes >> PAGE_SHIFT, replaced);
    if (error)
        return error;
    if (taken) {
        mm_settle_locked(w, mm);
        error = huge_split_edges(w, mm, at, at + bytes);
        if (!error && !(flags & VM_HUGETLB) && part_zap(w, mm, at, at + bytes)) {
            *part = true;
            return (long)at;
        }
        error = error ? error : map_unmap_locked(w, mm, at, at + bytes);
        if (error)
            return error;
        above = vma_find(mm, at);
    }
    if (unlikely(flags & VM_HUGETLB))
        hugetlb_mapped(w, mm, at, at + bytes);
    const struct vma_kind kind = {
        flags, r->object, r->object ? r->offset : at >> PAGE_SHIFT, NULL, {0, 0}};
    return vma_add(w, mm, above, at, at + bytes, &kind) ? (long)at : -LINUX_ENOMEM;
}

static long type_check(const struct map_request *r)
{
    switch (r->flags & MAP_TYPE) {
    case MAP_PRIVATE:
        return 0;
    case MAP_SHARED_VALIDATE:
        if (!r->object && !(r->flags & MAP_HUGETLB)) /* those have one in any case */
            return -LINUX_EINVAL;
        if (r->flags & ~(uint64_t)MAP_SHARED_KNOWN)
            return -LINUX_EOPNOTSUPP;
        /* fall through */
    case MAP_SHARED:
        return r->flags & MAP_GROWSDOWN ? -LINUX_EINVAL : 0;
    default:
        return -LINUX_EINVAL;
    }
}

/* Errors in the order in which Linux finds them. */
static long mmap_check(const struct mm *mm, const struct map_request *r)
{
    uint64_t bytes = PAGE_UP(r->bytes);

    if (!r->bytes)
        return -LINUX_EINVAL;
    if (!bytes || bytes > mm_user_end)
        return -LINUX_ENOMEM;
    if (r->object && r->offset + (bytes >> PAGE_SHIFT) < r->offset)
        return -LINUX_EOVERFLOW;
    if (mm->map_count > map_count_max)
        return -LINUX_ENOMEM;
    if (r->flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
        if (r->address > mm_user_end - bytes)
            return -LINUX_ENOMEM;
        if (r->address & PAGE_MASK)
            return -LINUX_EINVAL;
        if (r->address < placement_lowest)
            return -LINUX_EPERM;
    }
    return likely((r->flags & MAP_TYPE) == MAP_PRIVATE) ? 0 : type_check(r);
}

/* What was checked. A shared mapping has an object, and its writers are those who may be. */
static long map_object(struct worker *w, struct mm *mm, const struct map_request *r)
{
    uint64_t bytes = PAGE_UP(r->bytes);
    mm_lock(mm);
    uint64_t flags = map_vm_flags(mm, r);
    bool part = false;
    long at = mmap_locked(w, mm, r, bytes, flags, &part);
    mm_unlock(mm);
    if (unlikely(part))
        return at;
    if (unlikely((flags & VM_LOCKED) || (r->flags & MAP_POPULATE)) && at > 0 &&
        ((flags & VM_LOCK_FLAGS) == VM_LOCKED ||
         (r->flags & (MAP_POPULATE | MAP_NONBLOCK)) == MAP_POPULATE))
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

/* Who may write counts as a writer of the object. */
static long map_shared(struct worker *w, struct mm *mm, const struct map_request *r)
{
    struct map_request with = *r;

    if (!r->object)
        return map_shared_anonymous(w, mm, r);
    long error = object_share(r->object, r->prot & PROT_WRITE, &with.nowrite);
    if (error)
        return error;
    long at = map_object(w, mm, &with);
    object_unshare(r->object, with.nowrite);
    return at;
}

/* A private mapping of huge pages is promised what it has room for before it is there. */
static long map_hugetlb_private(struct worker *w, struct mm *mm, const struct map_request *r)
{
    uint64_t pages = r->flags & MAP_NORESERVE ? 0 : r->bytes >> BLOCK_SHIFT;

    if (!hugetlb_reserve(mm, pages))
        return -LINUX_ENOMEM;
    mm->huge_promises = true;
    long at = map_object(w, mm, r);
    if (at < 0)
        hugetlb_unreserve(mm, pages);
    return at;
}

/* Of a shared one the object is, and keeps the promises whatever becomes of the mapping. */
static long map_hugetlb_shared(struct worker *w, struct mm *mm, const struct map_request *r)
{
    uint64_t first = r->offset >> HUGE_ORDER;
    long error =
        r->flags & MAP_NORESERVE
            ? 0
            : hugetlb_object_promise(w, r->object, first, first + (r->bytes >> BLOCK_SHIFT));

    return error ? error : map_shared(w, mm, r);
}

/* Checked but for its object, which makes it as long as what may be written of it, as Linux does.
 */
static long map_hugetlb_object(struct worker *w, struct mm *mm, const struct map_request *r)
{
    struct object *o = r->object;
    bool shared = (r->flags & MAP_TYPE) != MAP_PRIVATE;

    mm->huge_used = true;
    bool refused =
        shared && o && (r->nowrite || object_is_sealed(o, F_SEAL_WRITE | F_SEAL_FUTURE_WRITE));
    if (o && (r->prot & PROT_WRITE) && !refused)
        hugetlb_object_extend(o, (r->offset << PAGE_SHIFT) + r->bytes);
    return shared ? map_hugetlb_shared(w, mm, r) : map_hugetlb_private(w, mm, r);
}

static long map_hugetlb_anonymous(struct worker *w, struct mm *mm, struct map_request *r)
{
    uint64_t shift = r->flags >> MAP_HUGE_SHIFT & MAP_HUGE_MASK;

    if (shift && shift != BLOCK_SHIFT)
        return -LINUX_EINVAL;
    if ((r->flags & MAP_TYPE) == MAP_PRIVATE)
        return map_hugetlb_object(w, mm, r);
    r->object = object_create(w, OBJECT_HUGETLB, r->bytes, 0, HUGETLB_NAME);
    if (!r->object)
        return -LINUX_ENOMEM;
    long at = map_hugetlb_object(w, mm, r);
    object_put(w, r->object);
    return at;
}

/* MAP_HUGETLB, or an object of huge pages: whole pages of the one size that there is. */
static long map_hugetlb(struct worker *w, struct mm *mm, const struct map_request *r)
{
    bool fixed = r->flags & (MAP_FIXED | MAP_FIXED_NOREPLACE);
    struct map_request with = *r;

    if (!r->bytes || (r->object && r->object->kind != OBJECT_HUGETLB) || (r->flags & MAP_GROWSDOWN))
        return -LINUX_EINVAL;
    if (r->bytes > mm_user_end)
        return -LINUX_ENOMEM;
    with.flags |= MAP_HUGETLB;
    with.bytes = ROUND_UP(r->bytes, BLOCK_BYTES);
    if ((r->offset & (HUGE_PAGES - 1)) || (fixed && (r->address & (BLOCK_BYTES - 1))))
        return -LINUX_EINVAL;
    with.address = ROUND_UP(r->address, BLOCK_BYTES);
    long error = mmap_check(mm, &with);
    if (error)
        return error;
    return r->object ? map_hugetlb_object(w, mm, &with) : map_hugetlb_anonymous(w, mm, &with);
}

static bool is_hugetlb(const struct map_request *r)
{
    return (r->flags & MAP_HUGETLB) || (r->object && r->object->kind == OBJECT_HUGETLB);
}

long map_mmap(struct worker *w, struct mm *mm, const struct map_request *r)
{
    if (unlikely(is_hugetlb(r)))
        return map_hugetlb(w, mm, r);
    long error = mmap_check(mm, r);

    if (error)
        return error;
    return likely((r->flags & MAP_TYPE) == MAP_PRIVATE) ? map_object(w, mm, r)
                                                        : map_shared(w, mm, r);
}

long map_munmap(struct worker *w, struct mm *mm, vaddr_t address, uint64_t bytes)
{
    if ((address & PAGE_MASK) || address > mm_user_end || bytes > mm_user_end - address)
        return -LINUX_EINVAL;
    if (!PAGE_UP(bytes))
        return -LINUX_EINVAL;
    mm_lock(mm);
    mm_settle_locked(w, mm);
    long error = map_unmap_part_locked(w, mm, address, address + PAGE_UP(bytes));
    ops_unlock(w, mm);
    return error > 0 ? (long)address : error;
}

/* Is v a part of a segment that was attached at `address`? */
static bool vma_is_attached(const struct vma *v, vaddr_t address)
{
    return v->object && v->object->segment && v->start - address == v->offset << PAGE_SHIFT;
}

/* As Linux does it: the first part that is left says which segment, then all its other parts. */
static long detach_locked(struct worker *w, struct mm *mm, vaddr_t address)
{
    struct vma *v = vma_find(mm, address), *next;

    while (v && !vma_is_attached(v, address))
        v = v->next;
    if (!v)
        return -LINUX_EINVAL;
    struct object *o = v->object;
    vaddr_t end = address + PAGE_UP(o->bytes);
    long handle = o->handle;
    for (; v && v->end <= end; v = next) {
        vaddr_t start = v->start, stop = v->end;
        bool part = v->object == o && vma_is_attached(v, address);

        next = v->next;
        if (part)
            mm_assert(!map_unmap_locked(w, mm, start, stop));
    }
    return handle;
}

long map_detach(struct worker *w, struct mm *mm, vaddr_t address)
{
    if (address & PAGE_MASK)
        return -LINUX_EINVAL;
    mm_lock(mm);
    mm_settle_locked(w, mm);
    long handle = detach_locked(w, mm, address);
    mm_unlock(mm);
    return handle;
}
