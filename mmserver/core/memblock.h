/*
 * Memory before there is an allocator: what is there, and what of it is taken.
 *
 * Two sorted lists of regions that do not overlap; neighbours that are alike are one region.
 *
 *   memory     all memory of the machine, the kernel's and the firmware's too
 *   reserved   what nobody may be given: kernel, server, initrd, device tree, reservations, and
 *              what memblock_alloc() took
 *
 * Free is memory without reserved and without what is marked MEMBLOCK_NOMAP. Regions are in bytes;
 * whoever asks for free memory gets whole pages, trimmed inwards, so a page of which one byte is
 * reserved is not free. Reserved regions with MEMBLOCK_REUSABLE are lent: they may hold what can be
 * moved away again.
 *
 * Used by the first thread alone, until the page allocator has taken over; after that it is only
 * read. The tables have a fixed size: an operation that does not fit changes nothing and says so.
 */
#ifndef MMSERVER_CORE_MEMBLOCK_H
#define MMSERVER_CORE_MEMBLOCK_H

#include "mmserver/core/text.h"
#include "lib/fdt.h"
#include <pagoda/boot.h>

#define MEMBLOCK_REGIONS_MAX 256
#define MEMBLOCK_TREE_MAX    64 /* a list this long takes no more from the device tree */
#define MEMBLOCK_ANY_NODE    (~0U)

enum memblock_flag {
    MEMBLOCK_NOMAP = 1 << 0,      /* memory: never mapped, never given out */
    MEMBLOCK_REUSABLE = 1 << 1,   /* reserved: lent to movable pages */
    MEMBLOCK_CMA = 1 << 2,        /* and of it contiguous memory is allocated */
    MEMBLOCK_CMA_DEFAULT = 1 << 3 /* for whoever names no area */
};

enum memblock_error {
    MEMBLOCK_OK,
    MEMBLOCK_EMPTY, /* no bytes, or the end lies beyond 2^64 */
    MEMBLOCK_FULL   /* more than MEMBLOCK_REGIONS_MAX regions: nothing was changed */
};

struct memblock_region {
    paddr_t start, end;
    uint32_t flags;
    uint32_t node;
};

struct memblock_list {
    uint32_t count;
    struct memblock_region region[MEMBLOCK_REGIONS_MAX];
};

/* Pages that one Memory capability is about. */
struct memblock_grant {
    pfn_t first, end;
    uint32_t slot;
};

struct memblock {
    struct memblock_list memory, reserved;
    uint32_t grants;
    struct memblock_grant grant[BOOT_RANGES_MAX];
    bool top_down;     /* where memblock_alloc() begins to look */
    uint64_t left_out; /* bytes of memory in the device tree for which there was no room */
};

/* The server's own. */
extern struct memblock memblock;

const char *memblock_error_text(enum memblock_error error);
void memblock_init(struct memblock *m);

/*
 * All take bytes [start, start + bytes), anywhere and in any order. What is added or reserved twice
 * keeps the flags and the node of the first time. remove and free take out what is there of the
 * range.
 */
enum memblock_error memblock_add(struct memblock *m, paddr_t start, uint64_t bytes, uint32_t node,
                                 uint32_t flags);
enum memblock_error memblock_remove(struct memblock *m, paddr_t start, uint64_t bytes);
enum memblock_error memblock_reserve(struct memblock *m, paddr_t start, uint64_t bytes,
                                     uint32_t node, uint32_t flags);
enum memblock_error memblock_free(struct memblock *m, paddr_t start, uint64_t bytes);
/* Set flags on what is there of the range, in `list` (of this memblock). */
enum memblock_error memblock_mark(struct memblock_list *list, paddr_t start, uint64_t bytes,
                                  uint32_t flags);
/* Name the capability that a range of pages came with; false: too many. Free ranges are cut at the
 * borders of grants as soon as there is one. */
bool memblock_grant(struct memblock *m, pfn_t first, uint64_t pages, uint32_t slot);

/*
 * Reserve `bytes` at a multiple of `align` (a power of two, at least a page) inside [from, to) on
 * `node` or any: the lowest place, or with top_down the highest; never across two grants. Its
 * address, 0 if there is none.
 */
paddr_t memblock_alloc(struct memblock *m, uint64_t bytes, uint64_t align, paddr_t from, paddr_t to,
                       uint32_t node);

struct memblock_range {
    pfn_t first, end; /* pages */
    uint32_t node;
    uint32_t flags;
    uint32_t slot; /* of the capability; 0 without grants */
};

/*
 * Iterators: *at begins as 0; false at the end. In order of address; each range lies in one region
 * and one grant. The lists may change behind *at meanwhile.
 *
 *     struct memblock_range r;
 *     for (paddr_t at = 0; memblock_next_free(&memblock, &at, MEMBLOCK_ANY_NODE, &r);)
 *         ... r.first .. r.end
 */
bool memblock_next_free(const struct memblock *m, paddr_t *at, uint32_t node,
                        struct memblock_range *range);
/* Reserved memory that is lent to movable pages: flags say whether it is a CMA area. */
bool memblock_next_reusable(const struct memblock *m, paddr_t *at, uint32_t node,
                            struct memblock_range *range);
/* All memory, rounded inwards, whether reserved or not; slot is 0. */
bool memblock_next_memory(const struct memblock *m, paddr_t *at, uint32_t node,
                          struct memblock_range *range);
/* Reserved regions, rounded outwards; slot is 0. */
bool memblock_next_reserved(const struct memblock *m, paddr_t *at, struct memblock_range *range);

/* Pages. Each is counted by a walk of its own: free + reusable + reserved + nomap = present. */
struct memblock_account {
    uint64_t present, free, reusable, reserved, nomap;
};
struct memblock_account memblock_account(const struct memblock *m);
/* Does the account add up, and are both lists sorted, apart and merged? */
bool memblock_check(const struct memblock *m);

/* memblock_boot.c: memory nodes and static reservations of a device tree, while there is room.
 * NULL, or a sentence that says what failed. What the tree has wrong in detail the kernel has said.
 */
const char *memblock_from_device_tree(struct memblock *m, const struct fdt *tree);
/* Open the device tree that the boot information names. NULL or a sentence. */
const char *memblock_tree_open(const struct boot_info *info, struct fdt *tree);
/*
 * The whole at the server's start: the device tree if there is one, then what the kernel says of
 * its own memory, of reservations that it placed, and of what it gave. Afterwards free is exactly
 * what is memory, was given, and is not reserved. NULL or a sentence.
 */
const char *memblock_boot(struct memblock *m, const struct boot_info *info);

/* Both lists in the format of Linux's /sys/kernel/debug/memblock, and the account. */
void memblock_report(struct text *t, const struct memblock *m);

#endif
