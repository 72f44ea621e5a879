/*
 * mprotect: other rights for the pages of a range.
 *
 *   inaccessible now    private pages are parked behind software entries, others are unmapped
 *   accessible          one operation per run of present pages of one kind: a private page may
 * become writable, a page of a file or a zero page never
 */
#include "mmserver/core/linux_abi.h"
#include "mmserver/core/map.h"
#include "mmserver/core/zap.h"

/* Is the page behind this entry the client's own, so that its entry may be writable? */
static bool entry_is_own(uint64_t entry)
{
    pfn_t pfn = entry_page(entry);

    return page_is_ours(pfn) && page_of(pfn)->state == PAGE_ANON;
}

static bool same_run(uint64_t a, uint64_t b)
{
    return entry_is_leaf(b) && entry_is_own(a) == entry_is_own(b) &&
           page_of(entry_page(a))->slot == page_of(entry_page(b))->slot;
}

static void protect_table(struct worker *w, struct mm *mm, const uint64_t *table, vaddr_t start,
                          vaddr_t end, uint64_t flags)
{
    unsigned i = pt_index(start, 0);
    unsigned stop = i + (unsigned)((end - start) >> PAGE_SHIFT);

    while (i < stop) {
        uint64_t entry = table[i];
        unsigned first = i++;

        if (!entry_is_leaf(entry))
            continue;
        while (i < stop && same_run(entry, table[i]))
            i++;
        uint64_t bits = flags & VM_EXEC ? ENTRY_X : 0;
        if ((flags & VM_WRITE) && entry_is_own(entry))
            bits |= ENTRY_W | ENTRY_D;
        vaddr_t at = ROUND_DOWN(start, BLOCK_BYTES) + ((uint64_t)first << PAGE_SHIFT);
        struct batch_op *op = op_add(w, mm, BATCH_PROTECT, at);
        op->count = i - first;
        op->entry = bits;
        op->memory = page_of(entry_page(entry))->slot;
    }
}

/* Take the page out and leave its number behind, in two operations. */
static void park_table(struct zap *z, const uint64_t *table, vaddr_t start, vaddr_t end)
{
    unsigned i = pt_index(start, 0);

    for (vaddr_t a = start; a < end; a += PAGE_BYTES, i++) {
        uint64_t entry = table[i];

        if (!entry_is_leaf(entry))
            continue;
        if (z->w->ops_count + 2 > BATCH_OPS_MAX || z->file_count == ZAP_FILE_PAGES)
            zap_flush(z);
        op_add(z->w, z->mm, BATCH_UNMAP, a);
        if (entry_is_own(entry)) {
            op_add(z->w, z->mm, BATCH_SOFTWARE, a)->entry =
                entry_make(entry_page(entry), ENTRY_PARKED);
            z->mm->parked++;
        } else {
            zap_entry(z, entry);
        }
    }
}

static void protect_pages(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end,
                          uint64_t flags)
{
    const uint64_t *table;
    struct zap z;

    zap_begin(&z, w, mm);
    for (vaddr_t a = pt_next_table(mm, start, end, &table); a < end;
         a = pt_next_table(mm, a, end, &table)) {
        vaddr_t stop = min_u64(end, ROUND_DOWN(a, BLOCK_BYTES) + BLOCK_BYTES);

        if (flags & VM_ACCESS)
            protect_table(w, mm, table, a, stop, flags);
        else
            park_table(&z, table, a, stop);
        a = stop;
    }
    zap_flush(&z);
}

/* One VMA's part of the range. Its neighbours may be joined to it. */
static long protect_vma(struct worker *w, struct mm *mm, struct vma *v, vaddr_t start, vaddr_t end,
                        uint64_t access)
{
    uint64_t flags = (v->flags & ~VM_ACCESS) | access;

    if (flags == v->flags)
        return 0;
    if (v->flags & VM_DEVICE)
        return -LINUX_EACCES;
    if ((v->flags & VM_SHARED) && v->object && (access & VM_WRITE))
        return -LINUX_EACCES; /* the archive is read-only */
    if (!vma_modify(w, mm, v, start, end, flags))
        return -LINUX_ENOMEM;
    protect_pages(w, mm, start, end, flags);
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
    if (grows & PROT_GROWSUP)
        return -LINUX_EINVAL; /* no stack grows up here */
    mm_lock(mm);
    mm_settle_locked(w, mm);
    long error = protect_locked(w, mm, address, end, prot);
    mm_unlock(mm);
    return error;
}
