/*
 * The texts of /proc (see proc.h). Each is built in a growing buffer; who opened the file reads
 * from the finished text.
 */
#include "user/linux/proc.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/linux/calls.h"
#include "user/linux/cpus.h"
#include "user/linux/load.h"
#include "user/linux/lock.h"
#include "user/linux/machine.h"
#include "user/linux/mmcall.h"
#include "user/linux/nodes.h"
#include "user/linux/process.h"
#include "user/linux/random.h"
#include "user/linux/file.h"
#include "user/linux/inotify.h"
#include "user/linux/request.h"
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

/* ---- the system ---- */

static void cpuinfo(struct text *text)
{
    const char *mode = "sv39";
    long bytes = machine_argument("paging", &mode);

    for (unsigned i = 0; i < threads_harts(); i++)
        text_printf(text, "processor\t: %u\nhart\t\t: %u\nisa\t\t: rv64imafdc\nmmu\t\t: %.*s\n\n",
                    i, i, bytes > 0 ? (int)bytes : 4, mode);
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

static void cmdline(struct text *text)
{
    text_printf(text, "%s\n", machine_start_page()->args);
}

static void version(struct text *text)
{
    text_printf(text, "Linux version %s (Pagoda)\n", system_name()->release);
}

static void boot_id(struct text *text)
{
    uuid(text, true);
}

static void any_uuid(struct text *text)
{
    uuid(text, false);
}

/* The memory server's own. */
static void pagoda_caps(struct text *text)
{
    text_report(text, MM_REPORT_CAPS, 1);
}

/* ---- which text ---- */

/* How a text is made: as one of the memory server's, by a function, from a line of meminfo, or it
 * is always the same. */
struct source {
    unsigned report; /* not 0 */
    void (*make)(struct text *text);
    const char *meminfo; /* the name of the line */
    unsigned uname;      /* 1 + offset in what uname tells */
    const char *same;
};

#define TEXT(x) #x
#define LINE(x) TEXT(x) "\n"

static const struct source sources[] = {
    [PROC_MEMINFO] = {.report = MM_REPORT_MEMINFO},
    [PROC_VMSTAT] = {.report = MM_REPORT_VMSTAT},
    [PROC_BUDDYINFO] = {.report = MM_REPORT_BUDDYINFO},
    [PROC_PAGETYPEINFO] = {.report = MM_REPORT_PAGETYPEINFO},
    [PROC_ZONEINFO] = {.report = MM_REPORT_ZONEINFO},
    [PROC_VMALLOCINFO] = {.report = MM_REPORT_VMALLOCINFO},
    [PROC_SLABINFO] = {.report = MM_REPORT_SLABINFO},
    [PROC_IOMEM] = {.report = MM_REPORT_IOMEM},
    [PROC_SYSTEM_STAT] = {.make = load_stat_text},
    [PROC_UPTIME] = {.make = load_uptime_text},
    [PROC_KERNEL_CMDLINE] = {.make = cmdline},
    [PROC_CPUINFO] = {.make = cpuinfo},
    [PROC_VERSION] = {.make = version},
    [PROC_PAGODA_STAT] = {.make = pagoda_stat},
    [PROC_PAGODA_FAULTS] = {.report = MM_REPORT_FAULTS},
    [PROC_PAGODA_CAPS] = {.make = pagoda_caps},
    [PROC_PAGODA_MEMBLOCK] = {.report = MM_REPORT_MEMBLOCK},
    [PROC_PAGODA_LEAKS] = {.report = MM_REPORT_LEAKS},
    [PROC_PAGODA_LEAK_MARK] = {.report = MM_REPORT_LEAK_MARK},
    [PROC_PAGODA_LEAK_SCAN] = {.report = MM_REPORT_LEAK_SCAN},
    [PROC_PAGODA_CHECK] = {.make = pagoda_check},
    [PROC_PAGODA_MEMMAP] = {.report = MM_REPORT_MEMMAP},
    [PROC_PAGODA_CMA] = {.report = MM_REPORT_CMA},
    [PROC_PAGODA_CONTIG] = {.same = ""},
    [PROC_PAGODA_FRESH] = {.same = ""},
    [PROC_SYS_COMPACT_MEMORY] = {.same = ""},
    [PROC_SYS_DROP_CACHES] = {.same = ""},
    [PROC_SYSVIPC_SHM] = {.make = shm_lines},
    [PROC_LOADAVG] = {.make = load_average_text},
    [PROC_FILESYSTEMS] = {.same = "nodev\tproc\nnodev\tsysfs\nnodev\ttmpfs\nnodev\tdevtmpfs\n"
                                  "nodev\trootfs\n"},
    [PROC_SWAPS] = {.same = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"},
    [PROC_DEVICES] = {.same = "Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n"
                              "  5 /dev/ptmx\n136 pts\n\n"
                              "Block devices:\n  1 ramdisk\n"},
    [PROC_MOUNTS] = {.make = proc_mounts},
    [PROC_KERNEL_OSRELEASE] = {.uname = offsetof(struct linux_utsname, release) + 1},
    [PROC_KERNEL_OSTYPE] = {.uname = offsetof(struct linux_utsname, sysname) + 1},
    [PROC_KERNEL_VERSION] = {.uname = offsetof(struct linux_utsname, version) + 1},
    [PROC_KERNEL_HOSTNAME] = {.uname = offsetof(struct linux_utsname, nodename) + 1},
    [PROC_KERNEL_DOMAINNAME] = {.uname = offsetof(struct linux_utsname, domainname) + 1},
    [PROC_KERNEL_PID_MAX] = {.same = LINE(PID_MAX)},
    [PROC_KERNEL_THREADS_MAX] = {.same = LINE(THREADS_MAX)},
    [PROC_KERNEL_CAP_LAST] = {.same = "40\n"},
    [PROC_RANDOM_BOOT_ID] = {.make = boot_id},
    [PROC_RANDOM_UUID] = {.make = any_uuid},
    [PROC_RANDOM_ENTROPY] = {.same = "256\n"},
    [PROC_FS_FILE_MAX] = {.same = LINE(FILES_MAX)},
    [PROC_FS_NR_OPEN] = {.same = LINE(FDS_MAX)},
    [PROC_INOTIFY_EVENTS] = {.same = LINE(INOTIFY_EVENTS_MAX)},
    [PROC_INOTIFY_INSTANCES] = {.same = LINE(INOTIFY_INSTANCES_MAX)},
    [PROC_INOTIFY_WATCHES] = {.same = LINE(INOTIFY_WATCHES_MAX)},
    [PROC_HUGE_FREE] = {.meminfo = "HugePages_Free"},
    [PROC_HUGE_RESERVED] = {.meminfo = "HugePages_Rsvd"},
    [PROC_HUGE_SURPLUS] = {.meminfo = "HugePages_Surp"},
    [PROC_HUGE_PAGE_SIZE] = {.same = "2097152\n"},
    [PROC_CPUS] = {.make = cpus_list},
    [PROC_NODES] = {.make = nodes_list},
    [PROC_ZERO] = {.same = "0\n"},
};

static void of_system(struct text *text, enum proc_text kind)
{
    const struct source *source = &sources[kind];

    if (knob_text(text, kind))
        return;
    linux_assert((size_t)kind < sizeof(sources) / sizeof(sources[0]));
    if (source->report)
        text_report(text, source->report, 0);
    else if (source->make)
        source->make(text);
    else if (source->meminfo)
        text_printf(text, "%lu\n", proc_report_number(MM_REPORT_MEMINFO, source->meminfo));
    else if (source->uname)
        text_printf(text, "%s\n", (const char *)system_name() + source->uname - 1);
    else
        text_add(text, source->same, strlen(source->same));
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
        struct process *p = process_by_pid(place->pid);
        if (!p)
            return -LINUX_ESRCH;
        proc_of_process(&text, kind, p, place->number);
    } else if (kind >= PROC_NODE_FIRST && kind <= PROC_NODE_LAST) {
        node_text(&text, kind, place->node->parent->name);
    } else if (kind >= PROC_CPU_CORE && kind <= PROC_CPU_SIBLINGS) {
        cpu_text(&text, kind, place->node->parent->parent->name);
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

int fs_self_tid(void)
{
    return request_running()->tid;
}
