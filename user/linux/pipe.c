/* Pipes (see pipe.h). */
#include "user/linux/pipe.h"

#include <stdlib.h>

#include "user/linux/space.h"

#define PAGE_BYTES 4096

static struct pipe *create(void)
{
    struct pipe *pipe = malloc(sizeof(*pipe));

    if (!pipe)
        return NULL;
    pipe->readers = pipe->writers = 1;
    ring_init(&pipe->ring, PIPE_BYTES);
    watched_init(&pipe->read);
    watched_init(&pipe->write);
    return pipe;
}

long pipe_open(struct file **reader, struct file **writer, uint32_t flags)
{
    *reader = file_open(FILE_PIPE_READ, &pipe_read_ops, flags);
    *writer = file_open(FILE_PIPE_WRITE, &pipe_write_ops, flags | LINUX_O_WRONLY);
    struct pipe *pipe = *reader && *writer ? create() : NULL;

    if (pipe) {
        (*reader)->pipe = (*writer)->pipe = pipe;
        return 0;
    }
    long error = *reader && *writer ? -LINUX_ENOMEM : -LINUX_ENFILE;
    if (*reader)
        file_discard(*reader);
    if (*writer)
        file_discard(*writer);
    return error;
}

long pipe_resize(struct pipe *pipe, uint32_t bytes)
{
    uint32_t limit = PAGE_BYTES;

    if (bytes > PIPE_BYTES_MAX)
        return bytes > 1U << 31 ? -LINUX_EINVAL : -LINUX_EPERM;
    while (limit < bytes)
        limit *= 2;
    if (limit < ring_filled(&pipe->ring))
        return -LINUX_EBUSY;
    if (!ring_set_limit(&pipe->ring, limit))
        return -LINUX_ENOMEM;
    pipe_drained(pipe);
    return limit;
}

void pipe_filled(struct pipe *pipe)
{
    watched_wake(&pipe->read, LINUX_POLLIN | LINUX_POLLRDNORM);
}

void pipe_drained(struct pipe *pipe)
{
    watched_wake(&pipe->write, LINUX_POLLOUT | LINUX_POLLWRNORM);
}

static void free_unused(struct pipe *pipe)
{
    if (pipe->readers || pipe->writers)
        return;
    watched_end(&pipe->read);
    watched_end(&pipe->write);
    ring_free(&pipe->ring);
    free(pipe);
}

/* ---- the end to read from ---- */

static long reader_read(struct file *file, struct space *space, uint64_t address, size_t bytes)
{
    struct pipe *pipe = file->pipe;
    size_t filled = ring_filled(&pipe->ring);

    if (filled == 0)
        return pipe->writers ? -LINUX_EAGAIN : 0;
    size_t done = ring_copy_out(&pipe->ring, 0, space, address, bytes < filled ? bytes : filled);
    if (!done)
        return -LINUX_EFAULT;
    ring_drop(&pipe->ring, done);
    pipe_drained(pipe);
    return (long)done;
}

static unsigned reader_poll(const struct file *file)
{
    return (ring_filled(&file->pipe->ring) ? LINUX_POLLIN | LINUX_POLLRDNORM : 0) |
           (file->pipe->writers ? 0 : LINUX_POLLHUP);
}

static struct watched *reader_watched(const struct file *file)
{
    return &file->pipe->read;
}

static void reader_close(struct file *file)
{
    struct pipe *pipe = file->pipe;

    if (--pipe->readers == 0)
        watched_wake(&pipe->write, LINUX_POLLOUT | LINUX_POLLWRNORM | LINUX_POLLERR);
    free_unused(pipe);
}

const struct file_ops pipe_read_ops = {
    .mode = LINUX_S_IFIFO | 0600,
    .read = reader_read,
    .poll = reader_poll,
    .watched = reader_watched,
    .close = reader_close,
};

/* ---- the end to write to ---- */

static long writer_write(struct file *file, struct space *space, uint64_t address, size_t bytes,
                         size_t wanted)
{
    struct pipe *pipe = file->pipe;

    if (!pipe->readers)
        return -LINUX_EPIPE;
    if (ring_room(&pipe->ring) < wanted)
        return -LINUX_EAGAIN;
    long done = ring_write(&pipe->ring, space, address, bytes);
    if (done > 0)
        pipe_filled(pipe);
    return done;
}

static unsigned writer_poll(const struct file *file)
{
    bool room = ring_room(&file->pipe->ring) >= LINUX_PIPE_BUF;

    return (room ? LINUX_POLLOUT | LINUX_POLLWRNORM : 0) |
           (file->pipe->readers ? 0 : LINUX_POLLERR);
}

static struct watched *writer_watched(const struct file *file)
{
    return &file->pipe->write;
}

static void writer_close(struct file *file)
{
    struct pipe *pipe = file->pipe;

    if (--pipe->writers == 0)
        watched_wake(&pipe->read, LINUX_POLLIN | LINUX_POLLRDNORM | LINUX_POLLHUP);
    free_unused(pipe);
}

const struct file_ops pipe_write_ops = {
    .mode = LINUX_S_IFIFO | 0600,
    .write = writer_write,
    .poll = writer_poll,
    .watched = writer_watched,
    .close = writer_close,
};
