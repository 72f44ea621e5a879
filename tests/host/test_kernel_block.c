/* Blocks: their two classes, the counter's limits, the directory of a tables block. */
#include "kernel_world.h"
#include "ktap.h"

#include <string.h>

#define S SLOT_FREE

static long set_class(uint64_t page, uint64_t class)
{
    return WORLD_CALL(call_block_class, SLOT_MEMORY, page, class);
}

static int32_t *counter(uint64_t page)
{
    return &block_count[(world.first + page) >> TABLE_SHIFT];
}

KTAP_CASE(a_block_becomes_tables_and_data_again)
{
    world_start(NULL);
    memset(page_to_virt(world.first), 0xa5, BLOCK_BYTES);
    EXPECT(page_directory(world.first) == NULL);
    EXPECT_EQ(set_class(0, BLOCK_TABLES), 0);
    EXPECT_EQ(*counter(0), BLOCK_TABLE_BASE + 1);
    EXPECT_EQ(*page_directory(world.first), page_word(PAGE_DIRECTORY, 0, 0));
    for (unsigned i = 1; i < PAGES_PER_BLOCK; i++) {
        const uint64_t *words = page_to_virt(world.first + i);

        EXPECT_EQ(*page_directory(world.first + i), PAGE_FREE_ZERO);
        for (unsigned j = 0; j < TABLE_ENTRIES; j++)
            EXPECT_EQ(words[j], 0);
    }
    world_check();
    EXPECT_EQ(set_class(0, BLOCK_DATA), 0);
    EXPECT_EQ(*counter(0), 0);
    world_check();
}

KTAP_CASE(class_calls_refuse_what_is_wrong)
{
    world_start(NULL);
    EXPECT_EQ(set_class(0, 2), -ERR_ARGUMENT);
    EXPECT_EQ(set_class(0, ~0UL), -ERR_ARGUMENT);
    EXPECT_EQ(set_class(1, BLOCK_TABLES), -ERR_ALIGN);
    EXPECT_EQ(set_class(world.pages, BLOCK_TABLES), -ERR_RANGE);
    EXPECT_EQ(set_class(~0UL, BLOCK_TABLES), -ERR_RANGE);
    EXPECT_EQ(set_class(0, BLOCK_DATA), -ERR_CLASS);
    EXPECT_EQ(set_class(0, BLOCK_TABLES), 0);
    EXPECT_EQ(set_class(0, BLOCK_TABLES), -ERR_CLASS);
    EXPECT_EQ(WORLD_CALL(call_block_class, S, 0, BLOCK_TABLES), -ERR_EMPTY);
    EXPECT_EQ(WORLD_CALL(call_block_class, SLOT_SPACE, 0, BLOCK_TABLES), -ERR_TYPE);
    EXPECT_EQ(WORLD_CALL(call_block_class, WORLD_SLOT_DEVICE, 0, BLOCK_TABLES), -ERR_RIGHTS);
    EXPECT_EQ(WORLD_CALL(call_cap_copy, SLOT_MEMORY, SELF_TABLE, S, RIGHT_KEEP, 512, 511), 0);
    EXPECT_EQ(WORLD_CALL(call_block_class, S, 0, BLOCK_TABLES), -ERR_RANGE);
    EXPECT_EQ(WORLD_CALL(call_cap_copy, SLOT_MEMORY, SELF_TABLE, S + 1, RIGHT_WRITE, 512, 512), 0);
    EXPECT_EQ(WORLD_CALL(call_block_class, S + 1, 0, BLOCK_TABLES), -ERR_RIGHTS);
    EXPECT_EQ(WORLD_CALL(call_cap_copy, SLOT_MEMORY, SELF_TABLE, S + 2, RIGHT_KEEP, 511, 513), 0);
    EXPECT_EQ(WORLD_CALL(call_block_class, S + 2, 0, BLOCK_TABLES), -ERR_ALIGN);
    EXPECT_EQ(WORLD_CALL(call_block_class, S + 2, 1, BLOCK_TABLES), 0);
    world_check();
}

KTAP_CASE(io_memory_with_keep_is_still_no_place_for_tables)
{
    world_start(NULL);
    kernel_lock();
    cap_fill_memory(world_cap(S), NULL, PAGES_PER_BLOCK, PAGES_PER_BLOCK, 0xff, 0);
    kernel_unlock();
    EXPECT_EQ(WORLD_CALL(call_block_class, S, 0, BLOCK_TABLES), -ERR_RIGHTS);
    EXPECT_EQ(WORLD_CALL(call_object_create, S, 1, CAP_THREAD, 0, S + 1), -ERR_RIGHTS);
}

KTAP_CASE(a_block_in_use_keeps_its_class)
{
    world_start(NULL);
    EXPECT(block_get(world.first + 7));
    EXPECT_EQ(set_class(0, BLOCK_TABLES), -ERR_BUSY);
    block_put_n(world.first, 1);
    EXPECT_EQ(set_class(0, BLOCK_TABLES), 0);
    kernel_lock();
    EXPECT_EQ(page_take(world.first + 511, page_word(PAGE_TABLE, 0, 0)), 0);
    kernel_unlock();
    EXPECT_EQ(set_class(0, BLOCK_DATA), -ERR_BUSY);
    kernel_lock();
    page_release(world.first + 511);
    kernel_unlock();
    EXPECT_EQ(set_class(0, BLOCK_DATA), 0);
    world_check();
}

KTAP_CASE(mappings_of_tables_and_pinned_blocks_are_refused)
{
    world_start(NULL);
    EXPECT(!block_get(world.ram));
    EXPECT(!block_get_n(world.ram, 512));
    EXPECT_EQ(set_class(0, BLOCK_TABLES), 0);
    EXPECT(!block_get(world.first));
    EXPECT(!block_get_n(world.first + 3, 512));
    world_check();
}

KTAP_CASE(a_full_counter_refuses)
{
    world_start(NULL);
    *counter(0) = INT32_MAX - 5;
    EXPECT(!block_get_n(world.first, 6));
    EXPECT_EQ(*counter(0), INT32_MAX - 5);
    EXPECT(block_get_n(world.first, 5));
    EXPECT(!block_get_n(world.first, 1));
    EXPECT_EQ(*counter(0), INT32_MAX);
    EXPECT(block_get(world.first)); /* 2^31 stand as the most negative number */
    EXPECT_EQ((uint32_t)*counter(0), 1u << 31);
    EXPECT(!block_get(world.first));
    EXPECT(!block_get_n(world.first, 512));
    EXPECT(page_directory(world.first) == NULL);
    EXPECT_EQ(set_class(0, BLOCK_TABLES), -ERR_BUSY);
    EXPECT_EQ(set_class(0, BLOCK_DATA), -ERR_BUSY);
    block_put_n(world.first, 1);
    EXPECT_EQ(*counter(0), INT32_MAX);
    *counter(0) = 0;
}

KTAP_CASE(an_increment_under_way_does_not_disturb_a_class)
{
    world_start(NULL);
    EXPECT_EQ(set_class(0, BLOCK_TABLES), 0);
    *counter(0) += 1; /* another hart, about to undo it */
    EXPECT(page_directory(world.first) != NULL);
    EXPECT_EQ(set_class(0, BLOCK_DATA), -ERR_BUSY);
    kernel_lock();
    EXPECT_EQ(page_take(world.first + 1, page_word(PAGE_TABLE, 0, 0)), 0);
    page_release(world.first + 1);
    kernel_unlock();
    *counter(0) -= 1;
    EXPECT_EQ(set_class(0, BLOCK_DATA), 0);
    world_check();
}

/* Another hart still copies into a page of the block that it found mapped. */
static void other_hart_copies(void)
{
    EXPECT_EQ(*counter(0), BLOCK_PINNED);
    EXPECT(!block_get(world.first));
    EXPECT_EQ(*(uint64_t *)page_to_virt(world.first), 0x1234);
    hart_idle(harts[1]);
    machine_relax_hook = NULL;
}

KTAP_CASE(a_copy_under_way_elsewhere_is_waited_for)
{
    world_start(&(struct machine_options){.harts = 2, .asid_bits = 16});
    *(uint64_t *)page_to_virt(world.first) = 0x1234;
    hart_busy(harts[1]);
    machine_relax_hook = other_hart_copies;
    EXPECT_EQ(set_class(0, BLOCK_TABLES), 0);
    EXPECT(machine_relax_hook == NULL);
    world_check();
}

KTAP_CASE(pages_are_taken_once_and_zeroed)
{
    world_start(NULL);
    kernel_lock();
    EXPECT_EQ(page_take(world.first + 1, page_word(PAGE_TABLE, 0, 0)), -ERR_CLASS);
    EXPECT_EQ(page_take(world.ram + 1, page_word(PAGE_TABLE, 0, 0)), -ERR_CLASS);
    EXPECT_EQ(page_take(1UL << 43, page_word(PAGE_TABLE, 0, 0)), -ERR_CLASS);
    kernel_unlock();
    memset(page_to_virt(world.first + 1), 0xff, PAGE_BYTES);
    EXPECT_EQ(set_class(0, BLOCK_TABLES), 0);
    kernel_lock();
    EXPECT_EQ(page_take(world.first, page_word(PAGE_TABLE, 0, 0)), -ERR_BUSY);
    EXPECT_EQ(page_take(world.first + 1, page_word(PAGE_TABLE, 1, 77)), 0);
    EXPECT_EQ(page_take(world.first + 1, page_word(PAGE_TABLE, 1, 77)), -ERR_BUSY);
    EXPECT_EQ(*page_directory(world.first + 1), page_word(PAGE_TABLE, 1, 77));
    EXPECT_EQ(page_word_detail(*page_directory(world.first + 1)), 1);
    uint64_t *words = page_to_virt(world.first + 1);
    for (unsigned i = 0; i < TABLE_ENTRIES; i++)
        EXPECT_EQ(words[i], 0);
    EXPECT_EQ(*counter(0), BLOCK_TABLE_BASE + 2);
    words[TABLE_ENTRIES - 1] = 1; /* it was a kernel object */
    page_release(world.first + 1);
    EXPECT_EQ(page_take(world.first + 1, page_word(PAGE_TABLE, 1, 77)), 0);
    EXPECT_EQ(words[TABLE_ENTRIES - 1], 0);
    page_release_zero(world.first + 1);
    EXPECT_EQ(*counter(0), BLOCK_TABLE_BASE + 1);
    kernel_unlock();
    world_check();
}
