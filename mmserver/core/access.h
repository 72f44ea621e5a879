/*
 * What a program's memory holds, seen from outside: /proc/PID/mem, and words that are exchanged on
 * behalf of a client (word.h). Bytes are moved through the linear map, on the page itself.
 *
 * With the mm locked and settled nobody takes a page away but walkers of reverse maps, who lock its
 * leaf table: so that is locked as long as a page is open.
 */
#ifndef MMSERVER_CORE_ACCESS_H
#define MMSERVER_CORE_ACCESS_H

#include "mmserver/core/fault.h"

#define ACCESS_CALL_BYTES (16 * PAGE_BYTES) /* moved by one call at most */

/* A page that is being looked at. */
struct access_page {
    pfn_t pfn;
    const uint64_t *leaf; /* whose table is locked; NULL: it is part of a huge page */
};

/* mm locked and settled: the page behind `address`, if it is there and its entry has all of these
 * bits; it must be closed before the mm is unlocked. Takes LOCK_LEAF. */
bool access_open(const struct mm *mm, vaddr_t address, uint64_t bits, struct access_page *page);
void access_close(const struct access_page *page);

/*
 * Unlocked: move bytes between mm, from `address` on, and memory of `other` at `at`, whatever
 * rights the VMAs of mm give, as Linux does for a debugger: what may be made readable is read; what
 * is private and may be made writable is written to, where it is not the program's own after it was
 * copied, and its entries get no rights by that. Memory that only ops->access knows is moved by
 * that. How many bytes, at most ACCESS_CALL_BYTES; -LINUX_EIO where mm has nothing of the kind,
 * -LINUX_EFAULT for `other`.
 */
long access_force(struct worker *w, struct mm *mm, vaddr_t address, struct mm *other, vaddr_t at,
                  uint64_t bytes, bool write);

#endif
