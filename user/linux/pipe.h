/*
 * Pipes: a ring of bytes between files. Moving bytes to and from clients is left to file.c, which
 * asks for contiguous pieces. Big lock held in all functions.
 */
#ifndef LINUX_PIPE_H
#define LINUX_PIPE_H

#include <stddef.h>
#include <stdint.h>

#include "user/linux/sleep.h"

#define PIPE_BYTES 65536 /* power of two */

struct pipe {
    unsigned readers, writers; /* open files */
    uint32_t head, tail;       /* counts, ever growing; index modulo PIPE_BYTES */
    struct wait_queue read_wait, write_wait;
    char data[PIPE_BYTES];
};

/* With one reader and one writer; NULL if there is no memory. */
struct pipe *pipe_create(void);
/* An end is closed; at the last one the pipe goes. */
void pipe_close_reader(struct pipe *pipe);
void pipe_close_writer(struct pipe *pipe);
static inline size_t pipe_filled(const struct pipe *pipe)
{
    return pipe->tail - pipe->head;
}
static inline size_t pipe_room(const struct pipe *pipe)
{
    return PIPE_BYTES - pipe_filled(pipe);
}
/* The next contiguous piece to read from or to write to, of at most `bytes`; its length. */
size_t pipe_read_piece(struct pipe *pipe, size_t bytes, const char **piece);
size_t pipe_write_piece(struct pipe *pipe, size_t bytes, char **piece);
/* So much of the piece was used; wakes the other side. */
void pipe_read_done(struct pipe *pipe, size_t bytes);
void pipe_write_done(struct pipe *pipe, size_t bytes);

#endif
