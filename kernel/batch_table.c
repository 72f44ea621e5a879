/*
 * Batch operations on whole tables: install, remove, split a large leaf into a table of small ones.
 * The address may be anywhere in the range that the table covers.
 */
#include "kernel/batch.h"
#include "arch/arch.h"
#include "kernel/assert.h"
#include "kernel/block.h"
#include "kernel/cap.h"

/* The slot of the table below `level`. */
static long table_slot(struct batch *b, const struct op *op, uint64_t **slot)
{
    unsigned found;

    if (op->level < 1 || op->level >= space_levels)
        return -ERR_LEVEL;
    uint64_t span = 1UL << level_shift(op->level);
    if (op->address >= space_user_end || space_in_linear(b->space, op->address & ~(span - 1), span))
        return -ERR_RANGE;
    *slot = space_slot(b->space, op->address, op->level, &found);
    if (*slot != NULL)
        return 0;
    *slot = space_slot(b->space, op->address, found, &found);
    return entry_is_leaf(slot_load(*slot)) ? -ERR_LEVEL : -ERR_NOTABLE;
}

/* Kernel lock held. Take the operation's page into use as a table. */
static long table_take(struct batch *b, const struct op *op)
{
    pfn_t page = entry_page(op->entry);
    long error;
    struct cap *c = cap_lookup(b->thread, op->memory, CAP_MEMORY, RIGHT_KEEP, &error);

    if (c == NULL)
        return -error;
    if (page - c->first >= c->pages)
        return -ERR_RANGE;
    return page_take(page, page_word(PAGE_TABLE, op->level, b->space->self_pfn));
}

/* Kernel lock held. Take the page into use, and link it. */
static long table_install(struct batch *b, const struct op *op, uint64_t *slot)
{
    pfn_t page = entry_page(op->entry);

    if (slot_load(slot) != 0)
        return -ERR_MAPPED;
    long error = table_take(b, op);
    if (error)
        return error;
    __atomic_thread_fence(__ATOMIC_RELEASE); /* the zeroes, before a walker can come */
    if (!slot_swap(slot, 0, entry_make(page, ENTRY_V))) {
        page_release(page);
        return -ERR_MAPPED;
    }
    b->space->tables++;
    b->fresh = page_to_virt(page);
    b->fresh_at = b->at + 1;
    return 0;
}

long batch_table(struct batch *b, const struct op *op)
{
    uint64_t *slot;
    long error = table_slot(b, op, &slot);

    if (error)
        return error;
    if (op->entry & ~(ENTRY_PAGE_MASK | ENTRY_V))
        return -ERR_ENTRY;
    kernel_lock(); /* ends being busy */
    error = table_install(b, op, slot);
    kernel_unlock();
    b->done = error == 0;
    batch_resume(b);
    return error;
}

/*
 * Kernel lock held. Unlink a table. A fault reply on another hart may have found it and may still
 * fill a slot, or put it into a thread's cache, so: unlink; wait until all who found it are done;
 * empty the caches; wait until all who used these are done. Only then what stands in it is final.
 */
static void table_unlink(struct space *s, uint64_t *slot)
{
    struct thread *t;

    __atomic_store_n(slot, 0, __ATOMIC_RELAXED);
    harts_quiesce();
    TAILQ_FOREACH(t, &s->threads, mates)
    thread_leaf_forget(t);
    harts_quiesce();
}

static bool table_empty(const uint64_t *table)
{
    for (unsigned i = 0; i < TABLE_ENTRIES; i += 8)
        if (slots_or8(table + i))
            return false;
    return true;
}

/* Kernel lock held. Unlink an empty table; if it is not empty in the end, it is put back. That is
 * not looked for before: who asks for it knows better, mostly, and a look is 1,150 instructions. */
static long empty_table_unlink(struct space *s, uint64_t *slot, uint64_t entry)
{
    table_unlink(s, slot);
    if (table_empty(page_to_virt(entry_page(entry))))
        return 0;
    __atomic_store_n(slot, entry, __ATOMIC_RELEASE);
    return -ERR_BUSY;
}

/* The table is nobody's any more, once the fence is over. */
static void table_removed(struct batch *b, pfn_t page, bool zero)
{
    b->gather.tables = true;
    b->space->tables--;
    /* The kernel made the memory server's first tables; they are nobody's pages. */
    if (page_directory(page) == NULL)
        return;
    b->table[b->removed].page = page;
    b->table[b->removed++].zero = zero;
}

/* The slot that leads to a table. */
static long table_there(struct batch *b, const struct op *op, uint64_t **slot, uint64_t *entry)
{
    long error = table_slot(b, op, slot);

    if (error)
        return error;
    *entry = slot_load(*slot);
    if (!(*entry & ENTRY_V))
        return -ERR_UNMAPPED;
    return entry_is_table(*entry) ? 0 : -ERR_LEVEL;
}

long batch_table_remove(struct batch *b, const struct op *op)
{
    uint64_t *slot, entry;
    long error = table_there(b, op, &slot, &entry);

    if (error)
        return error;
    kernel_lock(); /* ends being busy */
    error = empty_table_unlink(b->space, slot, entry);
    if (error == 0) {
        b->done = 1;
        table_removed(b, entry_page(entry), true);
    }
    kernel_unlock();
    batch_resume(b);
    return error;
}

/* Leaves of eight slots that are not alike leave their blocks' counters. */
static __attribute__((noinline)) uint64_t mixed_uncount(int32_t *blocks, const uint64_t *slot)
{
    uint64_t leaves = 0;

    for (unsigned i = 0; i < GROUP; i++) {
        if (!(slot[i] & ENTRY_V))
            continue;
        __atomic_fetch_sub(block_of_entry(blocks, slot[i]), 1, __ATOMIC_RELEASE);
        leaves++;
    }
    return leaves;
}

/* The bits in which some of eight slots differ from `like`. */
static inline uint64_t slots_unlike(const uint64_t *slot, uint64_t like)
{
    return (slot[0] ^ like) | (slot[1] ^ like) | (slot[2] ^ like) | (slot[3] ^ like) |
           (slot[4] ^ like) | (slot[5] ^ like) | (slot[6] ^ like) | (slot[7] ^ like);
}

/* All leaves of a table that nobody can change or use any more leave their blocks' counters. Those
 * of one block are taken off when another is met: `like` is one of them, `held` how many. */
static uint64_t leaves_uncount(int32_t *blocks, const uint64_t *slot)
{
    uint64_t like = ~0UL, held = 0, leaves = 0;

    for (const uint64_t *end = slot + TABLE_ENTRIES; slot < end; slot += GROUP) {
        if (likely(!(slots_unlike(slot, like) & LEAF_LIKE))) {
            held += GROUP;
            continue;
        }
        if (slots_unlike(slot, slot[0]) & LEAF_LIKE || !(slot[0] & ENTRY_V)) {
            leaves += slots_or8(slot) ? mixed_uncount(blocks, slot) : 0;
            continue;
        }
        if (held)
            __atomic_fetch_sub(block_of_entry(blocks, like), (int32_t)held, __ATOMIC_RELEASE);
        leaves += held;
        like = slot[0];
        held = GROUP;
    }
    if (held)
        __atomic_fetch_sub(block_of_entry(blocks, like), (int32_t)held, __ATOMIC_RELEASE);
    return leaves + held;
}

/*
 * The leaves are counted until the table is unlinked and nobody on another hart looks at it any
 * more. Then only hardware can still use them, until the fence, which is of the whole space; as for
 * every batch, this hart stands as gathering until then.
 */
long batch_table_drop(struct batch *b, const struct op *op)
{
    uint64_t *slot, entry;

    if (op->level != 1)
        return -ERR_LEVEL;
    if (b->space == space_server)
        return -ERR_RANGE; /* not all of its leaves are counted */
    long error = table_there(b, op, &slot, &entry);
    if (error)
        return error;
    kernel_lock(); /* ends being busy */
    table_unlink(b->space, slot);
    table_removed(b, entry_page(entry), false);
    kernel_unlock();
    uint64_t leaves = leaves_uncount(b->blocks, page_to_virt(entry_page(entry)));
    b->unmapped += leaves;
    b->done = (uint32_t)leaves;
    batch_resume(b);
    return 0;
}

/*
 * Kernel lock held; the leaf's block was asked to count 511 more. Other harts' hardware may set
 * accessed and dirty in the large leaf until the table stands in its place: then the small ones are
 * made again.
 */
static void leaf_split(struct space *s, uint64_t *slot, pfn_t page)
{
    uint64_t *table = page_to_virt(page), old;

    do {
        old = slot_load(slot);
        kassert(entry_is_leaf(old));
        for (uint64_t i = 0; i < TABLE_ENTRIES; i++)
            table[i] = old + (i << ENTRY_PAGE_SHIFT);
        __atomic_thread_fence(__ATOMIC_RELEASE);
    } while (!slot_swap(slot, old, entry_make(page, ENTRY_V)));
    s->tables++;
}

/* The whole range is fenced: nobody goes on with the large translation when small ones change. */
long batch_split(struct batch *b, const struct op *op)
{
    uint64_t *slot;
    long error;

    if (op->level != 1)
        return -ERR_LEVEL;
    if ((error = table_slot(b, op, &slot)) != 0)
        return error;
    uint64_t leaf = slot_load(slot);
    if (!entry_is_leaf(leaf))
        return leaf & ENTRY_V ? -ERR_LEVEL : -ERR_UNMAPPED;
    if (op->entry & ~(ENTRY_PAGE_MASK | ENTRY_V))
        return -ERR_ENTRY;
    if (!block_get_n(entry_page(leaf), TABLE_ENTRIES - 1))
        return -ERR_CLASS;
    kernel_lock(); /* ends being busy */
    error = table_take(b, op);
    if (error == 0) {
        vaddr_t start = op->address & ~(BLOCK_BYTES - 1);
        leaf_split(b->space, slot, entry_page(op->entry));
        gather_range(&b->gather, start, start + BLOCK_BYTES);
        b->done = 1;
    } else {
        block_put_n(entry_page(leaf), TABLE_ENTRIES - 1);
    }
    kernel_unlock();
    batch_resume(b);
    return error;
}
