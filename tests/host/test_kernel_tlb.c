/*
 * The shadow TLB: that it remembers and forgets as hardware may, that a missing or wrong fence is
 * reported (each fence of the kernel is spoilt in turn), and that correct kernel operations are
 * not.
 */
#include "space_world.h"
#include "ktap.h"

#include <string.h>

#define VA 0x40000000UL
#define W  ENTRY_W
#define D  ENTRY_D

static void start_with(struct machine_options o, unsigned spaces)
{
    o.pages = 16 * PAGES_PER_BLOCK;
    space_world_start(&o, spaces);
    for (unsigned n = 0; n < spaces; n++) {
        tables_for(n, VA, 0);
        EXPECT_EQ(op_on(n, op_map(VA, 16, data_page(n * 16), W)), 0);
    }
}

static void start(void)
{
    start_with((struct machine_options){.harts = 3, .asid_bits = 16}, 3);
}

static uint64_t *slot(unsigned n, vaddr_t address, unsigned level)
{
    unsigned found;
    return space_slot(sw.space[n], address, level, &found);
}

/* The access went through, and was reported; start anew from there. */
static void reported(bool went_through)
{
    EXPECT(went_through);
    EXPECT(tlb_reports() > 0);
    EXPECT(tlb_first_report()[0] != 0);
    tlb_reports_clear();
}

KTAP_CASE(accesses_walk_the_tables_and_mark_entries)
{
    start();
    EXPECT(!sim_load(0, VA, NULL)); /* no satp */
    run_on(0, 0);
    EXPECT_EQ(op_on(0, op_simple(BATCH_CLEAR_BITS, VA, 16, ENTRY_A)), 0);
    EXPECT(sim_load(0, VA, NULL));
    EXPECT_EQ(*slot(0, VA, 0), entry_make(data_page(0), ENTRY_ALWAYS | W));
    EXPECT(sim_store(0, VA + 8, 3));
    EXPECT_EQ(*slot(0, VA, 0), entry_make(data_page(0), ENTRY_ALWAYS | W | D));
    EXPECT_EQ(*slot(0, VA + PAGE_BYTES, 0) & ENTRY_A, 0);
    EXPECT(!sim_fetch(0, VA));
    EXPECT(!sim_load(0, VA + 16 * PAGE_BYTES, NULL));
    EXPECT(!sim_load(0, VA + BLOCK_BYTES, NULL));
    EXPECT(!sim_load(0, space_user_end, NULL));
    uint64_t value;
    EXPECT(sim_load(0, VA + 8, &value));
    EXPECT_EQ(value, 3);
    CHECK_ALL();
}

KTAP_CASE(entries_changed_behind_the_kernel_are_reported)
{
    start();
    run_on(0, 0);
    EXPECT(sim_store(0, VA, 1));
    uint64_t entry = *slot(0, VA, 0);

    *slot(0, VA, 0) = 0;
    reported(sim_load(0, VA, NULL));
    reported(tlb_check_all() != 0);
    *slot(0, VA, 0) = entry & ~W;
    reported(sim_store(0, VA, 1));
    reported(tlb_check_all() != 0);
    *slot(0, VA, 0) = entry & ~D;
    reported(tlb_check_all() != 0);
    *slot(0, VA, 0) = entry & ~ENTRY_A;
    reported(tlb_check_all() != 0);
    *slot(0, VA, 0) = entry + (1UL << ENTRY_PAGE_SHIFT);
    reported(sim_load(0, VA, NULL));
    EXPECT_EQ(sim_page(), data_page(0)); /* what it remembers */
    reported(tlb_check_all() != 0);
    *slot(0, VA, 0) = entry | ENTRY_PBMT_NC;
    reported(tlb_check_all() != 0);
    *slot(0, VA, 0) = entry | ENTRY_X | ENTRY_SOFT0;
    EXPECT_EQ(tlb_check_all(), 0);

    uint64_t table = *slot(0, VA, 1);
    *slot(0, VA, 1) = 0;
    reported(sim_load(0, VA, NULL));
    reported(sim_load(0, VA + PAGE_BYTES, NULL)); /* a walk from the table that it remembers */
    *slot(0, VA, 1) = table;
    *slot(0, VA, 0) = entry;
    CHECK_ALL();
}

KTAP_CASE(global_entries_and_writable_tables_are_reported)
{
    start();
    run_on(0, 0);
    *slot(0, VA, 0) |= ENTRY_G;
    EXPECT(sim_load(0, VA, NULL));
    reported(tlb_check_all() != 0);
    arch_fence_asid(satp_asid(tlb_satp(0)));
    reported(sim_load(0, VA, NULL));
    arch_fence_all();
    *slot(0, VA, 0) = entry_make(world.first + 1, ENTRY_ALWAYS | W);
    EXPECT(sim_load(0, VA, NULL));
    reported(tlb_check_all() != 0);
}

KTAP_CASE(a_number_used_twice_is_reported)
{
    start();
    run_on(0, 0);
    EXPECT(sim_load(0, VA, NULL));
    uint64_t satp = arch_satp(sw.space[1]->root_pfn, satp_asid(tlb_satp(0)));
    tlb_satp_load(0, satp);
    reported(sim_load(0, VA, NULL));
    EXPECT_EQ(sim_page(), data_page(0)); /* the other space's */
    reported(tlb_check_all() != 0);
}

KTAP_CASE(fences_take_what_they_name)
{
    start();
    run_on(0, 0);
    uint64_t asid = satp_asid(tlb_satp(0));
    for (unsigned i = 0; i < 4; i++)
        EXPECT(sim_load(0, VA + i * PAGE_BYTES, NULL));
    EXPECT_EQ(tlb_entries(0), 6); /* two tables, four leaves */
    arch_fence_range(asid, VA + PAGE_BYTES, VA + 3 * PAGE_BYTES);
    EXPECT_EQ(tlb_entries(0), 4);
    arch_fence_range(asid + 1, VA, VA + 3 * PAGE_BYTES);
    arch_fence_range_remote(6, asid, VA, VA + 3 * PAGE_BYTES);
    arch_fence_asid(asid + 1);
    arch_fence_asid_remote(6, asid);
    EXPECT_EQ(tlb_entries(0), 4);
    arch_fence_range(asid, 0, ~0UL);
    EXPECT_EQ(tlb_entries(0), 2);
    arch_fence_asid_remote(1, asid);
    EXPECT_EQ(tlb_entries(0), 0);
}

/* ---- each fence of the kernel is needed: spoil it, and it is reported ---- */

static void simple(enum batch_code code, uint32_t count, uint64_t entry)
{
    EXPECT_EQ(op_on(0, op_simple(code, VA, count, entry)), 0);
}

static void all_touch(void)
{
    for (unsigned h = 0; h < harts_online; h++)
        for (unsigned i = 0; i < 16; i++)
            sim_store(h, VA + i * PAGE_BYTES, 1);
}

static void all_run(unsigned n)
{
    for (unsigned h = 0; h < harts_online; h++)
        run_on(h, n);
    all_touch();
}

static void do_unmap(void)
{
    simple(BATCH_UNMAP, 16, 0);
}

static void do_unmap_much(void)
{
    simple(BATCH_UNMAP, 512, 0);
}

static void do_protect(void)
{
    simple(BATCH_PROTECT, 16, D);
}

static void do_clear_dirty(void)
{
    simple(BATCH_CLEAR_BITS, 16, D);
}

static void do_replace(void)
{
    struct batch_op op = op_simple(BATCH_REPLACE, VA, 1, entry_make(data_page(900), W | D));
    op.extra = entry_of(0, VA, 0);
    EXPECT_EQ(op_on(0, op), 0);
}

static void do_table_remove(void)
{
    struct batch_op *op = operation_page()->op;
    long error;
    op[0] = op_simple(BATCH_UNMAP, VA, 512, 0);
    op[1] = op_simple(BATCH_TABLE_REMOVE, VA, 0, 0);
    op[1].level = 1;
    EXPECT_EQ(batch_on(0, 2, &error), 2);
}

static void do_table_drop(void)
{
    struct batch_op op = op_simple(BATCH_TABLE_DROP, VA, 0, 0);
    op.level = 1;
    EXPECT_EQ(op_on(0, op), 0);
}

static void do_drop(void)
{
    while (WORLD_CALL(call_space_drop, SPACE_SLOT(0), SLOT_MEMORY) == -ERR_AGAIN)
        ;
}

/* Space 0 is the source; the fork is made for space 1. */
static void do_copy_table(void)
{
    EXPECT_EQ(op_on(1, op_simple(BATCH_UNMAP, VA, 16, 0)), 0);
    struct batch_op op = op_simple(BATCH_COPY_TABLE, VA, TABLE_ENTRIES, 0);
    op.extra = SPACE_SLOT(0);
    EXPECT_EQ(op_on(1, op), 0);
}

/* All harts go elsewhere before the change, and come back. */
static void do_come_back(void)
{
    simple(BATCH_UNMAP, 16, 0);
    for (unsigned h = 0; h < harts_online; h++)
        run_on(h, 0);
}

/* A space's pages are unmapped while nothing runs it; then a worker is bound in it. */
static void do_pin(void)
{
    simple(BATCH_UNMAP, 16, 0);
    kernel_lock();
    for (unsigned h = 0; h < harts_online; h++)
        space_pin(sw.space[0], harts[h]);
    kernel_unlock();
}

struct scenario {
    const char *name;
    unsigned running; /* space that all harts run when the operation begins */
    void (*operation)(void);
    unsigned spoils; /* mask of enum tlb_sabotage */
};

#define EVERY (1u << TLB_DROP | 1u << TLB_WRONG_ASID | 1u << TLB_WRONG_RANGE | 1u << TLB_WRONG_HART)

static const struct scenario scenarios[] = {
    {"unmap", 0, do_unmap, EVERY},
    {"unmap much", 0, do_unmap_much, EVERY},
    {"protect", 0, do_protect, EVERY},
    {"clear dirty", 0, do_clear_dirty, EVERY},
    {"replace", 0, do_replace, EVERY},
    {"remove a table", 0, do_table_remove, EVERY | 1u << TLB_LEAVES_ONLY},
    {"drop a table", 0, do_table_drop, EVERY | 1u << TLB_LEAVES_ONLY},
    {"drop", 0, do_drop, EVERY},
    {"copy a table", 0, do_copy_table, EVERY},
    {"come back", 1, do_come_back, EVERY},
    {"bind a worker", 1, do_pin, 1u << TLB_DROP | 1u << TLB_WRONG_ASID | 1u << TLB_WRONG_HART},
};

static void set_up(const struct scenario *s)
{
    start();
    all_run(0);
    if (s->operation == do_unmap_much) {
        EXPECT_EQ(op_on(0, op_map(VA + 16 * PAGE_BYTES, 400, data_page(512), W)), 0);
        for (unsigned i = 16; i < 400; i++)
            for (unsigned h = 0; h < harts_online; h++)
                EXPECT(sim_load(h, VA + i * PAGE_BYTES, NULL));
    }
    if (s->running != 0)
        all_run(s->running);
    CHECK_ALL();
}

static uint64_t spoilt(const struct scenario *s, enum tlb_sabotage how, uint64_t nth)
{
    set_up(s);
    uint64_t before = tlb_fences();
    tlb_sabotage(how, nth);
    s->operation();
    uint64_t fences = tlb_fences() - before;
    tlb_check_all();
    return fences;
}

KTAP_CASE(each_fence_is_needed)
{
    for (unsigned i = 0; i < sizeof(scenarios) / sizeof(*scenarios); i++) {
        const struct scenario *s = &scenarios[i];
        uint64_t fences = spoilt(s, TLB_HONEST, 0);
        EXPECT_EQ(tlb_reports(), 0);
        EXPECT(fences >= 1 && fences <= harts_online);
        for (uint64_t nth = 0; nth < fences; nth++)
            for (unsigned how = TLB_DROP; how <= TLB_LEAVES_ONLY; how++) {
                if (!(s->spoils >> how & 1))
                    continue;
                spoilt(s, (enum tlb_sabotage)how, nth);
                if (tlb_reports() == 0)
                    ktap_note("%s: fence %lu of %lu spoilt by %u", s->name, (unsigned long)nth,
                              (unsigned long)fences, how);
                EXPECT(tlb_reports() > 0);
            }
    }
}

/* Numbers are used up, and space 0 gets one that space 2 had; the flush for it is spoilt. */
static uint64_t reuse_numbers(enum tlb_sabotage how)
{
    start_with((struct machine_options){.harts = 1, .asid_bits = 2}, 5);
    uint64_t at = 0;
    for (unsigned i = 0; i < 12; i++) {
        uint64_t before = tlb_fences();
        if (i >= 3 && at < 3)
            tlb_sabotage(how, 0);
        run_on(0, i % 5);
        if (tlb_fences() != before)
            at = i;
        for (unsigned page = 0; page < 16; page++)
            sim_load(0, VA + page * PAGE_BYTES, NULL);
        tlb_check_all();
    }
    return at;
}

KTAP_CASE(a_rollover_without_its_flush_is_reported)
{
    EXPECT(reuse_numbers(TLB_HONEST) != 0);
    EXPECT_EQ(tlb_reports(), 0);
    EXPECT(reuse_numbers(TLB_DROP) != 0);
    EXPECT(tlb_reports() > 0);
    EXPECT(reuse_numbers(TLB_WRONG_RANGE) != 0);
    EXPECT(tlb_reports() > 0);
}

/* Without numbers each switch must fence. */
static void switch_without_numbers(enum tlb_sabotage how)
{
    start_with((struct machine_options){.harts = 1, .asid_bits = 0}, 2);
    run_on(0, 0);
    EXPECT(sim_load(0, VA, NULL));
    tlb_sabotage(how, 0);
    run_on(0, 1);
    sim_load(0, VA, NULL);
    tlb_check_all();
}

KTAP_CASE(a_switch_without_numbers_and_fence_is_reported)
{
    switch_without_numbers(TLB_HONEST);
    EXPECT_EQ(tlb_reports(), 0);
    EXPECT_EQ(sim_page(), data_page(16));
    switch_without_numbers(TLB_DROP);
    EXPECT(tlb_reports() > 0);
}

/* A block becomes tables while another hart still remembers a mapping into it. */
static void change_class(enum tlb_sabotage how, uint64_t nth)
{
    start();
    run_on(0, 0);
    run_on(1, 1);
    run_on(2, 1);
    all_touch();
    unsigned found;
    for (unsigned n = 0; n < 2; n++) { /* as a batch that has not yet fenced has left it */
        memset(space_slot(sw.space[n], VA, 0, &found), 0, 16 * sizeof(uint64_t));
        block_put_n(data_page(0), 16);
    }
    EXPECT_EQ(op_on(2, op_simple(BATCH_UNMAP, VA, 16, 0)), 0);
    tlb_sabotage(how, nth);
    EXPECT_EQ(WORLD_CALL(call_block_class, SLOT_MEMORY, sw.data, BLOCK_TABLES), 0);
    tlb_check_all();
}

KTAP_CASE(a_change_of_class_fences_everything)
{
    change_class(TLB_HONEST, 0);
    EXPECT_EQ(tlb_reports(), 0);
    for (uint64_t nth = 0; nth < 2; nth++) {
        change_class(TLB_DROP, nth);
        EXPECT(tlb_reports() > 0);
        change_class(TLB_WRONG_HART, nth);
        EXPECT(tlb_reports() > 0);
    }
}
