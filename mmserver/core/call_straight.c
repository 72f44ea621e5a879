/*
 * The straight ways of calls. See call_straight.h. Each asks all its conditions first and then
 * makes the change, which cannot fail. Where a condition is in doubt it may ask for more than is
 * needed: the full way asks again from the start. mprotect of a whole VMA calls no other function
 * on its way, so that it keeps next to nothing on the stack.
 *
 * A straight way holds the mm from lock_settled() on, and ends with it unlocked, or to be unlocked
 * by its answer.
 */
#include "mmserver/core/call_straight.h"
#include "mmserver/core/fault.h"
#include "mmserver/core/limit.h"
#include "mmserver/core/linux_abi.h"
#include "mmserver/core/map.h"
#include "mmserver/core/placement.h"
#include "mmserver/core/pt.h"
#include <string.h>

/* The kernel's straight way for answers to calls takes that many. */
#define FEW_PAGES 8
#define FEW_OPS   4

/* The writer's lock, and settled, unless there is anybody to wait for: another writer, a reader, or
 * a reply under way. This worker was entered again, so its own last answers have arrived. */
static inline bool lock_settled(struct worker *w, struct mm *mm)
{
    if (!lock_seize(&mm->lock)) {
        uint32_t own = w->hart + 1;

        if (!__atomic_compare_exchange_n(&mm->sender, &own, 0, false, __ATOMIC_ACQUIRE,
                                         __ATOMIC_RELAXED))
            return false;
    }
    if (w->visit.mm == mm)
        *(volatile uint64_t *)&w->visit.at = VISIT_OVER;
    if (unlikely(worker_count > 1)) {
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        for (const struct worker *o = workers; o < workers + worker_count; o++) {
            if (__atomic_load_n(&o->visit.mm, __ATOMIC_ACQUIRE) == mm &&
                __atomic_load_n(&o->visit.at, __ATOMIC_ACQUIRE) != VISIT_OVER) {
                lock_let_go(&mm->lock);
                return false;
            }
        }
    }
    lock_check_take(LOCK_MM);
    return true;
}

static inline void op_set(struct batch_op *op, enum batch_code code, vaddr_t address,
                          uint64_t count, uint64_t entry, uint64_t memory)
{
    const uint64_t head = (uint64_t)code | count << 32; /* level 0, no flags */

    memcpy(__builtin_assume_aligned(op, sizeof head), &head, sizeof head);
    op->memory = (uint32_t)memory;
    op->address = address;
    op->entry = entry;
}

/* The call ends: its operations, which stand in the worker's page, and the lock go with the answer
 * (ops_unlock). */
static inline struct answer answer_by_ops(struct worker *w, struct mm *mm, uint32_t ops,
                                          uint64_t value)
{
    w->ops->op[0].finished = 0;
    w->ops_mm = mm;
    w->batch_ops = ops;
    mm_count(w, batch_calls);
    lock_check_drop(LOCK_MM);
    __atomic_store_n(&mm->sender, w->hart + 1, __ATOMIC_RELEASE);
    return answer_make(ANSWER_CALL, value, mm->space_slot);
}

static inline struct answer answer_unlocked(struct mm *mm, uint64_t value)
{
    mm_unlock(mm);
    return answer_make(ANSWER_REPLY, value, 0);
}

/* Of private anonymous memory, which has no other pages but the zero page: one that nobody else
 * maps? */
static inline bool entry_is_own(const struct worker *w, uint64_t entry)
{
    const struct page *page = page_of_entry(w->pages_bias, entry);

    return page->state == PAGE_ANON && page->maps == 1;
}

/* Could a neighbour of v that touches it become one VMA with it, had v those flags? */
static inline bool neighbour_has_flags(const struct vma *v, uint64_t flags)
{
    const struct vma *below = v->prev, *above = v->next;

    return (below && below->end == v->start && below->flags == flags) ||
           (above && above->start == v->end && above->flags == flags);
}

/* ---- mprotect ---- */

/* May v, private memory with pages, get those flags as it is, without new promises? */
static inline bool protect_plain(struct mm *mm, const struct vma *v, uint64_t flags)
{
    const uint64_t others = VM_SHARED | VM_DEVICE | VM_HUGETLB | VM_LOCKED | VM_GROWSDOWN;

    if (v->ops || !v->anon || (flags & others) || !(v->flags & VM_ACCESS) || mm->huge_used)
        return false;
    if (flags & ~(flags >> VM_MAY_SHIFT) & VM_ACCESS)
        return false;
    if ((flags & VM_WRITE) && (!(v->flags & (VM_ACCOUNT | VM_WRITE | VM_NORESERVE)) ||
                               !limit_expand(mm, flags, vma_pages(v))))
        return false;
    return !neighbour_has_flags(v, flags);
}

static inline uint64_t protect_bits(uint64_t flags)
{
    return (flags & VM_EXEC ? ENTRY_X : 0) | (flags & VM_WRITE ? ENTRY_W | ENTRY_D : 0);
}

/* Where something stands in the leaf table. */
struct leaves {
    const uint64_t *first, *end;
};

static inline struct leaves leaves_trim(const uint64_t *first, const uint64_t *end)
{
    while (first < end && !*first)
        first++;
    while (first < end && !end[-1])
        end--;
    return (struct leaves){first, end};
}

/*
 * Operations that give the leaves rights, one for what one Memory capability covers; how many. 0:
 * not plain, as there are many, or one that is going to be written to is not the program's own.
 */
static inline uint32_t protect_give(struct worker *w, struct leaves l, vaddr_t at, uint64_t bits)
{
    uint64_t memory = ~0UL, start = 0;
    uint32_t ops = 0;

    if (l.end - l.first > FEW_PAGES)
        return 0; /* looked at once, by protect_more() */
    for (const uint64_t *leaf = l.first; leaf < l.end; leaf++) {
        if (!entry_is_leaf(*leaf))
            continue;
        uint64_t slot = page_of_entry(w->pages_bias, *leaf)->slot, i = (uint64_t)(leaf - l.first);
        if ((bits & ENTRY_W) && !entry_is_own(w, *leaf))
            return 0;
        if (memory != slot) {
            if (ops == FEW_OPS)
                return 0;
            op_set(&w->ops->op[ops++], BATCH_PROTECT, at + (i << PAGE_SHIFT), 0, bits, slot);
            memory = slot;
            start = i;
        }
        w->ops->op[ops - 1].count = (uint32_t)(i + 1 - start);
    }
    return ops;
}

static __attribute__((noinline)) struct answer
protect_full(struct worker *w, struct mm *mm, vaddr_t address, uint64_t bytes, uint64_t prot)
{
    return call_answer(w, map_mprotect(w, mm, address, bytes, prot));
}

/* One operation for leaves that lose rights, of which there are any. */
static inline void protect_take(struct worker *w, struct leaves l, vaddr_t at, uint64_t bits)
{
    op_set(&w->ops->op[0], BATCH_PROTECT, at, (uint64_t)(l.end - l.first), bits, 0);
}

static inline struct answer protect_end(struct worker *w, struct mm *mm, struct vma *v,
                                        uint64_t flags, uint32_t ops)
{
    mm_reclass_locked(mm, v->flags, flags, (int64_t)vma_pages(v));
    v->flags = flags;
    mm_fast_drop_locked(mm);
    return ops ? answer_by_ops(w, mm, ops, 0) : answer_unlocked(mm, 0);
}

/* A part of v, with which all is plain, loses rights, and becomes a VMA of its own. */
static __attribute__((noinline)) struct answer protect_part(struct worker *w, struct mm *mm,
                                                            struct vma *v, vaddr_t address,
                                                            vaddr_t end, uint64_t flags)
{
    if (unlikely(!(v = vma_isolate(w, mm, v, address, end)))) {
        mm_unlock(mm);
        return protect_full(w, mm, address, end - address, flags & VM_ACCESS);
    }
    const uint64_t *leaf = pt_leaf_entry(w, mm, address);
    if (!leaf)
        return protect_end(w, mm, v, flags, 0);
    struct leaves l = leaves_trim(leaf, leaf + vma_pages(v));
    vaddr_t at = address + ((uint64_t)(l.first - leaf) << PAGE_SHIFT);
    protect_take(w, l, at, protect_bits(flags));
    return protect_end(w, mm, v, flags, l.first != l.end);
}

/* One VMA gets other rights, or a part of one loses some; or the range has them already. */
struct answer call_mprotect(struct worker *w, struct mm *mm, vaddr_t address, uint64_t bytes,
                            uint64_t prot)
{
    vaddr_t end = address + PAGE_UP(bytes);

    if (unlikely((address & PAGE_MASK) || bytes - 1 >= BLOCK_BYTES || prot - 1 >= VM_ACCESS ||
                 (address ^ (end - 1)) >> BLOCK_SHIFT) ||
        !lock_settled(w, mm))
        return protect_full(w, mm, address, bytes, prot);
    struct vma *v = vma_of(mm, address);
    if (unlikely(!v))
        goto not_plain;
    uint64_t flags = (v->flags & ~VM_ACCESS) | prot;
    if (flags == v->flags && end <= v->end)
        return answer_unlocked(mm, 0);
    bool more = (flags & VM_WRITE) || (flags & ~v->flags & VM_EXEC); /* as protect_table() */
    if (!protect_plain(mm, v, flags))
        goto not_plain;
    if (v->start != address || v->end != end) {
        if (v->end < end || more)
            goto not_plain;
        return protect_part(w, mm, v, address, end, flags);
    }
    const uint64_t *leaf = pt_leaf_entry(w, mm, address);
    struct leaves l = {NULL, NULL};
    if (leaf)
        l = leaves_trim(leaf, leaf + vma_pages(v));
    vaddr_t at = address + ((uint64_t)(l.first - leaf) << PAGE_SHIFT);
    uint32_t ops = l.first != l.end;
    if (ops && more) {
        if (!(ops = protect_give(w, l, at, protect_bits(flags))))
            goto not_plain;
    } else if (ops) {
        protect_take(w, l, at, protect_bits(flags));
    }
    return protect_end(w, mm, v, flags, ops);
not_plain:
    mm_unlock(mm);
    return protect_full(w, mm, address, bytes, prot);
}

/* ---- munmap, brk ---- */

/* The leaf table of [start, end), a part of v that ends where v does, is needed by others, or kept
 * already. */
static inline bool table_stays(const struct mm *mm, const struct vma *v, vaddr_t start)
{
    const struct vma *below = v->start < start ? v : v->prev, *above = v->next;
    vaddr_t block = ROUND_DOWN(start, BLOCK_BYTES);

    if ((below && min_u64(below->end, start) > block) ||
        (above && above->start < block + BLOCK_BYTES))
        return true;
    for (uint32_t i = 0; i < mm->kept_count; i++) {
        if (mm->kept[i] == block)
            return true;
    }
    return false;
}

/* How many pages stand there, all of them going to the hart's own list (zap_left_free); -1 if that
 * is not so plain. */
static inline long unmap_look(const struct worker *w, const uint64_t *leaf, const uint64_t *end)
{
    long pages = 0;

    for (; leaf < end; leaf++) {
        if (!*leaf)
            continue;
        if (!entry_is_leaf(*leaf) || !entry_is_own(w, *leaf) ||
            (page_of_entry(w->pages_bias, *leaf)->home ^ w->hot_home) > HOME_KIND_MASK)
            return -1;
        pages++;
    }
    return w->hot_count + (uint64_t)pages <= w->hot_high ? pages : -1;
}

/* Nobody finds them any more from here on, neither by their anon_vma nor as free pages. */
static inline void unmap_free(struct worker *w, const uint64_t *leaf, const uint64_t *end)
{
    for (; leaf < end; leaf++) {
        if (!*leaf)
            continue;
        struct page *page = page_of_entry(w->pages_bias, *leaf);
        mm_assert(!page->order);
        page->maps = 0;
        page_free_hot(w, page, entry_page(*leaf), (uintptr_t)__builtin_return_address(0));
    }
}

/*
 * [start, end) goes, where v of private anonymous memory ends, or all of it; a few pages in one
 * leaf table. How many operations stand in the worker's page, 0 or 1; -1: it is not plain, and
 * nothing has changed.
 */
static inline int unmap_straight(struct worker *w, struct mm *mm, struct vma *v, vaddr_t start,
                                 vaddr_t end)
{
    uint64_t count = (end - start) >> PAGE_SHIFT;
    long pages = 0;

    if (v->start > start || v->end != end || !vma_is_private_anon(v) || mm->huge_used)
        return -1;
    const uint64_t *leaf = pt_leaf_entry(w, mm, start);
    if (leaf && ((pages = unmap_look(w, leaf, leaf + count)) < 0 || !table_stays(mm, v, start)))
        return -1;
    if (pages) {
        mm->resident_peak = max_u64(mm->resident_peak, mm_resident(mm));
        mm->anon_pages -= (uint64_t)pages;
        unmap_free(w, leaf, leaf + count);
        op_set(&w->ops->op[0], BATCH_UNMAP, start, count, 0, 0);
    }
    if (v->start == start)
        vma_remove(w, mm, v);
    else
        vma_set_end(mm, v, start);
    return pages > 0;
}

static __attribute__((noinline)) struct answer munmap_full(struct worker *w, struct mm *mm,
                                                           vaddr_t address, uint64_t bytes)
{
    return call_answer(w, map_munmap(w, mm, address, bytes));
}

struct answer call_munmap(struct worker *w, struct mm *mm, vaddr_t address, uint64_t bytes)
{
    vaddr_t end = address + PAGE_UP(bytes);

    if (unlikely((address & PAGE_MASK) || bytes - 1 >= FEW_PAGES << PAGE_SHIFT ||
                 (address ^ (end - 1)) >> BLOCK_SHIFT) ||
        !lock_settled(w, mm))
        return munmap_full(w, mm, address, bytes);
    struct vma *v = vma_of(mm, address);
    int ops = v ? unmap_straight(w, mm, v, address, end) : -1;
    if (ops > 0)
        return answer_by_ops(w, mm, 1, 0);
    if (ops == 0)
        return answer_unlocked(mm, 0);
    mm_unlock(mm);
    return munmap_full(w, mm, address, bytes);
}

static __attribute__((noinline)) struct answer brk_full(struct worker *w, struct mm *mm,
                                                        vaddr_t end)
{
    return call_answer(w, map_brk(w, mm, end));
}

/* The break goes up by `bytes`, and all that happens is that the heap v, if it is that, is longer.
 */
static inline bool heap_grows(struct mm *mm, struct vma *v, uint64_t bytes)
{
    const uint64_t flags = VM_READ | VM_WRITE | VM_MAYALL | VM_ACCOUNT;
    const struct vma *above = v->next;

    if (v->flags != flags || v->object || mm->future_flags || v->end + bytes > mm_user_end ||
        v->offset + vma_pages(v) != v->end >> PAGE_SHIFT ||
        (above && vma_start_guarded(above) < v->end + bytes + PAGE_BYTES) || !rmap_can_extend(v))
        return false;
    return limit_expand(mm, flags, bytes >> PAGE_SHIFT) && limit_commit(bytes >> PAGE_SHIFT);
}

/* The break moves. */
struct answer call_brk(struct worker *w, struct mm *mm, vaddr_t end)
{
    vaddr_t new = PAGE_UP(end), old = PAGE_UP(mm->brk_end);
    int ops = -1;

    if (end - mm->brk_start >= mm_user_end || new == old || !lock_settled(w, mm))
        return brk_full(w, mm, end);
    /* Another thread may have been here since. */
    old = PAGE_UP(mm->brk_end);
    if (mm->limit[MM_LIMIT_DATA] != LIMIT_NONE)
        goto not_plain;
    if (new > old) {
        struct vma *v = vma_of(mm, old - 1);
        if (!v || v->end != old || !heap_grows(mm, v, new - old))
            goto not_plain;
        vma_set_end(mm, v, new);
        ops = 0;
    } else if (old - new <= FEW_PAGES << PAGE_SHIFT && !((new ^ (old - 1)) >> BLOCK_SHIFT)) {
        struct vma *v = vma_of(mm, new);
        if (v)
            ops = unmap_straight(w, mm, v, new, old);
    }
    if (ops >= 0) {
        mm->brk_end = end;
        return ops ? answer_by_ops(w, mm, 1, end) : answer_unlocked(mm, end);
    }
not_plain:
    mm_unlock(mm);
    return brk_full(w, mm, end);
}

/* ---- mmap ---- */

static __attribute__((noinline)) struct answer mmap_full(struct worker *w, struct mm *mm,
                                                         vaddr_t address, uint64_t bytes,
                                                         uint64_t prot, uint64_t flags)
{
    const struct map_request r = {.address = address, .bytes = bytes, .prot = prot, .flags = flags};

    return call_answer(w, map_mmap(w, mm, &r));
}

/* A neighbour that the mapping touches may become longer. */
static inline struct vma *map_private(struct worker *w, struct mm *mm, struct vma *above,
                                      vaddr_t start, vaddr_t end, uint64_t flags)
{
    const struct vma *below = above ? above->prev : mm->last;
    struct vma *v;

    if ((!below || below->end != start) && (!above || above->start != end) &&
        (v = vma_add_apart(w, mm, above, start, end, flags)))
        return v;
    const struct vma_kind kind = {.flags = flags, .offset = start >> PAGE_SHIFT};
    return vma_add(w, mm, above, start, end, &kind);
}

/* Private memory where the system likes, or at a place where nothing is. */
struct answer call_mmap(struct worker *w, struct mm *mm, vaddr_t address, uint64_t bytes,
                        uint64_t prot, uint64_t flags)
{
    uint64_t up = PAGE_UP(bytes), fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE);
    vaddr_t at = address;
    struct vma *above;

    /* A mapping of whole huge pages is aligned to them. */
    if (unlikely((flags ^ fixed) != (MAP_PRIVATE | MAP_ANONYMOUS) || up - 1 >= mm_user_end ||
                 !(up & (BLOCK_BYTES - 1)) || mm->future_flags))
        return mmap_full(w, mm, address, bytes, prot, flags);
    if (unlikely(fixed ? (address & PAGE_MASK) || address < placement_lowest ||
                             address > mm_user_end - up
                       : address || mm->bottom_up) ||
        !lock_settled(w, mm))
        return mmap_full(w, mm, address, bytes, prot, flags);
    uint64_t vm = (prot & VM_ACCESS) | VM_MAYALL | (prot & VM_WRITE ? VM_ACCOUNT : 0);
    if (mm->map_count > map_count_max || !limit_expand(mm, vm, up >> PAGE_SHIFT) ||
        !limit_commit(up >> PAGE_SHIFT))
        goto not_plain;
    if (fixed) {
        above = vma_find(mm, at);
        if (above && above->start < at + up)
            goto not_plain;
    } else if (!(at = vma_gap_below(mm, placement_lowest, mm->mmap_base, up, &above))) {
        goto not_plain;
    }
    if (likely(map_private(w, mm, above, at, at + up, vm) != NULL))
        return answer_unlocked(mm, at);
not_plain:
    mm_unlock(mm);
    return mmap_full(w, mm, address, bytes, prot, flags);
}

/* ---- others ---- */

struct answer call_madvise(struct worker *w, struct mm *mm, vaddr_t address, uint64_t bytes,
                           uint64_t advice)
{
    return call_answer(w, map_madvise(w, mm, address, bytes, advice));
}
