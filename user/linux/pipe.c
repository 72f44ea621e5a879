/* Pipes (see pipe.h). */
#include "user/linux/pipe.h"

#include <stdlib.h>

#include "user/linux/file.h"

struct pipe *pipe_create(void)
{
    struct pipe *pipe = malloc(sizeof(*pipe));

    if (!pipe)
        return NULL;
    pipe->readers = pipe->writers = 1;
    pipe->head = pipe->tail = 0;
    queue_init(&pipe->read_wait);
    queue_init(&pipe->write_wait);
    return pipe;
}

/* Whoever waits at the other side is to find out that nothing more will come. */
static void end_closed(struct pipe *pipe)
{
    queue_wake(&pipe->read_wait);
    queue_wake(&pipe->write_wait);
    file_poll_wake();
    if (!pipe->readers && !pipe->writers)
        free(pipe);
}

void pipe_close_reader(struct pipe *pipe)
{
    pipe->readers--;
    end_closed(pipe);
}

void pipe_close_writer(struct pipe *pipe)
{
    pipe->writers--;
    end_closed(pipe);
}

static size_t contiguous(uint32_t position, size_t bytes)
{
    size_t end = PIPE_BYTES - position % PIPE_BYTES;

    return bytes < end ? bytes : end;
}

size_t pipe_read_piece(struct pipe *pipe, size_t bytes, const char **piece)
{
    size_t filled = pipe_filled(pipe);

    *piece = &pipe->data[pipe->head % PIPE_BYTES];
    return contiguous(pipe->head, bytes < filled ? bytes : filled);
}

size_t pipe_write_piece(struct pipe *pipe, size_t bytes, char **piece)
{
    size_t room = pipe_room(pipe);

    *piece = &pipe->data[pipe->tail % PIPE_BYTES];
    return contiguous(pipe->tail, bytes < room ? bytes : room);
}

void pipe_read_done(struct pipe *pipe, size_t bytes)
{
    pipe->head += (uint32_t)bytes;
    queue_wake(&pipe->write_wait);
    file_poll_wake();
}

void pipe_write_done(struct pipe *pipe, size_t bytes)
{
    pipe->tail += (uint32_t)bytes;
    queue_wake(&pipe->read_wait);
    file_poll_wake();
}
