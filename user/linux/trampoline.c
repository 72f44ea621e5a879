/*
 * Where signal handlers are called from: a page of code in every process that needs it, mapped from
 * this program's own file in the initrd (the code is in entry.S).
 */
#include "user/linux/signal.h"

#include <string.h>

#include "lib/elf.h"
#include "user/linux/fs.h"
#include "user/linux/mmcall.h"
#include "user/linux/space.h"

#define IMAGE_PATH "/sbin/linux"
#define PAGE_BYTES 4096UL

#define PROT_READ_EXEC 0x5
#define MAP_PRIVATE    0x2

extern const char signal_trampoline[], signal_return[];

/* Offset of the trampoline's page in the image; 0 if it is not there as it should be. */
static uint64_t offset_in_image(const void *file, uint64_t bytes)
{
    uint64_t address = (uint64_t)signal_trampoline;
    struct elf_image image;
    struct elf_segment segment;
    unsigned index = 0;

    if (elf_open(&image, file, bytes) != ELF_OK)
        return 0;
    while (elf_next_load(&image, &index, &segment)) {
        uint64_t inside = address - segment.address;
        if (inside >= segment.file_bytes || segment.file_bytes - inside < PAGE_BYTES)
            continue;
        uint64_t offset = segment.file_offset + inside;
        bool same = memcmp((const char *)file + offset, signal_trampoline, PAGE_BYTES) == 0;
        return same && offset % PAGE_BYTES == 0 ? offset : 0;
    }
    return 0;
}

uint64_t signal_return_offset(void)
{
    return (uint64_t)(signal_return - signal_trampoline);
}

uint64_t trampoline_address(struct space *space)
{
    struct place root = fs_root(), image;

    if (space->trampoline)
        return space->trampoline;
    if (fs_walk(&root, IMAGE_PATH, strlen(IMAGE_PATH), FS_FOLLOW, 0, &image) ||
        image.node->kind != NODE_FILE)
        return 0;
    struct mm_map_file map = {
        .mm = space->mm,
        .bytes = PAGE_BYTES,
        .prot = PROT_READ_EXEC,
        .flags = MAP_PRIVATE,
        .file_start = image.node->start,
        .file_bytes = image.node->bytes,
        .offset = offset_in_image(fs_data(image.node), image.node->bytes),
        .name = (uint64_t) "[signal]",
    };
    if (map.offset == 0)
        return 0;
    long address = mmcall_map_file(&map);
    if (address <= 0)
        return 0;
    space->trampoline = (uint64_t)address;
    return space->trampoline;
}
