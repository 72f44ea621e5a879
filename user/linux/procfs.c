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

const struct fs_special fs_specials[] = {
    {"/proc", NODE_PROC, DIRECTORY, 0},
    {"/proc/self", NODE_SELF, LINK, 0},
    {"/proc/thread-self", NODE_THREAD_SELF, LINK, 0},
    {"/proc/meminfo", NODE_TEXT, TEXT_MODE, PROC_MEMINFO},
    {"/proc/vmstat", NODE_TEXT, TEXT_MODE, PROC_VMSTAT},
    {"/proc/buddyinfo", NODE_TEXT, TEXT_MODE, PROC_BUDDYINFO},
    {"/proc/pagetypeinfo", NODE_TEXT, TEXT_MODE, PROC_PAGETYPEINFO},
    {"/proc/zoneinfo", NODE_TEXT, TEXT_MODE, PROC_ZONEINFO},
    {"/proc/vmallocinfo", NODE_TEXT, TEXT_MODE, PROC_VMALLOCINFO},
    {"/proc/slabinfo", NODE_TEXT, TEXT_MODE, PROC_SLABINFO},
    {"/proc/iomem", NODE_TEXT, LINUX_S_IFREG | 0400, PROC_IOMEM},
    {"/proc/stat", NODE_TEXT, TEXT_MODE, PROC_SYSTEM_STAT},
    {"/proc/uptime", NODE_TEXT, TEXT_MODE, PROC_UPTIME},
    {"/proc/cmdline", NODE_TEXT, TEXT_MODE, PROC_KERNEL_CMDLINE},
    {"/proc/cpuinfo", NODE_TEXT, TEXT_MODE, PROC_CPUINFO},
    {"/proc/version", NODE_TEXT, TEXT_MODE, PROC_VERSION},
    {"/proc/pagoda/stat", NODE_TEXT, TEXT_MODE, PROC_PAGODA_STAT},
    {"/proc/pagoda/faults", NODE_TEXT, TEXT_MODE, PROC_PAGODA_FAULTS},
    {"/proc/pagoda/caps", NODE_TEXT, TEXT_MODE, PROC_PAGODA_CAPS},
    {"/proc/pagoda/memblock", NODE_TEXT, TEXT_MODE, PROC_PAGODA_MEMBLOCK},
    {"/proc/pagoda/leaks", NODE_TEXT, TEXT_MODE, PROC_PAGODA_LEAKS},
    {"/proc/pagoda/leaks_mark", NODE_TEXT, TEXT_MODE, PROC_PAGODA_LEAK_MARK},
    {"/proc/pagoda/leaks_scan", NODE_TEXT, TEXT_MODE, PROC_PAGODA_LEAK_SCAN},
    {"/proc/pagoda/check", NODE_TEXT, TEXT_MODE, PROC_PAGODA_CHECK},
    {"/proc/pagoda/memmap", NODE_TEXT, TEXT_MODE, PROC_PAGODA_MEMMAP},
    {"/proc/pagoda/cma", NODE_TEXT, KNOB_MODE, PROC_PAGODA_CMA},
    {"/proc/pagoda/contig", NODE_TEXT, KNOB_MODE, PROC_PAGODA_CONTIG},
    {"/proc/sysvipc/shm", NODE_TEXT, TEXT_MODE, PROC_SYSVIPC_SHM},
    {"/proc/sys/vm/nr_hugepages", NODE_TEXT, KNOB_MODE, PROC_SYS_NR_HUGEPAGES},
    {"/proc/sys/vm/compact_memory", NODE_TEXT, LINUX_S_IFREG | 0200, PROC_SYS_COMPACT_MEMORY},
    {"/proc/sys/vm/compaction_proactiveness", NODE_TEXT, KNOB_MODE,
     PROC_SYS_COMPACTION_PROACTIVENESS},
    {"/proc/loadavg", NODE_TEXT, TEXT_MODE, PROC_LOADAVG},
    {"/proc/filesystems", NODE_TEXT, TEXT_MODE, PROC_FILESYSTEMS},
    {"/proc/swaps", NODE_TEXT, TEXT_MODE, PROC_SWAPS},
    {"/proc/devices", NODE_TEXT, TEXT_MODE, PROC_DEVICES},
    {"/proc/mounts", NODE_TEXT, TEXT_MODE, PROC_MOUNTS},
    {"/proc/sys/kernel/osrelease", NODE_TEXT, TEXT_MODE, PROC_KERNEL_OSRELEASE},
    {"/proc/sys/kernel/ostype", NODE_TEXT, TEXT_MODE, PROC_KERNEL_OSTYPE},
    {"/proc/sys/kernel/version", NODE_TEXT, TEXT_MODE, PROC_KERNEL_VERSION},
    {"/proc/sys/kernel/hostname", NODE_TEXT, TEXT_MODE, PROC_KERNEL_HOSTNAME},
    {"/proc/sys/kernel/domainname", NODE_TEXT, TEXT_MODE, PROC_KERNEL_DOMAINNAME},
    {"/proc/sys/kernel/pid_max", NODE_TEXT, TEXT_MODE, PROC_KERNEL_PID_MAX},
    {"/proc/sys/kernel/threads-max", NODE_TEXT, TEXT_MODE, PROC_KERNEL_THREADS_MAX},
    {"/proc/sys/kernel/cap_last_cap", NODE_TEXT, TEXT_MODE, PROC_KERNEL_CAP_LAST},
    {"/proc/sys/kernel/random/boot_id", NODE_TEXT, TEXT_MODE, PROC_RANDOM_BOOT_ID},
    {"/proc/sys/kernel/random/uuid", NODE_TEXT, TEXT_MODE, PROC_RANDOM_UUID},
    {"/proc/sys/kernel/random/entropy_avail", NODE_TEXT, TEXT_MODE, PROC_RANDOM_ENTROPY},
    {"/proc/sys/fs/file-max", NODE_TEXT, TEXT_MODE, PROC_FS_FILE_MAX},
    {"/proc/sys/fs/nr_open", NODE_TEXT, TEXT_MODE, PROC_FS_NR_OPEN},
    {"/proc/sys/fs/inotify/max_queued_events", NODE_TEXT, TEXT_MODE, PROC_INOTIFY_EVENTS},
    {"/proc/sys/fs/inotify/max_user_instances", NODE_TEXT, TEXT_MODE, PROC_INOTIFY_INSTANCES},
    {"/proc/sys/fs/inotify/max_user_watches", NODE_TEXT, TEXT_MODE, PROC_INOTIFY_WATCHES},
    {"/proc/sys/vm/overcommit_memory", NODE_TEXT, KNOB_MODE, PROC_SYS_OVERCOMMIT_MEMORY},
    {"/proc/sys/vm/max_map_count", NODE_TEXT, KNOB_MODE, PROC_SYS_MAX_MAP_COUNT},
    {"/proc/sys/vm/overcommit_ratio", NODE_TEXT, KNOB_MODE, PROC_SYS_OVERCOMMIT_RATIO},
    {"/proc/sys/vm/min_free_kbytes", NODE_TEXT, KNOB_MODE, PROC_SYS_MIN_FREE},
    {"/proc/sys/vm/drop_caches", NODE_TEXT, LINUX_S_IFREG | 0200, PROC_SYS_DROP_CACHES},
    {"/proc/sys/vm/nr_overcommit_hugepages", NODE_TEXT, TEXT_MODE, PROC_ZERO},
    {"/proc/sys/vm/swappiness", NODE_TEXT, KNOB_MODE, PROC_SYS_SWAPPINESS},
    {"/sys/devices/system/cpu/online", NODE_TEXT, TEXT_MODE, PROC_CPUS},
    {"/sys/devices/system/cpu/possible", NODE_TEXT, TEXT_MODE, PROC_CPUS},
    {"/sys/devices/system/cpu/present", NODE_TEXT, TEXT_MODE, PROC_CPUS},
    {"/sys/devices/system/node/online", NODE_TEXT, TEXT_MODE, PROC_NODES},
    {"/sys/devices/system/node/possible", NODE_TEXT, TEXT_MODE, PROC_NODES},
    {"/sys/devices/system/node/has_memory", NODE_TEXT, TEXT_MODE, PROC_NODES},
    {"/sys/devices/system/node/has_cpu", NODE_TEXT, TEXT_MODE, PROC_NODES},
    {"/sys/devices/system/node/node0/meminfo", NODE_TEXT, TEXT_MODE, PROC_NODE_MEMINFO},
    {"/sys/devices/system/node/node0/cpulist", NODE_TEXT, TEXT_MODE, PROC_CPUS},
    {"/sys/devices/system/node/node0/distance", NODE_TEXT, TEXT_MODE, PROC_NODE_DISTANCE},
    {THP "enabled", NODE_TEXT, KNOB_MODE, PROC_HUGE_ENABLED},
    {THP "defrag", NODE_TEXT, KNOB_MODE, PROC_HUGE_DEFRAG},
    {THP "use_zero_page", NODE_TEXT, KNOB_MODE, PROC_HUGE_ZERO_PAGE},
    {THP "hpage_pmd_size", NODE_TEXT, TEXT_MODE, PROC_HUGE_PAGE_SIZE},
    {KSM "run", NODE_TEXT, KNOB_MODE, PROC_KSM_RUN},
    {KSM "pages_shared", NODE_TEXT, TEXT_MODE, PROC_ZERO},
    {KSM "pages_sharing", NODE_TEXT, TEXT_MODE, PROC_ZERO},
    {KSM "pages_unshared", NODE_TEXT, TEXT_MODE, PROC_ZERO},
    {KSM "pages_volatile", NODE_TEXT, TEXT_MODE, PROC_ZERO},
    {KSM "full_scans", NODE_TEXT, TEXT_MODE, PROC_ZERO},
    {"/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", NODE_TEXT, KNOB_MODE,
     PROC_SYS_NR_HUGEPAGES},
    {"/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", NODE_TEXT, TEXT_MODE,
     PROC_HUGE_FREE},
    {"/sys/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages", NODE_TEXT, TEXT_MODE,
     PROC_HUGE_RESERVED},
    {"/sys/kernel/mm/hugepages/hugepages-2048kB/surplus_hugepages", NODE_TEXT, TEXT_MODE,
     PROC_HUGE_SURPLUS},
    {"/proc/#", NODE_PID, DIRECTORY, 0},
    {"/proc/#/exe", NODE_EXE, LINK, 0},
    {"/proc/#/cwd", NODE_CWD, LINK, 0},
    {"/proc/#/maps", NODE_TEXT, TEXT_MODE, PROC_MAPS},
    {"/proc/#/smaps", NODE_TEXT, TEXT_MODE, PROC_SMAPS},
    {"/proc/#/mem", NODE_PID_MEM, LINUX_S_IFREG | 0600, 0},
    {"/proc/#/pagemap", NODE_TEXT, TEXT_MODE, PROC_PAGEMAP},
    {"/proc/#/stat", NODE_TEXT, TEXT_MODE, PROC_STAT},
    {"/proc/#/statm", NODE_TEXT, TEXT_MODE, PROC_STATM},
    {"/proc/#/status", NODE_TEXT, TEXT_MODE, PROC_STATUS},
    {"/proc/#/cmdline", NODE_TEXT, TEXT_MODE, PROC_CMDLINE},
    {"/proc/#/comm", NODE_TEXT, TEXT_MODE, PROC_COMM},
    {"/proc/#/caps", NODE_TEXT, TEXT_MODE, PROC_CAPS},
    {"/proc/#/root", NODE_ROOT, LINK, 0},
    {"/proc/#/smaps_rollup", NODE_TEXT, TEXT_MODE, PROC_SMAPS_ROLLUP},
    {"/proc/#/limits", NODE_TEXT, TEXT_MODE, PROC_LIMITS},
    {"/proc/#/environ", NODE_TEXT, TEXT_MODE, PROC_ENVIRON},
    {"/proc/#/auxv", NODE_TEXT, TEXT_MODE, PROC_AUXV},
    {"/proc/#/mounts", NODE_TEXT, TEXT_MODE, PROC_MOUNTS},
    {"/proc/#/mountinfo", NODE_TEXT, TEXT_MODE, PROC_MOUNTINFO},
    {"/proc/#/oom_score", NODE_TEXT, TEXT_MODE, PROC_OOM_SCORE},
    {"/proc/#/wchan", NODE_TEXT, TEXT_MODE, PROC_WCHAN},
    {"/proc/#/cgroup", NODE_TEXT, TEXT_MODE, PROC_CGROUP},
    {"/proc/#/oom_score_adj", NODE_TEXT, KNOB_MODE, PROC_OOM_SCORE_ADJ},
    {"/proc/#/fd", NODE_FDS, LINUX_S_IFDIR | 0500, 0},
    {"/proc/#/fd/#", NODE_FD, LINUX_S_IFLNK | 0700, 0},
    {"/proc/#/fdinfo", NODE_FDINFOS, DIRECTORY, 0},
    {"/proc/#/fdinfo/#", NODE_TEXT, LINUX_S_IFREG | 0400, PROC_FDINFO},
    {"/proc/#/task", NODE_TASKS, DIRECTORY, 0},
    {"/proc/#/task/#", NODE_TASK, DIRECTORY, 0},
    {"/proc/#/task/#/comm", NODE_TEXT, KNOB_MODE, PROC_TASK_COMM},
    {"/proc/#/task/#/stat", NODE_TEXT, TEXT_MODE, PROC_TASK_STAT},
    {"/proc/#/task/#/status", NODE_TEXT, TEXT_MODE, PROC_TASK_STATUS},
    {"/proc/#/task/#/mem", NODE_PID_MEM, LINUX_S_IFREG | 0600, 0},
    {"/proc/#/task/#/maps", NODE_TEXT, TEXT_MODE, PROC_MAPS},
    {"/proc/#/task/#/smaps", NODE_TEXT, TEXT_MODE, PROC_SMAPS},
    {"/proc/#/task/#/statm", NODE_TEXT, TEXT_MODE, PROC_STATM},
    {"/proc/#/task/#/cmdline", NODE_TEXT, TEXT_MODE, PROC_CMDLINE},
    {"/proc/#/task/#/limits", NODE_TEXT, TEXT_MODE, PROC_LIMITS},
    {"/proc/#/task/#/environ", NODE_TEXT, TEXT_MODE, PROC_ENVIRON},
    {"/dev/pts", NODE_PTYS, DIRECTORY, 0},
    {"/dev/pts/#", NODE_PTY, LINUX_S_IFCHR | 0620, PTY_DEVICE},
    {NULL, NODE_DIR, 0, 0},
};

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
