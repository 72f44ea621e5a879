/*
 * Runs of 64 KiB (Svnapot): what makes and breaks one; random calls by a family of spaces against a
 * model; every allocation and call of a life fails once.
 */
#include "core_world.h"
#include "mmserver/core/rmap_walk.h"
#include "mmserver/core/runs.h"

#define RW     (PROT_READ | PROT_WRITE)
#define AREA   0x40000000UL
#define PAGES  96UL /* of the model: six runs, in two leaf tables */
#define START  (AREA + BLOCK_BYTES - 48 * PAGE_BYTES)
#define SPACES 3
#define STEPS  4000

static struct client *program;

static void open_world(const char *args)
{
    core_world_boot(&(struct world){.harts = SPACES, .runs = true, .args = args});
    program = core_world_program(0);
}

static uint64_t entry_of(struct client *c, vaddr_t at)
{
    const uint64_t *entry = pt_entry(c->mm, at, 0);

    return entry ? *entry : 0;
}

static unsigned runs_in(struct client *c, vaddr_t start, vaddr_t end)
{
    unsigned found = 0;

    for (vaddr_t a = start; a < end; a += PAGE_BYTES)
        found += entry_is_run(entry_of(c, a));
    return found / RUN_PAGES;
}

static long call(struct client *c, long number, uint64_t a, uint64_t b, uint64_t p, uint64_t q,
                 uint64_t r)
{
    return core_world_call(c, number, a, b, p, q, r);
}

static uint8_t load(struct client *c, vaddr_t at)
{
    uint8_t value = 0xee;

    EXPECT(sim_access(c, at, SIM_READ, &value).done);
    return value;
}

static struct sim_outcome store(struct client *c, vaddr_t at, uint8_t value)
{
    struct sim_outcome seen = sim_access(c, at, SIM_WRITE, &value);

    EXPECT(seen.done);
    return seen;
}

/* Sixteen pages, each of which says its number. */
static vaddr_t run_map(struct client *c, vaddr_t at, uint64_t pages)
{
    EXPECT_EQ(core_world_mmap(c, at, pages << PAGE_SHIFT, RW, MAP_FIXED), at);
    for (uint64_t i = 0; i < pages; i++)
        store(c, at + (i << PAGE_SHIFT) + 3, (uint8_t)i);
    return at;
}

static void expect_pages(struct client *c, vaddr_t at, uint64_t first, uint64_t end)
{
    for (uint64_t i = first; i < end; i++)
        EXPECT_EQ(load(c, at + (i << PAGE_SHIFT) + 3), (uint8_t)i);
}

KTAP_CASE(core_runs_one_fault_maps_sixteen_pages)
{
    open_world("norandmaps mthp=always");
    uint64_t before = program->mm->anon_pages;
    EXPECT_EQ(core_world_mmap(program, AREA, 40 * PAGE_BYTES, RW, MAP_FIXED), AREA);
    EXPECT_EQ(store(program, AREA + 20 * PAGE_BYTES, 1).faults, 1);
    EXPECT_EQ(runs_in(program, AREA, AREA + 40 * PAGE_BYTES), 1);
    EXPECT_EQ(program->mm->anon_pages, before + RUN_PAGES);
    EXPECT_EQ(store(program, AREA + 31 * PAGE_BYTES, 2).faults, 0);
    /* Not where the VMA ends, nor where something stands. */
    store(program, AREA + 39 * PAGE_BYTES, 1);
    load(program, AREA);
    store(program, AREA + PAGE_BYTES, 1);
    EXPECT_EQ(runs_in(program, AREA, AREA + 40 * PAGE_BYTES), 1);
    EXPECT_EQ(load(program, AREA + 20 * PAGE_BYTES), 1);
    EXPECT_EQ(load(program, AREA + 21 * PAGE_BYTES), 0);
    core_world_check();
    EXPECT_EQ(call(program, NR_munmap, AREA, 40 * PAGE_BYTES, 0, 0, 0), 0);
    EXPECT_EQ(program->mm->anon_pages, before);
    core_world_check();
    core_world_end(program);
    core_world_check();
}

KTAP_CASE(core_runs_as_advised)
{
    open_world("norandmaps");
    vaddr_t at = core_world_mmap(program, AREA, 64 * PAGE_BYTES, RW, MAP_FIXED);

    store(program, at, 1);
    EXPECT_EQ(runs_in(program, at, at + 64 * PAGE_BYTES), 0);
    EXPECT_EQ(call(program, NR_madvise, at, 64 * PAGE_BYTES, MADV_HUGEPAGE, 0, 0), 0);
    store(program, at + RUN_BYTES, 1);
    EXPECT_EQ(runs_in(program, at, at + 64 * PAGE_BYTES), 1);
    EXPECT_EQ(call(program, NR_madvise, at, 64 * PAGE_BYTES, MADV_NOHUGEPAGE, 0, 0), 0);
    store(program, at + 2 * RUN_BYTES, 1);
    EXPECT_EQ(runs_in(program, at, at + 64 * PAGE_BYTES), 1);
    core_world_check();
    core_world_end(program);
    open_world("norandmaps mthp=never");
    at = core_world_mmap(program, AREA, 64 * PAGE_BYTES, RW, MAP_FIXED);
    EXPECT_EQ(call(program, NR_madvise, at, 64 * PAGE_BYTES, MADV_HUGEPAGE, 0, 0), 0);
    store(program, at, 1);
    EXPECT_EQ(runs_in(program, at, at + 64 * PAGE_BYTES), 0);
    core_world_end(program);
}

KTAP_CASE(core_runs_are_kept_whole)
{
    open_world("norandmaps mthp=always");
    vaddr_t at = run_map(program, AREA, 48);

    EXPECT_EQ(call(program, NR_mprotect, at, RUN_BYTES, PROT_READ, 0, 0), 0);
    EXPECT(!sim_access(program, at + 5, SIM_WRITE, NULL).done);
    EXPECT_EQ(call(program, NR_mprotect, at, RUN_BYTES, RW, 0, 0), 0);
    EXPECT_EQ(store(program, at + 3, 0).faults, 0);
    EXPECT_EQ(runs_in(program, at, at + 48 * PAGE_BYTES), 3);
    EXPECT_EQ(call(program, NR_madvise, at + RUN_BYTES, RUN_BYTES, MADV_DONTNEED, 0, 0), 0);
    EXPECT_EQ(runs_in(program, at, at + 48 * PAGE_BYTES), 2);
    EXPECT_EQ(load(program, at + RUN_BYTES), 0);
    expect_pages(program, at, 0, 16);
    expect_pages(program, at, 32, 48);
    core_world_check();
    core_world_end(program);
    core_world_check();
}

/* What takes a part of a run leaves the rest as small pages. */
static void cut_by(void (*cut)(vaddr_t at))
{
    open_world("norandmaps mthp=always");
    vaddr_t at = run_map(program, AREA, 16);

    EXPECT_EQ(runs_in(program, at, at + RUN_BYTES), 1);
    cut(at);
    EXPECT_EQ(runs_in(program, at, at + RUN_BYTES), 0);
    expect_pages(program, at, 0, 4);
    expect_pages(program, at, 8, 16);
    core_world_check();
    core_world_end(program);
    core_world_check();
}

static void cut_munmap(vaddr_t at)
{
    EXPECT_EQ(call(program, NR_munmap, at + 4 * PAGE_BYTES, 4 * PAGE_BYTES, 0, 0, 0), 0);
    EXPECT(!sim_access(program, at + 5 * PAGE_BYTES, SIM_READ, NULL).done);
}

static void cut_mprotect(vaddr_t at)
{
    EXPECT_EQ(call(program, NR_mprotect, at + 4 * PAGE_BYTES, 4 * PAGE_BYTES, PROT_READ, 0, 0), 0);
    expect_pages(program, at, 4, 8);
    EXPECT(!sim_access(program, at + 5 * PAGE_BYTES, SIM_WRITE, NULL).done);
    EXPECT_EQ(store(program, at + 8 * PAGE_BYTES + 3, 8).faults, 0);
}

static void cut_none(vaddr_t at)
{
    EXPECT_EQ(call(program, NR_mprotect, at, RUN_BYTES, PROT_NONE, 0, 0), 0);
    EXPECT_EQ(call(program, NR_mprotect, at, RUN_BYTES, RW, 0, 0), 0);
    expect_pages(program, at, 4, 8);
}

static void cut_dontneed(vaddr_t at)
{
    EXPECT_EQ(call(program, NR_madvise, at + 4 * PAGE_BYTES, 4 * PAGE_BYTES, MADV_DONTNEED, 0, 0),
              0);
    EXPECT_EQ(load(program, at + 5 * PAGE_BYTES + 3), 0);
}

static void cut_free(vaddr_t at)
{
    EXPECT_EQ(call(program, NR_madvise, at + 4 * PAGE_BYTES, 4 * PAGE_BYTES, MADV_FREE, 0, 0), 0);
}

static void cut_guard(vaddr_t at)
{
    EXPECT_EQ(call(program, NR_madvise, at + 4 * PAGE_BYTES, PAGE_BYTES, MADV_GUARD_INSTALL, 0, 0),
              0);
    EXPECT(!sim_access(program, at + 4 * PAGE_BYTES, SIM_READ, NULL).done);
}

static void cut_mremap(vaddr_t at)
{
    EXPECT_EQ(call(program, NR_mremap, at + 4 * PAGE_BYTES, 4 * PAGE_BYTES, 4 * PAGE_BYTES,
                   MREMAP_MAYMOVE | MREMAP_FIXED, at + BLOCK_BYTES),
              (long)(at + BLOCK_BYTES));
    for (uint64_t i = 4; i < 8; i++)
        EXPECT_EQ(load(program, at + BLOCK_BYTES + ((i - 4) << PAGE_SHIFT) + 3), (uint8_t)i);
}

static void cut_migrate(vaddr_t at)
{
    struct worker *w = sim_worker(0);
    pfn_t from = entry_page(pt_leaf(program->mm, at + 5 * PAGE_BYTES)), to = page_alloc_user(w);

    EXPECT_EQ(migrate_page(w, from, to), 0);
    EXPECT_EQ(entry_page(pt_leaf(program->mm, at + 5 * PAGE_BYTES)), to);
    page_free(w, from);
    expect_pages(program, at, 4, 8);
}

static void cut_fork(vaddr_t at)
{
    struct client *child = core_world_fork(program, 1);

    expect_pages(child, at, 0, 16);
    store(child, at + 5 * PAGE_BYTES + 3, 99);
    expect_pages(program, at, 4, 8);
    core_world_check();
    core_world_end(child);
}

static void cut_soft_offline(vaddr_t at)
{
    EXPECT_EQ(core_world_call(core_world_personality(), MM_ADVISE, program->mm->id,
                              at + 5 * PAGE_BYTES, PAGE_BYTES, MADV_SOFT_OFFLINE, 0),
              0);
    expect_pages(program, at, 4, 8);
}

KTAP_CASE(core_runs_broken_by_munmap)
{
    cut_by(cut_munmap);
}
KTAP_CASE(core_runs_broken_by_mprotect)
{
    cut_by(cut_mprotect);
}
KTAP_CASE(core_runs_broken_by_prot_none)
{
    cut_by(cut_none);
}
KTAP_CASE(core_runs_broken_by_dontneed)
{
    cut_by(cut_dontneed);
}
KTAP_CASE(core_runs_broken_by_free)
{
    cut_by(cut_free);
}
KTAP_CASE(core_runs_broken_by_guard)
{
    cut_by(cut_guard);
}
KTAP_CASE(core_runs_broken_by_mremap)
{
    cut_by(cut_mremap);
}
KTAP_CASE(core_runs_broken_by_migration)
{
    cut_by(cut_migrate);
}
KTAP_CASE(core_runs_broken_by_fork)
{
    cut_by(cut_fork);
}
KTAP_CASE(core_runs_broken_by_soft_offline)
{
    cut_by(cut_soft_offline);
}

/* ---- a model ---- */

/* Of a page: mapped, writable, and its byte. */
struct model {
    struct client *c;
    bool mapped[PAGES], writable[PAGES];
    uint8_t byte[PAGES];
};

static vaddr_t page_at(uint64_t page)
{
    return START + (page << PAGE_SHIFT);
}

static void model_touch(struct model *m, uint64_t page)
{
    uint8_t value = (uint8_t)ktap_random(), seen = 0;
    vaddr_t at = page_at(page) + page;

    if (ktap_random_below(2)) {
        bool done = sim_access(m->c, at, SIM_WRITE, &value).done;

        EXPECT_EQ(done, m->mapped[page] && m->writable[page]);
        m->byte[page] = done ? value : m->byte[page];
        return;
    }
    EXPECT_EQ(sim_access(m->c, at, SIM_READ, &seen).done, m->mapped[page]);
    if (m->mapped[page])
        EXPECT_EQ(seen, m->byte[page]);
}

static void model_range(struct model *m, uint64_t first, uint64_t end, unsigned what)
{
    uint64_t bytes = (end - first) << PAGE_SHIFT;
    bool all = true;

    for (uint64_t i = first; i < end; i++)
        all &= m->mapped[i];
    switch (what) {
    case 0:
        EXPECT_EQ(core_world_mmap(m->c, page_at(first), bytes, RW, MAP_FIXED), page_at(first));
        break;
    case 1:
        EXPECT_EQ(call(m->c, NR_munmap, page_at(first), bytes, 0, 0, 0), 0);
        break;
    case 2:
        if (!all)
            return;
        EXPECT_EQ(call(m->c, NR_madvise, page_at(first), bytes, MADV_DONTNEED, 0, 0), 0);
        break;
    default:
        if (!all)
            return;
        EXPECT_EQ(call(m->c, NR_mprotect, page_at(first), bytes, what == 3 ? RW : PROT_READ, 0, 0),
                  0);
        break;
    }
    for (uint64_t i = first; i < end; i++) {
        m->byte[i] = what < 3 ? 0 : m->byte[i];
        m->mapped[i] = what < 2 ? what == 0 : m->mapped[i];
        m->writable[i] = what == 0 || what == 3 || (what == 2 && m->writable[i]);
    }
}

static void model_fork(struct model *family, unsigned from, unsigned to)
{
    if (from == to)
        return;
    if (family[to].c)
        core_world_end(family[to].c);
    struct client *c = core_world_fork(family[from].c, to);
    family[to] = family[from];
    family[to].c = c;
}

static void model_migrate(struct model *m, uint64_t page)
{
    struct worker *w = sim_worker(m->c->hart);

    if (!m->mapped[page])
        return;
    load(m->c, page_at(page)); /* so it is that hart's turn */
    uint64_t entry = pt_leaf(m->c->mm, page_at(page));
    if (!entry_is_leaf(entry) || page_of(entry_page(entry))->state != PAGE_ANON)
        return;
    pfn_t to = page_alloc_user(w);
    long error = migrate_page(w, entry_page(entry), to);
    page_free(w, error ? to : entry_page(entry));
}

KTAP_CASE(core_runs_model)
{
    struct model family[SPACES] = {{0}};
    unsigned made = 0;

    open_world("norandmaps mthp=always");
    family[0].c = program;
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned who = (unsigned)ktap_random_below(SPACES);
        struct model *m = &family[family[who].c ? who : 0];
        uint64_t first = ktap_random_below(PAGES), end;

        end = first + 1 + ktap_random_below(min_u64(40, PAGES - first));
        if (ktap_random_below(4)) {
            for (unsigned i = 0; i < 4; i++)
                model_touch(m, ktap_random_below(PAGES));
        } else if (ktap_random_below(40) == 0) {
            model_fork(family, (unsigned)(m - family), 1 + (unsigned)ktap_random_below(SPACES - 1));
        } else if (ktap_random_below(8) == 0) {
            model_migrate(m, first);
        } else {
            model_range(m, first, end, (unsigned)ktap_random_below(5));
        }
        made += runs_in(m->c, START, page_at(PAGES)) != 0;
        if (step % 64 == 0)
            core_world_check();
    }
    EXPECT(made);
    ktap_note("%u steps ended with runs", made);
    for (unsigned i = 0; i < SPACES; i++)
        if (family[i].c)
            core_world_end(family[i].c);
    core_world_check();
}

/* ---- failures ---- */

static void life(void)
{
    vaddr_t at = core_world_mmap(program, AREA, 32 * PAGE_BYTES, RW, MAP_FIXED);

    if (at != AREA)
        return;
    for (unsigned i = 0; i < 32; i += 5)
        (void)sim_access(program, at + i * PAGE_BYTES, SIM_WRITE, NULL);
    core_world_check();
    (void)call(program, NR_mprotect, at + 3 * PAGE_BYTES, PAGE_BYTES, PROT_READ, 0, 0);
    struct client *child = core_world_fork(program, 1);
    if (child) {
        (void)sim_access(child, at, SIM_WRITE, NULL);
        core_world_end(child);
    }
    core_world_check();
    (void)call(program, NR_munmap, at + 20 * PAGE_BYTES, PAGE_BYTES, 0, 0, 0);
}

static void life_fails(void (*fail)(uint64_t))
{
    bool failed = true;

    for (uint64_t n = 1; failed; n++) {
        open_world("norandmaps mthp=always");
        fail(n);
        life();
        failed = sim_failed();
        fail(0);
        core_world_check();
        core_world_end(program);
        core_world_check();
    }
}

KTAP_CASE(core_runs_each_allocation_fails)
{
    life_fails(sim_fail_alloc);
}

KTAP_CASE(core_runs_each_call_fails)
{
    life_fails(sim_fail_call);
}
