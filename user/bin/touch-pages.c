/*
 * touch-pages N [ro]: maps N pages of anonymous memory, touches each (writing, or reading with
 * ro), and says how many minor faults that made by the kernel's own count.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "user/bin/lib/util.h"

#define PAGE_SIZE       4096ul
#define PAGES_MAX       (1ul << 28)
#define STAT_MINFLT_POS 10 /* field of /proc/self/stat, counted from 1 */

/* The process's minor faults, or -1 when the system does not tell. */
static long minor_faults(void)
{
    char *text = util_read_file("/proc/self/stat");
    /* The name, field 2, is in parentheses and may hold anything. */
    char *at = text != NULL ? strrchr(text, ')') : NULL;
    long count = -1;

    for (int field = 2; at != NULL && field < STAT_MINFLT_POS; field++) {
        at = strchr(at, ' ');
        if (at != NULL)
            at++;
    }
    if (at != NULL)
        count = strtol(at, NULL, 10);
    free(text);
    return count;
}

int main(int argc, char **argv)
{
    unsigned long pages, sum = 0;
    bool read_only = argc == 3 && strcmp(argv[2], "ro") == 0;

    util_start(argv);
    if (argc < 2 || argc > 3 || (argc == 3 && !read_only))
        return util_usage("PAGES [ro]");
    if (!util_number(argv[1], PAGES_MAX, &pages) || pages == 0)
        return util_fail("%s: not a number of pages from 1 to %lu", argv[1], PAGES_MAX);
    volatile char *start = mmap(NULL, pages * PAGE_SIZE, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED)
        return util_fail_errno("mmap of %lu pages", pages);
    long before = minor_faults();
    for (unsigned long i = 0; i < pages; i++) {
        if (!read_only)
            start[i * PAGE_SIZE] = 1;
        sum += (unsigned char)start[i * PAGE_SIZE];
    }
    long after = minor_faults();
    if (sum != (read_only ? 0 : pages))
        return util_fail("the pages do not hold what they must: sum %lu", sum);
    printf("%lu pages touched by %s, ", pages, read_only ? "reading" : "writing");
    if (before < 0 || after < 0)
        printf("minor faults unknown (no /proc/self/stat)\n");
    else
        printf("%ld minor faults\n", after - before);
    return 0;
}
