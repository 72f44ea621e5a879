/*
 * Batches, fault replies, drops and copies on the same spaces from several harts at once, each a
 * host thread. Whatever the order was, in the end every count is exact, no table was lost, and no
 * lock is held. Accesses are not simulated here: the shadow TLB belongs to one thread.
 */
#include "space_world.h"
#include "ktap.h"
#include "arch/slot.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define HARTS  4
#define SPACES 2
#define VA     0x40000000UL
#define RANGES 2
#define ROUNDS 60000

struct actor {
    struct thread thread; /* makes the calls */
    struct thread client; /* the one whose faults it answers, in space hart % SPACES */
    struct batch_page page;
    uint64_t random;
    uint64_t mapped, removed, copied, lost; /* what happened */
    pfn_t tables[4];
};

static struct actor *actors;

static uint64_t below(struct actor *a, uint64_t bound)
{
    a->random = a->random * 6364136223846793005UL + 1442695040888963407UL;
    return (a->random >> 33) % bound;
}

static long call(struct actor *a, call_function *function, uint64_t a0, uint64_t a1, uint64_t a2,
                 uint64_t a3, uint64_t a4)
{
    struct call_args c = {.a = {a0, a1, a2, a3, a4}};
    long result = function(&a->thread, &c);
    return function == call_batch && result >= 0 ? (long)c.out[0] : result;
}

static vaddr_t address(struct actor *a)
{
    return VA + below(a, RANGES) * BLOCK_BYTES + below(a, 16) * PAGE_BYTES;
}

static pfn_t page_any(struct actor *a)
{
    return world.first + sw.data + 500 + below(a, 32);
}

/* As the straight path does it: the cached leaf, else a walk that fills the cache. */
static void fault_reply_as(struct actor *a)
{
    struct hart *h = this_hart();
    struct thread *c = &a->client;
    vaddr_t at = address(a);
    unsigned found;

    hart_busy(h);
    uint64_t *slot = NULL;
    if (at >> BLOCK_SHIFT == __atomic_load_n(&c->leaf.tag, __ATOMIC_RELAXED)) {
        slot = (uint64_t *)(c->leaf.bias + (at >> PAGE_SHIFT) * 8);
    } else {
        slot = space_slot(c->space, at, 0, &found);
        if (slot) {
            c->leaf.bias = (uint64_t)slot - (at >> PAGE_SHIFT) * 8;
            __atomic_store_n(&c->leaf.tag, at >> BLOCK_SHIFT, __ATOMIC_RELAXED);
        }
    }
    pfn_t page = page_any(a);
    uint64_t empty = 0;
    if (slot && block_get(page)) {
        if (__atomic_compare_exchange_n(slot, &empty, entry_make(page, ENTRY_ALWAYS | ENTRY_W),
                                        false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            a->mapped++;
        else
            block_put_n(page, 1);
    }
    hart_idle(h);
}

static struct batch_op op_any(struct actor *a, unsigned n)
{
    struct batch_op op = {.count = 1 + (uint32_t)below(a, 16), .memory = SLOT_MEMORY};
    op.address = address(a);
    switch (below(a, 10)) {
    case 0:
    case 1:
        op.code = BATCH_MAP;
        op.entry = entry_make(page_any(a), ENTRY_W);
        break;
    case 2:
        op.code = BATCH_PROTECT;
        op.entry = below(a, 2) ? ENTRY_W : 0;
        break;
    case 3:
        op.code = BATCH_TABLE;
        op.level = 1;
        op.entry = entry_make(a->tables[below(a, 4)], 0);
        break;
    case 4:
        op.code = BATCH_TABLE_REMOVE;
        op.level = 1;
        break;
    case 5:
        op.code = BATCH_COPY_TABLE;
        op.address &= ~(BLOCK_BYTES - 1);
        op.count = TABLE_ENTRIES;
        op.extra = SPACE_SLOT((n + 1) % SPACES);
        break;
    case 6:
        op.code = BATCH_MAP_LIST;
        op.extra = below(a, 200);
        for (uint64_t i = 0; i < op.count; i++)
            a->page.result[op.extra + i] = entry_make(page_any(a), ENTRY_W);
        break;
    case 7:
        op.code = BATCH_MOVE;
        op.extra = op.address ^ BLOCK_BYTES;
        break;
    default:
        op.code = BATCH_UNMAP;
        op.address &= ~(BLOCK_BYTES - 1);
        op.count = TABLE_ENTRIES;
    }
    return op;
}

static void batch_any(struct actor *a)
{
    unsigned n = (unsigned)below(a, SPACES), count = 1 + (unsigned)below(a, 4);

    for (unsigned i = 0; i < count; i++)
        a->page.op[i] = op_any(a, n);
    long error = call(a, call_batch, SPACE_SLOT(n), count, 0, 0, 0);
    for (unsigned i = 0; i < count; i++) {
        const struct batch_op *op = &a->page.op[i];
        a->removed += op->code == BATCH_TABLE_REMOVE && op->done == 1;
        a->copied += op->code == BATCH_COPY_TABLE && op->done > 0 && op->done <= TABLE_ENTRIES;
        bool maps = op->code == BATCH_MAP || op->code == BATCH_MAP_LIST;
        a->lost += maps && error == -ERR_MAPPED && op->done > 0 && op->done < op->count;
    }
}

static void *play(void *hart)
{
    struct actor *a = &actors[(uintptr_t)hart];

    machine_hart_select((unsigned)(uintptr_t)hart);
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t what = below(a, 16);
        if (what == 0)
            call(a, call_space_drop, SPACE_SLOT(below(a, SPACES)), SLOT_MEMORY, 0, 0, 0);
        else if (what == 1)
            call(a, call_space_copy, SPACE_SLOT(below(a, SPACES)), address(a), address(a), 9000,
                 below(a, 2));
        else if (what == 2)
            call(a, call_block_class, SLOT_MEMORY, sw.data, below(a, 2), 0, 0);
        else if (what < 8)
            fault_reply_as(a);
        else
            batch_any(a);
    }
    return NULL;
}

/* A hart that waits lets the others run: there may be fewer processors than harts. */
static void others_run(void)
{
    sched_yield();
}

static void thread_in(struct thread *t, unsigned n)
{
    thread_init(t, harts[0]);
    t->space = sw.space[n];
    TAILQ_INSERT_TAIL(&t->space->threads, t, mates);
    t->space->thread_count++;
}

static void actor_make(unsigned hart)
{
    struct actor *a = &actors[hart];

    thread_in(&a->thread, (hart + 1) % SPACES);
    thread_in(&a->client, hart % SPACES);
    a->thread.hart = a->client.hart = harts[hart];
    a->thread.table_caps = world.table->caps;
    a->thread.table_size = world.table->size;
    a->thread.operation_page = &a->page;
    a->random = ktap_random();
    for (unsigned i = 0; i < 4; i++)
        a->tables[i] = table_page();
    run_on(hart, hart % SPACES);
}

KTAP_CASE(harts_race_and_every_count_is_exact)
{
    pthread_t thread[HARTS];
    uint64_t mapped = 0, removed = 0, copied = 0, lost = 0;

    space_world_start(
        &(struct machine_options){.harts = HARTS, .asid_bits = 16, .pages = 8 * PAGES_PER_BLOCK},
        SPACES);
    for (unsigned n = 0; n < SPACES; n++)
        for (unsigned i = 0; i < RANGES; i++)
            tables_for(n, VA + i * BLOCK_BYTES, 0);
    machine_relax_hook = others_run;
    actors = calloc(HARTS, sizeof(*actors));
    for (unsigned h = 0; h < HARTS; h++)
        actor_make(h);
    for (uintptr_t h = 0; h < HARTS; h++)
        EXPECT_EQ(pthread_create(&thread[h], NULL, play, (void *)h), 0);
    for (unsigned h = 0; h < HARTS; h++)
        pthread_join(thread[h], NULL);
    for (unsigned h = 0; h < HARTS; h++) {
        mapped += actors[h].mapped;
        removed += actors[h].removed;
        copied += actors[h].copied;
        lost += actors[h].lost;
    }
    ktap_note("fault replies %lu, tables removed %lu, tables copied %lu, races lost %lu",
              (unsigned long)mapped, (unsigned long)removed, (unsigned long)copied,
              (unsigned long)lost);
    CHECK_ALL();
    for (unsigned n = 0; n < SPACES; n++) {
        EXPECT_EQ(sw.space[n]->lock | sw.space[n]->holders, 0);
        for (unsigned h = 0; h < HARTS; h++)
            EXPECT(
                actors[h].client.leaf.tag == ~0UL ||
                entry_is_table(entry_of(h % SPACES, actors[h].client.leaf.tag << BLOCK_SHIFT, 1)));
    }
    EXPECT(mapped > 100 && removed > 20 && copied > 20);
    free(actors);
}

/* ---- a list that changes while it is read ---- */

#define LIST 64

static volatile uint64_t *list_words;
static volatile bool list_stop;

/* Good entries and some that are not allowed, one after the other. */
static void *list_change(void *arg)
{
    uint64_t random = 1;

    (void)arg;
    while (!list_stop) {
        random = random * 6364136223846793005UL + 1442695040888963407UL;
        uint64_t i = (random >> 33) % LIST, good = entry_make(data_page(i * 17), ENTRY_W);
        list_words[i] = entry_make(world.first + 1, ENTRY_W); /* a space's own page */
        list_words[i] = good | ENTRY_G;
        list_words[i] = entry_make(world.first + world.pages, ENTRY_W);
        if (random >> 62 == 0)
            sched_yield();
        list_words[i] = good;
        if (random >> 62 == 1)
            sched_yield();
    }
    return NULL;
}

KTAP_CASE(a_list_that_changes_is_checked_as_it_was_read)
{
    pthread_t other;
    unsigned went = 0, refused = 0;

    space_world_start(
        &(struct machine_options){.harts = 1, .asid_bits = 16, .pages = 8 * PAGES_PER_BLOCK}, 1);
    tables_for(0, VA, 0);
    list_words = operation_page()->result;
    for (unsigned i = 0; i < LIST; i++)
        list_words[i] = entry_make(data_page(i * 17), ENTRY_W);
    list_stop = false;
    EXPECT_EQ(pthread_create(&other, NULL, list_change, NULL), 0);
    for (unsigned i = 0; i < 100000 && (i < 2000 || went < 50 || refused < 50); i++) {
        if (i % 16 == 0)
            sched_yield();
        long error = op_on(0, op_list(VA, LIST, 0));
        went += error == 0;
        refused += error != 0;
        for (unsigned k = 0; k < LIST; k++)
            EXPECT_EQ(entry_of(0, VA + k * PAGE_BYTES, 0),
                      error ? 0 : entry_make(data_page(k * 17), ENTRY_ALWAYS | ENTRY_W));
        if (i % 512 == 0)
            world_check();
        EXPECT_EQ(op_on(0, op_simple(BATCH_UNMAP, VA, LIST, 0)), 0);
    }
    list_stop = true;
    pthread_join(other, NULL);
    ktap_note("lists mapped %u, refused %u", went, refused);
    CHECK_ALL();
    EXPECT(went > 0 && refused > 0);
}

/* ---- fault replies against a batch that maps the same slots ---- */

static volatile bool fill_stop;

static void *slots_fill(void *arg)
{
    uint64_t *leaf = arg, random = 7, page;

    machine_hart_select(1);
    while (!fill_stop) {
        random = random * 6364136223846793005UL + 1442695040888963407UL;
        page = data_page((random >> 40) % 2000);
        hart_busy(harts[1]);
        EXPECT(block_get(page));
        if (!arch_slot_fill(&leaf[(random >> 33) % BATCH_RESULTS_MAX], entry_make(page, 0xd3)))
            block_put_n(page, 1);
        hart_idle(harts[1]);
        for (volatile unsigned i = 0; i < (random >> 53); i++)
            ;
    }
    return NULL;
}

KTAP_CASE(a_batch_that_loses_a_race_takes_back_what_it_counted)
{
    pthread_t other;
    unsigned found, lost = 0;

    space_world_start(
        &(struct machine_options){.harts = 2, .asid_bits = 16, .pages = 8 * PAGES_PER_BLOCK}, 1);
    tables_for(0, VA, 0);
    for (unsigned i = 0; i < BATCH_RESULTS_MAX; i++)
        operation_page()->result[i] = entry_make(data_page(i * 11 % 2500), ENTRY_W);
    fill_stop = false;
    EXPECT_EQ(pthread_create(&other, NULL, slots_fill, space_slot(sw.space[0], VA, 0, &found)), 0);
    for (unsigned i = 0; i < 200000 && lost < 100; i++) {
        bool list = i % 2;
        long error = op_on(0, list ? op_list(VA, BATCH_RESULTS_MAX, 0)
                                   : op_map(VA, BATCH_RESULTS_MAX, data_page(300), ENTRY_W));
        EXPECT(error == 0 || error == -ERR_MAPPED);
        EXPECT(error || sw.done == BATCH_RESULTS_MAX);
        lost += error && sw.done;
        EXPECT_EQ(op_on(0, op_simple(BATCH_UNMAP, VA, TABLE_ENTRIES, 0)), 0);
    }
    fill_stop = true;
    pthread_join(other, NULL);
    EXPECT_EQ(op_on(0, op_simple(BATCH_UNMAP, VA, TABLE_ENTRIES, 0)), 0);
    ktap_note("races lost %u", lost);
    CHECK_ALL();
    for (unsigned i = 0; i < 6; i++)
        EXPECT_EQ(block_count[data_page(i * PAGES_PER_BLOCK) >> TABLE_SHIFT], 0);
}
