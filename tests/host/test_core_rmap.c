/*
 * Reverse maps: interval trees against a flat list, and pages that several processes share being
 * looked up, protected, unmapped and moved.
 */
#include "core_world.h"
#include "mmserver/core/rmap_walk.h"
#include <string.h>

/* ---- interval trees ---- */

#define NODES  200
#define RANGE  400
#define ROUNDS 20000

static struct interval nodes[NODES];
static bool used[NODES];

static bool meets(const struct interval *i, uint64_t start, uint64_t last)
{
    return i->start <= last && i->last >= start;
}

static void query(const struct interval_tree *t, uint64_t start, uint64_t last)
{
    unsigned found = 0, expected = 0;
    uint64_t before = 0;

    for (struct interval *i = interval_first(t, start, last); i;
         i = interval_next(i, start, last)) {
        EXPECT(meets(i, start, last) && i->start >= before);
        before = i->start;
        found++;
    }
    for (unsigned i = 0; i < NODES; i++)
        expected += used[i] && meets(&nodes[i], start, last);
    EXPECT_EQ(found, expected);
}

KTAP_CASE(core_interval_random)
{
    struct interval_tree t = RB_INITIALIZER(&t);

    memset(used, 0, sizeof used);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct interval *i = &nodes[ktap_random_below(NODES)];
        uint64_t start = ktap_random_below(RANGE), last = start + ktap_random_below(20);
        bool *in = &used[i - nodes];

        if (!*in) {
            interval_insert(&t, i, start, last);
            *in = true;
        } else if (ktap_random_below(2)) {
            start = ktap_random_below(2) ? i->start : start;
            interval_change(&t, i, start, start + ktap_random_below(20));
        } else {
            interval_remove(&t, i);
            *in = false;
        }
        query(&t, ktap_random_below(RANGE), RANGE / 2);
        query(&t, start, start);
        query(&t, 0, ~0UL);
    }
}

/* ---- pages of several processes ---- */

#define RW     (PROT_READ | PROT_WRITE)
#define FAMILY 3

static struct client *family[FAMILY];

/* A grandparent with one written page; its child, and a child of that one. */
static vaddr_t family_boot(void)
{
    uint8_t value = 77;

    core_world_boot(&(struct world){.harts = 2});
    family[0] = core_world_program(0);
    vaddr_t at = core_world_mmap(family[0], 0, 8 * PAGE_BYTES, RW, 0);
    core_world_poke(family[0], at + 5, &value, 1);
    for (unsigned i = 1; i < FAMILY; i++) {
        family[i] = core_world_fork(family[i - 1], 0);
        EXPECT(family[i] != NULL);
    }
    return at;
}

static pfn_t page_at(struct client *c, vaddr_t at)
{
    return entry_page(pt_leaf(c->mm, at));
}

static void family_end(void)
{
    core_world_check();
    for (unsigned i = 0; i < FAMILY; i++) {
        core_world_end(family[i]);
        core_world_check();
    }
}

static void expect_all(vaddr_t at, uint8_t wanted)
{
    for (unsigned i = 0; i < FAMILY; i++) {
        uint8_t value = 0;

        core_world_peek(family[i], at + 5, &value, 1);
        EXPECT_EQ(value, wanted);
    }
}

KTAP_CASE(core_rmap_finds_all_mappers)
{
    vaddr_t at = family_boot();
    struct worker *w = sim_worker(0);
    pfn_t pfn = page_at(family[0], at);
    uint8_t value = 1;

    EXPECT_EQ(page_at(family[2], at), pfn);
    EXPECT_EQ(rmap_mapcount(w, page_of(pfn)), 3);
    /* One is moved, one made inaccessible: they still count. */
    vaddr_t to = (vaddr_t)core_world_call(family[1], NR_mremap, at, PAGE_BYTES, PAGE_BYTES,
                                          MREMAP_MAYMOVE | MREMAP_FIXED, at - (1UL << 30));
    EXPECT_EQ(to, at - (1UL << 30));
    core_world_call(family[2], NR_mprotect, at, PAGE_BYTES, PROT_NONE, 0, 0);
    EXPECT_EQ(rmap_mapcount(w, page_of(pfn)), 3);
    core_world_call(family[2], NR_mprotect, at, PAGE_BYTES, RW, 0, 0);
    /* A write takes one away; a page of its own is one process'. */
    core_world_poke(family[0], at, &value, 1);
    EXPECT_EQ(rmap_mapcount(w, page_of(pfn)), 2);
    EXPECT_EQ(rmap_mapcount(w, page_of(page_at(family[0], at))), 1);
    core_world_call(family[1], NR_munmap, to, PAGE_BYTES, 0, 0, 0);
    EXPECT_EQ(rmap_mapcount(w, page_of(pfn)), 1);
    family_end();
}

KTAP_CASE(core_rmap_busy_spaces_are_left_alone)
{
    vaddr_t at = family_boot();
    struct worker *w = sim_worker(0);
    struct page *page = page_of(page_at(family[0], at));
    bool dirty;

    for (unsigned i = 0; i < FAMILY; i++) {
        mm_lock(family[i]->mm);
        EXPECT_EQ(rmap_mapcount(w, page), -LINUX_EAGAIN);
        EXPECT_EQ(rmap_unmap(w, page, 0, &dirty), -LINUX_EAGAIN);
        mm_unlock(family[i]->mm);
        mm_read(sim_worker(1), family[i]->mm);
        EXPECT_EQ(rmap_protect(w, page), -LINUX_EAGAIN);
        mm_read_end(sim_worker(1));
        core_world_check();
    }
    EXPECT_EQ(rmap_mapcount(w, page), 3);
    EXPECT_EQ(rmap_mapcount(w, page_of(w->zero_page)), -LINUX_EAGAIN);
    expect_all(at, 77);
    family_end();
}

KTAP_CASE(core_rmap_referenced_and_protect)
{
    vaddr_t at = family_boot();
    struct worker *w = sim_worker(0);
    struct page *page = page_of(page_at(family[0], at));
    uint8_t value = 3;

    rmap_referenced(w, page);
    EXPECT_EQ(rmap_referenced(w, page), 0);
    core_world_peek(family[1], at + 5, &value, 1);
    EXPECT_EQ(rmap_referenced(w, page), 1);
    EXPECT_EQ(rmap_referenced(w, page), 0);
    core_world_poke(family[1], at + PAGE_BYTES, &value, 1);
    page = page_of(page_at(family[1], at + PAGE_BYTES));
    EXPECT(pt_leaf(family[1]->mm, at + PAGE_BYTES) & ENTRY_W);
    EXPECT_EQ(rmap_protect(w, page), 0);
    EXPECT(!(pt_leaf(family[1]->mm, at + PAGE_BYTES) & ENTRY_W));
    core_world_poke(family[1], at + PAGE_BYTES, &value, 1);
    EXPECT_EQ(page_at(family[1], at + PAGE_BYTES), page_number(page));
    family_end();
}

KTAP_CASE(core_rmap_unmap_takes_it_from_all)
{
    vaddr_t at = family_boot();
    struct worker *w = sim_worker(0);
    struct page *page = page_of(page_at(family[0], at));
    bool dirty = false;

    EXPECT_EQ(rmap_unmap(w, page, 0, &dirty), 0);
    EXPECT(dirty);
    EXPECT_EQ(page->maps, 0);
    page_free(w, page_number(page));
    expect_all(at, 0);
    family_end();
}

/* Three processes share a page while it moves, present, parked and moved by mremap. */
KTAP_CASE(core_migrate_shared_page)
{
    vaddr_t at = family_boot();
    struct worker *w = sim_worker(0);
    pfn_t from = page_at(family[0], at), to = page_alloc_user(w);
    uint8_t value = 9;

    core_world_call(family[2], NR_mprotect, at, PAGE_BYTES, PROT_NONE, 0, 0);
    EXPECT(migrate_possible(page_of(from)));
    mm_lock(family[1]->mm);
    EXPECT_EQ(migrate_page(w, from, to), -LINUX_EAGAIN);
    mm_unlock(family[1]->mm);
    EXPECT_EQ(page_at(family[0], at), from);
    EXPECT_EQ(migrate_page(w, from, to), 0);
    page_free(w, from);
    core_world_check();
    for (unsigned i = 0; i < FAMILY; i++)
        EXPECT_EQ(page_at(family[i], at), to);
    core_world_call(family[2], NR_mprotect, at, PAGE_BYTES, RW, 0, 0);
    expect_all(at, 77);
    for (unsigned i = 0; i < FAMILY; i++) {
        value = (uint8_t)(i + 1);
        core_world_poke(family[i], at + 5, &value, 1);
    }
    for (unsigned i = 0; i < FAMILY; i++) {
        core_world_peek(family[i], at + 5, &value, 1);
        EXPECT_EQ(value, i + 1);
    }
    family_end();
}

/* Whatever call the kernel refuses, all mappers have the one or all the other page. */
KTAP_CASE(core_migrate_fail_each_kernel_call)
{
    vaddr_t at = family_boot();
    struct worker *w = sim_worker(0);
    bool failed = true;
    unsigned n = 1;

    for (unsigned shared = 0; shared < 2; shared++) {
        vaddr_t where = at + (shared ? 0 : PAGE_BYTES);
        uint8_t value = 77;

        if (!shared)
            core_world_poke(family[0], where + 5, &value, 1);
        for (n = 1, failed = true; failed; n++) {
            pfn_t from = page_at(family[0], where), to = page_alloc_user(w);
            bool was_writable = pt_leaf(family[0]->mm, where) & ENTRY_W;

            sim_fail_call(n);
            long error = migrate_page(w, from, to);
            failed = sim_failed();
            sim_fail_call(0);
            EXPECT(error == 0 || (failed && error == -LINUX_ENOMEM));
            page_free(w, error ? to : from);
            EXPECT_EQ(page_at(family[0], where), error ? from : to);
            EXPECT_EQ((pt_leaf(family[0]->mm, where) & ENTRY_W) != 0, was_writable);
            core_world_check();
        }
        ktap_note("%u calls refused in turn", n - 2);
        EXPECT(n > 2);
        core_world_peek(family[0], where + 5, &value, 1);
        EXPECT_EQ(value, 77);
    }
    family_end();
}

/* A write to a shared page is answered by a batch, which the kernel refuses: the write happens all
 * the same, and nobody else sees it. */
KTAP_CASE(core_cow_reply_refused)
{
    vaddr_t at = family_boot();
    bool failed = true;

    for (unsigned n = 1; failed; n++) {
        uint8_t value = 5, other = 0;
        vaddr_t page = at + n * PAGE_BYTES;

        core_world_poke(family[0], page, &value, 1);
        struct client *child = core_world_fork(family[0], 0);
        EXPECT(child != NULL);
        value = 6;
        sim_fail_call(n);
        struct sim_outcome o = sim_access(child, page, SIM_WRITE, &value);
        failed = sim_failed();
        sim_fail_call(0);
        EXPECT(o.done || (failed && o.signal == LINUX_SIGKILL));
        core_world_peek(family[0], page, &other, 1);
        EXPECT_EQ(other, 5);
        if (o.done)
            core_world_peek(child, page, &other, 1);
        EXPECT_EQ(other, o.done ? 6 : 5);
        core_world_check();
        core_world_end(child);
        core_world_check();
        EXPECT(n < 7);
    }
    family_end();
}
