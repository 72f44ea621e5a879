/* What is seen of object caches: /proc/slabinfo in Linux's format 2.1, and their recount. */
#include "mmserver/core/slab_internal.h"
#include "mmserver/core/slab_report.h"
#include <string.h>

#define UNITS_MAX (SLAB_BYTES_MAX / SLAB_LINK_UNIT)

static void column(struct text *t, uint64_t value, unsigned width)
{
    text_char(t, ' ');
    text_number(t, value, 10, width, ' ');
}

static void cache_line(struct text *t, const struct slab_cache *c)
{
    uint64_t start = text_mark(t), limit = (uint64_t)(c->magazine[0].limit - c->magazine[0].slot);

    text_string(t, c->name);
    text_pad(t, start, 17);
    column(t, slab_in_use(c), 6);
    column(t, c->slabs * c->per_slab, 6);
    column(t, c->stride, 6);
    column(t, c->per_slab, 4);
    column(t, 1UL << c->order, 4);
    text_string(t, " : tunables");
    column(t, limit, 4);
    column(t, c->half, 4);
    column(t, 0, 4);
    text_string(t, " : slabdata");
    column(t, c->slabs - c->empty, 6);
    column(t, c->slabs, 6);
    column(t, 0, 6);
    text_char(t, '\n');
}

void slab_report_info(struct text *t)
{
    struct slab_cache *c;

    text_string(t, "slabinfo - version: 2.1\n"
                   "# name            <active_objs> <num_objs> <objsize> <objperslab> "
                   "<pagesperslab> : tunables <limit> <batchcount> <sharedfactor> : slabdata "
                   "<active_slabs> <num_slabs> <sharedavail>\n");
    lock_take(&slab_caches_lock);
    LIST_FOREACH(c, &slab_caches, link)
    cache_line(t, c);
    lock_drop(&slab_caches_lock);
}

/* ---- the recount ---- */

struct recount {
    bool say;
    uint64_t wrong;
    uint64_t seen[UNITS_MAX / 64]; /* objects of one slab found in a place, by number */
};

static void expect(struct recount *r, bool good, const char *what, const struct slab_cache *c,
                   uint64_t is, uint64_t wanted)
{
    if (good)
        return;
    r->wrong++;
    if (r->say)
        text_log("check: cache %s: %s is %lu, recount %lu", c->name, what, is, wanted);
}

static void expect_equal(struct recount *r, const char *what, const struct slab_cache *c,
                         uint64_t is, uint64_t wanted)
{
    expect(r, is == wanted, what, c, is, wanted);
}

/* An object of the slab rests somewhere: nowhere else too. */
static void see(struct recount *r, const struct slab_cache *c, const struct slab *s,
                const void *object)
{
    uint64_t offset = (uint64_t)((const char *)object - slab_base(s)) - c->left;
    uint64_t i = offset / c->stride;

    expect(r, offset % c->stride == 0 && i < c->per_slab, "a free object that is none", c,
           (uint64_t)(uintptr_t)object, 0);
    if (i >= c->per_slab)
        return;
    expect(r, !(r->seen[i / 64] >> i % 64 & 1), "a free object in two places", c,
           (uint64_t)(uintptr_t)object, 0);
    r->seen[i / 64] |= 1UL << i % 64;
}

static void check_slab_locked(struct recount *r, struct slab_cache *c, struct slab *s)
{
    uint64_t unit = s->free, free = 0;

    memset(r->seen, 0, sizeof r->seen);
    while (unit && slab_unit_good(c, unit) && free < c->per_slab) {
        void *object = slab_unit_object(s, unit);

        see(r, c, s, object);
        unit = slab_link_unmix(c, slab_link(c, object));
        free++;
    }
    expect_equal(r, "end of a free list", c, unit, 0);
    expect_equal(r, "free objects of a slab", c, c->per_slab - s->used, free);
    for (uint32_t i = 0; i < worker_count; i++) {
        const struct magazine *m = &c->magazine[i];

        for (void *const *at = m->slot; at < m->top; at++) {
            if (((uintptr_t)*at & c->mask) == (uintptr_t)slab_base(s))
                see(r, c, s, *at);
        }
    }
    c->recount.slabs++;
    c->recount.out += s->used;
    c->recount.empty += !s->used;
    c->recount.partial += s->used < c->per_slab;
}

static void check_cache(struct recount *r, struct slab_cache *c)
{
    uint64_t ring = 0;

    lock_take(&c->lock);
    struct slab *head = slab_partial_locked(c), *s = head;
    while (s && ring <= c->recount.partial) {
        ring++;
        expect(r, s->cache == c && s->used < c->per_slab, "a slab in the ring", c, s->used, 0);
        s = (struct slab *)page_of(phys.first + s->next);
        if (s == head)
            break;
    }
    expect_equal(r, "partial slabs", c, ring, c->recount.partial);
    expect_equal(r, "slabs", c, c->slabs, c->recount.slabs);
    expect_equal(r, "empty slabs", c, c->empty, c->recount.empty);
    expect_equal(r, "objects out of slabs", c, c->out, c->recount.out);
    lock_drop(&c->lock);
}

uint64_t slab_check(bool say)
{
    struct recount r = {.say = say};
    struct slab_cache *c;

    lock_take(&slab_caches_lock);
    LIST_FOREACH(c, &slab_caches, link)
    memset(&c->recount, 0, sizeof c->recount);
    slab_pages_for_each(pfn)
    {
        struct slab *s = (struct slab *)page_of(pfn);

        if (s->state != PAGE_SLAB || !(c = __atomic_load_n(&s->cache, __ATOMIC_RELAXED)))
            continue;
        lock_take(&c->lock);
        if (s->state == PAGE_SLAB && s->cache == c)
            check_slab_locked(&r, c, s);
        lock_drop(&c->lock);
    }
    LIST_FOREACH(c, &slab_caches, link)
    check_cache(&r, c);
    lock_drop(&slab_caches_lock);
    return r.wrong;
}
