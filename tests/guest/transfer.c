/* Bytes from file to file (sendfile, splice, tee, copy_file_range), vectors at positions, and
 * closing many at once. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"

#define BAD_PTR 16l

static char start[8192], got[8192];

/* The program's own file, whose start is in `start`. */
static int open_self(void)
{
    int fd = open(ktap_self(), O_RDONLY);

    EXPECT(fd >= 0);
    EXPECT_EQ(SYSCALL(SYS_pread64, (long)fd, start, (long)sizeof(start), 0l), sizeof(start));
    return fd;
}

KTAP_CASE(sendfile_to_a_pipe)
{
    int fd = open_self(), ends[2];
    int64_t offset = 100;

    REQUIRE(pipe2(ends, O_NONBLOCK) == 0);
    EXPECT_EQ(SYSCALL(SYS_sendfile, (long)ends[1], (long)fd, &offset, 1000l), 1000);
    EXPECT_EQ(offset, 1100);
    EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 0);
    EXPECT_EQ(read(ends[0], got, 2000), 1000);
    EXPECT(memcmp(got, start + 100, 1000) == 0);
    EXPECT_EQ(SYSCALL(SYS_sendfile, (long)ends[1], (long)fd, 0l, 50l), 50);
    EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 50);
    offset = 1l << 40;
    EXPECT_EQ(SYSCALL(SYS_sendfile, (long)ends[1], (long)fd, &offset, 50l), 0);
    offset = -1;
    EXPECT_ERROR(SYSCALL(SYS_sendfile, (long)ends[1], (long)fd, &offset, 50l), EINVAL);
    EXPECT_ERROR(SYSCALL(SYS_sendfile, (long)ends[1], (long)fd, BAD_PTR, 50l), EFAULT);
    EXPECT_ERROR(SYSCALL(SYS_sendfile, (long)ends[0], (long)fd, 0l, 50l), EBADF);
    EXPECT_ERROR(SYSCALL(SYS_sendfile, (long)ends[1], 99l, 0l, 50l), EBADF);
    close(fd);
    close(ends[0]);
    close(ends[1]);
}

/* More than there is room for at once: the call waits, and sends all. */
KTAP_CASE(sendfile_to_a_socket_that_is_slow)
{
    int fd = open_self(), fds[2], status = -1;
    long size = lseek(fd, 0, SEEK_END), sent = 0;

    REQUIRE(SYSCALL(SYS_socketpair, (long)AF_UNIX, (long)SOCK_STREAM, 0l, fds) == 0);
    lseek(fd, 0, SEEK_SET);
    int pid = fork();
    if (pid == 0) {
        long all = 0, part;
        close(fds[0]);
        while ((part = read(fds[1], got, 3000)) > 0) {
            if (all < (long)sizeof(start) - part && memcmp(got, start + all, (size_t)part) != 0)
                _exit(1);
            all += part;
        }
        _exit(all == 20 * size ? 7 : 2);
    }
    close(fds[1]);
    for (int i = 0; i < 20; i++) {
        int64_t offset = 0;
        long part = SYSCALL(SYS_sendfile, (long)fds[0], (long)fd, &offset, size);
        EXPECT_EQ(part, size);
        EXPECT_EQ(offset, size);
        sent += part;
    }
    close(fds[0]);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 7 << 8);
    EXPECT_EQ(sent, 20 * size);
    close(fd);
}

KTAP_CASE(between_files_in_memory)
{
    int fd = open_self(), to = open("/tmp/ktap-transfer", O_RDWR | O_CREAT, 0600);
    int64_t from_offset = 50, to_offset = 5000;

    REQUIRE(to >= 0);
    EXPECT_EQ(SYSCALL(SYS_sendfile, (long)to, (long)fd, 0l, 6000l), 6000);
    EXPECT_EQ(lseek(to, 0, SEEK_CUR), 6000);
    EXPECT_EQ(SYSCALL(SYS_copy_file_range, (long)to, &from_offset, (long)to, &to_offset, 3000l, 0l),
              3000);
    EXPECT_EQ(from_offset, 3050);
    EXPECT_EQ(to_offset, 8000);
    EXPECT_EQ(SYSCALL(SYS_pread64, (long)to, got, (long)sizeof(got), 0l), 8000);
    EXPECT(memcmp(got, start, 5000) == 0 && memcmp(got + 5000, start + 50, 3000) == 0);
    to_offset = 100;
    from_offset = 50;
    EXPECT_ERROR(
        SYSCALL(SYS_copy_file_range, (long)to, &from_offset, (long)to, &to_offset, 3000l, 0l),
        EINVAL);
    EXPECT_ERROR(SYSCALL(SYS_copy_file_range, (long)to, 0l, (long)fd, 0l, 10l, 0l), EBADF);
    close(fd);
    close(to);
    unlink("/tmp/ktap-transfer");
}

KTAP_CHILD(sendfile_to_nobody)
{
    int fd = open(ktap_self(), O_RDONLY), ends[2];

    if (pipe(ends) != 0)
        return 1;
    close(ends[0]);
    SYSCALL(SYS_sendfile, (long)ends[1], (long)fd, 0l, 10l);
    return 2;
}

KTAP_CASE(sendfile_raises_sigpipe)
{
    EXPECT_CHILD_SIGNAL("sendfile_to_nobody", "", SIGPIPE);
}

KTAP_CASE(splice_between_pipes_and_files)
{
    int fd = open_self(), one[2], two[2];
    int64_t offset = 10;

    REQUIRE(pipe2(one, O_NONBLOCK) == 0 && pipe2(two, O_NONBLOCK) == 0);
    EXPECT_EQ(SYSCALL(SYS_splice, (long)fd, &offset, (long)one[1], 0l, 100l, 0l), 100);
    EXPECT_EQ(offset, 110);
    EXPECT_EQ(SYSCALL(SYS_tee, (long)one[0], (long)two[1], 60l, 0l), 60);
    EXPECT_EQ(read(two[0], got, 100), 60);
    EXPECT(memcmp(got, start + 10, 60) == 0);
    EXPECT_EQ(SYSCALL(SYS_splice, (long)one[0], 0l, (long)two[1], 0l, 70l, 0l), 70);
    EXPECT_EQ(read(two[0], got, 100), 70);
    EXPECT(memcmp(got, start + 10, 70) == 0);
    EXPECT_EQ(read(one[0], got, 100), 30);
    EXPECT(memcmp(got, start + 80, 30) == 0);
    EXPECT_ERROR(SYSCALL(SYS_splice, (long)one[0], 0l, (long)two[1], 0l, 70l, 0l), EAGAIN);
    EXPECT_ERROR(SYSCALL(SYS_splice, (long)one[0], &offset, (long)two[1], 0l, 70l, 0l), ESPIPE);
    EXPECT_ERROR(SYSCALL(SYS_splice, (long)one[0], 0l, (long)one[1], 0l, 70l, 0l), EINVAL);
    EXPECT_ERROR(SYSCALL(SYS_splice, (long)one[0], 0l, (long)two[1], 0l, 70l, 99l), EINVAL);
    EXPECT_ERROR(SYSCALL(SYS_tee, (long)one[0], (long)one[1], 60l, 0l), EINVAL);
    EXPECT_ERROR(SYSCALL(SYS_tee, (long)fd, (long)one[1], 60l, 0l), EINVAL);
    close(one[1]);
    EXPECT_EQ(SYSCALL(SYS_splice, (long)one[0], 0l, (long)two[1], 0l, 70l, 0l), 0);
    close(fd);
    close(one[0]);
    close(two[0]);
    close(two[1]);
}

struct iovec {
    void *base;
    size_t bytes;
};

KTAP_CASE(vectors_at_a_position)
{
    int fd = open_self();
    char a[5], b[7];
    struct iovec in[2] = {{a, 5}, {b, 7}};

    EXPECT_EQ(SYSCALL(SYS_preadv, (long)fd, in, 2l, 20l, 0l), 12);
    EXPECT(memcmp(a, start + 20, 5) == 0 && memcmp(b, start + 25, 7) == 0);
    EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 0);
    EXPECT_ERROR(SYSCALL(SYS_preadv, (long)fd, in, 1l, -1l, 0l), EINVAL);
    EXPECT_ERROR(SYSCALL(SYS_preadv, (long)fd, BAD_PTR, 1l, 0l, 0l), EFAULT);
    EXPECT_ERROR(SYSCALL(SYS_pwritev, (long)fd, in, 1l, 0l, 0l), EBADF);
    close(fd);
    fd = open("/tmp/ktap-transfer", O_RDWR | O_CREAT, 0600);
    memcpy(a, "hello", 5);
    EXPECT_EQ(SYSCALL(SYS_pwritev, (long)fd, in, 1l, 3l, 0l), 5);
    EXPECT_EQ(SYSCALL(SYS_pread64, (long)fd, got, 100l, 0l), 8);
    EXPECT(memcmp(got, "\0\0\0hello", 8) == 0);
    close(fd);
    unlink("/tmp/ktap-transfer");
}

KTAP_CASE(vectors_with_flags)
{
    int fd = open_self();
    char a[5];
    struct iovec in = {a, 5};

    SKIP_EMULATED("has no preadv2");
    EXPECT_EQ(SYSCALL(SYS_preadv2, (long)fd, &in, 1l, -1l, 0l, 0l), 5);
    EXPECT(memcmp(a, start, 5) == 0);
    EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 5);
    EXPECT_ERROR(SYSCALL(SYS_preadv2, (long)fd, &in, 1l, 0l, 0l, 0x4000l), EOPNOTSUPP);
    close(fd);
}

KTAP_CASE(a_range_is_closed)
{
    int first = dup(0), fds[4];

    REQUIRE(first >= 0);
    for (int i = 0; i < 4; i++)
        fds[i] = fcntl(0, F_DUPFD, 40 + i);
    EXPECT_EQ(SYSCALL(SYS_close_range, 41l, 41l, 4l), 0);
    EXPECT_EQ(fcntl(fds[1], F_GETFD), FD_CLOEXEC);
    EXPECT_EQ(fcntl(fds[2], F_GETFD), 0);
    EXPECT_EQ(SYSCALL(SYS_close_range, 41l, 42l, 0l), 0);
    EXPECT_EQ(fcntl(fds[0], F_GETFD), 0);
    EXPECT_EQ(fcntl(fds[1], F_GETFD), -1);
    EXPECT_EQ(fcntl(fds[2], F_GETFD), -1);
    EXPECT_EQ(fcntl(fds[3], F_GETFD), 0);
    EXPECT_EQ(SYSCALL(SYS_close_range, 40l, 0xffffffffl, 0l), 0);
    EXPECT_EQ(fcntl(fds[3], F_GETFD), -1);
    EXPECT_ERROR(SYSCALL(SYS_close_range, 5l, 4l, 0l), EINVAL);
    EXPECT_ERROR(SYSCALL(SYS_close_range, 50l, 51l, 1l), EINVAL);
    close(first);
}

/* ---- vmsplice ---- */

#define NR_VMSPLICE 75
#define GIFT        8l
#define NONBLOCKING 2l

struct vec {
    void *base;
    size_t bytes;
};

static long vmsplice_parts(int fd, const struct vec *part, long count, long flags)
{
    return SYSCALL(NR_VMSPLICE, (long)fd, part, count, flags);
}

KTAP_CASE(memory_into_a_pipe_and_out)
{
    char *data = ktap_map(4 * PAGE, PROT_READ | PROT_WRITE);
    struct vec parts[2] = {{data, 3}, {data + PAGE, PAGE}}, whole = {got, sizeof(got)};
    int ends[2];

    REQUIRE(data != NULL);
    REQUIRE(pipe(ends) == 0);
    memset(data, 'a', 3);
    memset(data + PAGE, 'b', PAGE);
    for (int gift = 0; gift < 2; gift++) {
        EXPECT_EQ(vmsplice_parts(ends[1], parts, 2, gift ? GIFT : 0), PAGE + 3);
        memset(got, 0, sizeof(got));
        long bytes = 0, part;
        while (bytes < (long)PAGE + 3) {
            whole = (struct vec){got + bytes, sizeof(got) - (size_t)bytes};
            part = vmsplice_parts(ends[0], &whole, 1, 0);
            EXPECT(part > 0);
            if (part <= 0)
                break;
            bytes += part;
        }
        EXPECT(ktap_all_bytes(got, 3, 'a') && ktap_all_bytes(got + 3, PAGE, 'b'));
    }
    EXPECT_ERROR(vmsplice_parts(ends[0], &whole, 1, NONBLOCKING), EAGAIN);
    close(ends[0]);
    close(ends[1]);
    munmap(data, 4 * PAGE);
}

KTAP_CASE(errors_of_vmsplice)
{
    struct vec part = {start, 8}, bad = {(void *)BAD_PTR, 8};
    int ends[2], fd = open_self();

    REQUIRE(pipe(ends) == 0);
    EXPECT_ERROR(vmsplice_parts(ends[1], &part, 1, 0x100), EINVAL);
    EXPECT_ERROR(vmsplice_parts(99, &part, 1, 0), EBADF);
    EXPECT_ERROR(vmsplice_parts(fd, &part, 1, 0), EBADF);
    EXPECT_ERROR(vmsplice_parts(ends[1], &part, 1025, 0), EINVAL);
    EXPECT_ERROR(vmsplice_parts(ends[1], (struct vec *)BAD_PTR, 1, 0), EFAULT);
    EXPECT_ERROR(vmsplice_parts(ends[1], &bad, 1, 0), EFAULT);
    EXPECT_EQ(vmsplice_parts(ends[1], &part, 0, 0), 0);
    close(ends[1]);
    EXPECT_EQ(vmsplice_parts(ends[0], &part, 1, 0), 0); /* the end */
    close(ends[0]);
    close(fd);
}

KTAP_CASE(vmsplice_without_a_reader)
{
    struct vec part = {start, 8};
    int ends[2];

    REQUIRE(pipe(ends) == 0);
    signal(SIGPIPE, SIG_IGN);
    close(ends[0]);
    EXPECT_ERROR(vmsplice_parts(ends[1], &part, 1, 0), EPIPE);
    signal(SIGPIPE, SIG_DFL);
    close(ends[1]);
}
