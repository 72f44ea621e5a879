/*
 * What the portable boot code (kernel/boot.c) and the machine's start-up code need of each other.
 * Boot hart only, once, in this order:
 *
 *   arch:   first instructions, early page tables in which virtual = physical (arch_linear_base is
 * 0) kernel: boot_tree_open()     the device tree is sound arch:   finds power-off, so that errors
 * have an exit status kernel: boot_tree_read()     options and the map of memory arch:   harts,
 * features, interrupt controllers; paging mode; boot_memory_limit() arch:   final page tables from
 * boot_alloc(); arch_linear_base has its value from here on kernel: kernel_main()        on the
 * boot hart's own stack
 */
#ifndef ARCH_BOOT_H
#define ARCH_BOOT_H

#include "kernel/types.h"
#include "lib/fdt.h"
#include <pagoda/boot.h>

/* ---- what the machine offers to kernel_main() ---- */

struct arch_machine {
    unsigned harts; /* that may run, the boot hart first */
    uint64_t machine_id[HARTS_MAX];
    uint64_t kernel_text_bytes;
    uint64_t image_bytes;
    paddr_t linear_end; /* physical addresses that the linear map can hold */
};
extern struct arch_machine arch_machine;

/* Map physical device memory into the linear map. */
void arch_map_device(paddr_t start, uint64_t bytes);
/* Is there memory at this page? What stands in its first two words is lost. */
bool arch_memory_answers(paddr_t page);
/* A kernel stack: 16 KiB with an unmapped page below. Returns its top, where `h` is stored. */
void *arch_stack_make(struct hart *h);
/* The boot's own text and data, and that of the memory server in the kernel if it is not used: the
 * stretch number `index` of it; false: there are no more. */
bool arch_boot_only(unsigned index, bool pager_too, paddr_t *start, paddr_t *end);
/* All of it becomes plain memory, on all harts: not called by what lies in it. */
void arch_boot_only_release(bool pager_too);
/* What every hart sets up for itself: vector, interrupts, timer, counters, floating point. */
void arch_hart_init(void);
/* Start a hart that is stopped: it enters kernel_hart_main(h). False: the firmware refused. */
bool arch_hart_start(struct hart *h);
/* A few words about the firmware. */
void arch_describe(char *text, size_t bytes);

/* ---- what the kernel offers to the machine's start-up code ---- */

/* `tree` can be read at its physical address. */
void boot_tree_open(paddr_t tree);
/* The image, [image_start, image_end), lies in memory. */
void boot_tree_read(paddr_t image_start, paddr_t image_end);
/* The structure and the stack of hart number `index`; the linear map is in force. */
struct hart *boot_hart_make(unsigned index);
/* Nothing at or above `limit` is used. */
void boot_memory_limit(paddr_t limit);
/* Zeroed pages for good, the lowest that are free above the image. */
paddr_t boot_alloc(uint64_t pages);
_Noreturn void kernel_main(void);
/* handover.c */
_Noreturn void kernel_hand_over(const struct boot_info *info, bool pager_kernel);
_Noreturn void kernel_hart_main(struct hart *h);
/* One line, "pagoda: cannot start: ...", and power-off with status 1. */
__attribute__((format(printf, 1, 2))) _Noreturn void boot_fail(const char *format, ...);

#endif
