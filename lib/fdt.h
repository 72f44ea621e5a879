/*
 * Reader of flattened device trees (Devicetree Specification 0.4, version 17 and compatible).
 *
 * fdt_open() checks the whole tree once: header, every token, name, property and string offset. All
 * other functions rely on that and cannot leave the blob. The blob must not change while it is
 * used. Nothing is allocated and nothing is written. A node is named by its offset in the structure
 * block; FDT_NONE is no node.
 */
#ifndef LIB_FDT_H
#define LIB_FDT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FDT_NONE      (-1)
#define FDT_DEPTH_MAX 32
#define FDT_BYTES_MAX (4UL << 20)

enum fdt_error {
    FDT_OK,
    FDT_SHORT,     /* the blob is shorter than its header says, or than a header */
    FDT_MAGIC,     /* not a device tree */
    FDT_VERSION,   /* not readable as version 17 */
    FDT_LAYOUT,    /* a block lies outside the blob or is not aligned */
    FDT_STRUCTURE, /* a token is unknown, misplaced or cut off */
    FDT_DEPTH,     /* nodes are nested deeper than FDT_DEPTH_MAX */
    FDT_NAME       /* a name is not terminated inside its block */
};

struct fdt {
    const uint8_t *base;
    uint32_t total_bytes;
    uint32_t reserve_offset;
    uint32_t reserve_entries;
    uint32_t struct_offset;
    uint32_t struct_bytes;
    uint32_t strings_offset;
    uint32_t strings_bytes;
};

/* Check a blob of at most `max_bytes`; enum fdt_error. `base` must be aligned to 8 bytes. */
int fdt_open(struct fdt *f, const void *base, size_t max_bytes);
const char *fdt_error_text(int error);

/* Nodes, in the order of the tree. Each returns FDT_NONE at the end. */
int32_t fdt_root(const struct fdt *f);
int32_t fdt_next(const struct fdt *f, int32_t node); /* depth first; FDT_NONE gives the root */
int32_t fdt_first_child(const struct fdt *f, int32_t node);
int32_t fdt_next_sibling(const struct fdt *f, int32_t node);
int32_t fdt_parent(const struct fdt *f, int32_t node);
/* "/soc/serial@10000000"; a component without '@' also matches a node with a unit address. */
int32_t fdt_find_path(const struct fdt *f, const char *path);
int32_t fdt_find_phandle(const struct fdt *f, uint32_t phandle);
/* The next node after `node` (FDT_NONE: from the start) that is compatible with `name`. */
int32_t fdt_next_compatible(const struct fdt *f, int32_t node, const char *name);
const char *fdt_name(const struct fdt *f, int32_t node);
/* False only if a status property says something other than "okay" or "ok". */
bool fdt_enabled(const struct fdt *f, int32_t node);

/* Properties. NULL if there is none of that name; `bytes` may be NULL. */
const uint8_t *fdt_property(const struct fdt *f, int32_t node, const char *name, uint32_t *bytes);
/* NULL also if the value is not a terminated string. */
const char *fdt_string(const struct fdt *f, int32_t node, const char *name);
/* Is `text` one of a property's strings? */
bool fdt_string_list_has(const struct fdt *f, int32_t node, const char *name, const char *text);
/* Numbers of one or two cells; false if absent or of another size. */
bool fdt_number(const struct fdt *f, int32_t node, const char *name, uint64_t *value);
/* The 32-bit cell `index` of a property; false if there are fewer. */
bool fdt_cell(const struct fdt *f, int32_t node, const char *name, uint32_t index, uint32_t *value);

enum fdt_reg {
    FDT_REG_OK,
    FDT_REG_END,       /* there is no entry `index` */
    FDT_REG_CELLS,     /* the parent's #address-cells or #size-cells is not supported */
    FDT_REG_TRANSLATE, /* a bus on the way up does not translate it */
    FDT_REG_WRAPS      /* its end lies beyond 2^64 */
};

/* Entry `index` of a property of address-size pairs, like "reg", as a CPU address: cell counts from
 * the parent, translated by the "ranges" of every bus on the way up. enum fdt_reg; the numbers are
 * set if FDT_REG_OK, untranslated if FDT_REG_WRAPS. */
int fdt_range(const struct fdt *f, int32_t node, const char *name, uint32_t index,
              uint64_t *address, uint64_t *bytes);
/* The same of "reg"; false if absent, malformed, not translatable or overflowing. */
bool fdt_reg(const struct fdt *f, int32_t node, uint32_t index, uint64_t *address, uint64_t *bytes);
/* Entry `index` of the memory reservation block; false at its end. */
bool fdt_reserved(const struct fdt *f, uint32_t index, uint64_t *address, uint64_t *bytes);

#endif
