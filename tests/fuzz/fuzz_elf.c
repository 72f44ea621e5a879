/* Executables from arbitrary bytes: what elf_open() accepts keeps everything that elf.h promises.
 */
#include "lib/elf.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct elf_image *image)
{
    struct elf_segment s;
    uint64_t end = 0;
    bool entry = false;
    for (unsigned i = 0; elf_next_load(image, &i, &s);) {
        if (s.address < end || s.address + s.memory_bytes < s.address ||
            s.file_bytes > s.memory_bytes || s.file_offset > image->file_bytes ||
            s.file_bytes > image->file_bytes - s.file_offset ||
            (s.address - s.file_offset) % ELF_PAGE_BYTES)
            abort();
        end = s.address + s.memory_bytes;
        entry |= (s.flags & ELF_FLAG_X) && image->entry >= s.address && image->entry < end;
        for (uint64_t at = 0; at < s.file_bytes; at += 64)
            (void)*(volatile const uint8_t *)(image->file + s.file_offset + at);
    }
    if (!entry || end != image->end)
        abort();
    if (elf_tls(image, &s) && s.file_bytes > image->file_bytes)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct elf_image image;
    uint8_t *copy = malloc(size ? size : 1);
    memcpy(copy, data, size);
    if (elf_open(&image, copy, size) == ELF_OK)
        check(&image);
    free(copy);
    return 0;
}
