/*
 * sendmmsg and recvmmsg: several messages in one call.
 *
 * Each message waits as it would in a call of its own; t->messages is what a call that had to wait
 * has done. What goes wrong after the first message ends the call with what was done.
 */
#include "user/linux/socket.h"

#include "user/linux/calls.h"
#include "user/linux/process.h"
#include "user/linux/request.h"
#include "user/linux/space.h"
#include "user/linux/time.h"

typedef long one_message(struct thread *t, struct file *file, uint64_t address, uint32_t flags);

static uint64_t entry_at(const uint64_t *a, uint64_t index)
{
    return a[1] + index * sizeof(struct linux_mmsghdr);
}

/* The next of the call's messages: 0, or what ends the call. */
static long next_message(struct thread *t, const uint64_t *a, struct file *file, uint32_t flags,
                         one_message *message)
{
    uint64_t entry = entry_at(a, t->messages.done);
    long result = message(t, file, entry, flags);

    if (result < 0)
        return result;
    const uint32_t bytes = (uint32_t)result;
    if (copy_out(t->process->space, entry + offsetof(struct linux_mmsghdr, bytes), &bytes,
                 sizeof(bytes)))
        return -LINUX_EFAULT;
    t->messages.done++;
    t->progress = 0;
    t->until = 0; /* the next has the time that the socket gives to each */
    return 0;
}

static uint64_t count_of(const uint64_t *a)
{
    return (uint32_t)a[2] < LINUX_IOV_MAX ? (uint32_t)a[2] : LINUX_IOV_MAX;
}

long linux_sendmmsg(struct thread *t, const uint64_t *a)
{
    struct socket *s;
    struct file *file;
    long error = socket_of(t, a[0], &file, &s);

    if (error)
        return error;
    if (!t->again)
        t->messages.done = 0;
    while (!error && t->messages.done < count_of(a))
        error = next_message(t, a, file, (uint32_t)a[3], socket_send_message);
    return error == REQUEST_WAITS || !t->messages.done ? error : (long)t->messages.done;
}

/* The time limit of recvmmsg, which is looked at between messages: 0 or -errno. */
static long limit_in(struct thread *t, uint64_t address)
{
    struct linux_timespec limit;

    t->messages.done = 0;
    t->messages.end = TIME_NEVER;
    if (!address)
        return 0;
    if (copy_in(t->process->space, &limit, address, sizeof(limit)))
        return -LINUX_EFAULT;
    if (!time_valid(&limit))
        return -LINUX_EINVAL;
    t->messages.end = time_after(time_to_ticks(&limit));
    return 0;
}

/* What is left of it. */
static long limit_out(struct thread *t, uint64_t address)
{
    uint64_t now = time_now_ticks(), end = t->messages.end;

    if (!address || end == TIME_NEVER)
        return 0;
    const struct linux_timespec rest = time_from_ticks(end > now ? end - now : 0);
    return copy_out(t->process->space, address, &rest, sizeof(rest));
}

/* An error after messages is told by the next call, if it is the socket's own. */
static long after_messages(struct thread *t, struct socket *s, const uint64_t *a, long error)
{
    if (error == -LINUX_ECONNRESET || error == -LINUX_ECONNREFUSED)
        s->error = (int)-error;
    error = limit_out(t, a[4]);
    return error ? error : (long)t->messages.done;
}

long linux_recvmmsg(struct thread *t, const uint64_t *a)
{
    uint32_t flags = (uint32_t)a[3];
    struct socket *s;
    struct file *file;
    long error = t->again ? 0 : limit_in(t, a[4]);

    if (!error)
        error = socket_of(t, a[0], &file, &s);
    if (!error && !t->again)
        error = socket_take_error(s);
    if (error)
        return error;
    while (!error && t->messages.done < count_of(a)) {
        bool wait = !t->messages.done || !(flags & LINUX_MSG_WAITFORONE);
        error = next_message(t, a, file,
                             (flags & ~(uint32_t)LINUX_MSG_WAITFORONE) |
                                 (wait ? 0 : (uint32_t)LINUX_MSG_DONTWAIT),
                             socket_receive_message);
        if (!error && time_now_ticks() >= t->messages.end)
            break;
    }
    if (error == REQUEST_WAITS || !t->messages.done)
        return error;
    return after_messages(t, s, a, error);
}
