/* Open files (see file.h): one function per direction, with a case for each kind of file. */
#include "user/linux/file.h"

#include <stdlib.h>
#include <string.h>

#include "user/linux/epoll.h"
#include "user/linux/filelock.h"
#include "user/linux/inotify.h"
#include "user/linux/lock.h"
#include "user/linux/memfile.h"
#include "user/linux/proc.h"
#include "user/linux/procmem.h"
#include "user/linux/ramdisk.h"
#include "user/linux/random.h"
#include "user/linux/space.h"

#define BUFFER_BYTES 4096

static struct file files[FILES_MAX];
static struct file *files_end = files; /* those from here on were never used */
static LIST_HEAD(, file) unused = LIST_HEAD_INITIALIZER(unused);
static char buffer[BUFFER_BYTES]; /* of what is made for clients, under the big lock */
static const char zeros[BUFFER_BYTES];

struct file *file_open(enum file_kind kind, const struct file_ops *ops, uint32_t flags)
{
    struct file *file = LIST_FIRST(&unused);

    if (file)
        LIST_REMOVE(file, unused);
    else if (files_end < files + FILES_MAX)
        file = files_end++;
    else
        return NULL;
    *file = (struct file){.users = 1, .kind = kind, .ops = ops, .flags = flags};
    return file;
}

void file_discard(struct file *file)
{
    file->users = 0;
    LIST_INSERT_HEAD(&unused, file, unused);
}

struct file *file_open_place(const struct place *place, uint32_t flags)
{
    struct file *file = file_open(FILE_NODE, NULL, flags);

    if (file) {
        file->place = *place;
        node_get(place->node);
    }
    return file;
}

void file_set_writer(struct file *file)
{
    file->writer = true;
    file->place.node->writers++;
}

static void place_let_go(struct file *file)
{
    if (file->writer)
        file->place.node->writers--;
    node_put(file->place.node);
}

void file_get(struct file *file)
{
    linux_assert(file->users > 0);
    file->users++;
}

void file_put(struct file *file)
{
    linux_assert(file->users > 0);
    if (--file->users)
        return;
    epoll_forget(file);
    filelock_gone(file);
    if (!(file->flags & LINUX_O_PATH))
        inotify_file(file,
                     file->flags & LINUX_O_ACCMODE ? LINUX_IN_CLOSE_WRITE : LINUX_IN_CLOSE_NOWRITE);
    if (file->ops)
        file->ops->close(file);
    if (file_has_place(file))
        place_let_go(file);
    free(file->text);
    file_discard(file);
}

/* ---- reading ---- */

/* From memory of ours of that size. */
static long read_memory(const char *data, size_t size, struct space *space, uint64_t address,
                        size_t bytes, uint64_t *offset)
{
    if (*offset >= size)
        return 0;
    if (bytes > size - *offset)
        bytes = size - *offset;
    size_t done = copy_out_some(space, address, data + *offset, bytes);
    *offset += done;
    return done || !bytes ? (long)done : -LINUX_EFAULT;
}

/* Words of eight bytes, whole ones only, as many as the caller wants. */
static long read_pagemap(struct file *file, struct space *space, uint64_t address, size_t bytes,
                         uint64_t *offset)
{
    size_t done = 0;

    if (bytes % 8 || *offset % 8)
        return -LINUX_EINVAL;
    while (done < bytes) {
        size_t part = bytes - done < BUFFER_BYTES ? bytes - done : BUFFER_BYTES;
        long got = proc_pagemap(&file->place, buffer, part, *offset);
        if (got <= 0)
            return done ? (long)done : got;
        if (copy_out(space, address + done, buffer, (size_t)got))
            return done ? (long)done : -LINUX_EFAULT;
        done += (size_t)got;
        *offset += (uint64_t)got;
    }
    return (long)done;
}

/* The text is made when its start is read, and stays the same until its start is read again. */
static long read_text(struct file *file, struct space *space, uint64_t address, size_t bytes,
                      uint64_t *offset)
{
    if (file->place.pid && file->place.node->detail == PROC_PAGEMAP)
        return read_pagemap(file, space, address, bytes, offset);
    if (*offset == 0 || !file->text) {
        free(file->text);
        long size = proc_text(&file->place, &file->text);
        if (size < 0) {
            file->text = NULL;
            return size;
        }
        file->text_bytes = (size_t)size;
    }
    return read_memory(file->text, file->text_bytes, space, address, bytes, offset);
}

static long read_endless(bool random, struct space *space, uint64_t address, size_t bytes)
{
    size_t done = 0;

    while (done < bytes) {
        size_t part = bytes - done < BUFFER_BYTES ? bytes - done : BUFFER_BYTES;
        if (random)
            random_fill(buffer, part);
        size_t copied = copy_out_some(space, address + done, random ? buffer : zeros, part);
        done += copied;
        if (copied < part)
            break;
    }
    return done || !bytes ? (long)done : -LINUX_EFAULT;
}

static long read_node(struct file *file, struct space *space, uint64_t address, size_t bytes,
                      uint64_t *offset)
{
    struct node *node = file->place.node;

    switch (node->kind) {
    case NODE_FILE:
        return read_memory(fs_data(node), node->bytes, space, address, bytes, offset);
    case NODE_MEMORY:
        return memfile_read(node, space, address, bytes, offset);
    case NODE_RAMDISK:
        return ramdisk_read(node, space, address, bytes, offset);
    case NODE_TEXT:
        return read_text(file, space, address, bytes, offset);
    case NODE_PID_MEM:
        return procmem_move(file, space, address, bytes, offset, false);
    case NODE_NULL:
        return 0;
    case NODE_ZERO:
    case NODE_FULL:
        return read_endless(false, space, address, bytes);
    case NODE_DEVMEM:
        return bytes ? -LINUX_EFAULT : 0; /* they can only be mapped */
    case NODE_RANDOM:
        return read_endless(true, space, address, bytes);
    default:
        return -LINUX_EISDIR;
    }
}

long file_read(struct file *file, struct space *space, uint64_t address, size_t bytes,
               uint64_t *offset)
{
    long got = !file->ops        ? read_node(file, space, address, bytes, offset)
               : file->ops->read ? file->ops->read(file, space, address, bytes)
                                 : -LINUX_EINVAL;

    if (got > 0)
        inotify_file(file, LINUX_IN_ACCESS);
    return got;
}

/* ---- writing ---- */

/* The whole text at once; what follows it in the same call is too much. */
static long write_text(const struct place *place, struct space *space, uint64_t address,
                       size_t bytes)
{
    char text[PROC_WRITE_BYTES + 1];

    if (bytes > PROC_WRITE_BYTES)
        return -LINUX_EINVAL;
    if (copy_in(space, text, address, bytes))
        return -LINUX_EFAULT;
    text[bytes] = 0;
    long error = proc_write(place, text);
    return error ? error : (long)bytes;
}

static long write_node(struct file *file, struct space *space, uint64_t address, size_t bytes,
                       uint64_t *offset)
{
    switch (file->place.node->kind) {
    case NODE_NULL:
    case NODE_ZERO:
    case NODE_RANDOM:
        return (long)bytes;
    case NODE_FULL:
        return -LINUX_ENOSPC;
    case NODE_DEVMEM:
        return -LINUX_EFAULT;
    case NODE_TEXT:
        return write_text(&file->place, space, address, bytes);
    case NODE_PID_MEM:
        return procmem_move(file, space, address, bytes, offset, true);
    case NODE_MEMORY:
        if (file->flags & LINUX_O_APPEND)
            *offset = memfile_bytes(file->place.node);
        return memfile_write(file->place.node, space, address, bytes, offset);
    case NODE_RAMDISK:
        return ramdisk_write(file->place.node, space, address, bytes, offset);
    default:
        return -LINUX_EBADF; /* nothing else can be open for writing */
    }
}

long file_write(struct file *file, struct space *space, uint64_t address, size_t bytes,
                uint64_t *offset, size_t wanted)
{
    long put = !file->ops         ? write_node(file, space, address, bytes, offset)
               : file->ops->write ? file->ops->write(file, space, address, bytes, wanted)
                                  : -LINUX_EINVAL;

    if (put > 0)
        inotify_file(file, LINUX_IN_MODIFY);
    return put;
}

/* ---- looking ---- */

struct watched *file_watched(const struct file *file)
{
    return file->ops ? file->ops->watched(file) : NULL;
}

#define ALWAYS_READY (LINUX_POLLIN | LINUX_POLLOUT | LINUX_POLLRDNORM | LINUX_POLLWRNORM)

unsigned file_poll(const struct file *file)
{
    return file->ops ? file->ops->poll(file) : ALWAYS_READY;
}

bool file_seekable(const struct file *file)
{
    return file->kind == FILE_NODE;
}

uint64_t file_bytes(const struct file *file)
{
    const struct node *node = file->place.node;

    return node->kind == NODE_FILE      ? node->bytes
           : node->kind == NODE_MEMORY  ? memfile_bytes(node)
           : node->kind == NODE_RAMDISK ? ramdisk_bytes()
                                        : 0;
}

void file_stat(const struct file *file, struct linux_stat *stat)
{
    if (file_has_place(file)) {
        memfile_stat(&file->place, stat);
        return;
    }
    memset(stat, 0, sizeof(*stat));
    stat->dev = 3;
    stat->ino = (uint64_t)(file - files) + 1;
    stat->mode = file->ops->mode;
    stat->nlink = 1;
    stat->blksize = LINUX_PIPE_BUF;
}
