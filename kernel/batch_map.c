/* Batch operations that write new entries: map a run, replace, software entry. A list of them is
 * mapped by batch_list.c. */
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
