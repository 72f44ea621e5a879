/*
 * Address spaces: finding and locking them, their tables, the memory server's linear map.
 * Which hart runs them is in space_run.c, taking them apart in space_clear.c.
 */
#include "kernel/space.h"
#include "arch/arch.h"
#include "kernel/assert.h"
#include "kernel/block.h"
#include "kernel/call.h"
#include "kernel/cap.h"
#include "kernel/gather.h"

unsigned space_levels;
vaddr_t space_user_end;
struct space *space_server;

void space_lock(struct space *s)
{
    kassert(!this_hart()->busy);
    while (!space_trylock(s))
        arch_relax();
}

/*
 * Between the look-up and the lock nothing but the busy flag keeps the space in being: destruction
 * clears the capability, waits for busy harts, and only then releases the object. With the lock
 * taken and `dying` not set, destruction cannot begin.
 */
struct space *space_try_enter(struct thread *t, uint64_t slot, uint8_t rights, long *error)
{
    struct cap *c = cap_lookup(t, slot, CAP_SPACE, rights, error);
    if (c == NULL)
        return NULL;
    struct space *s = c->object;
    if (!space_trylock(s)) {
        *error = ERR_AGAIN;
        return NULL;
    }
    if (s->dying) {
        space_unlock(s);
        *error = ERR_GONE;
        return NULL;
    }
    return s;
}

struct space *space_enter(struct thread *t, uint64_t slot, uint8_t rights, long *error)
{
    struct hart *h = this_hart();
    for (;;) {
        hart_busy(h);
        struct space *s = space_try_enter(t, slot, rights, error);
        hart_idle(h);
        if (s != NULL || *error != ERR_AGAIN)
            return s;
        arch_relax();
    }
}

void space_init(struct space *s, pfn_t self_pfn, pfn_t root_pfn)
{
    s->self_pfn = self_pfn;
    s->root_pfn = root_pfn;
    s->root = page_to_virt(root_pfn);
    TAILQ_INIT(&s->threads);
    arch_root_init(s->root);
}

uint64_t *space_slot(struct space *s, vaddr_t address, unsigned level, unsigned *found_level)
{
    uint64_t *table = s->root;
    unsigned l = space_levels - 1;

    kassert(level < space_levels);
    *found_level = space_levels;
    if (address >= space_user_end)
        return NULL;
    for (;; l--) {
        uint64_t *slot = &table[(address >> (PAGE_SHIFT + TABLE_SHIFT * l)) & (TABLE_ENTRIES - 1)];
        *found_level = l;
        if (l == level)
            return slot;
        uint64_t entry = __atomic_load_n(slot, __ATOMIC_RELAXED);
        if (!entry_is_table(entry))
            return NULL;
        table = page_to_virt(entry_page(entry));
    }
}

void space_leaf_put(uint64_t block, uint32_t n)
{
    /* Pages of the memory server's own image are mapped without being counted: no block of theirs
     * is data. A block with counted mappings is. */
    if (__atomic_load_n(&block_count[block], __ATOMIC_RELAXED) >= 0)
        block_put_n(block << TABLE_SHIFT, n);
}

static void writable_set(uint64_t *slot, bool writable)
{
    if (writable)
        __atomic_fetch_or(slot, ENTRY_W | ENTRY_D, __ATOMIC_RELAXED);
    else
        __atomic_fetch_and(slot, ~ENTRY_W, __ATOMIC_RELAXED);
}

/* Space lock held. The block stands in the linear map as one leaf, or as 512 small ones. */
static void linear_change(struct space *s, vaddr_t address, bool writable)
{
    unsigned level;
    uint64_t *slot = space_slot(s, address, 1, &level);

    kassert(slot != NULL && (*slot & ENTRY_V));
    if (entry_is_leaf(*slot)) {
        writable_set(slot, writable);
        return;
    }
    uint64_t *leaf = page_to_virt(entry_page(*slot));
    for (unsigned i = 0; i < TABLE_ENTRIES; i++)
        if (entry_is_leaf(leaf[i]))
            writable_set(&leaf[i], writable);
}

/*
 * Read-only: a worker may be inside a checked copy that found the old entry; such a copy is made
 * inside hart_busy(), page by page. The fence is for everything: the block's count may have reached
 * zero in a batch on another hart that has not yet sent its own fence.
 */
void space_server_block(pfn_t first_page, bool writable)
{
    struct space *s = space_server;
    vaddr_t address = SPACE_LINEAR_BASE + (first_page << PAGE_SHIFT);

    if (s != NULL) {
        kassert(address < s->linear_end);
        space_lock(s);
        linear_change(s, address, writable);
        space_unlock(s);
    }
    if (!writable) {
        kernel_lock();
        harts_quiesce();
        kernel_unlock();
        fence_everywhere();
    } else if (s != NULL) {
        struct gather g;
        gather_begin(&g, s);
        gather_range(&g, address, address + BLOCK_BYTES);
        gather_finish(&g);
    }
}

long call_space_info(struct thread *t, struct call_args *c)
{
    struct hart *h = this_hart();
    long result;

    hart_busy(h);
    struct cap *cap = cap_lookup(t, c->a[0], CAP_SPACE, 0, &result);
    if (cap == NULL) {
        result = -result;
    } else {
        result = (long)((struct space *)cap->object)->root_pfn;
        c->out[0] = space_levels;
    }
    hart_idle(h);
    return result;
}
