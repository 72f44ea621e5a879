/*
 * Objects of huge pages, on the simulated machine: promises, contents, cutting; random mappings of
 * one by several spaces against a model; every allocation and call of a life fails once.
 */
#include "core_world.h"
#include "mmserver/core/hugetlb.h"

#define RW     (PROT_READ | PROT_WRITE)
#define HUGE   BLOCK_BYTES
#define AREA   0x40000000UL
#define SPACES 2
#define PAGES  5UL
#define MAPS   4
#define STEPS  1500

static struct client *personality;
static uint64_t desk;

static void open_world(uint64_t pool)
{
    core_world_boot(&(struct world){.harts = SPACES + 1, .memory_pages = 49152});
    personality = core_world_personality();
    desk = core_world_mmap(personality, 0, PAGE_BYTES, RW, 0);
    core_world_poke(personality, desk, "", 1);
    EXPECT_EQ(hugetlb_resize(sim_worker(0), pool), pool);
}

static void expect_pool(uint64_t free, uint64_t reserved)
{
    EXPECT_EQ(hugetlb_state().free, free);
    EXPECT_EQ(hugetlb_state().reserved, reserved);
    core_world_check();
}

static long create(uint64_t bytes, uint64_t kind)
{
    const struct mm_object wanted = {.bytes = bytes, .name = desk + 512, .huge = kind};

    core_world_poke(personality, desk + 512, "/memfd:huge", 12);
    core_world_poke(personality, desk, &wanted, sizeof wanted);
    return core_world_call(personality, MM_OBJECT_CREATE, desk, 0, 0, 0, 0);
}

static long map(struct client *c, long object, uint64_t at, uint64_t first, uint64_t pages,
                uint64_t flags)
{
    const struct mm_map_file wanted = {.mm = c->mm->id,
                                       .address = at,
                                       .bytes = pages * HUGE,
                                       .prot = RW,
                                       .flags = flags | (at ? MAP_FIXED : 0),
                                       .offset = first * HUGE,
                                       .object = (uint64_t)object};

    core_world_poke(personality, desk, &wanted, sizeof wanted);
    return core_world_call(personality, MM_MAP_FILE, desk, 0, 0, 0, 0);
}

static long op(long number, long object, uint64_t a, uint64_t b, uint64_t p, uint64_t q)
{
    return core_world_call(personality, number, (uint64_t)object, a, b, p, q);
}

static uint8_t file_byte(long object, uint64_t offset)
{
    uint8_t byte = 0xee;

    EXPECT_EQ(op(MM_OBJECT_READ, object, offset, personality->mm->id, desk, 1), 1);
    core_world_peek(personality, desk, &byte, 1);
    return byte;
}

static uint8_t load(struct client *c, vaddr_t at)
{
    uint8_t value = 0xee;

    EXPECT(sim_access(c, at, SIM_READ, &value).done);
    return value;
}

static void store(struct client *c, vaddr_t at, uint8_t value)
{
    EXPECT(sim_access(c, at, SIM_WRITE, &value).done);
}

static void expect_sigbus(struct client *c, vaddr_t at, enum sim_access access)
{
    struct sim_outcome seen = sim_access(c, at, access, NULL);

    EXPECT(!seen.done);
    EXPECT_EQ(seen.signal, LINUX_SIGBUS);
}

KTAP_CASE(core_hugetlb_object_promises)
{
    open_world(3);
    struct client *c = core_world_program(1);
    long o = create(0, MM_HUGE_PAGES);

    EXPECT_EQ(map(c, o, AREA, 0, 4, MAP_SHARED), -LINUX_ENOMEM);
    expect_pool(3, 0);
    EXPECT_EQ(map(c, o, AREA, 0, 2, MAP_SHARED), (long)AREA);
    expect_pool(3, 2);
    EXPECT_EQ(map(c, o, AREA + 8 * HUGE, 1, 2, MAP_SHARED), (long)(AREA + 8 * HUGE));
    expect_pool(3, 3); /* page 1 is promised once */
    store(c, AREA + HUGE + 7, 5);
    EXPECT_EQ(load(c, AREA + 8 * HUGE + 7), 5);
    expect_pool(2, 2);
    EXPECT_EQ(core_world_call(c, NR_munmap, AREA, 2 * HUGE, 0, 0, 0), 0);
    expect_pool(2, 2); /* the object keeps its promises */
    EXPECT_EQ(op(MM_OBJECT_RESIZE, o, HUGE, 0, 0, 0), 0);
    expect_pool(3, 1);
    expect_sigbus(c, AREA + 8 * HUGE + 7, SIM_READ);
    EXPECT_EQ(op(MM_OBJECT_RELEASE, o, 0, 0, 0, 0), 0);
    core_world_end(c);
    expect_pool(3, 0);
    o = create(2 * HUGE, MM_HUGE_PROMISED);
    expect_pool(3, 2);
    EXPECT_EQ(create(2 * HUGE, MM_HUGE_PROMISED), -LINUX_ENOMEM);
    EXPECT_EQ(create(HUGE + PAGE_BYTES, MM_HUGE_PAGES), -LINUX_EINVAL);
    EXPECT_EQ(op(MM_OBJECT_RELEASE, o, 0, 0, 0, 0), 0);
    expect_pool(3, 0);
}

KTAP_CASE(core_hugetlb_object_without_promise)
{
    open_world(1);
    struct client *c = core_world_program(1);
    long o = create(0, MM_HUGE_PAGES);

    EXPECT_EQ(map(c, o, AREA, 0, 2, MAP_SHARED | MAP_NORESERVE), (long)AREA);
    store(c, AREA, 1);
    expect_sigbus(c, AREA + HUGE, SIM_WRITE);
    EXPECT_EQ(op(MM_OBJECT_ALLOCATE, o, 0, 2 * HUGE, MM_ALLOCATE_GROW, 0), -LINUX_ENOSPC);
    EXPECT_EQ(op(MM_OBJECT_ALLOCATE, o, 0, HUGE, MM_ALLOCATE_PUNCH, 0), 0);
    expect_pool(1, 0);
    EXPECT_EQ(load(c, AREA), 0);
    EXPECT_EQ(op(MM_OBJECT_RELEASE, o, 0, 0, 0, 0), 0);
    core_world_end(c);
    expect_pool(1, 0);
}

KTAP_CASE(core_hugetlb_object_lends_pages_to_private_mappings)
{
    open_world(3);
    struct client *c = core_world_program(1);
    long o = create(0, MM_HUGE_PAGES);

    EXPECT_EQ(map(c, o, AREA, 0, 1, MAP_SHARED), (long)AREA);
    store(c, AREA, 3);
    EXPECT_EQ(map(c, o, AREA + 4 * HUGE, 0, 1, MAP_PRIVATE), (long)(AREA + 4 * HUGE));
    expect_pool(2, 1);
    EXPECT_EQ(load(c, AREA + 4 * HUGE), 3);
    expect_pool(2, 1); /* lent: the promise is not kept yet */
    store(c, AREA + 4 * HUGE, 4);
    expect_pool(1, 0);
    EXPECT_EQ(load(c, AREA), 3);
    EXPECT_EQ(core_world_call(c, NR_munmap, AREA + 4 * HUGE, HUGE, 0, 0, 0), 0);
    EXPECT_EQ(map(c, o, AREA + 4 * HUGE, 0, 1, MAP_PRIVATE), (long)(AREA + 4 * HUGE));
    EXPECT_EQ(load(c, AREA + 4 * HUGE), 3);
    EXPECT_EQ(core_world_call(c, NR_munmap, AREA + 4 * HUGE, HUGE, 0, 0, 0), 0);
    expect_pool(2, 0);
    EXPECT_EQ(op(MM_OBJECT_RELEASE, o, 0, 0, 0, 0), 0);
    core_world_end(c);
    expect_pool(3, 0);
}

KTAP_CASE(core_hugetlb_object_calls_are_checked)
{
    open_world(2);
    struct client *c = core_world_program(1);
    long o = create(0, MM_HUGE_PAGES), small;

    EXPECT_EQ(op(MM_OBJECT_RESIZE, o, PAGE_BYTES, 0, 0, 0), -LINUX_EINVAL);
    EXPECT_EQ(op(MM_OBJECT_WRITE, o, 0, personality->mm->id, desk, 1), -LINUX_EINVAL);
    EXPECT_EQ(map(c, o, AREA + PAGE_BYTES, 0, 1, MAP_SHARED), -LINUX_EINVAL);
    const struct mm_map_file wanted = {.mm = c->mm->id,
                                       .bytes = HUGE,
                                       .prot = RW,
                                       .flags = MAP_SHARED,
                                       .offset = PAGE_BYTES,
                                       .object = (uint64_t)o};
    core_world_poke(personality, desk, &wanted, sizeof wanted);
    EXPECT_EQ(core_world_call(personality, MM_MAP_FILE, desk, 0, 0, 0, 0), -LINUX_EINVAL);
    small = create(HUGE, MM_HUGE_NONE);
    EXPECT_EQ(map(c, small, 0, 0, 1, MAP_SHARED | MAP_HUGETLB), -LINUX_EINVAL);
    EXPECT_EQ(op(MM_OBJECT_RESIZE, o, HUGE, 0, 0, 0), 0);
    EXPECT_EQ(file_byte(o, HUGE - 1), 0);
    EXPECT_EQ(op(MM_OBJECT_READ, o, HUGE, personality->mm->id, desk, 1), 0);
    EXPECT_EQ(op(MM_OBJECT_SEEK, o, 5, 1, 0, 0), 5);
    EXPECT_EQ(op(MM_OBJECT_SEEK, o, 5, 0, 0, 0), (long)HUGE);
    EXPECT_EQ(op(MM_OBJECT_SEEK, o, HUGE, 0, 0, 0), -LINUX_ENXIO);
    EXPECT_EQ(op(MM_OBJECT_RELEASE, o, 0, 0, 0, 0), 0);
    EXPECT_EQ(op(MM_OBJECT_RELEASE, small, 0, 0, 0, 0), 0);
    core_world_end(c);
    expect_pool(2, 0);
}

/* ---- mremap ---- */

KTAP_CASE(core_hugetlb_moves_whole)
{
    open_world(3);
    struct client *c = core_world_program(1);
    vaddr_t to = AREA + 16 * HUGE;
    uint64_t fixed = MREMAP_MAYMOVE | MREMAP_FIXED;

    EXPECT_EQ(core_world_mmap(c, AREA, 3 * HUGE, RW, MAP_HUGETLB | MAP_FIXED), AREA);
    store(c, AREA, 1);
    store(c, AREA + HUGE + 9, 2);
    /* A leaf table is kept where the first page is going to be. */
    EXPECT_EQ(core_world_mmap(c, to, PAGE_BYTES, RW, MAP_FIXED), to);
    store(c, to, 7);
    EXPECT_EQ(core_world_call(c, NR_mremap, AREA, 2 * HUGE, 3 * HUGE, MREMAP_MAYMOVE, 0),
              -LINUX_EINVAL);
    EXPECT_EQ(core_world_call(c, NR_mremap, AREA, HUGE, HUGE, fixed, to + PAGE_BYTES),
              -LINUX_EINVAL);
    EXPECT_EQ(core_world_call(c, NR_mremap, AREA + PAGE_BYTES, HUGE, HUGE, fixed, to),
              -LINUX_EINVAL);
    EXPECT_EQ(core_world_call(c, NR_mremap, AREA, HUGE, HUGE, fixed | MREMAP_DONTUNMAP, to),
              -LINUX_EINVAL);
    EXPECT_EQ(core_world_call(c, NR_mremap, AREA, 2 * HUGE, 2 * HUGE, fixed, to), (long)to);
    expect_pool(1, 1);
    EXPECT_EQ(load(c, to), 1);
    EXPECT_EQ(load(c, to + HUGE + 9), 2);
    EXPECT(!sim_access(c, AREA, SIM_READ, NULL).done);
    store(c, AREA + 2 * HUGE, 3);
    expect_pool(0, 0);
    EXPECT_EQ(core_world_call(c, NR_mremap, to, 2 * HUGE, HUGE - PAGE_BYTES, 0, 0), (long)to);
    expect_pool(1, 0);
    core_world_end(c);
    expect_pool(3, 0);
}

/* ---- a model ---- */

struct mapping {
    struct client *c;
    vaddr_t at;
    uint64_t first;
    bool shared;
    int own[PAGES]; /* private: what was written there; -1: nothing */
};

struct model {
    long object;
    uint64_t pages; /* its size */
    uint8_t byte[PAGES];
    bool there[PAGES];
    struct mapping map[MAPS];
};

static vaddr_t area_of(unsigned slot, unsigned half)
{
    return AREA + (slot * 2 + half) * 8 * HUGE;
}

static void model_map(struct model *m, struct client *c, unsigned slot)
{
    struct mapping *k = &m->map[slot];
    uint64_t first = ktap_random_below(PAGES);

    if (k->c)
        return;
    *k = (struct mapping){.c = c, .at = area_of(slot, 0), .first = first};
    k->shared = ktap_random_below(2);
    for (unsigned i = 0; i < PAGES; i++)
        k->own[i] = -1;
    EXPECT_EQ(map(c, m->object, k->at, first, PAGES - first, k->shared ? MAP_SHARED : MAP_PRIVATE),
              (long)k->at);
    m->pages = PAGES; /* it may be written: as long as that */
}

static void model_unmap(struct mapping *k)
{
    if (k->c)
        EXPECT_EQ(core_world_call(k->c, NR_munmap, k->at, (PAGES - k->first) * HUGE, 0, 0, 0), 0);
    k->c = NULL;
}

static void model_move(struct mapping *k, unsigned slot)
{
    uint64_t bytes = (PAGES - k->first) * HUGE;
    vaddr_t to = area_of(slot, k->at == area_of(slot, 0));

    if (!k->c)
        return;
    EXPECT_EQ(
        core_world_call(k->c, NR_mremap, k->at, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to),
        (long)to);
    k->at = to;
}

static void model_touch(struct model *m, struct mapping *k, bool write)
{
    uint64_t page = k->c ? k->first + ktap_random_below(PAGES - k->first) : 0;
    vaddr_t at = k->at + (page - k->first) * HUGE + 77;
    uint8_t value = (uint8_t)ktap_random();

    if (!k->c)
        return;
    if (page >= m->pages) {
        /* A private page of its own behind the end went when the object was cut. */
        expect_sigbus(k->c, at, write ? SIM_WRITE : SIM_READ);
        return;
    }
    m->there[page] |= k->shared;
    if (!m->there[page] && k->own[page] < 0) /* a hole: zeros of its own from now on */
        k->own[page] = 0;
    if (!write) {
        EXPECT_EQ(load(k->c, at), k->own[page] >= 0 ? k->own[page] : m->byte[page]);
        return;
    }
    store(k->c, at, value);
    if (k->shared)
        m->byte[page] = value;
    else
        k->own[page] = value;
}

/* Pages [first, end) of the object are gone, and with them all copies. */
static void model_lose(struct model *m, uint64_t first, uint64_t end)
{
    for (uint64_t i = first; i < end; i++) {
        m->byte[i] = 0;
        m->there[i] = false;
        for (unsigned s = 0; s < MAPS; s++)
            m->map[s].own[i] = -1;
    }
}

static void model_step(struct model *m, struct client **space)
{
    unsigned slot = (unsigned)ktap_random_below(MAPS);
    struct mapping *k = &m->map[slot];
    uint64_t first = ktap_random_below(PAGES), end = first + 1 + ktap_random_below(PAGES - first);

    switch (ktap_random_below(16)) {
    case 0:
        EXPECT_EQ(op(MM_OBJECT_RESIZE, m->object, end * HUGE, 0, 0, 0), 0);
        if (end < m->pages)
            model_lose(m, end, PAGES);
        m->pages = end;
        break;
    case 1:
        EXPECT_EQ(op(MM_OBJECT_ALLOCATE, m->object, first * HUGE, (end - first) * HUGE,
                     MM_ALLOCATE_PUNCH, 0),
                  0);
        model_lose(m, first, end);
        break;
    case 2:
        EXPECT_EQ(op(MM_OBJECT_ALLOCATE, m->object, first * HUGE, (end - first) * HUGE,
                     MM_ALLOCATE_GROW, 0),
                  0);
        m->pages = max_u64(m->pages, end);
        for (uint64_t i = first; i < end; i++)
            m->there[i] = true;
        break;
    case 3:
        EXPECT_EQ(op(MM_OBJECT_ALLOCATE, m->object, first * HUGE + 50, 100, MM_ALLOCATE_PUNCH, 0),
                  0);
        m->byte[first] = 0;
        break;
    case 4 ... 5:
        model_map(m, space[ktap_random_below(SPACES)], slot);
        break;
    case 6:
        model_unmap(k);
        break;
    case 7:
        model_move(k, slot);
        break;
    default:
        model_touch(m, k, ktap_random_below(2));
        break;
    }
    if (first < m->pages)
        EXPECT_EQ(file_byte(m->object, first * HUGE + 77), m->byte[first]);
}

KTAP_CASE(core_hugetlb_object_model)
{
    struct client *space[SPACES];
    struct model m = {0};

    open_world(PAGES * (MAPS + 1));
    for (unsigned i = 0; i < SPACES; i++)
        space[i] = core_world_program(i + 1);
    m.object = create(0, MM_HUGE_PAGES);
    for (unsigned step = 0; step < STEPS; step++) {
        model_step(&m, space);
        if (step % 50 == 0)
            core_world_check();
    }
    EXPECT_EQ(op(MM_OBJECT_RELEASE, m.object, 0, 0, 0, 0), 0);
    for (unsigned i = 0; i < SPACES; i++)
        core_world_end(space[i]);
    expect_pool(PAGES * (MAPS + 1), 0);
}

/* ---- failures ---- */

static void life(struct client *c)
{
    const uint64_t shared = MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB;
    long at = core_world_call(c, NR_mmap, 0, 2 * HUGE, RW, shared, ~0UL);

    if (at < 0)
        return;
    (void)sim_access(c, (vaddr_t)at, SIM_WRITE, NULL);
    struct client *child = core_world_fork(c, 2);
    if (child) {
        (void)sim_access(child, (vaddr_t)at + HUGE, SIM_WRITE, NULL);
        (void)sim_access(child, (vaddr_t)at, SIM_READ, NULL);
    }
    core_world_check();
    (void)core_world_call(c, NR_mremap, (vaddr_t)at, HUGE, HUGE, MREMAP_MAYMOVE | MREMAP_FIXED,
                          AREA);
    core_world_check();
    (void)core_world_call(c, NR_mprotect, (vaddr_t)at + HUGE, HUGE, PROT_NONE, 0, 0);
    if (child)
        core_world_end(child);
}

static void life_fails(void (*fail)(uint64_t))
{
    bool failed = true;

    for (uint64_t n = 1; failed; n++) {
        open_world(3);
        struct client *c = core_world_program(1);
        fail(n);
        life(c);
        failed = sim_failed();
        fail(0);
        core_world_check();
        core_world_end(c);
        expect_pool(3, 0);
    }
}

KTAP_CASE(core_hugetlb_object_each_allocation_fails)
{
    life_fails(sim_fail_alloc);
}

KTAP_CASE(core_hugetlb_object_each_call_fails)
{
    life_fails(sim_fail_call);
}
