/*
 * Pages leave in three steps: read the entries and gather the operations, send the batch (when it
 * returns no hart can reach the pages), lower the pages' counts and free those that have none left.
 * Not before: where a page is shared after a fork, the last but one who leaves makes the last one
 * its owner, who may write to it at once.
 *
 * A page table's worth of entries is one operation, however many holes it has.
 */
#include "mmserver/core/zap.h"
#include "mmserver/core/object.h"

void zap_begin(struct zap *z, struct worker *w, struct mm *mm)
{
    z->w = w;
    z->mm = mm;
    z->count = 0;
    mm->resident_peak = max_u64(mm->resident_peak, mm_resident(mm));
}

/* What is not an anonymous page of which this was the only mapping. Is it to be freed now? */
static __attribute__((noinline)) bool zap_other(struct zap *z, uint64_t entry)
{
    struct page *page = page_of(entry_page(entry));

    if (!page_is_ours(entry_page(entry)))
        return false; /* device memory */
    switch (page->state) {
    case PAGE_ANON:
        mm_assert(__atomic_load_n(&page->maps, __ATOMIC_RELAXED) > 0);
        z->mm->anon_pages--;
        return !__atomic_sub_fetch(&page->maps, 1, __ATOMIC_ACQ_REL);
    case PAGE_FILE:
        z->mm->file_pages--;
        object_page_put(z->w, page, 1);
        return false;
    case PAGE_ZERO:
    case PAGE_SERVER: /* the archive's or the start page's: kept by whoever mapped it */
        return false;
    default:
        mm_assert(!"a page that no client can have is mapped");
    }
    return false;
}

void zap_flush(struct zap *z)
{
    uint64_t *gather = z->w->gather;
    uint64_t only = 0, parked = 0, freed = 0;
    const uint64_t pages_bias = phys.pages_bias, first = phys.first, span = phys.end - phys.first;

    ops_send(z->w);
    for (uint64_t i = 0; i < z->count; i++) {
        uint64_t entry = gather[i];
        pfn_t pfn = entry_page(entry);
        struct page *page = (struct page *)(pages_bias + pfn * sizeof *page);

        parked += !(entry & ENTRY_V);
        if (likely(pfn - first < span && page->maps == 1 && page->state == PAGE_ANON)) {
            page->maps = 0;
            only++;
        } else if (!zap_other(z, entry)) {
            continue;
        }
        gather[freed++] = pfn;
    }
    z->mm->anon_pages -= only;
    z->mm->parked -= parked;
    z->count = 0;
    page_free_bulk(z->w, freed, gather);
}

/* The entries from `slot` to `end` that are not empty; how many. */
static uint64_t gather_slots(uint64_t *to, const uint64_t *slot, const uint64_t *end)
{
    const uint64_t *begin = to;

    for (; slot + 4 <= end; slot += 4) {
        uint64_t a = slot[0], b = slot[1], c = slot[2], d = slot[3];

        *to = a, to += a != 0;
        *to = b, to += b != 0;
        *to = c, to += c != 0;
        *to = d, to += d != 0;
    }
    for (; slot < end; slot++) {
        *to = *slot;
        to += *slot != 0;
    }
    return (uint64_t)(to - begin);
}

/* One leaf table: entries of [start, end), which do not cross it. */
static void zap_table(struct zap *z, const uint64_t *table, vaddr_t start, vaddr_t end)
{
    const uint64_t *slot = table + pt_index(start, 0);
    const uint64_t *stop = slot + ((end - start) >> PAGE_SHIFT);

    while (slot < stop && !*slot)
        slot++;
    while (slot < stop && !stop[-1])
        stop--;
    if (slot == stop)
        return;
    uint64_t span = (uint64_t)(stop - slot);
    if (!zap_has_room(z, span, 1))
        zap_flush(z);
    z->count += gather_slots(z->w->gather + z->count, slot, stop);
    vaddr_t at = ROUND_DOWN(start, BLOCK_BYTES) + ((uint64_t)(slot - table) << PAGE_SHIFT);
    op_add(z->w, z->mm, BATCH_UNMAP, at)->count = (uint32_t)span;
}

void zap_range(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end)
{
    const uint64_t *table;
    struct zap z;

    zap_begin(&z, w, mm);
    for (vaddr_t a = pt_next_table(mm, start, end, &table); a < end;
         a = pt_next_table(mm, a, end, &table)) {
        vaddr_t stop = min_u64(end, ROUND_DOWN(a, BLOCK_BYTES) + BLOCK_BYTES);

        zap_table(&z, table, a, stop);
        a = stop;
    }
    zap_flush(&z);
}
