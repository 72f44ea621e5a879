/* The map of physical memory at boot: see regions.h. */
#include "kernel/regions.h"

#include <string.h>

#define KIND(k) (1u << (k))

static void remove_at(struct regions *r, unsigned at)
{
    r->count--;
    memmove(&r->region[at], &r->region[at + 1], (r->count - at) * sizeof r->region[0]);
}

/* Forget the smallest free region, but none as large as `limit`: false if there is none. */
static bool forget_smallest(struct regions *r, uint64_t limit)
{
    unsigned best = REGIONS_MAX;
    for (unsigned i = 0; i < r->count; i++) {
        const struct region *item = &r->region[i];
        if (item->kind == BOOT_FREE && item->end - item->start < limit) {
            limit = item->end - item->start;
            best = i;
        }
    }
    if (best == REGIONS_MAX)
        return false;
    r->forgotten += limit;
    remove_at(r, best);
    return true;
}

/* Room is there: see make_room(). */
static void insert(struct regions *r, unsigned at, struct region item)
{
    memmove(&r->region[at + 1], &r->region[at], (r->count - at) * sizeof item);
    r->region[at] = item;
    r->count++;
}

/* `needed` free places in the table, if need be by forgetting what is smaller than `limit`. */
static bool make_room(struct regions *r, unsigned needed, uint64_t limit)
{
    while (r->count + needed > REGIONS_MAX)
        if (!forget_smallest(r, limit))
            return false;
    return true;
}

/* Neighbours that touch and are alike become one. */
static void join(struct regions *r)
{
    for (unsigned i = 0; i + 1 < r->count;) {
        struct region *a = &r->region[i], *b = a + 1;
        if (a->end == b->start && a->kind == b->kind && a->node == b->node &&
            a->flags == b->flags) {
            a->end = b->end;
            remove_at(r, i + 1);
        } else {
            i++;
        }
    }
}

/* The first part of [start, end) that no region covers. */
static paddr_t uncovered(const struct regions *r, paddr_t *start, paddr_t end)
{
    for (unsigned i = 0; i < r->count; i++) {
        const struct region *item = &r->region[i];
        if (item->end <= *start)
            continue;
        if (item->start > *start)
            return item->start < end ? item->start : end;
        *start = item->end;
    }
    return end;
}

void regions_add(struct regions *r, paddr_t start, paddr_t end, uint32_t kind, uint32_t node)
{
    start = (start + PAGE_BYTES - 1) & -PAGE_BYTES;
    end &= -PAGE_BYTES;
    for (paddr_t stop = start; (stop = uncovered(r, &start, end)) > start; start = stop) {
        struct region part = {.start = start, .end = stop, .kind = kind, .node = (uint16_t)node};
        if (!make_room(r, 1, stop - start)) {
            r->forgotten += stop - start;
            continue;
        }
        unsigned at = 0;
        while (at < r->count && r->region[at].start < start)
            at++;
        insert(r, at, part);
    }
    join(r);
}

/* Make `at` a border between regions. */
static void split(struct regions *r, paddr_t at)
{
    for (unsigned i = 0; i < r->count; i++) {
        struct region *whole = &r->region[i];
        if (at > whole->start && at < whole->end) {
            struct region upper = *whole;
            upper.start = at;
            whole->end = at;
            insert(r, i + 1, upper);
            return;
        }
    }
}

static paddr_t page_up(paddr_t at)
{
    return at > -PAGE_BYTES ? -PAGE_BYTES : (at + PAGE_BYTES - 1) & -PAGE_BYTES;
}

uint64_t regions_mark(struct regions *r, paddr_t start, paddr_t end, uint32_t from, uint32_t kind,
                      uint32_t flags)
{
    uint64_t changed = 0;
    start &= -PAGE_BYTES;
    end = page_up(end);
    /* Only a table full of what is not free has no room; then nothing is free to be marked. */
    if (!make_room(r, 2, ~0UL))
        return 0;
    split(r, start);
    split(r, end);
    for (unsigned i = 0; i < r->count; i++) {
        struct region *item = &r->region[i];
        if (item->start >= start && item->end <= end && (from & KIND(item->kind))) {
            item->kind = kind;
            item->flags = (uint16_t)flags;
            changed += item->end - item->start;
        }
    }
    join(r);
    return changed;
}

uint64_t regions_inside(const struct regions *r, paddr_t start, paddr_t end, uint32_t kinds,
                        uint32_t flags)
{
    uint64_t bytes = 0;
    start &= -PAGE_BYTES;
    end = page_up(end);
    for (unsigned i = 0; i < r->count; i++) {
        const struct region *item = &r->region[i];
        paddr_t first = item->start > start ? item->start : start;
        paddr_t last = item->end < end ? item->end : end;
        if (first < last && (kinds & KIND(item->kind)) && (!flags || (item->flags & flags)))
            bytes += last - first;
    }
    return bytes;
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

paddr_t regions_find(const struct regions *r, paddr_t from, paddr_t to, uint64_t bytes,
                     uint64_t align)
{
    for (unsigned i = 0; i < r->count; i++) {
        const struct region *item = &r->region[i];
        paddr_t start = item->start > from ? item->start : from;
        paddr_t end = item->end < to ? item->end : to;
        start = (start + align - 1) & -align;
        if (item->kind == BOOT_FREE && !item->flags && start >= item->start && start < end &&
            end - start >= bytes)
            return start;
    }
    return 0;
}

void regions_limit(struct regions *r, unsigned count)
{
    unsigned given = 0;
    for (unsigned i = 0; i < r->count; i++)
        given += r->region[i].kind != BOOT_KERNEL && r->region[i].kind != BOOT_RESERVED;
    for (; given > count && forget_smallest(r, ~0UL); given--)
        ;
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

_Static_assert(BOOT_RANGE_NOMAP == FDT_MEMORY_NOMAP && BOOT_RANGE_CMA == FDT_MEMORY_CMA &&
                   (int)BOOT_RANGE_REUSABLE == FDT_MEMORY_REUSABLE &&
                   (int)BOOT_RANGE_CMA_DEFAULT == FDT_MEMORY_CMA_DEFAULT,
               "flags are the device tree's");
_Static_assert(BOOT_NODES_MAX == FDT_MEMORY_NODES_MAX, "nodes are the device tree's");

/* What is lent stays the server's; no-map goes before all else. */
static void reserve(struct regions *r, paddr_t start, paddr_t end, uint32_t flags)
{
    uint32_t from = KIND(BOOT_FREE) | (flags & FDT_MEMORY_NOMAP ? KIND(BOOT_RESERVED) : 0);
    uint32_t kind = flags & FDT_MEMORY_REUSABLE ? BOOT_FREE : BOOT_RESERVED;
    (void)regions_mark(r, start, end, from, kind, flags);
}

bool regions_read(struct regions *r, struct fdt_memory_walk *walk, struct fdt_memory_item *item,
                  const char **problem)
{
    if (!fdt_memory_next(walk, item))
        return false;
    *problem = item->why;
    if (item->says == FDT_SAYS_MEMORY) {
        uint64_t wanted = item->bytes;
        if (regions_inside(r, item->start, item->start + wanted, ~0u, 0))
            *problem = "it overlaps other memory, and is counted once";
        regions_add(r, item->start, item->start + wanted, BOOT_FREE, item->node);
    } else if (item->says == FDT_SAYS_RESERVED) {
        reserve(r, item->start, item->start + item->bytes, item->flags);
    }
    return true;
}

bool regions_place(struct regions *r, struct fdt_memory_walk *walk, struct fdt_memory_item *item,
                   const char **problem)
{
    if (!fdt_memory_next(walk, item))
        return false;
    *problem = item->why;
    if (item->says != FDT_SAYS_PLACE)
        return true;
    for (uint32_t i = 0; i < item->places; i++) {
        item->start =
            regions_find(r, item->place[i].start, item->place[i].end, item->bytes, item->align);
        if (item->start) {
            reserve(r, item->start, item->start + item->bytes, item->flags);
            return true;
        }
    }
    *problem = "there is no room for it: not reserved";
    return true;
}
