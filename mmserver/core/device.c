/* Devices; see device.h. */
#include "mmserver/core/device.h"
#include "lib/fdt.h"
#include "mmserver/core/kmap.h"
#include "mmserver/core/memblock.h"
#include "mmserver/core/own.h"

#define CLOCK_COMPATIBLE "google,goldfish-rtc"
#define CLOCK_LOW        0 /* 32 bits; reading it latches the others */
#define CLOCK_HIGH       1

/* The kinds that the kernel gives away (kernel/boot.c). */
static const struct {
    const char *compatible;
    uint32_t word_bytes;
} kinds[] = {{CLOCK_COMPATIBLE, 4}, {"virtio,mmio", 4}, {"ns16550a", 1}};

static struct {
    struct boot_range range[BOOT_RANGES_MAX];
    uint32_t slot[BOOT_RANGES_MAX];
    uint32_t ranges;
    struct device device[BOOT_RANGES_MAX]; /* by address */
    uint32_t devices;
    bool memory_types; /* the machine has Svpbmt */
} all;

static pfn_t first_page(const struct device *d)
{
    return d->start >> PAGE_SHIFT;
}

static pfn_t end_page(const struct device *d)
{
    return PAGE_UP(d->start + d->bytes) >> PAGE_SHIFT;
}

static void device_add(const struct device *d)
{
    uint32_t at = all.devices++;

    for (; at && all.device[at - 1].start > d->start; at--)
        all.device[at] = all.device[at - 1];
    all.device[at] = *d;
}

/* Those of the device tree whose registers were given to us. */
static void devices_find(const struct boot_info *info)
{
    const void *tree = (const void *)(uintptr_t)(place_linear_base + info->dtb_start);
    struct device d = {0};
    struct fdt f;

    if (!info->dtb_bytes || fdt_open(&f, tree, info->dtb_bytes))
        return;
    for (uint32_t kind = 0; kind < ARRAY_COUNT(kinds); kind++) {
        d.compatible = kinds[kind].compatible;
        d.word_bytes = kinds[kind].word_bytes;
        for (int32_t n = FDT_NONE; (n = fdt_next_compatible(&f, n, d.compatible)) != FDT_NONE;) {
            if (all.devices < BOOT_RANGES_MAX && fdt_reg(&f, n, 0, &d.start, &d.bytes) && d.bytes &&
                device_memory(first_page(&d), end_page(&d) - first_page(&d), &d.slot))
                device_add(&d);
        }
    }
}

/* What the tree says nothing about: pages of who knows what. */
static void devices_unknown(void)
{
    for (uint32_t i = 0; i < all.ranges; i++) {
        const struct boot_range *r = &all.range[i];
        const struct device d = {.start = r->first_page << PAGE_SHIFT,
                                 .bytes = r->pages << PAGE_SHIFT,
                                 .slot = all.slot[i],
                                 .word_bytes = 1,
                                 .compatible = "device"};

        if (all.devices < BOOT_RANGES_MAX && !device_at(r->first_page, 1))
            device_add(&d);
    }
}

void device_init(const struct boot_info *info)
{
    all.ranges = all.devices = 0;
    all.memory_types = (info->features & BOOT_HAS_SVPBMT) != 0;
    for (uint32_t i = 0; i < info->ranges; i++) {
        if (info->range[i].kind != BOOT_DEVICE)
            continue;
        all.range[all.ranges] = info->range[i];
        all.slot[all.ranges++] = SLOT_MEMORY + i;
    }
    devices_find(info);
    devices_unknown();
}

bool device_memory(pfn_t first, uint64_t pages, uint32_t *slot)
{
    for (uint32_t i = 0; i < all.ranges; i++) {
        const struct boot_range *r = &all.range[i];

        if (first >= r->first_page && pages <= r->pages &&
            first - r->first_page <= r->pages - pages) {
            *slot = all.slot[i];
            return true;
        }
    }
    return false;
}

struct device *device_at(pfn_t first, uint64_t pages)
{
    for (struct device *d = all.device; d < all.device + all.devices; d++)
        if (!d->claimed && first >= first_page(d) && first < end_page(d) &&
            pages <= end_page(d) - first)
            return d;
    return NULL;
}

void device_claim(paddr_t start)
{
    for (uint32_t i = 0; i < all.devices; i++)
        all.device[i].claimed |= all.device[i].start == start;
}

bool device_grant(struct device *d, const struct mm *mm)
{
    const struct mm *none = NULL;

    return __atomic_compare_exchange_n(&d->granted, &none, mm, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_RELAXED);
}

bool device_granted(const struct mm *mm)
{
    for (uint32_t i = 0; i < all.devices; i++)
        if (__atomic_load_n(&all.device[i].granted, __ATOMIC_ACQUIRE) == mm)
            return true;
    return false;
}

void device_ungrant(const struct mm *mm)
{
    for (uint32_t i = 0; i < all.devices; i++)
        if (all.device[i].granted == mm)
            __atomic_store_n(&all.device[i].granted, NULL, __ATOMIC_RELEASE);
}

uint64_t device_bits(bool ordered)
{
    if (!all.memory_types)
        return 0; /* then the machine itself knows what is a device */
    return ordered ? ENTRY_PBMT_IO : ENTRY_PBMT_NC;
}

uint64_t device_clock_ns(struct worker *w)
{
    const struct device *d = all.device;

    while (d < all.device + all.devices && d->compatible != kinds[0].compatible)
        d++;
    if (d == all.device + all.devices || (d->start & PAGE_MASK))
        return 0;
    volatile uint32_t *clock =
        fixed_open(w, FIXED_CLOCK, first_page(d), d->slot, OWN_WRITE | device_bits(true));
    if (!clock)
        return 0;
    uint64_t low = clock[CLOCK_LOW];
    uint64_t now_ns = (uint64_t)clock[CLOCK_HIGH] << 32 | low;
    fixed_close(w, FIXED_CLOCK);
    return now_ns;
}

static void range_line(struct text *t, paddr_t start, paddr_t end, const char *name)
{
    text_format(t, "%08lx-%08lx : %s\n", start, end - 1, name);
}

void device_report(struct text *t)
{
    const struct memblock_region *r = memblock.memory.region, *end = r + memblock.memory.count;
    const struct device *d = all.device, *last = d + all.devices;

    while (r < end || d < last) {
        if (d == last || (r < end && r->start < d->start)) {
            range_line(t, r->start, r->end, "System RAM");
            r++;
        } else {
            range_line(t, d->start, d->start + d->bytes, d->compatible);
            d++;
        }
    }
}
