/*
 * What the zones hold, in the formats of Linux's /proc/buddyinfo, pagetypeinfo and zoneinfo. Looks
 * without locks: on a busy machine lines may be a moment apart. Memory that was not described yet
 * is counted as what it is: free movable chunks of the largest order.
 */
#include "mmserver/core/oom.h"
#include "mmserver/core/report.h"
#include "mmserver/core/zone.h"

static uint64_t chunks_of(const struct zone *z, unsigned type, unsigned order)
{
    uint64_t deferred = type == MIGRATE_MOVABLE && order == ORDER_MAX ? z->deferred_pages : 0;

    return z->area[order][type].chunks + (deferred >> ORDER_MAX);
}

void report_buddyinfo(struct text *t)
{
    zone_for_each(z)
    {
        text_format(t, "Node %lu, zone %8s ", (uint64_t)z->node, zone_text[z->kind]);
        for (unsigned order = 0; order < ORDERS; order++) {
            uint64_t chunks = 0;

            for (unsigned type = 0; type < MIGRATE_TYPES; type++)
                chunks += chunks_of(z, type, order);
            text_format(t, "%6lu ", chunks);
        }
        text_char(t, '\n');
    }
}

/* Blocks whose descriptors are written, and those that are movable because nobody asked yet. */
static uint64_t blocks_of(const struct zone *z, unsigned type)
{
    return z->block[type] + (type == MIGRATE_MOVABLE ? z->deferred_pages >> BLOCK_ORDER : 0);
}

void report_pagetypeinfo(struct text *t)
{
    text_format(t, "Page block order: %lu\nPages per block:  %lu\n\n", (uint64_t)BLOCK_ORDER,
                PAGES_PER_BLOCK);
    text_string(t, "Free pages count per migrate type at order  ");
    for (unsigned order = 0; order < ORDERS; order++)
        text_format(t, "%6lu ", (uint64_t)order);
    text_char(t, '\n');
    zone_for_each(z)
    {
        for (unsigned type = 0; type < MIGRATE_TYPES; type++) {
            text_format(t, "Node %4lu, zone %8s, type %12s ", (uint64_t)z->node, zone_text[z->kind],
                        migrate_text[type]);
            for (unsigned order = 0; order < ORDERS; order++)
                text_format(t, "%6lu ", chunks_of(z, type, order));
            text_char(t, '\n');
        }
    }
    text_string(t, "\nNumber of blocks type  ");
    for (unsigned type = 0; type < MIGRATE_TYPES; type++)
        text_format(t, "%12s ", migrate_text[type]);
    text_char(t, '\n');
    zone_for_each(z)
    {
        text_format(t, "Node %lu, zone %8s ", (uint64_t)z->node, zone_text[z->kind]);
        for (unsigned type = 0; type < MIGRATE_TYPES; type++)
            text_format(t, "%12lu ", blocks_of(z, type));
        text_char(t, '\n');
    }
}

static uint64_t pages_of_zone(const struct zone *z, const pfn_t *list, uint64_t count)
{
    uint64_t pages = 0;

    for (uint64_t i = 0; i < count; i++)
        pages += zone_of(page_of(list[i])) == z;
    return pages;
}

/* A hart's lists are one for all zones; what of it comes from this one is counted. */
static void pagesets(struct text *t, const struct zone *z)
{
    text_string(t, "\n  pagesets");
    for (uint32_t i = 0; i < worker_count; i++) {
        const struct worker *w = &workers[i];
        uint64_t count = pages_of_zone(z, w->hot, w->hot_count) +
                         pages_of_zone(z, w->zeroed, w->zeroed_count) +
                         pages_of_zone(z, w->tables, w->tables_count) +
                         pages_of_zone(z, w->stock[0].page, w->stock[0].count) +
                         pages_of_zone(z, w->stock[1].page, w->stock[1].count);

        text_format(t,
                    "\n    cpu: %lu\n              count: %lu\n              high:  %lu"
                    "\n              batch: %lu",
                    (uint64_t)i, count, w->hot_high, w->hot_batch);
    }
}

static void zone_states(struct text *t, const struct zone *z)
{
    static const struct {
        enum page_state state;
        const char *name;
    } line[] = {{PAGE_ANON, "nr_anon_pages"},
                {PAGE_FILE, "nr_file_pages"},
                {PAGE_SLAB, "nr_slab"},
                {PAGE_TABLE, "nr_page_table_pages"},
                {PAGE_OBJECT, "nr_kernel_objects"},
                {PAGE_HOT, "nr_hart_pages"},
                {PAGE_ZEROED, "nr_zeroed_pages"}};
    uint64_t pages[PAGE_STATES];

    phys_count_states(z, pages);
    text_format(t, "\n      nr_free_pages %lu", zone_free(z));
    for (unsigned i = 0; i < ARRAY_COUNT(line); i++)
        text_format(t, "\n      %s %lu", line[i].name, pages[line[i].state]);
    text_format(t, "\n      nr_free_cma %lu", z->free[MIGRATE_CMA]);
    text_format(t, "\n      nr_free_tables %lu", z->free[MIGRATE_TABLES]);
    text_format(t, "\n      nr_deferred %lu", z->deferred_pages);
}

static void zone_numbers(struct text *t, const struct zone *z)
{
    text_format(t, "\n  pages free     %lu", zone_free(z));
    text_format(t, "\n        boost    0\n        min      %lu\n        low      %lu",
                z->mark[MARK_MIN], z->mark[MARK_LOW]);
    text_format(t, "\n        high     %lu\n        spanned  %lu\n        present  %lu",
                z->mark[MARK_HIGH], z->end - z->start, z->present);
    text_format(t, "\n        managed  %lu\n        cma      %lu\n        protection: (%lu",
                z->managed, z->block[MIGRATE_CMA] * PAGES_PER_BLOCK, z->reserve[0]);
    for (unsigned kind = 1; kind < ZONE_KINDS; kind++)
        text_format(t, ", %lu", z->reserve[kind]);
    text_char(t, ')');
}

void report_zoneinfo(struct text *t)
{
    for (unsigned i = 0; i < ZONES_MAX; i++) {
        const struct zone *z = &zones[i];

        if (!nodes[z->node].present || z->kind >= ZONE_KINDS)
            continue;
        text_format(t, "Node %lu, zone %8s", (uint64_t)z->node, zone_text[z->kind]);
        zone_numbers(t, z);
        if (z->present) {
            zone_states(t, z);
            pagesets(t, z);
            text_format(t, "\n  node_unreclaimable:  0\n  start_pfn:           %lu", z->start);
        }
        text_char(t, '\n');
    }
}
