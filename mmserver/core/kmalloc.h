/*
 * Memory of any size for the server: up to 8 KiB from caches of general sizes, above by whole pages
 * up to the buddy allocator's largest chunk (4 MiB). The page descriptor says which it is.
 */
#ifndef MMSERVER_CORE_KMALLOC_H
#define MMSERVER_CORE_KMALLOC_H

#include "mmserver/core/types.h"

#define KMALLOC_SLAB_MAX 8192UL /* bytes */
#define KMALLOC_MAX      (PAGE_BYTES << 10)

/* After slab_init(). False: no memory. */
bool kmalloc_init(struct worker *w);

/*
 * At least that many bytes, aligned to 8 and, if `bytes` is a power of two, to `bytes` or a page;
 * contents unknown. NULL: no memory, 0 bytes, or more than KMALLOC_MAX. Hold no lock that is not
 * before LOCK_SLABS; page_alloc()'s rules hold too.
 */
void *kmalloc(struct worker *w, uint64_t bytes);
void *kzalloc(struct worker *w, uint64_t bytes);
/* count * bytes; NULL also if that overflows. */
void *kmalloc_array(struct worker *w, uint64_t count, uint64_t bytes);
void *kcalloc(struct worker *w, uint64_t count, uint64_t bytes);
/* Contents kept up to the smaller size. NULL: no memory, `old` is as it was. `old` may be NULL. */
void *krealloc(struct worker *w, void *old, uint64_t bytes);
/* NULL is allowed. */
void kfree(struct worker *w, void *memory);
/* Bytes that may be used. */
uint64_t ksize(struct worker *w, const void *memory);
/* Pages in use above KMALLOC_SLAB_MAX. */
uint64_t kmalloc_large_pages(void);

#endif
