/*
 * What the personality was started with, and its place in the machine: capability slots, signal
 * bits, start and power-off. Set up once by main(); constant afterwards.
 */
#ifndef LINUX_MACHINE_H
#define LINUX_MACHINE_H

#include <stddef.h>
#include <pagoda/mm.h>

#include "user/linux/thread.h"

/* Capability slots from LINUX_SLOT_FREE on: a Reply for each thread, the Threads, then Spaces, at
 * last a Reply. */
#define MACHINE_SLOTS        (LINUX_TABLE_PAGES * 64)
#define MACHINE_SLOT_THREADS LINUX_SLOT_FREE
#define MACHINE_SLOT_CLIENTS (MACHINE_SLOT_THREADS + THREADS_MAX)
#define MACHINE_SLOT_SPACES  (MACHINE_SLOT_CLIENTS + THREADS_MAX)
#define MACHINE_SLOT_MAIN    (MACHINE_SLOTS - 1) /* the main thread, which is never answered */
#define MACHINE_SPACES       (MACHINE_SLOT_MAIN - MACHINE_SLOT_SPACES)

/* Bits of LINUX_SLOT_NOTIFICATION. */
#define MACHINE_SIGNAL_UART  1
#define MACHINE_SIGNAL_TIMER 2

const struct linux_start *machine_start_page(void);
/* A whole word "NAME=value" of the kernel's command line: the value's length, -1 if there is none.
 */
long machine_argument(const char *name, const char **value);
/* Big lock held: create the first process. What goes wrong ends the machine with status 1. */
void machine_start(void);
/* End the machine; 0: success. */
_Noreturn void machine_power_off(int status);

#endif
