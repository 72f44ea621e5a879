/* See part.h. */
#include "mmserver/core/part.h"
#include "mmserver/core/client.h"
#include "mmserver/core/huge.h"
#include "mmserver/core/linux_abi.h"
#include "mmserver/core/zap.h"

#define ECALL_BYTES 4

/* Where the first part of [start, end) ends. */
static vaddr_t part_end(const struct mm *mm, vaddr_t start, vaddr_t end)
{
    unsigned tables = 0, huge = 0;
    const uint64_t *table;
    uint64_t entry;

    for (vaddr_t a = pt_next_table(mm, start, end, &table); a < end;
         a = pt_next_table(mm, ROUND_DOWN(a, BLOCK_BYTES) + BLOCK_BYTES, end, &table)) {
        if (tables++ == PART_TABLES)
            end = ROUND_DOWN(a, BLOCK_BYTES);
    }
    for (vaddr_t a = mm->huge_used ? huge_next(mm, start, end, &entry) : end; a < end;
         a = huge_next(mm, a + BLOCK_BYTES, end, &entry)) {
        if (huge++ == PART_HUGE)
            end = a;
    }
    return end;
}

/* c's registers say that its call, one of Linux's, was not made yet. */
static bool call_again(struct client *c)
{
    struct user_regs regs;

    if (place_thread_regs(c->slot, &regs, false) || regs.x[17] >= LINUX_CALLS_END)
        return false;
    regs.x[0] -= ECALL_BYTES;
    return !place_thread_regs(c->slot, &regs, true);
}

bool part_zap_slow(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end)
{
    struct client *c = w->serving;
    vaddr_t stop = part_end(mm, start, end);

    mm_assert(!w->ops_count);
    if (c->mm != mm || stop == end || c->parts == PARTS_MAX || !call_again(c)) {
        c->parts = 0;
        return false;
    }
    c->parts++;
    zap_range(w, mm, start, stop);
    /* Empty tables need not be looked at again. */
    start = ROUND_UP(start, BLOCK_BYTES);
    stop = ROUND_DOWN(stop, BLOCK_BYTES);
    if (start < stop)
        pt_remove_leaf_tables(w, mm, start, stop);
    mm_count(w, call_part);
    return true;
}
