/* Who ends when memory is exhausted (see oom.h). */
#include "user/linux/oom.h"

#include "user/linux/console.h"
#include "user/linux/mmcall.h"
#include "user/linux/proc.h"
#include "user/linux/process.h"
#include "user/linux/sleep.h"
#include "user/linux/space.h"

#define PAGE_KIB 4

static struct wait_queue waiting; /* for somebody's end */
static bool noted;

void oom_init(void)
{
    queue_init(&waiting);
}

static void end(struct process *p)
{
    console_printf("%s[%d]: killed by SIGKILL: out of memory; it has %lu KiB, oom_score_adj %d\n",
                   p->comm, p->pid, proc_statm(p->pid, 1) * PAGE_KIB, p->oom_score_adj);
    process_kill(p, LINUX_SIGKILL);
}

/* All that live in that mm end, or are at it already; false: there is none. */
static bool end_all(uint64_t mm)
{
    bool some = false;

    for (struct process *p = process_next(0); p; p = process_next(p->pid)) {
        if (!p->space || p->space->mm != mm)
            continue;
        some = true;
        if (p->state == PROCESS_ALIVE)
            end(p);
    }
    return some;
}

void oom_fault(struct thread *t, uint64_t chosen)
{
    if (!end_all(chosen))
        end(t->process);
}

void oom_note(void)
{
    noted = true;
}

bool oom_noted(void)
{
    bool was = noted;

    noted = false;
    return was;
}

void oom_wait(struct thread *t)
{
    long chosen = mmcall_oom(0);

    oom_fault(t, chosen > 0 ? (uint64_t)chosen : 0);
    if (t->state != THREAD_DYING)
        queue_join(&waiting, t);
}

void oom_freed(void)
{
    queue_wake(&waiting);
}
