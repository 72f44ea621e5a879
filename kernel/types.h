/* Names for the quantities that the kernel handles. A physical address is bytes, a page is a
 * number. */
#ifndef KERNEL_TYPES_H
#define KERNEL_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <pagoda/boot.h>
#include <pagoda/call.h>
#include <pagoda/cap.h>
#include <pagoda/counter.h>
#include <pagoda/entry.h>
#include <pagoda/error.h>

typedef unsigned long ulong;
typedef uint64_t paddr_t; /* physical byte address */
typedef uint64_t pfn_t;   /* physical page number */
typedef uint64_t vaddr_t; /* virtual byte address */

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define HARTS_MAX BOOT_HARTS_MAX

/* A function that only the boot needs: its memory is given away afterwards (kernel/handover.c). Of
 * files that only the boot needs the linker script knows. */
#ifdef PAGODA_HOST
#define BOOT_ONLY
#else
#define BOOT_ONLY __attribute__((section(".text.boot_only")))
#endif

struct cap;
struct hart;
struct thread;
struct space;
struct endpoint;
struct notification;
struct table;

#endif
