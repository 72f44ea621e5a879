/* mmap: placement, replacement, rounding, and the exact error for each bad argument. */
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

static long map(const void *addr, size_t length, int prot, int flags)
{
    return SYSCALL(SYS_mmap, addr, length, (long)prot, (long)flags, -1l, 0l);
}

KTAP_CASE(result_is_page_aligned)
{
    long p = map(NULL, 100, RW, ANON);

    EXPECT(p > 0);
    EXPECT_EQ(p % (long)PAGE, 0);
    munmap((void *)p, PAGE);
}

KTAP_CASE(length_rounds_up_to_pages)
{
    volatile uint8_t *p = (uint8_t *)map(NULL, PAGE + 1, RW, ANON);

    p[2 * PAGE - 1] = 3;
    EXPECT_EQ(p[2 * PAGE - 1], 3);
    EXPECT_EQ(munmap((void *)p, 2 * PAGE), 0);
}

KTAP_CASE(regions_do_not_overlap)
{
    uint8_t *p[16];

    for (int i = 0; i < 16; i++) {
        p[i] = ktap_map(3 * PAGE, RW);
        REQUIRE(p[i] != NULL);
        memset(p[i], i + 1, 3 * PAGE);
    }
    for (int i = 0; i < 16; i++) {
        EXPECT(ktap_all_bytes(p[i], 3 * PAGE, (uint8_t)(i + 1)));
        munmap(p[i], 3 * PAGE);
    }
}

KTAP_CASE(free_hint_is_taken)
{
    uint8_t *p = ktap_map(4 * PAGE, RW);

    REQUIRE(p != NULL);
    munmap(p, 4 * PAGE);
    EXPECT_EQ(map(p, 4 * PAGE, RW, ANON), (uintptr_t)p);
    munmap(p, 4 * PAGE);
}

KTAP_CASE(taken_hint_moves_elsewhere)
{
    uint8_t *p = ktap_map(4 * PAGE, RW);

    REQUIRE(p != NULL);
    p[0] = 77;
    uint8_t *q = (uint8_t *)map(p, 4 * PAGE, RW, ANON);
    EXPECT((long)q > 0);
    EXPECT(q + 4 * PAGE <= p || q >= p + 4 * PAGE);
    EXPECT_EQ(p[0], 77);
    munmap(p, 4 * PAGE);
    munmap(q, 4 * PAGE);
}

KTAP_CASE(unaligned_hint_is_no_error)
{
    long p = map((void *)0x20000123, PAGE, RW, ANON);

    EXPECT(p > 0);
    EXPECT_EQ(p % (long)PAGE, 0);
    munmap((void *)p, PAGE);
}

KTAP_CASE(fixed_replaces_the_old_pages)
{
    uint8_t *p = ktap_map(4 * PAGE, RW);

    REQUIRE(p != NULL);
    memset(p, 1, 4 * PAGE);
    EXPECT_EQ(map(p + PAGE, 2 * PAGE, RW, ANON | MAP_FIXED), (uintptr_t)p + PAGE);
    EXPECT(ktap_all_bytes(p, PAGE, 1));
    EXPECT(ktap_all_bytes(p + PAGE, 2 * PAGE, 0));
    EXPECT(ktap_all_bytes(p + 3 * PAGE, PAGE, 1));
    munmap(p, 4 * PAGE);
}

KTAP_CASE(fixed_over_several_regions)
{
    uint8_t *p = ktap_map(8 * PAGE, PROT_NONE);

    REQUIRE(p != NULL);
    map(p + PAGE, PAGE, RW, ANON | MAP_FIXED);
    map(p + 3 * PAGE, PAGE, PROT_READ, ANON | MAP_FIXED);
    munmap(p + 5 * PAGE, PAGE);
    p[PAGE] = 4;
    EXPECT_EQ(map(p, 8 * PAGE, RW, ANON | MAP_FIXED), (uintptr_t)p);
    EXPECT(ktap_all_bytes(p, 8 * PAGE, 0));
    memset(p, 2, 8 * PAGE);
    EXPECT(ktap_all_bytes(p, 8 * PAGE, 2));
    munmap(p, 8 * PAGE);
}

KTAP_CASE(fixed_unaligned_is_einval)
{
    EXPECT_ERROR(map((void *)0x20000800, PAGE, RW, ANON | MAP_FIXED), EINVAL);
}

KTAP_CASE(fixed_noreplace_on_a_free_place)
{
    uint8_t *p = ktap_map(4 * PAGE, RW);

    REQUIRE(p != NULL);
    munmap(p, 4 * PAGE);
    EXPECT_EQ(map(p, 4 * PAGE, RW, ANON | MAP_FIXED_NOREPLACE), (uintptr_t)p);
    munmap(p, 4 * PAGE);
}

KTAP_CASE(fixed_noreplace_on_a_taken_place_is_eexist)
{
    SKIP_EMULATED("ignores MAP_FIXED_NOREPLACE");
    uint8_t *p = ktap_map(4 * PAGE, RW);

    REQUIRE(p != NULL);
    p[2 * PAGE] = 5;
    EXPECT_ERROR(map(p + 2 * PAGE, PAGE, RW, ANON | MAP_FIXED_NOREPLACE), EEXIST);
    EXPECT_ERROR(map(p - PAGE, 8 * PAGE, RW, ANON | MAP_FIXED_NOREPLACE), EEXIST);
    EXPECT_EQ(p[2 * PAGE], 5);
    munmap(p, 4 * PAGE);
}

KTAP_CASE(length_zero_is_einval)
{
    EXPECT_ERROR(map(NULL, 0, RW, ANON), EINVAL);
}

KTAP_CASE(neither_private_nor_shared_is_einval)
{
    EXPECT_ERROR(map(NULL, PAGE, RW, MAP_ANONYMOUS), EINVAL);
}

KTAP_CASE(unaligned_offset_is_einval)
{
    EXPECT_ERROR(SYSCALL(SYS_mmap, 0l, PAGE, (long)RW, (long)ANON, -1l, 123l), EINVAL);
}

KTAP_CASE(file_mapping_without_a_file_is_ebadf)
{
    EXPECT_ERROR(map(NULL, PAGE, PROT_READ, MAP_PRIVATE), EBADF);
}

KTAP_CASE(length_that_overflows_is_enomem)
{
    EXPECT_ERROR(map(NULL, SIZE_MAX, RW, ANON), ENOMEM);
    EXPECT_ERROR(map(NULL, SIZE_MAX - PAGE, RW, ANON), ENOMEM);
}

KTAP_CASE(length_beyond_the_address_space_is_enomem)
{
    EXPECT_ERROR(map(NULL, 1ul << 62, RW, ANON | MAP_NORESERVE), ENOMEM);
}

KTAP_CASE(fixed_beyond_the_address_space_is_enomem)
{
    EXPECT_ERROR(map((void *)(1ul << 62), PAGE, RW, ANON | MAP_FIXED), ENOMEM);
    EXPECT_ERROR(map((void *)-PAGE, PAGE, RW, ANON | MAP_FIXED), ENOMEM);
}

KTAP_CASE(fixed_end_that_wraps_is_enomem)
{
    EXPECT_ERROR(map((void *)0x20000000, -0x20000000ul, RW, ANON | MAP_FIXED), ENOMEM);
}

KTAP_CASE(hint_beyond_the_address_space_is_ignored)
{
    long p = map((void *)(1ul << 62), PAGE, RW, ANON);

    SKIP_EMULATED("answers ENOMEM");
    EXPECT(p > 0);
    munmap((void *)p, PAGE);
}

KTAP_CHILD(touch_prot_none)
{
    volatile uint8_t *p = mmap(NULL, PAGE, PROT_NONE, ANON, -1, 0);

    if (p == MAP_FAILED)
        return 1;
    return *arg == 'w' ? (*p = 1) : *p;
}

KTAP_CASE(prot_none_is_not_readable)
{
    EXPECT_CHILD_SIGNAL("touch_prot_none", "r", SIGSEGV);
}

KTAP_CASE(prot_none_is_not_writable)
{
    EXPECT_CHILD_SIGNAL("touch_prot_none", "w", SIGSEGV);
}

KTAP_CASE(prot_none_reserves_the_place)
{
    SKIP_EMULATED("ignores MAP_FIXED_NOREPLACE");
    uint8_t *p = ktap_map(4 * PAGE, PROT_NONE);

    REQUIRE(p != NULL);
    EXPECT_ERROR(map(p, PAGE, RW, ANON | MAP_FIXED_NOREPLACE), EEXIST);
    munmap(p, 4 * PAGE);
}

KTAP_CASE(many_small_regions)
{
    static uint8_t *p[300];

    for (int i = 0; i < 300; i++) {
        p[i] = (uint8_t *)map(NULL, PAGE, i % 2 ? RW : PROT_READ, ANON);
        REQUIRE((long)p[i] > 0);
        if (i % 2)
            p[i][7] = (uint8_t)i;
    }
    for (int i = 0; i < 300; i++) {
        EXPECT_EQ(p[i][7], i % 2 ? (uint8_t)i : 0);
        EXPECT_EQ(munmap(p[i], PAGE), 0);
    }
}

KTAP_CASE(region_shows_in_maps)
{
    struct ktap_vma vma[4];
    uint8_t *p = ktap_map(5 * PAGE, PROT_NONE);

    REQUIRE(p != NULL);
    map(p + PAGE, 3 * PAGE, RW, ANON | MAP_FIXED);
    int n = ktap_vmas(p + PAGE, p + 4 * PAGE, vma, 4);
    EXPECT_EQ(n, 1);
    EXPECT_EQ(vma[0].start, (uintptr_t)p + PAGE);
    EXPECT_EQ(vma[0].end, (uintptr_t)p + 4 * PAGE);
    EXPECT(strcmp(vma[0].prot, "rw-p") == 0);
    munmap(p, 5 * PAGE);
}

KTAP_CASE(adjacent_equal_regions_merge_in_maps)
{
    struct ktap_vma vma[4];
    uint8_t *p = ktap_map(6 * PAGE, PROT_NONE);

    REQUIRE(p != NULL);
    map(p + PAGE, PAGE, RW, ANON | MAP_FIXED);
    map(p + 3 * PAGE, PAGE, RW, ANON | MAP_FIXED);
    map(p + 2 * PAGE, PAGE, RW, ANON | MAP_FIXED);
    int n = ktap_vmas(p + PAGE, p + 4 * PAGE, vma, 4);
    EXPECT_EQ(n, 1);
    EXPECT_EQ(vma[0].end - vma[0].start, 3 * PAGE);
    munmap(p, 6 * PAGE);
}

KTAP_CASE(populate_maps_readable_zeros)
{
    uint8_t *p = (uint8_t *)map(NULL, 8 * PAGE, RW, ANON | MAP_POPULATE);

    REQUIRE((long)p > 0);
    EXPECT(ktap_all_bytes(p, 8 * PAGE, 0));
    munmap(p, 8 * PAGE);
}
