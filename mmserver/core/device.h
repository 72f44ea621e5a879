/*
 * Devices that the kernel gave to the server as Memory capabilities, and the device tree that says
 * what they are. Written at start-up only.
 */
#ifndef MMSERVER_CORE_DEVICE_H
#define MMSERVER_CORE_DEVICE_H

#include "mmserver/core/place.h"

struct worker;

void device_init(const struct boot_info *info);
/* The capability that covers these pages of a device; false if there is none. */
bool device_memory(pfn_t first, uint64_t pages, uint32_t *slot);
/* Entry bits for a device's pages (ordered) or for memory that is not cached. */
uint64_t device_bits(bool ordered);
/* Read the clock of day, nanoseconds since 1970; 0 if the machine has none that we know. */
uint64_t device_clock_ns(struct worker *w);

#endif
