/*
 * The portable part of the boot: device tree, options, the map of memory, blocks, harts. See
 * arch/boot.h for the order. All of this file is given away when it has run: kernel/handover.c.
 * Everything that is wrong with what the machine gave ends in boot_fail(): one line that says why,
 * and power-off with a failure status.
 */
#include "kernel/boot.h"
#include "arch/arch.h"
#include "kernel/assert.h"
#include "kernel/block.h"
#include "kernel/hart.h"
#include "kernel/ipc.h"
#include "kernel/log.h"
#include "kernel/space.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define KIND(k)          (1u << (k))
#define HART_START_TICKS (10 * arch_timebase_hz)
#define HART_AGAIN_TICKS (arch_timebase_hz / 50)

struct boot_state boot;

_Noreturn void boot_fail(const char *format, ...)
{
    char reason[200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    kprintf("pagoda: cannot start: %s\n", reason);
    arch_power_off(1);
}

/* ---- device tree ---- */

void boot_tree_open(paddr_t tree)
{
    if (tree == 0 || tree % 8 != 0)
        boot_fail("the firmware gave no device tree");
    int error = fdt_open(&boot.tree, phys_to_virt(tree), FDT_BYTES_MAX);
    if (error)
        boot_fail("%s", fdt_error_text(error));
    boot.tree_start = tree;
}

static void read_chosen(void)
{
    const struct fdt *f = &boot.tree;
    int32_t chosen = fdt_find_path(f, "/chosen");
    uint64_t end = 0;
    uint32_t bytes;
    if (chosen == FDT_NONE)
        return;
    const char *args = fdt_string(f, chosen, "bootargs");
    if (args && strlen(args) >= sizeof boot.args)
        boot_fail("the kernel command line is longer than %u characters",
                  (unsigned)sizeof boot.args - 1);
    if (args)
        strcpy(boot.args, args);
    if (fdt_number(f, chosen, "linux,initrd-start", &boot.initrd_start) &&
        fdt_number(f, chosen, "linux,initrd-end", &end) && end > boot.initrd_start)
        boot.initrd_bytes = end - boot.initrd_start;
    const uint8_t *seed = fdt_property(f, chosen, "rng-seed", &bytes);
    boot.rng_seed = 0x9e3779b97f4a7c15UL;
    for (uint32_t i = 0; seed && i < bytes; i++)
        boot.rng_seed = (boot.rng_seed ^ seed[i]) * 0x100000001b3UL;
}

/* ---- the map of memory ---- */

/* Pages of [start, end) that are free or reserved become `kind`; all of them must be memory. */
static void claim(paddr_t start, paddr_t end, uint32_t kind, const char *what)
{
    struct regions *r = &boot.regions;
    uint64_t wanted = ((end + PAGE_BYTES - 1) & -PAGE_BYTES) - (start & -PAGE_BYTES);
    if (end < start || end > -PAGE_BYTES)
        boot_fail("%s lies outside memory", what);
    if (regions_inside(r, start, end, KIND(BOOT_RESERVED), BOOT_RANGE_NOMAP))
        boot_fail("%s lies in memory that is reserved and not to be mapped", what);
    if (regions_inside(r, start, end, KIND(BOOT_RESERVED), 0))
        kprintf("pagoda: %s lies in reserved memory\n", what);
    if (regions_mark(r, start, end, KIND(BOOT_FREE) | KIND(BOOT_RESERVED), kind, 0) != wanted)
        boot_fail("%s lies outside memory or overlaps something else", what);
}

/* One line about a statement of the device tree that is not used as it stands. */
static void say_problem(const struct fdt_memory_item *item, const char *problem)
{
    kprintf("pagoda: device tree: %s: %#llx bytes at %#llx: %s\n", item->name,
            (unsigned long long)item->bytes, (unsigned long long)item->start, problem);
}

static _Noreturn void fail_without_memory(const struct fdt_memory_item *first)
{
    if (first->why)
        boot_fail("the device tree has no memory: %s: %s", first->name, first->why);
    boot_fail("the device tree has no memory");
}

/* A problem is said when it is known that there is memory: else it is why there is none. */
static void read_memory(void)
{
    struct fdt_memory_walk walk = {.tree = &boot.tree};
    struct fdt_memory_item item, first = {0};
    const char *problem;
    while (regions_read(&boot.regions, &walk, &item, &problem)) {
        if (item.says == FDT_SAYS_FATAL && boot.regions.count == 0)
            fail_without_memory(&first);
        if (item.says == FDT_SAYS_FATAL)
            boot_fail("the device tree's %s: %s", item.name, problem);
        if (problem && (boot.regions.count || first.why))
            say_problem(&item, problem);
        else if (problem)
            first = item;
    }
    if (regions_bytes(&boot.regions, BOOT_FREE) == 0)
        fail_without_memory(&first);
    if (first.why)
        say_problem(&first, first.why);
}

static void place_reservations(void)
{
    struct fdt_memory_walk walk = {.tree = &boot.tree, .placing = true};
    struct fdt_memory_item item;
    const char *problem;
    while (regions_place(&boot.regions, &walk, &item, &problem))
        if (problem)
            say_problem(&item, problem);
}

/* All enabled devices of a kind, by address, behind those that are there. */
static void add_devices(const char *compatible)
{
    unsigned first = boot.devices;
    uint64_t start, bytes;
    for (int32_t n = FDT_NONE; (n = fdt_next_compatible(&boot.tree, n, compatible)) != FDT_NONE;) {
        if (boot.devices == BOOT_DEVICES_MAX || !fdt_enabled(&boot.tree, n) ||
            !fdt_reg(&boot.tree, n, 0, &start, &bytes) || bytes == 0 ||
            start + bytes > boot.regions.region[0].start) /* memory_first_page */
            continue;
        unsigned at = boot.devices++;
        for (; at > first && boot.device[at - 1].start > start; at--)
            boot.device[at] = boot.device[at - 1];
        boot.device[at] = (struct region){
            .start = start & -PAGE_BYTES,
            .end = (start + bytes + PAGE_BYTES - 1) & -PAGE_BYTES,
            .kind = BOOT_DEVICE,
        };
    }
}

void boot_tree_read(paddr_t image_start, paddr_t image_end)
{
    read_chosen();
    const char *bad = options_read(&boot.options, boot.args);
    if (bad)
        boot_fail("boot argument not understood: %.*s", (int)strcspn(bad, " "), bad);
    if (boot.options.plain && boot.options.pager_kernel)
        boot_fail("messages=plain is for pager=user: a pager in the kernel gets no messages");
    messages_plain = boot.options.plain;
    read_memory();
    claim(image_start, image_end, BOOT_KERNEL, "the kernel image");
    claim(boot.tree_start, boot.tree_start + boot.tree.total_bytes, BOOT_DTB, "the device tree");
    if (boot.initrd_bytes)
        claim(boot.initrd_start, boot.initrd_start + boot.initrd_bytes, BOOT_INITRD, "the initrd");
    place_reservations();
    add_devices("ns16550a");
    add_devices("virtio,mmio");
    add_devices("google,goldfish-rtc");
    space_levels = boot.options.levels;
    space_user_end = 1UL << (PAGE_SHIFT + TABLE_SHIFT * space_levels - 1);
}

/* ---- memory ---- */

void boot_memory_limit(paddr_t limit)
{
    if (!boot.options.pager_kernel && space_user_end - SPACE_LINEAR_BASE < limit)
        limit = space_user_end - SPACE_LINEAR_BASE;
    uint64_t unused = regions_cut(&boot.regions, limit);
    if (unused)
        kprintf("pagoda: %llu MiB of memory lie beyond what this paging mode can hold: not used\n",
                (unsigned long long)(unused >> 20));
}

paddr_t boot_alloc(uint64_t pages)
{
    uint64_t bytes = pages << PAGE_SHIFT;
    paddr_t start = 0;
    for (unsigned i = 0; i < boot.regions.count && !start; i++)
        if (boot.regions.region[i].kind == BOOT_KERNEL)
            start =
                regions_find(&boot.regions, boot.regions.region[i].start, ~0UL, bytes, PAGE_BYTES);
    kassert(!boot.sealed);
    if (!start ||
        regions_mark(&boot.regions, start, start + bytes, KIND(BOOT_FREE), BOOT_KERNEL, 0) != bytes)
        boot_fail("not enough memory");
    memset(phys_to_virt(start), 0, bytes);
    return start;
}

/* The first page of [start, end) that does not answer, if all before it do, and all behind do not.
 */
static paddr_t memory_end(paddr_t start, paddr_t end)
{
    pfn_t good = start >> PAGE_SHIFT, bad = end >> PAGE_SHIFT;
    if (!arch_memory_answers(start))
        return start;
    while (bad - good > 1) {
        pfn_t middle = good + (bad - good) / 2;
        if (arch_memory_answers(middle << PAGE_SHIFT))
            good = middle;
        else
            bad = middle;
    }
    return bad << PAGE_SHIFT;
}

/* A device tree may promise more memory than there is: what ends in nothing is cut off. */
static void memory_probe(void)
{
    for (unsigned i = 0; i < boot.regions.count; i++) {
        struct region r = boot.regions.region[i];
        if (r.kind != BOOT_FREE || r.flags || arch_memory_answers(r.end - PAGE_BYTES))
            continue;
        paddr_t end = memory_end(r.start, r.end);
        kprintf("pagoda: no memory answers at %#llx..%#llx: not used\n", (unsigned long long)end,
                (unsigned long long)r.end - 1);
        (void)regions_mark(&boot.regions, end, r.end, KIND(BOOT_FREE), BOOT_RESERVED, 0);
    }
}

/* Blocks that have a page which user code may come to map are data; all others are pinned. */
static void blocks_open(paddr_t start, paddr_t end)
{
    for (uint64_t block = start >> BLOCK_SHIFT; block << BLOCK_SHIFT < end; block++)
        block_count[block] = 0;
}

static void blocks_make(void)
{
    paddr_t end = boot.regions.region[boot.regions.count - 1].end;
    for (unsigned i = 0; i < boot.devices; i++)
        end = boot.device[i].end > end ? boot.device[i].end : end;
    block_total = (end + BLOCK_BYTES - 1) >> BLOCK_SHIFT;
    memory_first_page = boot.regions.region[0].start >> PAGE_SHIFT;
    uint64_t bytes = block_total * sizeof *block_count;
    block_count = phys_to_virt(boot_alloc((bytes + PAGE_BYTES - 1) >> PAGE_SHIFT));
    for (uint64_t i = 0; i < block_total; i++)
        block_count[i] = BLOCK_PINNED;
    for (unsigned i = 0; i < arch_machine.harts; i++)
        harts[i]->blocks = block_count;
}

static void blocks_open_all(void)
{
    for (unsigned i = 0; i < boot.regions.count; i++) {
        const struct region *r = &boot.regions.region[i];
        if (r->kind == BOOT_FREE || r->kind == BOOT_INITRD || r->kind == BOOT_DTB)
            blocks_open(r->start, r->end);
    }
    for (unsigned i = 0; i < boot.devices; i++)
        blocks_open(boot.device[i].start, boot.device[i].end);
}

/* ---- harts ---- */

struct hart *boot_hart_make(unsigned index)
{
    uint64_t pages = (sizeof(struct hart) + PAGE_BYTES - 1) >> PAGE_SHIFT;
    struct hart *h = phys_to_virt(boot_alloc(pages));
    hart_setup(h, index, arch_machine.machine_id[index]);
    h->kernel_stack = arch_stack_make(h);
    harts[index] = h;
    return h;
}

/* Number harts in the order in which they come; one that does not come leaves no gap. */
static void harts_start(void)
{
    for (unsigned i = 1; i < arch_machine.harts; i++) {
        struct hart *h = harts[i];
        h->id = harts_online;
        harts[h->id] = h;
        bool started = arch_hart_start(h);
        uint64_t since = arch_time(), again = since;
        while (started && !__atomic_load_n(&h->online, __ATOMIC_ACQUIRE)) {
            if (arch_time() - since > HART_START_TICKS)
                boot_fail("hart %u was started and does not come", (unsigned)h->machine_id);
            /* It may have lost its way (start.S); the firmware refuses if it has not. */
            if (arch_time() - again > HART_AGAIN_TICKS) {
                arch_hart_start(h);
                again = arch_time();
            }
            arch_relax();
        }
        if (started)
            __atomic_store_n(&harts_online, harts_online + 1, __ATOMIC_RELEASE);
        else
            kprintf("pagoda: hart %u cannot be started\n", (unsigned)h->machine_id);
    }
}

/* ---- the whole ---- */

static void print_machine(void)
{
    static const struct {
        uint32_t feature;
        const char *name;
    } names[] = {
        {BOOT_HAS_SVNAPOT, " svnapot"}, {BOOT_HAS_SVPBMT, " svpbmt"},
        {BOOT_HAS_SVINVAL, " svinval"}, {BOOT_HAS_SSTC, " sstc"},
        {BOOT_HAS_ZICBOZ, " zicboz"},   {BOOT_HAS_SVADU, " svadu"},
        {BOOT_HAS_FP, " fp"},
    };
    char firmware[96], features[96] = "";
    const char *model = fdt_string(&boot.tree, fdt_root(&boot.tree), "model");
    arch_describe(firmware, sizeof firmware);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (arch_features & names[i].feature)
            strcat(features, names[i].name);
    kprintf("pagoda: %s, %s\n", model ? model : "unknown machine", firmware);
    kprintf("pagoda: paging sv%u, %u ASID bits, features%s\n", PAGE_SHIFT + 9 * space_levels,
            arch_asid_bits, *features ? features : " none");
}

static void print_end(void)
{
    kprintf("pagoda: %u harts, %llu MiB memory, %llu MiB free, pager %s\n", (unsigned)harts_online,
            (unsigned long long)((regions_bytes(&boot.regions, BOOT_FREE) +
                                  regions_bytes(&boot.regions, BOOT_KERNEL) +
                                  regions_bytes(&boot.regions, BOOT_INITRD) +
                                  regions_bytes(&boot.regions, BOOT_DTB)) >>
                                 20),
            (unsigned long long)(regions_bytes(&boot.regions, BOOT_FREE) >> 20),
            boot.options.pager_kernel ? "kernel" : "user");
}

_Noreturn void kernel_main(void)
{
    struct hart *h = harts[0];
    boot.tree.base = phys_to_virt(boot.tree_start); /* it was read at its physical address */
    h->online = 1;
    harts_online = 1;
    arch_hart_init();
    print_machine();

    for (unsigned i = 0; i < boot.devices; i++)
        arch_map_device(boot.device[i].start, boot.device[i].end - boot.device[i].start);
    for (unsigned i = 1; i < arch_machine.harts; i++)
        boot_hart_make(i);
    memory_probe();
    blocks_make();
    server_prepare();
    if (boot.regions.forgotten)
        kprintf("pagoda: memory has too many separate parts: %llu KiB in the smallest not used\n",
                (unsigned long long)(boot.regions.forgotten >> 10));
    blocks_open_all();
    harts_start();
    print_end();
    kernel_hand_over(server_start(), boot.options.pager_kernel);
}
