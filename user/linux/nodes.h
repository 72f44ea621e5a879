/*
 * /sys/devices/system/node: the memory nodes that there are, and of each how much it has, which
 * harts are its own and how far the others are. All of it is taken out of reports of the memory
 * server, each time that it is read. Big lock held.
 */
#ifndef LINUX_NODES_H
#define LINUX_NODES_H

#include "user/linux/proc.h"

/* Add the directories of the nodes to the tree, which is made: false without memory. */
bool nodes_init(void);
/* "0-1": all nodes. */
void nodes_list(struct text *text);
/* A bit for each. */
uint64_t nodes_mask(void);
/* A file of the directory `name`, such as "node0". */
void node_text(struct text *text, enum proc_text kind, const char *name);

#endif
