/* Endpoints: where events and messages wait for a worker. Kernel lock. */
#include "kernel/ipc.h"
#include "kernel/sched.h"

#define UNDONE_PER_CALL 64

bool messages_plain;

void endpoint_init(struct endpoint *e)
{
    TAILQ_INIT(&e->queue);
    for (unsigned i = 0; i < HARTS_MAX; i++)
        e->slot[i] = e->straight[i] = &thread_nobody;
}

long endpoint_destroy(struct endpoint *e)
{
    struct thread *t;
    unsigned undone = 0;

    if (e->workers || e->references)
        return -ERR_BUSY;
    /* Without routes, whoever waits here came by a message, or by a route that was changed since.
     */
    while ((t = TAILQ_FIRST(&e->queue)) != NULL) {
        if (undone++ == UNDONE_PER_CALL)
            return -ERR_AGAIN;
        TAILQ_REMOVE(&e->queue, t, run);
        t->event_endpoint = NULL;
        event_undo_locked(t);
        t->state = THREAD_STOPPED;
        sched_ready(t);
    }
    return 0;
}
