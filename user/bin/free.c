/* free: how much memory there is and how much of it is free, from /proc/meminfo. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/bin/lib/util.h"

/* The value in KiB of a line "Name:  N kB"; -1 when there is none. */
static long value_of(const char *text, const char *name)
{
    size_t length = strlen(name);

    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, length) == 0 && line[length] == ':')
            return strtol(line + length + 1, NULL, 10);
    }
    return -1;
}

int main(int argc, char **argv)
{
    util_start(argv);
    if (argc != 1)
        return util_usage("");
    char *text = util_read_file("/proc/meminfo");
    if (text == NULL)
        return util_fail_errno("/proc/meminfo");
    long total = value_of(text, "MemTotal"), free_kib = value_of(text, "MemFree");
    if (total < 0 || free_kib < 0)
        return util_fail("/proc/meminfo says neither MemTotal nor MemFree");
    long cached = value_of(text, "Cached"), available = value_of(text, "MemAvailable");
    printf("%12s %12s %12s %12s %12s   (KiB)\n", "total", "used", "free", "cache", "available");
    printf("%12ld %12ld %12ld %12ld %12ld\n", total, total - free_kib - cached, free_kib, cached,
           available);
    free(text);
    return 0;
}
