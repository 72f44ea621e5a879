/*
 * What the straight ways of a fault have in common: they are entered with the mm read (mm.h), end
 * that themselves, and leave to fault_slow() whatever is not plain, with nothing changed.
 */
#ifndef MMSERVER_CORE_FAULT_STRAIGHT_H
#define MMSERVER_CORE_FAULT_STRAIGHT_H

#include "mmserver/core/fault.h"

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

/* The entry of an address in the fast slot. */
static inline const uint64_t *fast_slot_leaf(const struct worker *w, vaddr_t address)
{
    return (const uint64_t *)(w->fast.leaf_bias + (address >> PAGE_SHIFT) * sizeof(uint64_t));
}

/* Everything but the straight ways; the mm is not read. `by_reply` is false when a reply was
 * refused. */
struct answer fault_slow(struct worker *w, struct client *c, vaddr_t address, uint64_t cause,
                         vaddr_t pc, bool by_reply, uint64_t begun);

/* A write where something stands already, in private memory of which the fast slot tells leaf,
 * bits, anon and index_bias; its generations need not be those of the mm (cow.c). */
struct answer cow_straight(struct worker *w, struct client *c, vaddr_t address, vaddr_t pc,
                           uint64_t begun);

#endif
