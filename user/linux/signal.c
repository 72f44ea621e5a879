/*
 * Signals (see signal.h): which of the four things a signal does - nothing, the end of the process,
 * a stop, a handler - is decided when it is sent, and again when it is taken. Frames of handlers
 * are sigframe.c's, stops job.c's.
 */
#include "user/linux/signal.h"

#include <string.h>

#include "user/linux/console.h"
#include "user/linux/job.h"
#include "user/linux/lock.h"
#include "user/linux/process.h"
#include "user/linux/request.h"
#include "user/linux/signalfd.h"
#include "user/linux/space.h"

#define BIT(n) (1UL << ((n)-1))

/* Default action: nothing. */
#define IGNORED_BY_DEFAULT \
    (BIT(LINUX_SIGCHLD) | BIT(LINUX_SIGCONT) | BIT(LINUX_SIGURG) | BIT(LINUX_SIGWINCH))

const char *signal_name(int signal)
{
    static const char *const names[] = {
        "signal 0",  "SIGHUP",  "SIGINT",    "SIGQUIT", "SIGILL",   "SIGTRAP", "SIGABRT", "SIGBUS",
        "SIGFPE",    "SIGKILL", "SIGUSR1",   "SIGSEGV", "SIGUSR2",  "SIGPIPE", "SIGALRM", "SIGTERM",
        "SIGSTKFLT", "SIGCHLD", "SIGCONT",   "SIGSTOP", "SIGTSTP",  "SIGTTIN", "SIGTTOU", "SIGURG",
        "SIGXCPU",   "SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGIO",   "SIGPWR",  "SIGSYS",
    };

    return signal >= 0 && signal < (int)(sizeof(names) / sizeof(names[0])) ? names[signal]
                                                                           : "signal";
}

enum effect { EFFECT_NOTHING, EFFECT_END, EFFECT_STOP, EFFECT_HANDLER };

/* The first process is neither ended nor stopped by signals that it has no handler for. */
static enum effect effect_of(const struct process *p, int signal)
{
    uint64_t handler = p->sighand->action[signal - 1].handler;

    if (handler == LINUX_SIG_IGN)
        return EFFECT_NOTHING;
    if (handler != LINUX_SIG_DFL)
        return EFFECT_HANDLER;
    if ((IGNORED_BY_DEFAULT & signal_bit(signal)) || !p->parent)
        return EFFECT_NOTHING;
    return SIGNALS_STOP & signal_bit(signal) ? EFFECT_STOP : EFFECT_END;
}

bool signal_is_ignored(const struct process *p, int signal)
{
    return effect_of(p, signal) == EFFECT_NOTHING;
}

bool signal_pending(const struct thread *t)
{
    const struct process *p = t->process;

    return ((t->pending.bits | p->pending.bits) & ~t->mask) != 0 || p->stopped;
}

/* The thread that takes a signal sent to the process: the first that does not block it, or NULL. */
static struct thread *taker(const struct process *p, int signal)
{
    struct thread *t;

    TAILQ_FOREACH(t, &p->threads, mates)
    {
        if (t->state != THREAD_DYING && !(t->mask & signal_bit(signal)))
            return t;
    }
    return NULL;
}

/* One that waits for just this signal, blocked or not (rt_sigtimedwait); or NULL. */
static struct thread *waiter(const struct process *p, int signal)
{
    struct thread *t;

    TAILQ_FOREACH(t, &p->threads, mates)
    {
        if (t->state == THREAD_WAITS && (t->wait_set & signal_bit(signal)))
            return t;
    }
    return NULL;
}

struct sent {
    int signal;
    const struct signal_info *info;
    struct signal_entry *entry; /* NULL: one of the pool */
};

static enum signal_sent add(struct signal_set *set, const struct sent *sent)
{
    if (!sent->entry)
        return signal_set_add(set, sent->signal, sent->info) ? SIGNAL_PENDS : SIGNAL_LOST;
    sent->entry->signal = sent->signal;
    sent->entry->info = *sent->info;
    signal_set_add_entry(set, sent->entry);
    return SIGNAL_PENDS;
}

/* To a living process, or to a thread of it if `target` is not NULL. */
static enum signal_sent send(struct process *p, struct thread *target, const struct sent *sent)
{
    int signal = sent->signal;
    struct signal_set *set = target ? &target->pending : &p->pending;
    struct thread *t = target ? target : taker(p, signal), *waits = target;

    job_signal_sent(p, signal);
    if (target && (target->mask & signal_bit(signal)))
        t = NULL;
    if (!target)
        waits = waiter(p, signal);
    else if (target->state != THREAD_WAITS || !(target->wait_set & signal_bit(signal)))
        waits = NULL;
    enum effect effect = effect_of(p, signal);
    if (effect == EFFECT_END && !waits && (signal == LINUX_SIGKILL || (t && !p->stopped))) {
        process_kill(p, signal);
        return SIGNAL_DONE;
    }
    if (effect == EFFECT_NOTHING && t && !waits)
        return SIGNAL_DONE;
    enum signal_sent result = add(set, sent);
    signalfd_notify();
    if (waits || t)
        thread_interrupt(waits ? waits : t);
    return result;
}

enum signal_sent signal_send_process(struct process *p, int signal, const struct signal_info *info)
{
    const struct sent sent = {.signal = signal, .info = info};

    return p->state == PROCESS_ALIVE ? send(p, NULL, &sent) : SIGNAL_DONE;
}

enum signal_sent signal_send_thread(struct thread *t, int signal, const struct signal_info *info)
{
    const struct sent sent = {.signal = signal, .info = info};

    return t->process->state == PROCESS_ALIVE && t->state != THREAD_DYING
               ? send(t->process, t, &sent)
               : SIGNAL_DONE;
}

enum signal_sent signal_send_entry(struct process *p, struct thread *t, int signal,
                                   const struct signal_info *info, struct signal_entry *entry)
{
    const struct sent sent = {.signal = signal, .info = info, .entry = entry};

    return p->state == PROCESS_ALIVE ? send(p, t, &sent) : SIGNAL_DONE;
}

unsigned signal_send_group(int pgid, int signal, const struct signal_info *info)
{
    unsigned count = 0;

    for (struct process *p = process_next(0); p; p = process_next(p->pid)) {
        if (p->pgid != pgid || p->state == PROCESS_ZOMBIE)
            continue;
        count++;
        if (signal)
            signal_send_process(p, signal, info);
    }
    return count;
}

int signal_take(struct thread *t, uint64_t wanted, struct signal_info *info)
{
    int signal = signal_set_take(&t->pending, wanted, info);

    return signal ? signal : signal_set_take(&t->process->pending, wanted, info);
}

void signal_siginfo(struct linux_siginfo *to, int signal, const struct signal_info *info)
{
    *to = (struct linux_siginfo){.signo = signal, .err = info->error, .code = info->code};
    memcpy(to->space, info->word, sizeof(info->word));
}

void signal_mask_for_wait(struct thread *t, uint64_t mask)
{
    t->saved_mask = t->mask;
    t->mask_saved = true;
    t->mask = mask & ~SIGNALS_UNBLOCKABLE;
}

static void mask_restore(struct thread *t)
{
    if (t->mask_saved)
        t->mask = t->saved_mask;
    t->mask_saved = false;
}

/* ---- death by exception ---- */

static const char *access_of(uint64_t cause)
{
    switch (cause) {
    case CAUSE_FETCH_MISALIGNED:
    case CAUSE_FETCH_ACCESS:
    case CAUSE_FETCH_PAGE:
        return "execution of";
    case CAUSE_STORE_MISALIGNED:
    case CAUSE_STORE_ACCESS:
    case CAUSE_STORE_PAGE:
        return "store to";
    default:
        return "load from";
    }
}

static const char *reason_of(int signal, int code)
{
    if (signal == LINUX_SIGSEGV && code == LINUX_SEGV_MAPERR)
        return "no mapping there";
    if (signal == LINUX_SIGSEGV && code == LINUX_SEGV_ACCERR)
        return "the mapping there does not allow it";
    if (signal == LINUX_SIGBUS && code == LINUX_BUS_ADRALN)
        return "the address is not aligned";
    if (signal == LINUX_SIGBUS && code == LINUX_BUS_ADRERR)
        return "the mapping has no memory there";
    if (signal == LINUX_SIGBUS && code == LINUX_BUS_MCEERR_AR)
        return "the memory there is broken";
    if (signal == LINUX_SIGKILL)
        return "out of memory";
    return "an exception";
}

static void say_why(const struct thread *t, int signal, int code, uint64_t address, uint64_t cause,
                    uint64_t pc)
{
    const struct process *p = t->process;

    if (cause == CAUSE_ILLEGAL)
        console_printf("%s[%d]: killed by %s: illegal instruction at pc 0x%lx\n", p->comm, p->pid,
                       signal_name(signal), pc);
    else if (cause == CAUSE_BREAKPOINT)
        console_printf("%s[%d]: killed by %s: breakpoint at pc 0x%lx\n", p->comm, p->pid,
                       signal_name(signal), pc);
    else
        console_printf("%s[%d]: killed by %s: %s 0x%lx at pc 0x%lx: %s\n", p->comm, p->pid,
                       signal_name(signal), access_of(cause), address, pc, reason_of(signal, code));
}

void signal_fault(struct thread *t, int signal, int code, uint64_t address, uint64_t cause,
                  uint64_t pc)
{
    struct process *p = t->process;
    struct signal_info info = signal_fault_info(signal, code, address);

    if (signal != LINUX_SIGKILL && effect_of(p, signal) == EFFECT_HANDLER &&
        !(t->mask & signal_bit(signal))) {
        signal_set_add(&t->pending, signal, &info);
        return;
    }
    say_why(t, signal, code, address, cause, pc);
    process_kill(p, signal);
}

void signal_straight_refused(struct thread *t)
{
    if (!t->straight.pushed)
        return;
    t->mask = t->straight.mask;
    signal_fault(t, t->straight.signal, t->straight.code, t->straight.address, t->straight.cause,
                 t->straight.pc);
}

static bool is_interrupted(const struct thread *t, long result)
{
    return !t->raw && (result == REQUEST_RESTART || result == REQUEST_INTERRUPTED);
}

/* How an interrupted call ends before a handler: made again (its ecall is before the pc), or
 * -EINTR.
 */
static void settle_call(const struct thread *t, struct user_regs *regs, long result, bool restart)
{
    if (t->is_fault)
        return;
    if (is_interrupted(t, result) && restart) {
        regs->x[0] -= 4;
        regs->x[10] = t->args[0];
    } else {
        regs->x[10] = is_interrupted(t, result) ? (uint64_t)-LINUX_EINTR : (uint64_t)result;
    }
}

/* A thread whose registers cannot be reached cannot go on. */
static bool read_regs(struct thread *t, struct user_regs *regs)
{
    if (thread_regs_read(t, regs) == 0)
        return true;
    process_kill(t->process, LINUX_SIGKILL);
    return false;
}

static bool write_regs(struct thread *t, const struct user_regs *regs)
{
    if (thread_regs_write(t, regs) == 0)
        return true;
    process_kill(t->process, LINUX_SIGKILL);
    return false;
}

/* Enter the handler of a signal; false if there is no room for its frame, and the process ends. */
static bool enter_handler(struct thread *t, struct user_regs *regs, int signal,
                          const struct signal_info *info)
{
    if (signal_push_frame(t, regs, signal, info))
        return true;
    console_printf("%s[%d]: killed by SIGSEGV: no room on its stack for %s\n", t->process->comm,
                   t->process->pid, signal_name(signal));
    process_kill(t->process, LINUX_SIGSEGV);
    return false;
}

/*
 * Take the signals of t, whose registers are in *regs (read when first needed), until one stops the
 * process. Returns the number of handlers entered, or -1 if the process ends.
 */
static int run_signals(struct thread *t, struct user_regs *regs, bool *have_regs, long result,
                       bool stopped)
{
    struct process *p = t->process;
    struct signal_info info;
    int signal, handlers = 0;

    while (!p->stopped && (signal = signal_take(t, ~t->mask, &info))) {
        enum effect effect = effect_of(p, signal);
        if (effect == EFFECT_NOTHING)
            continue;
        if (effect == EFFECT_STOP) {
            job_stop(p, signal);
            continue;
        }
        if (effect == EFFECT_END) {
            process_kill(p, signal);
            return -1;
        }
        if (!*have_regs) {
            if (!read_regs(t, regs))
                return -1;
            *have_regs = true;
        }
        if (handlers == 0 && !stopped) {
            uint64_t flags = p->sighand->action[signal - 1].flags;
            settle_call(t, regs, result, result == REQUEST_RESTART && (flags & LINUX_SA_RESTART));
        }
        if (!enter_handler(t, regs, signal, &info))
            return -1;
        handlers++;
    }
    return handlers;
}

enum signal_delivery signal_deliver(struct thread *t, long result, long *value)
{
    struct user_regs regs;
    bool have_regs = false;

    *value = t->is_fault ? 0 : result;
    if (t->process->state != PROCESS_ALIVE)
        return SIGNAL_ENDS;
    if (t->mask_saved && !is_interrupted(t, result))
        mask_restore(t);
    int handlers = signal_pending(t) ? run_signals(t, &regs, &have_regs, result, false) : 0;
    if (handlers < 0)
        return SIGNAL_ENDS;
    if (handlers == 0 && is_interrupted(t, result))
        return SIGNAL_RUN_AGAIN;
    mask_restore(t);
    if (have_regs) {
        if (!write_regs(t, &regs))
            return SIGNAL_ENDS;
        *value = t->is_fault ? 0 : (long)regs.x[10];
    }
    return SIGNAL_GOES_ON;
}

bool signal_deliver_stopped(struct thread *t)
{
    struct user_regs regs;
    bool have_regs = false;

    if (t->process->state != PROCESS_ALIVE)
        return false;
    int handlers = run_signals(t, &regs, &have_regs, 0, true);
    return handlers >= 0 && (!have_regs || write_regs(t, &regs));
}

void signal_reset(struct process *p)
{
    for (unsigned i = 0; i < LINUX_NSIG; i++) {
        struct linux_sigaction *action = &p->sighand->action[i];
        bool ignored = action->handler == LINUX_SIG_IGN;
        *action = (struct linux_sigaction){.handler = ignored ? LINUX_SIG_IGN : LINUX_SIG_DFL};
    }
}

bool signal_ignores_children(const struct process *p)
{
    const struct linux_sigaction *action = &p->sighand->action[LINUX_SIGCHLD - 1];

    return action->handler == LINUX_SIG_IGN || (action->flags & LINUX_SA_NOCLDWAIT);
}

bool signal_wants_stops(const struct process *p)
{
    return !(p->sighand->action[LINUX_SIGCHLD - 1].flags & LINUX_SA_NOCLDSTOP);
}
