/*
 * Kernel calls, events and accesses from arbitrary bytes, on a machine with two harts.
 *
 * Each step is a few bytes: which hart goes on, what the thread that runs there does (a call by
 * number, an exception, a foreign call, an access, nothing until an interrupt comes), and arguments
 * chosen from values that mean something somewhere. After each step every invariant is recounted
 * and the shadow TLBs are compared with the tables; at the end all that was made is taken back,
 * which must come to an end and leave no page in use. What does not hold aborts the program.
 */
#ifndef TESTS_KERNEL_STEPS_H
#define TESTS_KERNEL_STEPS_H

#include <stddef.h>
#include <stdint.h>

void kernel_steps(const uint8_t *data, size_t size);

#endif
