/*
 * A gather collects the fences of a batch: which addresses of one space lost a right or a
 * translation. gather_finish() sends them once, to the harts that run the space.
 */
#ifndef KERNEL_GATHER_H
#define KERNEL_GATHER_H

#include "kernel/hart.h"
#include "kernel/space.h"

struct gather {
    struct space *space;
    vaddr_t start, end; /* one covering range */
    bool tables;        /* a table was removed: the whole ASID goes */
};

static inline void gather_begin(struct gather *g, struct space *s)
{
    g->space = s;
    g->start = ~0UL;
    g->end = 0;
    g->tables = false;
}
static inline void gather_range(struct gather *g, vaddr_t start, vaddr_t end)
{
    if (start < g->start)
        g->start = start;
    if (end > g->end)
        g->end = end;
}
static inline bool gather_needed(const struct gather *g)
{
    return g->tables || g->start < g->end;
}
/* No lock held that another hart could want while its fence is awaited; the space cannot be
 * destroyed meanwhile (space_hold). Afterwards no hart uses a translation that the gather covers.
 */
void gather_finish(struct gather *g);

/*
 * Mappings leave their blocks' counters when their entries are removed, before the fence. Between
 * the two the calling hart stands as pending: who concludes from counters that memory is not mapped
 * any more, and gives it to somebody else, must find gather_pending() false afterwards.
 */
static inline void gather_open(struct hart *h)
{
    /* Counters go down behind a release fence: whoever sees the lower count sees this. */
    __atomic_store_n(&h->gathering, 1, __ATOMIC_RELAXED);
}
static inline void gather_close(struct hart *h)
{
    __atomic_store_n(&h->gathering, 0, __ATOMIC_RELEASE);
}
/* Some other hart is between gather_open() and gather_close(). */
bool gather_pending(void);

/* No lock held. Afterwards no hart uses any translation that was made before. */
void fence_everywhere(void);

#endif
