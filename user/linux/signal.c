/*
 * Signals (see signal.h): which of the three things a signal does - nothing, the end of the
 * process, a handler - is decided when it is sent, and again when it is taken. There is no job
 * control: the signals that would stop a process do nothing.
 */
#include "user/linux/signal.h"

#include <string.h>

#include "user/linux/console.h"
#include "user/linux/lock.h"
#include "user/linux/process.h"
#include "user/linux/request.h"
#include "user/linux/space.h"

#define BIT(n) (1UL << ((n)-1))

/* Default action: nothing. */
#define IGNORED_BY_DEFAULT                                                               \
    (BIT(LINUX_SIGCHLD) | BIT(LINUX_SIGCONT) | BIT(LINUX_SIGURG) | BIT(LINUX_SIGWINCH) | \
     BIT(LINUX_SIGSTOP) | BIT(LINUX_SIGTSTP) | BIT(LINUX_SIGTTIN) | BIT(LINUX_SIGTTOU))

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

enum effect { EFFECT_NOTHING, EFFECT_END, EFFECT_HANDLER };

/* The first process is not ended by signals that it has no handler for. */
static enum effect effect_of(const struct process *p, int signal)
{
    uint64_t handler = p->sighand->action[signal - 1].handler;

    if (handler == LINUX_SIG_IGN)
        return EFFECT_NOTHING;
    if (handler != LINUX_SIG_DFL)
        return EFFECT_HANDLER;
    if ((IGNORED_BY_DEFAULT & signal_bit(signal)) || !p->parent)
        return EFFECT_NOTHING;
    return EFFECT_END;
}

static void set_add(struct signal_set *set, int signal, const struct signal_info *info)
{
    if (set->bits & signal_bit(signal))
        return;
    set->bits |= signal_bit(signal);
    set->info[signal - 1] = *info;
}

bool signal_pending(const struct thread *t)
{
    return ((t->pending.bits | t->process->pending.bits) & ~t->mask) != 0;
}

/* The thread that takes a signal sent to the process: the first that does not block it, or NULL. */
static struct thread *taker(struct process *p, int signal)
{
    struct thread *t;

    TAILQ_FOREACH(t, &p->threads, mates)
    {
        if (t->state != THREAD_DYING && !(t->mask & signal_bit(signal)))
            return t;
    }
    return NULL;
}

void signal_send_process(struct process *p, int signal, const struct signal_info *info)
{
    if (p->state != PROCESS_ALIVE)
        return;
    struct thread *t = taker(p, signal);
    enum effect effect = effect_of(p, signal);
    if (effect == EFFECT_END && (t || signal == LINUX_SIGKILL)) {
        process_kill(p, signal);
    } else if (effect == EFFECT_HANDLER || !t) {
        set_add(&p->pending, signal, info);
        if (t)
            thread_interrupt(t);
    }
}

void signal_send_thread(struct thread *t, int signal, const struct signal_info *info)
{
    if (t->process->state != PROCESS_ALIVE || t->state == THREAD_DYING)
        return;
    bool blocked = (t->mask & signal_bit(signal)) != 0;
    enum effect effect = effect_of(t->process, signal);
    if (effect == EFFECT_END && (!blocked || signal == LINUX_SIGKILL)) {
        process_kill(t->process, signal);
    } else if (effect == EFFECT_HANDLER || blocked) {
        set_add(&t->pending, signal, info);
        if (!blocked)
            thread_interrupt(t);
    }
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
    struct signal_info info = {.code = code, .address = address};

    if (signal != LINUX_SIGKILL && effect_of(p, signal) == EFFECT_HANDLER &&
        !(t->mask & signal_bit(signal))) {
        set_add(&t->pending, signal, &info);
        return;
    }
    say_why(t, signal, code, address, cause, pc);
    process_kill(p, signal);
}

/* ---- handlers ---- */

static bool on_altstack(const struct thread *t, uint64_t sp)
{
    return !(t->altstack.flags & LINUX_SS_DISABLE) && sp - t->altstack.sp <= t->altstack.bytes;
}

/* The stack pointer that a handler starts with: below a frame, on the alternate stack if that is
 * wanted and not yet in use. */
static uint64_t frame_address(const struct thread *t, const struct linux_sigaction *action,
                              uint64_t sp, bool on)
{
    if ((action->flags & LINUX_SA_ONSTACK) && !on && !(t->altstack.flags & LINUX_SS_DISABLE))
        sp = t->altstack.sp + t->altstack.bytes;
    return (sp - sizeof(struct linux_sigframe)) & ~15UL;
}

/* What the trampoline completes the frame from. */
static void fill_registers(struct trampoline_registers *s, const struct thread *t,
                           const struct linux_sigaction *action, int signal,
                           const struct signal_info *info, bool on)
{
    s->info[0] = (uint32_t)signal;
    s->info[1] = (uint32_t)info->code;
    s->info[2] = info->address ? info->address : (uint32_t)info->pid;
    s->info[3] = info->address ? 0 : (uint32_t)info->status;
    s->handler = action->handler;
    s->mask = t->mask_saved ? t->saved_mask : t->mask;
    s->stack[0] = t->altstack.sp;
    s->stack[1] = (uint32_t)t->altstack.flags | (on ? LINUX_SS_ONSTACK : 0);
    s->stack[2] = t->altstack.bytes;
}

/* The mask while the handler runs. */
static void mask_for_handler(struct thread *t, const struct linux_sigaction *action, int signal)
{
    t->mask_saved = false;
    t->mask |= action->mask | (action->flags & LINUX_SA_NODEFER ? 0 : signal_bit(signal));
    t->mask &= ~SIGNALS_UNBLOCKABLE;
}

/* Make `regs` call the handler, with a frame on the stack that puts everything back. The trampoline
 * writes most of it, but all of its room has to be there. */
static bool push_frame(struct thread *t, struct user_regs *regs, int signal,
                       const struct signal_info *info)
{
    static struct linux_sigframe frame; /* under the big lock: too much for a worker's stack */
    struct linux_sigaction *action = &t->process->sighand->action[signal - 1];
    uint64_t trampoline = trampoline_address(t->process->space);
    bool on = on_altstack(t, regs->x[2]);
    uint64_t sp = frame_address(t, action, regs->x[2], on);
    struct trampoline_registers s;

    if (!trampoline)
        return false;
    memcpy(frame.context.regs, regs->x, sizeof(frame.context.regs));
    if (copy_out(t->process->space, sp, &frame, sizeof(frame)))
        return false;
    fill_registers(&s, t, action, signal, info, on);
    mask_for_handler(t, action, signal);
    regs->x[0] = trampoline;
    regs->x[2] = sp;
    regs->x[10] = (uint64_t)signal;
    memcpy(&regs->x[8], &s, 2 * sizeof(uint64_t)); /* s0, s1; s2 and so on */
    memcpy(&regs->x[18], (const uint64_t *)&s + 2, sizeof(s) - 2 * sizeof(uint64_t));
    if (action->flags & LINUX_SA_RESETHAND) {
        action->handler = LINUX_SIG_DFL;
        t->process->sighand->handlers--;
    }
    return true;
}

/*
 * With several harts a thread can be stopped between our letting go of the lock and the kernel's
 * push, and who stopped it could not tell which came first. Signals then take the long way.
 */
bool signal_push_straight(struct thread *t, int signal, int code, uint64_t address, uint64_t cause,
                          uint64_t pc, uint64_t sp, struct signal_push *push)
{
    struct process *p = t->process;
    const struct linux_sigaction *action = &p->sighand->action[signal - 1];
    const struct signal_info info = {.code = code, .address = address};

    if (action->handler == LINUX_SIG_DFL || action->handler == LINUX_SIG_IGN ||
        (action->flags & LINUX_SA_RESETHAND) || (t->mask & signal_bit(signal)))
        return false;
    if (!p->space->trampoline || threads_harts() > 1 || signal_pending(t) || t->mask_saved ||
        t->move || t->kept)
        return false;
    bool on = on_altstack(t, sp);
    t->straight.pushed = true;
    t->straight.signal = signal;
    t->straight.code = code;
    t->straight.address = address;
    t->straight.cause = cause;
    t->straight.pc = pc;
    t->straight.mask = t->mask;
    push->space = p->space->slot;
    push->address = frame_address(t, action, sp, on);
    push->bytes = sizeof(struct linux_sigframe);
    push->offset = offsetof(struct linux_sigframe, context.regs);
    push->pc = p->space->trampoline;
    fill_registers(&push->s, t, action, signal, &info, on);
    mask_for_handler(t, action, signal);
    return true;
}

void signal_stack_restore(struct thread *t, const struct linux_sigaltstack *stack, uint64_t sp)
{
    if (on_altstack(t, sp))
        return;
    if (stack->flags & LINUX_SS_DISABLE)
        t->altstack = (struct linux_sigaltstack){.flags = LINUX_SS_DISABLE};
    else if (!(stack->flags & ~LINUX_SS_ONSTACK) && stack->bytes >= LINUX_MINSIGSTKSZ)
        t->altstack = (struct linux_sigaltstack){.sp = stack->sp, .bytes = stack->bytes};
}

/* Here a stop in between is harmless: the trampoline's call happens again, with the same frame. */
bool signal_pop_straight(struct thread *t, uint64_t mask, const struct linux_sigaltstack *stack,
                         uint64_t sp)
{
    mask &= ~SIGNALS_UNBLOCKABLE;
    if (((t->pending.bits | t->process->pending.bits) & ~mask) || t->move || t->kept)
        return false;
    t->straight.pushed = false;
    t->mask = mask;
    signal_stack_restore(t, stack, sp);
    return true;
}

void signal_straight_refused(struct thread *t)
{
    if (!t->straight.pushed)
        return;
    t->mask = t->straight.mask;
    signal_fault(t, t->straight.signal, t->straight.code, t->straight.address, t->straight.cause,
                 t->straight.pc);
}

/* The next signal that t does not block, taken out of its set; 0 if there is none. */
static int take(struct thread *t, struct signal_info *info)
{
    struct signal_set *sets[] = {&t->pending, &t->process->pending};

    for (unsigned i = 0; i < 2; i++) {
        uint64_t bits = sets[i]->bits & ~t->mask;
        if (!bits)
            continue;
        int signal = __builtin_ctzl(bits) + 1;
        sets[i]->bits &= ~signal_bit(signal);
        *info = sets[i]->info[signal - 1];
        return signal;
    }
    return 0;
}

/* How an interrupted call ends: made again (its ecall is before the pc), or -EINTR. */
static void settle_call(const struct thread *t, struct user_regs *regs, long result, bool restart)
{
    bool interrupted = !t->raw && (result == REQUEST_RESTART || result == REQUEST_INTERRUPTED);

    if (t->is_fault)
        return;
    if (interrupted && restart) {
        regs->x[0] -= 4;
        regs->x[10] = t->args[0];
    } else {
        regs->x[10] = interrupted ? (uint64_t)-LINUX_EINTR : (uint64_t)result;
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

/*
 * Take the signals of t, whose registers are in *regs (read when first needed). Returns the number
 * of handlers entered, or -1 if the process ends.
 */
static int run_signals(struct thread *t, struct user_regs *regs, bool *have_regs, long result,
                       bool stopped)
{
    struct signal_info info;
    int signal, handlers = 0;

    while ((signal = take(t, &info))) {
        enum effect effect = effect_of(t->process, signal);
        if (effect == EFFECT_NOTHING)
            continue;
        if (effect == EFFECT_END) {
            process_kill(t->process, signal);
            return -1;
        }
        if (!*have_regs) {
            if (!read_regs(t, regs))
                return -1;
            *have_regs = true;
        }
        if (handlers == 0 && !stopped) {
            uint64_t flags = t->process->sighand->action[signal - 1].flags;
            settle_call(t, regs, result, result == REQUEST_RESTART && (flags & LINUX_SA_RESTART));
        }
        if (!push_frame(t, regs, signal, &info)) {
            console_printf("%s[%d]: killed by SIGSEGV: no room on its stack for %s\n",
                           t->process->comm, t->process->pid, signal_name(signal));
            process_kill(t->process, LINUX_SIGSEGV);
            return -1;
        }
        handlers++;
    }
    return handlers;
}

bool signal_deliver(struct thread *t, long result, long *value)
{
    struct user_regs regs;
    bool have_regs = false;
    bool interrupted = !t->raw && (result == REQUEST_RESTART || result == REQUEST_INTERRUPTED);

    *value = t->is_fault ? 0 : result;
    if (t->process->state != PROCESS_ALIVE)
        return false;
    if (t->mask_saved && !interrupted)
        mask_restore(t);
    int handlers = signal_pending(t) ? run_signals(t, &regs, &have_regs, result, false) : 0;
    if (handlers < 0)
        return false;
    mask_restore(t);
    if (handlers == 0 && interrupted) {
        if (!read_regs(t, &regs))
            return false;
        have_regs = true;
        settle_call(t, &regs, result, true);
    }
    if (have_regs) {
        if (!write_regs(t, &regs))
            return false;
        *value = t->is_fault ? 0 : (long)regs.x[10];
    }
    return true;
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
    p->sighand->handlers = 0;
}

bool signal_ignores_children(const struct process *p)
{
    const struct linux_sigaction *action = &p->sighand->action[LINUX_SIGCHLD - 1];

    return action->handler == LINUX_SIG_IGN || (action->flags & LINUX_SA_NOCLDWAIT);
}
