/*
 * Open files: what a descriptor stands for; shared by dup and clone, counted. Moving their bytes to
 * and from client memory is here too. Big lock held in all functions.
 */
#ifndef LINUX_FILE_H
#define LINUX_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "user/linux/fs.h"
#include "user/linux/sleep.h"

struct pipe;
struct space;

enum file_kind { FILE_NODE, FILE_PIPE_READ, FILE_PIPE_WRITE };

struct file {
    unsigned users; /* 0: free */
    enum file_kind kind;
    uint32_t flags; /* LINUX_O_ACCMODE, NONBLOCK, APPEND */
    uint64_t offset;
    struct place place; /* FILE_NODE */
    struct pipe *pipe;
    char *text; /* of a NODE_TEXT, as it was when its start was read; malloced */
    size_t text_bytes;
};

/* With one user; NULL if there are too many. */
struct file *file_open_place(const struct place *place, uint32_t flags);
/* Two files with one user each: 0, -ENFILE or -ENOMEM. */
long file_open_pipe(struct file **reader, struct file **writer, uint32_t flags);
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
/* Is the node the place of an open file? */
bool file_is_open(const struct node *node);
/* Where to wait after -EAGAIN; NULL if that never comes. */
struct wait_queue *file_wait(struct file *file);
/* LINUX_POLL* that hold now. */
unsigned file_poll(const struct file *file);
/* Whether it has a position: lseek, pread. */
bool file_seekable(const struct file *file);
/* Its size for SEEK_END. */
uint64_t file_bytes(const struct file *file);
void file_stat(const struct file *file, struct linux_stat *stat);

/* Anything that poll could see has changed. */
void file_poll_wake(void);
struct wait_queue *file_poll_wait(void);

#endif
