/*
 * Batch operations that change or remove what stands in a run of leaf slots: unmap, protect, clear
 * bits. Slots that are not as the operation wants them are passed over. Live entries change by
 * atomic AND, OR and swap: other harts' hardware sets accessed and dirty bits in them meanwhile.
 */
#include "kernel/batch.h"
#include "arch/arch.h"

/* A run of slots that is worked on: what has to be fenced in the end. */
struct run {
    uint64_t first, last; /* slots that lost something; first > last: none */
    uint64_t seen;        /* all bits of these */
};

static inline void run_lost(struct run *r, uint64_t i, uint64_t entry)
{
    if (r->first > i)
        r->first = i;
    r->last = i;
    r->seen |= entry;
}

static inline void run_fence(struct batch *b, const struct op *op, const struct run *r)
{
    if (r->first <= r->last)
        batch_fence(b, op, r->first, r->last, r->seen);
}

#define RUN_NONE ((struct run){.first = TABLE_ENTRIES})

/* Eight slots from i on are in the run and empty. */
static inline bool eight_empty(const uint64_t *slot, uint64_t i, uint64_t count)
{
    return count - i >= 8 && slots_or8(slot + i) == 0;
}

static inline __attribute__((always_inline)) long unmap(struct batch *b, const struct op *op,
                                                        uint64_t *slot, bool keep)
{
    struct leaf_puts puts = {0};
    struct run run = RUN_NONE;
    uint64_t i = 0, count = op->count, done = 0, gone = 0;
    long error = 0;

    for (; i < count; i++) {
        uint64_t entry = slot_load(slot + i);
        if (entry == 0) {
            while (i < count - 1 && eight_empty(slot, i + 1, count))
                i += 8;
            continue;
        }
        if (keep && (entry & ENTRY_V) && unlikely(!batch_result_room(b))) {
            error = -ERR_LIMIT;
            break;
        }
        entry = __atomic_exchange_n(slot + i, 0, __ATOMIC_RELAXED);
        done++;
        if (!(entry & ENTRY_V))
            continue;
        gone++;
        run_lost(&run, i, entry);
        leaf_puts_add(&puts, entry);
        if (keep)
            batch_result(b, entry);
    }
    leaf_puts_flush(&puts);
    run_fence(b, op, &run);
    b->done = (uint32_t)done;
    b->unmapped += gone;
    return error;
}

long batch_unmap(struct batch *b, const struct op *op)
{
    uint64_t *slot;
    long error = batch_slots(b, op, op->count, &slot);

    if (unlikely(error))
        return error;
    return op->flags & BATCH_KEEP ? unmap(b, op, slot, true) : unmap(b, op, slot, false);
}

/* May these rights be added to the entry? The capability decoded last must give them, and cover all
 * pages that the entry can reach. */
static bool may_add(const struct batch *b, const struct op *op, uint64_t entry, uint64_t rights)
{
    pfn_t page = entry_page(entry), pages = 1UL << (TABLE_SHIFT * op->level);

    if (entry & ENTRY_N) {
        page &= ~15UL;
        pages = 16;
    }
    page -= b->first;
    return b->memory_slot == op->memory && !(rights & b->forbid) && page < b->pages &&
           pages <= b->pages - page;
}

#define GRANTS (ENTRY_W | ENTRY_X)

/* Would any slot of the run gain a right that it may not? */
static long protect_decode(struct batch *b, const struct op *op, const uint64_t *slot)
{
    for (uint64_t i = 0; i < op->count; i++) {
        uint64_t entry = slot_load(slot + i), added = op->entry & ~entry & GRANTS;
        if (!(entry & ENTRY_V) || !added)
            continue;
        long error = batch_memory(b, op->memory);
        if (error)
            return error;
        if (added & b->forbid)
            return -ERR_ENTRY;
        if (!may_add(b, op, entry, added))
            return -ERR_RANGE;
    }
    return 0;
}

/* With BATCH_KEEP each valid leaf gives one result: there must be room for all before any changes.
 */
static long keep_decode(const struct batch *b, const struct op *op)
{
    bool full = (op->flags & BATCH_KEEP) && op->count > BATCH_RESULTS_MAX - b->results;
    return full ? -ERR_LIMIT : 0;
}

/*
 * What goes is taken by one AND before what comes is added by one OR, so that a right that stays is
 * never missing. A slot that a fault reply filled after decoding is passed over if it may not get
 * what is asked: it counts as filled after the operation.
 */
long batch_protect(struct batch *b, const struct op *op)
{
    const uint64_t which = GRANTS | ENTRY_D;
    struct run run = RUN_NONE;
    uint64_t *slot, done = 0;
    long error;

    if (op->entry & ~which)
        return -ERR_ENTRY;
    if ((error = batch_slots(b, op, op->count, &slot)) || (error = keep_decode(b, op)))
        return error;
    if ((op->entry & GRANTS) && (error = protect_decode(b, op, slot)) != 0)
        return error;
    for (uint64_t i = 0; i < op->count; i++) {
        uint64_t entry = slot_load(slot + i);
        uint64_t less = entry & which & ~op->entry, more = op->entry & ~entry;
        if (!(entry & ENTRY_V) || ((more & GRANTS) && !may_add(b, op, entry, more & GRANTS)))
            continue;
        if (less) {
            entry = __atomic_fetch_and(slot + i, op->entry | ~which, __ATOMIC_RELAXED);
            run_lost(&run, i, entry);
        }
        if (more)
            __atomic_fetch_or(slot + i, more, __ATOMIC_RELAXED);
        if (op->flags & BATCH_KEEP)
            batch_result(b, entry);
        done += (less | more) != 0;
    }
    run_fence(b, op, &run);
    b->done = (uint32_t)done;
    return 0;
}

/* Bits that only the server reads need no fence. */
long batch_clear_bits(struct batch *b, const struct op *op)
{
    const uint64_t hardware = ENTRY_A | ENTRY_D, which = hardware | ENTRY_SOFT0 | ENTRY_SOFT1;
    struct run run = RUN_NONE;
    uint64_t *slot, done = 0;
    long error;

    if (op->entry & ~which)
        return -ERR_ENTRY;
    if ((error = batch_slots(b, op, op->count, &slot)) || (error = keep_decode(b, op)))
        return error;
    for (uint64_t i = 0; i < op->count; i++) {
        uint64_t entry = slot_load(slot + i);
        if (!(entry & ENTRY_V))
            continue;
        if (entry & op->entry) {
            entry = __atomic_fetch_and(slot + i, ~op->entry, __ATOMIC_RELAXED);
            if (entry & op->entry & hardware)
                run_lost(&run, i, entry);
            done++;
        }
        if (op->flags & BATCH_KEEP)
            batch_result(b, entry);
    }
    run_fence(b, op, &run);
    b->done = (uint32_t)done;
    return 0;
}
