/*
 * The kernel's half of every address space, built once at boot.
 *
 *   linear base ..      all memory but the firmware's, and the kernel's devices: read-write, never
 *                       executable; the kernel's text and constants read-only
 *   0xffffffff80200000  the image, in 4 KiB pages: text R-X, constants R--, data RW-
 *
 *   0xffffffff00000000  1 GiB, empty: the in-kernel memory server's own space (arch.h, window)
 *
 * All of it is global (ENTRY_G) and no top-level entry of it changes after boot, so a new root
 * table gets it by copying its upper half. Guard pages below stacks are holes in the linear map;
 * that of the boot stack is a hole in both.
 */
#include "arch/riscv/machine.h"
#include "arch/arch.h"
#include "arch/boot.h"
#include "arch/riscv/csr.h"
#include "arch/riscv/trap.h"
#include "kernel/assert.h"
#include "kernel/boot.h"
#include "kernel/hart.h"
#include "kernel/space.h"

#include <string.h>

#define LEVELS_MIN   3u
#define LEVELS_MAX   5u
#define LEVEL_GIGA   2u
#define IMAGE_SPACE  (4UL << 30) /* top of the address space, kept for the image and the window */
#define WINDOW       0xffffffff00000000UL
#define WINDOW_BYTES (1UL << 30)

#define KERNEL_READ  (ENTRY_V | ENTRY_R | ENTRY_G | ENTRY_A)
#define KERNEL_WRITE (KERNEL_READ | ENTRY_W | ENTRY_D)
#define KERNEL_EXEC  (KERNEL_READ | ENTRY_X)

extern uint64_t boot_table_sv39[], boot_table_sv48[], boot_table_sv57[];

uint64_t arch_linear_base; /* 0 while the early tables are in force */
unsigned arch_asid_bits;
uint64_t riscv_kernel_satp;

const vaddr_t arch_window_start = WINDOW, arch_window_end = WINDOW + WINDOW_BYTES;

static unsigned levels;
static paddr_t root;

static uint64_t satp_value(unsigned mode_levels, uint64_t asid, pfn_t root_page)
{
    return (SATP_MODE_SV39 + mode_levels - LEVELS_MIN) << SATP_MODE_SHIFT |
           (asid & ((1UL << arch_asid_bits) - 1)) << SATP_ASID_SHIFT | root_page;
}

/* ---- choosing ---- */

BOOT_ONLY static pfn_t early_root(unsigned mode_levels)
{
    uint64_t *const table[] = {boot_table_sv39, boot_table_sv48, boot_table_sv57};
    return ((uint64_t)table[mode_levels - LEVELS_MIN] - IMAGE_OFFSET) >> PAGE_SHIFT;
}

/* satp keeps its old value when a mode is written that the machine does not have. */
BOOT_ONLY static bool mode_exists(unsigned mode_levels)
{
    uint64_t wanted = satp_value(mode_levels, 0, early_root(mode_levels));
    csr_write(CSR_SATP, wanted);
    __asm__ volatile("sfence.vma" ::: "memory");
    return csr_read(CSR_SATP) == wanted;
}

BOOT_ONLY static unsigned count_asid_bits(void)
{
    uint64_t satp = csr_read(CSR_SATP);
    csr_write(CSR_SATP, satp | SATP_ASID_MASK << SATP_ASID_SHIFT);
    uint64_t asid = csr_read(CSR_SATP) >> SATP_ASID_SHIFT & SATP_ASID_MASK;
    csr_write(CSR_SATP, satp);
    __asm__ volatile("sfence.vma" ::: "memory");
    return (unsigned)__builtin_popcountl(asid);
}

/* What the device tree says about accessed and dirty bits differs between machines: store through
 * an entry that has neither, and look. */
BOOT_ONLY static bool hardware_sets_dirty(void)
{
    static volatile uint64_t target;
    enum { IMAGE_INDEX = 510, PROBE_INDEX = 509 };
    uint64_t *entry = &boot_table_sv39[PROBE_INDEX];
    *entry = boot_table_sv39[IMAGE_INDEX] & ~(ENTRY_A | ENTRY_D | ENTRY_X);
    __asm__ volatile("sfence.vma" ::: "memory");
    bool done = riscv_probe_store((volatile uint64_t *)((uint64_t)&target - (1UL << 30)), 1);
    bool dirty = *(volatile uint64_t *)entry & ENTRY_D;
    *entry = 0;
    __asm__ volatile("sfence.vma" ::: "memory");
    return done && dirty;
}

BOOT_ONLY void paging_choose(unsigned mode_levels, bool asid_off)
{
    static const char *const name[] = {"sv39", "sv48", "sv57"};
    if (!mode_exists(mode_levels))
        boot_fail("paging=%s: this machine does not have it", name[mode_levels - LEVELS_MIN]);
    levels = mode_levels;
    arch_linear_base = 0;
    arch_machine.linear_end = -IMAGE_SPACE - (-1UL << (12 + 9 * levels - 1));
    arch_asid_bits = asid_off ? 0 : count_asid_bits();
    if (arch_asid_bits < ASID_BITS_ENOUGH)
        trap_patch_without_asids();
    arch_features &= ~(uint32_t)BOOT_HAS_SVADU;
    if (hardware_sets_dirty())
        arch_features |= BOOT_HAS_SVADU;
}

/* ---- building ---- */

static uint64_t *entry_in(uint64_t *table, vaddr_t va, unsigned level)
{
    return &table[va >> (PAGE_SHIFT + TABLE_SHIFT * level) & (TABLE_ENTRIES - 1)];
}

static uint64_t level_bytes(unsigned level)
{
    return PAGE_BYTES << (TABLE_SHIFT * level);
}

/* The entry for `va` at `level`; missing tables are made, a larger leaf on the way is split. */
BOOT_ONLY static uint64_t *entry_for(vaddr_t va, unsigned level)
{
    uint64_t *table = phys_to_virt(root);
    for (unsigned l = levels - 1;; l--) {
        uint64_t *entry = entry_in(table, va, l);
        if (l == level)
            return entry;
        if (!entry_is_table(*entry)) {
            paddr_t page = boot_alloc(1);
            uint64_t *lower = phys_to_virt(page), leaf = *entry;
            for (uint64_t i = 0; entry_is_leaf(leaf) && i < TABLE_ENTRIES; i++)
                lower[i] = leaf + (i << (TABLE_SHIFT * (l - 1)) << ENTRY_PAGE_SHIFT);
            *entry = entry_make(page >> PAGE_SHIFT, ENTRY_V);
        }
        table = page_to_virt(entry_page(*entry));
    }
}

/* Whole pages, with the largest leaves that fit. What stands there already is replaced. */
BOOT_ONLY static void map(vaddr_t va, paddr_t pa, uint64_t bytes, uint64_t bits)
{
    while (bytes > 0) {
        unsigned level = LEVEL_GIGA;
        while (level > 0 && ((va | pa) % level_bytes(level) != 0 || bytes < level_bytes(level)))
            level--;
        *entry_for(va, level) = entry_make(pa >> PAGE_SHIFT, bits);
        va += level_bytes(level);
        pa += level_bytes(level);
        bytes -= level_bytes(level);
    }
}

static vaddr_t linear_base(void)
{
    return -1UL << (12 + 9 * levels - 1);
}

/* Neighbouring regions are mapped as one, so that leaves are large. */
BOOT_ONLY static void map_memory(void)
{
    struct regions memory = boot.regions; /* mapping allocates, which changes the original */
    for (unsigned i = 0; i < memory.count;) {
        paddr_t start = memory.region[i].start, end = memory.region[i].end;
        if (memory.region[i++].kind == BOOT_RESERVED)
            continue;
        while (i < memory.count && memory.region[i].start == end &&
               memory.region[i].kind != BOOT_RESERVED)
            end = memory.region[i++].end;
        map(linear_base() + start, start, end - start, KERNEL_WRITE);
    }
}

BOOT_ONLY static void map_image(void)
{
    const struct {
        char *start, *end;
        uint64_t bits;
    } part[] = {
        {image_start, image_text_end, KERNEL_EXEC},
        {image_text_end, image_rodata_end, KERNEL_READ},
        {image_rodata_end, image_end, KERNEL_WRITE},
    };
    for (unsigned i = 0; i < sizeof part / sizeof *part; i++)
        for (vaddr_t va = (vaddr_t)part[i].start; va < (vaddr_t)part[i].end; va += PAGE_BYTES)
            *entry_for(va, 0) = entry_make((va - IMAGE_OFFSET) >> PAGE_SHIFT, part[i].bits);

    /* Small leaves here too, because parts of it are given away. */
    for (vaddr_t va = (vaddr_t)image_start; va < (vaddr_t)image_end; va += PAGE_BYTES) {
        bool constant = va < (vaddr_t)image_rodata_end;
        *entry_for(linear_base() + va - IMAGE_OFFSET, 0) =
            entry_make((va - IMAGE_OFFSET) >> PAGE_SHIFT, constant ? KERNEL_READ : KERNEL_WRITE);
    }
    *entry_for((vaddr_t)boot_stack_guard, 0) = 0;
    *entry_for(linear_base() + ((paddr_t)boot_stack_guard - IMAGE_OFFSET), 0) = 0;
}

BOOT_ONLY void paging_start(void)
{
    root = boot_alloc(1);
    map_memory();
    map_image();
    entry_for(WINDOW, 1); /* makes the tables above it */
    if (power_device())
        map(linear_base() + power_device(), power_device(), PAGE_BYTES, KERNEL_WRITE);
    riscv_kernel_satp = satp_value(levels, 0, root >> PAGE_SHIFT);
    arch_linear_base = linear_base();
    csr_write(CSR_SATP, riscv_kernel_satp);
    __asm__ volatile("sfence.vma" ::: "memory");
}

BOOT_ONLY void arch_map_device(paddr_t start, uint64_t bytes)
{
    paddr_t end = (start + bytes + PAGE_BYTES - 1) & -PAGE_BYTES;
    start &= -PAGE_BYTES;
    map(arch_linear_base + start, start, end - start, KERNEL_WRITE);
    __asm__ volatile("sfence.vma" ::: "memory");
}

/* An address that nothing answers traps; one that a bus swallows does not keep what is stored. */
BOOT_ONLY bool arch_memory_answers(paddr_t page)
{
    volatile uint64_t *word = phys_to_virt(page);
    const uint64_t pattern = 0x5a5aa5a5c3c33c3c;
    if (!riscv_probe_store(&word[0], pattern) || !riscv_probe_store(&word[1], ~pattern))
        return false;
    return word[0] == pattern && word[1] == ~pattern;
}

BOOT_ONLY void *arch_stack_make(struct hart *h)
{
    paddr_t guard = boot_alloc(1 + STACK_BYTES / PAGE_BYTES);
    *entry_for(arch_linear_base + guard, 0) = 0;
    __asm__ volatile("sfence.vma" ::: "memory");
    /* The start code finds the hart at the top; 16 bytes keep the stack aligned. */
    struct hart **top = phys_to_virt(guard + PAGE_BYTES + STACK_BYTES - 16);
    *top = h;
    return top;
}

/* ---- giving back what only the boot needed ---- */

static const struct {
    char *boot, *pager, *rest;
} boot_only[] = {
    {image_text_boot, image_text_pager, image_text_rest},
    {image_rodata_boot, image_rodata_pager, image_rodata_rest},
    {image_data_boot, image_data_pager, image_data_rest},
    {image_bss_boot, image_bss_pager, image_bss_rest},
};

bool arch_boot_only(unsigned index, bool pager_too, paddr_t *start, paddr_t *end)
{
    if (index >= sizeof boot_only / sizeof *boot_only)
        return false;
    *start = (paddr_t)boot_only[index].boot - IMAGE_OFFSET;
    *end = (paddr_t)(pager_too ? boot_only[index].rest : boot_only[index].pager) - IMAGE_OFFSET;
    return true;
}

/* The small leaf of an address that is mapped by one, or was. */
static uint64_t *small_leaf(vaddr_t va)
{
    uint64_t *table = phys_to_virt(root);
    for (unsigned l = levels - 1; l > 0; l--) {
        uint64_t entry = *entry_in(table, va, l);
        kassert(entry_is_table(entry));
        table = page_to_virt(entry_page(entry));
    }
    return entry_in(table, va, 0);
}

/* The image's mapping goes; that in the linear map becomes like that of all memory. */
void arch_boot_only_release(bool pager_too)
{
    paddr_t start, end;
    for (unsigned i = 0; arch_boot_only(i, pager_too, &start, &end); i++) {
        for (paddr_t at = start; at < end; at += PAGE_BYTES) {
            *small_leaf(at + IMAGE_OFFSET) = 0;
            *small_leaf(arch_linear_base + at) = entry_make(at >> PAGE_SHIFT, KERNEL_WRITE);
        }
    }
    arch_fence_all();
    arch_fence_all_remote(((1UL << (harts_online - 1)) - 1) << 1);
}

/* ---- arch.h ---- */

void arch_root_init(uint64_t *table)
{
    const uint64_t *kernel = phys_to_virt(root);
    memcpy(&table[TABLE_ENTRIES / 2], &kernel[TABLE_ENTRIES / 2], PAGE_BYTES / 2);
}

uint64_t *arch_window_entry(vaddr_t address, unsigned level)
{
    uint64_t *table = phys_to_virt(root);

    kassert(address - WINDOW < WINDOW_BYTES);
    for (unsigned l = levels - 1; l > level; l--) {
        uint64_t entry = *entry_in(table, address, l);

        kassert(entry_is_table(entry));
        table = page_to_virt(entry_page(entry));
    }
    return entry_in(table, address, level);
}

uint64_t arch_satp(pfn_t root_page, uint64_t asid)
{
    return satp_value(levels, asid, root_page);
}

void arch_satp_write(uint64_t satp)
{
    csr_write(CSR_SATP, satp);
    if (arch_asid_bits == 0)
        __asm__ volatile("sfence.vma" ::: "memory");
}

uint64_t arch_satp_kernel(void)
{
    return riscv_kernel_satp;
}
