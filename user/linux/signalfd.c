/*
 * signalfd: signals that a process blocks, read from a file. A read takes those of the thread that
 * reads; readiness is that of the process that made the file. All such files wait at one place,
 * because signals are rare and these files are too.
 */
#include "user/linux/signalfd.h"

#include <stdlib.h>

#include "user/linux/calls.h"
#include "user/linux/file.h"
#include "user/linux/process.h"
#include "user/linux/request.h"
#include "user/linux/signal.h"
#include "user/linux/space.h"

static struct watched watched = {{TAILQ_HEAD_INITIALIZER(watched.wait.threads)},
                                 TAILQ_HEAD_INITIALIZER(watched.watches)};

void signalfd_notify(void)
{
    watched_wake(&watched, LINUX_POLLIN | LINUX_POLLRDNORM);
}

static unsigned signal_poll(const struct file *file)
{
    const struct process *p = process_by_pid(file->signal.pid);
    const struct thread *t;
    uint64_t bits;

    if (!p || p->state != PROCESS_ALIVE)
        return 0;
    bits = p->pending.bits;
    TAILQ_FOREACH(t, &p->threads, mates)
    {
        bits |= t->pending.bits;
    }
    return bits & file->signal.mask ? LINUX_POLLIN | LINUX_POLLRDNORM : 0;
}

static struct watched *signal_watched(const struct file *file)
{
    (void)file;
    return &watched;
}

static void signal_close(struct file *file)
{
    (void)file;
}

static const struct file_ops signal_ops = {
    .mode = 0600,
    .poll = signal_poll,
    .watched = signal_watched,
    .close = signal_close,
};

static struct linux_signalfd_siginfo describe(int signal, const struct signal_info *info)
{
    return (struct linux_signalfd_siginfo){
        .signo = (uint32_t)signal,
        .error = info->error,
        .code = info->code,
        .pid = (uint32_t)info->pid,
        .uid = info->uid,
        .status = info->status,
        .number = (int32_t)info->value,
        .pointer = info->value,
    };
}

long signalfd_read(struct thread *t, struct file *file, const struct vector *v)
{
    struct linux_signalfd_siginfo told;
    struct signal_info info;
    uint64_t address;
    long done = 0;
    int signal;

    if (v->bytes < sizeof(told))
        return -LINUX_EINVAL;
    while (vector_piece(v, (uint64_t)done, &address) >= sizeof(told) &&
           (signal = signal_take(t, file->signal.mask, &info))) {
        told = describe(signal, &info);
        if (copy_out(t->process->space, address, &told, sizeof(told)))
            return done ? done : -LINUX_EFAULT;
        done += (long)sizeof(told);
    }
    if (done || (file->flags & LINUX_O_NONBLOCK))
        return done ? done : -LINUX_EAGAIN;
    return request_wait_file(t, file);
}

long linux_signalfd4(struct thread *t, const uint64_t *a)
{
    uint32_t flags = (uint32_t)a[3];
    uint64_t mask;

    if ((flags & ~(uint32_t)(LINUX_O_NONBLOCK | LINUX_O_CLOEXEC)) || a[2] != sizeof(mask))
        return -LINUX_EINVAL;
    if (copy_in(t->process->space, &mask, a[1], sizeof(mask)))
        return -LINUX_EFAULT;
    mask &= ~SIGNALS_UNBLOCKABLE;
    if ((int32_t)a[0] != -1) {
        struct file *file = fd_get(t->process->files, (int32_t)a[0]);
        if (!file)
            return -LINUX_EBADF;
        if (file->kind != FILE_SIGNAL)
            return -LINUX_EINVAL;
        file->signal.mask = mask;
        signalfd_notify();
        return (int32_t)a[0];
    }
    struct file *file =
        file_open(FILE_SIGNAL, &signal_ops, LINUX_O_RDWR | (flags & LINUX_O_NONBLOCK));
    if (!file)
        return -LINUX_ENFILE;
    file->signal.mask = mask;
    file->signal.pid = t->process->pid;
    return fd_install_new(t->process->files, file, (flags & LINUX_O_CLOEXEC) != 0);
}
