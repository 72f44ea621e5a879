/*
 * Batch operations that change or remove what stands in a run of leaf slots: unmap, protect, clear
 * bits. Slots that are not as the operation wants them are passed over. Live entries change by
 * atomic AND, OR and swap: other harts' hardware sets accessed and dirty bits in them meanwhile.
 */
#include "kernel/batch.h"
#include "arch/arch.h"
#include "arch/slot.h"

/* What an unmap has taken out. */
struct taken {
    uint64_t leaves, software;
    struct lost lost;
};

/* Leaves of the memory server's own image were never counted (see space_leaf_put). */
static inline bool all_counted(const struct batch *b)
{
    return b->space != space_server;
}

static inline void leaf_uncount(int32_t *blocks, uint64_t entry, int32_t n)
{
    __atomic_fetch_sub(block_of_entry(blocks, entry), n, __ATOMIC_RELAXED);
}

/* One of a group, taken out of its slot. */
static inline void group_member(struct taken *t, int32_t *blocks, uint64_t entry)
{
    if (entry & ENTRY_V) {
        leaf_uncount(blocks, entry, 1);
        t->leaves++;
    } else {
        t->software += entry != 0;
    }
}

/* Empty eight slots of a space whose leaves are all counted. `i` is the index of the first. */
static inline void unmap_group(struct taken *t, int32_t *blocks, uint64_t *slot, uint64_t i)
{
    uint64_t e0 = arch_slot_take(slot), e1 = arch_slot_take(slot + 1);
    uint64_t e2 = arch_slot_take(slot + 2), e3 = arch_slot_take(slot + 3);
    uint64_t e4 = arch_slot_take(slot + 4), e5 = arch_slot_take(slot + 5);
    uint64_t e6 = arch_slot_take(slot + 6), e7 = arch_slot_take(slot + 7);
    uint64_t any = e0 | e1 | e2 | e3 | e4 | e5 | e6 | e7;
    uint64_t all = e0 & e1 & e2 & e3 & e4 & e5 & e6 & e7;

    /* The slots are empty, and this hart known to be gathering, before a counter is lower. */
    __atomic_thread_fence(__ATOMIC_RELEASE);
    if (likely((all & ENTRY_V) && !((any ^ all) & LEAF_LIKE))) {
        leaf_uncount(blocks, all, GROUP);
        t->leaves += GROUP;
    } else if (likely(all & ENTRY_V)) {
        leaf_uncount(blocks, e0, 1);
        leaf_uncount(blocks, e1, 1);
        leaf_uncount(blocks, e2, 1);
        leaf_uncount(blocks, e3, 1);
        leaf_uncount(blocks, e4, 1);
        leaf_uncount(blocks, e5, 1);
        leaf_uncount(blocks, e6, 1);
        leaf_uncount(blocks, e7, 1);
        t->leaves += GROUP;
    } else {
        const uint64_t e[GROUP] = {e0, e1, e2, e3, e4, e5, e6, e7};
        for (unsigned k = 0; k < GROUP; k++)
            group_member(t, blocks, e[k]);
    }
    if (any & ENTRY_V)
        lost_add(&t->lost, i, i + GROUP - 1, any);
}

/* Whole groups; the number of slots seen to. A group that is empty is not written. */
static inline uint64_t unmap_groups(struct batch *b, struct taken *t, uint64_t *slot,
                                    uint64_t count)
{
    int32_t *blocks = b->blocks;
    uint64_t i = 0;

    for (; i + GROUP <= count; i += GROUP)
        if (slot_load(slot + i) || slots_or8(slot + i))
            unmap_group(t, blocks, slot + i, i);
    return i;
}

/* Slot by slot, from index i on. */
static long unmap_rest(struct batch *b, const struct op *op, struct taken *t, uint64_t *slot,
                       uint64_t i)
{
    const bool keep = op->flags & BATCH_KEEP;

    for (uint64_t count = op->count; i < count; i++) {
        uint64_t entry = slot_load(slot + i);
        if (entry == 0)
            continue;
        if (keep && (entry & ENTRY_V) && unlikely(!batch_result_room(b)))
            return -ERR_LIMIT;
        entry = arch_slot_take(slot + i);
        if (!(entry & ENTRY_V)) {
            t->software++;
            continue;
        }
        if (keep)
            batch_result(b, entry);
        t->leaves++;
        lost_add(&t->lost, i, i, entry);
        space_leaf_put(entry_block(entry), 1);
    }
    return 0;
}

long batch_unmap(struct batch *b, const struct op *op)
{
    uint64_t i = 0, *slot = batch_slots(b, op, op->count);
    struct taken t = {.lost = LOST_NONE};

    if (unlikely(slot == NULL))
        return b->error;
    if (likely(all_counted(b) && !(op->flags & BATCH_KEEP)))
        i = unmap_groups(b, &t, slot, op->count);
    long error = i < op->count ? unmap_rest(b, op, &t, slot, i) : 0;
    lost_fence(b, op, &t.lost);
    b->done = (uint32_t)(t.leaves + t.software);
    b->unmapped += t.leaves;
    return error;
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
    if ((slot = batch_slots(b, op, op->count)) == NULL)
        return b->error;
    if ((error = keep_decode(b, op)) || (error = protect_decode(b, op, slot, &grant)))
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
    if ((slot = batch_slots(b, op, op->count)) == NULL)
        return b->error;
    if ((error = keep_decode(b, op)) != 0)
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
