/* Pipes (see pipe.h). */
#include "user/linux/pipe.h"

#include <stdlib.h>

#include "user/linux/memfile.h"
#include "user/linux/request.h"
#include "user/linux/space.h"

#define PAGE_BYTES   4096
#define READ_EVENTS  (LINUX_POLLIN | LINUX_POLLRDNORM)
#define WRITE_EVENTS (LINUX_POLLOUT | LINUX_POLLWRNORM)

static const struct file_ops pipe_ops;

static bool reads(const struct file *file)
{
    return (file->flags & LINUX_O_ACCMODE) != LINUX_O_WRONLY;
}

static bool writes(const struct file *file)
{
    return (file->flags & LINUX_O_ACCMODE) != 0;
}

/* ---- opening and closing ---- */

/* The pipe of a node, which begins if nobody has it open; NULL without memory. */
static struct pipe *pipe_of(struct node *node)
{
    struct pipe *pipe = node->pipe;

    if (pipe)
        return pipe;
    pipe = malloc(sizeof(*pipe));
    if (!pipe)
        return NULL;
    *pipe = (struct pipe){0};
    ring_init(&pipe->ring, PIPE_BYTES);
    watched_init(&pipe->watched);
    node->pipe = pipe;
    return pipe;
}

static void end_unused(struct node *node)
{
    struct pipe *pipe = node->pipe;

    if (!pipe || pipe->readers || pipe->writers)
        return;
    watched_end(&pipe->watched);
    ring_free(&pipe->ring);
    free(pipe);
    node->pipe = NULL;
}

long pipe_open(const struct place *place, uint32_t flags, struct file **made)
{
    struct node *node = place->node;
    bool hurry = !fs_is_nameless(place) && (flags & LINUX_O_NONBLOCK);

    if (hurry && (flags & LINUX_O_ACCMODE) == LINUX_O_WRONLY &&
        !(node->pipe && node->pipe->readers))
        return -LINUX_ENXIO;
    struct pipe *pipe = pipe_of(node);
    struct file *file = pipe ? file_open(FILE_PIPE, &pipe_ops, flags) : NULL;
    if (!file) {
        end_unused(node);
        return pipe ? -LINUX_ENFILE : -LINUX_ENOMEM;
    }
    file->place = *place;
    node_get(node);
    file->pipe = pipe;
    /* Who opens it without waiting has not yet lost the writers that never came. */
    if (hurry && !pipe->writers)
        file->writers_before = pipe->writers_ever;
    pipe->readers += reads(file);
    pipe->readers_ever += reads(file);
    pipe->writers += writes(file);
    pipe->writers_ever += writes(file);
    queue_wake(&pipe->watched.wait);
    *made = file;
    return 0;
}

long pipe_make(struct file **reader, struct file **writer, uint32_t flags)
{
    struct node *node = fs_make(NULL, "", 0, NODE_FIFO, LINUX_S_IFIFO | 0600);
    const struct place place = {.node = node};

    if (!node)
        return -LINUX_ENOMEM;
    node->links = 1; /* as it is shown */
    node_stamp(node, STAMP_ACCESSED | STAMP_MODIFIED | STAMP_CHANGED);
    node_get(node);
    long error = pipe_open(&place, flags, reader);
    if (!error) {
        error = pipe_open(&place, flags | LINUX_O_WRONLY, writer);
        if (error)
            file_put(*reader);
    }
    node_put(node);
    return error;
}

long pipe_await_other(struct thread *t, struct file *file)
{
    const struct pipe *pipe = file->pipe;
    unsigned others = writes(file) ? pipe->readers : pipe->writers;
    unsigned ever = writes(file) ? pipe->readers_ever : pipe->writers_ever;

    if (others || fs_is_nameless(&file->place) || (file->flags & LINUX_O_NONBLOCK) ||
        (t->held && t->progress != ever))
        return 0;
    t->progress = ever;
    return request_wait_held(t, file, &file->pipe->watched.wait);
}

static void pipe_close(struct file *file)
{
    struct pipe *pipe = file->pipe;

    pipe->readers -= reads(file);
    pipe->writers -= writes(file);
    if (!pipe->readers)
        watched_wake(&pipe->watched, WRITE_EVENTS | LINUX_POLLERR);
    if (!pipe->writers)
        watched_wake(&pipe->watched, READ_EVENTS | LINUX_POLLHUP);
    end_unused(file->place.node);
}

/* ---- what is in it ---- */

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
    watched_wake(&pipe->watched, READ_EVENTS);
}

void pipe_drained(struct pipe *pipe)
{
    watched_wake(&pipe->watched, WRITE_EVENTS);
}

static long pipe_read(struct file *file, struct space *space, uint64_t address, size_t bytes)
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

static long pipe_write(struct file *file, struct space *space, uint64_t address, size_t bytes,
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

static unsigned pipe_poll(const struct file *file)
{
    const struct pipe *pipe = file->pipe;
    unsigned events = 0;

    if (reads(file)) {
        events |= ring_filled(&pipe->ring) ? READ_EVENTS : 0;
        if (!pipe->writers && pipe->writers_ever != file->writers_before)
            events |= LINUX_POLLHUP;
    }
    if (writes(file)) {
        events |= ring_room(&pipe->ring) >= LINUX_PIPE_BUF ? WRITE_EVENTS : 0;
        events |= pipe->readers ? 0 : LINUX_POLLERR;
    }
    return events;
}

static struct watched *pipe_watched(const struct file *file)
{
    return &file->pipe->watched;
}

static const struct file_ops pipe_ops = {
    .read = pipe_read,
    .write = pipe_write,
    .poll = pipe_poll,
    .watched = pipe_watched,
    .close = pipe_close,
};
