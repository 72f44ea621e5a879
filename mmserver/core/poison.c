/* See poison.h. */
#include "mmserver/core/poison.h"
#include "mmserver/core/fault.h"
#include "mmserver/core/huge.h"
#include "mmserver/core/isolate.h"
#include "mmserver/core/linux_abi.h"
#include "mmserver/core/object.h"
#include "mmserver/core/rmap_walk.h"

#define TRIES 1000 /* that a page may be found busy */

/* The page that is at `address` for the moment, a small one: 0, or -LINUX_x. */
static long page_at(struct worker *w, struct mm *mm, vaddr_t address, pfn_t *pfn)
{
    vaddr_t block = ROUND_DOWN(address, BLOCK_BYTES);
    enum fault_outcome outcome = fault_page(w, mm, address, false);

    if (fault_is_bad(outcome))
        return outcome == FAULT_OOM ? -LINUX_ENOMEM : -LINUX_EFAULT;
    mm_lock(mm);
    mm_settle_locked(w, mm);
    long error = huge_split_all(w, mm, block, block + BLOCK_BYTES);
    uint64_t entry = pt_leaf(mm, address);
    bool mapped = entry_is_leaf(entry) && page_is_ours(entry_page(entry));
    mm_unlock(mm);
    *pfn = entry_page(entry);
    return error ? error : mapped ? 0 : -LINUX_EBUSY;
}

static void page_retire(struct page *page)
{
    mm_assert(page->state == PAGE_USED || page->state == PAGE_POISONED);
    if (page->state == PAGE_USED)
        page->owner = NULL;
    page->state = PAGE_POISONED;
    __atomic_fetch_add(&phys.poisoned_pages, 1, __ATOMIC_RELAXED);
}

static long anon_poison(struct worker *w, struct page *page)
{
    bool dirty;

    return rmap_unmap(w, page, entry_make(page_number(page), ENTRY_MARKER), &dirty);
}

/* The object is held by the mapping at `address`, if that is still there. */
static struct object *object_at(struct mm *mm, vaddr_t address, uint64_t *index)
{
    mm_lock(mm);
    const struct vma *v = vma_at(mm, address);
    struct object *o = v ? v->object : NULL;
    if (o) {
        object_ref(o, 1);
        *index = vma_offset_at(v, address);
    }
    mm_unlock(mm);
    return o;
}

static long file_poison(struct worker *w, struct mm *mm, vaddr_t address, pfn_t pfn)
{
    uint64_t index = 0;
    struct object *o = object_at(mm, address, &index);
    long error = o ? object_page_poison(w, o, index, pfn) : -LINUX_EAGAIN;

    if (o)
        object_put(w, o);
    return error;
}

static long hard(struct worker *w, struct mm *mm, vaddr_t address, pfn_t pfn)
{
    switch (page_of(pfn)->state) {
    case PAGE_ANON:
        return anon_poison(w, page_of(pfn));
    case PAGE_FILE:
        return file_poison(w, mm, address, pfn);
    default:
        return -LINUX_EBUSY;
    }
}

static long soft_offline(struct worker *w, pfn_t pfn)
{
    if (!page_can_move(page_of(pfn)))
        return -LINUX_EBUSY;
    pfn_t to = page_alloc_user(w);
    if (!to)
        return -LINUX_ENOMEM;
    /* It may have been freed meanwhile, and be what was just allocated. */
    long error = to == pfn ? -LINUX_EAGAIN : page_move(w, pfn, to);
    if (error)
        page_free(w, to);
    return error;
}

/* Who is busy with the page lets it go soon; or it is another one by then. */
static long poison_one(struct worker *w, struct mm *mm, vaddr_t address, bool soft)
{
    long error = -LINUX_EAGAIN;
    pfn_t pfn;

    for (unsigned i = 0; i < TRIES && error == -LINUX_EAGAIN; i++) {
        error = page_at(w, mm, address, &pfn);
        if (!error)
            error = soft ? soft_offline(w, pfn) : hard(w, mm, address, pfn);
    }
    if (!error)
        page_retire(page_of(pfn));
    return error == -LINUX_EAGAIN ? -LINUX_EBUSY : error;
}

long poison_range(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end, bool soft)
{
    long error = 0;

    for (vaddr_t a = start; a < end && !error; a += PAGE_BYTES)
        error = poison_one(w, mm, a, soft);
    return error;
}
