/*
 * How busy the machine is: the texts of /proc/stat, /proc/uptime and /proc/loadavg, and the
 * averages that sysinfo tells.
 *
 * The load is the number of threads that run or could, averaged over 1, 5 and 15 minutes: each five
 * seconds a timer looks how many there are, and what was there before counts for less. Big lock
 * held in all functions.
 */
#ifndef LINUX_LOAD_H
#define LINUX_LOAD_H

#include <stdint.h>

#define LOAD_AVERAGES   3
#define LOAD_SHIFT_BITS 16 /* a load of 1, as sysinfo has it */

struct text;

/* Look from now on. */
void load_init(void);
uint64_t load_average(unsigned which);

void load_stat_text(struct text *text);
void load_uptime_text(struct text *text);
void load_average_text(struct text *text);

#endif
