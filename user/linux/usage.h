/*
 * What processes have used besides CPU time (cputime.h): page faults, switches, memory at most.
 *
 * The kernel and the memory server count by thread and by space. A thread leaves its counts with
 * its process when it ends, or its space; a process leaves all with its parent when that has waited
 * for it. Big lock held in all functions.
 */
#ifndef LINUX_USAGE_H
#define LINUX_USAGE_H

#include <stdint.h>

#include "user/linux/cputime.h"

struct linux_rusage;
struct mm_thread_use;
struct process;
struct thread;

struct usage {
    uint64_t minor_faults, major_faults;
    uint64_t waited, preempted; /* switches: to wait for something, or with more to do */
    uint64_t peak_pages;        /* of the largest */
};

struct usage usage_of_thread(const struct thread *t);
struct usage usage_of_process(const struct process *p);

/* Only the switches, which nobody knows any more when the thread has been destroyed. */
struct usage usage_switches(const struct thread *t);
/* A thread of it has been destroyed. */
void usage_thread_gone(struct process *p, const struct usage *switches,
                       const struct mm_thread_use *use);
/* The thread is about to leave its space. */
void usage_space_gone(const struct thread *t);
/* The child was waited for. */
void usage_child_gone(struct process *parent, struct process *child);

/* The process and those of its children that were waited for. */
void usage_of_family(struct process *p, struct linux_rusage *to);

#endif
