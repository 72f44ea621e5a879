/*
 * Sockets inside the machine: AF_UNIX (stream, seqpacket, dgram) and the loopback of AF_INET and
 * AF_INET6 (TCP, UDP). There is no network; an address elsewhere cannot be reached.
 *
 * Every socket has a ring of received bytes, into which its peer writes straight. Beside it stands
 * a list of parcels: one for each message of a socket that keeps messages apart, and in a stream
 * one for each place that carries descriptors.
 *
 *   OPEN ──listen──▶ LISTENS
 *     └───connect──▶ (CONNECTING ─▶) CONNECTED ─▶ ENDED
 *
 * CONNECTING is only TCP's, while the listener has no room. ENDED: what was connected was reset.
 *
 * Ownership: a socket belongs to its file, or, until it is accepted, to its listener's arrivals.
 * `peer` points at where it sends to and is cleared when that goes: each socket lists those that
 * point at it. A socket is in the list of bound ones while it has a name that others find. Big lock
 * held in all functions.
 *
 * A socket may be on its way in a message that waits at a socket. Such circles are nobody's;
 * socket_collect.c finds them.
 *
 * Files: socket.c life and connections, socket_name.c addresses, socket_io.c moving bytes,
 * socket_message.c and socket_multiple.c the calls that do, socket_calls.c all other calls,
 * socket_option.c options.
 */
#ifndef LINUX_SOCKET_H
#define LINUX_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/linux/abi_socket.h"
#include "user/linux/file.h"
#include "user/linux/ring.h"
#include "user/linux/vector.h"
#include "user/linux/watch.h"

#define SOCKET_NUMBERS    12     /* options that are numbers and only kept */
#define SOCKET_RING_BYTES 262144 /* most that waits in one to be received */

enum socket_state {
    SOCKET_OPEN,
    SOCKET_LISTENS,
    SOCKET_CONNECTING,
    SOCKET_CONNECTED,
    SOCKET_ENDED
};

/* `shut` */
#define SOCKET_SHUT_RECEIVE 1
#define SOCKET_SHUT_SEND    2
#define SOCKET_SHUT_BOTH    3

/* A name in one form: inet addresses have 16 bytes, IPv4 as ::ffff:a.b.c.d. */
struct socket_name {
    uint16_t family; /* 0: none */
    uint16_t port;   /* inet */
    uint16_t bytes;  /* unix: of the path; 0: unnamed */
    union {
        uint8_t address[16];
        char path[108]; /* an abstract one begins with 0; else its NUL counts */
    };
};

/* Descriptors on their way. */
struct socket_rights {
    unsigned count;
    struct file *file[];
};

struct socket_parcel {
    TAILQ_ENTRY(socket_parcel) link;
    size_t before; /* stream: bytes between the parcel before, or the ring's head, and this */
    size_t bytes;  /* of the message; stream: of the call that sent the descriptors */
    struct socket_rights *rights; /* or NULL */
    int pid;                      /* of who sent it */
    struct socket_name from;
};

struct socket {
    struct file *file;             /* NULL: not accepted yet */
    LIST_ENTRY(socket) all, found; /* socket_collect.c */
    bool reachable;
    uint16_t family, type;
    uint16_t protocol;
    enum socket_state state;
    uint8_t shut;
    int error;          /* of SO_ERROR: positive, or 0 */
    bool connect_waits; /* a connect() that began it has yet to be told how it ended */
    struct watched watched;
    struct ring ring;
    TAILQ_HEAD(, socket_parcel) parcels;
    unsigned parcel_count;
    int sender; /* stream: pid of who wrote last */

    struct socket *peer;
    LIST_HEAD(, socket) pointers; /* whose peer this is */
    LIST_ENTRY(socket) pointer;
    struct socket_name local, remote;
    struct node *node; /* of a local path; used */
    bool bound;
    LIST_ENTRY(socket) bound_link;

    /* LISTENS; and a connecting or arrived socket's place in its listener's list. */
    TAILQ_HEAD(socket_list, socket) arrivals, knocking;
    unsigned backlog, arrived;
    struct socket *listener; /* in whose list it is */
    TAILQ_ENTRY(socket) listed;

    int owner, peer_pid; /* SO_PEERCRED */
    bool reuse_address, reuse_port, v6_only, pass_credentials;
    uint64_t receive_limit, send_limit; /* SO_RCVTIMEO, SO_SNDTIMEO in ticks; 0: none */
    uint32_t send_bytes, receive_bytes; /* SO_SNDBUF, SO_RCVBUF as they are told */
    int32_t linger[2];
    /* Options that are kept and change nothing (socket_option.c): switches, a bit each; and
     * numbers, of which a bit each says that it was given one. */
    uint32_t kept, numbered;
    int32_t number[SOCKET_NUMBERS];
};

/* One message, to send or as received. */
struct socket_message {
    const struct vector *data;
    struct space *space;          /* where the data is */
    uint32_t flags;               /* LINUX_MSG_* */
    struct socket_name name;      /* family 0: none */
    struct socket_rights *rights; /* or NULL */
    int pid;                      /* received: of who sent it */
    uint32_t told;                /* received: LINUX_MSG_* of the answer */
};

static inline bool socket_is_inet(const struct socket *s)
{
    return s->family != LINUX_AF_UNIX;
}
static inline bool socket_is_stream(const struct socket *s)
{
    return s->type == LINUX_SOCK_STREAM;
}
/* Has it connections, rather than only a place to send to? */
static inline bool socket_connects(const struct socket *s)
{
    return s->type != LINUX_SOCK_DGRAM;
}

/* ---- socket.c ---- */

extern const struct file_ops socket_ops;

/* Without a file; NULL without memory. */
struct socket *socket_create(uint16_t family, uint16_t type, uint16_t protocol);
void socket_free(struct socket *s);
/* A file for it, of which it is from now on: the new descriptor; else -errno, and it is freed. */
long socket_install(struct thread *t, struct socket *s, uint32_t flags);
/* From now on s sends to `to`; NULL: to nobody. */
void socket_point(struct socket *s, struct socket *to);
/* Both send to each other. */
void socket_pair(struct socket *a, struct socket *b);
/* A connection of s to that listener: 0, -EAGAIN if it has no room, or -ENOMEM. */
long socket_arrive(struct socket *s, struct socket *listener);
/* The next who arrived at a listener, or NULL; makes room for one that is knocking. */
struct socket *socket_take_arrival(struct socket *listener);
void socket_shut(struct socket *s, unsigned how);
/* The connection is broken: both directions end, with that error. */
void socket_reset(struct socket *s, int error);
/* SO_ERROR, taken: -errno or 0. */
long socket_take_error(struct socket *s);
/* Descriptors set out: room for `count`, and each file, of which it takes a use; NULL without
 * memory. */
struct socket_rights *socket_rights_create(unsigned count);
void socket_rights_add(struct socket_rights *rights, struct file *file);
void socket_rights_free(struct socket_rights *rights);
unsigned socket_poll(const struct file *file);
/* The request on `file` cannot go on: -EAGAIN, or as request_wait() for a change of `at`. `limit`
 * as receive_limit. */
long socket_wait(struct thread *t, struct file *file, uint32_t flags, struct socket *at,
                 uint64_t limit);

/* ---- socket_collect.c ---- */

void socket_collect_enter(struct socket *s);
void socket_collect_leave(struct socket *s);
/* A socket's file of descriptors sets out, or has arrived. */
void socket_collect_flight(int change);
/* Close sockets that can only be reached by messages at each other. */
void socket_collect(void);

/* ---- socket_calls.c, socket_message.c ---- */

/* The socket of a call's descriptor: 0, -EBADF or -ENOTSOCK. */
long socket_of(struct thread *t, uint64_t fd, struct file **file, struct socket **s);
/* What read, write and their kin do with a socket. */
long socket_transfer(struct thread *t, struct file *file, const struct vector *v, bool write);
/* One message by the struct msghdr at a client's address: sendmsg and recvmsg. */
long socket_send_message(struct thread *t, struct file *file, uint64_t address, uint32_t flags);
long socket_receive_message(struct thread *t, struct file *file, uint64_t address, uint32_t flags);
/* What sendfile does: send bytes of ours, without waiting. Bytes or -errno. */
long socket_put(struct thread *t, struct file *file, const struct vector *v);

/* ---- socket_name.c ---- */

/* A client's address, of the socket's family (or AF_UNSPEC if that is allowed): 0 or -errno. */
long socket_name_in(struct thread *t, const struct socket *s, uint64_t address, uint64_t bytes,
                    bool unspecified, struct socket_name *name);
/* To where the client wants it, and its whole length to the word at bytes_at; -errno. */
long socket_name_out(struct thread *t, const struct socket *s, const struct socket_name *name,
                     uint64_t address, uint64_t bytes_at);
/* The same, given the room: the whole length or -errno. */
long socket_name_put(struct thread *t, const struct socket *s, const struct socket_name *name,
                     uint64_t address, uint32_t room);
long socket_bind(struct thread *t, struct socket *s, const struct socket_name *name);
/* A name of the system's choice: 0 or -errno. */
long socket_autobind(struct socket *s);
/* The local name of s, made by `listener` for the connection of `other`. */
void socket_bind_like(struct socket *s, const struct socket *listener, const struct socket *other);
void socket_unbind(struct socket *s);
/* Does another one listen at s's name, so that s cannot? */
bool socket_listens_there(const struct socket *s);
/* Who has that name, for a socket like s: a listener, or a receiver of messages. "Any" address
 * becomes the one that is meant. 0 or -errno. */
long socket_find(struct thread *t, struct socket *s, struct socket_name *name,
                 struct socket **found);
/* The local end of what goes to that address, where "any" address does. */
void socket_name_choose(struct socket_name *local, const struct socket_name *to);

/* ---- socket_io.c ---- */

/* The whole of a call: bytes, -errno, or what request_wait() gives. On success a sent message's
 * rights are taken. */
long socket_send(struct thread *t, struct file *file, struct socket_message *m);
long socket_receive(struct thread *t, struct file *file, struct socket_message *m);
void socket_parcels_free(struct socket *s);
/* Does a socket that keeps messages apart take one of so many bytes now? */
bool socket_has_message_room(const struct socket *s, size_t bytes);
/* FIONREAD */
long socket_readable(const struct socket *s);

#endif
