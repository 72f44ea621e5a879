/*
 * compact [-n PAGES [ALIGN]]: gather the free memory: move pages until it lies in whole 2 MiB
 * blocks, as far as that goes. Shows how much of it did before and after. With -n: see whether that
 * many contiguous pages can be had (Pagoda only).
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/bin/lib/util.h"

#define BLOCK_ORDER 9

struct free_memory {
    unsigned long pages, in_blocks;
};

/* From /proc/buddyinfo: "Node 0, zone Normal" and a number for each order. */
static bool look(struct free_memory *free_memory)
{
    char *text = util_read_file("/proc/buddyinfo");

    *free_memory = (struct free_memory){0, 0};
    if (text == NULL)
        return false;
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        char *at = strstr(line, "zone ");
        if (at == NULL)
            continue;
        at += 5;
        at += strspn(at, " ");
        at += strcspn(at, " ");
        for (unsigned order = 0; *at != '\0'; order++) {
            char *end;
            unsigned long pages = strtoul(at, &end, 10) << order;
            if (end == at)
                break;
            at = end;
            free_memory->pages += pages;
            free_memory->in_blocks += order >= BLOCK_ORDER ? pages : 0;
        }
    }
    free(text);
    return true;
}

static int write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);

    if (fd < 0)
        return -1;
    ssize_t wrote = write(fd, text, strlen(text));
    close(fd);
    return wrote < 0 ? -1 : 0;
}

static void show(const char *when, const struct free_memory *f)
{
    printf("%s %lu pages free, %lu of them in whole blocks of 2 MiB\n", when, f->pages,
           f->in_blocks);
}

static int contiguous(const char *pages, const char *align)
{
    char text[64];
    unsigned long count, multiple;

    if (!util_number(pages, 1UL << 40, &count) || !util_number(align, 1UL << 40, &multiple))
        return util_fail("%s %s: not numbers of pages", pages, align);
    snprintf(text, sizeof(text), "%lu %lu", count, multiple);
    if (write_file("/proc/pagoda/contig", text) < 0)
        return util_fail_errno("%lu contiguous pages", count);
    printf("%lu contiguous pages can be had\n", count);
    return 0;
}

int main(int argc, char **argv)
{
    struct free_memory before, after;

    util_start(argv);
    if (argc >= 3 && argc <= 4 && strcmp(argv[1], "-n") == 0)
        return contiguous(argv[2], argc == 4 ? argv[3] : "1");
    if (argc != 1)
        return util_usage("[-n PAGES [ALIGN]]");
    if (!look(&before))
        return util_fail_errno("/proc/buddyinfo");
    if (write_file("/proc/sys/vm/compact_memory", "1") < 0)
        return util_fail_errno("/proc/sys/vm/compact_memory");
    if (!look(&after))
        return util_fail_errno("/proc/buddyinfo");
    show("before:", &before);
    show("after: ", &after);
    return 0;
}
