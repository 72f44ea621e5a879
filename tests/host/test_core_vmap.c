/* The server's own address space: regions, device memory and windows on the simulated machine,
 * which maps them into this program. What is released and unmapped stops the test when it is
 * touched. */
#include "core_world.h"

#include "mmserver/core/device.h"
#include "mmserver/core/kmap.h"
#include "mmserver/core/vmap.h"
#include "mmserver/place/host/own_space.h"

#include <string.h>
#include <unistd.h>

#define REGIONS 60
#define STEPS   3000

/* Can that address be read? A system call that copies says so without a signal. */
static bool is_there(const void *at)
{
    int ends[2];

    EXPECT(!pipe(ends));
    bool there = write(ends[1], at, 1) == 1;
    close(ends[0]);
    close(ends[1]);
    return there;
}

static struct worker *boot(void)
{
    core_world_boot(&(struct world){.memory_pages = 16384});
    return sim_worker(0);
}

KTAP_CASE(core_vmap_region_is_memory_between_guards)
{
    struct worker *w = boot();
    char *a = vm_alloc(w, 3 * PAGE_BYTES), *b = vm_alloc(w, 1);

    EXPECT(a && b);
    memset(a, 1, 3 * PAGE_BYTES);
    memset(b, 2, PAGE_BYTES);
    EXPECT(!is_there(a + 3 * PAGE_BYTES));
    EXPECT(!is_there(a - 1));
    EXPECT(!is_there(b + PAGE_BYTES));
    EXPECT_EQ(a[3 * PAGE_BYTES - 1], 1);
    EXPECT_EQ(*(char *)page_pointer(vm_page(b + 100)), 2);
    EXPECT_EQ(vm_page(a + 3 * PAGE_BYTES), 0);
    EXPECT_EQ(page_pointer(vm_page(a + PAGE_BYTES)) == a + PAGE_BYTES, false);
    core_world_check();
    vm_free(w, a);
    vm_free(w, b);
    EXPECT_EQ(vm_purge(w), 4);
    core_world_check();
}

KTAP_CASE(core_vmap_release_is_lazy_and_complete)
{
    struct worker *w = boot();
    uint64_t before = core_world_free_pages();
    char *a = vm_alloc(w, 2 * PAGE_BYTES);

    a[0] = 1;
    vm_free(w, a);
    EXPECT(is_there(a));      /* it waits, */
    EXPECT_EQ(vm_page(a), 0); /* but is nobody's */
    char *b = vm_alloc(w, 2 * PAGE_BYTES);
    EXPECT(b != a);
    uint64_t batches = w->count[MMCOUNT_batch_calls];
    vm_free(w, b);
    EXPECT_EQ(vm_purge(w), 4);
    EXPECT_EQ(w->count[MMCOUNT_batch_calls], batches + 1); /* both with one fence */
    EXPECT(!is_there(a) && !is_there(b));
    EXPECT_EQ(vm_purge(w), 0);
    EXPECT(vm_alloc(w, PAGE_BYTES) == a); /* its addresses are free again */
    vm_free(w, a);
    vm_purge(w);
    /* One leaf table may have been added, and stays. */
    EXPECT(core_world_free_pages() + 1 >= before);
    core_world_check();
}

KTAP_CASE(core_vmap_lazy_pages_are_bounded)
{
    struct worker *w = boot();
    char *first = vm_alloc(w, PAGE_BYTES);

    vm_free(w, first);
    for (uint64_t pages = 1; pages <= VM_LAZY_PAGES_MAX; pages += 64)
        vm_free(w, vm_alloc(w, 64 * PAGE_BYTES));
    EXPECT(!is_there(first));
    core_world_check();
}

KTAP_CASE(core_vmap_large_regions_have_large_leaves)
{
    struct worker *w = boot();
    char *a = vm_alloc(w, 3 * BLOCK_BYTES - 5000);

    EXPECT(a && !((uintptr_t)own_address(a) & (BLOCK_BYTES - 1)));
    memset(a, 3, 3 * BLOCK_BYTES - 5000);
    EXPECT_EQ(vm_page(a + BLOCK_BYTES + 5 * PAGE_BYTES), vm_page(a + BLOCK_BYTES) + 5);
    EXPECT_EQ(vm_page(a + BLOCK_BYTES) % PAGES_PER_BLOCK, 0);
    core_world_check();
    vm_free(w, a);
    EXPECT_EQ(vm_purge(w), 3 * PAGES_PER_BLOCK);
    /* Small pages where large ones were, and large ones again. */
    char *b = vm_alloc(w, 5 * PAGE_BYTES);
    memset(b, 4, 5 * PAGE_BYTES);
    vm_free(w, b);
    vm_purge(w);
    EXPECT(vm_alloc(w, 2 * BLOCK_BYTES) != NULL);
    core_world_check();
}

KTAP_CASE(core_vmap_given_pages_side_by_side)
{
    struct worker *w = boot();
    pfn_t page[5];

    for (unsigned i = 0; i < 5; i++) {
        page[i] = page_alloc(w);
        page_of(page[i])->state = PAGE_SERVER;
        memset(page_pointer(page[i]), (int)(10 + i), PAGE_BYTES);
    }
    const pfn_t order[6] = {page[4], page[0], page[2], page[2], page[1], page[3]};
    const uint8_t *at = vm_map(w, order, 6, false);
    EXPECT(at != NULL);
    const uint8_t expected[6] = {14, 10, 12, 12, 11, 13};
    for (unsigned i = 0; i < 6; i++) {
        EXPECT_EQ(at[i * PAGE_BYTES + 77], expected[i]);
        EXPECT_EQ(vm_page(at + i * PAGE_BYTES), order[i]);
    }
    vm_free(w, (void *)(uintptr_t)at);
    vm_purge(w);
    for (unsigned i = 0; i < 5; i++)
        page_free(w, page[i]); /* they stayed the caller's */
    core_world_check();
}

KTAP_CASE(core_vmap_device_memory)
{
    struct worker *w = boot();
    uint64_t start = (SIM_DEVICE_PAGE << PAGE_SHIFT) + 0x10;
    volatile uint32_t *device = io_map(w, start, 0x20, IO_DEVICE);

    EXPECT(device && ((uintptr_t)device & PAGE_MASK) == 0x10);
    *device = 0x1234;
    volatile uint32_t *again = io_map(w, start, PAGE_BYTES, IO_COMBINE); /* both pages */
    EXPECT(again && again != device);
    EXPECT_EQ(*again, 0x1234);
    EXPECT_EQ(vm_page((void *)(uintptr_t)again), SIM_DEVICE_PAGE);
    /* What is no device's, or not all of it. */
    EXPECT(!io_map(w, start, SIM_DEVICE_PAGES << PAGE_SHIFT, IO_DEVICE));
    EXPECT(!io_map(w, start - 0x20, 0x10, IO_DEVICE));
    EXPECT(!io_map(w, start, 0, IO_DEVICE));
    EXPECT(!io_map(w, -PAGE_BYTES, 2 * PAGE_BYTES, IO_DEVICE));
    EXPECT(!io_map(w, phys.first << PAGE_SHIFT, PAGE_BYTES, IO_DEVICE)); /* memory */
    io_unmap(w, device);
    io_unmap(w, again);
    EXPECT_EQ(vm_purge(w), 3);
    core_world_check();
}

KTAP_CASE(core_vmap_windows_are_a_stack)
{
    struct worker *w = boot();
    uint8_t *window[KMAP_DEPTH];
    pfn_t page[KMAP_DEPTH];

    for (unsigned i = 0; i < KMAP_DEPTH; i++) {
        page[i] = page_alloc(w);
        page_of(page[i])->state = PAGE_SERVER;
        window[i] = kmap(w, page[i], page_of(page[i])->slot, OWN_WRITE);
        EXPECT(window[i] != NULL);
        window[i][9] = (uint8_t)(i + 1);
    }
    for (unsigned i = KMAP_DEPTH; i-- > 0;) {
        EXPECT_EQ(((uint8_t *)page_pointer(page[i]))[9], i + 1);
        kunmap(w, window[i]);
        EXPECT(!is_there(window[i]));
        page_free(w, page[i]);
    }
    uint8_t *clock = fixed_open(w, FIXED_CLOCK, SIM_DEVICE_PAGE, SLOT_MEMORY + 3, OWN_WRITE);
    EXPECT(clock && is_there(clock));
    EXPECT(!fixed_open(w, FIXED_CLOCK, SIM_DEVICE_PAGE, SLOT_MEMORY + 3, OWN_WRITE)); /* taken */
    fixed_close(w, FIXED_CLOCK);
    EXPECT(!is_there(clock));
    core_world_check();
}

static struct {
    uint8_t *at;
    uint64_t pages;
    uint8_t value;
} region[REGIONS];

static void region_begin(struct worker *w, unsigned i)
{
    uint64_t pages =
        ktap_random_below(20) ? 1 + ktap_random_below(40) : 512 + ktap_random_below(600);

    region[i].at = vm_alloc(w, pages << PAGE_SHIFT);
    if (!region[i].at)
        return;
    region[i].pages = pages;
    region[i].value = (uint8_t)ktap_random();
    memset(region[i].at, region[i].value, pages << PAGE_SHIFT);
}

static void region_finish(struct worker *w, unsigned i)
{
    for (uint64_t p = 0; p < region[i].pages; p++) {
        EXPECT_EQ(region[i].at[p << PAGE_SHIFT], region[i].value);
        EXPECT_EQ(region[i].at[(p << PAGE_SHIFT) + PAGE_BYTES - 1], region[i].value);
    }
    vm_free(w, region[i].at);
    region[i].at = NULL;
}

KTAP_CASE(core_vmap_random_regions_keep_their_contents)
{
    struct worker *w = boot();

    for (unsigned step = 0; step < STEPS; step++) {
        unsigned i = (unsigned)ktap_random_below(REGIONS);

        if (region[i].at)
            region_finish(w, i);
        else
            region_begin(w, i);
        if (!ktap_random_below(50))
            vm_purge(w);
        if (!ktap_random_below(100))
            core_world_check();
    }
    for (unsigned i = 0; i < REGIONS; i++) {
        if (region[i].at)
            region_finish(w, i);
    }
    vm_purge(w);
    core_world_check();
}

/* Every allocation and every kernel call of a life fails once; nothing is lost. */
static void fail_each(void (*fail)(uint64_t n))
{
    struct worker *w = boot();
    uint64_t n = 0;

    do {
        uint64_t before = core_world_free_pages();

        fail(++n);
        void *small = vm_alloc(w, 5 * PAGE_BYTES);
        void *large = vm_alloc(w, BLOCK_BYTES);
        volatile void *device = io_map(w, SIM_DEVICE_PAGE << PAGE_SHIFT, 8, IO_DEVICE);
        if (small)
            vm_free(w, small);
        if (large)
            vm_free(w, large);
        if (device)
            io_unmap(w, device);
        bool failed = sim_failed();
        fail(0);
        vm_purge(w);
        core_world_check();
        EXPECT(core_world_free_pages() + 4 >= before); /* leaf tables stay */
        if (!failed)
            return;
    } while (n < 10000);
    EXPECT(!"the failures came to an end");
}

KTAP_CASE(core_vmap_every_allocation_fails_once)
{
    fail_each(sim_fail_alloc);
}

KTAP_CASE(core_vmap_every_kernel_call_fails_once)
{
    fail_each(sim_fail_call);
}
