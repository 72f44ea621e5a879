/*
 * Random runs of kernel calls, events and accesses (kernel_steps.h), the same for the same seed.
 * What fails prints its number; the fuzz target goes on where this ends.
 */
#include "kernel_steps.h"
#include "ktap.h"

#define RUNS      400
#define BYTES_MAX 3000

static void runs(unsigned zeroes)
{
    static uint8_t bytes[BYTES_MAX];
    for (unsigned run = 0; run < RUNS; run++) {
        unsigned size = 64 + (unsigned)ktap_random_below(BYTES_MAX - 64);
        for (unsigned i = 0; i < size; i++)
            bytes[i] = (uint8_t)(ktap_random_below(100) < zeroes ? 0 : ktap_random());
        kernel_steps(bytes, size);
    }
}

KTAP_CASE(random_calls)
{
    runs(0);
}

KTAP_CASE(random_calls_with_many_zeroes)
{
    runs(30);
}
