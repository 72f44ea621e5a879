/* The Linux riscv64 ABI of sockets (see abi.h). */
#ifndef LINUX_ABI_SOCKET_H
#define LINUX_ABI_SOCKET_H

#include <stdint.h>

#define LINUX_AF_UNSPEC 0
#define LINUX_AF_UNIX   1
#define LINUX_AF_INET   2
#define LINUX_AF_INET6  10

#define LINUX_SOCK_STREAM    1
#define LINUX_SOCK_DGRAM     2
#define LINUX_SOCK_SEQPACKET 5
#define LINUX_SOCK_TYPE      0xf
#define LINUX_SOCK_NONBLOCK  04000
#define LINUX_SOCK_CLOEXEC   02000000

#define LINUX_IPPROTO_IP   0
#define LINUX_IPPROTO_TCP  6
#define LINUX_IPPROTO_UDP  17
#define LINUX_IPPROTO_IPV6 41

struct linux_sockaddr_un {
    uint16_t family;
    char path[108];
};

struct linux_sockaddr_in {
    uint16_t family;
    uint16_t port; /* of the network's byte order */
    uint8_t address[4];
    uint8_t zero[8];
};

struct linux_sockaddr_in6 {
    uint16_t family;
    uint16_t port;
    uint32_t flow;
    uint8_t address[16];
    uint32_t scope;
};
_Static_assert(sizeof(struct linux_sockaddr_in6) == 28, "struct sockaddr_in6");

#define LINUX_SOCKADDR_IN6_MIN 24 /* without the scope */
#define LINUX_SOCKADDR_STORAGE 128

#define LINUX_SOL_SOCKET        1
#define LINUX_SO_DEBUG          1
#define LINUX_SO_REUSEADDR      2
#define LINUX_SO_TYPE           3
#define LINUX_SO_ERROR          4
#define LINUX_SO_DONTROUTE      5
#define LINUX_SO_BROADCAST      6
#define LINUX_SO_SNDBUF         7
#define LINUX_SO_RCVBUF         8
#define LINUX_SO_KEEPALIVE      9
#define LINUX_SO_OOBINLINE      10
#define LINUX_SO_PRIORITY       12
#define LINUX_SO_LINGER         13
#define LINUX_SO_REUSEPORT      15
#define LINUX_SO_PASSCRED       16
#define LINUX_SO_PEERCRED       17
#define LINUX_SO_RCVLOWAT       18
#define LINUX_SO_SNDLOWAT       19
#define LINUX_SO_RCVTIMEO       20
#define LINUX_SO_SNDTIMEO       21
#define LINUX_SO_ACCEPTCONN     30
#define LINUX_SO_SNDBUFFORCE    32
#define LINUX_SO_RCVBUFFORCE    33
#define LINUX_SO_PROTOCOL       38
#define LINUX_SO_DOMAIN         39
#define LINUX_IP_TTL            2
#define LINUX_IP_MTU_DISCOVER   10
#define LINUX_IP_RECVERR        11
#define LINUX_IP_FREEBIND       15
#define LINUX_TCP_NODELAY       1
#define LINUX_TCP_MAXSEG        2
#define LINUX_TCP_CORK          3
#define LINUX_TCP_KEEPIDLE      4
#define LINUX_TCP_KEEPINTVL     5
#define LINUX_TCP_KEEPCNT       6
#define LINUX_TCP_SYNCNT        7
#define LINUX_TCP_DEFER_ACCEPT  9
#define LINUX_TCP_INFO          11
#define LINUX_TCP_QUICKACK      12
#define LINUX_TCP_USER_TIMEOUT  18
#define LINUX_TCP_FASTOPEN      23
#define LINUX_TCP_NOTSENT_LOWAT 25

enum linux_tcp_state {
    LINUX_TCP_ESTABLISHED = 1,
    LINUX_TCP_SYN_SENT = 2,
    LINUX_TCP_FIN_WAIT2 = 5,
    LINUX_TCP_CLOSE = 7,
    LINUX_TCP_CLOSE_WAIT = 8,
    LINUX_TCP_LISTEN = 10,
};

/* The first part of struct tcp_info, which is all of it that older systems have. */
struct linux_tcp_info {
    uint8_t state, congestion_state, retransmits, probes, backoff, options, scales, flags;
    uint32_t retransmit_us, ack_us, send_segment, receive_segment;
    uint32_t unacknowledged, selective, lost, retransmitted, forward;
    uint32_t last_sent_ms, last_ack_sent_ms, last_received_ms, last_ack_received_ms;
    uint32_t path_bytes, receive_threshold, round_trip_us, round_trip_deviation_us;
    uint32_t send_threshold, window, advertised_segment, reordering;
    uint32_t receive_round_trip_us, receive_room, retransmitted_total;
};
_Static_assert(sizeof(struct linux_tcp_info) == 104, "struct tcp_info");
#define LINUX_IPV6_UNICAST_HOPS 16
#define LINUX_IPV6_MTU_DISCOVER 23
#define LINUX_IPV6_RECVERR      25
#define LINUX_IPV6_V6ONLY       26
#define LINUX_IPV6_TCLASS       67

#define LINUX_SHUT_RD   0
#define LINUX_SHUT_WR   1
#define LINUX_SHUT_RDWR 2

#define LINUX_MSG_OOB          0x1
#define LINUX_MSG_PEEK         0x2
#define LINUX_MSG_CTRUNC       0x8
#define LINUX_MSG_TRUNC        0x20
#define LINUX_MSG_DONTWAIT     0x40
#define LINUX_MSG_EOR          0x80
#define LINUX_MSG_WAITALL      0x100
#define LINUX_MSG_ERRQUEUE     0x2000
#define LINUX_MSG_NOSIGNAL     0x4000
#define LINUX_MSG_WAITFORONE   0x10000
#define LINUX_MSG_CMSG_CLOEXEC 0x40000000

#define LINUX_SCM_RIGHTS      1
#define LINUX_SCM_CREDENTIALS 2
#define LINUX_SCM_MAX_FD      253
#define LINUX_SOMAXCONN       4096

struct linux_ucred {
    int32_t pid;
    uint32_t uid, gid;
};

struct linux_msghdr {
    uint64_t name;
    uint32_t name_bytes;
    uint32_t pad;
    uint64_t iov;
    uint64_t iov_count;
    uint64_t control;
    uint64_t control_bytes;
    uint32_t flags;
    uint32_t pad2;
};
_Static_assert(sizeof(struct linux_msghdr) == 56, "struct msghdr of riscv64");

struct linux_mmsghdr {
    struct linux_msghdr header;
    uint32_t bytes;
    uint32_t pad;
};

struct linux_cmsghdr {
    uint64_t bytes; /* with this header */
    int32_t level;
    int32_t type;
};

#endif
