/*
 * Random batches on several spaces from several harts, with accesses in between and during fences,
 * against a flat model; after each step all invariants and all translations are checked.
 *
 * The model says for each page of a small window what stands there. It predicts which error an
 * operation ends with, how many slots it changes, and what every access finds. Accessed and
 * dirty bits may be more than predicted, because accesses are also made during fences; never less.
 */
#include "space_world.h"
#include "ktap.h"

#include <string.h>

#define SPACES 3
#define HARTS  3
#define VA     0x40000000UL
#define BLOCKS 3  /* 2 MiB ranges of the window */
#define SLOTS  40 /* pages at the start of each that are used */
#define PAGES  64 /* data pages that are used, around a block boundary */
#define STEPS  3000
#define AD     (ENTRY_A | ENTRY_D)
#define WXD    (ENTRY_W | ENTRY_X | ENTRY_D)

struct range {
    bool table;
    uint64_t large; /* the leaf that stands there instead of a table */
    pfn_t page;     /* of the table */
    uint64_t slot[SLOTS];
};

static struct model {
    struct range range[BLOCKS];
} model[SPACES];

static int ran[HARTS]; /* the space that the hart runs, or -1 */

static uint64_t below(uint64_t bound)
{
    return ktap_random_below(bound);
}

static pfn_t page_number(uint64_t i)
{
    return data_page(512 - PAGES / 2 + i);
}

static vaddr_t address_of(unsigned range, uint64_t slot)
{
    return VA + range * BLOCK_BYTES + slot * PAGE_BYTES;
}

/* ---- the model of each operation: the error, and in *done the slots that change ---- */

struct step {
    unsigned n, range;
    uint64_t first, count;
    struct batch_op op;
    uint64_t word[SLOTS]; /* of a list */
};

static long slots_error(const struct range *r)
{
    return r->large ? -ERR_LEVEL : !r->table ? -ERR_NOTABLE : 0;
}

static long model_map(struct range *r, const struct step *s, uint32_t *done)
{
    for (uint64_t i = 0; i < s->count; i++)
        if (r->slot[s->first + i] & ENTRY_V)
            return -ERR_MAPPED;
    for (uint64_t i = 0; i < s->count; i++)
        r->slot[s->first + i] = (s->op.entry | ENTRY_ALWAYS) + (i << ENTRY_PAGE_SHIFT);
    *done = (uint32_t)s->count;
    return 0;
}

static long model_map_list(struct range *r, const struct step *s, uint32_t *done)
{
    for (uint64_t i = 0; i < s->count; i++)
        if (s->word[i] & ENTRY_G)
            return -ERR_ENTRY;
    for (uint64_t i = 0; i < s->count; i++)
        if (r->slot[s->first + i] & ENTRY_V)
            return -ERR_MAPPED;
    for (uint64_t i = 0; i < s->count; i++)
        if (entry_page(s->word[i]) < data_page(0))
            return -ERR_CLASS;
    for (uint64_t i = 0; i < s->count; i++)
        r->slot[s->first + i] = s->word[i] | ENTRY_ALWAYS;
    *done = (uint32_t)s->count;
    return 0;
}

static long model_unmap(struct range *r, const struct step *s, uint32_t *done)
{
    for (uint64_t i = 0; i < s->count; i++) {
        *done += r->slot[s->first + i] != 0;
        r->slot[s->first + i] = 0;
    }
    return 0;
}

static long model_change(struct range *r, const struct step *s, uint32_t *done)
{
    for (uint64_t i = 0; i < s->count; i++) {
        uint64_t *slot = &r->slot[s->first + i], old = *slot;
        if (!(old & ENTRY_V))
            continue;
        if (s->op.code == BATCH_PROTECT)
            *slot = (old & ~WXD) | s->op.entry;
        else
            *slot = old & ~s->op.entry;
        *done += *slot != old;
    }
    return 0;
}

static long model_software(struct range *r, const struct step *s, uint32_t *done)
{
    if (r->slot[s->first] & ENTRY_V)
        return -ERR_MAPPED;
    r->slot[s->first] = s->op.entry;
    *done = 1;
    return 0;
}

static long model_replace(struct range *r, const struct step *s, uint32_t *done)
{
    uint64_t *slot = &r->slot[s->first];
    if ((*slot ^ s->op.extra) & ~AD)
        return *slot & ENTRY_V ? -ERR_MAPPED : -ERR_UNMAPPED;
    *slot = s->op.entry | ENTRY_ALWAYS;
    *done = 1;
    return 0;
}

static long model_table(struct range *r, const struct step *s, uint32_t *done)
{
    if (r->table || r->large)
        return -ERR_MAPPED;
    *r = (struct range){.table = true, .page = entry_page(s->op.entry)};
    *done = 1;
    return 0;
}

static long model_table_remove(struct range *r, uint32_t *done)
{
    if (r->large)
        return -ERR_LEVEL;
    if (!r->table)
        return -ERR_UNMAPPED;
    for (unsigned i = 0; i < SLOTS; i++)
        if (r->slot[i])
            return -ERR_BUSY;
    r->table = false;
    *done = 1;
    return 0;
}

static long model_table_drop(struct range *r, uint32_t *done)
{
    if (r->large)
        return -ERR_LEVEL;
    if (!r->table)
        return -ERR_UNMAPPED;
    for (unsigned i = 0; i < SLOTS; i++)
        *done += (r->slot[i] & ENTRY_V) != 0;
    memset(r->slot, 0, sizeof r->slot);
    r->table = false;
    return 0;
}

static long model_copy(struct range *r, struct range *source, const struct step *s, uint32_t *done)
{
    long error = slots_error(r);
    if (error)
        return error;
    if (!source->table)
        return source->large ? -ERR_LEVEL : -ERR_NOTABLE;
    uint64_t *from = source->slot + s->first, *to = r->slot + s->first;
    for (uint64_t i = 0; i < s->count; i++)
        if (to[i])
            return -ERR_MAPPED;
    for (uint64_t i = 0; i < s->count; i++) {
        if (from[i] & ENTRY_V)
            from[i] &= ~ENTRY_W;
        to[i] = from[i];
        *done += to[i] != 0;
    }
    return 0;
}

static long model_move(struct range *r, const struct step *s, uint32_t *done)
{
    unsigned range = (unsigned)((s->op.extra - VA) / BLOCK_BYTES);
    struct range *target = &model[s->n].range[range];
    uint64_t *from = r->slot + s->first;
    uint64_t *to = target->slot + (s->op.extra - address_of(range, 0)) / PAGE_BYTES;
    long error = slots_error(target);
    if (error || (error = slots_error(r)))
        return error;
    if (from < to + s->count && to < from + s->count)
        return -ERR_ARGUMENT;
    for (uint64_t i = 0; i < s->count; i++)
        if (to[i])
            return -ERR_MAPPED;
    for (uint64_t i = 0; i < s->count; i++) {
        to[i] = from[i];
        from[i] = 0;
        *done += to[i] != 0;
    }
    return 0;
}

static long model_large(struct range *r, const struct step *s, uint32_t *done)
{
    if (r->table)
        return -ERR_LEVEL;
    if (s->op.code == BATCH_MAP && r->large)
        return -ERR_MAPPED;
    *done = s->op.code == BATCH_MAP || r->large;
    r->large = s->op.code == BATCH_MAP ? s->op.entry | ENTRY_ALWAYS : 0;
    return 0;
}

static long model_step(const struct step *s, uint32_t *done)
{
    struct range *r = &model[s->n].range[s->range];
    *done = 0;
    if (s->op.code == BATCH_TABLE)
        return model_table(r, s, done);
    if (s->op.code == BATCH_TABLE_REMOVE)
        return model_table_remove(r, done);
    if (s->op.code == BATCH_TABLE_DROP)
        return model_table_drop(r, done);
    if (s->op.code == BATCH_COPY_TABLE)
        return model_copy(r, &model[s->op.extra - SPACE_SLOT(0)].range[s->range], s, done);
    if (s->op.code == BATCH_MOVE)
        return model_move(r, s, done);
    if (s->op.level == 1)
        return model_large(r, s, done);
    long error = slots_error(r);
    if (error)
        return error;
    switch (s->op.code) {
    case BATCH_MAP:
        return model_map(r, s, done);
    case BATCH_MAP_LIST:
        return model_map_list(r, s, done);
    case BATCH_UNMAP:
        return model_unmap(r, s, done);
    case BATCH_SOFTWARE:
        return model_software(r, s, done);
    case BATCH_REPLACE:
        return model_replace(r, s, done);
    default:
        return model_change(r, s, done);
    }
}

/* ---- making operations ---- */

static pfn_t free_tables[64];
static unsigned free_table_count;

static pfn_t table_page_any(void)
{
    return free_table_count ? free_tables[free_table_count - 1] : table_page();
}

/* Mostly something that can be done where the range is now; sometimes anything. */
static enum batch_code code_make(const struct range *r)
{
    static const uint8_t any[] = {BATCH_MAP,        BATCH_UNMAP,        BATCH_PROTECT,
                                  BATCH_CLEAR_BITS, BATCH_SOFTWARE,     BATCH_REPLACE,
                                  BATCH_TABLE,      BATCH_TABLE_REMOVE, BATCH_COPY_TABLE,
                                  BATCH_MAP_LIST,   BATCH_MOVE,         BATCH_TABLE_DROP};
    static const uint8_t empty[] = {BATCH_MAP,          BATCH_MAP,        BATCH_MAP_LIST,
                                    BATCH_MAP_LIST,     BATCH_COPY_TABLE, BATCH_COPY_TABLE,
                                    BATCH_TABLE_REMOVE, BATCH_TABLE_DROP};
    static const uint8_t filled[] = {BATCH_MAP,        BATCH_MAP_LIST, BATCH_UNMAP,   BATCH_UNMAP,
                                     BATCH_UNMAP,      BATCH_UNMAP,    BATCH_PROTECT, BATCH_PROTECT,
                                     BATCH_CLEAR_BITS, BATCH_REPLACE,  BATCH_MOVE,    BATCH_MOVE};
    bool is_empty = true;
    for (unsigned i = 0; i < SLOTS; i++)
        is_empty &= r->slot[i] == 0;
    if (below(8) == 0)
        return any[below(sizeof(any))];
    if (!r->table)
        return r->large ? BATCH_UNMAP : below(3) ? BATCH_TABLE : BATCH_MAP;
    return is_empty ? empty[below(sizeof(empty))] : filled[below(sizeof(filled))];
}

static struct step step_make(unsigned n)
{
    struct step s = {.n = n, .range = (unsigned)below(BLOCKS), .first = below(SLOTS)};
    s.count = 1 + below(below(3) ? 4 : SLOTS);
    if (below(12) == 0) { /* all of it, so that tables become empty */
        s.first = 0;
        s.count = SLOTS;
    }
    if (s.count > SLOTS - s.first)
        s.count = SLOTS - s.first;
    s.op = op_simple(code_make(&model[n].range[s.range]), address_of(s.range, s.first),
                     (uint32_t)s.count, 0);
    s.op.entry = below(2) ? ENTRY_W | (below(2) ? ENTRY_D : 0) : below(2) ? ENTRY_X : 0;
    return s;
}

/* Mostly pages that can be mapped, in runs of one block or in none. */
static void list_make(struct step *s)
{
    bool runs = below(2);
    for (uint64_t i = 0; i < s->count; i++) {
        uint64_t page = runs ? i / 8 % 2 * (PAGES / 2) + i % 8 : below(PAGES);
        s->word[i] = entry_make(page_number(page), below(2) ? ENTRY_W | ENTRY_D : below(2) << 9);
    }
    if (below(20) == 0)
        s->word[below(s->count)] |= ENTRY_G;
    if (below(20) == 0)
        s->word[below(s->count)] = entry_make(world.first, 0);
}

/* The rest of an operation, which depends on its code. */
static void step_fill(struct step *s)
{
    struct batch_op *op = &s->op;
    uint64_t bits = op->entry;
    switch (op->code) {
    case BATCH_MAP:
        op->entry = entry_make(page_number(below(PAGES - s->count)), bits | below(2) << 8);
        break;
    case BATCH_MAP_LIST:
        list_make(s);
        break;
    case BATCH_PROTECT:
        break;
    case BATCH_CLEAR_BITS:
        op->entry = below(16) << 6;
        break;
    case BATCH_SOFTWARE:
        op->count = 1;
        op->entry = (1 + below(1000)) << 12;
        break;
    case BATCH_REPLACE:
        op->count = 1;
        op->extra = model[s->n].range[s->range].slot[s->first];
        if (!entry_is_leaf(op->extra))
            op->extra = entry_make(page_number(0), ENTRY_ALWAYS);
        op->entry = entry_make(below(2) ? page_number(below(PAGES)) : entry_page(op->extra), bits);
        break;
    case BATCH_TABLE:
        op->level = 1;
        op->entry = entry_make(table_page_any(), 0);
        break;
    case BATCH_COPY_TABLE:
        op->extra = SPACE_SLOT((s->n + 1 + below(SPACES - 1)) % SPACES);
        break;
    case BATCH_MOVE:
        op->extra = address_of((unsigned)below(BLOCKS), below(SLOTS - s->count + 1));
        break;
    case BATCH_TABLE_REMOVE:
    case BATCH_TABLE_DROP:
        op->level = 1;
        break;
    }
    unsigned large = model[s->n].range[s->range].table ? 20 : 2;
    if ((op->code == BATCH_MAP || op->code == BATCH_UNMAP) && below(large) == 0) {
        *op = op_simple(op->code, address_of(s->range, 0), 1, 0);
        op->level = 1;
        if (op->code == BATCH_MAP)
            op->entry = entry_make(data_page(1024), bits);
    }
}

/* ---- accesses ---- */

static uint64_t expected_at(unsigned n, unsigned range, uint64_t slot)
{
    const struct range *r = &model[n].range[range];
    if (r->large)
        return r->large + (slot << ENTRY_PAGE_SHIFT);
    return r->table ? r->slot[slot] : 0;
}

static void access_make(unsigned hart, bool checked)
{
    unsigned range = (unsigned)below(BLOCKS), kind = (unsigned)below(3);
    uint64_t slot = below(SLOTS);
    vaddr_t at = address_of(range, slot) + below(512) * 8;
    if (ran[hart] < 0)
        return;
    uint64_t e = expected_at((unsigned)ran[hart], range, slot);
    static const uint64_t need[] = {ENTRY_R, ENTRY_W, ENTRY_X};
    bool went = kind == 0   ? sim_load(hart, at, NULL)
                : kind == 1 ? sim_store(hart, at, at)
                            : sim_fetch(hart, at);
    if (!checked)
        return;
    EXPECT_EQ(went, (e & ENTRY_V) && (e & need[kind]));
    if (went)
        EXPECT_EQ(sim_page(), entry_page(e));
}

/* While a fence is under way the other harts go on, and may begin or cease to run spaces. */
static void during_fence(void)
{
    if (kernel_lock_held())
        return;
    for (unsigned i = 0; i < 3; i++) {
        unsigned hart = (unsigned)below(HARTS);
        if (harts[hart] == this_hart())
            continue;
        if (below(4) == 0) {
            ran[hart] = (int)below(SPACES);
            run_on(hart, (unsigned)ran[hart]);
        }
        access_make(hart, false);
    }
}

/* ---- comparing ---- */

static void compare_slot(uint64_t *expected, uint64_t now)
{
    EXPECT_EQ(now & ~AD, *expected & ~AD);
    if (*expected & ENTRY_V)
        EXPECT_EQ(*expected & AD & ~now, 0);
    else
        EXPECT_EQ(now, *expected);
    *expected = now;
}

static void compare_all(void)
{
    for (unsigned n = 0; n < SPACES; n++)
        for (unsigned i = 0; i < BLOCKS; i++) {
            struct range *r = &model[n].range[i];
            uint64_t now = entry_of(n, address_of(i, 0), 1);
            if (!r->table) {
                compare_slot(&r->large, now);
                continue;
            }
            EXPECT_EQ(now, entry_make(r->page, ENTRY_V));
            for (unsigned s = 0; s < SLOTS; s++)
                compare_slot(&r->slot[s], entry_of(n, address_of(i, s), 0));
        }
    CHECK_ALL();
}

/* ---- steps ---- */

static void table_pages_note(const struct step *s, const struct range *before, long error)
{
    if (error)
        return;
    if (s->op.code == BATCH_TABLE && free_table_count &&
        entry_page(s->op.entry) == free_tables[free_table_count - 1])
        free_table_count--;
    if (s->op.code == BATCH_TABLE_REMOVE || s->op.code == BATCH_TABLE_DROP)
        free_tables[free_table_count++] = before->page;
}

static void do_batch(void)
{
    unsigned n = (unsigned)below(SPACES), count = 1 + (unsigned)below(6), i;
    struct step step[6];
    uint32_t done[6] = {0};
    long expected = 0, error;
    bool table_changed = false;
    for (i = 0; i < count && expected == 0; i++) {
        step[i] = step_make(n);
        step_fill(&step[i]);
        /* A table page is free again only when the batch is over; and a fork has one source. */
        bool table = step[i].op.code == BATCH_TABLE || step[i].op.code == BATCH_TABLE_REMOVE ||
                     step[i].op.code == BATCH_TABLE_DROP || step[i].op.code == BATCH_COPY_TABLE;
        if (table && table_changed)
            step[i].op.code = BATCH_NOP;
        table_changed |= table;
        if (step[i].op.code == BATCH_MAP_LIST) {
            step[i].op.extra = i * SLOTS + BATCH_RESULTS_MAX % SLOTS;
            memcpy(&operation_page()->result[step[i].op.extra], step[i].word,
                   step[i].count * sizeof(uint64_t));
        }
        operation_page()->op[i] = step[i].op;
        struct range before = model[n].range[step[i].range];
        if (step[i].op.code == BATCH_NOP)
            continue;
        expected = model_step(&step[i], &done[i]);
        table_pages_note(&step[i], &before, expected);
    }
    long performed = batch_on(n, i, &error);
    EXPECT_EQ(error, expected);
    EXPECT_EQ(performed, expected ? i - 1 : i);
    for (unsigned k = 0; k < i; k++)
        if (step[k].op.code != BATCH_PROTECT && step[k].op.code != BATCH_CLEAR_BITS)
            EXPECT_EQ(operation_page()->op[k].done, done[k]);
}

/* A large leaf becomes a table of small ones; those outside the window go in the same batch. */
static void do_split(void)
{
    unsigned n = (unsigned)below(SPACES), i = (unsigned)below(BLOCKS);
    struct range *r = &model[n].range[i];
    pfn_t page = table_page_any();
    long error;

    if (!r->large)
        return;
    operation_page()->op[0] = op_simple(BATCH_SPLIT, address_of(i, 0), 0, entry_make(page, 0));
    operation_page()->op[0].level = 1;
    operation_page()->op[1] =
        op_simple(BATCH_UNMAP, address_of(i, SLOTS), (uint32_t)(TABLE_ENTRIES - SLOTS), 0);
    EXPECT_EQ(batch_on(n, 2, &error), 2);
    if (free_table_count && page == free_tables[free_table_count - 1])
        free_table_count--;
    uint64_t leaf = r->large;
    *r = (struct range){.table = true, .page = page};
    for (uint64_t s = 0; s < SLOTS; s++)
        r->slot[s] = leaf + (s << ENTRY_PAGE_SHIFT);
}

static void do_drop(void)
{
    unsigned n = (unsigned)below(SPACES);
    uint64_t first = below(PAGES - 8), pages = 1 + below(8);
    EXPECT_EQ(WORLD_CALL(call_cap_copy, SLOT_MEMORY, SELF_TABLE, SLOT_FREE + 60, 0,
                         page_number(first) - world.first, pages),
              0);
    while (WORLD_CALL(call_space_drop, SPACE_SLOT(n), SLOT_FREE + 60) == -ERR_AGAIN)
        ;
    /* Extents count as in use by the block; so the capability stays where other pages are mapped.
     */
    if (WORLD_CALL(call_cap_delete, SELF_TABLE, SLOT_FREE + 60) != 0) {
        kernel_lock();
        cap_clear(world_cap(SLOT_FREE + 60));
        kernel_unlock();
    }
    for (unsigned i = 0; i < BLOCKS; i++)
        for (unsigned s = 0; s < SLOTS; s++) {
            uint64_t *slot = &model[n].range[i].slot[s];
            if ((*slot & ENTRY_V) && entry_page(*slot) - page_number(first) < pages)
                *slot = 0;
        }
}

static void play(struct machine_options o)
{
    o.harts = HARTS;
    o.pages = 8 * PAGES_PER_BLOCK;
    space_world_start(&o, SPACES);
    memset(model, 0, sizeof(model));
    free_table_count = 0;
    for (unsigned n = 0; n < SPACES; n++)
        tables_for(n, VA, 1);
    for (unsigned h = 0; h < HARTS; h++)
        ran[h] = -1;
    tlb_fence_hook = during_fence;
    for (unsigned i = 0; i < STEPS; i++) {
        unsigned hart = (unsigned)below(HARTS), what = (unsigned)below(10);
        machine_hart_select(hart);
        if (what < 2) {
            ran[hart] = (int)below(SPACES);
            run_on(hart, (unsigned)ran[hart]);
        } else if (what < 3) {
            do_drop();
        } else if (what < 4) {
            do_split();
        } else {
            do_batch();
        }
        compare_all();
        for (unsigned k = 0; k < 12; k++)
            access_make((unsigned)below(HARTS), true);
        compare_all();
    }
    machine_hart_select(0);
}

KTAP_CASE(random_batches_sv39)
{
    play((struct machine_options){.asid_bits = 16});
}

KTAP_CASE(random_batches_sv48)
{
    play((struct machine_options){.asid_bits = 16, .levels = 4});
}

KTAP_CASE(random_batches_sv57_2_bits)
{
    play((struct machine_options){.asid_bits = 2, .levels = 5});
}

KTAP_CASE(random_batches_1_bit)
{
    play((struct machine_options){.asid_bits = 1});
}

KTAP_CASE(random_batches_3_bits)
{
    play((struct machine_options){.asid_bits = 3});
}

KTAP_CASE(random_batches_no_numbers)
{
    play((struct machine_options){.asid_bits = 0});
}
