/*
 * Native programs: kernel objects that the server makes for a client, charged to its address space
 * and given back with it. The server keeps each object's first capability; the client has a derived
 * one.
 */
#ifndef MMSERVER_CORE_NATIVE_H
#define MMSERVER_CORE_NATIVE_H

#include "mmserver/core/client.h"

#define NATIVE_OBJECTS_MAX     1024 /* per address space */
#define NATIVE_TABLE_PAGES_MAX 32

struct native_object {
    LIST_ENTRY(native_object) link;
    uint32_t type;      /* enum cap_type */
    uint32_t slot;      /* in the server's table */
    uint64_t parameter; /* as it was created with */
    pfn_t page;
};

long native_enable(struct worker *w, struct client *c, uint64_t entries);
long native_create(struct worker *w, struct client *c, uint64_t type, uint64_t slot,
                   uint64_t parameter);
long native_thread(struct worker *w, struct client *c, uint64_t slot,
                   const struct mm_thread *wanted, const struct client_route *route);
/* All native objects of an address space without threads. */
void native_release_all(struct worker *w, struct mm *mm);

/* MM_DEVICE_MAP: the device's Memory capability at `slot` of c's table. Address or -LINUX_x. */
long native_device_map(struct worker *w, struct client *c, uint64_t slot, uint64_t prot);
/* A capability of these pages of a device comes to `slot` of mm's own table, for somebody who may
 * have them. 0, -LINUX_EPERM if they are not to be had, -LINUX_EBUSY if a program has one already,
 * -LINUX_EEXIST, -LINUX_EINVAL. */
long native_device_grant(struct mm *mm, uint64_t slot, paddr_t start, uint64_t bytes);

#endif
