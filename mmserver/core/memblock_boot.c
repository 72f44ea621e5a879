/*
 * What memory there is at the server's start. Two sources agree: the device tree says what memory
 * the machine has and which node it is near to; the kernel says what it kept for itself, where it
 * put what the tree only asked for, and what it gave. What the kernel did not give is not free,
 * whatever the tree says.
 */
#include "mmserver/core/memblock.h"
#include "mmserver/core/place.h"
#include "lib/fdt_memory.h"

_Static_assert((uint32_t)MEMBLOCK_NOMAP == FDT_MEMORY_NOMAP &&
                   (uint32_t)MEMBLOCK_REUSABLE == FDT_MEMORY_REUSABLE &&
                   (uint32_t)MEMBLOCK_CMA == FDT_MEMORY_CMA &&
                   (uint32_t)MEMBLOCK_CMA_DEFAULT == FDT_MEMORY_CMA_DEFAULT,
               "flags are the device tree's");
_Static_assert(MEMBLOCK_NOMAP == BOOT_RANGE_NOMAP && MEMBLOCK_REUSABLE == BOOT_RANGE_REUSABLE &&
                   MEMBLOCK_CMA == BOOT_RANGE_CMA && MEMBLOCK_CMA_DEFAULT == BOOT_RANGE_CMA_DEFAULT,
               "flags are the kernel's");
_Static_assert(BOOT_NODES_MAX == FDT_MEMORY_NODES_MAX, "nodes are the device tree's");

static enum memblock_error reserve_flagged(struct memblock *m, paddr_t start, uint64_t bytes,
                                           uint32_t node, uint32_t flags)
{
    if (flags & MEMBLOCK_NOMAP)
        return memblock_mark(&m->memory, start, bytes, MEMBLOCK_NOMAP);
    return memblock_reserve(m, start, bytes, node, flags);
}

/* What does not fit changes nothing: memory that is not listed is not given out, and what the tree
 * reserves the kernel has kept back already. */
static void add_statement(struct memblock *m, const struct fdt_memory_item *item)
{
    bool room = m->memory.count < MEMBLOCK_TREE_MAX;

    if (item->says == FDT_SAYS_MEMORY) {
        if (!room || memblock_add(m, item->start, item->bytes, item->node, 0))
            m->left_out += item->bytes;
    } else if (item->says == FDT_SAYS_RESERVED && room && m->reserved.count < MEMBLOCK_TREE_MAX) {
        (void)reserve_flagged(m, item->start, item->bytes, 0, item->flags);
    }
}

const char *memblock_from_device_tree(struct memblock *m, const struct fdt *tree)
{
    struct fdt_memory_item item;

    for (struct fdt_memory_walk w = {.tree = tree}; fdt_memory_next(&w, &item);) {
        if (item.says == FDT_SAYS_FATAL)
            return item.why;
        add_statement(m, &item);
    }
    return m->memory.count ? NULL : "the device tree has no memory";
}

/* ---- what the kernel says ---- */

static bool range_is_memory(const struct boot_range *r)
{
    return r->kind != BOOT_DEVICE && r->pages;
}

/* What the kernel kept, before what it lent, so that the former is never part of the latter. */
static enum memblock_error reserve_range(struct memblock *m, const struct boot_range *r,
                                         bool lent_now)
{
    bool lent = r->kind == BOOT_FREE && (r->flags & BOOT_RANGE_REUSABLE);
    bool kept = r->kind != BOOT_FREE || (r->flags & BOOT_RANGE_STARTUP);

    if (!range_is_memory(r) || lent != lent_now || (!kept && !lent))
        return MEMBLOCK_OK;
    return reserve_flagged(m, r->first_page << PAGE_SHIFT, r->pages << PAGE_SHIFT, r->node,
                           r->flags & ~(uint32_t)BOOT_RANGE_STARTUP);
}

/* All memory that was not given becomes reserved. */
static enum memblock_error reserve_rest(struct memblock *m)
{
    struct memblock_range range;

    for (paddr_t at = 0; memblock_next_free(m, &at, MEMBLOCK_ANY_NODE, &range);) {
        if (range.slot)
            continue;
        enum memblock_error error = memblock_reserve(
            m, range.first << PAGE_SHIFT, (range.end - range.first) << PAGE_SHIFT, range.node, 0);
        if (error)
            return error;
    }
    return MEMBLOCK_OK;
}

/* With the kernel's word on nodes, which is the tree's. */
static enum memblock_error add_ranges(struct memblock *m, const struct boot_info *info)
{
    enum memblock_error error = MEMBLOCK_OK;

    for (uint32_t i = 0; !error && i < info->ranges; i++) {
        const struct boot_range *r = &info->range[i];

        if (range_is_memory(r))
            error =
                memblock_add(m, r->first_page << PAGE_SHIFT, r->pages << PAGE_SHIFT, r->node, 0);
        if (r->kind == BOOT_FREE && r->pages &&
            !memblock_grant(m, r->first_page, r->pages, SLOT_MEMORY + i))
            return MEMBLOCK_FULL;
    }
    return error;
}

static enum memblock_error reserve_ranges(struct memblock *m, const struct boot_info *info)
{
    enum memblock_error error = MEMBLOCK_OK;

    for (uint32_t lent = 0; lent < 2; lent++) {
        for (uint32_t i = 0; !error && i < info->ranges; i++)
            error = reserve_range(m, &info->range[i], lent);
    }
    return error ? error : reserve_rest(m);
}

const char *memblock_tree_open(const struct boot_info *info, struct fdt *tree)
{
    const void *blob = (const void *)(uintptr_t)(place_linear_base + info->dtb_start);
    int error = fdt_open(tree, blob, info->dtb_bytes);

    return error ? fdt_error_text(error) : NULL;
}

const char *memblock_boot(struct memblock *m, const struct boot_info *info)
{
    struct fdt tree;

    memblock_init(m);
    if (info->ranges > BOOT_RANGES_MAX)
        return "boot information with too many ranges";
    enum memblock_error error = add_ranges(m, info);
    if (!error && info->dtb_bytes) {
        const char *problem = memblock_tree_open(info, &tree);

        if (!problem)
            problem = memblock_from_device_tree(m, &tree);
        if (problem)
            return problem;
    }
    if (!error)
        error = reserve_ranges(m, info);
    if (error)
        return memblock_error_text(error);
    return m->grants ? NULL : "no memory was given";
}
