/* mprotect: what a change of protection allows and forbids, keeps and splits. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "ktap.h"
#include "pg.h"

#define RW   (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static long protect(const void *addr, size_t length, int prot)
{
    return SYSCALL(SYS_mprotect, addr, length, (long)prot);
}

/* `pages` writable pages with a PROT_NONE page on each side, so that no neighbour merges. */
static uint8_t *island(size_t pages)
{
    uint8_t *p = ktap_map((pages + 2) * PAGE, PROT_NONE);

    if (p == NULL || protect(p + PAGE, pages * PAGE, RW) != 0)
        return NULL;
    return p + PAGE;
}

static void drop_island(uint8_t *p, size_t pages)
{
    munmap(p - PAGE, (pages + 2) * PAGE);
}

KTAP_CASE(read_only_keeps_the_contents)
{
    uint8_t *p = ktap_map(4 * PAGE, RW);

    REQUIRE(p != NULL);
    memset(p, 6, 4 * PAGE);
    EXPECT_EQ(protect(p, 4 * PAGE, PROT_READ), 0);
    EXPECT(ktap_all_bytes(p, 4 * PAGE, 6));
    munmap(p, 4 * PAGE);
}

KTAP_CASE(writable_again_keeps_the_contents)
{
    uint8_t *p = ktap_map(4 * PAGE, RW);

    REQUIRE(p != NULL);
    memset(p, 6, 4 * PAGE);
    EXPECT_EQ(protect(p, 4 * PAGE, PROT_READ), 0);
    EXPECT_EQ(protect(p, 4 * PAGE, RW), 0);
    p[PAGE] = 7;
    EXPECT_EQ(p[PAGE], 7);
    EXPECT(ktap_all_bytes(p + PAGE + 1, 3 * PAGE - 1, 6));
    munmap(p, 4 * PAGE);
}

KTAP_CASE(prot_none_and_back_keeps_the_contents)
{
    uint8_t *p = ktap_map(4 * PAGE, RW);

    REQUIRE(p != NULL);
    memset(p, 8, 4 * PAGE);
    EXPECT_EQ(protect(p, 4 * PAGE, PROT_NONE), 0);
    EXPECT_EQ(protect(p, 4 * PAGE, PROT_READ), 0);
    EXPECT(ktap_all_bytes(p, 4 * PAGE, 8));
    munmap(p, 4 * PAGE);
}

KTAP_CASE(untouched_pages_become_writable)
{
    uint8_t *p = ktap_map(4 * PAGE, PROT_READ);

    REQUIRE(p != NULL);
    EXPECT_EQ(*(volatile uint8_t *)p, 0); /* a zero page is mapped here, none behind */
    EXPECT_EQ(protect(p, 4 * PAGE, RW), 0);
    memset(p, 1, 4 * PAGE);
    EXPECT(ktap_all_bytes(p, 4 * PAGE, 1));
    uint8_t *q = ktap_map(PAGE, RW);
    EXPECT(q != NULL && ktap_all_bytes(q, PAGE, 0));
    munmap(q, PAGE);
    munmap(p, 4 * PAGE);
}

/* arg: the protection set, then the access: "rw" = read-only, write. */
KTAP_CHILD(access_protected)
{
    volatile uint8_t *p = mmap(NULL, 3 * PAGE, RW, ANON, -1, 0);
    int prot = arg[0] == 'r' ? PROT_READ : arg[0] == 'x' ? PROT_READ | PROT_EXEC : PROT_NONE;

    p[0] = p[PAGE] = p[2 * PAGE] = 1;
    if (protect((void *)(p + PAGE), PAGE, prot) != 0)
        return 1;
    p[0] = p[2 * PAGE] = 5; /* the neighbours are as they were */
    if (p[0] + p[2 * PAGE] != 10)
        return 2;
    return arg[1] == 'w' ? (p[PAGE] = 2) : p[PAGE] + 30;
}

KTAP_CASE(write_to_read_only_dies)
{
    EXPECT_CHILD_SIGNAL("access_protected", "rw", SIGSEGV);
}

KTAP_CASE(read_of_read_only_lives)
{
    EXPECT_CHILD_EXIT("access_protected", "rr", 31);
}

KTAP_CASE(write_to_executable_dies)
{
    EXPECT_CHILD_SIGNAL("access_protected", "xw", SIGSEGV);
}

KTAP_CASE(write_to_prot_none_dies)
{
    EXPECT_CHILD_SIGNAL("access_protected", "nw", SIGSEGV);
}

KTAP_CASE(read_of_prot_none_dies)
{
    EXPECT_CHILD_SIGNAL("access_protected", "nr", SIGSEGV);
}

KTAP_CHILD(write_untouched_read_only)
{
    volatile uint8_t *p = mmap(NULL, PAGE, RW, ANON, -1, 0);

    if (protect((void *)p, PAGE, PROT_READ) != 0)
        return 1;
    *p = 1;
    return 0;
}

KTAP_CASE(write_to_an_untouched_read_only_page_dies)
{
    EXPECT_CHILD_SIGNAL("write_untouched_read_only", "", SIGSEGV);
}

KTAP_CASE(middle_splits_in_maps)
{
    struct ktap_vma vma[5];
    uint8_t *p = island(6);

    REQUIRE(p != NULL);
    EXPECT_EQ(protect(p + 2 * PAGE, 2 * PAGE, PROT_READ), 0);
    EXPECT_EQ(ktap_vmas(p, p + 6 * PAGE, vma, 5), 3);
    EXPECT_EQ(vma[0].start, (uintptr_t)p);
    EXPECT_EQ(vma[1].start, (uintptr_t)p + 2 * PAGE);
    EXPECT_EQ(vma[2].start, (uintptr_t)p + 4 * PAGE);
    EXPECT_EQ(vma[2].end, (uintptr_t)p + 6 * PAGE);
    EXPECT(strcmp(vma[0].prot, "rw-p") == 0);
    EXPECT(strcmp(vma[1].prot, "r--p") == 0);
    EXPECT(strcmp(vma[2].prot, "rw-p") == 0);
    drop_island(p, 6);
}

KTAP_CASE(restored_middle_merges_in_maps)
{
    struct ktap_vma vma[5];
    uint8_t *p = island(6);

    REQUIRE(p != NULL);
    EXPECT_EQ(protect(p + 2 * PAGE, 2 * PAGE, PROT_READ), 0);
    EXPECT_EQ(protect(p + 2 * PAGE, 2 * PAGE, RW), 0);
    EXPECT_EQ(ktap_vmas(p, p + 6 * PAGE, vma, 5), 1);
    EXPECT_EQ(vma[0].end - vma[0].start, 6 * PAGE);
    drop_island(p, 6);
}

KTAP_CASE(start_and_end_split_in_maps)
{
    struct ktap_vma vma[5];
    uint8_t *p = island(4);

    REQUIRE(p != NULL);
    EXPECT_EQ(protect(p, PAGE, PROT_READ), 0);
    EXPECT_EQ(ktap_vmas(p, p + 4 * PAGE, vma, 5), 2);
    EXPECT_EQ(protect(p + 3 * PAGE, PAGE, PROT_READ), 0);
    EXPECT_EQ(ktap_vmas(p, p + 4 * PAGE, vma, 5), 3);
    drop_island(p, 4);
}

KTAP_CASE(range_over_several_regions)
{
    struct ktap_vma vma[5];
    uint8_t *p = island(6);

    REQUIRE(p != NULL);
    memset(p, 4, 6 * PAGE);
    protect(p + PAGE, PAGE, PROT_READ);
    protect(p + 3 * PAGE, PAGE, PROT_NONE);
    EXPECT_EQ(protect(p, 6 * PAGE, PROT_READ), 0);
    EXPECT_EQ(ktap_vmas(p, p + 6 * PAGE, vma, 5), 1);
    EXPECT(ktap_all_bytes(p, 6 * PAGE, 4));
    drop_island(p, 6);
}

KTAP_CASE(same_protection_changes_nothing)
{
    struct ktap_vma vma[5];
    uint8_t *p = island(4);

    REQUIRE(p != NULL);
    p[0] = 3;
    EXPECT_EQ(protect(p + PAGE, PAGE, RW), 0);
    EXPECT_EQ(ktap_vmas(p, p + 4 * PAGE, vma, 5), 1);
    EXPECT_EQ(p[0], 3);
    drop_island(p, 4);
}

KTAP_CASE(length_zero_is_no_error)
{
    SKIP_EMULATED("answers ENOMEM");
    uint8_t *p = ktap_map(PAGE, RW);

    REQUIRE(p != NULL);
    EXPECT_EQ(protect(p, 0, PROT_NONE), 0);
    p[0] = 1;
    EXPECT_EQ(p[0], 1);
    munmap(p, PAGE);
}

KTAP_CASE(unaligned_address_is_einval)
{
    uint8_t *p = ktap_map(PAGE, RW);

    REQUIRE(p != NULL);
    EXPECT_ERROR(protect(p + 8, PAGE, PROT_READ), EINVAL);
    munmap(p, PAGE);
}

KTAP_CASE(unknown_protection_is_einval)
{
    uint8_t *p = ktap_map(PAGE, RW);

    REQUIRE(p != NULL);
    EXPECT_ERROR(protect(p, PAGE, 0x80), EINVAL);
    munmap(p, PAGE);
}

KTAP_CASE(unmapped_range_is_enomem)
{
    uint8_t *p = ktap_map(PAGE, RW);

    SKIP_EMULATED("keeps the place mapped");
    REQUIRE(p != NULL);
    munmap(p, PAGE);
    EXPECT_ERROR(protect(p, PAGE, PROT_READ), ENOMEM);
}

KTAP_CASE(hole_in_the_range_is_enomem)
{
    uint8_t *p = ktap_map(5 * PAGE, RW);

    SKIP_EMULATED("keeps the place mapped");
    REQUIRE(p != NULL);
    munmap(p + 2 * PAGE, PAGE);
    EXPECT_ERROR(protect(p, 5 * PAGE, PROT_READ), ENOMEM);
    munmap(p, 5 * PAGE);
}

KTAP_CASE(range_that_wraps_is_enomem)
{
    EXPECT_ERROR(protect((void *)0x20000000, SIZE_MAX - PAGE, PROT_READ), ENOMEM);
}

KTAP_CASE(executable_page_runs)
{
    uint32_t *p = ktap_map(PAGE, RW);

    REQUIRE(p != NULL);
    p[0] = 0x02a00513; /* li a0, 42 */
    p[1] = 0x00008067; /* ret */
    EXPECT_EQ(protect(p, PAGE, PROT_READ | PROT_EXEC), 0);
    __asm__ volatile("fence.i" ::: "memory");
    EXPECT_EQ(((int (*)(void))p)(), 42);
    munmap(p, PAGE);
}

KTAP_CHILD(run_without_exec)
{
    uint32_t *p = mmap(NULL, PAGE, RW, ANON, -1, 0);

    p[0] = 0x00008067; /* ret */
    protect(p, PAGE, PROT_READ | PROT_EXEC);
    ((void (*)(void))p)();
    if (protect(p, PAGE, PROT_READ) != 0)
        return 1;
    ((void (*)(void))p)();
    return 0;
}

KTAP_CASE(page_without_exec_does_not_run)
{
    EXPECT_CHILD_SIGNAL("run_without_exec", "", SIGSEGV);
}

KTAP_CASE(every_other_page)
{
    uint8_t *p = ktap_map(64 * PAGE, RW);
    size_t wrong = 0;

    REQUIRE(p != NULL);
    memset(p, 2, 64 * PAGE);
    for (size_t i = 0; i < 64; i += 2)
        wrong += protect(p + i * PAGE, PAGE, PROT_READ) != 0;
    for (size_t i = 1; i < 64; i += 2)
        p[i * PAGE] = 3;
    wrong += protect(p, 64 * PAGE, RW) != 0;
    for (size_t i = 0; i < 64; i++)
        wrong += p[i * PAGE] != (i % 2 ? 3 : 2);
    EXPECT_EQ(wrong, 0);
    munmap(p, 64 * PAGE);
}
