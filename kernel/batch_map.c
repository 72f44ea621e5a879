/* Batch operations that write new entries: map a run or a list, replace, software entry. */
#include "kernel/batch.h"
#include "arch/arch.h"
#include "arch/slot.h"

#define RUN_PAGES 16UL                      /* of a 64 KiB run (Svnapot) */
#define RUN_CODE  (8UL << ENTRY_PAGE_SHIFT) /* in the low page bits of its entries */

/* How many of `count` leaves from `page` on point into its block. */
static inline uint32_t in_one_block(pfn_t page, uint64_t count, unsigned level)
{
    uint64_t room = level ? 1 : PAGES_PER_BLOCK - page % PAGES_PER_BLOCK;
    return (uint32_t)(count < room ? count : room);
}

static void leaves_put(pfn_t page, uint64_t count, unsigned level)
{
    while (count) {
        uint32_t n = in_one_block(page, count, level);
        block_put_n(page, n);
        page += (pfn_t)n << (TABLE_SHIFT * level);
        count -= n;
    }
}

/* Count the leaves in their blocks before they are written: all or none. */
static inline bool leaves_get(pfn_t first, uint64_t count, unsigned level)
{
    pfn_t page = first;

    for (uint64_t left = count; left;) {
        uint32_t n = in_one_block(page, left, level);
        if (unlikely(!block_get_n(page, n))) {
            leaves_put(first, count - left, level);
            return false;
        }
        page += (pfn_t)n << (TABLE_SHIFT * level);
        left -= n;
    }
    return true;
}

/* The slot was not empty, or the attempt to fill it failed for no reason. */
static __attribute__((noinline)) bool leaf_write_again(uint64_t *slot, uint64_t entry)
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

/* Write an empty or software slot, behind all that the page holds. False: another hart's fault
 * reply filled it meanwhile. */
static inline bool leaf_write(uint64_t *slot, uint64_t entry)
{
    return likely(arch_slot_fill(slot, entry)) || leaf_write_again(slot, entry);
}

/* Stops where leaf_write() fails; the number written. */
static inline uint64_t leaves_write(uint64_t *slot, uint64_t count, uint64_t entry, uint64_t step)
{
    uint64_t *at = slot, *end = slot + count;

    for (; end - at >= 4; at += 4) {
        if (unlikely(!leaf_write(at, entry)))
            return (uint64_t)(at - slot);
        if (unlikely(!leaf_write(at + 1, entry += step)))
            return (uint64_t)(at + 1 - slot);
        if (unlikely(!leaf_write(at + 2, entry += step)))
            return (uint64_t)(at + 2 - slot);
        if (unlikely(!leaf_write(at + 3, entry += step)))
            return (uint64_t)(at + 3 - slot);
        entry += step;
    }
    for (; at < end && leaf_write(at, entry); at++)
        entry += step;
    return (uint64_t)(at - slot);
}

static uint64_t runs_write(uint64_t *slot, uint64_t count, uint64_t entry)
{
    uint64_t done = 0, n = RUN_PAGES;

    for (; done < count && n == RUN_PAGES; done += n) {
        n = leaves_write(slot + done, RUN_PAGES, entry | RUN_CODE, 0);
        entry += RUN_PAGES << ENTRY_PAGE_SHIFT;
    }
    return done;
}

/* 64 KiB runs: whole ones, aligned in both kinds of address. */
static long runs_decode(const struct op *op, uint64_t entry)
{
    if (op->level != 0)
        return -ERR_ENTRY;
    if (!(arch_features & BOOT_HAS_SVNAPOT))
        return -ERR_UNSUPPORTED;
    if ((op->address >> PAGE_SHIFT | op->count | entry_page(entry)) % RUN_PAGES)
        return -ERR_ALIGN;
    return 0;
}

long batch_map(struct batch *b, const struct op *op)
{
    uint64_t entry, count = op->count, *slot = batch_slots(b, op, count);
    unsigned level = op->level;
    long error;

    if (unlikely(slot == NULL))
        return b->error;
    if (unlikely((error = batch_entry(b, op, count << (TABLE_SHIFT * level), &entry)) != 0))
        return error;
    if (unlikely(entry & ENTRY_N) && (error = runs_decode(op, entry)) != 0)
        return error;
    if (unlikely(slots_or(slot, count) & ENTRY_V))
        return -ERR_MAPPED;
    pfn_t page = entry_page(entry);
    if (unlikely(!leaves_get(page, count, level)))
        return -ERR_CLASS;

    uint64_t step = 1UL << (ENTRY_PAGE_SHIFT + TABLE_SHIFT * level);
    uint64_t done = unlikely(entry & ENTRY_N) ? runs_write(slot, count, entry)
                                              : leaves_write(slot, count, entry, step);
    b->done = (uint32_t)done;
    b->mapped += done;
    if (likely(done == count))
        return 0;
    leaves_put(page + (done << (TABLE_SHIFT * level)), count - done, level);
    return -ERR_MAPPED;
}

/* ---- a list of entries ---- */

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
static inline bool list_covered(const struct batch *b, const struct list *l, uint64_t count)
{
    if (likely(entry_page(l->all) - b->first < b->pages &&
               entry_page(l->any) - b->first < b->pages))
        return true;
    for (uint64_t i = 0; i < count; i++)
        if (entry_page(l->entry[i]) - b->first >= b->pages)
            return false;
    return true;
}

static void list_put(const struct batch *b, const struct list *l, uint64_t first, uint64_t end)
{
    for (; first < end; first++)
        __atomic_fetch_sub(block_of_entry(b->blocks, l->entry[first]), 1, __ATOMIC_RELEASE);
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
static inline bool list_get(const struct batch *b, const struct list *l, uint64_t count)
{
    uint64_t i = 0;
    long before = 0;

    if (!((l->any ^ l->all) & ENTRY_BLOCK_MASK))
        return block_get_n(entry_page(l->all), (uint32_t)count);
    for (; i + GROUP <= count && before >= 0; i += GROUP)
        before |= group_count(b->blocks, l->entry + i, l->mixed >> i / GROUP & 1);
    for (; i < count && before >= 0; i++)
        before |= leaf_count(b->blocks, l->entry[i]);
    if (likely(before >= 0))
        return true;
    list_put(b, l, 0, i);
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

long batch_map_list(struct batch *b, const struct op *op)
{
    uint64_t count = op->count, first = op->extra;
    uint64_t entry[BATCH_RESULTS_MAX], *slot = batch_slots(b, op, count);
    struct list l = {.all = ~0UL, .entry = entry};
    long error;

    if (unlikely(slot == NULL))
        return b->error;
    if (unlikely(op->level))
        return -ERR_LEVEL;
    if (unlikely(first >= BATCH_RESULTS_MAX || count > BATCH_RESULTS_MAX - first))
        return -ERR_RANGE;
    if (unlikely((error = batch_memory(b, op->memory)) != 0))
        return error;
    list_read(&l, b->page->result + first, count);
    if (unlikely(l.any & (b->forbid | ENTRY_N))) /* 64 KiB runs are not scattered */
        return -ERR_ENTRY;
    if (unlikely(entry_pbmt_reserved(l.any))) /* or both kinds in one list: one at a time */
        return -ERR_ENTRY;
    if (unlikely(!list_covered(b, &l, count)))
        return -ERR_RANGE;
    if (unlikely(slots_or(slot, count) & ENTRY_V))
        return -ERR_MAPPED;
    if (unlikely(!list_get(b, &l, count)))
        return -ERR_CLASS;

    uint64_t done = list_write(slot, entry, count);
    b->done = (uint32_t)done;
    b->mapped += done;
    if (likely(done == count))
        return 0;
    list_put(b, &l, done, count);
    return -ERR_MAPPED;
}

/* ---- single slots ---- */

/* May a hart go on using a translation made from `old` where `new` stands? */
static bool still_good(uint64_t old, uint64_t new)
{
    uint64_t rights = ENTRY_R | ENTRY_W | ENTRY_X | ENTRY_U | ENTRY_A | ENTRY_D;
    uint64_t same = ENTRY_PAGE_MASK | ENTRY_PBMT_NC | ENTRY_PBMT_IO | ENTRY_N;
    return !((old ^ new) & same) && !(old & ~new &rights);
}

long batch_replace(struct batch *b, const struct op *op)
{
    const uint64_t by_hardware = ENTRY_A | ENTRY_D;
    uint64_t *slot, entry, old;
    long error;

    if (!entry_is_leaf(op->extra) || op->entry & ENTRY_N)
        return -ERR_ENTRY;
    if (op->count != 1)
        return -ERR_ARGUMENT;
    if ((slot = batch_slots(b, op, 1)) == NULL)
        return b->error;
    if ((error = batch_entry(b, op, 1UL << (TABLE_SHIFT * op->level), &entry)) != 0)
        return error;
    if ((error = batch_runs_whole(op, slot)) != 0)
        return error;
    if ((op->flags & BATCH_KEEP) && !batch_result_room(b))
        return -ERR_LIMIT;
    if (!block_get_n(entry_page(entry), 1))
        return -ERR_CLASS;
    __atomic_thread_fence(__ATOMIC_RELEASE);
    do {
        old = slot_load(slot);
        if ((old ^ op->extra) & ~by_hardware) {
            block_put_n(entry_page(entry), 1);
            return old & ENTRY_V ? -ERR_MAPPED : -ERR_UNMAPPED;
        }
    } while (!slot_swap(slot, old, entry));
    space_leaf_put(entry_block(old), 1);
    if (!still_good(old, entry))
        batch_fence(b, op, 0, 0, old);
    if (op->flags & BATCH_KEEP)
        batch_result(b, old);
    b->done = 1;
    b->mapped++;
    b->unmapped++;
    return 0;
}

long batch_software(struct batch *b, const struct op *op)
{
    uint64_t *slot;

    if (op->count != 1)
        return -ERR_ARGUMENT;
    if (op->entry == 0 || (op->entry & ENTRY_SOFTWARE_FORBIDDEN))
        return -ERR_ENTRY;
    if ((slot = batch_slots(b, op, 1)) == NULL)
        return b->error;
    uint64_t old = slot_load(slot);
    if ((old & ENTRY_V) || !slot_swap(slot, old, op->entry))
        return -ERR_MAPPED;
    b->done = 1;
    return 0;
}
