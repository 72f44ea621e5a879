/*
 * Calls to the firmware (RISC-V SBI 0.2 and later). Masks of harts are machine ids: bit i of `mask`
 * names hart base + i.
 */
#ifndef ARCH_RISCV_SBI_H
#define ARCH_RISCV_SBI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Find out which extensions there are. False: the firmware lacks one that the kernel needs; its
 * name is then in *missing. Before this, the console is the legacy one. */
bool sbi_init(const char **missing);

void sbi_console_write(const char *text, size_t bytes);
void sbi_timer_set(uint64_t deadline);
void sbi_interrupt(uint64_t mask, uint64_t base);
void sbi_fence_code(uint64_t mask, uint64_t base);
/* bytes = ~0: everything. */
void sbi_fence_range(uint64_t mask, uint64_t base, uint64_t start, uint64_t bytes);
void sbi_fence_range_asid(uint64_t mask, uint64_t base, uint64_t start, uint64_t bytes,
                          uint64_t asid);
bool sbi_hart_start(uint64_t machine_id, uint64_t physical_entry, uint64_t opaque);
/* Ends the machine, or returns if the firmware cannot. */
void sbi_power_off(bool failure);
void sbi_describe(char *text, size_t bytes);

#endif
