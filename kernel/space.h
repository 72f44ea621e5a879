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
 */
#ifndef KERNEL_SPACE_H
#define KERNEL_SPACE_H

#include "kernel/types.h"
#include "kernel/thread.h"

struct space {
    uint64_t *root;    /* kernel address of the root table */
    pfn_t root_pfn;    /* the page after the object's own is the root table */
    pfn_t self_pfn;
    uint64_t asid;     /* low bits: number; rest: generation */
    uint64_t pinned;   /* workers bound in it: its ASID never changes */
    uint64_t running;  /* bit per hart */
    uint64_t seen;     /* harts that may hold translations of it */
    uint64_t stale;
    uint32_t lock;
    uint32_t dying;
    uint64_t tables;   /* page tables in it, the root excepted */
    struct thread_list threads;
    uint64_t thread_count;
    vaddr_t sweep;     /* destruction and drop resume here */
    vaddr_t linear_end; /* nonzero: the memory server's own; its linear map lies below */
    uint64_t drop_first; /* the extent that `sweep` is about */
};

extern unsigned space_levels; /* 3, 4 or 5 */
extern vaddr_t space_user_end;
/* The memory server's space: its linear map follows the blocks' classes. NULL without one. */
extern struct space *space_server;

void space_lock(struct space *s);
void space_unlock(struct space *s);

/* Kernel lock held. `root` is a zeroed table page; the kernel half is copied into it. */
void space_init(struct space *s, pfn_t self_pfn, pfn_t root_pfn);
/* Kernel lock held. One bounded step of destruction; 0 when nothing is left, -ERR_AGAIN. */
long space_destroy_step(struct space *s);

/* The slot of `address` at `level` (0: 4 KiB leaf) or NULL if a table is missing on the way
 * or a larger leaf stands there (*found_level says at which level it stopped). */
uint64_t *space_slot(struct space *s, vaddr_t address, unsigned level, unsigned *found_level);

/* Kernel lock held. This hart is about to run `s`: marks, fences if stale, gives the satp value. */
uint64_t space_activate(struct space *s, struct hart *h);
/* Kernel lock held. A worker in `s` was bound to / unbound from hart h. */
void space_pin(struct space *s, struct hart *h);
void space_unpin(struct space *s, struct hart *h);

/* One mapping in the server's linear map: called when a block changes class. */
void space_server_block(pfn_t first_page, bool writable);

#endif
