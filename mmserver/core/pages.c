/*
 * Single pages through per-hart lists: a hot list of free data pages, a list of pages zeroed while
 * the hart was idle, and a short list of pages for page tables. They need no lock; what passes
 * between them and the buddy allocator goes in batches.
 */
#include "mmserver/core/clear.h"
#include "mmserver/core/phys.h"
#include "mmserver/core/object.h"

void page_clear(void *page)
{
    page_clear_here(page, phys.clear_blocks);
}

void page_copy(void *to, const void *from)
{
    uint64_t *t = to;
    const uint64_t *f = from;

    for (unsigned i = 0; i < PAGE_BYTES / sizeof *t; i += 8) {
        uint64_t a = f[i], b = f[i + 1], c = f[i + 2], d = f[i + 3];
        uint64_t e = f[i + 4], g = f[i + 5], h = f[i + 6], k = f[i + 7];

        t[i] = a, t[i + 1] = b, t[i + 2] = c, t[i + 3] = d;
        t[i + 4] = e, t[i + 5] = g, t[i + 6] = h, t[i + 7] = k;
    }
}

void pages_worker_init(struct worker *w)
{
    w->linear_base = place_linear_base;
    w->pages_bias = phys.pages_bias;
    w->clear_blocks = phys.clear_blocks;
}

static bool hot_refill(struct worker *w)
{
    lock_take(&phys.lock);
    w->hot_count = buddy_alloc_pages_locked(w, CLASS_DATA, HOT_BATCH, w->hot, ALLOC_NORMAL);
    lock_drop(&phys.lock);
    mm_count(w, page_refill);
    return w->hot_count != 0;
}

static void hot_drain(struct worker *w, uint64_t keep)
{
    lock_take(&phys.lock);
    while (w->hot_count > keep)
        buddy_free_locked(w->hot[--w->hot_count], 0);
    lock_drop(&phys.lock);
    mm_count(w, page_drain);
}

pfn_t page_alloc(struct worker *w)
{
    if (place_alloc_fails())
        return 0;
    if (unlikely(!w->hot_count) && !hot_refill(w)) {
        /* Pages zeroed ahead are pages too; then whatever can be read again from the archive. */
        if (w->zeroed_count) {
            pfn_t pfn = w->zeroed[--w->zeroed_count];
            page_of(pfn)->state = PAGE_USED;
            mm_count(w, page_alloc);
            return pfn;
        }
        if (!object_shrink(w) || !hot_refill(w)) {
            mm_count(w, page_alloc_failed);
            return 0;
        }
    }
    pfn_t pfn = w->hot[--w->hot_count];
    struct page *page = page_of(pfn);
    page->state = PAGE_USED;
    page->maps = 0;
    mm_count(w, page_alloc);
    return pfn;
}

pfn_t page_alloc_zeroed(struct worker *w)
{
    if (w->zeroed_count && !place_alloc_fails()) {
        pfn_t pfn = w->zeroed[--w->zeroed_count];

        page_of(pfn)->state = PAGE_USED;
        mm_count(w, page_alloc);
        return pfn;
    }
    pfn_t pfn = page_alloc(w);
    if (pfn)
        page_clear(page_pointer(pfn));
    return pfn;
}

void page_free(struct worker *w, pfn_t pfn)
{
    struct page *page = page_of(pfn);

    mm_assert(page->state >= PAGE_USED && page->class == CLASS_DATA && !page->maps);
    if (unlikely(w->hot_count == HOT_PAGES_MAX))
        hot_drain(w, HOT_PAGES_MAX - HOT_BATCH);
    page->state = PAGE_HOT;
    w->hot[w->hot_count++] = pfn;
    w->idle_full = false;
    mm_count(w, page_free);
}

pfn_t page_alloc_user(struct worker *w)
{
    return page_alloc(w);
}

pfn_t page_alloc_user_zeroed(struct worker *w)
{
    return page_alloc_zeroed(w);
}

pfn_t page_alloc_gfp(struct worker *w, gfp_t gfp)
{
    return gfp & GFP_ZERO ? page_alloc_zeroed(w) : page_alloc(w);
}

uint64_t page_alloc_bulk(struct worker *w, uint64_t count, pfn_t *pages, gfp_t gfp)
{
    uint64_t got = 0;

    while (got < count && (pages[got] = page_alloc_gfp(w, gfp)))
        got++;
    return got;
}

void page_free_bulk(struct worker *w, uint64_t count, const pfn_t *pages)
{
    for (uint64_t i = 0; i < count; i++)
        page_free(w, pages[i]);
}

pfn_t pages_alloc(struct worker *w, unsigned order, gfp_t gfp)
{
    pfn_t pfn = buddy_alloc(w, order, gfp & GFP_TABLES ? CLASS_TABLES : CLASS_DATA,
                            gfp & (GFP_HIGH | GFP_MEMALLOC) ? ALLOC_RESERVE : ALLOC_NORMAL);

    if (pfn && gfp & GFP_ZERO) {
        for (pfn_t i = 0; i < 1UL << order; i++)
            page_clear(page_pointer(pfn + i));
    }
    return pfn;
}

void pages_free(struct worker *w, pfn_t pfn, unsigned order)
{
    buddy_free(w, pfn, order);
}

void page_free_list(struct worker *w, struct page_list *list)
{
    struct page *page = LIST_FIRST(list);

    while (page) {
        struct page *next = LIST_NEXT(page, link);

        page_free(w, page_number(page));
        page = next;
    }
    LIST_INIT(list);
}

pfn_t page_alloc_table(struct worker *w)
{
    if (place_alloc_fails())
        return 0;
    if (!w->tables_count) {
        lock_take(&phys.lock);
        w->tables_count = buddy_alloc_pages_locked(w, CLASS_TABLES, TABLE_PAGES_KEPT / 2, w->tables,
                                                   ALLOC_RESERVE);
        lock_drop(&phys.lock);
    }
    if (!w->tables_count) {
        mm_count(w, page_alloc_failed);
        return 0;
    }
    pfn_t pfn = w->tables[--w->tables_count];
    page_of(pfn)->state = PAGE_TABLE;
    return pfn;
}

void page_free_table(struct worker *w, pfn_t pfn)
{
    mm_assert(page_of(pfn)->state == PAGE_TABLE && page_of(pfn)->class == CLASS_TABLES);
    if (w->tables_count == TABLE_PAGES_KEPT) {
        lock_take(&phys.lock);
        while (w->tables_count > TABLE_PAGES_KEPT / 2)
            buddy_free_locked(w->tables[--w->tables_count], 0);
        lock_drop(&phys.lock);
    }
    page_of(pfn)->state = PAGE_HOT;
    w->tables[w->tables_count++] = pfn;
}

unsigned pages_zero_ahead(struct worker *w, unsigned limit)
{
    unsigned done = 0;

    while (done < limit && w->zeroed_count < ZEROED_PAGES_MAX) {
        /* Not at the cost of the last pages: this is a convenience. */
        if (!w->hot_count && (phys.free_pages[CLASS_DATA] < 16 * RESERVE_PAGES || !hot_refill(w)))
            break;
        pfn_t pfn = w->hot[--w->hot_count];
        struct page *page = page_of(pfn);

        page_clear(page_pointer(pfn));
        page->state = PAGE_ZEROED;
        page->maps = 0;
        w->zeroed[w->zeroed_count++] = pfn;
        mm_count(w, page_zeroed_ahead);
        done++;
    }
    return done;
}

void pages_drain(struct worker *w)
{
    hot_drain(w, 0);
    lock_take(&phys.lock);
    while (w->zeroed_count)
        buddy_free_locked(w->zeroed[--w->zeroed_count], 0);
    while (w->tables_count)
        buddy_free_locked(w->tables[--w->tables_count], 0);
    lock_drop(&phys.lock);
}

uint64_t pages_free_total(void)
{
    uint64_t total = phys.free_pages[CLASS_DATA] + phys.free_pages[CLASS_TABLES];

    for (uint32_t i = 0; i < worker_count; i++)
        total += workers[i].hot_count + workers[i].zeroed_count + workers[i].tables_count;
    return total;
}
