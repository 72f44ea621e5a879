/* mremap: mappings shrink, grow and move with what is in them, and the errors. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "ktap.h"
#include "pg.h"

#define RW        (PROT_READ | PROT_WRITE)
#define MAY_MOVE  1L
#define FIXED     2L
#define DONTUNMAP 4L
#define TABLE     (512 * PAGE) /* what a leaf table maps */

static long remap(const void *from, size_t old, size_t new, long flags, const void *to)
{
    return SYSCALL(SYS_mremap, from, old, new, flags, to);
}

/* Page n of `pages` holds n + 1. */
static void number_pages(uint8_t *p, size_t pages)
{
    for (size_t n = 0; n < pages; n++)
        memset(p + n * PAGE, (int)(n + 1), PAGE);
}

static bool numbered(const uint8_t *p, size_t pages, size_t first)
{
    for (size_t n = 0; n < pages; n++) {
        if (!ktap_all_bytes(p + n * PAGE, PAGE, (uint8_t)(first + n + 1)))
            return false;
    }
    return true;
}

static int vmas(const uint8_t *from, const uint8_t *to)
{
    struct ktap_vma vma[8];

    return ktap_vmas(from, to, vma, 8);
}

KTAP_CASE(shrinks_where_it_is)
{
    uint8_t *p = ktap_map(6 * PAGE, RW);

    REQUIRE(p != NULL);
    number_pages(p, 6);
    EXPECT_EQ(remap(p, 6 * PAGE, 2 * PAGE, 0, NULL), (long)p);
    EXPECT(numbered(p, 2, 0));
    EXPECT_EQ(vmas(p + 2 * PAGE, p + 6 * PAGE), 0);
    munmap(p, 2 * PAGE);
}

KTAP_CASE(grows_where_there_is_room)
{
    uint8_t *p = ktap_map(8 * PAGE, RW);

    REQUIRE(p != NULL);
    munmap(p + 2 * PAGE, 6 * PAGE);
    number_pages(p, 2);
    EXPECT_EQ(remap(p, 2 * PAGE, 8 * PAGE, 0, NULL), (long)p);
    EXPECT(numbered(p, 2, 0) && ktap_all_bytes(p + 2 * PAGE, 6 * PAGE, 0));
    EXPECT_EQ(vmas(p, p + 8 * PAGE), 1);
    munmap(p, 8 * PAGE);
}

KTAP_CASE(grows_elsewhere_if_it_may)
{
    uint8_t *p = ktap_map(4 * PAGE, RW);

    REQUIRE(p != NULL);
    number_pages(p, 4);
    /* The first two cannot grow over the next two. */
    EXPECT_ERROR(remap(p, 2 * PAGE, 3 * PAGE, 0, NULL), ENOMEM);
    long at = remap(p, 2 * PAGE, 3 * PAGE, MAY_MOVE, NULL);
    REQUIRE(at > 0);
    EXPECT(at != (long)p && numbered((void *)at, 2, 0));
    EXPECT(ktap_all_bytes((uint8_t *)at + 2 * PAGE, PAGE, 0));
    EXPECT(numbered(p + 2 * PAGE, 2, 2));
    munmap((void *)at, 3 * PAGE);
    munmap(p + 2 * PAGE, 2 * PAGE);
}

KTAP_CASE(moves_across_leaf_tables)
{
    uint8_t *p = ktap_map(4 * TABLE, RW);
    uint8_t *from = (uint8_t *)(((uintptr_t)p + 2 * TABLE - 1) & ~(TABLE - 1)) - 4 * PAGE;
    uint8_t *to = from + TABLE + 3 * PAGE;

    REQUIRE(p != NULL);
    number_pages(from, 9);
    EXPECT_EQ(remap(from, 9 * PAGE, 9 * PAGE, MAY_MOVE | FIXED, to), (long)to);
    EXPECT(numbered(to, 9, 0));
    EXPECT_EQ(vmas(from, from + 9 * PAGE), 0);
    munmap(p, 4 * TABLE);
}

KTAP_CASE(what_was_there_goes)
{
    uint8_t *p = ktap_map(8 * PAGE, RW);

    REQUIRE(p != NULL);
    number_pages(p, 8);
    EXPECT_EQ(remap(p, 3 * PAGE, 3 * PAGE, MAY_MOVE | FIXED, p + 5 * PAGE), (long)(p + 5 * PAGE));
    EXPECT(numbered(p + 5 * PAGE, 3, 0) && numbered(p + 3 * PAGE, 2, 3));
    munmap(p, 8 * PAGE);
}

/* The copy becomes one with the mapping that it was cut from, and still leaves a hole. */
KTAP_CASE(moves_right_behind_itself)
{
    uint8_t *p = ktap_map(22 * PAGE, PROT_NONE);

    REQUIRE(p != NULL);
    munmap(p + 12 * PAGE, 10 * PAGE);
    EXPECT_EQ(remap(p + 6 * PAGE, 6 * PAGE, 10 * PAGE, MAY_MOVE | FIXED, p + 12 * PAGE),
              (long)(p + 12 * PAGE));
    EXPECT_EQ(vmas(p + 6 * PAGE, p + 12 * PAGE), 0);
    EXPECT_EQ(vmas(p, p + 6 * PAGE), 1);
    EXPECT_EQ(vmas(p + 12 * PAGE, p + 22 * PAGE), 1);
    EXPECT_EQ(mprotect(p + 12 * PAGE, 10 * PAGE, RW), 0);
    memset(p + 12 * PAGE, 1, 10 * PAGE);
    munmap(p, 22 * PAGE);
}

KTAP_CASE(moves_right_before_itself)
{
    uint8_t *p = ktap_map(16 * PAGE, RW);

    REQUIRE(p != NULL);
    munmap(p, 4 * PAGE);
    EXPECT_EQ(remap(p + 4 * PAGE, 4 * PAGE, 4 * PAGE, MAY_MOVE | FIXED, p), (long)p);
    EXPECT_EQ(vmas(p + 4 * PAGE, p + 8 * PAGE), 0);
    memset(p, 1, 4 * PAGE);
    memset(p + 8 * PAGE, 1, 8 * PAGE);
    munmap(p, 16 * PAGE);
}

/* The same with a third mapping there that has pages: all three are one for a moment. */
KTAP_CASE(moves_between_itself_and_another)
{
    uint8_t *p = ktap_map(16 * PAGE, RW);

    REQUIRE(p != NULL);
    munmap(p + 8 * PAGE, 4 * PAGE);
    p[12 * PAGE] = 7;
    EXPECT_EQ(remap(p + 4 * PAGE, 4 * PAGE, 4 * PAGE, MAY_MOVE | FIXED, p + 8 * PAGE),
              (long)(p + 8 * PAGE));
    EXPECT_EQ(vmas(p + 4 * PAGE, p + 8 * PAGE), 0);
    EXPECT_EQ(vmas(p + 8 * PAGE, p + 16 * PAGE), 1);
    memset(p + 8 * PAGE, 1, 4 * PAGE);
    memset(p, 1, 4 * PAGE);
    EXPECT_EQ(p[12 * PAGE], 7);
    munmap(p, 16 * PAGE);
}

KTAP_CASE(pages_go_and_the_mapping_stays)
{
    uint8_t *p = ktap_map(4 * PAGE, RW);

    SKIP_EMULATED("the emulator does not know the flag");
    REQUIRE(p != NULL);
    number_pages(p, 4);
    long at = remap(p, 4 * PAGE, 4 * PAGE, MAY_MOVE | DONTUNMAP, NULL);
    REQUIRE(at > 0);
    EXPECT(numbered((void *)at, 4, 0));
    EXPECT(ktap_all_bytes(p, 4 * PAGE, 0));
    munmap((void *)at, 4 * PAGE);
    munmap(p, 4 * PAGE);
}

/* What was locked is so no more, and stays apart from neighbours that it is like then. */
KTAP_CASE(locked_mapping_that_was_emptied_stays_apart)
{
    uint8_t *p = ktap_map(6 * PAGE, RW), *q = ktap_map(PAGE, RW);

    SKIP_EMULATED("the emulator does not know the flag");
    REQUIRE(p != NULL && q != NULL);
    number_pages(p, 6);
    EXPECT_EQ(mlock(p + 2 * PAGE, PAGE), 0);
    EXPECT_EQ(vmas(p, p + 6 * PAGE), 3);
    EXPECT_EQ(remap(p + 2 * PAGE, PAGE, PAGE, MAY_MOVE | FIXED | DONTUNMAP, q), (long)q);
    EXPECT_EQ(vmas(p, p + 6 * PAGE), 3);
    EXPECT_EQ(ktap_proc_number("/proc/self/status", "VmLck:"), 4);
    EXPECT_EQ(munmap(q, PAGE), 0);
    EXPECT_EQ(ktap_proc_number("/proc/self/status", "VmLck:"), 0);
    EXPECT_EQ(p[2 * PAGE], 0);
    munmap(p, 6 * PAGE);
}

KTAP_CASE(bad_calls)
{
    uint8_t *p = ktap_map(4 * PAGE, RW);
    const long both = MAY_MOVE | FIXED;

    REQUIRE(p != NULL);
    EXPECT_ERROR(remap(p + 1, PAGE, PAGE, 0, NULL), EINVAL);
    if (!ktap_emulated())
        EXPECT_ERROR(remap(p, PAGE, 0, 0, NULL), EINVAL);
    EXPECT_ERROR(remap(p, PAGE, PAGE, 8, NULL), EINVAL);
    EXPECT_ERROR(remap(p, PAGE, PAGE, FIXED, p + PAGE), EINVAL);
    EXPECT_ERROR(remap(p, PAGE, PAGE, both, p + PAGE + 1), EINVAL);
    EXPECT_ERROR(remap(p, 2 * PAGE, 2 * PAGE, both, p + PAGE), EINVAL); /* they overlap */
    EXPECT_ERROR(remap(p, PAGE, 1UL << 62, MAY_MOVE, NULL), ENOMEM);
    munmap(p + 2 * PAGE, PAGE);
    EXPECT_ERROR(remap(p, 4 * PAGE, 5 * PAGE, MAY_MOVE, NULL), EFAULT); /* not one mapping */
    EXPECT_ERROR(remap(p + 2 * PAGE, PAGE, 2 * PAGE, MAY_MOVE, NULL), EFAULT);
    munmap(p, 4 * PAGE);
}
