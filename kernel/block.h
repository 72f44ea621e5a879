/*
 * What memory is used for, per 2 MiB block: one signed counter each, for all physical addresses
 * from 0 to the end of memory (device pages below memory included).
 *
 *   count >= 0            data: the number of live leaf entries that point into it
 *   BLOCK_TABLE_BASE + n  tables: n pages of it are in use (n counts the directory page)
 *   BLOCK_PINNED          the kernel's own, or nothing there: never mapped by user code
 *
 * Data counters change atomically, without a lock (map and unmap on several harts); the class
 * changes under the kernel lock by compare-and-swap from an exact value. A passing increment on a
 * tables block is undone by who made it and never makes it positive.
 *
 * Page 0 of a tables block is its directory, 512 words under the kernel lock: what each page is.
 */
#ifndef KERNEL_BLOCK_H
#define KERNEL_BLOCK_H

#include "kernel/hart.h"
#include "arch/slot.h"

#define BLOCK_TABLE_BASE (-0x40000000)
#define BLOCK_PINNED     (-0x7f000000)

extern int32_t *block_count; /* index: page number >> 9 */
extern uint64_t block_total; /* entries of block_count */
/* The first page of memory: what lies below it are devices, which the kernel never touches for
 * others, as not every load that a program asks for is one that a device answers. */
extern pfn_t memory_first_page;

enum page_use {
    PAGE_FREE,
    PAGE_DIRECTORY,
    PAGE_TABLE,  /* page table; level and owner in the word */
    PAGE_ROOT,   /* root page table of a space */
    PAGE_OBJECT, /* kernel object; cap_type in the word */
    PAGE_CAPS    /* entries of a capability table */
};

/* Directory word: use in bits 0..7, level or cap_type in 8..15, owner's page number from 16 up. */
static inline uint64_t page_word(enum page_use use, unsigned detail, uint64_t owner_pfn)
{
    return (uint64_t)use | (uint64_t)detail << 8 | owner_pfn << 16;
}
static inline enum page_use page_word_use(uint64_t w)
{
    return (enum page_use)(w & 0xff);
}
static inline unsigned page_word_detail(uint64_t w)
{
    return (w >> 8) & 0xff;
}

/* The word of a free page that is known to be all zero, as all are when the block becomes tables
 * and as page tables leave them: nothing but the kernel can write it. */
#define PAGE_FREE_ZERO page_word(PAGE_FREE, 1, 0)

/* The directory word of a page in a tables block; NULL if the block is not of that class. */
uint64_t *page_directory(pfn_t page);

/* One more live mapping of `page`: false if the block is not data or the counter is full. */
static inline bool block_get(pfn_t page)
{
    int32_t *c = &this_hart()->blocks[page >> TABLE_SHIFT];
    /* Relaxed: who changes the class does it on the same word, and the entry is written only
     * after this has answered. */
    if (likely(arch_count_up(c) >= 0))
        return true; /* a full counter turns negative only after 2^31 mappings: see block_get_n */
    __atomic_fetch_sub(c, 1, __ATOMIC_RELAXED);
    return false;
}
bool block_get_n(pfn_t page, uint32_t n);
/* n mappings of pages in that block are gone. */
static inline void block_put_n(pfn_t page, uint32_t n)
{
    __atomic_fetch_sub(&this_hart()->blocks[page >> TABLE_SHIFT], (int32_t)n, __ATOMIC_RELEASE);
}

/* The counter of the block that a leaf entry points into; `blocks` is this_hart()->blocks. */
static inline int32_t *block_of_entry(int32_t *blocks, uint64_t entry)
{
    const unsigned shift = ENTRY_PAGE_SHIFT + TABLE_SHIFT - 2; /* bytes: 4 per counter */

    return (int32_t *)((char *)blocks + (entry >> shift & (ENTRY_PAGE_MASK >> shift & ~3UL)));
}

/* Kernel lock held, all three. */
long block_set_class(pfn_t first_page, unsigned class);
/* Take a free page of a tables block into use (zeroed); -ERR_CLASS, -ERR_BUSY. */
long page_take(pfn_t page, uint64_t word);
/* Give it back. The second: a page table of which no entry is left, not to be cleared again. */
void page_release(pfn_t page);
void page_release_zero(pfn_t page);

#endif
