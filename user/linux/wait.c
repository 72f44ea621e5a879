/* wait4, waitid: asking for children that have ended. Children do not stop here, so nobody is told
 * that one has stopped or goes on. */
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

/* waitid's siginfo of that child, or of none. */
static long tell(struct thread *t, const struct process *child, uint64_t to)
{
    struct linux_siginfo info = {0};

    if (!to)
        return 0;
    if (child) {
        int signal = child->exit_status & 0x7f;

        info.signo = LINUX_SIGCHLD;
        info.code = signal ? LINUX_CLD_KILLED : LINUX_CLD_EXITED;
        info.pid = child->pid;
        info.status = signal ? signal : child->exit_status >> 8;
    }
    return copy_out(t->process->space, to, &info, sizeof(info));
}

static bool matches_id(const struct process *child, const struct process *parent, uint32_t type,
                       int id)
{
    if (type == LINUX_P_ALL)
        return true;
    return type == LINUX_P_PID ? child->pid == id : child->pgid == (id ? id : parent->pgid);
}

static long collect_info(struct thread *t, struct process *child, const uint64_t *a)
{
    const struct linux_rusage none = {0};

    if (tell(t, child, a[2]) || (a[4] && copy_out(t->process->space, a[4], &none, sizeof(none))))
        return -LINUX_EFAULT;
    if (!(a[3] & LINUX_WNOWAIT))
        process_reap(child);
    return 0;
}

long linux_waitid(struct thread *t, const uint64_t *a)
{
    const uint32_t kinds = LINUX_WEXITED | LINUX_WUNTRACED | LINUX_WCONTINUED;
    struct process *p = t->process, *child;
    uint32_t type = (uint32_t)a[0], options = (uint32_t)a[3];
    int id = (int32_t)a[1];
    bool some = false;

    if ((options & ~(OPTIONS | kinds | LINUX_WNOWAIT)) || !(options & kinds) ||
        type > LINUX_P_PGID || (type == LINUX_P_PID && id <= 0) || (type == LINUX_P_PGID && id < 0))
        return -LINUX_EINVAL;
    TAILQ_FOREACH(child, &p->children, sibling)
    {
        if (!matches_id(child, p, type, id))
            continue;
        some = true;
        if (child->state == PROCESS_ZOMBIE && (options & LINUX_WEXITED))
            return collect_info(t, child, a);
    }
    if (!some)
        return -LINUX_ECHILD;
    if (options & LINUX_WNOHANG)
        return tell(t, NULL, a[2]);
    return request_wait(t, &p->child_wait);
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
