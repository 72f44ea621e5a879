/*
 * The map of physical memory that boot starts from: sorted regions that do not overlap, each of one
 * kind and NUMA node, in whole pages. Used by the boot hart alone.
 *
 * The table has a fixed size. When a change does not fit, the smallest free region is forgotten:
 * that memory is then not used, and `forgotten` says how much it is.
 */
#ifndef KERNEL_REGIONS_H
#define KERNEL_REGIONS_H

#include "kernel/types.h"
#include "lib/fdt_memory.h"
#include <pagoda/boot.h>

#define REGIONS_MAX 128

struct region {
    paddr_t start, end; /* page-aligned */
    uint32_t kind;      /* enum boot_range_kind */
    uint16_t node;
    uint16_t flags; /* BOOT_RANGE_* */
};

struct regions {
    unsigned count;
    uint64_t forgotten; /* bytes */
    struct region region[REGIONS_MAX];
};

/* Add memory, rounded inwards to pages; what overlaps an earlier region is left out. */
void regions_add(struct regions *r, paddr_t start, paddr_t end, uint32_t kind, uint32_t node);
/* Everything inside [start, end), rounded outwards, that is of a kind in the mask `from` becomes
 * `kind` with `flags`; how many bytes that were. */
uint64_t regions_mark(struct regions *r, paddr_t start, paddr_t end, uint32_t from, uint32_t kind,
                      uint32_t flags);
/* Bytes inside [start, end), rounded outwards, that are of a kind in the mask and have one of
 * `flags` (0: any). */
uint64_t regions_inside(const struct regions *r, paddr_t start, paddr_t end, uint32_t kinds,
                        uint32_t flags);
/* Forget all from `limit` up; returns the bytes forgotten. */
uint64_t regions_cut(struct regions *r, paddr_t limit);
/* The lowest stretch of `bytes` free bytes from `from` up at a multiple of `align`, ending at `to`
 * or below, in memory that is not lent; 0 if there is none. */
paddr_t regions_find(const struct regions *r, paddr_t from, paddr_t to, uint64_t bytes,
                     uint64_t align);
/* At most `count` regions that are not the kernel's or reserved: forget small free ones. */
void regions_limit(struct regions *r, unsigned count);
uint64_t regions_bytes(const struct regions *r, uint32_t kind);

/*
 * Memory and reservations of a device tree: /memory nodes become BOOT_FREE, /reserved-memory and
 * the memory reservation block BOOT_RESERVED, reusable ones BOOT_FREE with flags. regions_place()
 * finds room for those that only ask for some, when all else is claimed. Each answers one statement
 * of the tree at a time: false at its end; *problem is NULL or says what is wrong with it, and
 * `item` is about what.
 */
bool regions_read(struct regions *r, struct fdt_memory_walk *walk, struct fdt_memory_item *item,
                  const char **problem);
bool regions_place(struct regions *r, struct fdt_memory_walk *walk, struct fdt_memory_item *item,
                   const char **problem);

#endif
