/*
 * Calls that name files by paths, and those on directories. Only /tmp and /dev/shm can be written;
 * what would change the rest of the tree ends in -EROFS once its arguments make sense.
 */
#include <stdlib.h>
#include <string.h>

#include "user/linux/calls.h"
#include "user/linux/dir.h"
#include "user/linux/file.h"
#include "user/linux/inotify.h"
#include "user/linux/memfile.h"
#include "user/linux/path.h"
#include "user/linux/pipe.h"
#include "user/linux/process.h"
#include "user/linux/procmem.h"
#include "user/linux/ramdisk.h"
#include "user/linux/space.h"
#include "user/linux/terminal.h"

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
    if (!file_has_place(file))
        return -LINUX_ENOTDIR;
    *base = file->place;
    return 0;
}

/* The path at a client's address, into `path`: its length or -errno. */
static long read_path(struct thread *t, uint64_t address)
{
    return copy_in_string(t->process->space, path, address, sizeof(path));
}

/* Where the path in `path`, of `bytes` bytes or -errno, starts. */
static long start_of(struct thread *t, int64_t fd, long bytes, struct place *base)
{
    if (bytes < 0)
        return bytes;
    if (path[0] == '/') {
        *base = fs_root();
        return 0;
    }
    long error = base_of(t, fd, base);
    return error || bytes == 0 || fs_is_dir(base) ? error : -LINUX_ENOTDIR;
}

static long find(struct thread *t, int64_t fd, long bytes, unsigned flags, struct place *place)
{
    struct place base;
    long error = start_of(t, fd, bytes, &base);

    return error ? error : fs_walk(&base, path, (size_t)bytes, flags, t->process->pid, place);
}

/* The path in `path`, of `bytes` bytes or -errno, names nothing yet: 0, -EEXIST, -EROFS, or what is
 * wrong with it. */
static long find_new(struct thread *t, int64_t fd, long bytes, unsigned flags,
                     struct fs_missing *new)
{
    struct place base;
    long error = start_of(t, fd, bytes, &base);

    if (!error)
        error = fs_walk_new(&base, path, (size_t)bytes, flags, t->process->pid, new);
    if (error)
        return error;
    return !new->dir->memory ? -LINUX_EROFS : new->dir->removed ? -LINUX_ENOENT : 0;
}

long path_find(struct thread *t, int64_t fd, uint64_t address, unsigned flags, struct place *place)
{
    long bytes = read_path(t, address);

    if (bytes == 0 && (flags & PATH_EMPTY))
        return base_of(t, fd, place);
    return find(t, fd, bytes, flags, place);
}

long path_find_changed(struct thread *t, int64_t fd, uint64_t address, unsigned flags,
                       struct node **node)
{
    struct place place;
    long error = path_find(t, fd, address, flags, &place);

    if (error)
        return error;
    *node = place.node;
    return place.node->memory ? 0 : -LINUX_EROFS;
}

static uint32_t dir_bit(const struct node *node)
{
    return node->kind == NODE_DIR ? LINUX_IN_ISDIR : 0;
}

/* What has just been made: whose it is, and since when. Its directory has changed. */
static void node_made(struct node *node)
{
    node_stamp(node, STAMP_ACCESSED | STAMP_MODIFIED | STAMP_CHANGED);
    node_stamp(node->parent, STAMP_MODIFIED | STAMP_CHANGED);
    inotify_name(node->parent, node->name, LINUX_IN_CREATE | dir_bit(node), 0);
}

/* ---- opening ---- */

/* The flags that an open file keeps, for F_GETFL: what says how to open it is done with. */
static uint32_t kept_flags(uint32_t flags)
{
    const uint32_t paths = LINUX_O_PATH | LINUX_O_DIRECTORY | LINUX_O_NOFOLLOW;

    if (flags & LINUX_O_PATH)
        return flags & paths;
    return (flags & (paths | LINUX_O_ACCMODE | LINUX_O_APPEND | LINUX_O_NONBLOCK)) |
           LINUX_O_LARGEFILE;
}

/* A file is open now; that of O_PATH is not. */
static long install(struct thread *t, struct file *file, bool close_exec)
{
    long fd = fd_install_new(t->process->files, file, close_exec);

    if (fd >= 0 && !(file->flags & LINUX_O_PATH))
        inotify_file(file, LINUX_IN_OPEN);
    return fd;
}

/* The other end of a FIFO is open too, or this is waited for. */
static long install_fifo(struct thread *t, struct file *file, bool close_exec)
{
    long result = pipe_await_other(t, file);

    if (result == 0)
        return install(t, file, close_exec);
    file_put(file);
    return result;
}

static long open_fifo(struct thread *t, const struct place *place, uint32_t flags, bool close_exec)
{
    struct file *file;
    long error = pipe_open(place, flags, &file);

    return error ? error : install_fifo(t, file, close_exec);
}

static long open_terminal(struct thread *t, const struct place *place, uint32_t flags,
                          bool close_exec)
{
    struct file *file;
    long error = terminal_open(t, place, kept_flags(flags), !(flags & LINUX_O_NOCTTY), &file);

    return error ? error : install(t, file, close_exec);
}

static long open_place(struct thread *t, const struct place *place, uint32_t flags)
{
    bool write = (flags & LINUX_O_ACCMODE) != 0, close_exec = (flags & LINUX_O_CLOEXEC) != 0;
    bool directory = fs_is_dir(place);
    enum node_kind kind = place->node->kind;

    if (!(flags & LINUX_O_PATH)) {
        if ((flags & LINUX_O_CREAT) && (flags & LINUX_O_EXCL))
            return -LINUX_EEXIST;
        if (fs_is_link(place))
            return -LINUX_ELOOP;
        if (kind == NODE_SOCKET || kind == NODE_NO_DEVICE)
            return -LINUX_ENXIO;
        if (kind == NODE_DEVMEM && !cred_can(&t->process->cred, CAP_SYS_RAWIO))
            return -LINUX_EPERM;
        if (directory && (write || (flags & LINUX_O_CREAT)))
            return -LINUX_EISDIR;
        bool knob = kind == NODE_TEXT && (place->node->mode & 0200);
        if ((write || (flags & LINUX_O_TRUNC)) && !knob && (kind == NODE_FILE || kind == NODE_TEXT))
            return kind == NODE_FILE ? -LINUX_EROFS : -LINUX_EACCES;
        if ((write || (flags & LINUX_O_TRUNC)) && place->node->runners)
            return -LINUX_ETXTBSY;
    }
    if ((flags & LINUX_O_DIRECTORY) && !directory)
        return -LINUX_ENOTDIR;
    if ((flags & (LINUX_O_TRUNC | LINUX_O_PATH)) == LINUX_O_TRUNC && kind == NODE_MEMORY) {
        long error = memfile_resize(place->node, 0);
        if (error)
            return error;
    }
    if (kind == NODE_FIFO && !(flags & LINUX_O_PATH))
        return open_fifo(t, place, kept_flags(flags), close_exec);
    if (terminal_is_node(kind) && !(flags & LINUX_O_PATH))
        return open_terminal(t, place, flags, close_exec);
    long error = kind == NODE_RAMDISK && !(flags & LINUX_O_PATH) ? ramdisk_open(place->node) : 0;
    if (error)
        return error;
    struct file *file = file_open_place(place, kept_flags(flags));
    if (!file)
        return -LINUX_ENFILE;
    error = kind == NODE_PID_MEM && !(flags & LINUX_O_PATH) ? procmem_open(t, file) : 0;
    if (error) {
        file_put(file);
        return error;
    }
    if (write && !(flags & LINUX_O_PATH))
        file_set_writer(file);
    return install(t, file, close_exec);
}

/* The path names nothing yet. */
static long open_new(struct thread *t, int64_t at, long bytes, uint32_t flags, uint32_t mode)
{
    struct fs_missing new;
    struct node *node;
    long error = find_new(t, at, bytes, flags & LINUX_O_EXCL ? 0 : FS_FOLLOW, &new);

    if (error)
        return error;
    if (new.slash || (flags & LINUX_O_DIRECTORY))
        return flags & LINUX_O_DIRECTORY ? -LINUX_EINVAL : -LINUX_EISDIR;
    error =
        memfile_make(new.dir, new.name, new.bytes, mode & 07777 & ~t->process->fs->umask, &node);
    if (error)
        return error;
    node_made(node);
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
    if (t->held) { /* a FIFO's file, which waited for its other end */
        file_get(t->held);
        return install_fifo(t, t->held, (flags & LINUX_O_CLOEXEC) != 0);
    }
    long bytes = read_path(t, a[1]);
    long error = find(t, (int32_t)a[0], bytes, follow ? FS_FOLLOW : 0, &place);
    if (error == -LINUX_ENOENT && (flags & LINUX_O_CREAT))
        return open_new(t, (int32_t)a[0], bytes, flags, (uint32_t)a[3]);
    return error ? error : open_place(t, &place, flags);
}

/* ---- looking ---- */

long linux_readlinkat(struct thread *t, const uint64_t *a)
{
    struct place place;

    if ((int32_t)a[3] <= 0)
        return -LINUX_EINVAL;
    long error = path_find(t, (int32_t)a[0], a[1], PATH_EMPTY, &place);
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
    inotify_file(file, LINUX_IN_ACCESS);
    return copy_out(t->process->space, a[1], path, done) ? -LINUX_EFAULT : (long)done;
}

/* ---- the working directory ---- */

long linux_getcwd(struct thread *t, const uint64_t *a)
{
    if (t->process->fs->cwd.node->removed)
        return -LINUX_ENOENT;
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
    place_set(&t->process->fs->cwd, &place);
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
    place_set(&t->process->fs->cwd, &place);
    return 0;
}

/* ---- what changes the tree ---- */

static uint32_t mode_for(const struct thread *t, uint64_t mode, uint32_t bits)
{
    return (uint32_t)mode & bits & ~t->process->fs->umask;
}

long linux_mkdirat(struct thread *t, const uint64_t *a)
{
    struct fs_missing new;
    long error = find_new(t, (int32_t)a[0], read_path(t, a[1]), 0, &new);

    if (error)
        return error;
    struct node *node =
        fs_make(new.dir, new.name, new.bytes, NODE_DIR, LINUX_S_IFDIR | mode_for(t, a[2], 01777));
    if (!node)
        return -LINUX_ENOSPC;
    node_made(node);
    return 0;
}

long linux_mknodat(struct thread *t, const uint64_t *a)
{
    uint32_t type = (uint32_t)a[2] & LINUX_S_IFMT, mode = mode_for(t, a[2], 07777);
    struct fs_missing new;
    struct node *node;
    long error = find_new(t, (int32_t)a[0], read_path(t, a[1]), 0, &new);

    if (error)
        return error;
    if (new.slash)
        return -LINUX_ENOENT;
    switch (type) {
    case 0:
    case LINUX_S_IFREG:
        error = memfile_make(new.dir, new.name, new.bytes, mode, &node);
        break;
    case LINUX_S_IFIFO:
    case LINUX_S_IFSOCK:
        node = fs_make(new.dir, new.name, new.bytes,
                       type == LINUX_S_IFIFO ? NODE_FIFO : NODE_SOCKET, type | mode);
        error = node ? 0 : -LINUX_ENOSPC;
        break;
    case LINUX_S_IFCHR:
    case LINUX_S_IFBLK:
        if (!cred_can(&t->process->cred, CAP_MKNOD))
            return -LINUX_EPERM;
        node = fs_make(new.dir, new.name, new.bytes, fs_device_kind(type, (uint32_t)a[3]),
                       type | mode);
        error = node ? 0 : -LINUX_ENOSPC;
        if (node)
            node->detail = (uint32_t)a[3];
        break;
    case LINUX_S_IFDIR:
        return -LINUX_EPERM;
    default:
        return -LINUX_EINVAL;
    }
    if (!error)
        node_made(node);
    return error;
}

long path_make_socket(struct thread *t, const char *name, size_t bytes, struct node **made)
{
    uint32_t mode = 0777 & ~t->process->fs->umask;
    struct fs_missing new;

    memcpy(path, name, bytes);
    path[bytes] = 0;
    long error = find_new(t, LINUX_AT_FDCWD, (long)bytes, 0, &new);
    if (error)
        return error;
    *made = fs_make(new.dir, new.name, new.bytes, NODE_SOCKET, LINUX_S_IFSOCK | mode);
    if (!*made)
        return -LINUX_ENOSPC;
    node_get(*made);
    node_made(*made);
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

long linux_symlinkat(struct thread *t, const uint64_t *a)
{
    struct fs_missing new;
    long bytes = read_path(t, a[0]);

    if (bytes <= 0)
        return bytes ? bytes : -LINUX_ENOENT;
    char *target = malloc((size_t)bytes + 1);
    if (!target)
        return -LINUX_ENOMEM;
    memcpy(target, path, (size_t)bytes + 1);
    long error = find_new(t, (int32_t)a[1], read_path(t, a[2]), 0, &new);
    if (!error && new.slash)
        error = -LINUX_ENOENT;
    struct node *node =
        error ? NULL : fs_make(new.dir, new.name, new.bytes, NODE_LINK, LINUX_S_IFLNK | 0777);
    if (!node) {
        free(target);
        return error ? error : -LINUX_ENOSPC;
    }
    node->target = target;
    node->bytes = (uint64_t)bytes;
    node_made(node);
    return 0;
}

long linux_linkat(struct thread *t, const uint64_t *a)
{
    uint32_t flags = (uint32_t)a[4];
    struct fs_missing new;
    struct place old;

    if (flags & ~(uint32_t)(LINUX_AT_SYMLINK_FOLLOW | LINUX_AT_EMPTY_PATH))
        return -LINUX_EINVAL;
    long bytes = read_path(t, a[1]);
    long error =
        bytes == 0 && (flags & LINUX_AT_EMPTY_PATH)
            ? base_of(t, (int32_t)a[0], &old)
            : find(t, (int32_t)a[0], bytes, flags & LINUX_AT_SYMLINK_FOLLOW ? FS_FOLLOW : 0, &old);
    if (!error)
        error = find_new(t, (int32_t)a[2], read_path(t, a[3]), 0, &new);
    if (error)
        return error;
    if (!old.node->memory)
        return -LINUX_EXDEV;
    if (fs_is_dir(&old))
        return -LINUX_EPERM;
    if (old.node->removed || new.slash)
        return -LINUX_ENOENT;
    error = fs_link(old.node, new.dir, new.name, new.bytes);
    if (error)
        return error;
    node_stamp(old.node, STAMP_CHANGED);
    node_stamp(new.dir, STAMP_MODIFIED | STAMP_CHANGED);
    inotify_self(old.node, LINUX_IN_ATTRIB);
    inotify_name(new.dir, TAILQ_LAST(&new.dir->names, node_list)->name, LINUX_IN_CREATE, 0);
    return 0;
}

/* Is it where a memory file system begins? That stays. */
static bool is_memory_root(const struct node *node)
{
    return node->memory && !node->parent->memory && !node->removed;
}

static struct node *node_of(struct node *name)
{
    return name->kind == NODE_NAME ? name->of : name;
}

/* A name goes, and who watches hears of it: first that there is one less, then of its end if it was
 * the last, then that it has left its directory. */
static long remove_name(struct node *name)
{
    struct node *node = node_of(name), *dir = name->parent;
    const uint32_t is_dir = dir_bit(node);
    char text[LINUX_NAME_MAX + 1];

    strcpy(text, name->name);
    node_get(node);
    long error = memfile_remove(name);
    if (!error && !is_dir)
        inotify_self(node, LINUX_IN_ATTRIB);
    node_put(node);
    if (!error)
        inotify_name(dir, text, LINUX_IN_DELETE | is_dir, 0);
    return error;
}

long linux_unlinkat(struct thread *t, const uint64_t *a)
{
    uint32_t flags = (uint32_t)a[2];
    struct node *name;

    if (flags & ~(uint32_t)LINUX_AT_REMOVEDIR)
        return -LINUX_EINVAL;
    long error = path_find_changed(t, (int32_t)a[0], a[1], FS_NAME, &name);
    if (error)
        return error;
    if (is_memory_root(name))
        return -LINUX_EBUSY;
    if ((flags & LINUX_AT_REMOVEDIR) && name->kind != NODE_DIR)
        return -LINUX_ENOTDIR;
    if (!(flags & LINUX_AT_REMOVEDIR) && name->kind == NODE_DIR)
        return -LINUX_EISDIR;
    if (name->removed)
        return -LINUX_ENOENT;
    return remove_name(name);
}

static bool is_below(const struct node *node, const struct node *dir)
{
    while (node != dir && node->parent != node)
        node = node->parent;
    return node == dir;
}

/* May a name take the place of what is there already? Then that has gone. */
static long replace(const struct node *name, struct node *there)
{
    if (there->kind == NODE_DIR && name->kind != NODE_DIR)
        return -LINUX_EISDIR;
    if (there->kind != NODE_DIR && name->kind == NODE_DIR)
        return -LINUX_ENOTDIR;
    if (is_memory_root(there))
        return -LINUX_EBUSY;
    return memfile_remove(there);
}

/* The name has come from a directory where it was `text`, and has taken the place of *gone (NULL:
 * there was nothing), of which this is the end. */
static void tell_move(struct node *name, struct node *from, const char *text, struct node *gone)
{
    struct node *node = node_of(name);
    uint32_t cookie = inotify_next_cookie();

    node_stamp(from, STAMP_MODIFIED | STAMP_CHANGED);
    node_stamp(name->parent, STAMP_MODIFIED | STAMP_CHANGED);
    node_stamp(node, STAMP_CHANGED);
    inotify_name(from, text, LINUX_IN_MOVED_FROM | dir_bit(node), cookie);
    inotify_name(name->parent, name->name, LINUX_IN_MOVED_TO | dir_bit(node), cookie);
    if (gone)
        inotify_self(gone, LINUX_IN_ATTRIB);
    inotify_self(node, LINUX_IN_MOVE_SELF);
}

/* The new place of a name, which a[2] and a[3] say, is free now. */
static long move_name(struct thread *t, const uint64_t *a, struct node *name, struct node *gone)
{
    struct node *from = name->parent;
    char text[LINUX_NAME_MAX + 1];
    struct fs_missing new;

    long error = find_new(t, (int32_t)a[2], read_path(t, a[3]), 0, &new);
    if (!error && is_below(new.dir, name))
        error = -LINUX_EINVAL;
    if (!error && new.slash && name->kind != NODE_DIR)
        error = -LINUX_ENOTDIR;
    strcpy(text, name->name);
    if (!error)
        error = fs_move(name, new.dir, new.name, new.bytes);
    if (!error)
        tell_move(name, from, text, gone);
    return error;
}

long linux_renameat2(struct thread *t, const uint64_t *a)
{
    uint32_t flags = (uint32_t)a[4];
    struct node *name, *there, *gone = NULL;

    if (flags & ~(uint32_t)LINUX_RENAME_NOREPLACE)
        return -LINUX_EINVAL;
    long error = path_find_changed(t, (int32_t)a[0], a[1], FS_NAME, &name);
    if (error)
        return error;
    if (is_memory_root(name))
        return -LINUX_EBUSY;
    error = path_find_changed(t, (int32_t)a[2], a[3], FS_NAME, &there);
    if (error && error != -LINUX_ENOENT)
        return error;
    if (!error) {
        if (flags & LINUX_RENAME_NOREPLACE)
            return -LINUX_EEXIST;
        if (node_of(there) == node_of(name))
            return 0;
        if (is_below(there, name))
            return -LINUX_EINVAL;
        if (is_below(name, there))
            return -LINUX_ENOTEMPTY;
        gone = node_of(there);
        node_get(gone);
        error = replace(name, there);
    } else {
        error = 0;
    }
    if (!error)
        error = move_name(t, a, name, gone);
    if (gone)
        node_put(gone);
    return error;
}

long linux_truncate(struct thread *t, const uint64_t *a)
{
    struct node *node;

    if ((int64_t)a[1] < 0)
        return -LINUX_EINVAL;
    long error = path_find_changed(t, LINUX_AT_FDCWD, a[0], FS_FOLLOW, &node);
    if (error)
        return error;
    if (node->kind == NODE_DIR)
        return -LINUX_EISDIR;
    if (node->runners)
        return -LINUX_ETXTBSY;
    return node->kind == NODE_MEMORY ? memfile_resize(node, (int64_t)a[1]) : -LINUX_EINVAL;
}
