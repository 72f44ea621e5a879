/*
 * Device trees from arbitrary bytes: whatever fdt_open() accepts must be safe to walk with every
 * function of the reader, and to make a map of memory from. The sanitizers are the oracle, and the
 * map's own invariants.
 */
#include "kernel/regions.h"
#include "lib/fdt.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fdt f;
    struct regions r;
    uint8_t *copy =
        aligned_alloc(8, (size + 8) & ~7UL); /* exact bounds matter more than the tail */
    memcpy(copy, data, size);
    if (fdt_open(&f, copy, size) == FDT_OK) {
        walk(&f);
        if (!regions_read(&r, &f))
            check_regions(&r);
    }
    free(copy);
    return 0;
}
