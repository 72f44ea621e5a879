/*
 * The files of /proc that can be written:
 *
 *   sys/vm/nr_hugepages               N: so many 2 MiB pages for MAP_HUGETLB
 *   sys/vm/compact_memory             1: compact all memory, now
 *   sys/vm/compaction_proactiveness   0..100: how scattered free memory may be, as Linux
 *   sys/vm/overcommit_memory          0: what could never be met is refused; 1: nothing is
 *   sys/vm/max_map_count              N: VMAs of a process
 *   PID/oom_score_adj, PID/task/TID/comm
 *   pagoda/contig                     N [ALIGN]: can N contiguous pages be had? They go back at
 * once pagoda/cma                        alloc N | free FIRST N (FIRST in hex), of the default area
 */
#include "user/linux/proc.h"

#include <stdlib.h>
#include <string.h>

#include "user/linux/abi.h"
#include "user/linux/mmcall.h"
#include "user/linux/process.h"
#include "user/linux/request.h"
#include "user/linux/space.h"

#define PROACTIVENESS_MAX 100

static uint64_t proactiveness = 20; /* as the memory server begins */

uint64_t proc_compaction_proactiveness(void)
{
    return proactiveness;
}

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

/* Exactly one number. */
static bool only_number(const char *text, uint64_t *value)
{
    return number(&text, 10, value) && !*text;
}

static long compact_memory(const char *text)
{
    uint64_t value;
    long more;

    if (!only_number(text, &value) || value != 1)
        return -LINUX_EINVAL;
    more = mmcall_compact(MM_COMPACT_BEGIN, 0);
    while (more > 0)
        more = mmcall_compact(MM_COMPACT_GO_ON, 0);
    return more;
}

/* As Linux: what cannot be had or given back is no error; reading tells. */
static long huge_pool(const char *text)
{
    uint64_t value;

    if (!only_number(text, &value) || value == ~0UL)
        return -LINUX_EINVAL;
    long pages = mmcall_huge_pool(value);
    return pages < 0 ? pages : 0;
}

static long proactiveness_set(const char *text)
{
    uint64_t value;

    if (!only_number(text, &value) || value > PROACTIVENESS_MAX)
        return -LINUX_EINVAL;
    long error = mmcall_compact(MM_COMPACT_PROACTIVENESS, value);
    if (!error)
        proactiveness = value;
    return error;
}

static long tune(const char *text, unsigned which)
{
    uint64_t value;

    if (!only_number(text, &value) || value == ~0UL)
        return -LINUX_EINVAL;
    long result = mmcall_tune(which, value);
    return result < 0 ? result : 0;
}

/* Not below what a privileged one has set last. */
static long oom_score_adj(struct process *p, const struct process *writer, const char *text)
{
    bool negative = *text == '-', privileged = cred_is_root(&writer->cred);
    uint64_t value;

    if (!only_number(text + negative, &value) || value > OOM_SCORE_ADJ_MAX)
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
    if (!only_number(text, &pages))
        return -LINUX_EINVAL;
    long result = mmcall_cma(~0UL, pages, 0, first);
    return result > 0 ? 0 : result;
}

long proc_write(const struct place *place, const char *text)
{
    switch ((enum proc_text)place->node->detail) {
    case PROC_SYS_NR_HUGEPAGES:
        return huge_pool(text);
    case PROC_SYS_OVERCOMMIT_MEMORY:
        return tune(text, MM_TUNE_OVERCOMMIT);
    case PROC_SYS_MAX_MAP_COUNT:
        return tune(text, MM_TUNE_MAP_COUNT);
    case PROC_OOM_SCORE_ADJ: {
        struct process *p = process_by_pid(place->pid);
        return p ? oom_score_adj(p, request_running()->process, text) : -LINUX_ESRCH;
    }
    case PROC_TASK_COMM:
        return comm(thread_by_tid(place->number), text);
    case PROC_SYS_COMPACT_MEMORY:
        return compact_memory(text);
    case PROC_SYS_COMPACTION_PROACTIVENESS:
        return proactiveness_set(text);
    case PROC_PAGODA_CONTIG:
        return contig(text);
    case PROC_PAGODA_CMA:
        return cma(text);
    default:
        return -LINUX_EACCES;
    }
}
