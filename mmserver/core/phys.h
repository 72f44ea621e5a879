/*
 * Physical memory: page descriptors and the page allocator.
 *
 * Memory comes as a few ranges of pages, each under one Memory capability. Every page of the span
 * from the first to the last has a descriptor of 32 bytes (holes too: state PAGE_NONE).
 *
 * A page is in exactly one place at a time; `state` says which. Who owns a page may write its
 * descriptor; pages in the buddy lists belong to the allocator's lock.
 *
 *   buddy (2 classes x 11 orders) <-> hart's list <-> in use
 *                                 -> hart's zeroed list -> in use
 *
 * A 2 MiB pageblock is of one class, data or tables, as the kernel knows it (pagoda/call.h,
 * block_class). Page 0 of a tables block is the kernel's directory and never ours. Pages of tables
 * blocks are read-only to us: only their descriptors are written.
 */
#ifndef MMSERVER_CORE_PHYS_H
#define MMSERVER_CORE_PHYS_H

#include "mmserver/core/gfp.h"
#include "mmserver/core/lock.h"
#include "mmserver/core/worker.h"
#include <pagoda/boot.h>
#include <sys/queue.h>

#define ORDER_MAX     10
#define ORDERS        (ORDER_MAX + 1)
#define BLOCK_ORDER   TABLE_SHIFT
#define RESERVE_PAGES 64

enum page_state {
    PAGE_NONE,      /* not ours, or a hole */
    PAGE_RESERVED,  /* the descriptors themselves, directories of tables blocks */
    PAGE_FREE,      /* first page of a free chunk of 2^order in the buddy lists */
    PAGE_FREE_TAIL, /* the others of a free chunk */
    PAGE_HOT,       /* in a hart's list (data or tables) */
    PAGE_ZEROED,    /* in a hart's zeroed list */
    PAGE_USED,      /* allocated, not yet said for what */
    PAGE_ANON,      /* a client's page: owner = mm, index = virtual page number */
    PAGE_ZERO,      /* a hart's zero page; its mappings are not counted */
    PAGE_FILE,      /* page of a file: owner = file, index = page in it, maps counts */
    PAGE_FILE_MAP,  /* pages that hold a file's index */
    PAGE_SLAB,      /* objects of the server */
    PAGE_SERVER,    /* other memory of the server: operation pages and the like */
    PAGE_TABLE,     /* a page table: owner = mm */
    PAGE_OBJECT,    /* a kernel object */
    PAGE_NATIVE,    /* given to a native program */
    PAGE_STATES
};

enum page_class { CLASS_DATA, CLASS_TABLES, CLASSES };

struct page {
    union {
        LIST_ENTRY(page) link; /* free, or gathered to be freed */
        struct {
            void *owner;
            uint64_t index;
        };
    };
    uint32_t maps;    /* leaf entries that map it */
    uint8_t state;    /* enum page_state */
    uint8_t order;    /* of a free chunk or a multi-page allocation, in its first page */
    uint8_t slot;     /* Memory capability */
    uint8_t class;    /* enum page_class */
    uint64_t private; /* for whoever owns the page */
};

_Static_assert(sizeof(struct page) == 32, "a descriptor is half a cache line");

LIST_HEAD(page_list, page);

struct phys_range {
    pfn_t first, end;
    uint32_t slot;
};

struct phys {
    uintptr_t pages_bias; /* address of the descriptor that page 0 would have */
    pfn_t first, end;     /* the span that has descriptors */
    struct lock lock;
    struct phys_range range[BOOT_RANGES_MAX];
    uint32_t ranges;
    uint32_t clear_blocks;        /* bool: the machine clears memory by cache blocks */
    uint64_t total_pages;         /* usable: ranges without descriptors */
    uint64_t free_pages[CLASSES]; /* in the buddy lists */
    uint64_t table_blocks;
    struct page_list list[CLASSES][ORDERS];
    uint32_t list_count[CLASSES][ORDERS];
};

extern struct phys phys;

static inline struct page *page_of(pfn_t pfn)
{
    return (struct page *)(phys.pages_bias + pfn * sizeof(struct page));
}
static inline pfn_t page_number(const struct page *page)
{
    return ((uintptr_t)page - phys.pages_bias) / sizeof(struct page);
}
/* Has the page a descriptor, and does it belong to one of our ranges? */
static inline bool page_is_ours(pfn_t pfn)
{
    return pfn - phys.first < phys.end - phys.first && page_of(pfn)->state != PAGE_NONE;
}

/* Take over the free ranges of the boot information. Returns false if there is too little memory.
 */
bool phys_init(const struct boot_info *info);

enum alloc_flags { ALLOC_NORMAL = 0, ALLOC_RESERVE = 1 /* may use the last RESERVE_PAGES */ };

/* buddy.c: 2^order pages, naturally aligned, contents unknown; 0 if there are none. `class` tables
 * may turn a data block into a tables block. Takes the allocator's lock. */
pfn_t buddy_alloc(struct worker *w, unsigned order, enum page_class class, enum alloc_flags flags);
void buddy_free(struct worker *w, pfn_t pfn, unsigned order);
/* Allocator lock held: many single pages in one go; how many were got. */
uint64_t buddy_alloc_pages_locked(struct worker *w, enum page_class class, uint64_t count,
                                  pfn_t *pages, enum alloc_flags flags);
void buddy_free_locked(pfn_t pfn, unsigned order);

/* block.c, allocator lock held: turn a free data block into a tables block, or a tables block whose
 * pages are all free into a data block. */
bool block_make_tables_locked(struct worker *w);
bool block_make_data_locked(struct worker *w);

/* pages.c: single pages, through the hart's lists. 0 if there is none. With GFP_DIRECT_RECLAIM
 * unused file pages may be dropped first: then do not hold the lock of objects or a later one. The
 * state becomes PAGE_USED, maps 0. */
pfn_t page_alloc_gfp(struct worker *w, gfp_t gfp);
/* For the server itself (GFP_KERNEL), */
pfn_t page_alloc(struct worker *w);
pfn_t page_alloc_zeroed(struct worker *w);
/* and for a client, which can be moved (GFP_USER). */
pfn_t page_alloc_user(struct worker *w);
pfn_t page_alloc_user_zeroed(struct worker *w);
void page_free(struct worker *w, pfn_t pfn);
/* Free every page of a list that was gathered by `link`. */
void page_free_list(struct worker *w, struct page_list *list);
/* Many single pages in one go; how many were got, from the first element of `pages` on. */
uint64_t page_alloc_bulk(struct worker *w, uint64_t count, pfn_t *pages, gfp_t gfp);
void page_free_bulk(struct worker *w, uint64_t count, const pfn_t *pages);
/* 2^order pages, naturally aligned; freed with the same order. The descriptor of the first page
 * speaks for all: state, order, owner. */
pfn_t pages_alloc(struct worker *w, unsigned order, gfp_t gfp);
void pages_free(struct worker *w, pfn_t pfn, unsigned order);
/* A page of a tables block, for a page table. The kernel clears it when it takes it into use. */
pfn_t page_alloc_table(struct worker *w);
void page_free_table(struct worker *w, pfn_t pfn);
/* Zero up to `limit` pages ahead for this hart; how many. */
unsigned pages_zero_ahead(struct worker *w, unsigned limit);
/* Give the hart's lists back to the buddy allocator. */
void pages_drain(struct worker *w);
/* Free pages of all kinds, lists of all harts included (others' unsynchronised). */
uint64_t pages_free_total(void);
/* phys_init() does it for all workers. */
void pages_worker_init(struct worker *w);
void page_clear(void *page);
void page_copy(void *to, const void *from);

#endif
