/*
 * memfd_create, and what a file in memory does: one set of bytes for read, write and all mappings,
 * its size, holes, SIGBUS behind the end, truncation under mappings, seals. After LTP's
 * memfd_create and ftruncate tests and kselftest memfd.
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

#define RW (PROT_READ | PROT_WRITE)

#define ADD_SEALS 1033
#define GET_SEALS 1034
#define SEAL      0x01
#define SHRINK    0x02
#define GROW      0x04
#define WRITE     0x08
#define FUTURE    0x10

#define KEEP_SIZE  1
#define PUNCH_HOLE 2

#define SEEK_TO_DATA 3
#define SEEK_TO_HOLE 4
#define REMOVE       9 /* MADV_REMOVE */

#define EOPNOTSUPP_ EOPNOTSUPP

static int memfd(long flags)
{
    long fd = SYSCALL(SYS_memfd_create, "test", flags);

    if (fd < 0)
        ktap_fail(__FILE__, __LINE__, "memfd_create: %s", strerror((int)-fd));
    return (int)fd;
}

/* A memfd of that many bytes. */
static int memfd_of(size_t bytes)
{
    int fd = memfd(0);

    EXPECT_EQ(SYSCALL(SYS_ftruncate, (long)fd, (long)bytes), 0);
    return fd;
}

static volatile uint8_t *map(int fd, size_t bytes, int prot, int flags)
{
    void *at = mmap(NULL, bytes, prot, flags, fd, 0);

    if (at == MAP_FAILED)
        ktap_fail(__FILE__, __LINE__, "mmap: %s", strerror(errno));
    return at == MAP_FAILED ? NULL : at;
}

static void unmap(volatile uint8_t *at, size_t bytes)
{
    munmap((void *)(uintptr_t)at, bytes);
}

static long size_of(int fd)
{
    struct stat st;

    return fstat(fd, &st) ? -1 : (long)st.st_size;
}

static long blocks_of(int fd)
{
    struct stat st;

    return fstat(fd, &st) ? -1 : (long)st.st_blocks;
}

static long pread_at(int fd, void *to, size_t bytes, long offset)
{
    return SYSCALL(SYS_pread64, (long)fd, to, bytes, offset);
}

static long pwrite_at(int fd, const void *from, size_t bytes, long offset)
{
    return SYSCALL(SYS_pwrite64, (long)fd, from, bytes, offset);
}

static uint8_t byte_at(int fd, long offset)
{
    uint8_t byte = 0xee;

    EXPECT_EQ(pread_at(fd, &byte, 1, offset), 1);
    return byte;
}

/* ---- making ---- */

KTAP_CASE(create_checks_its_arguments)
{
    char name[252];

    memset(name, 'x', sizeof(name));
    name[250] = 0;
    EXPECT_ERROR(SYSCALL(SYS_memfd_create, name, 0l), EINVAL);
    name[249] = 0;
    long fd = SYSCALL(SYS_memfd_create, name, 0l);
    EXPECT(fd >= 0);
    close((int)fd);
    EXPECT_ERROR(SYSCALL(SYS_memfd_create, "x", 0x100l), EINVAL);
    EXPECT_ERROR(SYSCALL(SYS_memfd_create, NULL, 0l), EFAULT);
    fd = SYSCALL(SYS_memfd_create, "", 0l);
    EXPECT(fd >= 0);
    close((int)fd);
}

KTAP_CASE(a_new_one_is_empty_and_read_write)
{
    int fd = memfd(0);
    uint8_t byte;

    EXPECT_EQ(size_of(fd), 0);
    EXPECT_EQ(pread_at(fd, &byte, 1, 0), 0);
    EXPECT_EQ(SYSCALL(SYS_fcntl, (long)fd, (long)F_GETFL, 0l) & O_ACCMODE, O_RDWR);
    EXPECT_EQ(SYSCALL(SYS_fcntl, (long)fd, (long)F_GETFD, 0l), 0);
    close(fd);
    fd = memfd(MFD_CLOEXEC);
    EXPECT_EQ(SYSCALL(SYS_fcntl, (long)fd, (long)F_GETFD, 0l), 1);
    close(fd);
}

KTAP_CASE(write_makes_it_longer)
{
    int fd = memfd(0);
    char text[8] = {0};

    EXPECT_EQ(write(fd, "hello", 5), 5);
    EXPECT_EQ(size_of(fd), 5);
    EXPECT_EQ(pwrite_at(fd, "there", 5, 3 * (long)PAGE - 2), 5);
    EXPECT_EQ(size_of(fd), 3 * (long)PAGE + 3);
    EXPECT_EQ(pread_at(fd, text, 8, 3 * (long)PAGE - 2), 5);
    EXPECT_EQ(memcmp(text, "there", 5), 0);
    EXPECT_EQ(byte_at(fd, 5), 0);
    EXPECT_EQ(byte_at(fd, (long)PAGE), 0);
    EXPECT_EQ(SYSCALL(SYS_lseek, (long)fd, 0l, (long)SEEK_END), 3 * (long)PAGE + 3);
    close(fd);
}

KTAP_CASE(bad_buffers_are_efault)
{
    int fd = memfd_of(PAGE);

    EXPECT_ERROR(SYSCALL(SYS_write, (long)fd, 16l, 4l), EFAULT);
    EXPECT_ERROR(SYSCALL(SYS_read, (long)fd, 16l, 4l), EFAULT);
    EXPECT_EQ(size_of(fd), (long)PAGE);
    close(fd);
}

/* ---- mapping ---- */

KTAP_CASE(mappings_and_calls_see_the_same_bytes)
{
    int fd = memfd_of(4 * PAGE);
    volatile uint8_t *a = map(fd, 4 * PAGE, RW, MAP_SHARED);
    volatile uint8_t *b = map(fd, 4 * PAGE, RW, MAP_SHARED);

    REQUIRE(a && b);
    a[100] = 1;
    EXPECT_EQ(b[100], 1);
    b[PAGE] = 2;
    EXPECT_EQ(a[PAGE], 2);
    EXPECT_EQ(byte_at(fd, 100), 1);
    EXPECT_EQ(byte_at(fd, (long)PAGE), 2);
    EXPECT_EQ(pwrite_at(fd, "\3", 1, 2 * (long)PAGE + 7), 1);
    EXPECT_EQ(a[2 * PAGE + 7], 3);
    EXPECT_EQ(b[2 * PAGE + 7], 3);
    EXPECT_EQ(a[3 * PAGE], 0);
    unmap(a, 4 * PAGE);
    EXPECT_EQ(b[100], 1);
    unmap(b, 4 * PAGE);
    EXPECT_EQ(byte_at(fd, 100), 1);
    close(fd);
}

KTAP_CASE(a_read_page_can_be_written_later)
{
    int fd = memfd_of(32 * PAGE);
    volatile uint8_t *a = map(fd, 32 * PAGE, RW, MAP_SHARED);
    unsigned sum = 0;

    REQUIRE(a);
    for (size_t i = 0; i < 32; i++)
        sum += a[i * PAGE];
    EXPECT_EQ(sum, 0);
    for (size_t i = 0; i < 32; i++)
        a[i * PAGE] = (uint8_t)i;
    for (size_t i = 0; i < 32; i++)
        EXPECT_EQ(byte_at(fd, (long)(i * PAGE)), i);
    unmap(a, 32 * PAGE);
    close(fd);
}

KTAP_CASE(private_writes_stay_private)
{
    int fd = memfd_of(3 * PAGE);
    volatile uint8_t *p = map(fd, 3 * PAGE, RW, MAP_PRIVATE);

    REQUIRE(p);
    pwrite_at(fd, "\5", 1, 0);
    EXPECT_EQ(p[0], 5); /* not copied yet: the file shows */
    p[1] = 6;
    pwrite_at(fd, "\7", 1, 0);
    EXPECT_EQ(p[0], 5);
    EXPECT_EQ(byte_at(fd, 1), 0);
    p[PAGE] = 8; /* written without having been read */
    EXPECT_EQ(byte_at(fd, (long)PAGE), 0);
    pwrite_at(fd, "\11", 1, 2 * (long)PAGE);
    EXPECT_EQ(p[2 * PAGE], 9);
    EXPECT_EQ(madvise((void *)(uintptr_t)p, PAGE, MADV_DONTNEED), 0);
    EXPECT_EQ(p[0], 7);
    EXPECT_EQ(p[1], 0);
    unmap(p, 3 * PAGE);
    close(fd);
}

KTAP_CASE(mapping_outlives_descriptor)
{
    int fd = memfd_of(PAGE);
    volatile uint8_t *a = map(fd, PAGE, RW, MAP_SHARED);

    REQUIRE(a);
    a[0] = 9;
    close(fd);
    EXPECT_EQ(a[0], 9);
    EXPECT_EQ(a[PAGE - 1], 0);
    unmap(a, PAGE);
}

KTAP_CASE(offsets_map_that_part)
{
    int fd = memfd_of(4 * PAGE);

    pwrite_at(fd, "\4", 1, 2 * (long)PAGE);
    volatile uint8_t *a = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 2 * (long)PAGE);
    REQUIRE(a != MAP_FAILED);
    EXPECT_EQ(a[0], 4);
    unmap(a, PAGE);
    EXPECT_ERROR(SYSCALL(SYS_mmap, NULL, PAGE, (long)PROT_READ, (long)MAP_SHARED, (long)fd, 100l),
                 EINVAL);
    close(fd);
}

KTAP_CASE(dontneed_keeps_shared_data)
{
    int fd = memfd_of(2 * PAGE);
    volatile uint8_t *a = map(fd, 2 * PAGE, RW, MAP_SHARED);

    REQUIRE(a);
    a[0] = 1;
    a[PAGE] = 2;
    EXPECT_EQ(madvise((void *)(uintptr_t)a, 2 * PAGE, MADV_DONTNEED), 0);
    EXPECT_EQ(a[0], 1);
    EXPECT_EQ(a[PAGE], 2);
    EXPECT_EQ(msync((void *)(uintptr_t)a, 2 * PAGE, MS_SYNC), 0);
    unmap(a, 2 * PAGE);
    close(fd);
}

KTAP_CASE(protect_and_move_keep_the_object)
{
    int fd = memfd_of(4 * PAGE);
    uint8_t *a = (uint8_t *)(uintptr_t)map(fd, 4 * PAGE, RW, MAP_SHARED);

    REQUIRE(a);
    memset(a, 3, 4 * PAGE);
    EXPECT_EQ(mprotect(a + PAGE, PAGE, PROT_NONE), 0);
    EXPECT_EQ(mprotect(a + PAGE, PAGE, RW), 0);
    EXPECT_EQ(a[PAGE], 3);
    a[PAGE] = 4;
    EXPECT_EQ(byte_at(fd, (long)PAGE), 4);
    EXPECT_EQ(mprotect(a, 4 * PAGE, PROT_READ), 0);
    EXPECT_EQ(mprotect(a, 4 * PAGE, RW), 0);
    a[2 * PAGE] = 5;
    EXPECT_EQ(byte_at(fd, 2 * (long)PAGE), 5);
    uint8_t *b = mremap(a, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE);
    REQUIRE(b != MAP_FAILED);
    EXPECT_EQ(b[2 * PAGE], 5);
    b[3 * PAGE] = 6;
    EXPECT_EQ(byte_at(fd, 3 * (long)PAGE), 6);
    EXPECT_EQ(SYSCALL(SYS_ftruncate, (long)fd, 8l * (long)PAGE), 0);
    b[7 * PAGE] = 7;
    EXPECT_EQ(byte_at(fd, 7 * (long)PAGE), 7);
    munmap(b, 8 * PAGE);
    close(fd);
}

KTAP_CASE(mremap_of_nothing_maps_once_more)
{
    SKIP_EMULATED("mremap of no bytes is refused");
    int fd = memfd_of(2 * PAGE);
    uint8_t *a = (uint8_t *)(uintptr_t)map(fd, 2 * PAGE, RW, MAP_SHARED);

    REQUIRE(a);
    a[0] = 1;
    uint8_t *b = mremap(a, 0, 2 * PAGE, MREMAP_MAYMOVE);
    REQUIRE(b != MAP_FAILED);
    EXPECT(b != a);
    EXPECT_EQ(b[0], 1);
    b[1] = 2;
    EXPECT_EQ(a[1], 2);
    munmap(a, 2 * PAGE);
    munmap(b, 2 * PAGE);
    close(fd);
}

KTAP_CASE(sparse_files_may_be_huge)
{
    int fd = memfd(0);
    const long far = 1l << 42;

    EXPECT_EQ(SYSCALL(SYS_ftruncate, (long)fd, far + 100), 0);
    EXPECT_EQ(size_of(fd), far + 100);
    EXPECT_EQ(pwrite_at(fd, "\1", 1, far), 1);
    EXPECT_EQ(pwrite_at(fd, "\2", 1, far / 2), 1);
    EXPECT_EQ(byte_at(fd, far), 1);
    EXPECT_EQ(byte_at(fd, far / 2), 2);
    EXPECT_EQ(byte_at(fd, far / 2 - (long)PAGE), 0);
    EXPECT_EQ(blocks_of(fd), 16);
    volatile uint8_t *a = mmap(NULL, PAGE, RW, MAP_SHARED, fd, far);
    REQUIRE(a != MAP_FAILED);
    EXPECT_EQ(a[0], 1);
    a[1] = 3;
    EXPECT_EQ(byte_at(fd, far + 1), 3);
    unmap(a, PAGE);
    close(fd);
}

KTAP_CHILD(inherits)
{
    volatile uint8_t *a = mmap(NULL, PAGE, RW, MAP_SHARED, atoi(arg), 0);

    if (a == MAP_FAILED || a[0] != 17)
        return 1;
    a[1] = 18;
    return 0;
}

KTAP_CASE(other_processes_share_it)
{
    int fd = memfd_of(PAGE);
    volatile uint8_t *a = map(fd, PAGE, RW, MAP_SHARED);
    char number[12];

    REQUIRE(a);
    a[0] = 17;
    snprintf(number, sizeof(number), "%d", fd);
    EXPECT_CHILD_EXIT("inherits", number, 0);
    EXPECT_EQ(a[1], 18);
    unmap(a, PAGE);
    close(fd);
}

KTAP_CASE(shared_anonymous_memory_survives_fork)
{
    volatile uint8_t *a = mmap(NULL, 4 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status;

    REQUIRE(a != MAP_FAILED);
    a[0] = 1;
    pid_t pid = fork();
    if (pid == 0) {
        bool good = a[0] == 1;
        a[1] = 2;
        a[2 * PAGE] = 3;
        _exit(good ? 0 : 1);
    }
    REQUIRE(pid > 0);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(a[1], 2);
    EXPECT_EQ(a[2 * PAGE], 3);
    EXPECT_EQ(a[PAGE], 0);
    unmap(a, 4 * PAGE);
}

KTAP_CASE(shared_file_memory_survives_fork)
{
    int fd = memfd_of(2 * PAGE), status;
    volatile uint8_t *a = map(fd, 2 * PAGE, RW, MAP_SHARED);
    volatile uint8_t *p = map(fd, 2 * PAGE, RW, MAP_PRIVATE);

    REQUIRE(a && p);
    a[0] = 1;
    p[PAGE] = 2;
    pid_t pid = fork();
    if (pid == 0) {
        bool good = a[0] == 1 && p[0] == 1 && p[PAGE] == 2 && a[PAGE] == 0;
        a[1] = 3;
        p[PAGE] = 4;
        p[0] = 5;
        _exit(good && a[0] == 1 ? 0 : 1);
    }
    REQUIRE(pid > 0);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(a[1], 3);
    EXPECT_EQ(p[PAGE], 2);
    EXPECT_EQ(p[0], 1);
    EXPECT_EQ(byte_at(fd, 0), 1);
    unmap(a, 2 * PAGE);
    unmap(p, 2 * PAGE);
    close(fd);
}

KTAP_CASE(maps_shows_its_name)
{
    int fd = memfd_of(PAGE);
    volatile uint8_t *a = map(fd, PAGE, RW, MAP_SHARED);
    char line[256], wanted[32];
    bool found = false;

    REQUIRE(a);
    snprintf(wanted, sizeof(wanted), "%lx-", (unsigned long)(uintptr_t)a);
    FILE *maps = fopen("/proc/self/maps", "r");
    REQUIRE(maps != NULL);
    while (fgets(line, sizeof(line), maps)) {
        if (strstr(line, wanted) != NULL)
            found = strstr(line, "rw-s") != NULL && strstr(line, "/memfd:test (deleted)") != NULL;
    }
    fclose(maps);
    EXPECT(found);
    unmap(a, PAGE);
    close(fd);
}

/* ---- size ---- */

KTAP_CASE(ftruncate_checks_its_arguments)
{
    int fd = memfd(0), ends[2];

    EXPECT_ERROR(SYSCALL(SYS_ftruncate, (long)fd, -1l), EINVAL);
    EXPECT_ERROR(SYSCALL(SYS_ftruncate, 99l, 0l), EBADF);
    EXPECT_EQ(pipe(ends), 0);
    EXPECT_ERROR(SYSCALL(SYS_ftruncate, (long)ends[1], 0l), EINVAL);
    close(ends[0]);
    close(ends[1]);
    close(fd);
}

/* As when it becomes shorter. */
KTAP_CASE(cut_to_its_own_size_what_is_behind_the_end_is_zero)
{
    int fd = memfd_of(100);
    volatile uint8_t *p = map(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);

    REQUIRE(p != NULL);
    p[99] = p[100] = 7;
    EXPECT_EQ(SYSCALL(SYS_ftruncate, (long)fd, 100l), 0);
    EXPECT(p[99] == 7 && p[100] == 0);
    unmap(p, PAGE);
    close(fd);
}

KTAP_CASE(what_was_cut_off_is_zero_when_it_comes_back)
{
    int fd = memfd_of(3 * PAGE);
    volatile uint8_t *a = map(fd, 3 * PAGE, RW, MAP_SHARED);

    REQUIRE(a);
    memset((void *)(uintptr_t)a, 9, 3 * PAGE);
    EXPECT_EQ(SYSCALL(SYS_ftruncate, (long)fd, 100l), 0);
    EXPECT_EQ(a[99], 9);
    EXPECT_EQ(a[100], 0);
    EXPECT_EQ(a[PAGE - 1], 0);
    EXPECT_EQ(SYSCALL(SYS_ftruncate, (long)fd, 3l * (long)PAGE), 0);
    EXPECT_EQ(a[PAGE], 0);
    EXPECT_EQ(a[3 * PAGE - 1], 0);
    EXPECT_EQ(a[0], 9);
    EXPECT_EQ(blocks_of(fd), 24);
    unmap(a, 3 * PAGE);
    close(fd);
}

static int touch_behind(int flags, bool write, bool truncated)
{
    int fd = memfd_of(3 * PAGE);
    volatile uint8_t *a = map(fd, 4 * PAGE, RW, flags);

    if (a == NULL)
        return 1;
    a[2 * PAGE] = 1;
    (void)a[0];
    if (truncated && SYSCALL(SYS_ftruncate, (long)fd, (long)PAGE + 1) != 0)
        return 2;
    a[PAGE] = 2; /* the last page is there */
    size_t at = truncated ? 2 * PAGE : 3 * PAGE;
    if (write)
        a[at] = 3;
    else
        (void)a[at];
    return 3;
}

KTAP_CHILD(shared_read_behind)
{
    return touch_behind(MAP_SHARED, false, false);
}
KTAP_CHILD(shared_write_behind)
{
    return touch_behind(MAP_SHARED, true, false);
}
KTAP_CHILD(private_read_behind)
{
    return touch_behind(MAP_PRIVATE, false, false);
}
KTAP_CHILD(shared_read_truncated)
{
    return touch_behind(MAP_SHARED, false, true);
}
KTAP_CHILD(shared_write_truncated)
{
    return touch_behind(MAP_SHARED, true, true);
}
/* The page has a private copy: it goes too. */
KTAP_CHILD(private_copy_truncated)
{
    return touch_behind(MAP_PRIVATE, false, true);
}

KTAP_CASE(behind_the_end_is_sigbus)
{
    EXPECT_CHILD_SIGNAL("shared_read_behind", "", SIGBUS);
    EXPECT_CHILD_SIGNAL("shared_write_behind", "", SIGBUS);
    EXPECT_CHILD_SIGNAL("private_read_behind", "", SIGBUS);
}

KTAP_CASE(behind_the_new_end_is_sigbus)
{
    EXPECT_CHILD_SIGNAL("shared_read_truncated", "", SIGBUS);
    EXPECT_CHILD_SIGNAL("shared_write_truncated", "", SIGBUS);
    EXPECT_CHILD_SIGNAL("private_copy_truncated", "", SIGBUS);
}

KTAP_CASE(calls_at_bad_pages_are_efault)
{
    int fd = memfd_of(PAGE), other = memfd_of(PAGE);
    volatile uint8_t *a = map(fd, 2 * PAGE, RW, MAP_SHARED);

    REQUIRE(a);
    EXPECT_ERROR(pwrite_at(other, (const void *)(uintptr_t)(a + PAGE), 8, 0), EFAULT);
    EXPECT_EQ(pwrite_at(other, (const void *)(uintptr_t)(a + PAGE - 4), 8, 0), 4);
    unmap(a, 2 * PAGE);
    close(fd);
    close(other);
}

/* ---- fallocate ---- */

KTAP_CASE(fallocate_checks_its_arguments)
{
    int fd = memfd(0);

    EXPECT_ERROR(SYSCALL(SYS_fallocate, (long)fd, 0l, 0l, 0l), EINVAL);
    EXPECT_ERROR(SYSCALL(SYS_fallocate, (long)fd, 0l, -1l, 1l), EINVAL);
    EXPECT_ERROR(SYSCALL(SYS_fallocate, (long)fd, (long)PUNCH_HOLE, 0l, 1l), EOPNOTSUPP_);
    EXPECT_ERROR(SYSCALL(SYS_fallocate, (long)fd, 0x40l, 0l, 1l), EOPNOTSUPP_);
    EXPECT_ERROR(SYSCALL(SYS_fallocate, 99l, 0l, 0l, 1l), EBADF);
    EXPECT_EQ(size_of(fd), 0);
    close(fd);
}

KTAP_CASE(fallocate_gives_pages)
{
    int fd = memfd(0);

    EXPECT_EQ(SYSCALL(SYS_fallocate, (long)fd, 0l, (long)PAGE, 2l * (long)PAGE), 0);
    EXPECT_EQ(size_of(fd), 3 * (long)PAGE);
    EXPECT_EQ(blocks_of(fd), 16);
    EXPECT_EQ(byte_at(fd, (long)PAGE), 0);
    EXPECT_EQ(SYSCALL(SYS_fallocate, (long)fd, (long)KEEP_SIZE, 0l, 8l * (long)PAGE), 0);
    EXPECT_EQ(size_of(fd), 3 * (long)PAGE);
    EXPECT_EQ(blocks_of(fd), 64);
    close(fd);
}

KTAP_CASE(holes_read_as_zeros)
{
    int fd = memfd_of(4 * PAGE);
    volatile uint8_t *a = map(fd, 4 * PAGE, RW, MAP_SHARED);
    volatile uint8_t *p = map(fd, 4 * PAGE, RW, MAP_PRIVATE);

    REQUIRE(a && p);
    memset((void *)(uintptr_t)a, 7, 4 * PAGE);
    p[PAGE] = 8; /* a copy: it stays */
    EXPECT_EQ(p[2 * PAGE], 7);
    EXPECT_EQ(SYSCALL(SYS_fallocate, (long)fd, (long)(PUNCH_HOLE | KEEP_SIZE), 100l,
                      3l * (long)PAGE - 100),
              0);
    EXPECT_EQ(size_of(fd), 4 * (long)PAGE);
    EXPECT_EQ(blocks_of(fd), 16);
    EXPECT_EQ(a[99], 7);
    EXPECT_EQ(a[100], 0);
    EXPECT_EQ(a[PAGE], 0);
    EXPECT_EQ(a[2 * PAGE + 5], 0);
    EXPECT_EQ(a[3 * PAGE], 7);
    EXPECT_EQ(p[PAGE], 8);
    EXPECT_EQ(p[2 * PAGE], 0);
    EXPECT_EQ(
        SYSCALL(SYS_fallocate, (long)fd, (long)(PUNCH_HOLE | KEEP_SIZE), 3l * (long)PAGE + 1, 2l),
        0);
    EXPECT_EQ(a[3 * PAGE], 7);
    EXPECT_EQ(a[3 * PAGE + 1], 0);
    EXPECT_EQ(a[3 * PAGE + 2], 0);
    EXPECT_EQ(a[3 * PAGE + 3], 7);
    unmap(a, 4 * PAGE);
    unmap(p, 4 * PAGE);
    close(fd);
}

KTAP_CASE(madvise_remove_punches_a_hole)
{
    SKIP_EMULATED("MADV_REMOVE does nothing");
    int fd = memfd_of(3 * PAGE);
    volatile uint8_t *a = map(fd, 3 * PAGE, RW, MAP_SHARED);
    volatile uint8_t *r = map(fd, 3 * PAGE, PROT_READ, MAP_SHARED);
    volatile uint8_t *p = map(fd, 3 * PAGE, RW, MAP_PRIVATE);

    REQUIRE(a && r && p);
    memset((void *)(uintptr_t)a, 7, 3 * PAGE);
    EXPECT_EQ(madvise((void *)(uintptr_t)(a + PAGE), PAGE, REMOVE), 0);
    EXPECT_EQ(a[PAGE], 0);
    EXPECT_EQ(r[PAGE], 0);
    EXPECT_EQ(a[2 * PAGE], 7);
    EXPECT_EQ(size_of(fd), 3 * (long)PAGE);
    EXPECT_ERROR(SYSCALL(SYS_madvise, p, PAGE, (long)REMOVE), EACCES);
    uint8_t *anon = ktap_map(PAGE, RW);
    EXPECT_ERROR(SYSCALL(SYS_madvise, anon, PAGE, (long)REMOVE), EINVAL);
    munmap(anon, PAGE);
    unmap(a, 3 * PAGE);
    unmap(r, 3 * PAGE);
    unmap(p, 3 * PAGE);
    close(fd);
}

KTAP_CASE(seek_finds_data_and_holes)
{
    int fd = memfd_of(8 * PAGE);

    pwrite_at(fd, "\1", 1, 3 * (long)PAGE);
    EXPECT_EQ(SYSCALL(SYS_lseek, (long)fd, 0l, (long)SEEK_TO_DATA), 3 * (long)PAGE);
    EXPECT_EQ(SYSCALL(SYS_lseek, (long)fd, 3l * (long)PAGE + 5, (long)SEEK_TO_DATA),
              3 * (long)PAGE + 5);
    EXPECT_EQ(SYSCALL(SYS_lseek, (long)fd, 0l, (long)SEEK_TO_HOLE), 0);
    EXPECT_EQ(SYSCALL(SYS_lseek, (long)fd, 3l * (long)PAGE, (long)SEEK_TO_HOLE), 4 * (long)PAGE);
    EXPECT_ERROR(SYSCALL(SYS_lseek, (long)fd, 4l * (long)PAGE, (long)SEEK_TO_DATA), ENXIO);
    EXPECT_ERROR(SYSCALL(SYS_lseek, (long)fd, 8l * (long)PAGE, (long)SEEK_TO_HOLE), ENXIO);
    close(fd);
}

/* ---- seals ---- */

static long seal(int fd, int seals)
{
    return SYSCALL(SYS_fcntl, (long)fd, (long)ADD_SEALS, (long)seals);
}

static long seals_of(int fd)
{
    return SYSCALL(SYS_fcntl, (long)fd, (long)GET_SEALS, 0l);
}

static int sealable(void)
{
    int fd = memfd(MFD_ALLOW_SEALING);

    EXPECT_EQ(SYSCALL(SYS_ftruncate, (long)fd, 2l * (long)PAGE), 0);
    return fd;
}

KTAP_CASE(seals_need_permission)
{
    int fd = memfd(0);

    EXPECT_EQ(seals_of(fd), SEAL);
    EXPECT_ERROR(seal(fd, WRITE), EPERM);
    close(fd);
    fd = sealable();
    EXPECT_EQ(seals_of(fd), 0);
    EXPECT_ERROR(seal(fd, 0x100), EINVAL);
    EXPECT_EQ(seal(fd, SHRINK), 0);
    EXPECT_EQ(seals_of(fd), SHRINK);
    EXPECT_EQ(seal(fd, GROW | SEAL), 0);
    EXPECT_EQ(seals_of(fd), SHRINK | GROW | SEAL);
    EXPECT_ERROR(seal(fd, WRITE), EPERM);
    close(fd);
    int ends[2]; /* no memory file; a program's own may be one */
    EXPECT_EQ(pipe(ends), 0);
    EXPECT_ERROR(seals_of(ends[0]), EINVAL);
    close(ends[0]);
    close(ends[1]);
}

KTAP_CASE(seal_shrink)
{
    int fd = sealable();

    EXPECT_EQ(seal(fd, SHRINK), 0);
    EXPECT_ERROR(SYSCALL(SYS_ftruncate, (long)fd, (long)PAGE), EPERM);
    EXPECT_EQ(SYSCALL(SYS_ftruncate, (long)fd, 2l * (long)PAGE), 0);
    EXPECT_EQ(SYSCALL(SYS_ftruncate, (long)fd, 3l * (long)PAGE), 0);
    EXPECT_EQ(pwrite_at(fd, "x", 1, 0), 1);
    close(fd);
}

KTAP_CASE(seal_grow)
{
    int fd = sealable();

    EXPECT_EQ(seal(fd, GROW), 0);
    EXPECT_ERROR(SYSCALL(SYS_ftruncate, (long)fd, 3l * (long)PAGE), EPERM);
    EXPECT_ERROR(pwrite_at(fd, "x", 1, 2 * (long)PAGE), EPERM);
    EXPECT_ERROR(SYSCALL(SYS_fallocate, (long)fd, 0l, 0l, 3l * (long)PAGE), EPERM);
    EXPECT_EQ(pwrite_at(fd, "x", 1, 2 * (long)PAGE - 1), 1);
    EXPECT_EQ(SYSCALL(SYS_ftruncate, (long)fd, (long)PAGE), 0);
    close(fd);
}

KTAP_CASE(seal_write)
{
    int fd = sealable();
    volatile uint8_t *a = map(fd, PAGE, RW, MAP_SHARED);

    REQUIRE(a);
    EXPECT_ERROR(seal(fd, WRITE), EBUSY);
    unmap(a, PAGE);
    EXPECT_EQ(seal(fd, WRITE), 0);
    EXPECT_ERROR(pwrite_at(fd, "x", 1, 0), EPERM);
    EXPECT_ERROR(SYSCALL(SYS_fallocate, (long)fd, (long)(PUNCH_HOLE | KEEP_SIZE), 0l, (long)PAGE),
                 EPERM);
    EXPECT_ERROR(SYSCALL(SYS_mmap, NULL, PAGE, (long)RW, (long)MAP_SHARED, (long)fd, 0l), EPERM);
    volatile uint8_t *p = map(fd, PAGE, RW, MAP_PRIVATE);
    REQUIRE(p);
    p[0] = 3;
    EXPECT_EQ(byte_at(fd, 0), 0);
    unmap(p, PAGE);
    close(fd);
}

KTAP_CASE(seal_future_write)
{
    int fd = sealable();
    volatile uint8_t *a = map(fd, PAGE, RW, MAP_SHARED);

    REQUIRE(a);
    EXPECT_EQ(seal(fd, FUTURE), 0);
    a[0] = 5; /* what is mapped already may */
    EXPECT_EQ(byte_at(fd, 0), 5);
    EXPECT_ERROR(pwrite_at(fd, "x", 1, 0), EPERM);
    EXPECT_ERROR(SYSCALL(SYS_mmap, NULL, PAGE, (long)RW, (long)MAP_SHARED, (long)fd, 0l), EPERM);
    volatile uint8_t *r = map(fd, PAGE, PROT_READ, MAP_SHARED);
    REQUIRE(r);
    EXPECT_EQ(r[0], 5);
    EXPECT_ERROR(SYSCALL(SYS_mprotect, r, PAGE, (long)RW), EACCES);
    unmap(r, PAGE);
    unmap(a, PAGE);
    close(fd);
}

/* ---- memory comes back ---- */

KTAP_CASE(pagoda_pages_are_freed_with_the_last_user)
{
    if (!ktap_on_pagoda())
        SKIP("other programs run too");
    const size_t bytes = 512 * PAGE;
    long before = ktap_proc_number("/proc/meminfo", "MemFree");
    int fd = memfd_of(bytes);
    volatile uint8_t *a = map(fd, bytes, RW, MAP_SHARED);

    REQUIRE(a);
    for (size_t i = 0; i < bytes; i += PAGE)
        a[i] = 1;
    long used = before - ktap_proc_number("/proc/meminfo", "MemFree");
    EXPECT(used >= 2048);
    close(fd);
    EXPECT(before - ktap_proc_number("/proc/meminfo", "MemFree") >= 2048);
    unmap(a, bytes);
    EXPECT(before - ktap_proc_number("/proc/meminfo", "MemFree") < 512);
}
