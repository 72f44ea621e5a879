/* The host test runner tested by itself: what each case may rely on. */
#include "ktap.h"

#include <stdio.h>

static int global_state;

KTAP_CASE(globals_are_changed_by_one_case)
{
    global_state = 1;
    EXPECT_EQ(global_state, 1);
}

KTAP_CASE(globals_are_fresh_in_the_next_case)
{
    EXPECT_EQ(global_state, 0);
}

KTAP_CASE(random_repeats_from_the_seed)
{
    uint64_t first = ktap_random();
    EXPECT(first != ktap_random());

    uint64_t state = ktap_seed() + 0x9e3779b97f4a7c15u;
    state = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9u;
    state = (state ^ (state >> 27)) * 0x94d049bb133111ebu;
    EXPECT_EQ(first, state ^ (state >> 31));
}

KTAP_CASE(random_below_keeps_its_bound)
{
    bool seen[7] = {false};
    for (int i = 0; i < 1000; i++)
        seen[ktap_random_below(7)] = true;
    for (int i = 0; i < 7; i++)
        EXPECT(seen[i]);
}
