/*
 * From a page to all entries that map it, and what is done to all of them at once.
 *
 * A walk holds the page: the lock of its family of anon_vmas, or of its object, and the writer's
 * lock of every mm that maps it. Those come before that lock in the order, so a walk never waits
 * for one: where an mm is busy it gives up, and its caller tries again later or takes another page.
 * It knows that it has found everything when it has found as many entries as page->maps says,
 * because only who holds an mm that maps the page can give it one more entry. While the page is
 * held, a fault on it waits for the mm, as for any writer; so no entry needs a mark that says "in
 * migration". A page of an object that a call holds counts one more than it has entries: it is
 * busy.
 *
 * All functions: no lock from LOCK_OBJECT on is held, nothing is gathered in the worker's page.
 */
#ifndef MMSERVER_CORE_RMAP_WALK_H
#define MMSERVER_CORE_RMAP_WALK_H

#include "mmserver/core/mm.h"

/* Entries that map the page, or keep it parked; found by looking. -LINUX_EAGAIN: it is no page of a
 * program in use, or changes just now. */
long rmap_mapcount(struct worker *w, struct page *page);

/*
 * Take the page out of every table; *dirty: was it written to. It becomes the caller's, PAGE_USED.
 * `software`, if not 0, is an entry (a swap slot) that takes its place everywhere. 0;
 * -LINUX_EAGAIN with nothing changed.
 */
long rmap_unmap(struct worker *w, struct page *page, uint64_t software, bool *dirty);
/* Take the right to write away everywhere. 0 or -LINUX_EAGAIN. */
long rmap_protect(struct worker *w, struct page *page);
/* How many entries had been used for an access since this was last asked; they forget it. Holds
 * nothing but the family: an answer may be out of date. */
long rmap_referenced(struct worker *w, struct page *page);

/*
 * The page's content and all its mappings move to `to`, which is the caller's (PAGE_USED); then
 * `from` is. 0; -LINUX_EAGAIN: it was busy; -LINUX_ENOMEM: the kernel refused a new entry; nothing
 * has changed then.
 */
long migrate_page(struct worker *w, pfn_t from, pfn_t to);
/* Could it? Huge pages go another way (huge_move.h). A guess that costs nothing: the page's state
 * may change at any moment. */
static inline bool migrate_possible(const struct page *page)
{
    return (page->state == PAGE_ANON || page->state == PAGE_FILE) && !page->order;
}

/*
 * The mm that maps a huge page of private anonymous memory, seized and settled, so that the page
 * stays, and where (*block); mm_let_go() when done. NULL: it is busy, or the page is none any more.
 */
struct mm *rmap_huge_seize(struct worker *w, struct page *page, vaddr_t *block);

/* For the recount (mm locked, so that the page cannot be torn down): does looking it up lead to
 * this entry of this mm? */
bool rmap_leads_to(struct page *page, const struct mm *mm, vaddr_t address);

#endif
