/*
 * General sizes. A size finds its cache by two tables; an address finds its by the descriptor of
 * its page. Of a larger allocation the descriptor of the first page holds who asked and how much.
 *
 * Memory of debugged caches gives away no byte more than was asked for in sizes of the caches; it
 * is the cache's red zone that finds who writes behind.
 */
#include "mmserver/core/kmalloc.h"
#include "mmserver/core/slab_internal.h"
#include "mmserver/core/text.h"
#include <string.h>

#define SMALL_MAX   1024UL /* found in steps of 8 bytes, larger ones in steps of 1 KiB */
#define SMALL_SHIFT 3
#define LARGE_SHIFT 10

static const uint16_t size_bytes[] = {8,   16,  32,   64,   96,   128, 192,
                                      256, 512, 1024, 2048, 4096, 8192};
#define SIZES ARRAY_COUNT(size_bytes)

/* Caches by (bytes - 1) >> shift. */
static struct slab_cache *small[SMALL_MAX >> SMALL_SHIFT];
static struct slab_cache *large[KMALLOC_SLAB_MAX >> LARGE_SHIFT];
static uint64_t large_pages;

_Static_assert(KMALLOC_MAX == PAGE_BYTES << ORDER_MAX, "the buddy allocator's limit");

bool kmalloc_init(struct worker *w)
{
    uint64_t from = 0;

    large_pages = 0;
    for (unsigned i = 0; i < SIZES; i++) {
        uint64_t bytes = size_bytes[i];
        char name[SLAB_NAME_MAX];
        struct text t = {.buffer = name, .bytes = sizeof name - 1};

        text_format(&t, "kmalloc-%lu", bytes);
        name[text_kept(&t)] = '\0';
        struct slab_cache *c =
            slab_cache_create(w, name, bytes, min_u64(bytes & -bytes, PAGE_BYTES), 0, NULL);
        if (!c)
            return false;
        for (uint64_t n = from; n < bytes && n < SMALL_MAX; n += 1UL << SMALL_SHIFT)
            small[n >> SMALL_SHIFT] = c;
        for (uint64_t n = max_u64(from, SMALL_MAX); n < bytes; n += 1UL << LARGE_SHIFT)
            large[n >> LARGE_SHIFT] = c;
        from = bytes;
    }
    return true;
}

/* NULL: by pages. bytes is not 0. */
static inline struct slab_cache *cache_for(uint64_t bytes)
{
    if (likely(bytes <= SMALL_MAX))
        return small[(bytes - 1) >> SMALL_SHIFT];
    return bytes <= KMALLOC_SLAB_MAX ? large[(bytes - 1) >> LARGE_SHIFT] : NULL;
}

/* ---- by pages ---- */

static unsigned order_for(uint64_t bytes)
{
    unsigned order = 0;

    while (PAGE_BYTES << order < bytes)
        order++;
    return order;
}

static void *pages_get(struct worker *w, uint64_t bytes, const void *site)
{
    if (bytes > KMALLOC_MAX)
        return NULL;
    unsigned order = order_for(bytes);
    pfn_t pfn = pages_alloc(w, order, GFP_KERNEL);
    if (!pfn)
        return NULL;
    struct page *page = page_of(pfn);
    page->state = PAGE_KMALLOC;
    page->order = (uint8_t)order;
    page->owner = (void *)site;
    page->index = bytes | (uint64_t)slab_generation << KMALLOC_BYTES_BITS;
    __atomic_add_fetch(&large_pages, 1UL << order, __ATOMIC_RELAXED);
    return page_pointer(pfn);
}

static void pages_put(struct worker *w, struct page *page)
{
    unsigned order = page->order;

    page->owner = NULL;
    page->state = PAGE_USED;
    __atomic_sub_fetch(&large_pages, 1UL << order, __ATOMIC_RELAXED);
    pages_free(w, page_number(page), order);
}

uint64_t kmalloc_large_pages(void)
{
    return __atomic_load_n(&large_pages, __ATOMIC_RELAXED);
}

/* ---- by address ---- */

/*
 * The descriptor of the first page of the slab or of the pages that begin at `memory`: objects of
 * slabs of several pages lie behind the first, at most SLAB_ORDER_MAX orders. NULL: it is neither.
 */
static struct slab *home_of(const struct worker *w, const void *memory)
{
    uintptr_t address = (uintptr_t)memory;
    struct slab *s = slab_at(w, address);

    if (s->state == PAGE_KMALLOC)
        return address & PAGE_MASK ? NULL : s;
    for (unsigned order = 0; order <= SLAB_ORDER_MAX; order++) {
        s = slab_at(w, address & ~((PAGE_BYTES << order) - 1));
        if (s->state == PAGE_SLAB && s->cache)
            return s->cache->order >= order ? s : NULL;
    }
    return NULL;
}

static SLAB_NOINLINE void *alloc_called(struct worker *w, uint64_t bytes)
{
    const void *site = __builtin_return_address(0);

    if (!bytes)
        return NULL;
    struct slab_cache *c = cache_for(bytes);
    return c ? slab_alloc_slowly(w, c, site) : pages_get(w, bytes, site);
}

void *kmalloc(struct worker *w, uint64_t bytes)
{
    if (likely(bytes - 1 < SMALL_MAX)) {
        void *object = slab_pop(w, small[(bytes - 1) >> SMALL_SHIFT]);

        if (likely(object != NULL))
            return object;
    } else if (bytes - 1 < KMALLOC_SLAB_MAX) {
        void *object = slab_pop(w, large[(bytes - 1) >> LARGE_SHIFT]);

        if (likely(object != NULL))
            return object;
    }
    return alloc_called(w, bytes);
}

static SLAB_NOINLINE void free_called(struct worker *w, void *memory)
{
    const void *site = __builtin_return_address(0);

    if (!memory)
        return;
    struct slab *s = home_of(w, memory);
    if (!s)
        slab_report_foreign(w, small[0], memory, site);
    else if (s->state == PAGE_KMALLOC)
        pages_put(w, (struct page *)s);
    else if (!slab_push(w, s->cache, memory))
        slab_free_slowly(w, s->cache, memory, site);
}

void kfree(struct worker *w, void *memory)
{
    if (likely(memory != NULL)) {
        struct slab *s = slab_at(w, (uintptr_t)memory);

        if (likely(s->state == PAGE_SLAB) && likely(slab_push(w, s->cache, memory)))
            return;
    }
    free_called(w, memory);
}

uint64_t ksize(struct worker *w, const void *memory)
{
    struct slab *s = memory ? home_of(w, memory) : NULL;

    mm_assert(s != NULL);
    return s->state == PAGE_KMALLOC ? PAGE_BYTES << s->order : s->cache->object_bytes;
}

/* ---- on top ---- */

void *kzalloc(struct worker *w, uint64_t bytes)
{
    void *memory = kmalloc(w, bytes);

    return memory ? memset(memory, 0, bytes) : NULL;
}

void *kmalloc_array(struct worker *w, uint64_t count, uint64_t bytes)
{
    uint64_t total;

    return __builtin_mul_overflow(count, bytes, &total) ? NULL : kmalloc(w, total);
}

void *kcalloc(struct worker *w, uint64_t count, uint64_t bytes)
{
    uint64_t total;

    return __builtin_mul_overflow(count, bytes, &total) ? NULL : kzalloc(w, total);
}

void *krealloc(struct worker *w, void *old, uint64_t bytes)
{
    if (!old)
        return kmalloc(w, bytes);
    uint64_t have = ksize(w, old);
    /* Stays where it is if it fits and would not be half empty. */
    if (bytes && bytes <= have && (bytes > have / 2 || have <= size_bytes[0]))
        return old;
    void *now = kmalloc(w, bytes);
    if (!now)
        return NULL;
    memcpy(now, old, min_u64(have, bytes));
    kfree(w, old);
    return now;
}
