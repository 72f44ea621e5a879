/* Operations on runs of slots that go somewhere else: move, copy of a part, split of a large leaf.
 */
#include "space_world.h"
#include "kernel/batch.h"
#include "ktap.h"

#include <string.h>

#define VA  0x40000000UL
#define TO  (VA + BLOCK_BYTES)      /* another leaf table */
#define BIG (VA + 64 * BLOCK_BYTES) /* its level-1 slots are free */
#define RW  (ENTRY_W | ENTRY_D)

static void start(void)
{
    space_world_start(
        &(struct machine_options){.asid_bits = 16, .harts = 2, .pages = 16 * PAGES_PER_BLOCK}, 2);
    tables_for(0, VA, 0);
    tables_for(0, TO, 0);
    tables_for(1, VA, 0);
    run_on(0, 0);
    for (unsigned i = 0; i < harts_online; i++)
        memset(harts[i]->counter, 0, sizeof(harts[i]->counter));
}

static struct batch_op large(struct batch_op op)
{
    op.level = 1;
    return op;
}

static struct batch_op op_move(vaddr_t from, vaddr_t to, uint32_t count)
{
    struct batch_op op = op_simple(BATCH_MOVE, from, count, 0);
    op.extra = to;
    return op;
}

static struct batch_op op_copy(vaddr_t address, uint32_t count)
{
    struct batch_op op = op_simple(BATCH_COPY_TABLE, address, count, 0);
    op.extra = SPACE_SLOT(1);
    return op;
}

static struct batch_op op_split(vaddr_t address)
{
    return large(op_simple(BATCH_SPLIT, address, 0, entry_make(table_page(), 0)));
}

static int32_t mappings(pfn_t page)
{
    return block_count[page >> TABLE_SHIFT];
}

/* A slot that a fault reply fills behind the one that copies is met after its group was. */
KTAP_CASE(what_was_lost_is_fenced_whatever_comes_after)
{
    struct lost lost = LOST_NONE;
    lost_add(&lost, 8, 15, ENTRY_W);
    lost_add(&lost, 9, 9, ENTRY_N);
    EXPECT(lost.first == 8 && lost.last == 15 && lost.seen == (ENTRY_W | ENTRY_N));
}

KTAP_CASE(move_takes_entries_as_they_are)
{
    uint64_t value;
    start();
    EXPECT_EQ(op_on(0, op_map(VA, 20, data_page(0), RW | ENTRY_SOFT1)), 0);
    EXPECT_EQ(op_on(0, op_map(VA + 30 * PAGE_BYTES, 1, data_page(600), ENTRY_X)), 0);
    EXPECT_EQ(op_on(0, op_simple(BATCH_SOFTWARE, VA + 40 * PAGE_BYTES, 1, 0x50)), 0);
    EXPECT(sim_store(0, VA + 3 * PAGE_BYTES + 8, 4711));
    EXPECT_EQ(op_on(0, op_move(VA, TO + 7 * PAGE_BYTES, 45)), 0);
    EXPECT_EQ(sw.done, 22);
    EXPECT_EQ(harts[0]->counter[COUNT_fence_local], 1);
    for (unsigned i = 0; i < 512; i++)
        EXPECT_EQ(entry_of(0, VA + i * PAGE_BYTES, 0), 0);
    EXPECT_EQ(entry_of(0, TO + 10 * PAGE_BYTES, 0),
              entry_make(data_page(3), ENTRY_ALWAYS | RW | ENTRY_SOFT1));
    EXPECT_EQ(entry_of(0, TO + 37 * PAGE_BYTES, 0),
              entry_make(data_page(600), ENTRY_ALWAYS | ENTRY_X));
    EXPECT_EQ(entry_of(0, TO + 47 * PAGE_BYTES, 0), 0x50);
    EXPECT_EQ(mappings(data_page(0)), 20);
    EXPECT(!sim_load(0, VA + 3 * PAGE_BYTES + 8, &value));
    EXPECT(sim_load(0, TO + 10 * PAGE_BYTES + 8, &value));
    EXPECT_EQ(value, 4711);
    CHECK_ALL();
}

KTAP_CASE(move_of_a_whole_table_and_within_one)
{
    start();
    EXPECT_EQ(op_on(0, op_map(VA, 512, data_page(0), RW)), 0);
    EXPECT(sim_store(0, VA, 1));
    EXPECT_EQ(op_on(0, op_move(VA, TO, 512)), 0);
    EXPECT_EQ(sw.done, 512);
    CHECK_ALL();
    EXPECT_EQ(op_on(0, op_simple(BATCH_UNMAP, TO + 256 * PAGE_BYTES, 256, 0)), 0);
    EXPECT_EQ(op_on(0, op_move(TO + 5 * PAGE_BYTES, TO + 300 * PAGE_BYTES, 201)), 0);
    EXPECT_EQ(entry_of(0, TO + 500 * PAGE_BYTES, 0), entry_make(data_page(205), ENTRY_ALWAYS | RW));
    EXPECT_EQ(sw.done, 201);
    EXPECT_EQ(op_on(0, op_move(TO + 511 * PAGE_BYTES, TO + 510 * PAGE_BYTES, 1)), 0);
    EXPECT_EQ(sw.done, 0);
    CHECK_ALL();
}

KTAP_CASE(move_is_refused_whole)
{
    start();
    EXPECT_EQ(op_on(0, op_map(VA, 30, data_page(0), RW)), 0);
    for (unsigned at = 0; at < 30; at++) {
        vaddr_t there = TO + at * PAGE_BYTES;
        EXPECT_EQ(op_on(0, op_map(there, 1, data_page(100), 0)), 0);
        EXPECT(sim_store(0, VA + at * PAGE_BYTES, at));
        EXPECT_EQ(op_on(0, op_move(VA, TO, 30)), -ERR_MAPPED);
        EXPECT_EQ(sw.done, 0);
        for (unsigned i = 0; i < 30; i++) {
            EXPECT_EQ(entry_page(entry_of(0, VA + i * PAGE_BYTES, 0)), data_page(i));
            EXPECT_EQ(entry_of(0, TO + i * PAGE_BYTES, 0),
                      i == at ? entry_make(data_page(100), ENTRY_ALWAYS) : 0);
        }
        CHECK_ALL();
        EXPECT_EQ(op_on(0, op_simple(BATCH_UNMAP, there, 1, 0)), 0);
    }
    EXPECT_EQ(op_on(0, op_simple(BATCH_SOFTWARE, TO, 1, 0x10)), 0);
    EXPECT_EQ(op_on(0, op_move(VA, TO, 30)), -ERR_MAPPED);
    EXPECT_EQ(op_on(0, op_move(VA + 29 * PAGE_BYTES, VA + 30 * PAGE_BYTES, 2)), -ERR_ARGUMENT);
    EXPECT_EQ(op_on(0, op_move(VA, VA, 1)), -ERR_ARGUMENT);
    EXPECT_EQ(op_on(0, op_move(VA, TO + 1, 1)), -ERR_ALIGN);
    EXPECT_EQ(op_on(0, op_move(VA + 1, TO, 1)), -ERR_ALIGN);
    EXPECT_EQ(op_on(0, op_move(VA, TO, 0)), -ERR_ARGUMENT);
    EXPECT_EQ(op_on(0, op_move(VA, TO + 100 * PAGE_BYTES, 413)), -ERR_RANGE);
    EXPECT_EQ(op_on(0, op_move(VA, space_user_end, 1)), -ERR_RANGE);
    EXPECT_EQ(op_on(0, op_move(VA, TO + BLOCK_BYTES, 1)), -ERR_NOTABLE);
    EXPECT_EQ(op_on(0, op_move(TO + BLOCK_BYTES, TO, 1)), -ERR_NOTABLE);
    CHECK_ALL();
}

KTAP_CASE(large_leaves_move_and_are_copied)
{
    start();
    EXPECT_EQ(op_on(0, large(op_map(BIG, 2, data_page(512), RW))), 0);
    EXPECT(sim_store(0, BIG + 8, 77));
    EXPECT_EQ(op_on(0, large(op_move(BIG, VA, 1))), -ERR_LEVEL); /* a table is there */
    EXPECT_EQ(op_on(0, large(op_move(VA, BIG + 8 * BLOCK_BYTES, 1))), -ERR_LEVEL);
    EXPECT_EQ(op_on(0, op_move(BIG, TO, 1)), -ERR_LEVEL);
    EXPECT_EQ(op_on(0, large(op_move(BIG, BIG + 9 * BLOCK_BYTES, 2))), 0);
    EXPECT_EQ(sw.done, 2);
    EXPECT(!sim_load(0, BIG + 8, NULL));
    uint64_t value;
    EXPECT(sim_load(0, BIG + 9 * BLOCK_BYTES + 8, &value));
    EXPECT_EQ(value, 77);
    CHECK_ALL();
    run_on(1, 1);
    EXPECT_EQ(op_on(1, large(op_map(BIG, 1, data_page(512 * 5), RW))), 0);
    EXPECT(sim_store(1, BIG, 5));
    EXPECT_EQ(op_on(0, large(op_copy(BIG, 3))), 0);
    EXPECT_EQ(sw.done, 1);
    EXPECT(!sim_store(1, BIG, 5));
    EXPECT(!sim_store(0, BIG, 5));
    EXPECT(sim_load(0, BIG, NULL));
    EXPECT_EQ(mappings(data_page(512 * 5)), 2);
    EXPECT_EQ(op_on(0, large(op_copy(VA + BLOCK_BYTES * 2, 1))), 0);
    EXPECT_EQ(op_on(0, large(op_copy(VA, 1))), -ERR_LEVEL);
    CHECK_ALL();
}

KTAP_CASE(copy_of_a_part)
{
    start();
    EXPECT_EQ(op_on(1, op_map(VA, 100, data_page(0), RW)), 0);
    EXPECT_EQ(op_on(0, op_map(VA + 9 * PAGE_BYTES, 1, data_page(200), RW)), 0);
    EXPECT_EQ(op_on(0, op_copy(VA + 5 * PAGE_BYTES, 5)), -ERR_MAPPED);
    EXPECT_EQ(op_on(0, op_copy(VA + 10 * PAGE_BYTES, 21)), 0);
    EXPECT_EQ(sw.done, 21);
    EXPECT_EQ(mappings(data_page(0)), 122);
    EXPECT_EQ(entry_of(1, VA + 9 * PAGE_BYTES, 0), entry_make(data_page(9), ENTRY_ALWAYS | RW));
    EXPECT_EQ(entry_of(1, VA + 30 * PAGE_BYTES, 0),
              entry_make(data_page(30), ENTRY_ALWAYS | ENTRY_D));
    EXPECT_EQ(entry_of(1, VA + 31 * PAGE_BYTES, 0), entry_make(data_page(31), ENTRY_ALWAYS | RW));
    EXPECT_EQ(entry_of(0, VA + 31 * PAGE_BYTES, 0), 0);
    EXPECT_EQ(op_on(0, op_copy(VA + 31 * PAGE_BYTES, 0)), -ERR_ARGUMENT);
    EXPECT_EQ(op_on(0, op_copy(VA + 31 * PAGE_BYTES, 482)), -ERR_RANGE);
    EXPECT_EQ(op_on(0, op_copy(VA + 31 * PAGE_BYTES + 1, 1)), -ERR_ALIGN);
    CHECK_ALL();
}

/* By plain loads and stores if no other hart has run the source, else by atomic ones. */
KTAP_CASE(copy_of_a_whole_table)
{
    for (unsigned others = 0; others < 2; others++) {
        start();
        EXPECT_EQ(op_on(1, op_map(VA, 512, data_page(100), RW | ENTRY_SOFT0)), 0);
        EXPECT_EQ(op_on(1, op_simple(BATCH_UNMAP, VA + 300 * PAGE_BYTES, 3, 0)), 0);
        EXPECT_EQ(op_on(1, op_simple(BATCH_SOFTWARE, VA + 301 * PAGE_BYTES, 1, 0x50)), 0);
        run_on(0, 1);
        if (others)
            run_on(1, 1);
        for (unsigned i = 0; i < 512; i++)
            EXPECT_EQ(sim_store(i % (others + 1), VA + i * PAGE_BYTES, i), i < 300 || i > 302);
        EXPECT_EQ(op_on(0, op_copy(VA, 512)), 0);
        EXPECT_EQ(sw.done, 510);
        for (unsigned i = 0; i < 512; i++) {
            uint64_t leaf = entry_make(data_page(100 + i), ENTRY_ALWAYS | ENTRY_D | ENTRY_SOFT0);
            uint64_t entry = i < 300 || i > 302 ? leaf : i == 301 ? 0x50 : 0;
            EXPECT_EQ(entry_of(0, VA + i * PAGE_BYTES, 0), entry);
            EXPECT_EQ(entry_of(1, VA + i * PAGE_BYTES, 0), entry);
            EXPECT(!sim_store(i % (others + 1), VA + i * PAGE_BYTES, i));
        }
        CHECK_ALL();
        EXPECT_EQ(op_on(0, op_simple(BATCH_UNMAP, VA, 512, 0)), 0);
        EXPECT_EQ(op_on(1, op_simple(BATCH_UNMAP, VA, 512, 0)), 0);
        EXPECT_EQ(mappings(data_page(100)), 0);
        EXPECT_EQ(mappings(data_page(611)), 0);
        CHECK_ALL();
    }
}

/* Eight pages in the middle are all that loses anything: no other slot asks for a fence. */
KTAP_CASE(copy_of_a_whole_table_is_fenced)
{
    const vaddr_t at = VA + 64 * PAGE_BYTES;

    start();
    EXPECT_EQ(op_on(1, op_map(VA, 512, data_page(0), 0)), 0);
    EXPECT_EQ(op_on(1, op_simple(BATCH_PROTECT, at, 8, RW)), 0);
    run_on(0, 1);
    for (unsigned i = 0; i < 8; i++)
        EXPECT(sim_store(0, at + i * PAGE_BYTES, i));
    EXPECT_EQ(op_on(0, op_copy(VA, 512)), 0);
    EXPECT_EQ(tlb_check_all(), 0);
    for (unsigned i = 0; i < 8; i++)
        EXPECT(!sim_store(0, at + i * PAGE_BYTES, i));
    CHECK_ALL();
}

/* Taking W and X from whole groups, dirty or not: seen only by who looks for the fence. */
KTAP_CASE(protect_that_leaves_dirty_is_fenced)
{
    start();
    EXPECT_EQ(op_on(0, op_map(VA, 16, data_page(0), RW | ENTRY_X)), 0);
    for (unsigned i = 0; i < 16; i++)
        EXPECT(sim_store(0, VA + i * PAGE_BYTES, i));
    struct batch_op op = op_simple(BATCH_PROTECT, VA, 16, 0);
    op.flags = BATCH_DIRTY_STAYS;
    EXPECT_EQ(op_on(0, op), 0);
    EXPECT_EQ(sw.done, 16);
    EXPECT_EQ(tlb_check_all(), 0);
    for (unsigned i = 0; i < 16; i++) {
        EXPECT(!sim_store(0, VA + i * PAGE_BYTES, i));
        EXPECT_EQ(entry_of(0, VA + i * PAGE_BYTES, 0),
                  entry_make(data_page(i), ENTRY_ALWAYS | ENTRY_D));
    }
    CHECK_ALL();
}

KTAP_CASE(split_makes_512_small_leaves)
{
    start();
    EXPECT_EQ(op_on(0, large(op_map(BIG, 1, data_page(512), RW | ENTRY_SOFT0))), 0);
    EXPECT(sim_store(0, BIG + 5 * PAGE_BYTES, 99));
    uint64_t tables = sw.space[0]->tables;
    EXPECT_EQ(op_on(0, op_split(BIG + 0x3000)), 0);
    EXPECT_EQ(sw.done, 1);
    EXPECT_EQ(sw.space[0]->tables, tables + 1);
    EXPECT_EQ(mappings(data_page(512)), 512);
    for (unsigned i = 0; i < 512; i++)
        EXPECT_EQ(entry_of(0, BIG + i * PAGE_BYTES, 0),
                  entry_make(data_page(512 + i), ENTRY_ALWAYS | RW | ENTRY_SOFT0));
    CHECK_ALL();
    EXPECT_EQ(op_on(0, op_simple(BATCH_UNMAP, BIG + 5 * PAGE_BYTES, 1, 0)), 0);
    EXPECT(!sim_load(0, BIG + 5 * PAGE_BYTES, NULL));
    EXPECT(sim_load(0, BIG + 6 * PAGE_BYTES, NULL));
    CHECK_ALL();
    EXPECT_EQ(op_on(0, op_simple(BATCH_UNMAP, BIG, 512, 0)), 0);
    EXPECT_EQ(mappings(data_page(512)), 0);
    EXPECT_EQ(op_on(0, large(op_simple(BATCH_TABLE_REMOVE, BIG, 0, 0))), 0);
    CHECK_ALL();
}

KTAP_CASE(split_is_refused)
{
    start();
    struct batch_op op = op_split(BIG);
    EXPECT_EQ(op_on(0, op), -ERR_UNMAPPED);
    EXPECT_EQ(op_on(0, large(op_map(BIG, 1, data_page(512), RW))), 0);
    struct batch_op bad = op;
    bad.level = 0;
    EXPECT_EQ(op_on(0, bad), -ERR_LEVEL);
    bad.level = 2;
    EXPECT_EQ(op_on(0, bad), -ERR_LEVEL);
    bad = op;
    bad.address = VA;
    EXPECT_EQ(op_on(0, bad), -ERR_LEVEL);
    bad.address = space_user_end;
    EXPECT_EQ(op_on(0, bad), -ERR_RANGE);
    bad.address = 0;
    EXPECT_EQ(op_on(0, bad), -ERR_NOTABLE);
    bad = op;
    bad.entry |= ENTRY_R;
    EXPECT_EQ(op_on(0, bad), -ERR_ENTRY);
    bad.entry = entry_make(data_page(0), 0);
    EXPECT_EQ(op_on(0, bad), -ERR_CLASS);
    bad.entry = entry_make(world.first, 0);
    EXPECT_EQ(op_on(0, bad), -ERR_BUSY);
    bad.entry = entry_make(world.first + world.pages, 0);
    EXPECT_EQ(op_on(0, bad), -ERR_RANGE);
    bad = op;
    bad.memory = SPACE_SLOT(1);
    EXPECT_EQ(op_on(0, bad), -ERR_TYPE);
    EXPECT_EQ(mappings(data_page(512)), 1);
    block_count[data_page(512) >> TABLE_SHIFT] = INT32_MAX - 510;
    EXPECT_EQ(op_on(0, op), -ERR_CLASS);
    block_count[data_page(512) >> TABLE_SHIFT] = 1;
    EXPECT_EQ(op_on(0, op), 0);
    EXPECT_EQ(op_on(0, op), -ERR_LEVEL);
    CHECK_ALL();
}

/* ---- leaf tables that go with what stands in them ---- */

static struct batch_op op_drop(vaddr_t address)
{
    return large(op_simple(BATCH_TABLE_DROP, address, 0, 0));
}

KTAP_CASE(a_dropped_table_uncounts_all_that_stood_in_it)
{
    start();
    uint64_t tables = sw.space[0]->tables;
    pfn_t page = entry_page(entry_of(0, VA, 1));
    const uint64_t *table = page_to_virt(page);
    int32_t before[3];

    for (unsigned i = 0; i < 3; i++)
        before[i] = mappings(data_page(512 * i));
    /* Groups of one block, of two, mixed ones, a software entry, holes. */
    EXPECT_EQ(op_on(0, op_map(VA, 64, data_page(0), RW)), 0);
    EXPECT_EQ(op_on(0, op_map(VA + 64 * PAGE_BYTES, 60, data_page(480), RW)), 0);
    EXPECT_EQ(op_on(0, op_map(VA + 200 * PAGE_BYTES, 3, data_page(1030), 0)), 0);
    EXPECT_EQ(op_on(0, op_simple(BATCH_SOFTWARE, VA + 204 * PAGE_BYTES, 1, 0x1000)), 0);
    EXPECT_EQ(op_on(0, op_map(VA + 511 * PAGE_BYTES, 1, data_page(7), RW)), 0);
    EXPECT(sim_load(0, VA, NULL));
    EXPECT_EQ(op_on(0, op_drop(VA + 5 * PAGE_BYTES)), 0);
    EXPECT_EQ(sw.done, 64 + 60 + 3 + 1);
    for (unsigned i = 0; i < 3; i++)
        EXPECT_EQ(mappings(data_page(512 * i)), before[i]);
    EXPECT_EQ(entry_of(0, VA, 1), 0);
    EXPECT_EQ(sw.space[0]->tables, tables - 1);
    EXPECT(!sim_load(0, VA, NULL));
    /* It can be read until it is used again, and is clean then. */
    EXPECT_EQ(entry_page(table[511]), data_page(7));
    EXPECT_EQ(page_word_use(*page_directory(page)), PAGE_FREE);
    EXPECT(*page_directory(page) != PAGE_FREE_ZERO);
    struct batch_op op = large(op_simple(BATCH_TABLE, VA, 0, entry_make(page, 0)));
    op.memory = SLOT_MEMORY;
    EXPECT_EQ(op_on(0, op), 0);
    for (unsigned i = 0; i < TABLE_ENTRIES; i++)
        EXPECT_EQ(table[i], 0);
    CHECK_ALL();
}

KTAP_CASE(what_is_no_leaf_table_is_not_dropped)
{
    start();
    EXPECT_EQ(op_on(0, op_simple(BATCH_TABLE_DROP, VA, 0, 0)), -ERR_LEVEL);
    struct batch_op op = op_drop(VA);
    op.level = 2;
    EXPECT_EQ(op_on(0, op), -ERR_LEVEL);
    EXPECT_EQ(op_on(0, op_drop(BIG)), -ERR_UNMAPPED);
    EXPECT_EQ(op_on(0, op_drop(space_user_end)), -ERR_RANGE);
    EXPECT_EQ(op_on(0, large(op_map(BIG, 1, data_page(512), RW))), 0);
    EXPECT_EQ(op_on(0, op_drop(BIG)), -ERR_LEVEL);
    op = op_drop(VA);
    op.flags = BATCH_DIRTY_STAYS;
    EXPECT_EQ(op_on(0, op), -ERR_ARGUMENT);
    CHECK_ALL();
}

/* A copy into a table that was just installed is not checked for being empty: only right behind
 * that, and once. */
KTAP_CASE(a_copy_finds_what_stands_in_a_new_table)
{
    start();
    struct batch_op *op = operation_page()->op;
    long error;

    EXPECT_EQ(op_on(1, op_map(VA, TABLE_ENTRIES, data_page(512), RW)), 0);
    EXPECT_EQ(op_on(0, op_drop(VA)), 0);
    op[0] = large(op_simple(BATCH_TABLE, VA, 0, entry_make(table_page(), 0)));
    op[0].memory = SLOT_MEMORY;
    op[1] = op_map(VA, 1, data_page(3), RW);
    op[2] = op_copy(VA, TABLE_ENTRIES);
    op[2].extra = SPACE_SLOT(1);
    EXPECT_EQ(batch_on(0, 3, &error), 2);
    EXPECT_EQ(error, -ERR_MAPPED);
    EXPECT_EQ(op_on(0, op_drop(VA)), 0);
    op[0] = large(op_simple(BATCH_TABLE, VA, 0, entry_make(table_page(), 0)));
    op[0].memory = SLOT_MEMORY;
    op[1] = op[2];
    EXPECT_EQ(batch_on(0, 3, &error), 2); /* the second copy */
    EXPECT_EQ(error, -ERR_MAPPED);
    EXPECT_EQ(mappings(data_page(512)), 2 * TABLE_ENTRIES);
    CHECK_ALL();
}
