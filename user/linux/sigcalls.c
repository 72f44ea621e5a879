/* The calls about signals: sending them, actions, masks, the alternate stack, the return of a
 * handler. */
#include "user/linux/calls.h"

#include <string.h>

#include "user/linux/pidfd.h"
#include "user/linux/process.h"
#include "user/linux/request.h"
#include "user/linux/signal.h"
#include "user/linux/space.h"
#include "user/linux/time.h"

#define SIGSET_BYTES 8

/* ---- sending ---- */

static bool valid(int signal)
{
    return signal >= 0 && signal <= LINUX_NSIG;
}

static long kill_all(struct thread *t, int signal, const struct signal_info *info)
{
    unsigned count = 0;

    for (struct process *p = process_next(1); p; p = process_next(p->pid)) {
        if (p == t->process || p->state == PROCESS_ZOMBIE ||
            !cred_may_signal(&t->process->cred, &p->cred))
            continue;
        count++;
        if (signal)
            signal_send_process(p, signal, info);
    }
    return count ? 0 : -LINUX_ESRCH;
}

long linux_kill(struct thread *t, const uint64_t *a)
{
    int pid = (int)a[0], signal = (int)a[1];
    struct signal_info info = {.code = LINUX_SI_USER, .pid = t->process->pid};

    if (!valid(signal))
        return -LINUX_EINVAL;
    if (pid == -1)
        return kill_all(t, signal, &info);
    if (pid <= 0) {
        int group = pid ? -pid : t->process->pgid;
        unsigned count = signal_send_group(group, signal, &info);
        return count ? 0 : -LINUX_ESRCH;
    }
    struct process *p = process_by_pid(pid);
    if (!p)
        return -LINUX_ESRCH;
    if (!cred_may_signal(&t->process->cred, &p->cred) &&
        !(signal == LINUX_SIGCONT && p->sid == t->process->sid))
        return -LINUX_EPERM;
    if (signal && signal_send_process(p, signal, &info) == SIGNAL_LOST)
        return -LINUX_EAGAIN;
    return 0;
}

/* A thread by its tid, in the process `group` (0: in any); NULL. */
static struct thread *find_thread(int group, int tid)
{
    struct thread *t = thread_by_tid(tid);

    return t && t->state != THREAD_DYING && (!group || t->process->pid == group) ? t : NULL;
}

static long send_thread(struct thread *t, int group, int tid, int signal)
{
    struct signal_info info = {.code = LINUX_SI_TKILL, .pid = t->process->pid};

    if (tid <= 0 || !valid(signal))
        return -LINUX_EINVAL;
    struct thread *target = find_thread(group, tid);
    if (!target)
        return -LINUX_ESRCH;
    if (!cred_may_signal(&t->process->cred, &target->process->cred))
        return -LINUX_EPERM;
    if (signal && signal_send_thread(target, signal, &info) == SIGNAL_LOST)
        return -LINUX_EAGAIN;
    return 0;
}

long linux_tkill(struct thread *t, const uint64_t *a)
{
    return send_thread(t, 0, (int)a[0], (int)a[1]);
}

long linux_tgkill(struct thread *t, const uint64_t *a)
{
    if ((int)a[0] <= 0)
        return -LINUX_EINVAL;
    return send_thread(t, (int)a[0], (int)a[1], (int)a[2]);
}

/* What the sender says that the signal carries; to others only what the kernel never says itself.
 */
static long read_info(struct thread *t, uint64_t from, bool own, struct signal_info *info)
{
    struct linux_siginfo given;

    if (copy_in(t->process->space, &given, from, sizeof(given)))
        return -LINUX_EFAULT;
    if (!own && (given.code >= 0 || given.code == LINUX_SI_TKILL))
        return -LINUX_EPERM;
    *info = (struct signal_info){.code = given.code, .error = given.err};
    memcpy(info->word, given.space, sizeof(info->word));
    return 0;
}

long linux_rt_sigqueueinfo(struct thread *t, const uint64_t *a)
{
    int signal = (int)a[1];
    struct signal_info info;
    long error = read_info(t, a[2], (int)a[0] == t->process->pid, &info);

    if (error)
        return error;
    struct process *p = process_by_pid((int)a[0]);
    if (!p)
        return -LINUX_ESRCH;
    if (!valid(signal))
        return -LINUX_EINVAL;
    return signal && signal_send_process(p, signal, &info) == SIGNAL_LOST ? -LINUX_EAGAIN : 0;
}

long linux_pidfd_send_signal(struct thread *t, const uint64_t *a)
{
    int signal = (int)a[1];
    struct signal_info info = {.code = LINUX_SI_USER, .pid = t->process->pid};
    struct process *p;

    if (a[3])
        return -LINUX_EINVAL;
    long error = pidfd_get(t, (int32_t)a[0], &p);
    if (!error && a[2])
        error = read_info(t, a[2], p == t->process, &info);
    if (error)
        return error;
    if (!valid(signal))
        return -LINUX_EINVAL;
    if (!cred_may_signal(&t->process->cred, &p->cred))
        return -LINUX_EPERM;
    return signal && signal_send_process(p, signal, &info) == SIGNAL_LOST ? -LINUX_EAGAIN : 0;
}

long linux_rt_tgsigqueueinfo(struct thread *t, const uint64_t *a)
{
    int signal = (int)a[2];
    struct signal_info info;
    long error = read_info(t, a[3], (int)a[0] == t->process->pid, &info);

    if (error)
        return error;
    if ((int)a[0] <= 0 || (int)a[1] <= 0 || !valid(signal))
        return -LINUX_EINVAL;
    struct thread *target = find_thread((int)a[0], (int)a[1]);
    if (!target)
        return -LINUX_ESRCH;
    return signal && signal_send_thread(target, signal, &info) == SIGNAL_LOST ? -LINUX_EAGAIN : 0;
}

/* ---- actions and masks ---- */

/* A signal that is ignored from now on does not pend any more. */
static void forget_ignored(struct process *p, int signal)
{
    struct thread *t;

    signal_set_remove(&p->pending, signal_bit(signal));
    TAILQ_FOREACH(t, &p->threads, mates)
    {
        signal_set_remove(&t->pending, signal_bit(signal));
    }
}

long linux_rt_sigaction(struct thread *t, const uint64_t *a)
{
    int signal = (int)a[0];
    struct linux_sigaction action, old;

    if (a[3] != SIGSET_BYTES || signal < 1 || signal > LINUX_NSIG ||
        (a[1] && (signal_bit(signal) & SIGNALS_UNBLOCKABLE)))
        return -LINUX_EINVAL;
    if (a[1] && copy_in(t->process->space, &action, a[1], sizeof(action)))
        return -LINUX_EFAULT;
    struct linux_sigaction *now = &t->process->sighand->action[signal - 1];
    old = *now;
    if (a[1]) {
        action.mask &= ~SIGNALS_UNBLOCKABLE;
        *now = action;
        /* Now, and not when a signal comes: nothing appears then in a hole that the program knows.
         * If it fails it is tried again. */
        if (action.handler != LINUX_SIG_DFL && action.handler != LINUX_SIG_IGN)
            trampoline_address(t->process->space);
        if (signal_is_ignored(t->process, signal))
            forget_ignored(t->process, signal);
    }
    return a[2] ? copy_out(t->process->space, a[2], &old, sizeof(old)) : 0;
}

long linux_rt_sigprocmask(struct thread *t, const uint64_t *a)
{
    uint64_t set = 0, old = t->mask;

    if (a[3] != SIGSET_BYTES)
        return -LINUX_EINVAL;
    if (a[1]) {
        if (copy_in(t->process->space, &set, a[1], sizeof(set)))
            return -LINUX_EFAULT;
        switch ((int)a[0]) {
        case LINUX_SIG_BLOCK:
            set |= t->mask;
            break;
        case LINUX_SIG_UNBLOCK:
            set = t->mask & ~set;
            break;
        case LINUX_SIG_SETMASK:
            break;
        default:
            return -LINUX_EINVAL;
        }
        t->mask = set & ~SIGNALS_UNBLOCKABLE;
    }
    return a[2] ? copy_out(t->process->space, a[2], &old, sizeof(old)) : 0;
}

long linux_rt_sigpending(struct thread *t, const uint64_t *a)
{
    uint64_t pending = (t->pending.bits | t->process->pending.bits) & t->mask;

    if (a[1] > SIGSET_BYTES)
        return -LINUX_EINVAL;
    return copy_out(t->process->space, a[0], &pending, a[1]);
}

long linux_rt_sigsuspend(struct thread *t, const uint64_t *a)
{
    uint64_t mask;

    if (a[1] != SIGSET_BYTES)
        return -LINUX_EINVAL;
    if (!t->again) {
        if (copy_in(t->process->space, &mask, a[0], sizeof(mask)))
            return -LINUX_EFAULT;
        signal_mask_for_wait(t, mask);
    }
    long result = request_wait(t, NULL);
    return result == REQUEST_RESTART ? REQUEST_INTERRUPTED : result;
}

/* Which of the signals waited for came first; its number. */
static long answer_taken(struct thread *t, uint64_t to, int signal, const struct signal_info *info)
{
    struct linux_siginfo siginfo;

    t->wait_set = 0;
    signal_siginfo(&siginfo, signal, info);
    return to && copy_out(t->process->space, to, &siginfo, sizeof(siginfo)) ? -LINUX_EFAULT
                                                                            : signal;
}

static long sigtimedwait_begin(struct thread *t, const uint64_t *a)
{
    struct linux_timespec limit;

    if (a[3] != SIGSET_BYTES)
        return -LINUX_EINVAL;
    if (copy_in(t->process->space, &t->wait_set, a[0], sizeof(t->wait_set)))
        return -LINUX_EFAULT;
    t->wait_set &= ~SIGNALS_UNBLOCKABLE;
    t->until = TIME_NEVER;
    if (!a[2])
        return 0;
    if (copy_in(t->process->space, &limit, a[2], sizeof(limit)))
        return -LINUX_EFAULT;
    if (!time_valid(&limit))
        return -LINUX_EINVAL;
    t->until = time_after(time_to_ticks(&limit));
    return 0;
}

long linux_rt_sigtimedwait(struct thread *t, const uint64_t *a)
{
    struct signal_info info;
    long error = t->again ? 0 : sigtimedwait_begin(t, a);

    if (error)
        return error;
    int signal = signal_take(t, t->wait_set, &info);
    if (signal)
        return answer_taken(t, a[1], signal, &info);
    if (deadline_passed(t))
        return -LINUX_EAGAIN;
    long result = request_wait(t, NULL);
    return result == REQUEST_RESTART ? REQUEST_INTERRUPTED : result;
}

/* A call that goes on after a signal does so by itself; so there is never one to restart. */
long linux_restart_syscall(struct thread *t, const uint64_t *a)
{
    (void)t, (void)a;
    return -LINUX_EINTR;
}

/* ---- the alternate stack ---- */

long linux_sigaltstack(struct thread *t, const uint64_t *a)
{
    struct linux_sigaltstack stack, old = t->altstack;
    struct user_regs regs;

    if (thread_regs_read(t, &regs))
        return -LINUX_EFAULT;
    bool on = signal_on_altstack(t, regs.x[2]);
    old.flags |= on ? LINUX_SS_ONSTACK : 0;
    if (a[0]) {
        if (copy_in(t->process->space, &stack, a[0], sizeof(stack)))
            return -LINUX_EFAULT;
        int32_t mode = stack.flags & ~LINUX_SS_AUTODISARM;
        if (on)
            return -LINUX_EPERM;
        if (mode != 0 && mode != LINUX_SS_DISABLE && mode != LINUX_SS_ONSTACK)
            return -LINUX_EINVAL;
        if (mode == LINUX_SS_DISABLE)
            stack = (struct linux_sigaltstack){.flags = stack.flags};
        else if (stack.bytes < LINUX_MINSIGSTKSZ)
            return -LINUX_ENOMEM;
        stack.flags &= LINUX_SS_DISABLE | LINUX_SS_AUTODISARM;
        t->altstack = stack;
    }
    return a[1] ? copy_out(t->process->space, a[1], &old, sizeof(old)) : 0;
}

/* ---- the return of a handler ---- */

static long bad_return(struct thread *t)
{
    process_kill(t->process, LINUX_SIGSEGV);
    return REQUEST_GONE;
}

/* A program's own return from its handler: the trampoline's second half does it, which can load
 * floating-point registers too. */
static long return_by_trampoline(struct thread *t, struct user_regs *regs)
{
    uint64_t trampoline = trampoline_address(t->process->space);

    if (!trampoline)
        return bad_return(t);
    regs->x[0] = trampoline + signal_return_offset();
    if (thread_regs_write(t, regs))
        return bad_return(t);
    t->raw = true;
    return (long)regs->x[10];
}

/* Everything is as the frame says; only what could not have been there is refused. */
long linux_rt_sigreturn(struct thread *t, const uint64_t *a)
{
    static struct linux_sigframe frame; /* under the big lock */
    struct user_regs regs;

    if (thread_regs_read(t, &regs))
        return bad_return(t);
    if (a[5] != SIGRETURN_LOADED)
        return return_by_trampoline(t, &regs);
    uint64_t sp = regs.x[2];
    if (copy_in(t->process->space, &frame, sp, sizeof(frame)))
        return bad_return(t);
    memcpy(regs.x, frame.context.regs, sizeof(regs.x));
    signal_stack_restore(t, &frame.context.stack, sp);
    t->mask = frame.context.mask & ~SIGNALS_UNBLOCKABLE;
    if (thread_regs_write(t, &regs))
        return bad_return(t);
    t->raw = true;
    return (long)regs.x[10];
}
