/*
 * mprotect: other rights for the pages of a range.
 *
 *   inaccessible now    pages are parked behind software entries: mincore goes on to see them.
 *                       Leaves of the pool's huge pages stay, out of reach (huge_protect())
 *   accessible again    they are put back, in runs: no fault shows that they were away
 *   rights taken        one operation for what lies in a leaf table, without a look at the pages
 *   rights given        one operation per run of pages of one kind: a private page that nobody else
 *                       maps becomes writable, so that the next write does not fault; any other
 *                       page only executable
 */
#include "mmserver/core/fault.h"
#include "mmserver/core/huge.h"
#include "mmserver/core/limit.h"
#include "mmserver/core/linux_abi.h"
#include "mmserver/core/map.h"
#include "mmserver/core/object.h"
#include "mmserver/core/zap.h"

/* May the page behind this entry be parked? All may but registers and what the server lends. */
static bool entry_may_park(uint64_t entry)
{
    pfn_t pfn = entry_page(entry);

    return page_is_ours(pfn) && page_of(pfn)->state != PAGE_SERVER;
}

/*
 * What leaves that get rights by one operation have in common: the Memory capability that covers
 * them, and in bit 8 whether they may be writable: a private page if nobody else maps it; of a
 * shared mapping, the object's page.
 */
#define LEAF_MAY_WRITE 0x100U

static inline uint32_t leaf_kind(const struct vma *v, uint64_t entry)
{
    const struct page *page = page_of_entry(phys.pages_bias, entry);
    bool own;

    if (!vma_is_private_anon(v) && !page_is_ours(entry_page(entry)))
        return page->slot;
    if (v->flags & VM_SHARED)
        own = page->state == PAGE_FILE;
    else
        own = page->state == PAGE_ANON && page->maps == 1;
    return page->slot | (own ? LEAF_MAY_WRITE : 0);
}

static void protect_run(struct worker *w, struct mm *mm, vaddr_t at, uint64_t count, uint64_t bits,
                        uint32_t memory)
{
    struct batch_op *op = op_add(w, mm, BATCH_PROTECT, at);

    op->count = (uint32_t)count;
    op->entry = bits;
    op->memory = memory;
}

/* Entries [i, stop) of the leaf table whose first is for `base`: they lose rights. */
static void protect_less(struct worker *w, struct mm *mm, const uint64_t *table, vaddr_t base,
                         uint64_t i, uint64_t stop, uint64_t bits)
{
    while (i < stop && !table[i])
        i++;
    while (i < stop && !table[stop - 1])
        stop--;
    if (i < stop)
        protect_run(w, mm, base + (i << PAGE_SHIFT), stop - i, bits, 0);
}

/* The same: they may get rights. `bits` for pages that may be written, without W for others. */
static void protect_more(struct worker *w, struct mm *mm, const struct vma *v,
                         const uint64_t *table, vaddr_t base, uint64_t i, uint64_t stop,
                         uint64_t bits)
{
    const uint32_t which = bits & ENTRY_W ? ~0U : ~LEAF_MAY_WRITE;

    while (i < stop) {
        uint64_t first = i++;

        if (!entry_is_leaf(table[first]))
            continue;
        uint32_t kind = leaf_kind(v, table[first]) & which;
        while (i < stop && entry_is_leaf(table[i]) && (leaf_kind(v, table[i]) & which) == kind)
            i++;
        bool own = kind & LEAF_MAY_WRITE;
        for (uint64_t p = first; own && (v->flags & VM_SHARED) && p < i; p++)
            object_page_dirty(v->object, page_of(entry_page(table[p])));
        protect_run(w, mm, base + (first << PAGE_SHIFT), i - first, own ? bits : bits & ~ENTRY_W,
                    kind & ~LEAF_MAY_WRITE);
    }
}

static void protect_table(struct worker *w, struct mm *mm, const struct vma *v,
                          const uint64_t *table, vaddr_t start, vaddr_t end, uint64_t flags,
                          uint64_t old)
{
    uint64_t i = pt_index(start, 0), stop = i + ((end - start) >> PAGE_SHIFT);
    uint64_t bits = (flags & VM_EXEC ? ENTRY_X : 0) | (flags & VM_WRITE ? ENTRY_W | ENTRY_D : 0);
    vaddr_t base = ROUND_DOWN(start, BLOCK_BYTES);

    /* That a page of an object was written to must not be forgotten. */
    if (flags & VM_SHARED)
        bits |= ENTRY_D;
    if ((flags & VM_WRITE) || (flags & ~old & VM_EXEC))
        protect_more(w, mm, v, table, base, i, stop, bits);
    else
        protect_less(w, mm, table, base, i, stop, bits);
}

/* Take the page out and leave its number behind, in two operations. */
static void park_table(struct zap *z, const uint64_t *table, vaddr_t start, vaddr_t end)
{
    unsigned i = pt_index(start, 0);

    for (vaddr_t a = start; a < end; a += PAGE_BYTES, i++) {
        uint64_t entry = table[i];

        if (!entry_is_leaf(entry))
            continue;
        if (!zap_has_room(z, 1, 2))
            zap_flush(z);
        op_add(z->w, z->mm, BATCH_UNMAP, a);
        if (entry_may_park(entry)) {
            op_add(z->w, z->mm, BATCH_SOFTWARE, a)->entry =
                entry_make(entry_page(entry), ENTRY_PARKED);
            z->mm->parked++;
        } else {
            zap_entry(z, entry);
        }
    }
}

/* Put back what was gathered. What the kernel refuses stays parked: a fault puts it back. */
static void unpark_send(struct worker *w, struct mm *mm)
{
    uint32_t ops = w->ops_count;
    long stopped;

    if (!ops)
        return;
    w->ops_count = 0;
    mm_count(w, batch_calls);
    long done = place_batch(mm->space_slot, ops, &stopped);
    for (uint32_t i = 0; i < ops; i++)
        mm->parked -= (long)i < done ? w->ops->op[i].count : w->ops->op[i].done;
}

/* [start, end) of v, in one leaf table: an operation for each run of neighbours. */
static void unpark_table(struct worker *w, struct mm *mm, const struct vma *v,
                         const uint64_t *table, vaddr_t start, vaddr_t end)
{
    const uint64_t *entry = table + pt_index(start, 0);
    struct batch_op *op = NULL; /* the run that may go on */
    uint32_t listed = 0;

    for (vaddr_t a = start; a < end; a += PAGE_BYTES, entry++) {
        if (!entry_is_parked(*entry)) {
            op = NULL;
            continue;
        }
        uint32_t slot = page_of(entry_page(*entry))->slot;
        if (op && op->memory != slot)
            op = NULL;
        if (listed == BATCH_RESULTS_MAX || (!op && w->ops_count == BATCH_OPS_MAX)) {
            unpark_send(w, mm);
            listed = 0;
            op = NULL;
        }
        if (!op) {
            op = op_add(w, mm, BATCH_MAP_LIST, a);
            op->memory = slot;
            op->extra = listed;
            op->count = 0;
        }
        w->ops->result[listed++] = fault_unparked(v, *entry);
        op->count++;
    }
    unpark_send(w, mm);
}

/* The pages of [start, end) become hidden, or were. */
static __attribute__((noinline)) void protect_hidden(struct worker *w, struct mm *mm,
                                                     const struct vma *v, vaddr_t start,
                                                     vaddr_t end, bool hide)
{
    const uint64_t *table;
    struct zap z;

    if (hide)
        zap_begin(&z, w, mm);
    for (vaddr_t a = pt_next_table(mm, start, end, &table); a < end;
         a = pt_next_table(mm, a, end, &table)) {
        vaddr_t stop = min_u64(end, ROUND_DOWN(a, BLOCK_BYTES) + BLOCK_BYTES);

        if (hide)
            park_table(&z, table, a, stop);
        else
            unpark_table(w, mm, v, table, a, stop);
        a = stop;
    }
    if (hide)
        zap_flush(&z);
}

static void protect_pages(struct worker *w, struct mm *mm, const struct vma *v, vaddr_t start,
                          vaddr_t end, uint64_t flags, uint64_t old)
{
    const uint64_t *table;

    if (unlikely(!(old & VM_ACCESS) || !(flags & VM_ACCESS))) {
        protect_hidden(w, mm, v, start, end, (old & VM_ACCESS) != 0);
        return;
    }
    if (likely(!((start ^ (end - 1)) >> BLOCK_SHIFT))) {
        if ((table = pt_entry(mm, start, 0)) != NULL)
            protect_table(w, mm, v, table - pt_index(start, 0), start, end, flags, old);
        return;
    }
    for (vaddr_t a = pt_next_table(mm, start, end, &table); a < end;
         a = pt_next_table(mm, a, end, &table)) {
        vaddr_t stop = min_u64(end, ROUND_DOWN(a, BLOCK_BYTES) + BLOCK_BYTES);

        protect_table(w, mm, v, table, a, stop, flags, old);
        a = stop;
    }
}

/* One VMA's part of the range. Its neighbours may be joined to it. What is gathered is not sent. */
static long protect_vma(struct worker *w, struct mm *mm, struct vma *v, vaddr_t start, vaddr_t end,
                        uint64_t access)
{
    uint64_t flags = (v->flags & ~VM_ACCESS) | access;

    if (flags == v->flags)
        return 0;
    uint64_t old = v->flags, pages = (end - start) >> PAGE_SHIFT;
    if (flags & ~(flags >> VM_MAY_SHIFT) & VM_ACCESS)
        return -LINUX_EACCES;
    if (unlikely(flags & VM_HUGETLB) && ((start | end) & (BLOCK_BYTES - 1)))
        return -LINUX_EINVAL;
    if (flags & VM_WRITE) {
        if (!limit_expand(mm, flags, pages) && limit_expand(mm, old, pages))
            return -LINUX_ENOMEM;
        if (!(old & (VM_ACCOUNT | VM_WRITE | VM_SHARED | VM_NORESERVE | VM_HUGETLB))) {
            if (!limit_commit(pages))
                return -LINUX_ENOMEM;
            flags |= VM_ACCOUNT;
        }
    } else if ((old & VM_ACCOUNT) && vma_is_private_anon(v) && !v->anon) {
        flags &= ~VM_ACCOUNT; /* there is no page to keep the promise for */
    }
    if (!(flags & VM_ACCESS) && huge_split_all(w, mm, start, end))
        return -LINUX_ENOMEM;
    v = vma_modify(w, mm, v, start, end, flags);
    if (!v)
        return -LINUX_ENOMEM;
    huge_protect(w, mm, start, end, flags);
    if (unlikely(flags & VM_DEVICE))
        zap_range(w, mm, start, end); /* they come back by faults, with the rights they have then */
    else
        protect_pages(w, mm, v, start, end, flags, old);
    /* Locked private pages that may be written from now on are made the program's own at once. */
    if (unlikely((old & (VM_WRITE | VM_SHARED | VM_LOCKED)) == VM_LOCKED && (flags & VM_WRITE))) {
        ops_send(w);
        for (vaddr_t a = start; a < end; a += PAGE_BYTES)
            fault_page_locked(w, mm, a, true);
    }
    return 0;
}

static long protect_locked(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end,
                           uint64_t prot)
{
    uint64_t access = (prot & PROT_READ ? VM_READ : 0) | (prot & PROT_WRITE ? VM_WRITE : 0) |
                      (prot & PROT_EXEC ? VM_EXEC : 0);
    struct vma *v = vma_find(mm, start);

    if (!v)
        return -LINUX_ENOMEM;
    if (prot & PROT_GROWSDOWN) {
        if (v->start >= end)
            return -LINUX_ENOMEM;
        if (!(v->flags & VM_GROWSDOWN))
            return -LINUX_EINVAL;
        start = v->start;
    } else if (v->start > start) {
        return -LINUX_ENOMEM;
    } else if (prot & PROT_GROWSUP) {
        return -LINUX_EINVAL; /* no stack grows up here */
    }
    /* As Linux does: what comes before a hole is changed, then the hole is an error. */
    for (vaddr_t a = start; a < end;) {
        v = vma_at(mm, a);
        if (!v)
            return -LINUX_ENOMEM;
        vaddr_t stop = min_u64(v->end, end);
        long error = protect_vma(w, mm, v, a, stop, access);
        if (error)
            return error;
        a = stop;
        if (a < end)
            ops_send(w);
    }
    return 0;
}

long map_mprotect(struct worker *w, struct mm *mm, vaddr_t address, uint64_t bytes, uint64_t prot)
{
    uint64_t grows = prot & (PROT_GROWSDOWN | PROT_GROWSUP);
    vaddr_t end = address + PAGE_UP(bytes);

    if (grows == (PROT_GROWSDOWN | PROT_GROWSUP) || (address & PAGE_MASK))
        return -LINUX_EINVAL;
    if (!bytes)
        return 0;
    if (end <= address)
        return -LINUX_ENOMEM;
    if (prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM | PROT_GROWSDOWN | PROT_GROWSUP))
        return -LINUX_EINVAL;
    mm_lock(mm);
    mm_settle_locked(w, mm);
    long error = protect_locked(w, mm, address, end, prot);
    ops_unlock(w, mm);
    return error;
}
