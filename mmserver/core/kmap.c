/* Windows; see kmap.h. */
#include "mmserver/core/kmap.h"
#include "mmserver/core/own.h"

static vaddr_t window_address(uint64_t window)
{
    return place_own_start + (window << PAGE_SHIFT);
}

static uint64_t hart_window(const struct worker *w, uint64_t depth)
{
    mm_assert(depth < KMAP_DEPTH);
    return FIXED_WINDOWS + (uint64_t)w->hart * KMAP_DEPTH + depth;
}

bool kmap_init(struct worker *w)
{
    lock_take(&own_lock);
    long error = own_tables_locked(w, place_own_start, place_own_start + KMAP_BYTES);
    lock_drop(&own_lock);
    return !error;
}

static void *window_open(struct worker *w, uint64_t window, pfn_t pfn, uint32_t slot, uint64_t bits)
{
    vaddr_t at = window_address(window);

    return own_map(w, at, pfn, bits, slot) ? NULL : own_pointer(at);
}

void *kmap(struct worker *w, pfn_t pfn, uint32_t slot, uint64_t bits)
{
    void *at = window_open(w, hart_window(w, w->kmap_depth), pfn, slot, bits);

    w->kmap_depth += at != NULL;
    return at;
}

void kunmap(struct worker *w, const void *at)
{
    mm_assert(w->kmap_depth);
    vaddr_t window = window_address(hart_window(w, --w->kmap_depth));

    mm_assert(own_address(at) == window);
    own_unmap(w, window);
}

void *fixed_open(struct worker *w, enum fixed_window window, pfn_t pfn, uint32_t slot,
                 uint64_t bits)
{
    return window_open(w, window, pfn, slot, bits);
}

void fixed_close(struct worker *w, enum fixed_window window)
{
    own_unmap(w, window_address(window));
}
