/* Directories (see dir.h). */
#include "user/linux/dir.h"

#include <string.h>

#define BUCKETS 4096

static LIST_HEAD(, node) bucket[BUCKETS];

static unsigned bucket_of(const struct node *dir, const char *name, size_t bytes)
{
    uint32_t hash = 2166136261u ^ dir->ino; /* FNV-1a */

    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ (uint8_t)name[i]) * 16777619u;
    return (hash ^ hash >> 16) % BUCKETS;
}

struct node *dir_find(const struct node *dir, const char *name, size_t bytes)
{
    struct node *n;

    LIST_FOREACH(n, &bucket[bucket_of(dir, name, bytes)], alike)
    {
        if (n->parent == dir && strlen(n->name) == bytes && memcmp(n->name, name, bytes) == 0)
            return n;
    }
    return NULL;
}

void dir_add(struct node *dir, struct node *n)
{
    n->parent = dir;
    n->number = DIR_FIRST + dir->numbered++;
    TAILQ_INSERT_TAIL(&dir->names, n, beside);
    LIST_INSERT_HEAD(&bucket[bucket_of(dir, n->name, strlen(n->name))], n, alike);
}

void dir_remove(struct node *n)
{
    struct node *dir = n->parent;

    if (dir->listed == n)
        dir->listed = TAILQ_PREV(n, node_list, beside);
    TAILQ_REMOVE(&dir->names, n, beside);
    LIST_REMOVE(n, alike);
}

struct node *dir_from(struct node *dir, uint64_t number)
{
    struct node *n = dir->listed;

    if (!n || n->number > number)
        n = TAILQ_FIRST(&dir->names);
    while (n && n->number < number)
        n = TAILQ_NEXT(n, beside);
    if (n)
        dir->listed = n;
    return n;
}
