/*
 * Threads that wait: queues of them, and their deadlines.
 *
 * A thread whose request must wait is put into a queue, gets a deadline, or both. When it is woken
 * the request is run again from its start (request.c), with `timed_out` telling it why; so a
 * handler is one function that looks at the state of things and either answers or waits. What the
 * handler must remember from run to run is in the thread. Big lock held in all functions.
 */
#ifndef LINUX_SLEEP_H
#define LINUX_SLEEP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct thread;
TAILQ_HEAD(thread_list, thread);

/* Who waits for some condition. All zero is not a valid queue: see queue_init. */
struct wait_queue {
    struct thread_list threads;
};

void queue_init(struct wait_queue *queue);
/* t, which must be in no queue, joins; the handler then answers REQUEST_WAITS. */
void queue_join(struct wait_queue *queue, struct thread *t);
/* Leave the queue, if any, or what ppoll waits for (watch.h). */
void queue_leave(struct thread *t);
/* Everybody's request is run again. */
void queue_wake(struct wait_queue *queue);

/* Run the request again at that time (ticks), marked `timed_out`; replaces an earlier deadline. */
void deadline_set(struct thread *t, uint64_t ticks);
/*
 * Whether t->until has passed; if not, the request is run again when it has. A time limit passes
 * late by the thread's timer slack, as on Linux: however short it is, others get to run meanwhile,
 * which may be what it waits for.
 */
bool deadline_passed(struct thread *t);
void deadline_clear(struct thread *t);

#endif
