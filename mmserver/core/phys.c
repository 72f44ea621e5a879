/*
 * Taking over memory at start-up.
 *
 * One bias turns every page number into its descriptor's address, however the machine's memory is
 * scattered: the descriptors are laid out as if the whole span from the first to the last page had
 * some, but only those of blocks that hold memory are kept. The rest of the layout is given out
 * like any other memory, or is a hole of the machine itself. So a place is looked for where
 * each descriptor that is needed falls on memory; nearly always the first try, the start of the
 * largest piece, is one. What cannot be described anywhere is left out, and said.
 *
 *   memory        |piece 0|      hole        |piece 1........................|
 *   descriptors                               |0|   free   |1......|  free    |
 *
 * Whole chunks of CHUNK_PAGES_MAX pages are given to their zone without a look at their
 * descriptors, which are written when the zone needs the chunk (zone_grow_locked). What is left at
 * the edges of pieces is described and freed here.
 */
#include "mmserver/core/memblock.h"
#include "mmserver/core/text.h"
#include "mmserver/core/zone.h"
#include <string.h>

struct phys phys;

const char *const page_state_text[PAGE_STATES] = {
    [PAGE_NONE] = "none",         [PAGE_RESERVED] = "reserved", [PAGE_FREE] = "free",
    [PAGE_TAIL] = "tail",         [PAGE_HOT] = "hart-list",     [PAGE_ZEROED] = "zeroed",
    [PAGE_USED] = "used",         [PAGE_ANON] = "anonymous",    [PAGE_ZERO] = "zero-page",
    [PAGE_FILE] = "file",         [PAGE_FILE_MAP] = "file-map", [PAGE_SLAB] = "slab",
    [PAGE_SERVER] = "server",     [PAGE_TABLE] = "page-table",  [PAGE_OBJECT] = "kernel-object",
    [PAGE_NATIVE] = "native",     [PAGE_KMALLOC] = "kmalloc",   [PAGE_HUGETLB] = "hugetlb",
    [PAGE_POISONED] = "poisoned", [PAGE_ASIDE] = "aside",
};

#define PAGES_PER_DESCRIPTOR_PAGE (PAGE_BYTES / sizeof(struct page))
#define DESCRIPTOR_PAGES          (PAGES_PER_BLOCK / PAGES_PER_DESCRIPTOR_PAGE) /* of a block */

/* A run of free memory under one capability, on one node. */
struct piece {
    pfn_t first, end;
    uint32_t slot, node;
    bool lent; /* to movable pages, until a CMA area is taken back */
};

static struct {
    struct piece piece[PIECES_MAX];
    uint32_t count;
} boot;

static void piece_add(const struct piece *p)
{
    if (p->first >= p->end)
        return;
    if (boot.count == PIECES_MAX) {
        phys.lost_pages += p->end - p->first;
        return;
    }
    boot.piece[boot.count++] = *p;
}

/* An area that is lent is whole blocks: its pages must not share a block with others. */
static void pieces_collect(void)
{
    struct memblock_range r;

    for (paddr_t at = 0; memblock_next_memory(&memblock, &at, MEMBLOCK_ANY_NODE, &r);)
        zones_add_memory(r.first, r.end, r.node);
    for (paddr_t at = 0; memblock_next_free(&memblock, &at, MEMBLOCK_ANY_NODE, &r);)
        piece_add(&(struct piece){r.first, r.end, r.slot, r.node, false});
    for (paddr_t at = 0; memblock_next_reusable(&memblock, &at, MEMBLOCK_ANY_NODE, &r);) {
        struct piece p = {ROUND_UP(r.first, PAGES_PER_BLOCK), ROUND_DOWN(r.end, PAGES_PER_BLOCK),
                          r.slot, r.node, true};

        p.end = max_u64(p.first, p.end);
        phys.lost_pages += r.end - r.first - (p.end - p.first);
        if (r.slot)
            piece_add(&p);
    }
}

static void ranges_collect(const struct boot_info *info)
{
    for (uint32_t i = 0; i < info->ranges && i < BOOT_RANGES_MAX; i++) {
        const struct boot_range *r = &info->range[i];

        if (r->kind == BOOT_FREE && r->pages)
            phys.range[phys.ranges++] =
                (struct phys_range){r->first_page, r->first_page + r->pages, SLOT_MEMORY + i};
    }
}

static void span_find(void)
{
    phys.first = ~0UL;
    for (uint32_t i = 0; i < boot.count; i++) {
        phys.first = min_u64(phys.first, ROUND_DOWN(boot.piece[i].first, PAGES_PER_BLOCK));
        phys.end = max_u64(phys.end, ROUND_UP(boot.piece[i].end, PAGES_PER_BLOCK));
    }
}

static uint64_t piece_room(const struct piece *p)
{
    return p->lent ? 0 : p->end - p->first;
}

static struct piece *piece_largest(void)
{
    struct piece *best = &boot.piece[0];

    for (uint32_t i = 1; i < boot.count; i++) {
        if (piece_room(&boot.piece[i]) > piece_room(best))
            best = &boot.piece[i];
    }
    return best;
}

/* Where a piece's descriptors lie if those of the span begin at page `at`. */
static struct piece descriptors_of(const struct piece *p, pfn_t at)
{
    uint64_t before = (p->first - phys.first) >> BLOCK_ORDER;
    uint64_t behind = (p->end - phys.first + PAGES_PER_BLOCK - 1) >> BLOCK_ORDER;

    return (struct piece){at + before * DESCRIPTOR_PAGES, at + behind * DESCRIPTOR_PAGES, 0, 0,
                          false};
}

static bool is_in_one_piece(const struct piece *what)
{
    for (uint32_t i = 0; i < boot.count; i++) {
        const struct piece *p = &boot.piece[i];

        if (!p->lent && p->first <= what->first && what->end <= p->end)
            return true;
    }
    return false;
}

/* Pages that can be described if descriptors begin at `at`. */
static uint64_t pages_described(pfn_t at)
{
    uint64_t pages = 0;

    for (uint32_t i = 0; i < boot.count; i++) {
        const struct piece where = descriptors_of(&boot.piece[i], at);

        if (is_in_one_piece(&where))
            pages += boot.piece[i].end - boot.piece[i].first;
    }
    return pages;
}

/* The best of all places at which some piece's descriptors begin where some piece begins. */
static pfn_t descriptors_place(void)
{
    uint64_t wanted = 0, most = 0;
    pfn_t best = piece_largest()->first;

    for (uint32_t i = 0; i < boot.count; i++)
        wanted += boot.piece[i].end - boot.piece[i].first;
    most = pages_described(best);
    for (uint32_t of = 0; of < boot.count && most < wanted; of++) {
        for (uint32_t in = 0; in < boot.count && most < wanted; in++) {
            pfn_t at = boot.piece[in].first - descriptors_of(&boot.piece[of], 0).first;
            uint64_t pages = pages_described(at);

            if (pages > most) {
                most = pages;
                best = at;
            }
        }
    }
    phys.lost_pages += wanted - most;
    return best;
}

/* Taken for descriptors; false: memblock could not note it. */
static bool pages_reserve(pfn_t first, pfn_t end)
{
    return memblock_reserve(&memblock, first << PAGE_SHIFT, (end - first) << PAGE_SHIFT, 0, 0) ==
           MEMBLOCK_OK;
}

static bool pieces_remove(pfn_t first, pfn_t end)
{
    for (uint32_t i = 0; i < boot.count; i++) {
        struct piece *p = &boot.piece[i];
        struct piece behind = *p;

        if (end <= p->first || p->end <= first)
            continue;
        behind.first = end;
        p->end = max_u64(p->first, first);
        piece_add(&behind);
    }
    return pages_reserve(first, end);
}

/* The table of blocks, from the start of the largest piece. */
static bool blocks_place(void)
{
    struct piece *home = piece_largest();
    uint64_t bytes = (phys.end - phys.first) >> BLOCK_ORDER;
    uint64_t pages = PAGE_UP(bytes) >> PAGE_SHIFT;

    if (piece_room(home) < pages)
        return false;
    phys.block = page_pointer(home->first);
    memset(phys.block, 0, bytes);
    home->first += pages;
    phys.descriptor_pages = pages;
    return pages_reserve(home->first - pages, home->first);
}

static bool descriptors_set_up(void)
{
    pfn_t at = descriptors_place();
    uint32_t pieces = boot.count;
    struct piece kept[PIECES_MAX];
    uint32_t count = 0;

    for (uint32_t i = 0; i < pieces; i++) {
        const struct piece where = descriptors_of(&boot.piece[i], at);

        if (!is_in_one_piece(&where))
            boot.piece[i].end = boot.piece[i].first; /* lost */
        else
            kept[count++] = where;
        for (pfn_t b = boot.piece[i].first; b < boot.piece[i].end;
             b = ROUND_DOWN(b, PAGES_PER_BLOCK) + PAGES_PER_BLOCK) {
            if (!(*phys_block(b) & BLOCK_PRESENT))
                phys.descriptor_pages += DESCRIPTOR_PAGES;
            *phys_block(b) |= BLOCK_PRESENT;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!pieces_remove(kept[i].first, kept[i].end))
            return false;
    }
    phys.pages_bias =
        place_linear_base + (at << PAGE_SHIFT) - phys.first * (uint64_t)sizeof(struct page);
    return true;
}

static void descriptors_write(pfn_t first, pfn_t end, const struct page *what)
{
    struct page *page = page_of(first);
    uint64_t tag = what->tag;

#pragma GCC unroll 8
    for (struct page *stop = page_of(end); page != stop; page++) {
        page->tag = tag;
        page->private = 0;
    }
}

void phys_describe(pfn_t first, pfn_t end, uint8_t slot, uint8_t home)
{
    const struct page tail = {.state = PAGE_TAIL, .slot = slot, .home = home};
    const struct page none = {.state = PAGE_NONE, .home = home};

    for (pfn_t b = ROUND_DOWN(first, PAGES_PER_BLOCK); b < end; b += PAGES_PER_BLOCK) {
        uint8_t *block = phys_block(b);

        mm_assert(*block & BLOCK_PRESENT);
        if (*block & BLOCK_READY)
            continue;
        if (b < first || b + PAGES_PER_BLOCK > end)
            descriptors_write(b, b + PAGES_PER_BLOCK, &none);
        zones[home & HOME_ZONE_MASK].block[home >> HOME_TYPE_SHIFT]++;
    }
    descriptors_write(first, end, &tail);
    for (pfn_t b = ROUND_DOWN(first, PAGES_PER_BLOCK); b < end; b += PAGES_PER_BLOCK)
        *phys_block(b) |= BLOCK_READY;
}

static void part_free(struct zone *z, pfn_t first, pfn_t end, const struct piece *p)
{
    enum migrate_type type = p->lent ? MIGRATE_CMA : MIGRATE_MOVABLE;

    if (first >= end)
        return;
    phys_describe(first, end, (uint8_t)p->slot, HOME(type, z->home));
    zone_add_free_locked(z, first, end);
}

static void piece_give(const struct piece *p)
{
    for (pfn_t first = p->first, end; first < p->end; first = end) {
        end = p->end;
        struct zone *z = zone_at(first, &end, p->node);
        pfn_t inner = ROUND_UP(first, CHUNK_PAGES_MAX), outer = ROUND_DOWN(end, CHUNK_PAGES_MAX);

        lock_take(&z->lock);
        z->managed += end - first;
        phys.total_pages += end - first;
        if (p->lent || inner >= outer || z->deferred_count == DEFERRED_MAX) {
            part_free(z, first, end, p);
        } else {
            part_free(z, first, inner, p);
            part_free(z, outer, end, p);
            z->deferred[z->deferred_count++] = (struct deferred){inner, outer, p->slot};
            z->deferred_pages += outer - inner;
            z->free[MIGRATE_MOVABLE] += outer - inner;
        }
        lock_drop(&z->lock);
    }
}

bool phys_give(pfn_t first, pfn_t end, uint32_t slot, uint32_t node)
{
    const struct piece p = {first, end, slot, node, false};

    if (first < phys.first || end > phys.end)
        return false;
    for (pfn_t b = ROUND_DOWN(first, PAGES_PER_BLOCK); b < end; b += PAGES_PER_BLOCK) {
        if (!(*phys_block(b) & BLOCK_READY))
            return false;
    }
    piece_give(&p);
    return true;
}

bool phys_init(const struct boot_info *info)
{
    memset(&phys, 0, sizeof phys);
    boot.count = 0;
    phys.clear_blocks = (info->features & BOOT_HAS_ZICBOZ) != 0;
    zones_init(info->args);
    ranges_collect(info);
    pieces_collect();
    if (!boot.count)
        return false;
    span_find();
    zones_cut();
    if (!blocks_place() || !descriptors_set_up())
        return false;
    for (uint32_t i = 0; i < boot.count; i++)
        piece_give(&boot.piece[i]);
    if (phys.lost_pages)
        text_log("memory: %lu pages are left out: no place for their descriptors", phys.lost_pages);
    zones_finish();
    for (uint32_t i = 0; i < BOOT_HARTS_MAX; i++)
        pages_worker_init(&workers[i]);
    return phys.total_pages >= 2 * PAGES_PER_BLOCK;
}
