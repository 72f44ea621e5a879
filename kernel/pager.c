/*
 * The in-kernel pager's events. Its worker Thread stands for it everywhere: it is parked, has a
 * client, and answers through kernel_call(); only it is never entered in user mode.
 */
#include "kernel/pager.h"
#include "arch/arch.h"
#include "kernel/assert.h"
#include "kernel/pager_hook.h"
#include "kernel/sched.h"

/* Call the pager as worker w. True: the client went on already. Else it has answered: w is parked,
 * or has its next event. */
static bool call_pager(struct thread *w, unsigned kind, const uint64_t a[8])
{
    struct hart *h = this_hart();

    h->pager_thread = w;
    h->pager_answered = NULL;
    if (pager_enter(kind, a))
        return true;
    /* Parked, or it was given its next event, which makes it READY. */
    kassert(worker_parked(w) || w->state == THREAD_READY);
    return false;
}

/* t's event was w's; go back to t if that is all, else let the scheduler see. */
static bool go_on(struct thread *t)
{
    struct hart *h = this_hart();
    bool straight = t && h->pager_answered == t; /* unless it was, t may be gone */

    if (straight && !h->look_again)
        return resume_same(t);
    hart_idle(h);
    kernel_lock();
    if (straight)
        t->state = THREAD_RUNNING;
    return straight ? sched_return(h, t) : sched_run(h);
}

static void straight_begin(struct thread *t, struct thread *w, enum thread_state state)
{
    this_hart()->current = t;
    t->state = state;
    w->client = t;
}

bool pager_go_on(void)
{
    struct hart *h = this_hart();

    kassert(worker_parked(h->pager_thread) || h->pager_thread->state == THREAD_READY);
    return go_on(h->current);
}

bool pager_foreign(struct thread *t, struct thread *w)
{
    uint64_t number = t->x[17];
    bool pager = number >= 512 || (t->call_mask[number >> 6] >> (number & 63) & 1);
    uint64_t badge = pager ? t->pager.badge : t->personality.badge;
    const uint64_t a[8] = {t->x[10], t->x[11], t->x[12], t->x[13],
                           t->x[14], t->x[15], badge,    number};

    count(this_hart(), COUNT_call_fast);
    straight_begin(t, w, THREAD_CALL);
    return call_pager(w, ENTER_CALL, a) || go_on(t);
}

void pager_run(struct thread *w)
{
    bool gone = call_pager(w, w->enter_kind, &w->x[10]);
    kassert(!gone); /* what the scheduler runs has no client on the straight path */
}
