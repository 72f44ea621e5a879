/*
 * Futexes: threads that wait for a word of memory to be changed. A word is named by its space and
 * address (memory is not shared between spaces under different addresses, so private and shared
 * ones are the same). Who changes the word makes its call under the big lock, so no wake-up is
 * lost.
 *
 * Waiters stand in one of a few queues by hash; a wake-up picks those of its word, in order.
 */
#include "user/linux/calls.h"

#include "user/linux/futex.h"
#include "user/linux/lock.h"
#include "user/linux/process.h"
#include "user/linux/request.h"
#include "user/linux/space.h"
#include "user/linux/time.h"

#define BUCKETS 64
#define WOKEN   1 /* t->progress of a waiter that was woken */
#define ANY     0xffffffffU

static struct wait_queue buckets[BUCKETS];

void futex_init(void)
{
    for (unsigned i = 0; i < BUCKETS; i++)
        queue_init(&buckets[i]);
}

static struct wait_queue *bucket(const struct space *space, uint64_t address)
{
    return &buckets[(address / 4 + space->slot) % BUCKETS];
}

static long wait_start(struct thread *t, uint64_t address, uint32_t expected, uint64_t timeout,
                       bool absolute, uint32_t clock_flag, uint32_t bits)
{
    struct linux_timespec limit;
    uint32_t value;

    if (bits == 0)
        return -LINUX_EINVAL;
    t->until = TIME_NEVER;
    if (timeout) {
        if (copy_in(t->process->space, &limit, timeout, sizeof(limit)))
            return -LINUX_EFAULT;
        if (!time_valid(&limit))
            return -LINUX_EINVAL;
        if (absolute && clock_flag)
            limit.sec = limit.sec > time_epoch_sec() ? limit.sec - time_epoch_sec() : 0;
        t->until = absolute ? time_to_ticks(&limit) : time_after(time_to_ticks(&limit));
    }
    if (copy_in(t->process->space, &value, address, sizeof(value)))
        return -LINUX_EFAULT;
    if (value != expected)
        return -LINUX_EAGAIN;
    t->futex_space = t->process->space;
    t->futex_address = address;
    t->futex_bits = bits;
    return 0;
}

static long futex_wait(struct thread *t, const uint64_t *a, bool bitset)
{
    if (!t->again) {
        long error =
            wait_start(t, a[0], (uint32_t)a[2], a[3], bitset,
                       (uint32_t)a[1] & LINUX_FUTEX_CLOCK_REALTIME, bitset ? (uint32_t)a[5] : ANY);
        if (error)
            return error;
    }
    if (t->progress == WOKEN)
        return 0;
    if (t->timed_out || time_now_ticks() >= t->until)
        return -LINUX_ETIMEDOUT;
    if (t->until != TIME_NEVER)
        deadline_set(t, t->until);
    long result = request_wait(t, bucket(t->futex_space, t->futex_address));
    return result == REQUEST_RESTART && t->until != TIME_NEVER ? REQUEST_INTERRUPTED : result;
}

static bool waits_for(const struct thread *t, const struct space *space, uint64_t address)
{
    return t->futex_space == space && t->futex_address == address;
}

/* Wake at most `count`, then let at most `move` of the rest wait for another word. How many both.
 */
static long wake(struct space *space, uint64_t address, int64_t count, uint32_t bits, int64_t move,
                 uint64_t to)
{
    struct thread *t, *next;
    long done = 0;

    for (t = TAILQ_FIRST(&bucket(space, address)->threads); t; t = next) {
        next = TAILQ_NEXT(t, wait);
        if (!waits_for(t, space, address) || !(t->futex_bits & bits))
            continue;
        if (done < count) {
            queue_leave(t);
            t->progress = WOKEN;
            request_wake(t);
        } else if (done - count < move) {
            queue_leave(t);
            t->futex_address = to;
            queue_join(bucket(space, to), t);
        } else {
            break;
        }
        done++;
    }
    return done;
}

long futex_wake(struct space *space, uint64_t address, int count)
{
    return wake(space, address, count, ANY, 0, 0);
}

static long requeue(struct thread *t, const uint64_t *a, bool compare)
{
    int32_t count = (int32_t)a[2], move = (int32_t)a[3];
    uint32_t value;

    if (count < 0 || move < 0 || (a[4] & 3))
        return -LINUX_EINVAL;
    if (compare) {
        if (copy_in(t->process->space, &value, a[0], sizeof(value)))
            return -LINUX_EFAULT;
        if (value != (uint32_t)a[5])
            return -LINUX_EAGAIN;
    }
    return wake(t->process->space, a[0], count, ANY, a[4] == a[0] ? 0 : move, a[4]);
}

long linux_futex(struct thread *t, const uint64_t *a)
{
    uint32_t operation =
        (uint32_t)a[1] & ~(uint32_t)(LINUX_FUTEX_PRIVATE | LINUX_FUTEX_CLOCK_REALTIME);

    if (a[0] & 3)
        return -LINUX_EINVAL;
    switch (operation) {
    case LINUX_FUTEX_WAIT:
        return futex_wait(t, a, false);
    case LINUX_FUTEX_WAIT_BITSET:
        return futex_wait(t, a, true);
    case LINUX_FUTEX_WAKE: {
        int32_t count = (int32_t)a[2];
        return wake(t->process->space, a[0], count > 0 ? count : 1, ANY, 0, 0);
    }
    case LINUX_FUTEX_WAKE_BITSET: {
        int32_t count = (int32_t)a[2];
        if ((uint32_t)a[5] == 0)
            return -LINUX_EINVAL;
        return wake(t->process->space, a[0], count > 0 ? count : 1, (uint32_t)a[5], 0, 0);
    }
    case LINUX_FUTEX_REQUEUE:
        return requeue(t, a, false);
    case LINUX_FUTEX_CMP_REQUEUE:
        return requeue(t, a, true);
    default:
        return -LINUX_ENOSYS;
    }
}
