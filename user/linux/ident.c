/* Who is who: ids of processes, groups, sessions; and calls that keep one value per process.
 */
#include "user/linux/calls.h"

#include "user/linux/process.h"

long linux_getpid(struct thread *t, const uint64_t *a)
{
    (void)a;
    return t->process->pid;
}

long linux_gettid(struct thread *t, const uint64_t *a)
{
    (void)a;
    return t->tid;
}

long linux_getppid(struct thread *t, const uint64_t *a)
{
    (void)a;
    return t->process->ppid;
}

static struct process *named(struct thread *t, uint64_t pid)
{
    return (int32_t)pid == 0 ? t->process : process_by_pid((int32_t)pid);
}

long linux_getpgid(struct thread *t, const uint64_t *a)
{
    struct process *p = named(t, a[0]);

    return p ? p->pgid : -LINUX_ESRCH;
}

long linux_getsid(struct thread *t, const uint64_t *a)
{
    struct process *p = named(t, a[0]);

    return p ? p->sid : -LINUX_ESRCH;
}

long linux_setpgid(struct thread *t, const uint64_t *a)
{
    struct process *p = named(t, a[0]);
    int pgid = (int32_t)a[1];

    if (pgid < 0)
        return -LINUX_EINVAL;
    if (!p || (p != t->process && p->parent != t->process))
        return -LINUX_ESRCH;
    if (p != t->process && p->sid != t->process->sid)
        return -LINUX_EPERM;
    if (p != t->process && p->has_exec)
        return -LINUX_EACCES;
    if (p->sid == p->pid)
        return -LINUX_EPERM;
    if (pgid == 0)
        pgid = p->pid;
    if (pgid != p->pid && !process_group_exists(pgid, p->sid))
        return -LINUX_EPERM;
    p->pgid = pgid;
    return 0;
}

long linux_setsid(struct thread *t, const uint64_t *a)
{
    struct process *p = t->process;

    (void)a;
    /* The first process begins as a leader, and may become one again. */
    if (p->parent && (p->pgid == p->pid || process_group_exists(p->pid, 0)))
        return -LINUX_EPERM;
    p->sid = p->pgid = p->pid;
    return p->pid;
}

long linux_set_tid_address(struct thread *t, const uint64_t *a)
{
    t->clear_tid = a[0];
    return t->tid;
}

long linux_umask(struct thread *t, const uint64_t *a)
{
    uint32_t old = t->process->fs->umask;

    t->process->fs->umask = (uint32_t)a[0] & 0777;
    return old;
}
