/* Addresses of AF_INET and AF_INET6 sockets; numbers are in the network's byte order. */
#ifndef PG_NETINET_IN_H
#define PG_NETINET_IN_H

#include <sys/socket.h>

#define IPPROTO_IP   0
#define IPPROTO_TCP  6
#define IPPROTO_UDP  17
#define IPPROTO_IPV6 41
#define IPV6_V6ONLY  26
#define TCP_NODELAY  1

struct sockaddr_in {
    sa_family_t sin_family;
    uint16_t sin_port;
    uint8_t sin_addr[4];
    uint8_t sin_zero[8];
};

struct sockaddr_in6 {
    sa_family_t sin6_family;
    uint16_t sin6_port;
    uint32_t sin6_flowinfo;
    uint8_t sin6_addr[16];
    uint32_t sin6_scope_id;
};

#endif
