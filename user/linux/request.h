/*
 * Life of a request.
 *
 *   1. A worker is entered with a call or a fault of a client; it takes the big lock and notes the
 *      request in the client's thread.
 *   2. The request is run: a handler gives a result, or REQUEST_WAITS after joining a queue or
 *      setting a deadline, or REQUEST_GONE when the thread will never be answered.
 *   3. A result is answered after a look at the thread's signals. A client that waits is kept; what
 *      it waits for makes its request run again, from step 2.
 *   4. Before the worker lets go of the lock, everything that the request woke is run.
 */
#ifndef LINUX_REQUEST_H
#define LINUX_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "user/linux/thread.h"

/* Results outside what a call may answer. */
#define REQUEST_WAITS (-0x10000L)
#define REQUEST_GONE  (-0x10001L)
/* Interrupted by a signal: the call is made again after a handler with SA_RESTART, else -EINTR. */
#define REQUEST_RESTART (-0x10002L)
/* The same, but -EINTR after any handler. */
#define REQUEST_INTERRUPTED (-0x10003L)

/*
 * For a handler that has found nothing to answer with: t joins the queue (NULL: only a deadline is
 * waited for). REQUEST_WAITS, or REQUEST_RESTART at once if a signal is pending for t. If that
 * turns out to run no handler, the request goes on: it is run again, with what it remembers.
 */
long request_wait(struct thread *t, struct wait_queue *queue);
/*
 * The same for a change of a file. The file stays in use until the request has its answer, whoever
 * closes the descriptor meanwhile, and request_file() gives it again.
 */
long request_wait_file(struct thread *t, struct file *file);
/* The same, but what is waited for is at that queue. */
long request_wait_held(struct thread *t, struct file *file, struct wait_queue *queue);
/* The file that a request is about: that of its descriptor when it began; or NULL. */
struct file *request_file(struct thread *t, int64_t fd);
/* t's request ends without an answer. */
void request_abandon(struct thread *t);

/* The request of a waiting thread is to be run again, before the lock is released. */
void request_wake(struct thread *t);
/* Answer t's request: it no longer waits. Its signals are looked at first. */
void request_finish(struct thread *t, long result);
/* Whose request is being run. */
struct thread *request_running(void);
/* The client whose worker holds the lock, if its right to answer was not kept yet; or NULL. */
struct thread *request_current(void);
/* The current client's right to answer was kept or is not wanted any more. */
void request_current_forget(void);

#endif
