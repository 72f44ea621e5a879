/* The end of a kernel that found itself wrong. See assert.h for how it is reached. */
#ifndef KERNEL_CRASH_H
#define KERNEL_CRASH_H

#include "kernel/thread.h"

/* True from the first kernel_panic() on, on any hart. */
bool crash_in_progress(void);
/* Called in loops that wait for another hart: does not return once a crash record is written. */
void crash_stop_here(void);

/* The memory server faulted and no supervisor takes its events: say where, stop the machine. */
_Noreturn void crash_server(struct thread *t);

#endif
