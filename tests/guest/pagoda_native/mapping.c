/* Batches, checked copies, and dropping what is mapped. */
#include "tests/guest/pagoda_native/native_test.h"

#include <string.h>

NATIVE_CASE(map_protect_unmap)
{
    char text[] = "through the space", back[sizeof(text)] = "";
    long page = native_data(1);
    struct batch_op op = {.code = BATCH_PROTECT, .count = 1, .address = AREA};

    REQUIRE(page >= 0);
    EXPECT_OK(area_map(0, (uint64_t)page, 1, RW));
    EXPECT_EQ(CALL(CALL_SPACE_COPY, SLOT_SPACE, AREA + 100, text, sizeof(text), COPY_TO_SPACE),
              sizeof(text));
    EXPECT_OK(native_peek((uint64_t)page, 100, back, sizeof(back)));
    EXPECT(memcmp(text, back, sizeof(text)) == 0);
    EXPECT_CALL(area_map(0, (uint64_t)page, 1, RW), -ERR_MAPPED);

    EXPECT_OK(native_operation(SLOT_SPACE, &op)); /* to read-only */
    EXPECT_EQ(op.done, 1);
    EXPECT_EQ(CALL(CALL_SPACE_COPY, SLOT_SPACE, AREA, text, 1, COPY_TO_SPACE), 0);
    EXPECT_EQ(CALL(CALL_SPACE_COPY, SLOT_SPACE, AREA + 100, back, 1, COPY_FROM_SPACE), 1);
    op.memory = NATIVE_SLOT_DATA;
    op.entry = ENTRY_W | ENTRY_D;
    EXPECT_OK(native_operation(SLOT_SPACE, &op)); /* and back */
    EXPECT_EQ(CALL(CALL_SPACE_COPY, SLOT_SPACE, AREA, text, 1, COPY_TO_SPACE), 1);

    area_clear();
    EXPECT_EQ(CALL(CALL_SPACE_COPY, SLOT_SPACE, AREA, back, 1, COPY_FROM_SPACE), 0);
}

NATIVE_CASE(copy_stops_short_at_a_hole)
{
    static char buffer[2 * PAGE];
    long page = native_data(1);

    REQUIRE(page >= 0);
    memset(buffer, 1, sizeof(buffer));
    EXPECT_OK(area_map(0, (uint64_t)page, 1, RW));
    EXPECT_EQ(CALL(CALL_SPACE_COPY, SLOT_SPACE, AREA + 96, buffer, 2 * PAGE, COPY_TO_SPACE),
              PAGE - 96);
    EXPECT_EQ(CALL(CALL_SPACE_COPY, SLOT_SPACE, KERNEL_ADDRESS, buffer, 8, COPY_FROM_SPACE), 0);
    EXPECT_EQ(CALL(CALL_SPACE_COPY, SLOT_SPACE, ~0UL - 3, buffer, 8, COPY_FROM_SPACE), 0);
    EXPECT_EQ(CALL(CALL_SPACE_COPY, SLOT_SPACE, AREA, KERNEL_ADDRESS, 8, COPY_FROM_SPACE), 0);
    EXPECT_CALL(CALL(CALL_SPACE_COPY, SLOT_SPACE, AREA, buffer, 8, 2), -ERR_ARGUMENT);
    area_clear();
}

NATIVE_CASE(unmap_keeps_the_old_entries)
{
    static uint64_t results[BATCH_RESULTS_MAX];
    struct batch_op op = {
        .code = BATCH_UNMAP, .flags = BATCH_KEEP, .count = AREA_PAGES, .address = AREA};
    long first = native_data(3), error;

    REQUIRE(first >= 0);
    EXPECT_OK(area_map(1, (uint64_t)first, 2, RW));
    EXPECT_OK(area_map(9, (uint64_t)first + 2, 1, ENTRY_X));
    EXPECT_EQ(native_batch(SLOT_SPACE, &op, 1, &error, results), 1);
    EXPECT_OK(error);
    EXPECT_EQ(op.done, 3);
    EXPECT_EQ(results[0], native_data_entry((uint64_t)first, RW));
    EXPECT_EQ(results[1], native_data_entry((uint64_t)first + 1, RW));
    EXPECT_EQ(results[2], native_data_entry((uint64_t)first + 2, ENTRY_X));
}

NATIVE_CASE(replace_and_software_entries)
{
    long first = native_data(2);
    uint64_t one = native_data_entry((uint64_t)first, RW);
    uint64_t two = native_data_entry((uint64_t)first + 1, RW);
    struct batch_op replace = {.code = BATCH_REPLACE,
                               .count = 1,
                               .memory = NATIVE_SLOT_DATA,
                               .address = AREA,
                               .entry = two,
                               .extra = one};
    struct batch_op software = {
        .code = BATCH_SOFTWARE, .count = 1, .address = AREA, .entry = 0x1230};

    REQUIRE(first >= 0);
    EXPECT_CALL(native_operation(SLOT_SPACE, &replace), -ERR_UNMAPPED);
    EXPECT_OK(native_operation(SLOT_SPACE, &software));
    software.entry = 0x4560;
    EXPECT_OK(native_operation(SLOT_SPACE, &software));
    software.entry = 0;
    EXPECT_CALL(native_operation(SLOT_SPACE, &software), -ERR_ENTRY);
    software.entry = ENTRY_W;
    EXPECT_CALL(native_operation(SLOT_SPACE, &software), -ERR_ENTRY);
    EXPECT_OK(area_map(0, (uint64_t)first, 1, RW)); /* a software entry is in nobody's way */
    software.entry = 0x1230;
    EXPECT_CALL(native_operation(SLOT_SPACE, &software), -ERR_MAPPED);
    EXPECT_OK(native_operation(SLOT_SPACE, &replace));
    EXPECT_CALL(native_operation(SLOT_SPACE, &replace), -ERR_MAPPED);
    replace.extra = 0;
    EXPECT_CALL(native_operation(SLOT_SPACE, &replace), -ERR_ENTRY);
    area_clear();
}

NATIVE_CASE(map_refusals)
{
    uint64_t read_only = fresh(), page = native_data_number(1), data = NATIVE_SLOT_DATA;
    uint64_t good = entry_make(page, ENTRY_ALWAYS | RW);
    uint64_t spare = entry_make(spare_first, 0);

    EXPECT_OK(CALL(CALL_CAP_COPY, SLOT_SPARE, SELF_TABLE, read_only, 0, 0, 8));
    EXPECT_CALL(operate(map_op(data, AREA, good, 0)), -ERR_ARGUMENT);
    EXPECT_CALL(operate(map_op(data, AREA, good, 513)), -ERR_ARGUMENT);
    EXPECT_CALL(operate(map_op(data, AREA, good, ~0U)), -ERR_ARGUMENT);
    EXPECT_CALL(operate(map_op(data, AREA + 1, good, 1)), -ERR_ALIGN);
    EXPECT_CALL(operate(map_op(data, AREA + PAGE, good, 512)), -ERR_RANGE);
    EXPECT_CALL(operate(map_op(data, KERNEL_ADDRESS, good, 1)), -ERR_RANGE);
    EXPECT_CALL(operate(map_op(data, 1UL << 62, good, 1)), -ERR_RANGE);
    EXPECT_CALL(operate(map_op(data, AREA + (1UL << 30), good, 1)), -ERR_NOTABLE);
    EXPECT_CALL(operate(map_op(NO_SLOT, AREA, good, 1)), -ERR_SLOT);
    EXPECT_CALL(operate(map_op(slots_used, AREA, good, 1)), -ERR_EMPTY);
    EXPECT_CALL(operate(map_op(SLOT_DONE, AREA, good, 1)), -ERR_TYPE);
    EXPECT_CALL(operate(map_op(read_only, AREA, spare | RW, 1)), -ERR_ENTRY);
    EXPECT_CALL(operate(map_op(read_only, AREA, spare | ENTRY_X, 1)), -ERR_ENTRY);
    EXPECT_CALL(operate(map_op(read_only, AREA, spare, 9)), -ERR_RANGE);
    EXPECT_CALL(operate(map_op(data, AREA, good | ENTRY_G, 1)), -ERR_ENTRY);
    EXPECT_CALL(operate(map_op(data, AREA, good | 1UL << 54, 1)), -ERR_ENTRY);
    EXPECT_CALL(operate(map_op(data, AREA, good | ENTRY_PBMT_IO, 1)), -ERR_ENTRY);
    EXPECT_CALL(operate(map_op(data, AREA, entry_make(native_data_number(0) - 1, 0), 1)),
                -ERR_RANGE);
    EXPECT_CALL(operate(map_op(data, AREA, entry_make(0, 0), 1)), -ERR_RANGE);
    EXPECT_CALL(operate(map_op(data, AREA, entry_make((1UL << 44) - 1, 0), 2)), -ERR_RANGE);
    EXPECT_CALL(
        operate(map_op(NATIVE_SLOT_TABLES, AREA, entry_make(native_tables_number(1), 0), 1)),
        -ERR_CLASS);
    EXPECT_CALL(operate(other_op(BATCH_MAP, 3, AREA, good)), -ERR_LEVEL);
    EXPECT_CALL(operate(other_op(BATCH_MAP, 1, AREA + PAGE, good)), -ERR_ALIGN);
    EXPECT_CALL(operate(other_op(BATCH_MAP, 1, AREA, good)), -ERR_LEVEL);
}

NATIVE_CASE(other_operation_refusals)
{
    uint64_t page = native_data_number(1), next = AREA + BLOCK_BYTES;
    struct batch_op flags = {.code = BATCH_NOP, .flags = 2};
    struct batch_op data_table = other_op(BATCH_TABLE, 1, next, entry_make(page, ENTRY_V));

    data_table.memory = NATIVE_SLOT_DATA;
    EXPECT_CALL(operate(flags), -ERR_ARGUMENT);
    EXPECT_CALL(operate(other_op(BATCH_CODES, 0, AREA, 0)), -ERR_ARGUMENT);
    EXPECT_CALL(operate(other_op(BATCH_PROTECT, 0, AREA, ENTRY_U)), -ERR_ENTRY);
    EXPECT_CALL(operate(other_op(BATCH_CLEAR_BITS, 0, AREA, ENTRY_W)), -ERR_ENTRY);
    EXPECT_CALL(operate(other_op(BATCH_TABLE, 0, AREA, 0)), -ERR_LEVEL);
    EXPECT_CALL(operate(other_op(BATCH_TABLE, 5, AREA, 0)), -ERR_LEVEL);
    EXPECT_CALL(
        operate(other_op(BATCH_TABLE, 1, AREA, entry_make(native_tables_number(500), ENTRY_V))),
        -ERR_MAPPED);
    EXPECT_CALL(
        operate(other_op(BATCH_TABLE, 1, next, entry_make(native_tables_number(0), ENTRY_V))),
        -ERR_BUSY);
    EXPECT_CALL(operate(data_table), -ERR_CLASS);
    EXPECT_CALL(operate(other_op(BATCH_TABLE_REMOVE, 2, AREA, 0)), -ERR_BUSY);
    EXPECT_CALL(operate(other_op(BATCH_TABLE_REMOVE, 1, next, 0)), -ERR_UNMAPPED);
    EXPECT_CALL(operate(other_op(BATCH_COPY_TABLE, 0, AREA, 0)), -ERR_RIGHTS);
    EXPECT_CALL(CALL(CALL_BATCH, NATIVE_SPACE, 0), -ERR_RIGHTS);
    EXPECT_CALL(CALL(CALL_BATCH, SLOT_DONE, 0), -ERR_TYPE);
    EXPECT_CALL(CALL(CALL_BATCH, SLOT_SPACE, BATCH_OPS_MAX + 1), -ERR_LIMIT);
    /* This thread has no operation page. */
    EXPECT_EQ((long)native_call3(CALL_BATCH, SLOT_SPACE, 1, 0, 0, 0, 0).a1, -ERR_STATE);
}

NATIVE_CASE(a_batch_stops_at_the_first_refusal)
{
    struct batch_op op[3] = {{.code = BATCH_MAP,
                              .count = 1,
                              .memory = NATIVE_SLOT_DATA,
                              .address = AREA,
                              .entry = native_data_entry(1, 0)}};
    long error;

    op[1] = op[0];
    op[2] = op[0];
    op[2].address = AREA + PAGE;
    EXPECT_EQ(native_batch(SLOT_SPACE, op, 3, &error, NULL), 1);
    EXPECT_CALL(error, -ERR_MAPPED);
    EXPECT_EQ(op[0].done, 1);
    EXPECT_EQ(op[1].done, 0);
    area_clear();
}

NATIVE_CASE(copy_table_shares_read_only)
{
    uint64_t other = fresh();
    static uint64_t results[BATCH_RESULTS_MAX];
    long first = native_data(2), error;
    struct batch_op copy = {
        .code = BATCH_COPY_TABLE, .count = TABLE_ENTRIES, .address = AREA, .extra = SLOT_SPACE};
    struct batch_op unmap = {
        .code = BATCH_UNMAP, .flags = BATCH_KEEP, .count = AREA_PAGES, .address = AREA};

    REQUIRE(first >= 0);
    EXPECT_OK(area_map(0, (uint64_t)first, 2, RW));
    EXPECT_OK(native_space(other));
    EXPECT_OK(native_space_tables(other, AREA));
    EXPECT_OK(native_operation(other, &copy));
    EXPECT_EQ(copy.done, 2);
    EXPECT_EQ(native_batch(other, &unmap, 1, &error, results), 1);
    EXPECT_EQ(results[0], native_data_entry((uint64_t)first, ENTRY_D));
    EXPECT_EQ(native_batch(SLOT_SPACE, &unmap, 1, &error, results), 1);
    EXPECT_EQ(results[1], native_data_entry((uint64_t)first + 1, ENTRY_D));
}

NATIVE_CASE(space_drop_removes_one_extent)
{
    uint64_t part = fresh();
    long found;

    EXPECT_OK(CALL(CALL_CAP_COPY, SLOT_SPARE, SELF_TABLE, part, 0, 7, 1));
    EXPECT_OK(operate(map_op(SLOT_SPARE, AREA, entry_make(spare_first + 7, RW), 2)));
    EXPECT_OK(native_again(CALL_SPACE_DROP, SLOT_SPACE, part));
    found = CALL(CALL_SPACE_COPY, SLOT_SPACE, AREA, &found, 1, COPY_FROM_SPACE);
    EXPECT_EQ(found, 0);
    found = CALL(CALL_SPACE_COPY, SLOT_SPACE, AREA + PAGE, &found, 1, COPY_FROM_SPACE);
    EXPECT_EQ(found, 1);
    EXPECT_CALL(CALL(CALL_SPACE_DROP, SLOT_SPACE, SLOT_DONE), -ERR_TYPE);
    EXPECT_CALL(CALL(CALL_SPACE_DROP, NATIVE_SPACE, part), -ERR_RIGHTS);
    area_clear();
}
