/*
 * Leaf tables go whole, with all that stands in them, where a space ends or is emptied: the kernel
 * takes them out without looking at what the entries are for, and as their pages stay as they are
 * until they are used again, each entry's page loses its count afterwards (zap.h has the order).
 *
 * Not for spaces with device memory, whose pages have no descriptors.
 */
#include "mmserver/core/drop.h"
#include "mmserver/core/object.h"
#include "mmserver/core/zap.h"

struct drop {
    struct worker *w;
    struct mm *mm;
    uint64_t seen, others; /* entries; those of other than anonymous pages */
    uint64_t freed;        /* page numbers in w->gather that nobody maps any more */
    pfn_t table[BATCH_OPS_MAX];
    unsigned tables;
};

/* The state is looked at before the count is lowered, for after that the page may be anybody's;
 * that the lowering depends on it keeps hardware to the order. */
static inline __attribute__((always_inline)) void entry_uncount(struct drop *d, uintptr_t bias,
                                                                uint64_t entry)
{
    union page_count *count = page_count_of_entry(bias, entry);

    if (unlikely(count->state != PAGE_ANON)) {
        d->others++;
        zap_other(d->w, d->mm, entry);
    } else if (unlikely(page_count_down(count) < 2)) {
        d->w->gather[d->freed++] = page_number(page_of_count(count));
    }
}

/* All 512 are leaves. */
static void full_uncount(struct drop *d, const uint64_t *slot)
{
    const uintptr_t bias = phys.pages_bias + PAGE_COUNT_AT;
    const uint64_t *end = slot + TABLE_ENTRIES;

    d->seen += TABLE_ENTRIES;
#pragma GCC unroll 16
    for (; slot != end; slot++)
        entry_uncount(d, bias, *slot);
}

/* Some are empty, software entries, or of runs. */
static void mixed_uncount(struct drop *d, const uint64_t *slot)
{
    for (const uint64_t *end = slot + TABLE_ENTRIES; slot != end; slot++) {
        if (!*slot)
            continue;
        d->seen++;
        d->mm->parked -= entry_is_parked(*slot);
        entry_uncount(d, phys.pages_bias + PAGE_COUNT_AT, entry_alone_at(slot));
    }
}

static void drop_flush(struct drop *d)
{
    ops_send(d->w);
    for (unsigned i = 0; i < d->tables; i++) {
        const uint64_t *table = page_pointer(d->table[i]);

        if (d->w->ops->op[i].done == TABLE_ENTRIES && !d->mm->runs)
            full_uncount(d, table);
        else
            mixed_uncount(d, table);
        page_free_table(d->w, d->table[i]);
        page_free_bulk(d->w, d->freed, d->w->gather);
        d->freed = 0;
    }
    mm_add(&d->mm->anon_pages, (int64_t)(d->others - d->seen));
    d->seen = d->others = 0;
    d->tables = 0;
}

/* Is it worth more than unmapping what there is? Looking through a whole table costs as much as 100
 * entries, and it has to be cleared before it is used again. */
static bool table_is_full(const uint64_t *table)
{
    unsigned found = 0;

    for (unsigned i = 0; i < 8; i++)
        found += table[i * (TABLE_ENTRIES / 8) + i] != 0;
    return found >= 4;
}

vaddr_t drop_tables(struct worker *w, struct mm *mm, vaddr_t start, unsigned most)
{
    struct drop d = {.w = w, .mm = mm};
    const uint64_t *table;
    vaddr_t at = start;

    if (unlikely(mm->devices))
        return mm_user_end;
    _Static_assert(ZAP_GATHER_MAX >= TABLE_ENTRIES, "one table's pages can be gathered");
    mm->kept_count = 0;
    mm_fast_drop_locked(mm);
    mm->resident_peak = max_u64(mm->resident_peak, mm_resident(mm));
    ops_send(w);
    while (most && (at = pt_next_table(mm, at, mm_user_end, &table)) < mm_user_end) {
        vaddr_t here = at;

        at = ROUND_DOWN(at, BLOCK_BYTES) + BLOCK_BYTES;
        if (!table_is_full(table))
            continue;
        d.table[d.tables++] = pt_page_number(table);
        op_add(w, mm, BATCH_TABLE_DROP, here)->level = 1;
        mm->tables--;
        mm_count(w, table_removed);
        most--;
        if (d.tables == BATCH_OPS_MAX)
            drop_flush(&d);
    }
    drop_flush(&d);
    return at;
}
