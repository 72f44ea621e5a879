/* Life of a request (see request.h), and the four places where the kernel enters a worker. */
#include "user/linux/request.h"

#include "user/linux/calls.h"
#include "user/linux/file.h"
#include "user/linux/job.h"
#include "user/linux/kcall.h"
#include "user/linux/lock.h"
#include "user/linux/machine.h"
#include "user/linux/oom.h"
#include "user/linux/process.h"
#include "user/linux/signal.h"
#include "user/linux/space.h"
#include "user/linux/time.h"
#include "user/linux/timer.h"
#include "user/linux/uart.h"

/* Rounds of giving others the lock before a thread that another hart still runs is left to the
 * timer. */
#define LATE_ROUNDS 4
#define LATE_USEC   200

static struct thread_list again = TAILQ_HEAD_INITIALIZER(again);

/* The client of the worker that holds the lock, and what it will be answered. */
static struct thread *current;
static struct thread *running; /* whose request is run, or was last */
static enum answer { NOT_YET, ANSWERED, ANSWERED_LAST } current_answer; /* _LAST: it yields */
static long current_value;

static uint64_t timer_deadline = TIME_NEVER; /* as the kernel was last told */

struct thread *request_running(void)
{
    return running;
}

struct thread *request_current(void)
{
    return current;
}

void request_current_forget(void)
{
    current = NULL;
    current_answer = NOT_YET;
}

long request_wait(struct thread *t, struct wait_queue *queue)
{
    if (signal_pending(t))
        return REQUEST_RESTART;
    if (queue)
        queue_join(queue, t);
    return REQUEST_WAITS;
}

long request_wait_file(struct thread *t, struct file *file)
{
    return request_wait_held(t, file, &file_watched(file)->wait);
}

long request_wait_held(struct thread *t, struct file *file, struct wait_queue *queue)
{
    long result = request_wait(t, queue);

    if (result == REQUEST_WAITS && !t->held) {
        file_get(file);
        t->held = file;
    }
    return result;
}

struct file *request_file(struct thread *t, int64_t fd)
{
    return t->held ? t->held : fd_get(t->process->files, fd);
}

void request_wake(struct thread *t)
{
    if (t->woken || t->state != THREAD_WAITS)
        return;
    t->woken = true;
    TAILQ_INSERT_TAIL(&again, t, again_link);
}

/* t waits no longer, whatever comes. */
static void unwait(struct thread *t)
{
    queue_leave(t);
    deadline_clear(t);
    if (t->woken) {
        t->woken = false;
        TAILQ_REMOVE(&again, t, again_link);
    }
}

/* The file that it waited for. */
static void let_go(struct thread *t)
{
    struct file *held = t->held;

    t->held = NULL;
    if (held)
        file_put(held);
}

void request_abandon(struct thread *t)
{
    queue_leave(t);
    deadline_clear(t);
    let_go(t);
}

/*
 * Another hart may stop a thread, for a signal, between our letting go of the lock and the answer,
 * which would make its call happen twice: with several harts a call is answered before.
 */
static bool answer_at_once(const struct thread *t)
{
    return t->kept || (!t->is_fault && threads_harts() > 1);
}

/* The result of t's request, after its signals: true if the request is to be run again at once. */
static bool finish(struct thread *t, long result)
{
    long value;

    unwait(t);
    enum signal_delivery delivery = signal_deliver(t, result, &value);
    if (delivery != SIGNAL_RUN_AGAIN)
        let_go(t);
    if (delivery == SIGNAL_ENDS)
        return false;
    if (t->process->stopped) {
        job_freeze(t, delivery == SIGNAL_RUN_AGAIN ? FROZEN_AGAIN : FROZEN_ANSWER, value);
        return false;
    }
    if (delivery == SIGNAL_RUN_AGAIN)
        return true;
    thread_move_if_due(t);
    t->state = THREAD_RUNS;
    enum answer how = t->yields ? ANSWERED_LAST : ANSWERED;
    if (t->yields)
        t->yields = false;
    if (answer_at_once(t)) {
        thread_keep(t);
        t->kept = false;
        kcall_reply_send(thread_slot(t), value, how == ANSWERED_LAST);
    } else {
        linux_assert(t == current);
        current_answer = how;
        current_value = value;
    }
    return false;
}

void request_finish(struct thread *t, long result)
{
    bool again = finish(t, result);

    linux_assert(!again); /* a result that programs see */
}

/* Run t's request until it has its answer or waits. */
static void request_run(struct thread *t)
{
    long result;

    do {
        bool again = t->again;
        running = t;
        oom_noted();
        result = calls_run(t);
        bool starved = result == -LINUX_EFAULT && oom_noted() && !t->raw;
        if (starved)
            oom_wait(t);
        t->again = again || !starved;
        if (starved && t->state != THREAD_DYING)
            result = REQUEST_WAITS;
        if (t->state == THREAD_DYING || (result == REQUEST_GONE && !t->raw))
            return;
        if (result == REQUEST_WAITS && !t->raw) {
            thread_keep(t);
            t->state = THREAD_WAITS;
            return;
        }
    } while (finish(t, result));
}

/* Its process goes on, if it did not stop again. */
static void thaw(struct thread *t)
{
    enum thread_frozen how = t->frozen;

    if (t->process->stopped)
        return;
    t->frozen = FROZEN_NOT;
    if (how == FROZEN_AGAIN) {
        request_run(t);
    } else if (how == FROZEN_ANSWER) {
        request_finish(t, t->frozen_value);
    } else {
        t->state = THREAD_RUNS;
        thread_go_on(t);
    }
}

/* Run everything that was woken. */
static void run_again(void)
{
    struct thread *t;

    while ((t = TAILQ_FIRST(&again))) {
        unwait(t);
        if (t->state != THREAD_WAITS)
            continue;
        if (t->frozen)
            thaw(t);
        else
            request_run(t);
    }
}

static void timer_program(void)
{
    uint64_t deadline = timers_next();

    if (threads_late_wanted()) {
        uint64_t soon = time_after(time_hz() * LATE_USEC / 1000000 + 1);
        deadline = soon < deadline ? soon : deadline;
    }
    if (deadline == timer_deadline)
        return;
    timer_deadline = deadline;
    kcall_timer_set(LINUX_SLOT_NOTIFICATION, deadline == TIME_NEVER ? 0 : deadline,
                    MACHINE_SIGNAL_TIMER);
}

/* What is left to do before the lock is let go of; the lock is held again at the end. */
static void settle(void)
{
    run_again();
    for (unsigned round = 0; threads_late_wanted() && round < LATE_ROUNDS; round++) {
        if (threads_late() && !current && !current_answer)
            linux_let_through();
        run_again();
    }
    timer_program();
}

/* End of a worker's turn. */
static _Noreturn void leave(void)
{
    settle();
    /* What was done meanwhile may have sent the client a signal. */
    while (current && current_answer && signal_pending(current)) {
        current_answer = NOT_YET;
        request_finish(current, current_value);
        settle();
    }
    enum answer answer = current_answer;
    long value = current_value;

    /* A client that is neither answered nor kept is dying: thread_kill kept it. */
    linux_assert(answer || !current);
    current = NULL;
    current_answer = NOT_YET;
    linux_unlock();
    if (answer == ANSWERED_LAST)
        worker_reply_last(value);
    if (answer)
        worker_reply_park(value);
    worker_park();
}

/*
 * Take the lock for a request of that client. False: there is nothing to do for it. Its thread may
 * be gone, or dying while we waited for the lock; or it was stopped meanwhile, or is about to be,
 * and then its request comes again. Whether the answer can be kept tells.
 */
static bool enter(uint64_t badge, bool is_fault)
{
    linux_lock();
    struct thread *t = thread_from_badge(badge);
    if (!t)
        return false;
    current = t;
    if (t->state != THREAD_RUNS || t->was_stopped) {
        thread_keep(t);
        if (t->state != THREAD_RUNS || !t->kept)
            return false;
        if (t->stopping) {
            t->kept = false; /* goes with the stop */
            return false;
        }
    }
    t->is_fault = is_fault;
    t->again = false;
    t->raw = false;
    t->timed_out = false;
    t->progress = 0;
    t->until = 0;
    t->wait_set = 0;
    return true;
}

/* From entry.S; each is the whole of a worker's turn. */
_Noreturn void worker_fault(uint64_t badge, uint64_t address, uint64_t cause, uint64_t pc,
                            uint64_t sequence, uint64_t signal, uint64_t code, uint64_t sp);
_Noreturn void worker_straight_refused(uint64_t badge);
_Noreturn void worker_call(uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                           uint64_t a5, uint64_t badge, uint64_t number);
_Noreturn void worker_message(uint64_t badge);
_Noreturn void worker_signal(uint64_t bits);
_Noreturn void worker_park_refused(void);

/* The end of a handler: it comes back if it is not plain. */
static void return_straight(uint64_t badge, uint64_t frame, uint64_t mask, uint64_t stack_sp,
                            uint64_t stack_flags, uint64_t stack_bytes)
{
    const struct linux_sigaltstack stack = {
        .sp = stack_sp, .flags = (int32_t)stack_flags, .bytes = stack_bytes};

    linux_lock();
    struct thread *t = thread_from_badge(badge);
    if (!t || t->state != THREAD_RUNS || !signal_pop_straight(t, mask, &stack, frame)) {
        linux_unlock();
        return;
    }
    uint64_t space = t->process->space->slot;
    linux_unlock();
    worker_pop(space, frame + offsetof(struct linux_sigframe, context.regs), badge);
}

void worker_call(uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
                 uint64_t badge, uint64_t number)
{
    struct thread *t = thread_from_badge(badge);
    long value;

    if (t && calls_plain(t, number, &value))
        worker_reply_park(value);
    if (number == NR_RT_SIGRETURN && a5 == SIGRETURN_LOADED)
        return_straight(badge, a0, a1, a2, a3, a4);
    if (!enter(badge, false))
        leave();
    t->call = number;
    t->args[0] = a0;
    t->args[1] = a1;
    t->args[2] = a2;
    t->args[3] = a3;
    t->args[4] = a4;
    t->args[5] = a5;
    request_run(t);
    leave();
}

/* An exception that the memory server handed on has its signal already; others are mapped here. */
static int signal_of_cause(uint64_t cause, uint64_t *code)
{
    switch (cause) {
    case CAUSE_ILLEGAL:
        *code = LINUX_ILL_ILLOPC;
        return LINUX_SIGILL;
    case CAUSE_BREAKPOINT:
        *code = LINUX_TRAP_BRKPT;
        return LINUX_SIGTRAP;
    case CAUSE_FETCH_PAGE:
    case CAUSE_LOAD_PAGE:
    case CAUSE_STORE_PAGE:
        *code = LINUX_SEGV_MAPERR;
        return LINUX_SIGSEGV;
    case CAUSE_FETCH_MISALIGNED:
    case CAUSE_LOAD_MISALIGNED:
    case CAUSE_STORE_MISALIGNED:
        *code = LINUX_BUS_ADRALN;
        return LINUX_SIGBUS;
    default:
        *code = LINUX_BUS_ADRERR;
        return LINUX_SIGBUS;
    }
}

void worker_fault(uint64_t badge, uint64_t address, uint64_t cause, uint64_t pc, uint64_t sequence,
                  uint64_t signal, uint64_t code, uint64_t sp)
{
    struct signal_push push;

    (void)sequence;
    if (!enter(badge, true))
        leave();
    struct thread *t = current;
    if (signal == LINUX_SIGKILL) {
        oom_fault(t, code);
        if (t->state == THREAD_RUNS)
            request_finish(t, 0); /* it faults again */
        leave();
    }
    if (signal == 0 || signal > LINUX_NSIG)
        signal = (uint64_t)signal_of_cause(cause, &code);
    if (cause == CAUSE_BREAKPOINT || cause == CAUSE_ILLEGAL)
        address = pc;
    if (t && signal_push_straight(t, (int)signal, (int)code, address, cause, pc, sp, &push)) {
        current = NULL;
        linux_unlock();
        worker_push(&push, badge);
    }
    t = thread_from_badge(badge);
    signal_fault(t, (int)signal, (int)code, address, cause, pc);
    if (t->state == THREAD_RUNS)
        request_finish(t, 0);
    leave();
}

/* The kernel did not do what worker_push() or worker_pop() asked for: the same the long way. */
void worker_straight_refused(uint64_t badge)
{
    struct thread *t = thread_from_badge(badge);

    if (!t || !enter(badge, t->straight.pushed))
        leave();
    if (t->is_fault) {
        signal_straight_refused(t);
        if (t->state == THREAD_RUNS)
            request_finish(t, 0);
    } else {
        t->call = NR_RT_SIGRETURN;
        t->args[5] = SIGRETURN_LOADED;
        request_run(t);
    }
    leave();
}

/* The main thread's one message, when everything is set up: it gets no answer and so is out of the
 * way. */
void worker_message(uint64_t badge)
{
    static bool started;

    (void)badge;
    linux_lock();
    linux_assert(!started);
    started = true;
    long error = kcall_reply_keep(MACHINE_SLOT_MAIN);
    linux_assert(error == 0);
    machine_start();
    leave();
}

void worker_signal(uint64_t bits)
{
    linux_lock();
    if (bits & MACHINE_SIGNAL_UART)
        uart_service();
    if (bits & MACHINE_SIGNAL_TIMER) {
        timer_deadline = TIME_NEVER;
        timers_run(time_now_ticks());
    }
    leave();
}

/* A worker must not park while a client waits for its answer; leave() sees to that. */
void worker_park_refused(void)
{
    linux_panic(__FILE__, __LINE__, "the kernel refuses to park a worker");
}
