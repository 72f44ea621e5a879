/* Futexes, as other parts use them. Big lock held. */
#ifndef LINUX_FUTEX_H
#define LINUX_FUTEX_H

#include <stdint.h>

struct space;

void futex_init(void);
/* Wake at most `count` threads that wait for that word; how many. */
long futex_wake(struct space *space, uint64_t address, int count);

#endif
