/* See runs.h. */
#include "mmserver/core/runs.h"

#define RUNS_ONCE (BATCH_OPS_MAX - 1) /* broken by one pair of batches */

static enum runs_mode runs_mode;

void runs_init(enum runs_mode mode)
{
    runs_mode = mode;
}

uint64_t runs_flags_new(void)
{
    return runs_mode == RUNS_ALWAYS ? VM_RUNS : 0;
}

uint64_t runs_flags_advised(void)
{
    return runs_mode != RUNS_NEVER ? VM_RUNS : 0;
}

/* ---- faults ---- */

static bool all_empty(const uint64_t *slot)
{
    uint64_t any = 0;

    for (unsigned i = 0; i < RUN_PAGES; i++)
        any |= __atomic_load_n(slot + i, __ATOMIC_RELAXED);
    return !any;
}

/* One allocation becomes sixteen pages, of zeros, mapped from `start` on. */
static void pages_describe(const struct fault *f, pfn_t pfn, vaddr_t start)
{
    uint64_t index = rmap_index(f->vma->offset, f->vma->start, start);

    for (unsigned i = 0; i < RUN_PAGES; i++) {
        struct page *page = page_of(pfn + i);

        page_clear(page_pointer(pfn + i));
        page->owner = f->vma->anon;
        page->index = index + i;
        page->maps = 1;
        page->order = 0;
        page->state = PAGE_ANON;
    }
    mm_add(&f->mm->anon_pages, RUN_PAGES);
}

static void pages_give_back(struct fault *f, pfn_t pfn)
{
    mm_add(&f->mm->anon_pages, -(int64_t)RUN_PAGES);
    for (unsigned i = 0; i < RUN_PAGES; i++) {
        page_of(pfn + i)->maps = 0;
        f->w->gather[i] = pfn + i;
    }
    page_free_bulk(f->w, RUN_PAGES, f->w->gather);
}

enum fault_outcome run_fault(struct fault *f)
{
    const struct vma *v = f->vma;
    vaddr_t start = ROUND_DOWN(f->address, RUN_BYTES);
    const uint64_t *slot = f->leaf - ((f->address - start) >> PAGE_SHIFT);

    if (start < v->start || start + RUN_BYTES > v->end || !vma_is_private_anon(v) ||
        !all_empty(slot))
        return FAULT_NONE;
    if (!f->writer && worker_count > 1)
        return FAULT_NEEDS_WRITER;
    if (rmap_prepare(f->w, f->vma))
        return FAULT_OOM;
    pfn_t pfn = pages_alloc(f->w, RUN_ORDER, (GFP_USER & ~(gfp_t)GFP_DIRECT_RECLAIM) | GFP_NOWARN);
    if (!pfn)
        return FAULT_NONE;
    pages_describe(f, pfn, start);
    f->mm->runs = f->mm->huge_used = true;
    struct batch_op *op = op_add(f->w, f->mm, BATCH_MAP, start);
    op->count = RUN_PAGES;
    op->entry = entry_make(pfn, vma_entry_bits(v, true) | ENTRY_N);
    op->memory = page_of(pfn)->slot;
    if (!op_try(f->w))
        return FAULT_RUN;
    pages_give_back(f, pfn);
    return FAULT_NONE;
}

void run_fence(struct worker *w, struct mm *mm, vaddr_t address)
{
    long stopped;
    struct batch_op *op = op_add(w, mm, BATCH_CLEAR_BITS, ROUND_DOWN(address, RUN_BYTES));

    /* Which makes the batch fence it; the machine sets it again. Refused: it has changed, and was
     * fenced for that. */
    op->count = RUN_PAGES;
    op->entry = ENTRY_A;
    w->ops_count = 0;
    mm_count(w, batch_calls);
    place_batch(mm->space_slot, 1, &stopped);
}

/* ---- breaking ---- */

/* Runs to break: where they are, and their entries. */
struct broken {
    unsigned count;
    vaddr_t at[RUNS_ONCE];
    uint64_t entry[RUNS_ONCE];
};

static void runs_rewrite(struct worker *w, struct mm *mm, struct broken *b)
{
    if (!b->count)
        return;
    for (unsigned i = 0; i < b->count; i++)
        op_add(w, mm, BATCH_UNMAP, b->at[i])->count = RUN_PAGES;
    ops_send(w);
    for (unsigned i = 0; i < b->count; i++) {
        struct batch_op *op = op_add(w, mm, BATCH_MAP, b->at[i]);

        op->count = RUN_PAGES;
        op->entry = entry_alone(b->entry[i], 0);
        op->memory = page_of(entry_page(op->entry))->slot;
    }
    op_add(w, mm, BATCH_NOP, 0); /* nothing is refused of what is not sent alone */
    ops_send(w);
    mm_count_add(w, runs_broken, b->count);
    b->count = 0;
}

void runs_break_slow(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end)
{
    struct broken b = {.count = 0};
    const uint64_t *table;

    ops_send(w);
    start = ROUND_DOWN(start, RUN_BYTES);
    for (vaddr_t a = pt_next_table(mm, start, end, &table); a < end;
         a = pt_next_table(mm, a, end, &table)) {
        vaddr_t stop = min_u64(end, ROUND_DOWN(a, BLOCK_BYTES) + BLOCK_BYTES);

        for (; a < stop; a += RUN_BYTES) {
            uint64_t entry = table[pt_index(a, 0)];

            if (!entry_is_run(entry))
                continue;
            b.at[b.count] = a;
            b.entry[b.count++] = entry;
            if (b.count == RUNS_ONCE)
                runs_rewrite(w, mm, &b);
        }
    }
    runs_rewrite(w, mm, &b);
}

bool run_is_good(const uint64_t *slot, const struct vma *v, vaddr_t address)
{
    bool good = v && address >= v->start && address + RUN_BYTES <= v->end &&
                vma_is_private_anon(v) && !(slot[0] & ENTRY_W) == !(v->flags & VM_WRITE);

    for (unsigned i = 1; i < RUN_PAGES; i++)
        good &= !((slot[i] ^ slot[0]) & ~(ENTRY_A | ENTRY_D));
    return good;
}
