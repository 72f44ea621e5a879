/* Huge pages of the memory server, on the simulated machine. */
#include "core_world.h"
#include "mmserver/core/contig.h"
#include "mmserver/core/huge.h"

#define RW (PROT_READ | PROT_WRITE)

static struct client *program;

/* 8 MiB of which the middle blocks are whole, wanted as huge pages. */
static vaddr_t open_area(void)
{
    core_world_boot(&(struct world){.harts = 2, .memory_pages = 32768});
    program = core_world_program(0);
    vaddr_t at = core_world_mmap(program, 0x10000000, 4 * BLOCK_BYTES, RW, MAP_FIXED);
    EXPECT_EQ(core_world_call(program, NR_madvise, at, 4 * BLOCK_BYTES, MADV_HUGEPAGE, 0, 0), 0);
    return at;
}

static uint8_t load(vaddr_t at)
{
    uint8_t value = 0xee;

    EXPECT(sim_access(program, at, SIM_READ, &value).done);
    return value;
}

static void store(vaddr_t at, uint8_t value)
{
    EXPECT(sim_access(program, at, SIM_WRITE, &value).done);
}

/* A number for each page of a block, and back. */
static void fill(vaddr_t block)
{
    for (uint64_t i = 0; i < HUGE_PAGES; i++)
        store(block + i * PAGE_BYTES + i, (uint8_t)(i * 3 + 1));
}

static void expect_filled(vaddr_t block, uint64_t first, uint64_t end)
{
    for (uint64_t i = first; i < end; i++)
        EXPECT_EQ(load(block + i * PAGE_BYTES + i), (uint8_t)(i * 3 + 1));
}

static bool is_huge(vaddr_t at)
{
    return entry_is_leaf(huge_entry(program->mm, at));
}

KTAP_CASE(core_huge_write_fault)
{
    vaddr_t at = open_area();
    uint64_t before = program->mm->anon_pages;

    store(at + BLOCK_BYTES + 5, 9);
    EXPECT(is_huge(at + BLOCK_BYTES));
    EXPECT(!is_huge(at));
    EXPECT_EQ(program->mm->anon_pages, before + HUGE_PAGES);
    EXPECT_EQ(load(at + BLOCK_BYTES + 5), 9);
    EXPECT_EQ(load(at + 2 * BLOCK_BYTES - 1), 0);
    core_world_check();
    EXPECT_EQ(core_world_call(program, NR_munmap, at, 4 * BLOCK_BYTES, 0, 0, 0), 0);
    EXPECT_EQ(program->mm->anon_pages, before);
    core_world_check();
}

KTAP_CASE(core_huge_zero_page_and_its_replacement)
{
    vaddr_t at = open_area();
    uint64_t before = program->mm->anon_pages;

    EXPECT_EQ(load(at), 0);
    EXPECT(is_huge(at));
    EXPECT_EQ(program->mm->anon_pages, before);
    core_world_check();
    store(at + 7, 3);
    EXPECT(is_huge(at));
    EXPECT_EQ(load(at + 7), 3);
    EXPECT_EQ(load(at + 8), 0);
    core_world_check();
}

KTAP_CASE(core_huge_not_where_it_does_not_fit_or_is_not_wanted)
{
    vaddr_t at = open_area();

    EXPECT_EQ(core_world_call(program, NR_madvise, at, BLOCK_BYTES, MADV_NOHUGEPAGE, 0, 0), 0);
    store(at, 1);
    EXPECT(!is_huge(at));
    vaddr_t odd = core_world_mmap(program, 0x20001000, 2 * BLOCK_BYTES, RW, MAP_FIXED);
    EXPECT_EQ(core_world_call(program, NR_madvise, odd, 2 * BLOCK_BYTES, MADV_HUGEPAGE, 0, 0), 0);
    store(odd, 1);
    EXPECT(!is_huge(odd));
    store(odd + BLOCK_BYTES, 2);
    EXPECT(is_huge(odd + BLOCK_BYTES));
    core_world_check();
}

KTAP_CASE(core_huge_split_by_munmap)
{
    vaddr_t at = open_area();

    fill(at);
    EXPECT(is_huge(at));
    EXPECT_EQ(core_world_call(program, NR_munmap, at + 100 * PAGE_BYTES, 3 * PAGE_BYTES, 0, 0, 0),
              0);
    EXPECT(!is_huge(at));
    core_world_check();
    expect_filled(at, 0, 100);
    expect_filled(at, 103, HUGE_PAGES);
    EXPECT(!sim_access(program, at + 101 * PAGE_BYTES, SIM_READ, NULL).done);
    core_world_end(program);
    core_world_check();
}

KTAP_CASE(core_huge_split_by_advice)
{
    vaddr_t at = open_area();

    fill(at);
    EXPECT_EQ(core_world_call(program, NR_madvise, at + 8 * PAGE_BYTES, 8 * PAGE_BYTES,
                              MADV_DONTNEED, 0, 0),
              0);
    core_world_check();
    expect_filled(at, 0, 8);
    expect_filled(at, 16, HUGE_PAGES);
    EXPECT_EQ(load(at + 9 * PAGE_BYTES + 9), 0);
    core_world_check();
}

KTAP_CASE(core_huge_protection_of_all_and_of_a_part)
{
    vaddr_t at = open_area();

    fill(at);
    EXPECT_EQ(core_world_call(program, NR_mprotect, at, BLOCK_BYTES, PROT_READ, 0, 0), 0);
    EXPECT(is_huge(at));
    EXPECT(!sim_access(program, at + 3, SIM_WRITE, NULL).done);
    expect_filled(at, 0, HUGE_PAGES);
    core_world_check();
    EXPECT_EQ(core_world_call(program, NR_mprotect, at, BLOCK_BYTES, RW, 0, 0), 0);
    EXPECT(is_huge(at));
    store(at, 1);
    EXPECT_EQ(core_world_call(program, NR_mprotect, at + PAGE_BYTES, PAGE_BYTES, PROT_NONE, 0, 0),
              0);
    EXPECT(!is_huge(at));
    core_world_check();
    EXPECT_EQ(core_world_call(program, NR_mprotect, at, BLOCK_BYTES, RW, 0, 0), 0);
    expect_filled(at, 0, HUGE_PAGES);
    core_world_check();
}

KTAP_CASE(core_huge_moves)
{
    vaddr_t at = open_area();

    fill(at);
    long to = core_world_call(program, NR_mremap, at, BLOCK_BYTES, 2 * BLOCK_BYTES,
                              MREMAP_MAYMOVE | MREMAP_FIXED, 0x40000000);
    EXPECT_EQ(to, 0x40000000);
    expect_filled(0x40000000, 0, HUGE_PAGES);
    core_world_check();
}

KTAP_CASE(core_huge_collapse)
{
    vaddr_t at = open_area();

    EXPECT_EQ(core_world_call(program, NR_madvise, at, BLOCK_BYTES, MADV_NOHUGEPAGE, 0, 0), 0);
    fill(at);
    EXPECT(!is_huge(at));
    EXPECT_EQ(core_world_call(program, NR_madvise, at, BLOCK_BYTES, MADV_HUGEPAGE, 0, 0), 0);
    EXPECT_EQ(core_world_call(program, NR_madvise, at, BLOCK_BYTES, MADV_COLLAPSE, 0, 0), 0);
    EXPECT(is_huge(at));
    expect_filled(at, 0, HUGE_PAGES);
    core_world_check();
    /* With holes, and a page that was only read. */
    EXPECT_EQ(
        core_world_call(program, NR_madvise, at + BLOCK_BYTES, BLOCK_BYTES, MADV_NOHUGEPAGE, 0, 0),
        0);
    store(at + BLOCK_BYTES + PAGE_BYTES, 4);
    load(at + BLOCK_BYTES + 2 * PAGE_BYTES);
    EXPECT_EQ(core_world_call(program, NR_madvise, at, 4 * BLOCK_BYTES, MADV_HUGEPAGE, 0, 0), 0);
    EXPECT_EQ(
        core_world_call(program, NR_madvise, at + BLOCK_BYTES, BLOCK_BYTES, MADV_COLLAPSE, 0, 0),
        0);
    EXPECT(is_huge(at + BLOCK_BYTES));
    EXPECT_EQ(load(at + BLOCK_BYTES + PAGE_BYTES), 4);
    EXPECT_EQ(load(at + BLOCK_BYTES + 2 * PAGE_BYTES), 0);
    EXPECT_EQ(core_world_call(program, NR_madvise, at + 2 * BLOCK_BYTES, BLOCK_BYTES, MADV_COLLAPSE,
                              0, 0),
              -LINUX_EINVAL);
    core_world_check();
    core_world_end(program);
    core_world_check();
}

/* Full blocks become huge while the hart is idle. */
KTAP_CASE(core_huge_collapse_when_idle)
{
    vaddr_t at = open_area();

    EXPECT_EQ(core_world_call(program, NR_madvise, at, 2 * BLOCK_BYTES, MADV_NOHUGEPAGE, 0, 0), 0);
    fill(at);
    store(at + BLOCK_BYTES, 1);
    EXPECT_EQ(core_world_call(program, NR_madvise, at, 4 * BLOCK_BYTES, MADV_HUGEPAGE, 0, 0), 0);
    for (unsigned i = 0; i < 2000 && !is_huge(at); i++)
        sim_idle(0);
    EXPECT(is_huge(at));
    EXPECT(!is_huge(at + BLOCK_BYTES)); /* it has one page only */
    expect_filled(at, 0, HUGE_PAGES);
    core_world_check();
}

/* Each allocation and each kernel call of a huge page's life fails once; nothing is lost. */
static void life(vaddr_t at)
{
    (void)sim_access(program, at + 5, SIM_WRITE, NULL);
    (void)core_world_call(program, NR_madvise, at + PAGE_BYTES, PAGE_BYTES, MADV_DONTNEED, 0, 0);
    (void)core_world_call(program, NR_madvise, at, BLOCK_BYTES, MADV_COLLAPSE, 0, 0);
    (void)core_world_call(program, NR_mprotect, at + PAGE_BYTES, PAGE_BYTES, PROT_READ, 0, 0);
    (void)core_world_call(program, NR_munmap, at + PAGE_BYTES, PAGE_BYTES, 0, 0, 0);
}

KTAP_CASE(core_huge_each_allocation_fails)
{
    bool failed = true;

    for (uint64_t n = 1; failed; n++) {
        vaddr_t at = open_area();

        sim_fail_alloc(n);
        life(at);
        failed = sim_failed();
        sim_fail_alloc(0);
        core_world_check();
        core_world_end(program);
        core_world_check();
    }
}

KTAP_CASE(core_huge_each_call_fails)
{
    bool failed = true;

    for (uint64_t n = 1; failed; n++) {
        vaddr_t at = open_area();

        sim_fail_call(n);
        (void)sim_access(program, at + 5, SIM_WRITE, NULL);
        (void)core_world_call(program, NR_madvise, at + PAGE_BYTES, PAGE_BYTES, MADV_DONTNEED, 0,
                              0);
        failed = sim_failed();
        sim_fail_call(0);
        core_world_check();
        core_world_end(program);
        core_world_check();
    }
}

/* ---- out of the way ---- */

/* The memory of the huge page at `block` is wanted, from `skip` pages on. */
static pfn_t take_its_memory(vaddr_t block, uint64_t skip)
{
    pfn_t pfn = entry_page(huge_entry(program->mm, block));

    EXPECT_EQ(contig_alloc(sim_worker(0), pfn + skip, HUGE_PAGES - skip), 0);
    return pfn + skip;
}

KTAP_CASE(core_huge_moves_as_a_whole)
{
    vaddr_t at = open_area();

    fill(at + BLOCK_BYTES);
    pfn_t pfn = take_its_memory(at + BLOCK_BYTES, 0);
    EXPECT(is_huge(at + BLOCK_BYTES));
    EXPECT(entry_page(huge_entry(program->mm, at + BLOCK_BYTES)) != pfn);
    expect_filled(at + BLOCK_BYTES, 0, HUGE_PAGES);
    store(at + BLOCK_BYTES, 77); /* it may still be written to */
    EXPECT_EQ(load(at + BLOCK_BYTES), 77);
    contig_free(sim_worker(0), pfn, HUGE_PAGES);
    core_world_check();
}

KTAP_CASE(core_huge_moves_for_a_part_of_it)
{
    vaddr_t at = open_area();

    fill(at + BLOCK_BYTES);
    pfn_t pfn = take_its_memory(at + BLOCK_BYTES, 300);
    expect_filled(at + BLOCK_BYTES, 0, HUGE_PAGES);
    contig_free(sim_worker(0), pfn, HUGE_PAGES - 300);
    core_world_check();
}

/* Memory is taken but for some halves of pieces of that size: the page is split, and its pages move
 * there. */
KTAP_CASE(core_huge_is_split_to_move)
{
    const gfp_t gfp = (GFP_USER & ~(gfp_t)GFP_DIRECT_RECLAIM) | GFP_NOWARN;
    static pfn_t taken[128];
    unsigned count = 0, freed = 0;
    vaddr_t at = open_area();

    fill(at + BLOCK_BYTES);
    while (count < 128 && (taken[count] = pages_alloc(sim_worker(0), HUGE_ORDER - 1, gfp)))
        count++;
    EXPECT(count > 8 && count < 128);
    for (unsigned i = 0; i < count && freed < 4; i++) {
        if (taken[i] & (HUGE_PAGES / 2))
            continue;
        pages_free(sim_worker(0), taken[i], HUGE_ORDER - 1);
        taken[i] = 0;
        freed++;
    }
    EXPECT_EQ(freed, 4);
    pfn_t pfn = take_its_memory(at + BLOCK_BYTES, 0);
    EXPECT(!is_huge(at + BLOCK_BYTES));
    expect_filled(at + BLOCK_BYTES, 0, HUGE_PAGES);
    contig_free(sim_worker(0), pfn, HUGE_PAGES);
    while (count--)
        if (taken[count])
            pages_free(sim_worker(0), taken[count], HUGE_ORDER - 1);
    core_world_check();
}

/* The kernel refuses what it may refuse: all stays, or it has moved. */
KTAP_CASE(core_huge_move_refused)
{
    vaddr_t at = open_area();

    for (uint64_t n = 1; n <= 4; n++) {
        vaddr_t block = at + (n - 1) * BLOCK_BYTES;

        fill(block);
        pfn_t pfn = entry_page(huge_entry(program->mm, block));
        sim_fail_call(n);
        long error = contig_alloc(sim_worker(0), pfn, HUGE_PAGES);
        sim_fail_call(0);
        expect_filled(block, 0, HUGE_PAGES);
        store(block + 1, 5);
        if (!error)
            contig_free(sim_worker(0), pfn, HUGE_PAGES);
        core_world_check();
    }
}
