/* What processes may share (see context.h). */
#include "user/linux/context.h"

#include <string.h>

#include "user/linux/lock.h"
#include "user/linux/memfile.h"
#include "user/linux/spare.h"

static struct spare spare_fs, spare_sighand;

#define UMASK_FIRST 022

struct fs_context *fs_context_create(const struct fs_context *of)
{
    struct fs_context *fs = spare_take(&spare_fs, sizeof(*fs));

    if (!fs)
        return NULL;
    if (of)
        *fs = *of;
    else
        *fs = (struct fs_context){.umask = UMASK_FIRST, .cwd = fs_root()};
    node_get(fs->cwd.node);
    fs->users = 1;
    return fs;
}

struct sighand *sighand_create(const struct sighand *of)
{
    struct sighand *sighand = spare_take(&spare_sighand, sizeof(*sighand));

    if (!sighand)
        return NULL;
    if (of)
        *sighand = *of;
    else
        memset(sighand, 0, sizeof(*sighand));
    sighand->users = 1;
    return sighand;
}

void fs_context_put(struct fs_context *fs)
{
    if (!fs)
        return;
    linux_assert(fs->users > 0);
    if (--fs->users)
        return;
    node_put(fs->cwd.node);
    spare_give(&spare_fs, fs);
}

void sighand_put(struct sighand *sighand)
{
    if (!sighand)
        return;
    linux_assert(sighand->users > 0);
    if (--sighand->users == 0)
        spare_give(&spare_sighand, sighand);
}

bool fs_context_unshare(struct fs_context **fs)
{
    struct fs_context *own = (*fs)->users > 1 ? fs_context_create(*fs) : *fs;

    if (own && own != *fs) {
        fs_context_put(*fs);
        *fs = own;
    }
    return own != NULL;
}

bool sighand_unshare(struct sighand **sighand)
{
    struct sighand *own = (*sighand)->users > 1 ? sighand_create(*sighand) : *sighand;

    if (own && own != *sighand) {
        sighand_put(*sighand);
        *sighand = own;
    }
    return own != NULL;
}
