/*
 * Slabs, magazines, reaping. See slab.h. A cache's own descriptor is an object of the first cache,
 * which is static.
 *
 * Locks: each cache's for its slabs; slab_caches_lock for the list of caches. Pages are asked for
 * and given back with none held, so memory that runs out on the way loses nothing.
 */
#include "mmserver/core/random.h"
#include "mmserver/core/slab_internal.h"
#include "mmserver/core/text.h"
#include <string.h>

#define MIN_PER_SLAB   4  /* objects, where that can be had */
#define WASTE_FRACTION 16 /* at most this part of a slab is unused, where that can be had */
#define MAGAZINE_BYTES 16384

struct slab_cache_list slab_caches;
struct lock slab_caches_lock;

static union {
    struct slab_cache cache;
    char room[sizeof(struct slab_cache) + BOOT_HARTS_MAX * sizeof(struct magazine)];
} first;

/* ---- the ring of partial slabs, lock held ---- */

static uint32_t slab_number(const struct slab *s)
{
    return (uint32_t)(page_number((const struct page *)s) - phys.first);
}

static struct slab *slab_numbered(uint32_t number)
{
    return (struct slab *)page_of(phys.first + number);
}

struct slab *slab_partial_locked(const struct slab_cache *c)
{
    return c->partial == SLAB_NONE ? NULL : slab_numbered(c->partial);
}

/* At the end of the ring. */
static void ring_insert(struct slab_cache *c, struct slab *s)
{
    uint32_t n = slab_number(s);

    if (c->partial == SLAB_NONE) {
        c->partial = s->next = s->prev = n;
        return;
    }
    struct slab *head = slab_numbered(c->partial);
    s->next = c->partial;
    s->prev = head->prev;
    slab_numbered(head->prev)->next = n;
    head->prev = n;
}

static void ring_insert_first(struct slab_cache *c, struct slab *s)
{
    ring_insert(c, s);
    c->partial = slab_number(s);
}

static void ring_remove(struct slab_cache *c, struct slab *s)
{
    uint32_t n = slab_number(s);

    if (s->next == n) {
        c->partial = SLAB_NONE;
        return;
    }
    slab_numbered(s->prev)->next = s->next;
    slab_numbered(s->next)->prev = s->prev;
    if (c->partial == n)
        c->partial = s->next;
}

/* ---- objects of a slab, lock held ---- */

/* The free list cannot be followed: what is left of it is given up. */
static void slab_cut(struct slab_cache *c, struct slab *s)
{
    uint32_t lost = c->per_slab - s->used;

    c->empty -= !s->used;
    s->free = 0;
    s->used = (uint16_t)c->per_slab;
    c->out += lost;
    c->bad += lost;
    ring_remove(c, s);
}

void *slab_take_locked(struct slab_cache *c, struct slab *s)
{
    void *object = slab_unit_object(s, s->free);
    uint64_t *link = slab_link(c, object);
    uint64_t unit = slab_link_unmix(c, link);
    bool last = s->used + 1U == c->per_slab;

    if (unlikely(!slab_unit_good(c, unit) || !unit != last)) {
        slab_report_link(c, s, object);
        slab_cut(c, s);
        return NULL;
    }
    if (!s->used)
        c->empty--;
    s->free = (uint16_t)unit;
    s->used++;
    c->out++;
    if (last)
        ring_remove(c, s);
    return object;
}

/* Its last object came back. True: too many are empty, it is to be released. */
static SLAB_NOINLINE bool emptied_locked(struct slab_cache *c, struct slab *s)
{
    ring_remove(c, s);
    if (c->empty < c->empty_max || c->flags & SLAB_TYPESAFE) {
        c->empty++;
        ring_insert(c, s); /* the last to be used again */
        return false;
    }
    c->slabs--;
    return true;
}

/* The object was put into the list of `s`, which was full before or is empty now: as
 * slab_put_locked(). */
static SLAB_NOINLINE bool put_at_edge_locked(struct slab_cache *c, struct slab *s)
{
    if (s->used + 1U == c->per_slab)
        ring_insert_first(c, s);
    return !s->used && emptied_locked(c, s);
}

bool slab_put_locked(struct slab_cache *c, struct slab *s, void *object)
{
    uint64_t *link = slab_link(c, object);

    *link = slab_link_mix(c, link, s->free);
    s->free = (uint16_t)slab_object_unit(c, object);
    s->used--;
    c->out--;
    return put_at_edge_locked(c, s);
}

/* ---- slabs come and go, lock not held ---- */

void slab_release(struct worker *w, struct slab_cache *c, struct slab *s)
{
    pfn_t pfn = page_number((struct page *)s);

    s->cache = NULL;
    s->used = s->free = 0;
    s->state = PAGE_USED;
    if (c->order)
        pages_free(w, pfn, c->order);
    else
        page_free(w, pfn);
}

static pfn_t slab_pages(struct worker *w, const struct slab_cache *c)
{
    if (!c->order)
        return page_alloc(w);
    pfn_t pfn = pages_alloc(w, c->order, GFP_KERNEL);
    for (pfn_t i = 1; pfn && i < 1UL << c->order; i++)
        page_of(pfn + i)->owner = NULL; /* no cache's, if one looks for it here */
    return pfn;
}

bool slab_grow(struct worker *w, struct slab_cache *c)
{
    pfn_t pfn = slab_pages(w, c);

    if (!pfn)
        return false;
    struct slab *s = (struct slab *)page_of(pfn);
    s->cache = c;
    s->used = 0;
    s->free = 0;
    s->state = PAGE_SLAB;
    for (uint32_t i = c->per_slab; i--;) {
        void *object = slab_object(c, s, i);
        uint64_t *link = slab_link(c, object);

        if (c->constructor)
            c->constructor(object);
        if (unlikely(c->flags & SLAB_DEBUG))
            slab_debug_fresh(c, object);
        *link = slab_link_mix(c, link, s->free);
        s->free = (uint16_t)slab_object_unit(c, object);
    }
    lock_take(&c->lock);
    c->slabs++;
    c->empty++;
    c->touched = true;
    ring_insert(c, s);
    lock_drop(&c->lock);
    mm_count(w, slab_grown);
    return true;
}

/* ---- magazines ---- */

static void magazine_init(struct magazine *m, uint32_t slots)
{
    m->bottom = NULL;
    m->top = m->slot;
    m->limit = m->slot + slots;
}

/* Up to `count` objects of one slab to `to`; how many, 0 if its list turned out corrupt. */
static uint32_t slab_take_many_locked(struct slab_cache *c, struct slab *s, void **to,
                                      uint32_t count)
{
    const uint64_t limit = slab_bytes(c) / SLAB_LINK_UNIT;
    const uint64_t secret = c->secret, link_at = c->link_at;
    uint64_t unit = s->free;
    char *base = slab_base(s) - SLAB_LINK_UNIT;

    count = (uint32_t)min_u64(count, c->per_slab - s->used);
    void *object = NULL;

    for (uint64_t i = 0; i < count && unit - 1 < limit; i++) {
        object = base + unit * SLAB_LINK_UNIT;
        uint64_t *link = (uint64_t *)((char *)object + link_at);

        unit = (*link ^ secret ^ (uintptr_t)link) * LINK_GATHER;
        to[i] = object;
    }
    /* It went wrong somewhere if what is left does not look like a list of the right length. */
    if (unlikely(unit > limit || !unit != (s->used + count == c->per_slab))) {
        slab_report_link(c, s, object);
        slab_cut(c, s);
        return 0;
    }
    c->empty -= !s->used;
    s->free = (uint16_t)unit;
    s->used = (uint16_t)(s->used + count);
    c->out += count;
    if (s->used == c->per_slab)
        ring_remove(c, s);
    return count;
}

/* The lower half is filled, so that frees find room. */
static uint32_t magazine_fill(struct slab_cache *c, struct magazine *m)
{
    uint32_t got = 0;
    struct slab *s;

    lock_take(&c->lock);
    c->touched = true;
    while (got < c->half && (s = slab_partial_locked(c)))
        got += slab_take_many_locked(c, s, m->top + got, c->half - got);
    m->top += got;
    lock_drop(&c->lock);
    return got;
}

/* slab_put_locked() for all objects above `keep`, what is the same for all kept at hand. Slabs to
 * be released are chained by their `cache`. */
static struct slab *put_many_locked(const struct worker *w, struct slab_cache *c, void **top,
                                    void **keep)
{
    const uint64_t mask = c->mask, secret = c->secret, link_at = c->link_at;
    const uint64_t full = c->per_slab, bias = w->slab_bias;
    struct slab *released = NULL;

    c->out -= (uint64_t)(top - keep);
    while (top != keep) {
        uintptr_t object = (uintptr_t) * --top;
        struct slab *s =
            (struct slab *)(bias + ((object & mask) >> PAGE_SHIFT) * sizeof(struct page));
        uint64_t *link = (uint64_t *)(object + link_at);
        uint64_t used = s->used - 1UL;

        *link = s->free * LINK_SPREAD ^ secret ^ (uintptr_t)link;
        s->free = (uint16_t)((object & ~mask) / SLAB_LINK_UNIT + 1);
        s->used = (uint16_t)used;
        if (unlikely(!used || used + 1 == full) && put_at_edge_locked(c, s)) {
            s->cache = (void *)released;
            released = s;
        }
    }
    return released;
}

static void magazine_flush(struct worker *w, struct slab_cache *c, struct magazine *m, void **keep)
{
    lock_take(&c->lock);
    struct slab *released = put_many_locked(w, c, m->top, keep);
    m->top = keep;
    lock_drop(&c->lock);
    while (released) {
        struct slab *s = released;

        released = (struct slab *)(void *)s->cache;
        slab_release(w, c, s);
        mm_count(w, slab_reaped);
    }
}

void slab_magazine_drain(struct worker *w, struct slab_cache *c, struct magazine *m)
{
    magazine_flush(w, c, m, m->slot);
}

void *slab_alloc_slowly(struct worker *w, struct slab_cache *c, const void *site)
{
    struct magazine *m = slab_magazine(w, c);

    if (c->flags & SLAB_DEBUG)
        return slab_debug_alloc(w, c, site);
    mm_count(w, slab_fill);
    while (!magazine_fill(c, m)) {
        if (!slab_grow(w, c))
            return NULL;
        if (m->top != m->slot)
            break; /* growing reclaimed, and something came back */
    }
    return *--m->top;
}

void slab_free_slowly(struct worker *w, struct slab_cache *c, void *object, const void *site)
{
    struct magazine *m = slab_magazine(w, c);

    if (slab_of(w, c, object)->cache != c) {
        slab_report_foreign(w, c, object, site);
        return;
    }
    if (c->flags & SLAB_DEBUG) {
        slab_debug_free(w, c, object, site);
        return;
    }
    mm_count(w, slab_flush);
    magazine_flush(w, c, m, m->top - c->half);
    *m->top++ = object;
}

/* The last calls of the fast paths, which need no stack frame so: the caller is theirs. */
static SLAB_NOINLINE void *alloc_called(struct worker *w, struct slab_cache *c)
{
    return slab_alloc_slowly(w, c, __builtin_return_address(0));
}

static SLAB_NOINLINE void *zalloc_called(struct worker *w, struct slab_cache *c)
{
    void *object = slab_alloc_slowly(w, c, __builtin_return_address(0));

    return object ? memset(object, 0, c->object_bytes) : NULL;
}

static SLAB_NOINLINE void free_called(struct worker *w, struct slab_cache *c, void *object)
{
    slab_free_slowly(w, c, object, __builtin_return_address(0));
}

void *slab_alloc(struct worker *w, struct slab_cache *c)
{
    void *object = slab_pop(w, c);

    return likely(object != NULL) ? object : alloc_called(w, c);
}

void *slab_zalloc(struct worker *w, struct slab_cache *c)
{
    void *object = slab_pop(w, c);

    return likely(object != NULL) ? memset(object, 0, c->object_bytes) : zalloc_called(w, c);
}

void slab_free(struct worker *w, struct slab_cache *c, void *object)
{
    if (unlikely(slab_of(w, c, object)->cache != c || !slab_push(w, c, object)))
        free_called(w, c, object);
}

/* ---- reaping ---- */

/* Empty slabs back to the page allocator; how many pages. */
static uint64_t cache_reap(struct worker *w, struct slab_cache *c)
{
    uint64_t pages = 0;

    if (c->flags & SLAB_TYPESAFE)
        return 0;
    for (;;) {
        lock_take(&c->lock);
        /* The empty ones are at the end of the ring. */
        struct slab *s = c->empty ? slab_numbered(slab_numbered(c->partial)->prev) : NULL;
        while (s && s->used)
            s = slab_numbered(s->prev);
        if (s) {
            ring_remove(c, s);
            c->empty--;
            c->slabs--;
        }
        lock_drop(&c->lock);
        if (!s)
            return pages;
        slab_release(w, c, s);
        mm_count(w, slab_reaped);
        pages += 1UL << c->order;
    }
}

uint64_t slab_shrink(struct worker *w)
{
    uint64_t pages = 0;
    struct slab_cache *c;

    lock_take(&slab_caches_lock);
    LIST_FOREACH(c, &slab_caches, link)
    {
        slab_magazine_drain(w, c, slab_magazine(w, c));
        pages += cache_reap(w, c);
    }
    lock_drop(&slab_caches_lock);
    return pages;
}

bool slab_idle(struct worker *w)
{
    struct slab_cache *c;
    bool more = false;

    if (!lock_try(&slab_caches_lock))
        return false;
    LIST_FOREACH(c, &slab_caches, link)
    {
        if (!c->empty || c->flags & SLAB_TYPESAFE)
            continue;
        more |= c->touched;
        /* Not used since the last visit: what is empty is not needed. */
        if (!c->touched && cache_reap(w, c))
            break;
        c->touched = false;
    }
    lock_drop(&slab_caches_lock);
    return more;
}

uint64_t slab_in_use(const struct slab_cache *c)
{
    uint64_t resting = c->bad + c->aside_count;

    for (uint32_t i = 0; i < worker_count; i++)
        resting += (uint64_t)(c->magazine[i].top - c->magazine[i].slot);
    return c->out - min_u64(resting, c->out);
}

uint64_t slab_pages_total(void)
{
    uint64_t pages = 0;
    struct slab_cache *c;

    lock_take(&slab_caches_lock);
    LIST_FOREACH(c, &slab_caches, link)
    pages += c->slabs << c->order;
    lock_drop(&slab_caches_lock);
    return pages;
}

/* ---- caches ---- */

/* The smallest order with enough objects and little waste; else the one that wastes least. */
static uint32_t order_choose(uint64_t stride)
{
    uint32_t best = SLAB_ORDER_MAX;

    for (uint32_t order = SLAB_ORDER_MAX + 1; order--;) {
        uint64_t bytes = PAGE_BYTES << order, best_bytes = PAGE_BYTES << best;
        uint64_t count = bytes / stride;

        if (!count)
            break;
        bool little = bytes % stride <= bytes / WASTE_FRACTION && count >= MIN_PER_SLAB;
        bool less = (bytes % stride) * best_bytes < (best_bytes % stride) * bytes;
        if (little || (less && count >= MIN_PER_SLAB))
            best = order;
    }
    return best;
}

static void layout_choose(struct slab_cache *c)
{
    bool red = c->flags & SLAB_RED;
    uint64_t at = ROUND_UP((uint64_t)c->object_bytes, SLAB_LINK_UNIT);

    c->left = red ? (uint32_t)max_u64(c->align, SLAB_LINK_UNIT) : 0;
    at += red ? SLAB_LINK_UNIT : 0;
    /* A free object keeps its content: the link lies behind it. */
    if (c->constructor || c->flags & (SLAB_TYPESAFE | SLAB_DEBUG)) {
        c->link_at = (uint32_t)at;
        at += SLAB_LINK_UNIT;
    }
    c->track_at = (uint32_t)at;
    at += c->flags & SLAB_TRACK ? 2 * sizeof(struct slab_track) : 0;
    c->stride = (uint32_t)ROUND_UP(c->left + at, (uint64_t)c->align);
    c->order = order_choose(c->stride);
    c->per_slab = (uint32_t)(slab_bytes(c) / c->stride);
    c->mask = ~(slab_bytes(c) - 1);
    mm_assert(c->per_slab > 0);
}

static void cache_setup(struct slab_cache *c, const char *name, uint64_t bytes, uint64_t align,
                        uint32_t flags, void (*constructor)(void *))
{
    mm_assert(bytes && bytes <= SLAB_BYTES_MAX && !(align & (align - 1)) && align <= PAGE_BYTES);
    memset(c, 0, sizeof *c);
    memcpy(c->name, name, min_u64(strlen(name), sizeof c->name - 1));
    c->flags = flags | slab_debug_flags(name);
    if (constructor || c->flags & SLAB_TYPESAFE)
        c->flags &= ~(uint32_t)SLAB_POISON;
    c->object_bytes = (uint32_t)bytes;
    c->align =
        (uint32_t)max_u64(max_u64(align, SLAB_LINK_UNIT), c->flags & SLAB_LINES ? SLAB_LINE : 0);
    c->constructor = constructor;
    c->secret = random_next();
    c->partial = SLAB_NONE;
    c->lock = LOCK_INIT(LOCK_SLAB);
    layout_choose(c);
    uint64_t slots = MAGAZINE_BYTES / c->stride;
    slots = slots < 4 ? 4 : min_u64(slots, MAGAZINE_SLOTS);
    if (c->flags & SLAB_DEBUG)
        slots = 0;
    c->half = (uint32_t)(slots + 1) / 2;
    c->empty_max = (uint32_t)max_u64(SLAB_EMPTY_BYTES / slab_bytes(c), 1);
    for (uint32_t i = 0; i < worker_count; i++)
        magazine_init(&c->magazine[i], (uint32_t)slots);
}

static void cache_enter(struct slab_cache *c)
{
    lock_take(&slab_caches_lock);
    LIST_INSERT_HEAD(&slab_caches, c, link);
    lock_drop(&slab_caches_lock);
}

static void worker_setup(struct worker *w, uint32_t hart)
{
    uintptr_t first_address = (uintptr_t)page_pointer(phys.first);

    w->slab_bias =
        (uintptr_t)page_of(phys.first) - (first_address >> PAGE_SHIFT) * sizeof(struct page);
    w->magazine_at = offsetof(struct slab_cache, magazine) + hart * sizeof(struct magazine);
}

void slab_init(const char *args)
{
    mm_assert(!(place_linear_base & (SLAB_BYTES_MAX - 1)));
    slab_caches_lock = LOCK_INIT(LOCK_SLABS);
    LIST_INIT(&slab_caches);
    for (uint32_t i = 0; i < worker_count; i++)
        worker_setup(&workers[i], i);
    slab_debug_parse(args);
    cache_setup(&first.cache, "slab_cache",
                sizeof(struct slab_cache) + worker_count * sizeof(struct magazine), SLAB_LINE, 0,
                NULL);
    cache_enter(&first.cache);
}

struct slab_cache *slab_cache_create(struct worker *w, const char *name, uint64_t bytes,
                                     uint64_t align, uint32_t flags, void (*constructor)(void *))
{
    struct slab_cache *c = slab_alloc(w, &first.cache);

    if (!c)
        return NULL;
    cache_setup(c, name, bytes, align, flags, constructor);
    cache_enter(c);
    return c;
}

long slab_cache_destroy(struct worker *w, struct slab_cache *c)
{
    for (uint32_t i = 0; i < worker_count; i++)
        slab_magazine_drain(w, c, &c->magazine[i]);
    if (c->out) {
        text_log("slab: cache %s is to be destroyed with %lu objects in use", c->name, c->out);
        return -LINUX_EBUSY;
    }
    lock_take(&slab_caches_lock);
    LIST_REMOVE(c, link);
    lock_drop(&slab_caches_lock);
    c->flags &= ~(uint32_t)SLAB_TYPESAFE;
    cache_reap(w, c);
    mm_assert(!c->slabs);
    slab_free(w, &first.cache, c);
    return 0;
}
