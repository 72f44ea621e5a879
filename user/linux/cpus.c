/* The directories of harts in /sys (see cpus.h). */
#include "user/linux/cpus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/linux/text.h"
#include "user/linux/thread.h"

#define TEXT_MODE (LINUX_S_IFREG | 0444)

void cpus_list(struct text *text)
{
    if (threads_harts() == 1)
        text_printf(text, "0\n");
    else
        text_printf(text, "0-%u\n", threads_harts() - 1);
}

void cpu_text(struct text *text, enum proc_text kind, const char *name)
{
    if (kind == PROC_CPU_PACKAGE)
        text_printf(text, "0\n");
    else if (kind == PROC_CPU_SIBLINGS)
        cpus_list(text);
    else /* its number, also as a list of one */
        text_printf(text, "%lu\n", strtoul(name + strlen("cpu"), NULL, 10));
}

bool cpus_init(unsigned harts)
{
    static const struct {
        const char *name;
        enum proc_text kind;
    } file[] = {{"core_id", PROC_CPU_CORE},
                {"physical_package_id", PROC_CPU_PACKAGE},
                {"thread_siblings_list", PROC_CPU_CORE},
                {"core_cpus_list", PROC_CPU_CORE},
                {"core_siblings_list", PROC_CPU_SIBLINGS},
                {"package_cpus_list", PROC_CPU_SIBLINGS}};
    char path[80];

    for (unsigned hart = 0; hart < harts; hart++) {
        for (unsigned i = 0; i < sizeof(file) / sizeof(file[0]); i++) {
            const struct fs_special special = {path, NODE_TEXT, TEXT_MODE, file[i].kind};
            snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u/topology/%s", hart,
                     file[i].name);
            if (!fs_add_special(&special))
                return false;
        }
    }
    return true;
}
