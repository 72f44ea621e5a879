/* Credentials (see cred.h), and the calls about them. */
#include "user/linux/cred.h"

#include <string.h>

#include "user/linux/calls.h"
#include "user/linux/process.h"
#include "user/linux/space.h"

#define SAME          0xffffffffU /* an id that is to stay */
#define CAPABILITIES  ((1UL << 41) - 1)
#define CAP_VERSION_1 0x19980330U
#define CAP_VERSION_2 0x20071026U
#define CAP_VERSION_3 0x20080522U

void cred_init(struct cred *cred)
{
    *cred = (struct cred){
        .effective = CAPABILITIES, .permitted = CAPABILITIES, .bounding = CAPABILITIES};
}

bool cred_may_signal(const struct cred *sender, const struct cred *target)
{
    const struct ids *from = &sender->user, *to = &target->user;

    return cred_is_root(sender) || from->effective == to->real || from->effective == to->saved ||
           from->real == to->real || from->real == to->saved;
}

bool cred_may_access(const struct thread *t, const struct process *p)
{
    const struct ids *own = &t->process->cred.user, *user = &p->cred.user;
    const struct ids *own_group = &t->process->cred.group, *group = &p->cred.group;

    if (p == t->process || cred_can(&t->process->cred, CAP_SYS_PTRACE))
        return true;
    return !p->undumpable && own->fs == user->real && own->fs == user->effective &&
           own->fs == user->saved && own_group->fs == group->real &&
           own_group->fs == group->effective && own_group->fs == group->saved;
}

/* ---- ids ---- */

/* Root may take any id, others one that they have. */
static bool may_take(const struct process *p, const struct ids *ids, uint32_t id)
{
    return id == SAME || cred_is_root(&p->cred) || id == ids->real || id == ids->effective ||
           id == ids->saved;
}

/* Capabilities go with root. */
static void set_ids(struct process *p, struct ids *ids, uint32_t real, uint32_t effective,
                    uint32_t saved)
{
    struct cred *cred = &p->cred;

    ids->real = real == SAME ? ids->real : real;
    ids->effective = effective == SAME ? ids->effective : effective;
    ids->saved = saved == SAME ? ids->saved : saved;
    ids->fs = ids->effective;
    if (ids != &cred->user)
        return;
    if (ids->real && ids->effective && ids->saved && !p->keeps_caps)
        cred->permitted = 0;
    cred->effective = ids->effective ? 0 : cred->permitted;
    if (p->space)
        process_limits_apply(p, p->space->mm); /* RLIMIT_MEMLOCK may bind now, or no more */
}

static long set_three(struct process *p, struct ids *ids, const uint64_t *a)
{
    for (unsigned i = 0; i < 3; i++) {
        if (!may_take(p, ids, (uint32_t)a[i]))
            return -LINUX_EPERM;
    }
    set_ids(p, ids, (uint32_t)a[0], (uint32_t)a[1], (uint32_t)a[2]);
    return 0;
}

/* setreuid: the saved one follows when the real one is set, or the effective one to a new value. */
static long set_two(struct process *p, struct ids *ids, uint32_t real, uint32_t effective)
{
    if (!may_take(p, ids, real) || !may_take(p, ids, effective) ||
        (real == ids->saved && real != ids->real && real != ids->effective &&
         !cred_is_root(&p->cred)))
        return -LINUX_EPERM;
    uint32_t then = effective == SAME ? ids->effective : effective;
    bool follows = real != SAME || (effective != SAME && effective != ids->real);
    set_ids(p, ids, real, effective, follows ? then : SAME);
    return 0;
}

static long set_one(struct process *p, struct ids *ids, uint32_t id)
{
    if (id == SAME)
        return -LINUX_EINVAL;
    if (cred_is_root(&p->cred))
        set_ids(p, ids, id, id, id);
    else if (id == ids->real || id == ids->saved)
        set_ids(p, ids, SAME, id, SAME);
    else
        return -LINUX_EPERM;
    return 0;
}

/* The old one; a bad one changes nothing. */
static long set_fs(struct process *p, struct ids *ids, uint32_t id)
{
    uint32_t old = ids->fs;

    if (id != SAME && (may_take(p, ids, id) || id == old))
        ids->fs = id;
    return old;
}

static long get_three(struct thread *t, const struct ids *ids, const uint64_t *a)
{
    const uint32_t value[] = {ids->real, ids->effective, ids->saved};

    for (unsigned i = 0; i < 3; i++) {
        if (copy_out(t->process->space, a[i], &value[i], sizeof(value[i])))
            return -LINUX_EFAULT;
    }
    return 0;
}

long linux_getuid(struct thread *t, const uint64_t *a)
{
    (void)a;
    return t->process->cred.user.real;
}

long linux_geteuid(struct thread *t, const uint64_t *a)
{
    (void)a;
    return t->process->cred.user.effective;
}

long linux_getgid(struct thread *t, const uint64_t *a)
{
    (void)a;
    return t->process->cred.group.real;
}

long linux_getegid(struct thread *t, const uint64_t *a)
{
    (void)a;
    return t->process->cred.group.effective;
}

long linux_getresuid(struct thread *t, const uint64_t *a)
{
    return get_three(t, &t->process->cred.user, a);
}

long linux_getresgid(struct thread *t, const uint64_t *a)
{
    return get_three(t, &t->process->cred.group, a);
}

long linux_setuid(struct thread *t, const uint64_t *a)
{
    return set_one(t->process, &t->process->cred.user, (uint32_t)a[0]);
}

long linux_setgid(struct thread *t, const uint64_t *a)
{
    return set_one(t->process, &t->process->cred.group, (uint32_t)a[0]);
}

long linux_setreuid(struct thread *t, const uint64_t *a)
{
    return set_two(t->process, &t->process->cred.user, (uint32_t)a[0], (uint32_t)a[1]);
}

long linux_setregid(struct thread *t, const uint64_t *a)
{
    return set_two(t->process, &t->process->cred.group, (uint32_t)a[0], (uint32_t)a[1]);
}

long linux_setresuid(struct thread *t, const uint64_t *a)
{
    return set_three(t->process, &t->process->cred.user, a);
}

long linux_setresgid(struct thread *t, const uint64_t *a)
{
    return set_three(t->process, &t->process->cred.group, a);
}

long linux_setfsuid(struct thread *t, const uint64_t *a)
{
    return set_fs(t->process, &t->process->cred.user, (uint32_t)a[0]);
}

long linux_setfsgid(struct thread *t, const uint64_t *a)
{
    return set_fs(t->process, &t->process->cred.group, (uint32_t)a[0]);
}

/* ---- groups ---- */

long linux_getgroups(struct thread *t, const uint64_t *a)
{
    const struct cred *cred = &t->process->cred;
    int32_t room = (int32_t)a[0];

    if (room < 0 || (room && (unsigned)room < cred->group_count))
        return -LINUX_EINVAL;
    if (room && copy_out(t->process->space, a[1], cred->groups,
                         cred->group_count * sizeof(cred->groups[0])))
        return -LINUX_EFAULT;
    return cred->group_count;
}

long linux_setgroups(struct thread *t, const uint64_t *a)
{
    struct cred *cred = &t->process->cred;
    uint32_t groups[GROUPS_MAX];
    uint64_t count = (uint32_t)a[0];

    if (!cred_is_root(cred))
        return -LINUX_EPERM;
    if (count > GROUPS_MAX)
        return -LINUX_EINVAL;
    if (copy_in(t->process->space, groups, a[1], count * sizeof(groups[0])))
        return -LINUX_EFAULT;
    memcpy(cred->groups, groups, count * sizeof(groups[0]));
    cred->group_count = (unsigned)count;
    return 0;
}

/* ---- capabilities ---- */

struct cap_header {
    uint32_t version;
    int32_t pid;
};

struct cap_data { /* the lower 32 of each, then another of these with the upper ones */
    uint32_t effective, permitted, inheritable;
};

/* The version decides how many of cap_data there are; of an unknown one, ours is told. */
static long cap_begin(struct thread *t, uint64_t address, struct cap_header *header,
                      unsigned *parts)
{
    if (copy_in(t->process->space, header, address, sizeof(*header)))
        return -LINUX_EFAULT;
    *parts = header->version == CAP_VERSION_1 ? 1 : 2;
    if (header->version == CAP_VERSION_1 || header->version == CAP_VERSION_2 ||
        header->version == CAP_VERSION_3)
        return 0;
    header->version = CAP_VERSION_3;
    return copy_out(t->process->space, address, header, sizeof(*header)) ? -LINUX_EFAULT
                                                                         : -LINUX_EINVAL;
}

long linux_capget(struct thread *t, const uint64_t *a)
{
    struct cap_header header;
    unsigned parts;
    long error = cap_begin(t, a[0], &header, &parts);

    if (error)
        return a[1] || error != -LINUX_EINVAL ? error : 0; /* only the version was asked for */
    if (header.pid < 0)
        return -LINUX_EINVAL;
    const struct thread *of = header.pid ? thread_by_tid(header.pid) : t;
    if (!of)
        return -LINUX_ESRCH;
    const struct cred *cred = &of->process->cred;
    const struct cap_data data[2] = {
        {(uint32_t)cred->effective, (uint32_t)cred->permitted, (uint32_t)cred->inheritable},
        {(uint32_t)(cred->effective >> 32), (uint32_t)(cred->permitted >> 32),
         (uint32_t)(cred->inheritable >> 32)},
    };
    return a[1] ? copy_out(t->process->space, a[1], data, parts * sizeof(data[0])) : 0;
}

long linux_capset(struct thread *t, const uint64_t *a)
{
    struct cred *cred = &t->process->cred;
    struct cap_data data[2] = {{0}};
    struct cap_header header;
    unsigned parts;
    long error = cap_begin(t, a[0], &header, &parts);

    if (error)
        return error;
    if (header.pid && header.pid != t->tid)
        return -LINUX_EPERM;
    if (copy_in(t->process->space, data, a[1], parts * sizeof(data[0])))
        return -LINUX_EFAULT;
    uint64_t effective = data[0].effective | (uint64_t)data[1].effective << 32;
    uint64_t permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
    uint64_t inheritable = data[0].inheritable | (uint64_t)data[1].inheritable << 32;
    if ((permitted & ~cred->permitted) || (effective & ~permitted))
        return -LINUX_EPERM;
    cred->effective = effective & CAPABILITIES;
    cred->permitted = permitted & CAPABILITIES;
    cred->inheritable = inheritable & CAPABILITIES;
    process_limits_apply(t->process, t->process->space->mm);
    return 0;
}
