/*
 * The part of the server's own address space that the server arranges itself, beside its image, its
 * stacks and the linear map: [place_own_start, place_own_end). Who hands out addresses in it is
 * vmap.c; this file maps and unmaps.
 *
 * It is changed by the same batches as any space, on the server's own Space capability. The
 * kernel's page tables of it cannot be read by the server, so what stands there is remembered here:
 * which 2 MiB have a leaf table.
 *
 * Lock: own_lock (LOCK_OWN) around everything here. Whoever unmaps also owns the address range, so
 * a page that is mapped twice or not at all is a bug of the caller.
 */
#ifndef MMSERVER_CORE_OWN_H
#define MMSERVER_CORE_OWN_H

#include "mmserver/core/lock.h"
#include "mmserver/core/worker.h"

#define OWN_READ  ENTRY_ALWAYS
#define OWN_WRITE (ENTRY_ALWAYS | ENTRY_W | ENTRY_D)

extern struct lock own_lock;

void own_init(void);
/* own_lock held. Page tables for small pages of [start, end). 0 or -LINUX_ENOMEM. */
long own_tables_locked(struct worker *w, vaddr_t start, vaddr_t end);
/* own_lock held. `pages` pages from `first` on, all under Memory capability `slot`, at `at`, whose
 * tables are there. Whole aligned 2 MiB with `huge`, which need no table. 0 or -ERR_x, then nothing
 * of it is mapped. */
long own_map_locked(struct worker *w, vaddr_t at, pfn_t first, uint64_t pages, uint64_t bits,
                    uint32_t slot, bool huge);
/* own_lock held. Gather the removal of `pages` small pages, or of as many as whole 2 MiB leaves.
 * They are gone, on all harts, after the next own_flush_locked(). */
void own_unmap_locked(struct worker *w, vaddr_t at, uint64_t pages, bool huge);
void own_flush_locked(struct worker *w);
/* No lock: one page at an address of the caller's own whose table is there for good. */
long own_map(struct worker *w, vaddr_t at, pfn_t pfn, uint64_t bits, uint32_t slot);
void own_unmap(struct worker *w, vaddr_t at);
/* Page tables in use, for reports and the recount. */
uint64_t own_tables(void);

/* How the server itself reaches an address of that part. */
static inline void *own_pointer(vaddr_t address)
{
    return (void *)(uintptr_t)(address + place_own_bias);
}
static inline vaddr_t own_address(const void *pointer)
{
    return (vaddr_t)(uintptr_t)pointer - place_own_bias;
}

#endif
