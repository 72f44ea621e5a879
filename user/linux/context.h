/*
 * What processes may share beside their memory and descriptors: where they are in the file tree
 * (CLONE_FS), and what signals do (CLONE_SIGHAND). Each is counted by the processes that use it.
 * Big lock held in all functions.
 */
#ifndef LINUX_CONTEXT_H
#define LINUX_CONTEXT_H

#include "user/linux/abi.h"
#include "user/linux/fs.h"

struct fs_context {
    unsigned users;
    uint32_t umask;
    struct place cwd;
};

struct sighand {
    unsigned users;
    struct linux_sigaction action[LINUX_NSIG];
};

/* A fresh one with one user, or a copy of `of`; NULL without memory. */
struct fs_context *fs_context_create(const struct fs_context *of);
struct sighand *sighand_create(const struct sighand *of);
/* What others use too becomes a copy; false without memory. */
bool fs_context_unshare(struct fs_context **fs);
bool sighand_unshare(struct sighand **sighand);
/* NULL: nothing. */
void fs_context_put(struct fs_context *fs);
void sighand_put(struct sighand *sighand);

#endif
