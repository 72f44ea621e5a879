/* See interval.h. Nodes of equal start are told apart by their addresses. */
#include "mmserver/core/types.h"

#define RB_AUGMENT(i) interval_augment(i)

#include "mmserver/core/interval.h"
#include "mmserver/core/assert.h"

static void interval_augment(struct interval *i)
{
    const struct interval *left = RB_LEFT(i, node), *right = RB_RIGHT(i, node);
    uint64_t most = i->last;

    if (left)
        most = max_u64(most, left->last_max);
    if (right)
        most = max_u64(most, right->last_max);
    i->last_max = most;
}

static int interval_compare(const struct interval *a, const struct interval *b)
{
    if (a->start != b->start)
        return a->start < b->start ? -1 : 1;
    return (uintptr_t)a < (uintptr_t)b ? -1 : a != b;
}

RB_GENERATE_STATIC(interval_tree, interval, node, interval_compare)

void interval_insert(struct interval_tree *t, struct interval *i, uint64_t start, uint64_t last)
{
    mm_assert(start <= last);
    if (!RB_ROOT(t)) {
        interval_insert_only(t, i, start, last);
        return;
    }
    i->start = start;
    i->last = i->last_max = last;
    mm_assert(!RB_INSERT(interval_tree, t, i));
}

void interval_remove(struct interval_tree *t, struct interval *i)
{
    RB_REMOVE(interval_tree, t, i);
}

void interval_change_among(struct interval_tree *t, struct interval *i, uint64_t start,
                           uint64_t last)
{
    mm_assert(start <= last);
    if (start != i->start) {
        interval_remove(t, i);
        interval_insert(t, i, start, last);
        return;
    }
    i->last = last;
    for (; i; i = RB_PARENT(i, node))
        interval_augment(i);
}

/*
 * The first of i's subtree that meets the range. Some node of it ends at or behind `start`: if that
 * one begins behind `last`, so does everything at its right, and there is nothing more to look for.
 */
static struct interval *subtree_first(struct interval *i, uint64_t start, uint64_t last)
{
    for (;;) {
        struct interval *left = RB_LEFT(i, node), *right = RB_RIGHT(i, node);

        if (left && left->last_max >= start) {
            i = left;
            continue;
        }
        if (i->start > last)
            return NULL;
        if (i->last >= start)
            return i;
        if (!right || right->last_max < start)
            return NULL;
        i = right;
    }
}

struct interval *interval_first(const struct interval_tree *t, uint64_t start, uint64_t last)
{
    struct interval *root = RB_ROOT(t);

    return root && root->last_max >= start ? subtree_first(root, start, last) : NULL;
}

struct interval *interval_next(struct interval *i, uint64_t start, uint64_t last)
{
    for (;;) {
        struct interval *right = RB_RIGHT(i, node), *below;

        if (right && right->last_max >= start)
            return subtree_first(right, start, last);
        do {
            below = i;
            i = RB_PARENT(i, node);
            if (!i)
                return NULL;
        } while (below == RB_RIGHT(i, node));
        if (i->start > last)
            return NULL;
        if (i->last >= start)
            return i;
    }
}
