/*
 * Addresses of sockets (see socket.h): how clients give them, who has which, and whom they name.
 *
 * The names of AF_UNIX are nodes of the tree, found by their path, or abstract, found by their
 * bytes. Those of inet are loopback addresses with ports; a socket bound to "any" address has the
 * port on all of them.
 */
#include "user/linux/socket.h"

#include <stdio.h>
#include <string.h>

#include "user/linux/fs.h"
#include "user/linux/memfile.h"
#include "user/linux/path.h"
#include "user/linux/process.h"
#include "user/linux/space.h"

#define PORT_FIRST 32768 /* of those that the system chooses */
#define PORT_LAST  60999
#define PATH_AT    offsetof(struct linux_sockaddr_un, path)

static LIST_HEAD(, socket) bound = LIST_HEAD_INITIALIZER(bound);
static uint16_t last_port = PORT_FIRST - 1;
static uint32_t last_abstract;

static const uint8_t any_v6[16];
static const uint8_t any_v4[16] = {[10] = 0xff, [11] = 0xff};
static const uint8_t loopback_v6[16] = {[15] = 1};
static const uint8_t loopback_v4[16] = {[10] = 0xff, [11] = 0xff, 127, 0, 0, 1};

static bool same(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, 16) == 0;
}

static bool is_v4(const uint8_t *address)
{
    return memcmp(address, any_v4, 12) == 0;
}

static bool is_any(const uint8_t *address)
{
    return same(address, any_v6) || same(address, any_v4);
}

static bool is_loopback(const uint8_t *address)
{
    return is_v4(address) ? address[12] == 127 : same(address, loopback_v6);
}

/* ---- to and from clients ---- */

static long inet_in(const uint8_t *raw, uint64_t bytes, uint16_t family, struct socket_name *name)
{
    if (family == LINUX_AF_INET) {
        struct linux_sockaddr_in in;
        memcpy(&in, raw, sizeof(in));
        if (bytes < sizeof(in))
            return -LINUX_EINVAL;
        memcpy(name->address, any_v4, 12);
        memcpy(name->address + 12, in.address, 4);
        name->port = __builtin_bswap16(in.port);
        return 0;
    }
    struct linux_sockaddr_in6 in6;
    memcpy(&in6, raw, sizeof(in6));
    if (bytes < LINUX_SOCKADDR_IN6_MIN)
        return -LINUX_EINVAL;
    memcpy(name->address, in6.address, 16);
    name->port = __builtin_bswap16(in6.port);
    return 0;
}

static long unix_in(const uint8_t *raw, uint64_t bytes, struct socket_name *name)
{
    if (bytes <= PATH_AT || bytes > sizeof(struct linux_sockaddr_un))
        return -LINUX_EINVAL;
    name->bytes = (uint16_t)(bytes - PATH_AT);
    memcpy(name->path, raw + PATH_AT, name->bytes);
    if (name->path[0])
        name->bytes = (uint16_t)strnlen(name->path, name->bytes);
    return 0;
}

long socket_name_in(struct thread *t, const struct socket *s, uint64_t address, uint64_t bytes,
                    bool unspecified, struct socket_name *name)
{
    uint8_t raw[LINUX_SOCKADDR_STORAGE] = {0};
    uint16_t family;

    if (bytes > sizeof(raw))
        return -LINUX_EINVAL;
    if (copy_in(t->process->space, raw, address, bytes))
        return -LINUX_EFAULT;
    memset(name, 0, sizeof(*name));
    memcpy(&family, raw, sizeof(family));
    if (bytes < sizeof(family))
        return -LINUX_EINVAL;
    if (unspecified && family == LINUX_AF_UNSPEC)
        return 0;
    name->family = family;
    if (s->family == LINUX_AF_UNIX)
        return family == LINUX_AF_UNIX ? unix_in(raw, bytes, name) : -LINUX_EINVAL;
    if (family != s->family)
        return -LINUX_EAFNOSUPPORT;
    return inet_in(raw, bytes, family, name);
}

/* In the client's form: its length. */
static uint32_t to_raw(const struct socket *s, const struct socket_name *name, uint8_t *raw)
{
    if (s->family == LINUX_AF_UNIX) {
        struct linux_sockaddr_un un = {.family = LINUX_AF_UNIX};
        memcpy(un.path, name->path, name->bytes);
        memcpy(raw, &un, sizeof(un));
        /* A path is shown with the NUL that ends it. */
        uint32_t end = name->bytes && name->path[0] && name->bytes < sizeof(un.path);
        return PATH_AT + name->bytes + end;
    }
    if (s->family == LINUX_AF_INET) {
        struct linux_sockaddr_in in = {LINUX_AF_INET, __builtin_bswap16(name->port), {0}, {0}};
        memcpy(in.address, name->address + 12, 4);
        memcpy(raw, &in, sizeof(in));
        return sizeof(in);
    }
    struct linux_sockaddr_in6 in6 = {LINUX_AF_INET6, __builtin_bswap16(name->port), 0, {0}, 0};
    memcpy(in6.address, name->address, 16);
    memcpy(raw, &in6, sizeof(in6));
    return sizeof(in6);
}

long socket_name_put(struct thread *t, const struct socket *s, const struct socket_name *name,
                     uint64_t address, uint32_t room)
{
    uint8_t raw[LINUX_SOCKADDR_STORAGE];
    uint32_t bytes = to_raw(s, name, raw);

    if ((int32_t)room < 0)
        return -LINUX_EINVAL;
    if (copy_out(t->process->space, address, raw, bytes < room ? bytes : room))
        return -LINUX_EFAULT;
    return bytes;
}

long socket_name_out(struct thread *t, const struct socket *s, const struct socket_name *name,
                     uint64_t address, uint64_t bytes_at)
{
    uint32_t room;

    if (copy_in(t->process->space, &room, bytes_at, sizeof(room)))
        return -LINUX_EFAULT;
    long result = socket_name_put(t, s, name, address, room);
    if (result < 0)
        return result;
    room = (uint32_t)result;
    return copy_out(t->process->space, bytes_at, &room, sizeof(room));
}

/* ---- binding ---- */

static void enter_bound(struct socket *s, const struct socket_name *name)
{
    s->local = *name;
    s->bound = true;
    LIST_INSERT_HEAD(&bound, s, bound_link);
}

void socket_unbind(struct socket *s)
{
    if (s->bound)
        LIST_REMOVE(s, bound_link);
    s->bound = false;
    node_put(s->node);
    s->node = NULL;
}

/* Can both have their addresses at the same port? */
static bool overlap(const struct socket *a, const uint8_t *a_address, const struct socket *b,
                    const uint8_t *b_address)
{
    if (same(a_address, b_address))
        return true;
    if (same(a_address, any_v6) && !(a->v6_only && is_v4(b_address)))
        return true;
    if (same(b_address, any_v6) && !(b->v6_only && is_v4(a_address)))
        return true;
    return is_v4(a_address) && is_v4(b_address) && (is_any(a_address) || is_any(b_address));
}

static bool conflict(const struct socket *s, const struct socket_name *name)
{
    const struct socket *other;

    LIST_FOREACH(other, &bound, bound_link)
    {
        if (!socket_is_inet(other) || other->type != s->type || other->local.port != name->port)
            continue;
        if (s->reuse_port && other->reuse_port)
            continue;
        if (s->reuse_address && other->reuse_address && other->state != SOCKET_LISTENS)
            continue;
        if (overlap(s, name->address, other, other->local.address))
            return true;
    }
    return false;
}

bool socket_listens_there(const struct socket *s)
{
    const struct socket *other;

    LIST_FOREACH(other, &bound, bound_link)
    {
        if (other != s && socket_is_inet(s) && socket_is_inet(other) && other->type == s->type &&
            other->state == SOCKET_LISTENS && other->local.port == s->local.port &&
            !(s->reuse_port && other->reuse_port) &&
            overlap(s, s->local.address, other, other->local.address))
            return true;
    }
    return false;
}

/* A port of the system's choice; 0: all are taken. */
static uint16_t choose_port(const struct socket *s, struct socket_name *name)
{
    for (unsigned i = PORT_FIRST; i <= PORT_LAST; i++) {
        last_port = last_port >= PORT_LAST ? PORT_FIRST : (uint16_t)(last_port + 1);
        name->port = last_port;
        if (!conflict(s, name))
            return last_port;
    }
    return 0;
}

static long bind_inet(struct socket *s, const struct socket_name *wanted)
{
    struct socket_name name = *wanted;

    if (!is_any(name.address) && !is_loopback(name.address))
        return -LINUX_EADDRNOTAVAIL;
    if (name.port ? conflict(s, &name) : !choose_port(s, &name))
        return -LINUX_EADDRINUSE;
    enter_bound(s, &name);
    return 0;
}

static struct socket *find_abstract(uint16_t type, const struct socket_name *name)
{
    struct socket *s;

    LIST_FOREACH(s, &bound, bound_link)
    {
        if (s->family == LINUX_AF_UNIX && s->type == type && !s->node &&
            s->local.bytes == name->bytes && memcmp(s->local.path, name->path, name->bytes) == 0)
            return s;
    }
    return NULL;
}

static long bind_unix(struct thread *t, struct socket *s, const struct socket_name *name)
{
    if (name->path[0] == 0) {
        if (find_abstract(s->type, name))
            return -LINUX_EADDRINUSE;
    } else {
        long error = path_make_socket(t, name->path, name->bytes, &s->node);
        if (error)
            return error == -LINUX_EEXIST ? -LINUX_EADDRINUSE : error;
    }
    enter_bound(s, name);
    return 0;
}

long socket_bind(struct thread *t, struct socket *s, const struct socket_name *name)
{
    if (s->bound)
        return -LINUX_EINVAL;
    return socket_is_inet(s) ? bind_inet(s, name) : bind_unix(t, s, name);
}

long socket_autobind(struct socket *s)
{
    struct socket_name name = {.family = s->family};
    char digits[8];

    if (s->bound)
        return 0;
    if (socket_is_inet(s)) {
        memcpy(name.address, s->family == LINUX_AF_INET ? any_v4 : any_v6, 16);
        return bind_inet(s, &name);
    }
    do {
        snprintf(digits, sizeof(digits), "%05x", (unsigned)(last_abstract++ & 0xfffff));
        memcpy(name.path + 1, digits, 5);
        name.bytes = 6;
    } while (find_abstract(s->type, &name));
    enter_bound(s, &name);
    return 0;
}

void socket_bind_like(struct socket *s, const struct socket *listener, const struct socket *other)
{
    s->local = listener->local;
    if (!socket_is_inet(s))
        return;
    s->local = other->remote;
    s->local.family = s->family;
    enter_bound(s, &s->local);
}

void socket_name_choose(struct socket_name *local, const struct socket_name *to)
{
    if (local->family != LINUX_AF_UNIX && is_any(local->address))
        memcpy(local->address, is_v4(to->address) ? loopback_v4 : loopback_v6, 16);
}

/* ---- finding ---- */

/* One of UDP that is connected hears nobody else. */
static bool hears(const struct socket *receiver, const struct socket *sender)
{
    return socket_connects(receiver) || !receiver->remote.family ||
           (receiver->remote.port == sender->local.port &&
            (is_any(sender->local.address) ||
             same(receiver->remote.address, sender->local.address)));
}

/* Of those that may have it, the one bound to just this address comes first. */
static struct socket *find_inet(const struct socket *s, const struct socket_name *name)
{
    struct socket *other, *best = NULL;

    LIST_FOREACH(other, &bound, bound_link)
    {
        if (!socket_is_inet(other) || other->type != s->type || other->local.port != name->port)
            continue;
        if (socket_connects(s) && other->state != SOCKET_LISTENS)
            continue;
        if (!overlap(s, name->address, other, other->local.address) || !hears(other, s))
            continue;
        if (!best || same(other->local.address, name->address))
            best = other;
    }
    return best;
}

static long find_unix(struct thread *t, const struct socket *s, const struct socket_name *name,
                      struct socket **found)
{
    struct node *node;

    if (name->path[0] == 0) {
        *found = find_abstract(s->type, name);
        return *found ? 0 : -LINUX_ECONNREFUSED;
    }
    long error = path_find_node(t, name->path, name->bytes, &node);
    if (error)
        return error;
    LIST_FOREACH(*found, &bound, bound_link)
    {
        if ((*found)->node != node)
            continue;
        return (*found)->type == s->type ? 0 : -LINUX_EPROTOTYPE;
    }
    return -LINUX_ECONNREFUSED;
}

long socket_find(struct thread *t, struct socket *s, struct socket_name *name,
                 struct socket **found)
{
    if (!socket_is_inet(s))
        return find_unix(t, s, name, found);
    if (is_any(name->address))
        memcpy(name->address, is_v4(name->address) ? loopback_v4 : loopback_v6, 16);
    if (!is_loopback(name->address))
        return -LINUX_ENETUNREACH;
    *found = find_inet(s, name);
    return *found ? 0 : -LINUX_ECONNREFUSED;
}
