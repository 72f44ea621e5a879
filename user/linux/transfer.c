/*
 * Bytes from file to file without the client's memory: sendfile, splice, tee, copy_file_range; and
 * vmsplice, which is of their kind.
 *
 * They go through a buffer of ours. What is taken from a file was put into the other one first, so
 * nothing is lost when that has no room. t->progress counts what a call that had to wait has moved;
 * it waits for the file that it writes to, or for a pipe that it reads from.
 */
#include "user/linux/calls.h"

#include "user/linux/file.h"
#include "user/linux/pipe.h"
#include "user/linux/process.h"
#include "user/linux/request.h"
#include "user/linux/signal.h"
#include "user/linux/socket.h"
#include "user/linux/space.h"
#include "user/linux/vector.h"

#define BUFFER_BYTES 16384

static char buffer[BUFFER_BYTES]; /* under the big lock */

static struct file *open_for(struct thread *t, uint64_t fd, bool write)
{
    struct file *file = fd_get(t->process->files, (int32_t)fd);

    if (!file || (file->flags & LINUX_O_PATH))
        return NULL;
    unsigned mode = file->flags & LINUX_O_ACCMODE;
    return mode == LINUX_O_RDWR || (mode == LINUX_O_WRONLY) == write ? file : NULL;
}

/* Whether its bytes stay where they are when they are read. */
static bool has_bytes(const struct file *file)
{
    return !file->ops &&
           (file->place.node->kind == NODE_FILE || file->place.node->kind == NODE_MEMORY ||
            file->place.node->kind == NODE_RAMDISK);
}

/* Bytes of `buffer` into a file: how many, or -errno. A message is sent in one. */
static long put(struct thread *t, struct file *file, size_t bytes, uint64_t *offset)
{
    struct linux_iovec part;
    struct vector v;

    if (file->kind != FILE_SOCKET)
        return file_write(file, &own_space, (uint64_t)buffer, bytes, offset, 1);
    long error = vector_single(&part, (uint64_t)buffer, bytes, &v);
    return error ? error : socket_put(t, file, &v);
}

/* What there is to take of `from`, up to `bytes`, into `buffer`; it stays there. 0: the end;
 * -EAGAIN: nothing yet. */
static long look(struct file *from, uint64_t offset, uint64_t bytes)
{
    if (bytes > BUFFER_BYTES)
        bytes = BUFFER_BYTES;
    if (from->kind != FILE_PIPE)
        return file_read(from, &own_space, (uint64_t)buffer, bytes, &offset);
    const struct ring *ring = &from->pipe->ring;
    if (bytes > ring_filled(ring))
        bytes = ring_filled(ring);
    if (!bytes)
        return from->pipe->writers ? -LINUX_EAGAIN : 0;
    ring_peek(ring, 0, buffer, bytes);
    return (long)bytes;
}

/* So many were put elsewhere. */
static void take(struct file *from, uint64_t *offset, uint64_t bytes)
{
    if (from->kind == FILE_PIPE) {
        ring_drop(&from->pipe->ring, bytes);
        pipe_drained(from->pipe);
    } else {
        *offset += bytes;
    }
}

struct move {
    struct file *from, *to;
    uint64_t from_offset, to_offset;
    bool keep; /* tee: it is not taken */
    bool all;  /* wait until all was moved */
    bool wait; /* at all */
};

/* At most `bytes` in all: how many were moved since the call began, or -errno, or what
 * request_wait() gives. */
static long move(struct thread *t, struct move *m, uint64_t bytes)
{
    struct file *blocked = NULL;
    long result = 0;

    while (t->progress < bytes) {
        blocked = m->from;
        result = look(m->from, m->from_offset, bytes - t->progress);
        if (result <= 0)
            break;
        blocked = m->to;
        result = put(t, m->to, (size_t)result, &m->to_offset);
        if (result < 0)
            break;
        if (!m->keep)
            take(m->from, &m->from_offset, (uint64_t)result);
        t->progress += (uint64_t)result;
        if (m->keep)
            break;
    }
    if (result == -LINUX_EAGAIN && m->wait && (!t->progress || m->all) &&
        !(blocked->flags & LINUX_O_NONBLOCK)) {
        result = request_wait_file(t, blocked);
        if (result == REQUEST_WAITS)
            return result;
    }
    return t->progress ? (long)t->progress : result;
}

static long note_epipe(struct thread *t, long result)
{
    const struct signal_info info = {.code = LINUX_SI_USER, .pid = t->process->pid};

    if (result == -LINUX_EPIPE)
        signal_send_thread(t, LINUX_SIGPIPE, &info);
    return result;
}

/* A position that the client keeps, at `address`; 0: the file's own. It was moved in the runs
 * before this one by `progress`, which the client has not been told yet. */
static long offset_in(struct thread *t, const struct file *file, uint64_t address, uint64_t *offset)
{
    *offset = file->offset;
    if (!address)
        return 0;
    if (copy_in(t->process->space, offset, address, sizeof(*offset)))
        return -LINUX_EFAULT;
    if ((int64_t)*offset < 0)
        return -LINUX_EINVAL;
    *offset += t->progress;
    return 0;
}

static long offset_out(struct thread *t, struct file *file, uint64_t address, uint64_t offset,
                       long result)
{
    if (!address)
        file->offset = offset;
    else if (result > 0 && copy_out(t->process->space, address, &offset, sizeof(offset)))
        return -LINUX_EFAULT;
    return result;
}

long linux_sendfile(struct thread *t, const uint64_t *a)
{
    struct file *to = open_for(t, a[0], true), *from = open_for(t, a[1], false);
    struct move m = {.from = from, .to = to, .all = true, .wait = true};

    if (!to || !from)
        return -LINUX_EBADF;
    if ((int64_t)a[3] < 0 || !has_bytes(from) || (to->flags & LINUX_O_APPEND))
        return -LINUX_EINVAL;
    long error = offset_in(t, from, a[2], &m.from_offset);
    if (error)
        return error;
    m.to_offset = to->offset;
    long result = note_epipe(t, move(t, &m, a[3] < LINUX_RW_MAX ? a[3] : LINUX_RW_MAX));
    if (!to->ops)
        to->offset = m.to_offset;
    if (result == REQUEST_WAITS && a[2])
        return result;
    return offset_out(t, from, a[2], m.from_offset, result);
}

long linux_copy_file_range(struct thread *t, const uint64_t *a)
{
    struct file *from = open_for(t, a[0], false), *to = open_for(t, a[2], true);
    struct move m = {.from = from, .to = to};
    uint64_t bytes = a[4] < LINUX_RW_MAX ? a[4] : LINUX_RW_MAX;

    if ((uint32_t)a[5])
        return -LINUX_EINVAL;
    if (!from || !to || (to->flags & LINUX_O_APPEND))
        return -LINUX_EBADF;
    if (!has_bytes(from) || !has_bytes(to))
        return -LINUX_EINVAL;
    long error = offset_in(t, from, a[1], &m.from_offset);
    if (!error)
        error = offset_in(t, to, a[3], &m.to_offset);
    if (error)
        return error;
    if (from->place.node == to->place.node && m.from_offset < m.to_offset + bytes &&
        m.to_offset < m.from_offset + bytes)
        return -LINUX_EINVAL;
    long result = move(t, &m, bytes);
    error = offset_out(t, from, a[1], m.from_offset, result);
    return error < 0 ? error : offset_out(t, to, a[3], m.to_offset, result);
}

/* ---- with pipes ---- */

#define SPLICE_FLAGS \
    (LINUX_SPLICE_F_MOVE | LINUX_SPLICE_F_NONBLOCK | LINUX_SPLICE_F_MORE | LINUX_SPLICE_F_GIFT)

long linux_splice(struct thread *t, const uint64_t *a)
{
    struct file *from = open_for(t, a[0], false), *to = open_for(t, a[2], true);
    struct move m = {.from = from, .to = to};
    uint32_t flags = (uint32_t)a[5];
    uint64_t bytes = a[4] < LINUX_RW_MAX ? a[4] : LINUX_RW_MAX;

    if (!bytes)
        return 0;
    if (flags & ~(uint32_t)SPLICE_FLAGS)
        return -LINUX_EINVAL;
    if (!from || !to)
        return -LINUX_EBADF;
    bool from_pipe = from->kind == FILE_PIPE, to_pipe = to->kind == FILE_PIPE;
    if ((from_pipe && a[1]) || (to_pipe && a[3]))
        return -LINUX_ESPIPE;
    if ((!from_pipe && !to_pipe) || (!from_pipe && !has_bytes(from)) ||
        (from_pipe && to_pipe && from->pipe == to->pipe) || (to->flags & LINUX_O_APPEND))
        return -LINUX_EINVAL;
    long error = offset_in(t, from, a[1], &m.from_offset);
    if (!error)
        error = offset_in(t, to, a[3], &m.to_offset);
    if (error)
        return error;
    m.wait = !(flags & LINUX_SPLICE_F_NONBLOCK);
    long result = note_epipe(t, move(t, &m, bytes));
    if (result == REQUEST_WAITS)
        return result;
    if (!from_pipe)
        result = offset_out(t, from, a[1], m.from_offset, result);
    return to->ops ? result : offset_out(t, to, a[3], m.to_offset, result);
}

long linux_tee(struct thread *t, const uint64_t *a)
{
    struct file *from = open_for(t, a[0], false), *to = open_for(t, a[1], true);
    struct move m = {.from = from, .to = to, .keep = true};

    if ((uint32_t)a[3] & ~(uint32_t)SPLICE_FLAGS)
        return -LINUX_EINVAL;
    if (!from || !to)
        return -LINUX_EBADF;
    if (from->kind != FILE_PIPE || to->kind != FILE_PIPE || from->pipe == to->pipe)
        return -LINUX_EINVAL;
    m.wait = !((uint32_t)a[3] & LINUX_SPLICE_F_NONBLOCK);
    return note_epipe(t, move(t, &m, a[2]));
}

/* ---- between a pipe and the client's memory ---- */

/* Bytes between the parts of the list and the pipe: how many, or -errno if none. */
static long move_parts(struct thread *t, struct file *file, const struct vector *v, bool write)
{
    uint64_t address, done = 0;
    size_t bytes;

    while ((bytes = vector_piece(v, done, &address))) {
        long part = write ? file_write(file, t->process->space, address, bytes, &file->offset, 1)
                          : file_read(file, t->process->space, address, bytes, &file->offset);
        if (part <= 0)
            return done ? (long)done : part;
        done += (uint64_t)part;
        if ((size_t)part < bytes)
            break;
    }
    return (long)done;
}

/* The bytes are copied: of a page that is given away (SPLICE_F_GIFT), too, or changed later. Only
 * room for a first byte, or a first byte, is waited for. */
long linux_vmsplice(struct thread *t, const uint64_t *a)
{
    struct file *file = request_file(t, (int32_t)a[0]);
    uint32_t flags = (uint32_t)a[3];
    struct vector v;

    if (flags & ~(uint32_t)SPLICE_FLAGS)
        return -LINUX_EINVAL;
    if (!file || (file->flags & LINUX_O_PATH))
        return -LINUX_EBADF;
    long error = vector_get(t, a[1], a[2], &v);
    if (error || !v.bytes)
        return error;
    if (file->kind != FILE_PIPE)
        return -LINUX_EBADF;
    bool write = (file->flags & LINUX_O_ACCMODE) != 0;
    long result = note_epipe(t, move_parts(t, file, &v, write));
    if (result == -LINUX_EAGAIN && !(flags & LINUX_SPLICE_F_NONBLOCK))
        return request_wait_file(t, file);
    return result;
}
