/* What processes have used, and getrusage (see usage.h). */
#include "user/linux/usage.h"

#include "user/linux/calls.h"
#include "user/linux/lock.h"
#include "user/linux/mmcall.h"
#include "user/linux/process.h"
#include "user/linux/space.h"
#include "user/linux/time.h"

#define PAGE_KIB 4

static void usage_add(struct usage *sum, const struct usage *more)
{
    sum->minor_faults += more->minor_faults;
    sum->major_faults += more->major_faults;
    sum->waited += more->waited;
    sum->preempted += more->preempted;
    if (sum->peak_pages < more->peak_pages)
        sum->peak_pages = more->peak_pages;
}

/* The counts of the memory server, with the switches that are the kernel's. */
static struct usage joined(const struct usage *switches, const struct mm_thread_use *use)
{
    return (struct usage){
        .minor_faults = use->minor_faults,
        .major_faults = use->major_faults,
        .waited = switches->waited,
        .preempted = switches->preempted,
        .peak_pages = use->resident_peak,
    };
}

struct usage usage_switches(const struct thread *t)
{
    struct usage usage = {0};

    thread_switches(t, &usage.waited, &usage.preempted);
    return usage;
}

struct usage usage_of_thread(const struct thread *t)
{
    const struct usage switches = usage_switches(t);
    struct mm_thread_use use;
    long error = mmcall_thread_use(t->number, &use);

    linux_assert(error == 0);
    return joined(&switches, &use);
}

struct usage usage_of_process(const struct process *p)
{
    struct usage sum = p->usage_gone;
    const struct thread *t;

    TAILQ_FOREACH(t, &p->threads, mates)
    {
        const struct usage usage = usage_of_thread(t);
        usage_add(&sum, &usage);
    }
    return sum;
}

void usage_thread_gone(struct process *p, const struct usage *switches,
                       const struct mm_thread_use *use)
{
    const struct usage usage = joined(switches, use);

    usage_add(&p->usage_gone, &usage);
}

void usage_space_gone(const struct thread *t)
{
    const struct usage usage = {.peak_pages = usage_of_thread(t).peak_pages};

    usage_add(&t->process->usage_gone, &usage);
}

static struct usage of_family(const struct process *p)
{
    struct usage sum = usage_of_process(p);

    usage_add(&sum, &p->usage_children);
    return sum;
}

void usage_child_gone(struct process *parent, struct process *child)
{
    const struct usage usage = of_family(child);

    usage_add(&parent->usage_children, &usage);
    cpu_child_gone(parent, child);
}

/* ---- as programs see it ---- */

static void tell(struct linux_rusage *to, const struct cpu_time *time, const struct usage *usage)
{
    *to = (struct linux_rusage){
        .utime = time_value_from_ticks(time->user),
        .stime = time_value_from_ticks(time->system),
        .maxrss = (int64_t)usage->peak_pages * PAGE_KIB,
        .minflt = (int64_t)usage->minor_faults,
        .majflt = (int64_t)usage->major_faults,
        .nvcsw = (int64_t)usage->waited,
        .nivcsw = (int64_t)usage->preempted,
    };
}

void usage_of_family(struct process *p, struct linux_rusage *to)
{
    const struct cpu_time time = cpu_time_of_family(p);
    const struct usage usage = of_family(p);

    tell(to, &time, &usage);
}

#define RUSAGE_SELF     0
#define RUSAGE_CHILDREN (-1)
#define RUSAGE_THREAD   1

long linux_getrusage(struct thread *t, const uint64_t *a)
{
    struct process *p = t->process;
    struct linux_rusage told;
    struct cpu_time time;
    struct usage usage;

    switch ((int32_t)a[0]) {
    case RUSAGE_SELF:
        time = cpu_time_of_process(p);
        usage = usage_of_process(p);
        break;
    case RUSAGE_CHILDREN:
        time = p->cpu_children;
        usage = p->usage_children;
        break;
    case RUSAGE_THREAD:
        time = cpu_time_of_thread(t);
        usage = usage_of_thread(t);
        break;
    default:
        return -LINUX_EINVAL;
    }
    tell(&told, &time, &usage);
    return copy_out(p->space, a[1], &told, sizeof(told));
}
