/*
 * What a device tree says about memory, one statement after the other: memory nodes, the memory
 * reservation block, and the children of /reserved-memory (Devicetree Specification 0.4, 3.4 and
 * 3.5; the properties reusable, linux,cma-default and shared-dma-pool as Linux's bindings have
 * them). The tree has passed fdt_open(); anything may be wrong with what it says.
 *
 * The order: FDT_SAYS_MEMORY, FDT_SAYS_RESERVED; FDT_SAYS_PLACE, which are requests for memory
 * anywhere, come in a walk of their own, when all else is known. What cannot be used comes as
 * FDT_SAYS_WRONG with a sentence, in its place; a reservation that cannot be read as
 * FDT_SAYS_FATAL, because memory that must not be touched is then unknown.
 */
#ifndef LIB_FDT_MEMORY_H
#define LIB_FDT_MEMORY_H

#include "lib/fdt.h"

#define FDT_MEMORY_NODES_MAX   16          /* numa-node-id below this */
#define FDT_MEMORY_ADDRESS_MAX (1UL << 56) /* the most that RISC-V can address */
#define FDT_MEMORY_REUSE_ALIGN (2UL << 20) /* of reusable areas: a migrate type is of a block */
#define FDT_MEMORY_PLACES_MAX  4           /* alloc-ranges of one request */
#define FDT_MEMORY_ALIGN_MIN   4096UL

enum fdt_says {
    FDT_SAYS_MEMORY,
    FDT_SAYS_RESERVED,
    FDT_SAYS_PLACE,
    FDT_SAYS_WRONG,
    FDT_SAYS_FATAL
};

enum fdt_memory_flag {
    FDT_MEMORY_NOMAP = 1 << 0,
    FDT_MEMORY_REUSABLE = 1 << 1,
    FDT_MEMORY_CMA = 1 << 2,
    FDT_MEMORY_CMA_DEFAULT = 1 << 3
};

struct fdt_memory_item {
    enum fdt_says says;
    uint32_t flags; /* enum fdt_memory_flag */
    uint32_t node;  /* NUMA node of memory */
    uint64_t start; /* MEMORY, RESERVED: bytes, not rounded, never wrapping */
    uint64_t bytes;
    uint64_t align; /* PLACE: a power of two */
    uint32_t places;
    struct fdt_memory_place {
        uint64_t start, end;
    } place[FDT_MEMORY_PLACES_MAX]; /* PLACE: where it may be, first choice first */
    const char *name;               /* of the node; "memreserve" for the reservation block */
    const char *why;                /* WRONG and FATAL; a remark on others, or NULL */
};

/* Begins as {.tree = f}; with .placing also set the requests come, and only they. */
struct fdt_memory_walk {
    const struct fdt *tree;
    bool placing;
    uint32_t stage, index;
    int32_t node;
};

/* The next statement; false at the end. */
bool fdt_memory_next(struct fdt_memory_walk *w, struct fdt_memory_item *item);

#endif
