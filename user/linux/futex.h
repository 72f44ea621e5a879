/* Futexes, as other parts use them. Big lock held. */
#ifndef LINUX_FUTEX_H
#define LINUX_FUTEX_H

#include <stdint.h>

struct space;
struct thread;

/* What a word is called by all who may wait for it. */
struct futex_key {
    const struct space *space; /* private to it; NULL: it is in a shared object */
    uint64_t object;           /* the memory server's number */
    uint64_t at;               /* address, or offset in the object */
};

void futex_init(void);
/* robust.c: t, which does not run any more, leaves the locks that its list names. */
void futex_thread_ends(struct thread *t);
/* Wake at most `count` threads that wait for that word; how many, or -errno. */
long futex_wake(struct space *space, uint64_t address, int count);

#endif
