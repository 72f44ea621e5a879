/*
 * Object caches: objects of one size, cut from slabs of 2^order pages.
 *
 *   object in use  <->  a hart's magazine (full ones flushed, empty ones filled, by half)
 *                  <->  free list of its slab (under the cache's lock)
 *
 * A magazine is a stack of free objects that only its hart touches, so the usual allocation or free
 * takes no lock and does not touch the object. An object may be freed on any hart: it goes to the
 * magazine there. Caches that are debugged have magazines of size 0: each call takes the slow path,
 * where the checks are.
 *
 * A slab is described by the descriptor of its first page. It is in its cache's ring of partial
 * slabs while it has free objects; full slabs are in no list; of empty slabs a cache keeps
 * SLAB_EMPTY_BYTES, until the shrinker or an idle step takes those too. Links between the free
 * objects of a slab are mixed with a secret of the cache and their address.
 *
 * The magazines after Bonwick and Adams, "Magazines and Vmem" (USENIX 2001).
 */
#ifndef MMSERVER_CORE_SLAB_H
#define MMSERVER_CORE_SLAB_H

#include "mmserver/core/lock.h"
#include "mmserver/core/worker.h"
#include <sys/queue.h>

#define SLAB_ORDER_MAX   3
#define SLAB_BYTES_MAX   (PAGE_BYTES << SLAB_ORDER_MAX)
#define SLAB_NAME_MAX    24
#define SLAB_EMPTY_BYTES 262144UL
#define SLAB_LINE        64UL
#define MAGAZINE_SLOTS   59 /* of small objects; fewer of large ones */

enum slab_flag {
    SLAB_LINES = 0x1,    /* aligned to cache lines */
    SLAB_TYPESAFE = 0x2, /* memory stays of this type until the cache is destroyed: a stale pointer
                            finds an object, in use or free, as the last user left it */
    /* Debugging, by `slab_debug=` or at creation; the letters are Linux's. */
    SLAB_CHECK = 0x100,  /* F: double frees, frees of what is no object; free lists */
    SLAB_RED = 0x200,    /* Z: red zones around each object */
    SLAB_POISON = 0x400, /* P: free and fresh objects are filled with patterns */
    SLAB_TRACK = 0x800,  /* U: who allocated and freed it last */
    SLAB_DEBUG = 0xf00,
};

struct magazine {
    void **top;   /* the next free slot */
    void **limit; /* top when it is full */
    void *bottom; /* NULL: what is popped from an empty one */
    void *slot[MAGAZINE_SLOTS];
};

struct slab_cache {
    uint64_t mask; /* of an object's address: its slab's */
    /* Constant after creation. */
    uint32_t object_bytes; /* as asked for */
    uint32_t stride;       /* from object to object */
    uint32_t left;         /* bytes of red zone before the object */
    uint32_t link_at;      /* of the free list's link, from the object's start */
    uint32_t track_at;     /* of its two traces */
    uint32_t per_slab;
    uint32_t order;
    uint32_t align;
    uint32_t flags;     /* enum slab_flag */
    uint32_t half;      /* objects moved between a magazine and slabs at a time */
    uint32_t empty_max; /* slabs kept though they are empty */
    uint64_t secret;
    void (*constructor)(void *object);
    char name[SLAB_NAME_MAX];
    LIST_ENTRY(slab_cache) link; /* slab_caches */
    /* Under the lock. */
    struct lock lock;
    uint32_t partial; /* ring of slabs with free objects: number of the first, or SLAB_NONE */
    uint32_t touched; /* bool: slabs were asked for since the last idle step */
    uint64_t out;     /* objects that are in no slab's free list: in use, in magazines, or bad */
    uint64_t slabs, empty;
    struct {
        uint64_t slabs, empty, partial, out;
    } recount;                  /* slab_check()'s */
    uint64_t bad;               /* objects set aside after a corruption; never given out again */
    void *aside;                /* fresh.c: free objects that nobody gets for now, */
    uint64_t aside_count;       /* which count as `out` */
    struct magazine magazine[]; /* by hart */
};

LIST_HEAD(slab_cache_list, slab_cache);
extern struct slab_cache_list slab_caches; /* under slab_caches_lock */
extern struct lock slab_caches_lock;

/* `args`: the boot command line. slab_debug=FLAGS[,cache...]: letters as above; none: all caches.
 * After phys_init(); worker_count is known. */
void slab_init(const char *args);

/*
 * A cache of objects of that many bytes (1 .. 16 KiB), aligned to `align` (a power of two up to a
 * page; 0: 8 bytes). The constructor runs once per object when its slab is made; objects of such
 * caches are freed in the state in which they want to be found. NULL: no memory. No lock held, here
 * and below, that is not before LOCK_SLAB.
 */
struct slab_cache *slab_cache_create(struct worker *w, const char *name, uint64_t bytes,
                                     uint64_t align, uint32_t flags,
                                     void (*constructor)(void *object));
/* Nobody uses the cache any more. 0, or -LINUX_EBUSY (logged) while objects are in use. */
long slab_cache_destroy(struct worker *w, struct slab_cache *c);

/* An object, contents as left by the constructor or the last user; NULL: no memory. */
void *slab_alloc(struct worker *w, struct slab_cache *c);
static inline struct magazine *slab_magazine(const struct worker *w, struct slab_cache *c)
{
    return (struct magazine *)((char *)c + w->magazine_at);
}
/* slab_alloc() without a call: of the hart's magazine, or NULL, which says nothing. */
static inline void *slab_pop(const struct worker *w, struct slab_cache *c)
{
    struct magazine *m = slab_magazine(w, c);
    void **top = m->top - 1;
    void *object = *top;

    if (likely(object != NULL))
        m->top = top;
    return object;
}
/* Into the magazine; false if it is full. Not for whoever cannot be sure whose object it is. */
static inline bool slab_push(const struct worker *w, struct slab_cache *c, void *object)
{
    struct magazine *m = slab_magazine(w, c);
    void **top = m->top;

    if (unlikely(top == m->limit))
        return false;
    *top = object;
    m->top = top + 1;
    return true;
}
/* slab_alloc(), zeroed. Not from caches with a constructor. */
void *slab_zalloc(struct worker *w, struct slab_cache *c);
void slab_free(struct worker *w, struct slab_cache *c, void *object);

/* Empty slabs of all caches, this hart's magazines included, back to the page allocator; how many
 * pages. */
uint64_t slab_shrink(struct worker *w);
/* One cache's turn on an idle hart: false if nothing is left to do. */
bool slab_idle(struct worker *w);

/* Objects in use (unsynchronised with other harts' magazines). */
uint64_t slab_in_use(const struct slab_cache *c);
/* Pages of all slabs. */
uint64_t slab_pages_total(void);

#endif
