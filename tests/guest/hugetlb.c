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
#include <sys/stat.h>
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

/* A page that is dropped leaves its promise behind (Linux since 6.10). */
KTAP_CASE(dropped_page_is_promised_again)
{
    WITH_POOL(4);
    char *p = map(2, 0);
    char *other = map(1, 0);

    p[0] = 1;
    EXPECT(pool_is(4, 3, 2));
    EXPECT_EQ(madvise(p, HUGE, MADV_DONTNEED), 0);
    EXPECT(pool_is(4, 4, 3));
    EXPECT_EQ(munmap(p, HUGE), 0);
    EXPECT(pool_is(4, 4, 2));
    EXPECT_EQ(p[HUGE], 0);
    EXPECT(pool_is(4, 3, 1));
    EXPECT_EQ(munmap(p + HUGE, HUGE), 0);
    EXPECT(pool_is(4, 4, 1));
    munmap(other, HUGE);
    EXPECT(pool_is(4, 4, 0));
    pool(0);
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

/* arg: "r" reads, "w" writes. */
KTAP_CHILD(touch_hidden)
{
    char *at = map(1, 0);

    at[7] = 1;
    if (mprotect(at, HUGE, PROT_NONE))
        return 1;
    return arg[0] == 'w' ? (at[7] = 2) : at[7];
}

static bool is_in_memory(char *at, unsigned pages)
{
    unsigned char there[HUGE / PAGE];
    unsigned count = 0;

    if (SYSCALL(SYS_mincore, at, HUGE, (uintptr_t)there))
        return false;
    for (unsigned i = 0; i < HUGE / PAGE; i++)
        count += there[i] & 1;
    return count == pages;
}

KTAP_CASE(pages_without_rights_are_kept)
{
    char byte = 0;
    int status = -1;

    WITH_POOL(2);
    EXPECT_CHILD_SIGNAL("touch_hidden", "r", SIGSEGV);
    EXPECT_CHILD_SIGNAL("touch_hidden", "w", SIGSEGV);
    EXPECT(pool_is(2, 2, 0));
    char *at = map(1, 0);
    REQUIRE((long)at > 0);
    at[7] = 3;
    EXPECT_EQ(mprotect(at, HUGE, PROT_NONE), 0);
    EXPECT(is_in_memory(at, HUGE / PAGE));
    EXPECT(pool_is(2, 1, 0));
    int fds[2];
    REQUIRE(pipe(fds) == 0);
    EXPECT_ERROR(SYSCALL(SYS_write, (long)fds[1], at + 7, 1L), EFAULT);
    int mem = open("/proc/self/mem", O_RDWR);
    EXPECT_EQ(pread(mem, &byte, 1, (off_t)(uintptr_t)(at + 7)), 1);
    EXPECT_EQ(byte, 3);
    EXPECT(pwrite(mem, &byte, 1, (off_t)(uintptr_t)(at + 7)) < 0);
    close(mem);
    close(fds[0]);
    close(fds[1]);
    pid_t pid = fork();
    if (pid == 0) {
        if (mprotect(at, HUGE, RW) || at[7] != 3)
            _exit(1);
        at[7] = 4;
        _exit(at[7] == 4 && pool_is(2, 0, 0) ? 0 : 2);
    }
    REQUIRE(pid > 0);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(mprotect(at, HUGE, PROT_READ), 0);
    EXPECT_EQ(at[7], 3);
    EXPECT_EQ(mprotect(at, HUGE, PROT_NONE), 0);
    EXPECT_EQ(madvise(at, HUGE, MADV_DONTNEED), 0);
    EXPECT(is_in_memory(at, 0));
    EXPECT_EQ(mprotect(at, HUGE, RW), 0);
    EXPECT_EQ(at[7], 0);
    EXPECT_EQ(munmap(at, HUGE), 0);
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

/* ---- objects of huge pages ---- */

#ifndef MFD_HUGETLB
#define MFD_HUGETLB 4
#endif
#define SIZE_2MIB  (21L << 26)
#define SIZE_64KIB (16L << 26)
#define PUNCH_KEEP 3 /* FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE */
#define SHM_HUGE   04000
#define RMID       0
#define MOVE_FIXED 3L /* MREMAP_MAYMOVE | MREMAP_FIXED */
#define DONTUNMAP  4L

static int memfd(long flags)
{
    long fd = SYSCALL(SYS_memfd_create, "huge", MFD_HUGETLB | flags);

    if (fd < 0)
        ktap_fail(__FILE__, __LINE__, "memfd_create: %s", strerror((int)-fd));
    return (int)fd;
}

static char *map_fd(int fd, size_t pages, int flags)
{
    return (char *)SYSCALL(SYS_mmap, 0L, pages * HUGE, (long)RW, (long)flags, (long)fd, 0L);
}

KTAP_CASE(shared_memory_is_inherited)
{
    WITH_POOL(2);
    char *at = (char *)SYSCALL(SYS_mmap, 0L, 2 * HUGE, (long)RW,
                               (long)(MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB), -1L, 0L);
    int status = -1;

    REQUIRE((long)at > 0);
    EXPECT(pool_is(2, 2, 2));
    at[7] = 1;
    pid_t pid = fork();
    if (pid == 0) {
        if (at[7] != 1)
            _exit(1);
        at[7] = 2;
        at[HUGE] = 3;
        _exit(munmap(at, 2 * HUGE) || !pool_is(2, 0, 0));
    }
    REQUIRE(pid > 0);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(at[7], 2);
    EXPECT_EQ(at[HUGE], 3);
    EXPECT_EQ(msync(at, 2 * HUGE, MS_SYNC), 0);
    EXPECT_EQ(madvise(at, 2 * HUGE, MADV_DONTNEED), 0);
    EXPECT_EQ(at[HUGE], 3); /* the object has it */
    EXPECT_EQ(mprotect(at, HUGE, PROT_NONE), 0);
    EXPECT_EQ(mprotect(at, HUGE, PROT_READ), 0);
    EXPECT_EQ(at[7], 2);
    EXPECT_EQ(munmap(at, 2 * HUGE), 0);
    EXPECT(pool_is(2, 2, 0));
    EXPECT_EQ(pool(0), 0);
}

KTAP_CASE(memfd_has_whole_pages)
{
    struct stat st;
    char byte = 9;

    WITH_POOL(2);
    EXPECT_ERROR(SYSCALL(SYS_memfd_create, "huge", MFD_HUGETLB | SIZE_64KIB), ENODEV);
    EXPECT_ERROR(SYSCALL(SYS_memfd_create, "huge", SIZE_2MIB), EINVAL);
    int fd = memfd(SIZE_2MIB);
    EXPECT_ERROR(SYSCALL(SYS_ftruncate, (long)fd, (long)PAGE), EINVAL);
    EXPECT_EQ(SYSCALL(SYS_ftruncate, (long)fd, 2 * HUGE), 0);
    EXPECT(pool_is(2, 2, 0));
    EXPECT_ERROR(SYSCALL(SYS_write, (long)fd, &byte, 1L), EINVAL);
    EXPECT_EQ(SYSCALL(SYS_pread64, (long)fd, &byte, 1L, HUGE + 5), 1);
    EXPECT_EQ(byte, 0);
    char *at = map_fd(fd, 2, MAP_SHARED);
    REQUIRE((long)at > 0);
    EXPECT_EQ((uintptr_t)at % HUGE, 0);
    EXPECT(pool_is(2, 2, 2));
    at[HUGE + 5] = 7;
    EXPECT_EQ(SYSCALL(SYS_pread64, (long)fd, &byte, 1L, HUGE + 5), 1);
    EXPECT_EQ(byte, 7);
    EXPECT_EQ(fstat(fd, &st), 0);
    EXPECT_EQ(st.st_size, (long)(2 * HUGE));
    EXPECT_EQ(st.st_blksize, (long)HUGE);
    EXPECT_EQ(st.st_blocks, (long)(HUGE / 512));
    EXPECT(pool_is(2, 1, 1));
    EXPECT_EQ(munmap(at, 2 * HUGE), 0);
    EXPECT(pool_is(2, 1, 1)); /* promises stay with the file */
    close(fd);
    EXPECT(pool_is(2, 2, 0));
    EXPECT_EQ(pool(0), 0);
}

KTAP_CASE(memfd_is_allocated_and_punched)
{
    WITH_POOL(2);
    int fd = memfd(0);
    char *at, byte = 9;

    EXPECT_EQ(SYSCALL(SYS_fallocate, (long)fd, 0L, 0L, HUGE), 0);
    EXPECT(pool_is(2, 1, 0));
    EXPECT_ERROR(SYSCALL(SYS_fallocate, (long)fd, 0L, 0L, 3 * HUGE), ENOSPC);
    EXPECT_EQ(SYSCALL(SYS_ftruncate, (long)fd, HUGE), 0);
    EXPECT(
        pool_is(2, 1, 0)); /* what had been allocated behind the end before that failed is gone */
    at = map_fd(fd, 1, MAP_SHARED);
    REQUIRE((long)at > 0);
    at[0] = at[PAGE] = at[HUGE - 1] = 5;
    EXPECT_EQ(SYSCALL(SYS_fallocate, (long)fd, (long)PUNCH_KEEP, 0L, (long)PAGE), 0);
    EXPECT_EQ(at[0], 0); /* a part of a page is zeroed */
    EXPECT_EQ(at[PAGE], 5);
    EXPECT_EQ(SYSCALL(SYS_fallocate, (long)fd, (long)PUNCH_KEEP, 0L, HUGE), 0);
    EXPECT_EQ(SYSCALL(SYS_pread64, (long)fd, &byte, 1L, HUGE - 1), 1);
    EXPECT_EQ(byte, 0);
    EXPECT_EQ(at[HUGE - 1], 0);
    EXPECT_EQ(madvise(at, HUGE, 9 /* MADV_REMOVE */), 0);
    EXPECT_EQ(munmap(at, HUGE), 0);
    close(fd);
    EXPECT(pool_is(2, 2, 0));
    EXPECT_EQ(pool(0), 0);
}

KTAP_CHILD(touch_cut_file)
{
    int fd = memfd(0);
    char *at = map_fd(fd, 1, MAP_SHARED); /* it becomes as long as what may be written of it */

    (void)arg;
    at[0] = 1;
    if (ftruncate(fd, 0))
        return 1;
    return at[0];
}

KTAP_CHILD(touch_file_without_promise)
{
    char *at = map_fd(memfd(0), 2, MAP_SHARED | MAP_NORESERVE);

    (void)arg;
    at[0] = 1;
    at[HUGE] = 1;
    return 0;
}

KTAP_CASE(pages_of_files_may_be_missing)
{
    WITH_POOL(1);
    int fd = memfd(0);

    EXPECT_EQ((long)map_fd(fd, 2, MAP_SHARED), -ENOMEM);
    close(fd);
    EXPECT_CHILD_SIGNAL("touch_cut_file", "", SIGBUS);
    EXPECT_CHILD_SIGNAL("touch_file_without_promise", "", SIGBUS);
    EXPECT(pool_is(1, 1, 0));
    EXPECT_EQ(pool(0), 0);
}

KTAP_CASE(files_are_mapped_where_pages_begin)
{
    WITH_POOL(2);
    int fd = memfd(0);
    char *at = map_fd(fd, 2, MAP_PRIVATE), *shared;

    REQUIRE((long)at > 0);
    EXPECT(pool_is(2, 2, 2));
    at[0] = 4;
    EXPECT_EQ(munmap(at, 2 * HUGE), 0);
    EXPECT(pool_is(2, 2, 0));
    EXPECT_ERROR(
        SYSCALL(SYS_mmap, at + PAGE, HUGE, (long)RW, (long)(MAP_SHARED | MAP_FIXED), (long)fd, 0L),
        EINVAL);
    EXPECT_ERROR(SYSCALL(SYS_mmap, 0L, HUGE, (long)RW, (long)MAP_SHARED, (long)fd, (long)PAGE),
                 EINVAL);
    shared = map_fd(fd, 1, MAP_SHARED);
    at = map_fd(fd, 1, MAP_PRIVATE);
    REQUIRE((long)shared > 0 && (long)at > 0);
    shared[3] = 6;
    EXPECT_EQ(at[3], 6);
    at[3] = 7; /* a copy */
    EXPECT_EQ(shared[3], 6);
    EXPECT_EQ(at[3], 7);
    EXPECT_EQ(munmap(at, HUGE), 0);
    EXPECT_EQ(munmap(shared, HUGE), 0);
    close(fd);
    EXPECT(pool_is(2, 2, 0));
    EXPECT_EQ(pool(0), 0);
}

KTAP_CASE(mappings_move_whole)
{
    WITH_POOL(2);
    char *at = map(2, 0), *room = map(2, MAP_NORESERVE);

    REQUIRE((long)at > 0 && (long)room > 0);
    at[5] = 1;
    EXPECT_ERROR(SYSCALL(SYS_mremap, at, 2 * HUGE, 3 * HUGE, 1L, 0L), EINVAL);
    EXPECT_ERROR(SYSCALL(SYS_mremap, at, HUGE, HUGE, MOVE_FIXED, room + PAGE), EINVAL);
    EXPECT_ERROR(SYSCALL(SYS_mremap, at + PAGE, HUGE, HUGE, MOVE_FIXED, room), EINVAL);
    EXPECT_ERROR(SYSCALL(SYS_mremap, at, HUGE, HUGE, MOVE_FIXED | DONTUNMAP, room), EINVAL);
    EXPECT_EQ(SYSCALL(SYS_mremap, at, 2 * HUGE, 2 * HUGE, MOVE_FIXED, room), (long)room);
    EXPECT_EQ(room[5], 1);
    EXPECT(pool_is(2, 1, 1));
    room[HUGE] = 2;
    EXPECT(pool_is(2, 0, 0));
    EXPECT_EQ(SYSCALL(SYS_mremap, room, 2 * HUGE, HUGE, 0L, 0L), (long)room);
    EXPECT(pool_is(2, 1, 0));
    EXPECT_EQ(munmap(room, HUGE), 0);
    EXPECT_EQ(pool(0), 0);
}

KTAP_CASE(segments_of_huge_pages)
{
    WITH_POOL(2);
    EXPECT_ERROR(SYSCALL(SYS_shmget, 0L, HUGE, 0600L | SHM_HUGE | SIZE_64KIB), EINVAL);
    EXPECT_ERROR(SYSCALL(SYS_shmget, 0L, 3 * HUGE, 0600L | SHM_HUGE), ENOMEM);
    long id = SYSCALL(SYS_shmget, 0L, HUGE + 5, 0600L | SHM_HUGE);
    REQUIRE(id >= 0);
    EXPECT(pool_is(2, 2, 2));
    char *at = (char *)SYSCALL(SYS_shmat, id, 0L, 0L);
    REQUIRE((long)at > 0);
    EXPECT_EQ((uintptr_t)at % HUGE, 0);
    at[2 * HUGE - 1] = 3;
    EXPECT(pool_is(2, 1, 1));
    char *again = (char *)SYSCALL(SYS_shmat, id, 0L, 0L);
    EXPECT_EQ(again[2 * HUGE - 1], 3);
    EXPECT_ERROR(SYSCALL(SYS_shmat, id, at + 4 * HUGE + PAGE, 0L), EINVAL);
    EXPECT_EQ(SYSCALL(SYS_shmctl, id, (long)RMID, 0L), 0);
    EXPECT_EQ(SYSCALL(SYS_shmdt, again), 0);
    EXPECT_EQ(SYSCALL(SYS_shmdt, at), 0);
    EXPECT(pool_is(2, 2, 0));
    EXPECT_EQ(pool(0), 0);
}
