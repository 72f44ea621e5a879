/* Statements about memory: see fdt_memory.h. */
#include "lib/fdt_memory.h"

#include <string.h>

enum { STAGE_START, STAGE_MEMORY, STAGE_BLOCK, STAGE_FIXED, STAGE_PLACE, STAGE_END };

static void wrong(struct fdt_memory_item *item, enum fdt_says says, const char *why)
{
    item->says = says;
    item->why = why;
}

/* ---- memory nodes ---- */

static void check_memory(struct fdt_memory_item *item, int result)
{
    item->says = FDT_SAYS_MEMORY;
    if (result == FDT_REG_CELLS)
        wrong(item, FDT_SAYS_WRONG, "#address-cells and #size-cells must be 1 or 2");
    else if (result == FDT_REG_WRAPS)
        wrong(item, FDT_SAYS_WRONG, "memory ends beyond the address space");
    else if (result != FDT_REG_OK)
        wrong(item, FDT_SAYS_WRONG, "its reg cannot be read");
    else if (item->bytes == 0)
        wrong(item, FDT_SAYS_WRONG, "memory of no size");
    else if (item->start + item->bytes > FDT_MEMORY_ADDRESS_MAX)
        wrong(item, FDT_SAYS_WRONG, "more memory than can be addressed");
    else if (item->node >= FDT_MEMORY_NODES_MAX)
        wrong(item, FDT_SAYS_WRONG, "its NUMA node has too high a number");
}

static bool is_memory(const struct fdt *f, int32_t n)
{
    const char *type = fdt_string(f, n, "device_type");
    return type && strcmp(type, "memory") == 0 && fdt_enabled(f, n);
}

/* Entry w->index of w->node; false: it has no more. */
static bool memory_entry(struct fdt_memory_walk *w, struct fdt_memory_item *item)
{
    uint64_t node = 0;
    uint32_t index = w->index++;
    if (!is_memory(w->tree, w->node))
        return false;
    int result = fdt_range(w->tree, w->node, "reg", index, &item->start, &item->bytes);
    if ((result == FDT_REG_END || result == FDT_REG_CELLS) && index > 0)
        return false;
    (void)fdt_number(w->tree, w->node, "numa-node-id", &node);
    item->node = node < FDT_MEMORY_NODES_MAX ? (uint32_t)node : FDT_MEMORY_NODES_MAX;
    item->name = fdt_name(w->tree, w->node);
    check_memory(item, result);
    if (result == FDT_REG_CELLS || result == FDT_REG_END)
        w->index = ~0u; /* the next entry would say the same: index > 0 and beyond all */
    return true;
}

/* ---- reservations ---- */

static bool block_entry(struct fdt_memory_walk *w, struct fdt_memory_item *item)
{
    if (!fdt_reserved(w->tree, w->index++, &item->start, &item->bytes))
        return false;
    item->says = FDT_SAYS_RESERVED;
    item->name = "memreserve";
    if (item->bytes > -item->start && item->start)
        item->bytes = -item->start;
    if (item->bytes == 0)
        wrong(item, FDT_SAYS_WRONG, "a reservation of no size");
    return true;
}

static uint32_t flags_of(const struct fdt *f, int32_t n)
{
    uint32_t flags = 0;
    if (fdt_property(f, n, "no-map", NULL))
        return FDT_MEMORY_NOMAP;
    if (!fdt_property(f, n, "reusable", NULL))
        return 0;
    flags = FDT_MEMORY_REUSABLE;
    if (fdt_string_list_has(f, n, "compatible", "shared-dma-pool")) {
        flags |= FDT_MEMORY_CMA;
        if (fdt_property(f, n, "linux,cma-default", NULL))
            flags |= FDT_MEMORY_CMA_DEFAULT;
    }
    return flags;
}

/* Entry w->index of w->node's reg; false: it has no more. */
static bool fixed_entry(struct fdt_memory_walk *w, struct fdt_memory_item *item)
{
    uint32_t index = w->index++;
    if (!fdt_enabled(w->tree, w->node) || !fdt_property(w->tree, w->node, "reg", NULL))
        return false;
    int result = fdt_range(w->tree, w->node, "reg", index, &item->start, &item->bytes);
    if ((result == FDT_REG_END || result == FDT_REG_CELLS) && index > 0)
        return false;
    item->name = fdt_name(w->tree, w->node);
    item->flags = flags_of(w->tree, w->node);
    item->says = FDT_SAYS_RESERVED;
    if (result == FDT_REG_WRAPS)
        item->bytes = -item->start;
    else if (result == FDT_REG_TRANSLATE)
        wrong(item, FDT_SAYS_FATAL, "/reserved-memory has no ranges that translate its address");
    else if (result != FDT_REG_OK)
        wrong(item, FDT_SAYS_FATAL, "its reg cannot be read");
    else if (item->bytes == 0)
        wrong(item, FDT_SAYS_WRONG, "a reservation of no size");
    else if ((item->flags & FDT_MEMORY_REUSABLE) &&
             (item->start | item->bytes) % FDT_MEMORY_REUSE_ALIGN) {
        item->flags = 0;
        item->why = "reusable memory must be in whole 2 MiB blocks: it stays reserved";
    }
    if (item->says == FDT_SAYS_FATAL)
        w->index = ~0u;
    return true;
}

static void read_places(const struct fdt *f, int32_t n, struct fdt_memory_item *item)
{
    uint64_t start, bytes;
    item->places = 0;
    if (!fdt_property(f, n, "alloc-ranges", NULL)) {
        item->place[item->places++] =
            (struct fdt_memory_place){.start = 0, .end = FDT_MEMORY_ADDRESS_MAX};
        return;
    }
    for (uint32_t i = 0; item->places < FDT_MEMORY_PLACES_MAX; i++) {
        int result = fdt_range(f, n, "alloc-ranges", i, &start, &bytes);
        if (result == FDT_REG_WRAPS && bytes)
            bytes = -start;
        else if (result != FDT_REG_OK)
            return;
        item->place[item->places++] =
            (struct fdt_memory_place){.start = start, .end = start + bytes};
    }
}

/* The request of w->node for a place; false: it makes none. */
static bool place_entry(struct fdt_memory_walk *w, struct fdt_memory_item *item)
{
    const struct fdt *f = w->tree;
    if (w->index++ > 0 || !fdt_enabled(f, w->node) || fdt_property(f, w->node, "reg", NULL))
        return false;
    item->name = fdt_name(f, w->node);
    item->flags = flags_of(f, w->node);
    item->says = FDT_SAYS_PLACE;
    item->align = FDT_MEMORY_ALIGN_MIN;
    if (!fdt_number(f, w->node, "size", &item->bytes) || item->bytes == 0)
        wrong(item, FDT_SAYS_WRONG, "it has neither reg nor a size");
    else if (fdt_property(f, w->node, "alignment", NULL) &&
             !fdt_number(f, w->node, "alignment", &item->align))
        wrong(item, FDT_SAYS_WRONG, "its alignment cannot be read");
    else if (item->align & (item->align - 1))
        wrong(item, FDT_SAYS_WRONG, "its alignment is not a power of two");
    else if (item->bytes > FDT_MEMORY_ADDRESS_MAX || item->align > FDT_MEMORY_ADDRESS_MAX)
        wrong(item, FDT_SAYS_WRONG, "more memory than can be addressed");
    uint64_t least =
        item->flags & FDT_MEMORY_REUSABLE ? FDT_MEMORY_REUSE_ALIGN : FDT_MEMORY_ALIGN_MIN;
    if (item->align < least)
        item->align = least;
    item->bytes = (item->bytes + least - 1) & -least;
    read_places(f, w->node, item);
    if (item->says == FDT_SAYS_PLACE && item->places == 0)
        wrong(item, FDT_SAYS_WRONG, "its alloc-ranges cannot be read");
    return true;
}

/* ---- the walk ---- */

static void enter_stage(struct fdt_memory_walk *w, uint32_t stage)
{
    int32_t parent =
        stage == STAGE_MEMORY ? fdt_root(w->tree) : fdt_find_path(w->tree, "/reserved-memory");
    w->stage = stage;
    w->index = 0;
    w->node = parent == FDT_NONE ? FDT_NONE : fdt_first_child(w->tree, parent);
}

static bool next_entry(struct fdt_memory_walk *w, struct fdt_memory_item *item)
{
    switch (w->stage) {
    case STAGE_MEMORY:
        return memory_entry(w, item);
    case STAGE_FIXED:
        return fixed_entry(w, item);
    default:
        return place_entry(w, item);
    }
}

bool fdt_memory_next(struct fdt_memory_walk *w, struct fdt_memory_item *item)
{
    if (w->stage == STAGE_START)
        enter_stage(w, w->placing ? STAGE_PLACE : STAGE_MEMORY);
    for (uint32_t end = w->placing ? STAGE_END : STAGE_PLACE; w->stage < end;
         enter_stage(w, w->stage + 1)) {
        *item = (struct fdt_memory_item){0};
        if (w->stage == STAGE_BLOCK) {
            if (block_entry(w, item))
                return true;
            continue;
        }
        for (; w->node != FDT_NONE; w->node = fdt_next_sibling(w->tree, w->node), w->index = 0) {
            *item = (struct fdt_memory_item){0};
            if (next_entry(w, item))
                return true;
        }
    }
    return false;
}
