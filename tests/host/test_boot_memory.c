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
                EXPECT(regions_add(&r, first * PAGE_BYTES, end * PAGE_BYTES, BOOT_FREE, 0));
            else
                EXPECT(
                    regions_mark(&r, first * PAGE_BYTES, end * PAGE_BYTES, from, kind, &changed));
            EXPECT_EQ(changed, expected);
            compare(&r);
        }
    }
}

KTAP_CASE(regions_round_memory_in_and_marks_out)
{
    struct regions r = {0};
    uint64_t changed;
    EXPECT(regions_add(&r, 0x1001, 0x8fff, BOOT_FREE, 0));
    EXPECT_EQ(r.region[0].start, 0x2000);
    EXPECT_EQ(r.region[0].end, 0x8000);
    EXPECT(regions_mark(&r, 0x3fff, 0x4001, 1u << BOOT_FREE, BOOT_RESERVED, &changed));
    EXPECT_EQ(changed, 0x2000);
    EXPECT_EQ(regions_find(&r, 0, 0x3000), 0x5000);
    EXPECT_EQ(regions_find(&r, 0, 0x4000), 0);
    EXPECT_EQ(regions_cut(&r, 0x4000), 0x4000);
    EXPECT_EQ(r.region[r.count - 1].end, 0x4000);
}

KTAP_CASE(regions_read_unsorted_overlapping_memory)
{
    struct tree t = {0};
    struct regions r;
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
    EXPECT(regions_read(&r, &f) == NULL);
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

KTAP_CASE(regions_full_is_reported)
{
    struct regions r = {0};
    bool fits = true;
    for (unsigned i = 0; fits && i <= REGIONS_MAX; i++)
        fits = regions_add(&r, 2 * i * PAGE_BYTES, (2 * i + 1) * PAGE_BYTES, BOOT_FREE, 0);
    EXPECT(!fits);
    EXPECT_EQ(r.count, REGIONS_MAX);
}

KTAP_CASE(options_defaults_and_values)
{
    struct options o;
    EXPECT(options_read(&o, "") == NULL);
    EXPECT(o.levels == 3 && o.harts_max == HARTS_MAX && !o.asid_off && !o.pager_kernel);
    EXPECT(options_read(&o, "  quiet paging=sv57 asid=0 x=y maxharts=12 pager=kernel ") == NULL);
    EXPECT(o.levels == 5 && o.harts_max == 12 && o.asid_off && o.pager_kernel);
    EXPECT(options_read(&o, "pager=kernel pager=user") == NULL);
    EXPECT(!o.pager_kernel);
}

KTAP_CASE(options_bad_values_are_named)
{
    static const char *const bad[] = {
        "paging=",     "paging=sv32",   "paging=sv390", "pager=none",          "asid=2",
        "maxharts=0",  "maxharts=65",   "maxharts=",    "maxharts=4294967297", "maxharts=1x",
        "maxharts=-1", "pager=kernels",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct options o;
        EXPECT(options_read(&o, bad[i]) == bad[i]);
    }
}
