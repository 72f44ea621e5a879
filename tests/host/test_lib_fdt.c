/* The device tree reader: navigation, properties, addresses; and blobs that are damaged. */
#include "ktap.h"
#include "lib/fdt.h"
#include "tree.h"

#include <stdlib.h>
#include <string.h>

static uint8_t *sample(size_t *bytes)
{
    static struct tree t;
    memset(&t, 0, sizeof t);
    tree_reserve(&t, 0x80000000, 0x1000);
    tree_begin(&t, "");
    tree_cells(&t, "#address-cells", 1, 2);
    tree_cells(&t, "#size-cells", 1, 2);
    tree_begin(&t, "chosen");
    tree_string(&t, "bootargs", "a=b");
    tree_end(&t);
    tree_begin(&t, "bus@40000000");
    tree_cells(&t, "#address-cells", 1, 1);
    tree_cells(&t, "#size-cells", 1, 1);
    tree_cells(&t, "ranges", 4, 0x1000, 0, 0x40001000, 0x1000);
    tree_begin(&t, "serial@1100");
    tree_bytes(&t, "compatible", "acme,uart\0ns16550a", 19);
    tree_cells(&t, "reg", 4, 0x1100, 0x100, 0x1f80, 0x100);
    tree_cells(&t, "phandle", 1, 7);
    tree_string(&t, "status", "okay");
    tree_end(&t);
    tree_begin(&t, "off@0");
    tree_string(&t, "status", "disabled");
    tree_end(&t);
    tree_end(&t);
    tree_begin(&t, "memory@80000000");
    tree_cells(&t, "reg", 4, 0, 0x80000000, 1, 0);
    tree_end(&t);
    tree_begin(&t, "closed");
    tree_begin(&t, "device");
    tree_cells(&t, "reg", 3, 0, 0x10, 0x10);
    tree_end(&t);
    tree_end(&t);
    tree_end(&t);
    return tree_finish(&t, bytes);
}

KTAP_CASE(fdt_finds_nodes)
{
    size_t bytes;
    struct fdt f;
    uint8_t *blob = sample(&bytes);
    EXPECT_EQ(fdt_open(&f, blob, bytes), FDT_OK);
    int32_t serial = fdt_find_path(&f, "/bus@40000000/serial@1100");
    EXPECT(serial != FDT_NONE);
    EXPECT_EQ(fdt_find_path(&f, "/bus/serial"), serial);
    EXPECT_EQ(fdt_find_path(&f, "/bus/serial@1101"), FDT_NONE);
    EXPECT_EQ(fdt_find_path(&f, "/"), fdt_root(&f));
    EXPECT_EQ(fdt_find_phandle(&f, 7), serial);
    EXPECT_EQ(fdt_find_phandle(&f, 8), FDT_NONE);
    EXPECT_EQ(fdt_next_compatible(&f, FDT_NONE, "ns16550a"), serial);
    EXPECT_EQ(fdt_next_compatible(&f, serial, "ns16550a"), FDT_NONE);
    EXPECT_EQ(fdt_next_compatible(&f, FDT_NONE, "ns16550"), FDT_NONE);
    EXPECT_EQ(fdt_parent(&f, serial), fdt_find_path(&f, "/bus"));
    EXPECT_EQ(fdt_parent(&f, fdt_root(&f)), FDT_NONE);
    EXPECT(strcmp(fdt_name(&f, serial), "serial@1100") == 0);
    EXPECT(fdt_enabled(&f, serial) && fdt_enabled(&f, fdt_root(&f)));
    EXPECT(!fdt_enabled(&f, fdt_find_path(&f, "/bus/off")));
    int children = 0;
    for (int32_t n = fdt_first_child(&f, fdt_root(&f)); n != FDT_NONE; n = fdt_next_sibling(&f, n))
        children++;
    EXPECT_EQ(children, 4);
    free(blob);
}

KTAP_CASE(fdt_reads_properties_and_addresses)
{
    size_t bytes;
    struct fdt f;
    uint64_t address, size, number;
    uint32_t cell;
    uint8_t *blob = sample(&bytes);
    EXPECT_EQ(fdt_open(&f, blob, bytes), FDT_OK);
    int32_t serial = fdt_find_phandle(&f, 7), memory = fdt_find_path(&f, "/memory");
    EXPECT(strcmp(fdt_string(&f, fdt_find_path(&f, "/chosen"), "bootargs"), "a=b") == 0);
    EXPECT(fdt_string(&f, serial, "nothing") == NULL);
    EXPECT(fdt_string(&f, memory, "reg") != NULL); /* it begins with a zero byte: an empty string */
    EXPECT(fdt_number(&f, serial, "phandle", &number) && number == 7);
    EXPECT(!fdt_number(&f, serial, "reg", &number));
    EXPECT(fdt_cell(&f, serial, "reg", 3, &cell) && cell == 0x100);
    EXPECT(!fdt_cell(&f, serial, "reg", 4, &cell));
    EXPECT(fdt_reg(&f, serial, 0, &address, &size) && address == 0x40001100 && size == 0x100);
    EXPECT(!fdt_reg(&f, serial, 1, &address, &size)); /* it leaves the bus's range */
    EXPECT(!fdt_reg(&f, serial, 2, &address, &size));
    EXPECT(fdt_reg(&f, memory, 0, &address, &size) && address == 0x80000000 && size == 1UL << 32);
    EXPECT(!fdt_reg(&f, fdt_find_path(&f, "/closed/device"), 0, &address, &size));
    EXPECT(fdt_reserved(&f, 0, &address, &size) && address == 0x80000000 && size == 0x1000);
    EXPECT(!fdt_reserved(&f, 1, &address, &size));
    free(blob);
}

KTAP_CASE(fdt_cut_anywhere_is_an_error)
{
    size_t bytes;
    struct fdt f;
    uint8_t *blob = sample(&bytes);
    for (size_t n = 0; n < bytes; n++) {
        uint8_t *cut = malloc(n ? n : 1);
        memcpy(cut, blob, n);
        EXPECT(fdt_open(&f, cut, n) != FDT_OK);
        free(cut);
    }
    free(blob);
}

/* Whatever one byte becomes: an error, or a tree that can be walked. */
KTAP_CASE(fdt_each_byte_changed_is_safe)
{
    size_t bytes;
    struct fdt f;
    uint64_t address, size;
    uint8_t *blob = sample(&bytes);
    for (size_t at = 0; at < bytes; at++) {
        uint8_t old = blob[at];
        for (int change = 0; change < 8; change++) {
            blob[at] = (uint8_t)ktap_random();
            if (fdt_open(&f, blob, bytes) != FDT_OK)
                continue;
            for (int32_t n = fdt_root(&f); n != FDT_NONE; n = fdt_next(&f, n)) {
                (void)fdt_reg(&f, n, 0, &address, &size);
                (void)fdt_string_list_has(&f, n, "compatible", "x");
            }
        }
        blob[at] = old;
    }
    free(blob);
}

KTAP_CASE(fdt_depth_is_limited)
{
    struct tree t;
    struct fdt f;
    for (unsigned depth = FDT_DEPTH_MAX; depth <= FDT_DEPTH_MAX + 1; depth++) {
        size_t bytes;
        memset(&t, 0, sizeof t);
        for (unsigned i = 0; i < depth; i++)
            tree_begin(&t, i ? "n" : "");
        for (unsigned i = 0; i < depth; i++)
            tree_end(&t);
        uint8_t *blob = tree_finish(&t, &bytes);
        EXPECT_EQ(fdt_open(&f, blob, bytes), depth <= FDT_DEPTH_MAX ? FDT_OK : FDT_DEPTH);
        free(blob);
    }
}

KTAP_CASE(fdt_malformed_structures_are_refused)
{
    struct tree t;
    struct fdt f;
    for (int kind = 0; kind < 4; kind++) {
        size_t bytes;
        memset(&t, 0, sizeof t);
        tree_begin(&t, "");
        if (kind == 0) { /* two roots */
            tree_end(&t);
            tree_begin(&t, "");
        } else if (kind == 1) { /* a property behind a child */
            tree_begin(&t, "child");
            tree_end(&t);
            tree_cells(&t, "late", 1, 1);
        } else if (kind == 2) { /* one end too many */
            tree_end(&t);
        } else { /* one too few */
            tree_begin(&t, "open");
        }
        tree_end(&t);
        uint8_t *blob = tree_finish(&t, &bytes);
        EXPECT_EQ(fdt_open(&f, blob, bytes), FDT_STRUCTURE);
        free(blob);
    }
}

KTAP_CASE(fdt_errors_have_sentences)
{
    for (int i = FDT_OK; i <= FDT_NAME; i++)
        EXPECT(strcmp(fdt_error_text(i), "unknown error") != 0);
    EXPECT(strcmp(fdt_error_text(-1), "unknown error") == 0);
}
