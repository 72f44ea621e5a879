/*
 * leaks [mark|scan]: objects of the memory server that were allocated since the last `leaks mark`
 * and not freed, by cache and the place that asked; with `scan`, objects that nothing refers to.
 * Pagoda only. Caches are looked at that keep traces: boot with slab_debug=U.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "user/bin/lib/util.h"

int main(int argc, char **argv)
{
    const char *path = "/proc/pagoda/leaks";

    util_start(argv);
    if (argc == 2 && strcmp(argv[1], "mark") == 0)
        path = "/proc/pagoda/leaks_mark";
    else if (argc == 2 && strcmp(argv[1], "scan") == 0)
        path = "/proc/pagoda/leaks_scan";
    else if (argc != 1)
        return util_usage("[mark|scan]");
    int fd = open(path, O_RDONLY);
    if (fd < 0 || util_copy_out(fd) < 0)
        return util_fail_errno("%s", path);
    return 0;
}
