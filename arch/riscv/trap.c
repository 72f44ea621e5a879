/*
 * Once per boot, before the kernel's text becomes read-only: without ASIDs every satp write must be
 * followed by a fence, so each write in the trap code becomes a jump to one that is.
 */
#include "arch/riscv/trap.h"
#include <stdint.h>

/* Pairs: where a satp write stands, and the write with a fence that takes its place. */
extern const uint64_t satp_patch_start[], satp_patch_end[];

/* jal zero, offset */
static uint32_t jump(int64_t offset)
{
    uint32_t o = (uint32_t)offset;

    return 0x6fu | (o & 0xff000u) | (o >> 11 & 1) << 20 | (o >> 1 & 0x3ff) << 21 |
           (o >> 20 & 1) << 31;
}

void trap_patch_without_asids(void)
{
    for (const uint64_t *at = satp_patch_start; at < satp_patch_end; at += 2)
        *(volatile uint32_t *)at[0] = jump((int64_t)(at[1] - at[0]));
    __asm__ volatile("fence rw, rw\n\tfence.i" : : : "memory");
}
