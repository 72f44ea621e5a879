/*
 * The placement interface: all that the core knows of the world outside it. Each of mmserver/place/
 * {user,kernel,host} implements it.
 *
 * The linear map is the one way to look at physical memory: pages of data blocks are writable
 * through it, pages of tables blocks (page tables, kernel objects) may only be read.
 */
#ifndef MMSERVER_CORE_PLACE_H
#define MMSERVER_CORE_PLACE_H

#include "mmserver/core/types.h"
#include <pagoda/boot.h>
#include <pagoda/call.h>
#include <pagoda/cap.h>
#include <pagoda/error.h>

/* Address of physical address 0 in the linear map. */
extern uint64_t place_linear_base;

/*
 * The part of the server's own address space that the core arranges (own.h), as the addresses that
 * batches on SLOT_SPACE take. The server itself reaches them at `place_own_bias` above; 0 but in
 * simulation.
 */
#define PLACE_OWN_BYTES_MAX (4UL << 30)
extern vaddr_t place_own_start, place_own_end;
extern uint64_t place_own_bias;

static inline void *page_pointer(pfn_t page)
{
    return (void *)(uintptr_t)(place_linear_base + (page << PAGE_SHIFT));
}

/*
 * A kernel call (pagoda/call.h) that answers the present worker: 0, a count, or -ERR_x. Further
 * results go to out[0], out[1] if out is not NULL. Never one of the calls that end a worker's turn.
 */
long place_call(long number, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                uint64_t a5, uint64_t out[2]);
/* The same for calls that may switch threads. */
long place_call_switching(long number, uint64_t a0, uint64_t a1, uint64_t a2);

#ifdef __riscv
/* Both are read at every fault, so they are no calls. */
static inline uint64_t place_ticks(void) /* time base */
{
    uint64_t value;

    __asm__ volatile("rdtime %0" : "=r"(value));
    return value;
}
static inline uint64_t place_instructions(void) /* executed; for cost figures only */
{
    uint64_t value;

    __asm__ volatile("rdinstret %0" : "=r"(value));
    return value;
}
#else
uint64_t place_ticks(void);
uint64_t place_instructions(void);
#endif
/* The i-th range of the server's own data, from 0 on; false: there are no more. */
bool place_data(unsigned i, const void **from, uint64_t *bytes);
void place_relax(void); /* in a spin loop */
void place_log(const char *text, size_t bytes);
_Noreturn void place_panic(const char *file, int line, const char *what);
#ifdef PAGODA_HOST
/* Is this allocation to fail? Asked at each one, so that tests can fail any. */
bool place_alloc_fails(void);
#else
static inline bool place_alloc_fails(void)
{
    return false;
}
#endif

/* ---- thin wrappers: one per kernel call in use ---- */

#ifdef PAGODA_KERNEL
long place_batch(uint64_t space, uint64_t count, long *stopped);
#else
#ifdef PAGODA_USER_PLACEMENT
/* apart.c: with batches=off. */
extern bool place_batches_off;
long place_batch_apart(uint64_t space, uint64_t count, long *stopped);
#endif
static inline long place_batch_whole(uint64_t space, uint64_t count, long *stopped)
{
    uint64_t out[2] = {0, 0};
    long done = place_call(CALL_BATCH, space, count, 0, 0, 0, 0, out);

    *stopped = (long)out[0];
    return done;
}
static inline long place_batch(uint64_t space, uint64_t count, long *stopped)
{
#ifdef PAGODA_USER_PLACEMENT
    if (unlikely(place_batches_off))
        return place_batch_apart(space, count, stopped);
#endif
    return place_batch_whole(space, count, stopped);
}
#endif
static inline long place_cap_copy(uint64_t source, uint64_t table, uint64_t index, uint64_t rights,
                                  uint64_t first, uint64_t pages)
{
    return place_call(CALL_CAP_COPY, source, table, index, rights, first, pages, NULL);
}
static inline long place_cap_delete(uint64_t table, uint64_t index)
{
    return place_call(CALL_CAP_DELETE, table, index, 0, 0, 0, 0, NULL);
}
static inline long place_cap_revoke(uint64_t table, uint64_t index)
{
    return place_call(CALL_CAP_REVOKE, table, index, 0, 0, 0, 0, NULL);
}
/* type | rights << 8; out[0] first page or badge, out[1] pages. */
static inline long place_cap_read(uint64_t table, uint64_t index, uint64_t out[2])
{
    return place_call(CALL_CAP_READ, table, index, 0, 0, 0, 0, out);
}
static inline long place_object_create(uint64_t memory, uint64_t page, uint64_t type,
                                       uint64_t parameter, uint64_t slot)
{
    return place_call(CALL_OBJECT_CREATE, memory, page, type, parameter, slot, 0, NULL);
}
static inline long place_block_class(uint64_t memory, uint64_t page, uint64_t class)
{
    return place_call(CALL_BLOCK_CLASS, memory, page, class, 0, 0, 0, NULL);
}
static inline long place_space_copy(uint64_t space, vaddr_t address, void *local, uint64_t bytes,
                                    uint64_t direction)
{
    return place_call(CALL_SPACE_COPY, space, address, (uintptr_t)local, bytes, direction, 0, NULL);
}
/* Root page of a space; *levels of its tables. */
static inline long place_space_info(uint64_t space, uint64_t *levels)
{
    uint64_t out[2] = {0, 0};
    long root = place_call(CALL_SPACE_INFO, space, 0, 0, 0, 0, 0, out);

    *levels = out[0];
    return root;
}
static inline long place_instruction_fence(uint64_t space)
{
    return place_call(CALL_INSTRUCTION_FENCE, space, 0, 0, 0, 0, 0, NULL);
}
static inline long place_thread_set(uint64_t thread, uint64_t field, uint64_t value,
                                    uint64_t value2)
{
    return place_call(CALL_THREAD_SET, thread, field, value, value2, 0, 0, NULL);
}
static inline long place_thread_regs(uint64_t thread, struct user_regs *regs, bool write)
{
    return place_call(CALL_THREAD_REGS, thread, (uintptr_t)regs, write, 0, 0, 0, NULL);
}
static inline long place_signal(uint64_t notification)
{
    return place_call(CALL_SIGNAL, notification, 1, 0, 0, 0, 0, NULL);
}
static inline long place_notification_bind(uint64_t notification, uint64_t thread)
{
    return place_call(CALL_NOTIFICATION_BIND, notification, thread, 0, 0, 0, 0, NULL);
}
static inline long place_thread_start(uint64_t thread)
{
    return place_call(CALL_THREAD_START, thread, 0, 0, 0, 0, 0, NULL);
}
static inline long place_thread_stop(uint64_t thread)
{
    return place_call_switching(CALL_THREAD_STOP, thread, 0, 0);
}
static inline long place_worker_page(uint64_t thread, uint64_t memory, uint64_t page)
{
    return place_call(CALL_WORKER_PAGE, thread, memory, page, 0, 0, 0, NULL);
}
static inline long place_counters_read(uint64_t *buffer, uint64_t bytes, uint64_t hart)
{
    return place_call(CALL_COUNTERS_READ, SLOT_KERNEL, (uintptr_t)buffer, bytes, hart, 0, 0, NULL);
}

#endif
