/*
 * Compaction: on pages of nobody but the test, which says which of them can be moved; and on the
 * memory of programs that fork, fault and unmap meanwhile. What every page holds is looked at
 * after each; all that is freed comes back as the chunks that it was.
 */
#include "core_world.h"

#include "mmserver/core/compact.h"
#include "mmserver/core/isolate.h"
#include "mmserver/core/zone.h"
#include <stdlib.h>
#include <string.h>

#define FAKE_STATE PAGE_NATIVE /* of no program here */
#define FAKES_MAX  16384
#define STEPS_MAX  10000

static struct worker *const w = &workers[0];

/* ---- free chunks by zone and order ---- */

struct picture {
    uint64_t chunks[ZONES_MAX][ORDERS];
};

static struct picture picture_take(void)
{
    struct picture p = {{{0}}};

    core_world_free_pages();
    zone_for_each(z)
    {
        lock_take(&z->lock);
        while (block_make_data_locked(w, z))
            ;
        lock_drop(&z->lock);
        for (unsigned order = 0; order < ORDERS; order++) {
            for (unsigned type = 0; type < MIGRATE_TYPES; type++)
                p.chunks[z->home][order] += z->area[order][type].chunks;
        }
        p.chunks[z->home][ORDER_MAX] += z->deferred_pages >> ORDER_MAX;
    }
    return p;
}

static void picture_compare(const struct picture *before)
{
    const struct picture now = picture_take();

    for (unsigned z = 0; z < ZONES_MAX; z++) {
        for (unsigned order = 0; order < ORDERS; order++)
            EXPECT_EQ(now.chunks[z][order], before->chunks[z][order]);
    }
    core_world_check();
}

/* ---- movable pages without a reverse map: page->index says whose they are ---- */

static struct {
    pfn_t pfn; /* 0: not in use */
    uint64_t mark;
    bool pinned;
} fake[FAKES_MAX];
static uint64_t busy_one_in; /* 0: no page is ever busy */

static bool fake_possible(const struct page *page)
{
    return !fake[page->index].pinned;
}

static long fake_move(struct worker *by, pfn_t from, pfn_t to)
{
    struct page *page = page_of(from), *other = page_of(to);
    uint64_t i = page->index;

    (void)by;
    EXPECT(page->state == FAKE_STATE && fake[i].pfn == from && !fake[i].pinned);
    EXPECT(other->state == PAGE_USED && other->order == 0 && zone_of(page) == zone_of(other));
    if (busy_one_in && ktap_random_below(busy_one_in) == 0)
        return ktap_random_below(2) ? -LINUX_EAGAIN : -LINUX_ENOMEM;
    memcpy(page_pointer(to), page_pointer(from), PAGE_BYTES);
    memset(page_pointer(from), 0xee, PAGE_BYTES);
    other->index = i;
    other->state = FAKE_STATE;
    page->state = PAGE_USED;
    fake[i].pfn = to;
    return 0;
}

static const struct movable_ops fake_ops = {fake_possible, fake_move, NULL};

static uint64_t *fake_words(uint64_t i)
{
    return page_pointer(fake[i].pfn);
}

static bool fake_make(uint64_t i, gfp_t gfp)
{
    fake[i].pfn = pages_alloc(w, 0, gfp | GFP_NOWARN);
    if (!fake[i].pfn)
        return false;
    page_of(fake[i].pfn)->index = i;
    page_of(fake[i].pfn)->state = FAKE_STATE;
    fake[i].mark = ktap_random();
    fake[i].pinned = false;
    fake_words(i)[0] = fake_words(i)[511] = fake[i].mark;
    return true;
}

static void fake_free(uint64_t i)
{
    EXPECT(fake_words(i)[0] == fake[i].mark && fake_words(i)[511] == fake[i].mark);
    EXPECT_EQ(page_of(fake[i].pfn)->index, i);
    pages_free(w, fake[i].pfn, 0);
    fake[i].pfn = 0;
}

/* All memory but the last pages; how many. */
static uint64_t fakes_fill(gfp_t gfp)
{
    uint64_t count = 0;

    memset(fake, 0, sizeof fake);
    busy_one_in = 0;
    while (count < FAKES_MAX && fake_make(count, gfp))
        count++;
    return count;
}

static void fakes_end(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        if (fake[i].pfn)
            fake_free(i);
    }
}

static void boot(const struct world *world)
{
    movable_register(FAKE_STATE, NULL);
    core_world_boot(world);
    movable_register(FAKE_STATE, &fake_ops);
}

static void fakes_thin(uint64_t count, uint64_t one_in)
{
    for (uint64_t i = 0; i < count; i++) {
        if (i % one_in == 0)
            fake_free(i);
    }
}

static uint64_t free_blocks(void)
{
    uint64_t pages = 0;

    zone_for_each(z)
    {
        pages += zone_free_above(z, BLOCK_ORDER);
    }
    return pages >> BLOCK_ORDER;
}

static void compact_whole(void)
{
    bool begin = true;
    unsigned steps = 0;

    for (; compact_all(w, begin) && steps < STEPS_MAX; steps++)
        begin = false;
    EXPECT(steps < STEPS_MAX);
}

KTAP_CASE(core_compact_every_other_page)
{
    boot(&(struct world){0});
    const struct picture before = picture_take();
    uint64_t count = fakes_fill(GFP_USER);

    fakes_thin(count, 2);
    EXPECT_EQ(free_blocks(), 0);
    compact_whole();
    core_world_free_pages();
    /* Half of it is free; but for some blocks at the edges all of that is whole blocks. */
    EXPECT(free_blocks() + 6 >= count / 2 / PAGES_PER_BLOCK);
    fakes_end(count);
    picture_compare(&before);
}

KTAP_CASE(core_compact_direct_makes_a_chunk)
{
    boot(&(struct world){0});
    const struct picture before = picture_take();
    uint64_t count = fakes_fill(GFP_USER);

    fakes_thin(count, 2);
    for (unsigned order = 1; order <= ORDER_MAX; order++) {
        pfn_t pfn = pages_alloc(w, order, GFP_KERNEL | GFP_NOWARN);

        EXPECT(pfn != 0);
        if (pfn)
            pages_free(w, pfn, order);
    }
    /* Who may not wait gets none. */
    EXPECT(w->count[MMCOUNT_compact_success] > 0);
    fakes_end(count);
    picture_compare(&before);
}

KTAP_CASE(core_compact_pinned_pages_stay)
{
    boot(&(struct world){0});
    const struct picture before = picture_take();
    uint64_t count = fakes_fill(GFP_USER);
    static pfn_t where[FAKES_MAX];

    fakes_thin(count, 2);
    for (uint64_t i = 0; i < count; i++) {
        fake[i].pinned = fake[i].pfn && ktap_random_below(100) == 0;
        where[i] = fake[i].pfn;
    }
    compact_whole();
    uint64_t moved = 0;
    for (uint64_t i = 0; i < count; i++) {
        EXPECT(!fake[i].pinned || fake[i].pfn == where[i]);
        moved += fake[i].pfn != where[i];
    }
    EXPECT(moved > 0);
    fakes_end(count);
    picture_compare(&before);
}

/* With a page in every block that cannot move there is no block to be had; that is found out, and
 * not tried again each time. */
KTAP_CASE(core_compact_in_vain_is_deferred)
{
    boot(&(struct world){0});
    uint64_t count = fakes_fill(GFP_USER);

    fakes_thin(count, 2);
    for (uint64_t i = 0; i < count; i++)
        fake[i].pinned = fake[i].pfn && fake[i].pfn % 64 < 2;
    for (unsigned i = 0; i < 100; i++)
        EXPECT_EQ(pages_alloc(w, BLOCK_ORDER, GFP_KERNEL | GFP_NOWARN), 0);
    uint64_t tried = w->count[MMCOUNT_compact_direct], put_off = w->count[MMCOUNT_compact_deferred];
    EXPECT(tried < 20 && put_off > 80);
    /* Smaller ones are there. */
    pfn_t pfn = pages_alloc(w, 4, GFP_KERNEL | GFP_NOWARN);
    EXPECT(pfn != 0);
    pages_free(w, pfn, 4);
    for (uint64_t i = 0; i < count; i++)
        fake[i].pinned = false;
    for (unsigned i = 0; i < 130 && !(pfn = pages_alloc(w, BLOCK_ORDER, GFP_KERNEL | GFP_NOWARN));)
        i++;
    EXPECT(pfn != 0);
    if (pfn)
        pages_free(w, pfn, BLOCK_ORDER);
    fakes_end(count);
    core_world_check();
}

KTAP_CASE(core_compact_idle_harts_gather)
{
    boot(&(struct world){.harts = 2});
    uint64_t count = fakes_fill(GFP_USER);

    fakes_thin(count, 2);
    for (unsigned i = 0; i < 3000; i++)
        sim_idle(i % 2);
    EXPECT(free_blocks() > 0);
    struct zone *z = &zones[ZONE_DMA32];
    EXPECT(zone_unusable_index(z, BLOCK_ORDER) <= 900);
    /* And when there is nothing to gain they come to rest. */
    uint64_t steps = w->count[MMCOUNT_compact_step];
    for (unsigned i = 0; i < 1000; i++)
        sim_idle(0);
    EXPECT_EQ(w->count[MMCOUNT_compact_step], steps);
    compact_proactiveness = 0;
    fakes_end(count);
    compact_proactiveness = 20;
    core_world_check();
}

/* Nodes and zones of their own: pages never leave theirs (fake_move looks). */
KTAP_CASE(core_compact_zone_by_zone)
{
    static const struct boot_range range[] = {
        {.first_page = SIM_FIRST_PAGE, .pages = 8192 + 300, .kind = BOOT_FREE, .node = 0},
        {.first_page = SIM_FIRST_PAGE + 10240, .pages = 7000, .kind = BOOT_FREE, .node = 1}};

    boot(&(struct world){.memory_pages = 20480,
                         .range = range,
                         .ranges = ARRAY_COUNT(range),
                         .args = "norandmaps movablecore=16M"});
    const struct picture before = picture_take();
    uint64_t count = fakes_fill(GFP_USER);
    uint64_t used[ZONES_MAX] = {0}, now[ZONES_MAX] = {0};

    EXPECT(count > 10000);
    for (uint64_t i = 0; i < count; i++) {
        if (ktap_random_below(3))
            fake_free(i);
        else
            used[zone_of(page_of(fake[i].pfn))->home]++;
    }
    busy_one_in = 500;
    compact_whole();
    core_world_check();
    busy_one_in = 0;
    compact_whole();
    for (uint64_t i = 0; i < count; i++) {
        if (fake[i].pfn)
            now[zone_of(page_of(fake[i].pfn))->home]++;
    }
    EXPECT(!memcmp(used, now, sizeof used));
    EXPECT(free_blocks() > count / 2 / PAGES_PER_BLOCK / 2);
    fakes_end(count);
    picture_compare(&before);
}

/* ---- a random life of fake pages, chunks of others, and compactions of all kinds ---- */

KTAP_CASE(core_compact_random)
{
    boot(&(struct world){.harts = 2});
    const struct picture before = picture_take();
    struct {
        pfn_t pfn;
        unsigned order;
    } chunk[64] = {{0, 0}};
    const struct compact_goal whole = {.type = MIGRATE_MOVABLE, .whole = true};

    memset(fake, 0, sizeof fake);
    busy_one_in = 7;
    for (unsigned i = 0; i < 60000; i++) {
        uint64_t f = ktap_random_below(14000), c = ktap_random_below(64);

        if (fake[f].pfn && ktap_random_below(3) == 0)
            fake_free(f);
        else if (fake[f].pfn)
            fake[f].pinned = ktap_random_below(50) == 0;
        else
            fake_make(f, GFP_USER);
        if (i % 8 == 0 && chunk[c].pfn) {
            pages_free(w, chunk[c].pfn, chunk[c].order);
            chunk[c].pfn = 0;
        } else if (i % 8 == 0) {
            chunk[c].order = (unsigned)ktap_random_below(8);
            chunk[c].pfn = pages_alloc(w, chunk[c].order, GFP_KERNEL | GFP_NOWARN);
            if (chunk[c].pfn)
                page_of(chunk[c].pfn)->state = PAGE_SERVER;
        }
        if (i % 50 == 0)
            compact_step(sim_worker((uint32_t)ktap_random_below(2)), &zones[ZONE_DMA32], &whole);
        if (i % 200 == 0)
            sim_idle((uint32_t)ktap_random_below(2));
        if (i % 6000 == 0)
            core_world_check();
    }
    for (unsigned c = 0; c < 64; c++) {
        if (chunk[c].pfn)
            pages_free(w, chunk[c].pfn, chunk[c].order);
    }
    fakes_end(FAKES_MAX);
    picture_compare(&before);
}

/* ---- programs ---- */

#define RW       (PROT_READ | PROT_WRITE)
#define PROGRAMS 4
#define AREA     1200 /* pages of each program */

static struct client *program[PROGRAMS];
static vaddr_t area[PROGRAMS];
static uint8_t model[PROGRAMS][AREA]; /* what page i holds; 0: never written */

static void program_make(unsigned p)
{
    program[p] = core_world_program(p % 2);
    area[p] = core_world_mmap(program[p], 0, AREA * PAGE_BYTES, RW, 0);
    memset(model[p], 0, AREA);
}

static void program_poke(unsigned p, uint64_t i)
{
    uint8_t value = (uint8_t)(1 + ktap_random_below(255));

    core_world_poke(program[p], area[p] + i * PAGE_BYTES + i % PAGE_BYTES, &value, 1);
    model[p][i] = value;
}

static void program_look(unsigned p)
{
    for (uint64_t i = 0; i < AREA; i++) {
        uint8_t value = 0;

        core_world_peek(program[p], area[p] + i * PAGE_BYTES + i % PAGE_BYTES, &value, 1);
        EXPECT_EQ(value, model[p][i]);
    }
}

/* Another program becomes a copy of p. */
static void program_fork(unsigned p, unsigned child)
{
    core_world_end(program[child]);
    program[child] = core_world_fork(program[p], child % 2);
    EXPECT(program[child] != NULL);
    area[child] = area[p];
    memcpy(model[child], model[p], AREA);
}

/* A step by a hart, which has just come to rest. */
static void compact_by(uint32_t hart)
{
    sim_idle(hart);
    if (!compact_all(sim_worker(hart), false))
        compact_all(sim_worker(hart), true);
}

static void program_step(unsigned p)
{
    uint64_t i = ktap_random_below(AREA), count = 1 + ktap_random_below(64);

    count = min_u64(count, AREA - i);
    switch (ktap_random_below(8)) {
    case 0:
        core_world_call(program[p], NR_madvise, area[p] + i * PAGE_BYTES, count * PAGE_BYTES,
                        MADV_DONTNEED, 0, 0);
        memset(&model[p][i], 0, count);
        break;
    case 1:
        core_world_call(program[p], NR_mprotect, area[p] + i * PAGE_BYTES, count * PAGE_BYTES,
                        PROT_NONE, 0, 0);
        compact_by(p % 2);
        core_world_call(program[p], NR_mprotect, area[p] + i * PAGE_BYTES, count * PAGE_BYTES, RW,
                        0, 0);
        break;
    case 2:
        if (ktap_random_below(20) == 0)
            program_fork(p, (p + 1) % PROGRAMS);
        break;
    default:
        for (; count--; i++)
            program_poke(p, i);
    }
}

/* Free pages when there are no programs; what stays from the first ones is no leak. */
static uint64_t programs_settle(void)
{
    struct client *first = core_world_program(0), *second = core_world_fork(first, 0);

    core_world_end(first);
    core_world_end(second);
    return core_world_free_pages();
}

KTAP_CASE(core_compact_under_programs)
{
    boot(&(struct world){.harts = 2, .memory_pages = 20480});
    uint64_t before = programs_settle();

    for (unsigned p = 0; p < PROGRAMS; p++)
        program_make(p);
    for (unsigned i = 0; i < 1500; i++) {
        program_step((unsigned)ktap_random_below(PROGRAMS));
        compact_by((uint32_t)i % 2);
        if (i % 100 == 0)
            core_world_check();
    }
    EXPECT(w->count[MMCOUNT_compact_moved] + workers[1].count[MMCOUNT_compact_moved] > 1000);
    for (unsigned p = 0; p < PROGRAMS; p++)
        program_look(p);
    for (unsigned p = 0; p < PROGRAMS; p++)
        core_world_end(program[p]);
    core_world_check();
    EXPECT_EQ(core_world_free_pages(), before);
}

/* An address space that is locked, or just looked at by a fault, keeps its pages where they are. */
KTAP_CASE(core_compact_leaves_busy_spaces_alone)
{
    boot(&(struct world){.harts = 2});
    program_make(0);
    for (uint64_t i = 0; i < AREA; i++)
        program_poke(0, i);
    for (uint64_t i = 0; i < AREA; i += 2) {
        core_world_call(program[0], NR_madvise, area[0] + i * PAGE_BYTES, PAGE_BYTES, MADV_DONTNEED,
                        0, 0);
        model[0][i] = 0;
    }
    uint64_t moved = w->count[MMCOUNT_compact_moved];

    mm_lock(program[0]->mm);
    compact_whole();
    mm_unlock(program[0]->mm);
    mm_read(sim_worker(1), program[0]->mm);
    compact_whole();
    mm_read_end(sim_worker(1));
    mm_read(w, program[0]->mm);
    compact_whole();
    mm_read_end(w);
    EXPECT(w->count[MMCOUNT_compact_busy] > AREA / 2);
    uint64_t kept = w->count[MMCOUNT_compact_moved];
    program_look(0);
    compact_whole();
    EXPECT(w->count[MMCOUNT_compact_moved] > kept);
    EXPECT(moved <= kept);
    program_look(0);
    core_world_end(program[0]);
    core_world_check();
}

/* Each call that the kernel may refuse, refused once: nothing is lost, whatever was half done. */
KTAP_CASE(core_compact_refused_at_every_step)
{
    bool failed = true;

    for (uint64_t n = 1; failed && n < 20000; n += 1 + n / 8) {
        boot(&(struct world){.memory_pages = 10240});
        uint64_t before = programs_settle();

        program_make(0);
        for (uint64_t i = 0; i < 200; i++)
            program_poke(0, i);
        program[1] = NULL;
        program[1] = core_world_fork(program[0], 0);
        area[1] = area[0];
        memcpy(model[1], model[0], AREA);
        for (uint64_t i = 0; i < 200; i += 3)
            program_poke(1, i);
        core_world_free_pages();
        sim_fail_call(n);
        compact_whole();
        failed = sim_failed();
        sim_fail_call(0);
        core_world_check();
        program_look(0);
        program_look(1);
        core_world_end(program[0]);
        core_world_end(program[1]);
        core_world_check();
        EXPECT_EQ(core_world_free_pages(), before);
    }
    EXPECT(!failed);
}
