/*
 * The memory server's start: its objects, its capabilities, what it is told, and for pager=user its
 * image and address space. Boot hart only. Everything stands in memory that stays the kernel's, so
 * nothing of it is counted and nothing of it can be taken apart.
 *
 * The space of a server in user mode:
 *   its image, as linked             4 KiB pages with the segments' rights
 *   SPACE_LINEAR_BASE - 1 page       struct boot_info, read-only
 *   SPACE_LINEAR_BASE + physical     all free memory read-write, initrd and device tree read-only;
 *                                    2 MiB leaves where whole blocks are free, else 4 KiB
 */
#include "kernel/boot.h"
#include "arch/arch.h"
#include "kernel/assert.h"
#include "kernel/block.h"
#include "kernel/cap.h"
#include "kernel/ipc.h"
#include "kernel/log.h"
#include "kernel/pager_hook.h"
#include "kernel/sched.h"
#include "kernel/space.h"
#include "lib/cpio.h"
#include "lib/elf.h"

#include <string.h>

#define SERVER_PATH     "sbin/mmserver"
#define SERVER_TABLE    64 /* pages: 4096 capabilities */
#define SERVER_PRIORITY PRIORITY_MAX
#define INFO_ADDRESS    (SPACE_LINEAR_BASE - PAGE_BYTES)
#define ALL             (RIGHT_ALL | RIGHT_COPY_ON)
#define FREE_RIGHTS     (RIGHT_WRITE | RIGHT_EXEC | RIGHT_KEEP | RIGHT_COPY_ON)
#define MAP_READ        ENTRY_ALWAYS
#define MAP_WRITE       (ENTRY_ALWAYS | ENTRY_W | ENTRY_D)

_Static_assert(SERVER_TABLE <= TABLE_PAGES_MAX, "the server's table has a legal size");
_Static_assert(BOOT_DEVICES_MAX < BOOT_RANGES_MAX &&
                   SLOT_MEMORY + BOOT_RANGES_MAX <= SLOT_INTERRUPT,
               "ranges have room");
_Static_assert(sizeof(struct boot_info) <= PAGE_BYTES, "boot info is one page");

static struct {
    struct elf_image image;
    paddr_t image_pages; /* memory for the segments, in their order */
    paddr_t tables;      /* zeroed pages for page tables: next, */
    paddr_t tables_end;  /* and end */
    struct boot_info *info;
    struct table *table;
    struct thread *thread;
    struct endpoint *endpoint;
    struct space *space; /* NULL in the kernel placement */
} server;

/* ---- taking memory ---- */

static void open_image(void)
{
    struct cpio_entry file;
    if (boot.initrd_bytes == 0)
        boot_fail("there is no initrd, so no memory server");
    int result = cpio_find(phys_to_virt(boot.initrd_start), boot.initrd_bytes, SERVER_PATH, &file);
    if (result < 0)
        boot_fail("initrd: %s", cpio_error_text(result));
    if (result == 0)
        boot_fail("initrd: it has no " SERVER_PATH);
    int error = elf_open(&server.image, file.data, file.bytes);
    if (error)
        boot_fail(SERVER_PATH ": %s", elf_error_text(error));
    if (server.image.dynamic || server.image.start == 0 || server.image.end > INFO_ADDRESS)
        boot_fail(SERVER_PATH ": it is not linked at an address that it can be given");
}

static uint64_t pages_of(vaddr_t start, uint64_t bytes)
{
    return ((start + bytes + PAGE_BYTES - 1) >> PAGE_SHIFT) - (start >> PAGE_SHIFT);
}

static uint64_t image_page_count(void)
{
    struct elf_segment s;
    uint64_t pages = 0, end_page = 0;
    for (unsigned i = 0; elf_next_load(&server.image, &i, &s);) {
        if (s.address >> PAGE_SHIFT < end_page)
            boot_fail(SERVER_PATH ": two segments share a page");
        pages += pages_of(s.address, s.memory_bytes);
        end_page = (s.address >> PAGE_SHIFT) + pages_of(s.address, s.memory_bytes);
    }
    return pages;
}

/* Tables for a mapping of this size with small leaves only at its ragged ends: never fewer than
 * needed, at every level. */
static uint64_t tables_for(uint64_t bytes)
{
    uint64_t tables = 2;
    for (unsigned shift = BLOCK_SHIFT + TABLE_SHIFT; shift < 57; shift += TABLE_SHIFT)
        tables += (bytes >> shift) + 2;
    return tables;
}

static void reserve_tables(uint64_t image_pages)
{
    uint64_t tables = tables_for(PAGE_BYTES) + tables_for(0) + image_pages / TABLE_ENTRIES;
    for (unsigned i = 0; i < boot.regions.count; i++)
        tables += tables_for(boot.regions.region[i].end - boot.regions.region[i].start);
    /* Taking them may split one free region more; parts of the kernel's image will be free. */
    tables += 2 * tables_for(0) + tables_for(arch_machine.image_bytes);
    server.tables = boot_alloc(tables);
    server.tables_end = server.tables + (tables << PAGE_SHIFT);
}

/* What only the boot needs is free as soon as the server runs; nothing more is allocated now. */
static void give_boot_only(void)
{
    paddr_t start, end;
    for (unsigned i = 0; arch_boot_only(i, !boot.options.pager_kernel, &start, &end); i++)
        (void)regions_mark(&boot.regions, start, end, 1u << BOOT_KERNEL, BOOT_FREE, 0);
}

/* Nor does the server need its own start for long. */
static void give_startup(void)
{
    struct elf_segment s;
    paddr_t at = server.image_pages;
    for (unsigned i = 0; elf_next_load(&server.image, &i, &s);) {
        paddr_t end = at + (pages_of(s.address, s.memory_bytes) << PAGE_SHIFT);
        if (s.flags & ELF_FLAG_STARTUP)
            (void)regions_mark(&boot.regions, at, end, 1u << BOOT_KERNEL, BOOT_FREE,
                               BOOT_RANGE_STARTUP);
        at = end;
    }
}

void server_prepare(void)
{
    bool user = !boot.options.pager_kernel;
    if (!user && !pager_start)
        boot_fail("pager=kernel: this kernel was linked without a memory server");
    if (user)
        open_image();
    server.info = phys_to_virt(boot_alloc(1));
    server.table = phys_to_virt(boot_alloc(1 + SERVER_TABLE));
    server.thread = phys_to_virt(boot_alloc(1));
    server.endpoint = phys_to_virt(boot_alloc(1));
    if (user) {
        uint64_t pages = image_page_count();
        server.image_pages = boot_alloc(pages);
        server.space = phys_to_virt(boot_alloc(2));
        reserve_tables(pages);
    }
    give_boot_only();
    if (user)
        give_startup();
    regions_limit(&boot.regions, BOOT_RANGES_MAX - boot.devices);
    boot.sealed = true;
}

/* ---- the address space of a server in user mode ---- */

static uint64_t *slot_for(vaddr_t address, unsigned level)
{
    uint64_t *table = server.space->root;
    for (unsigned l = space_levels - 1; l > level; l--) {
        uint64_t *entry = &table[address >> (PAGE_SHIFT + TABLE_SHIFT * l) & (TABLE_ENTRIES - 1)];
        if (*entry == 0) {
            kassert(server.tables < server.tables_end);
            *entry = entry_make(server.tables >> PAGE_SHIFT, ENTRY_V);
            server.tables += PAGE_BYTES;
        }
        kassert(entry_is_table(*entry));
        table = page_to_virt(entry_page(*entry));
    }
    return &table[address >> (PAGE_SHIFT + TABLE_SHIFT * level) & (TABLE_ENTRIES - 1)];
}

static void map(vaddr_t address, paddr_t start, paddr_t end, uint64_t bits)
{
    while (start < end) {
        bool block = start % BLOCK_BYTES == 0 && end - start >= BLOCK_BYTES;
        uint64_t bytes = block ? BLOCK_BYTES : PAGE_BYTES;
        uint64_t *slot = slot_for(address, block);
        kassert(*slot == 0);
        *slot = entry_make(start >> PAGE_SHIFT, bits);
        start += bytes;
        address += bytes;
    }
}

static void map_linear(void)
{
    for (unsigned i = 0; i < boot.regions.count; i++) {
        const struct region *r = &boot.regions.region[i];
        if (r->kind == BOOT_FREE)
            map(SPACE_LINEAR_BASE + r->start, r->start, r->end, MAP_WRITE);
        else if (r->kind == BOOT_INITRD || r->kind == BOOT_DTB)
            map(SPACE_LINEAR_BASE + r->start, r->start, r->end, MAP_READ);
    }
    server.space->linear_end = SPACE_LINEAR_BASE + (block_total << BLOCK_SHIFT);
}

/* A page of the server's own that it may unmap by a batch later: counted as any mapping is. */
static void map_counted(vaddr_t address, paddr_t page, uint64_t bits)
{
    map(address, page, page + PAGE_BYTES, bits);
    block_count[page >> BLOCK_SHIFT]++;
}

static void map_image(void)
{
    struct elf_segment s;
    paddr_t at = server.image_pages;
    for (unsigned i = 0; elf_next_load(&server.image, &i, &s);) {
        paddr_t end = at + (pages_of(s.address, s.memory_bytes) << PAGE_SHIFT);
        uint8_t *to = phys_to_virt(at + s.address % PAGE_BYTES);
        memcpy(to, server.image.file + s.file_offset, s.file_bytes);
        uint64_t bits = s.flags & ELF_FLAG_W ? MAP_WRITE : MAP_READ;
        bits |= s.flags & ELF_FLAG_X ? ENTRY_X : 0;
        for (vaddr_t va = s.address & -PAGE_BYTES; at < end; va += PAGE_BYTES, at += PAGE_BYTES)
            map_counted(va, at, bits);
    }
}

static void make_space(void)
{
    struct space *s = server.space;
    space_init(s, virt_to_page(s), virt_to_page(s) + 1);
    map_image();
    paddr_t info = virt_to_phys(server.info);
    map_counted(INFO_ADDRESS, info, MAP_READ);
    map_linear();
    space_server = s;
    server.thread->space = s;
    TAILQ_INSERT_TAIL(&s->threads, server.thread, mates);
    s->thread_count = 1;
}

/* ---- what it is told and given ---- */

static void add_range(const struct region *r)
{
    struct boot_info *info = server.info;
    struct boot_range *range = &info->range[info->ranges];
    struct cap *c = &server.table->caps[SLOT_MEMORY + info->ranges];
    uint8_t rights = r->kind == BOOT_FREE     ? FREE_RIGHTS
                     : r->kind == BOOT_DEVICE ? RIGHT_IO | RIGHT_WRITE | RIGHT_COPY_ON
                     : r->kind == BOOT_INITRD ? RIGHT_EXEC | RIGHT_COPY_ON
                                              : 0;
    *range = (struct boot_range){
        .first_page = r->start >> PAGE_SHIFT,
        .pages = (r->end - r->start) >> PAGE_SHIFT,
        .kind = r->kind,
        .node = r->node,
        .flags = r->flags,
    };
    if (rights)
        cap_fill_memory(c, NULL, range->first_page, range->pages, rights, r->node);
    info->ranges++;
}

/* First what comes with a capability, for which there is room; then what is only told. */
static void give_memory(void)
{
    for (unsigned told = 0; told < 2; told++) {
        for (unsigned i = 0; i < boot.regions.count; i++) {
            const struct region *r = &boot.regions.region[i];
            if (told == (r->kind == BOOT_KERNEL || r->kind == BOOT_RESERVED) &&
                server.info->ranges < BOOT_RANGES_MAX)
                add_range(r);
        }
        for (unsigned i = 0; i < boot.devices && !told; i++)
            add_range(&boot.device[i]);
    }
}

static void fill_info(void)
{
    struct boot_info *info = server.info;
    info->magic = BOOT_MAGIC;
    info->size_bytes = sizeof *info;
    info->levels = space_levels;
    info->linear_base = server.space ? SPACE_LINEAR_BASE : arch_linear_base;
    info->user_end = space_user_end;
    info->timebase_hz = arch_timebase_hz;
    info->harts = harts_online;
    for (unsigned i = 0; i < harts_online; i++)
        info->hart_machine_id[i] = harts[i]->machine_id;
    info->boot_hart = 0;
    info->features = arch_features;
    info->initrd_start = boot.initrd_bytes ? boot.initrd_start : 0;
    info->initrd_bytes = boot.initrd_bytes;
    info->dtb_start = boot.tree_start;
    info->dtb_bytes = boot.tree.total_bytes;
    info->table_entries = (uint32_t)server.table->size;
    info->asid_bits = arch_asid_bits;
    info->kernel_text_bytes = arch_machine.kernel_text_bytes;
    info->rng_seed = boot.rng_seed;
    strcpy(info->args, boot.args);
}

static void give(unsigned slot, enum cap_type type, void *object, uint8_t rights)
{
    cap_fill_object(&server.table->caps[slot], NULL, type, object, 0, rights, false);
}

static void make_objects(void)
{
    struct table *table = server.table;
    struct thread *t = server.thread;
    cap_table_init(table, (struct cap *)((char *)table + PAGE_BYTES), SERVER_TABLE * CAPS_PER_PAGE,
                   0);
    thread_init(t, harts[0]);
    t->priority = SERVER_PRIORITY;
    t->table = table;
    t->table_caps = table->caps;
    t->table_size = table->size;
    table->users = 1;
    endpoint_init(server.endpoint);

    give(SLOT_TABLE, CAP_TABLE, table, ALL);
    if (server.space)
        give(SLOT_SPACE, CAP_SPACE, server.space, ALL);
    give(SLOT_THREAD, CAP_THREAD, t, ALL);
    give(SLOT_KERNEL, CAP_KERNEL, NULL, ALL);
    give(SLOT_ENDPOINT, CAP_ENDPOINT, server.endpoint, ALL);
    for (unsigned source = 1; source < INTERRUPTS_MAX; source++) {
        interrupts[source].source = source;
        if (arch_source_exists(source))
            give(SLOT_INTERRUPT + source, CAP_INTERRUPT, &interrupts[source], ALL);
    }
}

const struct boot_info *server_start(void)
{
    struct hart *h = this_hart();
    struct thread *t = server.thread;
    kernel_lock();
    make_objects();
    fill_info();
    give_memory();
    if (server.space) {
        make_space();
        t->x[0] = server.image.entry;
        t->x[10] = INFO_ADDRESS;
        arch_fence_code();
        sched_ready(t);
    } else {
        t->state = THREAD_RUNNING;
        h->pager_thread = t;
    }
    kernel_unlock();
    return server.info;
}
