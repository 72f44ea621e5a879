/*
 * vmallocinfo: the regions of the memory server's own address space, as /proc/vmallocinfo lists
 * them: bounds with the guard page, bytes, who asked, pages, and what they are.
 */
#include <fcntl.h>

#include "user/bin/lib/util.h"

int main(int argc, char **argv)
{
    util_start(argv);
    if (argc > 1)
        return util_usage("");
    int fd = open("/proc/vmallocinfo", O_RDONLY);
    if (fd < 0 || util_copy_out(fd) < 0)
        return util_fail_errno("/proc/vmallocinfo");
    return 0;
}
