/*
 * Clients: threads whose faults and memory calls come to the server.
 *
 * The badge of a client's pager route is its tag: number and generation. Only the server sets such
 * routes, so a badge that arrives was given to a client; but that client may be stopped and freed
 * by another hart's worker at any moment, even before this worker's first instruction. So a worker
 * says whom it serves, then looks whether it is still there (client_serve); and who frees a client
 * clears its tag, then waits until no worker serves it. Descriptors stay descriptors when freed.
 *
 * Lock: LOCK_IDS for the table, `busy` and `mm`'s count; the counters belong to the hart it runs
 * on.
 */
#ifndef MMSERVER_CORE_CLIENT_H
#define MMSERVER_CORE_CLIENT_H

#include "mmserver/core/mm.h"
#include <pagoda/mm.h>

#define CLIENTS_MAX      8192 /* a power of two */
#define CLIENT_TAG_SHIFT 32   /* number below, generation from here on */

enum client_state { CLIENT_MADE, CLIENT_STARTED, CLIENT_STOPPED };

struct client {
    struct mm *mm;
    uint64_t tag; /* 0: being freed */
    uint64_t minor_faults, major_faults;
    uint64_t id;
    uint32_t slot; /* Thread capability */
    pfn_t object_page;
    uint32_t hart, priority;
    uint32_t state;       /* enum client_state */
    uint32_t busy;        /* calls in progress that name it */
    uint64_t badge;       /* how the personality knows it */
    uint32_t personality; /* bool: a thread of the process personality */
    uint32_t native;      /* bool: made by a native program */
    uint32_t has_table;   /* bool: makes kernel calls, by its mm's native table */
    uint32_t policy_mode; /* NUMA policy (policy.h) */
    uint32_t parts;       /* done so far of a large call, or 0 (part.h) */
    uint64_t policy_nodes;
};

/* How a thread's events that are not the memory server's find their handler. */
struct client_route {
    uint32_t endpoint_slot; /* 0: none */
    uint64_t badge;
};

extern struct client *client_slots[CLIENTS_MAX];

/* The client whose event arrived, or NULL if it is gone. It stays until the worker answers. */
static inline struct client *client_serve(struct worker *w, uint64_t badge)
{
    struct client *c = __atomic_load_n(&w->clients[badge & (CLIENTS_MAX - 1)], __ATOMIC_RELAXED);

    w->client_tag = badge;
    *(struct client *volatile *)&w->serving = c;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (unlikely(!c || __atomic_load_n(&c->tag, __ATOMIC_RELAXED) != badge))
        return NULL;
    return c;
}

void client_ids_init(void);
/* A new stopped thread in mm, with the routes of a client. 0 on success and *made, or -LINUX_x. */
long client_create(struct worker *w, struct mm *mm, const struct mm_thread *wanted,
                   const struct client_route *route, struct client **made);
struct client *client_get(uint64_t id);
void client_put(struct client *c);
uint64_t client_next_id(uint64_t id);
/* Stop it and destroy it. 0, or -LINUX_EAGAIN while its hart has not let go of it or a call names
 * it; the reference is consumed when it answers 0. */
long client_destroy(struct worker *w, struct client *c);
/* The same for all threads of mm that native programs made. 0 or -LINUX_EAGAIN. */
long client_destroy_native(struct worker *w, struct mm *mm);
/* To another address space. It waits or is stopped. */
long client_move(struct worker *w, struct client *c, struct mm *mm,
                 const struct client_route *route);
/* Stop it where it is: 0, or -LINUX_EAGAIN while its hart has not let go of it. */
long client_stop(struct client *c);

/* Call numbers that come to the server, one bit each, as words of the call mask. */
extern uint64_t client_call_mask[8];

#endif
