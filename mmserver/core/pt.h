/*
 * Page tables: read directly through the linear map, changed by batches of operations.
 *
 * Level 0 entries are leaves of 4 KiB. "The table of level n" is the one whose entries are of level
 * n; the root's is mm_levels - 1. Readers of the mm (mm.h) walk, fill empty entries and add tables;
 * the rest is the writer's. Operations gathered and not yet sent belong to the worker, under one
 * lock of the mm from the first to the sending.
 *
 * The lock of a leaf table lies in the descriptor of its page. Who changes an entry that is not
 * empty without being the writer holds it: faults that replace a page, walkers of reverse maps.
 */
#ifndef MMSERVER_CORE_PT_H
#define MMSERVER_CORE_PT_H

#include "mmserver/core/mm.h"
#include <pagoda/batch.h>

/*
 * A page of a client that its mapping must not reach (PROT_NONE) stays behind a software entry
 * that holds its number: "parked". It counts as mapped there, whatever its kind.
 */
#define ENTRY_PARKED ENTRY_SOFT0

static inline bool entry_is_parked(uint64_t entry)
{
    return (entry & (ENTRY_V | ENTRY_PARKED)) == ENTRY_PARKED;
}

/*
 * A marker is a software entry for what is an error to touch. It names a page whose mappings nobody
 * counts, so whoever copies, moves or takes out entries need not know it: a zero page (guard.h), or
 * the broken page itself (poison.h).
 */
#define ENTRY_MARKER ENTRY_SOFT1

static inline bool entry_is_marker(uint64_t entry)
{
    return (entry & (ENTRY_V | ENTRY_MARKER)) == ENTRY_MARKER;
}

/* One of the sixteen entries of a run of 64 KiB (runs.h), which all name the run. */
static inline bool entry_is_run(uint64_t entry)
{
    return (int64_t)entry < 0;
}
/* What an ordinary entry in its place would be, number `index` of its table; others as they are. */
static inline uint64_t entry_alone(uint64_t entry, uint64_t index)
{
    if (likely(!entry_is_run(entry)))
        return entry;
    return (entry & ~(ENTRY_N | 15UL << ENTRY_PAGE_SHIFT)) | (index & 15) << ENTRY_PAGE_SHIFT;
}
static inline uint64_t entry_alone_at(const uint64_t *slot)
{
    return entry_alone(__atomic_load_n(slot, __ATOMIC_RELAXED), (uintptr_t)slot / sizeof *slot);
}

/* The bits that BATCH_PROTECT replaces. */
#define ENTRY_RIGHTS (ENTRY_W | ENTRY_X | ENTRY_D)

static inline unsigned pt_shift(unsigned level)
{
    return PAGE_SHIFT + TABLE_SHIFT * level;
}
static inline unsigned pt_index(vaddr_t address, unsigned level)
{
    return (address >> pt_shift(level)) & (TABLE_ENTRIES - 1);
}

/* The entry of `address` in the table of `level`, or NULL if a table above is missing. */
const uint64_t *pt_entry(const struct mm *mm, vaddr_t address, unsigned level);
/* The entry of `address` in the lowest table there is, *level its level: either no leaf table is
 * missing (0), or the entry leads to no table. */
const uint64_t *pt_lowest(const struct mm *mm, vaddr_t address, unsigned *level);
/* The same for a leaf entry, inline: NULL if a table is missing. */
static inline const uint64_t *pt_leaf_entry(const struct worker *w, const struct mm *mm,
                                            vaddr_t address)
{
    const uintptr_t linear = w->linear_base;
    uintptr_t table = (uintptr_t)mm->root;

/* One level down, with a shift that the compiler knows where it can be one. */
#define DOWN(shift)                                                                              \
    do {                                                                                         \
        uint64_t entry_ = ((const uint64_t *)table)[(address >> (shift)) & (TABLE_ENTRIES - 1)]; \
        if (unlikely(!entry_is_table(entry_)))                                                   \
            return NULL;                                                                         \
        table = linear + (entry_ >> ENTRY_PAGE_SHIFT << PAGE_SHIFT);                             \
    } while (0)
    for (unsigned shift = w->top_shift; unlikely(shift > pt_shift(2)); shift -= TABLE_SHIFT)
        DOWN(shift);
    DOWN(pt_shift(2));
    DOWN(pt_shift(1));
#undef DOWN
    return &((const uint64_t *)table)[pt_index(address, 0)];
}
/* The leaf entry's value, as if there were no runs; 0 if a table is missing. */
static inline uint64_t pt_leaf(const struct mm *mm, vaddr_t address)
{
    const uint64_t *entry = pt_entry(mm, address, 0);

    return entry ? entry_alone_at(entry) : 0;
}
/* The page of the table that `entry` stands in. */
static inline pfn_t pt_page_number(const uint64_t *entry)
{
    return ((uintptr_t)entry - place_linear_base) >> PAGE_SHIFT;
}
static inline struct page *pt_page(const uint64_t *entry)
{
    return page_of(pt_page_number(entry));
}
/* The leaf table that `entry` stands in. */
static inline void leaf_lock(const uint64_t *entry)
{
    lock_check_take(LOCK_LEAF);
    while (unlikely(__atomic_exchange_n(&pt_page(entry)->maps, 1, __ATOMIC_ACQUIRE)))
        place_relax();
}
static inline void leaf_unlock(const uint64_t *entry)
{
    lock_check_drop(LOCK_LEAF);
    __atomic_store_n(&pt_page(entry)->maps, 0, __ATOMIC_RELEASE);
}

/* The leaf's value whatever its level; 0 if there is none. */
static inline uint64_t pt_any_leaf(const struct mm *mm, vaddr_t address)
{
    const uint64_t *entry = pt_entry(mm, address, 0);

    if (unlikely(!entry)) {
        entry = pt_entry(mm, address, 1);
        if (!entry || entry_is_table(*entry))
            return 0;
    }
    return entry_alone_at(entry);
}
/* The first address >= `address` (rounded down to 2 MiB beyond the first) below `end` that has a
 * leaf table, which goes to *table; `end` if there is none. */
vaddr_t pt_next_table(const struct mm *mm, vaddr_t address, vaddr_t end, const uint64_t **table);
/* The same for the table of any level below the root's. */
vaddr_t pt_next_table_of(const struct mm *mm, vaddr_t address, vaddr_t end, unsigned level,
                         const uint64_t **table);

/* Make sure that `address` has a leaf table; readers may. 0 or -LINUX_ENOMEM. */
long pt_ensure(struct worker *w, struct mm *mm, vaddr_t address);
/* The same for every 2 MiB of [start, end). */
long pt_ensure_range(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end);

/*
 * For replies that bring tables: gather the installation of a new table below `level`, which is
 * accounted at once; its page, or 0 without memory. And back: forget all gathered operations, and
 * take back the tables of those from `first` on, which were not performed.
 */
pfn_t pt_gather_table(struct worker *w, struct mm *mm, vaddr_t address, unsigned level);
void pt_ungather_tables(struct worker *w, struct mm *mm, uint64_t first);

/*
 * No VMA is left in [start, end): the tables that cover only [floor, ceiling), where they are
 * needed for nothing else, are empty and may go. floor and ceiling are the ends of the VMAs next
 * to it. A few leaf tables are kept where they are instead, for what is mapped there next: at most
 * MM_TABLES_KEPT; the oldest goes for the next one.
 */
void pt_free_tables(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end, vaddr_t floor,
                    vaddr_t ceiling);
/* The same for all: there is no VMA. */
void pt_free_all_tables(struct worker *w, struct mm *mm);
/* The empty leaf tables of these whole blocks go, and nothing above them; their entries are empty
 * then. mm locked. */
void pt_remove_leaf_tables(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end);
/* Remove the kept tables that still are of no use; how many went. mm locked. */
unsigned pt_sweep_kept(struct worker *w, struct mm *mm);

/* The next free operation of the worker's page, zeroed, for mm; sends what is there if it is full,
 * and -- see ops_send -- that must not fail. */
struct batch_op *op_add(struct worker *w, struct mm *mm, enum batch_code code, vaddr_t address);
/* Send what was gathered. Only for operations that cannot fail: takers-away and replacers of what
 * the server itself put there. */
void ops_send(struct worker *w);
/*
 * A call of the mm's own client ends, which locked it: what was gathered is sent by the answer
 * (server_call), and the lock goes with it. Else, and for all others, ops_send() and mm_unlock().
 */
void ops_unlock(struct worker *w, struct mm *mm);
/* Send one gathered operation that may be refused; 0 or -ERR_x. */
long op_try(struct worker *w);

/* Map one page now. 0 or -ERR_x. */
long pt_map(struct worker *w, struct mm *mm, vaddr_t address, uint64_t entry);
/* Replace one leaf. 0 or -ERR_x. */
long pt_replace(struct worker *w, struct mm *mm, vaddr_t address, uint64_t old, uint64_t entry);
/* Make the hart forget what it may have remembered of a present leaf, which stays as it is. */
void pt_fence(struct worker *w, struct mm *mm, vaddr_t address, uint64_t entry);
/* Give one present leaf these W, X and D bits. 0 or -ERR_x. */
long pt_protect(struct worker *w, struct mm *mm, vaddr_t address, uint64_t entry);

#endif
