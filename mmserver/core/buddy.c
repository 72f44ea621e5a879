/*
 * The buddy allocator: free chunks of 2^order pages, naturally aligned, in one list per class and
 * order. A freed chunk merges with its buddy as long as that is free, of the same order and class,
 * and under the same capability. Lock: phys.lock.
 */
#include "mmserver/core/phys.h"

#define BULK_ORDER_MAX 7 /* single pages are taken from chunks of at most this order */

static void chunk_insert(struct page *page, unsigned order)
{
    LIST_INSERT_HEAD(&phys.list[page->class][order], page, link);
    phys.list_count[page->class][order]++;
    page->state = PAGE_FREE;
    page->order = (uint8_t)order;
}

static void chunk_remove(struct page *page)
{
    LIST_REMOVE(page, link);
    phys.list_count[page->class][page->order]--;
    page->state = PAGE_FREE_TAIL;
}

static struct page *buddy_of(pfn_t pfn, unsigned order)
{
    pfn_t other = pfn ^ (1UL << order);
    struct page *page = page_of(pfn);

    if (other < phys.first || other + (1UL << order) > phys.end)
        return NULL;
    struct page *buddy = page_of(other);
    if (buddy->state != PAGE_FREE || buddy->order != order || buddy->class != page->class ||
        buddy->slot != page->slot)
        return NULL;
    return buddy;
}

void buddy_free_locked(pfn_t pfn, unsigned order)
{
    mm_assert(order <= ORDER_MAX && !(pfn & ((1UL << order) - 1)));
    for (pfn_t i = 0; i < 1UL << order; i++) {
        struct page *page = page_of(pfn + i);

        mm_assert(page->state != PAGE_FREE && page->state != PAGE_FREE_TAIL && !page->maps);
        page->state = PAGE_FREE_TAIL;
    }
    phys.free_pages[page_of(pfn)->class] += 1UL << order;
    while (order < ORDER_MAX) {
        struct page *buddy = buddy_of(pfn, order);

        if (!buddy)
            break;
        chunk_remove(buddy);
        pfn &= ~(1UL << order);
        order++;
    }
    chunk_insert(page_of(pfn), order);
}

/* A chunk of exactly `order`, split from the smallest that is large enough; NULL if none is. */
static struct page *chunk_take(unsigned order, enum page_class class, enum page_state state)
{
    unsigned have = order;

    while (have <= ORDER_MAX && LIST_EMPTY(&phys.list[class][have]))
        have++;
    if (have > ORDER_MAX)
        return NULL;
    struct page *page = LIST_FIRST(&phys.list[class][have]);
    chunk_remove(page);
    while (have > order) {
        have--;
        chunk_insert(page_of(page_number(page) + (1UL << have)), have);
    }
    phys.free_pages[class] -= 1UL << order;
#pragma GCC unroll 8
    for (struct page *p = page; p != page + (1UL << order); p++)
        p->state = state;
    page->order = (uint8_t)order;
    return page;
}

static struct page *alloc_locked(struct worker *w, unsigned order, enum page_class class,
                                 enum alloc_flags flags, enum page_state state)
{
    if (class == CLASS_DATA && !(flags & ALLOC_RESERVE) &&
        phys.free_pages[CLASS_DATA] < RESERVE_PAGES + (1UL << order))
        return NULL;
    struct page *page = chunk_take(order, class, state);
    if (page)
        return page;
    if (class == CLASS_TABLES ? block_make_tables_locked(w) : block_make_data_locked(w))
        return chunk_take(order, class, state);
    return NULL;
}

pfn_t buddy_alloc(struct worker *w, unsigned order, enum page_class class, enum alloc_flags flags)
{
    mm_assert(order <= ORDER_MAX);
    if (place_alloc_fails())
        return 0;
    lock_take(&phys.lock);
    struct page *page = alloc_locked(w, order, class, flags, PAGE_USED);
    lock_drop(&phys.lock);
    if (!page) {
        mm_count(w, page_alloc_failed);
        return 0;
    }
    return page_number(page);
}

void buddy_free(struct worker *w, pfn_t pfn, unsigned order)
{
    (void)w;
    lock_take(&phys.lock);
    buddy_free_locked(pfn, order);
    lock_drop(&phys.lock);
}

uint64_t buddy_alloc_pages_locked(struct worker *w, enum page_class class, uint64_t count,
                                  pfn_t *pages, enum alloc_flags flags)
{
    uint64_t got = 0;
    unsigned order = 0;

    while (2UL << order <= count && order < BULK_ORDER_MAX)
        order++;
    while (got < count) {
        struct page *page = alloc_locked(w, order, class, flags, PAGE_HOT);

        if (!page && order == 0)
            break;
        if (!page) {
            order--;
            continue;
        }
#pragma GCC unroll 8
        for (pfn_t pfn = page_number(page), end = pfn + (1UL << order); pfn != end; pfn++)
            pages[got++] = pfn;
        while (got < count && 1UL << order > count - got)
            order--;
    }
    return got;
}
