/*
 * A model of caches: for each hart one for code and one for data, and one behind them that all
 * share. Sets of lines of 64 bytes, replaced by age; a store brings its line as a load does.
 *
 * The sizes are those of SiFive's FU740 (four U74 cores; FU740-C000 manual, chapters 3 and 12); its
 * replacement is random where this one is exact, so that a run repeats. What is not modelled:
 * prefetching, write-back traffic, coherence between harts (a line may be in two of them), and
 * the reads of the page-table walker, which QEMU does not show.
 */
#ifndef HARNESS_CACHE_MODEL_H
#define HARNESS_CACHE_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#define CACHE_LINE_SHIFT 6
#define CACHE_HARTS_MAX  8

#define L1I_SETS 128 /* 32 KiB */
#define L1I_WAYS 4
#define L1D_SETS 64 /* 32 KiB */
#define L1D_WAYS 8
#define L2_SETS  2048 /* 2 MiB */
#define L2_WAYS  16

/* Lines of a set, the youngest first; 0 is no line, so lines are kept plus one. */
static uint64_t cache_l1i[CACHE_HARTS_MAX][L1I_SETS][L1I_WAYS];
static uint64_t cache_l1d[CACHE_HARTS_MAX][L1D_SETS][L1D_WAYS];
static uint64_t cache_l2[L2_SETS][L2_WAYS];

/* True if the line was in the set; it is the youngest afterwards, and the oldest is gone. */
static inline bool cache_touch(uint64_t *set, unsigned ways, uint64_t line)
{
    uint64_t kept = line + 1;

    for (unsigned i = 0; i < ways; i++) {
        uint64_t here = set[i];

        set[i] = kept;
        if (here == line + 1)
            return true;
        kept = here;
    }
    return false;
}

static inline bool cache_l2_hit(uint64_t line)
{
    return cache_touch(cache_l2[line % L2_SETS], L2_WAYS, line);
}

/* What an access by this hart misses: nothing, its own cache, the shared one too. */
enum cache_miss { CACHE_HIT, CACHE_MISS_L1, CACHE_MISS_L2 };

static inline enum cache_miss cache_fetch(unsigned hart, uint64_t line)
{
    if (cache_touch(cache_l1i[hart][line % L1I_SETS], L1I_WAYS, line))
        return CACHE_HIT;
    return cache_l2_hit(line) ? CACHE_MISS_L1 : CACHE_MISS_L2;
}

static inline enum cache_miss cache_access(unsigned hart, uint64_t line)
{
    if (cache_touch(cache_l1d[hart][line % L1D_SETS], L1D_WAYS, line))
        return CACHE_HIT;
    return cache_l2_hit(line) ? CACHE_MISS_L1 : CACHE_MISS_L2;
}

#endif
