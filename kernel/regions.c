/* The map of physical memory at boot: see regions.h. */
#include "kernel/regions.h"

#include <string.h>

#define KIND(k) (1u << (k))

static bool insert(struct regions *r, unsigned at, struct region item)
{
    if (r->count == REGIONS_MAX)
        return false;
    memmove(&r->region[at + 1], &r->region[at], (r->count - at) * sizeof item);
    r->region[at] = item;
    r->count++;
    return true;
}

static void remove_at(struct regions *r, unsigned at)
{
    r->count--;
    memmove(&r->region[at], &r->region[at + 1], (r->count - at) * sizeof r->region[0]);
}

/* Neighbours that touch and are alike become one. */
static void join(struct regions *r)
{
    for (unsigned i = 0; i + 1 < r->count;) {
        struct region *a = &r->region[i], *b = a + 1;
        if (a->end == b->start && a->kind == b->kind && a->node == b->node) {
            a->end = b->end;
            remove_at(r, i + 1);
        } else {
            i++;
        }
    }
}

bool regions_add(struct regions *r, paddr_t start, paddr_t end, uint32_t kind, uint32_t node)
{
    start = (start + PAGE_BYTES - 1) & -PAGE_BYTES;
    end &= -PAGE_BYTES;
    for (unsigned i = 0; start < end; i++) {
        const struct region *next = i < r->count ? &r->region[i] : NULL;
        if (next && next->end <= start)
            continue;
        paddr_t stop = next && next->start < end ? next->start : end;
        if (start < stop &&
            !insert(r, i++,
                    (struct region){.start = start, .end = stop, .kind = kind, .node = node}))
            return false;
        if (stop == end)
            break;
        start = r->region[i].end;
    }
    join(r);
    return true;
}

/* Make `at` a border between regions; false: full. */
static bool split(struct regions *r, paddr_t at)
{
    for (unsigned i = 0; i < r->count; i++) {
        struct region *whole = &r->region[i];
        if (at > whole->start && at < whole->end) {
            struct region upper = *whole;
            upper.start = at;
            whole->end = at;
            return insert(r, i + 1, upper);
        }
    }
    return true;
}

bool regions_mark(struct regions *r, paddr_t start, paddr_t end, uint32_t from, uint32_t kind,
                  uint64_t *bytes)
{
    uint64_t changed = 0;
    start &= -PAGE_BYTES;
    end = end > -PAGE_BYTES ? -PAGE_BYTES : (end + PAGE_BYTES - 1) & -PAGE_BYTES;
    if (!split(r, start) || !split(r, end))
        return false;
    for (unsigned i = 0; i < r->count; i++) {
        struct region *item = &r->region[i];
        if (item->start >= start && item->end <= end && (from & KIND(item->kind))) {
            item->kind = kind;
            changed += item->end - item->start;
        }
    }
    join(r);
    if (bytes)
        *bytes = changed;
    return true;
}

uint64_t regions_cut(struct regions *r, paddr_t limit)
{
    uint64_t forgotten = 0;
    while (r->count > 0 && r->region[r->count - 1].end > limit) {
        struct region *last = &r->region[r->count - 1];
        paddr_t from = last->start > limit ? last->start : limit;
        forgotten += last->end - from;
        last->end = from;
        if (last->start == last->end)
            r->count--;
    }
    return forgotten;
}

paddr_t regions_find(const struct regions *r, paddr_t from, uint64_t bytes)
{
    for (unsigned i = 0; i < r->count; i++) {
        const struct region *item = &r->region[i];
        paddr_t start = item->start > from ? item->start : from;
        if (item->kind == BOOT_FREE && start < item->end && item->end - start >= bytes)
            return start;
    }
    return 0;
}

uint64_t regions_bytes(const struct regions *r, uint32_t kind)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < r->count; i++)
        if (r->region[i].kind == kind)
            bytes += r->region[i].end - r->region[i].start;
    return bytes;
}

/* ---- from the device tree ---- */

static const char table_full[] = "memory has too many separate parts";

static const char *read_memory(struct regions *r, const struct fdt *f)
{
    int32_t root = fdt_root(f);
    for (int32_t n = fdt_first_child(f, root); n != FDT_NONE; n = fdt_next_sibling(f, n)) {
        const char *type = fdt_string(f, n, "device_type");
        uint64_t start, bytes, node = 0;
        if (!type || strcmp(type, "memory") != 0 || !fdt_enabled(f, n))
            continue;
        (void)fdt_number(f, n, "numa-node-id", &node);
        for (uint32_t i = 0; fdt_reg(f, n, i, &start, &bytes); i++)
            if (!regions_add(r, start, start + bytes, BOOT_FREE, (uint32_t)node))
                return table_full;
    }
    return r->count ? NULL : "the device tree has no memory";
}

static bool reserve(struct regions *r, paddr_t start, uint64_t bytes)
{
    paddr_t end;
    if (__builtin_add_overflow(start, bytes, &end))
        end = ~0UL;
    return bytes == 0 || regions_mark(r, start, end, KIND(BOOT_FREE), BOOT_RESERVED, NULL);
}

const char *regions_read(struct regions *r, const struct fdt *f)
{
    uint64_t start, bytes;
    r->count = 0;
    const char *problem = read_memory(r, f);
    if (problem)
        return problem;
    for (uint32_t i = 0; fdt_reserved(f, i, &start, &bytes); i++)
        if (!reserve(r, start, bytes))
            return table_full;
    int32_t parent = fdt_find_path(f, "/reserved-memory");
    if (parent == FDT_NONE)
        return NULL;
    for (int32_t n = fdt_first_child(f, parent); n != FDT_NONE; n = fdt_next_sibling(f, n))
        for (uint32_t i = 0; fdt_enabled(f, n) && fdt_reg(f, n, i, &start, &bytes); i++)
            if (!reserve(r, start, bytes))
                return table_full;
    return NULL;
}
