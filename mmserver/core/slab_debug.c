/*
 * Debugging of object caches: patterns, traces, checks at each allocation and free, and what is
 * said when one fails. Lock: the cache's.
 *
 *   [ red zone | object | padding and red zone | link | trace of allocate, of free ]
 *
 * What is found is reported, and then the debugged cache goes on without the object: it is never
 * given out again, nor its slab released. Without debugging a corruption stops the machine.
 */
#include "mmserver/core/slab_internal.h"
#include "mmserver/core/text.h"
#include <string.h>

#define RED_FREE      0xbb
#define RED_LIVE      0xcc
#define POISON_FREE   0x6b
#define POISON_END    0xa5 /* the last byte */
#define POISON_FRESH  0x5a
#define SHOWN_BYTES   16
#define DEBUG_ARG_MAX 128

uint32_t slab_generation = 1;
uint64_t slab_corruptions;
#ifdef PAGODA_HOST
void (*slab_record)(struct slab_cache *c, void *object, bool allocated);
#endif

static struct {
    uint32_t flags;
    char names[DEBUG_ARG_MAX]; /* with a comma before and behind each; empty: all caches */
} wanted;

/* ---- slab_debug=FZPU,cache,... ---- */

static uint32_t letter_flag(char letter)
{
    switch (letter) {
    case 'F':
        return SLAB_CHECK;
    case 'Z':
        return SLAB_RED;
    case 'P':
        return SLAB_POISON;
    case 'U':
        return SLAB_TRACK;
    default:
        return 0;
    }
}

void slab_debug_parse(const char *args)
{
    static const char word[] = "slab_debug";
    const char *at = args ? strstr(args, word) : NULL;
    size_t length = 0;

    wanted.flags = 0;
    wanted.names[0] = '\0';
    slab_generation = 1;
    slab_corruptions = 0;
    if (!at || (at != args && at[-1] != ' '))
        return;
    at += sizeof word - 1;
    if (*at != '=' && *at != ' ' && *at != '\0')
        return;
    if (*at == '=')
        at++;
    bool letters = *at && *at != ',' && *at != ' ';
    for (; *at && *at != ',' && *at != ' '; at++) {
        uint32_t flag = letter_flag(*at);

        if (!flag && *at != '-')
            text_log("slab: slab_debug=: no such letter: %c", *at);
        wanted.flags |= flag;
    }
    if (!letters)
        wanted.flags = SLAB_DEBUG;
    if (*at != ',')
        return;
    while (*at && *at != ' ' && length + 2 < DEBUG_ARG_MAX)
        wanted.names[length++] = *at++;
    wanted.names[length++] = ',';
    wanted.names[length] = '\0';
}

uint32_t slab_debug_flags(const char *name)
{
    size_t length = strlen(name);

    if (!wanted.names[0])
        return wanted.flags;
    for (const char *at = wanted.names; *at && at[1]; at = strchr(at + 1, ',')) {
        if (!strncmp(at + 1, name, length) && at[1 + length] == ',')
            return wanted.flags;
    }
    return 0;
}

/* ---- what is said ---- */

static void say_bytes(const uint8_t *from, uint64_t first, uint64_t count)
{
    char line[3 * SHOWN_BYTES + 1];
    struct text t = {.buffer = line, .bytes = sizeof line - 1};

    for (uint64_t i = 0; i < min_u64(count, SHOWN_BYTES); i++)
        text_format(&t, " %02lx", (uint64_t)from[first + i]);
    line[text_kept(&t)] = '\0';
    text_log("slab:   bytes from offset %lu:%s", first, line);
}

static void say_track(const char *what, const struct slab_track *t)
{
    if (t->site)
        text_log("slab:   %s at %lx on hart %lu for client %lx, at instruction %lu", what,
                 (uint64_t)(uintptr_t)t->site, (uint64_t)t->hart, t->client, t->instructions);
}

static void say(struct slab_cache *c, const void *object, const char *what)
{
    slab_corruptions++;
    text_log("slab: cache %s: object %lx (%lu bytes): %s", c->name, (uint64_t)(uintptr_t)object,
             (uint64_t)c->object_bytes, what);
}

static void say_owners(struct slab_cache *c, const void *object)
{
    if (!(c->flags & SLAB_TRACK))
        return;
    say_track("allocated", &slab_tracks(c, object)[0]);
    say_track("freed", &slab_tracks(c, object)[1]);
}

void slab_report_link(struct slab_cache *c, struct slab *s, void *object)
{
    say(c, object, "its link to the next free object was overwritten");
    say_bytes(object, c->link_at, sizeof(uint64_t));
    text_log("slab:   the slab at %lx has %lu of %lu objects in use",
             (uint64_t)(uintptr_t)slab_base(s), (uint64_t)s->used, (uint64_t)c->per_slab);
    say_owners(c, object);
    if (!(c->flags & SLAB_DEBUG))
        place_panic(__FILE__, __LINE__, "a free list was overwritten");
}

void slab_report_foreign(struct worker *w, struct slab_cache *c, void *object, const void *site)
{
    const struct slab *s = slab_of(w, c, object);
    const struct slab_cache *other = s->state == PAGE_SLAB ? s->cache : NULL;

    say(c, object, "freed, but it is none of this cache's");
    text_log("slab:   it belongs to %s; freed at %lx", other ? other->name : "no cache",
             (uint64_t)(uintptr_t)site);
    if (!((c->flags | (other ? other->flags : 0)) & SLAB_DEBUG))
        place_panic(__FILE__, __LINE__, "an object was freed to a wrong cache");
}

/* ---- patterns ---- */

static void red_fill(struct slab_cache *c, void *object, uint8_t red)
{
    if (!(c->flags & SLAB_RED))
        return;
    memset((char *)object - c->left, red, c->left);
    memset((char *)object + c->object_bytes, red, c->link_at - c->object_bytes);
}

static void poison_fill(struct slab_cache *c, void *object, uint8_t poison)
{
    if (!(c->flags & SLAB_POISON))
        return;
    memset(object, poison, c->object_bytes);
    if (poison == POISON_FREE)
        ((uint8_t *)object)[c->object_bytes - 1] = POISON_END;
}

/* Offset of the first byte that is not `value`, or `count`. */
static uint64_t first_other(const uint8_t *from, uint64_t count, uint8_t value)
{
    uint64_t i = 0;

    while (i < count && from[i] == value)
        i++;
    return i;
}

static bool run_good(struct slab_cache *c, void *object, int64_t from, uint64_t count,
                     uint8_t value, const char *what)
{
    const uint8_t *run = (uint8_t *)object + from;
    uint64_t at = first_other(run, count, value);

    if (at == count)
        return true;
    say(c, object, what);
    /* Offsets before the object are counted from the start of the zone there. */
    if (from < 0)
        say_bytes(run, at, count - at);
    else
        say_bytes(object, (uint64_t)from + at, count - at);
    say_owners(c, object);
    return false;
}

static bool red_good(struct slab_cache *c, void *object, uint8_t red)
{
    if (!(c->flags & SLAB_RED))
        return true;
    return run_good(c, object, -(int64_t)c->left, c->left, red,
                    "red zone before it overwritten (offsets from the zone's start)") &&
           run_good(c, object, c->object_bytes, c->link_at - c->object_bytes, red,
                    "red zone behind it overwritten");
}

static bool poison_good(struct slab_cache *c, void *object)
{
    if (!(c->flags & SLAB_POISON))
        return true;
    return run_good(c, object, 0, c->object_bytes - 1, POISON_FREE, "written after it was freed") &&
           run_good(c, object, c->object_bytes - 1, 1, POISON_END, "written after it was freed");
}

void slab_debug_fresh(struct slab_cache *c, void *object)
{
    red_fill(c, object, RED_FREE);
    poison_fill(c, object, POISON_FREE);
    if (c->flags & SLAB_TRACK)
        memset(slab_tracks(c, object), 0, 2 * sizeof(struct slab_track));
}

static void track_set(struct worker *w, struct slab_cache *c, void *object, unsigned which,
                      const void *site)
{
    if (!(c->flags & SLAB_TRACK))
        return;
    struct slab_track *t = slab_tracks(c, object);
    t[which] = (struct slab_track){.site = site,
                                   .instructions = place_instructions(),
                                   .hart = w->hart,
                                   .client = w->serving ? w->client_tag : 0,
                                   .scan = slab_scan_pass << 1}; /* counts as seen in it */
    t[0].generation = which ? 0 : slab_generation;
}

/* ---- allocation and free of debugged caches ---- */

static void record(struct slab_cache *c, void *object, bool allocated)
{
#ifdef PAGODA_HOST
    if (slab_record)
        slab_record(c, object, allocated);
#else
    (void)c, (void)object, (void)allocated;
#endif
}

/* A free object whose patterns are whole. Others stay out of use for good. */
static void *take_good(struct slab_cache *c)
{
    struct slab *s;
    void *object = NULL;

    lock_take(&c->lock);
    c->touched = true;
    while (!object && (s = slab_partial_locked(c))) {
        object = slab_take_locked(c, s);
        if (object && !(red_good(c, object, RED_FREE) && poison_good(c, object))) {
            c->bad++;
            object = NULL;
        }
    }
    lock_drop(&c->lock);
    return object;
}

void *slab_debug_alloc(struct worker *w, struct slab_cache *c, const void *site)
{
    void *object;

    while (!(object = take_good(c))) {
        if (!slab_grow(w, c))
            return NULL;
    }
    red_fill(c, object, RED_LIVE);
    poison_fill(c, object, POISON_FRESH);
    track_set(w, c, object, 0, site);
    record(c, object, true);
    return object;
}

static bool is_free_locked(struct slab_cache *c, struct slab *s, const void *object)
{
    uint64_t unit = s->free;

    for (uint32_t i = 0; unit && i < c->per_slab; i++) {
        void *other = slab_unit_object(s, unit);

        if (other == object)
            return true;
        unit = slab_link_unmix(c, slab_link(c, other));
        if (!slab_unit_good(c, unit))
            return false; /* found when it is taken */
    }
    return false;
}

/* May it be freed? */
static bool free_good(struct slab_cache *c, struct slab *s, void *object, const void *site)
{
    uint64_t offset = (uint64_t)((char *)object - slab_base(s));

    if (offset < c->left || (offset - c->left) % c->stride ||
        (offset - c->left) / c->stride >= c->per_slab) {
        say(c, object, "freed, but no object begins there");
        text_log("slab:   freed at %lx", (uint64_t)(uintptr_t)site);
        return false;
    }
    if (is_free_locked(c, s, object)) {
        say(c, object, "freed twice");
        text_log("slab:   freed again at %lx", (uint64_t)(uintptr_t)site);
        say_owners(c, object);
        return false;
    }
    if (!red_good(c, object, RED_LIVE)) {
        c->bad++;
        if (c->flags & SLAB_TRACK)
            slab_tracks(c, object)->generation = 0; /* not in use, never free */
        return false;
    }
    return true;
}

void slab_debug_free(struct worker *w, struct slab_cache *c, void *object, const void *site)
{
    struct slab *s = slab_of(w, c, object);
    bool release = false;

    record(c, object, false);
    lock_take(&c->lock);
    if (free_good(c, s, object, site)) {
        red_fill(c, object, RED_FREE);
        poison_fill(c, object, POISON_FREE);
        track_set(w, c, object, 1, site);
        release = slab_put_locked(c, s, object);
    }
    lock_drop(&c->lock);
    if (release) {
        slab_release(w, c, s);
        mm_count(w, slab_reaped);
    }
}
