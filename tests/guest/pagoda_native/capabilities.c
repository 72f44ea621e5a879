/* Capabilities: reading, copying, deleting, revoking; objects and blocks. */
#include "tests/guest/pagoda_native/native_test.h"

NATIVE_CASE(no_such_call)
{
    EXPECT_CALL(CALL(CALL_LAST - 1, 0), -ERR_CALL);
    EXPECT_CALL(CALL(-1000, 0), -ERR_CALL);
    EXPECT_CALL(CALL((long)(1UL << 63), 0), -ERR_CALL);
    EXPECT_OK(CALL(CALL_NULL, 0));
}

NATIVE_CASE(cap_read)
{
    struct native_result data =
        native_call3(CALL_CAP_READ, SELF_TABLE, NATIVE_SLOT_DATA, 0, 0, 0, 0);

    EXPECT_EQ(data.a0 & 0xff, CAP_MEMORY);
    EXPECT_EQ(data.a1, native_data_number(0));
    EXPECT_EQ(data.a2, NATIVE_DATA_PAGES);
    EXPECT_EQ(CALL(CALL_CAP_READ, SELF_TABLE, NATIVE_TABLE) & 0xff, CAP_TABLE);
    EXPECT_EQ(CALL(CALL_CAP_READ, SELF_TABLE, NATIVE_THREAD), CAP_THREAD);
    EXPECT_EQ(CALL(CALL_CAP_READ, SELF_TABLE, NATIVE_SLOT_KERNEL) & 0xff, CAP_KERNEL);
    EXPECT_EQ(CALL(CALL_CAP_READ, SELF_TABLE, NATIVE_SPACE) >> 8 & RIGHT_MAP, 0);
    EXPECT_EQ(CALL(CALL_CAP_READ, NATIVE_TABLE, NATIVE_SLOT_DATA), data.a0);
    EXPECT_CALL(CALL(CALL_CAP_READ, SELF_TABLE, slots_used), -ERR_EMPTY);
    EXPECT_CALL(CALL(CALL_CAP_READ, SELF_TABLE, NO_SLOT), -ERR_SLOT);
    EXPECT_CALL(CALL(CALL_CAP_READ, NATIVE_SLOT_DATA, 1), -ERR_TYPE);
    EXPECT_CALL(CALL(CALL_CAP_READ, NO_SLOT, 1), -ERR_SLOT);
}

NATIVE_CASE(cap_copy_with_fewer_rights)
{
    uint64_t narrow = fresh(), narrower = fresh();

    EXPECT_OK(CALL(CALL_CAP_COPY, SLOT_A, SELF_TABLE, narrow, RIGHT_CALL | RIGHT_COPY_ON, 7));
    struct native_result read = native_call3(CALL_CAP_READ, SELF_TABLE, narrow, 0, 0, 0, 0);
    EXPECT_EQ(read.a0, CAP_ENDPOINT | (RIGHT_CALL | RIGHT_COPY_ON) << 8);
    EXPECT_EQ(read.a1, 7);
    /* It has a badge now, and another one cannot be had from it. */
    EXPECT_CALL(CALL(CALL_CAP_COPY, narrow, SELF_TABLE, narrower, RIGHT_ALL, 8), -ERR_ARGUMENT);
    EXPECT_CALL(CALL(CALL_CAP_COPY, narrow, SELF_TABLE, narrow, RIGHT_ALL), -ERR_OCCUPIED);
    EXPECT_OK(CALL(CALL_CAP_COPY, narrow, SELF_TABLE, narrower, RIGHT_ALL));
    read = native_call3(CALL_CAP_READ, SELF_TABLE, narrower, 0, 0, 0, 0);
    EXPECT_EQ(read.a0, CAP_ENDPOINT | RIGHT_CALL << 8);
    EXPECT_EQ(read.a1, 7);
    EXPECT_CALL(CALL(CALL_CAP_COPY, narrower, SELF_TABLE, slots_used, RIGHT_ALL), -ERR_RIGHTS);
    EXPECT_CALL(CALL(CALL_CAP_DELETE, SELF_TABLE, narrow), -ERR_CHILDREN);
}

NATIVE_CASE(cap_copy_memory_part)
{
    uint64_t part = fresh(), small = fresh();

    EXPECT_OK(CALL(CALL_CAP_COPY, SLOT_SPARE, SELF_TABLE, part, RIGHT_COPY_ON, 5, 10));
    struct native_result read = native_call3(CALL_CAP_READ, SELF_TABLE, part, 0, 0, 0, 0);
    EXPECT_EQ(read.a1, spare_first + 5);
    EXPECT_EQ(read.a2, 10);
    EXPECT_CALL(CALL(CALL_CAP_COPY, part, SELF_TABLE, small, 0, 10, 1), -ERR_RANGE);
    EXPECT_CALL(CALL(CALL_CAP_COPY, part, SELF_TABLE, small, 0, 9, 2), -ERR_RANGE);
    EXPECT_CALL(CALL(CALL_CAP_COPY, part, SELF_TABLE, small, 0, ~0UL, 2), -ERR_RANGE);
    EXPECT_CALL(CALL(CALL_CAP_COPY, part, SELF_TABLE, small, 0, 1, ~0UL), -ERR_RANGE);
    EXPECT_CALL(CALL(CALL_CAP_COPY, part, SELF_TABLE, small, 256, 0, 1), -ERR_ARGUMENT);
    EXPECT_OK(CALL(CALL_CAP_COPY, part, SELF_TABLE, small, RIGHT_WRITE, 9, 1));
    read = native_call3(CALL_CAP_READ, SELF_TABLE, small, 0, 0, 0, 0);
    EXPECT_EQ(read.a0, CAP_MEMORY); /* what the source had not, the copy has not */
    EXPECT_EQ(read.a1, spare_first + 14);
    /* While a page of the block is mapped, whichever it is, it cannot go. */
    EXPECT_OK(operate(map_op(SLOT_SPARE, AREA, entry_make(spare_first, 0), 1)));
    EXPECT_CALL(CALL(CALL_CAP_DELETE, SELF_TABLE, small), -ERR_BUSY);
    EXPECT_CALL(CALL(CALL_CAP_REVOKE, SELF_TABLE, part), -ERR_BUSY);
    area_clear();
    EXPECT_OK(CALL(CALL_CAP_REVOKE, SELF_TABLE, part));
}

NATIVE_CASE(revoke_takes_all_that_was_derived)
{
    uint64_t first = fresh(), table = fresh(), copies[8];

    EXPECT_OK(CALL(CALL_CAP_COPY, SLOT_DONE, SELF_TABLE, first, RIGHT_ALL | RIGHT_COPY_ON));
    EXPECT_OK(native_object(CAP_TABLE, 1, table));
    for (unsigned i = 0; i < 8; i++) {
        copies[i] = fresh();
        EXPECT_OK(CALL(CALL_CAP_COPY, i ? copies[i - 1] : first, SELF_TABLE, copies[i],
                       RIGHT_ALL | RIGHT_COPY_ON));
        EXPECT_OK(CALL(CALL_CAP_COPY, copies[i], table, i + 1, RIGHT_SIGNAL));
    }
    EXPECT_OK(native_again(CALL_CAP_REVOKE, SELF_TABLE, first));
    for (unsigned i = 0; i < 8; i++) {
        EXPECT_CALL(CALL(CALL_CAP_READ, SELF_TABLE, copies[i]), -ERR_EMPTY);
        EXPECT_CALL(CALL(CALL_CAP_READ, table, i + 1), -ERR_EMPTY);
    }
    EXPECT_OK(CALL(CALL_SIGNAL, first, 0));
    EXPECT_OK(CALL(CALL_CAP_DELETE, SELF_TABLE, first));
    EXPECT_CALL(CALL(CALL_SIGNAL, first, 0), -ERR_EMPTY);
}

NATIVE_CASE(a_full_table_goes_with_all_in_it)
{
    uint64_t table = fresh();

    EXPECT_OK(native_object(CAP_TABLE, 2, table));
    for (uint64_t i = 0; i < 128; i++)
        EXPECT_OK(CALL(CALL_CAP_COPY, SLOT_DONE, table, i, RIGHT_SIGNAL));
    EXPECT_CALL(CALL(CALL_CAP_COPY, SLOT_DONE, table, 128, RIGHT_SIGNAL), -ERR_SLOT);
    EXPECT_OK(native_again(CALL_CAP_DELETE, SELF_TABLE, table));
    EXPECT_CALL(CALL(CALL_CAP_READ, table, 0), -ERR_EMPTY);
    EXPECT_OK(CALL(CALL_SIGNAL, SLOT_DONE, 0));
}

NATIVE_CASE(object_create_refusals)
{
    uint64_t to = fresh(), keepless = fresh();
    long page = native_tables(2);

    REQUIRE(page > 0);
    EXPECT_CALL(CALL(CALL_OBJECT_CREATE, NO_SLOT, page, CAP_SPACE, 0, to), -ERR_SLOT);
    EXPECT_CALL(CALL(CALL_OBJECT_CREATE, SLOT_DONE, page, CAP_SPACE, 0, to), -ERR_TYPE);
    EXPECT_CALL(CALL(CALL_OBJECT_CREATE, NATIVE_SLOT_TABLES, page, CAP_MEMORY, 0, to), -ERR_TYPE);
    EXPECT_CALL(CALL(CALL_OBJECT_CREATE, NATIVE_SLOT_TABLES, page, 99, 0, to), -ERR_TYPE);
    EXPECT_CALL(CALL(CALL_OBJECT_CREATE, NATIVE_SLOT_TABLES, page, CAP_ENDPOINT, 1, to),
                -ERR_ARGUMENT);
    EXPECT_CALL(CALL(CALL_OBJECT_CREATE, NATIVE_SLOT_TABLES, page, CAP_TABLE, 0, to),
                -ERR_ARGUMENT);
    EXPECT_CALL(CALL(CALL_OBJECT_CREATE, NATIVE_SLOT_TABLES, page, CAP_TABLE, ~0UL, to),
                -ERR_ARGUMENT);
    EXPECT_CALL(CALL(CALL_OBJECT_CREATE, NATIVE_SLOT_TABLES, page, CAP_SPACE, 0, SLOT_DONE),
                -ERR_OCCUPIED);
    EXPECT_CALL(CALL(CALL_OBJECT_CREATE, NATIVE_SLOT_TABLES, page, CAP_SPACE, 0, NO_SLOT),
                -ERR_SLOT);
    EXPECT_CALL(CALL(CALL_OBJECT_CREATE, NATIVE_SLOT_TABLES, 511, CAP_SPACE, 0, to), -ERR_RANGE);
    EXPECT_CALL(CALL(CALL_OBJECT_CREATE, NATIVE_SLOT_TABLES, ~0UL, CAP_SPACE, 0, to), -ERR_RANGE);
    EXPECT_CALL(CALL(CALL_OBJECT_CREATE, NATIVE_SLOT_TABLES, 0, CAP_ENDPOINT, 0, to), -ERR_BUSY);
    EXPECT_CALL(CALL(CALL_OBJECT_CREATE, NATIVE_SLOT_DATA, 1, CAP_ENDPOINT, 0, to), -ERR_CLASS);
    EXPECT_OK(CALL(CALL_CAP_COPY, SLOT_SPARE, SELF_TABLE, keepless, RIGHT_WRITE, 0, 1));
    EXPECT_CALL(CALL(CALL_OBJECT_CREATE, keepless, 0, CAP_ENDPOINT, 0, to), -ERR_RIGHTS);
    EXPECT_OK(CALL(CALL_OBJECT_CREATE, NATIVE_SLOT_TABLES, page, CAP_ENDPOINT, 0, to));
}

NATIVE_CASE(block_class_refusals)
{
    EXPECT_CALL(CALL(CALL_BLOCK_CLASS, NATIVE_SLOT_DATA, 0, 2), -ERR_ARGUMENT);
    EXPECT_CALL(CALL(CALL_BLOCK_CLASS, NATIVE_SLOT_DATA, 1, BLOCK_TABLES), -ERR_ALIGN);
    EXPECT_CALL(CALL(CALL_BLOCK_CLASS, NATIVE_SLOT_DATA, NATIVE_DATA_PAGES, BLOCK_TABLES),
                -ERR_RANGE);
    EXPECT_CALL(CALL(CALL_BLOCK_CLASS, NATIVE_SLOT_DATA, ~0UL << 9, BLOCK_TABLES), -ERR_RANGE);
    EXPECT_CALL(CALL(CALL_BLOCK_CLASS, NATIVE_SLOT_DATA, 0, BLOCK_TABLES), -ERR_BUSY);
    EXPECT_CALL(CALL(CALL_BLOCK_CLASS, NATIVE_SLOT_TABLES, 0, BLOCK_DATA), -ERR_BUSY);
    EXPECT_CALL(CALL(CALL_BLOCK_CLASS, NATIVE_SLOT_TABLES, 0, BLOCK_TABLES), -ERR_CLASS);
    EXPECT_CALL(CALL(CALL_BLOCK_CLASS, SLOT_DONE, 0, BLOCK_TABLES), -ERR_TYPE);
}
