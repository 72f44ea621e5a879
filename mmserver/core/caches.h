/* The caches of caches.def: one pointer each, made by caches_init(). */
#ifndef MMSERVER_CORE_CACHES_H
#define MMSERVER_CORE_CACHES_H

#include "mmserver/core/slab.h"

#define SLAB_CACHE(variable, name, type, flags) extern struct slab_cache *variable;
#include "mmserver/core/caches.def"
#undef SLAB_CACHE

/* Starts the object caches and general sizes, and makes those of caches.def. `args`: the boot
 * command line, for slab_debug=. False: no memory. */
bool caches_init(struct worker *w, const char *args);

#endif
