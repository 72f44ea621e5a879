/*
 * Calls that name files by paths, and those on directories. Only /tmp and /dev/shm can be written;
 * what would change the rest of the tree ends in -EROFS once its arguments make sense.
 */
#include "user/linux/calls.h"

#include <string.h>

#include "user/linux/file.h"
#include "user/linux/memfile.h"
#include "user/linux/path.h"
#include "user/linux/process.h"
#include "user/linux/space.h"

static char path[LINUX_PATH_MAX]; /* of the present call, under the big lock */

/* Where relative paths of a call start: the working directory, or a directory's descriptor. */
static long base_of(struct thread *t, int64_t fd, struct place *base)
{
    if (fd == LINUX_AT_FDCWD) {
        *base = t->process->fs->cwd;
        return 0;
    }
    struct file *file = fd_get(t->process->files, fd);
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

/* Where a name is to be made: its directory, and the name, which is a part of `path`. */
struct new_name {
    struct node *dir;
    const char *name;
    size_t bytes;
};

/* The path in `path`, of `bytes` bytes, names nothing yet: 0, -EEXIST, -EROFS, or what is wrong
 * with the directory that it names. */
static long find_new(struct thread *t, int64_t fd, long bytes, struct new_name *new)
{
    struct place place;
    long error = find(t, fd, bytes, 0, &place);

    if (error == 0)
        return -LINUX_EEXIST;
    if (error != -LINUX_ENOENT || bytes == 0)
        return error;
    while (bytes > 1 && path[bytes - 1] == '/')
        bytes--;
    long end = bytes;
    while (bytes > 0 && path[bytes - 1] != '/')
        bytes--;
    /* The last component may be missing; the directory must be there. */
    if (bytes)
        error = find(t, fd, bytes, FS_FOLLOW, &place);
    else
        error = base_of(t, fd, &place);
    if (error)
        return error;
    if (!fs_is_dir(&place))
        return -LINUX_ENOTDIR;
    *new = (struct new_name){place.node, path + bytes, (size_t)(end - bytes)};
    return place.node->memory ? 0 : -LINUX_EROFS;
}

/* The node at a client's path, which is to be changed: 0, -EROFS or what is wrong with the path. */
static long find_changed(struct thread *t, int64_t fd, uint64_t address, unsigned flags,
                         struct node **node)
{
    struct place place;
    long error = find(t, fd, read_path(t, address), flags, &place);

    if (error)
        return error;
    *node = place.node;
    return place.node->memory ? 0 : -LINUX_EROFS;
}

/* ---- opening ---- */

static long open_place(struct thread *t, const struct place *place, uint32_t flags)
{
    bool write = (flags & LINUX_O_ACCMODE) != 0;
    bool directory = fs_is_dir(place);
    enum node_kind kind = place->node->kind;

    if (!(flags & LINUX_O_PATH)) {
        if (kind == NODE_SOCKET)
            return -LINUX_ENXIO;
        if (fs_is_link(place))
            return -LINUX_ELOOP;
        if ((flags & LINUX_O_CREAT) && (flags & LINUX_O_EXCL))
            return -LINUX_EEXIST;
        if (directory && (write || (flags & LINUX_O_CREAT)))
            return -LINUX_EISDIR;
        bool knob = kind == NODE_TEXT && (place->node->mode & 0200);
        if ((write || (flags & LINUX_O_TRUNC)) && !knob && (kind == NODE_FILE || kind == NODE_TEXT))
            return kind == NODE_FILE ? -LINUX_EROFS : -LINUX_EACCES;
    }
    if ((flags & LINUX_O_DIRECTORY) && !directory)
        return -LINUX_ENOTDIR;
    if ((flags & (LINUX_O_TRUNC | LINUX_O_PATH)) == LINUX_O_TRUNC && kind == NODE_MEMORY) {
        long error = memfile_resize(place->node, 0);
        if (error)
            return error;
    }
    struct file *file = file_open_place(
        place, flags & (LINUX_O_ACCMODE | LINUX_O_APPEND | LINUX_O_NONBLOCK | LINUX_O_PATH));
    if (!file)
        return -LINUX_ENFILE;
    long fd = fd_install(t->process->files, file, 0, (flags & LINUX_O_CLOEXEC) != 0);
    if (fd < 0)
        file_put(file);
    return fd;
}

/* The path names nothing yet. */
static long open_new(struct thread *t, int64_t at, long bytes, uint32_t flags, uint32_t mode)
{
    struct new_name new;
    struct node *node;
    long error = find_new(t, at, bytes, &new);

    if (error)
        return error;
    if (path[bytes - 1] == '/' || (flags & LINUX_O_DIRECTORY))
        return flags & LINUX_O_DIRECTORY ? -LINUX_EINVAL : -LINUX_EISDIR;
    error =
        memfile_make(new.dir, new.name, new.bytes, mode & 07777 & ~t->process->fs->umask, &node);
    if (error)
        return error;
    const struct place place = {.node = node};
    return open_place(t, &place, flags & ~(uint32_t)(LINUX_O_CREAT | LINUX_O_EXCL | LINUX_O_TRUNC));
}

long linux_openat(struct thread *t, const uint64_t *a)
{
    uint32_t flags = (uint32_t)a[2];
    bool follow =
        !(flags & LINUX_O_NOFOLLOW) && !((flags & LINUX_O_CREAT) && (flags & LINUX_O_EXCL));
    struct place place;

    if ((flags & LINUX_O_ACCMODE) == LINUX_O_ACCMODE)
        return -LINUX_EINVAL;
    long bytes = read_path(t, a[1]);
    long error = find(t, (int32_t)a[0], bytes, follow ? FS_FOLLOW : 0, &place);
    if (error == -LINUX_ENOENT && (flags & LINUX_O_CREAT))
        return open_new(t, (int32_t)a[0], bytes, flags, (uint32_t)a[3]);
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
        place = t->process->fs->cwd;
    else
        error = find(t, (int32_t)a[0], bytes, flags & LINUX_AT_SYMLINK_NOFOLLOW ? 0 : FS_FOLLOW,
                     &place);
    if (error)
        return error;
    memfile_stat(&place, &stat);
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
    bool knob = place.node->kind == NODE_TEXT && (place.node->mode & 0200);
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
    struct file *file = fd_get(t->process->files, (int32_t)a[0]);
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
    long bytes = fs_path(&t->process->fs->cwd, path, sizeof(path));

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
    t->process->fs->cwd = place;
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
    t->process->fs->cwd = place;
    return 0;
}

/* ---- what changes the tree ---- */

long linux_mkdirat(struct thread *t, const uint64_t *a)
{
    uint32_t mode = (uint32_t)a[2] & 01777 & ~t->process->fs->umask;
    struct new_name new;
    long error = find_new(t, (int32_t)a[0], read_path(t, a[1]), &new);

    if (error)
        return error;
    return fs_make(new.dir, new.name, new.bytes, NODE_DIR, LINUX_S_IFDIR | mode) ? 0
                                                                                 : -LINUX_ENOSPC;
}

long linux_mknodat(struct thread *t, const uint64_t *a)
{
    uint32_t type = (uint32_t)a[2] & LINUX_S_IFMT;
    struct new_name new;
    struct node *node;
    long error = find_new(t, (int32_t)a[0], read_path(t, a[1]), &new);

    if (error)
        return error;
    if (type && type != LINUX_S_IFREG)
        return -LINUX_EPERM; /* nothing but files */
    uint32_t mode = (uint32_t)a[2] & 07777 & ~t->process->fs->umask;
    return memfile_make(new.dir, new.name, new.bytes, mode, &node);
}

long path_make_socket(struct thread *t, const char *name, size_t bytes, struct node **made)
{
    uint32_t mode = 0777 & ~t->process->fs->umask;
    struct new_name new;

    memcpy(path, name, bytes);
    path[bytes] = 0;
    long error = find_new(t, LINUX_AT_FDCWD, (long)bytes, &new);
    if (error)
        return error;
    *made = fs_make(new.dir, new.name, new.bytes, NODE_SOCKET, LINUX_S_IFSOCK | mode);
    if (!*made)
        return -LINUX_ENOSPC;
    (*made)->users++;
    return 0;
}

long path_find_node(struct thread *t, const char *name, size_t bytes, struct node **node)
{
    struct place place;

    memcpy(path, name, bytes);
    path[bytes] = 0;
    long error = find(t, LINUX_AT_FDCWD, (long)bytes, FS_FOLLOW, &place);
    if (!error)
        *node = place.node;
    return error;
}

/* Memory file systems have no links. */
long linux_symlinkat(struct thread *t, const uint64_t *a)
{
    struct new_name new;
    long error = find_new(t, (int32_t)a[1], read_path(t, a[2]), &new);

    return error ? error : -LINUX_EPERM;
}

long linux_linkat(struct thread *t, const uint64_t *a)
{
    struct new_name new;
    struct place old;
    long error = find(t, (int32_t)a[0], read_path(t, a[1]), 0, &old);

    if (!error)
        error = find_new(t, (int32_t)a[2], read_path(t, a[3]), &new);
    return error ? error : old.node->memory ? -LINUX_EPERM : -LINUX_EXDEV;
}

/* Is it where a memory file system begins? That stays. */
static bool is_memory_root(const struct node *node)
{
    return node->memory && !node->parent->memory;
}

long linux_unlinkat(struct thread *t, const uint64_t *a)
{
    uint32_t flags = (uint32_t)a[2];
    struct node *node;

    if (flags & ~(uint32_t)LINUX_AT_REMOVEDIR)
        return -LINUX_EINVAL;
    long error = find_changed(t, (int32_t)a[0], a[1], 0, &node);
    if (error)
        return error;
    if (is_memory_root(node))
        return -LINUX_EBUSY;
    if ((flags & LINUX_AT_REMOVEDIR) && node->kind != NODE_DIR)
        return -LINUX_ENOTDIR;
    if (!(flags & LINUX_AT_REMOVEDIR) && node->kind == NODE_DIR)
        return -LINUX_EISDIR;
    return memfile_remove(node);
}

static bool is_below(const struct node *node, const struct node *dir)
{
    while (node != dir && node->parent != node)
        node = node->parent;
    return node == dir;
}

/* May `node` take the place of what is there already? Then that has gone. */
static long replace(struct node *node, struct node *there)
{
    if (there->kind == NODE_DIR && node->kind != NODE_DIR)
        return -LINUX_EISDIR;
    if (there->kind != NODE_DIR && node->kind == NODE_DIR)
        return -LINUX_ENOTDIR;
    if (is_memory_root(there))
        return -LINUX_EBUSY;
    return memfile_remove(there);
}

long linux_renameat2(struct thread *t, const uint64_t *a)
{
    uint32_t flags = (uint32_t)a[4];
    struct node *node, *there;
    struct new_name new;

    if (flags & ~(uint32_t)LINUX_RENAME_NOREPLACE)
        return -LINUX_EINVAL;
    long error = find_changed(t, (int32_t)a[0], a[1], 0, &node);
    if (error)
        return error;
    if (is_memory_root(node))
        return -LINUX_EBUSY;
    error = find_changed(t, (int32_t)a[2], a[3], 0, &there);
    if (!error) {
        if (flags & LINUX_RENAME_NOREPLACE)
            return -LINUX_EEXIST;
        if (there == node)
            return 0;
        if (is_below(there, node))
            return -LINUX_EINVAL;
        error = replace(node, there);
        if (error)
            return error;
    } else if (error != -LINUX_ENOENT) {
        return error;
    }
    error = find_new(t, (int32_t)a[2], read_path(t, a[3]), &new);
    if (!error && is_below(new.dir, node))
        error = -LINUX_EINVAL;
    return error ? error : fs_move(node, new.dir, new.name, new.bytes);
}

long linux_truncate(struct thread *t, const uint64_t *a)
{
    struct node *node;

    if ((int64_t)a[1] < 0)
        return -LINUX_EINVAL;
    long error = find_changed(t, LINUX_AT_FDCWD, a[0], FS_FOLLOW, &node);
    if (error)
        return error;
    return node->kind == NODE_MEMORY ? memfile_resize(node, (int64_t)a[1]) : -LINUX_EISDIR;
}

static long change_mode(struct node *node, uint32_t mode)
{
    if (!node->memory)
        return -LINUX_EROFS;
    /* F_SEAL_EXEC: whether it may be executed stays. */
    if (node->kind == NODE_MEMORY && node->seals && ((node->mode ^ mode) & 0111)) {
        const struct file file = {.kind = FILE_NODE, .place = {.node = node}};
        if (memfile_get_seals(&file) & LINUX_F_SEAL_EXEC)
            return -LINUX_EPERM;
    }
    node->mode = (node->mode & LINUX_S_IFMT) | (mode & 07777);
    return 0;
}

long linux_fchmodat(struct thread *t, const uint64_t *a)
{
    struct node *node;
    long error = find_changed(t, (int32_t)a[0], a[1], FS_FOLLOW, &node);

    return error ? error : change_mode(node, (uint32_t)a[2]);
}

long linux_fchmod(struct thread *t, const uint64_t *a)
{
    struct file *file = fd_get(t->process->files, (int32_t)a[0]);

    if (!file || (file->flags & LINUX_O_PATH))
        return -LINUX_EBADF;
    return file->kind == FILE_NODE ? change_mode(file->place.node, (uint32_t)a[1]) : -LINUX_EROFS;
}

/* Everything is root's and stays so. */
static long change_owner(const struct node *node, uint64_t uid, uint64_t gid)
{
    bool same = ((int32_t)uid <= 0) && ((int32_t)gid <= 0);

    return !node->memory ? -LINUX_EROFS : same ? 0 : -LINUX_EPERM;
}

long linux_fchownat(struct thread *t, const uint64_t *a)
{
    struct node *node;
    long error = find_changed(t, (int32_t)a[0], a[1], FS_FOLLOW, &node);

    return error ? error : change_owner(node, a[2], a[3]);
}

long linux_fchown(struct thread *t, const uint64_t *a)
{
    struct file *file = fd_get(t->process->files, (int32_t)a[0]);

    if (!file || (file->flags & LINUX_O_PATH))
        return -LINUX_EBADF;
    return file->kind == FILE_NODE ? change_owner(file->place.node, a[1], a[2]) : -LINUX_EROFS;
}

/* Times are not kept. */
long linux_utimensat(struct thread *t, const uint64_t *a)
{
    struct node *node;

    if (a[1] == 0) {
        struct file *file = fd_get(t->process->files, (int32_t)a[0]);
        if (!file)
            return -LINUX_EBADF;
        return file->kind == FILE_NODE && file->place.node->memory ? 0 : -LINUX_EROFS;
    }
    return find_changed(t, (int32_t)a[0], a[1], FS_FOLLOW, &node);
}
