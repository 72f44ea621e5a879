/*
 * /proc/PID/mem: the memory of a process as a file whose positions are addresses. Who may look into
 * the process may open it; then it is about the address space that the process had at that time,
 * and comes to its end when that one has gone, by exec or exit. Big lock held in all functions.
 */
#ifndef LINUX_PROCMEM_H
#define LINUX_PROCMEM_H

#include "user/linux/file.h"

/* `file`, of that place, has just been opened: 0 or -EACCES. */
long procmem_open(const struct thread *t, struct file *file);
static inline bool file_is_procmem(const struct file *file)
{
    return file->kind == FILE_NODE && file->place.node->kind == NODE_PID_MEM;
}
/* As file_read() and file_write(), whatever the rights of its mappings. */
long procmem_move(const struct file *file, struct space *space, uint64_t address, size_t bytes,
                  uint64_t *offset, bool write);

#endif
