/*
 * Open files: what a descriptor stands for; shared by dup and clone, counted. Moving their bytes to
 * and from client memory is here too. Big lock held in all functions.
 */
#ifndef LINUX_FILE_H
#define LINUX_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "user/linux/fs.h"
#include "user/linux/watch.h"

#define FILES_MAX 4096 /* of the whole system */

struct epoll;
struct epoll_item;
struct eventfd;
struct inotify;
struct pidfd;
struct pipe;
struct pty;
struct socket;
struct space;
struct terminal;
struct thread;
struct timerfd;

enum file_kind {
    FILE_NODE,
    FILE_PIPE,
    FILE_EPOLL,
    FILE_SOCKET,
    FILE_EVENT,
    FILE_TIMER,
    FILE_SIGNAL,
    FILE_PIDFD,
    FILE_TERMINAL,
    FILE_PTMX,
    FILE_INOTIFY
};

/* What a file does that is no node of the tree. What is not there cannot be done, which is -EINVAL
 * (or cannot be open for it). */
struct file_ops {
    uint32_t mode; /* of fstat, if there is no place */
    long (*read)(struct file *file, struct space *space, uint64_t address, size_t bytes);
    long (*write)(struct file *file, struct space *space, uint64_t address, size_t bytes,
                  size_t wanted);
    unsigned (*poll)(const struct file *file);
    struct watched *(*watched)(const struct file *file);
    void (*close)(struct file *file); /* its last user has gone */
};

struct file {
    unsigned users;  /* 0: free */
    unsigned flying; /* of these, those of descriptors on their way in messages of sockets */
    enum file_kind kind;
    const struct file_ops *ops; /* NULL: FILE_NODE */
    uint32_t flags;             /* LINUX_O_ACCMODE, NONBLOCK, APPEND */
    uint64_t offset;
    struct place place; /* FILE_NODE, FILE_PIPE, terminals: what was opened */
    bool writer;        /* counted as one there */
    union {
        struct {
            struct pipe *pipe;
            unsigned writers_before; /* that it does not miss: they were gone when it was opened */
        };
        struct epoll *epoll;
        struct socket *socket;
        struct eventfd *event;
        struct timerfd *timer;
        struct {
            uint64_t mask;
            int pid; /* of the process whose signals it waits for */
        } signal;
        struct pidfd *pidfd;
        struct inotify *inotify;
        struct terminal *terminal;
        struct pty *pty;       /* FILE_PTMX */
        uint64_t space_serial; /* NODE_PID_MEM: of what it is about */
    };
    LIST_HEAD(, epoll_item) items; /* of the epolls that it is in */
    LIST_ENTRY(file) unused;       /* in the list of free ones */
    char *text;                    /* of a NODE_TEXT, as it was when its start was read; malloced */
    size_t text_bytes;
};

/* Whether there is a node behind it. */
static inline bool file_has_place(const struct file *file)
{
    return file->place.node != NULL;
}
/* With one user; NULL if there are too many. */
struct file *file_open_place(const struct place *place, uint32_t flags);
/* The same, of another kind. The caller puts in what belongs to it, or discards it, unclosed. */
struct file *file_open(enum file_kind kind, const struct file_ops *ops, uint32_t flags);
void file_discard(struct file *file);
/* It was opened by a name, to write: that file is not to be executed meanwhile. */
void file_set_writer(struct file *file);
void file_get(struct file *file);
void file_put(struct file *file);

/*
 * Move up to `bytes` between the file, from *offset on, and the client's memory at `address`. Bytes
 * moved, and *offset moves along; 0: end of file; -EAGAIN: there is nothing yet (or no room);
 * -errno. `wanted` is how much room a pipe must have before anything is written.
 */
long file_read(struct file *file, struct space *space, uint64_t address, size_t bytes,
               uint64_t *offset);
long file_write(struct file *file, struct space *space, uint64_t address, size_t bytes,
                uint64_t *offset, size_t wanted);
/* Where to wait for a change of what file_poll() gives; NULL if that never changes. */
struct watched *file_watched(const struct file *file);
/* LINUX_POLL* that hold now. */
unsigned file_poll(const struct file *file);
/* Whether it has a position: lseek, pread. */
bool file_seekable(const struct file *file);
/* Its size for SEEK_END. */
uint64_t file_bytes(const struct file *file);
void file_stat(const struct file *file, struct linux_stat *stat);

#endif
