/*
 * Nodes and zones: who gets which memory, in which order an allocation looks, and where it stops.
 */
#include "mmserver/core/zone.h"
#include "mmserver/core/numa.h"
#include <string.h>

struct zone zones[ZONES_MAX];
struct node nodes[NODES_MAX];
const char *const zone_text[ZONE_KINDS] = {"DMA32", "Normal", "Movable"};
const char *const migrate_text[MIGRATE_TYPES] = {"Unmovable", "Movable", "Reclaimable",
                                                 "CMA",       "Isolate", "Tables"};

#define DMA32_END         (1UL << (32 - PAGE_SHIFT))
#define KIB_PER_PAGE      (PAGE_BYTES / 1024)
#define MIN_FREE_KIB_MIN  128UL
#define MIN_FREE_SHARE    4 /* of memory at most: more would leave nothing to anybody */
#define MIN_FREE_KIB_MAX  262144UL
#define WATERMARK_SCALE   10 /* in 10000 of a zone: from one mark to the next at least */
#define MOVABLE_MIN_PAGES 32UL
#define MOVABLE_MAX_PAGES 128UL

/* Of the memory in zones above, one page in so many is kept in a zone for those who cannot go
 * elsewhere. */
static const uint64_t reserve_ratio[ZONE_KINDS] = {256, 32, 0};

struct size {
    uint64_t pages, percent; /* at most one is not 0 */
};

/* What there is and what was asked for, for the time of the start. */
static struct {
    struct {
        pfn_t first, end;
        uint32_t node;
    } memory[PIECES_MAX]; /* sorted */
    uint32_t count;
    struct size kernelcore, movablecore;
    uint64_t min_free_kib; /* 0: computed */
    pfn_t movable_start[NODES_MAX];
} plan;

/* What follows `name` in the command line, or NULL. */
static const char *argument_value(const char *args, const char *name)
{
    size_t length = strlen(name);

    for (const char *at = args; (at = strstr(at, name)); at += length) {
        if (at == args || at[-1] == ' ')
            return at + length;
    }
    return NULL;
}

/* A number and where it ends; very large ones are cut. */
static uint64_t number_parse(const char **at)
{
    uint64_t value = 0;

    for (; **at >= '0' && **at <= '9'; (*at)++)
        value = min_u64(value * 10 + (uint64_t)(**at - '0'), 1UL << 50);
    return value;
}

/* "512M", "1G", "30%". */
static struct size size_argument(const char *args, const char *name)
{
    const char *at = argument_value(args, name);
    struct size size = {0, 0};

    if (!at)
        return size;
    uint64_t value = number_parse(&at);
    unsigned shift = 0;
    switch (*at | 0x20) {
    case 't':
        shift = 40;
        break;
    case 'g':
        shift = 30;
        break;
    case 'm':
        shift = 20;
        break;
    case 'k':
        shift = 10;
        break;
    default:
        break;
    }
    if (*at == '%')
        size.percent = min_u64(value, 100);
    else
        size.pages = value < 1UL << (63 - shift) ? value << shift >> PAGE_SHIFT : ~0UL >> 1;
    return size;
}

void zones_init(const char *args)
{
    const char *value = argument_value(args, "min_free_kbytes=");

    memset(zones, 0, sizeof zones);
    memset(nodes, 0, sizeof nodes);
    memset(&plan, 0, sizeof plan);
    for (unsigned i = 0; i < ZONES_MAX; i++) {
        zones[i].lock = LOCK_INIT(LOCK_PHYS);
        zones[i].home = (uint8_t)i;
        zones[i].node = (uint8_t)(i >> HOME_NODE_SHIFT);
        zones[i].kind = i & HOME_KIND_MASK;
    }
    plan.kernelcore = size_argument(args, "kernelcore=");
    plan.movablecore = size_argument(args, "movablecore=");
    if (value)
        plan.min_free_kib = min_u64(number_parse(&value), MIN_FREE_KIB_MAX);
}

void zones_add_memory(pfn_t first, pfn_t end, uint32_t node)
{
    uint32_t i = plan.count;

    if (i == PIECES_MAX)
        return;
    for (; i > 0 && plan.memory[i - 1].first > first; i--)
        plan.memory[i] = plan.memory[i - 1];
    plan.memory[i].first = first;
    plan.memory[i].end = end;
    plan.memory[i].node = node < NODES_MAX ? node : NODES_MAX - 1;
    plan.count++;
}

/* Memory from `above` on, of one node or (~0) of all. */
static uint64_t memory_pages(uint32_t node, pfn_t above)
{
    uint64_t pages = 0;

    for (uint32_t i = 0; i < plan.count; i++) {
        if ((node == ~0U || plan.memory[i].node == node) && plan.memory[i].end > above)
            pages += plan.memory[i].end - max_u64(plan.memory[i].first, above);
    }
    return pages;
}

/* The node's memory from `above` on without its first `pages`: where that begins. */
static pfn_t memory_behind(uint32_t node, pfn_t above, uint64_t pages)
{
    for (uint32_t i = 0; i < plan.count; i++) {
        pfn_t first = max_u64(plan.memory[i].first, above);

        if (plan.memory[i].node != node || plan.memory[i].end <= first)
            continue;
        if (pages < plan.memory[i].end - first)
            return first + pages;
        pages -= plan.memory[i].end - first;
    }
    return ~0UL;
}

/* Pages that must not be in MOVABLE, or ~0: nobody asked. */
static uint64_t kernelcore_pages(void)
{
    uint64_t total = memory_pages(~0U, 0);
    uint64_t core = plan.kernelcore.pages + plan.kernelcore.percent * total / 100;
    uint64_t movable = plan.movablecore.pages + plan.movablecore.percent * total / 100;

    if (!core && !movable)
        return ~0UL;
    return max_u64(core, movable && movable < total ? total - movable : 0);
}

/*
 * As Linux: only the highest kind of zone that the machine has is cut. What must stay out of
 * MOVABLE is spread evenly; what one node is too small for, the others take.
 */
void zones_cut(void)
{
    uint64_t core = kernelcore_pages();
    pfn_t above = memory_pages(~0U, DMA32_END) ? DMA32_END : 0;
    uint32_t left = 0;
    bool done[NODES_MAX] = {false};

    for (uint32_t n = 0; n < NODES_MAX; n++) {
        plan.movable_start[n] = ~0UL;
        left += memory_pages(n, above) != 0;
        nodes[n].present = memory_pages(n, 0) != 0;
    }
    if (core == ~0UL)
        return;
    core -= min_u64(core, memory_pages(~0U, 0) - memory_pages(~0U, above));
    for (; left > 0; left--) { /* the smallest first, so that its want falls to the rest */
        uint32_t least = NODES_MAX;

        for (uint32_t n = 0; n < NODES_MAX; n++) {
            if (!done[n] && memory_pages(n, above) &&
                (least == NODES_MAX || memory_pages(n, above) < memory_pages(least, above)))
                least = n;
        }
        uint64_t share = min_u64(core / left, memory_pages(least, above));
        pfn_t start = memory_behind(least, above, share);
        plan.movable_start[least] = start == ~0UL ? start : ROUND_UP(start, CHUNK_PAGES_MAX);
        core -= share;
        done[least] = true;
    }
}

struct zone *zone_at(pfn_t first, pfn_t *end, uint32_t node)
{
    enum zone_kind kind = first < DMA32_END ? ZONE_DMA32 : ZONE_NORMAL;

    node = min_u64(node, NODES_MAX - 1);
    if (first >= plan.movable_start[node])
        kind = ZONE_MOVABLE;
    else
        *end = min_u64(*end, plan.movable_start[node]);
    if (kind == ZONE_DMA32)
        *end = min_u64(*end, DMA32_END);
    return &zones[node << HOME_NODE_SHIFT | kind];
}

/* Present and spanned: all memory, whoever has it. */
static void zones_measure(void)
{
    for (uint32_t i = 0; i < plan.count; i++) {
        for (pfn_t first = plan.memory[i].first, end; first < plan.memory[i].end; first = end) {
            end = plan.memory[i].end;
            struct zone *z = zone_at(first, &end, plan.memory[i].node);

            z->start = z->present ? min_u64(z->start, first) : first;
            z->end = max_u64(z->end, end);
            z->present += end - first;
        }
    }
}

static uint64_t square_root(uint64_t value)
{
    uint64_t root = 0;

    for (uint64_t bit = 1UL << 31; bit; bit >>= 1) {
        if ((root | bit) * (root | bit) <= value)
            root |= bit;
    }
    return root;
}

uint64_t zones_min_free_kbytes(void)
{
    uint64_t pages = 0;

    if (plan.min_free_kib)
        return plan.min_free_kib;
    zone_for_each(z)
    {
        pages += z->kind == ZONE_MOVABLE ? 0 : z->managed;
    }
    return max_u64(MIN_FREE_KIB_MIN,
                   min_u64(MIN_FREE_KIB_MAX, square_root(pages * KIB_PER_PAGE * 16)));
}

static void marks_set(struct zone *z, uint64_t min_pages, uint64_t low_memory)
{
    uint64_t share = low_memory ? min_pages * z->managed / low_memory : 0;
    uint64_t step = max_u64(share / 4, z->managed * WATERMARK_SCALE / 10000);

    if (z->kind == ZONE_MOVABLE)
        z->mark[MARK_MIN] =
            max_u64(MOVABLE_MIN_PAGES, min_u64(MOVABLE_MAX_PAGES, z->managed / 1024));
    else
        z->mark[MARK_MIN] = share;
    z->mark[MARK_LOW] = z->mark[MARK_MIN] + step;
    z->mark[MARK_HIGH] = z->mark[MARK_MIN] + 2 * step;
}

static void reserves_set(struct zone *z)
{
    uint64_t above = 0;

    for (unsigned kind = z->kind + 1U; kind < ZONE_KINDS; kind++) {
        above += zones[(unsigned)z->node << HOME_NODE_SHIFT | kind].managed;
        if (z->managed && reserve_ratio[z->kind])
            z->reserve[kind] = above / reserve_ratio[z->kind];
    }
}

/* Zones of the nearest node first, in a node the highest kind first. */
static void list_set(uint32_t node)
{
    struct node *n = &nodes[node];
    bool done[NODES_MAX] = {false};

    n->count = 0;
    for (uint32_t turn = 0; turn < NODES_MAX; turn++) {
        uint32_t nearest = NODES_MAX;

        for (uint32_t i = 0; i < NODES_MAX; i++) {
            if (!done[i] && nodes[i].present &&
                (nearest == NODES_MAX || numa_distance(node, i) < numa_distance(node, nearest)))
                nearest = i;
        }
        if (nearest == NODES_MAX)
            return;
        done[nearest] = true;
        for (unsigned kind = ZONE_KINDS; kind-- > 0;) {
            struct zone *z = &zones[nearest << HOME_NODE_SHIFT | kind];

            if (z->managed)
                n->list[n->count++] = z;
        }
    }
}

void zones_order(void)
{
    for (uint32_t n = 0; n < NODES_MAX; n++)
        list_set(n);
}

static void marks_set_all(void)
{
    uint64_t min_pages = zones_min_free_kbytes() / KIB_PER_PAGE, low_memory = 0;

    zone_for_each(z)
    {
        low_memory += z->kind == ZONE_MOVABLE ? 0 : z->managed;
    }
    zone_for_each(z)
    {
        marks_set(z, min_pages, low_memory);
        reserves_set(z);
    }
}

void zones_finish(void)
{
    zones_measure();
    marks_set_all();
    zones_order();
}

/* Marks are read without locks, and may be of both kinds for a moment. */
bool zones_min_free_set(uint64_t kib)
{
    if (kib > phys.total_pages * KIB_PER_PAGE / MIN_FREE_SHARE)
        return false;
    plan.min_free_kib = kib;
    marks_set_all();
    return true;
}

uint64_t zone_spare(const struct zone *z, uint64_t mark, enum zone_kind kind)
{
    uint64_t free = zone_free_data(z) - (kind == ZONE_MOVABLE ? 0 : z->free[MIGRATE_CMA]);
    uint64_t kept = mark + z->reserve[kind];

    return free > kept ? free - kept : 0;
}

uint64_t zones_blocks(enum migrate_type type)
{
    uint64_t blocks = 0;

    zone_for_each(z)
    {
        blocks += z->block[type];
    }
    return blocks;
}

uint64_t zones_free_type(enum migrate_type type)
{
    uint64_t pages = 0;

    zone_for_each(z)
    {
        pages += z->free[type];
    }
    return pages;
}

uint64_t zones_available(uint64_t free, uint64_t cached)
{
    uint64_t kept = 0, low = 0;

    zone_for_each(z)
    {
        uint64_t reserve = 0;

        for (unsigned kind = 0; kind < ZONE_KINDS; kind++)
            reserve = max_u64(reserve, z->reserve[kind]);
        kept += min_u64(z->managed, z->mark[MARK_HIGH] + reserve);
        low += z->mark[MARK_LOW];
    }
    return (free > kept ? free - kept : 0) + cached - min_u64(cached / 2, low);
}

uint64_t zones_free(void)
{
    uint64_t pages = 0;

    zone_for_each(z)
    {
        pages += zone_free(z);
    }
    return pages;
}

/* Chunks of one order that ordinary allocations could get; deferred memory is whole chunks. */
static uint64_t chunks(const struct zone *z, unsigned order)
{
    uint64_t count = order == ORDER_MAX ? z->deferred_pages >> ORDER_MAX : 0;

    for (unsigned type = 0; type < MIGRATE_ISOLATE; type++)
        count += z->area[order][type].chunks;
    return count;
}

uint64_t zone_free_above(const struct zone *z, unsigned order)
{
    uint64_t pages = 0;

    for (unsigned o = order; o < ORDERS; o++)
        pages += chunks(z, o) << o;
    return pages;
}

long zone_unusable_index(const struct zone *z, unsigned order)
{
    uint64_t free = zone_free_data(z);

    return free ? (long)((free - zone_free_above(z, order)) * 1000 / free) : 1000;
}

long zone_fragmentation_index(const struct zone *z, unsigned order)
{
    uint64_t requested = 1UL << order, all = 0;

    if (zone_free_above(z, order))
        return -1000;
    for (unsigned o = 0; o < ORDERS; o++)
        all += chunks(z, o);
    if (!all)
        return 0;
    return 1000 - (long)((1000 + zone_free_data(z) * 1000 / requested) / all);
}
