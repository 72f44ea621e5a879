/* Advice on memory that not everybody may give; all other goes to the memory server itself. */
#include "user/linux/abi.h"
#include "user/linux/calls.h"
#include "user/linux/mmcall.h"
#include "user/linux/process.h"
#include "user/linux/space.h"

/* MADV_HWPOISON, MADV_SOFT_OFFLINE: for the superuser. */
long linux_madvise(struct thread *t, const uint64_t *a)
{
    if (linux_geteuid(t, a))
        return -LINUX_EPERM;
    return mmcall_advise(t->process->space->mm, a[0], a[1], a[2]);
}
