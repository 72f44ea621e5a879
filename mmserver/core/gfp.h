/*
 * What an allocation asks for: where its pages may lie, what they will be used for, and how hard to
 * try. The meanings are Linux's (gfp_t); the numbers are our own.
 */
#ifndef MMSERVER_CORE_GFP_H
#define MMSERVER_CORE_GFP_H

#include <stdint.h>

typedef uint32_t gfp_t;

enum gfp_flag {
    /* Where. */
    GFP_DMA32 = 0x0001,    /* below 4 GiB */
    GFP_THISNODE = 0x0002, /* this hart's node or none */
    /* What for: neither of the two is "unmovable", the server's own. */
    GFP_MOVABLE = 0x0004,     /* can be moved by the reverse map: also from zone MOVABLE and CMA */
    GFP_RECLAIMABLE = 0x0008, /* can be given up, not moved */
    /* How hard. */
    GFP_DIRECT_RECLAIM = 0x0010, /* the caller may reclaim and compact: no lock that these take */
    GFP_BACKGROUND_RECLAIM = 0x0020, /* ask for background work when a zone gets low */
    GFP_HIGH = 0x0040,               /* may dip into half of what is below the min watermark */
    GFP_MEMALLOC = 0x0080,           /* may take the last page: frees more than it takes */
    GFP_NORETRY = 0x0100,            /* one round of reclaim, no more */
    GFP_NOWARN = 0x0200,             /* no report when it fails */
    /* How. */
    GFP_ZERO = 0x0400,    /* contents zero */
    GFP_ACCOUNT = 0x0800, /* on behalf of a client's account: counted apart */
    GFP_TABLES = 0x1000,  /* from tables blocks: page tables and kernel objects, read-only to us */
};

#define GFP_NOWAIT ((gfp_t)GFP_BACKGROUND_RECLAIM)
#define GFP_ATOMIC ((gfp_t)(GFP_HIGH | GFP_BACKGROUND_RECLAIM))
#define GFP_KERNEL ((gfp_t)(GFP_DIRECT_RECLAIM | GFP_BACKGROUND_RECLAIM))
/* A page that a client maps. */
#define GFP_USER ((gfp_t)(GFP_KERNEL | GFP_MOVABLE))
/* A page table or a kernel object: those make progress possible, so they may dip. */
#define GFP_TABLE ((gfp_t)(GFP_KERNEL | GFP_HIGH | GFP_TABLES))

#endif
