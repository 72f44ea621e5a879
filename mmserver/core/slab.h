/*
 * Object caches for the server's own descriptors: objects of one size, cut from single pages, free
 * ones linked through their first word. A page that has no object left goes back.
 */
#ifndef MMSERVER_CORE_SLAB_H
#define MMSERVER_CORE_SLAB_H

#include "mmserver/core/phys.h"

struct slab_page;
LIST_HEAD(slab_list, slab_page);

struct slab_cache {
    const char *name;
    uint32_t object_bytes;
    uint32_t per_page;
    uint64_t objects; /* in use */
    uint64_t pages;
    struct slab_list partial; /* pages with free objects */
};

/* All caches, in order of creation, for reports and the recount. */
enum slab_kind {
    SLAB_VMA,
    SLAB_MM,
    SLAB_CLIENT,
    SLAB_OBJECT,
    SLAB_NATIVE,
    SLAB_ANON_VMA,
    SLAB_ANON_CHAIN,
    SLAB_KINDS
};
extern struct slab_cache slab_caches[SLAB_KINDS];

void slab_init(void);
/* A zeroed object, or NULL. Do not hold LOCK_SLAB or a later lock. */
void *slab_alloc(struct worker *w, enum slab_kind kind);
void slab_free(struct worker *w, enum slab_kind kind, void *object);

#endif
