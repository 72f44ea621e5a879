/*
 * stat [TEXT]: the system's counters, each with its description; only those whose line has TEXT
 * in it when it is given. Pagoda only: /proc/pagoda/stat has lines "name value description".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/bin/lib/util.h"

/* Prints a line in columns; one of another form as it is. */
static void print_counter(char *line)
{
    char *value = strchr(line, ' ');
    char *text = value != NULL ? strchr(value + 1, ' ') : NULL;

    if (text == NULL) {
        printf("%s\n", line);
        return;
    }
    *value++ = '\0';
    *text++ = '\0';
    printf("%-32s %14s  %s\n", line, value, text);
}

int main(int argc, char **argv)
{
    int shown = 0;

    util_start(argv);
    if (argc > 2)
        return util_usage("[TEXT]");
    char *text = util_read_pagoda_file("/proc/pagoda/stat");
    if (text == NULL)
        return 1;
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (argc == 2 && strstr(line, argv[1]) == NULL)
            continue;
        print_counter(line);
        shown++;
    }
    if (shown == 0)
        return util_fail("no counter has \"%s\" in its line", argc == 2 ? argv[1] : "");
    free(text);
    return 0;
}
