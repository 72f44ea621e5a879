/*
 * Broken memory. A page of which nothing can be expected any more is taken out of use for ever:
 * its state is PAGE_POISONED, and no list has it. Who mapped it gets SIGBUS when he touches it.
 *
 *   anonymous      every entry that mapped it becomes a marker that names it (pt.h)
 *   of an object   it keeps its place in the cache, so that nobody gets a fresh one instead: all
 *                  mappings go, and faults find it there. With the place (truncation, a hole, the
 *                  object's end) it is forgotten. Of the archive: another copy takes its place
 *
 * A machine check would come here with a page number; QEMU makes none, so there is MADV_HWPOISON,
 * and MADV_SOFT_OFFLINE, which moves the content away first.
 */
#ifndef MMSERVER_CORE_POISON_H
#define MMSERVER_CORE_POISON_H

#include "mmserver/core/mm.h"

/*
 * The pages behind [start, end) break; soft: they are to be taken out of use before they do. mm
 * unlocked. 0, -LINUX_EFAULT: no page can be had there, -LINUX_EBUSY: of a kind that the server
 * cannot do without, or that does not move, -LINUX_ENOMEM.
 */
long poison_range(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end, bool soft);

#endif
