/*
 * Memory that may be mapped in runs of 64 KiB (MADV_HUGEPAGE where no page of 2 MiB fits): its
 * pages are changed, shared and moved one by one all the same.
 */
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"

#define RW         (PROT_READ | PROT_WRITE)
#define PAGES      64UL
#define HUGE       ((uintptr_t)1 << 21)
#define MOVE_FIXED 3L /* MREMAP_MAYMOVE | MREMAP_FIXED */

#ifndef MADV_HUGEPAGE
#define MADV_HUGEPAGE 14
#endif

/* 256 KiB, aligned to that, each page of which says its number. */
static volatile uint8_t *filled(void)
{
    uint8_t *room = mmap(NULL, 2 * HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (room == MAP_FAILED)
        return NULL;
    uint8_t *at = (uint8_t *)(((uintptr_t)room + HUGE - 1) & ~(HUGE - 1));
    if (mmap(at, PAGES * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != at)
        return NULL;
    madvise(at, PAGES * PAGE, MADV_HUGEPAGE); /* where there is such advice */
    for (uint64_t i = 0; i < PAGES; i++)
        at[i * PAGE + 7] = (uint8_t)(i + 1);
    return at;
}

static bool says(const volatile uint8_t *at, uint64_t first, uint64_t end)
{
    for (uint64_t i = first; i < end; i++)
        if (at[i * PAGE + 7] != (uint8_t)(i + 1) || at[i * PAGE + 8])
            return false;
    return true;
}

static void *part(const volatile uint8_t *at, uint64_t page)
{
    return (void *)(uintptr_t)(at + page * PAGE);
}

KTAP_CASE(parts_are_unmapped_and_given_up)
{
    volatile uint8_t *at = filled();

    REQUIRE(at != NULL);
    EXPECT(says(at, 0, PAGES));
    EXPECT_EQ(munmap(part(at, 5), 3 * PAGE), 0);
    EXPECT_EQ(madvise(part(at, 20), PAGE, MADV_DONTNEED), 0);
    EXPECT_EQ(madvise(part(at, 32), 16 * PAGE, MADV_DONTNEED), 0);
    EXPECT(says(at, 0, 5) && says(at, 8, 20) && says(at, 21, 32) && says(at, 48, PAGES));
    EXPECT_EQ(at[20 * PAGE + 7], 0);
    EXPECT_EQ(at[40 * PAGE + 7], 0);
    munmap(part(at, 0), PAGES * PAGE);
}

KTAP_CASE(parts_get_other_rights)
{
    volatile uint8_t *at = filled();

    REQUIRE(at != NULL);
    EXPECT_EQ(mprotect(part(at, 2), 2 * PAGE, PROT_READ), 0);
    EXPECT_EQ(mprotect(part(at, 16), 16 * PAGE, PROT_READ), 0);
    EXPECT_EQ(mprotect(part(at, 32), 16 * PAGE, PROT_NONE), 0);
    EXPECT(says(at, 0, 32));
    at[1 * PAGE + 7] = 2;
    at[4 * PAGE + 7] = 5;
    EXPECT_EQ(mprotect(part(at, 0), PAGES * PAGE, RW), 0);
    EXPECT(says(at, 0, PAGES));
    for (uint64_t i = 0; i < PAGES; i++)
        at[i * PAGE + 7]++;
    EXPECT_EQ(at[33 * PAGE + 7], 35);
    munmap(part(at, 0), PAGES * PAGE);
}

KTAP_CASE(parts_move)
{
    volatile uint8_t *at = filled(), *to = at ? at + HUGE : NULL;

    REQUIRE(at != NULL);
    EXPECT_EQ(SYSCALL(SYS_mremap, part(at, 10), 20 * PAGE, 20 * PAGE, MOVE_FIXED, to), (long)to);
    EXPECT(says(at, 0, 10) && says(at, 30, PAGES));
    for (uint64_t i = 0; i < 20; i++)
        EXPECT_EQ(to[i * PAGE + 7], 10 + i + 1);
    munmap(part(to, 0), 20 * PAGE);
    munmap(part(at, 0), PAGES * PAGE);
}

KTAP_CASE(children_have_their_own)
{
    volatile uint8_t *at = filled();
    int status = -1;

    REQUIRE(at != NULL);
    pid_t pid = fork();
    if (pid == 0) {
        bool good = says(at, 0, PAGES);

        at[17 * PAGE + 7] = 99;
        memset(part(at, 32), 1, 16 * PAGE);
        _exit(good && at[17 * PAGE + 7] == 99 && says(at, 18, 32) ? 0 : 1);
    }
    REQUIRE(pid > 0);
    at[18 * PAGE + 7] = 98;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
    EXPECT(says(at, 0, 18) && says(at, 19, PAGES));
    munmap(part(at, 0), PAGES * PAGE);
}
