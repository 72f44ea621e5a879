/* Block devices of memory, and device nodes that mknod makes. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"

#define DEVICE       "/dev/ram0"
#define NODE         "/tmp/blockdev_node"
#define NR_MKNODAT   33l
#define NR_FTRUNCATE 46l
#define NR_SENDFILE  71l
#define NR_SETUID    146l
#define RAM0         0x100l /* 1, 0 */

#define GET_SIZE64    0x80081272l
#define GET_SIZE      0x1260l
#define GET_SECTOR    0x1268l
#define GET_READ_ONLY 0x125el
#define FLUSH         0x1261l

static long open_device(const char *path, long flags)
{
    return SYSCALL(SYS_openat, (long)AT_FDCWD, path, flags, 0l);
}

#define WITH_DEVICE(fd_)                            \
    long fd_ = open_device(DEVICE, O_RDWR);         \
    do {                                            \
        if (fd_ < 0)                                \
            SKIP("there are no memory disks here"); \
    } while (0)

static long size_of(long fd)
{
    uint64_t size = 0;

    return SYSCALL(SYS_ioctl, fd, GET_SIZE64, &size) ? -1 : (long)size;
}

static long make_node(const char *path, long type, long device)
{
    return SYSCALL(NR_MKNODAT, (long)AT_FDCWD, path, type | 0600, device);
}

KTAP_CASE(a_memory_disk_is_a_block_device)
{
    struct stat st;

    WITH_DEVICE(fd);
    EXPECT_EQ(fstat((int)fd, &st), 0);
    EXPECT((st.st_mode & S_IFMT) == S_IFBLK && st.st_rdev == RAM0 && st.st_size == 0);
    EXPECT_EQ(stat(DEVICE, &st), 0);
    EXPECT((st.st_mode & S_IFMT) == S_IFBLK && st.st_rdev == RAM0);
    close((int)fd);
    EXPECT_ERROR(open_device(DEVICE, O_RDONLY | O_DIRECTORY), ENOTDIR);
    EXPECT_ERROR(open_device(DEVICE, O_RDWR | O_CREAT | O_EXCL), EEXIST);
    fd = open_device(DEVICE, O_RDWR | O_TRUNC); /* its size is what it is */
    EXPECT(fd > 0 && size_of(fd) > 0);
    close((int)fd);
}

KTAP_CASE(its_ioctls)
{
    long sectors = 0;
    int value = -1;

    WITH_DEVICE(fd);
    long size = size_of(fd);
    EXPECT(size >= 64 * (long)PAGE && size % (long)PAGE == 0);
    EXPECT_EQ(SYSCALL(SYS_ioctl, fd, GET_SIZE, &sectors), 0);
    EXPECT_EQ(sectors, size / 512);
    EXPECT_EQ(SYSCALL(SYS_ioctl, fd, GET_SECTOR, &value), 0);
    EXPECT_EQ(value, 512);
    EXPECT_EQ(SYSCALL(SYS_ioctl, fd, GET_READ_ONLY, &value), 0);
    EXPECT_EQ(value, 0);
    EXPECT_EQ(SYSCALL(SYS_ioctl, fd, FLUSH, 0l), 0);
    EXPECT_ERROR(SYSCALL(SYS_ioctl, fd, GET_SIZE64, 8l), EFAULT);
    EXPECT_ERROR(SYSCALL(SYS_ioctl, fd, 0x5401l /* TCGETS */, &sectors), ENOTTY);
    EXPECT_ERROR(SYSCALL(SYS_ioctl, 0l, GET_SIZE64, &sectors), ENOTTY);
    close((int)fd);
}

KTAP_CASE(its_size_is_fixed)
{
    static char bytes[2 * PAGE];

    WITH_DEVICE(fd);
    long size = size_of(fd);
    EXPECT_EQ(lseek((int)fd, 0, SEEK_END), size);
    EXPECT_EQ(read((int)fd, bytes, 1), 0);
    EXPECT_ERROR(SYSCALL(SYS_write, fd, bytes, 1l), ENOSPC);
    EXPECT_ERROR(SYSCALL(SYS_lseek, fd, size + 1, 0l), EINVAL);
    EXPECT_ERROR(SYSCALL(SYS_lseek, fd, 0l, 3l /* SEEK_DATA */), EINVAL);
    EXPECT_EQ(lseek((int)fd, -100, SEEK_END), size - 100);
    EXPECT_EQ(write((int)fd, bytes, sizeof(bytes)), 100);
    EXPECT_ERROR(SYSCALL(SYS_pwrite64, fd, bytes, 1l, size), ENOSPC);
    EXPECT_EQ(SYSCALL(SYS_pread64, fd, bytes, (long)sizeof(bytes), size - (long)PAGE), PAGE);
    EXPECT_ERROR(SYSCALL(NR_FTRUNCATE, fd, 0l), EINVAL);
    EXPECT_EQ(size_of(fd), size);
    close((int)fd);
}

KTAP_CASE(what_was_written_stays)
{
    char bytes[600];
    int ends[2];

    WITH_DEVICE(fd);
    memset(bytes, 'x', sizeof(bytes));
    EXPECT_EQ(SYSCALL(SYS_pwrite64, fd, bytes, 600l, 5000l), 600);
    close((int)fd);
    fd = open_device(DEVICE, O_RDONLY);
    memset(bytes, 0, sizeof(bytes));
    EXPECT_EQ(SYSCALL(SYS_pread64, fd, bytes, 600l, 5000l), 600);
    EXPECT(bytes[0] == 'x' && bytes[599] == 'x');
    EXPECT_ERROR(SYSCALL(SYS_write, fd, bytes, 1l), EBADF);
    long offset = 5000;
    REQUIRE(pipe(ends) == 0);
    memset(bytes, 0, sizeof(bytes));
    EXPECT_EQ(SYSCALL(NR_SENDFILE, (long)ends[1], fd, &offset, 600l), 600);
    EXPECT_EQ(read(ends[0], bytes, sizeof(bytes)), 600);
    EXPECT(bytes[0] == 'x' && bytes[599] == 'x');
    close(ends[0]), close(ends[1]);
    close((int)fd);
}

KTAP_CASE(it_can_be_mapped)
{
    char byte = 0;

    WITH_DEVICE(fd);
    char *shared = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd, PAGE);
    char *own = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, (int)fd, PAGE);
    REQUIRE(shared != MAP_FAILED && own != MAP_FAILED);
    EXPECT_EQ(SYSCALL(SYS_pwrite64, fd, "abc", 3l, PAGE + 10), 3);
    EXPECT(memcmp(shared + 10, "abc", 3) == 0 && memcmp(own + 10, "abc", 3) == 0);
    shared[PAGE] = 'S';
    EXPECT(own[PAGE] == 'S');
    own[PAGE] = 'P';
    EXPECT_EQ(SYSCALL(SYS_pread64, fd, &byte, 1l, 2 * PAGE), 1);
    EXPECT_EQ(byte, 'S');
    munmap(shared, 2 * PAGE);
    EXPECT_EQ(SYSCALL(SYS_pread64, fd, &byte, 1l, 2 * PAGE), 1);
    EXPECT_EQ(byte, 'S');
    munmap(own, 2 * PAGE);
    close((int)fd);
}

KTAP_CHILD(touches_behind_the_end)
{
    long fd = open_device(DEVICE, O_RDWR), size = size_of(fd);
    char *last = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd, size - PAGE);

    if (last == MAP_FAILED)
        return 1;
    last[0] = 1;
    last[PAGE] = 1;
    return 2;
}

KTAP_CASE(behind_its_end_is_nothing)
{
    WITH_DEVICE(fd);
    close((int)fd);
    EXPECT_CHILD_SIGNAL("touches_behind_the_end", "", SIGBUS);
}

/* ---- mknod ---- */

#define WITH_NODE(type_, device_)                           \
    do {                                                    \
        unlink(NODE);                                       \
        long error_ = make_node(NODE, type_, device_);      \
        if (error_ == -EPERM && !ktap_on_pagoda())          \
            SKIP("whoever runs this may not make devices"); \
        EXPECT_EQ(error_, 0);                               \
    } while (0)

KTAP_CASE(mknod_names_a_memory_disk_again)
{
    struct stat st;
    char bytes[4] = {0};

    WITH_DEVICE(fd);
    WITH_NODE(S_IFBLK, RAM0);
    EXPECT_EQ(stat(NODE, &st), 0);
    EXPECT((st.st_mode & S_IFMT) == S_IFBLK && st.st_rdev == RAM0);
    EXPECT_EQ(SYSCALL(SYS_pwrite64, fd, "node", 4l, 77l), 4);
    long other = open_device(NODE, O_RDWR);
    REQUIRE(other > 0);
    EXPECT_EQ(SYSCALL(SYS_pread64, other, bytes, 4l, 77l), 4);
    EXPECT(memcmp(bytes, "node", 4) == 0);
    EXPECT_EQ(size_of(other), size_of(fd));
    EXPECT_EQ(unlink(NODE), 0);
    EXPECT_EQ(SYSCALL(SYS_pread64, other, bytes, 4l, 77l), 4);
    close((int)other);
    EXPECT_EQ(SYSCALL(SYS_pread64, fd, bytes, 4l, 77l), 4);
    EXPECT(memcmp(bytes, "node", 4) == 0);
    close((int)fd);
}

KTAP_CASE(mknod_of_character_devices)
{
    struct stat st;
    char bytes[8];

    WITH_NODE(S_IFCHR, 0x105l); /* zero */
    EXPECT_EQ(stat(NODE, &st), 0);
    EXPECT((st.st_mode & S_IFMT) == S_IFCHR && st.st_rdev == 0x105);
    long fd = open_device(NODE, O_RDWR);
    if (fd == -EACCES && !ktap_on_pagoda())
        SKIP("devices do not work in /tmp here");
    memset(bytes, 1, sizeof(bytes));
    EXPECT_EQ(read((int)fd, bytes, sizeof(bytes)), (long)sizeof(bytes));
    EXPECT(ktap_all_bytes((uint8_t *)bytes, sizeof(bytes), 0));
    close((int)fd);
    WITH_NODE(S_IFCHR, 0x103l); /* null */
    fd = open_device(NODE, O_RDWR);
    EXPECT_EQ(read((int)fd, bytes, sizeof(bytes)), 0);
    EXPECT_EQ(write((int)fd, bytes, sizeof(bytes)), (long)sizeof(bytes));
    close((int)fd);
    EXPECT_ERROR(make_node(NODE, S_IFCHR, 0x103l), EEXIST);
    unlink(NODE);
}

KTAP_CASE(a_node_of_no_device_cannot_be_opened)
{
    struct stat st;

    WITH_NODE(S_IFBLK, 0x12345fffl & 0xfffffl);
    EXPECT_EQ(stat(NODE, &st), 0);
    EXPECT_EQ(st.st_rdev, 0x45fff);
    long fd = open_device(NODE, O_RDONLY);
    if (fd == -EACCES && !ktap_on_pagoda())
        SKIP("devices do not work in /tmp here");
    EXPECT_EQ(fd, -ENXIO);
    unlink(NODE);
}

KTAP_CASE(making_devices_is_roots)
{
    int status;

    unlink(NODE);
    pid_t pid = fork();
    if (pid == 0) {
        if (SYSCALL(NR_SETUID, 65534l))
            _exit(0); /* it is not root's to try */
        _exit(make_node(NODE, S_IFCHR, 0x103l) == -EPERM ? 0 : 1);
    }
    REQUIRE(pid > 0);
    waitpid(pid, &status, 0);
    EXPECT_EQ(status, 0);
    EXPECT_ERROR(make_node(NODE, S_IFDIR, 0l), EPERM);
    EXPECT_ERROR(make_node(NODE, 0130000, 0l), EINVAL);
}
