/* eventfd2: a counter that is a file. Reading takes it (or one of it, as a semaphore), and waits
 * for it to be more than 0; writing adds, and waits for room. */
#include "user/linux/calls.h"

#include <stdlib.h>

#include "user/linux/file.h"
#include "user/linux/process.h"
#include "user/linux/space.h"

#define MOST (~0UL - 1)

struct eventfd {
    uint64_t count; /* at most MOST */
    bool semaphore;
    struct watched watched;
};

static long event_read(struct file *file, struct space *space, uint64_t address, size_t bytes)
{
    struct eventfd *event = file->event;
    uint64_t value = event->semaphore ? 1 : event->count;

    if (bytes < sizeof(value))
        return -LINUX_EINVAL;
    if (!event->count)
        return -LINUX_EAGAIN;
    event->count -= value; /* and is lost if it cannot be told, as on Linux */
    watched_wake(&event->watched, LINUX_POLLOUT | LINUX_POLLWRNORM);
    return copy_out(space, address, &value, sizeof(value)) ? -LINUX_EFAULT : (long)sizeof(value);
}

static long event_write(struct file *file, struct space *space, uint64_t address, size_t bytes,
                        size_t wanted)
{
    struct eventfd *event = file->event;
    uint64_t value;

    (void)wanted;
    if (bytes != sizeof(value))
        return -LINUX_EINVAL;
    if (copy_in(space, &value, address, sizeof(value)))
        return -LINUX_EFAULT;
    if (value == ~0UL)
        return -LINUX_EINVAL;
    if (value > MOST - event->count)
        return -LINUX_EAGAIN;
    event->count += value;
    watched_wake(&event->watched, LINUX_POLLIN | LINUX_POLLRDNORM);
    return sizeof(value);
}

static unsigned event_poll(const struct file *file)
{
    return (file->event->count ? LINUX_POLLIN | LINUX_POLLRDNORM : 0) |
           (file->event->count < MOST ? LINUX_POLLOUT | LINUX_POLLWRNORM : 0);
}

static struct watched *event_watched(const struct file *file)
{
    return &file->event->watched;
}

static void event_close(struct file *file)
{
    watched_end(&file->event->watched);
    free(file->event);
}

static const struct file_ops event_ops = {
    .mode = 0600,
    .read = event_read,
    .write = event_write,
    .poll = event_poll,
    .watched = event_watched,
    .close = event_close,
};

long linux_eventfd2(struct thread *t, const uint64_t *a)
{
    uint32_t flags = (uint32_t)a[1];

    if (flags & ~(uint32_t)(LINUX_EFD_SEMAPHORE | LINUX_O_NONBLOCK | LINUX_O_CLOEXEC))
        return -LINUX_EINVAL;
    struct eventfd *event = malloc(sizeof(*event));
    if (!event)
        return -LINUX_ENOMEM;
    event->count = (uint32_t)a[0];
    event->semaphore = (flags & LINUX_EFD_SEMAPHORE) != 0;
    watched_init(&event->watched);
    struct file *file =
        file_open(FILE_EVENT, &event_ops, LINUX_O_RDWR | (flags & LINUX_O_NONBLOCK));
    if (!file) {
        free(event);
        return -LINUX_ENFILE;
    }
    file->event = event;
    return fd_install_new(t->process->files, file, (flags & LINUX_O_CLOEXEC) != 0);
}
