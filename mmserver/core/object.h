/*
 * Files: byte ranges of the initrd archive with a cache of page-aligned copies of their pages,
 * shared by all address spaces that map them. A file that nobody maps keeps its pages until memory
 * is short.
 *
 * Lock: file_lock guards the list, the reference counts and the page indices; `maps` of a file's
 * pages changes under it too.
 */
#ifndef MMSERVER_CORE_FILE_H
#define MMSERVER_CORE_FILE_H

#include "mmserver/core/phys.h"

#define FILE_NAME_BYTES 96

struct object {
    LIST_ENTRY(object) link;
    uint64_t start; /* physical address of its first byte in the archive */
    uint64_t bytes;
    uint64_t references; /* VMAs */
    uint64_t cached;     /* pages in the cache */
    pfn_t index;         /* first page of the array of page numbers, one per page of the file */
    uint32_t index_order;
    uint32_t id; /* shown as inode number */
    char name[FILE_NAME_BYTES];
};

static inline uint64_t object_pages(const struct object *f)
{
    return PAGE_UP(f->bytes) >> PAGE_SHIFT;
}

void object_init(uint64_t archive_start, uint64_t archive_bytes);
/* The file of that byte range of the archive, with one more reference; NULL without memory or if
 * the range lies outside the archive. */
struct object *object_of_archive(struct worker *w, uint64_t start, uint64_t bytes,
                                 const char *name);
void object_ref(struct object *f, uint64_t count);
/* One reference less; the file may be gone afterwards. */
void object_put(struct worker *w, struct object *f);
/* The page of that index, filled if it was not there, its map count raised by one; 0 without
 * memory. `index` must be below object_pages(). */
pfn_t object_page_get(struct worker *w, struct object *f, uint64_t index);
/* `count` mappings of a file's page are gone. */
void object_page_put(struct page *page, uint32_t count);
/* Read-only view of the file's bytes; valid while referenced. */
const void *object_bytes(const struct object *f);
/* Free what nobody maps; how many pages. Takes file_lock. */
uint64_t object_shrink(struct worker *w);
uint64_t object_cached_pages(void);
/* For the recount: calls `each` for every file, file_lock held. */
void object_for_each(void (*each)(struct object *f, void *context), void *context);
/* The page number cached at that index or 0; file_lock held. */
pfn_t object_page_cached(const struct object *f, uint64_t index);

#endif
