/*
 * Pseudo-terminals: a terminal (the slave, /dev/pts/N) whose line is another file (the master, made
 * by opening /dev/ptmx). What is written to the master is typed at the slave, and what the slave
 * shows is read from the master.
 *
 *   master write ─▶ tty_input() ─▶ slave read         a slave that is not read holds the master up,
 *   master read  ◀─ ring        ◀─ tty_write, echo    and a master that is not read the slave; an
 *                                                     echo that finds no room is lost
 *
 * Life: from the opening of the master until it and all files of the slave are closed; the number
 * is in use as long, the name goes with the master. A master without a slave waits before the first
 * was opened; after the last was closed it reads what is left, then -EIO. Big lock held in all
 * functions.
 */
#ifndef LINUX_PTY_H
#define LINUX_PTY_H

#include <stddef.h>
#include <stdint.h>

#include "user/linux/fs.h"

#define PTYS_MAX    64
#define PTY_DEVICE  (136 << 8) /* of number 0 */
#define PTMX_DEVICE (5 << 8 | 2)

struct file;
struct pty;
struct terminal;
struct thread;

long pty_open_master(const struct place *place, uint32_t flags, struct file **made);
/* By its name, /dev/pts/N: -EIO while it is locked (TIOCSPTLCK), or without a master. */
long pty_open_slave(const struct place *place, uint32_t flags, struct file **made);
/* A slave by another name, /dev/tty. */
long pty_open_again(struct terminal *slave, const struct place *place, uint32_t flags,
                    struct file **made);
struct terminal *pty_terminal(struct pty *pty);
/* Bytes that a read of the master would give now. */
size_t pty_readable(const struct pty *pty);
/* What only a master can be asked. */
long pty_ioctl(struct thread *t, struct pty *pty, uint32_t request, uint64_t argument);
/* The lowest number from `from` on that has a name; -1: none. */
int pty_from(int from);

#endif
