/* /sys/devices/system/cpu/cpuN: a directory for each hart, with how harts lie beside each other: as
 * cores of one package. Big lock held. */
#ifndef LINUX_CPUS_H
#define LINUX_CPUS_H

#include <stdbool.h>

#include "user/linux/proc.h"

/* Add the directories to the tree, which is made: false without memory. */
bool cpus_init(unsigned harts);
/* "0-3": all of them. */
void cpus_list(struct text *text);
/* A file in the topology of the directory `name`, such as "cpu0". */
void cpu_text(struct text *text, enum proc_text kind, const char *name);

#endif
