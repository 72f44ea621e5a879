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
/* Whether a process of `sender` may send signals to one of `target`. */
bool cred_may_signal(const struct cred *sender, const struct cred *target);

#endif
