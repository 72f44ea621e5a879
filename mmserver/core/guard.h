/*
 * Guard pages (MADV_GUARD_INSTALL): pages of private anonymous memory that no access reaches, made
 * without cutting the VMA. A guard is a marker in the page table (pt.h) that names a zero page:
 * fork copies it, mremap moves it, munmap drops it, mprotect passes over it. Advice that empties a
 * range leaves it.
 *
 * All with the mm locked.
 */
#ifndef MMSERVER_CORE_GUARD_H
#define MMSERVER_CORE_GUARD_H

#include "mmserver/core/pt.h"

static inline bool entry_is_guard(uint64_t entry)
{
    return entry_is_marker(entry) && page_of(entry_page(entry))->state == PAGE_ZERO;
}

/* All pages of [start, end), a part of v, become guards; what was there is freed. 0; -LINUX_EINVAL:
 * not in such a VMA; -LINUX_ENOMEM with nothing changed. */
long guard_install(struct worker *w, struct mm *mm, struct vma *v, vaddr_t start, vaddr_t end);
/* Guards of [start, end), a part of v, become empty pages. 0 or -LINUX_EINVAL. */
long guard_remove(struct worker *w, struct mm *mm, const struct vma *v, vaddr_t start, vaddr_t end);
/* zap_range() that leaves the guards. */
void guard_zap_others(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end);

#endif
