/*
 * The straight paths: events from a client to the worker parked on the same hart, and its answer.
 *
 *   client traps ── fault_deliver ──▶ worker ── fault_reply ──▶ client goes on
 *                   call_deliver              ── reply_park ──▶
 *                   message_call              ── reply_park ──▶
 *                                             ── forward_park ──▶ worker of the personality
 *
 * (reply_push and reply_pop, which send the client elsewhere, are in context.c.)
 *
 * No lock, no scheduler. Everything that is written belongs to this hart (the client, the worker)
 * or is written by compare-and-swap (the page table entry) or atomic add (the block's counter).
 * Tables and capabilities that other harts may take away are read inside hart_busy(); leaving to
 * user mode ends it. Whatever is not plain is left to event.c, which decodes again from the start:
 * nothing has changed by then.
 *
 * The worker's `client` is the only word that says whether it is parked (thread.h). With an
 * in-kernel pager the worker is a function, and its client while parked is thread_in_kernel:
 * pager_fault_enter() is called where the worker would be entered, and answers by functions that do
 * the same (pager_hook.h).
 *
 * Functions that return bool do not return on hardware unless they return false (not plain).
 */
#include "kernel/ipc.h"
#include "arch/arch.h"
#include "arch/slot.h"
#include "kernel/asid.h"
#include "kernel/block.h"
#include "kernel/cap.h"
#include "kernel/pager.h"
#include "kernel/pager_hook.h"
#include "kernel/space.h"
#include "kernel/straight.h"

/* Fetch, load and store page faults; 14 is reserved and does not occur. */
static inline bool is_page_fault(uint64_t cause)
{
    return cause - CAUSE_FETCH_PAGE <= CAUSE_STORE_PAGE - CAUSE_FETCH_PAGE;
}

/* The same event for an in-kernel pager: a function call, everything still in registers. */
static inline bool pager_deliver(uint64_t address, uint64_t cause, uint64_t pc, struct thread *t,
                                 struct thread *w)
{
    struct hart *h = this_hart();

    h->current = t;
    t->state = THREAD_FAULT;
    w->client = t;
    h->pager_thread = w;
    h->pager_answered = NULL;
    return pager_fault_enter(t->pager.badge, address, cause, pc, ++h->counter[COUNT_fault_fast], 0,
                             0, (void *)w->enter_tp);
}

/* An exception of t; all its registers are saved. */
bool fault_deliver(uint64_t a0, uint64_t address, uint64_t cause, uint64_t pc, uint64_t a4,
                   uint64_t a5, struct thread *t)
{
    struct thread *w = *t->pager_slot;

    (void)a0, (void)a4, (void)a5; /* the registers are in the order in which the trap has them */
    t->fault_address = address;
    t->fault_cause = cause;
    if (unlikely(!is_page_fault(cause)))
        return fault_deliver_slow(t);
    if (unlikely(w->client))
        return w->client == &thread_in_kernel ? pager_deliver(address, cause, pc, t, w)
                                              : fault_deliver_slow(t);
    t->state = THREAD_FAULT;
    w->client = t;
    return enter_fault(t->pager.badge, address, cause, pc, ++this_hart()->counter[COUNT_fault_fast],
                       w);
}

/*
 * A foreign call of t; all its registers are saved, the pc is behind the ecall. Its arguments pass
 * through the registers in which they came.
 */
bool call_deliver(uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
                  struct thread *t, uint64_t number)
{
    bool pager = number >= 512 || (t->call_mask[number >> 6] >> (number & 63) & 1);
    struct thread *w = pager ? *t->pager_slot : *t->personality_slot;

    if (unlikely(w->client))
        return w->client == &thread_in_kernel ? pager_foreign(t, w) : call_deliver_slow(t, pager);
    t->state = THREAD_CALL;
    w->client = t;
    count(this_hart(), COUNT_call_fast);
    this_hart()->entering = w;
    return enter_call(a0, a1, a2, a3, a4, a5, pager ? t->pager.badge : t->personality.badge,
                      number);
}

enum mapped {
    UNPLAIN,   /* nothing has changed */
    ELSEWHERE, /* the same: the client's cached leaf table is another one */
    FLAGGED,   /* the same: there is no such capability, but perhaps REPLY_RIGHTS or _REPLACE */
    MAPPED
};

/*
 * Map `entry` under Memory capability `memory` of worker w where its client c faulted. Called
 * inside hart_busy().
 */
static inline enum mapped reply_map(struct thread *w, struct thread *c, uint64_t entry,
                                    uint64_t memory)
{
    uint64_t address = c->fault_address;

    if (unlikely(memory >= w->table_size))
        return FLAGGED;
    /* The cache is filled by a walk in user space, so a hit proves that the address lies there. */
    if (unlikely(!leaf_cached(&c->leaf, address)))
        return ELSEWHERE;
    struct cap *cap = &w->table_caps[memory];
    entry |= ENTRY_ALWAYS;
    /* forbid is all ones for every type but Memory, and `entry` is never zero. Bits above the page
     * number that are not forbidden take the page out of the extent: then it is not plain. */
    pfn_t page = entry >> ENTRY_PAGE_SHIFT;
    if (unlikely(entry & cap->forbid) || unlikely(page - cap->first >= cap->pages))
        return UNPLAIN;
    if (unlikely(!block_get(page)))
        return UNPLAIN;
    if (unlikely(!arch_slot_fill(thread_leaf_slot(c, address), entry))) {
        block_put_n(page, 1);
        return UNPLAIN;
    }
    return MAPPED;
}

/* Answer the fault of w's client; `parked` is what says that w is parked again. */
static inline __attribute__((always_inline)) enum mapped
answer_fault(struct thread *w, uint64_t entry, uint64_t memory, struct thread *parked)
{
    struct thread *c = w->client;

    hart_busy(this_hart());
    if (unlikely(c->state != THREAD_FAULT || w->attention))
        return UNPLAIN;
    enum mapped mapped = reply_map(w, c, entry, memory);
    if (likely(mapped == MAPPED))
        w->client = parked;
    return mapped;
}

/* The same where the leaf table has to be looked for: the hart is busy. */
static inline __attribute__((always_inline)) bool
answer_elsewhere(struct thread *w, uint64_t entry, uint64_t memory, struct thread *parked)
{
    struct thread *c = w->client;

    if (unlikely(!space_leaf_look(c, &c->leaf, c->fault_address, true) ||
                 reply_map(w, c, entry, memory) != MAPPED))
        return false;
    w->client = parked;
    return true;
}

/* A page that stands in c's slot gains the rights of `entry` that it lacks (ipc.h). */
static inline bool rights_add(const struct thread *c, uint64_t *slot, uint64_t entry)
{
    const uint64_t gained = ENTRY_W | ENTRY_X | ENTRY_D | ENTRY_A;
    uint64_t old = __atomic_load_n(slot, __ATOMIC_RELAXED);

    /* It may differ in what it gains, which it may not have. */
    if (unlikely((old ^ entry) & (~gained | (old & (ENTRY_W | ENTRY_X)))))
        return false;
    if (unlikely(!arch_slot_replace(slot, old, old | entry)))
        return false;
    arch_fence_page(asid_number(c->space), c->fault_address);
    count(this_hart(), COUNT_fence_local);
    return true;
}

bool reply_rights_add(const struct thread *c, uint64_t *slot, uint64_t entry)
{
    return rights_add(c, slot, entry);
}

/* As answer_fault(), which has answered FLAGGED: with REPLY_RIGHTS in `memory`. The hart is busy.
 */
static inline __attribute__((always_inline)) bool
answer_rights(struct thread *w, uint64_t entry, uint64_t memory, struct thread *parked)
{
    struct thread *c = w->client;
    uint64_t address = c->fault_address;

    entry |= ENTRY_ALWAYS;
    if (unlikely(!straight_covered(w, memory ^ REPLY_RIGHTS, entry, entry)) ||
        unlikely(!straight_leaf(c, address)) ||
        unlikely(!rights_add(c, thread_leaf_slot(c, address), entry)))
        return false;
    w->client = parked;
    return true;
}

/* The same with REPLY_REPLACE: `old` is what stands there. The space is locked for it, as for any
 * batch: who has it may rely on what is not empty. */
static inline __attribute__((always_inline)) bool answer_replace(struct thread *w, uint64_t entry,
                                                                 uint64_t memory, uint64_t old,
                                                                 struct thread *parked)
{
    struct hart *h = this_hart();
    struct thread *c = w->client;
    struct space *s = c->space; /* who faults has one */
    struct was was = {.address = c->fault_address};

    if (unlikely(!straight_leaf(c, was.address) || !space_trylock(s)))
        return false;
    uint64_t *slot = thread_leaf_slot(c, was.address);
    enum outcome outcome =
        straight_replace(h, w, s, slot, entry, memory ^ REPLY_REPLACE, old, &was);
    if (unlikely(outcome == REPLACED))
        replaced_fence(h, s, was);
    else
        straight_unlock(s);
    if (unlikely(outcome == NOT_PLAIN))
        return false;
    w->client = parked;
    return true;
}

/* Answer a foreign call with a value, or let a fault happen again. */
static inline __attribute__((always_inline)) bool answer_value(struct thread *w, uint64_t value,
                                                               struct thread *parked)
{
    struct thread *c = w->client;

    if (unlikely(w->attention))
        return false;
    if (c->state == THREAD_CALL)
        c->x[10] = value;
    else if ((c->state != THREAD_FAULT && c->state != THREAD_FORWARDED) || value)
        return false;
    w->client = parked;
    return true;
}

bool fault_reply_in_kernel(struct thread *w, uint64_t entry, uint64_t memory, uint64_t old)
{
    enum mapped mapped = answer_fault(w, entry, memory, &thread_in_kernel);

    return mapped == MAPPED ||
           (mapped == ELSEWHERE && answer_elsewhere(w, entry, memory, &thread_in_kernel)) ||
           (mapped == FLAGGED &&
            (memory & REPLY_REPLACE ? answer_replace(w, entry, memory, old, &thread_in_kernel)
                                    : answer_rights(w, entry, memory, &thread_in_kernel)));
}

bool reply_park_in_kernel(struct thread *w, uint64_t value)
{
    return answer_value(w, value, &thread_in_kernel);
}

static __attribute__((noinline)) bool pager_fault_elsewhere(uint64_t entry, uint64_t memory)
{
    struct thread *w = this_hart()->pager_thread, *c = w->client;

    return answer_elsewhere(w, entry, memory, &thread_in_kernel) && resume_same(c);
}

static __attribute__((noinline)) bool pager_fault_replace(uint64_t entry, uint64_t memory,
                                                          uint64_t old)
{
    struct thread *w = this_hart()->pager_thread, *c = w->client;

    return answer_replace(w, entry, memory, old, &thread_in_kernel) && resume_same(c);
}

static __attribute__((noinline)) bool pager_fault_rights(uint64_t entry, uint64_t memory)
{
    struct thread *w = this_hart()->pager_thread, *c = w->client;

    return answer_rights(w, entry, memory, &thread_in_kernel) && resume_same(c);
}

/* The client's registers are saved, its space is loaded, nobody better is ready: it goes on. */
bool pager_fault_reply(uint64_t entry, uint64_t memory, uint64_t old)
{
    struct hart *h = this_hart();
    struct thread *w = h->pager_thread, *c = w->client;

    if (unlikely(h->look_again))
        return false;
    enum mapped mapped = answer_fault(w, entry, memory, &thread_in_kernel);
    if (likely(mapped == MAPPED))
        return resume_same(c);
    if (mapped == FLAGGED)
        return memory & REPLY_REPLACE ? pager_fault_replace(entry, memory, old)
                                      : pager_fault_rights(entry, memory);
    return mapped == ELSEWHERE && pager_fault_elsewhere(entry, memory);
}

bool pager_reply_park(uint64_t value)
{
    struct hart *h = this_hart();
    struct thread *w = h->pager_thread, *c = w->client;

    if (unlikely(h->look_again || !answer_value(w, value, &thread_in_kernel)))
        return false;
    return resume_same(c);
}

/*
 * The three calls that the trap code enters by number. False: not plain; the arguments are noted
 * in x[10] and x[11] and native_call() does it again from the start.
 */
static inline bool not_plain(struct thread *t, uint64_t a0, uint64_t a1)
{
    this_hart()->current = t;
    t->x[10] = a0;
    t->x[11] = a1;
    return false;
}

static __attribute__((noinline)) bool fault_reply_elsewhere(uint64_t entry, uint64_t memory,
                                                            struct thread *w)
{
    struct thread *c = w->client;

    if (unlikely(!answer_elsewhere(w, entry, memory, NULL)))
        return not_plain(w, entry, memory);
    return resume_full(c);
}

/* The arguments of these two are where fault_reply() has them. */
static __attribute__((noinline)) bool fault_reply_replace(uint64_t entry, uint64_t memory,
                                                          uint64_t old, uint64_t a3, uint64_t a4,
                                                          uint64_t a5, struct thread *w)
{
    struct thread *c = w->client;

    (void)a3, (void)a4, (void)a5;
    if (unlikely(!answer_replace(w, entry, memory, old, NULL)))
        return not_plain(w, entry, memory);
    return resume_full(c);
}

static __attribute__((noinline)) bool fault_reply_rights(uint64_t entry, uint64_t memory,
                                                         uint64_t a2, uint64_t a3, uint64_t a4,
                                                         uint64_t a5, struct thread *w)
{
    struct thread *c = w->client;

    (void)a2, (void)a3, (void)a4, (void)a5;
    if (unlikely(!answer_rights(w, entry, memory, NULL)))
        return not_plain(w, entry, memory);
    return resume_full(c);
}

bool fault_reply(uint64_t entry, uint64_t memory, uint64_t old, uint64_t a3, uint64_t a4,
                 uint64_t a5, struct thread *w)
{
    struct thread *c = w->client;

    enum mapped mapped = answer_fault(w, entry, memory, NULL);
    if (likely(mapped == MAPPED))
        return resume_full(c);
    if (mapped == FLAGGED)
        return memory & REPLY_REPLACE ? fault_reply_replace(entry, memory, old, a3, a4, a5, w)
                                      : fault_reply_rights(entry, memory, old, a3, a4, a5, w);
    return mapped == ELSEWHERE ? fault_reply_elsewhere(entry, memory, w)
                               : not_plain(w, entry, memory);
}

bool reply_park(uint64_t value, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
                struct thread *w)
{
    struct thread *c = w->client;

    (void)a1, (void)a2, (void)a3, (void)a4, (void)a5;
    if (c->state == THREAD_MESSAGE && likely(!w->attention)) {
        w->client = NULL;
        return resume_message(c, value);
    }
    if (likely(answer_value(w, value, NULL)))
        return resume_full(c);
    return not_plain(w, value, 0);
}

/* pc, sp, gp and tp of t are saved; its message is in the hart's registers. */
bool message_call(uint64_t slot, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
                  struct thread *t)
{
    struct hart *h = this_hart();

    (void)a1, (void)a2, (void)a3, (void)a4, (void)a5;
    hart_busy(h);
    if (unlikely(slot >= t->table_size))
        return not_plain(t, slot, 0);
    struct cap *cap = &t->table_caps[slot];
    if (unlikely(cap->type != CAP_ENDPOINT || !(cap->rights & RIGHT_CALL)))
        return not_plain(t, slot, 0);
    struct thread *w = ((struct endpoint *)cap->object)->straight[h->id];
    if (unlikely(w->client || t->serves)) /* a worker may not wait for another */
        return not_plain(t, slot, 0);
    t->state = THREAD_MESSAGE;
    w->client = t;
    count(h, COUNT_message_fast);
    return enter_message(w, cap->badge);
}

/*
 * The event of w's client goes on to the worker of its personality on this hart, which must be
 * parked. An exception is FORWARDED from then on: who has it may answer, but maps nothing.
 * `parked` says that w is parked again.
 */
static inline bool forward_plain(const struct thread *w)
{
    const struct thread *c = w->client, *p = *c->personality_slot;

    return !w->attention && !p->client && (c->state == THREAD_FAULT || c->state == THREAD_CALL);
}

static inline __attribute__((always_inline)) bool
event_forward(struct thread *w, uint64_t info0, uint64_t info1, struct thread *parked)
{
    struct hart *h = this_hart();
    struct thread *c = w->client, *p = *c->personality_slot;

    count(h, COUNT_forward_fast);
    h->entering = p;
    w->client = parked;
    p->client = c;
    if (c->state == THREAD_CALL)
        return enter_call_forwarded(c->x[10], c->x[11], c->x[12], c->x[13], c->x[14], c->x[15],
                                    c->personality.badge, c->x[17]);
    c->state = THREAD_FORWARDED;
    return enter_forwarded(c->personality.badge, c->fault_address, c->fault_cause, c->x[0],
                           h->counter[COUNT_fault_fast], info0, info1, c->x[2]);
}

bool forward_park(uint64_t info0, uint64_t info1, uint64_t a2, uint64_t a3, uint64_t a4,
                  uint64_t a5, struct thread *w)
{
    (void)a2, (void)a3, (void)a4, (void)a5;
    if (unlikely(!forward_plain(w)))
        return not_plain(w, info0, info1);
    return event_forward(w, info0, info1, NULL);
}

bool pager_forward_park(uint64_t info0, uint64_t info1)
{
    struct hart *h = this_hart();

    if (unlikely(h->look_again || !forward_plain(h->pager_thread)))
        return false;
    return event_forward(h->pager_thread, info0, info1, &thread_in_kernel);
}
