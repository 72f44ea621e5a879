/*
 * Random bytes for getrandom and /dev/random: a generator from the boot seed (splitmix64). Runs
 * with the same seed see the same bytes; nothing here is fit for keys.
 */
#ifndef LINUX_RANDOM_H
#define LINUX_RANDOM_H

#include <stddef.h>
#include <stdint.h>

void random_seed(uint64_t seed);
void random_fill(void *to, size_t bytes);

#endif
