/*
 * Futexes: threads that wait for a word of memory to be changed. A private word is named by its
 * space and address, a shared one by the object that it is in and its place there, wherever it is
 * mapped. Who changes the word makes its call under the big lock, so no wake-up is lost.
 *
 * Waiters stand in one of a few queues by hash; a wake-up picks those of its word, in order.
 */
#include "user/linux/calls.h"

#include "user/linux/futex.h"
#include "user/linux/lock.h"
#include "user/linux/mmcall.h"
#include "user/linux/process.h"
#include "user/linux/request.h"
#include "user/linux/space.h"
#include "user/linux/time.h"

#define BUCKETS    64
#define WOKEN      1 /* t->progress of a waiter that was woken */
#define ANY        0xffffffffU
#define SWAP_TRIES 64 /* of an exchange that others are quicker with */

static struct wait_queue buckets[BUCKETS];

void futex_init(void)
{
    for (unsigned i = 0; i < BUCKETS; i++)
        queue_init(&buckets[i]);
}

static struct wait_queue *bucket(const struct futex_key *key)
{
    uint64_t of = key->space ? key->space->slot : key->object;

    return &buckets[(key->at / 4 + of) % BUCKETS];
}

static bool same(const struct futex_key *a, const struct futex_key *b)
{
    return a->at == b->at && a->object == b->object && a->space == b->space;
}

/* 0 or -errno. A word that nobody else can see is private, whatever its user says. */
static long key_of(struct space *space, uint64_t address, bool private, struct futex_key *key)
{
    struct mm_word_key word = {0};

    if (address & 3)
        return -LINUX_EINVAL;
    if ((int64_t)address < 0)
        return -LINUX_EFAULT;
    if (!private && mmcall_word_key(space->mm, address, &word))
        return -LINUX_EFAULT;
    *key = word.object ? (struct futex_key){NULL, word.object, word.offset}
                       : (struct futex_key){space, 0, address};
    return 0;
}

/* ---- waiting ---- */

/* 0 if the word is as expected. */
static long compare(struct thread *t, uint64_t address, uint32_t expected)
{
    uint32_t value;

    if (copy_in(t->process->space, &value, address, sizeof(value)))
        return -LINUX_EFAULT;
    return value == expected ? 0 : -LINUX_EAGAIN;
}

/* When a wait with that time limit (0: none) ends: 0 or -errno. */
static long limit_read(struct thread *t, uint64_t from, bool absolute, bool realtime)
{
    struct linux_timespec limit;

    t->until = TIME_NEVER;
    if (!from)
        return 0;
    if (copy_in(t->process->space, &limit, from, sizeof(limit)))
        return -LINUX_EFAULT;
    if (!time_valid(&limit))
        return -LINUX_EINVAL;
    if (realtime)
        limit.sec = limit.sec > time_epoch_sec() ? limit.sec - time_epoch_sec() : 0;
    t->until = absolute ? time_to_ticks(&limit) : time_after(time_to_ticks(&limit));
    return 0;
}

static long wait_begin(struct thread *t, const uint64_t *a, bool bitset)
{
    uint32_t operation = (uint32_t)a[1];
    bool realtime = (operation & LINUX_FUTEX_CLOCK_REALTIME) != 0;

    t->futex_bits = bitset ? (uint32_t)a[5] : ANY;
    if (t->futex_bits == 0)
        return -LINUX_EINVAL;
    long error = limit_read(t, a[3], bitset, realtime);
    if (error)
        return error;
    return key_of(t->process->space, a[0], (operation & LINUX_FUTEX_PRIVATE) != 0, &t->futex_key);
}

/* Run again, it was woken, it is late, or it was interrupted and stood nowhere meanwhile: then the
 * word is looked at again. */
static long futex_wait(struct thread *t, const uint64_t *a, bool bitset)
{
    if (!t->again) {
        long error = wait_begin(t, a, bitset);
        if (error)
            return error;
    }
    if (t->progress == WOKEN)
        return 0;
    if (t->timed_out)
        return -LINUX_ETIMEDOUT;
    long error = compare(t, a[0], (uint32_t)a[2]);
    if (error)
        return error;
    if (deadline_passed(t))
        return -LINUX_ETIMEDOUT;
    long result = request_wait(t, bucket(&t->futex_key));
    return result == REQUEST_RESTART && t->until != TIME_NEVER ? REQUEST_INTERRUPTED : result;
}

/* ---- waking ---- */

/* Wake at most `count` (one if that is 0) whose bits are among those. */
static long wake(const struct futex_key *key, int32_t count, uint32_t bits)
{
    struct thread *t, *next;
    long done = 0;

    for (t = TAILQ_FIRST(&bucket(key)->threads); t; t = next) {
        next = TAILQ_NEXT(t, wait);
        if (!same(&t->futex_key, key) || !(t->futex_bits & bits))
            continue;
        queue_leave(t);
        t->progress = WOKEN;
        request_wake(t);
        if (++done >= count)
            break;
    }
    return done;
}

long futex_wake(struct space *space, uint64_t address, int count)
{
    struct futex_key key;
    long error = key_of(space, address, false, &key);

    return error ? error : wake(&key, count, ANY);
}

/* Wake `count`, and let at most `move` of the rest wait for another word; how many both. */
static long wake_and_move(const struct futex_key *from, const struct futex_key *to, int32_t count,
                          int32_t move)
{
    struct thread *t, *next;
    long woken = count ? wake(from, count, ANY) : 0, moved = 0;

    for (t = TAILQ_FIRST(&bucket(from)->threads); t && moved < move; t = next) {
        next = TAILQ_NEXT(t, wait);
        if (!same(&t->futex_key, from))
            continue;
        moved++;
        if (same(from, to))
            continue;
        queue_leave(t);
        t->futex_key = *to;
        queue_join(bucket(to), t);
    }
    return woken + moved;
}

static long requeue(struct thread *t, const uint64_t *a, bool private, bool with_value)
{
    int32_t count = (int32_t)a[2], move = (int32_t)a[3];
    struct space *space = t->process->space;
    struct futex_key from, to;

    if (count < 0 || move < 0)
        return -LINUX_EINVAL;
    long error = key_of(space, a[0], private, &from);
    if (!error)
        error = key_of(space, a[4], private, &to);
    if (!error && with_value)
        error = compare(t, a[0], (uint32_t)a[5]);
    return error ? error : wake_and_move(&from, &to, count, move);
}

/* ---- changing the word ---- */

/* The operation and the comparison that FUTEX_WAKE_OP packs into one word. */
struct change {
    unsigned operation, comparison;
    int32_t operand, against;
};

static int32_t sign_extend_12(uint32_t value)
{
    return (int32_t)(value << 20) >> 20;
}

static struct change change_of(uint32_t packed)
{
    struct change c = {packed >> 28 & 7, packed >> 24 & 15, sign_extend_12(packed >> 12 & 0xfff),
                       sign_extend_12(packed & 0xfff)};

    if (packed >> 31)
        c.operand = (int32_t)(1U << (c.operand & 31));
    return c;
}

static bool changed(const struct change *c, uint32_t old, uint32_t *new)
{
    uint32_t operand = (uint32_t)c->operand;

    switch (c->operation) {
    case LINUX_FUTEX_OP_SET:
        *new = operand;
        return true;
    case LINUX_FUTEX_OP_ADD:
        *new = old + operand;
        return true;
    case LINUX_FUTEX_OP_OR:
        *new = old | operand;
        return true;
    case LINUX_FUTEX_OP_ANDN:
        *new = old & ~operand;
        return true;
    case LINUX_FUTEX_OP_XOR:
        *new = old ^ operand;
        return true;
    default:
        return false;
    }
}

static bool compares(const struct change *c, int32_t old, bool *holds)
{
    switch (c->comparison) {
    case LINUX_FUTEX_CMP_EQ:
        *holds = old == c->against;
        return true;
    case LINUX_FUTEX_CMP_NE:
        *holds = old != c->against;
        return true;
    case LINUX_FUTEX_CMP_LT:
        *holds = old < c->against;
        return true;
    case LINUX_FUTEX_CMP_LE:
        *holds = old <= c->against;
        return true;
    case LINUX_FUTEX_CMP_GT:
        *holds = old > c->against;
        return true;
    case LINUX_FUTEX_CMP_GE:
        *holds = old >= c->against;
        return true;
    default:
        return false;
    }
}

/* Change the client's word: 0 with what it was, or -errno. */
static long word_change(struct space *space, uint64_t address, const struct change *c,
                        uint32_t *old)
{
    uint32_t new;

    if (copy_in(space, old, address, sizeof(*old)))
        return -LINUX_EFAULT;
    for (unsigned i = 0; i < SWAP_TRIES; i++) {
        if (!changed(c, *old, &new))
            return -LINUX_ENOSYS;
        long found = mmcall_word_swap(space->mm, address, *old, new);
        if (found < 0)
            return found;
        if ((uint32_t)found == *old)
            return 0;
        *old = (uint32_t)found;
    }
    return -LINUX_EAGAIN;
}

static long wake_op(struct thread *t, const uint64_t *a, bool private)
{
    struct space *space = t->process->space;
    struct change c = change_of((uint32_t)a[5]);
    struct futex_key first, second;
    uint32_t old;
    bool holds;

    long error = key_of(space, a[0], private, &first);
    if (!error)
        error = key_of(space, a[4], private, &second);
    if (!error && !compares(&c, 0, &holds))
        error = -LINUX_ENOSYS;
    if (!error)
        error = word_change(space, a[4], &c, &old);
    if (error)
        return error;
    compares(&c, (int32_t)old, &holds);
    long woken = wake(&first, (int32_t)a[2], ANY);
    return holds ? woken + wake(&second, (int32_t)a[3], ANY) : woken;
}

/* Priority inheritance and FUTEX_FD are not there. */
long linux_futex(struct thread *t, const uint64_t *a)
{
    uint32_t operation = (uint32_t)a[1] & LINUX_FUTEX_OPERATION;
    bool private = ((uint32_t)a[1] & LINUX_FUTEX_PRIVATE) != 0;
    bool bitset = operation == LINUX_FUTEX_WAIT_BITSET || operation == LINUX_FUTEX_WAKE_BITSET;
    struct futex_key key;

    if (((uint32_t)a[1] & LINUX_FUTEX_CLOCK_REALTIME) && operation != LINUX_FUTEX_WAIT_BITSET)
        return -LINUX_ENOSYS;
    switch (operation) {
    case LINUX_FUTEX_WAIT:
    case LINUX_FUTEX_WAIT_BITSET:
        return futex_wait(t, a, bitset);
    case LINUX_FUTEX_WAKE:
    case LINUX_FUTEX_WAKE_BITSET: {
        if (bitset && (uint32_t)a[5] == 0)
            return -LINUX_EINVAL;
        long error = key_of(t->process->space, a[0], private, &key);
        return error ? error : wake(&key, (int32_t)a[2], bitset ? (uint32_t)a[5] : ANY);
    }
    case LINUX_FUTEX_REQUEUE:
        return requeue(t, a, private, false);
    case LINUX_FUTEX_CMP_REQUEUE:
        return requeue(t, a, private, true);
    case LINUX_FUTEX_WAKE_OP:
        return wake_op(t, a, private);
    default:
        return -LINUX_ENOSYS;
    }
}
