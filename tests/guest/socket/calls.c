/* Options of sockets, bad calls, and what ends a call (see sockets.h). */
#define __LINUX_ERRNO_EXTENSIONS__ /* ESOCKTNOSUPPORT */
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

#define IP_TTL       2
#define TCP_KEEPIDLE 4
#define TCP_KEEPCNT  6

/* ---- options and bad calls ---- */

KTAP_CASE(options)
{
    long tcp = make(AF_INET, SOCK_STREAM), unix_fd = make(AF_UNIX, SOCK_DGRAM);
    struct {
        long sec, usec;
    } limit = {.usec = 20000}, got = {0};
    socklen_t bytes = sizeof(got);
    char byte;

    EXPECT_EQ(option(tcp, SOL_SOCKET, SO_TYPE), SOCK_STREAM);
    EXPECT_EQ(option(tcp, SOL_SOCKET, SO_DOMAIN), AF_INET);
    EXPECT_EQ(option(tcp, SOL_SOCKET, SO_PROTOCOL), IPPROTO_TCP);
    EXPECT_EQ(option(tcp, SOL_SOCKET, SO_ACCEPTCONN), 0);
    EXPECT_EQ(option(tcp, IPPROTO_TCP, TCP_NODELAY), 0);
    EXPECT_EQ(set_option(tcp, IPPROTO_TCP, TCP_NODELAY, 1), 0);
    EXPECT_EQ(option(tcp, IPPROTO_TCP, TCP_NODELAY), 1);
    EXPECT_EQ(set_option(tcp, SOL_SOCKET, SO_KEEPALIVE, 5), 0);
    EXPECT_EQ(option(tcp, SOL_SOCKET, SO_KEEPALIVE), 1);
    EXPECT_EQ(set_option(tcp, SOL_SOCKET, SO_SNDBUF, 10000), 0);
    EXPECT_EQ(option(tcp, SOL_SOCKET, SO_SNDBUF), 20000);
    EXPECT_EQ(option(tcp, IPPROTO_TCP, TCP_KEEPIDLE), 7200);
    EXPECT_EQ(set_option(tcp, IPPROTO_TCP, TCP_KEEPIDLE, 60), 0);
    EXPECT_EQ(option(tcp, IPPROTO_TCP, TCP_KEEPIDLE), 60);
    EXPECT_ERROR(set_option(tcp, IPPROTO_TCP, TCP_KEEPIDLE, 0), EINVAL);
    EXPECT_ERROR(set_option(tcp, IPPROTO_TCP, TCP_KEEPCNT, 128), EINVAL);
    EXPECT_EQ(option(tcp, IPPROTO_IP, IP_TTL), 64);
    EXPECT_EQ(set_option(tcp, IPPROTO_IP, IP_TTL, 9), 0);
    EXPECT_EQ(option(tcp, IPPROTO_IP, IP_TTL), 9);
    EXPECT_ERROR(set_option(tcp, IPPROTO_IP, IP_TTL, 256), EINVAL);
    EXPECT_EQ(set_option(tcp, IPPROTO_IP, IP_TTL, -1), 0);
    EXPECT_EQ(option(tcp, IPPROTO_IP, IP_TTL), 64);
    EXPECT_ERROR(set_option(tcp, IPPROTO_IP, 9999, 1), ENOPROTOOPT);
    EXPECT_ERROR(set_option(unix_fd, IPPROTO_IP, IP_TTL, 1), EOPNOTSUPP);
    EXPECT_ERROR(set_option(tcp, SOL_SOCKET, 9999, 1), ENOPROTOOPT);
    EXPECT_ERROR(set_option(unix_fd, IPPROTO_TCP, TCP_NODELAY, 1), EOPNOTSUPP);
    EXPECT_ERROR(SYSCALL(SYS_setsockopt, tcp, 1l, (long)SO_KEEPALIVE, &byte, 1l), EINVAL);
    EXPECT_ERROR(SYSCALL(SYS_setsockopt, tcp, 1l, (long)SO_KEEPALIVE, BAD_PTR, 4l), EFAULT);
    EXPECT_ERROR(SYSCALL(SYS_getsockopt, tcp, 1l, (long)SO_KEEPALIVE, BAD_PTR, &bytes), EFAULT);
    EXPECT_EQ(SYSCALL(SYS_setsockopt, unix_fd, 1l, (long)SO_RCVTIMEO, &limit, 16l), 0);
    bytes = sizeof(got);
    EXPECT_EQ(SYSCALL(SYS_getsockopt, unix_fd, 1l, (long)SO_RCVTIMEO, &got, &bytes), 0);
    EXPECT(got.sec == 0 && got.usec == 20000);
    EXPECT_ERROR(receive(unix_fd, &byte, 1, 0), EAGAIN);
    close((int)tcp);
    close((int)unix_fd);
}

KTAP_CASE(who_is_at_the_other_end)
{
    struct ucred credentials = {0};
    socklen_t bytes = sizeof(credentials);
    int fds[2];

    REQUIRE(pair(SOCK_STREAM, fds));
    EXPECT_EQ(SYSCALL(SYS_getsockopt, (long)fds[0], 1l, (long)SO_PEERCRED, &credentials, &bytes),
              0);
    EXPECT_EQ(credentials.pid, getpid());
    close(fds[0]);
    close(fds[1]);
}

KTAP_CASE(bad_calls)
{
    struct sockaddr_in name = loopback(0), elsewhere = name;
    struct sockaddr_un path = {.sun_family = AF_UNIX, .sun_path = "/no/such/place"};
    int fds[2], self = open(ktap_self(), O_RDONLY);
    long tcp = make(AF_INET, SOCK_STREAM), unix_fd = make(AF_UNIX, SOCK_STREAM);
    long udp = make(AF_INET, SOCK_DGRAM);
    socklen_t bytes = sizeof(name);
    char byte = 0;

    EXPECT_ERROR(SYSCALL(SYS_socket, 99l, 1l, 0l), EAFNOSUPPORT);
    EXPECT_ERROR(SYSCALL(SYS_socket, (long)AF_INET, (long)SOCK_SEQPACKET, 0l), ESOCKTNOSUPPORT);
    EXPECT_ERROR(SYSCALL(SYS_socket, (long)AF_INET, (long)SOCK_STREAM, (long)IPPROTO_UDP),
                 EPROTONOSUPPORT);
    EXPECT_ERROR(SYSCALL(SYS_socketpair, (long)AF_INET, (long)SOCK_STREAM, 0l, fds), EOPNOTSUPP);
    EXPECT_ERROR(SYSCALL(SYS_socketpair, (long)AF_UNIX, (long)SOCK_STREAM, 0l, BAD_PTR), EFAULT);
    EXPECT_ERROR(SYSCALL(SYS_bind, (long)self, &name, 16l), ENOTSOCK);
    EXPECT_ERROR(SYSCALL(SYS_bind, 99l, &name, 16l), EBADF);
    EXPECT_ERROR(SYSCALL(SYS_bind, tcp, BAD_PTR, 16l), EFAULT);
    EXPECT_ERROR(SYSCALL(SYS_bind, tcp, &name, 15l), EINVAL);
    EXPECT_ERROR(SYSCALL(SYS_bind, tcp, &name, 1000l), EINVAL);
    EXPECT_ERROR(SYSCALL(SYS_bind, unix_fd, &path, (long)sizeof(path)), ENOENT);
    EXPECT_ERROR(SYSCALL(SYS_connect, unix_fd, &path, (long)sizeof(path)), ENOENT);
    elsewhere.sin_addr[0] = 192;
    elsewhere.sin_addr[1] = 0;
    elsewhere.sin_addr[2] = 2;
    EXPECT_ERROR(SYSCALL(SYS_bind, tcp, &elsewhere, 16l), EADDRNOTAVAIL);
    EXPECT_ERROR(SYSCALL(SYS_listen, unix_fd, 1l), EINVAL);
    EXPECT_ERROR(SYSCALL(SYS_listen, udp, 1l), EOPNOTSUPP);
    EXPECT_ERROR(SYSCALL(SYS_accept, tcp, 0l, 0l), EINVAL);
    EXPECT_ERROR(SYSCALL(SYS_accept, udp, 0l, 0l), EOPNOTSUPP);
    EXPECT_ERROR(SYSCALL(SYS_accept4, tcp, 0l, 0l, 1l), EINVAL);
    EXPECT_ERROR(receive(unix_fd, &byte, 1, 0), EINVAL);
    EXPECT_ERROR(send_to(unix_fd, &byte, 1, 0), ENOTCONN);
    EXPECT_ERROR(SYSCALL(SYS_getpeername, tcp, &name, &bytes), ENOTCONN);
    REQUIRE(pair(SOCK_STREAM, fds));
    EXPECT_ERROR(send_to(fds[0], (void *)BAD_PTR, 8, 0), EFAULT);
    EXPECT_EQ(write(fds[0], "abc", 3), 3);
    EXPECT_ERROR(receive(fds[1], (void *)BAD_PTR, 8, 0), EFAULT);
    EXPECT_EQ(receive(fds[1], &byte, 1, 0), 1);
    EXPECT_EQ(byte, 'a');
    EXPECT_ERROR(SYSCALL(SYS_lseek, (long)fds[0], 0l, 0l), ESPIPE);
    close(fds[0]);
    close(fds[1]);
    close(self);
    close((int)tcp);
    close((int)udp);
    close((int)unix_fd);
}

KTAP_CHILD(write_to_nobody)
{
    int fds[2];

    if (!pair(SOCK_STREAM, fds))
        return 1;
    close(fds[0]);
    write(fds[1], "x", 1);
    return 2;
}

KTAP_CASE(sigpipe)
{
    EXPECT_CHILD_SIGNAL("write_to_nobody", "", SIGPIPE);
}

/* The last use of a socket is that of a call which waits. */
static void *close_later(void *arg)
{
    int *fds = arg;
    struct timespec pause = {.tv_nsec = 20 * NS_PER_MS};

    nanosleep(&pause, NULL);
    EXPECT_EQ(close(fds[0]), 0);
    nanosleep(&pause, NULL);
    EXPECT_EQ(write(fds[1], "x", 1), 1);
    return NULL;
}

KTAP_CASE(closed_while_somebody_receives)
{
    char byte = 0;
    int fds[2];

    REQUIRE(pair(SOCK_STREAM, fds));
    struct pg_thread *thread = pg_thread_create(close_later, fds, 0);
    REQUIRE(thread != NULL);
    EXPECT_EQ(receive(fds[0], &byte, 1, 0), 1);
    EXPECT_EQ(byte, 'x');
    pg_thread_join(thread);
    EXPECT_ERROR(send_to(fds[1], "x", 1, MSG_NOSIGNAL), EPIPE);
    close(fds[1]);
}

static void *shut_later(void *arg)
{
    struct timespec pause = {.tv_nsec = 20 * NS_PER_MS};

    nanosleep(&pause, NULL);
    EXPECT_EQ(SYSCALL(SYS_shutdown, *(long *)arg, (long)SHUT_RDWR), 0);
    return NULL;
}

KTAP_CASE(shutdown_ends_an_accept)
{
    struct sockaddr_in name;
    long server = tcp_server(&name);
    struct pg_thread *thread = pg_thread_create(shut_later, &server, 0);

    REQUIRE(thread != NULL);
    EXPECT_ERROR(SYSCALL(SYS_accept, server, 0l, 0l), EINVAL);
    pg_thread_join(thread);
    close((int)server);
}
