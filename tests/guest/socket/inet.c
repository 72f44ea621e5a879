/* TCP and UDP inside the machine (see sockets.h). */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sockets.h"

/* ---- TCP ---- */

KTAP_CASE(tcp_connects)
{
    struct sockaddr_in name, peer, own;
    long server = tcp_server(&name), client = make(AF_INET, SOCK_STREAM);
    socklen_t bytes = sizeof(peer);
    char data[8];

    EXPECT_EQ(SYSCALL(SYS_connect, client, &name, (long)sizeof(name)), 0);
    long fd = SYSCALL(SYS_accept, server, &peer, &bytes);
    EXPECT(fd >= 0);
    EXPECT_EQ(bytes, sizeof(peer));
    EXPECT_EQ(SYSCALL(SYS_getsockname, client, &own, &bytes), 0);
    EXPECT(memcmp(&peer, &own, sizeof(own)) == 0);
    EXPECT(own.sin_addr[0] == 127 && own.sin_port != 0);
    EXPECT_EQ(SYSCALL(SYS_getpeername, client, &own, &bytes), 0);
    EXPECT(memcmp(&own, &name, sizeof(own)) == 0);
    EXPECT_EQ(write((int)client, "ping", 4), 4);
    EXPECT_EQ(read((int)fd, data, 8), 4);
    EXPECT_EQ(write((int)fd, "pong", 4), 4);
    EXPECT_EQ(read((int)client, data, 8), 4);
    EXPECT(memcmp(data, "pong", 4) == 0);
    close((int)client);
    EXPECT_EQ(events_of(fd), POLLIN | POLLOUT | POLLRDHUP);
    EXPECT_EQ(read((int)fd, data, 8), 0);
    /* The first write reaches nobody, and the second finds that out. */
    EXPECT_EQ(send_to(fd, "x", 1, MSG_NOSIGNAL), 1);
    struct timespec pause = {.tv_nsec = 10 * NS_PER_MS};
    nanosleep(&pause, NULL);
    EXPECT_EQ(events_of(fd) & (POLLHUP | POLLERR), POLLHUP | POLLERR);
    EXPECT_ERROR(send_to(fd, "x", 1, MSG_NOSIGNAL), EPIPE);
    EXPECT_ERROR(send_to(fd, "x", 1, MSG_NOSIGNAL), EPIPE);
    EXPECT_EQ(read((int)fd, data, 8), 0);
    close((int)fd);
    close((int)server);
}

/* The first byte of struct tcp_info. */
static int tcp_state(long fd)
{
    unsigned char info[104] = {0};
    socklen_t bytes = sizeof(info);

    EXPECT_EQ(SYSCALL(SYS_getsockopt, fd, 6l, 11l, info, &bytes), 0);
    EXPECT_EQ(bytes, sizeof(info));
    return info[0];
}

KTAP_CASE(tcp_tells_its_state)
{
    struct sockaddr_in name;
    long server = tcp_server(&name), client = make(AF_INET, SOCK_STREAM);
    struct timespec pause = {.tv_nsec = 10 * NS_PER_MS};

    SKIP_EMULATED("it takes the answer for one number");
    EXPECT_EQ(tcp_state(server), 10);
    EXPECT_EQ(tcp_state(client), 7);
    EXPECT_EQ(SYSCALL(SYS_connect, client, &name, (long)sizeof(name)), 0);
    long fd = SYSCALL(SYS_accept, server, 0l, 0l);
    EXPECT(tcp_state(fd) == 1 && tcp_state(client) == 1);
    EXPECT_EQ(SYSCALL(SYS_shutdown, client, 1l), 0);
    nanosleep(&pause, NULL);
    EXPECT(tcp_state(client) == 5 && tcp_state(fd) == 8);
    close((int)client);
    close((int)fd);
    close((int)server);
}

KTAP_CASE(nobody_listens)
{
    struct sockaddr_in name;
    long server = tcp_server(&name), client = make(AF_INET, SOCK_STREAM);
    char byte;

    close((int)server);
    EXPECT_ERROR(SYSCALL(SYS_connect, client, &name, (long)sizeof(name)), ECONNREFUSED);
    EXPECT_ERROR(receive(client, &byte, 1, 0), ENOTCONN);
    EXPECT_ERROR(send_to(client, &byte, 1, MSG_NOSIGNAL), EPIPE);
    close((int)client);
    client = make(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
    EXPECT_ERROR(SYSCALL(SYS_connect, client, &name, (long)sizeof(name)), EINPROGRESS);
    struct pollfd poll = {.fd = (int)client, .events = POLLOUT};
    EXPECT_EQ(SYSCALL(SYS_ppoll, &poll, 1l, 0l, 0l, 8l), 1);
    EXPECT_EQ(poll.revents, POLLOUT | POLLERR | POLLHUP);
    EXPECT_EQ(option(client, SOL_SOCKET, SO_ERROR), 111 /* ECONNREFUSED */);
    EXPECT_EQ(option(client, SOL_SOCKET, SO_ERROR), 0);
    close((int)client);
}

KTAP_CASE(a_connect_that_does_not_wait)
{
    struct sockaddr_in name;
    long server = tcp_server(&name), client = make(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
    int epoll = (int)SYSCALL(SYS_epoll_create1, 0l);
    struct epoll_event event = {.events = EPOLLOUT | EPOLLET};

    EXPECT_ERROR(SYSCALL(SYS_connect, client, &name, (long)sizeof(name)), EINPROGRESS);
    EXPECT_EQ(SYSCALL(SYS_epoll_ctl, (long)epoll, 1l, client, &event), 0);
    EXPECT_EQ(SYSCALL(SYS_epoll_pwait, (long)epoll, &event, 1l, -1l, 0l, 8l), 1);
    EXPECT_EQ(event.events, EPOLLOUT);
    EXPECT_EQ(option(client, SOL_SOCKET, SO_ERROR), 0);
    EXPECT_EQ(SYSCALL(SYS_connect, client, &name, (long)sizeof(name)), 0);
    EXPECT_ERROR(SYSCALL(SYS_connect, client, &name, (long)sizeof(name)), EISCONN);
    long fd = SYSCALL(SYS_accept, server, 0l, 0l);
    EXPECT(fd >= 0);
    set_nonblocking(server);
    EXPECT_ERROR(SYSCALL(SYS_accept, server, 0l, 0l), EAGAIN);
    close((int)fd);
    close(epoll);
    close((int)client);
    close((int)server);
}

KTAP_CASE(a_port_is_taken)
{
    struct sockaddr_in name, any;
    long server = tcp_server(&name), other = make(AF_INET, SOCK_STREAM);

    EXPECT_ERROR(SYSCALL(SYS_bind, other, &name, (long)sizeof(name)), EADDRINUSE);
    EXPECT_EQ(set_option(other, SOL_SOCKET, SO_REUSEADDR, 1), 0);
    EXPECT_ERROR(SYSCALL(SYS_bind, other, &name, (long)sizeof(name)), EADDRINUSE);
    any = name;
    memset(any.sin_addr, 0, 4);
    EXPECT_ERROR(SYSCALL(SYS_bind, other, &any, (long)sizeof(any)), EADDRINUSE);
    close((int)server);
    EXPECT_EQ(SYSCALL(SYS_bind, other, &any, (long)sizeof(any)), 0);
    EXPECT_ERROR(SYSCALL(SYS_bind, other, &any, (long)sizeof(any)), EINVAL);
    EXPECT_EQ(SYSCALL(SYS_listen, other, 1l), 0);
    long client = make(AF_INET, SOCK_STREAM);
    EXPECT_EQ(SYSCALL(SYS_connect, client, &name, (long)sizeof(name)), 0);
    close((int)client);
    close((int)other);
}

KTAP_CASE(ipv6_takes_ipv4_too)
{
    struct sockaddr_in6 any = {.sin6_family = AF_INET6}, peer;
    struct sockaddr_in name;
    long server = SYSCALL(SYS_socket, (long)AF_INET6, (long)SOCK_STREAM, 0l);
    socklen_t bytes = sizeof(any);

    if (server == -EAFNOSUPPORT)
        SKIP("this system has no IPv6");
    EXPECT_EQ(set_option(server, IPPROTO_IPV6, IPV6_V6ONLY, 0), 0);
    EXPECT_EQ(SYSCALL(SYS_bind, server, &any, (long)sizeof(any)), 0);
    EXPECT_EQ(SYSCALL(SYS_listen, server, 5l), 0);
    EXPECT_EQ(SYSCALL(SYS_getsockname, server, &any, &bytes), 0);
    name = loopback(any.sin6_port);
    long four = make(AF_INET, SOCK_STREAM), six = make(AF_INET6, SOCK_STREAM);
    EXPECT_EQ(SYSCALL(SYS_connect, four, &name, (long)sizeof(name)), 0);
    long fd = SYSCALL(SYS_accept, server, &peer, &bytes);
    EXPECT_EQ(bytes, sizeof(peer));
    EXPECT(peer.sin6_addr[10] == 0xff && peer.sin6_addr[12] == 127);
    close((int)fd);
    any.sin6_addr[15] = 1;
    EXPECT_EQ(SYSCALL(SYS_connect, six, &any, (long)sizeof(any)), 0);
    fd = SYSCALL(SYS_accept, server, &peer, &bytes);
    EXPECT(peer.sin6_addr[0] == 0 && peer.sin6_addr[15] == 1);
    close((int)fd);
    close((int)four);
    close((int)six);
    close((int)server);
}

/* A server and many clients at once, by epoll. */
#define CLIENTS 20

static int run_clients(const struct sockaddr_in *name)
{
    long fds[CLIENTS];
    char data[4];

    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = make(AF_INET, SOCK_STREAM);
        if (SYSCALL(SYS_connect, fds[i], name, (long)sizeof(*name)) != 0)
            return 1;
    }
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < CLIENTS; i++) {
            if (write((int)fds[i], "ping", 4) != 4)
                return 2;
        }
        for (int i = 0; i < CLIENTS; i++) {
            if (receive(fds[i], data, 4, MSG_WAITALL) != 4 || memcmp(data, "pong", 4) != 0)
                return 3;
        }
    }
    return 0;
}

KTAP_CASE(many_clients)
{
    struct sockaddr_in name;
    long server = tcp_server(&name);
    int epoll = (int)SYSCALL(SYS_epoll_create1, 0l), left = CLIENTS, status = -1;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = (int)server};

    EXPECT_EQ(SYSCALL(SYS_epoll_ctl, (long)epoll, 1l, server, &event), 0);
    int pid = fork();
    if (pid == 0)
        _exit(run_clients(&name));
    while (left) {
        char data[4];
        REQUIRE(SYSCALL(SYS_epoll_pwait, (long)epoll, &event, 1l, 20000l, 0l, 8l) == 1);
        int fd = event.data.fd;
        if (fd == server) {
            event.data.fd = (int)SYSCALL(SYS_accept4, server, 0l, 0l, (long)SOCK_NONBLOCK);
            EXPECT_EQ(SYSCALL(SYS_epoll_ctl, (long)epoll, 1l, (long)event.data.fd, &event), 0);
        } else if (read(fd, data, 4) == 4) {
            EXPECT_EQ(write(fd, "pong", 4), 4);
        } else {
            close(fd);
            left--;
        }
    }
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
    close(epoll);
    close((int)server);
}

KTAP_CASE(a_killed_client_hangs_up)
{
    struct sockaddr_in name;
    long server = tcp_server(&name);
    char byte;

    int pid = fork();
    if (pid == 0) {
        long client = make(AF_INET, SOCK_STREAM);
        SYSCALL(SYS_connect, client, &name, (long)sizeof(name));
        receive(client, &byte, 1, 0);
        _exit(1);
    }
    long fd = SYSCALL(SYS_accept, server, 0l, 0l);
    EXPECT(fd >= 0);
    EXPECT_EQ(kill(pid, SIGKILL), 0);
    EXPECT_EQ(receive(fd, &byte, 1, 0), 0);
    EXPECT_EQ(waitpid(pid, NULL, 0), pid);
    close((int)fd);
    close((int)server);
}

/* ---- UDP ---- */

KTAP_CASE(udp_datagrams)
{
    struct sockaddr_in name = loopback(0), from;
    long server = make(AF_INET, SOCK_DGRAM), client = make(AF_INET, SOCK_DGRAM);
    socklen_t bytes = sizeof(name);
    char data[8];

    EXPECT_EQ(SYSCALL(SYS_bind, server, &name, (long)sizeof(name)), 0);
    EXPECT_EQ(SYSCALL(SYS_getsockname, server, &name, &bytes), 0);
    EXPECT_EQ(SYSCALL(SYS_sendto, client, "abc", 3l, 0l, &name, (long)sizeof(name)), 3);
    EXPECT_EQ(SYSCALL(SYS_recvfrom, server, data, 8l, 0l, &from, &bytes), 3);
    EXPECT(from.sin_addr[0] == 127 && from.sin_port != 0);
    EXPECT_EQ(SYSCALL(SYS_sendto, server, "de", 2l, 0l, &from, (long)sizeof(from)), 2);
    EXPECT_EQ(receive(client, data, 8, 0), 2);
    EXPECT_ERROR(send_to(client, "x", 1, 0), EDESTADDRREQ);
    EXPECT_EQ(SYSCALL(SYS_connect, client, &name, (long)sizeof(name)), 0);
    close((int)server);
    EXPECT_EQ(send_to(client, "x", 1, 0), 1);
    struct timespec pause = {.tv_nsec = 10 * NS_PER_MS};
    nanosleep(&pause, NULL);
    EXPECT_ERROR(receive(client, data, 8, MSG_DONTWAIT), ECONNREFUSED);
    EXPECT_ERROR(receive(client, data, 8, MSG_DONTWAIT), EAGAIN);
    close((int)client);
}
