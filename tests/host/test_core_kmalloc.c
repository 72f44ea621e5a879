/* General sizes: the whole range of sizes, against a model, with every page allocation failed. */
#include "core_world.h"
#include "mmserver/core/kmalloc.h"
#include "mmserver/core/slab_internal.h"

#include <string.h>

#define HARTS  2
#define BLOCKS 600
#define STEPS  20000

static struct worker *any_worker(void)
{
    return sim_worker((uint32_t)ktap_random_below(worker_count));
}

static void boot(const char *args)
{
    core_world_boot(&(struct world){.harts = HARTS, .args = args});
}

KTAP_CASE(core_kmalloc_sizes)
{
    static const uint64_t wanted[][2] = {{1, 8},
                                         {8, 8},
                                         {9, 16},
                                         {64, 64},
                                         {65, 96},
                                         {96, 96},
                                         {97, 128},
                                         {129, 192},
                                         {192, 192},
                                         {193, 256},
                                         {1024, 1024},
                                         {1025, 2048},
                                         {2049, 4096},
                                         {4096, 4096},
                                         {4097, 8192},
                                         {8192, 8192},
                                         {8193, 4 * 4096},
                                         {16385, 8 * 4096},
                                         {1UL << 20, 1UL << 20},
                                         {KMALLOC_MAX, KMALLOC_MAX}};

    boot("norandmaps");
    struct worker *w = sim_worker(0);
    for (unsigned i = 0; i < ARRAY_COUNT(wanted); i++) {
        uint8_t *p = kmalloc(w, wanted[i][0]);

        EXPECT(p != NULL);
        EXPECT_EQ(ksize(w, p), wanted[i][1]);
        if (!(wanted[i][1] & (wanted[i][1] - 1)))
            EXPECT_EQ((uintptr_t)p & (min_u64(wanted[i][1], PAGE_BYTES) - 1), 0);
        memset(p, 1, wanted[i][1]);
        kfree(w, p);
    }
    EXPECT(!kmalloc(w, 0));
    EXPECT(!kmalloc(w, KMALLOC_MAX + 1));
    EXPECT(!kmalloc(w, ~0UL));
    EXPECT(!kmalloc_array(w, 1UL << 33, 1UL << 31));
    EXPECT(!kcalloc(w, ~0UL, 2));
    EXPECT(!krealloc(w, NULL, 0));
    kfree(w, NULL);
    EXPECT_EQ(kmalloc_large_pages(), 0);
    core_world_check();
}

struct block {
    uint8_t *at;
    uint64_t bytes;
    uint8_t value;
};

static struct block block[BLOCKS];

static uint64_t random_bytes(void)
{
    uint64_t shift = ktap_random_below(15);

    return 1 + ktap_random_below(ktap_random_below(50) ? 1UL << shift : 100000);
}

static void expect_block(const struct block *b, uint64_t bytes)
{
    for (uint64_t i = 0; i < bytes; i++)
        EXPECT_EQ(b->at[i], b->value);
}

static void block_fill(struct block *b, uint64_t bytes)
{
    b->bytes = bytes;
    b->value = (uint8_t)ktap_random();
    memset(b->at, b->value, bytes);
}

static void step(struct block *b)
{
    uint64_t bytes = random_bytes();

    if (!b->at) {
        b->at = ktap_random_below(2) ? kmalloc(any_worker(), bytes) : kzalloc(any_worker(), bytes);
        if (b->at)
            block_fill(b, bytes);
        return;
    }
    expect_block(b, b->bytes);
    if (ktap_random_below(4) == 0) {
        uint8_t *now = krealloc(any_worker(), b->at, bytes);

        if (!now)
            return;
        b->at = now;
        expect_block(b, min_u64(bytes, b->bytes));
        block_fill(b, bytes);
        return;
    }
    kfree(any_worker(), b->at);
    b->at = NULL;
}

static void free_all(void)
{
    for (unsigned i = 0; i < BLOCKS; i++) {
        if (block[i].at) {
            expect_block(&block[i], block[i].bytes);
            kfree(any_worker(), block[i].at);
            block[i].at = NULL;
        }
    }
}

static void random_life(const char *args)
{
    boot(args);
    uint64_t before = core_world_free_pages();
    for (unsigned i = 0; i < STEPS; i++) {
        step(&block[ktap_random_below(BLOCKS)]);
        if (i % 4000 == 0)
            core_world_check();
    }
    free_all();
    core_world_check();
    EXPECT_EQ(core_world_free_pages(), before);
    EXPECT_EQ(slab_corruptions, 0);
}

KTAP_CASE(core_kmalloc_random_against_a_model)
{
    random_life("norandmaps");
}

KTAP_CASE(core_kmalloc_random_debugged)
{
    random_life("norandmaps slab_debug=FZPU");
}

KTAP_CASE(core_kmalloc_fail_every_page)
{
    boot("norandmaps");
    uint64_t before = core_world_free_pages();
    for (uint64_t n = 1; n < 200; n++) {
        sim_fail_alloc(n);
        for (unsigned i = 0; i < 500; i++)
            step(&block[ktap_random_below(BLOCKS)]);
        bool failed = sim_failed();
        sim_fail_alloc(0);
        free_all();
        EXPECT_EQ(core_world_free_pages(), before);
        if (!failed)
            break;
    }
    core_world_check();
}

KTAP_CASE(core_kmalloc_zeroed)
{
    boot("norandmaps");
    for (unsigned round = 0; round < 2; round++) {
        for (uint64_t bytes = 1; bytes < 20000; bytes += 1 + bytes / 5) {
            uint8_t *p = kzalloc(sim_worker(0), bytes);

            EXPECT(p != NULL);
            for (uint64_t i = 0; i < bytes; i++)
                EXPECT_EQ(p[i], 0);
            memset(p, 0xff, bytes);
            kfree(sim_worker(0), p);
        }
    }
}

KTAP_CASE(core_kmalloc_bad_frees_are_found)
{
    boot("norandmaps slab_debug=FZU");
    struct worker *w = sim_worker(0);
    uint8_t *small = kmalloc(w, 100), *large = kmalloc(w, 50000);

    kfree(w, large + PAGE_BYTES);
    EXPECT_EQ(slab_corruptions, 1);
    kfree(w, small + 8);
    EXPECT_EQ(slab_corruptions, 2);
    kfree(w, small);
    kfree(w, small);
    EXPECT_EQ(slab_corruptions, 3);
    kfree(w, large);
    kfree(w, large);
    EXPECT_EQ(slab_corruptions, 4);
}
