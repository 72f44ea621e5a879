/*
 * Harts' lists and the calls on top of them: bulk, exact sizes, zeroed pages, memory that runs out
 * on one hart while others have some, allocations that fail, and pages that are freed wrongly.
 */
#include "core_world.h"

#include "mmserver/core/zone.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* sys/wait.h defines names that linux_abi.h has too. */
pid_t waitpid(pid_t pid, int *status, int options);

#define MANY 2000

static struct worker *const w = &workers[0];
static pfn_t page[65536];

static bool is_zero(pfn_t pfn)
{
    const uint64_t *word = page_pointer(pfn);

    for (unsigned i = 0; i < PAGE_BYTES / sizeof *word; i++) {
        if (word[i])
            return false;
    }
    return true;
}

static int compare(const void *a, const void *b)
{
    pfn_t x = *(const pfn_t *)a, y = *(const pfn_t *)b;

    return x < y ? -1 : x > y;
}

/* Each page once, and in use. */
static void expect_distinct(pfn_t *pages, uint64_t count)
{
    qsort(pages, count, sizeof *pages, compare);
    for (uint64_t i = 0; i < count; i++) {
        EXPECT_EQ(page_of(pages[i])->state, PAGE_USED);
        EXPECT_EQ(page_of(pages[i])->order, 0);
        EXPECT_EQ(page_of(pages[i])->maps, 0);
        EXPECT(!i || pages[i] != pages[i - 1]);
    }
}

KTAP_CASE(core_pages_bulk_of_all_sizes)
{
    static const gfp_t kinds[] = {GFP_USER,
                                  GFP_KERNEL,
                                  GFP_USER | GFP_ZERO,
                                  GFP_KERNEL | GFP_ZERO,
                                  GFP_KERNEL | GFP_RECLAIMABLE,
                                  GFP_USER | GFP_DMA32,
                                  GFP_TABLE};

    core_world_boot(&(struct world){.memory_pages = 32768});
    uint64_t before = core_world_free_pages();

    for (unsigned i = 0; i < 400; i++) {
        gfp_t gfp = kinds[ktap_random_below(ARRAY_COUNT(kinds))];
        uint64_t want = ktap_random_below(i % 8 ? 40 : 1500);
        uint64_t got = page_alloc_bulk(w, want, page, gfp);

        EXPECT_EQ(got, want);
        for (uint64_t k = 0; k < got; k++) {
            EXPECT(!(gfp & GFP_ZERO) || is_zero(page[k]));
            EXPECT_EQ(page_type(page_of(page[k])) == MIGRATE_TABLES, (gfp & GFP_TABLES) != 0);
            if (!(gfp & GFP_TABLES))
                memset(page_pointer(page[k]), 0x5a, PAGE_BYTES);
        }
        expect_distinct(page, got);
        if (gfp & GFP_TABLES) {
            for (uint64_t k = 0; k < got; k++)
                pages_free(w, page[k], 0);
        } else {
            page_free_bulk(w, got, page);
        }
        if (i % 16 == 0)
            sim_idle(0);
    }
    core_world_check();
    EXPECT_EQ(core_world_free_pages(), before);
}

KTAP_CASE(core_pages_bulk_gets_what_there_is)
{
    core_world_boot(&(struct world){0});
    uint64_t free = core_world_free_pages();
    uint64_t got = page_alloc_bulk(w, ARRAY_COUNT(page), page, GFP_USER | GFP_NOWARN);

    EXPECT(got > free / 2 && got < free);
    expect_distinct(page, got);
    page_free_bulk(w, got, page);
    core_world_check();
    EXPECT_EQ(core_world_free_pages(), free);
}

KTAP_CASE(core_pages_lists_rise)
{
    core_world_boot(&(struct world){0});
    pages_drain(w);
    unsigned rising = 0;
    pfn_t last = page_alloc_user(w);

    for (unsigned i = 1; i < 100; i++) {
        pfn_t next = page_alloc_user(w);

        rising += next == last + 1;
        last = next;
    }
    EXPECT(rising > 90); /* neighbours in memory for neighbours in time */
}

KTAP_CASE(core_pages_exact_sizes)
{
    core_world_boot(&(struct world){0});
    uint64_t before = core_world_free_pages();

    for (uint64_t count = 1; count <= CHUNK_PAGES_MAX; count += 1 + ktap_random_below(7)) {
        uint64_t free = core_world_free_pages();
        pfn_t pfn = pages_alloc_exact(w, count, GFP_KERNEL);

        EXPECT(pfn != 0);
        pages_set_state(pfn, count, PAGE_SERVER);
        memset(page_pointer(pfn), 0x77, count << PAGE_SHIFT);
        EXPECT_EQ(core_world_free_pages(), free - count);
        if (count % 5 == 0)
            core_world_check();
        pages_free_exact(w, pfn, count);
    }
    EXPECT_EQ(core_world_free_pages(), before);
    core_world_check();
}

KTAP_CASE(core_pages_of_other_harts_are_asked_for)
{
    core_world_boot(&(struct world){.harts = 4});
    uint64_t asked = 0;

    for (uint32_t hart = 1; hart < 4; hart++) {
        pfn_t pfn = page_alloc_user(sim_worker(hart));

        page_free(sim_worker(hart), pfn);
        EXPECT(sim_worker(hart)->hot_count > 0);
        asked += sim_worker(hart)->hot_count;
    }
    EXPECT(asked >= 3);
    while (page_alloc_gfp(w, GFP_USER | GFP_NOWARN))
        ;
    for (uint32_t hart = 1; hart < 4; hart++)
        EXPECT_EQ(sim_worker(hart)->hot_count, 0);
}

KTAP_CASE(core_pages_lists_fit_the_machine)
{
    core_world_boot(&(struct world){.memory_pages = 8192, .harts = 8});
    for (uint32_t hart = 0; hart < 8; hart++) {
        const struct worker *o = sim_worker(hart);

        EXPECT(o->hot_high >= 16 && o->hot_high <= phys.total_pages / 64);
        EXPECT(o->hot_batch > 0 && o->hot_batch <= o->hot_high);
        EXPECT(o->zeroed_high <= phys.total_pages / 64 && o->stock_high <= STOCK_PAGES_MAX);
    }
    for (unsigned i = 0; i < MANY; i++)
        page[i] = page_alloc_user(w);
    page_free_bulk(w, MANY, page);
    EXPECT(w->hot_count <= w->hot_high);
}

KTAP_CASE(core_pages_background_work_frees_a_low_zone)
{
    core_world_boot(&(struct world){.harts = 1});
    struct zone *z = &zones[ZONE_DMA32];
    uint64_t got = 0;

    while (zone_free_data(z) > z->mark[MARK_LOW] && (page[got] = pages_alloc(w, 0, GFP_USER)))
        got++;
    page[got] = pages_alloc(w, 0, GFP_NOWAIT | GFP_NOWARN); /* below the low mark: still served */
    EXPECT(page[got] != 0);
    for (unsigned i = 0; i < 50; i++)
        sim_idle(0);
    for (uint64_t i = 0; i <= got; i++)
        pages_free(w, page[i], 0);
    core_world_check();
}

KTAP_CASE(core_pages_the_personality_may_have_the_last)
{
    core_world_boot(&(struct world){0});
    uint64_t left = 0;

    while (page_alloc_gfp(w, GFP_USER | GFP_NOWARN))
        ;
    EXPECT_EQ(page_alloc_user(w), 0);
    w->serving = core_world_personality();
    while (page_alloc_user(w))
        left++;
    w->serving = NULL;
    EXPECT(left > 0);
    EXPECT_EQ(zone_free_data(&zones[ZONE_DMA32]), 0);
}

/* ---- every allocation of a sequence fails in turn ---- */

static bool sequence(void)
{
    pfn_t a = page_alloc(w), b = page_alloc_user_zeroed(w), c = pages_alloc(w, 3, GFP_KERNEL);
    pfn_t d = pages_alloc_exact(w, 11, GFP_KERNEL | GFP_ZERO), t = page_alloc_table(w);
    uint64_t n = page_alloc_bulk(w, 300, page, GFP_USER);
    pfn_t e = page_alloc_gfp(w, GFP_KERNEL | GFP_RECLAIMABLE | GFP_ZERO);
    bool all = a && b && c && d && t && n == 300 && e;

    if (a)
        page_free(w, a);
    if (b)
        page_free(w, b);
    if (c)
        pages_free(w, c, 3);
    if (d)
        pages_free_exact(w, d, 11);
    if (t)
        page_free_table(w, t);
    if (e)
        page_free(w, e);
    page_free_bulk(w, n, page);
    return all;
}

KTAP_CASE(core_pages_each_allocation_fails_in_turn)
{
    core_world_boot(&(struct world){0});
    uint64_t before = core_world_free_pages(), n = 1;

    for (;; n++) {
        sim_fail_alloc(n);
        bool all = sequence();

        EXPECT_EQ(all, !sim_failed());
        bool failed = sim_failed();
        sim_fail_alloc(0);
        core_world_check();
        EXPECT_EQ(core_world_free_pages(), before);
        if (!failed)
            break;
    }
    EXPECT(n == 8);
}

/* ---- what no caller may do ends with a report ---- */

static void expect_stop(void (*wrong)(void))
{
    int status;

    fflush(stdout);
    pid_t child = fork();

    EXPECT(child >= 0);
    if (!child) {
        if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr))
            _exit(0);
        wrong();
        _exit(0);
    }
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT(status != 0);
}

static void free_twice(void)
{
    pfn_t pfn = page_alloc_user(w);

    page_free(w, pfn);
    page_free(w, pfn);
}

static void free_chunk_twice(void)
{
    pfn_t pfn = pages_alloc(w, 4, GFP_KERNEL);

    pages_free(w, pfn, 4);
    pages_free(w, pfn, 4);
}

static void free_twice_in_bulk(void)
{
    uint64_t got = page_alloc_bulk(w, 20, page, GFP_USER);

    page[17] = page[3];
    page_free_bulk(w, got, page);
}

static void free_with_smaller_order(void)
{
    pages_free(w, pages_alloc(w, 4, GFP_KERNEL), 3);
}

static void free_with_larger_order(void)
{
    pages_free(w, pages_alloc(w, 3, GFP_KERNEL), 4);
}

static void free_a_tail(void)
{
    page_free(w, pages_alloc(w, 4, GFP_KERNEL) + 5);
}

static void free_a_mapped_page(void)
{
    pfn_t pfn = page_alloc_user(w);

    page_of(pfn)->maps = 1;
    page_free(w, pfn);
}

static void free_part_of_an_exact_one(void)
{
    page_free(w, pages_alloc_exact(w, 11, GFP_KERNEL) + 8);
}

static void free_a_table_as_data(void)
{
    page_free(w, page_alloc_table(w));
}

KTAP_CASE(core_pages_wrong_frees_are_found)
{
    core_world_boot(&(struct world){0});
    expect_stop(free_twice);
    expect_stop(free_chunk_twice);
    expect_stop(free_twice_in_bulk);
    expect_stop(free_with_smaller_order);
    expect_stop(free_with_larger_order);
    expect_stop(free_a_tail);
    expect_stop(free_a_mapped_page);
    expect_stop(free_part_of_an_exact_one);
    expect_stop(free_a_table_as_data);
}

KTAP_CASE(core_pages_descriptors_take_less_than_one_percent)
{
    static const struct boot_range range[] = {{SIM_FIRST_PAGE, 1UL << 18, BOOT_FREE, 0, 0}};

    core_world_boot(&(struct world){.memory_pages = (1UL << 18) + PAGES_PER_BLOCK,
                                    .range = range,
                                    .ranges = ARRAY_COUNT(range)});
    ktap_note("1 GiB: %lu pages of descriptors and block table, %lu of 10000",
              (unsigned long)phys.descriptor_pages,
              (unsigned long)(phys.descriptor_pages * 10000 / (1UL << 18)));
    EXPECT(phys.descriptor_pages * 10000 / (1UL << 18) < 80);
}
