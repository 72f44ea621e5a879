/* Names for the quantities that the memory manager handles, and Linux's numbers for its answers. */
#ifndef MMSERVER_CORE_TYPES_H
#define MMSERVER_CORE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <pagoda/entry.h>

typedef uint64_t pfn_t;   /* physical page number; 0 is never a page of ours */
typedef uint64_t paddr_t; /* physical byte address */
typedef uint64_t vaddr_t; /* virtual byte address of a client */

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define PAGE_MASK            (PAGE_BYTES - 1)
#define PAGE_DOWN(a)         ((a) & ~PAGE_MASK)
#define PAGE_UP(a)           (((a) + PAGE_MASK) & ~PAGE_MASK)
#define ROUND_DOWN(a, power) ((a) & ~((power)-1))
#define ROUND_UP(a, power)   (((a) + (power)-1) & ~((power)-1))
#define ARRAY_COUNT(a)       (sizeof(a) / sizeof((a)[0]))

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}
static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Linux's errno values; the C library's own differ from some of them. Answers are negated. */
enum linux_errno {
    LINUX_EPERM = 1,
    LINUX_ENOENT = 2,
    LINUX_ESRCH = 3,
    LINUX_EIO = 5,
    LINUX_ENXIO = 6,
    LINUX_E2BIG = 7,
    LINUX_ENOEXEC = 8,
    LINUX_EBADF = 9,
    LINUX_EAGAIN = 11,
    LINUX_ENOMEM = 12,
    LINUX_EACCES = 13,
    LINUX_EFAULT = 14,
    LINUX_EBUSY = 16,
    LINUX_EEXIST = 17,
    LINUX_ENODEV = 19,
    LINUX_ENFILE = 23,
    LINUX_EINVAL = 22,
    LINUX_ENOSPC = 28,
    LINUX_ENOSYS = 38,
    LINUX_EOVERFLOW = 75,
    LINUX_ELIBBAD = 80,
    LINUX_EOPNOTSUPP = 95,
};

struct worker;

#endif
