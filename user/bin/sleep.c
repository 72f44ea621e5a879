/* sleep SECONDS: waits; a fraction is allowed. */
#include <stdlib.h>
#include <time.h>

#include "user/bin/lib/util.h"

int main(int argc, char **argv)
{
    struct timespec want = {0};
    char *end = NULL;
    long unit = 100000000;

    util_start(argv);
    if (argc != 2 || argv[1][0] < '0' || argv[1][0] > '9')
        return util_usage("SECONDS");
    want.tv_sec = strtol(argv[1], &end, 10);
    if (*end == '.') {
        for (end++; *end >= '0' && *end <= '9'; end++, unit /= 10)
            want.tv_nsec += (*end - '0') * unit;
    }
    if (*end != '\0')
        return util_usage("SECONDS");
    return nanosleep(&want, NULL) < 0 ? util_fail_errno("nanosleep") : 0;
}
