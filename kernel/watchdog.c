/*
 * A fault that nobody answers is a bug in a pager, and looks like a hang. Two kinds are noticed:
 * a fault that has waited off the straight path for too long (no worker takes it, or its answer was
 * kept), and a worker that has had the same fault in hand for too many timer periods. Each is said
 * once, with what is needed to find it.
 */
#include "kernel/watchdog.h"
#include "arch/arch.h"
#include "kernel/ipc.h"
#include "kernel/log.h"

#define PATIENCE_SECONDS 10
#define PATIENCE_PERIODS 1000

static void say(const char *how, struct thread *t)
{
    kprintf("pagoda: watchdog: fault unanswered (%s): thread %p hart %lu address 0x%lx cause %lu "
            "pc 0x%lx pager badge 0x%lx\n",
            how, (void *)t, (ulong)t->hart->id, (ulong)t->fault_address, (ulong)t->fault_cause,
            (ulong)t->x[0], (ulong)t->pager.badge);
}

/* One fault in each timer period, in turn. */
static void waits_too_long(uint64_t now)
{
    struct thread *t = TAILQ_FIRST(&kept_faults);

    if (!t)
        return;
    TAILQ_REMOVE(&kept_faults, t, kept);
    TAILQ_INSERT_TAIL(&kept_faults, t, kept);
    if (t->watchdog_said || now - t->waiting_since < PATIENCE_SECONDS * arch_timebase_hz)
        return;
    t->watchdog_said = 1;
    say(t->state == THREAD_QUEUED ? "no worker takes it"
        : t->state == THREAD_KEPT ? "kept"
                                  : "being served",
        t);
}

static void served_too_long(struct hart *h)
{
    struct thread *w = h->current;
    struct thread *c = w && worker_has_client(w) ? w->client : NULL;

    if (!c || c->state != THREAD_FAULT) {
        h->stuck_periods = 0;
        return;
    }
    if (h->stuck_sequence != h->counter[COUNT_fault_fast]) {
        h->stuck_sequence = h->counter[COUNT_fault_fast];
        h->stuck_periods = 0;
    } else if (++h->stuck_periods == PATIENCE_PERIODS) {
        say("being served", c);
    }
}

void watchdog_tick_locked(struct hart *h, uint64_t now)
{
    waits_too_long(now);
    served_too_long(h);
}
