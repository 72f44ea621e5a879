/*
 * Exhaustive exploration at small scope: every sequence of capability, object, block and mapping
 * operations up to a depth, in a universe of a few slots and pages. After each operation
 *   - every invariant of the system is recounted (world_check)
 *   - a refused call has changed nothing
 *   - after a revocation nothing that was derived is left, nor a mapping made with it
 * States that were met before are not entered again; a new slot is always the first empty one,
 * because slots differ by their number only.
 */
#include "kernel_world.h"
#include "ktap.h"

#include <stdlib.h>
#include <string.h>

#define W         SLOT_FREE /* the slots of the universe: W .. W + SLOTS - 1 */
#define SLOTS     4
#define MEM       SLOT_MEMORY
#define SPARE     0xfffUL /* in an operation: the first empty slot */
#define DEPTH_MAX 12
#define VISITED   (1UL << 20)
#define USED      16 /* pages of each block that operations can change */

struct operation {
    call_function *call;
    uint64_t a[6];
    struct batch_op batch;
};

static const struct operation *operations;
static unsigned operation_count;
static uint64_t explored, entered;

/* What operations change, to go back to. */
struct snapshot {
    uint8_t pages[5][USED][PAGE_BYTES];
    int32_t counts[5];
    struct machine_hart hart;
};

static struct snapshot *snapshots[DEPTH_MAX + 1];
static uint8_t *visited; /* remaining depth + 1 with which a state was entered, by hash */
static uint64_t *visited_hash;

static unsigned blocks(void)
{
    return (unsigned)(machine.options.pages / PAGES_PER_BLOCK);
}

static void *page_at(unsigned block, unsigned page)
{
    return page_to_virt(world.ram + block * PAGES_PER_BLOCK + page);
}

static void snapshot_take(struct snapshot *s)
{
    for (unsigned b = 0; b < blocks(); b++) {
        memcpy(s->pages[b], page_at(b, 0), sizeof(s->pages[b]));
        s->counts[b] = block_count[(world.ram >> TABLE_SHIFT) + b];
    }
    s->hart = machine.hart[0];
}

static void snapshot_restore(const struct snapshot *s)
{
    for (unsigned b = 0; b < blocks(); b++) {
        memcpy(page_at(b, 0), s->pages[b], sizeof(s->pages[b]));
        block_count[(world.ram >> TABLE_SHIFT) + b] = s->counts[b];
    }
    machine.hart[0] = s->hart;
}

/* Pages whose content is part of the state: not free ones, not data, not the operation page. */
static bool page_matters(unsigned block, unsigned page)
{
    pfn_t pfn = world.ram + block * PAGES_PER_BLOCK + page;
    const uint64_t *word = page_directory(pfn);
    if (page_to_virt(pfn) == world.thread->operation_page)
        return false;
    return block == 0 || (word && page_word_use(*word) != PAGE_FREE);
}

static uint64_t state_hash(void)
{
    uint64_t hash = 1;
    for (unsigned b = 0; b < blocks(); b++) {
        hash = (hash ^ (uint32_t)block_count[(world.ram >> TABLE_SHIFT) + b]) * 0x9e3779b97f4a7c15u;
        for (unsigned p = 0; p < USED; p++) {
            if (!page_matters(b, p))
                continue;
            const uint64_t *words = page_at(b, p);
            for (unsigned i = 0; i < PAGE_BYTES / sizeof(*words); i++)
                if (words[i])
                    hash =
                        ((hash ^ words[i] ^ (uint64_t)i << 50) * 0x9e3779b97f4a7c15u) ^ hash >> 29;
            hash += b * 64 + p;
        }
    }
    return hash | 1;
}

/* True if the state was not yet entered with at least this depth to go. */
static bool state_is_new(uint64_t hash, unsigned left)
{
    uint64_t at = hash >> 7 & (VISITED - 1);
    while (visited_hash[at] && visited_hash[at] != hash)
        at = (at + 1) & (VISITED - 1);
    if (visited_hash[at] && visited[at] > left)
        return false;
    entered += visited_hash[at] == 0;
    EXPECT(entered < VISITED - VISITED / 8);
    visited_hash[at] = hash;
    visited[at] = (uint8_t)(left + 1);
    return true;
}

static uint64_t spare_slot(void)
{
    for (uint64_t slot = W; slot < W + SLOTS; slot++)
        if (world_cap(slot)->type == CAP_NONE)
            return slot;
    return SPARE;
}

/* What a revocation will take: the descendants of c, in any order. */
struct descendants {
    struct {
        struct cap *cap;
        struct cap was;
    } of[64];
    unsigned count;
};

static void descendants_collect(struct descendants *d, struct cap *c)
{
    for (struct cap *child = c->child; child; child = child->next) {
        EXPECT(d->count < 64);
        d->of[d->count].cap = child;
        d->of[d->count++].was = *child;
        descendants_collect(d, child);
    }
}

static void descendants_gone(const struct descendants *d)
{
    for (unsigned i = 0; i < d->count; i++) {
        const struct cap *was = &d->of[i].was;
        EXPECT_EQ(d->of[i].cap->type, CAP_NONE);
        if (was->type == CAP_MEMORY)
            for (pfn_t p = was->first; p < was->first + was->pages; p++)
                EXPECT(block_count[p >> TABLE_SHIFT] <= 0);
        else if (was->primary)
            EXPECT_EQ(*page_directory(virt_to_page(was->object)), page_word(PAGE_FREE, 0, 0));
    }
}

static long perform(const struct operation *o)
{
    struct call_args c = {.a = {0}};
    struct descendants d = {.count = 0};
    bool revoke = o->call == call_cap_revoke && world_cap(o->a[1])->type != CAP_NONE;
    if (revoke)
        descendants_collect(&d, world_cap(o->a[1]));
    if (o->call == call_batch)
        *(struct batch_op *)world.thread->operation_page = o->batch;
    for (unsigned i = 0; i < 6; i++)
        c.a[i] = o->a[i] == SPARE ? spare_slot() : o->a[i];
    long result = o->call(world.thread, &c);
    if (revoke && result == 0)
        descendants_gone(&d);
    if (o->call == call_batch && result == 0)
        result = (long)c.out[0];
    return result;
}

static void explore(unsigned depth, unsigned depth_max)
{
    uint64_t hash = state_hash();
    if (!state_is_new(hash, depth_max - depth) || depth == depth_max)
        return;
    snapshot_take(snapshots[depth]);
    for (unsigned i = 0; i < operation_count; i++) {
        long result = perform(&operations[i]);
        explored++;
        if (result < 0 && result != -ERR_AGAIN && result != -ERR_BUSY)
            EXPECT_EQ(state_hash(), hash);
        else
            world_check();
        if (result >= 0 || result == -ERR_AGAIN)
            explore(depth + 1, depth_max);
        snapshot_restore(snapshots[depth]);
    }
}

static void run(const struct operation *list, unsigned count, unsigned depth_max)
{
    operations = list;
    operation_count = count;
    visited = calloc(VISITED, sizeof(*visited));
    visited_hash = calloc(VISITED, sizeof(*visited_hash));
    for (unsigned i = 0; i <= depth_max; i++)
        snapshots[i] = malloc(sizeof(struct snapshot));
    explore(0, depth_max);
    ktap_note("%llu operations, %llu states", (unsigned long long)explored,
              (unsigned long long)entered);
    EXPECT(explored > 1000);
    for (unsigned i = 0; i <= depth_max; i++)
        free(snapshots[i]);
    free(visited);
    free(visited_hash);
}

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define COPY(source, rights, first, pages)                                \
    {                                                                     \
        call_cap_copy, {source, SELF_TABLE, SPARE, rights, first, pages}, \
        {                                                                 \
            .code = 0                                                     \
        }                                                                 \
    }
#define CALL(call, ...)      \
    {                        \
        call, {__VA_ARGS__}, \
        {                    \
            .code = 0        \
        }                    \
    }
#define BATCH(space, ...)       \
    {                           \
        call_batch, {space, 1}, \
        {                       \
            __VA_ARGS__         \
        }                       \
    }

KTAP_CASE(every_sequence_of_derivations)
{
    static const struct operation list[] = {
        COPY(MEM, 0xff, 0, 512),
        COPY(MEM, RIGHT_WRITE | RIGHT_COPY_ON, 1, 2),
        COPY(W, 0xff, 0, 0),
        COPY(W, RIGHT_KEEP | RIGHT_COPY_ON, 0, 1),
        COPY(W + 1, 0xff, 1, 1),
        COPY(W + 2, 0xff, 0, 0),
        COPY(W + 1, 0xff, 7, 0), /* a badge, if it is an endpoint */
        COPY(SLOT_ENDPOINT, 0xff, 0, 0),
        CALL(call_cap_delete, SELF_TABLE, W),
        CALL(call_cap_delete, SELF_TABLE, W + 1),
        CALL(call_cap_delete, SELF_TABLE, W + 2),
        CALL(call_cap_delete, SELF_TABLE, W + 3),
        CALL(call_cap_revoke, SELF_TABLE, W),
        CALL(call_cap_revoke, SELF_TABLE, W + 1),
        CALL(call_cap_revoke, SELF_TABLE, W + 2),
        CALL(call_cap_revoke, SELF_TABLE, MEM),
        CALL(call_cap_revoke, SELF_TABLE, SLOT_ENDPOINT),
    };
    world_start(&(struct machine_options){.asid_bits = 16, .pages = 3 * PAGES_PER_BLOCK});
    run(list, COUNT(list), 10);
}

KTAP_CASE(every_sequence_of_objects)
{
    static const struct operation list[] = {
        CALL(call_block_class, MEM, 0, BLOCK_TABLES),
        CALL(call_block_class, MEM, 0, BLOCK_DATA),
        CALL(call_block_class, W, 0, BLOCK_DATA),
        COPY(MEM, 0xff, 0, 512),
        COPY(W, 0xff, 0, 0),
        COPY(W + 1, 0xff, 0, 0),
        CALL(call_object_create, MEM, 1, CAP_TABLE, 1, SPARE),
        CALL(call_object_create, W, 1, CAP_SPACE, 0, SPARE),
        CALL(call_object_create, W, 2, CAP_THREAD, 0, SPARE),
        CALL(call_object_create, MEM, 3, CAP_ENDPOINT, 0, SPARE),
        CALL(call_object_create, W + 1, 4, CAP_NOTIFICATION, 0, SPARE),
        CALL(call_cap_copy, W, W + 1, 0, 0xff),
        CALL(call_cap_copy, W + 1, W, 0, 0xff),
        CALL(call_cap_copy, W + 1, W + 1, 1, 0xff),
        CALL(call_cap_delete, W + 1, 0),
        CALL(call_cap_revoke, W + 1, 0),
        CALL(call_thread_set, W + 1, THREAD_PAGER, W + 2, 1),
        CALL(call_thread_set, W + 2, THREAD_TABLE, W),
        CALL(call_thread_set, W + 1, THREAD_SPACE, W + 2),
        CALL(call_cap_delete, SELF_TABLE, W),
        CALL(call_cap_delete, SELF_TABLE, W + 1),
        CALL(call_cap_delete, SELF_TABLE, W + 2),
        CALL(call_cap_revoke, SELF_TABLE, W),
        CALL(call_cap_revoke, SELF_TABLE, MEM),
    };
    world_start(&(struct machine_options){.asid_bits = 16, .pages = 3 * PAGES_PER_BLOCK});
    run(list, COUNT(list), 10);
}

KTAP_CASE(every_sequence_of_mappings)
{
    pfn_t tables = 0x80000 + PAGES_PER_BLOCK, data = tables + PAGES_PER_BLOCK;
    uint64_t rw = ENTRY_ALWAYS | ENTRY_W | ENTRY_D;
    const struct operation list[] = {
        CALL(call_block_class, MEM, 0, BLOCK_TABLES),
        CALL(call_block_class, MEM, 0, BLOCK_DATA),
        CALL(call_block_class, MEM, 512, BLOCK_TABLES),
        CALL(call_block_class, MEM, 512, BLOCK_DATA),
        COPY(MEM, 0xff, 0, 0),
        COPY(MEM, RIGHT_COPY_ON, 512, 4),
        CALL(call_object_create, MEM, 1, CAP_SPACE, 0, SPARE),
        CALL(call_cap_delete, SELF_TABLE, W),
        CALL(call_cap_revoke, SELF_TABLE, MEM),
        BATCH(SLOT_SPACE, .code = BATCH_TABLE, .level = 2, .memory = MEM,
              .entry = entry_make(tables + 3, 0)),
        BATCH(SLOT_SPACE, .code = BATCH_TABLE, .level = 1, .memory = W,
              .entry = entry_make(tables + 4, 0)),
        BATCH(SLOT_SPACE, .code = BATCH_TABLE_REMOVE, .level = 1),
        BATCH(SLOT_SPACE, .code = BATCH_TABLE_DROP, .level = 1),
        BATCH(SLOT_SPACE, .code = BATCH_MAP, .count = 1, .memory = W,
              .entry = entry_make(data, ENTRY_ALWAYS)),
        BATCH(SLOT_SPACE, .code = BATCH_MAP, .count = 2, .memory = MEM, .address = PAGE_BYTES,
              .entry = entry_make(tables + 511, rw)),
        BATCH(SLOT_SPACE, .code = BATCH_MAP, .level = 1, .count = 1, .memory = MEM,
              .entry = entry_make(data, rw)),
        BATCH(SLOT_SPACE, .code = BATCH_UNMAP, .count = 3),
        BATCH(SLOT_SPACE, .code = BATCH_UNMAP, .level = 1, .count = 1),
        BATCH(W, .code = BATCH_TABLE, .level = 2, .memory = MEM,
              .entry = entry_make(tables + 5, 0)),
        CALL(call_space_drop, SLOT_SPACE, MEM),
        CALL(call_space_drop, SLOT_SPACE, W),
    };
    world_start(&(struct machine_options){.asid_bits = 16, .pages = 3 * PAGES_PER_BLOCK});
    run(list, COUNT(list), 11);
}
