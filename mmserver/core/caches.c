/* Makes the caches of caches.def. New ones are a line there and an include here. */
#include "mmserver/core/caches.h"
#include "mmserver/core/client.h"
#include "mmserver/core/kmalloc.h"
#include "mmserver/core/mm.h"
#include "mmserver/core/native.h"
#include "mmserver/core/object.h"
#include "mmserver/core/rmap.h"

#define SLAB_CACHE(variable, name, type, flags) struct slab_cache *variable;
#include "mmserver/core/caches.def"
#undef SLAB_CACHE

static const struct {
    struct slab_cache **cache;
    const char *name;
    uint32_t bytes, flags;
} caches[] = {
#define SLAB_CACHE(variable, name, type, flags) {&variable, name, sizeof(type), flags},
#include "mmserver/core/caches.def"
#undef SLAB_CACHE
};

bool caches_init(struct worker *w, const char *args)
{
    slab_init(args);
    if (!kmalloc_init(w))
        return false;
    for (unsigned i = 0; i < ARRAY_COUNT(caches); i++) {
        *caches[i].cache =
            slab_cache_create(w, caches[i].name, caches[i].bytes, 0, caches[i].flags, NULL);
        if (!*caches[i].cache)
            return false;
    }
    return true;
}
