/*
 * What the straight ways of answers that are batches share (batch_straight.c for faults,
 * batch_call.c for calls): checks that say "plain" or "look again in full", and change nothing.
 * All of it inside hart_busy().
 */
#ifndef KERNEL_STRAIGHT_H
#define KERNEL_STRAIGHT_H

#include "kernel/batch.h"
#include "kernel/call.h"
#include "arch/arch.h"
#include "arch/slot.h"
#include "kernel/asid.h"
#include "kernel/block.h"
#include "kernel/cap.h"

/* What the straight way made of an operation. */
enum outcome {
    NOT_PLAIN, /* nothing has changed */
    DONE,
    REPLACED, /* done, but other harts have to be fenced */
    STOPPED   /* some operations are done, one perhaps in part: op->done says how far it came */
};

/* What a REPLACED leaves to be done: the old entry's page is fenced nowhere and still counted. */
struct was {
    vaddr_t address;
    uint64_t entry;
};

/* Does Memory capability `slot` cover the page of the entry and allow these bits in it? */
static inline __attribute__((always_inline)) bool
straight_covered(const struct thread *w, uint64_t slot, uint64_t entry, uint64_t bits)
{
    if (unlikely(slot >= w->table_size))
        return false;
    const struct cap *cap = &w->table_caps[slot];
    /* Bits above the page number take the page out of the extent. */
    return likely(!(bits & cap->forbid) && (entry >> ENTRY_PAGE_SHIFT) - cap->first < cap->pages);
}

/* The gather's argument (space_run.c): a hart that is not seen here, after the change and a
 * barrier, has not yet begun to walk the tables. */
static inline bool straight_only_here(const struct hart *h, const struct space *s)
{
    return likely(__atomic_load_n(&s->seen, __ATOMIC_RELAXED) == 1UL << h->id);
}

/* The hart itself forgets what it knows of the page. */
static inline void straight_fence_page(struct hart *h, const struct space *s, vaddr_t address)
{
    arch_fence_page(asid_number(s), address);
    count(h, COUNT_fence_local);
}

static inline void straight_unlock(struct space *s)
{
    __atomic_thread_fence(__ATOMIC_RELEASE);
    *(volatile uint32_t *)&s->lock = 0; /* a plain store: the atomic one is an exchange */
}

/*
 * The space is locked: `entry`, of Memory capability `memory`, takes the place of `expected`, which
 * may have been accessed and dirtied meanwhile, at was->address. With REPLACED the lock is still
 * needed (replaced_fence).
 */
static inline __attribute__((always_inline)) enum outcome
straight_replace(struct hart *h, struct thread *w, const struct space *s, uint64_t *slot,
                 uint64_t entry, uint64_t memory, uint64_t expected, struct was *was)
{
    uint64_t old = slot_load(slot);

    entry |= ENTRY_ALWAYS;
    if (unlikely(((old ^ expected) & ~(ENTRY_A | ENTRY_D)) || !(old & ENTRY_V) || old & ENTRY_N))
        return NOT_PLAIN;
    if (unlikely(!straight_covered(w, memory, entry, entry)))
        return NOT_PLAIN;
    if (unlikely(s->linear_end)) /* the server's own leaves are not all counted */
        return NOT_PLAIN;
    int32_t *counter = block_of_entry(h->blocks, entry);
    if (unlikely(arch_count_up(counter) < 0 || !arch_slot_replace(slot, old, entry))) {
        __atomic_fetch_sub(counter, 1, __ATOMIC_RELAXED);
        return NOT_PLAIN;
    }
    was->entry = old;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (unlikely(!straight_only_here(h, s)))
        return REPLACED;
    straight_fence_page(h, s, was->address);
    __atomic_fetch_sub(block_of_entry(h->blocks, old), 1, __ATOMIC_RELAXED);
    return DONE;
}

/* batch_straight.c: other harts forget the translation of the old entry, then its page is no longer
 * counted. The space is locked, and the hart busy; neither is so afterwards. */
void replaced_fence(struct hart *h, struct space *s, struct was was);

/* The Space capability in the slot, if it has `rights`; NULL: find out why in full. */
static inline struct space *straight_space(const struct thread *w, uint64_t slot, uint8_t rights)
{
    const uint32_t want = CAP_SPACE | (uint32_t)rights << 8, mask = 0xff | (uint32_t)rights << 8;

    if (unlikely(slot >= w->table_size))
        return NULL;
    const struct cap *cap = &w->table_caps[slot];
    uint32_t is = *(const uint16_t *)&cap->type; /* type and rights */
    return likely((is & mask) == want) ? cap->object : NULL;
}

/* The client's cached leaf table is that of `address` from now on, if there is one. */
static inline bool straight_leaf(struct thread *c, vaddr_t address)
{
    return leaf_cached(&c->leaf, address) || space_leaf_find(c, address);
}

/* What a batch that does not go straight to its end has come to: for who looks again in full. */
static inline void batch_note(struct thread *w, struct batch_answer so_far)
{
    w->x[13] = (uint64_t)so_far.stopped;
    w->x[14] = (uint64_t)so_far.performed;
}

/* Not plain, or stopped in the middle: the arguments are noted in x[10] to x[12]. False. */
bool straight_refused(uint64_t space, uint64_t count, uint64_t value, struct thread *w);

/*
 * batch_call.c: perform the operations of w's page, if they are plain, give its client, which waits
 * for a call on the straight path, that value, and let it go on. False: not plain; all is still to
 * be done. Inside hart_busy(); the first of a worker, the other of an in-kernel pager.
 */
bool reply_call(uint64_t space, uint64_t count, uint64_t value, struct thread *w);
bool pager_reply_call(struct hart *h, uint64_t space, uint64_t count, uint64_t value);

#endif
