/* Starting programs, as main.c uses it for the first process. Big lock held. */
#ifndef LINUX_EXEC_H
#define LINUX_EXEC_H

#include <stddef.h>
#include <stdint.h>

struct process;

/*
 * Load the program `path` (absolute) with `argc` and `envc` NUL-terminated strings, one after the
 * other, into a new space for p. Its first thread is to start at *pc with *sp. 0 or -errno.
 */
long exec_first(struct process *p, const char *path, const char *strings, size_t bytes,
                unsigned argc, unsigned envc, uint64_t *pc, uint64_t *sp);

#endif
