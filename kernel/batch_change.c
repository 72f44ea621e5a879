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

/* n leaves like this one are gone from their slots. Release: whoever sees the lower count sees
 * that, and that this hart is gathering. */
static inline void leaves_uncount(struct taken *t, int32_t *blocks, uint64_t like, uint64_t n)
{
    __atomic_fetch_sub(block_of_entry(blocks, like), (int32_t)n, __ATOMIC_RELEASE);
    t->leaves += n;
}

/* Eight entries taken out that are not all leaves; i: index of the first. */
static __attribute__((noinline)) void group_mixed(struct taken *t, int32_t *blocks,
                                                  const uint64_t *entry, uint64_t i)
{
    for (uint64_t k = 0; k < GROUP; k++) {
        if (entry[k] & ENTRY_V) {
            leaves_uncount(t, blocks, entry[k], 1);
            lost_add(&t->lost, i + k, i + k, entry[k]);
        } else {
            t->software += entry[k] != 0;
        }
    }
}

/*
 * Empty the slots in whole groups; the number of slots seen to. A group that is empty is not
 * written. Leaves of one block are taken off its counter when the next block is met: `like` is the
 * last of them, `held` how many there are.
 */
static inline uint64_t unmap_groups(struct batch *b, struct taken *t, uint64_t *start,
                                    uint64_t count)
{
    int32_t *const blocks = b->blocks;
    uint64_t like = ~0UL, held = 0, seen = 0;
    uint64_t *slot = start, *end = start + count / GROUP * GROUP, *last = NULL;

    for (; slot < end; slot += GROUP) {
        if (unlikely(!slot_load(slot)) && !slots_or8(slot))
            continue;
        uint64_t e0 = arch_slot_take(slot), e1 = arch_slot_take(slot + 1);
        uint64_t e2 = arch_slot_take(slot + 2), e3 = arch_slot_take(slot + 3);
        uint64_t e4 = arch_slot_take(slot + 4), e5 = arch_slot_take(slot + 5);
        uint64_t e6 = arch_slot_take(slot + 6), e7 = arch_slot_take(slot + 7);
        uint64_t any = e0 | e1 | e2 | e3 | e4 | e5 | e6 | e7;
        uint64_t all = e0 & e1 & e2 & e3 & e4 & e5 & e6 & e7;
        if (likely(!(((any ^ like) | (all ^ like)) & LEAF_LIKE))) {
            held += GROUP;
            seen |= any;
            last = slot;
            continue;
        }
        uint64_t i = (uint64_t)(slot - start);
        if (unlikely(!(all & ENTRY_V))) {
            const uint64_t e[GROUP] = {e0, e1, e2, e3, e4, e5, e6, e7};
            group_mixed(t, blocks, e, i);
            continue;
        }
        lost_add(&t->lost, i, i + GROUP - 1, any);
        if (!((any ^ all) & LEAF_LIKE)) {
            if (held)
                leaves_uncount(t, blocks, like, held);
            like = all;
            held = GROUP;
            continue;
        }
        __atomic_thread_fence(__ATOMIC_RELEASE);
        __atomic_fetch_sub(block_of_entry(blocks, e0), 1, __ATOMIC_RELAXED);
        __atomic_fetch_sub(block_of_entry(blocks, e1), 1, __ATOMIC_RELAXED);
        __atomic_fetch_sub(block_of_entry(blocks, e2), 1, __ATOMIC_RELAXED);
        __atomic_fetch_sub(block_of_entry(blocks, e3), 1, __ATOMIC_RELAXED);
        __atomic_fetch_sub(block_of_entry(blocks, e4), 1, __ATOMIC_RELAXED);
        __atomic_fetch_sub(block_of_entry(blocks, e5), 1, __ATOMIC_RELAXED);
        __atomic_fetch_sub(block_of_entry(blocks, e6), 1, __ATOMIC_RELAXED);
        __atomic_fetch_sub(block_of_entry(blocks, e7), 1, __ATOMIC_RELAXED);
        t->leaves += GROUP;
    }
    if (held)
        leaves_uncount(t, blocks, like, held);
    if (last != NULL) {
        uint64_t i = (uint64_t)(last - start);
        lost_add(&t->lost, i, i + GROUP - 1, seen);
    }
    return (uint64_t)(end - start);
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
    if (unlikely(batch_runs_whole(op, slot)))
        return -ERR_ALIGN;
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
    uint64_t starts;        /* of the pages, where a leaf of the operation's level may start */
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

/* What a protect or clear of bits does, and has done. */
struct change {
    uint64_t less, more; /* bits to take from leaves, and to add */
    uint64_t leaves;     /* seen to */
    uint64_t full;       /* bit per group of eight slots: leaves, all of which may get `more` */
    struct grant grant;
    struct lost lost;
};

_Static_assert(TABLE_ENTRIES / GROUP <= 64, "a bit per group");

/* Eight slots: what is the same in all of them, what is in any. */
struct group {
    uint64_t any, all;
};

static inline __attribute__((always_inline)) struct group group_load(const uint64_t *slot)
{
    uint64_t e0 = slot_load(slot), e1 = slot_load(slot + 1), e2 = slot_load(slot + 2);
    uint64_t e3 = slot_load(slot + 3), e4 = slot_load(slot + 4), e5 = slot_load(slot + 5);
    uint64_t e6 = slot_load(slot + 6), e7 = slot_load(slot + 7);

    return (struct group){.any = e0 | e1 | e2 | e3 | e4 | e5 | e6 | e7,
                          .all = e0 & e1 & e2 & e3 & e4 & e5 & e6 & e7};
}

/* Take bits from eight slots: the bits of any that stood there. */
static inline __attribute__((always_inline)) uint64_t group_less(uint64_t *slot, uint64_t less)
{
    return arch_slot_and(slot, ~less) | arch_slot_and(slot + 1, ~less) |
           arch_slot_and(slot + 2, ~less) | arch_slot_and(slot + 3, ~less) |
           arch_slot_and(slot + 4, ~less) | arch_slot_and(slot + 5, ~less) |
           arch_slot_and(slot + 6, ~less) | arch_slot_and(slot + 7, ~less);
}

static inline __attribute__((always_inline)) void group_more(uint64_t *slot, uint64_t more)
{
    arch_slot_or(slot, more), arch_slot_or(slot + 1, more);
    arch_slot_or(slot + 2, more), arch_slot_or(slot + 3, more);
    arch_slot_or(slot + 4, more), arch_slot_or(slot + 5, more);
    arch_slot_or(slot + 6, more), arch_slot_or(slot + 7, more);
}

/* May `more` be added to all leaves of the group? If the least and the greatest that their page
 * numbers can be are inside the extent, all are. */
static inline bool group_may(const struct grant *g, const struct group *e, uint64_t more)
{
    /* Bits above the page number take it out of the extent. */
    return !(more & ~g->rights) && (e->all >> ENTRY_PAGE_SHIFT) - g->first < g->starts &&
           (e->any >> ENTRY_PAGE_SHIFT) - g->first < g->starts;
}

/*
 * Would any slot of the run gain a right that it may not? The capability is needed only for that.
 * While the space is locked leaves stay leaves, so a group found full here can be changed unseen.
 */
static long protect_decode(struct batch *b, const struct op *op, const uint64_t *slot,
                           struct change *c)
{
    const uint64_t wanted = c->more & GRANTS, span = 1UL << (TABLE_SHIFT * op->level);
    const uint64_t groups = op->flags & BATCH_KEEP ? 0 : op->count / GROUP;
    long error = batch_memory(b, op->memory);
    struct grant g = {0};
    uint64_t full = 0, seen = 0;

    if (!error)
        g = (struct grant){b->first, b->pages, GRANTS & ~b->forbid,
                           b->pages < span ? 0 : b->pages - span + 1};

    c->grant = g;
    for (uint64_t k = 0; k < groups; k++) {
        struct group e = group_load(slot + k * GROUP);
        uint64_t added = wanted & ~e.all;
        seen |= e.any;
        if (likely((e.all & ENTRY_V) && (!added || group_may(&g, &e, added))))
            full |= 1UL << k;
    }
    c->full = full;
    if (groups * GROUP == op->count && !(seen & c->less))
        c->less = 0;
    for (uint64_t i = 0, count = op->count; i < count; i++) {
        if (i % GROUP == 0 && (full >> i / GROUP & 1)) {
            i += GROUP - 1;
            continue;
        }
        uint64_t entry = slot_load(slot + i), added = wanted & ~entry;
        if (!(entry & ENTRY_V) || !added || may_add(&g, entry, added, span))
            continue;
        if (error)
            return error;
        return added & b->forbid ? -ERR_ENTRY : -ERR_RANGE;
    }
    return 0;
}

/* The full groups from slot i on, a multiple of eight. */
static inline uint64_t groups_full(struct change *c, uint64_t *slot, uint64_t i)
{
    const uint64_t less = c->less, more = c->more;
    uint64_t full = c->full >> i / GROUP;

    for (; full & 1; full >>= 1, i += GROUP) {
        if (less) {
            uint64_t any = group_less(slot + i, less);
            if (any & less)
                lost_add(&c->lost, i, i + GROUP - 1, any);
        }
        group_more(slot + i, more);
        c->leaves += GROUP;
    }
    return i;
}

/* Software entries have W and X clear: taking only these from leaves can be done to all slots
 * unseen. The number of slots seen to. */
static inline uint64_t groups_less(struct change *c, uint64_t *slot, uint64_t count)
{
    const uint64_t less = c->less, end = count / GROUP * GROUP;
    uint64_t first = ~0UL, last = 0, seen = 0, leaves = 0;

    for (uint64_t i = 0; i < end; i += GROUP) {
        uint64_t any = group_less(slot + i, less);
        leaves += (any & ENTRY_V) * GROUP;
        if (any & less) {
            first = i < first ? i : first;
            last = i;
            seen |= any;
        }
    }
    if (first <= last)
        lost_add(&c->lost, first, last + GROUP - 1, seen);
    c->leaves = leaves;
    return end;
}

/* Groups of leaves from slot i on, as long as there are such; bits are only taken. */
static inline uint64_t groups_clear(struct change *out, uint64_t *slot, uint64_t i, uint64_t count)
{
    struct change c = *out;

    for (; i + GROUP <= count; i += GROUP) {
        struct group e = group_load(slot + i);
        if (unlikely(!(e.all & ENTRY_V)))
            break;
        if (e.any & c.less) /* dirty goes also where the hardware sets it just now */
            lost_add(&c.lost, i, i + GROUP - 1, group_less(slot + i, c.less));
        c.leaves += GROUP;
    }
    *out = c;
    return i;
}

/*
 * One slot. One that a fault reply filled after decoding is passed over if it may not get what is
 * asked: it counts as filled after the operation.
 */
static void slot_change(struct batch *b, const struct op *op, struct change *c, uint64_t *slot,
                        uint64_t i)
{
    uint64_t entry = slot_load(slot), less = entry & c->less, more = c->more & ~entry;

    if (!(entry & ENTRY_V))
        return;
    if ((more & GRANTS) &&
        !may_add(&c->grant, entry, more & GRANTS, 1UL << (TABLE_SHIFT * op->level)))
        return;
    entry = entry_change(slot, entry, less ? c->less : 0, more);
    /* Bits that only the server reads need no fence. */
    if (less & ~(ENTRY_SOFT0 | ENTRY_SOFT1))
        lost_add(&c->lost, i, i, entry);
    if (op->flags & BATCH_KEEP)
        batch_result(b, entry);
    c->leaves++;
}

static void slots_change(struct batch *b, const struct op *op, struct change *c, uint64_t *slot)
{
    const bool kept = op->flags & BATCH_KEEP;
    /* Groups whose loss needs no fence are rare: slot by slot. */
    const bool clears = !kept && !c->more && (c->less & ~(ENTRY_SOFT0 | ENTRY_SOFT1));
    uint64_t i = 0, count = op->count;

    if (clears && !(c->less & ~GRANTS))
        i = groups_less(c, slot, count);
    while (i < count) {
        if (clears)
            i = groups_clear(c, slot, i, count);
        else if (c->full)
            i = groups_full(c, slot, i);
        for (uint64_t end = i + GROUP; i < end && i < count; i++)
            slot_change(b, op, c, slot + i, i);
    }
    lost_fence(b, op, &c->lost);
    b->done = (uint32_t)c->leaves;
}

long batch_protect(struct batch *b, const struct op *op)
{
    const uint64_t which = GRANTS | (op->flags & BATCH_DIRTY_STAYS ? 0 : ENTRY_D) |
                           (op->flags & BATCH_REACH ? ENTRY_U : 0);
    struct change c = {.less = which & ~op->entry, .more = op->entry, .lost = LOST_NONE};
    uint64_t *slot;
    long error;

    if (op->entry & ~which)
        return -ERR_ENTRY;
    if ((slot = batch_slots(b, op, op->count)) == NULL)
        return b->error;
    if ((error = keep_decode(b, op)) || (error = batch_runs_whole(op, slot)) ||
        ((c.more & GRANTS) && (error = protect_decode(b, op, slot, &c))))
        return error;
    slots_change(b, op, &c, slot);
    return 0;
}

long batch_clear_bits(struct batch *b, const struct op *op)
{
    const uint64_t which = ENTRY_A | ENTRY_D | ENTRY_SOFT0 | ENTRY_SOFT1;
    struct change c = {.less = op->entry, .lost = LOST_NONE};
    uint64_t *slot;
    long error;

    if (op->entry & ~which)
        return -ERR_ENTRY;
    if ((slot = batch_slots(b, op, op->count)) == NULL)
        return b->error;
    if ((error = keep_decode(b, op)) || (error = batch_runs_whole(op, slot)))
        return error;
    slots_change(b, op, &c, slot);
    return 0;
}
