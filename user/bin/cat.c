/* cat [FILE...]: copies files, or the standard input, to the standard output. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "user/bin/lib/util.h"

int main(int argc, char **argv)
{
    int status = 0;

    util_start(argv);
    if (argc < 2)
        return util_copy_out(0) < 0 ? util_fail_errno("standard input") : 0;
    for (int i = 1; i < argc; i++) {
        int fd = strcmp(argv[i], "-") == 0 ? 0 : open(argv[i], O_RDONLY);
        if (fd < 0 || util_copy_out(fd) < 0)
            status = util_fail_errno("%s", argv[i]);
        if (fd > 0)
            close(fd);
    }
    return status;
}
