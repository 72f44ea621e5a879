/*
 * The tree of VMAs. The gap of a node is the room between the end of the VMA before it and its own
 * guarded start; gap_max is the largest of its subtree.
 *
 * A new VMA's place in the tree is known from its neighbours: of two neighbours in the order, one
 * is an ancestor of the other, so there is room either on the left of the upper one or on the right
 * of the lower one. A change of a gap is carried up only as far as it changes a gap_max.
 *
 * The newest VMA is loose (mm->loose): it is in the list and in the accounts, and not in the tree,
 * whose gaps are as if it were not there. What is unmapped before anything else is mapped or
 * changed never gets there. Whoever changes the tree, or looks for room in it, ties it in first.
 */
#include "mmserver/core/types.h"

/* The tree's rotations call this with the node that went down; its parent took its place. */
#define RB_AUGMENT(v) vma_rotated(v)

#include "mmserver/core/huge.h"
#include "mmserver/core/mm.h"
#include "mmserver/core/object.h"
#include "mmserver/core/vma_ops.h"
#include "mmserver/core/caches.h"

static inline uint64_t gap_most(const struct vma *v)
{
    const struct vma *left = RB_LEFT(v, node), *right = RB_RIGHT(v, node);
    uint64_t most = v->gap;

    if (left && left->gap_max > most)
        most = left->gap_max;
    if (right && right->gap_max > most)
        most = right->gap_max;
    return most;
}

static inline void vma_rotated(struct vma *v)
{
    RB_PARENT(v, node)->gap_max = v->gap_max;
    v->gap_max = gap_most(v);
}

RB_GENERATE_INSERT_COLOR(vma_tree, vma, node, static)
RB_GENERATE_REMOVE_COLOR(vma_tree, vma, node, static)

/* v's own gap or a child changed: correct gap_max from v on upwards. */
static void gap_carry(struct vma *v)
{
    for (; v; v = RB_PARENT(v, node)) {
        uint64_t most = gap_most(v);

        if (most == v->gap_max)
            return;
        v->gap_max = most;
    }
}

struct vma *vma_find(struct mm *mm, vaddr_t address)
{
    struct vma *v = mm->last_hit, *loose = mm->loose;
    struct vma *found = NULL;

    if (v && address - v->start < v->end - v->start)
        return v;
    for (v = RB_ROOT(&mm->vmas); v;) {
        if (v->end <= address) {
            v = RB_RIGHT(v, node);
            continue;
        }
        found = v;
        if (v->start <= address) {
            mm->last_hit = v;
            break;
        }
        v = RB_LEFT(v, node);
    }
    if (loose && loose->end > address && (!found || loose->start < found->start))
        found = loose;
    return found;
}

struct vma *vma_at(struct mm *mm, vaddr_t address)
{
    struct vma *v = vma_find(mm, address);

    return v && v->start <= address ? v : NULL;
}

struct vma *vma_first(struct mm *mm)
{
    return mm->first;
}

struct vma *vma_last(struct mm *mm)
{
    return mm->last;
}

vaddr_t vma_start_guarded(const struct vma *v)
{
    if (likely(!(v->flags & VM_GROWSDOWN)))
        return v->start;
    return v->start > STACK_GUARD_BYTES ? v->start - STACK_GUARD_BYTES : 0;
}

static uint64_t gap_now(const struct vma *v)
{
    vaddr_t from = v->prev ? v->prev->end : 0;
    vaddr_t to = vma_start_guarded(v);

    return to > from ? to - from : 0;
}

/* What lies before v changed. */
static void gap_update(struct vma *v)
{
    uint64_t gap = gap_now(v);

    if (gap == v->gap)
        return;
    v->gap = gap;
    gap_carry(v);
}

/* ---- in and out ---- */

/* v, which is in the list, goes into the tree. */
static void tree_insert(struct mm *mm, struct vma *v)
{
    struct vma *below = v->prev, *above = v->next, *parent = above;

    v->gap = v->gap_max = gap_now(v);
    if (above && !RB_LEFT(above, node)) {
        RB_LEFT(above, node) = v;
    } else if (below) {
        mm_assert(!RB_RIGHT(below, node));
        parent = below;
        RB_RIGHT(below, node) = v;
    } else {
        RB_ROOT(&mm->vmas) = v;
    }
    RB_SET(v, parent, node);
    if (above) {
        above->gap = gap_now(above);
        if (parent == below)
            gap_carry(below);
        gap_carry(above);
    } else if (below) {
        gap_carry(below);
    }
    vma_tree_RB_INSERT_COLOR(&mm->vmas, v);
}

static __attribute__((noinline)) void tie_loose(struct mm *mm)
{
    struct vma *v = mm->loose;

    mm->loose = NULL;
    tree_insert(mm, v);
}

/* Nothing is loose. */
static inline void tie(struct mm *mm)
{
    if (mm->loose)
        tie_loose(mm);
}

/* v goes into the list below `above` (NULL: it will be the last), and is the next hit. */
static inline void list_insert(struct mm *mm, struct vma *v, struct vma *above)
{
    struct vma *below = above ? above->prev : mm->last;

    v->prev = below;
    v->next = above;
    *(below ? &below->next : &mm->first) = v;
    *(above ? &above->prev : &mm->last) = v;
    mm->last_hit = v;
}

/* v, complete and in nobody's way, is one of mm's from now on; its pages are accounted. */
static inline void list_enter(struct mm *mm, struct vma *v, struct vma *above)
{
    v->mm = mm;
    list_insert(mm, v, above);
    mm->map_count++;
    if (v->ops && v->ops->open)
        v->ops->open(v);
}

/* The same, and they are accounted. */
static inline void list_link(struct mm *mm, struct vma *v, struct vma *above)
{
    mm_account_locked(mm, v->flags, (int64_t)vma_pages(v));
    mm_fast_drop_locked(mm);
    list_enter(mm, v, above);
}

/* Nothing is loose; v is now. */
static inline struct vma *list_loose(struct mm *mm, struct vma *v, struct vma *above)
{
    list_link(mm, v, above);
    mm->loose = v;
    return v;
}

/* The same, and into the tree. */
static void link_below(struct mm *mm, struct vma *v, struct vma *above)
{
    list_link(mm, v, above);
    tree_insert(mm, v);
}

/* Put `in` (or nothing) where `out` was below its parent. */
static inline void child_swap(struct mm *mm, struct vma *out, struct vma *in)
{
    RB_SWAP_CHILD(&mm->vmas, out, in, node);
}

/*
 * v has two children: its successor `next` takes its place. Answers the node below which a child is
 * now missing, and that node's remaining child in *child.
 */
static struct vma *successor_up(struct mm *mm, struct vma *v, struct vma *next, struct vma **child)
{
    struct vma *parent = RB_PARENT(next, node);

    *child = RB_RIGHT(next, node);
    if (parent == v) {
        parent = next;
    } else {
        RB_LEFT(parent, node) = *child;
        RB_RIGHT(next, node) = RB_RIGHT(v, node);
        RB_SET_PARENT(RB_RIGHT(v, node), next, node);
    }
    RB_LEFT(next, node) = RB_LEFT(v, node);
    RB_SET_PARENT(RB_LEFT(v, node), next, node);
    RB_SET_PARENT(next, RB_PARENT(v, node), node);
    child_swap(mm, v, next);
    return parent;
}

static void tree_remove(struct mm *mm, struct vma *v, struct vma *above)
{
    struct vma *parent = RB_PARENT(v, node);
    struct vma *child = RB_LEFT(v, node);
    int color = RB_COLOR(v, node);

    if (child && RB_RIGHT(v, node)) {
        int taken = RB_COLOR(above, node);

        parent = successor_up(mm, v, above, &child);
        RB_COLOR(above, node) = color;
        color = taken;
        above->gap_max = v->gap_max;
        /* No stopping below the successor's new place. */
        for (struct vma *at = parent; at != above; at = RB_PARENT(at, node))
            at->gap_max = gap_most(at);
        if (child)
            RB_SET_PARENT(child, parent, node);
    } else {
        if (!child)
            child = RB_RIGHT(v, node);
        child_swap(mm, v, child);
        if (child)
            RB_SET_PARENT(child, parent, node);
        gap_carry(parent);
    }
    if (above)
        gap_carry(above);
    if (child)
        RB_COLOR(child, node) = RB_BLACK;
    else if (color == RB_BLACK && parent)
        vma_tree_RB_REMOVE_COLOR(&mm->vmas, parent);
}

/* Out of list and tree. Nothing else is loose. */
static inline void order_remove(struct mm *mm, struct vma *v)
{
    struct vma *below = v->prev, *above = v->next;

    *(below ? &below->next : &mm->first) = above;
    *(above ? &above->prev : &mm->last) = below;
    if (mm->loose == v) {
        mm->loose = NULL;
    } else {
        if (above)
            above->gap = gap_now(above);
        tree_remove(mm, v, above);
    }
    if (mm->last_hit == v)
        mm->last_hit = NULL;
}

static void vma_unlink(struct worker *w, struct mm *mm, struct vma *v)
{
    if (v->ops && v->ops->close)
        v->ops->close(w, v);
    order_remove(mm, v);
    mm->map_count--;
    mm_account_locked(mm, v->flags, -(int64_t)vma_pages(v));
    mm_fast_drop_locked(mm);
}

static void vma_free(struct worker *w, struct vma *v)
{
    if (v->chain.anon)
        rmap_unlink(w, v);
    if (v->object)
        object_put(w, v->object);
    slab_free(w, vma_cache, v);
}

/* What is not set here is set by who links it: into the tree, to an object, to an anon_vma. */
static inline void vma_init(struct vma *v, vaddr_t start, vaddr_t end, uint64_t flags,
                            struct object *object, uint64_t offset)
{
    v->start = start;
    v->end = end;
    v->flags = flags;
    v->object = object;
    v->offset = offset;
    v->ops = NULL;
    v->anon = NULL;
    v->chain.anon = NULL;
    v->chain.next = NULL;
    if (object) {
        v->ops = object->ops;
        object_ref(object, 1);
    } else if (unlikely(flags & VM_HUGETLB)) {
        v->ops = &hugetlb_vma_ops;
    }
}

static struct vma *vma_make(struct worker *w, vaddr_t start, vaddr_t end,
                            const struct vma_kind *kind)
{
    struct vma *v = slab_alloc(w, vma_cache);

    if (!v)
        return NULL;
    vma_init(v, start, end, kind->flags, kind->object, kind->offset);
    if (kind->like && rmap_clone(w, v, kind->like)) {
        vma_free(w, v);
        return NULL;
    }
    return v;
}

void vma_remove(struct worker *w, struct mm *mm, struct vma *v)
{
    if (v != mm->loose)
        tie(mm);
    vma_unlink(w, mm, v);
    vma_free(w, v);
}

bool vma_move(struct mm *mm, struct vma *v, vaddr_t to)
{
    vaddr_t end = to + (v->end - v->start);
    struct vma *above = vma_find(mm, to), *below;

    if (above == v)
        above = v->next;
    below = above ? above->prev : mm->last;
    if (below == v)
        below = v->prev;
    if (!vma_is_private_anon(v) || (v->flags & VM_GROWSDOWN) ||
        (below && below->end == to && below->flags == v->flags) ||
        (above && above->start == end && above->flags == v->flags))
        return false;
    if (v != mm->loose)
        tie(mm);
    order_remove(mm, v);
    if (!v->anon)
        v->offset = to >> PAGE_SHIFT;
    v->start = to;
    v->end = end;
    list_insert(mm, v, above);
    mm->loose = v;
    mm_fast_drop_locked(mm);
    return true;
}

bool vma_fork(struct worker *w, struct mm *mm, const struct vma *v, uint64_t flags, bool pages)
{
    const struct vma_kind kind = {.flags = flags, .object = v->object, .offset = v->offset};
    struct vma *copy = vma_make(w, v->start, v->end, &kind);

    if (!copy)
        return false;
    copy->mm = mm;
    if (pages && rmap_fork(w, copy, v)) {
        vma_free(w, copy);
        return false;
    }
    link_below(mm, copy, NULL);
    return true;
}

/* ---- bounds and flags ---- */

/* The bounds of a linked VMA have changed, but where it is cut: by so many pages it is longer. */
static inline void bounds_changed(struct mm *mm, struct vma *v, int64_t more)
{
    rmap_resized(v);
    if (v->ops && v->ops->resized)
        v->ops->resized(v);
    mm_account_locked(mm, v->flags, more);
    mm_fast_drop_locked(mm);
}

/* The gaps around it are the caller's. */
static void bounds_change(struct mm *mm, struct vma *v, vaddr_t start, vaddr_t end)
{
    int64_t more = (int64_t)((end - start) - (v->end - v->start)) >> PAGE_SHIFT;

    v->offset = vma_offset_at(v, start);
    v->start = start;
    v->end = end;
    bounds_changed(mm, v, more);
}

void vma_set_end(struct mm *mm, struct vma *v, vaddr_t end)
{
    int64_t more = (int64_t)(end - v->end) >> PAGE_SHIFT;

    tie(mm);
    v->end = end;
    bounds_changed(mm, v, more);
    if (v->next)
        gap_update(v->next);
}

void vma_set_start(struct mm *mm, struct vma *v, vaddr_t start)
{
    tie(mm);
    bounds_change(mm, v, start, v->end);
    gap_update(v);
}

static void flags_set(struct mm *mm, struct vma *v, uint64_t flags)
{
    uint64_t changed = v->flags ^ flags;

    mm_reclass_locked(mm, v->flags, flags, (int64_t)vma_pages(v));
    if (unlikely(changed & (VM_ACCOUNT | VM_LOCKED))) {
        mm_account_promised(mm, v->flags, -(int64_t)vma_pages(v));
        mm_account_promised(mm, flags, (int64_t)vma_pages(v));
    }
    v->flags = flags;
    mm_fast_drop_locked(mm);
}

/* ---- merging and splitting ---- */

/*
 * May something of that kind be one VMA with v, if the offsets fit? As Linux 6.12: what has
 * anonymous pages does not join a neighbour that has none, though nothing would forbid it.
 */
static inline bool same_kind(const struct vma *v, const struct vma_kind *kind)
{
    const struct anon_vma *anon = kind->like ? kind->like->anon : NULL;

    return v->flags == kind->flags && v->object == kind->object && !(v->flags & VM_DEVICE) &&
           v->start - kind->apart.start >= kind->apart.end - kind->apart.start &&
           (v->anon == anon || (!anon && rmap_can_extend(v)));
}

/* Does a range of that kind that begins at `start` continue v? */
static inline bool continues_below(const struct vma *v, vaddr_t start, const struct vma_kind *kind)
{
    return v->end == start && v->offset + vma_pages(v) == kind->offset && same_kind(v, kind);
}

/* Does v continue a range [start, end) of that kind? */
static inline bool continues_above(const struct vma *v, vaddr_t start, vaddr_t end,
                                   const struct vma_kind *kind)
{
    return v->start == end && kind->offset + ((end - start) >> PAGE_SHIFT) == v->offset &&
           same_kind(v, kind);
}

/* v, which can merge with all of them, grows up to `end`; the VMAs up to there are part of it. */
static void grow_over(struct worker *w, struct mm *mm, struct vma *v, vaddr_t end)
{
    /* The loose one need not be tied in only to be removed. */
    if (mm->loose && (mm->loose->start < v->end || mm->loose->start >= end))
        tie(mm);
    for (const struct vma *n = v->next; n && n->start < end; n = n->next)
        rmap_merge(v, n);
    bounds_change(mm, v, v->start, end);
    mm_count(w, vma_merge);
    while (v->next && v->next->start < end) {
        vma_remove(w, mm, v->next);
        mm_count(w, vma_merge);
    }
    if (v->next)
        gap_update(v->next);
}

struct vma *vma_add(struct worker *w, struct mm *mm, struct vma *above, vaddr_t start, vaddr_t end,
                    const struct vma_kind *kind)
{
    struct vma *below = above ? above->prev : mm->last, *next = above;

    tie(mm);
    if (below && !continues_below(below, start, kind))
        below = NULL;
    if (next && !continues_above(next, start, end, kind))
        next = NULL;
    if (below && next && !rmap_can_merge(below, next))
        next = NULL;
    if ((below || next) && kind->like)
        rmap_merge(below ? below : next, kind->like);
    if (below) {
        grow_over(w, mm, below, next ? next->end : end);
        return below;
    }
    if (next) {
        bounds_change(mm, next, start, next->end);
        gap_update(next);
        mm_count(w, vma_merge);
        return next;
    }
    if (mm->map_count > map_count_max)
        return NULL;
    struct vma *v = vma_make(w, start, end, kind);
    return v ? list_loose(mm, v, above) : NULL;
}

struct vma *vma_add_apart(struct worker *w, struct mm *mm, struct vma *above, vaddr_t start,
                          vaddr_t end, uint64_t flags)
{
    struct vma *v;

    if (mm->loose || !(v = slab_pop(w, vma_cache)))
        return NULL;
    vma_init(v, start, end, flags, NULL, start >> PAGE_SHIFT);
    return list_loose(mm, v, above);
}

void vma_grow_up(struct worker *w, struct mm *mm, struct vma *v, vaddr_t end)
{
    const struct vma_kind kind = {v->flags, v->object, v->offset, v, {0, 0}};
    struct vma *above = v->next;

    grow_over(w, mm, v, above && continues_above(above, v->start, end, &kind) ? above->end : end);
}

/* A VMA for [start, end), a part of v, linked to nothing yet. */
static inline struct vma *part_of(struct worker *w, const struct vma *v, vaddr_t start, vaddr_t end)
{
    struct vma *part = slab_alloc(w, vma_cache);

    if (part)
        vma_init(part, start, end, v->flags, v->object, vma_offset_at(v, start));
    return part;
}

/*
 * v is cut where [start, end), a part of it, begins and ends, if it does not there itself. What is
 * above becomes a VMA of its own, and the part does too, if it does not begin with v and `stays`:
 * if not, the caller accounts its pages. The VMA that the part is, or if it does not stay the one
 * above; NULL without memory, with nothing changed.
 */
static struct vma *cut(struct worker *w, struct mm *mm, struct vma *v, vaddr_t start, vaddr_t end,
                       bool stays)
{
    vaddr_t stop = v->start < start ? start : end;
    bool two = stop == start && stays, above = end < v->end;
    struct vma *middle = NULL, *upper = NULL;

    if (mm->map_count + two + above > map_count_max)
        return NULL;
    if ((above && !(upper = part_of(w, v, end, v->end))) ||
        (two && !(middle = part_of(w, v, start, end))) ||
        rmap_cut(w, v, vma_offset_at(v, stop), middle, upper)) {
        if (upper)
            vma_free(w, upper);
        if (middle)
            vma_free(w, middle);
        return NULL;
    }
    tie(mm);
    v->end = stop;
    if (v->ops && v->ops->resized)
        v->ops->resized(v);
    mm_count_add(w, vma_split, two + above);
    mm_fast_drop_locked(mm);
    if (upper) {
        list_enter(mm, upper, v->next);
        tree_insert(mm, upper);
    }
    if (!middle)
        return stays ? v : upper;
    /* With a part above it that is in the tree, whose gap it lies in, it can be loose: mprotect of
     * the middle is often taken back. */
    list_enter(mm, middle, v->next);
    if (upper)
        mm->loose = middle;
    else
        tree_insert(mm, middle);
    return middle;
}

struct vma *vma_split(struct worker *w, struct mm *mm, struct vma *v, vaddr_t address)
{
    mm_assert(v->start < address && address < v->end && !(address & PAGE_MASK));
    return huge_split_edges(w, mm, address, address) ? NULL : cut(w, mm, v, address, v->end, true);
}

struct vma *vma_cut_out(struct worker *w, struct mm *mm, struct vma *v, vaddr_t start, vaddr_t end)
{
    mm_assert(v->start < start && start < end && end < v->end);
    struct vma *upper = cut(w, mm, v, start, end, false);

    if (upper)
        mm_account_locked(mm, v->flags, -(int64_t)((end - start) >> PAGE_SHIFT));
    return upper;
}

struct vma *vma_isolate(struct worker *w, struct mm *mm, struct vma *v, vaddr_t start, vaddr_t end)
{
    return cut(w, mm, v, start, end, true);
}

/* vma_modify() where [start, end) becomes part of the VMA below, and perhaps of the one above. */
static struct vma *join_below(struct worker *w, struct mm *mm, struct vma *v, vaddr_t end,
                              const struct vma *above)
{
    struct vma *below = v->prev;

    if (end == v->end) {
        grow_over(w, mm, below, above ? above->end : end);
        return below;
    }
    tie(mm);
    rmap_merge(below, v);
    bounds_change(mm, v, end, v->end);
    bounds_change(mm, below, below->start, end);
    gap_update(v);
    mm_count(w, vma_merge);
    return below;
}

/* The same of the VMA above only. */
static struct vma *join_above(struct worker *w, struct mm *mm, struct vma *v, vaddr_t start)
{
    struct vma *above = v->next;
    bool whole = start == v->start;

    tie(mm);
    rmap_merge(above, v);
    if (!whole)
        bounds_change(mm, v, v->start, start);
    bounds_change(mm, above, start, above->end);
    if (whole)
        vma_remove(w, mm, v);
    else
        gap_update(above);
    mm_count(w, vma_merge);
    return above;
}

/*
 * below|vvvv|above; the part of v that changes is marked:
 *
 *   |****|  joins both or the one below: that one grows over it
 *   |****|  joins the one above only: that one takes its place
 *   |**vv|  joins the one below: the border moves up
 *   |vv**|  joins the one above: the border moves down
 *   else v is cut where the part begins and ends
 */
struct vma *vma_modify(struct worker *w, struct mm *mm, struct vma *v, vaddr_t start, vaddr_t end,
                       uint64_t flags)
{
    const struct vma_kind kind = {flags, v->object, vma_offset_at(v, start), v, {0, 0}};
    struct vma *below = v->prev, *above = v->next;

    mm_assert(v->start <= start && start < end && end <= v->end);
    if (flags == v->flags)
        return v;
    if (huge_split_edges(w, mm, start, end))
        return NULL;
    if (start != v->start || !below || !continues_below(below, start, &kind))
        below = NULL;
    if (end != v->end || !above || !continues_above(above, start, end, &kind))
        above = NULL;
    if (below && above && !rmap_can_merge(below, above))
        above = NULL;
    if (below)
        return join_below(w, mm, v, end, above);
    if (above)
        return join_above(w, mm, v, start);
    if ((start != v->start || end != v->end) && !(v = vma_isolate(w, mm, v, start, end)))
        return NULL;
    flags_set(mm, v, flags);
    return v;
}

void vma_emptied(struct worker *w, struct mm *mm, struct vma *v, vaddr_t start, vaddr_t end)
{
    bool whole = v->start == start && v->end == end;

    if (v->flags & VM_LOCK_FLAGS) {
        mm_assert(whole);
        flags_set(mm, v,
                  v->flags & ~VM_LOCK_FLAGS); /* and no look whether it is like a neighbour */
    }
    if (whole)
        rmap_unlink(w, v);
    mm_fast_drop_locked(mm);
}

/* ---- room ---- */

/* The part of the gap before v that lies in [low, high): its bounds; false if it has no `bytes`. */
static inline bool gap_clip(const struct vma *v, vaddr_t low, vaddr_t high, uint64_t bytes,
                            vaddr_t *bottom, vaddr_t *top)
{
    vaddr_t end = vma_start_guarded(v);

    *bottom = max_u64(low, end - v->gap);
    *top = min_u64(high, end);
    return *top > *bottom && *top - *bottom >= bytes;
}

vaddr_t vma_gap_below(struct mm *mm, vaddr_t low, vaddr_t high, uint64_t bytes, struct vma **above)
{
    tie(mm);
    struct vma *v = RB_ROOT(&mm->vmas), *next;
    vaddr_t bottom = max_u64(mm->last ? mm->last->end : 0, low), top;

    *above = NULL;
    if (high > bottom && high - bottom >= bytes)
        return high - bytes;
    if (!v || v->gap_max < bytes)
        return 0;
    for (;;) {
        /* As far to the right as there is room below `high`. */
        while (v->end < high && (next = RB_RIGHT(v, node)) && next->gap_max >= bytes)
            v = next;
        for (;;) {
            if (v->gap >= bytes && gap_clip(v, low, high, bytes, &bottom, &top)) {
                *above = v;
                return top - bytes;
            }
            next = v->start > low ? RB_LEFT(v, node) : NULL;
            if (next && next->gap_max >= bytes)
                break;
            /* Nothing in this subtree: to the first ancestor that has it on its right. */
            for (;;) {
                next = v;
                v = RB_PARENT(v, node);
                if (!v)
                    return 0;
                if (next == RB_RIGHT(v, node))
                    break;
            }
        }
        v = next;
    }
}

vaddr_t vma_gap_above(struct mm *mm, vaddr_t low, vaddr_t high, uint64_t bytes, struct vma **above)
{
    tie(mm);
    struct vma *v = RB_ROOT(&mm->vmas), *next;
    vaddr_t bottom, top;

    while (v && v->gap_max >= bytes) {
        while (v->start > low && (next = RB_LEFT(v, node)) && next->gap_max >= bytes)
            v = next;
        for (;;) {
            if (v->gap >= bytes && gap_clip(v, low, high, bytes, &bottom, &top)) {
                *above = v;
                return bottom;
            }
            next = v->end < high ? RB_RIGHT(v, node) : NULL;
            if (next && next->gap_max >= bytes)
                break;
            do {
                next = v;
                v = RB_PARENT(v, node);
            } while (v && next != RB_LEFT(v, node));
            if (!v)
                goto behind_all;
        }
        v = next;
    }
behind_all:
    *above = NULL;
    bottom = max_u64(mm->last ? mm->last->end : 0, low);
    return high > bottom && high - bottom >= bytes ? bottom : 0;
}
