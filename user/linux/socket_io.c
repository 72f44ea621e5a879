/*
 * Moving bytes from socket to socket (see socket.h).
 *
 * t->progress counts the bytes of a stream that a call which had to wait has moved. What a call
 * does to the sockets happens in one run, or after it is known that it can be done.
 */
#include "user/linux/socket.h"

#include <stdlib.h>

#include "user/linux/process.h"
#include "user/linux/request.h"
#include "user/linux/signal.h"

#define IN_EVENTS  (LINUX_POLLIN | LINUX_POLLRDNORM)
#define OUT_EVENTS (LINUX_POLLOUT | LINUX_POLLWRNORM | LINUX_POLLWRBAND)

#define UNIX_MESSAGES 11 /* datagrams that wait for one receiver, as on Linux by default */
#define MESSAGES      256

/* ---- parcels ---- */

static void parcel_remove(struct socket *s, struct socket_parcel *parcel)
{
    TAILQ_REMOVE(&s->parcels, parcel, link);
    s->parcel_count--;
    socket_rights_free(parcel->rights);
    free(parcel);
}

void socket_parcels_free(struct socket *s)
{
    struct socket_parcel *parcel;

    while ((parcel = TAILQ_FIRST(&s->parcels)))
        parcel_remove(s, parcel);
}

static void parcel_add(struct socket *s, struct socket_parcel *parcel)
{
    TAILQ_INSERT_TAIL(&s->parcels, parcel, link);
    s->parcel_count++;
}

/* A stream's bytes behind its last parcel. */
static size_t after_last(const struct socket *s)
{
    const struct socket_parcel *parcel;
    size_t before = 0;

    TAILQ_FOREACH(parcel, &s->parcels, link)
    {
        before += parcel->before;
    }
    return ring_filled(&s->ring) - before;
}

/* ---- sending to a stream ---- */

/* Why s can send nothing at all, or 0. */
static long send_error(struct socket *s)
{
    if (s->error)
        return socket_take_error(s);
    if (s->shut & SOCKET_SHUT_SEND)
        return -LINUX_EPIPE;
    if (s->state == SOCKET_CONNECTING)
        return -LINUX_EAGAIN;
    if (s->state != SOCKET_CONNECTED)
        return socket_is_inet(s) ? -LINUX_EPIPE : -LINUX_ENOTCONN;
    return 0;
}

/* As many as the peer has room for: bytes, or -errno. */
static long stream_put(struct thread *t, struct socket *s, struct socket_message *m)
{
    struct socket_parcel *parcel = NULL;
    struct socket *to = s->peer;
    uint64_t address;
    long done = 0;

    if (!to) { /* its end of the connection has gone, and now tells so */
        socket_reset(s, LINUX_EPIPE);
        return (long)(m->data->bytes - t->progress);
    }
    if (ring_room(&to->ring) == 0)
        return -LINUX_EAGAIN;
    if (m->rights) {
        parcel = calloc(1, sizeof(*parcel));
        if (!parcel)
            return -LINUX_ENOMEM;
        parcel->before = after_last(to);
        parcel->rights = m->rights;
    }
    for (;;) {
        size_t bytes = vector_piece(m->data, t->progress + (uint64_t)done, &address);
        long put = bytes ? ring_write(&to->ring, m->space, address, bytes) : 0;
        if (put < 0 && !done) {
            free(parcel);
            return put;
        }
        done += put > 0 ? put : 0;
        if (put <= 0 || (size_t)put < bytes)
            break;
    }
    if (parcel) {
        parcel->bytes = (size_t)done;
        parcel_add(to, parcel);
        m->rights = NULL;
    }
    to->sender = t->process->pid;
    watched_wake(&to->watched, IN_EVENTS);
    return done;
}

static long stream_send(struct thread *t, struct file *file, struct socket_message *m)
{
    struct socket *s = file->socket;
    struct signal_info info = {.code = LINUX_SI_USER, .pid = t->process->pid};
    long result;

    do {
        result = send_error(s);
        if (result || !m->data->bytes)
            break;
        result = stream_put(t, s, m);
        if (result < 0)
            break;
        t->progress += (uint64_t)result;
    } while (t->progress < m->data->bytes);
    if (result == -LINUX_EPIPE && !t->progress && !(m->flags & LINUX_MSG_NOSIGNAL))
        signal_send_thread(t, LINUX_SIGPIPE, &info);
    if (result == -LINUX_EAGAIN) {
        result = socket_wait(t, file, m->flags, s, s->send_limit);
        if (result == REQUEST_WAITS)
            return result;
    }
    return t->progress ? (long)t->progress : result < 0 ? result : 0;
}

/* ---- sending a message ---- */

bool socket_has_message_room(const struct socket *s, size_t bytes)
{
    bool few = s->family == LINUX_AF_UNIX && s->type == LINUX_SOCK_DGRAM;

    return s->parcel_count < (few ? UNIX_MESSAGES : MESSAGES) && ring_room(&s->ring) >= bytes;
}

static long message_put(struct thread *t, struct socket *s, struct socket *to,
                        struct socket_message *m)
{
    struct socket_parcel *parcel = calloc(1, sizeof(*parcel));
    size_t bytes = m->data->bytes;
    uint64_t done = 0, address;

    if (!parcel || !ring_reserve(&to->ring, bytes)) {
        free(parcel);
        return -LINUX_ENOBUFS;
    }
    while (done < bytes) {
        size_t part = vector_piece(m->data, done, &address);
        long put = ring_write(&to->ring, m->space, address, part);
        done += put > 0 ? (uint64_t)put : 0;
        if (put < 0 || (size_t)put < part) {
            ring_unput(&to->ring, done);
            free(parcel);
            return -LINUX_EFAULT;
        }
    }
    parcel->bytes = bytes;
    parcel->rights = m->rights;
    parcel->pid = t->process->pid;
    parcel->from = s->local;
    socket_name_choose(&parcel->from, m->name.family ? &m->name : &s->remote);
    m->rights = NULL;
    parcel_add(to, parcel);
    watched_wake(&to->watched, IN_EVENTS);
    return (long)bytes;
}

/* To whom the message goes: 0 or -errno. UDP loses what nobody wants to have: *to is NULL. */
static long receiver_of(struct thread *t, struct socket *s, struct socket_message *m,
                        struct socket **to)
{
    struct socket_name name = m->name.family ? m->name : s->remote;

    *to = s->peer;
    if (m->name.family && socket_connects(s))
        return s->state == SOCKET_CONNECTED ? -LINUX_EISCONN : -LINUX_EOPNOTSUPP;
    if (socket_is_inet(s)) {
        if (!name.family)
            return -LINUX_EDESTADDRREQ;
        if (!name.port)
            return -LINUX_EINVAL;
        long error = socket_autobind(s);
        if (!error)
            error = socket_find(t, s, &name, to);
        if (error != -LINUX_ECONNREFUSED)
            return error;
        *to = NULL;
        if (!m->name.family) { /* who is connected hears of it, the next time */
            s->error = LINUX_ECONNREFUSED;
            watched_wake(&s->watched, LINUX_POLLERR);
        }
        return 0;
    }
    if (m->name.family)
        return socket_find(t, s, &name, to);
    if (*to)
        return 0;
    return s->remote.family ? -LINUX_ECONNREFUSED : -LINUX_ENOTCONN;
}

static long message_send(struct thread *t, struct file *file, struct socket_message *m)
{
    struct socket *s = file->socket, *to;

    if (s->error)
        return socket_take_error(s);
    if (s->shut & SOCKET_SHUT_SEND)
        return -LINUX_EPIPE;
    if (socket_connects(s) && s->state != SOCKET_CONNECTED)
        return -LINUX_ENOTCONN;
    long error = receiver_of(t, s, m, &to);
    if (error)
        return error;
    if (m->data->bytes > (socket_is_inet(s) ? 65507 : s->send_bytes - 32))
        return -LINUX_EMSGSIZE;
    if (!to)
        return (long)m->data->bytes;
    if (to->shut & SOCKET_SHUT_RECEIVE)
        return -LINUX_EPIPE;
    /* Who is connected elsewhere listens to its peer alone. */
    if (!socket_is_inet(s) && to->peer && to->peer != s)
        return -LINUX_EPERM;
    if (!socket_has_message_room(to, m->data->bytes)) {
        if (socket_is_inet(s))
            return (long)m->data->bytes;
        return socket_wait(t, file, m->flags, to, s->send_limit);
    }
    return message_put(t, s, to, m);
}

long socket_send(struct thread *t, struct file *file, struct socket_message *m)
{
    struct socket *s = file->socket;

    if (m->flags & LINUX_MSG_OOB)
        return -LINUX_EOPNOTSUPP;
    if (!socket_is_stream(s))
        return message_send(t, file, m);
    if (m->name.family && !socket_is_inet(s))
        return s->state == SOCKET_CONNECTED ? -LINUX_EISCONN : -LINUX_EOPNOTSUPP;
    return stream_send(t, file, m);
}

/* ---- receiving ---- */

/* From the ring's bytes at `from` on to the message's from `to` on, at most `bytes`: how many. */
static size_t copy_out_bytes(const struct socket_message *m, const struct socket *s, size_t from,
                             uint64_t to, size_t bytes)
{
    uint64_t address;
    size_t done = 0;

    while (done < bytes) {
        size_t part = vector_piece(m->data, to + done, &address);
        if (part > bytes - done)
            part = bytes - done;
        if (!part)
            break;
        size_t copied = ring_copy_out(&s->ring, from + done, m->space, address, part);
        done += copied;
        if (copied < part)
            break;
    }
    return done;
}

/* Something was taken out of s: who sends to it may go on. */
static void drained(struct socket *s)
{
    struct socket *from;

    if (!socket_connects(s))
        watched_wake(&s->watched, 0); /* senders that are not connected to it wait here */
    LIST_FOREACH(from, &s->pointers, pointer)
    {
        watched_wake(&from->watched, OUT_EVENTS);
    }
}

/* What of the stream can be received at once: up to the next descriptors, or, when those at its
 * head are received now, what was sent with them. */
static size_t stream_take_parcel(struct socket *s, struct socket_message *m)
{
    struct socket_parcel *parcel = TAILQ_FIRST(&s->parcels);
    size_t bytes = ring_filled(&s->ring);

    if (parcel && parcel->before)
        return parcel->before;
    if (parcel && !(m->flags & LINUX_MSG_PEEK)) {
        bytes = parcel->bytes;
        m->rights = parcel->rights;
        parcel->rights = NULL;
        parcel_remove(s, parcel);
    }
    return bytes;
}

/* Nothing is there: why. */
static long receive_error(struct socket *s)
{
    if (s->error)
        return socket_take_error(s);
    if ((s->shut & SOCKET_SHUT_RECEIVE) || s->state == SOCKET_ENDED)
        return 0;
    if (s->state != SOCKET_CONNECTED && s->state != SOCKET_CONNECTING)
        return socket_is_inet(s) || !socket_is_stream(s) ? -LINUX_ENOTCONN : -LINUX_EINVAL;
    return -LINUX_EAGAIN;
}

static long stream_receive(struct thread *t, struct file *file, struct socket_message *m)
{
    struct socket *s = file->socket;
    bool peek = (m->flags & LINUX_MSG_PEEK) != 0;
    bool all = (m->flags & LINUX_MSG_WAITALL) && !peek;
    long result = 0;

    while (t->progress < m->data->bytes) {
        if (ring_filled(&s->ring) == 0) {
            result = receive_error(s);
            break;
        }
        size_t most = stream_take_parcel(s, m);
        size_t want = m->data->bytes - t->progress;
        size_t done = copy_out_bytes(m, s, 0, t->progress, want < most ? want : most);
        m->pid = s->sender;
        if (!done) {
            result = -LINUX_EFAULT;
            break;
        }
        t->progress += done;
        if (peek)
            break;
        if (TAILQ_FIRST(&s->parcels))
            TAILQ_FIRST(&s->parcels)->before -= done;
        ring_drop(&s->ring, done);
        drained(s);
        if (m->rights)
            break; /* the next are another call's */
    }
    if (result == -LINUX_EAGAIN && (!t->progress || all) && !m->rights) {
        result = socket_wait(t, file, m->flags, s, s->receive_limit);
        if (result == REQUEST_WAITS)
            return result;
    }
    return t->progress ? (long)t->progress : result;
}

static long message_receive(struct thread *t, struct file *file, struct socket_message *m)
{
    struct socket *s = file->socket;
    struct socket_parcel *parcel = TAILQ_FIRST(&s->parcels);

    if (!parcel) {
        long result = socket_connects(s)                ? receive_error(s)
                      : s->error                        ? socket_take_error(s)
                      : (s->shut & SOCKET_SHUT_RECEIVE) ? 0
                                                        : -LINUX_EAGAIN;
        return result == -LINUX_EAGAIN ? socket_wait(t, file, m->flags, s, s->receive_limit)
                                       : result;
    }
    size_t bytes = parcel->bytes < m->data->bytes ? parcel->bytes : m->data->bytes;
    bool good = copy_out_bytes(m, s, 0, 0, bytes) == bytes;
    long result = m->flags & LINUX_MSG_TRUNC ? (long)parcel->bytes : (long)bytes;
    m->told |= bytes < parcel->bytes ? LINUX_MSG_TRUNC : 0;
    m->name = parcel->from;
    m->pid = parcel->pid;
    if (!(m->flags & LINUX_MSG_PEEK)) {
        ring_drop(&s->ring, parcel->bytes);
        m->rights = parcel->rights;
        parcel->rights = NULL;
        parcel_remove(s, parcel);
        drained(s);
    }
    return good ? result : -LINUX_EFAULT;
}

long socket_receive(struct thread *t, struct file *file, struct socket_message *m)
{
    struct socket *s = file->socket;

    if (m->flags & LINUX_MSG_OOB)
        return socket_is_inet(s) ? -LINUX_EINVAL : -LINUX_EOPNOTSUPP;
    if (m->flags & LINUX_MSG_ERRQUEUE)
        return socket_is_inet(s) ? -LINUX_EAGAIN : 0;
    return socket_is_stream(s) ? stream_receive(t, file, m) : message_receive(t, file, m);
}

long socket_readable(const struct socket *s)
{
    if (s->state == SOCKET_LISTENS)
        return -LINUX_EINVAL;
    if (socket_is_stream(s))
        return (long)ring_filled(&s->ring);
    return TAILQ_EMPTY(&s->parcels) ? 0 : (long)TAILQ_FIRST(&s->parcels)->bytes;
}
