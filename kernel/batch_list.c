/*
 * Leaves from a list in the result words: BATCH_MAP_LIST, and the part of it that an answer which
 * goes straight has in common with it. The space is locked and the hart busy.
 */
#include "kernel/batch.h"

/* A list as it was read, once: user mode may write the operation page meanwhile. */
struct list {
    uint64_t any, all; /* OR and AND of the entries */
    uint32_t mixed;    /* bit per group: its pages lie in more than one block */
    uint64_t *entry;
};

_Static_assert(BATCH_RESULTS_MAX / GROUP <= 32, "a bit per group");

static inline void list_read_group(struct list *l, uint64_t i, const volatile uint64_t *from)
{
    uint64_t *to = l->entry + i;
    uint64_t e0 = from[i] | ENTRY_ALWAYS, e1 = from[i + 1] | ENTRY_ALWAYS;
    uint64_t e2 = from[i + 2] | ENTRY_ALWAYS, e3 = from[i + 3] | ENTRY_ALWAYS;
    uint64_t e4 = from[i + 4] | ENTRY_ALWAYS, e5 = from[i + 5] | ENTRY_ALWAYS;
    uint64_t e6 = from[i + 6] | ENTRY_ALWAYS, e7 = from[i + 7] | ENTRY_ALWAYS;
    uint64_t any = e0 | e1 | e2 | e3 | e4 | e5 | e6 | e7;
    uint64_t all = e0 & e1 & e2 & e3 & e4 & e5 & e6 & e7;

    to[0] = e0, to[1] = e1, to[2] = e2, to[3] = e3;
    to[4] = e4, to[5] = e5, to[6] = e6, to[7] = e7;
    l->any |= any;
    l->all &= all;
    if ((any ^ all) & ENTRY_BLOCK_MASK)
        l->mixed |= 1U << i / GROUP;
}

static inline void list_read(struct list *l, const volatile uint64_t *from, uint64_t count)
{
    uint64_t i = 0;

    for (; i + GROUP <= count; i += GROUP)
        list_read_group(l, i, from);
    for (; i < count; i++) {
        l->entry[i] = from[i] | ENTRY_ALWAYS;
        l->any |= l->entry[i];
        l->all &= l->entry[i];
    }
}

/*
 * Are all pages inside the extent of the capability? The AND of their numbers is not above any of
 * them and the OR not below; only where these two are too far apart must each page be looked at.
 */
static inline bool list_covered(const struct extent *m, const struct list *l, uint64_t count)
{
    if (likely(entry_page(l->all) - m->first < m->pages &&
               entry_page(l->any) - m->first < m->pages))
        return true;
    for (uint64_t i = 0; i < count; i++)
        if (entry_page(l->entry[i]) - m->first >= m->pages)
            return false;
    return true;
}

static void list_put(int32_t *blocks, const struct list *l, uint64_t first, uint64_t end)
{
    for (; first < end; first++)
        __atomic_fetch_sub(block_of_entry(blocks, l->entry[first]), 1, __ATOMIC_RELEASE);
}

/* One more in the entry's block: negative if it could not be counted, but it is. */
static inline long leaf_count(int32_t *blocks, uint64_t entry)
{
    return arch_count_up(block_of_entry(blocks, entry));
}

/* The same for all of a group. */
static inline long group_count(int32_t *blocks, const uint64_t *e, bool mixed)
{
    if (mixed)
        return leaf_count(blocks, e[0]) | leaf_count(blocks, e[1]) | leaf_count(blocks, e[2]) |
               leaf_count(blocks, e[3]) | leaf_count(blocks, e[4]) | leaf_count(blocks, e[5]) |
               leaf_count(blocks, e[6]) | leaf_count(blocks, e[7]);
    int32_t *c = block_of_entry(blocks, e[0]);
    int32_t before = __atomic_fetch_add(c, GROUP, __ATOMIC_RELAXED);
    return before | (before > INT32_MAX - GROUP ? -1 : 0);
}

/* Count the leaves in their blocks before they are written: all or none. */
static inline bool list_get(int32_t *blocks, const struct list *l, uint64_t count)
{
    uint64_t i = 0;
    long before = 0;

    if (!((l->any ^ l->all) & ENTRY_BLOCK_MASK))
        return block_get_n(entry_page(l->all), (uint32_t)count);
    for (; i + GROUP <= count && before >= 0; i += GROUP)
        before |= group_count(blocks, l->entry + i, l->mixed >> i / GROUP & 1);
    for (; i < count && before >= 0; i++)
        before |= leaf_count(blocks, l->entry[i]);
    if (likely(before >= 0))
        return true;
    list_put(blocks, l, 0, i);
    return false;
}

/* As leaves_write(). */
static inline uint64_t list_write(uint64_t *slot, const uint64_t *entry, uint64_t count)
{
    uint64_t i = 0;

    for (; i + 4 <= count; i += 4) {
        if (unlikely(!leaf_write(slot + i, entry[i])))
            return i;
        if (unlikely(!leaf_write(slot + i + 1, entry[i + 1])))
            return i + 1;
        if (unlikely(!leaf_write(slot + i + 2, entry[i + 2])))
            return i + 2;
        if (unlikely(!leaf_write(slot + i + 3, entry[i + 3])))
            return i + 3;
    }
    for (; i < count && leaf_write(slot + i, entry[i]); i++)
        ;
    return i;
}

bool leaf_write_again(uint64_t *slot, uint64_t entry)
{
    uint64_t old;

    __atomic_thread_fence(__ATOMIC_RELEASE);
    do {
        old = slot_load(slot);
        if (old & ENTRY_V)
            return false;
    } while (!slot_swap(slot, old, entry));
    return true;
}

long list_map(const struct extent *memory, int32_t *blocks, uint64_t *slot,
              const volatile uint64_t *from, uint64_t count, uint32_t *done)
{
    uint64_t entry[BATCH_RESULTS_MAX];
    struct list l = {.all = ~0UL, .entry = entry};

    *done = 0;
    list_read(&l, from, count);
    if (unlikely(l.any & (memory->forbid | ENTRY_N))) /* 64 KiB runs are not scattered */
        return -ERR_ENTRY;
    if (unlikely(entry_pbmt_reserved(l.any))) /* or both kinds in one list: one at a time */
        return -ERR_ENTRY;
    if (unlikely(!list_covered(memory, &l, count)))
        return -ERR_RANGE;
    if (unlikely(slots_or(slot, count) & ENTRY_V))
        return -ERR_MAPPED;
    if (unlikely(!list_get(blocks, &l, count)))
        return -ERR_CLASS;
    uint64_t written = list_write(slot, entry, count);
    *done = (uint32_t)written;
    if (likely(written == count))
        return 0;
    list_put(blocks, &l, written, count);
    return -ERR_MAPPED;
}

long batch_map_list(struct batch *b, const struct op *op)
{
    uint64_t count = op->count, first = op->extra, *slot = batch_slots(b, op, count);
    long error;

    if (unlikely(slot == NULL))
        return b->error;
    if (unlikely(op->level))
        return -ERR_LEVEL;
    if (unlikely(first >= BATCH_RESULTS_MAX || count > BATCH_RESULTS_MAX - first))
        return -ERR_RANGE;
    if (unlikely((error = batch_memory(b, op->memory)) != 0))
        return error;
    const struct extent memory = {b->forbid, b->first, b->pages};
    error = list_map(&memory, b->blocks, slot, b->page->result + first, count, &b->done);
    b->mapped += b->done;
    return error;
}
