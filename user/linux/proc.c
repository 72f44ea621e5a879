/*
 * The texts of /proc (see proc.h). Each is built in a growing buffer; who opened the file reads
 * from the finished text.
 */
#include "user/linux/proc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/linux/calls.h"
#include "user/linux/machine.h"
#include "user/linux/mmcall.h"
#include "user/linux/process.h"
#include "user/linux/shm.h"
#include "user/linux/space.h"
#include "user/linux/time.h"

#define GROW_BYTES  4096
#define PAGE_KIB    4
#define CLOCK_TICKS 100 /* per second, in /proc/PID/stat */

struct text {
    char *data;
    size_t bytes, room;
    long error;
};

/* Make room for `more` bytes and a NUL. */
static bool text_grow(struct text *text, size_t more)
{
    if (text->error)
        return false;
    if (text->room - text->bytes > more)
        return true;
    size_t room = text->room * 2 + GROW_BYTES + more;
    char *data = realloc(text->data, room);
    if (!data) {
        text->error = -LINUX_ENOMEM;
        return false;
    }
    text->data = data;
    text->room = room;
    return true;
}

static void text_add(struct text *text, const char *data, size_t bytes)
{
    if (!text_grow(text, bytes))
        return;
    memcpy(text->data + text->bytes, data, bytes);
    text->bytes += bytes;
}

__attribute__((format(printf, 2, 3))) static void text_printf(struct text *text, const char *format,
                                                              ...)
{
    char line[512];
    va_list args;

    va_start(args, format);
    int bytes = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (bytes > 0)
        text_add(text, line, (size_t)bytes < sizeof(line) ? (size_t)bytes : sizeof(line) - 1);
}

/* A whole report of the memory server. */
static void text_report(struct text *text, unsigned kind, uint64_t id)
{
    uint64_t offset = 0;

    while (text_grow(text, GROW_BYTES)) {
        long got = mmcall_report(kind, id, text->data + text->bytes, GROW_BYTES, offset);
        if (got < 0)
            text->error = got;
        if (got <= 0)
            break;
        text->bytes += (size_t)got;
        offset += (uint64_t)got;
    }
}

static void shm_lines(struct text *text)
{
    char *lines;
    long bytes = shm_text(&lines);

    if (bytes < 0) {
        text->error = bytes;
        return;
    }
    text_add(text, lines, (size_t)bytes);
    free(lines);
}

/* ---- numbers out of reports ---- */

uint64_t proc_report_number(unsigned kind, const char *name)
{
    struct text text = {0};
    size_t name_bytes = strlen(name);
    uint64_t number = 0;

    text_report(&text, kind, 0);
    text_add(&text, "", 1);
    if (!text.error) {
        for (const char *line = text.data; line; line = strchr(line, '\n')) {
            line += *line == '\n';
            if (strncmp(line, name, name_bytes) == 0 && line[name_bytes] == ':') {
                number = strtoul(line + name_bytes + 1, NULL, 10);
                break;
            }
        }
    }
    free(text.data);
    return number;
}

uint64_t proc_statm(int pid, unsigned field)
{
    struct process *p = process_by_pid(pid);
    struct text text = {0};
    uint64_t number = 0;

    if (!p || !p->space)
        return 0;
    text_report(&text, MM_REPORT_STATM, p->space->mm);
    text_add(&text, "", 1);
    if (!text.error) {
        char *at = text.data;
        for (unsigned i = 0; i <= field; i++)
            number = strtoul(at, &at, 10);
    }
    free(text.data);
    return number;
}

/* The report of a thread ends with "faults MINOR MAJOR". */
void proc_thread_faults(const struct thread *t, int64_t *minor, int64_t *major)
{
    struct text text = {0};

    *minor = *major = 0;
    text_report(&text, MM_REPORT_THREAD, t->number);
    text_add(&text, "", 1);
    char *at = text.error ? NULL : strstr(text.data, "faults ");
    if (at) {
        at += strlen("faults ");
        *minor = (int64_t)strtoul(at, &at, 10);
        *major = (int64_t)strtoul(at + (*at == '/'), NULL, 10);
    }
    free(text.data);
}

/* ---- the system ---- */

static void uptime(struct text *text)
{
    struct linux_timespec now = time_from_ticks(time_now_ticks());

    text_printf(text, "%ld.%02ld 0.00\n", now.sec, now.nsec / 10000000);
}

static void cpuinfo(struct text *text)
{
    const char *mode = "sv39";
    long bytes = machine_argument("paging", &mode);

    for (unsigned i = 0; i < threads_harts(); i++)
        text_printf(text, "processor\t: %u\nhart\t\t: %u\nisa\t\t: rv64imafdc\nmmu\t\t: %.*s\n\n",
                    i, i, bytes > 0 ? (int)bytes : 4, mode);
}

static void system_stat(struct text *text)
{
    unsigned count = 0;

    for (struct process *p = process_next(0); p; p = process_next(p->pid))
        count++;
    text_printf(text, "cpu  0 0 0 0 0 0 0 0 0 0\n");
    for (unsigned i = 0; i < threads_harts(); i++)
        text_printf(text, "cpu%u 0 0 0 0 0 0 0 0 0 0\n", i);
    text_printf(text, "btime %ld\nprocesses %u\n", time_epoch_sec(), count);
}

static void pagoda_stat(struct text *text)
{
    text_report(text, MM_REPORT_STAT, 0);
    if (text_grow(text, 8 * GROW_BYTES))
        text->bytes += calls_refused_text(text->data + text->bytes, 8 * GROW_BYTES);
}

static void pagoda_check(struct text *text)
{
    long wrong = mmcall_check();

    if (wrong == 0)
        text_printf(text, "ok\n");
    else
        text_printf(text, "%ld wrong\n", wrong);
}

static void of_system(struct text *text, enum proc_text kind)
{
    switch (kind) {
    case PROC_MEMINFO:
        text_report(text, MM_REPORT_MEMINFO, 0);
        break;
    case PROC_VMSTAT:
        text_report(text, MM_REPORT_VMSTAT, 0);
        break;
    case PROC_SLABINFO:
        text_report(text, MM_REPORT_SLABINFO, 0);
        break;
    case PROC_PAGODA_LEAKS:
        text_report(text, MM_REPORT_LEAKS, 0);
        break;
    case PROC_PAGODA_LEAK_MARK:
        text_report(text, MM_REPORT_LEAK_MARK, 0);
        break;
    case PROC_PAGODA_LEAK_SCAN:
        text_report(text, MM_REPORT_LEAK_SCAN, 0);
        break;
    case PROC_BUDDYINFO:
        text_report(text, MM_REPORT_BUDDYINFO, 0);
        break;
    case PROC_PAGETYPEINFO:
        text_report(text, MM_REPORT_PAGETYPEINFO, 0);
        break;
    case PROC_ZONEINFO:
        text_report(text, MM_REPORT_ZONEINFO, 0);
        break;
    case PROC_PAGODA_MEMMAP:
        text_report(text, MM_REPORT_MEMMAP, 0);
        break;
    case PROC_PAGODA_CMA:
        text_report(text, MM_REPORT_CMA, 0);
        break;
    case PROC_PAGODA_CONTIG:
    case PROC_SYS_NR_HUGEPAGES:
        text_printf(text, "%ld\n", mmcall_huge_pool(~0UL));
        break;
    case PROC_SYS_COMPACT_MEMORY:
        break;
    case PROC_SYS_COMPACTION_PROACTIVENESS:
        text_printf(text, "%lu\n", proc_compaction_proactiveness());
        break;
    case PROC_VMALLOCINFO:
        text_report(text, MM_REPORT_VMALLOCINFO, 0);
        break;
    case PROC_SYSTEM_STAT:
        system_stat(text);
        break;
    case PROC_UPTIME:
        uptime(text);
        break;
    case PROC_KERNEL_CMDLINE:
        text_printf(text, "%s\n", machine_start_page()->args);
        break;
    case PROC_CPUINFO:
        cpuinfo(text);
        break;
    case PROC_VERSION:
        text_printf(text, "Linux version 6.12.0-pagoda (Pagoda)\n");
        break;
    case PROC_SYSVIPC_SHM:
        shm_lines(text);
        break;
    case PROC_PAGODA_STAT:
        pagoda_stat(text);
        break;
    case PROC_PAGODA_FAULTS:
        text_report(text, MM_REPORT_FAULTS, 0);
        break;
    case PROC_PAGODA_CAPS:
        text_report(text, MM_REPORT_CAPS, 1); /* the memory server's own */
        break;
    case PROC_PAGODA_MEMBLOCK:
        text_report(text, MM_REPORT_MEMBLOCK, 0);
        break;
    default: /* PROC_PAGODA_CHECK */
        pagoda_check(text);
        break;
    }
}

/* ---- a process ---- */

static char state_of(const struct process *p)
{
    struct thread *t;

    if (p->state == PROCESS_ZOMBIE)
        return 'Z';
    TAILQ_FOREACH(t, &p->threads, mates)
    {
        if (t->state == THREAD_RUNS)
            return 'R';
    }
    return 'S';
}

/* The fields of Linux's /proc/PID/stat; those that are not known here are 0. */
static void stat_line(struct text *text, const struct process *p)
{
    struct linux_timespec start = time_from_ticks(p->start_ticks);
    uint64_t start_clock = (uint64_t)start.sec * CLOCK_TICKS + (uint64_t)start.nsec / 10000000;
    struct thread *first = TAILQ_FIRST(&p->threads);

    int64_t minor = 0, major = 0;
    struct thread *t;
    TAILQ_FOREACH(t, &p->threads, mates)
    {
        int64_t own_minor, own_major;
        proc_thread_faults(t, &own_minor, &own_major);
        minor += own_minor;
        major += own_major;
    }
    text_printf(text, "%d (%s) %c %d %d %d 1281 1 0 %ld 0 %ld 0 0 0 0 0 20 0 %u 0 %lu ", p->pid,
                p->comm, state_of(p), p->parent ? p->parent->pid : 0, p->pgid, p->sid, minor, major,
                p->thread_count, start_clock);
    text_printf(text, "%lu %lu %lu", proc_statm(p->pid, 0) * PAGE_KIB * 1024, proc_statm(p->pid, 1),
                LINUX_RLIM_INFINITY);
    /* startcode .. exit_signal, processor, and the rest */
    text_printf(text, " 0 0 0 0 0 0 0 0 0 0 0 0 %d %u 0 0 0 0 0 0 0 0 0 0 0 0 %d\n", p->exit_signal,
                first ? first->hart : 0, p->exit_status);
}

static void status_lines(struct text *text, const struct process *p)
{
    struct thread *first = TAILQ_FIRST(&p->threads);
    char state = state_of(p);

    text_printf(text, "Name:\t%s\n", p->comm);
    if (p->fs)
        text_printf(text, "Umask:\t%04o\n", (unsigned)p->fs->umask);
    text_printf(text, "State:\t%c (%s)\nTgid:\t%d\nPid:\t%d\nPPid:\t%d\n", state,
                state == 'Z'   ? "zombie"
                : state == 'R' ? "running"
                               : "sleeping",
                p->pid, p->pid, p->parent ? p->parent->pid : 0);
    text_printf(text, "Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nFDSize:\t%d\n", FDS_MAX);
    if (p->space)
        text_report(text, MM_REPORT_STATUS, p->space->mm);
    text_printf(text, "Threads:\t%u\n", p->thread_count);
    if (first)
        text_printf(text, "SigPnd:\t%016lx\nShdPnd:\t%016lx\nSigBlk:\t%016lx\n",
                    first->pending.bits, p->pending.bits, first->mask);
    if (first)
        text_printf(text, "Cpus_allowed:\t%lx\n", first->affinity);
    struct thread *t;
    TAILQ_FOREACH(t, &p->threads, mates)
    {
        text_printf(text, "Thread:\t%d ", t->tid);
        text_report(text, MM_REPORT_THREAD, t->number);
    }
}

static void of_process(struct text *text, enum proc_text kind, const struct process *p)
{
    uint64_t mm = p->space ? p->space->mm : 0;

    switch (kind) {
    case PROC_MAPS:
        if (mm)
            text_report(text, MM_REPORT_MAPS, mm);
        break;
    case PROC_STAT:
        stat_line(text, p);
        break;
    case PROC_SMAPS:
        if (mm)
            text_report(text, MM_REPORT_SMAPS, mm);
        break;
    case PROC_STATM:
        if (mm)
            text_report(text, MM_REPORT_STATM, mm);
        else
            text_printf(text, "0 0 0 0 0 0 0\n");
        break;
    case PROC_STATUS:
        status_lines(text, p);
        break;
    case PROC_CMDLINE:
        text_add(text, p->cmdline, p->cmdline_bytes);
        break;
    case PROC_COMM:
        text_printf(text, "%s\n", p->comm);
        break;
    default: /* PROC_CAPS */
        if (mm)
            text_report(text, MM_REPORT_CAPS, mm);
        break;
    }
}

long proc_pagemap(const struct place *place, char *to, size_t bytes, uint64_t offset)
{
    const struct process *p = process_by_pid(place->pid);

    if (!p)
        return -LINUX_ESRCH;
    return p->space ? mmcall_report(MM_REPORT_PAGEMAP, p->space->mm, to, bytes, offset) : 0;
}

long proc_text(const struct place *place, char **out)
{
    struct text text = {0};
    enum proc_text kind = (enum proc_text)place->node->detail;

    if (place->pid) {
        const struct process *p = process_by_pid(place->pid);
        if (!p)
            return -LINUX_ESRCH;
        of_process(&text, kind, p);
    } else {
        of_system(&text, kind);
    }
    text_grow(&text, 1);
    if (text.error) {
        free(text.data);
        return text.error;
    }
    *out = text.data;
    return (long)text.bytes;
}

/* ---- what the tree asks about processes ---- */

int fs_process_after(int pid)
{
    struct process *p = process_next(pid);

    return p ? p->pid : 0;
}

bool fs_process_exists(int pid)
{
    return process_by_pid(pid) != NULL;
}

bool fs_process_exe(int pid, struct place *exe)
{
    struct process *p = process_by_pid(pid);

    if (!p || !p->exe.node)
        return false;
    *exe = p->exe;
    return true;
}

bool fs_process_cwd(int pid, struct place *cwd)
{
    struct process *p = process_by_pid(pid);

    if (!p || !p->fs)
        return false;
    *cwd = p->fs->cwd;
    return true;
}
