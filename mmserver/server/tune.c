/*
 * MM_TUNE: what an administrator may change while everything runs. Most of it is one word that is
 * read where it matters, without a lock: whoever is at work goes by the old value or the new one.
 */
#include "mmserver/core/fresh.h"
#include "mmserver/core/huge.h"
#include "mmserver/core/limit.h"
#include "mmserver/core/object.h"
#include "mmserver/core/slab.h"
#include "mmserver/core/zone.h"
#include "mmserver/server/server.h"

#define PERCENT_MAX 0x7fffffffUL

#define DROP_PAGES 0x1 /* of vm.drop_caches; 4 asks for nothing */
#define DROP_SLABS 0x2
#define DROP_MAX   4

/* A word between two bounds. */
static const struct {
    uint64_t *word;
    uint64_t least, most;
} words[] = {
    [MM_TUNE_OVERCOMMIT] = {&limit_overcommit, OVERCOMMIT_GUESS, OVERCOMMIT_NEVER},
    [MM_TUNE_OVERCOMMIT_RATIO] = {&limit_overcommit_ratio, 0, PERCENT_MAX},
    [MM_TUNE_MAP_COUNT] = {&map_count_max, 1, MM_MAP_COUNT_MAX},
    [MM_TUNE_HUGE] = {&huge_mode, HUGE_ALWAYS, HUGE_NEVER},
    [MM_TUNE_HUGE_DEFRAG] = {&huge_defrag, HUGE_DEFRAG_ALWAYS, HUGE_DEFRAG_NEVER},
    [MM_TUNE_HUGE_ZERO] = {&huge_use_zero, false, true},
};

static long drop_caches(struct worker *w, uint64_t what)
{
    uint64_t freed = 0;

    if (what < 1 || what > DROP_MAX)
        return -LINUX_EINVAL;
    if (what & DROP_PAGES)
        freed += object_shrink(w);
    if (what & DROP_SLABS)
        freed += slab_shrink(w);
    return (long)freed;
}

long tune_call(struct worker *w, uint64_t which, uint64_t value)
{
    bool tell = value == ~0UL;

    if (which == MM_TUNE_DROP_CACHES)
        return drop_caches(w, value);
    if (which == MM_TUNE_FRESH)
        return value == 1 ? (long)fresh_memory(w) : -LINUX_EINVAL;
    if (which == MM_TUNE_MIN_FREE) {
        if (!tell && !zones_min_free_set(value))
            return -LINUX_EINVAL;
        return (long)zones_min_free_kbytes();
    }
    if (which >= ARRAY_COUNT(words) || !words[which].word)
        return -LINUX_EINVAL;
    if (tell)
        return (long)*words[which].word;
    if (value < words[which].least || value > words[which].most)
        return -LINUX_EINVAL;
    *words[which].word = value;
    return (long)value;
}
