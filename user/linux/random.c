/* Random bytes (see random.h). */
#include "user/linux/random.h"

#include <string.h>

static uint64_t state;

void random_seed(uint64_t seed)
{
    state = seed;
}

static uint64_t next(void)
{
    uint64_t z = state += 0x9e3779b97f4a7c15UL;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9UL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebUL;
    return z ^ z >> 31;
}

void random_fill(void *to, size_t bytes)
{
    char *at = to;

    while (bytes > 0) {
        uint64_t value = next();
        size_t part = bytes < sizeof(value) ? bytes : sizeof(value);
        memcpy(at, &value, part);
        at += part;
        bytes -= part;
    }
}
