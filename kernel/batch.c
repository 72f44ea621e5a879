/*
 * Batches of mapping operations: the loop, and what operations have in common. See batch.h here for
 * the rules of performing, and abi/pagoda/batch.h for what each operation means.
 */
#include "kernel/batch.h"
#include "arch/arch.h"
#include "arch/slot.h"
#include "kernel/assert.h"
#include "kernel/block.h"
#include "kernel/call.h"
#include "kernel/cap.h"
#include "kernel/ipc.h"
#include "kernel/sched.h"

bool batch_resume(struct batch *b)
{
    hart_busy(b->hart);
    batch_forget(b);
    b->work = BATCH_REST_ENTRIES;
    b->page = b->thread->operation_page;
    return b->page != NULL;
}

/* The capability if it is there, of that type and with these rights; cap_lookup() says why not. */
static inline struct cap *plain_cap(struct thread *t, uint64_t slot, enum cap_type type,
                                    uint8_t rights)
{
    if (unlikely(slot >= t->table_size))
        return NULL;
    struct cap *c = &t->table_caps[slot];
    return likely(c->type == type && !(rights & ~c->rights)) ? c : NULL;
}

long batch_memory_decode(struct batch *b, uint64_t slot)
{
    long error;
    struct cap *c = plain_cap(b->thread, slot, CAP_MEMORY, 0);

    if (unlikely(c == NULL) && (c = cap_lookup(b->thread, slot, CAP_MEMORY, 0, &error)) == NULL)
        return -error;
    if (c->first + c->pages > block_total << TABLE_SHIFT)
        return -ERR_RANGE; /* not memory that is kept account of */
    b->memory_slot = slot;
    b->forbid = c->forbid;
    b->first = c->first;
    b->pages = c->pages;
    return 0;
}

long batch_entry(struct batch *b, const struct op *op, uint64_t pages, uint64_t *entry)
{
    long error = batch_memory(b, op->memory);
    uint64_t e = op->entry | ENTRY_ALWAYS;
    pfn_t first = entry_page(e) - b->first;

    if (unlikely(error))
        return error;
    if (unlikely(e & b->forbid & ~ENTRY_N) || unlikely(entry_pbmt_reserved(e)))
        return -ERR_ENTRY;
    if (unlikely(first >= b->pages || pages > b->pages - first))
        return -ERR_RANGE;
    if (unlikely(op->level && entry_page(e) % PAGES_PER_BLOCK))
        return -ERR_ALIGN;
    *entry = e;
    return 0;
}

long batch_leaf_find(struct batch *b, vaddr_t address)
{
    const struct space *s = b->space;
    uint64_t *table = s->root;

    if (unlikely(address >= space_user_end || space_in_linear(s, address, BLOCK_BYTES)))
        return -ERR_RANGE;
    for (unsigned shift = level_shift(space_levels - 1); shift > PAGE_SHIFT; shift -= TABLE_SHIFT) {
        uint64_t entry = slot_load(&table[(address >> shift) & (TABLE_ENTRIES - 1)]);
        if (unlikely(!entry_is_table(entry)))
            return entry_is_leaf(entry) ? -ERR_LEVEL : -ERR_NOTABLE;
        table = page_to_virt(entry_page(entry));
    }
    b->leaf_tag = address >> BLOCK_SHIFT;
    b->leaf = table;
    return 0;
}

long batch_why_no_slot(struct space *s, vaddr_t address, unsigned found_level)
{
    uint64_t *slot = space_slot(s, address, found_level, &found_level);
    return entry_is_leaf(slot_load(slot)) ? -ERR_LEVEL : -ERR_NOTABLE;
}

static long big_slots(struct batch *b, const struct op *op, uint64_t count, uint64_t **slot)
{
    unsigned found;

    if (op->address % BLOCK_BYTES)
        return -ERR_ALIGN;
    if (op->address >= space_user_end ||
        space_in_linear(b->space, op->address, count * BLOCK_BYTES))
        return -ERR_RANGE;
    if ((op->address >> BLOCK_SHIFT) % TABLE_ENTRIES + count > TABLE_ENTRIES)
        return -ERR_RANGE;
    *slot = space_slot(b->space, op->address, 1, &found);
    if (*slot == NULL)
        return batch_why_no_slot(b->space, op->address, found);
    for (uint64_t i = 0; i < count; i++)
        if (entry_is_table(slot_load(*slot + i)))
            return -ERR_LEVEL;
    return 0;
}

long batch_run_ends(const struct op *op, const uint64_t *slot)
{
    const uint64_t run = 16, first = op->address >> PAGE_SHIFT, end = first + op->count;
    const uint64_t large = ENTRY_V | ENTRY_N;

    if (op->level)
        return 0;
    if (first % run && (slot_load(slot) & large) == large)
        return -ERR_ALIGN;
    return end % run && (slot_load(slot + op->count - 1) & large) == large ? -ERR_ALIGN : 0;
}

static long other_slots(struct batch *b, const struct op *op, uint64_t count, uint64_t **slot)
{
    if (count - 1 >= TABLE_ENTRIES)
        return -ERR_ARGUMENT;
    if (op->level)
        return op->level == 1 ? big_slots(b, op, count, slot) : -ERR_LEVEL;
    return op->address % PAGE_BYTES ? -ERR_ALIGN : -ERR_RANGE; /* beyond the end of the table */
}

uint64_t *batch_slots_other(struct batch *b, const struct op *op, uint64_t count)
{
    uint64_t *slot = NULL;

    b->work -= (long)count;
    b->error = other_slots(b, op, count, &slot);
    return b->error ? NULL : slot;
}

static long perform(struct batch *b, const struct op *op)
{
    if (unlikely(op->flags & ~BATCH_KEEP) &&
        (op->flags & ~(BATCH_KEEP | BATCH_DIRTY_STAYS | BATCH_REACH) || op->code != BATCH_PROTECT))
        return -ERR_ARGUMENT;
    switch (op->code) {
    case BATCH_NOP:
        return 0;
    case BATCH_MAP:
        return batch_map(b, op);
    case BATCH_REPLACE:
        return batch_replace(b, op);
    case BATCH_UNMAP:
        return batch_unmap(b, op);
    case BATCH_PROTECT:
        return batch_protect(b, op);
    case BATCH_CLEAR_BITS:
        return batch_clear_bits(b, op);
    case BATCH_SOFTWARE:
        return batch_software(b, op);
    case BATCH_TABLE:
        return batch_table(b, op);
    case BATCH_TABLE_REMOVE:
        return batch_table_remove(b, op);
    case BATCH_TABLE_DROP:
        return batch_table_drop(b, op);
    case BATCH_COPY_TABLE:
        return batch_copy_table(b, op);
    case BATCH_MAP_LIST:
        return batch_map_list(b, op);
    case BATCH_MOVE:
        return batch_move(b, op);
    case BATCH_SPLIT:
        return batch_split(b, op);
    default:
        return -ERR_ARGUMENT;
    }
}

/* Each word is loaded once; what user mode writes afterwards is not seen. */
static inline void op_read(struct op *op, const struct batch_op *from)
{
    const volatile uint64_t *word = (const volatile uint64_t *)from;
    uint64_t head = word[0];

    op->code = (uint8_t)head;
    op->level = (uint8_t)(head >> 8);
    op->flags = (uint8_t)(head >> 16);
    op->count = (uint32_t)(head >> 32);
    op->memory = (uint32_t)word[1];
    op->address = word[2];
    op->entry = word[3];
    op->extra = word[4];
}

/* The first words of the most frequent operations: one small page, nothing kept. */
#define HEAD_MAP_ONE   ((uint64_t)BATCH_MAP | 1UL << 32)
#define HEAD_UNMAP_ONE ((uint64_t)BATCH_UNMAP | 1UL << 32)
#define HEAD_RESERVED  (0xffUL << 24)

/* One page whose table is the one used last. */
static inline bool one_here(const struct batch *b, vaddr_t address)
{
    return likely(address >> BLOCK_SHIFT == b->leaf_tag && address % PAGE_BYTES == 0);
}

static inline uint64_t *one_slot(const struct batch *b, vaddr_t address)
{
    return b->leaf + ((address >> PAGE_SHIFT) & (TABLE_ENTRIES - 1));
}

/*
 * One page to map, where the capability, too, is the one used last and the slot is empty. False:
 * not so plain, and nothing has changed; it is decoded in full then.
 */
static inline bool map_one(struct batch *b, struct batch_op *from)
{
    const volatile struct batch_op *op = from;
    vaddr_t address = op->address;
    uint64_t entry = op->entry | ENTRY_ALWAYS;
    /* Bits above the page number that are not forbidden take the page out of the extent. */
    pfn_t page = entry >> ENTRY_PAGE_SHIFT;

    if (unlikely(!one_here(b, address) || op->memory != b->memory_slot))
        return false;
    if (unlikely((entry & b->forbid) || page - b->first >= b->pages))
        return false;
    int32_t *c = &b->blocks[page >> TABLE_SHIFT];
    if (unlikely(arch_count_up(c) < 0 || !arch_slot_fill(one_slot(b, address), entry))) {
        __atomic_fetch_sub(c, 1, __ATOMIC_RELAXED);
        return false;
    }
    b->mapped++;
    *(volatile uint32_t *)&from->done = 1;
    return true;
}

/* One page to unmap, the same way. */
static inline bool unmap_one(struct batch *b, struct batch_op *from)
{
    vaddr_t address = ((const volatile struct batch_op *)from)->address;

    if (unlikely(!one_here(b, address) || b->space == space_server))
        return false;
    uint64_t *slot = one_slot(b, address), entry = slot_load(slot);
    if (unlikely(!(entry & ENTRY_V) || (entry & ENTRY_N)))
        return false;
    entry = arch_slot_take(slot);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    __atomic_fetch_sub(block_of_entry(b->blocks, entry), 1, __ATOMIC_RELAXED);
    gather_range(&b->gather, address, address + PAGE_BYTES);
    b->unmapped++;
    *(volatile uint32_t *)&from->done = 1;
    return true;
}

/* Let other harts see that this one is not stuck. */
static bool batch_rest(struct batch *b)
{
    hart_idle(b->hart);
    return batch_resume(b);
}

/* Perform one operation and note what it did. */
static long perform_noted(struct batch *b, struct batch_op *from)
{
    struct op op;

    op_read(&op, from);
    b->at = from;
    b->done = 0;
    long error = perform(b, &op);
    if (likely(b->page != NULL))
        *(volatile uint32_t *)&from->done = b->done;
    return error;
}

/* Perform operations until one is refused; the number performed. */
static inline uint64_t perform_all(struct batch *b, uint64_t count, long *error)
{
    for (uint64_t i = 0; i < count; i++) {
        if (unlikely(b->page == NULL) || unlikely(b->work <= 0 && !batch_rest(b))) {
            *error = -ERR_STATE; /* another thread took the operation page away */
            return i;
        }
        struct batch_op *from = &b->page->op[i];
        uint64_t head = *(volatile uint64_t *)from & ~HEAD_RESERVED;
        if ((head == HEAD_MAP_ONE && map_one(b, from)) ||
            (head == HEAD_UNMAP_ONE && unmap_one(b, from)))
            continue;
        *error = perform_noted(b, from);
        if (unlikely(*error))
            return i;
    }
    return count;
}

static void tables_release(struct batch *b)
{
    kernel_lock();
    for (unsigned i = 0; i < b->removed; i++) {
        if (b->table[i].zero) /* found empty when nobody could fill it any more */
            page_release_zero(b->table[i].page);
        else
            page_release(b->table[i].page);
    }
    kernel_unlock();
}

/* All changes are made: let go of the locks, fence, then release what the fence was for. */
static inline void batch_end(struct batch *b)
{
    struct space *s = b->space;

    if (gather_needed(&b->gather)) {
        space_hold(s);
        space_unlock(s);
        gather_finish(&b->gather);
        space_drop_hold(s);
    } else {
        space_unlock(s);
    }
    if (unlikely(b->source.space != NULL)) {
        gather_finish(&b->source);
        space_drop_hold(b->source.space);
    }
    gather_close(b->hart);
    if (unlikely(b->removed))
        tables_release(b);
}

/*
 * As space_enter(), but on success the hart is busy. The plain case needs no call: the capability
 * is there and the lock free; what is not plain is found out in full.
 */
static inline struct space *batch_space(struct thread *t, struct hart *h, uint64_t slot,
                                        long *error)
{
    for (;;) {
        hart_busy(h);
        struct cap *c = plain_cap(t, slot, CAP_SPACE, RIGHT_MAP);
        struct space *s = c ? c->object : NULL;
        if (likely(s != NULL && space_trylock(s))) {
            if (likely(!s->dying))
                return s;
            space_unlock(s);
        }
        s = space_try_enter(t, slot, RIGHT_MAP, error);
        if (s != NULL)
            return s;
        hart_idle(h);
        if (*error != ERR_AGAIN)
            return NULL;
        arch_relax();
    }
}

static inline void batch_begin(struct batch *b, struct thread *t, struct space *s)
{
    b->thread = t;
    b->hart = this_hart();
    b->space = s;
    b->page = t->operation_page;
    b->blocks = b->hart->blocks;
    b->results = 0;
    batch_forget(b);
    b->work = BATCH_REST_ENTRIES;
    b->mapped = b->unmapped = 0;
    gather_begin(&b->gather, s);
    b->source.space = NULL;
    b->fresh_at = NULL;
    b->removed = 0;
    gather_open(b->hart);
}

struct batch_answer batch_perform(struct thread *t, uint64_t slot, uint64_t count)
{
    struct batch b;
    struct hart *h = this_hart();
    struct batch_answer answer = {0, -ERR_STATE}; /* without an operation page */

    if (count > BATCH_OPS_MAX)
        return (struct batch_answer){-ERR_LIMIT, 0};
    struct space *s = batch_space(t, h, slot, &answer.stopped);
    if (s == NULL)
        return (struct batch_answer){-answer.stopped, 0};
    batch_begin(&b, t, s);
    if (likely(b.page != NULL)) {
        answer.stopped = 0;
        answer.performed = (long)perform_all(&b, count, &answer.stopped);
    }
    hart_idle(h);
    batch_end(&b);
    h->counter[COUNT_batch]++;
    h->counter[COUNT_batch_op] += (uint64_t)answer.performed;
    h->counter[COUNT_pages_mapped] += b.mapped;
    h->counter[COUNT_pages_unmapped] += b.unmapped;
    return answer;
}

long call_batch(struct thread *t, struct call_args *c)
{
    struct batch_answer answer = batch_perform(t, c->a[0], c->a[1]);

    c->out[0] = (uint64_t)answer.stopped;
    return answer.performed;
}

struct batch_answer batch_native(uint64_t space, uint64_t count, uint64_t a2, uint64_t a3,
                                 uint64_t a4, uint64_t a5, struct thread *t)
{
    struct hart *h = this_hart();

    (void)a2, (void)a3, (void)a4, (void)a5;
    h->current = t;
    t->state = THREAD_RUNNING;
    h->counter[COUNT_trap_slow]++;
    struct batch_answer answer = batch_perform(t, space, count);
    if (unlikely(answer.performed < 0))
        h->counter[COUNT_call_error]++;
    if (unlikely(h->look_again))
        arch_interrupt_hart((unsigned)h->id);
    return answer;
}

/*
 * ---- a batch that is an answer, to a fault or a call ----
 *
 * A client on the straight path stays there while its worker's batch is performed: its state is
 * this hart's. One that was taken on the slow path may go meanwhile.
 */

/* Is w's client one that can be answered so, on the straight path? */
static inline bool waits_straight(const struct thread *c)
{
    return c->state == THREAD_FAULT || c->state == THREAD_CALL;
}

/* The same, taken on the slow path. */
static bool slow_client(struct thread *w)
{
    kernel_lock();
    struct thread *c = w->serves ? client_of_locked(w) : NULL;
    bool has = c && (c->event == EVENT_FAULT || c->event == EVENT_CALL);
    kernel_unlock();
    return has;
}

struct batch_answer batch_reply(struct thread *w, uint64_t space, uint64_t count,
                                struct batch_answer so_far)
{
    struct hart *h = this_hart();

    if (unlikely(so_far.stopped))
        return so_far;
    if (unlikely(!waits_straight(w->client)) && !slow_client(w))
        return (struct batch_answer){-ERR_CLIENT, 0};
    struct batch_answer answer = batch_perform(w, space, count);
    if (likely(answer.performed >= 0 && !answer.stopped)) {
        hart_busy(h);
        batch_finished(w);
        hart_idle(h);
    }
    return answer;
}

long batch_reply_park_locked(struct thread *w, uint64_t value)
{
    struct thread *c = client_of_locked(w);

    return reply_park_locked(w, c && c->event == EVENT_CALL ? value : 0);
}

struct batch_answer reply_batch_full(uint64_t space, uint64_t count, uint64_t value,
                                     uint64_t stopped, uint64_t performed, uint64_t a5,
                                     struct thread *w)
{
    struct hart *h = this_hart();
    struct thread *c = w->client;
    struct batch_answer so_far = {(long)performed, (long)stopped};

    (void)a5;
    h->current = w;
    struct batch_answer answer = batch_reply(w, space, count, so_far);
    if (unlikely(answer.performed < 0 || answer.stopped)) {
        w->state = THREAD_RUNNING;
        h->counter[COUNT_trap_slow]++;
        if (answer.performed < 0)
            h->counter[COUNT_call_error]++;
        if (unlikely(h->look_again))
            arch_interrupt_hart((unsigned)h->id);
        return answer;
    }
    if (likely(waits_straight(c) && !w->attention)) {
        if (c->state == THREAD_CALL)
            c->x[10] = value;
        w->client = NULL;
        resume_full(c);
        return answer;
    }
    w->state = THREAD_RUNNING;
    kernel_lock();
    answer.stopped = batch_reply_park_locked(w, value);
    if (answer.stopped == 0)
        sched_run(h);
    else
        kernel_unlock();
    return answer;
}
