/*
 * Memory calls for which one must know who is who: advice that not everybody may give, advice for
 * another process, on which nodes its pages are, and copying to and from its memory. All other
 * calls on memory go to the memory server itself.
 */
#include <string.h>

#include "user/linux/calls.h"
#include "user/linux/mmcall.h"
#include "user/linux/nodes.h"
#include "user/linux/pidfd.h"
#include "user/linux/process.h"
#include "user/linux/space.h"
#include "user/linux/vector.h"

#define MADV_WILLNEED 3
#define MADV_COLD     20
#define MADV_PAGEOUT  21
#define MADV_COLLAPSE 25

#define MPOL_MF_MOVE     0x2
#define MPOL_MF_MOVE_ALL 0x4

#define COPY_BYTES 4096

/* MADV_HWPOISON, MADV_SOFT_OFFLINE. */
long linux_madvise(struct thread *t, const uint64_t *a)
{
    if (!cred_can(&t->process->cred, CAP_SYS_ADMIN))
        return -LINUX_EPERM;
    return mmcall_advise(t->process->space->mm, a[0], a[1], a[2]);
}

/* What changes nothing that the process could see. */
static bool advice_is_harmless(uint64_t advice)
{
    return advice == MADV_COLD || advice == MADV_PAGEOUT || advice == MADV_WILLNEED ||
           advice == MADV_COLLAPSE;
}

/* Part by part until one fails; bytes done, or the error of the first. */
static long advise_parts(const struct vector *v, uint64_t mm, uint64_t advice)
{
    uint64_t done = 0;

    for (size_t i = 0; i < v->parts; i++) {
        const struct linux_iovec *part = &v->part[i];
        long error = part->bytes ? mmcall_advise(mm, part->base, part->bytes, advice) : 0;

        if (error)
            return done ? (long)done : error;
        done += part->bytes;
    }
    return (long)done;
}

/* pidfd, list, parts, advice, flags */
long linux_process_madvise(struct thread *t, const uint64_t *a)
{
    struct process *p;
    struct vector v;

    if (a[4])
        return -LINUX_EINVAL;
    long error = vector_get(t, a[1], a[2], &v);
    if (!error)
        error = pidfd_get(t, (int32_t)a[0], &p);
    if (error)
        return error;
    if (!advice_is_harmless(a[3]))
        return -LINUX_EINVAL;
    if (!p->space)
        return -LINUX_ESRCH;
    if (!cred_may_access(t, p) || (p != t->process && !cred_can(&t->process->cred, CAP_SYS_NICE)))
        return -LINUX_EPERM;
    return advise_parts(&v, p->space->mm, a[3]);
}

/* ---- memory nodes: pages stay where they are, which both calls may do with any page ---- */

/* The process of a thread, 0: the caller's, if its pages may be looked at. */
static long process_of(struct thread *t, int32_t tid, struct process **p)
{
    struct thread *named = thread_named(t, tid);

    if (!named)
        return -LINUX_ESRCH;
    *p = named->process;
    if (!cred_may_access(t, *p))
        return -LINUX_EPERM;
    return (*p)->space ? 0 : -LINUX_EINVAL;
}

/* pid, bits, from, to; the memory server has read the masks, of which one bit less is meant. */
long linux_migrate_pages(struct thread *t, const uint64_t *a)
{
    uint64_t to = 0, bits = a[1] - 1;
    struct process *p;

    long error = process_of(t, (int32_t)a[0], &p);
    if (error)
        return error;
    if (bits && a[3] && copy_in(t->process->space, &to, a[3], sizeof(to)))
        return -LINUX_EFAULT;
    if (bits < 64)
        to &= (1UL << bits) - 1;
    return to & nodes_mask() ? 0 : -LINUX_EINVAL;
}

/* pid, count, pages, nodes, status, flags */
long linux_move_pages(struct thread *t, const uint64_t *a)
{
    struct space *own = t->process->space;
    uint32_t flags = (uint32_t)a[5];
    struct process *p;

    if (flags & ~(uint32_t)(MPOL_MF_MOVE | MPOL_MF_MOVE_ALL))
        return -LINUX_EINVAL;
    if (flags & MPOL_MF_MOVE_ALL && !cred_can(&t->process->cred, CAP_SYS_NICE))
        return -LINUX_EPERM;
    long error = process_of(t, (int32_t)a[0], &p);
    if (error)
        return error;
    uint64_t online = nodes_mask();
    for (uint64_t i = 0; i < a[1]; i++) {
        uint64_t address;
        uint32_t node = 0;

        if (copy_in(own, &address, a[2] + i * sizeof(address), sizeof(address)) ||
            (a[3] && copy_in(own, &node, a[3] + i * sizeof(node), sizeof(node))))
            return -LINUX_EFAULT;
        if (node >= 64 || !(online >> node & 1))
            return -LINUX_ENODEV;
        int32_t status = (int32_t)mmcall_page_node(p->space->mm, address);
        if (copy_out(own, a[4] + i * sizeof(status), &status, sizeof(status)))
            return -LINUX_EFAULT;
    }
    return 0;
}

/* ---- the memory of another process ---- */

/* Bytes from one list to the other, as far as both go and can be reached. */
static size_t copy_between(struct space *from, const struct vector *source, struct space *to,
                           const struct vector *target)
{
    static char buffer[COPY_BYTES]; /* under the big lock */
    size_t done = 0, copied, part;
    uint64_t at, there;

    do {
        size_t room = vector_piece(target, done, &there);

        part = vector_piece(source, done, &at);
        part = part < room ? part : room;
        part = part < COPY_BYTES ? part : COPY_BYTES;
        copied = copy_in_some(from, buffer, at, part);
        copied = copy_out_some(to, there, buffer, copied);
        done += copied;
    } while (part && copied == part);
    return done;
}

/* pid, list here, parts, list there, parts, flags */
static long copy_process(struct thread *t, const uint64_t *a, bool write)
{
    static struct linux_iovec kept[LINUX_IOV_MAX]; /* under the big lock */
    struct vector here, there;

    if (a[5])
        return -LINUX_EINVAL;
    long error = vector_get(t, a[1], a[2], &here);
    if (error)
        return error;
    memcpy(kept, here.part, here.parts * sizeof(kept[0])); /* the next list takes its place */
    here.part = kept;
    error = vector_get(t, a[3], a[4], &there);
    if (error)
        return error;
    struct process *p = process_by_pid((int32_t)a[0]);
    if (!p || !p->space)
        return -LINUX_ESRCH;
    if (!cred_may_access(t, p))
        return -LINUX_EPERM;
    size_t done = write ? copy_between(t->process->space, &here, p->space, &there)
                        : copy_between(p->space, &there, t->process->space, &here);
    return done || !here.bytes || !there.bytes ? (long)done : -LINUX_EFAULT;
}

long linux_process_vm_readv(struct thread *t, const uint64_t *a)
{
    return copy_process(t, a, false);
}

long linux_process_vm_writev(struct thread *t, const uint64_t *a)
{
    return copy_process(t, a, true);
}
