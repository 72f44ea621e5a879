/*
 * Pipes: a ring of bytes between two files, the end to read from and the end to write to. It goes
 * when both are closed. Big lock held in all functions.
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
    unsigned readers, writers; /* open files */
    struct ring ring;
    struct watched read, write;
};

extern const struct file_ops pipe_read_ops, pipe_write_ops;

/* Two files with one user each: 0, -ENFILE or -ENOMEM. */
long pipe_open(struct file **reader, struct file **writer, uint32_t flags);
/* F_SETPIPE_SZ: what it holds from now on, or -errno. */
long pipe_resize(struct pipe *pipe, uint32_t bytes);
/* Something was put in or taken out. */
void pipe_filled(struct pipe *pipe);
void pipe_drained(struct pipe *pipe);

#endif
