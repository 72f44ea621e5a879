/*
 * Address spaces and the harts that run them: which root a hart has loaded, and which fences it
 * owes before it does. All under the kernel lock; the other side, which takes translations away, is
 * gather.c and does without.
 *
 * No fence is missed. A hart that begins to run a space does
 *     R1  running |= me          R2  full barrier          R3  read stale, fence if mine is set
 * and who changed entries does
 *     F1  the change, barrier    F2  stale |= seen and not running
 *     F3  full barrier           F4  read running, fence those harts
 * Either F4 sees R1, and the hart is sent a fence; or R2 comes after F3, and then R3 sees F2 and,
 * as hardware walks the tables only after R3, the changed entries. A hart that stops running the
 * space between F2 and F4 was seen by F2 and is sent a fence all the same. A hart that never ran
 * the space (`seen`) holds nothing of it; it sets its bit before R2, so the same argument holds.
 */
#include "kernel/asid.h"
#include "arch/arch.h"
#include "kernel/assert.h"
#include "kernel/call.h"
#include "kernel/hart.h"

static inline uint64_t bit(const struct hart *h)
{
    return 1UL << h->id;
}

static uint64_t satp_of(const struct space *s)
{
    return arch_satp(s->root_pfn, asid_number(s));
}

/* R1 and R2 of the argument above. */
static void run_mark(struct space *s, struct hart *h)
{
    __atomic_fetch_or(&s->seen, bit(h), __ATOMIC_RELAXED);
    __atomic_fetch_or(&s->running, bit(h), __ATOMIC_SEQ_CST);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* Is this hart's bit set? It is cleared before the fence that answers it. */
static bool owed(uint64_t *mask, struct hart *h)
{
    if (!(__atomic_load_n(mask, __ATOMIC_RELAXED) & bit(h)))
        return false;
    __atomic_fetch_and(mask, ~bit(h), __ATOMIC_SEQ_CST);
    return true;
}

/*
 * R3: with the space's root loaded, so that nothing of the space that was loaded before can come
 * back under the same number.
 */
static void run_fence(struct space *s, struct hart *h)
{
    bool stale = owed(&s->stale, h);

    if (h->asid_flush_wanted || asid_number(s) == 0) {
        h->asid_flush_wanted = 0;
        arch_fence_all();
        count(h, COUNT_fence_local);
    } else if (stale) {
        arch_fence_asid(asid_number(s));
        count(h, COUNT_fence_local);
    }
    if (owed(&s->code_stale, h))
        arch_fence_code();
}

/* The hart's active space changes: no straight answer may resume a client of the old one. */
static void active_set(struct hart *h, struct space *s)
{
    struct space *old = h->space_active;
    struct thread *w;

    h->space_active = s;
    if (old && !(old->pinned & bit(h)))
        __atomic_fetch_and(&old->running, ~bit(h), __ATOMIC_RELEASE);
    TAILQ_FOREACH(w, &h->workers, bench)
    {
        if (worker_has_client(w))
            w->attention = 1;
    }
}

uint64_t space_activate(struct space *s, struct hart *h)
{
    kassert(kernel_lock_held() && !s->dying);
    bool here = s == h->space_active || (s->pinned & bit(h));

    if (s->running == 0)
        asid_refresh(s);
    if (here && asid_number(s) != 0)
        return satp_of(s);
    run_mark(s, h);
    arch_satp_write(satp_of(s));
    count(h, COUNT_satp_slow);
    run_fence(s, h);
    if (!here)
        active_set(h, s);
    return satp_of(s);
}

void space_leave(struct hart *h)
{
    kassert(kernel_lock_held());
    if (h->space_active)
        active_set(h, NULL);
}

/*
 * From now on the hart may run the space without asking. What it owes is paid here, by a fence sent
 * to it under the kernel lock: that happens when a worker is bound, never later, and the fence
 * needs nothing that another hart's kernel would have to do.
 */
uint64_t space_pin(struct space *s, struct hart *h)
{
    kassert(kernel_lock_held() && !s->dying);
    if (s->running == 0)
        asid_refresh(s);
    if (s->pinned == 0)
        asid_pin(s);
    if (s->pins[h->id]++ == 0) {
        s->pinned |= bit(h);
        run_mark(s, h);
        bool stale = owed(&s->stale, h), code_stale = owed(&s->code_stale, h);
        if (stale || h->asid_flush_wanted) {
            h->asid_flush_wanted = 0;
            if (h == this_hart())
                arch_fence_all();
            else
                arch_fence_all_remote(bit(h));
        }
        if (code_stale && h == this_hart())
            arch_fence_code();
        else if (code_stale)
            arch_fence_code_remote(bit(h));
    }
    return satp_of(s);
}

void space_unpin(struct space *s, struct hart *h)
{
    kassert(kernel_lock_held() && s->pins[h->id] > 0);
    if (--s->pins[h->id])
        return;
    s->pinned &= ~bit(h);
    if (h->space_active != s)
        __atomic_fetch_and(&s->running, ~bit(h), __ATOMIC_RELEASE);
    if (s->pinned == 0)
        asid_unpin(s);
}

/* The same argument with code_stale for stale; any hart may hold instructions of these pages. */
long call_instruction_fence(struct thread *t, struct call_args *c)
{
    struct hart *h = this_hart();
    uint64_t all = harts_online == 64 ? ~0UL : (1UL << harts_online) - 1;
    long error;
    struct space *s = space_enter(t, c->a[0], RIGHT_MAP, &error);

    if (s == NULL)
        return -error;
    space_hold(s);
    space_unlock(s);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    uint64_t running = __atomic_load_n(&s->running, __ATOMIC_RELAXED);
    __atomic_fetch_or(&s->code_stale, all & ~running, __ATOMIC_SEQ_CST);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    running |= __atomic_load_n(&s->running, __ATOMIC_ACQUIRE);
    if (running & bit(h))
        arch_fence_code();
    if (running & ~bit(h)) {
        arch_fence_code_remote(running & ~bit(h));
        h->counter[COUNT_fence_code_remote] += (uint64_t)__builtin_popcountll(running & ~bit(h));
    }
    space_drop_hold(s);
    return 0;
}
