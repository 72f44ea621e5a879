/*
 * Sending the fences that a gather collected. Why none is missed: kernel/space_run.c.
 *
 * Nothing is locked here. The space's number may change while this looks at it, if the space runs
 * nowhere; then no hart holds anything under the new number, and what it held under the old one is
 * never used again.
 */
#include "kernel/gather.h"
#include "arch/arch.h"
#include "kernel/asid.h"

/* More pages than this are not worth a fence each. */
#define RANGE_PAGES_MAX 32

struct fence {
    uint64_t asid;
    vaddr_t start, end; /* start == end: the whole ASID */
};

static void fence_here(const struct fence *f)
{
    if (f->asid == 0)
        arch_fence_all();
    else if (f->start == f->end)
        arch_fence_asid(f->asid);
    else
        arch_fence_range(f->asid, f->start, f->end);
    count(this_hart(), COUNT_fence_local);
}

static void fence_there(uint64_t mask, const struct fence *f)
{
    if (f->asid == 0)
        arch_fence_all_remote(mask);
    else if (f->start == f->end)
        arch_fence_asid_remote(mask, f->asid);
    else
        arch_fence_range_remote(mask, f->asid, f->start, f->end);
    this_hart()->counter[COUNT_fence_remote] += (uint64_t)__builtin_popcountll(mask);
}

void gather_finish(struct gather *g)
{
    struct space *s = g->space;
    uint64_t me = 1UL << this_hart()->id;

    if (!gather_needed(g))
        return;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    uint64_t running = __atomic_load_n(&s->running, __ATOMIC_RELAXED);
    uint64_t seen = __atomic_load_n(&s->seen, __ATOMIC_RELAXED);
    if (seen & ~running)
        __atomic_fetch_or(&s->stale, seen & ~running, __ATOMIC_SEQ_CST);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    running |= __atomic_load_n(&s->running, __ATOMIC_ACQUIRE);

    struct fence f = {.asid = asid_number(s), .start = g->start, .end = g->end};
    if (g->tables || g->end - g->start > RANGE_PAGES_MAX * PAGE_BYTES)
        f.end = f.start;
    if (running & me)
        fence_here(&f);
    if (running & ~me)
        fence_there(running & ~me, &f);
}

bool gather_pending(void)
{
    const struct hart *me = this_hart();

    for (unsigned i = 0; i < harts_online; i++)
        if (harts[i] != me && __atomic_load_n(&harts[i]->gathering, __ATOMIC_ACQUIRE))
            return true;
    return false;
}

void fence_everywhere(void)
{
    struct hart *h = this_hart();
    uint64_t all = harts_online == 64 ? ~0UL : (1UL << harts_online) - 1;
    uint64_t others = all & ~(1UL << h->id);

    arch_fence_all();
    count(h, COUNT_fence_local);
    if (others) {
        arch_fence_all_remote(others);
        h->counter[COUNT_fence_remote] += (uint64_t)__builtin_popcountll(others);
    }
}
