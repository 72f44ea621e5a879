/* CPU time, its clocks and timers (see cputime.h). */
#include "user/linux/cputime.h"

#include <stddef.h>

#include <pagoda/boot.h>
#include <pagoda/counter.h>

#include "user/linux/kcall.h"
#include "user/linux/lock.h"
#include "user/linux/process.h"
#include "user/linux/time.h"

#define LOOKS_PER_SECOND 100 /* at a clock, at most */

/* The number of a clock that is none of the fixed ones: ~id, then three bits. */
#define NUMBER_KIND      3
#define NUMBER_OF_THREAD 4
#define NUMBER_ID_SHIFT  3

/* ---- what was used ---- */

void cpu_used_add(struct cpu_used *sum, const struct cpu_used *more)
{
    sum->ticks += more->ticks;
    sum->seen_user += more->seen_user;
    sum->seen_served += more->seen_served;
}

static struct cpu_used used_by(const struct process *p)
{
    struct cpu_used sum = p->cpu_gone;
    const struct thread *t;

    TAILQ_FOREACH(t, &p->threads, mates)
    {
        const struct cpu_used used = thread_cpu_used(t);
        cpu_used_add(&sum, &used);
    }
    return sum;
}

/* Split what was used, and remember it in `told`: neither part becomes less. */
static struct cpu_time split(const struct cpu_used *used, struct cpu_time *told)
{
    uint64_t seen = used->seen_user + used->seen_served;
    uint64_t system = seen ? used->ticks / seen * used->seen_served +
                                 used->ticks % seen * used->seen_served / seen
                           : 0;
    /* A thread's last moments are lost with it. */
    uint64_t ticks =
        used->ticks > told->user + told->system ? used->ticks : told->user + told->system;

    if (system < told->system)
        system = told->system;
    if (system > ticks - told->user)
        system = ticks - told->user;
    *told = (struct cpu_time){ticks - system, system};
    return *told;
}

struct cpu_time cpu_time_of_thread(struct thread *t)
{
    const struct cpu_used used = thread_cpu_used(t);

    return split(&used, &t->cpu_told);
}

struct cpu_time cpu_time_of_process(struct process *p)
{
    const struct cpu_used used = used_by(p);

    return split(&used, &p->cpu_told);
}

struct cpu_time cpu_time_of_family(struct process *p)
{
    struct cpu_time time = cpu_time_of_process(p);

    time.user += p->cpu_children.user;
    time.system += p->cpu_children.system;
    return time;
}

void cpu_child_gone(struct process *parent, struct process *child)
{
    const struct cpu_time time = cpu_time_of_family(child);

    parent->cpu_children.user += time.user;
    parent->cpu_children.system += time.system;
}

struct cpu_time cpu_time_of_hart(unsigned hart, uint64_t *idle)
{
    static struct cpu_time told[BOOT_HARTS_MAX];
    uint64_t counter[COUNT_KERNEL], now = time_now_ticks();
    long error = kcall_counters(counter, sizeof(counter), hart);

    linux_assert(error >= 0 && hart < BOOT_HARTS_MAX);
    *idle = counter[COUNT_idle_ticks];
    const struct cpu_used used = {now > *idle ? now - *idle : 0, counter[COUNT_tick_user],
                                  counter[COUNT_tick_served]};
    return split(&used, &told[hart]);
}

/* ---- clocks ---- */

bool cpu_clock_is(int32_t number)
{
    return number < 0 || number == LINUX_CLOCK_PROCESS_CPUTIME ||
           number == LINUX_CLOCK_THREAD_CPUTIME;
}

struct cpu_clock cpu_clock_of(const struct process *p, enum cpu_clock_kind kind)
{
    return (struct cpu_clock){.kind = kind, .id = p->pid, .serial = p->start_ticks};
}

bool cpu_clock_find(const struct thread *t, int32_t number, struct cpu_clock *clock)
{
    bool fixed = number >= 0;
    bool of_thread = fixed ? number == LINUX_CLOCK_THREAD_CPUTIME : number & NUMBER_OF_THREAD;
    int kind = fixed ? CPU_CLOCK_SUM : number & NUMBER_KIND;
    int id = fixed ? 0 : ~(number >> NUMBER_ID_SHIFT);

    if (kind > CPU_CLOCK_SUM)
        return false;
    if (!of_thread) {
        const struct process *p = id ? process_by_pid(id) : t->process;

        if (p)
            *clock = cpu_clock_of(p, (enum cpu_clock_kind)kind);
        return p != NULL;
    }
    const struct thread *of = id ? thread_by_tid(id) : t;
    if (!of || of->process != t->process)
        return false;
    *clock = (struct cpu_clock){(enum cpu_clock_kind)kind, true, of->tid, of->generation};
    return true;
}

bool cpu_clock_is_own(const struct cpu_clock *clock, const struct thread *t)
{
    return clock->of_thread && clock->id == t->tid && clock->serial == t->generation;
}

bool cpu_clock_now(const struct cpu_clock *clock, uint64_t *ticks)
{
    struct cpu_time time;

    if (clock->of_thread) {
        struct thread *t = thread_by_tid(clock->id);
        if (!t || t->generation != clock->serial)
            return false;
        time = cpu_time_of_thread(t);
    } else {
        struct process *p = process_by_pid(clock->id);
        if (!p || p->start_ticks != clock->serial)
            return false;
        time = cpu_time_of_process(p);
    }
    *ticks = time.user + (clock->kind == CPU_CLOCK_USER ? 0 : time.system);
    return true;
}

uint64_t cpu_clock_look(const struct cpu_clock *clock, uint64_t now, uint64_t due)
{
    uint64_t wait = clock->of_thread ? due - now : (due - now) / threads_harts();
    uint64_t shortest = time_hz() / LOOKS_PER_SECOND + 1;

    return due <= now ? time_now_ticks() : time_after(wait > shortest ? wait : shortest);
}

/* ---- timers ---- */

static void look_at(struct cpu_timer *timer)
{
    uint64_t now;

    if (!cpu_clock_now(&timer->clock, &now)) {
        timer->due = 0;
        return;
    }
    uint64_t at = cpu_clock_look(&timer->clock, now, timer->due);
    if (at != TIME_NEVER)
        timer_set(&timer->look, at);
}

static void looked(struct timer *look)
{
    struct cpu_timer *timer = (void *)((char *)look - offsetof(struct cpu_timer, look));
    uint64_t now;

    if (!cpu_clock_now(&timer->clock, &now) || now < timer->due) {
        look_at(timer);
        return;
    }
    timer->due = 0;
    timer->expire(timer);
}

void cpu_timer_set(struct cpu_timer *timer, uint64_t due)
{
    linux_assert(due != 0 && timer->expire);
    timer->due = due;
    timer->look.expire = looked;
    timer_clear(&timer->look);
    look_at(timer);
}

void cpu_timer_clear(struct cpu_timer *timer)
{
    timer->due = 0;
    timer_clear(&timer->look);
}

uint64_t cpu_timer_left(const struct cpu_timer *timer)
{
    uint64_t now;

    if (!timer->due || !cpu_clock_now(&timer->clock, &now))
        return 0;
    return timer->due > now ? timer->due - now : 1;
}
