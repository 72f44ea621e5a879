/* See cma.h. */
#include "mmserver/core/cma.h"
#include "mmserver/core/kmalloc.h"
#include "mmserver/core/linux_abi.h"
#include "mmserver/core/memblock.h"

#define BITS 64

struct cma_area cma_areas[CMA_AREAS_MAX];
uint32_t cma_count;

static bool bit_is_set(const struct cma_area *a, uint64_t i)
{
    return a->bitmap[i / BITS] >> (i % BITS) & 1;
}

static void bits_change(struct cma_area *a, uint64_t i, uint64_t count)
{
    for (; count--; i++)
        a->bitmap[i / BITS] ^= 1UL << (i % BITS);
}

/* The first of a run of clear bits from `i` on whose page is a multiple of `align`; ~0: none. */
static uint64_t bits_find(const struct cma_area *a, uint64_t i, uint64_t count, uint64_t align)
{
    uint64_t run = 0;

    i = ROUND_UP(a->first + i, align) - a->first;
    while (i + run < a->count && run < count) {
        if (bit_is_set(a, i + run)) {
            i = ROUND_UP(a->first + i + run + 1, align) - a->first;
            run = 0;
        } else {
            run++;
        }
    }
    return run == count ? i : ~0UL;
}

static void area_add(struct worker *w, const struct memblock_range *r)
{
    pfn_t first = ROUND_UP(r->first, PAGES_PER_BLOCK), end = ROUND_DOWN(r->end, PAGES_PER_BLOCK);
    struct cma_area *a = &cma_areas[cma_count];

    if (first >= end || !page_is_ready(first) || page_type(page_of(first)) != MIGRATE_CMA)
        return;
    *a = (struct cma_area){.lock = LOCK_INIT(LOCK_PHYS),
                           .first = first,
                           .count = end - first,
                           .shared = (r->flags & MEMBLOCK_CMA) != 0,
                           .is_default = (r->flags & MEMBLOCK_CMA_DEFAULT) != 0};
    a->bitmap = cma_count < CMA_AREAS_MAX
                    ? kzalloc(w, (a->count + BITS - 1) / BITS * sizeof *a->bitmap)
                    : NULL;
    if (a->bitmap)
        cma_count++;
    else
        text_log("memory: the area of %lu pages at %lx stays lent", a->count, a->first);
}

void cma_init(struct worker *w)
{
    struct memblock_range r;

    cma_count = 0;
    for (paddr_t at = 0; memblock_next_reusable(&memblock, &at, MEMBLOCK_ANY_NODE, &r);) {
        if (cma_count < CMA_AREAS_MAX)
            area_add(w, &r);
    }
}

static struct cma_area *area_of(uint64_t number)
{
    if (number < cma_count)
        return &cma_areas[number];
    for (uint32_t i = 0; i < cma_count && number == CMA_DEFAULT; i++) {
        if (cma_areas[i].is_default)
            return &cma_areas[i];
    }
    for (uint32_t i = 0; i < cma_count && number == CMA_DEFAULT; i++) {
        if (cma_areas[i].shared)
            return &cma_areas[i];
    }
    return NULL;
}

/* The next place from *at on that nobody has, marked. */
static bool place_take(struct cma_area *a, uint64_t *at, uint64_t count, uint64_t align)
{
    lock_take(&a->lock);
    *at = bits_find(a, *at, count, align);
    if (*at != ~0UL) {
        bits_change(a, *at, count);
        a->used += count;
    }
    lock_drop(&a->lock);
    return *at != ~0UL;
}

static void place_give(struct cma_area *a, uint64_t at, uint64_t count)
{
    lock_take(&a->lock);
    bits_change(a, at, count);
    a->used -= count;
    lock_drop(&a->lock);
}

static pfn_t area_alloc(struct worker *w, struct cma_area *a, uint64_t count, uint64_t align)
{
    for (uint64_t at = 0; place_take(a, &at, count, align); at += align) {
        long error = contig_alloc(w, a->first + at, count);

        if (!error)
            return a->first + at;
        place_give(a, at, count);
        if (error != -LINUX_EBUSY)
            break;
    }
    return 0;
}

pfn_t cma_alloc(struct worker *w, uint64_t area, uint64_t count, unsigned align_order)
{
    struct cma_area *a = area_of(area);
    pfn_t first = 0;

    if (!a)
        return 0;
    if (count && count <= a->count && align_order < BITS - PAGE_SHIFT && !place_alloc_fails())
        first = area_alloc(w, a, count, 1UL << align_order);
    lock_take(&a->lock);
    a->allocated += first != 0;
    a->failed += first == 0;
    lock_drop(&a->lock);
    return first;
}

static bool all_set(const struct cma_area *a, uint64_t at, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        if (!bit_is_set(a, at + i))
            return false;
    }
    return count != 0;
}

static struct cma_area *area_around(pfn_t first, uint64_t count)
{
    for (uint32_t i = 0; i < cma_count; i++) {
        struct cma_area *a = &cma_areas[i];

        if (first >= a->first && first - a->first < a->count && count <= a->count &&
            first - a->first <= a->count - count)
            return a;
    }
    return NULL;
}

/* Does the range begin and end where pieces do? */
static bool is_whole_pieces(pfn_t first, uint64_t count)
{
    pfn_t pfn = first;

    while (pfn < first + count && page_of(pfn)->state != PAGE_TAIL)
        pfn += 1UL << page_of(pfn)->order;
    return pfn == first + count;
}

bool cma_release(struct worker *w, pfn_t first, uint64_t count)
{
    struct cma_area *a = area_around(first, count);

    if (!a)
        return false;
    lock_take(&a->lock);
    bool good = all_set(a, first - a->first, count) && is_whole_pieces(first, count);
    a->released += good;
    lock_drop(&a->lock);
    if (!good)
        return false;
    /* The bits go last: until then nobody else can be at these pages. */
    contig_free(w, first, count);
    place_give(a, first - a->first, count);
    return true;
}

uint64_t cma_pages(void)
{
    uint64_t pages = 0;

    for (uint32_t i = 0; i < cma_count; i++)
        pages += cma_areas[i].count;
    return pages;
}

void cma_report(struct text *t)
{
    for (uint32_t i = 0; i < cma_count; i++) {
        const struct cma_area *a = &cma_areas[i];

        text_format(t,
                    "area %lu: first %lx pages %lu used %lu allocated %lu failed %lu released "
                    "%lu %s%s\n",
                    (uint64_t)i, a->first, a->count, a->used, a->allocated, a->failed, a->released,
                    a->shared ? "shared" : "private", a->is_default ? " default" : "");
    }
}

void cma_report_vmstat(struct text *t)
{
    uint64_t allocated = 0, failed = 0;

    for (uint32_t i = 0; i < cma_count; i++) {
        allocated += cma_areas[i].allocated;
        failed += cma_areas[i].failed;
    }
    text_format(t, "cma_alloc_success %lu\ncma_alloc_fail %lu\n", allocated, failed);
}

uint64_t cma_check(bool say)
{
    uint64_t wrong = 0;

    for (uint32_t i = 0; i < cma_count; i++) {
        struct cma_area *a = &cma_areas[i];
        uint64_t used = 0;

        lock_take(&a->lock);
        for (uint64_t bit = 0; bit < a->count; bit++)
            used += bit_is_set(a, bit);
        bool good = used == a->used;
        lock_drop(&a->lock);
        if (good)
            continue;
        if (say)
            text_log("check: CMA area %lu: %lu used, recount %lu", (uint64_t)i, a->used, used);
        wrong++;
    }
    return wrong;
}
