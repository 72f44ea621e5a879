/*
 * Clients: threads whose faults and memory calls come to the server. The badge of a client's pager
 * route is the address of its descriptor; only the server sets routes, so a badge that arrives is one
 * of its own, and a descriptor is freed only after its thread object is gone.
 *
 * Lock: LOCK_IDS for the table, `busy` and `mm`'s count; the counters belong to the hart it runs on.
 */
#ifndef MMSERVER_CORE_CLIENT_H
#define MMSERVER_CORE_CLIENT_H

#include "mmserver/core/mm.h"
#include <pagoda/mm.h>

#define CLIENTS_MAX 8192

enum client_state { CLIENT_MADE, CLIENT_STARTED, CLIENT_STOPPED };

struct client {
    struct mm *mm;
    uint64_t minor_faults, major_faults;
    uint32_t id;
    uint32_t slot; /* Thread capability */
    pfn_t object_page;
    uint32_t hart, priority;
    uint32_t state; /* enum client_state */
    uint32_t busy;  /* calls in progress that name it */
    uint64_t badge; /* how the personality knows it */
    uint32_t personality; /* bool: a thread of the process personality */
    uint32_t native;      /* bool: made by a native program */
    uint32_t has_table;   /* bool: makes kernel calls, by its mm's native table */
    uint32_t spare;
};

/* How a thread's events that are not the memory server's find their handler. */
struct client_route {
    uint32_t endpoint_slot; /* 0: none */
    uint64_t badge;
};

void client_ids_init(void);
/* A new stopped thread in mm, with the routes of a client. 0 on success and *made, or -LINUX_x. */
long client_create(struct worker *w, struct mm *mm, const struct mm_thread *wanted,
                   const struct client_route *route, struct client **made);
struct client *client_get(uint64_t id);
void client_put(struct client *c);
uint64_t client_next_id(uint64_t id);
/* Stop it and destroy it. 0 or -LINUX_EBUSY; the reference is consumed when it answers 0. */
long client_destroy(struct worker *w, struct client *c);
/* To another address space. It waits or is stopped. */
long client_move(struct worker *w, struct client *c, struct mm *mm);
/* Stop it where it is; returns when it no longer runs. */
void client_stop(struct client *c);

/* Call numbers that come to the server, one bit each, as words of the call mask. */
extern uint64_t client_call_mask[8];

#endif
