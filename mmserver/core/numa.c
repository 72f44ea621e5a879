/* Nodes and distances: see numa.h. The device tree's bindings are Linux's (numa.txt). */
#include "mmserver/core/numa.h"
#include "mmserver/core/memblock.h"
#include "mmserver/core/text.h"

struct numa numa;

void numa_init(void)
{
    numa.nodes = 1;
    for (uint32_t a = 0; a < NUMA_NODES_MAX; a++) {
        for (uint32_t b = 0; b < NUMA_NODES_MAX; b++)
            numa.distance[a][b] = a == b ? NUMA_DISTANCE_LOCAL : NUMA_DISTANCE_REMOTE;
    }
    for (uint32_t i = 0; i < BOOT_HARTS_MAX; i++)
        numa.hart_node[i] = 0;
}

static void node_seen(uint32_t node)
{
    numa.nodes = node >= numa.nodes ? node + 1 : numa.nodes;
}

static const char *read_harts(const struct fdt *tree, const struct boot_info *info)
{
    const char *problem = NULL;
    int32_t cpus = fdt_find_path(tree, "/cpus");

    if (cpus == FDT_NONE)
        return NULL;
    for (int32_t n = fdt_first_child(tree, cpus); n != FDT_NONE; n = fdt_next_sibling(tree, n)) {
        uint64_t id, node;

        if (!fdt_number(tree, n, "reg", &id) || !fdt_number(tree, n, "numa-node-id", &node))
            continue;
        if (node >= NUMA_NODES_MAX) {
            problem = "a hart's NUMA node has too high a number";
            continue;
        }
        for (uint32_t i = 0; i < info->harts; i++) {
            if (info->hart_machine_id[i] == id) {
                numa.hart_node[i] = (uint8_t)node;
                node_seen((uint32_t)node);
            }
        }
    }
    return problem;
}

static bool distance_good(uint32_t a, uint32_t b, uint32_t distance)
{
    return a < NUMA_NODES_MAX && b < NUMA_NODES_MAX && distance <= NUMA_DISTANCE_MAX &&
           (a == b ? distance == NUMA_DISTANCE_LOCAL : distance > NUMA_DISTANCE_LOCAL);
}

/* Triples (a, b, distance); one that is given in one direction only holds in both. */
static const char *read_distances(const struct fdt *tree)
{
    uint32_t a, b, distance;
    int32_t n = fdt_next_compatible(tree, FDT_NONE, "numa-distance-map-v1");

    if (n == FDT_NONE)
        return NULL;
    for (unsigned pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; fdt_cell(tree, n, "distance-matrix", i + 2, &distance); i += 3) {
            (void)fdt_cell(tree, n, "distance-matrix", i, &a);
            (void)fdt_cell(tree, n, "distance-matrix", i + 1, &b);
            if (!distance_good(a, b, distance))
                return "the NUMA distance map is not sound: not used";
            if (pass == 0)
                continue;
            numa.distance[a][b] = (uint8_t)distance;
            if (numa.distance[b][a] == NUMA_DISTANCE_REMOTE)
                numa.distance[b][a] = (uint8_t)distance;
        }
    }
    return NULL;
}

const char *numa_from_device_tree(const struct fdt *tree, const struct boot_info *info)
{
    const char *harts = read_harts(tree, info), *distances = read_distances(tree);

    return harts ? harts : distances;
}

void numa_boot(const struct boot_info *info)
{
    struct memblock_range range;
    struct fdt tree;
    const char *problem = NULL;

    numa_init();
    for (paddr_t at = 0; memblock_next_memory(&memblock, &at, MEMBLOCK_ANY_NODE, &range);)
        node_seen(range.node);
    if (info->dtb_bytes && !memblock_tree_open(info, &tree))
        problem = numa_from_device_tree(&tree, info);
    if (problem)
        text_log("numa: %s", problem);
}
