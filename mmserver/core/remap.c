/*
 * mremap: a mapping shrinks, grows where it is, or moves. A move takes entries out of the one place
 * and puts them into the other, table by table; no page is copied.
 */
#include "mmserver/core/fault.h"
#include "mmserver/core/hugetlb.h"
#include "mmserver/core/linux_abi.h"
#include "mmserver/core/map.h"
#include "mmserver/core/zap.h"

struct remap {
    struct worker *w;
    struct mm *mm;
    vaddr_t address;
    uint64_t old_bytes, new_bytes;
    uint64_t flags;
    vaddr_t new_address;
};

/* How many of the addresses from `a` on are in the leaf table of `a`. */
static uint64_t table_rest(vaddr_t a)
{
    return BLOCK_BYTES - (a & (BLOCK_BYTES - 1));
}

/* One operation for each pair of a leaf table here and a leaf table there; not sent. */
static void move_pages(struct remap *r, vaddr_t to)
{
    vaddr_t end = r->address + r->old_bytes;
    const uint64_t *table;

    for (vaddr_t a = pt_next_table(r->mm, r->address, end, &table); a < end;
         a = pt_next_table(r->mm, a, end, &table)) {
        vaddr_t there = to + (a - r->address);
        uint64_t bytes = min_u64(end - a, min_u64(table_rest(a), table_rest(there)));
        struct batch_op *op = op_add(r->w, r->mm, BATCH_MOVE, a);

        op->count = (uint32_t)(bytes >> PAGE_SHIFT);
        op->extra = there;
        a += bytes;
    }
}

/* Tables at the new place for all that the old place has. */
static long move_tables_ready(struct remap *r, vaddr_t to)
{
    vaddr_t end = r->address + r->old_bytes;
    const uint64_t *table;

    for (vaddr_t a = pt_next_table(r->mm, r->address, end, &table); a < end;
         a = pt_next_table(r->mm, a, end, &table)) {
        vaddr_t stop = min_u64(end, ROUND_DOWN(a, BLOCK_BYTES) + BLOCK_BYTES);
        vaddr_t at = to + (a - r->address);

        if (pt_ensure_range(r->w, r->mm, at, at + (stop - a)))
            return -LINUX_ENOMEM;
        a = stop;
    }
    return 0;
}

/*
 * Where the VMA of the old range must be cut first, so that the range is at an end of its VMA once
 * the copy is there, which may become one with it: then nothing can fail after pages moved. 0:
 * nowhere.
 */
static vaddr_t hole_cut(const struct remap *r, const struct vma *v, vaddr_t to)
{
    vaddr_t end = r->address + r->old_bytes;
    bool below = v->start<r->address, above = v->end> end;

    if (!r->old_bytes) /* nothing leaves */
        return 0;
    if (below && !above && to == end)
        return r->address;
    return above && (below || to + r->new_bytes == r->address) ? end : 0;
}

/* What stays but is unlocked becomes a VMA of its own. False without memory. */
static bool cut_unlocked(struct remap *r, struct vma *v)
{
    vaddr_t end = r->address + r->old_bytes;

    if (!(v->flags & VM_LOCK_FLAGS))
        return true;
    if (v->end > end && !vma_split(r->w, r->mm, v, end))
        return false;
    return v->start == r->address || vma_split(r->w, r->mm, v, r->address);
}

/*
 * A VMA was cut in two before the copy of a part of it was made, which may have become one with
 * either half. On Linux it would have become one with the whole: what it then shares, both halves
 * share.
 */
static void rejoin_anon(struct vma *lower, struct vma *upper)
{
    if (lower->anon != upper->anon && rmap_can_merge(lower, upper)) {
        rmap_merge(lower, upper);
        rmap_merge(upper, lower);
    }
}

/* A whole VMA that keeps its length goes itself, and needs no copy. Did it? */
static bool move_vma(struct remap *r, struct vma *v, vaddr_t to)
{
    vaddr_t end = r->address + r->old_bytes;

    if (v->start != r->address || v->end != end || r->new_bytes != r->old_bytes ||
        (r->flags & MREMAP_DONTUNMAP) || !vma_move(r->mm, v, to))
        return false;
    move_pages(r, to);
    map_unmapped_locked(r->w, r->mm, r->address, end);
    return true;
}

static long remap_move(struct remap *r, struct vma *v, vaddr_t to)
{
    /* Anonymous pages keep their index, so their VMA keeps its numbering; where there never was a
     * page it is a mapping like any new one. As on Linux one that stays is not joined with its
     * copy. */
    bool numbered = v->object || v->anon, stays = r->flags & MREMAP_DONTUNMAP;
    const struct vma_kind kind = {v->flags,
                                  v->object,
                                  numbered ? vma_offset_at(v, r->address) : to >> PAGE_SHIFT,
                                  v->anon ? v : NULL,
                                  {stays ? v->start : 0, stays ? v->end : 0}};
    vaddr_t end = r->address + r->old_bytes;
    vaddr_t cut = stays ? 0 : hole_cut(r, v, to);
    bool huge = v->flags & VM_HUGETLB;

    if (huge_split_all(r->w, r->mm, r->address, end) || (stays && !cut_unlocked(r, v)) ||
        (cut && !vma_split(r->w, r->mm, v, cut)) ||
        (huge ? hugetlb_move_ready(r->w, r->mm, r->address, end, to) : move_tables_ready(r, to)))
        return -LINUX_ENOMEM;
    if (move_vma(r, v, to))
        return (long)to;
    if (!vma_add(r->w, r->mm, vma_find(r->mm, to), to, to + r->new_bytes, &kind))
        return -LINUX_ENOMEM;
    if (cut && !kind.object)
        rejoin_anon(vma_at(r->mm, cut - PAGE_BYTES), vma_at(r->mm, cut));
    if (unlikely(huge))
        hugetlb_move(r->w, r->mm, r->address, end, to);
    else
        move_pages(r, to);
    if (stays)
        vma_emptied(r->w, r->mm, vma_at(r->mm, r->address), r->address, end);
    else
        map_unmap_moved_locked(r->w, r->mm, r->address, end);
    mm_fast_drop_locked(r->mm);
    return (long)to;
}

/* May [address, address + old_bytes) of v become new_bytes? */
static long resize_check(const struct remap *r, const struct vma *v)
{
    if (!r->old_bytes && !(v->flags & VM_SHARED))
        return -LINUX_EINVAL;
    if ((r->flags & MREMAP_DONTUNMAP) && (v->flags & (VM_DONTEXPAND | VM_DEVICE | VM_HUGETLB)))
        return -LINUX_EINVAL;
    if (r->old_bytes > v->end - r->address)
        return -LINUX_EFAULT;
    if (r->new_bytes > r->old_bytes && (v->flags & VM_DEVICE))
        return -LINUX_EFAULT;
    if ((v->flags & VM_DEVICE) && !v->ops)
        return -LINUX_EINVAL;
    return 0;
}

static long remap_fixed(struct remap *r)
{
    vaddr_t to = r->new_address;
    struct mm *mm = r->mm;
    long error;

    if (r->flags & MREMAP_FIXED) {
        if (to & PAGE_MASK)
            return -LINUX_EINVAL;
        if (r->new_bytes > mm_user_end || to > mm_user_end - r->new_bytes)
            return -LINUX_EINVAL;
        if (r->address + r->old_bytes > to && to + r->new_bytes > r->address)
            return -LINUX_EINVAL;
        if (to < MMAP_MIN_ADDRESS)
            return -LINUX_EPERM;
        error = map_unmap_locked(r->w, mm, to, to + r->new_bytes);
        if (error)
            return error;
    }
    if (r->old_bytes > r->new_bytes) {
        error = map_unmap_locked(r->w, mm, r->address + r->new_bytes, r->address + r->old_bytes);
        if (error)
            return error;
        r->old_bytes = r->new_bytes;
    }
    struct vma *v = vma_at(mm, r->address);
    error = v ? resize_check(r, v) : -LINUX_EFAULT;
    if (error)
        return error;
    if (!(r->flags & MREMAP_FIXED)) {
        struct vma *above;

        to = vma_gap_below(mm, MMAP_MIN_ADDRESS, mm->mmap_base, r->new_bytes, &above);
        if (!to)
            return -LINUX_ENOMEM;
    }
    return remap_move(r, v, to);
}

static bool can_grow_in_place(const struct remap *r, struct vma *v)
{
    vaddr_t end = r->address + r->new_bytes;
    struct vma *next = vma_next(v);

    return r->address + r->old_bytes == v->end && end > r->address && end <= mm_user_end &&
           (!next || next->start >= end);
}

/* Of huge pages: whole ones, and no more than there are. */
static long hugetlb_check_remap(struct remap *r)
{
    r->old_bytes = ROUND_UP(r->old_bytes, BLOCK_BYTES);
    r->new_bytes = ROUND_UP(r->new_bytes, BLOCK_BYTES);
    if (((r->address | r->new_address) & (BLOCK_BYTES - 1)) || r->new_bytes > r->old_bytes)
        return -LINUX_EINVAL;
    return 0;
}

static long remap_locked(struct remap *r)
{
    struct mm *mm = r->mm;
    struct vma *v = vma_at(mm, r->address);

    if (!v)
        return -LINUX_EFAULT;
    if (unlikely(v->flags & VM_HUGETLB) && hugetlb_check_remap(r))
        return -LINUX_EINVAL;
    if (mm->map_count + 4 > map_count_max)
        return -LINUX_ENOMEM;
    if (r->flags & (MREMAP_FIXED | MREMAP_DONTUNMAP))
        return remap_fixed(r);
    long error;
    if (r->old_bytes >= r->new_bytes) {
        error =
            map_unmap_part_locked(r->w, mm, r->address + r->new_bytes, r->address + r->old_bytes);
        return error < 0 ? error : (long)r->address;
    }
    error = resize_check(r, v);
    if (error)
        return error;
    if (can_grow_in_place(r, v)) {
        vma_grow_up(r->w, mm, v, r->address + r->new_bytes);
        return (long)r->address;
    }
    if (!(r->flags & MREMAP_MAYMOVE))
        return -LINUX_ENOMEM;
    struct vma *above;
    vaddr_t to = vma_gap_below(mm, MMAP_MIN_ADDRESS, mm->mmap_base, r->new_bytes, &above);
    return to ? remap_move(r, v, to) : -LINUX_ENOMEM;
}

long map_mremap(struct worker *w, struct mm *mm, vaddr_t address, uint64_t old_bytes,
                uint64_t new_bytes, uint64_t flags, vaddr_t new_address)
{
    struct remap r = {w, mm, address, PAGE_UP(old_bytes), PAGE_UP(new_bytes), flags, new_address};

    if (flags & ~(uint64_t)(MREMAP_FIXED | MREMAP_MAYMOVE | MREMAP_DONTUNMAP))
        return -LINUX_EINVAL;
    if ((flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) && !(flags & MREMAP_MAYMOVE))
        return -LINUX_EINVAL;
    if ((flags & MREMAP_DONTUNMAP) && r.old_bytes != r.new_bytes)
        return -LINUX_EINVAL;
    if ((address & PAGE_MASK) || !r.new_bytes || address + r.old_bytes < address)
        return -LINUX_EINVAL;
    if (r.new_bytes > mm_user_end)
        return -LINUX_ENOMEM;
    mm_lock(mm);
    mm_settle_locked(w, mm);
    long at = remap_locked(&r);
    struct vma *v = at > 0 ? vma_at(mm, (vaddr_t)at) : NULL;
    bool populate = v && (v->flags & VM_LOCKED) && r.new_bytes > r.old_bytes;
    if (likely(!populate)) {
        ops_unlock(w, mm);
        return at;
    }
    ops_send(w);
    mm_unlock(mm);
    map_populate(w, mm, (vaddr_t)at + r.old_bytes, (vaddr_t)at + r.new_bytes);
    return at;
}
