/*
 * The map of physical memory that boot starts from: sorted regions that do not overlap, each of one
 * kind and NUMA node, in whole pages. Used by the boot hart alone.
 */
#ifndef KERNEL_REGIONS_H
#define KERNEL_REGIONS_H

#include "kernel/types.h"
#include "lib/fdt.h"
#include <pagoda/boot.h>

#define REGIONS_MAX 64

struct region {
    paddr_t start, end; /* page-aligned */
    uint32_t kind;      /* enum boot_range_kind */
    uint32_t node;
};

struct regions {
    unsigned count;
    struct region region[REGIONS_MAX];
};

/* Add memory, rounded inwards to pages; what overlaps an earlier region is left out. False: full.
 */
bool regions_add(struct regions *r, paddr_t start, paddr_t end, uint32_t kind, uint32_t node);
/* Everything inside [start, end), rounded outwards, that is of a kind in the mask `from` becomes
 * `kind`. *bytes (may be NULL) is how much changed. False: full, and nothing is promised. */
bool regions_mark(struct regions *r, paddr_t start, paddr_t end, uint32_t from, uint32_t kind,
                  uint64_t *bytes);
/* Forget all from `limit` up; returns the bytes forgotten. */
uint64_t regions_cut(struct regions *r, paddr_t limit);
/* The lowest stretch of `bytes` free bytes from `from` up; 0 if there is none. */
paddr_t regions_find(const struct regions *r, paddr_t from, uint64_t bytes);
uint64_t regions_bytes(const struct regions *r, uint32_t kind);

/* Memory and reservations of a device tree: /memory nodes become BOOT_FREE, /reserved-memory and
 * the memory reservation block BOOT_RESERVED. NULL, or a sentence that says why not. */
const char *regions_read(struct regions *r, const struct fdt *f);

#endif
