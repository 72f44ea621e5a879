/*
 * Huge pages: faults, splitting, collapsing. See huge.h.
 *
 *   fault, no leaf table, the block lies in one VMA that wants huge pages
 *      read   ──▶ the huge zero page, read-only
 *      write  ──▶ 512 pages in one piece, cleared         no such piece ──▶ small pages
 *   fault on a huge leaf
 *      allows it ──▶ SPURIOUS     zero page, write ──▶ a huge page of its own in its place
 *      own page  ──▶ REUSE        the right that was missing
 */
#include "mmserver/core/huge.h"
#include "mmserver/core/hugetlb.h"
#include "mmserver/core/runs.h"
#include "mmserver/core/zap.h"

uint64_t huge_mode = HUGE_MADVISE;
uint64_t huge_defrag = HUGE_DEFRAG_DEFER;
uint64_t huge_use_zero = true;

static pfn_t huge_zero; /* 0: not made yet */

void huge_init(enum huge_mode mode)
{
    huge_mode = mode;
    huge_zero = 0;
}

void huge_clear(pfn_t pfn)
{
    for (pfn_t i = 0; i < HUGE_PAGES; i++)
        page_clear(page_pointer(pfn + i));
}

void huge_copy(pfn_t to, pfn_t from)
{
    for (pfn_t i = 0; i < HUGE_PAGES; i++)
        page_copy(page_pointer(to + i), page_pointer(from + i));
}

/* Small pages are as good as moving others out of the way, unless somebody said otherwise. */
static gfp_t huge_gfp(const struct vma *v)
{
    bool advised = (v->flags & VM_HUGEPAGE) != 0;
    bool direct = huge_defrag == HUGE_DEFRAG_ALWAYS ||
                  (advised && (huge_defrag == HUGE_DEFRAG_MADVISE ||
                               huge_defrag == HUGE_DEFRAG_DEFER_MADVISE));
    bool background =
        direct || huge_defrag == HUGE_DEFRAG_DEFER || huge_defrag == HUGE_DEFRAG_DEFER_MADVISE;
    gfp_t gfp = GFP_USER | GFP_NOWARN | GFP_NORETRY;

    return gfp &
           ~(gfp_t)((direct ? 0 : GFP_DIRECT_RECLAIM) | (background ? 0 : GFP_BACKGROUND_RECLAIM));
}

static pfn_t huge_alloc(struct worker *w, const struct vma *v)
{
    pfn_t pfn = pages_alloc(w, HUGE_ORDER, huge_gfp(v));

    if (pfn)
        huge_clear(pfn);
    return pfn;
}

static pfn_t huge_zero_page(struct worker *w, const struct vma *v)
{
    pfn_t none = 0, pfn = __atomic_load_n(&huge_zero, __ATOMIC_ACQUIRE);

    if (pfn || !(pfn = huge_alloc(w, v)))
        return pfn;
    page_of(pfn)->state = PAGE_ZERO;
    if (__atomic_compare_exchange_n(&huge_zero, &none, pfn, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE))
        return pfn;
    page_of(pfn)->state = PAGE_USED;
    pages_free(w, pfn, HUGE_ORDER);
    return none;
}

static void huge_account(struct fault *f, pfn_t pfn)
{
    vaddr_t block = ROUND_DOWN(f->address, BLOCK_BYTES);
    struct page *page = page_of(pfn);

    page->state = PAGE_ANON;
    page->maps = 1;
    page->owner = f->vma->anon;
    page->index = rmap_index(f->vma->offset, f->vma->start, block);
    mm_add(&f->mm->anon_pages, HUGE_PAGES);
}

void huge_put(struct worker *w, struct mm *mm, uint64_t entry)
{
    struct page *page = page_of(entry_page(entry));

    if (page->state == PAGE_ZERO)
        return;
    if (page->state == PAGE_HUGETLB) {
        hugetlb_put(w, page);
        return;
    }
    mm_assert(page->state == PAGE_ANON && page->order == HUGE_ORDER && page->maps == 1);
    page->maps = 0;
    mm_add(&mm->anon_pages, -(int64_t)HUGE_PAGES);
    pages_free(w, entry_page(entry), HUGE_ORDER);
}

static struct batch_op *huge_op(struct worker *w, struct mm *mm, enum batch_code code,
                                vaddr_t address, uint64_t entry)
{
    struct batch_op *op = op_add(w, mm, code, ROUND_DOWN(address, BLOCK_BYTES));

    op->level = 1;
    op->entry = entry;
    op->memory = page_of(entry_page(entry))->slot;
    return op;
}

/* ---- faults ---- */

enum fault_outcome huge_map(struct fault *f, uint64_t entry, enum fault_outcome outcome)
{
    struct worker *w = f->w;

    for (unsigned level = mm_levels - 1; level > 1; level--) {
        const uint64_t *above = w->ops_count ? NULL : pt_entry(f->mm, f->address, level);

        if (above && entry_is_table(*above))
            continue;
        if (!pt_gather_table(w, f->mm, f->address, level)) {
            pt_ungather_tables(w, f->mm, 0);
            return FAULT_OOM;
        }
    }
    huge_op(w, f->mm, BATCH_MAP, f->address, entry);
    uint64_t ops = w->ops_count;
    if (f->by_reply) {
        f->batch = (uint32_t)ops;
        f->reply = entry;
        f->reply_at = f->address;
        return outcome;
    }
    long stopped;
    mm_count(w, batch_calls);
    long done = place_batch(f->mm->space_slot, ops, &stopped);
    if (done == (long)ops) {
        w->ops_count = 0;
        return outcome;
    }
    pt_ungather_tables(w, f->mm, done < 0 ? 0 : (uint64_t)done);
    return stopped == -ERR_MAPPED ? FAULT_RACED : FAULT_OOM;
}

static enum fault_outcome fault_empty(struct fault *f)
{
    bool write = f->access == VM_WRITE;
    pfn_t pfn = write ? huge_alloc(f->w, f->vma) : huge_use_zero ? huge_zero_page(f->w, f->vma) : 0;

    if (!pfn)
        return FAULT_NONE;
    f->mm->huge_used = true;
    if (write) {
        if (rmap_prepare(f->w, f->vma)) {
            pages_free(f->w, pfn, HUGE_ORDER);
            return FAULT_OOM;
        }
        huge_account(f, pfn);
    }
    uint64_t entry = entry_make(pfn, vma_entry_bits(f->vma, write));
    enum fault_outcome outcome = huge_map(f, entry, write ? FAULT_HUGE : FAULT_HUGE_ZERO);
    if (outcome == FAULT_OOM || outcome == FAULT_RACED)
        huge_put(f->w, f->mm, entry);
    return outcome;
}

static void huge_fence(struct fault *f, uint64_t entry)
{
    long stopped;

    huge_op(f->w, f->mm, BATCH_CLEAR_BITS, f->address, entry)->entry = ENTRY_A;
    huge_op(f->w, f->mm, BATCH_REPLACE, f->address, entry)->extra = entry;
    f->w->ops_count = 0;
    mm_count(f->w, batch_calls);
    mm_assert(place_batch(f->mm->space_slot, 2, &stopped) >= 1);
}

long huge_replace(struct fault *f, uint64_t old, uint64_t entry)
{
    huge_op(f->w, f->mm, BATCH_REPLACE, f->address, entry)->extra = old;
    return op_try(f->w);
}

/* The writer's: a page of its own in place of the zero page, or small ones. */
static enum fault_outcome huge_zero_replace(struct fault *f, uint64_t old)
{
    pfn_t pfn = rmap_prepare(f->w, f->vma) ? 0 : huge_alloc(f->w, f->vma);

    if (!pfn) {
        op_add(f->w, f->mm, BATCH_UNMAP, ROUND_DOWN(f->address, BLOCK_BYTES))->level = 1;
        ops_send(f->w);
        return FAULT_RACED; /* it is empty now, and will be looked at again */
    }
    huge_account(f, pfn);
    uint64_t entry = entry_make(pfn, vma_entry_bits(f->vma, true));
    if (!huge_replace(f, old, entry))
        return FAULT_HUGE;
    huge_put(f->w, f->mm, entry);
    return FAULT_OOM;
}

bool huge_allows(struct fault *f, uint64_t entry)
{
    uint64_t needed = f->access == VM_WRITE  ? ENTRY_W | ENTRY_D
                      : f->access == VM_EXEC ? ENTRY_X
                                             : ENTRY_R;

    if ((entry & needed) != needed)
        return false;
    huge_fence(f, entry);
    return true;
}

static enum fault_outcome fault_leaf(struct fault *f, uint64_t entry)
{
    if (huge_allows(f, entry))
        return FAULT_SPURIOUS;
    if (!f->writer)
        return FAULT_NEEDS_WRITER;
    bool zero = page_of(entry_page(entry))->state == PAGE_ZERO;
    if (zero && f->access == VM_WRITE)
        return huge_zero_replace(f, entry);
    uint64_t bits = vma_entry_bits(f->vma, !zero);
    return huge_replace(f, entry, entry_make(entry_page(entry), bits)) ? FAULT_OOM : FAULT_REUSE;
}

enum fault_outcome huge_fault(struct fault *f)
{
    if (unlikely(entry_is_leaf(f->entry)))
        return fault_leaf(f, f->entry);
    return huge_fits(f->vma, f->address) ? fault_empty(f) : FAULT_NONE;
}

/* ---- looking for them ---- */

vaddr_t huge_next(const struct mm *mm, vaddr_t address, vaddr_t end, uint64_t *entry)
{
    vaddr_t a = ROUND_DOWN(address, BLOCK_BYTES);
    const uint64_t *table;

    if (a < address)
        a += BLOCK_BYTES;
    for (a = pt_next_table_of(mm, a, end, 1, &table); a < end;
         a = pt_next_table_of(mm, a, end, 1, &table)) {
        do {
            *entry = table[pt_index(a, 1)];
            if (entry_is_leaf(*entry))
                return a;
            a += BLOCK_BYTES;
        } while (a < end && pt_index(a, 1));
    }
    return end;
}

/* ---- splitting ---- */

/* The 512 pages become pages of their own. */
static void descriptors_split(pfn_t pfn)
{
    struct page *first = page_of(pfn);

    first->order = 0;
    for (uint64_t i = 1; i < HUGE_PAGES; i++) {
        struct page *page = page_of(pfn + i);

        page->owner = first->owner;
        page->index = first->index + i;
        page->tag = first->tag;
    }
}

long huge_split(struct worker *w, struct mm *mm, vaddr_t block, uint64_t entry)
{
    struct page *page = page_of(entry_page(entry));

    ops_send(w);
    if (page->state == PAGE_ZERO) {
        op_add(w, mm, BATCH_UNMAP, block)->level = 1;
        ops_send(w);
        return 0;
    }
    if (!pt_gather_table(w, mm, block, 1))
        return -LINUX_ENOMEM;
    w->ops->op[0].code = BATCH_SPLIT;
    if (op_try(w)) {
        w->ops->op[0].code = BATCH_TABLE;
        w->ops_count = 1;
        pt_ungather_tables(w, mm, 0);
        return -LINUX_ENOMEM;
    }
    descriptors_split(entry_page(entry));
    mm_count(w, huge_split);
    return 0;
}

static long huge_split_at(struct worker *w, struct mm *mm, vaddr_t address)
{
    uint64_t entry = address < mm_user_end ? huge_entry(mm, address) : 0;

    if (!(address & (BLOCK_BYTES - 1)) || !entry_is_leaf(entry))
        return 0;
    return huge_split(w, mm, ROUND_DOWN(address, BLOCK_BYTES), entry);
}

/* A VMA of the pool's pages is cut between them only. */
static bool may_cut(struct mm *mm, vaddr_t address)
{
    const struct vma *v = address & (BLOCK_BYTES - 1) ? vma_at(mm, address) : NULL;

    return !v || !(v->flags & VM_HUGETLB) || v->start == address;
}

long huge_split_slow(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end, bool edges_only)
{
    uint64_t entry;

    if (!may_cut(mm, start) || !may_cut(mm, end))
        return -LINUX_EINVAL;
    mm_settle_locked(w, mm);
    if (edges_only) {
        runs_cut(w, mm, start);
        runs_cut(w, mm, end);
    } else {
        runs_break(w, mm, start, end);
    }
    if (huge_split_at(w, mm, start) || huge_split_at(w, mm, end))
        return -LINUX_ENOMEM;
    if (edges_only)
        return 0;
    for (vaddr_t a = huge_next(mm, start, end, &entry); a < end;
         a = huge_next(mm, a + BLOCK_BYTES, end, &entry)) {
        if (page_of(entry_page(entry))->state != PAGE_HUGETLB && huge_split(w, mm, a, entry))
            return -LINUX_ENOMEM;
    }
    return 0;
}

void huge_protect(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end, uint64_t flags)
{
    uint64_t entry;

    if (likely(!mm->huge_used))
        return;
    for (vaddr_t a = huge_next(mm, start, end, &entry); a < end;
         a = huge_next(mm, a + BLOCK_BYTES, end, &entry)) {
        const struct page *page = page_of(entry_page(entry));
        bool own = (flags & VM_SHARED) || (page->state != PAGE_ZERO && page->maps == 1);
        uint64_t bits = (flags & VM_ACCESS ? ENTRY_U : 0) | (flags & VM_EXEC ? ENTRY_X : 0);
        struct batch_op *op = huge_op(w, mm, BATCH_PROTECT, a, entry);

        op->flags = BATCH_REACH;
        op->entry = bits | (own && (flags & VM_WRITE) ? ENTRY_W | ENTRY_D : 0);
    }
    ops_send(w);
}

/* ---- collapsing ---- */

/* May the entry become part of a huge page of this VMA? */
static long collapse_entry(const struct vma *v, uint64_t entry, bool holes)
{
    const struct page *page = page_of(entry_page(entry));

    if (!entry)
        return holes ? 0 : -LINUX_EINVAL;
    if (!entry_is_leaf(entry) || !page_is_ours(entry_page(entry)))
        return -LINUX_EINVAL;
    if (page->state == PAGE_ZERO)
        return holes ? 0 : -LINUX_EINVAL;
    if (page->state != PAGE_ANON || page->owner != v->anon)
        return -LINUX_EINVAL;
    return page->maps == 1 ? 0 : -LINUX_EAGAIN;
}

/* No hart can reach the pages any more: their contents move, they are freed. */
static void collapse_copy(struct worker *w, struct mm *mm, pfn_t to)
{
    uint64_t count = 0;

    for (uint64_t i = 0; i < HUGE_PAGES; i++) {
        pfn_t from = entry_page(w->gather[i]);

        if (!w->gather[i] || page_of(from)->state == PAGE_ZERO) {
            page_clear(page_pointer(to + i));
            continue;
        }
        page_copy(page_pointer(to + i), page_pointer(from));
        page_of(from)->maps = 0;
        w->gather[count++] = from;
    }
    mm_add(&mm->anon_pages, -(int64_t)count);
    page_free_bulk(w, count, w->gather);
}

long huge_collapse(struct worker *w, struct mm *mm, struct vma *v, vaddr_t block, bool holes)
{
    struct fault f = {.w = w, .mm = mm, .vma = v, .address = block};
    const uint64_t *leaf = pt_entry(mm, block, 0);

    if (!leaf || !v->anon)
        return -LINUX_EINVAL;
    for (uint64_t i = 0; i < HUGE_PAGES; i++) {
        long error = collapse_entry(v, entry_alone_at(leaf + i), holes);

        if (error)
            return error;
    }
    pfn_t pfn = pages_alloc(w, HUGE_ORDER, (GFP_USER & ~(gfp_t)GFP_DIRECT_RECLAIM) | GFP_NOWARN);
    if (!pfn)
        return -LINUX_ENOMEM;
    mm->huge_used = true;
    for (uint64_t i = 0; i < HUGE_PAGES; i++)
        w->gather[i] = entry_alone_at(leaf + i);
    op_add(w, mm, BATCH_UNMAP, block)->count = HUGE_PAGES;
    ops_send(w);
    collapse_copy(w, mm, pfn);
    pt_remove_leaf_tables(w, mm, block, block + BLOCK_BYTES);
    huge_account(&f, pfn);
    huge_op(w, mm, BATCH_MAP, block, entry_make(pfn, vma_entry_bits(v, true)));
    ops_send(w);
    mm_count(w, huge_collapsed);
    return 0;
}

long huge_collapse_range(struct worker *w, struct mm *mm, struct vma *v, vaddr_t start, vaddr_t end)
{
    long result = 0;

    if (!vma_is_private_anon(v) || (v->flags & VM_NOHUGEPAGE) || !(v->flags & VM_ACCESS))
        return -LINUX_EINVAL;
    for (vaddr_t a = ROUND_UP(start, BLOCK_BYTES); a + BLOCK_BYTES <= end; a += BLOCK_BYTES) {
        long error = entry_is_leaf(huge_entry(mm, a)) ? 0 : huge_collapse(w, mm, v, a, true);

        result = result ? result : error;
    }
    return result;
}

/* The next VMA from the mm's cursor on that wants huge pages, within a few. */
bool huge_step(struct worker *w, struct mm *mm)
{
    struct vma *v = vma_find(mm, mm->huge_next);
    vaddr_t block = 0;
    bool found = false;

    for (unsigned i = 0; v && i < 16 && !found; i++) {
        block = ROUND_UP(max_u64(v->start, mm->huge_next), BLOCK_BYTES);
        found = block < v->end && huge_fits(v, block);
        if (!found) {
            mm->huge_next = v->end;
            v = v->next;
        }
    }
    if (!v)
        mm->huge_next = 0;
    if (!found)
        return false;
    mm->huge_next = block + BLOCK_BYTES;
    return pt_entry(mm, block, 0) && !huge_collapse(w, mm, v, block, false);
}
