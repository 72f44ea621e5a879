/* Fault outcomes of the memory server, on the simulated machine. */
#include "core_world.h"
#include "mmserver/core/zone.h"

#define RW (PROT_READ | PROT_WRITE)

static struct client *program;

static void open_world(void)
{
    core_world_boot(&(struct world){.harts = 2});
    program = core_world_program(0);
}

static void expect_signal(vaddr_t at, enum sim_access access, uint32_t signal, uint32_t code)
{
    struct sim_outcome o = sim_access(program, at, access, NULL);

    EXPECT(!o.done);
    EXPECT_EQ(o.signal, signal);
    EXPECT_EQ(o.code, code);
}

static uint8_t load(vaddr_t at)
{
    uint8_t value = 0xee;

    EXPECT(sim_access(program, at, SIM_READ, &value).done);
    return value;
}

static void store(vaddr_t at, uint8_t value)
{
    EXPECT(sim_access(program, at, SIM_WRITE, &value).done);
}

KTAP_CASE(core_fault_anonymous)
{
    open_world();
    vaddr_t at = core_world_mmap(program, 0, 64 * PAGE_BYTES, RW, 0);

    EXPECT_EQ(load(at), 0);
    store(at, 7);
    EXPECT_EQ(load(at), 7);
    store(at + PAGE_BYTES, 8);
    sim_idle(0);
    store(at + 2 * PAGE_BYTES, 9);
    EXPECT_EQ(load(at + PAGE_BYTES), 8);
    EXPECT_EQ(load(at + 2 * PAGE_BYTES), 9);
    EXPECT_EQ(load(at + 2 * PAGE_BYTES + 1), 0);
    core_world_check();
}

/* Empty leaf tables that are kept go under pressure, but not of a space that is in use. */
KTAP_CASE(core_fault_kept_tables_under_pressure)
{
    open_world();
    struct worker *w = sim_worker(0);
    struct mm *mm = program->mm;
    vaddr_t at = core_world_mmap(program, 0x10000000, PAGE_BYTES, RW, MAP_FIXED);

    store(at, 1);
    uint64_t tables = mm->tables;
    EXPECT_EQ(core_world_call(program, NR_munmap, at, PAGE_BYTES, 0, 0, 0), 0);
    EXPECT_EQ(mm->tables, tables);
    mm_lock(mm);
    EXPECT_EQ(mm_shrinker.scan(w, 64), 0);
    mm_unlock(mm);
    mm_read(w, mm);
    EXPECT_EQ(mm_shrinker.scan(w, 64), 0);
    mm_read_end(w);
    EXPECT_EQ(mm->tables, tables);
    EXPECT_EQ(mm_shrinker.scan(w, 64), 1);
    EXPECT(mm->tables < tables);
    EXPECT_EQ(mm_shrinker.scan(w, 64), 0);
    core_world_check();
    EXPECT_EQ(core_world_mmap(program, at, PAGE_BYTES, RW, MAP_FIXED), at);
    store(at, 2);
    core_world_end(program);
    core_world_check();
}

KTAP_CASE(core_fault_bad_accesses)
{
    open_world();
    vaddr_t at = core_world_mmap(program, 0, 4 * PAGE_BYTES, PROT_READ, 0);

    expect_signal(at, SIM_WRITE, LINUX_SIGSEGV, SEGV_ACCERR);
    expect_signal(at, SIM_FETCH, LINUX_SIGSEGV, SEGV_ACCERR);
    expect_signal(at + 4 * PAGE_BYTES, SIM_READ, LINUX_SIGSEGV, SEGV_MAPERR);
    expect_signal(0, SIM_READ, LINUX_SIGSEGV, SEGV_MAPERR);
    expect_signal(~0UL - 7, SIM_READ, LINUX_SIGSEGV, SEGV_MAPERR);
    expect_signal(sim_boot_info()->user_end, SIM_WRITE, LINUX_SIGSEGV, SEGV_MAPERR);
    EXPECT_EQ(core_world_call(program, NR_mprotect, at, PAGE_BYTES, PROT_NONE, 0, 0), 0);
    expect_signal(at, SIM_READ, LINUX_SIGSEGV, SEGV_ACCERR);
    core_world_check();
}

KTAP_CASE(core_fault_inaccessible_page_keeps_its_content)
{
    open_world();
    vaddr_t at = core_world_mmap(program, 0, 8 * PAGE_BYTES, RW, 0);

    store(at, 1);
    store(at + PAGE_BYTES, 2);
    load(at + 2 * PAGE_BYTES);
    EXPECT_EQ(core_world_call(program, NR_mprotect, at, 8 * PAGE_BYTES, PROT_NONE, 0, 0), 0);
    EXPECT_EQ(program->mm->parked, 3);
    core_world_check();
    EXPECT_EQ(core_world_call(program, NR_mprotect, at, 8 * PAGE_BYTES, RW, 0, 0), 0);
    EXPECT_EQ(load(at), 1);
    store(at + PAGE_BYTES, 3);
    EXPECT_EQ(program->mm->parked, 0);
    EXPECT_EQ(core_world_call(program, NR_mprotect, at, PAGE_BYTES, PROT_NONE, 0, 0), 0);
    EXPECT_EQ(core_world_call(program, NR_munmap, at, 8 * PAGE_BYTES, 0, 0, 0), 0);
    core_world_check();
}

KTAP_CASE(core_fault_read_only_again_and_back)
{
    open_world();
    vaddr_t at = core_world_mmap(program, 0, 4 * PAGE_BYTES, RW, 0);

    store(at, 5);
    EXPECT_EQ(core_world_call(program, NR_mprotect, at, PAGE_BYTES, PROT_READ, 0, 0), 0);
    expect_signal(at, SIM_WRITE, LINUX_SIGSEGV, SEGV_ACCERR);
    EXPECT_EQ(load(at), 5);
    EXPECT_EQ(core_world_call(program, NR_mprotect, at, PAGE_BYTES, RW | PROT_EXEC, 0, 0), 0);
    EXPECT(sim_access(program, at, SIM_FETCH, NULL).done);
    store(at, 6);
    EXPECT_EQ(load(at), 6);
    core_world_check();
}

KTAP_CASE(core_fault_stack_grows_to_its_limit)
{
    open_world();
    vaddr_t top = PAGE_DOWN(program->mm->stack_top - 1);
    vaddr_t lowest = program->mm->stack_top - STACK_LIMIT_BYTES;

    store(top - (1UL << 20), 1);
    store(lowest, 2);
    expect_signal(lowest - 1, SIM_WRITE, LINUX_SIGSEGV, SEGV_MAPERR);
    core_world_check();
}

KTAP_CASE(core_fault_stack_keeps_its_distance)
{
    open_world();
    vaddr_t below = program->mm->stack_top - (2UL << 20);

    EXPECT_EQ(core_world_mmap(program, below, PAGE_BYTES, RW, MAP_FIXED), below);
    store(below + PAGE_BYTES + STACK_GUARD_BYTES, 1);
    expect_signal(below + STACK_GUARD_BYTES - 1, SIM_WRITE, LINUX_SIGSEGV, SEGV_MAPERR);
    core_world_check();
}

KTAP_CASE(core_fault_file_pages_are_shared_and_copied)
{
    open_world();
    struct client *other = core_world_program(1);
    vaddr_t at = core_world_map_file(program, PROT_READ | PROT_WRITE, MAP_PRIVATE, 3 * PAGE_BYTES);
    vaddr_t there = core_world_map_file(other, PROT_READ, MAP_PRIVATE, 3 * PAGE_BYTES);
    uint8_t value = 0;

    EXPECT_EQ(load(at + 5), core_world_file_byte(5));
    EXPECT(sim_access(other, there + 5, SIM_READ, &value).done);
    EXPECT_EQ(value, core_world_file_byte(5));
    store(at + 5, 0x55);
    EXPECT_EQ(load(at + 5), 0x55);
    EXPECT_EQ(load(at + 6), core_world_file_byte(6));
    EXPECT(sim_access(other, there + 5, SIM_READ, &value).done);
    EXPECT_EQ(value, core_world_file_byte(5));
    store(at + PAGE_BYTES, 1);                 /* a copy without a read before */
    EXPECT_EQ(load(at + WORLD_FILE_BYTES), 0); /* behind the end, in its last page */
    expect_signal(at + PAGE_UP(WORLD_FILE_BYTES), SIM_READ, LINUX_SIGBUS, BUS_ADRERR);
    core_world_check();
    core_world_end(other);
    core_world_check();
}

/* The other hart's page stands in the entry when the reply comes. */
KTAP_CASE(core_fault_refused_reply_is_undone)
{
    open_world();
    vaddr_t at = core_world_mmap(program, 0, 8 * PAGE_BYTES, RW, 0);

    for (unsigned i = 0; i < 8; i++) {
        sim_race_next_reply();
        if (i & 1)
            store(at + i * PAGE_BYTES, (uint8_t)i);
        else
            EXPECT_EQ(load(at + i * PAGE_BYTES), 0);
    }
    core_world_check();
}

/* All faults so far, as vmstat adds them up. */
static uint64_t faults_counted(void)
{
    uint64_t sum = 0;

    for (unsigned i = MMCOUNT_fault_anon_prezeroed; i <= MMCOUNT_fault_spurious; i++)
        sum += i == MMCOUNT_fault_anon_prezeroed ? fault_prezeroed_count(sim_worker(0))
                                                 : sim_worker(0)->count[i];
    return sum;
}

/* The kernel takes no straight answer while the worker has more to attend to. A fault that is
 * answered at the second try is one fault, whatever it was about to do. */
KTAP_CASE(core_fault_refused_reply_counts_once)
{
    open_world();
    vaddr_t at = core_world_mmap(program, 0, 8 * PAGE_BYTES, RW, 0);
    struct client *child = NULL;

    for (unsigned way = 0; way < 5; way++) { /* new, read, zero page, copy, reuse */
        if (way == 3)
            child = core_world_fork(program, 0);
        if (way == 4)
            EXPECT(sim_access(child, at + PAGE_BYTES, SIM_WRITE, &(uint8_t){3}).done);
        uint64_t faults = program->minor_faults, counted = faults_counted();
        uint64_t told = sim_worker(0)->ring_next;
        sim_fail_call(1);
        if (way == 1)
            EXPECT_EQ(load(at + PAGE_BYTES), 0);
        else
            store(at + (way == 2 || way == 4) * PAGE_BYTES, (uint8_t)way);
        EXPECT(sim_failed());
        sim_fail_call(0);
        EXPECT_EQ(program->minor_faults - faults, 1);
        EXPECT_EQ(faults_counted() - counted, 1);
        EXPECT_EQ(sim_worker(0)->ring_next - told, 1);
        core_world_check();
    }
    core_world_end(child);
    core_world_check();
}

KTAP_CASE(core_fault_out_of_memory_is_a_signal)
{
    core_world_boot(&(struct world){.harts = 1, .memory_pages = 6 * PAGES_PER_BLOCK});
    program = core_world_program(0);
    vaddr_t at = core_world_mmap(program, 0, 64UL << 20, RW, MAP_NORESERVE);
    struct sim_outcome o = {.done = true};

    for (vaddr_t a = at; o.done && a < at + (64UL << 20); a += PAGE_BYTES)
        o = sim_access(program, a, SIM_WRITE, NULL);
    EXPECT(!o.done);
    EXPECT_EQ(o.signal, LINUX_SIGKILL);
    core_world_check();
    EXPECT_EQ(core_world_call(program, NR_munmap, at, 64UL << 20, 0, 0, 0), 0);
    store(program->mm->stack_top - 4096, 1);
    core_world_check();
}

/*
 * A reply of hart 1 is under way while hart 0 takes away what it is for: hart 0 has to wait for it,
 * or the page would be mapped where nothing is any more.
 */
static void take_away(bool write, bool fails)
{
    open_world();
    struct client *other = core_world_thread(program, 1);
    vaddr_t at = core_world_mmap(program, 0, 16 * PAGE_BYTES, RW, 0);

    store(at + PAGE_BYTES, 1);
    sim_hold_next_reply(fails);
    EXPECT(!sim_access(other, at + 2 * PAGE_BYTES, write ? SIM_WRITE : SIM_READ, NULL).done);
    EXPECT(sim_reply_is_held());
    EXPECT_EQ(core_world_call(program, NR_munmap, at, 16 * PAGE_BYTES, 0, 0, 0), 0);
    EXPECT(!sim_reply_is_held());
    if (fails)
        EXPECT_EQ(answer_kind(sim_held_goes_on()), ANSWER_PARK);
    core_world_check();
    expect_signal(at + 2 * PAGE_BYTES, SIM_READ, LINUX_SIGSEGV, SEGV_MAPERR);
    EXPECT_EQ(core_world_call(core_world_personality(), MM_THREAD_DESTROY, other->id, 0, 0, 0, 0),
              0);
    core_world_end(program);
    core_world_check();
}

static unsigned waited;

/* The lock goes at the third look; until then the reader must not show itself. */
static void reader_waits(void)
{
    struct worker *w = sim_worker(1);

    EXPECT_EQ(w->visit.at, VISIT_OVER);
    if (waited++)
        EXPECT(!w->visit.mm);
    w->visit.mm = NULL;
    if (waited == 3)
        lock_let_go(&program->mm->lock);
}

/* Else a writer, who has the lock and waits for readers, may meet the same one again and again. */
KTAP_CASE(core_reader_waits_unseen)
{
    open_world();
    waited = 0;
    EXPECT(lock_seize(&program->mm->lock));
    sim_on_relax(reader_waits);
    mm_read(sim_worker(1), program->mm);
    sim_on_relax(NULL);
    EXPECT_EQ(waited, 3);
    EXPECT(sim_worker(1)->visit.mm == program->mm);
    mm_read_end(sim_worker(1));
    core_world_check();
}

KTAP_CASE(core_settle_waits_for_a_page_on_its_way)
{
    take_away(true, false);
}

KTAP_CASE(core_settle_waits_for_a_zero_page_on_its_way)
{
    take_away(false, false);
}

KTAP_CASE(core_settle_takes_back_a_refused_page)
{
    take_away(true, true);
}

KTAP_CASE(core_settle_takes_back_a_refused_zero_page)
{
    take_away(false, true);
}

/* Both harts fault on one page; the slower reply finds it there. */
KTAP_CASE(core_fault_on_one_page_twice)
{
    open_world();
    struct client *other = core_world_thread(program, 1);
    vaddr_t at = core_world_mmap(program, 0, 16 * PAGE_BYTES, RW, 0);

    store(at + PAGE_BYTES, 1); /* the tables are there */
    sim_hold_next_reply(true);
    EXPECT(!sim_access(other, at, SIM_WRITE, NULL).done);
    store(at, 5);
    EXPECT_EQ(answer_kind(sim_held_goes_on()), ANSWER_PARK);
    EXPECT_EQ(load(at), 5);
    core_world_check();
}

/*
 * Replies that are batches, held half-way while the other hart takes away what they are for: the
 * tables and the page; a page in place of the zero page.
 */
enum batch_reply { REPLY_TABLES, REPLY_ZERO_REPLACED };

static void take_away_batch(enum batch_reply kind, bool fails)
{
    open_world();
    struct client *other = core_world_thread(program, 1);
    vaddr_t at = core_world_mmap(program, 0x20000000, 16 * PAGE_BYTES, RW, MAP_FIXED);
    uint64_t before = program->mm->anon_pages;

    if (kind == REPLY_ZERO_REPLACED)
        load(at);
    sim_hold_next_reply(fails);
    EXPECT(!sim_access(other, at, SIM_WRITE, NULL).done);
    EXPECT(sim_reply_is_held());
    EXPECT_EQ(core_world_call(program, NR_munmap, at, 16 * PAGE_BYTES, 0, 0, 0), 0);
    EXPECT(!sim_reply_is_held());
    if (fails)
        EXPECT_EQ(answer_kind(sim_held_goes_on()), ANSWER_PARK);
    EXPECT_EQ(program->mm->anon_pages, before);
    core_world_check();
    expect_signal(at, SIM_READ, LINUX_SIGSEGV, SEGV_MAPERR);
}

KTAP_CASE(core_settle_waits_for_tables_on_their_way)
{
    take_away_batch(REPLY_TABLES, false);
}

KTAP_CASE(core_settle_waits_for_a_replaced_zero_page)
{
    take_away_batch(REPLY_ZERO_REPLACED, false);
}

KTAP_CASE(core_settle_takes_back_a_refused_replacement)
{
    take_away_batch(REPLY_ZERO_REPLACED, true);
}

/*
 * The right to write to a page of its own, whose other owner has gone, is on its way to the only
 * thread of a process, when that is forked: nobody may write to the page any more.
 */
static void right_on_its_way(bool fails)
{
    open_world();
    vaddr_t at = core_world_mmap(program, 0, 16 * PAGE_BYTES, RW, 0);
    uint8_t value = 0;

    store(at, 7);
    struct client *child = core_world_fork(program, 1);
    EXPECT_EQ(core_world_call(program, NR_munmap, at, 16 * PAGE_BYTES, 0, 0, 0), 0);
    sim_hold_next_reply(fails);
    EXPECT(!sim_access(child, at, SIM_WRITE, NULL).done);
    EXPECT(sim_reply_is_held());
    long third = core_world_call(core_world_personality(), MM_FORK, child->mm->id, 0, 0, 0, 0);
    EXPECT(third > 0 && !sim_reply_is_held());
    EXPECT(!(pt_leaf(child->mm, at) & ENTRY_W));
    if (fails)
        EXPECT_EQ(answer_kind(sim_held_goes_on()), ANSWER_PARK);
    EXPECT(sim_access(child, at, SIM_READ, &value).done);
    EXPECT_EQ(value, 7);
    core_world_check();
    EXPECT_EQ(core_world_call(core_world_personality(), MM_RELEASE, (uint64_t)third, 0, 0, 0, 0),
              0);
    core_world_end(child);
    core_world_check();
}

KTAP_CASE(core_settle_waits_for_a_right_on_its_way)
{
    right_on_its_way(false);
}

KTAP_CASE(core_settle_forgets_a_refused_right)
{
    right_on_its_way(true);
}

/* With two threads nobody could tell whose reply has given the right: it is given by a batch. */
KTAP_CASE(core_right_does_not_travel_beside_a_thread)
{
    open_world();
    struct client *other = core_world_thread(program, 1);
    vaddr_t at = core_world_mmap(program, 0, 16 * PAGE_BYTES, RW, 0);

    store(at, 1);
    long child = core_world_call(core_world_personality(), MM_FORK, program->mm->id, 0, 0, 0, 0);
    EXPECT(child > 0);
    EXPECT_EQ(core_world_call(core_world_personality(), MM_RELEASE, (uint64_t)child, 0, 0, 0, 0),
              0);
    EXPECT(!(pt_leaf(program->mm, at) & ENTRY_W));
    sim_access(other, at, SIM_WRITE, NULL);
    EXPECT_EQ(workers[1].visit.at, VISIT_OVER);
    EXPECT(pt_leaf(program->mm, at) & ENTRY_W);
    core_world_check();
}

/*
 * While hart 0 forgets the reply of hart 1, which has arrived, that one is on its next fault and
 * has not yet seen that the mm is locked. What it says of that must stand: it may look at the lock
 * only when that is free again, and reads then.
 */
KTAP_CASE(core_settle_leaves_the_next_visit_alone)
{
    open_world();
    struct client *other = core_world_thread(program, 1);
    vaddr_t at = core_world_mmap(program, 0, 16 * PAGE_BYTES, RW, 0);

    store(at + PAGE_BYTES, 1);
    sim_hold_next_reply(false);
    EXPECT(!sim_access(other, at + 2 * PAGE_BYTES, SIM_WRITE, NULL).done);
    sim_held_begins_again();
    EXPECT_EQ(core_world_call(program, NR_munmap, at, 16 * PAGE_BYTES, 0, 0, 0), 0);
    EXPECT(!sim_reply_is_held());
    EXPECT(workers[1].visit.mm == program->mm);
    EXPECT_EQ(workers[1].visit.at, VISIT_READS);
    workers[1].visit.at = VISIT_OVER;
    core_world_check();
}

/* Both harts write to one page after it was read: the answer that comes first wins, the page of the
 * other is taken back. */
KTAP_CASE(core_fault_two_replacements_of_one_zero_page)
{
    open_world();
    struct client *other = core_world_thread(program, 1);
    vaddr_t at = core_world_mmap(program, 0, 16 * PAGE_BYTES, RW, 0);
    uint64_t before = program->mm->anon_pages;
    uint8_t value = 0;

    load(at);
    sim_hold_next_reply(true);
    EXPECT(!sim_access(other, at, SIM_WRITE, NULL).done);
    store(at + 1, 5);
    EXPECT_EQ(program->mm->anon_pages, before + 2);
    EXPECT_EQ(answer_kind(sim_held_goes_on()), ANSWER_PARK);
    EXPECT_EQ(program->mm->anon_pages, before + 1);
    EXPECT(sim_access(other, at + 1, SIM_READ, &value).done);
    EXPECT_EQ(value, 5);
    core_world_check();
}

/*
 * A copy is on its way to the only thread of a process, and the page that it displaces counts for
 * its last owner already, when the process is forked: the fork waits for the copy, or puts it there
 * itself if the answer was refused.
 */
static void displaced(bool fails)
{
    open_world();
    vaddr_t at = core_world_mmap(program, 0, 16 * PAGE_BYTES, RW, 0);
    uint8_t value = 0;

    store(at, 7);
    struct client *child = core_world_fork(program, 1);
    EXPECT(sim_access(child, at + PAGE_BYTES, SIM_WRITE, NULL).done); /* its hart has pages */
    sim_hold_next_reply(fails);
    EXPECT(!sim_access(child, at, SIM_WRITE, NULL).done);
    EXPECT(sim_reply_is_held());
    EXPECT_EQ(page_of(entry_page(pt_leaf(program->mm, at)))->maps, 1);
    long third = core_world_call(core_world_personality(), MM_FORK, child->mm->id, 0, 0, 0, 0);
    EXPECT(third > 0 && !sim_reply_is_held());
    if (fails)
        EXPECT_EQ(answer_kind(sim_held_goes_on()), ANSWER_PARK);
    EXPECT(entry_page(pt_leaf(program->mm, at)) != entry_page(pt_leaf(child->mm, at)));
    store(at, 8);
    EXPECT(sim_access(child, at, SIM_READ, &value).done);
    EXPECT_EQ(value, 7);
    core_world_check();
    EXPECT_EQ(core_world_call(core_world_personality(), MM_RELEASE, (uint64_t)third, 0, 0, 0, 0),
              0);
    core_world_end(child);
    core_world_check();
}

KTAP_CASE(core_settle_waits_for_a_copy_on_its_way)
{
    displaced(false);
}

KTAP_CASE(core_settle_finishes_a_refused_copy)
{
    displaced(true);
}

/* Each way that a write finds something in its place, straight, by the counters; what may be
 * executed and what several threads see is copied the long way. */
KTAP_CASE(core_fault_writes_where_something_stands)
{
    open_world();
    struct worker *w = sim_worker(0);
    vaddr_t at = core_world_mmap(program, 0, 16 * PAGE_BYTES, RW, 0);
    uint64_t batches = 0;

    load(at);
    store(at + PAGE_BYTES, 1);
    struct client *child = core_world_fork(program, 0);
    batches = w->count[MMCOUNT_batch_calls];
    store(at, 2);
    EXPECT_EQ(w->count[MMCOUNT_fault_zero_replaced], 1);
    store(at + PAGE_BYTES, 3);
    EXPECT_EQ(w->count[MMCOUNT_fault_cow_copy], 1);
    uint8_t value = 0;
    EXPECT(sim_access(child, at + PAGE_BYTES, SIM_READ, &value).done && value == 1);
    EXPECT(sim_access(child, at + PAGE_BYTES, SIM_WRITE, &(uint8_t){4}).done);
    EXPECT_EQ(w->count[MMCOUNT_fault_reuse], 1);
    EXPECT_EQ(w->count[MMCOUNT_batch_calls], batches); /* all of them by their answers */
    core_world_check();
    core_world_end(child);
    child = core_world_fork(program, 0);
    struct client *other = core_world_thread(program, 1);
    EXPECT(sim_access(other, at + PAGE_BYTES, SIM_WRITE, &(uint8_t){5}).done);
    EXPECT(w->count[MMCOUNT_batch_calls] + sim_worker(1)->count[MMCOUNT_batch_calls] > batches);
    core_world_end(child);
    core_world_check();
}
