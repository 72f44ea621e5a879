/* Making pages present without waiting for faults. */
#ifndef MMSERVER_CORE_POPULATE_H
#define MMSERVER_CORE_POPULATE_H

#include "mmserver/core/mm.h"

enum populate_access {
    POPULATE_READ,
    POPULATE_WRITE,
    POPULATE_BY_VMA /* as mmap and mlock do: write to what is private and writable, else read */
};

/*
 * Unlocked: as if each page of [start, end), page aligned and in user space, was touched. 0;
 * -LINUX_ENOMEM at a hole or without memory, -LINUX_EINVAL where the VMA forbids the access,
 * -LINUX_EFAULT where a touch would be a bus error. What comes before stays.
 */
long populate_range(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end,
                    enum populate_access access);

#endif
