/*
 * Readiness: one way to wait for all that can be read from or written to.
 *
 * What can become ready (the end of a pipe, a socket, the console, an eventfd, ...) has a `struct
 * watched`. Two kinds of interest gather there:
 *
 *   its wait queue   requests that wait for just this: a read, a write, an accept
 *   its watches      ppoll, which waits for several (one watch for each file of the call), and
 *                    items of an epoll (one for each file in it)
 *
 * Whoever changes the state calls watched_wake() with the events that may hold now; only those who
 * asked for one of them hear of it, so nobody ever looks at all files. A waiting request is run
 * again and looks for itself; an item goes onto its epoll's list of those to look at.
 *
 * Invariant: a watch lies at a file that is open. ppoll's hold a use of the file; an epoll's items
 * go when the file does. Big lock held in all functions.
 */
#ifndef LINUX_WATCH_H
#define LINUX_WATCH_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "user/linux/sleep.h"

struct file;
struct linux_pollfd;

TAILQ_HEAD(watch_list, watch);

struct watched {
    struct wait_queue wait;
    struct watch_list watches;
};

struct watch {
    struct watched *watched; /* NULL: it lies nowhere */
    TAILQ_ENTRY(watch) link;
    uint32_t events;       /* LINUX_POLL* */
    struct thread *poller; /* NULL: this is an epoll item's */
};

/* What every waiter for a file is told of whether it asked or not. */
#define WATCH_ALWAYS (LINUX_POLLERR | LINUX_POLLHUP)

void watched_init(struct watched *watched);
/* Nobody waits here any more: it is about to be freed. */
void watched_end(const struct watched *watched);
void watched_wake_all(struct watched *watched, uint32_t events);
static inline void watched_wake(struct watched *watched, uint32_t events)
{
    if (!TAILQ_EMPTY(&watched->wait.threads) || !TAILQ_EMPTY(&watched->watches))
        watched_wake_all(watched, events);
}

void watch_start(struct watch *watch, struct watched *watched);
void watch_end(struct watch *watch);

/*
 * t's request waits for any of those files: -ENOMEM, or as request_wait(). A negative fd, and one
 * whose file never changes, is passed over. queue_leave() ends it.
 */
long watch_wait(struct thread *t, const struct linux_pollfd *want, size_t count);
/* queue_leave()'s part. */
void watch_leave(struct thread *t);

#endif
