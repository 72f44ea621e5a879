/*
 * Objects: radix trees; several spaces that map objects shared and private, with writes, resizing
 * and holes, against a flat model; replies under way while an object shrinks; every allocation and
 * kernel call of an object's life fails once.
 */
#include "core_world.h"
#include "mmserver/core/rmap_walk.h"

#include "mmserver/core/object.h"
#include "mmserver/core/radix.h"

#include <string.h>

#define RW      (PROT_READ | PROT_WRITE)
#define HALF    (PAGE_BYTES / 2) /* the model has two bytes of each page */
#define PAGES   160UL
#define OBJECTS 2
#define SPACES  3
#define MAPS    5
#define STEPS   6000

/* ---- radix trees ---- */

#define KEYS 300

static uint64_t random_key(void)
{
    uint64_t key = ktap_random_below(200);

    return key << ktap_random_below(7) * 9;
}

KTAP_CASE(core_radix_is_a_map)
{
    const struct world world = {0};
    uint64_t key[KEYS], word[KEYS] = {0}, nodes, words;
    struct radix_spare spare = {NULL, 0};
    struct radix tree = {0};

    core_world_boot(&world);
    struct worker *w = sim_worker(0);
    for (unsigned i = 0; i < KEYS; i++)
        key[i] = random_key();
    for (unsigned step = 0; step < 20000; step++) {
        unsigned i = (unsigned)ktap_random_below(KEYS);
        uint64_t there = radix_get(&tree, key[i]);

        if (!there && ktap_random_below(2)) {
            EXPECT(radix_spare_fill(w, &spare, radix_missing(&tree, key[i])));
            radix_store(&tree, key[i], step + 1, &spare);
            for (unsigned k = 0; k < KEYS; k++)
                word[k] = key[k] == key[i] ? step + 1 : word[k];
        } else if (there) {
            EXPECT_EQ(there, word[i]);
            EXPECT_EQ(radix_take(w, &tree, key[i]), there);
            for (unsigned k = 0; k < KEYS; k++)
                word[k] = key[k] == key[i] ? 0 : word[k];
        }
        if (step % 1000)
            continue;
        EXPECT(radix_count(&tree, &nodes, &words));
        uint64_t from = key[i], next = ~0UL, found = from;
        for (unsigned k = 0; k < KEYS; k++)
            next = word[k] && key[k] >= from && key[k] < next ? key[k] : next;
        uint64_t got = radix_next(&tree, &found);
        EXPECT_EQ(got != 0, next != ~0UL);
        EXPECT(!got || found == next);
    }
    for (unsigned i = 0; i < KEYS; i++)
        radix_take(w, &tree, key[i]);
    EXPECT(!tree.root && !tree.nodes && !tree.height);
    radix_spare_free(w, &spare);
    core_world_check();
}

/* ---- what the personality does ---- */

static struct client *personality;
static uint64_t desk;

static long create(uint64_t bytes)
{
    const struct mm_object wanted = {.bytes = bytes, .name = desk + 512};

    core_world_poke(personality, desk + 512, "/memfd:model", 13);
    core_world_poke(personality, desk, &wanted, sizeof wanted);
    return core_world_call(personality, MM_OBJECT_CREATE, desk, 0, 0, 0, 0);
}

static long map(struct client *c, long object, uint64_t at, uint64_t first, uint64_t pages,
                bool shared)
{
    const struct mm_map_file wanted = {.mm = c->mm->id,
                                       .address = at,
                                       .bytes = pages << PAGE_SHIFT,
                                       .prot = RW,
                                       .flags = (shared ? MAP_SHARED : MAP_PRIVATE) |
                                                (at ? MAP_FIXED : 0),
                                       .offset = first << PAGE_SHIFT,
                                       .object = (uint64_t)object};

    core_world_poke(personality, desk, &wanted, sizeof wanted);
    return core_world_call(personality, MM_MAP_FILE, desk, 0, 0, 0, 0);
}

static long object_op(long number, long object, uint64_t a, uint64_t b, uint64_t p, uint64_t q)
{
    return core_world_call(personality, number, (uint64_t)object, a, b, p, q);
}

static long write_byte(long object, uint64_t offset, uint8_t byte)
{
    core_world_poke(personality, desk, &byte, 1);
    return object_op(MM_OBJECT_WRITE, object, offset, personality->mm->id, desk, 1);
}

static long read_byte(long object, uint64_t offset, uint8_t *byte)
{
    long got = object_op(MM_OBJECT_READ, object, offset, personality->mm->id, desk, 1);

    core_world_peek(personality, desk, byte, 1);
    return got;
}

static void start(void)
{
    const struct world world = {.harts = SPACES + 1};

    core_world_boot(&world);
    personality = core_world_personality();
    desk = core_world_mmap(personality, 0, PAGE_BYTES, RW, 0);
}

/* ---- the model ---- */

static struct model_object {
    long handle;
    uint64_t halves; /* its size */
    uint8_t byte[PAGES * 2];
} objects[OBJECTS];

static struct model_map {
    struct model_object *object; /* NULL: none */
    bool shared;
    uint64_t first, pages;
    vaddr_t at;
    bool copied[PAGES];
    uint8_t copy[PAGES * 2];
} maps[SPACES][MAPS];

static struct client *spaces[SPACES];
static unsigned moved; /* pages of objects */

static uint64_t object_end(const struct model_object *o)
{
    return (o->halves + 1) / 2; /* pages that can be reached */
}

static void step_map(unsigned s, struct model_map *m)
{
    if (m->object) {
        EXPECT_EQ(core_world_call(spaces[s], NR_munmap, m->at, m->pages << PAGE_SHIFT, 0, 0, 0), 0);
        m->object = NULL;
        return;
    }
    memset(m, 0, sizeof *m);
    m->object = &objects[ktap_random_below(OBJECTS)];
    m->shared = ktap_random_below(2);
    m->first = ktap_random_below(PAGES - 1);
    m->pages = 1 + ktap_random_below(PAGES - m->first);
    long at = map(spaces[s], m->object->handle, 0, m->first, m->pages, m->shared);
    EXPECT(at > 0);
    m->at = (vaddr_t)at;
}

static void step_access(unsigned s, struct model_map *m)
{
    if (!m->object)
        return;
    uint64_t page = ktap_random_below(m->pages), half = ktap_random_below(2);
    uint64_t of_object = (m->first + page) * 2 + half;
    bool write = ktap_random_below(2), reach = m->first + page < object_end(m->object);
    uint8_t value = (uint8_t)(1 + ktap_random_below(200)), got = value;
    struct sim_outcome outcome = sim_access(spaces[s], m->at + (page << PAGE_SHIFT) + half * HALF,
                                            write ? SIM_WRITE : SIM_READ, &got);

    EXPECT_EQ(outcome.done, reach);
    if (!reach) {
        EXPECT_EQ(outcome.signal, LINUX_SIGBUS);
        return;
    }
    if (write && !m->shared && !m->copied[page]) {
        memcpy(m->copy + page * 2, m->object->byte + (of_object & ~1UL), 2);
        m->copied[page] = true;
    }
    uint8_t *byte =
        m->shared || !m->copied[page] ? &m->object->byte[of_object] : &m->copy[page * 2 + half];
    if (write)
        *byte = value;
    else
        EXPECT_EQ(got, *byte);
}

/* What a mapping writes behind the end in the last page is cut off by the next change of size. */
static void model_resize(struct model_object *o, uint64_t halves)
{
    uint64_t from = halves < o->halves ? halves : o->halves;

    if (halves < o->halves)
        memset(o->byte + from, 0, sizeof o->byte - from);
    o->halves = halves;
    for (unsigned s = 0; s < SPACES; s++) {
        for (struct model_map *m = maps[s]; m < maps[s] + MAPS; m++) {
            for (uint64_t page = 0; m->object == o && page < m->pages; page++)
                m->copied[page] &= m->first + page < object_end(o);
        }
    }
}

static void step_resize(struct model_object *o)
{
    uint64_t halves = ktap_random_below(PAGES * 2);

    EXPECT_EQ(object_op(MM_OBJECT_RESIZE, o->handle, halves * HALF, 0, 0, 0), 0);
    model_resize(o, halves);
}

static void step_punch(struct model_object *o)
{
    uint64_t first = ktap_random_below(PAGES * 2 - 1);
    uint64_t count = 1 + ktap_random_below(PAGES * 2 - first);

    EXPECT_EQ(
        object_op(MM_OBJECT_ALLOCATE, o->handle, first * HALF, count * HALF, MM_ALLOCATE_PUNCH, 0),
        0);
    memset(o->byte + first, 0, count);
}

static void step_write(struct model_object *o)
{
    uint64_t half = ktap_random_below(PAGES * 2);
    uint8_t byte = (uint8_t)(1 + ktap_random_below(200)), got;

    if (ktap_random_below(2)) {
        EXPECT_EQ(read_byte(o->handle, half * HALF, &got), half < o->halves);
        EXPECT(half >= o->halves || got == o->byte[half]);
    } else if (half < o->halves) {
        EXPECT_EQ(write_byte(o->handle, half * HALF, byte), 1);
        o->byte[half] = byte;
    }
}

/* Something of an object, or of a space, moves to another page. */
static void step_migrate(unsigned s, const struct model_map *m)
{
    struct worker *w = sim_worker(0);
    vaddr_t at = m->at, end = at + (m->pages << PAGE_SHIFT);

    while (at < end && !(entry_is_leaf(pt_leaf(spaces[s]->mm, at)) && ktap_random_below(4)))
        at += PAGE_BYTES;
    if (at == end)
        return;
    pfn_t from = entry_page(pt_leaf(spaces[s]->mm, at));
    bool object = page_of(from)->state == PAGE_FILE;
    sim_idle(0); /* the worker that moves it */
    pfn_t to = page_alloc_user(w);
    EXPECT_EQ(migrate_page(w, from, to), 0);
    EXPECT_EQ(entry_page(pt_leaf(spaces[s]->mm, at)), to);
    page_free(w, from);
    moved += object;
}

static void step(unsigned number)
{
    unsigned s = (unsigned)ktap_random_below(SPACES);
    struct model_map *m = &maps[s][ktap_random_below(MAPS)];
    struct model_object *o = &objects[ktap_random_below(OBJECTS)];
    uint64_t what = ktap_random_below(100);

    if (what < 6 || (!m->object && what < 50))
        step_map(s, m);
    else if (what < 80)
        step_access(s, m);
    else if (what < 82)
        step_resize(o);
    else if (what < 84)
        step_punch(o);
    else if (what < 93)
        step_write(o);
    else if (m->object && what < 97)
        step_migrate(s, m);
    else if (m->object && what < 98)
        core_world_call(spaces[s], NR_madvise, m->at, m->pages << PAGE_SHIFT, MADV_RANDOM, 0, 0);
    else if (m->object) {
        core_world_call(spaces[s], NR_madvise, m->at, m->pages << PAGE_SHIFT, MADV_DONTNEED, 0, 0);
        memset(m->copied, 0, sizeof m->copied);
    }
    if (number % 50 == 0)
        core_world_check();
}

static void run_model(void)
{
    for (unsigned i = 0; i < OBJECTS; i++) {
        memset(&objects[i], 0, sizeof objects[i]);
        objects[i].halves = PAGES;
        objects[i].handle = create(PAGES * HALF);
        EXPECT(objects[i].handle > 0);
    }
    memset(maps, 0, sizeof maps);
    for (unsigned s = 0; s < SPACES; s++)
        spaces[s] = core_world_program(s + 1);
    moved = 0;
    for (unsigned i = 0; i < STEPS; i++)
        step(i);
    ktap_note("%u pages of objects moved", moved);
    EXPECT(moved > 20);
    for (unsigned s = 0; s < SPACES; s++)
        core_world_end(spaces[s]);
    for (unsigned i = 0; i < OBJECTS; i++)
        EXPECT_EQ(object_op(MM_OBJECT_RELEASE, objects[i].handle, 0, 0, 0, 0), 0);
    core_world_check();
    EXPECT_EQ(object_memory_pages(), 0);
}

KTAP_CASE(core_object_random)
{
    start();
    run_model();
}

KTAP_CASE(core_object_random_without_fault_around)
{
    start();
    uint64_t around = object_around_bytes;
    object_around_bytes = PAGE_BYTES;
    run_model();
    object_around_bytes = around;
}

/* ---- the shrinking object and the reply under way ---- */

static void shrink_under_reply(bool fails)
{
    start();
    struct client *c = core_world_program(1);
    long object = create(4 * PAGE_BYTES);
    long at = map(c, object, 0, 0, 4, true);
    uint8_t byte = 9;

    EXPECT_EQ(write_byte(object, PAGE_BYTES, 5), 1);
    sim_hold_next_reply(fails);
    sim_access(c, (vaddr_t)at + PAGE_BYTES, SIM_WRITE, &byte);
    EXPECT(sim_reply_is_held());
    EXPECT_EQ(object_op(MM_OBJECT_RESIZE, object, 100, 0, 0, 0), 0);
    EXPECT(!sim_reply_is_held());
    EXPECT_EQ(pt_leaf(c->mm, (vaddr_t)at + PAGE_BYTES), 0);
    EXPECT_EQ(c->mm->file_pages, 0);
    if (fails)
        sim_held_goes_on();
    struct sim_outcome outcome = sim_access(c, (vaddr_t)at + PAGE_BYTES, SIM_READ, &byte);
    EXPECT(!outcome.done);
    EXPECT_EQ(outcome.signal, LINUX_SIGBUS);
    EXPECT_EQ(object_op(MM_OBJECT_RELEASE, object, 0, 0, 0, 0), 0);
    core_world_check();
    core_world_end(c);
    core_world_check();
    EXPECT_EQ(object_memory_pages(), 0);
}

KTAP_CASE(core_object_shrinks_while_a_reply_arrives)
{
    shrink_under_reply(false);
}

KTAP_CASE(core_object_shrinks_while_a_reply_is_refused)
{
    shrink_under_reply(true);
}

/* ---- bad requests ---- */

KTAP_CASE(core_object_calls_are_checked)
{
    start();
    struct client *c = core_world_program(1);
    long object = create(PAGE_BYTES);

    EXPECT_EQ(core_world_call(c, MM_OBJECT_RESIZE, (uint64_t)object, 0, 0, 0, 0), -LINUX_EPERM);
    EXPECT_EQ(core_world_call(c, MM_OBJECT_CREATE, desk, 0, 0, 0, 0), -LINUX_EPERM);
    EXPECT_EQ(core_world_call(personality, MM_OBJECT_CREATE, 8, 0, 0, 0, 0), -LINUX_EFAULT);
    for (long n = MM_OBJECT_RELEASE; n <= MM_OBJECT_SEEK; n++) {
        EXPECT_EQ(object_op(n, 0, 0, 0, 0, 0), -LINUX_EBADF);
        EXPECT_EQ(object_op(n, 77, 0, 0, 0, 0), -LINUX_EBADF);
        EXPECT_EQ(object_op(n, 1L << 40, 0, 0, 0, 0), -LINUX_EBADF);
    }
    EXPECT_EQ(object_op(MM_OBJECT_RESIZE, object, 1UL << 63, 0, 0, 0), -LINUX_EINVAL);
    EXPECT_EQ(object_op(MM_OBJECT_ALLOCATE, object, 0, 1, 9, 0), -LINUX_EINVAL);
    EXPECT_EQ(object_op(MM_OBJECT_ALLOCATE, object, ~0UL, 2, 0, 0), -LINUX_EINVAL);
    EXPECT_EQ(object_op(MM_OBJECT_ALLOCATE, object, 0, 1UL << 50, 0, 0), -LINUX_ENOMEM);
    EXPECT_EQ(object_op(MM_OBJECT_READ, object, 0, 4000, desk, 1), -LINUX_ESRCH);
    EXPECT_EQ(object_op(MM_OBJECT_WRITE, object, ~0UL, personality->mm->id, desk, 1),
              -LINUX_EINVAL);
    EXPECT_EQ(object_op(MM_OBJECT_WRITE, object, 0, personality->mm->id, 8, 1), -LINUX_EFAULT);
    EXPECT_EQ(object_op(MM_OBJECT_STAT, object, 8, 0, 0, 0), -LINUX_EFAULT);
    EXPECT_EQ(core_world_call(personality, MM_OBJECT_DETACH, 4000, 0, 0, 0, 0), -LINUX_ESRCH);
    EXPECT_EQ(core_world_call(personality, MM_OBJECT_DETACH, c->mm->id, 0, 0, 0, 0), -LINUX_EINVAL);
    EXPECT_EQ(map(c, 77, 0, 0, 1, true), -LINUX_EBADF);
    EXPECT_EQ(object_op(MM_OBJECT_RELEASE, object, 0, 0, 0, 0), 0);
    EXPECT_EQ(object_op(MM_OBJECT_RELEASE, object, 0, 0, 0, 0), -LINUX_EBADF);
    core_world_end(c);
    core_world_check();
}

/* ---- moving ---- */

#define MAPPERS 4

static struct client *mapper[MAPPERS];
static vaddr_t mapped_at[MAPPERS];

/* A page of an object, mapped shared by two, privately by one, and parked by one. */
static pfn_t shared_page(long object)
{
    for (unsigned i = 0; i < MAPPERS; i++) {
        uint8_t byte = 42;

        mapper[i] = core_world_program(0);
        mapped_at[i] = (vaddr_t)map(mapper[i], object, 0, 0, 4, i != 2) + PAGE_BYTES;
        EXPECT(sim_access(mapper[i], mapped_at[i], i < 2 ? SIM_WRITE : SIM_READ, &byte).done);
    }
    EXPECT_EQ(core_world_call(mapper[3], NR_mprotect, mapped_at[3], PAGE_BYTES, PROT_NONE, 0, 0),
              0);
    return entry_page(pt_leaf(mapper[0]->mm, mapped_at[0]));
}

static void expect_mapped(pfn_t pfn)
{
    for (unsigned i = 0; i < MAPPERS; i++)
        EXPECT_EQ(entry_page(pt_leaf(mapper[i]->mm, mapped_at[i])), pfn);
    core_world_check();
}

static void mappers_end(long object)
{
    for (unsigned i = 0; i < MAPPERS; i++)
        core_world_end(mapper[i]);
    EXPECT_EQ(object_op(MM_OBJECT_RELEASE, object, 0, 0, 0, 0), 0);
    core_world_check();
    EXPECT_EQ(object_memory_pages(), 0);
}

KTAP_CASE(core_object_page_moves_with_all_its_mappers)
{
    start();
    long object = create(4 * PAGE_BYTES);
    pfn_t from = shared_page(object), to = page_alloc_user(sim_worker(0));
    uint8_t byte = 43, got = 0;

    EXPECT(migrate_possible(page_of(from)));
    EXPECT_EQ(rmap_mapcount(sim_worker(0), page_of(from)), MAPPERS);
    EXPECT_EQ(migrate_page(sim_worker(0), from, to), 0);
    page_free(sim_worker(0), from);
    expect_mapped(to);
    EXPECT(pt_leaf(mapper[1]->mm, mapped_at[1]) & ENTRY_W);
    EXPECT(!(pt_leaf(mapper[2]->mm, mapped_at[2]) & ENTRY_W));
    EXPECT(sim_access(mapper[0], mapped_at[0], SIM_WRITE, &byte).done);
    EXPECT(sim_access(mapper[1], mapped_at[1], SIM_READ, &got).done);
    EXPECT_EQ(got, 43);
    EXPECT_EQ(read_byte(object, PAGE_BYTES, &got), 1);
    EXPECT_EQ(got, 43);
    EXPECT_EQ(core_world_call(mapper[3], NR_mprotect, mapped_at[3], PAGE_BYTES, RW, 0, 0), 0);
    EXPECT(sim_access(mapper[3], mapped_at[3], SIM_READ, &got).done);
    EXPECT_EQ(got, 43);
    mappers_end(object);
}

KTAP_CASE(core_object_page_in_use_by_a_call_stays)
{
    start();
    long object = create(4 * PAGE_BYTES);
    pfn_t from = shared_page(object), to = page_alloc_user(sim_worker(0));
    struct object *o = object_of_page(page_of(from));

    EXPECT(o != NULL);
    EXPECT_EQ(object_page_get(sim_worker(0), o, 1, false), (long)from);
    EXPECT_EQ(migrate_page(sim_worker(0), from, to), -LINUX_EAGAIN);
    object_page_put(sim_worker(0), page_of(from), 1);
    mm_lock(mapper[2]->mm);
    EXPECT_EQ(migrate_page(sim_worker(0), from, to), -LINUX_EAGAIN);
    mm_unlock(mapper[2]->mm);
    EXPECT(!object_of_page(page_of(to)));
    page_free(sim_worker(0), to);
    object_put(sim_worker(0), o);
    expect_mapped(from);
    mappers_end(object);
}

/* Whatever call the kernel refuses, all mappers have the one or all the other page. */
KTAP_CASE(core_object_page_move_refused_at_each_step)
{
    start();
    long object = create(4 * PAGE_BYTES);
    pfn_t from = shared_page(object);
    bool failed = true;
    unsigned n = 1;

    for (; failed; n++) {
        uint8_t byte = (uint8_t)n, got = 0;
        pfn_t to = page_alloc_user(sim_worker(0));

        sim_fail_call(n);
        long error = migrate_page(sim_worker(0), from, to);
        failed = sim_failed();
        sim_fail_call(0);
        EXPECT(error == 0 || (failed && error == -LINUX_ENOMEM));
        page_free(sim_worker(0), error ? to : from);
        from = error ? from : to;
        expect_mapped(from);
        EXPECT(sim_access(mapper[1], mapped_at[1], SIM_WRITE, &byte).done);
        EXPECT(sim_access(mapper[2], mapped_at[2], SIM_READ, &got).done);
        EXPECT_EQ(got, byte);
    }
    ktap_note("%u calls refused in turn", n - 2);
    EXPECT(n > MAPPERS);
    mappers_end(object);
}

/* ---- whatever fails ---- */

static void live(struct client *c)
{
    long object = create(40 * PAGE_BYTES);
    uint8_t byte = 3;

    if (object <= 0)
        return;
    write_byte(object, 3 * PAGE_BYTES, 1);
    object_op(MM_OBJECT_ALLOCATE, object, 8 * PAGE_BYTES, 12 * PAGE_BYTES, MM_ALLOCATE_GROW, 0);
    long shared = map(c, object, 0, 0, 48, true), private = map(c, object, 0, 0, 48, false);
    for (unsigned i = 0; i < 44; i += 3) {
        if (shared > 0)
            sim_access(c, (vaddr_t)shared + i * PAGE_BYTES, i % 2 ? SIM_WRITE : SIM_READ, &byte);
        if (private > 0)
            sim_access(c, (vaddr_t) private + i * PAGE_BYTES, i % 2 ? SIM_READ : SIM_WRITE, &byte);
    }
    if (private > 0) {
        sim_access(c, (vaddr_t) private + PAGE_BYTES, SIM_WRITE, &byte);
        core_world_call(c, NR_mremap, (vaddr_t) private, 48 * PAGE_BYTES, 60 * PAGE_BYTES,
                        MREMAP_MAYMOVE, 0);
    }
    if (shared > 0)
        core_world_call(c, NR_munmap, (vaddr_t)shared + 5 * PAGE_BYTES, 7 * PAGE_BYTES, 0, 0, 0);
    object_op(MM_OBJECT_ALLOCATE, object, PAGE_BYTES, 9 * PAGE_BYTES, MM_ALLOCATE_PUNCH, 0);
    object_op(MM_OBJECT_RESIZE, object, 20 * PAGE_BYTES, 0, 0, 0);
    object_op(MM_OBJECT_RELEASE, object, 1, 0, 0, 0);
}

static bool one_failure(uint64_t n, bool allocation)
{
    struct client *c = core_world_program(1);

    if (allocation)
        sim_fail_alloc(n);
    else
        sim_fail_call(n);
    live(c);
    bool failed = sim_failed();
    sim_fail_alloc(0);
    sim_fail_call(0);
    core_world_check();
    core_world_end(c);
    core_world_check();
    return failed;
}

/* The handle of an object whose release failed on the way is the only thing that may be left. */
static void all_failures(bool allocation)
{
    uint64_t n = 1;

    start();
    one_failure(0, allocation);
    while (n < 2000 && one_failure(n, allocation))
        n++;
    ktap_note("%lu %s failed in turn", n - 1, allocation ? "allocations" : "calls");
    EXPECT(n > 20 && n < 2000);
    EXPECT_EQ(object_memory_pages(), 0);
}

KTAP_CASE(core_object_each_allocation_fails)
{
    all_failures(true);
}

KTAP_CASE(core_object_each_call_fails)
{
    all_failures(false);
}
