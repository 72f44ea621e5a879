/* See space_world.h. */
#include "space_world.h"
#include "ktap.h"

#include <string.h>

struct space_world sw;

void space_world_start(const struct machine_options *options, unsigned spaces)
{
    world_start(options);
    sw = (struct space_world){.table_next = 1, .data = PAGES_PER_BLOCK};
    EXPECT_EQ(WORLD_CALL(call_block_class, SLOT_MEMORY, 0, BLOCK_TABLES), 0);
    for (unsigned n = 0; n < spaces; n++) {
        EXPECT_EQ(
            WORLD_CALL(call_object_create, SLOT_MEMORY, sw.table_next, CAP_SPACE, 0, SPACE_SLOT(n)),
            0);
        sw.space[n] = world_cap(SPACE_SLOT(n))->object;
        sw.table_next += 2;
    }
}

long op_on(unsigned n, struct batch_op op)
{
    long error;
    operation_page()->op[0] = op;
    long performed = batch_on(n, 1, &error);
    EXPECT_EQ(performed, error == 0);
    return error;
}

long batch_on(unsigned n, unsigned count, long *error)
{
    struct batch_page *page = operation_page();
    for (unsigned i = 0; i < count; i++)
        page->op[i].done = ~0u;
    long performed = WORLD_CALL(call_batch, SPACE_SLOT(n), count);
    *error = performed < 0 ? performed : (long)world_out[0];
    if (performed >= 0 && count)
        sw.done = page->op[performed < count ? performed : count - 1].done;
    return performed;
}

pfn_t data_page(uint64_t i)
{
    EXPECT(sw.data + i < world.pages);
    return world.first + sw.data + i;
}

pfn_t table_page(void)
{
    EXPECT(sw.table_next < PAGES_PER_BLOCK);
    return world.first + sw.table_next++;
}

struct batch_op op_map(vaddr_t address, uint32_t count, pfn_t page, uint64_t bits)
{
    return (struct batch_op){.code = BATCH_MAP,
                             .count = count,
                             .memory = SLOT_MEMORY,
                             .address = address,
                             .entry = entry_make(page, bits)};
}

struct batch_op op_list(vaddr_t address, uint32_t count, uint64_t first)
{
    return (struct batch_op){.code = BATCH_MAP_LIST,
                             .count = count,
                             .memory = SLOT_MEMORY,
                             .address = address,
                             .extra = first};
}

struct batch_op op_simple(enum batch_code code, vaddr_t address, uint32_t count, uint64_t entry)
{
    return (struct batch_op){.code = (uint8_t)code,
                             .count = count,
                             .memory = SLOT_MEMORY,
                             .address = address,
                             .entry = entry};
}

void tables_for(unsigned n, vaddr_t address, unsigned level)
{
    for (unsigned l = space_levels - 1; l > level; l--) {
        if (entry_of(n, address, l) != 0)
            continue;
        struct batch_op op = op_simple(BATCH_TABLE, address, 0, entry_make(table_page(), 0));
        op.level = (uint8_t)l;
        EXPECT_EQ(op_on(n, op), 0);
        EXPECT_EQ(sw.done, 1);
    }
}

uint64_t entry_of(unsigned n, vaddr_t address, unsigned level)
{
    unsigned found;
    uint64_t *slot = space_slot(sw.space[n], address, level, &found);
    return slot ? *slot : 0;
}

void run_on(unsigned hart, unsigned n)
{
    unsigned before = (unsigned)this_hart()->id;
    machine_hart_select(hart);
    kernel_lock();
    uint64_t satp = space_activate(sw.space[n], harts[hart]);
    kernel_unlock();
    tlb_satp_load(hart, satp);
    machine_hart_select(before);
}

long space_delete(unsigned n)
{
    long result;
    for (unsigned i = 0; i < 10000; i++) {
        result = WORLD_CALL(call_cap_delete, SELF_TABLE, SPACE_SLOT(n));
        if (result != -ERR_AGAIN)
            break;
    }
    if (result == 0)
        sw.space[n] = NULL;
    return result;
}
