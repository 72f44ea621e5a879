/*
 * The placement in the kernel: the same server, entered by pager_enter() on the hart's kernel stack
 * with interrupts off. Its kernel calls are made by kernel_call() on behalf of the worker's thread
 * object.
 */
#include "arch/arch.h"
#include "kernel/pager_hook.h"
#include "kernel/hart.h"
#include "mmserver/core/fault.h"
#include "mmserver/core/place.h"
#include "mmserver/core/text.h"
#include "mmserver/place/kernel/own_space.h"
#include "mmserver/place/place_server.h"
#include "mmserver/server/server.h"

uint64_t place_linear_base;
vaddr_t place_own_start, place_own_end;
uint64_t place_own_bias;

long place_call(long number, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                uint64_t a5, uint64_t out[2])
{
    return kernel_call(number, a0, a1, a2, a3, a4, a5, out);
}

long place_call_switching(long number, uint64_t a0, uint64_t a1, uint64_t a2)
{
    return kernel_call(number, a0, a1, a2, 0, 0, 0, NULL);
}

void place_relax(void)
{
    __asm__ volatile("" ::: "memory");
}

/* The kernel's data around the guard of the boot stack: the server's lie among them. */
bool place_data(unsigned i, const void **from, uint64_t *bytes)
{
    extern char image_rodata_end[], image_bss_start[], boot_stack_top[], image_bss_end[];

    *from = i ? boot_stack_top : image_rodata_end;
    *bytes = (uint64_t)(i ? image_bss_end - boot_stack_top : image_bss_start - image_rodata_end);
    return i < 2;
}

void place_log(const char *text, size_t bytes)
{
    kernel_call(CALL_LOG_WRITE, SLOT_KERNEL, (uintptr_t)text, bytes, 0, 0, 0, NULL);
}

_Noreturn void place_power_off(uint64_t status)
{
    kernel_call(CALL_POWER_OFF, SLOT_KERNEL, status, 0, 0, 0, 0, NULL);
    for (;;)
        place_relax();
}

_Noreturn void place_panic(const char *file, int line, const char *what)
{
    text_log("panic: %s:%lu: %s", file, (uint64_t)line, what);
    place_power_off(1);
}

bool place_apart(bool plain, bool single)
{
    return !plain && !single;
}

bool place_worker_prepare(struct worker *boot, struct worker *w)
{
    (void)boot; /* kernel stacks serve */
    return !place_thread_set(w->thread_slot, THREAD_TABLE, SLOT_TABLE, 0);
}

long place_worker_bind(struct worker *w)
{
    return kernel_call(CALL_WORKER_BIND, w->thread_slot, SLOT_ENDPOINT, 0, 0, (uintptr_t)w,
                       WORKER_IDLE, NULL);
}

void pager_start(const struct boot_info *info)
{
    place_linear_base = info->linear_base;
    place_own_start = arch_window_start;
    place_own_end = arch_window_end;
    mmserver_start(info);
}

long place_batch(uint64_t space, uint64_t count, long *stopped)
{
    if (space == SLOT_SPACE)
        return own_space_batch(count, stopped);
    struct batch_answer answer = kernel_batch(space, count);

    *stopped = answer.stopped;
    return answer.performed;
}

/* What the worker was bound with. */
static inline struct worker *context(void)
{
    return (struct worker *)pager_worker()->enter_tp;
}

#ifdef LOCK_CHECK
uint32_t *lock_ranks(void)
{
    static uint32_t at_start; /* nobody is a worker yet */
    struct worker *w = context();

    return w ? &w->lock_ranks : &at_start;
}
#endif

static inline void serving_end(struct worker *w)
{
    __atomic_thread_fence(__ATOMIC_RELEASE);
    *(struct client *volatile *)&w->serving = NULL;
}

struct answer place_replace_answer(uint64_t entry, uint64_t slot, uint64_t old)
{
    serving_end(context());
    pager_fault_reply(entry, slot, old); /* comes back if it is not plain */
    return answer_of(entry, slot);       /* ANSWER_FAULT */
}

struct answer place_fault_answer(uint64_t entry, uint64_t slot)
{
    return place_replace_answer(entry, slot, 0);
}

struct answer place_batch_answer(uint64_t space, uint64_t count)
{
    return answer_make(ANSWER_BATCH, space, (uint32_t)count);
}

/* True: sent. Else *next is how the core ends its turn instead. */
static bool batch_sent(struct worker *w, struct answer a, struct answer *next)
{
    bool call = answer_kind(a) == ANSWER_CALL;
    uint64_t space = call ? answer_second(a) : answer_value(a), value = call ? answer_value(a) : 0;
    uint64_t count = call ? w->batch_ops : answer_second(a), out[2] = {0, 0};

    pager_reply_batch(space, count, value); /* comes back if it is not plain */
    long done = kernel_call(CALL_REPLY_BATCH, space, count, value, 0, 0, 0, out);
    if (done == (long)count && !out[0])
        return true;
    *next = call ? server_batch_refused(w, done, (long)out[0])
                 : batch_reply_failed(w, done, (long)out[0]);
    return false;
}

static long answer_send(const struct worker *w, struct answer a)
{
    switch (answer_kind(a)) {
    case ANSWER_FAULT:
        return kernel_call(CALL_FAULT_REPLY, answer_value(a), answer_second(a), w->visit.displaced,
                           0, 0, 0, NULL);
    case ANSWER_REPLY:
        pager_reply_park(answer_value(a)); /* comes back if it is not plain */
        return kernel_call(CALL_REPLY_PARK, answer_value(a), 0, 0, 0, 0, 0, NULL);
    case ANSWER_FORWARD:
        pager_forward_park(answer_value(a), answer_second(a)); /* the same */
        return kernel_call(CALL_FORWARD_PARK, answer_value(a), answer_second(a), 0, 0, 0, 0, NULL);
    default:
        return kernel_call(CALL_PARK, answer_value(a), 0, 0, 0, 0, 0, NULL);
    }
}

/* End the worker's turn, whatever it takes. */
static void answer_carry_out(struct worker *w, struct answer answer)
{
    for (;;) {
        serving_end(w);
        if (answer_kind(answer) == ANSWER_BATCH || answer_kind(answer) == ANSWER_CALL) {
            if (batch_sent(w, answer, &answer))
                return;
            continue;
        }
        long error = answer_send(w, answer);
        if (!error)
            return;
        answer = answer_kind(answer) == ANSWER_FAULT
                     ? fault_reply_failed(w, error)
                     : server_answer_refused(w, answer_kind(answer), error);
    }
}

bool pager_fault_enter(uint64_t badge, uint64_t address, uint64_t cause, uint64_t pc,
                       uint64_t sequence, uint64_t info0, uint64_t info1, void *worker)
{
    answer_carry_out(worker,
                     fault_enter(badge, address, cause, pc, sequence, info0, info1, worker));
    return pager_go_on();
}

bool pager_enter(unsigned kind, const uint64_t a[8])
{
    struct worker *w = context();
    struct answer answer;

    switch (kind) {
    case ENTER_FAULT:
        answer = fault_enter(a[0], a[1], a[2], a[3], a[4], a[5], a[6], w);
        break;
    case ENTER_CALL:
        answer = server_call(a[0], a[1], a[2], a[3], a[4], a[5], a[6], (long)a[7], w);
        break;
    case ENTER_IDLE:
        answer = server_idle(w);
        break;
    case ENTER_SIGNAL:
        answer = server_signal(w);
        break;
    case ENTER_MESSAGE: /* nobody is given the right to send one */
        answer = answer_make(ANSWER_REPLY, (uint64_t)-ERR_CALL, 0);
        break;
    default:
        answer = answer_make(ANSWER_PARK, 0, 0);
    }
    answer_carry_out(w, answer);
    return false;
}
