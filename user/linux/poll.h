/* What calls that wait with a time limit and another signal mask share: ppoll, pselect6 and
 * epoll's. Big lock held. */
#ifndef LINUX_POLL_H
#define LINUX_POLL_H

#include <stdint.h>

#include "user/linux/thread.h"

/* At a call's first run: t->until from the struct timespec at `timeout` (0: none), and the mask of
 * `mask_bytes` bytes at `mask` (0: none) while it waits. 0 or -errno. */
long poll_begin(struct thread *t, uint64_t timeout, uint64_t mask, uint64_t mask_bytes);

#endif
