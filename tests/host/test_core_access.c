/* Memory of a program moved from outside, whatever the rights of its mappings. */
#include "core_world.h"
#include "mmserver/core/access.h"
#include "mmserver/core/huge.h"

#define RW    (PROT_READ | PROT_WRITE)
#define PAGES 8

static struct client *program, *looker;
static vaddr_t area, desk; /* what is looked at, and the looker's buffer */
static uint64_t before;    /* anonymous pages of the program when it was started */

static void start(uint64_t prot)
{
    core_world_boot(&(struct world){.harts = 2, .memory_pages = 32768});
    looker = core_world_program(0);
    program = core_world_program(0); /* on the hart that moves: it is the one that ran last */
    desk = core_world_mmap(looker, 0, PAGES * PAGE_BYTES, RW, 0);
    area = core_world_mmap(program, 0x10000000, PAGES * PAGE_BYTES, prot, MAP_FIXED);
    before = program->mm->anon_pages;
}

static long move(vaddr_t address, uint64_t bytes, bool write)
{
    return access_force(sim_worker(0), program->mm, address, looker->mm, desk, bytes, write);
}

static uint8_t peek(vaddr_t address)
{
    uint8_t value = 0xee;

    EXPECT_EQ(move(address, 1, false), 1);
    core_world_peek(looker, desk, &value, 1);
    return value;
}

static void poke(vaddr_t address, uint8_t value)
{
    core_world_poke(looker, desk, &value, 1);
    EXPECT_EQ(move(address, 1, true), 1);
}

static void finish(void)
{
    core_world_check();
    core_world_end(program);
    core_world_end(looker);
    core_world_check();
}

KTAP_CASE(core_access_gives_no_rights)
{
    uint8_t value = 0;

    start(PROT_READ);
    EXPECT_EQ(peek(area), 0);
    poke(area, 5);
    poke(area + PAGE_BYTES, 6);
    EXPECT(sim_access(program, area, SIM_READ, &value).done);
    EXPECT_EQ(value, 5);
    EXPECT_EQ(sim_access(program, area, SIM_WRITE, &value).signal, LINUX_SIGSEGV);
    EXPECT(!(pt_leaf(program->mm, area) & ENTRY_W));
    EXPECT_EQ(program->mm->anon_pages - before, 2);
    finish();
}

KTAP_CASE(core_access_reaches_what_is_hidden)
{
    start(RW);
    poke(area, 1);
    EXPECT_EQ(core_world_call(program, NR_mprotect, area, PAGES * PAGE_BYTES, PROT_NONE, 0, 0), 0);
    EXPECT_EQ(peek(area), 1);
    EXPECT_EQ(peek(area + PAGE_BYTES), 0); /* the zero page, which a write replaces */
    poke(area + PAGE_BYTES, 2);
    poke(area + 2 * PAGE_BYTES, 3);
    EXPECT_EQ(program->mm->parked, 3);
    EXPECT_EQ(program->mm->anon_pages - before, 3);
    EXPECT_EQ(sim_access(program, area, SIM_READ, NULL).signal, LINUX_SIGSEGV);
    core_world_check();
    EXPECT_EQ(core_world_call(program, NR_mprotect, area, PAGES * PAGE_BYTES, RW, 0, 0), 0);
    EXPECT_EQ(program->mm->parked, 0);
    for (uint64_t i = 0; i < 3; i++)
        EXPECT_EQ(peek(area + i * PAGE_BYTES), i + 1);
    finish();
}

KTAP_CASE(core_access_of_a_hidden_file)
{
    uint8_t value = 7;

    start(RW);
    long file = core_world_map_file(program, PROT_NONE, MAP_PRIVATE, WORLD_FILE_BYTES);
    EXPECT(file > 0);
    EXPECT_EQ(peek((vaddr_t)file), core_world_file_byte(0));
    EXPECT_EQ(program->mm->file_pages, 1);
    core_world_check();
    poke((vaddr_t)file, value);
    EXPECT_EQ(program->mm->file_pages, 0);
    poke((vaddr_t)file + PAGE_BYTES + 1, value);
    EXPECT_EQ(peek((vaddr_t)file + PAGE_BYTES), core_world_file_byte(PAGE_BYTES));
    EXPECT_EQ(program->mm->anon_pages - before, 2);
    EXPECT_EQ(move((vaddr_t)file + 2 * PAGE_BYTES, 1, false), -LINUX_EIO);
    finish();
}

/* Parent and child share pages; a write from outside is one side's alone. */
KTAP_CASE(core_access_copies_after_fork)
{
    start(RW);
    poke(area, 1);
    EXPECT_EQ(core_world_call(program, NR_mprotect, area, PAGE_BYTES, PROT_READ, 0, 0), 0);
    EXPECT_EQ(core_world_call(program, NR_mprotect, area + PAGE_BYTES, PAGE_BYTES, PROT_NONE, 0, 0),
              0);
    poke(area + PAGE_BYTES, 2);
    struct client *parent = program, *child = core_world_fork(program, 0);
    program = child;
    poke(area, 8);
    poke(area + PAGE_BYTES, 9);
    EXPECT_EQ(peek(area), 8);
    EXPECT_EQ(peek(area + PAGE_BYTES), 9);
    core_world_check();
    program = parent;
    EXPECT_EQ(peek(area), 1);
    EXPECT_EQ(peek(area + PAGE_BYTES), 2);
    core_world_end(child);
    finish();
}

KTAP_CASE(core_access_of_huge_pages)
{
    start(RW);
    vaddr_t at = core_world_mmap(program, 0x20000000, 2 * BLOCK_BYTES, RW, MAP_FIXED);
    EXPECT_EQ(core_world_call(program, NR_madvise, at, 2 * BLOCK_BYTES, MADV_HUGEPAGE, 0, 0), 0);
    EXPECT_EQ(peek(at + BLOCK_BYTES + 5), 0); /* the huge zero page */
    poke(at + 5, 3);
    poke(at + BLOCK_BYTES + 5, 4);
    EXPECT(entry_is_leaf(huge_entry(program->mm, at)));
    EXPECT_EQ(core_world_call(program, NR_mprotect, at, 2 * BLOCK_BYTES, PROT_READ, 0, 0), 0);
    poke(at + 6, 5);
    EXPECT(entry_is_leaf(huge_entry(program->mm, at)));
    EXPECT_EQ(peek(at + 5), 3);
    EXPECT_EQ(peek(at + 6), 5);
    EXPECT_EQ(peek(at + BLOCK_BYTES + 5), 4);
    finish();
}

KTAP_CASE(core_access_is_checked)
{
    start(PROT_READ);
    EXPECT_EQ(move(area + PAGES * PAGE_BYTES, 1, false), -LINUX_EIO);
    EXPECT_EQ(move(mm_user_end, 1, false), -LINUX_EIO);
    EXPECT_EQ(move(~0UL, 2, true), -LINUX_EIO);
    EXPECT_EQ(move(area, 0, true), 0);
    EXPECT_EQ(move(area, PAGES * PAGE_BYTES, true), PAGES * PAGE_BYTES);
    EXPECT_EQ(move(area + PAGE_BYTES - 1, PAGES * PAGE_BYTES, false), (PAGES - 1) * PAGE_BYTES + 1);
    desk += PAGES * PAGE_BYTES;
    EXPECT_EQ(move(area, 1, true), -LINUX_EFAULT);
    EXPECT_EQ(move(area, 1, false), -LINUX_EFAULT);
    finish();
}

/* Without memory nothing happens, and nothing is lost. */
KTAP_CASE(core_access_without_memory)
{
    start(PROT_READ);
    vaddr_t hidden = core_world_mmap(program, 0, PAGES * PAGE_BYTES, PROT_NONE, 0);
    for (uint64_t n = 1;; n++) {
        sim_fail_alloc(n);
        long seen = move(area, 1, true), parked = move(hidden, 1, true);
        bool failed = sim_failed();
        sim_fail_alloc(0);
        core_world_check();
        if (!failed) {
            EXPECT(seen == 1 && parked == 1);
            break;
        }
        EXPECT(seen != 1 || parked != 1);
    }
    finish();
}
