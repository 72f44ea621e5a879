/* Pages of the pool of huge pages (MAP_HUGETLB), on the simulated machine. */
#include "core_world.h"
#include "mmserver/core/hugetlb.h"

#define RW (PROT_READ | PROT_WRITE)

static struct client *program;

static void open_world(uint64_t pool)
{
    core_world_boot(&(struct world){.harts = 2, .memory_pages = 32768});
    program = core_world_program(0);
    EXPECT_EQ(hugetlb_resize(sim_worker(0), pool), pool);
}

static long map(vaddr_t at, uint64_t pages, uint64_t flags)
{
    return (long)core_world_mmap(program, at, pages * BLOCK_BYTES, RW, MAP_HUGETLB | flags);
}

static long unmap(vaddr_t at, uint64_t bytes)
{
    return core_world_call(program, NR_munmap, at, bytes, 0, 0, 0);
}

static uint8_t load(struct client *c, vaddr_t at)
{
    uint8_t value = 0xee;

    EXPECT(sim_access(c, at, SIM_READ, &value).done);
    return value;
}

static void store(struct client *c, vaddr_t at, uint8_t value)
{
    EXPECT(sim_access(c, at, SIM_WRITE, &value).done);
}

static void expect_pool(uint64_t total, uint64_t free, uint64_t reserved)
{
    struct hugetlb_state is = hugetlb_state();

    EXPECT_EQ(is.total, total);
    EXPECT_EQ(is.free, free);
    EXPECT_EQ(is.reserved, reserved);
    core_world_check();
}

KTAP_CASE(core_hugetlb_promises)
{
    open_world(4);
    EXPECT_EQ(map(0, 5, 0), -LINUX_ENOMEM);
    expect_pool(4, 4, 0);
    vaddr_t at = (vaddr_t)map(0, 3, 0);
    EXPECT(!(at & (BLOCK_BYTES - 1)));
    expect_pool(4, 4, 3);
    EXPECT_EQ(map(0, 2, 0), -LINUX_ENOMEM);
    store(program, at + BLOCK_BYTES + 5, 7);
    expect_pool(4, 3, 2);
    EXPECT_EQ(load(program, at + BLOCK_BYTES + 5), 7);
    EXPECT_EQ(load(program, at + 2 * BLOCK_BYTES - 1), 0);
    EXPECT_EQ(hugetlb_resize(sim_worker(0), 0), 3); /* in use or promised */
    EXPECT_EQ(hugetlb_resize(sim_worker(0), 4), 4);
    EXPECT_EQ(unmap(at + BLOCK_BYTES, 2 * BLOCK_BYTES), 0);
    expect_pool(4, 4, 1);
    EXPECT_EQ(unmap(at, BLOCK_BYTES), 0);
    expect_pool(4, 4, 0);
    EXPECT_EQ(hugetlb_resize(sim_worker(0), 0), 0);
    core_world_end(program);
    core_world_check();
}

KTAP_CASE(core_hugetlb_without_promise_is_a_bus_error_when_there_are_none)
{
    open_world(1);
    vaddr_t at = (vaddr_t)map(0, 2, MAP_NORESERVE);

    expect_pool(1, 1, 0);
    store(program, at, 1);
    struct sim_outcome seen = sim_access(program, at + BLOCK_BYTES, SIM_WRITE, NULL);
    EXPECT(!seen.done);
    EXPECT_EQ(seen.signal, LINUX_SIGBUS);
    EXPECT_EQ(core_world_call(program, NR_madvise, at, BLOCK_BYTES, MADV_DONTNEED, 0, 0), 0);
    expect_pool(1, 1, 0);
    store(program, at + BLOCK_BYTES, 1);
    core_world_end(program);
    expect_pool(1, 1, 0);
}

KTAP_CASE(core_hugetlb_is_never_cut_inside_a_page)
{
    open_world(4);
    vaddr_t at = (vaddr_t)map(0, 2, 0);

    store(program, at, 5);
    EXPECT_EQ(unmap(at, PAGE_BYTES), -LINUX_EINVAL);
    EXPECT_EQ(unmap(at + BLOCK_BYTES + PAGE_BYTES, PAGE_BYTES), -LINUX_EINVAL);
    EXPECT_EQ(core_world_call(program, NR_mprotect, at, PAGE_BYTES, PROT_READ, 0, 0),
              -LINUX_EINVAL);
    EXPECT_EQ(
        core_world_call(program, NR_madvise, at + PAGE_BYTES, PAGE_BYTES, MADV_DONTNEED, 0, 0),
        -LINUX_EINVAL);
    EXPECT(core_world_call(program, NR_madvise, at, PAGE_BYTES, MADV_DONTDUMP, 0, 0) < 0);
    EXPECT_EQ((long)core_world_mmap(program, at + PAGE_BYTES, PAGE_BYTES, RW, MAP_FIXED),
              -LINUX_EINVAL);
    EXPECT_EQ(map(at + PAGE_BYTES, 1, MAP_FIXED), -LINUX_EINVAL);
    EXPECT_EQ(map(0, 1, 21UL << MAP_HUGE_SHIFT) < 0, false);
    EXPECT_EQ(map(0, 1, 16UL << MAP_HUGE_SHIFT), -LINUX_EINVAL);
    EXPECT_EQ(load(program, at), 5);
    core_world_check();
}

KTAP_CASE(core_hugetlb_protection)
{
    open_world(2);
    vaddr_t at = (vaddr_t)map(0, 2, 0);

    store(program, at, 5);
    EXPECT_EQ(core_world_call(program, NR_mprotect, at, BLOCK_BYTES, PROT_READ, 0, 0), 0);
    core_world_check();
    EXPECT(!sim_access(program, at, SIM_WRITE, NULL).done);
    EXPECT_EQ(core_world_call(program, NR_mprotect, at, BLOCK_BYTES, RW, 0, 0), 0);
    store(program, at, 6);
    EXPECT_EQ(load(program, at), 6);
    expect_pool(2, 1, 1);
    core_world_end(program);
    expect_pool(2, 2, 0);
}

/* Without rights the page stays where it is; forks, moves and drops meet it there. */
KTAP_CASE(core_hugetlb_out_of_reach)
{
    open_world(3);
    vaddr_t at = (vaddr_t)map(0, 2, 0);
    uint64_t room = 0x50000000;

    store(program, at, 5);
    EXPECT_EQ(core_world_call(program, NR_mprotect, at, 2 * BLOCK_BYTES, PROT_NONE, 0, 0), 0);
    EXPECT(!sim_access(program, at, SIM_READ, NULL).done);
    EXPECT(!sim_access(program, at + BLOCK_BYTES, SIM_READ, NULL).done);
    core_world_check();
    expect_pool(3, 2, 1);
    struct client *child = core_world_fork(program, 0);
    core_world_check();
    EXPECT(!sim_access(child, at, SIM_READ, NULL).done);
    EXPECT_EQ(core_world_call(child, NR_mprotect, at, 2 * BLOCK_BYTES, RW, 0, 0), 0);
    EXPECT_EQ(load(child, at), 5);
    store(child, at, 6);
    core_world_check();
    core_world_end(child);
    EXPECT_EQ(core_world_call(program, NR_mremap, at, 2 * BLOCK_BYTES, 2 * BLOCK_BYTES,
                              MREMAP_MAYMOVE | MREMAP_FIXED, room),
              (long)room);
    EXPECT(!sim_access(program, room, SIM_READ, NULL).done);
    core_world_check();
    EXPECT_EQ(core_world_call(program, NR_mprotect, room, BLOCK_BYTES, PROT_READ, 0, 0), 0);
    EXPECT_EQ(load(program, room), 5);
    EXPECT(!sim_access(program, room, SIM_WRITE, NULL).done);
    EXPECT_EQ(core_world_call(program, NR_mprotect, room, BLOCK_BYTES, PROT_NONE, 0, 0), 0);
    EXPECT_EQ(core_world_call(program, NR_madvise, room, BLOCK_BYTES, MADV_DONTNEED, 0, 0), 0);
    core_world_check();
    expect_pool(3, 3, 2);
    core_world_end(program);
    expect_pool(3, 3, 0);
}

KTAP_CASE(core_hugetlb_after_a_kept_leaf_table)
{
    open_world(1);
    vaddr_t at = core_world_mmap(program, 0x10000000, PAGE_BYTES, RW, MAP_FIXED);

    store(program, at, 1);
    EXPECT_EQ(unmap(at, PAGE_BYTES), 0);
    EXPECT_EQ(map(at, 1, MAP_FIXED), (long)at);
    store(program, at + 9, 3);
    expect_pool(1, 0, 0);
    EXPECT_EQ(load(program, at), 0);
    core_world_end(program);
    expect_pool(1, 1, 0);
}

KTAP_CASE(core_hugetlb_fork)
{
    open_world(2);
    vaddr_t at = (vaddr_t)map(0x10000000, 1, MAP_FIXED);

    store(program, at + 3, 5);
    struct client *child = core_world_fork(program, 1);
    EXPECT(child != NULL);
    expect_pool(2, 1, 0);
    EXPECT_EQ(load(child, at + 3), 5);
    store(child, at + 3, 6); /* a copy, of the page that was promised to nobody */
    expect_pool(2, 0, 0);
    EXPECT_EQ(load(program, at + 3), 5);
    store(program, at + 3, 7); /* its own again */
    expect_pool(2, 0, 0);
    EXPECT_EQ(load(child, at + 3), 6);
    core_world_end(child);
    expect_pool(2, 1, 0);
    EXPECT_EQ(hugetlb_resize(sim_worker(0), 1), 1);
    child = core_world_fork(program, 1);
    EXPECT(child != NULL);
    struct sim_outcome seen = sim_access(child, at, SIM_WRITE, NULL);
    EXPECT_EQ(seen.signal, LINUX_SIGBUS);
    EXPECT_EQ(load(child, at + 3), 7);
    core_world_end(program);
    store(child, at + 3, 8); /* nobody else maps it now */
    expect_pool(1, 0, 0);
    core_world_end(child);
    expect_pool(1, 1, 0);
}

/* A page that goes leaves its promise behind, in the mapping that it was of. */
KTAP_CASE(core_hugetlb_dropped_pages_are_promised_again)
{
    open_world(6);
    vaddr_t at = (vaddr_t)map(0x10000000, 3, MAP_FIXED);
    vaddr_t other = (vaddr_t)map(0x20000000, 2, MAP_FIXED);

    expect_pool(6, 6, 5);
    store(program, at, 1);
    store(program, at + BLOCK_BYTES, 2);
    expect_pool(6, 4, 3);
    EXPECT_EQ(core_world_call(program, NR_madvise, at, BLOCK_BYTES, MADV_DONTNEED, 0, 0), 0);
    expect_pool(6, 5, 4);
    EXPECT_EQ(unmap(at, BLOCK_BYTES), 0); /* the promise of what was dropped, and no other */
    expect_pool(6, 5, 3);
    EXPECT_EQ(unmap(at + BLOCK_BYTES, 2 * BLOCK_BYTES), 0);
    expect_pool(6, 6, 2);
    store(program, other, 3);
    store(program, other + BLOCK_BYTES, 4);
    expect_pool(6, 4, 0);
    core_world_end(program);
    expect_pool(6, 6, 0);
}

/* What the child still has cannot be promised again; who asks first goes without. */
KTAP_CASE(core_hugetlb_dropped_page_of_a_child)
{
    open_world(2);
    vaddr_t at = (vaddr_t)map(0x10000000, 2, MAP_FIXED);

    store(program, at, 1);
    struct client *child = core_world_fork(program, 1);
    EXPECT(child != NULL);
    expect_pool(2, 1, 1);
    EXPECT_EQ(core_world_call(program, NR_madvise, at, BLOCK_BYTES, MADV_DONTNEED, 0, 0), 0);
    expect_pool(2, 1, 1);
    EXPECT_EQ(program->mm->huge_unpromised, 1);
    store(program, at, 2); /* with the other's promise */
    expect_pool(2, 0, 0);
    EXPECT_EQ(sim_access(program, at + BLOCK_BYTES, SIM_WRITE, NULL).signal, LINUX_SIGBUS);
    EXPECT_EQ(load(child, at), 1);
    core_world_end(child);
    expect_pool(2, 1, 0);
    store(program, at + BLOCK_BYTES, 3);
    expect_pool(2, 0, 0);
    EXPECT_EQ(program->mm->huge_unpromised, 0);
    core_world_end(program);
    expect_pool(2, 2, 0);
}

/* A parent that takes a copy does not use what another place was promised. */
KTAP_CASE(core_hugetlb_copy_keeps_promises)
{
    open_world(2);
    vaddr_t at = (vaddr_t)map(0x10000000, 2, MAP_FIXED);

    store(program, at, 1);
    struct client *child = core_world_fork(program, 1);
    EXPECT_EQ(sim_access(program, at, SIM_WRITE, NULL).signal, LINUX_SIGBUS);
    expect_pool(2, 1, 1);
    store(program, at + BLOCK_BYTES, 2);
    core_world_end(child);
    store(program, at, 3);
    core_world_end(program);
    expect_pool(2, 2, 0);
}

/*
 * Random calls of a parent and its children: each place of a promised mapping that has no page of
 * its own has a promise, or is one of those that could not get one again. core_world_check()
 * counts the places, this the promises of all.
 */
KTAP_CASE(core_hugetlb_random_promises)
{
    struct client *child = NULL;

    open_world(12);
    for (unsigned step = 0; step < 3000; step++) {
        vaddr_t at = 0x10000000 + ktap_random_below(8) * BLOCK_BYTES;
        uint64_t pages = 1 + ktap_random_below(3);
        struct client *who = child && ktap_random_below(3) == 0 ? child : program;
        uint64_t flags = MAP_HUGETLB | MAP_FIXED | (ktap_random_below(4) ? 0 : MAP_NORESERVE);
        long answer = 0;

        switch (ktap_random_below(9)) {
        case 0:
            answer = (long)core_world_mmap(who, at, pages * BLOCK_BYTES, RW, flags);
            EXPECT(answer == (long)at || answer == -LINUX_ENOMEM);
            break;
        case 1:
            EXPECT_EQ(core_world_call(who, NR_munmap, at, pages * BLOCK_BYTES, 0, 0, 0), 0);
            break;
        case 2:
            (void)core_world_call(who, NR_madvise, at, pages * BLOCK_BYTES, MADV_DONTNEED, 0, 0);
            break;
        case 3:
            answer = core_world_call(who, NR_mremap, at, BLOCK_BYTES, BLOCK_BYTES, 3,
                                     0x10000000 + ktap_random_below(8) * BLOCK_BYTES);
            EXPECT(answer >= 0 || answer == -LINUX_EFAULT || answer == -LINUX_EINVAL);
            break;
        case 4:
            if (child)
                core_world_end(child);
            child = ktap_random_below(2) ? core_world_fork(program, 1) : NULL;
            break;
        default:
            (void)sim_access(who, at, ktap_random_below(3) ? SIM_WRITE : SIM_READ, NULL);
        }
        struct hugetlb_state is = hugetlb_state();
        EXPECT_EQ(is.reserved, program->mm->huge_reserved + (child ? child->mm->huge_reserved : 0));
        EXPECT(is.reserved <= is.free && is.free <= is.total);
        if (step % 8 == 0)
            core_world_check();
    }
    if (child)
        core_world_end(child);
    core_world_end(program);
    expect_pool(12, 12, 0);
}

/* Each allocation and each kernel call of such a mapping's life fails once; nothing is lost. */
static void life(void)
{
    long at = map(0x10000000, 2, MAP_FIXED);

    if (at < 0)
        return;
    (void)sim_access(program, (vaddr_t)at, SIM_WRITE, NULL);
    struct client *child = core_world_fork(program, 1);
    if (child) {
        (void)sim_access(child, (vaddr_t)at, SIM_WRITE, NULL);
        (void)sim_access(program, (vaddr_t)at, SIM_WRITE, NULL);
    }
    core_world_check();
    (void)unmap((vaddr_t)at, BLOCK_BYTES);
    if (child)
        core_world_end(child);
}

static void life_fails(void (*fail)(uint64_t))
{
    bool failed = true;

    for (uint64_t n = 1; failed; n++) {
        open_world(4);
        fail(n);
        life();
        failed = sim_failed();
        fail(0);
        core_world_check();
        core_world_end(program);
        expect_pool(4, 4, 0);
    }
}

KTAP_CASE(core_hugetlb_each_allocation_fails)
{
    life_fails(sim_fail_alloc);
}

KTAP_CASE(core_hugetlb_each_call_fails)
{
    life_fails(sim_fail_call);
}
