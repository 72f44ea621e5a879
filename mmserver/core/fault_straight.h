/*
 * What the straight ways of a fault have in common: they are entered with the mm read (mm.h), end
 * that themselves, and leave to fault_slow() whatever is not plain, with nothing changed.
 */
#ifndef MMSERVER_CORE_FAULT_STRAIGHT_H
#define MMSERVER_CORE_FAULT_STRAIGHT_H

#include "mmserver/core/fault.h"
#include "mmserver/core/object.h"

/*
 * Ways of a fault have the same arguments in the same registers, so that going from one to the next
 * is a jump that moves nothing. A way is never inlined, nor entered with fewer arguments than it
 * has: that would put the others elsewhere.
 */
#if __has_attribute(noipa)
#define WAY __attribute__((noipa)) struct answer
#else
#define WAY __attribute__((noinline)) struct answer
#endif
#define FAULT_WAY(name)                                                                   \
    WAY name(uint64_t badge, vaddr_t address, uint64_t cause, vaddr_t pc, uint64_t begun, \
             struct client *c, struct mm *mm, struct worker *w)
#define FAULT_GO_ON badge, address, cause, pc, begun, c, mm, w
/* When VMA and leaf table are found: in the places of badge and mm, which are those of the client.
 */
#define LEAF_WAY(name)                                                                          \
    WAY name(const uint64_t *leaf, vaddr_t address, uint64_t cause, vaddr_t pc, uint64_t begun, \
             struct client *c, struct vma *v, struct worker *w)
#define LEAF_GO_ON leaf, address, cause, pc, begun, c, v, w

/* what: FAULT_WHAT(cause, outcome); badge: of the client, whose number is its lower part */
static inline void fault_record(struct worker *w, uint64_t badge, vaddr_t address, vaddr_t pc,
                                uint64_t what, uint64_t begun)
{
    struct fault_record *r = &w->ring[w->ring_next++ & (FAULT_RING_MAX - 1)];

    r->begun = begun;
    r->address = address;
    r->pc = pc;
    r->what = (uint32_t)(badge | what);
    r->instructions = (uint32_t)(place_instructions() - begun);
}

/* A page at hand; there is one. */
static inline pfn_t hot_page(struct worker *w)
{
    mm_count(w, page_alloc);
    return w->hot[--w->hot_count];
}

/* The descriptor of a page of its own for `address`. */
static inline void page_becomes_anon(struct page *page, struct anon_vma *anon, uint64_t index)
{
    page->owner = anon;
    page->index = index;
    page->maps = 1;
    page->state = PAGE_ANON;
}

/* The entry of an address in the fast slot. */
static inline const uint64_t *fast_slot_leaf(const struct worker *w, vaddr_t address)
{
    return (const uint64_t *)(w->fast.leaf_bias + (address >> PAGE_SHIFT) * sizeof(uint64_t));
}

/* ---- the fast slot (worker.h) ---- */

/* What the slot tells of a writable private VMA, for this fault; nothing to be remembered. */
static inline void fast_slot_fill(struct worker *w, const struct vma *v, vaddr_t address,
                                  const uint64_t *leaf)
{
    struct fast_slot *slot = &w->fast;

    slot->leaf_bias = (uintptr_t)leaf - (address >> PAGE_SHIFT) * sizeof *leaf;
    slot->bits = vma_entry_bits(v, false) | ENTRY_W | ENTRY_D;
    slot->anon = v->anon;
    slot->index_bias = v->offset - (v->start >> PAGE_SHIFT);
    slot->read_generation = slot->write_generation = 0;
}

/* May it tell of this VMA? */
static inline bool fast_slot_fits(const struct vma *v)
{
    return !v->ops && !(v->flags & (VM_DEVICE | VM_RUNS)) && (v->flags & (VM_READ | VM_WRITE));
}

/* The part of the block of `address` that lies in v, and its leaves. */
static inline __attribute__((always_inline)) void
fast_slot_place(struct fast_slot *slot, const struct vma *v, vaddr_t address, const uint64_t *leaf)
{
    vaddr_t start = v->start, block = ROUND_DOWN(address, BLOCK_BYTES);

    slot->index_bias = v->offset - (start >> PAGE_SHIFT);
    start = max_u64(block, start);
    slot->bytes = min_u64(block + BLOCK_BYTES, v->end) - start;
    slot->start = start;
    slot->leaf_bias = (uintptr_t)leaf - (address >> PAGE_SHIFT) * sizeof *leaf;
}

/* Remember where further faults of this VMA, which fits, need no look at it; `writable`: it is, and
 * has an anon_vma. In an order in which each value is loaded once and needed for a short time. */
static inline __attribute__((always_inline)) void
fast_slot_note(struct worker *w, const struct mm *mm, const struct vma *v, vaddr_t address,
               const uint64_t *leaf, bool writable)
{
    struct fast_slot *slot = &w->fast;
    uint64_t generation = mm->generation;

    slot->bits = ENTRY_ALWAYS | ENTRY_W | ENTRY_D | (v->flags & VM_EXEC ? ENTRY_X : 0);
    slot->anon = v->anon;
    slot->window = NULL;
    slot->read_generation = generation;
    slot->write_generation = writable ? generation : 0;
    fast_slot_place(slot, v, address, leaf);
}

/* The same for reads of an object's VMA that map what is cached around (object_straight.c). */
static inline void fast_slot_window(struct worker *w, const struct mm *mm, struct vma *v,
                                    vaddr_t address, const uint64_t *leaf)
{
    struct fast_slot *slot = &w->fast;

    slot->window = v;
    slot->read_generation = mm->generation;
    slot->write_generation = 0;
    fast_slot_place(slot, v, address, leaf);
}

/* The same, if it fits. Is there anything? */
static inline bool fast_slot_set(struct worker *w, const struct mm *mm, const struct vma *v,
                                 vaddr_t address, const uint64_t *leaf)
{
    if (!fast_slot_fits(v))
        return false;
    fast_slot_note(w, mm, v, address, leaf, (v->flags & VM_WRITE) && v->anon);
    return true;
}

/* Does it tell of the address, if it is of the mm's generation? */
static inline bool fast_slot_near(const struct worker *w, vaddr_t address)
{
    return address - w->fast.start < w->fast.bytes;
}

static inline void fast_slot_drop(struct worker *w)
{
    w->fast.read_generation = w->fast.write_generation = 0;
}

/* ---- the other ways ---- */

/* May the VMA's pages be accessed so? As Linux on RISC-V: writable implies readable. */
static inline bool access_allowed(const struct fault *f)
{
    uint64_t flags = f->vma->flags;

    if (f->access == VM_READ)
        return (flags & (VM_READ | VM_WRITE)) != 0;
    return (flags & f->access) != 0;
}

/* Everything but the straight ways; the mm is not read. `by_reply` is false when a reply was
 * refused. */
struct answer fault_slow(struct worker *w, struct client *c, vaddr_t address, uint64_t cause,
                         vaddr_t pc, bool by_reply, uint64_t begun);

/* The mm is read no more, and the fault is looked at anew. */
FAULT_WAY(fault_anew);

/* A write where something stands already, in private memory of which the fast slot tells leaf,
 * bits, anon and index_bias; its generations need not be those of the mm (cow.c). */
FAULT_WAY(cow_straight);

/*
 * A fault on an object of which all that is needed is at hand (object_plain): a page of the cache
 * and those around it, or a copy of it (object_straight.c).
 */
LEAF_WAY(object_straight);
static inline bool object_plain(const struct client *c, const struct vma *v, const uint64_t *leaf,
                                uint64_t cause)
{
    /* What may be executed has to be fenced for that too, and who waits for a reply must be able to
     * tell whose page has arrived (object_fault.c). */
    return v->ops == &object_vma_ops && !*leaf && !(v->flags & VM_EXEC) && c->mm->clients == 1 &&
           (cause == CAUSE_LOAD_PAGE || (cause == CAUSE_STORE_PAGE && (v->flags & VM_WRITE) &&
                                         ((v->flags & VM_SHARED) || v->anon)));
}

/* The fast slot tells of a window. */
FAULT_WAY(object_again);

/* The same the long way: not all is at hand, or the access is not allowed. */
LEAF_WAY(fault_of_object);

/* A write to private anonymous memory of which only the leaf table is missing: it comes with its
 * first page (table_straight.c). table_plain: all that it takes is at hand. */
struct answer table_straight(struct worker *w, struct client *c, vaddr_t address, vaddr_t pc,
                             uint64_t begun, struct vma *v);
static inline bool table_plain(const struct worker *w, const struct vma *v)
{
    return (v->flags & VM_WRITE) && v->anon && w->tables_count && (w->zeroed_count || w->hot_count);
}

/* fault.c. The mm is read, or the writer's: what becomes of the fault. */
enum fault_outcome fault_resolve(struct fault *f);
/*
 * Private anonymous memory whose leaf table is missing: the reply brings the tables and the page
 * at once, from below `level` down. They are accounted before; what the kernel refuses is taken
 * back (batch_reply_failed).
 */
enum fault_outcome fault_with_tables(struct fault *f, unsigned level);
/* An anonymous page, accounted, is not mapped after all. */
void fault_anon_unaccount(struct worker *w, struct mm *mm, pfn_t pfn);

#endif
