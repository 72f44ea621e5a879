/* slabinfo: the memory server's object caches, as /proc/slabinfo says. */
#include <fcntl.h>

#include "user/bin/lib/util.h"

int main(int argc, char **argv)
{
    util_start(argv);
    if (argc != 1)
        return util_usage("");
    int fd = open("/proc/slabinfo", O_RDONLY);
    if (fd < 0 || util_copy_out(fd) < 0)
        return util_fail_errno("/proc/slabinfo");
    return 0;
}
