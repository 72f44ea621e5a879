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

bool object_page_cached(const struct object *o, uint64_t index)
{
    return radix_get(&o->pages, index) != 0;
}

/* ---- contents and size ---- */

static bool is_memory(const struct object *o)
{
    return o->kind == OBJECT_MEMORY || o->kind == OBJECT_HUGETLB;
}

/* What of a part whose copying failed lies in the memory's first page: that may be good. */
static uint64_t first_page(vaddr_t address, uint64_t part)
{
    return min_u64(part, PAGE_BYTES - (address & PAGE_MASK));
}

/* The page of that index with a hold, or none (0) for a hole, or -LINUX_EIO; *bytes left from
 * `offset` on. */
static long read_page(struct object *o, uint64_t offset, uint64_t *bytes)
{
    uint64_t index = offset >> PAGE_SHIFT;
    pfn_t pfn = 0;

    lock_take(&o->lock);
    bool huge = o->kind == OBJECT_HUGETLB, poisoned = false;
    *bytes = offset < o->bytes ? o->bytes - offset : 0;
    if (*bytes && huge)
        pfn = hugetlb_page_find_locked(o, index);
    else if (*bytes && !(pfn = object_page_find_locked(o, index, false)))
        poisoned = (radix_get(&o->pages, index) & OBJECT_WORD_POISONED) != 0;
    lock_drop(&o->lock);
    return poisoned ? -LINUX_EIO : (long)pfn;
}

static void read_page_put(struct worker *w, const struct object *o, pfn_t pfn)
{
    if (o->kind == OBJECT_HUGETLB)
        hugetlb_page_put(w, pfn);
    else
        object_page_put(w, page_of(pfn), 1);
}

long object_read(struct worker *w, struct object *o, uint64_t offset, struct mm *mm,
                 vaddr_t address, uint64_t bytes)
{
    uint64_t done = 0, left;

    if (!is_memory(o))
        return -LINUX_EINVAL;
    bytes = min_u64(bytes, OBJECT_CALL_BYTES);
    while (done < bytes) {
        uint64_t in_page = (offset + done) & PAGE_MASK;
        long found = read_page(o, offset + done, &left);
        uint64_t part = min_u64(min_u64(bytes - done, PAGE_BYTES - in_page), left);

        if (!part)
            break;
        if (found < 0)
            return done ? (long)done : found;
        pfn_t pfn = (pfn_t)found;
        const char *from = (const char *)page_pointer(pfn ? pfn : w->zero_page) + in_page;
        long error = mm_copy_out(w, mm, address + done, from, part);
        if (error && first_page(address + done, part) < part) {
            part = first_page(address + done, part);
            error = mm_copy_out(w, mm, address + done, from, part);
        }
        if (pfn)
            read_page_put(w, o, pfn);
        if (error)
            return done ? (long)done : error;
        done += part;
    }
    return (long)done;
}

/* One page's part of a write. */
static long write_part(struct worker *w, struct object *o, uint64_t offset, struct mm *mm,
                       vaddr_t address, uint64_t bytes)
{
    long pfn = page_get(w, o, offset >> PAGE_SHIFT, true, true);

    if (pfn < 0)
        return pfn;
    char *to = (char *)page_pointer((pfn_t)pfn) + (offset & PAGE_MASK);
    long error = mm_copy_in(w, mm, to, address, bytes);
    object_page_put(w, page_of((pfn_t)pfn), 1);
    lock_take(&o->lock);
    if (!error)
        o->bytes = max_u64(o->bytes, offset + bytes);
    bool behind = offset >> PAGE_SHIFT >= object_pages(o);
    lock_drop(&o->lock);
    if (behind) /* nothing was written: nothing stays */
        object_pages_drop(w, o, offset >> PAGE_SHIFT, offset >> PAGE_SHIFT);
    return error;
}

long object_write(struct worker *w, struct object *o, uint64_t offset, struct mm *mm,
                  vaddr_t address, uint64_t bytes)
{
    uint64_t done = 0;
    long error = 0;

    if (o->kind != OBJECT_MEMORY || offset > OBJECT_BYTES_MAX)
        return -LINUX_EINVAL;
    bytes = min_u64(min_u64(bytes, OBJECT_CALL_BYTES), OBJECT_BYTES_MAX - offset);
    object_change_begin(o);
    if (object_is_sealed(o, F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
        error = -LINUX_EPERM;
    while (!error && done < bytes) {
        uint64_t at = offset + done;
        uint64_t part = min_u64(bytes - done, PAGE_BYTES - (at & PAGE_MASK));

        if (object_is_sealed(o, F_SEAL_GROW) && at + part > o->bytes) {
            error = -LINUX_EPERM;
            break;
        }
        error = write_part(w, o, at, mm, address + done, part);
        if (error == -LINUX_EFAULT && first_page(address + done, part) < part) {
            part = first_page(address + done, part);
            error = write_part(w, o, at, mm, address + done, part);
        }
        if (!error)
            done += part;
    }
    object_change_end(o);
    return done ? (long)done : error;
}

/* Zero [offset, offset + bytes) of one page, if it is cached. */
static void zero_part(struct worker *w, struct object *o, uint64_t offset, uint64_t bytes)
{
    lock_take(&o->lock);
    pfn_t pfn = object_page_find_locked(o, offset >> PAGE_SHIFT, true);
    lock_drop(&o->lock);
    if (!pfn)
        return;
    memset((char *)page_pointer(pfn) + (offset & PAGE_MASK), 0, bytes);
    object_page_put(w, page_of(pfn), 1);
}

static void shrink_to(struct worker *w, struct object *o, uint64_t bytes)
{
    uint64_t first = PAGE_UP(bytes) >> PAGE_SHIFT;

    object_unmap(w, o, first, ~0UL, true);
    if (o->kind == OBJECT_HUGETLB) {
        hugetlb_pages_drop(w, o, bytes >> BLOCK_SHIFT);
        return;
    }
    object_pages_drop(w, o, first, ~0UL);
    if (bytes & PAGE_MASK)
        zero_part(w, o, bytes, PAGE_BYTES - (bytes & PAGE_MASK));
}

long object_resize(struct worker *w, struct object *o, uint64_t bytes)
{
    if (!is_memory(o) || bytes > OBJECT_BYTES_MAX ||
        (o->kind == OBJECT_HUGETLB && bytes & (BLOCK_BYTES - 1)))
        return -LINUX_EINVAL;
    object_change_begin(o);
    lock_take(&o->lock);
    uint64_t old = o->bytes;
    bool denied =
        (bytes < old && (o->seals & F_SEAL_SHRINK)) || (bytes > old && (o->seals & F_SEAL_GROW));
    if (!denied)
        o->bytes = bytes;
    lock_drop(&o->lock);
    if (!denied && bytes <= old) /* there may be pages behind the end */
        shrink_to(w, o, bytes);
    object_change_end(o);
    return denied ? -LINUX_EPERM : 0;
}

/* Pages for [first, end); those that were made go again if one cannot be had. */
static long allocate_pages(struct worker *w, struct object *o, uint64_t first, uint64_t end)
{
    for (uint64_t i = first; i < end; i++) {
        long pfn = page_get(w, o, i, false, true);

        if (pfn < 0) {
            object_pages_drop(w, o, object_pages(o) > first ? object_pages(o) : first, end - 1);
            return pfn;
        }
        object_page_put(w, page_of((pfn_t)pfn), 1);
    }
    return 0;
}

long object_allocate(struct worker *w, struct object *o, uint64_t offset, uint64_t bytes,
                     bool keep_size)
{
    uint64_t end = offset + bytes;
    bool huge = o->kind == OBJECT_HUGETLB;
    long error = 0;

    if (!is_memory(o) || !bytes || end < offset || end > OBJECT_BYTES_MAX)
        return -LINUX_EINVAL;
    if (PAGE_UP(bytes) >> PAGE_SHIFT > phys.total_pages)
        return -LINUX_ENOMEM;
    object_change_begin(o);
    if (!keep_size && object_is_sealed(o, F_SEAL_GROW) && end > o->bytes)
        error = -LINUX_EPERM;
    if (!error)
        error = huge ? hugetlb_allocate(w, o, offset, end)
                     : allocate_pages(w, o, offset >> PAGE_SHIFT, PAGE_UP(end) >> PAGE_SHIFT);
    if (!error && !keep_size) {
        lock_take(&o->lock);
        o->bytes = max_u64(o->bytes, end);
        lock_drop(&o->lock);
    }
    object_change_end(o);
    return error;
}

static void punch(struct worker *w, struct object *o, uint64_t offset, uint64_t end)
{
    uint64_t first = PAGE_UP(offset), last = PAGE_DOWN(end);

    if (first > last) { /* within one page */
        zero_part(w, o, offset, end - offset);
        return;
    }
    if (first > offset)
        zero_part(w, o, offset, first - offset);
    if (end > last)
        zero_part(w, o, last, end - last);
    if (first < last) {
        object_unmap(w, o, first >> PAGE_SHIFT, (last >> PAGE_SHIFT) - 1, false);
        object_pages_drop(w, o, first >> PAGE_SHIFT, (last >> PAGE_SHIFT) - 1);
    }
}

long object_punch(struct worker *w, struct object *o, uint64_t offset, uint64_t bytes)
{
    uint64_t end = offset + bytes;
    bool huge = o->kind == OBJECT_HUGETLB;

    if (!is_memory(o) || !bytes || end < offset || end > OBJECT_BYTES_MAX)
        return -LINUX_EINVAL;
    object_change_begin(o);
    bool denied = object_is_sealed(o, F_SEAL_WRITE | F_SEAL_FUTURE_WRITE);
    if (!denied && huge)
        hugetlb_punch(w, o, offset, end);
    else if (!denied)
        punch(w, o, offset, end);
    object_change_end(o);
    return denied ? -LINUX_EPERM : 0;
}

long object_seek(struct object *o, uint64_t offset, bool data)
{
    long found = -LINUX_ENXIO;

    lock_take(&o->lock);
    uint64_t index = offset >> PAGE_SHIFT, next = index;
    if (offset < o->bytes && o->kind == OBJECT_HUGETLB) {
        found = (long)(data ? offset : o->bytes); /* all data, as Linux has it */
    } else if (offset < o->bytes && data) {
        if (radix_next(&o->pages, &next) && next << PAGE_SHIFT < o->bytes)
            found = (long)max_u64(offset, next << PAGE_SHIFT);
    } else if (offset < o->bytes) {
        while (radix_get(&o->pages, next))
            next++;
        found = (long)min_u64(o->bytes, max_u64(offset, next << PAGE_SHIFT));
    }
    lock_drop(&o->lock);
    return found;
}

long object_share(struct object *o, bool write, uint64_t *nowrite)
{
    long error = 0;

    lock_take(&o->lock);
    if (o->kind == OBJECT_ARCHIVE)
        *nowrite = true;
    if (write && (o->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)))
        error = -LINUX_EPERM;
    else if (write && *nowrite)
        error = -LINUX_EACCES;
    if (o->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
        *nowrite = true;
    if (!error && !*nowrite)
        o->writers++;
    lock_drop(&o->lock);
    return error;
}

void object_unshare(struct object *o, uint64_t nowrite)
{
    lock_take(&o->lock);
    o->writers -= !nowrite;
    lock_drop(&o->lock);
}

long object_seal(struct object *o, uint32_t seals)
{
    long error = 0;

    lock_take(&o->lock);
    if (o->seals & F_SEAL_SEAL)
        error = -LINUX_EPERM;
    else if ((seals & F_SEAL_WRITE) && !(o->seals & F_SEAL_WRITE) && o->writers)
        error = -LINUX_EBUSY;
    else
        __atomic_store_n(&o->seals, o->seals | seals, __ATOMIC_RELAXED);
    lock_drop(&o->lock);
    return error;
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
