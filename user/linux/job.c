/* Job control (see job.h). */
#include "user/linux/job.h"

#include "user/linux/process.h"
#include "user/linux/request.h"
#include "user/linux/signal.h"

bool job_is_orphaned(int pgid)
{
    for (struct process *p = process_next(0); p; p = process_next(p->pid)) {
        const struct process *parent = p->parent;

        if (p->pgid == pgid && p->state != PROCESS_ZOMBIE && parent && parent->pgid != pgid &&
            parent->sid == p->sid)
            return false;
    }
    return true;
}

static void remove_pending(struct process *p, uint64_t signals)
{
    struct thread *t;

    signal_set_remove(&p->pending, signals);
    TAILQ_FOREACH(t, &p->threads, mates)
    {
        signal_set_remove(&t->pending, signals);
    }
}

static void go_on(struct process *p)
{
    struct thread *t;

    p->stopped = false;
    p->stopping = p->stop_signal = 0;
    p->continued = true;
    TAILQ_FOREACH(t, &p->threads, mates)
    {
        if (t->frozen)
            request_wake(t);
    }
    process_tell_parent(p, LINUX_CLD_CONTINUED, LINUX_SIGCONT);
}

void job_signal_sent(struct process *p, int signal)
{
    if (signal == LINUX_SIGCONT) {
        remove_pending(p, SIGNALS_STOP);
        if (p->stopped)
            go_on(p);
    } else if (SIGNALS_STOP & signal_bit(signal)) {
        remove_pending(p, signal_bit(LINUX_SIGCONT));
    }
}

void job_check(struct process *p)
{
    struct thread *t;

    if (!p->stopping)
        return;
    TAILQ_FOREACH(t, &p->threads, mates)
    {
        if (t->state == THREAD_RUNS)
            return;
    }
    p->stop_signal = p->stopping;
    p->stopping = 0;
    process_tell_parent(p, LINUX_CLD_STOPPED, p->stop_signal);
}

void job_stop(struct process *p, int signal)
{
    struct thread *t;

    if (p->stopped || (signal != LINUX_SIGSTOP && job_is_orphaned(p->pgid)))
        return;
    p->stopped = true;
    p->stopping = signal;
    p->continued = false;
    TAILQ_FOREACH(t, &p->threads, mates)
    {
        thread_interrupt(t);
    }
}

void job_freeze(struct thread *t, enum thread_frozen how, long value)
{
    if (how != FROZEN_STOPPED)
        thread_keep(t);
    t->state = THREAD_WAITS;
    t->frozen = how;
    t->frozen_value = value;
    job_check(t->process);
}
