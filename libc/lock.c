/*
 * Mutexes on futexes, and the C library's lock hooks made of them.
 *
 * A mutex word is 0 when free, 1 when held, 2 when held and somebody may be waiting; only an
 * unlock that finds 2 enters the kernel. malloc and stdio use the hooks; the lock of a stream that
 * has none (NULL) is passed over, as the library does in a program with one thread.
 */
#include <stdlib.h>
#include <sys/lock.h>
#include <sys/syscall.h>

#include "pg.h"

#define FUTEX_WAIT_PRIVATE 128l
#define FUTEX_WAKE_PRIVATE 129l

void pg_futex_wait(uint32_t *word, uint32_t value)
{
    pg_syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, (unsigned long)value, 0l);
}

int pg_futex_wake(uint32_t *word, int count)
{
    return (int)pg_syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, (long)count);
}

int pg_mutex_trylock(struct pg_mutex *mutex)
{
    uint32_t expected = 0;

    return __atomic_compare_exchange_n(&mutex->state, &expected, 1, 0, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED)
               ? 0
               : -1;
}

void pg_mutex_lock(struct pg_mutex *mutex)
{
    if (pg_mutex_trylock(mutex) == 0)
        return;
    while (__atomic_exchange_n(&mutex->state, 2, __ATOMIC_ACQUIRE) != 0)
        pg_futex_wait(&mutex->state, 2);
}

void pg_mutex_unlock(struct pg_mutex *mutex)
{
    if (__atomic_exchange_n(&mutex->state, 0, __ATOMIC_RELEASE) == 2)
        pg_futex_wake(&mutex->state, 1);
}

/* The library's lock object. owner and depth belong to the holder and serve recursion only. */
struct __lock {
    struct pg_mutex mutex;
    unsigned depth;
    void *owner; /* the holder's thread pointer */
};

struct __lock __lock___libc_recursive_mutex;

void __retarget_lock_init(_LOCK_T *lock)
{
    *lock = calloc(1, sizeof(**lock));
}

void __retarget_lock_close(_LOCK_T lock)
{
    free(lock);
}

void __retarget_lock_acquire(_LOCK_T lock)
{
    if (lock != NULL)
        pg_mutex_lock(&lock->mutex);
}

int __retarget_lock_try_acquire(_LOCK_T lock)
{
    return lock == NULL || pg_mutex_trylock(&lock->mutex) == 0;
}

void __retarget_lock_release(_LOCK_T lock)
{
    if (lock != NULL)
        pg_mutex_unlock(&lock->mutex);
}

void __retarget_lock_init_recursive(_LOCK_T *lock)
{
    __retarget_lock_init(lock);
}

void __retarget_lock_close_recursive(_LOCK_T lock)
{
    __retarget_lock_close(lock);
}

int __retarget_lock_try_acquire_recursive(_LOCK_T lock)
{
    void *self = __builtin_thread_pointer();

    if (lock == NULL)
        return 1;
    /* Only this thread can have written its own pointer, so the unlocked read cannot mislead. */
    if (__atomic_load_n(&lock->owner, __ATOMIC_RELAXED) != self) {
        if (pg_mutex_trylock(&lock->mutex) < 0)
            return 0;
        __atomic_store_n(&lock->owner, self, __ATOMIC_RELAXED);
    }
    lock->depth++;
    return 1;
}

void __retarget_lock_acquire_recursive(_LOCK_T lock)
{
    if (__retarget_lock_try_acquire_recursive(lock))
        return;
    pg_mutex_lock(&lock->mutex);
    __atomic_store_n(&lock->owner, __builtin_thread_pointer(), __ATOMIC_RELAXED);
    lock->depth = 1;
}

void __retarget_lock_release_recursive(_LOCK_T lock)
{
    if (lock == NULL || --lock->depth > 0)
        return;
    __atomic_store_n(&lock->owner, NULL, __ATOMIC_RELAXED);
    pg_mutex_unlock(&lock->mutex);
}
