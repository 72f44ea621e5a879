/* Paths that name sockets: what bind and connect need of path.c. Big lock held. */
#ifndef LINUX_PATH_H
#define LINUX_PATH_H

#include <stddef.h>

struct node;
struct thread;

/* A new node for a socket, used once, at that path of less than LINUX_PATH_MAX bytes: 0 or -errno.
 */
long path_make_socket(struct thread *t, const char *name, size_t bytes, struct node **made);
/* What is there: 0 or -errno. */
long path_find_node(struct thread *t, const char *name, size_t bytes, struct node **node);

#endif
