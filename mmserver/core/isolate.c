/* See isolate.h. */
#include "mmserver/core/isolate.h"
#include "mmserver/core/huge_move.h"
#include "mmserver/core/linux_abi.h"
#include "mmserver/core/rmap_walk.h"

static bool mapped_possible(const struct page *page)
{
    return migrate_possible(page);
}

static const struct movable_ops anon_ops = {mapped_possible, migrate_page, huge_move};
static const struct movable_ops file_ops = {mapped_possible, migrate_page, NULL};

const struct movable_ops *movable[PAGE_STATES] = {
    [PAGE_ANON] = &anon_ops,
    [PAGE_FILE] = &file_ops,
};

void movable_register(enum page_state state, const struct movable_ops *ops)
{
    mm_assert(state > PAGE_USED && state < PAGE_STATES && (!movable[state] || !ops));
    movable[state] = ops;
}

long page_move(struct worker *w, pfn_t from, pfn_t to)
{
    const struct movable_ops *ops = movable[page_of(from)->state];

    mm_assert(from != to && page_of(to)->state == PAGE_USED && !page_of(to)->order);
    if (!ops) /* it has gone since it was seen */
        return -LINUX_EAGAIN;
    long error = ops->move(w, from, to);
    mm_assert(page_of(error ? to : from)->state == PAGE_USED);
    return error;
}

long page_move_block(struct worker *w, pfn_t from)
{
    const struct movable_ops *ops = movable[page_of(from)->state];

    return ops && ops->move_block ? ops->move_block(w, from) : -LINUX_EAGAIN;
}

/* The first page of whatever comes next. What is no more when it is looked at again does no harm:
 * a page or a chunk is passed over. */
static uint64_t step(const struct page *page)
{
    unsigned order = __atomic_load_n(&page->order, __ATOMIC_RELAXED);

    return page->state == PAGE_NONE || page->state == PAGE_TAIL || order > ORDER_MAX ? 1
                                                                                     : 1UL << order;
}

bool isolate_next(const struct zone *z, pfn_t *at, pfn_t end, uint64_t *budget, pfn_t *found)
{
    while (*at < end && *budget) {
        const struct page *page = page_of(*at);

        --*budget;
        *found = *at;
        *at += step(page);
        if (page_can_move(page) && zone_of(page) == z)
            return true;
    }
    return false;
}

/* Single pages of a free chunk: `count` of its last ones; the rest stays free. */
static void chunk_take_locked(struct zone *z, struct page *chunk, pfn_t *pages, uint64_t count)
{
    pfn_t first = page_number(chunk), end = first + (1UL << chunk->order);

    chunk_unlink(z, chunk);
    chunk->state = PAGE_TAIL;
    for (uint64_t i = 0; i < count; i++) {
        struct page *page = page_of(end - 1 - i);

        page->maps = 0;
        page->order = 0;
        page->state = PAGE_USED;
        pages[i] = end - 1 - i;
    }
    zone_add_free_locked(z, first, end - count);
}

uint64_t isolate_free(struct zone *z, pfn_t block, pfn_t *pages, uint64_t count)
{
    uint64_t got = 0;

    lock_take(&z->lock);
    for (pfn_t at = block; at < block + PAGES_PER_BLOCK && got < count;) {
        struct page *page = page_of(at);

        at += step(page);
        if (page->state != PAGE_FREE || zone_of(page) != z)
            continue;
        uint64_t part = min_u64(count - got, 1UL << page->order);
        chunk_take_locked(z, page, pages + got, part);
        got += part;
    }
    lock_drop(&z->lock);
    return got;
}

void isolate_give_back(struct zone *z, const pfn_t *pages, uint64_t count)
{
    if (!count)
        return;
    lock_take(&z->lock);
    for (uint64_t i = 0; i < count; i++) {
        struct page *page = page_of(pages[i]);

        mm_assert(page->state == PAGE_USED && !page->order && !page->maps && zone_of(page) == z);
        buddy_free_locked(z, page, 0);
    }
    lock_drop(&z->lock);
}
