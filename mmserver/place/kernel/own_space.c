/* The server's own space in the kernel; see own_space.h. */
#include "mmserver/place/kernel/own_space.h"
#include "arch/arch.h"
#include "kernel/hart.h"
#include "mmserver/core/assert.h"
#include "mmserver/core/worker.h"
#include <string.h>

/* What the kernel's own leaves have in place of a client's. */
static uint64_t kernel_leaf(uint64_t entry)
{
    mm_assert(!(entry & ENTRY_X));
    return (entry & ~ENTRY_U) | ENTRY_G;
}

static long table_install(const struct batch_op *op)
{
    if (op->level > 1)
        return -ERR_MAPPED; /* made at boot, and its range may begin before the window */
    uint64_t *entry = arch_window_entry(op->address, op->level);

    if (*entry)
        return -ERR_MAPPED;
    memset(page_pointer(entry_page(op->entry)), 0, PAGE_BYTES);
    *entry = entry_make(entry_page(op->entry), ENTRY_V);
    return 0;
}

static void table_remove(const struct batch_op *op)
{
    uint64_t *entry = arch_window_entry(op->address, op->level);

    mm_assert(op->level == 1 && entry_is_table(*entry));
    const uint64_t *table = page_pointer(entry_page(*entry));
    for (unsigned i = 0; i < TABLE_ENTRIES; i++)
        mm_assert(!table[i]);
    *entry = 0;
}

static void map(const struct batch_op *op)
{
    uint64_t *entry = arch_window_entry(op->address, op->level);
    uint64_t step = 1UL << (TABLE_SHIFT * op->level) << ENTRY_PAGE_SHIFT;

    for (uint32_t i = 0; i < op->count; i++) {
        mm_assert(!entry[i]);
        entry[i] = kernel_leaf(op->entry) + i * step;
    }
}

static void unmap(const struct batch_op *op)
{
    memset(arch_window_entry(op->address, op->level), 0, op->count * sizeof(uint64_t));
}

/* No hart goes on with what was taken away. Few and large batches: all is fenced. */
static void fence(void)
{
    uint64_t others = ((1UL << harts_online) - 1) & ~(1UL << this_hart()->id);

    arch_fence_all();
    if (others)
        arch_fence_all_remote(others);
}

long own_space_batch(uint64_t count, long *stopped)
{
    struct worker *w = &workers[this_hart()->id];
    bool removed = false;
    long error = 0;
    uint64_t done;

    for (done = 0; done < count && !error; done += !error) {
        const struct batch_op *op = &w->ops->op[done];

        switch (op->code) {
        case BATCH_TABLE:
            error = table_install(op);
            break;
        case BATCH_TABLE_REMOVE:
            table_remove(op);
            removed = true;
            break;
        case BATCH_MAP:
            map(op);
            break;
        case BATCH_UNMAP:
            unmap(op);
            removed = true;
            break;
        default:
            mm_assert(!"an operation that the server's own space does not need");
        }
    }
    if (removed)
        fence();
    else
        arch_fence_all(); /* what this hart may have remembered as missing */
    *stopped = error;
    return (long)done;
}
