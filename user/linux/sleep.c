/* Wait queues and deadlines (see sleep.h). */
#include "user/linux/sleep.h"

#include <stddef.h>

#include "user/linux/lock.h"
#include "user/linux/request.h"
#include "user/linux/thread.h"
#include "user/linux/time.h"
#include "user/linux/watch.h"

void queue_init(struct wait_queue *queue)
{
    TAILQ_INIT(&queue->threads);
}

void queue_join(struct wait_queue *queue, struct thread *t)
{
    linux_assert(!t->queue);
    t->queue = queue;
    TAILQ_INSERT_TAIL(&queue->threads, t, wait);
}

void queue_leave(struct thread *t)
{
    if (t->watch_set)
        watch_leave(t);
    if (!t->queue)
        return;
    TAILQ_REMOVE(&t->queue->threads, t, wait);
    t->queue = NULL;
}

void queue_wake(struct wait_queue *queue)
{
    struct thread *t;

    while ((t = TAILQ_FIRST(&queue->threads))) {
        queue_leave(t);
        request_wake(t);
    }
}

static void deadline_rings(struct timer *timer)
{
    struct thread *t = (void *)((char *)timer - offsetof(struct thread, deadline));

    t->timed_out = true;
    request_wake(t);
}

void deadline_set(struct thread *t, uint64_t ticks)
{
    t->deadline.expire = deadline_rings;
    timer_set(&t->deadline, ticks);
}

bool deadline_passed(struct thread *t)
{
    const struct linux_timespec slack = {.nsec = (int64_t)thread_timer_slack(t)};
    uint64_t at;

    if (t->timed_out)
        return true;
    if (t->until == TIME_NEVER || __builtin_add_overflow(t->until, time_to_ticks(&slack), &at))
        return false;
    if (time_now_ticks() >= at)
        return true;
    deadline_set(t, at);
    return false;
}

void deadline_clear(struct thread *t)
{
    timer_clear(&t->deadline);
}
