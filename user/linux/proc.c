/*
 * The texts of /proc (see proc.h). Each is built in a growing buffer; who opened the file reads
 * from the finished text.
 */
#include "user/linux/proc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/linux/calls.h"
#include "user/linux/machine.h"
#include "user/linux/mmcall.h"
#include "user/linux/process.h"
#include "user/linux/random.h"
#include "user/linux/file.h"
#include "user/linux/shm.h"
#include "user/linux/space.h"
#include "user/linux/text.h"
#include "user/linux/time.h"

#define GROW_BYTES 4096

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

static void loadavg(struct text *text)
{
    unsigned runs = 0;
    const struct thread *t;

    for (struct process *p = process_next(0); p; p = process_next(p->pid)) {
        TAILQ_FOREACH(t, &p->threads, mates)
        {
            runs += t->state == THREAD_RUNS;
        }
    }
    /* No averages are kept. */
    text_printf(text, "0.00 0.00 0.00 %u/%u %d\n", runs, threads_count(), pid_last());
}

static void cpus(struct text *text)
{
    if (threads_harts() == 1)
        text_printf(text, "0\n");
    else
        text_printf(text, "0-%u\n", threads_harts() - 1);
}

/* A random uuid; the one of this boot is the same at each reading. */
static void uuid(struct text *text, bool of_boot)
{
    static uint8_t boot[16];
    static bool have_boot;
    uint8_t own[16], *u = of_boot ? boot : own;

    if (!of_boot || !have_boot)
        random_fill(u, 16);
    have_boot |= of_boot;
    u[6] = (uint8_t)((u[6] & 0x0f) | 0x40);
    u[8] = (uint8_t)((u[8] & 0x3f) | 0x80);
    for (unsigned i = 0; i < 16; i++)
        text_printf(text, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", u[i]);
    text_printf(text, "\n");
}

/* A line of meminfo by its name, as a bare number. */
static void of_meminfo(struct text *text, const char *name)
{
    text_printf(text, "%lu\n", proc_report_number(MM_REPORT_MEMINFO, name));
}

/* Below /proc/sys and /sys. */
static void of_sys(struct text *text, enum proc_text kind)
{
    const struct linux_utsname *name = system_name();

    switch (kind) {
    case PROC_KERNEL_OSRELEASE:
        text_printf(text, "%s\n", name->release);
        break;
    case PROC_KERNEL_OSTYPE:
        text_printf(text, "%s\n", name->sysname);
        break;
    case PROC_KERNEL_VERSION:
        text_printf(text, "%s\n", name->version);
        break;
    case PROC_KERNEL_HOSTNAME:
        text_printf(text, "%s\n", name->nodename);
        break;
    case PROC_KERNEL_DOMAINNAME:
        text_printf(text, "%s\n", name->domainname);
        break;
    case PROC_KERNEL_PID_MAX:
        text_printf(text, "%d\n", PID_MAX);
        break;
    case PROC_KERNEL_THREADS_MAX:
        text_printf(text, "%d\n", THREADS_MAX);
        break;
    case PROC_KERNEL_CAP_LAST:
        text_printf(text, "40\n");
        break;
    case PROC_RANDOM_BOOT_ID:
    case PROC_RANDOM_UUID:
        uuid(text, kind == PROC_RANDOM_BOOT_ID);
        break;
    case PROC_RANDOM_ENTROPY:
        text_printf(text, "256\n");
        break;
    case PROC_FS_FILE_MAX:
        text_printf(text, "%d\n", FILES_MAX);
        break;
    case PROC_FS_NR_OPEN:
        text_printf(text, "%d\n", FDS_MAX);
        break;
    case PROC_SYS_OVERCOMMIT_MEMORY:
        text_printf(text, "%ld\n", mmcall_tune(MM_TUNE_OVERCOMMIT, ~0UL));
        break;
    case PROC_SYS_MAX_MAP_COUNT:
        text_printf(text, "%ld\n", mmcall_tune(MM_TUNE_MAP_COUNT, ~0UL));
        break;
    case PROC_SYS_MIN_FREE:
        text_printf(text, "%ld\n", mmcall_tune(MM_TUNE_MIN_FREE, ~0UL));
        break;
    case PROC_HUGE_FREE:
        of_meminfo(text, "HugePages_Free");
        break;
    case PROC_HUGE_RESERVED:
        of_meminfo(text, "HugePages_Rsvd");
        break;
    case PROC_HUGE_SURPLUS:
        of_meminfo(text, "HugePages_Surp");
        break;
    default: /* PROC_ZERO */
        text_printf(text, "0\n");
        break;
    }
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
    case PROC_IOMEM:
        text_report(text, MM_REPORT_IOMEM, 0);
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
        text_printf(text, "Linux version %s (Pagoda)\n", system_name()->release);
        break;
    case PROC_SYSVIPC_SHM:
        shm_lines(text);
        break;
    case PROC_LOADAVG:
        loadavg(text);
        break;
    case PROC_FILESYSTEMS:
        text_printf(text, "nodev\tproc\nnodev\tsysfs\nnodev\ttmpfs\nnodev\tdevtmpfs\n"
                          "nodev\trootfs\n");
        break;
    case PROC_SWAPS:
        text_printf(text, "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
        break;
    case PROC_DEVICES:
        text_printf(text, "Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n\n"
                          "Block devices:\n");
        break;
    case PROC_MOUNTS:
        proc_mounts(text);
        break;
    case PROC_CPUS:
        cpus(text);
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
    case PROC_PAGODA_CHECK:
        pagoda_check(text);
        break;
    default:
        of_sys(text, kind);
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
        proc_of_process(&text, kind, p, place->number);
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
