/* Open files (see file.h): one function per direction, with a case for each kind of file. */
#include "user/linux/file.h"

#include <stdlib.h>
#include <string.h>

#include "user/linux/console.h"
#include "user/linux/lock.h"
#include "user/linux/memfile.h"
#include "user/linux/pipe.h"
#include "user/linux/proc.h"
#include "user/linux/random.h"
#include "user/linux/space.h"

#define FILES_MAX    1024
#define BUFFER_BYTES 4096

static struct file files[FILES_MAX];
static struct wait_queue poll_wait = {TAILQ_HEAD_INITIALIZER(poll_wait.threads)};
static char buffer[BUFFER_BYTES]; /* between the console and clients, under the big lock */
static const char zeros[BUFFER_BYTES];

struct wait_queue *file_poll_wait(void)
{
    return &poll_wait;
}

void file_poll_wake(void)
{
    queue_wake(&poll_wait);
}

static struct file *take_free(enum file_kind kind, uint32_t flags)
{
    for (struct file *f = files; f < files + FILES_MAX; f++) {
        if (f->users)
            continue;
        *f = (struct file){.users = 1, .kind = kind, .flags = flags};
        return f;
    }
    return NULL;
}

struct file *file_open_place(const struct place *place, uint32_t flags)
{
    struct file *file = take_free(FILE_NODE, flags);

    if (file) {
        file->place = *place;
        place->node->users++;
    }
    return file;
}

bool file_is_open(const struct node *node)
{
    for (const struct file *f = files; f < files + FILES_MAX; f++) {
        if (f->users && f->kind == FILE_NODE && f->place.node == node)
            return true;
    }
    return false;
}

long file_open_pipe(struct file **reader, struct file **writer, uint32_t flags)
{
    *reader = take_free(FILE_PIPE_READ, flags);
    *writer = *reader ? take_free(FILE_PIPE_WRITE, flags | LINUX_O_WRONLY) : NULL;
    struct pipe *pipe = *writer ? pipe_create() : NULL;

    if (pipe) {
        (*reader)->pipe = (*writer)->pipe = pipe;
        return 0;
    }
    long error = *writer ? -LINUX_ENOMEM : -LINUX_ENFILE;
    if (*reader)
        (*reader)->users = 0;
    if (*writer)
        (*writer)->users = 0;
    return error;
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
    if (file->kind == FILE_PIPE_READ)
        pipe_close_reader(file->pipe);
    else if (file->kind == FILE_PIPE_WRITE)
        pipe_close_writer(file->pipe);
    else if (--file->place.node->users == 0)
        memfile_unused(file->place.node);
    free(file->text);
    file->text = NULL;
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

static long read_console(struct space *space, uint64_t address, size_t bytes)
{
    long got = tty_read(console_tty(), buffer, bytes < BUFFER_BYTES ? bytes : BUFFER_BYTES);

    if (got <= 0)
        return got;
    return copy_out(space, address, buffer, (size_t)got) ? -LINUX_EFAULT : got;
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

static long read_pipe(struct pipe *pipe, struct space *space, uint64_t address, size_t bytes)
{
    size_t done = 0;

    if (pipe_filled(pipe) == 0)
        return pipe->writers ? -LINUX_EAGAIN : 0;
    while (done < bytes) {
        const char *piece;
        size_t part = pipe_read_piece(pipe, bytes - done, &piece);
        if (part == 0)
            break;
        size_t copied = copy_out_some(space, address + done, piece, part);
        pipe_read_done(pipe, copied);
        done += copied;
        if (copied < part)
            return done ? (long)done : -LINUX_EFAULT;
    }
    return (long)done;
}

long file_read(struct file *file, struct space *space, uint64_t address, size_t bytes,
               uint64_t *offset)
{
    const struct node *node = file->place.node;

    if (file->kind != FILE_NODE)
        return read_pipe(file->pipe, space, address, bytes);
    switch (node->kind) {
    case NODE_FILE:
        return read_memory(fs_data(node), node->bytes, space, address, bytes, offset);
    case NODE_MEMORY:
        return memfile_read(node, space, address, bytes, offset);
    case NODE_TEXT:
        return read_text(file, space, address, bytes, offset);
    case NODE_CONSOLE:
        return read_console(space, address, bytes);
    case NODE_NULL:
        return 0;
    case NODE_ZERO:
    case NODE_FULL:
        return read_endless(false, space, address, bytes);
    case NODE_RANDOM:
        return read_endless(true, space, address, bytes);
    default:
        return -LINUX_EISDIR;
    }
}

/* ---- writing ---- */

static long write_console(struct space *space, uint64_t address, size_t bytes)
{
    size_t done = 0;

    while (done < bytes) {
        size_t part = bytes - done < BUFFER_BYTES ? bytes - done : BUFFER_BYTES;
        size_t copied = copy_in_some(space, buffer, address + done, part);
        tty_write(console_tty(), buffer, copied);
        done += copied;
        if (copied < part)
            break;
    }
    return done || !bytes ? (long)done : -LINUX_EFAULT;
}

static long write_pipe(struct pipe *pipe, struct space *space, uint64_t address, size_t bytes,
                       size_t wanted)
{
    size_t done = 0;

    if (!pipe->readers)
        return -LINUX_EPIPE;
    if (pipe_room(pipe) < wanted)
        return -LINUX_EAGAIN;
    while (done < bytes) {
        char *piece;
        size_t part = pipe_write_piece(pipe, bytes - done, &piece);
        if (part == 0)
            break;
        size_t copied = copy_in_some(space, piece, address + done, part);
        pipe_write_done(pipe, copied);
        done += copied;
        if (copied < part)
            return done ? (long)done : -LINUX_EFAULT;
    }
    return (long)done;
}

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

long file_write(struct file *file, struct space *space, uint64_t address, size_t bytes,
                uint64_t *offset, size_t wanted)
{
    if (file->kind != FILE_NODE)
        return write_pipe(file->pipe, space, address, bytes, wanted);
    switch (file->place.node->kind) {
    case NODE_CONSOLE:
        return write_console(space, address, bytes);
    case NODE_NULL:
    case NODE_ZERO:
    case NODE_RANDOM:
        return (long)bytes;
    case NODE_FULL:
        return -LINUX_ENOSPC;
    case NODE_TEXT:
        return write_text(&file->place, space, address, bytes);
    case NODE_MEMORY:
        if (file->flags & LINUX_O_APPEND)
            *offset = memfile_bytes(file->place.node);
        return memfile_write(file->place.node, space, address, bytes, offset);
    default:
        return -LINUX_EBADF; /* nothing else can be open for writing */
    }
}

/* ---- looking ---- */

struct wait_queue *file_wait(struct file *file)
{
    if (file->kind == FILE_PIPE_READ)
        return &file->pipe->read_wait;
    if (file->kind == FILE_PIPE_WRITE)
        return &file->pipe->write_wait;
    return file->place.node->kind == NODE_CONSOLE ? console_wait() : NULL;
}

unsigned file_poll(const struct file *file)
{
    if (file->kind == FILE_PIPE_READ)
        return (pipe_filled(file->pipe) ? LINUX_POLLIN : 0) |
               (file->pipe->writers ? 0 : LINUX_POLLHUP);
    if (file->kind == FILE_PIPE_WRITE)
        return (pipe_room(file->pipe) >= LINUX_PIPE_BUF ? LINUX_POLLOUT : 0) |
               (file->pipe->readers ? 0 : LINUX_POLLERR);
    if (file->place.node->kind == NODE_CONSOLE)
        return LINUX_POLLOUT | (tty_has_input(console_tty()) ? LINUX_POLLIN : 0);
    return LINUX_POLLIN | LINUX_POLLOUT;
}

bool file_seekable(const struct file *file)
{
    if (file->kind != FILE_NODE)
        return false;
    return file->place.node->kind != NODE_CONSOLE;
}

uint64_t file_bytes(const struct file *file)
{
    const struct node *node = file->place.node;

    return node->kind == NODE_FILE     ? node->bytes
           : node->kind == NODE_MEMORY ? memfile_bytes(node)
                                       : 0;
}

void file_stat(const struct file *file, struct linux_stat *stat)
{
    if (file->kind == FILE_NODE) {
        memfile_stat(&file->place, stat);
        return;
    }
    memset(stat, 0, sizeof(*stat));
    stat->dev = 3;
    stat->ino = (uint64_t)(file - files) + 1;
    stat->mode = LINUX_S_IFIFO | 0600;
    stat->nlink = 1;
    stat->blksize = LINUX_PIPE_BUF;
}
