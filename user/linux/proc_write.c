/*
 * The files of /proc that can be written, beside knobs (knob.c):
 *
 *   sys/vm/compact_memory             1: compact all memory, now
 *   sys/vm/drop_caches                1, 2, 3: give up what can be had again
 *   PID/oom_score_adj, PID/task/TID/comm
 *   pagoda/contig                     N [ALIGN]: can N contiguous pages be had? They go back at
 * once pagoda/cma                        alloc N | free FIRST N (FIRST in hex), of the default area
 *   pagoda/fresh_memory               1: free memory is put in one order, for benchmarks
 */
#include "user/linux/proc.h"

#include <stdlib.h>
#include <string.h>

#include "user/linux/abi.h"
#include "user/linux/mmcall.h"
#include "user/linux/process.h"
#include "user/linux/request.h"
#include "user/linux/space.h"

/* A number and what blanks follow it; false: there is none. */
static bool number(const char **text, int base, uint64_t *value)
{
    char *end;

    if (**text == '-' || **text == '+')
        return false;
    *value = strtoul(*text, &end, base);
    if (end == *text)
        return false;
    *text = end + strspn(end, " \n");
    return true;
}

bool proc_number(const char *text, uint64_t *value)
{
    return number(&text, 10, value) && !*text;
}

static long compact_memory(const char *text)
{
    uint64_t value;
    long more;

    if (!proc_number(text, &value) || value != 1)
        return -LINUX_EINVAL;
    more = mmcall_compact(MM_COMPACT_BEGIN, 0);
    while (more > 0)
        more = mmcall_compact(MM_COMPACT_GO_ON, 0);
    return more;
}

/* 1: pages that nobody maps and that can be had again; 2: slabs that are empty; 3: both. */
static long drop_caches(const char *text)
{
    uint64_t what;
    long freed;

    if (!proc_number(text, &what))
        return -LINUX_EINVAL;
    while ((freed = mmcall_tune(MM_TUNE_DROP_CACHES, what)) > 0)
        continue;
    return freed;
}

/* Not below what a privileged one has set last. */
static long oom_score_adj(struct process *p, const struct process *writer, const char *text)
{
    bool negative = *text == '-', privileged = cred_is_root(&writer->cred);
    uint64_t value;

    if (!proc_number(text + negative, &value) || value > OOM_SCORE_ADJ_MAX)
        return -LINUX_EINVAL;
    int adjust = negative ? -(int)value : (int)value;
    if (adjust < p->oom_score_adj_least && !privileged)
        return -LINUX_EACCES;
    p->oom_score_adj = adjust;
    if (privileged)
        p->oom_score_adj_least = adjust;
    if (p->space)
        process_limits_apply(p, p->space->mm);
    return 0;
}

static long comm(struct thread *t, const char *text)
{
    size_t bytes = strcspn(text, "\n");

    if (!t)
        return -LINUX_ESRCH;
    memset(thread_comm(t), 0, COMM_BYTES);
    memcpy(thread_comm(t), text, bytes < COMM_BYTES ? bytes : COMM_BYTES - 1);
    return 0;
}

static long fresh_memory(const char *text)
{
    uint64_t value;

    if (!proc_number(text, &value) || value != 1)
        return -LINUX_EINVAL;
    long pages = mmcall_tune(MM_TUNE_FRESH, value);
    return pages < 0 ? pages : 0;
}

static long contig(const char *text)
{
    uint64_t pages, align = 1;

    if (!number(&text, 10, &pages) || (*text && !number(&text, 10, &align)) || *text)
        return -LINUX_EINVAL;
    return mmcall_contig(pages, align);
}

static long cma(const char *text)
{
    uint64_t first = 0, pages;

    if (strncmp(text, "alloc ", 6) == 0) {
        text += 6;
    } else if (strncmp(text, "free ", 5) == 0) {
        text += 5;
        if (!number(&text, 16, &first) || !first)
            return -LINUX_EINVAL;
    } else {
        return -LINUX_EINVAL;
    }
    if (!proc_number(text, &pages))
        return -LINUX_EINVAL;
    long result = mmcall_cma(~0UL, pages, 0, first);
    return result > 0 ? 0 : result;
}

long proc_write(const struct place *place, const char *text)
{
    enum proc_text kind = (enum proc_text)place->node->detail;
    long error;

    if (knob_write(kind, text, &error))
        return error;
    switch (kind) {
    case PROC_OOM_SCORE_ADJ: {
        struct process *p = process_by_pid(place->pid);
        return p ? oom_score_adj(p, request_running()->process, text) : -LINUX_ESRCH;
    }
    case PROC_TASK_COMM:
        return comm(thread_by_tid(place->number), text);
    case PROC_SYS_COMPACT_MEMORY:
        return compact_memory(text);
    case PROC_SYS_DROP_CACHES:
        return drop_caches(text);
    case PROC_PAGODA_CONTIG:
        return contig(text);
    case PROC_PAGODA_FRESH:
        return fresh_memory(text);
    case PROC_PAGODA_CMA:
        return cma(text);
    default:
        return -LINUX_EACCES;
    }
}
