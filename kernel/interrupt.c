/*
 * Device interrupts: a source is delivered as bits of a notification, and stays masked (claimed and
 * not completed) until its driver acknowledges it. A controller ignores the completion of a source
 * that is not enabled, so completing comes before disabling. Kernel lock.
 */
#include "kernel/ipc.h"
#include "arch/arch.h"
#include "kernel/call.h"
#include "kernel/cap.h"

struct interrupt interrupts[INTERRUPTS_MAX];

void interrupt_deliver_locked(uint32_t source)
{
    struct interrupt *i = source < INTERRUPTS_MAX ? &interrupts[source] : NULL;

    if (!i || !i->notification) {
        arch_source_complete(source);
        arch_source_enable(source, false);
        return;
    }
    i->in_service = 1;
    notification_signal_locked(i->notification, i->bits);
}

void interrupt_unbind_locked(struct interrupt *i)
{
    if (!i->notification)
        return;
    if (i->in_service)
        arch_source_complete(i->source);
    arch_source_enable(i->source, false);
    i->in_service = 0;
    i->notification->references--;
    i->notification = NULL;
}

long call_interrupt_bind(struct thread *t, struct call_args *c)
{
    long error = 0;

    kernel_lock();
    struct cap *cap = cap_lookup(t, c->a[0], CAP_INTERRUPT, RIGHT_CONTROL, &error);
    struct cap *target =
        cap ? cap_lookup(t, c->a[1], CAP_NOTIFICATION, RIGHT_SIGNAL, &error) : NULL;
    if (!target)
        error = -error;
    else if (c->a[2] & ~notification_allowed(target))
        error = -ERR_ARGUMENT;
    else {
        struct interrupt *i = cap->object;
        struct notification *n = target->object;
        interrupt_unbind_locked(i);
        i->notification = n;
        i->bits = c->a[2];
        n->references++;
        arch_source_enable(i->source, true);
    }
    kernel_unlock();
    return error;
}

long call_interrupt_ack(struct thread *t, struct call_args *c)
{
    long error = 0;

    kernel_lock();
    struct cap *cap = cap_lookup(t, c->a[0], CAP_INTERRUPT, RIGHT_CONTROL, &error);
    struct interrupt *i = cap ? cap->object : NULL;
    if (!cap)
        error = -error;
    else if (!i->in_service)
        error = -ERR_STATE;
    else {
        i->in_service = 0;
        arch_source_complete(i->source);
    }
    kernel_unlock();
    return error;
}
