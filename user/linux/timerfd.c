/*
 * timerfd: a timer that is a file. Reading gives how often it has expired since it was last read or
 * set, and waits for once. All clocks run with the time base; the real one is never set.
 */
#include "user/linux/calls.h"

#include <stdlib.h>

#include "user/linux/file.h"
#include "user/linux/process.h"
#include "user/linux/space.h"
#include "user/linux/time.h"
#include "user/linux/timer.h"

#define INTERVAL_MAX (1UL << 62)

struct timerfd {
    struct timer timer;
    uint64_t due;      /* when it was last set to expire */
    uint64_t interval; /* ticks; 0: once */
    uint64_t count;    /* that it expired */
    bool real_time;
    struct watched watched;
};

static void expired(struct timer *timer)
{
    struct timerfd *t = (struct timerfd *)((char *)timer - offsetof(struct timerfd, timer));

    t->count++;
    watched_wake(&t->watched, LINUX_POLLIN | LINUX_POLLRDNORM);
}

/* One that expires again and again is set again only when somebody asks, and has then expired as
 * often as there was time for: so the shortest interval costs no more than any. */
static void catch_up(struct timerfd *t)
{
    if (!t->count || !t->interval || t->timer.ticks)
        return;
    uint64_t missed = (time_now_ticks() - t->due) / t->interval;
    t->count += missed;
    t->due += (missed + 1) * t->interval;
    timer_set(&t->timer, t->due);
}

static long timer_read(struct file *file, struct space *space, uint64_t address, size_t bytes)
{
    struct timerfd *t = file->timer;

    if (bytes < sizeof(t->count))
        return -LINUX_EINVAL;
    catch_up(t);
    if (!t->count)
        return -LINUX_EAGAIN;
    if (copy_out(space, address, &t->count, sizeof(t->count)))
        return -LINUX_EFAULT;
    t->count = 0;
    return sizeof(t->count);
}

static unsigned timer_poll(const struct file *file)
{
    return file->timer->count ? LINUX_POLLIN | LINUX_POLLRDNORM : 0;
}

static struct watched *timer_watched(const struct file *file)
{
    return &file->timer->watched;
}

static void timer_close(struct file *file)
{
    timer_clear(&file->timer->timer);
    watched_end(&file->timer->watched);
    free(file->timer);
}

static const struct file_ops timer_ops = {
    .mode = 0600,
    .read = timer_read,
    .poll = timer_poll,
    .watched = timer_watched,
    .close = timer_close,
};

long linux_timerfd_create(struct thread *t, const uint64_t *a)
{
    uint32_t clock = (uint32_t)a[0], flags = (uint32_t)a[1];

    if (flags & ~(uint32_t)(LINUX_O_NONBLOCK | LINUX_O_CLOEXEC))
        return -LINUX_EINVAL;
    if (clock != LINUX_CLOCK_REALTIME && clock != LINUX_CLOCK_MONOTONIC &&
        clock != LINUX_CLOCK_BOOTTIME)
        return -LINUX_EINVAL;
    struct timerfd *timer = calloc(1, sizeof(*timer));
    if (!timer)
        return -LINUX_ENOMEM;
    timer->timer.expire = expired;
    timer->real_time = clock == LINUX_CLOCK_REALTIME;
    watched_init(&timer->watched);
    struct file *file =
        file_open(FILE_TIMER, &timer_ops, LINUX_O_RDWR | (flags & LINUX_O_NONBLOCK));
    if (!file) {
        free(timer);
        return -LINUX_ENFILE;
    }
    file->timer = timer;
    return fd_install_new(t->process->files, file, (flags & LINUX_O_CLOEXEC) != 0);
}

/* The timer of a descriptor: 0 or -errno. */
static long timer_of(struct thread *t, uint64_t fd, struct timerfd **timer)
{
    struct file *file = fd_get(t->process->files, (int32_t)fd);

    if (!file)
        return -LINUX_EBADF;
    if (file->kind != FILE_TIMER)
        return -LINUX_EINVAL;
    *timer = file->timer;
    return 0;
}

static struct linux_itimerspec setting(struct timerfd *timer)
{
    catch_up(timer);
    uint64_t now = time_now_ticks(), due = timer->timer.ticks;

    /* One that is set has at least a moment left. */
    return (struct linux_itimerspec){
        .interval = time_from_ticks(timer->interval),
        .value = time_from_ticks(due ? due > now ? due - now : 1 : 0),
    };
}

long linux_timerfd_gettime(struct thread *t, const uint64_t *a)
{
    struct timerfd *timer;
    long error = timer_of(t, a[0], &timer);

    if (error)
        return error;
    const struct linux_itimerspec now = setting(timer);
    return copy_out(t->process->space, a[1], &now, sizeof(now));
}

/* When it is due, for a value that is not 0. */
static uint64_t due_at(const struct timerfd *timer, struct linux_timespec value, bool absolute)
{
    if (!absolute)
        return time_after(time_to_ticks(&value));
    if (timer->real_time) {
        value.sec -= time_epoch_sec();
        if (value.sec < 0)
            return 1; /* long ago */
    }
    uint64_t ticks = time_to_ticks(&value);
    return ticks ? ticks : 1;
}

long linux_timerfd_settime(struct thread *t, const uint64_t *a)
{
    uint32_t flags = (uint32_t)a[1];
    struct linux_itimerspec new;
    struct timerfd *timer;

    if (copy_in(t->process->space, &new, a[2], sizeof(new)))
        return -LINUX_EFAULT;
    if ((flags & ~(uint32_t)(LINUX_TIMER_ABSTIME | LINUX_TFD_CANCEL_ON_SET)) ||
        !time_valid(&new.value) || !time_valid(&new.interval))
        return -LINUX_EINVAL;
    long error = timer_of(t, a[0], &timer);
    if (error)
        return error;
    const struct linux_itimerspec old = setting(timer);
    timer_clear(&timer->timer);
    timer->count = 0;
    timer->interval = time_to_ticks(&new.interval);
    if (timer->interval >= INTERVAL_MAX)
        timer->interval = 0; /* beyond all times that can be told */
    if (new.value.sec || new.value.nsec) {
        timer->due = due_at(timer, new.value, (flags & LINUX_TIMER_ABSTIME) != 0);
        if (timer->due <= time_now_ticks())
            expired(&timer->timer);
        else if (timer->due != TIME_NEVER)
            timer_set(&timer->timer, timer->due);
    }
    return a[3] ? copy_out(t->process->space, a[3], &old, sizeof(old)) : 0;
}
