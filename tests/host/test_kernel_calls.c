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

/* What fuzzing has found, kept as it was. */
KTAP_CASE(found_by_fuzzing)
{
    static const struct {
        uint8_t size, byte[12];
    } found[] = {
        /* A derived Memory that has a table of the boot's space among its pages. */
        {11, {0x3e, 0, 0xff, 1, 0x52, 0x52, 0x3b, 9, 9, 0x53, 0x52}},
        /* A derived capability of the boot's space. */
        {12, {3, 0, 0, 0, 0x52, 0x39, 0x52, 0x27, 0x5d, 0x60, 0, 0x5d}},
    };
    for (unsigned i = 0; i < sizeof(found) / sizeof(*found); i++)
        kernel_steps(found[i].byte, found[i].size);
}
