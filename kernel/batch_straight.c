/*
 * The straight way of a batch that answers a fault: lists of small pages, each in one leaf table of
 * the client's own space; or one operation on one page there; or a leaf table together with its
 * first leaf.
 * No gather: at most one page has to be fenced, and the client is on this hart.
 *
 * The space is locked for it, as for any batch, but no state is set up: what is not plain is left
 * to batch.c, which decodes again from the start; nothing has changed by then. The client keeps its
 * space in being. An old page is counted until after its fence, so nobody can take it for free
 * before, and the hart need not stand as gathering.
 */
#include "kernel/straight.h"
#include "kernel/list.h"
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

/* One operation on one page. Inside hart_busy(). With REPLACED the space is still locked. */
static inline __attribute__((always_inline)) enum outcome
straight_one(struct hart *h, struct thread *w, struct thread *c, struct space *s,
             const volatile struct batch_op *op, struct was *was)
{
    enum outcome outcome = NOT_PLAIN;
    uint64_t code = *(const volatile uint64_t *)op ^ HEAD_ONE;
    vaddr_t address = was->address = op->address;

    if (unlikely(address % PAGE_BYTES || !straight_leaf(c, address) || !space_trylock(s)))
        return NOT_PLAIN;
    uint64_t *slot = thread_leaf_slot(c, address);
    if (code == BATCH_REPLACE)
        outcome = straight_replace(h, w, s, slot, op->entry, op->memory, op->extra, was);
    else if (code == BATCH_PROTECT)
        outcome = protect_one(h, w, s, op, slot, address);
    else if (code == BATCH_MAP)
        outcome = map_one(h, w, op, slot);
    if (likely(outcome != REPLACED))
        straight_unlock(s);
    return outcome;
}

/* ---- lists of pages ---- */

/* Perform the list of operation i, if all of it lies in one leaf table, the space locked: 0, or why
 * it stopped behind `done` pages; -ERR_AGAIN: not plain. */
static inline __attribute__((always_inline)) long
straight_list(struct hart *h, const struct thread *w, struct thread *c, struct batch_page *page,
              uint64_t i, uint32_t *done)
{
    const volatile struct batch_op *op = &page->op[i];
    uint64_t head = *(const volatile uint64_t *)op, count = head >> HEAD_COUNT_SHIFT;
    uint64_t first = op->extra;
    uint32_t memory = op->memory;
    vaddr_t address = op->address;

    *done = 0;
    if (unlikely((uint32_t)head != BATCH_MAP_LIST || memory >= w->table_size ||
                 address % PAGE_BYTES || !straight_leaf(c, address)))
        return -ERR_AGAIN;
    if (unlikely(first >= BATCH_RESULTS_MAX || count > BATCH_RESULTS_MAX - first))
        return -ERR_AGAIN;
    if (unlikely(count - 1 >= TABLE_ENTRIES - (address >> PAGE_SHIFT & (TABLE_ENTRIES - 1))))
        return -ERR_AGAIN;
    const struct cap *cap = &w->table_caps[memory];
    const struct extent extent = {cap->forbid, cap->first, cap->pages};
    return list_map(&extent, h->blocks, thread_leaf_slot(c, address), page->result + first, count,
                    done);
}

/* All of w's operations are lists. Inside hart_busy(). */
static inline __attribute__((always_inline)) enum outcome
straight_lists(struct hart *h, struct thread *w, struct thread *c, struct space *s, uint64_t count)
{
    struct batch_page *page = w->operation_page;
    uint64_t i = 0;
    uint32_t done;
    long error;

    if (unlikely(count > BATCH_OPS_MAX || !space_trylock(s)))
        return NOT_PLAIN;
    do
        error = straight_list(h, w, c, page, i, &done);
    while (likely(!error) && unlikely(++i < count));
    straight_unlock(s);
    if (likely(!error))
        return DONE;
    if (!i && !done)
        return NOT_PLAIN;
    *(volatile uint32_t *)&page->op[i].done = done;
    batch_note(w, (struct batch_answer){(long)i, error});
    return STOPPED;
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
    leaf_cache_set(&c->leaf, g->address, table);
    return true;
}

/*
 * A table and its first leaf, if that is plain. Inside hart_busy(); the kernel lock, under which
 * tables come and go, ends that. False: nothing has changed, and the hart is busy.
 */
static __attribute__((noinline)) bool straight_table(struct hart *h, struct thread *w,
                                                     struct thread *c, struct space *s)
{
    struct growth g;

    if (unlikely(s->linear_end || !growth_read(&g, w->operation_page)))
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

bool straight_refused(uint64_t space, uint64_t count, uint64_t value, struct thread *w)
{
    hart_idle(this_hart());
    this_hart()->current = w;
    w->x[10] = space;
    w->x[11] = count;
    w->x[12] = value;
    return false;
}

/* ---- the answers ---- */

/* c goes on, and w is `parked` (NULL: a worker). */
static inline __attribute__((always_inline)) bool answered(struct hart *h, struct thread *w,
                                                           struct thread *c, struct thread *parked)
{
    h->counter[COUNT_batch_straight]++;
    w->client = parked;
    return parked ? resume_same(c) : resume_full(c);
}

/* Look in full; what was done before, if anything, is noted. */
static bool not_plain(struct thread *w, uint64_t space, uint64_t count, struct thread *parked)
{
    return !parked && straight_refused(space, count, 0, w);
}

static __attribute__((noinline)) bool nothing_plain(struct thread *w, uint64_t space,
                                                    uint64_t count, struct thread *parked)
{
    batch_note(w, (struct batch_answer){0, 0});
    return not_plain(w, space, count, parked);
}

static __attribute__((noinline)) bool answer_lists(uint64_t space, uint64_t count, struct hart *h,
                                                   struct thread *w, struct thread *c,
                                                   struct space *s, struct thread *parked)
{
    enum outcome outcome = straight_lists(h, w, c, s, count);

    if (likely(outcome == DONE))
        return answered(h, w, c, parked);
    return outcome == STOPPED ? not_plain(w, space, count, parked)
                              : nothing_plain(w, space, count, parked);
}

static __attribute__((noinline)) bool answer_table(uint64_t space, uint64_t count, struct hart *h,
                                                   struct thread *w, struct thread *c,
                                                   struct space *s, struct thread *parked)
{
    if (likely(straight_table(h, w, c, s)))
        return answered(h, w, c, parked);
    return nothing_plain(w, space, count, parked);
}

static __attribute__((noinline)) bool answer_replaced(struct hart *h, struct thread *w,
                                                      struct thread *c, struct space *s,
                                                      struct thread *parked, struct was was)
{
    replaced_fence(h, s, was);
    return answered(h, w, c, parked);
}

/*
 * The batch of w, whose client c waits for a fault: c goes on, and w is `parked`. False: look in
 * full. Inside hart_busy(). What is one operation is done here; the others have stack frames.
 */
static inline __attribute__((always_inline)) bool answer_by_batch(struct hart *h, struct thread *w,
                                                                  struct thread *c, uint64_t space,
                                                                  uint64_t count,
                                                                  struct thread *parked)
{
    const volatile struct batch_op *op = w->operation_page;
    struct space *s = straight_space(w, space, RIGHT_MAP);
    struct was was;

    if (unlikely(w->attention || s != c->space || op == NULL)) /* who faults has a space */
        return nothing_plain(w, space, count, parked);
    if (op->code == BATCH_MAP_LIST)
        return answer_lists(space, count, h, w, c, s, parked);
    if (count == 2)
        return answer_table(space, count, h, w, c, s, parked);
    enum outcome outcome = count == 1 ? straight_one(h, w, c, s, op, &was) : NOT_PLAIN;
    if (likely(outcome == DONE))
        return answered(h, w, c, parked);
    return outcome == REPLACED ? answer_replaced(h, w, c, s, parked, was)
                               : nothing_plain(w, space, count, parked);
}

/* Of an in-kernel pager. */
bool pager_reply_batch(uint64_t space, uint64_t count, uint64_t value)
{
    struct hart *h = this_hart();
    struct thread *w = h->pager_thread, *c = w->client;

    hart_busy(h);
    if (c->state == THREAD_CALL)
        return pager_reply_call(h, space, count, value);
    if (unlikely(h->look_again || c->state != THREAD_FAULT))
        return nothing_plain(w, space, count, &thread_in_kernel);
    return answer_by_batch(h, w, c, space, count, &thread_in_kernel);
}

/* Of a worker. Who does not wait for a fault straight may wait for a call, on the slow path. */
bool reply_batch(uint64_t space, uint64_t count, uint64_t value, uint64_t a3, uint64_t a4,
                 uint64_t a5, struct thread *w)
{
    struct thread *c = w->client;

    (void)a3, (void)a4, (void)a5;
    hart_busy(this_hart());
    return c->state == THREAD_FAULT ? answer_by_batch(this_hart(), w, c, space, count, NULL)
                                    : reply_call(space, count, value, w);
}
