/*
 * Options of sockets (see socket.h). Those that mean something inside one machine work; those about
 * a network's ways (TCP_NODELAY, SO_KEEPALIVE, ...) are kept, told again, and change nothing.
 */
#include "user/linux/socket.h"

#include <string.h>

#include "user/linux/calls.h"
#include "user/linux/process.h"
#include "user/linux/space.h"
#include "user/linux/time.h"

#define BUFFER_BYTES_MIN 4608
#define BUFFER_BYTES_MAX 425984 /* twice net.core.wmem_max */

/* Options that are only kept: switches, one bit of `kept` each, and numbers. */
struct kept_option {
    int level, option;
};

#define SEGMENT_BYTES 65483 /* of the loopback device */

static const struct kept_option switches[] = {
    {LINUX_SOL_SOCKET, LINUX_SO_KEEPALIVE},   {LINUX_SOL_SOCKET, LINUX_SO_BROADCAST},
    {LINUX_SOL_SOCKET, LINUX_SO_OOBINLINE},   {LINUX_SOL_SOCKET, LINUX_SO_DONTROUTE},
    {LINUX_SOL_SOCKET, LINUX_SO_DEBUG},       {LINUX_IPPROTO_TCP, LINUX_TCP_NODELAY},
    {LINUX_IPPROTO_TCP, LINUX_TCP_CORK},      {LINUX_IPPROTO_TCP, LINUX_TCP_QUICKACK},
    {LINUX_IPPROTO_IP, LINUX_IP_RECVERR},     {LINUX_IPPROTO_IP, LINUX_IP_FREEBIND},
    {LINUX_IPPROTO_IPV6, LINUX_IPV6_RECVERR},
};

/* A number that was not given has a first value, and those that -1 resets have it again after that;
 * what is not from `least` to `most` is refused. */
static const struct number {
    int level, option, first, least, most;
    bool resets;
} numbers[SOCKET_NUMBERS] = {
    {LINUX_SOL_SOCKET, LINUX_SO_PRIORITY, 0, INT32_MIN, INT32_MAX, false},
    {LINUX_IPPROTO_TCP, LINUX_TCP_KEEPIDLE, 7200, 1, 32767, false},
    {LINUX_IPPROTO_TCP, LINUX_TCP_KEEPINTVL, 75, 1, 32767, false},
    {LINUX_IPPROTO_TCP, LINUX_TCP_KEEPCNT, 9, 1, 127, false},
    {LINUX_IPPROTO_TCP, LINUX_TCP_SYNCNT, 6, 1, 127, false},
    {LINUX_IPPROTO_TCP, LINUX_TCP_USER_TIMEOUT, 0, 0, INT32_MAX, false},
    {LINUX_IPPROTO_TCP, LINUX_TCP_NOTSENT_LOWAT, 0, INT32_MIN, INT32_MAX, false},
    {LINUX_IPPROTO_IP, LINUX_IP_TTL, 64, 1, 255, true},
    {LINUX_IPPROTO_IP, LINUX_IP_MTU_DISCOVER, 1, 0, 5, false},
    {LINUX_IPPROTO_IPV6, LINUX_IPV6_UNICAST_HOPS, 64, 0, 255, true},
    {LINUX_IPPROTO_IPV6, LINUX_IPV6_MTU_DISCOVER, 1, 0, 5, false},
    {LINUX_IPPROTO_IPV6, LINUX_IPV6_TCLASS, 0, 0, 255, true},
};

/* What is accepted and always answered the same. */
static const struct {
    int level, option, value;
} fixed[] = {
    {LINUX_SOL_SOCKET, LINUX_SO_RCVLOWAT, 1},
    {LINUX_IPPROTO_TCP, LINUX_TCP_MAXSEG, SEGMENT_BYTES},
    {LINUX_IPPROTO_TCP, LINUX_TCP_DEFER_ACCEPT, 0},
    {LINUX_IPPROTO_TCP, LINUX_TCP_FASTOPEN, 0},
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Does the socket have options of that level at all? */
static bool has_level(const struct socket *s, int level)
{
    switch (level) {
    case LINUX_SOL_SOCKET:
        return true;
    case LINUX_IPPROTO_TCP:
        return s->protocol == LINUX_IPPROTO_TCP;
    case LINUX_IPPROTO_IP:
        return socket_is_inet(s);
    case LINUX_IPPROTO_IPV6:
        return s->family == LINUX_AF_INET6;
    default:
        return false;
    }
}

/* The bit of a switch, or 0. */
static uint32_t switch_bit(int level, int option)
{
    for (unsigned i = 0; i < COUNT(switches); i++) {
        if (switches[i].level == level && switches[i].option == option)
            return 1U << i;
    }
    return 0;
}

/* The index of a number, or -1. */
static int number_of(int level, int option)
{
    for (unsigned i = 0; i < COUNT(numbers); i++) {
        if (numbers[i].level == level && numbers[i].option == option)
            return (int)i;
    }
    return -1;
}

static const int *fixed_of(int level, int option)
{
    for (unsigned i = 0; i < COUNT(fixed); i++) {
        if (fixed[i].level == level && fixed[i].option == option)
            return &fixed[i].value;
    }
    return NULL;
}

/* ---- setting ---- */

static long get_time(struct thread *t, const uint64_t *a, uint64_t *limit)
{
    struct linux_timeval value;

    if ((uint32_t)a[4] < sizeof(value))
        return -LINUX_EINVAL;
    if (copy_in(t->process->space, &value, a[3], sizeof(value)))
        return -LINUX_EFAULT;
    if (value.usec < 0 || value.usec >= 1000000)
        return -LINUX_EDOM;
    const struct linux_timespec time = {value.sec, value.usec * 1000};
    uint64_t ticks = value.sec < 0 ? 0 : time_to_ticks(&time);
    *limit = ticks == TIME_NEVER ? 0 : ticks;
    return 0;
}

/* As Linux does, the double of what was asked for, for its own bookkeeping. */
static uint32_t buffer_bytes(int32_t value)
{
    uint32_t most = BUFFER_BYTES_MAX / 2;
    uint32_t bytes = 2 * (value < 0 || (uint32_t)value > most ? most : (uint32_t)value);

    return bytes < BUFFER_BYTES_MIN ? BUFFER_BYTES_MIN : bytes;
}

/* What is only kept: 0 or -errno; -ENOENT if it is none of these. */
static long keep(struct socket *s, int level, int option, int32_t value)
{
    uint32_t bit = switch_bit(level, option);
    int index = number_of(level, option);

    if (index >= 0 && value == -1 && numbers[index].resets) {
        s->numbered &= ~(1U << index);
        return 0;
    }
    if (index >= 0) {
        if (value < numbers[index].least || value > numbers[index].most)
            return -LINUX_EINVAL;
        s->numbered |= 1U << index;
        s->number[index] = value;
        return 0;
    }
    if (!bit && !fixed_of(level, option))
        return -LINUX_ENOENT;
    s->kept = value ? s->kept | bit : s->kept & ~bit;
    return 0;
}

static long set_number(struct socket *s, int level, int option, int32_t value)
{
    long kept = keep(s, level, option, value);

    if (kept != -LINUX_ENOENT)
        return kept;
    if (level == LINUX_IPPROTO_IPV6 && option == LINUX_IPV6_V6ONLY) {
        if (s->bound)
            return -LINUX_EINVAL;
        s->v6_only = value != 0;
        return 0;
    }
    if (level != LINUX_SOL_SOCKET)
        return -LINUX_ENOPROTOOPT;
    switch (option) {
    case LINUX_SO_REUSEADDR:
        s->reuse_address = value != 0;
        return 0;
    case LINUX_SO_REUSEPORT:
        s->reuse_port = value != 0;
        return 0;
    case LINUX_SO_PASSCRED:
        if (socket_is_inet(s))
            return -LINUX_EOPNOTSUPP;
        s->pass_credentials = value != 0;
        return 0;
    case LINUX_SO_SNDBUF:
    case LINUX_SO_SNDBUFFORCE:
        s->send_bytes = buffer_bytes(value);
        return 0;
    case LINUX_SO_RCVBUF:
    case LINUX_SO_RCVBUFFORCE:
        s->receive_bytes = buffer_bytes(value);
        return 0;
    default:
        return -LINUX_ENOPROTOOPT;
    }
}

long linux_setsockopt(struct thread *t, const uint64_t *a)
{
    int level = (int32_t)a[1], option = (int32_t)a[2];
    struct socket *s;
    struct file *file;
    int32_t value;
    long error = socket_of(t, a[0], &file, &s);

    if (error)
        return error;
    if ((int32_t)a[4] < 0)
        return -LINUX_EINVAL;
    if (!has_level(s, level))
        return socket_is_inet(s) ? -LINUX_ENOPROTOOPT : -LINUX_EOPNOTSUPP;
    if (level == LINUX_SOL_SOCKET && option == LINUX_SO_RCVTIMEO)
        return get_time(t, a, &s->receive_limit);
    if (level == LINUX_SOL_SOCKET && option == LINUX_SO_SNDTIMEO)
        return get_time(t, a, &s->send_limit);
    if (level == LINUX_SOL_SOCKET && option == LINUX_SO_LINGER) {
        if ((uint32_t)a[4] < sizeof(s->linger))
            return -LINUX_EINVAL;
        return copy_in(t->process->space, s->linger, a[3], sizeof(s->linger));
    }
    bool short_form = level == LINUX_IPPROTO_IP && (uint32_t)a[4] > 0; /* a byte will do */
    if ((uint32_t)a[4] < sizeof(value) && !short_form)
        return -LINUX_EINVAL;
    value = 0;
    if (copy_in(t->process->space, &value, a[3],
                (uint32_t)a[4] < sizeof(value) ? 1 : sizeof(value)))
        return -LINUX_EFAULT;
    return set_number(s, level, option, value);
}

/* ---- asking ---- */

struct answer {
    uint32_t bytes;
    union {
        int32_t number;
        int32_t linger[2];
        struct linux_timeval time;
        struct linux_ucred credentials;
        struct linux_tcp_info tcp;
    };
};

static void put_time(struct answer *answer, uint64_t limit)
{
    struct linux_timespec time = time_from_ticks(limit);

    answer->bytes = sizeof(answer->time);
    answer->time = (struct linux_timeval){time.sec, time.nsec / 1000};
}

/* The options of SOL_SOCKET that are not only kept. */
static long get_socket(struct socket *s, int option, struct answer *answer)
{
    switch (option) {
    case LINUX_SO_TYPE:
        answer->number = s->type;
        return 0;
    case LINUX_SO_DOMAIN:
        answer->number = s->family;
        return 0;
    case LINUX_SO_PROTOCOL:
        answer->number = s->protocol;
        return 0;
    case LINUX_SO_ERROR:
        answer->number = (int32_t)-socket_take_error(s);
        return 0;
    case LINUX_SO_ACCEPTCONN:
        answer->number = s->state == SOCKET_LISTENS;
        return 0;
    case LINUX_SO_REUSEADDR:
        answer->number = s->reuse_address;
        return 0;
    case LINUX_SO_REUSEPORT:
        answer->number = s->reuse_port;
        return 0;
    case LINUX_SO_PASSCRED:
        answer->number = s->pass_credentials;
        return 0;
    case LINUX_SO_SNDBUF:
        answer->number = (int32_t)s->send_bytes;
        return 0;
    case LINUX_SO_RCVBUF:
        answer->number = (int32_t)s->receive_bytes;
        return 0;
    case LINUX_SO_SNDLOWAT:
        answer->number = 1;
        return 0;
    case LINUX_SO_RCVTIMEO:
        put_time(answer, s->receive_limit);
        return 0;
    case LINUX_SO_SNDTIMEO:
        put_time(answer, s->send_limit);
        return 0;
    case LINUX_SO_LINGER:
        answer->bytes = sizeof(answer->linger);
        memcpy(answer->linger, s->linger, sizeof(answer->linger));
        return 0;
    case LINUX_SO_PEERCRED:
        answer->bytes = sizeof(answer->credentials);
        answer->credentials = (struct linux_ucred){.pid = s->peer_pid};
        if (!s->peer_pid) /* nobody */
            answer->credentials.uid = answer->credentials.gid = ~0U;
        return 0;
    default:
        return -LINUX_ENOPROTOOPT;
    }
}

static enum linux_tcp_state tcp_state(const struct socket *s)
{
    bool peer_ended = !s->peer || (s->peer->shut & SOCKET_SHUT_SEND);

    switch (s->state) {
    case SOCKET_LISTENS:
        return LINUX_TCP_LISTEN;
    case SOCKET_CONNECTING:
        return LINUX_TCP_SYN_SENT;
    case SOCKET_CONNECTED:
        if (s->shut & SOCKET_SHUT_SEND)
            return peer_ended ? LINUX_TCP_CLOSE : LINUX_TCP_FIN_WAIT2;
        return peer_ended ? LINUX_TCP_CLOSE_WAIT : LINUX_TCP_ESTABLISHED;
    default:
        return LINUX_TCP_CLOSE;
    }
}

/* Nothing is ever lost, late or under way: what is sent is with the peer. */
static void get_tcp(const struct socket *s, struct answer *answer)
{
    answer->bytes = sizeof(answer->tcp);
    answer->tcp = (struct linux_tcp_info){
        .state = (uint8_t)tcp_state(s),
        .send_segment = SEGMENT_BYTES,
        .receive_segment = SEGMENT_BYTES,
        .advertised_segment = SEGMENT_BYTES,
        .path_bytes = 65536,
        .send_threshold = INT32_MAX,
        .window = 10,
        .reordering = 3,
        .receive_room = (uint32_t)s->receive_bytes,
    };
}

static long get_any(struct socket *s, int level, int option, struct answer *answer)
{
    uint32_t bit = switch_bit(level, option);
    const int *value = fixed_of(level, option);
    int index = number_of(level, option);

    if (bit || value || index >= 0) {
        answer->number = bit                               ? (s->kept & bit) != 0
                         : value                           ? *value
                         : (s->numbered >> index & 1) != 0 ? s->number[index]
                                                           : numbers[index].first;
        return 0;
    }
    if (level == LINUX_SOL_SOCKET)
        return get_socket(s, option, answer);
    if (level == LINUX_IPPROTO_TCP && option == LINUX_TCP_INFO) {
        get_tcp(s, answer);
        return 0;
    }
    if (level != LINUX_IPPROTO_IPV6 || option != LINUX_IPV6_V6ONLY)
        return -LINUX_ENOPROTOOPT;
    answer->number = s->v6_only;
    return 0;
}

long linux_getsockopt(struct thread *t, const uint64_t *a)
{
    struct answer answer = {.bytes = sizeof(answer.number)};
    struct socket *s;
    struct file *file;
    int32_t room;
    long error = socket_of(t, a[0], &file, &s);

    if (error)
        return error;
    if (!has_level(s, (int32_t)a[1]))
        return socket_is_inet(s) ? -LINUX_ENOPROTOOPT : -LINUX_EOPNOTSUPP;
    if (copy_in(t->process->space, &room, a[4], sizeof(room)))
        return -LINUX_EFAULT;
    if (room < 0)
        return -LINUX_EINVAL;
    error = get_any(s, (int32_t)a[1], (int32_t)a[2], &answer);
    if (error)
        return error;
    if ((uint32_t)room > answer.bytes)
        room = (int32_t)answer.bytes;
    if (copy_out(t->process->space, a[3], &answer.number, (uint32_t)room))
        return -LINUX_EFAULT;
    return copy_out(t->process->space, a[4], &room, sizeof(room));
}
