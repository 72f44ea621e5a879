/*
 * Flattened device trees: see fdt.h. All numbers in the blob are big-endian.
 *
 * Invariant after fdt_open(): the structure block is a well-formed sequence of tokens with exactly
 * one root node, every name and string is terminated, every value lies inside the block. So the
 * walkers below follow tokens without checking again.
 */
#include "lib/fdt.h"

#include <string.h>

#define FDT_HEADER_BYTES 40u
#define FDT_MAGIC_NUMBER 0xd00dfeedu

enum { TOKEN_BEGIN = 1, TOKEN_END = 2, TOKEN_PROPERTY = 3, TOKEN_NOP = 4, TOKEN_FINISH = 9 };

#define CELLS_MAX 2u /* addresses and sizes that this reader understands */

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint64_t be64(const uint8_t *p)
{
    return (uint64_t)be32(p) << 32 | be32(p + 4);
}

static uint32_t align4(uint32_t n)
{
    return (n + 3) & ~3u;
}

static const uint8_t *struct_at(const struct fdt *f, uint32_t offset)
{
    return f->base + f->struct_offset + offset;
}

static uint32_t token_at(const struct fdt *f, uint32_t offset)
{
    return be32(struct_at(f, offset));
}

static const char *string_at(const struct fdt *f, uint32_t offset)
{
    return (const char *)f->base + f->strings_offset + offset;
}

/* ---- checking ---- */

static bool block_fits(uint32_t offset, uint32_t bytes, uint32_t total, uint32_t align)
{
    return offset % align == 0 && offset >= FDT_HEADER_BYTES && offset <= total &&
           bytes <= total - offset;
}

static int check_header(struct fdt *f, const uint8_t *base, size_t max_bytes)
{
    if (max_bytes < FDT_HEADER_BYTES)
        return FDT_SHORT;
    if (be32(base) != FDT_MAGIC_NUMBER)
        return FDT_MAGIC;
    f->base = base;
    f->total_bytes = be32(base + 4);
    f->struct_offset = be32(base + 8);
    f->strings_offset = be32(base + 12);
    f->reserve_offset = be32(base + 16);
    uint32_t version = be32(base + 20), compatible = be32(base + 24);
    f->strings_bytes = be32(base + 32);
    f->struct_bytes = be32(base + 36);
    if (version < 17 || compatible > 17)
        return FDT_VERSION;
    if (f->total_bytes < FDT_HEADER_BYTES || f->total_bytes > max_bytes ||
        f->total_bytes > FDT_BYTES_MAX)
        return FDT_SHORT;
    if (!block_fits(f->struct_offset, f->struct_bytes, f->total_bytes, 4) ||
        !block_fits(f->strings_offset, f->strings_bytes, f->total_bytes, 1) ||
        !block_fits(f->reserve_offset, 0, f->total_bytes, 8))
        return FDT_LAYOUT;
    return FDT_OK;
}

/* The reservation block has no length: it ends with a pair of zeros. */
static int check_reservations(struct fdt *f)
{
    f->reserve_entries = 0;
    for (uint32_t at = f->reserve_offset;; at += 16) {
        if (f->total_bytes - at < 16)
            return FDT_LAYOUT;
        if (be64(f->base + at) == 0 && be64(f->base + at + 8) == 0)
            return FDT_OK;
        f->reserve_entries++;
    }
}

/* Bytes of a terminated string in `bytes` bytes, terminator included; 0 if it is not terminated. */
static uint32_t string_bytes(const uint8_t *s, uint32_t bytes)
{
    const uint8_t *end = memchr(s, 0, bytes);
    return end ? (uint32_t)(end - s) + 1 : 0;
}

static int check_property(const struct fdt *f, uint32_t *at)
{
    uint32_t left = f->struct_bytes - *at;
    if (left < 8)
        return FDT_STRUCTURE;
    uint32_t bytes = be32(struct_at(f, *at)), name = be32(struct_at(f, *at + 4));
    left -= 8;
    if (bytes > left || align4(bytes) > left)
        return FDT_STRUCTURE;
    if (name >= f->strings_bytes ||
        !string_bytes(f->base + f->strings_offset + name, f->strings_bytes - name))
        return FDT_NAME;
    *at += 8 + align4(bytes);
    return FDT_OK;
}

static int check_begin(const struct fdt *f, uint32_t *at)
{
    uint32_t left = f->struct_bytes - *at;
    uint32_t bytes = string_bytes(struct_at(f, *at), left);
    if (bytes == 0 || align4(bytes) > left)
        return FDT_NAME;
    *at += align4(bytes);
    return FDT_OK;
}

/* Properties come before child nodes, and there is one root. */
static int check_structure(const struct fdt *f)
{
    unsigned depth = 0, roots = 0;
    bool properties_allowed = false;
    for (uint32_t at = 0; f->struct_bytes - at >= 4;) {
        uint32_t token = token_at(f, at);
        int error = FDT_OK;
        at += 4;
        if (token == TOKEN_BEGIN) {
            if (depth == 0 && roots++ > 0)
                return FDT_STRUCTURE;
            if (++depth > FDT_DEPTH_MAX)
                return FDT_DEPTH;
            error = check_begin(f, &at);
            properties_allowed = true;
        } else if (token == TOKEN_END) {
            if (depth-- == 0)
                return FDT_STRUCTURE;
            properties_allowed = false;
        } else if (token == TOKEN_PROPERTY) {
            error = properties_allowed ? check_property(f, &at) : FDT_STRUCTURE;
        } else if (token == TOKEN_FINISH) {
            return depth == 0 && roots == 1 ? FDT_OK : FDT_STRUCTURE;
        } else if (token != TOKEN_NOP) {
            return FDT_STRUCTURE;
        }
        if (error)
            return error;
    }
    return FDT_STRUCTURE;
}

int fdt_open(struct fdt *f, const void *base, size_t max_bytes)
{
    int error = check_header(f, base, max_bytes);
    if (!error)
        error = check_reservations(f);
    if (!error)
        error = check_structure(f);
    return error;
}

const char *fdt_error_text(int error)
{
    static const char *const text[] = {
        [FDT_OK] = "no error",
        [FDT_SHORT] = "the device tree is cut off",
        [FDT_MAGIC] = "there is no device tree",
        [FDT_VERSION] = "the device tree has an unknown version",
        [FDT_LAYOUT] = "a block of the device tree lies outside it",
        [FDT_STRUCTURE] = "the device tree's structure is malformed",
        [FDT_DEPTH] = "the device tree is nested too deep",
        [FDT_NAME] = "a name in the device tree is malformed",
    };
    return (unsigned)error < sizeof text / sizeof *text ? text[error] : "unknown error";
}

/* ---- walking ---- */

/* The offset after the token at `at` and what belongs to it. */
static uint32_t skip_token(const struct fdt *f, uint32_t at)
{
    uint32_t token = token_at(f, at);
    at += 4;
    if (token == TOKEN_BEGIN)
        at += align4((uint32_t)strlen((const char *)struct_at(f, at)) + 1);
    else if (token == TOKEN_PROPERTY)
        at += 8 + align4(be32(struct_at(f, at)));
    return at;
}

/* From `at`, the next BEGIN token; *depth changes as nodes are left and entered. Stops with
 * FDT_NONE at the end of the tree or when *depth falls below `floor`. */
static int32_t next_begin(const struct fdt *f, uint32_t at, int *depth, int floor)
{
    for (;; at = skip_token(f, at)) {
        uint32_t token = token_at(f, at);
        if (token == TOKEN_FINISH)
            return FDT_NONE;
        if (token == TOKEN_END && --*depth < floor)
            return FDT_NONE;
        if (token == TOKEN_BEGIN) {
            ++*depth;
            return (int32_t)at;
        }
    }
}

int32_t fdt_root(const struct fdt *f)
{
    return fdt_next(f, FDT_NONE);
}

int32_t fdt_next(const struct fdt *f, int32_t node)
{
    int depth = 0;
    uint32_t at = node == FDT_NONE ? 0 : skip_token(f, (uint32_t)node);
    return next_begin(f, at, &depth, -FDT_DEPTH_MAX);
}

int32_t fdt_first_child(const struct fdt *f, int32_t node)
{
    int depth = 0;
    return next_begin(f, skip_token(f, (uint32_t)node), &depth, 0);
}

int32_t fdt_next_sibling(const struct fdt *f, int32_t node)
{
    int depth = 1; /* inside `node`; its sibling begins when depth is 1 again */
    do
        node = next_begin(f, skip_token(f, (uint32_t)node), &depth, 0);
    while (node != FDT_NONE && depth != 1);
    return node;
}

int32_t fdt_parent(const struct fdt *f, int32_t node)
{
    int32_t path[FDT_DEPTH_MAX + 1];
    int depth = 0;
    uint32_t at = 0;
    for (;;) {
        int32_t found = next_begin(f, at, &depth, -1);
        if (found == FDT_NONE)
            return FDT_NONE;
        path[depth] = found;
        if (found == node)
            return depth > 1 ? path[depth - 1] : FDT_NONE;
        at = skip_token(f, (uint32_t)found);
    }
}

const char *fdt_name(const struct fdt *f, int32_t node)
{
    return (const char *)struct_at(f, (uint32_t)node + 4);
}

static bool name_matches(const char *name, const char *wanted, size_t wanted_bytes)
{
    if (strncmp(name, wanted, wanted_bytes) != 0)
        return false;
    char after = name[wanted_bytes];
    return after == 0 || (after == '@' && !memchr(wanted, '@', wanted_bytes));
}

int32_t fdt_find_path(const struct fdt *f, const char *path)
{
    int32_t node = fdt_root(f);
    while (*path == '/')
        path++;
    while (*path && node != FDT_NONE) {
        size_t bytes = strcspn(path, "/");
        node = fdt_first_child(f, node);
        while (node != FDT_NONE && !name_matches(fdt_name(f, node), path, bytes))
            node = fdt_next_sibling(f, node);
        path += bytes;
        while (*path == '/')
            path++;
    }
    return node;
}

int32_t fdt_find_phandle(const struct fdt *f, uint32_t phandle)
{
    uint32_t value;
    for (int32_t n = fdt_root(f); n != FDT_NONE; n = fdt_next(f, n))
        if (fdt_cell(f, n, "phandle", 0, &value) && value == phandle)
            return n;
    return FDT_NONE;
}

int32_t fdt_next_compatible(const struct fdt *f, int32_t node, const char *name)
{
    do
        node = fdt_next(f, node);
    while (node != FDT_NONE && !fdt_string_list_has(f, node, "compatible", name));
    return node;
}

bool fdt_enabled(const struct fdt *f, int32_t node)
{
    uint32_t bytes;
    if (!fdt_property(f, node, "status", &bytes))
        return true;
    const char *status = fdt_string(f, node, "status");
    return status && (strcmp(status, "okay") == 0 || strcmp(status, "ok") == 0);
}

/* ---- properties ---- */

const uint8_t *fdt_property(const struct fdt *f, int32_t node, const char *name, uint32_t *bytes)
{
    for (uint32_t at = skip_token(f, (uint32_t)node);; at = skip_token(f, at)) {
        uint32_t token = token_at(f, at);
        if (token == TOKEN_NOP)
            continue;
        if (token != TOKEN_PROPERTY)
            return NULL;
        const uint8_t *p = struct_at(f, at);
        if (strcmp(string_at(f, be32(p + 8)), name) != 0)
            continue;
        if (bytes)
            *bytes = be32(p + 4);
        return p + 12;
    }
}

const char *fdt_string(const struct fdt *f, int32_t node, const char *name)
{
    uint32_t bytes;
    const uint8_t *p = fdt_property(f, node, name, &bytes);
    return p && string_bytes(p, bytes) ? (const char *)p : NULL;
}

bool fdt_string_list_has(const struct fdt *f, int32_t node, const char *name, const char *text)
{
    uint32_t left;
    const uint8_t *p = fdt_property(f, node, name, &left);
    while (p && left > 0) {
        uint32_t bytes = string_bytes(p, left);
        if (bytes == 0)
            return false;
        if (strcmp((const char *)p, text) == 0)
            return true;
        p += bytes;
        left -= bytes;
    }
    return false;
}

bool fdt_number(const struct fdt *f, int32_t node, const char *name, uint64_t *value)
{
    uint32_t bytes;
    const uint8_t *p = fdt_property(f, node, name, &bytes);
    if (!p || (bytes != 4 && bytes != 8))
        return false;
    *value = bytes == 4 ? be32(p) : be64(p);
    return true;
}

bool fdt_cell(const struct fdt *f, int32_t node, const char *name, uint32_t index, uint32_t *value)
{
    uint32_t bytes;
    const uint8_t *p = fdt_property(f, node, name, &bytes);
    if (!p || index >= bytes / 4)
        return false;
    *value = be32(p + 4 * (size_t)index);
    return true;
}

/* ---- addresses ---- */

static uint64_t read_cells(const uint8_t *p, uint32_t cells)
{
    return cells == 0 ? 0 : cells == 1 ? be32(p) : be64(p);
}

/* The cell counts that `node` sets for its children; the specification's defaults are 2 and 1. */
static bool child_cells(const struct fdt *f, int32_t node, uint32_t *address, uint32_t *size)
{
    *address = 2;
    *size = 1;
    (void)fdt_cell(f, node, "#address-cells", 0, address);
    (void)fdt_cell(f, node, "#size-cells", 0, size);
    return *address >= 1 && *address <= CELLS_MAX && *size <= CELLS_MAX;
}

/* Translate [*address, + bytes) from the bus `bus` to its parent `above`. */
static bool translate(const struct fdt *f, int32_t bus, int32_t above, uint64_t *address,
                      uint64_t bytes)
{
    uint32_t child_address, child_size, parent_address, parent_size, left;
    const uint8_t *p = fdt_property(f, bus, "ranges", &left);
    if (!p || !child_cells(f, bus, &child_address, &child_size) ||
        !child_cells(f, above, &parent_address, &parent_size))
        return false;
    if (left == 0)
        return true;
    uint32_t entry_bytes = 4 * (child_address + parent_address + child_size);
    for (; left >= entry_bytes; left -= entry_bytes, p += entry_bytes) {
        uint64_t from = read_cells(p, child_address);
        uint64_t to = read_cells(p + 4 * child_address, parent_address);
        uint64_t size = read_cells(p + 4 * (child_address + parent_address), child_size);
        if (*address < from || *address - from > size || bytes > size - (*address - from))
            continue;
        return !__builtin_add_overflow(to, *address - from, address);
    }
    return false;
}

int fdt_range(const struct fdt *f, int32_t node, const char *name, uint32_t index,
              uint64_t *address, uint64_t *bytes)
{
    uint32_t address_cells, size_cells, have;
    int32_t bus = fdt_parent(f, node);
    const uint8_t *p = fdt_property(f, node, name, &have);
    if (bus == FDT_NONE || !p)
        return FDT_REG_END;
    if (!child_cells(f, bus, &address_cells, &size_cells))
        return FDT_REG_CELLS;
    uint32_t entry_bytes = 4 * (address_cells + size_cells);
    if (index >= have / entry_bytes)
        return FDT_REG_END;
    p += (size_t)index * entry_bytes;
    uint64_t start = read_cells(p, address_cells), end;
    uint64_t size = read_cells(p + 4 * address_cells, size_cells);
    *address = start;
    *bytes = size;
    if (__builtin_add_overflow(start, size, &end))
        return FDT_REG_WRAPS;
    for (int32_t above; (above = fdt_parent(f, bus)) != FDT_NONE; bus = above)
        if (!translate(f, bus, above, &start, size))
            return FDT_REG_TRANSLATE;
    if (__builtin_add_overflow(start, size, &end))
        return FDT_REG_WRAPS;
    *address = start;
    return FDT_REG_OK;
}

bool fdt_reg(const struct fdt *f, int32_t node, uint32_t index, uint64_t *address, uint64_t *bytes)
{
    uint64_t start, size;
    if (fdt_range(f, node, "reg", index, &start, &size) != FDT_REG_OK)
        return false;
    *address = start;
    *bytes = size;
    return true;
}

bool fdt_reserved(const struct fdt *f, uint32_t index, uint64_t *address, uint64_t *bytes)
{
    if (index >= f->reserve_entries)
        return false;
    const uint8_t *p = f->base + f->reserve_offset + 16 * (size_t)index;
    *address = be64(p);
    *bytes = be64(p + 8);
    return true;
}
