/* Registers of devices in programs, on the simulated machine: two pages of a device. */
#include "core_world.h"
#include "mmserver/core/device_map.h"
#include "mmserver/core/native.h"
#include "mmserver/place/host/own_space.h"

#define RW (PROT_READ | PROT_WRITE)

static void start(void)
{
    core_world_boot(&(struct world){.harts = 3});
}

/* As a fault of c would map it: on its hart, which must be the one that ran last. */
static void touch(struct client *c, vaddr_t at)
{
    EXPECT_EQ(core_world_call(c, NR_msync, at, PAGE_BYTES, 0, 0, 0), 0);
    EXPECT_EQ(fault_page(sim_worker(c->hart), c->mm, at, false), FAULT_DEVICE);
}

#define DEVICE_SLOT 9
#define MEMORY_SLOT 10

KTAP_CASE(core_device_is_mapped_by_its_capability)
{
    start();
    struct client *c = core_world_program(1), *other = core_world_program(2);
    const struct boot_info *info = sim_boot_info();
    uint32_t range = 0;

    while (info->range[range].kind != BOOT_DEVICE)
        range++;
    EXPECT_EQ(core_world_call(c, MM_DEVICE_MAP, DEVICE_SLOT, PROT_READ, 0, 0, 0), -LINUX_EINVAL);
    EXPECT_EQ(core_world_call(c, MM_NATIVE_ENABLE, 64, 0, 0, 0, 0), 0);
    EXPECT_EQ(core_world_call(c, MM_DEVICE_MAP, DEVICE_SLOT, PROT_READ, 0, 0, 0), -LINUX_EBADF);
    EXPECT_EQ(core_world_call(c, MM_DEVICE_MAP, 1UL << 40, PROT_READ, 0, 0, 0), -LINUX_EINVAL);
    EXPECT_EQ(core_world_call(c, MM_NATIVE_CREATE, CAP_MEMORY, MEMORY_SLOT, 1, 0, 0), 0);
    EXPECT_EQ(core_world_call(c, MM_DEVICE_MAP, MEMORY_SLOT, PROT_READ, 0, 0, 0), -LINUX_EACCES);
    EXPECT_EQ(place_cap_copy(SLOT_MEMORY + range, c->mm->native_table_slot, DEVICE_SLOT, RIGHT_IO,
                             0, info->range[range].pages),
              0);
    EXPECT_EQ(core_world_call(c, MM_DEVICE_MAP, DEVICE_SLOT, PROT_READ | PROT_WRITE, 0, 0, 0),
              -LINUX_EACCES);
    EXPECT_EQ(core_world_call(c, MM_DEVICE_MAP, DEVICE_SLOT, PROT_READ | PROT_EXEC, 0, 0, 0),
              -LINUX_EINVAL);
    long at = core_world_call(c, MM_DEVICE_MAP, DEVICE_SLOT, PROT_READ, 0, 0, 0);
    EXPECT(at > 0);
    EXPECT_EQ(pt_leaf(c->mm, (vaddr_t)at), 0);
    touch(c, (vaddr_t)at);
    uint64_t entry = pt_leaf(c->mm, (vaddr_t)at);
    EXPECT_EQ(entry_page(entry), info->range[range].first_page);
    EXPECT(!(entry & (ENTRY_W | ENTRY_X)));
    EXPECT_EQ(core_world_call(c, NR_mprotect, (uint64_t)at, PAGE_BYTES, RW, 0, 0), -LINUX_EACCES);
    EXPECT_EQ(sim_access(c, (vaddr_t)at, SIM_WRITE, NULL).signal, LINUX_SIGSEGV);
    core_world_check();
    EXPECT_EQ(core_world_call(c, NR_munmap, (uint64_t)at, info->range[range].pages << PAGE_SHIFT, 0,
                              0, 0),
              0);
    EXPECT_EQ(pt_leaf(c->mm, (vaddr_t)at), 0);
    EXPECT(core_world_call(c, MM_DEVICE_MAP, DEVICE_SLOT, PROT_READ, 0, 0, 0) > 0);
    core_world_end(c);
    core_world_end(other);
    core_world_check();
}

/* A capability that was granted is in nobody's way: neither its holder's mappings nor others'. */
KTAP_CASE(core_device_capability_goes_with_its_program)
{
    start();
    struct client *c = core_world_program(1), *other = core_world_program(1);
    const struct map_request r = {
        .bytes = PAGE_BYTES, .prot = RW, .flags = MAP_SHARED, .offset = SIM_DEVICE_PAGE};
    paddr_t registers = SIM_DEVICE_PAGE << PAGE_SHIFT;

    EXPECT_EQ(core_world_call(c, MM_NATIVE_ENABLE, 64, 0, 0, 0, 0), 0);
    EXPECT_EQ(core_world_call(other, MM_NATIVE_ENABLE, 64, 0, 0, 0, 0), 0);
    EXPECT_EQ(native_device_grant(c->mm, DEVICE_SLOT, registers, PAGE_BYTES + 1), -LINUX_EINVAL);
    EXPECT_EQ(native_device_grant(c->mm, DEVICE_SLOT, 0, PAGE_BYTES), -LINUX_EPERM);
    EXPECT_EQ(native_device_grant(c->mm, DEVICE_SLOT, registers, PAGE_BYTES), 0);
    EXPECT_EQ(native_device_grant(other->mm, DEVICE_SLOT, registers, PAGE_BYTES), -LINUX_EBUSY);
    long at = core_world_call(c, MM_DEVICE_MAP, DEVICE_SLOT, RW, 0, 0, 0);
    long there = device_map(sim_worker(1), other->mm, &r);
    EXPECT(at > 0 && there > 0);
    touch(c, (vaddr_t)at);
    touch(other, (vaddr_t)there);
    /* The same memory type, whoever made the mapping. */
    EXPECT_EQ(pt_leaf(c->mm, (vaddr_t)at), pt_leaf(other->mm, (vaddr_t)there));
    core_world_check();
    core_world_end(c);
    EXPECT_EQ(pt_leaf(other->mm, (vaddr_t)there), 0);
    touch(other, (vaddr_t)there);
    EXPECT_EQ(entry_page(pt_leaf(other->mm, (vaddr_t)there)), SIM_DEVICE_PAGE);
    EXPECT_EQ(native_device_grant(other->mm, DEVICE_SLOT, registers, PAGE_BYTES), 0);
    core_world_end(other);
    core_world_check();
}

/* The rights of a mapping change, it moves, and it is forked, without a look at descriptors. */
KTAP_CASE(core_device_mapping_changes)
{
    start();
    struct client *c = core_world_program(1);
    const struct map_request r = {.bytes = SIM_DEVICE_PAGES << PAGE_SHIFT,
                                  .prot = RW,
                                  .flags = MAP_SHARED,
                                  .offset = SIM_DEVICE_PAGE};
    vaddr_t at = (vaddr_t)device_map(sim_worker(1), c->mm, &r);

    touch(c, at);
    touch(c, at + PAGE_BYTES);
    EXPECT_EQ(entry_page(pt_leaf(c->mm, at + PAGE_BYTES)), SIM_DEVICE_PAGE + 1);
    EXPECT_EQ(core_world_call(c, NR_mprotect, at, PAGE_BYTES, PROT_READ, 0, 0), 0);
    EXPECT_EQ(core_world_call(c, NR_mprotect, at, PAGE_BYTES, PROT_READ | PROT_EXEC, 0, 0),
              -LINUX_EACCES);
    EXPECT_EQ(core_world_call(c, NR_mprotect, at, PAGE_BYTES, RW, 0, 0), 0);
    touch(c, at);
    /* What was cut in two is not joined, as on Linux: so the upper page moves alone. */
    EXPECT_EQ(core_world_call(c, NR_mremap, at, 2 * PAGE_BYTES, 2 * PAGE_BYTES,
                              MREMAP_MAYMOVE | MREMAP_FIXED, 0x40000000),
              -LINUX_EFAULT);
    long to = core_world_call(c, NR_mremap, at + PAGE_BYTES, PAGE_BYTES, PAGE_BYTES,
                              MREMAP_MAYMOVE | MREMAP_FIXED, 0x40000000);
    EXPECT_EQ(to, 0x40000000);
    EXPECT_EQ(entry_page(pt_leaf(c->mm, (vaddr_t)to)), SIM_DEVICE_PAGE + 1);
    core_world_check();
    struct client *child = core_world_fork(c, 1);
    EXPECT_EQ(pt_leaf(child->mm, (vaddr_t)to), 0);
    touch(child, (vaddr_t)to);
    EXPECT_EQ(entry_page(pt_leaf(child->mm, (vaddr_t)to)), SIM_DEVICE_PAGE + 1);
    core_world_check();
    core_world_end(child);
    core_world_end(c);
    core_world_check();
}
