/*
 * File descriptor tables: small numbers for open files. Processes share a table after
 * clone(CLONE_FILES), and it counts them. A table holds one use of each file in it. Big lock held
 * in all functions.
 */
#ifndef LINUX_FD_H
#define LINUX_FD_H

#include <stdbool.h>
#include <stdint.h>

#define FDS_MAX  16384 /* fs.nr_open */
#define FDS_SOFT 1024  /* RLIMIT_NOFILE at the start, and */
#define FDS_HARD 4096  /* how far who is not root may raise it */
#define FDS_FEW  256   /* for which a table has room from the start */

struct file;

struct fd_table {
    unsigned end; /* none is open from here on, and what follows says nothing */
    unsigned users;
    unsigned limit;     /* numbers from here on are not given: RLIMIT_NOFILE */
    unsigned room;      /* of `file` */
    struct file **file; /* `few`, or malloced */
    struct file *few[FDS_FEW];
    uint64_t close_exec[FDS_MAX / 64]; /* of those that are open */
};

/* An empty one with one user, or a copy of `of`; NULL without memory. */
struct fd_table *fd_table_create(const struct fd_table *of);
/* What others use too becomes a copy; false without memory. */
bool fd_table_unshare(struct fd_table **table);
/* The last user's going closes all. */
void fd_table_put(struct fd_table *table);

/* NULL if fd is not open. */
struct file *fd_get(const struct fd_table *table, int64_t fd);
/* The lowest free number from `from` on, which takes over the caller's use of the file; -EMFILE,
 * -ENOMEM. */
long fd_install(struct fd_table *table, struct file *file, unsigned from, bool close_exec);
/* The same for a file that was just made: it goes again if there is no number for it. */
long fd_install_new(struct fd_table *table, struct file *file, bool close_exec);
/* RLIMIT_NOFILE; what is open beyond it stays open. */
void fd_set_limit(struct fd_table *table, uint64_t limit);
/* Whether there is a number free. */
bool fd_has_room(const struct fd_table *table);
/* Put the file (the caller's use of it) at that number, closing what is there: 0 or -ENOMEM. */
long fd_replace(struct fd_table *table, unsigned fd, struct file *file, bool close_exec);
/* 0 or -EBADF. */
long fd_close(struct fd_table *table, int64_t fd);
void fd_close_exec(struct fd_table *table);
bool fd_is_close_exec(const struct fd_table *table, unsigned fd);
void fd_set_close_exec(struct fd_table *table, unsigned fd, bool on);

#endif
