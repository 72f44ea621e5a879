/*
 * Pages leave in three steps: read the entries and gather the operations, send the batch (when it
 * returns no hart can reach the pages), free the pages. A page table's worth of entries is one
 * operation, however many holes it has.
 */
#include "mmserver/core/zap.h"
#include "mmserver/core/object.h"

void zap_begin(struct zap *z, struct worker *w, struct mm *mm)
{
    z->w = w;
    z->mm = mm;
    z->file_count = 0;
    LIST_INIT(&z->freed);
    mm->resident_peak = max_u64(mm->resident_peak, mm_resident(mm));
}

void zap_flush(struct zap *z)
{
    ops_send(z->w);
    page_free_list(z->w, &z->freed);
    for (unsigned i = 0; i < z->file_count; i++)
        object_page_put(z->file_page[i], 1);
    z->file_count = 0;
}

void zap_entry(struct zap *z, uint64_t entry)
{
    struct page *page = page_of(entry_page(entry));

    if (!page_is_ours(entry_page(entry)))
        return; /* device memory */
    switch (page->state) {
    case PAGE_ANON:
        mm_assert(page->maps == 1);
        page->maps = 0;
        z->mm->anon_pages--;
        if (entry_is_parked(entry))
            z->mm->parked--;
        LIST_INSERT_HEAD(&z->freed, page, link);
        break;
    case PAGE_FILE:
        z->mm->file_pages--;
        mm_assert(z->file_count < ZAP_FILE_PAGES);
        z->file_page[z->file_count++] = page;
        break;
    case PAGE_ZERO:
    case PAGE_SERVER: /* the archive's or the start page's: kept by whoever mapped it */
        break;
    default:
        mm_assert(!"a page that no client can have is mapped");
    }
}

/* One leaf table: entries of [start, end), which do not cross it. */
static void zap_table(struct zap *z, const uint64_t *table, vaddr_t start, vaddr_t end)
{
    unsigned i = pt_index(start, 0);
    unsigned stop = i + (unsigned)((end - start) >> PAGE_SHIFT);

    while (i < stop) {
        unsigned first, last = 0;

        while (i < stop && !table[i])
            i++;
        for (first = i; i < stop && z->file_count < ZAP_FILE_PAGES; i++) {
            if (table[i]) {
                zap_entry(z, table[i]);
                last = i + 1;
            }
        }
        if (last) {
            vaddr_t at = ROUND_DOWN(start, BLOCK_BYTES) + ((uint64_t)first << PAGE_SHIFT);

            op_add(z->w, z->mm, BATCH_UNMAP, at)->count = last - first;
        }
        if (z->file_count == ZAP_FILE_PAGES)
            zap_flush(z);
    }
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
        if (w->ops_count == BATCH_OPS_MAX)
            zap_flush(&z);
        a = stop;
    }
    zap_flush(&z);
}
