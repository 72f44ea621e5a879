/*
 * A small system on the simulated machine, for host tests of the kernel: one thread that runs on
 * hart 0 with a capability table as the memory server has it, and all that the kernel promises
 * about capabilities, objects, blocks and page tables as one check.
 *
 * Block 0 of RAM is the kernel's (what the boot made stands there); the other blocks are free, as
 * one Memory capability. Block 1 of the machine is device memory.
 */
#ifndef TESTS_KERNEL_WORLD_H
#define TESTS_KERNEL_WORLD_H

#include <pagoda/batch.h>
#include "arch/host/machine.h"
#include "kernel/block.h"
#include "kernel/call.h"
#include "kernel/cap.h"
#include "kernel/hart.h"
#include "kernel/ipc.h"
#include "kernel/space.h"

#define WORLD_TABLE_PAGES 8
#define WORLD_SLOT_DEVICE (SLOT_MEMORY + 1)
#define WORLD_PAGES_MAX   16384 /* of RAM that world_check() keeps marks for */
#define WORLD_ENTRIES_MAX 65536

struct world {
    struct table *table;
    struct thread *thread; /* current of hart 0 */
    struct space *space;
    struct endpoint *endpoint;
    pfn_t ram;   /* first page of RAM; its block is the kernel's */
    pfn_t first; /* first page of the free memory (SLOT_MEMORY) */
    uint64_t pages;
};

extern struct world world;

/* Start anew; options as for machine_start(), device_pages is set here. */
void world_start(const struct machine_options *options);

/* The entry of the own table. */
struct cap *world_cap(uint64_t slot);

/* Make a call as the world's thread (or as `t`); out[] of the last one in world_out. */
extern uint64_t world_out[2];
long world_call_as(struct thread *t, call_function *call, uint64_t a0, uint64_t a1, uint64_t a2,
                   uint64_t a3, uint64_t a4, uint64_t a5);
#define WORLD_CALL_6(t, call, a, b, c, d, e, f, ...)                                   \
    world_call_as(t, call, (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), (uint64_t)(d), \
                  (uint64_t)(e), (uint64_t)(f))
/* WORLD_CALL(call_cap_copy, 8, SELF_TABLE, ...): missing arguments are 0. */
#define WORLD_CALL(call, ...)       WORLD_CALL_6(world.thread, call, __VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define WORLD_CALL_AS(t, call, ...) WORLD_CALL_6(t, call, __VA_ARGS__, 0, 0, 0, 0, 0, 0)

/*
 * Check every invariant of the whole system; prints what is wrong and aborts. Between calls only.
 *   - tables: empty entries forbid all; links agree in both directions; depths grow
 *   - derived rights and extents lie within the parent's; `forbid` follows from the rights
 *   - each object in use has exactly one primary capability, others descend from it
 *   - counters of tables blocks equal the pages in use, those of data blocks the live leaf entries
 *   - a page is used once; no page of a tables or pinned block is mapped by user code
 */
void world_check(void);

#endif
