/* Advisory locks (see filelock.h): one list of all there are. */
#include "user/linux/filelock.h"

#include <stdlib.h>

#include "user/linux/calls.h"
#include "user/linux/fd.h"
#include "user/linux/file.h"
#include "user/linux/process.h"
#include "user/linux/request.h"
#include "user/linux/space.h"

struct lock {
    LIST_ENTRY(lock) link;
    const void *of;    /* the file: its node, or what else it is */
    const void *owner; /* a descriptor table, or an open file */
    bool flock;        /* else of records; the two do not meet */
    bool exclusive;
    int pid;            /* of a process's */
    int64_t start, end; /* both included */
};

static LIST_HEAD(, lock) locks = LIST_HEAD_INITIALIZER(locks);
static struct wait_queue waiting = {TAILQ_HEAD_INITIALIZER(waiting.threads)};

static const void *identity(const struct file *file)
{
    return file->ops ? (const void *)file->pipe : file->place.node;
}

static void drop(struct lock *lock)
{
    LIST_REMOVE(lock, link);
    free(lock);
}

static bool meets(const struct lock *a, const struct lock *b)
{
    return a->of == b->of && a->flock == b->flock && a->start <= b->end && b->start <= a->end;
}

/* The first lock of somebody else that does not allow `want`. */
static const struct lock *conflict(const struct lock *want)
{
    const struct lock *lock;

    LIST_FOREACH(lock, &locks, link)
    {
        if (lock->owner != want->owner && meets(lock, want) && (lock->exclusive || want->exclusive))
            return lock;
    }
    return NULL;
}

/* A lock of the same owner gives way to `want`, which may end, cut or split it. */
static void give_way(struct lock *lock, const struct lock *want, struct lock **spare)
{
    if (lock->start < want->start && lock->end > want->end) {
        struct lock *rest = *spare;
        *spare = NULL;
        *rest = *lock;
        rest->start = want->end + 1;
        lock->end = want->start - 1;
        LIST_INSERT_HEAD(&locks, rest, link);
    } else if (lock->start < want->start) {
        lock->end = want->start - 1;
    } else if (lock->end > want->end) {
        lock->start = want->end + 1;
    } else {
        drop(lock);
    }
}

/* What of the same kind touches `want` becomes one with it. */
static void join(struct lock *want)
{
    struct lock *lock, *next;

    for (lock = LIST_FIRST(&locks); lock; lock = next) {
        next = LIST_NEXT(lock, link);
        if (lock->of != want->of || lock->owner != want->owner || lock->flock != want->flock ||
            lock->exclusive != want->exclusive)
            continue;
        bool touches = (lock->end == INT64_MAX || lock->end + 1 >= want->start) &&
                       (want->end == INT64_MAX || want->end + 1 >= lock->start);
        if (!touches)
            continue;
        if (lock->start < want->start)
            want->start = lock->start;
        if (lock->end > want->end)
            want->end = lock->end;
        drop(lock);
    }
}

/* Have `want`, which nobody else prevents, or with `unlock` nothing there: 0 or -ENOLCK. */
static long apply(struct lock want, bool unlock)
{
    struct lock *new = malloc(sizeof(*new)), *spare = malloc(sizeof(*spare)), *lock, *next;

    if (!new || !spare) {
        free(new);
        free(spare);
        return -LINUX_ENOLCK;
    }
    if (!unlock)
        join(&want);
    for (lock = LIST_FIRST(&locks); lock; lock = next) {
        next = LIST_NEXT(lock, link);
        if (lock->owner == want.owner && meets(lock, &want))
            give_way(lock, &want, &spare);
    }
    if (!unlock) {
        *new = want;
        LIST_INSERT_HEAD(&locks, new, link);
        new = NULL;
    }
    free(new);
    free(spare);
    queue_wake(&waiting);
    return 0;
}

static void release(const void *of, const void *owner)
{
    struct lock *lock, *next;

    for (lock = LIST_FIRST(&locks); lock; lock = next) {
        next = LIST_NEXT(lock, link);
        if (lock->owner != owner || lock->of != of)
            continue;
        drop(lock);
        queue_wake(&waiting);
    }
}

void filelock_closed(const struct fd_table *table, const struct file *file)
{
    if (!LIST_EMPTY(&locks))
        release(identity(file), table);
}

void filelock_gone(const struct file *file)
{
    if (!LIST_EMPTY(&locks))
        release(identity(file), file);
}

/* ---- record locks ---- */

/* The bytes that a struct flock is about: 0 or -errno. */
static long range_of(const struct file *file, const struct linux_flock *asked, struct lock *lock)
{
    int64_t base = 0, start, last;

    if (asked->whence == LINUX_SEEK_CUR)
        base = (int64_t)file->offset;
    else if (asked->whence == LINUX_SEEK_END)
        base = file->ops ? 0 : (int64_t)file_bytes(file);
    else if (asked->whence != LINUX_SEEK_SET)
        return -LINUX_EINVAL;
    if (__builtin_add_overflow(base, asked->start, &start))
        return -LINUX_EOVERFLOW;
    if (start < 0)
        return -LINUX_EINVAL;
    lock->start = start;
    lock->end = INT64_MAX;
    if (asked->bytes > 0) {
        if (__builtin_add_overflow(start, asked->bytes - 1, &last))
            return -LINUX_EOVERFLOW;
        lock->end = last;
    } else if (asked->bytes < 0) {
        if (start + asked->bytes < 0)
            return -LINUX_EINVAL;
        lock->start = start + asked->bytes;
        lock->end = start - 1;
    }
    return 0;
}

/* Would waiting for `blocker` close a circle of processes that wait for each other? */
static bool is_deadlock(const struct thread *t, const struct lock *blocker)
{
    const void *owner = blocker->owner;
    const struct thread *other;
    unsigned steps = 0;

    while (owner != t->process->files && steps++ < THREADS_MAX) {
        const void *next = NULL;
        TAILQ_FOREACH(other, &waiting.threads, wait)
        {
            if (other->process->files == owner && other->lock_owner)
                next = other->lock_owner;
        }
        if (!next)
            return false;
        owner = next;
    }
    return owner == t->process->files;
}

static long get_lock(struct thread *t, const struct lock *want, struct linux_flock *asked,
                     uint64_t address)
{
    const struct lock *lock = conflict(want);

    asked->type = LINUX_F_UNLCK;
    if (lock) {
        asked->type = lock->exclusive ? LINUX_F_WRLCK : LINUX_F_RDLCK;
        asked->whence = LINUX_SEEK_SET;
        asked->start = lock->start;
        asked->bytes = lock->end == INT64_MAX ? 0 : lock->end - lock->start + 1;
        asked->pid = lock->pid;
    }
    return copy_out(t->process->space, address, asked, sizeof(*asked));
}

static bool may_have(const struct file *file, int16_t type)
{
    unsigned mode = file->flags & LINUX_O_ACCMODE;

    return type == LINUX_F_UNLCK || mode == LINUX_O_RDWR ||
           mode == (type == LINUX_F_WRLCK ? LINUX_O_WRONLY : 0);
}

long filelock_fcntl(struct thread *t, struct file *file, uint32_t command, uint64_t address)
{
    bool of_file = command >= LINUX_F_OFD_GETLK;
    struct linux_flock asked;

    if (copy_in(t->process->space, &asked, address, sizeof(asked)))
        return -LINUX_EFAULT;
    if (asked.type < LINUX_F_RDLCK || asked.type > LINUX_F_UNLCK || (of_file && asked.pid))
        return -LINUX_EINVAL;
    struct lock want = {
        .of = identity(file),
        .owner = of_file ? (const void *)file : t->process->files,
        .exclusive = asked.type == LINUX_F_WRLCK,
        .pid = of_file ? -1 : t->process->pid,
    };
    long error = range_of(file, &asked, &want);
    if (error)
        return error;
    if (command == LINUX_F_GETLK || command == LINUX_F_OFD_GETLK)
        return asked.type == LINUX_F_UNLCK ? -LINUX_EINVAL : get_lock(t, &want, &asked, address);
    if (!may_have(file, asked.type))
        return -LINUX_EBADF;
    if (asked.type == LINUX_F_UNLCK)
        return apply(want, true);
    const struct lock *blocker = conflict(&want);
    if (!blocker) {
        error = apply(want, false);
        /* Closed while this waited: nobody would end the lock any more. */
        if (!error && !of_file && fd_get(t->process->files, (int32_t)t->args[0]) != file) {
            release(want.of, want.owner);
            error = -LINUX_EBADF;
        }
        return error;
    }
    if (command == LINUX_F_SETLK || command == LINUX_F_OFD_SETLK)
        return -LINUX_EAGAIN;
    if (!of_file && is_deadlock(t, blocker))
        return -LINUX_EDEADLK;
    t->lock_owner = of_file ? NULL : blocker->owner;
    return request_wait_held(t, file, &waiting);
}

/* ---- flock ---- */

long linux_flock(struct thread *t, const uint64_t *a)
{
    struct file *file = request_file(t, (int32_t)a[0]);
    uint32_t operation = (uint32_t)a[1] & ~(uint32_t)LINUX_LOCK_NB;
    struct lock *lock, *next;

    if (operation != LINUX_LOCK_SH && operation != LINUX_LOCK_EX && operation != LINUX_LOCK_UN)
        return -LINUX_EINVAL;
    if (!file || (file->flags & LINUX_O_PATH))
        return -LINUX_EBADF;
    const struct lock want = {
        .of = identity(file),
        .owner = file,
        .flock = true,
        .exclusive = operation == LINUX_LOCK_EX,
        .end = INT64_MAX,
    };
    if (operation == LINUX_LOCK_UN)
        return apply(want, true);
    /* Another kind of lock is given up before this one is waited for. */
    for (lock = LIST_FIRST(&locks); lock; lock = next) {
        next = LIST_NEXT(lock, link);
        if (lock->owner != want.owner || !meets(lock, &want))
            continue;
        if (lock->exclusive == want.exclusive)
            return 0;
        drop(lock);
        queue_wake(&waiting);
    }
    if (!conflict(&want))
        return apply(want, false);
    if ((uint32_t)a[1] & LINUX_LOCK_NB)
        return -LINUX_EAGAIN;
    t->lock_owner = NULL;
    return request_wait_held(t, file, &waiting);
}
