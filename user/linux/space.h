/*
 * Address spaces of clients: the memory server's mm, counted by the processes in it (a vfork child
 * shares its parent's), and the checked copy to and from them.
 *
 * Big lock held in all functions. Addresses are the client's; nothing about them is trusted.
 */
#ifndef LINUX_SPACE_H
#define LINUX_SPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/linux/timer.h"

struct space {
    unsigned users;
    unsigned slot;        /* of its Space capability */
    uint64_t mm;          /* the memory server's number */
    uint64_t serial;      /* no other space ever has it; never 0 */
    uint64_t trampoline;  /* where signal_trampoline is mapped; 0: not yet */
    struct timer release; /* until the next part of it goes */
};

/* Our own memory, for bytes on their way from file to file: it can be copied to and from like a
 * client's, and nothing else. */
extern struct space own_space;

/* An empty space with one user. NULL with *error = -errno when there is none to be had. */
struct space *space_create(long *error);
/* A copy of another one, as fork makes it. */
struct space *space_fork(const struct space *of, long *error);
void space_get(struct space *space);
/* The last one releases it at the memory server; no thread may be left in it. A large one goes in
 * parts, between which others have their turns; what is left of it goes by itself. */
void space_put(struct space *space);
/* The same for who waits for its end: false, and it is to be called again at space_next_part(). */
bool space_put_part(struct space *space);
uint64_t space_next_part(void);

/* Bytes copied from the start on, short at the first that cannot be (0..bytes). */
size_t copy_in_some(struct space *space, void *to, uint64_t from, size_t bytes);
size_t copy_out_some(struct space *space, uint64_t to, const void *from, size_t bytes);
/* All of it: 0 or -EFAULT. */
long copy_in(struct space *space, void *to, uint64_t from, size_t bytes);
long copy_out(struct space *space, uint64_t to, const void *from, size_t bytes);
/* A NUL-terminated string into room bytes: its length; -EFAULT; -ENAMETOOLONG if it does not fit.
 */
long copy_in_string(struct space *space, char *to, uint64_t from, size_t room);

#endif
