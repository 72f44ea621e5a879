/*
 * Lists of memory regions: see memblock.h. The two-list scheme is Linux's memblock.
 *
 * Invariant of a list: start < end, sorted, no overlap, and two regions that touch differ in flags
 * or node. Every change is planned first (how many slots it needs), then made.
 */
#include "mmserver/core/memblock.h"
#include "mmserver/core/assert.h"
#include <string.h>

struct memblock memblock;

const char *memblock_error_text(enum memblock_error error)
{
    switch (error) {
    case MEMBLOCK_OK:
        return "no error";
    case MEMBLOCK_EMPTY:
        return "the range is empty or wraps around";
    case MEMBLOCK_FULL:
        return "memory has too many separate parts";
    }
    return "unknown error";
}

void memblock_init(struct memblock *m)
{
    m->memory.count = 0;
    m->reserved.count = 0;
    m->grants = 0;
    m->top_down = false;
    m->left_out = 0;
}

static bool range_end(paddr_t start, uint64_t bytes, paddr_t *end)
{
    return bytes && !__builtin_add_overflow(start, bytes, end);
}

/* ---- lists ---- */

static void list_insert(struct memblock_list *list, uint32_t at, struct memblock_region region)
{
    mm_assert(list->count < MEMBLOCK_REGIONS_MAX);
    memmove(&list->region[at + 1], &list->region[at], (list->count - at) * sizeof region);
    list->region[at] = region;
    list->count++;
}

static bool regions_join(const struct memblock_region *a, const struct memblock_region *b)
{
    return a->end == b->start && a->flags == b->flags && a->node == b->node;
}

static void list_merge(struct memblock_list *list)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < list->count; i++) {
        struct memblock_region next = list->region[i];

        if (kept && regions_join(&list->region[kept - 1], &next))
            list->region[kept - 1].end = next.end;
        else
            list->region[kept++] = next;
    }
    list->count = kept;
}

/* The uncovered parts of [start, end): how many there are; with `fill` they become regions. */
static uint32_t list_fill(struct memblock_list *list, struct memblock_region new, bool fill)
{
    uint32_t parts = 0;

    for (uint32_t i = 0; new.start < new.end; i++) {
        const struct memblock_region *next = i < list->count ? &list->region[i] : NULL;

        if (next && next->end <= new.start)
            continue;
        paddr_t stop = next ? min_u64(next->start, new.end) : new.end;
        paddr_t resume = next ? next->end : new.end;
        if (new.start < stop) {
            struct memblock_region part = new;

            part.end = stop;
            parts++;
            if (fill)
                list_insert(list, i++, part);
        }
        new.start = max_u64(resume, stop);
    }
    return parts;
}

static enum memblock_error list_add(struct memblock_list *list, struct memblock_region new)
{
    if (list->count + list_fill(list, new, false) > MEMBLOCK_REGIONS_MAX)
        return MEMBLOCK_FULL;
    list_fill(list, new, true);
    list_merge(list);
    return MEMBLOCK_OK;
}

static bool region_has_inside(const struct memblock_region *r, paddr_t at)
{
    return at > r->start && at < r->end;
}

/* Make `at` a border between regions. */
static void list_cut(struct memblock_list *list, paddr_t at)
{
    for (uint32_t i = 0; i < list->count; i++) {
        struct memblock_region upper = list->region[i];

        if (!region_has_inside(&upper, at))
            continue;
        list->region[i].end = at;
        upper.start = at;
        list_insert(list, i + 1, upper);
        return;
    }
}

/* Make both ends borders, so that each region lies inside [start, end) or outside. */
static enum memblock_error list_isolate(struct memblock_list *list, paddr_t start, paddr_t end)
{
    uint32_t cuts = 0;

    for (uint32_t i = 0; i < list->count; i++)
        cuts += (uint32_t)region_has_inside(&list->region[i], start) +
                (uint32_t)region_has_inside(&list->region[i], end);
    if (list->count + cuts > MEMBLOCK_REGIONS_MAX)
        return MEMBLOCK_FULL;
    list_cut(list, start);
    list_cut(list, end);
    return MEMBLOCK_OK;
}

static enum memblock_error list_remove(struct memblock_list *list, paddr_t start, uint64_t bytes)
{
    uint32_t kept = 0;
    paddr_t end;

    if (!range_end(start, bytes, &end))
        return MEMBLOCK_EMPTY;
    enum memblock_error error = list_isolate(list, start, end);
    if (error)
        return error;
    for (uint32_t i = 0; i < list->count; i++) {
        if (list->region[i].start < start || list->region[i].end > end)
            list->region[kept++] = list->region[i];
    }
    list->count = kept;
    return MEMBLOCK_OK;
}

/* ---- changes ---- */

enum memblock_error memblock_add(struct memblock *m, paddr_t start, uint64_t bytes, uint32_t node,
                                 uint32_t flags)
{
    paddr_t end;

    if (!range_end(start, bytes, &end))
        return MEMBLOCK_EMPTY;
    return list_add(&m->memory, (struct memblock_region){start, end, flags, node});
}

enum memblock_error memblock_remove(struct memblock *m, paddr_t start, uint64_t bytes)
{
    return list_remove(&m->memory, start, bytes);
}

enum memblock_error memblock_reserve(struct memblock *m, paddr_t start, uint64_t bytes,
                                     uint32_t node, uint32_t flags)
{
    paddr_t end;

    if (!range_end(start, bytes, &end))
        return MEMBLOCK_EMPTY;
    return list_add(&m->reserved, (struct memblock_region){start, end, flags, node});
}

enum memblock_error memblock_free(struct memblock *m, paddr_t start, uint64_t bytes)
{
    return list_remove(&m->reserved, start, bytes);
}

enum memblock_error memblock_mark(struct memblock_list *list, paddr_t start, uint64_t bytes,
                                  uint32_t flags)
{
    paddr_t end;

    if (!range_end(start, bytes, &end))
        return MEMBLOCK_EMPTY;
    enum memblock_error error = list_isolate(list, start, end);
    if (error)
        return error;
    for (uint32_t i = 0; i < list->count; i++) {
        if (list->region[i].start >= start && list->region[i].end <= end)
            list->region[i].flags |= flags;
    }
    list_merge(list);
    return MEMBLOCK_OK;
}

bool memblock_grant(struct memblock *m, pfn_t first, uint64_t pages, uint32_t slot)
{
    if (m->grants == ARRAY_COUNT(m->grant))
        return false;
    m->grant[m->grants++] = (struct memblock_grant){first, first + pages, slot};
    return true;
}

/* ---- iterators ---- */

static bool node_fits(const struct memblock_region *r, uint32_t node)
{
    return node == MEMBLOCK_ANY_NODE || r->node == node;
}

/* Cut a range to the grant that its first page lies in. */
static void range_grant(const struct memblock *m, struct memblock_range *range)
{
    for (uint32_t i = 0; i < m->grants; i++) {
        const struct memblock_grant *g = &m->grant[i];

        if (range->first >= g->first && range->first < g->end) {
            range->end = min_u64(range->end, g->end);
            range->slot = g->slot;
        } else if (range->first < g->first) {
            range->end = min_u64(range->end, g->first);
        }
    }
}

/* The whole pages of [start, end) in region `r`; false if there is none. */
static bool range_make(const struct memblock_region *r, paddr_t start, paddr_t end,
                       struct memblock_range *range)
{
    if (start > -PAGE_BYTES) /* rounding it up would wrap */
        return false;
    *range = (struct memblock_range){.first = PAGE_UP(start) >> PAGE_SHIFT,
                                     .end = end >> PAGE_SHIFT,
                                     .node = r->node,
                                     .flags = r->flags};
    return range->first < range->end;
}

/* The first stretch of [*start, end) that is not reserved; *start moves to its begin. */
static paddr_t unreserved(const struct memblock *m, paddr_t *start, paddr_t end)
{
    for (uint32_t i = 0; i < m->reserved.count; i++) {
        const struct memblock_region *q = &m->reserved.region[i];

        if (q->end <= *start)
            continue;
        if (q->start > *start)
            return min_u64(q->start, end);
        *start = q->end;
    }
    return end;
}

bool memblock_next_free(const struct memblock *m, paddr_t *at, uint32_t node,
                        struct memblock_range *range)
{
    for (uint32_t i = 0; i < m->memory.count; i++) {
        const struct memblock_region *r = &m->memory.region[i];

        if ((r->flags & MEMBLOCK_NOMAP) || !node_fits(r, node))
            continue;
        for (paddr_t start = max_u64(r->start, *at); start < r->end;) {
            paddr_t stop = unreserved(m, &start, r->end);

            if (start < stop && range_make(r, start, stop, range)) {
                range_grant(m, range);
                *at = range->end << PAGE_SHIFT;
                return true;
            }
            start = max_u64(start, stop);
        }
    }
    return false;
}

bool memblock_next_reusable(const struct memblock *m, paddr_t *at, uint32_t node,
                            struct memblock_range *range)
{
    for (uint32_t i = 0; i < m->reserved.count; i++) {
        const struct memblock_region *q = &m->reserved.region[i];

        if (!(q->flags & MEMBLOCK_REUSABLE))
            continue;
        for (uint32_t k = 0; k < m->memory.count; k++) {
            const struct memblock_region *r = &m->memory.region[k];
            paddr_t start = max_u64(max_u64(q->start, r->start), *at);
            paddr_t end = min_u64(q->end, r->end);

            if ((r->flags & MEMBLOCK_NOMAP) || !node_fits(r, node) || start >= end ||
                !range_make(r, start, end, range))
                continue;
            range->flags = q->flags;
            range_grant(m, range);
            *at = range->end << PAGE_SHIFT;
            return true;
        }
    }
    return false;
}

bool memblock_next_memory(const struct memblock *m, paddr_t *at, uint32_t node,
                          struct memblock_range *range)
{
    for (uint32_t i = 0; i < m->memory.count; i++) {
        const struct memblock_region *r = &m->memory.region[i];

        if (r->end <= *at || !node_fits(r, node))
            continue;
        if (!range_make(r, max_u64(r->start, *at), r->end, range))
            continue;
        *at = r->end;
        return true;
    }
    return false;
}

bool memblock_next_reserved(const struct memblock *m, paddr_t *at, struct memblock_range *range)
{
    for (uint32_t i = 0; i < m->reserved.count; i++) {
        const struct memblock_region *q = &m->reserved.region[i];

        if (q->end <= *at)
            continue;
        *range = (struct memblock_range){.first = q->start >> PAGE_SHIFT,
                                         .end = ((q->end - 1) >> PAGE_SHIFT) + 1,
                                         .node = q->node,
                                         .flags = q->flags};
        *at = q->end;
        return true;
    }
    return false;
}

/* ---- early allocation ---- */

/* Where `bytes` fit into a free range; false: nowhere. */
static bool place_in(const struct memblock_range *range, uint64_t bytes, uint64_t align,
                     paddr_t from, paddr_t to, bool high, paddr_t *found)
{
    paddr_t start = max_u64(range->first << PAGE_SHIFT, from);
    paddr_t end = min_u64(range->end << PAGE_SHIFT, to);

    if (start > -align || start >= end || end - start < bytes)
        return false;
    paddr_t place = high ? ROUND_DOWN(end - bytes, align) : ROUND_UP(start, align);
    if (place < start || place > end - bytes)
        return false;
    *found = place;
    return true;
}

paddr_t memblock_alloc(struct memblock *m, uint64_t bytes, uint64_t align, paddr_t from, paddr_t to,
                       uint32_t node)
{
    struct memblock_range range;
    paddr_t found = 0;
    uint32_t found_node = 0;

    mm_assert(bytes && align >= PAGE_BYTES && !(align & (align - 1)));
    if (bytes > -PAGE_BYTES)
        return 0;
    bytes = PAGE_UP(bytes);
    for (paddr_t at = 0; memblock_next_free(m, &at, node, &range);) {
        if (!place_in(&range, bytes, align, from, to, m->top_down, &found))
            continue;
        found_node = range.node;
        if (!m->top_down)
            break;
    }
    if (!found || memblock_reserve(m, found, bytes, found_node, 0))
        return 0;
    return found;
}

/* ---- accounting ---- */

/* Reserved pages of one memory region, rounded outwards, each counted once; of a reusable region
 * only the pages that it has in part. */
static void account_reserved(const struct memblock *m, const struct memblock_range *memory,
                             struct memblock_account *sum)
{
    pfn_t counted = memory->first;

    for (uint32_t i = 0; i < m->reserved.count; i++) {
        const struct memblock_region *q = &m->reserved.region[i];
        pfn_t first = max_u64(q->start >> PAGE_SHIFT, counted);
        pfn_t end = min_u64(((q->end - 1) >> PAGE_SHIFT) + 1, memory->end);
        pfn_t whole = min_u64(((q->start - 1) >> PAGE_SHIFT) + 1, end);

        if (first >= end)
            continue;
        sum->reserved += end - first;
        counted = end;
        if (!(q->flags & MEMBLOCK_REUSABLE))
            continue;
        whole = max_u64(whole, first);
        end = min_u64(end, q->end >> PAGE_SHIFT);
        sum->reserved -= end > whole ? end - whole : 0;
    }
}

struct memblock_account memblock_account(const struct memblock *m)
{
    struct memblock_account sum = {0};
    struct memblock_range range;

    for (paddr_t at = 0; memblock_next_memory(m, &at, MEMBLOCK_ANY_NODE, &range);) {
        sum.present += range.end - range.first;
        if (range.flags & MEMBLOCK_NOMAP)
            sum.nomap += range.end - range.first;
        else
            account_reserved(m, &range, &sum);
    }
    for (paddr_t at = 0; memblock_next_free(m, &at, MEMBLOCK_ANY_NODE, &range);)
        sum.free += range.end - range.first;
    for (paddr_t at = 0; memblock_next_reusable(m, &at, MEMBLOCK_ANY_NODE, &range);)
        sum.reusable += range.end - range.first;
    return sum;
}

static bool list_check(const struct memblock_list *list)
{
    for (uint32_t i = 0; i < list->count; i++) {
        const struct memblock_region *r = &list->region[i];

        if (r->start >= r->end)
            return false;
        if (i && (r[-1].end > r->start || regions_join(&r[-1], r)))
            return false;
    }
    return list->count <= MEMBLOCK_REGIONS_MAX;
}

bool memblock_check(const struct memblock *m)
{
    struct memblock_account sum = memblock_account(m);

    return list_check(&m->memory) && list_check(&m->reserved) &&
           sum.free + sum.reusable + sum.reserved + sum.nomap == sum.present;
}

/* ---- report ---- */

static void report_flags(struct text *t, uint32_t flags)
{
    static const char *const name[] = {"NOMAP", "REUSABLE", "CMA", "CMA_DEFAULT"};
    const char *before = "";

    for (unsigned i = 0; i < ARRAY_COUNT(name); i++) {
        if (!(flags & 1U << i))
            continue;
        text_string(t, before);
        text_string(t, name[i]);
        before = "|";
    }
    text_string(t, *before ? "\n" : "NONE\n");
}

static void report_list(struct text *t, const char *name, const struct memblock_list *list)
{
    text_format(t, "%s\n", name);
    for (uint32_t i = 0; i < list->count; i++) {
        const struct memblock_region *r = &list->region[i];

        text_format(t, "%4lu: 0x%016lx..0x%016lx %4lu ", (uint64_t)i, r->start, r->end - 1,
                    (uint64_t)r->node);
        report_flags(t, r->flags);
    }
}

void memblock_report(struct text *t, const struct memblock *m)
{
    struct memblock_account sum = memblock_account(m);

    report_list(t, "memory", &m->memory);
    report_list(t, "reserved", &m->reserved);
    text_format(t,
                "total: %lu pages present = %lu free + %lu reusable + %lu reserved + %lu nomap\n",
                sum.present, sum.free, sum.reusable, sum.reserved, sum.nomap);
}
