/* System calls: unknown numbers, bad pointers, bad descriptors, and the plain good cases. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <dirent.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"

#define BAD_PTR    16l
#define KERNEL_PTR (-4096l)
#define NO_SUCH_FD 99l
#define RW         (PROT_READ | PROT_WRITE)

static long fd_of_self(void)
{
    return open(ktap_self(), O_RDONLY);
}

KTAP_CASE(unknown_number_is_enosys)
{
    EXPECT_ERROR(SYSCALL(1000), ENOSYS);
    EXPECT_ERROR(SYSCALL(5000, 1, 2, 3, 4, 5, 6), ENOSYS);
    EXPECT_ERROR(SYSCALL(LONG_MAX), ENOSYS);
}

KTAP_CASE(unassigned_low_number_is_enosys)
{
    EXPECT_ERROR(SYSCALL(250), ENOSYS);
    EXPECT_ERROR(SYSCALL(511), ENOSYS);
    EXPECT_ERROR(SYSCALL(512), ENOSYS);
}

/* Where the kernel's own calls would be, if this thread had a capability table. */
KTAP_CASE(negative_number_is_enosys)
{
    EXPECT_ERROR(SYSCALL(-1), ENOSYS);
    EXPECT_ERROR(SYSCALL(-2, 0, 0, 0, 0, 0, 0), ENOSYS);
    EXPECT_ERROR(SYSCALL(-20), ENOSYS);
    EXPECT_ERROR(SYSCALL(LONG_MIN), ENOSYS);
}

KTAP_CASE(write_from_a_bad_pointer_is_efault)
{
    EXPECT_ERROR(SYSCALL(SYS_write, 1l, BAD_PTR, 10l), EFAULT);
    EXPECT_ERROR(SYSCALL(SYS_write, 1l, KERNEL_PTR, 10l), EFAULT);
}

KTAP_CASE(write_of_nothing_gives_0)
{
    EXPECT_EQ(SYSCALL(SYS_write, 1l, "", 0l), 0);
}

KTAP_CASE(read_into_a_bad_pointer_is_efault)
{
    long fd = fd_of_self();

    EXPECT(fd >= 0);
    EXPECT_ERROR(SYSCALL(SYS_read, fd, BAD_PTR, 10l), EFAULT);
    EXPECT_ERROR(SYSCALL(SYS_read, fd, KERNEL_PTR, 10l), EFAULT);
    close((int)fd);
}

KTAP_CASE(read_into_read_only_memory_is_efault)
{
    void *p = ktap_map(PAGE, PROT_READ);
    long fd = fd_of_self();

    REQUIRE(p != NULL && fd >= 0);
    EXPECT_ERROR(SYSCALL(SYS_read, fd, p, 10l), EFAULT);
    EXPECT_ERROR(SYSCALL(SYS_read, fd, (long)fd_of_self, 10l), EFAULT);
    munmap(p, PAGE);
    close((int)fd);
}

KTAP_CASE(openat_with_a_bad_pointer_is_efault)
{
    EXPECT_ERROR(SYSCALL(SYS_openat, (long)AT_FDCWD, BAD_PTR, 0l, 0l), EFAULT);
    EXPECT_ERROR(SYSCALL(SYS_openat, (long)AT_FDCWD, KERNEL_PTR, 0l, 0l), EFAULT);
}

KTAP_CASE(path_that_runs_into_a_hole_is_efault)
{
    char *p = ktap_map(2 * PAGE, RW);

    REQUIRE(p != NULL);
    munmap(p + PAGE, PAGE);
    memset(p + PAGE - 4, 'a', 4);
    EXPECT_ERROR(SYSCALL(SYS_openat, (long)AT_FDCWD, p + PAGE - 4, 0l, 0l), EFAULT);
    munmap(p, PAGE);
}

KTAP_CASE(path_up_to_the_last_byte_of_a_page)
{
    char *p = ktap_map(2 * PAGE, RW);

    REQUIRE(p != NULL);
    munmap(p + PAGE, PAGE);
    memcpy(p + PAGE - 2, "/", 2);
    long fd = SYSCALL(SYS_openat, (long)AT_FDCWD, p + PAGE - 2, 0l, 0l);
    EXPECT(fd >= 0);
    close((int)fd);
    munmap(p, PAGE);
}

KTAP_CASE(path_in_two_pages)
{
    char *p = ktap_map(2 * PAGE, RW);
    const char *self = ktap_self();

    REQUIRE(p != NULL);
    strcpy(p + PAGE - 3, self);
    long fd = SYSCALL(SYS_openat, (long)AT_FDCWD, p + PAGE - 3, 0l, 0l);
    EXPECT(fd >= 0);
    close((int)fd);
    munmap(p, 2 * PAGE);
}

KTAP_CASE(stat_into_a_bad_pointer_is_efault)
{
    EXPECT_ERROR(SYSCALL(SYS_newfstatat, (long)AT_FDCWD, "/", BAD_PTR, 0l), EFAULT);
}

KTAP_CASE(uname_into_a_bad_pointer_is_efault)
{
    EXPECT_ERROR(SYSCALL(SYS_uname, BAD_PTR), EFAULT);
}

KTAP_CASE(clock_into_a_bad_pointer_is_efault)
{
    EXPECT_ERROR(SYSCALL(SYS_clock_gettime, 1l, BAD_PTR), EFAULT);
    EXPECT_ERROR(SYSCALL(SYS_clock_gettime, 1l, KERNEL_PTR), EFAULT);
}

KTAP_CASE(unknown_clock_is_einval)
{
    struct timespec now;

    EXPECT_ERROR(SYSCALL(SYS_clock_gettime, 999l, &now), EINVAL);
}

KTAP_CASE(sleep_with_a_bad_pointer_is_efault)
{
    SKIP_EMULATED("answers EINVAL");
    EXPECT_ERROR(SYSCALL(SYS_nanosleep, BAD_PTR, 0l), EFAULT);
}

KTAP_CASE(closed_descriptors_are_ebadf)
{
    char buf[4];
    struct stat st;

    EXPECT_ERROR(SYSCALL(SYS_read, NO_SUCH_FD, buf, 4l), EBADF);
    EXPECT_ERROR(SYSCALL(SYS_write, NO_SUCH_FD, buf, 4l), EBADF);
    EXPECT_ERROR(SYSCALL(SYS_close, NO_SUCH_FD), EBADF);
    EXPECT_ERROR(SYSCALL(SYS_lseek, NO_SUCH_FD, 0l, 0l), EBADF);
    EXPECT_ERROR(SYSCALL(SYS_fstat, NO_SUCH_FD, &st), EBADF);
    EXPECT_ERROR(SYSCALL(SYS_getdents64, NO_SUCH_FD, buf, 4l), EBADF);
    EXPECT_ERROR(SYSCALL(SYS_ioctl, NO_SUCH_FD, (long)TCGETS, buf), EBADF);
    EXPECT_ERROR(SYSCALL(SYS_dup3, NO_SUCH_FD, 5l, 0l), EBADF);
}

KTAP_CASE(negative_descriptors_are_ebadf)
{
    char buf[4];

    EXPECT_ERROR(SYSCALL(SYS_read, -1l, buf, 4l), EBADF);
    EXPECT_ERROR(SYSCALL(SYS_write, (long)INT_MIN, buf, 4l), EBADF);
    EXPECT_ERROR(SYSCALL(SYS_close, -1l), EBADF);
    EXPECT_ERROR(SYSCALL(SYS_close, (long)INT_MAX), EBADF);
}

KTAP_CASE(descriptor_is_closed_once)
{
    long fd = fd_of_self();

    EXPECT(fd >= 0);
    EXPECT_EQ(SYSCALL(SYS_close, fd), 0);
    EXPECT_ERROR(SYSCALL(SYS_close, fd), EBADF);
}

KTAP_CASE(lowest_free_descriptor_is_used)
{
    long a = fd_of_self(), b = fd_of_self();

    EXPECT(a >= 3 && b > a);
    close((int)a);
    EXPECT_EQ(fd_of_self(), a);
    close((int)a);
    close((int)b);
}

KTAP_CASE(missing_file_is_enoent)
{
    struct stat st;

    EXPECT_ERROR(SYSCALL(SYS_openat, (long)AT_FDCWD, "/no/such/file", 0l, 0l), ENOENT);
    EXPECT_ERROR(SYSCALL(SYS_openat, (long)AT_FDCWD, "", 0l, 0l), ENOENT);
    EXPECT_ERROR(SYSCALL(SYS_newfstatat, (long)AT_FDCWD, "/no/such/file", &st, 0l), ENOENT);
}

KTAP_CASE(file_as_a_directory_is_enotdir)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/x", ktap_self());
    EXPECT_ERROR(SYSCALL(SYS_openat, (long)AT_FDCWD, path, 0l, 0l), ENOTDIR);
    EXPECT_ERROR(SYSCALL(SYS_openat, (long)AT_FDCWD, ktap_self(), (long)O_DIRECTORY, 0l), ENOTDIR);
}

KTAP_CASE(read_of_a_directory_is_eisdir)
{
    char buf[4];
    long fd = open("/", O_RDONLY);

    EXPECT(fd >= 0);
    EXPECT_ERROR(SYSCALL(SYS_read, fd, buf, 4l), EISDIR);
    close((int)fd);
}

KTAP_CASE(file_reads_and_seeks)
{
    char head[4] = "", again[4] = "";
    long fd = fd_of_self();

    EXPECT(fd >= 0);
    EXPECT_EQ(SYSCALL(SYS_read, fd, head, 4l), 4);
    EXPECT(memcmp(head, "\177ELF", 4) == 0);
    EXPECT_EQ(SYSCALL(SYS_lseek, fd, 0l, 1l), 4);
    EXPECT_EQ(SYSCALL(SYS_lseek, fd, 1l, 0l), 1);
    EXPECT_EQ(SYSCALL(SYS_read, fd, again, 3l), 3);
    EXPECT(memcmp(again, "ELF", 3) == 0);
    EXPECT_ERROR(SYSCALL(SYS_lseek, fd, -1l, 0l), EINVAL);
    EXPECT_ERROR(SYSCALL(SYS_lseek, fd, 0l, 77l), EINVAL);
    close((int)fd);
}

KTAP_CASE(read_at_the_end_gives_0)
{
    char buf[4];
    long fd = fd_of_self();
    long size = SYSCALL(SYS_lseek, fd, 0l, 2l);

    EXPECT(size > 4096);
    EXPECT_EQ(SYSCALL(SYS_read, fd, buf, 4l), 0);
    SYSCALL(SYS_lseek, fd, size - 2, 0l);
    EXPECT_EQ(SYSCALL(SYS_read, fd, buf, 4l), 2);
    close((int)fd);
}

KTAP_CASE(read_over_many_untouched_pages)
{
    long fd = fd_of_self();
    long size = SYSCALL(SYS_lseek, fd, 0l, 2l);
    char *p = ktap_map((size_t)size, RW), *q = ktap_map((size_t)size + PAGE, RW);
    long got = 0, part;

    REQUIRE(p != NULL && q != NULL);
    SYSCALL(SYS_lseek, fd, 0l, 0l);
    EXPECT_EQ(SYSCALL(SYS_read, fd, p, size), size);
    SYSCALL(SYS_lseek, fd, 0l, 0l);
    while ((part = SYSCALL(SYS_read, fd, q + got, 1000l)) > 0)
        got += part;
    EXPECT_EQ(got, size);
    EXPECT(memcmp(p, q, (size_t)size) == 0);
    munmap(p, (size_t)size);
    munmap(q, (size_t)size + PAGE);
    close((int)fd);
}

KTAP_CASE(stat_of_a_file_and_a_directory)
{
    struct stat st;

    EXPECT_EQ(stat(ktap_self(), &st), 0);
    EXPECT(S_ISREG(st.st_mode));
    EXPECT(st.st_mode & S_IXUSR);
    EXPECT(st.st_size > 4096);
    EXPECT_EQ(stat("/", &st), 0);
    EXPECT(S_ISDIR(st.st_mode));
}

KTAP_CASE(directory_lists_dot_and_more)
{
    DIR *dir = opendir("/proc");
    bool dot = false, self = false;
    struct dirent *entry;

    REQUIRE(dir != NULL);
    while ((entry = readdir(dir)) != NULL) {
        dot |= strcmp(entry->d_name, ".") == 0;
        self |= strcmp(entry->d_name, "self") == 0;
    }
    EXPECT(dot);
    EXPECT(self);
    EXPECT_EQ(closedir(dir), 0);
}

KTAP_CASE(getdents_with_a_tiny_buffer_is_einval)
{
    char buf[8];
    long fd = open("/", O_RDONLY | O_DIRECTORY);

    EXPECT(fd >= 0);
    EXPECT_ERROR(SYSCALL(SYS_getdents64, fd, buf, 8l), EINVAL);
    close((int)fd);
}

KTAP_CASE(file_is_no_terminal)
{
    struct termios t;
    long fd = fd_of_self();

    EXPECT_ERROR(SYSCALL(SYS_ioctl, fd, (long)TCGETS, &t), ENOTTY);
    EXPECT_EQ(isatty((int)fd), 0);
    close((int)fd);
}

KTAP_CASE(dup3_copies_the_position)
{
    char c;
    long fd = fd_of_self();

    EXPECT_EQ(SYSCALL(SYS_dup3, fd, 20l, 0l), 20);
    EXPECT_EQ(SYSCALL(SYS_read, fd, &c, 1l), 1);
    EXPECT_EQ(SYSCALL(SYS_read, 20l, &c, 1l), 1);
    EXPECT_EQ(c, 'E');
    EXPECT_ERROR(SYSCALL(SYS_dup3, fd, fd, 0l), EINVAL);
    close(20);
    close((int)fd);
}

KTAP_CASE(chdir_and_getcwd)
{
    char before[256], now[256];

    REQUIRE(getcwd(before, sizeof(before)) != NULL);
    EXPECT_EQ(chdir("/proc"), 0);
    EXPECT(getcwd(now, sizeof(now)) != NULL && strcmp(now, "/proc") == 0);
    EXPECT_EQ(chdir(".."), 0);
    EXPECT(getcwd(now, sizeof(now)) != NULL && strcmp(now, "/") == 0);
    EXPECT_ERROR(SYSCALL(SYS_getcwd, now, 1l), ERANGE);
    EXPECT_ERROR(SYSCALL(SYS_chdir, "/no/such/place"), ENOENT);
    EXPECT_EQ(chdir(before), 0);
}

KTAP_CASE(uname_tells_the_machine)
{
    struct utsname name;

    EXPECT_EQ(uname(&name), 0);
    EXPECT(strcmp(name.machine, "riscv64") == 0);
    EXPECT(strlen(name.sysname) > 0 && strlen(name.release) > 0);
}

KTAP_CASE(ids_are_stable)
{
    long pid = SYSCALL(SYS_getpid);

    EXPECT(pid > 0);
    EXPECT_EQ(SYSCALL(SYS_getpid), pid);
    EXPECT_EQ(SYSCALL(SYS_gettid), pid);
    EXPECT(SYSCALL(SYS_getppid) >= 0);
}

KTAP_CASE(upper_bits_of_int_arguments_are_ignored)
{
    long fd = fd_of_self();

    EXPECT_EQ(SYSCALL(SYS_close, fd | 0x7700000000), 0);
}
