/*
 * The batch operation that fork is made of: copy a run of slots from another space, write-protected
 * on both sides. Both spaces are locked, and each is fenced by a gather of its own.
 */
#include "kernel/batch.h"
#include "arch/arch.h"
#include "kernel/assert.h"
#include "kernel/cap.h"

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
 * A run of slots being copied. Leaves are counted in their block before they are written: one when
 * a block is met, then twice as many each time, and what was too many is given back. The common
 * case is two comparisons: a leaf of the same block and kind as the one before, and counted.
 */
struct copy {
    uint64_t like;  /* the leaf before; 0: none */
    uint64_t got;   /* counted for its block */
    uint64_t left;  /* of these, not yet written */
    uint64_t total; /* counted in all */
    uint64_t first; /* slot that lost its write permission first */
    uint64_t count; /* slots to copy */
};

#define COPY_LIKE (LEAF_LIKE | ENTRY_W)

static inline void copy_block_end(struct copy *c)
{
    if (c->left)
        block_put_n(entry_page(c->like), (uint32_t)c->left);
    c->total -= c->left;
    c->got = c->left = 0;
}

/* A leaf in slot i that is of another block or kind, or not yet counted. False: the counter is
 * full. */
static inline bool copy_count(struct copy *c, uint64_t entry, uint64_t i)
{
    if ((entry ^ c->like) & LEAF_LIKE)
        copy_block_end(c);
    c->like = entry;
    if ((entry & ENTRY_W) && c->first > i)
        c->first = i;
    if (c->left)
        return true;
    uint64_t more = c->got ? c->got : 1, most = c->count - i;
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
static long leaves_copy(struct batch *b, uint64_t *from, uint64_t *target, uint64_t count,
                        uint64_t *first, uint64_t *end)
{
    struct copy c = {.first = count, .count = count};
    uint64_t software = 0, protected = 0;
    long error = 0;

    for (uint64_t i = 0; i < count; i++) {
        uint64_t entry = slot_load(from + i);
        if (entry == 0) {
            if (i + GROUP <= count && slots_or8(from + i) == 0)
                i += GROUP - 1;
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

/* The slots of the source, of which none leads to a table. */
static long source_slots(struct space *source, const struct op *op, uint64_t **from)
{
    unsigned found;

    if (source == space_server)
        return -ERR_RANGE; /* its own image and linear map are not counted */
    *from = space_slot(source, op->address, op->level, &found);
    if (*from == NULL)
        return batch_why_no_slot(source, op->address, found);
    for (uint64_t i = 0; op->level && i < op->count; i++)
        if (entry_is_table(slot_load(*from + i)))
            return -ERR_LEVEL;
    return 0;
}

static long copy_locked(struct batch *b, const struct op *op, struct space *source)
{
    struct gather *gather;
    uint64_t *target = batch_slots(b, op, op->count), *from, first, end;
    long error;

    if (target == NULL)
        return b->error;
    if ((error = source_slots(source, op, &from)) != 0)
        return error;
    if (slots_or(target, op->count))
        return -ERR_MAPPED;
    if ((error = source_gather(b, source, &gather)) != 0)
        return error;
    error = leaves_copy(b, from, target, op->count, &first, &end);
    if (first < end)
        gather_range(gather, op->address + (first << level_shift(op->level)),
                     op->address + (end << level_shift(op->level)));
    return error;
}

long batch_copy_table(struct batch *b, const struct op *op)
{
    struct space *source;
    long error = source_enter(b, op->extra, &source);

    if (error == 0)
        error = copy_locked(b, op, source);
    if (source != NULL && source != b->space)
        space_unlock(source);
    return error;
}
