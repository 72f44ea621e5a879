/*
 * Advisory locks of files: record locks of processes (fcntl) and of open files (OFD), and flock.
 *
 * A process's record locks on a file go when it closes any descriptor of that file; those of an
 * open file go with it. Who waits for a lock waits in one queue for all, and looks again whenever
 * one goes: locks are few. Big lock held in all functions.
 */
#ifndef LINUX_FILELOCK_H
#define LINUX_FILELOCK_H

#include <stdint.h>

#include "user/linux/thread.h"

struct fd_table;
struct file;

/* fcntl's F_GETLK, F_SETLK, F_SETLKW and their F_OFD_ forms, with the client's struct flock. */
long filelock_fcntl(struct thread *t, struct file *file, uint32_t command, uint64_t address);
/* A descriptor of the file leaves that table. */
void filelock_closed(const struct fd_table *table, const struct file *file);
/* The file's last user has gone. */
void filelock_gone(const struct file *file);

#endif
