/*
 * Fail the n-th kernel call or allocation, for every n, of whole lives of programs: whatever fails,
 * the recount finds nothing wrong and no page is lost.
 */
#include "core_world.h"

#define RW        (PROT_READ | PROT_WRITE)
#define FAILS_MAX 2000

/* Faults of all kinds; what fails ends the program early. */
static void live(struct client *c)
{
    vaddr_t at = core_world_mmap(c, 0, 3UL << 20, RW, 0);

    if ((long)at < 0)
        return;
    for (unsigned i = 0; i < 24; i++)
        sim_access(c, at + i * 37 * PAGE_BYTES, i % 3 ? SIM_WRITE : SIM_READ, NULL);
    for (unsigned i = 0; i < 24; i++)
        sim_access(c, at + i * 37 * PAGE_BYTES, SIM_WRITE, NULL);
    core_world_call(c, NR_mprotect, at + PAGE_BYTES, 60 * PAGE_BYTES, PROT_READ, 0, 0);
    core_world_call(c, NR_mprotect, at, 100 * PAGE_BYTES, RW, 0, 0);
    sim_access(c, at + 37 * PAGE_BYTES, SIM_WRITE, NULL);
    core_world_call(c, NR_mprotect, at + (1UL << 20), 1UL << 20, PROT_NONE, 0, 0);
    core_world_call(c, NR_mprotect, at + (1UL << 20), 1UL << 20, RW, 0, 0);
    sim_access(c, at + 8 * 37 * PAGE_BYTES, SIM_READ, NULL);
    core_world_call(c, NR_mremap, at, 2UL << 20, 5UL << 20, MREMAP_MAYMOVE, 0);
    core_world_call(c, NR_munmap, at + 3 * PAGE_BYTES, 20 * PAGE_BYTES, 0, 0, 0);
    uint64_t heap = (uint64_t)core_world_call(c, NR_brk, 0, 0, 0, 0, 0);
    core_world_call(c, NR_brk, heap + 10 * PAGE_BYTES, 0, 0, 0, 0);
    sim_access(c, heap + 100, SIM_WRITE, NULL);
    sim_access(c, 0x10000 + 600, SIM_FETCH, NULL);
    sim_access(c, 0x20000, SIM_WRITE, NULL);
    sim_access(c, 0x20000 + 5000, SIM_WRITE, NULL);
    sim_access(c, c->mm->stack_top - (1UL << 20), SIM_WRITE, NULL);
    core_world_call(c, NR_madvise, heap, PAGE_BYTES, MADV_DONTNEED, 0, 0);
    core_world_call(c, NR_madvise, heap, 3 * PAGE_BYTES, MADV_GUARD_INSTALL, 0, 0);
    for (unsigned i = 0; i < 4; i++)
        core_world_mmap(c, 0x30000000 + i * BLOCK_BYTES, PAGE_BYTES, RW, MAP_FIXED | MAP_POPULATE);
}

static void life(void)
{
    struct client *c = core_world_try_program(0);

    if (!c)
        return;
    live(c);
    sim_fail_call(0);
    sim_fail_alloc(0);
    core_world_end(c);
}

static void everything_back(uint64_t before)
{
    sim_fail_call(0);
    sim_fail_alloc(0);
    core_world_check();
    EXPECT_EQ(core_world_free_pages(), before);
}

static uint64_t warm_up(void)
{
    core_world_boot(&(struct world){0});
    life();
    life();
    return core_world_free_pages();
}

KTAP_CASE(core_fail_each_kernel_call)
{
    uint64_t before = warm_up();
    unsigned n = 1;

    for (bool failed = true; failed; n++) {
        EXPECT(n < FAILS_MAX);
        sim_fail_call(n);
        struct client *c = core_world_try_program(0);
        if (c)
            live(c);
        failed = sim_failed();
        sim_fail_call(0);
        if (c)
            core_world_end(c);
        everything_back(before);
    }
    ktap_note("%u calls failed in turn", n - 1);
    EXPECT(n > 20);
}

KTAP_CASE(core_fail_each_allocation)
{
    uint64_t before = warm_up();
    unsigned n = 1;

    for (bool failed = true; failed; n++) {
        EXPECT(n < FAILS_MAX);
        if (n % 2)
            sim_idle(0);
        sim_fail_alloc(n);
        struct client *c = core_world_try_program(0);
        if (c)
            live(c);
        failed = sim_failed();
        sim_fail_alloc(0);
        if (c)
            core_world_end(c);
        everything_back(before);
    }
    ktap_note("%u allocations failed in turn", n - 1);
    EXPECT(n > 20);
}

static long native(struct client *c, uint64_t type, uint64_t slot, uint64_t parameter)
{
    return core_world_call(c, MM_NATIVE_CREATE, type, slot, parameter, 0, 0);
}

static void native_life(struct client *c)
{
    if (core_world_call(c, MM_NATIVE_ENABLE, 100, 0, 0, 0, 0))
        return;
    native(c, CAP_MEMORY, NATIVE_FREE, 1);
    native(c, CAP_MEMORY, NATIVE_FREE + 1, 2);
    native(c, CAP_TABLE, NATIVE_FREE + 2, 3);
    native(c, CAP_SPACE, NATIVE_FREE + 3, 0);
    native(c, CAP_THREAD, NATIVE_FREE + 4, 0);
    native(c, CAP_ENDPOINT, NATIVE_FREE + 5, 0);
    native(c, CAP_NOTIFICATION, NATIVE_FREE + 6, 0);
    native(c, CAP_KERNEL, NATIVE_FREE + 7, 0);
}

KTAP_CASE(core_native_objects_come_back)
{
    warm_up();
    struct client *c = core_world_program(0);
    native_life(c);
    EXPECT_EQ(core_world_call(c, MM_NATIVE_ENABLE, 100, 0, 0, 0, 0), -LINUX_EEXIST);
    EXPECT_EQ(native(c, CAP_MEMORY, NATIVE_FREE, 1), -LINUX_EEXIST);
    EXPECT_EQ(native(c, CAP_MEMORY, NATIVE_FREE + 20, 0), -LINUX_EINVAL);
    EXPECT_EQ(native(c, CAP_MEMORY, NATIVE_FREE + 20, 1UL << 50), -LINUX_ENOMEM);
    EXPECT_EQ(native(c, CAP_MEMORY, NATIVE_FREE + 20, ~0UL), -LINUX_ENOMEM);
    EXPECT_EQ(native(c, CAP_REPLY, NATIVE_FREE + 20, 0), -LINUX_EINVAL);
    EXPECT_EQ(native(c, CAP_ENDPOINT, 1UL << 40, 0), -LINUX_EINVAL);
    core_world_check();
    core_world_end(c);
    uint64_t before = core_world_free_pages();
    for (unsigned n = 1, failed = 1; failed; n++) {
        c = core_world_program(0);
        sim_fail_call(n);
        native_life(c);
        failed = sim_failed();
        sim_fail_call(0);
        core_world_end(c);
        everything_back(before);
    }
}

/* Privileged calls of a program, and numbers that mean nothing. */
KTAP_CASE(core_calls_are_checked)
{
    warm_up();
    struct client *c = core_world_program(0);

    for (long number = MM_CREATE; number <= MM_FAULT_IN; number++)
        EXPECT_EQ(core_world_call(c, number, 1, 2, 3, 4, 5), -LINUX_EPERM);
    EXPECT_EQ(core_world_call(c, MM_MAP_FILE, 1, 2, 3, 4, 5), -LINUX_EPERM);
    EXPECT_EQ(core_world_call(c, MM_THREAD_STOP, 1, 2, 3, 4, 5), -LINUX_EPERM);
    EXPECT_EQ(core_world_call(c, 4711, 1, 2, 3, 4, 5), -LINUX_ENOSYS);
    EXPECT_EQ(core_world_call(c, 17, 1, 2, 3, 4, 5), -LINUX_ENOSYS);
    EXPECT_EQ(core_world_call(c, MM_REPORT, 99, 0, 0, 0, 0), -LINUX_EINVAL);
    EXPECT_EQ(core_world_call(c, MM_REPORT, MM_REPORT_MAPS, 4000, 0, 0, 0), -LINUX_ESRCH);
    for (unsigned kind = 0; kind < MM_REPORT_KINDS; kind++) {
        bool refused = kind == MM_REPORT_LEAK_MARK || kind == MM_REPORT_LEAK_SCAN;
        vaddr_t at = c->mm->stack_top - 8192;
        long answer = core_world_call(c, MM_REPORT, kind, 0, at, 4096, 0);

        EXPECT(refused ? answer == -LINUX_EPERM : answer >= 0);
        EXPECT_EQ(core_world_call(c, MM_REPORT, kind, 0, 8, 4096, 0), refused  ? -LINUX_EPERM
                                                                      : answer ? -LINUX_EFAULT
                                                                               : 0);
    }
    EXPECT_EQ(core_world_call(c, MM_CHECK, 0, 0, 0, 0, 0), 0);
    struct client *p = core_world_personality();
    EXPECT_EQ(core_world_call(p, MM_THREAD_DESTROY, p->id, 0, 0, 0, 0), -LINUX_EPERM);
    EXPECT_EQ(core_world_call(p, MM_RELEASE, c->mm->id, 0, 0, 0, 0), -LINUX_EBUSY);
    EXPECT_EQ(core_world_call(p, MM_RELEASE, 77777, 0, 0, 0, 0), -LINUX_ESRCH);
    EXPECT_EQ(core_world_call(p, MM_EXEC, c->mm->id, 64, 0, 0, 0), -LINUX_EFAULT);
    core_world_check();
}
