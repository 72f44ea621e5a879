/*
 * Kernel calls by number: the slow way in. Calls that may give the hart to another thread are
 * here; the rest are functions of one shape (kernel/call.h).
 */
#include "kernel/call.h"
#include "arch/arch.h"
#include "kernel/ipc.h"
#include "kernel/pager.h"
#include "kernel/pager_hook.h"
#include "kernel/sched.h"

/* Calls that only compute an answer; -ERR_CALL for any other number. */
static long call_plain(struct thread *t, long number, struct call_args *c)
{
    switch (number) {
    case CALL_BATCH:
        return call_batch(t, c);
    case CALL_REPLY_KEEP:
        return call_reply_keep(t, c);
    case CALL_REPLY_SEND:
        return call_reply_send(t, c);
    case CALL_CAP_COPY:
        return call_cap_copy(t, c);
    case CALL_CAP_DELETE:
        return call_cap_delete(t, c);
    case CALL_CAP_REVOKE:
        return call_cap_revoke(t, c);
    case CALL_CAP_READ:
        return call_cap_read(t, c);
    case CALL_OBJECT_CREATE:
        return call_object_create(t, c);
    case CALL_BLOCK_CLASS:
        return call_block_class(t, c);
    case CALL_SPACE_COPY:
        return call_space_copy(t, c);
    case CALL_THREAD_SET:
        return call_thread_set(t, c);
    case CALL_THREAD_REGS:
        return call_thread_regs(t, c);
    case CALL_THREAD_START:
        return call_thread_start(t, c);
    case CALL_THREAD_STOP:
        return call_thread_stop(t, c);
    case CALL_WORKER_BIND:
        return call_worker_bind(t, c);
    case CALL_WORKER_PAGE:
        return call_worker_page(t, c);
    case CALL_SIGNAL:
        return call_signal(t, c);
    case CALL_NOTIFICATION_BIND:
        return call_notification_bind(t, c);
    case CALL_TIMER_SET:
        return call_timer_set(t, c);
    case CALL_INTERRUPT_BIND:
        return call_interrupt_bind(t, c);
    case CALL_INTERRUPT_ACK:
        return call_interrupt_ack(t, c);
    case CALL_LOG_WRITE:
        return call_log_write(t, c);
    case CALL_POWER_OFF:
        return call_power_off(t, c);
    case CALL_COUNTERS_READ:
        return call_counters_read(t, c);
    case CALL_THREAD_TIME:
        return call_thread_time(t, c);
    case CALL_THREAD_SWITCHES:
        return call_thread_switches(t, c);
    case CALL_SPACE_DROP:
        return call_space_drop(t, c);
    case CALL_INSTRUCTION_FENCE:
        return call_instruction_fence(t, c);
    case CALL_SPACE_INFO:
        return call_space_info(t, c);
    case CALL_NULL:
        return 0;
    default:
        return -ERR_CALL;
    }
}

static bool is_answer(long number)
{
    return number == CALL_FAULT_REPLY || number == CALL_REPLY_PARK || number == CALL_FORWARD_PARK ||
           number == CALL_PARK || number == CALL_REPLY_LAST;
}

static long answer_locked(struct thread *w, long number, uint64_t a0, uint64_t a1)
{
    if (!w->serves)
        return -ERR_WORKER;
    switch (number) {
    case CALL_FAULT_REPLY:
        return fault_reply_locked(w, a0, a1);
    case CALL_REPLY_PARK:
        return reply_park_locked(w, a0);
    case CALL_REPLY_LAST:
        return reply_last_locked(w, a0);
    case CALL_FORWARD_PARK:
        return forward_park_locked(w, a0, a1);
    default:
        return park_locked(w, a0);
    }
}

static long yield(struct thread *t)
{
    kernel_lock();
    thread_fp_leave(t);
    t->x[10] = 0;
    t->state = THREAD_STOPPED;
    t->slice_left = 0;
    sched_ready(t);
    return sched_run(this_hart());
}

static long wait(struct thread *t, uint64_t slot)
{
    bool done = true;

    kernel_lock();
    long error = notification_wait_locked(t, slot, &done);
    if (!error && !done)
        return sched_run(this_hart());
    kernel_unlock();
    return error;
}

/* Answers and messages: on success somebody else has the hart. */
static long switching(struct thread *t, long number, uint64_t a0, uint64_t a1)
{
    kernel_lock();
    long error =
        number == CALL_CALL ? message_call_locked(t, a0) : answer_locked(t, number, a0, a1);
    if (!error)
        return sched_run(this_hart());
    kernel_unlock();
    return error;
}

long native_call(uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
                 struct thread *t, long number)
{
    struct hart *h = this_hart();
    struct call_args c = {.a = {a0, a1, a2, a3, a4, a5}};
    long result;

    hart_idle(h);
    h->current = t;
    t->state = THREAD_RUNNING; /* whatever a straight path left there */
    count(h, COUNT_trap_slow);
    t->x[11] = 0;
    switch (number) {
    case CALL_FAULT_REPLY:
    case CALL_REPLY_PARK:
    case CALL_CALL:
    case CALL_PARK:
    case CALL_FORWARD_PARK:
    case CALL_REPLY_LAST:
        result = switching(t, number, a0, a1);
        break;
    case CALL_YIELD:
        result = yield(t);
        break;
    case CALL_WAIT:
        result = wait(t, a0);
        break;
    default:
        result = call_plain(t, number, &c);
        t->x[11] = c.out[0];
    }
    t->x[12] = c.out[1];
    if (result < 0)
        count(h, COUNT_call_error);
    if (h->look_again)
        arch_interrupt_hart(h->id); /* taken as soon as t is back in user mode */
    return result;
}

/* A batch as an answer; out[0] says why it stopped. */
static long reply_batch_in_kernel(struct thread *t, uint64_t space, uint64_t count, uint64_t value,
                                  uint64_t *out)
{
    struct thread *client = t->client;
    struct batch_answer so_far = {(long)t->x[14], (long)t->x[13]};
    struct batch_answer answer = batch_reply(t, space, count, so_far);

    if (answer.performed >= 0 && !answer.stopped) {
        if (reply_park_in_kernel(t, client->state == THREAD_CALL ? value : 0)) {
            this_hart()->pager_answered = client;
        } else {
            kernel_lock();
            answer.stopped = t->serves ? batch_reply_park_locked(t, value) : -ERR_WORKER;
            kernel_unlock();
        }
    }
    out[0] = (uint64_t)answer.stopped;
    return answer.performed;
}

struct batch_answer kernel_batch(uint64_t space, uint64_t count)
{
    struct hart *h = this_hart();

    hart_idle(h);
    return batch_perform(h->pager_thread, space, count);
}

/*
 * The in-kernel pager calls the same way, as the worker of this hart, and keeps the hart: who runs
 * next is decided when pager_enter() has returned.
 */
long kernel_call(long number, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                 uint64_t a5, uint64_t out[2])
{
    struct hart *h = this_hart();
    struct thread *t = h->pager_thread, *client = t->client;
    struct call_args c = {.a = {a0, a1, a2, a3, a4, a5}};
    long result;

    if (number == CALL_REPLY_BATCH)
        return reply_batch_in_kernel(t, a0, a1, a2, out);
    if ((number == CALL_FAULT_REPLY && fault_reply_in_kernel(t, a0, a1, a2)) ||
        (number == CALL_REPLY_PARK && reply_park_in_kernel(t, a0))) {
        h->pager_answered = client;
        return 0;
    }
    hart_idle(h);
    if (is_answer(number)) {
        kernel_lock();
        result = answer_locked(t, number, a0, a1);
        kernel_unlock();
    } else {
        result = call_plain(t, number, &c);
    }
    if (out) {
        out[0] = c.out[0];
        out[1] = c.out[1];
    }
    return result;
}
