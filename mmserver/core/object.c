/*
 * Life of objects and their page caches. See object.h.
 *
 * A page that is not cached is made without the lock; whoever comes first puts his page in, the
 * other frees his own.
 */
#include "mmserver/core/object.h"
#include "mmserver/core/caches.h"
#include "mmserver/core/hugetlb.h"
#include "mmserver/core/linux_abi.h"
#include "mmserver/core/mm.h"
#include "mmserver/core/vma_ops.h"
#include <string.h>

#define SHRINK_PAGES 256 /* freed by one call under pressure, more or less */
#define DROP_ONCE    64  /* pages taken out of a cache in one go */

LIST_HEAD(object_list, object);

static struct lock list_lock; /* the list, its counts, the handles */
static struct object_list objects;
static uint64_t object_count;
static uint64_t archive_start, archive_bytes;
static uint64_t last_id, last_serial;
static struct object *handles[OBJECTS_MAX];
static uint32_t last_handle;
static uint64_t cached_total, memory_total; /* changed by atomic additions */

void object_init(uint64_t start, uint64_t bytes)
{
    list_lock = LOCK_INIT(LOCK_OBJECT);
    LIST_INIT(&objects);
    memset(handles, 0, sizeof handles);
    archive_start = start;
    archive_bytes = bytes;
    last_id = last_serial = last_handle = 0;
    object_count = cached_total = memory_total = 0;
}

static void total_add(const struct object *o, int64_t pages)
{
    __atomic_fetch_add(&cached_total, (uint64_t)pages, __ATOMIC_RELAXED);
    if (o->kind == OBJECT_MEMORY)
        __atomic_fetch_add(&memory_total, (uint64_t)pages, __ATOMIC_RELAXED);
}

/* ---- life ---- */

static void name_set(struct object *o, const char *name)
{
    size_t i;

    for (i = 0; i + 1 < sizeof o->name && name[i]; i++)
        o->name[i] = name[i];
    o->name[i] = '\0';
}

static struct object *object_make(struct worker *w, enum object_kind kind, uint64_t bytes,
                                  const char *name)
{
    struct object *o = slab_zalloc(w, object_cache);

    if (!o)
        return NULL;
    o->lock = LOCK_INIT(LOCK_OBJECT);
    RB_INIT(&o->mappers);
    o->kind = kind;
    o->bytes = bytes;
    o->references = 1;
    o->ops = kind == OBJECT_HUGETLB ? &hugetlb_vma_ops : &object_vma_ops;
    name_set(o, name);
    return o;
}

static void list_add_locked(struct object *o)
{
    if (!o->id)
        o->id = ++last_id;
    o->serial = ++last_serial;
    LIST_INSERT_HEAD(&objects, o, link);
    object_count++;
}

static void list_add(struct object *o)
{
    lock_take(&list_lock);
    list_add_locked(o);
    lock_drop(&list_lock);
}

static struct object *archive_find_locked(uint64_t start, uint64_t bytes)
{
    struct object *o;

    LIST_FOREACH(o, &objects, link)
    {
        if (o->kind == OBJECT_ARCHIVE && o->start == start && o->bytes == bytes) {
            object_ref(o, 1); /* perhaps the first one: only the list's lock lets it go */
            return o;
        }
    }
    return NULL;
}

struct object *object_of_archive(struct worker *w, uint64_t start, uint64_t bytes, const char *name)
{
    if (start > archive_bytes || bytes > archive_bytes - start)
        return NULL;
    start += archive_start;
    lock_take(&list_lock);
    struct object *o = archive_find_locked(start, bytes);
    lock_drop(&list_lock);
    if (o)
        return o;

    struct object *made = object_make(w, OBJECT_ARCHIVE, bytes, name);
    if (!made)
        return NULL;
    made->start = start;
    lock_take(&list_lock);
    o = archive_find_locked(start, bytes);
    if (!o) {
        o = made;
        list_add_locked(o);
    }
    lock_drop(&list_lock);
    if (o != made)
        slab_free(w, object_cache, made);
    return o;
}

struct object *object_create(struct worker *w, enum object_kind kind, uint64_t bytes, uint64_t id,
                             const char *name)
{
    struct object *o = object_make(w, kind, bytes, name);

    if (!o)
        return NULL;
    o->id = id;
    list_add(o);
    return o;
}

struct object *object_special(struct worker *w, const struct vma_ops *ops, uint64_t bytes,
                              const char *name)
{
    struct object *o = object_create(w, OBJECT_SPECIAL, bytes, 0, name);

    if (o)
        o->ops = ops;
    return o;
}

void object_ref(struct object *o, uint64_t count)
{
    __atomic_fetch_add(&o->references, count, __ATOMIC_RELAXED);
}

/* ---- pages go ---- */

/* It is in no cache, and nobody holds or maps it any more. */
static void page_gone(struct worker *w, struct page *page)
{
    page->maps = 0;
    page->owner = NULL;
    if (likely(page->state == PAGE_FILE))
        page_free(w, page_number(page));
}

void object_page_put(struct worker *w, struct page *page, uint32_t count)
{
    uint32_t left = __atomic_sub_fetch(&page->maps, count, __ATOMIC_ACQ_REL);

    mm_assert((page->state == PAGE_FILE || page->state == PAGE_POISONED) &&
              (left & ~PAGE_DETACHED) + count <= ~PAGE_DETACHED);
    if (left == PAGE_DETACHED)
        page_gone(w, page);
}

void object_page_dirty(struct object *o, const struct page *page)
{
    lock_take(&o->lock);
    struct radix_node *node = radix_bottom(&o->pages, page->index);
    uint64_t *slot = node ? &node->slot[page->index & (RADIX_SLOTS - 1)] : NULL;
    if (slot && (*slot & OBJECT_WORD_PAGE) == page_number(page))
        *slot |= OBJECT_WORD_DIRTY;
    lock_drop(&o->lock);
}

/* It is in the cache no more; freed now, or by the last hold. */
static void page_detach(struct worker *w, struct page *page)
{
    if (__atomic_fetch_or(&page->maps, PAGE_DETACHED, __ATOMIC_ACQ_REL) == 0)
        page_gone(w, page);
}

void object_pages_drop(struct worker *w, struct object *o, uint64_t first, uint64_t last)
{
    uint64_t index = first, word;

    do {
        struct page *gone[DROP_ONCE];
        unsigned count = 0;

        lock_take(&o->lock);
        while (count < DROP_ONCE && (word = radix_next(&o->pages, &index)) && index <= last) {
            radix_take(w, &o->pages, index);
            gone[count++] = page_of(word & OBJECT_WORD_PAGE);
        }
        o->cached -= count;
        lock_drop(&o->lock);
        total_add(o, -(int64_t)count);
        for (unsigned i = 0; i < count; i++)
            page_detach(w, gone[i]);
        if (count < DROP_ONCE)
            return;
    } while (true);
}

/* Out of the list already, and nobody refers to it. */
static void object_free(struct worker *w, struct object *o)
{
    mm_assert(!o->references && !o->mappings && !o->handle && interval_tree_empty(&o->mappers));
    if (o->kind == OBJECT_HUGETLB)
        hugetlb_pages_drop(w, o, 0);
    else
        object_pages_drop(w, o, 0, ~0UL);
    mm_assert(!o->cached && !o->promised && !o->pages.root);
    slab_free(w, object_cache, o);
}

void object_put(struct worker *w, struct object *o)
{
    bool cached = o->kind == OBJECT_ARCHIVE;
    uint64_t left = __atomic_sub_fetch(&o->references, 1, __ATOMIC_ACQ_REL);

    mm_assert(left + 1);
    if (left || cached)
        return;
    lock_take(&list_lock);
    LIST_REMOVE(o, link);
    object_count--;
    lock_drop(&list_lock);
    object_free(w, o);
}

/* ---- handles ---- */

uint64_t object_handle(struct object *o)
{
    uint32_t handle = 0;

    lock_take(&list_lock);
    for (uint32_t i = 1; i < OBJECTS_MAX && !handle; i++) {
        last_handle = last_handle + 1 < OBJECTS_MAX ? last_handle + 1 : 1;
        if (!handles[last_handle])
            handle = last_handle;
    }
    if (handle) {
        handles[handle] = o;
        o->handle = handle;
    }
    lock_drop(&list_lock);
    return handle;
}

struct object *object_of_handle(uint64_t handle)
{
    struct object *o = NULL;

    lock_take(&list_lock);
    if (handle < OBJECTS_MAX && (o = handles[handle]))
        object_ref(o, 1);
    lock_drop(&list_lock);
    return o;
}

static bool handle_take(struct object *o)
{
    lock_take(&list_lock);
    bool mine = o->handle != 0;
    if (mine)
        handles[o->handle] = NULL;
    o->handle = 0;
    lock_drop(&list_lock);
    return mine;
}

bool object_handle_drop(struct worker *w, uint64_t handle, bool until_unused)
{
    struct object *o = object_of_handle(handle);

    if (!o)
        return false;
    lock_take(&o->lock);
    o->until_unused = until_unused;
    bool now = !until_unused || !o->mappings;
    lock_drop(&o->lock);
    if (now && handle_take(o))
        object_put(w, o);
    object_put(w, o);
    return true;
}

/* ---- pages come ---- */

const void *object_bytes(const struct object *o)
{
    return (const void *)(uintptr_t)(place_linear_base + o->start);
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

static pfn_t archive_page(struct worker *w, struct object *o, uint64_t index)
{
    pfn_t pfn = page_alloc_user(w);

    if (!pfn)
        return 0;
    uint64_t offset = index << PAGE_SHIFT;
    uint64_t bytes = min_u64(o->bytes - offset, PAGE_BYTES);
    char *to = page_pointer(pfn);
    bytes_copy(to, (const char *)object_bytes(o) + offset, bytes);
    memset(to + bytes, 0, PAGE_BYTES - bytes);
    mm_count(w, fault_file_fill);
    return pfn;
}

/* A page with the contents that it has where nobody has written. */
static pfn_t page_make(struct worker *w, struct object *o, uint64_t index)
{
    pfn_t pfn = o->kind == OBJECT_ARCHIVE ? archive_page(w, o, index) : page_alloc_user_zeroed(w);

    if (pfn) {
        struct page *page = page_of(pfn);

        page->state = PAGE_FILE;
        page->owner = o;
        page->index = index;
        page->maps = 0;
    }
    return pfn;
}

/* object_page_get(), also behind the end if `beyond`. */
static long page_get(struct worker *w, struct object *o, uint64_t index, bool write, bool beyond)
{
    struct radix_spare spare = {NULL, 0};
    pfn_t fresh = 0, pfn = 0;
    long error = 0;

    mm_assert(o->kind != OBJECT_SPECIAL);
    for (;;) {
        unsigned missing = 0;

        lock_take(&o->lock);
        if (!beyond && index >= object_pages(o)) {
            error = -LINUX_ENXIO;
        } else if (radix_get(&o->pages, index) & OBJECT_WORD_POISONED) {
            error = -LINUX_EIO;
        } else if (!(pfn = object_page_find_locked(o, index, write)) && fresh) {
            missing = radix_missing(&o->pages, index);
            if (missing <= spare.count) {
                radix_store(&o->pages, index, fresh, &spare);
                o->cached++;
                total_add(o, 1);
                pfn = object_page_find_locked(o, index, write);
                fresh = 0;
            }
        }
        lock_drop(&o->lock);
        if (pfn || error)
            break;
        if (!fresh)
            fresh = page_make(w, o, index);
        if (!fresh || !radix_spare_fill(w, &spare, missing)) {
            error = -LINUX_ENOMEM;
            break;
        }
    }
    if (fresh)
        page_free(w, fresh);
    radix_spare_free(w, &spare);
    return error ? error : (long)pfn;
}

long object_page_get(struct worker *w, struct object *o, uint64_t index, bool write)
{
    return page_get(w, o, index, write, false);
}

long object_page_get_beyond(struct worker *w, struct object *o, uint64_t index, bool write)
{
    return page_get(w, o, index, write, true);
}

bool object_page_cached(const struct object *o, uint64_t index)
{
    return radix_get(&o->pages, index) != 0;
}

/* One more reference, but not for one that is about to be freed. */
static bool ref_if_live_locked(struct object *o)
{
    uint64_t references = __atomic_load_n(&o->references, __ATOMIC_RELAXED);

    do {
        if (!references && o->kind != OBJECT_ARCHIVE)
            return false;
    } while (!__atomic_compare_exchange_n(&o->references, &references, references + 1, false,
                                          __ATOMIC_ACQUIRE, __ATOMIC_RELAXED));
    return true;
}

/* What the page says may be out of date, so its owner is only compared, and looked at once it is
 * known to be there. */
struct object *object_of_page(const struct page *page)
{
    void *owner = __atomic_load_n(&page->owner, __ATOMIC_ACQUIRE);
    struct object *o;

    lock_take(&list_lock);
    LIST_FOREACH(o, &objects, link)
    {
        if (o == owner)
            break;
    }
    if (o && !ref_if_live_locked(o))
        o = NULL;
    lock_drop(&list_lock);
    return o;
}

/* ---- under pressure ---- */

/*
 * The next object to look at, with a reference, or one of the archive that nobody refers to, out of
 * the list (*unused). Objects that were looked at go to the end.
 */
static struct object *shrink_next(bool *unused)
{
    struct object *o, *last = NULL;

    lock_take(&list_lock);
    LIST_FOREACH(o, &objects, link)
    {
        last = o;
    }
    o = LIST_FIRST(&objects);
    *unused = false;
    if (o) {
        uint64_t references = __atomic_load_n(&o->references, __ATOMIC_RELAXED);

        if (o != last) {
            LIST_REMOVE(o, link);
            LIST_INSERT_AFTER(last, o, link);
        }
        if (!references && o->kind == OBJECT_ARCHIVE) {
            LIST_REMOVE(o, link);
            object_count--;
            *unused = true;
        } else if (!references ||
                   !__atomic_compare_exchange_n(&o->references, &references, references + 1, false,
                                                __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
            o = NULL; /* about to be freed by somebody else, or busy */
        }
    }
    lock_drop(&list_lock);
    return o;
}

/* Drop the pages that nobody maps and that were never written to. */
static uint64_t drop_unused(struct worker *w, struct object *o)
{
    uint64_t index = 0, word, freed = 0;

    if (o->kind == OBJECT_HUGETLB)
        return 0;
    lock_take(&o->lock);
    while ((word = radix_next(&o->pages, &index))) {
        pfn_t pfn = word & OBJECT_WORD_PAGE;

        /* Holds begin under this lock only, so what has none gets none. */
        if (!(word & OBJECT_WORD_DIRTY) &&
            !__atomic_load_n(&page_of(pfn)->maps, __ATOMIC_ACQUIRE)) {
            radix_take(w, &o->pages, index);
            o->cached--;
            page_free(w, pfn);
            freed++;
        }
        if (++index == 0)
            break;
    }
    lock_drop(&o->lock);
    total_add(o, -(int64_t)freed);
    return freed;
}

uint64_t object_shrink(struct worker *w)
{
    uint64_t freed = 0;

    for (uint64_t looks = object_count; looks && freed < SHRINK_PAGES; looks--) {
        bool unused;
        struct object *o = shrink_next(&unused);

        if (!o)
            continue;
        if (unused) {
            freed += o->cached + 1; /* and its descriptor */
            object_free(w, o);
            continue;
        }
        freed += drop_unused(w, o);
        object_put(w, o);
    }
    return freed;
}

uint64_t object_cached_pages(void)
{
    return __atomic_load_n(&cached_total, __ATOMIC_RELAXED);
}

uint64_t object_memory_pages(void)
{
    return __atomic_load_n(&memory_total, __ATOMIC_RELAXED);
}

struct object *object_next(uint64_t *serial)
{
    struct object *o, *next = NULL;

    lock_take(&list_lock);
    LIST_FOREACH(o, &objects, link)
    {
        bool used = o->kind == OBJECT_ARCHIVE || __atomic_load_n(&o->references, __ATOMIC_RELAXED);

        if (used && o->serial > *serial && (!next || o->serial < next->serial))
            next = o;
    }
    if (next) {
        object_ref(next, 1);
        *serial = next->serial;
    }
    lock_drop(&list_lock);
    return next;
}
