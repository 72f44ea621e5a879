/* See memmap.h. Looks without locks: a page may be seen in a place that it has just left. */
#include "mmserver/core/memmap.h"
#include "mmserver/core/isolate.h"

#define PAGES_PER_LINE 64

static const char letter[PAGE_STATES] = {
    [PAGE_NONE] = ' ',    [PAGE_RESERVED] = 'r', [PAGE_FREE] = '.',     [PAGE_TAIL] = '?',
    [PAGE_HOT] = '-',     [PAGE_ZEROED] = '0',   [PAGE_USED] = 'u',     [PAGE_ANON] = 'a',
    [PAGE_ZERO] = 'z',    [PAGE_FILE] = 'f',     [PAGE_FILE_MAP] = 'i', [PAGE_SLAB] = 's',
    [PAGE_SERVER] = 'm',  [PAGE_TABLE] = 't',    [PAGE_OBJECT] = 'o',   [PAGE_NATIVE] = 'n',
    [PAGE_KMALLOC] = 'k', [PAGE_HUGETLB] = 'H',  [PAGE_POISONED] = 'X', [PAGE_ASIDE] = 'z'};

/* A block that nobody needed yet: part of a run of free chunks. */
static struct memmap_block look_deferred(pfn_t block)
{
    struct memmap_block m = {.type = MIGRATE_MOVABLE, .none = PAGES_PER_BLOCK, .order = -1};

    zone_for_each(z)
    {
        for (uint32_t i = 0; i < z->deferred_count; i++) {
            if (block < z->deferred[i].next || block >= z->deferred[i].end)
                continue;
            m.zone = z;
            m.free = PAGES_PER_BLOCK;
            m.none = 0;
            m.order = ORDER_MAX;
        }
    }
    return m;
}

/* What the block begins in the middle of, if that is a chunk of two blocks. */
static const struct page *chunk_below(pfn_t block)
{
    pfn_t lower = block & ~(CHUNK_PAGES_MAX - 1);
    const struct page *page = page_of(lower);

    return lower != block && page_is_ready(lower) && page->state != PAGE_TAIL &&
                   page->state != PAGE_NONE && page->order == ORDER_MAX
               ? page
               : NULL;
}

static void count_pages(struct memmap_block *m, const struct page *page, uint64_t pages)
{
    switch (page->state) {
    case PAGE_NONE:
        m->none += pages;
        break;
    case PAGE_FREE:
        m->free += pages;
        m->order = (int)max_u64((uint64_t)(m->order + 1), page->order + 1UL) - 1;
        break;
    case PAGE_HOT:
    case PAGE_ZEROED:
        m->listed += pages;
        break;
    default:
        if (page_is_of_movable_kind(page))
            m->movable += pages;
        else
            m->other += pages;
    }
}

static uint64_t step(const struct page *page, uint64_t left)
{
    uint64_t pages = page->state == PAGE_NONE || page->state == PAGE_TAIL || page->order > ORDER_MAX
                         ? 1
                         : 1UL << page->order;

    return min_u64(pages, left);
}

struct memmap_block memmap_look(pfn_t block)
{
    struct memmap_block m = {.order = -1};
    const struct page *whole;

    if (!page_is_ready(block))
        return look_deferred(block);
    m.zone = zone_of(page_of(block));
    m.type = page_type(page_of(block));
    whole = chunk_below(block);
    if (whole) {
        count_pages(&m, whole, PAGES_PER_BLOCK);
        return m;
    }
    for (pfn_t at = block, n; at < block + PAGES_PER_BLOCK; at += n) {
        n = step(page_of(at), block + PAGES_PER_BLOCK - at);
        count_pages(&m, page_of(at), n);
    }
    return m;
}

static void block_line(struct text *t, pfn_t block)
{
    struct memmap_block m = memmap_look(block);

    text_format(t, "%8lx %1lu %7s %11s %3lu %3lu %3lu %3lu %3lu ", block >> BLOCK_ORDER,
                m.zone ? (uint64_t)m.zone->node : 0UL, m.zone ? zone_text[m.zone->kind] : "none",
                migrate_text[m.type], m.free, m.listed, m.movable, m.other, m.none);
    if (m.order < 0)
        text_string(t, " -\n");
    else
        text_format(t, "%2lu\n", (uint64_t)m.order);
}

void memmap_report(struct text *t)
{
    uint64_t bytes = 0;

    for (pfn_t block = phys.first; block < phys.end && t->at < t->offset + t->bytes;
         block += PAGES_PER_BLOCK) {
        if (!(*phys_block(block) & BLOCK_PRESENT))
            continue;
        if (bytes && t->at + bytes <= t->offset) { /* all lines are as long as the first one */
            t->at += bytes;
            continue;
        }
        uint64_t start = t->at;
        block_line(t, block);
        bytes = t->at - start;
    }
}

void memmap_report_block(struct text *t, uint64_t number)
{
    pfn_t block = number << BLOCK_ORDER;
    char line[PAGES_PER_BLOCK];

    if (number > phys.end >> BLOCK_ORDER || block < phys.first || block >= phys.end ||
        !(*phys_block(block) & BLOCK_PRESENT))
        return;
    block_line(t, block);
    const struct page *whole = page_is_ready(block) ? chunk_below(block) : NULL;
    for (uint64_t i = 0, n; i < PAGES_PER_BLOCK; i += n) {
        const struct page *page = page_of(block + i);

        if (whole || !page_is_ready(block)) {
            page = whole;
            n = PAGES_PER_BLOCK;
        } else {
            n = step(page, PAGES_PER_BLOCK - i);
        }
        for (uint64_t k = 0; k < n; k++)
            line[i + k] = page ? letter[page->state] : '.';
    }
    for (uint64_t i = 0; i < PAGES_PER_BLOCK; i++) {
        text_char(t, line[i]);
        if (i % PAGES_PER_LINE == PAGES_PER_LINE - 1)
            text_char(t, '\n');
    }
}
