/* Lists of entries mapped by one operation. */
#include "batch_world.h"

/* Result word i <- a leaf entry. */
static void word(uint64_t i, pfn_t page, uint64_t bits)
{
    operation_page()->result[i] = entry_make(page, bits);
}

KTAP_CASE(map_list_writes_its_words_and_counts_each_page)
{
    start();
    for (unsigned i = 0; i < 67; i++)
        word(9 + i, scattered(i), i % 3 ? W | D : 0);
    EXPECT_EQ(op_on(0, op_list(VA + 0x5000, 67, 9)), 0);
    EXPECT_EQ(sw.done, 67);
    for (unsigned i = 0; i < 67; i++)
        EXPECT_EQ(entry_of(0, VA + 0x5000 + i * PAGE_BYTES, 0),
                  entry_make(scattered(i), ENTRY_ALWAYS | (i % 3 ? W | D : 0)));
    EXPECT_EQ(entry_of(0, VA + 0x4000, 0) | entry_of(0, VA + 0x48000, 0), 0);
    for (unsigned i = 0; i < 5; i++)
        EXPECT_EQ(mappings(data_page(i * PAGES_PER_BLOCK)), i < 2 ? 14 : 13);
    EXPECT_EQ(harts[0]->counter[COUNT_pages_mapped], 67);
    EXPECT_EQ(harts[0]->counter[COUNT_fence_local], 0);
    EXPECT(sim_store(0, VA + 0x6008, 77));
    EXPECT_EQ(sim_page(), scattered(1));
    CHECK_ALL();
    EXPECT_EQ(op_on(0, op_simple(BATCH_UNMAP, VA, 512, 0)), 0);
    EXPECT_EQ(sw.done, 67);
    EXPECT_EQ(harts[0]->counter[COUNT_fence_local], 1);
    for (unsigned i = 0; i < 5; i++)
        EXPECT_EQ(mappings(data_page(i * PAGES_PER_BLOCK)), 0);
    EXPECT(!sim_load(0, VA + 0x6008, NULL));
    CHECK_ALL();
}

KTAP_CASE(map_list_takes_any_length_and_any_runs_of_blocks)
{
    start();
    for (unsigned run = 1; run < 40; run += 3)
        for (unsigned count = 1; count <= BATCH_RESULTS_MAX; count += count < 20 ? 1 : 59) {
            for (unsigned i = 0; i < count; i++)
                word(i, data_page(i / run % 7 * PAGES_PER_BLOCK + i), W);
            EXPECT_EQ(op_on(0, op_list(VA + PAGE_BYTES, count, 0)), 0);
            EXPECT_EQ(sw.done, count);
            world_check();
            EXPECT_EQ(op_on(0, op_simple(BATCH_UNMAP, VA + PAGE_BYTES, count, 0)), 0);
            EXPECT_EQ(sw.done, count);
            world_check();
        }
    CHECK_ALL();
}

KTAP_CASE(map_list_is_refused)
{
    start();
    pfn_t last = world.first + world.pages - 1;
    for (unsigned i = 0; i < BATCH_RESULTS_MAX; i++)
        word(i, scattered(i), 0);
    refused(op_list(VA, 0, 0), ERR_ARGUMENT);
    refused(op_list(VA, 513, 0), ERR_ARGUMENT);
    refused(op_list(VA, 257, 0), ERR_RANGE);
    refused(op_list(VA, 1, 256), ERR_RANGE);
    refused(op_list(VA, 1, ~0UL), ERR_RANGE);
    refused(op_list(VA, 9, 248), ERR_RANGE);
    refused(op_list(VA + 8, 1, 0), ERR_ALIGN);
    refused(op_list(VA + 511 * PAGE_BYTES, 2, 0), ERR_RANGE);
    refused(op_list(space_user_end, 1, 0), ERR_RANGE);
    refused(op_list(VA + BLOCK_BYTES, 1, 0), ERR_NOTABLE);
    refused(with_level(op_list(VA, 1, 0), 1), ERR_LEVEL);  /* a table is there */
    refused(with_level(op_list(BIG, 1, 0), 1), ERR_LEVEL); /* only small leaves */
    refused(with_memory(op_list(VA, 1, 0), SLOT_SPACE), ERR_TYPE);
    refused(with_memory(op_list(VA, 1, 0), SLOT_FREE + 200), ERR_EMPTY);
    refused(with_memory(op_list(VA, 1, 0), 0xffffffff), ERR_SLOT);
    for (unsigned i = 0; i < 21; i += 10) { /* in a group, and behind the last */
        const struct batch_op op = op_list(VA, 22, 7);
        word(7 + i, scattered(i), ENTRY_G);
        refused(op, ERR_ENTRY);
        word(7 + i, scattered(i), ENTRY_N);
        refused(op, ERR_ENTRY);
        word(7 + i, scattered(i), ENTRY_PBMT_IO);
        refused(op, ERR_ENTRY);
        word(7 + i, scattered(i), 1UL << 60);
        refused(op, ERR_ENTRY);
        word(7 + i, scattered(i), W);
        refused(with_memory(op, RO), ERR_ENTRY);
        word(7 + i, last + 1, 0);
        refused(op, ERR_RANGE);
        word(7 + i, world.first - 1, 0);
        refused(op, ERR_RANGE);
        word(7 + i, (1UL << 44) - 1, 0);
        refused(op, ERR_RANGE);
        word(7 + i, world.first, 0);
        refused(op, ERR_CLASS);
        word(7 + i, scattered(i), 0);
    }
    for (unsigned i = 0; i < 5; i++)
        EXPECT_EQ(mappings(data_page(i * PAGES_PER_BLOCK)), 0);
    EXPECT_EQ(op_on(0, op_list(VA, 30, 0)), 0);
    refused(op_list(VA + 29 * PAGE_BYTES, 9, 0), ERR_MAPPED);
}

/* 64 KiB runs are not a list's, whether the machine has them or not. */
KTAP_CASE(map_list_has_no_64_kib_runs)
{
    start_with((struct machine_options){.asid_bits = 16, .features = BOOT_HAS_SVNAPOT});
    for (unsigned i = 0; i < 16; i++)
        word(i, data_page(16 + i), ENTRY_N);
    refused(op_list(VA, 16, 0), ERR_ENTRY);
}

/* The extent is narrow and not aligned: the AND and the OR of its pages lie outside. */
KTAP_CASE(map_list_finds_pages_that_are_covered_after_all)
{
    start();
    uint32_t part = SLOT_FREE + 33;
    EXPECT_EQ(WORLD_CALL(call_cap_copy, SLOT_MEMORY, SELF_TABLE, part, 0, sw.data + 505, 12), 0);
    for (unsigned i = 0; i < 12; i++)
        word(i, data_page(505 + i), 0);
    EXPECT_EQ(op_on(0, with_memory(op_list(VA, 12, 0), part)), 0);
    EXPECT_EQ(mappings(data_page(0)), 7);
    EXPECT_EQ(mappings(data_page(512)), 5);
    word(11, data_page(517), 0);
    refused(with_memory(op_list(VA + 0x10000, 12, 0), part), ERR_RANGE);
    word(11, data_page(504), 0);
    refused(with_memory(op_list(VA + 0x10000, 12, 0), part), ERR_RANGE);
}

KTAP_CASE(map_list_overwrites_software_entries)
{
    start();
    for (unsigned i = 0; i < 20; i++)
        word(i, data_page(i), 0);
    EXPECT_EQ(op_on(0, op_simple(BATCH_SOFTWARE, VA + 3 * PAGE_BYTES, 1, 0xabcd00)), 0);
    EXPECT_EQ(op_on(0, op_simple(BATCH_SOFTWARE, VA + 19 * PAGE_BYTES, 1, 0xabcd00)), 0);
    EXPECT_EQ(op_on(0, op_list(VA, 20, 0)), 0);
    EXPECT_EQ(sw.done, 20);
    EXPECT_EQ(mappings(data_page(0)), 20);
    CHECK_ALL();
}
