/*
 * Forks of forks against a flat model: the bytes and rights at each address of each process, while
 * processes touch, map, unmap, protect, move, advise, fork and end at random and pages migrate
 * under them. The recount looks up every entry by its page. And: whatever is refused in the middle
 * of a fork, nothing of it is left.
 */
#include "core_world.h"

#include "mmserver/core/caches.h"
#include "mmserver/core/rmap_walk.h"
#include "mmserver/core/slab.h"
#include <string.h>

#define RW        (PROT_READ | PROT_WRITE)
#define PAGES     96UL
#define BASE      (0x40000000UL - 40 * PAGE_BYTES) /* over a border of 2 MiB */
#define PROCESSES 7
#define STEPS     4000
#define ABSENT    0xff

struct process {
    struct client *client; /* NULL: none */
    uint8_t rights[PAGES], content[PAGES];
    bool dontfork[PAGES], wipe[PAGES], guard[PAGES], broken[PAGES];
};

static struct process family[PROCESSES];
static uint32_t forks;

static vaddr_t address_of(uint64_t page)
{
    return BASE + (page << PAGE_SHIFT);
}

static void pick(uint64_t *page, uint64_t *count)
{
    *page = ktap_random_below(PAGES);
    *count = 1 + ktap_random_below(min_u64(PAGES - *page, 20));
}

static void model_map(struct process *p, uint64_t page, uint64_t count, uint8_t rights)
{
    memset(p->rights + page, rights, count);
    memset(p->content + page, 0, count);
    memset(p->dontfork + page, 0, count);
    memset(p->wipe + page, 0, count);
    memset(p->guard + page, 0, count);
    memset(p->broken + page, 0, count);
}

static void touch(struct process *p, uint64_t page, bool write)
{
    uint8_t value = (uint8_t)(1 + ktap_random_below(255));
    struct sim_outcome o =
        sim_access(p->client, address_of(page) + 9, write ? SIM_WRITE : SIM_READ, &value);
    uint8_t needed = write ? PROT_WRITE : RW;

    if (p->rights[page] == ABSENT || !(p->rights[page] & needed) || p->guard[page]) {
        EXPECT(!o.done);
        EXPECT_EQ(o.signal, LINUX_SIGSEGV);
        return;
    }
    if (p->broken[page]) {
        EXPECT(!o.done);
        EXPECT_EQ(o.signal, LINUX_SIGBUS);
        return;
    }
    EXPECT(o.done);
    if (write)
        p->content[page] = value;
    else
        EXPECT_EQ(value, p->content[page]);
}

static void step_touch(struct process *p)
{
    uint64_t page, count;
    bool write = ktap_random_below(2);

    pick(&page, &count);
    for (uint64_t i = 0; i < count; i++)
        touch(p, page + i, write);
}

static void step_mmap(struct process *p)
{
    static const uint8_t some[] = {PROT_NONE, PROT_READ, RW, RW, RW};
    uint64_t page, count;
    uint8_t prot = some[ktap_random_below(sizeof some)];

    pick(&page, &count);
    EXPECT_EQ(core_world_mmap(p->client, address_of(page), count << PAGE_SHIFT, prot, MAP_FIXED),
              address_of(page));
    model_map(p, page, count, prot);
}

static void step_munmap(struct process *p)
{
    uint64_t page, count;

    pick(&page, &count);
    EXPECT_EQ(core_world_call(p->client, NR_munmap, address_of(page), count << PAGE_SHIFT, 0, 0, 0),
              0);
    model_map(p, page, count, ABSENT);
}

static void step_mprotect(struct process *p)
{
    static const uint8_t some[] = {PROT_NONE, PROT_READ, RW, RW};
    uint64_t page, count, done = 0;
    uint8_t prot = some[ktap_random_below(sizeof some)];

    pick(&page, &count);
    long error =
        core_world_call(p->client, NR_mprotect, address_of(page), count << PAGE_SHIFT, prot, 0, 0);
    while (done < count && p->rights[page + done] != ABSENT)
        p->rights[page + done++] = prot;
    EXPECT_EQ(error, done == count ? 0 : -LINUX_ENOMEM);
}

static void step_mremap(struct process *p)
{
    uint64_t from, count, to, other;

    pick(&from, &count);
    pick(&to, &other);
    struct vma *v = vma_at(p->client->mm, address_of(from));
    if (to + count > PAGES || (from < to + count && to < from + count) || !v ||
        v->end < address_of(from + count))
        return;
    EXPECT_EQ(core_world_call(p->client, NR_mremap, address_of(from), count << PAGE_SHIFT,
                              count << PAGE_SHIFT, MREMAP_MAYMOVE | MREMAP_FIXED, address_of(to)),
              (long)address_of(to));
    memcpy(p->rights + to, p->rights + from, count);
    memcpy(p->content + to, p->content + from, count);
    memcpy(p->dontfork + to, p->dontfork + from, count);
    memcpy(p->wipe + to, p->wipe + from, count);
    memcpy(p->guard + to, p->guard + from, count);
    memcpy(p->broken + to, p->broken + from, count);
    model_map(p, from, count, ABSENT);
}

static void step_advise(struct process *p)
{
    static const int some[] = {MADV_DONTFORK, MADV_DOFORK,        MADV_WIPEONFORK,  MADV_KEEPONFORK,
                               MADV_DONTNEED, MADV_GUARD_INSTALL, MADV_GUARD_REMOVE};
    int advice = some[ktap_random_below(sizeof some / sizeof some[0])];
    uint64_t page, count;

    pick(&page, &count);
    core_world_call(p->client, NR_madvise, address_of(page), count << PAGE_SHIFT, (uint64_t)advice,
                    0, 0);
    for (uint64_t i = page; i < page + count; i++) {
        if (p->rights[i] == ABSENT)
            continue;
        if (advice == MADV_DONTNEED || advice == MADV_GUARD_INSTALL)
            p->content[i] = p->broken[i] = 0;
        if (advice == MADV_GUARD_INSTALL || advice == MADV_GUARD_REMOVE)
            p->guard[i] = advice == MADV_GUARD_INSTALL;
        else if (advice == MADV_DONTFORK || advice == MADV_DOFORK)
            p->dontfork[i] = advice == MADV_DONTFORK;
        else if (advice == MADV_WIPEONFORK || advice == MADV_KEEPONFORK)
            p->wipe[i] = advice == MADV_WIPEONFORK;
    }
}

static void end(struct process *p)
{
    core_world_end(p->client);
    p->client = NULL;
}

static void step_fork(struct process *p)
{
    struct process *child = &family[ktap_random_below(PROCESSES)];

    if (child == p)
        return;
    if (child->client)
        end(child);
    struct client *c = core_world_fork(p->client, 0);
    EXPECT(c != NULL);
    *child = *p;
    child->client = c;
    for (uint64_t i = 0; i < PAGES; i++) {
        if (p->dontfork[i])
            model_map(child, i, 1, ABSENT);
        else if (p->wipe[i])
            child->content[i] = child->guard[i] = child->broken[i] = 0;
    }
    forks++;
}

static void step_exit(struct process *p)
{
    unsigned alive = 0;

    for (unsigned i = 0; i < PROCESSES; i++)
        alive += family[i].client != NULL;
    if (alive > 1)
        end(p);
}

static void step_migrate(struct process *p)
{
    uint64_t entry = pt_leaf(p->client->mm, address_of(ktap_random_below(PAGES)));
    pfn_t from = entry_page(entry);

    if (!entry || !migrate_possible(page_of(from)))
        return;
    pfn_t to = page_alloc_user(sim_worker(0));
    EXPECT_EQ(migrate_page(sim_worker(0), from, to), 0);
    page_free(sim_worker(0), from);
}

/* The page behind one entry breaks: all who map it lose it. */
static void step_poison(struct process *p)
{
    uint64_t page = ktap_random_below(PAGES), entry = 0;

    for (; page < PAGES; page++) {
        entry = pt_leaf(p->client->mm, address_of(page));
        if (entry_is_leaf(entry) && page_of(entry_page(entry))->state == PAGE_ANON)
            break;
    }
    if (page == PAGES)
        return;
    for (unsigned i = 0; i < PROCESSES; i++) {
        for (uint64_t at = 0; family[i].client && at < PAGES; at++) {
            uint64_t other = pt_leaf(family[i].client->mm, address_of(at));

            if (other && !entry_is_marker(other) && entry_page(other) == entry_page(entry))
                family[i].broken[at] = true;
        }
    }
    EXPECT_EQ(
        map_madvise(sim_worker(0), p->client->mm, address_of(page), PAGE_BYTES, MADV_HWPOISON), 0);
    EXPECT_EQ(page_of(entry_page(entry))->state, PAGE_POISONED);
}

static void compare_all(void)
{
    for (unsigned i = 0; i < PROCESSES; i++)
        for (uint64_t page = 0; family[i].client && page < PAGES; page++)
            touch(&family[i], page, false);
    core_world_check();
}

static void run(uint32_t levels)
{
    static void (*const steps[])(struct process *) = {
        step_touch,  step_touch,    step_touch,   step_touch,   step_mmap,
        step_munmap, step_mprotect, step_mremap,  step_advise,  step_fork,
        step_fork,   step_exit,     step_migrate, step_migrate, step_poison};

    core_world_boot(&(struct world){.levels = levels, .memory_pages = 32768});
    memset(family, 0, sizeof family);
    family[0].client = core_world_program(0); /* what stays from the first ones is no leak */
    family[1].client = core_world_fork(family[0].client, 0);
    end(&family[0]);
    end(&family[1]);
    uint64_t before = core_world_free_pages();
    forks = 0;
    family[0].client = core_world_program(0);
    model_map(&family[0], 0, PAGES, ABSENT);
    for (unsigned i = 0; i < STEPS; i++) {
        struct process *p = &family[ktap_random_below(PROCESSES)];

        if (!p->client)
            continue;
        steps[ktap_random_below(sizeof steps / sizeof steps[0])](p);
        if (i % 8 == 0)
            core_world_check();
        if (i % 200 == 0)
            compare_all();
    }
    compare_all();
    ktap_note("%u forks, %lu pages broke", forks, phys.poisoned_pages);
    EXPECT(forks > 50);
    for (unsigned i = 0; i < PROCESSES; i++) {
        if (family[i].client)
            end(&family[i]);
    }
    core_world_check();
    EXPECT(phys.poisoned_pages > 10);
    EXPECT_EQ(core_world_free_pages() + phys.poisoned_pages, before);
}

KTAP_CASE(core_fork_random_sv39)
{
    run(3);
}

KTAP_CASE(core_fork_random_sv57)
{
    run(5);
}

/* A parent with pages of all kinds over several tables. */
static struct client *rich_parent(void)
{
    struct client *c = core_world_program(0);
    vaddr_t at = core_world_mmap(c, BASE, 6UL << 20, RW, MAP_FIXED);

    for (unsigned i = 0; i < 90; i++)
        sim_access(c, at + i * 16 * PAGE_BYTES, i % 3 ? SIM_WRITE : SIM_READ, NULL);
    core_world_call(c, NR_mprotect, at + (1UL << 20), 1UL << 20, PROT_NONE, 0, 0);
    core_world_call(c, NR_mprotect, at + (4UL << 20), 1UL << 20, PROT_READ, 0, 0);
    core_world_call(c, NR_madvise, at + (3UL << 20), 1UL << 20, MADV_WIPEONFORK, 0, 0);
    core_world_call(c, NR_madvise, at + (2UL << 20), 40 * PAGE_BYTES, MADV_GUARD_INSTALL, 0, 0);
    sim_access(c, 0x20000, SIM_WRITE, NULL);
    return c;
}

static void fork_fails(void (*inject)(uint64_t n), const char *what)
{
    core_world_boot(&(struct world){0});
    struct client *parent = rich_parent(), *child = core_world_fork(parent, 0);
    bool failed = true;
    unsigned n = 1;

    EXPECT(child != NULL);
    core_world_end(child);
    uint64_t before = core_world_free_pages();
    for (; failed; n++) {
        inject(n);
        child = core_world_fork(parent, 0);
        failed = sim_failed();
        inject(0);
        EXPECT(failed || child);
        core_world_check();
        if (child)
            core_world_end(child);
        core_world_check();
        EXPECT_EQ(core_world_free_pages(), before);
    }
    ktap_note("%u %s failed in turn", n - 2, what);
    EXPECT(n > 10);
    core_world_end(parent);
    core_world_check();
}

KTAP_CASE(core_fork_fail_each_kernel_call)
{
    fork_fails(sim_fail_call, "calls");
}

KTAP_CASE(core_fork_fail_each_allocation)
{
    fork_fails(sim_fail_alloc, "allocations");
}

#define HELD_MAX 4096
static void *held[HELD_MAX];

/* All objects of the cache that can be had without a page, but for `left`; how many. */
static unsigned hold_all(struct slab_cache *c, unsigned left)
{
    unsigned count = 0;

    for (void *object = c; object;) {
        EXPECT(count < HELD_MAX);
        sim_fail_alloc(1);
        object = slab_alloc(&workers[0], c);
        held[count] = object;
        count += object != NULL;
    }
    sim_fail_alloc(0);
    for (unsigned i = 0; i < left; i++)
        slab_free(&workers[0], c, held[--count]);
    return count;
}

/* Cut the child's VMA in three while the cache has only so many objects left: did it work? It gains
 * a right, so that the call goes the full way at once and tries only once. */
static bool cut_with(struct client *child, struct slab_cache *c, unsigned left)
{
    vaddr_t at = BASE + 16 * PAGE_BYTES;
    uint64_t vmas = child->mm->map_count;
    unsigned count = hold_all(c, left);

    sim_fail_alloc(1);
    long error =
        core_world_call(child, NR_mprotect, at, 16 * PAGE_BYTES, PROT_READ | PROT_EXEC, 0, 0);
    EXPECT_EQ(error, sim_failed() ? -LINUX_ENOMEM : 0);
    EXPECT_EQ(child->mm->map_count, vmas + (error ? 0 : 2));
    sim_fail_alloc(0);
    while (count)
        slab_free(&workers[0], c, held[--count]);
    core_world_check();
    return !error;
}

/* A VMA that has inherited pages is cut in three, and each part finds them; or nothing changes. */
KTAP_CASE(core_fork_cut_with_little_memory)
{
    core_world_boot(&(struct world){0});
    struct client *parent = rich_parent(), *child;

    for (unsigned which = 0; which < 2; which++) {
        struct slab_cache *c = which ? anon_chain_cache : vma_cache;

        child = core_world_fork(parent, 0);
        EXPECT(child && rmap_chains(vma_at(child->mm, BASE)) == 2);
        for (unsigned left = 0; left < 2; left++)
            EXPECT(!cut_with(child, c, left));
        EXPECT(cut_with(child, c, 2));
        for (unsigned i = 0; i < 3; i++)
            EXPECT_EQ(rmap_chains(vma_at(child->mm, BASE + i * 16 * PAGE_BYTES)), 2);
        core_world_end(child);
    }
    core_world_end(parent);
    core_world_check();
}

/* Large spaces end in parts, in which full leaf tables go whole: anonymous pages, alone and shared,
 * the zero page, a file's, parked ones, and tables with few entries. */
KTAP_CASE(core_fork_large_spaces_end_in_parts)
{
    core_world_boot(&(struct world){.memory_pages = 65536});
    struct client *parent = core_world_program(0), *child;
    core_world_end(core_world_fork(parent, 0));
    vaddr_t at = core_world_mmap(parent, BASE, 40UL << 20, RW, MAP_FIXED);
    uint64_t before = 0;

    for (unsigned round = 0; round < 3; round++) {
        for (uint64_t i = 0; i < 10240; i += i < 9216 ? 1 : 300)
            EXPECT(
                sim_access(parent, at + i * PAGE_BYTES, i % 7 ? SIM_WRITE : SIM_READ, NULL).done);
        core_world_call(parent, NR_mprotect, at + (3UL << 20), 1UL << 20, PROT_NONE, 0, 0);
        child = core_world_fork(parent, 0);
        EXPECT(child != NULL);
        EXPECT(mm_resident(child->mm) > 7000);
        for (uint64_t i = 0; i < 10; i++)
            sim_access(child, at + i * 64 * PAGE_BYTES, SIM_WRITE, NULL);
        core_world_check();
        core_world_end(child); /* in more than one part */
        core_world_check();
        uint64_t now = core_world_free_pages();
        EXPECT(round < 2 || now == before);
        before = now;
        core_world_call(parent, NR_mprotect, at + (3UL << 20), 1UL << 20, RW, 0, 0);
    }
    child = core_world_fork(parent, 0);
    core_world_end(parent); /* the child is the last owner of all */
    core_world_check();
    EXPECT(sim_access(child, at + PAGE_BYTES, SIM_WRITE, NULL).done);
    core_world_end(child);
    core_world_check();
}
