/* Memory that can be mapped twice: a file without a name. See own_space.h. */
#define _GNU_SOURCE
#include "mmserver/place/host/own_space.h"
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define OWN_START 0x400000000UL
#define OWN_BYTES (1UL << 30)

vaddr_t place_own_start = OWN_START, place_own_end = OWN_START + OWN_BYTES;
uint64_t place_own_bias;

static int memory_file = -1, device_file = -1;

static int file_make(uint64_t bytes)
{
    int file = memfd_create("machine", MFD_CLOEXEC);

    mm_assert(file >= 0 && !ftruncate(file, (off_t)bytes));
    return file;
}

static void window_make(void)
{
    void *window =
        mmap(NULL, OWN_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    mm_assert(window != MAP_FAILED);
    place_own_bias = (uintptr_t)window - OWN_START;
}

char *own_memory_make(uint64_t bytes)
{
    memory_file = file_make(bytes);
    device_file = file_make(SIM_DEVICE_PAGES * PAGE_BYTES);
    window_make();
    /* Twice the alignment is reserved, so that an aligned part of it exists. */
    char *room = mmap(NULL, bytes + BLOCK_BYTES, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    mm_assert(room != MAP_FAILED);
    char *memory = (char *)ROUND_UP((uintptr_t)room, BLOCK_BYTES);
    memory = mmap(memory, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE,
                  memory_file, 0);
    mm_assert(memory != MAP_FAILED);
    return memory;
}

static void show_page(vaddr_t address, uint64_t entry)
{
    void *at = (void *)(uintptr_t)(address + place_own_bias);
    pfn_t page = entry_page(entry);
    bool device = !sim_page_is_there(page);
    int prot = !(entry & ENTRY_V) ? PROT_NONE
               : entry & ENTRY_W  ? PROT_READ | PROT_WRITE
                                  : PROT_READ;
    int flags = prot == PROT_NONE ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
    int file = prot == PROT_NONE ? -1 : device ? device_file : memory_file;
    uint64_t offset = prot == PROT_NONE ? 0 : page - (device ? SIM_DEVICE_PAGE : sim.first);

    at = mmap(at, PAGE_BYTES, prot, flags | MAP_FIXED, file, (off_t)(offset << PAGE_SHIFT));
    mm_assert(at != MAP_FAILED);
}

void own_space_show(struct sim_object *space, const struct batch_page *page, uint64_t done)
{
    for (uint64_t i = 0; i < done; i++) {
        const struct batch_op *op = &page->op[i];
        uint64_t pages = (uint64_t)op->count << (TABLE_SHIFT * op->level);

        if (op->code != BATCH_MAP && op->code != BATCH_UNMAP)
            continue;
        for (uint64_t p = 0; p < pages; p++) {
            vaddr_t at = op->address + (p << PAGE_SHIFT);

            show_page(at, sim_leaf(space, at));
        }
    }
}
