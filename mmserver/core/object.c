/*
 * Files of the archive and their page cache. See file.h.
 *
 * Filling is done without the lock on a fresh page; whoever comes first puts its page in, the other
 * frees its own.
 */
#include "mmserver/core/object.h"
#include "mmserver/core/caches.h"
#include <string.h>

static struct lock file_lock;
static LIST_HEAD(, object) file_list;
static uint64_t archive_start, archive_bytes;
static uint32_t file_next_id;
static uint64_t cached_total;

void object_init(uint64_t start, uint64_t bytes)
{
    file_lock = LOCK_INIT(LOCK_OBJECT);
    LIST_INIT(&file_list);
    archive_start = start;
    archive_bytes = bytes;
    file_next_id = 1;
    cached_total = 0;
}

static uint64_t *index_array(const struct object *f)
{
    return page_pointer(f->index);
}

static struct object *file_find_locked(uint64_t start, uint64_t bytes)
{
    struct object *f;

    LIST_FOREACH(f, &file_list, link)
    {
        if (f->start == start && f->bytes == bytes)
            return f;
    }
    return NULL;
}

static void file_name_set(struct object *f, const char *name)
{
    size_t i;

    for (i = 0; i + 1 < sizeof f->name && name[i]; i++)
        f->name[i] = name[i];
    f->name[i] = '\0';
}

static struct object *file_make(struct worker *w, uint64_t start, uint64_t bytes, const char *name)
{
    struct object *f = slab_zalloc(w, object_cache);

    if (!f)
        return NULL;
    f->start = start;
    f->bytes = bytes;
    uint64_t index_pages = PAGE_UP((object_pages(f) + 1) * sizeof(uint64_t)) >> PAGE_SHIFT;
    while (1UL << f->index_order < index_pages)
        f->index_order++;
    f->index = f->index_order <= ORDER_MAX ? pages_alloc(w, f->index_order, GFP_KERNEL) : 0;
    if (!f->index) {
        slab_free(w, object_cache, f);
        return NULL;
    }
    page_of(f->index)->state = PAGE_FILE_MAP;
    memset(index_array(f), 0, PAGE_BYTES << f->index_order);
    file_name_set(f, name);
    return f;
}

static void file_free(struct worker *w, struct object *f)
{
    pages_free(w, f->index, f->index_order);
    slab_free(w, object_cache, f);
}

struct object *object_of_archive(struct worker *w, uint64_t start, uint64_t bytes, const char *name)
{
    if (start > archive_bytes || bytes > archive_bytes - start)
        return NULL;
    start += archive_start;
    lock_take(&file_lock);
    struct object *f = file_find_locked(start, bytes);
    if (f)
        f->references++;
    lock_drop(&file_lock);
    if (f)
        return f;

    struct object *made = file_make(w, start, bytes, name);
    if (!made)
        return NULL;
    lock_take(&file_lock);
    f = file_find_locked(start, bytes);
    if (!f) {
        f = made;
        f->id = file_next_id++;
        LIST_INSERT_HEAD(&file_list, f, link);
    }
    f->references++;
    lock_drop(&file_lock);
    if (f != made)
        file_free(w, made);
    return f;
}

void object_ref(struct object *f, uint64_t count)
{
    lock_take(&file_lock);
    f->references += count;
    lock_drop(&file_lock);
}

void object_put(struct worker *w, struct object *f)
{
    (void)w;
    lock_take(&file_lock);
    mm_assert(f->references);
    f->references--;
    lock_drop(&file_lock);
}

const void *object_bytes(const struct object *f)
{
    return (const void *)(uintptr_t)(place_linear_base + f->start);
}

/*
 * Members of the archive are aligned to 4 bytes only, which a memcpy of the C library takes as a
 * reason to go byte by byte.
 */
static void bytes_copy(char *to, const char *from, uint64_t bytes)
{
    if ((uintptr_t)from % sizeof(uint64_t) && !((uintptr_t)from % sizeof(uint32_t))) {
        for (; bytes >= 4 * sizeof(uint32_t); bytes -= 4 * sizeof(uint32_t)) {
            const uint32_t *f = (const uint32_t *)from;
            uint32_t *t = (uint32_t *)to;
            uint32_t a = f[0], b = f[1], c = f[2], d = f[3];

            t[0] = a, t[1] = b, t[2] = c, t[3] = d;
            from += 4 * sizeof(uint32_t);
            to += 4 * sizeof(uint32_t);
        }
    }
    memcpy(to, from, bytes);
}

static void file_page_fill(struct worker *w, struct object *f, uint64_t index, pfn_t pfn)
{
    uint64_t offset = index << PAGE_SHIFT;
    uint64_t bytes = min_u64(f->bytes - offset, PAGE_BYTES);
    char *to = page_pointer(pfn);

    bytes_copy(to, (const char *)object_bytes(f) + offset, bytes);
    memset(to + bytes, 0, PAGE_BYTES - bytes);
    struct page *page = page_of(pfn);
    page->state = PAGE_FILE;
    page->owner = f;
    page->index = index;
    page->maps = 0;
    mm_count(w, fault_file_fill);
}

pfn_t object_page_get(struct worker *w, struct object *f, uint64_t index)
{
    mm_assert(index < object_pages(f));
    lock_take(&file_lock);
    pfn_t pfn = (pfn_t)index_array(f)[index];
    if (pfn)
        page_of(pfn)->maps++;
    lock_drop(&file_lock);
    if (pfn)
        return pfn;

    pfn_t fresh = page_alloc_user(w);
    if (!fresh)
        return 0;
    file_page_fill(w, f, index, fresh);
    lock_take(&file_lock);
    pfn = (pfn_t)index_array(f)[index];
    if (!pfn) {
        pfn = fresh;
        index_array(f)[index] = pfn;
        f->cached++;
        cached_total++;
    }
    page_of(pfn)->maps++;
    lock_drop(&file_lock);
    if (pfn != fresh)
        page_free(w, fresh);
    return pfn;
}

void object_page_put(struct page *page, uint32_t count)
{
    lock_take(&file_lock);
    mm_assert(page->state == PAGE_FILE && page->maps >= count);
    page->maps -= count;
    lock_drop(&file_lock);
}

/* Take all cached pages out of an unreferenced file; they are linked into `list`. */
static void file_strip_locked(struct object *f, struct page_list *list)
{
    for (uint64_t i = 0; i < object_pages(f) && f->cached; i++) {
        pfn_t pfn = (pfn_t)index_array(f)[i];

        if (!pfn)
            continue;
        struct page *page = page_of(pfn);
        mm_assert(!page->maps);
        index_array(f)[i] = 0;
        f->cached--;
        cached_total--;
        LIST_INSERT_HEAD(list, page, link);
    }
}

uint64_t object_shrink(struct worker *w)
{
    uint64_t freed = 0;

    for (;;) {
        struct page_list pages = LIST_HEAD_INITIALIZER(pages);
        struct object *f;

        lock_take(&file_lock);
        LIST_FOREACH(f, &file_list, link)
        {
            if (!f->references)
                break;
        }
        if (f) {
            LIST_REMOVE(f, link);
            freed += f->cached + (1UL << f->index_order);
            file_strip_locked(f, &pages);
        }
        lock_drop(&file_lock);
        if (!f)
            return freed;
        page_free_list(w, &pages);
        file_free(w, f);
    }
}

uint64_t object_cached_pages(void)
{
    return cached_total;
}

pfn_t object_page_cached(const struct object *f, uint64_t index)
{
    return (pfn_t)index_array(f)[index];
}

void object_for_each(void (*each)(struct object *f, void *context), void *context)
{
    struct object *f;

    lock_take(&file_lock);
    LIST_FOREACH(f, &file_list, link)
    {
        each(f, context);
    }
    lock_drop(&file_lock);
}
