/* Sockets: life, connections, what poll sees (see socket.h). */
#include "user/linux/socket.h"

#include <stdlib.h>

#include "user/linux/lock.h"
#include "user/linux/poll.h"
#include "user/linux/process.h"
#include "user/linux/request.h"
#include "user/linux/time.h"

#define IN_EVENTS  (LINUX_POLLIN | LINUX_POLLRDNORM)
#define OUT_EVENTS (LINUX_POLLOUT | LINUX_POLLWRNORM | LINUX_POLLWRBAND)
#define ALL_EVENTS (IN_EVENTS | OUT_EVENTS | LINUX_POLLRDHUP | LINUX_POLLHUP | LINUX_POLLERR)

#define DEFAULT_BUFFER 212992 /* SO_SNDBUF, SO_RCVBUF as they are told */

struct socket *socket_create(uint16_t family, uint16_t type, uint16_t protocol)
{
    struct socket *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    s->family = family;
    s->type = type;
    s->protocol = protocol;
    s->local.family = family;
    s->send_bytes = s->receive_bytes = DEFAULT_BUFFER;
    watched_init(&s->watched);
    ring_init(&s->ring, SOCKET_RING_BYTES);
    TAILQ_INIT(&s->parcels);
    TAILQ_INIT(&s->arrivals);
    TAILQ_INIT(&s->knocking);
    socket_collect_enter(s);
    return s;
}

struct socket_rights *socket_rights_create(unsigned count)
{
    struct socket_rights *rights = malloc(sizeof(*rights) + count * sizeof(rights->file[0]));

    if (rights)
        rights->count = 0;
    return rights;
}

void socket_rights_add(struct socket_rights *rights, struct file *file)
{
    file_get(file);
    file->flying++;
    socket_collect_flight(file->kind == FILE_SOCKET);
    rights->file[rights->count++] = file;
}

void socket_rights_free(struct socket_rights *rights)
{
    if (!rights)
        return;
    for (unsigned i = 0; i < rights->count; i++) {
        struct file *file = rights->file[i];
        file->flying--;
        socket_collect_flight(-(file->kind == FILE_SOCKET));
        file_put(file);
    }
    free(rights);
}

void socket_point(struct socket *s, struct socket *to)
{
    if (s->peer)
        LIST_REMOVE(s, pointer);
    s->peer = to;
    if (to)
        LIST_INSERT_HEAD(&to->pointers, s, pointer);
}

void socket_pair(struct socket *a, struct socket *b)
{
    socket_point(a, b);
    socket_point(b, a);
    a->peer_pid = b->owner;
    b->peer_pid = a->owner;
    if (socket_connects(a))
        a->state = b->state = SOCKET_CONNECTED;
}

/* ---- the end ---- */

void socket_shut(struct socket *s, unsigned how)
{
    s->shut |= how;
    watched_wake(&s->watched, ALL_EVENTS);
}

void socket_reset(struct socket *s, int error)
{
    s->state = SOCKET_ENDED;
    s->error = error;
    socket_shut(s, SOCKET_SHUT_BOTH);
}

/* s goes while `other` points at it. What was not read, or is not waited for, was lost. */
static void leave(struct socket *s, struct socket *other)
{
    bool broken = ring_filled(&s->ring) || (s->linger[0] && !s->linger[1] && socket_is_inet(s));

    socket_point(other, NULL);
    if (!socket_connects(s)) {
        watched_wake(&other->watched, OUT_EVENTS); /* it waits for room no longer */
    } else if (broken) {
        socket_reset(other, LINUX_ECONNRESET);
    } else {
        /* The other end of TCP is told no more than that nothing comes any more. */
        socket_shut(other, socket_is_inet(s) ? SOCKET_SHUT_RECEIVE : SOCKET_SHUT_BOTH);
    }
}

static void close_listener(struct socket *s)
{
    struct socket *other;

    while ((other = TAILQ_FIRST(&s->knocking))) {
        TAILQ_REMOVE(&s->knocking, other, listed);
        other->listener = NULL;
        socket_reset(other, LINUX_ECONNREFUSED);
    }
    while ((other = TAILQ_FIRST(&s->arrivals))) {
        TAILQ_REMOVE(&s->arrivals, other, listed);
        other->listener = NULL;
        if (other->peer)
            socket_reset(other->peer, LINUX_ECONNRESET);
        socket_free(other);
    }
}

void socket_free(struct socket *s)
{
    struct socket *other;

    if (s->listener) /* an arrival goes with its listener, or has been taken */
        TAILQ_REMOVE(&s->listener->knocking, s, listed);
    socket_collect_leave(s);
    close_listener(s);
    socket_point(s, NULL);
    while ((other = LIST_FIRST(&s->pointers)))
        leave(s, other);
    watched_wake(&s->watched, 0);
    watched_end(&s->watched);
    socket_unbind(s);
    ring_free(&s->ring);
    socket_parcels_free(s);
    free(s);
}

static void close_file(struct file *file)
{
    socket_free(file->socket);
    socket_collect();
}

/* ---- connections ---- */

/* Make the other end of s and put it among the listener's arrivals. */
static long arrive(struct socket *s, struct socket *listener)
{
    struct socket *other = socket_create(listener->family, listener->type, listener->protocol);

    if (!other)
        return -LINUX_ENOMEM;
    other->owner = listener->owner;
    other->remote = s->local;
    other->reuse_address = listener->reuse_address;
    other->reuse_port = listener->reuse_port;
    other->v6_only = listener->v6_only;
    other->pass_credentials = listener->pass_credentials;
    other->send_bytes = listener->send_bytes;
    other->receive_bytes = listener->receive_bytes;
    other->kept = listener->kept;
    socket_bind_like(other, listener, s);
    socket_pair(s, other);
    other->listener = listener;
    TAILQ_INSERT_TAIL(&listener->arrivals, other, listed);
    listener->arrived++;
    watched_wake(&listener->watched, IN_EVENTS);
    watched_wake(&s->watched, OUT_EVENTS);
    return 0;
}

static bool has_room(const struct socket *listener)
{
    return listener->arrived <= listener->backlog;
}

long socket_arrive(struct socket *s, struct socket *listener)
{
    return has_room(listener) ? arrive(s, listener) : -LINUX_EAGAIN;
}

struct socket *socket_take_arrival(struct socket *listener)
{
    struct socket *s = TAILQ_FIRST(&listener->arrivals), *next;

    if (!s)
        return NULL;
    TAILQ_REMOVE(&listener->arrivals, s, listed);
    s->listener = NULL;
    listener->arrived--;
    while (has_room(listener) && (next = TAILQ_FIRST(&listener->knocking))) {
        TAILQ_REMOVE(&listener->knocking, next, listed);
        next->listener = NULL;
        if (arrive(next, listener))
            socket_reset(next, LINUX_ECONNREFUSED);
    }
    /* A connect() of AF_UNIX waits here for room. */
    watched_wake(&listener->watched, 0);
    return s;
}

long socket_take_error(struct socket *s)
{
    int error = s->error;

    s->error = 0;
    return -error;
}

/* ---- as a file ---- */

long socket_install(struct thread *t, struct socket *s, uint32_t flags)
{
    struct file *file =
        file_open(FILE_SOCKET, &socket_ops,
                  LINUX_O_RDWR | (flags & LINUX_SOCK_NONBLOCK ? LINUX_O_NONBLOCK : 0));

    if (!file) {
        socket_free(s);
        return -LINUX_ENFILE;
    }
    file->socket = s;
    s->file = file;
    return fd_install_new(t->process->files, file, (flags & LINUX_SOCK_CLOEXEC) != 0);
}

/* Can something be sent without waiting? A stream's sender is told when a good part is free. */
static bool has_send_room(const struct socket *s)
{
    if (!s->peer)
        return true;
    if (socket_is_stream(s))
        return ring_room(&s->peer->ring) >= s->peer->ring.limit / 4;
    return socket_has_message_room(s->peer, 1);
}

unsigned socket_poll(const struct file *file)
{
    const struct socket *s = file->socket;
    unsigned events = s->error ? LINUX_POLLERR : 0;

    if (s->state == SOCKET_LISTENS)
        return events | (TAILQ_EMPTY(&s->arrivals) ? 0 : IN_EVENTS);
    if (s->state == SOCKET_CONNECTING)
        return events;
    if (ring_filled(&s->ring) || !TAILQ_EMPTY(&s->parcels) || (s->shut & SOCKET_SHUT_RECEIVE))
        events |= IN_EVENTS;
    if (s->shut & SOCKET_SHUT_RECEIVE)
        events |= LINUX_POLLRDHUP;
    if (s->shut == SOCKET_SHUT_BOTH || (socket_connects(s) && s->state == SOCKET_OPEN))
        events |= LINUX_POLLHUP;
    if ((s->shut & SOCKET_SHUT_SEND) || has_send_room(s))
        events |= OUT_EVENTS;
    return events;
}

static struct watched *get_watched(const struct file *file)
{
    return &file->socket->watched;
}

/* Bytes go by socket_send() and socket_receive(), which know the whole of a call. */
const struct file_ops socket_ops = {
    .mode = LINUX_S_IFSOCK | 0777,
    .poll = socket_poll,
    .watched = get_watched,
    .close = close_file,
};

long socket_wait(struct thread *t, struct file *file, uint32_t flags, struct socket *at,
                 uint64_t limit)
{
    if ((file->flags & LINUX_O_NONBLOCK) || (flags & LINUX_MSG_DONTWAIT))
        return -LINUX_EAGAIN;
    if (!t->until)
        t->until = limit ? time_after(limit) : TIME_NEVER;
    if (deadline_passed(t))
        return -LINUX_EAGAIN;
    long result = request_wait_held(t, file, &at->watched.wait);
    return result == REQUEST_RESTART && limit ? REQUEST_INTERRUPTED : result;
}
