/* See kernel_world.h. The check recounts everything from nothing but memory. */
#include "kernel_world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct world world;
uint64_t world_out[2];

/* Building. */

static pfn_t kernel_page_next;

static void *kernel_pages(uint64_t n)
{
    void *at = page_to_virt(kernel_page_next);
    kernel_page_next += n;
    return at;
}

static void thread_place(struct thread *t)
{
    thread_init(t, harts[0]);
    t->table = world.table;
    t->table_caps = world.table->caps;
    t->table_size = world.table->size;
    world.table->users++;
    t->space = world.space;
    TAILQ_INSERT_TAIL(&world.space->threads, t, mates);
    world.space->thread_count++;
    t->state = THREAD_RUNNING;
    t->priority = PRIORITY_MAX;
    t->operation_page = kernel_pages(1); /* in no block that is counted */
    harts[0]->current = t;
}

static void caps_fill(void)
{
    cap_fill_object(world_cap(SLOT_TABLE), NULL, CAP_TABLE, world.table, 0, 0xff, true);
    cap_fill_object(world_cap(SLOT_SPACE), NULL, CAP_SPACE, world.space, 0, 0xff, true);
    cap_fill_object(world_cap(SLOT_THREAD), NULL, CAP_THREAD, world.thread, 0, 0xff, true);
    cap_fill_object(world_cap(SLOT_KERNEL), NULL, CAP_KERNEL, NULL, 0, 0xff, true);
    cap_fill_object(world_cap(SLOT_ENDPOINT), NULL, CAP_ENDPOINT, world.endpoint, 0, 0xff, true);
    cap_fill_memory(world_cap(SLOT_MEMORY), NULL, world.first, world.pages,
                    RIGHT_WRITE | RIGHT_EXEC | RIGHT_KEEP | RIGHT_COPY_ON, 0);
    cap_fill_memory(world_cap(WORLD_SLOT_DEVICE), NULL, PAGES_PER_BLOCK, PAGES_PER_BLOCK,
                    RIGHT_WRITE | RIGHT_IO | RIGHT_COPY_ON, 0);
    for (uint32_t i = 1; i < 4; i++) {
        interrupts[i].source = i;
        cap_fill_object(world_cap(SLOT_INTERRUPT + i), NULL, CAP_INTERRUPT, &interrupts[i], i, 0xff,
                        true);
    }
}

void world_start(const struct machine_options *options)
{
    struct machine_options o = options ? *options : (struct machine_options){.asid_bits = 16};
    o.device_pages = PAGES_PER_BLOCK;
    if (kernel_lock_held())
        kernel_unlock(); /* a jump out of the last world left it */
    machine_start(&o);
    memset(interrupts, 0, sizeof(interrupts));
    kernel_page_next = machine.options.first_page;
    block_count[kernel_page_next >> TABLE_SHIFT] = BLOCK_PINNED;
    world = (struct world){
        .ram = kernel_page_next,
        .first = kernel_page_next + PAGES_PER_BLOCK,
        .pages = machine.options.pages - PAGES_PER_BLOCK,
    };
    world.table = kernel_pages(1);
    cap_table_init(world.table, kernel_pages(WORLD_TABLE_PAGES), WORLD_TABLE_PAGES * CAPS_PER_PAGE,
                   0);
    world.space = kernel_pages(1);
    pfn_t root = virt_to_page(kernel_pages(1));
    world.thread = kernel_pages(1);
    world.endpoint = kernel_pages(1);
    kernel_lock();
    space_init(world.space, root - 1, root);
    endpoint_init(world.endpoint);
    thread_place(world.thread);
    caps_fill();
    kernel_unlock();
}

struct cap *world_cap(uint64_t slot)
{
    return &world.table->caps[slot];
}

long world_call_as(struct thread *t, call_function *call, uint64_t a0, uint64_t a1, uint64_t a2,
                   uint64_t a3, uint64_t a4, uint64_t a5)
{
    struct call_args c = {.a = {a0, a1, a2, a3, a4, a5}};
    long result = call(t, &c);
    world_out[0] = c.out[0];
    world_out[1] = c.out[1];
    return result;
}

/* Checking. */

struct check {
    uint16_t primary[WORLD_PAGES_MAX]; /* primary capabilities of the object in this page */
    uint16_t walked[WORLD_PAGES_MAX];  /* times the page was met as a page table */
    int64_t leaves[WORLD_PAGES_MAX / PAGES_PER_BLOCK + 1];
    int64_t device_leaves;
    uint64_t entries;  /* not empty */
    uint64_t children; /* counted from the parents' lists */
    uint64_t parented; /* counted from the entries */
};

static struct check check;
static const struct cap *check_at; /* shown with a failure */

#define CHECK(x)                        \
    do {                                \
        if (!(x))                       \
            check_failed(__LINE__, #x); \
    } while (0)

_Noreturn static void check_failed(int line, const char *what)
{
    fprintf(stderr, "# world_check, line %d: %s does not hold\n", line, what);
    if (check_at)
        fprintf(stderr,
                "# capability %p: type %u rights 0x%x primary %u depth %u first 0x%" PRIx64
                " pages 0x%" PRIx64 " parent %p child %p\n",
                (const void *)check_at, check_at->type, check_at->rights, check_at->primary,
                check_at->depth, check_at->first, check_at->pages, (const void *)check_at->parent,
                (const void *)check_at->child);
    abort();
}

static uint64_t ram_index(pfn_t page)
{
    CHECK(machine_page_is_ram(page) && page - world.ram < WORLD_PAGES_MAX);
    return page - world.ram;
}

static uint64_t directory_word(pfn_t page)
{
    const uint64_t *word = page_directory(page);
    return word ? *word : page_word(PAGE_FREE, 0, 0);
}

static void check_empty(const struct cap *c)
{
    CHECK(c->forbid == ~0UL && c->first == 1UL << 63 && c->pages == 0 && c->rights == 0);
    CHECK(c->primary == 0 && c->parent == NULL && c->child == NULL);
    CHECK(c->next == NULL && c->prev == NULL && c->depth == 0);
}

static void check_links(const struct cap *c)
{
    const struct cap *p = c->parent;
    CHECK(c->depth > c->table_depth && c->depth <= CAP_DEPTH_MAX + 1);
    CHECK(!p || (p->type != CAP_NONE && c->depth > p->depth));
    CHECK(!p || (p->child == c ? c->prev->next == NULL : c->prev->next == c));
    CHECK(!p || c->prev->parent == p);
    CHECK(p || (c->prev == NULL && c->next == NULL));
    CHECK(!c->next || (c->next->prev == c && c->next->parent == p));
    check.parented += p != NULL;
    for (const struct cap *child = c->child; child; child = child->next) {
        CHECK(child->parent == c && child->type != CAP_NONE);
        CHECK(++check.children < WORLD_ENTRIES_MAX);
    }
}

static void check_memory(const struct cap *c)
{
    const struct cap *p = c->parent;
    bool counted = c->first + c->pages <= block_total << TABLE_SHIFT;
    CHECK(c->forbid == (counted ? cap_forbid(c->rights) : ~0UL));
    CHECK(c->pages > 0 && !c->primary);
    if (p == NULL)
        return;
    CHECK(p->type == CAP_MEMORY && !(c->rights & ~p->rights));
    CHECK(c->first >= p->first && c->first + c->pages <= p->first + p->pages);
    CHECK((c->rights & RIGHT_IO) == (p->rights & RIGHT_IO) && c->node == p->node);
}

static void check_primary(const struct cap *c)
{
    const struct cap *p = c->parent;
    if (c->type == CAP_KERNEL || c->type == CAP_INTERRUPT || p == NULL)
        return;
    pfn_t page = virt_to_page(c->object);
    uint64_t word = directory_word(page);
    CHECK(p->type == CAP_MEMORY && (p->rights & RIGHT_KEEP));
    CHECK(page >= p->first && page - p->first < p->pages);
    CHECK(word == page_word(PAGE_OBJECT, c->type, 0));
    check.primary[ram_index(page)]++;
}

static void check_badge(const struct cap *c)
{
    const struct cap *p = c->parent;
    if (c->type == CAP_NOTIFICATION)
        CHECK(p->badge == 0 || (c->badge && !(c->badge & ~p->badge)));
    else
        CHECK(p->badge == 0 || c->badge == p->badge);
}

static void check_object(const struct cap *c)
{
    const struct cap *p = c->parent;
    CHECK(c->forbid == ~0UL && c->type < CAP_TYPES);
    if (c->primary) {
        check_primary(c);
        return;
    }
    if (c->type == CAP_REPLY) {
        const struct thread *client = c->object;
        CHECK(p == NULL && c->child == NULL && client->reply == c);
        return;
    }
    CHECK(p && p->type == c->type && p->object == c->object && !(c->rights & ~p->rights));
    check_badge(c);
}

static void check_table(const struct table *table)
{
    CHECK(table->size > 0 && table->size % CAPS_PER_PAGE == 0);
    for (uint64_t i = 0; i < table->size; i++) {
        const struct cap *c = check_at = &table->caps[i];
        CHECK(c->table_depth == table->caps[0].table_depth);
        if (c->type == CAP_NONE) {
            check_empty(c);
            continue;
        }
        check.entries++;
        check_links(c);
        if (c->type == CAP_MEMORY)
            check_memory(c);
        else
            check_object(c);
    }
    check_at = NULL;
}

static void check_leaf(uint64_t entry, unsigned level)
{
    pfn_t page = entry_page(entry);
    CHECK(level < 2 && !(entry & ENTRY_G)); /* U is the memory server's to take (BATCH_REACH) */
    CHECK(level == 0 || page % PAGES_PER_BLOCK == 0);
    CHECK(page >> TABLE_SHIFT < block_total && block_count[page >> TABLE_SHIFT] > 0);
    if (machine_page_is_ram(page))
        check.leaves[ram_index(page) / PAGES_PER_BLOCK]++;
    else
        check.device_leaves++;
}

static uint64_t check_page_table(pfn_t page, unsigned level, unsigned entries)
{
    const uint64_t *table = page_to_virt(page);
    uint64_t tables = 0;
    for (unsigned i = 0; i < entries; i++) {
        if (entry_is_leaf(table[i])) {
            check_leaf(table[i], level);
        } else if (entry_is_table(table[i])) {
            pfn_t below = entry_page(table[i]);
            CHECK(level > 0 && page_word_use(directory_word(below)) == PAGE_TABLE);
            CHECK(++check.walked[ram_index(below)] == 1);
            tables += 1 + check_page_table(below, level - 1, TABLE_ENTRIES);
        }
    }
    return tables;
}

static void check_space(const struct space *s)
{
    uint64_t threads = 0;
    const struct thread *t;
    CHECK(s->root == page_to_virt(s->root_pfn));
    CHECK(s->tables == check_page_table(s->root_pfn, space_levels - 1, TABLE_ENTRIES / 2));
    TAILQ_FOREACH(t, &s->threads, mates)
    {
        CHECK(t->space == s);
        threads++;
    }
    CHECK(threads == s->thread_count);
}

static void check_thread(const struct thread *t)
{
    CHECK(t->state < THREAD_STATES);
    CHECK(t->table ? t->table->caps == t->table_caps && t->table->size == t->table_size
                   : t->table_size == 0);
    if (t->operation_pfn)
        check.leaves[ram_index(t->operation_pfn) / PAGES_PER_BLOCK]++;
}

static void check_object_page(pfn_t page, uint64_t word)
{
    void *object = page_to_virt(page);
    uint64_t more = 0;
    switch (page_word_detail(word)) {
    case CAP_TABLE:
        check_table(object);
        more = ((struct table *)object)->size / CAPS_PER_PAGE;
        break;
    case CAP_SPACE:
        check_space(object);
        more = 1;
        break;
    case CAP_THREAD:
        check_thread(object);
        break;
    default:
        CHECK(page_word_detail(word) == CAP_ENDPOINT || page_word_detail(word) == CAP_NOTIFICATION);
    }
    for (uint64_t i = 1; i <= more; i++)
        CHECK(directory_word(page + i) >> 16 == page);
}

static bool page_is_zero(pfn_t page)
{
    static const uint8_t zeros[PAGE_BYTES];

    return !memcmp(page_to_virt(page), zeros, PAGE_BYTES); /* a loop is slow under sanitizers */
}

/* All pages of a tables block; answers how many are in use. */
static uint64_t check_directory(pfn_t first)
{
    uint64_t used = 1;
    CHECK(page_word_use(directory_word(first)) == PAGE_DIRECTORY);
    for (pfn_t page = first + 1; page < first + PAGES_PER_BLOCK; page++) {
        uint64_t word = directory_word(page);
        used += page_word_use(word) != PAGE_FREE;
        CHECK(word != PAGE_FREE_ZERO || page_is_zero(page));
        CHECK(page_word_use(word) != PAGE_DIRECTORY && page_word_use(word) <= PAGE_CAPS);
        if (page_word_use(word) == PAGE_OBJECT)
            check_object_page(page, word);
        if (page_word_use(word) == PAGE_ROOT || page_word_use(word) == PAGE_CAPS)
            CHECK(page_word_use(directory_word(word >> 16)) == PAGE_OBJECT);
    }
    return used;
}

static void check_marks(void)
{
    for (uint64_t i = 0; i < machine.options.pages && i < WORLD_PAGES_MAX; i++) {
        enum page_use use = page_word_use(directory_word(world.ram + i));
        CHECK(check.primary[i] == (use == PAGE_OBJECT));
        CHECK(check.walked[i] == (use == PAGE_TABLE));
    }
}

static void check_counters(void)
{
    for (pfn_t page = world.first; page < world.first + world.pages; page += PAGES_PER_BLOCK) {
        int64_t leaves = check.leaves[ram_index(page) / PAGES_PER_BLOCK];
        int64_t count = block_count[page >> TABLE_SHIFT];
        CHECK(page_directory(page) || count == leaves);
        CHECK(!page_directory(page) || leaves == 0);
    }
    CHECK(check.device_leaves == block_count[1]);
    CHECK(block_count[world.ram >> TABLE_SHIFT] == BLOCK_PINNED && check.leaves[0] == 0);
    for (unsigned i = 0; i < harts_online; i++)
        CHECK(harts[i]->busy == 0);
}

void world_check(void)
{
    check = (struct check){0};
    CHECK(!kernel_lock_held());
    check_table(world.table);
    check_space(world.space);
    check_thread(world.thread);
    for (pfn_t page = world.first; page < world.first + world.pages; page += PAGES_PER_BLOCK)
        if (page_directory(page))
            CHECK(block_count[page >> TABLE_SHIFT] ==
                  (int64_t)(BLOCK_TABLE_BASE + check_directory(page)));
    CHECK(check.children == check.parented);
    check_marks();
    check_counters();
}
