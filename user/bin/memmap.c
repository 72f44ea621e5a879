/*
 * memmap [-c] [-v BLOCK]: a picture of physical memory, a character for each block of 2 MiB, or for
 * several on a large machine: its type, and whether less or more than half of it is in use. -v: one
 * block, page by page. -c: with colours even where the output is no terminal. Pagoda only.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/bin/lib/util.h"
#include <pagoda/mm.h>

#define COLUMNS     64
#define ROWS        32 /* that a picture shall not be longer than, roughly */
#define BLOCK_PAGES 512
#define BLOCK_BYTES (BLOCK_PAGES * 4096UL)
#define TEXT_BYTES  2048

struct type {
    const char *name;
    char letter;
    const char *colour; /* terminal sequence */
};

static const struct type types[] = {
    {"Unmovable", 'u', "\033[31m"}, {"Movable", 'm', "\033[32m"}, {"Reclaimable", 'r', "\033[33m"},
    {"CMA", 'c', "\033[36m"},       {"Isolate", 'i', "\033[35m"}, {"Tables", 't', "\033[34m"},
};

struct block {
    unsigned long number, node, free, listed, movable, other, none;
    char zone[16], type[16];
    int order; /* of the largest free chunk; -1: none */
};

static bool colours;

static bool parse(const char *line, struct block *b)
{
    char order[8];

    if (sscanf(line, "%lx %lu %15s %15s %lu %lu %lu %lu %lu %7s", &b->number, &b->node, b->zone,
               b->type, &b->free, &b->listed, &b->movable, &b->other, &b->none, order) != 10)
        return false;
    b->order = order[0] == '-' ? -1 : (int)strtol(order, NULL, 10);
    return true;
}

/* A character of the picture: several blocks of one zone. */
struct cell {
    unsigned long blocks, free, pages;
    const char *type; /* of the first block of which something is in use */
};

static void cell_add(struct cell *c, const struct block *b)
{
    unsigned long pages = BLOCK_PAGES - b->none;

    if (c->type == NULL || c->free == c->pages)
        c->type = NULL;
    for (size_t i = 0; c->type == NULL && i < sizeof(types) / sizeof(types[0]); i++) {
        if (strcmp(types[i].name, b->type) == 0)
            c->type = types[i].name;
    }
    c->blocks++;
    c->free += b->free + b->listed;
    c->pages += pages;
}

static const struct type *type_of(const struct cell *c)
{
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (c->type == types[i].name)
            return &types[i];
    }
    return &types[1];
}

static void cell_print(const struct cell *c)
{
    const struct type *type = type_of(c);
    char letter = type->letter;

    if (c->pages == 0)
        letter = ' ';
    else if (c->free == c->pages && letter == 'm')
        letter = '.';
    else if (2 * c->free < c->pages)
        letter = (char)(letter - 'a' + 'A');
    if (colours && letter != '.' && letter != ' ')
        printf("%s%c\033[0m", type->colour, letter);
    else
        putchar(letter);
}

static void legend(unsigned long each)
{
    printf("\neach character: %lu MiB; . all free; ", each * BLOCK_BYTES >> 20);
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        printf("%s%c %s%s ", colours ? types[i].colour : "", types[i].letter, types[i].name,
               colours ? "\033[0m" : "");
    printf("\nsmall letters: less than half in use; capitals: half or more\n");
}

struct row {
    struct cell cell;
    struct block last;
    unsigned column;
    unsigned long each; /* blocks of a cell */
};

static void row_end(struct row *r)
{
    if (r->cell.blocks > 0)
        cell_print(&r->cell);
    r->cell = (struct cell){0};
    r->column = 0;
}

static void row_add(struct row *r, const struct block *b, bool first)
{
    bool new_zone = first || b->node != r->last.node || strcmp(b->zone, r->last.zone) != 0;
    bool gap = !first && b->number != r->last.number + 1;

    if (new_zone || gap)
        row_end(r);
    if (new_zone)
        printf("%sNode %lu, zone %s", first ? "" : "\n", b->node, b->zone);
    if (r->cell.blocks == r->each) {
        cell_print(&r->cell);
        r->cell = (struct cell){0};
        if (++r->column == COLUMNS)
            r->column = 0;
    }
    if (r->column == 0 && r->cell.blocks == 0)
        printf("\n%012lx ", b->number * BLOCK_BYTES);
    cell_add(&r->cell, b);
    r->last = *b;
}

static int picture(void)
{
    char *text = util_read_pagoda_file("/proc/pagoda/memmap");
    unsigned long lines = 0, free_pages = 0, in_use = 0;
    struct row row = {.each = 1};
    bool first = true;

    if (text == NULL)
        return 1;
    for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++)
        lines++;
    while (lines > row.each * COLUMNS * ROWS)
        row.each *= 2;
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        struct block b;
        if (!parse(line, &b)) {
            free(text);
            return util_fail("a line that is none: %s", line);
        }
        if (b.none == BLOCK_PAGES) /* not ours */
            continue;
        row_add(&row, &b, first);
        first = false;
        free_pages += b.free + b.listed;
        in_use += b.movable + b.other;
    }
    row_end(&row);
    legend(row.each);
    printf("%lu pages free, %lu in use\n", free_pages, in_use);
    free(text);
    return 0;
}

/* mm_report(): bytes, or -errno. */
static long report(unsigned long kind, unsigned long id, char *to, unsigned long bytes)
{
    register unsigned long a0 __asm__("a0") = kind;
    register unsigned long a1 __asm__("a1") = id;
    register char *a2 __asm__("a2") = to;
    register unsigned long a3 __asm__("a3") = bytes;
    register unsigned long a4 __asm__("a4") = 0;
    register unsigned long a7 __asm__("a7") = MM_REPORT;

    __asm__ volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a7) : "memory");
    return (long)a0;
}

static int one_block(const char *number)
{
    static char text[TEXT_BYTES + 1];
    char *end;
    unsigned long block = strtoul(number, &end, 16);

    if (end == number || *end != '\0')
        return util_fail("%s: not the number of a block (hexadecimal, as in /proc/pagoda/memmap)",
                         number);
    long bytes = report(MM_REPORT_MEMMAP_BLOCK, block, text, TEXT_BYTES);
    if (bytes < 0)
        return util_fail("report: %s", strerror((int)-bytes));
    if (bytes == 0)
        return util_fail("%s: there is no memory", number);
    const char *pages = strchr(text, '\n');
    struct block b;
    if (pages == NULL || !parse(text, &b))
        return util_fail("a report that is none");
    printf(
        "block %lx at %lx: node %lu, zone %s, %s; %lu free, %lu in lists, %lu movable, %lu not\n",
        b.number, b.number * BLOCK_BYTES, b.node, b.zone, b.type, b.free, b.listed, b.movable,
        b.other);
    fputs(pages + 1, stdout);
    printf(
        ". free, - in a hart's list, 0 zeroed, a anonymous, f file, i file index, s slab,\n"
        "m server, k kmalloc, t page table, o kernel object, n native, z zero page, r reserved\n");
    return 0;
}

int main(int argc, char **argv)
{
    const char *term = getenv("TERM");

    util_start(argv);
    colours = isatty(1) && term != NULL && strcmp(term, "dumb") != 0;
    if (argc > 1 && strcmp(argv[1], "-c") == 0) {
        colours = true;
        argc--;
        argv++;
    }
    if (argc == 3 && strcmp(argv[1], "-v") == 0)
        return one_block(argv[2]);
    if (argc != 1)
        return util_usage("[-c] [-v BLOCK]");
    return picture();
}
