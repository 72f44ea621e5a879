/* Harts and their extensions, from the device tree. */
#include "arch/riscv/machine.h"
#include "arch/arch.h"
#include "arch/boot.h"

#include <string.h>

struct arch_machine arch_machine;
uint32_t arch_features;
uint64_t arch_timebase_hz;

static uint32_t controller[HARTS_MAX]; /* phandle of each hart's own interrupt controller */

static const struct {
    const char *name;
    uint32_t feature;
} extensions[] = {
    {"svnapot", BOOT_HAS_SVNAPOT}, {"svpbmt", BOOT_HAS_SVPBMT}, {"svinval", BOOT_HAS_SVINVAL},
    {"sstc", BOOT_HAS_SSTC},       {"zicboz", BOOT_HAS_ZICBOZ}, {"svadu", BOOT_HAS_SVADU},
};

BOOT_ONLY static uint32_t feature_of(const char *name, size_t bytes)
{
    for (size_t i = 0; i < sizeof extensions / sizeof *extensions; i++)
        if (strlen(extensions[i].name) == bytes && memcmp(extensions[i].name, name, bytes) == 0)
            return extensions[i].feature;
    return 0;
}

/* "rv64imafdc_zicsr_sstc": single letters, then names after underscores; versions are passed over.
 */
BOOT_ONLY static uint32_t features_of_string(const char *isa)
{
    uint32_t features = 0;
    const char *letters = strlen(isa) > 4 ? isa + 4 : "";
    size_t count = strcspn(letters, "_");
    if (memchr(letters, 'd', count) || memchr(letters, 'g', count))
        features |= BOOT_HAS_FP;
    for (const char *name = letters + count; *name == '_';) {
        name++;
        size_t bytes = strcspn(name, "_");
        size_t plain = bytes;
        while (plain > 0 && name[plain - 1] >= '0' && name[plain - 1] <= '9')
            plain--;
        features |= feature_of(name, bytes) | feature_of(name, plain);
        name += bytes;
    }
    return features;
}

BOOT_ONLY uint32_t features_of(const struct fdt *f, int32_t cpu)
{
    uint32_t features = 0;
    const char *isa = fdt_string(f, cpu, "riscv,isa");
    if (fdt_property(f, cpu, "riscv,isa-extensions", NULL)) {
        for (size_t i = 0; i < sizeof extensions / sizeof *extensions; i++)
            if (fdt_string_list_has(f, cpu, "riscv,isa-extensions", extensions[i].name))
                features |= extensions[i].feature;
        if (fdt_string_list_has(f, cpu, "riscv,isa-extensions", "d"))
            features |= BOOT_HAS_FP;
    } else if (isa) {
        features = features_of_string(isa);
    }
    return features;
}

BOOT_ONLY static bool read_hart(const struct fdt *f, int32_t cpu, uint64_t *id)
{
    const char *type = fdt_string(f, cpu, "device_type");
    const char *mmu = fdt_string(f, cpu, "mmu-type");
    return type && strcmp(type, "cpu") == 0 && fdt_enabled(f, cpu) && mmu &&
           strcmp(mmu, "riscv,none") != 0 && fdt_number(f, cpu, "reg", id);
}

BOOT_ONLY static void add_hart(const struct fdt *f, int32_t cpu, uint64_t id)
{
    unsigned at = arch_machine.harts++;
    arch_machine.machine_id[at] = id;
    arch_features &= features_of(f, cpu);
    for (int32_t n = fdt_first_child(f, cpu); n != FDT_NONE; n = fdt_next_sibling(f, n))
        if (fdt_property(f, n, "interrupt-controller", NULL))
            (void)fdt_cell(f, n, "phandle", 0, &controller[at]);
}

/* All harts but the boot hart, or only that one. */
BOOT_ONLY static void add_harts(const struct fdt *f, int32_t cpus, uint64_t boot_id, bool boot,
                                unsigned max)
{
    uint64_t id;
    for (int32_t n = fdt_first_child(f, cpus); n != FDT_NONE; n = fdt_next_sibling(f, n))
        if (arch_machine.harts < max && read_hart(f, n, &id) && (id == boot_id) == boot)
            add_hart(f, n, id);
}

BOOT_ONLY void machine_init(const struct fdt *f, uint64_t boot_id, unsigned harts_max)
{
    int32_t cpus = fdt_find_path(f, "/cpus");
    if (cpus == FDT_NONE || !fdt_number(f, cpus, "timebase-frequency", &arch_timebase_hz) ||
        arch_timebase_hz < 1000)
        boot_fail("the device tree says nothing about harts and their time base");
    arch_features = ~0u;
    add_harts(f, cpus, boot_id, true, 1);
    if (arch_machine.harts == 0)
        boot_fail("the device tree does not have the hart that boots (%u)", (unsigned)boot_id);
    add_harts(f, cpus, boot_id, false, harts_max);
}

BOOT_ONLY int machine_hart_of_controller(uint32_t phandle)
{
    for (unsigned i = 0; i < arch_machine.harts; i++)
        if (controller[i] == phandle)
            return (int)i;
    return -1;
}
