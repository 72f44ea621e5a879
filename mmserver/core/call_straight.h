/*
 * Straight ways of the calls that programs make most often, for when all that is needed is at hand:
 * one VMA, a few pages in one leaf table, nobody to wait for. Whatever is not plain is left to the
 * full way (map.h) with nothing changed.
 */
#ifndef MMSERVER_CORE_CALL_STRAIGHT_H
#define MMSERVER_CORE_CALL_STRAIGHT_H

#include "mmserver/core/answer.h"
#include "mmserver/core/mm.h"

/* The answer to a call: operations that are left go with it (ops_unlock). */
static inline struct answer call_answer(struct worker *w, long value)
{
    uint32_t ops = w->ops_count;

    if (unlikely((uint64_t)value >= -4095UL))
        mm_count(w, call_refused);
    if (!ops)
        return answer_make(ANSWER_REPLY, (uint64_t)value, 0);
    w->ops_count = 0;
    w->batch_ops = ops;
    mm_count(w, batch_calls);
    return answer_make(ANSWER_CALL, (uint64_t)value, w->ops_mm->space_slot);
}

/* The calls, of anonymous memory the last one; those that have no straight way are here because
 * their arguments pass in registers. */
struct answer call_mprotect(struct worker *w, struct mm *mm, vaddr_t address, uint64_t bytes,
                            uint64_t prot);
struct answer call_munmap(struct worker *w, struct mm *mm, vaddr_t address, uint64_t bytes);
struct answer call_brk(struct worker *w, struct mm *mm, vaddr_t end);
struct answer call_madvise(struct worker *w, struct mm *mm, vaddr_t address, uint64_t bytes,
                           uint64_t advice);
struct answer call_mmap(struct worker *w, struct mm *mm, vaddr_t address, uint64_t bytes,
                        uint64_t prot, uint64_t flags);

#endif
