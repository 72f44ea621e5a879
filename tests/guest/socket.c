/*
 * Sockets inside the machine: AF_UNIX of all three types, and the loopback of TCP and UDP. What
 * messages carry beside their bytes is in socket_message.c.
 */
#define __LINUX_ERRNO_EXTENSIONS__ /* ESOCKTNOSUPPORT */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"

#define BAD_PTR      16l
#define NS_PER_MS    1000000l
#define IP_TTL       2
#define TCP_KEEPIDLE 4
#define TCP_KEEPCNT  6
#define UNIX_PATH    "/tmp/ktap-socket"

static long make(int family, int type)
{
    long fd = SYSCALL(SYS_socket, (long)family, (long)type, 0l);

    EXPECT(fd >= 0);
    return fd;
}

static bool pair(int type, int fds[2])
{
    long error = SYSCALL(SYS_socketpair, (long)AF_UNIX, (long)type, 0l, fds);

    EXPECT_EQ(error, 0);
    return error == 0;
}

static long send_to(long fd, const void *data, size_t bytes, int flags)
{
    return SYSCALL(SYS_sendto, fd, data, (long)bytes, (long)flags, 0l, 0l);
}

static long receive(long fd, void *data, size_t bytes, int flags)
{
    return SYSCALL(SYS_recvfrom, fd, data, (long)bytes, (long)flags, 0l, 0l);
}

static int events_of(long fd)
{
    struct pollfd poll = {.fd = (int)fd, .events = POLLIN | POLLOUT | POLLRDHUP};
    struct timespec now = {0};

    EXPECT(SYSCALL(SYS_ppoll, &poll, 1l, &now, 0l, 8l) >= 0);
    return poll.revents;
}

static long option(long fd, int level, int name)
{
    int value = -1;
    socklen_t bytes = sizeof(value);

    EXPECT_EQ(SYSCALL(SYS_getsockopt, fd, (long)level, (long)name, &value, &bytes), 0);
    EXPECT_EQ(bytes, sizeof(value));
    return value;
}

static long set_option(long fd, int level, int name, int value)
{
    return SYSCALL(SYS_setsockopt, fd, (long)level, (long)name, &value, (long)sizeof(value));
}

static void set_nonblocking(long fd)
{
    EXPECT_EQ(fcntl((int)fd, F_SETFL, O_NONBLOCK), 0);
}

/* ---- streams of AF_UNIX ---- */

KTAP_CASE(a_pair_carries_both_ways)
{
    char data[16] = {0};
    int fds[2];

    REQUIRE(pair(SOCK_STREAM, fds));
    EXPECT_EQ(write(fds[0], "hello ", 6), 6);
    EXPECT_EQ(write(fds[0], "there", 5), 5);
    EXPECT_EQ(write(fds[1], "back", 4), 4);
    EXPECT_EQ(read(fds[1], data, sizeof(data)), 11);
    EXPECT(memcmp(data, "hello there", 11) == 0);
    EXPECT_EQ(read(fds[0], data, 2), 2);
    EXPECT_EQ(read(fds[0], data + 2, 14), 2);
    EXPECT(memcmp(data, "back", 4) == 0);
    close(fds[0]);
    EXPECT_EQ(read(fds[1], data, sizeof(data)), 0);
    EXPECT_ERROR(send_to(fds[1], "x", 1, MSG_NOSIGNAL), EPIPE);
    close(fds[1]);
}

KTAP_CASE(a_stream_is_bounded)
{
    static char data[65536], back[65536];
    size_t sent = 0, got = 0;
    int fds[2];
    long part;

    REQUIRE(pair(SOCK_STREAM | SOCK_NONBLOCK, fds));
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (char)(i * 7 + i / 256);
    while ((part = send_to(fds[0], data, sizeof(data), 0)) > 0) {
        sent += (size_t)part;
        REQUIRE(sent < 64u << 20);
    }
    EXPECT_ERROR(part, EAGAIN);
    EXPECT_EQ(events_of(fds[0]), 0);
    EXPECT_EQ(events_of(fds[1]), POLLIN | POLLOUT);
    EXPECT(sent >= 100000);
    while (got < sent) {
        part = receive(fds[1], back, sizeof(back), 0);
        REQUIRE(part > 0);
        for (long i = 0; i < part; i++)
            REQUIRE(back[i] == data[(got + (size_t)i) % sizeof(data)]);
        got += (size_t)part;
    }
    EXPECT_ERROR(receive(fds[1], back, 1, 0), EAGAIN);
    EXPECT_EQ(events_of(fds[0]), POLLOUT);
    close(fds[0]);
    close(fds[1]);
}

struct sender {
    int fd;
    size_t bytes;
};

static void *send_much(void *arg)
{
    static char data[10000];
    struct sender *sender = arg;

    for (size_t done = 0; done < sender->bytes; done += sizeof(data)) {
        if (send_to(sender->fd, data, sizeof(data), 0) != sizeof(data))
            return "short";
    }
    close(sender->fd);
    return NULL;
}

KTAP_CASE(a_sender_waits_for_room)
{
    static char data[3000];
    int fds[2];
    size_t got = 0;
    ssize_t part;

    REQUIRE(pair(SOCK_STREAM, fds));
    struct sender sender = {fds[0], 2000000};
    struct pg_thread *thread = pg_thread_create(send_much, &sender, 0);
    REQUIRE(thread != NULL);
    while ((part = read(fds[1], data, sizeof(data))) > 0)
        got += (size_t)part;
    EXPECT_EQ(got, sender.bytes);
    EXPECT(pg_thread_join(thread) == NULL);
    close(fds[1]);
}

KTAP_CASE(peek_leaves_and_waitall_waits)
{
    char data[8] = {0};
    int fds[2];

    REQUIRE(pair(SOCK_STREAM, fds));
    EXPECT_EQ(write(fds[0], "abcd", 4), 4);
    EXPECT_EQ(receive(fds[1], data, 8, MSG_PEEK), 4);
    EXPECT_EQ(receive(fds[1], data, 2, MSG_PEEK | MSG_WAITALL), 2);
    int unread = 0;
    EXPECT_EQ(SYSCALL(SYS_ioctl, (long)fds[1], 0x541bl, &unread), 0);
    EXPECT_EQ(unread, 4);
    int pid = fork();
    if (pid == 0) {
        struct timespec pause = {.tv_nsec = 20 * NS_PER_MS};
        nanosleep(&pause, NULL);
        write(fds[0], "efgh", 4);
        _exit(0);
    }
    EXPECT_EQ(receive(fds[1], data, 8, MSG_WAITALL), 8);
    EXPECT(memcmp(data, "abcdefgh", 8) == 0);
    EXPECT_EQ(waitpid(pid, NULL, 0), pid);
    EXPECT_EQ(write(fds[0], "xy", 2), 2);
    close(fds[0]);
    EXPECT_EQ(receive(fds[1], data, 8, MSG_WAITALL), 2);
    close(fds[1]);
}

KTAP_CASE(shutdown_ends_one_direction)
{
    char byte;
    int fds[2];

    REQUIRE(pair(SOCK_STREAM, fds));
    EXPECT_EQ(write(fds[0], "x", 1), 1);
    EXPECT_EQ(SYSCALL(SYS_shutdown, (long)fds[0], (long)SHUT_WR), 0);
    EXPECT_EQ(events_of(fds[1]), POLLIN | POLLOUT | POLLRDHUP);
    EXPECT_EQ(read(fds[1], &byte, 1), 1);
    EXPECT_EQ(read(fds[1], &byte, 1), 0);
    EXPECT_EQ(write(fds[1], "y", 1), 1);
    EXPECT_EQ(read(fds[0], &byte, 1), 1);
    EXPECT_ERROR(send_to(fds[0], "z", 1, MSG_NOSIGNAL), EPIPE);
    EXPECT_EQ(SYSCALL(SYS_shutdown, (long)fds[0], (long)SHUT_RDWR), 0);
    EXPECT_EQ(events_of(fds[1]), POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
    EXPECT_ERROR(send_to(fds[1], "z", 1, MSG_NOSIGNAL), EPIPE);
    EXPECT_ERROR(SYSCALL(SYS_shutdown, (long)fds[0], 3l), EINVAL);
    EXPECT_ERROR(SYSCALL(SYS_shutdown, (long)make(AF_INET, SOCK_STREAM), 2l), ENOTCONN);
    close(fds[0]);
    close(fds[1]);
}

KTAP_CASE(what_was_not_read_is_a_reset)
{
    char byte;
    int fds[2];

    REQUIRE(pair(SOCK_STREAM, fds));
    EXPECT_EQ(write(fds[0], "x", 1), 1);
    close(fds[1]);
    EXPECT_EQ(events_of(fds[0]) & (POLLHUP | POLLERR), POLLHUP | POLLERR);
    EXPECT_ERROR(receive(fds[0], &byte, 1, 0), ECONNRESET);
    EXPECT_EQ(receive(fds[0], &byte, 1, 0), 0);
    close(fds[0]);
}

static int unix_server(const char *path, size_t path_bytes, struct sockaddr_un *name)
{
    long fd = make(AF_UNIX, SOCK_STREAM);

    memset(name, 0, sizeof(*name));
    name->sun_family = AF_UNIX;
    memcpy(name->sun_path, path, path_bytes);
    EXPECT_EQ(SYSCALL(SYS_bind, fd, name, (long)(2 + path_bytes)), 0);
    EXPECT_EQ(SYSCALL(SYS_listen, fd, 1l), 0);
    return (int)fd;
}

KTAP_CASE(a_path_is_connected_to)
{
    struct sockaddr_un name, got = {0};
    char byte = 0;

    unlink(UNIX_PATH);
    long server = unix_server(UNIX_PATH, sizeof(UNIX_PATH), &name);
    long client = make(AF_UNIX, SOCK_STREAM), other = make(AF_UNIX, SOCK_STREAM);
    EXPECT_EQ(events_of(server), 0);
    EXPECT_EQ(events_of(client), POLLOUT | POLLHUP);
    EXPECT_EQ(SYSCALL(SYS_connect, client, &name, (long)sizeof(name)), 0);
    EXPECT_ERROR(SYSCALL(SYS_connect, client, &name, (long)sizeof(name)), EISCONN);
    EXPECT_EQ(events_of(server), POLLIN);
    socklen_t bytes = sizeof(got);
    long fd = SYSCALL(SYS_accept4, server, &got, &bytes, (long)SOCK_CLOEXEC);
    EXPECT(fd >= 0);
    EXPECT_EQ(bytes, 2);
    EXPECT_EQ(fcntl((int)fd, F_GETFD), FD_CLOEXEC);
    EXPECT_EQ(write((int)client, "x", 1), 1);
    EXPECT_EQ(read((int)fd, &byte, 1), 1);
    bytes = sizeof(got);
    EXPECT_EQ(SYSCALL(SYS_getpeername, client, &got, &bytes), 0);
    EXPECT_EQ(bytes, 2 + sizeof(UNIX_PATH));
    EXPECT(strcmp(got.sun_path, UNIX_PATH) == 0);
    bytes = 4;
    EXPECT_EQ(SYSCALL(SYS_getsockname, fd, &got, &bytes), 0);
    EXPECT_EQ(bytes, 2 + sizeof(UNIX_PATH));
    EXPECT_ERROR(SYSCALL(SYS_bind, other, &name, (long)(2 + sizeof(UNIX_PATH))), EADDRINUSE);
    EXPECT_ERROR(SYSCALL(SYS_openat, (long)AT_FDCWD, UNIX_PATH, 0l, 0l), ENXIO);
    close((int)fd);
    close((int)server);
    EXPECT_ERROR(SYSCALL(SYS_connect, other, &name, (long)sizeof(name)), ECONNREFUSED);
    EXPECT_EQ(unlink(UNIX_PATH), 0);
    EXPECT_ERROR(SYSCALL(SYS_connect, other, &name, (long)sizeof(name)), ENOENT);
    close((int)client);
    close((int)other);
}

KTAP_CASE(an_abstract_name_goes_with_its_socket)
{
    struct sockaddr_un name;
    long server = unix_server("\0ktap-abstract", 14, &name);
    long client = make(AF_UNIX, SOCK_STREAM), other = make(AF_UNIX, SOCK_STREAM);

    EXPECT_ERROR(SYSCALL(SYS_bind, other, &name, 16l), EADDRINUSE);
    EXPECT_EQ(SYSCALL(SYS_connect, client, &name, 16l), 0);
    EXPECT_ERROR(SYSCALL(SYS_connect, other, &name, 15l), ECONNREFUSED);
    close((int)server);
    /* It was never accepted. */
    char byte;
    EXPECT_ERROR(receive(client, &byte, 1, 0), ECONNRESET);
    EXPECT_ERROR(SYSCALL(SYS_connect, other, &name, 16l), ECONNREFUSED);
    EXPECT_EQ(SYSCALL(SYS_bind, other, &name, 16l), 0);
    close((int)other);
    close((int)client);
}

KTAP_CASE(a_name_of_the_systems_choice)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    long fd = make(AF_UNIX, SOCK_DGRAM);
    socklen_t bytes = sizeof(name);

    EXPECT_EQ(SYSCALL(SYS_bind, fd, &name, 2l), 0);
    EXPECT_EQ(SYSCALL(SYS_getsockname, fd, &name, &bytes), 0);
    EXPECT_EQ(bytes, 8);
    EXPECT_EQ(name.sun_path[0], 0);
    close((int)fd);
}

KTAP_CASE(the_backlog_is_full)
{
    struct sockaddr_un name;
    long server = unix_server("\0ktap-backlog", 13, &name), fds[3], last = 0;
    int count = 0;

    for (; count < 3; count++) {
        fds[count] = make(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK);
        last = SYSCALL(SYS_connect, fds[count], &name, 15l);
        if (last)
            break;
    }
    EXPECT_ERROR(last, EAGAIN);
    EXPECT_EQ(count, 2);
    long fd = SYSCALL(SYS_accept, server, 0l, 0l);
    EXPECT(fd >= 0);
    EXPECT_EQ(SYSCALL(SYS_connect, fds[2], &name, 15l), 0);
    int pid = fork();
    if (pid == 0) {
        /* Waits until there is room. */
        long own = make(AF_UNIX, SOCK_STREAM);
        _exit(SYSCALL(SYS_connect, own, &name, 15l) == 0 ? 3 : 1);
    }
    struct timespec pause = {.tv_nsec = 20 * NS_PER_MS};
    int status = 0;
    nanosleep(&pause, NULL);
    close((int)SYSCALL(SYS_accept, server, 0l, 0l));
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 3 << 8);
    for (int i = 0; i < 3; i++)
        close((int)fds[i]);
    close((int)fd);
    close((int)server);
}

/* ---- messages of AF_UNIX ---- */

static void check_messages(int type)
{
    char data[8];
    int fds[2];

    REQUIRE(pair(type | SOCK_NONBLOCK, fds));
    EXPECT_EQ(send_to(fds[0], "one", 3, 0), 3);
    EXPECT_EQ(send_to(fds[0], "", 0, 0), 0);
    EXPECT_EQ(send_to(fds[0], "three", 5, 0), 5);
    EXPECT_EQ(receive(fds[1], data, 8, MSG_PEEK), 3);
    EXPECT_EQ(receive(fds[1], data, 8, 0), 3);
    EXPECT_EQ(receive(fds[1], data, 8, 0), 0);
    EXPECT_EQ(receive(fds[1], data, 2, MSG_TRUNC), 5);
    EXPECT(memcmp(data, "th", 2) == 0);
    EXPECT_ERROR(receive(fds[1], data, 8, 0), EAGAIN);
    EXPECT_EQ(send_to(fds[1], "back", 4, 0), 4);
    EXPECT_EQ(read(fds[0], data, 8), 4);
    close(fds[0]);
    if (type == SOCK_SEQPACKET) {
        EXPECT_EQ(receive(fds[1], data, 8, 0), 0);
        EXPECT_ERROR(send_to(fds[1], "x", 1, 0), EPIPE);
    } else {
        EXPECT_ERROR(send_to(fds[1], "x", 1, 0), ECONNREFUSED);
    }
    close(fds[1]);
}

KTAP_CASE(datagrams_stay_apart)
{
    check_messages(SOCK_DGRAM);
}

KTAP_CASE(packets_stay_apart)
{
    check_messages(SOCK_SEQPACKET);
}

KTAP_CASE(datagrams_are_few_and_bounded)
{
    static char big[300000];
    int fds[2], count = 0;
    long last;

    REQUIRE(pair(SOCK_DGRAM | SOCK_NONBLOCK, fds));
    EXPECT_ERROR(send_to(fds[0], big, sizeof(big), 0), EMSGSIZE);
    EXPECT_EQ(send_to(fds[0], big, 100000, 0), 100000);
    EXPECT_EQ(receive(fds[1], big, sizeof(big), 0), 100000);
    while ((last = send_to(fds[0], "x", 1, 0)) == 1)
        count++;
    EXPECT_ERROR(last, EAGAIN);
    EXPECT(count >= 11 && count < 1000);
    EXPECT_EQ(events_of(fds[0]), 0);
    EXPECT_EQ(receive(fds[1], big, 1, 0), 1);
    EXPECT_EQ(send_to(fds[0], "x", 1, 0), 1);
    close(fds[0]);
    close(fds[1]);
}

KTAP_CASE(datagrams_tell_their_sender)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0ktap-dgram"}, from;
    long server = make(AF_UNIX, SOCK_DGRAM), client = make(AF_UNIX, SOCK_DGRAM);
    long stream = make(AF_UNIX, SOCK_STREAM);
    socklen_t bytes = sizeof(from);
    char data[8];

    EXPECT_EQ(SYSCALL(SYS_bind, server, &name, 13l), 0);
    EXPECT_EQ(SYSCALL(SYS_sendto, client, "a", 1l, 0l, &name, 13l), 1);
    EXPECT_EQ(SYSCALL(SYS_recvfrom, server, data, 8l, 0l, &from, &bytes), 1);
    EXPECT_EQ(bytes, 0);
    EXPECT_ERROR(send_to(client, "a", 1, 0), ENOTCONN);
    EXPECT_EQ(SYSCALL(SYS_connect, client, &name, 13l), 0);
    name.sun_path[1] = 'K';
    EXPECT_EQ(SYSCALL(SYS_bind, client, &name, 13l), 0);
    EXPECT_EQ(send_to(client, "bc", 2, 0), 2);
    bytes = sizeof(from);
    EXPECT_EQ(SYSCALL(SYS_recvfrom, server, data, 8l, 0l, &from, &bytes), 2);
    EXPECT_EQ(bytes, 13);
    EXPECT(memcmp(from.sun_path, name.sun_path, 11) == 0);
    EXPECT_EQ(SYSCALL(SYS_sendto, server, "d", 1l, 0l, &from, (long)bytes), 1);
    EXPECT_EQ(receive(client, data, 8, 0), 1);
    EXPECT_ERROR(SYSCALL(SYS_connect, stream, &name, 13l), ECONNREFUSED);
    close((int)server);
    EXPECT_ERROR(send_to(client, "x", 1, 0), ECONNREFUSED);
    close((int)client);
    close((int)stream);
}

/* ---- TCP ---- */

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = port, .sin_addr = {127, 0, 0, 1}};
}

/* A listener at a port of the system's choice, which *name tells. */
static long tcp_server(struct sockaddr_in *name)
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
    EXPECT_ERROR(SYSCALL(SYS_getpeername, tcp, &name, &byte), ENOTCONN);
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
