/*
 * Fences: on this hart by sfence.vma (or Svinval's split form), on others through the firmware.
 *
 * Where no ASIDs are implemented every fence is for all of them. The kernel's own translations are
 * global, so a fence with an ASID leaves them alone, as it should.
 */
#include "arch/arch.h"
#include "arch/riscv/sbi.h"

#define RANGE_PAGES_MAX 64UL /* beyond this, the whole ASID costs less */

static uint64_t asid_number(uint64_t asid)
{
    return asid & ((1UL << arch_asid_bits) - 1);
}

static void fence_pages(uint64_t asid, vaddr_t start, vaddr_t end)
{
    for (vaddr_t va = start; va < end; va += PAGE_BYTES) {
        if (arch_asid_bits)
            __asm__ volatile("sfence.vma %0, %1" : : "r"(va), "r"(asid) : "memory");
        else
            __asm__ volatile("sfence.vma %0, zero" : : "r"(va) : "memory");
    }
}

/* Svinval: sfence.w.inval, sinval.vma for each page, sfence.inval.ir. */
static void invalidate_pages(uint64_t asid, vaddr_t start, vaddr_t end)
{
    __asm__ volatile(".word 0x18000073" : : : "memory");
    for (vaddr_t va = start; va < end; va += PAGE_BYTES) {
        if (arch_asid_bits)
            __asm__ volatile(".insn r 0x73, 0, 0x0b, x0, %0, %1" : : "r"(va), "r"(asid) : "memory");
        else
            __asm__ volatile(".insn r 0x73, 0, 0x0b, x0, %0, x0" : : "r"(va) : "memory");
    }
    __asm__ volatile(".word 0x18100073" : : : "memory");
}

void arch_fence_range(uint64_t asid, vaddr_t start, vaddr_t end)
{
    start &= -PAGE_BYTES;
    if (start >= end)
        return;
    if (end - start > RANGE_PAGES_MAX * PAGE_BYTES)
        arch_fence_asid(asid);
    else if ((arch_features & BOOT_HAS_SVINVAL) && end - start > PAGE_BYTES)
        invalidate_pages(asid_number(asid), start, end);
    else
        fence_pages(asid_number(asid), start, end);
}

void arch_fence_asid(uint64_t asid)
{
    if (arch_asid_bits)
        __asm__ volatile("sfence.vma zero, %0" : : "r"(asid_number(asid)) : "memory");
    else
        arch_fence_all();
}

void arch_fence_all(void)
{
    __asm__ volatile("sfence.vma" : : : "memory");
}

void arch_fence_code(void)
{
    __asm__ volatile(".word 0x0000100f" : : : "memory"); /* fence.i */
}

/*
 * The firmware names harts by a 64-bit mask and a base. Take from *mask (kernel hart ids) all those
 * whose machine ids lie in the 64 from the lowest on; false when none is left.
 */
static bool next_group(uint64_t *mask, uint64_t *machine_mask, uint64_t *base)
{
    *base = ~0UL;
    *machine_mask = 0;
    for (uint64_t m = *mask; m; m &= m - 1) {
        uint64_t id = harts[__builtin_ctzl(m)]->machine_id;
        *base = id < *base ? id : *base;
    }
    for (uint64_t m = *mask; m; m &= m - 1) {
        unsigned hart = (unsigned)__builtin_ctzl(m);
        uint64_t bit = harts[hart]->machine_id - *base;
        if (bit < 64) {
            *machine_mask |= 1UL << bit;
            *mask &= ~(1UL << hart);
        }
    }
    return *machine_mask != 0;
}

void arch_fence_range_remote(uint64_t mask, uint64_t asid, vaddr_t start, vaddr_t end)
{
    uint64_t machine_mask, base;
    start &= -PAGE_BYTES;
    while (next_group(&mask, &machine_mask, &base)) {
        if (arch_asid_bits)
            sbi_fence_range_asid(machine_mask, base, start, end - start, asid_number(asid));
        else
            sbi_fence_range(machine_mask, base, start, end - start);
    }
}

void arch_fence_asid_remote(uint64_t mask, uint64_t asid)
{
    uint64_t machine_mask, base;
    while (next_group(&mask, &machine_mask, &base)) {
        if (arch_asid_bits)
            sbi_fence_range_asid(machine_mask, base, 0, ~0UL, asid_number(asid));
        else
            sbi_fence_range(machine_mask, base, 0, ~0UL);
    }
}

void arch_fence_all_remote(uint64_t mask)
{
    uint64_t machine_mask, base;
    while (next_group(&mask, &machine_mask, &base))
        sbi_fence_range(machine_mask, base, 0, ~0UL);
}

void arch_fence_code_remote(uint64_t mask)
{
    uint64_t machine_mask, base;
    while (next_group(&mask, &machine_mask, &base))
        sbi_fence_code(machine_mask, base);
}
