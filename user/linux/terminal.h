/*
 * Terminals, as descriptors of them see them: the console, and the slave of each pseudo-terminal.
 *
 *   file ── struct terminal ── line discipline (tty.h) ── the line: a UART, or a master (pty.h)
 *
 * A terminal belongs to at most one session, whose leader took it, and a session has at most one:
 * /dev/tty is that. Of the session's groups one is in the foreground; the others stop when they
 * read, or change the terminal.
 *
 * One that is hung up is of no use any more: its files stay open, reading them gives their end, all
 * else -EIO. Big lock held in all functions.
 */
#ifndef LINUX_TERMINAL_H
#define LINUX_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "user/linux/fs.h"
#include "user/linux/tty.h"
#include "user/linux/watch.h"

#define TERMINAL_IN  (LINUX_POLLIN | LINUX_POLLRDNORM)
#define TERMINAL_OUT (LINUX_POLLOUT | LINUX_POLLWRNORM)
#define TERMINAL_ALL (TERMINAL_IN | TERMINAL_OUT | LINUX_POLLERR | LINUX_POLLHUP)

struct file;
struct process;
struct thread;

struct terminal {
    struct tty tty;         /* the first member: functions of the tty are given it */
    struct watched watched; /* who waits to read or to write */
    LIST_ENTRY(terminal) beside;
    uint32_t device;
    bool hung_up;

    /* Of the line's owner; NULL: it does not mind. */
    size_t (*room)(const struct terminal *terminal); /* how much may be put; NULL: anything */
    void (*drained)(struct terminal *terminal);      /* input was taken, or thrown away */
    void (*closed)(struct terminal *terminal);       /* a file of it is no more; maybe the last */
    void (*packet)(struct terminal *terminal, unsigned what); /* see `tell` of struct tty */
};

/* The owner has set its functions, and the tty's `put`. */
void terminal_init(struct terminal *terminal, uint32_t device);
void terminal_end(struct terminal *terminal);
/* Its session ends: the leader is sent SIGHUP and SIGCONT, and who waits here goes on. */
void terminal_hang_up(struct terminal *terminal);
void terminal_signal(struct terminal *terminal, int signal);
/* The controlling terminal of a session, or NULL. */
struct terminal *terminal_of_session(int sid);
/* That of a process, which may have given it up for itself. */
struct terminal *terminal_of_process(const struct process *p);
/* It becomes that of a leader that has none, and of its session. */
void terminal_take(struct terminal *terminal, struct process *leader);
/* A leader is no more: its session has no terminal, and the foreground is sent SIGHUP. */
void terminal_leader_gone(const struct process *leader);

/* A new file of it; `place` is by what it was opened. NULL if there are too many. */
struct file *terminal_file(struct terminal *terminal, const struct place *place, uint32_t flags);
/* Whether opening a node of that kind is terminal_open()'s. */
bool terminal_is_node(enum node_kind kind);
/* Open what is at that place, for t: 0 or -errno. `take`: a leader that has no terminal gets it as
 * its session's. */
long terminal_open(struct thread *t, const struct place *place, uint32_t flags, bool take,
                   struct file **made);
/* The terminal that a file is of, also if it is a master's; NULL: it is none. */
struct terminal *terminal_of(const struct file *file);

/* Whether t may read from or write to a file of FILE_TERMINAL now: 0; or it waits, is stopped, or
 * -EIO. */
long terminal_before_read(struct thread *t, struct file *file);
long terminal_before_write(struct thread *t, struct file *file);
/* The same, for what changes the terminal. */
long terminal_before_change(struct thread *t, struct file *file);
long terminal_ioctl(struct thread *t, struct file *file, uint32_t request, uint64_t argument);

#endif
