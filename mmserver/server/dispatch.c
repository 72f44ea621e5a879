/* One function for each way in which a worker is entered; faults go straight to the core. */
#include "mmserver/core/call_straight.h"
#include "mmserver/core/compact.h"
#include "mmserver/core/fault.h"
#include "mmserver/core/linux_abi.h"
#include "mmserver/core/slab.h"
#include "mmserver/core/text.h"
#include "mmserver/core/vmap.h"
#include "mmserver/core/zone.h"
#include "mmserver/place/place_server.h"
#include "mmserver/server/server.h"
#include <pagoda/mm.h>

#define IDLE_PAGES_ONCE 4 /* zeroed in one step */
#define IDLE_MMS_ONCE   4 /* looked at in one step */

/* Everything but the frequent calls. */
static __attribute__((noinline)) struct answer call_other(uint64_t a0, uint64_t a1, uint64_t a2,
                                                          uint64_t a3, uint64_t a4, uint64_t a5,
                                                          long number, struct worker *w)
{
    const uint64_t a[6] = {a0, a1, a2, a3, a4, a5};
    struct answer answer = answer_make(ANSWER_REPLY, 0, 0);
    long value;

    if (number < LINUX_CALLS_END) {
        value = linux_call(w, w->serving, number, a, &answer);
    } else {
        mm_count(w, call_pagoda);
        value = mm_call(w, w->serving, number, a);
    }
    if (answer_kind(answer) == ANSWER_REPLY)
        return call_answer(w, value);
    mm_assert(!w->ops_count);
    return answer_make(answer_kind(answer), (uint64_t)value, answer_second(answer));
}

/*
 * The calls that programs make most often go straight to the core with their arguments in
 * registers, and end with the core's answer; that is worth some sixty instructions a call.
 */
struct answer server_call(uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                          uint64_t a5, uint64_t badge, long number, struct worker *w)
{
    struct client *c = client_serve(w, badge);

    if (unlikely(!c))
        return answer_make(ANSWER_PARK, 0, 0);
    w->count[MMCOUNT_call_linux] += number < LINUX_CALLS_END;
    switch (number) {
    case NR_munmap:
        return call_munmap(w, c->mm, a0, a1);
    case NR_mprotect:
        return call_mprotect(w, c->mm, a0, a1, a2);
    case NR_brk:
        return call_brk(w, c->mm, a0);
    case NR_madvise:
        return call_madvise(w, c->mm, a0, a1, a2);
    case NR_mmap:
        if (likely((a3 & MAP_ANONYMOUS) && !(a5 & PAGE_MASK)))
            return call_mmap(w, c->mm, a0, a1, a2, a3);
        break;
    default:
        break;
    }
    return call_other(a0, a1, a2, a3, a4, a5, number, w);
}

/* The client went meanwhile, before the operations were performed or after. The mm is there as long
 * as it is locked. */
struct answer server_batch_refused(struct worker *w, long done, long stopped)
{
    long why;

    if (done != (long)w->batch_ops) {
        mm_assert(done == -ERR_CLIENT);
        mm_assert(place_batch(w->ops_mm->space_slot, w->batch_ops, &why) == (long)w->batch_ops);
    } else {
        mm_assert(stopped == -ERR_CLIENT);
    }
    __atomic_store_n(&w->ops->op[0].finished, 1, __ATOMIC_RELEASE);
    return answer_make(ANSWER_PARK, 0, 0);
}

struct answer server_idle(struct worker *w)
{
    mm_count(w, idle_step);
    if (zones_idle(w))
        return answer_make(ANSWER_PARK, 1, 0);
    unsigned done = pages_zero_ahead(w, IDLE_PAGES_ONCE);
    bool more = done == IDLE_PAGES_ONCE || slab_idle(w) || mm_sweep(w, IDLE_MMS_ONCE) ||
                vm_purge(w) || compact_idle(w);
    return answer_make(ANSWER_PARK, more, 0);
}

struct answer server_signal(struct worker *w)
{
    if (w->drain_wanted)
        pages_drain(w);
    return answer_make(ANSWER_PARK, 0, 0);
}

struct answer server_answer_refused(struct worker *w, enum answer_kind kind, long error)
{
    if (kind == ANSWER_PARK)
        mm_assert(error == -ERR_CLIENT);
    if (error == -ERR_CLIENT && kind != ANSWER_PARK)
        return answer_make(ANSWER_PARK, 0, 0); /* stopped meanwhile: nobody to answer */
    if (error == -ERR_GONE) {
        /* Only the personality's own threads have no personality. */
        const struct fault_record *r = &w->ring[(w->ring_next - 1) & (FAULT_RING_MAX - 1)];

        text_log("the process personality failed: thread %lu at %lx, cause %lu, address %lx: %s",
                 (uint64_t)fault_client(r), r->pc, (uint64_t)fault_cause(r), r->address,
                 fault_outcome_text[fault_outcome(r) % FAULT_OUTCOMES]);
        place_power_off(1);
    }
    return answer_make(ANSWER_REPLY, 0, 0);
}
