/* See pidfd.h. */
#include "user/linux/pidfd.h"

#include <stdlib.h>

#include "user/linux/calls.h"
#include "user/linux/file.h"
#include "user/linux/process.h"

struct pidfd {
    struct process *process; /* NULL: it is gone */
    unsigned files;
    struct watched watched;
};

static unsigned pidfd_poll(const struct file *file)
{
    const struct process *p = file->pidfd->process;

    if (!p)
        return LINUX_POLLIN | LINUX_POLLRDNORM | LINUX_POLLHUP;
    return p->state == PROCESS_ZOMBIE ? LINUX_POLLIN | LINUX_POLLRDNORM : 0;
}

static struct watched *pidfd_watched(const struct file *file)
{
    return &file->pidfd->watched;
}

static void pidfd_put(struct pidfd *pidfd)
{
    if (--pidfd->files)
        return;
    if (pidfd->process)
        pidfd->process->pidfd = NULL;
    watched_end(&pidfd->watched);
    free(pidfd);
}

static void pidfd_close(struct file *file)
{
    pidfd_put(file->pidfd);
}

static const struct file_ops pidfd_ops = {
    .mode = 0600,
    .poll = pidfd_poll,
    .watched = pidfd_watched,
    .close = pidfd_close,
};

/* With one more file to come. */
static struct pidfd *pidfd_share(struct process *p)
{
    if (!p->pidfd && (p->pidfd = malloc(sizeof(*p->pidfd)))) {
        p->pidfd->process = p;
        p->pidfd->files = 0;
        watched_init(&p->pidfd->watched);
    }
    if (p->pidfd)
        p->pidfd->files++;
    return p->pidfd;
}

long pidfd_install(struct thread *t, struct process *p, uint32_t flags)
{
    struct pidfd *pidfd = pidfd_share(p);

    if (!pidfd)
        return -LINUX_ENOMEM;
    struct file *file = file_open(FILE_PIDFD, &pidfd_ops, LINUX_O_RDWR | flags);
    if (!file) {
        pidfd_put(pidfd);
        return -LINUX_ENFILE;
    }
    file->pidfd = pidfd;
    return fd_install_new(t->process->files, file, true);
}

long linux_pidfd_open(struct thread *t, const uint64_t *a)
{
    uint32_t flags = (uint32_t)a[1];
    int pid = (int32_t)a[0];

    if ((flags & ~(uint32_t)LINUX_O_NONBLOCK) || pid <= 0)
        return -LINUX_EINVAL;
    struct process *p = process_by_pid(pid);
    if (!p)
        return thread_by_tid(pid) ? -LINUX_ENOENT : -LINUX_ESRCH;
    return pidfd_install(t, p, flags);
}

bool pidfd_is_nonblocking(const struct thread *t, int64_t fd)
{
    return (fd_get(t->process->files, fd)->flags & LINUX_O_NONBLOCK) != 0;
}

long pidfd_get(const struct thread *t, int64_t fd, struct process **process)
{
    const struct file *file = fd_get(t->process->files, fd);

    if (!file || file->kind != FILE_PIDFD)
        return -LINUX_EBADF;
    *process = file->pidfd->process;
    return *process ? 0 : -LINUX_ESRCH;
}

void pidfd_changed(struct process *p)
{
    if (p->pidfd)
        watched_wake(&p->pidfd->watched, LINUX_POLLIN | LINUX_POLLRDNORM);
}

void pidfd_process_gone(struct process *p)
{
    if (!p->pidfd)
        return;
    p->pidfd->process = NULL;
    watched_wake(&p->pidfd->watched, LINUX_POLLHUP);
    p->pidfd = NULL;
}
