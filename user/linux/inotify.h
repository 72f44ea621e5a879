/*
 * inotify: files that tell what happens to other files.
 *
 *   struct inotify (a descriptor) ──< watch >── node      a watch is on one node, for some events
 *
 * What happens is told by the call that does it: to the watches of the node, and to those of the
 * directory that its first name is in, with that name. Whether there is any is one look at either
 * node, so who is not watched pays for that only.
 *
 * A watch does not keep its node: when that goes, the watch goes, and its owner is told. Events
 * wait in the descriptor's queue, of bounded length; one that is like the last in it is left out.
 * Big lock held in all functions.
 */
#ifndef LINUX_INOTIFY_H
#define LINUX_INOTIFY_H

#include <stddef.h>

#include "user/linux/abi_inotify.h"
#include "user/linux/file.h"

#define INOTIFY_EVENTS_MAX    16384 /* in one queue */
#define INOTIFY_WATCHES_MAX   8192  /* of the whole system, */
#define INOTIFY_INSTANCES_MAX 128   /* and descriptors */

/* The rest of what follows, for those who are watched. */
void inotify_tell(struct node *node, uint32_t event);
void inotify_tell_self(struct node *node, uint32_t event);
void inotify_tell_name(struct node *dir, const char *name, uint32_t event, uint32_t cookie);

/* It has happened to a node; its directory's watches hear of it too. */
static inline void inotify_node(struct node *node, uint32_t event)
{
    if (node->notices || node->parent->notices)
        inotify_tell(node, event);
}
/* To the node, whatever its name is. */
static inline void inotify_self(struct node *node, uint32_t event)
{
    if (node->notices)
        inotify_tell_self(node, event);
}
/* To a name in a directory; the cookie joins the two halves of a move. */
static inline void inotify_name(struct node *dir, const char *name, uint32_t event, uint32_t cookie)
{
    if (dir->notices)
        inotify_tell_name(dir, name, event, cookie);
}
/* To what an open file is of; what is below /proc/PID is nobody's to watch. */
static inline void inotify_file(const struct file *file, uint32_t event)
{
    if (file->place.node && !file->place.pid && !file->place.number)
        inotify_node(file->place.node, event);
}
uint32_t inotify_next_cookie(void);
/* A node is about to be freed. */
void inotify_node_gone(struct node *node);
/* Bytes that wait to be read. */
size_t inotify_readable(const struct inotify *inotify);

#endif
