/*
 * Threads, endpoints and harts for tests of the kernel's messages and scheduling, on top of
 * kernel_world.h: hart 0 is world.thread's, which makes and controls everything; the others run
 * whom their schedulers choose. What a hart does in user mode (a fault, a call, an interrupt) is a
 * function here that enters the kernel as the trap code does, and notes who runs afterwards.
 *
 * Functions that make something end the running case if the kernel refuses.
 */
#ifndef TESTS_IPC_WORLD_H
#define TESTS_IPC_WORLD_H

#include "kernel_world.h"

#define IPC_SLOT      SLOT_FREE /* the first object's; each made takes the next */
#define IPC_ENTRY     0x1000UL  /* what workers are bound with */
#define IPC_SP        0x7000UL
#define IPC_TP        0x8000UL
#define IPC_MEMORY    512UL    /* data pages, relative to SLOT_MEMORY, start here */
#define IPC_ADDRESS   0x3000UL /* where a leaf table is, in spaces made by ipc_space() */
#define MESSAGE_WORDS 6

struct ipc_hart {
    struct thread *running;          /* in user mode; NULL: idle */
    uint64_t message[MESSAGE_WORDS]; /* s2..s7 */
    long result;                     /* of the last native call that returned to its caller */
    bool returned;                   /* the last visit was a native call, and it did */
};

extern struct ipc_hart ipc_hart[HARTS_MAX];

/* Start anew with that many harts, a block of tables, floating point. */
void ipc_start(unsigned harts);

/* Make an object; its slot. */
uint64_t ipc_make(enum cap_type type);
/* A space with a leaf table for the 2 MiB at 0. */
uint64_t ipc_space(void);
/* A stopped thread with the world's table, in `space`, on `hart`. */
uint64_t ipc_thread(uint64_t space, unsigned hart, unsigned priority);
/* The same, with both routes, badges 0x100 + slot and 0x200 + slot; started. */
uint64_t ipc_client(uint64_t space, unsigned hart, unsigned priority, uint64_t pager,
                    uint64_t personality);
/* A thread that is bound to the endpoint, parked. */
uint64_t ipc_worker(uint64_t space, unsigned hart, unsigned priority, uint64_t endpoint,
                    uint64_t flags);
void *ipc_object(uint64_t slot);
#define ipc_t(slot) ((struct thread *)ipc_object(slot))

/* Each is one visit of that hart to the kernel. Acting for a thread needs it to run there. */
void ipc_run(unsigned hart); /* an idle hart wakes up */
void ipc_interrupt(unsigned hart);
void ipc_fault(unsigned hart, uint64_t address, uint64_t cause);
/* Number, and x[10..15] as they are. */
void ipc_foreign(unsigned hart, uint64_t number);
/* A native call: the result if the thread goes on (x[11], x[12] say the rest), else 0. */
long ipc_native(unsigned hart, long number, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3,
                uint64_t a4, uint64_t a5);
#define IPC_NATIVE_6(hart, number, a, b, c, d, e, f, ...)                                \
    ipc_native(hart, number, (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), (uint64_t)(d), \
               (uint64_t)(e), (uint64_t)(f))
#define IPC_NATIVE(hart, ...) IPC_NATIVE_6(hart, __VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)

/* The same call in whatever thread runs on hart 0: the world's. */
#define IPC_BOSS(...) IPC_NATIVE(0, __VA_ARGS__)

/*
 * The usual arrangement: a pager (priority 31) and a personality (24), each an endpoint with
 * workers on the harts of its mask, in the world's space; and a space for clients.
 */
struct ipc_usual {
    uint64_t pager, personality, space;
    uint64_t pager_worker[4], personality_worker[4]; /* slots, by hart */
};
extern struct ipc_usual ipc;
void ipc_usual(unsigned harts, unsigned pager_mask, unsigned personality_mask);
/* A client of these with priority 8, on that hart; and the same running, if nothing better does. */
uint64_t ipc_usual_client(unsigned hart);
uint64_t ipc_running_client(unsigned hart);

/* Give t's registers (but the pc) values of their own; are all but those of the mask as given? */
void ipc_fill(struct thread *t);
bool ipc_filled(const struct thread *t, uint64_t except);

/* Was the worker entered with this kind, on the slow path? */
static inline bool ipc_entered(const struct thread *w, enum enter_kind kind)
{
    return w->x[0] == IPC_ENTRY + 16 * kind && w->x[4] == IPC_TP;
}

/* Stop a thread from hart 0, with its own hart's help if that is needed. */
void ipc_stop(uint64_t slot);

/*
 * Check that every thread is in exactly the lists that its state says, that each waiting client has
 * exactly one server, queue or reply, that counts of references are right, that no work waits
 * without somebody who will be told, and that nothing points to what was destroyed. Then
 * world_check(). Prints what is wrong and aborts.
 */
void ipc_check(void);

#endif
