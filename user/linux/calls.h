/*
 * System calls: the table of those that are answered (calls.def) and its use.
 *
 * A handler is called with the big lock held, again from its start after each wait (request.h). It
 * gives what the client's a0 shall be, or a REQUEST_ value.
 */
#ifndef LINUX_CALLS_H
#define LINUX_CALLS_H

#include <stddef.h>
#include <stdint.h>

#include "user/linux/thread.h"

typedef long call_handler(struct thread *t, const uint64_t *a);

#define LINUX_CALL(number, name) call_handler linux_##name;
#include "user/linux/calls.def"
#undef LINUX_CALL

/* Run the call that t's request names; -ENOSYS, counted, for one that is not in the table. */
long calls_run(struct thread *t);
/* Calls that need nothing but one word of t or its process, and those that there are not: true with
 * the answer, without the big lock. */
bool calls_plain(const struct thread *t, uint64_t number, long *value);
/* The name of a call that is answered; "?" of another. */
const char *calls_name(uint64_t number);
/* One line for each number that was refused: bytes of text (never more than room). */
size_t calls_refused_text(char *text, size_t room);

#endif
