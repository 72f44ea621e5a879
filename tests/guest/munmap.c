/* munmap: what goes, what stays, and the errors. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "ktap.h"
#include "pg.h"

#define RW (PROT_READ | PROT_WRITE)

static long unmap(const void *addr, size_t length)
{
    return SYSCALL(SYS_munmap, addr, length);
}

KTAP_CASE(whole_region)
{
    uint8_t *p = ktap_map(4 * PAGE, RW);

    REQUIRE(p != NULL);
    memset(p, 1, 4 * PAGE);
    EXPECT_EQ(unmap(p, 4 * PAGE), 0);
}

KTAP_CASE(hole_in_the_middle_keeps_both_sides)
{
    uint8_t *p = ktap_map(5 * PAGE, RW);

    REQUIRE(p != NULL);
    memset(p, 3, 5 * PAGE);
    EXPECT_EQ(unmap(p + 2 * PAGE, PAGE), 0);
    EXPECT(ktap_all_bytes(p, 2 * PAGE, 3));
    EXPECT(ktap_all_bytes(p + 3 * PAGE, 2 * PAGE, 3));
    EXPECT_EQ(unmap(p, 5 * PAGE), 0);
}

KTAP_CASE(hole_shows_in_maps)
{
    struct ktap_vma vma[4];
    uint8_t *p = ktap_map(5 * PAGE, RW);

    REQUIRE(p != NULL);
    EXPECT_EQ(unmap(p + 2 * PAGE, PAGE), 0);
    EXPECT_EQ(ktap_vmas(p + 2 * PAGE, p + 3 * PAGE, vma, 4), 0);
    EXPECT_EQ(ktap_vmas(p, p + 5 * PAGE, vma, 4), 2);
    EXPECT_EQ(vma[0].end, (uintptr_t)p + 2 * PAGE);
    EXPECT_EQ(vma[1].start, (uintptr_t)p + 3 * PAGE);
    unmap(p, 5 * PAGE);
}

KTAP_CASE(start_of_a_region)
{
    uint8_t *p = ktap_map(4 * PAGE, RW);

    REQUIRE(p != NULL);
    memset(p, 9, 4 * PAGE);
    EXPECT_EQ(unmap(p, PAGE), 0);
    EXPECT(ktap_all_bytes(p + PAGE, 3 * PAGE, 9));
    unmap(p, 4 * PAGE);
}

KTAP_CASE(end_of_a_region)
{
    uint8_t *p = ktap_map(4 * PAGE, RW);

    REQUIRE(p != NULL);
    memset(p, 9, 4 * PAGE);
    EXPECT_EQ(unmap(p + 3 * PAGE, PAGE), 0);
    EXPECT(ktap_all_bytes(p, 3 * PAGE, 9));
    unmap(p, 4 * PAGE);
}

KTAP_CASE(range_over_several_regions_and_holes)
{
    struct ktap_vma vma[4];
    uint8_t *p = ktap_map(10 * PAGE, RW);

    REQUIRE(p != NULL);
    memset(p, 9, 10 * PAGE);
    mprotect(p + 2 * PAGE, PAGE, PROT_READ);
    mprotect(p + 5 * PAGE, PAGE, PROT_NONE);
    unmap(p + 3 * PAGE, PAGE);
    EXPECT_EQ(unmap(p + PAGE, 8 * PAGE), 0);
    EXPECT_EQ(ktap_vmas(p + PAGE, p + 9 * PAGE, vma, 4), 0);
    EXPECT(ktap_all_bytes(p, PAGE, 9));
    EXPECT(ktap_all_bytes(p + 9 * PAGE, PAGE, 9));
    unmap(p, 10 * PAGE);
}

KTAP_CASE(unmapped_range_is_no_error)
{
    uint8_t *p = ktap_map(4 * PAGE, RW);

    REQUIRE(p != NULL);
    EXPECT_EQ(unmap(p, 4 * PAGE), 0);
    EXPECT_EQ(unmap(p, 4 * PAGE), 0);
}

KTAP_CASE(length_rounds_up_to_pages)
{
    struct ktap_vma vma[2];
    uint8_t *p = ktap_map(3 * PAGE, RW);

    REQUIRE(p != NULL);
    EXPECT_EQ(unmap(p, PAGE + 1), 0);
    EXPECT_EQ(ktap_vmas(p, p + 2 * PAGE, vma, 2), 0);
    p[2 * PAGE] = 1;
    EXPECT_EQ(p[2 * PAGE], 1);
    unmap(p, 3 * PAGE);
}

KTAP_CASE(unaligned_address_is_einval)
{
    uint8_t *p = ktap_map(PAGE, RW);

    REQUIRE(p != NULL);
    EXPECT_ERROR(unmap(p + 1, PAGE), EINVAL);
    EXPECT_ERROR(unmap(p + 2048, PAGE), EINVAL);
    p[0] = 1;
    EXPECT_EQ(p[0], 1);
    unmap(p, PAGE);
}

KTAP_CASE(length_zero_is_einval)
{
    uint8_t *p = ktap_map(PAGE, RW);

    REQUIRE(p != NULL);
    EXPECT_ERROR(unmap(p, 0), EINVAL);
    unmap(p, PAGE);
}

KTAP_CASE(range_beyond_the_address_space_is_einval)
{
    SKIP_EMULATED("stops with an assertion");
    EXPECT_ERROR(unmap((void *)(1ul << 62), PAGE), EINVAL);
    EXPECT_ERROR(unmap((void *)-PAGE, PAGE), EINVAL);
}

KTAP_CASE(range_that_wraps_is_einval)
{
    SKIP_EMULATED("stops with an assertion");
    EXPECT_ERROR(unmap((void *)0x20000000, -0x20000000ul), EINVAL);
    EXPECT_ERROR(unmap((void *)0x20000000, SIZE_MAX), EINVAL);
}

KTAP_CHILD(touch_unmapped)
{
    volatile uint8_t *p = mmap(NULL, 3 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    p[0] = p[PAGE] = p[2 * PAGE] = 1;
    munmap((void *)(p + PAGE), PAGE);
    if (p[0] + p[2 * PAGE] != 2)
        return 1;
    return *arg == 'w' ? (p[PAGE] = 2) : p[PAGE];
}

KTAP_CASE(read_of_a_freed_page_dies)
{
    EXPECT_CHILD_SIGNAL("touch_unmapped", "r", SIGSEGV);
}

KTAP_CASE(write_of_a_freed_page_dies)
{
    EXPECT_CHILD_SIGNAL("touch_unmapped", "w", SIGSEGV);
}

KTAP_CASE(place_is_usable_again)
{
    uint8_t *p = ktap_map(4 * PAGE, RW);

    REQUIRE(p != NULL);
    memset(p, 5, 4 * PAGE);
    unmap(p + PAGE, 2 * PAGE);
    uint8_t *q = mmap(p + PAGE, 2 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    EXPECT(q == p + PAGE);
    EXPECT(ktap_all_bytes(q, 2 * PAGE, 0));
    EXPECT(ktap_all_bytes(p, PAGE, 5));
    unmap(p, 4 * PAGE);
}

static bool come_and_go(uintptr_t at)
{
    uint8_t *p = mmap((void *)at, PAGE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    if (p != (uint8_t *)at)
        return false;
    *p = 1;
    return munmap(p, PAGE) == 0;
}

/* Of tables that are kept a while for what comes next: one goes just when another of the same
 * gibibyte, in which nothing else is, is to be kept. */
KTAP_CASE(pages_that_come_and_go_all_over)
{
    const uintptr_t gib = 1UL << 30;

    if (ktap_emulated())
        SKIP_EMULATED("it asserts on addresses as far up");
    for (uintptr_t apart = 2; apart < 14; apart++) {
        const uintptr_t first = (24 + apart * 14) * gib;

        if (!come_and_go(first))
            SKIP("the address is in use");
        for (uintptr_t i = 1; i < apart; i++)
            EXPECT(come_and_go(first + i * gib));
        EXPECT(come_and_go(first + gib / 2));
    }
}

KTAP_CASE(every_other_page_of_a_region)
{
    uint8_t *p = ktap_map(128 * PAGE, RW);
    size_t wrong = 0;

    REQUIRE(p != NULL);
    for (size_t i = 0; i < 128; i++)
        memset(p + i * PAGE, (int)i, PAGE);
    for (size_t i = 1; i < 128; i += 2)
        wrong += unmap(p + i * PAGE, PAGE) != 0;
    for (size_t i = 0; i < 128; i += 2)
        wrong += !ktap_all_bytes(p + i * PAGE, PAGE, (uint8_t)i);
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(unmap(p, 128 * PAGE), 0);
}

KTAP_CASE(pagoda_memory_comes_back)
{
    const size_t size = 8ul << 20;
    long before = 0, after;

    /* The first round may take page tables that stay. */
    for (int round = 0; round < 2; round++) {
        before = ktap_proc_number("/proc/meminfo", "MemFree");
        uint8_t *p = ktap_map(size, RW);
        REQUIRE(p != NULL);
        memset(p, 1, size);
        long used = ktap_proc_number("/proc/meminfo", "MemFree");
        EXPECT(before - used >= (long)(size / 1024));
        unmap(p, size);
    }
    after = ktap_proc_number("/proc/meminfo", "MemFree");
    EXPECT(before > 0);
    EXPECT_EQ(after, before);
}
