/*
 * mmcheck: have the memory server recount everything it keeps. Says "ok" and ends with 0, or with 1
 * when something was found wrong; what it was is in the log. Pagoda only.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/bin/lib/util.h"

int main(int argc, char **argv)
{
    util_start(argv);
    if (argc != 1)
        return util_usage("");
    char *text = util_read_pagoda_file("/proc/pagoda/check");
    if (text == NULL)
        return 1;
    int wrong = strcmp(text, "ok\n") != 0;
    printf("%s", text);
    free(text);
    return wrong;
}
