/*
 * Pages of 2 MiB set apart: MAP_HUGETLB, and objects made of them (memfd, SysV segments).
 *
 * The pool holds pages that were taken from the allocator beforehand (vm.nr_hugepages), each one
 * allocation of HUGE_ORDER in state PAGE_HUGETLB: in use, `maps` counts its leaves and its place in
 * an object; free, it is in the pool's list. Who needs pages later is promised them: free >=
 * reserved always. There are two kinds of promises:
 *
 *   private mapping   as many pages as it has room for when it is made, unless it says
 *                     MAP_NORESERVE: so no fault of it ends without one. mm->huge_reserved counts
 *                     those not kept yet: always the places without a page of their own, as a page
 *                     that goes leaves a promise behind. After a fork parent and child share the
 *                     pages, and the child has no promises: whoever writes first takes a page that
 *                     was promised to nobody, or gets SIGBUS. If the parent drops a page that the
 *                     child has, and no other is free, it goes without (mm->huge_unpromised)
 *   shared mapping    the object is promised what is mapped of it, page by page, and keeps that
 *                     until it is cut or gone. object->promised counts those not kept yet
 *
 * Such a VMA is of whole aligned 2 MiB, has no leaf tables, and is never cut inside a page
 * (huge_split_edges refuses).
 *
 * An object of huge pages has a word for each of them: its page, a promise, or that somebody is
 * just making it. Pages in it have owner = object and index; others have no owner.
 *
 * LOCK_HUGE covers the pool. Faults run as readers where they fill an empty entry.
 */
#ifndef MMSERVER_CORE_HUGETLB_H
#define MMSERVER_CORE_HUGETLB_H

#include "mmserver/core/huge.h"
#include "mmserver/core/object.h"

#define HUGETLB_NAME "/anon_hugepage (deleted)" /* of mappings, as Linux shows it */

struct hugetlb_state {
    uint64_t total, free, reserved;
};

void hugetlb_init(void);
/* Make the pool so many pages large, as far as there is memory, and as far as pages are neither in
 * use nor promised. How many there are then. */
uint64_t hugetlb_resize(struct worker *w, uint64_t pages);
struct hugetlb_state hugetlb_state(void);

/* A mapping of so many pages is going to be made: promise them. False: there are not enough. */
bool hugetlb_reserve(struct mm *mm, uint64_t pages);
/* So many pages are promised no more; all of them are missing (hugetlb_put_restore()). */
void hugetlb_unreserve(struct mm *mm, uint64_t pages);
/* mm locked: pages, there or not, of those mappings in [start, end) that were promised theirs. And
 * in the whole space those of them that are missing: huge_reserved + huge_unpromised. */
uint64_t hugetlb_promised(struct mm *mm, vaddr_t start, vaddr_t end);
uint64_t hugetlb_missing(struct mm *mm);

/* mm locked and settled: [start, end) is or is going to be such a VMA's: no leaf tables there. */
void hugetlb_mapped(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end);
/* One leaf less maps the page. */
void hugetlb_put(struct worker *w, struct page *page);
/* mm locked: must the mapping at `address` be promised its page again when this leaf goes? */
bool hugetlb_must_restore(struct mm *mm, vaddr_t address, uint64_t entry);
/* hugetlb_put() and the promise in one, so that nobody else takes the page in between. */
void hugetlb_put_restore(struct mm *mm, struct page *page);

/* Is it in use, and an object's? */
static inline bool hugetlb_is_of_object(const struct page *page)
{
    return page->maps && page->owner;
}
/* How many leaves map it. */
static inline uint32_t hugetlb_maps(const struct page *page)
{
    return page->maps - hugetlb_is_of_object(page);
}

/* Fork, both mms locked: the child gets private v's leaves. 0 or -LINUX_ENOMEM. */
long hugetlb_fork(struct worker *w, struct mm *child, const struct mm *parent, const struct vma *v);

/* mremap, mm locked and settled: the leaves of [start, end) are going to be at `to`, where nothing
 * is: the tables for it, -LINUX_ENOMEM without memory. And then do it. */
long hugetlb_move_ready(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end, vaddr_t to);
void hugetlb_move(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end, vaddr_t to);

/* ---- objects (hugetlb_object.c); indices of pages count huge ones ---- */

/* The object is promised pages [first, end), all or none. 0 or -LINUX_ENOMEM. Unlocked. */
long hugetlb_object_promise(struct worker *w, struct object *o, uint64_t first, uint64_t end);
/* It is at least so long. Unlocked. */
void hugetlb_object_extend(struct object *o, uint64_t bytes);
/* The page there with one more hold, 0 if there is none; -LINUX_ENXIO at or behind the end. */
long hugetlb_page_find(struct object *o, uint64_t index);
/* The same, and it is made if there is none: -LINUX_ENOSPC if the pool has none left,
 * -LINUX_ENOMEM. `beyond`: also behind the end. */
long hugetlb_page_get(struct worker *w, struct object *o, uint64_t index, bool beyond);
/* Object locked: the small page of that index (of small ones) of a page that is there, held; or 0.
 * And its hold goes. */
pfn_t hugetlb_page_find_locked(struct object *o, uint64_t small_index);
void hugetlb_page_put(struct worker *w, pfn_t small);
/* Nothing maps them: the pages and promises from `first` on go. */
void hugetlb_pages_drop(struct worker *w, struct object *o, uint64_t first);
/* For object_allocate() and object_punch(), bytes [offset, end). Partial pages are zeroed. */
long hugetlb_allocate(struct worker *w, struct object *o, uint64_t offset, uint64_t end);
void hugetlb_punch(struct worker *w, struct object *o, uint64_t offset, uint64_t end);
/* Object locked, for the recount: pages and promises found; how many are wrong. */
uint64_t hugetlb_object_check(const struct object *o, uint64_t *pages, uint64_t *promised);

/* For hugetlb_object.c, the pool: promise so many pages; a page with one hold, *promised: it was.
 * 0: none left. */
bool hugetlb_promise(uint64_t pages);
void hugetlb_unpromise(uint64_t pages);
pfn_t hugetlb_take(bool promised);

/* For check_all(): pages in the list that are not what they should be, or miscounted. */
uint64_t hugetlb_check(struct worker *w, bool say);

#endif
