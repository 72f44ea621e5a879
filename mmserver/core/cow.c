/*
 * Writes to private memory where something stands already, straight:
 *
 *   own page that lacks W     ──▶ REUSE          fault_reply adds the right
 *   the zero page             ──▶ ZERO_REPLACED  fault_reply replaces the entry
 *   page shared by a fork     ──▶ COW_COPY       the same; the old page is displaced
 *   all else                  ──▶ fault_slow()
 *
 * Reusing, in a space of one thread, and replacing the zero page need no lock: the kernel performs
 * them only if the page is still the one that was seen, and what was seen of it stays true as long
 * as the mm is read or the reply is under way. That maps == 1 means "ours": all entries of a page
 * are counted but those that a displacing reply is about to replace, and such a one is of the only
 * thread of its mm: of the one that faults here, whose last reply has arrived.
 *
 * A copy lowers the old page's count before the entry is gone, which is right only if nobody else
 * replaces the entry meanwhile: the leaf table is locked until the reply is said to be under way.
 */
#include "mmserver/core/clear.h"
#include "mmserver/core/fault_straight.h"

/* The new page's descriptor. */
static inline void page_describe(const struct worker *w, struct page *page, vaddr_t address)
{
    page_becomes_anon(page, w->fast.anon, (address >> PAGE_SHIFT) + w->fast.index_bias);
}

static FAULT_WAY(zero_replace)
{
    uint64_t old = __atomic_load_n(fast_slot_leaf(w, address), __ATOMIC_RELAXED);
    pfn_t pfn;

    /* Another thread's page may stand there since cow_straight() has looked. */
    if (unlikely(page_of_entry(w->pages_bias, old)->state != PAGE_ZERO))
        return fault_anew(FAULT_GO_ON);
    if (w->zeroed_count) {
        pfn = w->zeroed[--w->zeroed_count];
    } else if (likely(w->hot_count)) {
        pfn = hot_page(w);
        page_clear_here((void *)(w->linear_base + (pfn << PAGE_SHIFT)), w->clear_blocks);
    } else {
        return fault_anew(FAULT_GO_ON);
    }
    struct page *page = (struct page *)(w->pages_bias + pfn * sizeof *page);
    page_describe(w, page, address);
    mm_add(&mm->anon_pages, 1);
    mm_count(w, fault_zero_replaced);
    c->minor_faults++;
    fault_record(w, badge, address, pc, FAULT_WHAT(CAUSE_STORE_PAGE, FAULT_ZERO_REPLACED), begun);
    uint64_t entry = entry_make(pfn, w->fast.bits);
    w->visit.displaced = old;
    mm_read_end_reply(w, VISIT_CHANGES(address), entry);
    return place_replace_answer(entry, page->slot | REPLY_REPLACE, old);
}

/* The leaf table is locked: the entry is still `old`, and its page not ours alone. The page is
 * mapped by it until the reply has been performed, but counts as if it were not from now on: until
 * then no thread of the mm runs that could see what its last owner writes to it. */
static inline bool displace(const uint64_t *leaf, uint64_t old, struct page *page)
{
    if ((__atomic_load_n(leaf, __ATOMIC_RELAXED) ^ old) & ~(ENTRY_A | ENTRY_D))
        return false;
    if (__atomic_fetch_sub(&page->maps, 1, __ATOMIC_ACQ_REL) != 1)
        return true;
    __atomic_store_n(&page->maps, 1, __ATOMIC_RELAXED);
    return false;
}

static FAULT_WAY(shared_copy)
{
    const uint64_t *leaf = fast_slot_leaf(w, address);
    uint64_t old = *leaf;

    /* What may be executed has to be fenced for that too. */
    if (unlikely(mm->clients != 1 || !w->hot_count || (w->fast.bits & ENTRY_X)))
        return fault_anew(FAULT_GO_ON);
    pfn_t pfn = hot_page(w);
    leaf_lock(leaf);
    page_copy_here((void *)(w->linear_base + (pfn << PAGE_SHIFT)),
                   (const void *)(w->linear_base + (entry_page(old) << PAGE_SHIFT)));
    /* Only now: whoever finds itself the old page's last owner writes to it. */
    if (unlikely(!displace(leaf, old, page_of_entry(w->pages_bias, old)))) {
        leaf_unlock(leaf);
        w->hot[w->hot_count++] = pfn;
        return fault_anew(FAULT_GO_ON);
    }
    struct page *page = (struct page *)(w->pages_bias + pfn * sizeof *page);
    page_describe(w, page, address);
    mm_count(w, fault_cow_copy);
    c->minor_faults++;
    fault_record(w, badge, address, pc, FAULT_WHAT(CAUSE_STORE_PAGE, FAULT_COW_COPY), begun);
    uint64_t entry = entry_make(pfn, w->fast.bits);
    w->visit.displaced = old;
    mm_read_end_reply(w, address, entry | VISIT_DISPLACES);
    leaf_unlock(leaf);
    return place_replace_answer(entry, page->slot | REPLY_REPLACE, old);
}

FAULT_WAY(cow_straight)
{
    uint64_t old = __atomic_load_n(fast_slot_leaf(w, address), __ATOMIC_RELAXED);

    if (unlikely((old & (ENTRY_V | ENTRY_W)) != ENTRY_V))
        return fault_anew(FAULT_GO_ON);
    const struct page *page = page_of_entry(w->pages_bias, old);
    /* What is read here comes before what is written, by the reply's fence. */
    if ((__atomic_load_n(&page->maps, __ATOMIC_RELAXED) ^ 1) | (page->state ^ PAGE_ANON)) {
        if (page->state == PAGE_ANON)
            return shared_copy(FAULT_GO_ON);
        return page->state == PAGE_ZERO ? zero_replace(FAULT_GO_ON) : fault_anew(FAULT_GO_ON);
    }
    /* Who waits for a reply must be able to tell whose has arrived, as with pages of files
     * (object_fault.c): another thread's gives the page the same rights. */
    if (unlikely(mm->clients != 1))
        return fault_anew(FAULT_GO_ON);
    uint64_t entry = old | w->fast.bits;
    mm_count(w, fault_reuse);
    c->minor_faults++;
    fault_record(w, badge, address, pc, FAULT_WHAT(CAUSE_STORE_PAGE, FAULT_REUSE), begun);
    mm_read_end_reply(w, address, entry | VISIT_KEEPS);
    return place_fault_answer(entry, page->slot | REPLY_RIGHTS);
}
