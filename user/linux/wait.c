/* wait4: asking for children that have ended. */
#include "user/linux/calls.h"

#include "user/linux/process.h"
#include "user/linux/request.h"
#include "user/linux/space.h"

#define OPTIONS                                                                            \
    (LINUX_WNOHANG | LINUX_WUNTRACED | LINUX_WCONTINUED | LINUX_WNOTHREAD | LINUX_WCLONE | \
     LINUX_WALL)

static bool matches(const struct process *child, const struct process *parent, int pid)
{
    if (pid > 0)
        return child->pid == pid;
    if (pid == -1)
        return true;
    return child->pgid == (pid ? -pid : parent->pgid);
}

/* The child's status and usage to the client, then its last trace goes. */
static long collect(struct thread *t, struct process *child, uint64_t status, uint64_t usage)
{
    const struct linux_rusage none = {0};
    int32_t value = child->exit_status;
    int pid = child->pid;

    if (status && copy_out(t->process->space, status, &value, sizeof(value)))
        return -LINUX_EFAULT;
    if (usage && copy_out(t->process->space, usage, &none, sizeof(none)))
        return -LINUX_EFAULT;
    process_reap(child);
    return pid;
}

long linux_wait4(struct thread *t, const uint64_t *a)
{
    struct process *p = t->process, *child;
    int pid = (int32_t)a[0];
    bool some = false;

    if ((uint32_t)a[2] & ~OPTIONS)
        return -LINUX_EINVAL;
    TAILQ_FOREACH(child, &p->children, sibling)
    {
        if (!matches(child, p, pid))
            continue;
        some = true;
        if (child->state == PROCESS_ZOMBIE)
            return collect(t, child, a[1], a[3]);
    }
    if (!some)
        return -LINUX_ECHILD;
    if ((uint32_t)a[2] & LINUX_WNOHANG)
        return 0;
    return request_wait(t, &p->child_wait);
}
