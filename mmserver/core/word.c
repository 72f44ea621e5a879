/* Words that programs change at the same time (see word.h). */
#include "mmserver/core/word.h"
#include "mmserver/core/access.h"
#include "mmserver/core/linux_abi.h"
#include "mmserver/core/object.h"

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

long word_swap(struct worker *w, struct mm *mm, vaddr_t address, uint32_t old, uint32_t new)
{
    long value = -LINUX_EFAULT;
    struct access_page page;

    if (address >= mm_user_end)
        return value;
    mm_lock(mm);
    mm_settle_locked(w, mm);
    if (!fault_is_bad(fault_page_locked(w, mm, address, true)) &&
        access_open(mm, address, ENTRY_W, &page)) {
        value = (long)exchange(page.pfn, address, old, new);
        access_close(&page);
    }
    mm_unlock(mm);
    return value;
}
