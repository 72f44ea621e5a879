/* What is known of files beside their bytes: stat in its forms, access, modes, owners, times, and
 * the file systems they are in. */
#include <string.h>

#include "user/linux/calls.h"
#include "user/linux/file.h"
#include "user/linux/inotify.h"
#include "user/linux/memfile.h"
#include "user/linux/mmcall.h"
#include "user/linux/path.h"
#include "user/linux/proc.h"
#include "user/linux/process.h"
#include "user/linux/space.h"
#include "user/linux/time.h"

#define PAGE_BYTES 4096

/* FS_* for the AT_* of a call whose last link is followed unless it says no. */
static unsigned walk_flags(uint32_t at)
{
    return (at & LINUX_AT_SYMLINK_NOFOLLOW ? 0 : FS_FOLLOW) |
           (at & LINUX_AT_EMPTY_PATH ? PATH_EMPTY : 0);
}

/* ---- stat ---- */

/* An empty path may be that of a descriptor without a place: a socket. */
static long stat_at(struct thread *t, int32_t fd, uint64_t address, uint32_t at,
                    struct linux_stat *stat)
{
    struct place place;
    long error = path_find(t, fd, address, walk_flags(at), &place);
    struct file *file = fd_get(t->process->files, fd);

    if (error == 0)
        memfile_stat(&place, stat);
    if (error != -LINUX_ENOTDIR || !file || file_has_place(file) || !(at & LINUX_AT_EMPTY_PATH))
        return error;
    file_stat(file, stat);
    return 0;
}

long linux_newfstatat(struct thread *t, const uint64_t *a)
{
    uint32_t flags = (uint32_t)a[3];
    struct linux_stat stat;

    if (flags &
        ~(uint32_t)(LINUX_AT_SYMLINK_NOFOLLOW | LINUX_AT_EMPTY_PATH | LINUX_AT_NO_AUTOMOUNT))
        return -LINUX_EINVAL;
    long error = stat_at(t, (int32_t)a[0], a[1], flags, &stat);
    return error ? error : copy_out(t->process->space, a[2], &stat, sizeof(stat));
}

static struct linux_statx_time statx_time(const struct linux_timespec *time)
{
    return (struct linux_statx_time){.sec = time->sec, .nsec = (uint32_t)time->nsec};
}

long linux_statx(struct thread *t, const uint64_t *a)
{
    uint32_t flags = (uint32_t)a[2];
    struct linux_stat s;

    if ((flags & ~(uint32_t)(LINUX_AT_SYMLINK_NOFOLLOW | LINUX_AT_EMPTY_PATH |
                             LINUX_AT_NO_AUTOMOUNT | LINUX_AT_STATX_SYNC)) ||
        (flags & LINUX_AT_STATX_SYNC) == LINUX_AT_STATX_SYNC || (a[3] & LINUX_STATX_RESERVED))
        return -LINUX_EINVAL;
    long error = stat_at(t, (int32_t)a[0], a[1], flags, &s);
    if (error)
        return error;
    const struct linux_statx statx = {
        .mask = LINUX_STATX_BASIC,
        .blksize = (uint32_t)s.blksize,
        .nlink = s.nlink,
        .uid = s.uid,
        .gid = s.gid,
        .mode = (uint16_t)s.mode,
        .ino = s.ino,
        .size = (uint64_t)s.size,
        .blocks = (uint64_t)s.blocks,
        .atime = statx_time(&s.atime),
        .ctime = statx_time(&s.ctime),
        .mtime = statx_time(&s.mtime),
        .rdev_major = fs_major(s.rdev),
        .rdev_minor = fs_minor(s.rdev),
        .dev_major = fs_major(s.dev),
        .dev_minor = fs_minor(s.dev),
    };
    return copy_out(t->process->space, a[4], &statx, sizeof(statx));
}

/* ---- access ---- */

#define ACCESS_WRITE 2
#define ACCESS_EXEC  1

static long access_at(struct thread *t, const uint64_t *a, uint32_t flags)
{
    struct place place;
    uint32_t mode = (uint32_t)a[2];

    if (mode > 7 ||
        (flags & ~(uint32_t)(LINUX_AT_SYMLINK_NOFOLLOW | LINUX_AT_EACCESS | LINUX_AT_EMPTY_PATH)))
        return -LINUX_EINVAL;
    long error = path_find(t, (int32_t)a[0], a[1], walk_flags(flags), &place);
    if (error)
        return error;
    bool device = fs_is_device(&place);
    bool knob = (place.node->kind == NODE_TEXT || place.node->kind == NODE_PID_MEM) &&
                (place.node->mode & 0200);
    if ((mode & ACCESS_WRITE) && !device && !knob && !place.node->memory)
        return -LINUX_EROFS;
    if ((mode & ACCESS_EXEC) && !fs_is_dir(&place) && !(place.node->mode & 0111))
        return -LINUX_EACCES;
    return 0;
}

long linux_faccessat(struct thread *t, const uint64_t *a)
{
    return access_at(t, a, 0);
}

long linux_faccessat2(struct thread *t, const uint64_t *a)
{
    return access_at(t, a, (uint32_t)a[3]);
}

/* ---- modes and owners ---- */

static long change_mode(struct node *node, uint32_t mode)
{
    if (!node->memory)
        return -LINUX_EROFS;
    if (node->kind == NODE_LINK)
        return -LINUX_EOPNOTSUPP;
    /* F_SEAL_EXEC: whether it may be executed stays. */
    if (node->kind == NODE_MEMORY && node->seals && ((node->mode ^ mode) & 0111)) {
        const struct file file = {.kind = FILE_NODE, .place = {.node = node}};
        if (memfile_get_seals(&file) & LINUX_F_SEAL_EXEC)
            return -LINUX_EPERM;
    }
    node->mode = (node->mode & LINUX_S_IFMT) | (mode & 07777);
    node_stamp(node, STAMP_CHANGED);
    inotify_node(node, LINUX_IN_ATTRIB);
    return 0;
}

static long mode_at(struct thread *t, const uint64_t *a, uint32_t flags)
{
    struct node *node;

    if (flags & ~(uint32_t)(LINUX_AT_SYMLINK_NOFOLLOW | LINUX_AT_EMPTY_PATH))
        return -LINUX_EINVAL;
    long error = path_find_changed(t, (int32_t)a[0], a[1], walk_flags(flags), &node);
    return error ? error : change_mode(node, (uint32_t)a[2]);
}

long linux_fchmodat(struct thread *t, const uint64_t *a)
{
    return mode_at(t, a, 0);
}

long linux_fchmodat2(struct thread *t, const uint64_t *a)
{
    return mode_at(t, a, (uint32_t)a[3]);
}

long linux_fchmod(struct thread *t, const uint64_t *a)
{
    struct file *file = fd_get(t->process->files, (int32_t)a[0]);

    if (!file || (file->flags & LINUX_O_PATH))
        return -LINUX_EBADF;
    return file_has_place(file) ? change_mode(file->place.node, (uint32_t)a[1]) : -LINUX_EROFS;
}

/* -1 leaves one of them as it is. A program loses what it could do as its owner. */
static long change_owner(struct node *node, uint32_t uid, uint32_t gid)
{
    if (!node->memory)
        return -LINUX_EROFS;
    if (uid != UINT32_MAX)
        node->uid = uid;
    if (gid != UINT32_MAX)
        node->gid = gid;
    if (node->kind != NODE_DIR)
        node->mode &= ~(uint32_t)(LINUX_S_ISUID | (node->mode & 010 ? LINUX_S_ISGID : 0));
    node_stamp(node, STAMP_CHANGED);
    inotify_node(node, LINUX_IN_ATTRIB);
    return 0;
}

long linux_fchownat(struct thread *t, const uint64_t *a)
{
    uint32_t flags = (uint32_t)a[4];
    struct node *node;

    if (flags & ~(uint32_t)(LINUX_AT_SYMLINK_NOFOLLOW | LINUX_AT_EMPTY_PATH))
        return -LINUX_EINVAL;
    long error = path_find_changed(t, (int32_t)a[0], a[1], walk_flags(flags), &node);
    return error ? error : change_owner(node, (uint32_t)a[2], (uint32_t)a[3]);
}

long linux_fchown(struct thread *t, const uint64_t *a)
{
    struct file *file = fd_get(t->process->files, (int32_t)a[0]);

    if (!file || (file->flags & LINUX_O_PATH))
        return -LINUX_EBADF;
    return file_has_place(file) ? change_owner(file->place.node, (uint32_t)a[1], (uint32_t)a[2])
                                : -LINUX_EROFS;
}

/* ---- times ---- */

static bool time_makes_sense(const struct linux_timespec *time)
{
    return time->nsec == LINUX_UTIME_NOW || time->nsec == LINUX_UTIME_OMIT ||
           (time->nsec >= 0 && time->nsec < 1000000000);
}

static void set_time(struct linux_timespec *of, const struct linux_timespec *to,
                     const struct linux_timespec *now)
{
    if (to->nsec == LINUX_UTIME_NOW)
        *of = *now;
    else if (to->nsec != LINUX_UTIME_OMIT)
        *of = *to;
}

/* The node of utimensat, which without a path means the descriptor's file. */
static long timed_node(struct thread *t, const uint64_t *a, struct node **node)
{
    if (a[1])
        return path_find_changed(t, (int32_t)a[0], a[1], walk_flags((uint32_t)a[3]), node);
    struct file *file = fd_get(t->process->files, (int32_t)a[0]);
    if (!file || (file->flags & LINUX_O_PATH))
        return -LINUX_EBADF;
    if (!file_has_place(file) || !file->place.node->memory)
        return -LINUX_EROFS;
    *node = file->place.node;
    return 0;
}

long linux_utimensat(struct thread *t, const uint64_t *a)
{
    struct linux_timespec time[2] = {{0, LINUX_UTIME_NOW}, {0, LINUX_UTIME_NOW}};
    const struct linux_timespec now = time_real();
    struct node *node;

    if ((uint32_t)a[3] & ~(uint32_t)(LINUX_AT_SYMLINK_NOFOLLOW | LINUX_AT_EMPTY_PATH))
        return -LINUX_EINVAL;
    if (a[2] && copy_in(t->process->space, time, a[2], sizeof(time)))
        return -LINUX_EFAULT;
    if (!time_makes_sense(&time[0]) || !time_makes_sense(&time[1]))
        return -LINUX_EINVAL;
    if (time[0].nsec == LINUX_UTIME_OMIT && time[1].nsec == LINUX_UTIME_OMIT)
        return 0;
    long error = timed_node(t, a, &node);
    if (error)
        return error;
    set_time(&node->accessed, &time[0], &now);
    set_time(&node->modified, &time[1], &now);
    node->changed = now;
    inotify_node(node, time[0].nsec == LINUX_UTIME_OMIT   ? LINUX_IN_MODIFY
                       : time[1].nsec == LINUX_UTIME_OMIT ? LINUX_IN_ACCESS
                                                          : LINUX_IN_ATTRIB);
    return 0;
}

/* ---- file systems ---- */

/* /proc, the archive, or a memory file system: half of the memory, as Linux gives a tmpfs. */
static void statfs_of(const struct place *place, struct linux_statfs *statfs)
{
    const struct node *node = place->node;
    bool process = place->pid || node->kind == NODE_TEXT || node->kind == NODE_PROC;

    *statfs = (struct linux_statfs){
        .type = process        ? LINUX_PROC_MAGIC
                : node->memory ? LINUX_TMPFS_MAGIC
                               : LINUX_RAMFS_MAGIC,
        .bsize = PAGE_BYTES,
        .frsize = PAGE_BYTES,
        .namelen = LINUX_NAME_MAX,
    };
    if (node->huge) {
        statfs->type = LINUX_HUGETLBFS_MAGIC;
        statfs->bsize = statfs->frsize = 1L << LINUX_HUGE_PAGE_SHIFT;
        return;
    }
    if (!node->memory)
        return;
    uint64_t pages_kib = PAGE_BYTES / 1024;
    uint64_t total = proc_report_number(MM_REPORT_MEMINFO, "MemTotal") / pages_kib / 2;
    uint64_t free = proc_report_number(MM_REPORT_MEMINFO, "MemFree") / pages_kib;
    statfs->blocks = total;
    statfs->bfree = statfs->bavail = free < total ? free : total;
    statfs->files = total;
    statfs->ffree = statfs->bfree;
}

/* ---- swap, which there is none of: nothing can be made one, and nothing is one ---- */

static long no_swap(struct thread *t, uint64_t path)
{
    struct place place;
    long error = cred_can(&t->process->cred, CAP_SYS_ADMIN) ? 0 : -LINUX_EPERM;

    if (!error)
        error = path_find(t, LINUX_AT_FDCWD, path, FS_FOLLOW, &place);
    return error ? error : -LINUX_EINVAL;
}

long linux_swapon(struct thread *t, const uint64_t *a)
{
    return no_swap(t, a[0]);
}

long linux_swapoff(struct thread *t, const uint64_t *a)
{
    return no_swap(t, a[0]);
}

/* ---- statfs ---- */

long linux_statfs(struct thread *t, const uint64_t *a)
{
    struct linux_statfs statfs;
    struct place place;
    long error = path_find(t, LINUX_AT_FDCWD, a[0], FS_FOLLOW, &place);

    if (error)
        return error;
    statfs_of(&place, &statfs);
    return copy_out(t->process->space, a[1], &statfs, sizeof(statfs));
}

long linux_fstatfs(struct thread *t, const uint64_t *a)
{
    struct file *file = fd_get(t->process->files, (int32_t)a[0]);
    struct linux_statfs statfs = {.type = LINUX_PIPEFS_MAGIC,
                                  .bsize = PAGE_BYTES,
                                  .frsize = PAGE_BYTES,
                                  .namelen = LINUX_NAME_MAX};

    if (!file)
        return -LINUX_EBADF;
    if (file_has_place(file) && !fs_is_nameless(&file->place))
        statfs_of(&file->place, &statfs);
    return copy_out(t->process->space, a[1], &statfs, sizeof(statfs));
}

/* ---- advice ---- */

/* Nothing is read ahead and nothing is kept that costs anything: all advice is taken as read. */
long linux_fadvise64(struct thread *t, const uint64_t *a)
{
    struct file *file = fd_get(t->process->files, (int32_t)a[0]);

    if (!file || (file->flags & LINUX_O_PATH))
        return -LINUX_EBADF;
    if (file->kind == FILE_PIPE)
        return -LINUX_ESPIPE;
    return (int64_t)a[2] < 0 || (uint32_t)a[3] > LINUX_FADV_NOREUSE ? -LINUX_EINVAL : 0;
}
