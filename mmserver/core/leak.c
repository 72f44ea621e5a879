/*
 * Leaks. Marks are generations that the trace of an object keeps. The scan colours objects: white
 * (not seen in this pass), grey (referred to, not looked into yet), black. Objects of caches
 * without traces, and large kmallocs, have no colour: they are looked into as the server's own
 * pages are.
 *
 * After the idea of the tracing garbage collectors, as Linux's kmemleak has it. Lock:
 * slab_caches_lock, and each cache's while one of its slabs is looked at.
 */
#include "mmserver/core/leak.h"
#include "mmserver/core/kmalloc.h"
#include "mmserver/core/slab_internal.h"
#include <string.h>

#define SITES_MAX 256

struct leak_site {
    const struct slab_cache *cache; /* NULL: a large kmalloc */
    const void *site;
    uint64_t count, bytes;
};

static struct {
    uint32_t from; /* the first generation after the mark */
    uint64_t pass;
    struct leak_site site[SITES_MAX];
    uint64_t sites, others;
} leak = {.from = 1};

/* trace.scan: the pass that saw it last, and its colour */
#define SCAN_BLACK      1UL
#define SCAN_SEEN(pass) ((pass) << 1)

uint64_t slab_scan_pass;

void leak_mark(void)
{
    lock_take(&slab_caches_lock);
    leak.from = ++slab_generation;
    lock_drop(&slab_caches_lock);
}

/* ---- walking ---- */

typedef void object_visit(struct slab_cache *c, void *object, void *data);

/* All objects in use of the tracing caches. slab_caches_lock held. */
static void objects_walk_locked(object_visit *visit, void *data)
{
    slab_pages_for_each(pfn)
    {
        struct slab *s = (struct slab *)page_of(pfn);
        struct slab_cache *c = s->state == PAGE_SLAB ? s->cache : NULL;

        if (!c || !(c->flags & SLAB_TRACK))
            continue;
        lock_take(&c->lock);
        bool still = s->state == PAGE_SLAB && s->cache == c;
        for (uint32_t i = 0; still && i < c->per_slab; i++) {
            void *object = slab_object(c, s, i);

            if (slab_tracks(c, object)->generation)
                visit(c, object, data);
        }
        lock_drop(&c->lock);
    }
}

/* ---- since the mark ---- */

static void site_count(const struct slab_cache *c, const void *site, uint64_t bytes)
{
    uint64_t i = 0;

    while (i < leak.sites && (leak.site[i].cache != c || leak.site[i].site != site))
        i++;
    if (i == SITES_MAX) {
        leak.others++;
        return;
    }
    if (i == leak.sites)
        leak.site[leak.sites++] = (struct leak_site){c, site, 0, 0};
    leak.site[i].count++;
    leak.site[i].bytes += bytes;
}

static void count_object(struct slab_cache *c, void *object, void *data)
{
    const struct slab_track *t = slab_tracks(c, object);

    (void)data;
    if (t->generation >= leak.from)
        site_count(c, t->site, c->object_bytes);
}

static void count_large(void)
{
    slab_pages_for_each(pfn)
    {
        const struct page *page = page_of(pfn);

        if (page->state == PAGE_KMALLOC && page->owner &&
            page->index >> KMALLOC_BYTES_BITS >= leak.from)
            site_count(NULL, page->owner, page->index & ((1UL << KMALLOC_BYTES_BITS) - 1));
    }
}

void leak_report(struct text *t)
{
    lock_take(&slab_caches_lock);
    leak.sites = leak.others = 0;
    objects_walk_locked(count_object, NULL);
    count_large();
    text_format(t, "# in use since mark %lu: objects, bytes, cache, allocated at\n",
                (uint64_t)leak.from);
    for (uint64_t i = 0; i < leak.sites; i++) {
        const struct leak_site *s = &leak.site[i];

        text_format(t, "%6lu %8lu %s %lx\n", s->count, s->bytes,
                    s->cache ? s->cache->name : "kmalloc-large", (uint64_t)(uintptr_t)s->site);
    }
    if (leak.others)
        text_format(t, "%6lu objects of further places\n", leak.others);
    lock_drop(&slab_caches_lock);
}

/* ---- the scan ---- */

/* The object in use that `word` points into, of a tracing cache; its trace. */
static struct slab_track *object_at(uint64_t word, struct slab_cache **c, void **object)
{
    uint64_t pfn = (word - place_linear_base) >> PAGE_SHIFT;

    if (!page_is_ready(pfn))
        return NULL;
    for (unsigned order = 0; order <= SLAB_ORDER_MAX; order++) {
        const struct slab *s;

        pfn &= ~((1UL << order) - 1);
        s = (struct slab *)page_of(pfn);
        if (s->state != PAGE_SLAB || !s->cache)
            continue;
        *c = s->cache;
        if (!((*c)->flags & SLAB_TRACK) || (*c)->order < order)
            return NULL;
        uint64_t i = (word - (uintptr_t)slab_base(s)) / (*c)->stride;
        *object = slab_object(*c, s, i);
        if (i >= (*c)->per_slab || word - (uintptr_t)*object >= (*c)->object_bytes)
            return NULL;
        struct slab_track *t = slab_tracks(*c, *object);
        return t->generation ? t : NULL;
    }
    return NULL;
}

/* What the words refer to becomes grey. The server's data hold anything, on the host also what the
 * sanitizer keeps others from. */
__attribute__((no_sanitize("address"))) static void scan_words(const void *from, uint64_t bytes)
{
    const uint64_t *word = from;

    for (uint64_t i = 0; i < bytes / sizeof *word; i++) {
        struct slab_cache *c;
        void *object;
        struct slab_track *t = object_at(word[i], &c, &object);

        if (t && t->scan >> 1 != slab_scan_pass)
            t->scan = SCAN_SEEN(slab_scan_pass);
    }
}

/* Pages whose contents are the server's own, objects of tracing caches excepted. */
static bool page_is_scanned(const struct page *page)
{
    switch (page->state) {
    case PAGE_FILE_MAP:
    case PAGE_SERVER:
    case PAGE_KMALLOC:
        return true;
    case PAGE_SLAB: {
        const struct slab *s = (const struct slab *)page;

        return s->cache && !(s->cache->flags & SLAB_TRACK);
    }
    default:
        return false;
    }
}

static uint64_t pages_of(const struct page *page)
{
    return page->state == PAGE_TAIL ? 1 : 1UL << page->order;
}

static void scan_roots(void)
{
    const void *data;
    uint64_t bytes;

    for (unsigned i = 0; place_data(i, &data, &bytes); i++)
        scan_words(data, bytes);
    for (pfn_t pfn = slab_next_page(phys.first); pfn < phys.end;) {
        const struct page *page = page_of(pfn);
        uint64_t pages = pages_of(page);

        if (page->state != PAGE_SLAB)
            scan_words(&page->owner, sizeof page->owner);
        if (page_is_scanned(page))
            scan_words(page_pointer(pfn), pages << PAGE_SHIFT);
        pfn = slab_next_page(pfn + pages);
    }
}

static void look_into(struct slab_cache *c, void *object, void *data)
{
    struct slab_track *t = slab_tracks(c, object);

    if (t->scan != SCAN_SEEN(slab_scan_pass))
        return;
    t->scan |= SCAN_BLACK;
    scan_words(object, c->object_bytes);
    ++*(uint64_t *)data;
}

static void scan_pass_locked(void)
{
    uint64_t found;

    slab_scan_pass++;
    scan_roots();
    do {
        found = 0;
        objects_walk_locked(look_into, &found);
    } while (found);
}

static bool is_lost(const struct slab_track *t)
{
    return t->scan >> 1 < leak.pass;
}

static void count_lost(struct slab_cache *c, void *object, void *data)
{
    *(uint64_t *)data += is_lost(slab_tracks(c, object));
}

uint64_t leak_scan(void)
{
    uint64_t lost = 0;

    lock_take(&slab_caches_lock);
    scan_pass_locked();
    leak.pass = slab_scan_pass;
    scan_pass_locked();
    objects_walk_locked(count_lost, &lost);
    lock_drop(&slab_caches_lock);
    return lost;
}

static void say_lost(struct slab_cache *c, void *object, void *data)
{
    const struct slab_track *t = slab_tracks(c, object);

    if (is_lost(t))
        text_format(data, "%lx %6lu %s allocated at %lx on hart %lu, instruction %lu\n",
                    (uint64_t)(uintptr_t)object, (uint64_t)c->object_bytes, c->name,
                    (uint64_t)(uintptr_t)t->site, (uint64_t)t->hart, t->instructions);
}

void leak_scan_report(struct text *t)
{
    text_string(t, "# objects that nothing refers to: address, bytes, cache\n");
    lock_take(&slab_caches_lock);
    objects_walk_locked(say_lost, t);
    lock_drop(&slab_caches_lock);
}
