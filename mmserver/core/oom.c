/*
 * The report of an allocation that failed, the count of pages by use that it rests on, and whose
 * processes should end when nothing else helps. All look without locks of what they look at, so
 * that they can be made from anywhere: what another hart changes meanwhile is counted as it is
 * found.
 */
#include "mmserver/core/oom.h"
#include "mmserver/core/mm.h"
#include "mmserver/core/slab.h"
#include "mmserver/core/text.h"

static uint64_t failures;

/* Pages that the descriptor speaks for: a tail that is met on its own is one page. */
static uint64_t pages_of(const struct page *page)
{
    return page->state == PAGE_TAIL || page->state == PAGE_NONE ? 1 : 1UL << page->order;
}

void phys_count_states(const struct zone *only, uint64_t pages[PAGE_STATES])
{
    pfn_t end = only ? only->end : phys.end;

    for (unsigned i = 0; i < PAGE_STATES; i++)
        pages[i] = 0;
    for (pfn_t pfn = only ? max_u64(ROUND_DOWN(only->start, PAGES_PER_BLOCK), phys.first)
                          : phys.first;
         pfn < end;) {
        if (!page_is_ready(pfn)) {
            pfn += PAGES_PER_BLOCK;
            continue;
        }
        const struct page *page = page_of(pfn);
        if (!only || zone_of(page) == only)
            pages[page->state < PAGE_STATES ? page->state : PAGE_NONE] += pages_of(page);
        pfn += pages_of(page);
    }
    zone_for_each(z)
    {
        pages[PAGE_FREE] += !only || z == only ? z->deferred_pages : 0;
    }
}

static void zone_line(const struct zone *z, unsigned order)
{
    uint64_t unusable = (uint64_t)zone_unusable_index(z, order);

    text_log("  node %lu zone %s: free %lu kB, min %lu, low %lu, high %lu, managed %lu kB, tables "
             "free %lu kB; order %lu: unusable %lu.%03lu",
             (uint64_t)z->node, zone_text[z->kind], zone_free_data(z) * 4, z->mark[MARK_MIN] * 4,
             z->mark[MARK_LOW] * 4, z->mark[MARK_HIGH] * 4, z->managed * 4,
             z->free[MIGRATE_TABLES] * 4, (uint64_t)order, unusable / 1000, unusable % 1000);
}

void oom_report(struct worker *w, const struct request *r)
{
    uint64_t pages[PAGE_STATES];

    failures++;
    if (failures & (failures - 1))
        return;
    text_log("memory: hart %lu found no page: order %lu, gfp %04lx (%s), failure %lu",
             (uint64_t)w->hart, (uint64_t)r->order, (uint64_t)r->gfp,
             migrate_text[gfp_type(r->gfp)], failures);
    zone_for_each(z)
    {
        zone_line(z, r->order);
    }
    phys_count_states(NULL, pages);
    for (unsigned i = PAGE_FREE; i < PAGE_STATES; i++) {
        if (pages[i])
            text_log("  %s: %lu kB", page_state_text[i], pages[i] * 4);
    }
    const struct slab_cache *c;
    LIST_FOREACH(c, &slab_caches, link)
    {
        if (c->slabs)
            text_log("  slab %s: %lu kB", c->name, (c->slabs << c->order) * 4);
    }
}

/* ---- who should end ---- */

/*
 * How much its end would give, in pages, as Linux counts: what is resident, with the tables for it,
 * and oom_score_adj in thousandths of all memory. False: it is not to be ended.
 */
static bool badness(const struct mm *mm, int64_t *pages)
{
    int64_t adjust = (int64_t)mm->limit[MM_LIMIT_OOM_ADJUST];

    *pages = (int64_t)(mm_resident(mm) + mm->tables) +
             adjust * (int64_t)(phys.total_pages / OOM_ADJUST_MAX);
    return adjust != OOM_ADJUST_NEVER;
}

uint64_t oom_score(const struct mm *mm)
{
    int64_t pages;

    if (!badness(mm, &pages))
        return 0;
    int64_t thousandths = pages * OOM_ADJUST_MAX / (int64_t)phys.total_pages;
    return thousandths <= -OOM_ADJUST_MAX ? 0 : (uint64_t)(OOM_ADJUST_MAX + thousandths) * 2 / 3;
}

uint64_t oom_choose(struct worker *w)
{
    uint64_t chosen = 0;
    int64_t most = INT64_MIN;

    mm_count(w, oom_chosen);
    for (uint64_t id = 0; (id = mm_next_id(id));) {
        struct mm *mm = mm_get(id);
        int64_t pages;

        if (mm && mm->clients && badness(mm, &pages) && pages > most) {
            most = pages;
            chosen = id;
        }
        if (mm)
            mm_put(mm);
    }
    return chosen;
}
