/*
 * Platform-level interrupt controllers (riscv,plic0). A machine with several NUMA nodes has one per
 * node. Each sends all its sources to one hart: the first that runs and that it can reach, which is
 * the boot hart wherever possible. Source numbers are unique over all of them on the machines
 * known; a device's node says which controller its number belongs to.
 *
 * Enable bits and priorities change under the kernel lock.
 */
#include "arch/riscv/machine.h"
#include "arch/arch.h"
#include "arch/boot.h"
#include "kernel/ipc.h"

#include <string.h>

#define PLIC_MAX        8u
#define S_EXTERNAL      9u /* interrupt number at a hart's own controller */
#define PRIORITY_OFFSET 0u
#define ENABLE_OFFSET   0x2000u
#define ENABLE_STRIDE   0x80u
#define CONTEXT_OFFSET  0x200000u
#define CONTEXT_STRIDE  0x1000u
#define CONTEXT_CLAIM   4u

static struct plic {
    paddr_t start;
    uint64_t bytes;
    uint32_t phandle;
    uint32_t sources; /* highest source number */
    uint32_t hart;    /* who gets its interrupts */
    uint32_t context;
} plics[PLIC_MAX];
static unsigned plic_count;
static uint8_t plic_of_source[INTERRUPTS_MAX];

static volatile uint32_t *plic_register(const struct plic *p, uint64_t offset)
{
    return phys_to_virt(p->start + offset);
}

static volatile uint32_t *context_register(const struct plic *p, uint64_t offset)
{
    return plic_register(p, CONTEXT_OFFSET + (uint64_t)p->context * CONTEXT_STRIDE + offset);
}

/* The supervisor context of the lowest-numbered hart that runs; false if there is none. */
BOOT_ONLY static bool choose_context(const struct fdt *f, int32_t node, struct plic *p)
{
    uint32_t phandle, number;
    p->hart = HARTS_MAX;
    for (uint32_t i = 0; fdt_cell(f, node, "interrupts-extended", 2 * i, &phandle) &&
                         fdt_cell(f, node, "interrupts-extended", 2 * i + 1, &number);
         i++) {
        int hart = machine_hart_of_controller(phandle);
        if (number == S_EXTERNAL && hart >= 0 && (uint32_t)hart < p->hart) {
            p->hart = (uint32_t)hart;
            p->context = i;
        }
    }
    uint64_t end = CONTEXT_OFFSET + (uint64_t)(p->context + 1) * CONTEXT_STRIDE;
    return p->hart < HARTS_MAX && end <= p->bytes;
}

BOOT_ONLY static void add_plic(const struct fdt *f, int32_t node)
{
    struct plic p = {0};
    uint64_t sources;
    if (plic_count == PLIC_MAX || !fdt_enabled(f, node) ||
        !fdt_reg(f, node, 0, &p.start, &p.bytes) || !fdt_cell(f, node, "phandle", 0, &p.phandle) ||
        !fdt_number(f, node, "riscv,ndev", &sources) || !choose_context(f, node, &p))
        return;
    p.sources = sources < INTERRUPTS_MAX ? (uint32_t)sources : INTERRUPTS_MAX - 1;
    plics[plic_count++] = p;
}

/* interrupt-parent is inherited from the nodes above. */
BOOT_ONLY static uint32_t interrupt_parent(const struct fdt *f, int32_t node)
{
    uint32_t phandle;
    for (; node != FDT_NONE; node = fdt_parent(f, node))
        if (fdt_cell(f, node, "interrupt-parent", 0, &phandle))
            return phandle;
    return 0;
}

BOOT_ONLY static void assign_sources(const struct fdt *f)
{
    uint32_t source;
    for (int32_t n = fdt_root(f); n != FDT_NONE; n = fdt_next(f, n)) {
        for (uint32_t i = 0; fdt_cell(f, n, "interrupts", i, &source); i++) {
            uint32_t phandle = interrupt_parent(f, n);
            for (unsigned k = 0; k < plic_count; k++)
                if (plics[k].phandle == phandle && source < INTERRUPTS_MAX)
                    plic_of_source[source] = (uint8_t)k;
        }
    }
}

BOOT_ONLY void plic_init(const struct fdt *f)
{
    for (int32_t n = FDT_NONE; (n = fdt_next_compatible(f, n, "riscv,plic0")) != FDT_NONE;)
        add_plic(f, n);
    if (plic_count == 0)
        for (int32_t n = FDT_NONE;
             (n = fdt_next_compatible(f, n, "sifive,plic-1.0.0")) != FDT_NONE;)
            add_plic(f, n);
    assign_sources(f);
}

BOOT_ONLY void plic_start(void)
{
    for (unsigned k = 0; k < plic_count; k++) {
        const struct plic *p = &plics[k];
        arch_map_device(p->start, p->bytes);
        for (uint32_t word = 0; word <= p->sources / 32; word++)
            *plic_register(p, ENABLE_OFFSET + p->context * ENABLE_STRIDE + 4 * word) = 0;
        for (uint32_t source = 1; source <= p->sources; source++)
            *plic_register(p, PRIORITY_OFFSET + 4 * source) = 1;
        *context_register(p, 0) = 0; /* threshold: every priority above 0 */
    }
}

/* ---- arch.h ---- */

bool arch_source_exists(uint32_t source)
{
    return source > 0 && source < INTERRUPTS_MAX && plic_count > 0 &&
           source <= plics[plic_of_source[source]].sources;
}

uint32_t arch_source_claim(void)
{
    uint64_t hart = this_hart()->id;
    for (unsigned k = 0; k < plic_count; k++) {
        uint32_t source = plics[k].hart == hart ? *context_register(&plics[k], CONTEXT_CLAIM) : 0;
        if (source)
            return source;
    }
    return 0;
}

void arch_source_complete(uint32_t source)
{
    if (arch_source_exists(source))
        *context_register(&plics[plic_of_source[source]], CONTEXT_CLAIM) = source;
}

void arch_source_enable(uint32_t source, bool on)
{
    if (!arch_source_exists(source))
        return;
    const struct plic *p = &plics[plic_of_source[source]];
    volatile uint32_t *word =
        plic_register(p, ENABLE_OFFSET + p->context * ENABLE_STRIDE + 4 * (source / 32));
    uint32_t bit = 1u << (source % 32);
    *word = on ? *word | bit : *word & ~bit;
}
