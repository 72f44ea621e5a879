/* Memory files (see memfile.h), and the calls that are theirs: memfd_create, fallocate. */
#include "user/linux/memfile.h"

#include <stdio.h>
#include <string.h>

#include "user/linux/calls.h"
#include "user/linux/dir.h"
#include "user/linux/file.h"
#include "user/linux/inotify.h"
#include "user/linux/lock.h"
#include "user/linux/mmcall.h"
#include "user/linux/oom.h"
#include "user/linux/process.h"
#include "user/linux/request.h"
#include "user/linux/signal.h"
#include "user/linux/space.h"
#include "user/linux/time.h"

#define MEMFD_NAME_MAX 249
#define FILE_BYTES_MAX INT64_MAX
#define SECTOR_BYTES   512
#define PAGE_BYTES     4096
#define HUGE_BYTES     (1L << LINUX_HUGE_PAGE_SHIFT)

/* ---- life ---- */

void node_stamp(struct node *node, unsigned what)
{
    struct linux_timespec now = time_real();

    if (what & STAMP_ACCESSED)
        node->accessed = now;
    if (what & STAMP_MODIFIED)
        node->modified = now;
    if (what & STAMP_CHANGED)
        node->changed = now;
}

static long node_make(struct node *dir, const char *name, size_t bytes, uint32_t mode, bool huge,
                      struct node **made)
{
    static char shown[LINUX_PATH_MAX]; /* under the big lock */
    struct node *node = fs_make(dir, name, bytes, NODE_MEMORY, LINUX_S_IFREG | mode);

    if (!node)
        return -LINUX_ENOSPC;
    const struct place place = {.node = node};
    memset(shown, 0, sizeof(shown));
    if (fs_path(&place, shown, sizeof(shown)) < 0)
        shown[0] = 0;
    const struct mm_object wanted = {
        .id = node->ino, .name = (uint64_t)shown, .huge = huge ? MM_HUGE_PAGES : MM_HUGE_NONE};
    long object = mmcall_object_create(&wanted);
    if (object <= 0) {
        if (dir)
            fs_remove(node);
        fs_free(node);
        return object == -LINUX_ENOMEM ? -LINUX_ENOSPC : object;
    }
    node->object = (uint64_t)object;
    node->huge = huge;
    *made = node;
    return 0;
}

long memfile_make(struct node *dir, const char *name, size_t bytes, uint32_t mode,
                  struct node **made)
{
    return node_make(dir, name, bytes, mode, false, made);
}

static void node_free(struct node *node)
{
    linux_assert(!node->pipe);
    inotify_node_gone(node);
    if (node->kind == NODE_MEMORY)
        linux_assert(mmcall_object_release(node->object, 0) == 0);
    fs_free(node);
}

void node_get(struct node *node)
{
    node->users++;
}

void node_put(struct node *node)
{
    while (node) {
        linux_assert(node->users > 0);
        if (--node->users || !node->removed)
            return;
        /* It has kept the directory that it was in. */
        struct node *dir = node->parent->memory ? node->parent : NULL;
        node_free(node);
        node = dir;
    }
}

void place_set(struct place *place, const struct place *to)
{
    struct node *before = place->node;

    if (to->node)
        node_get(to->node);
    *place = *to;
    node_put(before);
}

long memfile_remove(struct node *name)
{
    struct node *dir = name->parent;

    if (name->kind == NODE_DIR && !dir_is_empty(name))
        return -LINUX_ENOTEMPTY;
    struct node *node = fs_remove(name);
    if (!node)
        return -LINUX_ENOMEM;
    node_stamp(dir, STAMP_MODIFIED | STAMP_CHANGED);
    node_stamp(node, STAMP_CHANGED);
    if (node->removed && node->users)
        node_get(dir);
    else if (node->removed)
        node_free(node);
    return 0;
}

/* ---- contents ---- */

long memfile_move(const struct node *node, struct space *space, uint64_t address, size_t bytes,
                  uint64_t *offset, bool write)
{
    size_t done = 0;
    long part = 0;

    while (done < bytes) {
        part = write ? mmcall_object_write(node->object, *offset, space->mm, address + done,
                                           bytes - done)
                     : mmcall_object_read(node->object, *offset, space->mm, address + done,
                                          bytes - done);
        if (part == -LINUX_ENOMEM && !write) { /* for the client's page */
            oom_note();
            part = -LINUX_EFAULT;
        }
        if (part <= 0)
            break;
        done += (size_t)part;
        *offset += (uint64_t)part;
    }
    return done ? (long)done : part;
}

long memfile_read(struct node *node, struct space *space, uint64_t address, size_t bytes,
                  uint64_t *offset)
{
    if (time_is_later(&node->modified, &node->accessed))
        node_stamp(node, STAMP_ACCESSED); /* as with relatime */
    return memfile_move(node, space, address, bytes, offset, false);
}

/*
 * RLIMIT_FSIZE of who is at work: how far a file may be written from `offset` on, of `bytes` more
 * bytes. Nothing at all: SIGXFSZ, and -EFBIG.
 */
static long within_limit(uint64_t offset, uint64_t bytes)
{
    struct thread *t = request_running();
    uint64_t limit = t ? t->process->limit[LINUX_RLIMIT_FSIZE].soft : LINUX_RLIM_INFINITY;
    const struct signal_info info = {.code = LINUX_SI_KERNEL};

    if (bytes == 0 || offset < limit)
        return bytes < limit - offset ? (long)bytes : (long)(limit - offset);
    signal_send_thread(t, LINUX_SIGXFSZ, &info);
    return -LINUX_EFBIG;
}

/* The file is to have that size. */
static long grows_within_limit(const struct node *node, uint64_t bytes)
{
    uint64_t now = memfile_bytes(node);

    if (bytes <= now)
        return 0;
    long room = within_limit(bytes - 1, 1);
    return room < 0 ? room : 0;
}

long memfile_write(struct node *node, struct space *space, uint64_t address, size_t bytes,
                   uint64_t *offset)
{
    if (*offset >= FILE_BYTES_MAX)
        return -LINUX_EFBIG;
    long room = within_limit(*offset, bytes);
    if (room < 0)
        return room;
    long done = memfile_move(node, space, address, (size_t)room, offset, true);
    if (done > 0)
        node_stamp(node, STAMP_MODIFIED | STAMP_CHANGED);
    return done == -LINUX_ENOMEM ? -LINUX_ENOSPC : done;
}

static struct mm_object_stat stat_of(const struct node *node)
{
    struct mm_object_stat stat = {0};

    linux_assert(mmcall_object_stat(node->object, &stat) == 0);
    return stat;
}

uint64_t memfile_bytes(const struct node *node)
{
    return stat_of(node).bytes;
}

long memfile_resize(struct node *node, int64_t bytes)
{
    long error = bytes < 0 ? -LINUX_EINVAL : grows_within_limit(node, (uint64_t)bytes);

    if (!error)
        error = mmcall_object_resize(node->object, (uint64_t)bytes);
    if (error)
        return error;
    node_stamp(node, STAMP_MODIFIED | STAMP_CHANGED);
    inotify_node(node, LINUX_IN_MODIFY);
    return 0;
}

int64_t memfile_seek(const struct file *file, uint64_t offset, bool data)
{
    uint64_t bytes = file_bytes(file);

    if ((int64_t)offset < 0 || offset >= bytes)
        return -LINUX_ENXIO;
    if (file->place.node->kind != NODE_MEMORY) /* all data, and a hole at the end */
        return (int64_t)(data ? offset : bytes);
    return mmcall_object_seek(file->place.node->object, offset, data);
}

void memfile_stat(const struct place *place, struct linux_stat *stat)
{
    fs_stat(place, stat);
    if (place->node->kind != NODE_MEMORY)
        return;
    struct mm_object_stat object = stat_of(place->node);
    stat->size = (int64_t)object.bytes;
    stat->blksize = place->node->huge ? HUGE_BYTES : PAGE_BYTES;
    stat->blocks = (int64_t)(object.pages * (PAGE_BYTES / SECTOR_BYTES));
}

/* ---- seals ---- */

static bool has_seals(const struct file *file)
{
    return file->kind == FILE_NODE && file->place.node->kind == NODE_MEMORY;
}

long memfile_add_seals(const struct file *file, uint32_t seals)
{
    if (!has_seals(file))
        return -LINUX_EINVAL;
    struct node *node = file->place.node;
    if ((file->flags & LINUX_O_ACCMODE) == 0)
        return -LINUX_EPERM;
    if (seals & ~(uint32_t)LINUX_F_SEALS)
        return -LINUX_EINVAL;
    if (!node->seals)
        return -LINUX_EPERM;
    /* What may not be made executable, and is, may not change any more either. */
    if ((seals & LINUX_F_SEAL_EXEC) && (node->mode & 0111))
        seals |= LINUX_F_SEAL_SHRINK | LINUX_F_SEAL_GROW | LINUX_F_SEAL_WRITE |
                 LINUX_F_SEAL_FUTURE_WRITE;
    long now = seals ? mmcall_object_seal(node->object, seals) : 0;
    return now < 0 ? now : 0;
}

long memfile_get_seals(const struct file *file)
{
    if (!has_seals(file))
        return -LINUX_EINVAL;
    if (!file->place.node->seals)
        return LINUX_F_SEAL_SEAL;
    return mmcall_object_seal(file->place.node->object, 0);
}

/* ---- calls ---- */

static bool memfd_flags_good(uint32_t flags)
{
    uint32_t known = LINUX_MFD_CLOEXEC | LINUX_MFD_ALLOW_SEALING | LINUX_MFD_NOEXEC_SEAL |
                     LINUX_MFD_EXEC | LINUX_MFD_HUGETLB;

    if (flags & LINUX_MFD_HUGETLB)
        known |= (uint32_t)LINUX_HUGE_MASK << LINUX_HUGE_SHIFT;
    return !(flags & ~known) && !((flags & LINUX_MFD_EXEC) && (flags & LINUX_MFD_NOEXEC_SEAL));
}

long linux_memfd_create(struct thread *t, const uint64_t *a)
{
    static const char prefix[] = "memfd:", suffix[] = " (deleted)";
    char name[sizeof(prefix) + MEMFD_NAME_MAX + sizeof(suffix)];
    uint32_t flags = (uint32_t)a[1];
    struct node *node;

    uint32_t shift = flags >> LINUX_HUGE_SHIFT & LINUX_HUGE_MASK;

    if (!memfd_flags_good(flags))
        return -LINUX_EINVAL;
    memcpy(name, prefix, sizeof(prefix));
    long bytes =
        copy_in_string(t->process->space, name + sizeof(prefix) - 1, a[0], MEMFD_NAME_MAX + 1);
    if (bytes < 0)
        return bytes == -LINUX_ENAMETOOLONG ? -LINUX_EINVAL : bytes;
    if (shift && shift != LINUX_HUGE_PAGE_SHIFT)
        return -LINUX_ENODEV;
    bool no_exec = (flags & LINUX_MFD_NOEXEC_SEAL) != 0;
    bool huge = (flags & LINUX_MFD_HUGETLB) != 0;
    memcpy(name + sizeof(prefix) - 1 + bytes, suffix, sizeof(suffix));
    long error = node_make(NULL, name, strlen(name), no_exec ? 0666 : 0777, huge, &node);
    if (error)
        return error == -LINUX_ENOSPC ? -LINUX_ENOMEM : error;
    node->seals = no_exec || (flags & LINUX_MFD_ALLOW_SEALING);
    if (no_exec)
        mmcall_object_seal(node->object, LINUX_F_SEAL_EXEC);
    const struct place place = {.node = node};
    node_stamp(node, STAMP_ACCESSED | STAMP_MODIFIED | STAMP_CHANGED);
    struct file *file = file_open_place(&place, LINUX_O_RDWR);
    if (!file) {
        node_free(node);
        return -LINUX_ENFILE;
    }
    long fd = fd_install(t->process->files, file, 0, (flags & LINUX_MFD_CLOEXEC) != 0);
    if (fd < 0)
        file_put(file);
    return fd;
}

long linux_fallocate(struct thread *t, const uint64_t *a)
{
    struct file *file = fd_get(t->process->files, (int32_t)a[0]);
    uint32_t mode = (uint32_t)a[1];
    int64_t offset = (int64_t)a[2], bytes = (int64_t)a[3], end;

    if (!file || (file->flags & LINUX_O_PATH))
        return -LINUX_EBADF;
    if (offset < 0 || bytes <= 0)
        return -LINUX_EINVAL;
    if ((mode & ~(uint32_t)(LINUX_FALLOC_KEEP_SIZE | LINUX_FALLOC_PUNCH_HOLE)) ||
        mode == LINUX_FALLOC_PUNCH_HOLE)
        return -LINUX_EOPNOTSUPP;
    if ((file->flags & LINUX_O_ACCMODE) == 0)
        return -LINUX_EBADF;
    if (file->kind == FILE_PIPE)
        return -LINUX_ESPIPE;
    if (file->kind != FILE_NODE || file->place.node->kind != NODE_MEMORY)
        return -LINUX_ENODEV;
    if (__builtin_add_overflow(offset, bytes, &end))
        return -LINUX_EFBIG;
    unsigned how = mode & LINUX_FALLOC_PUNCH_HOLE  ? MM_ALLOCATE_PUNCH
                   : mode & LINUX_FALLOC_KEEP_SIZE ? MM_ALLOCATE_KEEP
                                                   : MM_ALLOCATE_GROW;
    long error = how == MM_ALLOCATE_PUNCH
                     ? 0
                     : grows_within_limit(file->place.node, (uint64_t)offset + (uint64_t)bytes);
    if (error)
        return error;
    error =
        mmcall_object_allocate(file->place.node->object, (uint64_t)offset, (uint64_t)bytes, how);
    if (!error)
        inotify_file(file, LINUX_IN_MODIFY);
    return error == -LINUX_ENOMEM ? -LINUX_ENOSPC : error;
}

long linux_ftruncate(struct thread *t, const uint64_t *a)
{
    struct file *file = fd_get(t->process->files, (int32_t)a[0]);

    if ((int64_t)a[1] < 0)
        return -LINUX_EINVAL;
    if (!file || (file->flags & LINUX_O_PATH))
        return -LINUX_EBADF;
    if (file->kind != FILE_NODE || file->place.node->kind != NODE_MEMORY ||
        (file->flags & LINUX_O_ACCMODE) == 0)
        return -LINUX_EINVAL;
    return memfile_resize(file->place.node, (int64_t)a[1]);
}
