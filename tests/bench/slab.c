/*
 * Object caches against malloc and mimalloc: the same traces of allocations and frees, replayed
 * once for each. Run under callgrind, which counts the instructions of each replay;
 * harness/slab_bench.py reads the counts. The empty replay, which keeps the trace's own book, is
 * taken off there.
 *
 * Traces: `mix`, random sizes and lives; `burst`, hundreds allocated, then all freed; `server`,
 * what the memory server's own caches are asked for while programs are started, map, fault and end.
 */
#include "core_world.h"
#include "failing.h"
#include "mmserver/core/kmalloc.h"
#include "mmserver/core/slab_internal.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <valgrind/callgrind.h>

#define EVENTS_MAX 60000
#define IDS_MAX    20000
#define CACHES_MAX 32

struct event {
    uint32_t id; /* of the object */
    uint16_t bytes;
    uint8_t cache; /* of a trace of caches */
    bool allocate;
    struct slab_cache *from; /* the same, as whoever allocates knows it */
};

struct trace {
    const char *name;
    uint32_t events, ids;
    struct event event[EVENTS_MAX];
};

static struct trace mix = {.name = "mix"}, burst = {.name = "burst"}, server = {.name = "server"};
static struct slab_cache *cache[CACHES_MAX], *recorded[CACHES_MAX];
static unsigned caches;
static void *object[IDS_MAX];

static void add(struct trace *t, uint32_t id, uint64_t bytes, unsigned c, bool allocate)
{
    if (t->events == EVENTS_MAX)
        ktap_fail(__FILE__, __LINE__, "the trace %s is too long", t->name);
    t->event[t->events++] = (struct event){id, (uint16_t)bytes, (uint8_t)c, allocate, NULL};
}

static uint64_t random_number(void)
{
    static uint64_t state = 1;

    state = state * 6364136223846793005u + 1442695040888963407u;
    return state >> 33;
}

/* Up to 1000 objects of 8 to 1024 bytes, small ones more often. */
static void mix_make(void)
{
    static uint64_t bytes[1000];

    for (unsigned i = 0; i < 50000; i++) {
        uint32_t id = (uint32_t)(random_number() % 1000);

        if (!bytes[id])
            bytes[id] = 1 + random_number() % (8UL << random_number() % 8);
        else
            bytes[id] |= 1UL << 32;
        add(&mix, id, (uint16_t)bytes[id], 0, !(bytes[id] >> 32));
        if (bytes[id] >> 32)
            bytes[id] = 0;
    }
    for (uint32_t id = 0; id < 1000; id++) {
        if (bytes[id])
            add(&mix, id, (uint16_t)bytes[id], 0, false);
    }
    mix.ids = 1000;
}

static void burst_make(void)
{
    for (unsigned round = 0; round < 50; round++) {
        uint64_t count = 50 + random_number() % 400, bytes = 16 + random_number() % 500;

        for (uint32_t i = 0; i < count; i++)
            add(&burst, i, bytes, 0, true);
        for (uint32_t i = 0; i < count; i++)
            add(&burst, i, bytes, 0, false);
    }
    burst.ids = 450;
}

/* ---- recording the server ---- */

static void *known[IDS_MAX];

static void record(struct slab_cache *c, void *o, bool allocated)
{
    unsigned n = 0, id = 0;

    while (n < caches && recorded[n] != c)
        n++;
    if (n == caches)
        recorded[caches++] = c;
    while (id < server.ids && known[id] != (allocated ? NULL : o))
        id++;
    if (id == server.ids && !allocated)
        return; /* older than the recording */
    if (id == server.ids)
        server.ids++;
    known[id] = allocated ? o : NULL;
    add(&server, id, c->object_bytes, n, allocated);
}

static void program_lives(void)
{
    struct client *c[4];

    for (unsigned i = 0; i < ARRAY_COUNT(c); i++)
        c[i] = core_world_program(0);
    for (unsigned round = 0; round < 40; round++) {
        struct client *p = c[random_number() % ARRAY_COUNT(c)];
        uint64_t pages = 1 + random_number() % 12;
        uint64_t at = core_world_mmap(p, 0, pages * PAGE_BYTES, PROT_READ | PROT_WRITE, 0);

        for (uint64_t i = 0; i < pages; i++)
            sim_access(p, at + i * PAGE_BYTES, SIM_WRITE, NULL);
        if (round % 3 == 0)
            core_world_call(p, NR_mprotect, at + PAGE_BYTES * (pages / 2), PAGE_BYTES, PROT_READ, 0,
                            0);
        if (round % 4 == 0)
            core_world_call(p, NR_munmap, at, pages * PAGE_BYTES, 0, 0, 0);
    }
    for (unsigned i = 0; i < ARRAY_COUNT(c); i++)
        core_world_end(c[i]);
}

static void server_record(void)
{
    core_world_boot(&(struct world){.args = "norandmaps slab_debug=F"});
    slab_record = record;
    for (unsigned i = 0; i < 20; i++)
        program_lives();
    slab_record = NULL;
    for (uint32_t id = 0; id < server.ids; id++) {
        if (known[id])
            add(&server, id, 0, 0, false);
    }
    /* Who of them is left at the end is freed from the cache that it came from. */
    for (uint32_t i = 0; i < server.events; i++) {
        for (uint32_t k = i; k-- && !server.event[i].bytes;) {
            if (server.event[k].id == server.event[i].id && server.event[k].allocate) {
                server.event[i].bytes = server.event[k].bytes;
                server.event[i].cache = server.event[k].cache;
            }
        }
    }
}

/* ---- replays ---- */

static struct worker *w;
static void *(*mi_malloc)(size_t bytes);
static void (*mi_free)(void *memory);

#define REPLAY(who, ALLOCATE, FREE)                                           \
    static __attribute__((noinline)) void replay_##who(const struct trace *t) \
    {                                                                         \
        const struct event *e = t->event, *end = e + t->events;               \
                                                                              \
        for (; e != end; e++) {                                               \
            void **o = &object[e->id];                                        \
                                                                              \
            if (e->allocate)                                                  \
                *o = ALLOCATE;                                                \
            else                                                              \
                FREE;                                                         \
        }                                                                     \
    }

REPLAY(nothing, (void *)1, __asm__ volatile("" ::"r"(*o)))
REPLAY(kmalloc, kmalloc(w, e->bytes), kfree(w, *o))
REPLAY(slab, slab_alloc(w, e->from), slab_free(w, e->from, *o))
REPLAY(malloc, malloc(e->bytes), free(*o))
REPLAY(mimalloc, mi_malloc(e->bytes), mi_free(*o))

/* Once to get memory, once counted. */
static void measure(const char *who, void (*replay)(const struct trace *t), const struct trace *t)
{
    char name[64];

    replay(t);
    CALLGRIND_ZERO_STATS;
    CALLGRIND_TOGGLE_COLLECT;
    replay(t);
    CALLGRIND_TOGGLE_COLLECT;
    snprintf(name, sizeof name, "slab-bench %s %s %u", t->name, who, (unsigned)t->events / 2);
    CALLGRIND_DUMP_STATS_AT(name);
}

static void mimalloc_open(void)
{
    void *library = dlopen("libmimalloc.so.2.0", RTLD_NOW | RTLD_LOCAL);

    if (!library)
        library = dlopen("libmimalloc.so", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        ktap_fail(__FILE__, __LINE__, "%s", dlerror());
    *(void **)&mi_malloc = dlsym(library, "mi_malloc");
    *(void **)&mi_free = dlsym(library, "mi_free");
}

int main(void)
{
    const struct trace *all[] = {&mix, &burst, &server};

    mimalloc_open();
    server_record();
    mix_make();
    burst_make();
    core_world_boot(&(struct world){.memory_pages = 16384});
    w = sim_worker(0);
    for (unsigned i = 0; i < caches; i++) {
        const struct slab_cache *c = recorded[i];

        cache[i] = slab_cache_create(w, c->name, c->object_bytes, 0, c->flags & SLAB_LINES, NULL);
    }
    for (uint32_t i = 0; i < server.events; i++)
        server.event[i].from = cache[server.event[i].cache];
    for (unsigned i = 0; i < ARRAY_COUNT(all); i++) {
        measure("nothing", replay_nothing, all[i]);
        measure("kmalloc", replay_kmalloc, all[i]);
        if (all[i] == &server)
            measure("slab", replay_slab, all[i]);
        measure("malloc", replay_malloc, all[i]);
        measure("mimalloc", replay_mimalloc, all[i]);
    }
    return 0;
}
