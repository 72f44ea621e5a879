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
