/*
 * Handlers of signals (see signal.h): the frame on the program's stack, the plain case's straight
 * way into a handler and out of it, and the return.
 */
#include "user/linux/signal.h"

#include <string.h>

#include "user/linux/process.h"
#include "user/linux/request.h"
#include "user/linux/space.h"

bool signal_on_altstack(const struct thread *t, uint64_t sp)
{
    return !(t->altstack.flags & (LINUX_SS_DISABLE | LINUX_SS_AUTODISARM)) &&
           sp - t->altstack.sp <= t->altstack.bytes;
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
    s->info[0] = (uint32_t)signal | (uint64_t)(uint32_t)info->error << 32;
    s->info[1] = (uint32_t)info->code;
    s->info[2] = info->word[0];
    s->info[3] = info->word[1];
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
bool signal_push_frame(struct thread *t, struct user_regs *regs, int signal,
                       const struct signal_info *info)
{
    static struct linux_sigframe frame; /* under the big lock: too much for a worker's stack */
    struct linux_sigaction *action = &t->process->sighand->action[signal - 1];
    uint64_t trampoline = trampoline_address(t->process->space);
    bool on = signal_on_altstack(t, regs->x[2]);
    uint64_t sp = frame_address(t, action, regs->x[2], on);
    struct trampoline_registers s;

    if (!trampoline)
        return false;
    memcpy(frame.context.regs, regs->x, sizeof(frame.context.regs));
    if (copy_out(t->process->space, sp, &frame, sizeof(frame)))
        return false;
    fill_registers(&s, t, action, signal, info, on);
    mask_for_handler(t, action, signal);
    if (t->altstack.flags & LINUX_SS_AUTODISARM)
        t->altstack = (struct linux_sigaltstack){.flags = LINUX_SS_DISABLE};
    regs->x[0] = trampoline;
    regs->x[2] = sp;
    regs->x[10] = (uint64_t)signal;
    memcpy(&regs->x[8], &s, 2 * sizeof(uint64_t)); /* s0, s1; s2 and so on */
    memcpy(&regs->x[18], (const uint64_t *)&s + 2, sizeof(s) - 2 * sizeof(uint64_t));
    if (action->flags & LINUX_SA_RESETHAND)
        action->handler = LINUX_SIG_DFL;
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
    const struct signal_info info = signal_fault_info(signal, code, address);

    if (action->handler == LINUX_SIG_DFL || action->handler == LINUX_SIG_IGN ||
        (action->flags & LINUX_SA_RESETHAND) || (t->mask & signal_bit(signal)))
        return false;
    if (!p->space->trampoline || threads_harts() > 1 || signal_pending(t) || t->mask_saved ||
        t->move || t->kept || (t->altstack.flags & LINUX_SS_AUTODISARM))
        return false;
    bool on = signal_on_altstack(t, sp);
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
    if (signal_on_altstack(t, sp))
        return;
    if (stack->flags & LINUX_SS_DISABLE)
        t->altstack = (struct linux_sigaltstack){.flags = LINUX_SS_DISABLE};
    else if (!(stack->flags & ~(LINUX_SS_ONSTACK | LINUX_SS_AUTODISARM)) &&
             stack->bytes >= LINUX_MINSIGSTKSZ)
        t->altstack = (struct linux_sigaltstack){
            .sp = stack->sp, .flags = stack->flags & LINUX_SS_AUTODISARM, .bytes = stack->bytes};
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
