/*
 * Windows: single pages of the server's own space at known addresses, whose page tables are there
 * from the start, so that opening one allocates nothing and cannot fail for lack of memory.
 *
 * Temporary windows belong to a hart, are opened and closed like a stack, and show a page that the
 * linear map does not: of a device, or of a tables block that is to be looked at another way. Fixed
 * windows have a purpose each and stay open.
 *
 *   place_own_start   fixed windows | hart 0: KMAP_DEPTH windows | hart 1 ...   regions (vmap.h)
 *
 * No lock: a hart's windows are its own, a fixed window has one user.
 */
#ifndef MMSERVER_CORE_KMAP_H
#define MMSERVER_CORE_KMAP_H

#include "mmserver/core/worker.h"

#define KMAP_DEPTH 4

enum fixed_window {
    FIXED_CLOCK, /* registers of the clock of day */
    FIXED_WINDOWS
};

#define KMAP_WINDOWS (FIXED_WINDOWS + (uint64_t)BOOT_HARTS_MAX * KMAP_DEPTH)
#define KMAP_BYTES   (KMAP_WINDOWS << PAGE_SHIFT)

/* Tables for all windows. False without memory. */
bool kmap_init(struct worker *w);
/* Open this hart's next window on a page under Memory capability `slot`; `bits`: OWN_READ or
 * OWN_WRITE, with a memory type if the page is a device's. NULL if the kernel refuses. */
void *kmap(struct worker *w, pfn_t pfn, uint32_t slot, uint64_t bits);
/* Close the one opened last, which `at` must be. */
void kunmap(struct worker *w, const void *at);
/* Open a fixed window, or close it. */
void *fixed_open(struct worker *w, enum fixed_window window, pfn_t pfn, uint32_t slot,
                 uint64_t bits);
void fixed_close(struct worker *w, enum fixed_window window);

#endif
