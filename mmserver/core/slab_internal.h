/* What the parts of the object caches share: slabs as they lie in page descriptors, and debugging.
 */
#ifndef MMSERVER_CORE_SLAB_INTERNAL_H
#define MMSERVER_CORE_SLAB_INTERNAL_H

#include "mmserver/core/phys.h"
#include "mmserver/core/slab.h"

#define SLAB_NONE (~0U)

/* page.index of a large kmalloc: bytes asked for, the generation above. */
#define KMALLOC_BYTES_BITS 24

/* A struct page whose state is PAGE_SLAB, the first of its slab. */
struct slab {
    struct slab_cache *cache; /* page.owner */
    uint32_t next, prev;      /* page.index: the ring of partial slabs, pages from phys.first on */
    uint16_t used;            /* page.maps: objects that are not in the free list, */
    uint16_t free;            /* and its first: 1 + (address in the slab) / 8; 0: none */
    uint8_t state, order, slot, class;
    uint64_t private;
};

_Static_assert(sizeof(struct slab) == sizeof(struct page) &&
                   offsetof(struct slab, cache) == offsetof(struct page, owner) &&
                   offsetof(struct slab, next) == offsetof(struct page, index) &&
                   offsetof(struct slab, used) == offsetof(struct page, maps) &&
                   offsetof(struct slab, state) == offsetof(struct page, state) &&
                   offsetof(struct slab, private) == offsetof(struct page, private),
               "a slab is a page descriptor");

/* From `pfn` on, the next page that has a descriptor; phys.end: none. */
static inline pfn_t slab_next_page(pfn_t pfn)
{
    while (pfn < phys.end && !page_is_ready(pfn))
        pfn = ROUND_DOWN(pfn, PAGES_PER_BLOCK) + PAGES_PER_BLOCK;
    return min_u64(pfn, phys.end);
}
#define slab_pages_for_each(pfn) \
    for (pfn_t pfn = slab_next_page(phys.first); pfn < phys.end; pfn = slab_next_page(pfn + 1))

#define SLAB_LINK_UNIT 8UL

/* The descriptor of the page at an address of the linear map. */
static inline struct slab *slab_at(const struct worker *w, uintptr_t address)
{
    return (struct slab *)(w->slab_bias + (address >> PAGE_SHIFT) * sizeof(struct page));
}
static inline struct slab *slab_of(const struct worker *w, const struct slab_cache *c,
                                   const void *object)
{
    return slab_at(w, (uintptr_t)object & c->mask);
}
static inline char *slab_base(const struct slab *s)
{
    return page_pointer(page_number((const struct page *)s));
}
static inline uint64_t slab_bytes(const struct slab_cache *c)
{
    return PAGE_BYTES << c->order;
}
static inline void *slab_object(const struct slab_cache *c, const struct slab *s, uint64_t i)
{
    return slab_base(s) + i * c->stride + c->left;
}

/* An odd number and its inverse: a changed bit of a mixed link changes half of what it decodes to.
 */
#define LINK_SPREAD 0x9e3779b97f4a7c15UL
#define LINK_GATHER 0xf1de83e19937733dUL
_Static_assert(LINK_SPREAD *LINK_GATHER == 1, "one undoes the other");

static inline uint64_t *slab_link(const struct slab_cache *c, void *object)
{
    return (uint64_t *)((char *)object + c->link_at);
}
static inline uint64_t slab_link_mix(const struct slab_cache *c, const uint64_t *link,
                                     uint64_t unit)
{
    return unit * LINK_SPREAD ^ c->secret ^ (uintptr_t)link;
}
/* The unit, or some large number if the link was overwritten. */
static inline uint64_t slab_link_unmix(const struct slab_cache *c, const uint64_t *link)
{
    return (*link ^ c->secret ^ (uintptr_t)link) * LINK_GATHER;
}
static inline bool slab_unit_good(const struct slab_cache *c, uint64_t unit)
{
    return unit <= slab_bytes(c) / SLAB_LINK_UNIT;
}
static inline void *slab_unit_object(const struct slab *s, uint64_t unit)
{
    return slab_base(s) + (unit - 1) * SLAB_LINK_UNIT;
}
static inline uint64_t slab_object_unit(const struct slab_cache *c, const void *object)
{
    return ((uintptr_t)object & ~c->mask) / SLAB_LINK_UNIT + 1;
}

#define SLAB_NOINLINE __attribute__((noinline))

/* slab.c: what is behind the fast paths; `site`: who asked. */
void *slab_alloc_slowly(struct worker *w, struct slab_cache *c, const void *site);
void slab_free_slowly(struct worker *w, struct slab_cache *c, void *object, const void *site);

/* slab.c, the cache's lock held: the free object that `s` has, taken out of its list, NULL if the
 * list was corrupt; an object put back. True from the second: the slab is to be released. */
void *slab_take_locked(struct slab_cache *c, struct slab *s);
bool slab_put_locked(struct slab_cache *c, struct slab *s, void *object);
void slab_release(struct worker *w, struct slab_cache *c, struct slab *s);
/* Lock held: the first slab that has free objects, NULL: none. */
struct slab *slab_partial_locked(const struct slab_cache *c);
/* One more slab: false if there is no memory. Lock not held. */
bool slab_grow(struct worker *w, struct slab_cache *c);
void slab_magazine_drain(struct worker *w, struct slab_cache *c, struct magazine *m);

/* slab_debug.c */
extern uint64_t slab_scan_pass; /* leak.c: passes of the reference scan begun */
struct slab_track {
    const void *site; /* who called; NULL: never */
    uint64_t instructions;
    uint32_t hart;
    uint32_t generation; /* of the leak finder, when allocated; 0: not in use */
    uint64_t client;     /* tag of whom the worker served, 0: nobody */
    uint64_t scan;       /* the leak finder's */
};
extern uint32_t slab_generation;

static inline struct slab_track *slab_tracks(const struct slab_cache *c, const void *object)
{
    return (struct slab_track *)((char *)object + c->track_at); /* [0] allocated, [1] freed */
}

void slab_debug_parse(const char *args);
uint32_t slab_debug_flags(const char *name);
/* Patterns of a new slab's object. */
void slab_debug_fresh(struct slab_cache *c, void *object);
void *slab_debug_alloc(struct worker *w, struct slab_cache *c, const void *site);
void slab_debug_free(struct worker *w, struct slab_cache *c, void *object, const void *site);
/* `object` is none of this cache's. Returns only if a cache is debugged: the free is ignored. */
void slab_report_foreign(struct worker *w, struct slab_cache *c, void *object, const void *site);
/* The link in `object`, or in the descriptor, was overwritten. Returns only if it is debugged. */
void slab_report_link(struct slab_cache *c, struct slab *s, void *object);
#ifdef PAGODA_HOST
/* Told of each allocation and free of debugged caches, if set: records traces for the bench. */
extern void (*slab_record)(struct slab_cache *c, void *object, bool allocated);
#endif
/* Corruptions reported since start-up. */
extern uint64_t slab_corruptions;

#endif
