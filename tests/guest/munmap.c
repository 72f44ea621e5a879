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

/*
 * What is taken away of a large range at once may be done in parts; nobody sees that, neither by
 * the registers of the call nor by what stays to both sides.
 */
#define LARGE  (96ul << 20)
#define AROUND (64 * PAGE)

struct large_call {
    long number, a[5];
};

/* The call as a program makes it; all registers but the answer's stay. */
static long large_call(const struct large_call *c)
{
    register long a0 __asm__("a0") = c->a[0];
    register long a1 __asm__("a1") = c->a[1];
    register long a2 __asm__("a2") = c->a[2];
    register long a3 __asm__("a3") = c->a[3];
    register long a4 __asm__("a4") = c->a[4];
    register long a5 __asm__("a5") = 0;
    register long a7 __asm__("a7") = c->number;

    if (c->number == SYS_mmap)
        a4 = -1;
    __asm__ volatile("ecall"
                     : "+r"(a0), "+r"(a1), "+r"(a2), "+r"(a3), "+r"(a4), "+r"(a5), "+r"(a7)
                     :
                     : "memory");
    EXPECT_EQ(a1, c->a[1]);
    EXPECT_EQ(a2, c->a[2]);
    EXPECT_EQ(a3, c->a[3]);
    EXPECT_EQ(a7, c->number);
    return a0;
}

/* A mapping of LARGE with AROUND on both sides, all written. */
static uint8_t *large_made(void)
{
    uint8_t *p = ktap_map(LARGE + 2 * AROUND, RW);

    for (size_t i = 0; p && i < LARGE + 2 * AROUND; i += PAGE)
        p[i] = 7;
    return p ? p + AROUND : NULL;
}

static void large_end(uint8_t *p)
{
    EXPECT_EQ(p[-1 * (long)PAGE], 7);
    EXPECT_EQ(p[LARGE], 7);
    unmap(p - AROUND, LARGE + 2 * AROUND);
}

KTAP_CASE(large_hole)
{
    uint8_t *p = large_made(), vector[1];

    REQUIRE(p != NULL);
    const struct large_call c = {SYS_munmap, {(long)p, LARGE, 12, 13, 14}};
    EXPECT_EQ(large_call(&c), 0);
    EXPECT_ERROR(SYSCALL(SYS_mincore, p, PAGE, vector), ENOMEM);
    EXPECT_ERROR(SYSCALL(SYS_mincore, p + LARGE - PAGE, PAGE, vector), ENOMEM);
    large_end(p);
}

KTAP_CASE(large_dontneed_with_a_hole)
{
    SKIP_EMULATED("madvise does not say that there is a hole");
    uint8_t *p = large_made();

    REQUIRE(p != NULL);
    unmap(p + LARGE / 2, PAGE);
    const struct large_call c = {SYS_madvise, {(long)p, LARGE, MADV_DONTNEED, 13, 14}};
    EXPECT_EQ(large_call(&c), -ENOMEM);
    for (size_t i = 0; i < LARGE; i += 512 * PAGE)
        EXPECT_EQ(i == LARGE / 2 ? 0 : p[i], 0);
    EXPECT_EQ(p[LARGE - 1], 0);
    large_end(p);
}

KTAP_CASE(large_mapped_over)
{
    uint8_t *p = large_made();

    REQUIRE(p != NULL);
    const struct large_call c = {
        SYS_mmap,
        {(long)p, LARGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1}};
    EXPECT_EQ(large_call(&c), (long)p);
    for (size_t i = 0; i < LARGE; i += 512 * PAGE)
        EXPECT_EQ(p[i], 0);
    large_end(p);
}

KTAP_CASE(large_shrinks)
{
    uint8_t *p = large_made(), vector[1];

    REQUIRE(p != NULL);
    const struct large_call c = {SYS_mremap, {(long)p, LARGE, PAGE, 0, 14}};
    EXPECT_EQ(large_call(&c), (long)p);
    EXPECT_EQ(p[0], 7);
    EXPECT_ERROR(SYSCALL(SYS_mincore, p + PAGE, PAGE, vector), ENOMEM);
    EXPECT_ERROR(SYSCALL(SYS_mincore, p + LARGE - PAGE, PAGE, vector), ENOMEM);
    large_end(p);
}

KTAP_CASE(large_break_goes_down)
{
    long old = SYSCALL(SYS_brk, 0);
    uint8_t *p = (uint8_t *)old;

    REQUIRE(SYSCALL(SYS_brk, old + (long)LARGE) == old + (long)LARGE);
    for (size_t i = 0; i < LARGE; i += PAGE)
        p[i] = 7;
    const struct large_call c = {SYS_brk, {old, 11, 12, 13, 14}};
    EXPECT_EQ(large_call(&c), old);
    REQUIRE(SYSCALL(SYS_brk, old + (long)LARGE) == old + (long)LARGE);
    EXPECT_EQ(p[PAGE], 0);
    EXPECT_EQ(p[LARGE - 1], 0);
    EXPECT_EQ(SYSCALL(SYS_brk, old), old);
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
