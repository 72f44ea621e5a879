/* The memory of a process as a file; see procmem.h. */
#include "user/linux/procmem.h"

#include "user/linux/mmcall.h"
#include "user/linux/process.h"
#include "user/linux/space.h"

long procmem_open(const struct thread *t, struct file *file)
{
    const struct process *p = process_by_pid(file->place.pid);

    if (!p)
        return -LINUX_ESRCH;
    if (!cred_may_access(t, p))
        return -LINUX_EACCES;
    file->space_serial = p->space ? p->space->serial : 0;
    return 0;
}

long procmem_move(const struct file *file, struct space *space, uint64_t address, size_t bytes,
                  uint64_t *offset, bool write)
{
    const struct process *p = process_by_pid(file->place.pid);
    size_t done = 0;
    long part = 0;

    if (!p || !p->space || p->space->serial != file->space_serial)
        return 0;
    while (done < bytes) {
        part = mmcall_access(p->space->mm, *offset, space->mm, address + done, bytes - done, write);
        if (part <= 0)
            break;
        done += (size_t)part;
        *offset += (uint64_t)part;
    }
    /* As Linux: a bad address of the caller's is told even if something was moved before. */
    return part == -LINUX_EFAULT || !done ? part : (long)done;
}
