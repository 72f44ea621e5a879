/*
 * A worker: what the server keeps per hart. The worker is pinned to its hart and is never preempted
 * by another worker, so nothing here needs a lock; only `visit` is looked at by other workers
 * (mm.h), and the counters and the ring are read, unsynchronised, by
 * reports.
 *
 * Every function of the core that allocates, counts or calls the kernel is told the worker it runs
 * on.
 */
#ifndef MMSERVER_CORE_WORKER_H
#define MMSERVER_CORE_WORKER_H

#include "mmserver/core/count.h"
#include "mmserver/core/types.h"
#include <pagoda/batch.h>
#include <pagoda/boot.h>

#define HOT_PAGES_MAX    192 /* a hart's list of free pages */
#define HOT_BATCH        160 /* moved between it and the buddy allocator at a time */
#define ZEROED_PAGES_MAX 256
#define STOCK_PAGES_MAX  64 /* of the lists of other types */
#define TABLE_PAGES_KEPT 32
#define ZAP_GATHER_MAX   1024 /* entries gathered by one batch of removals (zap.h) */
#define FAULT_RING_MAX   64   /* a power of two */

struct mm;
struct client;

/*
 * A worker's visit to an address space as a reader (mm.h). From mm_read() to mm_read_end() it
 * reads, and writers wait for it. Or it ends with a fault_reply: from then until the kernel has
 * written the entry no lock is held, and who wants to change what is mapped there waits for the
 * reply to arrive (mm_settle_locked, mm_settle_entry): until the entry stands in the table. Then
 * it is forgotten: `at` becomes VISIT_OVER, by comparing, as the worker may be on its next visit. A
 * reply that the kernel refused is marked `failed`; whoever locks that space first takes its page
 * back.
 */
struct visit {
    struct mm *mm;  /* written by its worker only; it may be gone if `at` is VISIT_OVER */
    uint64_t at;    /* VISIT_READS, VISIT_OVER, or where a reply is under way to: the address, */
                    /* or its complement (VISIT_CHANGES) */
    uint64_t entry; /* its page: own zero page, or a page fresh from the allocator */
    uint64_t displaced; /* the entry that it replaces, if it replaces one */
    uint64_t failed;    /* VISIT_REFUSED, VISIT_UNDONE, or 0 */
};

/* In `entry`: the page was mapped before, only its rights change; nothing to take back. */
#define VISIT_KEEPS ENTRY_G
/* The page takes the place of another one, of `displaced`, not counted as mapped any more. So
 * it is not taken back: who finds that the reply has failed finishes what it began. */
#define VISIT_DISPLACES ENTRY_SOFT1
#define VISIT_MARKS     (VISIT_KEEPS | VISIT_DISPLACES)

#define VISIT_READS 0UL
#define VISIT_OVER  1UL /* from here on addresses, of which none is so low */
/*
 * `at` of a reply that replaces the zero page and has not locked the leaf table. So who has found,
 * with the leaf table locked, that the worker's last reply has arrived there, and forgets that one,
 * does not forget this one for it. There are never two such replies to one address with no writer
 * between them, who forgets the first.
 */
#define VISIT_CHANGES(address) (~(address))

static inline uint64_t visit_address(uint64_t at)
{
    return (int64_t)at < 0 ? ~at : at;
}

#define VISIT_REFUSED 1UL /* the kernel has refused the reply: its page is to be taken back, */
#define VISIT_UNDONE  2UL /* which another worker has done */

/*
 * The fast slot: what the worker remembers of its last faults: a part of one 2 MiB block that lies
 * in one VMA and has its leaf table. A fault on an empty entry that hits it needs no look at the
 * VMAs. The VMA is private anonymous, or (`window`) one of an object whose reads map what is cached
 * around. True as long as the mm has that generation, which no other mm ever has.
 */
struct fast_slot {
    uint64_t write_generation; /* for writes; 0: nothing is remembered */
    vaddr_t start;
    uint64_t bytes;
    uintptr_t leaf_bias;      /* entry address = leaf_bias + (address >> 12) * 8 */
    uint64_t bits;            /* of the entry to make for a write */
    struct anon_vma *anon;    /* owner of the pages, */
    uint64_t index_bias;      /* and their index: this + (address >> 12) */
    uint64_t read_generation; /* for reads; 0: nothing is remembered */
    struct vma *window;       /* the object's VMA; NULL: reads find the zero page */
};

struct fault_record {
    uint64_t begun; /* instructions executed when the server was entered */
    vaddr_t address;
    vaddr_t pc;
    uint32_t instructions; /* executed in the server */
    uint32_t what;         /* client id in bits 0..15, cause 16..23, enum fault_outcome above */
};

_Static_assert(sizeof(struct fault_record) == 32, "a record is half a cache line");

#define FAULT_WHAT(cause, outcome) ((uint64_t)(cause) << 16 | (uint64_t)(outcome) << 24)

static inline uint32_t fault_client(const struct fault_record *r)
{
    return r->what & 0xffff;
}
static inline uint32_t fault_cause(const struct fault_record *r)
{
    return r->what >> 16 & 0xff;
}
static inline uint32_t fault_outcome(const struct fault_record *r)
{
    return r->what >> 24;
}

/* A hart's list of free pages of one migrate type. */
struct page_stock {
    uint64_t count;
    pfn_t page[STOCK_PAGES_MAX];
};

struct worker {
    /* The client whose event is being handled: who wants to free it waits until no worker has it
     * here (client.c). Cleared before the answer. First, for the entry code. */
    struct client *serving;
    uint64_t answered;  /* the kind of the answer that is being sent, for the entry code, */
    uint32_t batch_ops; /* and the operations of the last one that was a batch */
    uint64_t zeroed_count;
    uint64_t ring_next; /* faults so far; those with a page zeroed before have no other counter */
    struct visit visit;
    uint64_t client_tag;     /* the badge of the event that is or was handled */
    uint64_t linear_base;    /* constants of the machine, near at hand: place_linear_base, */
    uintptr_t pages_bias;    /* phys.pages_bias, */
    uint64_t top_shift;      /* of the root table's index, */
    uint64_t clear_blocks;   /* and whether memory can be cleared by cache blocks */
    uintptr_t slab_bias;     /* descriptor that the page at address 0 would have, for slab.c; */
    uint64_t magazine_at;    /* offset of this hart's magazine in each object cache */
    struct client **clients; /* client_slots */
    struct batch_page *ops;  /* its operation page */
    struct mm *ops_mm;
    uint32_t ops_count;  /* operations in it that were not sent yet */
    uint32_t left_count; /* pages in `gather` that the operations not yet sent take out (zap.h) */
    uint32_t hart;
    pfn_t zero_page;
    uint64_t hot_count;
    uint64_t hot_high; /* marks, by the size of memory and the number of harts; */
    uint64_t hot_home; /* page->home of what belongs into `hot` */
    struct fast_slot fast;
    uint64_t count[MMCOUNT_COUNT];
    struct fault_record ring[FAULT_RING_MAX];
    pfn_t hot[HOT_PAGES_MAX];
    pfn_t zeroed[ZEROED_PAGES_MAX];

    uint64_t tables_count;
    pfn_t tables[TABLE_PAGES_KEPT];
    struct page_stock stock[2]; /* unmovable, reclaimable */
    uint64_t hot_batch, zeroed_high, stock_high;
    uint64_t node;         /* that the hart is near to */
    uint64_t for_clients;  /* bool: the personality's call makes memory of a client */
    uint64_t drain_wanted; /* bool: another hart is short of memory; it has sent a signal */
    uint32_t signal_slot;  /* notification bound to the worker; 0 with one hart only */

    pfn_t ops_page;
    uint32_t thread_slot;
    uint64_t sweep_id;                   /* the mm that mm_sweep() looked at last */
    uint32_t lock_ranks;                 /* held, for LOCK_CHECK */
    uint32_t kmap_depth;                 /* temporary windows open */
    uint64_t gather[ZAP_GATHER_MAX + 1]; /* the last one is written, never kept */
} __attribute__((aligned(64)));

/* Indexed by hart; workers[0 .. worker_count - 1] are in use after start-up. */
extern struct worker workers[BOOT_HARTS_MAX];
extern uint32_t worker_count;

#define mm_count(w, name)        ((w)->count[MMCOUNT_##name]++)
#define mm_count_add(w, name, n) ((w)->count[MMCOUNT_##name] += (n))

#endif
