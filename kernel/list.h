/*
 * Leaves from a list in the result words: what BATCH_MAP_LIST (batch_list.c) and answers that go
 * straight (batch_straight.c) have in common. Inline, as each instruction counts. The space is
 * locked and the hart busy.
 */
#ifndef KERNEL_LIST_H
#define KERNEL_LIST_H

#include "kernel/batch.h"

/* A list as it was read, once: user mode may write the operation page meanwhile. */
struct list {
    uint64_t any, all; /* OR and AND of the entries */
    uint64_t *entry;
};

static inline void list_read_group(struct list *l, uint64_t i, const volatile uint64_t *from)
{
    uint64_t *to = l->entry + i;
    uint64_t e0 = from[i], e1 = from[i + 1], e2 = from[i + 2], e3 = from[i + 3];
    uint64_t e4 = from[i + 4], e5 = from[i + 5], e6 = from[i + 6], e7 = from[i + 7];

    to[0] = e0, to[1] = e1, to[2] = e2, to[3] = e3;
    to[4] = e4, to[5] = e5, to[6] = e6, to[7] = e7;
    l->any |= e0 | e1 | e2 | e3 | e4 | e5 | e6 | e7;
    l->all &= e0 & e1 & e2 & e3 & e4 & e5 & e6 & e7;
}

/* What every leaf has is seldom left to us to add. */
static inline void list_complete(struct list *l, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        l->entry[i] |= ENTRY_ALWAYS;
    l->any |= ENTRY_ALWAYS;
    l->all |= ENTRY_ALWAYS;
}

static inline void list_read(struct list *l, const volatile uint64_t *from, uint64_t count)
{
    uint64_t i = 0;

    for (; i + GROUP <= count; i += GROUP)
        list_read_group(l, i, from);
    for (; i < count; i++) {
        l->entry[i] = from[i];
        l->any |= l->entry[i];
        l->all &= l->entry[i];
    }
    if (unlikely((l->all & ENTRY_ALWAYS) != ENTRY_ALWAYS))
        list_complete(l, count);
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

static inline bool same_block(uint64_t entry, uint64_t other)
{
    return !((entry ^ other) & ENTRY_BLOCK_MASK);
}

static inline void list_put(int32_t *blocks, const struct list *l, uint64_t first, uint64_t end)
{
    for (; first < end; first++)
        __atomic_fetch_sub(block_of_entry(blocks, l->entry[first]), 1, __ATOMIC_RELEASE);
}

/* A page that lies apart is seldom alone: from the i-th on they are counted one by one, in fours,
 * without a look for runs. Where that ends: before the end, or where a page cannot be counted. */
static inline uint64_t list_get_apart(int32_t *blocks, const struct list *l, uint64_t i,
                                      uint64_t count)
{
    for (; i + 4 <= count; i += 4) {
        const uint64_t *e = l->entry + i;
        long b0 = arch_count_up(block_of_entry(blocks, e[0]));
        long b1 = arch_count_up(block_of_entry(blocks, e[1]));
        long b2 = arch_count_up(block_of_entry(blocks, e[2]));
        long b3 = arch_count_up(block_of_entry(blocks, e[3]));

        if (unlikely((b0 | b1 | b2 | b3) < 0)) {
            list_put(blocks, l, i, i + 4);
            return i;
        }
    }
    return i;
}

/* Count the leaves in their blocks before they are written, run by run: all or none. */
static inline bool list_get(int32_t *blocks, const struct list *l, uint64_t count)
{
    const uint64_t *entry = l->entry;

    if (likely(same_block(l->any, l->all)))
        return block_get_n(entry_page(l->all), (uint32_t)count);
    for (uint64_t i = 0, end; i < count; i = end) {
        for (end = i + 1; end < count && same_block(entry[end], entry[i]); end++)
            ;
        if (end == i + 1) {
            i = list_get_apart(blocks, l, i, count);
            end = i < count ? i + 1 : i;
        }
        if (i < end && unlikely(!block_get_n(entry_page(entry[i]), (uint32_t)(end - i)))) {
            list_put(blocks, l, 0, i);
            return false;
        }
    }
    return true;
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

/*
 * Fill `count` slots of a leaf table from a list that user mode can write: 0, or -ERR_x with
 * *done = 0 and nothing changed, or -ERR_MAPPED with some done: another hart was faster then.
 */
static inline __attribute__((always_inline)) long list_map(const struct extent *memory,
                                                           int32_t *blocks, uint64_t *slot,
                                                           const volatile uint64_t *from,
                                                           uint64_t count, uint32_t *done)
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

#endif
