/* ppoll: waiting for any of several files. Who waits here is woken by whatever may have changed. */
#include "user/linux/calls.h"

#include "user/linux/file.h"
#include "user/linux/process.h"
#include "user/linux/request.h"
#include "user/linux/signal.h"
#include "user/linux/space.h"
#include "user/linux/time.h"

static unsigned look(const struct thread *t, const struct linux_pollfd *want)
{
    if (want->fd < 0)
        return 0;
    const struct file *file = fd_get(t->process->files, want->fd);
    if (!file)
        return LINUX_POLLNVAL;
    return file_poll(file) & ((unsigned)(uint16_t)want->events | LINUX_POLLERR | LINUX_POLLHUP);
}

/* The timeout and the mask, when the call begins. 0, or -errno. */
static long begin(struct thread *t, const uint64_t *a)
{
    struct linux_timespec timeout;
    uint64_t mask;

    t->until = TIME_NEVER;
    if (a[2]) {
        if (copy_in(t->process->space, &timeout, a[2], sizeof(timeout)))
            return -LINUX_EFAULT;
        if (!time_valid(&timeout))
            return -LINUX_EINVAL;
        t->until = time_after(time_to_ticks(&timeout));
    }
    if (a[3]) {
        if (a[4] != sizeof(mask))
            return -LINUX_EINVAL;
        if (copy_in(t->process->space, &mask, a[3], sizeof(mask)))
            return -LINUX_EFAULT;
        signal_mask_for_wait(t, mask);
    }
    return 0;
}

long linux_ppoll(struct thread *t, const uint64_t *a)
{
    static struct linux_pollfd fds[FDS_MAX]; /* under the big lock */
    size_t count = (uint32_t)a[1];
    long ready = 0;

    if (count > FDS_MAX)
        return -LINUX_EINVAL;
    if (copy_in(t->process->space, fds, a[0], count * sizeof(fds[0])))
        return -LINUX_EFAULT;
    long error = t->again ? 0 : begin(t, a);
    if (error)
        return error;
    for (size_t i = 0; i < count; i++) {
        fds[i].revents = (int16_t)look(t, &fds[i]);
        ready += fds[i].revents != 0;
    }
    if (!ready && !t->timed_out && time_now_ticks() < t->until) {
        if (t->until != TIME_NEVER)
            deadline_set(t, t->until);
        long result = request_wait(t, file_poll_wait());
        return result == REQUEST_RESTART ? REQUEST_INTERRUPTED : result;
    }
    if (copy_out(t->process->space, a[0], fds, count * sizeof(fds[0])))
        return -LINUX_EFAULT;
    return ready;
}
