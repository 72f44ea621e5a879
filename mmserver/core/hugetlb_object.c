/*
 * Objects of huge pages: their words, promises, contents. See hugetlb.h and object.h.
 *
 *   word   0 ──promise──▶ PROMISED ─┐
 *          └────────────────────────┴─ first use ──▶ FILLING ──▶ page
 *
 * A page is cleared without the lock; who finds FILLING meanwhile waits, which is bounded, as the
 * worker that clears waits for nothing. Whoever cuts the object takes words of any kind away: then
 * the page that was made goes back, and its maker looks again.
 */
#include "mmserver/core/hugetlb.h"
#include "mmserver/core/linux_abi.h"

#define WORD_PROMISED (1UL << 62)
#define WORD_FILLING  (1UL << 61)
#define WORD_NEW      (1UL << 60) /* PROMISED by the call that is just at it */

static bool word_is_page(uint64_t word)
{
    return word && !(word & (WORD_PROMISED | WORD_FILLING));
}

/* The word's place, NULL if there is no node for it. */
static uint64_t *word_at(struct object *o, uint64_t index)
{
    struct radix_node *node = radix_bottom(&o->pages, index);

    return node ? &node->slot[index & (RADIX_SLOTS - 1)] : NULL;
}

/* ---- promises ---- */

/* Object locked: the word goes, and a promise with it. The page that was there, or NULL. */
static struct page *take_word_locked(struct worker *w, struct object *o, uint64_t index)
{
    uint64_t word = radix_take(w, &o->pages, index);

    if (word & WORD_PROMISED) {
        o->promised--;
        hugetlb_unpromise(1);
    }
    if (!word_is_page(word))
        return NULL;
    o->cached--;
    page_of(word)->owner = NULL;
    return page_of(word);
}

/* Object locked: promise one page, if it needs to be. *missing: nodes that are not at hand; then
 * nothing was done. */
static long promise_locked(struct object *o, uint64_t index, struct radix_spare *spare,
                           unsigned *missing)
{
    *missing = 0;
    if (radix_get(&o->pages, index))
        return 0;
    *missing = radix_missing(&o->pages, index);
    if (*missing > spare->count)
        return 0;
    *missing = 0;
    if (!hugetlb_promise(1))
        return -LINUX_ENOMEM;
    radix_store(&o->pages, index, WORD_PROMISED | WORD_NEW, spare);
    o->promised++;
    return 0;
}

/* The promises that this call made stay, or go. */
static void promises_end(struct worker *w, struct object *o, uint64_t end, bool keep)
{
    uint64_t index = 0, word;

    lock_take(&o->lock);
    while ((word = radix_next(&o->pages, &index)) && index < end) {
        if ((word & WORD_NEW) && keep)
            *word_at(o, index) &= ~WORD_NEW;
        else if (word & WORD_NEW)
            take_word_locked(w, o, index);
        index++;
    }
    lock_drop(&o->lock);
}

long hugetlb_object_promise(struct worker *w, struct object *o, uint64_t first, uint64_t end)
{
    struct radix_spare spare = {NULL, 0};
    long error = 0;
    unsigned missing;

    object_change_begin(o);
    for (uint64_t i = first; i < end && !error; i += !missing) {
        lock_take(&o->lock);
        error = promise_locked(o, i, &spare, &missing);
        lock_drop(&o->lock);
        if (missing && !radix_spare_fill(w, &spare, missing))
            error = -LINUX_ENOMEM;
    }
    promises_end(w, o, end, !error);
    object_change_end(o);
    radix_spare_free(w, &spare);
    return error;
}

void hugetlb_object_extend(struct object *o, uint64_t bytes)
{
    object_change_begin(o);
    lock_take(&o->lock);
    o->bytes = max_u64(o->bytes, bytes);
    lock_drop(&o->lock);
    object_change_end(o);
}

/* ---- pages ---- */

/* Object locked: the page with one more hold, 0: there is none, -LINUX_EAGAIN: it is being made. */
static long look_locked(struct object *o, uint64_t index, bool beyond)
{
    uint64_t word = radix_get(&o->pages, index);

    if (!beyond && index >= ROUND_UP(o->bytes, BLOCK_BYTES) >> BLOCK_SHIFT)
        return -LINUX_ENXIO;
    if (word & WORD_FILLING)
        return -LINUX_EAGAIN;
    if (!word_is_page(word))
        return 0;
    __atomic_fetch_add(&page_of(word)->maps, 1, __ATOMIC_RELAXED);
    return (long)word;
}

long hugetlb_page_find(struct object *o, uint64_t index)
{
    for (;;) {
        lock_take(&o->lock);
        long found = look_locked(o, index, false);
        lock_drop(&o->lock);
        if (found != -LINUX_EAGAIN)
            return found;
        place_relax();
    }
}

/* Object locked, and nothing there: a page of the pool that is going to be; 0: none is left. */
static pfn_t claim_locked(struct object *o, uint64_t index, struct radix_spare *spare)
{
    uint64_t *word = word_at(o, index);
    bool promised = word && (*word & WORD_PROMISED);
    pfn_t pfn = hugetlb_take(promised);

    if (!pfn)
        return 0;
    if (promised) {
        o->promised--;
        *word = WORD_FILLING;
    } else {
        radix_store(&o->pages, index, WORD_FILLING, spare);
    }
    return pfn;
}

/* It is cleared, and takes its place with one more hold; false: that was taken away meanwhile. */
static bool settle(struct object *o, uint64_t index, pfn_t pfn)
{
    struct page *page = page_of(pfn);

    lock_take(&o->lock);
    uint64_t *word = word_at(o, index);
    bool ours = word && (*word & WORD_FILLING);
    if (ours) {
        page->owner = o;
        page->index = index;
        page->maps++; /* nobody else knows it yet */
        o->cached++;
        *word = pfn;
    }
    lock_drop(&o->lock);
    return ours;
}

/* One try: the page, an error, or -LINUX_EAGAIN. */
static long page_try(struct worker *w, struct object *o, uint64_t index, bool beyond,
                     struct radix_spare *spare)
{
    pfn_t fresh = 0;

    lock_take(&o->lock);
    long found = look_locked(o, index, beyond);
    unsigned missing = found ? 0 : radix_missing(&o->pages, index);
    if (!found && missing <= spare->count)
        fresh = claim_locked(o, index, spare);
    lock_drop(&o->lock);
    if (found)
        return found;
    if (missing > spare->count && !fresh)
        return radix_spare_fill(w, spare, missing) ? -LINUX_EAGAIN : -LINUX_ENOMEM;
    if (!fresh)
        return -LINUX_ENOSPC;
    huge_clear(fresh);
    if (settle(o, index, fresh))
        return (long)fresh;
    hugetlb_put(w, page_of(fresh));
    return -LINUX_EAGAIN;
}

long hugetlb_page_get(struct worker *w, struct object *o, uint64_t index, bool beyond)
{
    struct radix_spare spare = {NULL, 0};
    long found;

    while ((found = page_try(w, o, index, beyond, &spare)) == -LINUX_EAGAIN)
        place_relax();
    radix_spare_free(w, &spare);
    return found;
}

pfn_t hugetlb_page_find_locked(struct object *o, uint64_t small_index)
{
    long pfn = look_locked(o, small_index / HUGE_PAGES, false);

    return pfn > 0 ? (pfn_t)pfn + small_index % HUGE_PAGES : 0;
}

void hugetlb_page_put(struct worker *w, pfn_t small)
{
    hugetlb_put(w, page_of(ROUND_DOWN(small, HUGE_PAGES)));
}

static void pages_drop(struct worker *w, struct object *o, uint64_t first, uint64_t end)
{
    uint64_t index = first;

    for (;;) {
        lock_take(&o->lock);
        bool some = radix_next(&o->pages, &index) && index < end;
        struct page *page = some ? take_word_locked(w, o, index) : NULL;
        lock_drop(&o->lock);
        if (page)
            hugetlb_put(w, page);
        if (!some)
            return;
    }
}

void hugetlb_pages_drop(struct worker *w, struct object *o, uint64_t first)
{
    pages_drop(w, o, first, ~0UL);
}

/* ---- contents ---- */

long hugetlb_allocate(struct worker *w, struct object *o, uint64_t offset, uint64_t end)
{
    for (uint64_t i = offset >> BLOCK_SHIFT; i << BLOCK_SHIFT < end; i++) {
        long pfn = hugetlb_page_get(w, o, i, true);

        if (pfn < 0)
            return pfn;
        hugetlb_put(w, page_of((pfn_t)pfn));
    }
    return 0;
}

/* Zero [offset, end), in one page, if that is there. */
static void zero_part(struct worker *w, struct object *o, uint64_t offset, uint64_t end)
{
    long pfn = offset < end ? hugetlb_page_find(o, offset >> BLOCK_SHIFT) : 0;

    if (pfn <= 0)
        return;
    __builtin_memset((char *)page_pointer((pfn_t)pfn) + (offset & (BLOCK_BYTES - 1)), 0,
                     end - offset);
    hugetlb_put(w, page_of((pfn_t)pfn));
}

void hugetlb_punch(struct worker *w, struct object *o, uint64_t offset, uint64_t end)
{
    uint64_t first = ROUND_UP(offset, BLOCK_BYTES), last = ROUND_DOWN(end, BLOCK_BYTES);

    if (first > last) { /* within one page */
        zero_part(w, o, offset, end);
        return;
    }
    zero_part(w, o, offset, first);
    zero_part(w, o, last, end);
    if (first == last)
        return;
    object_unmap(w, o, first >> PAGE_SHIFT, (last >> PAGE_SHIFT) - 1, true);
    pages_drop(w, o, first >> BLOCK_SHIFT, last >> BLOCK_SHIFT);
}

uint64_t hugetlb_object_check(const struct object *o, uint64_t *pages, uint64_t *promised)
{
    uint64_t index = 0, word, wrong = 0;

    *pages = *promised = 0;
    for (; (word = radix_next(&o->pages, &index)); index++) {
        *promised += (word & WORD_PROMISED) != 0;
        if (!word_is_page(word))
            continue;
        const struct page *page = page_of(word);
        wrong += page->state != PAGE_HUGETLB || page->owner != o || page->index != index;
        ++*pages;
    }
    return wrong;
}
