/*
 * Batch operations on whole tables: install, remove, copy a leaf table write-protected.
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

/* Kernel lock held. Take the page into use as a table, and link it. */
static long table_install(struct batch *b, const struct op *op, uint64_t *slot)
{
    pfn_t page = entry_page(op->entry);
    long error;
    struct cap *c = cap_lookup(b->thread, op->memory, CAP_MEMORY, RIGHT_KEEP, &error);

    if (c == NULL)
        return -error;
    if (page - c->first >= c->pages)
        return -ERR_RANGE;
    if (slot_load(slot) != 0)
        return -ERR_MAPPED;
    error = page_take(page, page_word(PAGE_TABLE, op->level, b->space->self_pfn));
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

/* ---- copying a leaf table ---- */

/*
 * Lock the source as well. If it is locked by another hart, this one lets go of its own space and
 * takes both, the lower address first: nobody holds a higher one and waits for a lower one.
 */
static long source_wait(struct batch *b, uint64_t slot, struct space **source)
{
    struct space *own = b->space;
    long error = 0;

    space_hold(own); /* it is needed in the end, for the fences */
    space_unlock(own);
    hart_idle(b->hart);
    for (;;) {
        arch_relax();
        hart_busy(b->hart);
        struct cap *c = cap_lookup(b->thread, slot, CAP_SPACE, RIGHT_MAP, &error);
        bool own_first = c != NULL && own < (struct space *)c->object;
        struct space *s = NULL;
        if (!own_first || space_trylock(own)) {
            s = space_try_enter(b->thread, slot, RIGHT_MAP, &error);
            if (s == NULL && own_first)
                space_unlock(own);
        } else {
            error = ERR_AGAIN;
        }
        hart_idle(b->hart);
        if (s == NULL && error == ERR_AGAIN)
            continue;
        if (s == NULL || own > s)
            space_lock(own);
        space_drop_hold(own);
        *source = s;
        return batch_resume(b) ? (s ? 0 : -error) : -ERR_STATE;
    }
}

static long source_enter(struct batch *b, uint64_t slot, struct space **source)
{
    long error = 0;
    struct cap *c = cap_lookup(b->thread, slot, CAP_SPACE, RIGHT_MAP, &error);

    *source = c ? c->object : NULL;
    if (c == NULL)
        return -error;
    if (*source == b->space)
        return 0; /* locked already */
    *source = space_try_enter(b->thread, slot, RIGHT_MAP, &error);
    if (*source != NULL)
        return 0;
    return error == ERR_AGAIN ? source_wait(b, slot, source) : -error;
}

/* One source space in a batch, so that there are two gathers at most. */
static long source_gather(struct batch *b, struct space *source, struct gather **gather)
{
    *gather = source == b->space ? &b->gather : &b->source;
    if (source == b->space || b->source.space == source)
        return 0;
    if (b->source.space != NULL)
        return -ERR_LIMIT;
    gather_begin(&b->source, source);
    space_hold(source);
    return 0;
}

/*
 * A leaf table being copied. Leaves are counted in their block before they are written: one when a
 * block is met, then twice as many each time, and what was too many is given back. The common case
 * is two comparisons: a leaf of the same block and kind as the one before, and counted.
 */
struct table_copy {
    uint64_t like;  /* the leaf before; 0: none */
    uint64_t got;   /* counted for its block */
    uint64_t left;  /* of these, not yet written */
    uint64_t total; /* counted in all */
    uint64_t first; /* slot that lost its write permission first */
};

#define COPY_LIKE (LEAF_LIKE | ENTRY_W)

static inline void copy_block_end(struct table_copy *c)
{
    if (c->left)
        block_put_n(entry_page(c->like), (uint32_t)c->left);
    c->total -= c->left;
    c->got = c->left = 0;
}

/* A leaf in slot i that is of another block or kind, or not yet counted. False: the counter is
 * full. */
static inline bool copy_count(struct table_copy *c, uint64_t entry, uint64_t i)
{
    if ((entry ^ c->like) & LEAF_LIKE)
        copy_block_end(c);
    c->like = entry;
    if ((entry & ENTRY_W) && c->first > i)
        c->first = i;
    if (c->left)
        return true;
    uint64_t more = c->got ? c->got : 1, most = TABLE_ENTRIES - i;
    more = more < most ? more : most;
    if (!block_get_n(entry_page(entry), (uint32_t)more))
        return false;
    c->got += more;
    c->left = more;
    c->total += more;
    return true;
}

/*
 * What is there in the source loses its write permission and goes into the empty target. A slot of
 * the target that a fault reply fills meanwhile stays: a page already there wins. Those from *first
 * to *end lost their write permission.
 */
static long leaves_copy(struct batch *b, uint64_t *from, uint64_t *target, uint64_t *first,
                        uint64_t *end)
{
    struct table_copy c = {.first = TABLE_ENTRIES};
    uint64_t software = 0, protected = 0;
    long error = 0;

    for (uint64_t i = 0; i < TABLE_ENTRIES; i++) {
        uint64_t entry = slot_load(from + i);
        if (entry == 0) {
            if (i % 8 == 0 && slots_or8(from + i) == 0)
                i += 7;
            continue;
        }
        if (unlikely(!(entry & ENTRY_V))) {
            software += slot_swap(target + i, 0, entry);
            continue;
        }
        if ((((entry ^ c.like) & COPY_LIKE) || c.left == 0) && !copy_count(&c, entry, i)) {
            error = -ERR_CLASS;
            break;
        }
        if (entry & ENTRY_W) {
            entry = __atomic_fetch_and(from + i, ~ENTRY_W, __ATOMIC_RELAXED) & ~ENTRY_W;
            protected = i + 1;
        }
        c.left -= slot_swap(target + i, 0, entry);
    }
    copy_block_end(&c);
    b->done = (uint32_t)(c.total + software);
    b->mapped += c.total;
    *first = c.first;
    *end = protected;
    return error;
}

static long copy_locked(struct batch *b, struct op *op, struct space *source)
{
    struct gather *gather;
    uint64_t *target, *from;
    unsigned found;
    long error;

    op->address &= ~(BLOCK_BYTES - 1);
    op->level = 0;
    if ((target = batch_slots(b, op, TABLE_ENTRIES)) == NULL)
        return b->error;
    if (source == space_server)
        return -ERR_RANGE; /* its own image and linear map are not counted */
    from = space_slot(source, op->address, 0, &found);
    if (from == NULL)
        return -ERR_NOTABLE;
    if (!batch_table_empty(target))
        return -ERR_MAPPED;
    if ((error = source_gather(b, source, &gather)) != 0)
        return error;
    uint64_t first, end;
    error = leaves_copy(b, from, target, &first, &end);
    if (first < end)
        gather_range(gather, op->address + first * PAGE_BYTES, op->address + end * PAGE_BYTES);
    return error;
}

long batch_copy_table(struct batch *b, const struct op *op)
{
    struct op copy = *op;
    struct space *source;

    if (op->level > 1)
        return -ERR_LEVEL;
    long error = source_enter(b, op->extra, &source);
    if (error == 0)
        error = copy_locked(b, &copy, source);
    if (source != NULL && source != b->space)
        space_unlock(source);
    return error;
}
