/*
 * Taking over memory at start-up: descriptors for the whole span are carved out of the largest
 * range, the rest goes to the buddy lists in the largest aligned chunks.
 */
#include "mmserver/core/phys.h"
#include <string.h>

struct phys phys;

static void ranges_collect(const struct boot_info *info)
{
    phys.first = ~0UL;
    for (uint32_t i = 0; i < info->ranges && i < BOOT_RANGES_MAX; i++) {
        const struct boot_range *r = &info->range[i];

        if (r->kind != BOOT_FREE || !r->pages)
            continue;
        phys.range[phys.ranges++] =
            (struct phys_range){r->first_page, r->first_page + r->pages, SLOT_MEMORY + i};
        phys.first = min_u64(phys.first, r->first_page);
        phys.end = max_u64(phys.end, r->first_page + r->pages);
    }
}

static struct phys_range *range_largest(void)
{
    struct phys_range *best = &phys.range[0];

    for (uint32_t i = 1; i < phys.ranges; i++) {
        if (phys.range[i].end - phys.range[i].first > best->end - best->first)
            best = &phys.range[i];
    }
    return best;
}

/* The largest order at which a chunk can start at `pfn` and end by `end`. */
static unsigned chunk_order(pfn_t pfn, pfn_t end)
{
    unsigned order = 0;

    while (order < ORDER_MAX && !(pfn & ((2UL << order) - 1)) && pfn + (2UL << order) <= end)
        order++;
    return order;
}

static void range_free(const struct phys_range *r, pfn_t from)
{
    for (pfn_t pfn = from; pfn < r->end;) {
        unsigned order = chunk_order(pfn, r->end);

        buddy_free_locked(pfn, order);
        pfn += 1UL << order;
    }
    phys.total_pages += r->end - from;
}

bool phys_init(const struct boot_info *info)
{
    memset(&phys, 0, sizeof phys);
    phys.lock = LOCK_INIT(LOCK_PHYS);
    phys.clear_blocks = (info->features & BOOT_HAS_ZICBOZ) != 0;
    ranges_collect(info);
    if (!phys.ranges)
        return false;

    struct phys_range *home = range_largest();
    uint64_t bytes = (phys.end - phys.first) * sizeof(struct page);
    uint64_t pages = PAGE_UP(bytes) >> PAGE_SHIFT;

    if (home->end - home->first < pages + 2 * PAGES_PER_BLOCK)
        return false;
    memset(page_pointer(home->first), 0, bytes);
    phys.pages_bias = (uintptr_t)page_pointer(home->first) - phys.first * sizeof(struct page);
    for (uint32_t i = 0; i < BOOT_HARTS_MAX; i++)
        pages_worker_init(&workers[i]);
    for (uint32_t i = 0; i < phys.ranges; i++) {
        const struct phys_range *r = &phys.range[i];

        for (pfn_t pfn = r->first; pfn < r->end; pfn++) {
            page_of(pfn)->slot = (uint8_t)r->slot;
            page_of(pfn)->state = PAGE_RESERVED;
        }
    }
    for (uint32_t i = 0; i < phys.ranges; i++)
        range_free(&phys.range[i], phys.range[i].first + (&phys.range[i] == home ? pages : 0));
    return true;
}
