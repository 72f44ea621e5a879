/*
 * A slab page begins with its header; objects follow, aligned to 64 bytes. Lock: slab_lock.
 */
#include "mmserver/core/slab.h"
#include "mmserver/core/client.h"
#include "mmserver/core/object.h"
#include "mmserver/core/mm.h"
#include "mmserver/core/native.h"
#include <string.h>

struct slab_page {
    LIST_ENTRY(slab_page) link; /* in partial, while it has free objects */
    struct slab_cache *cache;
    void *free; /* first free object */
    uint64_t used;
};

#define SLAB_ALIGN  64UL
#define SLAB_HEADER ROUND_UP(sizeof(struct slab_page), SLAB_ALIGN)

struct slab_cache slab_caches[SLAB_KINDS];
static struct lock slab_lock;

static void cache_init(enum slab_kind kind, const char *name, uint64_t bytes)
{
    struct slab_cache *c = &slab_caches[kind];

    memset(c, 0, sizeof *c);
    c->name = name;
    c->object_bytes = (uint32_t)ROUND_UP(bytes, SLAB_ALIGN);
    c->per_page = (uint32_t)((PAGE_BYTES - SLAB_HEADER) / c->object_bytes);
    mm_assert(c->per_page > 0);
}

void slab_init(void)
{
    slab_lock = LOCK_INIT(LOCK_SLAB);
    cache_init(SLAB_VMA, "vma", sizeof(struct vma));
    cache_init(SLAB_MM, "mm", sizeof(struct mm));
    cache_init(SLAB_CLIENT, "client", sizeof(struct client));
    cache_init(SLAB_OBJECT, "file", sizeof(struct object));
    cache_init(SLAB_NATIVE, "native", sizeof(struct native_object));
    cache_init(SLAB_ANON_VMA, "anon_vma", sizeof(struct anon_vma));
    cache_init(SLAB_ANON_CHAIN, "anon_chain", sizeof(struct anon_chain));
}

static struct slab_page *slab_page_make(struct slab_cache *c, pfn_t pfn)
{
    struct slab_page *s = page_pointer(pfn);
    char *object = (char *)s + SLAB_HEADER + (uint64_t)(c->per_page - 1) * c->object_bytes;

    page_of(pfn)->state = PAGE_SLAB;
    *s = (struct slab_page){.cache = c};
    for (uint32_t i = 0; i < c->per_page; i++, object -= c->object_bytes) {
        *(void **)object = s->free;
        s->free = object;
    }
    return s;
}

void *slab_alloc(struct worker *w, enum slab_kind kind)
{
    struct slab_cache *c = &slab_caches[kind];

    lock_take(&slab_lock);
    struct slab_page *s = LIST_FIRST(&c->partial);
    if (!s) {
        lock_drop(&slab_lock);
        pfn_t pfn = page_alloc(w);
        if (!pfn)
            return NULL;
        s = slab_page_make(c, pfn);
        lock_take(&slab_lock);
        LIST_INSERT_HEAD(&c->partial, s, link);
        c->pages++;
    }
    void *object = s->free;
    s->free = *(void **)object;
    if (!s->free)
        LIST_REMOVE(s, link);
    s->used++;
    c->objects++;
    lock_drop(&slab_lock);
    memset(object, 0, c->object_bytes);
    return object;
}

void slab_free(struct worker *w, enum slab_kind kind, void *object)
{
    struct slab_page *s = (struct slab_page *)((uintptr_t)object & ~PAGE_MASK);
    struct slab_cache *c = &slab_caches[kind];

    mm_assert(s->cache == c && s->used);
    lock_take(&slab_lock);
    if (!s->free)
        LIST_INSERT_HEAD(&c->partial, s, link);
    *(void **)object = s->free;
    s->free = object;
    s->used--;
    c->objects--;
    /* A freed client's descriptor may still be looked at: its memory stays what it is. */
    bool empty = !s->used && kind != SLAB_CLIENT;
    if (empty) {
        LIST_REMOVE(s, link);
        c->pages--;
    }
    lock_drop(&slab_lock);
    if (empty)
        page_free(w, ((uintptr_t)s - place_linear_base) >> PAGE_SHIFT);
}
