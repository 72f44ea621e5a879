/*
 * The simulated kernel's batches (abi/pagoda/batch.h): as kernel/batch*.c answer, entry by entry.
 */
#include "mmserver/place/host/own_space.h"
#include "mmserver/core/worker.h"
#include <string.h>

/* A batch while it is performed. */
struct sim_run {
    struct sim_object *space;
    struct batch_page *page;
    uint32_t results; /* result words written */
    bool may_fail;    /* by fault injection */
};

#define RIGHTS (ENTRY_W | ENTRY_X | ENTRY_D)

static uint64_t level_pages(unsigned level)
{
    return 1UL << (TABLE_SHIFT * level);
}

static void mapping_count(uint64_t entry, int change)
{
    if (!(entry & ENTRY_V) || !sim_page_is_there(entry_page(entry)))
        return;
    int32_t *count = sim_block(entry_page(entry));

    mm_assert(*count >= 0 && *count + change >= 0);
    *count += change;
}

static long memory_covers(uint32_t slot, uint64_t entry, uint64_t pages, struct sim_cap **memory)
{
    *memory = sim_cap(slot, CAP_MEMORY);
    if (!*memory)
        return -ERR_TYPE;
    pfn_t page = entry_page(entry);
    if (page - (*memory)->first >= (*memory)->pages ||
        pages > (*memory)->pages - (page - (*memory)->first))
        return -ERR_RANGE;
    return 0;
}

/* May this entry be made with that capability, for a page that is no table? */
static long entry_allowed(uint32_t slot, uint64_t entry, uint64_t pages)
{
    struct sim_cap *memory;
    long error = memory_covers(slot, entry, pages, &memory);

    if (error)
        return error;
    if (entry & ~ENTRY_CHOICE)
        return -ERR_ENTRY;
    if (((entry & (ENTRY_W | ENTRY_D)) && !(memory->rights & RIGHT_WRITE)) ||
        ((entry & ENTRY_X) && !(memory->rights & RIGHT_EXEC)))
        return -ERR_ENTRY;
    return 0;
}

static bool all_data(pfn_t page, uint64_t pages)
{
    for (uint64_t i = 0; i < pages; i++) {
        if (sim_page_is_there(page + i) && sim_is_tables(page + i))
            return false;
    }
    return true;
}

/* ---- tables ---- */

static long table_take(struct sim_run *b, const struct batch_op *op)
{
    struct sim_cap *memory;
    pfn_t page = entry_page(op->entry);
    long error = memory_covers(op->memory, op->entry, 1, &memory);

    if (error)
        return error;
    if (!sim_is_tables(page))
        return -ERR_CLASS;
    if (sim.use[page - sim.first] != USE_FREE)
        return -ERR_BUSY;
    if (b->may_fail && sim_injected())
        return -ERR_LIMIT;
    sim.use[page - sim.first] = USE_TABLE;
    (*sim_block(page))--;
    memset(page_pointer(page), 0, PAGE_BYTES);
    b->space->tables++;
    return 0;
}

static long op_table(struct sim_run *b, const struct batch_op *op)
{
    uint64_t *entry = sim_entry(b->space, op->address, op->level);

    if (!entry)
        return -ERR_NOTABLE;
    if (*entry)
        return -ERR_MAPPED;
    long error = table_take(b, op);
    if (!error)
        *entry = entry_make(entry_page(op->entry), ENTRY_V);
    return error;
}

static long op_table_remove(struct sim_run *b, const struct batch_op *op)
{
    uint64_t *entry = sim_entry(b->space, op->address, op->level);

    if (!entry || !entry_is_table(*entry))
        return -ERR_UNMAPPED;
    pfn_t page = entry_page(*entry);
    const uint64_t *table = page_pointer(page);
    for (unsigned i = 0; i < TABLE_ENTRIES; i++) {
        if (table[i])
            return -ERR_BUSY;
    }
    *entry = 0;
    sim.use[page - sim.first] = USE_FREE;
    (*sim_block(page))++;
    b->space->tables--;
    return 0;
}

static long op_table_drop(struct sim_run *b, const struct batch_op *op)
{
    uint64_t *entry = op->level == 1 ? sim_entry(b->space, op->address, 1) : NULL;

    if (!entry || !entry_is_table(*entry))
        return op->level == 1 ? -ERR_UNMAPPED : -ERR_LEVEL;
    pfn_t page = entry_page(*entry);
    const uint64_t *table = page_pointer(page);
    for (unsigned i = 0; i < TABLE_ENTRIES; i++)
        mapping_count(table[i], -1);
    *entry = 0;
    sim.use[page - sim.first] = USE_FREE;
    (*sim_block(page))++;
    b->space->tables--;
    return 0;
}

static long op_split(struct sim_run *b, const struct batch_op *op)
{
    uint64_t *entry = op->level == 1 ? sim_entry(b->space, op->address, 1) : NULL;

    if (!entry)
        return op->level == 1 ? -ERR_NOTABLE : -ERR_LEVEL;
    if (!entry_is_leaf(*entry))
        return *entry & ENTRY_V ? -ERR_LEVEL : -ERR_UNMAPPED;
    long error = table_take(b, op);
    if (error)
        return error;
    uint64_t *table = page_pointer(entry_page(op->entry)), leaf = *entry;
    for (uint64_t i = 0; i < TABLE_ENTRIES; i++)
        table[i] = leaf + (i << ENTRY_PAGE_SHIFT);
    if (sim_page_is_there(entry_page(leaf)))
        *sim_block(entry_page(leaf)) += TABLE_ENTRIES - 1;
    *entry = entry_make(entry_page(op->entry), ENTRY_V);
    return 0;
}

/* ---- leaves ---- */

/* Slots for `count` leaves, none of which leads to a table. */
static long slots_find(struct sim_object *space, const struct batch_op *op, vaddr_t address,
                       uint64_t **slot)
{
    unsigned shift = PAGE_SHIFT + TABLE_SHIFT * op->level;
    uint64_t index = address >> shift & (TABLE_ENTRIES - 1);

    if (op->level > 1)
        return -ERR_LEVEL;
    if (address >= sim.user_end)
        return -ERR_RANGE;
    if (address & ((1UL << shift) - 1))
        return -ERR_ALIGN;
    if (!op->count || op->count > TABLE_ENTRIES)
        return -ERR_ARGUMENT;
    if (index + op->count > TABLE_ENTRIES)
        return -ERR_RANGE;
    *slot = sim_entry(space, address, op->level);
    if (!*slot)
        return sim_leaf(space, address) ? -ERR_LEVEL : -ERR_NOTABLE;
    for (uint32_t i = 0; op->level && i < op->count; i++) {
        if (entry_is_table((*slot)[i]))
            return -ERR_LEVEL;
    }
    return 0;
}

static long slots_unmapped(const uint64_t *slot, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (slot[i] & ENTRY_V)
            return -ERR_MAPPED;
    }
    return 0;
}

static void slot_set(uint64_t *slot, uint64_t entry)
{
    mapping_count(entry, 1);
    mapping_count(*slot, -1);
    *slot = entry;
}

static void keep(struct sim_run *b, const struct batch_op *op, uint64_t entry)
{
    if (op->flags & BATCH_KEEP && entry & ENTRY_V)
        b->page->result[b->results++] = entry;
}

#define RUN_SLOTS 16

/* Would the operation cut a run of 64 KiB in two? */
static bool cuts_run(const struct batch_op *op, const uint64_t *slot)
{
    uint64_t first = op->address >> PAGE_SHIFT, end = first + op->count;

    return !op->level && ((first % RUN_SLOTS && slot[0] & ENTRY_N) ||
                          (end % RUN_SLOTS && slot[op->count - 1] & ENTRY_N));
}

/* Runs: whole ones, aligned in both kinds of address, whose slots all name the run. */
static long op_map_runs(const struct batch_op *op, uint64_t *slot)
{
    if (op->level || !(sim.info.features & BOOT_HAS_SVNAPOT))
        return op->level ? -ERR_ENTRY : -ERR_UNSUPPORTED;
    if ((op->address >> PAGE_SHIFT | op->count | entry_page(op->entry)) % RUN_SLOTS)
        return -ERR_ALIGN;
    for (uint64_t i = 0; i < op->count; i++)
        slot_set(&slot[i], (op->entry | ENTRY_ALWAYS) +
                               ((i / RUN_SLOTS * RUN_SLOTS + RUN_SLOTS / 2) << ENTRY_PAGE_SHIFT));
    return 0;
}

static long op_map(struct sim_run *b, const struct batch_op *op, uint64_t *slot)
{
    uint64_t pages = level_pages(op->level), step = pages << ENTRY_PAGE_SHIFT;
    long error = entry_allowed(op->memory, op->entry & ~ENTRY_N, op->count * pages);

    if (error)
        return error;
    if (op->level && entry_page(op->entry) % PAGES_PER_BLOCK)
        return -ERR_ALIGN;
    if ((error = slots_unmapped(slot, op->count)) != 0)
        return error;
    if (!all_data(entry_page(op->entry), op->count * pages))
        return -ERR_CLASS;
    if (b->may_fail && sim_injected())
        return -ERR_LIMIT;
    if (op->entry & ENTRY_N)
        return op_map_runs(op, slot);
    for (uint32_t i = 0; i < op->count; i++)
        slot_set(&slot[i], (op->entry | ENTRY_ALWAYS) + i * step);
    return 0;
}

static long op_map_list(struct sim_run *b, const struct batch_op *op, uint64_t *slot)
{
    const uint64_t *list = b->page->result + op->extra;

    if (op->level)
        return -ERR_LEVEL;
    if (op->extra >= BATCH_RESULTS_MAX || op->count > BATCH_RESULTS_MAX - op->extra)
        return -ERR_RANGE;
    for (uint32_t i = 0; i < op->count; i++) {
        long error = entry_allowed(op->memory, list[i], 1);

        if (error)
            return error;
    }
    if (slots_unmapped(slot, op->count))
        return -ERR_MAPPED;
    for (uint32_t i = 0; i < op->count; i++) {
        if (!all_data(entry_page(list[i]), 1))
            return -ERR_CLASS;
    }
    if (b->may_fail && sim_injected())
        return -ERR_LIMIT;
    for (uint32_t i = 0; i < op->count; i++)
        slot_set(&slot[i], list[i] | ENTRY_ALWAYS);
    return 0;
}

static long op_replace(struct sim_run *b, const struct batch_op *op, uint64_t *slot)
{
    uint64_t pages = level_pages(op->level), old = *slot;
    long error = entry_allowed(op->memory, op->entry, pages);

    if (!entry_is_leaf(op->extra))
        return -ERR_ENTRY;
    if (op->count != 1)
        return -ERR_ARGUMENT;
    if (error)
        return error;
    if ((old ^ op->extra) & ~(ENTRY_A | ENTRY_D))
        return old & ENTRY_V ? -ERR_MAPPED : -ERR_UNMAPPED;
    if (!all_data(entry_page(op->entry), pages))
        return -ERR_CLASS;
    if (b->may_fail && sim_injected())
        return -ERR_LIMIT;
    slot_set(slot, op->entry | ENTRY_ALWAYS);
    keep(b, op, old);
    return 0;
}

static long op_protect(struct sim_run *b, const struct batch_op *op, uint64_t *slot)
{
    struct sim_cap *memory = sim_cap(op->memory, CAP_MEMORY);
    const uint64_t which = op->flags & BATCH_REACH ? RIGHTS | ENTRY_U : RIGHTS;

    if (op->entry & ~which)
        return -ERR_ENTRY;
    for (uint32_t i = 0; i < op->count; i++) {
        pfn_t page = entry_page(slot[i]);
        uint64_t added = op->entry & ~slot[i] & (ENTRY_W | ENTRY_X);

        if ((slot[i] & ENTRY_V) && added && (!memory || page - memory->first >= memory->pages))
            return -ERR_RANGE;
    }
    for (uint32_t i = 0; i < op->count; i++) {
        keep(b, op, slot[i]);
        if (slot[i] & ENTRY_V)
            slot[i] = (slot[i] & ~which) | op->entry;
    }
    return 0;
}

static void op_clear_bits(struct sim_run *b, const struct batch_op *op, uint64_t *slot)
{
    for (uint32_t i = 0; i < op->count; i++) {
        keep(b, op, slot[i]);
        slot[i] &= slot[i] & ENTRY_V ? ~op->entry : ~0UL;
    }
}

static long op_software(const struct batch_op *op, uint64_t *slot)
{
    if (op->count != 1)
        return -ERR_ARGUMENT;
    if (!op->entry || (op->entry & ENTRY_SOFTWARE_FORBIDDEN))
        return -ERR_ENTRY;
    if (*slot & ENTRY_V)
        return -ERR_MAPPED;
    *slot = op->entry;
    return 0;
}

/* ---- from one run of slots to another ---- */

static bool slots_empty(const uint64_t *slot, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (slot[i])
            return false;
    }
    return true;
}

static long op_copy(struct sim_run *b, const struct batch_op *op, uint64_t *slot)
{
    struct sim_object *source = sim_object(op->extra, CAP_SPACE);
    uint64_t *from;

    if (!source)
        return -ERR_TYPE;
    long error = slots_find(source, op, op->address, &from);
    if (error)
        return error;
    if (cuts_run(op, from))
        return -ERR_ALIGN;
    if (!slots_empty(slot, op->count))
        return -ERR_MAPPED;
    if (b->may_fail && sim_injected())
        return -ERR_LIMIT;
    for (uint32_t i = 0; i < op->count; i++) {
        if (from[i] & ENTRY_V)
            from[i] &= ~ENTRY_W;
        slot_set(&slot[i], from[i]);
    }
    return 0;
}

static long op_move(struct sim_run *b, const struct batch_op *op, uint64_t *slot)
{
    uint64_t *to;
    long error = slots_find(b->space, op, op->extra, &to);

    if (error)
        return error;
    if (slot < to + op->count && to < slot + op->count)
        return -ERR_ARGUMENT;
    if (!slots_empty(to, op->count))
        return -ERR_MAPPED;
    memcpy(to, slot, op->count * sizeof *to);
    memset(slot, 0, op->count * sizeof *slot);
    return 0;
}

/* ---- the batch ---- */

static bool results_fit(const struct sim_run *b, const struct batch_op *op)
{
    return !(op->flags & BATCH_KEEP) || op->count <= BATCH_RESULTS_MAX - b->results;
}

static long op_slots(struct sim_run *b, const struct batch_op *op, uint64_t *slot)
{
    switch (op->code) {
    case BATCH_MAP:
        return op_map(b, op, slot);
    case BATCH_MAP_LIST:
        return op_map_list(b, op, slot);
    case BATCH_REPLACE:
        return op_replace(b, op, slot);
    case BATCH_UNMAP:
        for (uint32_t i = 0; i < op->count; i++) {
            keep(b, op, slot[i]);
            slot_set(&slot[i], 0);
        }
        return 0;
    case BATCH_PROTECT:
        return op_protect(b, op, slot);
    case BATCH_CLEAR_BITS:
        op_clear_bits(b, op, slot);
        return 0;
    case BATCH_SOFTWARE:
        return op_software(op, slot);
    case BATCH_COPY_TABLE:
        return op_copy(b, op, slot);
    case BATCH_MOVE:
        return op_move(b, op, slot);
    default:
        return -ERR_ARGUMENT;
    }
}

static long op_perform(struct sim_run *b, const struct batch_op *op)
{
    uint64_t *slot;

    switch (op->code) {
    case BATCH_NOP:
        return 0;
    case BATCH_TABLE:
        return op->address >= sim.user_end ? -ERR_RANGE : op_table(b, op);
    case BATCH_TABLE_REMOVE:
        return op->address >= sim.user_end ? -ERR_RANGE : op_table_remove(b, op);
    case BATCH_TABLE_DROP:
        return op->address >= sim.user_end ? -ERR_RANGE : op_table_drop(b, op);
    case BATCH_SPLIT:
        return op->address >= sim.user_end ? -ERR_RANGE : op_split(b, op);
    default:
        break;
    }
    long error = slots_find(b->space, op, op->address, &slot);
    if (error)
        return error;
    if (op->code != BATCH_COPY_TABLE && cuts_run(op, slot))
        return -ERR_ALIGN;
    return results_fit(b, op) ? op_slots(b, op, slot) : -ERR_LIMIT;
}

long sim_batch(uint64_t space, uint64_t count, bool reply, uint64_t *stopped)
{
    struct sim_run b = {.space = sim_object(space, CAP_SPACE), .page = workers[sim.hart].ops};
    uint64_t done = 0;

    *stopped = 0;
    if (!b.space || count > BATCH_OPS_MAX)
        return -ERR_TYPE;
    /* Only what the server sends alone may be refused, see op_try; or an answer. */
    b.may_fail = count == 1 || reply;
    for (; done < count && !*stopped; done += !*stopped)
        *stopped = (uint64_t)op_perform(&b, &b.page->op[done]);
    if (space == SLOT_SPACE)
        own_space_show(b.space, b.page, done);
    return (long)done;
}

/* With REPLY_RIGHTS: the page that stands there gains what it lacks. */
static long rights_add(uint64_t *slot, const struct batch_op *op)
{
    const struct sim_cap *memory = sim_cap(op->memory, CAP_MEMORY);
    uint64_t entry = op->entry | ENTRY_ALWAYS;

    if (!memory || entry_page(entry) - memory->first >= memory->pages)
        return -ERR_RANGE;
    if (sim_injected())
        return -ERR_LIMIT;
    if (!*slot || ((*slot ^ entry) & ~(RIGHTS | ENTRY_A)) || (*slot & ~entry & (ENTRY_W | ENTRY_X)))
        return *slot ? -ERR_MAPPED : -ERR_UNMAPPED;
    *slot |= entry;
    return 0;
}

long sim_map_one(struct sim_object *space, vaddr_t address, uint64_t entry, uint64_t memory,
                 uint64_t old)
{
    const struct batch_op op = {.code = BATCH_MAP,
                                .count = 1,
                                .memory = (uint32_t)(memory & ~(REPLY_RIGHTS | REPLY_REPLACE)),
                                .address = PAGE_DOWN(address),
                                .entry = entry,
                                .extra = old};
    struct sim_run b = {.space = space, .may_fail = true};
    uint64_t *slot;
    long error = slots_find(space, &op, op.address, &slot);

    if (error)
        return error == -ERR_LEVEL ? -ERR_NOTABLE : error;
    if (memory & REPLY_RIGHTS)
        return rights_add(slot, &op);
    if (memory & REPLY_REPLACE)
        return op_replace(&b, &op, slot);
    return *slot ? -ERR_MAPPED : op_map(&b, &op, slot);
}
