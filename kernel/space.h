/*
 * Address spaces: a root table, an ASID with a generation, the threads in it.
 *
 * Entries of a space's tables change by compare-and-swap or swap, because a fault reply installs
 * leaves without a lock. Tables themselves come and go under the space's lock; a table is taken
 * out in the order: unlink, forget the threads' cached leaf, harts_quiesce(), fence, release.
 *
 * Where translations may be: `running` has a bit for each hart that runs the space or has one of
 * its workers bound; `stale` has a bit for each hart that must fence the ASID before it runs the
 * space again. A fence first sets `stale` for all harts that are not running it, then sends to
 * those that are (kernel/gather.c has the argument why none is missed).
 *
 * The root that a hart has loaded (its live satp) is always that of a space which counts as running
 * there, or the kernel's own (arch_satp_kernel). So tables that are not reachable from a running
 * space are never walked, not even by speculation.
 *
 * Lock order: space locks, lower address first; then the kernel lock. Who waits for a space lock is
 * not busy (kernel/hart.h), because the holder may be in harts_quiesce(). Holding the lock, or a
 * count in `holders`, keeps the space from being destroyed.
 */
#ifndef KERNEL_SPACE_H
#define KERNEL_SPACE_H

#include "arch/arch.h"
#include "kernel/assert.h"
#include "kernel/types.h"
#include "kernel/thread.h"

/* Where the server's linear map of physical memory begins: there stands physical address 0. */
#define SPACE_LINEAR_BASE 0x1000000000UL

/*
 * The ASID of a space: its number in the low bits, the generation above. Number 0 is shared by all
 * spaces that got no number: each switch to one of them fences. With fewer than ASID_BITS_ENOUGH
 * bits implemented a pinned space may be among them, and then every satp write, on the straight
 * paths too, must be followed by a fence.
 */
#define ASID_NUMBER_BITS 16
#define ASID_NUMBER_MASK ((1UL << ASID_NUMBER_BITS) - 1)
#define ASID_BITS_ENOUGH 8

struct space {
    uint64_t *root; /* kernel address of the root table */
    pfn_t root_pfn; /* the page after the object's own is the root table */
    pfn_t self_pfn;
    uint64_t asid;    /* low bits: number; rest: generation */
    uint64_t pinned;  /* harts with workers bound in it: its ASID never changes */
    uint64_t running; /* bit per hart */
    uint64_t seen;    /* harts that may hold translations of it */
    uint64_t stale;
    uint64_t code_stale; /* harts that must fence their instruction fetch before they run it */
    uint32_t lock;
    uint32_t dying;
    uint32_t holders; /* calls that still fence for it after they released the lock */
    uint64_t tables;  /* page tables in it, the root excepted */
    struct thread_list threads;
    uint64_t thread_count;
    vaddr_t linear_end;  /* nonzero: the memory server's own; its linear map lies below */
    vaddr_t sweep;       /* call_space_drop resumes here */
    uint64_t drop_first; /* the extent that `sweep` is about */
    uint64_t drop_pages;
    uint16_t pins[HARTS_MAX]; /* workers bound on each hart */
    LIST_ENTRY(space) pinned_link;
};

extern unsigned space_levels; /* 3, 4 or 5 */
extern vaddr_t space_user_end;
/* The memory server's space: its linear map follows the blocks' classes. NULL without one. */
extern struct space *space_server;
/* The calling hart is not busy and does not hold the kernel lock. */
void space_lock(struct space *s);
static inline bool space_trylock(struct space *s)
{
    return !__atomic_exchange_n(&s->lock, 1, __ATOMIC_ACQUIRE);
}
static inline void space_unlock(struct space *s)
{
    kassert(s->lock);
    __atomic_store_n(&s->lock, 0, __ATOMIC_RELEASE);
}
/* Lock the space named by a Space capability of `t` with `rights`; no lock held. NULL and a
 * positive *error if there is no such capability or the space is being destroyed. */
struct space *space_enter(struct thread *t, uint64_t slot, uint8_t rights, long *error);
/* One attempt of the same; the calling hart is busy and stays so. *error = ERR_AGAIN: it is locked.
 */
struct space *space_try_enter(struct thread *t, uint64_t slot, uint8_t rights, long *error);
/* The space's lock held: keep the space in being after the lock is released, until space_drop_hold.
 */
static inline void space_hold(struct space *s)
{
    kassert(s->lock);
    __atomic_fetch_add(&s->holders, 1, __ATOMIC_RELAXED);
}
static inline void space_drop_hold(struct space *s)
{
    __atomic_fetch_sub(&s->holders, 1, __ATOMIC_RELEASE);
}

/* Kernel lock held. `root` is a zeroed table page; the kernel half is copied into it. */
void space_init(struct space *s, pfn_t self_pfn, pfn_t root_pfn);
/* Kernel lock held. One bounded step of destruction: 0 when all but the root page and the object's
 * own page is released, -ERR_AGAIN, or -ERR_BUSY while threads or workers are in it. The caller
 * then clears the capability, calls harts_quiesce() and releases those two pages. */
long space_destroy_step(struct space *s);

/* The slot of `address` at `level` (0: 4 KiB leaf) or NULL if a table is missing on the way
 * or a larger leaf stands there (*found_level says at which level it stopped). */
uint64_t *space_slot(struct space *s, vaddr_t address, unsigned level, unsigned *found_level);

/* The table whose entries of that level lead to `address`, which lies in user space, or NULL if
 * there is none. The hart is busy, or the space or the kernel is locked. */
static inline uint64_t *space_table(const struct space *s, vaddr_t address, unsigned level)
{
    uint64_t *table = s->root;

    for (unsigned shift = PAGE_SHIFT + TABLE_SHIFT * (space_levels - 1);
         shift > PAGE_SHIFT + TABLE_SHIFT * level; shift -= TABLE_SHIFT) {
        uint64_t entry =
            __atomic_load_n(&table[(address >> shift) & (TABLE_ENTRIES - 1)], __ATOMIC_RELAXED);
        if (unlikely(!entry_is_table(entry)))
            return NULL;
        table = page_to_virt(entry_page(entry));
    }
    return table;
}

/* The same for the leaf table, as each fault wants it: a walk of known depth, but for what Sv48 and
 * Sv57 have above Sv39. */
static inline uint64_t *space_leaf_table(const struct space *s, vaddr_t address)
{
    uint64_t *table = s->root;

/* One level down, with a shift that the compiler knows where it can be one. */
#define DOWN(shift)                                                                                \
    do {                                                                                           \
        uint64_t entry_ =                                                                          \
            __atomic_load_n(&table[(address >> (shift)) & (TABLE_ENTRIES - 1)], __ATOMIC_RELAXED); \
        if (unlikely(!entry_is_table(entry_)))                                                     \
            return NULL;                                                                           \
        table = page_to_virt(entry_page(entry_));                                                  \
    } while (0)
    if (unlikely(space_levels > 3)) {
        for (unsigned shift = PAGE_SHIFT + TABLE_SHIFT * (space_levels - 1);
             shift > PAGE_SHIFT + TABLE_SHIFT * 2; shift -= TABLE_SHIFT)
            DOWN(shift);
    }
    DOWN(PAGE_SHIFT + TABLE_SHIFT * 2);
    DOWN(PAGE_SHIFT + TABLE_SHIFT);
#undef DOWN
    return table;
}

/* copy.c. The memory at `address` of s up to the end of its page, or NULL if user mode could not
 * read (write) it, or it is no memory but registers. Marks the entry accessed (dirty) as the
 * hardware would. The space is locked, and the hart is busy while the memory is touched. s NULL:
 * the kernel's own. */
uint8_t *user_page(struct space *s, vaddr_t address, bool write);

/* Does [address, address + bytes) touch the memory server's linear map? */
static inline bool space_in_linear(const struct space *s, vaddr_t address, uint64_t bytes)
{
    return s->linear_end && address < s->linear_end && address + bytes > SPACE_LINEAR_BASE;
}

/*
 * The leaf table of `address` in t's space goes into `leaf`, which is t's: false if there is none.
 * The hart is busy, or the kernel lock held: a table that goes meanwhile is forgotten again
 * (batch_table.c). `known`: by the walk of known depth, which is shorter to do and longer to write.
 */
static inline __attribute__((always_inline)) bool
space_leaf_look(const struct thread *t, struct leaf_cache *leaf, vaddr_t address, bool known)
{
    const struct space *s = t->space;

    if (unlikely(s == NULL || address >= space_user_end || space_in_linear(s, address, 1)))
        return false;
    uint64_t *table = known ? space_leaf_table(s, address) : space_table(s, address, 0);
    if (unlikely(table == NULL))
        return false;
    leaf_cache_set(leaf, address, table);
    return true;
}

static inline __attribute__((always_inline)) bool space_leaf_find(struct thread *t, vaddr_t address)
{
    return space_leaf_look(t, &t->leaf, address, false);
}

/* n live leaf entries that pointed into this 2 MiB block are gone. */
void space_leaf_put(uint64_t block, uint32_t n);

/*
 * Kernel lock held. Hart h, which is this one, is about to run `s`: marks, loads its root, fences
 * if stale, gives the satp value. A space that is pinned here does not replace h->space_active.
 * Where space_active changes, this hart's workers can no longer answer clients of the old space
 * straight.
 */
uint64_t space_activate(struct space *s, struct hart *h);
/* Kernel lock held. This hart runs no client space any more (its satp already is another). */
void space_leave(struct hart *h);
/* Kernel lock held. A worker in `s` is bound to hart h: from now on the satp value that is answered
 * is right on any hart. */
uint64_t space_pin(struct space *s, struct hart *h);
/* Kernel lock held. A worker in `s` was unbound from hart h. */
void space_unpin(struct space *s, struct hart *h);

/*
 * No lock held. A 2 MiB block of memory becomes writable or read-only in the server's linear map,
 * fences included; without a server in user mode there is no such map. When a block was made
 * read-only, no hart uses any older translation to it, nor still copies into it.
 */
void space_server_block(pfn_t first_page, bool writable);

#endif
