/* Address spaces: tables, the harts that run them, ASIDs, destruction, dropping, copying. */
#include "space_world.h"
#include "kernel/asid.h"
#include "kernel/gather.h"
#include "ktap.h"

#include <string.h>

#define VA 0x40000000UL
#define W  ENTRY_W
#define D  ENTRY_D

static void start(unsigned harts, unsigned asid_bits, unsigned spaces)
{
    space_world_start(&(struct machine_options){.harts = harts,
                                                .asid_bits = asid_bits,
                                                .pages = 16 * PAGES_PER_BLOCK},
                      spaces);
    for (unsigned n = 0; n < spaces; n++)
        tables_for(n, VA, 0);
}

static void map(unsigned n, vaddr_t address, uint32_t count, uint64_t page, uint64_t bits)
{
    EXPECT_EQ(op_on(n, op_map(address, count, data_page(page), bits)), 0);
}

static void unmap(unsigned n, vaddr_t address, uint32_t count)
{
    EXPECT_EQ(op_on(n, op_simple(BATCH_UNMAP, address, count, 0)), 0);
}

static uint64_t number(unsigned n)
{
    return asid_number(sw.space[n]);
}

KTAP_CASE(slots_are_found_at_every_level)
{
    for (unsigned levels = 3; levels <= 5; levels++) {
        space_world_start(&(struct machine_options){.levels = levels, .asid_bits = 16}, 1);
        unsigned found;
        vaddr_t last = space_user_end - PAGE_BYTES;
        EXPECT(space_slot(sw.space[0], last, 0, &found) == NULL);
        EXPECT_EQ(found, levels - 1);
        tables_for(0, last, 0);
        EXPECT_EQ(sw.space[0]->tables, levels - 1);
        EXPECT(space_slot(sw.space[0], last, 0, &found) != NULL);
        EXPECT_EQ(found, 0);
        EXPECT(space_slot(sw.space[0], last, levels - 1, &found) == sw.space[0]->root + 255);
        EXPECT(space_slot(sw.space[0], space_user_end, 0, &found) == NULL);
        EXPECT(space_slot(sw.space[0], ~0UL, levels - 1, &found) == NULL);
        map(0, last, 1, 0, W | D);
        run_on(0, 0);
        EXPECT(sim_store(0, last + 8, 5));
        EXPECT_EQ(sim_page(), data_page(0));
        CHECK_ALL();
        EXPECT_EQ(WORLD_CALL(call_space_info, SPACE_SLOT(0)), sw.space[0]->root_pfn);
        EXPECT_EQ(world_out[0], levels);
        tlb_satp_load(0, arch_satp_kernel()); /* the caller has a space of its own */
        EXPECT_EQ(space_delete(0), 0);
        CHECK_ALL();
    }
}

KTAP_CASE(info_is_refused)
{
    start(1, 16, 1);
    EXPECT_EQ(WORLD_CALL(call_space_info, SLOT_MEMORY), -ERR_TYPE);
    EXPECT_EQ(WORLD_CALL(call_space_info, SLOT_FREE + 99), -ERR_EMPTY);
    EXPECT_EQ(WORLD_CALL(call_space_info, ~0UL), -ERR_SLOT);
}

KTAP_CASE(activation_moves_the_running_bit)
{
    start(2, 16, 2);
    run_on(1, 0);
    EXPECT_EQ(sw.space[0]->running, 2);
    EXPECT_EQ(sw.space[0]->seen, 2);
    EXPECT(harts[1]->space_active == sw.space[0]);
    EXPECT_EQ(satp_root(tlb_satp(1)), sw.space[0]->root_pfn);
    run_on(1, 1);
    EXPECT_EQ(sw.space[0]->running, 0);
    EXPECT_EQ(sw.space[0]->seen, 2);
    EXPECT_EQ(sw.space[1]->running, 2);
    EXPECT(number(0) != number(1) && number(0) && number(1));
    run_on(0, 1);
    EXPECT_EQ(sw.space[1]->running, 3);
    kernel_lock();
    space_leave(harts[0]);
    space_leave(harts[0]);
    kernel_unlock();
    EXPECT_EQ(sw.space[1]->running, 2);
    EXPECT(harts[0]->space_active == NULL);
}

KTAP_CASE(a_hart_that_left_fences_when_it_comes_back)
{
    start(2, 16, 2);
    map(0, VA, 1, 0, W | D);
    run_on(1, 0);
    EXPECT(sim_load(1, VA, NULL));
    run_on(1, 1);
    uint64_t fences = tlb_fences();
    unmap(0, VA, 1);
    EXPECT_EQ(tlb_fences(), fences);
    EXPECT_EQ(sw.space[0]->stale, 2);
    EXPECT(tlb_entries(1) != 0);
    CHECK_ALL();
    run_on(1, 0);
    EXPECT_EQ(tlb_fences(), fences + 1);
    EXPECT_EQ(sw.space[0]->stale, 0);
    EXPECT(!sim_load(1, VA, NULL));
    CHECK_ALL();
    run_on(1, 1);
    run_on(1, 0);
    EXPECT_EQ(tlb_fences(), fences + 1);
}

KTAP_CASE(fences_go_to_the_harts_that_run_the_space)
{
    start(4, 16, 2);
    map(0, VA, 4, 0, W | D);
    for (unsigned h = 0; h < 3; h++) {
        run_on(h, 0);
        EXPECT(sim_store(h, VA + h * PAGE_BYTES, 1));
    }
    run_on(3, 1);
    memset(harts[0]->counter, 0, sizeof(harts[0]->counter));
    unmap(0, VA, 4);
    EXPECT_EQ(harts[0]->counter[COUNT_fence_local], 1);
    EXPECT_EQ(harts[0]->counter[COUNT_fence_remote], 2);
    EXPECT_EQ(sw.space[0]->stale, 0);
    CHECK_ALL();
    /* Many pages: the whole ASID. */
    map(0, VA, 512, 0, W | D);
    for (unsigned i = 0; i < 512; i += 7)
        EXPECT(sim_load(2, VA + i * PAGE_BYTES, NULL));
    unmap(0, VA, 512);
    CHECK_ALL();
}

KTAP_CASE(a_pinned_space_runs_for_good)
{
    start(2, 16, 3);
    kernel_lock();
    uint64_t satp = space_pin(sw.space[0], harts[1]);
    EXPECT_EQ(space_pin(sw.space[0], harts[1]), satp);
    kernel_unlock();
    EXPECT_EQ(satp_root(satp), sw.space[0]->root_pfn);
    run_on(1, 1);
    run_on(1, 2);
    run_on(1, 0);
    EXPECT(harts[1]->space_active == sw.space[2]);
    EXPECT_EQ(sw.space[0]->running, 2);
    EXPECT_EQ(sw.space[2]->running, 2);
    EXPECT_EQ(space_delete(0), -ERR_BUSY);
    kernel_lock();
    space_unpin(sw.space[0], harts[1]);
    EXPECT_EQ(sw.space[0]->running, 2);
    space_unpin(sw.space[0], harts[1]);
    kernel_unlock();
    EXPECT_EQ(sw.space[0]->running, 0);
    EXPECT_EQ(sw.space[0]->pinned, 0);
    run_on(1, 2);
    EXPECT_EQ(space_delete(0), 0);
    CHECK_ALL();
}

KTAP_CASE(pinning_pays_what_the_hart_owes)
{
    start(2, 16, 2);
    map(0, VA, 1, 0, W | D);
    run_on(1, 0);
    EXPECT(sim_load(1, VA, NULL));
    run_on(1, 1);
    unmap(0, VA, 1);
    EXPECT_EQ(WORLD_CALL(call_instruction_fence, SPACE_SLOT(0)), 0);
    uint64_t code = tlb_code_fences(1);
    kernel_lock();
    tlb_satp_load(1, space_pin(sw.space[0], harts[1]));
    kernel_unlock();
    EXPECT(!sim_load(1, VA, NULL));
    EXPECT_EQ(tlb_code_fences(1), code + 1);
    CHECK_ALL();
}

KTAP_CASE(workers_with_clients_of_the_old_space_answer_the_slow_way)
{
    start(1, 16, 2);
    run_on(0, 0);
    struct thread *w = world.thread, client = {.client = &thread_nobody};
    TAILQ_INSERT_TAIL(&harts[0]->workers, w, bench);
    w->client = &client;
    run_on(0, 0);
    EXPECT_EQ(w->attention, 0);
    run_on(0, 1);
    EXPECT_EQ(w->attention, 1);
    w->attention = 0;
    w->client = NULL; /* parked */
    run_on(0, 0);
    EXPECT_EQ(w->attention, 0);
}

/* Spaces take turns on harts, far more often than there are numbers. */
static void numbers_roll_over(unsigned asid_bits, unsigned harts)
{
    start(harts, asid_bits, SPACES_MAX);
    for (unsigned n = 0; n < SPACES_MAX; n++)
        map(n, VA, 8, n * 8, W | D);
    for (unsigned i = 0; i < 400; i++) {
        unsigned hart = (unsigned)ktap_random_below(harts),
                 n = (unsigned)ktap_random_below(SPACES_MAX);
        run_on(hart, n);
        EXPECT(asid_bits == 0 ? number(n) == 0 : number(n) < 1u << asid_bits);
        uint64_t i_page = ktap_random_below(8);
        EXPECT(sim_store(hart, VA + i_page * PAGE_BYTES, i));
        EXPECT_EQ(sim_page(), data_page(n * 8 + i_page));
        CHECK_ALL();
    }
}

KTAP_CASE(numbers_roll_over_with_1_bit)
{
    numbers_roll_over(1, 2);
}

KTAP_CASE(numbers_roll_over_with_2_bits)
{
    numbers_roll_over(2, 3);
}

KTAP_CASE(numbers_roll_over_with_3_bits)
{
    numbers_roll_over(3, 3);
    EXPECT(sw.space[0]->asid >> ASID_NUMBER_BITS > 2);
}

KTAP_CASE(without_numbers_each_switch_fences)
{
    numbers_roll_over(0, 2);
    uint64_t fences = tlb_fences();
    run_on(0, 1);
    run_on(0, 1);
    EXPECT_EQ(tlb_fences(), fences + 2);
}

KTAP_CASE(running_and_pinned_spaces_keep_their_numbers)
{
    start(2, 3, 8);
    map(0, VA, 1, 0, W | D);
    map(1, VA, 1, 1, W | D);
    kernel_lock();
    uint64_t pinned = space_pin(sw.space[0], harts[0]);
    space_pin(sw.space[0], harts[1]);
    kernel_unlock();
    run_on(1, 1);
    uint64_t running = tlb_satp(1), generation = sw.space[1]->asid >> ASID_NUMBER_BITS;
    EXPECT(sim_load(1, VA, NULL));
    for (unsigned i = 0; i < 40; i++) {
        run_on(0, 2 + i % 6);
        tlb_satp_load(0, pinned); /* as a straight path does */
        EXPECT(sim_load(0, VA, NULL));
        EXPECT_EQ(sim_page(), data_page(0));
        CHECK_ALL();
    }
    EXPECT(sw.space[1]->asid >> ASID_NUMBER_BITS > generation);
    EXPECT_EQ(number(1), satp_asid(running));
    EXPECT_EQ(number(0), satp_asid(pinned));
    EXPECT(sim_load(1, VA, NULL));
    EXPECT_EQ(harts[1]->asid_flush_wanted, 1);
    run_on(1, 2);
    EXPECT_EQ(harts[1]->asid_flush_wanted, 0);
    CHECK_ALL();
}

KTAP_CASE(destruction_releases_tables_in_bounded_steps)
{
    start(2, 16, 2);
    for (unsigned i = 0; i < 10; i++) {
        tables_for(0, VA + i * BLOCK_BYTES, 0);
        map(0, VA + i * BLOCK_BYTES, 512, i * 512, W | D);
    }
    tables_for(0, space_user_end - PAGE_BYTES, 0);
    struct batch_op op = op_map(VA + 20 * BLOCK_BYTES, 2, data_page(0), W | D);
    op.level = 1;
    EXPECT_EQ(op_on(0, op), 0);
    EXPECT_EQ(op_on(0, op_simple(BATCH_SOFTWARE, space_user_end - PAGE_BYTES, 1, 0x10)), 0);
    run_on(0, 0);
    run_on(1, 0);
    harts[0]->current = NULL; /* an in-kernel pager: this hart still has the root loaded */
    harts[1]->current = NULL;
    tlb_satp_load(1, arch_satp_kernel());
    EXPECT(sim_load(0, VA, NULL));
    unsigned steps = 1;
    while (WORLD_CALL(call_cap_delete, SELF_TABLE, SPACE_SLOT(0)) == -ERR_AGAIN) {
        EXPECT_EQ(WORLD_CALL(call_batch, SPACE_SLOT(0), 1), -ERR_RIGHTS);
        CHECK_ALL();
        steps++;
    }
    EXPECT(steps >= 10 && steps < 40);
    EXPECT(harts[0]->space_active == NULL && harts[1]->space_active == NULL);
    EXPECT_EQ(tlb_satp(0), arch_satp_kernel());
    EXPECT_EQ(block_count[data_page(0) >> TABLE_SHIFT], 0);
    CHECK_ALL();
}

KTAP_CASE(destruction_waits)
{
    start(1, 16, 2);
    struct space *s = sw.space[0];
    s->thread_count++;
    EXPECT_EQ(space_delete(0), -ERR_BUSY);
    s->thread_count--;
    space_lock(s);
    kernel_lock();
    EXPECT_EQ(space_destroy_step(s), -ERR_AGAIN);
    kernel_unlock();
    space_hold(s);
    space_unlock(s);
    kernel_lock();
    EXPECT_EQ(space_destroy_step(s), -ERR_AGAIN);
    EXPECT_EQ(s->dying, 0);
    space_drop_hold(s);
    kernel_unlock();
    EXPECT_EQ(space_delete(0), 0);
    CHECK_ALL();
}

KTAP_CASE(a_space_that_is_being_destroyed_is_gone)
{
    start(1, 16, 2);
    sw.space[0]->dying = 1;
    EXPECT_EQ(WORLD_CALL(call_batch, SPACE_SLOT(0), 0), -ERR_GONE);
    EXPECT_EQ(WORLD_CALL(call_space_drop, SPACE_SLOT(0), SLOT_MEMORY), -ERR_GONE);
    EXPECT_EQ(WORLD_CALL(call_space_copy, SPACE_SLOT(0), VA, VA, 8, 0), -ERR_GONE);
    EXPECT_EQ(WORLD_CALL(call_instruction_fence, SPACE_SLOT(0)), -ERR_GONE);
    EXPECT_EQ(sw.space[0]->lock, 0);
    EXPECT_EQ(world.space->lock, 0);
}

KTAP_CASE(drop_removes_every_mapping_of_an_extent)
{
    start(2, 16, 2);
    run_on(1, 0);
    uint32_t part = SLOT_FREE + 40;
    EXPECT_EQ(
        WORLD_CALL(call_cap_copy, SLOT_MEMORY, SELF_TABLE, part, RIGHT_WRITE, sw.data + 10, 600),
        0);
    vaddr_t far = space_user_end - BLOCK_BYTES;
    tables_for(0, far, 0);
    for (unsigned i = 1; i < 30; i++)
        tables_for(0, VA + i * BLOCK_BYTES, 0);
    map(0, VA, 20, 0, W | D);
    map(0, VA + 29 * BLOCK_BYTES, 4, 608, 0);
    map(0, far + 511 * PAGE_BYTES, 1, 600, 0);
    map(0, far + 510 * PAGE_BYTES, 1, 1600, 0);
    EXPECT_EQ(op_on(0, op_simple(BATCH_SOFTWARE, far, 1, ~ENTRY_SOFTWARE_FORBIDDEN)), 0);
    struct batch_op op = op_map(VA + 64 * BLOCK_BYTES, 3, data_page(0), W | D);
    op.level = 1;
    EXPECT_EQ(op_on(0, op), 0);
    EXPECT(sim_store(1, VA + 12 * PAGE_BYTES, 1));
    EXPECT(sim_store(1, VA + 65 * BLOCK_BYTES, 1));
    unsigned calls = 1;
    while (WORLD_CALL(call_space_drop, SPACE_SLOT(0), part) == -ERR_AGAIN) {
        CHECK_ALL();
        calls++;
    }
    EXPECT(calls > 1);
    for (unsigned i = 0; i < 20; i++)
        EXPECT_EQ(entry_of(0, VA + i * PAGE_BYTES, 0) != 0, i < 10);
    EXPECT(entry_of(0, VA + 29 * BLOCK_BYTES + PAGE_BYTES, 0) == 0);
    EXPECT(entry_of(0, VA + 29 * BLOCK_BYTES + 2 * PAGE_BYTES, 0) != 0);
    EXPECT_EQ(entry_of(0, far + 511 * PAGE_BYTES, 0), 0);
    EXPECT(entry_of(0, far + 510 * PAGE_BYTES, 0) != 0);
    EXPECT_EQ(entry_of(0, far, 0), ~ENTRY_SOFTWARE_FORBIDDEN);
    EXPECT_EQ(entry_of(0, VA + 64 * BLOCK_BYTES, 1), 0);
    EXPECT_EQ(entry_of(0, VA + 65 * BLOCK_BYTES, 1), 0);
    EXPECT(entry_of(0, VA + 66 * BLOCK_BYTES, 1) != 0);
    EXPECT(!sim_store(1, VA + 12 * PAGE_BYTES, 1));
    CHECK_ALL();
    /* A second drop of the same extent begins at the beginning. */
    map(0, VA + 12 * PAGE_BYTES, 1, 12, W | D);
    while (WORLD_CALL(call_space_drop, SPACE_SLOT(0), part) == -ERR_AGAIN)
        ;
    EXPECT_EQ(entry_of(0, VA + 12 * PAGE_BYTES, 0), 0);
    CHECK_ALL();
}

KTAP_CASE(drop_takes_a_64_kib_run_whole)
{
    space_world_start(&(struct machine_options){.asid_bits = 16,
                                                .features = BOOT_HAS_SVNAPOT,
                                                .pages = 4 * PAGES_PER_BLOCK},
                      1);
    tables_for(0, VA, 0);
    run_on(0, 0);
    EXPECT_EQ(op_on(0, op_map(VA, 32, data_page(0), ENTRY_N)), 0);
    EXPECT_EQ(WORLD_CALL(call_cap_copy, SLOT_MEMORY, SELF_TABLE, SLOT_FREE + 40, 0, sw.data + 3, 1),
              0);
    EXPECT(sim_load(0, VA + 9 * PAGE_BYTES, NULL));
    while (WORLD_CALL(call_space_drop, SPACE_SLOT(0), SLOT_FREE + 40) == -ERR_AGAIN)
        ;
    for (unsigned i = 0; i < 32; i++)
        EXPECT_EQ(entry_of(0, VA + i * PAGE_BYTES, 0) != 0, i >= 16);
    EXPECT(!sim_load(0, VA + 9 * PAGE_BYTES, NULL));
    CHECK_ALL();
}

KTAP_CASE(drop_is_refused)
{
    start(1, 16, 1);
    EXPECT_EQ(WORLD_CALL(call_space_drop, SLOT_MEMORY, SLOT_MEMORY), -ERR_TYPE);
    EXPECT_EQ(WORLD_CALL(call_space_drop, SPACE_SLOT(0), SPACE_SLOT(0)), -ERR_TYPE);
    EXPECT_EQ(WORLD_CALL(call_space_drop, SPACE_SLOT(0), SLOT_FREE + 99), -ERR_EMPTY);
    EXPECT_EQ(WORLD_CALL(call_cap_copy, SPACE_SLOT(0), SELF_TABLE, SLOT_FREE + 50, RIGHT_COPY), 0);
    EXPECT_EQ(WORLD_CALL(call_space_drop, SLOT_FREE + 50, SLOT_MEMORY), -ERR_RIGHTS);
    EXPECT_EQ(WORLD_CALL(call_instruction_fence, SLOT_FREE + 50), -ERR_RIGHTS);
    EXPECT_EQ(WORLD_CALL(call_instruction_fence, SLOT_MEMORY), -ERR_TYPE);
    EXPECT_EQ(sw.space[0]->lock, 0);
}

KTAP_CASE(instruction_fences_reach_all_in_the_end)
{
    start(3, 16, 2);
    run_on(1, 0);
    EXPECT_EQ(WORLD_CALL(call_instruction_fence, SPACE_SLOT(0)), 0);
    EXPECT_EQ(tlb_code_fences(0), 0);
    EXPECT_EQ(tlb_code_fences(1), 1);
    EXPECT_EQ(tlb_code_fences(2), 0);
    run_on(2, 1);
    EXPECT_EQ(tlb_code_fences(2), 0);
    run_on(2, 0);
    run_on(0, 0);
    run_on(2, 1);
    run_on(2, 0);
    EXPECT_EQ(tlb_code_fences(0), 1);
    EXPECT_EQ(tlb_code_fences(2), 1);
}

/* ---- copying: the caller's own space is space 0, the other one space 1 ---- */

#define LOCAL  VA
#define REMOTE (VA + 0x100000)

static void copy_start(void)
{
    start(2, 16, 2);
    struct thread *t = world.thread;
    TAILQ_REMOVE(&world.space->threads, t, mates);
    world.space->thread_count--;
    t->space = sw.space[0];
    TAILQ_INSERT_TAIL(&t->space->threads, t, mates);
    t->space->thread_count++;
    run_on(0, 0);
    run_on(1, 1);
    map(0, LOCAL, 32, 0, W);
    map(1, REMOTE, 32, 64, W);
}

static long copy(vaddr_t remote, vaddr_t local, uint64_t bytes, unsigned direction)
{
    long done = WORLD_CALL(call_space_copy, SPACE_SLOT(1), remote, local, bytes, direction);
    EXPECT_EQ(sw.space[0]->lock | sw.space[1]->lock, 0);
    CHECK_ALL();
    return done;
}

KTAP_CASE(copy_goes_both_ways_across_pages)
{
    copy_start();
    for (unsigned i = 0; i < 1024; i++)
        EXPECT(sim_store(0, LOCAL + i * 8, i));
    EXPECT_EQ(copy(REMOTE + 0x1808, LOCAL + 0x10, 0x1f00, COPY_TO_SPACE), 0x1f00);
    uint64_t value;
    for (unsigned i = 0; i < 0x1f00 / 8; i++) {
        EXPECT(sim_load(1, REMOTE + 0x1808 + i * 8, &value));
        EXPECT_EQ(value, i + 2);
    }
    EXPECT(entry_of(1, REMOTE + 0x1000, 0) & ENTRY_D);
    EXPECT(!(entry_of(1, REMOTE + 0x5000, 0) & ENTRY_D));
    EXPECT_EQ(copy(REMOTE + 0x1808, LOCAL + 0x8001, 16, COPY_FROM_SPACE), 16);
    EXPECT(entry_of(0, LOCAL + 0x8000, 0) & ENTRY_D);
    EXPECT_EQ(((uint8_t *)page_to_virt(data_page(8)))[1], 2);
    EXPECT_EQ(((uint8_t *)page_to_virt(data_page(8)))[9], 3);
    EXPECT_EQ(copy(REMOTE, LOCAL, 0, COPY_FROM_SPACE), 0);
    EXPECT_EQ(copy(REMOTE, LOCAL, 1UL << 40, COPY_FROM_SPACE), COPY_MAX_BYTES);
}

KTAP_CASE(copy_marks_pages_accessed)
{
    copy_start();
    EXPECT_EQ(op_on(1, op_simple(BATCH_CLEAR_BITS, REMOTE, 2, ENTRY_A)), 0);
    EXPECT_EQ(copy(REMOTE, LOCAL, 8, COPY_FROM_SPACE), 8);
    EXPECT(entry_of(1, REMOTE, 0) & ENTRY_A);
    EXPECT(!(entry_of(1, REMOTE, 0) & ENTRY_D));
    EXPECT(!(entry_of(1, REMOTE + PAGE_BYTES, 0) & ENTRY_A));
}

KTAP_CASE(copy_stops_short)
{
    copy_start();
    EXPECT_EQ(copy(REMOTE + 31 * PAGE_BYTES + 100, LOCAL, 5000, COPY_TO_SPACE), 3996);
    EXPECT_EQ(copy(REMOTE, LOCAL + 31 * PAGE_BYTES, 5000, COPY_TO_SPACE), 4096);
    EXPECT_EQ(copy(REMOTE - 1, LOCAL, 10, COPY_TO_SPACE), 0);
    EXPECT_EQ(copy(REMOTE, LOCAL - 1, 10, COPY_TO_SPACE), 0);
    EXPECT_EQ(copy(REMOTE + BLOCK_BYTES, LOCAL, 10, COPY_TO_SPACE), 0);
    EXPECT_EQ(copy(space_user_end, LOCAL, 10, COPY_TO_SPACE), 0);
    EXPECT_EQ(copy(-8UL, LOCAL, 16, COPY_TO_SPACE), 0);
    EXPECT_EQ(copy(REMOTE, ~0UL, 10, COPY_FROM_SPACE), 0);
    EXPECT_EQ(op_on(1, op_simple(BATCH_PROTECT, REMOTE + PAGE_BYTES, 1, 0)), 0);
    EXPECT_EQ(copy(REMOTE, LOCAL, 8192, COPY_TO_SPACE), 4096);
    EXPECT_EQ(copy(REMOTE, LOCAL, 8192, COPY_FROM_SPACE), 8192);
    EXPECT_EQ(op_on(0, op_simple(BATCH_PROTECT, LOCAL, 1, 0)), 0);
    EXPECT_EQ(copy(REMOTE, LOCAL, 8192, COPY_FROM_SPACE), 0);
    EXPECT_EQ(op_on(1, op_simple(BATCH_UNMAP, REMOTE + PAGE_BYTES, 1, 0)), 0);
    EXPECT_EQ(op_on(1, op_simple(BATCH_SOFTWARE, REMOTE + PAGE_BYTES, 1, 0xf0)), 0);
    EXPECT_EQ(copy(REMOTE, LOCAL, 8192, COPY_TO_SPACE), 4096);
}

KTAP_CASE(copy_is_refused)
{
    copy_start();
    EXPECT_EQ(WORLD_CALL(call_space_copy, SPACE_SLOT(1), REMOTE, LOCAL, 8, 2), -ERR_ARGUMENT);
    EXPECT_EQ(WORLD_CALL(call_space_copy, SLOT_MEMORY, REMOTE, LOCAL, 8, 0), -ERR_TYPE);
    EXPECT_EQ(WORLD_CALL(call_space_copy, ~0UL, REMOTE, LOCAL, 8, 0), -ERR_SLOT);
    EXPECT_EQ(WORLD_CALL(call_cap_copy, SPACE_SLOT(1), SELF_TABLE, SLOT_FREE + 50, RIGHT_MAP), 0);
    EXPECT_EQ(WORLD_CALL(call_space_copy, SLOT_FREE + 50, REMOTE, LOCAL, 8, 0), -ERR_RIGHTS);
    EXPECT_EQ(sw.space[0]->lock | sw.space[1]->lock, 0);
}

KTAP_CASE(copy_within_the_own_space_and_for_a_pager_in_the_kernel)
{
    copy_start();
    uint64_t value = 0;
    EXPECT(sim_store(0, LOCAL + 8, 99));
    EXPECT_EQ(WORLD_CALL(call_space_copy, SPACE_SLOT(0), LOCAL + 0x1008, LOCAL + 8, 8, 0), 8);
    EXPECT(sim_load(0, LOCAL + 0x1008, &value));
    EXPECT_EQ(value, 99);
    struct thread pager = *world.thread;
    pager.space = NULL;
    value = 0;
    EXPECT_EQ(WORLD_CALL_AS(&pager, call_space_copy, SPACE_SLOT(0), LOCAL + 8, &value, 8, 1), 8);
    EXPECT_EQ(value, 99);
    EXPECT_EQ(caller_copy_in(&pager, &value, (vaddr_t) & (uint64_t){5}, 8), 0);
    EXPECT_EQ(value, 5);
    CHECK_ALL();
}

KTAP_CASE(copy_through_large_leaves_and_runs)
{
    space_world_start(&(struct machine_options){.asid_bits = 16,
                                                .features = BOOT_HAS_SVNAPOT,
                                                .pages = 16 * PAGES_PER_BLOCK},
                      2);
    tables_for(0, VA, 0);
    tables_for(1, VA, 1);
    struct batch_op op = op_map(VA + BLOCK_BYTES, 1, data_page(512), W | D);
    op.level = 1;
    EXPECT_EQ(op_on(1, op), 0);
    EXPECT_EQ(op_on(0, op_map(VA, 16, data_page(16), W | D | ENTRY_N)), 0);
    world.thread->space = sw.space[0];
    strcpy(page_to_virt(data_page(512 + 77)), "a page of a large leaf");
    EXPECT_EQ(WORLD_CALL(call_space_copy, SPACE_SLOT(1), VA + BLOCK_BYTES + 77 * PAGE_BYTES,
                         VA + 9 * PAGE_BYTES, 32, COPY_FROM_SPACE),
              32);
    EXPECT(strcmp(page_to_virt(data_page(25)), "a page of a large leaf") == 0);
    world.thread->space = world.space;
    CHECK_ALL();
}

KTAP_CASE(the_callers_own_memory_is_all_or_nothing)
{
    copy_start();
    char buffer[5000], back[5000];
    memset(buffer, 0x5a, sizeof(buffer));
    memset(back, 0, sizeof(back));
    EXPECT_EQ(caller_copy_out(world.thread, LOCAL + 100, buffer, sizeof(buffer)), 0);
    EXPECT_EQ(caller_copy_in(world.thread, back, LOCAL + 100, sizeof(back)), 0);
    EXPECT(memcmp(buffer, back, sizeof(back)) == 0);
    EXPECT_EQ(caller_copy_out(world.thread, LOCAL + 31 * PAGE_BYTES, buffer, 4097), -ERR_ADDRESS);
    EXPECT_EQ(*(uint64_t *)page_to_virt(data_page(31)), 0);
    EXPECT_EQ(caller_copy_in(world.thread, back, -8UL, 16), -ERR_ADDRESS);
    EXPECT_EQ(caller_copy_in(world.thread, back, 0, 1), -ERR_ADDRESS);
    EXPECT_EQ(op_on(0, op_simple(BATCH_PROTECT, LOCAL, 1, 0)), 0);
    EXPECT_EQ(caller_copy_in(world.thread, back, LOCAL, 8), 0);
    EXPECT_EQ(caller_copy_out(world.thread, LOCAL, buffer, 8), -ERR_ADDRESS);
    EXPECT_EQ(caller_copy_out(world.thread, LOCAL, buffer, 0), 0);
    CHECK_ALL();
}

/* ---- the memory server's linear map ---- */

static uint64_t *linear_slot(pfn_t page, unsigned level)
{
    unsigned found;
    return space_slot(sw.space[0], SPACE_LINEAR_BASE + (page << PAGE_SHIFT), level, &found);
}

KTAP_CASE(the_linear_map_follows_the_class_of_blocks)
{
    start(2, 16, 1);
    struct space *s = sw.space[0];
    pfn_t large = data_page(512), small = data_page(1024);
    vaddr_t at = SPACE_LINEAR_BASE + (large << PAGE_SHIFT), at_small = at + BLOCK_BYTES;
    tables_for(0, at, 1);
    tables_for(0, at_small, 0);
    *linear_slot(large, 1) = entry_make(large, ENTRY_ALWAYS | W | D);
    for (unsigned i = 0; i < 512; i++)
        *linear_slot(small + i, 0) = entry_make(small + i, ENTRY_ALWAYS | W | D);
    s->linear_end = SPACE_LINEAR_BASE + (block_total << BLOCK_SHIFT);
    space_server = s;
    run_on(0, 0);
    run_on(1, 0);
    for (unsigned h = 0; h < 2; h++) {
        EXPECT(sim_store(h, at + 8, 1));
        EXPECT(sim_store(h, at_small + 5 * PAGE_BYTES, 1));
    }
    pfn_t first = world.first;
    EXPECT_EQ(WORLD_CALL(call_block_class, SLOT_MEMORY, large - first, BLOCK_TABLES), 0);
    EXPECT_EQ(WORLD_CALL(call_block_class, SLOT_MEMORY, small - first, BLOCK_TABLES), 0);
    EXPECT_EQ(tlb_check_all(), 0);
    for (unsigned h = 0; h < 2; h++) {
        EXPECT(sim_load(h, at + 8, NULL));
        EXPECT(!sim_store(h, at + 8, 1));
        EXPECT(!sim_store(h, at_small + 5 * PAGE_BYTES, 1));
    }
    EXPECT_EQ(WORLD_CALL(call_block_class, SLOT_MEMORY, large - first, BLOCK_DATA), 0);
    EXPECT(sim_store(1, at + 8, 1));
    EXPECT(!sim_store(1, at_small + 5 * PAGE_BYTES, 1));
    EXPECT_EQ(tlb_check_all(), 0);
}

KTAP_CASE(a_batch_without_its_fence_is_pending)
{
    start(2, 16, 1);
    EXPECT(!gather_pending());
    gather_open(harts[1]);
    EXPECT(gather_pending());
    machine_hart_select(1);
    EXPECT(!gather_pending());
    gather_close(harts[1]);
    machine_hart_select(0);
    EXPECT(!gather_pending());
}
