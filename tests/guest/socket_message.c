/* What messages of sockets carry beside their bytes: several buffers, names, descriptors, and who
 * sent them. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"

#define BAD_PTR 16l

struct iovec {
    void *base;
    size_t bytes;
};

/* Room for control messages, aligned as they are. */
union control {
    struct cmsghdr head;
    char bytes[256];
    uint64_t align;
};

static bool pair(int type, int fds[2])
{
    long error = SYSCALL(SYS_socketpair, (long)AF_UNIX, (long)type, 0l, fds);

    EXPECT_EQ(error, 0);
    return error == 0;
}

/* Send `bytes` of data with these descriptors. */
static long send_fds(int socket, const char *data, size_t bytes, const int *fds, size_t count)
{
    union control control = {.head = {.cmsg_len = sizeof(control.head) + count * sizeof(int),
                                      .cmsg_level = SOL_SOCKET,
                                      .cmsg_type = SCM_RIGHTS}};
    struct iovec part = {(void *)(uintptr_t)data, bytes};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = control.head.cmsg_len};

    memcpy(control.bytes + sizeof(control.head), fds, count * sizeof(int));
    return SYSCALL(SYS_sendmsg, (long)socket, &message, 0l);
}

/* Receive; *count is room for descriptors, and how many came. */
static long receive_fds(int socket, char *data, size_t bytes, int *fds, size_t *count, int flags,
                        int *told)
{
    union control control = {0};
    struct iovec part = {data, bytes};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen =
                                 *count ? sizeof(control.head) + *count * sizeof(int) : 0};
    long result = SYSCALL(SYS_recvmsg, (long)socket, &message, (long)flags);

    *count = 0;
    *told = message.msg_flags;
    if (result >= 0 && message.msg_controllen >= sizeof(control.head)) {
        EXPECT_EQ(control.head.cmsg_level, SOL_SOCKET);
        EXPECT_EQ(control.head.cmsg_type, SCM_RIGHTS);
        *count = (control.head.cmsg_len - sizeof(control.head)) / sizeof(int);
        memcpy(fds, control.bytes + sizeof(control.head), *count * sizeof(int));
    }
    return result;
}

KTAP_CASE(several_buffers)
{
    char a[3] = {0}, b[8] = {0};
    struct iovec out[3] = {{"ab", 2}, {"", 0}, {"cdef", 4}}, in[2] = {{a, 3}, {b, 8}};
    struct msghdr message = {.msg_iov = out, .msg_iovlen = 3};
    const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
    int fds[2];

    for (int i = 0; i < 3; i++) {
        REQUIRE(pair(types[i], fds));
        message = (struct msghdr){.msg_iov = out, .msg_iovlen = 3};
        EXPECT_EQ(SYSCALL(SYS_sendmsg, (long)fds[0], &message, 0l), 6);
        message = (struct msghdr){.msg_iov = in, .msg_iovlen = 2, .msg_flags = 77};
        EXPECT_EQ(SYSCALL(SYS_recvmsg, (long)fds[1], &message, 0l), 6);
        EXPECT(memcmp(a, "abc", 3) == 0 && memcmp(b, "def", 3) == 0);
        EXPECT_EQ(message.msg_flags, 0);
        EXPECT_EQ(SYSCALL(SYS_writev, (long)fds[0], out, 3l), 6);
        EXPECT_EQ(SYSCALL(SYS_readv, (long)fds[1], in, 1l), 3);
        close(fds[0]);
        close(fds[1]);
    }
}

KTAP_CASE(a_cut_message_says_so)
{
    char data[2];
    struct iovec in = {data, 2};
    struct msghdr message = {.msg_iov = &in, .msg_iovlen = 1};
    int fds[2];

    REQUIRE(pair(SOCK_DGRAM, fds));
    EXPECT_EQ(write(fds[0], "abc", 3), 3);
    EXPECT_EQ(SYSCALL(SYS_recvmsg, (long)fds[1], &message, 0l), 2);
    EXPECT_EQ(message.msg_flags, MSG_TRUNC);
    close(fds[0]);
    close(fds[1]);
}

KTAP_CASE(a_descriptor_is_passed)
{
    int fds[2], ends[2], got[4], told;
    size_t count = 4;
    char data[8];
    const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};

    for (int i = 0; i < 3; i++) {
        REQUIRE(pair(types[i], fds) && pipe(ends) == 0);
        EXPECT_EQ(send_fds(fds[0], "fd", 2, ends, 2), 2);
        close(ends[0]);
        close(ends[1]);
        count = 4;
        EXPECT_EQ(receive_fds(fds[1], data, 8, got, &count, MSG_CMSG_CLOEXEC, &told), 2);
        REQUIRE(count == 2);
        EXPECT_EQ(fcntl(got[0], F_GETFD), FD_CLOEXEC);
        EXPECT_EQ(write(got[1], "through", 7), 7);
        EXPECT_EQ(read(got[0], data, 8), 7);
        close(got[0]);
        close(got[1]);
        close(fds[0]);
        close(fds[1]);
    }
}

/* A stream's descriptors come with the bytes that they were sent with, or in the midst of them;
 * what follows those is another call's. */
KTAP_CASE(descriptors_part_a_stream)
{
    int fds[2], ends[2], got[4], told;
    size_t count = 4;
    char data[16];

    REQUIRE(pair(SOCK_STREAM, fds) && pipe(ends) == 0);
    EXPECT_EQ(write(fds[0], "before", 6), 6);
    EXPECT_EQ(send_fds(fds[0], "with", 4, ends, 1), 4);
    EXPECT_EQ(write(fds[0], "after", 5), 5);
    EXPECT_EQ(send_fds(fds[0], "again", 5, ends, 2), 5);
    EXPECT_EQ(receive_fds(fds[1], data, 3, got, &count, 0, &told), 3);
    EXPECT_EQ(count, 0);
    count = 4;
    EXPECT_EQ(receive_fds(fds[1], data, 3, got, &count, 0, &told), 3);
    EXPECT_EQ(count, 0);
    count = 4;
    EXPECT_EQ(receive_fds(fds[1], data, 16, got, &count, 0, &told), 4);
    REQUIRE(count == 1);
    close(got[0]);
    count = 4;
    EXPECT_EQ(receive_fds(fds[1], data, 16, got, &count, 0, &told), 10);
    EXPECT(memcmp(data, "afteragain", 10) == 0);
    REQUIRE(count == 2);
    close(got[0]);
    close(got[1]);
    close(ends[0]);
    close(ends[1]);
    close(fds[0]);
    close(fds[1]);
}

KTAP_CASE(descriptors_without_room_are_closed)
{
    int fds[2], ends[2], got[4], told;
    size_t count = 1;
    char data[8];

    SKIP_EMULATED("makes room for more descriptors");
    REQUIRE(pair(SOCK_DGRAM, fds) && pipe(ends) == 0);
    EXPECT_EQ(send_fds(fds[0], "x", 1, ends, 2), 1);
    EXPECT_EQ(receive_fds(fds[1], data, 8, got, &count, 0, &told), 1);
    EXPECT_EQ(count, 1);
    EXPECT_EQ(told, MSG_CTRUNC);
    close(got[0]);
    EXPECT_EQ(send_fds(fds[0], "x", 1, &ends[1], 1), 1);
    close(ends[1]);
    EXPECT_EQ(read(fds[1], data, 8), 1);
    /* Nobody can write any more. */
    EXPECT_EQ(read(ends[0], data, 8), 0);
    close(ends[0]);
    close(fds[0]);
    close(fds[1]);
}

KTAP_CASE(descriptors_on_their_way_go_with_the_socket)
{
    int fds[2], ends[2];
    char byte;

    REQUIRE(pair(SOCK_STREAM, fds) && pipe(ends) == 0);
    EXPECT_EQ(send_fds(fds[0], "x", 1, &ends[1], 1), 1);
    close(ends[1]);
    EXPECT_EQ(SYSCALL(SYS_fcntl, (long)ends[0], (long)F_SETFL, (long)O_NONBLOCK), 0);
    EXPECT_ERROR(SYSCALL(SYS_read, (long)ends[0], &byte, 1l), EAGAIN);
    close(fds[0]);
    close(fds[1]);
    EXPECT_EQ(read(ends[0], &byte, 1), 0);
    close(ends[0]);
}

/* Sockets that only hold each other, by descriptors on their way, are nobody's. */
KTAP_CASE(descriptors_in_a_circle)
{
    int fds[2], ends[2];
    char byte;

    REQUIRE(pair(SOCK_DGRAM, fds) && pipe(ends) == 0);
    EXPECT_EQ(send_fds(fds[0], "x", 1, &ends[1], 1), 1);
    EXPECT_EQ(send_fds(fds[0], "x", 1, fds, 2), 1);
    EXPECT_EQ(send_fds(fds[1], "x", 1, fds, 2), 1);
    close(ends[1]);
    close(fds[0]);
    close(fds[1]);
    /* With them goes the end of the pipe, sooner or later. */
    EXPECT_EQ(SYSCALL(SYS_fcntl, (long)ends[0], (long)F_SETFL, (long)O_NONBLOCK), 0);
    long result = -EAGAIN;
    for (int i = 0; i < 200 && result == -EAGAIN; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
        REQUIRE(pair(SOCK_STREAM, fds));
        close(fds[0]);
        close(fds[1]);
        result = SYSCALL(SYS_read, (long)ends[0], &byte, 1l);
    }
    EXPECT_EQ(result, 0);
    close(ends[0]);
}

KTAP_CASE(who_sent_it)
{
    const int one = 1;
    union control control = {0};
    char data[8];
    struct iovec in = {data, 8};
    struct msghdr message = {.msg_iov = &in,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    struct ucred credentials = {0};
    int fds[2];

    REQUIRE(pair(SOCK_DGRAM, fds));
    EXPECT_EQ(SYSCALL(SYS_setsockopt, (long)fds[1], 1l, (long)SO_PASSCRED, &one, 4l), 0);
    int pid = fork();
    if (pid == 0) {
        write(fds[0], "x", 1);
        _exit(0);
    }
    EXPECT_EQ(SYSCALL(SYS_recvmsg, (long)fds[1], &message, 0l), 1);
    EXPECT_EQ(control.head.cmsg_type, SCM_CREDENTIALS);
    EXPECT_EQ(control.head.cmsg_len, sizeof(control.head) + sizeof(credentials));
    memcpy(&credentials, control.bytes + sizeof(control.head), sizeof(credentials));
    EXPECT_EQ(credentials.pid, pid);
    EXPECT_EQ(waitpid(pid, NULL, 0), pid);
    close(fds[0]);
    close(fds[1]);
}

KTAP_CASE(bad_messages)
{
    int fds[2], bad[2] = {99, -1};
    struct iovec part = {"x", 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    REQUIRE(pair(SOCK_STREAM, fds));
    EXPECT_ERROR(send_fds(fds[0], "x", 1, bad, 1), EBADF);
    EXPECT_ERROR(SYSCALL(SYS_sendmsg, (long)fds[0], BAD_PTR, 0l), EFAULT);
    EXPECT_ERROR(SYSCALL(SYS_recvmsg, (long)fds[0], BAD_PTR, 0l), EFAULT);
    message.msg_iovlen = 1025;
    EXPECT_ERROR(SYSCALL(SYS_sendmsg, (long)fds[0], &message, 0l), EMSGSIZE);
    message.msg_iovlen = 1;
    message.msg_iov = (void *)BAD_PTR;
    EXPECT_ERROR(SYSCALL(SYS_sendmsg, (long)fds[0], &message, 0l), EFAULT);
    message.msg_iov = &part;
    message.msg_control = (void *)BAD_PTR;
    message.msg_controllen = 24;
    EXPECT_ERROR(SYSCALL(SYS_sendmsg, (long)fds[0], &message, 0l), EFAULT);
    message.msg_control = NULL;
    message.msg_controllen = 0;
    EXPECT_ERROR(SYSCALL(SYS_sendmsg, 1l, &message, 0l), ENOTSOCK);
    /* Nothing of all that was sent. */
    EXPECT_ERROR(SYSCALL(SYS_recvfrom, (long)fds[1], &message, 1l, (long)MSG_DONTWAIT, 0l, 0l),
                 EAGAIN);
    close(fds[0]);
    close(fds[1]);
}

/* ---- several messages in a call ---- */

#define NR_RECVMMSG 243
#define NR_SENDMMSG 269
#define MANY        4

struct several {
    struct {
        struct msghdr header;
        unsigned bytes;
    } message[MANY];
    struct iovec part[MANY];
    char data[MANY][8];
};

/* Messages of 1, 2, ... bytes, or room for as many of 8. */
static void several_init(struct several *s, bool room)
{
    memset(s, 0, sizeof(*s));
    for (unsigned i = 0; i < MANY; i++) {
        memset(s->data[i], room ? 0 : 'a' + (int)i, sizeof(s->data[i]));
        s->part[i] = (struct iovec){s->data[i], room ? sizeof(s->data[i]) : i + 1};
        s->message[i].header.msg_iov = &s->part[i];
        s->message[i].header.msg_iovlen = 1;
    }
}

static long send_several(int fd, struct several *s, long count, long flags)
{
    return SYSCALL(NR_SENDMMSG, (long)fd, s->message, count, flags);
}

static long receive_several(int fd, struct several *s, long count, long flags, void *limit)
{
    return SYSCALL(NR_RECVMMSG, (long)fd, s->message, count, flags, limit);
}

KTAP_CASE(several_messages_in_a_call)
{
    struct several sent, got;
    int fds[2];

    REQUIRE(pair(SOCK_DGRAM, fds));
    several_init(&sent, false);
    several_init(&got, true);
    EXPECT_EQ(send_several(fds[0], &sent, MANY, 0), MANY);
    for (unsigned i = 0; i < MANY; i++)
        EXPECT_EQ(sent.message[i].bytes, i + 1);
    EXPECT_EQ(receive_several(fds[1], &got, MANY - 1, 0, NULL), MANY - 1);
    for (unsigned i = 0; i < MANY - 1; i++) {
        EXPECT_EQ(got.message[i].bytes, i + 1);
        EXPECT(got.data[i][0] == 'a' + (int)i && got.data[i][i] == 'a' + (int)i);
        EXPECT_EQ(got.data[i][i + 1], 0);
    }
    /* One is left: no more is waited for with MSG_WAITFORONE, or MSG_DONTWAIT. */
    EXPECT_EQ(receive_several(fds[1], &got, MANY, 0x10000, NULL), 1);
    EXPECT_EQ(got.message[0].bytes, MANY);
    EXPECT_ERROR(receive_several(fds[1], &got, MANY, MSG_DONTWAIT, NULL), EAGAIN);
    EXPECT_EQ(receive_several(fds[1], &got, 0, 0, NULL), 0);
    EXPECT_EQ(send_several(fds[0], &sent, 0, 0), 0);
    close(fds[0]);
    close(fds[1]);
}

KTAP_CASE(errors_of_several_messages)
{
    struct several sent, got;
    struct timespec bad = {.tv_nsec = -1};
    int fds[2];

    REQUIRE(pair(SOCK_DGRAM, fds));
    several_init(&sent, false);
    several_init(&got, true);
    EXPECT_ERROR(send_several(99, &sent, 1, 0), EBADF);
    EXPECT_ERROR(receive_several(99, &got, 1, 0, NULL), EBADF);
    if (!ktap_emulated()) { /* which does not look at the limit */
        EXPECT_ERROR(receive_several(fds[1], &got, 1, 0, &bad), EINVAL);
        EXPECT_ERROR(receive_several(fds[1], &got, 1, 0, (void *)BAD_PTR), EFAULT);
    }
    EXPECT_ERROR(SYSCALL(NR_SENDMMSG, (long)fds[0], BAD_PTR, 1l, 0l), EFAULT);
    sent.part[2].base = (void *)BAD_PTR; /* those before it are sent */
    EXPECT_EQ(send_several(fds[0], &sent, MANY, 0), 2);
    sent.part[0].base = (void *)BAD_PTR;
    EXPECT_ERROR(send_several(fds[0], &sent, MANY, 0), EFAULT);
    EXPECT_EQ(receive_several(fds[1], &got, MANY, MSG_DONTWAIT, NULL), 2);
    close(fds[0]);
    close(fds[1]);
}

static int sends_slowly(int fd)
{
    struct several sent;

    several_init(&sent, false);
    for (int i = 0; i < 2; i++) {
        usleep(20000);
        if (send_several(fd, &sent, 1, 0) != 1)
            return 1;
    }
    return 0;
}

/* It waits for each; the limit is looked at when one has come. */
KTAP_CASE(several_messages_are_waited_for)
{
    struct timespec limit = {.tv_nsec = 1000000};
    struct several got;
    int fds[2], status;

    SKIP_EMULATED("does not look at the limit");
    REQUIRE(pair(SOCK_DGRAM, fds));
    several_init(&got, true);
    for (int round = 0; round < 2; round++) {
        pid_t pid = fork();
        REQUIRE(pid >= 0);
        if (pid == 0)
            _exit(sends_slowly(fds[0]));
        if (round == 0) {
            EXPECT_EQ(receive_several(fds[1], &got, 2, 0, NULL), 2);
        } else {
            EXPECT_EQ(receive_several(fds[1], &got, 2, 0, &limit), 1);
            EXPECT(limit.tv_sec == 0 && limit.tv_nsec == 0);
            EXPECT_EQ(receive_several(fds[1], &got, 1, 0, NULL), 1);
        }
        EXPECT_EQ(waitpid(pid, &status, 0), pid);
        EXPECT_EQ(status, 0);
    }
    close(fds[0]);
    close(fds[1]);
}

/* A socket that is full: the rest waits until it is read. */
KTAP_CASE(sending_several_waits_for_room)
{
    struct several sent;
    int fds[2], status;
    unsigned total = 0;
    char byte[8];

    REQUIRE(pair(SOCK_DGRAM, fds));
    several_init(&sent, false);
    long filled = 0, got;
    while ((got = send_several(fds[0], &sent, MANY, MSG_DONTWAIT)) > 0)
        filled += got;
    EXPECT_EQ(got, -EAGAIN);
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0)
        _exit(send_several(fds[0], &sent, MANY, 0) == MANY ? 0 : 1);
    usleep(20000);
    for (long i = 0; i < filled + MANY; i++)
        total += read(fds[1], byte, sizeof(byte)) > 0;
    EXPECT_EQ(total, filled + MANY);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
    close(fds[0]);
    close(fds[1]);
}
