/*
 * Numbers for mms and clients: a table of pointers, the lowest free number above the last one given
 * is the next. Who goes through all of them skips 64 unused ones at a time: workers do so whenever
 * they are idle. One lock for both tables, LOCK_IDS, and for the reference counts that go with
 * them.
 */
#ifndef MMSERVER_CORE_IDS_H
#define MMSERVER_CORE_IDS_H

#include "mmserver/core/lock.h"

#define ID_GROUP 64

struct id_table {
    void **slot;
    uint8_t *used_in; /* how many of each group of ID_GROUP are in use */
    uint32_t first;   /* the lowest number given; slots below stay empty */
    uint32_t size;
    uint32_t last;
    uint32_t used;
};

extern struct lock ids_lock;

/* All with ids_lock held. */
static inline uint32_t id_take_locked(struct id_table *t, void *object)
{
    uint32_t id = t->last;

    for (uint32_t i = t->first; i < t->size; i++) {
        id = id + 1 < t->size && id >= t->first ? id + 1 : t->first;
        if (!t->slot[id]) {
            t->slot[id] = object;
            t->last = id;
            t->used++;
            t->used_in[id / ID_GROUP]++;
            return id;
        }
    }
    return 0;
}
static inline void *id_find_locked(const struct id_table *t, uint64_t id)
{
    return id < t->size ? t->slot[id] : NULL;
}
static inline void id_drop_locked(struct id_table *t, uint32_t id)
{
    t->slot[id] = NULL;
    t->used--;
    t->used_in[id / ID_GROUP]--;
}
/* The number after `id` that is in use, or 0. */
static inline uint64_t id_next_locked(const struct id_table *t, uint64_t id)
{
    for (id++; id < t->size; id++) {
        if (!t->used_in[id / ID_GROUP])
            id |= ID_GROUP - 1; /* the last of its group, and unused as all of it */
        else if (t->slot[id])
            return id;
    }
    return 0;
}

#endif
