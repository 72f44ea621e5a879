/* Wait queues and deadlines (see sleep.h). Deadlines are one list in order of time. */
#include "user/linux/sleep.h"

#include "user/linux/lock.h"
#include "user/linux/request.h"
#include "user/linux/thread.h"

static struct thread_list timed = TAILQ_HEAD_INITIALIZER(timed);

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

void deadline_set(struct thread *t, uint64_t ticks)
{
    struct thread *later;

    linux_assert(ticks != 0);
    deadline_clear(t);
    t->deadline = ticks;
    TAILQ_FOREACH(later, &timed, timed)
    {
        if (later->deadline > ticks) {
            TAILQ_INSERT_BEFORE(later, t, timed);
            return;
        }
    }
    TAILQ_INSERT_TAIL(&timed, t, timed);
}

void deadline_clear(struct thread *t)
{
    if (!t->deadline)
        return;
    TAILQ_REMOVE(&timed, t, timed);
    t->deadline = 0;
}

void deadlines_run(uint64_t now_ticks)
{
    struct thread *t;

    while ((t = TAILQ_FIRST(&timed)) && t->deadline <= now_ticks) {
        deadline_clear(t);
        t->timed_out = true;
        request_wake(t);
    }
}

uint64_t deadlines_next(void)
{
    struct thread *first = TAILQ_FIRST(&timed);

    return first ? first->deadline : ~0UL;
}
