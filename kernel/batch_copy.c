/*
 * The batch operation that fork is made of: copy a run of slots from another space, write-protected
 * on both sides. Both spaces are locked, and each is fenced by a gather of its own.
 */
#include "kernel/batch.h"
#include "arch/arch.h"
#include "arch/slot.h"
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

/* Slots copied under the kernel lock at a time; runs of less than two of these are not worth it. */
#define ALONE_SLOTS 256

/*
 * A run of slots being copied. Leaves are counted in their block before they are written: when a
 * block is met, for all slots that are left, and what was too many is given back at the next one.
 */
struct copy {
    struct batch *b;
    const struct space *source;
    uint64_t *from, *target;
    uint64_t count;
    uint64_t like;  /* a leaf of the block that is counted ahead */
    uint64_t ahead; /* counted for it and not yet written */
    uint64_t leaves, software;
    bool alone;            /* as far as is known, no other hart has run the spaces, */
    bool mixed;            /* and the copying alone has been short already */
    struct lost lost;      /* slots of the source that lost their write permission */
    struct lost displaced; /* slots of the target that a fault reply had filled */
};

static void ahead_end(struct copy *c)
{
    if (c->ahead)
        block_put_n(entry_page(c->like), (uint32_t)c->ahead);
    c->ahead = 0;
    c->like = ~0UL;
}

/* Count for all slots from i on in the block of this leaf, or at least for n. */
static __attribute__((noinline)) bool ahead_begin(struct copy *c, uint64_t leaf, uint64_t i,
                                                  uint64_t n)
{
    uint64_t most = c->count - i;

    ahead_end(c);
    if (!block_get_n(entry_page(leaf), (uint32_t)most)) {
        most = n;
        if (!block_get_n(entry_page(leaf), (uint32_t)most))
            return false;
    }
    c->like = leaf;
    c->ahead = most;
    return true;
}

/*
 * Something stood in slot i of the target after all, from a fault reply on another hart: a page
 * already there wins. It goes back, and `entry`, which displaced it, is not counted any more; the
 * translation that somebody may have made of it is fenced.
 */
static __attribute__((noinline)) void put_back(struct copy *c, uint64_t i, uint64_t old)
{
    uint64_t entry = __atomic_exchange_n(c->target + i, old, __ATOMIC_RELAXED);

    if (entry & ENTRY_V) {
        block_put_n(entry_page(entry), 1);
        c->leaves--;
        lost_add(&c->displaced, i, i, entry);
    } else {
        c->software--;
    }
}

/* Slot by slot: slots i to end. */
static __attribute__((noinline)) long copy_slots(struct copy *c, uint64_t i, uint64_t end)
{
    for (; i < end; i++) {
        uint64_t entry = slot_load(c->from + i), old;
        if (entry == 0)
            continue;
        if (!(entry & ENTRY_V)) {
            c->software++;
        } else {
            if (((entry ^ c->like) & LEAF_LIKE || c->ahead == 0) && !ahead_begin(c, entry, i, 1))
                return -ERR_CLASS;
            if (entry & ENTRY_W) {
                lost_add(&c->lost, i, i, entry);
                entry = arch_slot_and(c->from + i, ~ENTRY_W) & ~ENTRY_W;
            }
            c->ahead--;
            c->leaves++;
        }
        if ((old = __atomic_exchange_n(c->target + i, entry, __ATOMIC_RELEASE)) != 0)
            put_back(c, i, old);
    }
    return 0;
}

#define EIGHT(what) what(0) what(1) what(2) what(3) what(4) what(5) what(6) what(7)

/* Eight leaves of more than one block, counted each by itself, are one less each again. */
static __attribute__((noinline)) void uncount_each(int32_t *blocks, const uint64_t *e)
{
    for (unsigned k = 0; k < GROUP; k++)
        __atomic_fetch_sub(block_of_entry(blocks, e[k]), 1, __ATOMIC_RELAXED);
}

static __attribute__((noinline)) void put_back_group(struct copy *c, uint64_t i,
                                                     const uint64_t *old)
{
    for (unsigned k = 0; k < GROUP; k++)
        if (old[k])
            put_back(c, i + k, old[k]);
}

/*
 * Groups of eight leaves from slot i on that are counted ahead, or lie in several blocks; the index
 * of the first group that is neither, or the end. Software entries have W clear, so it can be taken
 * from all slots of a group unseen.
 */
static uint64_t copy_plain(struct copy *c, uint64_t i)
{
    int32_t *const blocks = c->b->blocks;
    uint64_t like = c->like, ahead = c->ahead, start = i, writable = 0, first = ~0UL;
    uint64_t last = 0, *from = c->from + i, *target = c->target + i;

    for (; i + GROUP <= c->count; i += GROUP, from += GROUP, target += GROUP) {
        if (slot_load(from) == 0 && slots_or8(from) == 0) {
            start += GROUP; /* nothing to count */
            continue;
        }
#define TAKE_W(k) uint64_t e##k = arch_slot_and(from + (k), ~ENTRY_W);
        EIGHT(TAKE_W)
        uint64_t any = e0 | e1 | e2 | e3 | e4 | e5 | e6 | e7;
        uint64_t all = e0 & e1 & e2 & e3 & e4 & e5 & e6 & e7;
        if (any & ENTRY_W) {
            first = i < first ? i : first;
            last = i;
            writable |= any;
#define CLEAR_W(k) e##k &= ~ENTRY_W;
            EIGHT(CLEAR_W)
        }
        if (likely(!(((any ^ like) | (all ^ like)) & LEAF_LIKE) && ahead >= GROUP)) {
            ahead -= GROUP;
        } else if ((all & ENTRY_V) && ((any ^ all) & LEAF_LIKE)) {
            long before = 0;
#define COUNT(k) before |= arch_count_up(block_of_entry(blocks, e##k));
            EIGHT(COUNT)
            if (unlikely(before < 0)) {
                uncount_each(blocks, (const uint64_t[]){e0, e1, e2, e3, e4, e5, e6, e7});
                break;
            }
        } else {
            break;
        }
#define PUT(k) uint64_t o##k = arch_slot_swap(target + (k), e##k);
        EIGHT(PUT)
        if (unlikely(o0 | o1 | o2 | o3 | o4 | o5 | o6 | o7))
            put_back_group(c, i, (const uint64_t[]){o0, o1, o2, o3, o4, o5, o6, o7});
    }
    if (first <= last)
        lost_add(&c->lost, first, last + GROUP - 1, writable);
    c->leaves += i - start;
    c->ahead = ahead;
    return i;
}

static inline void slot_store(uint64_t *slot, uint64_t entry)
{
    *(volatile uint64_t *)slot = entry;
}

/* Groups of leaves that are counted ahead, from slot i to `end`, where nobody else reads or changes
 * any slot: the index of the first group that is none, or of the last, not whole one. */
static uint64_t copy_unseen(struct copy *c, uint64_t i, uint64_t end)
{
    /* Without W, so that this is among what differs where a leaf has it. */
    const uint64_t like = c->like & ~ENTRY_W,
                   n = (end - i < c->ahead ? end - i : c->ahead) / GROUP * GROUP;
    uint64_t *from = c->from + i, *target = c->target + i, *stop = from + n;
    uint64_t *first = NULL, *last = NULL, writable = 0;

    for (; from < stop; from += GROUP, target += GROUP) {
#define LOAD(k) uint64_t e##k = slot_load(from + (k));
        EIGHT(LOAD)
#define UNLIKE(k) | (e##k ^ like)
        uint64_t unlike = 0 EIGHT(UNLIKE);
        if (unlike & LEAF_LIKE)
            break;
        if (unlike & ENTRY_W) {
            first = first ? first : from;
            last = from;
            writable |= unlike | like;
#define WITHOUT_W(k) slot_store(from + (k), e##k &= ~ENTRY_W);
            EIGHT(WITHOUT_W)
        }
#define STORE(k) slot_store(target + (k), e##k);
        EIGHT(STORE)
    }
    uint64_t done = (uint64_t)(from - c->from) - i;
    if (first)
        lost_add(&c->lost, (uint64_t)(first - c->from), (uint64_t)(last - c->from) + GROUP - 1,
                 writable);
    c->leaves += done;
    c->ahead -= done;
    return i + done;
}

/*
 * Where no other hart has run either space, plain loads and stores will do. Under the kernel lock
 * none can begin to, and no answer to a fault on the slow path comes in between: only this hart
 * walks these tables, and it is here. What its own hardware may do meanwhile is to set accessed
 * bits ahead of time; such a one may get lost.
 */
static uint64_t copy_alone(struct copy *c, uint64_t i)
{
    uint64_t end = i + ALONE_SLOTS < c->count ? i + ALONE_SLOTS : c->count, at = i, tried = end;
    const struct space *own = c->b->space, *source = c->source;

    kernel_lock(); /* ends being busy */
    c->alone =
        !((own->seen | own->running | source->seen | source->running) & ~(1UL << c->b->hart->id));
    if (c->alone) {
        /* Of a group of one block the first leaf counts all; the next look finds out. */
        while ((at = copy_unseen(c, at, end)) + GROUP <= end && at != tried) {
            uint64_t leaf = slot_load(c->from + at);
            if (!(leaf & ENTRY_V) || !ahead_begin(c, leaf, at, GROUP))
                break;
            tried = at;
        }
    }
    kernel_unlock();
    if (at - i < ALONE_SLOTS / 4) { /* a second time: too mixed to be worth the lock */
        c->alone = c->alone && at != i && !c->mixed;
        c->mixed = true;
    }
    return at;
}

/* What is there in the source loses its write permission and goes into the empty target. */
static long leaves_copy(struct copy *c)
{
    uint64_t i = 0, end;
    long error = 0;

    while (i < c->count && !error) {
        if (c->alone) {
            uint64_t from = i;
            i = copy_alone(c, i);
            if (i - from == ALONE_SLOTS)
                continue;
        }
        if (!c->alone)
            i = copy_plain(c, i);
        end = i + GROUP < c->count ? i + GROUP : c->count;
        /* A block is counted ahead by the first group that lies in it. */
        error = copy_slots(c, i, end);
        i = end;
    }
    ahead_end(c);
    c->b->done = (uint32_t)(c->leaves + c->software);
    c->b->mapped += c->leaves;
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
    return batch_runs_whole(op, *from);
}

static long copy_locked(struct batch *b, const struct op *op, struct space *source)
{
    struct gather *gather;
    uint64_t *target = batch_slots(b, op, op->count), *from;
    long error;

    if (target == NULL)
        return b->error;
    if ((error = source_slots(source, op, &from)) != 0)
        return error;
    /* What somebody has put into a table that was empty a moment ago is found later. */
    if ((op->level || b->at != b->fresh_at || b->leaf != b->fresh) && slots_or(target, op->count))
        return -ERR_MAPPED;
    if ((error = source_gather(b, source, &gather)) != 0)
        return error;
    struct copy c = {.b = b,
                     .source = source,
                     .alone = op->count >= 2 * ALONE_SLOTS,
                     .from = from,
                     .target = target,
                     .count = op->count,
                     .like = ~0UL,
                     .lost = LOST_NONE,
                     .displaced = LOST_NONE};
    error = leaves_copy(&c);
    lost_gather(gather, op, &c.lost);
    lost_gather(&b->gather, op, &c.displaced);
    if (op->count >= 2 * ALONE_SLOTS)
        batch_resume(b);
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
