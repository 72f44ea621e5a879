/* A fuzz target's input, taken byte by byte; behind its end it is zeroes. */
#ifndef PAGODA_TESTS_FUZZ_INPUT_H
#define PAGODA_TESTS_FUZZ_INPUT_H

#include <stdint.h>

struct input {
    const uint8_t *at, *end;
};

static inline uint64_t take(struct input *in, unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < bytes; i++)
        value |= in->at < in->end ? (uint64_t)*in->at++ << (8 * i) : 0;
    return value;
}

#endif
