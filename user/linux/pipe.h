/*
 * Pipes: a ring of bytes between those who have it open to read and those who have it open to
 * write.
 *
 * A pipe belongs to a node of the tree (NODE_FIFO), from the first opening to the last closing;
 * what nobody has read by then is lost. The node is a FIFO that mknod made, or one without a name
 * that pipe2 made for its two files: so /proc/PID/fd/N opens either of them again, for either
 * direction.
 *
 * Opening a FIFO by name waits for somebody at the other end. What counts is that somebody came,
 * even if it left at once: hence the two counts that only grow.
 *
 * One `struct watched` serves both ends. Readers wait in its queue only while the ring is empty and
 * writers only while it is full, so neither is woken in vain by its own kind. Big lock held in all
 * functions.
 */
#ifndef LINUX_PIPE_H
#define LINUX_PIPE_H

#include <stddef.h>
#include <stdint.h>

#include "user/linux/file.h"
#include "user/linux/ring.h"
#include "user/linux/watch.h"

#define PIPE_BYTES     65536
#define PIPE_BYTES_MAX 1048576 /* of F_SETPIPE_SZ */

struct pipe {
    unsigned readers, writers;           /* open files; one may be both */
    unsigned readers_ever, writers_ever; /* opened since it began */
    struct ring ring;
    struct watched watched;
};

/* What pipe2 gives: two files with one user each; 0, -ENFILE or -ENOMEM. */
long pipe_make(struct file **reader, struct file **writer, uint32_t flags);
/* A FIFO's file with one user: 0, -ENXIO (nobody reads, and it shall not be waited for), -ENFILE or
 * -ENOMEM. */
long pipe_open(const struct place *place, uint32_t flags, struct file **made);
/* The request that opened it goes on when the other end is open too: 0, or as request_wait(), and
 * then the file is kept for when the request is run again (t->held). */
long pipe_await_other(struct thread *t, struct file *file);
/* F_SETPIPE_SZ: what it holds from now on, or -errno. */
long pipe_resize(struct pipe *pipe, uint32_t bytes);
/* Something was put in or taken out. */
void pipe_filled(struct pipe *pipe);
void pipe_drained(struct pipe *pipe);

#endif
