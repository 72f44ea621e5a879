/* Timers (see timer.h): one list in order of time. */
#include "user/linux/timer.h"

#include "user/linux/lock.h"

TAILQ_HEAD(timer_list, timer);
static struct timer_list timers = TAILQ_HEAD_INITIALIZER(timers);

void timer_set(struct timer *timer, uint64_t ticks)
{
    struct timer *later;

    linux_assert(ticks != 0 && timer->expire);
    timer_clear(timer);
    timer->ticks = ticks;
    TAILQ_FOREACH(later, &timers, link)
    {
        if (later->ticks > ticks) {
            TAILQ_INSERT_BEFORE(later, timer, link);
            return;
        }
    }
    TAILQ_INSERT_TAIL(&timers, timer, link);
}

void timer_clear(struct timer *timer)
{
    if (!timer->ticks)
        return;
    TAILQ_REMOVE(&timers, timer, link);
    timer->ticks = 0;
}

void timers_run(uint64_t now_ticks)
{
    struct timer *timer;

    while ((timer = TAILQ_FIRST(&timers)) && timer->ticks <= now_ticks) {
        timer_clear(timer);
        timer->expire(timer);
    }
}

uint64_t timers_next(void)
{
    const struct timer *first = TAILQ_FIRST(&timers);

    return first ? first->ticks : ~0UL;
}
