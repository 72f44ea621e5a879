/*
 * Registers of devices in programs' address spaces.
 */
#ifndef MMSERVER_CORE_DEVICE_MAP_H
#define MMSERVER_CORE_DEVICE_MAP_H

#include "mmserver/core/map.h"

void device_map_init(void);
/*
 * mmap of the registers whose pages begin at physical page r->offset, for somebody who may have
 * them. The address, or -LINUX_EPERM: those are not registers that are to
 * be had, or r asks to execute them; -LINUX_EINVAL: a private mapping; and what mmap answers.
 */
long device_map(struct worker *w, struct mm *mm, const struct map_request *r);

/*
 * A capability can go only while nobody maps what it is about. So before those that mm's program
 * was granted (device_grant) go, withdraw_begin() takes all registers out of every program; they
 * come back by faults after withdraw_end(). Unlocked. False: it was granted none.
 */
bool device_withdraw_begin(struct worker *w, const struct mm *mm);
void device_withdraw_end(const struct mm *mm);

#endif
