/*
 * sendto, recvfrom, sendmsg, recvmsg; and the descriptors and credentials that a message of AF_UNIX
 * may carry (see socket.h).
 */
#include "user/linux/socket.h"

#include <string.h>

#include "user/linux/calls.h"
#include "user/linux/process.h"
#include "user/linux/request.h"
#include "user/linux/space.h"

#define CONTROL_BYTES_MAX 8192
#define ALIGN(bytes)      (((bytes) + 7) & ~7UL)
#define HEAD              sizeof(struct linux_cmsghdr)

static char control[CONTROL_BYTES_MAX]; /* of the present call, under the big lock */

/* ---- one buffer ---- */

long linux_sendto(struct thread *t, const uint64_t *a)
{
    struct linux_iovec part;
    struct vector v;
    struct socket_message m = {.data = &v, .space = t->process->space, .flags = (uint32_t)a[3]};
    struct socket *s;
    struct file *file;
    long error = socket_of(t, a[0], &file, &s);

    if (!error)
        error = vector_single(&part, a[1], a[2], &v);
    if (!error && a[4])
        error = socket_name_in(t, s, a[4], (uint32_t)a[5], false, &m.name);
    return error ? error : socket_send(t, file, &m);
}

/* The length of a sender's name, as it is told: one without a name has none. */
static bool has_name(const struct socket *s, const struct socket_name *name)
{
    return name->family && (socket_is_inet(s) || name->bytes);
}

long linux_recvfrom(struct thread *t, const uint64_t *a)
{
    static const uint32_t nothing;
    struct linux_iovec part;
    struct vector v;
    struct socket_message m = {.data = &v, .space = t->process->space, .flags = (uint32_t)a[3]};
    struct socket *s;
    struct file *file;
    long error = socket_of(t, a[0], &file, &s);

    if (!error)
        error = vector_single(&part, a[1], a[2], &v);
    if (error)
        return error;
    long result = socket_receive(t, file, &m);
    socket_rights_free(m.rights);
    if (result < 0 || !a[4])
        return result;
    error = has_name(s, &m.name) ? socket_name_out(t, s, &m.name, a[4], a[5])
                                 : copy_out(t->process->space, a[5], &nothing, sizeof(nothing));
    return error ? error : result;
}

/* What read, write and their kin do: io.c. */
long socket_transfer(struct thread *t, struct file *file, const struct vector *v, bool write)
{
    struct socket_message m = {.data = v, .space = t->process->space};
    long result = write ? socket_send(t, file, &m) : socket_receive(t, file, &m);

    socket_rights_free(m.rights);
    return result;
}

long socket_put(struct thread *t, struct file *file, const struct vector *v)
{
    struct socket_message m = {
        .data = v, .space = &own_space, .flags = LINUX_MSG_DONTWAIT | LINUX_MSG_NOSIGNAL};
    uint64_t progress = t->progress;

    t->progress = 0; /* the whole call's; this is a part */
    long result = socket_send(t, file, &m);
    t->progress = progress;
    return result;
}

/* ---- what a message carries, sent ---- */

static long add_rights(struct thread *t, struct socket_message *m, const int32_t *fds, size_t count)
{
    if (!count)
        return 0;
    if (m->rights || count > LINUX_SCM_MAX_FD)
        return -LINUX_EINVAL;
    m->rights = socket_rights_create((unsigned)count);
    if (!m->rights)
        return -LINUX_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        struct file *file = fd_get(t->process->files, fds[i]);
        if (!file)
            return -LINUX_EBADF;
        socket_rights_add(m->rights, file);
    }
    return 0;
}

/* Everybody is root, and may say to be anybody who exists. */
static long check_credentials(const char *data, size_t bytes)
{
    struct linux_ucred credentials;

    if (bytes != sizeof(credentials))
        return -LINUX_EINVAL;
    memcpy(&credentials, data, sizeof(credentials));
    return process_by_pid(credentials.pid) ? 0 : -LINUX_ESRCH;
}

/* 0, or -errno; rights that were found then are in *m all the same. */
static long control_in(struct thread *t, const struct socket *s, const struct linux_msghdr *h,
                       struct socket_message *m)
{
    struct linux_cmsghdr head;

    if (h->control_bytes > sizeof(control))
        return -LINUX_ENOBUFS;
    if (copy_in(t->process->space, control, h->control, h->control_bytes))
        return -LINUX_EFAULT;
    for (uint64_t at = 0; at + HEAD <= h->control_bytes; at += ALIGN(head.bytes)) {
        memcpy(&head, control + at, HEAD);
        if (head.bytes < HEAD || head.bytes > h->control_bytes - at)
            return -LINUX_EINVAL;
        if (head.level != LINUX_SOL_SOCKET || socket_is_inet(s))
            continue;
        const char *data = control + at + HEAD;
        long error = -LINUX_EINVAL;
        if (head.type == LINUX_SCM_RIGHTS)
            error = add_rights(t, m, (const int32_t *)data, (head.bytes - HEAD) / sizeof(int32_t));
        else if (head.type == LINUX_SCM_CREDENTIALS)
            error = check_credentials(data, head.bytes - HEAD);
        if (error)
            return error;
    }
    return 0;
}

static long header_in(struct thread *t, uint64_t address, struct linux_msghdr *h)
{
    if (copy_in(t->process->space, h, address, sizeof(*h)))
        return -LINUX_EFAULT;
    if ((int32_t)h->name_bytes < 0)
        return -LINUX_EINVAL;
    if (h->name_bytes > LINUX_SOCKADDR_STORAGE)
        h->name_bytes = LINUX_SOCKADDR_STORAGE;
    return h->iov_count > LINUX_IOV_MAX ? -LINUX_EMSGSIZE : 0;
}

long socket_send_message(struct thread *t, struct file *file, uint64_t address, uint32_t flags)
{
    struct vector v;
    struct socket_message m = {.data = &v, .space = t->process->space, .flags = flags};
    struct linux_msghdr h;

    long error = header_in(t, address, &h);
    if (!error)
        error = vector_get(t, h.iov, h.iov_count, &v);
    if (!error && h.name && h.name_bytes)
        error = socket_name_in(t, file->socket, h.name, h.name_bytes, false, &m.name);
    /* What was there when the call began to wait has gone with its first bytes. */
    if (!error && h.control && h.control_bytes && !t->progress)
        error = control_in(t, file->socket, &h, &m);
    long result = error ? error : socket_send(t, file, &m);
    socket_rights_free(m.rights);
    return result;
}

long linux_sendmsg(struct thread *t, const uint64_t *a)
{
    struct socket *s;
    struct file *file;
    long error = socket_of(t, a[0], &file, &s);

    return error ? error : socket_send_message(t, file, a[1], (uint32_t)a[2]);
}

/* ---- what a message carries, received ---- */

/* Where the next control message goes. */
struct control_out {
    uint64_t address, room, bytes;
};

static bool control_put(struct thread *t, struct control_out *out, int type, const void *data,
                        size_t bytes)
{
    struct linux_cmsghdr head = {HEAD + bytes, LINUX_SOL_SOCKET, type};
    uint64_t at = out->address + out->bytes;

    if (out->room - out->bytes < HEAD + bytes || copy_out(t->process->space, at, &head, HEAD) ||
        copy_out(t->process->space, at + HEAD, data, bytes))
        return false;
    out->bytes += ALIGN(HEAD + bytes);
    if (out->bytes > out->room)
        out->bytes = out->room;
    return true;
}

/* As many descriptors as there is room and are numbers for. */
static void rights_out(struct thread *t, struct control_out *out, struct socket_message *m)
{
    struct fd_table *table = t->process->files;
    uint64_t left = out->room - out->bytes;
    unsigned room = left < HEAD ? 0 : (unsigned)((left - HEAD) / sizeof(int32_t));
    int32_t fds[LINUX_SCM_MAX_FD];
    unsigned count = 0;

    while (count < m->rights->count && count < room) {
        struct file *file = m->rights->file[count];
        long fd = fd_install(table, file, 0, (m->flags & LINUX_MSG_CMSG_CLOEXEC) != 0);
        if (fd < 0)
            break;
        file_get(file);
        fds[count++] = (int32_t)fd;
    }
    if (count < m->rights->count)
        m->told |= LINUX_MSG_CTRUNC;
    if (count && !control_put(t, out, LINUX_SCM_RIGHTS, fds, count * sizeof(fds[0]))) {
        while (count)
            fd_close(table, fds[--count]);
        m->told |= LINUX_MSG_CTRUNC;
    }
}

/* The answer's parts but the data. */
static long header_out(struct thread *t, const struct socket *s, uint64_t address,
                       struct linux_msghdr *h, struct socket_message *m)
{
    struct control_out out = {h->control, h->control ? h->control_bytes : 0, 0};

    if (h->name) {
        long bytes =
            has_name(s, &m->name) ? socket_name_put(t, s, &m->name, h->name, h->name_bytes) : 0;
        if (bytes < 0)
            return bytes;
        h->name_bytes = (uint32_t)bytes;
    }
    if (s->pass_credentials) {
        const struct linux_ucred credentials = {.pid = m->pid};
        if (!control_put(t, &out, LINUX_SCM_CREDENTIALS, &credentials, sizeof(credentials)))
            m->told |= LINUX_MSG_CTRUNC;
    }
    if (m->rights)
        rights_out(t, &out, m);
    h->control_bytes = out.bytes;
    h->flags = m->told | (m->flags & LINUX_MSG_CMSG_CLOEXEC);
    return copy_out(t->process->space, address, h, sizeof(*h));
}

long socket_receive_message(struct thread *t, struct file *file, uint64_t address, uint32_t flags)
{
    struct vector v;
    struct socket_message m = {.data = &v, .space = t->process->space, .flags = flags};
    struct linux_msghdr h;

    long error = header_in(t, address, &h);
    if (!error)
        error = vector_get(t, h.iov, h.iov_count, &v);
    if (error)
        return error;
    long result = socket_receive(t, file, &m);
    if (result >= 0) {
        error = header_out(t, file->socket, address, &h, &m);
        if (error)
            result = error;
    }
    socket_rights_free(m.rights);
    return result;
}

long linux_recvmsg(struct thread *t, const uint64_t *a)
{
    struct socket *s;
    struct file *file;
    long error = socket_of(t, a[0], &file, &s);

    return error ? error : socket_receive_message(t, file, a[1], (uint32_t)a[2]);
}
