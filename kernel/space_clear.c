/*
 * Taking address spaces apart, in bounded steps: destruction, and dropping all mappings of an
 * extent of memory.
 */
#include "arch/arch.h"
#include "kernel/assert.h"
#include "kernel/block.h"
#include "kernel/call.h"
#include "kernel/cap.h"
#include "kernel/gather.h"

#define DESTROY_BUDGET 512 /* entries removed in one step; looking through a table counts 64 */
#define TABLE_COST     64
#define DROP_BUDGET    8192 /* entries looked at in one call */

static inline uint64_t span_of(unsigned level)
{
    return 1UL << (PAGE_SHIFT + TABLE_SHIFT * level);
}

static inline uint64_t block_of(uint64_t entry)
{
    return entry_page(entry) >> TABLE_SHIFT;
}

/* Remove the leaves and software entries of a table; the index of the first entry that is a table,
 * or `end` if there is none. */
static uint64_t table_clear(uint64_t *table, uint64_t end, long *budget)
{
    *budget -= TABLE_COST;
    for (uint64_t i = 0; i < end; i++) {
        uint64_t entry = table[i];
        if (entry == 0)
            continue;
        if (entry_is_table(entry))
            return i;
        table[i] = 0;
        --*budget;
        if (entry & ENTRY_V)
            space_leaf_put(block_of(entry), 1);
    }
    return end;
}

/* The first lowest table that has no table below it goes. False: there is none but the root. */
static bool destroy_one(struct space *s, long *budget)
{
    uint64_t *table = s->root, *parent = NULL;
    uint64_t end = (space_user_end - 1) / span_of(space_levels - 1) + 1;

    for (;;) {
        uint64_t i = table_clear(table, end, budget);
        if (i == end)
            break;
        parent = &table[i];
        table = page_to_virt(entry_page(*parent));
        end = TABLE_ENTRIES;
    }
    if (parent == NULL)
        return false;
    pfn_t page = entry_page(*parent);
    *parent = 0;
    s->tables--;
    page_release_zero(page); /* every entry was taken out above */
    return true;
}

/* No hart may find the space any more. Where it is still the active one no thread of it is left, so
 * no other hart has its root loaded; this one may, if it is serving in the kernel. */
static void forget_active(struct space *s)
{
    for (unsigned i = 0; i < harts_online; i++) {
        struct hart *h = harts[i];
        if (h->space_active != s)
            continue;
        if (h == this_hart() && h->current == NULL)
            arch_satp_write(arch_satp_kernel());
        h->space_active = NULL;
    }
    s->running = 0;
}

/*
 * No fence: no hart has the root loaded or will load it again, and the number is not given to
 * another space before every hart has forgotten everything (asid.h). Space number 0 is fenced
 * at each switch.
 */
long space_destroy_step(struct space *s)
{
    long budget = DESTROY_BUDGET;

    kassert(kernel_lock_held());
    if (s == space_server || s->thread_count || s->pinned)
        return -ERR_BUSY;
    if (!space_trylock(s))
        return -ERR_AGAIN;
    if (__atomic_load_n(&s->holders, __ATOMIC_ACQUIRE)) {
        space_unlock(s);
        return -ERR_AGAIN;
    }
    if (!s->dying)
        forget_active(s);
    s->dying = 1;
    bool more = true;
    while (more && budget > 0)
        more = destroy_one(s, &budget);
    space_unlock(s);
    if (more)
        return -ERR_AGAIN;
    kassert(s->tables == 0);
    return 0;
}

/* What a drop removes, and what it found. */
struct drop {
    struct gather gather;
    pfn_t first;
    uint64_t pages;
    long budget;
};

/* Does the leaf reach into the extent? A leaf of a 64 KiB run reaches as far as the run does. */
static bool drop_covers(const struct drop *d, uint64_t entry, unsigned level)
{
    pfn_t page = entry_page(entry);
    uint64_t pages = 1UL << (TABLE_SHIFT * level);

    if (entry & ENTRY_N) {
        page &= ~15UL;
        pages = 16;
    }
    return page < d->first + d->pages && page + pages > d->first;
}

static void drop_slot(struct drop *d, uint64_t *slot, vaddr_t address, unsigned level)
{
    uint64_t entry = __atomic_load_n(slot, __ATOMIC_RELAXED);

    if (!(entry & ENTRY_V) || !drop_covers(d, entry, level))
        return;
    entry = __atomic_exchange_n(slot, 0, __ATOMIC_RELAXED);
    space_leaf_put(block_of(entry), 1);
    count(this_hart(), COUNT_pages_unmapped);
    /* All of a 64 KiB run: hardware may have remembered it by any of its pages. */
    vaddr_t reach = entry & ENTRY_N ? 16 * PAGE_BYTES : span_of(level);
    gather_range(&d->gather, address & ~(reach - 1), (address | (reach - 1)) + 1);
}

/* Look at what stands at `address`, and return how far that reaches. */
static vaddr_t drop_at(struct space *s, struct drop *d, vaddr_t address)
{
    unsigned level;
    uint64_t *slot = space_slot(s, address, 0, &level);

    if (slot == NULL) {
        slot = space_slot(s, address, level, &level);
        d->budget -= level;
        drop_slot(d, slot, address, level);
        return (address | (span_of(level) - 1)) + 1;
    }
    d->budget -= TABLE_ENTRIES;
    slot -= (address >> PAGE_SHIFT) & (TABLE_ENTRIES - 1);
    address &= ~(BLOCK_BYTES - 1);
    for (unsigned i = 0; i < TABLE_ENTRIES; i++)
        drop_slot(d, &slot[i], address + i * PAGE_BYTES, 0);
    return address + BLOCK_BYTES;
}

static long drop_step(struct space *s, struct drop *d)
{
    if (s->drop_first != d->first || s->drop_pages != d->pages) {
        s->drop_first = d->first;
        s->drop_pages = d->pages;
        s->sweep = 0;
    }
    while (s->sweep < space_user_end && d->budget > 0) {
        d->budget--;
        if (space_in_linear(s, s->sweep, 1))
            s->sweep = s->linear_end;
        else
            s->sweep = drop_at(s, d, s->sweep);
    }
    if (s->sweep < space_user_end)
        return -ERR_AGAIN;
    s->drop_pages = 0; /* the next drop begins at the beginning */
    return 0;
}

/*
 * An interrupted drop of the same extent is resumed, not begun anew: who begins one has to see it
 * through, and what is mapped meanwhile below the place it has reached stays.
 */
long call_space_drop(struct thread *t, struct call_args *c)
{
    struct hart *h = this_hart();
    struct drop d = {.budget = DROP_BUDGET};
    long error = 0;

    struct space *s = space_enter(t, c->a[0], RIGHT_MAP, &error);
    if (s == NULL)
        return -error;
    hart_busy(h);
    struct cap *memory = cap_lookup(t, c->a[1], CAP_MEMORY, 0, &error);
    if (memory != NULL) {
        d.first = memory->first;
        d.pages = memory->pages;
    }
    hart_idle(h);
    if (memory == NULL) {
        space_unlock(s);
        return -error;
    }
    gather_begin(&d.gather, s);
    gather_open(h);
    long result = drop_step(s, &d);
    space_hold(s);
    space_unlock(s);
    gather_finish(&d.gather);
    gather_close(h);
    space_drop_hold(s);
    return result;
}
