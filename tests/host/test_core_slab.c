/* Object caches: against a model, with every page allocation failed in turn, and each detection of
 * debugged caches made to fire once. */
#include "core_world.h"
#include "mmserver/core/caches.h"
#include "mmserver/core/leak.h"
#include "mmserver/core/slab_internal.h"
#include "mmserver/core/slab_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* sys/wait.h defines names that linux_abi.h has too. */
pid_t waitpid(pid_t pid, int *status, int options);

#define HARTS   3
#define OBJECTS 1500
#define STEPS   30000

static struct worker *any_worker(void)
{
    return sim_worker((uint32_t)ktap_random_below(worker_count));
}

static void boot(const char *args)
{
    core_world_boot(&(struct world){.harts = HARTS, .args = args});
}

static struct slab_cache *make(uint64_t bytes, uint64_t align, uint32_t flags)
{
    struct slab_cache *c = slab_cache_create(sim_worker(0), "test", bytes, align, flags, NULL);

    EXPECT(c != NULL);
    return c;
}

/* ---- against a model: what each object holds ---- */

static uint8_t *object[OBJECTS];
static uint8_t content[OBJECTS];

static void fill(unsigned i, uint64_t bytes)
{
    content[i] = (uint8_t)ktap_random();
    memset(object[i], content[i], bytes);
}

static void expect_content(unsigned i, uint64_t bytes)
{
    for (uint64_t k = 0; k < bytes; k++)
        EXPECT_EQ(object[i][k], content[i]);
}

static void random_life(struct slab_cache *c, uint64_t bytes, uint64_t align)
{
    uint64_t live = 0, level = 1;

    for (unsigned step = 0; step < STEPS; step++) {
        unsigned i = (unsigned)ktap_random_below(OBJECTS);

        if (step % 3000 == 0)
            level = 1 + ktap_random_below(15); /* of 16: how full it tends to be */
        bool wanted = ktap_random_below(16) < level;
        if (object[i] && !wanted) {
            expect_content(i, bytes);
            slab_free(any_worker(), c, object[i]);
            object[i] = NULL;
            live--;
        } else if (!object[i] && wanted) {
            object[i] = slab_alloc(any_worker(), c);
            EXPECT(object[i] != NULL);
            EXPECT_EQ((uintptr_t)object[i] % align, 0);
            fill(i, bytes);
            live++;
        }
        if (step % 1000 == 0) {
            EXPECT_EQ(slab_in_use(c), live);
            EXPECT_EQ(slab_check(true), 0);
            slab_idle(any_worker());
        }
    }
    for (unsigned i = 0; i < OBJECTS; i++) {
        if (object[i]) {
            expect_content(i, bytes);
            slab_free(any_worker(), c, object[i]);
        }
        object[i] = NULL;
    }
}

KTAP_CASE(core_slab_random_against_a_model)
{
    static const uint16_t shape[][2] = {{8, 0},   {24, 0},  {40, 64},   {100, 32},
                                        {700, 0}, {520, 8}, {3000, 64}, {8192, 4096}};

    boot(NULL);
    uint64_t before = core_world_free_pages();
    for (unsigned debug = 0; debug < 2; debug++) {
        for (unsigned i = 0; i < ARRAY_COUNT(shape); i++) {
            struct slab_cache *c = make(shape[i][0], shape[i][1], debug ? SLAB_DEBUG : 0);

            random_life(c, shape[i][0], shape[i][1] ? shape[i][1] : 8);
            EXPECT_EQ(slab_cache_destroy(sim_worker(0), c), 0);
        }
    }
    EXPECT_EQ(core_world_free_pages(), before);
    EXPECT_EQ(slab_corruptions, 0);
    core_world_check();
}

KTAP_CASE(core_slab_fail_every_page)
{
    static void *got[400];

    boot(NULL);
    struct slab_cache *c = make(1000, 0, 0);
    uint64_t before = core_world_free_pages();
    for (uint64_t n = 1;; n++) {
        sim_fail_alloc(n);
        unsigned count = 0;
        while (count < ARRAY_COUNT(got) && (got[count] = slab_alloc(any_worker(), c)))
            count++;
        bool failed = sim_failed();
        sim_fail_alloc(0);
        EXPECT_EQ(slab_in_use(c), count);
        EXPECT_EQ(slab_check(true), 0);
        EXPECT(failed || count == ARRAY_COUNT(got));
        while (count)
            slab_free(any_worker(), c, got[--count]);
        EXPECT_EQ(core_world_free_pages(), before);
        if (!failed)
            break;
        EXPECT(n < 400);
    }
    sim_fail_alloc(1);
    while (slab_cache_create(sim_worker(0), "many", 64, 0, 0, NULL))
        ;
    sim_fail_alloc(0);
    EXPECT_EQ(slab_check(true), 0);
}

static unsigned constructed;

static void construct(void *o)
{
    memset(o, 0x33, 48);
    constructed++;
}

KTAP_CASE(core_slab_constructor_runs_once_and_state_stays)
{
    boot(NULL);
    struct worker *w = sim_worker(0);
    struct slab_cache *c = slab_cache_create(w, "built", 48, 0, 0, construct);
    uint8_t *o[100];

    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < 100; i++) {
            o[i] = slab_alloc(w, c);
            EXPECT(o[i] != NULL);
            for (unsigned k = 0; k < 48; k++)
                EXPECT_EQ(o[i][k], 0x33);
        }
        for (unsigned i = 0; i < 100; i++)
            slab_free(w, c, o[i]);
    }
    EXPECT_EQ(constructed, c->slabs * c->per_slab);
    EXPECT_EQ(slab_cache_destroy(w, c), 0);
}

KTAP_CASE(core_slab_type_stable_memory_stays)
{
    static uint64_t *o[300];

    boot(NULL);
    struct worker *w = sim_worker(0);
    struct slab_cache *c = make(64, 64, SLAB_TYPESAFE);
    for (unsigned i = 0; i < 300; i++) {
        o[i] = slab_zalloc(w, c);
        for (unsigned k = 0; k < 8; k++)
            o[i][k] = i;
    }
    for (unsigned i = 0; i < 300; i++)
        slab_free(w, c, o[i]);
    uint64_t slabs = c->slabs;
    slab_shrink(w);
    EXPECT_EQ(c->slabs, slabs);
    for (unsigned i = 0; i < 300; i++) {
        for (unsigned k = 0; k < 8; k++)
            EXPECT_EQ(o[i][k], i);
    }
    EXPECT_EQ(slab_cache_destroy(w, c), 0);
}

KTAP_CASE(core_slab_destroy_refuses_while_in_use)
{
    boot(NULL);
    struct worker *w = sim_worker(0);
    struct slab_cache *c = make(64, 0, 0);
    void *o = slab_alloc(w, c);

    EXPECT_EQ(slab_cache_destroy(w, c), -LINUX_EBUSY);
    slab_free(sim_worker(1), c, o);
    EXPECT_EQ(slab_cache_destroy(w, c), 0);
}

KTAP_CASE(core_slab_empty_slabs_are_bounded_and_reaped)
{
    static void *o[2000];

    boot(NULL);
    struct worker *w = sim_worker(0);
    struct slab_cache *c = make(256, 0, 0);
    for (unsigned i = 0; i < 2000; i++)
        o[i] = slab_alloc(w, c);
    EXPECT(c->slabs >= 2000 / c->per_slab);
    for (unsigned i = 0; i < 2000; i++)
        slab_free(w, c, o[i]);
    EXPECT(c->empty <= c->empty_max);
    EXPECT(c->slabs <= c->empty_max + MAGAZINE_SLOTS);
    while (slab_idle(w))
        ;
    EXPECT_EQ(c->empty, 0);
    slab_shrink(w);
    EXPECT_EQ(c->slabs, 0);
}

/* ---- detections ---- */

static uint8_t *fresh(struct slab_cache *c)
{
    uint8_t *o = slab_alloc(sim_worker(0), c);

    EXPECT(o != NULL);
    return o;
}

/* Never again is a bad object given out, and the recount still agrees. */
static void expect_isolated(struct slab_cache *c, const uint8_t *bad)
{
    for (unsigned i = 0; i < 200; i++)
        EXPECT(fresh(c) != bad);
    EXPECT_EQ(slab_check(true), 0);
    EXPECT_EQ(slab_corruptions, 1);
}

KTAP_CASE(core_slab_debug_red_zone_behind)
{
    boot("norandmaps slab_debug=FZPU");
    struct slab_cache *c = make(50, 0, 0);
    uint8_t *o = fresh(c);

    o[50] = 1;
    slab_free(sim_worker(0), c, o);
    EXPECT_EQ(c->bad, 1);
    expect_isolated(c, o);
}

KTAP_CASE(core_slab_debug_red_zone_before)
{
    boot("slab_debug=Z,test norandmaps");
    struct slab_cache *c = make(64, 0, 0);
    uint8_t *o = fresh(c);

    EXPECT(!(vma_cache->flags & SLAB_DEBUG));
    o[-1] = 1;
    slab_free(sim_worker(0), c, o);
    expect_isolated(c, o);
}

KTAP_CASE(core_slab_debug_written_after_free)
{
    boot("norandmaps");
    struct slab_cache *c = make(64, 0, SLAB_POISON | SLAB_TRACK);
    uint8_t *o = fresh(c);

    EXPECT_EQ(o[5], 0x5a); /* fresh memory shows itself */
    slab_free(sim_worker(0), c, o);
    EXPECT_EQ(o[5], 0x6b);
    o[7] = 0;
    expect_isolated(c, o);
}

KTAP_CASE(core_slab_debug_double_free)
{
    boot("norandmaps");
    struct slab_cache *c = make(64, 0, SLAB_CHECK | SLAB_TRACK);
    uint8_t *o = fresh(c);

    slab_free(sim_worker(0), c, o);
    slab_free(sim_worker(1), c, o);
    EXPECT_EQ(slab_corruptions, 1);
    EXPECT(fresh(c) != fresh(c));
    EXPECT_EQ(slab_check(true), 0);
}

KTAP_CASE(core_slab_debug_wrong_cache_and_no_object)
{
    boot("norandmaps");
    struct slab_cache *a = make(64, 0, SLAB_CHECK), *b = make(64, 0, 0);
    uint8_t *o = fresh(a);

    slab_free(sim_worker(0), b, o);
    EXPECT_EQ(slab_corruptions, 1);
    slab_free(sim_worker(0), a, o + 8);
    EXPECT_EQ(slab_corruptions, 2);
    slab_free(sim_worker(0), a, o);
    EXPECT_EQ(slab_corruptions, 2);
    EXPECT_EQ(slab_in_use(a), 0);
}

KTAP_CASE(core_slab_debug_free_list)
{
    boot("norandmaps");
    struct slab_cache *c = make(64, 0, SLAB_CHECK);
    uint8_t *o = fresh(c);

    slab_free(sim_worker(0), c, o);
    *slab_link(c, o) ^= 0x100;
    expect_isolated(c, o);
}

/* The child ends by a panic and says `what`. */
static void expect_panic(void (*body)(void), const char *what)
{
    char said[4096];
    int pipe_end[2], status;

    EXPECT_EQ(pipe(pipe_end), 0);
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        dup2(pipe_end[1], STDOUT_FILENO);
        body();
        _exit(0);
    }
    close(pipe_end[1]);
    size_t length = 0;
    ssize_t more;
    while (length < sizeof said - 1 &&
           (more = read(pipe_end[0], said + length, sizeof said - 1 - length)) > 0)
        length += (size_t)more;
    said[length] = '\0';
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT(status != 0);
    EXPECT(strstr(said, what) != NULL);
}

static void free_list_broken(void)
{
    static uint8_t *o[200];
    struct slab_cache *c = make(64, 0, 0);

    for (unsigned i = 0; i < 200; i++)
        o[i] = fresh(c);
    for (unsigned i = 0; i < 200; i++)
        slab_free(sim_worker(0), c, o[i]);
    for (unsigned i = 0; i < 200; i++)
        *(uint64_t *)(void *)o[i] += 8;
    for (unsigned i = 0; i < 200; i++)
        fresh(c);
}

static void freed_to_wrong_cache(void)
{
    slab_free(sim_worker(0), vma_cache, fresh(make(64, 0, 0)));
}

KTAP_CASE(core_slab_panics_without_debugging)
{
    boot("norandmaps");
    expect_panic(free_list_broken, "its link to the next free object was overwritten");
    expect_panic(freed_to_wrong_cache, "it belongs to test");
}

KTAP_CASE(core_slab_debug_argument)
{
    boot("x slab_debug=ZF,mm_struct,client y");
    EXPECT_EQ(mm_cache->flags & SLAB_DEBUG, SLAB_RED | SLAB_CHECK);
    EXPECT_EQ(client_cache->flags & SLAB_DEBUG, SLAB_RED | SLAB_CHECK);
    EXPECT_EQ(vma_cache->flags & SLAB_DEBUG, 0);
    boot("slab_debug");
    EXPECT_EQ(vma_cache->flags & SLAB_DEBUG, SLAB_DEBUG);
    EXPECT_EQ(client_cache->flags & SLAB_DEBUG, SLAB_DEBUG & ~SLAB_POISON); /* keeps its type */
    boot("slab_debugger=1 noslab_debug");
    EXPECT_EQ(vma_cache->flags & SLAB_DEBUG, 0);
}

/* A program's life with everything switched on. */
KTAP_CASE(core_slab_debug_programs_run)
{
    boot("norandmaps slab_debug=FZPU");
    for (unsigned i = 0; i < 3; i++) {
        struct client *c = core_world_program(i % HARTS);

        core_world_mmap(c, 0, 8 * PAGE_BYTES, PROT_READ | PROT_WRITE, 0);
        core_world_check();
        core_world_end(c);
    }
    EXPECT_EQ(slab_corruptions, 0);
    core_world_check();
}

/* ---- leaks ---- */

static char text_buffer[8192];

static const char *text_of(void (*report)(struct text *t))
{
    struct text t = {.buffer = text_buffer, .bytes = sizeof text_buffer - 1};

    report(&t);
    text_buffer[text_kept(&t)] = '\0';
    return text_buffer;
}

static void *volatile kept;

KTAP_CASE(core_leak_since_mark)
{
    boot("norandmaps");
    struct slab_cache *c = make(64, 0, SLAB_TRACK);
    fresh(c);
    leak_mark();
    EXPECT(!strstr(text_of(leak_report), "test"));
    uint8_t *o[5];
    for (unsigned i = 0; i < 5; i++)
        o[i] = fresh(c);
    EXPECT(strstr(text_of(leak_report), "     5      320 test "));
    slab_free(sim_worker(0), c, o[0]);
    EXPECT(strstr(text_of(leak_report), "     4      256 test "));
    leak_mark();
    EXPECT(!strstr(text_of(leak_report), "test"));
}

KTAP_CASE(core_leak_scan_finds_what_nobody_refers_to)
{
    boot("norandmaps slab_debug=U");
    core_world_program(0);
    EXPECT_EQ(leak_scan(), 0);
    struct slab_cache *c = make(64, 0, 0);
    /* kept -> a -> b, by a pointer into the middle; `lost` by nobody. */
    uint8_t **a = slab_zalloc(sim_worker(0), c);
    *a = (uint8_t *)slab_zalloc(sim_worker(0), c) + 17;
    kept = a;
    EXPECT_EQ(leak_scan(), 0);
    slab_zalloc(sim_worker(0), c);
    EXPECT_EQ(leak_scan(), 1);
    EXPECT(strstr(text_of(leak_scan_report), "     64 test allocated at"));
    *a = NULL;
    EXPECT_EQ(leak_scan(), 2);
    kept = NULL;
    EXPECT_EQ(leak_scan(), 3);
}

KTAP_CASE(core_slab_slabinfo_is_in_linux_format)
{
    uint64_t v[9];
    char name[32];

    boot("norandmaps");
    struct slab_cache *c = make(100, 0, 0);
    for (unsigned i = 0; i < 7; i++)
        fresh(c);
    const char *text = text_of(slab_report_info), *line = strstr(text, "\ntest ");
    EXPECT(!strncmp(text, "slabinfo - version: 2.1\n# name  ", 32));
    EXPECT(line != NULL);
    EXPECT_EQ(sscanf(line, "%31s %lu %lu %lu %lu %lu : tunables %lu %lu %*u : slabdata %lu %lu",
                     name, &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6], &v[7], &v[8]),
              10);
    EXPECT_EQ(v[0], 7);
    EXPECT_EQ(v[1], c->slabs * c->per_slab);
    EXPECT_EQ(v[2], 104);
    EXPECT_EQ(v[3], PAGE_BYTES / 104);
    EXPECT_EQ(v[4], 1);
}
