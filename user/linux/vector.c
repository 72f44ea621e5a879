/* Lists of client buffers (see vector.h). */
#include "user/linux/vector.h"

#include "user/linux/process.h"
#include "user/linux/space.h"

/* Sum up, and cut what exceeds LINUX_RW_MAX off. */
static long check(struct vector *v, struct linux_iovec *part, size_t parts)
{
    v->bytes = 0;
    for (size_t i = 0; i < parts; i++) {
        if ((int64_t)part[i].bytes < 0)
            return -LINUX_EINVAL;
        if (part[i].bytes > LINUX_RW_MAX - v->bytes)
            part[i].bytes = LINUX_RW_MAX - v->bytes;
        v->bytes += part[i].bytes;
    }
    v->part = part;
    v->parts = parts;
    return 0;
}

long vector_get(struct thread *t, uint64_t address, uint64_t count, struct vector *v)
{
    static struct linux_iovec part[LINUX_IOV_MAX]; /* under the big lock */

    if (count > LINUX_IOV_MAX)
        return -LINUX_EINVAL;
    if (copy_in(t->process->space, part, address, count * sizeof(part[0])))
        return -LINUX_EFAULT;
    return check(v, part, count);
}

long vector_single(struct linux_iovec *part, uint64_t address, uint64_t bytes, struct vector *v)
{
    if ((int64_t)bytes < 0)
        return -LINUX_EINVAL;
    *part = (struct linux_iovec){address, bytes < LINUX_RW_MAX ? bytes : LINUX_RW_MAX};
    *v = (struct vector){part, 1, part->bytes};
    return 0;
}

size_t vector_piece(const struct vector *v, uint64_t from, uint64_t *address)
{
    for (size_t i = 0; i < v->parts; i++) {
        if (from < v->part[i].bytes) {
            *address = v->part[i].base + from;
            return v->part[i].bytes - from;
        }
        from -= v->part[i].bytes;
    }
    return 0;
}
