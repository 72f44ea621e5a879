/* Objects: made of pages, destroyed with their first capability, never left half-way. */
#include "kernel_world.h"
#include "ktap.h"

#include <string.h>

#define S SLOT_FREE

static long create(uint64_t page, uint64_t type, uint64_t parameter, uint64_t slot)
{
    return WORLD_CALL(call_object_create, SLOT_MEMORY, page, type, parameter, slot);
}

static long copy_to(uint64_t from, uint64_t table, uint64_t index)
{
    return WORLD_CALL(call_cap_copy, from, table, index, 0xff, 0, 0);
}

static long drop(uint64_t slot)
{
    return WORLD_CALL(call_cap_delete, SELF_TABLE, slot);
}

static long drop_all(uint64_t slot)
{
    long result;
    while ((result = drop(slot)) == -ERR_AGAIN)
        world_check();
    world_check();
    return result;
}

static void start(unsigned harts)
{
    world_start(&(struct machine_options){.harts = harts, .asid_bits = 16});
    memset(page_to_virt(world.first), 0xa5, BLOCK_BYTES);
    EXPECT_EQ(WORLD_CALL(call_block_class, SLOT_MEMORY, 0, BLOCK_TABLES), 0);
}

static int32_t pages_used(void)
{
    return block_count[world.first >> TABLE_SHIFT] - BLOCK_TABLE_BASE;
}

KTAP_CASE(every_type_is_made_and_goes)
{
    static const struct {
        uint64_t type, parameter, pages;
    } kinds[] = {
        {CAP_THREAD, 0, 1},       {CAP_SPACE, 0, 2}, {CAP_ENDPOINT, 0, 1},
        {CAP_NOTIFICATION, 0, 1}, {CAP_TABLE, 1, 2}, {CAP_TABLE, TABLE_PAGES_MAX, 65},
    };
    start(1);
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        EXPECT_EQ(create(1, kinds[i].type, kinds[i].parameter, S), 0);
        world_check();
        const struct cap *c = world_cap(S);
        EXPECT(c->primary && c->parent == world_cap(SLOT_MEMORY));
        EXPECT_EQ(c->rights, RIGHT_ALL | RIGHT_COPY_ON);
        EXPECT_EQ(pages_used(), 1 + kinds[i].pages);
        EXPECT_EQ(create(kinds[i].pages, CAP_THREAD, 0, S + 1), -ERR_BUSY);
        EXPECT_EQ(drop_all(S), 0);
        EXPECT_EQ(pages_used(), 1);
    }
}

KTAP_CASE(what_cannot_be_made_is_named)
{
    start(1);
    EXPECT_EQ(create(1, CAP_NONE, 0, S), -ERR_TYPE);
    EXPECT_EQ(create(1, CAP_MEMORY, 0, S), -ERR_TYPE);
    EXPECT_EQ(create(1, CAP_REPLY, 0, S), -ERR_TYPE);
    EXPECT_EQ(create(1, CAP_INTERRUPT, 0, S), -ERR_TYPE);
    EXPECT_EQ(create(1, CAP_KERNEL, 0, S), -ERR_TYPE);
    EXPECT_EQ(create(1, CAP_TYPES, 0, S), -ERR_TYPE);
    EXPECT_EQ(create(1, ~0UL, 0, S), -ERR_TYPE);
    EXPECT_EQ(create(1, 1UL << 32 | CAP_THREAD, 0, S), -ERR_TYPE);
    EXPECT_EQ(create(1, CAP_THREAD, 1, S), -ERR_ARGUMENT);
    EXPECT_EQ(create(1, CAP_TABLE, 0, S), -ERR_ARGUMENT);
    EXPECT_EQ(create(1, CAP_TABLE, TABLE_PAGES_MAX + 1, S), -ERR_ARGUMENT);
    EXPECT_EQ(create(1, CAP_TABLE, ~0UL, S), -ERR_ARGUMENT);
    EXPECT_EQ(create(1, CAP_THREAD, 0, SLOT_SPACE), -ERR_OCCUPIED);
    EXPECT_EQ(create(1, CAP_THREAD, 0, world.table->size), -ERR_SLOT);
    EXPECT_EQ(create(1, CAP_THREAD, 0, SELF_TABLE), -ERR_SLOT);
    EXPECT_EQ(WORLD_CALL(call_object_create, S, 1, CAP_THREAD, 0, S), -ERR_EMPTY);
    EXPECT_EQ(WORLD_CALL(call_object_create, SLOT_SPACE, 1, CAP_THREAD, 0, S), -ERR_TYPE);
    EXPECT_EQ(WORLD_CALL(call_object_create, WORLD_SLOT_DEVICE, 1, CAP_THREAD, 0, S), -ERR_RIGHTS);
    EXPECT_EQ(WORLD_CALL(call_cap_copy, SLOT_MEMORY, SELF_TABLE, S, RIGHT_WRITE, 0, 0), 0);
    EXPECT_EQ(WORLD_CALL(call_object_create, S, 1, CAP_THREAD, 0, S + 1), -ERR_RIGHTS);
    EXPECT_EQ(pages_used(), 1);
    world_check();
}

KTAP_CASE(pages_lie_in_the_extent_and_in_one_tables_block)
{
    start(1);
    EXPECT_EQ(create(0, CAP_THREAD, 0, S), -ERR_BUSY); /* the directory */
    EXPECT_EQ(create(512, CAP_THREAD, 0, S), -ERR_CLASS);
    EXPECT_EQ(create(world.pages, CAP_THREAD, 0, S), -ERR_RANGE);
    EXPECT_EQ(create(world.pages - 1, CAP_SPACE, 0, S), -ERR_RANGE);
    EXPECT_EQ(create(~0UL, CAP_SPACE, 0, S), -ERR_RANGE);
    EXPECT_EQ(create(511, CAP_SPACE, 0, S), -ERR_RANGE);
    EXPECT_EQ(WORLD_CALL(call_block_class, SLOT_MEMORY, 512, BLOCK_TABLES), 0);
    EXPECT_EQ(create(511, CAP_SPACE, 0, S), -ERR_RANGE);
    EXPECT_EQ(create(448, CAP_TABLE, 64, S), -ERR_RANGE);
    EXPECT_EQ(WORLD_CALL(call_cap_copy, SLOT_MEMORY, SELF_TABLE, S + 9, RIGHT_KEEP, 1, 64), 0);
    EXPECT_EQ(WORLD_CALL(call_object_create, S + 9, 0, CAP_TABLE, 64, S), -ERR_RANGE);
    EXPECT_EQ(WORLD_CALL(call_object_create, S + 9, 63, CAP_SPACE, 0, S), -ERR_RANGE);
    EXPECT_EQ(WORLD_CALL(call_object_create, S + 9, 64, CAP_THREAD, 0, S), -ERR_RANGE);
    EXPECT_EQ(create(447, CAP_TABLE, 64, S), 0);
    EXPECT_EQ(create(510, CAP_THREAD, 0, S + 1), -ERR_BUSY);
    EXPECT_EQ(create(446, CAP_SPACE, 0, S + 1), -ERR_BUSY);
    EXPECT_EQ(create(445, CAP_SPACE, 0, S + 1), 0);
    EXPECT_EQ(drop_all(S), 0);
    EXPECT_EQ(drop_all(S + 1), 0);
    EXPECT_EQ(pages_used(), 1);
}

KTAP_CASE(a_refusal_changes_nothing)
{
    start(1);
    EXPECT_EQ(create(5, CAP_THREAD, 0, S), 0);
    struct cap before[WORLD_TABLE_PAGES * CAPS_PER_PAGE];
    memcpy(before, world.table->caps, sizeof(before));
    EXPECT_EQ(create(1, CAP_TABLE, 4, S + 1), -ERR_BUSY); /* the last page is taken */
    EXPECT_EQ(create(4, CAP_SPACE, 0, S + 1), -ERR_BUSY);
    EXPECT_EQ(pages_used(), 2);
    EXPECT(memcmp(before, world.table->caps, sizeof(before)) == 0);
    world_check();
}

KTAP_CASE(revoking_memory_destroys_all_made_of_it)
{
    start(1);
    EXPECT_EQ(WORLD_CALL(call_cap_copy, SLOT_MEMORY, SELF_TABLE, S, 0xff, 0, 512), 0);
    EXPECT_EQ(WORLD_CALL(call_object_create, S, 1, CAP_TABLE, 1, S + 1), 0);
    EXPECT_EQ(WORLD_CALL(call_object_create, S, 3, CAP_SPACE, 0, S + 2), 0);
    EXPECT_EQ(WORLD_CALL(call_object_create, S, 5, CAP_THREAD, 0, S + 3), 0);
    EXPECT_EQ(WORLD_CALL(call_object_create, S, 6, CAP_ENDPOINT, 0, S + 4), 0);
    EXPECT_EQ(WORLD_CALL(call_object_create, S, 7, CAP_NOTIFICATION, 0, S + 5), 0);
    EXPECT_EQ(copy_to(S + 4, S + 1, 3), 0);
    EXPECT_EQ(copy_to(S + 3, S + 1, 4), 0);
    EXPECT_EQ(copy_to(S + 1, SELF_TABLE, S + 6), 0);
    EXPECT_EQ(drop(S), -ERR_CHILDREN);
    world_check();
    long result;
    while ((result = WORLD_CALL(call_cap_revoke, SELF_TABLE, S)) == -ERR_AGAIN)
        world_check();
    EXPECT_EQ(result, 0);
    for (unsigned i = 1; i <= 6; i++)
        EXPECT_EQ(world_cap(S + i)->type, CAP_NONE);
    EXPECT_EQ(drop(S), 0);
    EXPECT_EQ(pages_used(), 1);
    EXPECT_EQ(WORLD_CALL(call_block_class, SLOT_MEMORY, 0, BLOCK_DATA), 0);
    world_check();
}

KTAP_CASE(a_table_goes_with_all_that_is_in_it)
{
    start(1);
    EXPECT_EQ(create(1, CAP_TABLE, 2, S), 0);
    EXPECT_EQ(create(4, CAP_ENDPOINT, 0, S + 1), 0);
    for (unsigned i = 0; i < 128; i += 3)
        EXPECT_EQ(copy_to(S + 1, S, i), 0);
    EXPECT_EQ(WORLD_CALL(call_cap_delete, S, 1), -ERR_EMPTY);
    EXPECT_EQ(WORLD_CALL(call_cap_delete, S, 128), -ERR_SLOT);
    EXPECT_EQ(WORLD_CALL(call_cap_delete, S, 126), 0);
    EXPECT_EQ(drop(S), -ERR_AGAIN);               /* 32 a call */
    EXPECT_EQ(copy_to(S + 1, S, 1), -ERR_RIGHTS); /* nothing new comes into it */
    EXPECT_EQ(copy_to(S, SELF_TABLE, S + 2), -ERR_RIGHTS);
    EXPECT_EQ(drop_all(S), 0);
    EXPECT(world_cap(S + 1)->child == NULL);
    EXPECT_EQ(pages_used(), 2);
}

KTAP_CASE(a_table_in_use_stays)
{
    start(1);
    EXPECT_EQ(create(1, CAP_TABLE, 1, S), 0);
    EXPECT_EQ(create(3, CAP_THREAD, 0, S + 1), 0);
    EXPECT_EQ(WORLD_CALL(call_thread_set, S + 1, THREAD_TABLE, S), 0);
    EXPECT_EQ(drop(S), -ERR_BUSY);
    EXPECT_EQ(world_cap(S)->rights, 0xff);
    EXPECT_EQ(drop(S + 1), 0);
    EXPECT_EQ(drop_all(S), 0);
    EXPECT_EQ(drop(SLOT_TABLE), -ERR_BUSY);
    EXPECT_EQ(drop(SLOT_THREAD), -ERR_BUSY);
    EXPECT_EQ(drop(SLOT_SPACE), -ERR_BUSY);
    world_check();
}

KTAP_CASE(what_was_derived_from_a_table_entry_goes_with_it)
{
    start(1);
    EXPECT_EQ(create(1, CAP_TABLE, 1, S), 0);
    EXPECT_EQ(create(3, CAP_TABLE, 1, S + 1), 0);
    EXPECT_EQ(create(5, CAP_THREAD, 0, S + 2), 0);
    EXPECT_EQ(copy_to(SLOT_ENDPOINT, S, 7), 0);
    EXPECT_EQ(copy_to(S, SELF_TABLE, S + 3), 0);
    EXPECT_EQ(WORLD_CALL(call_cap_delete, SELF_TABLE, S + 3), 0);
    EXPECT_EQ(WORLD_CALL(call_thread_set, S + 2, THREAD_TABLE, S), 0);
    struct thread *t = world_cap(S + 2)->object;
    struct cap *first = ((struct table *)world_cap(S)->object)->caps;
    EXPECT_EQ(copy_to(S + 1, S, 8), 0);
    EXPECT_EQ(WORLD_CALL_AS(t, call_cap_copy, 7, 8, 5, 0xff, 0, 0), 0);
    EXPECT_EQ(WORLD_CALL_AS(t, call_cap_copy, 7, SELF_TABLE, 9, 0xff, 0, 0), 0);
    EXPECT(first[7].child == &first[9] && first[9].next);
    world_check();
    EXPECT_EQ(drop(S + 2), 0);
    EXPECT_EQ(drop_all(S), 0);
    EXPECT_EQ(((struct table *)world_cap(S + 1)->object)->caps[5].type, CAP_NONE);
    EXPECT(world_cap(SLOT_ENDPOINT)->child == NULL);
}

/* Tables made in tables: each thread makes the next one, out of memory that it was given. */
static void nest(unsigned levels)
{
    EXPECT_EQ(create(1, CAP_THREAD, 0, S), 0);
    EXPECT_EQ(create(2, CAP_TABLE, 1, S + 1), 0);
    EXPECT_EQ(copy_to(SLOT_MEMORY, S + 1, 1), 0);
    struct thread *t = world_cap(S)->object;
    struct table *table = world_cap(S + 1)->object;
    for (unsigned i = 0; i < levels; i++) {
        struct thread maker = {.table_caps = table->caps, .table_size = table->size};
        EXPECT_EQ(WORLD_CALL_AS(&maker, call_object_create, 1, 4 + 2 * i, CAP_TABLE, 1, 2), 0);
        EXPECT_EQ(WORLD_CALL_AS(&maker, call_cap_copy, 1, 2, 1, 0xff, 0, 0), 0);
        table = table->caps[2].object;
    }
    (void)t;
}

KTAP_CASE(tables_in_tables_go_from_the_innermost)
{
    start(1);
    nest(30);
    world_check();
    EXPECT_EQ(pages_used(), 1 + 1 + 2 * 31);
    EXPECT_EQ(drop_all(S + 1), 0);
    EXPECT_EQ(pages_used(), 2);
    EXPECT(world_cap(SLOT_MEMORY)->child == world_cap(S));
}

KTAP_CASE(tables_in_tables_go_with_their_memory)
{
    start(1);
    nest(20);
    EXPECT_EQ(drop(S), 0);
    long result;
    while ((result = WORLD_CALL(call_cap_revoke, SELF_TABLE, SLOT_MEMORY)) == -ERR_AGAIN)
        world_check();
    EXPECT_EQ(result, 0);
    EXPECT_EQ(pages_used(), 1);
    world_check();
}

KTAP_CASE(tables_do_not_nest_for_ever)
{
    start(1);
    struct table *table = world.table;
    uint64_t memory = SLOT_MEMORY;
    unsigned depth = 0;
    for (;; depth++) {
        struct thread maker = {.table_caps = table->caps, .table_size = table->size};
        long result = WORLD_CALL_AS(&maker, call_object_create, memory, 1 + 2 * depth, CAP_TABLE, 1,
                                    depth ? 2 : S);
        if (result == 0)
            result = WORLD_CALL_AS(&maker, call_cap_copy, memory, depth ? 2 : S, 1, 0xff, 0, 0);
        EXPECT(result == 0 || result == -ERR_LIMIT);
        if (result)
            break;
        table = table->caps[depth ? 2 : S].object;
        memory = 1;
    }
    EXPECT(depth > CAP_DEPTH_MAX / 2 - 2 && depth <= CAP_DEPTH_MAX);
    world_check();
    EXPECT_EQ(drop_all(S), 0);
    EXPECT_EQ(pages_used(), 1);
}

KTAP_CASE(a_table_may_hold_its_own_first_capability)
{
    start(1);
    EXPECT_EQ(create(1, CAP_TABLE, 1, S), 0);
    struct table *table = world_cap(S)->object;
    /* As at boot: the first capability of a table in itself. */
    EXPECT_EQ(drop(S), 0);
    kernel_lock();
    for (unsigned i = 1; i <= 2; i++)
        EXPECT_EQ(page_take(world.first + i, i == 1 ? page_word(PAGE_OBJECT, CAP_TABLE, 0)
                                                    : page_word(PAGE_CAPS, 0, world.first + 1)),
                  0);
    cap_table_init(table, page_to_virt(world.first + 2), CAPS_PER_PAGE, 0);
    cap_fill_object(&table->caps[1], world_cap(SLOT_MEMORY), CAP_TABLE, table, 0, 0xff, true);
    cap_fill_memory(&table->caps[5], world_cap(SLOT_MEMORY), world.first, 4, RIGHT_KEEP, 0);
    kernel_unlock();
    world_check();
    kernel_lock();
    EXPECT_EQ(cap_remove(&table->caps[1]), 0);
    kernel_unlock();
    EXPECT_EQ(pages_used(), 1);
    world_check();
}

KTAP_CASE(a_large_empty_table_is_swept_in_parts)
{
    start(1);
    EXPECT_EQ(create(1, CAP_TABLE, TABLE_PAGES_MAX, S), 0);
    unsigned calls = 1;
    while (drop(S) == -ERR_AGAIN)
        calls++;
    EXPECT_EQ(calls, 4); /* 4096 entries, 1024 looked at in each */
    world_check();
}

/* A client arranges its objects so that each order of removal meets one that is in use. */
KTAP_CASE(what_is_busy_does_not_hold_up_the_rest)
{
    start(1);
    EXPECT_EQ(create(1, CAP_THREAD, 0, S), 0);
    for (unsigned i = 1; i <= 40; i++) {
        EXPECT_EQ(create(1 + i, CAP_ENDPOINT, 0, S + i), 0);
        EXPECT_EQ(copy_to(S + i, SELF_TABLE, S + 100 + i), 0);
    }
    EXPECT_EQ(WORLD_CALL(call_thread_set, S, THREAD_PAGER, S + 40), 0);
    EXPECT_EQ(WORLD_CALL(call_thread_set, S, THREAD_PERSONALITY, S + 39), 0);
    EXPECT_EQ(WORLD_CALL(call_cap_copy, SLOT_MEMORY, SELF_TABLE, S + 99, RIGHT_KEEP, 0, 512), 0);
    long result;
    while ((result = WORLD_CALL(call_cap_revoke, SELF_TABLE, SLOT_MEMORY)) == -ERR_AGAIN)
        world_check();
    EXPECT_EQ(result, 0);
    EXPECT_EQ(pages_used(), 1);
    world_check();
}

KTAP_CASE(revocation_says_busy_when_all_that_is_left_is)
{
    start(1);
    EXPECT_EQ(create(1, CAP_ENDPOINT, 0, S), 0);
    EXPECT_EQ(create(2, CAP_ENDPOINT, 0, S + 1), 0);
    EXPECT_EQ(create(3, CAP_ENDPOINT, 0, S + 2), 0);
    struct endpoint *e = world_cap(S)->object;
    e->references = 1;
    EXPECT_EQ(WORLD_CALL(call_cap_revoke, SELF_TABLE, SLOT_MEMORY), -ERR_AGAIN);
    EXPECT_EQ(WORLD_CALL(call_cap_revoke, SELF_TABLE, SLOT_MEMORY), -ERR_BUSY);
    EXPECT_EQ(pages_used(), 2);
    world_check();
    e->references = 0;
    EXPECT_EQ(WORLD_CALL(call_cap_revoke, SELF_TABLE, SLOT_MEMORY), 0);
    world_check();
}

KTAP_CASE(an_endpoint_that_routes_name_is_busy)
{
    start(1);
    EXPECT_EQ(create(1, CAP_ENDPOINT, 0, S), 0);
    EXPECT_EQ(create(2, CAP_THREAD, 0, S + 1), 0);
    EXPECT_EQ(WORLD_CALL(call_thread_set, S + 1, THREAD_PAGER, S, 3), 0);
    EXPECT_EQ(drop(S), -ERR_BUSY);
    EXPECT_EQ(drop(S + 1), 0);
    EXPECT_EQ(drop(S), 0);
    world_check();
}

KTAP_CASE(a_thread_of_another_hart_goes_when_that_hart_let_go)
{
    start(2);
    EXPECT_EQ(create(1, CAP_THREAD, 0, S), 0);
    EXPECT_EQ(copy_to(S, SELF_TABLE, S + 1), 0);
    EXPECT_EQ(drop(S + 1), 0);
    struct thread *t = world_cap(S)->object;
    EXPECT_EQ(WORLD_CALL(call_thread_set, S, THREAD_HART, 1), 0);
    t->state = THREAD_RUNNING;
    harts[1]->current = t;
    EXPECT_EQ(drop(S), -ERR_AGAIN);
    EXPECT_EQ(machine.hart[1].interrupts_sent, 1);
    EXPECT_EQ(copy_to(S, SELF_TABLE, S + 1), -ERR_RIGHTS);
    EXPECT_EQ(drop(S), -ERR_AGAIN);
    machine_hart_select(1);
    kernel_lock();
    thread_stop_wanted(harts[1]);
    kernel_unlock();
    harts[1]->current = NULL;
    machine_hart_select(0);
    EXPECT_EQ(drop(S), 0);
    EXPECT_EQ(pages_used(), 1);
    world_check();
}

KTAP_CASE(a_space_goes_with_its_tables_and_not_with_threads_in_it)
{
    start(1);
    EXPECT_EQ(create(1, CAP_SPACE, 0, S), 0);
    EXPECT_EQ(create(3, CAP_THREAD, 0, S + 1), 0);
    EXPECT_EQ(WORLD_CALL(call_thread_set, S + 1, THREAD_SPACE, S), 0);
    EXPECT_EQ(drop(S), -ERR_BUSY);
    EXPECT_EQ(drop(S + 1), 0);
    struct batch_page *page = world.thread->operation_page;
    page->op[0] = (struct batch_op){.code = BATCH_TABLE,
                                    .level = 2,
                                    .memory = SLOT_MEMORY,
                                    .entry = entry_make(world.first + 10, 0)};
    page->op[1] = (struct batch_op){.code = BATCH_TABLE,
                                    .level = 1,
                                    .memory = SLOT_MEMORY,
                                    .entry = entry_make(world.first + 11, 0)};
    page->op[2] =
        (struct batch_op){.code = BATCH_MAP,
                          .count = 20,
                          .memory = SLOT_MEMORY,
                          .address = 0x3000,
                          .entry = entry_make(world.first + 600, ENTRY_ALWAYS | ENTRY_W | ENTRY_D)};
    long done = WORLD_CALL(call_batch, S, 3);
    EXPECT_EQ(world_out[0], 0);
    EXPECT_EQ(done, 3);
    EXPECT_EQ(block_count[(world.first + 600) >> TABLE_SHIFT], 20);
    EXPECT_EQ(pages_used(), 5);
    world_check();
    EXPECT_EQ(drop_all(S), 0);
    EXPECT_EQ(block_count[(world.first + 600) >> TABLE_SHIFT], 0);
    EXPECT_EQ(pages_used(), 1);
}
