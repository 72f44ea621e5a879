/*
 * The texts of /proc: which there are, and how they are made. Numbers that belong to memory come
 * from the memory server as text (MM_REPORT_*). Big lock held.
 */
#ifndef LINUX_PROC_H
#define LINUX_PROC_H

#include <stddef.h>

#include "user/linux/fs.h"

struct text;

enum proc_text {
    PROC_MEMINFO,
    PROC_VMSTAT,
    PROC_BUDDYINFO,
    PROC_PAGETYPEINFO,
    PROC_ZONEINFO,
    PROC_VMALLOCINFO,
    PROC_SLABINFO,
    PROC_IOMEM,
    PROC_SYSTEM_STAT,
    PROC_UPTIME,
    PROC_KERNEL_CMDLINE,
    PROC_CPUINFO,
    PROC_VERSION,
    PROC_PAGODA_STAT,
    PROC_PAGODA_FAULTS,
    PROC_PAGODA_CAPS,
    PROC_PAGODA_MEMBLOCK,
    PROC_PAGODA_LEAKS,
    PROC_PAGODA_LEAK_MARK,
    PROC_PAGODA_LEAK_SCAN,
    PROC_PAGODA_CHECK,
    PROC_PAGODA_MEMMAP,
    PROC_PAGODA_CMA,
    PROC_PAGODA_CONTIG,
    PROC_PAGODA_FRESH,
    PROC_SYS_NR_HUGEPAGES,
    PROC_SYS_COMPACT_MEMORY,
    PROC_SYS_COMPACTION_PROACTIVENESS,
    PROC_SYSVIPC_SHM,
    PROC_LOADAVG,
    PROC_FILESYSTEMS,
    PROC_SWAPS,
    PROC_DEVICES,
    PROC_MOUNTS,
    PROC_KERNEL_OSRELEASE,
    PROC_KERNEL_OSTYPE,
    PROC_KERNEL_VERSION,
    PROC_KERNEL_HOSTNAME,
    PROC_KERNEL_DOMAINNAME,
    PROC_KERNEL_PID_MAX,
    PROC_KERNEL_THREADS_MAX,
    PROC_KERNEL_CAP_LAST,
    PROC_RANDOM_BOOT_ID,
    PROC_RANDOM_UUID,
    PROC_RANDOM_ENTROPY,
    PROC_FS_FILE_MAX,
    PROC_FS_NR_OPEN,
    PROC_INOTIFY_EVENTS,
    PROC_INOTIFY_INSTANCES,
    PROC_INOTIFY_WATCHES,
    PROC_SYS_OVERCOMMIT_MEMORY,
    PROC_SYS_OVERCOMMIT_RATIO,
    PROC_SYS_SWAPPINESS,
    PROC_SYS_PAGE_CLUSTER,
    PROC_SYS_DIRTY_RATIO,
    PROC_SYS_DIRTY_BACKGROUND_RATIO,
    PROC_SYS_VFS_CACHE_PRESSURE,
    PROC_SYS_STAT_INTERVAL,
    PROC_SYS_LAPTOP_MODE,
    PROC_SYS_DROP_CACHES,
    PROC_HUGE_ENABLED,
    PROC_HUGE_DEFRAG,
    PROC_HUGE_ZERO_PAGE,
    PROC_HUGE_PAGE_SIZE,
    PROC_SHMEM_HUGE,
    PROC_KHUGE_DEFRAG,
    PROC_KHUGE_PAGES_TO_SCAN,
    PROC_KHUGE_SCAN_SLEEP,
    PROC_KHUGE_ALLOC_SLEEP,
    PROC_KHUGE_MAX_NONE,
    PROC_KHUGE_MAX_SWAP,
    PROC_KHUGE_MAX_SHARED,
    PROC_KSM_RUN,
    PROC_NODES,
    PROC_NODE_FIRST, /* nodes.c, up to LAST */
    PROC_NODE_MEMINFO = PROC_NODE_FIRST,
    PROC_NODE_VMSTAT,
    PROC_NODE_CPUS,
    PROC_NODE_DISTANCE,
    PROC_NODE_LAST = PROC_NODE_DISTANCE,
    PROC_CPU_CORE, /* cpus.c, up to SIBLINGS */
    PROC_CPU_PACKAGE,
    PROC_CPU_SIBLINGS,
    PROC_SYS_MAX_MAP_COUNT,
    PROC_SYS_MIN_FREE,
    PROC_ZERO,
    PROC_CPUS,
    PROC_HUGE_FREE,
    PROC_HUGE_RESERVED,
    PROC_HUGE_SURPLUS,
    PROC_MAPS,
    PROC_SMAPS,
    PROC_PAGEMAP, /* no text: see proc_pagemap() */
    PROC_STAT,
    PROC_STATM,
    PROC_STATUS,
    PROC_CMDLINE,
    PROC_COMM,
    PROC_CAPS,
    PROC_SMAPS_ROLLUP,
    PROC_NUMA_MAPS,
    PROC_LIMITS,
    PROC_IO,
    PROC_ENVIRON,
    PROC_AUXV,
    PROC_MOUNTINFO,
    PROC_OOM_SCORE,
    PROC_OOM_SCORE_ADJ,
    PROC_WCHAN,
    PROC_SCHEDSTAT,
    PROC_PERSONALITY,
    PROC_CHILDREN,
    PROC_CGROUP,
    PROC_FDINFO,
    PROC_TASK_COMM,
    PROC_TASK_STAT,
    PROC_TASK_STATUS,
    PROC_TASK_WCHAN,
    PROC_TASK_SCHEDSTAT,
};

/* The text of a NODE_TEXT, malloced into *text (to be freed): its length, or -errno (then nothing
 * is to be freed). -ESRCH if the process is no more. */
/* A part of a process's pagemap, from byte `offset` on: bytes, 0 at the end, or -errno. */
long proc_pagemap(const struct place *place, char *to, size_t bytes, uint64_t offset);
long proc_text(const struct place *place, char **text);
/* proc_write.c: what was written to a NODE_TEXT that can be written: 0 or -errno. The text ends
 * with a NUL. */
long proc_write(const struct place *place, const char *text);
#define PROC_WRITE_BYTES 64 /* longest text */
/* knob.c: numbers and words that can be changed, most of them the memory server's. False: that is
 * none of them. A write gives 0 or -errno. */
bool knob_text(struct text *text, enum proc_text kind);
bool knob_write(enum proc_text kind, const char *text, long *error);
/* Exactly one number, and a line's end at most behind it. */
bool proc_number(const char *text, uint64_t *value);
/* A number in a report such as /proc/meminfo: the one after "name:"; 0 if it is not there. */
uint64_t proc_report_number(unsigned kind, const char *name);
/* Pages of a process's statm: field 0 size, 1 resident; 0 if it has no space. */
uint64_t proc_statm(int pid, unsigned field);

/* What uname tells. */
const struct linux_utsname *system_name(void);

struct process;
/* proc_pid.c: the text of a file below /proc/PID; `number` as in a place. */
void proc_of_process(struct text *text, enum proc_text kind, struct process *p, int number);
void proc_mounts(struct text *text);

#endif
