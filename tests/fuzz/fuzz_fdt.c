/*
 * Device trees from arbitrary bytes: whatever fdt_open() accepts must be safe to walk with every
 * function of the reader, and to make the kernel's map of memory, the server's memblock and its
 * NUMA distances from. The sanitizers are the oracle, and the invariants of each.
 */
#include "kernel/regions.h"
#include "lib/fdt.h"
#include "mmserver/core/memblock.h"
#include "mmserver/core/numa.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(const struct fdt *f)
{
    uint64_t address, bytes, number;
    uint32_t cell;
    unsigned nodes = 0;
    for (int32_t n = fdt_root(f); n != FDT_NONE && nodes < 64; n = fdt_next(f, n), nodes++) {
        int32_t parent = fdt_parent(f, n);
        if (n != fdt_root(f) && parent == FDT_NONE)
            abort();
        if (strlen(fdt_name(f, n)) > f->struct_bytes)
            abort();
        (void)fdt_enabled(f, n);
        (void)fdt_number(f, n, "numa-node-id", &number);
        (void)fdt_cell(f, n, "interrupts", 3, &cell);
        (void)fdt_string(f, n, "device_type");
        for (uint32_t i = 0; i < 4; i++)
            if (fdt_reg(f, n, i, &address, &bytes) && address + bytes < address)
                abort();
        for (int32_t c = fdt_first_child(f, n); c != FDT_NONE; c = fdt_next_sibling(f, c))
            if (nodes < 16 && fdt_parent(f, c) != n)
                abort();
    }
    (void)fdt_next_compatible(f, FDT_NONE, "ns16550a");
    (void)fdt_find_path(f, "/soc/serial@10000000");
    (void)fdt_find_phandle(f, 1);
    for (uint32_t i = 0; i < 8; i++)
        (void)fdt_reserved(f, i, &address, &bytes);
}

static void check_regions(const struct regions *r)
{
    for (unsigned i = 0; i < r->count; i++) {
        const struct region *item = &r->region[i];
        if (item->start >= item->end || (item->start | item->end) % PAGE_BYTES)
            abort();
        if (i > 0 && r->region[i - 1].end > item->start)
            abort();
    }
}

static void make_map(struct regions *r, const struct fdt *f)
{
    for (unsigned placing = 0; placing < 2; placing++) {
        struct fdt_memory_walk walk = {.tree = f, .placing = placing};
        struct fdt_memory_item item;
        const char *problem = NULL;
        unsigned steps = 0;
        while (placing ? regions_place(r, &walk, &item, &problem)
                       : regions_read(r, &walk, &item, &problem))
            if (++steps > f->total_bytes || !item.name ||
                ((item.says == FDT_SAYS_WRONG || item.says == FDT_SAYS_FATAL) && !problem))
                abort();
    }
}

/* What the server makes of it must add up, and agree about memory with what the kernel makes. */
static void make_memblock(const struct fdt *f)
{
    static struct memblock m;
    struct memblock_range range;
    memblock_init(&m);
    if (memblock_from_device_tree(&m, f) && !m.memory.count)
        return;
    if (!memblock_check(&m))
        abort();
    while (memblock_alloc(&m, 3 * PAGE_BYTES, 8 * PAGE_BYTES, 0, ~0UL, MEMBLOCK_ANY_NODE))
        if (m.reserved.count > 64)
            break;
    if (!memblock_check(&m))
        abort();
    for (paddr_t at = 0; memblock_next_free(&m, &at, MEMBLOCK_ANY_NODE, &range);)
        if (range.first >= range.end || range.end > FDT_MEMORY_ADDRESS_MAX >> PAGE_SHIFT)
            abort();
}

static void make_numa(const struct fdt *f)
{
    struct boot_info info = {.harts = 2, .hart_machine_id = {0, 1}};
    numa_init();
    (void)numa_from_device_tree(f, &info);
    for (uint32_t a = 0; a < NUMA_NODES_MAX; a++)
        for (uint32_t b = 0; b < NUMA_NODES_MAX; b++)
            if ((numa_distance(a, b) == NUMA_DISTANCE_LOCAL) != (a == b))
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fdt f;
    struct regions r = {0};
    uint8_t *copy =
        aligned_alloc(8, (size + 8) & ~7UL); /* exact bounds matter more than the tail */
    memcpy(copy, data, size);
    if (fdt_open(&f, copy, size) == FDT_OK) {
        walk(&f);
        make_map(&r, &f);
        check_regions(&r);
        make_memblock(&f);
        make_numa(&f);
    }
    free(copy);
    return 0;
}
