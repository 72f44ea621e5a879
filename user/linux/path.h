/* Paths of clients: from a call's descriptor and address to a place. Big lock held. */
#ifndef LINUX_PATH_H
#define LINUX_PATH_H

#include "user/linux/fs.h"

struct thread;

#define PATH_EMPTY 0x100 /* beside FS_*: an empty path is what the descriptor stands for itself */

/* The place at a client's path, from the directory of descriptor fd on: 0 or -errno. */
long path_find(struct thread *t, int64_t fd, uint64_t address, unsigned flags, struct place *place);
/* The node of a place that is to be changed: also -EROFS. */
long path_find_changed(struct thread *t, int64_t fd, uint64_t address, unsigned flags,
                       struct node **node);
/* A new node for a socket, used once, at that path of less than LINUX_PATH_MAX bytes: 0 or -errno.
 */
long path_make_socket(struct thread *t, const char *name, size_t bytes, struct node **made);
/* What is there: 0 or -errno. */
long path_find_node(struct thread *t, const char *name, size_t bytes, struct node **node);

#endif
