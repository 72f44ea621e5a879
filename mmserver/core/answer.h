/*
 * How a worker's turn ends: two words, so that they travel in registers. The lower one is the
 * value; the upper one holds the kind in its upper half and the second argument in its lower. They
 * are one number because gcc gives a structure of two a place on the stack even where it only
 * passes by.
 */
#ifndef MMSERVER_CORE_ANSWER_H
#define MMSERVER_CORE_ANSWER_H

#include <stdint.h>

enum answer_kind {
    ANSWER_FAULT,   /* fault_reply(value, second): must be 0, the entry code tests for it */
    ANSWER_REPLY,   /* reply_park(value) */
    ANSWER_FORWARD, /* forward_park(value, second) */
    ANSWER_PARK,    /* park(value) */
    ANSWER_BATCH,   /* reply_batch(value, second): space slot, operations in the worker's page */
    ANSWER_CALL,    /* the same with a value for the call: reply_batch(second, batch_ops, value) */
};

struct answer {
    unsigned __int128 words;
};

static inline struct answer answer_of(uint64_t value, uint64_t how)
{
    return (struct answer){(unsigned __int128)how << 64 | value};
}
static inline struct answer answer_make(enum answer_kind kind, uint64_t value, uint32_t second)
{
    return answer_of(value, (uint64_t)kind << 32 | second);
}
/*
 * How the straight ways of a fault end: jumped to, they send the reply at once. In user mode they
 * are the entry code's own labels; in the kernel they come back only if the reply is not plain. The
 * second is fault_reply with REPLY_REPLACE; `old` is visit.displaced too, for who answers later.
 */
#if defined(PAGODA_USER_PLACEMENT) || defined(PAGODA_KERNEL)
struct answer place_fault_answer(uint64_t entry, uint64_t slot);
struct answer place_replace_answer(uint64_t entry, uint64_t slot, uint64_t old);
struct answer place_batch_answer(uint64_t space, uint64_t count);
#else
static inline struct answer place_fault_answer(uint64_t entry, uint64_t slot)
{
    return answer_of(entry, slot); /* ANSWER_FAULT */
}
static inline struct answer place_replace_answer(uint64_t entry, uint64_t slot, uint64_t old)
{
    (void)old;
    return answer_of(entry, slot);
}
static inline struct answer place_batch_answer(uint64_t space, uint64_t count)
{
    return answer_make(ANSWER_BATCH, space, (uint32_t)count);
}
#endif

static inline enum answer_kind answer_kind(struct answer a)
{
    return (enum answer_kind)(a.words >> 96);
}
static inline uint32_t answer_second(struct answer a)
{
    return (uint32_t)(a.words >> 64);
}
static inline uint64_t answer_value(struct answer a)
{
    return (uint64_t)a.words;
}

#endif
