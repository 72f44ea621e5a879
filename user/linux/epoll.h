/*
 * epoll: a set of files that is asked for those which became ready.
 *
 * Each file in the set has an item: a watch at the file, found from the file by (epoll,
 * descriptor). An item that was told of a change stands in its epoll's list `changed`; who waits
 * for the epoll looks at those in the list only. So waiting costs what happened, not what could
 * happen.
 *
 * Invariants: an item is in `changed` at most once; a ready item that is level-triggered is in it;
 * an item's file is open, and goes with its last user, closing the item. An epoll may be in another
 * one, without circles and not deeper than Linux allows. Big lock held in all functions.
 */
#ifndef LINUX_EPOLL_H
#define LINUX_EPOLL_H

struct file;
struct watch;

/* Something changed at the file where an item lies. */
void epoll_notify(struct watch *watch);
/* The file's last user has gone: it is in no epoll any more. */
void epoll_forget(struct file *file);

#endif
