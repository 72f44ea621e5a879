/* Signals as files: what others need of signalfd.c. Big lock held. */
#ifndef LINUX_SIGNALFD_H
#define LINUX_SIGNALFD_H

#include "user/linux/thread.h"
#include "user/linux/vector.h"

struct file;

/* A signal pends somewhere. */
void signalfd_notify(void);
/* The whole of a read: bytes, -errno, or what request_wait() gives. */
long signalfd_read(struct thread *t, struct file *file, const struct vector *v);

#endif
