/* maps [PID]: the memory map of a process; without PID its own. */
#include <fcntl.h>
#include <stdio.h>

#include "user/bin/lib/util.h"

int main(int argc, char **argv)
{
    char path[64] = "/proc/self/maps";
    unsigned long pid;

    util_start(argv);
    if (argc > 2)
        return util_usage("[PID]");
    if (argc == 2) {
        if (!util_number(argv[1], 0x7fffffff, &pid))
            return util_fail("%s: not a process id", argv[1]);
        snprintf(path, sizeof(path), "/proc/%lu/maps", pid);
    }
    int fd = open(path, O_RDONLY);
    if (fd < 0 || util_copy_out(fd) < 0)
        return util_fail_errno("%s", path);
    return 0;
}
