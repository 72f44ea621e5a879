/*
 * Builds flattened device trees for tests: nodes and properties in order, then tree_finish(). The
 * blob is of exact size on the heap, so that the address sanitizer sees every step outside of it.
 */
#ifndef PAGODA_TESTS_HOST_TREE_H
#define PAGODA_TESTS_HOST_TREE_H

#include <stddef.h>
#include <stdint.h>

struct tree {
    uint8_t structure[16384], strings[2048], reserve[256];
    uint32_t structure_bytes, strings_bytes, reserve_bytes;
};

void tree_begin(struct tree *t, const char *name);
void tree_end(struct tree *t);
void tree_bytes(struct tree *t, const char *name, const void *value, uint32_t bytes);
void tree_string(struct tree *t, const char *name, const char *value);
/* Big-endian cells: `count` of them follow. */
void tree_cells(struct tree *t, const char *name, unsigned count, ...);
void tree_reserve(struct tree *t, uint64_t address, uint64_t bytes);
/* The blob; free() it. */
uint8_t *tree_finish(struct tree *t, size_t *bytes);

#endif
