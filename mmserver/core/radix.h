/*
 * Radix trees: from a 64-bit index to a word that is not zero. Nodes have 64 slots; the tree is as
 * high as its largest index needs, so a small file has one node and a lookup in 16 MiB of pages
 * reads two. Sparse: what was never stored costs nothing.
 *
 * Trees have no lock of their own. Storing needs nodes, which are allocated before the lock is
 * taken (radix_spare), because an allocation may want to shrink the very cache it is for.
 *
 * The structure is known as the radix tree of Linux's page cache (Velikov, Hellwig; 2002).
 */
#ifndef MMSERVER_CORE_RADIX_H
#define MMSERVER_CORE_RADIX_H

#include "mmserver/core/types.h"

#define RADIX_SHIFT      6
#define RADIX_SLOTS      (1UL << RADIX_SHIFT)
#define RADIX_HEIGHT_MAX 11 /* 64 / RADIX_SHIFT, rounded up */

struct radix_node {
    uint64_t used;              /* slots that are not zero */
    uint64_t slot[RADIX_SLOTS]; /* words at the bottom, above addresses of nodes */
};

struct radix {
    struct radix_node *root;
    uint64_t height;    /* levels of nodes; 0: empty */
    uint64_t top_shift; /* of an index, for the root's slots; 0 if it is empty */
    uint64_t nodes;
};

/* Nodes at hand, linked through slot[0]. */
struct radix_spare {
    struct radix_node *first;
    unsigned count;
};

/* Does the index lie above what a tree of that height can hold? */
static inline bool radix_above(uint64_t index, uint64_t height)
{
    return height < RADIX_HEIGHT_MAX && index >> (height * RADIX_SHIFT) != 0;
}

/* The bottom node that holds `index`, or NULL. */
static inline struct radix_node *radix_bottom(const struct radix *t, uint64_t index)
{
    struct radix_node *node = t->root;

    if (unlikely(!node))
        return NULL;
    uint64_t shift = t->top_shift, at = index >> shift;
    if (unlikely(at >= RADIX_SLOTS))
        return NULL;
    for (; shift && node; at = index >> shift & (RADIX_SLOTS - 1)) {
        node = (struct radix_node *)(uintptr_t)node->slot[at];
        shift -= RADIX_SHIFT;
    }
    return node;
}

/* The word at `index`, 0 if there is none. */
static inline uint64_t radix_get(const struct radix *t, uint64_t index)
{
    const struct radix_node *node = radix_bottom(t, index);

    return node ? node->slot[index & (RADIX_SLOTS - 1)] : 0;
}

/* The first word at *index or above, and its index; 0 if there is none. */
uint64_t radix_next(const struct radix *t, uint64_t *index);

/* How many nodes storing at `index` would take. */
unsigned radix_missing(const struct radix *t, uint64_t index);
/* Have that many nodes at hand; false without memory. No lock from LOCK_OBJECT on is held. */
bool radix_spare_fill(struct worker *w, struct radix_spare *spare, unsigned count);
void radix_spare_free(struct worker *w, struct radix_spare *spare);

/* Store at an index where there is nothing; spare->count is at least radix_missing(). */
void radix_store(struct radix *t, uint64_t index, uint64_t word, struct radix_spare *spare);
/* Take the word out, with the nodes that become empty; the word. */
uint64_t radix_take(struct worker *w, struct radix *t, uint64_t index);

/* For the recount: nodes reached and words found. False if a node's count is wrong or empty. */
bool radix_count(const struct radix *t, uint64_t *nodes, uint64_t *words);

#endif
