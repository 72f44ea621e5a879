/* BATCH_MAP_LIST: leaves from a list in the result words. */
#include "kernel/list.h"

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
