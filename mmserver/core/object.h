/*
 * Objects: what stands behind every mapping that is not private anonymous memory.
 *
 *   OBJECT_ARCHIVE   a byte range of the initrd archive: pages are copies of it, never written
 *   OBJECT_MEMORY    memory of its own: memfd, files of /tmp and /dev/shm, shared anonymous
 *                    mappings, SysV segments. Holes read as zeros
 *   OBJECT_HUGETLB   memory of its own in 2 MiB pages of the pool (hugetlb_object.c)
 *   OBJECT_SPECIAL   no pages of ours, nothing is cached: its vma_ops know all about it
 *
 * An object has a page cache (a radix tree by page index, so it may be as sparse as it likes), a
 * size, and an interval tree of the VMAs that map it. read(), write() and mappings all go through
 * the one cache.
 *
 * Life. References are held by VMAs, by the handle (the number by which the process personality
 * names it) and for the length of a call. With the last one a memory object is freed with all its
 * pages; one of the archive stays cached until memory is short.
 *
 * A page of the cache: state PAGE_FILE, owner = object, index. `maps` counts the leaf entries that
 * map it and short holds of calls that look at it. A page that is taken out of the cache while it
 * is held is marked PAGE_DETACHED in `maps` and freed by whoever puts the last hold.
 *
 * Size. A fault or a call finds a page only below the end, under the lock. Shrinking first sets the
 * end, then unmaps everywhere, then drops the pages: see object_resize().
 *
 * Locks: object->lock (LOCK_OBJECT) guards the tree of pages, the size, the tree of mappers, seals.
 * `changing` serialises changes of the size and the contents by calls; it is taken before any other
 * lock. The list of objects and the handles have a lock of their own (same rank, never together).
 */
#ifndef MMSERVER_CORE_OBJECT_H
#define MMSERVER_CORE_OBJECT_H

#include "mmserver/core/interval.h"
#include "mmserver/core/phys.h"
#include "mmserver/core/radix.h"
#include "mmserver/core/vma.h"

#define OBJECT_NAME_BYTES 96
#define OBJECTS_MAX       8192              /* handles */
#define OBJECT_BYTES_MAX  ((1UL << 63) - 1) /* the largest size, as Linux's loff_t has it */
#define OBJECT_AROUND_MAX (256 * PAGE_BYTES)
#define OBJECT_CALL_BYTES (1UL << 20) /* moved by one read or write */

enum object_kind { OBJECT_ARCHIVE, OBJECT_MEMORY, OBJECT_HUGETLB, OBJECT_SPECIAL };

/* In a page's `maps`: it is in no cache any more. */
#define PAGE_DETACHED (1U << 31)

/* In the words of the tree of pages. */
#define OBJECT_WORD_POISONED                                                                  \
    (1UL << 63)                       /* broken: nobody gets it. So usable words are positive \
                                       */
#define OBJECT_WORD_DIRTY (1UL << 62) /* somebody could write to it: it may not just be dropped */
#define OBJECT_WORD_PAGE  (~(OBJECT_WORD_POISONED | OBJECT_WORD_DIRTY))

struct object {
    struct lock lock;
    struct radix pages;
    uint64_t bytes;
    uint64_t cached;   /* pages in the cache, huge ones if it has those */
    uint64_t promised; /* of huge pages: promised and not there yet */
    uint64_t changing;
    struct interval_tree mappers; /* VMAs, by page index (vma->i_map) */
    uint64_t mappings;            /* VMAs in it, */
    uint64_t writers;             /* of them shared ones that may be made writable */
    uint64_t linked;              /* the number that the last VMA that came or changed was given */
    uint64_t references;
    uint64_t kind;             /* enum object_kind */
    uint64_t start;            /* archive: physical address of its first byte */
    const struct vma_ops *ops; /* of the VMAs that map it */
    uint32_t seals;            /* F_SEAL_* */
    uint32_t handle;           /* 0: none */
    uint32_t segment;          /* bool: SysV shared memory */
    uint32_t until_unused;     /* bool: the handle goes with the last mapping */
    uint64_t id;               /* shown as inode number */
    uint64_t serial;           /* which one it was to be made */
    LIST_ENTRY(object) link;
    char name[OBJECT_NAME_BYTES];
};

static inline uint64_t object_pages(const struct object *o)
{
    return PAGE_UP(o->bytes) >> PAGE_SHIFT;
}

/* ---- life ---- */

void object_init(uint64_t archive_start, uint64_t archive_bytes);
/* That byte range of the archive, with one more reference; NULL without memory or if it lies
 * outside the archive. */
struct object *object_of_archive(struct worker *w, uint64_t start, uint64_t bytes,
                                 const char *name);
/* A new object of that kind, of zeros, with one reference; NULL without memory. `id` 0: one is
 * chosen. */
struct object *object_create(struct worker *w, enum object_kind kind, uint64_t bytes, uint64_t id,
                             const char *name);
static inline struct object *object_memory(struct worker *w, uint64_t bytes, uint64_t id,
                                           const char *name)
{
    return object_create(w, OBJECT_MEMORY, bytes, id, name);
}
/* One whose VMAs have those operations; one reference. NULL without memory. */
struct object *object_special(struct worker *w, const struct vma_ops *ops, uint64_t bytes,
                              const char *name);
void object_ref(struct object *o, uint64_t count);
/* One reference less; the object may be gone afterwards. No lock from LOCK_OBJECT on is held. */
void object_put(struct worker *w, struct object *o);

/* Give it a handle, which takes over the caller's reference; 0 if there are none left. */
uint64_t object_handle(struct object *o);
/* The object of that handle with one more reference, or NULL. */
struct object *object_of_handle(uint64_t handle);
/* The handle goes, at once or with the last mapping; false if there is no such handle. */
bool object_handle_drop(struct worker *w, uint64_t handle, bool until_unused);

/* ---- pages ---- */

/*
 * The page of that index with one more hold; it is filled or made if it was not there. `write`: it
 * is going to be written. The page number, or -LINUX_ENXIO at or behind the end, -LINUX_EIO where
 * memory is broken, or -LINUX_ENOMEM.
 */
long object_page_get(struct worker *w, struct object *o, uint64_t index, bool write);
/* The same, also behind the end: for who is going to make it longer. */
long object_page_get_beyond(struct worker *w, struct object *o, uint64_t index, bool write);
static inline bool object_word_is_usable(uint64_t word)
{
    return (int64_t)word > 0;
}
/* Object locked: the same only if it is cached, usable and below the end; else 0. */
static inline pfn_t object_page_find_locked(struct object *o, uint64_t index, bool write)
{
    struct radix_node *node = radix_bottom(&o->pages, index);
    uint64_t *slot = node ? &node->slot[index & (RADIX_SLOTS - 1)] : NULL;

    if (!slot || !object_word_is_usable(*slot))
        return 0;
    pfn_t pfn = *slot & OBJECT_WORD_PAGE;
    __atomic_fetch_add(&page_of(pfn)->maps, 1, __ATOMIC_RELAXED);
    if (write)
        *slot |= OBJECT_WORD_DIRTY;
    return pfn;
}
/* A page of the object that the caller maps may be written to from now on. Lock: takes OBJECT. */
void object_page_dirty(struct object *o, const struct page *page);
/* `count` holds or mappings of a page are gone. No lock from LOCK_SLAB on is held. */
void object_page_put(struct worker *w, struct page *page, uint32_t count);

/* The object whose page that is, with one more reference; NULL if there is none. Takes the list's
 * lock: no lock from LOCK_OBJECT on is held. */
struct object *object_of_page(const struct page *page);
/* Object locked: is the page in its cache, where it says, and usable? `to` takes its place. */
bool object_has_locked(const struct object *o, const struct page *page);
void object_replace_locked(struct object *o, const struct page *page, const struct page *to);
/* The page of that index, if it is `pfn`, is broken: nobody gets it any more. What can be had again
 * is; else the index stays without contents. -LINUX_EAGAIN: it is another page by now. Unlocked. */
long object_page_poison(struct worker *w, struct object *o, uint64_t index, pfn_t pfn);

/* Take the pages [first, last] out of the cache; who holds one still has it. Unlocked. */
void object_pages_drop(struct worker *w, struct object *o, uint64_t first, uint64_t last);

/* Read-only view of an archive object's bytes; valid while referenced. */
const void *object_bytes(const struct object *o);
/* Is the page of that index cached? Unsynchronised. */
bool object_page_cached(const struct object *o, uint64_t index);

/* ---- contents and size: unlocked on entry ---- */

/* Calls that change the size or the contents take turns. Before any lock. */
static inline void object_change_begin(struct object *o)
{
    while (__atomic_exchange_n(&o->changing, 1, __ATOMIC_ACQUIRE))
        place_relax();
}
static inline void object_change_end(struct object *o)
{
    __atomic_store_n(&o->changing, 0, __ATOMIC_RELEASE);
}
static inline bool object_is_sealed(const struct object *o, uint32_t seals)
{
    return (__atomic_load_n(&o->seals, __ATOMIC_RELAXED) & seals) != 0;
}

/* Bytes moved between the object, from byte `offset` on, and memory of mm; short at the end of the
 * object (read) and after OBJECT_CALL_BYTES, or where the memory is bad; -LINUX_x if nothing was
 * moved. Writing makes the object longer. */
long object_read(struct worker *w, struct object *o, uint64_t offset, struct mm *mm,
                 vaddr_t address, uint64_t bytes);
long object_write(struct worker *w, struct object *o, uint64_t offset, struct mm *mm,
                  vaddr_t address, uint64_t bytes);
/* ftruncate: the new size. What is behind it is unmapped everywhere, private copies too, and freed;
 * the rest of its last page becomes zero. 0, -LINUX_EPERM (sealed), -LINUX_EINVAL. */
long object_resize(struct worker *w, struct object *o, uint64_t bytes);
/* fallocate: have pages for the range, and the size unless keep_size. 0 or -LINUX_x. */
long object_allocate(struct worker *w, struct object *o, uint64_t offset, uint64_t bytes,
                     bool keep_size);
/* fallocate(PUNCH_HOLE): the range reads as zeros, its whole pages are freed. Private copies stay.
 */
long object_punch(struct worker *w, struct object *o, uint64_t offset, uint64_t bytes);
/* SEEK_DATA, SEEK_HOLE: the next offset from `offset` on that is data or none; -LINUX_ENXIO. */
long object_seek(struct object *o, uint64_t offset, bool data);
/* Around the making of a shared mapping, so that no seal comes between: *nowrite in: the descriptor
 * does not allow writing, out: the mapping may never be writable. 0, or -LINUX_EPERM: it is sealed,
 * -LINUX_EACCES: `write` without the right. */
long object_share(struct object *o, bool write, uint64_t *nowrite);
void object_unshare(struct object *o, uint64_t nowrite);
/* F_ADD_SEALS. 0, -LINUX_EPERM if sealed against it, -LINUX_EBUSY with writable mappings. */
long object_seal(struct object *o, uint32_t seals);

/* ---- mappings ---- */

/* How VMAs of objects behave (vma_ops.h). */
extern const struct vma_ops object_vma_ops;
static inline struct vma *object_vma_of(struct interval *i)
{
    return (struct vma *)((char *)i - offsetof(struct vma, i_map));
}
/* mm locked: v, linked in its mm, maps its object; it does no more; its bounds changed. */
void object_vma_open(struct vma *v);
void object_vma_close(struct worker *w, struct vma *v);
void object_vma_resized(struct vma *v);
/* Unlocked: take the pages [first, last] out of every page table; `copies`: private copies too. */
/* The batch that the worker's last answer was is refused after `done` operations (or -ERR_x): the
 * pages that it has not mapped are put, but for the last one, which is a reply's. */
void object_batch_undo(struct worker *w, long done);
/* A read fault maps what is cached in an aligned window of so many bytes: a power of two from
 * PAGE_BYTES to OBJECT_AROUND_MAX. */
extern uint64_t object_around_bytes;
void object_unmap(struct worker *w, struct object *o, uint64_t first, uint64_t last, bool copies);

/* ---- under pressure, and for reports ---- */

/* Free what nobody maps and what can be had again; how many pages. Takes LOCK_OBJECT locks. */
uint64_t object_shrink(struct worker *w);
/* Pages in all caches; of them those of memory objects. */
uint64_t object_cached_pages(void);
uint64_t object_memory_pages(void);
/* For the recount, which found so many VMAs with an object: how many things are wrong. */
uint64_t object_check(struct worker *w, bool say, uint64_t vmas);
/* The next object made after number *serial, which becomes its own, with one more reference; NULL
 * at the end. */
struct object *object_next(uint64_t *serial);

#endif
