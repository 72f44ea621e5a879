/*
 * The program break. The kernel is asked directly; malloc stays away between calls that matter,
 * because it takes its memory from the same place.
 */
#include <string.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "ktap.h"
#include "pg.h"

extern char _end[];

static uintptr_t set_break(uintptr_t end)
{
    return (uintptr_t)pg_syscall(SYS_brk, end);
}

/* The present break, moved up to a page boundary, so that tests start on a page of their own. */
static uintptr_t aligned_break(void)
{
    uintptr_t now = set_break(0);

    return set_break((now + PAGE - 1) & -PAGE);
}

KTAP_CASE(starts_behind_the_program)
{
    EXPECT(set_break(0) >= (uintptr_t)_end);
}

KTAP_CASE(zero_asks_and_changes_nothing)
{
    uintptr_t now = set_break(0);

    EXPECT_EQ(set_break(0), now);
}

KTAP_CASE(grows_by_pages)
{
    uintptr_t start = aligned_break();

    EXPECT_EQ(set_break(start + 8 * PAGE), start + 8 * PAGE);
    EXPECT(ktap_all_bytes((void *)start, 8 * PAGE, 0));
    memset((void *)start, 1, 8 * PAGE);
    EXPECT(ktap_all_bytes((void *)start, 8 * PAGE, 1));
    EXPECT_EQ(set_break(start), start);
}

KTAP_CASE(grows_by_bytes)
{
    uintptr_t start = aligned_break();

    EXPECT_EQ(set_break(start + 1), start + 1);
    *(volatile char *)start = 1;
    EXPECT_EQ(set_break(start + 100), start + 100);
    EXPECT_EQ(*(volatile char *)start, 1);
    EXPECT_EQ(set_break(start), start);
}

KTAP_CASE(shrinks)
{
    uintptr_t start = aligned_break();

    set_break(start + 8 * PAGE);
    memset((void *)start, 2, 8 * PAGE);
    EXPECT_EQ(set_break(start + 4 * PAGE), start + 4 * PAGE);
    EXPECT(ktap_all_bytes((void *)start, 4 * PAGE, 2));
    EXPECT_EQ(set_break(start), start);
}

KTAP_CASE(regrown_pages_are_zero)
{
    uintptr_t start = aligned_break();

    set_break(start + 4 * PAGE);
    memset((void *)start, 3, 4 * PAGE);
    set_break(start);
    EXPECT_EQ(set_break(start + 4 * PAGE), start + 4 * PAGE);
    EXPECT(ktap_all_bytes((void *)start, 4 * PAGE, 0));
    EXPECT_EQ(set_break(start), start);
}

KTAP_CASE(below_the_start_changes_nothing)
{
    uintptr_t now = aligned_break();

    EXPECT_EQ(set_break(0x1000), now);
    EXPECT_EQ(set_break(0), now);
}

KTAP_CASE(beyond_the_address_space_changes_nothing)
{
    uintptr_t now = aligned_break();

    EXPECT_EQ(set_break(1ul << 62), now);
    EXPECT_EQ(set_break(UINTPTR_MAX), now);
    EXPECT_EQ(set_break(0), now);
}

KTAP_CASE(does_not_grow_over_a_mapping)
{
    uintptr_t start = aligned_break();
    long obstacle = SYSCALL(SYS_mmap, start + 16 * PAGE, PAGE, 3l, 0x32l, -1l, 0l);

    REQUIRE(obstacle == (long)(start + 16 * PAGE));
    *(volatile char *)obstacle = 5;
    EXPECT_EQ(set_break(start + 32 * PAGE), start);
    EXPECT_EQ(*(volatile char *)obstacle, 5);
    SYSCALL(SYS_munmap, obstacle, PAGE);
    EXPECT_EQ(set_break(start + 32 * PAGE), start + 32 * PAGE);
    EXPECT_EQ(set_break(start), start);
}

KTAP_CASE(shows_as_heap_in_maps)
{
    struct ktap_vma vma[2];
    uintptr_t start = aligned_break();

    set_break(start + 4 * PAGE);
    *(volatile char *)start = 1;
    EXPECT(ktap_vmas((void *)start, (void *)(start + 4 * PAGE), vma, 2) >= 1);
    EXPECT(strcmp(vma[0].prot, "rw-p") == 0);
}

KTAP_CHILD(touch_behind_break)
{
    uintptr_t start = aligned_break();

    set_break(start + PAGE);
    *(volatile char *)start = 1;
    set_break(start);
    *(volatile char *)start = 2;
    return 0;
}

KTAP_CASE(memory_behind_the_break_is_gone)
{
    SKIP_EMULATED("keeps the pages");
    EXPECT_CHILD_SIGNAL("touch_behind_break", "", SIGSEGV);
}
