/* Sockets of AF_UNIX (see sockets.h). */
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
