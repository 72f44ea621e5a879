/* Scheduling calls: yielding, and on which harts a thread may run. */
#include "user/linux/calls.h"

#include "user/linux/kcall.h"
#include "user/linux/process.h"
#include "user/linux/request.h"
#include "user/linux/space.h"

long linux_sched_yield(struct thread *t, const uint64_t *a)
{
    (void)a;
    t->yields = true;
    return 0;
}

long linux_sched_setaffinity(struct thread *t, const uint64_t *a)
{
    struct thread *target = thread_named(t, (int)a[0]);
    uint64_t mask = 0;
    uint64_t bytes = (uint32_t)a[1] < sizeof(mask) ? (uint32_t)a[1] : sizeof(mask);

    if (!target)
        return -LINUX_ESRCH;
    if (copy_in(t->process->space, &mask, a[2], bytes))
        return -LINUX_EFAULT;
    mask &= threads_all_harts();
    if (!mask)
        return -LINUX_EINVAL;
    thread_set_affinity(target, mask);
    return 0;
}

long linux_sched_getaffinity(struct thread *t, const uint64_t *a)
{
    struct thread *target = thread_named(t, (int)a[0]);

    if (!target)
        return -LINUX_ESRCH;
    if ((uint32_t)a[1] < sizeof(target->affinity) || ((uint32_t)a[1] & 7))
        return -LINUX_EINVAL;
    uint64_t mask = target->affinity;
    return copy_out(t->process->space, a[2], &mask, sizeof(mask)) ? -LINUX_EFAULT
                                                                  : (long)sizeof(mask);
}

long linux_getcpu(struct thread *t, const uint64_t *a)
{
    uint32_t hart = t->hart, node = 0;

    if (a[0] && copy_out(t->process->space, a[0], &hart, sizeof(hart)))
        return -LINUX_EFAULT;
    return a[1] ? copy_out(t->process->space, a[1], &node, sizeof(node)) : 0;
}
