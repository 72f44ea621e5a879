/* The calls on sockets but those that move bytes and those on options (see socket.h). */
#include "user/linux/socket.h"

#include <stdlib.h>

#include "user/linux/calls.h"
#include "user/linux/process.h"
#include "user/linux/request.h"
#include "user/linux/space.h"

/* The socket of a call's descriptor: 0, -EBADF or -ENOTSOCK. */
long socket_of(struct thread *t, uint64_t fd, struct file **file, struct socket **s)
{
    *file = request_file(t, (int32_t)fd);
    if (!*file || ((*file)->flags & LINUX_O_PATH))
        return -LINUX_EBADF;
    if ((*file)->kind != FILE_SOCKET)
        return -LINUX_ENOTSOCK;
    *s = (*file)->socket;
    return 0;
}

/* ---- making ---- */

/* The protocol that is meant: 0 or -errno. */
static long check_kind(uint32_t family, uint32_t type, uint32_t *protocol)
{
    uint32_t own = type == LINUX_SOCK_STREAM ? LINUX_IPPROTO_TCP : LINUX_IPPROTO_UDP;

    switch (family) {
    case LINUX_AF_UNIX:
        if (*protocol && *protocol != LINUX_AF_UNIX)
            return -LINUX_EPROTONOSUPPORT;
        *protocol = 0;
        return type == LINUX_SOCK_STREAM || type == LINUX_SOCK_DGRAM || type == LINUX_SOCK_SEQPACKET
                   ? 0
                   : -LINUX_ESOCKTNOSUPPORT;
    case LINUX_AF_INET:
    case LINUX_AF_INET6:
        if (type != LINUX_SOCK_STREAM && type != LINUX_SOCK_DGRAM)
            return -LINUX_ESOCKTNOSUPPORT;
        if (*protocol && *protocol != own)
            return -LINUX_EPROTONOSUPPORT;
        *protocol = own;
        return 0;
    default:
        return -LINUX_EAFNOSUPPORT;
    }
}

static long make(struct thread *t, const uint64_t *a, struct socket **s)
{
    uint32_t type = (uint32_t)a[1] & LINUX_SOCK_TYPE, protocol = (uint32_t)a[2];
    uint32_t flags = (uint32_t)a[1] & ~(uint32_t)LINUX_SOCK_TYPE;

    if (flags & ~(uint32_t)(LINUX_SOCK_NONBLOCK | LINUX_SOCK_CLOEXEC))
        return -LINUX_EINVAL;
    long error = check_kind((uint32_t)a[0], type, &protocol);
    if (error)
        return error;
    *s = socket_create((uint16_t)a[0], (uint16_t)type, (uint16_t)protocol);
    if (!*s)
        return -LINUX_ENOMEM;
    (*s)->owner = t->process->pid;
    return 0;
}

long linux_socket(struct thread *t, const uint64_t *a)
{
    struct socket *s;
    long error = make(t, a, &s);

    return error ? error : socket_install(t, s, (uint32_t)a[1]);
}

long linux_socketpair(struct thread *t, const uint64_t *a)
{
    struct socket *one, *two;
    int32_t fds[2];
    long error = make(t, a, &one);

    if (error)
        return error;
    if (socket_is_inet(one)) {
        socket_free(one);
        return -LINUX_EOPNOTSUPP;
    }
    error = make(t, a, &two);
    if (error) {
        socket_free(one);
        return error;
    }
    socket_pair(one, two);
    one->remote.family = two->remote.family = LINUX_AF_UNIX;
    long first = socket_install(t, one, (uint32_t)a[1]);
    if (first < 0) {
        socket_free(two);
        return first;
    }
    long second = socket_install(t, two, (uint32_t)a[1]);
    if (second >= 0) {
        fds[0] = (int32_t)first;
        fds[1] = (int32_t)second;
        if (copy_out(t->process->space, a[3], fds, sizeof(fds)) == 0)
            return 0;
        fd_close(t->process->files, second);
        second = -LINUX_EFAULT;
    }
    fd_close(t->process->files, first);
    return second;
}

/* ---- names ---- */

long linux_bind(struct thread *t, const uint64_t *a)
{
    struct socket_name name;
    struct socket *s;
    struct file *file;
    long error = socket_of(t, a[0], &file, &s);

    if (error)
        return error;
    /* The family alone: a name of the system's choice. */
    if (s->family == LINUX_AF_UNIX && (uint32_t)a[2] == sizeof(uint16_t)) {
        uint16_t family;
        if (copy_in(t->process->space, &family, a[1], sizeof(family)))
            return -LINUX_EFAULT;
        return family == LINUX_AF_UNIX ? socket_autobind(s) : -LINUX_EINVAL;
    }
    error = socket_name_in(t, s, a[1], (uint32_t)a[2], false, &name);
    return error ? error : socket_bind(t, s, &name);
}

long linux_getsockname(struct thread *t, const uint64_t *a)
{
    struct socket *s;
    struct file *file;
    long error = socket_of(t, a[0], &file, &s);

    return error ? error : socket_name_out(t, s, &s->local, a[1], a[2]);
}

long linux_getpeername(struct thread *t, const uint64_t *a)
{
    struct socket *s;
    struct file *file;
    long error = socket_of(t, a[0], &file, &s);

    if (error)
        return error;
    bool connected = socket_connects(s) ? s->state == SOCKET_CONNECTED : s->remote.family != 0;
    return connected ? socket_name_out(t, s, &s->remote, a[1], a[2]) : -LINUX_ENOTCONN;
}

/* ---- connecting ---- */

long linux_listen(struct thread *t, const uint64_t *a)
{
    struct socket *s;
    struct file *file;
    long error = socket_of(t, a[0], &file, &s);

    if (error)
        return error;
    if (!socket_connects(s))
        return -LINUX_EOPNOTSUPP;
    if (s->state != SOCKET_OPEN && s->state != SOCKET_LISTENS)
        return -LINUX_EINVAL;
    if (!s->bound) {
        if (!socket_is_inet(s))
            return -LINUX_EINVAL;
        error = socket_autobind(s);
        if (error)
            return error;
    } else if (s->state == SOCKET_OPEN && socket_listens_there(s)) {
        return -LINUX_EADDRINUSE;
    }
    s->backlog = (uint32_t)a[1] < LINUX_SOMAXCONN ? (uint32_t)a[1] : LINUX_SOMAXCONN;
    s->state = SOCKET_LISTENS;
    s->owner = t->process->pid;
    return 0;
}

/* A socket without connections only notes to whom it sends. */
static long connect_messages(struct thread *t, struct socket *s, struct socket_name *name)
{
    struct socket *to = NULL;

    if (!name->family) {
        socket_point(s, NULL);
        s->remote = *name;
        return 0;
    }
    if (!socket_is_inet(s)) {
        long error = socket_find(t, s, name, &to);
        if (error)
            return error;
        if (to->peer && to->peer != s)
            return -LINUX_EPERM;
        socket_point(s, to);
    } else {
        long error = socket_autobind(s);
        if (!error)
            error = socket_find(t, s, name, &to);
        if (error && error != -LINUX_ECONNREFUSED)
            return error;
        socket_name_choose(&s->local, name);
    }
    s->remote = *name;
    return 0;
}

/* Non-blocking TCP is told the result later, as if it had taken time. */
static long in_progress(struct socket *s, int error)
{
    s->connect_waits = true;
    if (error)
        socket_reset(s, error);
    return -LINUX_EINPROGRESS;
}

static long connect_inet(struct thread *t, struct file *file, struct socket *s,
                         struct socket_name *name)
{
    bool wait = !(file->flags & LINUX_O_NONBLOCK);
    struct socket *listener;
    long error = socket_autobind(s);

    if (!error)
        error = socket_find(t, s, name, &listener);
    if (error)
        return error == -LINUX_ECONNREFUSED && !wait ? in_progress(s, LINUX_ECONNREFUSED) : error;
    s->remote = *name;
    s->shut = 0;
    socket_name_choose(&s->local, name);
    error = socket_arrive(s, listener);
    if (error == -LINUX_EAGAIN) {
        s->state = SOCKET_CONNECTING;
        s->listener = listener;
        TAILQ_INSERT_TAIL(&listener->knocking, s, listed);
        s->connect_waits = true;
        return wait ? socket_wait(t, file, 0, s, s->send_limit) : -LINUX_EINPROGRESS;
    }
    return error || wait ? error : in_progress(s, 0);
}

static long connect_unix(struct thread *t, struct file *file, struct socket *s,
                         struct socket_name *name)
{
    struct socket *listener;
    long error = socket_find(t, s, name, &listener);

    if (error)
        return error;
    if (listener->state != SOCKET_LISTENS)
        return -LINUX_ECONNREFUSED;
    s->remote = *name;
    error = socket_arrive(s, listener);
    return error == -LINUX_EAGAIN ? socket_wait(t, file, 0, listener, s->send_limit) : error;
}

/* A connection was asked for before, or is there: what this call says to that. */
static long connect_again(struct thread *t, struct file *file, struct socket *s)
{
    if (s->state == SOCKET_CONNECTING) {
        if (!t->again && (file->flags & LINUX_O_NONBLOCK))
            return -LINUX_EALREADY;
        return socket_wait(t, file, 0, s, s->send_limit);
    }
    bool waited = t->again || s->connect_waits;
    s->connect_waits = false;
    if (s->state == SOCKET_CONNECTED)
        return waited ? 0 : -LINUX_EISCONN;
    long error = socket_take_error(s); /* ENDED */
    s->state = SOCKET_OPEN;
    return error ? error : -LINUX_ECONNABORTED;
}

long linux_connect(struct thread *t, const uint64_t *a)
{
    struct socket_name name;
    struct socket *s;
    struct file *file;
    long error = socket_of(t, a[0], &file, &s);

    if (error)
        return error;
    error = socket_name_in(t, s, a[1], (uint32_t)a[2], true, &name);
    if (error)
        return error;
    if (!socket_connects(s))
        return connect_messages(t, s, &name);
    if (!name.family)
        return socket_is_inet(s) ? -LINUX_EOPNOTSUPP : -LINUX_EINVAL;
    if (s->state == SOCKET_LISTENS)
        return socket_is_inet(s) ? -LINUX_EISCONN : -LINUX_EINVAL;
    if (s->state != SOCKET_OPEN)
        return connect_again(t, file, s);
    return socket_is_inet(s) ? connect_inet(t, file, s, &name) : connect_unix(t, file, s, &name);
}

/* ---- accepting ---- */

static long accept_any(struct thread *t, const uint64_t *a, uint32_t flags)
{
    struct socket *s;
    struct file *file;
    long error = socket_of(t, a[0], &file, &s);

    if (error)
        return error;
    if (flags & ~(uint32_t)(LINUX_SOCK_NONBLOCK | LINUX_SOCK_CLOEXEC))
        return -LINUX_EINVAL;
    if (!socket_connects(s))
        return -LINUX_EOPNOTSUPP;
    if (s->state != SOCKET_LISTENS || (s->shut & SOCKET_SHUT_RECEIVE))
        return -LINUX_EINVAL;
    if (TAILQ_EMPTY(&s->arrivals))
        return socket_wait(t, file, 0, s, s->receive_limit);
    if (!fd_has_room(t->process->files))
        return -LINUX_EMFILE; /* who arrived goes on waiting */
    struct socket *arrived = socket_take_arrival(s);
    long fd = socket_install(t, arrived, flags);
    if (fd < 0 || !a[1])
        return fd;
    error = socket_name_out(t, arrived, &arrived->remote, a[1], a[2]);
    if (error) {
        fd_close(t->process->files, fd);
        return error;
    }
    return fd;
}

long linux_accept(struct thread *t, const uint64_t *a)
{
    return accept_any(t, a, 0);
}

long linux_accept4(struct thread *t, const uint64_t *a)
{
    return accept_any(t, a, (uint32_t)a[3]);
}

long linux_shutdown(struct thread *t, const uint64_t *a)
{
    unsigned how = (uint32_t)a[1] + 1; /* SHUT_RD, WR, RDWR are 0, 1, 2 */
    struct socket *s;
    struct file *file;
    long error = socket_of(t, a[0], &file, &s);

    if (error)
        return error;
    if (how < 1 || how > SOCKET_SHUT_BOTH)
        return -LINUX_EINVAL;
    if (socket_connects(s) && s->state == SOCKET_LISTENS) {
        socket_shut(s, how);
        return 0;
    }
    if (socket_is_inet(s) && s->state != SOCKET_CONNECTED && !s->remote.family)
        return -LINUX_ENOTCONN;
    socket_shut(s, how);
    if (s->peer && socket_connects(s)) {
        /* What one does not send, the other does not receive; TCP does not tell the reverse. */
        unsigned other = (how & SOCKET_SHUT_SEND ? SOCKET_SHUT_RECEIVE : 0) |
                         (how & SOCKET_SHUT_RECEIVE && !socket_is_inet(s) ? SOCKET_SHUT_SEND : 0);
        if (other)
            socket_shut(s->peer, other);
    }
    return 0;
}
