/* Devices; see device.h. */
#include "mmserver/core/device.h"
#include "lib/fdt.h"
#include "mmserver/core/kmap.h"
#include "mmserver/core/own.h"

#define CLOCK_COMPATIBLE "google,goldfish-rtc"
#define CLOCK_LOW        0 /* 32 bits; reading it latches the others */
#define CLOCK_HIGH       1

static struct {
    struct boot_range range[BOOT_RANGES_MAX];
    uint32_t slot[BOOT_RANGES_MAX];
    uint32_t ranges;
    bool memory_types; /* the machine has Svpbmt */
    uint64_t clock;    /* physical address; 0: none */
} device;

static void clock_find(const struct boot_info *info)
{
    const void *tree = (const void *)(uintptr_t)(place_linear_base + info->dtb_start);
    struct fdt f;
    uint64_t bytes;

    if (!info->dtb_bytes || fdt_open(&f, tree, info->dtb_bytes))
        return;
    int32_t node = fdt_next_compatible(&f, FDT_NONE, CLOCK_COMPATIBLE);
    if (node == FDT_NONE || !fdt_reg(&f, node, 0, &device.clock, &bytes) ||
        (device.clock & PAGE_MASK))
        device.clock = 0;
}

void device_init(const struct boot_info *info)
{
    device.ranges = 0;
    device.clock = 0;
    device.memory_types = (info->features & BOOT_HAS_SVPBMT) != 0;
    for (uint32_t i = 0; i < info->ranges; i++) {
        if (info->range[i].kind != BOOT_DEVICE)
            continue;
        device.range[device.ranges] = info->range[i];
        device.slot[device.ranges++] = SLOT_MEMORY + i;
    }
    clock_find(info);
}

bool device_memory(pfn_t first, uint64_t pages, uint32_t *slot)
{
    for (uint32_t i = 0; i < device.ranges; i++) {
        const struct boot_range *r = &device.range[i];

        if (first >= r->first_page && pages <= r->pages &&
            first - r->first_page <= r->pages - pages) {
            *slot = device.slot[i];
            return true;
        }
    }
    return false;
}

uint64_t device_bits(bool ordered)
{
    if (!device.memory_types)
        return 0; /* then the machine itself knows what is a device */
    return ordered ? ENTRY_PBMT_IO : ENTRY_PBMT_NC;
}

uint64_t device_clock_ns(struct worker *w)
{
    pfn_t pfn = device.clock >> PAGE_SHIFT;
    uint32_t slot;

    if (!device.clock || !device_memory(pfn, 1, &slot))
        return 0;
    volatile uint32_t *clock = fixed_open(w, FIXED_CLOCK, pfn, slot, OWN_WRITE | device_bits(true));
    if (!clock)
        return 0;
    uint64_t low = clock[CLOCK_LOW];
    uint64_t now_ns = (uint64_t)clock[CLOCK_HIGH] << 32 | low;
    fixed_close(w, FIXED_CLOCK);
    return now_ns;
}
