/*
 * Words that programs change at the same time (see word.h). The exchange goes through the linear
 * map, on the page itself: with the mm locked and settled nobody takes the page away but walkers of
 * reverse maps, who lock its leaf table.
 */
#include "mmserver/core/word.h"
#include "mmserver/core/fault.h"
#include "mmserver/core/linux_abi.h"
#include "mmserver/core/object.h"
#include "mmserver/core/pt.h"

long word_key(struct worker *w, struct mm *mm, vaddr_t address, struct word_key *key)
{
    (void)w;
    mm_lock(mm);
    const struct vma *v = address < mm_user_end ? vma_at(mm, address) : NULL;
    bool shared = v && (v->flags & VM_SHARED) && v->object;

    key->object = shared ? v->object->serial : 0;
    key->offset =
        shared ? (vma_offset_at(v, address) << PAGE_SHIFT) + (address & PAGE_MASK) : address;
    mm_unlock(mm);
    return v ? 0 : -LINUX_EFAULT;
}

static uint32_t exchange(pfn_t page, vaddr_t address, uint32_t old, uint32_t new)
{
    uint32_t *word = (uint32_t *)((char *)page_pointer(page) + (address & PAGE_MASK));

    __atomic_compare_exchange_n(word, &old, new, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return old;
}

/* The page of `address` is there and writable, or nothing was done (-LINUX_EFAULT). */
static long swap_locked(struct mm *mm, vaddr_t address, uint32_t old, uint32_t new)
{
    const uint64_t *huge = pt_entry(mm, address, 1), *entry;

    if (huge && entry_is_leaf(*huge)) {
        uint64_t index = (address & (BLOCK_BYTES - 1)) >> PAGE_SHIFT;
        return *huge & ENTRY_W ? (long)exchange(entry_page(*huge) + index, address, old, new)
                               : -LINUX_EFAULT;
    }
    entry = pt_entry(mm, address, 0);
    if (!entry)
        return -LINUX_EFAULT;
    leaf_lock(entry);
    bool good = entry_is_leaf(*entry) && (*entry & ENTRY_W);
    long value = good ? (long)exchange(entry_page(*entry), address, old, new) : -LINUX_EFAULT;
    leaf_unlock(entry);
    return value;
}

long word_swap(struct worker *w, struct mm *mm, vaddr_t address, uint32_t old, uint32_t new)
{
    long value = -LINUX_EFAULT;

    if (address >= mm_user_end)
        return value;
    mm_lock(mm);
    mm_settle_locked(w, mm);
    if (!fault_is_bad(fault_page_locked(w, mm, address, true)))
        value = swap_locked(mm, address, old, new);
    mm_unlock(mm);
    return value;
}
