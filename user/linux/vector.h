/* Lists of client buffers, as readv and sendmsg have them. Big lock held in all functions. */
#ifndef LINUX_VECTOR_H
#define LINUX_VECTOR_H

#include <stddef.h>
#include <stdint.h>

#include "user/linux/abi.h"

struct thread;

struct vector {
    const struct linux_iovec *part;
    size_t parts;
    uint64_t bytes; /* all together */
};

/* The list at a client's address, in memory that the next call of this uses again: 0 or -errno. */
long vector_get(struct thread *t, uint64_t address, uint64_t count, struct vector *v);
/* A list of one, which is kept in *part. */
long vector_single(struct linux_iovec *part, uint64_t address, uint64_t bytes, struct vector *v);
/* The client's bytes from `from` on that lie in one place: how many, and where; 0 at the end. */
size_t vector_piece(const struct vector *v, uint64_t from, uint64_t *address);

#endif
