/* Pages of objects that move, or break: one word of the page cache changes. See object.h. */
#include "mmserver/core/linux_abi.h"
#include "mmserver/core/object.h"

/* The word of the page that is cached at that index and usable; NULL: it is another one, or none.
 */
static uint64_t *page_word_locked(const struct object *o, uint64_t index, pfn_t pfn)
{
    struct radix_node *node = radix_bottom(&o->pages, index);
    uint64_t *word = node ? &node->slot[index & (RADIX_SLOTS - 1)] : NULL;

    return word && object_word_is_usable(*word) && (*word & OBJECT_WORD_PAGE) == pfn ? word : NULL;
}

bool object_has_locked(const struct object *o, const struct page *page)
{
    return page->state == PAGE_FILE && page->owner == o &&
           page_word_locked(o, page->index, page_number(page));
}

void object_replace_locked(struct object *o, const struct page *page, const struct page *to)
{
    uint64_t *word = page_word_locked(o, page->index, page_number(page));

    *word = (*word & ~OBJECT_WORD_PAGE) | page_number(to);
}

/* Is it that page? Then its word says that nobody gets it any more. */
static bool word_poison(struct object *o, uint64_t index, pfn_t pfn)
{
    lock_take(&o->lock);
    uint64_t *word = page_word_locked(o, index, pfn);
    if (word)
        *word |= OBJECT_WORD_POISONED | OBJECT_WORD_DIRTY;
    lock_drop(&o->lock);
    return word != NULL;
}

/* As a file is made shorter: what finds the page after the first step does not get it, so after the
 * second nobody maps it. Holds may be left. */
long object_page_poison(struct worker *w, struct object *o, uint64_t index, pfn_t pfn)
{
    if (!word_poison(o, index, pfn))
        return -LINUX_EAGAIN;
    object_unmap(w, o, index, index, false);
    page_of(pfn)->state = PAGE_POISONED;
    if (o->kind == OBJECT_ARCHIVE)
        object_pages_drop(w, o, index, index); /* the archive itself is elsewhere */
    return 0;
}
