/* Capabilities: look-up, derivation, deletion, revocation, and every way in which they refuse. */
#include "kernel_world.h"
#include "ktap.h"

#include "kernel/sched.h"

#include <string.h>

#define S (SLOT_FREE)

static long copy(uint64_t from, uint64_t to, unsigned rights, uint64_t first, uint64_t pages)
{
    return WORLD_CALL(call_cap_copy, from, SELF_TABLE, to, rights, first, pages);
}

static long create(uint64_t page, enum cap_type type, uint64_t parameter, uint64_t slot)
{
    return WORLD_CALL(call_object_create, SLOT_MEMORY, page, type, parameter, slot);
}

static void tables_block(void)
{
    EXPECT_EQ(WORLD_CALL(call_block_class, SLOT_MEMORY, 0, BLOCK_TABLES), 0);
}

KTAP_CASE(lookup_names_what_is_wrong)
{
    long error = 0;
    world_start(NULL);
    EXPECT(cap_lookup(world.thread, SLOT_SPACE, CAP_SPACE, RIGHT_MAP, &error) ==
           world_cap(SLOT_SPACE));
    EXPECT(!cap_lookup(world.thread, world.table->size, CAP_SPACE, 0, &error));
    EXPECT_EQ(error, ERR_SLOT);
    EXPECT(!cap_lookup(world.thread, ~0UL, CAP_SPACE, 0, &error));
    EXPECT_EQ(error, ERR_SLOT);
    EXPECT(!cap_lookup(world.thread, S, CAP_SPACE, 0, &error));
    EXPECT_EQ(error, ERR_EMPTY);
    EXPECT(!cap_lookup(world.thread, SLOT_THREAD, CAP_SPACE, 0, &error));
    EXPECT_EQ(error, ERR_TYPE);
    EXPECT(!cap_lookup(world.thread, SLOT_MEMORY, CAP_MEMORY, RIGHT_IO, &error));
    EXPECT_EQ(error, ERR_RIGHTS);
}

KTAP_CASE(a_thread_without_a_table_has_no_capability)
{
    struct thread none = {0};
    long error = 0;
    world_start(NULL);
    EXPECT(!cap_lookup(&none, 0, CAP_SPACE, 0, &error));
    EXPECT_EQ(error, ERR_SLOT);
    EXPECT(!cap_entry(&none, SELF_TABLE, 0, &error));
    EXPECT_EQ(error, ERR_SLOT);
}

KTAP_CASE(entry_needs_a_table_and_control)
{
    long error = 0;
    world_start(NULL);
    EXPECT(cap_entry(world.thread, SELF_TABLE, S, &error) == world_cap(S));
    EXPECT(cap_entry(world.thread, SLOT_TABLE, S, &error) == world_cap(S));
    EXPECT(!cap_entry(world.thread, SLOT_TABLE, world.table->size, &error));
    EXPECT_EQ(error, ERR_SLOT);
    EXPECT(!cap_entry(world.thread, SLOT_SPACE, S, &error));
    EXPECT_EQ(error, ERR_TYPE);
    EXPECT_EQ(copy(SLOT_TABLE, S, 0, 0, 0), 0);
    EXPECT(!cap_entry(world.thread, S, S, &error));
    EXPECT_EQ(error, ERR_RIGHTS);
}

KTAP_CASE(forbid_follows_rights_and_features)
{
    static const uint64_t always =
        ENTRY_V | ENTRY_R | ENTRY_U | ENTRY_A | ENTRY_SOFT0 | ENTRY_SOFT1;
    world_start(NULL);
    EXPECT_EQ(cap_forbid(0), ~(always | ENTRY_PAGE_MASK));
    EXPECT_EQ(cap_forbid(RIGHT_WRITE), ~(always | ENTRY_PAGE_MASK | ENTRY_W | ENTRY_D));
    EXPECT_EQ(cap_forbid(RIGHT_EXEC), ~(always | ENTRY_PAGE_MASK | ENTRY_X));
    EXPECT_EQ(cap_forbid(RIGHT_KEEP), cap_forbid(0));
    EXPECT_EQ(cap_forbid(RIGHT_IO), cap_forbid(0));
    EXPECT(cap_forbid(0xff) & ENTRY_G);
    arch_features = BOOT_HAS_SVPBMT;
    EXPECT_EQ(cap_forbid(RIGHT_IO), cap_forbid(0) & ~(ENTRY_PBMT_NC | ENTRY_PBMT_IO));
    EXPECT_EQ(cap_forbid(RIGHT_WRITE) & ENTRY_PBMT_IO, ENTRY_PBMT_IO);
    arch_features = BOOT_HAS_SVNAPOT;
    EXPECT_EQ(cap_forbid(0), ~(always | ENTRY_PAGE_MASK | ENTRY_N));
}

KTAP_CASE(copy_masks_rights_and_becomes_a_child)
{
    world_start(NULL);
    EXPECT_EQ(copy(SLOT_MEMORY, S, RIGHT_WRITE | RIGHT_IO | RIGHT_COPY_ON, 3, 5), 0);
    struct cap *c = world_cap(S);
    EXPECT_EQ(c->type, CAP_MEMORY);
    EXPECT_EQ(c->rights, RIGHT_WRITE | RIGHT_COPY_ON);
    EXPECT_EQ(c->first, world.first + 3);
    EXPECT_EQ(c->pages, 5);
    EXPECT(c->parent == world_cap(SLOT_MEMORY) && world_cap(SLOT_MEMORY)->child == c);
    EXPECT_EQ(copy(S, S + 1, 0xff, 1, 0), 0);
    EXPECT_EQ(world_cap(S + 1)->first, world.first + 4);
    EXPECT_EQ(world_cap(S + 1)->pages, 4);
    EXPECT_EQ(world_cap(S + 1)->rights, RIGHT_WRITE | RIGHT_COPY_ON);
    world_check();
}

KTAP_CASE(copy_refuses_extents_outside_the_source)
{
    world_start(NULL);
    uint64_t pages = world.pages;
    EXPECT_EQ(copy(SLOT_MEMORY, S, 0xff, pages, 0), -ERR_RANGE);
    EXPECT_EQ(copy(SLOT_MEMORY, S, 0xff, pages, 1), -ERR_RANGE);
    EXPECT_EQ(copy(SLOT_MEMORY, S, 0xff, 0, pages + 1), -ERR_RANGE);
    EXPECT_EQ(copy(SLOT_MEMORY, S, 0xff, 1, pages), -ERR_RANGE);
    EXPECT_EQ(copy(SLOT_MEMORY, S, 0xff, 1, ~0UL), -ERR_RANGE);
    EXPECT_EQ(copy(SLOT_MEMORY, S, 0xff, ~0UL, 1), -ERR_RANGE);
    EXPECT_EQ(copy(SLOT_MEMORY, S, 0xff, ~0UL, 2), -ERR_RANGE);
    EXPECT_EQ(copy(SLOT_MEMORY, S, 0xff, 1UL << 63, 1UL << 63), -ERR_RANGE);
    EXPECT_EQ(copy(SLOT_MEMORY, S, 0xff, 0, pages), 0);
    EXPECT_EQ(copy(SLOT_MEMORY, S + 1, 0xff, pages - 1, 1), 0);
    world_check();
}

KTAP_CASE(copy_refuses_slots_rights_and_types)
{
    world_start(NULL);
    EXPECT_EQ(copy(S, S + 1, 0xff, 0, 0), -ERR_EMPTY);
    EXPECT_EQ(copy(world.table->size, S + 1, 0xff, 0, 0), -ERR_SLOT);
    EXPECT_EQ(copy(SLOT_MEMORY, SLOT_SPACE, 0xff, 0, 0), -ERR_OCCUPIED);
    EXPECT_EQ(copy(SLOT_MEMORY, SLOT_MEMORY, 0xff, 0, 0), -ERR_OCCUPIED);
    EXPECT_EQ(copy(SLOT_MEMORY, world.table->size, 0xff, 0, 0), -ERR_SLOT);
    EXPECT_EQ(copy(SLOT_MEMORY, S, 0x100, 0, 0), -ERR_ARGUMENT);
    EXPECT_EQ(copy(SLOT_SPACE, S, 0xff, 1, 0), -ERR_ARGUMENT);
    EXPECT_EQ(copy(SLOT_SPACE, S, 0xff, 0, 1), -ERR_ARGUMENT);
    EXPECT_EQ(copy(SLOT_MEMORY, S, RIGHT_ALL, 0, 0), 0);
    EXPECT_EQ(copy(S, S + 1, 0xff, 0, 0), -ERR_RIGHTS);
    kernel_lock();
    struct thread client = {.state = THREAD_KEPT, .reply = world_cap(S + 2)};
    cap_fill_object(world_cap(S + 2), NULL, CAP_REPLY, &client, 0, RIGHT_COPY_ON, false);
    kernel_unlock();
    EXPECT_EQ(copy(S + 2, S + 3, 0xff, 0, 0), -ERR_TYPE);
    world_check();
}

KTAP_CASE(device_memory_stays_device_memory)
{
    world_start(NULL);
    EXPECT_EQ(copy(WORLD_SLOT_DEVICE, S, RIGHT_WRITE, 0, 1), 0);
    EXPECT_EQ(world_cap(S)->rights, RIGHT_WRITE | RIGHT_IO);
    world_check();
}

KTAP_CASE(endpoint_badge_is_set_once)
{
    world_start(NULL);
    EXPECT_EQ(copy(SLOT_ENDPOINT, S, 0xff, 0, 0), 0);
    EXPECT_EQ(copy(S, S + 1, 0xff, 77, 0), 0);
    EXPECT_EQ(world_cap(S + 1)->badge, 77);
    EXPECT_EQ(copy(S + 1, S + 2, 0xff, 78, 0), -ERR_ARGUMENT);
    EXPECT_EQ(copy(S + 1, S + 2, 0xff, 0, 0), 0);
    EXPECT_EQ(copy(S + 1, S + 3, 0xff, 77, 0), 0);
    EXPECT_EQ(world_cap(S + 2)->badge, 77);
    EXPECT_EQ(WORLD_CALL(call_cap_read, SELF_TABLE, S + 2), CAP_ENDPOINT | 0xff << 8);
    EXPECT_EQ(world_out[0], 77);
    EXPECT_EQ(world_out[1], 0);
    world_check();
}

KTAP_CASE(notification_bits_only_narrow)
{
    world_start(NULL);
    tables_block();
    EXPECT_EQ(create(1, CAP_NOTIFICATION, 0, S), 0);
    EXPECT_EQ(copy(S, S + 1, 0xff, 0xf0, 0), 0);
    EXPECT_EQ(copy(S + 1, S + 2, 0xff, 0x3f, 0), 0);
    EXPECT_EQ(world_cap(S + 2)->badge, 0x30);
    EXPECT_EQ(copy(S + 1, S + 3, 0xff, 0, 0), 0);
    EXPECT_EQ(world_cap(S + 3)->badge, 0xf0);
    EXPECT_EQ(copy(S + 1, S + 4, 0xff, 0x0f, 0), -ERR_ARGUMENT);
    world_check();
}

KTAP_CASE(read_shows_memory_and_refuses_empty)
{
    world_start(NULL);
    EXPECT_EQ(WORLD_CALL(call_cap_read, SELF_TABLE, SLOT_MEMORY),
              CAP_MEMORY | (RIGHT_WRITE | RIGHT_EXEC | RIGHT_KEEP | RIGHT_COPY_ON) << 8);
    EXPECT_EQ(world_out[0], world.first);
    EXPECT_EQ(world_out[1], world.pages);
    EXPECT_EQ(WORLD_CALL(call_cap_read, SELF_TABLE, S), -ERR_EMPTY);
    EXPECT_EQ(WORLD_CALL(call_cap_read, SELF_TABLE, ~0UL), -ERR_SLOT);
    EXPECT_EQ(WORLD_CALL(call_cap_read, SLOT_SPACE, 0), -ERR_TYPE);
    EXPECT_EQ(WORLD_CALL(call_cap_delete, SELF_TABLE, S), -ERR_EMPTY);
    EXPECT_EQ(WORLD_CALL(call_cap_revoke, SELF_TABLE, S), -ERR_EMPTY);
}

KTAP_CASE(delete_refuses_while_there_are_children)
{
    world_start(NULL);
    EXPECT_EQ(copy(SLOT_SPACE, S, 0xff, 0, 0), 0);
    EXPECT_EQ(copy(S, S + 1, 0xff, 0, 0), 0);
    EXPECT_EQ(WORLD_CALL(call_cap_delete, SELF_TABLE, S), -ERR_CHILDREN);
    EXPECT_EQ(WORLD_CALL(call_cap_delete, SELF_TABLE, S + 1), 0);
    EXPECT_EQ(WORLD_CALL(call_cap_delete, SELF_TABLE, S), 0);
    EXPECT_EQ(world_cap(S)->type, CAP_NONE);
    world_check();
}

KTAP_CASE(siblings_unlink_in_any_order)
{
    for (unsigned first = 0; first < 3; first++) {
        world_start(NULL);
        for (unsigned i = 0; i < 3; i++)
            EXPECT_EQ(copy(SLOT_SPACE, S + i, 0xff, 0, 0), 0);
        for (unsigned i = 0; i < 3; i++) {
            EXPECT_EQ(WORLD_CALL(call_cap_delete, SELF_TABLE, S + (first + i) % 3), 0);
            world_check();
        }
        EXPECT(world_cap(SLOT_SPACE)->child == NULL);
    }
}

KTAP_CASE(revoke_is_bounded_and_resumes)
{
    world_start(NULL);
    for (unsigned i = 0; i < 100; i++)
        EXPECT_EQ(copy(i % 3 && i ? S + i / 2 : SLOT_SPACE, S + i, 0xff, 0, 0), 0);
    world_check();
    unsigned calls = 1;
    while (WORLD_CALL(call_cap_revoke, SELF_TABLE, SLOT_SPACE) == -ERR_AGAIN) {
        calls++;
        world_check();
    }
    EXPECT_EQ(calls, 4); /* 32 a call */
    for (unsigned i = 0; i < 100; i++)
        EXPECT_EQ(world_cap(S + i)->type, CAP_NONE);
    EXPECT_EQ(world_cap(SLOT_SPACE)->type, CAP_SPACE);
    EXPECT_EQ(WORLD_CALL(call_cap_revoke, SELF_TABLE, SLOT_SPACE), 0);
}

KTAP_CASE(chains_of_derivation_end)
{
    world_start(NULL);
    unsigned i = 0;
    while (copy(i ? S + i - 1 : SLOT_SPACE, S + i, 0xff, 0, 0) == 0)
        i++;
    EXPECT_EQ(i, CAP_DEPTH_MAX - 1);
    EXPECT_EQ(copy(S + i - 1, S + i, 0xff, 0, 0), -ERR_LIMIT);
    EXPECT_EQ(copy(S + i - 2, S + i, 0xff, 0, 0), 0);
    world_check();
    while (WORLD_CALL(call_cap_revoke, SELF_TABLE, SLOT_SPACE) == -ERR_AGAIN)
        world_check();
    EXPECT(world_cap(SLOT_SPACE)->child == NULL);
}

KTAP_CASE(derived_memory_is_busy_while_its_blocks_are_mapped)
{
    world_start(NULL);
    EXPECT_EQ(copy(SLOT_MEMORY, S, RIGHT_WRITE, 10, 4), 0);
    EXPECT_EQ(copy(SLOT_MEMORY, S + 1, RIGHT_WRITE, PAGES_PER_BLOCK - 1, 2), 0);
    EXPECT(block_get(world.first + 100)); /* another page of the same block */
    EXPECT_EQ(WORLD_CALL(call_cap_delete, SELF_TABLE, S), -ERR_BUSY);
    EXPECT_EQ(WORLD_CALL(call_cap_delete, SELF_TABLE, S + 1), -ERR_BUSY);
    EXPECT_EQ(WORLD_CALL(call_cap_revoke, SELF_TABLE, SLOT_MEMORY), -ERR_BUSY);
    EXPECT_EQ(world_cap(S)->forbid, cap_forbid(RIGHT_WRITE)); /* it is as it was */
    EXPECT_EQ(world_cap(S)->rights, RIGHT_WRITE);
    block_put_n(world.first + 100, 1);
    EXPECT_EQ(WORLD_CALL(call_cap_delete, SELF_TABLE, S), 0);
    EXPECT_EQ(WORLD_CALL(call_cap_delete, SELF_TABLE, S + 1), 0);
    world_check();
}

KTAP_CASE(memory_with_keep_is_busy_while_it_holds_page_tables)
{
    world_start(NULL);
    tables_block();
    EXPECT_EQ(copy(SLOT_MEMORY, S, RIGHT_KEEP, 0, PAGES_PER_BLOCK), 0);
    EXPECT_EQ(copy(SLOT_MEMORY, S + 1, RIGHT_WRITE, 0, PAGES_PER_BLOCK), 0);
    kernel_lock();
    EXPECT_EQ(page_take(world.first + 1, page_word(PAGE_TABLE, 0, 0)), 0);
    kernel_unlock();
    EXPECT_EQ(copy(SLOT_MEMORY, S + 2, RIGHT_KEEP, 2, PAGES_PER_BLOCK), 0);
    EXPECT_EQ(WORLD_CALL(call_cap_delete, SELF_TABLE, S), -ERR_BUSY);
    EXPECT_EQ(WORLD_CALL(call_cap_delete, SELF_TABLE, S + 1), 0);
    EXPECT_EQ(WORLD_CALL(call_cap_delete, SELF_TABLE, S + 2), 0);
    kernel_lock();
    page_release(world.first + 1);
    kernel_unlock();
    EXPECT_EQ(WORLD_CALL(call_cap_delete, SELF_TABLE, S), 0);
    world_check();
}

KTAP_CASE(memory_of_the_boot_can_go_while_it_is_mapped)
{
    world_start(NULL);
    EXPECT(block_get(world.first));
    EXPECT_EQ(WORLD_CALL(call_cap_delete, SELF_TABLE, SLOT_MEMORY), 0);
    block_put_n(world.first, 1);
    world_check();
}

KTAP_CASE(a_very_large_extent_goes_in_parts)
{
    world_start(NULL);
    uint64_t part = 512 * PAGES_PER_BLOCK, pages = 2 * part + 3;
    kernel_lock();
    cap_fill_memory(world_cap(S), NULL, world.first, pages, 0xff & ~RIGHT_IO, 0);
    kernel_unlock();
    EXPECT_EQ(copy(S, S + 1, RIGHT_WRITE, 0, 0), 0);
    EXPECT_EQ(WORLD_CALL(call_cap_delete, SELF_TABLE, S + 1), -ERR_AGAIN);
    EXPECT_EQ(world_cap(S + 1)->first, world.first + part);
    EXPECT_EQ(world_cap(S + 1)->pages, pages - part);
    EXPECT_EQ(world_cap(S + 1)->rights, RIGHT_WRITE);
    world_check();
    EXPECT_EQ(WORLD_CALL(call_cap_delete, SELF_TABLE, S + 1), -ERR_AGAIN);
    EXPECT_EQ(WORLD_CALL(call_cap_delete, SELF_TABLE, S + 1), 0);
    world_check();
}

/* Another hart is inside a reply with the capability in hand; it maps a page before it is done. */
static void other_hart_maps(void)
{
    EXPECT_EQ(world_cap(S)->rights, 0);
    EXPECT_EQ(world_cap(S)->forbid, ~0UL);
    EXPECT(block_get(world.first));
    hart_idle(harts[1]);
    machine_relax_hook = NULL;
}

KTAP_CASE(a_reply_under_way_elsewhere_keeps_memory)
{
    world_start(&(struct machine_options){.harts = 2, .asid_bits = 16});
    EXPECT_EQ(copy(SLOT_MEMORY, S, RIGHT_WRITE, 0, 1), 0);
    hart_busy(harts[1]);
    machine_relax_hook = other_hart_maps;
    EXPECT_EQ(WORLD_CALL(call_cap_delete, SELF_TABLE, S), -ERR_BUSY);
    EXPECT_EQ(world_cap(S)->forbid, cap_forbid(RIGHT_WRITE));
    EXPECT_EQ(world_cap(S)->rights, RIGHT_WRITE);
    block_put_n(world.first, 1);
    EXPECT_EQ(WORLD_CALL(call_cap_delete, SELF_TABLE, S), 0);
    world_check();
}

static void *seen_object;

/* Another hart found the entry before it went: its object and badge stay until that hart is done.
 */
static void other_hart_reads(void)
{
    EXPECT_EQ(world_cap(S)->type, CAP_NONE);
    EXPECT(world_cap(S)->object == seen_object);
    EXPECT_EQ(world_cap(S)->badge, 9);
    hart_idle(harts[1]);
    machine_relax_hook = NULL;
}

KTAP_CASE(a_removed_entry_is_whole_until_others_left_it)
{
    world_start(&(struct machine_options){.harts = 2, .asid_bits = 16});
    EXPECT_EQ(copy(SLOT_ENDPOINT, S, 0xff, 9, 0), 0);
    seen_object = world_cap(S)->object;
    hart_busy(harts[1]);
    machine_relax_hook = other_hart_reads;
    EXPECT_EQ(WORLD_CALL(call_cap_delete, SELF_TABLE, S), 0);
    EXPECT(machine_relax_hook == NULL);
    world_check();
}

/* A new entry shows its type to nobody who could still see the old object. */
static void other_hart_sees_nothing(void)
{
    EXPECT_EQ(world_cap(S)->type, CAP_NONE);
    hart_idle(harts[1]);
    machine_relax_hook = NULL;
}

KTAP_CASE(a_new_entry_is_whole_before_it_shows)
{
    world_start(&(struct machine_options){.harts = 2, .asid_bits = 16});
    hart_busy(harts[1]);
    machine_relax_hook = other_hart_sees_nothing;
    EXPECT_EQ(copy(SLOT_ENDPOINT, S, 0xff, 9, 0), 0);
    EXPECT(machine_relax_hook == NULL);
    EXPECT_EQ(world_cap(S)->type, CAP_ENDPOINT);
}

KTAP_CASE(every_mixture_of_old_and_new_memory_refuses)
{
    world_start(NULL);
    struct cap old = *world_cap(S);
    EXPECT_EQ(copy(SLOT_MEMORY, S, 0xff, 0, 0), 0);
    struct cap new = *world_cap(S);
    uint64_t entry = entry_make(world.first, ENTRY_ALWAYS);
    for (unsigned mix = 0; mix < 8; mix++) {
        uint64_t forbid = mix & 1 ? new.forbid : old.forbid;
        uint64_t first = mix & 2 ? new.first : old.first;
        uint64_t pages = mix & 4 ? new.pages : old.pages;
        bool allowed = !(entry & forbid) && entry_page(entry) - first < pages;
        EXPECT_EQ(allowed, mix == 7);
        if (mix & 4 && !(mix & 2)) /* no page at all lies in it */
            EXPECT((1UL << 44) - first >= pages && 0 - first >= pages);
    }
}

KTAP_CASE(an_unanswered_reply_makes_its_event_happen_again)
{
    world_start(NULL);
    tables_block();
    EXPECT_EQ(create(1, CAP_THREAD, 0, S), 0);
    struct thread *client = world_cap(S)->object;
    kernel_lock();
    client->state = THREAD_KEPT;
    client->event = EVENT_MESSAGE;
    client->reply = world_cap(S + 1);
    cap_fill_object(world_cap(S + 1), NULL, CAP_REPLY, client, 5, 0, false);
    kernel_unlock();
    world_check();
    EXPECT_EQ(WORLD_CALL(call_cap_delete, SELF_TABLE, S + 1), 0);
    EXPECT_EQ(client->state, THREAD_READY);
    EXPECT(client->reply == NULL);
    EXPECT_EQ(client->x[10], (uint64_t)-ERR_GONE);
    world_check();
}

KTAP_CASE(an_interrupt_is_unbound_with_its_capability)
{
    world_start(NULL);
    tables_block();
    EXPECT_EQ(create(1, CAP_NOTIFICATION, 0, S), 0);
    EXPECT_EQ(copy(SLOT_INTERRUPT + 1, S + 1, 0xff, 0, 0), 0);
    EXPECT_EQ(WORLD_CALL(call_interrupt_bind, S + 1, S, 1), 0);
    EXPECT(machine_source_enabled(1));
    EXPECT_EQ(WORLD_CALL(call_cap_revoke, SELF_TABLE, SLOT_INTERRUPT + 1), 0);
    EXPECT(interrupts[1].notification == NULL);
    EXPECT(!machine_source_enabled(1));
    EXPECT_EQ(WORLD_CALL(call_cap_delete, SELF_TABLE, S), 0);
    world_check();
}
