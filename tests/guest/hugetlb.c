/*
 * MAP_HUGETLB: mappings of pages of the pool of huge pages. After LTP's hugemmap tests. The pool is
 * grown for each case and emptied after it.
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

#define RW          (PROT_READ | PROT_WRITE)
#define HUGE        ((size_t)1 << 21)
#define ANONYMOUS   (MAP_PRIVATE | MAP_ANONYMOUS)
#define NUMBER_TEXT 24

#ifndef MAP_HUGETLB
#define MAP_HUGETLB 0x40000
#endif

/* A number of /proc/meminfo; -1 if it is not there. */
static long meminfo(const char *name)
{
    static char text[8192];
    size_t bytes = 0;
    int fd = open("/proc/meminfo", O_RDONLY);

    for (long got; fd >= 0 && (got = read(fd, text + bytes, sizeof text - 1 - bytes)) > 0;)
        bytes += (size_t)got;
    text[bytes] = '\0';
    if (fd >= 0)
        close(fd);
    const char *at = strstr(text, name);
    return at ? strtol(at + strlen(name) + 1, NULL, 10) : -1;
}

/* Make the pool so large; how large it is then, -1 if that cannot be asked for. */
static long pool(long pages)
{
    char text[NUMBER_TEXT];
    int fd = open("/proc/sys/vm/nr_hugepages", O_WRONLY);

    if (fd < 0)
        return -1;
    int bytes = snprintf(text, sizeof text, "%ld\n", pages);
    long wrote = write(fd, text, (size_t)bytes);
    close(fd);
    return wrote == bytes ? meminfo("HugePages_Total") : -1;
}

static bool pool_is(long total, long available, long reserved)
{
    return meminfo("HugePages_Total") == total && meminfo("HugePages_Free") == available &&
           meminfo("HugePages_Rsvd") == reserved;
}

static char *map(size_t pages, int more)
{
    return (char *)SYSCALL(SYS_mmap, 0L, pages * HUGE, (long)RW,
                           (long)(ANONYMOUS | MAP_HUGETLB | more), -1L, 0L);
}

#define WITH_POOL(pages)                                   \
    do {                                                   \
        SKIP_EMULATED("knows no huge pages");              \
        if (meminfo("HugePages_Total") < 0 || pool(0) < 0) \
            SKIP("there is no pool of huge pages");        \
        if (pool(pages) != (pages))                        \
            SKIP("no memory in so large pieces");          \
    } while (0)

KTAP_CASE(mapping_is_promised_its_pages)
{
    WITH_POOL(3);
    EXPECT_EQ((long)map(4, 0), -ENOMEM);
    char *at = map(2, 0);
    REQUIRE((long)at > 0);
    EXPECT_EQ((uintptr_t)at % HUGE, 0);
    EXPECT(pool_is(3, 3, 2));
    EXPECT_EQ((long)map(2, 0), -ENOMEM);
    at[HUGE + 5] = 1;
    EXPECT(pool_is(3, 2, 1));
    EXPECT_EQ(at[HUGE + 5], 1);
    EXPECT_EQ(at[2 * HUGE - 1], 0);
    EXPECT_EQ(munmap(at + HUGE, HUGE), 0);
    EXPECT(pool_is(3, 3, 1));
    EXPECT_EQ(munmap(at, HUGE), 0);
    EXPECT(pool_is(3, 3, 0));
    EXPECT_EQ(pool(0), 0);
}

KTAP_CASE(length_is_rounded_and_pages_are_not_cut)
{
    WITH_POOL(2);
    char *at = (char *)SYSCALL(SYS_mmap, 0L, HUGE + PAGE, (long)RW, (long)(ANONYMOUS | MAP_HUGETLB),
                               -1L, 0L);
    REQUIRE((long)at > 0);
    EXPECT(pool_is(2, 2, 2));
    at[2 * HUGE - 1] = 3;
    EXPECT_ERROR(SYSCALL(SYS_munmap, at, PAGE), EINVAL);
    EXPECT_ERROR(SYSCALL(SYS_mprotect, at, PAGE, (long)PROT_READ), EINVAL);
    EXPECT_ERROR(SYSCALL(SYS_madvise, at + PAGE, PAGE, (long)MADV_DONTNEED), EINVAL);
    EXPECT_ERROR(SYSCALL(SYS_madvise, at, HUGE, 8L /* MADV_FREE */), EINVAL);
    EXPECT_EQ(at[2 * HUGE - 1], 3);
    EXPECT_EQ(mprotect(at, 2 * HUGE, PROT_READ), 0);
    EXPECT_EQ(mprotect(at, 2 * HUGE, RW), 0);
    at[2 * HUGE - 1]++;
    EXPECT_EQ(at[2 * HUGE - 1], 4);
    EXPECT_EQ(munmap(at, 2 * HUGE), 0);
    EXPECT_EQ((long)map(1, 16 << 26), -EINVAL);
    EXPECT_EQ(pool(0), 0);
}

KTAP_CHILD(touch_second)
{
    char *at = map(2, MAP_NORESERVE);

    (void)arg;

    at[0] = 1;
    at[HUGE] = 1;
    return 0;
}

KTAP_CASE(without_promise_or_page_a_bus_error)
{
    WITH_POOL(1);
    EXPECT_CHILD_SIGNAL("touch_second", "", SIGBUS);
    EXPECT(pool_is(1, 1, 0));
    EXPECT_EQ(pool(0), 0);
}

KTAP_CASE(fork_shares_until_one_writes)
{
    WITH_POOL(2);
    char *at = map(1, 0);
    int status = -1;

    REQUIRE((long)at > 0);
    at[7] = 1;
    pid_t pid = fork();
    if (pid == 0) {
        if (at[7] != 1)
            _exit(1);
        at[7] = 2;
        _exit(at[7] == 2 && at[8] == 0 && pool_is(2, 0, 0) ? 0 : 2);
    }
    REQUIRE(pid > 0);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(at[7], 1);
    at[7] = 3;
    EXPECT(pool_is(2, 1, 0));
    EXPECT_EQ(munmap(at, HUGE), 0);
    EXPECT_EQ(pool(0), 0);
}
