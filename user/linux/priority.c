/*
 * Scheduling policies and nice values: kept for each thread and told again. All threads are
 * scheduled alike, in turn; a policy that asks for more is taken from root, as on Linux, and does
 * no more than that.
 */
#include "user/linux/calls.h"

#include "user/linux/process.h"
#include "user/linux/space.h"
#include "user/linux/time.h"

#define SCHED_OTHER         0
#define SCHED_FIFO          1
#define SCHED_RR            2
#define SCHED_BATCH         3
#define SCHED_IDLE          5
#define SCHED_RESET_ON_FORK 0x40000000
#define REAL_TIME_MAX       99
#define NICE_MIN            (-20)
#define NICE_MAX            19
#define SLICE_NSEC          4000000
#define ATTR_BYTES_FIRST    48 /* of struct sched_attr */

static bool is_real_time(int policy)
{
    return policy == SCHED_FIFO || policy == SCHED_RR;
}

static bool is_policy(int policy)
{
    return is_real_time(policy) || policy == SCHED_OTHER || policy == SCHED_BATCH ||
           policy == SCHED_IDLE;
}

static long set_policy(struct thread *caller, struct thread *t, int policy, int priority)
{
    if (!is_policy(policy) ||
        (is_real_time(policy) ? priority < 1 || priority > REAL_TIME_MAX : priority != 0))
        return -LINUX_EINVAL;
    if (is_real_time(policy) && !cred_is_root(&caller->process->cred))
        return -LINUX_EPERM;
    t->policy = policy;
    t->priority = priority;
    return 0;
}

long linux_sched_setscheduler(struct thread *t, const uint64_t *a)
{
    struct thread *target = thread_named(t, (int)a[0]);
    int policy = (int)a[1];
    int32_t priority;

    if (policy < 0 || (int32_t)a[0] < 0 || !a[2])
        return -LINUX_EINVAL;
    if (copy_in(t->process->space, &priority, a[2], sizeof(priority)))
        return -LINUX_EFAULT;
    return target ? set_policy(t, target, policy & ~SCHED_RESET_ON_FORK, priority) : -LINUX_ESRCH;
}

long linux_sched_setparam(struct thread *t, const uint64_t *a)
{
    struct thread *target = thread_named(t, (int)a[0]);
    int32_t priority;

    if ((int32_t)a[0] < 0 || !a[1])
        return -LINUX_EINVAL;
    if (copy_in(t->process->space, &priority, a[1], sizeof(priority)))
        return -LINUX_EFAULT;
    return target ? set_policy(t, target, target->policy, priority) : -LINUX_ESRCH;
}

long linux_sched_getscheduler(struct thread *t, const uint64_t *a)
{
    const struct thread *target = thread_named(t, (int)a[0]);

    if ((int32_t)a[0] < 0)
        return -LINUX_EINVAL;
    return target ? target->policy : -LINUX_ESRCH;
}

long linux_sched_getparam(struct thread *t, const uint64_t *a)
{
    const struct thread *target = thread_named(t, (int)a[0]);

    if ((int32_t)a[0] < 0 || !a[1])
        return -LINUX_EINVAL;
    if (!target)
        return -LINUX_ESRCH;
    const int32_t priority = target->priority;
    return copy_out(t->process->space, a[1], &priority, sizeof(priority));
}

long linux_sched_get_priority_max(struct thread *t, const uint64_t *a)
{
    (void)t;
    if (!is_policy((int)a[0]))
        return -LINUX_EINVAL;
    return is_real_time((int)a[0]) ? REAL_TIME_MAX : 0;
}

long linux_sched_get_priority_min(struct thread *t, const uint64_t *a)
{
    (void)t;
    if (!is_policy((int)a[0]))
        return -LINUX_EINVAL;
    return is_real_time((int)a[0]) ? 1 : 0;
}

long linux_sched_rr_get_interval(struct thread *t, const uint64_t *a)
{
    const struct thread *target = thread_named(t, (int)a[0]);

    if ((int32_t)a[0] < 0)
        return -LINUX_EINVAL;
    if (!target)
        return -LINUX_ESRCH;
    const struct linux_timespec slice = {.nsec = target->policy == SCHED_FIFO ? 0 : SLICE_NSEC};
    return copy_out(t->process->space, a[1], &slice, sizeof(slice));
}

struct sched_attr {
    uint32_t bytes, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};
_Static_assert(sizeof(struct sched_attr) == ATTR_BYTES_FIRST, "struct sched_attr, first version");

long linux_sched_getattr(struct thread *t, const uint64_t *a)
{
    const struct thread *target = thread_named(t, (int)a[0]);

    if ((int32_t)a[0] < 0 || !a[1] || (uint32_t)a[2] < ATTR_BYTES_FIRST || (uint32_t)a[3])
        return -LINUX_EINVAL;
    if (!target)
        return -LINUX_ESRCH;
    const struct sched_attr attr = {.bytes = sizeof(attr),
                                    .policy = (uint32_t)target->policy,
                                    .nice = target->nice,
                                    .priority = (uint32_t)target->priority};
    return copy_out(t->process->space, a[1], &attr, sizeof(attr));
}

long linux_sched_setattr(struct thread *t, const uint64_t *a)
{
    struct thread *target = thread_named(t, (int)a[0]);
    struct sched_attr attr;

    if ((int32_t)a[0] < 0 || !a[1] || (uint32_t)a[2])
        return -LINUX_EINVAL;
    if (copy_in(t->process->space, &attr, a[1], sizeof(attr)))
        return -LINUX_EFAULT;
    if (attr.bytes && attr.bytes < ATTR_BYTES_FIRST)
        return -LINUX_E2BIG;
    if (!target)
        return -LINUX_ESRCH;
    long error = set_policy(t, target, (int)attr.policy, (int)attr.priority);
    if (!error && !is_real_time((int)attr.policy) && attr.nice >= NICE_MIN && attr.nice <= NICE_MAX)
        target->nice = attr.nice;
    return error;
}

/* ---- nice ---- */

#define PRIO_PROCESS 0
#define PRIO_PGRP    1
#define PRIO_USER    2

/* The next process after `p` (NULL: the first) that `who` of that kind names. */
static struct process *next_named(const struct thread *t, const struct process *p, int which,
                                  uint32_t who)
{
    struct process *next = process_next(p ? p->pid : 0);

    for (; next; next = process_next(next->pid)) {
        if (next->state != PROCESS_ALIVE)
            continue;
        if (which == PRIO_PGRP && next->pgid == (who ? (int)who : t->process->pgid))
            return next;
        if (which == PRIO_USER && next->cred.user.real == (who ? who : t->process->cred.user.real))
            return next;
    }
    return NULL;
}

static long nice_set(const struct thread *caller, struct thread *t, int nice)
{
    if (nice < t->nice && !cred_is_root(&caller->process->cred))
        return -LINUX_EACCES;
    t->nice = nice;
    return 0;
}

long linux_setpriority(struct thread *t, const uint64_t *a)
{
    int which = (int)a[0], nice = (int)a[2];
    long result = -LINUX_ESRCH;
    struct thread *other;

    nice = nice < NICE_MIN ? NICE_MIN : nice > NICE_MAX ? NICE_MAX : nice;
    if (which == PRIO_PROCESS) {
        other = thread_named(t, (int)a[1]);
        return other ? nice_set(t, other, nice) : result;
    }
    if (which != PRIO_PGRP && which != PRIO_USER)
        return -LINUX_EINVAL;
    for (struct process *p = NULL; (p = next_named(t, p, which, (uint32_t)a[1]));) {
        TAILQ_FOREACH(other, &p->threads, mates)
        {
            result = nice_set(t, other, nice);
        }
    }
    return result;
}

/* Told as 20 - nice, so that no answer looks like an error. */
long linux_getpriority(struct thread *t, const uint64_t *a)
{
    int which = (int)a[0];
    long best = -LINUX_ESRCH;
    const struct thread *other;

    if (which == PRIO_PROCESS) {
        other = thread_named(t, (int)a[1]);
        return other ? 20 - other->nice : best;
    }
    if (which != PRIO_PGRP && which != PRIO_USER)
        return -LINUX_EINVAL;
    for (struct process *p = NULL; (p = next_named(t, p, which, (uint32_t)a[1]));) {
        TAILQ_FOREACH(other, &p->threads, mates)
        {
            best = 20 - other->nice > best ? 20 - other->nice : best;
        }
    }
    return best;
}
