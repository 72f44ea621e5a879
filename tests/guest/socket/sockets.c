/* What the tests of sockets share (see sockets.h). */
#include <fcntl.h>
#include <time.h>

#include "sockets.h"

long make(int family, int type)
{
    long fd = SYSCALL(SYS_socket, (long)family, (long)type, 0l);

    EXPECT(fd >= 0);
    return fd;
}

bool pair(int type, int fds[2])
{
    long error = SYSCALL(SYS_socketpair, (long)AF_UNIX, (long)type, 0l, fds);

    EXPECT_EQ(error, 0);
    return error == 0;
}

long send_to(long fd, const void *data, size_t bytes, int flags)
{
    return SYSCALL(SYS_sendto, fd, data, (long)bytes, (long)flags, 0l, 0l);
}

long receive(long fd, void *data, size_t bytes, int flags)
{
    return SYSCALL(SYS_recvfrom, fd, data, (long)bytes, (long)flags, 0l, 0l);
}

int events_of(long fd)
{
    struct pollfd poll = {.fd = (int)fd, .events = POLLIN | POLLOUT | POLLRDHUP};
    struct timespec now = {0};

    EXPECT(SYSCALL(SYS_ppoll, &poll, 1l, &now, 0l, 8l) >= 0);
    return poll.revents;
}

long option(long fd, int level, int name)
{
    int value = -1;
    socklen_t bytes = sizeof(value);

    EXPECT_EQ(SYSCALL(SYS_getsockopt, fd, (long)level, (long)name, &value, &bytes), 0);
    EXPECT_EQ(bytes, sizeof(value));
    return value;
}

long set_option(long fd, int level, int name, int value)
{
    return SYSCALL(SYS_setsockopt, fd, (long)level, (long)name, &value, (long)sizeof(value));
}

void set_nonblocking(long fd)
{
    EXPECT_EQ(fcntl((int)fd, F_SETFL, O_NONBLOCK), 0);
}

struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = port, .sin_addr = {127, 0, 0, 1}};
}

long tcp_server(struct sockaddr_in *name)
{
    long fd = make(AF_INET, SOCK_STREAM);
    socklen_t bytes = sizeof(*name);

    *name = loopback(0);
    EXPECT_EQ(SYSCALL(SYS_bind, fd, name, (long)sizeof(*name)), 0);
    EXPECT_EQ(SYSCALL(SYS_listen, fd, 10l), 0);
    EXPECT_EQ(SYSCALL(SYS_getsockname, fd, name, &bytes), 0);
    EXPECT_EQ(bytes, sizeof(*name));
    EXPECT(name->sin_port != 0);
    return fd;
}
