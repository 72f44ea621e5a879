/*
 * Physical memory: page descriptors and the page allocator's interface.
 *
 * A page is in exactly one place at a time; `state` says which. Who owns a page may write its
 * descriptor; free pages belong to their zone's lock, pages in a hart's lists to its worker.
 *
 *   zone: buddy lists [type][order] <-> hart's lists <-> in use
 *                                   -> hart's zeroed list -> in use
 *
 * Pages that belong together (a free chunk, an allocation of 2^order pages) are spoken for by their
 * first descriptor, which holds state and order; the others are PAGE_TAIL and say nothing. So
 * nothing that splits, merges, allocates or frees takes longer for larger chunks than by the steps
 * of their order, and whoever walks descriptors goes on by 2^order.
 *
 * A 2 MiB pageblock is of one migrate type. Type MIGRATE_TABLES is the one that the kernel knows
 * (pagoda/call.h, block_class): page 0 of such a block is the kernel's directory and never ours,
 * and its pages are read-only to us: only their descriptors are written.
 *
 * The descriptor of page n is at pages_bias + 32 n, for all memory of the machine. Only 2 MiB
 * blocks that hold memory of ours have descriptors: the array has holes where the machine has
 * holes, and what lies there is memory like any other (phys.c; docs/decisions/028). A block's
 * descriptors are written when the block is first needed.
 */
#ifndef MMSERVER_CORE_PHYS_H
#define MMSERVER_CORE_PHYS_H

#include "mmserver/core/gfp.h"
#include "mmserver/core/lock.h"
#include "mmserver/core/worker.h"
#include <pagoda/boot.h>
#include <stddef.h>
#include <sys/queue.h>

#define ORDER_MAX       10
#define ORDERS          (ORDER_MAX + 1)
#define CHUNK_PAGES_MAX (1UL << ORDER_MAX)
#define BLOCK_ORDER     TABLE_SHIFT
#define PIECES_MAX      256 /* runs of free memory at the start */

enum page_state {
    PAGE_NONE,     /* not ours, or a hole */
    PAGE_RESERVED, /* directories of tables blocks */
    PAGE_FREE,     /* first page of a free chunk of 2^order in the buddy lists */
    PAGE_TAIL,     /* not the first page of what it belongs to */
    PAGE_HOT,      /* in a hart's list (data or tables) */
    PAGE_ZEROED,   /* in a hart's zeroed list */
    PAGE_USED,     /* allocated, not yet said for what */
    PAGE_ANON, /* a client's page: owner = anon_vma, index = page number in it (rmap.h), maps counts
                */
    PAGE_ZERO, /* a hart's zero page; its mappings are not counted */
    PAGE_FILE, /* page of a file: owner = object, index = page in it, maps counts */
    PAGE_FILE_MAP, /* pages that hold a file's index */
    PAGE_SLAB,     /* objects of the server */
    PAGE_SERVER,   /* other memory of the server: operation pages and the like */
    PAGE_TABLE,    /* a page table: owner = mm */
    PAGE_OBJECT,   /* a kernel object */
    PAGE_NATIVE,   /* given to a native program */
    PAGE_KMALLOC,  /* a large kmalloc: owner = who asked, index = bytes and generation */
    PAGE_HUGETLB,  /* the first of 2 MiB of the pool of huge pages: maps counts (hugetlb.h) */
    PAGE_POISONED, /* its memory is broken: never used again (poison.h) */
    PAGE_ASIDE,    /* first page of a free chunk that no allocation gets for now (fresh.h) */
    PAGE_STATES
};

extern const char *const page_state_text[PAGE_STATES];

enum zone_kind { ZONE_DMA32, ZONE_NORMAL, ZONE_MOVABLE, ZONE_KINDS };

enum migrate_type {
    MIGRATE_UNMOVABLE,
    MIGRATE_MOVABLE,
    MIGRATE_RECLAIMABLE,
    MIGRATE_CMA,     /* lent to movable pages until somebody takes the area back */
    MIGRATE_ISOLATE, /* nothing is allocated here: the block is being emptied */
    MIGRATE_TABLES,
    MIGRATE_TYPES
};

extern const char *const migrate_text[MIGRATE_TYPES];

struct page {
    union {
        LIST_ENTRY(page) link; /* free, or gathered to be freed */
        struct {
            void *owner;
            uint64_t index;
        };
    };
    union {
        struct {
            uint32_t maps; /* leaf entries that map it */
            uint8_t state; /* enum page_state */
            uint8_t order; /* of what it is the first page of */
            uint8_t slot;  /* Memory capability */
            uint8_t home;  /* zone and migrate type: HOME_* */
        };
        struct {
            uint32_t maps_again;
            uint32_t kind; /* state, order, slot, home in one */
        };
        uint64_t tag; /* all five in one */
    };
    uint64_t private; /* for whoever owns the page; of a free one: who freed it (PAGE_FREED_BY) */
};

_Static_assert(sizeof(struct page) == 32, "a descriptor is half a cache line");

LIST_HEAD(page_list, page);

/* page->home: kind of zone in bits 0..1, node in bits 2..4, migrate type in bits 5..7. */
#define NODES_MAX        8
#define HOME_ZONE_MASK   0x1fU
#define HOME_KIND_MASK   0x03U
#define HOME_NODE_SHIFT  2
#define HOME_TYPE_SHIFT  5
#define HOME(type, zone) ((type) << HOME_TYPE_SHIFT | (zone))
#define ZONES_MAX        (NODES_MAX << HOME_NODE_SHIFT)

/* page->kind, as the machine's byte order has it. */
#define KIND_ORDER_SHIFT 8
#define KIND_SLOT_SHIFT  16
#define KIND_HOME_SHIFT  24

/* What a Memory capability covers. */
struct phys_range {
    pfn_t first, end;
    uint32_t slot;
};

/* What is known of a 2 MiB block without looking at its descriptors. */
#define BLOCK_PRESENT    0x1 /* there is room for its descriptors */
#define BLOCK_READY      0x2 /* they are written */
#define BLOCK_NOT_FROM   0x4 /* compaction: there was nothing to move away, */
#define BLOCK_NOT_TO     0x8 /* or no room to move to */
#define BLOCK_TYPE_SHIFT 5   /* of an isolated block: the migrate type that it had */

struct phys {
    uintptr_t pages_bias; /* address of the descriptor that page 0 would have */
    pfn_t first, end;     /* the span, in whole blocks */
    uint8_t *block;       /* BLOCK_* of each block of the span */
    struct phys_range range[BOOT_RANGES_MAX];
    uint32_t ranges;
    uint32_t clear_blocks;     /* bool: the machine clears memory by cache blocks */
    uint64_t total_pages;      /* managed: all that was given to the zones */
    uint64_t descriptor_pages; /* of descriptors and the block table: reserved */
    uint64_t poisoned_pages;   /* changed by atomic additions */
    uint64_t lost_pages;       /* memory for whose descriptors there was no place */
};

extern struct phys phys;

static inline struct page *page_of(pfn_t pfn)
{
    return (struct page *)(phys.pages_bias + pfn * sizeof(struct page));
}
/* The page that an entry names; `bias` is phys.pages_bias, which loops keep in a register. One
 * shift brings the page number to where it is a descriptor's offset. */
static inline struct page *page_of_entry(uintptr_t bias, uint64_t entry)
{
    const unsigned down = ENTRY_PAGE_SHIFT - 5;

    _Static_assert(sizeof(struct page) == 1 << 5, "the offset is the number shifted by five");
    return (struct page *)(bias + (entry >> down & ENTRY_PAGE_MASK >> down));
}
/*
 * The part of a descriptor that counts, for loops over many entries: found with
 * phys.pages_bias + PAGE_COUNT_AT it needs no further addition.
 */
union page_count {
    struct {
        uint32_t maps;
        uint8_t state, order, slot, home;
    };
    uint64_t tag;
};
#define PAGE_COUNT_AT offsetof(struct page, maps)
static inline union page_count *page_count_of_entry(uintptr_t bias, uint64_t entry)
{
    return (union page_count *)page_of_entry(bias, entry);
}
static inline struct page *page_of_count(const union page_count *count)
{
    return (struct page *)((uintptr_t)count - PAGE_COUNT_AT);
}
/* One mapping less; how many there were, as a signed number. */
static inline long page_count_down(union page_count *count)
{
#ifdef __riscv
    long before;

    __asm__ volatile("amoadd.w %0, %2, %1" : "=r"(before), "+A"(count->maps) : "r"(-1L) : "memory");
    return before; /* the instruction extends the sign; a C builtin would do it once more */
#else
    return (int32_t)__atomic_fetch_sub(&count->maps, 1, __ATOMIC_RELAXED);
#endif
}
static inline pfn_t page_number(const struct page *page)
{
    return ((uintptr_t)page - phys.pages_bias) / sizeof(struct page);
}
static inline enum migrate_type page_type(const struct page *page)
{
    return (enum migrate_type)(page->home >> HOME_TYPE_SHIFT);
}
static inline uint8_t *phys_block(pfn_t pfn)
{
    return &phys.block[(pfn - phys.first) >> BLOCK_ORDER];
}
/* Have the descriptors of its block been written? */
static inline bool page_is_ready(pfn_t pfn)
{
    return pfn - phys.first < phys.end - phys.first && (*phys_block(pfn) & BLOCK_READY);
}
/* Has the page a descriptor, and does it belong to one of our ranges? */
static inline bool page_is_ours(pfn_t pfn)
{
    return page_is_ready(pfn) && page_of(pfn)->state != PAGE_NONE;
}

/* Take over the free ranges of the boot information. Returns false if there is too little memory.
 */
bool phys_init(const struct boot_info *info);
/* Later: pages that were reserved and are free now, under the capability in `slot`. False: there
 * are no descriptors for them, and nothing was done. */
bool phys_give(pfn_t first, pfn_t end, uint32_t slot, uint32_t node);
/* Write the descriptors of pages [first, end) of one piece, as tails; first .. end are either
 * whole blocks, or their blocks are ready. */
void phys_describe(pfn_t first, pfn_t end, uint8_t slot, uint8_t home);

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
/* The same of one that belongs into the hart's own list (w->hot_home), which has room; `caller`:
 * who is said to have done it. */
static inline void page_free_hot(struct worker *w, struct page *page, pfn_t pfn, uintptr_t caller)
{
    page->private = caller;
    page->state = PAGE_HOT;
    w->hot[w->hot_count++] = pfn;
    mm_count(w, page_free);
}
/* Free every page of a list that was gathered by `link`. */
void page_free_list(struct worker *w, struct page_list *list);
/* Many single pages in one go; how many were got, from the first element of `pages` on. */
uint64_t page_alloc_bulk(struct worker *w, uint64_t count, pfn_t *pages, gfp_t gfp);
void page_free_bulk(struct worker *w, uint64_t count, const pfn_t *pages);
/* Would all of them, freed now, stay in this hart's list? Then only this worker can have them. */
bool pages_stay_here(const struct worker *w, uint64_t count, const pfn_t *pages);
/* 2^order pages, naturally aligned; freed with the same order. The descriptor of the first page
 * speaks for all: state, order, owner. */
pfn_t pages_alloc(struct worker *w, unsigned order, gfp_t gfp);
void pages_free(struct worker *w, pfn_t pfn, unsigned order);
/* Exactly `count` pages in a row, at most CHUNK_PAGES_MAX. They are held as the few naturally
 * aligned pieces that make them up: pages_set_state() sets the state of each. */
pfn_t pages_alloc_exact(struct worker *w, uint64_t count, gfp_t gfp);
void pages_free_exact(struct worker *w, pfn_t pfn, uint64_t count);
void pages_set_state(pfn_t pfn, uint64_t count, enum page_state state);
/* A page of a tables block, for a page table. The kernel clears it when it takes it into use. */
pfn_t page_alloc_table(struct worker *w);
void page_free_table(struct worker *w, pfn_t pfn);
/* Zero up to `limit` pages ahead for this hart; how many. */
unsigned pages_zero_ahead(struct worker *w, unsigned limit);
/* Give the hart's own lists back to the zones; */
void pages_drain(struct worker *w);
/* and ask the other harts to do so too: how many pages that is likely to free. */
uint64_t pages_drain_all(struct worker *w);
/* Pages in the lists of all harts (others' unsynchronised), and free pages of all kinds. */
uint64_t pages_in_lists(void);
uint64_t pages_free_total(void);
/* phys_init() does it for all workers. */
void pages_worker_init(struct worker *w);
/* Most pages that a hart keeps zeroed, before memory's size and the number of harts are looked at;
 * at most ZEROED_PAGES_MAX. */
extern uint64_t pages_zeroed_max;
void page_clear(void *page);
void page_copy(void *to, const void *from);

#endif
