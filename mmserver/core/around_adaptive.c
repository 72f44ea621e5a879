/*
 * policy=adaptive: a fault-around of adaptive width, the worked example of
 * docs/how-to-add-a-policy.md.
 *
 * A read fault right behind what the last one of its mapping brought doubles the window, any other
 * halves it: who reads in order soon gets 1 MiB a fault, who jumps about gets little that he did
 * not ask for. Each hart remembers a few mappings; it needs no lock, and what it remembers of a
 * mapping that is gone is only compared, never followed.
 */
#include "mmserver/core/around.h"
#include "mmserver/core/object.h"

#define REMEMBERED  8 /* mappings of a hart, a power of two */
#define FIRST_BYTES (16 * PAGE_BYTES)
#define LEAST_BYTES (4 * PAGE_BYTES)

struct habit {
    const struct vma *vma;
    vaddr_t next; /* where who reads in order will fault */
    uint64_t bytes;
};

static struct habit habits[BOOT_HARTS_MAX][REMEMBERED];

static struct habit *habit_of(const struct fault *f)
{
    uintptr_t number = (uintptr_t)f->vma / sizeof *f->vma;
    struct habit *h = &habits[f->w->hart][number & (REMEMBERED - 1)];

    if (h->vma != f->vma)
        *h = (struct habit){.vma = f->vma, .bytes = FIRST_BYTES};
    return h;
}

static uint64_t adaptive_bytes(const struct fault *f)
{
    struct habit *h = habit_of(f);

    if (f->address == h->next)
        h->bytes = min_u64(h->bytes * 2, OBJECT_AROUND_MAX);
    else if (h->next)
        h->bytes = max_u64(h->bytes / 2, LEAST_BYTES);
    vaddr_t start = around_start(f->vma, f->address, h->bytes);
    h->next = around_end(f->vma, f->address, start, h->bytes);
    return h->bytes;
}

const struct around_policy around_adaptive = {.name = "adaptive", .bytes = adaptive_bytes};
