/*
 * Batches of mapping operations: the loop, and what operations have in common. See batch.h here for
 * the rules of performing, and abi/pagoda/batch.h for what each operation means.
 */
#include "kernel/batch.h"
#include "arch/arch.h"
#include "kernel/assert.h"
#include "kernel/block.h"
#include "kernel/call.h"
#include "kernel/cap.h"

bool batch_resume(struct batch *b)
{
    hart_busy(b->hart);
    batch_forget(b);
    b->work = BATCH_REST_ENTRIES;
    b->page = b->thread->operation_page;
    return b->page != NULL;
}

bool batch_table_empty(const uint64_t *table)
{
    for (unsigned i = 0; i < TABLE_ENTRIES; i += 8)
        if (slots_or8(table + i))
            return false;
    return true;
}

static long memory_decode(struct batch *b, uint64_t slot)
{
    long error;
    struct cap *c = cap_lookup(b->thread, slot, CAP_MEMORY, 0, &error);

    if (c == NULL)
        return -error;
    if (c->first + c->pages > block_total << TABLE_SHIFT)
        return -ERR_RANGE; /* not memory that is kept account of */
    b->memory_slot = slot;
    b->forbid = c->forbid;
    b->first = c->first;
    b->pages = c->pages;
    return 0;
}

long batch_memory(struct batch *b, uint64_t slot)
{
    return likely(slot == b->memory_slot) ? 0 : memory_decode(b, slot);
}

long batch_entry(struct batch *b, const struct op *op, uint64_t pages, uint64_t *entry)
{
    long error = batch_memory(b, op->memory);
    uint64_t e = op->entry | ENTRY_ALWAYS;
    pfn_t first = entry_page(e) - b->first;

    if (unlikely(error))
        return error;
    if (unlikely(e & b->forbid & ~ENTRY_N))
        return -ERR_ENTRY;
    if (unlikely(first >= b->pages || pages > b->pages - first))
        return -ERR_RANGE;
    if (unlikely(op->level && entry_page(e) % PAGES_PER_BLOCK))
        return -ERR_ALIGN;
    *entry = e;
    return 0;
}

/* Why no slot was found at the level wanted: a table is missing, or a larger leaf stands there. */
static long why_no_slot(struct space *s, vaddr_t address, unsigned found_level)
{
    uint64_t *slot = space_slot(s, address, found_level, &found_level);
    return entry_is_leaf(slot_load(slot)) ? -ERR_LEVEL : -ERR_NOTABLE;
}

static long leaf_find(struct batch *b, vaddr_t address)
{
    unsigned found;

    if (address >= space_user_end || space_in_linear(b->space, address, BLOCK_BYTES))
        return -ERR_RANGE;
    uint64_t *slot = space_slot(b->space, address & ~(BLOCK_BYTES - 1), 0, &found);
    if (slot == NULL)
        return why_no_slot(b->space, address, found);
    b->leaf_tag = address >> BLOCK_SHIFT;
    b->leaf = slot;
    return 0;
}

static long big_slots(struct batch *b, const struct op *op, uint64_t count, uint64_t **slot)
{
    unsigned found;

    if (op->address % BLOCK_BYTES)
        return -ERR_ALIGN;
    if (op->address >= space_user_end ||
        space_in_linear(b->space, op->address, count * BLOCK_BYTES))
        return -ERR_RANGE;
    if ((op->address >> BLOCK_SHIFT) % TABLE_ENTRIES + count > TABLE_ENTRIES)
        return -ERR_RANGE;
    *slot = space_slot(b->space, op->address, 1, &found);
    if (*slot == NULL)
        return why_no_slot(b->space, op->address, found);
    for (uint64_t i = 0; i < count; i++)
        if (entry_is_table(slot_load(*slot + i)))
            return -ERR_LEVEL;
    return 0;
}

long batch_slots(struct batch *b, const struct op *op, uint64_t count, uint64_t **slot)
{
    if (unlikely(count - 1 >= TABLE_ENTRIES))
        return -ERR_ARGUMENT;
    b->work -= (long)count;
    if (unlikely(op->level))
        return op->level == 1 ? big_slots(b, op, count, slot) : -ERR_LEVEL;
    if (unlikely(op->address % PAGE_BYTES))
        return -ERR_ALIGN;
    uint64_t index = (op->address >> PAGE_SHIFT) % TABLE_ENTRIES;
    if (unlikely(index + count > TABLE_ENTRIES))
        return -ERR_RANGE;
    if (unlikely(op->address >> BLOCK_SHIFT != b->leaf_tag)) {
        long error = leaf_find(b, op->address);
        if (error)
            return error;
    }
    *slot = b->leaf + index;
    return 0;
}

static long perform(struct batch *b, const struct op *op)
{
    if (unlikely(op->flags & ~BATCH_KEEP))
        return -ERR_ARGUMENT;
    switch (op->code) {
    case BATCH_NOP:
        return 0;
    case BATCH_MAP:
        return batch_map(b, op);
    case BATCH_REPLACE:
        return batch_replace(b, op);
    case BATCH_UNMAP:
        return batch_unmap(b, op);
    case BATCH_PROTECT:
        return batch_protect(b, op);
    case BATCH_CLEAR_BITS:
        return batch_clear_bits(b, op);
    case BATCH_SOFTWARE:
        return batch_software(b, op);
    case BATCH_TABLE:
        return batch_table(b, op);
    case BATCH_TABLE_REMOVE:
        return batch_table_remove(b, op);
    case BATCH_COPY_TABLE:
        return batch_copy_table(b, op);
    default:
        return -ERR_ARGUMENT;
    }
}

/* Each word is loaded once; what user mode writes afterwards is not seen. */
static inline void op_read(struct op *op, const struct batch_op *from)
{
    const volatile uint64_t *word = (const volatile uint64_t *)from;
    uint64_t head = word[0];

    op->code = (uint8_t)head;
    op->level = (uint8_t)(head >> 8);
    op->flags = (uint8_t)(head >> 16);
    op->count = (uint32_t)(head >> 32);
    op->memory = (uint32_t)word[1];
    op->address = word[2];
    op->entry = word[3];
    op->extra = word[4];
}

/* The first word of the most frequent operation: one small page, nothing kept. */
#define HEAD_MAP_ONE  ((uint64_t)BATCH_MAP | 1UL << 32)
#define HEAD_RESERVED (0xffUL << 24)

/*
 * That operation, where the capability and the table are those used last and the slot is empty.
 * False: not so plain, and nothing has changed; it is decoded in full then.
 */
static inline bool map_one(struct batch *b, struct batch_op *from)
{
    const volatile uint64_t *word = (const volatile uint64_t *)from;
    uint64_t address = word[2], entry = word[3] | ENTRY_ALWAYS;
    pfn_t page = entry_page(entry);

    if (unlikely((uint32_t)word[1] != b->memory_slot || address >> BLOCK_SHIFT != b->leaf_tag))
        return false;
    if (unlikely((entry & (b->forbid | ENTRY_N)) || page - b->first >= b->pages))
        return false;
    uint64_t *slot = b->leaf + ((address >> PAGE_SHIFT) & (TABLE_ENTRIES - 1));
    if (unlikely(address % PAGE_BYTES || slot_load(slot) || !block_get(page)))
        return false;
    __atomic_thread_fence(__ATOMIC_RELEASE); /* what the page holds, before it can be seen */
    if (unlikely(!slot_swap(slot, 0, entry))) {
        block_put_n(page, 1);
        return false;
    }
    b->mapped++;
    b->work--;
    __atomic_store_n(&from->done, 1, __ATOMIC_RELAXED);
    return true;
}

/* Let other harts see that this one is not stuck. */
static bool batch_rest(struct batch *b)
{
    hart_idle(b->hart);
    return batch_resume(b);
}

/* Perform one operation and note what it did. */
static long perform_noted(struct batch *b, struct batch_op *from)
{
    struct op op;

    op_read(&op, from);
    b->done = 0;
    long error = perform(b, &op);
    if (likely(b->page != NULL))
        __atomic_store_n(&from->done, b->done, __ATOMIC_RELAXED);
    return error;
}

/* Perform operations until one is refused; the number performed. */
static uint64_t perform_all(struct batch *b, uint64_t count, long *error)
{
    for (uint64_t i = 0; i < count; i++) {
        if (unlikely(b->page == NULL) || unlikely(b->work <= 0 && !batch_rest(b))) {
            *error = -ERR_STATE; /* another thread took the operation page away */
            return i;
        }
        struct batch_op *from = &b->page->op[i];
        if ((*(volatile uint64_t *)from & ~HEAD_RESERVED) == HEAD_MAP_ONE && map_one(b, from))
            continue;
        *error = perform_noted(b, from);
        if (unlikely(*error))
            return i;
    }
    return count;
}

static void tables_release(struct batch *b)
{
    if (b->removed == 0)
        return;
    kernel_lock();
    for (unsigned i = 0; i < b->removed; i++)
        page_release(b->table[i]);
    kernel_unlock();
}

/* All changes are made: let go of the locks, fence, then release what the fence was for. */
static void batch_end(struct batch *b)
{
    bool fence = gather_needed(&b->gather);

    if (fence)
        space_hold(b->space);
    space_unlock(b->space);
    if (fence) {
        gather_finish(&b->gather);
        space_drop_hold(b->space);
    }
    if (b->source.space != NULL) {
        gather_finish(&b->source);
        space_drop_hold(b->source.space);
    }
    gather_close(b->hart);
    tables_release(b);
}

long call_batch(struct thread *t, struct call_args *c)
{
    struct batch b;
    uint64_t count = c->a[1], performed = 0;
    long error = 0;

    if (count > BATCH_OPS_MAX)
        return -ERR_LIMIT;
    b.thread = t;
    b.hart = this_hart();
    b.space_slot = c->a[0];
    b.space = space_enter(t, b.space_slot, RIGHT_MAP, &error);
    if (b.space == NULL)
        return -error;
    b.results = 0;
    b.mapped = b.unmapped = 0;
    b.removed = 0;
    b.source.space = NULL;
    gather_begin(&b.gather, b.space);
    gather_open(b.hart);
    error = -ERR_STATE; /* without an operation page */
    if (batch_resume(&b)) {
        error = 0;
        performed = perform_all(&b, count, &error);
    }
    hart_idle(b.hart);
    batch_end(&b);
    b.hart->counter[COUNT_batch]++;
    b.hart->counter[COUNT_batch_op] += performed;
    b.hart->counter[COUNT_pages_mapped] += b.mapped;
    b.hart->counter[COUNT_pages_unmapped] += b.unmapped;
    c->out[0] = (uint64_t)error;
    return (long)performed;
}
