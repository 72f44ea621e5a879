/*
 * How much a read fault of an object maps around its page: a number, or a policy that is chosen by
 * policy=NAME at boot. A policy is one file that defines a struct around_policy, and a line below.
 */
#ifndef MMSERVER_CORE_AROUND_H
#define MMSERVER_CORE_AROUND_H

#include "mmserver/core/fault.h"

struct around_policy {
    const char *name;
    /* The window for this fault: a power of two from PAGE_BYTES to OBJECT_AROUND_MAX. Called by
     * readers of the address space, on any hart. */
    uint64_t (*bytes)(const struct fault *f);
};

/* The list: policy=adaptive ... */
extern const struct around_policy around_adaptive;
#define AROUND_POLICIES &around_adaptive

/* The one in use; NULL: object_around_bytes. */
extern const struct around_policy *around_policy;

/* The window of a read fault: aligned, but where the VMA begins inside it, it begins there and is
 * as long (as Linux has it); inside the VMA and the leaf table. */
static inline vaddr_t around_start(const struct vma *v, vaddr_t address, uint64_t bytes)
{
    return max_u64(v->start, ROUND_DOWN(address, bytes));
}
static inline vaddr_t around_end(const struct vma *v, vaddr_t address, vaddr_t start,
                                 uint64_t bytes)
{
    vaddr_t table_end = ROUND_DOWN(address, BLOCK_BYTES) + BLOCK_BYTES;

    return min_u64(min_u64(v->end, table_end), start + bytes);
}

#endif
