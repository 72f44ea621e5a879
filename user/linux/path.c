/*
 * Calls that name files by paths, and those on directories. The tree cannot be written, so all that
 * would change it ends in -EROFS once its arguments make sense.
 */
#include "user/linux/calls.h"

#include <string.h>

#include "user/linux/file.h"
#include "user/linux/process.h"
#include "user/linux/space.h"

static char path[LINUX_PATH_MAX]; /* of the present call, under the big lock */

/* Where relative paths of a call start: the working directory, or a directory's descriptor. */
static long base_of(struct thread *t, int64_t fd, struct place *base)
{
    if (fd == LINUX_AT_FDCWD) {
        *base = t->process->cwd;
        return 0;
    }
    struct file *file = fd_get(&t->process->files, fd);
    if (!file)
        return -LINUX_EBADF;
    if (file->kind != FILE_NODE)
        return -LINUX_ENOTDIR;
    *base = file->place;
    return 0;
}

/* The path at a client's address, into `path`: its length or -errno. */
static long read_path(struct thread *t, uint64_t address)
{
    return copy_in_string(t->process->space, path, address, sizeof(path));
}

static long find(struct thread *t, int64_t fd, long bytes, unsigned flags, struct place *place)
{
    struct place base;

    if (bytes < 0)
        return bytes;
    if (path[0] == '/') {
        base = fs_root();
    } else {
        long error = base_of(t, fd, &base);
        if (error)
            return error;
        if (bytes > 0 && !fs_is_dir(&base))
            return -LINUX_ENOTDIR;
    }
    return fs_walk(&base, path, (size_t)bytes, flags, t->process->pid, place);
}

/* A path that is to be made or changed: -EEXIST, -ENOENT for its directory and the like, or -EROFS.
 */
static long refuse_change(struct thread *t, int64_t fd, uint64_t address, bool makes)
{
    struct place place;
    long bytes = read_path(t, address);
    long error = find(t, fd, bytes, 0, &place);

    if (error == 0)
        return makes ? -LINUX_EEXIST : -LINUX_EROFS;
    if (error != -LINUX_ENOENT || bytes == 0 || !makes)
        return error;
    /* The last component may be missing; the directory must be there. */
    while (bytes > 1 && path[bytes - 1] == '/')
        bytes--;
    while (bytes > 0 && path[bytes - 1] != '/')
        bytes--;
    error = bytes ? find(t, fd, bytes, FS_FOLLOW, &place) : 0;
    return error ? error : -LINUX_EROFS;
}

/* ---- opening ---- */

static long open_place(struct thread *t, const struct place *place, uint32_t flags)
{
    bool write = (flags & LINUX_O_ACCMODE) != 0;
    bool directory = fs_is_dir(place);
    enum node_kind kind = place->node->kind;

    if (!(flags & LINUX_O_PATH)) {
        if (fs_is_link(place))
            return -LINUX_ELOOP;
        if ((flags & LINUX_O_CREAT) && (flags & LINUX_O_EXCL))
            return -LINUX_EEXIST;
        if (directory && (write || (flags & LINUX_O_CREAT)))
            return -LINUX_EISDIR;
        if ((write || (flags & LINUX_O_TRUNC)) && (kind == NODE_FILE || kind == NODE_TEXT))
            return kind == NODE_FILE ? -LINUX_EROFS : -LINUX_EACCES;
    }
    if ((flags & LINUX_O_DIRECTORY) && !directory)
        return -LINUX_ENOTDIR;
    struct file *file = file_open_place(
        place, flags & (LINUX_O_ACCMODE | LINUX_O_APPEND | LINUX_O_NONBLOCK | LINUX_O_PATH));
    if (!file)
        return -LINUX_ENFILE;
    long fd = fd_install(&t->process->files, file, 0, (flags & LINUX_O_CLOEXEC) != 0);
    if (fd < 0)
        file_put(file);
    return fd;
}

long linux_openat(struct thread *t, const uint64_t *a)
{
    uint32_t flags = (uint32_t)a[2];
    bool follow =
        !(flags & LINUX_O_NOFOLLOW) && !((flags & LINUX_O_CREAT) && (flags & LINUX_O_EXCL));
    struct place place;

    if ((flags & LINUX_O_ACCMODE) == LINUX_O_ACCMODE)
        return -LINUX_EINVAL;
    long error = find(t, (int32_t)a[0], read_path(t, a[1]), follow ? FS_FOLLOW : 0, &place);
    if (error == -LINUX_ENOENT && (flags & LINUX_O_CREAT))
        return refuse_change(t, (int32_t)a[0], a[1], true);
    return error ? error : open_place(t, &place, flags);
}

/* ---- looking ---- */

long linux_newfstatat(struct thread *t, const uint64_t *a)
{
    unsigned flags = (uint32_t)a[3];
    struct linux_stat stat;
    struct place place;

    if (flags & ~(LINUX_AT_SYMLINK_NOFOLLOW | LINUX_AT_EMPTY_PATH | 0x800))
        return -LINUX_EINVAL;
    long bytes = read_path(t, a[1]);
    if (bytes == 0 && (flags & LINUX_AT_EMPTY_PATH) && (int32_t)a[0] != LINUX_AT_FDCWD) {
        uint64_t fstat[] = {a[0], a[2]};
        return linux_fstat(t, fstat);
    }
    long error = 0;
    if (bytes == 0 && (flags & LINUX_AT_EMPTY_PATH))
        place = t->process->cwd;
    else
        error = find(t, (int32_t)a[0], bytes, flags & LINUX_AT_SYMLINK_NOFOLLOW ? 0 : FS_FOLLOW,
                     &place);
    if (error)
        return error;
    fs_stat(&place, &stat);
    return copy_out(t->process->space, a[2], &stat, sizeof(stat));
}

#define ACCESS_WRITE 2
#define ACCESS_EXEC  1

static long access_at(struct thread *t, const uint64_t *a, unsigned flags)
{
    struct place place;
    uint32_t mode = (uint32_t)a[2];

    if (mode > 7 || (flags & ~(LINUX_AT_SYMLINK_NOFOLLOW | LINUX_AT_EACCESS)))
        return -LINUX_EINVAL;
    long error = find(t, (int32_t)a[0], read_path(t, a[1]),
                      flags & LINUX_AT_SYMLINK_NOFOLLOW ? 0 : FS_FOLLOW, &place);
    if (error)
        return error;
    bool device = (place.node->mode & LINUX_S_IFMT) == LINUX_S_IFCHR;
    if ((mode & ACCESS_WRITE) && !device)
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

long linux_readlinkat(struct thread *t, const uint64_t *a)
{
    struct place place;

    if ((int32_t)a[3] <= 0)
        return -LINUX_EINVAL;
    long error = find(t, (int32_t)a[0], read_path(t, a[1]), 0, &place);
    if (error)
        return error;
    uint64_t room = a[3] < sizeof(path) ? a[3] : sizeof(path);
    long bytes = fs_link_target(&place, t->process->pid, path, room);
    if (bytes < 0)
        return bytes;
    return copy_out(t->process->space, a[2], path, (size_t)bytes) ? -LINUX_EFAULT : bytes;
}

/* One entry into `to`: its length with padding, 0 if it does not fit. */
static size_t put_entry(const struct fs_entry *entry, uint64_t next, char *to, size_t room)
{
    size_t name_bytes = strlen(entry->name) + 1;
    size_t bytes = (LINUX_DIRENT64_HEAD + name_bytes + 7) & ~7UL;
    struct linux_dirent64 head = {
        .ino = entry->ino,
        .off = (int64_t)next,
        .reclen = (uint16_t)bytes,
        .type = entry->type,
    };

    if (bytes > room)
        return 0;
    memset(to, 0, bytes);
    memcpy(to, &head, LINUX_DIRENT64_HEAD);
    memcpy(to + LINUX_DIRENT64_HEAD, entry->name, name_bytes);
    return bytes;
}

long linux_getdents64(struct thread *t, const uint64_t *a)
{
    struct file *file = fd_get(&t->process->files, (int32_t)a[0]);
    size_t room = (uint32_t)a[2] < sizeof(path) ? (uint32_t)a[2] : sizeof(path);
    struct fs_entry entry;
    size_t done = 0;

    if (!file || (file->flags & LINUX_O_PATH))
        return -LINUX_EBADF;
    if (file->kind != FILE_NODE || !fs_is_dir(&file->place))
        return -LINUX_ENOTDIR;
    uint64_t index = file->offset;
    while (fs_entry(&file->place, &index, &entry)) {
        size_t bytes = put_entry(&entry, index, path + done, room - done);
        if (bytes == 0) {
            if (done == 0)
                return -LINUX_EINVAL;
            break;
        }
        done += bytes;
        file->offset = index;
    }
    return copy_out(t->process->space, a[1], path, done) ? -LINUX_EFAULT : (long)done;
}

/* ---- the working directory ---- */

long linux_getcwd(struct thread *t, const uint64_t *a)
{
    long bytes = fs_path(&t->process->cwd, path, sizeof(path));

    if (bytes < 0 || (uint64_t)bytes > a[1])
        return -LINUX_ERANGE;
    return copy_out(t->process->space, a[0], path, (size_t)bytes) ? -LINUX_EFAULT : bytes;
}

long linux_chdir(struct thread *t, const uint64_t *a)
{
    struct place place;
    long error = find(t, LINUX_AT_FDCWD, read_path(t, a[0]), FS_FOLLOW, &place);

    if (error)
        return error;
    if (!fs_is_dir(&place))
        return -LINUX_ENOTDIR;
    t->process->cwd = place;
    return 0;
}

long linux_fchdir(struct thread *t, const uint64_t *a)
{
    struct place place;
    long error = base_of(t, (int32_t)a[0], &place);

    if (error)
        return error;
    if ((int32_t)a[0] < 0 || !fs_is_dir(&place))
        return (int32_t)a[0] < 0 ? -LINUX_EBADF : -LINUX_ENOTDIR;
    t->process->cwd = place;
    return 0;
}

/* ---- what would change the tree ---- */

long linux_mkdirat(struct thread *t, const uint64_t *a)
{
    return refuse_change(t, (int32_t)a[0], a[1], true);
}

long linux_mknodat(struct thread *t, const uint64_t *a)
{
    return refuse_change(t, (int32_t)a[0], a[1], true);
}

long linux_symlinkat(struct thread *t, const uint64_t *a)
{
    return refuse_change(t, (int32_t)a[1], a[2], true);
}

long linux_linkat(struct thread *t, const uint64_t *a)
{
    long error = refuse_change(t, (int32_t)a[0], a[1], false);

    return error == -LINUX_EROFS ? refuse_change(t, (int32_t)a[2], a[3], true) : error;
}

long linux_unlinkat(struct thread *t, const uint64_t *a)
{
    return refuse_change(t, (int32_t)a[0], a[1], false);
}

long linux_renameat2(struct thread *t, const uint64_t *a)
{
    return refuse_change(t, (int32_t)a[0], a[1], false);
}

long linux_truncate(struct thread *t, const uint64_t *a)
{
    return refuse_change(t, LINUX_AT_FDCWD, a[0], false);
}

long linux_fchmodat(struct thread *t, const uint64_t *a)
{
    return refuse_change(t, (int32_t)a[0], a[1], false);
}

long linux_fchownat(struct thread *t, const uint64_t *a)
{
    return refuse_change(t, (int32_t)a[0], a[1], false);
}

long linux_utimensat(struct thread *t, const uint64_t *a)
{
    if (a[1] == 0)
        return fd_get(&t->process->files, (int32_t)a[0]) ? -LINUX_EROFS : -LINUX_EBADF;
    return refuse_change(t, (int32_t)a[0], a[1], false);
}
