/*
 * Pageblocks change class here, and only here: 2 MiB that hold nothing.
 *
 *   data -> tables   the whole block is free; after the kernel agreed, page 0 is its directory and
 *                    the other 511 pages go to the tables lists
 *   tables -> data   all 511 pages are free again
 *
 * Lock: phys.lock. The kernel may refuse; then nothing has changed.
 */
#include "mmserver/core/phys.h"

static long block_class_set(struct page *block, uint64_t class)
{
    pfn_t pfn = page_number(block);

    for (uint32_t i = 0; i < phys.ranges; i++) {
        const struct phys_range *r = &phys.range[i];

        if (pfn - r->first < r->end - r->first)
            return place_block_class(r->slot, pfn - r->first, class);
    }
    return -ERR_RANGE;
}

static struct page *free_block_find(void)
{
    for (unsigned order = BLOCK_ORDER; order <= ORDER_MAX; order++) {
        struct page *page = LIST_FIRST(&phys.list[CLASS_DATA][order]);

        if (page)
            return page;
    }
    return NULL;
}

/* Take the chunk out of the lists and put what is behind its first block back. */
static void block_isolate(struct page *page)
{
    unsigned order = page->order;

    LIST_REMOVE(page, link);
    phys.list_count[page->class][order]--;
    phys.free_pages[page->class] -= 1UL << order;
    for (pfn_t i = 0; i < 1UL << order; i++)
        (page + i)->state = PAGE_USED;
    for (; order > BLOCK_ORDER; order--)
        buddy_free_locked(page_number(page) + (1UL << (order - 1)), order - 1);
}

bool block_make_tables_locked(struct worker *w)
{
    struct page *block = free_block_find();

    if (!block || phys.free_pages[CLASS_DATA] < PAGES_PER_BLOCK + RESERVE_PAGES)
        return false;
    block_isolate(block);
    pfn_t pfn = page_number(block);
    if (block_class_set(block, BLOCK_TABLES)) {
        buddy_free_locked(pfn, BLOCK_ORDER);
        return false;
    }
    for (pfn_t i = 0; i < PAGES_PER_BLOCK; i++)
        (block + i)->class = CLASS_TABLES;
    block->state = PAGE_RESERVED;
    for (unsigned order = 0; order < BLOCK_ORDER; order++)
        buddy_free_locked(pfn + (1UL << order), order);
    phys.table_blocks++;
    mm_count(w, block_to_tables);
    return true;
}

/* Are pages 1..511 free? Then they lie in the chunks 1, 2, 4, ... 256. */
static bool block_is_free(pfn_t pfn)
{
    for (unsigned order = 0; order < BLOCK_ORDER; order++) {
        struct page *page = page_of(pfn + (1UL << order));

        if (page->state != PAGE_FREE || page->order != order)
            return false;
    }
    return true;
}

bool block_make_data_locked(struct worker *w)
{
    struct page *chunk;

    LIST_FOREACH(chunk, &phys.list[CLASS_TABLES][BLOCK_ORDER - 1], link)
    {
        pfn_t pfn = page_number(chunk) & ~(PAGES_PER_BLOCK - 1);

        if (!block_is_free(pfn) || block_class_set(page_of(pfn), BLOCK_DATA))
            continue;
        for (unsigned order = 0; order < BLOCK_ORDER; order++) {
            struct page *page = page_of(pfn + (1UL << order));

            LIST_REMOVE(page, link);
            phys.list_count[CLASS_TABLES][order]--;
        }
        phys.free_pages[CLASS_TABLES] -= PAGES_PER_BLOCK - 1;
        for (pfn_t i = 0; i < PAGES_PER_BLOCK; i++) {
            page_of(pfn + i)->class = CLASS_DATA;
            page_of(pfn + i)->state = PAGE_USED;
        }
        buddy_free_locked(pfn, BLOCK_ORDER);
        phys.table_blocks--;
        mm_count(w, block_to_data);
        return true;
    }
    return false;
}
