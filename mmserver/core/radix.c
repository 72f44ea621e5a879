/* See radix.h. A node is there if and only if something is below it. */
#include "mmserver/core/radix.h"
#include "mmserver/core/assert.h"
#include "mmserver/core/caches.h"

static struct radix_node *node_of(uint64_t slot)
{
    return (struct radix_node *)(uintptr_t)slot;
}

static unsigned slot_at(uint64_t index, uint64_t level)
{
    return (unsigned)(index >> (level * RADIX_SHIFT) & (RADIX_SLOTS - 1));
}

/* The first word below `node` (whose slots are of `level`) at *index or above. */
static uint64_t next_below(const struct radix_node *node, uint64_t level, uint64_t *index)
{
    for (unsigned i = slot_at(*index, level); i < RADIX_SLOTS; i++) {
        uint64_t slot = node->slot[i];

        if (i != slot_at(*index, level)) /* on into the next part: from its beginning */
            *index = (*index >> (level * RADIX_SHIFT) & ~(RADIX_SLOTS - 1)) << level * RADIX_SHIFT |
                     (uint64_t)i << level * RADIX_SHIFT;
        if (!slot)
            continue;
        if (!level)
            return slot;
        uint64_t word = next_below(node_of(slot), level - 1, index);
        if (word)
            return word;
    }
    return 0;
}

uint64_t radix_next(const struct radix *t, uint64_t *index)
{
    if (!t->root || radix_above(*index, t->height))
        return 0;
    return next_below(t->root, t->height - 1, index);
}

static uint64_t height_for(uint64_t index, uint64_t height)
{
    if (!height)
        height = 1;
    while (radix_above(index, height))
        height++;
    return height;
}

unsigned radix_missing(const struct radix *t, uint64_t index)
{
    uint64_t height = height_for(index, t->height);

    if (!t->root)
        return (unsigned)height;
    if (height > t->height) /* nodes above the root, and a path of its own beside the old one */
        return (unsigned)(height - t->height + height - 1);
    const struct radix_node *node = t->root;
    for (uint64_t level = height - 1; level; level--) {
        node = node_of(node->slot[slot_at(index, level)]);
        if (!node)
            return (unsigned)level;
    }
    return 0;
}

bool radix_spare_fill(struct worker *w, struct radix_spare *spare, unsigned count)
{
    while (spare->count < count) {
        struct radix_node *node = slab_zalloc(w, radix_cache);

        if (!node)
            return false;
        node->slot[0] = (uintptr_t)spare->first;
        spare->first = node;
        spare->count++;
    }
    return true;
}

static struct radix_node *spare_take(struct radix *t, struct radix_spare *spare)
{
    struct radix_node *node = spare->first;

    mm_assert(node);
    spare->first = node_of(node->slot[0]);
    spare->count--;
    node->slot[0] = 0;
    t->nodes++;
    return node;
}

void radix_spare_free(struct worker *w, struct radix_spare *spare)
{
    while (spare->first) {
        struct radix_node *node = spare->first;

        spare->first = node_of(node->slot[0]);
        slab_free(w, radix_cache, node);
    }
    spare->count = 0;
}

static void height_set(struct radix *t, uint64_t height)
{
    t->height = height;
    t->top_shift = height ? (height - 1) * RADIX_SHIFT : 0;
}

/* Higher, until the index fits. */
static void grow(struct radix *t, uint64_t index, struct radix_spare *spare)
{
    uint64_t height = height_for(index, t->height);

    if (!t->root) {
        t->root = spare_take(t, spare);
        height_set(t, height);
    }
    while (t->height < height) {
        struct radix_node *node = spare_take(t, spare);

        node->slot[0] = (uintptr_t)t->root;
        node->used = 1;
        t->root = node;
        height_set(t, t->height + 1);
    }
}

void radix_store(struct radix *t, uint64_t index, uint64_t word, struct radix_spare *spare)
{
    mm_assert(word);
    grow(t, index, spare);
    struct radix_node *node = t->root;
    for (uint64_t level = t->height - 1; level; level--) {
        uint64_t *slot = &node->slot[slot_at(index, level)];

        if (!*slot) {
            *slot = (uintptr_t)spare_take(t, spare);
            node->used++;
        }
        node = node_of(*slot);
    }
    mm_assert(!node->slot[slot_at(index, 0)]);
    node->slot[slot_at(index, 0)] = word;
    node->used++;
}

/* The root has only its first slot in use: what it leads to can be the root. */
static void shrink(struct worker *w, struct radix *t)
{
    while (t->height > 1 && t->root->used == 1 && t->root->slot[0]) {
        struct radix_node *node = t->root;

        t->root = node_of(node->slot[0]);
        height_set(t, t->height - 1);
        t->nodes--;
        slab_free(w, radix_cache, node);
    }
}

uint64_t radix_take(struct worker *w, struct radix *t, uint64_t index)
{
    struct radix_node *path[RADIX_HEIGHT_MAX];
    struct radix_node *node = t->root;

    if (!node || radix_above(index, t->height))
        return 0;
    for (uint64_t level = t->height - 1; level; level--) {
        path[level] = node;
        node = node_of(node->slot[slot_at(index, level)]);
        if (!node)
            return 0;
    }
    uint64_t word = node->slot[slot_at(index, 0)];
    if (!word)
        return 0;
    path[0] = node;
    for (uint64_t level = 0; level < t->height; level++) {
        path[level]->slot[slot_at(index, level)] = 0;
        if (--path[level]->used) {
            shrink(w, t);
            return word;
        }
        t->nodes--;
        slab_free(w, radix_cache, path[level]);
    }
    t->root = NULL;
    height_set(t, 0);
    return word;
}

static bool count_below(const struct radix_node *node, uint64_t level, uint64_t *nodes,
                        uint64_t *words)
{
    uint64_t used = 0;
    bool good = true;

    ++*nodes;
    for (unsigned i = 0; i < RADIX_SLOTS; i++) {
        if (!node->slot[i])
            continue;
        used++;
        if (level)
            good &= count_below(node_of(node->slot[i]), level - 1, nodes, words);
        else
            ++*words;
    }
    return good && used && used == node->used;
}

bool radix_count(const struct radix *t, uint64_t *nodes, uint64_t *words)
{
    *nodes = *words = 0;
    if (!t->root)
        return !t->height && !t->nodes;
    return count_below(t->root, t->height - 1, nodes, words) && *nodes == t->nodes;
}
