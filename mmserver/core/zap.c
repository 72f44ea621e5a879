/*
 * Pages leave in three steps: read the entries and gather the operations, send the batch (when it
 * returns no hart can reach the pages), lower the pages' counts and free those that have none left.
 * Not before: where a page is shared after a fork, the last but one who leaves makes the last one
 * its owner, who may write to it at once.
 *
 * A page table's worth of entries is one operation, however many holes it has.
 */
#include "mmserver/core/zap.h"
#include "mmserver/core/drop.h"
#include "mmserver/core/hugetlb.h"
#include "mmserver/core/object.h"

/* Beside a gathered entry of 2 MiB: its VMA is promised another page. */
#define HUGE_RESTORES ENTRY_SOFT0

void zap_begin(struct zap *z, struct worker *w, struct mm *mm)
{
    z->w = w;
    z->mm = mm;
    z->count = 0;
    z->huge_count = 0;
    mm->resident_peak = max_u64(mm->resident_peak, mm_resident(mm));
}

__attribute__((noinline)) void zap_other(struct worker *w, struct mm *mm, uint64_t entry)
{
    struct page *page = page_of(entry_page(entry));

    if (!page_is_ours(entry_page(entry)) || entry_is_marker(entry))
        return; /* device memory, or no page at all */
    switch (page->state) {
    case PAGE_FILE:
    case PAGE_POISONED: /* of a file, as the first of those who map it loses it */
        mm->file_pages--;
        object_page_put(w, page, 1);
        return;
    case PAGE_ZERO:
    case PAGE_SERVER: /* the archive's or the start page's: kept by whoever mapped it */
        return;
    default:
        mm_assert(!"a page that no client can have is mapped");
    }
}

/* Where zap_flush() is. */
struct flush {
    uint64_t *freed; /* page numbers of those that nobody maps any more go here */
    uint64_t others;
    uintptr_t bias, first, bytes; /* of the descriptors */
};

static inline __attribute__((always_inline)) void flush_entry(struct zap *z, struct flush *f,
                                                              uint64_t entry)
{
    struct page *page = page_of_entry(f->bias, entry);

    if (unlikely((uintptr_t)page - f->first >= f->bytes || page->state != PAGE_ANON)) {
        f->others++;
        zap_other(z->w, z->mm, entry);
    } else if (__atomic_fetch_sub(&page->maps, 1, __ATOMIC_RELAXED) == 1) {
        *f->freed++ = entry_page(entry);
    }
}

void zap_flush(struct zap *z)
{
    uint64_t *gather = z->w->gather, *at = gather, *end = gather + z->count;
    struct flush f = {.freed = gather,
                      .bias = phys.pages_bias,
                      .first = (uintptr_t)page_of(phys.first),
                      .bytes = (phys.end - phys.first) * sizeof(struct page)};

    ops_send(z->w);
    for (; z->mm->parked && at < end; at++)
        z->mm->parked -= entry_is_parked(*at);
    for (at = gather; at + 4 <= end; at += 4) {
        uint64_t a = at[0], b = at[1], c = at[2], d = at[3];

        flush_entry(z, &f, a);
        flush_entry(z, &f, b);
        flush_entry(z, &f, c);
        flush_entry(z, &f, d);
    }
    for (; at < end; at++)
        flush_entry(z, &f, *at);
    z->mm->anon_pages -= z->count - f.others;
    z->count = 0;
    page_free_bulk(z->w, (uint64_t)(f.freed - gather), gather);
    while (z->huge_count) {
        uint64_t entry = z->huge[--z->huge_count];

        if (entry & HUGE_RESTORES)
            hugetlb_put_restore(z->mm, page_of(entry_page(entry)));
        else
            huge_put(z->w, z->mm, entry);
    }
}

/* The entries from `slot` to `end` that are not empty; how many. */
static uint64_t gather_slots(uint64_t *to, const uint64_t *slot, const uint64_t *end)
{
    const uint64_t *begin = to;

    for (; slot + 4 <= end; slot += 4) {
        uint64_t a = slot[0], b = slot[1], c = slot[2], d = slot[3];

        if (likely(a && b && c && d)) {
            to[0] = a, to[1] = b, to[2] = c, to[3] = d;
            to += 4;
            continue;
        }
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

/* The same where there are runs. */
static uint64_t gather_runs(uint64_t *to, const uint64_t *slot, const uint64_t *end)
{
    const uint64_t *begin = to;

    for (; slot < end; slot++)
        if (*slot)
            *to++ = entry_alone_at(slot);
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
    uint64_t *to = z->w->gather + z->count;
    z->count += unlikely(z->mm->runs) ? gather_runs(to, slot, stop) : gather_slots(to, slot, stop);
    vaddr_t at = ROUND_DOWN(start, BLOCK_BYTES) + ((uint64_t)(slot - table) << PAGE_SHIFT);
    op_add(z->w, z->mm, BATCH_UNMAP, at)->count = (uint32_t)span;
}

/* The huge leaves of [start, end), whose edges are split. */
static void zap_huge(struct zap *z, vaddr_t start, vaddr_t end)
{
    uint64_t entry;

    for (vaddr_t a = huge_next(z->mm, start, end, &entry); a < end;
         a = huge_next(z->mm, a + BLOCK_BYTES, end, &entry)) {
        if (!zap_has_room(z, 0, 1))
            zap_flush(z);
        bool restores = z->mm->huge_promises && hugetlb_must_restore(z->mm, a, entry);
        z->huge[z->huge_count++] = entry | (restores ? HUGE_RESTORES : 0);
        op_add(z->w, z->mm, BATCH_UNMAP, a)->level = 1;
    }
}

/* All of [start, end), gathered and not sent if there is room. */
static void zap_gather(struct zap *z, vaddr_t start, vaddr_t end)
{
    const uint64_t *table;

    if (unlikely(z->mm->huge_used))
        zap_huge(z, start, end);
    for (vaddr_t a = pt_next_table(z->mm, start, end, &table); a < end;
         a = pt_next_table(z->mm, a, end, &table)) {
        vaddr_t stop = min_u64(end, ROUND_DOWN(a, BLOCK_BYTES) + BLOCK_BYTES);

        zap_table(z, table, a, stop);
        a = stop;
    }
}

void zap_range(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end)
{
    struct zap z;

    zap_begin(&z, w, mm);
    zap_gather(&z, start, end);
    zap_flush(&z);
}

#define LEFT_MAX 16

/* Are all of them private pages that nobody else maps? Only who holds an mm that maps a page can
 * give it one more mapping. */
static bool zap_all_own(const struct zap *z)
{
    for (uint64_t i = 0; i < z->count; i++) {
        pfn_t pfn = entry_page(z->w->gather[i]);

        if (!page_is_ours(pfn) || page_of(pfn)->state != PAGE_ANON || page_of(pfn)->maps != 1)
            return false;
    }
    return true;
}

void zap_range_last(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end)
{
    struct zap z;

    zap_begin(&z, w, mm);
    zap_gather(&z, start, end);
    if (z.count > LEFT_MAX || z.huge_count || mm->parked || !zap_all_own(&z)) {
        zap_flush(&z);
        return;
    }
    /* Nobody finds them any more, neither by their anon_vma, which may go, nor as free pages. */
    for (uint64_t i = 0; i < z.count; i++) {
        pfn_t pfn = entry_page(w->gather[i]);

        page_of(pfn)->maps = 0;
        page_of(pfn)->state = PAGE_USED;
        w->gather[i] = pfn;
    }
    mm->anon_pages -= z.count;
    w->left_count = (uint32_t)z.count;
}

void zap_left_free(struct worker *w)
{
    uint64_t count = w->left_count;

    if (w->ops_count && !pages_stay_here(w, count, w->gather))
        ops_send(w);
    w->left_count = 0;
    page_free_bulk(w, count, w->gather);
}

void zap_all(struct worker *w, struct mm *mm)
{
    const uint64_t *table;
    struct zap z;
    vaddr_t next = 0;

    zap_begin(&z, w, mm);
    if (unlikely(mm->huge_used))
        zap_huge(&z, 0, mm_user_end);
    zap_flush(&z);
    if (unlikely(mm->huge_promises))
        hugetlb_unreserve(mm, mm->huge_reserved + (uint64_t)mm->huge_unpromised);
    if (mm_resident(mm) >= TABLE_ENTRIES) /* else hardly any is full, and looking for one costs */
        drop_tables(w, mm, 0, ~0U);
    for (struct vma *v = vma_first(mm); v; v = vma_next(v)) {
        vaddr_t a = pt_next_table(mm, max_u64(v->start, next), v->end, &table);

        while (a < v->end) {
            vaddr_t block_end = ROUND_DOWN(a, BLOCK_BYTES) + BLOCK_BYTES, stop = v->end;

            /* As far as VMAs go in this table. */
            for (const struct vma *n = v->next; n && n->start < block_end; n = n->next)
                stop = n->end;
            zap_table(&z, table, a, min_u64(stop, block_end));
            next = block_end;
            a = next < v->end ? pt_next_table(mm, next, v->end, &table) : v->end;
        }
    }
    zap_flush(&z);
}
