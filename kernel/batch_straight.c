/*
 * The straight way of a batch that answers a fault: one operation on one small page, or a list of
 * them, in one leaf table of the client's own space; or a leaf table together with its first leaf.
 * No gather: at most one page has to be fenced, and the client is on this hart.
 *
 * The space is locked for it, as for any batch, but no state is set up: what is not plain is left
 * to batch.c, which decodes again from the start; nothing has changed by then. The client keeps its
 * space in being. An old page is counted until after its fence, so nobody can take it for free
 * before, and the hart need not stand as gathering.
 */
#include "kernel/straight.h"
#include "kernel/assert.h"
#include "kernel/call.h"
#include "kernel/cap.h"
#include "kernel/ipc.h"
#include "kernel/pager_hook.h"

/* In an operation's first word. */
#define HEAD_COUNT_SHIFT 32
#define HEAD_ONE         (1UL << HEAD_COUNT_SHIFT) /* one small page, nothing kept */

#define HEAD_MAP_ONE    (HEAD_ONE | BATCH_MAP)
#define HEAD_TABLE_LEAF (HEAD_ONE | 1UL << 8 | BATCH_TABLE)

static inline __attribute__((always_inline)) enum outcome
map_one(struct hart *h, struct thread *w, const volatile struct batch_op *op, uint64_t *slot)
{
    uint64_t entry = op->entry | ENTRY_ALWAYS;

    if (unlikely(!straight_covered(w, op->memory, entry, entry)))
        return NOT_PLAIN;
    int32_t *counter = block_of_entry(h->blocks, entry);
    if (likely(arch_count_up(counter) >= 0 && arch_slot_fill(slot, entry)))
        return DONE;
    __atomic_fetch_sub(counter, 1, __ATOMIC_RELAXED);
    return NOT_PLAIN;
}

/* Rights are added. The page is fenced here all the same: this hart has just used the old
 * translation, and would fault once more. */
static inline __attribute__((always_inline)) enum outcome
protect_one(struct hart *h, struct thread *w, const struct space *s,
            const volatile struct batch_op *op, uint64_t *slot, vaddr_t address)
{
    const uint64_t which = ENTRY_W | ENTRY_X | ENTRY_D;
    uint64_t wanted = op->entry, old = slot_load(slot), more = wanted & ~old;

    if (unlikely((wanted & ~which) || (old & which & ~wanted) || !(old & ENTRY_V)))
        return NOT_PLAIN;
    if (unlikely(!straight_covered(w, op->memory, old, more)))
        return NOT_PLAIN;
    /* Only accessed and dirty can change meanwhile: the space is locked. */
    __atomic_fetch_or(slot, more, __ATOMIC_RELAXED);
    straight_fence_page(h, s, address);
    return DONE;
}

/*
 * Perform the first operation of w's page, if that is plain. Inside hart_busy(). With REPLACED the
 * space is still locked.
 */
static inline __attribute__((always_inline)) enum outcome
straight(struct hart *h, struct thread *w, struct thread *c, uint64_t space_slot, struct was *was)
{
    struct space *s = straight_space(w, space_slot);
    struct batch_page *page = w->operation_page;
    enum outcome outcome = NOT_PLAIN;

    if (unlikely(s != c->space || page == NULL)) /* who faults has a space */
        return NOT_PLAIN;
    const volatile struct batch_op *op = &page->op[0];
    uint64_t code = *(const volatile uint64_t *)op ^ HEAD_ONE;
    vaddr_t address = was->address = op->address;
    if (unlikely(address >> BLOCK_SHIFT != c->leaf_tag || address % PAGE_BYTES ||
                 (uint32_t)code == (BATCH_MAP_LIST ^ (uint32_t)HEAD_ONE)))
        return OTHER;
    uint64_t *slot = thread_leaf_slot(c, address);
    if (unlikely(!space_trylock(s)))
        return NOT_PLAIN;
    if (code == BATCH_REPLACE)
        outcome = straight_replace(h, w, s, slot, op->entry, op->memory, op->extra, was);
    else if (code == BATCH_PROTECT)
        outcome = protect_one(h, w, s, op, slot, address);
    else if (code == BATCH_MAP)
        outcome = map_one(h, w, op, slot);
    if (likely(outcome != REPLACED))
        straight_unlock(s);
    h->counter[COUNT_batch_straight] += outcome != NOT_PLAIN;
    return outcome;
}

/* ---- a list of pages ---- */

/* A list, if all of it lies in one leaf table. Inside hart_busy(). */
static __attribute__((noinline)) enum outcome straight_list(struct hart *h, struct thread *w,
                                                            struct thread *c, uint64_t space_slot)
{
    struct space *s = straight_space(w, space_slot);
    struct batch_page *page = w->operation_page;
    volatile struct batch_op *op = &page->op[0];
    uint64_t head = *(const volatile uint64_t *)op, count = head >> HEAD_COUNT_SHIFT;
    uint64_t first = op->extra;
    uint32_t memory_slot = op->memory, done;
    vaddr_t address = op->address;

    if (unlikely((uint32_t)head != BATCH_MAP_LIST || s != c->space || memory_slot >= w->table_size))
        return NOT_PLAIN;
    if (unlikely(first >= BATCH_RESULTS_MAX || count > BATCH_RESULTS_MAX - first))
        return NOT_PLAIN;
    if (unlikely(count - 1 >= TABLE_ENTRIES - (address >> PAGE_SHIFT & (TABLE_ENTRIES - 1))))
        return NOT_PLAIN;
    if (unlikely(address % PAGE_BYTES || !straight_leaf(c, address) || !space_trylock(s)))
        return NOT_PLAIN;
    const struct cap *cap = &w->table_caps[memory_slot];
    const struct extent memory = {cap->forbid, cap->first, cap->pages};
    long error = list_map(&memory, h->blocks, thread_leaf_slot(c, address), page->result + first,
                          count, &done);
    straight_unlock(s);
    h->counter[COUNT_batch_straight] += error == 0;
    if (likely(error == 0))
        return DONE;
    op->done = done;
    return done ? STOPPED : NOT_PLAIN;
}

/* ---- a leaf table and its first leaf ---- */

/* What the two operations say, read once. */
struct growth {
    vaddr_t address;
    uint64_t leaf, leaf_memory;   /* the entry, and who covers it */
    uint64_t table, table_memory; /* the table's page, and who gives it */
};

static inline bool growth_read(struct growth *g, const struct batch_page *page)
{
    const volatile struct batch_op *table = &page->op[0], *map = &page->op[1];
    uint64_t entry = table->entry;

    g->address = map->address;
    g->leaf = map->entry | ENTRY_ALWAYS;
    g->leaf_memory = map->memory;
    g->table = entry_page(entry);
    g->table_memory = table->memory;
    return *(const volatile uint64_t *)table == HEAD_TABLE_LEAF &&
           *(const volatile uint64_t *)map == HEAD_MAP_ONE && g->address % PAGE_BYTES == 0 &&
           g->address < space_user_end && !((table->address ^ g->address) >> BLOCK_SHIFT) &&
           !(entry & ~(ENTRY_PAGE_MASK | ENTRY_V));
}

/* Kernel lock held. May w give that page as a table? */
static inline bool table_given(const struct thread *w, uint64_t slot, pfn_t page)
{
    const uint32_t want = CAP_MEMORY | RIGHT_KEEP << 8, mask = 0xff | RIGHT_KEEP << 8;

    if (unlikely(slot >= w->table_size))
        return false;
    const struct cap *cap = &w->table_caps[slot];
    return (*(const uint16_t *)&cap->type & mask) == want && page - cap->first < cap->pages;
}

/*
 * Kernel lock held, and the space's: nothing stands in `slot`, and nobody else can change that. The
 * leaf is written before the table is linked, so both come at once, or nothing.
 */
static bool grow(struct hart *h, struct thread *w, struct thread *c, const struct growth *g,
                 uint64_t *slot)
{
    if (!straight_covered(w, g->leaf_memory, g->leaf, g->leaf) ||
        !table_given(w, g->table_memory, g->table))
        return false;
    int32_t *counter = block_of_entry(h->blocks, g->leaf);
    if (arch_count_up(counter) < 0 ||
        page_take(g->table, page_word(PAGE_TABLE, 1, c->space->self_pfn)) != 0) {
        __atomic_fetch_sub(counter, 1, __ATOMIC_RELAXED);
        return false;
    }
    uint64_t *table = page_to_virt(g->table);
    table[g->address >> PAGE_SHIFT & (TABLE_ENTRIES - 1)] = g->leaf;
    uint64_t old = arch_slot_swap(slot, entry_make(g->table, ENTRY_V)); /* a release */
    kassert(old == 0);
    c->space->tables++;
    c->leaf_bias = (uint64_t)table - (g->address >> BLOCK_SHIFT << TABLE_SHIFT) * sizeof(uint64_t);
    c->leaf_tag = g->address >> BLOCK_SHIFT;
    return true;
}

/*
 * A table and its first leaf, if that is plain. Inside hart_busy(); the kernel lock, under which
 * tables come and go, ends that. False: nothing has changed, and the hart is busy.
 */
static __attribute__((noinline)) bool straight_table(struct hart *h, struct thread *w,
                                                     struct thread *c, uint64_t slot_of_space)
{
    struct space *s = straight_space(w, slot_of_space);
    struct batch_page *page = w->operation_page;
    struct growth g;

    if (unlikely(s != c->space || s->linear_end || !growth_read(&g, page)))
        return false;
    if (unlikely(!space_trylock(s)))
        return false;
    uint64_t *table = space_table(s, g.address, 1);
    uint64_t *slot = table ? &table[g.address >> BLOCK_SHIFT & (TABLE_ENTRIES - 1)] : NULL;
    bool done = false;
    if (likely(slot != NULL && slot_load(slot) == 0)) {
        kernel_lock();
        done = grow(h, w, c, &g, slot);
        kernel_unlock();
        if (unlikely(!done))
            hart_busy(h);
    }
    straight_unlock(s);
    h->counter[COUNT_batch_straight] += done;
    return done;
}

void replaced_fence(struct hart *h, struct space *s, struct was was)
{
    struct gather g;

    space_hold(s);
    space_unlock(s);
    hart_idle(h);
    gather_begin(&g, s);
    gather_range(&g, was.address, was.address + PAGE_BYTES);
    gather_finish(&g);
    space_drop_hold(s);
    __atomic_fetch_sub(block_of_entry(h->blocks, was.entry), 1, __ATOMIC_RELEASE);
}

bool straight_refused(uint64_t space, uint64_t count, uint64_t value, long stopped,
                      struct thread *w)
{
    hart_idle(this_hart());
    this_hart()->current = w;
    w->x[10] = space;
    w->x[11] = count;
    w->x[12] = value;
    w->x[13] = (uint64_t)stopped;
    return false;
}

/* ---- the answers ---- */

/* What straight() has not done is perhaps a list, or in another leaf table than the cached one, or
 * it is a table and its first leaf. */
static inline enum outcome straight_other(struct hart *h, struct thread *w, struct thread *c,
                                          uint64_t space, uint64_t count, struct was *was)
{
    if (unlikely(c->state != THREAD_FAULT || w->attention || w->operation_page == NULL))
        return NOT_PLAIN;
    const volatile struct batch_op *op = w->operation_page;
    if (count == 2)
        return straight_table(h, w, c, space) ? DONE : NOT_PLAIN;
    if (count != 1)
        return NOT_PLAIN;
    if (op->code == BATCH_MAP_LIST)
        return straight_list(h, w, c, space);
    return straight_leaf(c, op->address) ? straight(h, w, c, space, was) : NOT_PLAIN;
}

/* These two are of an in-kernel pager, whose answer may come back with why a list stopped; the
 * others of a worker. */
static __attribute__((noinline)) bool
pager_reply_other(struct hart *h, uint64_t space, uint64_t count, uint64_t value, long *stopped)
{
    struct thread *w = h->pager_thread, *c = w->client;
    struct was was;

    hart_busy(h);
    if (c->state == THREAD_CALL)
        return pager_reply_call(h, space, count, value);
    if (unlikely(h->look_again))
        return false;
    enum outcome outcome = straight_other(h, w, c, space, count, &was);
    if (unlikely(outcome == REPLACED))
        replaced_fence(h, c->space, was);
    else if (unlikely(outcome != DONE))
        return *stopped = outcome == STOPPED ? -ERR_MAPPED : 0, false;
    w->client = &thread_in_kernel;
    return resume_same(c);
}

bool pager_reply_batch(uint64_t space, uint64_t count, uint64_t value, long *stopped)
{
    struct hart *h = this_hart();
    struct thread *w = h->pager_thread, *c = w->client;
    struct was was;

    *stopped = 0;
    if (unlikely(count != 1))
        return pager_reply_other(h, space, count, value, stopped);
    hart_busy(h);
    if (unlikely(c->state != THREAD_FAULT || w->attention || h->look_again))
        return pager_reply_call(h, space, count, value);
    enum outcome outcome = straight(h, w, c, space, &was);
    if (unlikely(outcome == OTHER))
        return pager_reply_other(h, space, count, value, stopped);
    if (unlikely(outcome == NOT_PLAIN))
        return false;
    if (unlikely(outcome == REPLACED))
        replaced_fence(h, c->space, was);
    w->client = &thread_in_kernel;
    return resume_same(c);
}

static __attribute__((noinline)) bool replaced(struct thread *w, vaddr_t address, uint64_t entry)
{
    struct thread *c = w->client;

    replaced_fence(this_hart(), c->space, (struct was){address, entry});
    w->client = NULL;
    return resume_full(c);
}

static __attribute__((noinline)) bool reply_other(uint64_t space, uint64_t count, uint64_t value,
                                                  struct thread *w)
{
    struct hart *h = this_hart();
    struct thread *c = w->client;
    struct was was;

    hart_busy(h);
    if (c->state == THREAD_CALL)
        return reply_call(space, count, value, w);
    enum outcome outcome = straight_other(h, w, c, space, count, &was);
    if (unlikely(outcome == REPLACED))
        return replaced(w, was.address, was.entry);
    if (unlikely(outcome != DONE))
        return straight_refused(space, count, value, outcome == STOPPED ? -ERR_MAPPED : 0, w);
    w->client = NULL;
    return resume_full(c);
}

bool reply_batch(uint64_t space, uint64_t count, uint64_t value, uint64_t a3, uint64_t a4,
                 uint64_t a5, struct thread *w)
{
    struct hart *h = this_hart();
    struct thread *c = w->client;
    struct was was;

    (void)a3, (void)a4, (void)a5;
    if (unlikely(count != 1))
        return reply_other(space, count, value, w);
    hart_busy(h);
    if (unlikely(c->state != THREAD_FAULT || w->attention))
        return reply_call(space, count, value, w);
    enum outcome outcome = straight(h, w, c, space, &was);
    if (unlikely(outcome == OTHER))
        return reply_other(space, count, value, w);
    if (unlikely(outcome == REPLACED))
        return replaced(w, was.address, was.entry);
    if (unlikely(outcome == NOT_PLAIN))
        return straight_refused(space, count, value, 0, w);
    w->client = NULL;
    return resume_full(c);
}
