/*
 * Which files there are in /proc, /sys and /dev/pts (see struct fs_special), and what the process
 * side numbers in their directories. Their texts are proc.c's and proc_pid.c's.
 */
#include "user/linux/proc.h"

#include <stdio.h>
#include <string.h>

#include "user/linux/fd.h"
#include "user/linux/file.h"
#include "user/linux/process.h"
#include "user/linux/pty.h"

#define DIRECTORY (LINUX_S_IFDIR | 0555)
#define LINK      (LINUX_S_IFLNK | 0777)
#define TEXT_MODE (LINUX_S_IFREG | 0444)
#define KNOB_MODE (LINUX_S_IFREG | 0644)
#define THP       "/sys/kernel/mm/transparent_hugepage/"
#define KSM       "/sys/kernel/mm/ksm/"

#define TEXT_FILE(path, kind)            \
    {                                    \
        path, NODE_TEXT, TEXT_MODE, kind \
    }
#define KNOB_FILE(path, kind)            \
    {                                    \
        path, NODE_TEXT, KNOB_MODE, kind \
    }

/* The system as a whole; first of all /proc itself. */
static const struct fs_special proc_files[] = {
    {"/proc", NODE_PROC, DIRECTORY, 0},
    {"/proc/self", NODE_SELF, LINK, 0},
    {"/proc/thread-self", NODE_THREAD_SELF, LINK, 0},
    TEXT_FILE("/proc/meminfo", PROC_MEMINFO),
    TEXT_FILE("/proc/vmstat", PROC_VMSTAT),
    TEXT_FILE("/proc/buddyinfo", PROC_BUDDYINFO),
    TEXT_FILE("/proc/pagetypeinfo", PROC_PAGETYPEINFO),
    TEXT_FILE("/proc/zoneinfo", PROC_ZONEINFO),
    TEXT_FILE("/proc/vmallocinfo", PROC_VMALLOCINFO),
    TEXT_FILE("/proc/slabinfo", PROC_SLABINFO),
    {"/proc/iomem", NODE_TEXT, LINUX_S_IFREG | 0400, PROC_IOMEM},
    TEXT_FILE("/proc/stat", PROC_SYSTEM_STAT),
    TEXT_FILE("/proc/uptime", PROC_UPTIME),
    TEXT_FILE("/proc/cmdline", PROC_KERNEL_CMDLINE),
    TEXT_FILE("/proc/cpuinfo", PROC_CPUINFO),
    TEXT_FILE("/proc/version", PROC_VERSION),
    TEXT_FILE("/proc/pagoda/stat", PROC_PAGODA_STAT),
    TEXT_FILE("/proc/pagoda/faults", PROC_PAGODA_FAULTS),
    TEXT_FILE("/proc/pagoda/caps", PROC_PAGODA_CAPS),
    TEXT_FILE("/proc/pagoda/memblock", PROC_PAGODA_MEMBLOCK),
    TEXT_FILE("/proc/pagoda/leaks", PROC_PAGODA_LEAKS),
    TEXT_FILE("/proc/pagoda/leaks_mark", PROC_PAGODA_LEAK_MARK),
    TEXT_FILE("/proc/pagoda/leaks_scan", PROC_PAGODA_LEAK_SCAN),
    TEXT_FILE("/proc/pagoda/check", PROC_PAGODA_CHECK),
    TEXT_FILE("/proc/pagoda/memmap", PROC_PAGODA_MEMMAP),
    KNOB_FILE("/proc/pagoda/cma", PROC_PAGODA_CMA),
    KNOB_FILE("/proc/pagoda/contig", PROC_PAGODA_CONTIG),
    {"/proc/pagoda/fresh_memory", NODE_TEXT, LINUX_S_IFREG | 0200, PROC_PAGODA_FRESH},
    TEXT_FILE("/proc/sysvipc/shm", PROC_SYSVIPC_SHM),
    TEXT_FILE("/proc/loadavg", PROC_LOADAVG),
    TEXT_FILE("/proc/filesystems", PROC_FILESYSTEMS),
    TEXT_FILE("/proc/swaps", PROC_SWAPS),
    TEXT_FILE("/proc/devices", PROC_DEVICES),
    TEXT_FILE("/proc/mounts", PROC_MOUNTS),
    {0},
};

/* /proc/sys. */
static const struct fs_special sysctl_files[] = {
    KNOB_FILE("/proc/sys/vm/nr_hugepages", PROC_SYS_NR_HUGEPAGES),
    {"/proc/sys/vm/compact_memory", NODE_TEXT, LINUX_S_IFREG | 0200, PROC_SYS_COMPACT_MEMORY},
    KNOB_FILE("/proc/sys/vm/compaction_proactiveness", PROC_SYS_COMPACTION_PROACTIVENESS),
    TEXT_FILE("/proc/sys/kernel/osrelease", PROC_KERNEL_OSRELEASE),
    TEXT_FILE("/proc/sys/kernel/ostype", PROC_KERNEL_OSTYPE),
    TEXT_FILE("/proc/sys/kernel/version", PROC_KERNEL_VERSION),
    TEXT_FILE("/proc/sys/kernel/hostname", PROC_KERNEL_HOSTNAME),
    TEXT_FILE("/proc/sys/kernel/domainname", PROC_KERNEL_DOMAINNAME),
    TEXT_FILE("/proc/sys/kernel/pid_max", PROC_KERNEL_PID_MAX),
    TEXT_FILE("/proc/sys/kernel/threads-max", PROC_KERNEL_THREADS_MAX),
    TEXT_FILE("/proc/sys/kernel/cap_last_cap", PROC_KERNEL_CAP_LAST),
    TEXT_FILE("/proc/sys/kernel/random/boot_id", PROC_RANDOM_BOOT_ID),
    TEXT_FILE("/proc/sys/kernel/random/uuid", PROC_RANDOM_UUID),
    TEXT_FILE("/proc/sys/kernel/random/entropy_avail", PROC_RANDOM_ENTROPY),
    TEXT_FILE("/proc/sys/fs/file-max", PROC_FS_FILE_MAX),
    TEXT_FILE("/proc/sys/fs/nr_open", PROC_FS_NR_OPEN),
    TEXT_FILE("/proc/sys/fs/inotify/max_queued_events", PROC_INOTIFY_EVENTS),
    TEXT_FILE("/proc/sys/fs/inotify/max_user_instances", PROC_INOTIFY_INSTANCES),
    TEXT_FILE("/proc/sys/fs/inotify/max_user_watches", PROC_INOTIFY_WATCHES),
    KNOB_FILE("/proc/sys/vm/overcommit_memory", PROC_SYS_OVERCOMMIT_MEMORY),
    KNOB_FILE("/proc/sys/vm/max_map_count", PROC_SYS_MAX_MAP_COUNT),
    KNOB_FILE("/proc/sys/vm/overcommit_ratio", PROC_SYS_OVERCOMMIT_RATIO),
    KNOB_FILE("/proc/sys/vm/min_free_kbytes", PROC_SYS_MIN_FREE),
    {"/proc/sys/vm/drop_caches", NODE_TEXT, LINUX_S_IFREG | 0200, PROC_SYS_DROP_CACHES},
    TEXT_FILE("/proc/sys/vm/nr_overcommit_hugepages", PROC_ZERO),
    KNOB_FILE("/proc/sys/vm/swappiness", PROC_SYS_SWAPPINESS),
    KNOB_FILE("/proc/sys/vm/page-cluster", PROC_SYS_PAGE_CLUSTER),
    KNOB_FILE("/proc/sys/vm/dirty_ratio", PROC_SYS_DIRTY_RATIO),
    KNOB_FILE("/proc/sys/vm/dirty_background_ratio", PROC_SYS_DIRTY_BACKGROUND_RATIO),
    KNOB_FILE("/proc/sys/vm/vfs_cache_pressure", PROC_SYS_VFS_CACHE_PRESSURE),
    KNOB_FILE("/proc/sys/vm/stat_interval", PROC_SYS_STAT_INTERVAL),
    KNOB_FILE("/proc/sys/vm/laptop_mode", PROC_SYS_LAPTOP_MODE),
    {0},
};

/* /sys, but for the nodes of memory (nodes.c). */
static const struct fs_special sys_files[] = {
    TEXT_FILE("/sys/devices/system/cpu/online", PROC_CPUS),
    TEXT_FILE("/sys/devices/system/cpu/possible", PROC_CPUS),
    TEXT_FILE("/sys/devices/system/cpu/present", PROC_CPUS),
    TEXT_FILE("/sys/devices/system/node/online", PROC_NODES),
    TEXT_FILE("/sys/devices/system/node/possible", PROC_NODES),
    TEXT_FILE("/sys/devices/system/node/has_memory", PROC_NODES),
    TEXT_FILE("/sys/devices/system/node/has_cpu", PROC_NODES),
    KNOB_FILE(THP "enabled", PROC_HUGE_ENABLED),
    KNOB_FILE(THP "defrag", PROC_HUGE_DEFRAG),
    KNOB_FILE(THP "use_zero_page", PROC_HUGE_ZERO_PAGE),
    KNOB_FILE(THP "shmem_enabled", PROC_SHMEM_HUGE),
    KNOB_FILE(THP "khugepaged/defrag", PROC_KHUGE_DEFRAG),
    KNOB_FILE(THP "khugepaged/pages_to_scan", PROC_KHUGE_PAGES_TO_SCAN),
    KNOB_FILE(THP "khugepaged/scan_sleep_millisecs", PROC_KHUGE_SCAN_SLEEP),
    KNOB_FILE(THP "khugepaged/alloc_sleep_millisecs", PROC_KHUGE_ALLOC_SLEEP),
    KNOB_FILE(THP "khugepaged/max_ptes_none", PROC_KHUGE_MAX_NONE),
    KNOB_FILE(THP "khugepaged/max_ptes_swap", PROC_KHUGE_MAX_SWAP),
    KNOB_FILE(THP "khugepaged/max_ptes_shared", PROC_KHUGE_MAX_SHARED),
    TEXT_FILE(THP "khugepaged/pages_collapsed", PROC_ZERO),
    TEXT_FILE(THP "khugepaged/full_scans", PROC_ZERO),
    TEXT_FILE(THP "hpage_pmd_size", PROC_HUGE_PAGE_SIZE),
    KNOB_FILE(KSM "run", PROC_KSM_RUN),
    TEXT_FILE(KSM "pages_shared", PROC_ZERO),
    TEXT_FILE(KSM "pages_sharing", PROC_ZERO),
    TEXT_FILE(KSM "pages_unshared", PROC_ZERO),
    TEXT_FILE(KSM "pages_volatile", PROC_ZERO),
    TEXT_FILE(KSM "full_scans", PROC_ZERO),
    KNOB_FILE("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", PROC_SYS_NR_HUGEPAGES),
    TEXT_FILE("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", PROC_HUGE_FREE),
    TEXT_FILE("/sys/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages", PROC_HUGE_RESERVED),
    TEXT_FILE("/sys/kernel/mm/hugepages/hugepages-2048kB/surplus_hugepages", PROC_HUGE_SURPLUS),
    {0},
};

/* What "#" stands for are numbers of processes, threads, open files; their inodes follow those of
 * the directory of a process. */
static const struct fs_special process_files[] = {
    {"/proc/#", NODE_PID, DIRECTORY, 0},
    {"/proc/#/exe", NODE_EXE, LINK, 0},
    {"/proc/#/cwd", NODE_CWD, LINK, 0},
    TEXT_FILE("/proc/#/maps", PROC_MAPS),
    TEXT_FILE("/proc/#/smaps", PROC_SMAPS),
    {"/proc/#/mem", NODE_PID_MEM, LINUX_S_IFREG | 0600, 0},
    TEXT_FILE("/proc/#/pagemap", PROC_PAGEMAP),
    TEXT_FILE("/proc/#/stat", PROC_STAT),
    TEXT_FILE("/proc/#/statm", PROC_STATM),
    TEXT_FILE("/proc/#/status", PROC_STATUS),
    TEXT_FILE("/proc/#/cmdline", PROC_CMDLINE),
    TEXT_FILE("/proc/#/comm", PROC_COMM),
    TEXT_FILE("/proc/#/caps", PROC_CAPS),
    {"/proc/#/root", NODE_ROOT, LINK, 0},
    TEXT_FILE("/proc/#/smaps_rollup", PROC_SMAPS_ROLLUP),
    TEXT_FILE("/proc/#/numa_maps", PROC_NUMA_MAPS),
    TEXT_FILE("/proc/#/limits", PROC_LIMITS),
    {"/proc/#/io", NODE_TEXT, LINUX_S_IFREG | 0400, PROC_IO},
    TEXT_FILE("/proc/#/environ", PROC_ENVIRON),
    TEXT_FILE("/proc/#/auxv", PROC_AUXV),
    TEXT_FILE("/proc/#/mounts", PROC_MOUNTS),
    TEXT_FILE("/proc/#/mountinfo", PROC_MOUNTINFO),
    TEXT_FILE("/proc/#/oom_score", PROC_OOM_SCORE),
    TEXT_FILE("/proc/#/wchan", PROC_WCHAN),
    TEXT_FILE("/proc/#/schedstat", PROC_SCHEDSTAT),
    TEXT_FILE("/proc/#/personality", PROC_PERSONALITY),
    TEXT_FILE("/proc/#/cgroup", PROC_CGROUP),
    KNOB_FILE("/proc/#/oom_score_adj", PROC_OOM_SCORE_ADJ),
    {"/proc/#/fd", NODE_FDS, LINUX_S_IFDIR | 0500, 0},
    {"/proc/#/fd/#", NODE_FD, LINUX_S_IFLNK | 0700, 0},
    {"/proc/#/fdinfo", NODE_FDINFOS, DIRECTORY, 0},
    {"/proc/#/fdinfo/#", NODE_TEXT, LINUX_S_IFREG | 0400, PROC_FDINFO},
    {"/proc/#/task", NODE_TASKS, DIRECTORY, 0},
    {"/proc/#/task/#", NODE_TASK, DIRECTORY, 0},
    KNOB_FILE("/proc/#/task/#/comm", PROC_TASK_COMM),
    TEXT_FILE("/proc/#/task/#/stat", PROC_TASK_STAT),
    TEXT_FILE("/proc/#/task/#/status", PROC_TASK_STATUS),
    {"/proc/#/task/#/mem", NODE_PID_MEM, LINUX_S_IFREG | 0600, 0},
    TEXT_FILE("/proc/#/task/#/maps", PROC_MAPS),
    TEXT_FILE("/proc/#/task/#/smaps", PROC_SMAPS),
    TEXT_FILE("/proc/#/task/#/smaps_rollup", PROC_SMAPS_ROLLUP),
    TEXT_FILE("/proc/#/task/#/numa_maps", PROC_NUMA_MAPS),
    TEXT_FILE("/proc/#/task/#/pagemap", PROC_PAGEMAP),
    {"/proc/#/task/#/io", NODE_TEXT, LINUX_S_IFREG | 0400, PROC_IO},
    TEXT_FILE("/proc/#/task/#/auxv", PROC_AUXV),
    TEXT_FILE("/proc/#/task/#/mounts", PROC_MOUNTS),
    TEXT_FILE("/proc/#/task/#/mountinfo", PROC_MOUNTINFO),
    TEXT_FILE("/proc/#/task/#/oom_score", PROC_OOM_SCORE),
    KNOB_FILE("/proc/#/task/#/oom_score_adj", PROC_OOM_SCORE_ADJ),
    TEXT_FILE("/proc/#/task/#/cgroup", PROC_CGROUP),
    TEXT_FILE("/proc/#/task/#/wchan", PROC_TASK_WCHAN),
    TEXT_FILE("/proc/#/task/#/schedstat", PROC_TASK_SCHEDSTAT),
    TEXT_FILE("/proc/#/task/#/children", PROC_CHILDREN),
    {"/proc/#/task/#/exe", NODE_EXE, LINK, 0},
    {"/proc/#/task/#/cwd", NODE_CWD, LINK, 0},
    {"/proc/#/task/#/root", NODE_ROOT, LINK, 0},
    TEXT_FILE("/proc/#/task/#/statm", PROC_STATM),
    TEXT_FILE("/proc/#/task/#/cmdline", PROC_CMDLINE),
    TEXT_FILE("/proc/#/task/#/limits", PROC_LIMITS),
    TEXT_FILE("/proc/#/task/#/environ", PROC_ENVIRON),
    {0},
};

/* Pseudo-terminals. */
static const struct fs_special terminal_files[] = {
    {"/dev/pts", NODE_PTYS, DIRECTORY, 0},
    {"/dev/pts/#", NODE_PTY, LINUX_S_IFCHR | 0620, PTY_DEVICE},
    {0},
};

const struct fs_special *const fs_specials[] = {proc_files,    sysctl_files,   sys_files,
                                                process_files, terminal_files, NULL};

/* ---- numbers ---- */

static int tid_from(const struct process *p, int from)
{
    const struct thread *t;
    int best = -1;

    TAILQ_FOREACH(t, &p->threads, mates)
    {
        if (t->state != THREAD_DYING && t->tid >= from && (best < 0 || t->tid < best))
            best = t->tid;
    }
    return best;
}

static int fd_from(const struct process *p, int from)
{
    for (int fd = from; p->files && fd < (int)p->files->end; fd++) {
        if (fd_get(p->files, fd))
            return fd;
    }
    return -1;
}

int fs_number_from(const struct place *dir, int from)
{
    if (dir->node->kind == NODE_PROC) {
        const struct process *p = process_next(from - 1);
        return p ? p->pid : -1;
    }
    if (dir->node->kind == NODE_PTYS)
        return pty_from(from);
    const struct process *p = process_by_pid(dir->pid);
    if (!p)
        return -1;
    return dir->node->kind == NODE_TASKS ? tid_from(p, from) : fd_from(p, from);
}

/* ---- open files ---- */

static struct file *file_at(const struct place *fd)
{
    const struct process *p = process_by_pid(fd->pid);

    return p && p->files ? fd_get(p->files, fd->number) : NULL;
}

long fs_process_fd(const struct place *fd, struct place *at)
{
    const struct file *file = file_at(fd);

    if (!file)
        return -LINUX_ENOENT;
    if (!file_has_place(file))
        return -LINUX_ENXIO;
    *at = file->place;
    return 0;
}

long fs_process_fd_text(const struct place *fd, char *to, size_t room)
{
    const struct file *file = file_at(fd);
    struct linux_stat stat;

    if (!file)
        return -LINUX_ENOENT;
    if (file_has_place(file) && !fs_is_nameless(&file->place)) {
        long bytes = fs_path(&file->place, to, room);
        return bytes < 0 ? bytes : bytes - 1;
    }
    file_stat(file, &stat);
    switch (stat.mode & LINUX_S_IFMT) {
    case LINUX_S_IFIFO:
        return snprintf(to, room, "pipe:[%lu]", stat.ino);
    case LINUX_S_IFSOCK:
        return snprintf(to, room, "socket:[%lu]", stat.ino);
    default:
        return snprintf(to, room, "anon_inode:[file]");
    }
}
