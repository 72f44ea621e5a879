/*
 * The tree of regions, and their life:
 *
 *   vm_alloc/vm_map/io_map: room found and linked (BUSY) -> pages mapped -> LIVE
 *   vm_free:  LIVE -> LAZY, linked into lazy_list
 *   vm_purge: all LAZY: unmapped together, pages given back, unlinked, descriptor freed
 */
#include "mmserver/core/types.h"
#include <sys/queue.h>

#define RB_AUGMENT(r) region_augment(r)
#include <sys/tree.h>

enum region_kind { REGION_ALLOC, REGION_MAP, REGION_IO };
enum region_state { REGION_BUSY, REGION_LIVE, REGION_LAZY };

struct region {
    RB_ENTRY(region) node;
    SLIST_ENTRY(region) lazy;
    vaddr_t start, end; /* end: the guard page begins */
    uint64_t gap;       /* bytes free before it */
    uint64_t gap_max;   /* largest gap in its subtree */
    uint8_t kind, state;
    uint8_t page_order; /* of the array */
    bool huge;          /* whole 2 MiB leaves */
    uint64_t pages;     /* mapped */
    pfn_t *page;        /* ALLOC, MAP: array in pages of its own; huge: one in 512 */
    uint64_t physical;  /* IO */
    const void *caller;
};

RB_HEAD(region_tree, region);

#include "mmserver/core/device.h"
#include "mmserver/core/kmap.h"
#include "mmserver/core/phys.h"
#include "mmserver/core/pt.h"
#include "mmserver/core/slab.h"
#include "mmserver/core/vmap.h"

static struct slab_cache *region_cache;
static struct region_tree regions;
static SLIST_HEAD(, region) lazy_list;
static uint64_t lazy_pages;

static void region_augment(struct region *r)
{
    uint64_t most = r->gap;

    if (RB_LEFT(r, node))
        most = max_u64(most, RB_LEFT(r, node)->gap_max);
    if (RB_RIGHT(r, node))
        most = max_u64(most, RB_RIGHT(r, node)->gap_max);
    r->gap_max = most;
}

static int region_compare(const struct region *a, const struct region *b)
{
    return a->start < b->start ? -1 : a->start > b->start;
}

/* Behind the windows. */
static vaddr_t regions_start(void)
{
    return place_own_start + KMAP_BYTES;
}

RB_GENERATE_STATIC(region_tree, region, node, region_compare)

bool vmap_init(struct worker *w)
{
    own_init();
    RB_INIT(&regions);
    SLIST_INIT(&lazy_list);
    lazy_pages = 0;
    region_cache = slab_cache_create(w, "vm_region", sizeof(struct region), 0, 0, NULL);
    return region_cache && kmap_init(w);
}

/* ---- addresses ---- */

static void gap_update(struct region *r)
{
    struct region *below = RB_PREV(region_tree, &regions, r);

    r->gap = r->start - (below ? below->end + PAGE_BYTES : regions_start());
    for (; r; r = RB_PARENT(r, node))
        region_augment(r);
}

static void region_link(struct region *r)
{
    mm_assert(!RB_INSERT(region_tree, &regions, r));
    gap_update(r);
    struct region *above = RB_NEXT(region_tree, &regions, r);
    if (above)
        gap_update(above);
}

static void region_unlink(struct region *r)
{
    struct region *above = RB_NEXT(region_tree, &regions, r);

    RB_REMOVE(region_tree, &regions, r);
    if (above)
        gap_update(above);
}

/* Where `bytes` fit in [low, high) with that alignment; 0: nowhere. */
static vaddr_t fit(vaddr_t low, vaddr_t high, uint64_t bytes, uint64_t align)
{
    vaddr_t at = ROUND_UP(low, align);

    return at < high && high - at >= bytes ? at : 0;
}

/* The lowest fit in the gaps of r's subtree. */
static vaddr_t gap_find(const struct region *r, uint64_t bytes, uint64_t align)
{
    if (!r || r->gap_max < bytes)
        return 0;
    vaddr_t at = gap_find(RB_LEFT(r, node), bytes, align);
    if (!at)
        at = fit(r->start - r->gap, r->start, bytes, align);
    return at ? at : gap_find(RB_RIGHT(r, node), bytes, align);
}

/* `bytes` include the guard. */
static vaddr_t room_find(uint64_t bytes, uint64_t align)
{
    const struct region *last = RB_MAX(region_tree, &regions);
    vaddr_t at = gap_find(RB_ROOT(&regions), bytes, align);

    return at ? at
              : fit(last ? last->end + PAGE_BYTES : regions_start(), place_own_end, bytes, align);
}

static struct region *region_at(vaddr_t address)
{
    struct region *r = RB_ROOT(&regions);

    while (r && address - r->start >= r->end - r->start)
        r = address < r->start ? RB_LEFT(r, node) : RB_RIGHT(r, node);
    return r;
}

/* ---- making and ending a region ---- */

static void array_free(struct worker *w, struct region *r)
{
    if (r->page)
        pages_free(w, ((uintptr_t)r->page - place_linear_base) >> PAGE_SHIFT, r->page_order);
}

static bool array_make(struct worker *w, struct region *r, uint64_t count)
{
    while (PAGE_BYTES << r->page_order < count * sizeof *r->page) {
        if (r->page_order++ == ORDER_MAX)
            return false;
    }
    pfn_t pfn = pages_alloc(w, r->page_order, GFP_KERNEL);
    if (!pfn)
        return false;
    page_of(pfn)->state = PAGE_SERVER;
    r->page = page_pointer(pfn);
    return true;
}

/* A descriptor with its page array, at no address yet; NULL without memory. */
static struct region *region_make(struct worker *w, enum region_kind kind, uint64_t pages,
                                  const void *caller)
{
    struct region *r = slab_zalloc(w, region_cache);

    if (!r)
        return NULL;
    r->kind = (uint8_t)kind;
    r->state = REGION_BUSY;
    r->pages = pages;
    r->caller = caller;
    if (kind == REGION_IO || array_make(w, r, pages))
        return r;
    slab_free(w, region_cache, r);
    return NULL;
}

static void region_free(struct worker *w, struct region *r)
{
    array_free(w, r);
    slab_free(w, region_cache, r);
}

static bool region_place_locked(struct worker *w, struct region *r)
{
    uint64_t bytes = r->pages << PAGE_SHIFT;
    vaddr_t at = room_find(bytes + PAGE_BYTES, r->huge ? BLOCK_BYTES : PAGE_BYTES);

    if (!at)
        return false;
    r->start = at;
    r->end = at + bytes;
    region_link(r);
    if (r->huge || !own_tables_locked(w, r->start, r->end))
        return true;
    region_unlink(r);
    return false;
}

/* Find room; if there is none, among what was released. */
static bool region_place(struct worker *w, struct region *r)
{
    for (;;) {
        lock_take(&own_lock);
        bool placed = region_place_locked(w, r);
        lock_drop(&own_lock);
        if (placed || !vm_purge(w))
            return placed;
    }
}

/* Physically contiguous pages from `i` on. */
static uint64_t array_run(const struct region *r, uint64_t i)
{
    uint64_t n = 1;

    if (r->huge)
        return PAGES_PER_BLOCK;
    while (i + n < r->pages && r->page[i + n] == r->page[i] + n &&
           page_of(r->page[i + n])->slot == page_of(r->page[i])->slot)
        n++;
    return n;
}

static bool array_map_locked(struct worker *w, struct region *r, uint64_t bits)
{
    for (uint64_t i = 0, n; i < r->pages; i += n) {
        pfn_t first = r->page[r->huge ? i / PAGES_PER_BLOCK : i];

        n = array_run(r, i);
        if (own_map_locked(w, r->start + (i << PAGE_SHIFT), first, n, bits, page_of(first)->slot,
                           r->huge)) {
            own_unmap_locked(w, r->start, i, r->huge);
            own_flush_locked(w);
            return false;
        }
    }
    return true;
}

/* Place the region and map its array. On failure it is at no address any more. */
static void *region_map(struct worker *w, struct region *r, uint64_t bits)
{
    if (!region_place(w, r))
        return NULL;
    lock_take(&own_lock);
    bool mapped = array_map_locked(w, r, bits);
    if (mapped)
        r->state = REGION_LIVE;
    else
        region_unlink(r);
    lock_drop(&own_lock);
    return mapped ? own_pointer(r->start) : NULL;
}

/* ---- memory ---- */

static void pages_give_back(struct worker *w, struct region *r, uint64_t count)
{
    for (uint64_t i = 0; i < count; i += r->huge ? PAGES_PER_BLOCK : 1) {
        if (r->huge)
            pages_free(w, r->page[i / PAGES_PER_BLOCK], BLOCK_ORDER);
        else
            page_free(w, r->page[i]);
    }
}

/* All of it in chunks of that kind; what was got is given back if there is not enough. */
static bool pages_collect(struct worker *w, struct region *r)
{
    for (uint64_t i = 0; i < r->pages; i += r->huge ? PAGES_PER_BLOCK : 1) {
        pfn_t pfn = r->huge ? pages_alloc(w, BLOCK_ORDER, GFP_KERNEL | GFP_NORETRY | GFP_NOWARN)
                            : page_alloc(w);

        if (!pfn) {
            pages_give_back(w, r, i);
            return false;
        }
        page_of(pfn)->state = PAGE_SERVER;
        page_of(pfn)->owner = r;
        page_of(pfn)->index = i;
        r->page[r->huge ? i / PAGES_PER_BLOCK : i] = pfn;
    }
    return true;
}

static void *alloc_try(struct worker *w, uint64_t pages, bool huge, const void *caller)
{
    struct region *r = region_make(w, REGION_ALLOC, pages, caller);

    if (!r)
        return NULL;
    r->huge = huge;
    if (pages_collect(w, r)) {
        void *at = region_map(w, r, OWN_WRITE);

        if (at)
            return at;
        pages_give_back(w, r, pages);
    }
    region_free(w, r);
    return NULL;
}

void *vm_alloc(struct worker *w, uint64_t bytes)
{
    uint64_t pages = PAGE_UP(bytes) >> PAGE_SHIFT;
    const void *caller = __builtin_return_address(0);
    void *at = NULL;

    if (!pages || bytes > place_own_end - place_own_start)
        return NULL;
    if (pages >= PAGES_PER_BLOCK)
        at = alloc_try(w, ROUND_UP(pages, PAGES_PER_BLOCK), true, caller);
    return at ? at : alloc_try(w, pages, false, caller);
}

void *vm_map(struct worker *w, const pfn_t *pages, uint64_t count, bool writable)
{
    if (!count || count > (place_own_end - place_own_start) >> PAGE_SHIFT)
        return NULL;
    struct region *r = region_make(w, REGION_MAP, count, __builtin_return_address(0));
    if (!r)
        return NULL;
    for (uint64_t i = 0; i < count; i++) {
        mm_assert(page_is_ours(pages[i]));
        r->page[i] = pages[i];
    }
    void *at = region_map(w, r, writable ? OWN_WRITE : OWN_READ);
    if (!at)
        region_free(w, r);
    return at;
}

/* ---- devices ---- */

static uint64_t io_bits(enum io_type type)
{
    return OWN_WRITE | (type == IO_CACHED ? 0 : device_bits(type == IO_DEVICE));
}

volatile void *io_map(struct worker *w, uint64_t start, uint64_t bytes, enum io_type type)
{
    pfn_t first = start >> PAGE_SHIFT;
    uint64_t offset = start & PAGE_MASK;
    uint64_t pages = PAGE_UP(offset + bytes) >> PAGE_SHIFT;
    uint32_t slot;

    if (!bytes || start + bytes < start || !device_memory(first, pages, &slot))
        return NULL;
    struct region *r = region_make(w, REGION_IO, pages, __builtin_return_address(0));
    if (!r)
        return NULL;
    r->physical = start - offset;
    if (!region_place(w, r)) {
        region_free(w, r);
        return NULL;
    }
    lock_take(&own_lock);
    bool mapped = !own_map_locked(w, r->start, first, pages, io_bits(type), slot, false);
    if (mapped)
        r->state = REGION_LIVE;
    else
        region_unlink(r);
    lock_drop(&own_lock);
    if (!mapped) {
        region_free(w, r);
        return NULL;
    }
    return (char *)own_pointer(r->start) + offset;
}

void io_unmap(struct worker *w, volatile void *region)
{
    vm_free(w, (void *)PAGE_DOWN((uintptr_t)region));
}

/* ---- release ---- */

void vm_free(struct worker *w, void *region)
{
    vaddr_t at = own_address(region);

    lock_take(&own_lock);
    struct region *r = region_at(at);
    mm_assert(r && r->start == at && r->state == REGION_LIVE);
    r->state = REGION_LAZY;
    SLIST_INSERT_HEAD(&lazy_list, r, lazy);
    lazy_pages += r->pages;
    bool enough = lazy_pages > VM_LAZY_PAGES_MAX;
    lock_drop(&own_lock);
    if (enough)
        vm_purge(w);
}

uint64_t vm_purge(struct worker *w)
{
    uint64_t freed = 0;
    struct region *r;

    lock_take(&own_lock);
    struct region *gone = SLIST_FIRST(&lazy_list);
    SLIST_INIT(&lazy_list);
    lazy_pages = 0;
    for (r = gone; r; r = SLIST_NEXT(r, lazy))
        own_unmap_locked(w, r->start, r->pages, r->huge);
    own_flush_locked(w);
    /* No hart reaches them any more: now addresses and pages may be used again. */
    for (r = gone; r; r = SLIST_NEXT(r, lazy))
        region_unlink(r);
    lock_drop(&own_lock);
    while ((r = gone) != NULL) {
        gone = SLIST_NEXT(r, lazy);
        freed += r->pages;
        if (r->kind == REGION_ALLOC)
            pages_give_back(w, r, r->pages);
        region_free(w, r);
    }
    return freed;
}

pfn_t vm_page(const void *address)
{
    vaddr_t at = own_address(address);
    pfn_t pfn = 0;

    lock_take(&own_lock);
    const struct region *r = region_at(at);
    if (r && r->state == REGION_LIVE) {
        uint64_t i = (at - r->start) >> PAGE_SHIFT;

        pfn = r->kind == REGION_IO ? (r->physical >> PAGE_SHIFT) + i
              : r->huge            ? r->page[i / PAGES_PER_BLOCK] + i % PAGES_PER_BLOCK
                                   : r->page[i];
    }
    lock_drop(&own_lock);
    return pfn;
}

/* ---- looking ---- */

void vmap_report(struct text *t)
{
    static const char *const kind[] = {"vmalloc", "vmap", "ioremap"};
    struct region *r;

    lock_take(&own_lock);
    RB_FOREACH(r, region_tree, &regions)
    {
        text_format(t, "0x%016lx-0x%016lx %8lu", r->start, r->end + PAGE_BYTES,
                    r->end + PAGE_BYTES - r->start);
        if (r->state == REGION_LAZY) {
            text_string(t, " unpurged vm_area\n");
            continue;
        }
        text_format(t, " 0x%lx pages=%lu %s", (uintptr_t)r->caller, r->pages, kind[r->kind]);
        if (r->huge)
            text_string(t, " huge");
        if (r->kind == REGION_IO)
            text_format(t, " phys=0x%016lx", r->physical);
        text_char(t, '\n');
    }
    lock_drop(&own_lock);
}

static uint64_t wrong(const struct region *r, const char *what)
{
    text_log("mmcheck: region %lx: %s", r->start, what);
    return 1;
}

uint64_t vmap_check(void)
{
    vaddr_t free_from = regions_start();
    uint64_t errors = 0, lazy = 0;
    struct region *r;

    lock_take(&own_lock);
    RB_FOREACH(r, region_tree, &regions)
    {
        uint64_t most = r->gap_max;

        region_augment(r);
        if (most != r->gap_max || r->gap != r->start - free_from)
            errors += wrong(r, "its gap is not what lies before it");
        if (r->start < free_from || r->end > place_own_end)
            errors += wrong(r, "it overlaps another, or lies outside");
        if (r->end - r->start != r->pages << PAGE_SHIFT)
            errors += wrong(r, "its bounds do not fit its pages");
        for (uint64_t i = 0; r->kind == REGION_ALLOC && !r->huge && i < r->pages; i++) {
            if (page_of(r->page[i])->owner != r || page_of(r->page[i])->index != i)
                errors += wrong(r, "a page says that it belongs elsewhere");
        }
        lazy += r->state == REGION_LAZY ? r->pages : 0;
        free_from = r->end + PAGE_BYTES;
    }
    if (lazy != lazy_pages) {
        text_log("mmcheck: %lu pages wait to be unmapped, counted %lu", lazy, lazy_pages);
        errors++;
    }
    lock_drop(&own_lock);
    return errors;
}
