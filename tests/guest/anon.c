/* Anonymous memory on demand: every page starts as zeros, and stays its owner's alone. */
#include <string.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "ktap.h"
#include "pg.h"

#define RW (PROT_READ | PROT_WRITE)

KTAP_CASE(read_touch_gives_zero)
{
    const uint8_t *p = ktap_map(16 * PAGE, RW);

    REQUIRE(p != NULL);
    EXPECT(ktap_all_bytes(p, 16 * PAGE, 0));
    munmap((void *)p, 16 * PAGE);
}

KTAP_CASE(write_touch_keeps_the_rest_zero)
{
    uint8_t *p = ktap_map(PAGE, RW);

    REQUIRE(p != NULL);
    p[100] = 1;
    EXPECT(ktap_all_bytes(p, 100, 0));
    EXPECT_EQ(p[100], 1);
    EXPECT(ktap_all_bytes(p + 101, PAGE - 101, 0));
    munmap(p, PAGE);
}

KTAP_CASE(write_after_read_touch)
{
    volatile uint64_t *p = ktap_map(PAGE, RW);

    REQUIRE(p != NULL);
    EXPECT_EQ(p[3], 0);
    p[3] = 0x1122334455667788;
    EXPECT_EQ(p[3], 0x1122334455667788);
    EXPECT_EQ(p[2], 0);
    EXPECT_EQ(p[4], 0);
    munmap((void *)p, PAGE);
}

KTAP_CASE(write_does_not_reach_other_zero_pages)
{
    volatile uint8_t *p = ktap_map(3 * PAGE, RW);

    REQUIRE(p != NULL);
    EXPECT_EQ(p[0] | p[PAGE] | p[2 * PAGE], 0);
    memset((void *)(p + PAGE), 0xaa, PAGE);
    EXPECT(ktap_all_bytes((void *)p, PAGE, 0));
    EXPECT(ktap_all_bytes((void *)(p + PAGE), PAGE, 0xaa));
    EXPECT(ktap_all_bytes((void *)(p + 2 * PAGE), PAGE, 0));
    munmap((void *)p, 3 * PAGE);
}

KTAP_CASE(written_page_does_not_spoil_later_zero_pages)
{
    uint8_t *p = ktap_map(PAGE, RW);
    REQUIRE(p != NULL);
    EXPECT_EQ(*(volatile uint8_t *)p, 0);
    memset(p, 0x55, PAGE);
    uint8_t *q = ktap_map(PAGE, RW);
    REQUIRE(q != NULL);
    EXPECT(ktap_all_bytes(q, PAGE, 0));
    munmap(p, PAGE);
    munmap(q, PAGE);
}

KTAP_CASE(freed_pages_come_back_zeroed)
{
    for (int round = 0; round < 4; round++) {
        uint8_t *p = ktap_map(64 * PAGE, RW);
        REQUIRE(p != NULL);
        EXPECT(ktap_all_bytes(p, 64 * PAGE, 0));
        memset(p, 0xff, 64 * PAGE);
        munmap(p, 64 * PAGE);
    }
}

KTAP_CASE(each_page_is_its_own)
{
    uint64_t *p = ktap_map(256 * PAGE, RW);

    REQUIRE(p != NULL);
    for (size_t i = 0; i < 256; i++)
        p[i * PAGE / 8] = i * 0x0101010101;
    for (size_t i = 0; i < 256; i++)
        EXPECT_EQ(p[i * PAGE / 8], i * 0x0101010101);
    munmap(p, 256 * PAGE);
}

KTAP_CASE(last_byte_of_the_region)
{
    volatile uint8_t *p = ktap_map(5 * PAGE, RW);

    REQUIRE(p != NULL);
    p[5 * PAGE - 1] = 9;
    EXPECT_EQ(p[5 * PAGE - 1], 9);
    EXPECT_EQ(p[5 * PAGE - 2], 0);
    munmap((void *)p, 5 * PAGE);
}

KTAP_CASE(access_across_a_page_boundary)
{
    uint8_t *p = ktap_map(2 * PAGE, RW);
    uint64_t value = 0x0807060504030201, read_back;

    REQUIRE(p != NULL);
    memcpy(p + PAGE - 3, &value, sizeof(value));
    memcpy(&read_back, p + PAGE - 3, sizeof(value));
    EXPECT_EQ(read_back, value);
    EXPECT_EQ(p[PAGE - 1], 3);
    EXPECT_EQ(p[PAGE], 4);
    munmap(p, 2 * PAGE);
}

KTAP_CASE(touches_in_descending_order)
{
    volatile uint8_t *p = ktap_map(64 * PAGE, RW);

    REQUIRE(p != NULL);
    for (size_t i = 64; i-- > 0;)
        p[i * PAGE] = (uint8_t)(i + 1);
    for (size_t i = 0; i < 64; i++)
        EXPECT_EQ(p[i * PAGE], i + 1);
    munmap((void *)p, 64 * PAGE);
}

KTAP_CASE(sparse_touches_in_a_wide_region)
{
    const size_t size = 1ul << 32, step = 1ul << 27;
    volatile uint64_t *p = mmap(NULL, size, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    REQUIRE(p != MAP_FAILED);
    for (size_t at = 0; at < size; at += step)
        p[at / 8] = at + 1;
    for (size_t at = 0; at < size; at += step) {
        EXPECT_EQ(p[at / 8], at + 1);
        EXPECT_EQ(p[(at + PAGE) / 8], 0);
    }
    EXPECT_EQ(munmap((void *)p, size), 0);
}

KTAP_CASE(big_region_64_mib)
{
    const size_t pages = (64ul << 20) / PAGE;
    volatile uint64_t *p = ktap_map(pages * PAGE, RW);
    size_t wrong = 0;

    REQUIRE(p != NULL);
    for (size_t i = 0; i < pages; i++) {
        wrong += p[i * PAGE / 8 + 1] != 0;
        p[i * PAGE / 8] = i ^ 0x5a5a;
    }
    for (size_t i = 0; i < pages; i++)
        wrong += p[i * PAGE / 8] != (i ^ 0x5a5a);
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(munmap((void *)p, pages * PAGE), 0);
}

KTAP_CASE(read_only_region_reads_zero)
{
    const uint8_t *p = ktap_map(8 * PAGE, PROT_READ);

    REQUIRE(p != NULL);
    EXPECT(ktap_all_bytes(p, 8 * PAGE, 0));
    munmap((void *)p, 8 * PAGE);
}

KTAP_CHILD(write_zero_page)
{
    volatile uint8_t *p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED || *p != 0)
        return 1;
    *p = 1;
    return 0;
}

KTAP_CASE(zero_page_of_a_read_only_region_is_not_writable)
{
    EXPECT_CHILD_SIGNAL("write_zero_page", "", SIGSEGV);
}

KTAP_CASE(atomic_touch)
{
    uint64_t *p = ktap_map(2 * PAGE, RW);

    REQUIRE(p != NULL);
    EXPECT_EQ(__atomic_fetch_add(&p[0], 5, __ATOMIC_SEQ_CST), 0);
    EXPECT_EQ(__atomic_fetch_add(&p[0], 1, __ATOMIC_SEQ_CST), 5);
    uint64_t expected = 0;
    EXPECT(__atomic_compare_exchange_n(&p[PAGE / 8], &expected, 3, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_SEQ_CST));
    EXPECT_EQ(p[PAGE / 8], 3);
    munmap(p, 2 * PAGE);
}

KTAP_CASE(system_call_writes_an_untouched_page)
{
    uint64_t *p = ktap_map(PAGE, RW);

    REQUIRE(p != NULL);
    EXPECT_EQ(SYSCALL(113l, 1l, p), 0); /* clock_gettime(CLOCK_MONOTONIC) */
    EXPECT(p[0] != 0 || p[1] != 0);
    EXPECT(ktap_all_bytes(p + 2, PAGE - 16, 0));
    munmap(p, PAGE);
}
