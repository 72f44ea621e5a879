/* wait4, waitid: asking for children that have ended, stopped or gone on. */
#include "user/linux/calls.h"

#include "user/linux/pidfd.h"
#include "user/linux/process.h"
#include "user/linux/request.h"
#include "user/linux/space.h"

#define STATUS_CONTINUED 0xffff

/* What wait4 takes, and waitid; the first always asks for the end. */
#define HOW            (LINUX_WNOTHREAD | LINUX_WCLONE | LINUX_WALL)
#define WAIT4_OPTIONS  (LINUX_WNOHANG | LINUX_WUNTRACED | LINUX_WCONTINUED | HOW)
#define WAITID_KINDS   (LINUX_WEXITED | LINUX_WUNTRACED | LINUX_WCONTINUED)
#define WAITID_OPTIONS (LINUX_WNOHANG | LINUX_WNOWAIT | WAITID_KINDS | HOW)

/* Which children are asked for, and for what. */
struct wanted {
    uint32_t type; /* LINUX_P_* */
    int id;
    uint32_t options;
};

struct event {
    struct process *child; /* NULL: there is none yet */
    int code, status;      /* as waitid tells */
    int word;              /* as wait4 tells */
};

static bool matches(const struct process *child, const struct wanted *w)
{
    bool is_clone = child->exit_signal != LINUX_SIGCHLD;

    if (!(w->options & LINUX_WALL) && is_clone != ((w->options & LINUX_WCLONE) != 0))
        return false;
    if (w->type == LINUX_P_ALL)
        return true;
    return (w->type == LINUX_P_PID ? child->pid : child->pgid) == w->id;
}

/* Whether there is something to tell of the child. */
static bool event_of(struct process *child, uint32_t options, struct event *event)
{
    int status = child->exit_status, signal = status & 0x7f;

    if (child->state == PROCESS_ZOMBIE && (options & LINUX_WEXITED))
        *event = (struct event){child, signal ? LINUX_CLD_KILLED : LINUX_CLD_EXITED,
                                signal ? signal : status >> 8, status};
    else if (child->stopped && child->stop_signal && (options & LINUX_WUNTRACED))
        *event = (struct event){child, LINUX_CLD_STOPPED, child->stop_signal,
                                child->stop_signal << 8 | 0x7f};
    else if (child->continued && (options & LINUX_WCONTINUED))
        *event = (struct event){child, LINUX_CLD_CONTINUED, LINUX_SIGCONT, STATUS_CONTINUED};
    else
        return false;
    return true;
}

/* It was told: a child that has ended leaves its last trace. */
static void consume(struct process *p, const struct event *event, uint32_t options)
{
    struct process *child = event->child;

    if (options & LINUX_WNOWAIT)
        return;
    if (event->code == LINUX_CLD_STOPPED)
        child->stop_signal = 0;
    else if (event->code == LINUX_CLD_CONTINUED)
        child->continued = false;
    else {
        usage_child_gone(p, child);
        process_reap(child);
    }
}

/* Find something to tell. 1: there is; 0: not, and nobody wants to wait for it; else what the
 * request is answered. */
static long find_event(struct thread *t, const struct wanted *w, struct event *event)
{
    struct process *p = t->process, *child;
    bool some = false;

    *event = (struct event){0};
    TAILQ_FOREACH(child, &p->children, sibling)
    {
        if (!matches(child, w))
            continue;
        some = true;
        if (event_of(child, w->options, event))
            return 1;
    }
    if (!some)
        return -LINUX_ECHILD;
    return w->options & LINUX_WNOHANG ? 0 : request_wait(t, &p->child_wait);
}

/* What the child used, with those that it has waited for. */
static long tell_usage(struct thread *t, const struct event *event, uint64_t to)
{
    struct linux_rusage usage;

    if (!to || !event->child)
        return 0;
    usage_of_family(event->child, &usage);
    return copy_out(t->process->space, to, &usage, sizeof(usage));
}

long linux_waitid(struct thread *t, const uint64_t *a)
{
    struct wanted w = {.type = (uint32_t)a[0], .id = (int32_t)a[1], .options = (uint32_t)a[3]};
    struct linux_siginfo info = {0};
    struct event event;
    bool nonblocking = false;

    if ((w.options & ~WAITID_OPTIONS) || !(w.options & WAITID_KINDS) || w.type > LINUX_P_PIDFD ||
        (w.type == LINUX_P_PID && w.id <= 0) ||
        ((w.type == LINUX_P_PGID || w.type == LINUX_P_PIDFD) && w.id < 0))
        return -LINUX_EINVAL;
    if (w.type == LINUX_P_PGID && w.id == 0)
        w.id = t->process->pgid;
    if (w.type == LINUX_P_PIDFD) {
        struct process *p;
        long error = pidfd_get(t, w.id, &p);

        if (error) /* who is gone is nobody's child */
            return error == -LINUX_ESRCH ? -LINUX_ECHILD : error;
        nonblocking = pidfd_is_nonblocking(t, w.id) && !(w.options & LINUX_WNOHANG);
        w.options |= nonblocking ? LINUX_WNOHANG : 0;
        w.type = LINUX_P_PID;
        w.id = p->pid;
    }
    long result = find_event(t, &w, &event);
    if (result < 0)
        return result;
    if (!event.child && nonblocking)
        return -LINUX_EAGAIN;
    if (event.child) {
        info.signo = LINUX_SIGCHLD;
        info.code = event.code;
        info.pid = event.child->pid;
        info.status = event.status;
    }
    if ((a[2] && copy_out(t->process->space, a[2], &info, sizeof(info))) ||
        tell_usage(t, &event, a[4]))
        return -LINUX_EFAULT;
    if (event.child)
        consume(t->process, &event, w.options);
    return 0;
}

static struct wanted wanted_by_pid(const struct process *p, int pid, uint32_t options)
{
    if (pid > 0)
        return (struct wanted){LINUX_P_PID, pid, options};
    if (pid == -1)
        return (struct wanted){LINUX_P_ALL, 0, options};
    return (struct wanted){LINUX_P_PGID, pid ? -pid : p->pgid, options};
}

long linux_wait4(struct thread *t, const uint64_t *a)
{
    uint32_t options = (uint32_t)a[2];
    struct event event;

    if (options & ~WAIT4_OPTIONS)
        return -LINUX_EINVAL;
    if ((int32_t)a[0] == INT32_MIN)
        return -LINUX_ESRCH;
    struct wanted w = wanted_by_pid(t->process, (int32_t)a[0], options | LINUX_WEXITED);
    long result = find_event(t, &w, &event);
    if (result <= 0)
        return result;
    int32_t word = event.word;
    int pid = event.child->pid;
    if ((a[1] && copy_out(t->process->space, a[1], &word, sizeof(word))) ||
        tell_usage(t, &event, a[3]))
        return -LINUX_EFAULT;
    consume(t->process, &event, options);
    return pid;
}
