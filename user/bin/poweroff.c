/* poweroff: ends the machine. */
#include <stdio.h>
#include <sys/reboot.h>
#include <unistd.h>

#include "user/bin/lib/util.h"

int main(int argc, char **argv)
{
    util_start(argv);
    if (argc != 1)
        return util_usage("");
    /* Run by mistake on another system, this must not end it. */
    if (access("/proc/pagoda", F_OK) < 0)
        return util_fail("this system is not Pagoda");
    reboot(LINUX_REBOOT_CMD_POWER_OFF, NULL);
    return util_fail_errno("reboot");
}
