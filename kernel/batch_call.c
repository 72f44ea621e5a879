/*
 * The straight way of a batch that answers a call: one operation on a few small pages of the
 * client's own space that takes them out, moves one, or changes rights. mprotect, munmap and mremap
 * of the server end with these. Of operations that change rights there may be a few: each done once
 * more is as good as done once, so all can be left to batch.c even if some are done and fenced.
 *
 * As in batch_straight.c nothing is set up, and what is not plain is decoded again from the start
 * by batch.c: an operation is looked at in whole before it changes anything, and then cannot fail.
 * The space stays locked from the look to the change, so that tables stay, leaves stay leaves, and
 * only hardware writes into them. Pages are counted until after their fence.
 */
#include "kernel/straight.h"
#include "arch/slot.h"

#define FEW     8 /* slots */
#define FEW_OPS 4

/* An operation, its first word read once. */
struct few {
    struct thread *worker, *client;
    struct space *space;
    const volatile struct batch_op *op;
    vaddr_t address;
    uint64_t count;
    uint64_t *slot;
    bool lost; /* something has to be fenced: [start, end) */
    vaddr_t start, end;
    uint64_t gone; /* how many entries are counted no more after the fence */
};

/* The `count` slots at `address`, in one leaf table; NULL if it is not so plain. Space locked. */
static inline __attribute__((always_inline)) uint64_t *few_slots(const struct few *f,
                                                                 vaddr_t address)
{
    uint64_t index = address >> PAGE_SHIFT & (TABLE_ENTRIES - 1);

    if (unlikely(address % PAGE_BYTES || index + f->count > TABLE_ENTRIES))
        return NULL;
    return straight_leaf(f->client, address) ? thread_leaf_slot(f->client, address) : NULL;
}

static inline __attribute__((always_inline)) void few_lost(struct few *f, bool lost)
{
    vaddr_t end = f->address + f->count * PAGE_BYTES;

    if (!lost)
        return;
    f->start = f->lost && f->start < f->address ? f->start : f->address;
    f->end = f->lost && f->end > end ? f->end : end;
    f->lost = true;
}

static inline __attribute__((always_inline)) bool few_unmap(struct hart *h, struct few *f,
                                                            uint64_t *entries)
{
    if (unlikely(slots_or(f->slot, f->count) & ENTRY_N))
        return false;
    for (uint64_t i = 0; i < f->count; i++) {
        uint64_t entry = arch_slot_take(&f->slot[i]);

        if (entry & ENTRY_V)
            entries[f->gone++] = entry;
    }
    few_lost(f, f->gone != 0);
    h->counter[COUNT_pages_unmapped] += f->gone;
    return true;
}

/* Which bits leaves gain is found out first; a slot that is filled meanwhile gains nothing. */
static inline __attribute__((always_inline)) bool few_protect(struct few *f, uint64_t flags,
                                                              uint64_t *entries)
{
    const uint64_t which = ENTRY_W | ENTRY_X | (flags & BATCH_DIRTY_STAYS ? 0 : ENTRY_D);
    const uint64_t wanted = f->op->entry, less = which & ~wanted;
    const uint32_t memory = f->op->memory;
    uint64_t had = 0;

    if (unlikely(wanted & ~which))
        return false;
    for (uint64_t i = 0; i < f->count; i++) {
        uint64_t entry = slot_load(&f->slot[i]), grants = wanted & ~entry & (ENTRY_W | ENTRY_X);

        entries[i] = entry;
        if (!(entry & ENTRY_V))
            continue;
        if (unlikely(entry & ENTRY_N))
            return false;
        if (grants && unlikely(!straight_covered(f->worker, memory, entry, grants)))
            return false;
    }
    for (uint64_t i = 0; i < f->count; i++) {
        uint64_t entry = entries[i];

        if (!(entry & ENTRY_V))
            continue;
        if (less)
            had |= arch_slot_and(&f->slot[i], ~less);
        if (wanted & ~entry)
            arch_slot_or(&f->slot[i], wanted);
    }
    few_lost(f, (had & less) != 0);
    return true;
}

/* The entry stands in both places for a moment, and is counted in both; what hardware noted in the
 * old one until it went is added to the new one. */
static inline __attribute__((always_inline)) bool few_move(struct hart *h, struct few *f,
                                                           uint64_t *entries)
{
    /* The client's cached table is that of the new place in the end. */
    uint64_t entry = slot_load(f->slot), *to;

    if (unlikely(f->count != 1 || entry & ENTRY_N) || !(to = few_slots(f, f->op->extra)))
        return false;
    if (unlikely(!(entry & ENTRY_V)))
        return false;
    int32_t *counter = block_of_entry(h->blocks, entry);
    if (unlikely(arch_count_up(counter) < 0 || !arch_slot_fill(to, entry))) {
        __atomic_fetch_sub(counter, 1, __ATOMIC_RELAXED);
        return false;
    }
    entries[f->gone++] = entry;
    few_lost(f, true);
    entry ^= arch_slot_take(f->slot);
    if (entry)
        arch_slot_or(to, entry);
    return true;
}

/* The operation that `f` is at; `alone`: there is no other; `one`: it is known to be on one page.
 * Space locked. */
static inline __attribute__((always_inline)) bool
few_perform(struct hart *h, struct few *f, bool alone, bool one, uint64_t *entries)
{
    const uint64_t plain = 0xff | (uint64_t)BATCH_DIRTY_STAYS << 16 | ~0UL << 32;
    const uint64_t head = *(const volatile uint64_t *)f->op, code = head & 0xff;

    f->address = f->op->address;
    f->count = one ? 1 : head >> 32;
    if (unlikely(f->count - 1 >= FEW) || unlikely(head & ~plain) ||
        unlikely((f->slot = few_slots(f, f->address)) == NULL))
        return false;
    if (code == BATCH_PROTECT)
        return few_protect(f, head >> 16 & 0xff, entries);
    if (unlikely(head >> 16 & 0xff) || !alone)
        return false;
    if (code == BATCH_UNMAP)
        return few_unmap(h, f, entries);
    return code == BATCH_MOVE && few_move(h, f, entries);
}

/* Other harts may run the space: they are fenced with nothing locked. */
static __attribute__((noinline)) void fence_others(struct hart *h, struct space *s, vaddr_t start,
                                                   vaddr_t end)
{
    struct gather g;

    space_hold(s);
    space_unlock(s);
    hart_idle(h);
    gather_begin(&g, s);
    gather_range(&g, start, end);
    gather_finish(&g);
    space_drop_hold(s);
    hart_busy(h);
}

/* The space is unlocked, and no hart uses what was taken away. */
static inline __attribute__((always_inline)) void few_fence(struct hart *h, const struct few *f)
{
    if (!f->lost) {
        straight_unlock(f->space);
        return;
    }
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (unlikely(!straight_only_here(h, f->space))) {
        fence_others(h, f->space, f->start, f->end);
        return;
    }
    straight_unlock(f->space);
    if (f->end - f->start == PAGE_BYTES)
        arch_fence_page(asid_number(f->space), f->start);
    else
        arch_fence_range(asid_number(f->space), f->start, f->end);
    count(h, COUNT_fence_local);
}

/* The space in that slot, if it is the client's and may be changed here, and is locked now. */
static inline __attribute__((always_inline)) bool few_begin(struct few *f, uint64_t space)
{
    f->client = f->worker->client;
    f->space = straight_space(f->worker, space, RIGHT_MAP);
    if (unlikely(f->space == NULL || f->space != f->client->space || f->space->linear_end))
        return false;
    if (unlikely(f->worker->operation_page == NULL))
        return false;
    f->op = ((struct batch_page *)f->worker->operation_page)->op;
    return likely(space_trylock(f->space));
}

/* All is done and fenced. */
static inline __attribute__((always_inline)) void few_end(struct hart *h, const struct few *f,
                                                          const uint64_t *entries, uint64_t value)
{
    for (uint64_t i = 0; i < f->gone; i++)
        __atomic_fetch_sub(block_of_entry(h->blocks, entries[i]), 1, __ATOMIC_RELEASE);
    h->counter[COUNT_batch_straight]++;
    batch_finished(f->worker);
    f->client->x[10] = value;
}

/* Does the client wait for a call, and has the worker nothing more to do? */
static inline bool call_waits(const struct thread *w)
{
    return likely(w->client->state == THREAD_CALL && !w->attention);
}

static __attribute__((noinline)) bool call_few(struct hart *h, struct thread *w, uint64_t space,
                                               uint64_t count, uint64_t value)
{
    struct few f = {.worker = w};
    uint64_t entries[FEW];

    if (!call_waits(w) || unlikely(count - 1 >= FEW_OPS) || !few_begin(&f, space))
        return false;
    for (uint64_t i = 0; i < count; i++, f.op++) {
        if (likely(few_perform(h, &f, count == 1, false, entries)))
            continue;
        few_fence(h, &f);
        return false;
    }
    few_fence(h, &f);
    few_end(h, &f, entries, value);
    return true;
}

/* What call_one() has done: also on other harts? */
static __attribute__((noinline)) void one_elsewhere(struct hart *h, struct few f, uint64_t entry,
                                                    uint64_t value)
{
    fence_others(h, f.space, f.start, f.end);
    few_end(h, &f, &entry, value);
}

/* The same for one operation on one page, which most calls end with. Inlined with that known, it
 * keeps nothing on the stack. */
static inline __attribute__((always_inline)) bool call_one(struct hart *h, struct thread *w,
                                                           uint64_t space, uint64_t value)
{
    struct few f = {.worker = w};
    uint64_t entry = 0;

    if (!call_waits(w) || !few_begin(&f, space))
        return false;
    if (unlikely(f.op->count != 1 || !few_perform(h, &f, true, true, &entry))) {
        straight_unlock(f.space);
        return false;
    }
    if (f.lost) {
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        if (unlikely(!straight_only_here(h, f.space))) {
            one_elsewhere(h, f, entry, value);
            return true;
        }
    }
    straight_unlock(f.space);
    if (f.lost)
        straight_fence_page(h, f.space, f.address);
    few_end(h, &f, &entry, value);
    return true;
}

/* Nothing has been done, or what was can be done again. */
static bool call_refused(uint64_t space, uint64_t count, uint64_t value, struct thread *w)
{
    batch_note(w, (struct batch_answer){0, 0});
    return straight_refused(space, count, value, w);
}

static __attribute__((noinline)) bool reply_few(uint64_t space, uint64_t count, uint64_t value,
                                                struct thread *w)
{
    struct thread *c = w->client;

    if (!call_few(this_hart(), w, space, count, value))
        return call_refused(space, count, value, w);
    w->client = NULL;
    return resume_full(c);
}

bool reply_call(uint64_t space, uint64_t count, uint64_t value, struct thread *w)
{
    const struct batch_page *page = w->operation_page;
    struct thread *c = w->client;

    if (unlikely(page == NULL || page->op[0].count > FEW))
        return call_refused(space, count, value, w);
    if (unlikely(count != 1 || !call_one(this_hart(), w, space, value)))
        return reply_few(space, count, value, w);
    w->client = NULL;
    return resume_full(c);
}

bool pager_reply_call(struct hart *h, uint64_t space, uint64_t count, uint64_t value)
{
    struct thread *w = h->pager_thread, *c = w->client;

    if (h->look_again ||
        ((count != 1 || !call_one(h, w, space, value)) && !call_few(h, w, space, count, value))) {
        batch_note(w, (struct batch_answer){0, 0});
        return false;
    }
    w->client = &thread_in_kernel;
    return resume_same(c);
}
