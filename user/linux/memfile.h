/*
 * Memory files: those of /tmp and /dev/shm, and memfds. The tree (fs.h) knows their nodes; their
 * bytes are an object of the memory server, which copies between it and clients. Big lock held in
 * all functions.
 */
#ifndef LINUX_MEMFILE_H
#define LINUX_MEMFILE_H

#include "user/linux/fs.h"

struct file;
struct space;

/* A new empty file of that name in a memory directory, or a memfd (dir NULL): 0 or -errno. */
long memfile_make(struct node *dir, const char *name, size_t bytes, uint32_t mode,
                  struct node **made);
/* A name of a file or of an empty directory goes: 0 or -ENOTEMPTY, -ENOMEM. */
long memfile_remove(struct node *name);
/* An open file, a working directory or a program keeps a node (any), or does no more: then it goes
 * if it has no name. NULL is none. */
void node_get(struct node *node);
void node_put(struct node *node);
/* *place becomes `to`, and keeps its node instead of the one before. */
void place_set(struct place *place, const struct place *to);
/* What has happened to a node now. */
#define STAMP_ACCESSED 0x1
#define STAMP_MODIFIED 0x2
#define STAMP_CHANGED  0x4
void node_stamp(struct node *node, unsigned what);

/* Between a node's object and a client, whatever the node is. */
long memfile_move(const struct node *node, struct space *space, uint64_t address, size_t bytes,
                  uint64_t *offset, bool write);
/* As file_read() and file_write(). */
long memfile_read(struct node *node, struct space *space, uint64_t address, size_t bytes,
                  uint64_t *offset);
long memfile_write(struct node *node, struct space *space, uint64_t address, size_t bytes,
                   uint64_t *offset);
uint64_t memfile_bytes(const struct node *node);
long memfile_resize(struct node *node, int64_t bytes);
/* SEEK_DATA, SEEK_HOLE of any file with a position: the new one or -errno. */
int64_t memfile_seek(const struct file *file, uint64_t offset, bool data);
/* fs_stat(), with the size of a memory file. */
void memfile_stat(const struct place *place, struct linux_stat *stat);
/* F_ADD_SEALS, F_GET_SEALS. */
long memfile_add_seals(const struct file *file, uint32_t seals);
long memfile_get_seals(const struct file *file);

#endif
