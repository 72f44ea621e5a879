/*
 * Batch operations that change or remove what stands in a run of leaf slots: unmap, protect, clear
 * bits. Slots that are not as the operation wants them are passed over. Live entries change by
 * atomic AND, OR and swap: other harts' hardware sets accessed and dirty bits in them meanwhile.
 */
#include "kernel/batch.h"
#include "arch/arch.h"

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
    l->last = last;
    l->seen |= entry;
}

static inline void lost_fence(struct batch *b, const struct op *op, const struct lost *l)
{
    if (l->first <= l->last)
        batch_fence(b, op, l->first, l->last, l->seen);
}

/*
 * Empty the slots from `slot` to `end`. False: the result words are full.
 */
static inline __attribute__((always_inline)) bool unmap_group(struct batch *b,
                                                              struct leaf_puts *puts,
                                                              uint64_t *software, uint64_t *slot,
                                                              const uint64_t *end, bool keep)
{
    for (; slot < end; slot++) {
        uint64_t entry = slot_load(slot);
        if (entry == 0)
            continue;
        if (keep && (entry & ENTRY_V) && unlikely(!batch_result_room(b)))
            return false;
        entry = __atomic_exchange_n(slot, 0, __ATOMIC_RELAXED);
        if (unlikely(!leaf_puts_add(puts, entry)))
            ++*software;
        else if (keep)
            batch_result(b, entry);
    }
    return true;
}

/* Groups of eight: an empty one is passed over at once, others are fenced as a whole. */
static inline __attribute__((always_inline)) long unmap(struct batch *b, const struct op *op,
                                                        uint64_t *slot, bool keep)
{
    struct leaf_puts puts = {0};
    struct lost lost = LOST_NONE;
    uint64_t count = op->count, software = 0, before = 0;
    bool room = true;

    for (uint64_t i = 0, n; room && i < count; i += n) {
        n = count - i < 8 ? count - i : 8;
        if (slot_load(slot + i) == 0 && n == 8 && slots_or8(slot + i) == 0)
            continue;
        room = unmap_group(b, &puts, &software, slot + i, slot + i + n, keep);
        if (leaf_puts_count(&puts) != before)
            lost_add(&lost, i, i + n - 1, puts.seen);
        before = leaf_puts_count(&puts);
    }
    leaf_puts_flush(&puts);
    lost_fence(b, op, &lost);
    b->done = (uint32_t)(puts.total + software);
    b->unmapped += puts.total;
    return room ? 0 : -ERR_LIMIT;
}

long batch_unmap(struct batch *b, const struct op *op)
{
    uint64_t *slot;
    long error = batch_slots(b, op, op->count, &slot);

    if (unlikely(error))
        return error;
    return op->flags & BATCH_KEEP ? unmap(b, op, slot, true) : unmap(b, op, slot, false);
}

#define GRANTS (ENTRY_W | ENTRY_X)

/* What the capability of a protect operation gives. */
struct grant {
    pfn_t first;
    uint64_t pages, rights; /* rights: of GRANTS */
};

/* May these rights be added to the entry? All pages that it can reach must be covered. */
static inline bool may_add(const struct grant *g, uint64_t entry, uint64_t rights, uint64_t span)
{
    pfn_t page = entry_page(entry);

    if (unlikely(entry & ENTRY_N)) {
        page &= ~15UL;
        span = 16;
    }
    page -= g->first;
    return !(rights & ~g->rights) && page < g->pages && span <= g->pages - page;
}

/* Would any slot of the run gain a right that it may not? The capability is needed only for that.
 */
static long protect_decode(struct batch *b, const struct op *op, const uint64_t *slot,
                           struct grant *g)
{
    uint64_t wanted = op->entry & GRANTS, span = 1UL << (TABLE_SHIFT * op->level);

    *g = (struct grant){0};
    for (const uint64_t *end = slot + op->count; wanted && slot < end; slot++) {
        uint64_t entry = slot_load(slot), added = wanted & ~entry;
        if (!(entry & ENTRY_V) || !added || may_add(g, entry, added, span))
            continue;
        long error = batch_memory(b, op->memory);
        if (error)
            return error;
        *g = (struct grant){b->first, b->pages, GRANTS & ~b->forbid};
        if (!may_add(g, entry, added, span))
            return added & b->forbid ? -ERR_ENTRY : -ERR_RANGE;
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

/* Take the bits of `less` from a live entry, then add those of `more`: a right that stays is never
 * missing in between. The old entry. */
static inline uint64_t entry_change(uint64_t *slot, uint64_t entry, uint64_t less, uint64_t more)
{
    if (less)
        entry = __atomic_fetch_and(slot, ~less, __ATOMIC_RELAXED);
    if (more)
        __atomic_fetch_or(slot, more, __ATOMIC_RELAXED);
    return entry;
}

/*
 * A slot that a fault reply filled after decoding is passed over if it may not get what is asked:
 * it counts as filled after the operation.
 */
long batch_protect(struct batch *b, const struct op *op)
{
    const uint64_t which = GRANTS | ENTRY_D, wanted = op->entry;
    const bool keep = op->flags & BATCH_KEEP;
    struct lost lost = LOST_NONE;
    struct grant grant;
    uint64_t *slot, done = 0;
    long error;

    if (wanted & ~which)
        return -ERR_ENTRY;
    if ((error = batch_slots(b, op, op->count, &slot)) || (error = keep_decode(b, op)))
        return error;
    if ((error = protect_decode(b, op, slot, &grant)) != 0)
        return error;
    uint64_t span = 1UL << (TABLE_SHIFT * op->level);
    for (uint64_t i = 0, count = op->count; i < count; i++) {
        uint64_t entry = slot_load(slot + i);
        uint64_t less = entry & which & ~wanted, more = wanted & ~entry;
        if (!(entry & ENTRY_V))
            continue;
        if ((more & GRANTS) && unlikely(!may_add(&grant, entry, more & GRANTS, span)))
            continue;
        /* Dirty goes also where the hardware sets it just now. */
        entry = entry_change(slot + i, entry, less ? which & ~wanted : 0, more);
        if (less)
            lost_add(&lost, i, i, entry);
        if (keep)
            batch_result(b, entry);
        done += (less | more) != 0;
    }
    lost_fence(b, op, &lost);
    b->done = (uint32_t)done;
    return 0;
}

/* Bits that only the server reads need no fence. */
long batch_clear_bits(struct batch *b, const struct op *op)
{
    const uint64_t hardware = ENTRY_A | ENTRY_D, which = hardware | ENTRY_SOFT0 | ENTRY_SOFT1;
    const uint64_t clear = op->entry;
    const bool keep = op->flags & BATCH_KEEP;
    struct lost lost = LOST_NONE;
    uint64_t *slot, done = 0;
    long error;

    if (clear & ~which)
        return -ERR_ENTRY;
    if ((error = batch_slots(b, op, op->count, &slot)) || (error = keep_decode(b, op)))
        return error;
    for (uint64_t i = 0, count = op->count; i < count; i++) {
        uint64_t entry = slot_load(slot + i);
        if (!(entry & ENTRY_V))
            continue;
        if (entry & clear) {
            entry = entry_change(slot + i, entry, clear, 0);
            if (entry & clear & hardware)
                lost_add(&lost, i, i, entry);
            done++;
        }
        if (keep)
            batch_result(b, entry);
    }
    lost_fence(b, op, &lost);
    b->done = (uint32_t)done;
    return 0;
}
