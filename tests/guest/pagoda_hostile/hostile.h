/*
 * Hostile programs: what their parts share.
 *
 * The *guests* are three threads that make random kernel calls, in an address space of their own
 * with a copy of this program. All that they hold is derived from the *sandbox*, memory that is
 * theirs to ruin: a block of data and one of tables with all rights, and a part read-only. Their
 * faults and foreign calls go to the *jail*, a worker of this process. The *honest* part of this
 * program does meanwhile what well-behaved programs do, and checks that nothing of it suffers.
 *
 * A generation of guests makes some thousand calls; then everything of it is taken back, which must
 * succeed to the last page, and the next one is built.
 */
#ifndef HOSTILE_H
#define HOSTILE_H

#include "ktap.h"
#include "native.h"

#define GUESTS 3

/* In this program's table. */
enum slot {
    SLOT_SANDBOX = NATIVE_SLOT_USER,
    SLOT_DONE, /* notification; no guest can signal it, or set its timer */
    SLOT_JAIL, /* endpoint */
    SLOT_JAIL_WORKER,
    SLOT_HONEST, /* endpoint: messages, and the honest client's faults */
    SLOT_HONEST_WORKER,
    SLOT_HONEST_SPACE,
    SLOT_HONEST_CLIENT,
    SLOT_PROBE, /* a space to try mappings in */
    /* Of a generation, in the order in which they are made. */
    SLOT_GUEST_SPACE,
    SLOT_GUEST_TABLE,
    SLOT_GUEST_ENDPOINT,
    SLOT_GUEST_NOTE,
    SLOT_GUEST_TABLES,
    SLOT_GUEST_DATA,
    SLOT_GUEST_READ,
    SLOT_GUEST_THREAD,
    SLOT_GUEST_LAST = SLOT_GUEST_THREAD + GUESTS - 1,
    SLOT_ATTACK = 128 /* .. : of the single attacks */
};

/* In the guests' table. */
enum guest_slot {
    GUEST_TABLE = 1,
    GUEST_SPACE,
    GUEST_ENDPOINT,
    GUEST_JAIL, /* may only call it */
    GUEST_NOTE,
    GUEST_SIGNAL, /* the same notification, may only signal some bits */
    GUEST_KERNEL, /* counters */
    GUEST_TABLES,
    GUEST_DATA,
    GUEST_READ,
    GUEST_STRANGER, /* this process's space, without any right */
    GUEST_THREAD,
    GUEST_FREE = 16
};

#define GUEST_TABLE_PAGES 2
#define GUEST_TABLE_SIZE  (GUEST_TABLE_PAGES * 64UL)

/* Blocks of the sandbox. */
#define SANDBOX_BLOCKS  2UL
#define SANDBOX_PAGES   (SANDBOX_BLOCKS * PAGES_PER_BLOCK)
#define BLOCK_OF_TABLES 0UL
#define BLOCK_OF_DATA   1UL
#define READ_PAGES      128UL /* the last of it, again as memory that may only be read */

/* In the guests' space, beside the image, under the same leaf table. */
#define GUEST_OPS        0x180000UL /* one operation page for each */
#define GUEST_LAZY       0x190000UL /* the jail maps it on demand */
#define GUEST_LAZY_PAGES 16UL
#define GUEST_AREA       0x1b0000UL
/* In the honest client's space. */
#define HONEST_AREA  0x70000000UL
#define HONEST_PAGES 16UL

#define KERNEL_ADDRESS 0xffffffc000000000UL
#define RW             (ENTRY_W | ENTRY_D)

/* Bits of SLOT_DONE: bit 0, a message from a guest; bit 8 + i, guest i crashed. */
#define DONE_MESSAGE 1UL
#define DONE_CRASHED 8
#define ALL_GUESTS   ((1UL << GUESTS) - 1)
#define DONE_TIMEOUT (1UL << 16)
#define DONE_CLIENT  (1UL << 17)
#define DONE_LATE    (1UL << 18) /* the honest client is not done */

/* What a guest knows, in its copy of the image; 512-byte aligned, so it lies in one page. */
struct guest {
    uint64_t index;
    uint64_t state; /* of its random numbers */
    uint64_t quota, done;
    uint64_t sandbox_first, data_first,
        tables_first; /* page numbers: its own, and the honest ones */
} __attribute__((aligned(512)));
extern struct guest guests[GUESTS];

/* guest.c: what a guest does; runs in the guests' space. */
void guest_main(void *guest);

/* world.c. All give 0 or an error, said already. */
bool hostile_world(void);
bool generation_build(uint64_t seed, uint64_t quota);
/* Run the guests until they are done, or can do no more; the calls that they made. */
uint64_t generation_run(void);
/* Take everything back and look at it. */
void generation_end(void);

/* honest.c */
bool honest_open(void);
/* Messages, faults, memory, counters: all as ever? */
void honest_check(void);
/* The honest client at fn(arg); false when it did not finish. */
bool honest_run(void (*fn)(void *arg), void *arg);
void honest_finish(void);

uint64_t ticks_now(void);
/* Fails the case unless error is 0; gives whether it is. */
bool good(const char *file, int line, const char *what, long error);
#define GOOD(call_) good(__FILE__, __LINE__, #call_, (long)(call_))

#endif
