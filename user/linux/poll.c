/* ppoll and pselect6: waiting for any of several files (see watch.h). */
#include "user/linux/poll.h"

#include <string.h>

#include "user/linux/calls.h"
#include "user/linux/file.h"
#include "user/linux/process.h"
#include "user/linux/request.h"
#include "user/linux/signal.h"
#include "user/linux/space.h"
#include "user/linux/time.h"
#include "user/linux/watch.h"

#define IN_EVENTS \
    (LINUX_POLLIN | LINUX_POLLRDNORM | LINUX_POLLRDBAND | LINUX_POLLHUP | LINUX_POLLERR)
#define OUT_EVENTS (LINUX_POLLOUT | LINUX_POLLWRNORM | LINUX_POLLWRBAND | LINUX_POLLERR)
#define WORD_BITS  64

static struct linux_pollfd fds[FDS_MAX]; /* of the present call, under the big lock */

static unsigned look(const struct thread *t, const struct linux_pollfd *want)
{
    if (want->fd < 0)
        return 0;
    const struct file *file = fd_get(t->process->files, want->fd);
    if (!file)
        return LINUX_POLLNVAL;
    return file_poll(file) & ((unsigned)(uint16_t)want->events | WATCH_ALWAYS);
}

long poll_begin(struct thread *t, uint64_t timeout, uint64_t mask, uint64_t mask_bytes)
{
    struct linux_timespec limit;
    uint64_t bits;

    t->until = TIME_NEVER;
    if (timeout) {
        if (copy_in(t->process->space, &limit, timeout, sizeof(limit)))
            return -LINUX_EFAULT;
        if (!time_valid(&limit))
            return -LINUX_EINVAL;
        t->until = limit.sec || limit.nsec ? time_after(time_to_ticks(&limit)) : 0;
    }
    if (mask) {
        if (mask_bytes != sizeof(bits))
            return -LINUX_EINVAL;
        if (copy_in(t->process->space, &bits, mask, sizeof(bits)))
            return -LINUX_EFAULT;
        signal_mask_for_wait(t, bits);
    }
    return 0;
}

/* What is left of the time limit goes back to the client, if it can. */
static void tell_rest(struct thread *t, uint64_t timeout)
{
    uint64_t now = time_now_ticks();

    if (!timeout || t->until == 0 || t->until == TIME_NEVER)
        return;
    struct linux_timespec rest = time_from_ticks(t->until > now ? t->until - now : 0);
    copy_out(t->process->space, timeout, &rest, sizeof(rest));
}

/* How many of fds[] are ready; or none and their time is up (0); or what request_wait() gives. */
static long poll_some(struct thread *t, size_t count, uint64_t timeout)
{
    long ready = 0;

    for (size_t i = 0; i < count; i++) {
        fds[i].revents = (int16_t)look(t, &fds[i]);
        ready += fds[i].revents != 0;
    }
    if (!ready && !deadline_passed(t)) {
        long result = watch_wait(t, fds, count);
        if (result == REQUEST_WAITS)
            return result;
        tell_rest(t, timeout);
        return result == REQUEST_RESTART ? REQUEST_INTERRUPTED : result;
    }
    tell_rest(t, timeout);
    return ready;
}

long linux_ppoll(struct thread *t, const uint64_t *a)
{
    size_t count = (uint32_t)a[1];

    if (count > t->process->files->limit)
        return -LINUX_EINVAL;
    long error = t->again ? 0 : poll_begin(t, a[2], a[3], a[4]);
    if (error)
        return error;
    if (copy_in(t->process->space, fds, a[0], count * sizeof(fds[0])))
        return -LINUX_EFAULT;
    long ready = poll_some(t, count, a[2]);
    if (ready < 0)
        return ready;
    if (copy_out(t->process->space, a[0], fds, count * sizeof(fds[0])))
        return -LINUX_EFAULT;
    return ready;
}

/* ---- pselect6 ---- */

struct sets {
    uint64_t word[3][FDS_MAX / WORD_BITS]; /* to read, to write, exceptions */
};

static const unsigned set_events[3] = {IN_EVENTS, OUT_EVENTS, LINUX_POLLPRI};

static bool in_set(const struct sets *sets, unsigned set, unsigned fd)
{
    return sets->word[set][fd / WORD_BITS] >> (fd % WORD_BITS) & 1;
}

static size_t sets_bytes(unsigned limit)
{
    return (limit + WORD_BITS - 1) / WORD_BITS * sizeof(uint64_t);
}

/* The descriptors below `limit` that are in any set, into fds[]: how many, or -EBADF. */
static long sets_to_fds(const struct thread *t, const struct sets *sets, unsigned limit)
{
    long count = 0;

    for (unsigned fd = 0; fd < limit; fd++) {
        unsigned events = 0;
        for (unsigned set = 0; set < 3; set++)
            events |= in_set(sets, set, fd) ? set_events[set] : 0;
        if (!events)
            continue;
        if (!fd_get(t->process->files, fd))
            return -LINUX_EBADF;
        fds[count++] = (struct linux_pollfd){.fd = (int32_t)fd, .events = (int16_t)events};
    }
    return count;
}

/* Leave in the sets, of `bytes` bytes each, what is ready: how many bits. */
static long fds_to_sets(size_t count, const struct sets *wanted, struct sets *ready, size_t bytes)
{
    long bits = 0;

    for (unsigned set = 0; set < 3; set++)
        memset(ready->word[set], 0, bytes);
    for (size_t i = 0; i < count; i++) {
        unsigned fd = (unsigned)fds[i].fd;
        for (unsigned set = 0; set < 3; set++) {
            if (!in_set(wanted, set, fd) || !((unsigned)(uint16_t)fds[i].revents & set_events[set]))
                continue;
            ready->word[set][fd / WORD_BITS] |= 1UL << (fd % WORD_BITS);
            bits++;
        }
    }
    return bits;
}

/* The first run: the limit and the mask, which comes as a pointer and a length. */
static long select_begin(struct thread *t, const uint64_t *a)
{
    struct linux_sigset_argument mask = {0};

    if (a[5] && copy_in(t->process->space, &mask, a[5], sizeof(mask)))
        return -LINUX_EFAULT;
    return poll_begin(t, a[4], mask.address, mask.bytes);
}

long linux_pselect6(struct thread *t, const uint64_t *a)
{
    struct space *space = t->process->space;
    struct sets wanted, ready;
    unsigned limit = (uint32_t)a[0];

    long error = t->again ? 0 : select_begin(t, a);
    if (error)
        return error;
    if ((int32_t)limit < 0)
        return -LINUX_EINVAL;
    if (limit > FDS_MAX)
        limit = FDS_MAX;
    for (unsigned set = 0; set < 3; set++) {
        memset(wanted.word[set], 0, sets_bytes(limit));
        if (a[1 + set] && copy_in(space, wanted.word[set], a[1 + set], sets_bytes(limit)))
            return -LINUX_EFAULT;
    }
    long count = sets_to_fds(t, &wanted, limit);
    if (count < 0)
        return count;
    long result = poll_some(t, (size_t)count, a[4]);
    if (result < 0)
        return result;
    result = fds_to_sets((size_t)count, &wanted, &ready, sets_bytes(limit));
    for (unsigned set = 0; set < 3; set++) {
        if (a[1 + set] && copy_out(space, a[1 + set], ready.word[set], sets_bytes(limit)))
            return -LINUX_EFAULT;
    }
    return result;
}
