/*
 * Memory is exhausted. The memory server says whose processes should end (MM_OOM), and here they
 * are ended, so that those who lack memory can go on.
 *
 *   a program's own fault         comes with SIGKILL; the server's choice ends, and the fault is
 *                                 made again
 *   a call that writes or reads   ends with -EFAULT, and is known to have lacked memory: it waits
 *   the program's memory          until who was chosen is gone, and is run again
 *
 * Who is chosen may be the one who lacks memory. If nobody can be chosen, he is. Big lock held.
 */
#ifndef LINUX_OOM_H
#define LINUX_OOM_H

#include <stdbool.h>
#include <stdint.h>

struct thread;

void oom_init(void);
/* t faulted, and the server chose that mm. */
void oom_fault(struct thread *t, uint64_t chosen);
/* Memory was lacking for a client's page, for the request that is being run. */
void oom_note(void);
/* Whether it was since this was asked last. */
bool oom_noted(void);
/* t's request lacked memory: somebody ends, and t waits for that, unless it is he. */
void oom_wait(struct thread *t);
/* A process has given its memory back. */
void oom_freed(void);

#endif
