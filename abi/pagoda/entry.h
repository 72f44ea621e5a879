/*
 * Page table entries. Entries travel between server and kernel in the machine's own format
 * (RISC-V privileged architecture, Sv39/Sv48/Sv57), so that the kernel checks bits and never
 * translates them.
 */
#ifndef PAGODA_ENTRY_H
#define PAGODA_ENTRY_H

#include <stdint.h>

#define PAGE_SHIFT      12
#define PAGE_BYTES      4096UL
#define TABLE_ENTRIES   512UL
#define TABLE_SHIFT     9
#define BLOCK_SHIFT     21
#define BLOCK_BYTES     (1UL << BLOCK_SHIFT)
#define PAGES_PER_BLOCK 512UL

#define ENTRY_V          (1UL << 0)
#define ENTRY_R          (1UL << 1)
#define ENTRY_W          (1UL << 2)
#define ENTRY_X          (1UL << 3)
#define ENTRY_U          (1UL << 4)
#define ENTRY_G          (1UL << 5)
#define ENTRY_A          (1UL << 6)
#define ENTRY_D          (1UL << 7)
#define ENTRY_SOFT0      (1UL << 8) /* two bits that belong to the server */
#define ENTRY_SOFT1      (1UL << 9)
#define ENTRY_PAGE_SHIFT 10
#define ENTRY_PAGE_MASK  (((1UL << 44) - 1) << ENTRY_PAGE_SHIFT)
#define ENTRY_PBMT_SHIFT 61
#define ENTRY_PBMT_NC    (1UL << 61) /* Svpbmt: not cached, idempotent */
#define ENTRY_PBMT_IO    (2UL << 61) /* Svpbmt: not cached, not idempotent */
#define ENTRY_N          (1UL << 63) /* Svnapot: one of a 64 KiB run */

/*
 * 64 KiB runs: BATCH_MAP only, 16 slots at a time, aligned in both kinds of address; every
 * operation takes whole runs or is refused (ERR_ALIGN). Hardware sets accessed and dirty in any one
 * of the 16.
 *
 * PBMT: one kind at a time, for memory whose capability carries RIGHT_IO. Ordinary memory is never
 * mapped uncached: the kernel and the memory server see it cached at the same time.
 */

/* What every mapping of a page has, whatever the server asks for. */
#define ENTRY_ALWAYS (ENTRY_V | ENTRY_R | ENTRY_U | ENTRY_A)
/* What a server may choose for a leaf entry beyond that. */
#define ENTRY_CHOICE \
    (ENTRY_ALWAYS | ENTRY_W | ENTRY_X | ENTRY_D | ENTRY_SOFT0 | ENTRY_SOFT1 | ENTRY_PAGE_MASK)

/*
 * A software entry (swap slot, marker) has V, R, W and X clear and at least one other bit set; the
 * kernel stores and returns it without looking further.
 */
#define ENTRY_SOFTWARE_FORBIDDEN (ENTRY_V | ENTRY_R | ENTRY_W | ENTRY_X)

static inline uint64_t entry_make(uint64_t page_number, uint64_t bits)
{
    return page_number << ENTRY_PAGE_SHIFT | bits;
}

static inline uint64_t entry_page(uint64_t entry)
{
    return (entry & ENTRY_PAGE_MASK) >> ENTRY_PAGE_SHIFT;
}

static inline int entry_pbmt_reserved(uint64_t entry)
{
    return !(~entry & (ENTRY_PBMT_NC | ENTRY_PBMT_IO));
}

static inline int entry_is_leaf(uint64_t entry)
{
    return (entry & ENTRY_V) && (entry & (ENTRY_R | ENTRY_W | ENTRY_X));
}

static inline int entry_is_table(uint64_t entry)
{
    return (entry & (ENTRY_V | ENTRY_R | ENTRY_W | ENTRY_X)) == ENTRY_V;
}

#endif
