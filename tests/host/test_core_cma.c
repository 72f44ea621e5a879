/*
 * Contiguous memory: ranges that are emptied of pages that move, and CMA areas that are lent and
 * taken back. Whatever fails on the way, nothing is lost, and all ends as it began.
 */
#include "core_world.h"

#include "mmserver/core/cma.h"
#include "mmserver/core/isolate.h"
#include <string.h>

#define RW         (PROT_READ | PROT_WRITE)
#define AREA_PAGES 2048
#define PAGES_MAX  16384
#define FAKE_STATE PAGE_NATIVE /* of no program here */

static struct worker *const w = &workers[0];

/* ---- pages that move as the test says ---- */

static pfn_t mine[PAGES_MAX]; /* by page->index */
static uint64_t mark[PAGES_MAX];
static bool pinned[PAGES_MAX];

static bool mine_possible(const struct page *page)
{
    return !pinned[page->index];
}

static long mine_move(struct worker *by, pfn_t from, pfn_t to)
{
    uint64_t i = page_of(from)->index;

    (void)by;
    EXPECT(mine[i] == from && page_of(to)->state == PAGE_USED && !page_of(to)->order);
    memcpy(page_pointer(to), page_pointer(from), PAGE_BYTES);
    memset(page_pointer(from), 0xee, PAGE_BYTES);
    page_of(to)->index = i;
    page_of(to)->state = FAKE_STATE;
    page_of(from)->state = PAGE_USED;
    mine[i] = to;
    return 0;
}

static const struct movable_ops mine_ops = {mine_possible, mine_move, NULL};

static void boot(const struct world *world)
{
    movable_register(FAKE_STATE, NULL);
    core_world_boot(world);
    movable_register(FAKE_STATE, &mine_ops);
    memset(mine, 0, sizeof mine);
    memset(pinned, 0, sizeof pinned);
}

static bool mine_make(uint64_t i)
{
    mine[i] = page_alloc_gfp(w, (GFP_USER | GFP_NOWARN) & ~(gfp_t)GFP_DIRECT_RECLAIM);
    if (!mine[i])
        return false;
    page_of(mine[i])->index = i;
    page_of(mine[i])->state = FAKE_STATE;
    mark[i] = ktap_random();
    *(uint64_t *)page_pointer(mine[i]) = mark[i];
    return true;
}

static void mine_free(uint64_t i)
{
    EXPECT_EQ(*(uint64_t *)page_pointer(mine[i]), mark[i]);
    page_free(w, mine[i]);
    mine[i] = 0;
}

static uint64_t fill(void)
{
    uint64_t count = 0;

    while (count < PAGES_MAX && mine_make(count))
        count++;
    return count;
}

static void all_free(void)
{
    for (uint64_t i = 0; i < PAGES_MAX; i++) {
        if (mine[i])
            mine_free(i);
    }
}

static bool is_whole_and_used(pfn_t first, uint64_t count)
{
    pfn_t pfn = first;

    while (pfn < first + count && page_of(pfn)->state == PAGE_USED)
        pfn += 1UL << page_of(pfn)->order;
    return pfn == first + count;
}

/* They can be written, and belong to nobody else. */
static void range_use(pfn_t first, uint64_t count)
{
    EXPECT(is_whole_and_used(first, count));
    contig_set_state(first, count, PAGE_SERVER);
    for (pfn_t pfn = first; pfn < first + count; pfn++)
        memset(page_pointer(pfn), 0x77, PAGE_BYTES);
}

/* ---- ranges ---- */

/* Half of all memory in use, every other page: the machine of the worst fragmentation. */
KTAP_CASE(core_contig_of_fragmented_memory)
{
    boot(&(struct world){.harts = 2});
    uint64_t before = core_world_free_pages();
    uint64_t count = fill();

    for (uint64_t i = 0; i < count; i += 2)
        mine_free(i);
    core_world_free_pages();
    for (unsigned order = BLOCK_ORDER; order <= ORDER_MAX; order++)
        EXPECT(!pages_alloc(w, order, GFP_NOWAIT | GFP_NOWARN));
    pfn_t first = contig_alloc_pages(w, 512, 512, CONTIG_ANY_NODE);
    pfn_t second = contig_alloc_pages(w, 1536, 1, CONTIG_ANY_NODE);
    EXPECT(first && !(first & 511));
    EXPECT(second && (second >= first + 512 || second + 1536 <= first));
    range_use(first, 512);
    range_use(second, 1536);
    core_world_check();
    contig_free(w, first, 512);
    contig_free(w, second, 1536);
    all_free();
    core_world_check();
    EXPECT_EQ(core_world_free_pages(), before);
}

KTAP_CASE(core_contig_any_range)
{
    boot(&(struct world){.harts = 2});
    uint64_t before = core_world_free_pages();

    for (uint64_t i = 0; i < 6000; i++)
        mine_make(i);
    for (uint64_t i = 0; i < 6000; i++) {
        if (ktap_random_below(3) == 0)
            mine_free(i);
    }
    unsigned got = 0;
    for (unsigned i = 0; i < 300; i++) {
        pfn_t first = phys.first + ktap_random_below(phys.end - phys.first);
        uint64_t count = 1 + ktap_random_below(ktap_random_below(4) ? 700 : 3000);
        long error = contig_alloc(w, first, count);

        EXPECT(error == 0 || error == -LINUX_EBUSY || error == -LINUX_EINVAL ||
               error == -LINUX_ENOMEM);
        if (!error) {
            got++;
            range_use(first, count);
            contig_free(w, first, count);
        }
        if (i % 30 == 0)
            core_world_check();
    }
    EXPECT(got > 30);
    EXPECT_EQ(zones_free_type(MIGRATE_ISOLATE), 0);
    EXPECT_EQ(contig_alloc(w, 0, 1), -LINUX_EINVAL);
    EXPECT_EQ(contig_alloc(w, ~0UL, 1), -LINUX_EINVAL);
    EXPECT_EQ(contig_alloc(w, phys.first, 0), -LINUX_EINVAL);
    EXPECT_EQ(contig_alloc(w, phys.first, ~0UL), -LINUX_EINVAL);
    all_free();
    core_world_check();
    EXPECT_EQ(core_world_free_pages(), before);
}

KTAP_CASE(core_contig_pinned_page_is_respected)
{
    boot(&(struct world){0});
    uint64_t before = core_world_free_pages();

    for (uint64_t i = 0; i < 4000; i++)
        mine_make(i);
    pfn_t block = ROUND_DOWN(mine[2000], PAGES_PER_BLOCK), where = mine[2000];
    pinned[2000] = true;
    EXPECT_EQ(contig_alloc(w, block, PAGES_PER_BLOCK), -LINUX_EBUSY);
    EXPECT_EQ(mine[2000], where);
    EXPECT_EQ(page_type(page_of(block)), MIGRATE_MOVABLE);
    core_world_check();
    /* Beside it there is room. */
    if (where > block)
        EXPECT_EQ(contig_alloc(w, block, where - block), 0);
    if (where > block)
        contig_free(w, block, where - block);
    pinned[2000] = false;
    EXPECT_EQ(contig_alloc(w, block, PAGES_PER_BLOCK), 0);
    EXPECT(mine[2000] != where);
    EXPECT_EQ(contig_alloc(w, block, 1), -LINUX_EBUSY);
    contig_free(w, block, PAGES_PER_BLOCK);
    /* An isolated block is somebody else's. */
    enum migrate_type type = block_isolate(block);
    EXPECT_EQ(contig_alloc(w, block + 5, 2), -LINUX_EBUSY);
    block_release(block, type);
    all_free();
    core_world_check();
    EXPECT_EQ(core_world_free_pages(), before);
}

/* No place to move to: the pages stay, and the range is what it was. */
KTAP_CASE(core_contig_without_memory)
{
    boot(&(struct world){0});
    uint64_t count = fill();
    pfn_t block = ROUND_UP(mine[count / 2], PAGES_PER_BLOCK);
    long error = contig_alloc(w, block, PAGES_PER_BLOCK);

    EXPECT(error == -LINUX_ENOMEM || error == -LINUX_EBUSY);
    EXPECT_EQ(zones_free_type(MIGRATE_ISOLATE), 0);
    EXPECT(!contig_alloc_pages(w, 512, 512, CONTIG_ANY_NODE));
    all_free();
    core_world_check();
}

/* The memory of programs; each refusal of the kernel and each allocation that fails in turn. */
static void programs_move(void (*inject)(uint64_t n), const char *what)
{
    bool failed = true;
    unsigned rounds = 0;

    boot(&(struct world){.memory_pages = 16384});
    struct client *parent = core_world_program(0);
    /* 200 private pages, and 100 of an object. */
    vaddr_t at = core_world_mmap(parent, 0, 300 * PAGE_BYTES, RW, 0);
    EXPECT_EQ(core_world_call(parent, NR_mmap, at + 200 * PAGE_BYTES, 100 * PAGE_BYTES, RW,
                              MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, (uint64_t)-1),
              (long)(at + 200 * PAGE_BYTES));
    for (uint64_t i = 0; i < 300; i++) {
        uint8_t value = (uint8_t)(i + 1);

        core_world_poke(parent, at + i * PAGE_BYTES, &value, 1);
    }
    struct client *child = core_world_fork(parent, 0);
    for (uint64_t n = 1; failed && n < 20000; n += 1 + n / 6, rounds++) {
        uint64_t which = rounds % 2 ? ktap_random_below(200) : 200 + ktap_random_below(100);
        pfn_t page = entry_page(pt_leaf(parent->mm, at + which * PAGE_BYTES));
        pfn_t block = ROUND_DOWN(page, PAGES_PER_BLOCK);

        core_world_free_pages();
        inject(n);
        long error = contig_alloc(w, block, PAGES_PER_BLOCK);
        failed = sim_failed();
        inject(0);
        if (!error)
            contig_set_state(block, PAGES_PER_BLOCK, PAGE_SERVER);
        core_world_check();
        EXPECT_EQ(zones_free_type(MIGRATE_ISOLATE), 0);
        if (!error)
            contig_free(w, block, PAGES_PER_BLOCK);
        core_world_check();
        for (uint64_t i = 0; i < 300; i++) {
            uint8_t value = 0, other = 0;

            core_world_peek(parent, at + i * PAGE_BYTES, &value, 1);
            core_world_peek(child, at + i * PAGE_BYTES, &other, 1);
            EXPECT(value == (uint8_t)(i + 1) && other == value);
        }
    }
    ktap_note("%u %s failed", rounds - 1, what);
    EXPECT(rounds > 5);
    core_world_end(child);
    core_world_end(parent);
    core_world_check();
}

KTAP_CASE(core_contig_calls_refused)
{
    programs_move(sim_fail_call, "calls");
}

KTAP_CASE(core_contig_allocations_fail)
{
    programs_move(sim_fail_alloc, "allocations");
}

/* Free memory is the easiest: chunks of the largest order lie side by side. */
KTAP_CASE(core_contig_of_free_memory)
{
    static const struct boot_range all[] = {
        {.first_page = SIM_FIRST_PAGE, .pages = 65536, .kind = BOOT_FREE}};

    boot(&(struct world){.memory_pages = 65536, .range = all, .ranges = 1});
    uint64_t before = core_world_free_pages();
    pfn_t first = contig_alloc_pages(w, 20000, 4096, CONTIG_ANY_NODE);

    EXPECT(first && !(first & 4095));
    if (first)
        range_use(first, 20000);
    EXPECT_EQ(w->count[MMCOUNT_contig_moved], 0);
    core_world_check();
    if (first)
        contig_free(w, first, 20000);
    core_world_check();
    EXPECT_EQ(core_world_free_pages(), before);
}

/* ---- areas ---- */

static const struct boot_range lent[] = {
    {.first_page = SIM_FIRST_PAGE, .pages = 8192, .kind = BOOT_FREE},
    {.first_page = SIM_FIRST_PAGE + 8192,
     .pages = AREA_PAGES,
     .kind = BOOT_FREE,
     .flags = BOOT_RANGE_REUSABLE | BOOT_RANGE_CMA | BOOT_RANGE_CMA_DEFAULT},
    {.first_page = SIM_FIRST_PAGE + 8192 + AREA_PAGES,
     .pages = 512,
     .kind = BOOT_FREE,
     .flags = BOOT_RANGE_REUSABLE}};

static void lent_boot(void)
{
    boot(&(struct world){.memory_pages = 8192 + AREA_PAGES + 512,
                         .range = lent,
                         .ranges = ARRAY_COUNT(lent),
                         .harts = 2});
    EXPECT_EQ(cma_count, 2);
    EXPECT_EQ(cma_pages(), AREA_PAGES + 512);
    EXPECT_EQ(cma_areas[0].first, SIM_FIRST_PAGE + 8192);
}

KTAP_CASE(core_cma_is_lent_to_movable_pages_only)
{
    lent_boot();
    static pfn_t own[PAGES_MAX];
    uint64_t count = 0, inside = 0;

    while (count < PAGES_MAX && (own[count] = page_alloc_gfp(w, GFP_ATOMIC | GFP_NOWARN))) {
        EXPECT(page_type(page_of(own[count])) != MIGRATE_CMA);
        page_of(own[count++])->state = PAGE_SERVER;
    }
    EXPECT(zones_free_type(MIGRATE_CMA) == AREA_PAGES + 512);
    uint64_t movable = fill();
    for (uint64_t i = 0; i < movable; i++)
        inside += page_type(page_of(mine[i])) == MIGRATE_CMA;
    EXPECT(inside > AREA_PAGES / 2);
    while (count--)
        page_free(w, own[count]);
    all_free();
    core_world_check();
}

KTAP_CASE(core_cma_taken_back_while_in_use)
{
    lent_boot();
    uint64_t before = core_world_free_pages(), count = fill(), inside = 0;

    for (uint64_t i = 0; i < count; i++) {
        bool in = page_type(page_of(mine[i])) == MIGRATE_CMA;

        inside += in;
        if (!in && i % 2)
            mine_free(i); /* room */
    }
    EXPECT(inside > 1000);
    pfn_t all = cma_alloc(w, CMA_DEFAULT, AREA_PAGES, 0);
    EXPECT_EQ(all, SIM_FIRST_PAGE + 8192);
    range_use(all, AREA_PAGES);
    EXPECT_EQ(cma_areas[0].used, AREA_PAGES);
    EXPECT(!cma_alloc(w, CMA_DEFAULT, 1, 0));
    core_world_check();
    EXPECT(!cma_release(w, all, AREA_PAGES + 1));
    EXPECT(!cma_release(w, all + AREA_PAGES, 1));
    EXPECT(!cma_release(w, all, 0));
    EXPECT(!cma_release(w, all + 1, 5)); /* a part of a piece */
    EXPECT(cma_release(w, all, AREA_PAGES));
    EXPECT(!cma_release(w, all, AREA_PAGES));
    EXPECT_EQ(page_type(page_of(all)), MIGRATE_CMA);
    all_free();
    core_world_check();
    EXPECT_EQ(core_world_free_pages(), before);
    EXPECT_EQ(zones_free_type(MIGRATE_CMA), AREA_PAGES + 512);
}

KTAP_CASE(core_cma_random)
{
    struct {
        pfn_t first;
        uint64_t count;
    } got[32] = {{0, 0}};

    lent_boot();
    uint64_t before = core_world_free_pages();
    for (unsigned i = 0; i < 4000; i++) {
        unsigned g = (unsigned)ktap_random_below(32), align = (unsigned)ktap_random_below(10);
        uint64_t m = ktap_random_below(6000);

        if (mine[m])
            mine_free(m);
        else
            mine_make(m);
        pinned[m] = mine[m] && ktap_random_below(400) == 0;
        if (i % 4)
            continue;
        if (got[g].first) {
            EXPECT(cma_release(w, got[g].first, got[g].count));
            got[g].first = 0;
        } else {
            got[g].count = 1 + ktap_random_below(200);
            got[g].first =
                cma_alloc(w, ktap_random_below(5) ? CMA_DEFAULT : 1, got[g].count, align);
            EXPECT(!(got[g].first & ((1UL << align) - 1)));
            if (got[g].first)
                range_use(got[g].first, got[g].count);
        }
        for (unsigned o = 0; o < 32; o++)
            EXPECT(o == g || !got[o].first || got[o].first >= got[g].first + got[g].count ||
                   got[g].first >= got[o].first + got[o].count);
        if (i % 400 == 0)
            core_world_check();
    }
    EXPECT(cma_areas[0].allocated > 100 && cma_areas[1].allocated > 10);
    for (unsigned g = 0; g < 32; g++)
        EXPECT(!got[g].first || cma_release(w, got[g].first, got[g].count));
    EXPECT(cma_areas[0].used == 0 && cma_areas[1].used == 0);
    all_free();
    core_world_check();
    EXPECT_EQ(core_world_free_pages(), before);
}

KTAP_CASE(core_cma_bad_requests)
{
    lent_boot();
    EXPECT(!cma_alloc(w, 2, 1, 0));
    EXPECT(!cma_alloc(w, 0, 0, 0));
    EXPECT(!cma_alloc(w, 0, AREA_PAGES + 1, 0));
    EXPECT(!cma_alloc(w, 0, ~0UL, 0));
    EXPECT(!cma_alloc(w, 0, 1, 63));
    EXPECT(!cma_alloc(w, 0, 1, 64));
    EXPECT(!cma_alloc(w, 0, 1, 40)); /* no page there is that round */
    EXPECT(!cma_release(w, SIM_FIRST_PAGE, 1));
    EXPECT(!cma_release(w, cma_areas[0].first, 1)); /* not allocated */
    EXPECT(!cma_release(w, cma_areas[0].first + 1, ~0UL));
    EXPECT_EQ(cma_areas[0].used, 0);
    core_world_check();
    boot(&(struct world){0});
    EXPECT_EQ(cma_count, 0);
    EXPECT(!cma_alloc(w, CMA_DEFAULT, 1, 0));
}
