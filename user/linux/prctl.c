/* prctl: values that a process or a thread has and that little depends on. */
#include "user/linux/calls.h"

#include <string.h>

#include "user/linux/process.h"
#include "user/linux/space.h"

#define PR_SET_PDEATHSIG       1
#define PR_GET_PDEATHSIG       2
#define PR_GET_DUMPABLE        3
#define PR_SET_DUMPABLE        4
#define PR_GET_KEEPCAPS        7
#define PR_SET_KEEPCAPS        8
#define PR_SET_NAME            15
#define PR_GET_NAME            16
#define PR_CAPBSET_READ        23
#define PR_CAPBSET_DROP        24
#define PR_SET_TIMERSLACK      29
#define PR_GET_TIMERSLACK      30
#define PR_SET_CHILD_SUBREAPER 36
#define PR_GET_CHILD_SUBREAPER 37
#define PR_SET_NO_NEW_PRIVS    38
#define PR_GET_NO_NEW_PRIVS    39
#define PR_GET_TID_ADDRESS     40

#define CAPABILITY_LAST 40

static long set_name(struct thread *t, uint64_t from)
{
    char name[COMM_BYTES] = {0};

    if (copy_in_string(t->process->space, name, from, sizeof(name)) == -LINUX_EFAULT)
        return -LINUX_EFAULT;
    name[COMM_BYTES - 1] = 0;
    memcpy(thread_comm(t), name, sizeof(name));
    return 0;
}

static long tell_int(struct thread *t, uint64_t to, int32_t value)
{
    return copy_out(t->process->space, to, &value, sizeof(value));
}

/* A flag that is 0 or 1. */
static long set_flag(bool *flag, const uint64_t *a)
{
    if (a[1] > 1)
        return -LINUX_EINVAL;
    *flag = a[1] != 0;
    return 0;
}

static long of_process(struct thread *t, const uint64_t *a)
{
    struct process *p = t->process;

    switch ((int32_t)a[0]) {
    case PR_SET_PDEATHSIG:
        if (a[1] > LINUX_NSIG)
            return -LINUX_EINVAL;
        p->parent_death_signal = (int)a[1];
        return 0;
    case PR_GET_PDEATHSIG:
        return tell_int(t, a[1], p->parent_death_signal);
    case PR_GET_DUMPABLE:
        return !p->undumpable;
    case PR_SET_DUMPABLE:
        if (a[1] > 1)
            return -LINUX_EINVAL;
        p->undumpable = a[1] == 0;
        return 0;
    case PR_GET_KEEPCAPS:
        return p->keeps_caps;
    case PR_SET_KEEPCAPS:
        return set_flag(&p->keeps_caps, a);
    case PR_SET_CHILD_SUBREAPER:
        p->is_reaper = a[1] != 0;
        return 0;
    case PR_GET_CHILD_SUBREAPER:
        return tell_int(t, a[1], p->is_reaper);
    case PR_GET_NO_NEW_PRIVS:
        return a[1] || a[2] || a[3] || a[4] ? -LINUX_EINVAL : p->no_new_privs;
    case PR_SET_NO_NEW_PRIVS:
        if (a[1] != 1 || a[2] || a[3] || a[4])
            return -LINUX_EINVAL;
        p->no_new_privs = true;
        return 0;
    case PR_CAPBSET_READ:
        return a[1] > CAPABILITY_LAST ? -LINUX_EINVAL : (long)(p->cred.bounding >> a[1] & 1);
    case PR_CAPBSET_DROP:
        if (a[1] > CAPABILITY_LAST)
            return -LINUX_EINVAL;
        p->cred.bounding &= ~(1UL << a[1]);
        return 0;
    default:
        return -LINUX_EINVAL;
    }
}

long linux_prctl(struct thread *t, const uint64_t *a)
{
    switch ((int32_t)a[0]) {
    case PR_SET_NAME:
        return set_name(t, a[1]);
    case PR_GET_NAME:
        return copy_out(t->process->space, a[1], thread_comm(t), COMM_BYTES);
    case PR_GET_TID_ADDRESS:
        return copy_out(t->process->space, a[1], &t->clear_tid, sizeof(t->clear_tid));
    case PR_SET_TIMERSLACK:
        t->timer_slack = (int64_t)a[1] > 0 ? a[1] : 0;
        return 0;
    case PR_GET_TIMERSLACK:
        return (long)thread_timer_slack(t);
    default:
        return of_process(t, a);
    }
}
