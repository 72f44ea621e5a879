/*
 * faults [N]: the last N page faults (20 when not given): who, where, why, what was done and what
 * it cost. Pagoda only: /proc/pagoda/faults has one line each, oldest first; lines that begin
 * with # are headings.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/bin/lib/util.h"

#define COUNT_DEFAULT 20
#define COUNT_MAX     1000000

static unsigned long count_lines(const char *text)
{
    unsigned long lines = 0;

    for (const char *at = text; *at != '\0'; at++)
        lines += (at == text || at[-1] == '\n') && *at != '#';
    return lines;
}

int main(int argc, char **argv)
{
    unsigned long wanted = COUNT_DEFAULT, index = 0;

    util_start(argv);
    if (argc > 2 || (argc == 2 && !util_number(argv[1], COUNT_MAX, &wanted)))
        return util_usage("[COUNT]");
    char *text = util_read_pagoda_file("/proc/pagoda/faults");
    if (text == NULL)
        return 1;
    unsigned long lines = count_lines(text);
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (*line == '#')
            printf("%s\n", line);
        else if (index++ + wanted >= lines)
            printf("%s\n", line);
    }
    free(text);
    return 0;
}
