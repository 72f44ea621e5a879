/*
 * Broken memory, pretended (MADV_HWPOISON, MADV_SOFT_OFFLINE): whoever touches it gets SIGBUS with
 * the address, and the page is never used again. After LTP's madvise07 and 11 and kselftest's
 * memory-failure tests.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"
#include <pagoda/mm.h>

#define RW        (PROT_READ | PROT_WRITE)
#define DONTNEED  4L
#define HWPOISON  100L
#define OFFLINE   101L
#define MCEERR_AR 4 /* BUS_MCEERR_AR */
#define HUGE      ((size_t)1 << 21)

static long advise(const char *at, size_t pages, long advice)
{
    return SYSCALL(SYS_madvise, at, pages * PAGE, advice);
}

static long corrupted_pages(void)
{
    return ktap_proc_number("/proc/meminfo", "HardwareCorrupted") * 1024 / (long)PAGE;
}

/* Linux breaks memory on machines that can report it, for the superuser; RISC-V is none of them. */
#define WITH_BROKEN_MEMORY(p)                                                       \
    do {                                                                            \
        SKIP_EMULATED("takes any advice and does nothing");                         \
        if (!ktap_on_pagoda() && (advise(p, 0, HWPOISON) || corrupted_pages() < 0)) \
            SKIP("this Linux has no failing memory, or this is not the superuser"); \
    } while (0)

static jmp_buf after;
static volatile uintptr_t caught;
static volatile int caught_code, caught_lsb;

static void on_bus_error(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    caught = (uintptr_t)info->si_addr;
    caught_code = info->si_code;
    caught_lsb = *(const short *)((const char *)info + 24); /* si_addr_lsb */
    longjmp(after, 1);
}

/* Reading or writing at `at` is SIGBUS for broken memory, with that address. */
static bool is_broken(volatile char *at, bool write)
{
    const struct sigaction action = {.sa_sigaction = on_bus_error,
                                     .sa_flags = SA_SIGINFO | SA_NODEFER};
    struct sigaction old;
    volatile bool seen = true;

    caught = 0;
    sigaction(SIGBUS, &action, &old);
    if (!setjmp(after)) {
        if (write)
            *at = 1;
        else
            (void)*at;
        seen = false;
    }
    sigaction(SIGBUS, &old, NULL);
    return seen && caught == (uintptr_t)at && caught_code == MCEERR_AR && caught_lsb == 12;
}

static int memory_file(size_t pages)
{
    int fd = (int)SYSCALL(SYS_memfd_create, "broken", 0L);

    if (fd >= 0 && SYSCALL(SYS_ftruncate, fd, pages * PAGE)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

KTAP_CASE(anonymous_page_breaks)
{
    char *p = ktap_map(4 * PAGE, RW);
    unsigned char seen[4];

    REQUIRE(p != NULL);
    WITH_BROKEN_MEMORY(p);
    memset(p, 7, 4 * PAGE);
    long before = corrupted_pages();
    EXPECT_EQ(advise(p + PAGE, 1, HWPOISON), 0);
    EXPECT_EQ(corrupted_pages(), before + 1);
    EXPECT(is_broken(p + PAGE + 17, false));
    EXPECT(is_broken(p + PAGE, true));
    EXPECT(ktap_all_bytes(p, PAGE, 7) && ktap_all_bytes(p + 2 * PAGE, 2 * PAGE, 7));
    EXPECT_EQ(SYSCALL(SYS_mincore, p, 4 * PAGE, seen), 0);
    EXPECT_EQ(seen[1], 1);
    EXPECT_ERROR(advise(p + PAGE, 1, HWPOISON), EFAULT);
    EXPECT_ERROR(SYSCALL(SYS_memfd_create, p + PAGE, 0L), EFAULT); /* nor can the system read it */
    EXPECT_EQ(advise(p, 4, DONTNEED), 0);                          /* fresh memory in its place */
    EXPECT(ktap_all_bytes(p, 4 * PAGE, 0));
    munmap(p, 4 * PAGE);
}

KTAP_CASE(all_who_share_it_lose_it)
{
    char *p = ktap_map(2 * PAGE, RW);
    int status = -1, to[2];
    char byte = 0;

    REQUIRE(p != NULL && !pipe(to));
    WITH_BROKEN_MEMORY(p);
    memset(p, 7, 2 * PAGE);
    pid_t pid = fork();
    if (!pid) {
        read(to[0], &byte, 1);
        _exit(is_broken(p, false) && p[PAGE] == 7 ? 0 : 1);
    }
    REQUIRE(pid > 0);
    EXPECT_EQ(advise(p, 1, HWPOISON), 0);
    pid_t later = fork();
    if (!later)
        _exit(is_broken(p + 1, true) && p[PAGE] == 7 ? 0 : 1);
    EXPECT_EQ(write(to[1], &byte, 1), 1);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(waitpid(later, &status, 0), later);
    EXPECT_EQ(status, 0);
    EXPECT(is_broken(p, false));
    close(to[0]);
    close(to[1]);
    munmap(p, 2 * PAGE);
}

KTAP_CASE(file_page_breaks)
{
    int fd = memory_file(4);
    char byte = 5, *p, *q;

    SKIP_EMULATED("takes any advice and does nothing");
    REQUIRE(fd >= 0);
    p = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, fd, 0);
    q = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE, fd, 0);
    REQUIRE(p != MAP_FAILED && q != MAP_FAILED);
    WITH_BROKEN_MEMORY(p);
    memset(p, 7, 4 * PAGE);
    EXPECT_EQ(q[PAGE], 7);
    q[2 * PAGE] = 8; /* a copy of its own */
    EXPECT_EQ(advise(p + PAGE, 2, HWPOISON), 0);
    EXPECT(is_broken(p + PAGE, false));
    EXPECT(is_broken(p + PAGE, true));
    EXPECT(is_broken(q + PAGE, false));
    EXPECT(is_broken(q + PAGE, true));
    EXPECT(is_broken(p + 2 * PAGE, false));
    EXPECT_EQ(q[2 * PAGE], 8);
    EXPECT_EQ(p[3 * PAGE], 7);
    EXPECT_ERROR(SYSCALL(SYS_pread64, fd, &byte, 1L, PAGE), EIO);
    EXPECT_ERROR(SYSCALL(SYS_pwrite64, fd, &byte, 1L, PAGE), EIO);
    EXPECT_EQ(SYSCALL(SYS_pread64, fd, &byte, 1L, 0L), 1);
    EXPECT_EQ(byte, 7);
    EXPECT_EQ(SYSCALL(SYS_ftruncate, fd, PAGE), 0); /* its place goes, */
    EXPECT_EQ(SYSCALL(SYS_ftruncate, fd, 4 * PAGE), 0);
    EXPECT_EQ(p[PAGE], 0); /* and is another one */
    munmap(p, 4 * PAGE);
    munmap(q, 4 * PAGE);
    close(fd);
}

/* A page of the program's own file: read again, nothing is lost. */
KTAP_CASE(pagoda_clean_file_page_is_read_again)
{
    int fd = open(ktap_self(), O_RDONLY);
    long before = corrupted_pages();

    REQUIRE(fd >= 0);
    char *p = mmap(NULL, 3 * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    REQUIRE(p != MAP_FAILED);
    char first = p[1], last = p[2 * PAGE + 1];
    EXPECT_EQ(advise(p, 3, HWPOISON), 0);
    EXPECT_EQ(corrupted_pages(), before + 3);
    EXPECT(p[1] == first && p[2 * PAGE + 1] == last);
    munmap(p, 3 * PAGE);
    close(fd);
}

KTAP_CASE(huge_page_loses_a_part)
{
    char *p = ktap_map(2 * HUGE, RW);

    REQUIRE(p != NULL);
    WITH_BROKEN_MEMORY(p);
    char *block = (char *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));
    SYSCALL(SYS_madvise, block, HUGE, 14L);
    memset(block, 5, HUGE);
    EXPECT_EQ(advise(block + 9 * PAGE, 1, HWPOISON), 0);
    EXPECT(is_broken(block + 9 * PAGE, false));
    EXPECT(block[8 * PAGE] == 5 && block[10 * PAGE] == 5);
    munmap(p, 2 * HUGE);
}

KTAP_CASE(pagoda_zero_page_cannot_break)
{
    char *p = ktap_map(PAGE, RW);

    REQUIRE(p != NULL);
    EXPECT_EQ(*p, 0);
    EXPECT_ERROR(advise(p, 1, HWPOISON), EBUSY);
    EXPECT_ERROR(SYSCALL(SYS_madvise, p + 1, PAGE, HWPOISON), EINVAL);
    EXPECT_EQ(*p, 0);
    munmap(p, PAGE);
    EXPECT_ERROR(advise(p, 1, HWPOISON), EFAULT);
}

KTAP_CASE(soft_offline_moves_what_is_there)
{
    char *p = ktap_map(3 * PAGE, RW);

    REQUIRE(p != NULL);
    WITH_BROKEN_MEMORY(p);
    long before = corrupted_pages();
    memset(p, 7, 3 * PAGE);
    EXPECT_EQ(advise(p, 2, OFFLINE), 0);
    EXPECT(ktap_all_bytes(p, 3 * PAGE, 7));
    EXPECT_EQ(corrupted_pages(), before + 2);
    munmap(p, 3 * PAGE);
}

KTAP_CASE(soft_offline_moves_pages_of_files)
{
    int fd = memory_file(2);
    char byte = 0, *p, *q;

    SKIP_EMULATED("takes any advice and does nothing");
    REQUIRE(fd >= 0);
    p = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, fd, 0);
    q = mmap(NULL, 2 * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    REQUIRE(p != MAP_FAILED && q != MAP_FAILED);
    WITH_BROKEN_MEMORY(p);
    long before = corrupted_pages();
    memset(p, 7, 2 * PAGE);
    EXPECT_EQ(q[PAGE], 7);
    EXPECT_EQ(advise(p, 2, OFFLINE), 0);
    EXPECT_EQ(corrupted_pages(), before + 2);
    p[PAGE] = 8;
    EXPECT(q[PAGE] == 8 && q[0] == 7);
    EXPECT_EQ(SYSCALL(SYS_pread64, fd, &byte, 1L, PAGE), 1);
    EXPECT_EQ(byte, 8);
    munmap(p, 2 * PAGE);
    munmap(q, 2 * PAGE);
    close(fd);
}

KTAP_CASE(pagoda_accounts_stay_right)
{
    char *p = ktap_map(64 * PAGE, RW);

    REQUIRE(p != NULL);
    memset(p, 1, 64 * PAGE);
    EXPECT_EQ(advise(p + 3 * PAGE, 5, HWPOISON), 0);
    EXPECT_EQ(advise(p + 9 * PAGE, 5, OFFLINE), 0);
    EXPECT_EQ(pg_syscall(MM_CHECK), 0);
    EXPECT_EQ(mprotect(p, 64 * PAGE, PROT_NONE), 0);
    EXPECT_EQ(mprotect(p, 64 * PAGE, RW), 0);
    EXPECT(is_broken(p + 5 * PAGE, false));
    munmap(p, 64 * PAGE);
    EXPECT_EQ(pg_syscall(MM_CHECK), 0);
}
