/* Pseudo-random numbers for placement, from the seed that the machine gave: not for secrets. */
#ifndef MMSERVER_CORE_RANDOM_H
#define MMSERVER_CORE_RANDOM_H

#include <stdint.h>

extern uint64_t random_state;

/* splitmix64 */
static inline uint64_t random_next(void)
{
    uint64_t z = __atomic_add_fetch(&random_state, 0x9e3779b97f4a7c15u, __ATOMIC_RELAXED);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

#endif
