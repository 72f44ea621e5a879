/* The watchdog: says when a fault stays unanswered. Kernel lock held. */
#ifndef KERNEL_WATCHDOG_H
#define KERNEL_WATCHDOG_H

#include "kernel/hart.h"

void watchdog_tick_locked(struct hart *h, uint64_t now_ticks);

#endif
