/*
 * memblock: the memory of the machine and what of it is reserved, region by region with NUMA node
 * and flags, as Linux shows it in /sys/kernel/debug/memblock. Pagoda only: /proc/pagoda/memblock.
 */
#include <stdio.h>
#include <stdlib.h>

#include "user/bin/lib/util.h"

int main(int argc, char **argv)
{
    util_start(argv);
    if (argc != 1)
        return util_usage("");
    char *text = util_read_pagoda_file("/proc/pagoda/memblock");
    if (text == NULL)
        return 1;
    fputs(text, stdout);
    free(text);
    return 0;
}
