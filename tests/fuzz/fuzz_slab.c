/*
 * Fuzzing object caches: the input is a sequence of allocations, frees, reallocations, reaping and
 * failing pages on several harts, with objects of a plain, a debugged and the general caches. What
 * objects hold is checked, then every slab is recounted, and nothing may be left.
 */
#include "core_world.h"
#include "failing.h"
#include "mmserver/core/kmalloc.h"
#include "mmserver/core/slab_internal.h"
#include "mmserver/core/slab_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HARTS   3
#define OBJECTS 256
#define KINDS   3 /* plain, debugged, kmalloc */
#define BYTES   72

struct held {
    uint8_t *at;
    uint64_t bytes;
    uint8_t kind, value;
};

static struct held held[OBJECTS];
static struct slab_cache *cache[KINDS - 1];

static void expect_content(const struct held *h)
{
    for (uint64_t i = 0; i < h->bytes; i++)
        EXPECT_EQ(h->at[i], h->value);
}

static void fill(struct held *h, uint64_t bytes, uint8_t value)
{
    h->bytes = bytes;
    h->value = value;
    memset(h->at, value, bytes);
}

static void let_go(struct worker *w, struct held *h)
{
    expect_content(h);
    if (h->kind < KINDS - 1)
        slab_free(w, cache[h->kind], h->at);
    else
        kfree(w, h->at);
    h->at = NULL;
}

static void step(struct worker *w, unsigned what, struct held *h, uint64_t bytes)
{
    if (!h->at) {
        h->kind = (uint8_t)(what % KINDS);
        h->at = h->kind < KINDS - 1 ? slab_alloc(w, cache[h->kind]) : kmalloc(w, bytes);
        if (h->at)
            fill(h, h->kind < KINDS - 1 ? BYTES : bytes, (uint8_t)(what * 37 + bytes));
        return;
    }
    if (h->kind == KINDS - 1 && what % 4 == 0) {
        uint8_t *now = krealloc(w, h->at, bytes);

        if (!now)
            return;
        h->at = now;
        h->bytes = min_u64(h->bytes, bytes);
        expect_content(h);
        fill(h, bytes, h->value);
        return;
    }
    let_go(w, h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static uint64_t before;

    if (!before) {
        core_world_boot(&(struct world){.harts = HARTS});
        for (unsigned i = 0; i < KINDS - 1; i++) {
            cache[i] = slab_cache_create(sim_worker(0), "fuzz", BYTES, 0, i ? SLAB_DEBUG : 0, NULL);
            EXPECT(cache[i] != NULL);
        }
        before = core_world_free_pages();
    }
    for (size_t i = 0; i + 4 <= bytes; i += 4) {
        struct worker *w = sim_worker(data[i] % HARTS);
        unsigned what = data[i] / HARTS;

        if (what < 4)
            sim_fail_alloc(what ? data[i + 1] : 0);
        else if (what == 4)
            slab_idle(w);
        else if (what == 5)
            slab_shrink(w);
        else /* sizes: small ones, in the end up to 64 KiB */
            step(w, what, &held[data[i + 1]],
                 1 + (data[i + 2] | (data[i + 3] > 240 ? (uint64_t)data[i + 3] % 256 << 8 : 0)));
    }
    sim_fail_alloc(0);
    EXPECT_EQ(slab_check(true), 0);
    for (unsigned i = 0; i < OBJECTS; i++) {
        if (held[i].at)
            let_go(sim_worker(i % HARTS), &held[i]);
    }
    EXPECT_EQ(slab_check(true), 0);
    EXPECT_EQ(slab_corruptions, 0);
    EXPECT_EQ(core_world_free_pages(), before);
    return 0;
}
