/* Operations on tables: installed, removed, copied for a fork. */
#include "batch_world.h"

KTAP_CASE(table_is_refused)
{
    start();
    struct batch_op op =
        with_level(op_simple(BATCH_TABLE, VA + BLOCK_BYTES, 0, entry_make(table_page(), 0)), 1);
    refused(with_level(op, 0), ERR_LEVEL);
    refused(with_level(op, space_levels), ERR_LEVEL);
    refused(with_memory(op, RO), ERR_RIGHTS);
    refused(with_memory(op, SLOT_SPACE), ERR_TYPE);
    refused(with_memory(op, WORLD_SLOT_DEVICE), ERR_RIGHTS);
    struct batch_op bad = op;
    bad.address = space_user_end;
    refused(bad, ERR_RANGE);
    bad.address = 0;
    refused(bad, ERR_NOTABLE);
    bad.address = VA;
    refused(bad, ERR_MAPPED);
    bad = op;
    bad.entry |= ENTRY_R;
    refused(bad, ERR_ENTRY);
    bad.entry = entry_make(data_page(0), 0);
    refused(bad, ERR_CLASS);
    bad.entry = entry_make(world.first, 0);
    refused(bad, ERR_BUSY); /* the directory */
    bad.entry = entry_make(sw.space[0]->root_pfn, 0);
    refused(bad, ERR_BUSY);
    bad.entry = entry_make(world.first + world.pages, 0);
    refused(bad, ERR_RANGE);
    EXPECT_EQ(op_on(0, op), 0);
    uint64_t *word = page_directory(entry_page(op.entry));
    EXPECT_EQ(*word, page_word(PAGE_TABLE, 1, sw.space[0]->self_pfn));
    refused(op, ERR_MAPPED);
    EXPECT_EQ(op_on(0, with_level(op_map(BIG, 1, data_page(0), 0), 1)), 0);
    bad = op;
    bad.address = BIG;
    refused(bad, ERR_MAPPED);
}

KTAP_CASE(table_remove_gives_the_page_back_after_the_fence)
{
    start();
    struct batch_op op = with_level(op_simple(BATCH_TABLE_REMOVE, VA, 0, 0), 1);
    uint64_t tables = sw.space[0]->tables;
    pfn_t page = entry_page(entry_of(0, VA, 1));
    EXPECT_EQ(op_on(0, op_map(VA, 1, data_page(0), 0)), 0);
    refused(op, ERR_BUSY);
    refused(with_level(op, 2), ERR_BUSY); /* the table above is not empty */
    EXPECT(sim_load(0, VA, NULL));
    EXPECT_EQ(op_on(0, op_simple(BATCH_UNMAP, VA, 1, 0)), 0);
    EXPECT_EQ(op_on(0, op_simple(BATCH_SOFTWARE, VA, 1, 0x10)), 0);
    refused(op, ERR_BUSY);
    EXPECT_EQ(op_on(0, op_simple(BATCH_UNMAP, VA, 1, 0)), 0);
    EXPECT_EQ(op_on(0, op), 0);
    EXPECT_EQ(sw.done, 1);
    EXPECT_EQ(page_word_use(*page_directory(page)), PAGE_FREE);
    EXPECT_EQ(sw.space[0]->tables, tables - 1);
    EXPECT_EQ(entry_of(0, VA, 1), 0);
    CHECK_ALL();
    EXPECT_EQ(op_on(0, op), -ERR_UNMAPPED);
    EXPECT_EQ(op_on(0, with_level(op, 0)), -ERR_LEVEL);
    EXPECT_EQ(op_on(0, with_level(op, 3)), -ERR_LEVEL);
    EXPECT_EQ(op_on(0, with_level(op_map(VA, 1, data_page(0), 0), 1)), 0);
    EXPECT_EQ(op_on(0, op), -ERR_LEVEL);
    CHECK_ALL();
}

KTAP_CASE(table_remove_empties_the_caches_of_the_threads)
{
    start();
    struct thread *t = world.thread;
    TAILQ_REMOVE(&world.space->threads, t, mates);
    world.space->thread_count--;
    t->space = sw.space[0];
    TAILQ_INSERT_TAIL(&t->space->threads, t, mates);
    t->space->thread_count++;
    t->leaf.tag = VA >> BLOCK_SHIFT;
    EXPECT_EQ(op_on(0, with_level(op_simple(BATCH_TABLE_REMOVE, VA, 0, 0), 1)), 0);
    EXPECT_EQ(t->leaf.tag, ~0UL);
    CHECK_ALL();
}

KTAP_CASE(copy_table_shares_write_protected)
{
    start();
    run_on(1, 1);
    EXPECT_EQ(op_on(1, op_map(VA, 3, data_page(0), W | D)), 0);
    EXPECT_EQ(op_on(1, op_map(VA + 9 * PAGE_BYTES, 1, data_page(600), ENTRY_X)), 0);
    EXPECT_EQ(op_on(1, op_map(VA + 511 * PAGE_BYTES, 1, data_page(7), W | D)), 0);
    EXPECT_EQ(op_on(1, op_simple(BATCH_SOFTWARE, VA + 100 * PAGE_BYTES, 1, 0x50)), 0);
    EXPECT(sim_store(1, VA + 8, 4711));
    EXPECT_EQ(op_on(0, copy_of(1)), 0);
    EXPECT_EQ(sw.done, 6);
    for (unsigned i = 0; i < 512; i++)
        EXPECT_EQ(entry_of(0, VA + i * PAGE_BYTES, 0), entry_of(1, VA + i * PAGE_BYTES, 0));
    EXPECT_EQ(entry_of(0, VA, 0), entry_make(data_page(0), ENTRY_ALWAYS | D));
    EXPECT_EQ(entry_of(0, VA + 100 * PAGE_BYTES, 0), 0x50);
    EXPECT_EQ(mappings(data_page(0)), 8);
    EXPECT_EQ(mappings(data_page(600)), 2);
    EXPECT_EQ(harts[0]->counter[COUNT_fence_remote], 1);
    EXPECT(!sim_store(1, VA + 8, 1));
    uint64_t value;
    EXPECT(sim_load(0, VA + 8, &value));
    EXPECT_EQ(value, 4711);
    CHECK_ALL();
    refused(copy_of(1), ERR_MAPPED);
}

KTAP_CASE(copy_table_is_refused)
{
    start();
    struct batch_op op = copy_of(1);
    op.extra = SLOT_MEMORY;
    refused(op, ERR_TYPE);
    op.extra = SLOT_FREE + 99;
    refused(op, ERR_EMPTY);
    op.extra = ~0UL;
    refused(op, ERR_SLOT);
    EXPECT_EQ(WORLD_CALL(call_cap_copy, SPACE_SLOT(1), SELF_TABLE, SLOT_FREE + 50, RIGHT_COPY), 0);
    op.extra = SLOT_FREE + 50;
    refused(op, ERR_RIGHTS);
    refused(with_level(copy_of(1), 2), ERR_LEVEL);
    op = copy_of(1);
    op.address = VA + BLOCK_BYTES;
    refused(op, ERR_NOTABLE);
    tables_for(0, VA + BLOCK_BYTES, 0);
    refused(op, ERR_NOTABLE); /* in the source */
    op.address = space_user_end;
    refused(op, ERR_RANGE);
}

KTAP_CASE(copy_table_within_one_space_and_of_nothing)
{
    start();
    EXPECT_EQ(op_on(0, copy_of(1)), 0);
    EXPECT_EQ(sw.done, 0);
    EXPECT_EQ(op_on(0, copy_of(0)), 0);
    EXPECT_EQ(sw.done, 0);
    EXPECT_EQ(op_on(0, op_map(VA, 3, data_page(0), W | D)), 0);
    refused(copy_of(0), ERR_MAPPED);
}
