/*
 * Regions of the server's own space: memory that is contiguous to the server and need not be so in
 * the machine (vmalloc), given pages side by side (vmap), and device memory (ioremap).
 *
 * A region ends in a page that is never mapped. What is released is not unmapped at once: it waits,
 * pages and addresses with it, until enough has gathered or somebody needs either (vm_purge); then
 * all of it goes in as few batches, and so fences, as hold it.
 *
 * Lock: own_lock. Regions are found by address in O(log n); so is room, by the largest gap of each
 * subtree, lowest first.
 */
#ifndef MMSERVER_CORE_VMAP_H
#define MMSERVER_CORE_VMAP_H

#include "mmserver/core/own.h"
#include "mmserver/core/text.h"

/* Pages of released regions that may wait, at most. */
#define VM_LAZY_PAGES_MAX 4096UL

/* How device memory is to be reached. */
enum io_type {
    IO_DEVICE,  /* not cached, in order */
    IO_COMBINE, /* not cached, writes may be merged: frame buffers */
    IO_CACHED,  /* as ordinary memory: what firmware left in RAM */
};

/* Windows too (kmap.h). False without memory. After the object caches; the worker has its operation
 * page. */
bool vmap_init(struct worker *w);
/* `bytes` of memory, contents unknown; 2 MiB leaves where a whole aligned 2 MiB of it is one chunk.
 * NULL without memory or room. Takes own_lock and what the page allocator takes. */
void *vm_alloc(struct worker *w, uint64_t bytes);
/* The pages side by side; they stay the caller's. Writable or read-only. NULL as above. */
void *vm_map(struct worker *w, const pfn_t *pages, uint64_t count, bool writable);
/* Physical bytes [start, start + bytes), any alignment, of a device range that the kernel gave to
 * the server, with all of its registers' widths. NULL also if that is no device's. */
volatile void *io_map(struct worker *w, uint64_t start, uint64_t bytes, enum io_type type);
/* Release what one of the three gave. */
void vm_free(struct worker *w, void *region);
void io_unmap(struct worker *w, volatile void *region);
/* The page behind an address of a region; 0 if it lies in none, or in its guard. */
pfn_t vm_page(const void *address);
/* Unmap what was released and give it back; how many pages came free. */
uint64_t vm_purge(struct worker *w);

/* The text of vmallocinfo. */
void vmap_report(struct text *t);
/* Recount; how many things are wrong, each of which is logged. */
uint64_t vmap_check(void);

#endif
