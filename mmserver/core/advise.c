/*
 * madvise. Advice is of six kinds:
 *
 *   flags of the VMA   fork, dump, huge pages, merging, read-ahead: the VMA is cut and joined
 *   pages that go      DONTNEED at once; FREE when memory is short
 *   hints on age       COLD, PAGEOUT: the accessed bits go, so that reclaim takes them first
 *   pages that come    POPULATE_*, WILLNEED
 *   guards             GUARD_INSTALL, GUARD_REMOVE (guard.h)
 *   broken memory      HWPOISON, SOFT_OFFLINE (poison.h)
 *
 * A private page that is writable but not dirty is one that MADV_FREE gave up: every other entry
 * that is made writable is made dirty with it.
 */
#include "mmserver/core/fault.h"
#include "mmserver/core/guard.h"
#include "mmserver/core/linux_abi.h"
#include "mmserver/core/map.h"
#include "mmserver/core/object.h"
#include "mmserver/core/huge.h"
#include "mmserver/core/part.h"
#include "mmserver/core/poison.h"
#include "mmserver/core/populate.h"
#include "mmserver/core/runs.h"
#include "mmserver/core/zap.h"

static bool advice_is_known(uint64_t advice)
{
    switch (advice) {
    case MADV_NORMAL ... MADV_DONTNEED:
    case MADV_FREE ... MADV_KEEPONFORK:
    case MADV_COLD ... MADV_COLLAPSE:
    case MADV_HWPOISON:
    case MADV_SOFT_OFFLINE:
    case MADV_GUARD_INSTALL:
    case MADV_GUARD_REMOVE:
        return true;
    default:
        return false;
    }
}

/* The flags of the VMA that the advice makes; they stay the same if it is of another kind. */
static uint64_t advised_flags(uint64_t flags, uint64_t advice)
{
    switch (advice) {
    case MADV_NORMAL:
        return flags & ~(VM_RAND_READ | VM_SEQ_READ);
    case MADV_RANDOM:
        return (flags & ~VM_SEQ_READ) | VM_RAND_READ;
    case MADV_SEQUENTIAL:
        return (flags & ~VM_RAND_READ) | VM_SEQ_READ;
    case MADV_DONTFORK:
        return flags | VM_DONTFORK;
    case MADV_DOFORK:
        return flags & ~VM_DONTFORK;
    case MADV_WIPEONFORK:
        return flags | VM_WIPEONFORK;
    case MADV_KEEPONFORK:
        return flags & ~VM_WIPEONFORK;
    case MADV_DONTDUMP:
        return flags | VM_DONTDUMP;
    case MADV_DODUMP:
        return flags & ~VM_DONTDUMP;
    case MADV_HUGEPAGE:
        return (flags & ~VM_NOHUGEPAGE) | VM_HUGEPAGE | runs_flags_advised();
    case MADV_NOHUGEPAGE:
        return (flags & ~(VM_HUGEPAGE | VM_RUNS)) | VM_NOHUGEPAGE;
    case MADV_MERGEABLE:
        return flags & (VM_SHARED | VM_DEVICE) ? flags : flags | VM_MERGEABLE;
    case MADV_UNMERGEABLE:
        return flags & ~VM_MERGEABLE;
    default:
        return flags;
    }
}

/* Does the advice make sense for this VMA? 0 or the error. */
static long advice_check(const struct vma *v, uint64_t advice)
{
    bool device = v->flags & VM_DEVICE, locked = v->flags & VM_LOCKED;

    switch (advice) {
    case MADV_DONTNEED:
        return device || locked ? -LINUX_EINVAL : 0;
    case MADV_DONTNEED_LOCKED:
        return device ? -LINUX_EINVAL : 0;
    case MADV_FREE:
        return device || locked || !vma_is_private_anon(v) ? -LINUX_EINVAL : 0;
    case MADV_COLD:
    case MADV_PAGEOUT:
        return device || locked || (v->flags & VM_HUGETLB) ? -LINUX_EINVAL : 0;
    case MADV_WIPEONFORK:
        return vma_is_private_anon(v) ? 0 : -LINUX_EINVAL;
    case MADV_HUGEPAGE:
    case MADV_NOHUGEPAGE:
        return v->flags & VM_HUGETLB ? -LINUX_EINVAL : 0;
    case MADV_DOFORK:
    case MADV_DODUMP:
        return device ? -LINUX_EINVAL : 0;
    case MADV_REMOVE:
        if (device)
            return -LINUX_ENODEV;
        if (locked || !v->object)
            return -LINUX_EINVAL;
        return (v->flags & (VM_SHARED | VM_MAYWRITE)) == (VM_SHARED | VM_MAYWRITE) ? 0
                                                                                   : -LINUX_EACCES;
    default:
        return 0;
    }
}

/* Clear hardware bits of all entries of a range: one operation per leaf table, not sent. */
static void clear_bits(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end, uint64_t bits)
{
    const uint64_t *table;

    runs_break(w, mm, start, end);
    for (vaddr_t a = pt_next_table(mm, start, end, &table); a < end;
         a = pt_next_table(mm, a, end, &table)) {
        vaddr_t stop = min_u64(end, ROUND_DOWN(a, BLOCK_BYTES) + BLOCK_BYTES);
        struct batch_op *op = op_add(w, mm, BATCH_CLEAR_BITS, a);

        op->count = (uint32_t)((stop - a) >> PAGE_SHIFT);
        op->entry = bits;
        a = stop;
    }
}

/* `last`: nothing else of the call follows. What is gathered then need not be sent. 1: a part was
 * done (part.h). */
static long advise_vma(struct worker *w, struct mm *mm, struct vma *v, vaddr_t start, vaddr_t end,
                       uint64_t advice, bool last)
{
    long error = advice_check(v, advice);

    if (error)
        return error;
    switch (advice) {
    case MADV_DONTNEED:
    case MADV_DONTNEED_LOCKED:
        mm_settle_locked(w, mm);
        if (unlikely(v->flags & VM_HUGETLB)) /* of a part of a page, nothing */
            end = max_u64(start, ROUND_DOWN(end, BLOCK_BYTES));
        error = huge_split_edges(w, mm, start, end);
        if (error)
            return error;
        if (!mm->marked && part_zap(w, mm, start, end))
            return 1;
        if (last && !mm->marked)
            zap_range_last(w, mm, start, end);
        else
            guard_zap_others(w, mm, start, end);
        return 0;
    case MADV_FREE:
        mm_settle_locked(w, mm);
        clear_bits(w, mm, start, end, ENTRY_A | ENTRY_D);
        return 0;
    case MADV_COLD:
    case MADV_PAGEOUT:
        mm_settle_locked(w, mm);
        clear_bits(w, mm, start, end, ENTRY_A);
        return 0;
    case MADV_GUARD_INSTALL:
        return guard_install(w, mm, v, start, end);
    case MADV_GUARD_REMOVE:
        return guard_remove(w, mm, v, start, end);
    case MADV_COLLAPSE:
        mm_settle_locked(w, mm);
        return huge_collapse_range(w, mm, v, start, end);
    default:
        return vma_modify(w, mm, v, start, end, advised_flags(v->flags, advice)) ? 0
                                                                                 : -LINUX_EAGAIN;
    }
}

/* Punch a hole into what one VMA from *at on maps; *at moves behind it. */
static long remove_once(struct worker *w, struct mm *mm, vaddr_t *at, vaddr_t end)
{
    mm_lock(mm);
    struct vma *v = vma_find(mm, *at);
    long error = !v || v->start > *at ? -LINUX_ENOMEM : advice_check(v, MADV_REMOVE);
    struct object *o = error ? NULL : v->object;
    vaddr_t stop = v ? min_u64(v->end, end) : end;
    uint64_t offset = o ? vma_offset_at(v, *at) << PAGE_SHIFT : 0;
    if (v && v->start > *at)
        stop = min_u64(v->start, end);
    if (o)
        object_ref(o, 1);
    mm_unlock(mm);
    if (o) { /* it unmaps everywhere, so no mm may be locked */
        error = object_punch(w, o, offset, stop - *at);
        object_put(w, o);
    }
    *at = stop;
    return error;
}

static long remove_range(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end)
{
    long result = 0;

    while (start < end) {
        long error = remove_once(w, mm, &start, end);

        if (error)
            result = error;
        if (error && error != -LINUX_ENOMEM) /* a hole: go on, but say so at the end */
            break;
    }
    return result;
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
        return populate_range(w, mm, address, end,
                              advice == MADV_POPULATE_WRITE ? POPULATE_WRITE : POPULATE_READ);
    if (advice == MADV_REMOVE)
        return remove_range(w, mm, address, end);
    if (advice == MADV_HWPOISON || advice == MADV_SOFT_OFFLINE)
        return poison_range(w, mm, address, end, advice == MADV_SOFT_OFFLINE);
    mm_lock(mm);
    for (vaddr_t a = address; a < end;) {
        struct vma *v = vma_find(mm, a);

        if (!v || v->start > a)
            result = -LINUX_ENOMEM; /* a hole: go on, but say so at the end */
        if (!v || v->start >= end)
            break;
        a = max_u64(a, v->start);
        vaddr_t stop = min_u64(end, v->end);
        long error = advise_vma(w, mm, v, a, stop, advice, stop == end);
        if (error) {
            result = error;
            break;
        }
        a = stop;
    }
    ops_unlock(w, mm);
    return result > 0 ? (long)address : result;
}
