/* Calls on descriptors that move no bytes: close, dup, fcntl, pipe2, fstat, ioctl, sync and the
 * like. */
#include "user/linux/calls.h"

#include "user/linux/file.h"
#include "user/linux/filelock.h"
#include "user/linux/inotify.h"
#include "user/linux/memfile.h"
#include "user/linux/mmcall.h"
#include "user/linux/pipe.h"
#include "user/linux/process.h"
#include "user/linux/ramdisk.h"
#include "user/linux/request.h"
#include "user/linux/socket.h"
#include "user/linux/space.h"
#include "user/linux/terminal.h"

static struct file *get(struct thread *t, uint64_t fd)
{
    return fd_get(t->process->files, (int32_t)fd);
}

long linux_close(struct thread *t, const uint64_t *a)
{
    return fd_close(t->process->files, (int32_t)a[0]);
}

long linux_close_range(struct thread *t, const uint64_t *a)
{
    uint32_t first = (uint32_t)a[0], last = (uint32_t)a[1], flags = (uint32_t)a[2];

    if ((flags & ~(uint32_t)(LINUX_CLOSE_RANGE_UNSHARE | LINUX_CLOSE_RANGE_CLOEXEC)) ||
        first > last)
        return -LINUX_EINVAL;
    if ((flags & LINUX_CLOSE_RANGE_UNSHARE) && !fd_table_unshare(&t->process->files))
        return -LINUX_ENOMEM;
    struct fd_table *table = t->process->files;
    for (unsigned fd = first; fd <= last && fd < table->end; fd++) {
        if (fd_get(table, fd) && (flags & LINUX_CLOSE_RANGE_CLOEXEC))
            fd_set_close_exec(table, fd, true);
        else
            fd_close(table, fd);
    }
    return 0;
}

static long duplicate(struct thread *t, struct file *file, unsigned from, bool close_exec)
{
    long fd = fd_install(t->process->files, file, from, close_exec);

    if (fd >= 0)
        file_get(file);
    return fd;
}

long linux_dup(struct thread *t, const uint64_t *a)
{
    struct file *file = get(t, a[0]);

    return file ? duplicate(t, file, 0, false) : -LINUX_EBADF;
}

long linux_dup3(struct thread *t, const uint64_t *a)
{
    struct file *file = get(t, a[0]);
    uint32_t to = (uint32_t)a[1];

    if ((uint32_t)a[0] == to || ((uint32_t)a[2] & ~(uint32_t)LINUX_O_CLOEXEC))
        return -LINUX_EINVAL;
    if (!file || to >= t->process->files->limit)
        return -LINUX_EBADF;
    file_get(file);
    long error = fd_replace(t->process->files, to, file, ((uint32_t)a[2] & LINUX_O_CLOEXEC) != 0);
    if (error)
        file_put(file);
    return error ? error : (long)to;
}

static bool is_pipe(const struct file *file)
{
    return file->kind == FILE_PIPE;
}

/* Whether a command is about the descriptor, and so good for one of O_PATH too. */
static bool of_descriptor(uint32_t command)
{
    return command <= LINUX_F_GETFL || command == LINUX_F_DUPFD_CLOEXEC;
}

long linux_fcntl(struct thread *t, const uint64_t *a)
{
    struct fd_table *table = t->process->files;
    struct file *file = request_file(t, (int32_t)a[0]);
    unsigned fd = (uint32_t)a[0];

    if (!file)
        return -LINUX_EBADF;
    if ((file->flags & LINUX_O_PATH) && !of_descriptor((uint32_t)a[1]))
        return -LINUX_EBADF;
    switch ((uint32_t)a[1]) {
    case LINUX_F_DUPFD:
    case LINUX_F_DUPFD_CLOEXEC:
        if (a[2] >= table->limit)
            return -LINUX_EINVAL;
        return duplicate(t, file, (unsigned)a[2], (uint32_t)a[1] == LINUX_F_DUPFD_CLOEXEC);
    case LINUX_F_GETFD:
        return fd_is_close_exec(table, fd) ? LINUX_FD_CLOEXEC : 0;
    case LINUX_F_SETFD:
        fd_set_close_exec(table, fd, (a[2] & LINUX_FD_CLOEXEC) != 0);
        return 0;
    case LINUX_F_GETFL:
        return file->flags;
    case LINUX_F_SETFL: {
        uint32_t settable = LINUX_O_APPEND | LINUX_O_NONBLOCK;
        file->flags = (file->flags & ~settable) | ((uint32_t)a[2] & settable);
        return 0;
    }
    case LINUX_F_GETLK:
    case LINUX_F_SETLK:
    case LINUX_F_SETLKW:
    case LINUX_F_OFD_GETLK:
    case LINUX_F_OFD_SETLK:
    case LINUX_F_OFD_SETLKW:
        return filelock_fcntl(t, file, (uint32_t)a[1], a[2]);
    case LINUX_F_ADD_SEALS:
        return memfile_add_seals(file, (uint32_t)a[2]);
    case LINUX_F_GET_SEALS:
        return memfile_get_seals(file);
    case LINUX_F_GETPIPE_SZ:
        return is_pipe(file) ? (long)file->pipe->ring.limit : -LINUX_EBADF;
    case LINUX_F_SETPIPE_SZ:
        return is_pipe(file) ? pipe_resize(file->pipe, (uint32_t)a[2]) : -LINUX_EBADF;
    default:
        return -LINUX_EINVAL;
    }
}

long linux_pipe2(struct thread *t, const uint64_t *a)
{
    uint32_t flags = (uint32_t)a[1];
    bool close_exec = (flags & LINUX_O_CLOEXEC) != 0;
    struct fd_table *table = t->process->files;
    struct file *reader, *writer;

    if (flags & ~(uint32_t)(LINUX_O_CLOEXEC | LINUX_O_NONBLOCK))
        return -LINUX_EINVAL;
    long error = pipe_make(&reader, &writer, flags & LINUX_O_NONBLOCK);
    if (error)
        return error;
    long read_fd = fd_install(table, reader, 0, close_exec);
    long write_fd = read_fd < 0 ? read_fd : fd_install(table, writer, 0, close_exec);
    if (write_fd < 0) {
        if (read_fd < 0)
            file_put(reader);
        else
            fd_close(table, read_fd);
        file_put(writer);
        return write_fd;
    }
    int32_t fds[2] = {(int32_t)read_fd, (int32_t)write_fd};
    if (copy_out(t->process->space, a[0], fds, sizeof(fds)) == 0)
        return 0;
    fd_close(table, read_fd);
    fd_close(table, write_fd);
    return -LINUX_EFAULT;
}

long linux_fstat(struct thread *t, const uint64_t *a)
{
    struct file *file = get(t, a[0]);
    struct linux_stat stat;

    if (!file)
        return -LINUX_EBADF;
    file_stat(file, &stat);
    return copy_out(t->process->space, a[1], &stat, sizeof(stat));
}

/* Nothing is ever waiting to be written. */
long linux_fsync(struct thread *t, const uint64_t *a)
{
    struct file *file = get(t, a[0]);

    if (!file)
        return -LINUX_EBADF;
    return file->kind == FILE_NODE && file_seekable(file) ? 0 : -LINUX_EINVAL;
}

long linux_sync_file_range(struct thread *t, const uint64_t *a)
{
    struct file *file = get(t, a[0]);

    if (!file)
        return -LINUX_EBADF;
    if ((uint32_t)a[3] > LINUX_SYNC_FILE_RANGES || (int64_t)a[1] < 0 || (int64_t)a[2] < 0 ||
        (int64_t)(a[1] + a[2]) < 0)
        return -LINUX_EINVAL;
    return file->ops ? -LINUX_ESPIPE : 0;
}

long linux_fdatasync(struct thread *t, const uint64_t *a)
{
    return linux_fsync(t, a);
}

long linux_sync(struct thread *t, const uint64_t *a)
{
    (void)t, (void)a;
    return 0;
}

long linux_syncfs(struct thread *t, const uint64_t *a)
{
    return get(t, a[0]) ? 0 : -LINUX_EBADF;
}

/* ---- ioctl ---- */

/* What FIONREAD answers; -ENOTTY for what has no such number. */
static long readable(const struct file *file)
{
    if (is_pipe(file))
        return (long)ring_filled(&file->pipe->ring);
    if (file->kind == FILE_SOCKET)
        return socket_readable(file->socket);
    if (file->kind == FILE_INOTIFY)
        return (long)inotify_readable(file->inotify);
    if (file->kind != FILE_NODE)
        return -LINUX_ENOTTY;
    if (file->place.node->kind == NODE_FILE || file->place.node->kind == NODE_MEMORY)
        return (long)(file_bytes(file) > file->offset ? file_bytes(file) - file->offset : 0);
    return -LINUX_ENOTTY;
}

/* Registers by a capability instead of by a mapping, for a program that has a table of its own. */
static long device_grant(struct thread *t, const struct file *file, uint64_t address)
{
    struct mm_device_grant grant;

    if ((file->flags & LINUX_O_ACCMODE) != LINUX_O_RDWR)
        return -LINUX_EACCES;
    if (copy_in(t->process->space, &grant, address, sizeof(grant)))
        return -LINUX_EFAULT;
    return mmcall_device_grant(t->process->space->mm, &grant);
}

long linux_ioctl(struct thread *t, const uint64_t *a)
{
    struct file *file = request_file(t, (int32_t)a[0]);
    uint32_t request = (uint32_t)a[1];
    int32_t value;

    if (!file || (file->flags & LINUX_O_PATH))
        return -LINUX_EBADF;
    if (request == LINUX_FIONBIO) {
        if (copy_in(t->process->space, &value, a[2], sizeof(value)))
            return -LINUX_EFAULT;
        file->flags =
            (file->flags & ~(uint32_t)LINUX_O_NONBLOCK) | (value ? (uint32_t)LINUX_O_NONBLOCK : 0);
        return 0;
    }
    if (terminal_of(file))
        return terminal_ioctl(t, file, request, a[2]);
    if (request == LINUX_FIONREAD) {
        long bytes = readable(file);
        value = (int32_t)bytes;
        return bytes < 0 ? bytes : copy_out(t->process->space, a[2], &value, sizeof(value));
    }
    if (file->kind == FILE_NODE && file->place.node->kind == NODE_DEVMEM &&
        request == MM_DEVICE_GRANT_IOCTL)
        return device_grant(t, file, a[2]);
    if (file->kind == FILE_NODE && file->place.node->kind == NODE_RAMDISK)
        return ramdisk_ioctl(t, request, a[2]);
    return -LINUX_ENOTTY;
}
