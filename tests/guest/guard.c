/*
 * Guard pages (MADV_GUARD_INSTALL, MADV_GUARD_REMOVE; Linux 6.13): pages that no access reaches, in
 * the middle of a mapping. After kselftest's guard-regions.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"
#include <pagoda/mm.h>

#define RW          (PROT_READ | PROT_WRITE)
#define ANONYMOUS   (MAP_PRIVATE | MAP_ANONYMOUS)
#define INSTALL     102L
#define REMOVE      103L
#define DONTNEED    4L
#define FREE        8L
#define WIPEONFORK  18L
#define POPULATE    23L /* for writing */
#define HUGE        ((size_t)1 << 21)
#define MREMAP_MOVE 1L

static long advise(const char *at, size_t pages, long advice)
{
    return SYSCALL(SYS_madvise, at, pages * PAGE, advice);
}

static char *map(size_t pages)
{
    return ktap_map(pages * PAGE, RW);
}

/* Can a byte be read there? The system reads it, so a bad address is an error. */
static bool reachable(const char *at)
{
    static int to[2] = {-1, -1};
    char byte;

    if (to[0] < 0 && pipe(to))
        return false;
    return write(to[1], at, 1) == 1 && read(to[0], &byte, 1) == 1;
}

/* The pages as a number: a digit each, 1 for one that can be read. */
static long pattern(const char *at, unsigned pages)
{
    long seen = 0;

    for (unsigned i = 0; i < pages; i++)
        seen = 10 * seen + reachable(at + i * PAGE);
    return seen;
}

#define WITH_GUARDS(p)                                                    \
    do {                                                                  \
        SKIP_EMULATED("takes any advice and does nothing");               \
        long installed__ = advise(p, 1, INSTALL);                         \
        if (installed__ == -EINVAL && !ktap_on_pagoda())                  \
            SKIP("this Linux is older than 6.13 and has no guard pages"); \
        EXPECT_EQ(installed__, 0);                                        \
        EXPECT_EQ(advise(p, 1, REMOVE), 0);                               \
    } while (0)

KTAP_CASE(guards_keep_every_access_out)
{
    char *p = map(8);
    unsigned char seen[8];

    REQUIRE(p != NULL);
    WITH_GUARDS(p);
    memset(p, 7, 8 * PAGE);
    EXPECT_EQ(advise(p + 2 * PAGE, 3, INSTALL), 0);
    EXPECT_EQ(pattern(p, 8), 11000111);
    EXPECT_EQ(SYSCALL(SYS_mincore, p, 8 * PAGE, seen), 0);
    EXPECT(seen[1] == 1 && seen[2] == 0 && seen[4] == 0 && seen[5] == 1);
    EXPECT_EQ(advise(p + PAGE, 2, INSTALL), 0); /* over another one */
    EXPECT_EQ(pattern(p, 8), 10000111);
    EXPECT_EQ(advise(p + 3 * PAGE, 2, REMOVE), 0);
    EXPECT_EQ(pattern(p, 8), 10011111);
    EXPECT(ktap_all_bytes(p + 3 * PAGE, 2 * PAGE, 0)); /* what was there had gone */
    EXPECT(ktap_all_bytes(p + 5 * PAGE, 3 * PAGE, 7));
    EXPECT_EQ(advise(p, 8, REMOVE), 0);
    EXPECT_EQ(pattern(p, 8), 11111111);
    EXPECT(ktap_all_bytes(p, PAGE, 7));
    munmap(p, 8 * PAGE);
}

static volatile uintptr_t caught;
static volatile int caught_code;

static void on_fault(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    caught = (uintptr_t)info->si_addr;
    caught_code = info->si_code;
    advise((const char *)(caught & ~(PAGE - 1)), 1, REMOVE);
}

KTAP_CASE(touching_a_guard_is_a_signal_with_its_address)
{
    const struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    struct sigaction old;
    char *p = map(4);

    REQUIRE(p != NULL);
    WITH_GUARDS(p);
    EXPECT_EQ(advise(p, 4, INSTALL), 0);
    sigaction(SIGSEGV, &action, &old);
    *(volatile char *)(p + PAGE + 5) = 3;
    EXPECT_EQ(caught, (uintptr_t)p + PAGE + 5);
    EXPECT_EQ(caught_code, SEGV_MAPERR);
    caught = 0;
    EXPECT_EQ(*(volatile char *)(p + 3 * PAGE), 0);
    EXPECT_EQ(caught, (uintptr_t)p + 3 * PAGE);
    sigaction(SIGSEGV, &old, NULL);
    EXPECT_EQ(p[PAGE + 5], 3);
    EXPECT_EQ(pattern(p, 4), 101);
    munmap(p, 4 * PAGE);
}

KTAP_CASE(guards_do_not_cut_the_mapping)
{
    struct ktap_vma seen[4];
    char *p = map(8);

    REQUIRE(p != NULL);
    WITH_GUARDS(p);
    EXPECT_EQ(advise(p + 3 * PAGE, 2, INSTALL), 0);
    EXPECT_EQ(ktap_vmas(p, p + 8 * PAGE, seen, 4), 1);
    munmap(p, 8 * PAGE);
}

KTAP_CASE(advice_leaves_guards)
{
    char *p = map(8);

    REQUIRE(p != NULL);
    WITH_GUARDS(p);
    memset(p, 7, 8 * PAGE);
    EXPECT_EQ(advise(p + 2 * PAGE, 2, INSTALL), 0);
    EXPECT_EQ(advise(p + 7 * PAGE, 1, INSTALL), 0);
    EXPECT_EQ(advise(p, 8, DONTNEED), 0);
    EXPECT_EQ(pattern(p, 8), 11001110);
    EXPECT(ktap_all_bytes(p + 4 * PAGE, 3 * PAGE, 0));
    EXPECT_EQ(advise(p, 8, FREE), 0);
    EXPECT_EQ(pattern(p, 8), 11001110);
    EXPECT_ERROR(advise(p, 8, POPULATE), EFAULT);
    EXPECT_EQ(pattern(p, 8), 11001110);
    munmap(p, 8 * PAGE);
}

KTAP_CASE(guards_stay_when_the_mapping_changes)
{
    char *p = map(8), *q = map(16);

    REQUIRE(p != NULL && q != NULL);
    WITH_GUARDS(p);
    memset(p, 7, 8 * PAGE);
    EXPECT_EQ(advise(p + 2 * PAGE, 2, INSTALL), 0);
    EXPECT_EQ(mprotect(p, 8 * PAGE, PROT_NONE), 0);
    EXPECT_EQ(mprotect(p, 8 * PAGE, PROT_READ), 0);
    EXPECT_EQ(mprotect(p, 8 * PAGE, RW), 0);
    EXPECT_EQ(pattern(p, 8), 11001111);
    EXPECT_EQ(SYSCALL(SYS_mremap, p, 8 * PAGE, 16 * PAGE, MREMAP_MOVE | 2L, q), (long)q);
    EXPECT_EQ(pattern(q, 10), 1100111111);
    EXPECT(ktap_all_bytes(q + 4 * PAGE, 4 * PAGE, 7));
    EXPECT_EQ(munmap(q + 2 * PAGE, PAGE), 0);
    EXPECT(mmap(q + 2 * PAGE, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0) == q + 2 * PAGE);
    EXPECT_EQ(pattern(q, 8), 11101111); /* unmapping drops one */
    munmap(q, 16 * PAGE);
}

KTAP_CASE(guards_are_inherited)
{
    char *p = map(8), *wiped = map(4);
    int status = -1;

    REQUIRE(p != NULL && wiped != NULL);
    WITH_GUARDS(p);
    EXPECT_EQ(advise(p + 2 * PAGE, 2, INSTALL), 0);
    EXPECT_EQ(advise(wiped, 2, INSTALL), 0);
    EXPECT_EQ(advise(wiped, 4, WIPEONFORK), 0);
    p[0] = 9;
    pid_t pid = fork();
    if (!pid) {
        bool good = pattern(p, 8) == 11001111 && p[0] == 9 && pattern(wiped, 4) == 1111;

        good = good && !advise(p, 8, REMOVE) && pattern(p, 8) == 11111111;
        _exit(good ? 0 : 1);
    }
    REQUIRE(pid > 0);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(pattern(p, 8), 11001111);
    EXPECT_EQ(pattern(wiped, 4), 11);
    munmap(p, 8 * PAGE);
    munmap(wiped, 4 * PAGE);
}

KTAP_CASE(only_where_they_make_sense)
{
    char *p = map(4);
    char *shared = mmap(NULL, 4 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    REQUIRE(p != NULL && shared != MAP_FAILED);
    WITH_GUARDS(p);
    EXPECT_ERROR(SYSCALL(SYS_madvise, p + 1, PAGE, INSTALL), EINVAL);
    EXPECT_EQ(SYSCALL(SYS_madvise, p, 0L, INSTALL), 0);
    EXPECT_EQ(SYSCALL(SYS_mlock, p, PAGE), 0);
    EXPECT_ERROR(advise(p, 1, INSTALL), EINVAL); /* it would free a locked page */
    EXPECT_EQ(advise(p, 1, REMOVE), 0);
    EXPECT_EQ(advise(p + PAGE, 1, INSTALL), 0);
    EXPECT_ERROR(SYSCALL(SYS_mlock, p + PAGE, PAGE), ENOMEM);
    EXPECT_EQ(mprotect(p + 2 * PAGE, PAGE, PROT_READ), 0);
    EXPECT_EQ(advise(p + 2 * PAGE, 1, INSTALL), 0); /* it may be writable */
    EXPECT_EQ(pattern(p, 4), 1001);
    munmap(p + 3 * PAGE, PAGE);
    EXPECT_ERROR(advise(p + 2 * PAGE, 2, REMOVE), ENOMEM); /* a hole, after its other pages */
    EXPECT_EQ(pattern(p, 3), 101);
    munmap(p, 3 * PAGE);
    munmap(shared, 4 * PAGE);
}

KTAP_CASE(a_huge_page_makes_room)
{
    size_t pages = 2 * HUGE / PAGE;
    char *p = map(pages);

    REQUIRE(p != NULL);
    WITH_GUARDS(p);
    char *block = (char *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));
    EXPECT_EQ(SYSCALL(SYS_madvise, block, HUGE, 14L), 0);
    memset(block, 5, HUGE);
    EXPECT_EQ(advise(block + 100 * PAGE, 1, INSTALL), 0);
    EXPECT_EQ(pattern(block + 99 * PAGE, 3), 101);
    EXPECT_EQ(block[101 * PAGE], 5);
    EXPECT_EQ(advise(block, HUGE / PAGE, DONTNEED), 0);
    EXPECT_EQ(pattern(block + 99 * PAGE, 3), 101);
    EXPECT_EQ(advise(block, HUGE / PAGE, INSTALL), 0);
    EXPECT(!reachable(block) && !reachable(block + HUGE - PAGE));
    EXPECT_EQ(advise(block, HUGE / PAGE, REMOVE), 0);
    EXPECT(ktap_all_bytes(block, HUGE, 0));
    munmap(p, pages * PAGE);
}

KTAP_CASE(pagoda_guards_leave_the_accounts_right)
{
    char *p = map(600);

    REQUIRE(p != NULL);
    memset(p, 1, 600 * PAGE);
    EXPECT_EQ(advise(p + PAGE, 598, INSTALL), 0);
    EXPECT_EQ(pg_syscall(MM_CHECK), 0);
    EXPECT_EQ(advise(p + 10 * PAGE, 500, REMOVE), 0);
    memset(p + 10 * PAGE, 1, 500 * PAGE);
    EXPECT_EQ(pg_syscall(MM_CHECK), 0);
    munmap(p, 600 * PAGE);
    EXPECT_EQ(pg_syscall(MM_CHECK), 0);
}
