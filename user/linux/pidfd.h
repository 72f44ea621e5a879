/*
 * Descriptors of processes. All of one process share one `struct pidfd`, which stays when the
 * process has gone: a number that is used again is never taken for the process that it was made
 * for. Big lock held in all functions.
 */
#ifndef LINUX_PIDFD_H
#define LINUX_PIDFD_H

#include <stdbool.h>
#include <stdint.h>

struct process;
struct thread;

/* The process of t's descriptor, which may be a zombie. 0, -EBADF: no such descriptor, -ESRCH: it
 * was waited for and is gone. */
long pidfd_get(const struct thread *t, int64_t fd, struct process **process);
/* A new descriptor of p in t's table: its number or -errno. */
long pidfd_install(struct thread *t, struct process *p, uint32_t flags);
/* Whether calls on t's descriptor, which is one, do not wait. */
bool pidfd_is_nonblocking(const struct thread *t, int64_t fd);
/* The process has ended: whoever polls sees it. */
void pidfd_changed(struct process *p);
/* The process is about to be forgotten. */
void pidfd_process_gone(struct process *p);

#endif
