/*
 * Capabilities: looking them up, deriving, deleting, revoking.
 *
 * Derived entries form a tree. Two kinds of edges lead from an entry to what must go before it can:
 * to its children, and, from the primary capability of a table, to the entries in that table. Both
 * lead to a greater depth (struct cap), so that every walk down ends after CAP_DEPTH_MAX steps and
 * needs no recursion: cap_next_to_go() finds a place where nothing is below, that one goes, and the
 * walk begins anew. A call does a bounded number of these and answers ERR_AGAIN.
 *
 * When Memory may go. A derived Memory capability may have been given away, so it stays busy while
 * anything that was done with it can still be there. What is mapped is counted per 2 MiB block and
 * not per capability; so the rule errs on the safe side: a derived Memory can only be deleted while
 * no page of any block that it touches is mapped, by whomever, and, if it could give page tables
 * (RIGHT_KEEP), while none of its pages is one. Objects made of it are its children. Memory that
 * the boot gave (no parent) can always go.
 *
 * What is busy does not hold up its siblings: it goes to the end of their list, and the others are
 * tried first. So one revocation takes a thread away and then the endpoint that its route named.
 *
 * Locks: all of this under the kernel lock, except cap_lookup() and cap_entry(), whose callers may
 * be inside hart_busy() instead.
 */
#include "kernel/cap.h"

#include "arch/arch.h"
#include "kernel/assert.h"
#include "kernel/block.h"
#include "kernel/call.h"
#include "kernel/gather.h"
#include "kernel/hart.h"
#include "kernel/ipc.h"
#include "kernel/object.h"

#define STEPS_PER_CALL  32   /* entries that one call may remove */
#define SCAN_PER_STEP   1024 /* entries that one step may look at */
#define BLOCKS_PER_STEP 512  /* blocks that one step may look at */
#define FORBID_ALL      (~0UL)
#define NO_PAGE         (1UL << 63) /* no page lies in an extent that starts there */
#define RIGHTS_NONE     0

/* Looking up. */

static struct cap *cap_present(struct thread *t, uint64_t slot, long *error)
{
    if (unlikely(slot >= t->table_size)) {
        *error = ERR_SLOT;
        return NULL;
    }
    struct cap *c = &t->table_caps[slot];
    if (unlikely(c->type == CAP_NONE)) {
        *error = ERR_EMPTY;
        return NULL;
    }
    return c;
}

struct cap *cap_lookup(struct thread *t, uint64_t slot, enum cap_type type, uint8_t rights,
                       long *error)
{
    struct cap *c = cap_present(t, slot, error);
    if (unlikely(c == NULL))
        return NULL;
    if (unlikely(c->type != type)) {
        *error = ERR_TYPE;
        return NULL;
    }
    if (unlikely(rights & ~c->rights)) {
        *error = ERR_RIGHTS;
        return NULL;
    }
    return c;
}

struct cap *cap_entry(struct thread *t, uint64_t table, uint64_t index, long *error)
{
    struct cap *caps = t->table_caps;
    uint64_t size = t->table_size;

    if (table != SELF_TABLE) {
        struct cap *c = cap_lookup(t, table, CAP_TABLE, RIGHT_CONTROL, error);
        if (c == NULL)
            return NULL;
        struct table *named = c->object;
        caps = named->caps;
        size = named->size;
    }
    if (index >= size) {
        *error = ERR_SLOT;
        return NULL;
    }
    return &caps[index];
}

uint64_t cap_forbid(uint8_t rights)
{
    uint64_t allowed = ENTRY_CHOICE;

    if (!(rights & RIGHT_WRITE))
        allowed &= ~(ENTRY_W | ENTRY_D);
    if (!(rights & RIGHT_EXEC))
        allowed &= ~ENTRY_X;
    if ((rights & RIGHT_IO) && (arch_features & BOOT_HAS_SVPBMT))
        allowed |= ENTRY_PBMT_NC | ENTRY_PBMT_IO;
    if (arch_features & BOOT_HAS_SVNAPOT)
        allowed |= ENTRY_N;
    return ~allowed;
}

/* Entries. */

/* What every entry is before it is made and after it is removed. */
static void cap_set_empty(struct cap *c)
{
    uint8_t table_depth = c->table_depth;
    *c = (struct cap){.forbid = FORBID_ALL, .first = NO_PAGE, .table_depth = table_depth};
}

void cap_table_init(struct table *table, struct cap *caps, uint64_t size, unsigned depth)
{
    kassert(depth <= CAP_DEPTH_MAX);
    *table = (struct table){.caps = caps, .size = size};
    for (uint64_t i = 0; i < size; i++) {
        caps[i].table_depth = (uint8_t)depth;
        cap_set_empty(&caps[i]);
    }
}

unsigned cap_depth_at(const struct cap *parent, const struct cap *c)
{
    unsigned above = parent && parent->depth > c->table_depth ? parent->depth : c->table_depth;
    return above + 1;
}

/*
 * Siblings: `next` ends with NULL; `prev` goes round, so that the first one's leads to the last.
 */
static void cap_link(struct cap *c, struct cap *parent)
{
    unsigned depth = cap_depth_at(parent, c);
    kassert(depth <= CAP_DEPTH_MAX + 1); /* + 1: a Reply in the deepest table */
    c->depth = (uint8_t)depth;
    c->parent = parent;
    if (parent == NULL)
        return;
    c->next = parent->child;
    c->prev = c->next ? c->next->prev : c;
    if (c->next)
        c->next->prev = c;
    parent->child = c;
}

static void cap_unlink(struct cap *c)
{
    struct cap *parent = c->parent;
    if (parent == NULL)
        return;
    if (parent->child == c)
        parent->child = c->next;
    else
        c->prev->next = c->next;
    if (c->next)
        c->next->prev = c->prev;
    else if (parent->child)
        parent->child->prev = c->prev;
}

/* Make it the last of its siblings. */
static void cap_rotate(struct cap *c)
{
    struct cap *parent = c->parent;
    cap_unlink(c);
    c->next = NULL;
    if (parent->child == NULL) {
        c->prev = c;
        parent->child = c;
        return;
    }
    c->prev = parent->child->prev;
    c->prev->next = c;
    parent->child->prev = c;
}

/* Memory that no block counter covers can be named but not mapped. */
static uint64_t memory_forbid(uint64_t first, uint64_t pages, uint8_t rights)
{
    return first + pages > block_total << TABLE_SHIFT ? FORBID_ALL : cap_forbid(rights);
}

/*
 * Readers without a lock load the fields of Memory in any order. With an entry that was empty
 * before (forbids all, starts nowhere, has no pages) every mixture of old and new refuses.
 */
void cap_fill_memory(struct cap *c, struct cap *parent, uint64_t first, uint64_t pages,
                     uint8_t rights, uint32_t node)
{
    kassert(c->type == CAP_NONE && pages > 0 && first < NO_PAGE - pages);
    cap_link(c, parent);
    c->first = first;
    c->pages = pages;
    c->node = (uint16_t)node;
    c->rights = rights;
    c->primary = false;
    __atomic_store_n(&c->forbid, memory_forbid(first, pages, rights), __ATOMIC_RELEASE);
    __atomic_store_n(&c->type, CAP_MEMORY, __ATOMIC_RELEASE);
}

/* Of other types the object is followed: it must be seen by all before the type is by any. */
void cap_fill_object(struct cap *c, struct cap *parent, enum cap_type type, void *object,
                     uint64_t badge, uint8_t rights, bool primary)
{
    kassert(c->type == CAP_NONE && type > CAP_MEMORY && type < CAP_TYPES);
    cap_link(c, parent);
    c->forbid = FORBID_ALL;
    c->object = object;
    c->badge = badge;
    c->primary = primary;
    harts_quiesce();
    c->rights = rights;
    __atomic_store_n(&c->type, (uint8_t)type, __ATOMIC_RELEASE);
}

void cap_clear(struct cap *c)
{
    kassert(kernel_lock_held() && c->type != CAP_NONE && c->child == NULL);
    __atomic_store_n(&c->type, CAP_NONE, __ATOMIC_RELAXED);
    __atomic_store_n(&c->rights, RIGHTS_NONE, __ATOMIC_RELAXED);
    __atomic_store_n(&c->forbid, FORBID_ALL, __ATOMIC_RELAXED);
    harts_quiesce();
    cap_unlink(c);
    cap_set_empty(c);
}

/* Removing Memory. */

/* Is a page of [first, end), all in one tables block, a page table? */
static bool page_tables_in(pfn_t first, pfn_t end)
{
    for (pfn_t page = first; page < end; page++) {
        const uint64_t *word = page_directory(page);
        if (word && page_word_use(*word) == PAGE_TABLE)
            return true;
    }
    return false;
}

/* The pages are all in one block. */
static bool block_in_use(pfn_t first, pfn_t end, uint8_t rights)
{
    if (first >> TABLE_SHIFT >= block_total)
        return false;
    int32_t count = __atomic_load_n(&block_count[first >> TABLE_SHIFT], __ATOMIC_ACQUIRE);
    if (count >= 0)
        return count > 0;
    return (rights & RIGHT_KEEP) && page_tables_in(first, end);
}

static bool extent_in_use(pfn_t first, uint64_t pages, uint8_t rights)
{
    pfn_t end = first + pages;
    while (first < end) {
        pfn_t next = (first | (PAGES_PER_BLOCK - 1)) + 1;
        if (next > end)
            next = end;
        if (block_in_use(first, next, rights))
            return true;
        first = next;
    }
    return false;
}

/*
 * Make sure that nothing done with a derived Memory is left. The entry is out of use while that is
 * looked at: a reply on another hart that had it in hand has counted its mapping by then. A batch
 * takes its counts down before its fence, so while one is under way nothing is sure. A very large
 * extent goes from its front, a bounded part per call.
 */
static long memory_remove(struct cap *c)
{
    uint64_t pages = BLOCKS_PER_STEP * PAGES_PER_BLOCK - c->first % PAGES_PER_BLOCK;
    uint8_t rights = c->rights;
    long result = 0;

    if (c->parent == NULL)
        return 0;
    if (pages > c->pages)
        pages = c->pages;
    if (extent_in_use(c->first, pages, rights))
        return -ERR_BUSY;
    __atomic_store_n(&c->rights, RIGHTS_NONE, __ATOMIC_RELAXED);
    __atomic_store_n(&c->forbid, FORBID_ALL, __ATOMIC_RELAXED);
    harts_quiesce();
    if (extent_in_use(c->first, pages, rights)) {
        result = -ERR_BUSY;
    } else if (gather_pending()) {
        result = -ERR_AGAIN; /* not mapped any more, but a hart may still use a translation */
    } else if (pages < c->pages) {
        result = -ERR_AGAIN;
        c->first += pages;
        c->pages -= pages;
        harts_quiesce(); /* nobody may pair the old extent with the rights given back below */
    }
    if (result) {
        c->rights = rights;
        __atomic_store_n(&c->forbid, memory_forbid(c->first, c->pages, rights), __ATOMIC_RELEASE);
    }
    return result;
}

/* Removing anything. */

/* The first entry of a table that is in the way of its removal; the primary capability of the table
 * itself, if it stands in it, is not. */
static struct cap *table_entry_left(struct table *table, const struct cap *primary, long *error)
{
    for (unsigned i = 0; table->swept < table->size; i++) {
        struct cap *c = &table->caps[table->swept];
        if (c->type != CAP_NONE && c != primary)
            return c;
        if (i == SCAN_PER_STEP) {
            *error = -ERR_AGAIN;
            return NULL;
        }
        table->swept++;
    }
    return NULL;
}

/*
 * Walk down from c to an entry that can go at once. A table on the way is in destruction from then
 * on: its only capability has no rights any more, so that nothing new comes into it.
 */
static struct cap *cap_next_to_go(struct cap *c, long *error)
{
    *error = 0;
    for (unsigned depth = 0; depth <= CAP_DEPTH_MAX + 1; depth++) {
        struct cap *below = c->child;
        if (below == NULL && c->type == CAP_TABLE && c->primary) {
            struct table *table = c->object;
            if (table->users) {
                *error = -ERR_BUSY;
                return NULL;
            }
            c->rights = RIGHTS_NONE;
            below = table_entry_left(table, c, error);
            if (*error)
                return NULL;
        }
        if (below == NULL)
            return c;
        c = below;
    }
    kernel_panic(__FILE__, __LINE__, "capabilities deeper than their limit");
}

/* Remove an entry with nothing below it. */
static long cap_remove_last(struct cap *c)
{
    void *object = c->object;
    long error = 0;

    if (c->type == CAP_MEMORY)
        error = memory_remove(c);
    else if (c->type == CAP_INTERRUPT)
        interrupt_unbind_locked(object); /* whoever was served by it is no longer */
    else if (c->primary)
        error = object_destroy(c->type, object);
    if (error == -ERR_AGAIN && c->type != CAP_MEMORY)
        c->rights = RIGHTS_NONE;
    if (error)
        return error;

    enum cap_type type = c->type;
    bool primary = c->primary;
    cap_clear(c);
    if (type == CAP_REPLY)
        reply_abandon_locked(object);
    else if (primary)
        object_release(type, object);
    return 0;
}

long cap_remove(struct cap *c)
{
    if (c->child)
        return -ERR_CHILDREN;
    for (unsigned i = 0; i < STEPS_PER_CALL; i++) {
        long error;
        struct cap *last = cap_next_to_go(c, &error);
        if (last)
            error = cap_remove_last(last);
        if (error || last == c)
            return error;
    }
    return -ERR_AGAIN;
}

/* One step of revocation. What turned out busy, and what waits for it, is put behind its siblings.
 */
static long cap_revoke_step(struct cap *c)
{
    long error;
    struct cap *top = c->child;
    struct cap *last = cap_next_to_go(top, &error);
    if (last)
        error = cap_remove_last(last);
    if (error != -ERR_BUSY)
        return error;
    /* A table in use on the way: whatever is first in each row below `top` steps back. */
    if (!last)
        for (last = top; last->child; last = last->child)
            ;
    for (; last && last != c && last != top && last->parent; last = last->parent)
        cap_rotate(last);
    cap_rotate(top);
    return error;
}

long cap_revoke(struct cap *c, unsigned budget)
{
    unsigned removed = 0;
    for (unsigned i = 0; i < budget && c->child; i++) {
        long error = cap_revoke_step(c);
        if (error == -ERR_AGAIN)
            return error;
        removed += error == 0;
    }
    if (c->child == NULL)
        return 0;
    return removed ? -ERR_AGAIN : -ERR_BUSY;
}

/* Calls. */

struct copy {
    struct cap *source, *to;
    uint64_t first;
    uint64_t pages; /* Memory */
    uint64_t badge; /* others */
    uint8_t rights;
};

static long decode_copy_extent(struct copy *k, uint64_t first, uint64_t pages)
{
    const struct cap *source = k->source;
    if (first >= source->pages || pages > source->pages - first)
        return -ERR_RANGE;
    k->first = source->first + first;
    k->pages = pages ? pages : source->pages - first;
    k->rights |= source->rights & RIGHT_IO; /* device memory stays device memory */
    return 0;
}

static long decode_copy_badge(struct copy *k, uint64_t first, uint64_t pages)
{
    const struct cap *source = k->source;
    k->badge = source->badge;
    if (pages)
        return -ERR_ARGUMENT;
    switch (source->type) {
    case CAP_ENDPOINT:
        if (first && source->badge && first != source->badge)
            return -ERR_ARGUMENT;
        k->badge = source->badge ? source->badge : first;
        return 0;
    case CAP_NOTIFICATION:
        if (first)
            k->badge = source->badge ? source->badge & first : first;
        return first && !k->badge ? -ERR_ARGUMENT : 0; /* no bit left would mean all */
    case CAP_REPLY:
        return -ERR_TYPE;
    default:
        return first ? -ERR_ARGUMENT : 0;
    }
}

static long decode_copy(struct thread *t, const struct call_args *c, struct copy *k)
{
    long error;
    k->source = cap_present(t, c->a[0], &error);
    if (k->source == NULL)
        return -error;
    if (k->source->type == CAP_REPLY)
        return -ERR_TYPE;
    if (!(k->source->rights & RIGHT_COPY_ON))
        return -ERR_RIGHTS;
    k->to = cap_entry(t, c->a[1], c->a[2], &error);
    if (k->to == NULL)
        return -error;
    if (k->to->type != CAP_NONE)
        return -ERR_OCCUPIED;
    if (cap_depth_at(k->source, k->to) > CAP_DEPTH_MAX)
        return -ERR_LIMIT;
    if (c->a[3] > UINT8_MAX)
        return -ERR_ARGUMENT;
    k->rights = k->source->rights & (uint8_t)c->a[3];
    if (k->source->type == CAP_MEMORY)
        return decode_copy_extent(k, c->a[4], c->a[5]);
    return decode_copy_badge(k, c->a[4], c->a[5]);
}

static void perform_copy(const struct copy *k)
{
    if (k->source->type == CAP_MEMORY)
        cap_fill_memory(k->to, k->source, k->first, k->pages, k->rights, k->source->node);
    else
        cap_fill_object(k->to, k->source, k->source->type, k->source->object, k->badge, k->rights,
                        false);
}

long call_cap_copy(struct thread *t, struct call_args *c)
{
    struct copy copy = {0};
    kernel_lock();
    long result = decode_copy(t, c, &copy);
    if (result == 0)
        perform_copy(&copy);
    kernel_unlock();
    return result;
}

/* The entry (table, index) if something stands there. */
static struct cap *decode_entry(struct thread *t, const struct call_args *c, long *error)
{
    struct cap *entry = cap_entry(t, c->a[0], c->a[1], error);
    if (entry && entry->type == CAP_NONE) {
        *error = ERR_EMPTY;
        return NULL;
    }
    return entry;
}

long call_cap_delete(struct thread *t, struct call_args *c)
{
    long error;
    kernel_lock();
    struct cap *entry = decode_entry(t, c, &error);
    long result = entry ? cap_remove(entry) : -error;
    kernel_unlock();
    return result;
}

long call_cap_revoke(struct thread *t, struct call_args *c)
{
    long error;
    kernel_lock();
    struct cap *entry = decode_entry(t, c, &error);
    long result = entry ? cap_revoke(entry, STEPS_PER_CALL) : -error;
    kernel_unlock();
    return result;
}

long call_cap_read(struct thread *t, struct call_args *c)
{
    long error;
    kernel_lock();
    struct cap *entry = decode_entry(t, c, &error);
    long result = -error;
    if (entry) {
        bool memory = entry->type == CAP_MEMORY;
        c->out[0] = memory ? entry->first : entry->badge;
        c->out[1] = memory ? entry->pages : 0;
        result = entry->type | (long)entry->rights << 8;
    }
    kernel_unlock();
    return result;
}
