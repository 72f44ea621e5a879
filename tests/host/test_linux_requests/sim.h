/*
 * A kernel and a memory server for the personality, simulated: clients are register sets and small
 * memories, whose calls and faults the tests make for them; the personality is the real source.
 *
 * What it enforces: an answer goes to a waiting client only, once; a worker parks with no client
 * left; slots are used as the kernel would let them; spaces are released without threads.
 */
#ifndef SIM_H
#define SIM_H

#include <stdbool.h>
#include <stdint.h>
#include <pagoda/mm.h>

#define SIM_BASE  0x10000UL
#define SIM_BYTES 0x10000UL
#define SIM_HARTS 4

#define SIM_BLOCKED (-0x7fffffffL) /* what sim_call gives when no answer came */
#define SIM_GONE    (-0x7ffffffeL) /* the thread was destroyed */

/* Start the personality and its first process; the number of its thread. */
int sim_start(void);
/* A call of that thread, which must be in user mode. */
long sim_call(int thread, long number, long a0, long a1, long a2, long a3, long a4, long a5);
#define CALL(thread, number, ...) SIM_CALL_(thread, number, ##__VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define SIM_CALL_(t, n, a, b, c, d, e, f, ...) \
    sim_call(t, n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
/* The same in two halves, between which others may come first: its worker waits for the lock. */
void sim_call_begin(int thread, long number, long a0, long a1, long a2, long a3, long a4, long a5);
long sim_call_end(int thread);
/* A fault of it, as the memory server forwards it. */
void sim_fault(int thread, uint64_t address, int signal, int code);
/* The answer that a blocked thread has got since: its a0, SIM_BLOCKED or SIM_GONE. */
long sim_answer(int thread);
bool sim_alive(int thread);
/* The newest thread that exists. */
int sim_newest(void);
struct user_regs *sim_regs(int thread);
/* Client memory. */
void *sim_memory(int thread, uint64_t address);
/* Let time pass and the timer fire. */
void sim_advance(uint64_t ticks);
/* A byte comes in at the console. */
void sim_type(const char *text);
/* What was written to the console; cleared by sim_output_clear. */
const char *sim_output(void);
void sim_output_clear(void);
/* Counts of what exists. */
unsigned sim_threads(void), sim_spaces(void), sim_replies(void);
/* The memory server answers -EAGAIN so often before it stops or destroys a thread. */
extern unsigned sim_reluctance;
/* The next so many of these memory server calls fail with -ENOMEM, counted down from *: 0 never. */
extern unsigned sim_fail_after;

#endif
