/*
 * The batch operation that mremap is made of: move a run of slots to empty ones of the same space.
 *
 * An entry is taken out of its slot by a swap, so what hardware noted in it comes along, and put
 * into the new slot only if that is empty: a fault reply on another hart may have filled it. Then
 * all that was moved goes back. Counters stay as they are.
 */
#include "kernel/batch.h"
#include "arch/arch.h"
#include "arch/slot.h"

/* What a move has moved. */
struct moved {
    uint64_t slots; /* that were not empty */
    struct lost lost;
};

static inline bool put(uint64_t *slot, uint64_t entry)
{
    return likely(arch_slot_fill(slot, entry)) || slot_swap(slot, 0, entry);
}

/* The entries of `count` slots go back to where they were taken from. A slot that a fault reply
 * filled since keeps what it got: the entry is unmapped instead. */
static __attribute__((noinline)) void put_back(struct batch *b, uint64_t *slot,
                                               const uint64_t *entry, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        if (put(slot + i, entry[i]) || !(entry[i] & ENTRY_V))
            continue;
        space_leaf_put(entry_block(entry[i]), 1);
        b->unmapped++;
    }
}

/* Eight entries were taken out of `from`; the first k of them stand in `to`, and number k did not
 * go there. The rest is tried again, one by one, and what is not taken goes back: the number moved.
 */
static __attribute__((noinline)) uint64_t group_stuck(struct batch *b, uint64_t *from, uint64_t *to,
                                                      const uint64_t *entry, uint64_t k)
{
    while (k < GROUP && put(to + k, entry[k]))
        k++;
    put_back(b, from + k, entry + k, GROUP - k);
    return k;
}

static __attribute__((noinline)) uint64_t count_used(const uint64_t *entry, uint64_t count)
{
    uint64_t used = 0;

    for (uint64_t i = 0; i < count; i++)
        used += entry[i] != 0;
    return used;
}

/* Eight slots, `i` the index of the first; the number moved. */
static inline __attribute__((always_inline)) uint64_t
move_group(struct batch *b, struct moved *m, uint64_t *from, uint64_t *to, uint64_t i)
{
    uint64_t e0 = arch_slot_take(from), e1 = arch_slot_take(from + 1);
    uint64_t e2 = arch_slot_take(from + 2), e3 = arch_slot_take(from + 3);
    uint64_t e4 = arch_slot_take(from + 4), e5 = arch_slot_take(from + 5);
    uint64_t e6 = arch_slot_take(from + 6), e7 = arch_slot_take(from + 7);
    uint64_t all = e0 & e1 & e2 & e3 & e4 & e5 & e6 & e7, n = GROUP;

    if (unlikely(!arch_slot_fill(to, e0)))
        n = 0;
    else if (unlikely(!arch_slot_fill(to + 1, e1)))
        n = 1;
    else if (unlikely(!arch_slot_fill(to + 2, e2)))
        n = 2;
    else if (unlikely(!arch_slot_fill(to + 3, e3)))
        n = 3;
    else if (unlikely(!arch_slot_fill(to + 4, e4)))
        n = 4;
    else if (unlikely(!arch_slot_fill(to + 5, e5)))
        n = 5;
    else if (unlikely(!arch_slot_fill(to + 6, e6)))
        n = 6;
    else if (unlikely(!arch_slot_fill(to + 7, e7)))
        n = 7;
    else if (likely(all & ENTRY_V)) {
        m->slots += GROUP;
        lost_add(&m->lost, i, i + GROUP - 1, all);
        return GROUP;
    }
    const uint64_t e[GROUP] = {e0, e1, e2, e3, e4, e5, e6, e7};
    uint64_t any = e0 | e1 | e2 | e3 | e4 | e5 | e6 | e7;
    if (n < GROUP)
        n = group_stuck(b, from, to, e, n);
    m->slots += count_used(e, n);
    if (any & ENTRY_V)
        lost_add(&m->lost, i, i + GROUP - 1, any);
    return n;
}

/* Slot by slot, for the rest of a run: whether it was moved. */
static __attribute__((noinline)) bool move_one(struct batch *b, struct moved *m, uint64_t *from,
                                               uint64_t *to, uint64_t i)
{
    uint64_t entry = arch_slot_take(from);
    bool moved = put(to, entry);

    m->slots += moved && entry;
    if (entry & ENTRY_V)
        lost_add(&m->lost, i, i, entry);
    if (unlikely(!moved))
        put_back(b, from, &entry, 1);
    return moved;
}

/* As many of the slots as find the new ones empty: the number. */
static uint64_t slots_move(struct batch *b, struct moved *out, uint64_t *from, uint64_t *to,
                           uint64_t count)
{
    uint64_t i = 0, n = GROUP;

    *out = (struct moved){.lost = LOST_NONE};
    for (; i + GROUP <= count && n == GROUP; i += n)
        n = move_group(b, out, from + i, to + i, i);
    while (i < count && n && move_one(b, out, from + i, to + i, i))
        i++;
    return i;
}

/* A slot of the new place was not empty after all: `done` slots go back. */
static long move_undo(struct batch *b, const struct op *op, uint64_t *from, uint64_t *to,
                      uint64_t done)
{
    struct op back = *op;
    struct moved moved;
    uint64_t undone = slots_move(b, &moved, to, from, done);

    back.address = op->extra;
    lost_fence(b, &back, &moved.lost);
    b->done = (uint32_t)(done - undone); /* and those that cannot stay where they came to */
    return -ERR_MAPPED;
}

long batch_move(struct batch *b, const struct op *op)
{
    struct op target = *op;
    struct moved moved;

    target.address = op->extra;
    uint64_t *to = batch_slots(b, &target, op->count);
    uint64_t *from = to ? batch_slots(b, op, op->count) : NULL;
    if (unlikely(from == NULL))
        return b->error;
    if (unlikely(from < to + op->count && to < from + op->count))
        return -ERR_ARGUMENT;
    if (unlikely(batch_runs_whole(op, from)))
        return -ERR_ALIGN;
    if (unlikely((op->address ^ op->extra) % (16 * PAGE_BYTES) && op->level == 0 &&
                 (arch_features & BOOT_HAS_SVNAPOT) && (slots_or(from, op->count) & ENTRY_N)))
        return -ERR_ALIGN; /* a run would no longer be aligned */
    uint64_t done = slots_move(b, &moved, from, to, op->count);
    lost_fence(b, op, &moved.lost);
    if (unlikely(done < op->count))
        return move_undo(b, op, from, to, done);
    b->done = (uint32_t)moved.slots;
    return 0;
}
