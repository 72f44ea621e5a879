/*
 * One freed object of a kind is kept for the next that is made: a fork, an exit and the next fork
 * use the same memory, and the C library need not look for a place. Big lock held.
 */
#ifndef LINUX_SPARE_H
#define LINUX_SPARE_H

#include <stddef.h>
#include <stdlib.h>

struct spare {
    void *object;
};

/* Memory for an object of that kind, always of the same size; NULL if there is none. */
static inline void *spare_take(struct spare *s, size_t bytes)
{
    void *object = s->object;

    s->object = NULL;
    return object ? object : malloc(bytes);
}

static inline void spare_give(struct spare *s, void *object)
{
    if (s->object)
        free(object);
    else
        s->object = object;
}

#endif
