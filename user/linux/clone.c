/*
 * New threads and processes, and their end: clone, exit, exit_group.
 *
 * A new process has a copy of its parent's space (fork), or with CLONE_VM shares it until it calls
 * execve or ends (posix_spawn, vfork). Its descriptors, directory and signal actions are copies or
 * shared (CLONE_FILES, CLONE_FS, CLONE_SIGHAND), in any combination. The threads of a process share
 * all of them.
 */
#include "user/linux/calls.h"

#include <string.h>

#include "user/linux/futex.h"
#include "user/linux/pidfd.h"
#include "user/linux/process.h"
#include "user/linux/request.h"
#include "user/linux/signal.h"
#include "user/linux/space.h"

/* Flags of a thread, all of them needed; those that a process may share by; and those that may be
 * added to both, some of which mean nothing here. */
#define THREAD_FLAGS (LINUX_CLONE_THREAD | LINUX_CLONE_VM | LINUX_CLONE_SIGHAND | LINUX_CLONE_FILES)
#define PROCESS_FLAGS                                                            \
    (LINUX_CLONE_VM | LINUX_CLONE_FS | LINUX_CLONE_FILES | LINUX_CLONE_SIGHAND | \
     LINUX_CLONE_VFORK | LINUX_CLONE_PARENT | LINUX_CLONE_CLEAR_SIGHAND | LINUX_CLONE_PIDFD)
#define COMMON_FLAGS                                                               \
    (LINUX_CLONE_SETTLS | LINUX_CLONE_PARENT_SETTID | LINUX_CLONE_CHILD_CLEARTID | \
     LINUX_CLONE_CHILD_SETTID | LINUX_CLONE_DETACHED | LINUX_CLONE_SYSVSEM |       \
     LINUX_CLONE_UNTRACED | LINUX_CLONE_PTRACE | LINUX_CLONE_IO | LINUX_CLONE_SIGNAL)

struct clone {
    uint64_t flags, stack, parent_tid, tls, child_tid;
    uint64_t pidfd; /* address for its number */
    int tid;        /* the number that the child is to have; 0: any */
};

/* 0, or why these flags are refused. */
static long check_flags(const struct process *p, uint64_t flags)
{
    if (flags & LINUX_CLONE_THREAD) {
        uint64_t allowed = THREAD_FLAGS | COMMON_FLAGS | LINUX_CLONE_FS | LINUX_CLONE_PARENT;
        return (flags & THREAD_FLAGS) == THREAD_FLAGS && !(flags & ~allowed) ? 0 : -LINUX_EINVAL;
    }
    if (flags & ~(COMMON_FLAGS | PROCESS_FLAGS) || (flags & LINUX_CLONE_SIGNAL) > LINUX_NSIG)
        return -LINUX_EINVAL;
    if ((flags & LINUX_CLONE_PIDFD) && (flags & LINUX_CLONE_DETACHED))
        return -LINUX_EINVAL;
    if ((flags & LINUX_CLONE_SIGHAND) &&
        (!(flags & LINUX_CLONE_VM) || (flags & LINUX_CLONE_CLEAR_SIGHAND)))
        return -LINUX_EINVAL;
    /* The first process has no parent that could have another child. */
    return (flags & LINUX_CLONE_PARENT) && !p->parent ? -LINUX_EINVAL : 0;
}

/* The first thread of a process, or one more; not started. NULL with *error. */
static struct thread *make_thread(struct thread *t, struct process *p, int tid,
                                  const struct clone *c, long *error)
{
    struct user_regs regs;

    *error = thread_regs_read(t, &regs);
    if (*error)
        return NULL;
    regs.x[10] = 0;
    if (c->stack)
        regs.x[2] = c->stack;
    if (c->flags & LINUX_CLONE_SETTLS)
        regs.x[4] = c->tls;
    struct thread *child = thread_create(p, tid, &regs, t->affinity, t, error);
    if (!child)
        return NULL;
    child->mask = t->mask;
    child->policy = t->policy;
    child->priority = t->priority;
    child->nice = t->nice;
    child->timer_slack = t->timer_slack;
    memcpy(child->comm, thread_comm(t), sizeof(child->comm));
    if (c->flags & LINUX_CLONE_CHILD_CLEARTID)
        child->clear_tid = c->child_tid;
    /* Bad addresses do no harm but to the caller, who does not get its numbers. */
    int32_t value = tid;
    if (c->flags & LINUX_CLONE_PARENT_SETTID)
        copy_out(t->process->space, c->parent_tid, &value, sizeof(value));
    if (c->flags & LINUX_CLONE_CHILD_SETTID)
        copy_out(p->space, c->child_tid, &value, sizeof(value));
    return child;
}

static long clone_thread(struct thread *t, const struct clone *c)
{
    int tid = c->tid ? c->tid : pid_allocate();
    long error;
    struct thread *child = make_thread(t, t->process, tid, c, &error);

    if (!child)
        return error;
    thread_start(child);
    if (t->process->stopped)
        thread_interrupt(child);
    return tid;
}

/* The space of a new process: 0 or -errno. */
static long clone_space(struct process *p, struct space *of, uint64_t flags)
{
    long error = 0;

    if (flags & LINUX_CLONE_VM) {
        space_get(of);
        p->space = of;
    } else {
        p->space = space_fork(of, &error);
    }
    return p->space ? 0 : error;
}

/* RLIMIT_NPROC: processes of its user. Root has as many as there is room for. */
static bool limit_reached(const struct process *p)
{
    uint64_t count = 0;

    if (cred_is_root(&p->cred))
        return false;
    for (struct process *q = process_next(0); q; q = process_next(q->pid))
        count += q->cred.user.real == p->cred.user.real;
    return count >= p->limit[LINUX_RLIMIT_NPROC].soft;
}

/* The parent's descriptor of its child, if it wants one: 0 with *fd, or -errno. */
static long clone_pidfd(struct thread *t, struct process *p, const struct clone *c, long *fd)
{
    *fd = -1;
    if (!(c->flags & LINUX_CLONE_PIDFD))
        return 0;
    *fd = pidfd_install(t, p, 0);
    int32_t number = (int32_t)*fd;
    return *fd < 0 ? *fd : copy_out(t->process->space, c->pidfd, &number, sizeof(number));
}

static long clone_process(struct thread *t, const struct clone *c)
{
    bool sibling = (c->flags & LINUX_CLONE_PARENT) != 0;
    struct process *parent = sibling ? t->process->parent : t->process;
    struct process *p = NULL;

    if (!limit_reached(t->process))
        p = process_create(parent, t->process, c->tid ? c->tid : pid_allocate(), c->flags);
    if (!p)
        return -LINUX_EAGAIN;
    long fd = -1, error = clone_space(p, t->process->space, c->flags);
    if (!error)
        error = clone_pidfd(t, p, c, &fd);
    struct thread *child = error ? NULL : make_thread(t, p, p->pid, c, &error);
    if (!child) {
        if (fd >= 0)
            fd_close(t->process->files, fd);
        process_discard(p);
        return error;
    }
    p->exit_signal = sibling ? t->process->exit_signal : (int)(c->flags & LINUX_CLONE_SIGNAL);
    if (c->flags & LINUX_CLONE_CLEAR_SIGHAND)
        signal_reset(p);
    if (!(c->flags & LINUX_CLONE_VM) || (c->flags & LINUX_CLONE_VFORK))
        child->altstack = t->altstack;
    thread_start(child);
    if (!(c->flags & LINUX_CLONE_VFORK)) {
        /* The child first: most end or execute before their parents write to what both have. */
        if (child->hart == t->hart)
            t->yields = true;
        return p->pid;
    }
    /* Not request_wait: only the child's execve or end, or our own, ends this. */
    t->progress = (uint64_t)p->pid;
    queue_join(&p->vfork_wait, t);
    return REQUEST_WAITS;
}

/* The parent of a vfork was woken: by the child, or by a signal, which has to wait. */
static long clone_again(struct thread *t)
{
    struct process *p = process_by_pid((int)t->progress);

    if (!p || p->vfork_done)
        return (long)t->progress;
    queue_join(&p->vfork_wait, t);
    return REQUEST_WAITS;
}

static long clone_any(struct thread *t, const struct clone *c)
{
    long error = check_flags(t->process, c->flags);

    if (error)
        return error;
    if ((c->flags & LINUX_CLONE_PIDFD) && (c->flags & LINUX_CLONE_PARENT_SETTID) &&
        c->pidfd == c->parent_tid)
        return -LINUX_EINVAL;
    return c->flags & LINUX_CLONE_THREAD ? clone_thread(t, c) : clone_process(t, c);
}

long linux_clone(struct thread *t, const uint64_t *a)
{
    const struct clone c = {(uint32_t)a[0], a[1], a[2], a[3], a[4], .pidfd = a[2]};

    return t->again ? clone_again(t) : clone_any(t, &c);
}

/* Arguments of a later version than ours may be longer if what is too much is zero. */
static long clone_args_in(struct thread *t, struct linux_clone_args *args, uint64_t from,
                          uint64_t bytes)
{
    char more[64];

    if (bytes < LINUX_CLONE_ARGS_BYTES_MIN)
        return -LINUX_EINVAL;
    if (bytes > 4096)
        return -LINUX_E2BIG;
    memset(args, 0, sizeof(*args));
    uint64_t known = bytes < sizeof(*args) ? bytes : sizeof(*args);
    if (copy_in(t->process->space, args, from, known))
        return -LINUX_EFAULT;
    for (uint64_t at = known; at < bytes; at += sizeof(more)) {
        uint64_t part = bytes - at < sizeof(more) ? bytes - at : sizeof(more);

        if (copy_in(t->process->space, more, from + at, part))
            return -LINUX_EFAULT;
        for (uint64_t i = 0; i < part; i++)
            if (more[i])
                return -LINUX_E2BIG;
    }
    return 0;
}

/* What does not depend on what there is: the signal has a field of its own, and the stack its
 * lower end. */
static bool clone_args_valid(const struct linux_clone_args *args, uint64_t bytes)
{
    uint64_t flags = args->flags, stack_end;

    if ((flags & (LINUX_CLONE_SIGNAL | LINUX_CLONE_DETACHED)) || args->exit_signal > LINUX_NSIG ||
        ((flags & (LINUX_CLONE_THREAD | LINUX_CLONE_PARENT)) && args->exit_signal))
        return false;
    if (!args->set_tid != !args->set_tid_count || args->set_tid_count > LINUX_PID_NAMESPACES_MAX)
        return false;
    if ((flags & LINUX_CLONE_INTO_CGROUP) &&
        (args->cgroup > INT32_MAX || bytes < sizeof(struct linux_clone_args)))
        return false;
    return !args->stack == !args->stack_bytes &&
           !__builtin_add_overflow(args->stack, args->stack_bytes, &stack_end) &&
           stack_end <= INT64_MAX;
}

/* The number that the child is to have, in the one namespace that there is: 0 or -errno. */
static long chosen_tid(struct thread *t, const struct linux_clone_args *args, int *tid)
{
    int32_t numbers[LINUX_PID_NAMESPACES_MAX];

    *tid = 0;
    if (!args->set_tid_count)
        return 0;
    if (copy_in(t->process->space, numbers, args->set_tid, args->set_tid_count * sizeof(*numbers)))
        return -LINUX_EFAULT;
    if (args->set_tid_count > 1 || numbers[0] < 1 || numbers[0] >= PID_MAX)
        return -LINUX_EINVAL;
    if (!cred_is_root(&t->process->cred))
        return -LINUX_EPERM;
    *tid = numbers[0];
    return pid_is_free(*tid) ? 0 : -LINUX_EEXIST;
}

long linux_clone3(struct thread *t, const uint64_t *a)
{
    struct linux_clone_args args;
    int tid;

    if (t->again)
        return clone_again(t);
    long error = clone_args_in(t, &args, a[0], a[1]);
    if (error)
        return error;
    uint64_t flags = args.flags & ~LINUX_CLONE_INTO_CGROUP;
    if (!clone_args_valid(&args, a[1]) || check_flags(t->process, flags))
        return -LINUX_EINVAL;
    if (args.flags & LINUX_CLONE_INTO_CGROUP)
        return -LINUX_EBADF; /* no descriptor is of a cgroup */
    error = chosen_tid(t, &args, &tid);
    if (error)
        return error;
    const struct clone c = {.flags = flags | args.exit_signal,
                            .stack = args.stack + args.stack_bytes,
                            .parent_tid = args.parent_tid,
                            .tls = args.tls,
                            .child_tid = args.child_tid,
                            .pidfd = args.pidfd,
                            .tid = tid};
    return clone_any(t, &c);
}

/* Memory, threads and signal actions are shared by the threads of a process only: what others could
 * share beside these becomes the process's own. */
long linux_unshare(struct thread *t, const uint64_t *a)
{
    const uint64_t alone = LINUX_CLONE_THREAD | LINUX_CLONE_SIGHAND | LINUX_CLONE_VM;
    struct process *p = t->process;
    uint64_t flags = a[0];

    if (flags & ~(alone | LINUX_CLONE_FILES | LINUX_CLONE_FS | LINUX_CLONE_SYSVSEM))
        return -LINUX_EINVAL;
    if ((flags & alone) && (p->thread_count > 1 || p->sighand->users > 1 || p->space->users > 1))
        return -LINUX_EINVAL;
    if ((flags & LINUX_CLONE_FILES) && !fd_table_unshare(&p->files))
        return -LINUX_ENOMEM;
    return (flags & LINUX_CLONE_FS) && !fs_context_unshare(&p->fs) ? -LINUX_ENOMEM : 0;
}

/* The word by which others learn that the thread has left its stack, if there are others. */
void thread_clear_tid(struct thread *t)
{
    struct process *p = t->process;
    const int32_t zero = 0;

    if (t->clear_tid && (p->thread_count > 1 || p->space->users > 1)) {
        copy_out(p->space, t->clear_tid, &zero, sizeof(zero));
        futex_wake(p->space, t->clear_tid, 1);
    }
    t->clear_tid = 0;
}

#define EXIT_STATUS(code) (((int)(code)&0xff) << 8)

long linux_exit(struct thread *t, const uint64_t *a)
{
    if (t->process->thread_count == 1) {
        process_exit(t->process, EXIT_STATUS(a[0]));
    } else {
        /* The status of the thread that the process is named after counts if nothing else does. */
        if (t->tid == t->process->pid)
            t->process->exit_status = EXIT_STATUS(a[0]);
        thread_kill(t);
    }
    return REQUEST_GONE;
}

long linux_exit_group(struct thread *t, const uint64_t *a)
{
    process_exit(t->process, EXIT_STATUS(a[0]));
    return REQUEST_GONE;
}
