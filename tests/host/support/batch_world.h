/* What tests of single batch operations share: two spaces with tables, and operations in them. */
#ifndef TESTS_BATCH_WORLD_H
#define TESTS_BATCH_WORLD_H

#include "space_world.h"
#include "ktap.h"

#include <string.h>

#define VA  0x40000000UL
#define BIG (VA + 64 * BLOCK_BYTES) /* its level-1 slots are free */
#define W   ENTRY_W
#define D   ENTRY_D
#define RO  (SLOT_FREE + 32) /* Memory: all of it, read only, no keeping */

static inline struct batch_op with_level(struct batch_op op, unsigned level)
{
    op.level = (uint8_t)level;
    return op;
}

static inline struct batch_op with_memory(struct batch_op op, uint32_t slot)
{
    op.memory = slot;
    return op;
}

static inline struct batch_op kept(struct batch_op op)
{
    op.flags = BATCH_KEEP;
    return op;
}

static inline void start_with(struct machine_options o)
{
    o.pages = 16 * PAGES_PER_BLOCK;
    space_world_start(&o, 2);
    tables_for(0, VA, 0);
    tables_for(1, VA, 0);
    EXPECT_EQ(WORLD_CALL(call_cap_copy, SLOT_MEMORY, SELF_TABLE, RO, 0, 0, world.pages), 0);
    run_on(0, 0);
    for (unsigned i = 0; i < harts_online; i++)
        memset(harts[i]->counter, 0, sizeof(harts[i]->counter));
}

static inline void start(void)
{
    start_with((struct machine_options){.asid_bits = 16, .harts = 2});
}

static inline int32_t mappings(pfn_t page)
{
    return block_count[page >> TABLE_SHIFT];
}

/* The operation is refused with this error, and nothing changes. */
static inline void refused(struct batch_op op, long error)
{
    static uint64_t before[TABLE_ENTRIES], after[TABLE_ENTRIES];
    unsigned found;
    memcpy(before, space_slot(sw.space[0], VA, 0, &found), sizeof(before));
    long result = op_on(0, op);
    if (result != -error)
        ktap_note("operation %u: %ld, expected %ld", op.code, result, -error);
    EXPECT_EQ(result, -error);
    EXPECT_EQ(sw.done, 0);
    memcpy(after, space_slot(sw.space[0], VA, 0, &found), sizeof(after));
    EXPECT(memcmp(before, after, sizeof(before)) == 0);
    CHECK_ALL();
}

/* Pages of five blocks, no two neighbours in the same one. */
static inline pfn_t scattered(uint64_t i)
{
    return data_page(i % 5 * PAGES_PER_BLOCK + i * 37 % 256);
}

static inline struct batch_op copy_of(unsigned source)
{
    struct batch_op op = op_simple(BATCH_COPY_TABLE, VA, TABLE_ENTRIES, 0);
    op.extra = SPACE_SLOT(source);
    return op;
}

#endif
