/*
 * Who a process says it is: users, groups, capabilities. Everybody begins as root and may become
 * somebody else; files are not guarded by it, but signals, limits and the way back are. Big lock
 * held in all functions.
 */
#ifndef LINUX_CRED_H
#define LINUX_CRED_H

#include <stdbool.h>
#include <stdint.h>

#define GROUPS_MAX 64

struct ids {
    uint32_t real, effective, saved, fs;
};

struct cred {
    struct ids user, group;
    uint64_t effective, permitted, inheritable; /* capabilities, a bit each */
    uint64_t bounding;
    uint32_t groups[GROUPS_MAX];
    unsigned group_count;
};

/* Root's, as the first process has it. */
void cred_init(struct cred *cred);
static inline bool cred_is_root(const struct cred *cred)
{
    return cred->user.effective == 0;
}
/* Capabilities, by number. */
#define CAP_SYS_RAWIO  17
#define CAP_SYS_PTRACE 19
#define CAP_SYS_ADMIN  21
#define CAP_SYS_NICE   23
#define CAP_MKNOD      27
static inline bool cred_can(const struct cred *cred, unsigned capability)
{
    return (cred->effective >> capability & 1) != 0;
}
/* May t look into p? Its own, somebody with the same ids, or by capability. */
struct process;
struct thread;
bool cred_may_access(const struct thread *t, const struct process *p);
/* Whether a process of `sender` may send signals to one of `target`. */
bool cred_may_signal(const struct cred *sender, const struct cred *target);

#endif
