/*
 * Devices that the kernel gave to the server as Memory capabilities, and the device tree that says
 * what they are. Written at start-up only.
 */
#ifndef MMSERVER_CORE_DEVICE_H
#define MMSERVER_CORE_DEVICE_H

#include "mmserver/core/place.h"
#include "mmserver/core/types.h"

struct mm;
struct text;
struct worker;

struct device {
    paddr_t start; /* its registers */
    uint64_t bytes;
    uint32_t slot;            /* Memory capability that covers its pages */
    uint32_t word_bytes;      /* how its registers are to be read and written */
    bool claimed;             /* somebody drives it: it is for nobody else */
    const struct mm *granted; /* whose program has a capability of it; NULL: none */
    const char *compatible;
};

void device_init(const struct boot_info *info);
/* The capability that covers these pages of a device; false if there is none. */
bool device_memory(pfn_t first, uint64_t pages, uint32_t *slot);
/* The device whose pages those are, all of them; NULL if they are not one's, or it is claimed. */
struct device *device_at(pfn_t first, uint64_t pages);
/* The device with registers at `start` is for nobody but the caller, from now on. */
void device_claim(paddr_t start);
/* A program with a table of its own gets a capability of a device, which only one has at a time: is
 * it to be had? Then it is that mm's until it is ungranted. */
bool device_grant(struct device *d, const struct mm *mm);
bool device_granted(const struct mm *mm);
void device_ungrant(const struct mm *mm);
/* Entry bits for a device's pages (ordered) or for memory that is not cached. */
uint64_t device_bits(bool ordered);
/* Read the clock of day, nanoseconds since 1970; 0 if the machine has none that we know. */
uint64_t device_clock_ns(struct worker *w);
/* /proc/iomem: memory and registers, by address. */
void device_report(struct text *t);

#endif
