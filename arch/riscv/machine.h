/* Parts of the RISC-V start-up code, each in the file of its name. Boot hart only. */
#ifndef ARCH_RISCV_MACHINE_H
#define ARCH_RISCV_MACHINE_H

#include "kernel/types.h"
#include "lib/fdt.h"

/* Image addresses are link-time ones: virtual = physical + IMAGE_OFFSET (see kernel.lds). */
#define IMAGE_OFFSET 0xffffffff00000000UL
extern char image_start[], image_text_end[], image_rodata_end[], image_end[];
extern char image_text_boot[], image_text_pager[], image_text_rest[];
extern char image_rodata_boot[], image_rodata_pager[], image_rodata_rest[];
extern char image_data_boot[], image_data_pager[], image_data_rest[];
extern char image_bss_boot[], image_bss_pager[], image_bss_rest[];
extern char boot_stack_guard[], boot_stack_top[];

#define STACK_BYTES 16384UL

/* power.c: find the test finisher; its physical address or 0. */
void power_init(const struct fdt *f);
paddr_t power_device(void);

/* machine.c: fill arch_machine from /cpus, `boot_id` first, at most `harts_max`. */
void machine_init(const struct fdt *f, uint64_t boot_id, unsigned harts_max);
/* Index in arch_machine of the hart with this interrupt controller; -1: none that runs. */
int machine_hart_of_controller(uint32_t phandle);

/* plic.c */
void plic_init(const struct fdt *f);
/* Map the controllers and put them into a known state; the linear map is in force. */
void plic_start(void);
/* paging.c: choose the mode (3, 4 or 5 levels), then build the final tables and use them. */
void paging_choose(unsigned levels, bool asid_off);
void paging_start(void);

/* start.S */
extern char start_secondary[];
bool riscv_probe_store(volatile uint64_t *at, uint64_t value);
_Noreturn void riscv_on_stack(void *top, void (*function)(void));
/* start.c, called by start.S */
_Noreturn void riscv_start(uint64_t machine_id, paddr_t tree);
_Noreturn void riscv_early_trap(uint64_t scause, uint64_t sepc, uint64_t stval);

#endif
