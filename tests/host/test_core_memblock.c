/* The lists of memory and reserved regions, against a flat model; boot information; NUMA. */
#include "ktap.h"
#include "mmserver/core/memblock.h"
#include "mmserver/core/numa.h"
#include "mmserver/core/place.h"
#include "tree.h"

#include <stdlib.h>
#include <string.h>

/* ---- one entry for each quarter of a page ---- */

#define UNIT       (PAGE_BYTES / 4)
#define PAGES      96
#define UNITS      (PAGES * 4)
#define MODEL_BASE 0x80000000UL

struct unit {
    bool there;
    uint32_t flags, node;
};

static struct unit memory[UNITS], reserved[UNITS];
static struct memblock m;

static void list_compare(const struct memblock_list *list, const struct unit *model)
{
    uint32_t region = 0;

    for (uint32_t i = 0; i < UNITS; i++) {
        paddr_t at = MODEL_BASE + i * UNIT;

        while (region < list->count && list->region[region].end <= at)
            region++;
        const struct memblock_region *r = &list->region[region];
        bool there = region < list->count && r->start <= at;
        EXPECT_EQ(there, model[i].there);
        if (there) {
            EXPECT_EQ(r->flags, model[i].flags);
            EXPECT_EQ(r->node, model[i].node);
        }
    }
}

/* Are all four quarters memory of one region that may be given out? */
static bool page_is_free(uint32_t page)
{
    const struct unit *u = &memory[page * 4];

    for (uint32_t i = 0; i < 4; i++) {
        if (!u[i].there || (u[i].flags & MEMBLOCK_NOMAP) || u[i].flags != u[0].flags ||
            u[i].node != u[0].node || reserved[page * 4 + i].there)
            return false;
    }
    return true;
}

static void free_compare(uint32_t node)
{
    static bool seen[PAGES];
    struct memblock_range r;
    pfn_t last = 0;

    memset(seen, 0, sizeof seen);
    for (paddr_t at = 0; memblock_next_free(&m, &at, node, &r);) {
        EXPECT(r.first < r.end && r.first >= last);
        last = r.end;
        for (pfn_t p = r.first; p < r.end; p++) {
            uint32_t page = (uint32_t)(p - (MODEL_BASE >> PAGE_SHIFT));

            EXPECT(page < PAGES && page_is_free(page));
            EXPECT_EQ(memory[page * 4].node, r.node);
            seen[page] = true;
        }
    }
    for (uint32_t page = 0; page < PAGES; page++) {
        if (!seen[page] && page_is_free(page))
            EXPECT(node != MEMBLOCK_ANY_NODE && memory[page * 4].node != node);
    }
}

static void model_add(struct unit *model, uint32_t first, uint32_t end, uint32_t node,
                      uint32_t flags)
{
    for (uint32_t i = first; i < end; i++) {
        if (!model[i].there)
            model[i] = (struct unit){true, flags, node};
    }
}

static void model_remove(struct unit *model, uint32_t first, uint32_t end)
{
    for (uint32_t i = first; i < end; i++)
        model[i].there = false;
}

static void step_alloc(void)
{
    uint64_t pages = 1 + ktap_random_below(6), align = PAGE_BYTES << ktap_random_below(3);
    uint32_t node = ktap_random_below(2) ? MEMBLOCK_ANY_NODE : (uint32_t)ktap_random_below(2);
    paddr_t best = 0;

    m.top_down = ktap_random_below(2);
    for (uint32_t page = 0; page + pages <= PAGES; page++) {
        bool fits = (MODEL_BASE + page * PAGE_BYTES) % align == 0;

        for (uint32_t i = page; fits && i < page + pages; i++) {
            const struct unit *u = &memory[i * 4];

            fits = page_is_free(i) && (node == MEMBLOCK_ANY_NODE || u->node == node) &&
                   u->flags == memory[page * 4].flags && u->node == memory[page * 4].node;
        }
        if (fits && (!best || m.top_down))
            best = MODEL_BASE + page * PAGE_BYTES;
    }
    uint64_t bytes = pages * PAGE_BYTES - ktap_random_below(PAGE_BYTES);
    EXPECT_EQ(memblock_alloc(&m, bytes, align, 0, ~0UL, node), best);
    if (best) {
        uint32_t first = (uint32_t)((best - MODEL_BASE) / UNIT);
        model_add(reserved, first, first + (uint32_t)pages * 4, memory[first].node, 0);
    }
}

static void step_change(void)
{
    uint32_t a = (uint32_t)ktap_random_below(UNITS + 1), b = (uint32_t)ktap_random_below(UNITS + 1);
    uint32_t first = a < b ? a : b, end = a < b ? b : a, node = (uint32_t)ktap_random_below(2);
    uint32_t flags = (uint32_t)ktap_random_below(4) ? 0 : MEMBLOCK_REUSABLE;
    paddr_t start = MODEL_BASE + first * UNIT;
    uint64_t bytes = (end - first) * UNIT;
    enum memblock_error wanted = bytes ? MEMBLOCK_OK : MEMBLOCK_EMPTY;

    switch (ktap_random_below(5)) {
    case 0:
        EXPECT_EQ(memblock_add(&m, start, bytes, node, 0), wanted);
        model_add(memory, first, end, node, 0);
        break;
    case 1:
        EXPECT_EQ(memblock_remove(&m, start, bytes), wanted);
        model_remove(memory, first, end);
        break;
    case 2:
        EXPECT_EQ(memblock_reserve(&m, start, bytes, node, flags), wanted);
        model_add(reserved, first, end, node, flags);
        break;
    case 3:
        EXPECT_EQ(memblock_free(&m, start, bytes), wanted);
        model_remove(reserved, first, end);
        break;
    default:
        EXPECT_EQ(memblock_mark(&m.memory, start, bytes, MEMBLOCK_NOMAP), wanted);
        for (uint32_t i = first; i < end; i++)
            memory[i].flags |= memory[i].there ? MEMBLOCK_NOMAP : 0;
    }
}

KTAP_CASE(memblock_agrees_with_a_flat_model)
{
    for (int round = 0; round < 1500; round++) {
        memblock_init(&m);
        memset(memory, 0, sizeof memory);
        memset(reserved, 0, sizeof reserved);
        for (int step = 0; step < 16; step++) {
            if (ktap_random_below(4))
                step_change();
            else
                step_alloc();
            list_compare(&m.memory, memory);
            list_compare(&m.reserved, reserved);
            free_compare(MEMBLOCK_ANY_NODE);
            free_compare((uint32_t)ktap_random_below(2));
            EXPECT(memblock_check(&m));
        }
    }
}

KTAP_CASE(memblock_full_changes_nothing)
{
    static struct memblock before;

    memblock_init(&m);
    for (uint64_t i = 0; i < MEMBLOCK_REGIONS_MAX; i++)
        EXPECT_EQ(memblock_add(&m, i * 3 * PAGE_BYTES, 2 * PAGE_BYTES, 0, 0), MEMBLOCK_OK);
    before = m;
    EXPECT_EQ(memblock_add(&m, 1UL << 40, PAGE_BYTES, 0, 0), MEMBLOCK_FULL);
    EXPECT_EQ(memblock_remove(&m, PAGE_BYTES / 2, PAGE_BYTES), MEMBLOCK_FULL);
    EXPECT_EQ(memblock_mark(&m.memory, PAGE_BYTES, PAGE_BYTES, MEMBLOCK_NOMAP), MEMBLOCK_FULL);
    EXPECT(memcmp(&before, &m, sizeof m) == 0);
    EXPECT_EQ(memblock_remove(&m, 0, 2 * PAGE_BYTES), MEMBLOCK_OK);
    EXPECT_EQ(memblock_add(&m, 2 * PAGE_BYTES, PAGE_BYTES, 0, 0), MEMBLOCK_OK);
    EXPECT_EQ(m.memory.count, MEMBLOCK_REGIONS_MAX - 1);
}

KTAP_CASE(memblock_ends_of_the_address_space)
{
    struct memblock_range r;

    memblock_init(&m);
    EXPECT_EQ(memblock_add(&m, -PAGE_BYTES, 2 * PAGE_BYTES, 0, 0), MEMBLOCK_EMPTY);
    EXPECT_EQ(memblock_add(&m, -PAGE_BYTES, PAGE_BYTES, 0, 0), MEMBLOCK_EMPTY);
    EXPECT_EQ(memblock_add(&m, -2 * PAGE_BYTES, 2 * PAGE_BYTES - 1, 0, 0), MEMBLOCK_OK);
    EXPECT_EQ(memblock_add(&m, 0, PAGE_BYTES, 0, 0), MEMBLOCK_OK);
    paddr_t at = 0;
    EXPECT(memblock_next_free(&m, &at, MEMBLOCK_ANY_NODE, &r) && r.first == 0 && r.end == 1);
    EXPECT(memblock_next_free(&m, &at, MEMBLOCK_ANY_NODE, &r));
    EXPECT_EQ(r.first, -2 * PAGE_BYTES >> PAGE_SHIFT);
    EXPECT(!memblock_next_free(&m, &at, MEMBLOCK_ANY_NODE, &r));
    EXPECT_EQ(memblock_alloc(&m, -PAGE_BYTES, PAGE_BYTES, 0, ~0UL, MEMBLOCK_ANY_NODE), 0);
    EXPECT_EQ(memblock_alloc(&m, ~0UL, PAGE_BYTES, 0, ~0UL, MEMBLOCK_ANY_NODE), 0);
    EXPECT_EQ(memblock_alloc(&m, 1, 1UL << 63, PAGE_BYTES, ~0UL, MEMBLOCK_ANY_NODE), 0);
}

/* ---- from a device tree and the kernel's information ---- */

static void reserved_node(struct tree *t, const char *name, uint32_t start, uint32_t bytes,
                          const char *property)
{
    tree_begin(t, name);
    tree_cells(t, "reg", 4, 0, start, 0, bytes);
    if (property)
        tree_bytes(t, property, "", 0);
    tree_end(t);
}

/* 256 MiB on node 0 and 256 MiB on node 1, given unsorted and overlapping. */
static uint8_t *machine(size_t *bytes)
{
    static struct tree t;

    memset(&t, 0, sizeof t);
    tree_reserve(&t, 0x90000800, 0x1000);
    tree_begin(&t, "");
    tree_cells(&t, "#address-cells", 1, 2);
    tree_cells(&t, "#size-cells", 1, 2);
    tree_begin(&t, "memory@90000000");
    tree_string(&t, "device_type", "memory");
    tree_cells(&t, "numa-node-id", 1, 1);
    tree_cells(&t, "reg", 8, 0, 0x98000000, 0, 0x8000000, 0, 0x90000000, 0, 0xa000000);
    tree_end(&t);
    tree_begin(&t, "memory@80000000");
    tree_string(&t, "device_type", "memory");
    tree_cells(&t, "numa-node-id", 1, 0);
    tree_cells(&t, "reg", 4, 0, 0x80000000, 0, 0x10000000);
    tree_end(&t);
    tree_begin(&t, "cpus");
    tree_cells(&t, "#address-cells", 1, 1);
    tree_cells(&t, "#size-cells", 1, 0);
    for (uint32_t i = 0; i < 4; i++) {
        tree_begin(&t, i == 0 ? "cpu@0" : i == 1 ? "cpu@1" : i == 2 ? "cpu@2" : "cpu@3");
        tree_cells(&t, "reg", 1, i);
        tree_cells(&t, "numa-node-id", 1, i / 2);
        tree_end(&t);
    }
    tree_end(&t);
    tree_begin(&t, "distance-map");
    tree_string(&t, "compatible", "numa-distance-map-v1");
    tree_cells(&t, "distance-matrix", 9, 0, 0, 10, 0, 1, 32, 1, 1, 10);
    tree_end(&t);
    tree_begin(&t, "reserved-memory");
    tree_cells(&t, "#address-cells", 1, 2);
    tree_cells(&t, "#size-cells", 1, 2);
    tree_bytes(&t, "ranges", "", 0);
    reserved_node(&t, "firmware@80000000", 0x80000000, 0x80000, "no-map");
    reserved_node(&t, "frame@84000000", 0x84000000, 0x100000, NULL);
    reserved_node(&t, "pool@88000000", 0x88000000, 0x400000, "reusable");
    tree_end(&t);
    tree_end(&t);
    return tree_finish(&t, bytes);
}

static struct boot_info information(const uint8_t *blob, size_t bytes)
{
    place_linear_base = 0; /* addresses of the test are its own */
    return (struct boot_info){
        .harts = 3,
        .hart_machine_id = {2, 0, 1},
        .dtb_start = (uintptr_t)blob,
        .dtb_bytes = bytes,
        .ranges = 5,
        .range = {{0x80000, 0x80, BOOT_RESERVED, 0, BOOT_RANGE_NOMAP},
                  {0x80200, 0x100, BOOT_KERNEL, 0, 0},
                  {0x80300, 0x7d00, BOOT_FREE, 0, 0},
                  {0x88000, 0x400, BOOT_FREE, 0, BOOT_RANGE_REUSABLE},
                  {0x90000, 0x8000, BOOT_FREE, 1, 0}},
    };
}

KTAP_CASE(memblock_takes_what_was_given)
{
    size_t bytes;
    uint8_t *blob = machine(&bytes);
    struct boot_info info = information(blob, bytes);
    struct memblock_range r;
    paddr_t at = 0;

    EXPECT(memblock_boot(&m, &info) == NULL);
    EXPECT(memblock_check(&m));
    struct memblock_account sum = memblock_account(&m);
    EXPECT_EQ(sum.present, 0x20000);
    EXPECT_EQ(sum.nomap, 0x80);
    EXPECT_EQ(sum.reusable, 0x400);
    EXPECT_EQ(sum.free, 0x7d00 - 0x100 + 0x8000 - 2);
    EXPECT(memblock_next_free(&m, &at, 0, &r));
    EXPECT(r.first == 0x80300 && r.end == 0x84000 && r.slot == SLOT_MEMORY + 2);
    EXPECT(memblock_next_free(&m, &at, 0, &r));
    EXPECT(r.first == 0x84100 && r.end == 0x88000);
    EXPECT(!memblock_next_free(&m, &at, 0, &r));
    at = 0;
    EXPECT(memblock_next_free(&m, &at, 1, &r) && r.first == 0x90002 && r.node == 1);
    EXPECT_EQ(r.end, 0x98000);
    at = 0;
    EXPECT(memblock_next_reusable(&m, &at, MEMBLOCK_ANY_NODE, &r));
    EXPECT(r.first == 0x88000 && r.end == 0x88400 && r.slot == SLOT_MEMORY + 3);
    /* Never across two grants, although the memory goes on. */
    m.top_down = true;
    EXPECT_EQ(memblock_alloc(&m, 0x5000 << PAGE_SHIFT, PAGE_BYTES, 0, ~0UL, 0), 0);
    EXPECT_EQ(memblock_alloc(&m, PAGE_BYTES, 2 << 20, 0, ~0UL, 0), 0x87e00000);
    EXPECT(memblock_check(&m));
    free(blob);
}

KTAP_CASE(memblock_without_a_tree_is_what_the_kernel_says)
{
    struct boot_info info = information(NULL, 0);

    EXPECT(memblock_boot(&m, &info) == NULL);
    struct memblock_account sum = memblock_account(&m);
    EXPECT_EQ(sum.present, 0x80 + 0x100 + 0x7d00 + 0x400 + 0x8000);
    EXPECT_EQ(sum.free, 0x7d00 + 0x8000);
    info.ranges = 2;
    EXPECT(memblock_boot(&m, &info) != NULL); /* nothing was given */
    info.ranges = BOOT_RANGES_MAX + 1;
    EXPECT(memblock_boot(&m, &info) != NULL);
}

KTAP_CASE(memblock_keeps_the_start_until_it_is_freed)
{
    struct boot_info info = information(NULL, 0);

    info.range[1].kind = BOOT_FREE;
    info.range[1].flags = BOOT_RANGE_STARTUP;
    EXPECT(memblock_boot(&m, &info) == NULL);
    EXPECT_EQ(memblock_account(&m).free, 0x7d00 + 0x8000);
    EXPECT_EQ(memblock_free(&m, 0x80200000, 0x100000), MEMBLOCK_OK);
    EXPECT_EQ(memblock_account(&m).free, 0x100 + 0x7d00 + 0x8000);
    EXPECT(memblock_check(&m));
}

KTAP_CASE(memblock_report_is_readable)
{
    static char buffer[4096];
    struct text t = {.buffer = buffer, .bytes = sizeof buffer - 1};
    size_t bytes;
    uint8_t *blob = machine(&bytes);
    struct boot_info info = information(blob, bytes);

    EXPECT(memblock_boot(&m, &info) == NULL);
    memblock_report(&t, &m);
    EXPECT(strstr(buffer, "   0: 0x0000000080000000..0x000000008007ffff    0 NOMAP\n"));
    EXPECT(strstr(buffer, "0x0000000090000000..0x000000009fffffff    1 NONE\n"));
    EXPECT(strstr(buffer, "0x0000000088000000..0x00000000883fffff    0 REUSABLE\n"));
    EXPECT(strstr(buffer, "total: 131072 pages present"));
    free(blob);
}

KTAP_CASE(numa_nodes_and_distances)
{
    size_t bytes;
    uint8_t *blob = machine(&bytes);
    struct boot_info info = information(blob, bytes);

    EXPECT(memblock_boot(&memblock, &info) == NULL);
    numa_boot(&info);
    EXPECT_EQ(numa_nodes(), 2);
    EXPECT_EQ(numa_node_of_hart(0), 1); /* its machine id is 2 */
    EXPECT_EQ(numa_node_of_hart(1), 0);
    EXPECT_EQ(numa_node_of_hart(2), 0);
    EXPECT_EQ(numa_distance(0, 1), 32);
    EXPECT_EQ(numa_distance(1, 0), 32); /* given in one direction */
    EXPECT_EQ(numa_distance(1, 1), NUMA_DISTANCE_LOCAL);
    EXPECT_EQ(numa_distance(0, 7), NUMA_DISTANCE_REMOTE);
    free(blob);
}

KTAP_CASE(numa_unsound_maps_are_not_used)
{
    static const uint32_t bad[][3] = {{0, 1, 10},  {0, 1, 0},   {0, 0, 11},
                                      {0, 1, 256}, {16, 0, 20}, {0, ~0u, 20}};

    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++) {
        struct boot_info info = {.harts = 1};
        static struct tree t;
        struct fdt f;
        size_t bytes;

        memset(&t, 0, sizeof t);
        tree_begin(&t, "");
        tree_begin(&t, "distance-map");
        tree_string(&t, "compatible", "numa-distance-map-v1");
        tree_cells(&t, "distance-matrix", 6, 0, 1, 40, bad[i][0], bad[i][1], bad[i][2]);
        tree_end(&t);
        tree_end(&t);
        uint8_t *blob = tree_finish(&t, &bytes);
        EXPECT_EQ(fdt_open(&f, blob, bytes), FDT_OK);
        numa_init();
        EXPECT(numa_from_device_tree(&f, &info) != NULL);
        EXPECT_EQ(numa_distance(0, 1), NUMA_DISTANCE_REMOTE);
        free(blob);
    }
}
