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
 * Kernel lock held. Unlink an empty table. A fault reply on another hart may have found it and may
 * still fill a slot, or put it into a thread's cache, so: unlink; wait until all who found it are
 * done; empty the caches; wait until all who used these are done. Only then its being empty is
 * final.
 */
static long table_unlink(struct space *s, uint64_t *slot, const uint64_t *table)
{
    struct thread *t;
    uint64_t entry = __atomic_exchange_n(slot, 0, __ATOMIC_RELAXED);

    harts_quiesce();
    TAILQ_FOREACH(t, &s->threads, mates)
    thread_leaf_forget(t);
    harts_quiesce();
    if (batch_table_empty(table))
        return 0;
    __atomic_store_n(slot, entry, __ATOMIC_RELEASE);
    return -ERR_BUSY;
}

long batch_table_remove(struct batch *b, const struct op *op)
{
    uint64_t *slot;
    long error = table_slot(b, op, &slot);

    if (error)
        return error;
    uint64_t entry = slot_load(slot);
    if (!(entry & ENTRY_V))
        return -ERR_UNMAPPED;
    if (!entry_is_table(entry))
        return -ERR_LEVEL;
    if (!batch_table_empty(page_to_virt(entry_page(entry))))
        return -ERR_BUSY;
    kernel_lock(); /* ends being busy */
    error = table_unlink(b->space, slot, page_to_virt(entry_page(entry)));
    if (error == 0) {
        b->done = 1;
        b->gather.tables = true;
        b->space->tables--;
        /* The kernel made the memory server's first tables; they are nobody's pages. */
        if (page_directory(entry_page(entry)) != NULL)
            b->table[b->removed++] = entry_page(entry);
    }
    kernel_unlock();
    batch_resume(b);
    return error;
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
