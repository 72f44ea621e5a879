/*
 * Interval trees: nodes that each cover [start, last], both included, and may overlap; "which of
 * them cover any of this range" takes O(log n + found). A red-black tree ordered by start, in which
 * each node knows the largest last of its subtree (Cormen et al., Introduction to
 * Algorithms, 14.3). The unit is the caller's: reverse maps use pages of an object.
 *
 * A node is embedded in what it stands for. Trees have no lock of their own.
 */
#ifndef MMSERVER_CORE_INTERVAL_H
#define MMSERVER_CORE_INTERVAL_H

#include "mmserver/core/types.h"
#include <sys/tree.h>

struct interval {
    RB_ENTRY(interval) node;
    uint64_t start, last;
    uint64_t last_max; /* of its subtree */
};

RB_HEAD(interval_tree, interval);

static inline bool interval_tree_empty(const struct interval_tree *t)
{
    return !RB_ROOT(t);
}

void interval_insert(struct interval_tree *t, struct interval *i, uint64_t start, uint64_t last);
/* The same where the tree is empty. */
static inline void interval_insert_only(struct interval_tree *t, struct interval *i, uint64_t start,
                                        uint64_t last)
{
    i->start = start;
    i->last = i->last_max = last;
    RB_SET(i, NULL, node);
    RB_COLOR(i, node) = RB_BLACK;
    RB_ROOT(t) = i;
}
/* Is i, a node of the tree, all that is in it? */
static inline bool interval_is_only(const struct interval_tree *t, const struct interval *i)
{
    return RB_ROOT(t) == i && !RB_LEFT(i, node) && !RB_RIGHT(i, node);
}
void interval_remove(struct interval_tree *t, struct interval *i);
/* A node of the tree gets other bounds. */
void interval_change_among(struct interval_tree *t, struct interval *i, uint64_t start,
                           uint64_t last);
static inline void interval_change(struct interval_tree *t, struct interval *i, uint64_t start,
                                   uint64_t last)
{
    if (unlikely(!interval_is_only(t, i))) {
        interval_change_among(t, i, start, last);
        return;
    }
    i->start = start;
    i->last = i->last_max = last;
}
/* The first node, in order of start, that meets [start, last]; and the next one after i. NULL at
 * the end. */
struct interval *interval_first(const struct interval_tree *t, uint64_t start, uint64_t last);
struct interval *interval_next(struct interval *i, uint64_t start, uint64_t last);

#endif
