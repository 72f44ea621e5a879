/* mincore and msync: what is said about the pages of a range. */
#include "mmserver/core/guard.h"
#include "mmserver/core/linux_abi.h"
#include "mmserver/core/map.h"
#include "mmserver/core/object.h"
#include "mmserver/core/pt.h"

#define INCORE_ONCE 512 /* pages looked at before their bytes are copied out */

/* One leaf table's part of a range: a byte each for what is mapped. */
static void of_table(uint8_t *byte, const uint64_t *entry, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        byte[i] = entry[i] != 0;
}

/* But guards are nothing. */
static void of_guards(uint8_t *byte, const uint64_t *entry, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        if (entry_is_guard(entry[i]))
            byte[i] = 0;
}

/* What is not mapped may still be in the cache of the object. */
static void of_object(uint8_t *byte, const struct vma *v, vaddr_t start, uint64_t count)
{
    uint64_t index = vma_offset_at(v, start);

    for (uint64_t i = 0; i < count; i++)
        if (!byte[i] && index + i < object_pages(v->object))
            byte[i] = object_page_cached(v->object, index + i) != 0;
}

/* Pages [start, start + count), all of v. */
static void of_vma(uint8_t *byte, struct mm *mm, const struct vma *v, vaddr_t start, uint64_t count)
{
    vaddr_t end = start + (count << PAGE_SHIFT);

    for (vaddr_t a = start; a < end;) {
        vaddr_t stop = min_u64(end, ROUND_DOWN(a, BLOCK_BYTES) + BLOCK_BYTES);
        uint64_t first = (a - start) >> PAGE_SHIFT, pages = (stop - a) >> PAGE_SHIFT;
        const uint64_t *huge = pt_entry(mm, a, 1);
        const uint64_t *entry = pt_entry(mm, a, 0);

        if (entry)
            of_table(byte + first, entry, pages);
        else
            __builtin_memset(byte + first, huge && entry_is_leaf(*huge), pages);
        if (entry && mm->marked)
            of_guards(byte + first, entry, pages);
        a = stop;
    }
    if (v->object && !(v->flags & VM_HUGETLB))
        of_object(byte, v, start, count);
}

long map_mincore(struct worker *w, struct mm *mm, vaddr_t address, uint64_t bytes, vaddr_t vector)
{
    uint8_t byte[INCORE_ONCE];
    uint64_t pages = PAGE_UP(bytes) >> PAGE_SHIFT;

    if (address & PAGE_MASK)
        return -LINUX_EINVAL;
    if (address > mm_user_end || bytes > mm_user_end - address)
        return -LINUX_ENOMEM;
    if (vector > mm_user_end || pages > mm_user_end - vector)
        return -LINUX_EFAULT;
    while (pages) {
        uint64_t count = min_u64(pages, INCORE_ONCE);

        mm_lock(mm);
        const struct vma *v = vma_at(mm, address);
        if (v) {
            count = min_u64(count, (v->end - address) >> PAGE_SHIFT);
            of_vma(byte, mm, v, address, count);
        }
        mm_unlock(mm);
        if (!v)
            return -LINUX_ENOMEM;
        if (mm_copy_out(w, mm, vector, byte, count))
            return -LINUX_EFAULT;
        pages -= count;
        vector += count;
        address += count << PAGE_SHIFT;
    }
    return 0;
}

/* Nothing is ever written behind a mapping's back, so there is nothing to write out: only the
 * errors are left. */
long map_msync(struct mm *mm, vaddr_t address, uint64_t bytes, uint64_t flags)
{
    vaddr_t end = address + PAGE_UP(bytes);
    long result = 0;

    if ((flags & ~(uint64_t)(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) || (address & PAGE_MASK) ||
        (flags & (MS_ASYNC | MS_SYNC)) == (MS_ASYNC | MS_SYNC))
        return -LINUX_EINVAL;
    if (end < address)
        return -LINUX_ENOMEM;
    mm_lock(mm);
    for (vaddr_t a = address; a < end;) {
        const struct vma *v = vma_find(mm, a);

        if (!v || v->start > a)
            result = -LINUX_ENOMEM;
        if (!v || v->start >= end)
            break;
        if ((flags & MS_INVALIDATE) && (v->flags & VM_LOCKED)) {
            result = -LINUX_EBUSY;
            break;
        }
        a = v->end;
    }
    mm_unlock(mm);
    return result;
}
