/*
 * The process personality's process: /sbin/linux of the archive, with the capabilities and pages
 * that pagoda/mm.h promises.
 */
#include "lib/cpio.h"
#include "lib/fdt.h"
#include "mmserver/core/device.h"
#include "mmserver/core/exec.h"
#include "mmserver/core/object.h"
#include "mmserver/core/oom.h"
#include "mmserver/core/kobj.h"
#include "mmserver/core/limit.h"
#include "mmserver/core/map.h"
#include "mmserver/core/pt.h"
#include "mmserver/core/text.h"
#include "mmserver/server/server.h"
#include <string.h>

#define PATH      "sbin/linux"
#define ALL       (RIGHT_ALL | RIGHT_COPY_ON)
#define UART_NODE "ns16550a"

uint32_t personality_endpoint, personality_table;

static uint32_t personality_main; /* Thread capability */

struct uart {
    bool found;
    uint32_t slot; /* Memory capability of its registers */
    uint64_t first_page, pages;
    uint32_t interrupt;
};

static bool complain(const char *what)
{
    text_log("personality: %s", what);
    return false;
}

static void *boot_pointer(uint64_t physical)
{
    return (void *)(uintptr_t)(place_linear_base + physical);
}

/* The first UART of the device tree whose registers were given to us. */
static struct uart uart_find(const struct boot_info *info)
{
    struct uart uart = {.found = false};
    uint64_t address, bytes;
    struct fdt tree;

    if (fdt_open(&tree, boot_pointer(info->dtb_start), info->dtb_bytes) != FDT_OK)
        return uart;
    int32_t node = fdt_next_compatible(&tree, FDT_NONE, UART_NODE);
    if (node == FDT_NONE || !fdt_reg(&tree, node, 0, &address, &bytes) ||
        !fdt_cell(&tree, node, "interrupts", 0, &uart.interrupt))
        return uart;
    for (uint32_t i = 0; i < info->ranges; i++) {
        const struct boot_range *r = &info->range[i];

        if (r->kind != BOOT_DEVICE || (address >> PAGE_SHIFT) - r->first_page >= r->pages)
            continue;
        uart.found = true;
        device_claim(address);
        uart.slot = SLOT_MEMORY + i;
        uart.first_page = r->first_page;
        uart.pages = r->pages;
        break;
    }
    return uart;
}

/* A VMA for something that is put there at once and never faults. */
static bool window_make(struct worker *w, struct mm *mm, vaddr_t at, uint64_t pages, uint64_t flags)
{
    mm_lock(mm);
    long error =
        map_place_locked(w, mm, at, at + (pages << PAGE_SHIFT), flags | VM_DEVICE, NULL, 0);
    if (!error)
        error = pt_ensure_range(w, mm, at, at + (pages << PAGE_SHIFT));
    mm_unlock(mm);
    return !error;
}

static bool uart_map(struct worker *w, struct mm *mm, const struct uart *uart)
{
    if (!window_make(w, mm, LINUX_UART_ADDRESS, uart->pages, VM_READ | VM_WRITE))
        return complain("no memory for the UART's window");
    mm_lock(mm);
    struct batch_op *op = op_add(w, mm, BATCH_MAP, LINUX_UART_ADDRESS);
    op->count = (uint32_t)uart->pages;
    op->memory = uart->slot;
    op->entry = entry_make(uart->first_page, ENTRY_ALWAYS | ENTRY_W | ENTRY_D | device_bits(true));
    long error = op_try(w);
    mm_unlock(mm);
    return error ? complain("the UART cannot be mapped") : true;
}

static bool start_page_map(struct worker *w, struct mm *mm, const struct boot_info *info,
                           const struct uart *uart)
{
    pfn_t pfn = page_alloc_zeroed(w);

    if (!pfn || !window_make(w, mm, LINUX_START_ADDRESS, 1, VM_READ))
        return complain("no memory for its start page");
    page_of(pfn)->state = PAGE_SERVER;
    struct linux_start *start = page_pointer(pfn);
    *start = (struct linux_start){
        .initrd_bytes = info->initrd_bytes,
        .harts = info->harts,
        .timebase_hz = info->timebase_hz,
        .uart_bytes = uart->found ? uart->pages << PAGE_SHIFT : 0,
        .uart_interrupt = uart->interrupt,
        .memory_bytes = phys.total_pages << PAGE_SHIFT,
        .rng_seed = info->rng_seed,
        .real_ns = device_clock_ns(w),
    };
    memcpy(start->args, info->args, sizeof start->args - 1);
    mm_lock(mm);
    long error = pt_map(w, mm, LINUX_START_ADDRESS, entry_make(pfn, ENTRY_ALWAYS));
    mm_unlock(mm);
    return error ? complain("its start page cannot be mapped") : true;
}

static bool archive_map(struct worker *w, struct mm *mm, const struct boot_info *info)
{
    struct object *file = object_of_archive(w, 0, info->initrd_bytes, "initrd");

    if (!file)
        return complain("no memory for the archive's index");
    mm_lock(mm);
    long error =
        map_place_locked(w, mm, LINUX_INITRD_ADDRESS,
                         LINUX_INITRD_ADDRESS + PAGE_UP(info->initrd_bytes), VM_READ, file, 0);
    mm_unlock(mm);
    object_put(w, file);
    return error ? complain("the archive cannot be mapped") : true;
}

static bool image_load(struct worker *w, struct mm *mm, const struct boot_info *info,
                       struct exec_request *r)
{
    static const char arguments[] = "linux";
    struct cpio_entry entry;

    if (!info->initrd_bytes ||
        cpio_find(boot_pointer(info->initrd_start), info->initrd_bytes, PATH, &entry) != 1)
        return complain(PATH " is not in the archive");
    struct object *file = object_of_archive(w, entry.data_offset, entry.bytes, "/" PATH);
    if (!file)
        return complain("no memory for its file");
    *r = (struct exec_request){.strings = (uintptr_t)arguments,
                               .strings_bytes = sizeof arguments,
                               .argc = 1,
                               .file = file,
                               .path = "/" PATH};
    long error = exec_load(w, mm, r);
    object_put(w, file);
    return error ? complain(PATH " cannot be loaded") : true;
}

static bool give(uint32_t source, uint32_t index, uint64_t rights)
{
    return !place_cap_copy(source, personality_table, index, rights, 0, 0);
}

static bool objects_give(struct worker *w, struct mm *mm, const struct uart *uart)
{
    uint32_t notification;
    pfn_t page;

    if (kobj_create(w, CAP_TABLE, LINUX_TABLE_PAGES, &personality_table, &page) ||
        kobj_create(w, CAP_ENDPOINT, 0, &personality_endpoint, &page) ||
        kobj_create(w, CAP_NOTIFICATION, 0, &notification, &page))
        return complain("no memory for its objects");
    mm->native_table_slot = personality_table;
    mm->native_table_entries = LINUX_TABLE_PAGES * 64;
    bool good = give(personality_table, LINUX_SLOT_TABLE, ALL) &&
                give(mm->space_slot, LINUX_SLOT_SPACE, RIGHT_COPY | RIGHT_COPY_ON) &&
                give(personality_endpoint, LINUX_SLOT_ENDPOINT, ALL) &&
                give(SLOT_KERNEL, LINUX_SLOT_KERNEL, ALL) &&
                give(notification, LINUX_SLOT_NOTIFICATION, ALL);
    if (good && uart->found)
        good = !place_cap_copy(uart->slot, personality_table, LINUX_SLOT_UART_MEMORY, ALL, 0,
                               uart->pages) &&
               give(SLOT_INTERRUPT + uart->interrupt, LINUX_SLOT_UART_INTERRUPT, ALL);
    return good ? true : complain("a capability cannot be given to it");
}

static bool thread_make(struct worker *w, struct mm *mm, uint64_t hart,
                        const struct user_regs *regs, uint32_t *slot)
{
    const struct mm_thread wanted = {
        .hart = hart, .priority = MM_PRIORITY_PERSONALITY, .regs = *regs};
    const struct client_route none = {0, 0};
    struct client *made;

    if (client_create(w, mm, &wanted, &none, &made))
        return complain("no memory for its threads");
    made->personality = true;
    made->has_table = true;
    *slot = made->slot;
    return !place_thread_set(made->slot, THREAD_TABLE, personality_table, 0);
}

static bool threads_make(struct worker *w, struct mm *mm, const struct boot_info *info,
                         const struct exec_request *r)
{
    const struct user_regs none = {.x = {0}}, first = {.x = {[0] = r->entry, [2] = r->sp}};
    uint32_t slot;

    for (uint32_t hart = 0; hart < info->harts; hart++) {
        if (!thread_make(w, mm, hart, &none, &slot) || !give(slot, LINUX_SLOT_WORKER + hart, ALL))
            return complain("a worker cannot be given to it");
    }
    return thread_make(w, mm, info->boot_hart, &first, &personality_main);
}

bool personality_make(struct worker *w, const struct boot_info *info)
{
    struct uart uart = uart_find(info);
    struct exec_request r;
    struct mm *mm = mm_create(w);

    if (!mm)
        return complain("no memory for its address space");
    mm_assert(!limit_set(mm, MM_LIMIT_OOM_ADJUST, (uint64_t)OOM_ADJUST_NEVER));
    return image_load(w, mm, info, &r) && archive_map(w, mm, info) &&
           start_page_map(w, mm, info, &uart) && (!uart.found || uart_map(w, mm, &uart)) &&
           objects_give(w, mm, &uart) && threads_make(w, mm, info, &r);
}

bool personality_start(void)
{
    return !place_thread_start(personality_main);
}
