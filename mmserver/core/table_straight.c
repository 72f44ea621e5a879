/*
 * The first write to a 2 MiB range, straight: private anonymous memory of which only the leaf table
 * is missing. The reply brings the table and the page; what the kernel refuses is taken back by
 * batch_reply_failed(), which goes by the operations.
 */
#include "mmserver/core/clear.h"
#include "mmserver/core/fault_straight.h"

/* As pt_gather_table(), from the list of pages at hand; its page. */
static inline pfn_t table_take(struct worker *w, struct mm *mm, vaddr_t address)
{
    pfn_t pfn = w->tables[--w->tables_count];
    struct page *page = (struct page *)(w->pages_bias + pfn * sizeof *page);
    struct batch_op *op = &w->ops->op[0];

    page->state = PAGE_TABLE;
    page->owner = mm;
    page->index = 1;
    page->maps = 0;
    op->code = BATCH_TABLE;
    op->level = 1;
    op->flags = op->reserved = 0;
    op->count = 1;
    op->memory = page->slot;
    op->address = ROUND_DOWN(address, BLOCK_BYTES);
    op->entry = entry_make(pfn, 0);
    mm_add(&mm->tables, 1);
    mm_count(w, table_installed);
    return pfn;
}

static inline void leaf_op(struct worker *w, vaddr_t address, uint64_t entry, uint32_t memory)
{
    struct batch_op *op = &w->ops->op[1];

    op->code = BATCH_MAP;
    op->level = op->flags = op->reserved = 0;
    op->count = 1;
    op->memory = memory;
    op->address = PAGE_DOWN(address);
    op->entry = entry;
}

struct answer table_straight(struct worker *w, struct client *c, vaddr_t address, vaddr_t pc,
                             uint64_t begun, struct vma *v)
{
    struct mm *mm = c->mm;
    uint64_t what = FAULT_WHAT(CAUSE_STORE_PAGE, FAULT_ANON_PREZEROED);
    pfn_t pfn;

    mm_count(w, fault_table);
    if (w->zeroed_count) {
        pfn = w->zeroed[--w->zeroed_count];
    } else {
        pfn = w->hot[--w->hot_count];
        page_clear(page_pointer(pfn));
        mm_count(w, fault_anon_zeroed);
        what = FAULT_WHAT(CAUSE_STORE_PAGE, FAULT_ANON_ZEROED);
    }
    struct page *page = (struct page *)(w->pages_bias + pfn * sizeof *page);
    page_becomes_anon(page, v->anon, rmap_index(v->offset, v->start, address));
    mm_add(&mm->anon_pages, 1);
    pfn_t table = table_take(w, mm, address);
    uint64_t *entries = page_pointer(table);
    fast_slot_set(w, mm, v, address, &entries[pt_index(address, 0)]);
    uint64_t entry = entry_make(pfn, w->fast.bits);
    leaf_op(w, address, entry, page->slot);
    w->batch_ops = 2;
    c->minor_faults++;
    fault_record(w, w->client_tag, address, pc, what, begun);
    mm_read_end_reply(w, PAGE_DOWN(address), entry);
    return place_batch_answer(mm->space_slot, 2);
}
