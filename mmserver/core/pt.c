/*
 * Reading page tables, and gathering operations on them. A batch that the kernel stops in the
 * middle of what cannot fail is a bug of the server: it asked for something it was not entitled to.
 */
#include "mmserver/core/pt.h"
#include "mmserver/core/text.h"
#include "mmserver/core/zap.h"
#include <string.h>

static const uint64_t *table_below(uint64_t entry)
{
    return page_pointer(entry_page(entry));
}

const uint64_t *pt_entry(const struct mm *mm, vaddr_t address, unsigned level)
{
    const uint64_t *table = mm->root;
    unsigned shift = pt_shift(mm_levels - 1), stop = pt_shift(level);

    for (; shift > stop; shift -= TABLE_SHIFT) {
        uint64_t entry = table[(address >> shift) & (TABLE_ENTRIES - 1)];

        if (!entry_is_table(entry))
            return NULL;
        table = table_below(entry);
    }
    return &table[(address >> shift) & (TABLE_ENTRIES - 1)];
}

const uint64_t *pt_lowest(const struct mm *mm, vaddr_t address, unsigned *level)
{
    const uint64_t *table = mm->root;
    unsigned l = mm_levels - 1;

    for (;; l--) {
        const uint64_t *entry = &table[pt_index(address, l)];

        if (!l || !entry_is_table(*entry)) {
            *level = l;
            return entry;
        }
        table = table_below(*entry);
    }
}

/* Nothing is below the entry of `address` in that table of level l: where its next entry is that is
 * not empty, or the table ends. */
static vaddr_t empties_skip(const uint64_t *table, vaddr_t address, vaddr_t end, unsigned l)
{
    uint64_t span = 1UL << pt_shift(l), i = pt_index(address, l) + 1;
    uint64_t stop = min_u64(TABLE_ENTRIES, i + ((end - address) >> pt_shift(l)));

    while (i < stop && !table[i])
        i++;
    return ROUND_DOWN(address, span << TABLE_SHIFT) + i * span;
}

vaddr_t pt_next_table_of(const struct mm *mm, vaddr_t address, vaddr_t end, unsigned level,
                         const uint64_t **found)
{
    while (address < end) {
        const uint64_t *table = mm->root;
        unsigned l;

        for (l = mm_levels - 1; l > level; l--) {
            uint64_t entry = table[pt_index(address, l)];

            if (!entry_is_table(entry))
                break;
            table = table_below(entry);
        }
        if (l == level) {
            *found = table;
            return address;
        }
        address = empties_skip(table, address, end, l);
    }
    return end;
}

vaddr_t pt_next_table(const struct mm *mm, vaddr_t address, vaddr_t end, const uint64_t **leaf)
{
    return pt_next_table_of(mm, address, end, 0, leaf);
}

struct batch_op *op_add(struct worker *w, struct mm *mm, enum batch_code code, vaddr_t address)
{
    const uint64_t head = (uint64_t)code | 1UL << 32; /* level 0, no flags, count 1 */

    mm_assert(!w->ops_count || w->ops_mm == mm);
    if (unlikely(w->ops_count == BATCH_OPS_MAX))
        ops_send(w);
    w->ops_mm = mm;
    struct batch_op *op = &w->ops->op[w->ops_count++];
    /* Not `finished`: that belongs to the last answer. */
    memcpy(op, &head, sizeof head);
    op->memory = 0;
    op->done = 0;
    op->address = address;
    op->entry = 0;
    op->extra = 0;
    return op;
}

void ops_unlock(struct worker *w, struct mm *mm)
{
    if (unlikely(w->left_count))
        zap_left_free(w);
    if (!w->ops_count) {
        mm_unlock(mm);
        return;
    }
    mm_assert(w->ops_mm == mm);
    lock_check_drop(LOCK_MM);
    w->ops->op[0].finished = 0;
    __atomic_store_n(&mm->sender, w->hart + 1, __ATOMIC_RELEASE);
}

void ops_send(struct worker *w)
{
    uint32_t count = w->ops_count;
    long stopped;

    if (!count)
        return;
    w->ops_count = 0;
    mm_count(w, batch_calls);
    long done = place_batch(w->ops_mm->space_slot, count, &stopped);
    if (unlikely(done != (long)count)) {
        /* The kernel refused what the server decided: say what, for the record. */
        const struct batch_op *op = &w->ops->op[done >= 0 && done < (long)count ? done : 0];
        text_log("operation %lu of %u refused (%lu): code %u, level %u, count %u, address %lx, "
                 "entry %lx\n",
                 (uint64_t)done, count, (uint64_t)-stopped, op->code, op->level, op->count,
                 op->address, op->entry);
    }
    mm_assert(done == (long)count);
}

long op_try(struct worker *w)
{
    long stopped = 0;

    mm_assert(w->ops_count == 1);
    w->ops_count = 0;
    mm_count(w, batch_calls);
    long done = place_batch(w->ops_mm->space_slot, 1, &stopped);
    if (done == 1)
        return 0;
    return done < 0 ? done : stopped ? stopped : -ERR_ARGUMENT;
}

long pt_map(struct worker *w, struct mm *mm, vaddr_t address, uint64_t entry)
{
    struct batch_op *op = op_add(w, mm, BATCH_MAP, PAGE_DOWN(address));

    op->entry = entry;
    op->memory = page_of(entry_page(entry))->slot;
    return op_try(w);
}

long pt_replace(struct worker *w, struct mm *mm, vaddr_t address, uint64_t old, uint64_t entry)
{
    struct batch_op *op = op_add(w, mm, BATCH_REPLACE, PAGE_DOWN(address));

    op->entry = entry;
    op->extra = old;
    op->memory = page_of(entry_page(entry))->slot;
    return op_try(w);
}

long pt_protect(struct worker *w, struct mm *mm, vaddr_t address, uint64_t entry)
{
    struct batch_op *op = op_add(w, mm, BATCH_PROTECT, PAGE_DOWN(address));

    op->entry = entry & ENTRY_RIGHTS;
    op->memory = page_of(entry_page(entry))->slot;
    return op_try(w);
}

void pt_fence(struct worker *w, struct mm *mm, vaddr_t address, uint64_t entry)
{
    long stopped;

    /* Taking the accessed bit away and giving it back is what makes the batch fence the page. That
     * it was changed meanwhile is no error: then it was fenced too. */
    op_add(w, mm, BATCH_CLEAR_BITS, PAGE_DOWN(address))->entry = ENTRY_A;
    struct batch_op *op = op_add(w, mm, BATCH_REPLACE, PAGE_DOWN(address));
    op->entry = entry;
    op->extra = entry;
    op->memory = page_of(entry_page(entry))->slot;
    w->ops_count = 0;
    mm_count(w, batch_calls);
    mm_assert(place_batch(mm->space_slot, 2, &stopped) >= 1);
}

pfn_t pt_gather_table(struct worker *w, struct mm *mm, vaddr_t address, unsigned level)
{
    pfn_t pfn = page_alloc_table(w);

    if (!pfn)
        return 0;
    struct page *page = page_of(pfn);
    struct batch_op *op = op_add(w, mm, BATCH_TABLE, ROUND_DOWN(address, 1UL << pt_shift(level)));
    op->level = (uint8_t)level;
    op->entry = entry_make(pfn, 0);
    op->memory = page->slot;
    page->owner = mm;
    page->index = level;
    page->maps = 0;
    mm_add(&mm->tables, 1);
    mm_count(w, table_installed);
    return pfn;
}

void pt_ungather_tables(struct worker *w, struct mm *mm, uint64_t first)
{
    for (uint64_t i = first; i < w->ops_count; i++) {
        const struct batch_op *op = &w->ops->op[i];

        if (op->code != BATCH_TABLE)
            continue;
        page_free_table(w, entry_page(op->entry));
        mm_add(&mm->tables, -1);
        w->count[MMCOUNT_table_installed]--;
    }
    w->ops_count = 0;
}

static long table_install(struct worker *w, struct mm *mm, vaddr_t address, unsigned level)
{
    if (!pt_gather_table(w, mm, address, level))
        return -LINUX_ENOMEM;
    long error = op_try(w);
    if (error) {
        w->ops_count = 1;
        pt_ungather_tables(w, mm, 0);
        return error == -ERR_MAPPED ? 0 : -LINUX_ENOMEM; /* another reader was faster */
    }
    return 0;
}

long pt_ensure(struct worker *w, struct mm *mm, vaddr_t address)
{
    for (unsigned level = mm_levels - 1; level > 0; level--) {
        const uint64_t *entry = pt_entry(mm, address, level);

        mm_assert(entry);
        if (entry_is_table(*entry))
            continue;
        long error = table_install(w, mm, address, level);
        if (error)
            return error;
    }
    return 0;
}

long pt_ensure_range(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end)
{
    for (vaddr_t a = start; a < end; a = ROUND_DOWN(a, BLOCK_BYTES) + BLOCK_BYTES) {
        long error = pt_ensure(w, mm, a);

        if (error)
            return error;
    }
    return 0;
}

/* Send the gathered removals; after that the tables are nobody's. */
static void tables_flush(struct worker *w, const pfn_t *pages, unsigned count)
{
    ops_send(w);
    for (unsigned i = 0; i < count; i++)
        page_free_table(w, pages[i]);
}

static void tables_free_level(struct worker *w, struct mm *mm, vaddr_t first, vaddr_t last,
                              unsigned level)
{
    pfn_t pages[BATCH_OPS_MAX];
    const uint64_t *table;
    unsigned count = 0;
    uint64_t span = 1UL << pt_shift(level);

    for (vaddr_t a = first; a < last; a += span) {
        a = pt_next_table_of(mm, a, last, level, &table);
        if (a >= last)
            break;
        uint64_t entry = table[pt_index(a, level)];
        if (!entry_is_table(entry))
            continue;
        pages[count++] = entry_page(entry);
        op_add(w, mm, BATCH_TABLE_REMOVE, a)->level = (uint8_t)level;
        mm->tables--;
        mm_count(w, table_removed);
        if (count == BATCH_OPS_MAX) {
            tables_flush(w, pages, count);
            count = 0;
        }
    }
    tables_flush(w, pages, count);
}

static void tables_remove(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end,
                          vaddr_t floor, vaddr_t ceiling)
{
    mm_fast_drop_locked(mm);
    ops_send(w);
    for (unsigned level = 1; level < mm_levels; level++) {
        uint64_t span = 1UL << pt_shift(level);
        vaddr_t first = max_u64(ROUND_DOWN(start, span), ROUND_UP(floor, span));
        vaddr_t last = min_u64(ROUND_UP(end, span), ROUND_DOWN(ceiling, span));

        if (first < last)
            tables_free_level(w, mm, first, last, level);
    }
}

/*
 * Kept tables: mm->kept holds the addresses of blocks that had no VMA when their table became
 * empty. They may have one by now; then the table is in use, and the next who empties it comes
 * here again.
 */

/* Tables of [start, end), which is nobody's: gone from the list, and out of the tables as far as
 * other kept ones do not need those above. */
static void kept_remove(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end, vaddr_t floor,
                        vaddr_t ceiling)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < mm->kept_count; i++) {
        vaddr_t at = mm->kept[i];

        if (at - start < end - start)
            continue;
        if (at < start)
            floor = max_u64(floor, at + BLOCK_BYTES);
        else
            ceiling = min_u64(ceiling, at);
        mm->kept[count++] = at;
    }
    mm->kept_count = count;
    tables_remove(w, mm, start, end, floor, ceiling);
}

/* The oldest: its table is removed, unless it is in use again. Was it? */
static bool kept_drop_oldest(struct worker *w, struct mm *mm)
{
    vaddr_t at = mm->kept[0];
    struct vma *above = vma_find(mm, at);
    struct vma *below = above ? vma_prev(above) : vma_last(mm);

    if (!above || above->start >= at + BLOCK_BYTES) {
        kept_remove(w, mm, at, at + BLOCK_BYTES, below ? below->end : 0,
                    above ? above->start : mm_user_end);
        return true;
    }
    mm->kept_count--;
    for (uint32_t i = 0; i < mm->kept_count; i++)
        mm->kept[i] = mm->kept[i + 1];
    return false;
}

static void table_keep(struct mm *mm, vaddr_t at)
{
    for (uint32_t i = 0; i < mm->kept_count; i++) {
        if (mm->kept[i] == at)
            return;
    }
    mm->kept[mm->kept_count++] = at;
    mm->kept_new = true;
}

void pt_free_tables(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end, vaddr_t floor,
                    vaddr_t ceiling)
{
    vaddr_t first = max_u64(ROUND_DOWN(start, BLOCK_BYTES), ROUND_UP(floor, BLOCK_BYTES));
    vaddr_t last = min_u64(ROUND_UP(end, BLOCK_BYTES), ROUND_DOWN(ceiling, BLOCK_BYTES));
    const uint64_t *table;

    if (first >= last)
        return; /* and so for the tables above */
    if (last - first > MM_TABLES_LISTED_ONCE * BLOCK_BYTES) {
        kept_remove(w, mm, start, end, floor, ceiling);
        return;
    }
    for (vaddr_t a = pt_next_table(mm, first, last, &table); a < last;
         a = pt_next_table(mm, a + BLOCK_BYTES, last, &table))
        table_keep(mm, a);
    /* Not before all of them are listed: what is neither listed nor a VMA's would go with a table
     * above it. */
    while (mm->kept_count > MM_TABLES_KEPT)
        kept_drop_oldest(w, mm);
}

/* What pt_free_all_tables() has gathered. */
struct table_list {
    unsigned count;
    pfn_t page[BATCH_OPS_MAX];
};

/* Gather the removal of all tables below one of `level`, the lowest first. */
static void tables_gather(struct worker *w, struct mm *mm, struct table_list *gone,
                          const uint64_t *table, vaddr_t base, unsigned level)
{
    uint64_t span = 1UL << pt_shift(level);
    uint64_t stop = min_u64(TABLE_ENTRIES, (mm_user_end - base) >> pt_shift(level));

    for (uint64_t i = 0; i < stop; i++) {
        uint64_t entry = table[i];

        if (!entry) {
            while (i + 8 < stop && !(table[i + 1] | table[i + 2] | table[i + 3] | table[i + 4] |
                                     table[i + 5] | table[i + 6] | table[i + 7] | table[i + 8]))
                i += 8;
            continue;
        }
        if (!entry_is_table(entry))
            continue;
        if (level > 1)
            tables_gather(w, mm, gone, table_below(entry), base + i * span, level - 1);
        if (gone->count == BATCH_OPS_MAX) {
            tables_flush(w, gone->page, gone->count);
            gone->count = 0;
        }
        gone->page[gone->count++] = entry_page(entry);
        op_add(w, mm, BATCH_TABLE_REMOVE, base + i * span)->level = (uint8_t)level;
        mm->tables--;
        mm_count(w, table_removed);
    }
}

void pt_free_all_tables(struct worker *w, struct mm *mm)
{
    struct table_list gone = {.count = 0};

    mm->kept_count = 0;
    mm_fast_drop_locked(mm);
    ops_send(w);
    tables_gather(w, mm, &gone, mm->root, 0, mm_levels - 1);
    tables_flush(w, gone.page, gone.count);
}

unsigned pt_sweep_kept(struct worker *w, struct mm *mm)
{
    unsigned gone = 0;

    while (mm->kept_count)
        gone += kept_drop_oldest(w, mm);
    return gone;
}

void pt_remove_leaf_tables(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end)
{
    mm_fast_drop_locked(mm);
    tables_free_level(w, mm, start, end, 1);
}
