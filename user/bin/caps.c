/* caps [PID]: the capabilities of a process; without PID the memory server's. Pagoda only. */
#include <stdio.h>
#include <stdlib.h>

#include "user/bin/lib/util.h"

int main(int argc, char **argv)
{
    char path[64] = "/proc/pagoda/caps";
    unsigned long pid;

    util_start(argv);
    if (argc > 2)
        return util_usage("[PID]");
    if (argc == 2) {
        if (!util_number(argv[1], 0x7fffffff, &pid))
            return util_fail("%s: not a process id", argv[1]);
        snprintf(path, sizeof(path), "/proc/%lu/caps", pid);
    }
    char *text = util_read_pagoda_file(path);
    if (text == NULL)
        return 1;
    printf("%s", *text ? text : "none: it makes no kernel calls\n");
    free(text);
    return 0;
}
