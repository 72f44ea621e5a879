/* Builds flattened device trees for tests: see tree.h. */
#include "tree.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static void put32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

static void put64(uint8_t *at, uint64_t value)
{
    put32(at, (uint32_t)(value >> 32));
    put32(at + 4, (uint32_t)value);
}

static void cell(struct tree *t, uint32_t value)
{
    put32(t->structure + t->structure_bytes, value);
    t->structure_bytes += 4;
}

static void bytes_padded(struct tree *t, const void *value, uint32_t bytes)
{
    memcpy(t->structure + t->structure_bytes, value, bytes);
    t->structure_bytes += bytes;
    while (t->structure_bytes % 4)
        t->structure[t->structure_bytes++] = 0;
}

static uint32_t string_offset(struct tree *t, const char *text)
{
    for (uint32_t at = 0; at < t->strings_bytes;
         at += (uint32_t)strlen((char *)t->strings + at) + 1)
        if (strcmp((char *)t->strings + at, text) == 0)
            return at;
    uint32_t at = t->strings_bytes;
    strcpy((char *)t->strings + at, text);
    t->strings_bytes += (uint32_t)strlen(text) + 1;
    return at;
}

void tree_begin(struct tree *t, const char *name)
{
    cell(t, 1);
    bytes_padded(t, name, (uint32_t)strlen(name) + 1);
}

void tree_end(struct tree *t)
{
    cell(t, 2);
}

void tree_bytes(struct tree *t, const char *name, const void *value, uint32_t bytes)
{
    cell(t, 3);
    cell(t, bytes);
    cell(t, string_offset(t, name));
    bytes_padded(t, value, bytes);
}

void tree_string(struct tree *t, const char *name, const char *value)
{
    tree_bytes(t, name, value, (uint32_t)strlen(value) + 1);
}

void tree_cells(struct tree *t, const char *name, unsigned count, ...)
{
    uint8_t value[256];
    va_list cells;
    va_start(cells, count);
    for (unsigned i = 0; i < count; i++)
        put32(value + 4 * (size_t)i, va_arg(cells, uint32_t));
    va_end(cells);
    tree_bytes(t, name, value, 4 * count);
}

void tree_reserve(struct tree *t, uint64_t address, uint64_t bytes)
{
    put64(t->reserve + t->reserve_bytes, address);
    put64(t->reserve + t->reserve_bytes + 8, bytes);
    t->reserve_bytes += 16;
}

uint8_t *tree_finish(struct tree *t, size_t *bytes)
{
    enum { HEADER_BYTES = 40 };
    cell(t, 9);
    tree_reserve(t, 0, 0);
    uint32_t structure_at = HEADER_BYTES + t->reserve_bytes;
    uint32_t strings_at = structure_at + t->structure_bytes;
    uint32_t total = strings_at + t->strings_bytes;
    uint8_t *blob = malloc(total);
    const uint32_t header[] = {
        0xd00dfeed, total, structure_at,     strings_at,         HEADER_BYTES, 17,
        16,         0,     t->strings_bytes, t->structure_bytes,
    };
    for (size_t i = 0; i < sizeof header / sizeof *header; i++)
        put32(blob + 4 * i, header[i]);
    memcpy(blob + HEADER_BYTES, t->reserve, t->reserve_bytes);
    memcpy(blob + structure_at, t->structure, t->structure_bytes);
    memcpy(blob + strings_at, t->strings, t->strings_bytes);
    *bytes = total;
    return blob;
}
