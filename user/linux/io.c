/*
 * Reading and writing: read, write and their vector and positioned forms, lseek.
 *
 * t->progress counts the bytes that a write which had to wait has done; a read that has anything to
 * give never waits.
 */
#include "user/linux/calls.h"

#include "user/linux/file.h"
#include "user/linux/memfile.h"
#include "user/linux/process.h"
#include "user/linux/procmem.h"
#include "user/linux/request.h"
#include "user/linux/signal.h"
#include "user/linux/signalfd.h"
#include "user/linux/socket.h"
#include "user/linux/space.h"
#include "user/linux/terminal.h"
#include "user/linux/vector.h"

static struct file *file_for(struct thread *t, int64_t fd, bool write)
{
    struct file *file = request_file(t, fd);

    if (!file || (file->flags & LINUX_O_PATH))
        return NULL;
    unsigned mode = file->flags & LINUX_O_ACCMODE;
    return mode == LINUX_O_RDWR || (mode == LINUX_O_WRONLY) == write ? file : NULL;
}

static long read_vector(struct thread *t, struct file *file, const struct vector *v,
                        uint64_t *offset)
{
    uint64_t done = 0;

    for (size_t i = 0; i < v->parts; i++) {
        const struct linux_iovec *part = &v->part[i];
        if (part->bytes == 0)
            continue;
        long got = file_read(file, t->process->space, part->base, part->bytes, offset);
        if (got < 0)
            return done ? (long)done : got;
        done += (uint64_t)got;
        if ((uint64_t)got < part->bytes)
            break;
    }
    return (long)done;
}

/* From the byte at t->progress on. */
static long write_vector(struct thread *t, struct file *file, const struct vector *v,
                         uint64_t *offset)
{
    uint64_t skip = t->progress;
    uint64_t wanted = v->bytes <= LINUX_PIPE_BUF ? v->bytes : 1;

    for (size_t i = 0; i < v->parts; i++) {
        const struct linux_iovec *part = &v->part[i];
        if (skip >= part->bytes) {
            skip -= part->bytes;
            continue;
        }
        uint64_t bytes = part->bytes - skip;
        long put = file_write(file, t->process->space, part->base + skip, bytes, offset, wanted);
        if (put < 0)
            return put;
        t->progress += (uint64_t)put;
        if ((uint64_t)put < bytes)
            return file->ops ? -LINUX_EAGAIN : 0;
        skip = 0;
        wanted = 1;
    }
    return 0;
}

static long do_read(struct thread *t, struct file *file, const struct vector *v, uint64_t *offset)
{
    if (file->kind == FILE_SOCKET)
        return socket_transfer(t, file, v, false);
    if (file->kind == FILE_SIGNAL)
        return signalfd_read(t, file, v);
    if (v->bytes == 0)
        return 0;
    long result = file->kind == FILE_TERMINAL ? terminal_before_read(t, file) : 0;
    if (result)
        return result;
    result = read_vector(t, file, v, offset);
    if (result != -LINUX_EAGAIN || (file->flags & LINUX_O_NONBLOCK))
        return result;
    return request_wait_file(t, file);
}

static long do_write(struct thread *t, struct file *file, const struct vector *v, uint64_t *offset)
{
    struct signal_info info = {.code = LINUX_SI_USER, .pid = t->process->pid};

    if (file->kind == FILE_SOCKET)
        return socket_transfer(t, file, v, true);
    if (v->bytes == 0)
        return 0;
    long result = file->kind == FILE_TERMINAL ? terminal_before_write(t, file) : 0;
    if (result)
        return result;
    result = write_vector(t, file, v, offset);
    if (result == -LINUX_EPIPE && !t->progress)
        signal_send_thread(t, LINUX_SIGPIPE, &info);
    if (result == -LINUX_EAGAIN && !(file->flags & LINUX_O_NONBLOCK)) {
        result = request_wait_file(t, file);
        if (result == REQUEST_WAITS)
            return result;
    }
    return t->progress ? (long)t->progress : result;
}

/* For /proc/PID/io. */
static long count(struct thread *t, bool write, long result)
{
    struct process *p = t->process;

    if (result <= REQUEST_WAITS) /* it is made again */
        return result;
    p->io_calls[write]++;
    p->io_bytes[write] += result > 0 ? (uint64_t)result : 0;
    return result;
}

/* The common part of all eight: `positioned` calls leave the file's own offset alone. */
static long transfer(struct thread *t, int64_t fd, const struct vector *v, bool write,
                     bool positioned, int64_t at)
{
    struct file *file = file_for(t, fd, write);

    if (!file)
        return -LINUX_EBADF;
    if (positioned) {
        uint64_t offset = (uint64_t)at;
        if (!file_seekable(file))
            return -LINUX_ESPIPE;
        if (at < 0)
            return -LINUX_EINVAL;
        return count(t, write,
                     write ? do_write(t, file, v, &offset) : do_read(t, file, v, &offset));
    }
    uint64_t *own = &file->offset;
    return count(t, write, write ? do_write(t, file, v, own) : do_read(t, file, v, own));
}

static long single(struct thread *t, const uint64_t *a, bool write, bool positioned)
{
    struct linux_iovec part;
    struct vector v;
    long error = vector_single(&part, a[1], a[2], &v);

    if (error)
        return file_for(t, (int32_t)a[0], write) ? error : -LINUX_EBADF;
    return transfer(t, (int32_t)a[0], &v, write, positioned, (int64_t)a[3]);
}

static long several(struct thread *t, const uint64_t *a, bool write)
{
    struct vector v;

    if (!file_for(t, (int32_t)a[0], write))
        return -LINUX_EBADF;
    long error = vector_get(t, a[1], a[2], &v);
    return error ? error : transfer(t, (int32_t)a[0], &v, write, false, 0);
}

long linux_read(struct thread *t, const uint64_t *a)
{
    return single(t, a, false, false);
}

long linux_write(struct thread *t, const uint64_t *a)
{
    return single(t, a, true, false);
}

long linux_readv(struct thread *t, const uint64_t *a)
{
    return several(t, a, false);
}

long linux_writev(struct thread *t, const uint64_t *a)
{
    return several(t, a, true);
}

long linux_pread64(struct thread *t, const uint64_t *a)
{
    return single(t, a, false, true);
}

long linux_pwrite64(struct thread *t, const uint64_t *a)
{
    return single(t, a, true, true);
}

/* The forms with a position and flags: at a position, or, if the second form is told -1, at the
 * file's own. a[4] is the position's upper half, which the first has all of. */
static long several_at(struct thread *t, const uint64_t *a, bool write, bool own, uint32_t flags)
{
    struct vector v;

    if (!file_for(t, (int32_t)a[0], write))
        return -LINUX_EBADF;
    long error = vector_get(t, a[1], a[2], &v);
    if (error)
        return error;
    /* Hints, and what every write here is anyway; the others promise something. */
    if (flags & ~(uint32_t)(LINUX_RWF_HIPRI | LINUX_RWF_DSYNC | LINUX_RWF_SYNC))
        return -LINUX_EOPNOTSUPP;
    return transfer(t, (int32_t)a[0], &v, write, !own, (int64_t)a[3]);
}

long linux_preadv(struct thread *t, const uint64_t *a)
{
    return several_at(t, a, false, false, 0);
}

long linux_pwritev(struct thread *t, const uint64_t *a)
{
    return several_at(t, a, true, false, 0);
}

long linux_preadv2(struct thread *t, const uint64_t *a)
{
    return several_at(t, a, false, a[3] == ~0UL, (uint32_t)a[5]);
}

long linux_pwritev2(struct thread *t, const uint64_t *a)
{
    return several_at(t, a, true, a[3] == ~0UL, (uint32_t)a[5]);
}

/* Its end is fixed: there is no position behind it. */
static bool is_block_device(const struct file *file)
{
    return file->place.node->kind == NODE_RAMDISK;
}

/* It has no positions at all: every one asked for is 0. */
static bool has_no_positions(const struct file *file)
{
    enum node_kind kind = file_has_place(file) ? file->place.node->kind : NODE_TEXT;

    return kind == NODE_NULL || kind == NODE_ZERO || kind == NODE_FULL;
}

long linux_lseek(struct thread *t, const uint64_t *a)
{
    struct file *file = fd_get(t->process->files, (int32_t)a[0]);
    int64_t base, offset;

    if (!file)
        return -LINUX_EBADF;
    if (!file_seekable(file))
        return -LINUX_ESPIPE;
    if (has_no_positions(file) && (uint32_t)a[2] <= LINUX_SEEK_HOLE) {
        file->offset = 0;
        return 0;
    }
    switch ((uint32_t)a[2]) {
    case LINUX_SEEK_SET:
        base = 0;
        break;
    case LINUX_SEEK_CUR:
        base = (int64_t)file->offset;
        break;
    case LINUX_SEEK_END:
        if (file_is_procmem(file))
            return -LINUX_EINVAL;
        base = (int64_t)file_bytes(file);
        break;
    case LINUX_SEEK_DATA:
    case LINUX_SEEK_HOLE:
        if (is_block_device(file))
            return -LINUX_EINVAL;
        base = memfile_seek(file, a[1], (uint32_t)a[2] == LINUX_SEEK_DATA);
        if (base < 0)
            return base;
        file->offset = (uint64_t)base;
        return base;
    default:
        return -LINUX_EINVAL;
    }
    if (file_is_procmem(file))
        offset = (int64_t)((uint64_t)base + a[1]); /* any address will do */
    else if (__builtin_add_overflow(base, (int64_t)a[1], &offset) || offset < 0)
        return -LINUX_EINVAL;
    if (is_block_device(file) && (uint64_t)offset > file_bytes(file))
        return -LINUX_EINVAL;
    file->offset = (uint64_t)offset;
    return offset;
}
