/* uname [-a]: the system's name; with -a all that it says of itself. */
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "user/bin/lib/util.h"

int main(int argc, char **argv)
{
    struct utsname name;

    util_start(argv);
    if (argc > 2 || (argc == 2 && strcmp(argv[1], "-a") != 0))
        return util_usage("[-a]");
    if (uname(&name) < 0)
        return util_fail_errno("uname");
    if (argc == 2)
        printf("%s %s %s %s %s\n", name.sysname, name.nodename, name.release, name.version,
               name.machine);
    else
        printf("%s\n", name.sysname);
    return 0;
}
