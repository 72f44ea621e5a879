/*
 * Checked copies between address spaces, and between the kernel and its caller.
 *
 * Pages are found by walking the tables and touched through the kernel's linear map, so a copy
 * never faults. Both spaces are locked meanwhile: no page that is being copied can be unmapped and
 * put to another use, and no table can vanish. Each page is copied inside hart_busy(), because the
 * memory server's linear map loses its write permission by the kernel lock and harts_quiesce(), not
 * by the space's lock (space_server_block).
 *
 * A caller without a space is the in-kernel pager: its addresses are the kernel's own, and trusted.
 */
#include "arch/arch.h"
#include "kernel/assert.h"
#include "kernel/block.h"
#include "kernel/call.h"
#include "kernel/cap.h"
#include "kernel/space.h"
#include <string.h>

/* The memory at `address` by the leaf in `slot`, which covers 1 << order pages. */
static inline uint8_t *leaf_memory(uint64_t *slot, vaddr_t address, bool write, unsigned order)
{
    uint64_t need = ENTRY_V | ENTRY_U | (write ? ENTRY_W : ENTRY_R);
    uint64_t mark = ENTRY_A | (write ? ENTRY_D : 0);
    uint64_t entry = __atomic_load_n(slot, __ATOMIC_RELAXED), within = (1UL << order) - 1;

    if (unlikely(!entry_is_leaf(entry) || (entry & need) != need))
        return NULL;
    if (unlikely((entry & mark) != mark))
        __atomic_fetch_or(slot, mark, __ATOMIC_RELAXED);
    if (unlikely(entry & ENTRY_N))
        within = 15;
    pfn_t page = (entry_page(entry) & ~within) | ((address >> PAGE_SHIFT) & within);
    if (unlikely(page < memory_first_page))
        return NULL; /* registers */
    return (uint8_t *)page_to_virt(page) + (address & (PAGE_BYTES - 1));
}

/* The same of a large leaf, or of no leaf at all. */
static __attribute__((noinline)) uint8_t *large_memory(uint64_t *slot, vaddr_t address, bool write,
                                                       unsigned order)
{
    return leaf_memory(slot, address, write, order);
}

/* From the slot that a table stands in to that of `address` in it; false if none does. */
static inline bool slot_below(uint64_t **slot, vaddr_t address, unsigned order)
{
    uint64_t entry = __atomic_load_n(*slot, __ATOMIC_RELAXED);

    if (unlikely(!entry_is_table(entry)))
        return false;
    uint64_t *table = page_to_virt(entry_page(entry));
    *slot = &table[address >> (PAGE_SHIFT + order) & (TABLE_ENTRIES - 1)];
    return true;
}

/* Most of what a small copy costs is here, so the walk is its own, of known depth but for what Sv48
 * and Sv57 have above Sv39. */
uint8_t *user_page(struct space *s, vaddr_t address, bool write)
{
    unsigned order = TABLE_SHIFT * 2;

    if (unlikely(s == NULL))
        return (uint8_t *)address;
    if (unlikely(address >= space_user_end))
        return NULL;
    if (unlikely(space_levels > 3))
        order = TABLE_SHIFT * (space_levels - 1);
    uint64_t *slot = &s->root[address >> (PAGE_SHIFT + order) & (TABLE_ENTRIES - 1)];
    for (; unlikely(order > TABLE_SHIFT * 2); order -= TABLE_SHIFT)
        if (!slot_below(&slot, address, order - TABLE_SHIFT))
            return large_memory(slot, address, write, order);
    if (!slot_below(&slot, address, TABLE_SHIFT))
        return large_memory(slot, address, write, TABLE_SHIFT * 2);
    if (!slot_below(&slot, address, 0))
        return large_memory(slot, address, write, TABLE_SHIFT);
    return leaf_memory(slot, address, write, 0);
}

static inline size_t to_page_end(vaddr_t address)
{
    return PAGE_BYTES - (address & (PAGE_BYTES - 1));
}

static inline size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Lock the remote space, and the caller's own if it has one: the lower address first. */
static struct space *both_enter(struct thread *t, uint64_t slot, long *error)
{
    struct hart *h = this_hart();
    struct space *own = t->space;

    for (;;) {
        hart_busy(h);
        struct cap *c = cap_lookup(t, slot, CAP_SPACE, RIGHT_COPY, error);
        struct space *s = c ? c->object : NULL;
        bool own_first = own != NULL && own < s;
        bool locked = s != NULL && (!own_first || space_trylock(own));
        if (locked) {
            s = space_try_enter(t, slot, RIGHT_COPY, error);
            if (s == NULL && own_first)
                space_unlock(own);
        } else {
            *error = s ? ERR_AGAIN : *error;
            s = NULL;
        }
        hart_idle(h);
        if (s != NULL && own != NULL && own > s)
            space_lock(own);
        if (s != NULL || *error != ERR_AGAIN)
            return s;
        arch_relax();
    }
}

static void both_leave(struct thread *t, struct space *s)
{
    if (t->space != NULL && t->space != s)
        space_unlock(t->space);
    space_unlock(s);
}

/* One page's worth; 0 where either side does not allow it. */
static size_t copy_some(struct thread *t, struct space *s, vaddr_t remote, vaddr_t local,
                        size_t bytes, bool to_space)
{
    struct hart *h = this_hart();
    size_t n = least(bytes, least(to_page_end(remote), to_page_end(local)));

    hart_busy(h);
    uint8_t *there = user_page(s, remote, to_space);
    uint8_t *here = there ? user_page(t->space, local, !to_space) : NULL;
    if (here == NULL)
        n = 0;
    else if (to_space)
        memmove(there, here, n);
    else
        memmove(here, there, n);
    hart_idle(h);
    return n;
}

long call_space_copy(struct thread *t, struct call_args *c)
{
    vaddr_t remote = c->a[1], local = c->a[2];
    size_t bytes = least(c->a[3], COPY_MAX_BYTES), done = 0, n;
    long error = 0;

    if (c->a[4] != COPY_TO_SPACE && c->a[4] != COPY_FROM_SPACE)
        return -ERR_ARGUMENT;
    struct space *s = both_enter(t, c->a[0], &error);
    if (s == NULL)
        return -error;
    while (done < bytes && (n = copy_some(t, s, remote + done, local + done, bytes - done,
                                          c->a[4] == COPY_TO_SPACE)) != 0)
        done += n;
    both_leave(t, s);
    return (long)done;
}

/* Is all of [address, address + bytes) there? The space's lock is held. */
static bool caller_has(struct space *s, vaddr_t address, size_t bytes, bool write)
{
    for (size_t done = 0; done < bytes; done += to_page_end(address + done))
        if (user_page(s, address + done, write) == NULL)
            return false;
    return true;
}

/* The caller's memory and a kernel buffer, all or nothing. */
static long caller_copy(struct thread *t, vaddr_t address, void *buffer, size_t bytes,
                        bool to_caller)
{
    struct space *s = t->space;
    struct hart *h = this_hart();
    size_t n;

    if (s == NULL) {
        memcpy(to_caller ? (void *)address : buffer, to_caller ? buffer : (void *)address, bytes);
        return 0;
    }
    space_lock(s);
    hart_busy(h);
    bool ok = caller_has(s, address, bytes, to_caller);
    for (size_t done = 0; ok && done < bytes; done += n) {
        uint8_t *page = user_page(s, address + done, to_caller);
        uint8_t *part = (uint8_t *)buffer + done;
        n = least(bytes - done, to_page_end(address + done));
        memcpy(to_caller ? page : part, to_caller ? part : page, n);
    }
    hart_idle(h);
    space_unlock(s);
    return ok ? 0 : -ERR_ADDRESS;
}

long caller_copy_in(struct thread *t, void *to, vaddr_t from, size_t bytes)
{
    return caller_copy(t, from, to, bytes, false);
}

long caller_copy_out(struct thread *t, vaddr_t to, const void *from, size_t bytes)
{
    return caller_copy(t, to, (void *)(uintptr_t)from, bytes, true);
}
