/* The calls about signals: sending them, actions, masks, the alternate stack, the return of a
 * handler. */
#include "user/linux/calls.h"

#include <string.h>

#include "user/linux/process.h"
#include "user/linux/request.h"
#include "user/linux/signal.h"
#include "user/linux/space.h"

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
        if (p == t->process || p->state == PROCESS_ZOMBIE)
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
    if (signal)
        signal_send_process(p, signal, &info);
    return 0;
}

static long send_thread(struct thread *t, int group, int tid, int signal)
{
    struct signal_info info = {.code = LINUX_SI_TKILL, .pid = t->process->pid};

    if (tid <= 0 || !valid(signal))
        return -LINUX_EINVAL;
    struct thread *target = thread_by_tid(tid);
    if (!target || target->state == THREAD_DYING || (group && target->process->pid != group))
        return -LINUX_ESRCH;
    if (signal)
        signal_send_thread(target, signal, &info);
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

/* ---- actions and masks ---- */

static bool is_handler(const struct linux_sigaction *action)
{
    return action->handler != LINUX_SIG_DFL && action->handler != LINUX_SIG_IGN;
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
        t->process->sighand->handlers += (unsigned)is_handler(&action);
        t->process->sighand->handlers -= (unsigned)is_handler(now);
        *now = action;
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

/* ---- the alternate stack ---- */

static bool on_stack(const struct thread *t, uint64_t sp)
{
    return !(t->altstack.flags & LINUX_SS_DISABLE) && sp - t->altstack.sp <= t->altstack.bytes;
}

long linux_sigaltstack(struct thread *t, const uint64_t *a)
{
    struct linux_sigaltstack stack, old = t->altstack;
    struct user_regs regs;

    if (thread_regs_read(t, &regs))
        return -LINUX_EFAULT;
    bool on = on_stack(t, regs.x[2]);
    old.flags |= on ? LINUX_SS_ONSTACK : 0;
    if (a[0]) {
        if (copy_in(t->process->space, &stack, a[0], sizeof(stack)))
            return -LINUX_EFAULT;
        if (on)
            return -LINUX_EPERM;
        if (stack.flags & ~(LINUX_SS_DISABLE | LINUX_SS_ONSTACK))
            return -LINUX_EINVAL;
        if (stack.flags & LINUX_SS_DISABLE)
            stack = (struct linux_sigaltstack){.flags = LINUX_SS_DISABLE};
        else if (stack.bytes < LINUX_MINSIGSTKSZ)
            return -LINUX_ENOMEM;
        stack.flags &= LINUX_SS_DISABLE;
        t->altstack = stack;
    }
    return a[1] ? copy_out(t->process->space, a[1], &old, sizeof(old)) : 0;
}

/* ---- the return of a handler ---- */

/* Everything is as the frame says; only what could not have been there is refused. */
long linux_rt_sigreturn(struct thread *t, const uint64_t *a)
{
    static struct linux_sigframe frame; /* under the big lock */
    struct user_regs regs;

    (void)a;
    if (thread_regs_read(t, &regs) ||
        copy_in(t->process->space, &frame, regs.x[2], sizeof(frame))) {
        process_kill(t->process, LINUX_SIGSEGV);
        return REQUEST_GONE;
    }
    uint64_t sp = regs.x[2];
    memcpy(regs.x, frame.context.regs, sizeof(regs.x));
    signal_stack_restore(t, &frame.context.stack, sp);
    t->mask = frame.context.mask & ~SIGNALS_UNBLOCKABLE;
    if (thread_regs_write(t, &regs)) {
        process_kill(t->process, LINUX_SIGSEGV);
        return REQUEST_GONE;
    }
    t->raw = true;
    return (long)regs.x[10];
}
