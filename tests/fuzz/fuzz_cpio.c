/* Archives from arbitrary bytes: every entry lies in the archive, and reading always comes to an
 * end. */
#include "lib/cpio.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cpio_entry e;
    size_t position = 0, before;
    uint8_t *copy = malloc(size ? size : 1);
    memcpy(copy, data, size);
    do {
        before = position;
        int result = cpio_next(copy, size, &position, &e);
        if (result <= 0)
            break;
        if (e.data < copy || e.data + e.bytes > copy + size || e.data != copy + e.data_offset)
            abort();
        if ((const uint8_t *)e.name + strlen(e.name) >= copy + size || position <= before)
            abort();
        for (uint64_t i = 0; i < e.bytes; i += 16)
            (void)*(volatile const uint8_t *)(e.data + i);
    } while (1);
    (void)cpio_find(copy, size, "/sbin/mmserver", &e);
    free(copy);
    return 0;
}
