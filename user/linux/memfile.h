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
/* A file or an empty directory leaves its directory: 0 or -EBUSY, -ENOTEMPTY. */
long memfile_remove(struct node *node);
/* Nothing uses the node any more: it goes if it is in no directory. */
void memfile_unused(struct node *node);

/* As file_read() and file_write(). */
long memfile_read(const struct node *node, struct space *space, uint64_t address, size_t bytes,
                  uint64_t *offset);
long memfile_write(const struct node *node, struct space *space, uint64_t address, size_t bytes,
                   uint64_t *offset);
uint64_t memfile_bytes(const struct node *node);
long memfile_resize(const struct node *node, int64_t bytes);
/* SEEK_DATA, SEEK_HOLE of any file with a position: the new one or -errno. */
int64_t memfile_seek(const struct file *file, uint64_t offset, bool data);
/* fs_stat(), with the size of a memory file. */
void memfile_stat(const struct place *place, struct linux_stat *stat);
/* F_ADD_SEALS, F_GET_SEALS. */
long memfile_add_seals(const struct file *file, uint32_t seals);
long memfile_get_seals(const struct file *file);

#endif
