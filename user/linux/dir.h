/*
 * Directories: which names there are in one, found by name (one hash over all directories) and
 * listed in the order in which they came. Each name has a number in its directory that never comes
 * again, so a listing goes on where it was whatever came and went meanwhile. Big lock held in all
 * functions.
 */
#ifndef LINUX_DIR_H
#define LINUX_DIR_H

#include "user/linux/fs.h"

#define DIR_FIRST 2 /* number of the first name: "." and ".." have those before */

/* NULL if there is none. */
struct node *dir_find(const struct node *dir, const char *name, size_t bytes);
/* n, which has its name and is in no directory, comes in. */
void dir_add(struct node *dir, struct node *n);
/* n leaves the directory that it is in. */
void dir_remove(struct node *n);
/* The first with that number or a higher one, or NULL. */
struct node *dir_from(struct node *dir, uint64_t number);
static inline bool dir_is_empty(const struct node *dir)
{
    return TAILQ_EMPTY(&dir->names);
}

#endif
