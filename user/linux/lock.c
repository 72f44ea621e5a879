/* The big lock (see lock.h). */
#include "user/linux/lock.h"

#include <stdint.h>

static uint32_t next_ticket, now_serving;

void linux_lock(void)
{
    uint32_t ticket = __atomic_fetch_add(&next_ticket, 1, __ATOMIC_RELAXED);

    while (__atomic_load_n(&now_serving, __ATOMIC_ACQUIRE) != ticket)
        continue;
}

void linux_unlock(void)
{
    __atomic_store_n(&now_serving, now_serving + 1, __ATOMIC_RELEASE);
}

int linux_locked(void)
{
    return __atomic_load_n(&next_ticket, __ATOMIC_RELAXED) !=
           __atomic_load_n(&now_serving, __ATOMIC_RELAXED);
}
