/* Numbers of mms and clients: each is given once, and who goes through them misses none. */
#include "core_world.h"
#include "mmserver/core/ids.h"

#define SIZE  (4 * ID_GROUP)
#define FIRST 2

static void *slots[SIZE];
static uint8_t used_in[SIZE / ID_GROUP];

static uint64_t next(uint64_t id)
{
    do
        id++;
    while (id < SIZE && !slots[id]);
    return id < SIZE ? id : 0;
}

KTAP_CASE(core_ids_are_given_once_and_found_in_order)
{
    struct id_table table = {slots, used_in, FIRST, SIZE, 0, 0};
    unsigned used = 0;

    EXPECT_EQ(id_next_locked(&table, 0), 0);
    for (unsigned step = 0; step < 20000; step++) {
        uint64_t likely_full = step / 2000 % 2 ? 3 : 1, id = ktap_random_below(SIZE);
        if (ktap_random_below(4) < likely_full) {
            uint32_t taken = id_take_locked(&table, &table);
            EXPECT_EQ(taken != 0, used < SIZE - FIRST);
            EXPECT(!taken || (taken >= FIRST && slots[taken] == &table));
            used += taken != 0;
        } else if (id_find_locked(&table, id)) {
            id_drop_locked(&table, (uint32_t)id);
            used--;
        }
        EXPECT_EQ(table.used, used);
        id = ktap_random_below(SIZE + 2);
        EXPECT_EQ(id_next_locked(&table, id), next(id));
    }
}
