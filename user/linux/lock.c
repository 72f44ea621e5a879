/* The big lock (see lock.h). */
#include "user/linux/lock.h"

#include <stdint.h>

#define LET_THROUGH_SPINS 10000 /* a waiter that does not run is not waited for longer */

static uint32_t lock_held, lock_waiting;
static uint32_t lock_turns; /* how often it was taken by one who had waited */

static int lock_is_taken(void)
{
    return __atomic_exchange_n(&lock_held, 1, __ATOMIC_ACQUIRE) != 0;
}

static void lock_wait(void)
{
    __atomic_fetch_add(&lock_waiting, 1, __ATOMIC_RELAXED);
    do {
        while (linux_locked())
            continue;
    } while (lock_is_taken());
    __atomic_fetch_sub(&lock_waiting, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&lock_turns, 1, __ATOMIC_RELAXED);
}

void linux_lock(void)
{
    if (lock_is_taken())
        lock_wait();
}

void linux_unlock(void)
{
    __atomic_store_n(&lock_held, 0, __ATOMIC_RELEASE);
}

void linux_let_through(void)
{
    uint32_t before = __atomic_load_n(&lock_turns, __ATOMIC_RELAXED);
    uint32_t others = __atomic_load_n(&lock_waiting, __ATOMIC_RELAXED);

    linux_unlock();
    for (unsigned i = 0; i < LET_THROUGH_SPINS; i++) {
        if (__atomic_load_n(&lock_turns, __ATOMIC_RELAXED) - before >= others)
            break;
    }
    linux_lock();
}

int linux_locked(void)
{
    return __atomic_load_n(&lock_held, __ATOMIC_RELAXED) != 0;
}
