/*
 * The straight ways of calls. See call_straight.h. Each is a function that calls no other on its
 * way, so that it keeps nothing on the stack: conditions first, all of them, then the change, which
 * cannot fail. What a condition asks is in doubt more than the full way would have to know.
 */
#include "mmserver/core/call_straight.h"
#include "mmserver/core/fault.h"
#include "mmserver/core/limit.h"
#include "mmserver/core/linux_abi.h"
#include "mmserver/core/map.h"
#include "mmserver/core/placement.h"
#include "mmserver/core/pt.h"
#include <string.h>

#define FEW_PAGES 8 /* the kernel's straight way for answers to calls takes that many */

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
        *(struct mm *volatile *)&w->visit.mm = NULL;
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

/* The call ends: its only operation, on `count` pages, and the lock go with the answer
 * (ops_unlock). */
static inline struct answer answer_by_op(struct worker *w, struct mm *mm, enum batch_code code,
                                         vaddr_t address, uint64_t count, uint64_t entry,
                                         uint64_t memory)
{
    const uint64_t head = (uint64_t)code | count << 32; /* level 0, no flags */
    struct batch_op *op = &w->ops->op[0];

    memcpy(op, &head, sizeof head);
    op->memory = (uint32_t)memory;
    op->address = address;
    op->entry = entry;
    op->finished = 0;
    w->ops_mm = mm;
    w->batch_ops = 1;
    mm_count(w, batch_calls);
    lock_check_drop(LOCK_MM);
    __atomic_store_n(&mm->sender, w->hart + 1, __ATOMIC_RELEASE);
    return answer_make(ANSWER_CALL, 0, mm->space_slot);
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

/* Where something stands in the leaf table, and the Memory capability that covers it. */
struct leaves {
    const uint64_t *first, *end;
    uint64_t memory;
};

static inline struct leaves leaves_trim(const uint64_t *first, const uint64_t *end)
{
    while (first < end && !*first)
        first++;
    while (first < end && !end[-1])
        end--;
    return (struct leaves){first, end, 0};
}

/* May all of them get rights at once? They are of one capability, and if they are going to be
 * written to, the program's own. */
static inline bool leaves_may_get(const struct worker *w, struct leaves *l, bool write)
{
    uint64_t memory = ~0UL;

    if (l->end - l->first > FEW_PAGES)
        return false; /* looked at once, by protect_more() */
    for (const uint64_t *leaf = l->first; leaf < l->end; leaf++) {
        uint64_t entry = *leaf;

        if (!entry_is_leaf(entry))
            continue;
        uint64_t slot = page_of_entry(w->pages_bias, entry)->slot;
        if ((write && !entry_is_own(w, entry)) || (memory != slot && memory != ~0UL))
            return false;
        memory = slot;
    }
    l->memory = memory == ~0UL ? 0 : memory;
    return true;
}

static __attribute__((noinline)) struct answer
protect_full(struct worker *w, struct mm *mm, vaddr_t address, uint64_t bytes, uint64_t prot)
{
    return call_answer(w, map_mprotect(w, mm, address, bytes, prot));
}

/* One VMA, which stays one, gets other rights; or the range has them already. */
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
    if (v->start != address || v->end != end || !protect_plain(mm, v, flags))
        goto not_plain;
    /* As protect_table(). */
    const uint64_t *leaf = pt_leaf_entry(w, mm, address);
    struct leaves l = {NULL, NULL, 0};
    if (leaf)
        l = leaves_trim(leaf, leaf + vma_pages(v));
    if (((flags & VM_WRITE) || (flags & ~v->flags & VM_EXEC)) &&
        !leaves_may_get(w, &l, flags & VM_WRITE))
        goto not_plain;
    mm_reclass_locked(mm, v->flags, flags, (int64_t)vma_pages(v));
    v->flags = flags;
    mm_fast_drop_locked(mm);
    if (l.first == l.end)
        return answer_unlocked(mm, 0);
    return answer_by_op(
        w, mm, BATCH_PROTECT, address + ((uint64_t)(l.first - leaf) << PAGE_SHIFT),
        (uint64_t)(l.end - l.first),
        (flags & VM_EXEC ? ENTRY_X : 0) | (flags & VM_WRITE ? ENTRY_W | ENTRY_D : 0), l.memory);
not_plain:
    mm_unlock(mm);
    return protect_full(w, mm, address, bytes, prot);
}

/* ---- munmap ---- */

/* The leaf table of the block that v lies in is needed by others, or kept already. */
static inline bool table_stays(const struct mm *mm, const struct vma *v)
{
    const struct vma *below = v->prev, *above = v->next;
    vaddr_t block = ROUND_DOWN(v->start, BLOCK_BYTES);

    if ((below && below->end > block) || (above && above->start < block + BLOCK_BYTES))
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
        page->maps = 0;
        page->state = PAGE_USED;
        page_free(w, entry_page(*leaf));
    }
}

static __attribute__((noinline)) struct answer munmap_full(struct worker *w, struct mm *mm,
                                                           vaddr_t address, uint64_t bytes)
{
    return call_answer(w, map_munmap(w, mm, address, bytes));
}

/* One whole VMA of private anonymous memory. */
struct answer call_munmap(struct worker *w, struct mm *mm, vaddr_t address, uint64_t bytes)
{
    vaddr_t end = address + PAGE_UP(bytes);
    const uint64_t *leaf;
    long pages = 0;

    if (unlikely((address & PAGE_MASK) || bytes - 1 >= FEW_PAGES << PAGE_SHIFT ||
                 (address ^ (end - 1)) >> BLOCK_SHIFT) ||
        !lock_settled(w, mm))
        return munmap_full(w, mm, address, bytes);
    struct vma *v = vma_of(mm, address);
    if (!v || v->start != address || v->end != end || !vma_is_private_anon(v) || mm->huge_used)
        goto not_plain;
    leaf = pt_leaf_entry(w, mm, address);
    if (leaf && ((pages = unmap_look(w, leaf, leaf + vma_pages(v))) < 0 || !table_stays(mm, v)))
        goto not_plain;
    if (pages) {
        mm->resident_peak = max_u64(mm->resident_peak, mm_resident(mm));
        mm->anon_pages -= (uint64_t)pages;
        unmap_free(w, leaf, leaf + vma_pages(v));
    }
    vma_remove(w, mm, v);
    if (pages)
        return answer_by_op(w, mm, BATCH_UNMAP, address, (end - address) >> PAGE_SHIFT, 0, 0);
    return answer_unlocked(mm, 0);
not_plain:
    mm_unlock(mm);
    return munmap_full(w, mm, address, bytes);
}

/* ---- mmap ---- */

static __attribute__((noinline)) struct answer mmap_full(struct worker *w, struct mm *mm,
                                                         vaddr_t address, uint64_t bytes,
                                                         uint64_t prot, uint64_t flags)
{
    const struct map_request r = {.address = address, .bytes = bytes, .prot = prot, .flags = flags};

    return call_answer(w, map_mmap(w, mm, &r));
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
    struct vma_kind kind = {.flags = (prot & VM_ACCESS) | VM_MAYALL};
    kind.flags |= prot & VM_WRITE ? VM_ACCOUNT : 0;
    if (mm->map_count > map_count_max || !limit_expand(mm, kind.flags, up >> PAGE_SHIFT) ||
        !limit_commit(up >> PAGE_SHIFT))
        goto not_plain;
    if (fixed) {
        above = vma_find(mm, at);
        if (above && above->start < at + up)
            goto not_plain;
    } else if (!(at = vma_gap_below(mm, placement_lowest, mm->mmap_base, up, &above))) {
        goto not_plain;
    }
    kind.offset = at >> PAGE_SHIFT;
    if (likely(vma_add(w, mm, above, at, at + up, &kind) != NULL))
        return answer_unlocked(mm, at);
not_plain:
    mm_unlock(mm);
    return mmap_full(w, mm, address, bytes, prot, flags);
}

/* ---- others ---- */

struct answer call_brk(struct worker *w, struct mm *mm, vaddr_t end)
{
    return call_answer(w, map_brk(w, mm, end));
}

struct answer call_madvise(struct worker *w, struct mm *mm, vaddr_t address, uint64_t bytes,
                           uint64_t advice)
{
    return call_answer(w, map_madvise(w, mm, address, bytes, advice));
}
