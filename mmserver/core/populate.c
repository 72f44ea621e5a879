/*
 * Populating a range. Private anonymous memory goes a table's part at a time: the pages for its
 * empty entries are taken in bulk, cleared, described, and mapped by one batch. Everything else is
 * a fault per page. All as a reader of the mm, a bounded part at a time, so that faults of other
 * threads go on.
 */
#include "mmserver/core/populate.h"
#include "mmserver/core/huge.h"
#include "mmserver/core/linux_abi.h"
#include "mmserver/core/pt.h"

#define PART_PAGES BATCH_RESULTS_MAX /* populated in one visit of the mm */

_Static_assert(PART_PAGES <= BATCH_RESULTS_MAX && PART_PAGES <= ZAP_GATHER_MAX,
               "one batch holds it");

struct part {
    struct worker *w;
    struct mm *mm;
    struct vma *vma;
    uint64_t bits;       /* of the entries */
    uint32_t entries;    /* in the result words */
    struct batch_op *op; /* of the run that may go on, or NULL */
};

static void part_add(struct part *p, vaddr_t address, pfn_t pfn)
{
    struct worker *w = p->w;
    struct page *page = page_of(pfn);

    page->owner = p->vma->anon;
    page->index = rmap_index(p->vma->offset, p->vma->start, address);
    page->maps = 1;
    page->state = PAGE_ANON;
    if (!p->op || p->op->memory != page->slot) {
        p->op = op_add(w, p->mm, BATCH_MAP_LIST, address);
        p->op->count = 0;
        p->op->memory = page->slot;
        p->op->extra = p->entries;
    }
    p->op->count++;
    w->ops->result[p->entries++] = entry_make(pfn, p->bits);
}

/* Send it. What other harts were faster with is taken back; how many pages that were. */
static uint64_t part_send(struct part *p)
{
    struct worker *w = p->w;
    uint64_t ops = w->ops_count, back = 0;
    long stopped;

    mm_add(&p->mm->anon_pages, p->entries);
    w->ops_count = 0;
    mm_count(w, batch_calls);
    long done = place_batch(p->mm->space_slot, ops, &stopped);
    if (done == (long)ops)
        return 0;
    for (uint64_t i = done < 0 ? 0 : (uint64_t)done; i < ops; i++) {
        const struct batch_op *op = &w->ops->op[i];
        uint64_t mapped = done >= 0 && i == (uint64_t)done ? op->done : 0;

        for (uint64_t r = op->extra + mapped; r < op->extra + op->count; r++, back++) {
            pfn_t pfn = entry_page(w->ops->result[r]);

            page_of(pfn)->maps = 0;
            page_free(w, pfn);
        }
    }
    mm_add(&p->mm->anon_pages, -(int64_t)back);
    return back;
}

/* The mm is read: fill the empty entries of [start, end), which one table covers. *all: every one
 * was empty and is filled. */
static long populate_part(struct worker *w, struct mm *mm, struct vma *v, vaddr_t start,
                          vaddr_t end, bool *all)
{
    struct part p = {.w = w, .mm = mm, .vma = v, .bits = vma_entry_bits(v, true)};
    uint64_t *pages = w->gather;
    uint64_t wanted = 0, used = 0;

    if (rmap_prepare(w, v) || pt_ensure(w, mm, start))
        return -LINUX_ENOMEM;
    const uint64_t *leaf = pt_entry(mm, start, 0);
    if (!leaf)
        return 0; /* a huge page was put there */
    uint64_t count = (end - start) >> PAGE_SHIFT;
    for (uint64_t i = 0; i < count; i++)
        wanted += !leaf[i];
    if (!wanted)
        return 0;
    uint64_t got = page_alloc_bulk(w, wanted, pages, GFP_USER | GFP_ZERO);
    for (uint64_t i = 0; i < count && used < got; i++) {
        if (leaf[i] || w->ops_count == BATCH_OPS_MAX)
            p.op = NULL;
        else
            part_add(&p, start + (i << PAGE_SHIFT), pages[used++]);
    }
    mm_count_add(w, populated, used);
    uint64_t back = used ? part_send(&p) : 0;
    page_free_bulk(w, got - used, pages + used);
    *all = used == count && !back;
    return got < wanted ? -LINUX_ENOMEM : 0;
}

static long outcome_error(enum fault_outcome outcome)
{
    return outcome == FAULT_OOM ? -LINUX_ENOMEM : fault_is_bad(outcome) ? -LINUX_EFAULT : 0;
}

/* The access that the VMA's pages get: VM_READ or VM_WRITE; 0 if it is not allowed. */
static uint64_t populate_flag(const struct vma *v, enum populate_access access)
{
    uint64_t flag = access == POPULATE_WRITE ? VM_WRITE : VM_READ;

    if (access == POPULATE_BY_VMA) {
        flag = (v->flags & (VM_WRITE | VM_SHARED)) == VM_WRITE ? VM_WRITE : VM_READ;
        return v->flags & VM_ACCESS ? flag : 0;
    }
    return (v->flags & VM_DEVICE) ? 0 : v->flags & flag;
}

/* One visit: a part of a table's pages in bulk; how far it came, or an error. *all: nothing is left
 * to do there. */
static long populate_visit(struct worker *w, struct mm *mm, vaddr_t at, vaddr_t end,
                           enum populate_access access, bool *all, bool *write)
{
    struct vma *v = vma_at(mm, at);
    uint64_t flag = v ? populate_flag(v, access) : 0;

    if (!v)
        return -LINUX_ENOMEM;
    if (!flag)
        return -LINUX_EINVAL;
    end = min_u64(end, v->end);
    end = min_u64(end, ROUND_DOWN(at, BLOCK_BYTES) + BLOCK_BYTES);
    end = min_u64(end, at + PART_PAGES * PAGE_BYTES);
    *write = flag == VM_WRITE;
    if (!*write || !vma_is_private_anon(v) || (v->flags & VM_RUNS) ||
        (huge_fits(v, at) && !entry_is_table(huge_entry(mm, at))))
        return (long)end;
    long error = populate_part(w, mm, v, at, end, all);
    return error ? error : (long)end;
}

/* Is the page there, with the right that is wanted? */
static bool page_is_there(const struct mm *mm, vaddr_t address, bool write)
{
    uint64_t entry = pt_any_leaf(mm, address);

    return entry_is_leaf(entry) && (!write || (entry & ENTRY_W));
}

long populate_range(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end,
                    enum populate_access access)
{
    for (vaddr_t at = start; at < end;) {
        bool all = false, write = false;

        mm_read(w, mm);
        long stop = populate_visit(w, mm, at, end, access, &all, &write);
        mm_read_end(w);
        if (stop < 0)
            return stop;
        if (all)
            at = (vaddr_t)stop;
        /* What was not empty may still need a fault: a zero page, one shared after a fork. */
        for (; at < (vaddr_t)stop; at += PAGE_BYTES) {
            if (page_is_there(mm, at, write))
                continue;
            long error = outcome_error(fault_page(w, mm, at, write));
            if (error)
                return error;
        }
    }
    return 0;
}
