/*
 * A batch of mapping operations while it is performed; shared by batch.c (the loop and what
 * operations have in common), batch_map.c, batch_list.c, batch_change.c, batch_move.c, batch_copy.c
 * and batch_table.c.
 *
 * The space's lock is held from the first operation to the last, so that tables stay. Capabilities
 * and the operation page are only looked at inside hart_busy(), which is let go of between
 * operations after a bounded number of entries (batch_rest), and whenever the kernel lock is
 * wanted; what was looked up before is forgotten then.
 *
 * Each operation is decoded first: everything is checked and nothing changed. Performing it can
 * stop for one reason only: a fault reply on another hart filled a slot meanwhile (ERR_MAPPED), or
 * the result words are full (ERR_LIMIT); `done` says how many slots changed.
 *
 * Runs of slots are handled in groups of eight. The OR and the AND of a group's entries tell what
 * is the same in all of them; a group whose pages lie in one block is counted there by one
 * addition.
 */
#ifndef KERNEL_BATCH_H
#define KERNEL_BATCH_H

#include "kernel/block.h"
#include "kernel/gather.h"
#include "kernel/hart.h"
#include "arch/arch.h"
#include "arch/slot.h"
#include <pagoda/batch.h>

/* Entries handled before the hart lets others see that it is not stuck. */
#define BATCH_REST_ENTRIES 1024

#define GROUP 8

/* An operation, read once from the page that user mode can write. */
struct op {
    uint8_t code, level, flags;
    uint32_t count;
    uint32_t memory;
    uint64_t address;
    uint64_t entry;
    uint64_t extra;
};

struct batch {
    struct thread *thread;
    struct hart *hart;
    struct space *space;
    struct batch_page *page;
    int32_t *blocks;      /* the hart's */
    long error;           /* why batch_slots() gave none */
    struct batch_op *at;  /* the present operation */
    uint32_t done;        /* slots that it changed */
    uint32_t results;     /* result words written */
    uint64_t leaf_tag;    /* address >> 21 of `leaf`, ~0 for none */
    uint64_t *leaf;       /* the leaf table used last */
    uint64_t memory_slot; /* of the Memory capability decoded below, ~0 for none */
    uint64_t forbid;
    pfn_t first;
    uint64_t pages;
    long work; /* entries until the next rest */
    uint64_t mapped, unmapped;
    struct gather gather;
    struct gather source; /* of the space that tables are copied from; space NULL: none */
    uint64_t *fresh; /* a leaf table that was installed, empty, by the operation before this one */
    struct batch_op *fresh_at;
    unsigned removed; /* tables taken out, released after the fence: */
    struct {
        pfn_t page;
        bool zero; /* nothing is left in it */
    } table[BATCH_OPS_MAX];
};

/* All of these answer 0 or -ERR_x. */
long batch_map(struct batch *b, const struct op *op);
long batch_map_list(struct batch *b, const struct op *op);
long batch_replace(struct batch *b, const struct op *op);
long batch_software(struct batch *b, const struct op *op);
long batch_unmap(struct batch *b, const struct op *op);
long batch_protect(struct batch *b, const struct op *op);
long batch_clear_bits(struct batch *b, const struct op *op);
long batch_table(struct batch *b, const struct op *op);
long batch_table_remove(struct batch *b, const struct op *op);
long batch_table_drop(struct batch *b, const struct op *op);
long batch_copy_table(struct batch *b, const struct op *op);
long batch_move(struct batch *b, const struct op *op);
long batch_split(struct batch *b, const struct op *op);

/* What a Memory capability lets its holder map. */
struct extent {
    uint64_t forbid; /* bits of entries */
    pfn_t first;
    uint64_t pages;
};
/* The leaf table for the address becomes the one used last: 0 or -ERR_x. */
long batch_leaf_find(struct batch *b, vaddr_t address);
/* Why these are no slots of small leaves, or slots of large ones: as batch_slots(). */
uint64_t *batch_slots_other(struct batch *b, const struct op *op, uint64_t count);
/* Why space_slot() found no slot: a table is missing, or a larger leaf stands there. */
long batch_why_no_slot(struct space *s, vaddr_t address, unsigned found_level);
/* Decode level, count and address of `count` leaf slots in one table: the first of them, or NULL
 * and b->error. Slots of level 1 that lead to a table are refused. */
static inline uint64_t *batch_slots(struct batch *b, const struct op *op, uint64_t count)
{
    uint64_t index = (op->address >> PAGE_SHIFT) & (TABLE_ENTRIES - 1);

    if (unlikely(op->address % PAGE_BYTES || op->level || count - 1 >= TABLE_ENTRIES - index))
        return batch_slots_other(b, op, count);
    if (unlikely(op->address >> BLOCK_SHIFT != b->leaf_tag) &&
        unlikely((b->error = batch_leaf_find(b, op->address)) != 0))
        return NULL;
    b->work -= (long)count;
    return b->leaf + index;
}

long batch_memory_decode(struct batch *b, uint64_t slot);
/* Look up the Memory capability, if it is not the one used last. */
static inline long batch_memory(struct batch *b, uint64_t slot)
{
    return likely(slot == b->memory_slot) ? 0 : batch_memory_decode(b, slot);
}

/* Make the leaf entry that `op` asks for: what its capability allows, and `pages` pages from its
 * page on inside the extent. */
long batch_entry(struct batch *b, const struct op *op, uint64_t pages, uint64_t *entry);
/* All that w's answer consists of is done; w's hart is busy. */
static inline void batch_finished(const struct thread *w)
{
    struct batch_page *page = w->operation_page;

    __atomic_thread_fence(__ATOMIC_RELEASE);
    if (likely(page != NULL))
        *(volatile uint64_t *)&page->op[0].finished = 1;
}

/* Forget what was looked up: the hart was not busy, or a table went. */
static inline void batch_forget(struct batch *b)
{
    b->leaf_tag = ~0UL;
    b->memory_slot = ~0UL;
}
/* Be busy again. False: the operation page is gone. */
bool batch_resume(struct batch *b);

static inline bool batch_result_room(const struct batch *b)
{
    return b->results < BATCH_RESULTS_MAX;
}
static inline void batch_result(struct batch *b, uint64_t entry)
{
    b->page->result[b->results++] = entry;
}

static inline unsigned level_shift(unsigned level)
{
    return PAGE_SHIFT + TABLE_SHIFT * level;
}
static inline uint64_t entry_block(uint64_t entry)
{
    return entry_page(entry) >> TABLE_SHIFT;
}
static inline uint64_t slot_load(const uint64_t *slot)
{
    return __atomic_load_n(slot, __ATOMIC_RELAXED);
}
static inline bool slot_swap(uint64_t *slot, uint64_t old, uint64_t new)
{
    return __atomic_compare_exchange_n(slot, &old, new, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}
/* The slot was not empty, or the attempt to fill it failed for no reason. */
bool leaf_write_again(uint64_t *slot, uint64_t entry);

/* Write an empty or software slot, behind all that the page holds. False: another hart's fault
 * reply filled it meanwhile. */
static inline bool leaf_write(uint64_t *slot, uint64_t entry)
{
    return likely(arch_slot_fill(slot, entry)) || leaf_write_again(slot, entry);
}

/* All bits of eight slots. */
static inline uint64_t slots_or8(const uint64_t *slot)
{
    return slot_load(slot) | slot_load(slot + 1) | slot_load(slot + 2) | slot_load(slot + 3) |
           slot_load(slot + 4) | slot_load(slot + 5) | slot_load(slot + 6) | slot_load(slot + 7);
}
/* All bits of the slots. */
static inline uint64_t slots_or(const uint64_t *slot, uint64_t count)
{
    uint64_t seen = 0;

    for (; count >= 8; count -= 8, slot += 8)
        seen |= slots_or8(slot);
    for (; count; count--, slot++)
        seen |= slot_load(slot);
    return seen;
}

/* The bits of an entry that say which block its page lies in. */
#define ENTRY_BLOCK_MASK (ENTRY_PAGE_MASK & ~((PAGES_PER_BLOCK - 1) << ENTRY_PAGE_SHIFT))
/* Leaves that differ in none of these are counted alike. */
#define LEAF_LIKE (ENTRY_V | ENTRY_N | ENTRY_BLOCK_MASK)

/* Slots first..last of a run at `address` lost something. A 64 KiB run is fenced as a whole:
 * hardware may have remembered it by any of its pages. */
static inline void slots_fence(struct gather *g, const struct op *op, uint64_t first, uint64_t last,
                               uint64_t seen)
{
    vaddr_t start = op->address + (first << level_shift(op->level));
    vaddr_t end = op->address + ((last + 1) << level_shift(op->level));
    if (seen & ENTRY_N) {
        start &= ~(16 * PAGE_BYTES - 1);
        end = (end + 16 * PAGE_BYTES - 1) & ~(16 * PAGE_BYTES - 1);
    }
    gather_range(g, start, end);
}
static inline void batch_fence(struct batch *b, const struct op *op, uint64_t first, uint64_t last,
                               uint64_t seen)
{
    slots_fence(&b->gather, op, first, last, seen);
}

/* Would the operation cut a 64 KiB run in two? Runs are whole and aligned: looking at both ends is
 * enough. -ERR_ALIGN if so. */
long batch_run_ends(const struct op *op, const uint64_t *slot);
static inline long batch_runs_whole(const struct op *op, const uint64_t *slot)
{
    return likely(!(arch_features & BOOT_HAS_SVNAPOT)) ? 0 : batch_run_ends(op, slot);
}

/* Slots of a run that lost something: what has to be fenced in the end. */
struct lost {
    uint64_t first, last; /* first > last: none */
    uint64_t seen;        /* all bits of their entries, or more */
};

#define LOST_NONE ((struct lost){.first = TABLE_ENTRIES})

static inline void lost_add(struct lost *l, uint64_t first, uint64_t last, uint64_t entry)
{
    if (l->first > first)
        l->first = first;
    if (l->last < last)
        l->last = last;
    l->seen |= entry;
}

static inline void lost_gather(struct gather *g, const struct op *op, const struct lost *l)
{
    if (l->first <= l->last)
        slots_fence(g, op, l->first, l->last, l->seen);
}
static inline void lost_fence(struct batch *b, const struct op *op, const struct lost *l)
{
    lost_gather(&b->gather, op, l);
}

#endif
