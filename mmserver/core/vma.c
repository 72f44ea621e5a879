/*
 * The tree of VMAs. The gap of a node is the room between the end of the VMA before it and its own
 * guarded start; gap_max, the largest of its subtree, is kept by the tree's augmentation hook.
 */
#include "mmserver/core/types.h"

#define RB_AUGMENT(v) vma_augment(v)

#include "mmserver/core/mm.h"
#include "mmserver/core/object.h"
#include "mmserver/core/slab.h"

static void vma_augment(struct vma *v)
{
    uint64_t most = v->gap;

    if (RB_LEFT(v, node))
        most = max_u64(most, RB_LEFT(v, node)->gap_max);
    if (RB_RIGHT(v, node))
        most = max_u64(most, RB_RIGHT(v, node)->gap_max);
    v->gap_max = most;
}

static int vma_compare(const struct vma *a, const struct vma *b)
{
    return a->start < b->start ? -1 : a->start > b->start;
}

RB_GENERATE_STATIC(vma_tree, vma, node, vma_compare)

struct vma *vma_find(struct mm *mm, vaddr_t address)
{
    struct vma *v = mm->last_hit;
    struct vma *found = NULL;

    if (v && address - v->start < v->end - v->start)
        return v;
    for (v = RB_ROOT(&mm->vmas); v;) {
        if (v->end > address) {
            found = v;
            if (v->start <= address)
                break;
            v = RB_LEFT(v, node);
        } else {
            v = RB_RIGHT(v, node);
        }
    }
    if (found && found->start <= address)
        mm->last_hit = found;
    return found;
}

struct vma *vma_at(struct mm *mm, vaddr_t address)
{
    struct vma *v = vma_find(mm, address);

    return v && v->start <= address ? v : NULL;
}

struct vma *vma_first(struct mm *mm)
{
    return RB_MIN(vma_tree, &mm->vmas);
}

struct vma *vma_last(struct mm *mm)
{
    return RB_MAX(vma_tree, &mm->vmas);
}

struct vma *vma_next(struct vma *v)
{
    return RB_NEXT(vma_tree, unused, v);
}

struct vma *vma_prev(struct vma *v)
{
    return RB_PREV(vma_tree, unused, v);
}

vaddr_t vma_start_guarded(const struct vma *v)
{
    if (!(v->flags & VM_GROWSDOWN))
        return v->start;
    return v->start > STACK_GUARD_BYTES ? v->start - STACK_GUARD_BYTES : 0;
}

/* Recompute v's gap and carry it up to the root. */
static void gap_update(struct vma *v)
{
    struct vma *below = vma_prev(v);
    vaddr_t from = below ? below->end : 0;
    vaddr_t to = vma_start_guarded(v);

    v->gap = to > from ? to - from : 0;
    for (; v; v = RB_PARENT(v, node))
        vma_augment(v);
}

void vma_link(struct mm *mm, struct vma *v)
{
    v->mm = mm;
    mm_assert(!RB_INSERT(vma_tree, &mm->vmas, v));
    gap_update(v);
    struct vma *above = vma_next(v);
    if (above)
        gap_update(above);
    mm->map_count++;
    mm_account_locked(mm, v->flags, (int64_t)vma_pages(v));
    mm_fast_drop_locked(mm);
}

void vma_unlink(struct mm *mm, struct vma *v)
{
    struct vma *above = vma_next(v);

    RB_REMOVE(vma_tree, &mm->vmas, v);
    if (above)
        gap_update(above);
    if (mm->last_hit == v)
        mm->last_hit = NULL;
    mm->map_count--;
    mm_account_locked(mm, v->flags, -(int64_t)vma_pages(v));
    mm_fast_drop_locked(mm);
}

void vma_resize(struct mm *mm, struct vma *v, vaddr_t start, vaddr_t end)
{
    uint64_t pages = vma_pages(v);

    v->offset += (int64_t)(start - v->start) >> PAGE_SHIFT;
    v->start = start;
    v->end = end;
    rmap_resized(v);
    gap_update(v);
    struct vma *above = vma_next(v);
    if (above)
        gap_update(above);
    mm_account_locked(mm, v->flags, (int64_t)(vma_pages(v) - pages));
    mm_fast_drop_locked(mm);
}

void vma_set_flags(struct mm *mm, struct vma *v, uint64_t flags)
{
    mm_account_locked(mm, v->flags, -(int64_t)vma_pages(v));
    v->flags = flags;
    mm_account_locked(mm, v->flags, (int64_t)vma_pages(v));
    mm_fast_drop_locked(mm);
}

struct vma *vma_make(struct worker *w, vaddr_t start, vaddr_t end, uint64_t flags,
                     struct object *file, uint64_t offset)
{
    struct vma *v = slab_alloc(w, SLAB_VMA);

    if (!v)
        return NULL;
    v->start = start;
    v->end = end;
    v->flags = flags;
    v->object = file;
    v->offset = offset;
    if (file)
        object_ref(file, 1);
    return v;
}

void vma_free(struct worker *w, struct vma *v)
{
    rmap_unlink(w, v);
    if (v->object)
        object_put(w, v->object);
    slab_free(w, SLAB_VMA, v);
}

struct vma *vma_split(struct worker *w, struct mm *mm, struct vma *v, vaddr_t address)
{
    mm_assert(v->start < address && address < v->end && !(address & PAGE_MASK));
    struct vma *upper = vma_make(w, address, v->end, v->flags, v->object,
                                 v->offset + ((address - v->start) >> PAGE_SHIFT));

    if (!upper)
        return NULL;
    if (rmap_clone(w, upper, v)) {
        vma_free(w, upper);
        return NULL;
    }
    vma_resize(mm, v, v->start, address);
    vma_link(mm, upper);
    mm_count(w, vma_split);
    return upper;
}

/* Does a range with these properties continue `below` without a seam? */
static bool continues(const struct vma *below, vaddr_t start, uint64_t flags,
                      const struct object *file, uint64_t offset)
{
    return below->end == start && below->flags == flags && below->object == file &&
           !(flags & VM_DEVICE) && below->offset + vma_pages(below) == offset;
}

struct vma *vma_merge(struct worker *w, struct mm *mm, struct vma *v)
{
    struct vma *below = vma_prev(v);

    if (below && continues(below, v->start, v->flags, v->object, v->offset) &&
        rmap_can_merge(below, v)) {
        vaddr_t end = v->end;

        rmap_merge(below, v);
        vma_unlink(mm, v);
        vma_free(w, v);
        vma_resize(mm, below, below->start, end);
        mm_count(w, vma_merge);
        v = below;
    }
    struct vma *above = vma_next(v);
    if (above && continues(v, above->start, above->flags, above->object, above->offset) &&
        rmap_can_merge(v, above)) {
        vaddr_t end = above->end;

        rmap_merge(v, above);
        vma_unlink(mm, above);
        vma_free(w, above);
        vma_resize(mm, v, v->start, end);
        mm_count(w, vma_merge);
    }
    return v;
}

struct vma *vma_extend(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end, uint64_t flags,
                       struct object *file, uint64_t offset)
{
    struct vma *above = vma_find(mm, start);
    struct vma *below = above ? vma_prev(above) : vma_last(mm);

    if (below && continues(below, start, flags, file, offset) && rmap_can_extend(below)) {
        vma_resize(mm, below, below->start, end);
        mm_count(w, vma_merge);
        return vma_merge(w, mm, below);
    }
    if (above && above->start == end && above->flags == flags && above->object == file &&
        !(flags & VM_DEVICE) && offset + ((end - start) >> PAGE_SHIFT) == above->offset &&
        rmap_can_extend(above)) {
        vma_resize(mm, above, start, above->end);
        mm_count(w, vma_merge);
        return above;
    }
    return NULL;
}

/* The highest fit in the gaps of v's subtree, clipped to [low, high). */
static vaddr_t gap_search(const struct vma *v, vaddr_t low, vaddr_t high, uint64_t bytes)
{
    if (!v || v->gap_max < bytes)
        return 0;
    if (v->end < high) {
        vaddr_t found = gap_search(RB_RIGHT(v, node), low, high, bytes);

        if (found)
            return found;
    }
    vaddr_t gap_end = vma_start_guarded(v);
    vaddr_t top = min_u64(high, gap_end);
    vaddr_t bottom = max_u64(low, gap_end - v->gap);
    if (top > bottom && top - bottom >= bytes)
        return top - bytes;
    return v->start > low ? gap_search(RB_LEFT(v, node), low, high, bytes) : 0;
}

vaddr_t vma_gap_below(struct mm *mm, vaddr_t low, vaddr_t high, uint64_t bytes)
{
    struct vma *last = vma_last(mm);
    vaddr_t bottom = max_u64(last ? last->end : 0, low);

    if (high > bottom && high - bottom >= bytes)
        return high - bytes;
    return gap_search(RB_ROOT(&mm->vmas), low, high, bytes);
}
