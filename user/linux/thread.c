/*
 * Threads of clients (see thread.h): the array, their places on harts, and what cannot be done
 * while another hart runs them.
 *
 * The memory server answers -EAGAIN for a thread that another hart has to let go of first. Such a
 * thread waits in the list `late`, and worker.c tries again after having let others have the lock:
 * the thread's own hart may be in its worker, waiting for that lock with the thread's request in
 * hand.
 */
#include "user/linux/thread.h"

#include <string.h>

#include "user/linux/job.h"
#include "user/linux/lock.h"
#include "user/linux/machine.h"
#include "user/linux/mmcall.h"
#include "user/linux/process.h"
#include "user/linux/request.h"
#include "user/linux/signal.h"
#include "user/linux/space.h"

#define BADGE_INDEX_BITS 16

static struct thread threads[THREADS_MAX];
static struct thread *threads_end = threads; /* those from here on were never used */
static struct thread_list late = TAILQ_HEAD_INITIALIZER(late);
static unsigned harts;
static unsigned load[64]; /* threads per hart */
static unsigned last_hart;
static unsigned count;
static uint64_t made_ever;

void threads_init(unsigned hart_count)
{
    linux_assert(hart_count >= 1 && hart_count <= 64);
    harts = hart_count;
    last_hart = hart_count - 1;
}

unsigned threads_harts(void)
{
    return harts;
}

uint64_t threads_all_harts(void)
{
    return harts == 64 ? ~0UL : (1UL << harts) - 1;
}

unsigned threads_count(void)
{
    return count;
}

unsigned threads_running(void)
{
    unsigned running = 0;

    for (const struct thread *t = threads; t < threads_end; t++)
        running += t->state == THREAD_RUNS && !t->frozen;
    return running;
}

uint64_t threads_made(void)
{
    return made_ever;
}

static uint64_t thread_badge(const struct thread *t)
{
    return (uint64_t)t->generation << BADGE_INDEX_BITS | (uint64_t)(t - threads);
}

struct thread *thread_from_badge(uint64_t badge)
{
    uint64_t index = badge & ((1UL << BADGE_INDEX_BITS) - 1);

    if (index >= THREADS_MAX)
        return NULL;
    struct thread *t = &threads[index];
    return t->state != THREAD_FREE && t->generation == badge >> BADGE_INDEX_BITS ? t : NULL;
}

struct thread *thread_by_tid(int tid)
{
    for (struct thread *t = threads; t < threads_end; t++) {
        if (t->state != THREAD_FREE && t->tid == tid)
            return t;
    }
    return NULL;
}

struct thread *thread_named(struct thread *t, int tid)
{
    struct thread *other = tid == 0 ? t : thread_by_tid(tid);

    return other && other->state != THREAD_DYING ? other : NULL;
}

unsigned thread_slot(const struct thread *t)
{
    return MACHINE_SLOT_THREADS + (unsigned)(t - threads);
}

/* The hart with the fewest threads, the next one round among equals. */
static unsigned choose_hart(uint64_t affinity)
{
    unsigned best = harts;

    for (unsigned i = 1; i <= harts; i++) {
        unsigned hart = (last_hart + i) % harts;
        if ((affinity >> hart & 1) && (best == harts || load[hart] < load[best]))
            best = hart;
    }
    linux_assert(best < harts);
    last_hart = best;
    return best;
}

static struct thread *take_free(void)
{
    struct thread *t = threads;

    while (t < threads_end && t->state != THREAD_FREE)
        t++;
    if (t == threads + THREADS_MAX)
        return NULL;
    if (t == threads_end)
        threads_end++;
    uint32_t generation = t->generation + 1;
    memset(t, 0, sizeof(*t));
    signal_set_init(&t->pending);
    t->generation = generation;
    return t;
}

static unsigned client_slot(const struct thread *t)
{
    return MACHINE_SLOT_CLIENTS + (unsigned)(t - threads);
}

struct thread *thread_create(struct process *process, int tid, const struct user_regs *regs,
                             uint64_t affinity, const struct thread *like, long *error)
{
    struct thread *t = take_free();

    *error = -LINUX_EAGAIN;
    if (!t)
        return NULL;
    t->hart = choose_hart(affinity);
    struct mm_thread made = {
        .badge = thread_badge(t),
        .hart = t->hart,
        .priority = MM_PRIORITY_CLIENT,
        .slot = client_slot(t),
        .like = like ? like->number : 0,
        .regs = *regs,
    };
    long number = mmcall_thread_create(process->space->mm, &made);
    if (number <= 0) {
        *error = number ? number : -LINUX_ENOMEM;
        return NULL;
    }
    t->state = THREAD_RUNS;
    t->tid = tid;
    t->process = process;
    t->number = (uint64_t)number;
    t->affinity = affinity;
    t->altstack.flags = LINUX_SS_DISABLE;
    load[t->hart]++;
    count++;
    made_ever++;
    process->thread_count++;
    TAILQ_INSERT_TAIL(&process->threads, t, mates);
    *error = 0;
    return t;
}

void thread_start(struct thread *t)
{
    long error = mmcall_thread_start(t->number);

    linux_assert(error == 0);
}

void thread_keep(struct thread *t)
{
    if (t->kept)
        return;
    linux_assert(t == request_current());
    t->kept = kcall_reply_keep(thread_slot(t)) == 0;
    request_current_forget();
}

/* By the kernel at once; the memory server's way also brings in the page that `regs` lies in. */
long thread_regs_read(struct thread *t, struct user_regs *regs)
{
    if (kcall_thread_regs(client_slot(t), regs, 0) == 0)
        return 0;
    if (t == request_current())
        thread_keep(t);
    return mmcall_thread_regs(t->number, regs, 0);
}

long thread_regs_write(struct thread *t, const struct user_regs *regs)
{
    if (kcall_thread_regs(client_slot(t), regs, 1) == 0)
        return 0;
    if (t == request_current())
        thread_keep(t);
    return mmcall_thread_regs(t->number, (struct user_regs *)(uintptr_t)regs, 1);
}

struct cpu_used thread_cpu_used(const struct thread *t)
{
    uint64_t seen[2];
    long ticks = kcall_thread_time(client_slot(t), seen);

    linux_assert(ticks >= 0);
    return (struct cpu_used){(uint64_t)ticks, seen[0], seen[1]};
}

void thread_switches(const struct thread *t, uint64_t *waited, uint64_t *preempted)
{
    uint64_t more[2];
    long count = kcall_thread_switches(client_slot(t), more);

    linux_assert(count >= 0);
    *waited = (uint64_t)count;
    *preempted = more[0];
}

static void set_late(struct thread *t)
{
    if (t->late)
        return;
    t->late = true;
    TAILQ_INSERT_TAIL(&late, t, late_link);
}

static void clear_late(struct thread *t)
{
    if (!t->late)
        return;
    t->late = false;
    TAILQ_REMOVE(&late, t, late_link);
}

/* False while its hart has yet to let go of it. */
static bool destroy(struct thread *t)
{
    const struct cpu_used used = thread_cpu_used(t);
    const struct usage switches = usage_switches(t);
    struct mm_thread_use use;
    long error = mmcall_thread_destroy(t->number, &use);

    if (error == -LINUX_EAGAIN || error == -LINUX_EBUSY)
        return false;
    linux_assert(error == 0);
    /* The answer that was kept went with the thread; the slot is empty again, or is made so. */
    if (t->kept)
        kcall_cap_delete(thread_slot(t));
    clear_late(t);
    signal_set_remove(&t->pending, ~0UL);
    futex_thread_ends(t);
    thread_clear_tid(t);
    cpu_used_add(&t->process->cpu_gone, &used);
    usage_thread_gone(t->process, &switches, &use);
    load[t->hart]--;
    count--;
    TAILQ_REMOVE(&t->process->threads, t, mates);
    t->process->thread_count--;
    t->state = THREAD_FREE;
    process_thread_gone(t);
    return true;
}

void thread_kill(struct thread *t)
{
    if (t->state == THREAD_DYING)
        return;
    if (t == request_current())
        thread_keep(t);
    request_abandon(t);
    t->state = THREAD_DYING;
    set_late(t);
}

void thread_interrupt(struct thread *t)
{
    if (t->frozen)
        return;
    if (t->state == THREAD_WAITS) {
        queue_leave(t);
        request_wake(t);
    } else if (t->state == THREAD_RUNS && t != request_current()) {
        set_late(t);
    }
}

void thread_set_affinity(struct thread *t, uint64_t affinity)
{
    t->affinity = affinity;
    t->move = !(affinity >> t->hart & 1);
    if (t->state == THREAD_WAITS && t->kept)
        thread_move_if_due(t);
}

void thread_move_if_due(struct thread *t)
{
    if (!t->move)
        return;
    thread_keep(t);
    unsigned hart = choose_hart(t->affinity);
    if (mmcall_thread_hart(t->number, hart) != 0)
        return; /* it is tried again at its next request */
    load[t->hart]--;
    t->hart = hart;
    load[hart]++;
    t->move = false;
}

void thread_go_on(struct thread *t)
{
    if (!signal_deliver_stopped(t))
        return;
    if (t->process->stopped)
        job_freeze(t, FROZEN_STOPPED, 0);
    else
        thread_start(t);
}

/*
 * Bring t out of user mode to take a signal; true if nothing is left to do. Once its hart was asked
 * to stop it, it must be waited for: it will stop, and nobody else would start it again.
 */
static bool interrupt_running(struct thread *t)
{
    if (t->state != THREAD_RUNS || t == request_current())
        return true;
    if (!t->stopping && !signal_pending(t))
        return true;
    t->was_stopped = true;
    long error = mmcall_thread_stop(t->number);
    t->stopping = error == -LINUX_EAGAIN || error == -LINUX_EBUSY;
    if (t->stopping)
        return false;
    linux_assert(error == 0);
    thread_go_on(t);
    return true;
}

bool threads_late(void)
{
    struct thread *t, *next;

    for (t = TAILQ_FIRST(&late); t; t = next) {
        next = TAILQ_NEXT(t, late_link);
        if (t->state == THREAD_DYING) {
            destroy(t);
        } else if (interrupt_running(t) && t->state != THREAD_DYING) {
            clear_late(t);
        }
    }
    return !TAILQ_EMPTY(&late);
}

bool threads_late_wanted(void)
{
    return !TAILQ_EMPTY(&late);
}
