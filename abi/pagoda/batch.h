/*
 * The operation page: a list of mapping operations that one call performs in order.
 *
 * The server writes operations from the start of the page, calls CALL_BATCH(space, count) or
 * CALL_REPLY_BATCH, and reads how many were performed and why it stopped. Old entries that an
 * operation was asked to keep are written to the result words at the end of the page, in order. All
 * fences that the batch needs are collected and done once, before the call returns: after it, no
 * hart uses a translation that the batch took away.
 *
 * The result words are input too: BATCH_MAP_LIST takes its entries from there. Kept entries are
 * written from word 0 on, so a list of the same batch must stand behind them.
 */
#ifndef PAGODA_BATCH_H
#define PAGODA_BATCH_H

#include <stdint.h>
#include <pagoda/entry.h>

enum batch_code {
    BATCH_NOP,
    BATCH_MAP,          /* empty or software entries <- entry, entry + 1 page, ...: count leaves */
    BATCH_REPLACE,      /* one leaf: expected old entry in `extra` (A and D ignored) -> entry */
    BATCH_UNMAP,        /* count leaf slots <- 0; what is not there is passed over */
    BATCH_PROTECT,      /* count leaf slots: W, X and D of `entry` replace those there; `entry`
                           may not add a right that `memory` does not give */
    BATCH_CLEAR_BITS,   /* count leaf slots: clear the A, D, SOFT bits given in `entry` */
    BATCH_SOFTWARE,     /* one slot, empty or software <- software entry */
    BATCH_TABLE,        /* install page `entry` (a free page of a tables block, by `memory`)
                           as the table below `level` (1: a leaf table) */
    BATCH_TABLE_REMOVE, /* take the empty table below `level` out */
    BATCH_COPY_TABLE,   /* count empty slots <- what stands at `address` in the space of
                           capability `extra`, write-protected on both sides; software entries
                           too. A whole table: count 512 */
    BATCH_MAP_LIST,     /* empty or software entries <- result words from index `extra` on, one
                           entry each: count small leaves, all covered by `memory` */
    BATCH_MOVE,         /* count empty slots at address `extra` of this space <- the slots at
                           `address`, which become empty. Entries stay as they are, software
                           entries too. The two runs may not overlap. All or nothing */
    BATCH_SPLIT,        /* the 2 MiB leaf at `address` <- page `entry` (a free page of a tables
                           block, by `memory`) as a leaf table of 512 small leaves like it */
    BATCH_TABLE_DROP,   /* take the leaf table below level 1 out with all that stands in it. What
                           stood there can still be read in its page until that is used again */
    BATCH_CODES
};

/* flags */
#define BATCH_KEEP        0x01 /* write the old entries of valid leaves to the result words */
#define BATCH_DIRTY_STAYS 0x02 /* BATCH_PROTECT: leave D as it is */
#define BATCH_REACH       0x04 /* BATCH_PROTECT: U too. A leaf without it stays, out of reach */

struct batch_op {
    uint8_t code;  /* enum batch_code */
    uint8_t level; /* 0: 4 KiB leaves, 1: 2 MiB leaves; for tables: level of the entry */
    uint8_t flags; /* BATCH_KEEP, BATCH_DIRTY_STAYS, BATCH_REACH */
    uint8_t reserved;
    uint32_t count;  /* leaves, 1..512, never crossing the end of their table */
    uint32_t memory; /* index of the Memory capability that covers the pages */
    uint32_t done;   /* written by the kernel: slots that changed; by PROTECT and CLEAR_BITS: leaves
                        seen to, or up to 7 more. Not by an answer that went straight */
    uint64_t address;
    uint64_t entry;
    uint64_t extra;
    uint64_t finished; /* of the first one: 1 written by the kernel when all that an answer consists
                          of was done and fenced. Not by a fault's answer that went straight */
    uint64_t spare[2];
};

_Static_assert(sizeof(struct batch_op) == 64, "an operation is one cache line");

#define BATCH_OPS_MAX     32 /* the first half of the page */
#define BATCH_RESULTS_MAX 256

struct batch_page {
    struct batch_op op[BATCH_OPS_MAX];
    uint64_t result[BATCH_RESULTS_MAX];
};

_Static_assert(sizeof(struct batch_page) == PAGE_BYTES, "operations and results fill a page");

#endif
