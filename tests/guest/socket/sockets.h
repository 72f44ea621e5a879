/*
 * Sockets inside the machine: AF_UNIX of all three types (unix.c), the loopback of TCP and UDP
 * (inet.c), options and bad calls (calls.c), and here what these share. What messages carry beside
 * their bytes is in socket_message.c.
 */
#ifndef SOCKETS_H
#define SOCKETS_H

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "ktap.h"
#include "pg.h"

#define BAD_PTR   16l
#define NS_PER_MS 1000000l
#define UNIX_PATH "/tmp/ktap-socket"

long make(int family, int type);
bool pair(int type, int fds[2]);
long send_to(long fd, const void *data, size_t bytes, int flags);
long receive(long fd, void *data, size_t bytes, int flags);
int events_of(long fd);
long option(long fd, int level, int name);
long set_option(long fd, int level, int name, int value);
void set_nonblocking(long fd);
struct sockaddr_in loopback(uint16_t port);
/* A TCP listener at a port of the system's choice, which *name tells. */
long tcp_server(struct sockaddr_in *name);

#endif
