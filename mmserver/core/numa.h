/*
 * NUMA: which node a hart is near to, and how far nodes are from one another, in the units of the
 * device tree's distance map (10: the node itself). A machine that says nothing is one node, 0.
 * Nodes of memory are in memblock's ranges. Written once at start.
 */
#ifndef MMSERVER_CORE_NUMA_H
#define MMSERVER_CORE_NUMA_H

#include "mmserver/core/types.h"
#include "lib/fdt.h"
#include <pagoda/boot.h>

#define NUMA_NODES_MAX       BOOT_NODES_MAX
#define NUMA_DISTANCE_LOCAL  10U
#define NUMA_DISTANCE_REMOTE 20U  /* where the map says nothing */
#define NUMA_DISTANCE_MAX    255U /* unreachable */

struct numa {
    uint32_t nodes; /* the highest number of a node that has memory or harts, + 1 */
    uint8_t hart_node[BOOT_HARTS_MAX];
    uint8_t distance[NUMA_NODES_MAX][NUMA_NODES_MAX];
};
extern struct numa numa;

/* From the boot information and its device tree; memblock has been filled. Logs what it does not
 * believe. */
void numa_boot(const struct boot_info *info);
/* The parts of it: all distances are the default; then what a tree says. NULL or a sentence. */
void numa_init(void);
const char *numa_from_device_tree(const struct fdt *tree, const struct boot_info *info);

static inline uint32_t numa_nodes(void)
{
    return numa.nodes;
}
static inline uint32_t numa_distance(uint32_t a, uint32_t b)
{
    return numa.distance[a][b];
}
static inline uint32_t numa_node_of_hart(uint32_t hart)
{
    return numa.hart_node[hart];
}

#endif
