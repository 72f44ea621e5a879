/* Batch operations that write new entries: map, replace, software entry. */
#include "kernel/batch.h"
#include "arch/arch.h"
#include "kernel/block.h"

/* Is any of the slots a valid entry? */
static bool any_valid(const uint64_t *slot, uint64_t count)
{
    uint64_t seen = 0;

    for (; count >= 8; count -= 8, slot += 8)
        seen |= slots_or8(slot);
    for (; count; count--, slot++)
        seen |= slot_load(slot);
    return seen & ENTRY_V;
}

/* Count `count` leaves of this level from `page` on in their blocks; all or none. */
static bool leaves_get(pfn_t page, uint64_t count, unsigned level)
{
    uint64_t part = level ? 1 : PAGES_PER_BLOCK - page % PAGES_PER_BLOCK;
    uint64_t step = level ? PAGES_PER_BLOCK : part;

    if (count == 0)
        return true;
    if (part > count)
        part = count;
    if (!block_get_n(page, (uint32_t)part))
        return false;
    if (part == count)
        return true;
    for (uint64_t i = part; i < count; i += part, page += PAGES_PER_BLOCK) {
        /* The second block of small pages takes the rest; each large leaf has its own. */
        uint32_t n = level ? 1 : (uint32_t)(count - part);
        if (!block_get_n(page + step, n)) {
            for (; i > part; i -= part, page -= PAGES_PER_BLOCK)
                block_put_n(page, 1);
            block_put_n(page, (uint32_t)part);
            return false;
        }
        if (!level)
            break;
    }
    return true;
}
