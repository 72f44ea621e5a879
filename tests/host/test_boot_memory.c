/* What boot makes of memory nodes, reservations and the kernel command line. */
#include "ktap.h"
#include "kernel/options.h"
#include "kernel/regions.h"
#include "tree.h"

#include <stdlib.h>
#include <string.h>

#define MIB (1UL << 20)

/* Checked against a map that has one byte for each page. */
enum { PAGES = 64, NONE = 255 };
static uint8_t model[PAGES];

static void compare(const struct regions *r)
{
    for (unsigned page = 0; page < PAGES; page++) {
        unsigned kind = NONE;
        for (unsigned i = 0; i < r->count; i++)
            if (page * PAGE_BYTES >= r->region[i].start && page * PAGE_BYTES < r->region[i].end)
                kind = r->region[i].kind;
        EXPECT_EQ(kind, model[page]);
    }
    for (unsigned i = 0; i + 1 < r->count; i++)
        EXPECT(r->region[i].end <= r->region[i + 1].start);
}

KTAP_CASE(regions_agree_with_a_page_map)
{
    for (int round = 0; round < 2000; round++) {
        struct regions r = {0};
        memset(model, NONE, sizeof model);
        for (int step = 0; step < 8; step++) {
            unsigned a = (unsigned)ktap_random_below(PAGES), b = (unsigned)ktap_random_below(PAGES);
            unsigned first = a < b ? a : b, end = a < b ? b : a;
            unsigned kind = (unsigned)ktap_random_below(4), from = (unsigned)ktap_random_below(16);
            bool add = ktap_random_below(2);
            uint64_t changed = 0, expected = 0;
            for (unsigned page = first; page < end; page++) {
                if (add && model[page] == NONE) {
                    model[page] = BOOT_FREE;
                } else if (!add && model[page] != NONE && (from >> model[page] & 1)) {
                    model[page] = (uint8_t)kind;
                    expected += PAGE_BYTES;
                }
            }
            if (add)
                regions_add(&r, first * PAGE_BYTES, end * PAGE_BYTES, BOOT_FREE, 0);
            else
                changed = regions_mark(&r, first * PAGE_BYTES, end * PAGE_BYTES, from, kind, 0);
            EXPECT_EQ(changed, expected);
            EXPECT_EQ(r.forgotten, 0);
            compare(&r);
        }
    }
}

KTAP_CASE(regions_round_memory_in_and_marks_out)
{
    struct regions r = {0};
    regions_add(&r, 0x1001, 0x8fff, BOOT_FREE, 0);
    EXPECT_EQ(r.region[0].start, 0x2000);
    EXPECT_EQ(r.region[0].end, 0x8000);
    EXPECT_EQ(regions_mark(&r, 0x3fff, 0x4001, 1u << BOOT_FREE, BOOT_RESERVED, 0), 0x2000);
    EXPECT_EQ(regions_inside(&r, 0x3fff, 0x5001, 1u << BOOT_RESERVED, 0), 0x2000);
    EXPECT_EQ(regions_find(&r, 0, ~0UL, 0x3000, PAGE_BYTES), 0x5000);
    EXPECT_EQ(regions_find(&r, 0, ~0UL, 0x2000, 2 * PAGE_BYTES), 0x6000);
    EXPECT_EQ(regions_find(&r, 0, 0x7000, 0x3000, PAGE_BYTES), 0);
    EXPECT_EQ(regions_find(&r, 0, ~0UL, 0x4000, PAGE_BYTES), 0);
    EXPECT_EQ(regions_cut(&r, 0x4000), 0x4000);
    EXPECT_EQ(r.region[r.count - 1].end, 0x4000);
}

/* How many statements of the tree there was something to say about. */
static unsigned read_all(struct regions *r, const struct fdt *f)
{
    struct fdt_memory_item item;
    const char *problem;
    unsigned problems = 0;
    struct fdt_memory_walk walk = {.tree = f};
    while (regions_read(r, &walk, &item, &problem))
        problems += problem != NULL;
    walk = (struct fdt_memory_walk){.tree = f, .placing = true};
    while (regions_place(r, &walk, &item, &problem))
        problems += problem != NULL;
    return problems;
}

KTAP_CASE(regions_read_unsorted_overlapping_memory)
{
    struct tree t = {0};
    struct regions r = {0};
    struct fdt f;
    size_t bytes;
    tree_reserve(&t, 0x90000000, 0x1000);
    tree_begin(&t, "");
    tree_cells(&t, "#address-cells", 1, 2);
    tree_cells(&t, "#size-cells", 1, 2);
    tree_begin(&t, "memory@90000000");
    tree_string(&t, "device_type", "memory");
    tree_cells(&t, "numa-node-id", 1, 1);
    tree_cells(&t, "reg", 4, 0, 0x90000000, 0, 0x10000000);
    tree_end(&t);
    tree_begin(&t, "memory@80000000");
    tree_string(&t, "device_type", "memory");
    tree_cells(&t, "reg", 4, 0, 0x80000000, 0, 0x18000000);
    tree_end(&t);
    tree_begin(&t, "reserved-memory");
    tree_cells(&t, "#address-cells", 1, 2);
    tree_cells(&t, "#size-cells", 1, 2);
    tree_bytes(&t, "ranges", "", 0);
    tree_begin(&t, "firmware@80000000");
    tree_cells(&t, "reg", 4, 0, 0x80000000, 0, 0x80000);
    tree_end(&t);
    tree_end(&t);
    tree_end(&t);
    uint8_t *blob = tree_finish(&t, &bytes);
    EXPECT_EQ(fdt_open(&f, blob, bytes), FDT_OK);
    EXPECT_EQ(read_all(&r, &f), 1); /* the overlap */
    EXPECT_EQ(r.count, 4);
    EXPECT_EQ(r.region[0].kind, BOOT_RESERVED);
    EXPECT_EQ(r.region[1].end, 0x90000000);
    EXPECT_EQ(r.region[1].node, 0);
    EXPECT_EQ(r.region[2].kind, BOOT_RESERVED);
    EXPECT_EQ(r.region[3].node, 1);
    EXPECT_EQ(r.region[3].end, 0xa0000000);
    EXPECT_EQ(regions_bytes(&r, BOOT_FREE), 512 * MIB - 0x80000 - 0x1000);
    free(blob);
}

KTAP_CASE(regions_full_keeps_the_largest)
{
    struct regions r = {0};
    for (unsigned i = 0; i < REGIONS_MAX; i++)
        regions_add(&r, 4 * i * PAGE_BYTES, (4 * i + 2) * PAGE_BYTES, BOOT_FREE, 0);
    EXPECT_EQ(r.count, REGIONS_MAX);
    regions_add(&r, MIB << 10, (MIB << 10) + PAGE_BYTES, BOOT_FREE, 0); /* the smallest itself */
    EXPECT_EQ(r.forgotten, PAGE_BYTES);
    regions_add(&r, MIB << 20, (MIB << 20) + MIB, BOOT_FREE, 0);
    EXPECT_EQ(r.forgotten, 3 * PAGE_BYTES);
    EXPECT_EQ(r.count, REGIONS_MAX);
    EXPECT_EQ(r.region[REGIONS_MAX - 1].start, MIB << 20);
    /* A mark that needs two borders costs two regions. */
    EXPECT_EQ(regions_mark(&r, (MIB << 20) + 8192, (MIB << 20) + 12288, 1u << BOOT_FREE,
                           BOOT_RESERVED, 0),
              4096);
    EXPECT_EQ(r.forgotten, 7 * PAGE_BYTES);
    regions_limit(&r, 10);
    EXPECT_EQ(r.count, 11);
    EXPECT_EQ(regions_bytes(&r, BOOT_RESERVED), 4096);
}

static void node_begin(struct tree *t, const char *name, uint32_t start, uint32_t bytes)
{
    tree_begin(t, name);
    if (bytes)
        tree_cells(t, "reg", 4, 0, start, 0, bytes);
}

KTAP_CASE(regions_of_reserved_memory)
{
    struct tree t = {0};
    struct regions r = {0};
    struct fdt f;
    size_t bytes;
    tree_begin(&t, "");
    tree_cells(&t, "#address-cells", 1, 2);
    tree_cells(&t, "#size-cells", 1, 2);
    node_begin(&t, "memory@80000000", 0x80000000, 0x10000000);
    tree_string(&t, "device_type", "memory");
    tree_end(&t);
    tree_begin(&t, "reserved-memory");
    tree_cells(&t, "#address-cells", 1, 2);
    tree_cells(&t, "#size-cells", 1, 2);
    tree_bytes(&t, "ranges", "", 0);
    node_begin(&t, "frame", 0x81000000, 0x1000);
    tree_end(&t);
    node_begin(&t, "secret", 0x81000000, 0x2000); /* over the former */
    tree_bytes(&t, "no-map", "", 0);
    tree_end(&t);
    node_begin(&t, "lent", 0x82000000, 0x400000);
    tree_bytes(&t, "reusable", "", 0);
    tree_end(&t);
    node_begin(&t, "ragged", 0x83000000, 0x300000);
    tree_bytes(&t, "reusable", "", 0);
    tree_end(&t);
    node_begin(&t, "off", 0x84000000, 0x300000);
    tree_string(&t, "status", "disabled");
    tree_end(&t);
    node_begin(&t, "pool", 0, 0);
    tree_cells(&t, "size", 2, 0, 0x300000);
    tree_cells(&t, "alignment", 2, 0, 0x400000);
    tree_cells(&t, "alloc-ranges", 8, 0, 0x70000000, 0, 0x1000000, 0, 0x84100000, 0, 0x2000000);
    tree_bytes(&t, "reusable", "", 0);
    tree_bytes(&t, "linux,cma-default", "", 0);
    tree_string(&t, "compatible", "shared-dma-pool");
    tree_end(&t);
    node_begin(&t, "large", 0, 0);
    tree_cells(&t, "size", 2, 1, 0);
    tree_end(&t);
    node_begin(&t, "nothing", 0, 0);
    tree_end(&t);
    tree_end(&t);
    tree_end(&t);
    uint8_t *blob = tree_finish(&t, &bytes);
    EXPECT_EQ(fdt_open(&f, blob, bytes), FDT_OK);
    EXPECT_EQ(read_all(&r, &f), 3); /* ragged, large, nothing */
    const uint32_t kinds = 1u << BOOT_FREE | 1u << BOOT_RESERVED;
    EXPECT_EQ(regions_inside(&r, 0, 1UL << 40, kinds, BOOT_RANGE_NOMAP), 0x2000);
    EXPECT_EQ(regions_inside(&r, 0x82000000, 0x82400000, 1u << BOOT_FREE, BOOT_RANGE_REUSABLE),
              0x400000);
    EXPECT_EQ(regions_inside(&r, 0x83000000, 0x83300000, 1u << BOOT_RESERVED, 0), 0x300000);
    EXPECT_EQ(regions_inside(&r, 0x84400000, 0x84800000, 1u << BOOT_FREE, BOOT_RANGE_CMA_DEFAULT),
              0x400000);
    EXPECT_EQ(regions_find(&r, 0x82000000, ~0UL, PAGE_BYTES, PAGE_BYTES), 0x82400000);
    EXPECT_EQ(regions_bytes(&r, BOOT_FREE), 0x10000000 - 0x2000 - 0x300000);
    free(blob);
}

KTAP_CASE(options_defaults_and_values)
{
    struct options o;
    EXPECT(options_read(&o, "") == NULL);
    EXPECT(o.levels == 3 && o.harts_max == HARTS_MAX && !o.asid_off && !o.pager_kernel && !o.plain);
    EXPECT(options_read(&o, "  quiet paging=sv57 asid=0 x=y maxharts=12 pager=kernel ") == NULL);
    EXPECT(o.levels == 5 && o.harts_max == 12 && o.asid_off && o.pager_kernel);
    EXPECT(options_read(&o, "pager=kernel pager=user") == NULL);
    EXPECT(!o.pager_kernel);
    EXPECT(options_read(&o, "messages=plain") == NULL && o.plain);
    EXPECT(options_read(&o, "messages=plain messages=straight") == NULL && !o.plain);
}

KTAP_CASE(options_bad_values_are_named)
{
    static const char *const bad[] = {
        "paging=",     "paging=sv32",   "paging=sv390", "pager=none",          "asid=2",
        "maxharts=0",  "maxharts=65",   "maxharts=",    "maxharts=4294967297", "maxharts=1x",
        "maxharts=-1", "pager=kernels", "messages=",    "messages=plainly",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct options o;
        EXPECT(options_read(&o, bad[i]) == bad[i]);
    }
}
