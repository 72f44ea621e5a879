/*
 * Pages of 2 MiB set apart: MAP_HUGETLB.
 *
 * The pool holds pages that were taken from the allocator beforehand (vm.nr_hugepages), each one
 * allocation of HUGE_ORDER in state PAGE_HUGETLB: in use, `maps` counts its leaves; free, it is in
 * the pool's list. A private mapping is promised as many as it has room for when it is made, unless
 * it says MAP_NORESERVE; so no fault of it ends without one. mm->huge_reserved counts promises not
 * kept yet; free >= reserved always. After a fork parent and child share the pages, and the child
 * has no promises: whoever writes first takes a page that was promised to nobody, or gets SIGBUS.
 *
 * Such a VMA is of whole aligned 2 MiB, has no leaf tables, and is never cut inside a page
 * (huge_split_edges refuses). Private mappings only, which are never PROT_NONE and never move.
 *
 * LOCK_HUGE covers the pool. Faults run as readers where they fill an empty entry.
 */
#ifndef MMSERVER_CORE_HUGETLB_H
#define MMSERVER_CORE_HUGETLB_H

#include "mmserver/core/huge.h"

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
/* Take back at most so many promises. */
void hugetlb_unreserve(struct mm *mm, uint64_t pages);
/* Pages not faulted in yet of those mappings in [start, end) that were promised theirs. */
uint64_t hugetlb_missing(struct mm *mm, vaddr_t start, vaddr_t end);

/* For fault_resolve(): a fault of such a VMA. As a reader or the writer. */
enum fault_outcome hugetlb_fault(struct fault *f);
/* One leaf less maps the page. */
void hugetlb_put(struct worker *w, struct page *page);

/* Fork, both mms locked: the child gets v's leaves. 0 or -LINUX_ENOMEM. */
long hugetlb_fork(struct worker *w, struct mm *child, const struct mm *parent, const struct vma *v);

/* For check_all(): pages in the list that are not what they should be, or miscounted. */
uint64_t hugetlb_check(bool say);

#endif
