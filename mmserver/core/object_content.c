/*
 * What is in an object: its bytes, its size, holes, seals, and who may write to it by a mapping.
 * See object.h.
 */
#include "mmserver/core/object.h"
#include "mmserver/core/hugetlb.h"
#include "mmserver/core/linux_abi.h"
#include "mmserver/core/mm.h"
#include <string.h>

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
    long pfn = object_page_get_beyond(w, o, offset >> PAGE_SHIFT, true);

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
        long pfn = object_page_get_beyond(w, o, i, false);

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
