/* Every operation of a batch: what it does, and each reason why it is refused. */
#include "batch_world.h"

#include <string.h>

KTAP_CASE(map_writes_a_run_and_counts_it)
{
    start();
    EXPECT_EQ(op_on(0, op_map(VA + 0x5000, 7, data_page(3), W | D)), 0);
    EXPECT_EQ(sw.done, 7);
    for (unsigned i = 0; i < 7; i++)
        EXPECT_EQ(entry_of(0, VA + 0x5000 + i * PAGE_BYTES, 0),
                  entry_make(data_page(3 + i), ENTRY_ALWAYS | W | D));
    EXPECT_EQ(entry_of(0, VA + 0x4000, 0), 0);
    EXPECT_EQ(entry_of(0, VA + 0xc000, 0), 0);
    EXPECT_EQ(mappings(data_page(0)), 7);
    EXPECT_EQ(harts[0]->counter[COUNT_pages_mapped], 7);
    EXPECT_EQ(harts[0]->counter[COUNT_fence_local], 0);
    CHECK_ALL();
}

KTAP_CASE(map_counts_in_both_blocks_that_it_crosses)
{
    start();
    EXPECT_EQ(op_on(0, op_map(VA, 512, data_page(100), 0)), 0);
    EXPECT_EQ(mappings(data_page(100)), 412);
    EXPECT_EQ(mappings(data_page(512)), 100);
    CHECK_ALL();
}

KTAP_CASE(map_takes_back_its_counts_when_the_second_block_is_of_tables)
{
    start();
    EXPECT_EQ(WORLD_CALL(call_block_class, SLOT_MEMORY, 2 * PAGES_PER_BLOCK, BLOCK_TABLES), 0);
    refused(op_map(VA, 512, data_page(100), 0), ERR_CLASS);
    EXPECT_EQ(mappings(data_page(100)), 0);
}

KTAP_CASE(map_of_large_leaves)
{
    start();
    EXPECT_EQ(op_on(0, with_level(op_map(BIG, 3, data_page(0), W | D), 1)), 0);
    for (unsigned i = 0; i < 3; i++) {
        EXPECT_EQ(mappings(data_page(i * 512)), 1);
        EXPECT_EQ(entry_of(0, BIG + i * BLOCK_BYTES, 1),
                  entry_make(data_page(i * 512), ENTRY_ALWAYS | W | D));
    }
    CHECK_ALL();
    EXPECT_EQ(op_on(0, with_level(op_simple(BATCH_UNMAP, BIG, 3, 0), 1)), 0);
    EXPECT_EQ(sw.done, 3);
    EXPECT_EQ(mappings(data_page(512)), 0);
    CHECK_ALL();
}

KTAP_CASE(map_of_large_leaves_undoes_all_when_one_block_is_of_tables)
{
    start();
    EXPECT_EQ(WORLD_CALL(call_block_class, SLOT_MEMORY, 3 * PAGES_PER_BLOCK, BLOCK_TABLES), 0);
    refused(with_level(op_map(BIG, 4, data_page(0), 0), 1), ERR_CLASS);
    EXPECT_EQ(mappings(data_page(0)), 0);
    EXPECT_EQ(entry_of(0, BIG, 1), 0);
}

KTAP_CASE(map_is_refused)
{
    start();
    pfn_t last = world.first + world.pages - 1;
    refused(op_map(VA, 0, data_page(0), 0), ERR_ARGUMENT);
    refused(op_map(VA, 513, data_page(0), 0), ERR_ARGUMENT);
    refused(op_map(VA, ~0u, data_page(0), 0), ERR_ARGUMENT);
    refused(op_map(VA + 8, 1, data_page(0), 0), ERR_ALIGN);
    refused(op_map(VA + PAGE_BYTES, 512, data_page(0), 0), ERR_RANGE);
    refused(op_map(space_user_end, 1, data_page(0), 0), ERR_RANGE);
    refused(op_map(-PAGE_BYTES, 1, data_page(0), 0), ERR_RANGE);
    refused(op_map(VA + BLOCK_BYTES, 1, data_page(0), 0), ERR_NOTABLE);
    refused(op_map(0, 1, data_page(0), 0), ERR_NOTABLE);
    refused(with_level(op_map(VA, 1, data_page(0), 0), 1), ERR_LEVEL); /* a table is there */
    refused(with_level(op_map(VA, 1, data_page(0), 0), 2), ERR_LEVEL);
    refused(with_level(op_map(VA, 1, data_page(0), 0), 255), ERR_LEVEL);
    refused(with_level(op_map(BIG + PAGE_BYTES, 1, data_page(0), 0), 1), ERR_ALIGN);
    refused(with_level(op_map(BIG, 1, data_page(1), 0), 1), ERR_ALIGN);
    refused(with_level(op_map(BIG, 512, data_page(0), 0), 1), ERR_RANGE);
    refused(op_map(VA, 2, last, 0), ERR_RANGE);
    refused(op_map(VA, 1, last + 1, 0), ERR_RANGE);
    refused(op_map(VA, 1, world.first - 1, 0), ERR_RANGE);
    refused(op_map(VA, 1, world.first, 0), ERR_CLASS);
    refused(op_map(VA, 1, data_page(0), ENTRY_G), ERR_ENTRY);
    refused(op_map(VA, 1, data_page(0), ENTRY_N), ERR_UNSUPPORTED);
    refused(op_map(VA, 1, data_page(0), ENTRY_PBMT_IO), ERR_ENTRY);
    refused(op_map(VA, 1, data_page(0), 1UL << 60), ERR_ENTRY);
    refused(with_memory(op_map(VA, 1, data_page(0), W), RO), ERR_ENTRY);
    refused(with_memory(op_map(VA, 1, data_page(0), ENTRY_X), RO), ERR_ENTRY);
    refused(with_memory(op_map(VA, 1, data_page(0), 0), SLOT_SPACE), ERR_TYPE);
    refused(with_memory(op_map(VA, 1, data_page(0), 0), SLOT_FREE + 200), ERR_EMPTY);
    refused(with_memory(op_map(VA, 1, data_page(0), 0), 0xffffffff), ERR_SLOT);
    struct batch_op op = op_map(VA, 1, data_page(0), 0);
    op.flags = 4;
    refused(op, ERR_ARGUMENT);
    op.flags = 0;
    op.code = BATCH_CODES;
    refused(op, ERR_ARGUMENT);
}

KTAP_CASE(map_is_refused_where_something_is_mapped_and_overwrites_software_entries)
{
    start();
    EXPECT_EQ(op_on(0, op_simple(BATCH_SOFTWARE, VA + PAGE_BYTES, 1, 0xabcd00)), 0);
    EXPECT_EQ(op_on(0, op_map(VA, 4, data_page(0), 0)), 0);
    EXPECT_EQ(op_on(0, op_simple(BATCH_SOFTWARE, VA + 19 * PAGE_BYTES, 1, 0xabcd00)), 0);
    refused(op_map(VA + 3 * PAGE_BYTES, 9, data_page(0), 0), ERR_MAPPED);
    EXPECT_EQ(op_on(0, op_map(VA + 4 * PAGE_BYTES, 16, data_page(8), 0)), 0);
    EXPECT_EQ(mappings(data_page(0)), 20);
    CHECK_ALL();
    EXPECT_EQ(op_on(0, with_level(op_map(BIG, 1, data_page(512), 0), 1)), 0);
    EXPECT_EQ(op_on(0, with_level(op_map(BIG - BLOCK_BYTES, 2, data_page(512), 0), 1)),
              -ERR_MAPPED);
    EXPECT_EQ(op_on(0, op_map(BIG, 1, data_page(0), 0)), -ERR_LEVEL);
    CHECK_ALL();
}

KTAP_CASE(map_of_64_kib_runs)
{
    start_with((struct machine_options){.asid_bits = 16, .features = BOOT_HAS_SVNAPOT});
    EXPECT_EQ(op_on(0, op_map(VA + 0x10000, 32, data_page(16), ENTRY_N | W | D)), 0);
    for (unsigned i = 0; i < 32; i++)
        EXPECT_EQ(entry_of(0, VA + 0x10000 + i * PAGE_BYTES, 0),
                  entry_make((data_page(16) + i) & ~15UL, ENTRY_ALWAYS | W | D | ENTRY_N) |
                      8UL << ENTRY_PAGE_SHIFT);
    EXPECT_EQ(mappings(data_page(0)), 32);
    EXPECT(sim_store(0, VA + 0x15008, 77));
    EXPECT_EQ(sim_page(), data_page(21));
    CHECK_ALL();
    refused(op_map(VA + 0x41000, 16, data_page(16), ENTRY_N), ERR_ALIGN);
    refused(op_map(VA + 0x40000, 8, data_page(16), ENTRY_N), ERR_ALIGN);
    refused(op_map(VA + 0x40000, 16, data_page(17), ENTRY_N), ERR_ALIGN);
    refused(with_level(op_map(BIG, 16, data_page(0), ENTRY_N), 1), ERR_RANGE);
    refused(with_level(op_map(BIG, 1, data_page(0), ENTRY_N), 1), ERR_ENTRY);
    EXPECT_EQ(op_on(0, op_simple(BATCH_UNMAP, VA + 0x10000, 16, 0)), 0);
    EXPECT(!sim_load(0, VA + 0x15008, NULL));
    EXPECT_EQ(mappings(data_page(0)), 16);
    CHECK_ALL();
}

KTAP_CASE(a_64_kib_run_is_not_cut)
{
    start_with((struct machine_options){.asid_bits = 16, .features = BOOT_HAS_SVNAPOT});
    const vaddr_t at = VA + 0x10000, other = VA + 0x80000;
    EXPECT_EQ(op_on(0, op_map(at, 32, data_page(16), ENTRY_N | W | D)), 0);
    struct batch_op replace = op_simple(BATCH_REPLACE, at, 1, entry_make(data_page(0), W));
    replace.extra = entry_of(0, at, 0);
    refused(replace, ERR_ALIGN);
    static const struct {
        unsigned first, count;
        bool whole;
    } part[] = {{0, 1, false},  {1, 15, false}, {0, 17, false}, {15, 2, false},
                {8, 24, false}, {0, 16, true},  {16, 16, true}, {0, 32, true}};
    for (unsigned i = 0; i < sizeof(part) / sizeof(*part); i++) {
        vaddr_t from = at + part[i].first * PAGE_BYTES;
        struct batch_op move = op_simple(BATCH_MOVE, from, part[i].count, 0), back = move;
        move.extra = other + part[i].first * PAGE_BYTES;
        back.address = move.extra;
        back.extra = move.address;
        struct batch_op copy = op_simple(BATCH_COPY_TABLE, from, part[i].count, 0);
        copy.extra = SPACE_SLOT(0);
        if (!part[i].whole) {
            refused(op_simple(BATCH_UNMAP, from, part[i].count, 0), ERR_ALIGN);
            refused(op_simple(BATCH_PROTECT, from, part[i].count, 0), ERR_ALIGN);
            refused(op_simple(BATCH_CLEAR_BITS, from, part[i].count, ENTRY_A), ERR_ALIGN);
            refused(move, ERR_ALIGN);
            EXPECT_EQ(op_on(1, copy), -ERR_ALIGN);
            continue;
        }
        EXPECT(sim_store(0, from + 0x3000, i));
        EXPECT_EQ(op_on(0, op_simple(BATCH_PROTECT, from, part[i].count, 0)), 0);
        EXPECT(!sim_store(0, from + 0x4000, i));
        EXPECT_EQ(op_on(0, op_simple(BATCH_PROTECT, from, part[i].count, W | D)), 0);
        EXPECT(sim_store(0, from + 0x4000, i));
        EXPECT_EQ(op_on(0, move), 0);
        EXPECT(!sim_load(0, from + 0x3000, NULL));
        EXPECT(sim_load(0, move.extra + 0x3000, NULL));
        EXPECT_EQ(op_on(0, back), 0);
        move.extra += PAGE_BYTES;
        refused(move, ERR_ALIGN);
        CHECK_ALL();
    }
    struct batch_op copy = op_simple(BATCH_COPY_TABLE, at, 32, 0);
    copy.extra = SPACE_SLOT(0);
    EXPECT_EQ(op_on(1, copy), 0);
    EXPECT(!sim_store(0, at, 1));
    for (unsigned i = 0; i < 32; i++)
        EXPECT_EQ(entry_of(1, at + i * PAGE_BYTES, 0) | ENTRY_A | D,
                  entry_of(0, at + i * PAGE_BYTES, 0) | ENTRY_A | D);
    CHECK_ALL();
}

KTAP_CASE(memory_types_are_for_devices)
{
    start_with(
        (struct machine_options){.asid_bits = 16, .features = BOOT_HAS_SVPBMT, .device_pages = 16});
    struct batch_op op =
        with_memory(op_map(VA, 1, world_cap(WORLD_SLOT_DEVICE)->first, W | D), WORLD_SLOT_DEVICE);
    uint64_t plain = op.entry;
    refused(op_map(VA, 1, data_page(0), ENTRY_PBMT_NC), ERR_ENTRY);
    refused(op_map(VA, 1, data_page(0), ENTRY_PBMT_IO), ERR_ENTRY);
    op.entry = plain | ENTRY_PBMT_NC | ENTRY_PBMT_IO;
    refused(op, ERR_ENTRY);
    op.entry = plain | ENTRY_PBMT_IO;
    EXPECT_EQ(op_on(0, op), 0);
    EXPECT_EQ(entry_of(0, VA, 0), op.entry | ENTRY_ALWAYS);
    op.entry = plain | ENTRY_PBMT_NC;
    op.address += PAGE_BYTES;
    EXPECT_EQ(op_on(0, op), 0);
    CHECK_ALL();
}

KTAP_CASE(device_memory_is_mapped_with_its_type)
{
    start_with((struct machine_options){.asid_bits = 16, .features = BOOT_HAS_SVPBMT});
    struct batch_op op = op_map(VA, 2, PAGES_PER_BLOCK, W | D | ENTRY_PBMT_IO);
    EXPECT_EQ(op_on(0, with_memory(op, WORLD_SLOT_DEVICE)), 0);
    EXPECT_EQ(op_on(0, op), -ERR_ENTRY);
    EXPECT(sim_load(0, VA, NULL));
    EXPECT_EQ(sim_page(), PAGES_PER_BLOCK);
    CHECK_ALL();
}

/* A group of slots with everything in it: leaves of two blocks, software entries, nothing. */
KTAP_CASE(unmap_of_mixed_groups)
{
    start();
    for (unsigned n = 0; n < 30; n++) {
        unsigned leaves = 0, software = 0;
        for (unsigned i = 0; i < 24; i++) {
            vaddr_t at = VA + i * PAGE_BYTES;
            uint64_t kind = ktap_random_below(n % 3 ? 4 : 2); /* 0 and 1: leaves */
            if (kind < 2)
                EXPECT_EQ(op_on(0, op_map(at, 1, data_page(kind * 512 + i), 0)), 0);
            else if (kind == 2)
                EXPECT_EQ(op_on(0, op_simple(BATCH_SOFTWARE, at, 1, 0x1000 | i << 4 | 1UL << 63)),
                          0);
            leaves += kind < 2;
            software += kind == 2;
        }
        harts[0]->counter[COUNT_pages_unmapped] = 0;
        EXPECT_EQ(op_on(0, op_simple(BATCH_UNMAP, VA, 100, 0)), 0);
        EXPECT_EQ(sw.done, leaves + software);
        EXPECT_EQ(harts[0]->counter[COUNT_pages_unmapped], leaves);
        CHECK_ALL();
    }
}

/* The boot maps the memory server's image without counting; its blocks are no data. */
KTAP_CASE(what_was_never_counted_is_not_uncounted)
{
    start();
    unsigned found;
    uint64_t *slot = space_slot(sw.space[0], VA, 0, &found);
    int32_t before = block_count[world.ram >> TABLE_SHIFT];
    space_server = sw.space[0];
    for (unsigned i = 0; i < 20; i++)
        slot[i] = entry_make(world.ram + i, ENTRY_ALWAYS);
    EXPECT_EQ(op_on(0, op_map(VA + 20 * PAGE_BYTES, 2, data_page(0), 0)), 0);
    EXPECT_EQ(op_on(0, op_simple(BATCH_UNMAP, VA, 1, 0)), 0);
    EXPECT_EQ(op_on(0, op_simple(BATCH_UNMAP, VA, 32, 0)), 0);
    EXPECT_EQ(sw.done, 21);
    EXPECT_EQ(block_count[world.ram >> TABLE_SHIFT], before);
    EXPECT_EQ(mappings(data_page(0)), 0);
    space_server = NULL;
    CHECK_ALL();
}

/* Many single operations in one call take the short way, and know when not to. */
KTAP_CASE(single_operations_in_one_call)
{
    start();
    long error;
    struct batch_op *op = operation_page()->op;
    for (unsigned i = 0; i < 8; i++) {
        op[i] = op_map(VA + i * PAGE_BYTES, 1, scattered(i), W);
        op[8 + i] = op_simple(BATCH_UNMAP, VA + (i ^ 1) * PAGE_BYTES, 1, 0);
    }
    EXPECT_EQ(batch_on(0, 16, &error), 16);
    for (unsigned i = 0; i < 16; i++)
        EXPECT_EQ(op[i].done, 1);
    EXPECT_EQ(harts[0]->counter[COUNT_pages_mapped], 8);
    EXPECT_EQ(harts[0]->counter[COUNT_pages_unmapped], 8);
    EXPECT_EQ(harts[0]->counter[COUNT_fence_local], 1);
    EXPECT_EQ(batch_on(0, 8, &error), 8);
    for (unsigned i = 0; i < 8; i++)
        EXPECT(sim_load(0, VA + i * PAGE_BYTES, NULL));
    CHECK_ALL();
    static const struct {
        unsigned at;
        long error;
    } bad[] = {{2, ERR_ALIGN}, {3, ERR_ENTRY}, {4, ERR_RANGE}, {5, ERR_CLASS}, {6, ERR_MAPPED}};
    for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        for (unsigned k = 0; k < 8; k++)
            op[k] = op_map(VA + (100 + 10 * i + k) * PAGE_BYTES, 1, scattered(k), W);
        op[2].address += bad[i].at == 2 ? 8 : 0;
        op[3].entry |= bad[i].at == 3 ? ENTRY_G : 0;
        op[4].entry = bad[i].at == 4 ? entry_make(world.first - 1, 0) : op[4].entry;
        op[5].entry = bad[i].at == 5 ? entry_make(world.first, 0) : op[5].entry;
        op[6].address = bad[i].at == 6 ? VA : op[6].address;
        EXPECT_EQ(batch_on(0, 8, &error), bad[i].at);
        EXPECT_EQ(error, -bad[i].error);
        EXPECT_EQ(op[bad[i].at].done, 0);
        CHECK_ALL();
    }
    for (unsigned i = 0; i < 8; i++)
        op[i] = op_simple(BATCH_UNMAP, VA + (i * 7 % 5 + 90) * PAGE_BYTES, 1, 0);
    EXPECT_EQ(batch_on(0, 8, &error), 8);
    for (unsigned i = 0; i < 8; i++)
        EXPECT_EQ(op[i].done, 0);
    CHECK_ALL();
}

static long removed[2];

static void remove_meanwhile(void)
{
    if (kernel_lock_held())
        return;
    machine_hart_select(1);
    removed[0] = WORLD_CALL(call_cap_delete, SELF_TABLE, SLOT_FREE + 33);
    removed[1] = WORLD_CALL(call_cap_revoke, SELF_TABLE, SLOT_FREE + 34);
    machine_hart_select(0);
}

/* Its count is 0 already, but a hart may still use the translation. */
KTAP_CASE(memory_does_not_go_between_the_count_and_the_fence)
{
    start();
    uint32_t part = SLOT_FREE + 33, above = SLOT_FREE + 34;
    EXPECT_EQ(
        WORLD_CALL(call_cap_copy, SLOT_MEMORY, SELF_TABLE, above, RIGHT_COPY_ON, sw.data, 512), 0);
    EXPECT_EQ(WORLD_CALL(call_cap_copy, above, SELF_TABLE, part, 0, 0, 0), 0);
    EXPECT_EQ(op_on(0, with_memory(op_map(VA, 20, data_page(0), 0), part)), 0);
    EXPECT(sim_load(0, VA, NULL));
    EXPECT_EQ(WORLD_CALL(call_cap_delete, SELF_TABLE, part), -ERR_BUSY);
    tlb_fence_hook = remove_meanwhile;
    EXPECT_EQ(op_on(0, op_simple(BATCH_UNMAP, VA, 20, 0)), 0);
    tlb_fence_hook = NULL;
    EXPECT_EQ(mappings(data_page(0)), 0);
    EXPECT_EQ(removed[0], -ERR_AGAIN);
    EXPECT_EQ(removed[1], -ERR_AGAIN);
    EXPECT_EQ(op_on(0, with_memory(op_map(VA, 1, data_page(0), 0), part)), 0); /* it is whole */
    EXPECT_EQ(op_on(0, op_simple(BATCH_UNMAP, VA, 20, 0)), 0);
    EXPECT_EQ(WORLD_CALL(call_cap_delete, SELF_TABLE, part), 0);
    CHECK_ALL();
}

KTAP_CASE(unmap_passes_over_what_is_not_there)
{
    start();
    EXPECT_EQ(op_on(0, op_map(VA + 3 * PAGE_BYTES, 2, data_page(0), 0)), 0);
    EXPECT_EQ(op_on(0, op_map(VA + 300 * PAGE_BYTES, 9, data_page(700), 0)), 0);
    EXPECT_EQ(op_on(0, op_simple(BATCH_SOFTWARE, VA + 511 * PAGE_BYTES, 1, 0x10)), 0);
    EXPECT(sim_load(0, VA + 3 * PAGE_BYTES, NULL));
    EXPECT(sim_load(0, VA + 308 * PAGE_BYTES, NULL));
    EXPECT_EQ(op_on(0, op_simple(BATCH_UNMAP, VA, 512, 0)), 0);
    EXPECT_EQ(sw.done, 12);
    EXPECT_EQ(harts[0]->counter[COUNT_pages_unmapped], 11);
    EXPECT_EQ(harts[0]->counter[COUNT_fence_local], 1);
    for (unsigned i = 0; i < 512; i++)
        EXPECT_EQ(entry_of(0, VA + i * PAGE_BYTES, 0), 0);
    EXPECT_EQ(op_on(0, op_simple(BATCH_UNMAP, VA, 512, 0)), 0);
    EXPECT_EQ(sw.done, 0);
    EXPECT_EQ(harts[0]->counter[COUNT_fence_local], 1);
    CHECK_ALL();
}

KTAP_CASE(unmap_keeps_old_entries_as_far_as_there_is_room)
{
    start();
    EXPECT_EQ(op_on(0, op_map(VA, 300, data_page(0), 0)), 0);
    EXPECT_EQ(op_on(0, op_simple(BATCH_SOFTWARE, VA + 400 * PAGE_BYTES, 1, 0x10)), 0);
    EXPECT_EQ(op_on(0, kept(op_simple(BATCH_UNMAP, VA, 512, 0))), -ERR_LIMIT);
    EXPECT_EQ(sw.done, BATCH_RESULTS_MAX);
    for (unsigned i = 0; i < BATCH_RESULTS_MAX; i++)
        EXPECT_EQ(operation_page()->result[i], entry_make(data_page(i), ENTRY_ALWAYS));
    CHECK_ALL();
    EXPECT_EQ(op_on(0, kept(op_simple(BATCH_UNMAP, VA, 512, 0))), 0);
    EXPECT_EQ(sw.done, 45);
    EXPECT_EQ(operation_page()->result[43], entry_make(data_page(299), ENTRY_ALWAYS));
    EXPECT_EQ(mappings(data_page(0)), 0);
    CHECK_ALL();
}

KTAP_CASE(unmap_is_refused)
{
    start();
    refused(op_simple(BATCH_UNMAP, VA, 0, 0), ERR_ARGUMENT);
    refused(op_simple(BATCH_UNMAP, VA + 1, 1, 0), ERR_ALIGN);
    refused(op_simple(BATCH_UNMAP, VA + PAGE_BYTES, 512, 0), ERR_RANGE);
    refused(op_simple(BATCH_UNMAP, space_user_end, 1, 0), ERR_RANGE);
    refused(op_simple(BATCH_UNMAP, VA + BLOCK_BYTES, 1, 0), ERR_NOTABLE);
    refused(with_level(op_simple(BATCH_UNMAP, VA, 1, 0), 1), ERR_LEVEL);
    refused(with_level(op_simple(BATCH_UNMAP, VA, 1, 0), 2), ERR_LEVEL);
}

KTAP_CASE(no_operation_takes_a_level_that_does_not_exist)
{
    start();
    for (unsigned code = BATCH_MAP; code < BATCH_CODES; code++)
        for (unsigned level = 2; level < 256; level += 127) {
            struct batch_op op = op_simple((enum batch_code)code, BIG, 1, 0);
            if (code == BATCH_REPLACE)
                op.extra = entry_make(data_page(0), ENTRY_ALWAYS);
            if (code == BATCH_SOFTWARE)
                op.entry = 0x10;
            if (code == BATCH_COPY_TABLE)
                op.extra = SPACE_SLOT(1);
            if (code == BATCH_MOVE)
                op.extra = BIG + BLOCK_BYTES;
            bool table = code == BATCH_TABLE || code == BATCH_TABLE_REMOVE;
            refused(with_level(op, table ? level + 1 : level), ERR_LEVEL);
        }
    refused(with_level(op_simple(BATCH_TABLE, BIG, 1, 0), 255), ERR_LEVEL);
}

KTAP_CASE(replace_needs_the_entry_that_is_expected)
{
    start();
    uint64_t old = entry_make(data_page(0), ENTRY_ALWAYS);
    struct batch_op op = op_simple(BATCH_REPLACE, VA, 1, entry_make(data_page(600), W | D));
    op.extra = old;
    refused(op, ERR_UNMAPPED);
    EXPECT_EQ(op_on(0, op_map(VA, 1, data_page(0), 0)), 0);
    op.extra = entry_make(data_page(1), ENTRY_ALWAYS);
    refused(op, ERR_MAPPED);
    op.extra = 0;
    refused(op, ERR_ENTRY);
    op.extra = old;
    op.count = 2;
    refused(op, ERR_ARGUMENT);
    op.count = 1;
    refused(with_memory(op, RO), ERR_ENTRY);
    op.entry = entry_make(world.first, 0);
    refused(op, ERR_CLASS);
    op.entry = entry_make(data_page(600), W | D);
    EXPECT(sim_load(0, VA, NULL));
    op.extra = (old | ENTRY_D) & ~ENTRY_A; /* these two do not matter */
    EXPECT_EQ(op_on(0, kept(op)), 0);
    EXPECT_EQ(operation_page()->result[0], old);
    EXPECT_EQ(mappings(data_page(0)), 0);
    EXPECT_EQ(mappings(data_page(600)), 1);
    EXPECT_EQ(harts[0]->counter[COUNT_fence_local], 1);
    EXPECT(sim_store(0, VA, 1));
    EXPECT_EQ(sim_page(), data_page(600));
    CHECK_ALL();
}

KTAP_CASE(replace_that_only_adds_needs_no_fence)
{
    start();
    EXPECT_EQ(op_on(0, op_map(VA, 1, data_page(0), 0)), 0);
    EXPECT(sim_load(0, VA, NULL));
    struct batch_op op = op_simple(BATCH_REPLACE, VA, 1, entry_make(data_page(0), W | D));
    op.extra = entry_make(data_page(0), ENTRY_ALWAYS);
    EXPECT_EQ(op_on(0, op), 0);
    EXPECT_EQ(harts[0]->counter[COUNT_fence_local], 0);
    EXPECT(sim_store(0, VA, 1));
    EXPECT_EQ(mappings(data_page(0)), 1);
    CHECK_ALL();
}

KTAP_CASE(protect_takes_freely_and_adds_by_capability)
{
    start();
    EXPECT_EQ(op_on(0, op_map(VA, 20, data_page(0), W | D | ENTRY_X)), 0);
    EXPECT(sim_store(0, VA + 4 * PAGE_BYTES, 1));
    /* Taking needs no capability at all. */
    EXPECT_EQ(op_on(0, with_memory(op_simple(BATCH_PROTECT, VA, 30, 0), 0)), 0);
    EXPECT_EQ(sw.done, 20);
    EXPECT(!sim_store(0, VA + 4 * PAGE_BYTES, 1));
    EXPECT_EQ(entry_of(0, VA, 0), entry_make(data_page(0), ENTRY_ALWAYS));
    EXPECT_EQ(harts[0]->counter[COUNT_fence_local], 1);
    CHECK_ALL();
    refused(with_memory(op_simple(BATCH_PROTECT, VA, 20, W), RO), ERR_ENTRY);
    refused(with_memory(op_simple(BATCH_PROTECT, VA, 20, ENTRY_X), RO), ERR_ENTRY);
    refused(with_memory(op_simple(BATCH_PROTECT, VA, 20, W), WORLD_SLOT_DEVICE), ERR_RANGE);
    refused(with_memory(op_simple(BATCH_PROTECT, VA, 20, W), SLOT_SPACE), ERR_TYPE);
    refused(op_simple(BATCH_PROTECT, VA, 20, ENTRY_R), ERR_ENTRY);
    refused(op_simple(BATCH_PROTECT, VA, 20, entry_make(1, W)), ERR_ENTRY);
    EXPECT_EQ(op_on(0, kept(op_simple(BATCH_PROTECT, VA + PAGE_BYTES, 2, W | D))), 0);
    EXPECT_EQ(operation_page()->result[1], entry_make(data_page(2), ENTRY_ALWAYS));
    EXPECT_EQ(harts[0]->counter[COUNT_fence_local], 1);
    EXPECT_EQ(entry_of(0, VA + PAGE_BYTES, 0), entry_make(data_page(1), ENTRY_ALWAYS | W | D));
    EXPECT(!sim_store(0, VA, 1));
    EXPECT(sim_store(0, VA + 2 * PAGE_BYTES, 1));
    /* What has the right keeps it without any capability. */
    EXPECT_EQ(op_on(0, with_memory(op_simple(BATCH_PROTECT, VA + PAGE_BYTES, 2, W), 0)), 0);
    EXPECT_EQ(entry_of(0, VA + PAGE_BYTES, 0), entry_make(data_page(1), ENTRY_ALWAYS | W));
    CHECK_ALL();
}

KTAP_CASE(protect_takes_leaves_out_of_reach)
{
    start();
    struct batch_op hide = op_simple(BATCH_PROTECT, VA, 20, 0);
    struct batch_op show = op_simple(BATCH_PROTECT, VA, 20, ENTRY_U | W | D);

    hide.flags = show.flags = BATCH_REACH;
    EXPECT_EQ(op_on(0, op_map(VA, 20, data_page(0), W | D)), 0);
    EXPECT(sim_store(0, VA, 1));
    refused(op_simple(BATCH_PROTECT, VA, 20, ENTRY_U), ERR_ENTRY);
    EXPECT_EQ(op_on(0, hide), 0);
    EXPECT_EQ(harts[0]->counter[COUNT_fence_local], 1);
    EXPECT(!sim_store(0, VA, 1) && !sim_store(0, VA + 19 * PAGE_BYTES, 1));
    EXPECT_EQ(entry_of(0, VA, 0), entry_make(data_page(0), ENTRY_ALWAYS & ~ENTRY_U));
    /* Other changes leave them there. */
    EXPECT_EQ(op_on(0, op_simple(BATCH_PROTECT, VA, 1, ENTRY_X)), 0);
    EXPECT_EQ(entry_of(0, VA, 0), entry_make(data_page(0), (ENTRY_ALWAYS & ~ENTRY_U) | ENTRY_X));
    CHECK_ALL();
    refused(with_memory(show, RO), ERR_ENTRY);
    EXPECT_EQ(op_on(0, show), 0);
    EXPECT(sim_store(0, VA, 1) && sim_store(0, VA + 19 * PAGE_BYTES, 1));
    hide.code = BATCH_UNMAP;
    refused(hide, ERR_ARGUMENT);
    CHECK_ALL();
}

KTAP_CASE(protect_checks_the_extent_of_each_page)
{
    start();
    uint32_t part = SLOT_FREE + 33;
    EXPECT_EQ(op_on(0, op_map(VA, 8, data_page(0), 0)), 0);
    EXPECT_EQ(WORLD_CALL(call_cap_copy, SLOT_MEMORY, SELF_TABLE, part, RIGHT_WRITE, sw.data, 4), 0);
    refused(with_memory(op_simple(BATCH_PROTECT, VA, 5, W), part), ERR_RANGE);
    EXPECT_EQ(op_on(0, with_memory(op_simple(BATCH_PROTECT, VA, 4, W), part)), 0);
    refused(with_memory(op_simple(BATCH_PROTECT, VA, 4, W | ENTRY_X), part), ERR_ENTRY);
}

/* Eight large leaves at once: of the last one only the first page is covered. */
KTAP_CASE(protect_checks_the_extent_of_each_page_of_a_large_leaf)
{
    const uint64_t pages = 8 * PAGES_PER_BLOCK;
    uint32_t part = SLOT_FREE + 33;

    space_world_start(
        &(struct machine_options){.asid_bits = 16, .harts = 1, .pages = 24 * PAGES_PER_BLOCK}, 1);
    tables_for(0, 0x40000000UL, 1);
    /* Aligned, so that the AND and the OR of the eight page numbers are the first and the last. */
    uint64_t first = (world.first + sw.data + pages - 1) / pages * pages - world.first;
    EXPECT_EQ(op_on(0, with_level(op_map(0x40000000UL, 8, world.first + first, 0), 1)), 0);
    EXPECT_EQ(WORLD_CALL(call_cap_copy, SLOT_MEMORY, SELF_TABLE, part, RIGHT_WRITE, first,
                         pages - PAGES_PER_BLOCK + 1),
              0);
    struct batch_op op = with_level(op_simple(BATCH_PROTECT, 0x40000000UL, 8, W), 1);
    EXPECT_EQ(op_on(0, with_memory(op, part)), -ERR_RANGE);
    op.count = 7;
    EXPECT_EQ(op_on(0, with_memory(op, part)), 0);
    EXPECT_EQ(entry_of(0, 0x40000000UL + 7 * BLOCK_BYTES, 1),
              entry_make(world.first + first + 7 * PAGES_PER_BLOCK, ENTRY_ALWAYS));
}

KTAP_CASE(clear_bits_fences_for_what_hardware_sets)
{
    start();
    EXPECT_EQ(op_on(0, op_map(VA, 10, data_page(0), W | D | ENTRY_SOFT0 | ENTRY_SOFT1)), 0);
    EXPECT_EQ(op_on(0, op_simple(BATCH_CLEAR_BITS, VA, 512, ENTRY_SOFT1)), 0);
    EXPECT_EQ(sw.done, 10);
    EXPECT_EQ(harts[0]->counter[COUNT_fence_local], 0);
    EXPECT(sim_store(0, VA, 1));
    EXPECT_EQ(op_on(0, kept(op_simple(BATCH_CLEAR_BITS, VA, 3, ENTRY_A | D))), 0);
    EXPECT_EQ(operation_page()->result[0],
              entry_make(data_page(0), ENTRY_ALWAYS | W | D | ENTRY_SOFT0));
    EXPECT_EQ(harts[0]->counter[COUNT_fence_local], 1);
    EXPECT_EQ(entry_of(0, VA, 0),
              entry_make(data_page(0), (ENTRY_ALWAYS & ~ENTRY_A) | W | ENTRY_SOFT0));
    CHECK_ALL();
    EXPECT(sim_store(0, VA, 1));
    EXPECT_EQ(entry_of(0, VA, 0), entry_make(data_page(0), ENTRY_ALWAYS | W | D | ENTRY_SOFT0));
    refused(op_simple(BATCH_CLEAR_BITS, VA, 3, W), ERR_ENTRY);
    refused(op_simple(BATCH_CLEAR_BITS, VA, 3, ENTRY_V), ERR_ENTRY);
    refused(kept(op_simple(BATCH_CLEAR_BITS, VA, 257, ENTRY_A)), ERR_LIMIT);
    refused(kept(op_simple(BATCH_PROTECT, VA, 257, 0)), ERR_LIMIT);
}

KTAP_CASE(software_entries)
{
    start();
    EXPECT_EQ(op_on(0, op_simple(BATCH_SOFTWARE, VA, 1, ~ENTRY_SOFTWARE_FORBIDDEN)), 0);
    EXPECT_EQ(entry_of(0, VA, 0), ~ENTRY_SOFTWARE_FORBIDDEN);
    EXPECT_EQ(op_on(0, op_simple(BATCH_SOFTWARE, VA, 1, 0x10)), 0);
    EXPECT_EQ(entry_of(0, VA, 0), 0x10);
    EXPECT(!sim_load(0, VA, NULL));
    refused(op_simple(BATCH_SOFTWARE, VA, 1, 0), ERR_ENTRY);
    refused(op_simple(BATCH_SOFTWARE, VA, 1, 0x100 | ENTRY_V), ERR_ENTRY);
    refused(op_simple(BATCH_SOFTWARE, VA, 1, 0x100 | ENTRY_R), ERR_ENTRY);
    refused(op_simple(BATCH_SOFTWARE, VA, 1, 0x100 | W), ERR_ENTRY);
    refused(op_simple(BATCH_SOFTWARE, VA, 1, 0x100 | ENTRY_X), ERR_ENTRY);
    refused(op_simple(BATCH_SOFTWARE, VA, 2, 0x100), ERR_ARGUMENT);
    EXPECT_EQ(op_on(0, op_map(VA + PAGE_BYTES, 1, data_page(0), 0)), 0);
    refused(op_simple(BATCH_SOFTWARE, VA + PAGE_BYTES, 1, 0x100), ERR_MAPPED);
    refused(op_simple(BATCH_PROTECT, VA, 1, W), ERR_NONE);
    refused(op_simple(BATCH_CLEAR_BITS, VA, 1, ENTRY_A), ERR_NONE);
}

KTAP_CASE(one_source_in_a_batch)
{
    start_with((struct machine_options){.asid_bits = 16});
    EXPECT_EQ(
        WORLD_CALL(call_object_create, SLOT_MEMORY, sw.table_next, CAP_SPACE, 0, SPACE_SLOT(2)), 0);
    sw.space[2] = world_cap(SPACE_SLOT(2))->object;
    sw.table_next += 2;
    tables_for(2, VA, 0);
    long error;
    EXPECT_EQ(op_on(1, op_map(VA, 1, data_page(0), W | D)), 0);
    EXPECT_EQ(op_on(2, op_map(VA, 1, data_page(1), W | D)), 0);
    operation_page()->op[0] = copy_of(1);
    operation_page()->op[1] = op_simple(BATCH_UNMAP, VA, 512, 0);
    operation_page()->op[2] = copy_of(2);
    EXPECT_EQ(batch_on(0, 3, &error), 2);
    EXPECT_EQ(error, -ERR_LIMIT);
    EXPECT_EQ(sw.space[1]->holders, 0);
    EXPECT_EQ(sw.space[0]->lock | sw.space[1]->lock | sw.space[2]->lock, 0);
    CHECK_ALL();
}

KTAP_CASE(a_batch_stops_at_the_first_refusal)
{
    start();
    long error;
    struct batch_op *op = operation_page()->op;
    op[0] = op_map(VA, 2, data_page(0), 0);
    op[1] = op_simple(BATCH_NOP, 0, 0, 0);
    op[2] = op_map(VA, 1, data_page(0), 0);
    op[3] = op_simple(BATCH_UNMAP, VA, 2, 0);
    EXPECT_EQ(batch_on(0, 4, &error), 2);
    EXPECT_EQ(error, -ERR_MAPPED);
    EXPECT_EQ(op[0].done, 2);
    EXPECT_EQ(op[1].done, 0);
    EXPECT_EQ(op[2].done, 0);
    EXPECT_EQ(op[3].done, ~0u);
    EXPECT_EQ(harts[0]->counter[COUNT_batch_op], 2);
    EXPECT_EQ(harts[0]->counter[COUNT_batch], 1);
    CHECK_ALL();
}

KTAP_CASE(a_batch_is_one_fence)
{
    start();
    long error;
    run_on(1, 0);
    struct batch_op *op = operation_page()->op;
    EXPECT_EQ(op_on(0, op_map(VA, 60, data_page(0), W | D)), 0);
    for (unsigned i = 0; i < 60; i++)
        EXPECT(sim_store(i & 1, VA + i * PAGE_BYTES, i));
    for (unsigned i = 0; i < 20; i++)
        op[i] = op_simple(BATCH_UNMAP, VA + i * 3 * PAGE_BYTES, 2, 0);
    uint64_t before = tlb_fences();
    EXPECT_EQ(batch_on(0, 20, &error), 20);
    EXPECT_EQ(harts[0]->counter[COUNT_fence_local], 1);
    EXPECT_EQ(harts[0]->counter[COUNT_fence_remote], 1);
    EXPECT_EQ(tlb_fences() - before, 2);
    CHECK_ALL();
}

KTAP_CASE(call_itself_is_refused)
{
    start();
    EXPECT_EQ(WORLD_CALL(call_batch, SPACE_SLOT(0), BATCH_OPS_MAX + 1), -ERR_LIMIT);
    EXPECT_EQ(WORLD_CALL(call_batch, SPACE_SLOT(0), ~0UL), -ERR_LIMIT);
    EXPECT_EQ(WORLD_CALL(call_batch, SLOT_MEMORY, 1), -ERR_TYPE);
    EXPECT_EQ(WORLD_CALL(call_batch, SLOT_FREE + 99, 1), -ERR_EMPTY);
    EXPECT_EQ(WORLD_CALL(call_batch, ~0UL, 1), -ERR_SLOT);
    EXPECT_EQ(WORLD_CALL(call_cap_copy, SPACE_SLOT(1), SELF_TABLE, SLOT_FREE + 50, RIGHT_COPY), 0);
    EXPECT_EQ(WORLD_CALL(call_batch, SLOT_FREE + 50, 1), -ERR_RIGHTS);
    EXPECT_EQ(WORLD_CALL(call_batch, SPACE_SLOT(0), 0), 0);
    EXPECT_EQ(world_out[0], 0);
    void *page = world.thread->operation_page;
    world.thread->operation_page = NULL;
    EXPECT_EQ(WORLD_CALL(call_batch, SPACE_SLOT(0), 1), 0);
    EXPECT_EQ((long)world_out[0], -ERR_STATE);
    world.thread->operation_page = page;
    EXPECT_EQ(sw.space[0]->lock, 0);
    EXPECT_EQ(harts[0]->busy, 0);
    CHECK_ALL();
}

KTAP_CASE(long_batches_rest_and_go_on)
{
    start();
    long error;
    struct batch_op *op = operation_page()->op;
    for (unsigned i = 0; i < BATCH_OPS_MAX; i += 2) {
        op[i] = op_map(VA, 512, data_page(i), W | D);
        op[i + 1] = op_simple(BATCH_UNMAP, VA, 512, 0);
    }
    EXPECT_EQ(batch_on(0, BATCH_OPS_MAX, &error), BATCH_OPS_MAX);
    EXPECT_EQ(harts[0]->counter[COUNT_pages_mapped], 16 * 512);
    EXPECT_EQ(harts[0]->counter[COUNT_pages_unmapped], 16 * 512);
    EXPECT_EQ(harts[0]->counter[COUNT_fence_local], 1);
    CHECK_ALL();
}

/* The memory server's own space: its linear map may not be touched. */
KTAP_CASE(the_linear_map_is_not_the_servers_to_change)
{
    start();
    struct space *s = sw.space[0];
    vaddr_t linear = SPACE_LINEAR_BASE + (world.first << PAGE_SHIFT);
    tables_for(0, linear, 0);
    tables_for(0, linear + BLOCK_BYTES, 1);
    unsigned found;
    uint64_t *large = space_slot(s, linear + BLOCK_BYTES, 1, &found);
    *large = entry_make(data_page(0), ENTRY_ALWAYS | W | D); /* as the boot makes it: not counted */
    s->linear_end = SPACE_LINEAR_BASE + (block_total << BLOCK_SHIFT);
    EXPECT_EQ(op_on(0, op_map(linear, 1, data_page(0), 0)), -ERR_RANGE);
    EXPECT_EQ(op_on(0, op_simple(BATCH_UNMAP, linear, 1, 0)), -ERR_RANGE);
    EXPECT_EQ(op_on(0, with_level(op_simple(BATCH_UNMAP, linear + BLOCK_BYTES, 1, 0), 1)),
              -ERR_RANGE);
    EXPECT_EQ(op_on(0, with_level(op_simple(BATCH_PROTECT, linear + BLOCK_BYTES, 1, W), 1)),
              -ERR_RANGE);
    EXPECT_EQ(op_on(0, with_level(op_simple(BATCH_TABLE_REMOVE, linear, 0, 0), 1)), -ERR_RANGE);
    EXPECT_EQ(op_on(0, with_level(op_simple(BATCH_TABLE_REMOVE, linear, 0, 0), 2)), -ERR_RANGE);
    EXPECT_EQ(op_on(0, with_level(op_map(SPACE_LINEAR_BASE - BLOCK_BYTES, 2, data_page(0), 0), 1)),
              -ERR_RANGE);
    space_server = s;
    struct batch_op op = op_simple(BATCH_COPY_TABLE, VA, TABLE_ENTRIES, 0);
    op.extra = SPACE_SLOT(0);
    EXPECT_EQ(op_on(1, op), -ERR_RANGE);
    EXPECT_EQ(space_delete(0), -ERR_BUSY);
    *large = 0;
    CHECK_ALL();
}
